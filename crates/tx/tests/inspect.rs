//! Inspection: each kind of transaction with its facts, and no panic on any other.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

mod common;

use bitcoin::absolute::LockTime;
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, FeeRate, Network, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness,
};
use common::{World, key, outpoint, world};
use proptest::prelude::*;
use tapstake_params::{Phase1, Schedule, StakingCap, StakingParams};
use tapstake_script::{LeafName, OpReturn};
use tapstake_tx::inspect::{InspectedLeaf, Inspection, Kind, OutputKind, inspect};
use tapstake_tx::{SlashingTx, Withdrawal, staking_outputs};

/// Two versions: before and after the committee changed.
fn schedule(world: &World) -> Schedule {
    let before = StakingParams {
        version: 2,
        covenant: common::world(1, (4, 6)).params.covenant,
        phase_1: Some(Phase1 { tag: *b"tap1", cap: StakingCap::Height(9.into()), confirmation_depth: 3 }),
        ..world.params.clone()
    };
    let now = StakingParams { activation_height: 10.into(), ..world.params.clone() };
    Schedule::new(Network::Regtest, vec![before, now]).unwrap()
}

fn inspected(world: &World, tx: &Transaction) -> Inspection {
    inspect(&world.secp, tx, Network::Regtest, Some(&schedule(world)))
}

fn leaf(inspection: &Inspection) -> &InspectedLeaf {
    inspection.inputs[0].leaf.as_ref().unwrap()
}

fn unbonded(world: &World) -> Transaction {
    let unbonding = world.unbonding();
    let signatures = world.sign(&unbonding.spend(&world.stake), world.unbonders());
    unbonding.finish(&world.secp, &world.stake, &signatures).unwrap()
}

fn spending(outpoint: OutPoint, output: Vec<TxOut>) -> Transaction {
    let input = TxIn {
        previous_output: outpoint,
        script_sig: ScriptBuf::new(),
        sequence: Sequence::MAX,
        witness: Witness::new(),
    };
    Transaction { version: Version::TWO, lock_time: LockTime::ZERO, input: vec![input], output }
}

#[test]
fn an_unbonding_shows_its_committee_and_what_it_spends() {
    let world = world(1, (3, 5));
    let tx = unbonded(&world);
    let facts = inspected(&world, &tx);
    assert_eq!((facts.kind, &facts.fault), (Kind::Unbonding, &None));
    assert_eq!((facts.txid, facts.wtxid), (tx.compute_txid(), tx.compute_wtxid()));
    assert_eq!((facts.size, facts.weight, facts.vsize), (tx.total_size(), tx.weight().to_wu(), tx.vsize()));
    assert_eq!((facts.version, facts.lock_time), (2, 0));
    assert_eq!(facts.inputs[0].outpoint, outpoint(7));
    assert_eq!(facts.inputs[0].sequence, 0xffff_ffff);
    assert_eq!(facts.inputs[0].relative_lock_blocks, None);

    let shown = leaf(&facts);
    assert_eq!((shown.name, shown.staker), (LeafName::Unbonding, key(&world.staker)));
    assert_eq!(shown.covenant.as_ref(), Some(&world.params.covenant));
    assert_eq!((shown.providers.as_ref(), shown.timelock), (None, None));
    assert_eq!(shown.covenant_versions, [3]);
    assert_eq!(shown.leaf_hash, world.stake.coin().output.unbonding().leaf_hash);
    assert!(shown.internal_key_is_nums);
    assert_eq!((shown.depth, shown.spends.as_slice()), (2, &[OutputKind::Staking][..]));
    let signed = shown.signed.unwrap();
    assert_eq!((signed.staker, signed.providers, signed.covenant), (1, 0, 3));
    // The leaf and its control block say which output was spent, though the transaction does not carry it.
    assert_eq!(shown.script_pubkey, *world.stake.coin().output.script_pubkey());
    assert_eq!(shown.address, world.stake.coin().output.address(Network::Regtest).to_string());
}

