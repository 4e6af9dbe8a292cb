//! What the book says of stakes, services and holders.

use serde_json::{Value, json};
use tapstake_ledger::Ledger;

use super::{Kept, keys, outpoint};
use crate::support::{KEYS, run};

#[test]
fn what_has_left_a_service_is_shown_until_the_service_relies_on_it_no_more() {
    let kept = Kept::new();
    let left = kept.entry(&format!("allocate {} --service a --withdraw --height 110", outpoint(1)));
    assert_eq!(left["leaving"], json!({"a": {"nominal_sat": "100000", "until": 210}}));
    kept.refused(&format!("allocate {} --service a --withdraw", outpoint(1)), "not-allocated");
    let shown = kept.json("show");
    let (stake, service) = (&shown["stakes"][0], &shown["services"][0]);
    assert_eq!(stake["leaving"], json!({"a": {"nominal_sat": "100000", "until": 210}}));
    assert_eq!(stake["nominal_sat"], json!({"b": "100000"}));
    assert_eq!(stake["leverage"], 2_000_000, "what is leaving counts with the rest");
    assert_eq!((&service["leaving"], &service["leaving_slashable_sat"]), (&1.into(), &10_150.into()));
    assert_eq!(shown["services"][1]["leaving"], 0);
    assert_eq!(kept.json("export")["stakes"][0]["leaving"], stake["leaving"]);
    let said = kept.text("show");
    assert!(said.contains("still relies on") && said.contains("height 210"), "{said}");
    kept.json(&format!("export --csv {}", kept.folder.path().join("csv").display()));
    let leaving = std::fs::read_to_string(kept.folder.path().join("csv/leaving.csv")).unwrap();
    assert_eq!(leaving, format!("stake,service,nominal_sat,until\r\n{},a,100000,210\r\n", outpoint(1)));

    kept.entry("pool reward p 5sat --height 209");
    assert_eq!(kept.json("show")["services"][0]["leaving"], 1);
    kept.entry("pool reward p 5sat --height 210");
    let shown = kept.json("show");
    assert_eq!((&shown["services"][0]["leaving"], &shown["stakes"][0]["leaving"]), (&0.into(), &json!({})));
    assert!(!kept.text("show").contains("still relies on"));
}

#[test]
fn a_stake_is_shown_where_it_is_in_its_life() {
    let kept = Kept::new();
    let seen = |n: usize| {
        let stake = kept.json("show")["stakes"][n].clone();
        (stake["status"].as_str().unwrap().to_owned(), stake["withdrawable_at"].clone())
    };
    assert_eq!(seen(0), ("active".to_owned(), Value::Null));
    let ended = kept.entry(&format!("end {} --by unbonding --height 110", outpoint(1)));
    assert_eq!(ended["leaving"]["b"], json!({"nominal_sat": "100000", "until": 210}), "{ended}");
    assert_eq!((&ended["pool"], &ended["missing_sat"]), (&"p".into(), &0.into()));
    assert_eq!(seen(0), ("unbonding".to_owned(), 210.into()));
    let early = kept.refused(&format!("return {} --amount 99000sat", outpoint(1)), "still-locked");
    assert_eq!(early["next"], "give --height 210, or more");
    let back = kept.entry(&format!("return {} --amount 99000sat --height 210", outpoint(1)));
    assert_eq!((&back["missing_sat"], &back["leaving"]), (&1_000.into(), &json!({})), "the fees");
    assert_eq!(seen(0), ("returned".to_owned(), Value::Null));
    // An expired stake may still be unbonded, and is gone at last.
    kept.entry("end --due --height 10000 --yes");
    assert_eq!(seen(1), ("expired".to_owned(), 10_100.into()));
    kept.entry(&format!("end {} --by unbonding --height 10020", outpoint(2)));
    assert_eq!(seen(1), ("unbonding".to_owned(), 10_120.into()));
    kept.entry(&format!("end {} --by spent", outpoint(2)));
    assert_eq!(seen(1), ("spent".to_owned(), Value::Null));
}

fn stakes_of(shown: &Value) -> Vec<String> {
    let stakes = shown["stakes"].as_array().unwrap().iter();
    stakes.map(|stake| stake["stake"].as_str().unwrap().to_owned()).collect()
}

