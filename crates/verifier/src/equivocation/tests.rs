//! What is evidence, and what forgers try.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use bitcoin::hashes::Hash;
use bitcoin::key::{Keypair, Secp256k1};
use bitcoin::secp256k1::{All, Parity, SecretKey, XOnlyPublicKey};
use bitcoin::{Amount, Network, OutPoint, Transaction, TxOut, Txid, Witness};
use proptest::prelude::*;
use tapstake_crypto::ExposedKey;
use tapstake_crypto::adaptor::{self, AdaptorSignature};
use tapstake_crypto::eots::{self, CommitmentTree, EotsSignature, Seed, Vote};
use tapstake_params::{Schedule, Timelock, local};
use tapstake_script::{Providers, StakeTerms};
use tapstake_tx::{Signatures, SlashingTx, Stake, UnbondingTx};

use super::*;

const HEIGHT: u64 = 1000;

fn pair(byte: u8) -> Keypair {
    Keypair::from_secret_key(&Secp256k1::new(), &SecretKey::from_slice(&[byte; 32]).unwrap())
}

fn key(byte: u8) -> XOnlyPublicKey {
    pair(byte).x_only_public_key().0
}

fn seed() -> Seed {
    Seed::new([6; 32])
}

fn vote_of(provider: &Keypair, service: &str, height: u64, block: u8) -> SignedVote {
    let randomness = eots::randomness(&Secp256k1::new(), &seed(), service.as_bytes(), height);
    let vote = Vote { height, block_hash: [block; 32] };
    SignedVote {
        service: service.into(),
        provider: provider.x_only_public_key().0,
        vote,
        public_randomness: randomness.public(),
        committed: None,
        signature: eots::sign(provider, &randomness, &vote.message()),
    }
}

fn vote(block: u8) -> SignedVote {
    vote_of(&pair(5), "a-service", HEIGHT, block)
}

fn committed_vote(block: u8) -> SignedVote {
    let secp = Secp256k1::new();
    let randomness = |height| eots::randomness(&secp, &seed(), b"a-service", height).public();
    let tree = CommitmentTree::new(HEIGHT - 3, (HEIGHT - 3..HEIGHT + 4).map(randomness)).unwrap();
    let committed = CommittedRandomness {
        commitment: tree.commitment().sign(&secp, &pair(5), &[0; 32]),
        proof: tree.proof(HEIGHT).unwrap(),
    };
    SignedVote { committed: Some(committed), ..vote(block) }
}

fn two_votes(first: SignedVote, second: SignedVote) -> Evidence {
    Evidence::TwoVotes(Box::new([first, second]))
}

fn refusal(first: SignedVote, second: SignedVote) -> EvidenceError {
    two_votes(first, second).verify(&Secp256k1::new()).unwrap_err()
}

#[test]
fn two_blocks_at_one_height_give_the_providers_key() {
    let secp = Secp256k1::new();
    for provider in [5, 6, 7, 8].map(pair) {
        let [first, second] = [1, 2].map(|block| vote_of(&provider, "a-service", HEIGHT, block));
        let equivocation = two_votes(first, second).verify(&secp).unwrap();
        let public = provider.x_only_public_key().0;
        assert_eq!(equivocation.provider(), public);
        let exposed = equivocation.exposed_key().keypair(&secp);
        assert_eq!(exposed.x_only_public_key(), (public, Parity::Even));
        let expected = Equivocation::TwoVotes {
            service: "a-service".into(),
            height: HEIGHT,
            block_hashes: [[1; 32], [2; 32]],
        };
        assert_eq!(equivocation.equivocation(), &expected);
    }
}

#[test]
fn committed_votes_are_evidence_too() {
    let evidence = two_votes(committed_vote(1), committed_vote(2));
    assert_eq!(evidence.verify(&Secp256k1::new()).unwrap().provider(), key(5));
}

#[test]
fn one_vote_twice_is_no_equivocation() {
    assert_eq!(refusal(vote(1), vote(1)), EvidenceError::SameBlock);
    assert_eq!(refusal(vote(1), committed_vote(1)).rule(), "two-blocks");
}

#[test]
fn votes_at_two_heights_are_no_equivocation() {
    let other = vote_of(&pair(5), "a-service", HEIGHT + 1, 2);
    let error = refusal(vote(1), other);
    assert_eq!(error, EvidenceError::OtherHeight { first: HEIGHT, second: HEIGHT + 1 });
    assert_eq!(error.rule(), "same-height");
}

