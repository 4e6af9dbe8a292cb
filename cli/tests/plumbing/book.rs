//! `tapstake book`: what is typed wrong, and a book that is not there.

use crate::support::{PROVIDER, error, run};

#[test]
fn what_makes_no_sense_is_a_usage_error() {
    for line in [
        "book",
        "book allocate --service a --shared",
        "book allocate 00:0 --service a --shared",
        "book reward -5 --service a --provider",
        "book transfer 1 --pool two words --from a --to b",
        "book exit --pool a --holder b",
        "book exit 5 --amount 5sat --pool a --holder b",
        "book mint --pool a --to b",
        "book risk --price 1,5",
        "book audit --known 5",
        "book audit --known 5:00",
        "book end --due",
        "book pool open a",
        "book import",
    ] {
        assert_eq!(run(line).status.code(), Some(2), "{line}");
    }
    let both = format!("book claim --service a --commission {PROVIDER} {}:0", "00".repeat(32));
    assert_eq!(run(&both).status.code(), Some(2));
}

#[test]
fn a_book_that_is_not_there_is_said_so_and_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("none.jsonl");
    for command in ["show", "audit", "log", "risk", "export", "pool open a --unbonding-time 5"] {
        let refused = error(&format!("book {command} --book {}", file.display()), 1);
        assert_eq!(refused["rule"], "file", "{refused}");
        assert_eq!(refused["next"], "tapstake book init begins one");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