#[test]
fn a_slashing_shows_everybody_and_where_the_money_goes() {
    let world = world(2, (3, 5));
    let unbonding = world.unbonding();
    let (coin, refund) = (unbonding.coin(), world.stake.refund_output());
    let slashing = SlashingTx::build(coin, refund, world.slashing(), Amount::from_sat(2_000)).unwrap();
    let signatures = world.sign(&slashing.spend(coin), world.slashers());
    let facts = inspected(&world, &slashing.finish(&world.secp, coin, &signatures).unwrap());
    assert_eq!((facts.kind, &facts.fault), (Kind::Slashing, &None));
    let shown = leaf(&facts);
    assert_eq!(shown.providers.as_ref(), Some(world.stake.terms().parties.providers()));
    assert_eq!(shown.covenant_versions, [3]);
    assert_eq!(shown.spends, [OutputKind::Staking, OutputKind::Unbonding]);
    assert_eq!(shown.script_pubkey, *coin.output.script_pubkey());
    let signed = shown.signed.unwrap();
    assert_eq!((signed.staker, signed.providers, signed.covenant), (1, 1, 3));
    assert_eq!(facts.outputs[0].slashing_versions, [2, 3]);
    assert_eq!((facts.outputs[0].address.as_ref(), facts.outputs[0].dust), (None, false));
    assert_eq!(facts.outputs[1].refund_versions, [2, 3]);
    assert_eq!(facts.outputs[1].value, slashing.refund().value.to_sat());
}

#[test]
fn a_withdrawal_shows_the_timelock_of_each_kind_of_output() {
    let world = world(1, (3, 5));
    let (unbonding, refund) = (world.unbonding(), world.stake.refund_output());
    let slashing =
        SlashingTx::build(world.stake.coin(), refund, world.slashing(), Amount::from_sat(2_000)).unwrap();
    let coins = vec![world.stake.coin().into(), unbonding.coin().into(), slashing.refund().into()];
    let rate = FeeRate::BROADCAST_MIN;
    let withdrawal = Withdrawal::build(coins, refund.script_pubkey().clone(), rate).unwrap();
    let signatures: Vec<_> =
        withdrawal.spends().iter().map(|spend| world.sign(spend, [&world.staker])).collect();
    let mut tx = withdrawal.finish(&world.secp, &signatures).unwrap();
    let facts = inspected(&world, &tx);
    assert_eq!((facts.kind, &facts.fault), (Kind::Withdrawal, &None));
    let spends: Vec<_> =
        facts.inputs.iter().map(|input| input.leaf.as_ref().unwrap().spends.clone()).collect();
    assert_eq!(spends, [[OutputKind::Staking], [OutputKind::Unbonding], [OutputKind::Refund]]);
    let locks: Vec<_> = facts.inputs.iter().map(|input| input.relative_lock_blocks).collect();
    assert_eq!(locks, [Some(1_000), Some(200), Some(200)]);
    assert_eq!(leaf(&facts).timelock, Some(world.stake.terms().staking_time));

    tx.input[1].sequence = Sequence(199);
    let fault = "input sequence 0x000000c7 is not the timelock of 200 blocks";
    assert_eq!(inspected(&world, &tx).fault.as_deref(), Some(fault));
}

#[test]
fn the_rule_that_an_unbonding_or_slashing_breaks_is_named() {
    let world = world(1, (3, 5));
    let mut tx = unbonded(&world);
    tx.version = Version::ONE;
    assert_eq!(inspected(&world, &tx).fault.as_deref(), Some("transaction version 1 is not 2"));
    tx.version = Version::TWO;
    tx.output.push(tx.output[0].clone());
    assert_eq!(inspected(&world, &tx).fault.as_deref(), Some("2 outputs instead of 1"));
}

