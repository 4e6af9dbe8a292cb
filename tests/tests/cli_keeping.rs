//! The list of stakes over the life of a machine: lost and made again, forgotten and put back, and what lies in its files.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

mod common;

use std::fs;
use std::path::Path;

use bitcoin::bip32::Xpriv;
use bitcoin::key::Secp256k1;
use bitcoin::{Amount, Network, Psbt};
use common::{only_stake, script_of, state, text};
use tapstake_devnet::{Config, Devnet};
use tapstake_tests::Cli;

const WORDS: &str =
    "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";

const STAKE: [&str; 5] = ["stake", "--amount", "0.05btc", "--time", "60"];

/// A machine with the wallet of the words, and nothing else.
fn machine(devnet: &Devnet) -> Cli {
    let mut user = Cli::new("regtest");
    user.set("TAPSTAKE_SOURCE", devnet.electrum_url());
    let words = user.path("words");
    fs::write(&words, WORDS).unwrap();
    user.run(&["wallet", "create", "--mnemonic-file", words.to_str().unwrap()]).ok();
    user
}

/// A chain, and a machine with two coins on it.
fn stage() -> (Devnet, Cli) {
    let devnet = Devnet::start(&Config::default()).unwrap();
    let user = machine(&devnet);
    for value in [10_000_000, 6_000_000] {
        devnet.fund(&script_of(&user), Amount::from_sat(value)).unwrap();
    }
    devnet.mine(1).unwrap();
    (devnet, user)
}

/// Locks a stake; says where it is, and its delegation file.
fn stake(devnet: &Devnet, user: &Cli) -> (String, String) {
    let stake = text(&user.run(&STAKE).ok(), "outpoint");
    devnet.mine(1).unwrap();
    let file = user.path("delegation.json").to_str().unwrap().to_owned();
    user.run(&["delegation", "check", &stake, "--out", &file]).ok();
    (stake, file)
}

/// How many coins the wallet holds locked.
fn locked(user: &Cli) -> usize {
    let coins = user.run(&["wallet", "utxos"]).ok();
    coins["utxos"].as_array().unwrap().iter().filter(|coin| coin["locked"] == true).count()
}

#[test]
fn a_machine_with_the_words_and_the_delegation_file_alone_unbonds_and_withdraws() {
    let (devnet, user) = stage();
    let (outpoint, file) = stake(&devnet, &user);
    let other = machine(&devnet);
    other.run(&["unbond", &file, "--dry-run"]).ok();
    assert!(other.run(&["stakes"]).ok()["stakes"].as_array().unwrap().is_empty());
    let unbonded = other.run(&["unbond", &file]).ok();
    assert_eq!(text(&unbonded, "status"), "broadcast");
    devnet.mine(1).unwrap();
    assert_eq!(text(&only_stake(&other), "outpoint"), outpoint);
    assert_eq!(state(&other), "unbonding");
    devnet.mine(9).unwrap();
    let withdrawn = other.run(&["withdraw"]).ok();
    assert_eq!(
        withdrawn["value_sat"].as_u64().unwrap() + withdrawn["fee_sat"].as_u64().unwrap(),
        4_999_000,
        "{withdrawn}"
    );
}

