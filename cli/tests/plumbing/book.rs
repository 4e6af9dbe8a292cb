//! `tapstake book`: what is typed wrong, a book that is not there, and what one says of what it has.

use std::path::PathBuf;

use bitcoin::Network;
use serde_json::{Value, json};
use tapstake_ledger::Ledger;

use crate::support::{KEYS, PROVIDER, error, json as json_of, run, stdout};

mod dry_run;
mod ends;
mod entries;
mod export;
mod figures;
mod imports;
mod log;
mod pools;
mod proven;
mod rewards;
mod show;

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
        "book audit --proof",
        "book audit --evidence",
        "book log --kind rewards",
        "book log --kind Reward",
        "book end --due",
        "book expand",
        "book expand a b",
        "book give-back --service a",
        "book claim",
        "book claim --service a",
        "book claim --owner text:ann --service a",
        "book claim --all --owner ann",
        "book pool write-down a",
        "book pool write-up a",
        "book pool take-cash a",
        "book revive",
        "book finalise 5",
        "book pool open a",
        "book import",
    ] {
        assert_eq!(run(line).status.code(), Some(2), "{line}");
    }
    let both = format!("book claim --service a --commission {PROVIDER} {}:0", "00".repeat(32));
    assert_eq!(run(&both).status.code(), Some(2));
    for one in [format!("--commission {PROVIDER} --service a"), format!("{}:0", "00".repeat(32))] {
        assert_eq!(run(&format!("book claim --all {one}")).status.code(), Some(2), "{one}");
    }
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

/// A book in a folder of its own, which goes with it.
struct Kept {
    folder: tempfile::TempDir,
}

fn outpoint(n: u8) -> String {
    format!("{}:0", format!("{n:02x}").repeat(32))
}

impl Kept {
    /// Two services with two providers each, and two stakes, the first of 100,000 sat and the second of 50,000. The first counts for
    /// both services, the second for `a`. Both are in a pool, for `=ann` and for `bob`, and there is a pool over its receipts.
    fn new() -> Self {
        let kept = Kept { folder: tempfile::tempdir().unwrap() };
        let [p, q] = [KEYS[2], KEYS[1]];
        let terms = |coin: &str| {
            json!({
                "denomination": coin, "slashing_rate": "0.1", "unbonding_time": 100, "leverage_limit": 2_000_000,
            })
        };
        let stake = |n: u8, value: u64, providers: &[&str]| {
            json!({"admit_stake": {"stake": {
                "outpoint": outpoint(n), "spends": [outpoint(n + 100)], "unbonding": outpoint(n + 200),
                "value": value, "slashed": value / 10, "refund": value - value / 10 - 100,
                "unbonding_refund": value - value / 10 - 150, "owner": "text:ann", "providers": providers,
                "inclusion_height": 90, "expires_at": 10_000, "unbonding_time": 100,
            }}})
        };
        let mut events = Vec::new();
        for (service, coin) in [("a", "ua"), ("b", "ub")] {
            events.push(json!({"register_service": {"service": service, "terms": terms(coin)}}));
            for (provider, commission) in [(p, 50_000), (q, 0)] {
                let serves = json!({"service": service, "provider": provider, "commission": commission});
                events.push(json!({"register_provider": serves}));
            }
        }
        events.extend([stake(1, 100_000, &[p]), stake(2, 50_000, &[q])]);
        for (n, service) in [(1, "a"), (1, "b"), (2, "a")] {
            let shared = json!({"stake": outpoint(n), "service": service, "allocation": "shared"});
            events.push(json!({"allocate": shared}));
        }
        events.push(json!({"open_pool": {"pool": "p", "unbonding_time": 100}}));
        for (n, holder) in [(1, "=ann"), (2, "bob")] {
            events.push(json!({"mint": {"pool": "p", "holder": holder, "stake": outpoint(n)}}));
        }
        events.push(json!({"open_lrt": {"pool": "l", "over": "p", "leverage_limit": 2_000_000}}));
        let mut ledger = Ledger::create(&kept.file(), Network::Regtest).unwrap();
        for event in events {
            ledger.append(serde_json::from_value(json!({"height": 100, "event": event})).unwrap()).unwrap();
        }
        kept
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("book.jsonl")
    }

    fn line(&self, line: &str) -> String {
        format!("book {line} --book {}", self.file().display())
    }

    fn json(&self, line: &str) -> Value {
        json_of(&self.line(line))
    }

    /// What the only entry of a line is and has brought about.
    fn entry(&self, line: &str) -> Value {
        let made = self.json(line);
        let [entry] = made["entries"].as_array().unwrap().as_slice() else { panic!("{line}: {made}") };
        entry.clone()
    }

    /// A refusal by a rule, which has left the book as it was.
    fn refused(&self, line: &str, rule: &str) -> Value {
        let before = std::fs::read(self.file()).unwrap();
        let refused = error(&self.line(line), 1);
        assert_eq!(refused["rule"], rule, "{line}: {refused}");
        assert_eq!(std::fs::read(self.file()).unwrap(), before, "{line}");
        refused
    }

    fn text(&self, line: &str) -> String {
        stdout(&run(&self.line(line)))
    }
}

impl Kept {
    /// Has both services pay: the first stake earns 190,000 ua and 9,500 ub, the second 50,000 ua, and the rest is commission.
    fn paid(&self) {
        for (service, provider, amount) in
            [("a", KEYS[2], 200_000), ("a", KEYS[1], 50_000), ("b", KEYS[2], 10_000)]
        {
            self.entry(&format!("reward {amount} --service {service} --provider {provider} --height 101"));
        }
    }
}

fn entries_of(made: &Value, field: &str) -> Vec<Value> {
    made["entries"].as_array().unwrap().iter().map(|entry| entry[field].clone()).collect()
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn a_height_two_weeks_ahead_is_taken_and_one_block_more_is_asked_about() {
    let kept = Kept::new();
    let end = |height: u32| format!("end {} --by unbonding --height {height}", outpoint(1));
    let refused = kept.refused(&end(2_117), "height-ahead");
    let message = refused["message"].as_str().unwrap();
    for said in ["height 2117", "2017 blocks", "about 14 days", "height 100"] {
        assert!(message.contains(said), "{message}");
    }
    assert!(refused["next"].as_str().unwrap().contains("--yes"), "{refused}");
    // What ends by a mistyped height would have gone on.
    kept.refused("end --due --height 100000", "height-ahead");
    assert_eq!(kept.entry(&end(2_116))["height"], 2_116);
    assert_eq!(kept.entry("pool reward p 5sat --height 9000 --yes")["height"], 9_000);
    // A height that is not given is that of the last entry.
    assert_eq!(kept.entry("pool reward p 5sat")["height"], 9_000);
    let ended = kept.json("end --due --height 10000");
    assert_eq!(entries_of(&ended, "kind"), ["end_stake"]);
}

#[test]
fn the_first_entry_of_a_book_may_be_at_any_height() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("book.jsonl");
    json_of(&format!("book init --book {}", file.display()));
    let open = format!("book pool open p --unbonding-time 9 --height 900000 --book {}", file.display());
    assert_eq!(json_of(&open)["entries"][0]["height"], 900_000);
}
