//! Stakes held against their proofs, and slashings against their evidence: a forger writes the whole journal anew, so each of these
//! books balances.

use std::path::{Path, PathBuf};

use bitcoin::Network;
use serde_json::{Value, json};
use tapstake_ledger::Ledger;
use tapstake_restake::Entry;

use super::{Kept, outpoint};
use crate::equivocation::{file, proof, vote};
use crate::support::{KEYS, PROVIDER, TempFile, error, json as json_of, run, stderr, stdout, tapstake};

/// What an operator has who has imported one stake and slashed its provider, and the journal's entries.
struct Honest {
    kept: Kept,
    proof: TempFile,
    evidence: PathBuf,
    entries: Vec<Value>,
}

impl Honest {
    fn new() -> Self {
        let kept = Kept { folder: tempfile::tempdir().unwrap() };
        let (proof, evidence) = (proof(3, None), kept.folder.path().join("evidence.json"));
        let votes = [1, 2].map(|block| file(&vote(7, block)));
        let [first, second] = votes.each_ref().map(TempFile::path);
        json_of(&format!("equivocation {first} {second} --out {}", evidence.display()));
        kept.json("init");
        let imported = kept.entry(&format!("import {}", proof.path()));
        let slashed = kept.entry(&format!("slash --evidence {}", evidence.display()));
        let entry = |made: &Value| json!({"height": made["height"], "event": made["event"]});
        let entries = [&imported, &slashed].map(entry).to_vec();
        Honest { kept, proof, evidence, entries }
    }

    fn stake(&self) -> &Value {
        &self.entries[0]["event"]["admit_stake"]["stake"]
    }

    fn with_proof(&self) -> String {
        format!("--proof {}", self.proof.path())
    }

    fn with_evidence(&self) -> String {
        format!("--evidence {}", self.evidence.display())
    }
}

/// A journal of these entries, with every hash right.
fn forged(entries: &[Value]) -> Kept {
    let kept = Kept { folder: tempfile::tempdir().unwrap() };
    let mut ledger = Ledger::create(&kept.file(), Network::Regtest).unwrap();
    for entry in entries {
        ledger.append(serde_json::from_value::<Entry>(entry.clone()).unwrap()).unwrap();
    }
    drop(ledger);
    assert_eq!(kept.json("audit")["verdict"], "the books balance");
    kept
}

/// What an audit refuses by a rule.
fn refused(kept: &Kept, with: &str, rule: &str) -> String {
    let refused = error(&kept.line(&format!("audit {with}")), 3);
    assert_eq!(refused["rule"], rule, "{with}: {refused}");
    refused["message"].as_str().unwrap().to_owned()
}

fn counts(audited: &Value) -> [Option<u64>; 4] {
    [("stakes", "entered"), ("stakes", "proven"), ("slashings", "entered"), ("slashings", "proven")]
        .map(|(what, count)| audited[what][count].as_u64())
}

#[test]
fn what_was_proven_when_it_was_entered_is_proven_again() {
    let honest = Honest::new();
    let (proof, evidence) = (honest.with_proof(), honest.with_evidence());
    let audit = |with: &str| counts(&honest.kept.json(&format!("audit {with}")));
    assert_eq!(audit(""), [None; 4], "nothing was asked");
    assert_eq!(audit(&proof), [1, 1, 1, 0].map(Some));
    assert_eq!(audit(&evidence), [1, 0, 1, 1].map(Some));
    assert_eq!(audit(&format!("{proof} {evidence}")), [1; 4].map(Some));
    assert_eq!(
        audit(&format!("{proof} {} --provider {PROVIDER}", honest.proof.path())),
        [1, 1, 1, 0].map(Some)
    );
    let said = honest.kept.text(&format!("audit {proof}"));
    assert!(said.contains("stakes     1 of 1 proven\n"), "{said}");
    assert!(said.contains("slashings  0 of 1 proven: give --evidence\n"), "{said}");
    // Whose book has none of it has nothing to prove.
    let empty = forged(&[]);
    let output = run(&empty.line(&format!("audit {proof} {evidence}")));
    assert!(stdout(&output).contains("stakes     0 of 0 proven\n"), "{}", stdout(&output));
    let warned = stderr(&output);
    assert!(
        warned
            .contains(&format!("stake {} is not in the book", honest.stake()["outpoint"].as_str().unwrap()))
    );
    assert!(warned.contains(&format!("provider {PROVIDER} is not slashed in the book")), "{warned}");
}

