//! What services pay, and who is paid it.

use serde_json::{Value, json};

use tapstake_ledger::Ledger;

use super::{Kept, entries_of, outpoint};
use crate::support::{KEYS, run, stdout};

#[test]
fn a_reward_at_the_height_at_which_a_stake_began_to_count_names_the_next() {
    let kept = Kept::new();
    let reward = format!("reward 1000 --service a --provider {}", KEYS[1]);
    let refused = kept.refused(&reward, "reward-after-change");
    assert_eq!(refused["next"], "give --height 101, or more");
    assert_eq!(kept.entry(&format!("{reward} --height 101"))["height"], 101);
}

#[test]
fn what_reaches_nobody_goes_back_to_its_service() {
    let kept = Kept::new();
    let (give, at) = (format!("give-back --service b --provider {}", KEYS[1]), "--height 110");
    kept.refused(&give, "nothing-owed");
    // Nothing is staked behind that provider at b.
    kept.entry(&format!("reward 777 --service b --provider {} {at}", KEYS[1]));
    let provider = || kept.json("show")["services"][1]["providers"][1].clone();
    assert_eq!((&provider()["held"], &provider()["given_back"]), (&"777".into(), &"0".into()));
    let given = kept.entry(&give);
    assert_eq!((&given["given_back"], &given["denomination"]), (&"777".into(), &"ub".into()));
    assert_eq!((&provider()["held"], &provider()["given_back"]), (&"0".into(), &"777".into()));
    kept.refused(&give, "nothing-owed");
    kept.refused(&format!("give-back --service c --provider {}", KEYS[1]), "unknown-service");
    // What a sat has earned is a decimal.
    kept.entry(&format!("reward 250000 --service a --provider {} {at}", KEYS[1]));
    assert_eq!(kept.json("show")["services"][0]["providers"][1]["per_sat"], "5");
    kept.entry(&format!("reward 1 --service a --provider {} {at}", KEYS[1]));
    assert_eq!(kept.json("show")["services"][0]["providers"][1]["per_sat"], "5.00002");
    assert!(kept.text("show").contains("5.00002"));
}

#[test]
fn all_that_stakes_can_claim_is_paid_together_and_summed_by_coin() {
    let kept = Kept::new();
    kept.refused("claim --all", "nothing-owed");
    kept.paid();
    let none = kept.refused("claim --all --owner text:bob", "nothing-owed");
    assert!(none["message"].as_str().unwrap().contains("no stake of text:bob"), "{none}");
    kept.refused("claim --all --service c", "unknown-service");
    kept.refused("claim --all --height 10000 --yes", "expiry-due");
    let tried = kept.json("claim --all --dry-run");
    let of_b = kept.json("claim --all --service b --owner text:ann");
    assert_eq!(entries_of(&of_b, "paid"), ["9500"]);
    assert_eq!(of_b["paid_in_all"], json!({"ub": "9500"}));
    kept.refused("claim --all --service b", "nothing-owed");
    let rest = run(&kept.line("claim --all"));
    let rest = stdout(&rest);
    assert!(rest.contains("paid in all  240000 ua") && !rest.contains("ub"), "{rest}");
    kept.refused("claim --all", "nothing-owed");

    assert_eq!(tried["paid_in_all"], json!({"ua": "240000", "ub": "9500"}));
    let kinds = entries_of(&tried, "kind");
    assert_eq!(kinds, ["claim", "claim", "claim"]);
    assert_eq!(entries_of(&tried, "paid"), ["190000", "9500", "50000"]);
    assert_eq!(entries_of(&tried, "paid_to"), ["text:ann", "text:ann", "text:ann"]);
    assert_eq!(entries_of(&tried, "denomination"), ["ua", "ub", "ua"]);
    assert_eq!(entries_of(&kept.json("log --kind claim"), "kind"), kinds);
    // Commission is not a stake's.
    let owed = kept.json("show")["services"][0]["providers"][0]["commission_owed"].clone();
    assert_eq!(owed, "10000");
    assert_eq!(kept.json("audit")["verdict"], "the books balance");
}

#[test]
fn a_service_that_names_its_coin_like_another_stops_no_claim() {
    let kept = Kept::new();
    kept.paid();
    let mut ledger = Ledger::open(&kept.file()).unwrap();
    let (most, provider) = (u128::MAX.to_string(), KEYS[1]);
    let terms = json!({
        "denomination": "ua", "slashing_rate": "0.1", "unbonding_time": 100, "leverage_limit": 2_000_000,
    });
    for (height, event) in [
        (102, json!({"register_service": {"service": "evil", "terms": terms}})),
        (102, json!({"register_provider": {"service": "evil", "provider": provider, "commission": 0}})),
        (102, json!({"allocate": {"stake": outpoint(2), "service": "evil", "allocation": "shared"}})),
        (
            103,
            json!({"reward": {"service": "evil", "provider": provider, "denomination": "ua", "amount": most}}),
        ),
    ] {
        ledger.append(serde_json::from_value(json!({"height": height, "event": event})).unwrap()).unwrap();
    }
    drop(ledger);
    assert_eq!(kept.json("show")["stakes"][1]["claimable"]["a"], "50000");
    let claimed = kept.json("claim --all");
    assert_eq!(claimed["entries"].as_array().unwrap().len(), 4);
    // As much as can be counted.
    assert_eq!(claimed["paid_in_all"], json!({"ua": most, "ub": "9500"}));
    assert_eq!(kept.json("audit")["verdict"], "the books balance");
}

#[test]
fn rewards_of_a_pool_come_at_a_later_height_than_what_it_minted() {
    let kept = Kept::new();
    let refused = kept.refused("pool reward p 5sat", "reward-after-change");
    assert_eq!(refused["next"], "give --height 101, or more");
}

#[test]
fn a_reward_says_what_the_provider_gets_and_what_waits_for_a_stake() {
    let kept = Kept::new();
    let reward = |amount: u32, service: &str, provider: &str| {
        format!("reward {amount} --service {service} --provider {provider} --height 101")
    };
    let made = kept.entry(&reward(200_001, "a", KEYS[2]));
    assert_eq!((&made["commission"], &made["held"]), (&"10000".into(), &Value::Null), "{made}");
    let made = kept.entry(&reward(777, "b", KEYS[1]));
    assert_eq!((&made["commission"], &made["held"]), (&Value::Null, &"777".into()), "{made}");
    let said = kept.text(&reward(3, "b", KEYS[1]));
    assert!(said.contains("780 ub: nothing is staked; tapstake book give-back returns it"), "{said}");
    let given = kept.entry(&format!("give-back --service b --provider {}", KEYS[1]));
    assert_eq!(given["given_back"], "780");
}

#[test]
fn a_claim_where_a_stake_does_not_count_says_so() {
    let kept = Kept::new();
    let (first, second) = (outpoint(1), outpoint(2));
    let never = kept.refused(&format!("claim {second} --service b"), "not-allocated");
    assert!(never["next"].as_str().unwrap().starts_with("tapstake book allocate"), "{never}");
    kept.refused(&format!("claim {first} --service b"), "nothing-owed");
    kept.paid();
    // What it has earned it can claim also later.
    kept.entry(&format!("allocate {first} --service b --withdraw"));
    assert_eq!(kept.entry(&format!("claim {first} --service b"))["paid"], "9500");
    kept.refused(&format!("claim {first} --service b"), "not-allocated");
}
