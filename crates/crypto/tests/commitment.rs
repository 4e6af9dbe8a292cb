//! Commitments to public randomness: the tree of RFC 6962, its proofs, and what they refuse.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use bitcoin::hashes::{Hash, sha256};
use bitcoin::secp256k1::schnorr;
use common::*;
use proptest::prelude::*;
use tapstake_crypto::eots::{
    Commitment, CommitmentError, CommitmentProof, CommitmentTree, MAX_COUNT, PublicRandomness, Seed,
    randomness,
};

/// Points are found, not computed: what is committed to is of no matter here.
fn leaves(count: u64) -> Vec<PublicRandomness> {
    (0u64..)
        .filter_map(|candidate| {
            let mut bytes = [1; 32];
            bytes[..8].copy_from_slice(&candidate.to_be_bytes());
            PublicRandomness::from_bytes(bytes).ok()
        })
        .take(count.try_into().unwrap())
        .collect()
}

fn tree(start: u64, count: u64) -> CommitmentTree {
    CommitmentTree::new(start, leaves(count)).unwrap()
}

fn hash(parts: &[&[u8]]) -> [u8; 32] {
    sha256::Hash::hash(&parts.concat()).to_byte_array()
}

/// The root by the words of RFC 6962, section 2.1.
fn root(leaves: &[PublicRandomness]) -> [u8; 32] {
    match leaves {
        [leaf] => hash(&[&[0], &leaf.to_bytes()]),
        _ => {
            let split = (leaves.len() - 1).ilog2();
            let (left, right) = leaves.split_at(1 << split);
            hash(&[&[1], &root(left), &root(right)])
        }
    }
}

/// The path by the words of RFC 6962, section 2.1.1.
fn path(leaves: &[PublicRandomness], index: usize) -> Vec<u8> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let split = 1 << (leaves.len() - 1).ilog2();
    let (left, right) = leaves.split_at(split);
    if index < split {
        [path(left, index), root(right).to_vec()].concat()
    } else {
        [path(right, index - split), root(left).to_vec()].concat()
    }
}

#[test]
fn roots_and_paths_are_those_of_rfc_6962() {
    for count in 1..=70 {
        let leaves = leaves(count);
        let tree = tree(1000, count);
        assert_eq!(tree.commitment(), Commitment { start: 1000, count, root: root(&leaves) });
        for (index, leaf) in leaves.iter().enumerate() {
            let height = 1000 + u64::try_from(index).unwrap();
            let proof = tree.proof(height).unwrap();
            assert_eq!(proof.to_bytes(), path(&leaves, index));
            assert_eq!(tree.commitment().check(height, leaf, &proof), Ok(()));
        }
    }
}

#[test]
fn a_proof_holds_at_its_own_height_only() {
    for count in 1..=24 {
        let (leaves, tree) = (leaves(count), tree(0, count));
        for (index, leaf) in (0u64..).zip(&leaves) {
            let proof = tree.proof(index).unwrap();
            // Any height at all, inside and outside: an index that is too great by a power of two is no alias.
            for height in (0..64).chain([index + (1 << 32), index + (1 << 63), u64::MAX]) {
                let checked = tree.commitment().check(height, leaf, &proof);
                assert_eq!(checked.is_ok(), height == index, "{count} leaves, proof of {index} at {height}");
            }
        }
    }
}

#[test]
fn a_proof_does_not_hold_for_another_randomness() {
    let (leaves, tree) = (leaves(10), tree(0, 10));
    for index in 0..10 {
        let proof = tree.proof(index).unwrap();
        for (other, leaf) in (0..).zip(&leaves) {
            let checked = tree.commitment().check(index, leaf, &proof);
            assert_eq!(checked.is_ok(), other == index);
        }
    }
}

