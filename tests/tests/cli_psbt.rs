//! Stakes of a wallet that only watches: every signature comes by PSBT from a signer that knows nothing of staking.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

mod common;

use std::fs;
use std::path::Path;

use bitcoin::bip32::Xpriv;
use bitcoin::key::Secp256k1;
use bitcoin::{Amount, Network, Psbt};
use common::{script_of, state, text};
use serde_json::Value;
use tapstake_devnet::{Config, Devnet};
use tapstake_params::{ScheduleFile, local};
use tapstake_tests::Cli;
use tapstake_tx::delegation::{CheckedDelegation, DelegationPackage};

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

/// Stakes with every signature from elsewhere; says where the stake is.
fn staked(devnet: &Devnet, user: &Cli) -> String {
    let folder = user.path("first");
    user.run(&[&STAKE[..], &["--export", folder.to_str().unwrap()]].concat()).ok();
    for name in ["staking", "exit", "slashing", "unbonding-slashing", "possession"] {
        sign_elsewhere(&folder.join(format!("{name}.psbt")));
    }
    let staked = user.run(&["stake", "--finish", folder.to_str().unwrap()]).ok();
    devnet.fund(&script_of(user), Amount::from_sat(4_000_000)).unwrap();
    devnet.mine(1).unwrap();
    text(&staked, "outpoint")
}

/// Rewrites a PSBT.
fn rewrite(file: &Path, change: impl FnOnce(&mut Psbt)) {
    let mut psbt: Psbt = fs::read_to_string(file).unwrap().trim().parse().unwrap();
    change(&mut psbt);
    fs::write(file, psbt.to_string()).unwrap();
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
    let refused = user.run(&finish).refused(1);
    assert_eq!(refused["rule"], "signatures", "{refused}");
    assert!(text(&refused, "message").contains("staking.psbt is not signed"), "{refused}");
    // A file of another kind in a PSBT's place is named.
    let unsigned = fs::read(folder.join("staking.psbt")).unwrap();
    fs::write(folder.join("staking.psbt"), b"tsdl\x01").unwrap();
    let refused = user.run(&finish).refused(1);
    assert_eq!(refused["rule"], "file", "{refused}");
    assert!(text(&refused, "message").ends_with("this is a delegation file, not a PSBT"), "{refused}");
    fs::write(folder.join("staking.psbt"), unsigned).unwrap();
    sign_elsewhere(&folder.join("staking.psbt"));
    let refused = user.run(&finish).refused(1);
    assert_eq!(refused["rule"], "exit-rehearsal", "{refused}");
    let message = text(&refused, "message");
    assert!(message.ends_with("exit.psbt is not signed: it is a PSBT as it was exported"), "{message}");
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

    // Under parameters that are not its own, the listing names those in use.
    let mut other: Value = serde_json::from_str(&user.run(&["params", "show"]).stdout).unwrap();
    for (field, value, rule) in [("covenant_quorum", 4, "staking-output"), ("version", 7, "params-version")] {
        other["versions"][0][field] = value.into();
        let params = user.path(rule);
        fs::write(&params, other.to_string()).unwrap();
        let params = params.to_str().unwrap();
        let refused = user.run(&["stakes", "resume", "--params", params]).refused(1);
        assert_eq!(refused["rule"], rule, "{refused}");
        assert!(text(&refused, "next").contains(&format!("the parameters are `{params}`")), "{refused}");
    }
}

#[test]
fn a_stake_of_a_watching_wallet_moves_into_a_larger_one_with_a_signer_elsewhere() {
    let (devnet, user) = watcher();
    let old = staked(&devnet, &user);
    let folder = user.path("to-sign");
    let folder_arg = folder.to_str().unwrap();
    let expand = ["expand", &old, "--amount", "0.06btc"];
    let refused = user.run(&expand).refused(1);
    assert!(text(&refused, "next").contains("--export"), "{refused}");
    assert!(
        user.run(&["wallet", "utxos"]).ok()["utxos"]
            .as_array()
            .unwrap()
            .iter()
            .all(|coin| coin["locked"] == false)
    );
    let exported = user.run(&[&expand[..], &["--export", folder_arg]].concat());
    assert!(exported.stderr.contains("sign the four PSBTs"), "{}", exported.stderr);
    let exported = exported.ok();
    assert_eq!(text(&exported, "expands"), old);
    // The proof of possession is the old stake's.
    assert!(folder.join("possession.json").exists() && !folder.join("possession.psbt").exists());
    let again = user.run(&[&expand[..], &["--export", folder_arg]].concat()).refused(1);
    assert_eq!(again["rule"], "file", "{again}");

    let finish = ["expand", "--finish", folder_arg];
    let rule = |args: &[&str]| text(&user.run(args).refused(1), "rule");
    assert_eq!(rule(&finish), "signatures");
    let refused = user.run(&["stake", "--finish", folder_arg]).refused(1);
    assert!(text(&refused, "next").contains("tapstake expand --finish"), "{refused}");
    for name in ["exit", "slashing", "unbonding-slashing"] {
        sign_elsewhere(&folder.join(format!("{name}.psbt")));
    }

    // Each signature of the expansion is needed: the wallet's for the coin, the staker's for the old stake.
    let staking = folder.join("staking.psbt");
    sign_elsewhere(&staking);
    let signed = fs::read(&staking).unwrap();
    rewrite(&staking, |psbt| psbt.inputs[1].tap_key_sig = None);
    assert_eq!(rule(&finish), "signatures");
    fs::write(&staking, &signed).unwrap();
    rewrite(&staking, |psbt| psbt.inputs[0].tap_script_sigs.clear());
    assert_eq!(rule(&finish), "staker-signature");
    // A transaction that was not exported here spends coins that nobody locked for it.
    fs::write(&staking, &signed).unwrap();
    rewrite(&staking, |psbt| psbt.unsigned_tx.output[1].value -= Amount::ONE_SAT);
    assert_eq!(rule(&finish), "other-transaction");
    fs::write(&staking, &signed).unwrap();
    // Nor is a PSBT taken for another one.
    let (slashing, other) = (folder.join("slashing.psbt"), folder.join("unbonding-slashing.psbt"));
    let own = fs::read(&slashing).unwrap();
    fs::copy(&other, &slashing).unwrap();
    assert_eq!(rule(&finish), "other-transaction");
    fs::write(&slashing, own).unwrap();
    assert!(devnet.mempool().is_empty());

    let expanded = user.run(&finish).ok();
    assert_eq!(expanded["outpoint"], exported["outpoint"]);
    assert_eq!(
        (text(&expanded, "status").as_str(), &expanded["exit_rehearsed"]),
        ("broadcast", &true.into())
    );
    let early = user.run(&["expand", &text(&expanded, "outpoint"), "--draft", folder_arg]);
    assert_eq!(early.refused(1)["rule"], "file", "the name is taken");
    let early = user.run(&["expand", &text(&expanded, "outpoint"), "--export", folder_arg]).refused(1);
    assert_eq!(early["rule"], "spent", "{early}");
    assert!(text(&early, "next").contains("wait until it is in a block"), "{early}");
    devnet.mine(1).unwrap();
    assert_eq!(states(&user), ["expanded", "confirmed"]);
}

