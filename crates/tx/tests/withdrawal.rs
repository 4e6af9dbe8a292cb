//! Withdrawals from all three outputs, and every reason to refuse one.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

mod common;

use bitcoin::transaction::Version;
use bitcoin::{Amount, FeeRate, ScriptBuf, Sequence, TxOut, WPubkeyHash};
use common::{World, consensus, keypair, outpoint, world};
use tapstake_params::{DustError, Height};
use tapstake_tx::{
    Coin, FeeRateError, MAX_FEE_RATE, Signatures, SlashingTx, Stake, Withdrawable, Withdrawal,
    WithdrawalError, WitnessError,
};

const RATE: FeeRate = FeeRate::from_sat_per_vb_u32(2);

fn home() -> ScriptBuf {
    ScriptBuf::new_p2wpkh(&WPubkeyHash::from_raw_hash(bitcoin::hashes::Hash::all_zeros()))
}

/// The staking output, the unbonding output and a refund of one stake.
fn all_three(world: &World) -> Vec<Withdrawable> {
    let unbonding = world.unbonding();
    let refund = world.stake.refund_output();
    let slashing =
        SlashingTx::build(world.stake.coin(), refund, world.slashing(), world.slashing().min_fee).unwrap();
    vec![world.stake.coin().into(), unbonding.coin().into(), slashing.refund().into()]
}

fn signed(world: &World, withdrawal: &Withdrawal) -> Vec<Signatures> {
    withdrawal.spends().iter().map(|spend| world.sign(spend, [&world.staker])).collect()
}

fn stake_of(world: &World, sat: u64) -> Withdrawable {
    let stake = Stake::new(&world.secp, world.stake.terms().clone(), outpoint(1), Amount::from_sat(sat));
    stake.coin().into()
}

#[test]
fn all_three_outputs_are_withdrawn_at_once_and_consensus_agrees() {
    let world = world(2, (3, 5));
    let withdrawal = Withdrawal::build(all_three(&world), home(), RATE).unwrap();
    let tx = withdrawal.finish(&world.secp, &signed(&world, &withdrawal)).unwrap();
    assert_eq!(tx.version, Version::TWO);
    let sequences: Vec<u32> = tx.input.iter().map(|input| input.sequence.to_consensus_u32()).collect();
    assert_eq!(sequences, [1_000, 200, 200]);
    assert_eq!(consensus(&tx, withdrawal.prevouts()), Ok(()));

    let paid = withdrawal.prevouts().iter().map(|prevout| prevout.value).sum::<Amount>() - tx.output[0].value;
    assert_eq!(paid, withdrawal.fee());
    // The weight that the fee was reckoned from is the finished transaction's.
    assert_eq!(paid, RATE.fee_wu(tx.weight()).unwrap());
}

#[test]
fn an_earlier_sequence_or_version_1_is_refused_by_consensus() {
    let world = world(1, (3, 5));
    let withdrawal = Withdrawal::build(all_three(&world), home(), RATE).unwrap();
    for input in 0..3 {
        let mut tx = withdrawal.finish(&world.secp, &signed(&world, &withdrawal)).unwrap();
        tx.input[input].sequence = Sequence(tx.input[input].sequence.to_consensus_u32() - 1);
        assert!(consensus(&tx, withdrawal.prevouts()).is_err());
    }
    let mut tx = withdrawal.finish(&world.secp, &signed(&world, &withdrawal)).unwrap();
    tx.version = Version::ONE;
    assert!(consensus(&tx, withdrawal.prevouts()).is_err());
}

#[test]
fn a_withdrawal_of_nothing_is_refused() {
    assert_eq!(Withdrawal::build(vec![], home(), RATE), Err(WithdrawalError::Nothing));
}

#[test]
fn one_output_withdrawn_twice_is_refused() {
    let coin: Withdrawable = world(1, (3, 5)).stake.coin().into();
    let built = Withdrawal::build(vec![coin.clone(), coin], home(), RATE);
    assert_eq!(built, Err(WithdrawalError::Duplicate(outpoint(7))));
}

#[test]
fn a_fee_rate_out_of_reason_is_refused() {
    let world = world(1, (3, 5));
    for rate in [FeeRate::ZERO, FeeRate::from_sat_per_kwu(24), FeeRate::MAX] {
        let built = Withdrawal::build(all_three(&world), home(), rate);
        assert_eq!(built, Err(FeeRateError { rate }.into()));
    }
}

