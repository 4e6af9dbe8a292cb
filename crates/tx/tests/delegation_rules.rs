//! Rule 15 and the possession of rule 16: each departure of a delegation, and the one error that names it.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

mod common;

use bitcoin::absolute::LockTime;
use bitcoin::hashes::Hash;
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, Network, OutPoint, ScriptBuf, Sequence, Transaction, TxOut, Txid, WScriptHash, Witness,
};
use common::delegation::{
    FEE, VALUE, default_world, p2wpkh, some_witness, staking_tx, terms_under, verified,
};
use common::{World, key, keypair, world};
use proptest::prelude::*;
use tapstake_crypto::pop::{Account, ProofOfPossession};
use tapstake_params::{Quorum, Slashing, StakingParams, Timelock};
use tapstake_script::{Providers, StakeTerms};
use tapstake_tx::delegation::{
    CheckedDelegation, Delegation, DelegationError, DelegationPackage, SignatureCheck, SignedTx, StakingTx,
};
use tapstake_tx::{Stake, StakingError};

const ONE: Amount = Amount::from_sat(1);

/// Breaks a verified package in one place.
fn refused(world: &World, break_it: impl Fn(&mut DelegationPackage)) -> DelegationError {
    let mut package = world.verified().package();
    break_it(&mut package);
    world.check(&package).expect_err("a broken rule")
}

fn rule(world: &World, break_it: impl Fn(&mut DelegationPackage)) -> &'static str {
    refused(world, break_it).rule()
}

#[test]
fn each_departure_of_the_unbonding_transaction_is_refused_by_name() {
    let world = default_world();
    let unbonding = |break_it: &dyn Fn(&mut Transaction)| {
        rule(&world, |package| break_it(&mut package.parts.unbonding_tx))
    };
    assert_eq!(unbonding(&|tx| tx.output[0].value += ONE), "unbonding-fee");
    assert_eq!(unbonding(&|tx| tx.output[0].value -= ONE), "unbonding-fee");
    for version in [0, 1, 3, -2] {
        assert_eq!(unbonding(&|tx| tx.version = Version(version)), "unbonding-version");
    }
    assert_eq!(
        unbonding(&|tx| tx.input[0].sequence = Sequence::ENABLE_RBF_NO_LOCKTIME),
        "unbonding-sequence"
    );
    assert_eq!(unbonding(&|tx| tx.input[0].sequence = Sequence(0xffff_fffe)), "unbonding-sequence");
    assert_eq!(unbonding(&|tx| tx.lock_time = LockTime::from_consensus(1)), "unbonding-locktime");
    assert_eq!(unbonding(&|tx| tx.input[0].previous_output.vout ^= 1), "unbonding-outpoint");
    assert_eq!(unbonding(&|tx| tx.output[0].script_pubkey = p2wpkh(1)), "unbonding-output");
    assert_eq!(unbonding(&|tx| tx.output.push(tx.output[0].clone())), "unbonding-shape");
    assert_eq!(unbonding(&|tx| tx.input.push(tx.input[0].clone())), "unbonding-shape");
    assert_eq!(unbonding(&|tx| tx.input.clear()), "unbonding-shape");
    assert_eq!(
        unbonding(&|tx| tx.input[0].script_sig = ScriptBuf::from_bytes(vec![0x51])),
        "unbonding-shape"
    );
    assert_eq!(unbonding(&|tx| tx.input[0].witness = some_witness()), "unexpected-witness");
}

