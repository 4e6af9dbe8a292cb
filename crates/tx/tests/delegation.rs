//! A delegation's life: built, signed, verified, unbonded and slashed, as consensus takes it.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

mod common;

use bitcoin::TxOut;
use common::delegation::{add_all, default_world, verified};
use common::{COMMITTEES, consensus, key, keypair, world};
use tapstake_tx::delegation::{CheckedDelegation, CovenantProgress, DelegationError, SignedTx};

#[test]
fn a_delegation_goes_through_its_states_and_says_what_is_missing() {
    let world = default_world();
    let draft = world.draft();
    assert!(matches!(world.check(&draft.package()), Ok(CheckedDelegation::Draft(read)) if read == draft));
    assert_eq!(draft.missing(), 3);
    let signed = draft.sign(&world.secp, &world.staker, &[0; 32], world.possession()).unwrap();
    assert!(
        matches!(world.check(&signed.package()), Ok(CheckedDelegation::PreSigned(read)) if read == signed)
    );

    let CovenantProgress::Partly(one) = add_all(&world, signed, &world.covenant[4]).unwrap() else {
        panic!("one of three");
    };
    assert_eq!((one.missing(), one.signed_by().count()), (2, 1));
    assert!(matches!(world.check(&one.package()), Ok(CheckedDelegation::PartlySigned(read)) if read == one));
    // The same member again changes nothing.
    let CovenantProgress::Partly(again) = add_all(&world, one.clone(), &world.covenant[4]).unwrap() else {
        panic!("still one of three");
    };
    assert_eq!(again, one);
    let CovenantProgress::Partly(two) = add_all(&world, one, &world.covenant[0]).unwrap() else {
        panic!("two of three");
    };
    assert_eq!(two.missing(), 1);
    let CovenantProgress::Verified(done) = add_all(&world, two, &world.covenant[2]).unwrap() else {
        panic!("three of three");
    };
    assert_eq!(done.missing(), 0);
    assert_eq!(verified(world.check(&done.package()).unwrap()), done);
    assert_eq!(done.staking_tx().unwrap().compute_txid(), done.staking_txid());
}

#[test]
fn consensus_takes_unbonding_and_slashings_of_every_committee_by_each_providers_key() {
    for (providers, committee) in [1, 2, 5].into_iter().flat_map(|p| COMMITTEES.map(|c| (p, c))) {
        let world = world(providers, committee);
        let delegation = world.verified().verified_parts();
        let (stake, unbonding) = (delegation.stake(), delegation.unbonding());
        let (staked, unbonded): (TxOut, TxOut) = (stake.coin().to_txout(), unbonding.coin().to_txout());

        let (_, signature) = unbonding.spend(stake).sign(&world.secp, &world.staker, &[0; 32]);
        let tx = delegation.finish_unbonding(&world.secp, signature).unwrap();
        assert_eq!(consensus(&tx, std::slice::from_ref(&staked)), Ok(()));
        assert_eq!(tx.compute_txid(), unbonding.tx().compute_txid());

        for provider in &world.providers {
            let exposed = world.exposed(provider);
            let early = delegation.slash(&world.secp, &exposed).unwrap();
            assert_eq!(consensus(&early, std::slice::from_ref(&staked)), Ok(()));
            let late = delegation.slash_unbonding(&world.secp, &exposed).unwrap();
            assert_eq!(consensus(&late, std::slice::from_ref(&unbonded)), Ok(()));
            let filled =
                |tx: &bitcoin::Transaction| tx.input[0].witness.iter().filter(|i| i.len() == 64).count();
            // The staker, one provider, and exactly a quorum.
            assert_eq!((filled(&early), filled(&late)), (2 + committee.0, 2 + committee.0));
        }
        let stranger = keypair(77);
        let refused = Err(DelegationError::UnknownProvider { key: key(&stranger) });
        assert_eq!(delegation.slash(&world.secp, &world.exposed(&stranger)), refused);
        assert_eq!(delegation.slash_unbonding(&world.secp, &world.exposed(&stranger)), refused);
    }
}

#[test]
fn one_signature_short_of_the_quorum_is_not_verified() {
    for committee in COMMITTEES {
        let world = world(1, committee);
        let package = world.signed_by(committee.0 - 1);
        assert!(!matches!(world.check(&package).unwrap(), CheckedDelegation::Verified(_)));
        let stake = world.draft().stake().clone();
        let error = package.parts.check(&world.secp, &world.params, &stake).unwrap_err();
        let (given, needed) = (committee.0 - 1, committee.0);
        assert_eq!(error, DelegationError::Quorum { given, needed, tx: SignedTx::Unbonding });
        assert_eq!(error.rule(), "quorum");
    }
}
