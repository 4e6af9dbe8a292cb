//! What a verdict says, and what follows from it.

use alloc::string::ToString;

use bitcoin::key::Secp256k1;
use bitcoin::{Amount, Transaction};
use tapstake_crypto::ExposedKey;
use tapstake_crypto::adaptor;
use tapstake_crypto::eots::{self, Seed, Vote};
use tapstake_params::{Height, local};
use tapstake_tx::Signatures;
use tapstake_tx::delegation::{DelegationPackage, VerifiedParts};

use crate::equivocation::{Evidence, SelectiveSlashing, SignedVote, SlashingEvidenceError};
use crate::tests::fixture::*;
use crate::{
    OwnHeaders, Policy, Rule, VerifyError, verify_slashable_in_trusted_block,
    verify_slashable_with_own_headers,
};

use super::service::*;

#[test]
fn the_verdict_says_for_how_much_the_stake_can_be_slashed_and_for_whom() {
    let service = Service::honest();
    let stake = service.verify().unwrap();
    assert_eq!(stake.included(), &service.world.verify().unwrap());
    assert_eq!(stake.known_providers(), [key(5)]);
    assert_eq!(stake.account(), &account());
    assert_eq!(stake.possession(), &possession(3, None));
    // A tenth of what is left after the unbonding fee of 1,000 sat.
    assert_eq!(stake.slashable(), Amount::from_sat(4_900));
    assert_eq!(stake.delegation().slashing().slashed(), Amount::from_sat(5_000));
    assert_eq!(stake.delegation().stake().outpoint(), stake.included().outpoint());
    assert_eq!(
        stake.to_string(),
        "slashable for 4900 sat, included at height 20, not reported spent as of tip 30, valid until height 110"
    );
}

#[test]
fn a_verified_stake_is_slashed_by_evidence_alone() {
    let service = Service::honest();
    let secp = &service.world.secp;
    let stake = service.verify().unwrap();
    let randomness = eots::randomness(secp, &Seed::new([6; 32]), b"a-service", 9);
    let votes = [[1; 32], [2; 32]].map(|block_hash| {
        let vote = Vote { height: 9, block_hash };
        SignedVote {
            service: "a-service".into(),
            provider: key(5),
            vote,
            public_randomness: randomness.public(),
            committed: None,
            signature: eots::sign(&pair(5), &randomness, &vote.message()),
        }
    });
    let equivocation = Evidence::TwoVotes(votes.into()).verify(secp).unwrap();
    let slashing = stake.delegation().slash(secp, equivocation.exposed_key()).unwrap();
    assert_eq!(slashing.compute_txid(), stake.delegation().slashing().tx().compute_txid());
    // What the bystander sends shows the key to everybody else, from either output.
    let slashing_of_unbonding = stake.delegation().slash_unbonding(secp, equivocation.exposed_key()).unwrap();
    for slashing in [slashing, slashing_of_unbonding] {
        let evidence = SelectiveSlashing::from_verified(secp, stake.delegation(), slashing).unwrap();
        let again = Evidence::SelectiveSlashing(evidence.into()).verify(secp).unwrap();
        assert_eq!(again.exposed_key(), equivocation.exposed_key());
    }
}

#[test]
fn a_slashing_and_the_delegation_file_show_which_provider_slashed() {
    let secp = Secp256k1::new();
    let (mut package, verified) = package_of_two_providers();
    for byte in [5, 7] {
        let exposed = ExposedKey::from_bytes(&secp, &[byte; 32], &key(byte)).unwrap();
        for slashing in [verified.slash(&secp, &exposed), verified.slash_unbonding(&secp, &exposed)] {
            let evidence = SelectiveSlashing::from_package(&secp, &package, slashing.unwrap()).unwrap();
            assert_eq!(evidence.provider, key(byte));
            let equivocation = Evidence::SelectiveSlashing(evidence.into()).verify(&secp).unwrap();
            assert_eq!(equivocation.provider(), key(byte));
        }
    }

    let exposed = ExposedKey::from_bytes(&secp, &[5; 32], &key(5)).unwrap();
    let slashing = verified.slash(&secp, &exposed).unwrap();
    let refusal = |package: &DelegationPackage, tx: &Transaction| {
        SelectiveSlashing::from_package(&secp, package, tx.clone()).unwrap_err()
    };
    let mut unsigned = slashing.clone();
    unsigned.input[0].witness.clear();
    assert_eq!(refusal(&package, &unsigned), SlashingEvidenceError::Leaf);
    let mut joined = slashing.clone();
    joined.input.push(joined.input[0].clone());
    assert_eq!(refusal(&package, &joined), SlashingEvidenceError::Inputs { inputs: 2 });
    let spent = slashing.input[0].previous_output;
    for vout in [0, 99] {
        package.vout = vout;
        assert_eq!(refusal(&package, &slashing), SlashingEvidenceError::OtherStake { spent });
    }
    package.parts.unbonding_tx.output.clear();
    assert_eq!(refusal(&package, &slashing), SlashingEvidenceError::OtherStake { spent });
}