#[test]
fn a_stake_that_is_entered_otherwise_than_it_was_proven_is_found_in_each_of_its_fields() {
    let honest = Honest::new();
    let sat = |field: &str, by: i64| json!(honest.stake()[field].as_i64().unwrap() + by);
    let changed = [
        ("value", sat("value", 1)),
        ("slashed", sat("slashed", -1)),
        ("refund", sat("refund", -1)),
        ("unbonding_refund", sat("unbonding_refund", -1)),
        ("owner", json!("text:thief")),
        ("providers", json!([KEYS[3]])),
        ("inclusion_height", sat("inclusion_height", -1)),
        ("expires_at", sat("expires_at", 1)),
        ("unbonding_time", sat("unbonding_time", 1)),
        ("spends", json!([outpoint(7)])),
        ("unbonding", json!(outpoint(8))),
    ];
    let mut fields: Vec<&str> = honest.stake().as_object().unwrap().keys().map(String::as_str).collect();
    fields.retain(|field| *field != "outpoint" && !changed.iter().any(|(changed, _)| changed == field));
    assert!(fields.is_empty(), "{fields:?}");
    for (field, value) in changed {
        let (right, mut entries) = (honest.stake()[field].clone(), honest.entries.clone());
        entries[0]["event"]["admit_stake"]["stake"][field] = value.clone();
        let kept = forged(&entries);
        let said = refused(&kept, &honest.with_proof(), "journal-disproven");
        let difference = format!("{field} is {value} in the journal, and {right} by {}", honest.proof.path());
        assert_eq!(
            said,
            format!("line 2: stake {}: {difference}", honest.stake()["outpoint"].as_str().unwrap())
        );
        // The evidence does not tell.
        assert_eq!(counts(&kept.json(&format!("audit {}", honest.with_evidence()))), [1, 0, 1, 1].map(Some));
    }
    let (of, mut entries) = (outpoint(9), honest.entries.clone());
    entries[0]["event"]["admit_stake"]["stake"]["outpoint"] = json!(of);
    let said = refused(&forged(&entries), &honest.with_proof(), "journal-unproven");
    assert_eq!(said, format!("line 2: no proof of stake {of}"));
}

#[test]
fn a_stake_without_a_proof_is_named_and_an_expansion_is_a_stake() {
    let honest = Honest::new();
    let spent = honest.stake()["spends"][0].as_str().unwrap().to_owned();
    let admitted = |outpoint_of: &str, n: u8| {
        let mut stake = honest.stake().clone();
        stake["outpoint"] = json!(outpoint_of);
        stake["spends"] = json!([outpoint(n)]);
        stake["unbonding"] = json!(outpoint(n + 1));
        json!({"height": 2, "event": {"admit_stake": {"stake": stake}}})
    };
    let expanded = |value: i64| {
        let mut stake = honest.stake().clone();
        stake["value"] = json!(stake["value"].as_i64().unwrap() + value);
        json!({"height": 2, "event": {"expand_stake": {"of": spent, "stake": stake}}})
    };
    let other = outpoint(20);
    let entries = [admitted(&spent, 10), expanded(0), admitted(&other, 21)];
    let said = refused(&forged(&entries), &honest.with_proof(), "journal-unproven");
    assert_eq!(said, format!("line 2: no proof of stake {spent}; line 4: no proof of stake {other}"));
    let entries = [admitted(&spent, 10), expanded(5)];
    let said = refused(&forged(&entries), &honest.with_proof(), "journal-disproven");
    assert!(
        said.starts_with("line 3: ") && said.contains(": value is 50005 in the journal, and 50000 by "),
        "{said}"
    );
}

