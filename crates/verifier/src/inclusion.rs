use bitcoin::block::Header;
use bitcoin::script::Builder;
use bitcoin::{Network, Transaction, TxMerkleNode, Txid};
use tapstake_params::Height;

use crate::{MerkleBranch, MerkleError, Rule};

/// Proves that a transaction is in the block of a given header (rules 7 to 11).
///
/// The coinbase transaction comes along in full. Merkle trees do not mark which of their nodes are
/// transactions, so an inner node, 64 bytes, can be dressed up as one (CVE-2017-12842), below the true
/// transactions or above them. The coinbase pins the depth: it is at index 0 of every block, it can be
/// recognised, and the proof of a transaction beside it must be exactly as deep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InclusionProof {
    pub(crate) tx: Transaction,
    pub(crate) branch: MerkleBranch,
    pub(crate) coinbase: Transaction,
    pub(crate) coinbase_branch: MerkleBranch,
}

/// Which of the two transactions of an [`InclusionProof`] an error speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The transaction to prove.
    Transaction,
    /// The coinbase transaction.
    Coinbase,
}

impl core::fmt::Display for Part {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Part::Transaction => "transaction",
            Part::Coinbase => "coinbase",
        })
    }
}

/// Why a transaction is not proven to be in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InclusionError {
    /// 64 bytes without witness could be an inner node of the tree.
    #[error("{part} {txid} has 64 bytes without witness, like an inner node of the merkle tree")]
    SixtyFourBytes {
        /// Which transaction.
        part: Part,
        /// Its txid.
        txid: Txid,
    },
    /// A block with one transaction holds its coinbase and nothing else.
    #[error("a branch without siblings proves a block's only transaction, which is the coinbase")]
    SingleTransaction,
    /// What is given as the coinbase does not spend the null outpoint alone.
    #[error("transaction {txid} is given as the coinbase but spends other than the null outpoint")]
    NotACoinbase {
        /// Its txid.
        txid: Txid,
    },
    /// The coinbase is not the first transaction.
    #[error("coinbase at index {index}: it is at 0")]
    CoinbaseIndex {
        /// The index claimed.
        index: u32,
    },
    /// The transaction to prove is the coinbase.
    #[error("transaction {txid} is the coinbase")]
    IsCoinbase {
        /// Its txid.
        txid: Txid,
    },
    /// The branches have different lengths, so that one of them ends on an inner node.
    #[error("transaction at depth {transaction} and coinbase at depth {coinbase} of one merkle tree")]
    UnequalDepth {
        /// The depth of the transaction's branch.
        transaction: usize,
        /// The depth of the coinbase's branch.
        coinbase: usize,
    },
    /// A branch is that of a duplicated node.
    #[error("{part}: {error}")]
    Merkle {
        /// Which transaction.
        part: Part,
        /// What is wrong with its branch.
        error: MerkleError,
    },
    /// A branch leads to another root than the header's.
    #[error("{part} {txid} leads to merkle root {found}, the header has {expected}")]
    MerkleRoot {
        /// Which transaction.
        part: Part,
        /// Its txid, computed from the transaction itself.
        txid: Txid,
        /// The root in the header.
        expected: TxMerkleNode,
        /// The root that the branch leads to.
        found: TxMerkleNode,
    },
    /// The coinbase does not start with the block's height (BIP-0034).
    #[error("coinbase does not start with height {height} (BIP-0034)")]
    CoinbaseHeight {
        /// The block's height.
        height: Height,
    },
}

impl InclusionError {
    /// The rule that was broken.
    pub const fn rule(&self) -> Rule {
        match self {
            InclusionError::SixtyFourBytes { .. } => Rule::TransactionSize,
            InclusionError::SingleTransaction => Rule::SingleTransaction,
            InclusionError::NotACoinbase { .. } | InclusionError::CoinbaseIndex { .. } => Rule::Coinbase,
            InclusionError::IsCoinbase { .. } => Rule::StakeNotCoinbase,
            InclusionError::UnequalDepth { .. } => Rule::EqualDepth,
            InclusionError::Merkle { error, .. } => error.rule(),
            InclusionError::MerkleRoot { .. } => Rule::MerkleRoot,
            InclusionError::CoinbaseHeight { .. } => Rule::CoinbaseHeight,
        }
    }
}

