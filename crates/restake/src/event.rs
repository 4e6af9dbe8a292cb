//! What happens, in the order in which it is entered.

use alloc::boxed::Box;

use bitcoin::{Amount, OutPoint, XOnlyPublicKey};
use serde::{Deserialize, Serialize};
use tapstake_params::{Height, Timelock};
use tapstake_verifier::VerifiedStake;
use tapstake_verifier::equivocation::VerifiedEquivocation;

use crate::allocation::Allocation;
use crate::queue::ExitId;
use crate::registry::ServiceTerms;
use crate::stake::{AdmittedStake, End};
use crate::units::{Denomination, HolderId, PartsPerMillion, PoolId, ServiceId};

/// An event and the Bitcoin height at which it takes effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The height. No entry is below the one before it; at one height, the order of the entries counts.
    pub height: Height,
    /// The event.
    pub event: Event,
}

/// Everything that changes a book.
///
/// In JSON an object with one field, the event's name, as in `{"claim": {"stake": "…:0", "service": "a"}}`. Amounts of bitcoin are
/// numbers of satoshi; amounts of rewards and shares are texts of decimal digits, for they may exceed 2^53.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Event {
    /// A service offers to be secured.
    RegisterService {
        /// Its name.
        service: ServiceId,
        /// On which terms it takes stakes.
        terms: ServiceTerms,
    },
    /// A provider opts in to a service.
    RegisterProvider {
        /// The service.
        service: ServiceId,
        /// The provider.
        provider: XOnlyPublicKey,
        /// Its part of every reward.
        commission: PartsPerMillion,
    },
    /// A provider takes another part of every reward from the next height on.
    SetCommission {
        /// The service.
        service: ServiceId,
        /// The provider.
        provider: XOnlyPublicKey,
        /// Its part of every reward.
        commission: PartsPerMillion,
    },
    /// A verified stake comes into the books.
    AdmitStake {
        /// The stake.
        stake: Box<AdmittedStake>,
    },
    /// The output of a stake has become another stake, which takes its place in its pool. It counts for no service before it is
    /// allocated, but stands for what the old one stood for until the services' unbonding times are over.
    ExpandStake {
        /// The old stake.
        of: OutPoint,
        /// The new one.
        stake: Box<AdmittedStake>,
        /// Who gets receipts for what it is worth more, if the old one has receipts and it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        holder: Option<HolderId>,
    },
    /// A stake begins, changes or ends to count for a service. Whatever it has earned stays. Of the rewards of a height, none
    /// comes after a stake that begins to count there.
    Allocate {
        /// The stake.
        stake: OutPoint,
        /// The service.
        service: ServiceId,
        /// How it counts.
        allocation: Allocation,
    },
    /// A service pays for the stakes behind a provider.
    Reward {
        /// The service.
        service: ServiceId,
        /// The provider.
        provider: XOnlyPublicKey,
        /// What it is counted in.
        denomination: Denomination,
        /// How many base units.
        #[serde(with = "crate::units::decimal")]
        amount: u128,
    },
    /// Everything that a stake has earned at a service is paid to its owner.
    Claim {
        /// The stake.
        stake: OutPoint,
        /// The service.
        service: ServiceId,
    },
    /// All commission of a provider at a service is paid to it.
    ClaimCommission {
        /// The service.
        service: ServiceId,
        /// The provider.
        provider: XOnlyPublicKey,
    },
    /// What a service has paid for a provider and can reach nobody any more goes back to it: what is held, and the commission of
    /// a provider that was slashed.
    GiveBack {
        /// The service.
        service: ServiceId,
        /// The provider.
        provider: XOnlyPublicKey,
    },
    /// A stake ends without being slashed.
    EndStake {
        /// The stake.
        stake: OutPoint,
        /// How.
        end: End,
    },
    /// A stake that was entered as spent or expanded is there after all: it was a mistake, or the chain has another history now.
    /// It counts for no service before it is allocated again; its pool has it back.
    ReviveStake {
        /// The stake.
        stake: OutPoint,
    },
    /// A provider has equivocated: every stake that its key can slash is slashed, for all services at once.
    Slash {
        /// The provider.
        provider: XOnlyPublicKey,
    },
    /// A pool over stakes opens.
    OpenPool {
        /// Its name.
        pool: PoolId,
        /// The blocks for which an exit waits: at least as many as any of its stakes takes to unbond.
        unbonding_time: Timelock,
    },
    /// Receipts are minted for an active stake, at its whole value.
    Mint {
        /// The pool.
        pool: PoolId,
        /// Who gets the shares.
        holder: HolderId,
        /// The stake.
        stake: OutPoint,
    },
    /// Shares of a pool change hands.
    Transfer {
        /// The pool.
        pool: PoolId,
        /// Who gives them.
        from: HolderId,
        /// Who gets them.
        to: HolderId,
        /// The shares.
        #[serde(with = "crate::units::decimal")]
        shares: u128,
    },
    /// Bitcoin comes into a pool for all of its shares.
    PoolReward {
        /// The pool.
        pool: PoolId,
        /// How much, in satoshi.
        #[serde(with = "bitcoin::amount::serde::as_sat")]
        amount: Amount,
    },
    /// A holder gives up shares and waits for what they are worth.
    RequestExit {
        /// The pool.
        pool: PoolId,
        /// The holder.
        holder: HolderId,
        /// The shares.
        #[serde(with = "crate::units::decimal")]
        shares: u128,
    },
    /// A holder gives up the shares that a certain amount takes and waits for it.
    RequestWithdrawal {
        /// The pool.
        pool: PoolId,
        /// The holder.
        holder: HolderId,
        /// The amount, in satoshi.
        #[serde(with = "bitcoin::amount::serde::as_sat")]
        amount: Amount,
    },
    /// An exit whose unbonding has ended is paid.
    FinaliseExit {
        /// The pool.
        pool: PoolId,
        /// The exit.
        exit: ExitId,
    },
    /// A stake that has ended, or what a slashing has left of it, comes back to its pool as cash.
    ReturnStake {
        /// The stake.
        stake: OutPoint,
        /// What came back, in satoshi.
        #[serde(with = "bitcoin::amount::serde::as_sat")]
        returned: Amount,
    },
    /// Cash for what a pool misses.
    MakeGood {
        /// The pool.
        pool: PoolId,
        /// How much, in satoshi.
        #[serde(with = "bitcoin::amount::serde::as_sat")]
        amount: Amount,
    },
    /// What a pool misses, or a part of it, is given up: a loss that its shares and exits bear.
    WriteDown {
        /// The pool.
        pool: PoolId,
        /// How much, in satoshi.
        #[serde(with = "bitcoin::amount::serde::as_sat")]
        amount: Amount,
    },
    /// What a pool has and owes nobody, or a part of it, goes to its shares and exits: a loss that was none after all.
    WriteUp {
        /// The pool.
        pool: PoolId,
        /// How much, in satoshi.
        #[serde(with = "bitcoin::amount::serde::as_sat")]
        amount: Amount,
    },
    /// A reward of a pool, or a part of one, that never came is taken back, as long as nothing was priced with it.
    TakeReward {
        /// The pool.
        pool: PoolId,
        /// How much, in satoshi.
        #[serde(with = "bitcoin::amount::serde::as_sat")]
        amount: Amount,
    },
    /// Cash leaves a pool other than to an exit: it was stolen or never there, or goes back to who had put too much in.
    TakeCash {
        /// The pool.
        pool: PoolId,
        /// How much, in satoshi.
        #[serde(with = "bitcoin::amount::serde::as_sat")]
        amount: Amount,
    },
    /// A pool over another pool's shares opens.
    OpenLrt {
        /// Its name.
        pool: PoolId,
        /// The pool beneath.
        over: PoolId,
        /// How much its services count at most, all together, of what it holds.
        leverage_limit: PartsPerMillion,
    },
    /// A pool over receipts chooses a service, or another part for it.
    ChooseService {
        /// The pool.
        pool: PoolId,
        /// The service.
        service: ServiceId,
        /// The part of its deposits that the service counts.
        part: PartsPerMillion,
    },
    /// A pool over receipts leaves a service.
    LeaveService {
        /// The pool.
        pool: PoolId,
        /// The service.
        service: ServiceId,
    },
    /// A holder's shares of the pool beneath go into a pool over receipts.
    LrtDeposit {
        /// The pool over receipts.
        pool: PoolId,
        /// The holder.
        holder: HolderId,
        /// Shares of the pool beneath.
        #[serde(with = "crate::units::decimal")]
        shares: u128,
    },
    /// A holder gives up shares of a pool over receipts for shares of the pool beneath.
    LrtRedeem {
        /// The pool over receipts.
        pool: PoolId,
        /// The holder.
        holder: HolderId,
        /// Shares of the pool over receipts.
        #[serde(with = "crate::units::decimal")]
        shares: u128,
    },
    /// Shares of a pool over receipts change hands.
    LrtTransfer {
        /// The pool over receipts.
        pool: PoolId,
        /// Who gives them.
        from: HolderId,
        /// Who gets them.
        to: HolderId,
        /// The shares.
        #[serde(with = "crate::units::decimal")]
        shares: u128,
    },
    /// Shares of the pool beneath come into a pool over receipts for all of its shares.
    LrtReward {
        /// The pool over receipts.
        pool: PoolId,
        /// Who gives them.
        from: HolderId,
        /// Shares of the pool beneath.
        #[serde(with = "crate::units::decimal")]
        shares: u128,
    },
}

