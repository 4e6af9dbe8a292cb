use bitcoin::{Amount, BlockHash, Network, OutPoint, Txid};
use tapstake_params::Height;

/// Why a chain source could not answer.
///
/// Messages say what to do next and never contain a password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// The configuration itself is wrong: an address that is no address, a cookie file that cannot be read.
    #[error("{0}")]
    Config(String),
    /// The server follows another network.
    #[error(
        "the server at {url} is on another network: its genesis block is {found}, {expected} has {wanted}"
    )]
    WrongNetwork {
        /// The server's address.
        url: String,
        /// The network that was asked for.
        expected: Network,
        /// Its genesis block's hash.
        wanted: BlockHash,
        /// The hash of the server's block 0.
        found: BlockHash,
    },
    /// Nobody answers, the connection broke, or the answer did not come in time.
    #[error(
        "no answer from {url} after {attempts} attempts ({reason}); check that the server runs and is reachable"
    )]
    Unreachable {
        /// The server's address.
        url: String,
        /// How often it was tried.
        attempts: u32,
        /// What went wrong the last time.
        reason: String,
    },
    /// The node does not accept the credentials.
    #[error(
        "{url} refused the credentials; check the user and password, or the cookie file of the running node"
    )]
    Unauthorized {
        /// The server's address.
        url: String,
    },
    /// The node is still starting.
    #[error("the node at {url} is still starting ({reason}); try again in a moment")]
    WarmingUp {
        /// The server's address.
        url: String,
        /// What the node says it is doing.
        reason: String,
    },
    /// An answer that an honest, working server does not give.
    #[error("the server at {url} misbehaves: {what}; use another one")]
    Misbehaving {
        /// The server's address.
        url: String,
        /// Which expectation its answer failed.
        what: String,
    },
    /// The server answered with an error of its own that has no variant here.
    #[error("{url} answered {method} with error {code}: {message}")]
    Server {
        /// The server's address.
        url: String,
        /// The call.
        method: String,
        /// The error's number.
        code: i64,
        /// The error's text.
        message: String,
    },
    /// Confirmed transactions cannot be looked up by txid.
    #[error(
        "transaction {txid} cannot be looked up: the node keeps no transaction index; restart it with -txindex=1, or give the height of the transaction's block"
    )]
    TxIndexMissing {
        /// The transaction that was asked for.
        txid: Txid,
    },
    /// The transaction index is not yet complete.
    #[error(
        "transaction {txid} cannot be looked up yet: the node is still building its transaction index; try again later"
    )]
    TxIndexSyncing {
        /// The transaction that was asked for.
        txid: Txid,
    },
    /// The node has deleted that block.
    #[error("block {block} is pruned on this node; use a node that keeps all blocks (-prune=0)")]
    Pruned {
        /// The block.
        block: BlockHash,
    },
    /// The chain does not reach that height.
    #[error("there is no block at height {height}: the tip is at {tip}")]
    NoSuchBlock {
        /// The height that was asked for.
        height: Height,
        /// The tip's height.
        tip: Height,
    },
    /// The chain was reorganised while several calls of one question were under way.
    #[error("the chain was reorganised while reading block {height}; ask again")]
    Reorganised {
        /// The height at which the blocks differed.
        height: Height,
    },
    /// The source knows no transaction with that output.
    #[error("output {outpoint} does not exist on the chain or in the mempool of this source")]
    UnknownOutpoint {
        /// The output that was asked for.
        outpoint: OutPoint,
    },
    /// The transaction was refused.
    #[error("transaction {txid} was rejected: {reason}")]
    Rejected {
        /// The transaction.
        txid: Txid,
        /// The node's reason, in its words (for instance `non-BIP68-final`, `bad-txns-inputs-missingorspent`).
        reason: String,
    },
    /// The transaction burns coins, and only a node can be told that this is meant.
    #[error("transaction {txid} burns {burned} and an Electrum server cannot pass that on; send it through a node: bitcoin-cli sendrawtransaction {hex} 0 {:.8}", .burned.display_in(bitcoin::Denomination::Bitcoin))]
    BurnNeedsNode {
        /// The transaction.
        txid: Txid,
        /// What it puts into provably unspendable outputs.
        burned: Amount,
        /// The transaction, ready to be sent.
        hex: String,
    },
    /// The transaction burns more than the caller allowed.
    #[error("transaction {txid} burns {burned}, more than the allowed {max_burn}")]
    BurnsTooMuch {
        /// The transaction.
        txid: Txid,
        /// What it puts into provably unspendable outputs.
        burned: Amount,
        /// What the caller allowed.
        max_burn: Amount,
    },
    /// A block whose transactions are not those that its header commits to.
    #[error("this is no valid block: {what}")]
    BadBlock {
        /// What does not fit.
        what: String,
    },
    /// This kind of source cannot do it.
    #[error("{what} is not served by {source_kind}; use {instead}")]
    Unsupported {
        /// What was asked for.
        what: &'static str,
        /// The kind of source that was asked.
        source_kind: &'static str,
        /// Where to go instead.
        instead: &'static str,
    },
}

impl ChainError {
    /// Whether the same question may get an answer a little later without anybody doing anything.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            ChainError::Unreachable { .. }
                | ChainError::WarmingUp { .. }
                | ChainError::TxIndexSyncing { .. }
                | ChainError::Reorganised { .. }
        )
    }
}