#[test]
fn each_departure_of_either_slashing_transaction_is_refused_by_name() {
    let world = default_world();
    for late in [false, true] {
        let slashing = |break_it: &dyn Fn(&mut Transaction)| {
            let error = refused(&world, |package| {
                let parts = &mut package.parts;
                break_it(if late { &mut parts.unbonding_slashing_tx } else { &mut parts.slashing_tx });
            });
            if let DelegationError::Slashing { tx, .. } = error {
                assert_eq!(tx == SignedTx::UnbondingSlashing, late, "{error}");
            }
            error.rule()
        };
        // One sat less slashed, and more to the staker.
        assert_eq!(slashing(&|tx| tx.output[0].value -= ONE), "slashing-rate");
        assert_eq!(slashing(&|tx| tx.output[0].script_pubkey = p2wpkh(1)), "slashing-script");
        assert_eq!(slashing(&|tx| tx.output[1].script_pubkey = p2wpkh(1)), "refund-output");
        // A shorter timelock, another staker.
        let terms = world.stake.terms();
        let short = StakeTerms { unbonding_time: Timelock::new(199).unwrap(), ..terms.clone() };
        let refund = short.refund_output(&world.secp).script_pubkey().clone();
        assert_eq!(slashing(&|tx| tx.output[1].script_pubkey = refund.clone()), "refund-output");
        let other = tapstake_script::RefundOutput::new(&world.secp, key(&keypair(60)), terms.unbonding_time);
        let refund = other.script_pubkey().clone();
        assert_eq!(slashing(&|tx| tx.output[1].script_pubkey = refund.clone()), "refund-output");
        // The least fee is 2,000 sat, this one pays 3,000.
        assert_eq!(slashing(&|tx| tx.output[1].value += Amount::from_sat(1_001)), "slashing-fee");
        assert_eq!(slashing(&|tx| tx.output[1].value += Amount::from_sat(3_001)), "too-small");
        assert_eq!(slashing(&|tx| tx.output[1].value = Amount::from_sat(329)), "dust");
        assert_eq!(slashing(&|tx| tx.output[1].value = Amount::ZERO), "dust");
        assert_eq!(slashing(&|tx| tx.version = Version(3)), "slashing-version");
        assert_eq!(slashing(&|tx| tx.input[0].sequence = Sequence::ZERO), "slashing-sequence");
        assert_eq!(slashing(&|tx| tx.lock_time = LockTime::from_consensus(1)), "slashing-locktime");
        assert_eq!(slashing(&|tx| tx.input[0].previous_output.vout ^= 1), "slashing-outpoint");
        assert_eq!(
            slashing(&|tx| {
                tx.output.pop();
            }),
            "slashing-shape"
        );
        assert_eq!(slashing(&|tx| tx.output.swap(0, 1)), "slashing-script");
        assert_eq!(slashing(&|tx| tx.input[0].witness = some_witness()), "unexpected-witness");
        // Version 1 is in order as such, but it is not what was signed.
        assert_eq!(slashing(&|tx| tx.version = Version::ONE), "staker-signature");
    }
    // The two may not stand in each other's place.
    let swapped = rule(&world, |package| {
        let parts = &mut package.parts;
        std::mem::swap(&mut parts.slashing_tx, &mut parts.unbonding_slashing_tx);
    });
    assert_eq!(swapped, "slashing-outpoint");
}

