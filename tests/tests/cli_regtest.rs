//! Stakes by the command line on the embedded chain, step by step, and with what goes wrong in between.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

mod common;

use std::fs;

use bitcoin::consensus::encode::deserialize_hex;
use bitcoin::key::Secp256k1;
use bitcoin::{Amount, OutPoint, Transaction};
use common::{equivocation, new_wallet, only_stake, state, text};
use serde_json::Value;
use tapstake_devnet::{Config, Devnet};
use tapstake_params::local;
use tapstake_tests::Cli;

/// A chain, and a user with a tenth of a bitcoin on it.
struct Stage {
    devnet: Devnet,
    user: Cli,
}

impl Stage {
    fn new() -> Self {
        let devnet = Devnet::start(&Config::default()).unwrap();
        let mut user = Cli::new("regtest");
        user.set("TAPSTAKE_SOURCE", devnet.electrum_url());
        let script = new_wallet(&user);
        devnet.fund(&script, Amount::from_sat(10_000_000)).unwrap();
        devnet.mine(1).unwrap();
        Stage { devnet, user }
    }

    /// Locks half of it for 20 blocks; the transaction waits in the mempool.
    fn stake(&self) -> String {
        let staked = self.user.run(&["stake", "--amount", "0.05btc", "--time", "20"]).ok();
        assert_eq!(
            (text(&staked, "status").as_str(), &staked["exit_rehearsed"]),
            ("broadcast", &true.into())
        );
        text(&staked, "outpoint")
    }

    fn mine(&self, blocks: u32) {
        self.devnet.mine(blocks).unwrap();
    }

    /// Withdraws everything that can be, and sees it in a block.
    fn withdraw(&self) -> Value {
        let withdrawn = self.user.run(&["withdraw"]).ok();
        assert_eq!(withdrawn["status"], "broadcast");
        self.mine(1);
        assert_eq!(state(&self.user), "withdrawn");
        withdrawn
    }

    fn confirmed_sat(&self) -> u64 {
        self.user.run(&["wallet", "sync"]).ok()["balance"]["confirmed_sat"].as_u64().unwrap()
    }

    /// The evidence that the local provider gave its key away.
    fn evidence(&self) -> String {
        equivocation(&self.user, &local::provider_keypair(&Secp256k1::new(), 0))
    }
}

#[test]
fn a_stake_is_unbonded_and_withdrawn_step_by_step() {
    let stage = Stage::new();
    let stake = stage.stake();
    assert_eq!(state(&stage.user), "in_mempool");
    stage.mine(3);
    let listed = only_stake(&stage.user);
    assert_eq!(
        (text(&listed, "outpoint"), text(&listed, "state"), &listed["confirmations"]),
        (stake.clone(), "confirmed".into(), &3.into())
    );

    let early = stage.user.run(&["withdraw", &stake]).refused(1);
    assert_eq!(early["rule"], "timelock");
    let unbonded = stage.user.run(&["unbond", &stake]).ok();
    assert_eq!((&unbonded["value_sat"], &unbonded["fee_sat"]), (&4_999_000.into(), &1_000.into()));
    assert_eq!(state(&stage.user), "unbonding");
    stage.mine(9);
    assert_eq!(state(&stage.user), "unbonding");
    stage.user.run(&["withdraw"]).refused(1);
    stage.mine(1);
    assert_eq!(state(&stage.user), "unbonded");
    let withdrawn = stage.withdraw();
    assert_eq!(
        withdrawn["value_sat"].as_u64().unwrap() + withdrawn["fee_sat"].as_u64().unwrap(),
        4_999_000,
        "nothing went elsewhere"
    );
    assert!(stage.confirmed_sat() > 9_990_000);
    // What is done stays done: sent again, the same transaction is where it was.
    stage.user.run(&["unbond", &stake]).refused(1);
    assert_eq!(state(&stage.user), "withdrawn");
}

