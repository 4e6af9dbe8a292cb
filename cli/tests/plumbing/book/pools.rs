//! Pools, their holders and their exits.

use serde_json::{Value, json};
use tapstake_ledger::Ledger;

use super::{Kept, entries_of, outpoint};
use crate::support::{KEYS, run, stderr, stdout};

#[test]
fn what_a_pool_misses_is_made_good_or_borne_by_shares_and_exits() {
    let kept = Kept::new();
    let shares = 25_000u128 * 1_000_000;
    kept.entry(&format!("exit {shares} --pool p --holder bob --height 110"));
    let nothing = kept.refused("pool write-down p 1sat", "not-missing");
    assert!(nothing["next"].as_str().unwrap().contains("nothing is missing in p"), "{nothing}");
    kept.entry(&format!("end {} --by spent", outpoint(2)));
    let pool = || kept.json("show")["pools"][0].clone();
    assert_eq!((&pool()["missing_sat"], &pool()["backing_ratio"]), (&50_000.into(), &666_666.into()));
    for (line, rule) in [
        ("pool write-down p 50001sat", "not-missing"),
        ("pool make-good p 50001sat", "not-missing"),
        ("pool write-down p 0sat", "nothing"),
        ("pool write-down q 5sat", "unknown-pool"),
        ("finalise --pool p --height 210", "backing"),
    ] {
        kept.refused(line, rule);
    }
    let good = kept.entry("pool make-good p 20000sat");
    assert_eq!((&good["missing_sat"], &good["borne"]), (&30_000.into(), &json!([])));
    // 30,000 of the 150,000 that are owed: a fifth of the shares' 125,000, and of the exit's 25,000.
    let borne = kept.entry("pool write-down p 30000sat");
    assert_eq!(
        borne["borne"],
        json!([{"pool": "p", "from_shares_sat": 25_000, "from_exits_sat": 5_000}]),
        "{borne}"
    );
    let pool = pool();
    assert_eq!((&pool["missing_sat"], &pool["assets_sat"]), (&0.into(), &100_000.into()));
    assert_eq!(pool["queued_sat"], 20_000);
}

#[test]
fn all_exits_that_are_due_are_paid_in_their_order_as_far_as_there_is_cash() {
    let kept = Kept::new();
    let none = kept.refused("finalise --pool p", "nothing");
    assert!(none["message"].as_str().unwrap().contains("no exit waits"), "{none}");
    for (height, sat) in [(110, 10_000), (110, 20_000), (111, 30_000), (300, 5_000)] {
        kept.entry(&format!("exit --amount {sat}sat --pool p --holder =ann --height {height}"));
    }
    let waits = kept.refused("finalise 3 --pool p", "unbonding");
    assert_eq!(waits["next"], "give --height 400, or more");
    let behind = kept.refused("finalise 1 --pool p", "not-first");
    assert!(behind["next"].as_str().unwrap().contains("tapstake book finalise --pool p"), "{behind}");
    kept.refused("finalise --pool p", "cash");
    kept.refused("finalise 9 --pool p", "unknown-exit");
    kept.entry(&format!("end {} --by unbonding", outpoint(2)));
    kept.entry(&format!("return {} --amount 50000sat --height 400", outpoint(2)));
    // 50,000 pay the first two, and not the third; the fourth waits behind it.
    let paid = run(&kept.line("finalise --pool p --json"));
    let said = stderr(&paid);
    assert!(said.contains("exit 2 is due and not paid") && said.contains("30000 sat are due"), "{said}");
    let paid: Value = serde_json::from_str(&stdout(&paid)).unwrap();
    assert_eq!(entries_of(&paid, "exit"), [0, 1]);
    assert_eq!(entries_of(&paid, "paid_sat"), [10_000, 20_000]);
    assert_eq!(entries_of(&paid, "paid_to"), ["=ann", "=ann"]);
    kept.refused("finalise --pool p", "cash");
    let queue = kept.text("show");
    assert!(queue.contains("height 211") && queue.contains("30000"), "{queue}");
    kept.entry("pool reward p 20000sat");
    let paid = kept.json("finalise --pool p");
    assert_eq!(entries_of(&paid, "exit"), [2, 3]);
    assert_eq!(kept.json("audit")["verdict"], "the books balance");
}

