//! Rules 15 to 17, each broken alone, on a proof that holds.

use alloc::string::ToString;

use bitcoin::key::{Keypair, Secp256k1};
use bitcoin::script::Builder;
use bitcoin::secp256k1::SecretKey;
use bitcoin::{Amount, Network, ScriptBuf, Sequence, Transaction, TxOut, Txid, WPubkeyHash, Witness};
use proptest::prelude::*;
use tapstake_crypto::ExposedKey;
use tapstake_crypto::eots::{self, Seed, Vote};
use tapstake_crypto::pop::{Account, Context, PossessionForm, ProofOfPossession};
use tapstake_params::{Height, Schedule, local};
use tapstake_script::Providers;
use tapstake_tx::delegation::{
    CovenantProgress, CovenantSignatures, Delegation, DelegationError, DelegationPackage, DelegationParts,
    Draft, PreSigned, SignedTx, VerifiedParts,
};

use super::fixture::*;
use crate::equivocation::{Evidence, SelectiveSlashing, SignedVote, SlashingEvidenceError};
use crate::{
    OwnHeaders, Policy, Rule, ServicePolicy, StakeProof, VerifiedStake, VerifyError, verify_slashable,
    verify_slashable_in_trusted_block, verify_slashable_with_own_headers,
};

fn pair(byte: u8) -> Keypair {
    Keypair::from_secret_key(&Secp256k1::new(), &SecretKey::from_slice(&[byte; 32]).unwrap())
}

fn account() -> Account {
    Account::from_raw(&[0xab; 20]).unwrap()
}

fn context() -> Context {
    Context::new("a-service", Network::Regtest).unwrap()
}

fn possession(byte: u8, context: Option<Context>) -> ProofOfPossession {
    ProofOfPossession::bip340(&Secp256k1::new(), &pair(byte), account(), context, &[0; 32])
}

/// The delegation on top of the fixture's stake, signed by its staker.
fn pre_signed(providers: Providers, staking_tx: Transaction) -> Delegation<PreSigned> {
    let secp = Secp256k1::new();
    let schedule = schedule();
    let params = schedule.latest();
    let fee = params.slashing.as_ref().unwrap().min_fee;
    let script_pubkey = ScriptBuf::new_p2wpkh(&WPubkeyHash::from_raw_hash(bitcoin::hashes::Hash::hash(b"")));
    let prevouts = [TxOut { value: Amount::from_sat(1_000_000), script_pubkey }];
    let mut terms = terms();
    terms.parties =
        tapstake_script::Parties::new(terms.parties.staker(), providers, params.covenant.clone()).unwrap();
    let value = Amount::from_sat(VALUE);
    let draft =
        Delegation::<Draft>::build(&secp, Network::Regtest, params, terms, staking_tx, &prevouts, value, fee);
    draft.unwrap().sign(&secp, &pair(3), &[0; 32], possession(3, None)).unwrap()
}

/// With the signatures of so many members.
fn signed_by(members: usize, delegation: &Delegation<PreSigned>) -> DelegationParts {
    let secp = Secp256k1::new();
    let keys = local::covenant_keypairs(&secp);
    let mut parts = delegation.package().parts;
    for member in &keys[..members] {
        let signatures = delegation.covenant_signatures(&secp, member, &[0; 32]);
        parts.covenant.insert(member.x_only_public_key().0, signatures);
    }
    parts
}

/// A service that knows the stake's provider, and a proof that it takes: three of five members have signed.
struct Service {
    world: World,
    policy: ServicePolicy,
}

impl Service {
    fn honest() -> Self {
        let mut world = World::honest();
        let delegation = pre_signed(claim().providers, staking_tx());
        world.proof.delegation = Some(signed_by(3, &delegation));
        Service::of(world)
    }

