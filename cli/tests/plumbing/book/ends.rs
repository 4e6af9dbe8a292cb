//! How stakes end, and what sets a wrong entry right.

use serde_json::json;
use tapstake_ledger::Ledger;

use super::{Kept, outpoint};
use crate::support::KEYS;

#[test]
fn a_stake_that_was_called_spent_by_mistake_is_revived() {
    let kept = Kept::new();
    let (first, before) = (outpoint(1), kept.json("show")["pools"][0]["backing"].clone());
    let lives = kept.refused(&format!("revive {first}"), "stake-lives");
    assert!(lives["message"].as_str().unwrap().contains("active"), "{lives}");
    kept.entry(&format!("end {first} --by spent --height 110"));
    for line in [format!("return {first} --amount 5sat"), format!("end {first} --by unbonding")] {
        let refused = kept.refused(&line, "inactive");
        assert!(
            refused["next"].as_str().unwrap().contains(&format!("tapstake book revive {first}")),
            "{refused}"
        );
    }
    let revived = kept.entry(&format!("revive {first}"));
    assert_eq!((&revived["status"], &revived["missing_sat"]), (&"active".into(), &0.into()));
    assert_eq!(revived["leaving"]["a"]["nominal_sat"], "100000");
    assert_eq!(kept.json("show")["pools"][0]["backing"], before);
    // Its provider is slashed meanwhile, and it with it.
    kept.entry(&format!("end {first} --by spent"));
    let mut ledger = Ledger::open(&kept.file()).unwrap();
    let slash = json!({"height": 120, "event": {"slash": {"provider": KEYS[2]}}});
    ledger.append(serde_json::from_value(slash).unwrap()).unwrap();
    drop(ledger);
    let revived = kept.entry(&format!("revive {first}"));
    assert_eq!(revived["status"], "slashed");
    let borne = &revived["borne"][0];
    let both = ["from_shares_sat", "from_exits_sat"].map(|part| borne[part].as_u64().unwrap());
    assert_eq!(both, [10_100, 0], "{revived}");
    let stays = kept.refused(&format!("revive {first}"), "stake-lives");
    assert!(stays["next"].as_str().unwrap().contains("pool write-up"), "{stays}");
    assert_eq!(kept.json("audit")["verdict"], "the books balance");
}

#[test]
fn wrong_entries_are_set_right_as_the_manual_says() {
    let kept = Kept::new();
    let (first, second) = (outpoint(1), outpoint(2));
    let before = kept.json("show")["pools"][0].clone();
    let pool = || kept.json("show")["pools"][0].clone();
    // Entered as unbonding, and it was not.
    kept.entry(&format!("end {first} --by unbonding --height 110"));
    kept.entry(&format!("end {first} --by spent"));
    assert_eq!(kept.entry(&format!("revive {first}"))["status"], "active");
    kept.entry(&format!("allocate {first} --service a --shared"));
    assert_eq!((&pool()["backing"], &pool()["cash_sat"]), (&before["backing"], &0.into()));
    // A reward of ten times as much: what is taken out is borne by those who had earned it.
    kept.entry("pool reward p 5000sat --height 120");
    kept.entry("pool take-cash p 4500sat");
    kept.entry("pool write-down p 4500sat");
    assert_eq!((&pool()["assets_sat"], &pool()["missing_sat"]), (&150_500.into(), &0.into()));
    // Too little came back, and then too much.
    kept.entry(&format!("end {second} --by unbonding"));
    kept.entry(&format!("return {second} --amount 40000sat --height 220"));
    let twice = kept.refused(&format!("return {second} --amount 10000sat"), "inactive");
    assert!(twice["next"].as_str().unwrap().contains("pool make-good p AMOUNT"), "{twice}");
    assert_eq!(kept.entry("pool make-good p 10000sat")["missing_sat"], 0);
    kept.entry("pool take-cash p 500sat");
    kept.entry("pool make-good p 500sat");
    assert_eq!(
        (&pool()["backing"]["reserves"], &pool()["backing"]["issued"]),
        (&150_500.into(), &150_500.into())
    );
    // Cash that came and was stolen.
    kept.entry("pool take-cash p 50500sat");
    kept.refused("pool take-cash p 1sat", "cash");
    kept.entry("pool write-down p 50500sat");
    assert_eq!((&pool()["assets_sat"], &pool()["cash_sat"]), (&100_000.into(), &0.into()));
    assert_eq!(kept.json("audit")["verdict"], "the books balance");
}

#[test]
fn what_is_due_is_ended_by_name() {
    let kept = Kept::new();
    assert!(kept.text("end --due --height 101").contains("entries  none"));
    kept.entry(&format!("allocate {} --service b --withdraw --height 9950 --yes", outpoint(1)));
    let said = kept.text("end --due --height 10000 --dry-run");
    for stake in [1, 2].map(outpoint) {
        assert!(said.contains(&format!("stake             {stake}\n")), "{said}");
    }
    assert!(said.contains("b: 100000 sat below height 10050"), "{said}");
    let ended = kept.json("end --due --height 10000");
    assert_eq!(ended["entries"], kept.json("log --last 2")["entries"]);
    let nothing = kept.json("end --due --height 10000");
    assert_eq!(nothing["entries"], json!([]));
    let ended = kept.refused(&format!("end {} --by expired", outpoint(1)), "inactive");
    assert!(
        ended["next"].as_str().unwrap().contains("from height 10100 on, tapstake book return"),
        "{ended}"
    );
}