#[test]
fn a_stake_expires_and_is_withdrawn_by_its_staker_alone() {
    let stage = Stage::new();
    stage.stake();
    stage.mine(19);
    assert_eq!(state(&stage.user), "confirmed");
    stage.mine(1);
    assert_eq!(state(&stage.user), "expired");
    stage.withdraw();
}

#[test]
fn a_list_that_is_lost_comes_back_from_the_recovery_sheet() {
    let stage = Stage::new();
    let stake = stage.stake();
    stage.mine(20);
    let data = stage.user.data();
    for entry in fs::read_dir(&data).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with("stakes.sqlite") {
            fs::remove_file(path).unwrap();
        }
    }
    assert_eq!(stage.user.run(&["stakes"]).ok()["stakes"].as_array().unwrap().len(), 0);
    stage.user.run(&["withdraw"]).refused(1);

    let sheet = data.join("sheets").join(format!("{}.json", stake.replace(':', "-")));
    let restored = stage.user.run(&["stakes", "restore", sheet.to_str().unwrap()]).ok();
    assert_eq!((text(&restored, "stake"), text(&restored, "status")), (stake, "restored".into()));
    assert_eq!(state(&stage.user), "expired");
    stage.withdraw();
}

#[test]
fn a_stake_that_was_forgotten_is_restored_from_a_sheet_written_before() {
    let stage = Stage::new();
    let stake = stage.stake();
    let sheet = stage.user.path("sheet.json");
    let sheet = sheet.to_str().unwrap();
    stage.user.run(&["stakes", "sheet", &stake, "--output", sheet]).ok();
    let file = stage.user.path("delegation.json");
    let file = file.to_str().unwrap();
    let written = stage.user.run(&["delegation", "check", &stake, "--out", file]).ok();
    assert_eq!((text(&written, "state"), &written["missing"]), ("verified".into(), &0.into()));
    stage.user.run(&["stakes", "forget", &stake, "--yes"]).ok();
    stage.user.run(&["unbond", &stake]).refused(1);
    stage.user.run(&["stakes", "restore", sheet]).ok();
    stage.mine(1);
    // A sheet gets the coins out by their timelock; what the covenant signed is in the delegation file.
    let refused = stage.user.run(&["unbond", &stake]).refused(1);
    assert_eq!(refused["rule"], "delegation", "{refused}");
    stage.user.run(&["unbond", file]).ok();
    stage.mine(10);
    stage.withdraw();
}

#[test]
fn a_stake_that_its_source_forgot_is_sent_again() {
    let mut stage = Stage::new();
    stage.stake();
    // The same blocks, but an empty mempool: the node was started anew, or the transaction never arrived.
    let other = Devnet::start(&Config::default()).unwrap();
    for height in 1..=stage.devnet.tip().height {
        other.submit_block((*stage.devnet.block(height).unwrap()).clone()).unwrap();
    }
    stage.user.set("TAPSTAKE_SOURCE", other.electrum_url());
    stage.devnet = other;
    assert_eq!(state(&stage.user), "prepared");
    let resumed = stage.user.run(&["stakes", "resume"]).ok();
    assert_eq!(resumed["resumed"].as_array().unwrap().len(), 1);
    assert_eq!(state(&stage.user), "in_mempool");
    stage.mine(20);
    stage.withdraw();
}

#[test]
fn a_reorganisation_takes_a_stake_back_to_the_mempool_and_its_states_follow() {
    let stage = Stage::new();
    stage.stake();
    stage.mine(2);
    assert_eq!(only_stake(&stage.user)["confirmations"], 2);
    let height = stage.devnet.tip().height - 1;
    let block = stage.devnet.block(height).unwrap().block_hash();
    stage.devnet.invalidate_block(&block).unwrap();
    assert_eq!(state(&stage.user), "in_mempool");
    stage.mine(1);
    assert_eq!(only_stake(&stage.user)["confirmations"], 1);
}

