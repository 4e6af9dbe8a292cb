//! Entries, and what came of them.

use serde_json::{Value, json};
use tapstake_ledger::Ledger;

use super::{Kept, entries_of, outpoint};
use crate::support::{KEYS, run, stderr, stdout};

#[test]
fn a_log_has_the_entries_that_are_about_all_that_it_is_asked_for() {
    let kept = Kept::new();
    let (first, second) = (outpoint(1), outpoint(2));
    let (p, q, shares) = (KEYS[2], KEYS[1], 1_000u128 * 1_000_000);
    kept.entry(&format!("pool deposit l {shares} --holder =ann --height 110"));
    for (amount, holder) in [(10_000, "=ann"), (7_000, "bob"), (5_000, "=ann")] {
        kept.entry(&format!("exit --amount {amount}sat --pool p --holder {holder}"));
    }
    kept.entry(&format!("transfer {shares} --pool p --from =ann --to cid"));
    kept.entry(&format!("end {second} --by unbonding --height 120"));
    kept.entry(&format!("return {second} --amount 50000sat --height 220"));
    kept.json("finalise --pool p");
    let mut ledger = Ledger::open(&kept.file()).unwrap();
    for provider in [p, q] {
        let slash = json!({"height": 230, "event": {"slash": {"provider": provider}}});
        ledger.append(serde_json::from_value(slash).unwrap()).unwrap();
    }
    drop(ledger);

    let logged = |filter: &str| entries_of(&kept.json(&format!("log --last 99 {filter}")), "counter");
    let all: Vec<u64> = (1..=27).collect();
    for (filter, expected) in [
        ("", all.as_slice()),
        // The second stake is back when its provider is slashed.
        (&format!("--stake {first}"), &[7, 9, 10, 13, 26]),
        (&format!("--stake {second}"), &[8, 11, 14, 21, 22]),
        ("--pool p", &[12, 13, 14, 15, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26]),
        ("--pool l", &[15, 16]),
        (&format!("--provider {p}"), &[2, 5, 7, 26]),
        (&format!("--provider {q}"), &[3, 6, 8, 27]),
        ("--service b", &[4, 5, 6, 10]),
        // An exit's payment names its number, and no holder.
        ("--holder =ann", &[13, 16, 17, 19, 20, 23, 25]),
        ("--holder bob", &[14, 18, 24]),
        ("--holder cid", &[20]),
        ("--holder nobody", &[]),
        ("--kind finalise_exit --holder =ann", &[23, 25]),
        (&format!("--service b --stake {first}"), &[10]),
        (&format!("--service a --provider {q}"), &[3]),
        ("--service b --pool p", &[]),
        ("--from 110 --to 120", &[16, 17, 18, 19, 20, 21]),
        ("--to 110 --from 110 --holder =ann", &[16, 17, 19, 20]),
        ("--from 120 --to 110", &[]),
    ] {
        assert_eq!(logged(filter), expected, "{filter}");
    }
    let newest = |line: &str| entries_of(&kept.json(line), "counter");
    assert_eq!(newest("log --last 2 --holder =ann"), [23, 25]);
    assert_eq!(newest("log --last 2 --to 119"), [19, 20]);
    assert_eq!(newest("log --last 0 --to 119"), [0u64; 0]);
    assert_eq!(newest("log --last 2"), [26, 27]);
    assert_eq!(newest("log --to 999").len(), 20);
    for (filter, rule) in [
        (format!("--stake {}", outpoint(9)), "unknown-stake"),
        ("--pool q".to_owned(), "unknown-pool"),
        ("--service c".to_owned(), "unknown-service"),
    ] {
        kept.refused(&format!("log {filter}"), rule);
    }
}

#[test]
fn a_log_of_a_stake_ends_with_what_took_it() {
    let kept = Kept::new();
    kept.entry(&format!("end {} --by spent --height 110", outpoint(1)));
    kept.entry(&format!("end {} --by unbonding", outpoint(2)));
    let mut ledger = Ledger::open(&kept.file()).unwrap();
    for provider in [KEYS[2], KEYS[1]] {
        let slash = json!({"height": 120, "event": {"slash": {"provider": provider}}});
        ledger.append(serde_json::from_value(slash).unwrap()).unwrap();
    }
    drop(ledger);
    let last = |stake: u8| {
        let logged = kept.json(&format!("log --last 1 --stake {}", outpoint(stake)));
        logged["entries"][0]["kind"].as_str().unwrap().to_owned()
    };
    assert_eq!((last(1), last(2)), ("end_stake".to_owned(), "slash".to_owned()));
}

