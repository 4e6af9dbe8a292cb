//! Expansions: a live stake moved into a larger or longer one, and every way that is none.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

mod common;

use bitcoin::key::{Keypair, TapTweak};
use bitcoin::sighash::{Prevouts, SighashCache, TapSighashType};
use bitcoin::{Amount, Network, OutPoint, ScriptBuf, TapNodeHash, Transaction, TxOut, Witness};
use common::delegation::{FEE, VALUE, add_all, expansion, p2wpkh, terms_under, verified};
use common::{COMMITTEES, World, consensus, key, keypair, outpoint, world};
use tapstake_params::{Height, Quorum, Schedule, StakingParams, Timelock};
use tapstake_script::{Providers, StakeTerms};
use tapstake_tx::delegation::{
    CheckedDelegation, CovenantProgress, Delegation, DelegationError, Draft, SignedTx, Verified,
};
use tapstake_tx::inspect::{Kind, OutputKind};
use tapstake_tx::{
    ExpansionError, ExpansionTx, Funding, Signatures, Stake, StakingError, WitnessError, inspect,
};

const LARGER: Amount = Amount::from_sat(1_500_000);

/// A wallet's key, whose output funds the expansion by its key path.
fn wallet() -> Keypair {
    keypair(9_000)
}

fn funding(world: &World, sat: u64) -> Funding {
    let script_pubkey = ScriptBuf::new_p2tr(&world.secp, key(&wallet()), None);
    Funding {
        outpoint: OutPoint { vout: 1, ..outpoint(8) },
        prevout: TxOut { value: Amount::from_sat(sat), script_pubkey },
        change: vec![TxOut { value: Amount::from_sat(50_000), script_pubkey: p2wpkh(5) }],
    }
}

/// The next version of the parameters: one member of the committee replaced, another unbonding time.
fn next(world: &World) -> StakingParams {
    let mut keys: Vec<_> = world.covenant.iter().map(key).collect();
    if keys.len() > world.params.covenant.threshold() {
        keys[0] = key(&keypair(3_000));
    }
    StakingParams {
        version: 4,
        activation_height: Height::new(1_000),
        covenant: Quorum::new(world.params.covenant.threshold(), keys).unwrap(),
        unbonding_time: Timelock::new(300).unwrap(),
        ..world.params.clone()
    }
}

fn new_committee(world: &World) -> Vec<Keypair> {
    let all = world.covenant.iter().copied().chain([keypair(3_000)]);
    let next = next(world);
    all.filter(|member| next.covenant.contains(&key(member))).collect()
}

fn schedule(world: &World) -> Schedule {
    Schedule::new(Network::Regtest, vec![world.params.clone(), next(world)]).unwrap()
}

fn built(world: &World) -> ExpansionTx {
    let terms = terms_under(world, &next(world));
    ExpansionTx::build(&world.secp, &world.stake, terms, LARGER, funding(world, 555_000)).unwrap()
}

fn wallet_witness(world: &World, tx: &Transaction, prevouts: &[TxOut]) -> Witness {
    let mut cache = SighashCache::new(tx);
    let digest =
        cache.taproot_key_spend_signature_hash(1, &Prevouts::All(prevouts), TapSighashType::Default).unwrap();
    let tweaked = wallet().tap_tweak(&world.secp, None::<TapNodeHash>).to_keypair();
    let signature = world.secp.sign_schnorr_no_aux_rand(&digest.into(), &tweaked);
    Witness::from_slice(&[signature.as_ref()])
}

fn draft(world: &World) -> Delegation<Draft> {
    let (secp, params) = (&world.secp, &world.params);
    Delegation::expand(secp, Network::Regtest, &next(world), &world.stake, params, &built(world), FEE)
        .unwrap()
}

/// Every signature there can be, of all members of both committees.
fn signed_by_all(world: &World) -> Delegation<Verified> {
    let (secp, aux) = (&world.secp, &[0; 32]);
    let signed = draft(world).sign(secp, &world.staker, aux, world.possession()).unwrap();
    let mut package = signed.package();
    for member in new_committee(world) {
        let given = signed.covenant_signatures(secp, &member, aux);
        package.parts.covenant.insert(key(&member), given);
    }
    let part = package.expansion.as_mut().unwrap();
    for member in &world.covenant {
        part.covenant.insert(key(member), signed.expansion_signature(secp, member, aux).unwrap());
    }
    verified(package.check(secp, &schedule(world)).unwrap())
}