#[test]
fn a_burning_slashing_is_handed_over_for_a_node_where_an_electrum_server_cannot_pass_it_on() {
    let stage = Stage::new();
    let stake = stage.stake();
    stage.mine(1);
    let evidence = stage.evidence();
    let refused = stage.user.run(&["slash", "--delegation", &stake, "--evidence", &evidence]).refused(1);
    let message = text(&refused, "message");
    let (_, rest) = message.split_once("sendrawtransaction ").unwrap();
    let slashing: Transaction = deserialize_hex(rest.split(' ').next().unwrap()).unwrap();
    assert_eq!(slashing.input[0].previous_output, stake.parse::<OutPoint>().unwrap());
    assert_eq!(state(&stage.user), "confirmed");

    // Whoever runs a node sends it.
    stage.devnet.broadcast_burning(&slashing, Amount::from_sat(500_000)).unwrap();
    stage.mine(1);
    assert_eq!(state(&stage.user), "slashed");
    stage.mine(9);
    assert_eq!(state(&stage.user), "refund_withdrawable");
    let withdrawn = stage.withdraw();
    let whole = withdrawn["value_sat"].as_u64().unwrap() + withdrawn["fee_sat"].as_u64().unwrap();
    assert_eq!(whole, 5_000_000 - 500_000 - 1_000);
}

#[test]
fn a_slashing_that_pays_goes_out_through_an_electrum_server_even_after_unbonding() {
    let mut stage = Stage::new();
    let address = stage.user.run(&["wallet", "address", "--new"]).ok();
    stage.user.set("TAPSTAKE_PARAMS", format!("local-paying:{}", text(&address["addresses"][0], "address")));
    let stake = stage.stake();
    stage.mine(1);
    stage.user.run(&["unbond", &stake]).ok();
    stage.mine(1);
    let evidence = stage.evidence();
    let slashed = stage.user.run(&["slash", "--delegation", &stake, "--evidence", &evidence]).ok();
    assert_eq!((text(&slashed, "spends"), &slashed["burns"]), ("unbonding".into(), &false.into()));
    assert_eq!(slashed["slashed_sat"], 499_900);
    stage.mine(10);
    stage.withdraw();
}

#[test]
fn only_the_key_of_a_provider_of_the_stake_slashes() {
    let stage = Stage::new();
    let stake = stage.stake();
    let other = local::provider_keypair(&Secp256k1::new(), 1);
    let evidence = equivocation(&stage.user, &other);
    let refused = stage.user.run(&["slash", "--delegation", &stake, "--evidence", &evidence]).refused(1);
    assert_eq!(refused["rule"], "provider", "{refused}");
    // Votes that one provider did not sign twice are no evidence.
    let mut made_up: Value = serde_json::from_str(&fs::read_to_string(&evidence).unwrap()).unwrap();
    made_up["evidence"]["two_votes"][1] = made_up["evidence"]["two_votes"][0].clone();
    fs::write(&evidence, made_up.to_string()).unwrap();
    let refused = stage.user.run(&["slash", "--delegation", &stake, "--evidence", &evidence]).refused(3);
    assert_eq!(refused["kind"], "verification", "{refused}");
}

#[test]
fn a_stake_is_unbonded_under_its_own_parameters_alone() {
    let mut stage = Stage::new();
    let stake = stage.stake();
    stage.mine(1);
    let shown = stage.user.run(&["params", "show"]).stdout;
    let other = stage.user.path("other-params.json");
    fs::write(&other, shown.replace("\"unbonding_fee\": 1000", "\"unbonding_fee\": 1001")).unwrap();
    assert_ne!(fs::read_to_string(&other).unwrap(), shown);
    stage.user.set("TAPSTAKE_PARAMS", &other);
    let refused = stage.user.run(&["unbond", &stake]).refused(1);
    assert_eq!(refused["rule"], "unbonding-fee", "{refused}");
    stage.user.set("TAPSTAKE_PARAMS", "local");
    assert_eq!(state(&stage.user), "confirmed");
    stage.user.run(&["unbond", &stake]).ok();
}

