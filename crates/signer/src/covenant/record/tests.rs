use bitcoin::hashes::Hash;
use bitcoin::key::{Keypair, Secp256k1};
use bitcoin::secp256k1::schnorr::Signature;
use bitcoin::{Network, ScriptBuf, Transaction, TxIn, TxOut, Txid};
use tapstake_crypto::adaptor;
use tapstake_script::Providers;
use tapstake_tx::delegation::{CovenantSignatures, DelegationParts};

use super::*;

/// Nothing that anybody would sign: a record asks only whether it can give it back.
fn package() -> DelegationPackage {
    let key = |byte| key(byte).x_only_public_key().0;
    let tx = |byte: u8| Transaction {
        version: bitcoin::transaction::Version::TWO,
        lock_time: bitcoin::absolute::LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::new(Txid::all_zeros(), byte.into()),
            ..TxIn::default()
        }],
        output: vec![TxOut { value: Amount::ONE_SAT, script_pubkey: ScriptBuf::new() }],
    };
    DelegationPackage {
        network: Network::Regtest,
        params_version: 0,
        staker: key(1),
        providers: Providers::one(key(2)),
        staking_time: Timelock::new(100).unwrap(),
        value: Amount::ONE_BTC,
        vout: 0,
        staking_tx: tx(0).into(),
        prevouts: vec![],
        parts: DelegationParts {
            unbonding_tx: tx(1),
            slashing_tx: tx(2),
            unbonding_slashing_tx: tx(3),
            staker: None,
            possession: None,
            covenant: Default::default(),
        },
        expansion: None,
    }
}

fn key(byte: u8) -> Keypair {
    Keypair::from_seckey_slice(&Secp256k1::new(), &[byte; 32]).unwrap()
}

fn signed(package: &DelegationPackage) -> Signed {
    let txid = package.parts.unbonding_tx.compute_txid();
    let subject = Subject {
        stake: package.outpoint(),
        params_version: 0,
        staker: package.staker,
        value: package.value,
        staking_time: package.staking_time,
        unbonding: txid,
        slashing: txid,
        unbonding_slashing: txid,
        expansion: None,
    };
    Signed { subject, signatures: MemberSignatures { covenant: None, expansion: None } }
}

#[test]
fn a_delegation_that_could_not_be_read_again_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("record.sqlite");
    Record::create(&file, key(3).x_only_public_key().0).unwrap();
    let mut record = Record::open(&file).unwrap();

    let good = package();
    // As many adaptor signatures as no stake has providers: JSON takes them, the binary form does not read them.
    let mut unreadable = good.clone();
    let provider = key(2).x_only_public_key().0;
    let adaptor = adaptor::sign(&Secp256k1::new(), &key(3), &provider, &[0; 32], &[0; 32]);
    let unbonding = Signature::from_slice(&[7; 64]).unwrap();
    let many = vec![adaptor; 10_000];
    let covenant = CovenantSignatures { unbonding, slashing: many, unbonding_slashing: vec![] };
    unreadable.parts.covenant.insert(provider, covenant);

    let refused = |result: Result<(), CovenantError>| match result {
        Err(CovenantError::Refused(refusal)) => refusal.rule(),
        other => panic!("{other:?}"),
    };
    let mut long = good.clone();
    long.prevouts =
        vec![TxOut { value: Amount::ONE_SAT, script_pubkey: ScriptBuf::from_bytes(vec![0x61; 10_000]) }; 110];

    let entry = signed(&good);
    assert_eq!(refused(record.insert(&entry, &[], &unreadable)), "not-kept");
    assert_eq!(refused(record.insert(&entry, &[], &long)), "too-long");
    assert_eq!(record.list().unwrap(), []);
    record.insert(&entry, &[], &good).unwrap();
    assert_eq!(refused(record.add_release(entry.subject.stake, &entry.signatures, &unreadable)), "not-kept");
    assert_eq!(record.package(entry.subject.stake).unwrap(), Some(good));
}

#[test]
fn a_release_is_added_to_what_was_signed_and_to_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("record.sqlite");
    Record::create(&file, key(3).x_only_public_key().0).unwrap();
    let mut record = Record::open(&file).unwrap();
    let (package, mut entry) = (package(), signed(&package()));
    let stake = entry.subject.stake;
    entry.signatures.expansion = Some(Signature::from_slice(&[7; 64]).unwrap());
    let missing = record.add_release(stake, &entry.signatures, &package);
    assert!(matches!(missing, Err(CovenantError::DamagedRecord { .. })), "{missing:?}");
    record.insert(&signed(&package), &[], &package).unwrap();
    record.add_release(stake, &entry.signatures, &package).unwrap();
    assert_eq!(Record::open(&file).unwrap().list().unwrap(), [entry]);
}