#[test]
fn a_longer_or_shorter_path_is_refused() {
    let (leaves, tree) = (leaves(11), tree(0, 11));
    for (index, leaf) in (0..).zip(&leaves) {
        let bytes = tree.proof(index).unwrap().to_bytes();
        let expected = bytes.len() / 32;
        let shorter = CommitmentProof::from_bytes(&bytes[32..]).unwrap();
        let cut = CommitmentProof::from_bytes(&bytes[..bytes.len() - 32]).unwrap();
        let longer = CommitmentProof::from_bytes(&[bytes.as_slice(), &[0; 32]].concat()).unwrap();
        for (proof, actual) in [(shorter, expected - 1), (cut, expected - 1), (longer, expected + 1)] {
            assert_eq!(
                tree.commitment().check(index, leaf, &proof),
                Err(CommitmentError::PathLength { actual, expected })
            );
        }
    }
}

#[test]
fn an_inner_node_is_no_leaf() {
    // The two halves of a tree of four, offered as a tree of two; half of all hashes are an x coordinate.
    let leaves = leaves(100);
    let (halves, half, tree) = leaves
        .chunks(4)
        .find_map(|four| {
            let halves = [root(&four[..2]), root(&four[2..])];
            let tree = CommitmentTree::new(0, four.iter().copied()).unwrap();
            PublicRandomness::from_bytes(halves[0]).ok().map(|half| (halves, half, tree))
        })
        .unwrap();
    let forged = Commitment { count: 2, ..tree.commitment() };
    let proof = CommitmentProof::from_bytes(&halves[1]).unwrap();
    assert_eq!(forged.check(0, &half, &proof), Err(CommitmentError::Root { height: 0 }));
}

#[test]
fn another_root_count_or_start_does_not_verify() {
    let (leaves, tree) = (leaves(9), tree(5, 9));
    let proof = tree.proof(13).unwrap();
    let commitment = tree.commitment();
    assert_eq!(commitment.check(13, &leaves[8], &proof), Ok(()));
    for byte in 0..32 {
        let mut other = commitment;
        other.root[byte] ^= 1;
        assert_eq!(other.check(13, &leaves[8], &proof), Err(CommitmentError::Root { height: 13 }));
    }
    for other in [Commitment { count: 10, ..commitment }, Commitment { start: 4, ..commitment }] {
        assert!(other.check(13, &leaves[8], &proof).is_err());
    }
}

#[test]
fn heights_outside_are_refused() {
    let tree = tree(5, 3);
    for height in [0, 4, 8, u64::MAX] {
        let refused = CommitmentError::Height { height, start: 5, count: 3 };
        assert_eq!(tree.proof(height), Err(refused.clone()));
        let inside = tree.proof(5).unwrap();
        assert_eq!(tree.commitment().check(height, &leaves(1)[0], &inside), Err(refused));
    }
}

#[test]
fn a_commitment_to_nothing_is_refused() {
    assert_eq!(CommitmentTree::new(0, []), Err(CommitmentError::Count { count: 0 }));
    let nothing = Commitment { start: 0, count: 0, root: [0; 32] };
    let refused = CommitmentError::Count { count: 0 };
    assert_eq!(nothing.check(0, &leaves(1)[0], &CommitmentProof::default()), Err(refused.clone()));
    assert_eq!(Commitment::from_bytes(&nothing.to_bytes()), Err(refused));
}

#[test]
fn an_absurd_count_is_refused_before_anything_is_hashed() {
    let endless = std::iter::repeat(leaves(1)[0]);
    assert!(matches!(CommitmentTree::new(0, endless), Err(CommitmentError::Count { .. })));
    for count in [MAX_COUNT + 1, 1 << 40, u64::MAX] {
        let absurd = Commitment { start: 0, count, root: [0; 32] };
        let refused = CommitmentError::Count { count };
        assert_eq!(absurd.check(0, &leaves(1)[0], &CommitmentProof::default()), Err(refused.clone()));
        assert_eq!(Commitment::from_bytes(&absurd.to_bytes()), Err(refused));
    }
}

#[test]
fn heights_that_overflow_are_refused() {
    assert!(CommitmentTree::new(u64::MAX, leaves(1)).unwrap().proof(u64::MAX).is_ok());
    let refused = CommitmentError::Overflow { start: u64::MAX, count: 2 };
    assert_eq!(CommitmentTree::new(u64::MAX, leaves(2)), Err(refused.clone()));
    let overflowing = Commitment { start: u64::MAX, count: 2, root: [0; 32] };
    assert_eq!(overflowing.heights(), Err(refused.clone()));
    assert_eq!(Commitment::from_bytes(&overflowing.to_bytes()), Err(refused));
}