fn states(user: &Cli) -> Vec<String> {
    let listed = user.run(&["stakes"]).ok();
    listed["stakes"].as_array().unwrap().iter().map(|row| text(row, "state")).collect()
}

/// A delegation file by the parameters of another one.
fn checked(user: &Cli, file: &str, params: &str) -> (DelegationPackage, CheckedDelegation) {
    let package: DelegationPackage =
        serde_json::from_str(&fs::read_to_string(user.path(file)).unwrap()).unwrap();
    let schedule: ScheduleFile =
        serde_json::from_str(&fs::read_to_string(user.path(params)).unwrap()).unwrap();
    let schedule = schedule.for_network(Network::Regtest).unwrap();
    let checked = package.check(&Secp256k1::new(), &schedule).unwrap();
    (package, checked)
}

#[test]
fn where_the_quorum_grows_an_exported_expansion_says_that_it_goes_round_twice() {
    let (devnet, mut user) = watcher();
    let change = devnet.tip().height + 3;
    let mut params: Value = serde_json::from_str(&user.run(&["params", "show"]).stdout).unwrap();
    let mut second = params["versions"][0].clone();
    second["version"] = 1.into();
    second["activation_height"] = change.into();
    second["covenant_quorum"] = 4.into();
    params["versions"].as_array_mut().unwrap().push(second);
    fs::write(user.path("params"), params.to_string()).unwrap();
    let params = user.path("params");
    user.set("TAPSTAKE_PARAMS", &params);
    let old = staked(&devnet, &user);
    devnet.mine_to_height(change).unwrap();

    let (folder, file) = (user.path("to-sign"), user.path("expansion"));
    let [folder_arg, file_arg] = [&folder, &file].map(|path| path.to_str().unwrap());
    let account = ["--account", "text:another", "--service", "a-service"];
    let expand = [&["expand", &old, "--amount", "0.06btc", "--export", folder_arg][..], &account].concat();
    user.run(&expand).ok();
    for name in ["staking", "exit", "slashing", "unbonding-slashing", "possession"] {
        sign_elsewhere(&folder.join(format!("{name}.psbt")));
    }
    user.run(&["expand", "--finish", folder_arg, "--draft", file_arg]).ok();
    let possession = user.run(&["delegation", "check", file_arg]).ok()["possession"].clone();
    assert_eq!(possession["account"], "text:another");
    assert_eq!((&possession["form"], &possession["service"]), (&"bip322".into(), &"a-service".into()));

    let broadcast = ["expand", "--broadcast", file_arg];
    let refused = user.run(&broadcast).refused(1);
    assert_eq!(refused["rule"], "quorum", "{refused}");
    assert!(text(&refused, "next").contains("the file goes round twice"), "{refused}");

    // The first round: four sign for the new stake.
    let (secp, write) = (Secp256k1::new(), |package: &DelegationPackage| {
        fs::write(&file, serde_json::to_string(package).unwrap()).unwrap();
    });
    let members = local::covenant_keypairs(&secp);
    let (mut package, CheckedDelegation::PreSigned(signed)) = checked(&user, "expansion", "params") else {
        panic!("the staker alone has signed")
    };
    for member in &members[..4] {
        let signatures = signed.covenant_signatures(&secp, member, &[0; 32]);
        package.parts.covenant.insert(member.x_only_public_key().0, signatures);
    }
    write(&package);
    let refused = user.run(&["stake", "--broadcast", file_arg]).refused(1);
    assert_eq!(refused["rule"], "quorum", "{refused}");
    assert!(text(&refused, "next").contains("now comes the second round"), "{refused}");

    // The second: three let the old one go.
    for member in &members[..3] {
        let signature = signed.expansion_signature(&secp, member, &[0; 32]).unwrap();
        package.expansion.as_mut().unwrap().covenant.insert(member.x_only_public_key().0, signature);
    }
    write(&package);
    user.run(&broadcast).ok();
    devnet.mine(1).unwrap();
    assert_eq!(states(&user), ["expanded", "confirmed"]);
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
