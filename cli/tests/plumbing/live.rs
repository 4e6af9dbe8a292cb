//! `prove`, `verify` and `scan` over a chain source: the embedded chain's Electrum server.

use bitcoin::key::Secp256k1;
use bitcoin::{Amount, Network, OutPoint};
use tapstake_devnet::{Config, Devnet};
use tapstake_params::Timelock;
use tapstake_params::local::{self, Slashed};
use tapstake_script::{Providers, StakeTerms, find_output};

use crate::support::{PROVIDER, STAKER, TempFile, error, json, refused};

const TERMS: &str = "--staking-time 100";

/// A stake that nobody announced, in the mempool.
fn fund(devnet: &Devnet) -> OutPoint {
    let secp = Secp256k1::new();
    let schedule = local::schedule(&secp, Network::Regtest, Slashed::Burned).unwrap();
    let (staker, provider) = (STAKER.parse().unwrap(), PROVIDER.parse().unwrap());
    let time = Timelock::new(100).unwrap();
    let terms = StakeTerms::under(schedule.latest(), staker, Providers::one(provider), time).unwrap();
    let output = terms.staking_output(&secp);
    let txid = devnet.fund(output.script_pubkey(), Amount::from_sat(50_000)).unwrap();
    let vout = find_output(&devnet.transaction(&txid).unwrap(), output.script_pubkey()).unwrap();
    OutPoint { txid, vout }
}

#[test]
fn a_stake_is_proven_and_verified_over_an_electrum_server() {
    let devnet = Devnet::start(&Config::default()).unwrap();
    let stake = fund(&devnet);
    let source = format!("--source {}", devnet.electrum_url());
    let prove = format!("prove {stake} --staker {STAKER} --provider {PROVIDER} {TERMS} {source}");
    let message = error(&prove, 1)["message"].as_str().unwrap().to_owned();
    assert!(message.contains("not in a block yet"), "{message}");

    devnet.mine(3).unwrap();
    let proof = TempFile::new(json(&format!("{prove} --wait 3")).to_string().as_bytes());
    let report = json(&format!("verify {} --live {source} --min-confirmations 3", proof.path()));
    assert_eq!(report["outpoint"], stake.to_string());
    assert_eq!(report["confirmations"], 3);
    assert_eq!(report["status"], "active");

    let proof = TempFile::new(json(&format!("{prove} --with-headers")).to_string().as_bytes());
    let tip = devnet.tip();
    let line = format!("verify {} --anchor {}:{}", proof.path(), tip.height, tip.hash);
    assert_eq!(json(&line)["confirmations"], 3);
}

#[test]
fn another_chains_proof_is_refused() {
    let (one, other) =
        (Devnet::start(&Config::default()).unwrap(), Devnet::start(&Config::default()).unwrap());
    let stake = fund(&one);
    one.mine(1).unwrap();
    other.mine(1).unwrap();
    let prove = format!("prove {stake} --staker {STAKER} --provider {PROVIDER} {TERMS}");
    let proof = json(&format!("{prove} --source {}", one.electrum_url()));
    let proof = TempFile::new(proof.to_string().as_bytes());
    refused(&format!("verify {} --live --source {}", proof.path(), other.electrum_url()), 3, "best-chain");
    error(&format!("{prove} --source {}", other.electrum_url()), 1);
}

#[test]
fn a_scan_needs_a_source_that_serves_blocks() {
    let devnet = Devnet::start(&Config::default()).unwrap();
    devnet.mine(2).unwrap();
    let source = format!("--source {}", devnet.electrum_url());
    error(&format!("scan --from 1 --to 2 {source}"), 1);
    let message = error(&format!("scan --from 2 --to 1 {source}"), 1)["message"].as_str().unwrap().to_owned();
    assert!(message.contains("heights 2 to 1 are no range"), "{message}");
    error("scan --from 1 --to 2", 2);
    error("scan --to 2", 2);
    error(&format!("scan --from 1 --block x --height 1 {source}"), 2);
}

#[test]
fn a_source_of_another_network_or_of_none_is_refused() {
    let devnet = Devnet::start(&Config::default()).unwrap();
    let stake = fund(&devnet);
    refused(&format!("prove {stake} --network signet --source {}", devnet.electrum_url()), 1, "network");
    let gone = devnet.electrum_url();
    drop(devnet);
    refused(&format!("prove {stake} --source {gone}"), 1, "unreachable");
    error(&format!("prove {stake} --source nonsense"), 1);
}
