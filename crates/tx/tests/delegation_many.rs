//! Delegations of any size: combined from copies in any order, and slashed by each provider's key and no other.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

mod common;

use common::delegation::{default_world, verified};
use common::{consensus, key, keypair, world};
use proptest::prelude::*;
use proptest::sample::subsequence;
use tapstake_tx::delegation::{
    CheckedDelegation, CombineError, DelegationError, DelegationPackage, StakingTx,
};

/// Each member's copy of a delegation, with that member's signatures alone.
fn copies(world: &common::World) -> Vec<DelegationPackage> {
    let whole = world.signed_by(world.covenant.len());
    let keep = |member| {
        let mut copy = whole.clone();
        copy.parts.covenant.retain(|key, _| *key == member);
        copy
    };
    world.covenant.iter().map(|member| keep(key(member))).collect()
}

fn committee() -> impl Strategy<Value = (usize, u32)> {
    (1u32..=20).prop_flat_map(|members| (1..=usize::try_from(members).unwrap(), Just(members)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_committee_and_any_providers_make_a_stake_that_each_provider_and_nobody_else_can_get_slashed(
        (committee, members) in committee().prop_flat_map(|(quorum, members)| {
            let all: Vec<_> = (0..usize::try_from(members).unwrap()).collect();
            (Just((quorum, members)), subsequence(all, quorum..=usize::try_from(members).unwrap()))
        }),
        providers in 1u32..=5,
        stranger in 10_000u32..20_000,
    ) {
        // Networks have a majority; regtest, and so this, takes any quorum.
        let world = world(providers, committee);
        let mut package = world.pre_signed().package();
        let whole = world.signed_by(world.covenant.len());
        for member in &members {
            let member = key(&world.covenant[*member]);
            package.parts.covenant.insert(member, whole.parts.covenant[&member].clone());
        }
        let delegation = verified(world.check(&package).unwrap()).verified_parts();
        let (stake, unbonding) = (delegation.stake(), delegation.unbonding());

        let (_, signature) = unbonding.spend(stake).sign(&world.secp, &world.staker, &[7; 32]);
        let tx = delegation.finish_unbonding(&world.secp, signature).unwrap();
        prop_assert_eq!(consensus(&tx, &[stake.coin().to_txout()]), Ok(()));
        for provider in &world.providers {
            let exposed = world.exposed(provider);
            let tx = delegation.slash(&world.secp, &exposed).unwrap();
            prop_assert_eq!(consensus(&tx, &[stake.coin().to_txout()]), Ok(()));
            let filled = tx.input[0].witness.iter().filter(|item| item.len() == 64).count();
            prop_assert_eq!(filled, 2 + committee.0, "exactly the quorum of {} who signed", members.len());
            let tx = delegation.slash_unbonding(&world.secp, &exposed).unwrap();
            prop_assert_eq!(consensus(&tx, &[unbonding.coin().to_txout()]), Ok(()));
        }
        let stranger = keypair(stranger);
        prop_assert_eq!(
            delegation.slash(&world.secp, &world.exposed(&stranger)),
            Err(DelegationError::UnknownProvider { key: key(&stranger) })
        );
    }

    #[test]
    fn copies_combine_to_one_delegation_in_any_order_and_however_often(
        order in Just((0..9usize).collect::<Vec<_>>()).prop_shuffle(),
        again in 0..9usize,
    ) {
        let world = world(1, (6, 9));
        let (copies, whole) = (copies(&world), world.signed_by(9));
        let mut combined = copies[order[0]].clone();
        for (position, copy) in order.iter().enumerate().skip(1) {
            let one = combined.clone().combine(copies[*copy].clone()).unwrap();
            let other = copies[*copy].clone().combine(combined.clone()).unwrap();
            prop_assert_eq!(&one, &other);
            combined = one;
            let checked = world.check(&combined).unwrap();
            prop_assert_eq!(matches!(checked, CheckedDelegation::Verified(_)), position >= 5);
        }
        prop_assert_eq!(&combined, &whole);
        prop_assert_eq!(&combined.clone().combine(copies[again].clone()).unwrap(), &combined);
        prop_assert_eq!(&combined.clone().combine(combined.clone()).unwrap(), &combined);
    }
}

#[test]
fn copies_that_are_of_different_delegations_or_contradict_each_other_are_not_combined() {
    let world = default_world();
    let whole = world.verified().package();
    let both = |change: &dyn Fn(&mut DelegationPackage)| {
        let mut other = whole.clone();
        change(&mut other);
        let error = whole.clone().combine(other.clone()).unwrap_err();
        assert_eq!(other.combine(whole.clone()).unwrap_err(), error, "whichever comes first");
        error
    };
    let different = |field| CombineError::Different { field };
    assert_eq!(both(&|other| other.params_version += 1), different("params_version"));
    assert_eq!(both(&|other| other.vout += 1), different("vout"));
    assert_eq!(both(&|other| other.prevouts.clear()), different("prevouts"));
    assert_eq!(both(&|other| other.parts.unbonding_tx.output.clear()), different("unbonding_tx"));
    assert_eq!(
        both(&|other| other.parts.unbonding_slashing_tx.output.clear()),
        different("unbonding_slashing_tx")
    );
    let mut tx = whole.staking_tx.unsigned().clone();
    tx.lock_time = bitcoin::absolute::LockTime::from_consensus(5);
    assert_eq!(both(&|other| other.staking_tx = StakingTx::from(tx.clone())), different("staking_tx"));

    let member = key(&world.covenant[1]);
    let forged = whole.parts.covenant[&key(&world.covenant[0])].clone();
    assert_eq!(
        both(&|other| {
            other.parts.covenant.insert(member, forged.clone());
        }),
        CombineError::Conflict { what: "signatures", signer: Some(member) }
    );
    let swapped = |other: &mut DelegationPackage| {
        let staker = other.parts.staker.as_mut().unwrap();
        std::mem::swap(&mut staker.slashing, &mut staker.unbonding_slashing);
    };
    assert!(matches!(both(&swapped), CombineError::Conflict { signer: None, .. }));
    let mut tx = whole.staking_tx.unsigned().clone();
    tx.input[0].witness = bitcoin::Witness::from_slice(&[[3; 70]]);
    assert!(matches!(
        both(&|other| other.staking_tx = StakingTx::from(tx.clone())),
        CombineError::Conflict { .. }
    ));
    // What one copy lacks, the other has.
    let combined = whole.clone().without_witnesses().combine(whole.clone()).unwrap();
    assert_eq!(combined, whole);
    assert!(combined.staking_tx.has_witness(0));
}