#[test]
fn consensus_takes_an_expansion_of_every_committee_with_exactly_the_old_quorum() {
    for committee in COMMITTEES {
        let world = world(2, committee);
        let delegation = signed_by_all(&world);
        assert_eq!(delegation.staking_tx(), Err(DelegationError::NotSigned { input: 1 }));
        let mut signed = delegation.unsigned_staking_tx().clone();
        signed.input[1].witness = wallet_witness(&world, &signed, delegation.prevouts());
        let tx = delegation.clone().fund(&signed).unwrap().staking_tx().unwrap();
        assert_eq!(consensus(&tx, delegation.prevouts()), Ok(()));
        assert_eq!(tx.compute_txid(), delegation.staking_txid());
        assert_eq!(tx.input[0].witness.iter().filter(|item| item.len() == 64).count(), 1 + committee.0);
        assert_eq!(inspect(&world.secp, &tx, Network::Regtest, None).kind, Kind::Expansion);
        assert_eq!(inspect(&world.secp, &tx, Network::Regtest, None).fault, None);

        // By hand, from an `ExpansionTx` alone.
        let expansion = built(&world);
        let spend = expansion.spend(&world.stake);
        let signatures = world.sign(&spend, world.unbonders());
        let witness = wallet_witness(&world, expansion.tx(), expansion.prevouts());
        let tx = expansion.finish(&world.secp, &world.stake, &signatures, witness).unwrap();
        assert_eq!(consensus(&tx, expansion.prevouts()), Ok(()));
        assert_eq!(expansion.fee(), Amount::from_sat(5_000));
    }
}

#[test]
fn the_new_stake_is_slashed_by_each_providers_key() {
    let world = world(2, (3, 5));
    let delegation = signed_by_all(&world);
    assert_eq!(delegation.stake().value(), LARGER);
    for provider in &world.providers {
        let tx = delegation.verified_parts().slash(&world.secp, &world.exposed(provider)).unwrap();
        assert_eq!(consensus(&tx, &[delegation.stake().coin().to_txout()]), Ok(()));
    }
}

#[test]
fn an_expansion_is_verified_only_with_both_quorums() {
    let world = world(1, (3, 5));
    let (secp, aux) = (&world.secp, &[0; 32]);
    let mut delegation = draft(&world).sign(secp, &world.staker, aux, world.possession()).unwrap();
    assert_eq!((delegation.missing(), delegation.missing_previous()), (3, 3));

    // The old quorum alone, then the new one but for one member.
    let mut partly = None;
    for member in &world.covenant[..3] {
        let signature = delegation.expansion_signature(secp, member, aux).unwrap();
        let progress = match partly.take() {
            None => delegation.clone().add_previous(secp, key(member), signature),
            Some(CovenantProgress::Partly(partly)) => {
                let partly: Delegation<_> = partly;
                partly.add_previous(secp, key(member), signature)
            }
            Some(CovenantProgress::Verified(_)) => panic!("nobody of the new committee has signed"),
        };
        partly = Some(progress.unwrap());
    }
    let members = new_committee(&world);
    for (position, member) in members[..3].iter().enumerate() {
        let Some(CovenantProgress::Partly(delegation)) = partly.take() else { panic!("position {position}") };
        assert_eq!((delegation.missing(), delegation.missing_previous()), (3 - position, 0));
        partly = Some(add_all(&world, delegation, member).unwrap());
    }
    let Some(CovenantProgress::Verified(done)) = partly else { panic!("both quorums have signed") };
    assert_eq!(verified(done.package().check(secp, &schedule(&world)).unwrap()), done);

    // The new quorum alone is not enough.
    let mut package = done.package();
    package.expansion.as_mut().unwrap().covenant.pop_last();
    assert!(matches!(
        package.check(secp, &schedule(&world)),
        Ok(CheckedDelegation::PartlySigned(partly)) if partly.missing_previous() == 1
    ));

    delegation = delegation.sign_expansion(secp, done.package().expansion.unwrap().staker.unwrap()).unwrap();
    assert_eq!(delegation.package().expansion.unwrap().staker, done.package().expansion.unwrap().staker);
}

