use alloc::vec::Vec;

use bitcoin::hashes::{Hash, HashEngine, sha256d};
use bitcoin::{TxMerkleNode, Txid};
use serde::{Deserialize, Serialize};

use crate::Rule;

/// The deepest Merkle tree a block can have.
///
/// A block of 4,000,000 weight units holds fewer than 2^15 transactions of the smallest size, 60 bytes
/// without witness.
pub const MAX_DEPTH: usize = 15;

/// The position and the siblings of a transaction in its block's Merkle tree.
///
/// Siblings stand in the order of hashing, from the transaction's own up to the child of the root. A block
/// with one transaction has a branch without siblings.
///
/// By construction there are at most [`MAX_DEPTH`] siblings and the index has no bit above them:
/// `index >> depth == 0`. Without that bound two indexes would hash to the same root, and "the transaction at
/// index 0", on which the coinbase countermeasure stands, would mean nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "BranchFields")]
pub struct MerkleBranch {
    index: u32,
    siblings: Vec<TxMerkleNode>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BranchFields {
    index: u32,
    siblings: Vec<TxMerkleNode>,
}

impl TryFrom<BranchFields> for MerkleBranch {
    type Error = MerkleError;

    fn try_from(fields: BranchFields) -> Result<Self, Self::Error> {
        MerkleBranch::new(fields.index, fields.siblings)
    }
}

/// Why something is no Merkle branch of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MerkleError {
    /// More siblings than the tree of any block has levels.
    #[error("merkle branch of {depth} siblings is deeper than {MAX_DEPTH}")]
    TooDeep {
        /// The number of siblings given.
        depth: usize,
    },
    /// The index has bits that no level of the branch uses, so it would alias a smaller one.
    #[error("merkle index {index} does not exist in a tree of depth {depth}")]
    IndexOutOfTree {
        /// The index given.
        index: u32,
        /// The number of siblings given.
        depth: usize,
    },
    /// A left sibling equals the node itself: the second half of a duplicated pair (CVE-2012-2459).
    #[error("merkle branch ends on the copy of a duplicated node at level {level} (CVE-2012-2459)")]
    DuplicateNode {
        /// The level of the pair, 0 for that of the transactions.
        level: usize,
    },
    /// A list of transactions has none at the index asked for.
    #[error("no transaction at index {index} in a block of {transactions}")]
    NoSuchTransaction {
        /// The index asked for.
        index: usize,
        /// The number of transactions given.
        transactions: usize,
    },
}

impl MerkleError {
    /// The rule that was broken.
    pub const fn rule(&self) -> Rule {
        match self {
            MerkleError::DuplicateNode { .. } => Rule::DuplicateNode,
            _ => Rule::MerkleIndex,
        }
    }
}

impl MerkleBranch {
    /// A branch from the index of the transaction in its block and its siblings, lowest first.
    ///
    /// # Errors
    ///
    /// [`MerkleError::TooDeep`] above [`MAX_DEPTH`] siblings, [`MerkleError::IndexOutOfTree`] if the index
    /// does not exist at that depth.
    pub fn new(index: u32, siblings: Vec<TxMerkleNode>) -> Result<Self, MerkleError> {
        let depth = siblings.len();
        if depth > MAX_DEPTH {
            return Err(MerkleError::TooDeep { depth });
        }
        if index >> depth != 0 {
            return Err(MerkleError::IndexOutOfTree { index, depth });
        }
        Ok(MerkleBranch { index, siblings })
    }

    /// The branch of the transaction at `index` in a block with these transactions, in block order.
    ///
    /// # Errors
    ///
    /// [`MerkleError::NoSuchTransaction`] if `index` is not below the number of transactions, and
    /// [`MerkleError::TooDeep`] for more transactions than a block can hold.
    pub fn from_txids(txids: &[Txid], index: usize) -> Result<Self, MerkleError> {
        let missing = MerkleError::NoSuchTransaction { index, transactions: txids.len() };
        if index >= txids.len() {
            return Err(missing);
        }
        let mut level: Vec<TxMerkleNode> = txids.iter().copied().map(TxMerkleNode::from).collect();
        let mut siblings = Vec::new();
        let mut position = index;
        while level.len() > 1 {
            // The last node of an odd level is paired with itself.
            let sibling = level.get(position ^ 1).unwrap_or(&level[position]);
            siblings.push(*sibling);
            level = level.chunks(2).map(|pair| parent(pair[0], *pair.last().unwrap_or(&pair[0]))).collect();
            position /= 2;
        }
        MerkleBranch::new(u32::try_from(index).map_err(|_| missing)?, siblings)
    }

    /// The index of the transaction in its block; the coinbase has 0.
    pub const fn index(&self) -> u32 {
        self.index
    }

    /// The siblings, from the transaction's own up to the child of the root.
    pub fn siblings(&self) -> &[TxMerkleNode] {
        &self.siblings
    }

    /// The number of levels below the root; 0 for a block with one transaction.
    pub fn depth(&self) -> usize {
        self.siblings.len()
    }

