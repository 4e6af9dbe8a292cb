//! Rule 15: each part of a delegation broken alone.

use alloc::string::ToString;

use bitcoin::key::{Keypair, Secp256k1};
use bitcoin::script::Builder;
use bitcoin::{Amount, Network, ScriptBuf, Sequence, Transaction, Txid, Witness};
use tapstake_params::{Schedule, local};
use tapstake_tx::delegation::{
    CovenantProgress, CovenantSignatures, Delegation, DelegationError, PreSigned, SignedTx,
};

use crate::tests::fixture::*;
use crate::{Rule, VerifyError};

use super::service::*;

#[test]
fn a_proof_without_a_delegation_is_not_shown_to_be_slashable() {
    let error = Service::broken(|service| service.world.proof.delegation = None);
    assert_eq!(error.rule().to_string(), "rule 15 (delegation)");
    assert!(error.to_string().contains("nothing shows that the stake can be slashed"));
}

#[test]
fn an_unbonding_transaction_that_departs_from_the_parameters_is_refused() {
    type Change = fn(&mut Transaction);
    let changes: [Change; 7] = [
        |tx| tx.output[0].value -= Amount::ONE_SAT,
        |tx| tx.output[0].value += Amount::ONE_SAT,
        |tx| tx.version = bitcoin::transaction::Version::ONE,
        |tx| tx.lock_time = bitcoin::absolute::LockTime::from_consensus(1),
        |tx| tx.input[0].sequence = Sequence::ENABLE_RBF_NO_LOCKTIME,
        |tx| tx.input[0].previous_output.vout = 0,
        |tx| tx.input[0].witness = Witness::from_slice(&[[7; 64]]),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let error = Service::broken(|service| change(&mut service.parts().unbonding_tx));
        assert_eq!(error.rule(), Rule::UnbondingTx, "{index}: {error}");
    }
}

#[test]
fn a_slashing_transaction_that_departs_from_the_parameters_is_refused() {
    type Change = fn(&mut Transaction);
    let changes: [Change; 8] = [
        |tx| tx.output[0].value -= Amount::ONE_SAT,
        |tx| tx.output[0].script_pubkey = ScriptBuf::new_op_return(b"another"),
        |tx| tx.output[1].value += Amount::ONE_SAT,
        |tx| tx.output[1].script_pubkey = Builder::new().push_int(1).into_script(),
        |tx| tx.output.swap(0, 1),
        |tx| tx.input[0].sequence = Sequence::ENABLE_RBF_NO_LOCKTIME,
        |tx| tx.input[0].previous_output.txid = Txid::from_raw_hash(bitcoin::hashes::Hash::hash(b"")),
        |tx| tx.input[0].witness = Witness::from_slice(&[[7; 64]]),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let error = Service::broken(|service| change(&mut service.parts().slashing_tx));
        assert_eq!(error.rule(), Rule::SlashingTx, "{index}: {error}");
        let error = Service::broken(|service| change(&mut service.parts().unbonding_slashing_tx));
        assert_eq!(error.rule(), Rule::SlashingTx, "{index}: {error}");
    }
}

#[test]
fn another_stakes_delegation_is_refused() {
    let mut other = staking_tx();
    other.output[0].value += Amount::ONE_SAT;
    let other = signed_by(3, &pre_signed(claim().providers, other));
    let error = Service::broken(|service| *service.parts() = other);
    assert_eq!(error.rule(), Rule::UnbondingTx);
}

#[test]
fn parameters_that_do_not_say_how_to_slash_make_nothing_slashable() {
    let error = Service::broken(|service| {
        let mut versions = service.world.schedule.versions().to_vec();
        versions[0].slashing = None;
        service.world.schedule = Schedule::new(Network::Regtest, versions).unwrap();
    });
    assert_eq!(error, VerifyError::from(DelegationError::NoSlashing { version: 0 }));
    assert_eq!(error.rule(), Rule::SlashingTx);
}

#[test]
fn the_staker_has_signed_both_slashings() {
    let missing = Service::broken(|service| service.parts().staker = None);
    assert_eq!(missing, VerifyError::from(DelegationError::StakerMissing));
    assert_eq!(missing.rule(), Rule::StakerSignature);
    for tx in [SignedTx::Slashing, SignedTx::UnbondingSlashing] {
        let error = Service::broken(|service| {
            let signatures = service.parts().staker.as_mut().unwrap();
            // Each is a signature of the staker's, on the other transaction.
            match tx {
                SignedTx::Slashing => signatures.slashing = signatures.unbonding_slashing,
                _ => signatures.unbonding_slashing = signatures.slashing,
            }
        });
        assert_eq!(error, VerifyError::from(DelegationError::StakerSignature { tx }));
        assert_eq!(error.rule(), Rule::StakerSignature);
    }
}