#[test]
fn a_withdrawal_that_does_not_pay_for_itself_is_refused() {
    let world = world(1, (3, 5));
    let weight = {
        let withdrawal = Withdrawal::build(vec![stake_of(&world, 100_000)], home(), RATE).unwrap();
        withdrawal.finish(&world.secp, &signed(&world, &withdrawal)).unwrap().weight()
    };
    let fee = RATE.fee_wu(weight).unwrap();
    let build = |sat| Withdrawal::build(vec![stake_of(&world, sat)], home(), RATE);
    let value = fee - Amount::from_sat(1);
    assert_eq!(build(value.to_sat()), Err(WithdrawalError::TooSmall { value, fee }));

    let (left, minimum) = (Amount::from_sat(293), Amount::from_sat(294));
    let dust = DustError { value: left, minimum, script_pubkey: home() };
    assert_eq!(build((fee + left).to_sat()), Err(dust.into()));
    assert!(build((fee + minimum).to_sat()).is_ok());

    let dear = Withdrawal::build(vec![stake_of(&world, 100_000)], home(), MAX_FEE_RATE);
    assert!(matches!(dear, Err(WithdrawalError::TooSmall { .. })));
}

#[test]
fn a_withdrawal_heavier_than_nodes_relay_is_refused() {
    let world = world(1, (3, 5));
    let coins = |count: u32| -> Vec<Withdrawable> {
        let coin = world.stake.coin();
        (0..count)
            .map(|vout| {
                let outpoint = bitcoin::OutPoint { vout, ..coin.outpoint };
                Withdrawable::from(&Coin { outpoint, ..coin.clone() })
            })
            .collect()
    };
    let built = Withdrawal::build(coins(1_200), home(), RATE);
    assert!(matches!(built, Err(WithdrawalError::Weight { inputs: 1_200, weight }) if weight > 400_000));
    assert!(Withdrawal::build(coins(900), home(), RATE).is_ok());
}

#[test]
fn every_input_needs_its_own_signature() {
    let world = world(1, (3, 5));
    let withdrawal = Withdrawal::build(all_three(&world), home(), RATE).unwrap();
    let right = signed(&world, &withdrawal);
    let finish = |signatures: &[Signatures]| withdrawal.finish(&world.secp, signatures).unwrap_err();

    assert_eq!(finish(&right[..2]), WithdrawalError::Signatures { inputs: 3, given: 2 });

    let mut swapped = right.clone();
    swapped.swap(0, 1);
    let (key, leaf) = (common::key(&world.staker), tapstake_script::LeafName::Timelock);
    let source = WitnessError::BadSignature { key, leaf };
    assert_eq!(finish(&swapped), WithdrawalError::Witness { input: 0, source });

    let mut missing = right.clone();
    missing[2].clear();
    let source = WitnessError::TooFew { given: 0, needed: 1, keys: vec![key] };
    assert_eq!(finish(&missing), WithdrawalError::Witness { input: 2, source });

    let mut stranger = right;
    let other = keypair(99);
    stranger[1] = world.sign(&withdrawal.spends()[1], [&other]);
    let source = WitnessError::UnknownSigner { key: common::key(&other), leaf };
    assert_eq!(finish(&stranger), WithdrawalError::Witness { input: 1, source });
}

#[test]
fn a_withdrawable_says_where_it_lies_and_when_it_is_free() {
    let world = world(1, (3, 5));
    let coins = all_three(&world);
    let times: Vec<u16> = coins.iter().map(|coin| coin.timelock().blocks()).collect();
    assert_eq!(times, [1_000, 200, 200]);
    let outputs: Vec<TxOut> = coins.iter().map(Withdrawable::to_txout).collect();
    let withdrawal = Withdrawal::build(coins.clone(), home(), RATE).unwrap();
    assert_eq!(withdrawal.prevouts(), outputs);
    assert_eq!(withdrawal.coins(), coins);
    assert_eq!(withdrawal.tx().input[0].previous_output, outpoint(7));
}

#[test]
fn a_withdrawal_one_block_too_early_is_refused() {
    let world = world(1, (3, 5));
    let coin: Withdrawable = world.stake.coin().into();
    let (included, mature) = (Height::new(500), Height::new(1_500));
    assert_eq!(coin.mature_at(included), mature);
    // The block after the tip is the one that would hold it.
    assert_eq!(coin.check_mature(included, Height::new(1_499)), Ok(()));
    let next = Height::new(1_499);
    let error = WithdrawalError::Immature { outpoint: outpoint(7), mature, next };
    assert_eq!(coin.check_mature(included, Height::new(1_498)), Err(error.clone()));
    assert!(error.to_string().ends_with("is withdrawn from height 1500 on, the next block is 1499"));
}
