//! Several proofs at once.

use serde_json::json;
use tapstake_ledger::Ledger;

use super::{Kept, entries_of};
use crate::equivocation::proof;
use crate::support::{PROVIDER, run, stderr};

#[test]
fn of_several_stakes_those_that_are_in_the_book_are_named_and_left_out() {
    let kept = Kept { folder: tempfile::tempdir().unwrap() };
    kept.json("init");
    let proof = proof(3, None);
    let path = proof.path();
    let twice = format!("import --provider {PROVIDER} {path} {path}");
    let left_out = |n: usize, stake: &serde_json::Value, status: &str| {
        json!(vec![json!({"proof": path, "stake": stake, "status": status}); n])
    };
    let tried = kept.json(&format!("{twice} --dry-run"));
    let made = kept.json(&twice);
    assert_eq!(tried["entries"], made["entries"]);
    assert_eq!(entries_of(&made, "kind"), ["admit_stake"], "a stake that is given twice comes in once");
    let stake = &made["entries"][0]["event"]["admit_stake"]["stake"]["outpoint"];
    assert_eq!(made["left_out"], left_out(1, stake, "active"));
    let said = kept.text(&twice);
    assert!(said.contains("entries   none"), "{said}");
    assert!(
        said.contains(&format!("{path}: stake {} is in the book, active", stake.as_str().unwrap())),
        "{said}"
    );
    kept.json(&format!("end {} --by spent", stake.as_str().unwrap()));
    let again = kept.json(&twice);
    assert_eq!((&again["entries"], &again["left_out"]), (&json!([]), &left_out(2, stake, "spent")));
    assert_eq!(kept.json("show")["entries"], 2);
    // One alone is refused: nothing else was asked for.
    kept.refused(&format!("import --provider {PROVIDER} {path}"), "admitted-before");
    assert_eq!(kept.json("audit")["verdict"], "the books balance");
}

#[test]
fn a_stake_that_is_in_the_book_for_another_account_is_not_passed_over() {
    let kept = Kept { folder: tempfile::tempdir().unwrap() };
    kept.json("init");
    let proof = proof(3, None);
    let twice = format!("import --provider {PROVIDER} {0} {0}", proof.path());
    let mut entry = kept.json(&format!("{twice} --dry-run"))["entries"][0].clone();
    let stake = &mut entry["event"]["admit_stake"]["stake"];
    let owner = stake["owner"].as_str().unwrap().to_owned();
    stake["owner"] = json!("text:thief");
    let entry = json!({"height": entry["height"], "event": entry["event"]});
    let mut ledger = Ledger::open(&kept.file()).unwrap();
    ledger.append(serde_json::from_value(entry).unwrap()).unwrap();
    drop(ledger);
    let refused = kept.refused(&twice, "admitted-before");
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains("for text:thief, ") && message.contains(&format!("for {owner}, ")), "{message}");
}

#[test]
fn what_is_to_be_said_of_several_proofs_is_said_once_and_of_one_with_its_name() {
    let kept = Kept { folder: tempfile::tempdir().unwrap() };
    kept.json("init");
    let (one, two) = (proof(3, None), proof(3, None));
    let warnings = |line: &str| {
        let output = run(&kept.line(line));
        assert!(output.status.success(), "{}", stderr(&output));
        stderr(&output).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let said = [
        "judged by the headers that the proof brings: forging them costs no more than their work",
        "no --provider given: the stake's own count as known to the service",
        "spends of the stake: not looked for: give --live",
    ];
    for (files, whose) in [
        (one.path().to_owned(), one.path().to_owned()),
        (format!("{} {}", one.path(), two.path()), "all 2 proofs".to_owned()),
    ] {
        let expected = said.map(|said| format!("warning: {whose}: {said}"));
        assert_eq!(warnings(&format!("import {files} --dry-run")), expected);
        // An audit does not ask for spends.
        assert_eq!(warnings(&format!("audit --proof {files}"))[..2], expected[..2]);
    }
    let named = warnings(&format!("import --provider {PROVIDER} {} {} --dry-run", one.path(), two.path()));
    assert_eq!(named, [said[0], said[2]].map(|said| format!("warning: all 2 proofs: {said}")));
}
