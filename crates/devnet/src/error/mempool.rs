//! Why the mempool does not take a transaction, or a package.

use bitcoin::{Amount, Txid};

use super::{TxError, reject_reason};

/// Why the mempool does not take a transaction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// A consensus rule about the transaction is broken.
    #[error(transparent)]
    Consensus(#[from] TxError),
    /// An output that nobody can ever spend has more than the caller agreed to burn.
    #[error(
        "Unspendable output exceeds maximum configured by user (maxburnamount), output {vout} burns {} sat of at most {} sat",
        .value.to_sat(), .max_burn.to_sat()
    )]
    Burn {
        /// Index of the output.
        vout: usize,
        /// What it burns.
        value: Amount,
        /// What the caller agreed to burn.
        max_burn: Amount,
    },
    /// The fee rate is above 0.1 BTC for 1000 virtual bytes.
    #[error("max-fee-exceeded, {} sat of fee are above {} sat", .fee.to_sat(), .max.to_sat())]
    FeeTooHigh {
        /// The fee.
        fee: Amount,
        /// The largest fee for the size.
        max: Amount,
    },
    /// The transaction is in a block already.
    #[error("Transaction outputs already in utxo set, {txid}")]
    AlreadyConfirmed {
        /// The transaction.
        txid: Txid,
    },
    /// A coinbase outside of a block.
    #[error("coinbase")]
    Coinbase,
    /// The transaction is valid, but not of a form that nodes relay.
    #[error("{reason}")]
    NonStandard {
        /// Bitcoin Core's reason, and the values.
        reason: String,
    },
    /// Less than 65 bytes without witnesses (CVE-2017-12842).
    #[error("tx-size-small, {size} of at least 65 bytes without witnesses")]
    TooSmall {
        /// Serialized size without witnesses, in bytes.
        size: usize,
    },
    /// The lock time is not reached in the next block (BIP-0113).
    #[error(
        "non-final, lock time {lock_time} is not reached in block {height} (median time past {median_time_past})"
    )]
    NonFinal {
        /// Lock time of the transaction.
        lock_time: u32,
        /// Height of the next block.
        height: u32,
        /// Median time of the last eleven blocks.
        median_time_past: u32,
    },
    /// A relative lock time is not reached in the next block (BIP-0068).
    #[error("non-BIP68-final, first valid in block {} with a median time past of {}", .min_height, .min_time)]
    SequenceLocked {
        /// First height at which all locks by height are open.
        min_height: i64,
        /// First median time past at which all locks by time are open, 0 if there are none.
        min_time: i64,
    },
    /// The very transaction is in the mempool.
    #[error("txn-already-in-mempool")]
    AlreadyInMempool,
    /// The mempool has the transaction with another witness.
    #[error("txn-same-nonwitness-data-in-mempool")]
    SameTxidInMempool,
    /// The fee is below 0.1 sat for each virtual byte.
    #[error("min relay fee not met, {} < {}", .fee.to_sat(), .required.to_sat())]
    MinRelayFee {
        /// The fee.
        fee: Amount,
        /// The smallest fee for the size.
        required: Amount,
    },
    /// The rules of version 3 transactions (BIP-0431) are broken.
    #[error("TRUC-violation, {0}")]
    Truc(&'static str),
    /// A spend of a parent leaves the parent's dust unspent.
    #[error("missing-ephemeral-spends, tx did not spend the dust of its parent {parent}")]
    MissingEphemeralSpends {
        /// The parent in the mempool.
        parent: Txid,
    },
    /// Too many unconfirmed transactions depend on each other.
    #[error("too-large-cluster, {count} transactions of {vsize} vB (at most 64 of 101000 vB)")]
    ClusterTooLarge {
        /// Number of transactions.
        count: usize,
        /// Their size, in virtual bytes.
        vsize: u64,
    },
    /// The transaction spends an output of a transaction that it would replace.
    #[error("bad-txns-spends-conflicting-tx, {txid}")]
    SpendsConflict {
        /// The transaction to be replaced.
        txid: Txid,
    },
    /// The transaction would replace too many others.
    #[error("too many potential replacements, {count} (at most 100)")]
    TooManyReplacements {
        /// Number of conflicting transactions.
        count: usize,
    },
    /// The fee does not pay for what is replaced and for the relay of the replacement (BIP-0125).
    #[error("insufficient fee, rejecting replacement: {} < {}", .fee.to_sat(), .required.to_sat())]
    ReplacementFee {
        /// The fee.
        fee: Amount,
        /// Fees of the replaced ones, and 0.1 sat for each virtual byte.
        required: Amount,
    },
    /// The fee rate is not above the one of a replaced transaction.
    #[error("replacement-failed, insufficient feerate: not above the one of {replaced}")]
    ReplacementFeeRate {
        /// The transaction with a better fee rate.
        replaced: Txid,
    },
    /// A script does not allow the spend.
    #[error("mempool-script-verify-flag-failed (input {input} of {txid})")]
    Script {
        /// The spending transaction.
        txid: Txid,
        /// Index of its input.
        input: usize,
    },
}

impl AcceptError {
    /// Returns Bitcoin Core's reject reason for the rule, without values.
    pub fn reject_reason(&self) -> String {
        reject_reason(&self.to_string())
    }

    pub(crate) fn non_standard(reason: impl Into<String>) -> Self {
        Self::NonStandard { reason: reason.into() }
    }
}

/// Why a package is not taken as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PackageError {
    /// The package is not one child with its direct parents, parents first.
    #[error("package-not-child-with-parents")]
    NotChildWithParents,
    /// More than 25 transactions, or none.
    #[error("package-too-many-transactions, {count} (1 to 25)")]
    Count {
        /// Number of transactions.
        count: usize,
    },
    /// Transactions of the package were refused.
    #[error("transaction failed, {}", .0.iter().map(|(txid, error)| format!("{txid}: {error}")).collect::<Vec<_>>().join("; "))]
    Transactions(Vec<(Txid, AcceptError)>),
}
