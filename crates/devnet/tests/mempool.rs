//! Each rule of the mempool, broken once, and what it takes that nodes take.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use bitcoin::{Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxOut, Witness, absolute, transaction};
use support::{START, anyone, chain_of, input, output, reward, spend};
use tapstake_devnet::{AcceptError, Chain, PackageError, policy};

/// A chain with mature coins at the heights 1 to 11.
fn chain() -> Chain {
    chain_of(110, START)
}

fn reason(chain: &Chain, tx: &Transaction) -> String {
    chain.test_accept(tx, Amount::ZERO).expect_err("a rule is broken").reject_reason()
}

fn outpoint(tx: &Transaction, vout: u32) -> OutPoint {
    OutPoint { txid: tx.compute_txid(), vout }
}

/// A payment with `fee` from the coin at a height.
fn payment(chain: &Chain, height: u32, fee: u64) -> Transaction {
    let (coin, value) = reward(chain, height);
    spend(&[coin], &[value - fee])
}

#[test]
fn an_ordinary_payment_is_accepted_confirmed_and_then_known() {
    let mut chain = chain();
    let tx = payment(&chain, 1, 1_000);
    let accepted = chain.test_accept(&tx, Amount::ZERO).unwrap();
    assert_eq!((accepted.fee.to_sat(), accepted.vsize), (1_000, tx.vsize() as u64));
    assert!(chain.mempool().is_empty(), "a test changes nothing");
    assert_eq!(chain.accept(&tx, Amount::ZERO).unwrap(), accepted);
    assert_eq!(chain.accept(&tx, Amount::ZERO).unwrap(), accepted, "again is no error");
    assert_eq!(reason(&chain, &tx), "txn-already-in-mempool");
    chain.mine(&anyone()).unwrap();
    assert!(chain.mempool().is_empty());
    assert_eq!(reason(&chain, &tx), "Transaction outputs already in utxo set");
}

#[test]
fn consensus_rules_come_with_the_reasons_of_bitcoin_core() {
    let chain = chain();
    let (coin, value) = reward(&chain, 1);
    let (young, _) = reward(&chain, 12);
    let good = spend(&[coin], &[value - 1_000]);
    let with = |change: &dyn Fn(&mut Transaction)| {
        let mut tx = good.clone();
        change(&mut tx);
        reason(&chain, &tx)
    };
    assert_eq!(with(&|tx| tx.input.clear()), "bad-txns-vin-empty");
    assert_eq!(with(&|tx| tx.output.clear()), "bad-txns-vout-empty");
    assert_eq!(with(&|tx| tx.input.push(tx.input[0].clone())), "bad-txns-inputs-duplicate");
    assert_eq!(with(&|tx| tx.input[0].previous_output.vout = 9), "bad-txns-inputs-missingorspent");
    assert_eq!(with(&|tx| tx.input[0].previous_output = young), "bad-txns-premature-spend-of-coinbase");
    assert_eq!(with(&|tx| tx.output.push(output(1_001))), "bad-txns-in-belowout");
    assert_eq!(
        with(&|tx| tx.input[0].witness = Witness::from_slice(&[[0x00]])),
        "mempool-script-verify-flag-failed"
    );
    assert_eq!(reason(&chain, &chain.block(1).unwrap().txdata[0]), "Transaction outputs already in utxo set");
    let mut coinbase = chain.block(1).unwrap().txdata[0].clone();
    coinbase.output[0].value = Amount::ONE_SAT;
    assert_eq!(reason(&chain, &coinbase), "coinbase");
}

#[test]
fn locks_must_be_open_in_the_next_block() {
    let chain = chain();
    let (coin, value) = reward(&chain, 1);
    let mut tx = spend(&[coin], &[value - 1_000]);
    for (lock, open) in [(110, true), (111, false)] {
        tx.input[0] = input(coin, lock);
        let result = chain.test_accept(&tx, Amount::ZERO);
        assert_eq!(result.is_ok(), open);
        if let Err(error) = result {
            assert_eq!(error, AcceptError::SequenceLocked { min_height: 112, min_time: 0 });
            assert!(error.to_string().starts_with("non-BIP68-final"), "{error}");
        }
    }
    let (fresh, fresh_value) = reward(&chain, 11);
    let mut by_time = spend(&[fresh], &[fresh_value - 1_000]);
    by_time.input[0] = input(fresh, (1 << 22) | 1);
    assert_eq!(reason(&chain, &by_time), "non-BIP68-final");
    tx.input[0] = input(coin, 0xffff_fffe);
    tx.lock_time = absolute::LockTime::from_consensus(111);
    assert_eq!(reason(&chain, &tx), "non-final");
    tx.lock_time = absolute::LockTime::from_consensus(110);
    assert!(chain.test_accept(&tx, Amount::ZERO).is_ok());
}