#[test]
fn two_inputs_of_which_the_first_unbonds_are_an_expansion() {
    let world = world(1, (3, 5));
    let mut tx = unbonded(&world);
    tx.input.push(spending(outpoint(1), vec![]).input[0].clone());
    let facts = inspected(&world, &tx);
    assert_eq!((facts.kind, facts.fault), (Kind::Expansion, None));

    // Faults that it shows by itself.
    let fault = |tx: &Transaction| inspected(&world, tx).fault.unwrap();
    let mut by_a_stake = tx.clone();
    by_a_stake.input[1].witness = tx.input[0].witness.clone();
    assert!(fault(&by_a_stake).contains("input 1 spends an output of a stake"));
    let mut elsewhere = tx.clone();
    elsewhere.output[0].script_pubkey = bitcoin::ScriptBuf::new_op_return([]);
    assert!(fault(&elsewhere).contains("no output is Taproot"));
    let mut with_script_sig = tx.clone();
    with_script_sig.input[0].script_sig = bitcoin::ScriptBuf::from_bytes(vec![0x51]);
    assert!(fault(&with_script_sig).contains("script_sig of input 0"));

    tx.input.swap(0, 1);
    let facts = inspected(&world, &tx);
    assert_eq!((facts.kind, facts.fault.as_deref()), (Kind::Unbonding, Some("2 inputs instead of 1")));
}

#[test]
fn a_phase_1_stake_shows_its_output_under_each_version() {
    let world = world(1, (3, 5));
    let terms = world.stake.terms();
    let value = Amount::from_sat(50_000);
    let outputs = staking_outputs(&world.secp, &world.params, terms, value, Some(*b"tap1")).unwrap();
    let mut tx = spending(outpoint(1), outputs);
    let facts = inspected(&world, &tx);
    assert_eq!((facts.kind, &facts.fault), (Kind::Staking, &None));
    assert_eq!(facts.outputs[0].staking_versions, [3]);
    assert_eq!(
        facts.outputs[0].address,
        Some(world.stake.coin().output.address(Network::Regtest).to_string())
    );
    let data = facts.outputs[1].phase_1.as_ref().unwrap();
    assert_eq!((data.tag.as_str(), data.staking_time), ("74617031", 1_000));
    assert_eq!((data.staker, data.provider), (key(&world.staker), key(&world.providers[0])));
    assert_eq!(data.tag_versions, [2]);

    // Without parameters the OP_RETURN is all there is to go by.
    let alone = inspect(&world.secp, &tx, Network::Bitcoin, None);
    assert_eq!((alone.kind, alone.outputs[0].staking_versions.len()), (Kind::Staking, 0));
    assert!(alone.outputs[0].address.as_ref().unwrap().starts_with("bc1p"));

    tx.output.push(tx.output[1].clone());
    let fault = "the transaction has 2 OP_RETURNs in the shape of a stake's: exactly one may be there";
    let twice = inspected(&world, &tx);
    assert_eq!((twice.kind, twice.fault.as_deref()), (Kind::Other, Some(fault)));
    tx.output = tx.output.split_off(2);
    let fault = "no output of the transaction is the staking output";
    let none = inspected(&world, &tx);
    assert_eq!((none.kind, none.fault.as_deref()), (Kind::Other, Some(fault)));
}

#[test]
fn a_coinbase_is_a_coinbase_whatever_it_carries() {
    let world = world(1, (3, 5));
    let data = OpReturn {
        tag: *b"tap1",
        staker: key(&world.staker),
        provider: key(&world.providers[0]),
        staking_time: 0,
    };
    let output = TxOut { value: Amount::ZERO, script_pubkey: data.to_script() };
    let tx = spending(OutPoint::null(), vec![output.clone()]);
    assert_eq!(inspected(&world, &tx).kind, Kind::Coinbase);
    let facts = inspected(&world, &spending(outpoint(1), vec![output]));
    let fault = "timelock of 0 blocks is outside 1..=65535";
    assert_eq!((facts.kind, facts.fault.as_deref()), (Kind::Other, Some(fault)));
}

#[test]
fn an_unsigned_unbonding_shows_no_leaf_and_is_other() {
    let world = world(1, (3, 5));
    let facts = inspected(&world, world.unbonding().tx());
    assert_eq!((facts.kind, &facts.inputs[0].leaf), (Kind::Other, &None));
}

#[test]
fn another_internal_key_is_shown_and_is_no_output_of_a_stake() {
    let world = world(1, (3, 5));
    let mut tx = unbonded(&world);
    let mut items = tx.input[0].witness.to_vec();
    items.last_mut().unwrap()[1..33].copy_from_slice(&key(&world.staker).serialize());
    tx.input[0].witness = Witness::from_slice(&items);
    let facts = inspected(&world, &tx);
    let shown = leaf(&facts);
    assert!(!shown.internal_key_is_nums);
    assert_eq!((shown.internal_key, shown.spends.len()), (key(&world.staker), 0));
    assert_ne!(shown.script_pubkey, *world.stake.coin().output.script_pubkey());
}

