//! What several of these tests ask.
#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

use std::collections::BTreeMap;

use bitcoin::key::Keypair;
use bitcoin::secp256k1::Secp256k1;
use serde_json::Value;
use tapstake_crypto::eots::{self, Seed, Vote};
use tapstake_devnet::{Config, Devnet};
use tapstake_tests::Cli;
use tapstake_verifier::equivocation::{Evidence, SignedVote};

/// The steps of the demo, and how often each comes.
const STEPS: [(&str, usize); 40] = [
    ("fund wallet", 1),
    ("rehearse exit, signed and kept", 4),
    ("staker signs in advance", 4),
    ("covenant signs the ways out", 4),
    ("lock stake", 3),
    ("wait for confirmations", 1),
    ("prove", 4),
    ("verify", 4),
    ("forge: a larger value", 1),
    ("forge: another place in the block", 1),
    ("forge: a longer timelock", 1),
    ("forge: another block header", 1),
    ("forge: a covenant member less", 1),
    ("forge: signatures of another tx", 1),
    ("expand", 1),
    ("unbond", 1),
    ("withdraw after unbonding", 1),
    ("provider votes", 2),
    ("key extracted from two votes", 1),
    ("same key, the other provider", 1),
    ("slash: burn", 1),
    ("slash: refund output", 1),
    ("withdraw refund", 1),
    ("withdraw after expiry", 1),
    ("withdraw one block too early", 3),
    ("secure services", 2),
    ("service pays", 2),
    ("claim rewards", 1),
    ("mint receipts", 2),
    ("transfer receipts", 1),
    ("queue for exit", 1),
    ("the slash reaches the pool", 1),
    ("and each service, once", 1),
    ("slash it again", 1),
    ("reward the slashed provider", 1),
    ("back in the pool as cash", 2),
    ("and leaves its service", 1),
    ("make good the fees", 1),
    ("pay the exit", 1),
    ("the books balance", 1),
];

/// Checks that a demo told every step, that its sums are those of its steps, and that no satoshi is missing.
pub(crate) fn check_demo(document: &Value) {
    let steps = document["steps"].as_array().unwrap();
    let mut told = BTreeMap::new();
    for step in steps {
        *told.entry(step["what"].as_str().unwrap()).or_insert(0) += 1;
    }
    assert_eq!(told, BTreeMap::from(STEPS), "{document:#}");

    let sat = |value: &Value| value.as_u64().unwrap();
    let of = |what: &str| steps.iter().find(|step| step["what"] == what).unwrap();
    let summary = &document["summary"];
    let [funded, back, burned, fees] =
        ["funded_sat", "back_in_wallet_sat", "burned_sat", "fees_sat"].map(|name| sat(&summary[name]));
    assert_eq!(funded, back + burned + fees, "{summary}");
    assert_eq!(funded, sat(&of("fund wallet")["value_sat"]));
    assert_eq!(burned, sat(&of("slash: burn")["value_sat"]));
    assert_eq!(burned, 10_000_000, "a tenth of a bitcoin");
    assert_eq!(fees, steps.iter().filter_map(|step| step["fee_sat"].as_u64()).sum::<u64>());
    assert_eq!(summary["refused_forgeries"], 6);
    for forged in steps.iter().filter(|step| step["what"].as_str().unwrap().starts_with("forge")) {
        assert!(forged["note"].as_str().unwrap().starts_with("refused by "), "{forged}");
    }
    check_restaking(steps, summary);
}

