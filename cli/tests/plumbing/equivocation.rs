//! Delegations in proofs, and `tapstake equivocation`: what is signed in advance, and the key that completes it.

use bitcoin::consensus::encode::{deserialize_hex, serialize_hex};
use bitcoin::hashes::Hash;
use bitcoin::key::{Keypair, Secp256k1};
use bitcoin::{Amount, Network, ScriptBuf, Transaction, TxOut, WPubkeyHash};
use serde_json::{Value, json};
use tapstake_crypto::eots::{self, Seed, Vote};
use tapstake_crypto::pop::{Account, Context, ProofOfPossession};
use tapstake_params::Timelock;
use tapstake_params::local::{self, Slashed};
use tapstake_script::{Providers, StakeTerms};
use tapstake_tx::delegation::{Delegation, DelegationPackage, Draft};
use tapstake_verifier::equivocation::SignedVote;

use crate::block::{CHAIN, prove_the_good_stake};
use crate::support::{
    KEYS, PROVIDER, STAKER, TempFile, assert_fields, error, json, refused, run, stderr, stdout,
};

/// The secret keys of STAKER and PROVIDER are 1 and 2.
fn pair(secret: u8) -> Keypair {
    let mut bytes = [0; 32];
    bytes[31] = secret;
    Keypair::from_seckey_slice(&Secp256k1::new(), &bytes).unwrap()
}

/// The delegation of the chain's good stake, signed by so many members.
fn delegation(members: usize, service: Option<&str>) -> DelegationPackage {
    let secp = Secp256k1::new();
    let schedule = local::schedule(&secp, Network::Regtest, Slashed::Burned).unwrap();
    let params = schedule.latest();
    let (staker, provider) = (STAKER.parse().unwrap(), PROVIDER.parse().unwrap());
    let time = Timelock::new(20).unwrap();
    let terms = StakeTerms::under(params, staker, Providers::one(provider), time).unwrap();
    let script_pubkey = ScriptBuf::new_p2wpkh(&WPubkeyHash::hash(b"coin"));
    let prevouts = [TxOut { value: Amount::from_sat(60_000), script_pubkey }];
    let fee = params.slashing.as_ref().unwrap().min_fee;
    let (network, value, tx) = (Network::Regtest, Amount::from_sat(50_000), CHAIN.good_tx().clone());
    let draft = Delegation::<Draft>::build(&secp, network, params, terms, tx, &prevouts, value, fee);
    let account = Account::from_raw(&[0xab; 20]).unwrap();
    let context = service.map(|service| Context::new(service, network).unwrap());
    let possession = ProofOfPossession::bip340(&secp, &pair(1), account, context, &[0; 32]);
    let signed = draft.unwrap().sign(&secp, &pair(1), &[0; 32], possession).unwrap();
    let mut package = signed.package();
    for member in &local::covenant_keypairs(&secp)[..members] {
        let given = signed.covenant_signatures(&secp, member, &[0; 32]);
        package.parts.covenant.insert(member.x_only_public_key().0, given);
    }
    package
}

pub(crate) fn file(value: &impl serde::Serialize) -> TempFile {
    TempFile::new(serde_json::to_string(value).unwrap().as_bytes())
}

pub(crate) fn proof(members: usize, service: Option<&str>) -> TempFile {
    let delegation = file(&delegation(members, service));
    TempFile::new(prove_the_good_stake(&format!("--delegation {}", delegation.path())).as_bytes())
}

pub(crate) fn vote(height: u64, block: u8) -> SignedVote {
    let randomness = eots::randomness(&Secp256k1::new(), &Seed::new([6; 32]), b"a-service", height);
    let vote = Vote { height, block_hash: [block; 32] };
    SignedVote {
        service: "a-service".into(),
        provider: PROVIDER.parse().unwrap(),
        vote,
        public_randomness: randomness.public(),
        committed: None,
        signature: eots::sign(&pair(2), &randomness, &vote.message()),
    }
}

