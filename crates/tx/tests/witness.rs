//! Witnesses: as the miniscript satisfier makes them, as consensus takes them, and every way to get one wrong.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

mod common;

use bitcoin::hashes::Hash;
use bitcoin::key::Keypair;
use bitcoin::secp256k1::schnorr::Signature;
use bitcoin::sighash::{SighashCache, TapSighashType};
use bitcoin::taproot::{self, TapLeafHash};
use bitcoin::transaction::Version;
use bitcoin::{Amount, Sequence, Transaction, TxOut, Witness, XOnlyPublicKey, relative};
use common::{COMMITTEES, World, consensus, key, keypair, world};
use miniscript::Satisfier;
use tapstake_script::{Leaf, LeafName, StakeOutput};
use tapstake_tx::{LeafSpend, Signatures, SlashingTx, SpendError, Withdrawal, WitnessError};

/// What the satisfier may use: these signatures in this leaf.
struct Known<'a> {
    leaf: &'a Leaf,
    signatures: &'a Signatures,
}

impl Satisfier<XOnlyPublicKey> for Known<'_> {
    fn lookup_tap_leaf_script_sig(
        &self,
        key: &XOnlyPublicKey,
        leaf_hash: &TapLeafHash,
    ) -> Option<taproot::Signature> {
        let signature = *self.signatures.get(key).filter(|_| *leaf_hash == self.leaf.leaf_hash)?;
        Some(taproot::Signature { signature, sighash_type: TapSighashType::Default })
    }

    fn check_older(&self, time: relative::LockTime) -> bool {
        self.leaf.timelock().is_some_and(|own| relative::LockTime::from_height(own.blocks()) == time)
    }
}

/// A way through each leaf of each output: what is spent, by what transaction, and who signs.
struct Way<'a> {
    prevout: TxOut,
    output: &'a StakeOutput,
    leaf: &'a Leaf,
    tx: Transaction,
    signers: Vec<&'a Keypair>,
}

fn each_way(world: &World, check: impl Fn(Way<'_>)) {
    let (coin, refund) = (world.stake.coin(), world.stake.refund_output());
    let unbonding = world.unbonding();
    check(Way {
        prevout: coin.to_txout(),
        output: &coin.output,
        leaf: coin.output.unbonding(),
        tx: unbonding.tx().clone(),
        signers: world.unbonders(),
    });
    let fee = world.slashing().min_fee;
    let early = SlashingTx::build(coin, refund, world.slashing(), fee).unwrap();
    check(Way {
        prevout: coin.to_txout(),
        output: &coin.output,
        leaf: coin.output.slashing(),
        tx: early.tx().clone(),
        signers: world.slashers(),
    });
    let late = SlashingTx::build(unbonding.coin(), refund, world.slashing(), fee).unwrap();
    check(Way {
        prevout: unbonding.coin().to_txout(),
        output: &unbonding.coin().output,
        leaf: unbonding.coin().output.slashing(),
        tx: late.tx().clone(),
        signers: world.slashers(),
    });
    for coin in [coin.into(), unbonding.coin().into(), early.refund().into()] {
        let home = coin_script();
        let rate = bitcoin::FeeRate::BROADCAST_MIN;
        let withdrawal = Withdrawal::build(vec![coin], home, rate).unwrap();
        let coin = &withdrawal.coins()[0];
        check(Way {
            prevout: coin.to_txout(),
            output: coin.output(),
            leaf: coin.leaf(),
            tx: withdrawal.tx().clone(),
            signers: vec![&world.staker],
        });
    }
}

fn coin_script() -> bitcoin::ScriptBuf {
    bitcoin::ScriptBuf::new_p2wpkh(&bitcoin::WPubkeyHash::all_zeros())
}

impl Way<'_> {
    fn spend<'s>(&'s self, world: &World) -> LeafSpend<'s> {
        let mut cache = SighashCache::new(&self.tx);
        LeafSpend::new(&world.secp, &mut cache, 0, &[&self.prevout], self.leaf).unwrap()
    }

    fn judged(&self, witness: &Witness) -> bool {
        let mut tx = self.tx.clone();
        tx.input[0].witness = witness.clone();
        consensus(&tx, std::slice::from_ref(&self.prevout)).is_ok()
    }
}

