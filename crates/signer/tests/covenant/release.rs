//! When a member lets the old stake of an expansion go: not before the new one has its quorum.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use bitcoin::secp256k1::schnorr;
use bitcoin::{Transaction, Witness, XOnlyPublicKey};
use proptest::prelude::*;
use tapstake_params::{Height, Schedule, StakingParams};
use tapstake_signer::covenant::{Answer, CovenantError, Member, Policy, Refusal, Release};
use tapstake_tx::delegation::{
    CheckedDelegation, CovenantSignatures, Delegation, DelegationPackage, PartlySigned,
};
use tempfile::TempDir;

use crate::expansion::{Move, versions};
use crate::world::{MEMBERS, coin, key, member, policy, secp};

/// The members of two committees, each with its folder, and an expansion from the stake of the one to that of the other.
struct Committees {
    home: TempDir,
    policy: Policy,
    old: StakingParams,
    new: StakingParams,
    draft: DelegationPackage,
}

impl Committees {
    /// From 3 of members 0 to 4 to so many of `new`.
    fn new(threshold: usize, new: Range<u32>) -> Self {
        let [old, new] = versions(threshold, new);
        let draft = Move { old: old.clone(), new: new.clone(), ..Move::default() }.package();
        let policy = policy(vec![old.clone(), new.clone()]);
        Committees { home: tempfile::tempdir().unwrap(), policy, old, new, draft }
    }

    fn open(&self, index: u32) -> Member {
        let folder = self.home.path().join(index.to_string());
        if folder.exists() {
            return Member::open(&folder).unwrap();
        }
        Member::create_without_key(&folder, &self.policy, key(MEMBERS + index)).unwrap()
    }

    fn ask(&self, index: u32, package: &DelegationPackage, tip: u32) -> Result<Answer, CovenantError> {
        self.open(index).sign(&member(index), package, Some(Height::new(tip)))
    }

    fn schedule(&self) -> &Schedule {
        &self.policy.schedule
    }

    fn partly(&self, package: &DelegationPackage) -> Delegation<PartlySigned> {
        match package.check(&secp(), self.schedule()).unwrap() {
            CheckedDelegation::PartlySigned(delegation) => delegation,
            other => panic!("{other:?}"),
        }
    }
}

/// The expansion to be sent: a wallet has signed for its funding.
fn sendable(committees: &Committees, package: &DelegationPackage) -> Transaction {
    let CheckedDelegation::Verified(delegation) = package.check(&secp(), committees.schedule()).unwrap()
    else {
        panic!("no quorum: {package:?}")
    };
    let mut funded = delegation.unsigned_staking_tx().clone();
    funded.input[1].witness = Witness::from_slice(&[[1; 72].as_slice(), &[2; 33]]);
    delegation.fund(&funded).unwrap().staking_tx().unwrap()
}

fn waits(signed: usize, needed: usize) -> Release {
    Release::Waits { signed, needed }
}

#[test]
fn an_expansion_between_changed_committees_is_sendable_after_two_rounds() {
    let committees = Committees::new(3, 2..7);
    let mut package = committees.draft.clone();
    // A member that sits in both: its signatures for the new stake, and not yet that for the old one.
    for (index, release) in [(2, waits(1, 3)), (5, Release::NotAsked), (3, Release::Given)] {
        let answer = committees.ask(index, &package, 100).unwrap();
        assert_eq!((answer.release, answer.repeated), (release, false), "member {index}");
        package = answer.package;
        let delegation = committees.partly(&package);
        let released = package.expansion.as_ref().unwrap().covenant.len();
        assert!(delegation.missing() == 0 || released == 0, "member {index}");
    }
    let released = |package: &DelegationPackage| -> Vec<_> {
        package.expansion.as_ref().unwrap().covenant.keys().copied().collect()
    };
    assert_eq!(released(&package), [key(MEMBERS + 3)], "the one that completed the quorum");

    // The second round: one that has signed for the new stake, and one of the old committee alone.
    let first = package.parts.covenant[&key(MEMBERS + 2)].clone();
    for index in [2, 0] {
        let answer = committees.ask(index, &package, 100).unwrap();
        assert_eq!((answer.release, answer.repeated), (Release::Given, false), "member {index}");
        let again = committees.ask(index, &package, 100).unwrap();
        assert_eq!((&again.package, again.repeated), (&answer.package, true), "member {index}");
        assert_eq!(again.release, Release::Given);
        package = answer.package;
    }
    assert_eq!(package.parts.covenant[&key(MEMBERS + 2)], first, "what was signed before stays as it was");
    assert_eq!(package.parts.covenant.len(), 3);
    let tx = sendable(&committees, &package);
    assert_eq!(tx.input[0].previous_output, coin(30));
    // The record has all of it, as one entry, and gives the whole delegation back.
    let member = committees.open(2);
    let [signed] = &member.signed().unwrap()[..] else { panic!("one entry") };
    assert!(signed.signatures.covenant.is_some() && signed.signatures.expansion.is_some());
    let kept = member.package(package.outpoint()).unwrap().unwrap();
    assert_eq!(kept.expansion.unwrap().covenant.len(), 2, "members 3 and 2");
}