#[test]
fn a_proof_with_its_delegation_shows_that_the_stake_can_be_slashed() {
    let proof = proof(3, None);
    let text: Value = serde_json::from_slice(&std::fs::read(proof.path()).unwrap()).unwrap();
    assert_eq!(text["version"], 2);
    let line = format!("verify {}", proof.path());
    let report = json(&line);
    let fields = [
        "value",
        "cost",
        "known_providers",
        "signed_by",
        "account",
        "possession",
        "service",
        "unbonding_txid",
        "slashing_txid",
        "unbonding_slashing_txid",
    ];
    assert_fields(&report["slashable"], &fields);
    // A tenth of what an unbonding leaves is slashed; the unbonding's fee and the slashing's are the staker's loss too.
    assert_eq!(report["slashable"]["value"], 4_900);
    assert_eq!(report["slashable"]["cost"], 6_900);
    let told = stdout(&run(&line));
    let slashable = "4900 sat at least are slashed; it costs the staker 6900 sat at most, fees included";
    assert!(told.contains(slashable), "{told}");
    assert_eq!(report["slashable"]["known_providers"], json!([PROVIDER]));
    assert_eq!(report["slashable"]["signed_by"].as_array().unwrap().len(), 3);
    // With its kind, as every command prints it.
    let account = format!("hex:{}", "ab".repeat(20));
    assert_eq!(report["slashable"]["account"], account);
    assert!(told.lines().any(|line| line.starts_with("account") && line.ends_with(&account)), "{told}");
    assert!(
        report["verdict"].as_str().unwrap().starts_with("slashable for 4900 sat, included at height 2, ")
    );
    // Nobody's policy was asked.
    assert!(stderr(&run(&line)).contains("warning: no --provider given"));
    let report = json(&format!("{line} --provider {PROVIDER}"));
    assert_eq!(report["slashable"]["possession"], "bip340");
    assert!(!stderr(&run(&format!("{line} --provider {PROVIDER}"))).contains("no --provider"));
}

#[test]
fn a_proof_without_a_delegation_is_refused_where_slashing_is_asked_for() {
    let proof = TempFile::new(prove_the_good_stake("").as_bytes());
    let line = format!("verify {}", proof.path());
    assert_eq!(json(&line)["slashable"], Value::Null);
    assert!(stdout(&run(&line)).contains("not shown: the proof carries no delegation"));
    for option in
        ["--slashable", &format!("--provider {PROVIDER}"), "--service a-service", "--possession bip340"]
    {
        refused(&format!("{line} {option}"), 3, "delegation");
    }
}

#[test]
fn too_few_signatures_are_warned_of_when_proving_and_refused_when_verifying() {
    let delegation = file(&delegation(2, None));
    let line = prove_line(&delegation);
    let output = run(&line);
    assert!(output.status.success());
    assert!(
        stderr(&output).contains("the proof is refused by rule 15 (covenant-quorum)"),
        "{}",
        stderr(&output)
    );
    let proof = proof(2, None);
    refused(&format!("verify {}", proof.path()), 3, "covenant-quorum");
}

fn prove_line(delegation: &TempFile) -> String {
    let block = repository_block();
    let outpoint = CHAIN.good_tx().compute_txid();
    format!("prove --block {block} --height 2 {outpoint}:0 --delegation {}", delegation.path())
}

/// The fixture of the tour is the block of the chain.
fn repository_block() -> String {
    crate::support::repository().join("fixtures/cli/block-2.hex").display().to_string()
}

#[test]
fn the_delegation_of_another_stake_is_not_put_into_a_proof() {
    let mut other = delegation(3, None);
    other.vout = 1;
    let message = error(&prove_line(&file(&other)), 1)["message"].as_str().unwrap().to_owned();
    assert!(message.contains("the delegation is that of stake"), "{message}");
}

