//! The road of a delegation by the command line: drafts, what is refused before a quorum, stuck transactions, expansions.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

mod common;

use std::fs;

use bitcoin::Amount;
use bitcoin::key::Secp256k1;
use common::{new_wallet, only_stake, state, text, two_coins};
use serde_json::{Value, json};
use tapstake_devnet::{Config, Devnet};
use tapstake_params::local;
use tapstake_tests::Cli;
use tapstake_tx::delegation::{CheckedDelegation, DelegationPackage};

const STAKE: [&str; 7] = [
    "stake",
    "--amount",
    "0.05btc",
    "--time",
    "60",
    "--account",
    "hex:d8da6bf26964af9d7eed9e03e53415d37aa96045",
];

/// Drafts a stake; says where its delegation file is.
fn draft(user: &Cli) -> (Value, String) {
    let path = user.path("delegation.json").to_str().unwrap().to_owned();
    (user.run(&[&STAKE[..], &["--draft", &path]].concat()).ok(), path)
}

/// Adds the signatures of so many members of the local committee to a file.
fn sign(path: &str, members: usize) {
    let secp = Secp256k1::new();
    let mut package: DelegationPackage = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let schedule = local::schedule(&secp, bitcoin::Network::Regtest, local::Slashed::Burned).unwrap();
    let CheckedDelegation::PreSigned(signed) = package.check(&secp, &schedule).unwrap() else {
        panic!("the staker alone has signed")
    };
    for member in &local::covenant_keypairs(&secp)[..members] {
        let key = member.x_only_public_key().0;
        package.parts.covenant.insert(key, signed.covenant_signatures(&secp, member, &[0; 32]));
    }
    fs::write(path, serde_json::to_string(&package).unwrap()).unwrap();
}

