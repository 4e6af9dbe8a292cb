//! Departures in the stake, its staking transaction, and what is signed on top of it.

use bitcoin::absolute::LockTime;
use bitcoin::hashes::Hash;
use bitcoin::transaction::Version;
use bitcoin::{OutPoint, ScriptBuf, ScriptHash, Sequence, Transaction, TxOut, Witness};
use tapstake_params::StakingParams;
use tapstake_script::{Providers, RefundOutput};

use super::{Case, Row, check, rows};
use crate::world::{
    MEMBERS, Make, PROVIDERS, STAKER, blocks, coin, input, key, only_sign, params, quorum, restake, sat,
    secp, sign_again, wallet_script,
};

/// Makes the delegation under parameters that are not the member's.
fn under(case: &mut Case, change: fn(&mut StakingParams), value: u64, time: u32) {
    let mut params = params();
    change(&mut params);
    case.package = Make { params, value, time, ..Make::default() }.package();
}

fn unbonding(case: &mut Case, change: fn(&mut Transaction)) {
    change(&mut case.package.parts.unbonding_tx);
    sign_again(&mut case.package, &params());
}

fn slashing(case: &mut Case, change: fn(&mut Transaction)) {
    change(&mut case.package.parts.slashing_tx);
    only_sign(&mut case.package, &params());
}

fn unbonding_slashing(case: &mut Case, change: fn(&mut Transaction)) {
    change(&mut case.package.parts.unbonding_slashing_tx);
    only_sign(&mut case.package, &params());
}

fn staking(case: &mut Case, change: fn(&mut Transaction, &mut Vec<TxOut>)) {
    let package = &mut case.package;
    let (mut tx, mut prevouts) = (package.staking_tx.unsigned().clone(), package.prevouts.clone());
    change(&mut tx, &mut prevouts);
    restake(package, tx, prevouts, &params());
}

fn refund(staker: u32, time: u32) -> ScriptBuf {
    RefundOutput::new(&secp(), key(staker), blocks(time)).script_pubkey().clone()
}

const STAKE: &[Row] = &[
    (
        "a sat too little",
        |case| under(case, |p| p.min_staking_value = sat(49_999), 49_999, 1_000),
        "bounds",
        "49999 sat is outside 50000..=100000000 sat",
    ),
    (
        "a sat too much",
        |case| under(case, |p| p.max_staking_value = sat(100_000_001), 100_000_001, 1_000),
        "bounds",
        "100000001 sat is outside",
    ),
    (
        "a block too short",
        |case| under(case, |p| p.min_staking_time = blocks(99), 1_000_000, 99),
        "bounds",
        "99 blocks is outside 100..=64000 blocks",
    ),
    (
        "a block too long",
        |case| under(case, |p| p.max_staking_time = blocks(64_001), 1_000_000, 64_001),
        "bounds",
        "64001 blocks is outside",
    ),
    (
        "another covenant set",
        |case| under(case, |p| p.covenant = quorum(3, 1..6), 1_000_000, 1_000),
        "staking-output",
        "no output",
    ),
    (
        "a member more",
        |case| under(case, |p| p.covenant = quorum(3, 0..6), 1_000_000, 1_000),
        "staking-output",
        "no output",
    ),
    (
        "a lower quorum",
        |case| under(case, |p| p.covenant = quorum(2, 0..5), 1_000_000, 1_000),
        "staking-output",
        "no output",
    ),
    (
        "a higher quorum",
        |case| under(case, |p| p.covenant = quorum(4, 0..5), 1_000_000, 1_000),
        "staking-output",
        "no output",
    ),
    (
        "another staking time than in the script",
        |case| case.package.staking_time = blocks(1_001),
        "staking-output",
        "no output",
    ),
    (
        "another staker than in the script",
        |case| case.package.staker = key(77),
        "staking-output",
        "no output",
    ),
    (
        "other providers than in the script",
        |case| case.package.providers = Providers::one(key(PROVIDERS)),
        "staking-output",
        "no output",
    ),
    (
        "another value than in the output",
        |case| case.package.value = sat(1_000_001),
        "staking-output",
        "no output",
    ),
    (
        "another output",
        |case| case.package.vout = 1,
        "staking-output",
        "output 0, the delegation names output 1",
    ),
    (
        "two staking outputs",
        |case| {
            staking(case, |tx, prevouts| {
                tx.output.push(tx.output[0].clone());
                prevouts[0].value += tx.output[0].value;
            });
        },
        "staking-output",
        "outputs [0, 2]",
    ),
    (
        "a staker who is a provider",
        |case| case.package.staker = key(PROVIDERS),
        "duplicate-key",
        "both staker and finality provider",
    ),
    (
        "a staker who is a member",
        |case| case.package.staker = key(MEMBERS + 4),
        "duplicate-key",
        "both staker and covenant member",
    ),
    (
        "a txid that signing changes",
        |case| {
            case.package.prevouts[0].script_pubkey =
                ScriptBuf::new_p2sh(&ScriptHash::from_byte_array([3; 20]));
        },
        "txid-not-final",
        "input 0 is neither native SegWit nor has its final script_sig",
    ),
    (
        "an input without its prevout",
        |case| case.package.prevouts.clear(),
        "prevouts",
        "0 prevouts given for 1 inputs",
    ),
    (
        "one coin spent twice",
        |case| {
            staking(case, |tx, prevouts| {
                tx.input.push(tx.input[0].clone());
                prevouts.push(prevouts[0].clone());
                tx.output[1].value += prevouts[0].value;
            });
        },
        "funding",
        "input 1 spends what another input spends",
    ),
    (
        "a staking transaction that overspends",
        |case| case.package.prevouts[0].value = sat(1_049_999),
        "funding",
        "outputs of 1050000 sat, inputs of 1049999 sat",
    ),
    (
        "funding by an unbonding output of the same parties",
        |case| {
            case.package.prevouts[0].script_pubkey =
                Make::default().terms().unbonding_output(&secp()).script_pubkey().clone();
        },
        "funding-is-stake",
        "itself the Unbonding output",
    ),
    (
        "funding by a staking output of the same parties",
        |case| {
            case.package.prevouts[0].script_pubkey =
                Make { time: 100, ..Make::default() }.terms().staking_output(&secp()).script_pubkey().clone();
        },
        "funding-is-stake",
        "itself the Staking output",
    ),
];

