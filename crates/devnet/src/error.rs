//! Why a transaction or a block is refused.
//!
//! Every message of [`TxError`], [`BlockError`] and [`AcceptError`] begins with the reject reason
//! that Bitcoin Core gives for the same rule (`bad-txns-inputs-missingorspent`, `non-BIP68-final`, ...),
//! followed by a comma and the values, so that the answers of both can be compared.

use bitcoin::{Amount, BlockHash, OutPoint, TxMerkleNode, Txid, WitnessCommitment};

/// A consensus rule about a single transaction that is broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TxError {
    /// There is no input.
    #[error("bad-txns-vin-empty")]
    NoInputs,
    /// There is no output.
    #[error("bad-txns-vout-empty")]
    NoOutputs,
    /// The transaction alone, without witnesses, would not fit into a block.
    #[error("bad-txns-oversize, {size} bytes without witnesses")]
    Oversize {
        /// Serialized size without witnesses, in bytes.
        size: usize,
    },
    /// An output has a negative value.
    #[error("bad-txns-vout-negative, output {vout}")]
    OutputNegative {
        /// Index of the output.
        vout: usize,
    },
    /// An output has more than all the money there can be.
    #[error("bad-txns-vout-toolarge, output {vout} has {} sat", .value.to_sat())]
    OutputTooLarge {
        /// Index of the output.
        vout: usize,
        /// Its value.
        value: Amount,
    },
    /// All outputs together have more than all the money there can be.
    #[error("bad-txns-txouttotal-toolarge")]
    OutputTotalTooLarge,
    /// Two inputs spend the same output.
    #[error("bad-txns-inputs-duplicate, {outpoint} is spent twice")]
    DuplicateInput {
        /// The output that is spent twice.
        outpoint: OutPoint,
    },
    /// The script of a coinbase input has less than 2 or more than 100 bytes.
    #[error("bad-cb-length, {length} bytes are not between 2 and 100")]
    CoinbaseScriptLength {
        /// Length of the script, in bytes.
        length: usize,
    },
    /// An input of an ordinary transaction spends the null outpoint.
    #[error("bad-txns-prevout-null, input {input}")]
    NullPrevout {
        /// Index of the input.
        input: usize,
    },
    /// An output that is spent does not exist, or has already been spent.
    #[error("bad-txns-inputs-missingorspent, {outpoint}")]
    MissingInput {
        /// The output that is not there.
        outpoint: OutPoint,
    },
    /// A coinbase is spent before it has matured.
    #[error("bad-txns-premature-spend-of-coinbase, {outpoint} spent at depth {depth} of 100")]
    PrematureCoinbaseSpend {
        /// The coinbase output.
        outpoint: OutPoint,
        /// Blocks between the coinbase and the spending block.
        depth: u32,
    },
    /// The spent outputs together have more than all the money there can be.
    #[error("bad-txns-inputvalues-outofrange")]
    InputValueOutOfRange,
    /// The outputs are worth more than the inputs.
    #[error("bad-txns-in-belowout, value in ({} sat) < value out ({} sat)", .inputs.to_sat(), .outputs.to_sat())]
    InputsBelowOutputs {
        /// Value of all inputs.
        inputs: Amount,
        /// Value of all outputs.
        outputs: Amount,
    },
}

