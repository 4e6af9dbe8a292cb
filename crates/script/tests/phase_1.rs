//! Phase-1 stakes: the OP_RETURN, and finding the staking output. None, one and several are three answers.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

use bitcoin::absolute::LockTime;
use bitcoin::key::{Keypair, Secp256k1};
use bitcoin::secp256k1::SecretKey;
use bitcoin::transaction::Version;
use bitcoin::{Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness, XOnlyPublicKey};
use tapstake_params::{BoundsError, Height, Schedule, Timelock, Window};
use tapstake_script::{
    FindError, OpReturn, OpReturnError, Providers, Scanned, ScannedStake, StakeFault, StakeTerms,
    find_output, find_output_with_value, scan_transaction,
};

fn key(n: u8) -> XOnlyPublicKey {
    Keypair::from_secret_key(&Secp256k1::new(), &SecretKey::from_slice(&[n; 32]).unwrap())
        .x_only_public_key()
        .0
}

fn data() -> OpReturn {
    OpReturn { tag: *b"bbn1", staker: key(1), provider: key(2), staking_time: 64_000 }
}

fn terms() -> StakeTerms {
    let params = Schedule::bbn_1();
    StakeTerms::under(params.latest(), key(1), Providers::one(key(2)), Timelock::new(64_000).unwrap())
        .unwrap()
}

fn stake_output(sat: u64) -> TxOut {
    let script_pubkey = terms().staking_output(&Secp256k1::new()).script_pubkey().clone();
    TxOut { value: Amount::from_sat(sat), script_pubkey }
}

fn op_return(data: OpReturn) -> TxOut {
    TxOut { value: Amount::ZERO, script_pubkey: data.to_script() }
}

fn tx(output: Vec<TxOut>) -> Transaction {
    let previous_output = OutPoint { txid: bitcoin::hashes::Hash::all_zeros(), vout: 0 };
    let input = TxIn {
        previous_output,
        sequence: Sequence::MAX,
        script_sig: ScriptBuf::new(),
        witness: Witness::new(),
    };
    Transaction { version: Version::TWO, lock_time: LockTime::ZERO, input: vec![input], output }
}

fn scan(tx: &Transaction, height: u32) -> Option<Scanned> {
    scan_transaction(&Secp256k1::new(), tx, Height::new(height), &Schedule::bbn_1())
}

fn stake(scanned: Option<Scanned>) -> ScannedStake {
    match scanned {
        Some(Scanned::Stake(stake)) => stake,
        other => panic!("{other:?}"),
    }
}

fn fault(scanned: Option<Scanned>) -> StakeFault {
    match scanned {
        Some(Scanned::Faulty { fault, .. }) => fault,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_op_return_has_73_bytes_in_the_published_layout() {
    let script = data().to_script();
    let expected = format!("6a4762626e3100{}{}fa00", key(1), key(2));
    assert_eq!(script.to_hex_string(), expected);
    assert_eq!(OpReturn::parse(&script), Some(data()));
}

#[test]
fn each_departure_from_the_layout_is_no_op_return_of_a_stake() {
    let good = data().to_script().to_bytes();
    for (at, to) in [(0, 0x6b), (1, 0x46), (6, 1)] {
        let mut bytes = good.clone();
        bytes[at] = to;
        assert_eq!(OpReturn::parse(&ScriptBuf::from_bytes(bytes)), None, "byte {at}");
    }
    for range in [7..39, 39..71] {
        let mut bytes = good.clone();
        bytes[range].fill(0xff);
        assert_eq!(OpReturn::parse(&ScriptBuf::from_bytes(bytes)), None, "a key off the curve");
    }
    assert_eq!(OpReturn::parse(&ScriptBuf::from_bytes(good[..72].to_vec())), None);
    assert_eq!(OpReturn::parse(&ScriptBuf::from_bytes([good, vec![0]].concat())), None);
}

#[test]
fn none_one_and_several_staking_outputs_are_three_answers() {
    let script = stake_output(1).script_pubkey;
    assert_eq!(find_output(&tx(vec![op_return(data())]), &script), Err(FindError::NotFound));
    let one = tx(vec![op_return(data()), stake_output(500_000)]);
    assert_eq!(find_output(&one, &script), Ok(1));
    let two = tx(vec![stake_output(500_000), op_return(data()), stake_output(600_000)]);
    assert_eq!(find_output(&two, &script), Err(FindError::Several { vouts: vec![0, 2] }));
    assert_eq!(find_output_with_value(&two, &script, Amount::from_sat(600_000)), Ok(2));
    let absent = find_output_with_value(&two, &script, Amount::from_sat(600_001));
    assert_eq!(absent, Err(FindError::NotFound));
}

#[test]
fn a_stake_is_found_under_the_version_of_its_height() {
    let transaction = tx(vec![stake_output(5_000_001), op_return(data())]);
    let found = stake(scan(&transaction, 864_790));
    assert_eq!(found.outpoint, OutPoint { txid: transaction.compute_txid(), vout: 0 });
    assert_eq!((found.params_version, found.out_of_bounds, found.window), (1, None, Window::Within));
    assert_eq!(found.terms.parties, terms().parties);
    let found = stake(scan(&transaction, 864_789));
    assert!(matches!(found.out_of_bounds, Some(BoundsError::Value { version: 0, .. })));
    assert_eq!((found.params_version, found.window), (0, Window::Unknown));
    assert_eq!(stake(scan(&transaction, 870_000)).window, Window::Over);
    assert_eq!(scan(&transaction, 857_909), None, "no parameters, no tag, no stake");
}

#[test]
fn shapes_are_counted_before_tags_are_read() {
    let foreign = OpReturn { tag: *b"xxxx", ..data() };
    let transaction = tx(vec![stake_output(500_000), op_return(data()), op_return(foreign)]);
    assert_eq!(fault(scan(&transaction, 860_000)), StakeFault::OpReturn(OpReturnError::Several { count: 2 }));
    assert_eq!(scan(&tx(vec![stake_output(500_000), op_return(foreign)]), 860_000), None);
}

#[test]
fn a_tagged_transaction_that_locks_nothing_is_named_with_its_fault() {
    let only_data = tx(vec![op_return(data())]);
    assert_eq!(fault(scan(&only_data, 860_000)), StakeFault::Output(FindError::NotFound));
    let twice = tx(vec![stake_output(500_000), stake_output(500_000), op_return(data())]);
    assert!(matches!(fault(scan(&twice, 860_000)), StakeFault::Output(FindError::Several { .. })));
    let no_time = OpReturn { staking_time: 0, ..data() };
    assert!(matches!(fault(scan(&tx(vec![op_return(no_time)]), 860_000)), StakeFault::Timelock(_)));
    let same = OpReturn { provider: key(1), ..data() };
    assert!(matches!(fault(scan(&tx(vec![op_return(same)]), 860_000)), StakeFault::Terms(_)));
}

#[test]
fn a_coinbase_is_no_stake() {
    let mut coinbase = tx(vec![stake_output(500_000), op_return(data())]);
    coinbase.input[0].previous_output = OutPoint::null();
    assert_eq!(scan(&coinbase, 860_000), None);
}