const HEAD: [&str; 4] = ["entries", "head", "height", "network"];

#[test]
fn a_filter_leaves_the_stakes_that_it_asks_for() {
    let kept = Kept::new();
    kept.paid();
    let (first, second) = (outpoint(1), outpoint(2));
    let all = kept.json("show");
    let shown = kept.json(&format!("show --stake {second}"));
    assert_eq!(keys(&shown), [&HEAD[..], &["stakes"]].concat());
    assert_eq!(shown["stakes"], json!([all["stakes"][1]]));
    assert_eq!(shown["head"], all["head"]);
    for (filter, expected) in [
        ("--owner text:ann", vec![&first, &second]),
        ("--owner text:bob", vec![]),
        ("--service b", vec![&first]),
        ("--service a", vec![&first, &second]),
        ("--service a --owner text:bob", vec![]),
        ("--pool p", vec![&first, &second]),
        ("--pool l", vec![&first, &second]),
        (&format!("--service b --stake {second}"), vec![]),
        (&format!("--pool p --service a --owner text:ann --stake {second}"), vec![&second]),
    ] {
        let shown = stakes_of(&kept.json(&format!("show {filter}")));
        assert_eq!(shown.iter().collect::<Vec<_>>(), expected, "{filter}");
    }
    // What it has left, and still can claim, belongs to the service as well.
    kept.entry(&format!("allocate {first} --service b --withdraw --height 110"));
    assert_eq!(stakes_of(&kept.json("show --service b")), [first.as_str()]);
    kept.entry("pool reward p 5sat --height 210");
    assert_eq!(stakes_of(&kept.json("show --service b")), [first.as_str()], "9,500 ub are not paid");
    kept.json("claim --all --service b");
    let shown = kept.json("show --service b");
    assert_eq!((stakes_of(&shown).len(), &shown["services"][0]["name"]), (0, &"b".into()));
    assert_eq!(shown["services"].as_array().unwrap().len(), 1);
    for (line, rule) in [
        (format!("show --stake {}", outpoint(9)), "unknown-stake"),
        ("show --pool q".to_owned(), "unknown-pool"),
        ("show --holder bob --pool q".to_owned(), "unknown-pool"),
        ("show --service c".to_owned(), "unknown-service"),
    ] {
        kept.refused(&line, rule);
    }
    for other in ["--service a", "--owner text:ann", &format!("--stake {first}")] {
        assert_eq!(run(&kept.line(&format!("show --holder bob {other}"))).status.code(), Some(2), "{other}");
    }
}

#[test]
fn a_stake_is_shown_with_what_it_counts_for_and_can_claim() {
    let kept = Kept::new();
    kept.paid();
    let said = kept.text(&format!("show --stake {}", outpoint(1)));
    for row in ["a 100000 190000 ua text:ann", "b 100000 9500 ub text:ann"] {
        let row = format!("{} {row}", outpoint(1));
        let rows: Vec<_> =
            said.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert!(rows.contains(&row), "{row}: {rows:#?}");
    }
    assert!(!said.contains(&outpoint(2)) && !said.contains("backing"), "{said}");
}