/// Checks the books of the demo against its steps on the chain: what came in, was lost, paid and is left, to the satoshi.
fn check_restaking(steps: &[Value], summary: &Value) {
    let books = &summary["restaking"];
    let value = |what: &str, stake: &str| {
        let mut found =
            steps.iter().filter(|step| step["what"] == what && (stake.is_empty() || step["stake"] == stake));
        found.next().unwrap()["value_sat"].as_u64().unwrap()
    };
    let sat = |name: &str| books[name].as_u64().unwrap_or_else(|| panic!("{name}: {books:#}"));

    // The slash, as the chain has it, reaches shares and queue together once, and each service once.
    let loss = value("lock stake", "C") - value("slash: refund output", "");
    assert_eq!(sat("lost_sat"), loss);
    assert_eq!(sat("lost_by_shares_sat") + sat("lost_by_queue_sat"), loss);
    assert!(sat("lost_by_queue_sat") > 0, "exits bear losses");
    let services = books["services"].as_array().unwrap();
    assert_eq!(services.len(), 2);
    assert!(services.iter().all(|service| service["lost_sat"] == loss), "{services:?}");
    // C is slashed and D unbonded: nothing counts any more.
    assert!(services.iter().all(|service| service["nominal_sat"] == "0"), "{services:?}");
    let after = steps.iter().find(|step| step["what"] == "and each service, once").unwrap();
    let counted = format!("first-service 0 sat, second-service {} sat", value("expand", "D"));
    assert!(after["note"].as_str().unwrap().ends_with(&counted), "{after}");

    // What leaves a service is relied on for as long as it can be slashed.
    let left = steps.iter().find(|step| step["what"] == "and leaves its service").unwrap();
    let unbonded = steps.iter().find(|step| step["what"] == "withdraw after unbonding").unwrap();
    let below = format!("relies on it below height {}", unbonded["height"]);
    assert!(left["note"].as_str().unwrap().ends_with(&below), "{left}");
    let exposed =
        steps.iter().find(|step| step["what"] == "secure services" && step["stake"] == "D").unwrap();
    let slashable = format!("slashable {} once", left["value_sat"]);
    assert!(exposed["note"].as_str().unwrap().ends_with(&slashable), "{exposed}");

    // What came in is what was lost, paid, and is left; what came back and was made good is what was paid, and is left.
    assert_eq!(sat("minted_sat"), value("lock stake", "C") + value("expand", "D"));
    assert_eq!(sat("minted_sat"), loss + sat("paid_to_exits_sat") + sat("shares_worth_sat"));
    assert_eq!(sat("returned_sat"), value("withdraw refund", "") + value("withdraw after unbonding", ""));
    assert_eq!(sat("returned_sat") + sat("made_good_sat"), sat("paid_to_exits_sat") + sat("cash_sat"));
    assert_eq!(sat("cash_sat"), sat("shares_worth_sat"));
    assert_eq!(sat("paid_to_exits_sat"), value("queue for exit", "") - sat("lost_by_queue_sat"));

    for service in services {
        let units = |name: &str| service[name].as_str().unwrap().parse::<u128>().unwrap();
        let kept = units("claimed") + units("claimable") + units("commission") + units("left");
        assert_eq!(units("put_in"), kept, "{service}");
        assert!(units("claimed") > 0, "{service}");
    }
    assert_ne!(services[0]["denomination"], services[1]["denomination"]);
}

/// A chain, and a user with two coins on it.
pub(crate) fn two_coins() -> (Devnet, Cli) {
    let devnet = Devnet::start(&Config::default()).unwrap();
    let mut user = Cli::new("regtest");
    user.set("TAPSTAKE_SOURCE", devnet.electrum_url());
    let script = new_wallet(&user);
    for value in [10_000_000, 6_000_000] {
        devnet.fund(&script, bitcoin::Amount::from_sat(value)).unwrap();
    }
    devnet.mine(1).unwrap();
    (devnet, user)
}

/// Makes the default wallet, and says the script of its first address.
pub(crate) fn new_wallet(user: &Cli) -> bitcoin::ScriptBuf {
    user.run(&["wallet", "create"]).ok();
    script_of(user)
}

/// The script of the default wallet's next unused address.
pub(crate) fn script_of(user: &Cli) -> bitcoin::ScriptBuf {
    let shown = user.run(&["wallet", "address"]).ok();
    let address: bitcoin::Address<_> = shown["addresses"][0]["address"].as_str().unwrap().parse().unwrap();
    address.assume_checked().script_pubkey()
}

/// The only stake of the list, as `tapstake stakes` shows it.
pub(crate) fn only_stake(user: &Cli) -> Value {
    let listed = user.run(&["stakes"]).ok();
    let [stake] = listed["stakes"].as_array().unwrap().as_slice() else { panic!("one stake: {listed}") };
    stake.clone()
}

/// The state of the only stake.
pub(crate) fn state(user: &Cli) -> String {
    only_stake(user)["state"].as_str().unwrap().to_owned()
}

/// The evidence that a provider voted for two blocks at one height, as a file of the user's.
pub(crate) fn equivocation(user: &Cli, provider: &Keypair) -> String {
    let secp = Secp256k1::new();
    let randomness = eots::randomness(&secp, &Seed::new([6; 32]), b"a-service", 1000);
    let vote = |block_hash| {
        let vote = Vote { height: 1000, block_hash };
        SignedVote {
            service: "a-service".into(),
            provider: provider.x_only_public_key().0,
            vote,
            public_randomness: randomness.public(),
            committed: None,
            signature: eots::sign(provider, &randomness, &vote.message()),
        }
    };
    let evidence = Evidence::TwoVotes(Box::new([vote([1; 32]), vote([2; 32])]));
    let path = user.path("evidence.json");
    std::fs::write(&path, serde_json::to_string(&evidence).unwrap()).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Text at a key.
pub(crate) fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_else(|| panic!("text at {key}: {value}")).to_owned()
}
