//! Six people who share nothing but files: a staker, three covenant members, a provider on two machines, and a bystander.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

mod common;

use std::fs;

use bitcoin::Amount;
use bitcoin::secp256k1::Secp256k1;
use common::{new_wallet, state, text};
use tapstake_devnet::{Config, Devnet};
use tapstake_params::local;
use tapstake_tests::Cli;

const SERVICE: &str = "a-service";

/// A person with a home of one's own, on the network of all.
fn person(devnet: &Devnet, params: &str) -> Cli {
    let mut person = Cli::new("regtest");
    person.set("TAPSTAKE_SOURCE", devnet.electrum_url());
    person.set("TAPSTAKE_PARAMS", params);
    fs::write(person.path("passphrase"), "correct horse\n").unwrap();
    person
}

/// The path of a file in somebody's home.
fn at(person: &Cli, name: &str) -> String {
    person.path(name).to_str().unwrap().to_owned()
}

/// Hands a file over; says where it is now.
fn hand(from: &Cli, to: &Cli, name: &str) -> String {
    fs::copy(from.path(name), to.path(name)).unwrap();
    at(to, name)
}

/// A covenant member with one of the committee's keys.
fn member(devnet: &Devnet, params: &str, number: usize) -> Cli {
    let member = person(devnet, params);
    let key = local::covenant_keypairs(&Secp256k1::new())[number];
    fs::write(member.path("key"), key.secret_key().display_secret().to_string()).unwrap();
    let (key_file, passphrase) = (at(&member, "key"), at(&member, "passphrase"));
    let init = ["covenant", "init", "--key-file", &key_file, "--passphrase-file", &passphrase];
    let made = member.run(&init).ok();
    assert_eq!(made["public_key"], key.x_only_public_key().0.to_string());
    member
}

/// A machine that votes with the provider's seed, and believes that nobody else does.
fn provider(devnet: &Devnet, params: &str) -> (Cli, String) {
    let machine = person(devnet, params);
    fs::write(machine.path("seed"), "07".repeat(32)).unwrap();
    let (seed, passphrase) = (at(&machine, "seed"), at(&machine, "passphrase"));
    let init = ["provider", "init", "--service", SERVICE, "--work-factor", "1", "--never-voted"];
    let made =
        machine.run(&[&init[..], &["--seed-file", &seed, "--passphrase-file", &passphrase]].concat()).ok();
    let commit = ["provider", "commit", "--start", "0", "--count", "50", "--passphrase-file", &passphrase];
    machine.run(&commit).ok();
    (machine, text(&made, "provider"))
}

fn vote(machine: &Cli, block: &str, file: &str) {
    let (passphrase, out) = (at(machine, "passphrase"), at(machine, file));
    let asked = ["provider", "vote", "--height", "7", "--block-hash", block, "--out", &out];
    machine.run(&[&asked[..], &["--passphrase-file", &passphrase]].concat()).ok();
}

#[test]
fn a_stake_is_locked_and_slashed_by_people_who_exchange_files_only() {
    let devnet = Devnet::start(&Config::default()).unwrap();
    let treasury = Cli::new("regtest");
    treasury.run(&["wallet", "create"]).ok();
    let shown = treasury.run(&["wallet", "address"]).ok();
    let params = format!("local-paying:{}", text(&shown["addresses"][0], "address"));

    let staker = person(&devnet, &params);
    devnet.fund(&new_wallet(&staker), Amount::from_sat(10_000_000)).unwrap();
    devnet.mine(1).unwrap();
    let members = [0, 1, 2].map(|number| member(&devnet, &params, number));
    let (machine, key) = provider(&devnet, &params);
    let (second_machine, same_key) = provider(&devnet, &params);
    assert_eq!(key, same_key);

    // The staker's part, and what is refused before the others have done theirs.
    let draft = at(&staker, "draft.json");
    let stake = ["stake", "--draft", &draft, "--amount", "0.05btc", "--time", "60", "--provider", &key];
    let account = ["--account", "text:a shop", "--service", SERVICE];
    let drafted = staker.run(&[&stake[..], &account].concat()).ok();
    assert_eq!(staker.run(&["stake", "--broadcast", &draft]).refused(1)["rule"], "quorum");

    // Each member has a copy, signs it by its own policy, and sends it back under another name.
    let mut copies = Vec::new();
    for (number, member) in members.iter().enumerate() {
        let file = hand(&staker, member, "draft.json");
        let passphrase = at(member, "passphrase");
        member.run(&["covenant", "sign", &file, "--passphrase-file", &passphrase]).ok();
        let copy = staker.path(&format!("signed-{number}.json"));
        fs::copy(file, &copy).unwrap();
        copies.push(copy.to_str().unwrap().to_owned());
    }
    let checked = staker.run(&["delegation", "check", &copies[0], &copies[2]]).ok();
    assert_eq!((text(&checked, "state"), &checked["missing"]), ("partly-signed".into(), &1.into()));
    assert_eq!(staker.run(&["stake", "--broadcast", &copies[1]]).refused(1)["rule"], "quorum");
    assert!(devnet.mempool().is_empty());

    let delegation = at(&staker, "delegation.json");
    let mut check = vec!["delegation", "check", "--out", &delegation];
    check.extend(copies.iter().map(String::as_str));
    assert_eq!(text(&staker.run(&check).ok(), "state"), "verified");
    let sent = staker.run(&["stake", "--broadcast", &delegation]).ok();
    assert_eq!(sent["outpoint"], drafted["outpoint"]);
    devnet.mine(3).unwrap();
    assert_eq!(state(&staker), "confirmed");

    // One provider, two machines, two blocks at one height.
    vote(&machine, &"aa".repeat(32), "first.json");
    vote(&second_machine, &"bb".repeat(32), "second.json");

    // Somebody who saw both votes and has the delegation file.
    let bystander = person(&devnet, &params);
    let [first, second] =
        [hand(&machine, &bystander, "first.json"), hand(&second_machine, &bystander, "second.json")];
    let delegation = hand(&staker, &bystander, "delegation.json");
    let evidence = at(&bystander, "evidence.json");
    assert_eq!(bystander.run(&["equivocation", &first, &first]).refused(3)["kind"], "verification");
    let exposed = bystander.run(&["equivocation", &first, &second, "--out", &evidence]).ok();
    assert_eq!(text(&exposed, "provider"), key);
    let slashed = bystander.run(&["slash", "--delegation", &delegation, "--evidence", &evidence]).ok();
    assert_eq!((text(&slashed, "status"), text(&slashed, "spends")), ("broadcast".into(), "staking".into()));
    assert_eq!(slashed["slashed_sat"], 500_000);
    assert!(!bystander.data().exists(), "a bystander needs no folder");

    devnet.mine(1).unwrap();
    assert_eq!(state(&staker), "slashed");
    devnet.mine(9).unwrap();
    assert_eq!(state(&staker), "refund_withdrawable");
    staker.run(&["withdraw"]).ok();
    assert_eq!(
        bystander.run(&["slash", "--delegation", &delegation, "--evidence", &evidence]).refused(1)["rule"],
        "spent"
    );
}
