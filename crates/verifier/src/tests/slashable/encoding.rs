//! A delegation in a proof: both encodings, and that every byte of it is bound.

use alloc::string::ToString;

use bitcoin::key::Secp256k1;
use proptest::prelude::*;
use tapstake_crypto::pop::{PossessionForm, ProofOfPossession};

use crate::StakeProof;

use super::service::*;

#[test]
fn a_delegation_comes_back_from_both_encodings() {
    for proof in [Service::honest().world.proof, Service::with_two_providers().world.proof] {
        assert_eq!(proof.version(), 2);
        let bytes = proof.to_bytes();
        assert_eq!(bytes[4..6], [2, 0]);
        assert_eq!(StakeProof::from_bytes(&bytes).unwrap(), proof);
        let json = serde_json::to_string(&proof).unwrap();
        assert!(json.starts_with("{\"version\":2,"), "{json}");
        assert_eq!(serde_json::from_str::<StakeProof>(&json).unwrap(), proof);
    }
}

#[test]
fn each_version_has_its_fields() {
    let with = Service::honest().world.proof;
    let without = StakeProof { delegation: None, ..with.clone() };
    assert_eq!(without.version(), 1);
    for (proof, from, to) in [(&with, 2, 1), (&without, 1, 2)] {
        let (from, to) = (alloc::format!("\"version\":{from}"), alloc::format!("\"version\":{to}"));
        let json = serde_json::to_string(proof).unwrap();
        let error = serde_json::from_str::<StakeProof>(&json.replacen(&from, &to, 1)).unwrap_err();
        assert!(error.to_string().contains("version 2 carries a delegation, version 1 does not"), "{error}");
        let mut bytes = proof.to_bytes();
        bytes[4] ^= 3;
        assert!(StakeProof::from_bytes(&bytes).is_err());
    }
}

#[test]
fn absurd_counts_in_a_delegation_are_refused_before_memory_is_taken() {
    let bytes = Service::honest().world.proof.to_bytes();
    let without = StakeProof { delegation: None, ..Service::honest().world.proof }.to_bytes().len();
    // Wherever a count may stand, the greatest there is.
    for at in without..bytes.len() - 9 {
        let absurd = [&bytes[..at], &[0xff; 9]].concat();
        assert!(StakeProof::from_bytes(&absurd).is_err(), "byte {at}");
    }
    for length in without..bytes.len() {
        let error = StakeProof::from_bytes(&bytes[..length]).unwrap_err().to_string();
        assert!(error.starts_with("delegation: delegation is truncated in "), "{length} bytes: {error}");
    }
}

/// Flips each bit of these bytes of the service's proof, all of which must be refused. Says how many still decode.
fn flip(service: &Service, bytes: core::ops::Range<usize>) -> usize {
    let honest = service.world.proof.to_bytes();
    assert!(service.verify_proof(&StakeProof::from_bytes(&honest).unwrap()).is_ok());
    let mut decoded = 0;
    for bit in bytes.start * 8..bytes.end * 8 {
        let mut changed = honest.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        if let Ok(proof) = StakeProof::from_bytes(&changed) {
            decoded += 1;
            let result = service.verify_proof(&proof);
            assert!(result.is_err(), "bit {} of byte {} of {}", bit % 8, bit / 8, honest.len());
        }
    }
    decoded
}

#[test]
fn every_changed_bit_of_a_proof_with_a_delegation_is_refused() {
    let service = Service::honest();
    let length = service.world.proof.to_bytes().len();
    let decoded = flip(&service, 0..length);
    assert!(decoded > length, "most decode, and are refused by verification: {decoded}");
}

#[test]
fn every_changed_bit_of_a_proof_of_possession_is_refused_in_every_form() {
    let secp = Secp256k1::new();
    let staker = pair(3);
    for context in [None, Some(context())] {
        for proof in [
            possession(3, context.clone()),
            ProofOfPossession::bip322_p2tr(&secp, &staker, account(), context.clone(), &[0; 32]),
            ProofOfPossession::bip322_p2wpkh(&secp, &staker, account(), context.clone()),
            ProofOfPossession::bip137(&secp, &staker, account(), context.clone()),
        ] {
            let bytes = proof.to_bytes();
            // The first of a BIP-0137 signature's 65 bytes also says which address a wallet shows for the key. Nobody signs
            // that, and nothing hangs on it: keys are compared.
            let is_bip137 = proof.form() == PossessionForm::Bip137;
            let header = if is_bip137 { bytes.len() - 65 } else { bytes.len() };
            let mut service = Service::honest();
            service.parts().possession = Some(proof);
            service.policy.possession_context = context.clone();
            let whole = service.world.proof.to_bytes();
            let from = whole.windows(bytes.len()).position(|window| window == bytes).unwrap();
            let rest = from + header + usize::from(is_bip137);
            let decoded = flip(&service, from..from + header) + flip(&service, rest..from + bytes.len());
            assert!(decoded > 0);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_mutilated_delegation_panics_or_passes(
        at in 0usize..1300, length in 0usize..200, with in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let service = Service::honest();
        let without = StakeProof { delegation: None, ..service.world.proof.clone() }.to_bytes().len();
        let honest = service.world.proof.to_bytes();
        let from = (without + at).min(honest.len());
        let to = (from + length).min(honest.len());
        let mut bytes = honest.clone();
        bytes.splice(from..to, with);
        prop_assume!(bytes != honest);
        if let Ok(proof) = StakeProof::from_bytes(&bytes) {
            prop_assert!(service.verify_proof(&proof).is_err());
        }
    }
}
