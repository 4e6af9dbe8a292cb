//! Switching branches: blocks, coins, indexes and mempool follow.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::collections::HashMap;

use bitcoin::{Amount, OutPoint};
use support::{START, anyone, chain_of, reward, spend};
use tapstake_devnet::{AcceptError, BlockError, Chain, ElectrumScriptHash, Error, Submitted, TxError};

fn coins(chain: &Chain) -> HashMap<OutPoint, tapstake_devnet::Coin> {
    chain.coins().map(|(outpoint, coin)| (*outpoint, coin.clone())).collect()
}

/// Mines blocks on a copy of the chain and returns them.
fn branch(chain: &Chain, back: u32, length: u32) -> Vec<bitcoin::Block> {
    let mut copy = chain.clone();
    let fork = copy.tip().height - back;
    if back > 0 {
        let hash = copy.block_hash(fork + 1).unwrap();
        copy.invalidate_block(&hash).unwrap();
    }
    (1..=length)
        .map(|n| {
            copy.mine(&anyone()).unwrap();
            copy.block(fork + n).unwrap().as_ref().clone()
        })
        .collect()
}

#[test]
fn a_longer_branch_wins_and_an_equal_one_does_not() {
    let mut chain = chain_of(105, START);
    let tip = chain.tip();
    let blocks = branch(&chain, 3, 4);
    for block in &blocks[..3] {
        assert_eq!(chain.submit_block(block.clone()), Ok(Submitted::SideBranch));
        assert_eq!(chain.tip(), tip);
    }
    assert_eq!(chain.submit_block(blocks[3].clone()), Ok(Submitted::Connected));
    assert_eq!(chain.tip().hash, blocks[3].block_hash());
    assert_eq!(chain.tip().height, 106);
    for (height, block) in (103..).zip(&blocks) {
        assert_eq!(chain.block_hash(height), Some(block.block_hash()));
    }
    // The same chain, made without a detour, has the same coins.
    let mut direct = chain_of(102, START);
    for block in blocks {
        direct.submit_block(block).unwrap();
    }
    assert_eq!(coins(&direct), coins(&chain));
}

#[test]
fn transactions_of_lost_blocks_wait_again_and_their_locks_count_anew() {
    let mut chain = chain_of(110, START);
    let (coin, value) = reward(&chain, 5);
    let parent = spend(&[coin], &[value - 1_000]);
    chain.accept(&parent, Amount::ZERO).unwrap();
    let hash = chain.mine(&anyone()).unwrap();
    assert_eq!(chain.position(&parent.compute_txid()).map(|position| position.height), Some(111));
    let child_coin = OutPoint { txid: parent.compute_txid(), vout: 0 };
    let mut child = spend(&[child_coin], &[value - 2_000]);
    child.input[0].sequence = bitcoin::Sequence(1);
    chain.accept(&child, Amount::ZERO).unwrap();

    chain.invalidate_block(&hash).unwrap();
    assert_eq!(chain.tip().height, 110);
    assert_eq!(chain.position(&parent.compute_txid()), None);
    assert!(chain.mempool().contains(&parent.compute_txid()));
    // One block after a parent that has no block is too early.
    assert!(!chain.mempool().contains(&child.compute_txid()));
    assert_eq!(chain.spender(&coin), Some(parent.compute_txid()));

    chain.reconsider_block(&hash).unwrap();
    assert_eq!(chain.tip().hash, hash);
    assert!(chain.mempool().is_empty());
    chain.accept(&child, Amount::ZERO).unwrap();
}

#[test]
fn coinbase_spends_that_become_premature_leave_the_mempool() {
    let mut chain = chain_of(104, START);
    let (coin, value) = reward(&chain, 5);
    let tx = spend(&[coin], &[value - 1_000]);
    chain.accept(&tx, Amount::ZERO).unwrap();
    let tip = chain.tip().hash;
    chain.invalidate_block(&tip).unwrap();
    assert!(chain.mempool().is_empty());
    assert!(matches!(
        chain.accept(&tx, Amount::ZERO),
        Err(AcceptError::Consensus(TxError::PrematureCoinbaseSpend { depth: 99, .. }))
    ));
}