/// The rule a block breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlockError {
    /// The hash of the header is above the target, or the target is no regtest target.
    #[error("high-hash, proof of work failed for {hash}")]
    HighHash {
        /// Hash of the header.
        hash: BlockHash,
    },
    /// The block was refused before, or has been invalidated by hand.
    #[error("duplicate-invalid, block {hash} is known to be invalid")]
    KnownInvalid {
        /// Hash of the block.
        hash: BlockHash,
    },
    /// The block it builds on is not known.
    #[error("prev-blk-not-found, {previous}")]
    UnknownPrevious {
        /// The hash the header points to.
        previous: BlockHash,
    },
    /// The block builds on an invalid one.
    #[error("bad-prevblk, {previous} is invalid")]
    BadPrevious {
        /// The invalid block.
        previous: BlockHash,
    },
    /// The target differs from the one the rules ask for.
    #[error("bad-diffbits, {bits:#010x} instead of {expected:#010x}")]
    BadBits {
        /// Compact target in the header.
        bits: u32,
        /// The only one allowed.
        expected: u32,
    },
    /// The timestamp is not above the median of the eleven blocks before.
    #[error("time-too-old, {time} is not above the median time past {median}")]
    TimeTooOld {
        /// Timestamp of the block, in seconds since 1970.
        time: u32,
        /// The median it must exceed.
        median: u32,
    },
    /// The timestamp is more than two hours ahead of the clock.
    #[error("time-too-new, {time} is more than two hours ahead of {now}")]
    TimeTooNew {
        /// Timestamp of the block, in seconds since 1970.
        time: u32,
        /// The clock of the chain.
        now: u32,
    },
    /// The version is below 4 (BIP-0034, BIP-0065, BIP-0066).
    #[error("bad-version({version:#010x}), below 4")]
    BadVersion {
        /// Version of the header.
        version: i32,
    },
    /// The Merkle root of the header is not the one of the transactions.
    #[error("bad-txnmrklroot, {root} instead of {computed}")]
    BadMerkleRoot {
        /// The one in the header.
        root: TxMerkleNode,
        /// The one of the transactions.
        computed: TxMerkleNode,
    },
    /// The list of transactions repeats its end, which leaves the Merkle root unchanged (CVE-2012-2459).
    #[error("bad-txns-duplicate, the transaction list repeats itself")]
    DuplicateTransactions,
    /// No transactions, or more than fit into a block.
    #[error("bad-blk-length, {transactions} transactions")]
    BadLength {
        /// Number of transactions.
        transactions: usize,
    },
    /// The first transaction is no coinbase.
    #[error("bad-cb-missing, the first transaction is no coinbase")]
    CoinbaseMissing,
    /// A transaction that is not the first is a coinbase.
    #[error("bad-cb-multiple, transaction {position} is a coinbase")]
    CoinbaseMultiple {
        /// Position in the block.
        position: usize,
    },
    /// A transaction breaks a rule of its own.
    #[error("{source} (transaction {txid})")]
    Transaction {
        /// The transaction.
        txid: Txid,
        /// The rule.
        source: TxError,
    },
    /// Too many signature operations.
    #[error("bad-blk-sigops, cost {cost} is above 80000")]
    Sigops {
        /// Cost as far as it has been counted.
        cost: usize,
    },
    /// The lock time of a transaction has not been reached (BIP-0113).
    #[error("bad-txns-nonfinal, lock time {lock_time} of {txid}")]
    NonFinal {
        /// The transaction.
        txid: Txid,
        /// Its lock time.
        lock_time: u32,
    },
    /// A relative lock time of a transaction has not been reached (BIP-0068).
    #[error("bad-txns-nonfinal, non-BIP68-final transaction {txid}")]
    SequenceLocked {
        /// The transaction.
        txid: Txid,
    },
    /// The coinbase does not begin with the height (BIP-0034).
    #[error("bad-cb-height, height {height} is not at the start of the coinbase script")]
    CoinbaseHeight {
        /// Height of the block.
        height: u32,
    },
    /// The witness of the coinbase is not one element of 32 bytes (BIP-0141).
    #[error("bad-witness-nonce-size, the coinbase witness must be one element of 32 bytes")]
    WitnessNonceSize,
    /// The witness commitment is not the one of the transactions (BIP-0141).
    #[error("bad-witness-merkle-match, {commitment} instead of {computed}")]
    WitnessMerkleMismatch {
        /// The one in the coinbase.
        commitment: WitnessCommitment,
        /// The one of the transactions.
        computed: WitnessCommitment,
    },
    /// A transaction has a witness, and the coinbase has no witness commitment (BIP-0141).
    #[error("unexpected-witness, {txid} has a witness and the block has no witness commitment")]
    UnexpectedWitness {
        /// The transaction with a witness.
        txid: Txid,
    },
    /// The block weighs more than 4,000,000 weight units.
    #[error("bad-blk-weight, {weight} is above 4000000")]
    BadWeight {
        /// Weight of the block, in weight units.
        weight: u64,
    },
    /// A transaction would overwrite unspent outputs of an equal one (BIP-0030).
    #[error("bad-txns-BIP30, tried to overwrite {outpoint}")]
    Overwrites {
        /// The unspent output.
        outpoint: OutPoint,
    },
    /// The coinbase pays more than the subsidy and the fees.
    #[error("bad-cb-amount, coinbase pays too much (actual={} vs limit={})", .actual.to_sat(), .limit.to_sat())]
    CoinbaseAmount {
        /// What it pays.
        actual: Amount,
        /// What it may pay.
        limit: Amount,
    },
    /// A script does not allow the spend.
    #[error("block-script-verify-flag-failed (input {input} of {txid})")]
    Script {
        /// The spending transaction.
        txid: Txid,
        /// Index of its input.
        input: usize,
    },
}

impl BlockError {
    /// Returns Bitcoin Core's reject reason for the rule, without values.
    pub fn reject_reason(&self) -> String {
        reject_reason(&self.to_string())
    }
}

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

/// Any failure of the devnet as a whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The Electrum server could not listen on its address.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address asked for.
        address: std::net::SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Only loopback addresses are served: the devnet knows no users and no limits worth the name.
    #[error("{address} is not a loopback address")]
    NotLoopback {
        /// The address asked for.
        address: std::net::SocketAddr,
    },
    /// A thread could not be started.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
    /// A block was refused.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// A transaction was refused.
    #[error(transparent)]
    Accept(#[from] AcceptError),
    /// A block is asked for that the chain does not know.
    #[error("block {0} is not known")]
    UnknownBlock(BlockHash),
    /// The first block of all cannot be invalidated.
    #[error("the genesis block cannot be invalidated")]
    Genesis,
    /// The faucet has not enough coins: regtest halves its subsidy every 150 blocks.
    #[error("the faucet has {} sat to spend of the {} sat asked for", .available.to_sat(), .asked.to_sat())]
    FaucetEmpty {
        /// Mature coins of the faucet.
        available: Amount,
        /// Amount and fee.
        asked: Amount,
    },
}

/// Cuts a message to the part before its values.
fn reject_reason(message: &str) -> String {
    let end = [", ", " ("].iter().filter_map(|mark| message.find(mark)).min().unwrap_or(message.len());
    message[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reject_reasons_are_the_words_of_bitcoin_core() {
        let missing = AcceptError::from(TxError::MissingInput { outpoint: OutPoint::null() });
        assert_eq!(missing.reject_reason(), "bad-txns-inputs-missingorspent");
        let fee = AcceptError::MinRelayFee { fee: Amount::ONE_SAT, required: Amount::from_sat(2) };
        assert_eq!(fee.to_string(), "min relay fee not met, 1 < 2");
        assert_eq!(fee.reject_reason(), "min relay fee not met");
        assert_eq!(BlockError::BadVersion { version: 3 }.reject_reason(), "bad-version(0x00000003)");
    }
}