#[test]
fn every_signature_of_an_expansion_is_verified_by_name() {
    let world = world(1, (3, 5));
    let (secp, whole) = (&world.secp, signed_by_all(&world).package());
    let refused = |break_it: &dyn Fn(&mut tapstake_tx::delegation::ExpansionPart)| {
        let mut package = whole.clone();
        break_it(package.expansion.as_mut().unwrap());
        package.check(secp, &schedule(&world)).unwrap_err()
    };
    let member = key(&world.covenant[2]);
    let other = whole.expansion.as_ref().unwrap().covenant[&key(&world.covenant[1])];
    assert_eq!(
        refused(&|part| *part.covenant.get_mut(&member).unwrap() = other),
        DelegationError::CovenantSignature { member, tx: SignedTx::Expansion }
    );
    assert_eq!(
        refused(&|part| part.staker = Some(other)),
        DelegationError::StakerSignature { tx: SignedTx::Expansion }
    );
    // A member of the new committee alone has no say in the old stake.
    let stranger = key(&keypair(3_000));
    assert_eq!(
        refused(&|part| {
            part.covenant.insert(stranger, other);
        }),
        DelegationError::UnknownMember { member: stranger, tx: SignedTx::Expansion }
    );
    let mut package = whole.clone();
    package.expansion.as_mut().unwrap().staker = None;
    let unsigned = verified(package.check(secp, &schedule(&world)).unwrap());
    assert_eq!(unsigned.staking_tx(), Err(DelegationError::NotSigned { input: 0 }));
    assert_eq!(whole.without_witnesses().expansion.unwrap().staker, None);
}

#[test]
fn signatures_of_an_ordinary_delegation_are_no_ones_of_an_expansion() {
    let world = world(1, (3, 5));
    let delegation = world.pre_signed();
    assert_eq!(delegation.expansion_signature(&world.secp, &world.covenant[0], &[0; 32]), None);
    let signature = delegation.package().parts.staker.unwrap().slashing;
    let member = key(&world.covenant[0]);
    let added = delegation.clone().add_previous(&world.secp, member, signature);
    assert_eq!(added, Err(DelegationError::NoExpansion));
    assert_eq!(delegation.sign_expansion(&world.secp, signature), Err(DelegationError::NoExpansion));
}

#[test]
fn an_expansion_keeps_value_parties_and_enough_of_the_committee() {
    let world = world(2, (3, 5));
    let build = |terms: StakeTerms, value| {
        ExpansionTx::build(&world.secp, &world.stake, terms, value, funding(&world, 555_000))
    };
    let terms = terms_under(&world, &next(&world));
    assert!(build(terms.clone(), VALUE).is_ok(), "a longer stake of equal value");
    let value = VALUE - Amount::from_sat(1);
    assert_eq!(build(terms.clone(), value), Err(ExpansionError::Value { value, previous: VALUE }));

    let with = |staker, providers: &[Keypair], covenant| {
        let providers = Providers::new(providers.iter().map(key).collect()).unwrap();
        let params = StakingParams { covenant, ..next(&world) };
        StakeTerms::under(&params, staker, providers, terms.staking_time).unwrap()
    };
    let committee = || next(&world).covenant;
    let staker = key(&world.staker);
    let other = with(key(&keypair(50)), &world.providers, committee());
    assert_eq!(build(other, LARGER), Err(ExpansionError::Staker));
    for providers in [&world.providers[..1], &[keypair(51), world.providers[0]]] {
        let other = with(staker, providers, committee());
        assert_eq!(build(other, LARGER), Err(ExpansionError::Providers));
    }
    // Three old members of five are enough, two are not.
    for stay in [3, 2] {
        let kept = world.covenant[..stay].iter().map(key);
        let fresh = (0..5 - u32::try_from(stay).unwrap()).map(|n| key(&keypair(4_000 + n)));
        let covenant = Quorum::new(3, kept.chain(fresh).collect()).unwrap();
        let built = build(with(staker, &world.providers, covenant), LARGER).map(|_| ());
        let expected = if stay == 3 { Ok(()) } else { Err(ExpansionError::Committee { stay: 2, needed: 3 }) };
        assert_eq!(built, expected);
    }
}