#[test]
fn a_branch_that_spends_a_coin_otherwise_makes_the_waiting_spend_and_its_children_impossible() {
    let mut chain = chain_of(110, START);
    let (coin, value) = reward(&chain, 5);
    let ours = spend(&[coin], &[value - 1_000]);
    let child = spend(&[OutPoint { txid: ours.compute_txid(), vout: 0 }], &[value - 2_000]);
    let theirs = spend(&[coin], &[value - 5_000, 4_000]);
    chain.accept(&ours, Amount::ZERO).unwrap();
    chain.accept(&child, Amount::ZERO).unwrap();
    let block = chain.assemble(&anyone(), vec![theirs.clone()], Amount::from_sat(1_000));
    chain.submit_block(block).unwrap();
    assert!(chain.mempool().is_empty());
    assert_eq!(chain.spender(&coin), Some(theirs.compute_txid()));
}

#[test]
fn a_branch_with_an_invalid_block_loses_again() {
    let mut chain = chain_of(105, START);
    let (tip, before) = (chain.tip(), coins(&chain));
    let mut copy = chain.clone();
    copy.invalidate_block(&copy.block_hash(104).unwrap()).unwrap();
    let first = copy.assemble(&anyone(), Vec::new(), Amount::ONE_SAT);
    let invalid = first.block_hash();
    assert_eq!(chain.submit_block(first.clone()), Ok(Submitted::SideBranch));
    let mut previous = first;
    for height in 105..=106_u32 {
        let mut next = previous.clone();
        next.header.prev_blockhash = previous.block_hash();
        next.header.time += 1;
        let script = bitcoin::script::Builder::new().push_int(height.into()).push_slice([9; 8]);
        next.txdata[0].input[0].script_sig = script.into_script();
        tapstake_devnet::seal(&mut next);
        let result = chain.submit_block(next.clone());
        if height == 105 {
            assert_eq!(result, Ok(Submitted::SideBranch));
        } else {
            assert_eq!(result, Err(BlockError::BadPrevious { previous: invalid }));
        }
        previous = next;
    }
    assert_eq!(chain.tip(), tip);
    assert_eq!(coins(&chain), before);
}

#[test]
fn histories_follow_a_switch_of_branches() {
    let mut chain = chain_of(110, START);
    let script = ElectrumScriptHash::of(&anyone());
    let before = chain.history(&script).to_vec();
    let (coin, value) = reward(&chain, 5);
    chain.accept(&spend(&[coin], &[value - 1_000]), Amount::ZERO).unwrap();
    let hash = chain.mine(&anyone()).unwrap();
    assert_eq!(chain.history(&script).len(), before.len() + 2);
    chain.invalidate_block(&hash).unwrap();
    assert_eq!(chain.history(&script), before);
    assert_eq!(chain.unspent(&script).len(), 110);
}

#[test]
fn a_new_block_after_an_invalidated_one_is_another_block() {
    let mut chain = chain_of(3, START);
    let tip = chain.tip().hash;
    chain.invalidate_block(&tip).unwrap();
    assert_ne!(chain.mine(&anyone()).unwrap(), tip);
}

#[test]
fn unknown_blocks_and_the_genesis_block_cannot_be_invalidated() {
    let mut chain = chain_of(1, START);
    let genesis = chain.block_hash(0).unwrap();
    assert!(matches!(chain.invalidate_block(&genesis), Err(Error::Genesis)));
    let unknown = bitcoin::hashes::Hash::all_zeros();
    assert!(matches!(chain.invalidate_block(&unknown), Err(Error::UnknownBlock(_))));
    assert!(matches!(chain.reconsider_block(&unknown), Err(Error::UnknownBlock(_))));
}