#[test]
fn each_signature_is_verified_by_name() {
    let world = default_world();
    let member = key(&world.covenant[1]);
    let provider = key(&world.providers[1]);
    let foreign = |package: &DelegationPackage| package.parts.covenant[&key(&world.covenant[0])].clone();

    let bad = refused(&world, |package| {
        let other = package.parts.staker.unwrap().unbonding_slashing;
        package.parts.staker.as_mut().unwrap().slashing = other;
    });
    assert_eq!(bad, DelegationError::StakerSignature { tx: SignedTx::Slashing });
    let bad = refused(&world, |package| {
        let other = package.parts.staker.unwrap().slashing;
        package.parts.staker.as_mut().unwrap().unbonding_slashing = other;
    });
    assert_eq!(bad, DelegationError::StakerSignature { tx: SignedTx::UnbondingSlashing });
    assert_eq!(refused(&world, |package| package.parts.staker = None), DelegationError::StakerMissing);
    assert_eq!(
        refused(&world, |package| package.parts.possession = None),
        DelegationError::PossessionMissing
    );
    let nobody = refused(&world, |package| {
        (package.parts.staker, package.parts.possession) = (None, None);
    });
    assert_eq!(nobody, DelegationError::StakerMissing);

    let bad = refused(&world, |package| {
        let other = foreign(package);
        package.parts.covenant.get_mut(&member).unwrap().unbonding = other.unbonding;
    });
    assert_eq!(bad, DelegationError::CovenantSignature { member, tx: SignedTx::Unbonding });
    for tx in [SignedTx::Slashing, SignedTx::UnbondingSlashing] {
        let signatures = |package: &mut DelegationPackage, change: &dyn Fn(&mut Vec<_>)| {
            let own = package.parts.covenant.get_mut(&member).unwrap();
            change(if tx == SignedTx::Slashing { &mut own.slashing } else { &mut own.unbonding_slashing });
        };
        let bad = refused(&world, |package| {
            let other = foreign(package);
            signatures(package, &|own| own[1] = other.slashing[1]);
        });
        assert_eq!(bad, DelegationError::AdaptorSignature { member, tx, provider: Box::new(provider) });
        // Encrypted to the other provider's key each.
        let bad = refused(&world, |package| signatures(package, &|own| own.swap(0, 1)));
        let first = key(&world.providers[0]);
        assert_eq!(bad, DelegationError::AdaptorSignature { member, tx, provider: Box::new(first) });
        let few = refused(&world, |package| {
            signatures(package, &|own| {
                own.pop();
            });
        });
        assert_eq!(few, DelegationError::AdaptorCount { member, tx, given: 1, providers: 2 });
        let many = refused(&world, |package| signatures(package, &|own| own.push(own[0])));
        assert_eq!(many, DelegationError::AdaptorCount { member, tx, given: 3, providers: 2 });
    }
    let bad = refused(&world, |package| {
        let own = package.parts.covenant.get_mut(&member).unwrap();
        std::mem::swap(&mut own.slashing, &mut own.unbonding_slashing);
    });
    assert_eq!(bad.rule(), "covenant-signature");
}

#[test]
fn a_wrong_signature_is_refused_even_where_a_quorum_of_others_is_right() {
    let world = default_world();
    let mut package = world.signed_by(5);
    let (first, last) = (key(&world.covenant[0]), key(&world.covenant[4]));
    let other = package.parts.covenant[&first].unbonding;
    package.parts.covenant.get_mut(&last).unwrap().unbonding = other;
    let bad = DelegationError::CovenantSignature { member: last, tx: SignedTx::Unbonding };
    assert_eq!(world.check(&package).unwrap_err(), bad);
    let stake = world.draft().stake().clone();
    assert_eq!(package.parts.check(&world.secp, &world.params, &stake).unwrap_err(), bad);
}

#[test]
fn somebody_who_is_no_member_is_refused_whatever_he_signs() {
    let world = default_world();
    let stranger = keypair(70);
    let given = world.pre_signed().covenant_signatures(&world.secp, &stranger, &[0; 32]);
    let unknown = DelegationError::UnknownMember { member: key(&stranger), tx: SignedTx::Unbonding };
    let refusal = refused(&world, |package| {
        package.parts.covenant.insert(key(&stranger), given.clone());
    });
    assert_eq!(refusal, unknown);
    assert_eq!(world.pre_signed().add(&world.secp, key(&stranger), given.clone()), Err(unknown));
    // A member's name on a stranger's signatures.
    let member = key(&world.covenant[0]);
    let bad = DelegationError::CovenantSignature { member, tx: SignedTx::Unbonding };
    assert_eq!(world.pre_signed().add(&world.secp, member, given), Err(bad));
}

