//! The devnet beside a real bitcoind: what one accepts the other accepts, and what one refuses the
//! other refuses for the same reason.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::{Amount, Block, OutPoint, ScriptBuf, Transaction, Txid, transaction};
use support::broken::broken_blocks;
use support::story::{Event, Story};
use support::{anyone, chain_of, input, output, reward, spend};
use tapstake_devnet::{AcceptError, Chain, Clock, Faucet};
use tapstake_regtest::Bitcoind;

/// Gives a node every block of a chain.
fn follow(node: &Bitcoind, chain: &Chain) {
    for height in 1..=chain.tip().height {
        submit(node, &chain.block(height).unwrap());
    }
    assert_eq!(node.best_block_hash().unwrap(), chain.tip().hash);
}

fn submit(node: &Bitcoind, block: &Block) {
    node.submit_block(block).unwrap_or_else(|error| panic!("block {}: {error}", block.block_hash()));
}

/// Lets the same happen to a node.
fn replay(node: &Bitcoind, event: &Event) {
    match event {
        Event::Mined(block) => submit(node, block),
        Event::Invalidated(hash) => node.invalidate_block(*hash).unwrap(),
        Event::Reconsidered(hash) => node.reconsider_block(*hash).unwrap(),
        Event::Offered(tx, ours) => {
            assert_eq!(verdict(node, tx), *ours, "{}", serialize_hex(tx));
            if ours.is_ok() {
                node.broadcast(tx).unwrap();
            }
        }
    }
}

/// What a node's mempool says to a transaction, as the devnet's would say it.
fn verdict(node: &Bitcoind, tx: &Transaction) -> Result<(), String> {
    match node.test_accept(tx).unwrap().refusal {
        None => Ok(()),
        // The node's tests of the mempool have another word for this than its broadcasts.
        Some(reason) if reason == "missing-inputs" => Err("bad-txns-inputs-missingorspent".to_owned()),
        Some(reason) => Err(reason.split(" (").next().unwrap().to_owned()),
    }
}

fn sorted(mut txids: Vec<Txid>) -> Vec<Txid> {
    txids.sort_unstable();
    txids
}

#[test]
fn a_long_story_goes_the_same_way_on_bitcoind() {
    for seed in 0..3 {
        let node = Bitcoind::start().unwrap();
        let mut story = Story::new(chain_of(115, Clock::System), seed);
        follow(&node, &story.chain);
        for step in 0..400 {
            for event in story.step() {
                replay(&node, &event);
            }
            assert_eq!(
                node.best_block_hash().unwrap(),
                story.chain.tip().hash,
                "step {step} of story {seed}"
            );
            let waiting = story.chain.mempool().iter().map(|(txid, _)| txid).collect();
            assert_eq!(sorted(node.mempool().unwrap()), sorted(waiting), "step {step} of story {seed}");
        }
    }
}

#[test]
fn every_broken_block_is_refused_by_both_for_the_same_reason() {
    let node = Bitcoind::start().unwrap();
    let mut chain = chain_of(110, Clock::System);
    follow(&node, &chain);
    for (number, (reason, block)) in broken_blocks(&mut chain).into_iter().enumerate() {
        let ours = chain.submit_block(block.clone()).expect_err(reason).reject_reason();
        let theirs = node.submit_block(&block).expect_err(reason);
        let theirs = theirs.rpc_message().unwrap_or_else(|| panic!("{reason}: {theirs}"));
        let theirs = theirs.split(" (").next().unwrap();
        assert_eq!(ours, theirs, "block {number}");
        assert_eq!(node.best_block_hash().unwrap(), chain.tip().hash, "{reason}");
    }
    let hash = chain.mine(&anyone()).unwrap();
    submit(&node, &chain.block_by_hash(&hash).unwrap());
}