#[test]
fn a_quorum_of_members_signs_and_one_less_does_not() {
    for members in 0..=5 {
        let mut service = Service::honest();
        *service.parts() = signed_by(members, &pre_signed(claim().providers, staking_tx()));
        match service.verify() {
            Ok(stake) => assert_eq!(stake.delegation().signed_by().count(), members),
            Err(error) => {
                assert!(members < 3, "{members}: {error}");
                assert_eq!(error.rule(), Rule::CovenantQuorum);
            }
        }
    }
}

#[test]
fn every_signature_of_every_member_must_verify() {
    type Change = fn(&mut CovenantSignatures, &CovenantSignatures);
    let changes: [(Change, SignedTx); 6] = [
        (|given, other| given.unbonding = other.unbonding, SignedTx::Unbonding),
        (|given, other| given.slashing.clone_from(&other.slashing), SignedTx::Slashing),
        (|given, _| given.slashing.clone_from(&given.unbonding_slashing), SignedTx::Slashing),
        (|given, _| given.unbonding_slashing.clone_from(&given.slashing), SignedTx::UnbondingSlashing),
        (|given, _| given.slashing.clear(), SignedTx::Slashing),
        (|given, _| given.unbonding_slashing.push(given.slashing[0]), SignedTx::UnbondingSlashing),
    ];
    for (change, changed) in changes {
        // The last one is beyond the quorum, and is not passed over.
        for member in 0..5 {
            let error = Service::broken(|service| {
                *service.parts() = signed_by(5, &pre_signed(claim().providers, staking_tx()));
                let other = service.member((member + 1) % 5).clone();
                change(service.member(member), &other);
            });
            let tx = match delegation_error(&error) {
                DelegationError::CovenantSignature { tx, .. }
                | DelegationError::AdaptorSignature { tx, .. }
                | DelegationError::AdaptorCount { tx, .. } => *tx,
                other => panic!("{other}"),
            };
            assert_eq!((error.rule(), tx), (Rule::CovenantSignature, changed));
        }
    }
}

#[test]
fn somebody_who_is_no_member_signs_for_nobody() {
    let stranger = pair(9);
    let error = Service::broken(|service| {
        let delegation = pre_signed(claim().providers, staking_tx());
        let signatures = delegation.covenant_signatures(&service.world.secp, &stranger, &[0; 32]);
        service.parts().covenant.insert(key(9), signatures);
    });
    assert_eq!(error.rule(), Rule::CovenantSignature);
    let tx = SignedTx::Unbonding;
    assert_eq!(error, VerifyError::from(DelegationError::UnknownMember { member: key(9), tx }));
}

#[test]
fn there_is_an_adaptor_signature_for_each_of_several_providers() {
    let mut service = Service::with_two_providers();
    let stake = service.verify().unwrap();
    assert_eq!(stake.known_providers(), [key(5)], "the other one votes elsewhere");
    assert_eq!(stake.delegation().parts().covenant.values().next().unwrap().slashing.len(), 2);
    service.policy.providers.insert(key(7));
    assert_eq!(service.verify().unwrap().known_providers().len(), 2);

    service.member(1).slashing.swap(0, 1);
    let error = service.verify().unwrap_err();
    let named = delegation_error(&error);
    assert!(matches!(named, DelegationError::AdaptorSignature { tx: SignedTx::Slashing, .. }), "{error}");
    let mut service = Service::with_two_providers();
    service.member(2).unbonding_slashing.pop();
    let error = service.verify().unwrap_err();
    let named = delegation_error(&error);
    assert!(matches!(named, DelegationError::AdaptorCount { given: 1, providers: 2, .. }), "{error}");
}

#[test]
fn what_a_committee_adds_one_by_one_is_what_a_proof_carries() {
    let secp = Secp256k1::new();
    let mut awaits = pre_signed(claim().providers, staking_tx());
    let members = local::covenant_keypairs(&secp);
    let add = |delegation: Delegation<PreSigned>, member: &Keypair| {
        let signatures = delegation.covenant_signatures(&secp, member, &[0; 32]);
        delegation.add(&secp, member.x_only_public_key().0, signatures).unwrap()
    };
    assert!(matches!(add(awaits.clone(), &members[0]), CovenantProgress::Partly(_)));
    awaits = pre_signed(claim().providers, staking_tx());
    let CovenantProgress::Partly(mut partly) = add(awaits, &members[0]) else { panic!("of three") };
    let verified = loop {
        let member = &members[partly.signed_by().count()];
        let signatures = partly.covenant_signatures(&secp, member, &[0; 32]);
        match partly.add(&secp, member.x_only_public_key().0, signatures).unwrap() {
            CovenantProgress::Partly(more) => partly = more,
            CovenantProgress::Verified(verified) => break verified,
        }
    };
    let mut service = Service::honest();
    *service.parts() = verified.package().parts;
    assert_eq!(service.verify().unwrap().delegation(), &verified.verified_parts());
}
