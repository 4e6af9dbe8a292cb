use alloc::boxed::Box;
use core::fmt;

use bitcoin::{Amount, Network, Txid, XOnlyPublicKey};
use tapstake_crypto::pop::PossessionError;
use tapstake_params::{BoundsError, ScheduleError};
use tapstake_script::{FindError, TermsError};

use crate::expansion::ExpansionError;
use crate::inspect::OutputKind;
use crate::shape::ShapeError;
use crate::slashing::SlashingError;
use crate::spend::WitnessError;
use crate::staking::StakingError;
use crate::unbonding::UnbondingError;

/// The transactions of a delegation that are signed before its staking transaction is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SignedTx {
    /// The unbonding transaction.
    Unbonding,
    /// The slashing transaction of the staking output.
    Slashing,
    /// The slashing transaction of the unbonding output.
    UnbondingSlashing,
    /// The staking transaction of an expansion, which spends the old stake.
    Expansion,
}

impl fmt::Display for SignedTx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SignedTx::Unbonding => "unbonding transaction",
            SignedTx::Slashing => "slashing transaction",
            SignedTx::UnbondingSlashing => "slashing transaction of the unbonding output",
            SignedTx::Expansion => "expansion",
        })
    }
}

/// The rule of a delegation that is broken, with the values that break it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DelegationError {
    /// The delegation is on another network than the parameters.
    #[error("the delegation is on {actual}, the parameters are for {expected}")]
    Network {
        /// The delegation's network.
        actual: Network,
        /// The parameters' network.
        expected: Network,
    },
    /// There are no parameters of its version.
    #[error(transparent)]
    ParamsVersion(#[from] ScheduleError),
    /// The parameters are older than slashing transactions.
    #[error("parameters version {version} does not say what a slashing takes")]
    NoSlashing {
        /// The parameters version.
        version: u32,
    },
    /// The keys make no stake.
    #[error(transparent)]
    Terms(#[from] TermsError),
    /// Value or timelock outside the parameters.
    #[error(transparent)]
    Bounds(#[from] BoundsError),
    /// The stake has another committee than the parameters.
    #[error("the covenant of the stake is not that of parameters version {version}")]
    Committee {
        /// The parameters version.
        version: u32,
    },
    /// The stake has another unbonding time than the parameters.
    #[error("unbonding time {actual} blocks is not the {expected} blocks of parameters version {version}")]
    UnbondingTime {
        /// The stake's unbonding time.
        actual: tapstake_params::Timelock,
        /// The parameters' unbonding time.
        expected: tapstake_params::Timelock,
        /// The parameters version.
        version: u32,
    },
    /// The staking transaction has no single output with the stake's script and value.
    #[error(transparent)]
    StakingOutput(#[from] FindError),
    /// The stake is another output than the delegation says.
    #[error("the staking output is output {actual}, the delegation names output {expected}")]
    Vout {
        /// Where the staking output is.
        actual: u32,
        /// Which output the delegation names.
        expected: u32,
    },
    /// Signing the staking transaction changes its txid, or prevouts are missing.
    #[error("staking transaction: {0}")]
    Staking(#[from] StakingError),
    /// The staking transaction is a coinbase, or has no inputs.
    #[error("staking transaction {txid} spends no output")]
    NoInputs {
        /// The transaction.
        txid: Txid,
    },
    /// The staking transaction spends one output twice.
    #[error("staking transaction: input {input} spends what another input spends")]
    SpentTwice {
        /// The second input.
        input: usize,
    },
    /// The staking transaction is funded by an output of such a stake.
    #[error("staking transaction: input {input} is itself the {kind:?} output of a stake of these parties")]
    FundingIsStake {
        /// The input.
        input: usize,
        /// What it spends.
        kind: OutputKind,
    },
    /// The staking transaction's outputs hold more than its inputs.
    #[error("staking transaction: outputs of {} sat, inputs of {} sat", outputs.to_sat(), inputs.to_sat())]
    Overspent {
        /// What the inputs hold.
        inputs: Amount,
        /// What the outputs hold.
        outputs: Amount,
    },
    /// The staking transaction is heavier than nodes relay.
    #[error("staking transaction: weight {weight} is above 400000")]
    Weight {
        /// The weight without witnesses, in weight units.
        weight: u64,
    },
    /// The unbonding transaction breaks a rule.
    #[error(transparent)]
    Unbonding(#[from] UnbondingError),
    /// A slashing transaction breaks a rule.
    #[error("{}{source}", if *tx == SignedTx::UnbondingSlashing { "of the unbonding output: " } else { "" })]
    Slashing {
        /// Which of the two.
        tx: SignedTx,
        /// The rule.
        source: SlashingError,
    },
    /// A transaction to be signed carries a witness already.
    #[error("the {tx} carries a witness: signatures stand beside it")]
    UnexpectedWitness {
        /// The transaction.
        tx: SignedTx,
    },
    /// The staker has not signed, but others have or should have.
    #[error("the staker's signatures on the slashing transactions are missing")]
    StakerMissing,
    /// A signature of the staker does not verify.
    #[error("the staker's signature on the {tx} does not verify")]
    StakerSignature {
        /// What it should sign.
        tx: SignedTx,
    },
    /// The key pair to sign with is another staker's.
    #[error("the key to sign with is not the staker's key {expected}")]
    OtherStaker {
        /// The delegation's staker.
        expected: XOnlyPublicKey,
    },
    /// Nobody shows that the staker has the staker's key.
    #[error("the proof of possession of the staker's key is missing")]
    PossessionMissing,
    /// The proof of possession does not verify.
    #[error(transparent)]
    Possession(Box<PossessionError>),
    /// A signature by somebody who is not on the committee.
    #[error("key {member} signed the {tx}, but is no member of its covenant")]
    UnknownMember {
        /// The key.
        member: XOnlyPublicKey,
        /// What it signed.
        tx: SignedTx,
    },
    /// A member's signature does not verify.
    #[error("covenant member {member}: the signature on the {tx} does not verify")]
    CovenantSignature {
        /// The member.
        member: XOnlyPublicKey,
        /// What it should sign.
        tx: SignedTx,
    },
    /// A member's adaptor signature does not verify.
    #[error(
        "covenant member {member}: the adaptor signature on the {tx} for provider {provider} does not verify"
    )]
    AdaptorSignature {
        /// The member.
        member: XOnlyPublicKey,
        /// What it should sign.
        tx: SignedTx,
        /// The provider whose key it is encrypted to.
        provider: Box<XOnlyPublicKey>,
    },
    /// A member gives another number of adaptor signatures than there are providers.
    #[error("covenant member {member}: {given} adaptor signatures on the {tx} for {providers} providers")]
    AdaptorCount {
        /// The member.
        member: XOnlyPublicKey,
        /// What they sign.
        tx: SignedTx,
        /// How many there are.
        given: usize,
        /// How many providers the stake has.
        providers: usize,
    },
    /// Too few members have signed.
    #[error("{given} of {needed} covenant members have signed the {tx}")]
    Quorum {
        /// How many have.
        given: usize,
        /// How many must.
        needed: usize,
        /// What they sign.
        tx: SignedTx,
    },
    /// The tokens are not the proofs of this list of signatures, in its order.
    #[error("signature {position} of the list is not proven")]
    Unproven {
        /// The position of the first without its token.
        position: usize,
    },
    /// The staking transaction itself is not signed yet.
    #[error("input {input} of the staking transaction is not signed")]
    NotSigned {
        /// The input.
        input: usize,
    },
    /// A signed staking transaction that is another one.
    #[error("transaction {actual} is not the staking transaction {expected}, on which others are signed")]
    OtherTransaction {
        /// The transaction given.
        actual: Txid,
        /// The staking transaction.
        expected: Txid,
    },
    /// The key is no provider's of this stake.
    #[error("key {key} is no finality provider of this stake")]
    UnknownProvider {
        /// The key.
        key: XOnlyPublicKey,
    },
    /// A witness cannot be completed.
    #[error(transparent)]
    Witness(#[from] WitnessError),
    /// The staking transaction does not expand the old stake.
    #[error(transparent)]
    Expansion(#[from] ExpansionError),
    /// The delegation is not one of an expansion.
    #[error("the delegation expands no stake")]
    NoExpansion,
}

impl DelegationError {
    /// The broken rule's name, as the command line documents it.
    pub const fn rule(&self) -> &'static str {
        match self {
            DelegationError::Network { .. } => "network",
            DelegationError::ParamsVersion(_) | DelegationError::NoSlashing { .. } => "params-version",
            DelegationError::Terms(_) => "duplicate-key",
            DelegationError::Bounds(_) => "bounds",
            DelegationError::Committee { .. } | DelegationError::UnknownMember { .. } => "committee",
            DelegationError::UnbondingTime { .. } => "unbonding-time",
            DelegationError::StakingOutput(_) | DelegationError::Vout { .. } => "staking-output",
            DelegationError::Staking(error) => staking_rule(error),
            DelegationError::NoInputs { .. }
            | DelegationError::SpentTwice { .. }
            | DelegationError::Overspent { .. } => "funding",
            DelegationError::FundingIsStake { .. } => "funding-is-stake",
            DelegationError::Weight { .. } => "weight",
            DelegationError::Unbonding(error) => unbonding_rule(error),
            DelegationError::Slashing { source, .. } => slashing_rule(source),
            DelegationError::UnexpectedWitness { .. } => "unexpected-witness",
            DelegationError::StakerMissing
            | DelegationError::StakerSignature { .. }
            | DelegationError::OtherStaker { .. } => "staker-signature",
            DelegationError::PossessionMissing | DelegationError::Possession(_) => "possession",
            DelegationError::CovenantSignature { .. }
            | DelegationError::AdaptorSignature { .. }
            | DelegationError::AdaptorCount { .. } => "covenant-signature",
            DelegationError::Quorum { .. } => "quorum",
            DelegationError::Unproven { .. } | DelegationError::Witness(_) => "signatures",
            DelegationError::NotSigned { .. } | DelegationError::OtherTransaction { .. } => {
                "staking-signature"
            }
            DelegationError::UnknownProvider { .. } => "provider",
            DelegationError::Expansion(error) => expansion_rule(error),
            DelegationError::NoExpansion => "expansion",
        }
    }
}

const fn staking_rule(error: &StakingError) -> &'static str {
    match error {
        StakingError::Bounds(_) => "bounds",
        StakingError::Covenant { .. } => "committee",
        StakingError::UnbondingTime { .. } => "unbonding-time",
        StakingError::SeveralProviders { .. } => "phase-1-data",
        StakingError::Prevouts { .. } => "prevouts",
        StakingError::TxidNotFinal { .. } => "txid-not-final",
    }
}

const fn unbonding_rule(error: &UnbondingError) -> &'static str {
    match error {
        UnbondingError::Shape(ShapeError::Version { .. }) => "unbonding-version",
        UnbondingError::Shape(ShapeError::LockTime { .. }) => "unbonding-locktime",
        UnbondingError::Shape(ShapeError::Sequence { .. }) => "unbonding-sequence",
        UnbondingError::Shape(ShapeError::Outpoint { .. }) => "unbonding-outpoint",
        UnbondingError::Shape(_) => "unbonding-shape",
        UnbondingError::Script => "unbonding-output",
        UnbondingError::Fee { .. } => "unbonding-fee",
        UnbondingError::TooSmall { .. } => "too-small",
        UnbondingError::Dust(_) => "dust",
    }
}

const fn slashing_rule(error: &SlashingError) -> &'static str {
    match error {
        SlashingError::Shape(ShapeError::Version { .. }) => "slashing-version",
        SlashingError::Shape(ShapeError::LockTime { .. }) => "slashing-locktime",
        SlashingError::Shape(ShapeError::Sequence { .. }) => "slashing-sequence",
        SlashingError::Shape(ShapeError::Outpoint { .. }) => "slashing-outpoint",
        SlashingError::Shape(_) => "slashing-shape",
        SlashingError::SlashedScript => "slashing-script",
        SlashingError::SlashedValue { .. } => "slashing-rate",
        SlashingError::RefundScript => "refund-output",
        SlashingError::Fee { .. } => "slashing-fee",
        SlashingError::FeeRate { .. } => "slashing-fee-rate",
        SlashingError::Overspent { .. } => "too-small",
        SlashingError::Empty { .. } | SlashingError::Dust(_) => "dust",
        SlashingError::Weight { .. } => "weight",
    }
}

const fn expansion_rule(error: &ExpansionError) -> &'static str {
    match error {
        ExpansionError::Inputs { .. } | ExpansionError::ScriptSig { .. } => "expansion-inputs",
        ExpansionError::Outpoint { .. } | ExpansionError::Prevout => "expansion-previous",
        ExpansionError::FundingIsStake { .. } => "funding-is-stake",
        ExpansionError::Staker | ExpansionError::Providers => "expansion-parties",
        ExpansionError::Value { .. } => "expansion-value",
        ExpansionError::StakingTime { .. } => "expansion-time",
        ExpansionError::Committee { .. } => "expansion-committee",
        ExpansionError::Fee { .. } => "expansion-fee",
        ExpansionError::Stake(_) | ExpansionError::Vout { .. } => "staking-output",
        ExpansionError::Funding(error) => staking_rule(error),
        ExpansionError::Dust(_) => "dust",
    }
}