#[test]
fn a_proof_of_part_of_a_hash_or_of_too_many_is_refused() {
    for length in [1, 31, 33, 63] {
        assert!(matches!(
            CommitmentProof::from_bytes(&vec![0; length]),
            Err(CommitmentError::Length { actual, .. }) if actual == length
        ));
    }
    assert!(CommitmentProof::from_bytes(&[0; 24 * 32]).is_ok());
    assert_eq!(
        CommitmentProof::from_bytes(&[0; 25 * 32]),
        Err(CommitmentError::PathLength { actual: 25, expected: 24 })
    );
}

#[test]
fn the_digest_is_that_of_start_count_and_root() {
    let commitment = Commitment { start: 0x0102, count: 3, root: [7; 32] };
    let expected = hash(&[&0x0102u64.to_be_bytes(), &3u64.to_be_bytes(), &[7; 32]]);
    assert_eq!(commitment.digest(), expected);
    assert_eq!(Commitment::from_bytes(&commitment.to_bytes()), Ok(commitment));
}

#[test]
fn a_signed_commitment_is_its_signers_and_nothing_in_it_can_be_changed() {
    let (secp, provider) = (secp(), keypair(3));
    let key = x_only(&provider);
    let signed = tree(10, 7).commitment().sign(&secp, &provider, &[0; 32]);
    assert_eq!(signed.verify(&secp, &key), Ok(()));

    let refused = Err(CommitmentError::Signature { provider: key });
    let other_key = x_only(&keypair(4));
    assert_eq!(signed.verify(&secp, &other_key), Err(CommitmentError::Signature { provider: other_key }));
    for change in [
        |commitment: &mut Commitment| commitment.start += 1,
        |commitment: &mut Commitment| commitment.count += 1,
        |commitment: &mut Commitment| commitment.root[0] ^= 1,
    ] {
        let mut changed = signed;
        change(&mut changed.commitment);
        assert_eq!(changed.verify(&secp, &key), refused);
    }
    let mut bytes = signed.signature.serialize();
    bytes[63] ^= 1;
    let mut changed = signed;
    changed.signature = schnorr::Signature::from_slice(&bytes).unwrap();
    assert_eq!(changed.verify(&secp, &key), refused);
}

#[test]
fn a_signed_commitment_that_overflows_is_refused_although_the_signature_is_right() {
    let (secp, provider) = (secp(), keypair(3));
    let overflowing =
        Commitment { start: u64::MAX, count: 2, root: [0; 32] }.sign(&secp, &provider, &[0; 32]);
    assert_eq!(
        overflowing.verify(&secp, &x_only(&provider)),
        Err(CommitmentError::Overflow { start: u64::MAX, count: 2 })
    );
}

#[test]
fn a_tree_over_a_providers_randomness_proves_every_height() {
    let (secp, seed) = (secp(), Seed::new([5; 32]));
    let heights = 20..120;
    let tree = CommitmentTree::new(
        20,
        heights.clone().map(|height| randomness(&secp, &seed, b"s", height).public()),
    )
    .unwrap();
    for height in heights {
        let public = randomness(&secp, &seed, b"s", height).public();
        assert_eq!(tree.commitment().check(height, &public, &tree.proof(height).unwrap()), Ok(()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_flipped_bit_in_a_path_passes(count in 2u64..200, pick: u64, bit: usize) {
        let (leaves, tree) = (leaves(count), tree(0, count));
        let index = pick % count;
        let leaf = leaves[usize::try_from(index).unwrap()];
        let mut bytes = tree.proof(index).unwrap().to_bytes();
        prop_assert_eq!(
            tree.commitment().check(index, &leaf, &CommitmentProof::from_bytes(&bytes).unwrap()),
            Ok(())
        );
        let bit = bit % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(
            tree.commitment().check(index, &leaf, &CommitmentProof::from_bytes(&bytes).unwrap()),
            Err(CommitmentError::Root { height: index })
        );
    }
}
