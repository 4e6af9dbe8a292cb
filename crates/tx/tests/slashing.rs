//! Every rule of a slashing transaction, broken alone on an otherwise valid one.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

mod common;

use bitcoin::absolute::LockTime;
use bitcoin::transaction::Version;
use bitcoin::{Amount, OutPoint, ScriptBuf, Sequence, Transaction, WPubkeyHash};
use common::{World, outpoint, world, world_with};
use proptest::prelude::*;
use tapstake_params::{Slashing, SlashingRate};
use tapstake_tx::{ShapeError, SlashingError, SlashingTx};

const FEE: Amount = Amount::from_sat(2_000);
/// A tenth of a million.
const DUE: Amount = Amount::from_sat(100_000);
const REST: Amount = Amount::from_sat(898_000);

fn sat(sat: u64) -> Amount {
    Amount::from_sat(sat)
}

fn build(world: &World, fee: Amount) -> Result<SlashingTx, SlashingError> {
    SlashingTx::build(world.stake.coin(), world.stake.refund_output(), world.slashing(), fee)
}

fn check(world: &World, tx: &Transaction) -> Result<SlashingTx, SlashingError> {
    SlashingTx::check(world.stake.coin(), world.stake.refund_output(), world.slashing(), tx)
}

fn broken(by: impl FnOnce(&mut Transaction)) -> SlashingError {
    let world = world(1, (3, 5));
    let mut tx = build(&world, FEE).unwrap().tx().clone();
    by(&mut tx);
    check(&world, &tx).unwrap_err()
}

#[test]
fn what_is_built_is_version_2_final_and_splits_the_stake() {
    let world = world(1, (3, 5));
    let built = build(&world, FEE).unwrap();
    let tx = built.tx();
    assert_eq!((tx.version, tx.lock_time), (Version::TWO, LockTime::ZERO));
    assert_eq!(tx.input[0].sequence, Sequence::MAX);
    assert_eq!((tx.output[0].value, tx.output[1].value), (DUE, REST));
    assert_eq!(tx.output[0].script_pubkey, world.slashing().pk_script);
    assert_eq!(tx.output[1], built.refund().to_txout());
    assert_eq!(built.refund().outpoint, OutPoint { txid: tx.compute_txid(), vout: 1 });
    assert_eq!(built.slashed(), DUE);
    assert!(built.burns());
    assert_eq!(check(&world, tx), Ok(built));
}

#[test]
fn versions_1_and_2_are_accepted_and_no_others() {
    let world = world(1, (3, 5));
    let mut tx = build(&world, FEE).unwrap().tx().clone();
    tx.version = Version::ONE;
    let foreign = check(&world, &tx).unwrap();
    assert_eq!(foreign.tx(), &tx);
    assert_eq!(foreign.refund().outpoint.txid, tx.compute_txid());
    for version in [-1, 0, 3] {
        let error = broken(|tx| tx.version = Version(version));
        assert_eq!(error, ShapeError::Version { actual: version, any_of_two: true }.into());
    }
    let error = broken(|tx| tx.version = Version(3)).to_string();
    assert_eq!(error, "slashing transaction: transaction version 3 is not 1 or 2");
}

#[test]
fn a_slashing_with_a_lock_time_is_refused() {
    let error = broken(|tx| tx.lock_time = LockTime::from_consensus(1));
    assert_eq!(error, ShapeError::LockTime { actual: 1 }.into());
}

#[test]
fn a_slashing_with_another_number_of_inputs_or_outputs_is_refused() {
    assert_eq!(broken(|tx| tx.input.clear()), ShapeError::Inputs { actual: 0 }.into());
    assert_eq!(broken(|tx| tx.input.push(tx.input[0].clone())), ShapeError::Inputs { actual: 2 }.into());
    let expected = 2;
    assert_eq!(broken(|tx| tx.output.truncate(1)), ShapeError::Outputs { actual: 1, expected }.into());
    assert_eq!(
        broken(|tx| tx.output.push(tx.output[1].clone())),
        ShapeError::Outputs { actual: 3, expected }.into()
    );
}

#[test]
fn a_slashing_of_another_outpoint_is_refused() {
    let (actual, expected) = (outpoint(8), outpoint(7));
    let error = broken(|tx| tx.input[0].previous_output = actual);
    assert_eq!(error, ShapeError::Outpoint { actual, expected }.into());
}

#[test]
fn a_slashing_with_any_other_sequence_is_refused() {
    for actual in [0, 1_000, 0xffff_fffe] {
        let error = broken(|tx| tx.input[0].sequence = Sequence(actual));
        assert_eq!(error, ShapeError::Sequence { actual }.into());
    }
}