#[test]
fn nonstandard_forms_are_named() {
    let chain = chain();
    let (coin, value) = reward(&chain, 1);
    let good = spend(&[coin], &[value - 100_000]);
    let with = |change: &dyn Fn(&mut Transaction)| {
        let mut tx = good.clone();
        change(&mut tx);
        reason(&chain, &tx)
    };
    let script =
        |tx: &mut Transaction, hex: &str| tx.output[0].script_pubkey = ScriptBuf::from_hex(hex).unwrap();
    assert_eq!(with(&|tx| tx.version = transaction::Version(4)), "version");
    assert_eq!(with(&|tx| tx.version = transaction::Version(0)), "version");
    assert_eq!(with(&|tx| tx.input[0].script_sig = vec![0x61].into()), "scriptsig-not-pushonly");
    assert_eq!(with(&|tx| tx.input[0].script_sig = vec![0x00; 1_651].into()), "scriptsig-size");
    assert_eq!(with(&|tx| script(tx, "51")), "scriptpubkey");
    assert_eq!(with(&|tx| script(tx, "0003aabbcc")), "scriptpubkey");
    assert_eq!(with(&|tx| tx.output = vec![output(10_000); 11_000]), "tx-size");
    assert_eq!(with(&|tx| tx.output[0].script_pubkey = ScriptBuf::from_hex("6a").unwrap()), burn());
    let empty = TxOut { value: Amount::ZERO, script_pubkey: ScriptBuf::from_hex("6a").unwrap() };
    assert_eq!(with(&|tx| tx.output = vec![empty.clone()]), "tx-size-small");
    assert_eq!(
        with(&|tx| tx.input[0].witness = Witness::from_slice(&[vec![0; 81], vec![0x51]])),
        "bad-witness-nonstandard"
    );
    let keys = format!("51{}54ae", format!("21{}", "02".repeat(33)).repeat(4));
    assert_eq!(with(&|tx| script(tx, &keys)), "scriptpubkey");
}

fn burn() -> &'static str {
    "Unspendable output exceeds maximum configured by user"
}

#[test]
fn burning_needs_the_callers_consent() {
    let mut chain = chain();
    let (coin, value) = reward(&chain, 1);
    let mut tx = spend(&[coin], &[value - 6_000]);
    let script_pubkey = ScriptBuf::from_hex("6a07626162796c6f6e").unwrap();
    tx.output.push(TxOut { value: Amount::from_sat(5_000), script_pubkey });
    let error = chain.accept(&tx, Amount::from_sat(4_999)).unwrap_err();
    assert_eq!(error.reject_reason(), burn());
    assert!(matches!(error, AcceptError::Burn { vout: 1, .. }));
    chain.accept(&tx, Amount::from_sat(5_000)).unwrap();
    chain.mine(&anyone()).unwrap();
    assert!(chain.coin(&outpoint(&tx, 0)).is_some());
    assert!(chain.coin(&outpoint(&tx, 1)).is_none(), "what is burned is no coin");
}

#[test]
fn data_outputs_may_be_large_and_many() {
    let chain = chain();
    let (coin, value) = reward(&chain, 1);
    let data = |bytes: usize| TxOut {
        value: Amount::ZERO,
        script_pubkey: ScriptBuf::new_op_return(
            bitcoin::script::PushBytesBuf::try_from(vec![7; bytes]).unwrap(),
        ),
    };
    let mut tx = spend(&[coin], &[value - 100_000]);
    tx.output.extend([data(80), data(5_000), data(20_000)]);
    assert!(chain.test_accept(&tx, Amount::ZERO).is_ok());
    tx.output.push(data(99_000));
    assert_eq!(reason(&chain, &tx), "tx-size");
}