impl Event {
    /// Its name, as a journal has it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Event::RegisterService { .. } => "register_service",
            Event::RegisterProvider { .. } => "register_provider",
            Event::SetCommission { .. } => "set_commission",
            Event::AdmitStake { .. } => "admit_stake",
            Event::ExpandStake { .. } => "expand_stake",
            Event::Allocate { .. } => "allocate",
            Event::Reward { .. } => "reward",
            Event::Claim { .. } => "claim",
            Event::ClaimCommission { .. } => "claim_commission",
            Event::GiveBack { .. } => "give_back",
            Event::EndStake { .. } => "end_stake",
            Event::ReviveStake { .. } => "revive_stake",
            Event::Slash { .. } => "slash",
            Event::OpenPool { .. } => "open_pool",
            Event::Mint { .. } => "mint",
            Event::Transfer { .. } => "transfer",
            Event::PoolReward { .. } => "pool_reward",
            Event::RequestExit { .. } => "request_exit",
            Event::RequestWithdrawal { .. } => "request_withdrawal",
            Event::FinaliseExit { .. } => "finalise_exit",
            Event::ReturnStake { .. } => "return_stake",
            Event::MakeGood { .. } => "make_good",
            Event::WriteDown { .. } => "write_down",
            Event::WriteUp { .. } => "write_up",
            Event::TakeReward { .. } => "take_reward",
            Event::TakeCash { .. } => "take_cash",
            Event::OpenLrt { .. } => "open_lrt",
            Event::ChooseService { .. } => "choose_service",
            Event::LeaveService { .. } => "leave_service",
            Event::LrtDeposit { .. } => "lrt_deposit",
            Event::LrtRedeem { .. } => "lrt_redeem",
            Event::LrtTransfer { .. } => "lrt_transfer",
            Event::LrtReward { .. } => "lrt_reward",
        }
    }

    /// A verified stake comes into the books.
    pub fn admit(stake: &VerifiedStake) -> Self {
        Event::AdmitStake { stake: Box::new(AdmittedStake::from(stake)) }
    }

    /// The stake at `of` has become this one.
    pub fn expand(of: OutPoint, stake: &VerifiedStake, holder: Option<HolderId>) -> Self {
        Event::ExpandStake { of, stake: Box::new(AdmittedStake::from(stake)), holder }
    }

    /// A provider has equivocated.
    pub fn slash(equivocation: &VerifiedEquivocation) -> Self {
        Event::Slash { provider: equivocation.provider() }
    }
}
