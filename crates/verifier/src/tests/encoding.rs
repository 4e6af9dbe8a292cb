//! Both encodings: round trips, and what they refuse.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use bitcoin::{Amount, Network, ScriptBuf, TxOut};
use proptest::prelude::*;
use tapstake_params::{Height, Timelock};
use tapstake_script::Providers;
use tapstake_tx::ReadError;

use super::fixture::*;
use crate::{DecodeError, OwnHeaders, ProofVersion, Registration, Rule, StakeProof};

fn proof() -> StakeProof {
    let mut world = World::honest();
    let own = world.headers[15..18].to_vec();
    world.proof.own_headers = Some(OwnHeaders { start_height: Height::new(15), headers: own });
    world.proof
}

fn json(proof: &StakeProof) -> String {
    serde_json::to_string(proof).unwrap()
}

#[test]
fn both_encodings_give_the_proof_back() {
    for proof in [World::honest().proof, proof()] {
        assert_eq!(StakeProof::from_bytes(&proof.to_bytes()).unwrap(), proof);
        assert_eq!(serde_json::from_str::<StakeProof>(&json(&proof)).unwrap(), proof);
    }
}

#[test]
fn json_has_the_documented_fields_in_the_documented_order() {
    let json = json(&proof());
    let mut from = 0;
    for field in [
        "version",
        "network",
        "vout",
        "staker",
        "providers",
        "staking_time",
        "registration",
        "inclusion_height",
        "header",
        "transaction",
        "branch",
        "index",
        "siblings",
        "coinbase",
        "coinbase_branch",
        "headers",
        "start_height",
        "headers",
    ] {
        let name = alloc::format!("\"{field}\":");
        from += json[from..].find(&name).unwrap_or_else(|| panic!("{field} after byte {from}")) + name.len();
    }
    assert!(json.starts_with("{\"version\":1,\"network\":\"regtest\",\"vout\":1,"));
    assert!(json.contains("\"registration\":\"none\",\"inclusion_height\":20,"));
    let mut proof = proof();
    proof.claim.registration = Registration::At(Height::new(18));
    assert!(self::json(&proof).contains("\"registration\":{\"at\":18}"));
    proof.claim.registration = Registration::Phase1;
    assert!(self::json(&proof).contains("\"registration\":\"phase_1\""));
}

#[test]
fn a_proof_of_a_newer_version_is_named_as_such() {
    let newer = json(&proof()).replace("\"version\":1", "\"version\":3").replace("vout", "output");
    let error = serde_json::from_str::<StakeProof>(&newer).unwrap_err();
    assert!(error.to_string().starts_with("stake proof of version 3: this program reads versions 1 to 2"));
    // Typed, whatever else has changed.
    let version: ProofVersion = serde_json::from_str(&newer).unwrap();
    assert!(matches!(version.check(), Err(DecodeError::Version { found: 3, known: 2 })));
    assert!(matches!(ProofVersion { version: 0 }.check(), Err(DecodeError::Version { found: 0, .. })));

    let mut bytes = proof().to_bytes();
    bytes[4] = 3;
    bytes.truncate(9);
    let error = StakeProof::from_bytes(&bytes).unwrap_err();
    assert!(matches!(error, DecodeError::Version { found: 3, known: 2 }));
}

#[test]
fn unknown_and_missing_fields_are_refused() {
    let json = json(&proof());
    for changed in [
        json.replace("\"vout\":1,", ""),
        json.replace("\"vout\":1,", "\"vout\":1,\"quorum\":1,"),
        json.replace("\"vout\":1,", "\"vout\":1,\"vout\":1,"),
        json.replace("\"header\":\"", "\"header\":\"00"),
        json.replace("\"transaction\":\"02", "\"transaction\":\"02zz"),
        json.replace("\"staking_time\":100", "\"staking_time\":0"),
    ] {
        assert_ne!(changed, json);
        assert!(serde_json::from_str::<StakeProof>(&changed).is_err(), "{changed}");
    }
}

