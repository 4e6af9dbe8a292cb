use std::time::Duration;

use bitcoin::{OutPoint, Txid};
use tapstake_chain::ChainError;
use tapstake_params::{Height, TimelockError};
use tapstake_script::{FindError, OpReturnError};
use tapstake_verifier::headers::HeaderError;

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProveError {
    /// The chain source failed.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The source knows no such transaction.
    #[error("transaction {0} is neither in the chain nor in the mempool of this source")]
    UnknownTransaction(Txid),
    /// The transaction is not in a block yet.
    #[error("transaction {0} is not in a block yet: wait for its confirmations")]
    Unconfirmed(Txid),
    /// The transaction is not in the block given.
    #[error("the block at height {height} does not hold transaction {txid}")]
    NotInBlock {
        /// The transaction.
        txid: Txid,
        /// The block's height.
        height: Height,
    },
    /// The transaction is its block's coinbase.
    #[error("transaction {0} is a coinbase: it makes no stake")]
    Coinbase(Txid),
    /// The transaction has fewer outputs.
    #[error("there is no output {outpoint}: the transaction has {outputs} outputs")]
    NoSuchOutput {
        /// The outpoint asked for.
        outpoint: OutPoint,
        /// The number of outputs.
        outputs: usize,
    },
    /// The transaction does not say what stake it makes.
    #[error("transaction {0} has no OP_RETURN of a stake: name its staker, providers and timelock")]
    NoOpReturn(Txid),
    /// The transaction says it more than once.
    #[error(transparent)]
    OpReturn(#[from] OpReturnError),
    /// The OP_RETURN names no timelock.
    #[error("the OP_RETURN of the stake: {0}")]
    Timelock(#[from] TimelockError),
    /// None or several outputs of the transaction are a stake under the terms.
    #[error("transaction {txid} under these terms: {error}")]
    NoSuchStake {
        /// The transaction.
        txid: Txid,
        /// How many outputs there are.
        error: FindError,
    },
    /// The delegation is of another stake.
    #[error(
        "the delegation is that of stake {delegation}, or of one under other terms, and the proof that of {proven}"
    )]
    OtherDelegation {
        /// The stake proven.
        proven: OutPoint,
        /// The delegation's stake.
        delegation: OutPoint,
    },
    /// The source's headers break a rule.
    #[error("headers of the source: {0}")]
    Headers(#[from] HeaderError),
    /// The source's headers do not meet the chain followed so far.
    #[error("the source follows another chain: none of its last blocks is below height {0} of ours")]
    OtherChain(Height),
    /// The confirmations did not come in time.
    #[error("{have} of {want} confirmations after {} s", waited.as_secs())]
    TimedOut {
        /// Confirmations so far.
        have: u32,
        /// Confirmations wanted.
        want: u32,
        /// How long was waited.
        waited: Duration,
    },
    /// Somebody stopped the waiting.
    #[error("waiting for confirmations was stopped")]
    Stopped,
}