#[test]
fn an_exit_that_is_not_due_is_no_part_of_those_that_are() {
    let kept = Kept::new();
    kept.entry("pool reward p 50000sat --height 101");
    for height in [110, 111] {
        kept.entry(&format!("exit --amount 10000sat --pool p --holder bob --height {height}"));
    }
    let early = kept.refused("finalise --pool p --height 209", "unbonding");
    assert_eq!(early["next"], "give --height 210, or more");
    let paid = run(&kept.line("finalise --pool p --height 210 --json"));
    assert_eq!(stderr(&paid), "", "an exit that is not due is no warning");
    let paid: Value = serde_json::from_str(&stdout(&paid)).unwrap();
    assert_eq!(entries_of(&paid, "exit"), [0]);
    assert_eq!(kept.entry("finalise 1 --pool p --height 211")["paid_sat"], 10_000);
}

#[test]
fn cash_that_was_too_much_is_taken_out_and_a_loss_that_was_none_is_taken_back() {
    let kept = Kept::new();
    let (first, second) = (outpoint(1), outpoint(2));
    kept.entry("exit --amount 15000sat --pool p --holder bob --height 105");
    kept.entry(&format!("end {first} --by spent --height 110"));
    assert_eq!(kept.entry("pool make-good p 100000sat")["missing_sat"], 0);
    let none = kept.refused("pool write-up p 1sat", "not-surplus");
    assert!(none["next"].as_str().unwrap().starts_with("nothing is left over in p"), "{none}");
    let revived = kept.entry(&format!("revive {first}"));
    assert_eq!(revived["surplus_sat"], 100_000, "{revived}");
    let shown = kept.json("show");
    assert_eq!(shown["pools"][0]["surplus_sat"], 100_000);
    assert!(kept.text("risk").contains("owed to nobody   100000 sat"), "{}", kept.text("risk"));
    let above = kept.refused("pool write-up p 100001sat", "not-surplus");
    assert_eq!(above["next"], "give at most 100000 sat");
    kept.refused("pool take-cash p 100001sat", "cash");
    let taken = kept.entry("pool take-cash p 100000sat");
    assert_eq!((&taken["missing_sat"], &taken["surplus_sat"]), (&0.into(), &Value::Null));
    assert!(!kept.text("risk").contains("owed to nobody"));

    // A stake of a third of the pool is written down, and there after all.
    kept.entry(&format!("end {second} --by spent"));
    let borne = kept.entry("pool write-down p 50000sat");
    assert_eq!(borne["borne"], json!([{"pool": "p", "from_shares_sat": 45_000, "from_exits_sat": 5_000}]));
    kept.entry(&format!("revive {second}"));
    let gained = kept.entry("pool write-up p 50000sat --dry-run");
    assert_eq!(gained["gained"], json!([{"pool": "p", "to_shares_sat": 45_000, "to_exits_sat": 5_000}]));
    let said = kept.text("pool write-up p 50000sat");
    assert!(said.contains("in p: 45000 sat to shares, 5000 sat to exits"), "{said}");
    let pool = kept.json("show")["pools"][0].clone();
    assert_eq!(
        (&pool["surplus_sat"], &pool["assets_sat"], &pool["queued_sat"]),
        (&0.into(), &135_000.into(), &15_000.into())
    );

    let folder = kept.folder.path().join("csv");
    kept.json(&format!("export --csv {}", folder.display()));
    let pools = std::fs::read_to_string(folder.join("pools.csv")).unwrap();
    let rows: Vec<Vec<&str>> = pools.lines().map(|line| line.split(',').collect()).collect();
    let of = |name: &str| rows[1][rows[0].iter().position(|column| *column == name).unwrap()];
    assert_eq!(
        ["surplus_sat", "lost_sat", "recovered_sat", "returned_sat", "made_good_sat", "taken_sat"].map(of),
        ["0", "50000", "50000", "0", "100000", "100000"]
    );
    assert_eq!(kept.json("audit")["verdict"], "the books balance");
}