#[test]
fn blocks_with_signatures_and_burns_are_accepted_by_bitcoind() {
    let node = Bitcoind::start().unwrap();
    let mut chain = Chain::new(Clock::System);
    let faucet = Faucet::new();
    let burn = ScriptBuf::from_hex("6a07626162796c6f6e").unwrap();
    for round in 1..=20 {
        faucet.fund(&mut chain, &anyone(), Amount::from_sat(1_000_000)).unwrap();
        faucet.fund(&mut chain, &burn, Amount::from_sat(round * 1_000)).unwrap();
        chain.mine(faucet.script_pubkey()).unwrap();
    }
    follow(&node, &chain);
}

#[test]
fn a_thousand_transactions_fit_into_a_block_that_bitcoind_accepts() {
    let node = Bitcoind::start().unwrap();
    let mut chain = chain_of(110, Clock::System);
    let (coin, value) = reward(&chain, 1);
    let fan = spend(&[coin], &[value / 1_001; 1_000]);
    chain.accept(&fan, Amount::ZERO).unwrap();
    chain.mine(&anyone()).unwrap();
    let txid = fan.compute_txid();
    for vout in 0..1_000 {
        let tx = spend(&[OutPoint { txid, vout }], &[value / 1_001 - 1_000 - u64::from(vout)]);
        chain.accept(&tx, Amount::ZERO).unwrap();
    }
    chain.mine(&anyone()).unwrap();
    assert_eq!(chain.block(112).unwrap().txdata.len(), 1_001);
    follow(&node, &chain);
}

/// Transactions on a chain of 110 blocks of [`support`], good and bad.
fn cases(chain: &Chain) -> Vec<Transaction> {
    let (coin, value) = reward(chain, 1);
    let (fresh, fresh_value) = reward(chain, 11);
    let (young, young_value) = reward(chain, 12);
    let good = spend(&[coin], &[value - 1_000]);
    let change = |change: &dyn Fn(&mut Transaction)| {
        let mut tx = good.clone();
        change(&mut tx);
        tx
    };
    let script = |hex: &str| {
        let script = ScriptBuf::from_hex(hex).unwrap();
        change(&|tx| tx.output[0].script_pubkey = script.clone())
    };
    let vsize = good.vsize() as u64;
    let by_time = {
        let mut tx = spend(&[fresh], &[fresh_value - 1_000]);
        tx.input[0] = input(fresh, (1 << 22) | 1);
        tx
    };
    let keys =
        |count: usize| format!("51{}{:02x}ae", format!("21{}", "02".repeat(33)).repeat(count), 0x50 + count);
    vec![
        good.clone(),
        by_time,
        spend(&[young], &[young_value - 1_000]),
        spend(&[coin], &[value - vsize.div_ceil(10)]),
        spend(&[coin], &[value - vsize.div_ceil(10) + 1]),
        spend(&[coin], &[value]),
        spend(&[coin], &[value + 1]),
        spend(&[coin], &[330, value - 1_330]),
        spend(&[coin], &[329, value - 1_329]),
        spend(&[coin], &[329, value - 329]),
        spend(&[coin], &[329, 329, value - 658]),
        spend(&[coin], &[]),
        change(&|tx| tx.input[0] = input(coin, 110)),
        change(&|tx| tx.input[0] = input(coin, 111)),
        change(&|tx| tx.input.push(tx.input[0].clone())),
        change(&|tx| tx.input[0].previous_output.vout = 7),
        change(&|tx| tx.input[0].witness = bitcoin::Witness::from_slice(&[[0x00]])),
        change(&|tx| tx.input[0].witness = bitcoin::Witness::from_slice(&[vec![0; 81], vec![0x51]])),
        change(&|tx| tx.input[0].witness = bitcoin::Witness::new()),
        change(&|tx| tx.input[0].script_sig = vec![0x61].into()),
        change(&|tx| tx.input[0].script_sig = vec![0x00; 1_651].into()),
        change(&|tx| tx.version = transaction::Version(0)),
        change(&|tx| tx.version = transaction::Version::ONE),
        change(&|tx| tx.version = transaction::Version(3)),
        change(&|tx| tx.version = transaction::Version(4)),
        change(&|tx| tx.version = transaction::Version(-1)),
        change(&|tx| tx.lock_time = bitcoin::absolute::LockTime::from_consensus(110)),
        change(&|tx| tx.lock_time = bitcoin::absolute::LockTime::from_consensus(111)),
        change(&|tx| tx.lock_time = bitcoin::absolute::LockTime::from_consensus(u32::MAX)),
        change(&|tx| tx.output = vec![output(10_000); 11_000]),
        script("51"),
        script("0003aabbcc"),
        script("51024e73"),
        script("5114aabbccddaabbccddaabbccddaabbccddaabbccdd"),
        script("6a07626162796c6f6e"),
        script("6aff"),
        script("6a"),
        script(""),
        script(&keys(1)),
        script(&keys(3)),
        script(&keys(4)),
    ]
}

