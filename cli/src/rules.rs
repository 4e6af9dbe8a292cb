//! The names of the rules that refusals go back to, stable for scripts to match on.
//!
//! The crates' errors are typed; here each type, or where one type holds several rules each variant, has its name.

use tapstake_chain::ChainError;
use tapstake_crypto::pop::{AccountError, PossessionError};
use tapstake_params::local::LocalError;
use tapstake_params::{
    BoundsError, DustError, JsonError, ParamsError, QuorumError, RateError, ScheduleError, TimelockError,
};
use tapstake_prover::ProveError;
use tapstake_restake::YieldError;
use tapstake_script::{FindError, OpReturnError, TermsError};
use tapstake_signer::covenant::Refusal;
use tapstake_signer::keyfile::KeyFileError;
use tapstake_tracker::TrackerError;
use tapstake_tx::delegation::{CombineError, DelegationError, PackageDecodeError};
use tapstake_tx::psbt::PsbtError;
use tapstake_tx::{
    CpfpError, FeeRateError, ReplacedError, ShapeError, SlashingError, StakingError, UnbondingError,
    WithdrawalError, WitnessError,
};
use tapstake_verifier::headers::HeaderError;
use tapstake_wallet::WalletError;

pub(crate) mod next;

/// The rule that `error`, or the first of its sources that knows one, goes back to.
pub(crate) fn name(error: &anyhow::Error) -> Option<&'static str> {
    error.chain().find_map(one)
}

/// The first of these types that the error is, and the name that goes with it.
macro_rules! first {
    ($error:expr, $($kind:ty => $name:expr),+ $(,)?) => {
        $(if let Some(error) = $error.downcast_ref::<$kind>() {
            let name: fn(&$kind) -> Option<&'static str> = $name;
            return name(error);
        })+
    };
}

fn one(error: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    first! { error,
        TimelockError => |_| Some("timelock"),
        QuorumError => |error| Some(quorum(error)),
        TermsError => |error| Some(terms(error)),
        RateError => |_| Some("slashing-rate"),
        DustError => |_| Some("dust"),
        BoundsError => |_| Some("bounds"),
        FeeRateError => |_| Some("fee-rate"),
        FindError => |_| Some("staking-output"),
        OpReturnError => |_| Some("phase-1-data"),
        ShapeError => |_| Some("shape"),
        LocalError => |error| match error {
            LocalError::PublicCovenant(_) => Some("public-covenant"),
            LocalError::Schedule(error) => schedule(error),
            _ => None,
        },
        ScheduleError => schedule,
        ParamsError => |error| Some(params(error)),
        JsonError => |_| Some("parameters"),
        UnbondingError => |error| match error {
            UnbondingError::Script => Some("unbonding-output"),
            UnbondingError::Fee { .. } => Some("unbonding-fee"),
            UnbondingError::TooSmall { .. } => Some("too-small"),
            // The sources say.
            _ => None,
        },
        SlashingError => |error| match error {
            SlashingError::SlashedScript => Some("slashing-script"),
            SlashingError::SlashedValue { .. } => Some("slashed-value"),
            SlashingError::RefundScript => Some("refund-output"),
            SlashingError::Fee { .. } => Some("slashing-fee"),
            SlashingError::FeeRate { .. } => Some("slashing-fee-rate"),
            SlashingError::Overspent { .. } => Some("too-small"),
            SlashingError::Empty { .. } => Some("dust"),
            SlashingError::Weight { .. } => Some("weight"),
            _ => None,
        },
        StakingError => |error| Some(staking(error)),
        WithdrawalError => |error| Some(withdrawal(error)),
        WitnessError => |_| Some("signatures"),
        PsbtError => |error| match error {
            PsbtError::OtherTransaction { .. } => Some("other-transaction"),
            _ => Some("psbt"),
        },
        PossessionError => |_| Some("possession"),
        AccountError => |_| Some("possession"),
        DelegationError => |error| Some(error.rule()),
        CombineError => |_| Some("delegation-copies"),
        PackageDecodeError => |_| Some("file"),
        ReplacedError => |_| Some("replaced"),
        CpfpError => |_| Some("fee-rate"),
        Refusal => |error| Some(error.rule()),
        HeaderError => |error| Some(error.rule().name()),
        WalletError => wallet,
        ChainError => chain,
        ProveError => |error| match error {
            ProveError::Chain(error) => chain(error),
            ProveError::OpReturn(_) => Some("phase-1-data"),
            ProveError::TimedOut { .. } | ProveError::Unconfirmed(_) => Some("confirmations"),
            ProveError::UnknownTransaction(_) | ProveError::NoSuchOutput { .. } => Some("unknown-output"),
            ProveError::NotInBlock { .. } => Some("merkle-root"),
            ProveError::Coinbase(_) => Some("stake-not-coinbase"),
            ProveError::NoOpReturn(_) => Some("phase-1-data"),
            ProveError::Timelock(_) => Some("timelock"),
            ProveError::NoSuchStake { .. } => Some("staking-output"),
            ProveError::OtherDelegation { .. } => Some("delegation"),
            ProveError::Headers(error) => Some(error.rule().name()),
            ProveError::OtherChain(_) => Some("best-chain"),
            _ => None,
        },
        YieldError => yields,
        KeyFileError => |error| Some(match error {
            KeyFileError::Io { .. } => "file",
            KeyFileError::WrongPassphrase(_) => "passphrase",
            KeyFileError::WorkFactor { .. } => "work-factor",
            _ => "key-file",
        }),
        // Of whatever kind the file is.
        serde_json::Error => |_| Some("file"),
        TrackerError => |error| match error {
            TrackerError::Chain(error) => chain(error),
            TrackerError::Delegation(error) => Some(error.rule()),
            TrackerError::Combine(_) => Some("delegation-copies"),
            TrackerError::Network { .. } => Some("network"),
            TrackerError::NewerStore { .. } | TrackerError::NewerExport { .. } => Some("file-version"),
            TrackerError::Damaged { .. } | TrackerError::Export(_) => Some("file"),
            TrackerError::UnknownStake(_) | TrackerError::AlreadyKnown(_) => Some("stake"),
            TrackerError::NotTheStake(_) => Some("staking-output"),
            TrackerError::Busy { .. } => Some("in-use"),
            TrackerError::File { .. } | TrackerError::Database { .. } => Some("file"),
            _ => None,
        },
    }
    None
}