#[test]
fn a_holder_that_had_nothing_is_called_new() {
    let kept = Kept::new();
    let sat = |sat: u128| (sat * 1_000_000).to_string();
    let to = |holder: &str| format!("transfer {} --pool p --from =ann --to {holder}", sat(1_000));
    assert_eq!(kept.entry(&to("bob"))["new_holder"], Value::Null);
    assert_eq!(kept.entry(&to("bbo"))["new_holder"], "bbo");
    assert_eq!(kept.entry(&to("bbo"))["new_holder"], Value::Null);
    let deposit = |holder: &str| format!("pool deposit l {} --holder {holder}", sat(500));
    assert_eq!(kept.entry(&deposit("=ann"))["new_holder"], Value::Null);
    let over = format!("transfer {} --pool l --from =ann --to cid", sat(100));
    let said = kept.text(&over);
    assert!(said.lines().any(|line| line.split_whitespace().eq(["new", "holder", "cid"])), "{said}");
    // Whoever waits for an exit is known.
    kept.entry(&format!("exit {} --pool p --holder bbo", sat(2_000)));
    assert_eq!(kept.entry(&to("bbo"))["new_holder"], Value::Null);
}

#[test]
fn a_pool_of_the_other_kind_is_not_called_missing() {
    let kept = Kept::new();
    let first = outpoint(1);
    for line in [
        "exit 5 --pool l --holder bob".to_owned(),
        "finalise --pool l".to_owned(),
        format!("mint {first} --pool l --to bob"),
        "pool make-good l 5sat".to_owned(),
        "pool write-down l 5sat".to_owned(),
        "pool write-up l 5sat".to_owned(),
        "pool take-cash l 5sat".to_owned(),
        "pool reward l 5sat".to_owned(),
        "pool open m --over l --leverage-limit 100%".to_owned(),
    ] {
        let refused = kept.refused(&line, "pool-kind");
        assert_eq!(refused["message"], "pool l is over the receipts of p, not over stakes", "{line}");
    }
    for line in [
        "pool deposit p 5 --holder bob",
        "pool redeem p 5 --holder bob",
        "pool choose p a 50%",
        "pool leave p a",
    ] {
        let refused = kept.refused(line, "pool-kind");
        assert_eq!(refused["message"], "pool p is over stakes, not over receipts", "{line}");
    }
    kept.refused("exit 5 --pool q --holder bob", "unknown-pool");
    kept.entry("pool choose l a 50%");
    kept.entry("pool leave l a");
    let twice = kept.refused("pool leave l a", "unknown-service");
    assert_eq!(twice["next"], "tapstake book show --pool l says which services it has chosen");
}

#[test]
fn a_holder_named_like_a_pool_is_warned_of_once() {
    let kept = Kept::new();
    for (to, warned) in [("l", true), ("l", false), ("p", true), ("cid", false)] {
        let line = kept.line(&format!("transfer 1000000 --pool p --from bob --to {to}"));
        let said = stderr(&run(&line));
        assert_eq!(said.contains(&format!("is named like pool {to}")), warned, "{to}: {said}");
    }
}

#[test]
fn nobody_gets_a_part_of_what_nobody_is_owed_by_coming_late() {
    let kept = Kept::new();
    let first = outpoint(1);
    kept.entry(&format!("end {first} --by spent --height 110"));
    kept.entry("pool make-good p 100000sat");
    kept.entry(&format!("revive {first}"));
    let mut ledger = Ledger::open(&kept.file()).unwrap();
    let stake = json!({"height": 110, "event": {"admit_stake": {"stake": {
        "outpoint": outpoint(3), "spends": [outpoint(103)], "unbonding": outpoint(203), "value": 50_000,
        "slashed": 5_000, "refund": 44_900, "unbonding_refund": 44_850, "owner": "text:ann", "providers": [KEYS[1]],
        "inclusion_height": 90, "expires_at": 10_000, "unbonding_time": 100,
    }}}});
    ledger.append(serde_json::from_value(stake).unwrap()).unwrap();
    drop(ledger);
    let mint = format!("mint {} --pool p --to eve", outpoint(3));
    let refused = kept.refused(&mint, "surplus");
    let next = refused["next"].as_str().unwrap();
    assert!(next.starts_with("tapstake book pool write-up p 100000sat "), "{next}");
    kept.entry("pool take-cash p 100000sat");
    assert_eq!(kept.entry(&mint)["new_holder"], "eve");
}
