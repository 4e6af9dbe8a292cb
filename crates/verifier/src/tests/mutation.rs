//! Every bit of a proof is bound.

use tapstake_params::Height;

use super::fixture::*;
use crate::{OwnHeaders, Policy, StakeProof, verify_with_own_headers};

#[test]
fn every_changed_bit_of_a_proof_is_refused() {
    let world = World::honest();
    let bytes = world.proof.to_bytes();
    assert!(world.verify_proof(&StakeProof::from_bytes(&bytes).unwrap()).is_ok());
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        if let Ok(proof) = StakeProof::from_bytes(&changed) {
            let result = world.verify_proof(&proof);
            assert!(result.is_err(), "bit {} of byte {}: {result:?}", bit % 8, bit / 8);
        }
    }
}

#[test]
fn every_changed_bit_of_a_phase_1_proof_is_refused() {
    let mut stake = staking_tx();
    stake.output.push(op_return_output(&op_return()));
    let mut world = World::with_block(&[coinbase(HEIGHT), stake], 1);
    world.proof.claim.registration = crate::Registration::Phase1;
    let bytes = world.proof.to_bytes();
    assert!(world.verify().is_ok());
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        if let Ok(proof) = StakeProof::from_bytes(&changed) {
            let result = world.verify_proof(&proof);
            // The way a version is chosen is the claimant's to say: here the parameters fit either way.
            let is_registration = proof.claim.registration != crate::Registration::Phase1;
            assert!(result.is_err() || is_registration, "bit {} of byte {}", bit % 8, bit / 8);
        }
    }
}

#[test]
fn every_changed_bit_of_own_headers_is_refused_below_a_trusted_block() {
    let mut world = World::honest();
    let own = world.headers[HEIGHT as usize - 1..].to_vec();
    let start_height = Height::new(HEIGHT - 1);
    world.proof.own_headers = Some(OwnHeaders { start_height, headers: own });
    world.policy.least_work = Some(Policy::work_of_blocks(world.headers[0].bits, 1));
    let tip = world.chain.tip();
    let verify = |bytes: &[u8]| {
        let proof = StakeProof::from_bytes(bytes).ok()?;
        verify_with_own_headers(&world.secp, &proof, Some(tip), &world.schedule, &world.policy).ok()
    };
    let bytes = world.proof.to_bytes();
    assert!(verify(&bytes).is_some());
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(verify(&changed).is_none(), "bit {} of byte {}", bit % 8, bit / 8);
    }
}
