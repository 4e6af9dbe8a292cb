//! PSBTs: what a signer elsewhere reads from one, signs and returns.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

mod common;

use std::collections::BTreeMap;

use bitcoin::bip32::{ChildNumber, DerivationPath, Fingerprint, KeySource, Xpriv, Xpub};
use bitcoin::key::Keypair;
use bitcoin::psbt::Psbt;
use bitcoin::secp256k1::Secp256k1;
use bitcoin::sighash::TapSighashType;
use bitcoin::taproot::{self, TapLeafHash};
use bitcoin::{Amount, FeeRate, Network, PrivateKey, ScriptBuf, Transaction, XOnlyPublicKey};
use common::{consensus, key, outpoint, world};
use tapstake_script::{Providers, StakeTerms};
use tapstake_tx::psbt::{self, Origins, PsbtError, Spent};
use tapstake_tx::{SlashingTx, Stake, Withdrawal};

fn origin(n: u32) -> KeySource {
    (Fingerprint::from([1, 2, 3, 4]), DerivationPath::from(vec![ChildNumber::from_normal_idx(n).unwrap()]))
}

fn origins<'k>(keypairs: impl IntoIterator<Item = &'k Keypair>) -> Origins {
    keypairs.into_iter().zip(0..).map(|(keypair, n)| (key(keypair), origin(n))).collect()
}

/// Signs as any wallet does that reads BIP-0371: by the keys it holds and the fields, knowing no stake.
fn sign_elsewhere(psbt: &Psbt, keypairs: &[&Keypair]) -> Psbt {
    let mut psbt = Psbt::deserialize(&psbt.serialize()).unwrap();
    let keys: BTreeMap<XOnlyPublicKey, PrivateKey> = keypairs
        .iter()
        .map(|keypair| {
            // The secret of the even point, which is what an x-only key stands for.
            let (x_only, parity) = keypair.x_only_public_key();
            let secret = keypair.secret_key();
            let even = if parity == bitcoin::key::Parity::Odd { secret.negate() } else { secret };
            (x_only, PrivateKey::new(even, Network::Regtest))
        })
        .collect();
    psbt.sign(&keys, &Secp256k1::new()).unwrap();
    Psbt::deserialize(&psbt.serialize()).unwrap()
}

#[test]
fn an_unbonding_is_signed_elsewhere_by_its_fields_alone() {
    let world = world(1, (3, 5));
    let (unbonding, coin) = (world.unbonding(), world.stake.coin());
    let leaf = coin.output.unbonding();
    let spent = Spent { txout: coin.to_txout(), output: &coin.output, leaf };
    let signers = world.unbonders();
    let psbt = psbt::create(unbonding.tx().clone(), &[spent], &origins(signers.iter().copied())).unwrap();

    let input = &psbt.inputs[0];
    assert_eq!(input.witness_utxo, Some(coin.to_txout()));
    assert_eq!(input.tap_internal_key, Some(tapstake_script::nums_key()));
    assert_eq!(input.tap_merkle_root, Some(coin.output.merkle_root()));
    assert_eq!(input.tap_scripts.len(), 1);
    assert_eq!(input.tap_scripts[&leaf.control_block], leaf.script_and_version());
    assert_eq!(input.tap_key_origins.len(), 4);
    assert!(input.tap_key_origins.values().all(|(hashes, _)| *hashes == [leaf.leaf_hash]));

    // One signer after the other, each on what the one before returned.
    let mut signed = psbt;
    for signer in &signers {
        signed = sign_elsewhere(&signed, &[signer]);
    }
    let signatures = psbt::signatures(&signed, unbonding.tx(), 0, leaf).unwrap();
    assert_eq!(signatures.len(), 4);
    let tx = unbonding.finish(&world.secp, &world.stake, &signatures).unwrap();
    assert_eq!(consensus(&tx, &[coin.to_txout()]), Ok(()));
}

#[test]
fn a_slashing_of_either_output_is_signed_elsewhere() {
    let world = world(2, (6, 9));
    let (unbonding, refund) = (world.unbonding(), world.stake.refund_output());
    let coin = unbonding.coin();
    let slashing = SlashingTx::build(coin, refund, world.slashing(), world.slashing().min_fee).unwrap();
    let leaf = coin.output.slashing();
    let spent = Spent { txout: coin.to_txout(), output: &coin.output, leaf };
    let signers = world.slashers();
    let mut psbt = psbt::create(slashing.tx().clone(), &[spent], &origins(signers.iter().copied())).unwrap();
    psbt::describe_output(&mut psbt.outputs[1], refund, &origins([&world.staker]));
    assert_eq!(psbt.outputs[1].tap_internal_key, Some(tapstake_script::nums_key()));
    assert_eq!(psbt.outputs[1].tap_tree, Some(refund.tap_tree()));
    let known = &psbt.outputs[1].tap_key_origins[&key(&world.staker)];
    assert_eq!(known.0, [refund.timelock().leaf_hash]);

    let signed = sign_elsewhere(&psbt, &signers);
    let signatures = psbt::signatures(&signed, slashing.tx(), 0, leaf).unwrap();
    let tx = slashing.finish(&world.secp, coin, &signatures).unwrap();
    assert_eq!(consensus(&tx, &[coin.to_txout()]), Ok(()));
}

