//! `tapstake tx unbonding` and `tapstake tx slashing`: bytes assembled here by hand.

use serde_json::Value;

use crate::support::{STAKER, assert_fields, json, parties};

const TXID: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

pub(crate) fn stake(value: u64) -> String {
    format!(
        "{} --staking-txid {TXID} --staking-vout 3 --staking-value {value} --unbonding-time 10",
        parties(&[1], &[2, 3, 4], 2)
    )
}

/// A transaction of version 2 with one final input.
fn assembled(txid: &str, vout: u32, outputs: &[(u64, &str)]) -> String {
    let reversed: String =
        (0..32).rev().map(|byte| &txid[2 * byte..2 * byte + 2]).collect::<Vec<_>>().concat();
    let mut tx = format!("0200000001{reversed}{:08x}00ffffffff", vout.swap_bytes());
    tx += &format!("{:02x}", outputs.len());
    for (value, script) in outputs {
        tx += &format!("{:016x}{:02x}{script}", value.swap_bytes(), script.len() / 2);
    }
    tx + "00000000"
}

fn script_of(output: &str, time: u64) -> String {
    let line = match output {
        "refund" => format!("script refund --staker {STAKER} --timelock {time}"),
        _ => format!("script {output} {} --timelock {time}", parties(&[1], &[2, 3, 4], 2)),
    };
    json(&line)["script_pubkey"].as_str().unwrap().to_owned()
}

const FIELDS: [&str; 9] = ["tx", "txid", "kind", "network", "input", "outputs", "fee", "weight", "vsize"];

fn assert_report(report: &Value, more: &[&str]) {
    assert_fields(report, &[&FIELDS[..], more].concat());
    assert_fields(&report["input"], &["outpoint", "value", "leaf"]);
}

#[test]
fn the_unbonding_transaction_is_the_one_of_the_protocol() {
    let report = json(&format!("tx unbonding {} --fee 1000", stake(100_000)));
    let expected = assembled(TXID, 3, &[(99_000, &script_of("unbonding", 10))]);
    assert_eq!(report["tx"], expected);
    assert_eq!(report["kind"], "unbonding");
    assert_eq!(report["fee"], 1000);
    assert_report(&report, &[]);
}

#[test]
fn with_the_staking_time_the_unbonding_transaction_can_be_signed() {
    let without = json(&format!("tx unbonding {} --fee 1000", stake(100_000)));
    let with = json(&format!("tx unbonding {} --fee 1000 --staking-time 100", stake(100_000)));
    assert_eq!(with["tx"], without["tx"]);
    assert_report(&with, &["sighash", "psbt"]);
    let other = json(&format!("tx unbonding {} --fee 1000 --staking-time 101", stake(100_000)));
    assert_eq!(other["txid"], with["txid"]);
    assert_ne!(other["sighash"], with["sighash"]);
}

#[test]
fn both_slashing_transactions_are_those_of_the_protocol() {
    let slashing = "--staking-time 100 --slashing-script 6a0101 --slashing-rate 0.1 --fee 2000";
    let of_staking = json(&format!("tx slashing {} --spends staking {slashing}", stake(100_000)));
    let refund = script_of("refund", 10);
    assert_eq!(of_staking["tx"], assembled(TXID, 3, &[(10_000, "6a0101"), (88_000, &refund)]));
    assert_eq!(of_staking["burns"], 10_000);
    assert_report(&of_staking, &["sighash", "psbt", "burns"]);

    let unbonding = json(&format!("tx unbonding {} --fee 500", stake(100_000)));
    let line = format!("tx slashing {} --spends unbonding --unbonding-fee 500 {slashing}", stake(100_000));
    let of_unbonding = json(&line);
    let txid = unbonding["txid"].as_str().unwrap();
    assert_eq!(of_unbonding["tx"], assembled(txid, 0, &[(9_950, "6a0101"), (87_550, &refund)]));
    assert_eq!(of_unbonding["input"]["outpoint"], format!("{txid}:0"));
}

#[test]
fn a_slashing_that_pays_burns_nothing() {
    let line = format!(
        "tx slashing {} --spends staking --staking-time 100 --slashing-script 0014{} --slashing-rate 0.001 --fee 300",
        stake(1_000_000),
        "11".repeat(20)
    );
    let report = json(&line);
    assert_eq!(report["burns"], Value::Null);
    assert_eq!(report["outputs"][0]["value"], 1_000);
    assert_eq!(report["outputs"][0]["kind"], "slashed");
    assert_eq!(report["outputs"][1]["kind"], "refund");
    assert!(report["outputs"][0]["address"].as_str().unwrap().starts_with("bcrt1q"));
}

#[test]
fn slashed_amounts_are_those_that_doubles_give() {
    // 0.0157 of 505,000 is 7,928.5 in decimals and a little less in doubles.
    let line = format!(
        "tx slashing {} --spends staking --staking-time 100 --slashing-script 6a --slashing-rate 0.0157 --fee 300",
        stake(505_000)
    );
    assert_eq!(json(&line)["outputs"][0]["value"], 7_928);
}
