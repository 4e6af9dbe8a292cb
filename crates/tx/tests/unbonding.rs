//! Every rule of an unbonding transaction, broken alone on an otherwise valid one.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

mod common;

use bitcoin::absolute::LockTime;
use bitcoin::transaction::Version;
use bitcoin::{Amount, OutPoint, ScriptBuf, Sequence, Transaction, Txid};
use common::{World, outpoint, world, world_with};
use proptest::prelude::*;
use tapstake_params::DustError;
use tapstake_tx::{ShapeError, UnbondingError, UnbondingTx};

const FEE: Amount = Amount::from_sat(1_000);

fn check(world: &World, tx: &Transaction) -> Result<UnbondingTx, UnbondingError> {
    UnbondingTx::check(&world.secp, &world.stake, FEE, tx)
}

/// Breaks a valid unbonding transaction and gives the error.
fn broken(by: impl FnOnce(&mut Transaction)) -> UnbondingError {
    let world = world(1, (3, 5));
    let mut tx = world.unbonding().tx().clone();
    by(&mut tx);
    check(&world, &tx).unwrap_err()
}

#[test]
fn a_foreign_unbonding_transaction_is_ours_to_the_byte_or_refused() {
    let world = world(1, (3, 5));
    let ours = world.unbonding();
    assert_eq!(ours.tx().version, Version::TWO);
    assert_eq!(ours.tx().lock_time, LockTime::ZERO);
    assert_eq!(ours.tx().input[0].sequence, Sequence::MAX);
    assert_eq!(ours.tx().input[0].previous_output, world.stake.outpoint());
    assert_eq!(ours.tx().output.len(), 1);
    assert_eq!(ours.tx().output[0], ours.coin().to_txout());
    assert_eq!(ours.coin().value, world.stake.value() - FEE);
    assert_eq!(ours.coin().outpoint, OutPoint { txid: ours.tx().compute_txid(), vout: 0 });
    assert_eq!(check(&world, ours.tx()), Ok(ours));
}

#[test]
fn a_witness_does_not_matter_to_the_check() {
    let world = world(1, (3, 5));
    let mut tx = world.unbonding().tx().clone();
    tx.input[0].witness.push([1, 2, 3]);
    assert_eq!(check(&world, &tx), Ok(world.unbonding()));
}

#[test]
fn an_unbonding_transaction_of_another_version_is_refused() {
    for version in [-1, 0, 1, 3, i32::MAX] {
        let error = broken(|tx| tx.version = Version(version));
        assert_eq!(error, ShapeError::Version { actual: version, any_of_two: false }.into());
    }
    let error = broken(|tx| tx.version = Version::ONE);
    assert_eq!(error.to_string(), "unbonding transaction: transaction version 1 is not 2");
}

#[test]
fn an_unbonding_transaction_with_a_lock_time_is_refused() {
    for actual in [1, 499_999_999, 500_000_000, u32::MAX] {
        let error = broken(|tx| tx.lock_time = LockTime::from_consensus(actual));
        assert_eq!(error, ShapeError::LockTime { actual }.into());
    }
}

#[test]
fn an_unbonding_transaction_with_no_or_two_inputs_is_refused() {
    assert_eq!(broken(|tx| tx.input.clear()), ShapeError::Inputs { actual: 0 }.into());
    let twice = |tx: &mut Transaction| tx.input.push(tx.input[0].clone());
    assert_eq!(broken(twice), ShapeError::Inputs { actual: 2 }.into());
}

#[test]
fn an_unbonding_transaction_with_no_or_two_outputs_is_refused() {
    let expected = 1;
    assert_eq!(broken(|tx| tx.output.clear()), ShapeError::Outputs { actual: 0, expected }.into());
    let twice = |tx: &mut Transaction| tx.output.push(tx.output[0].clone());
    assert_eq!(broken(twice), ShapeError::Outputs { actual: 2, expected }.into());
}

#[test]
fn an_unbonding_transaction_of_another_outpoint_is_refused() {
    let expected = outpoint(7);
    let other_txid = OutPoint { txid: outpoint(8).txid, ..expected };
    let other_vout = OutPoint { vout: 8, ..expected };
    for actual in [other_txid, other_vout, OutPoint::null()] {
        let error = broken(|tx| tx.input[0].previous_output = actual);
        assert_eq!(error, ShapeError::Outpoint { actual, expected }.into());
    }
}

#[test]
fn an_unbonding_transaction_with_any_other_sequence_is_refused() {
    for actual in [0, 1, 1_000, 0xffff_fffd, 0xffff_fffe] {
        let error = broken(|tx| tx.input[0].sequence = Sequence(actual));
        assert_eq!(error, ShapeError::Sequence { actual }.into());
    }
}

#[test]
fn an_unbonding_transaction_with_a_script_sig_is_refused() {
    let error = broken(|tx| tx.input[0].script_sig = ScriptBuf::from_bytes(vec![0x51]));
    assert_eq!(error, ShapeError::ScriptSig { length: 1 }.into());
}

#[test]
fn an_unbonding_transaction_to_another_script_is_refused() {
    let world = world(1, (3, 5));
    let terms = world.stake.terms();
    let others = [
        terms.refund_output(&world.secp).script_pubkey().clone(),
        terms.staking_output(&world.secp).script_pubkey().clone(),
        ScriptBuf::new(),
    ];
    for script in others {
        assert_eq!(broken(|tx| tx.output[0].script_pubkey = script), UnbondingError::Script);
    }
}

#[test]
fn an_unbonding_fee_one_sat_off_is_refused() {
    let expected = Amount::from_sat(999_000);
    for sat in [0, 998_999, 999_001, u64::MAX] {
        let actual = Amount::from_sat(sat);
        assert_eq!(broken(|tx| tx.output[0].value = actual), UnbondingError::Fee { actual, expected });
    }
}

#[test]
fn a_stake_too_small_to_unbond_is_refused() {
    let build = |sat| {
        let world = world_with(1, (3, 5), sat, 1_000);
        UnbondingTx::build(&world.secp, &world.stake, FEE)
    };
    let too_small = UnbondingError::TooSmall { value: Amount::from_sat(999), fee: FEE };
    assert_eq!(build(999), Err(too_small));
    for left in [0, 329] {
        match build(1_000 + left) {
            Err(UnbondingError::Dust(DustError { value, minimum, .. })) => {
                assert_eq!((value, minimum), (Amount::from_sat(left), Amount::from_sat(330)));
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(build(1_330).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn what_is_built_checks_and_no_other_stake_takes_it(
        providers in 1u32..=5,
        committee in prop::sample::select(&common::COMMITTEES[..]),
        sat in 2_000u64..=2_100_000_000_000_000,
        txid in any::<[u8; 32]>(),
        vout in any::<u32>(),
    ) {
        let world = world(providers, committee);
        let place = OutPoint { txid: <Txid as bitcoin::hashes::Hash>::from_byte_array(txid), vout };
        let value = Amount::from_sat(sat);
        let stake = tapstake_tx::Stake::new(&world.secp, world.stake.terms().clone(), place, value);
        let built = UnbondingTx::build(&world.secp, &stake, FEE).unwrap();
        prop_assert_eq!(&UnbondingTx::check(&world.secp, &stake, FEE, built.tx()).unwrap(), &built);
        prop_assert!(check(&world, built.tx()).is_err());
    }
}