#[test]
fn a_log_says_what_came_of_each_entry() {
    let kept = Kept::new();
    let sat = |sat: u128| (sat * 1_000_000).to_string();
    let mut ledger = Ledger::open(&kept.file()).unwrap();
    let reward = json!({"height": 101, "event": {"reward": {
        "service": "a", "provider": KEYS[2], "denomination": "ua", "amount": "200000",
    }}});
    ledger.append(serde_json::from_value(reward).unwrap()).unwrap();
    drop(ledger);
    let mut lines = vec![
        format!("claim {} --service a", outpoint(1)),
        format!("claim --commission {} --service a", KEYS[2]),
        format!("reward 777 --service b --provider {}", KEYS[1]),
        format!("give-back --service b --provider {}", KEYS[1]),
        format!("pool deposit l {} --holder =ann", sat(5_000)),
        format!("pool redeem l {} --holder =ann", sat(2_000)),
        format!("transfer {} --pool p --from bob --to cid", sat(20_000)),
        format!("exit {} --pool p --holder cid", sat(20_000)),
        format!("end {} --by unbonding", outpoint(2)),
        format!("return {} --amount 49000sat --height 301", outpoint(2)),
        "pool write-down p 900sat".to_owned(),
        "pool make-good p 100sat".to_owned(),
        "finalise 0 --pool p".to_owned(),
        format!("end {} --by spent", outpoint(1)),
        "pool write-down p 1sat".to_owned(),
        format!("revive {}", outpoint(1)),
        "pool write-up p 1sat".to_owned(),
    ];
    let made: Vec<Value> = lines.drain(..).map(|line| kept.entry(&line)).collect();
    let logged = kept.json(&format!("log --last {}", made.len()));
    // What each command has said when it was made, the log says again.
    assert_eq!(logged["entries"], json!(made));
    assert_eq!(kept.json("log --kind finalise_exit")["entries"], json!([made[12]]));
    assert_eq!(kept.json("log --holder cid --to 200")["entries"], json!(made[6..8]));
    for field in
        ["paid", "given_back", "shares", "quoted_sat", "paid_sat", "gained", "missing_sat", "new_holder"]
    {
        assert!(made.iter().any(|entry| !entry[field].is_null()), "{field}");
    }
    let said = kept.text("log --last 99");
    for text in [
        "; commission 10000 ua",
        "; paid 190000 ua; paid to text:ann",
        "; given back 777 ub",
        "; exit 0; paid 19880 sat; paid to cid",
    ] {
        assert!(said.contains(text), "{text}: {said}");
    }
}

#[test]
fn a_log_says_what_an_expansion_has_brought_about() {
    let expanded = |slashed: bool| {
        let kept = Kept::new();
        let mut ledger = Ledger::open(&kept.file()).unwrap();
        let (p, q) = (KEYS[2], KEYS[1]);
        let mut providers = [p, q];
        providers.sort_unstable();
        let mut events = vec![json!({"expand_stake": {"of": outpoint(1), "holder": "carol", "stake": {
            "outpoint": outpoint(3), "spends": [outpoint(1)], "unbonding": outpoint(4),
            "value": 120_000, "slashed": 12_000, "refund": 107_900, "unbonding_refund": 107_850, "owner": "text:ann",
            "providers": providers, "inclusion_height": 110, "expires_at": 12_000, "unbonding_time": 100,
        }}})];
        if slashed {
            events.insert(0, json!({"slash": {"provider": q}}));
        }
        for event in events {
            ledger.append(serde_json::from_value(json!({"height": 120, "event": event})).unwrap()).unwrap();
        }
        drop(ledger);
        kept.json("log --kind expand_stake")["entries"][0].clone()
    };
    let plain = expanded(false);
    let told = |entry: &Value| ["pool", "shares", "new_holder", "status"].map(|field| entry[field].clone());
    assert_eq!(told(&plain), ["p", "20000000000", "carol", "active"].map(Value::from));
    assert_eq!(plain["leaving"]["a"]["nominal_sat"], "100000");
    assert_eq!(plain["borne"], Value::Null);
    let slashed = expanded(true);
    assert_eq!(slashed["status"], "slashed", "{slashed}");
    let borne = &slashed["borne"][0];
    assert_eq!((&borne["pool"], &borne["from_exits_sat"]), (&"p".into(), &0.into()), "{slashed}");
    assert_eq!(borne["from_shares_sat"], 12_100, "{slashed}");
}

#[test]
fn a_log_of_a_kind_that_no_entry_has_names_the_kinds_that_there_are() {
    let kept = Kept::new();
    let output = run(&kept.line("log --kind rewards"));
    assert_eq!(output.status.code(), Some(2));
    let (said, help) = (stderr(&output), stdout(&run("book log --help")));
    let mut kinds = entries_of(&kept.json("log --last 99"), "kind");
    kinds.extend(["slash", "expand_stake", "lrt_reward"].map(Value::from));
    for kind in kinds.iter().map(|kind| kind.as_str().unwrap()) {
        assert!(said.contains(kind) && help.contains(kind), "{kind}: {said} {help}");
        kept.json(&format!("log --kind {kind}"));
    }
    assert_eq!(kept.json("log --kind slash")["entries"], json!([]), "of a kind that there is, none");
}