    fn with_two_providers() -> Self {
        let providers = Providers::new(alloc::vec![key(5), key(7)]).unwrap();
        let mut stake = staking_tx();
        let terms = tapstake_script::StakeTerms::under(
            schedule().latest(),
            claim().staker,
            providers.clone(),
            claim().staking_time,
        );
        let output = terms.unwrap().staking_output(&Secp256k1::new());
        stake.output[1].script_pubkey = output.script_pubkey().clone();
        let mut world = World::with_stake(stake.clone());
        world.proof.claim.providers = providers.clone();
        world.proof.delegation = Some(signed_by(3, &pre_signed(providers, stake)));
        Service::of(world)
    }

    fn of(world: World) -> Self {
        let policy = ServicePolicy::new(world.policy.clone(), [key(5)]);
        Service { world, policy }
    }

    fn parts(&mut self) -> &mut DelegationParts {
        self.world.proof.delegation.as_mut().unwrap()
    }

    fn member(&mut self, index: usize) -> &mut CovenantSignatures {
        self.parts().covenant.values_mut().nth(index).unwrap()
    }

    fn verify(&self) -> Result<VerifiedStake, VerifyError> {
        self.verify_proof(&self.world.proof)
    }

    fn verify_proof(&self, proof: &StakeProof) -> Result<VerifiedStake, VerifyError> {
        let World { secp, chain, schedule, .. } = &self.world;
        verify_slashable(secp, proof, chain, schedule, &self.policy)
    }

    /// Breaks an honest proof, and sees which rule refuses it.
    fn broken(change: impl FnOnce(&mut Service)) -> VerifyError {
        let mut service = Service::honest();
        change(&mut service);
        // What is wrong with a delegation says nothing against the stake's being on Bitcoin.
        assert!(service.world.verify().is_ok());
        service.verify().unwrap_err()
    }
}

fn delegation_error(error: &VerifyError) -> &DelegationError {
    match error {
        VerifyError::Delegation(error) => error,
        other => panic!("{other}"),
    }
}

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
fn possession_of_the_stakers_key_is_proven() {
    let missing = Service::broken(|service| service.parts().possession = None);
    assert_eq!(missing, VerifyError::from(DelegationError::PossessionMissing));
    assert_eq!(missing.rule().to_string(), "rule 16 (possession)");
    let another = Service::broken(|service| service.parts().possession = Some(possession(9, None)));
    assert!(matches!(delegation_error(&another), DelegationError::Possession(_)));
    assert_eq!(another.rule(), Rule::Possession);
    let moved = Service::broken(|service| {
        service.parts().possession.as_mut().unwrap().account = Account::from_raw(&[0xac; 20]).unwrap();
    });
    assert_eq!(moved.rule(), Rule::Possession);
}

#[test]
fn the_policy_says_which_forms_of_possession_it_takes() {
    let secp = Secp256k1::new();
    let staker = pair(3);
    let proofs = [
        possession(3, None),
        ProofOfPossession::bip322_p2tr(&secp, &staker, account(), None, &[0; 32]),
        ProofOfPossession::bip322_p2wpkh(&secp, &staker, account(), None),
        ProofOfPossession::bip137(&secp, &staker, account(), None),
    ];
    for proof in proofs {
        let mut service = Service::honest();
        let form = proof.form();
        service.parts().possession = Some(proof);
        assert!(service.verify().is_ok(), "{form}");
        service.policy.possession_forms = alloc::vec![form];
        assert!(service.verify().is_ok(), "{form}");
        service.policy.possession_forms =
            PossessionForm::ALL.into_iter().filter(|other| *other != form).collect();
        let error = service.verify().unwrap_err();
        let accepted = service.policy.possession_forms.clone();
        assert_eq!(error, VerifyError::PossessionForm { form, accepted });
        assert_eq!(error.rule(), Rule::PossessionForm);
    }
}

