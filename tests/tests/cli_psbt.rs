//! Stakes of a wallet that only watches: every signature comes by PSBT from a signer that knows nothing of staking.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

mod common;

use std::fs;
use std::path::Path;

use bitcoin::bip32::Xpriv;
use bitcoin::key::Secp256k1;
use bitcoin::{Amount, Network, Psbt};
use common::{script_of, state, text};
use tapstake_devnet::{Config, Devnet};
use tapstake_tests::Cli;

const WORDS: &str =
    "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";

/// Adds the signatures of the words' keys, as rust-bitcoin alone makes them.
fn sign_elsewhere(file: &Path) {
    let seed = bip39::Mnemonic::parse(WORDS).unwrap().to_seed("");
    let master = Xpriv::new_master(Network::Regtest, &seed).unwrap();
    let mut psbt: Psbt = fs::read_to_string(file).unwrap().trim().parse().unwrap();
    psbt.sign(&master, &Secp256k1::new()).unwrap();
    fs::write(file, psbt.to_string()).unwrap();
}

/// A chain, and a user with a tenth of a bitcoin whose wallet has public descriptors alone.
fn watcher() -> (Devnet, Cli) {
    let owner = Cli::new("regtest");
    let words = owner.path("words");
    fs::write(&words, WORDS).unwrap();
    let owned = owner.run(&["wallet", "create", "--mnemonic-file", words.to_str().unwrap()]).ok();
    let lines: Vec<_> =
        owned["descriptors"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();

    let devnet = Devnet::start(&Config::default()).unwrap();
    let mut user = Cli::new("regtest");
    user.set("TAPSTAKE_SOURCE", devnet.electrum_url());
    let descriptors = user.path("descriptors");
    fs::write(&descriptors, lines.join("\n")).unwrap();
    let made = user.run(&["wallet", "create", "--descriptor-file", descriptors.to_str().unwrap()]).ok();
    assert_eq!((&made["signs"], &made["staker_key"]), (&false.into(), &owned["staker_key"]));
    devnet.fund(&script_of(&user), Amount::from_sat(10_000_000)).unwrap();
    devnet.mine(1).unwrap();
    (devnet, user)
}

const STAKE: [&str; 5] = ["stake", "--amount", "0.05btc", "--time", "20"];

#[test]
fn a_watching_wallet_stakes_and_withdraws_with_a_signer_elsewhere() {
    let (devnet, user) = watcher();
    let folder = user.path("to-sign");
    let folder_arg = folder.to_str().unwrap();
    let exported = user.run(&[&STAKE[..], &["--export", folder_arg]].concat()).ok();
    assert_eq!(user.run(&["wallet", "utxos"]).ok()["utxos"][0]["locked"], true);

    // Neither unsigned nor without the exit's signature does anything leave.
    let finish = ["stake", "--finish", folder_arg];
    user.run(&finish).refused(1);
    sign_elsewhere(&folder.join("staking.psbt"));
    user.run(&finish).refused(1);
    assert!(devnet.mempool().is_empty());
    assert!(user.run(&["stakes"]).ok()["stakes"].as_array().unwrap().is_empty());

    sign_elsewhere(&folder.join("exit.psbt"));
    let refused = user.run(&finish).refused(1);
    assert_eq!(refused["rule"], "staker-signature", "{refused}");
    sign_elsewhere(&folder.join("slashing.psbt"));
    sign_elsewhere(&folder.join("unbonding-slashing.psbt"));
    let refused = user.run(&finish).refused(1);
    assert_eq!(refused["rule"], "possession", "{refused}");
    sign_elsewhere(&folder.join("possession.psbt"));
    let staked = user.run(&finish).ok();
    assert_eq!(staked["outpoint"], exported["outpoint"]);
    assert_eq!((text(&staked, "status").as_str(), &staked["exit_rehearsed"]), ("broadcast", &true.into()));
    devnet.mine(20).unwrap();
    assert_eq!(state(&user), "expired");
    let last = devnet.block(devnet.tip().height).unwrap().block_hash();

    let psbt = user.path("withdrawal.psbt");
    let file = psbt.to_str().unwrap();
    user.run(&["withdraw", "--export-psbt", file]).ok();
    user.run(&["withdraw", "--import-psbt", file]).refused(1);
    sign_elsewhere(&psbt);
    // One block short of its timelock, as after a reorganisation, nothing is sent.
    devnet.invalidate_block(&last).unwrap();
    let early = user.run(&["withdraw", "--import-psbt", file]).refused(1);
    assert_eq!(early["rule"], "timelock", "{early}");
    devnet.mine(1).unwrap();
    let withdrawn = user.run(&["withdraw", "--import-psbt", file]);
    let to = text(&withdrawn.ok(), "address");
    assert!(withdrawn.stderr.contains(&format!("BTC to {to}")), "{}", withdrawn.stderr);
    devnet.mine(1).unwrap();
    assert_eq!(state(&user), "withdrawn");
}

#[test]
fn a_draft_from_psbts_is_made_once_and_a_second_try_takes_nothing_back() {
    let (devnet, user) = watcher();
    let folder = user.path("to-sign");
    let folder_arg = folder.to_str().unwrap();
    user.run(&[&STAKE[..], &["--export", folder_arg]].concat()).ok();
    for name in ["staking", "exit", "slashing", "unbonding-slashing", "possession"] {
        sign_elsewhere(&folder.join(format!("{name}.psbt")));
    }
    let file = user.path("delegation.json");
    let finish = ["stake", "--finish", folder_arg, "--draft", file.to_str().unwrap()];
    let drafted = user.run(&finish).ok();
    assert_eq!(user.run(&["delegation", "check", file.to_str().unwrap()]).ok()["state"], "pre-signed");
    assert_eq!(user.run(&finish).refused(1)["rule"], "file");
    fs::create_dir(user.path("a-folder")).unwrap();
    user.run(&["stake", "--finish", folder_arg, "--draft", user.path("a-folder").to_str().unwrap()])
        .refused(1);
    assert_eq!(state(&user), "prepared");
    assert_eq!(user.run(&["wallet", "utxos"]).ok()["utxos"][0]["locked"], true);
    assert!(devnet.mempool().is_empty());
    assert_eq!(user.run(&["stakes", "resume"]).ok()["waiting"][0], drafted["outpoint"]);
}

#[test]
fn a_watching_wallet_that_cannot_sign_frees_its_coins_and_says_how_to_sign_elsewhere() {
    let (devnet, user) = watcher();
    let refused = user.run(&STAKE).refused(1);
    assert!(text(&refused, "next").contains("--export"), "{refused}");
    assert!(devnet.mempool().is_empty());
    assert_eq!(user.run(&["wallet", "utxos"]).ok()["utxos"][0]["locked"], false);
}

#[test]
fn a_signature_of_another_exit_is_no_rehearsal() {
    let (devnet, user) = watcher();
    let folder = user.path("to-sign");
    let folder_arg = folder.to_str().unwrap();
    user.run(&[&STAKE[..], &["--export", folder_arg]].concat()).ok();
    sign_elsewhere(&folder.join("staking.psbt"));
    sign_elsewhere(&folder.join("exit.psbt"));
    // One satoshi less, the same signature.
    let exit = folder.join("exit.psbt");
    let mut psbt: Psbt = fs::read_to_string(&exit).unwrap().parse().unwrap();
    psbt.unsigned_tx.output[0].value -= Amount::ONE_SAT;
    fs::write(&exit, psbt.to_string()).unwrap();
    user.run(&["stake", "--finish", folder_arg]).refused(1);
    assert!(devnet.mempool().is_empty());
}
