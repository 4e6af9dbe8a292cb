//! Rules 7 to 11, each broken alone.

use alloc::string::ToString;

use bitcoin::hashes::Hash;
use bitcoin::script::PushBytesBuf;
use bitcoin::{Amount, OutPoint, Script, ScriptBuf, TxMerkleNode, TxOut};
use tapstake_params::Height;

use super::fixture::*;
use crate::{InclusionError, InclusionProof, MerkleBranch, MerkleError, Part, Rule, VerifyError};

fn refusal(world: &World) -> InclusionError {
    match world.verify() {
        Err(VerifyError::Inclusion(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn with_branches(
    proof: &InclusionProof,
    branch: MerkleBranch,
    coinbase_branch: MerkleBranch,
) -> InclusionProof {
    InclusionProof { branch, coinbase_branch, ..proof.clone() }
}

#[test]
fn a_stake_in_blocks_of_every_shape_verifies() {
    for count in [2, 3, 4, 5, 7, 8, 9, 33, 100] {
        for index in [1, count / 2, count - 1] {
            let index = index.max(1);
            let mut txs: alloc::vec::Vec<_> = (100..).map(filler).take(count).collect();
            txs[0] = coinbase(HEIGHT);
            txs[index] = staking_tx();
            let included = World::with_block(&txs, index).verify();
            assert!(included.is_ok(), "index {index} of {count}: {included:?}");
        }
    }
}

#[test]
fn a_two_transaction_block_verifies() {
    let txs = [coinbase(HEIGHT), staking_tx()];
    let world = World::with_block(&txs, 1);
    assert_eq!(world.proof.inclusion.branch().depth(), 1);
    assert!(world.verify().is_ok());
}

#[test]
fn a_transaction_of_64_bytes_is_refused_in_the_truest_of_blocks() {
    let mut stake = filler(1);
    stake.output[0].script_pubkey = ScriptBuf::from_bytes(alloc::vec![0x51; 4]);
    assert_eq!(stake.base_size(), 64);
    let txid = stake.compute_txid();
    let error = refusal(&World::with_stake(stake));
    assert_eq!(error, InclusionError::SixtyFourBytes { part: Part::Transaction, txid });
    assert_eq!(error.rule(), Rule::TransactionSize);
}

#[test]
fn a_coinbase_of_64_bytes_is_refused() {
    let mut txs = block_of_seven();
    txs[0].input[0].script_sig = ScriptBuf::from_bytes(alloc::vec![1, 20]);
    txs[0].output[0].script_pubkey = ScriptBuf::from_bytes(alloc::vec![0x51; 2]);
    assert_eq!(txs[0].base_size(), 64);
    let error = refusal(&World::with_block(&txs, 4));
    assert!(matches!(error, InclusionError::SixtyFourBytes { part: Part::Coinbase, .. }));
}

#[test]
fn a_branch_of_one_node_proves_nothing() {
    // A known failure of an earlier system: a Merkle proof with a single node was always valid.
    let mut world = World::honest();
    let alone = MerkleBranch::new(0, alloc::vec![]).unwrap();
    world.proof.inclusion = with_branches(&world.proof.inclusion, alone.clone(), alone);
    let error = refusal(&world);
    assert_eq!(error, InclusionError::SingleTransaction);
    assert_eq!(error.rule(), Rule::SingleTransaction);
}

#[test]
fn a_block_of_one_transaction_has_no_stake_even_if_its_coinbase_looks_like_one() {
    let mut only = coinbase(HEIGHT);
    only.output.push(staking_output());
    let world = World::with_block(&[only], 0);
    assert_eq!(refusal(&world), InclusionError::SingleTransaction);
}

#[test]
fn claiming_one_transaction_does_not_prove_the_root_as_a_transaction() {
    // A known failure of an earlier system: nTransactions = 1 made the root itself a leaf. Here the
    // header's root is the txid of a transaction, and the block claims to have no other.
    let world = World::with_block(&[staking_tx()], 0);
    assert_eq!(world.proof.header.merkle_root, staking_tx().compute_txid().into());
    let error = refusal(&world);
    assert_eq!(error.rule(), Rule::Coinbase, "the only transaction of a block is its coinbase");
    let mut world = world;
    world.proof.inclusion.coinbase = coinbase(HEIGHT);
    assert_eq!(refusal(&world), InclusionError::SingleTransaction);
}

#[test]
fn a_coinbase_is_no_stake() {
    let mut txs = block_of_seven();
    txs[0].output.push(staking_output());
    let world = World::with_block(&txs, 0);
    let error = refusal(&world);
    assert_eq!(error, InclusionError::IsCoinbase { txid: txs[0].compute_txid() });
    assert_eq!(error.rule(), Rule::StakeNotCoinbase);
}

#[test]
fn the_coinbase_must_have_a_null_prevout() {
    let mut txs = block_of_seven();
    txs[0].input[0].previous_output = OutPoint::new(txs[1].compute_txid(), u32::MAX);
    let error = refusal(&World::with_block(&txs, 4));
    assert_eq!(error, InclusionError::NotACoinbase { txid: txs[0].compute_txid() });
    assert_eq!(error.rule(), Rule::Coinbase);
}

#[test]
fn the_coinbase_must_stand_at_index_0() {
    let mut txs = block_of_seven();
    txs.swap(0, 1);
    let mut world = World::with_block(&txs, 4);
    world.proof.inclusion.coinbase = coinbase(HEIGHT);
    world.proof.inclusion.coinbase_branch = MerkleBranch::from_txids(&txids(&txs), 1).unwrap();
    let error = refusal(&world);
    assert_eq!(error, InclusionError::CoinbaseIndex { index: 1 });
    assert_eq!(error.rule(), Rule::Coinbase);
}

#[test]
fn no_index_outside_the_tree_passes_for_that_of_the_coinbase() {
    // A known failure of earlier systems: the low bits decide what is hashed, the whole number decided
    // whether a proof was that of the coinbase.
    let world = World::honest();
    let (branch, coinbase) = (world.proof.inclusion.branch(), world.proof.inclusion.coinbase_branch());
    for (index, siblings) in [(8, coinbase.siblings()), (8 + 4, branch.siblings())] {
        let error = MerkleBranch::new(index, siblings.to_vec()).unwrap_err();
        assert_eq!(error, MerkleError::IndexOutOfTree { index, depth: 3 });
        assert_eq!(error.rule(), Rule::MerkleIndex);
    }
}

#[test]
fn branches_of_unequal_length_are_refused() {
    let mut world = World::honest();
    let proof = &world.proof.inclusion;
    let mut siblings = proof.coinbase_branch().siblings().to_vec();
    siblings.pop();
    let short = MerkleBranch::new(0, siblings).unwrap();
    world.proof.inclusion = with_branches(proof, proof.branch().clone(), short);
    let error = refusal(&world);
    assert_eq!(error, InclusionError::UnequalDepth { transaction: 3, coinbase: 2 });
    assert_eq!(error.rule(), Rule::EqualDepth);
}

#[test]
fn another_transaction_leads_to_another_root() {
    let mut world = World::honest();
    world.proof.inclusion.tx.output[1].value = Amount::from_sat(VALUE + 1);
    let error = refusal(&world);
    assert!(matches!(error, InclusionError::MerkleRoot { part: Part::Transaction, .. }));
    assert_eq!(error.rule(), Rule::MerkleRoot);
}

#[test]
fn another_coinbase_leads_to_another_root() {
    let mut world = World::honest();
    world.proof.inclusion.coinbase = coinbase(HEIGHT + 1);
    let error = refusal(&world);
    assert!(matches!(error, InclusionError::MerkleRoot { part: Part::Coinbase, .. }));
}

#[test]
fn another_index_leads_to_another_root() {
    let world = World::honest();
    for index in (1..8).filter(|index| *index != 4) {
        let mut proof = world.proof.clone();
        let siblings = proof.inclusion.branch().siblings().to_vec();
        proof.inclusion.branch = MerkleBranch::new(index, siblings).unwrap();
        let error = world.verify_proof(&proof).unwrap_err();
        assert_eq!(error.rule(), Rule::MerkleRoot, "{error}");
    }
}

#[test]
fn the_copy_of_a_duplicated_transaction_has_no_index_of_its_own() {
    // Three transactions: the stake at index 2 is paired with itself, and index 3 hashes alike.
    let txs = [coinbase(HEIGHT), filler(9), staking_tx()];
    let mut world = World::with_block(&txs, 2);
    assert!(world.verify().is_ok());
    let siblings = world.proof.inclusion.branch().siblings().to_vec();
    world.proof.inclusion.branch = MerkleBranch::new(3, siblings).unwrap();
    let error = refusal(&world);
    let duplicate = MerkleError::DuplicateNode { level: 0 };
    assert_eq!(error, InclusionError::Merkle { part: Part::Transaction, error: duplicate });
    assert_eq!(error.rule(), Rule::DuplicateNode);
}

#[test]
fn a_coinbase_that_names_another_height_is_refused() {
    let mut txs = block_of_seven();
    txs[0] = coinbase(HEIGHT + 1);
    let error = refusal(&World::with_block(&txs, 4));
    assert_eq!(error, InclusionError::CoinbaseHeight { height: Height::new(HEIGHT) });
    assert_eq!(error.rule(), Rule::CoinbaseHeight);
}

#[test]
fn a_height_pushed_in_more_bytes_than_needed_is_another_height() {
    let mut txs = block_of_seven();
    txs[0].input[0].script_sig = ScriptBuf::from_bytes(alloc::vec![2, 20, 0, 0x51]);
    let error = refusal(&World::with_block(&txs, 4));
    assert_eq!(error.rule(), Rule::CoinbaseHeight);
}

#[test]
fn heights_up_to_16_are_opcodes() {
    for byte in [1u8, 2, 16, 17] {
        let height = u32::from(byte);
        let mut txs = block_of_seven();
        txs[0] = coinbase(height);
        let expected: &[u8] = if height > 16 { &[1, 17] } else { &[0x50 + byte] };
        assert!(txs[0].input[0].script_sig.as_bytes().starts_with(expected));
        assert!(World::with_block_at(height, &txs, 4).verify().is_ok(), "height {height}");

        let pushed = PushBytesBuf::from([byte]);
        txs[0].input[0].script_sig = Script::builder().push_slice(pushed).push_slice([0; 9]).into_script();
        let is_minimal = height > 16;
        assert_eq!(World::with_block_at(height, &txs, 4).verify().is_ok(), is_minimal, "height {height}");
    }
}

#[test]
fn branches_below_the_root_of_another_block_are_refused() {
    let mut world = World::honest();
    world.proof.inclusion_height = Height::new(HEIGHT + 1);
    world.proof.header = world.headers[HEIGHT as usize + 1];
    assert_eq!(refusal(&world).rule(), Rule::MerkleRoot);
}

#[test]
fn a_proof_deeper_than_any_block_cannot_be_built() {
    let node = TxMerkleNode::from_byte_array([1; 32]);
    let error = MerkleBranch::new(0, alloc::vec![node; 16]).unwrap_err();
    assert_eq!(error.to_string(), "merkle branch of 16 siblings is deeper than 15");
}

#[test]
fn witnesses_are_no_part_of_a_proof() {
    let world = World::honest();
    assert!(staking_tx().input[0].witness.len() == 1);
    assert!(world.proof.inclusion.tx().input[0].witness.is_empty());
    assert!(world.proof.inclusion.coinbase().input[0].witness.is_empty());
    let _: &TxOut = &world.proof.inclusion.tx().output[1];
}