#[test]
fn dust_is_refused_unless_its_transaction_pays_no_fee() {
    let mut chain = chain();
    let (coin, value) = reward(&chain, 1);
    // P2WSH: (43 + 67) * 3 sat.
    let dust = 330;
    assert!(chain.test_accept(&spend(&[coin], &[dust, value - 1_000 - dust]), Amount::ZERO).is_ok());
    assert_eq!(reason(&chain, &spend(&[coin], &[dust - 1, value - 1_000])), "dust");
    assert_eq!(reason(&chain, &spend(&[coin], &[dust - 1, dust - 1, value - 1_000])), "dust");
    let free = spend(&[coin], &[dust - 1, value - dust + 1]);
    assert_eq!(reason(&chain, &free), "min relay fee not met");
    let leaves_dust = spend(&[outpoint(&free, 1)], &[value - 3_000]);
    let Err(PackageError::Transactions(errors)) = chain.accept_package(&[free.clone(), leaves_dust]) else {
        panic!("the dust is left unspent");
    };
    assert_eq!(errors[0].1.reject_reason(), "missing-ephemeral-spends");
    assert!(chain.mempool().is_empty());
    let spends_dust = spend(&[outpoint(&free, 0), outpoint(&free, 1)], &[value - 3_000]);
    assert_eq!(chain.accept_package(&[free, spends_dust]).unwrap().len(), 2);
}

#[test]
fn fees_are_at_least_a_tenth_of_a_satoshi_for_each_vbyte_and_not_absurd() {
    let chain = chain();
    let vsize = payment(&chain, 1, 0).vsize() as u64;
    let least = vsize.div_ceil(10);
    assert!(chain.test_accept(&payment(&chain, 1, least), Amount::ZERO).is_ok());
    let error = chain.test_accept(&payment(&chain, 1, least - 1), Amount::ZERO).unwrap_err();
    assert_eq!(error.to_string(), format!("min relay fee not met, {} < {least}", least - 1));
    let most = policy::fee_at_rate(policy::MAX_FEE_RATE, vsize).to_sat();
    assert!(chain.test_accept(&payment(&chain, 1, most), Amount::ZERO).is_ok());
    assert_eq!(reason(&chain, &payment(&chain, 1, most + 1)), "max-fee-exceeded");
}

#[test]
fn replacements_pay_for_what_they_replace_and_for_themselves() {
    let mut chain = chain();
    let first = payment(&chain, 1, 1_000);
    let child = spend(&[outpoint(&first, 0)], &[first.output[0].value.to_sat() - 2_000]);
    chain.accept(&first, Amount::ZERO).unwrap();
    chain.accept(&child, Amount::ZERO).unwrap();
    assert_eq!(reason(&chain, &payment(&chain, 1, 2_999)), "insufficient fee");
    assert_eq!(reason(&chain, &payment(&chain, 1, 3_000)), "insufficient fee");
    let (coin, _) = reward(&chain, 1);
    let mut greedy = payment(&chain, 1, 4_000);
    greedy.input.push(input(outpoint(&child, 0), 0xffff_fffd));
    assert_eq!(reason(&chain, &greedy), "bad-txns-spends-conflicting-tx");
    let better = payment(&chain, 1, 3_100);
    let mut replaces = chain.accept(&better, Amount::ZERO).unwrap().replaces;
    replaces.sort_unstable();
    let mut expected = vec![first.compute_txid(), child.compute_txid()];
    expected.sort_unstable();
    assert_eq!(replaces, expected);
    assert_eq!(chain.mempool().len(), 1);
    assert_eq!(chain.spender(&coin), Some(better.compute_txid()));
}

#[test]
fn a_replacement_with_a_worse_fee_rate_is_refused() {
    let mut chain = chain();
    let (coin, value) = reward(&chain, 1);
    chain.accept(&spend(&[coin], &[value - 2_000]), Amount::ZERO).unwrap();
    let large = spend(&[coin], &[(value - 3_000) / 100; 100]);
    assert_eq!(reason(&chain, &large), "replacement-failed");
}

#[test]
fn another_witness_is_no_other_transaction() {
    let mut chain = chain();
    let tx = payment(&chain, 1, 1_000);
    chain.accept(&tx, Amount::ZERO).unwrap();
    let mut other = tx;
    other.input[0].witness = Witness::from_slice(&[vec![1], vec![0x51]]);
    assert_eq!(reason(&chain, &other), "txn-same-nonwitness-data-in-mempool");
}

