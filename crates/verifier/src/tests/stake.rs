//! Rules 13 and 14, each broken alone.

use alloc::vec::Vec;

use bitcoin::{Amount, Network, TxOut};
use tapstake_params::{BoundsError, Height, Phase1, Schedule, ScheduleError, StakingCap, Timelock, Window};
use tapstake_script::{FindError, OpReturn, OpReturnError, Providers, TermsError};

use super::fixture::*;
use crate::{Registration, Rule, VerifyError};

fn with_outputs(outputs: Vec<TxOut>) -> World {
    World::with_stake(tx(1, outputs))
}

fn phase_1(outputs: Vec<TxOut>) -> World {
    let mut world = with_outputs(outputs);
    world.proof.claim.registration = Registration::Phase1;
    world
}

/// Outputs: something else, the stake at 1, and the OP_RETURN.
fn phase_1_outputs(data: &OpReturn) -> Vec<TxOut> {
    [filler(1).output, alloc::vec![staking_output(), op_return_output(data)]].concat()
}

fn with_cap(world: &mut World, cap: StakingCap) {
    let mut versions = world.schedule.versions().to_vec();
    versions[0].phase_1.as_mut().unwrap().cap = cap;
    world.schedule = Schedule::new(Network::Regtest, versions).unwrap();
}

#[test]
fn other_terms_rebuild_another_script() {
    let world = World::honest();
    let mut claims = Vec::new();
    for change in 0..3 {
        let mut claim = claim();
        match change {
            0 => claim.staker = key(9),
            1 => claim.providers = Providers::new(alloc::vec![key(5), key(6)]).unwrap(),
            _ => claim.staking_time = Timelock::new(TIME + 1).unwrap(),
        }
        claims.push(claim);
    }
    for claim in claims {
        let mut proof = world.proof.clone();
        proof.claim = claim;
        let error = world.verify_proof(&proof).unwrap_err();
        assert_eq!(error, VerifyError::Output(FindError::NotFound));
        assert_eq!(error.rule(), Rule::StakingOutput);
    }
}

#[test]
fn the_covenant_is_that_of_the_parameters() {
    let mut world = World::honest();
    let mut versions = world.schedule.versions().to_vec();
    let keys = versions[0].covenant.keys().to_vec();
    versions[0].covenant = tapstake_params::Quorum::new(4, keys).unwrap();
    world.schedule = Schedule::new(Network::Regtest, versions).unwrap();
    assert_eq!(world.verify(), Err(VerifyError::Output(FindError::NotFound)));
}

#[test]
fn a_key_with_two_roles_is_refused() {
    let mut world = World::honest();
    world.proof.claim.staker = key(5);
    let error = world.verify().unwrap_err();
    assert_eq!(error, VerifyError::Terms(TermsError::StakerIsProvider(key(5))));
    assert_eq!(error.rule(), Rule::StakingOutput);
}

#[test]
fn the_proof_must_name_the_staking_output() {
    let mut world = World::honest();
    for vout in [0, 2] {
        world.proof.vout = vout;
        // Their values differ from the stake's, so no output has the script and that value.
        assert_eq!(world.verify(), Err(VerifyError::Output(FindError::NotFound)));
    }
    world.proof.vout = 3;
    let error = world.verify().unwrap_err();
    assert_eq!(error, VerifyError::NoSuchOutput { claimed: 3, outputs: 3 });
    assert_eq!(error.rule(), Rule::StakingOutput);
}

#[test]
fn another_output_of_the_stakes_value_is_not_the_stake() {
    let mut other = filler(1).output.remove(0);
    other.value = Amount::from_sat(VALUE);
    let mut world = with_outputs(alloc::vec![other, staking_output()]);
    assert!(world.verify().is_ok());
    world.proof.vout = 0;
    let error = world.verify().unwrap_err();
    assert_eq!(error, VerifyError::Vout { claimed: 0, found: 1 });
}

#[test]
fn two_outputs_of_the_same_script_and_value_are_no_stake() {
    let world = with_outputs(alloc::vec![staking_output(), staking_output()]);
    let error = world.verify().unwrap_err();
    assert_eq!(error, VerifyError::Output(FindError::Several { vouts: alloc::vec![0, 1] }));
    assert_eq!(error.rule(), Rule::StakingOutput);
}