#[test]
fn a_services_policy_is_asked_about_providers_and_possession() {
    let proof = proof(3, None);
    let line = format!("verify {}", proof.path());
    refused(&format!("{line} --provider {}", KEYS[5]), 3, "known-provider");
    json(&format!("{line} --provider {} --provider {PROVIDER}", KEYS[5]));
    refused(&format!("{line} --slashed-provider {PROVIDER}"), 3, "slashed-provider");
    json(&format!("{line} --slashed-provider {}", KEYS[5]));
    refused(&format!("{line} --possession bip322 --possession bip137"), 3, "possession-form");
    json(&format!("{line} --possession bip340"));
    refused(&format!("{line} --possession-account bech32:bbn"), 3, "possession-account");
    json(&format!("{line} --possession-account hex"));
    error(&format!("{line} --possession-account bech32:BBN"), 2);
    refused(&format!("{line} --service a-service"), 3, "possession-context");

    let bound = self::proof(3, Some("a-service"));
    let line = format!("verify {}", bound.path());
    assert_eq!(json(&format!("{line} --service a-service"))["slashable"]["service"], "a-service");
    refused(&format!("{line} --service another"), 3, "possession-context");
    refused(&format!("{line} --provider {PROVIDER}"), 3, "possession-context");
    json(&format!("{line} --slashable"));
}

#[test]
fn a_services_policy_may_stand_in_a_file() {
    let proof = proof(3, Some("a-service"));
    let verify = |policy: &Value, more: &str| {
        let policy = file(policy);
        let line = format!("verify {} --service-policy {} {more}", proof.path(), policy.path());
        (policy, line)
    };
    let fine = json!({"providers": [PROVIDER], "service": "a-service"});
    let (_file, line) = verify(&fine, "");
    json(&line);
    let (_file, line) = verify(&fine, &format!("--slashed-provider {PROVIDER}"));
    refused(&line, 3, "slashed-provider");
    for (policy, rule) in [
        (json!({"providers": [], "service": "a-service"}), "known-provider"),
        (json!({"providers": [PROVIDER]}), "possession-context"),
        (
            json!({"providers": [PROVIDER], "service": "a-service", "possession_forms": ["bip137"]}),
            "possession-form",
        ),
        (
            json!({"providers": [PROVIDER], "service": "a-service", "possession_account": "bech32:bbn"}),
            "possession-account",
        ),
        (
            json!({"providers": [PROVIDER], "service": "a-service", "slashed_providers": [PROVIDER]}),
            "slashed-provider",
        ),
    ] {
        let (_file, line) = verify(&policy, "");
        refused(&line, 3, rule);
    }
    for policy in [json!({}), json!({"providers": [PROVIDER], "more": 1}), json!({"providers": ["00"]})] {
        let (_file, line) = verify(&policy, "");
        refused(&line, 1, "service-policy");
    }
    let (_file, line) = verify(&fine, &format!("--provider {PROVIDER}"));
    error(&line, 2);
}

#[test]
fn two_votes_give_the_key_and_the_slashings_ready_to_be_sent() {
    let (first, second, delegation) = (file(&vote(7, 1)), file(&vote(7, 2)), file(&delegation(4, None)));
    let line = format!("equivocation {} {} --delegation {}", first.path(), second.path(), delegation.path());
    let report = json(&line);
    assert_fields(&report, &["provider", "key", "equivocation", "slashings"]);
    assert_eq!(report["provider"], PROVIDER);
    let expected = json!({
        "two_votes": {
            "service": "a-service", "height": 7, "block_hashes": ["01".repeat(32), "02".repeat(32)],
        }
    });
    assert_eq!(report["equivocation"], expected);
    let slashing = &report["slashings"][0];
    assert_eq!(slashing["slashed"], false);
    for (tx, txid, slashed) in
        [("slashing_tx", "slashing_txid", 5_000), ("unbonding_slashing_tx", "unbonding_slashing_txid", 4_900)]
    {
        let tx: Transaction = deserialize_hex(slashing[tx].as_str().unwrap()).unwrap();
        assert_eq!(slashing[txid], tx.compute_txid().to_string());
        assert_eq!(tx.output[0].value, Amount::from_sat(slashed));
        // Script and control block; the staker, one provider, five members, of whom three have signed.
        assert_eq!(tx.input[0].witness.len(), 9);
        assert_eq!(tx.input[0].witness.iter().filter(|item| item.len() == 64).count(), 5);
    }
    // The secret, 2, is nowhere.
    let secret = format!("{:064x}", 2);
    for output in [run(&line), run(&format!("{line} --json")), run(&format!("{line} -vvv"))] {
        assert!(!stdout(&output).contains(&secret) && !stderr(&output).contains(&secret));
    }
}

