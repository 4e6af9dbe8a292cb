use bitcoin::{Amount, OutPoint, XOnlyPublicKey};
use tapstake_crypto::pop::Account;
use tapstake_params::{Height, SlashingRate, Timelock};

use crate::{
    Denomination, HolderId, LrtError, PartsPerMillion, PoolError, PoolId, RiskError, ServiceId, StakeStatus,
};

/// Why an entry is refused. A refused entry has changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BookError {
    /// Below the height of the last entry: rewards and stake changes cannot be put in out of order.
    #[error("entry at height {height} comes after one at height {last}: late entries are refused")]
    Late {
        /// The entry's height.
        height: Height,
        /// The height of the last entry.
        last: Height,
    },
    /// A stake has expired by this height, and its end is to be entered before anything else.
    #[error(
        "stake {outpoint} expired at height {expires_at}: enter its end before anything at height {height}"
    )]
    ExpiryDue {
        /// The stake.
        outpoint: OutPoint,
        /// Its expiry.
        expires_at: Height,
        /// The entry's height.
        height: Height,
    },
    /// The service is there already.
    #[error("service {0} is registered already")]
    ServiceExists(ServiceId),
    /// No such service.
    #[error("service {0} is not registered")]
    UnknownService(ServiceId),
    /// The provider serves the service already.
    #[error("provider {provider} serves {service} already")]
    ProviderExists {
        /// The service.
        service: ServiceId,
        /// The provider.
        provider: XOnlyPublicKey,
    },
    /// The provider does not serve the service.
    #[error("provider {provider} does not serve {service}")]
    UnknownProvider {
        /// The service.
        service: ServiceId,
        /// The provider.
        provider: XOnlyPublicKey,
    },
    /// Slashed is slashed: the provider is neither registered, nor paid, nor slashed again, and brings no stake.
    #[error("provider {provider} was slashed at height {height}")]
    SlashedProvider {
        /// The provider.
        provider: XOnlyPublicKey,
        /// When.
        height: Height,
    },
    /// More than the whole.
    #[error("a commission of {0} is above 100%")]
    Commission(PartsPerMillion),
    /// The stake was admitted before; an outpoint is admitted once, whatever became of it.
    #[error("stake {0} was admitted before")]
    StakeExists(OutPoint),
    /// The stake's transaction spends a stake that is in the books and is not known to be spent: whoever counted both would
    /// count it twice.
    #[error("the transaction of stake {outpoint} spends stake {spent}, which is {status} in these books")]
    SpendsStake {
        /// The stake.
        outpoint: OutPoint,
        /// The stake that is spent, as itself or as its unbonding output.
        spent: OutPoint,
        /// Its status.
        status: StakeStatus,
    },
    /// Another transaction in the books spends what the stake's spends: one of the two is not on the chain.
    #[error(
        "the transaction of stake {outpoint} spends {input}, as that of stake {by} does: one of them is not on the chain"
    )]
    SpentInput {
        /// The stake.
        outpoint: OutPoint,
        /// What both spend.
        input: OutPoint,
        /// The stake in the books.
        by: OutPoint,
    },
    /// The transaction of a stake in the books spends this one, or its unbonding output.
    #[error("stake {outpoint} is spent: the transaction of stake {by} spends it")]
    SpentStake {
        /// The stake.
        outpoint: OutPoint,
        /// The stake in the books.
        by: OutPoint,
    },
    /// The stake is not made of the other one.
    #[error("the transaction of stake {outpoint} does not spend stake {of}")]
    NotAnExpansion {
        /// The stake.
        outpoint: OutPoint,
        /// What it should have expanded.
        of: OutPoint,
    },
    /// No such stake.
    #[error("stake {0} is not in the books")]
    UnknownStake(OutPoint),
    /// The stake is not active at this height.
    #[error(
        "stake {outpoint} is active from height {inclusion} to below height {expires_at}, not at height {height}"
    )]
    OutsideItsTime {
        /// The stake.
        outpoint: OutPoint,
        /// The height of its block.
        inclusion: Height,
        /// The first height at which it is not active.
        expires_at: Height,
        /// The entry's height.
        height: Height,
    },
    /// The stake has ended.
    #[error("stake {outpoint} has ended: {status}")]
    StakeEnded {
        /// The stake.
        outpoint: OutPoint,
        /// Its end.
        status: StakeStatus,
    },
    /// The stake is not one that was thought to be spent or expanded.
    #[error("stake {outpoint} is {status}: only one that was entered as spent or expanded comes back")]
    StakeLives {
        /// The stake.
        outpoint: OutPoint,
        /// Its status.
        status: StakeStatus,
    },
    /// The stake has not reached its expiry.
    #[error("stake {outpoint} expires at height {expires_at}, not by height {height}")]
    NotExpired {
        /// The stake.
        outpoint: OutPoint,
        /// Its expiry.
        expires_at: Height,
        /// The entry's height.
        height: Height,
    },
    /// None of the stake's providers serves the service.
    #[error("no provider of stake {outpoint} serves {service}")]
    NoProvider {
        /// The stake.
        outpoint: OutPoint,
        /// The service.
        service: ServiceId,
    },
    /// The pre-signed slashing is not at the service's rate.
    #[error(
        "{service} slashes at {rate}, which is {} sat of stake {outpoint}: its slashing is pre-signed for {} sat",
        due.to_sat(), presigned.to_sat()
    )]
    Rate {
        /// The stake.
        outpoint: OutPoint,
        /// The service.
        service: ServiceId,
        /// Its rate.
        rate: SlashingRate,
        /// What that rate takes of the stake.
        due: Amount,
        /// What the pre-signed slashing sends to the slashing script.
        presigned: Amount,
    },
    /// The stake is slashable for too short a time after it ended.
    #[error("{service} asks for {asked} blocks of unbonding, stake {outpoint} has {actual}")]
    UnbondingTime {
        /// The stake.
        outpoint: OutPoint,
        /// The service.
        service: ServiceId,
        /// What it asks for.
        asked: Timelock,
        /// What the stake has.
        actual: Timelock,
    },
    /// A provider is named twice in one allocation.
    #[error("provider {provider} is named twice in the allocation of stake {outpoint}")]
    RepeatedProvider {
        /// The stake.
        outpoint: OutPoint,
        /// The provider.
        provider: XOnlyPublicKey,
    },
    /// The provider is none of the stake's.
    #[error("provider {provider} is none of stake {outpoint}")]
    ForeignProvider {
        /// The stake.
        outpoint: OutPoint,
        /// The provider.
        provider: XOnlyPublicKey,
    },
    /// The parts of an exclusive allocation are more than the stake.
    #[error("parts of {} sat exceed stake {outpoint} of {} sat", parts.to_sat(), value.to_sat())]
    Parts {
        /// The stake.
        outpoint: OutPoint,
        /// The sum of the parts.
        parts: Amount,
        /// The stake's value.
        value: Amount,
    },
    /// The stake would count more often than a service allows.
    #[error(
        "stake {outpoint} of {} sat would count for {nominal} sat: {service} allows a leverage of {limit}",
        value.to_sat()
    )]
    Leverage {
        /// The stake.
        outpoint: OutPoint,
        /// The service whose limit it is.
        service: ServiceId,
        /// The sum of what the services would count, in satoshi.
        nominal: u128,
        /// The stake's value.
        value: Amount,
        /// The limit.
        limit: PartsPerMillion,
    },
    /// A part of nothing.
    #[error("provider {provider} would count nothing of stake {outpoint}")]
    EmptyPart {
        /// The stake.
        outpoint: OutPoint,
        /// The provider.
        provider: XOnlyPublicKey,
    },
    /// The stake does not count for the service, so it cannot be withdrawn.
    #[error("stake {outpoint} does not count for {service}")]
    NotAllocated {
        /// The stake.
        outpoint: OutPoint,
        /// The service.
        service: ServiceId,
    },
    /// The services that a pool over receipts has chosen would count more than one of them allows.
    #[error(
        "the services of pool {pool} would count {sum} of its deposits: {service} allows a leverage of {limit}"
    )]
    LrtLeverage {
        /// The pool over receipts.
        pool: PoolId,
        /// The service whose limit it is.
        service: ServiceId,
        /// What they would count together.
        sum: PartsPerMillion,
        /// The limit.
        limit: PartsPerMillion,
    },
    /// A reward in another coin.
    #[error("{service} pays in {expected}, not in {found}")]
    Denomination {
        /// The service.
        service: ServiceId,
        /// What it pays in.
        expected: Denomination,
        /// What the reward is in.
        found: Denomination,
    },
    /// A reward of nothing.
    #[error("a reward of nothing")]
    EmptyReward,
    /// At one height, rewards come before the stakes that begin to count and before a new commission: these have no part in them.
    #[error(
        "at height {height} more stake began to count for provider {provider} of {service}, or its commission changed: enter the \
         reward at a later height"
    )]
    RewardAfterChange {
        /// The service.
        service: ServiceId,
        /// The provider.
        provider: XOnlyPublicKey,
        /// The entry's height.
        height: Height,
    },
    /// At one height, rewards of a pool come before receipts that are minted: these have no part in them.
    #[error("pool {pool} has minted at height {height}: enter its reward at a later height")]
    PoolRewardAfterMint {
        /// The pool, over stakes or over receipts.
        pool: PoolId,
        /// The entry's height.
        height: Height,
    },
    /// Nothing waits that could reach nobody.
    #[error("nothing is held for provider {provider} of {service} that could reach nobody any more")]
    NothingToGiveBack {
        /// The service.
        service: ServiceId,
        /// The provider.
        provider: XOnlyPublicKey,
    },
    /// Nothing to pay.
    #[error("nothing is owed to {0}")]
    NothingOwed(Account),
    /// Nothing to pay to the provider.
    #[error("no commission is owed to provider {provider} by {service}")]
    NoCommission {
        /// The service.
        service: ServiceId,
        /// The provider.
        provider: XOnlyPublicKey,
    },
    /// The name is a pool's already, over stakes or over receipts.
    #[error("pool {0} is open already")]
    PoolExists(PoolId),
    /// No such pool.
    #[error("pool {0} is not open")]
    UnknownPool(PoolId),
    /// The pool refuses.
    #[error("pool {pool}: {error}")]
    Pool {
        /// The pool.
        pool: PoolId,
        /// Why.
        error: PoolError,
    },
    /// The pool over receipts refuses.
    #[error("pool {pool}: {error}")]
    Lrt {
        /// The pool.
        pool: PoolId,
        /// Why.
        error: LrtError,
    },
    /// No report on the pool.
    #[error("pool {pool}: {error}")]
    Risk {
        /// The pool.
        pool: PoolId,
        /// Why.
        error: RiskError,
    },
    /// Receipts are minted once for an outpoint, whichever the pool.
    #[error("stake {outpoint} has been minted for before, in pool {pool}")]
    Minted {
        /// The stake.
        outpoint: OutPoint,
        /// The pool.
        pool: PoolId,
    },
    /// No receipts were minted for the stake.
    #[error("no pool has minted for stake {0}")]
    NotMinted(OutPoint),
    /// Exits would leave before the stake that backs them stops being slashable.
    #[error(
        "exits of pool {pool} wait for {actual} blocks, stake {outpoint} is slashable for {asked} after its end"
    )]
    PoolUnbonding {
        /// The pool.
        pool: PoolId,
        /// The blocks for which its exits wait.
        actual: Timelock,
        /// The stake.
        outpoint: OutPoint,
        /// The stake's unbonding time.
        asked: Timelock,
    },
    /// What is still locked cannot be back.
    #[error("stake {outpoint} is {status}: at height {height} it is not back")]
    StillLocked {
        /// The stake.
        outpoint: OutPoint,
        /// Its status.
        status: StakeStatus,
        /// The entry's height.
        height: Height,
    },
    /// Names that begin with `lrt:` are those of pools over receipts, which move their shares themselves.
    #[error("{0} is the account of a pool")]
    ReservedHolder(HolderId),
    /// A number does not fit.
    #[error("{0} does not fit")]
    Overflow(&'static str),
}
