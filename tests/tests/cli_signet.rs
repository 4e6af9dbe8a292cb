//! The command line on a signet of one's own: from an empty wallet to a proof that others verify.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

mod common;

use std::fs;

use bitcoin::{Amount, consensus};
use common::{new_wallet, only_stake, state, text};
use serde_json::Value;
use tapstake_regtest::{Bitcoind, anyone_can_spend};
use tapstake_tests::Cli;

fn mine(node: &Bitcoind, blocks: u32) {
    node.mine(blocks, &anyone_can_spend(node.network())).unwrap();
}

// One test, since a signet's blocks take seconds each.
#[test]
fn a_stake_on_signet_is_proven_by_its_staker_and_verified_by_others() {
    let node = Bitcoind::builder().signet().start().unwrap();
    let mut staker = Cli::new("signet");
    staker.set("TAPSTAKE_SOURCE", node.rpc_url());
    staker.set("TAPSTAKE_COOKIE_FILE", node.cookie_file());
    staker.set("TAPSTAKE_PARAMS", "local");
    let script = new_wallet(&staker);
    node.fund(&script, Amount::from_sat(1_000_000)).unwrap();
    mine(&node, 1);
    let synced = staker.run(&["wallet", "sync"]).ok();
    assert_eq!(synced["balance"]["confirmed_sat"], 1_000_000);

    let staked = staker.run(&["stake", "--amount", "500000sat", "--time", "1000"]).ok();
    let stake = text(&staked, "outpoint");
    assert!(text(&staked, "address").starts_with("tb1p"), "{staked}");
    assert_eq!(state(&staker), "in_mempool");
    mine(&node, 3);
    assert_eq!(only_stake(&staker)["confirmations"], 3);

    let proof = staker.path("proof.json");
    let proof = proof.to_str().unwrap();
    staker.run(&["prove", &stake, "--with-headers", "--out", proof]).ok();
    let written: Value = serde_json::from_slice(&fs::read(proof).unwrap()).unwrap();
    let tip = node.height().unwrap();

    // Whoever verifies has no wallet, and no list of stakes.
    let mut other = Cli::new("signet");
    let mut headers = Vec::new();
    for height in 0..=tip {
        headers.extend(consensus::serialize(&node.header(node.block_hash(height).unwrap()).unwrap()));
    }
    let file = other.path("headers");
    fs::write(&file, headers).unwrap();
    let by_headers = ["--headers", file.to_str().unwrap()];
    let anchor = format!("{tip}:{}", node.best_block_hash().unwrap());
    for judge in [&by_headers[..], &["--anchor", &anchor], &[]] {
        let verdict = other.run(&[&["verify", proof], judge].concat()).ok();
        assert_eq!((&verdict["confirmations"], text(&verdict, "outpoint")), (&3.into(), stake.clone()));
        assert_eq!((&verdict["status"], &verdict["value"]), (&"active".into(), &500_000.into()));
    }
    let refused = |user: &Cli, proof: &str, judge: &[&str], rule: &str| {
        let error = user.run(&[&["verify", proof], judge].concat()).refused(3);
        assert_eq!((text(&error, "kind").as_str(), text(&error, "rule").as_str()), ("verification", rule));
    };
    refused(&other, proof, &[&by_headers[..], &["--min-confirmations", "4"]].concat(), "confirmations");

    let forged = other.path("forged.json");
    let forged = forged.to_str().unwrap();
    // The stake says what it is in its OP_RETURN, so other terms contradict that first.
    for (key, value, rule) in [
        ("staking_time", Value::from(2_000), "phase-1-data"),
        ("inclusion_height", Value::from(tip - 1), "best-chain"),
        ("vout", Value::from(1), "staking-output"),
    ] {
        let mut changed = written.clone();
        changed[key] = value;
        fs::write(forged, changed.to_string()).unwrap();
        refused(&other, forged, &by_headers, rule);
    }

    other.set("TAPSTAKE_SOURCE", node.rpc_url());
    other.set("TAPSTAKE_COOKIE_FILE", node.cookie_file());
    other.run(&["verify", proof, "--live"]).ok();
    refused(&other, forged, &["--live"], "staking-output");
}