const UNBONDING: &[Row] = &[
    (
        "unbonding fee one sat below",
        |case| unbonding(case, |tx| tx.output[0].value += sat(1)),
        "unbonding-fee",
        "output of 999001 sat instead of 999000 sat",
    ),
    (
        "unbonding fee one sat above",
        |case| unbonding(case, |tx| tx.output[0].value -= sat(1)),
        "unbonding-fee",
        "output of 998999 sat instead of 999000 sat",
    ),
    (
        "unbonding version 1",
        |case| unbonding(case, |tx| tx.version = Version::ONE),
        "unbonding-version",
        "version 1 is not 2",
    ),
    (
        "unbonding version 3",
        |case| unbonding(case, |tx| tx.version = Version(3)),
        "unbonding-version",
        "version 3 is not 2",
    ),
    (
        "replaceable unbonding",
        |case| unbonding(case, |tx| tx.input[0].sequence = Sequence(0xffff_fffd)),
        "unbonding-sequence",
        "0xfffffffd is not 0xffffffff",
    ),
    (
        "unbonding that allows a lock time",
        |case| unbonding(case, |tx| tx.input[0].sequence = Sequence(0xffff_fffe)),
        "unbonding-sequence",
        "0xfffffffe",
    ),
    (
        "unbonding lock time",
        |case| unbonding(case, |tx| tx.lock_time = LockTime::from_consensus(1)),
        "unbonding-locktime",
        "lock time 1 is not 0",
    ),
    (
        "unbonding of another output",
        |case| unbonding(case, |tx| tx.input[0].previous_output.vout = 1),
        "unbonding-outpoint",
        ":1 instead of",
    ),
    (
        "unbonding of another transaction",
        |case| unbonding(case, |tx| tx.input[0].previous_output = coin(3)),
        "unbonding-outpoint",
        "instead of",
    ),
    (
        "unbonding to another script",
        |case| unbonding(case, |tx| tx.output[0].script_pubkey = wallet_script()),
        "unbonding-output",
        "not the unbonding output",
    ),
    (
        "a shorter unbonding time",
        |case| under(case, |p| p.unbonding_time = blocks(199), 1_000_000, 1_000),
        "unbonding-output",
        "not the unbonding output",
    ),
    (
        "unbonding with a second output",
        |case| {
            unbonding(case, |tx| {
                tx.output.push(TxOut { value: sat(0), script_pubkey: ScriptBuf::new_op_return([]) });
            });
        },
        "unbonding-shape",
        "2 outputs instead of 1",
    ),
    (
        "unbonding with a second input",
        |case| unbonding(case, |tx| tx.input.push(input(coin(3)))),
        "unbonding-shape",
        "2 inputs instead of 1",
    ),
    (
        "unbonding without output",
        |case| {
            case.package.parts.unbonding_tx.output.clear();
        },
        "unbonding-shape",
        "0 outputs instead of 1",
    ),
    (
        "unbonding with a script_sig",
        |case| unbonding(case, |tx| tx.input[0].script_sig = ScriptBuf::from_bytes(vec![0x51])),
        "unbonding-shape",
        "script_sig of 1 bytes",
    ),
    (
        "unbonding with a witness",
        |case| unbonding(case, |tx| tx.input[0].witness = Witness::from_slice(&[[1]])),
        "unexpected-witness",
        "unbonding transaction carries a witness",
    ),
];