#[test]
fn a_draft_sends_nothing_locks_its_coins_and_never_takes_a_files_place() {
    let (devnet, user) = two_coins();
    let (drafted, path) = draft(&user);
    assert!(text(&drafted, "status").starts_with("drafted"), "{drafted}");
    assert_eq!((&drafted["exit_rehearsed"], &drafted["missing"]), (&true.into(), &3.into()));
    assert!(devnet.mempool().is_empty());
    let listed = only_stake(&user);
    assert_eq!((&listed["state"], &listed["covenant_signed"]), (&"prepared".into(), &0.into()));
    assert!(user.data().join("sheets").exists());
    let coins = user.run(&["wallet", "utxos"]).ok();
    let locked = coins["utxos"].as_array().unwrap().iter().filter(|coin| coin["locked"] == true).count();
    assert_eq!(locked, 1, "{coins}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    // Whoever gets the file cannot send the staking transaction.
    let package: DelegationPackage = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    assert!((0..package.staking_tx.input.len()).all(|input| !package.staking_tx.has_witness(input)));

    let again = user.run(&[&STAKE[..], &["--draft", &path]].concat()).refused(1);
    assert_eq!(again["rule"], "file", "{again}");
    let coins = user.run(&["wallet", "utxos"]).ok();
    let locked = coins["utxos"].as_array().unwrap().iter().filter(|coin| coin["locked"] == true).count();
    assert_eq!(locked, 1, "the refused draft locked nothing: {coins}");
    let resumed = user.run(&["stakes", "resume"]).ok();
    assert_eq!((&resumed["resumed"], &resumed["waiting"]), (&json!([]), &json!([drafted["outpoint"]])));
    assert!(devnet.mempool().is_empty());
}

#[test]
fn nothing_is_sent_before_the_quorum_is_there_and_then_it_is() {
    let (devnet, user) = two_coins();
    let (drafted, path) = draft(&user);
    for members in [0, 1, 2] {
        if members > 0 {
            // Each time from the draft on: a member's signatures are over the same transactions.
            fs::remove_file(&path).unwrap();
            user.run(&["delegation", "check", &text(&drafted, "outpoint"), "--out", &path]).ok();
            sign(&path, members);
        }
        let refused = user.run(&["stake", "--broadcast", &path]).refused(1);
        assert_eq!(refused["rule"], "quorum", "{refused}");
        let message = text(&refused, "message");
        assert!(message.starts_with(&format!("{members} of 3 covenant members have signed")), "{message}");
        let checked = user.run(&["delegation", "check", &path]).ok();
        assert_eq!(checked["missing"], 3 - members);
        assert_eq!(checked["signed_by"].as_array().unwrap().len(), members);
    }
    for command in [&["unbond", &path][..], &["bump", &path, "--fee-rate", "5"]] {
        assert_eq!(user.run(command).refused(1)["rule"], "quorum");
    }
    assert!(devnet.mempool().is_empty());

    fs::remove_file(&path).unwrap();
    user.run(&["delegation", "check", &text(&drafted, "outpoint"), "--out", &path]).ok();
    sign(&path, 3);
    // Somebody else has the file, and not what makes it a transaction.
    let stranger = Cli::new("regtest");
    new_wallet(&stranger);
    let refused = stranger.run(&["stake", "--broadcast", &path]).refused(1);
    assert_eq!(refused["rule"], "staking-signature", "{refused}");
    assert!(devnet.mempool().is_empty());

    let sent = user.run(&["stake", "--broadcast", &path]).ok();
    assert_eq!((&sent["outpoint"], &sent["status"]), (&drafted["outpoint"], &"broadcast".into()));
    assert_eq!(state(&user), "in_mempool");
    devnet.mine(1).unwrap();
    user.run(&["unbond", &path]).ok();
    assert_eq!(state(&user), "unbonding");
}

#[test]
fn a_byte_changed_in_a_delegation_file_is_refused_with_a_reason() {
    let (_devnet, user) = two_coins();
    let (_, path) = draft(&user);
    sign(&path, 3);
    let whole = fs::read_to_string(&path).unwrap();
    let mut package: DelegationPackage = serde_json::from_str(&whole).unwrap();
    package.value += Amount::ONE_SAT;
    fs::write(&path, serde_json::to_string(&package).unwrap()).unwrap();
    assert_eq!(user.run(&["delegation", "check", &path]).refused(1)["rule"], "staking-output");
    fs::write(&path, whole.replacen("\"params_version\":0", "\"params_version\":7", 1)).unwrap();
    assert_eq!(user.run(&["stake", "--broadcast", &path]).refused(1)["rule"], "file");
    fs::write(&path, vec![b' '; 4_000_000]).unwrap();
    assert_eq!(user.run(&["delegation", "check", &path]).refused(1)["rule"], "file");
}

#[test]
fn coins_that_others_signed_on_are_not_spent_again_and_the_refusal_says_why() {
    let (devnet, user) = two_coins();
    draft(&user);
    let coins = user.run(&["wallet", "utxos"]).ok();
    let coin = coins["utxos"].as_array().unwrap().iter().find(|coin| coin["locked"] == true).unwrap();
    let coin = text(coin, "outpoint");
    user.run(&["wallet", "unlock", &coin]).ok();
    let other = user.path("other.json");
    let again =
        [&STAKE[..], &["--coin", &coin, "--draft", other.to_str().unwrap(), "--fee-rate", "9"]].concat();
    let refused = user.run(&again).refused(1);
    assert_eq!(refused["rule"], "replaced", "{refused}");
    assert!(text(&refused, "message").contains("would be void"), "{refused}");
    assert!(!other.exists() && devnet.mempool().is_empty());
}

#[test]
fn a_draft_whose_coins_went_elsewhere_is_not_sent() {
    let (devnet, user) = two_coins();
    let (drafted, path) = draft(&user);
    sign(&path, 3);
    // The same words elsewhere, where no lock is known.
    let elsewhere = Cli::new("regtest");
    fs::create_dir_all(elsewhere.path("data").parent().unwrap()).unwrap();
    copy(&user.path("data"), &elsewhere.path("data"));
    let source = devnet.electrum_url();
    elsewhere.run(&["stakes", "forget", &text(&drafted, "outpoint"), "--yes"]).ok();
    let package: DelegationPackage = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let coin = package.staking_tx.input[0].previous_output.to_string();
    let rest = ["--coin", &coin, "--source", &source];
    elsewhere.run(&[&["stake", "--amount", "0.02btc", "--time", "60"], &rest[..]].concat()).ok();
    devnet.mine(1).unwrap();
    let refused = user.run(&["stake", "--broadcast", &path]).refused(1);
    assert_eq!(refused["rule"], "spent-input", "{refused}");
}

#[test]
fn a_stake_under_parameters_that_no_longer_apply_is_neither_sent_nor_sent_again() {
    let (devnet, mut user) = two_coins();
    let mut params: Value = serde_json::from_str(&user.run(&["params", "show"]).stdout).unwrap();
    let mut newer = params["versions"][0].clone();
    newer["version"] = 1.into();
    newer["activation_height"] = (devnet.tip().height + 3).into();
    newer["unbonding_fee"] = 1_001.into();
    params["versions"].as_array_mut().unwrap().push(newer);
    let file = user.path("params.json");
    fs::write(&file, params.to_string()).unwrap();
    user.set("TAPSTAKE_PARAMS", &file);
    let (drafted, path) = draft(&user);
    assert_eq!(drafted["params_version"], 0);
    sign(&path, 3);
    devnet.mine(2).unwrap();
    // The next block is the first of the newer version.
    let refused = user.run(&["stake", "--broadcast", &path]).refused(1);
    assert_eq!(refused["rule"], "params-version", "{refused}");
    assert!(devnet.mempool().is_empty());
    assert_eq!(user.run(&["stakes", "resume"]).ok()["waiting"][0], drafted["outpoint"]);
    // A reorganisation takes it back in force.
    let last = devnet.block(devnet.tip().height).unwrap().block_hash();
    devnet.invalidate_block(&last).unwrap();
    user.run(&["stake", "--broadcast", &path]).ok();

    // A chain that never heard of it, one block further.
    let other = Devnet::start(&Config::default()).unwrap();
    for height in 1..=devnet.tip().height {
        other.submit_block((*devnet.block(height).unwrap()).clone()).unwrap();
    }
    other.mine(1).unwrap();
    user.set("TAPSTAKE_SOURCE", other.electrum_url());
    assert_eq!(state(&user), "prepared");
    assert_eq!(user.run(&["stakes", "resume"]).refused(1)["rule"], "params-version");
    assert!(other.mempool().is_empty());
}

#[test]
fn an_exit_that_was_not_rehearsed_for_the_draft_is_before_it_is_sent() {
    let (_devnet, user) = two_coins();
    let path = user.path("delegation.json").to_str().unwrap().to_owned();
    let skip = ["--skip-exit-rehearsal-and-risk-the-coins", "--draft", &path];
    assert_eq!(user.run(&[&STAKE[..], &skip].concat()).ok()["exit_rehearsed"], false);
    sign(&path, 3);
    assert_eq!(user.run(&["stake", "--broadcast", &path]).ok()["exit_rehearsed"], true);
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).unwrap();
        }
    }
}