#[test]
fn what_is_no_equivocation_is_refused_by_name() {
    let first = file(&vote(7, 1));
    let mut other_provider = vote(7, 2);
    other_provider.provider = STAKER.parse().unwrap();
    let mut other_service = vote(7, 2);
    other_service.service = "another".into();
    let mut moved = vote(7, 2);
    moved.vote.block_hash = [3; 32];
    let mut other_randomness = vote(7, 2);
    other_randomness.public_randomness = vote(8, 2).public_randomness;
    for (second, rule) in [
        (vote(7, 1), "two-blocks"),
        (vote(8, 2), "same-height"),
        (other_provider, "same-provider"),
        (other_service, "same-service"),
        (other_randomness, "same-randomness"),
        (moved, "vote-signature"),
    ] {
        let second = file(&second);
        refused(&format!("equivocation {} {}", first.path(), second.path()), 3, rule);
        refused(&format!("equivocation {} {}", second.path(), first.path()), 3, rule);
    }
}

#[test]
fn files_that_are_no_votes_are_refused() {
    let good = file(&vote(7, 1));
    let text = std::fs::read_to_string(good.path()).unwrap();
    for (text, code, rule) in [
        (text.replace("\"version\":1", "\"version\":2"), 1, "file-version"),
        (text[..text.len() - 1].to_owned(), 1, "file"),
        (text.replace("\"height\":7", "\"height\":7,\"more\":1"), 3, "file-format"),
        (text.replace("\"height\":7", "\"height\":7,\"height\":8"), 3, "file-format"),
        (text.replace("\"service\":\"a-service\"", "\"service\":\"\\u001b[2J\""), 3, "file-format"),
        (String::new(), 1, "file"),
    ] {
        let bad = TempFile::new(text.as_bytes());
        refused(&format!("equivocation {} {}", bad.path(), good.path()), code, rule);
    }
    let message = refused(&format!("equivocation {}", good.path()), 1, "file");
    assert!(message.ends_with("this is one vote, and one vote is no evidence"), "{message}");
    error("equivocation", 2);
    error("equivocation a b c", 2);
    error("equivocation there-is-none there-is-none", 1);
}

#[test]
fn evidence_is_written_once_and_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let evidence = folder.path().join("evidence.json").display().to_string();
    let (first, second, third) = (file(&vote(7, 1)), file(&vote(7, 2)), file(&vote(7, 3)));
    let line = |other: &TempFile| format!("equivocation {} {} --out {evidence}", first.path(), other.path());
    assert_eq!(json(&line(&second))["evidence_file"], evidence);
    let written = std::fs::read_to_string(&evidence).unwrap();
    assert!(!written.contains(&format!("{:064x}", 2)), "no secret stands in it");
    json(&line(&second));
    refused(&line(&third), 1, "file");
    assert_eq!(std::fs::read_to_string(&evidence).unwrap(), written, "as it was");
    let report = json(&format!("equivocation {evidence}"));
    assert_eq!(report["provider"], PROVIDER);
    assert_eq!(report["equivocation"]["two_votes"]["height"], 7);

    let newer = TempFile::new(written.replacen("\"version\": 1", "\"version\": 9", 1).as_bytes());
    refused(&format!("equivocation {}", newer.path()), 1, "file-version");
    let forged = TempFile::new(written.replace(&"02".repeat(32), &"05".repeat(32)).as_bytes());
    refused(&format!("equivocation {}", forged.path()), 3, "vote-signature");
}

