//! Random stories, after each of which the books must balance.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::collections::{HashMap, HashSet};

use bitcoin::{Amount, OutPoint, Txid};
use proptest::prelude::*;
use support::story::Story;
use support::{START, chain_of};
use tapstake_devnet::{Chain, Coin, ElectrumScriptHash, total_subsidy};

/// Computes the coins of the active chain from its blocks alone.
fn recomputed_coins(chain: &Chain) -> HashMap<OutPoint, Coin> {
    let mut coins = HashMap::new();
    for height in 1..=chain.tip().height {
        for (index, tx) in chain.block(height).unwrap().txdata.iter().enumerate() {
            let txid = tx.compute_txid();
            if index > 0 {
                for input in &tx.input {
                    coins.remove(&input.previous_output).expect("inputs exist");
                }
            }
            for (vout, output) in (0..).zip(&tx.output) {
                if !output.script_pubkey.is_op_return() {
                    let coin = Coin { output: output.clone(), height, coinbase: index == 0 };
                    coins.insert(OutPoint { txid, vout }, coin);
                }
            }
        }
    }
    coins
}

fn check(chain: &Chain) {
    let coins: HashMap<OutPoint, Coin> = chain.coins().map(|(at, coin)| (*at, coin.clone())).collect();
    assert_eq!(coins, recomputed_coins(chain));

    // Miners take all they may, so no coin is ever lost.
    let value: Amount = coins.values().map(|coin| coin.output.value).sum();
    assert_eq!(value, total_subsidy(chain.tip().height));

    let scripts: HashSet<_> = coins.values().map(|coin| coin.output.script_pubkey.clone()).collect();
    let unspent: usize =
        scripts.iter().map(|script| chain.unspent(&ElectrumScriptHash::of(script)).len()).sum();
    assert_eq!(unspent, coins.len());
    for script in &scripts {
        let history = chain.history(&ElectrumScriptHash::of(script));
        assert!(history.windows(2).all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 != pair[1].1));
        for (height, txid) in history {
            let position = chain.position(txid).expect("histories are of the chain");
            assert_eq!(position.height, *height);
            assert_eq!(chain.transaction(txid).unwrap().compute_txid(), *txid);
        }
    }

    let mut spent = HashSet::new();
    let mut before: HashSet<Txid> = HashSet::new();
    for (txid, entry) in chain.mempool().iter() {
        let mut inputs = Amount::ZERO;
        for input in &entry.tx.input {
            let outpoint = input.previous_output;
            assert!(spent.insert(outpoint), "{outpoint} is spent twice in the mempool");
            assert_eq!(chain.mempool().spender(&outpoint), Some(txid));
            inputs += match coins.get(&outpoint) {
                Some(coin) => coin.output.value,
                None => {
                    assert!(before.contains(&outpoint.txid), "a parent comes before its child");
                    let parent = chain.mempool().get(&outpoint.txid).expect("a parent waits");
                    parent.tx.output[usize::try_from(outpoint.vout).unwrap()].value
                }
            };
        }
        let outputs: Amount = entry.tx.output.iter().map(|output| output.value).sum();
        assert_eq!(inputs - outputs, entry.fee);
        before.insert(txid);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn coins_indexes_and_mempool_agree_with_the_blocks(seed in any::<u64>()) {
        let mut story = Story::new(chain_of(115, START), seed);
        for _ in 0..150 {
            story.step();
        }
        check(&story.chain);
        // Another chain takes every block, on whichever branch, and ends with books that balance.
        let mut other = Chain::new(START);
        other.set_clock(tapstake_devnet::Clock::At(START.now() + 10_000));
        for block in &story.blocks {
            other.submit_block(block.clone()).unwrap();
        }
        // Nobody told it of invalidated blocks, so its branch may be longer.
        prop_assert!(other.tip().height >= story.chain.tip().height);
        check(&other);
    }
}

#[test]
fn stories_are_full_of_life() {
    let mut story = Story::new(chain_of(115, START), 1);
    for _ in 0..400 {
        story.step();
    }
    check(&story.chain);
    assert!(story.accepted.len() > 100, "{} transactions", story.accepted.len());
    let active = usize::try_from(story.chain.tip().height).unwrap();
    assert!(story.blocks.len() > active + 10, "branches are switched");
    let locked =
        story.accepted.iter().flat_map(|tx| &tx.input).filter(|input| input.sequence.is_relative_lock_time());
    assert!(locked.count() > 10, "locks are used");
}
