use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use bitcoin::{BlockHash, Network, Work, XOnlyPublicKey};
use tapstake_crypto::pop::{Account, Context, PossessionForm};
use tapstake_params::{BoundsError, Height, ScheduleError};
use tapstake_script::{FindError, OpReturnError, TermsError};
use tapstake_tx::delegation::{DelegationError, SignedTx};

use crate::headers::{DeepReorganisation, HeaderError};
use crate::policy::Depth;
use crate::{AccountRule, InclusionError, Registration, Rule};

/// Why a proof does not prove a stake. Each variant belongs to one [`Rule`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// Proof, header chain and parameters are not all of one network.
    #[error("proof is of {proof}, the {other} of {expected}")]
    Network {
        /// The proof's network.
        proof: Network,
        /// What it was held against: header chain, parameters or the service's policy.
        other: &'static str,
        /// The network of that.
        expected: Network,
    },
    /// The header chain waits for a person's decision.
    #[error("header chain is frozen: {0}")]
    Frozen(DeepReorganisation),
    /// The proof's block is not the one that the chain has at that height.
    #[error("block {claimed} at height {height} is not in the chain, which has {} there", or_nothing(*found))]
    NotInChain {
        /// The inclusion height claimed.
        height: Height,
        /// The hash of the proof's header.
        claimed: BlockHash,
        /// The chain's block at that height, if it has one: it does not below its anchor and above its tip.
        found: Option<BlockHash>,
    },
    /// The proof was to be judged by headers that it does not bring.
    #[error("proof brings no headers of its own")]
    NoOwnHeaders,
    /// The policy takes no headers from proofs.
    #[error("policy takes no headers that come with the proof")]
    OwnHeadersRefused,
    /// The headers that the proof brings break a rule.
    #[error("headers that come with the proof: {0}")]
    OwnHeaders(#[source] HeaderError),
    /// The block that the caller trusts is not among the headers that the proof brings.
    #[error("trusted block {expected} at height {height} is not among the proof's headers, which have {} there", or_nothing(*found))]
    TrustedBlock {
        /// The height of the trusted block.
        height: Height,
        /// Its hash.
        expected: BlockHash,
        /// The hash that the headers have at that height, if they reach it.
        found: Option<BlockHash>,
    },
    /// The headers carry too little work.
    #[error("headers carry work {found:#x} from the stake's block on, less than {needed:#x}")]
    Work {
        /// The work of the stake's block and all above it.
        found: Work,
        /// The least work by the policy.
        needed: Work,
    },
    /// The staking transaction is not proven to be in the block.
    #[error(transparent)]
    Inclusion(#[from] InclusionError),
    /// The block does not lie deep enough.
    #[error(
        "block at height {height} has {confirmations} confirmations at tip {tip}, the policy asks for {needed}"
    )]
    Depth {
        /// The inclusion height.
        height: Height,
        /// The height of the tip.
        tip: Height,
        /// The confirmations.
        confirmations: u32,
        /// What the policy asks for.
        needed: Depth,
    },
    /// No parameters apply to the stake.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// A registration claimed above the inclusion, or further below it than the policy allows.
    #[error(
        "registration at height {registration} for an inclusion at {inclusion}: the policy allows {max_gap} blocks below it at most"
    )]
    Registration {
        /// The height claimed.
        registration: Height,
        /// The inclusion height.
        inclusion: Height,
        /// The policy's bound.
        max_gap: u32,
    },
    /// Another registration than phase 1, which is all that the policy takes.
    #[error("registration {}: the policy takes phase-1 stakes only", registration_name(claimed))]
    NotPhase1 {
        /// The registration claimed.
        claimed: Registration,
    },
    /// One key has two roles under the parameters.
    #[error(transparent)]
    Terms(#[from] TermsError),
    /// No output, or more than one, has the script of the claimed terms.
    #[error(transparent)]
    Output(#[from] FindError),
    /// The proof names an output that is not the stake.
    #[error("proof names output {claimed}, the staking output is {found}")]
    Vout {
        /// The output named.
        claimed: u32,
        /// The output that has the script of the claimed terms.
        found: u32,
    },
    /// No output at the position that the proof names.
    #[error("proof names output {claimed}, the transaction has {outputs}")]
    NoSuchOutput {
        /// The output named.
        claimed: u32,
        /// The number of outputs.
        outputs: usize,
    },
    /// More than one OP_RETURN has a phase-1 stake's shape.
    #[error(transparent)]
    OpReturn(#[from] OpReturnError),
    /// A phase-1 stake without its OP_RETURN.
    #[error("transaction has no OP_RETURN in the shape of a phase-1 stake")]
    NoOpReturn,
    /// The OP_RETURN of a phase-1 stake says something else than the claim or the parameters.
    #[error("OP_RETURN of the phase-1 stake has another {field} than {claimed_by}")]
    Phase1Mismatch {
        /// What differs.
        field: &'static str,
        /// What it differs from.
        claimed_by: &'static str,
    },
    /// The parameters in force do not know phase-1 stakes.
    #[error("parameters at height {height} know no phase-1 stakes")]
    NoPhase1 {
        /// The inclusion height.
        height: Height,
    },
    /// Value or time outside the bounds.
    #[error(transparent)]
    Bounds(#[from] BoundsError),
    /// A phase-1 stake above the last height of its version's intake.
    #[error("phase-1 stake at height {height} is above the cap, height {cap}")]
    Cap {
        /// The inclusion height.
        height: Height,
        /// The last height whose stakes count.
        cap: Height,
    },
    /// The proof carries no delegation.
    #[error("proof carries no delegation: nothing shows that the stake can be slashed")]
    NoDelegation,
    /// A rule that everything signed in advance has to keep.
    #[error(transparent)]
    Delegation(#[from] Box<DelegationError>),
    /// A form of the proof of possession that the policy does not take.
    #[error("proof of possession of the form {form}: the policy takes {}", list(accepted))]
    PossessionForm {
        /// Its form.
        form: PossessionForm,
        /// The forms that the policy takes.
        accepted: Vec<PossessionForm>,
    },
    /// The proof of possession names another service or network than the policy.
    #[error("proof of possession names {}, the policy asks for {}", context_name(found.as_ref()), context_name(expected.as_ref()))]
    PossessionContext {
        /// What it names.
        found: Option<Context>,
        /// What the policy asks for.
        expected: Option<Context>,
    },
    /// The account is none of those that the policy takes: the account, and the policy's rule.
    #[error("proof of possession for account {}: the policy takes accounts of the kind {}", .0.0, .0.1)]
    PossessionAccount(Box<(Account, AccountRule)>),
    /// The service knows none of the providers.
    #[error("none of the stake's providers is known to the service: {}", list(providers))]
    UnknownProviders {
        /// The stake's providers.
        providers: Vec<XOnlyPublicKey>,
    },
    /// A provider of the stake is slashed.
    #[error("provider {provider} is slashed")]
    SlashedProvider {
        /// The provider.
        provider: XOnlyPublicKey,
    },
}

impl From<DelegationError> for VerifyError {
    fn from(error: DelegationError) -> Self {
        VerifyError::Delegation(Box::new(error))
    }
}

fn list<T: ToString>(entries: &[T]) -> String {
    let entries: Vec<String> = entries.iter().map(ToString::to_string).collect();
    if entries.is_empty() { "none".into() } else { entries.join(", ") }
}

fn context_name(context: Option<&Context>) -> String {
    match context {
        None => "the account alone".into(),
        Some(context) => alloc::format!("service {} on {}", context.service(), context.network()),
    }
}

fn or_nothing(hash: Option<BlockHash>) -> String {
    hash.map_or_else(|| "nothing".into(), |hash| hash.to_string())
}

fn registration_name(registration: &Registration) -> String {
    match registration {
        Registration::None => "none".into(),
        Registration::At(height) => alloc::format!("at height {height}"),
        Registration::Phase1 => "phase 1".into(),
    }
}

impl VerifyError {
    /// The rule that was broken.
    pub const fn rule(&self) -> Rule {
        match self {
            VerifyError::Network { .. } => Rule::Network,
            VerifyError::TrustedBlock { .. } => Rule::Anchor,
            VerifyError::Frozen(_) => Rule::ReorganisationDepth,
            VerifyError::NotInChain { .. } => Rule::BestChain,
            VerifyError::NoOwnHeaders | VerifyError::OwnHeadersRefused | VerifyError::Work { .. } => {
                Rule::OwnHeaders
            }
            VerifyError::OwnHeaders(error) => error.rule(),
            VerifyError::Inclusion(error) => error.rule(),
            VerifyError::Depth { .. } => Rule::Confirmations,
            VerifyError::Registration { .. } | VerifyError::NotPhase1 { .. } => Rule::Registration,
            VerifyError::Terms(_)
            | VerifyError::Output(_)
            | VerifyError::Vout { .. }
            | VerifyError::NoSuchOutput { .. } => Rule::StakingOutput,
            VerifyError::OpReturn(_)
            | VerifyError::NoOpReturn
            | VerifyError::NoPhase1 { .. }
            | VerifyError::Phase1Mismatch { .. } => Rule::Phase1Data,
            VerifyError::Schedule(_) | VerifyError::Bounds(_) | VerifyError::Cap { .. } => Rule::Bounds,
            VerifyError::NoDelegation => Rule::Delegation,
            VerifyError::Delegation(error) => delegation_rule(error),
            VerifyError::PossessionForm { .. } => Rule::PossessionForm,
            VerifyError::PossessionContext { .. } => Rule::PossessionContext,
            VerifyError::PossessionAccount(_) => Rule::PossessionAccount,
            VerifyError::UnknownProviders { .. } => Rule::KnownProvider,
            VerifyError::SlashedProvider { .. } => Rule::SlashedProvider,
        }
    }
}

const fn delegation_rule(error: &DelegationError) -> Rule {
    match error {
        DelegationError::Unbonding(_) | DelegationError::UnexpectedWitness { tx: SignedTx::Unbonding } => {
            Rule::UnbondingTx
        }
        DelegationError::Slashing { .. }
        | DelegationError::NoSlashing { .. }
        | DelegationError::UnexpectedWitness { .. } => Rule::SlashingTx,
        DelegationError::StakerMissing | DelegationError::StakerSignature { .. } => Rule::StakerSignature,
        DelegationError::UnknownMember { .. }
        | DelegationError::CovenantSignature { .. }
        | DelegationError::AdaptorSignature { .. }
        | DelegationError::AdaptorCount { .. } => Rule::CovenantSignature,
        DelegationError::Quorum { .. } => Rule::CovenantQuorum,
        DelegationError::PossessionMissing | DelegationError::Possession(_) => Rule::Possession,
        // The rest is about building and sending delegations.
        _ => Rule::Delegation,
    }
}