#[test]
fn a_member_of_the_old_committee_alone_signs_nothing_before_the_new_quorum_and_the_release_after_it() {
    let committees = Committees::new(3, 2..7);
    let refusal = committees.ask(0, &committees.draft, 100).unwrap_err();
    assert_eq!(refusal.rule(), Some("release-waits"));
    let CovenantError::Refused(refusal) = refusal else { panic!("{refusal}") };
    assert_eq!(refusal, Refusal::ReleaseWaits { signed: 0, needed: 3 });
    let mut package = committees.draft.clone();
    for index in [4, 5] {
        package = committees.ask(index, &package, 100).unwrap().package;
    }
    let refusal = committees.ask(0, &package, 100).unwrap_err();
    assert!(refusal.to_string().contains("2 of 3 members"), "{refusal}");
    assert_eq!(committees.open(0).signed().unwrap(), [], "nothing left, and nothing is on record");
    package = committees.ask(6, &package, 100).unwrap().package;
    let answer = committees.ask(0, &package, 100).unwrap();
    assert_eq!(answer.release, Release::Given);
    assert!(!answer.package.parts.covenant.contains_key(&key(MEMBERS)));
    assert!(answer.package.expansion.unwrap().covenant.contains_key(&key(MEMBERS)));
}

#[test]
fn the_same_committee_needs_one_round_unless_its_quorum_is_raised() {
    for (threshold, rounds) in [(2, 1), (3, 1), (4, 2)] {
        let committees = Committees::new(threshold, 0..5);
        let mut package = committees.draft.clone();
        for (index, signed) in (0..).zip(1..=threshold.max(3)) {
            let answer = committees.ask(index, &package, 100).unwrap();
            let at_once = rounds == 1 || signed == threshold;
            let release = if at_once { Release::Given } else { waits(signed, threshold) };
            assert_eq!(answer.release, release, "{threshold} of 5, member {index}");
            package = answer.package;
        }
        if rounds == 2 {
            assert_eq!(committees.partly(&package).missing_previous(), 2);
            for index in 0..2 {
                package = committees.ask(index, &package, 100).unwrap().package;
            }
        }
        sendable(&committees, &package);
    }
}

#[test]
fn what_was_signed_before_the_quorum_is_given_again_and_the_release_asks_the_policy() {
    let committees = Committees::new(3, 2..7);
    let first = committees.ask(2, &committees.draft, 100).unwrap();
    let again = committees.ask(2, &committees.draft, 100).unwrap();
    assert_eq!((&again.package, again.repeated, again.release), (&first.package, true, waits(1, 3)));
    let mut package = first.package.clone();
    for index in [5, 6] {
        package = committees.ask(index, &package, 100).unwrap().package;
    }
    // Before height 100 the new stake's version is not the one in force.
    let earlier = committees.ask(2, &committees.draft, 50).unwrap();
    assert_eq!((earlier.package, earlier.repeated), (first.package, true));
    assert_eq!(committees.ask(2, &package, 50).unwrap_err().rule(), Some("params-version"));
    assert_eq!(committees.ask(2, &package, 100).unwrap().release, Release::Given);
}

#[test]
fn a_release_that_the_record_does_not_know_is_found_out() {
    let committees = Committees::new(3, 2..7);
    let mut package = committees.draft.clone();
    for index in [2, 5, 6] {
        package = committees.ask(index, &package, 100).unwrap().package;
    }
    let folder = committees.home.path().join("2").join("record.sqlite");
    let before = std::fs::read(&folder).unwrap();
    let released = committees.ask(2, &package, 100).unwrap().package;
    // An older record: it has the signatures of the first round only.
    std::fs::write(&folder, before).unwrap();
    assert_eq!(committees.ask(2, &released, 100).unwrap_err().rule(), Some("unknown-own-signature"));
}

/// One question: which member, with which of the signatures that the staker has so far.
fn question() -> impl Strategy<Value = (u32, u64)> {
    (0..7_u32, prop_oneof![2 => Just(u64::MAX), 3 => any::<u64>()])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_order_of_requests_moves_the_old_stake_without_a_quorum_over_the_new_one(
        change in prop::sample::select(vec![(3, 2..7), (4, 1..6), (3, 0..5), (2, 0..5), (4, 0..5), (5, 0..7), (1, 0..6)]),
        questions in prop::collection::vec(question(), 1..30),
    ) {
        let committees = Committees::new(change.0, change.1);
        let mut signed: BTreeMap<XOnlyPublicKey, CovenantSignatures> = BTreeMap::new();
        let mut released: BTreeMap<XOnlyPublicKey, schnorr::Signature> = BTreeMap::new();
        for (index, shown) in questions {
            let mut package = committees.draft.clone();
            let mut show = (0..64).map(|bit| shown >> bit & 1 == 1).cycle();
            package.parts.covenant =
                signed.clone().into_iter().filter(|_| show.next() == Some(true)).collect();
            package.expansion.as_mut().unwrap().covenant =
                released.clone().into_iter().filter(|_| show.next() == Some(true)).collect();
            match committees.ask(index, &package, 100) {
                Ok(answer) => {
                    signed.extend(answer.package.parts.covenant);
                    released.extend(answer.package.expansion.unwrap().covenant);
                }
                Err(refusal) => {
                    let rule = refusal.rule().unwrap();
                    prop_assert!(["release-waits", "not-a-member"].contains(&rule), "{}", refusal);
                }
            }
            let moves = released.len() >= committees.old.covenant.threshold();
            prop_assert!(!moves || signed.len() >= committees.new.covenant.threshold());
        }
        // And whatever was asked, in which order: two rounds with all that there is complete it.
        let mut package = committees.draft.clone();
        (package.parts.covenant, package.expansion.as_mut().unwrap().covenant) = (signed, released);
        let everybody: BTreeSet<u32> = (0..7).collect();
        for index in everybody.iter().chain(&everybody) {
            if let Ok(answer) = committees.ask(*index, &package, 100) {
                package = answer.package;
            }
        }
        sendable(&committees, &package);
    }
}