/// A row for the slashing transaction of either output.
type SlashingRow = (&'static str, fn(&mut Transaction), &'static str, &'static str);

const SLASHING: &[SlashingRow] = &[
    ("version 3", |tx| tx.version = Version(3), "slashing-version", "version 3 is not 1 or 2"),
    ("version 0", |tx| tx.version = Version(0), "slashing-version", "version 0 is not 1 or 2"),
    (
        "replaceable",
        |tx| tx.input[0].sequence = Sequence(0xffff_fffd),
        "slashing-sequence",
        "0xfffffffd is not 0xffffffff",
    ),
    (
        "lock time",
        |tx| tx.lock_time = LockTime::from_consensus(1),
        "slashing-locktime",
        "lock time 1 is not 0",
    ),
    ("one sat short of the rate", |tx| tx.output[0].value -= sat(1), "slashing-rate", " sat are due"),
    (
        "another burn script",
        |tx| tx.output[0].script_pubkey = ScriptBuf::new_op_return(b"burner"),
        "slashing-script",
        "output 0 does not pay",
    ),
    (
        "to a wallet",
        |tx| tx.output[0].script_pubkey = wallet_script(),
        "slashing-script",
        "output 0 does not pay",
    ),
    (
        "refund to another key",
        |tx| tx.output[1].script_pubkey = refund(77, 200),
        "refund-output",
        "output 1 is not the refund output",
    ),
    (
        "refund with a shorter timelock",
        |tx| tx.output[1].script_pubkey = refund(STAKER, 199),
        "refund-output",
        "output 1 is not the refund output",
    ),
    (
        "refund with a longer timelock",
        |tx| tx.output[1].script_pubkey = refund(STAKER, 201),
        "refund-output",
        "output 1 is not the refund output",
    ),
    (
        "refund to a wallet",
        |tx| tx.output[1].script_pubkey = wallet_script(),
        "refund-output",
        "output 1 is not the refund output",
    ),
    ("swapped outputs", |tx| tx.output.swap(0, 1), "slashing-script", "output 0 does not pay"),
    (
        "a third output",
        |tx| tx.output.push(TxOut { value: sat(0), script_pubkey: ScriptBuf::new_op_return([]) }),
        "slashing-shape",
        "3 outputs instead of 2",
    ),
    (
        "no refund",
        |tx| {
            tx.output.pop();
        },
        "slashing-shape",
        "1 outputs instead of 2",
    ),
    ("a second input", |tx| tx.input.push(input(coin(3))), "slashing-shape", "2 inputs instead of 1"),
    (
        "of another output",
        |tx| tx.input[0].previous_output = OutPoint { vout: 1, ..tx.input[0].previous_output },
        "slashing-outpoint",
        ":1 instead of",
    ),
    (
        "fee a sat too low",
        |tx| tx.output[1].value += sat(1_001),
        "slashing-fee",
        "fee 1999 sat is below the least of 2000 sat",
    ),
    ("more than there is", |tx| tx.output[1].value += sat(3_001), "too-small", "ask for more than"),
    ("a refund of nothing", |tx| tx.output[1].value = sat(0), "dust", "output 1 holds nothing"),
    ("a refund of dust", |tx| tx.output[1].value = sat(329), "dust", "329 sat"),
    (
        "a script_sig",
        |tx| tx.input[0].script_sig = ScriptBuf::from_bytes(vec![0x51]),
        "slashing-shape",
        "script_sig of 1 bytes",
    ),
    (
        "a witness",
        |tx| tx.input[0].witness = Witness::from_slice(&[[1]]),
        "unexpected-witness",
        "carries a witness",
    ),
    (
        "fee above the policy's",
        |tx| tx.output[1].value -= sat(17_001),
        "slashing-fee",
        "fee of 20001 sat for a slashing transaction is above the policy's 20000 sat",
    ),
];

#[test]
fn a_member_refuses_every_departure_in_the_stake_and_its_staking_transaction() {
    rows(STAKE);
}

#[test]
fn a_member_refuses_every_departure_in_the_unbonding_transaction() {
    rows(UNBONDING);
}

#[test]
fn a_member_refuses_every_departure_in_either_slashing_transaction() {
    for of in [slashing, unbonding_slashing] {
        for (row, change, rule, text) in SLASHING {
            let mut case = Case::new();
            of(&mut case, *change);
            check(row, &case, rule, text);
        }
    }
}