#[test]
fn a_stake_comes_back_into_the_list_from_its_delegation_file() {
    let (devnet, user) = stage();
    let (outpoint, file) = stake(&devnet, &user);
    let other = machine(&devnet);
    let restored = other.run(&["stakes", "restore", &file]).ok();
    assert_eq!((text(&restored, "stake"), text(&restored, "status")), (outpoint.clone(), "restored".into()));
    assert_eq!(state(&other), "confirmed");
    // Neither a second time nor the recovery sheet beside it makes another of it.
    let sheet = user.data().join("sheets").join(format!("{}.json", outpoint.replace(':', "-")));
    for again in [file.as_str(), sheet.to_str().unwrap()] {
        let again = other.run(&["stakes", "restore", again]).ok();
        assert!(text(&again, "status").starts_with("in the list already"), "{again}");
    }
    only_stake(&other);
    // By its outpoint alone: the delegation is kept.
    other.run(&["unbond", &outpoint]).ok();

    // One that came from the sheet gets what unbonds it from the file.
    let third = machine(&devnet);
    third.run(&["stakes", "restore", sheet.to_str().unwrap()]).ok();
    assert_eq!(third.run(&["unbond", &outpoint]).refused(1)["rule"], "delegation");
    third.run(&["stakes", "restore", &file]).ok();
    third.run(&["unbond", &outpoint, "--dry-run"]).ok();

    let evidence = third.path("evidence.json");
    fs::write(&evidence, r#"{"evidence": 1}"#).unwrap();
    let refused = third.run(&["stakes", "restore", evidence.to_str().unwrap()]).refused(1);
    assert_eq!(refused["rule"], "file", "{refused}");
    assert!(text(&refused, "next").contains("delegation file or its recovery sheet"), "{refused}");
    let changed = fs::read_to_string(&file).unwrap().replacen("5000000", "5000001", 1);
    fs::write(&file, changed).unwrap();
    let refused = machine(&devnet).run(&["stakes", "restore", &file]).refused(1);
    assert_eq!(refused["rule"], "file", "{refused}");
}

#[test]
fn a_stake_that_has_not_ended_is_forgotten_after_a_question_only_and_its_delegation_is_kept() {
    let (devnet, user) = stage();
    let (outpoint, _) = stake(&devnet, &user);
    assert_eq!(state(&user), "confirmed");
    let refused = user.run(&["stakes", "forget", &outpoint]).refused(1);
    assert_eq!(refused["rule"], "confirmation", "{refused}");
    assert!(text(&refused, "next").contains("--yes"), "{refused}");
    assert_eq!(text(&only_stake(&user), "outpoint"), outpoint);

    let forgotten = user.run(&["stakes", "forget", &outpoint, "--yes"]).ok();
    let kept = text(&forgotten, "delegation");
    assert!(Path::new(&kept).starts_with(user.data()), "{kept}");
    user.run(&["stakes", "restore", &kept]).ok();
    user.run(&["unbond", &outpoint]).ok();
    devnet.mine(10).unwrap();
    assert_eq!(state(&user), "unbonded");
    assert_eq!(user.run(&["stakes", "forget", &outpoint]).refused(1)["rule"], "confirmation");

    user.run(&["withdraw"]).ok();
    devnet.mine(1).unwrap();
    assert_eq!(state(&user), "withdrawn");
    user.run(&["stakes", "forget", &outpoint]).ok();
    assert_eq!(user.run(&["stakes", "forget", &outpoint]).refused(1)["rule"], "stake");
}

#[test]
fn a_forgotten_draft_is_not_sent_from_where_it_was_forgotten_and_the_refusal_says_so() {
    let (devnet, user) = stage();
    // The signatures of the quorum are there: the draft is that of a stake which a source lost.
    let (outpoint, file) = stake(&devnet, &user);
    let other = Devnet::start(&Config::default()).unwrap();
    for height in 1..devnet.tip().height {
        other.submit_block((*devnet.block(height).unwrap()).clone()).unwrap();
    }
    let source = other.electrum_url();
    let prepared = user.run(&["unbond", &outpoint, "--source", &source]).refused(1);
    assert_eq!(prepared["rule"], "not-in-mempool", "{prepared}");
    assert!(text(&prepared, "next").contains("stakes resume"), "{prepared}");

    user.run(&["stakes", "forget", &outpoint, "--yes"]).ok();
    let refused = user.run(&["stake", "--broadcast", &file, "--source", &source]).refused(1);
    assert_eq!(refused["rule"], "staking-signature", "{refused}");
    assert!(text(&refused, "next").contains("was forgotten in this data folder"), "{refused}");
    assert!(other.mempool().is_empty());
}

#[test]
fn a_stake_that_is_in_a_block_is_not_sent_again_and_the_answer_says_where_it_is() {
    let (devnet, user) = stage();
    let (outpoint, file) = stake(&devnet, &user);
    let height = devnet.tip().height;
    devnet.mine(3).unwrap();
    let sent = user.run(&["stake", "--broadcast", &file]).ok();
    assert!(text(&sent, "status").starts_with("in a block already"), "{sent}");
    assert_eq!((text(&sent, "outpoint"), &sent["height"]), (outpoint, &height.into()));
}

#[test]
fn a_stake_of_another_wallet_is_refused_by_its_key_and_signed_where_that_is() {
    let (devnet, user) = stage();
    let (outpoint, file) = stake(&devnet, &user);
    let mut stranger = Cli::new("regtest");
    stranger.set("TAPSTAKE_SOURCE", devnet.electrum_url());
    stranger.run(&["wallet", "create"]).ok();
    let refused = stranger.run(&["unbond", &file]).refused(1);
    assert_eq!(refused["rule"], "key", "{refused}");
    let staker = text(&user.run(&["wallet", "staker-key"]).ok(), "staker");
    assert!(text(&refused, "message").contains(&format!("does not have staker key {staker}")), "{refused}");
    assert!(text(&refused, "next").contains("--export-psbt"), "{refused}");

    // The staker signs with the words alone, and another machine sends.
    let psbt = user.path("unbonding.psbt");
    let psbt = psbt.to_str().unwrap();
    user.run(&["unbond", &outpoint, "--export-psbt", psbt]).ok();
    let unsigned = stranger.run(&["unbond", &file, "--import-psbt", psbt]).refused(1);
    assert_eq!(unsigned["rule"], "staker-signature", "{unsigned}");
    assert!(devnet.mempool().is_empty());
    let seed = bip39::Mnemonic::parse(WORDS).unwrap().to_seed("");
    let master = Xpriv::new_master(Network::Regtest, &seed).unwrap();
    let mut signed: Psbt = fs::read_to_string(psbt).unwrap().trim().parse().unwrap();
    signed.sign(&master, &Secp256k1::new()).unwrap();
    fs::write(psbt, signed.to_string()).unwrap();
    let sent = stranger.run(&["unbond", &file, "--import-psbt", psbt]).ok();
    assert_eq!(text(&sent, "status"), "broadcast");
    assert_eq!(state(&user), "unbonding");
}

#[test]
fn the_coin_of_an_expansion_that_can_never_be_is_freed() {
    let (devnet, user) = stage();
    let (outpoint, _) = stake(&devnet, &user);
    let file = user.path("expansion.json");
    let file = file.to_str().unwrap();
    let expand = ["expand", &outpoint, "--amount", "0.051btc", "--draft"];
    let drafted = user.run(&[&expand[..], &[file]].concat());
    assert!(drafted.stderr.contains("tapstake expand --broadcast"), "{}", drafted.stderr);
    assert!(drafted.stderr.contains("for the old one's account: "), "{}", drafted.stderr);
    let expansion = text(&drafted.ok(), "outpoint");
    assert_eq!(locked(&user), 1);
    // Too few coins, one of them for being locked.
    let second = user.path("second.json");
    let much = ["expand", &outpoint, "--amount", "0.2btc", "--draft", second.to_str().unwrap()];
    let refused = user.run(&much).refused(1);
    assert_eq!(refused["rule"], "insufficient-funds", "{refused}");
    assert!(text(&refused, "next").contains("are locked"), "{refused}");

    user.run(&["unbond", &outpoint]).ok();
    devnet.mine(1).unwrap();
    let resumed = user.run(&["stakes", "resume"]).ok();
    assert_eq!(resumed["conflicted"], serde_json::json!([expansion]));
    assert!(user.run(&["stakes"]).stderr.contains(&format!("tapstake stakes forget {expansion}")));
    let refused = user.run(&["unbond", &expansion]).refused(1);
    assert_eq!(refused["rule"], "quorum", "{refused}");
    // It never can be, so that nothing is asked.
    let forgotten = user.run(&["stakes", "forget", &expansion]).ok();
    assert_eq!(forgotten["freed"].as_array().unwrap().len(), 1, "{forgotten}");
    assert_eq!(locked(&user), 0);
}

#[cfg(unix)]
#[test]
fn every_file_and_folder_of_the_data_folder_is_its_owners_alone() {
    fn check(path: &Path, count: &mut usize) {
        use std::os::unix::fs::PermissionsExt;
        let metadata = fs::metadata(path).unwrap();
        let expected = if metadata.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(metadata.permissions().mode() & 0o777, expected, "{}", path.display());
        *count += 1;
        if metadata.is_dir() {
            fs::read_dir(path).unwrap().for_each(|entry| check(&entry.unwrap().path(), count));
        }
    }
    let (devnet, user) = stage();
    let (outpoint, _) = stake(&devnet, &user);
    user.run(&["stakes", "forget", &outpoint, "--yes"]).ok();
    let passphrase = user.path("passphrase");
    fs::write(&passphrase, "correct horse").unwrap();
    let rest = ["--work-factor", "1", "--passphrase-file", passphrase.to_str().unwrap()];
    user.run(&[&["covenant", "init"][..], &rest].concat()).ok();
    user.run(&[&["provider", "init", "--service", "a-service"][..], &rest].concat()).ok();
    let mut count = 0;
    check(&user.path("data"), &mut count);
    assert!(count > 15, "wallet, list, sheet, delegation, member and provider: {count}");
}

#[test]
fn the_words_of_a_wallet_are_never_given_to_anything_but_a_terminal() {
    let devnet = Devnet::start(&Config::default()).unwrap();
    let user = machine(&devnet);
    for args in [&["wallet", "words"][..], &["wallet", "words", "--yes"]] {
        let shown = user.run(args);
        assert!(!shown.stdout.contains("abandon") && !shown.stderr.contains("abandon"), "{shown:?}");
        assert_eq!(shown.refused(1)["rule"], "terminal");
    }
}
