//! What is tried and not written.

use serde_json::{Value, json};

use super::{Kept, outpoint};
use crate::equivocation::{file, proof, vote};
use crate::support::{KEYS, PROVIDER, TempFile, json as json_of, run, stdout};

impl Kept {
    /// Tries a line, makes it, and gives what both have shown.
    fn tried_and_made(&self, line: &str) -> Value {
        let index = || std::fs::read(self.folder.path().join("book.jsonl.index")).unwrap();
        let head = self.json("show")["head"].clone();
        let (before, rows) = (std::fs::read(self.file()).unwrap(), index());
        let mut tried = self.json(&format!("{line} --dry-run"));
        let said = self.text(&format!("{line} --dry-run"));
        assert!(said.contains("dry run") && said.contains("nothing is written"), "{line}: {said}");
        assert_eq!(std::fs::read(self.file()).unwrap(), before, "{line}");
        assert_eq!(index(), rows, "{line}");
        let made = self.json(line);
        assert_ne!(std::fs::read(self.file()).unwrap(), before, "{line}");
        assert_eq!(tried["dry_run"], true, "{line}");
        assert_eq!(tried["head"], head, "{line}: the last line is the one that was");
        tried.as_object_mut().unwrap().remove("dry_run");
        tried["head"] = made["head"].clone();
        assert_eq!(tried, made, "{line}");
        made
    }
}

#[test]
fn a_dry_run_shows_what_would_be_made_and_writes_nothing() {
    let kept = Kept::new();
    let [first, second] = [outpoint(1), outpoint(2)];
    let (p, q, shares) = (KEYS[2], KEYS[1], 20_000u128 * 1_000_000);
    let set = "--denomination uc --slashing-rate 0.1 --unbonding-time 100 --leverage-limit 200%";
    for line in [
        format!("service add c {set} --height 110"),
        format!("provider add {q} --service c"),
        format!("provider commission {q} 6% --service c"),
        format!("reward 500000 --service a --provider {q} --height 111"),
        format!("reward 777 --service b --provider {q}"),
        format!("claim {second} --service a"),
        format!("give-back --service b --provider {q}"),
        format!("allocate {first} --service b --withdraw"),
        "pool reward p 6000sat".to_owned(),
        "pool choose l a 50%".to_owned(),
        "pool leave l a".to_owned(),
        format!("pool deposit l {shares} --holder =ann"),
        "pool open other --unbonding-time 9".to_owned(),
        format!("transfer {shares} --pool p --from =ann --to cid"),
        "exit --amount 5000sat --pool p --holder bob".to_owned(),
        format!("reward 1000000 --service a --provider {p}"),
        format!("claim --commission {p} --service a"),
        format!("end {second} --by unbonding"),
        "finalise --pool p --height 211".to_owned(),
        format!("return {second} --amount 49000sat"),
        "pool make-good p 400sat".to_owned(),
        "pool write-down p 600sat".to_owned(),
        format!("end {first} --by spent"),
        "pool write-down p 1000sat".to_owned(),
        format!("revive {first}"),
        "pool write-up p 1000sat".to_owned(),
        "pool take-cash p 300sat".to_owned(),
        "end --due --height 10000 --yes".to_owned(),
    ] {
        kept.tried_and_made(&line);
    }
    assert_eq!(kept.json("audit")["verdict"], "the books balance");
}

