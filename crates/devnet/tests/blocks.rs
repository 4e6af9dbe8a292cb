//! Each rule about blocks, broken once.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use bitcoin::hashes::Hash;
use bitcoin::{Amount, BlockHash, Sequence};
use support::broken::broken_blocks;
use support::{START, anyone, chain_of, input, reward, spend};
use tapstake_devnet::{BlockError, Chain, Clock, Submitted, rules, seal};

#[test]
fn every_broken_rule_is_refused_by_its_name_and_leaves_the_chain_as_it_was() {
    let mut chain = chain_of(110, START);
    let (tip, coins) = (chain.tip(), chain.coins().count());
    for (number, (reason, block)) in broken_blocks(&mut chain).into_iter().enumerate() {
        let error = chain.submit_block(block).expect_err(reason);
        assert_eq!(error.reject_reason(), reason, "block {number}: {error}");
        assert!(error.to_string().starts_with(reason), "{error}");
        assert_eq!(chain.tip(), tip, "{reason}");
        assert_eq!(chain.coins().count(), coins, "{reason}");
    }
    chain.mine(&anyone()).unwrap();
    assert_eq!(chain.tip().height, tip.height + 1);
}

#[test]
fn an_invalid_block_is_remembered_and_nothing_is_built_on_it() {
    let mut chain = chain_of(1, START);
    let mut greedy = chain.assemble(&anyone(), Vec::new(), Amount::ONE_SAT);
    let hash = greedy.block_hash();
    assert!(matches!(chain.submit_block(greedy.clone()), Err(BlockError::CoinbaseAmount { .. })));
    assert_eq!(chain.submit_block(greedy.clone()), Err(BlockError::KnownInvalid { hash }));
    greedy.header.prev_blockhash = hash;
    greedy.header.time += 1;
    seal(&mut greedy);
    assert_eq!(chain.submit_block(greedy), Err(BlockError::BadPrevious { previous: hash }));
}

#[test]
fn a_mutated_block_does_not_spoil_the_true_one() {
    let mut chain = chain_of(110, START);
    let ((first, value), (second, other)) = (reward(&chain, 1), reward(&chain, 2));
    let block =
        chain.assemble(&anyone(), vec![spend(&[first], &[value]), spend(&[second], &[other])], Amount::ZERO);
    let mut repeated = block.clone();
    repeated.txdata.push(repeated.txdata[2].clone());
    assert_eq!(repeated.block_hash(), block.block_hash());
    assert_eq!(chain.submit_block(repeated), Err(BlockError::DuplicateTransactions));
    let mut other_witness = block.clone();
    other_witness.txdata[1].input[0].witness.push([1]);
    assert!(matches!(chain.submit_block(other_witness), Err(BlockError::WitnessMerkleMismatch { .. })));
    assert_eq!(chain.submit_block(block.clone()), Ok(Submitted::Connected));
    assert_eq!(chain.submit_block(block), Ok(Submitted::Duplicate));
}

#[test]
fn locks_open_exactly_when_their_blocks_have_passed() {
    let mut chain = chain_of(110, START);
    let (coin, value) = reward(&chain, 1);
    // In block 111 the coin of block 1 is 110 blocks old.
    for (lock, opens) in [(110, true), (111, false)] {
        let mut tx = spend(&[coin], &[value]);
        tx.input[0] = input(coin, lock);
        let block = chain.assemble(&anyone(), vec![tx], Amount::ZERO);
        assert_eq!(chain.clone().submit_block(block).is_ok(), opens, "lock of {lock} blocks");
    }
    for lock_time in [109, 110, 111] {
        let mut tx = spend(&[coin], &[value]);
        tx.lock_time = bitcoin::absolute::LockTime::from_consensus(lock_time);
        tx.input[0].sequence = Sequence::ENABLE_LOCKTIME_NO_RBF;
        let block = chain.assemble(&anyone(), vec![tx], Amount::ZERO);
        assert_eq!(chain.clone().submit_block(block).is_ok(), lock_time < 111, "lock time {lock_time}");
    }
}

#[test]
fn time_locks_open_with_the_median_time_past() {
    let mut chain = chain_of(110, START);
    let (coin, value) = reward(&chain, 109 - 100);
    let start = chain.median_time_past(8).unwrap();
    let mut tx = spend(&[coin], &[value]);
    tx.input[0] = input(coin, (1 << 22) | 1);
    for (median, opens) in [(start + 511, false), (start + 512, true)] {
        let mut chain = chain.clone();
        chain.set_clock(Clock::At(median));
        // Six blocks at this time bring the median there.
        for _ in 0..6 {
            chain.mine(&anyone()).unwrap();
        }
        assert_eq!(chain.median_time_past(chain.tip().height), Some(median));
        let block = chain.assemble(&anyone(), vec![tx.clone()], Amount::ZERO);
        assert_eq!(chain.submit_block(block).is_ok(), opens, "median {median}");
    }
    chain.mine(&anyone()).unwrap();
}

#[test]
fn low_heights_have_coinbases_of_the_right_form() {
    let chain = chain_of(300, START);
    for height in 1..=300 {
        let block = chain.block(height).unwrap();
        assert_eq!(block.bip34_block_height().ok(), if height > 16 { Some(height.into()) } else { None });
        assert!(block.check_merkle_root() && block.check_witness_commitment());
        assert_eq!(block.txdata[0].output[0].value, rules::subsidy(height));
        assert!(block.header.validate_pow(block.header.target()).is_ok());
    }
}

#[test]
fn timestamps_stay_at_the_clock_and_above_the_median() {
    let mut chain = Chain::new(START);
    let mut last = 0;
    for height in 1..=2_000 {
        chain.mine(&anyone()).unwrap();
        let time = chain.header(height).unwrap().time;
        assert!(time > chain.median_time_past(height - 1).unwrap());
        assert!(time >= last);
        last = time;
    }
    // The first eleven have a shorter median, and need a second for two.
    assert!(last - START.now() < 2_000 / 6 + 6, "{} seconds", last - START.now());
    chain.set_clock(Clock::At(last + 1_000));
    chain.mine(&anyone()).unwrap();
    assert_eq!(chain.header(2_001).unwrap().time, last + 1_000);
}

#[test]
fn mining_stops_two_hours_ahead_of_the_clock() {
    let mut chain = chain_of(20, START);
    chain.set_clock(Clock::At(START.now() - 7_200));
    let error = loop {
        if let Err(error) = chain.mine(&anyone()) {
            break error;
        }
    };
    assert!(matches!(error, BlockError::TimeTooNew { .. }), "{error}");
}

#[test]
fn the_same_story_gives_the_same_blocks() {
    assert_eq!(chain_of(120, START).tip(), chain_of(120, START).tip());
    assert_ne!(chain_of(1, START).tip().hash, BlockHash::all_zeros());
}