#[test]
fn a_hardware_wallet_withdraws_from_its_seed_and_the_psbt() {
    let world = world(1, (3, 5));
    let master = Xpriv::new_master(Network::Regtest, &[9; 32]).unwrap();
    let path: DerivationPath = "m/86'/1'/0'/7/3".parse().unwrap();
    let account = Xpub::from_priv(&world.secp, &master.derive_priv(&world.secp, &path).unwrap());
    let staker = account.to_x_only_pub();
    let terms = StakeTerms::under(
        &world.params,
        staker,
        Providers::one(key(&world.providers[0])),
        world.stake.terms().staking_time,
    )
    .unwrap();
    let stakes: Vec<Stake> =
        [1, 2].map(|n| Stake::new(&world.secp, terms.clone(), outpoint(n), Amount::from_sat(50_000))).into();
    let coins = stakes.iter().map(|stake| stake.coin().into()).collect();
    let home =
        ScriptBuf::new_p2wpkh(&bitcoin::WPubkeyHash::from_raw_hash(bitcoin::hashes::Hash::all_zeros()));
    let withdrawal = Withdrawal::build(coins, home, FeeRate::BROADCAST_MIN).unwrap();

    let spent: Vec<Spent<'_>> = withdrawal
        .coins()
        .iter()
        .map(|coin| Spent { txout: coin.to_txout(), output: coin.output(), leaf: coin.leaf() })
        .collect();
    let origins = Origins::from([(staker, (master.fingerprint(&world.secp), path))]);
    let mut psbt = psbt::create(withdrawal.tx().clone(), &spent, &origins).unwrap();
    psbt.sign(&master, &world.secp).unwrap();
    let signatures: Vec<_> = (0..2)
        .map(|input| {
            psbt::signatures(&psbt, withdrawal.tx(), input, withdrawal.coins()[input].leaf()).unwrap()
        })
        .collect();
    let tx = withdrawal.finish(&world.secp, &signatures).unwrap();
    assert_eq!(consensus(&tx, withdrawal.prevouts()), Ok(()));
}

fn unbonding_psbt() -> (Transaction, tapstake_script::Leaf, Psbt) {
    let world = world(1, (3, 5));
    let (tx, coin) = (world.unbonding().tx().clone(), world.stake.coin());
    let leaf = coin.output.unbonding();
    let spent = Spent { txout: coin.to_txout(), output: &coin.output, leaf };
    let psbt = psbt::create(tx.clone(), &[spent], &origins([&world.staker])).unwrap();
    (tx, leaf.clone(), sign_elsewhere(&psbt, &[&world.staker]))
}

#[test]
fn a_psbt_needs_one_spent_output_for_each_input_and_an_unsigned_transaction() {
    let world = world(1, (3, 5));
    let (tx, coin) = (world.unbonding().tx().clone(), world.stake.coin());
    let spent = Spent { txout: coin.to_txout(), output: &coin.output, leaf: coin.output.unbonding() };
    let create =
        |tx: &Transaction, spent: &[Spent<'_>]| psbt::create(tx.clone(), spent, &Origins::new()).unwrap_err();
    assert_eq!(create(&tx, &[]), PsbtError::Inputs { inputs: 1, spent: 0 });
    assert_eq!(create(&tx, &[spent.clone(), spent.clone()]), PsbtError::Inputs { inputs: 1, spent: 2 });
    let mut signed = tx.clone();
    signed.input[0].witness.push([1]);
    assert_eq!(create(&signed, std::slice::from_ref(&spent)), PsbtError::Signed { input: 0 });
    let mut signed = tx;
    signed.input[0].script_sig = ScriptBuf::from_bytes(vec![0x51]);
    assert_eq!(create(&signed, &[spent]), PsbtError::Signed { input: 0 });
}

#[test]
fn a_psbt_of_another_transaction_is_refused() {
    let (tx, leaf, mut psbt) = unbonding_psbt();
    psbt.unsigned_tx.output[0].value -= Amount::from_sat(1);
    let (actual, expected) = (psbt.unsigned_tx.compute_txid(), tx.compute_txid());
    let error = PsbtError::OtherTransaction { actual, expected };
    assert_eq!(psbt::signatures(&psbt, &tx, 0, &leaf), Err(error));
}

#[test]
fn a_psbt_without_the_input_is_refused() {
    let (tx, leaf, psbt) = unbonding_psbt();
    let error = PsbtError::Inputs { inputs: 1, spent: 2 };
    assert_eq!(psbt::signatures(&psbt, &tx, 1, &leaf), Err(error));
}

#[test]
fn a_signature_of_another_sighash_type_is_refused() {
    let (tx, leaf, mut psbt) = unbonding_psbt();
    let (place, signature) = psbt.inputs[0].tap_script_sigs.pop_first().unwrap();
    for actual in [TapSighashType::All, TapSighashType::None, TapSighashType::SinglePlusAnyoneCanPay] {
        let other = taproot::Signature { sighash_type: actual, ..signature };
        psbt.inputs[0].tap_script_sigs.insert(place, other);
        let error = PsbtError::Sighash { input: 0, key: place.0, actual };
        assert_eq!(psbt::signatures(&psbt, &tx, 0, &leaf), Err(error));
    }
}

#[test]
fn signatures_for_another_leaf_are_left_out() {
    let (tx, leaf, mut psbt) = unbonding_psbt();
    let (place, signature) = psbt.inputs[0].tap_script_sigs.pop_first().unwrap();
    let elsewhere: TapLeafHash = bitcoin::hashes::Hash::all_zeros();
    psbt.inputs[0].tap_script_sigs.insert((place.0, elsewhere), signature);
    assert_eq!(psbt::signatures(&psbt, &tx, 0, &leaf), Ok(BTreeMap::new()));
}