#[test]
fn proofs_and_evidence_are_tried_before_they_are_entered() {
    let kept = Kept { folder: tempfile::tempdir().unwrap() };
    kept.json("init");
    let (proof, votes) = (proof(3, None), [1, 2].map(|block| file(&vote(7, block))));
    let evidence = kept.folder.path().join("evidence.json");
    let [first, second] = votes.each_ref().map(TempFile::path);
    json_of(&format!("equivocation {first} {second} --out {}", evidence.display()));
    let import = format!("import --provider {PROVIDER} {}", proof.path());
    let made = kept.tried_and_made(&import);
    let stake = made["entries"][0]["event"]["admit_stake"]["stake"]["outpoint"].as_str().unwrap().to_owned();
    assert_eq!(made["entries"][0]["height"], 2);
    let again = kept.refused(&import, "admitted-before");
    assert_eq!(again, kept.refused(&format!("{import} --dry-run"), "admitted-before"));
    assert!(again["message"].as_str().unwrap().starts_with(proof.path()), "{again}");
    kept.tried_and_made("pool open p --unbonding-time 2000");
    kept.tried_and_made(&format!("mint {stake} --pool p --to ann"));
    let slash = format!("slash --evidence {}", evidence.display());
    let slashed = kept.tried_and_made(&slash);
    assert_eq!(
        slashed["entries"][0]["borne"],
        json!([{"pool": "p", "from_shares_sat": slashed["entries"][0]["lost_sat"], "from_exits_sat": 0}])
    );
    assert_eq!(
        kept.refused(&slash, "slashed-provider"),
        kept.refused(&format!("{slash} --dry-run"), "slashed-provider")
    );
    assert_eq!(kept.json("audit")["verdict"], "the books balance");
}

#[test]
fn a_dry_run_is_refused_as_the_entry_would_be() {
    let kept = Kept::new();
    let [first, second] = [outpoint(1), outpoint(2)];
    for (line, rule) in [
        (format!("reward 5 --service a --provider {}", KEYS[1]), "reward-after-change"),
        (format!("claim {first} --service a"), "nothing-owed"),
        (format!("claim {first} --service c"), "unknown-service"),
        (format!("end {first} --by expired"), "not-expired"),
        ("pool reward p 5sat --height 99".to_owned(), "late-entry"),
        ("pool reward p 5sat --height 9000".to_owned(), "height-ahead"),
        ("pool reward p 5sat --height 10000 --yes".to_owned(), "expiry-due"),
        ("pool write-down p 1sat".to_owned(), "not-missing"),
        ("finalise --pool p".to_owned(), "nothing"),
        (format!("return {second} --amount 5sat"), "still-locked"),
        ("exit 1 --pool p --holder nobody".to_owned(), "balance-of-holder"),
    ] {
        let tried = kept.refused(&format!("{line} --dry-run"), rule);
        assert_eq!(tried, kept.refused(&line, rule), "{line}");
    }
}

#[test]
fn a_dry_run_is_refused_after_a_line_without_end_as_an_entry_is() {
    let kept = Kept::new();
    let torn = [std::fs::read(kept.file()).unwrap(), b"{\"counter\"".to_vec()].concat();
    std::fs::write(kept.file(), torn).unwrap();
    // The index tells that nobody was told of it.
    assert_eq!(kept.json("pool reward p 5sat --height 101 --dry-run")["dry_run"], true);
    std::fs::remove_file(kept.folder.path().join("book.jsonl.index")).unwrap();
    kept.refused("pool reward p 5sat --height 101 --dry-run", "journal-torn");
    kept.refused("pool reward p 5sat --height 101", "journal-torn");
}

#[test]
fn every_command_that_makes_entries_has_a_dry_run_and_no_other_has() {
    let has = |line: &str| stdout(&run(&format!("book {line} --help"))).contains("--dry-run");
    for line in [
        "service add",
        "provider add",
        "provider commission",
        "import",
        "expand",
        "allocate",
        "reward",
        "claim",
        "give-back",
        "end",
        "slash",
        "pool open",
        "pool reward",
        "pool make-good",
        "pool write-down",
        "pool write-up",
        "pool take-cash",
        "pool choose",
        "pool leave",
        "pool deposit",
        "pool redeem",
        "mint",
        "transfer",
        "exit",
        "finalise",
        "return",
        "revive",
    ] {
        assert!(has(line), "{line}");
    }
    for line in ["init", "show", "log", "audit", "risk", "export", "plot", "repair"] {
        assert!(!has(line), "{line}");
    }
}