#[test]
fn json_is_plain() {
    let world = world(1, (1, 1));
    let json = serde_json::to_value(inspected(&world, &unbonded(&world))).unwrap();
    assert_eq!(json["kind"], "unbonding");
    assert_eq!(json["inputs"][0]["leaf"]["name"], "unbonding");
    assert_eq!(json["inputs"][0]["leaf"]["covenant"]["threshold"], 1);
    assert_eq!(json["inputs"][0]["leaf"]["spends"][0], "staking");
    assert_eq!(json["outputs"][0]["value"], 999_000);
}

/// Any transaction, and such as look like a stake's.
fn any_transaction() -> impl Strategy<Value = Transaction> {
    let world = world(1, (3, 5));
    let signed = unbonded(&world).input[0].witness.to_vec();
    let bytes = || prop::collection::vec(any::<u8>(), 0..80);
    let item = prop_oneof![
        bytes(),
        prop::sample::select(signed.clone()),
        (prop::sample::select(signed), any::<prop::sample::Index>(), any::<u8>()).prop_map(
            |(mut item, index, by)| {
                if !item.is_empty() {
                    let index = index.index(item.len());
                    item[index] ^= by;
                }
                item
            }
        ),
    ];
    let place = (any::<[u8; 32]>(), any::<u32>()).prop_map(|(txid, vout)| {
        let txid = <Txid as bitcoin::hashes::Hash>::from_byte_array(txid);
        OutPoint { txid, vout }
    });
    let place = prop_oneof![4 => place, 1 => Just(OutPoint::null())];
    let witness = prop::collection::vec(item, 0..12);
    let input =
        (place, bytes(), any::<u32>(), witness).prop_map(|(previous_output, script, sequence, items)| {
            let (script_sig, sequence) = (ScriptBuf::from_bytes(script), Sequence(sequence));
            TxIn { previous_output, script_sig, sequence, witness: Witness::from_slice(&items) }
        });
    let data = OpReturn {
        tag: *b"tap1",
        staker: key(&world.staker),
        provider: key(&world.providers[0]),
        staking_time: 1_000,
    };
    let mine = world.stake.coin().output.script_pubkey().clone();
    let script = prop_oneof![
        bytes().prop_map(ScriptBuf::from_bytes),
        Just(data.to_script()),
        Just(OpReturn { staker: data.provider, ..data }.to_script()),
        Just(mine)
    ];
    let output = (any::<u64>(), script)
        .prop_map(|(sat, script_pubkey)| TxOut { value: Amount::from_sat(sat), script_pubkey });
    let (inputs, outputs) = (prop::collection::vec(input, 0..4), prop::collection::vec(output, 0..4));
    (any::<i32>(), any::<u32>(), inputs, outputs).prop_map(|(version, lock_time, input, output)| {
        Transaction {
            version: Version(version),
            lock_time: LockTime::from_consensus(lock_time),
            input,
            output,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_transaction_is_inspected_without_panic(tx in any_transaction()) {
        let world = world(1, (3, 5));
        let facts = inspected(&world, &tx);
        prop_assert_eq!(facts.txid, tx.compute_txid());
        prop_assert_eq!(facts.inputs.len(), tx.input.len());
        prop_assert_eq!(facts.outputs.len(), tx.output.len());
        prop_assert!(serde_json::to_string(&facts).is_ok());
        inspect(&world.secp, &tx, Network::Bitcoin, None);
    }

    #[test]
    fn any_change_of_one_byte_of_an_unbonding_is_inspected_without_panic(
        at in any::<prop::sample::Index>(),
        by in 1u8..,
    ) {
        let world = world(1, (3, 5));
        let mut bytes = bitcoin::consensus::serialize(&unbonded(&world));
        let at = at.index(bytes.len());
        bytes[at] ^= by;
        if let Ok(tx) = bitcoin::consensus::deserialize::<Transaction>(&bytes) {
            inspected(&world, &tx);
        }
    }
}
