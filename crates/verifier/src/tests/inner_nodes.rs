//! CVE-2017-12842, carried out: nodes of the tree taken for transactions, and transactions for nodes.
//!
//! A transaction of 64 bytes without witness has these bytes at fixed places, for a script_sig of `n` bytes:
//! `01` inputs at 4, `n` at 41, `01` outputs at 46 + n, `4 - n` for the script_pubkey at 55 + n. The rest is
//! free, so an attacker needs about 2^22 tries to find a hash that fits the second half.

use alloc::vec::Vec;

use bitcoin::absolute::LockTime;
use bitcoin::consensus::{deserialize, serialize};
use bitcoin::hashes::{Hash, HashEngine, sha256d};
use bitcoin::{Transaction, TxMerkleNode, Txid};

use super::fixture::*;
use crate::{InclusionError, InclusionProof, MerkleBranch, Part, Rule, VerifyError};

/// Whether a transaction of 64 bytes can end in these 32.
fn is_a_second_half(hash: &[u8; 32]) -> bool {
    let n = usize::from(hash[9]);
    n <= 4 && hash[14 + n] == 1 && usize::from(hash[23 + n]) == 4 - n
}

/// Whether a transaction of 64 bytes can begin with these 32.
fn is_a_first_half(hash: &[u8; 32]) -> bool {
    hash[4] == 1
}

/// Varies the locktime of `tx` until its txid fits.
fn grind(tx: &Transaction, fits: impl Fn(&[u8; 32]) -> bool) -> Transaction {
    let mut stripped = tx.clone();
    stripped.input[0].witness.clear();
    let bytes = serialize(&stripped);
    let (fixed, _) = bytes.split_at(bytes.len() - 4);
    let mut engine = sha256d::Hash::engine();
    engine.input(fixed);
    for lock_time in 0..u32::MAX {
        let mut engine = engine.clone();
        engine.input(&lock_time.to_le_bytes());
        if fits(sha256d::Hash::from_engine(engine).as_byte_array()) {
            stripped.lock_time = LockTime::from_consensus(lock_time);
            return stripped;
        }
    }
    panic!("no locktime fits");
}

fn inclusion_error(world: &World) -> InclusionError {
    match world.verify() {
        Err(VerifyError::Inclusion(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_stake_that_was_never_mined_is_not_proven_through_a_mined_transaction_of_64_bytes() {
    // The stake's txid is the second half of a transaction that is mined: one level below the leaves.
    let stake = grind(&staking_tx(), is_a_second_half);
    let mut bytes = [0x11; 64];
    bytes[..5].copy_from_slice(&[2, 0, 0, 0, 1]);
    bytes[32..].copy_from_slice(stake.compute_txid().as_byte_array());
    let carrier: Transaction = deserialize(&bytes).unwrap();
    assert_eq!((carrier.base_size(), carrier.input.len(), carrier.output.len()), (64, 1, 1));

    let txs = [coinbase(HEIGHT), carrier];
    let mut world = World::with_block(&txs, 1);
    let first_half = TxMerkleNode::from_byte_array(*bytes.first_chunk().unwrap());
    let siblings = alloc::vec![first_half, txs[0].compute_txid().into()];
    let forged = MerkleBranch::new(0b11, siblings).unwrap();
    assert_eq!(
        forged.root(stake.compute_txid()),
        Ok(world.proof.header.merkle_root),
        "the forgery is perfect"
    );

    let coinbase_branch = world.proof.inclusion.coinbase_branch().clone();
    world.proof.inclusion = InclusionProof::new(stake, forged, txs[0].clone(), coinbase_branch);
    let error = inclusion_error(&world);
    assert_eq!(error, InclusionError::UnequalDepth { transaction: 2, coinbase: 1 });
    assert_eq!(error.rule(), Rule::EqualDepth);
}

#[test]
fn an_inner_node_is_not_proven_as_a_transaction() {
    // Two mined transactions whose txids side by side read as a third, one level above the leaves.
    let first = grind(&filler(30), is_a_first_half);
    let second = grind(&filler(31), is_a_second_half);
    let txs = [coinbase(HEIGHT), filler(32), first, second];
    let txids: Vec<Txid> = txids(&txs);
    let node: Vec<u8> = [txids[2].to_byte_array(), txids[3].to_byte_array()].concat();
    let phantom: Transaction = deserialize(&node).unwrap();

    let mut world = World::with_block(&txs, 1);
    let full = MerkleBranch::from_txids(&txids, 2).unwrap();
    let forged = MerkleBranch::new(1, full.siblings()[1..].to_vec()).unwrap();
    let txid = phantom.compute_txid();
    assert_eq!(forged.root(txid), Ok(world.proof.header.merkle_root), "the forgery is perfect");

    let coinbase_branch = world.proof.inclusion.coinbase_branch().clone();
    world.proof.inclusion = InclusionProof::new(phantom, forged, txs[0].clone(), coinbase_branch);
    let error = inclusion_error(&world);
    assert_eq!(error, InclusionError::SixtyFourBytes { part: Part::Transaction, txid });
}