const fn yields(error: &YieldError) -> Option<&'static str> {
    Some(match error {
        YieldError::NoPrice { .. } | YieldError::ZeroPrice(_) | YieldError::TwoPrices(_) => "price",
        YieldError::Commission { .. } => "commission",
        YieldError::Slashable { .. } => "slashable",
        YieldError::Periods(_) | YieldError::Months(_) => "time",
        YieldError::Overflow(_) => "overflow",
        _ => return None,
    })
}

const fn quorum(error: &QuorumError) -> &'static str {
    match error {
        QuorumError::KeyCount { .. } => "key-count",
        QuorumError::DuplicateKey { .. } => "duplicate-key",
        _ => "quorum",
    }
}

const fn terms(error: &TermsError) -> &'static str {
    match error {
        TermsError::Providers(error) => quorum(error),
        _ => "duplicate-key",
    }
}

const fn schedule(error: &ScheduleError) -> Option<&'static str> {
    Some(match error {
        ScheduleError::BeforeFirst { .. } | ScheduleError::NoVersion { .. } => "params-version",
        ScheduleError::Params(error) => params(error),
        _ => "parameters",
    })
}

const fn params(error: &ParamsError) -> &'static str {
    match error {
        ParamsError::NoMajority { .. } => "quorum",
        _ => "parameters",
    }
}

const fn staking(error: &StakingError) -> &'static str {
    match error {
        StakingError::Bounds(_) => "bounds",
        StakingError::UnbondingTime { .. } => "unbonding-time",
        StakingError::TxidNotFinal { .. } => "txid-not-final",
        StakingError::SeveralProviders { .. } => "several-providers",
        _ => "staking",
    }
}

const fn withdrawal(error: &WithdrawalError) -> &'static str {
    match error {
        WithdrawalError::FeeRate(_) => "fee-rate",
        WithdrawalError::TooSmall { .. } => "too-small",
        WithdrawalError::Dust(_) => "dust",
        WithdrawalError::Weight { .. } => "weight",
        WithdrawalError::Immature { .. } => "immature",
        WithdrawalError::Signatures { .. } | WithdrawalError::Witness { .. } => "signatures",
        _ => "withdrawal",
    }
}