#[test]
fn votes_for_two_services_are_no_equivocation() {
    let other = vote_of(&pair(5), "another-service", HEIGHT, 2);
    assert_eq!(refusal(vote(1), other.clone()).rule(), "same-service");
    // Under one name they still have two randomnesses, and reveal nothing.
    let renamed = SignedVote { service: "a-service".into(), ..other };
    assert!(renamed.check(&Secp256k1::new()).is_ok(), "the name is not signed");
    assert_eq!(refusal(vote(1), renamed).rule(), "same-randomness");
}

#[test]
fn votes_of_two_providers_are_no_equivocation() {
    let other = vote_of(&pair(7), "a-service", HEIGHT, 2);
    let error = refusal(vote(1), other.clone());
    assert_eq!(error, EvidenceError::OtherProvider(Box::new([key(5), key(7)])));
    // Another's vote does not become one's own by its name.
    let claimed = SignedVote { provider: key(5), ..other };
    assert_eq!(refusal(vote(1), claimed).rule(), "vote-signature");
}

#[test]
fn a_vote_moved_to_another_block_or_height_does_not_verify() {
    let mut other = vote(2);
    other.vote.block_hash = [3; 32];
    let error = refusal(vote(1), other.clone());
    assert!(matches!(error, EvidenceError::Vote { second: true, error: VoteError::Signature(_) }));
    assert_eq!(error.rule(), "vote-signature");
    assert!(matches!(refusal(other, vote(1)), EvidenceError::Vote { second: false, .. }));
    let mut moved = vote_of(&pair(5), "a-service", HEIGHT + 1, 2);
    moved.vote.height = HEIGHT;
    assert_eq!(refusal(vote(1), moved.clone()).rule(), "same-randomness");
    moved.public_randomness = vote(1).public_randomness;
    assert_eq!(refusal(vote(1), moved).rule(), "vote-signature");
}

#[test]
fn a_commitment_that_is_given_must_hold() {
    let secp = Secp256k1::new();
    assert_eq!(committed_vote(1).check(&secp), Ok(()));
    let mut other = committed_vote(1);
    other.committed.as_mut().unwrap().commitment.commitment.start += 1;
    assert!(matches!(other.check(&secp), Err(VoteError::Commitment(_))), "no longer signed");
    let mut foreign = committed_vote(1);
    let committed = foreign.committed.as_mut().unwrap();
    committed.commitment = committed.commitment.commitment.sign(&secp, &pair(7), &[0; 32]);
    assert!(matches!(foreign.check(&secp), Err(VoteError::Commitment(_))), "signed by another");
    let mut uncommitted = committed_vote(1);
    let committed = uncommitted.committed.as_mut().unwrap();
    committed.commitment.commitment.start += 1;
    committed.commitment = committed.commitment.commitment.sign(&secp, &pair(5), &[0; 32]);
    assert!(matches!(uncommitted.check(&secp), Err(VoteError::Commitment(_))), "to another height's");
    assert_eq!(refusal(vote(2), uncommitted).rule(), "vote-commitment");
}

#[test]
fn names_of_services_are_short_and_print() {
    let secp = Secp256k1::new();
    for (name, fine) in [("a", true), ("", false), ("a\u{1b}[2J", false), ("zwölf", false), ("a b", false)] {
        let named = SignedVote { service: name.into(), ..vote(1) };
        assert_eq!(named.check(&secp).is_ok(), fine, "{name:?}");
        let json = serde_json::to_string(&named).unwrap();
        assert_eq!(serde_json::from_str::<SignedVote>(&json).is_ok(), fine, "{name:?}");
    }
    for (length, fine) in [(MAX_SERVICE_LENGTH, true), (MAX_SERVICE_LENGTH + 1, false)] {
        let named = SignedVote { service: "x".repeat(length), ..vote(1) };
        assert_eq!(named.check(&secp).is_ok(), fine, "{length}");
    }
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap()
}

#[test]
fn a_vote_file_has_the_documented_fields_in_the_documented_order() {
    let text = json(&committed_vote(1));
    let mut from = 0;
    for field in [
        "version",
        "service",
        "provider",
        "height",
        "block_hash",
        "public_randomness",
        "committed",
        "commitment",
        "commitment",
        "start",
        "count",
        "root",
        "signature",
        "proof",
        "signature",
    ] {
        let name = alloc::format!("\"{field}\":");
        from += text[from..].find(&name).unwrap_or_else(|| panic!("{field} after byte {from}")) + name.len();
    }
    assert!(text.starts_with("{\"version\":1,\"service\":\"a-service\","));
    assert!(text.contains(&alloc::format!("\"block_hash\":\"{}\"", "01".repeat(32))));
    assert_eq!(serde_json::from_str::<SignedVote>(&text).unwrap(), committed_vote(1));
    assert_eq!(serde_json::from_str::<SignedVote>(&json(&vote(1))).unwrap(), vote(1));
}

