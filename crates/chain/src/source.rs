use core::fmt;

use bitcoin::block::Header;
use bitcoin::{Amount, Block, BlockHash, FeeRate, Network, OutPoint, Script, Transaction, Txid};
use serde::{Deserialize, Serialize};
use tapstake_params::Height;
use tapstake_verifier::MerkleBranch;

use crate::ChainError;

/// One block of the best chain: its height and its hash.
///
/// A height alone names another block after a reorganisation; the pair does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BlockId {
    /// The number of blocks below this one.
    pub height: Height,
    /// The hash of its header.
    pub hash: BlockHash,
}

impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.height, self.hash)
    }
}

/// A transaction that the source knows, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TxInfo {
    /// The transaction with its witness; its bytes hash to the txid that was asked for.
    pub tx: Transaction,
    /// The block of the best chain that holds it, or `None` while it waits in the mempool.
    pub block: Option<BlockId>,
}

/// A transaction in a block, with all that proves it to somebody who has only headers.
///
/// Both branches lead to the header's Merkle root and are equally long; the source checked that before
/// it handed them out. That the header is on the best chain of the network is the light client's to judge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inclusion {
    /// The block that holds the transaction.
    pub block: BlockId,
    /// The block's header.
    pub header: Header,
    /// The transaction with its witness.
    pub tx: Transaction,
    /// From the transaction's txid to the header's Merkle root.
    pub branch: MerkleBranch,
    /// The block's coinbase transaction in full: the countermeasure to inner nodes posing as
    /// transactions (CVE-2017-12842).
    pub coinbase: Transaction,
    /// From the coinbase's txid to the same root, at index 0.
    pub coinbase_branch: MerkleBranch,
}

/// The transaction that spends an outpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spend {
    /// The spending transaction's id.
    pub txid: Txid,
    /// The spending transaction with its witness.
    pub tx: Transaction,
    /// Which of its inputs spends the outpoint.
    pub input_index: usize,
    /// The block that holds it, or `None` while it waits in the mempool.
    pub block: Option<BlockId>,
}

/// Where blocks come from and transactions go.
///
/// Implemented by `Bitcoind` and `Electrum`. Everything a source
/// returns has been checked as far as it can be without a header chain: transaction bytes against their
/// txid, branches against the header's Merkle root, headers against their predecessor. What cannot be
/// checked that way (that an outpoint is unspent, that a header is on the best chain) is the source's word.
///
/// Calls block. Each retries by itself what is safe to retry and gives up within the configured timeouts.
pub trait ChainSource: Send + Sync {
    /// The network, verified against the genesis block's hash when the source was connected.
    fn network(&self) -> Network;

    /// The last block of the best chain.
    fn tip(&self) -> Result<BlockId, ChainError>;

    /// Up to `count` consecutive headers of the best chain, the first at height `from`.
    ///
    /// Fewer where the chain ends before, none where it ends below `from`. Each links to the one before.
    fn headers(&self, from: Height, count: u32) -> Result<Vec<Header>, ChainError>;

    /// The whole block at `height` of the best chain, its Merkle root checked.
    ///
    /// # Errors
    ///
    /// [`ChainError::Unsupported`] from an Electrum server, which serves no blocks;
    /// [`ChainError::NoSuchBlock`] above the tip.
    fn block(&self, height: Height) -> Result<Block, ChainError>;

    /// A transaction in the best chain or the mempool; `None` if the source knows no such transaction.
    fn transaction(&self, txid: &Txid) -> Result<Option<TxInfo>, ChainError>;

    /// A transaction in the best chain with its branches; `None` if it is unknown or unconfirmed.
    ///
    /// # Errors
    ///
    /// [`ChainError::TxIndexMissing`] from a bitcoind without `-txindex`: [`ChainSource::inclusion_in`]
    /// needs no index.
    fn inclusion(&self, txid: &Txid) -> Result<Option<Inclusion>, ChainError>;

    /// As [`ChainSource::inclusion`], where the caller knows which block to look in; `None` if the
    /// transaction is not in the block at `height`.
    fn inclusion_in(&self, txid: &Txid, height: Height) -> Result<Option<Inclusion>, ChainError>;

    /// What spends `outpoint`, whose script is `script_pubkey`; `None` while it is unspent.
    ///
    /// Give the height of the outpoint's block as `since` where it is known: a bitcoind without
    /// `-txospenderindex` scans blocks from there on (and from the genesis block without it).
    ///
    /// # Errors
    ///
    /// [`ChainError::UnknownOutpoint`] if the source knows of no such output at all.
    fn spend(
        &self,
        outpoint: &OutPoint,
        script_pubkey: &Script,
        since: Option<Height>,
    ) -> Result<Option<Spend>, ChainError>;

    /// Hands a transaction to the network. Sending one that is already in the mempool or the chain is
    /// a success, so that a caller may repeat it after a lost answer.
    ///
    /// # Errors
    ///
    /// [`ChainError::Rejected`] with the node's reason if it is refused for good: it is not on its way. After any
    /// other error it may be.
    fn broadcast(&self, tx: &Transaction) -> Result<Txid, ChainError>;

    /// As [`ChainSource::broadcast`], for a transaction that was signed in advance and cannot be changed, such as a slashing:
    /// it may put up to `max_burn` into provably unspendable outputs, and pay whatever fee rate, both of which Core refuses
    /// unless told so.
    ///
    /// # Errors
    ///
    /// [`ChainError::BurnsTooMuch`] above `max_burn`; [`ChainError::BurnNeedsNode`], carrying the transaction as hex, from an Electrum server: the
    /// protocol has no way to pass the limit on.
    fn broadcast_presigned(&self, tx: &Transaction, max_burn: Amount) -> Result<Txid, ChainError>;

    /// The fee rate at which a transaction should confirm within `target_blocks` blocks; `None` where
    /// the source has no estimate (a young chain, a quiet mempool).
    fn fee_rate(&self, target_blocks: u16) -> Result<Option<FeeRate>, ChainError>;

    /// The lowest fee rate that gets a transaction into the source's mempool now.
    fn relay_fee(&self) -> Result<FeeRate, ChainError>;
}