fn wallet(error: &WalletError) -> Option<&'static str> {
    Some(match error {
        WalletError::WrongNetwork { .. } | WalletError::KeyNetwork(_) => "network",
        WalletError::NewerFormat { .. } => "file-version",
        WalletError::Damaged { .. } => "file",
        WalletError::Mnemonic(_) | WalletError::MnemonicLength(_) => "mnemonic",
        WalletError::Descriptor(_) | WalletError::NotNativeSegwit(_) => "descriptor",
        WalletError::InsufficientFunds { .. } => "insufficient-funds",
        WalletError::FeeRate(_) | WalletError::FeeTooHigh { .. } => "fee-rate",
        WalletError::Dust { .. } => "dust",
        WalletError::ValueOutOfRange => "amount",
        WalletError::LockedCoin { .. } => "locked-coin",
        WalletError::YoungCoin { .. } => "immature",
        WalletError::Bounds(_) => "bounds",
        WalletError::Staking(error) => staking(error),
        WalletError::Delegation(error) => error.rule(),
        WalletError::NoFundingCoin { .. } => "insufficient-funds",
        WalletError::Expansion(error) => DelegationError::from(error.clone()).rule(),
        WalletError::NoChange(_) | WalletError::SmallChange { .. } => "no-change",
        WalletError::Cpfp(_) => "fee-rate",
        WalletError::Withdrawal(error) => withdrawal(error),
        WalletError::NotTheStake(_) => "staking-output",
        WalletError::Chain(error) => return chain(error),
        WalletError::Rehearsal(_) | WalletError::OtherRehearsal { .. } => "exit-rehearsal",
        WalletError::FolderInUse(_) => "wallet-exists",
        WalletError::NoWallet(_) => "wallet",
        WalletError::Busy(_) => "wallet-busy",
        WalletError::File { .. } | WalletError::Sheet(_) => "file",
        WalletError::UnprotectedMainnetSeed => "unprotected-seed",
        WalletError::OpenToOthers { .. } => "file-mode",
        WalletError::WatchOnly => "watch-only",
        WalletError::PassphraseNeeded | WalletError::WrongPassphrase { .. } => "passphrase",
        WalletError::ForeignKeys(_)
        | WalletError::NoStakerKey(_)
        | WalletError::ExternalStakerKey
        | WalletError::ForeignStakerKey { .. }
        | WalletError::OtherStakerKey { .. } => "key",
        WalletError::NoWords => "no-words",
        WalletError::UnknownCoin(_) => "unknown-coin",
        WalletError::NotAPsbt(_)
        | WalletError::Combine(_)
        | WalletError::CoinMismatch { .. }
        | WalletError::MissingPrevout(_)
        | WalletError::SighashType { .. }
        | WalletError::ForgedOrigin { .. }
        | WalletError::UncommittedLeaf { .. }
        | WalletError::OtherTransaction { .. }
        | WalletError::Psbt(_) => "psbt",
        WalletError::NotFullySigned { .. } | WalletError::Signing { .. } => "signatures",
        WalletError::Electrum(_) | WalletError::Node(_) => "unreachable",
        WalletError::Disconnected(_) => "misbehaving-source",
        _ => return None,
    })
}

const fn chain(error: &ChainError) -> Option<&'static str> {
    Some(match error {
        ChainError::WrongNetwork { .. } => "network",
        ChainError::Unreachable { .. } => "unreachable",
        ChainError::Misbehaving { .. } => "misbehaving-source",
        ChainError::Pruned { .. } => "pruned",
        ChainError::TxIndexMissing { .. } => "txindex",
        ChainError::Rejected { .. } => "rejected",
        ChainError::BurnNeedsNode { .. } => "burn-needs-node",
        ChainError::Config(_) => "source",
        ChainError::Unauthorized { .. } => "unauthorized",
        ChainError::WarmingUp { .. } | ChainError::TxIndexSyncing { .. } | ChainError::Reorganised { .. } => {
            "source-busy"
        }
        ChainError::NoSuchBlock { .. } => "height",
        ChainError::UnknownOutpoint { .. } => "unknown-output",
        ChainError::BadBlock { .. } => "misbehaving-source",
        ChainError::Unsupported { .. } => "unsupported",
        _ => return None,
    })
}