#[test]
fn other_versions_and_unknown_fields_are_refused() {
    let text = json(&vote(1));
    for (from, to, says) in [
        ("\"version\":1", "\"version\":2", "file of version 2: this program reads version 1"),
        ("\"version\":1,", "", "missing field `version`"),
        ("\"version\":1,", "\"version\":1,\"more\":1,", "unknown field `more`"),
        ("\"height\":1000", "\"height\":1000,\"height\":1000", "duplicate field `height`"),
        ("\"height\":1000", "\"height\":-1", "invalid value"),
    ] {
        let changed = text.replace(from, to);
        assert_ne!(changed, text);
        let error = serde_json::from_str::<SignedVote>(&changed).unwrap_err();
        assert!(error.to_string().starts_with(says), "{error}");
    }
    let text = json(&two_votes(vote(1), vote(2)));
    assert!(text.starts_with("{\"version\":1,\"evidence\":{\"two_votes\":[{\"version\":1,"), "{text}");
    for (from, to) in [
        ("{\"version\":1,\"evidence\"", "{\"version\":2,\"evidence\""),
        ("{\"version\":1,\"evidence\"", "{\"version\":1,\"more\":1,\"evidence\""),
        ("{\"two_votes\":[", "{\"two_votes\":[{},"),
        ("{\"two_votes\"", "{\"three_votes\""),
        ("]}}", "],\"two_votes\":[]}}"),
    ] {
        let changed = text.replace(from, to);
        assert_ne!(changed, text);
        assert!(serde_json::from_str::<Evidence>(&changed).is_err(), "{changed}");
    }
}

/// A stake of two providers, slashed by the first of them, from the staking or the unbonding output.
struct Slashed {
    secp: Secp256k1<All>,
    stake: Stake,
    evidence: SelectiveSlashing,
}

fn schedule() -> Schedule {
    local::schedule(&Secp256k1::new(), Network::Regtest, local::Slashed::Burned).unwrap()
}

fn slashed(of_unbonding: bool) -> Slashed {
    let secp = Secp256k1::new();
    let schedule = schedule();
    let params = schedule.latest();
    let providers = Providers::new(alloc::vec![key(5), key(7)]).unwrap();
    let terms = StakeTerms::under(params, key(3), providers, Timelock::new(100).unwrap()).unwrap();
    let outpoint = OutPoint::new(Txid::hash(b"stake"), 1);
    let stake = Stake::new(&secp, terms, outpoint, Amount::from_sat(100_000));
    let rules = params.slashing.as_ref().unwrap();
    let unbonding = UnbondingTx::build(&secp, &stake, params.unbonding_fee).unwrap();
    let (prevout, tx, digest) = if of_unbonding {
        let coin = unbonding.coin();
        let tx = SlashingTx::build(coin, stake.refund_output(), rules, rules.min_fee).unwrap();
        (coin.to_txout(), tx.clone(), tx.spend(coin).sighash())
    } else {
        let coin = stake.coin();
        let tx = SlashingTx::build(coin, stake.refund_output(), rules, rules.min_fee).unwrap();
        (coin.to_txout(), tx.clone(), tx.spend(coin).sighash())
    };
    let message: [u8; 32] = *digest.as_ref();

    // What the committee gave in advance, and what the provider makes of it.
    let encrypt = |member: &Keypair| {
        (member.x_only_public_key().0, adaptor::sign(&secp, member, &key(5), &message, &[1; 32]))
    };
    let adaptor_signatures: BTreeMap<XOnlyPublicKey, AdaptorSignature> =
        local::covenant_keypairs(&secp)[..3].iter().map(encrypt).collect();
    let provider = ExposedKey::from_bytes(&secp, &[5; 32], &key(5)).unwrap();
    let mut signatures: Signatures = adaptor_signatures
        .iter()
        .map(|(member, adaptor)| (*member, adaptor::decrypt(adaptor, &key(5), &provider).unwrap()))
        .collect();
    for signer in [pair(3), pair(5)] {
        let signature = secp.sign_schnorr_with_aux_rand(&digest.into(), &signer, &[2; 32]);
        signatures.insert(signer.x_only_public_key().0, signature);
    }
    let slashing_tx = if of_unbonding {
        tx.finish(&secp, unbonding.coin(), &signatures)
    } else {
        tx.finish(&secp, stake.coin(), &signatures)
    };
    let evidence = SelectiveSlashing {
        slashing_tx: slashing_tx.unwrap(),
        prevout,
        provider: key(5),
        adaptor_signatures,
    };
    Slashed { secp, stake, evidence }
}