#[test]
fn of_two_providers_that_share_a_slashing_the_one_that_decrypted_is_exposed() {
    let secp = Secp256k1::new();
    let (package, verified) = package_of_two_providers();
    let (stake, slashing) = (verified.stake(), verified.slashing());
    let spend = slashing.spend(stake.coin());
    let providers = package.providers.keys();
    for (position, decrypts) in providers.iter().enumerate() {
        let byte = if *decrypts == key(5) { 5 } else { 7 };
        let exposed = ExposedKey::from_bytes(&secp, &[byte; 32], decrypts).unwrap();
        let signs = pair(12 - byte);
        let decrypted = package.parts.covenant.iter().map(|(member, given)| {
            (*member, adaptor::decrypt(&given.slashing[position], decrypts, &exposed).unwrap())
        });
        let mut signatures: Signatures = decrypted.collect();
        signatures.insert(key(3), package.parts.staker.unwrap().slashing);
        signatures.extend([spend.sign(&secp, &signs, &[0; 32])]);
        let tx = slashing.finish(&secp, stake.coin(), &signatures).unwrap();

        let evidence = SelectiveSlashing::from_package(&secp, &package, tx.clone()).unwrap();
        assert_eq!(evidence.provider, *decrypts);
        assert_eq!(SelectiveSlashing::from_verified(&secp, &verified, tx).unwrap(), evidence);
        let equivocation = Evidence::SelectiveSlashing(evidence.into()).verify(&secp).unwrap();
        assert_eq!(equivocation.exposed_key(), &exposed);
    }
}

#[test]
fn a_slashing_that_no_providers_adaptor_signatures_went_into_is_no_evidence() {
    let secp = Secp256k1::new();
    let (package, verified) = package_of_two_providers();
    let (stake, slashing) = (verified.stake(), verified.slashing());
    let spend = slashing.spend(stake.coin());
    let signers = local::covenant_keypairs(&secp).into_iter().take(3).chain([pair(3), pair(7)]);
    let signatures: Signatures = signers.map(|signer| spend.sign(&secp, &signer, &[9; 32])).collect();
    let tx = slashing.finish(&secp, stake.coin(), &signatures).unwrap();
    let evidence = SelectiveSlashing::from_package(&secp, &package, tx).unwrap();
    assert_eq!((evidence.provider, evidence.adaptor_signatures.len()), (key(7), 3));
    assert_eq!(Evidence::SelectiveSlashing(evidence.into()).verify(&secp).unwrap_err().rule(), "extraction");
}

/// A delegation file as it is when everybody has signed, and what it is when it is checked.
fn package_of_two_providers() -> (DelegationPackage, VerifiedParts) {
    let service = Service::with_two_providers();
    let stake = service.world.proof.inclusion.tx().clone();
    let providers = service.world.proof.claim.providers.clone();
    let delegation = pre_signed(providers, stake);
    let package = DelegationPackage { parts: signed_by(3, &delegation), ..delegation.package() };
    (package, service.verify().unwrap().delegation().clone())
}

#[test]
fn wherever_the_headers_come_from_the_verdict_is_the_same() {
    let mut service = Service::honest();
    let expected = service.verify().unwrap();
    let own = OwnHeaders { start_height: Height::GENESIS, headers: service.world.headers.clone() };
    service.world.proof.own_headers = Some(own);
    service.policy.stake.least_work = Some(Policy::work_of_blocks(service.world.headers[0].bits, 1));
    let World { secp, proof, schedule, .. } = &service.world;
    let verified = verify_slashable_with_own_headers(secp, proof, None, schedule, &service.policy);
    assert_eq!(verified.unwrap(), expected);

    service.policy.stake = Policy::new(crate::Depth::Confirmations(1));
    let block = (proof.inclusion_height, proof.block_hash());
    let verified = verify_slashable_in_trusted_block(secp, proof, block, schedule, &service.policy).unwrap();
    assert_eq!(verified.delegation(), expected.delegation());
    assert_eq!(verified.included().confirmations(), 1);

    let mut without = proof.clone();
    without.delegation = None;
    for verdict in [
        verify_slashable_in_trusted_block(secp, &without, block, schedule, &service.policy),
        service.verify_proof(&without),
    ] {
        assert_eq!(verdict, Err(VerifyError::NoDelegation));
    }
    service.policy.stake.least_work = Some(Policy::work_of_blocks(service.world.headers[0].bits, 1));
    let verdict = verify_slashable_with_own_headers(secp, &without, None, schedule, &service.policy);
    assert_eq!(verdict, Err(VerifyError::NoDelegation));
}

#[test]
fn a_stake_that_is_not_on_bitcoin_is_not_slashable() {
    let mut service = Service::honest();
    service.world.proof.inclusion_height = Height::new(HEIGHT + 1);
    assert_eq!(service.verify().unwrap_err().rule(), Rule::BestChain);
    let mut service = Service::honest();
    service.world.proof.claim.staker = key(9);
    assert_eq!(service.verify().unwrap_err().rule(), Rule::StakingOutput);
}