#[test]
fn possession_is_proven_for_this_service_on_this_network() {
    let required = |found: Option<Context>, expected: Option<Context>| {
        let mut service = Service::honest();
        service.parts().possession = Some(possession(3, found));
        service.policy.possession_context = expected;
        service.verify()
    };
    assert!(required(None, None).is_ok());
    assert!(required(Some(context()), Some(context())).is_ok());
    let other_service = Context::new("another-service", Network::Regtest).unwrap();
    let other_network = Context::new("a-service", Network::Signet).unwrap();
    for (found, expected) in [
        (None, Some(context())),
        (Some(context()), None),
        (Some(other_service), Some(context())),
        (Some(other_network), Some(context())),
    ] {
        let error = required(found.clone(), expected.clone()).unwrap_err();
        assert_eq!(error, VerifyError::PossessionContext { found, expected });
        assert_eq!(error.rule(), Rule::PossessionContext);
    }
    // A policy that asks for proofs of another network than the stake's is none for it.
    let signet = Context::new("a-service", Network::Signet).unwrap();
    let error = required(Some(signet.clone()), Some(signet)).unwrap_err();
    assert_eq!(error.to_string(), "proof is of regtest, the service's proofs of possession of signet");
    assert_eq!(error.rule(), Rule::Network);
    // The account's signature does not become one for a service by saying so.
    let mut service = Service::honest();
    service.parts().possession.as_mut().unwrap().context = Some(context());
    service.policy.possession_context = Some(context());
    assert_eq!(service.verify().unwrap_err().rule(), Rule::Possession);
}

#[test]
fn a_provider_that_the_service_does_not_know_secures_it_not() {
    let mut service = Service::honest();
    service.policy.providers = [key(7)].into();
    let error = service.verify().unwrap_err();
    assert_eq!(error, VerifyError::UnknownProviders { providers: alloc::vec![key(5)] });
    assert_eq!(error.rule().to_string(), "rule 17 (known-provider)");
}

#[test]
fn a_slashed_provider_is_refused_whichever_service_it_voted_for() {
    let mut service = Service::with_two_providers();
    assert!(service.verify().is_ok());
    for slashed in [key(5), key(7)] {
        service.policy.slashed_providers = [slashed].into();
        let error = service.verify().unwrap_err();
        assert_eq!(error, VerifyError::SlashedProvider { provider: slashed });
        assert_eq!(error.rule(), Rule::SlashedProvider);
    }
}

