//! `prove`, `verify` and `scan` over a chain source: the embedded chain's Electrum server.

use bitcoin::key::{Keypair, Secp256k1};
use bitcoin::secp256k1::Scalar;
use bitcoin::{Amount, Network, OutPoint};
use tapstake_devnet::{Config, Devnet};
use tapstake_params::local::{self, Slashed};
use tapstake_params::{Schedule, Timelock};
use tapstake_script::{Providers, StakeTerms, find_output};
use tapstake_tx::{Stake, UnbondingTx};

use crate::support::{PROVIDER, STAKER, TempFile, error, json, refused};

const TERMS: &str = "--staking-time 100";

fn terms(schedule: &Schedule) -> StakeTerms {
    let (staker, provider) = (STAKER.parse().unwrap(), PROVIDER.parse().unwrap());
    let time = Timelock::new(100).unwrap();
    StakeTerms::under(schedule.latest(), staker, Providers::one(provider), time).unwrap()
}

/// A stake that nobody announced, in the mempool.
fn fund(devnet: &Devnet) -> OutPoint {
    let secp = Secp256k1::new();
    let schedule = local::schedule(&secp, Network::Regtest, Slashed::Burned).unwrap();
    let output = terms(&schedule).staking_output(&secp);
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
    assert_eq!(report["spends"], "none_reported");

    let proof = TempFile::new(json(&format!("{prove} --with-headers")).to_string().as_bytes());
    let tip = devnet.tip();
    let line = format!("verify {} --anchor {}:{}", proof.path(), tip.height, tip.hash);
    let report = json(&line);
    assert_eq!(report["confirmations"], 3);
    assert_eq!(report["spends"], "not_looked_for");
}

#[test]
fn a_stake_that_the_source_reports_spent_is_refused() {
    let devnet = Devnet::start(&Config::default()).unwrap();
    let outpoint = fund(&devnet);
    devnet.mine(1).unwrap();
    let source = format!("--source {}", devnet.electrum_url());
    let prove = format!("prove {outpoint} --staker {STAKER} --provider {PROVIDER} {TERMS} {source}");
    let proof = TempFile::new(json(&prove).to_string().as_bytes());
    let verify = format!("verify {} --live {source}", proof.path());
    json(&verify);

    // STAKER is the key of the secret 1.
    let secp = Secp256k1::new();
    let schedule = local::schedule(&secp, Network::Regtest, Slashed::Burned).unwrap();
    let staker = Keypair::from_seckey_slice(&secp, &Scalar::ONE.to_be_bytes()).unwrap();
    let terms = terms(&schedule);
    let stake = Stake::new(&secp, terms, outpoint, Amount::from_sat(50_000));
    let unbonding = UnbondingTx::build(&secp, &stake, schedule.latest().unbonding_fee).unwrap();
    let keys = local::covenant_keypairs(&secp);
    let signers = keys[..3].iter().chain([&staker]);
    let signatures = signers.map(|key| unbonding.spend(&stake).sign(&secp, key, &[0; 32])).collect();
    let unbonding = unbonding.finish(&secp, &stake, &signatures).unwrap();
    devnet.broadcast(&unbonding).unwrap();
    let message = refused(&verify, 3, "spent");
    let expected = format!("stake {outpoint} is spent by {} in the mempool", unbonding.compute_txid());
    assert_eq!(message, expected);
    devnet.mine(1).unwrap();
    let expected = format!("at height {}", devnet.tip().height);
    let message = refused(&verify, 3, "spent");
    assert!(message.ends_with(&expected), "{message}");
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