impl Slashed {
    fn verify(&self) -> Result<VerifiedEquivocation, EvidenceError> {
        Evidence::SelectiveSlashing(Box::new(self.evidence.clone())).verify(&self.secp)
    }

    fn refusal(&self) -> SlashingEvidenceError {
        match self.verify() {
            Err(EvidenceError::Slashing(error)) => error,
            other => panic!("{other:?}"),
        }
    }

    fn with_items(&mut self, change: impl FnOnce(&mut Vec<Vec<u8>>)) {
        let witness = &mut self.evidence.slashing_tx.input[0].witness;
        let mut items = witness.to_vec();
        change(&mut items);
        *witness = Witness::from_slice(&items);
    }
}

#[test]
fn a_provider_that_slashes_its_own_staker_reveals_its_key() {
    for of_unbonding in [false, true] {
        let slashed = slashed(of_unbonding);
        let equivocation = slashed.verify().unwrap();
        assert_eq!(equivocation.provider(), key(5));
        assert_eq!(equivocation.exposed_key().keypair(&slashed.secp).x_only_public_key().0, key(5));
        let tx = &slashed.evidence.slashing_tx;
        let expected = Equivocation::Slashing {
            staker: key(3),
            spent: tx.input[0].previous_output,
            txid: tx.compute_txid(),
        };
        assert_eq!(equivocation.equivocation(), &expected);
        assert_eq!(tx.input[0].previous_output == slashed.stake.outpoint(), !of_unbonding);
    }
}

#[test]
fn one_adaptor_signature_of_those_in_the_witness_is_enough() {
    let mut slashed = slashed(false);
    let all = slashed.evidence.adaptor_signatures.clone();
    for (member, adaptor) in &all {
        slashed.evidence.adaptor_signatures = [(*member, *adaptor)].into();
        assert_eq!(slashed.verify().unwrap().provider(), key(5));
    }
    slashed.evidence.adaptor_signatures.clear();
    let (txid, provider) = (slashed.evidence.slashing_tx.compute_txid(), key(5));
    assert_eq!(slashed.refusal(), SlashingEvidenceError::NotExtracted { given: 0, txid, provider });
}

#[test]
fn adaptor_signatures_of_others_or_for_others_reveal_nothing() {
    let mut slashed = slashed(false);
    let digest = [9; 32];
    let member = local::covenant_keypairs(&slashed.secp)[0];
    let public = member.x_only_public_key().0;
    for adaptor in [
        // Over another transaction; encrypted to the other provider; by a key that is no member's.
        (public, adaptor::sign(&slashed.secp, &member, &key(5), &digest, &[1; 32])),
        (public, adaptor::sign(&slashed.secp, &member, &key(7), &digest, &[1; 32])),
        (key(9), adaptor::sign(&slashed.secp, &pair(9), &key(5), &digest, &[1; 32])),
    ] {
        slashed.evidence.adaptor_signatures = [adaptor].into();
        assert!(matches!(slashed.refusal(), SlashingEvidenceError::NotExtracted { given: 1, .. }));
    }
    slashed.evidence.adaptor_signatures = (10..16)
        .map(|byte| (key(byte), adaptor::sign(&slashed.secp, &pair(byte), &key(5), &digest, &[1; 32])))
        .collect();
    let refusal = slashed.refusal();
    assert_eq!(refusal, SlashingEvidenceError::TooManyAdaptors { given: 6, members: 5 });
}

#[test]
fn another_provider_is_not_blamed() {
    let mut slashed = slashed(false);
    // Of this stake, but its key has decrypted nothing.
    slashed.evidence.provider = key(7);
    let (txid, provider) = (slashed.evidence.slashing_tx.compute_txid(), key(7));
    assert_eq!(slashed.refusal(), SlashingEvidenceError::NotExtracted { given: 3, txid, provider });
    slashed.evidence.provider = key(9);
    assert_eq!(slashed.refusal(), SlashingEvidenceError::OtherProvider { claimed: key(9) });
    assert_eq!(slashed.verify().unwrap_err().rule(), "same-provider");
}