#[test]
fn outputs_of_one_script_and_different_values_are_different_stakes() {
    let mut larger = staking_output();
    larger.value = Amount::from_sat(2 * VALUE);
    let mut world = with_outputs(alloc::vec![larger, staking_output()]);
    let second = world.verify().unwrap();
    world.proof.vout = 0;
    let first = world.verify().unwrap();
    assert_eq!(first.outpoint().txid, second.outpoint().txid);
    assert_ne!(first.outpoint(), second.outpoint());
    assert_eq!(first.value(), Amount::from_sat(2 * VALUE));
}

#[test]
fn values_outside_the_bounds_are_refused() {
    for (value, fine) in [(9_999, false), (10_000, true), (10_000_000_000, true), (10_000_000_001, false)] {
        let mut output = staking_output();
        output.value = Amount::from_sat(value);
        let world = with_outputs(alloc::vec![filler(1).output.remove(0), output]);
        match world.verify() {
            Ok(included) => assert!(fine && included.value() == Amount::from_sat(value)),
            Err(error) => {
                assert!(!fine, "{value}: {error}");
                assert!(matches!(error, VerifyError::Bounds(BoundsError::Value { .. })));
                assert_eq!(error.rule(), Rule::Bounds);
            }
        }
    }
}

#[test]
fn times_outside_the_bounds_are_refused() {
    let mut world = World::honest();
    let mut versions = world.schedule.versions().to_vec();
    versions[0].min_staking_time = Timelock::new(TIME + 1).unwrap();
    world.schedule = Schedule::new(Network::Regtest, versions).unwrap();
    let error = world.verify().unwrap_err();
    assert!(matches!(error, VerifyError::Bounds(BoundsError::Time { .. })));
}

/// A second version from height 19 on, which takes no stake of this value.
fn two_versions() -> Schedule {
    let mut versions = schedule().versions().to_vec();
    let mut second = versions[0].clone();
    second.version = 1;
    second.activation_height = Height::new(19);
    second.min_staking_value = Amount::from_sat(VALUE + 1);
    versions.push(second);
    Schedule::new(Network::Regtest, versions).unwrap()
}

#[test]
fn the_version_is_that_of_the_inclusion_unless_a_registration_is_claimed() {
    let mut world = World::honest();
    world.schedule = two_versions();
    assert!(matches!(world.verify(), Err(VerifyError::Bounds(BoundsError::Value { version: 1, .. }))));

    world.proof.claim.registration = Registration::At(Height::new(18));
    world.policy.max_registration_gap = 2;
    let included = world.verify().unwrap();
    assert_eq!(included.params_version(), 0);
    assert_eq!(included.registration(), Registration::At(Height::new(18)));
}

#[test]
fn a_registration_further_back_than_the_policy_allows_is_refused() {
    let mut world = World::honest();
    world.schedule = two_versions();
    let at = |height| Registration::At(Height::new(height));
    world.proof.claim.registration = at(18);
    for max_gap in [0, 1] {
        world.policy.max_registration_gap = max_gap;
        let (registration, inclusion) = (Height::new(18), Height::new(HEIGHT));
        let error = world.verify().unwrap_err();
        assert_eq!(error, VerifyError::Registration { registration, inclusion, max_gap });
        assert_eq!(error.rule(), Rule::Registration);
    }
    world.policy.max_registration_gap = u32::MAX;
    world.proof.claim.registration = at(HEIGHT + 1);
    assert_eq!(world.verify().unwrap_err().rule(), Rule::Registration, "after the inclusion");
}

#[test]
fn a_registration_at_the_inclusion_is_within_a_gap_of_zero() {
    let mut world = World::honest();
    world.proof.claim.registration = Registration::At(Height::new(HEIGHT));
    assert!(world.verify().is_ok());
}

#[test]
fn a_stake_before_the_first_version_is_refused() {
    let mut world = World::honest();
    let mut versions = world.schedule.versions().to_vec();
    versions[0].activation_height = Height::new(HEIGHT + 1);
    world.schedule = Schedule::new(Network::Regtest, versions).unwrap();
    let error = world.verify().unwrap_err();
    assert!(matches!(error, VerifyError::Schedule(ScheduleError::BeforeFirst { .. })));
    assert_eq!(error.rule(), Rule::Bounds);
}

