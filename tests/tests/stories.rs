//! Stories on a real bitcoind: the demo, by itself and through a real ElectrumX, and stakes by the command line.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

mod common;

use bitcoin::Amount;
use bitcoin::hashes::Hash;
use bitcoin::secp256k1::Secp256k1;
use common::text;
use tapstake_params::local;
use tapstake_regtest::{Bitcoind, ElectrumX};
use tapstake_tests::Cli;

#[test]
fn the_demo_tells_the_same_story_on_bitcoind() {
    let node = Bitcoind::start().unwrap();
    let cookie = node.cookie_file();
    let demo = ["demo", "--source", &node.rpc_url(), "--cookie-file", cookie.to_str().unwrap()];
    let document = Cli::new("regtest").run(&demo).ok();
    assert_eq!(document["chain"], "a bitcoind on regtest");
    common::check_demo(&document);
    assert_eq!(document["summary"]["tip"], node.height().unwrap());
}

#[test]
fn the_demo_tells_the_same_story_through_electrumx() {
    let node = Bitcoind::start().unwrap();
    let server = ElectrumX::start(&node).unwrap();
    let (cookie, electrum) = (node.cookie_file(), server.url());
    let source = ["--source", &node.rpc_url(), "--cookie-file", cookie.to_str().unwrap()];
    let document =
        Cli::new("regtest").run(&[&["demo"], &source[..], &["--electrum", &electrum]].concat()).ok();
    assert_eq!(document["chain"], "an Electrum server beside a bitcoind on regtest");
    common::check_demo(&document);
}

/// A user whose source is a node, with a tenth of a bitcoin.
fn user_on(node: &Bitcoind) -> Cli {
    let mut user = Cli::new("regtest");
    user.set("TAPSTAKE_SOURCE", node.rpc_url());
    user.set("TAPSTAKE_COOKIE_FILE", node.cookie_file());
    let script = common::new_wallet(&user);
    node.fund(&script, Amount::from_sat(10_000_000)).unwrap();
    mine(node, 1);
    user
}

fn mine(node: &Bitcoind, blocks: u32) {
    let nobody = bitcoin::ScriptBuf::new_p2wsh(&bitcoin::WScriptHash::from_byte_array([1; 32]));
    let nobody = bitcoin::Address::from_script(&nobody, bitcoin::Network::Regtest).unwrap();
    node.mine(blocks, &nobody).unwrap();
}

#[test]
fn a_stuck_stake_is_pulled_along_and_a_bystander_slashes_it_with_evidence_alone_on_bitcoind() {
    let node = Bitcoind::start().unwrap();
    let user = user_on(&node);
    let stake = ["stake", "--amount", "0.05btc", "--time", "60", "--fee-rate", "1"];
    let staked = user.run(&stake).ok();
    let outpoint = text(&staked, "outpoint");
    let bumped = user.run(&["bump", &outpoint, "--fee-rate", "15"]).ok();
    let mempool = node.mempool().unwrap();
    for txid in [text(&staked, "txid"), text(&bumped, "child")] {
        assert!(mempool.contains(&txid.parse().unwrap()), "{txid}");
    }
    mine(&node, 1);
    assert_eq!(common::state(&user), "confirmed");
    let file = user.path("delegation.json");
    let file = file.to_str().unwrap();
    user.run(&["delegation", "check", &outpoint, "--out", file]).ok();

    // The slashing burns, which only a node passes on.
    let mut bystander = Cli::new("regtest");
    bystander.set("TAPSTAKE_SOURCE", node.rpc_url());
    bystander.set("TAPSTAKE_COOKIE_FILE", node.cookie_file());
    let evidence = common::equivocation(&bystander, &local::provider_keypair(&Secp256k1::new(), 0));
    let slashed = bystander.run(&["slash", "--delegation", file, "--evidence", &evidence]).ok();
    assert_eq!((text(&slashed, "spends"), &slashed["burns"]), ("staking".into(), &true.into()));
    mine(&node, 1);
    assert_eq!(common::state(&user), "slashed");
    mine(&node, 9);
    user.run(&["withdraw"]).ok();
    mine(&node, 1);
    assert_eq!(common::state(&user), "withdrawn");
}

#[test]
fn a_bystander_needs_no_index_of_its_node_to_slash_what_is_unbonded() {
    let node = Bitcoind::builder().without_indexes().start().unwrap();
    let user = user_on(&node);
    let stake = text(&user.run(&["stake", "--amount", "0.05btc", "--time", "60"]).ok(), "outpoint");
    mine(&node, 1);
    let file = user.path("delegation.json");
    let file = file.to_str().unwrap();
    user.run(&["delegation", "check", &stake, "--out", file]).ok();
    user.run(&["unbond", &stake]).ok();
    mine(&node, 2);
    let mut bystander = Cli::new("regtest");
    bystander.set("TAPSTAKE_SOURCE", node.rpc_url());
    bystander.set("TAPSTAKE_COOKIE_FILE", node.cookie_file());
    let evidence = common::equivocation(&bystander, &local::provider_keypair(&Secp256k1::new(), 0));
    let slashed = bystander.run(&["slash", "--delegation", file, "--evidence", &evidence]).ok();
    assert_eq!(text(&slashed, "spends"), "unbonding");
    assert!(node.mempool().unwrap().contains(&text(&slashed, "txid").parse().unwrap()));
}

#[test]
fn an_expanded_stake_is_unbonded_and_slashed_all_the_same_on_bitcoind() {
    let node = Bitcoind::start().unwrap();
    let user = user_on(&node);
    let stake = ["stake", "--amount", "0.02btc", "--time", "60"];
    let old = text(&user.run(&stake).ok(), "outpoint");
    mine(&node, 1);
    let expanded = text(&user.run(&["expand", &old, "--amount", "0.03btc"]).ok(), "outpoint");
    mine(&node, 1);
    user.run(&["unbond", &expanded]).ok();
    mine(&node, 1);
    let evidence = common::equivocation(&user, &local::provider_keypair(&Secp256k1::new(), 0));
    let slash = |stake: &str| user.run(&["slash", "--delegation", stake, "--evidence", &evidence]);
    assert_eq!(slash(&old).refused(1)["rule"], "spent", "what was moved is no stake any more");
    let slashed = slash(&expanded).ok();
    assert_eq!((text(&slashed, "spends"), &slashed["slashed_sat"]), ("unbonding".into(), &299_900.into()));
    mine(&node, 10);
    let states = user.run(&["stakes"]).ok();
    let states: Vec<_> = states["stakes"].as_array().unwrap().iter().map(|row| text(row, "state")).collect();
    assert_eq!(states, ["expanded", "refund_withdrawable"]);
}