#[test]
fn possession_is_proven_by_the_stakers_key_alone() {
    let world = default_world();
    let account = || Account::text("an account").unwrap();
    let own = [
        ProofOfPossession::bip340(&world.secp, &world.staker, account(), None, &[0; 32]),
        ProofOfPossession::bip322_p2tr(&world.secp, &world.staker, account(), None, &[0; 32]),
        ProofOfPossession::bip322_p2wpkh(&world.secp, &world.staker, account(), None),
        ProofOfPossession::bip137(&world.secp, &world.staker, account(), None),
    ];
    for proof in own {
        let mut package = world.verified().package();
        package.parts.possession = Some(proof);
        verified(world.check(&package).unwrap());
    }
    let other = ProofOfPossession::bip340(&world.secp, &keypair(70), account(), None, &[0; 32]);
    let refusal = refused(&world, |package| package.parts.possession = Some(other.clone()));
    assert!(matches!(refusal, DelegationError::Possession(_)));
    assert_eq!(refusal.rule(), "possession");
    let refusal = world.draft().sign(&world.secp, &world.staker, &[0; 32], other);
    assert_eq!(refusal.unwrap_err().rule(), "possession");
}

#[test]
fn what_the_staker_signs_is_signed_by_the_staker() {
    let world = default_world();
    let expected = key(&world.staker);
    let refusal = world.draft().sign(&world.secp, &keypair(70), &[0; 32], world.possession());
    assert_eq!(refusal, Err(DelegationError::OtherStaker { expected }));
    let mut signatures = world.pre_signed().package().parts.staker.unwrap();
    std::mem::swap(&mut signatures.slashing, &mut signatures.unbonding_slashing);
    let refusal = world.draft().pre_sign(&world.secp, signatures, world.possession());
    assert_eq!(refusal, Err(DelegationError::StakerSignature { tx: SignedTx::Slashing }));
}

#[test]
fn claims_that_do_not_fit_the_staking_transaction_are_refused_by_name() {
    let world = default_world();
    assert_eq!(rule(&world, |package| package.vout = 0), "staking-output");
    assert_eq!(rule(&world, |package| package.value += ONE), "staking-output");
    assert_eq!(
        rule(&world, |package| package.staking_time = Timelock::new(1_001).unwrap()),
        "staking-output"
    );
    assert_eq!(rule(&world, |package| package.staker = key(&keypair(70))), "staking-output");
    assert_eq!(
        rule(&world, |package| package.providers = Providers::one(key(&keypair(70)))),
        "staking-output"
    );
    assert_eq!(rule(&world, |package| package.staker = key(&world.providers[0])), "duplicate-key");
    assert_eq!(rule(&world, |package| package.staker = key(&world.covenant[0])), "duplicate-key");
    assert_eq!(rule(&world, |package| package.params_version = 4), "params-version");
    assert_eq!(rule(&world, |package| package.network = Network::Signet), "network");
}

#[test]
fn a_staking_transaction_that_nothing_can_be_signed_on_is_refused_by_name() {
    let world = default_world();
    let staking = |change: &dyn Fn(&mut Transaction, &mut Vec<TxOut>)| {
        rule(&world, |package| {
            let mut tx = package.staking_tx.unsigned().clone();
            change(&mut tx, &mut package.prevouts);
            package.staking_tx = StakingTx::from(tx);
        })
    };
    // Another txid alone voids what is signed on top.
    assert_eq!(staking(&|tx, _| tx.version = Version::ONE), "unbonding-outpoint");
    assert_eq!(staking(&|tx, _| tx.output.push(tx.output[1].clone())), "staking-output");
    assert_eq!(staking(&|tx, _| tx.input.clear()), "funding");
    assert_eq!(
        staking(&|tx, _| tx.input[0].previous_output = OutPoint::null()),
        "funding",
        "a coinbase is no stake"
    );
    assert_eq!(
        staking(&|tx, prevouts| {
            tx.input.push(tx.input[0].clone());
            prevouts.push(prevouts[0].clone());
        }),
        "funding"
    );
    assert_eq!(
        staking(&|_, prevouts| {
            prevouts.pop();
        }),
        "prevouts"
    );
    assert_eq!(staking(&|_, prevouts| prevouts.push(prevouts[0].clone())), "prevouts");
    assert_eq!(staking(&|_, prevouts| prevouts[0].value = VALUE), "funding");
    let legacy = ScriptBuf::from_hex(&format!("76a914{}88ac", "11".repeat(20))).unwrap();
    assert_eq!(staking(&|_, prevouts| prevouts[0].script_pubkey = legacy.clone()), "txid-not-final");
    let heavy = TxOut { value: ONE, script_pubkey: ScriptBuf::from_bytes(vec![0x6a; 100_000]) };
    assert_eq!(staking(&|tx, _| tx.output.push(heavy.clone())), "weight");
}

