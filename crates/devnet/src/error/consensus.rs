//! Broken rules of consensus, about transactions and about blocks.

use bitcoin::{Amount, BlockHash, OutPoint, TxMerkleNode, Txid, WitnessCommitment};

use super::reject_reason;

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