#[test]
fn an_expansion_is_locked_for_longer_than_the_longer_unbonding_time() {
    let world = world(1, (3, 5));
    // 200 blocks of unbonding before, 300 after; and the other way round.
    for (old, new) in [(200, 300), (300, 200), (300, 300)] {
        let under = |params: StakingParams, unbonding_time: u32, staking_time: u32| {
            let params = StakingParams { unbonding_time: Timelock::new(unbonding_time).unwrap(), ..params };
            let providers = Providers::new(world.providers.iter().map(key).collect()).unwrap();
            let staking_time = Timelock::new(staking_time).unwrap();
            StakeTerms::under(&params, key(&world.staker), providers, staking_time).unwrap()
        };
        let previous = under(world.params.clone(), old, 1_000);
        let previous = Stake::new(&world.secp, previous, outpoint(7), VALUE);
        let build = |staking_time| {
            let terms = under(next(&world), new, staking_time);
            ExpansionTx::build(&world.secp, &previous, terms, LARGER, funding(&world, 555_000)).map(|_| ())
        };
        let unbonding_time = Timelock::new(300).unwrap();
        for time in [100, 201, 300] {
            let staking_time = Timelock::new(time).unwrap();
            assert_eq!(build(time), Err(ExpansionError::StakingTime { staking_time, unbonding_time }));
        }
        assert_eq!(build(301), Ok(()));
    }
    let staking_time = Timelock::new(300).unwrap();
    let error =
        DelegationError::from(ExpansionError::StakingTime { staking_time, unbonding_time: staking_time });
    assert_eq!(error.rule(), "expansion-time");
}

#[test]
fn an_expansion_is_funded_by_an_output_that_is_no_stake() {
    let world = world(1, (3, 5));
    let terms = terms_under(&world, &next(&world));
    let new = Stake::new(&world.secp, terms.clone(), outpoint(1), LARGER);
    let outputs = [
        (world.stake.coin().output.script_pubkey().clone(), OutputKind::Staking),
        (new.coin().output.script_pubkey().clone(), OutputKind::Staking),
        (world.stake.terms().unbonding_output(&world.secp).script_pubkey().clone(), OutputKind::Unbonding),
        (terms.unbonding_output(&world.secp).script_pubkey().clone(), OutputKind::Unbonding),
    ];
    for (script_pubkey, kind) in outputs {
        let mut funding = funding(&world, 555_000);
        funding.prevout.script_pubkey = script_pubkey;
        let outpoint = funding.outpoint;
        let refused = ExpansionTx::build(&world.secp, &world.stake, terms.clone(), LARGER, funding);
        assert_eq!(refused, Err(ExpansionError::FundingIsStake { outpoint, kind }));
    }
    // Legacy funding has no txid before it is signed.
    let mut legacy = funding(&world, 555_000);
    legacy.prevout.script_pubkey = ScriptBuf::from_hex(&format!("76a914{}88ac", "11".repeat(20))).unwrap();
    let refused = ExpansionTx::build(&world.secp, &world.stake, terms.clone(), LARGER, legacy);
    assert_eq!(refused, Err(ExpansionError::Funding(StakingError::TxidNotFinal { input: 1 })));

    let sums = |sat| {
        let built =
            ExpansionTx::build(&world.secp, &world.stake, terms.clone(), LARGER, funding(&world, sat));
        built.map(|expansion| expansion.fee().to_sat())
    };
    let (inputs, outputs) = (Amount::from_sat(1_550_000), Amount::from_sat(1_550_000));
    assert_eq!(sums(550_001), Ok(1));
    assert_eq!(sums(550_000), Err(ExpansionError::Fee { inputs, outputs }));
    assert!(matches!(sums(u64::MAX), Ok(_) | Err(ExpansionError::Fee { .. })));

    let mut dusty = funding(&world, 555_000);
    dusty.change[0].value = Amount::from_sat(293);
    let refused = ExpansionTx::build(&world.secp, &world.stake, terms, LARGER, dusty);
    assert!(matches!(refused, Err(ExpansionError::Dust(_))));
}