#[test]
fn a_stake_funded_by_its_own_kind_is_refused() {
    let world = default_world();
    let terms = terms_under(&world, &world.params);
    let scripts = [
        terms.staking_output(&world.secp).script_pubkey().clone(),
        terms.unbonding_output(&world.secp).script_pubkey().clone(),
    ];
    for script_pubkey in scripts {
        let refusal = rule(&world, |package| package.prevouts[0].script_pubkey = script_pubkey.clone());
        assert_eq!(refusal, "funding-is-stake");
    }
}

/// Drafts under other parameters, by the road of the staker.
fn built(world: &World, params: &StakingParams, value: Amount) -> Result<DelegationPackage, DelegationError> {
    let (tx, prevouts) = staking_tx(world.stake.terms(), value);
    let (network, terms) = (Network::Regtest, world.stake.terms().clone());
    let built = Delegation::build(&world.secp, network, params, terms, tx, &prevouts, value, FEE);
    built.map(|draft| draft.package())
}

#[test]
fn each_departure_from_the_parameters_is_refused_by_name() {
    let world = default_world();
    let params = &world.params;
    let rule = |params: &StakingParams, value| built(&world, params, value).unwrap_err().rule();
    assert_eq!(built(&world, params, VALUE), Ok(world.draft().package()));

    let small = Amount::from_sat(9_999);
    assert_eq!(rule(params, small), "bounds");
    let large = params.max_staking_value + ONE;
    assert_eq!(rule(params, large), "bounds");
    let long = StakingParams { min_staking_time: Timelock::new(1_001).unwrap(), ..params.clone() };
    assert_eq!(rule(&long, VALUE), "bounds");
    let short = StakingParams { max_staking_time: Timelock::new(999).unwrap(), ..params.clone() };
    assert_eq!(rule(&short, VALUE), "bounds");

    // Another committee, and the same with another quorum.
    let keys = |from: usize| world.covenant[from..].iter().map(key).collect::<Vec<_>>();
    let fewer = StakingParams { covenant: Quorum::new(3, keys(1)).unwrap(), ..params.clone() };
    assert_eq!(rule(&fewer, VALUE), "committee");
    let quorum = StakingParams { covenant: Quorum::new(4, keys(0)).unwrap(), ..params.clone() };
    assert_eq!(rule(&quorum, VALUE), "committee");
    let longer = StakingParams { unbonding_time: Timelock::new(201).unwrap(), ..params.clone() };
    assert_eq!(rule(&longer, VALUE), "unbonding-time");
    assert_eq!(rule(&StakingParams { slashing: None, ..params.clone() }, VALUE), "params-version");
    let dear = Slashing { min_fee: FEE + ONE, ..world.slashing().clone() };
    let dear = StakingParams { slashing: Some(dear), ..params.clone() };
    assert_eq!(rule(&dear, VALUE), "slashing-fee");
}

