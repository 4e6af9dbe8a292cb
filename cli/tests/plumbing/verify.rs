//! What `tapstake verify` asks for beyond the rules that are the same for everybody.

use bitcoin::constants::genesis_block;
use bitcoin::{Network, consensus};
use serde_json::Value;

use crate::block::proof_of_the_good_stake;
use crate::support::{TempFile, error, json, refused, repository};

/// The proof of the tour, which is on regtest, made one of mainnet's first block.
fn mainnet_proof() -> (TempFile, TempFile) {
    let proof = std::fs::read(repository().join("fixtures/cli/proof.json")).unwrap();
    let mut proof: Value = serde_json::from_slice(&proof).unwrap();
    let header = consensus::serialize(&genesis_block(Network::Bitcoin).header);
    proof["network"] = "bitcoin".into();
    proof["header"] = consensus::encode::serialize_hex(&genesis_block(Network::Bitcoin).header).into();
    proof["inclusion_height"] = 0.into();
    (TempFile::new(proof.to_string().as_bytes()), TempFile::new(&header))
}

#[test]
fn mainnet_headers_without_enough_work_are_refused_whoever_brings_them() {
    let (proof, headers) = mainnet_proof();
    let verify = format!("verify {} --network mainnet --min-confirmations 1", proof.path());
    for line in [verify.clone(), format!("{verify} --headers {}", headers.path())] {
        let message = refused(&line, 3, "own-headers-work");
        assert!(message.contains("carry work 0x"), "{message}");
        // Who asks for less gets to the next rule, which this proof breaks.
        refused(&format!("{line} --min-work 1"), 3, "merkle-root");
    }
}

#[test]
fn no_confirmation_is_not_a_number_of_confirmations() {
    let proof = TempFile::new(proof_of_the_good_stake().as_bytes());
    let message = error(&format!("verify {} --min-confirmations 0", proof.path()), 2)["message"].to_string();
    assert!(message.contains("0 is not in 1.."), "{message}");
    json(&format!("verify {} --min-confirmations 1", proof.path()));
}

#[test]
fn who_asks_for_phase_1_stakes_gets_no_others() {
    let honest = proof_of_the_good_stake();
    let proof = TempFile::new(honest.as_bytes());
    json(&format!("verify {} --phase-1", proof.path()));
    let mut claimed: Value = serde_json::from_str(&honest).unwrap();
    claimed["registration"] = "none".into();
    let proof = TempFile::new(claimed.to_string().as_bytes());
    json(&format!("verify {}", proof.path()));
    refused(&format!("verify {} --phase-1", proof.path()), 3, "registration");
}
