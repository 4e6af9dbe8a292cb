//! `tapstake tx inspect`

use std::io::Write;
use std::process::Stdio;

use serde_json::Value;

use crate::support::{error, json, refused, tapstake};
use crate::tx::stake;

#[test]
fn an_unsigned_transaction_shows_its_facts() {
    let built = json(&format!("tx unbonding {} --fee 1000", stake(100_000)));
    let shown = json(&format!("tx inspect {}", built["tx"].as_str().unwrap()));
    assert_eq!(shown["txid"], built["txid"]);
    assert_eq!(shown["kind"], "other");
    assert_eq!(shown["outputs"][0]["value"], 99_000);
    assert_eq!(shown["outputs"][0]["address"], built["outputs"][0]["address"]);
    assert_eq!(shown["inputs"][0]["outpoint"], built["input"]["outpoint"]);
    for field in ["network", "fault", "wtxid", "version", "lock_time", "size", "weight", "vsize"] {
        assert!(shown.get(field).is_some(), "{field}");
    }
}

#[test]
fn a_transaction_can_come_by_stdin() {
    let tx = json(&format!("tx unbonding {} --fee 1000", stake(100_000)))["tx"].clone();
    let mut child = tapstake()
        .args(["tx", "inspect", "-", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(child.stdin.take().unwrap(), "{}", tx.as_str().unwrap()).unwrap();
    let output = child.wait_with_output().unwrap();
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown["tx"], Value::Null);
    assert_eq!(shown["version"], 2);
}

#[test]
fn what_is_no_transaction_is_refused() {
    let tx = json(&format!("tx unbonding {} --fee 1000", stake(100_000)))["tx"].clone();
    let tx = tx.as_str().unwrap();
    refused(&format!("tx inspect {}", &tx[..tx.len() - 2]), 1, "file");
    refused(&format!("tx inspect {tx}00"), 1, "file");
    refused("tx inspect 00", 1, "file");
    error("tx inspect xyz", 2);
    error("tx inspect 000", 2);
}