#[test]
fn a_slashing_without_evidence_and_evidence_without_a_slashing_are_found() {
    let honest = Honest::new();
    let slash = |provider: &str| json!({"height": 2, "event": {"slash": {"provider": provider}}});
    // A stake of two providers, slashed for the one that did nothing.
    let mut stake = honest.entries[0].clone();
    stake["event"]["admit_stake"]["stake"]["providers"] = json!([PROVIDER, KEYS[2]]);
    for entries in [vec![stake.clone(), slash(KEYS[2])], vec![stake, slash(PROVIDER), slash(KEYS[2])]] {
        let kept = forged(&entries);
        let said = refused(&kept, &honest.with_evidence(), "journal-unproven");
        let line = entries.len() + 1;
        assert_eq!(said, format!("line {line}: no evidence against provider {}", KEYS[2]));
    }
    // The slashing is left out, and its stake counts as if nothing were lost.
    let kept = forged(&honest.entries[..1]);
    let refused = error(&kept.line(&format!("audit {}", honest.with_evidence())), 3);
    assert_eq!(refused["rule"], "journal-disproven");
    let said = refused["message"].as_str().unwrap();
    assert!(said.contains(&format!("provider {PROVIDER} has equivocated")), "{said}");
    let next = refused["next"].as_str().unwrap();
    assert!(next.starts_with("tapstake book slash --evidence "), "{next}");
}

#[test]
fn what_proves_nothing_is_refused_as_at_the_entry() {
    let honest = Honest::new();
    let audit = |with: &str| error(&honest.kept.line(&format!("audit {with}")), 3)["rule"].clone();
    let unsigned = proof(2, None);
    assert_eq!(audit(&format!("--proof {}", unsigned.path())), "covenant-quorum");
    assert_eq!(audit(&format!("{} --provider {}", honest.with_proof(), KEYS[2])), "known-provider");
    assert_eq!(audit(&format!("{} --min-confirmations 1000000", honest.with_proof())), "confirmations");
    let text = std::fs::read_to_string(&honest.evidence).unwrap();
    let changed = |from: &str, to: &str| {
        assert!(text.contains(from), "{text}");
        TempFile::new(text.replacen(from, to, 1).as_bytes())
    };
    let foreign = changed(PROVIDER, KEYS[2]);
    assert_eq!(audit(&format!("--evidence {}", foreign.path())), "same-provider");
    // A proof is no evidence, and evidence no proof.
    for with in
        [format!("--evidence {}", honest.proof.path()), format!("--proof {}", honest.evidence.display())]
    {
        assert_eq!(error(&honest.kept.line(&format!("audit {with}")), 1)["rule"], "file", "{with}");
    }
}

#[test]
fn how_proofs_are_judged_is_not_asked_where_there_are_none() {
    let honest = Honest::new();
    for flag in ["--live", "--min-confirmations 2", "--require-active", "--phase-1", "--slashable"] {
        for with in [String::new(), honest.with_evidence()] {
            let output = run(&honest.kept.line(&format!("audit {with} {flag}")));
            assert_eq!(output.status.code(), Some(2), "{with} {flag}");
        }
    }
    let mut audit = tapstake();
    audit.args(honest.kept.line("audit").split_whitespace()).env("TAPSTAKE_SOURCE", "tcp://127.0.0.1:1");
    assert!(audit.output().unwrap().status.success(), "what the environment says is no question");
    let nothing = Path::new("nothing.json");
    assert!(!nothing.exists());
    assert_eq!(error(&honest.kept.line("audit --proof nothing.json"), 1)["rule"], "file");
}

#[test]
fn an_audit_against_proofs_writes_nothing_either() {
    let honest = Honest::new();
    let index = honest.kept.file().with_extension("jsonl.index");
    std::fs::remove_file(&index).unwrap();
    let audit = format!("audit {} {}", honest.with_proof(), honest.with_evidence());
    let audited = honest.kept.json(&audit);
    assert_eq!((&audited["stakes"]["proven"], &audited["slashings"]["proven"]), (&json!(1), &json!(1)));
    assert_eq!(audited["index"], honest.kept.json("audit")["index"]);
    assert!(!index.exists());
}