#[test]
fn a_child_pays_for_its_parents() {
    let mut chain = chain();
    let parents = [payment(&chain, 1, 0), payment(&chain, 2, 500)];
    let coins = [outpoint(&parents[0], 0), outpoint(&parents[1], 0)];
    let value: u64 = parents.iter().map(|tx| tx.output[0].value.to_sat()).sum();
    let package = |fee: u64| vec![parents[0].clone(), parents[1].clone(), spend(&coins, &[value - fee])];
    let Err(PackageError::Transactions(errors)) = chain.clone().accept_package(&package(20)) else {
        panic!("too little for both");
    };
    assert_eq!(errors.len(), 2);
    assert_eq!(chain.accept_package(&package(2_000)).unwrap().len(), 3);
    chain.mine(&anyone()).unwrap();
    assert!(chain.mempool().is_empty());
    assert_eq!(chain.accept_package(&[]), Err(PackageError::Count { count: 0 }));
    let unrelated = vec![payment(&chain, 3, 500), payment(&chain, 4, 500)];
    assert_eq!(chain.accept_package(&unrelated), Err(PackageError::NotChildWithParents));
}

#[test]
fn clusters_have_at_most_64_transactions() {
    let mut chain = chain();
    let mut tx = payment(&chain, 1, 1_000);
    for _ in 0..64 {
        chain.accept(&tx, Amount::ZERO).unwrap();
        tx = spend(&[outpoint(&tx, 0)], &[tx.output[0].value.to_sat() - 1_000]);
    }
    assert_eq!(reason(&chain, &tx), "too-large-cluster");
    chain.mine(&anyone()).unwrap();
    assert!(chain.accept(&tx, Amount::ZERO).is_ok());
}

#[test]
fn version_three_transactions_have_one_small_child() {
    let mut chain = chain();
    let (coin, value) = reward(&chain, 1);
    let v3 = |mut tx: Transaction| {
        tx.version = transaction::Version(3);
        tx
    };
    let parent = v3(spend(&[coin], &[value - 10_000, 5_000]));
    chain.accept(&parent, Amount::ZERO).unwrap();
    let child = |vout, value: u64| spend(&[outpoint(&parent, vout)], &[value]);
    assert_eq!(reason(&chain, &child(1, 4_000)), "TRUC-violation");
    chain.accept(&v3(child(1, 4_000)), Amount::ZERO).unwrap();
    assert_eq!(reason(&chain, &v3(child(0, value - 20_000))), "TRUC-violation");
}

#[test]
fn the_best_paying_transactions_come_first_after_their_parents() {
    let mut chain = chain();
    let cheap = payment(&chain, 1, 200);
    let middle = payment(&chain, 2, 1_000);
    let child = spend(&[outpoint(&cheap, 0)], &[cheap.output[0].value.to_sat() - 9_000]);
    for tx in [&middle, &cheap, &child] {
        chain.accept(tx, Amount::ZERO).unwrap();
    }
    chain.mine(&anyone()).unwrap();
    let block = chain.block(chain.tip().height).unwrap();
    let txids: Vec<_> = block.txdata[1..].iter().map(Transaction::compute_txid).collect();
    assert_eq!(txids, [cheap.compute_txid(), child.compute_txid(), middle.compute_txid()]);
    let fees = block.txdata[0].output[0].value - tapstake_devnet::rules::subsidy(111);
    assert_eq!(fees.to_sat(), 200 + 1_000 + 9_000);
}

#[test]
fn what_does_not_fit_into_a_block_waits_for_the_next() {
    let mut chain = chain();
    for height in 1..=11 {
        let (coin, value) = reward(&chain, height);
        // Each has nearly the largest weight that is relayed, 400,000: ten do not fit into a block.
        let fee = 100_000 * u64::from(height);
        let count = 2_300;
        let mut tx = spend(&[coin], &vec![(value - fee) / count; 2_300]);
        tx.input[0].sequence = Sequence::MAX;
        chain.accept(&tx, Amount::ZERO).unwrap();
    }
    chain.mine(&anyone()).unwrap();
    let block = chain.block(111).unwrap();
    assert!(block.weight().to_wu() <= 4_000_000);
    assert!(!chain.mempool().is_empty());
    let waiting = chain.mempool().iter().map(|(_, entry)| entry.fee).max().unwrap();
    chain.mine(&anyone()).unwrap();
    assert!(chain.mempool().is_empty());
    assert!(waiting.to_sat() < 400_000, "the best paying were not left behind");
}