#[test]
fn a_provider_slashed_before_activation_does_not_come_back_with_a_pending_stake() {
    let mut service = Service::with_two_providers();
    let pending = service.verify().unwrap();
    service.policy.providers.insert(key(7));
    let active = pending.clone().recheck_providers(&service.policy).unwrap();
    assert_eq!(active.known_providers().len(), 2, "as the service knows them now");
    service.policy.slashed_providers = [key(5)].into();
    let error = pending.clone().recheck_providers(&service.policy).unwrap_err();
    assert_eq!(error, VerifyError::SlashedProvider { provider: key(5) });
    service.policy.slashed_providers.clear();
    service.policy.providers.clear();
    assert_eq!(pending.recheck_providers(&service.policy).unwrap_err().rule(), Rule::KnownProvider);
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

#[test]
fn a_delegation_comes_back_from_both_encodings() {
    for proof in [Service::honest().world.proof, Service::with_two_providers().world.proof] {
        assert_eq!(proof.version(), 2);
        let bytes = proof.to_bytes();
        assert_eq!(bytes[4..6], [2, 0]);
        assert_eq!(StakeProof::from_bytes(&bytes).unwrap(), proof);
        let json = serde_json::to_string(&proof).unwrap();
        assert!(json.starts_with("{\"version\":2,"), "{json}");
        assert_eq!(serde_json::from_str::<StakeProof>(&json).unwrap(), proof);
    }
}

#[test]
fn each_version_has_its_fields() {
    let with = Service::honest().world.proof;
    let without = StakeProof { delegation: None, ..with.clone() };
    assert_eq!(without.version(), 1);
    for (proof, from, to) in [(&with, 2, 1), (&without, 1, 2)] {
        let (from, to) = (alloc::format!("\"version\":{from}"), alloc::format!("\"version\":{to}"));
        let json = serde_json::to_string(proof).unwrap();
        let error = serde_json::from_str::<StakeProof>(&json.replacen(&from, &to, 1)).unwrap_err();
        assert!(error.to_string().contains("version 2 carries a delegation, version 1 does not"), "{error}");
        let mut bytes = proof.to_bytes();
        bytes[4] ^= 3;
        assert!(StakeProof::from_bytes(&bytes).is_err());
    }
}

#[test]
fn absurd_counts_in_a_delegation_are_refused_before_memory_is_taken() {
    let bytes = Service::honest().world.proof.to_bytes();
    let without = StakeProof { delegation: None, ..Service::honest().world.proof }.to_bytes().len();
    // Wherever a count may stand, the greatest there is.
    for at in without..bytes.len() - 9 {
        let absurd = [&bytes[..at], &[0xff; 9]].concat();
        assert!(StakeProof::from_bytes(&absurd).is_err(), "byte {at}");
    }
    for length in without..bytes.len() {
        assert!(StakeProof::from_bytes(&bytes[..length]).is_err(), "{length} bytes");
    }
}

/// Flips each bit of these bytes of the service's proof, all of which must be refused. Says how many still decode.
fn flip(service: &Service, bytes: core::ops::Range<usize>) -> usize {
    let honest = service.world.proof.to_bytes();
    assert!(service.verify_proof(&StakeProof::from_bytes(&honest).unwrap()).is_ok());
    let mut decoded = 0;
    for bit in bytes.start * 8..bytes.end * 8 {
        let mut changed = honest.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        if let Ok(proof) = StakeProof::from_bytes(&changed) {
            decoded += 1;
            let result = service.verify_proof(&proof);
            assert!(result.is_err(), "bit {} of byte {} of {}", bit % 8, bit / 8, honest.len());
        }
    }
    decoded
}

#[test]
fn every_changed_bit_of_a_proof_with_a_delegation_is_refused() {
    let service = Service::honest();
    let length = service.world.proof.to_bytes().len();
    let decoded = flip(&service, 0..length);
    assert!(decoded > length, "most decode, and are refused by verification: {decoded}");
}

#[test]
fn every_changed_bit_of_a_proof_of_possession_is_refused_in_every_form() {
    let secp = Secp256k1::new();
    let staker = pair(3);
    for context in [None, Some(context())] {
        for proof in [
            possession(3, context.clone()),
            ProofOfPossession::bip322_p2tr(&secp, &staker, account(), context.clone(), &[0; 32]),
            ProofOfPossession::bip322_p2wpkh(&secp, &staker, account(), context.clone()),
            ProofOfPossession::bip137(&secp, &staker, account(), context.clone()),
        ] {
            let bytes = proof.to_bytes();
            // The first of a BIP-0137 signature's 65 bytes also says which address a wallet shows for the key. Nobody signs
            // that, and nothing hangs on it: keys are compared.
            let is_bip137 = proof.form() == PossessionForm::Bip137;
            let header = if is_bip137 { bytes.len() - 65 } else { bytes.len() };
            let mut service = Service::honest();
            service.parts().possession = Some(proof);
            service.policy.possession_context = context.clone();
            let whole = service.world.proof.to_bytes();
            let from = whole.windows(bytes.len()).position(|window| window == bytes).unwrap();
            let rest = from + header + usize::from(is_bip137);
            let decoded = flip(&service, from..from + header) + flip(&service, rest..from + bytes.len());
            assert!(decoded > 0);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_mutilated_delegation_panics_or_passes(
        at in 0usize..1300, length in 0usize..200, with in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let service = Service::honest();
        let without = StakeProof { delegation: None, ..service.world.proof.clone() }.to_bytes().len();
        let honest = service.world.proof.to_bytes();
        let from = (without + at).min(honest.len());
        let to = (from + length).min(honest.len());
        let mut bytes = honest.clone();
        bytes.splice(from..to, with);
        prop_assume!(bytes != honest);
        if let Ok(proof) = StakeProof::from_bytes(&bytes) {
            prop_assert!(service.verify_proof(&proof).is_err());
        }
    }
}