#[test]
fn each_departure_of_a_foreign_expansion_is_refused_by_name() {
    let world = world(1, (3, 5));
    let right = built(&world);
    let check = |change: &dyn Fn(&mut Transaction, &mut Vec<TxOut>)| {
        let (mut tx, mut prevouts) = (right.tx().clone(), right.prevouts().to_vec());
        change(&mut tx, &mut prevouts);
        let vout = right.stake().outpoint().vout;
        let outpoint = OutPoint { txid: tx.compute_txid(), vout };
        let stake = Stake::new(&world.secp, right.stake().terms().clone(), outpoint, LARGER);
        ExpansionTx::check(&world.secp, &world.stake, stake, &tx, &prevouts)
    };
    assert_eq!(check(&|_, _| {}), Ok(right.clone()));
    assert_eq!(check(&|tx, _| tx.input[1].witness = Witness::from_slice(&[[1; 64]])), Ok(right.clone()));

    let refused = |change: &dyn Fn(&mut Transaction, &mut Vec<TxOut>)| check(change).unwrap_err();
    let inputs = |actual| ExpansionError::Inputs { actual };
    assert_eq!(
        refused(&|tx, _| {
            tx.input.pop();
        }),
        inputs(1)
    );
    assert_eq!(refused(&|tx, _| tx.input.push(tx.input[1].clone())), inputs(3));
    assert_eq!(
        refused(&|_, prevouts| {
            prevouts.pop();
        }),
        ExpansionError::Funding(StakingError::Prevouts { inputs: 2, prevouts: 1 })
    );
    let (actual, expected) = (right.tx().input[1].previous_output, world.stake.outpoint());
    assert_eq!(refused(&|tx, _| tx.input.swap(0, 1)), ExpansionError::Outpoint { actual, expected });
    assert_eq!(refused(&|_, prevouts| prevouts[0].value += Amount::from_sat(1)), ExpansionError::Prevout);
    assert_eq!(refused(&|_, prevouts| prevouts[0].script_pubkey = p2wpkh(1)), ExpansionError::Prevout);
    assert_eq!(
        refused(&|tx, _| tx.input[0].script_sig = ScriptBuf::from_bytes(vec![0x51])),
        ExpansionError::ScriptSig { length: 1 }
    );
    assert_eq!(refused(&|tx, _| tx.output.swap(0, 1)), ExpansionError::Vout { actual: 1, expected: 0 });
    assert!(matches!(refused(&|tx, _| tx.output.push(tx.output[0].clone())), ExpansionError::Stake(_)));
    assert!(matches!(refused(&|tx, _| tx.output[0].value -= Amount::from_sat(1)), ExpansionError::Stake(_)));
    assert!(matches!(
        refused(&|tx, _| tx.output[1].value += Amount::from_sat(5_000)),
        ExpansionError::Fee { .. }
    ));
    assert!(matches!(
        refused(&|tx, _| tx.output[1].value = Amount::from_sat(u64::MAX)),
        ExpansionError::Fee { .. }
    ));
}

#[test]
fn an_expansion_with_one_signature_of_the_old_quorum_missing_has_no_witness() {
    let world = world(1, (3, 5));
    let expansion = built(&world);
    let spend = expansion.spend(&world.stake);
    let signatures: Signatures = world.sign(&spend, world.unbonders().into_iter().skip(1));
    let refused = expansion.finish(&world.secp, &world.stake, &signatures, Witness::new());
    assert!(matches!(refused, Err(WitnessError::TooFew { given: 2, needed: 3, .. })));
}

#[test]
fn a_package_breaks_the_rules_of_its_expansion_by_name() {
    let world = world(1, (3, 5));
    let whole = draft(&world).package();
    let rule = |change: &dyn Fn(&mut tapstake_tx::delegation::DelegationPackage)| {
        let mut package = whole.clone();
        change(&mut package);
        package.check(&world.secp, &schedule(&world)).unwrap_err().rule()
    };
    let previous = |change: &dyn Fn(&mut tapstake_tx::delegation::PreviousStake)| {
        rule(&|package| change(&mut package.expansion.as_mut().unwrap().previous))
    };
    assert_eq!(previous(&|old| old.outpoint.vout += 1), "expansion-previous");
    assert_eq!(previous(&|old| old.value -= Amount::from_sat(1)), "expansion-previous");
    assert_eq!(previous(&|old| old.staking_time = Timelock::new(999).unwrap()), "expansion-previous");
    assert_eq!(previous(&|old| old.params_version = 4), "expansion-previous");
    assert_eq!(previous(&|old| old.params_version = 9), "params-version");
    assert_eq!(
        rule(&|package| {
            package.prevouts.pop();
        }),
        "prevouts"
    );
    // Said to expand nothing, it is a stake funded by a stake.
    let mut package = whole.clone();
    assert_eq!(package.check_funding(&world.secp, &schedule(&world)), Ok(()));
    package.expansion = None;
    assert_eq!(
        package.check_funding(&world.secp, &schedule(&world)),
        Err(DelegationError::FundingIsStake { input: 0, kind: OutputKind::Staking })
    );
}

#[test]
fn the_draft_of_an_expansion_is_what_its_parts_make() {
    let world = world(1, (3, 5));
    let drafted = draft(&world);
    let checked = drafted.package().check(&world.secp, &schedule(&world)).unwrap();
    assert_eq!(checked, CheckedDelegation::Draft(drafted.clone()));
    assert_eq!(drafted.previous(), Some(&world.stake));
    assert_eq!(drafted.expansion(), Some(&built(&world)));
    assert_eq!(expansion(&world, VALUE).unwrap().stake().value(), VALUE);
}