#[test]
fn a_holder_has_a_statement_of_shares_and_exits() {
    let kept = Kept::new();
    let sat = |sat: u128| (sat * 1_000_000).to_string();
    kept.entry(&format!("pool deposit l {} --holder =ann", sat(40_000)));
    for (height, amount, holder) in [(110, 10_000, "=ann"), (111, 7_000, "bob"), (112, 5_000, "=ann")] {
        kept.entry(&format!("exit --amount {amount}sat --pool p --holder {holder} --height {height}"));
    }
    // 128,000 sat of shares become 127,999: what a share is worth is rounded down.
    kept.entry(&format!("end {} --by spent --height 120", outpoint(2)));
    kept.entry("pool make-good p 49998sat");
    kept.entry("pool write-down p 2sat");
    let shown = kept.json("show --holder =ann");
    assert_eq!(keys(&shown), ["entries", "exits", "head", "height", "holder", "holdings", "network"]);
    assert_eq!(shown["holder"], "=ann");
    let held = |shown: &Value, field: &str| -> Vec<Value> {
        shown["holdings"].as_array().unwrap().iter().map(|row| row[field].clone()).collect()
    };
    assert_eq!(held(&shown, "pool"), ["l", "p"]);
    assert_eq!(held(&shown, "shares"), [sat(40_000 * 1_000_000), sat(45_000)]);
    assert_eq!(held(&shown, "worth_sat"), [39_999, 44_999]);
    let exits = shown["exits"].as_array().unwrap();
    let of = |field: &str| exits.iter().map(|exit| exit[field].clone()).collect::<Vec<_>>();
    assert_eq!((of("pool"), of("exit")), (vec!["p".into(), "p".into()], vec![0.into(), 2.into()]));
    assert_eq!(
        (of("quoted"), of("matures_at")),
        (vec![10_000.into(), 5_000.into()], vec![210.into(), 212.into()])
    );
    let all = kept.json("show")["pools"][0]["exits"].clone();
    assert_eq!(of("claim"), [all[0]["claim"].clone(), all[2]["claim"].clone()]);
    assert!(all[2]["claim"].as_u64() < Some(5_000), "{all}");
    // An exit of what is held now is quoted what the statement says.
    let quoted = kept.entry(&format!("exit {} --pool p --holder =ann --dry-run", sat(45_000)));
    assert_eq!(quoted["quoted_sat"], 44_999);
    let said = kept.text("show --holder =ann");
    for text in ["44999", "39999", "height 212"] {
        assert!(said.contains(text), "{text}: {said}");
    }
    assert!(!said.contains("bob"), "{said}");

    let shown = kept.json("show --holder =ann --pool l");
    assert_eq!((held(&shown, "pool"), &shown["exits"]), (vec!["l".into()], &json!([])));
    let nobody = kept.json("show --holder nobody");
    assert_eq!((&nobody["holdings"], &nobody["exits"]), (&json!([]), &json!([])));
    assert!(kept.text("show --holder nobody").contains("no shares, and no exit of nobody waits"));

    let pool = kept.json("show --pool p");
    assert_eq!(
        keys(&pool),
        [&HEAD[..3], &["holdings", "network", "pools", "pools_over_receipts", "stakes"]].concat()
    );
    assert_eq!(held(&pool, "holder"), ["=ann", "bob", "lrt:l"]);
    assert_eq!(pool["pools"], kept.json("show")["pools"]);
    let over = kept.json("show --pool l");
    assert_eq!((&over["pools"], held(&over, "holder")), (&json!([]), vec!["=ann".into()]));
    assert_eq!(over["pools_over_receipts"], kept.json("show")["pools_over_receipts"]);
    assert!(kept.text("show --pool p").contains("quoted sat"));
}

#[test]
fn what_can_be_lost_no_more_is_not_called_slashable_and_what_is_left_is_said() {
    let kept = Kept::new();
    let mut ledger = Ledger::open(&kept.file()).unwrap();
    let slash = json!({"height": 120, "event": {"slash": {"provider": KEYS[2]}}});
    ledger.append(serde_json::from_value(slash).unwrap()).unwrap();
    drop(ledger);
    let stakes = || {
        let shown = kept.json("show");
        let of = |stake: &Value| (stake["slashable_sat"].clone(), stake["rest_sat"].clone());
        shown["stakes"].as_array().unwrap().iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(stakes(), [(0.into(), 89_900.into()), (5_150.into(), Value::Null)]);
    assert!(kept.text("show").contains("slashed, 89900 sat not back"), "{}", kept.text("show"));
    let csv = |name: &str| {
        kept.json(&format!("export --csv {}", kept.folder.path().join(name).display()));
        let stakes = std::fs::read_to_string(kept.folder.path().join(name).join("stakes.csv")).unwrap();
        stakes.lines().nth(1).unwrap().split(',').skip(1).take(3).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(csv("first"), ["100000", "0", "89900"]);
    kept.entry(&format!("return {} --amount 89900sat --height 121", outpoint(1)));
    kept.entry(&format!("end {} --by spent", outpoint(2)));
    assert_eq!(stakes(), [(0.into(), Value::Null), (0.into(), Value::Null)]);
    assert_eq!(csv("first"), ["100000", "0", ""], "in place of the first");
}