fn items(witness: &Witness) -> Vec<Vec<u8>> {
    witness.to_vec()
}

#[test]
fn witnesses_are_the_satisfiers_and_consensus_takes_them() {
    for (providers, committee) in [1, 2, 5].into_iter().flat_map(|p| COMMITTEES.map(|c| (p, c))) {
        let world = world(providers, committee);
        each_way(&world, |way| {
            let spend = way.spend(&world);
            let signatures = world.sign(&spend, way.signers.iter().copied());
            let witness = spend.witness(&world.secp, &signatures).unwrap();
            assert_eq!(spend.check_witness(&world.secp, &witness), Ok(()));
            assert!(way.judged(&witness), "{providers} providers, {committee:?}, {}", way.leaf.name);
            assert_eq!(witness.size() as u64, way.leaf.witness_weight().to_wu());

            let known = Known { leaf: way.leaf, signatures: &signatures };
            let (satisfied, script_sig) = way.output.descriptor().get_satisfaction(known).unwrap();
            assert!(script_sig.is_empty());
            assert_eq!(items(&witness), satisfied);
        });
    }
}

#[test]
fn of_more_signatures_than_needed_exactly_the_quorum_is_taken() {
    let world = world(5, (6, 9));
    each_way(&world, |way| {
        let spend = way.spend(&world);
        let of_leaf =
            |keypair: &&Keypair| way.leaf.signers().iter().any(|group| group.contains(&key(keypair)));
        let everybody = world.covenant.iter().chain(&world.providers).chain([&world.staker]).filter(of_leaf);
        let witness = spend.witness(&world.secp, &world.sign(&spend, everybody)).unwrap();
        assert_eq!(spend.check_witness(&world.secp, &witness), Ok(()));
        assert!(way.judged(&witness));
    });
}

#[test]
fn one_signature_missing_is_refused_by_us_and_the_slot_left_empty_by_consensus() {
    for committee in COMMITTEES {
        let world = world(2, committee);
        each_way(&world, |way| {
            let spend = way.spend(&world);
            let signatures = world.sign(&spend, way.signers.iter().copied());
            let whole = items(&spend.witness(&world.secp, &signatures).unwrap());
            for absent in signatures.keys() {
                let mut fewer = signatures.clone();
                let signature = fewer.remove(absent).unwrap();
                let group = way.leaf.signers().iter().find(|group| group.contains(absent)).unwrap();
                let (needed, keys) = (group.threshold(), group.keys().to_vec());
                let few = WitnessError::TooFew { given: needed - 1, needed, keys };
                assert_eq!(spend.witness(&world.secp, &fewer), Err(few.clone()));

                let slot = whole.iter().position(|item| item == signature.as_ref()).unwrap();
                let mut emptied = whole.clone();
                emptied[slot].clear();
                let emptied = Witness::from_slice(&emptied);
                assert_eq!(spend.check_witness(&world.secp, &emptied), Err(few));
                assert!(!way.judged(&emptied));
            }
        });
    }
}

#[test]
fn one_signature_too_many_is_refused_by_us_and_by_consensus() {
    for committee in [(3, 5), (6, 9), (15, 20)] {
        let world = world(2, committee);
        each_way(&world, |way| {
            let spend = way.spend(&world);
            let signatures = world.sign(&spend, way.signers.iter().copied());
            let whole = items(&spend.witness(&world.secp, &signatures).unwrap());
            let bottom_up: Vec<_> = way.leaf.signers().iter().flat_map(|group| group.keys()).rev().collect();
            // Each slot that the witness leaves empty, filled in turn with a valid signature.
            for (slot, owner) in bottom_up.iter().enumerate().filter(|(slot, _)| whole[*slot].is_empty()) {
                let keypair = world.covenant.iter().chain(&world.providers).find(|k| key(k) == **owner);
                let mut more = whole.clone();
                more[slot] = spend.sign(&world.secp, keypair.unwrap(), &[0; 32]).1.as_ref().to_vec();
                let more = Witness::from_slice(&more);
                let group = way.leaf.signers().iter().find(|group| group.contains(owner)).unwrap();
                let (needed, keys) = (group.threshold(), group.keys().to_vec());
                let many = WitnessError::TooMany { given: needed + 1, needed, keys };
                assert_eq!(spend.check_witness(&world.secp, &more), Err(many));
                assert!(!way.judged(&more));
            }
        });
    }
}

