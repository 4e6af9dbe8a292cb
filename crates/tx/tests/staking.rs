//! The outputs of a staking transaction, and whether its txid can still change.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

mod common;

use bitcoin::absolute::LockTime;
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, PubkeyHash, ScriptBuf, ScriptHash, Sequence, Transaction, TxIn, TxOut, WPubkeyHash, Witness,
};
use common::{key, keypair, outpoint, world};
use tapstake_params::{BoundsError, Quorum, Timelock};
use tapstake_script::{FindError, OpReturn, Parties, StakeTerms};
use tapstake_tx::{Stake, StakingError, check_txid_final, staking_outputs};

const VALUE: Amount = Amount::from_sat(1_000_000);

fn outputs(change: impl FnOnce(&mut StakeTerms), value: Amount) -> Result<Vec<TxOut>, StakingError> {
    let world = world(1, (3, 5));
    let mut terms = world.stake.terms().clone();
    change(&mut terms);
    staking_outputs(&world.secp, &world.params, &terms, value, None)
}

#[test]
fn a_stake_within_the_parameters_is_one_output() {
    let world = world(1, (3, 5));
    assert_eq!(outputs(|_| {}, VALUE), Ok(vec![world.stake.coin().to_txout()]));
}

#[test]
fn a_phase_1_stake_has_its_op_return_behind_it() {
    let world = world(1, (3, 5));
    let terms = world.stake.terms();
    let made = staking_outputs(&world.secp, &world.params, terms, VALUE, Some(*b"tap1")).unwrap();
    assert_eq!(made[0], world.stake.coin().to_txout());
    let (staker, provider) = (key(&world.staker), key(&world.providers[0]));
    let data = OpReturn { tag: *b"tap1", staker, provider, staking_time: 1_000 };
    assert_eq!(made[1], TxOut { value: Amount::ZERO, script_pubkey: data.to_script() });
    assert_eq!(made.len(), 2);
}

#[test]
fn a_value_outside_the_bounds_is_refused() {
    let (min, max) = (Amount::from_sat(10_000), Amount::from_sat(100_000_000));
    for value in [min, max] {
        assert!(outputs(|_| {}, value).is_ok());
    }
    for value in [Amount::ZERO, min - Amount::from_sat(1), max + Amount::from_sat(1)] {
        let error = BoundsError::Value { value, min, max, version: 3 };
        assert_eq!(outputs(|_| {}, value), Err(error.into()));
    }
}

#[test]
fn a_time_outside_the_bounds_is_refused() {
    let time = |blocks| Timelock::new(blocks).unwrap();
    let (min, max) = (time(100), time(64_000));
    for inside in [min, max] {
        assert!(outputs(|terms| terms.staking_time = inside, VALUE).is_ok());
    }
    for outside in [time(99), time(64_001)] {
        let error = BoundsError::Time { time: outside, min, max, version: 3 };
        assert_eq!(outputs(|terms| terms.staking_time = outside, VALUE), Err(error.into()));
    }
}

#[test]
fn another_committee_or_quorum_than_the_parameters_is_refused() {
    let parties = |terms: &StakeTerms, covenant| {
        Parties::new(terms.parties.staker(), terms.parties.providers().clone(), covenant).unwrap()
    };
    let members = |count: u32| (2_000..2_000 + count).map(|n| key(&keypair(n))).collect();
    for covenant in [Quorum::new(2, members(5)), Quorum::new(3, members(6))] {
        let change = |terms: &mut StakeTerms| terms.parties = parties(terms, covenant.unwrap());
        assert_eq!(outputs(change, VALUE), Err(StakingError::Covenant { version: 3 }));
    }
}

#[test]
fn another_unbonding_time_than_the_parameters_is_refused() {
    let (actual, expected) = (Timelock::new(199).unwrap(), Timelock::new(200).unwrap());
    let error = StakingError::UnbondingTime { actual, expected, version: 3 };
    assert_eq!(outputs(|terms| terms.unbonding_time = actual, VALUE), Err(error));
}

#[test]
fn a_phase_1_stake_with_two_providers_is_refused() {
    let world = world(2, (3, 5));
    let terms = world.stake.terms();
    let made = |tag| staking_outputs(&world.secp, &world.params, terms, VALUE, tag);
    assert!(made(None).is_ok());
    assert_eq!(made(Some(*b"tap1")), Err(StakingError::SeveralProviders { providers: 2 }));
}

fn spending(script_sigs: &[&[u8]]) -> Transaction {
    let input = script_sigs.iter().map(|script_sig| TxIn {
        previous_output: outpoint(1),
        script_sig: ScriptBuf::from_bytes(script_sig.to_vec()),
        sequence: Sequence::MAX,
        witness: Witness::new(),
    });
    Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: input.collect(),
        output: vec![world(1, (1, 1)).stake.coin().to_txout()],
    }
}