#[test]
fn json_with_an_aliased_index_is_refused() {
    let json = json(&proof()).replace("\"branch\":{\"index\":4,", "\"branch\":{\"index\":12,");
    let error = serde_json::from_str::<StakeProof>(&json).unwrap_err();
    assert!(error.to_string().starts_with("merkle index 12 does not exist in a tree of depth 3"));
}

#[test]
fn a_witness_has_no_place_in_a_proof() {
    let mut proof = proof();
    proof.inclusion.tx = staking_tx();
    let error = StakeProof::from_bytes(&proof.to_bytes()).unwrap_err();
    assert!(matches!(error, DecodeError::Witness { field: "transaction" }));
    assert!(serde_json::from_str::<StakeProof>(&json(&proof)).is_err());
}

#[test]
fn every_truncation_is_called_one() {
    let bytes = proof().to_bytes();
    for length in 0..bytes.len() {
        match StakeProof::from_bytes(&bytes[..length]) {
            Err(error @ DecodeError::Read(ReadError::Truncated { field, .. })) => {
                assert_eq!(error.to_string(), alloc::format!("stake proof is truncated in {field}"));
            }
            other => panic!("{length} bytes: {other:?}"),
        }
    }
}

#[test]
fn bytes_after_the_end_are_refused() {
    let mut bytes = proof().to_bytes();
    bytes.extend([0, 0]);
    let error = StakeProof::from_bytes(&bytes).unwrap_err();
    assert_eq!(error.to_string(), "2 bytes after the end of the stake proof");
}

#[test]
fn something_else_is_no_proof() {
    let error = StakeProof::from_bytes(b"{\"version\":1}").unwrap_err();
    assert_eq!(error.to_string(), "no stake proof: it does not begin with \"tspf\"");
    let mut bytes = proof().to_bytes();
    bytes[6] ^= 1;
    assert!(matches!(StakeProof::from_bytes(&bytes), Err(DecodeError::Read(ReadError::Network { .. }))));
}

/// Where the fields of the fixture's binary proof begin.
mod offset {
    pub(super) const PROVIDER_COUNT: usize = 4 + 2 + 4 + 4 + 32;
    pub(super) const STAKING_TIME: usize = PROVIDER_COUNT + 1 + 32;
    pub(super) const REGISTRATION: usize = STAKING_TIME + 2;
    pub(super) const TRANSACTION: usize = REGISTRATION + 1 + 4 + 80;
}

#[test]
fn fields_out_of_range_are_refused_by_name() {
    let bytes = World::honest().proof.to_bytes();
    let with = |at: usize, new: &[u8]| {
        let mut bytes = bytes.clone();
        bytes[at..at + new.len()].copy_from_slice(new);
        StakeProof::from_bytes(&bytes).unwrap_err()
    };
    let error = with(offset::STAKING_TIME, &[0, 0]);
    assert_eq!(error.to_string(), "timelock of 0 blocks is outside 1..=65535");
    let error = with(offset::REGISTRATION, &[9]);
    assert!(matches!(error, DecodeError::Read(ReadError::Tag { field: "registration", tag: 9 })));
    let error = with(offset::PROVIDER_COUNT + 1, &[0xff; 32]);
    assert!(matches!(error, DecodeError::Read(ReadError::Key { field: "providers", .. })));
    let error = with(bytes.len() - 1, &[2]);
    assert!(matches!(error, DecodeError::Read(ReadError::Tag { field: "headers", tag: 2 })));
    // A length that promises more than there is allocates nothing and ends where the bytes end.
    let error = with(bytes.len() - 1, &[1]);
    assert!(matches!(error, DecodeError::Read(ReadError::Truncated { field: "headers", .. })));

    let tx_length = bitcoin::consensus::serialize(&World::honest().proof.inclusion.tx).len();
    let error = with(offset::TRANSACTION + tx_length, &[12]);
    assert_eq!(error.rule(), Some(Rule::MerkleIndex));
}