#[test]
fn signatures_in_another_order_are_refused_by_us_and_by_consensus() {
    let world = world(2, (3, 5));
    each_way(&world, |way| {
        let spend = way.spend(&world);
        let signatures = world.sign(&spend, way.signers.iter().copied());
        let whole = items(&spend.witness(&world.secp, &signatures).unwrap());
        let slots = whole.len() - 2;
        for (a, b) in (0..slots).flat_map(|a| (a + 1..slots).map(move |b| (a, b))) {
            if whole[a] == whole[b] {
                continue;
            }
            let mut swapped = whole.clone();
            swapped.swap(a, b);
            let swapped = Witness::from_slice(&swapped);
            assert!(spend.check_witness(&world.secp, &swapped).is_err());
            assert!(!way.judged(&swapped), "slots {a} and {b} of {}", way.leaf.name);
        }
    });
}

#[test]
fn every_part_of_a_witness_is_checked_by_name() {
    let world = world(2, (3, 5));
    each_way(&world, |way| {
        let spend = way.spend(&world);
        let signatures = world.sign(&spend, way.signers.iter().copied());
        let whole = items(&spend.witness(&world.secp, &signatures).unwrap());
        let name = way.leaf.name;
        let broken = |by: &dyn Fn(&mut Vec<Vec<u8>>)| {
            let mut items = whole.clone();
            by(&mut items);
            let witness = Witness::from_slice(&items);
            assert!(!way.judged(&witness));
            spend.check_witness(&world.secp, &witness).unwrap_err()
        };
        let (expected, staker) = (whole.len(), whole.len() - 3);
        let error = broken(&|items| items.insert(0, vec![]));
        assert_eq!(error, WitnessError::Items { actual: expected + 1, expected });
        let error = broken(&|items| drop(items.remove(0)));
        assert_eq!(error, WitnessError::Items { actual: expected - 1, expected });
        assert_eq!(broken(&|items| items[expected - 2][5] ^= 1), WitnessError::Script(name));
        assert_eq!(broken(&|items| items[expected - 1][0] ^= 1), WitnessError::ControlBlock(name));
        let staker_key = key(&world.staker);
        let error = broken(&|items| items[staker].push(0));
        assert_eq!(error, WitnessError::Slot { key: staker_key, length: 65 });
        let error = broken(&|items| items[staker][40] ^= 1);
        assert_eq!(error, WitnessError::BadSignature { key: staker_key, leaf: name });
    });
    assert_eq!(WitnessError::Items { actual: 0, expected: 8 }.to_string(), "witness of 0 items instead of 8");
}

#[test]
fn an_annex_is_refused_though_consensus_would_take_it_signed() {
    let world = world(1, (3, 5));
    each_way(&world, |way| {
        let spend = way.spend(&world);
        let mut witness =
            spend.witness(&world.secp, &world.sign(&spend, way.signers.iter().copied())).unwrap();
        let expected = witness.len();
        witness.push([0x50]);
        let error = WitnessError::Items { actual: expected + 1, expected };
        assert_eq!(spend.check_witness(&world.secp, &witness), Err(error));
    });
}

#[test]
fn a_signature_with_an_explicit_sighash_type_is_refused_though_consensus_takes_it() {
    let world = world(1, (3, 5));
    each_way(&world, |way| {
        let spend = way.spend(&world);
        let signatures = world.sign(&spend, way.signers.iter().copied());
        let mut items = items(&spend.witness(&world.secp, &signatures).unwrap());
        let all = SighashCache::new(&way.tx)
            .taproot_script_spend_signature_hash(
                0,
                &bitcoin::sighash::Prevouts::All(&[&way.prevout]),
                way.leaf.leaf_hash,
                TapSighashType::All,
            )
            .unwrap();
        let signature = world.secp.sign_schnorr_no_aux_rand(&all.into(), &world.staker);
        let slot = items.len() - 3;
        items[slot] = signature.as_ref().iter().copied().chain([TapSighashType::All as u8]).collect();
        let witness = Witness::from_slice(&items);
        assert!(way.judged(&witness));
        let error = WitnessError::Slot { key: key(&world.staker), length: 65 };
        assert_eq!(spend.check_witness(&world.secp, &witness), Err(error));
    });
}