#[test]
fn a_phase_1_stake_verifies_and_says_what_is_known_of_the_cap() {
    let mut world = phase_1(phase_1_outputs(&op_return()));
    assert_eq!(world.verify().unwrap().cap(), Some(Window::Within));
    with_cap(&mut world, StakingCap::Value(Amount::from_sat(1)));
    assert_eq!(world.verify().unwrap().cap(), Some(Window::Unknown));
    with_cap(&mut world, StakingCap::Height(Height::new(HEIGHT)));
    assert_eq!(world.verify().unwrap().cap(), Some(Window::Within));
}

#[test]
fn a_policy_for_phase_1_stakes_takes_no_other_registration() {
    let mut world = phase_1(phase_1_outputs(&op_return()));
    world.policy.only_phase_1 = true;
    world.policy.max_registration_gap = u32::MAX;
    assert!(world.verify().is_ok());
    for claimed in [Registration::None, Registration::At(Height::new(HEIGHT))] {
        world.proof.claim.registration = claimed;
        let error = world.verify().unwrap_err();
        assert_eq!(error, VerifyError::NotPhase1 { claimed });
        assert_eq!(error.rule(), Rule::Registration);
        world.policy.only_phase_1 = false;
        assert!(world.verify().is_ok());
        world.policy.only_phase_1 = true;
    }
}

#[test]
fn a_phase_1_stake_above_the_height_cap_is_refused() {
    let mut world = phase_1(phase_1_outputs(&op_return()));
    with_cap(&mut world, StakingCap::Height(Height::new(HEIGHT - 1)));
    let error = world.verify().unwrap_err();
    let (height, cap) = (Height::new(HEIGHT), Height::new(HEIGHT - 1));
    assert_eq!(error, VerifyError::Cap { height, cap });
    assert_eq!(error.rule(), Rule::Bounds);
}

#[test]
fn a_phase_1_stake_without_its_op_return_is_refused() {
    let world = phase_1(staking_tx().output);
    let error = world.verify().unwrap_err();
    assert_eq!(error, VerifyError::NoOpReturn);
    assert_eq!(error.rule(), Rule::Phase1Data);
}

#[test]
fn two_op_returns_of_the_shape_are_refused_whatever_the_second_tag() {
    let mut outputs = phase_1_outputs(&op_return());
    outputs.push(op_return_output(&OpReturn { tag: *b"none", ..op_return() }));
    let error = phase_1(outputs).verify().unwrap_err();
    assert_eq!(error, VerifyError::OpReturn(OpReturnError::Several { count: 2 }));
}

#[test]
fn an_op_return_that_says_something_else_is_refused() {
    let honest = op_return();
    for (data, field) in [
        (OpReturn { tag: *b"bbn1", ..honest }, "tag"),
        (OpReturn { staker: key(9), ..honest }, "staker"),
        (OpReturn { provider: key(9), ..honest }, "provider"),
        (OpReturn { staking_time: 101, ..honest }, "staking time"),
    ] {
        match phase_1(phase_1_outputs(&data)).verify() {
            Err(VerifyError::Phase1Mismatch { field: found, .. }) => assert_eq!(found, field),
            other => panic!("{field}: {other:?}"),
        }
    }
}

#[test]
fn a_phase_1_stake_has_one_output_of_the_script_whatever_the_values() {
    let mut outputs = phase_1_outputs(&op_return());
    outputs.push(TxOut { value: Amount::from_sat(2 * VALUE), ..staking_output() });
    let error = phase_1(outputs.clone()).verify().unwrap_err();
    assert_eq!(error, VerifyError::Output(FindError::Several { vouts: alloc::vec![1, 3] }));
    // Later phases tell them apart by value.
    assert!(with_outputs(outputs).verify().is_ok());
}

#[test]
fn a_network_without_phase_1_has_no_phase_1_stakes() {
    let mut world = phase_1(phase_1_outputs(&op_return()));
    let mut versions = world.schedule.versions().to_vec();
    versions[0].phase_1 = None::<Phase1>;
    world.schedule = Schedule::new(Network::Regtest, versions).unwrap();
    let error = world.verify().unwrap_err();
    assert_eq!(error, VerifyError::NoPhase1 { height: Height::new(HEIGHT) });
}