#[test]
fn a_witness_that_a_node_refuses_is_no_evidence() {
    type Change = fn(&mut Vec<Vec<u8>>);
    // From the top of the stack down: control block, script, staker, 2 providers, 5 members.
    let changes: [(&str, Change); 9] = [
        ("no items", |items| items.clear()),
        ("no leaf", |items| items.truncate(8)),
        ("another script", |items| items[8][40] ^= 1),
        ("another control block", |items| items[9][1] ^= 1),
        ("an annex", |items| items.push(alloc::vec![0x50])),
        ("a slot less", |items| drop(items.remove(0))),
        ("a slot more", |items| items.insert(0, Vec::new())),
        ("no staker", |items| items[7].clear()),
        ("a sighash byte", |items| items[7].push(1)),
    ];
    for (name, change) in changes {
        let mut slashed = slashed(false);
        slashed.with_items(change);
        assert_eq!(slashed.verify().unwrap_err().rule(), "slashing-witness", "{name}");
    }
    let mut slashed = slashed(false);
    let txid = Txid::hash(b"elsewhere");
    slashed.evidence.slashing_tx.input[0].previous_output.txid = txid;
    assert_eq!(slashed.refusal(), SlashingEvidenceError::Signature { key: key(3) });
}

#[test]
fn another_prevout_is_not_what_was_signed_for() {
    let mut slashed = slashed(false);
    slashed.evidence.prevout.value += Amount::ONE_SAT;
    assert_eq!(slashed.refusal(), SlashingEvidenceError::Signature { key: key(3) });
    slashed.evidence.prevout = self::slashed(true).evidence.prevout;
    assert_eq!(slashed.refusal(), SlashingEvidenceError::Leaf);
    slashed.evidence.prevout = TxOut::NULL;
    assert_eq!(slashed.refusal(), SlashingEvidenceError::Leaf);
}

#[test]
fn a_spend_by_another_leaf_is_no_slashing() {
    let mut slashed = slashed(false);
    let unbonding = slashed.stake.coin().output.unbonding().clone();
    slashed.with_items(|items| {
        items[8] = unbonding.script.to_bytes();
        items[9] = unbonding.control_block.serialize();
    });
    assert_eq!(slashed.refusal(), SlashingEvidenceError::NotSlashing);
}

#[test]
fn evidence_of_a_slashing_comes_back_from_json() {
    let evidence = Evidence::SelectiveSlashing(Box::new(slashed(true).evidence));
    let text = json(&evidence);
    assert_eq!(serde_json::from_str::<Evidence>(&text).unwrap(), evidence);
    let member = text.find("\"adaptor_signatures\":{").unwrap() + "\"adaptor_signatures\":{".len();
    let entry = &text[member..][..2 + 64 + 1 + 2 + 130];
    let twice = text.replace(entry, &alloc::format!("{entry},{entry}"));
    assert!(serde_json::from_str::<Evidence>(&twice).is_err());
    let broken = text.replace("\"prevout\":\"", "\"prevout\":\"00");
    assert!(serde_json::from_str::<Evidence>(&broken).is_err());
}

#[test]
fn every_changed_bit_of_a_slashing_witness_or_adaptor_is_refused() {
    let mut honest = slashed(false);
    let (member, adaptor) = honest.evidence.adaptor_signatures.pop_first().unwrap();
    honest.evidence.adaptor_signatures = [(member, adaptor)].into();
    assert!(honest.verify().is_ok());
    let bytes = bitcoin::consensus::serialize(&honest.evidence.slashing_tx);
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        if let Ok(tx) = bitcoin::consensus::deserialize::<Transaction>(&changed) {
            let evidence = SelectiveSlashing { slashing_tx: tx, ..honest.evidence.clone() };
            let verdict = Evidence::SelectiveSlashing(Box::new(evidence)).verify(&honest.secp);
            assert!(verdict.is_err(), "bit {bit} of the transaction");
        }
    }
    let bytes = adaptor.to_bytes();
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes;
        changed[bit / 8] ^= 1 << (bit % 8);
        if let Ok(adaptor) = AdaptorSignature::from_bytes(&changed) {
            honest.evidence.adaptor_signatures = [(member, adaptor)].into();
            assert!(honest.verify().is_err(), "bit {bit} of the adaptor signature");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_two_votes_without_both_signatures_give_a_key(
        s in any::<[u8; 32]>(), block in any::<[u8; 32]>(), height in any::<u64>(),
    ) {
        let forged = EotsSignature::from_bytes(s);
        prop_assume!(forged.is_ok());
        let mut second = vote(2);
        second.signature = forged.unwrap();
        prop_assert_eq!(refusal(vote(1), second.clone()).rule(), "vote-signature");
        second.vote = Vote { height, block_hash: block };
        prop_assert!(two_votes(vote(1), second).verify(&Secp256k1::new()).is_err());
    }
}