impl InclusionProof {
    /// Proves `tx` by its branch, beside the block's coinbase and its branch.
    ///
    /// Witnesses are dropped: no txid commits to them, so they would prove nothing, and every byte that stays
    /// is bound by the header.
    pub fn new(
        tx: Transaction,
        branch: MerkleBranch,
        coinbase: Transaction,
        coinbase_branch: MerkleBranch,
    ) -> Self {
        InclusionProof {
            tx: without_witness(tx),
            branch,
            coinbase: without_witness(coinbase),
            coinbase_branch,
        }
    }

    /// The transaction to prove, without witness.
    pub const fn tx(&self) -> &Transaction {
        &self.tx
    }

    /// Its place in the block.
    pub const fn branch(&self) -> &MerkleBranch {
        &self.branch
    }

    /// The block's coinbase transaction, without witness.
    pub const fn coinbase(&self) -> &Transaction {
        &self.coinbase
    }

    /// The coinbase's place in the block.
    pub const fn coinbase_branch(&self) -> &MerkleBranch {
        &self.coinbase_branch
    }

    /// Checks that the transaction is in the block of `header` at `height`, and not as its coinbase. Says
    /// its txid.
    ///
    /// That the header is in the chain, at that height, is for a
    /// [`HeaderChain`](crate::headers::HeaderChain) to say.
    ///
    /// # Errors
    ///
    /// [`InclusionError`] names what is wrong.
    pub fn verify(&self, network: Network, header: &Header, height: Height) -> Result<Txid, InclusionError> {
        let txid = sized_txid(&self.tx, Part::Transaction)?;
        let coinbase_txid = sized_txid(&self.coinbase, Part::Coinbase)?;
        if !self.coinbase.is_coinbase() {
            return Err(InclusionError::NotACoinbase { txid: coinbase_txid });
        }
        if self.coinbase_branch.index() != 0 {
            return Err(InclusionError::CoinbaseIndex { index: self.coinbase_branch.index() });
        }
        if self.branch.depth() == 0 {
            return Err(InclusionError::SingleTransaction);
        }
        if self.tx.is_coinbase() || self.branch.index() == 0 {
            return Err(InclusionError::IsCoinbase { txid });
        }
        let (transaction, coinbase) = (self.branch.depth(), self.coinbase_branch.depth());
        if transaction != coinbase {
            return Err(InclusionError::UnequalDepth { transaction, coinbase });
        }
        check_root(header, &self.coinbase_branch, coinbase_txid, Part::Coinbase)?;
        check_root(header, &self.branch, txid, Part::Transaction)?;
        if height >= bip34_height(network) && !starts_with_height(&self.coinbase, height) {
            return Err(InclusionError::CoinbaseHeight { height });
        }
        Ok(txid)
    }
}

fn without_witness(mut tx: Transaction) -> Transaction {
    tx.input.iter_mut().for_each(|input| input.witness.clear());
    tx
}

/// The txid, from the transaction itself.
fn sized_txid(tx: &Transaction, part: Part) -> Result<Txid, InclusionError> {
    let txid = tx.compute_txid();
    if tx.base_size() == 64 {
        return Err(InclusionError::SixtyFourBytes { part, txid });
    }
    Ok(txid)
}

fn check_root(header: &Header, branch: &MerkleBranch, txid: Txid, part: Part) -> Result<(), InclusionError> {
    let found = branch.root(txid).map_err(|error| InclusionError::Merkle { part, error })?;
    let expected = header.merkle_root;
    if found != expected {
        return Err(InclusionError::MerkleRoot { part, txid, expected, found });
    }
    Ok(())
}

/// The first height whose coinbase must name it (BIP-0034), as buried in Bitcoin Core.
const fn bip34_height(network: Network) -> Height {
    match network {
        Network::Bitcoin => Height::new(227_931),
        Network::Testnet => Height::new(21_111),
        Network::Testnet4 | Network::Signet | Network::Regtest => Height::new(1),
    }
}

/// Byte for byte what Bitcoin Core compares: the push of the height as a minimal script number, which up to
/// 16 is an opcode.
fn starts_with_height(coinbase: &Transaction, height: Height) -> bool {
    let push = Builder::new().push_int(height.to_u32().into()).into_script();
    coinbase.input.first().is_some_and(|input| input.script_sig.as_bytes().starts_with(push.as_bytes()))
}