    /// The Merkle root of a block that holds `txid` at this place.
    ///
    /// # Errors
    ///
    /// [`MerkleError::DuplicateNode`] if at some level the left sibling equals the node. A tree pairs a node
    /// with itself where a level is odd, and then the node is the left one; the same root belongs to a list
    /// with the last transactions repeated, in which a transaction would have two places (CVE-2012-2459).
    pub fn root(&self, txid: Txid) -> Result<TxMerkleNode, MerkleError> {
        let mut node = TxMerkleNode::from(txid);
        let mut position = self.index;
        for (level, sibling) in self.siblings.iter().enumerate() {
            node = if position & 1 == 0 {
                parent(node, *sibling)
            } else if node == *sibling {
                return Err(MerkleError::DuplicateNode { level });
            } else {
                parent(*sibling, node)
            };
            position >>= 1;
        }
        Ok(node)
    }
}

/// SHA-256d of both children, 64 bytes.
fn parent(left: TxMerkleNode, right: TxMerkleNode) -> TxMerkleNode {
    let mut engine = sha256d::Hash::engine();
    engine.input(left.as_byte_array());
    engine.input(right.as_byte_array());
    TxMerkleNode::from_raw_hash(sha256d::Hash::from_engine(engine))
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;

    use bitcoin::merkle_tree;

    use super::*;

    fn txids(count: usize) -> Vec<Txid> {
        (0..count).map(|i| Txid::hash(&i.to_le_bytes())).collect()
    }

    fn root_of(txids: &[Txid]) -> TxMerkleNode {
        merkle_tree::calculate_root(txids.iter().copied().map(TxMerkleNode::from)).unwrap()
    }

    #[test]
    fn every_transaction_of_blocks_of_every_shape_leads_to_the_root() {
        for count in (1..=40).chain([63, 64, 65, 1000]) {
            let txids = txids(count);
            let root = root_of(&txids);
            for (index, txid) in txids.iter().enumerate() {
                let branch = MerkleBranch::from_txids(&txids, index).unwrap();
                assert_eq!(branch.root(*txid), Ok(root), "transaction {index} of {count}");
                assert_eq!(branch.index() as usize, index);
                assert_eq!(branch.depth(), count.next_power_of_two().trailing_zeros() as usize);
            }
        }
    }

    #[test]
    fn a_transaction_that_is_not_there_has_no_branch() {
        let error = MerkleBranch::from_txids(&txids(3), 3).unwrap_err();
        assert_eq!(error.to_string(), "no transaction at index 3 in a block of 3");
        assert!(MerkleBranch::from_txids(&[], 0).is_err());
    }

    #[test]
    fn a_block_with_more_transactions_than_fit_has_no_branch() {
        let txids = txids((1 << MAX_DEPTH) + 1);
        assert_eq!(MerkleBranch::from_txids(&txids, 7), Err(MerkleError::TooDeep { depth: 16 }));
        assert!(MerkleBranch::from_txids(&txids[1..], 7).is_ok());
    }

    #[test]
    fn an_index_above_the_tree_is_refused_because_it_would_alias_a_smaller_one() {
        let txids = txids(5);
        let siblings = MerkleBranch::from_txids(&txids, 2).unwrap().siblings().to_vec();
        for index in [8 + 2, 16 + 2, (1 << 31) + 2, u32::MAX] {
            let refusal = MerkleError::IndexOutOfTree { index, depth: 3 };
            assert_eq!(MerkleBranch::new(index, siblings.clone()), Err(refusal));
        }
        assert_eq!(MerkleBranch::new(1, vec![]), Err(MerkleError::IndexOutOfTree { index: 1, depth: 0 }));
    }

    #[test]
    fn sixteen_siblings_are_refused_whatever_the_index() {
        let node = TxMerkleNode::all_zeros();
        assert!(MerkleBranch::new((1 << 15) - 1, vec![node; 15]).is_ok());
        assert_eq!(MerkleBranch::new(0, vec![node; 16]), Err(MerkleError::TooDeep { depth: 16 }));
        // Shifting a u32 by 32 or more must not be reached.
        assert_eq!(MerkleBranch::new(0, vec![node; 40]), Err(MerkleError::TooDeep { depth: 40 }));
    }

    #[test]
    fn the_copy_of_a_duplicated_node_is_no_second_place() {
        // Three transactions: the third is paired with itself, and [a, b, c, c] has the same root.
        let mut txids = txids(3);
        let honest = MerkleBranch::from_txids(&txids, 2).unwrap();
        txids.push(txids[2]);
        let copy = MerkleBranch::new(3, honest.siblings().to_vec()).unwrap();
        assert_eq!(honest.root(txids[2]), Ok(root_of(&txids)));
        assert_eq!(copy.root(txids[2]), Err(MerkleError::DuplicateNode { level: 0 }));
    }

    #[test]
    fn the_copy_of_a_duplicated_subtree_is_no_second_place() {
        // Six transactions: the pair (e, f) is paired with itself, as if e and f stood at 6 and 7 again.
        let txids = txids(6);
        let honest = MerkleBranch::from_txids(&txids, 4).unwrap();
        let copy = MerkleBranch::new(6, honest.siblings().to_vec()).unwrap();
        assert_eq!(honest.root(txids[4]), Ok(root_of(&txids)));
        assert_eq!(copy.root(txids[4]), Err(MerkleError::DuplicateNode { level: 1 }));
    }

    #[test]
    fn json_refuses_what_new_refuses() {
        let branch = MerkleBranch::from_txids(&txids(5), 4).unwrap();
        let json = serde_json::to_string(&branch).unwrap();
        assert_eq!(serde_json::from_str::<MerkleBranch>(&json).unwrap(), branch);
        let aliased = json.replace("\"index\":4", "\"index\":12");
        assert!(serde_json::from_str::<MerkleBranch>(&aliased).is_err());
    }
}
