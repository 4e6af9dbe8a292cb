//! Merkle trees over double SHA-256, and branches in them.

use bitcoin::hashes::{Hash, HashEngine, sha256d};

/// Computes the root over `leaves`, and whether the tree is mutated: whether a node equals its
/// right neighbour, so that a shorter list has the same root (CVE-2012-2459).
///
/// The root of no leaves is the zero hash, as in Bitcoin Core.
pub(crate) fn root(mut nodes: Vec<sha256d::Hash>) -> (sha256d::Hash, bool) {
    let mut mutated = false;
    while nodes.len() > 1 {
        mutated |= nodes.chunks_exact(2).any(|pair| pair[0] == pair[1]);
        nodes = level_above(&nodes);
    }
    (nodes.first().copied().unwrap_or_else(sha256d::Hash::all_zeros), mutated)
}

/// Returns the siblings from the leaf at `position` up to the root, deepest first.
///
/// # Panics
///
/// Panics if there is no such leaf.
pub(crate) fn branch(leaves: &[sha256d::Hash], position: usize) -> Vec<sha256d::Hash> {
    assert!(position < leaves.len(), "the position is a leaf of the tree");
    let mut branch = Vec::new();
    let mut nodes = leaves.to_vec();
    let mut index = position;
    while nodes.len() > 1 {
        // A node without a neighbour on its right is paired with itself.
        branch.push(*nodes.get(index ^ 1).unwrap_or(&nodes[index]));
        nodes = level_above(&nodes);
        index /= 2;
    }
    branch
}

fn level_above(nodes: &[sha256d::Hash]) -> Vec<sha256d::Hash> {
    nodes.chunks(2).map(|pair| parent(pair[0], *pair.last().expect("chunks are never empty"))).collect()
}

fn parent(left: sha256d::Hash, right: sha256d::Hash) -> sha256d::Hash {
    let mut engine = sha256d::Hash::engine();
    engine.input(left.as_byte_array());
    engine.input(right.as_byte_array());
    sha256d::Hash::from_engine(engine)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: u8) -> Vec<sha256d::Hash> {
        (0..count).map(|i| sha256d::Hash::hash(&[i])).collect()
    }

    #[test]
    fn roots_are_the_ones_of_rust_bitcoin() {
        for count in 1..40 {
            let (root, mutated) = root(leaves(count));
            let expected = bitcoin::merkle_tree::calculate_root(leaves(count).into_iter());
            assert_eq!(Some(root), expected);
            assert!(!mutated);
        }
    }

    #[test]
    fn a_list_that_repeats_its_end_has_the_same_root_and_is_mutated() {
        let mut longer = leaves(3);
        longer.push(longer[2]);
        assert_eq!(root(longer.clone()).0, root(leaves(3)).0);
        assert!(root(longer).1);
        let mut longer = leaves(6);
        longer.extend_from_slice(&leaves(6)[4..]);
        assert_eq!(root(longer.clone()).0, root(leaves(6)).0);
        assert!(root(longer).1);
    }

    #[test]
    fn every_branch_leads_to_the_root() {
        for count in 1..20 {
            let leaves = leaves(count);
            let (root, _) = root(leaves.clone());
            for position in 0..leaves.len() {
                let mut index = position;
                let mut node = leaves[position];
                for sibling in branch(&leaves, position) {
                    node = if index % 2 == 0 { parent(node, sibling) } else { parent(sibling, node) };
                    index /= 2;
                }
                assert_eq!(node, root);
            }
        }
    }
}