#[test]
fn what_is_signed_in_advance_below_the_mempools_minimum_is_refused_before_coins_are_locked() {
    let (devnet, mut user) = two_coins();
    let shown = user.run(&["params", "show"]).stdout;
    let low = user.path("low-fee.json");
    fs::write(&low, shown.replace("\"unbonding_fee\": 1000", "\"unbonding_fee\": 10")).unwrap();
    user.set("TAPSTAKE_PARAMS", &low);
    let refused = user.run(&STAKE).refused(1);
    assert_eq!(refused["rule"], "presigned-fee", "{refused}");
    assert!(text(&refused, "message").contains("unbonding transaction pays"), "{refused}");
    let coins = user.run(&["wallet", "utxos"]).ok();
    assert!(coins["utxos"].as_array().unwrap().iter().all(|coin| coin["locked"] == false), "{coins}");
    assert!(devnet.mempool().is_empty());
    user.run(&[&STAKE[..], &["--accept-low-presigned-fees"]].concat()).ok();
}

#[test]
fn a_stuck_stake_is_helped_by_a_child_of_its_change() {
    let (devnet, user) = two_coins();
    let staked = user.run(&[&STAKE[..], &["--fee-rate", "1"]].concat()).ok();
    let stake = text(&staked, "outpoint");
    let dry = user.run(&["bump", &stake, "--fee-rate", "20", "--dry-run"]).ok();
    assert_eq!(devnet.mempool().len(), 1);
    let bumped = user.run(&["bump", &stake, "--fee-rate", "20"]).ok();
    assert_eq!(bumped["child_fee_sat"], dry["child_fee_sat"]);
    assert_eq!(devnet.mempool().len(), 2);
    let child: bitcoin::Txid = text(&bumped, "child").parse().unwrap();
    let txid: bitcoin::Txid = text(&staked, "txid").parse().unwrap();
    let [parent, child] = [txid, child].map(|txid| devnet.transaction(&txid).unwrap());
    let paid = staked["fee_sat"].as_u64().unwrap() + bumped["child_fee_sat"].as_u64().unwrap();
    let due = 20 * (parent.vsize() + child.vsize()) as u64;
    assert!((due..due + 20).contains(&paid), "{paid} sat where {due} are due");
    assert_eq!(child.input.len(), 1);
    assert_eq!(child.input[0].previous_output.txid, txid);

    let refused = user.run(&["bump", &stake, "--fee-rate", "1"]).refused(1);
    assert!(["no-change", "fee-rate"].contains(&refused["rule"].as_str().unwrap()), "{refused}");
    // The child waits too, and is helped in turn.
    let again = user.run(&["bump", &stake, "--fee-rate", "40"]).ok();
    let grandchild: bitcoin::Txid = text(&again, "child").parse().unwrap();
    let grandchild = devnet.transaction(&grandchild).unwrap();
    assert_eq!(grandchild.input[0].previous_output.txid, child.compute_txid());
    assert_eq!(devnet.mempool().len(), 3);
    devnet.mine(1).unwrap();
    assert_eq!(user.run(&["bump", &stake, "--fee-rate", "30"]).refused(1)["rule"], "confirmed");
}