#[test]
fn the_committee_judges_by_its_own_parameters() {
    let world = default_world();
    let package = world.verified().package();
    let under = |change: &dyn Fn(&mut StakingParams)| {
        let mut params = world.params.clone();
        change(&mut params);
        let schedule = tapstake_params::Schedule::new(Network::Regtest, vec![params]).unwrap();
        package.check(&world.secp, &schedule).map(|_| ()).map_err(|error| error.rule())
    };
    assert_eq!(under(&|_| {}), Ok(()));
    assert_eq!(under(&|params| params.unbonding_fee += ONE), Err("unbonding-fee"));
    let rate = tapstake_params::SlashingRate::from_ten_thousandths(1_001).unwrap();
    assert_eq!(under(&|params| params.slashing.as_mut().unwrap().rate = rate), Err("slashing-rate"));
    assert_eq!(
        under(&|params| params.slashing.as_mut().unwrap().pk_script = ScriptBuf::new_op_return(b"else")),
        Err("slashing-script")
    );
    assert_eq!(under(&|params| params.slashing.as_mut().unwrap().min_fee = FEE + ONE), Err("slashing-fee"));
    // The staking output hangs on the committee, the unbonding output and the refund on the unbonding time.
    assert_eq!(under(&|params| params.unbonding_time = Timelock::new(201).unwrap()), Err("unbonding-output"));
    let keys: Vec<_> = world.covenant[1..].iter().map(key).collect();
    assert_eq!(
        under(&|params| params.covenant = Quorum::new(3, keys.clone()).unwrap()),
        Err("staking-output")
    );
    assert_eq!(under(&|params| params.max_staking_value = VALUE - ONE), Err("bounds"));
    assert_eq!(under(&|params| params.slashing = None), Err("params-version"));
}

#[test]
fn parts_are_judged_against_the_stake_they_are_given_for() {
    let world = default_world();
    let delegation = world.verified();
    let (parts, stake) = (delegation.parts(), delegation.stake());
    let proven = parts.check(&world.secp, &world.params, stake).unwrap();
    assert_eq!(proven, delegation.verified_parts());
    assert_eq!(proven.signed_by().count(), 3);

    let elsewhere = OutPoint { txid: Txid::from_byte_array([3; 32]), vout: 0 };
    let other = Stake::new(&world.secp, stake.terms().clone(), elsewhere, VALUE);
    assert_eq!(parts.check(&world.secp, &world.params, &other).unwrap_err().rule(), "unbonding-outpoint");
    let keys: Vec<_> = world.covenant[1..].iter().map(key).collect();
    let covenant = Quorum::new(3, keys).unwrap();
    let params = StakingParams { covenant, ..world.params.clone() };
    assert_eq!(parts.check(&world.secp, &params, stake).unwrap_err().rule(), "committee");
}