#[test]
fn a_slashing_with_a_script_sig_is_refused() {
    let error = broken(|tx| tx.input[0].script_sig = ScriptBuf::from_bytes(vec![0x51, 0x51]));
    assert_eq!(error, ShapeError::ScriptSig { length: 2 }.into());
}

#[test]
fn a_slashed_part_that_goes_elsewhere_is_refused() {
    let error = broken(|tx| tx.output[0].script_pubkey = ScriptBuf::new_op_return(b"burnt"));
    assert_eq!(error, SlashingError::SlashedScript);
    assert_eq!(broken(|tx| tx.output.swap(0, 1)), SlashingError::SlashedScript);
}

#[test]
fn a_refund_that_goes_elsewhere_or_under_another_timelock_is_refused() {
    let world = world(1, (3, 5));
    let terms = world.stake.terms();
    let staker = terms.parties.staker();
    let longer = tapstake_script::RefundOutput::new(&world.secp, staker, terms.staking_time);
    for script in [longer.script_pubkey().clone(), world.unbonding().coin().output.script_pubkey().clone()] {
        assert_eq!(broken(|tx| tx.output[1].script_pubkey = script), SlashingError::RefundScript);
    }
}

#[test]
fn one_sat_less_slashed_is_refused_and_more_is_accepted() {
    let error = broken(|tx| tx.output[0].value -= sat(1));
    assert_eq!(error, SlashingError::SlashedValue { actual: sat(99_999), due: DUE });

    let world = world(1, (3, 5));
    let mut tx = build(&world, FEE).unwrap().tx().clone();
    tx.output[0].value += sat(500);
    tx.output[1].value -= sat(500);
    assert_eq!(check(&world, &tx).unwrap().slashed(), sat(100_500));
}

#[test]
fn a_fee_below_the_least_is_refused_and_a_higher_one_accepted() {
    let error = broken(|tx| tx.output[1].value += sat(1));
    assert_eq!(error, SlashingError::Fee { actual: sat(1_999), least: FEE });
    let world = world(1, (3, 5));
    assert_eq!(build(&world, sat(1_999)), Err(SlashingError::Fee { actual: sat(1_999), least: FEE }));
    assert_eq!(build(&world, sat(500_000)).unwrap().refund().value, sat(400_000));
}

#[test]
fn a_fee_rate_that_no_node_sends_on_is_refused_at_the_signed_weight() {
    let world = world_with(1, (3, 5), 100_000_000, 1_000);
    let free = Slashing { min_fee: Amount::ZERO, ..world.slashing().clone() };
    let build = |fee: Amount| SlashingTx::build(world.stake.coin(), world.stake.refund_output(), &free, fee);
    let built = build(FEE).unwrap();
    let spend = built.spend(world.stake.coin());
    let signatures = world.sign(&spend, world.slashers());
    let signed = built.finish(&world.secp, world.stake.coin(), &signatures).unwrap();
    let weight = signed.weight().to_wu();

    // 0.1 and 10,000 sat per virtual byte, of 4 weight units each.
    let (least, most) = (sat(weight.div_ceil(40)), sat(weight * 2_500));
    for fee in [least, most] {
        let tx = build(fee).unwrap().tx().clone();
        let (coin, refund) = (world.stake.coin(), world.stake.refund_output());
        assert!(SlashingTx::check(coin, refund, &free, &tx).is_ok());
    }
    for fee in [Amount::ZERO, least - sat(1), most + sat(1), sat(80_000_000)] {
        assert_eq!(build(fee), Err(SlashingError::FeeRate { fee, weight }));
    }
    assert_eq!(
        build(sat(80_000_000)).unwrap_err().to_string(),
        format!(
            "slashing transaction: fee 80000000 sat for {weight} weight units is outside 0.1..=10000 sat/vB"
        )
    );
}

#[test]
fn outputs_above_the_input_are_refused_without_overflow() {
    let value = sat(1_000_000);
    for rest in [sat(900_001), Amount::MAX_MONEY, Amount::MAX] {
        assert_eq!(broken(|tx| tx.output[1].value = rest), SlashingError::Overspent { value });
    }
    let world = world(1, (3, 5));
    for fee in [sat(900_001), Amount::MAX] {
        assert_eq!(build(&world, fee), Err(SlashingError::Overspent { value }));
    }
}

#[test]
fn an_output_that_holds_nothing_is_refused() {
    assert_eq!(broken(|tx| tx.output[0].value = Amount::ZERO), SlashingError::Empty { vout: 0 });
    assert_eq!(broken(|tx| tx.output[1].value = Amount::ZERO), SlashingError::Empty { vout: 1 });
    // Here the rate asks for less than half a sat.
    let tiny = world_with(1, (3, 5), 4, 1_000);
    let free = Slashing { min_fee: Amount::ZERO, ..tiny.slashing().clone() };
    let built = SlashingTx::build(tiny.stake.coin(), tiny.stake.refund_output(), &free, Amount::ZERO);
    assert_eq!(built, Err(SlashingError::Empty { vout: 0 }));
}