#[test]
fn a_stranger_and_a_false_signature_are_told_apart() {
    let world = world(1, (3, 5));
    let unbonding = world.unbonding();
    let spend = unbonding.spend(&world.stake);
    let (stranger, provider) = (keypair(77), &world.providers[0]);
    let leaf = LeafName::Unbonding;
    for keypair in [&stranger, provider] {
        let mut signatures = world.sign(&spend, world.unbonders());
        signatures.extend([spend.sign(&world.secp, keypair, &[0; 32])]);
        let error = WitnessError::UnknownSigner { key: key(keypair), leaf };
        assert_eq!(spend.witness(&world.secp, &signatures), Err(error));
    }
    let mut signatures = world.sign(&spend, world.unbonders());
    let liar = key(world.unbonders()[0]);
    signatures.insert(liar, Signature::from_slice(&[7; 64]).unwrap());
    let error = WitnessError::BadSignature { key: liar, leaf };
    assert_eq!(spend.witness(&world.secp, &signatures), Err(error.clone()));
    assert_eq!(spend.verify(&world.secp, &liar, &signatures[&liar]), Err(error));
}

#[test]
fn a_spend_needs_its_input_its_prevout_its_sequence_and_its_version() {
    let world = world(1, (3, 5));
    each_way(&world, |way| {
        let new = |tx: &Transaction, input, prevouts: &[&TxOut]| {
            LeafSpend::new(&world.secp, &mut SighashCache::new(tx), input, prevouts, way.leaf).map(drop)
        };
        let prevout = &way.prevout;
        assert_eq!(new(&way.tx, 0, &[prevout]), Ok(()));
        let none = |input, prevouts| Err(SpendError::NoInput { input, inputs: 1, prevouts });
        assert_eq!(new(&way.tx, 1, &[prevout]), none(1, 1));
        assert_eq!(new(&way.tx, 0, &[]), none(0, 0));
        assert_eq!(new(&way.tx, 0, &[prevout, prevout]), none(0, 2));

        let refused = Err(SpendError::NotCommitted { input: 0, leaf: way.leaf.name });
        let mut other = prevout.clone();
        other.script_pubkey = coin_script();
        assert_eq!(new(&way.tx, 0, &[&other]), refused);
        // Another Taproot output, and one whose 32 bytes are no key.
        let mut script = prevout.script_pubkey.to_bytes();
        script[33] ^= 1;
        other.script_pubkey = script.into();
        assert_eq!(new(&way.tx, 0, &[&other]), refused);
        other.script_pubkey = [&[0x51, 0x20][..], &[0xff; 32]].concat().into();
        assert_eq!(new(&way.tx, 0, &[&other]), refused);

        let Some(expected) = way.leaf.timelock() else { return };
        let blocks = u32::from(expected.blocks());
        for actual in [0, blocks - 1, blocks + 1, blocks | 1 << 22, blocks | 1 << 31, u32::MAX] {
            let mut tx = way.tx.clone();
            tx.input[0].sequence = Sequence(actual);
            assert_eq!(new(&tx, 0, &[prevout]), Err(SpendError::Sequence { actual, expected }));
        }
        for (version, fits) in [(0, false), (1, false), (2, true), (3, true), (-1, true)] {
            let mut tx = way.tx.clone();
            tx.version = Version(version);
            let result = if fits { Ok(()) } else { Err(SpendError::Version { actual: version }) };
            assert_eq!(new(&tx, 0, &[prevout]), result);
        }
    });
}

#[test]
fn a_value_that_is_not_the_prevouts_voids_the_signatures() {
    let world = world(1, (3, 5));
    each_way(&world, |way| {
        let spend = way.spend(&world);
        let signatures = world.sign(&spend, way.signers.iter().copied());
        let mut other = way.prevout.clone();
        other.value += Amount::from_sat(1);
        let elsewhere =
            LeafSpend::new(&world.secp, &mut SighashCache::new(&way.tx), 0, &[&other], way.leaf).unwrap();
        assert_ne!(elsewhere.sighash(), spend.sighash());
        assert!(matches!(
            elsewhere.witness(&world.secp, &signatures),
            Err(WitnessError::BadSignature { .. })
        ));
    });
}