#[test]
fn tokens_prove_the_very_signatures_they_were_made_for() {
    let world = default_world();
    let package = world.verified().package();
    let (one, two) = (world.schedule(), world.schedule());
    let prepared = || package.prepare(&world.secp, &one).unwrap();
    let verify = |checks: &[SignatureCheck<'_>]| checks.len();
    // The proof of possession, two of the staker, and five of each of three members.
    assert_eq!(verify(prepared().checks()), 3 + 3 * 5);

    let first = prepared();
    let tokens: Vec<_> = first.checks().iter().map(|check| check.verify(&world.secp).unwrap()).collect();
    let refused = |tokens: Vec<_>, position| {
        let refusal = prepared().accept(tokens).unwrap_err();
        assert_eq!(refusal, DelegationError::Unproven { position });
    };
    refused(vec![], 0);
    refused(tokens[..17].to_vec(), 17);
    refused(tokens.iter().chain(&tokens[..1]).copied().collect(), 18);
    let mut swapped = tokens.clone();
    swapped.swap(4, 5);
    refused(swapped, 4);
    refused(vec![tokens[0]; 18], 1);

    // Tokens of another delegation, otherwise alike.
    let other = common::world_with(2, (3, 5), 1_000_000, 1_001);
    let foreign_package = other.verified().package();
    let foreign_schedule = other.schedule();
    let foreign = foreign_package.prepare(&other.secp, &foreign_schedule).unwrap();
    let foreign: Vec<_> = foreign.checks().iter().map(|check| check.verify(&other.secp).unwrap()).collect();
    // Possession, and the slashing of the staking output, are the same; what comes after another unbonding is not.
    refused(foreign, 2);

    assert!(matches!(first.accept(tokens.clone()), Ok(CheckedDelegation::Verified(_))));
    // Equal statements about equal bytes are the same statement.
    let again = package.clone();
    let prepared = again.prepare(&world.secp, &two).unwrap();
    assert!(matches!(prepared.accept(tokens), Ok(CheckedDelegation::Verified(_))));
}

#[test]
fn several_threads_come_to_the_same_verdict() {
    let world = world(5, (6, 9));
    let package = world.signed_by(9);
    let schedule = world.schedule();
    let prepared = package.prepare(&world.secp, &schedule).unwrap();
    let chunk = prepared.checks().len().div_ceil(2);
    let tokens = std::thread::scope(|scope| {
        let halves: Vec<_> = prepared
            .checks()
            .chunks(chunk)
            .map(|half| {
                let secp = &world.secp;
                scope.spawn(move || half.iter().map(|check| check.verify(secp).unwrap()).collect::<Vec<_>>())
            })
            .collect();
        halves.into_iter().flat_map(|half| half.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(tokens.len(), 3 + 9 * 11);
    assert_eq!(prepared.accept(tokens), world.check(&package));
}

#[test]
fn the_staking_transaction_is_handed_out_once_every_input_is_signed() {
    let world = default_world();
    let whole = world.verified();
    let mut package = whole.package().without_witnesses();
    let unsigned = verified(world.check(&package).unwrap());
    assert_eq!(unsigned.staking_tx(), Err(DelegationError::NotSigned { input: 0 }));
    assert_eq!(unsigned.staking_txid(), whole.staking_txid());
    assert_eq!(unsigned.unsigned_staking_tx().input[0].witness, Witness::new());

    // The wallet signs after the quorum.
    let mut signed = unsigned.unsigned_staking_tx().clone();
    signed.input[0].witness = some_witness();
    assert_eq!(unsigned.clone().fund(&signed).unwrap(), whole);
    signed.output[0].value -= ONE;
    assert_eq!(unsigned.fund(&signed).unwrap_err().rule(), "staking-signature");

    // A wrapped input needs a witness beside its final script_sig. One that is signed in its script_sig gets no further than
    // here: whoever mines it could give it another txid.
    let program = [&[0u8, 0x14][..], &[7; 20]].concat();
    let wrapped = ScriptBuf::from_bytes([&[0x16][..], &program].concat());
    let p2sh = ScriptBuf::from_bytes(program).to_p2sh();
    let p2wsh = ScriptBuf::new_p2wsh(&WScriptHash::from_byte_array([1; 32]));
    let legacy = ScriptBuf::from_hex(&format!("76a914{}88ac", "11".repeat(20))).unwrap();
    let some_script_sig = ScriptBuf::from_bytes(vec![0x51; 100]);
    for (prevout, script_sig, is_final) in [
        (p2sh.clone(), wrapped, true),
        (p2sh, some_script_sig.clone(), false),
        (legacy, some_script_sig, false),
        (p2wsh, ScriptBuf::new(), true),
    ] {
        let (mut tx, mut prevouts) = staking_tx(world.stake.terms(), VALUE);
        tx.input[0].witness.clear();
        tx.input[0].script_sig = script_sig;
        prevouts[0].script_pubkey = prevout;
        let terms = world.stake.terms().clone();
        let params = &world.params;
        let draft =
            Delegation::build(&world.secp, Network::Regtest, params, terms, tx, &prevouts, VALUE, FEE);
        if !is_final {
            assert_eq!(draft, Err(DelegationError::Staking(StakingError::TxidNotFinal { input: 0 })));
            continue;
        }
        let signed = draft.unwrap().sign(&world.secp, &world.staker, &[0; 32], world.possession()).unwrap();
        package = signed.package();
        for member in &world.covenant[..3] {
            let given = signed.covenant_signatures(&world.secp, member, &[0; 32]);
            package.parts.covenant.insert(key(member), given);
        }
        let done = verified(world.check(&package).unwrap());
        assert_eq!(done.staking_tx(), Err(DelegationError::NotSigned { input: 0 }));
    }
}

#[test]
fn the_staking_fee_is_none_where_the_prevouts_add_up_to_no_amount() {
    let world = default_world();
    let fee = |values: [u64; 2]| {
        let (mut tx, mut prevouts) = staking_tx(world.stake.terms(), VALUE);
        let mut input = tx.input[0].clone();
        input.previous_output.vout += 1;
        tx.input.push(input);
        prevouts.push(prevouts[0].clone());
        for (prevout, value) in prevouts.iter_mut().zip(values) {
            prevout.value = Amount::from_sat(value);
        }
        let (terms, params) = (world.stake.terms().clone(), &world.params);
        let draft =
            Delegation::build(&world.secp, Network::Regtest, params, terms, tx, &prevouts, VALUE, FEE);
        draft.unwrap().staking_fee()
    };
    // A million staked, 40,000 of change.
    assert_eq!(fee([1_000_000, 41_000]), Some(Amount::from_sat(1_000)));
    assert_eq!(fee([u64::MAX - 1, 1]), Some(Amount::from_sat(u64::MAX - 1_040_000)));
    assert_eq!(fee([u64::MAX, 1]), None);
}

#[test]
fn a_txid_that_signing_would_change_is_refused_when_building() {
    let world = default_world();
    let (tx, mut prevouts) = staking_tx(world.stake.terms(), VALUE);
    prevouts[0].script_pubkey = ScriptBuf::from_hex(&format!("a914{}87", "11".repeat(20))).unwrap();
    let terms = world.stake.terms().clone();
    let params = &world.params;
    let refusal = Delegation::build(&world.secp, Network::Regtest, params, terms, tx, &prevouts, VALUE, FEE);
    assert_eq!(refusal, Err(DelegationError::Staking(StakingError::TxidNotFinal { input: 0 })));
}

fn any_amount() -> impl Strategy<Value = Amount> {
    let near = |at: u64| (0..3u64).prop_map(move |more| at.saturating_add(more).saturating_sub(1));
    let sat =
        prop_oneof![near(0), near(546), near(Amount::MAX_MONEY.to_sat()), near(u64::MAX / 2), near(u64::MAX)];
    sat.prop_map(Amount::from_sat)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_amount_anywhere_is_judged_and_no_sum_of_them_overflows(place in 0usize..8, amount in any_amount()) {
        let world = default_world();
        let mut package = world.verified().package();
        let mut tx = package.staking_tx.unsigned().clone();
        match place {
            0 => package.value = amount,
            1 => package.parts.unbonding_tx.output[0].value = amount,
            2 | 3 => package.parts.slashing_tx.output[place - 2].value = amount,
            4 | 5 => package.parts.unbonding_slashing_tx.output[place - 4].value = amount,
            6 => tx.output[0].value = amount,
            _ => package.prevouts[0].value = amount,
        }
        package.staking_tx = StakingTx::from(tx.clone());
        // Nothing in the file is signed over what a prevout holds.
        let spent = tx.output.iter().fold(0, |sum: u64, output| sum.saturating_add(output.value.to_sat()));
        let covered = place == 7 && amount.to_sat() >= spent;
        prop_assert_eq!(world.check(&package).is_ok(), covered);

        // Made of the same amounts anew.
        let (terms, fee) = (world.stake.terms().clone(), if place == 0 { amount } else { FEE });
        let (params, prevouts) = (&world.params, &package.prevouts);
        if let Ok(draft) =
            Delegation::build(&world.secp, Network::Regtest, params, terms, tx, prevouts, VALUE, fee)
        {
            prop_assert_eq!(draft.staking_fee().map(Amount::to_sat), prevouts[0].value.to_sat().checked_sub(spent));
            prop_assert_eq!(draft.presigned_fee_rates().slashing.fee, fee);
        }
    }
}