#[test]
fn lengths_longer_than_needed_are_refused() {
    let bytes = World::honest().proof.to_bytes();
    // The number of inputs, one, in three bytes.
    let inputs = offset::TRANSACTION + 4;
    assert_eq!(bytes[inputs], 1);
    let padded = [&bytes[..inputs], &[0xfd, 1, 0], &bytes[inputs + 1..]].concat();
    let error = StakeProof::from_bytes(&padded).unwrap_err();
    assert!(matches!(error, DecodeError::Read(ReadError::Consensus { field: "transaction", .. })), "{error}");
}

#[test]
fn providers_out_of_order_are_refused() {
    let mut proof = World::honest().proof;
    proof.claim.providers = Providers::new(alloc::vec![key(5), key(6)]).unwrap();
    let mut bytes = proof.to_bytes();
    assert!(StakeProof::from_bytes(&bytes).is_ok());
    let keys = &mut bytes[offset::PROVIDER_COUNT + 1..][..64];
    keys.rotate_left(32);
    assert!(matches!(StakeProof::from_bytes(&bytes), Err(DecodeError::NotCanonical)));
    let keys = &mut bytes[offset::PROVIDER_COUNT + 1..][..64];
    keys.copy_within(..32, 32);
    assert!(matches!(StakeProof::from_bytes(&bytes), Err(DecodeError::Providers(_))));
}

prop_compose! {
    fn any_registration()(choice in 0..3, height in any::<u32>()) -> Registration {
        match choice {
            0 => Registration::None,
            1 => Registration::At(Height::new(height)),
            _ => Registration::Phase1,
        }
    }
}

prop_compose! {
    fn any_proof()(
        network in prop::sample::select(alloc::vec![
            Network::Bitcoin, Network::Testnet, Network::Testnet4, Network::Signet, Network::Regtest,
        ]),
        registration in any_registration(),
        vout in any::<u32>(),
        height in any::<u32>(),
        time in 1u32..=65_535,
        providers in prop::collection::btree_set(10u8..40, 1..6),
        outputs in prop::collection::vec((any::<u64>(), prop::collection::vec(any::<u8>(), 0..300)), 0..5),
        count in 2usize..40,
        own in prop::option::of((any::<u32>(), 0usize..31)),
    ) -> StakeProof {
        let outputs: Vec<TxOut> = outputs
            .into_iter()
            .map(|(value, script)| TxOut {
                value: Amount::from_sat(value),
                script_pubkey: ScriptBuf::from_bytes(script),
            })
            .collect();
        let mut txs: Vec<_> = (0..).map(filler).take(count).collect();
        txs[0] = coinbase(7);
        txs[count / 2] = tx(vout, outputs);
        let mut claim = claim();
        claim.providers = Providers::new(providers.into_iter().map(key).collect()).unwrap();
        claim.staking_time = Timelock::new(time).unwrap();
        claim.registration = registration;
        let header = bitcoin::constants::genesis_block(network).header;
        StakeProof {
            network,
            vout,
            claim,
            inclusion_height: Height::new(height),
            header,
            inclusion: inclusion(&txs, count / 2),
            own_headers: own.map(|(start, count)| OwnHeaders {
                start_height: Height::new(start),
                headers: alloc::vec![header; count],
            }),
            delegation: None,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_proof_comes_back_from_both_encodings(proof in any_proof()) {
        prop_assert_eq!(&StakeProof::from_bytes(&proof.to_bytes()).unwrap(), &proof);
        prop_assert_eq!(&serde_json::from_str::<StakeProof>(&json(&proof)).unwrap(), &proof);
    }

    #[test]
    fn no_bytes_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..600), head in 0usize..200) {
        let honest = World::honest().proof.to_bytes();
        bytes.splice(..0, honest[..head.min(honest.len())].iter().copied());
        let _ = StakeProof::from_bytes(&bytes);
    }
}