#[test]
fn the_key_is_written_where_it_is_asked_for_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let key_file = folder.path().join("key").display().to_string();
    let (first, second) = (file(&vote(7, 1)), file(&vote(7, 2)));
    let line = format!("equivocation {} {} --reveal-key-file {key_file}", first.path(), second.path());
    let output = run(&line);
    assert!(output.status.success());
    assert_eq!(std::fs::read_to_string(&key_file).unwrap(), format!("{:064x}\n", 2));
    assert!(!stdout(&output).contains(&format!("{:064x}", 2)));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&key_file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    refused(&line, 1, "file");
}

#[test]
fn a_slashing_shows_the_key_to_whoever_has_the_delegation() {
    let (first, second, package) = (file(&vote(7, 1)), file(&vote(7, 2)), delegation(3, None));
    let delegation = file(&package);
    let line = format!("equivocation {} {} --delegation {}", first.path(), second.path(), delegation.path());
    let slashing = json(&line)["slashings"][0].clone();
    let folder = tempfile::tempdir().unwrap();
    for tx in ["slashing_tx", "unbonding_slashing_tx"] {
        let hex = slashing[tx].as_str().unwrap();
        let in_a_file = TempFile::new(hex.as_bytes());
        let evidence = folder.path().join(tx).display().to_string();
        for given in [hex, in_a_file.path()] {
            let line = format!(
                "equivocation --slashing-tx {given} --delegation {} --out {evidence}",
                delegation.path()
            );
            let report = json(&line);
            assert_eq!(report["provider"], PROVIDER);
            assert_eq!(report["equivocation"]["slashing"]["staker"], STAKER);
            assert_eq!(report["slashings"][0]["slashed"], true);
        }
        assert_eq!(json(&format!("equivocation {evidence}"))["provider"], PROVIDER);
    }

    let hex = slashing["slashing_tx"].as_str().unwrap();
    let mut other = package;
    other.vout = 1;
    let other = file(&other);
    refused(
        &format!("equivocation --slashing-tx {hex} --delegation {}", other.path()),
        3,
        "slashing-outpoint",
    );
    let mut unsigned: Transaction = deserialize_hex(hex).unwrap();
    unsigned.input[0].witness.clear();
    let line = format!("--delegation {}", delegation.path());
    let hex = serialize_hex(&unsigned);
    refused(&format!("equivocation --slashing-tx {hex} {line}"), 3, "slashing-witness");
    refused(&format!("equivocation --slashing-tx {} {line}", "00".repeat(100)), 1, "file");
    error(&format!("equivocation --slashing-tx {hex}"), 2);
    error(&format!("equivocation {} {} --slashing-tx {hex} {line}", first.path(), second.path()), 2);
}

#[test]
fn a_delegation_without_a_quorum_or_of_another_provider_gives_no_slashing() {
    let (first, second) = (file(&vote(7, 1)), file(&vote(7, 2)));
    let line = format!("equivocation {} {}", first.path(), second.path());
    let few = file(&delegation(2, None));
    refused(&format!("{line} --delegation {}", few.path()), 1, "quorum");

    let mut votes = [vote(7, 1), vote(7, 2)];
    for vote in &mut votes {
        let randomness = eots::randomness(&Secp256k1::new(), &Seed::new([7; 32]), b"a-service", 7);
        vote.provider = pair(3).x_only_public_key().0;
        vote.public_randomness = randomness.public();
        vote.signature = eots::sign(&pair(3), &randomness, &vote.vote.message());
    }
    let [first, second] = votes.map(|vote| file(&vote));
    let delegation = file(&delegation(3, None));
    let line = format!("equivocation {} {} --delegation {}", first.path(), second.path(), delegation.path());
    refused(&line, 1, "provider");
}