#[test]
fn mainnet_is_refused_without_a_delegation_that_the_covenant_signs() {
    let user = Cli::new("mainnet");
    user.run(&["wallet", "create", "--accept-unprotected-seed"]).ok();
    let refused = user.run(&["stake", "--amount", "0.05btc", "--time", "64000", "--yes"]).refused(1);
    assert_eq!(refused["rule"], "covenant", "{refused}");
    assert!(text(&refused, "next").contains("--draft"), "{refused}");
    assert!(!user.data().join("stakes.sqlite").exists());
}

#[test]
fn a_source_on_another_network_is_refused() {
    let stage = Stage::new();
    let mut user = Cli::new("signet");
    user.set("TAPSTAKE_SOURCE", stage.devnet.electrum_url());
    new_wallet(&user);
    let refused = user.run(&["stake", "--amount", "0.05btc", "--time", "20"]).refused(1);
    assert!(text(&refused, "message").contains("signet"), "{refused}");
}

#[test]
fn too_few_coins_are_named_with_what_is_missing() {
    let stage = Stage::new();
    let refused = stage.user.run(&["stake", "--amount", "1btc", "--time", "20"]).refused(1);
    assert_eq!(refused["rule"], "insufficient-funds", "{refused}");
    let message = text(&refused, "message");
    assert!(message.contains("sat missing") && message.contains("10000000 sat available"), "{message}");
    assert_eq!(stage.user.run(&["stakes"]).ok()["stakes"].as_array().unwrap().len(), 0);
}

#[test]
fn bounds_of_the_parameters_are_kept() {
    let stage = Stage::new();
    for (amount, time) in [("9999sat", "20"), ("0.05btc", "19"), ("101btc", "20")] {
        let refused = stage.user.run(&["stake", "--amount", amount, "--time", time]).refused(1);
        assert_eq!(refused["rule"], "bounds", "{amount} for {time}: {refused}");
    }
    let refused = stage.user.run(&["stake", "--amount", "0.05btc", "--time", "65536"]).refused(1);
    assert_eq!(refused["rule"], "timelock", "{refused}");
}

#[test]
fn dry_runs_leave_no_trace() {
    let stage = Stage::new();
    let dry = stage.user.run(&["stake", "--amount", "0.05btc", "--time", "20", "--dry-run"]).ok();
    assert!(text(&dry, "status").starts_with("dry run"), "{dry}");
    assert!(!stage.user.data().join("sheets").exists());
    assert!(stage.devnet.mempool().is_empty());
    let coins = stage.user.run(&["wallet", "utxos"]).ok();
    assert_eq!(coins["utxos"][0]["locked"], false, "{coins}");

    let stake = stage.stake();
    stage.mine(1);
    stage.user.run(&["unbond", &stake, "--dry-run"]).ok();
    let evidence = stage.evidence();
    let slash = ["slash", "--delegation", &stake, "--evidence", &evidence, "--dry-run"];
    let slashing = stage.user.run(&slash).ok();
    assert_eq!((&slashing["slashed_sat"], &slashing["burns"]), (&500_000.into(), &true.into()));
    stage.mine(19);
    stage.user.run(&["withdraw", "--dry-run"]).ok();
    assert!(stage.devnet.mempool().is_empty());
    assert_eq!(state(&stage.user), "expired");
}

#[test]
fn two_stakes_are_withdrawn_at_once() {
    let stage = Stage::new();
    let stakes = [stage.stake(), {
        stage.mine(1);
        let second = ["stake", "--amount", "all", "--time", "21", "--staker-index", "1"];
        text(&stage.user.run(&second).ok(), "outpoint")
    }];
    stage.mine(21);
    let withdrawn = stage.user.run(&["withdraw"]).ok();
    let mut spent: Vec<_> =
        withdrawn["stakes"].as_array().unwrap().iter().map(|s| s.as_str().unwrap()).collect();
    let mut expected = stakes.each_ref().map(String::as_str);
    spent.sort_unstable();
    expected.sort_unstable();
    assert_eq!(spent, expected);
    stage.mine(1);
    let states = stage.user.run(&["stakes"]).ok();
    assert!(
        states["stakes"].as_array().unwrap().iter().all(|stake| stake["state"] == "withdrawn"),
        "{states}"
    );
}
