//! Rule 6: proofs that bring their own headers.

use bitcoin::{CompactTarget, Network, Target};
use tapstake_params::Height;

use super::fixture::*;
use crate::headers::testing::mine;
use crate::headers::{AnchorError, HeaderError};
use crate::{IncludedStake, OwnHeaders, Policy, Rule, VerifyError, verify_with_own_headers};

/// The work of one block of regtest is 2 hashes.
fn world() -> World {
    let mut world = World::honest();
    let headers = world.headers.clone();
    world.proof.own_headers = Some(OwnHeaders { start_height: Height::GENESIS, headers });
    world.policy.least_work = Some(Policy::work_of_blocks(regtest_bits(), ABOVE + 1));
    world
}

fn regtest_bits() -> CompactTarget {
    Target::MAX_ATTAINABLE_REGTEST.to_compact_lossy()
}

fn verify(world: &World) -> Result<IncludedStake, VerifyError> {
    verify_with_own_headers(&world.secp, &world.proof, None, &world.schedule, &world.policy)
}

#[test]
fn a_proof_with_enough_headers_of_its_own_gives_the_same_verdict() {
    let world = world();
    assert_eq!(verify(&world), world.verify());
}

#[test]
fn headers_from_the_middle_are_enough_where_nothing_retargets() {
    let mut world = world();
    let own = world.proof.own_headers.as_mut().unwrap();
    own.start_height = Height::new(HEIGHT);
    own.headers.drain(..HEIGHT as usize);
    assert!(verify(&world).is_ok());
}

#[test]
fn a_policy_without_a_least_work_takes_no_headers_from_proofs() {
    let mut world = world();
    world.policy.least_work = None;
    let error = verify(&world).unwrap_err();
    assert_eq!(error, VerifyError::OwnHeadersRefused);
    assert_eq!(error.rule(), Rule::OwnHeaders);
}

#[test]
fn a_proof_without_headers_cannot_be_judged_by_them() {
    let mut world = world();
    world.proof.own_headers = None;
    assert_eq!(verify(&world), Err(VerifyError::NoOwnHeaders));
}

#[test]
fn too_little_work_is_refused_whatever_the_confirmations() {
    let mut world = world();
    let needed = Policy::work_of_blocks(regtest_bits(), ABOVE + 2);
    world.policy.least_work = Some(needed);
    let found = Policy::work_of_blocks(regtest_bits(), ABOVE + 1);
    let error = verify(&world).unwrap_err();
    assert_eq!(error, VerifyError::Work { found, needed });
    assert_eq!(error.rule(), Rule::OwnHeaders);
}

#[test]
fn work_below_the_stakes_block_does_not_count() {
    // Twenty blocks lie below: with them there would be work enough.
    let mut world = world();
    world.policy.least_work = Some(Policy::work_of_blocks(regtest_bits(), HEIGHT + 1));
    assert!(matches!(verify(&world), Err(VerifyError::Work { .. })));
}

#[test]
fn confirmations_are_counted_in_the_headers_brought() {
    let mut world = world();
    world.proof.own_headers.as_mut().unwrap().headers.truncate(HEIGHT as usize + 3);
    assert_eq!(verify(&world).unwrap_err().rule(), Rule::Confirmations);
}

#[test]
fn a_trusted_block_must_be_among_them() {
    let world = world();
    let verify = |height: u32, hash| {
        let trusts = Some((Height::new(height), hash));
        verify_with_own_headers(&world.secp, &world.proof, trusts, &world.schedule, &world.policy)
    };
    let hash = |height: u32| world.headers[height as usize].block_hash();
    for height in [0, HEIGHT - 1, HEIGHT, HEIGHT + ABOVE] {
        assert!(verify(height, hash(height)).is_ok());
    }
    let error = verify(5, hash(6)).unwrap_err();
    let (height, expected, found) = (Height::new(5), hash(6), Some(hash(5)));
    assert_eq!(error, VerifyError::TrustedBlock { height, expected, found });
    assert_eq!(error.rule(), Rule::Anchor);
    assert!(matches!(verify(99, hash(9)), Err(VerifyError::TrustedBlock { found: None, .. })));
}

#[test]
fn headers_that_break_a_rule_are_refused() {
    let mut world = world();
    let own = world.proof.own_headers.as_mut().unwrap();
    own.headers[25].time = 0;
    own.headers[25] = mine(own.headers[25]);
    let error = verify(&world).unwrap_err();
    assert!(matches!(error, VerifyError::OwnHeaders(HeaderError::MedianTime { .. })));
    assert_eq!(error.rule(), Rule::MedianTime);
}

#[test]
fn headers_without_any_are_refused() {
    let mut world = world();
    world.proof.own_headers.as_mut().unwrap().headers.clear();
    assert_eq!(verify(&world), Err(VerifyError::OwnHeaders(HeaderError::Empty)));
}

#[test]
fn headers_that_start_between_retargets_are_refused_where_there_are_any() {
    let mut world = world();
    world.proof.network = Network::Bitcoin;
    world.proof.own_headers.as_mut().unwrap().start_height = Height::new(2017);
    let error = verify(&world).unwrap_err();
    let refusal = AnchorError::NotABoundary { height: Height::new(2017), network: Network::Bitcoin };
    assert_eq!(error, VerifyError::OwnHeaders(refusal.into()));
}

#[test]
fn headers_of_another_networks_difficulty_are_refused() {
    let mut world = world();
    world.proof.network = Network::Bitcoin;
    world.proof.own_headers.as_mut().unwrap().start_height = Height::new(2016);
    let error = verify(&world).unwrap_err();
    assert!(matches!(error, VerifyError::OwnHeaders(HeaderError::Anchor(AnchorError::Bits { .. }))));
}

#[test]
fn headers_from_the_future_are_refused_where_the_policy_has_a_clock() {
    let mut world = world();
    let tip_time = world.headers.last().unwrap().time;
    world.policy.now = Some(tip_time - 7200);
    assert!(verify(&world).is_ok());
    world.policy.now = Some(tip_time - 7201);
    assert_eq!(verify(&world).unwrap_err().rule(), Rule::FutureTime);
}