fn prevouts(scripts: &[ScriptBuf]) -> Vec<TxOut> {
    scripts.iter().map(|script| TxOut { value: VALUE, script_pubkey: script.clone() }).collect()
}

#[test]
fn a_txid_is_final_once_every_input_is_native_segwit() {
    let zeros = bitcoin::hashes::Hash::all_zeros;
    let p2wpkh = ScriptBuf::new_p2wpkh(&WPubkeyHash::from_raw_hash(zeros()));
    let p2tr = world(1, (1, 1)).stake.coin().output.script_pubkey().clone();
    let p2pkh = ScriptBuf::new_p2pkh(&PubkeyHash::from_raw_hash(zeros()));
    let nested = ScriptBuf::new_p2sh(&ScriptHash::from_raw_hash(zeros()));

    let native = prevouts(&[p2wpkh.clone(), p2tr]);
    assert_eq!(check_txid_final(&spending(&[&[], &[]]), &native), Ok(()));
    for legacy in [p2pkh, nested] {
        let mixed = prevouts(&[p2wpkh.clone(), legacy]);
        let open = Err(StakingError::TxidNotFinal { input: 1 });
        assert_eq!(check_txid_final(&spending(&[&[], &[]]), &mixed), open);
        // A miner can write a signature otherwise, such as with another push before it.
        assert_eq!(check_txid_final(&spending(&[&[], &[0x51]]), &mixed), open);
    }
    // No node takes it.
    let with_script_sig = spending(&[&[], &[0x51]]);
    assert_eq!(check_txid_final(&with_script_sig, &native), Err(StakingError::TxidNotFinal { input: 1 }));
    let error = StakingError::Prevouts { inputs: 2, prevouts: 1 };
    assert_eq!(check_txid_final(&spending(&[&[], &[]]), &native[..1]), Err(error));
}

#[test]
fn a_wrapped_input_is_final_with_the_push_of_its_witness_program_and_nothing_else() {
    let program = [&[0u8, 0x14][..], &[7; 20]].concat();
    let wrapped = prevouts(&[ScriptBuf::from_bytes(program.clone()).to_p2sh()]);
    let check = |script_sig: &[u8]| check_txid_final(&spending(&[script_sig]), &wrapped);
    let push = [&[0x16][..], &program].concat();
    assert_eq!(check(&push), Ok(()));

    let open = Err(StakingError::TxidNotFinal { input: 0 });
    let other = [&[0x16, 0, 0x14][..], &[8; 20]].concat();
    let changes = [
        ("nothing", vec![]),
        ("a push before it", [&[0x51][..], &push].concat()),
        ("a push behind it", [&push[..], &[0x51]].concat()),
        ("OP_PUSHDATA1", [&[0x4c, 0x16][..], &program].concat()),
        ("the program without its push", program),
        ("a program that the output does not commit to", other),
    ];
    for (name, script_sig) in changes {
        assert_eq!(check(&script_sig), open, "{name}");
    }
    // A signature and its key, under a redeem script that is no witness program.
    let redeem = ScriptBuf::from_bytes([&[0x21][..], &[2; 33], &[0xac]].concat());
    let legacy = prevouts(&[redeem.to_p2sh()]);
    let script_sig = [&[0x01, 0x30, 0x23][..], redeem.as_bytes()].concat();
    assert_eq!(check_txid_final(&spending(&[&script_sig]), &legacy), open);
    let alone = [&[0x23][..], redeem.as_bytes()].concat();
    assert_eq!(check_txid_final(&spending(&[&alone]), &legacy), open);
}

#[test]
fn a_stake_is_found_by_script_and_value_together() {
    let world = world(1, (3, 5));
    let find = |tx: &Transaction| Stake::find(&world.secp, world.stake.terms().clone(), tx, VALUE);
    let mut tx = spending(&[&[]]);
    let other = tx.output[0].clone();
    tx.output.push(world.stake.coin().to_txout());
    let found = find(&tx).unwrap();
    assert_eq!(found.outpoint(), bitcoin::OutPoint { txid: tx.compute_txid(), vout: 1 });
    assert_eq!(found.value(), VALUE);

    tx.output.push(world.stake.coin().to_txout());
    assert_eq!(find(&tx), Err(FindError::Several { vouts: vec![1, 2] }));
    tx.output[2].value += Amount::from_sat(1);
    assert_eq!(find(&tx).map(|stake| stake.outpoint().vout), Ok(1));
    tx.output = vec![other];
    assert_eq!(find(&tx), Err(FindError::NotFound));
}