#[test]
fn a_live_stake_moves_into_a_larger_and_longer_one() {
    let (devnet, user) = two_coins();
    let stake = text(&user.run(&STAKE).ok(), "outpoint");
    let early = user.run(&["expand", &stake, "--amount", "0.08btc"]).refused(1);
    assert_eq!(early["rule"], "spent", "it is not in a block yet: {early}");
    devnet.mine(1).unwrap();
    let smaller = user.run(&["expand", &stake, "--amount", "0.04btc"]).refused(1);
    assert_eq!(smaller["rule"], "expansion-value", "{smaller}");
    user.run(&["expand", &stake, "--amount", "0.08btc", "--dry-run"]).ok();
    assert!(devnet.mempool().is_empty());

    let expanded = user.run(&["expand", &stake, "--amount", "0.08btc", "--time", "70"]).ok();
    assert_eq!((text(&expanded, "expands"), &expanded["value_sat"]), (stake.clone(), &8_000_000.into()));
    // Sent again from its file, it is where it was.
    let file = user.path("expanded.json");
    let file = file.to_str().unwrap();
    user.run(&["delegation", "check", &text(&expanded, "outpoint"), "--out", file]).ok();
    user.run(&["expand", "--broadcast", file]).ok();
    assert_eq!(devnet.mempool().len(), 1);
    devnet.mine(1).unwrap();
    let listed = user.run(&["stakes"]).ok();
    let states: Vec<_> = listed["stakes"].as_array().unwrap().iter().map(|row| text(row, "state")).collect();
    assert_eq!(states, ["expanded", "confirmed"]);
    assert_eq!(user.run(&["unbond", &stake]).refused(1)["rule"], "spent");
    user.run(&["unbond", &text(&expanded, "outpoint")]).ok();
    devnet.mine(10).unwrap();
    let withdrawn = user.run(&["withdraw"]).ok();
    let whole = withdrawn["value_sat"].as_u64().unwrap() + withdrawn["fee_sat"].as_u64().unwrap();
    assert_eq!(whole, 8_000_000 - 1_000);
}

#[test]
fn a_proof_of_possession_is_made_and_verified_in_each_form() {
    let user = Cli::new("regtest");
    new_wallet(&user);
    let staker = text(&user.run(&["wallet", "staker-key"]).ok(), "staker");
    let account = "text:a shop";
    for form in ["bip340", "bip322", "bip137"] {
        let path = user.path(form);
        let file = path.to_str().unwrap();
        let create = ["pop", "create", "--account", account, "--form", form, "--service", "a-service"];
        let made = user.run(&[&create[..], &["--out", file]].concat()).ok();
        assert_eq!(made["account"], account);
        let verified = user.run(&["pop", "verify", file, "--staker", &staker]).ok();
        assert_eq!((&verified["valid"], &verified["form"]), (&true.into(), &form.into()));
        let other = text(&user.run(&["wallet", "staker-key", "--index", "1"]).ok(), "staker");
        let refused = user.run(&["pop", "verify", file, "--staker", &other]).refused(3);
        assert_eq!(refused["rule"], "possession");
        let changed = fs::read_to_string(file).unwrap().replace("a shop", "a ship");
        fs::write(file, changed).unwrap();
        user.run(&["pop", "verify", file, "--staker", &staker]).refused(3);
    }
    assert_eq!(user.run(&["pop", "create"]).refused(2)["kind"], "usage");
}