#[test]
fn mempools_agree_on_what_they_take_and_why_not() {
    let node = Bitcoind::start().unwrap();
    let chain = chain_of(110, Clock::System);
    follow(&node, &chain);
    let (mut taken, mut refused) = (0, 0);
    for (number, tx) in cases(&chain).iter().enumerate() {
        // testmempoolaccept knows no limit for burning.
        let ours = chain.test_accept(tx, Amount::MAX_MONEY).map_err(|error| error.reject_reason());
        let theirs = verdict(&node, tx);
        assert_eq!(ours.clone().map(|_| ()), theirs, "case {number}");
        if ours.is_ok() { taken += 1 } else { refused += 1 }
    }
    assert!(taken > 10 && refused > 15, "{taken} taken, {refused} refused");
}

#[test]
fn replacements_and_burns_are_judged_alike() {
    let node = Bitcoind::start().unwrap();
    let mut chain = chain_of(110, Clock::System);
    follow(&node, &chain);
    let (coin, value) = reward(&chain, 1);
    let first = spend(&[coin], &[value - 1_000]);
    node.broadcast(&first).unwrap();
    chain.accept(&first, Amount::ZERO).unwrap();
    for fee in [999, 1_000, 1_009] {
        let tx = spend(&[coin], &[value - fee]);
        let ours = chain.test_accept(&tx, Amount::ZERO).unwrap_err().reject_reason();
        assert_eq!(Some(ours), node.test_accept(&tx).unwrap().refusal, "fee {fee}");
    }
    let worse_rate = spend(&[coin], &[(value - 3_000) / 100; 100]);
    let ours = chain.test_accept(&worse_rate, Amount::ZERO).unwrap_err().reject_reason();
    assert_eq!(Some(ours), node.test_accept(&worse_rate).unwrap().refusal);
    let better = spend(&[coin], &[value - 1_010]);
    node.broadcast(&better).unwrap();
    chain.accept(&better, Amount::ZERO).unwrap();

    let (coin, value) = reward(&chain, 2);
    let mut burn = spend(&[coin], &[value - 6_000]);
    let script_pubkey = ScriptBuf::from_hex("6a07626162796c6f6e").unwrap();
    burn.output.push(bitcoin::TxOut { value: Amount::from_sat(5_000), script_pubkey });
    let ours = chain.accept(&burn, Amount::from_sat(4_999)).unwrap_err();
    assert!(matches!(ours, AcceptError::Burn { .. }));
    let theirs = node.broadcast_burning(&burn, Amount::from_sat(4_999)).unwrap_err();
    assert!(ours.to_string().starts_with(theirs.rpc_message().unwrap()), "{ours} / {theirs}");
    chain.accept(&burn, Amount::from_sat(5_000)).unwrap();
    node.broadcast_burning(&burn, Amount::from_sat(5_000)).unwrap();
    let ours = chain.mempool().iter().map(|(txid, _)| txid).collect();
    assert_eq!(sorted(node.mempool().unwrap()), sorted(ours));
}