#[test]
fn dust_is_refused_in_the_refund_and_in_a_slashed_part_that_is_paid() {
    match broken(|tx| tx.output[1].value = sat(329)) {
        SlashingError::Dust(dust) => assert_eq!((dust.value, dust.minimum), (sat(329), sat(330))),
        other => panic!("{other:?}"),
    }
    // 2930 sat: 293 slashed, below the 294 of a P2WPKH output, but enough for an OP_RETURN.
    let small = world_with(1, (3, 5), 2_930, 1_000);
    assert!(matches!(
        build(&small, FEE).map(|tx| (tx.slashed(), tx.refund().value)),
        Ok((slashed, rest)) if slashed == sat(293) && rest == sat(637)
    ));
    let pk_script = ScriptBuf::new_p2wpkh(&WPubkeyHash::from_raw_hash(bitcoin::hashes::Hash::all_zeros()));
    let paid = Slashing { pk_script, ..small.slashing().clone() };
    let (coin, refund) = (small.stake.coin(), small.stake.refund_output());
    match SlashingTx::build(coin, refund, &paid, FEE) {
        Err(SlashingError::Dust(dust)) => assert_eq!((dust.value, dust.minimum), (sat(293), sat(294))),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_slashing_heavier_than_nodes_relay_is_refused() {
    let world = world(1, (3, 5));
    let with = |length: usize| {
        let mut bytes = vec![0x6a];
        bytes.resize(length, 0x51);
        let heavy = Slashing { pk_script: ScriptBuf::from_bytes(bytes), ..world.slashing().clone() };
        // As nodes relay it: 0.1 sat for each virtual byte.
        SlashingTx::build(world.stake.coin(), world.stake.refund_output(), &heavy, sat(10_000))
    };
    let weight = |tx: &SlashingTx| {
        let spend = tx.spend(world.stake.coin());
        let signatures = world.sign(&spend, world.slashers());
        tx.finish(&world.secp, world.stake.coin(), &signatures).unwrap().weight().to_wu()
    };
    let base = weight(&with(70_000).unwrap()) - 4 * 70_000;
    let longest = usize::try_from((400_000 - base) / 4).unwrap();
    assert!(weight(&with(longest).unwrap()) > 399_996);
    assert_eq!(with(longest + 1), Err(SlashingError::Weight { weight: base + 4 * (longest as u64 + 1) }));
}

#[test]
fn the_unbonding_output_is_slashed_likewise() {
    let world = world(1, (3, 5));
    let unbonding = world.unbonding();
    let (coin, refund) = (unbonding.coin(), world.stake.refund_output());
    let built = SlashingTx::build(coin, refund, world.slashing(), FEE).unwrap();
    assert_eq!(built.slashed(), sat(99_900));
    assert_eq!(built.refund().value, sat(999_000 - 99_900 - 2_000));
    assert_eq!(SlashingTx::check(coin, refund, world.slashing(), built.tx()), Ok(built.clone()));
    let (actual, expected) = (coin.outpoint, outpoint(7));
    assert_eq!(check(&world, built.tx()), Err(ShapeError::Outpoint { actual, expected }.into()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_built_checks_and_loses_no_sat(
        providers in 1u32..=5,
        committee in prop::sample::select(&common::COMMITTEES[..]),
        value in 10_000u64..=2_100_000_000_000_000,
        rate in 1u16..10_000,
        fee in 0u64..3_000,
    ) {
        let world = world_with(providers, committee, value, 1_000);
        let rate = SlashingRate::from_ten_thousandths(rate).unwrap();
        let rules = Slashing { rate, min_fee: sat(500), ..world.slashing().clone() };
        let (coin, refund) = (world.stake.coin(), world.stake.refund_output());
        match SlashingTx::build(coin, refund, &rules, sat(fee)) {
            Ok(built) => {
                prop_assert_eq!(built.slashed(), rate.slashed_part(coin.value));
                prop_assert_eq!(built.slashed() + built.refund().value + sat(fee), coin.value);
                prop_assert!(fee >= 500);
                let checked = SlashingTx::check(coin, refund, &rules, built.tx());
                prop_assert_eq!(checked, Ok(built));
            }
            Err(SlashingError::Fee { .. }) => prop_assert!(fee < 500),
            Err(error) => {
                let rest = value.checked_sub(rate.slashed_part(coin.value).to_sat() + fee);
                prop_assert!(rest.is_none_or(|rest| rest < 330), "{error}");
            }
        }
    }
}
