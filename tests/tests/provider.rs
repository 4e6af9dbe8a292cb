//! A finality provider by its commands: one machine, a restored backup, and two machines with one key.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use bitcoin::secp256k1::Secp256k1;
use serde_json::Value;
use tapstake_crypto::eots::SignedCommitment;
use tapstake_tests::{Cli, Outcome, program};
use tapstake_verifier::equivocation::{Evidence, SignedVote};

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

fn machine() -> Cli {
    let user = Cli::new("regtest");
    fs::write(user.path("passphrase"), "correct horse\n").unwrap();
    user
}

fn provider(user: &Cli, args: &[&str]) -> Outcome {
    let passphrase = user.path("passphrase");
    user.run(&[&["provider"], args, &["--passphrase-file", passphrase.to_str().unwrap()]].concat())
}

fn init(user: &Cli, args: &[&str]) -> Outcome {
    provider(user, &[&["init", "--service", "test-chain", "--work-factor", "1"], args].concat())
}

fn vote(user: &Cli, height: u64, block: &str) -> Outcome {
    provider(user, &["vote", "--height", &height.to_string(), "--block-hash", block])
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn a_provider_commits_and_votes_by_files() {
    let secp = Secp256k1::new();
    let user = machine();
    let made = init(&user, &[]).ok();
    assert_eq!((&made["service"], &made["votes"]), (&"test-chain".into(), &0.into()));
    assert_eq!(init(&user, &[]).refused(1)["rule"], "provider-exists");

    let refused = vote(&user, 100, A).refused(1);
    assert_eq!(refused["rule"], "not-committed");
    assert!(refused["next"].as_str().unwrap().contains("provider commit --start 100"), "{refused}");
    let file = user.path("commitment.json");
    let commit = ["commit", "--start", "100", "--count", "50", "--out", text(&file)];
    let printed = provider(&user, &commit).ok();
    let written: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(printed, written);
    assert_eq!(provider(&user, &commit).ok(), written, "the same again");
    let signed = SignedCommitment {
        commitment: serde_json::from_value(written["commitment"].clone()).unwrap(),
        signature: serde_json::from_value(written["signature"].clone()).unwrap(),
    };
    signed.verify(&secp, &serde_json::from_value(made["provider"].clone()).unwrap()).unwrap();
    let overlap = provider(&user, &["commit", "--start", "140", "--count", "50"]).refused(1);
    assert_eq!(overlap["rule"], "commitment-overlap");
    assert!(overlap["next"].as_str().unwrap().contains("from height 150 on"), "{overlap}");

    let file = user.path("vote.json");
    let asked = ["vote", "--height", "100", "--block-hash", A, "--out", text(&file)];
    let printed = provider(&user, &asked).ok();
    let signed: SignedVote = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(serde_json::to_value(&signed).unwrap(), printed);
    signed.check(&secp).unwrap();
    assert_eq!(signed.committed.unwrap().commitment.commitment.start, 100);

    assert_eq!(provider(&user, &asked).ok(), printed, "the same again");
    let refused = vote(&user, 100, B).refused(1);
    assert_eq!(refused["rule"], "double-vote");
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains(A) && message.contains(B), "{message}");
    vote(&user, 110, A).ok();
    assert_eq!(vote(&user, 109, A).refused(1)["rule"], "height-not-above");

    let shown = user.run(&["provider", "show"]).ok();
    assert_eq!(shown["marker_state"], "agrees");
    assert_eq!((&shown["votes"], &shown["next_height"]), (&2.into(), &111.into()));
    assert_eq!((&shown["last_vote"]["height"], &shown["last_vote"]["block_hash"]), (&110.into(), &A.into()));

    fs::write(user.path("passphrase"), "wrong").unwrap();
    assert_eq!(vote(&user, 111, A).refused(1)["rule"], "passphrase");
    assert_eq!(
        user.run(&["provider", "vote", "--height", "111", "--block-hash", A]).code,
        2,
        "nobody to ask"
    );
}

#[test]
fn a_restored_backup_votes_only_above_the_stated_height() {
    let user = machine();
    init(&user, &[]).ok();
    provider(&user, &["commit", "--start", "0", "--count", "100"]).ok();
    vote(&user, 1, A).ok();
    let (folder, backup) = (user.data().join("provider"), user.path("backup"));
    copy(&folder, &backup);
    for height in [2, 3] {
        vote(&user, height, A).ok();
    }
    fs::remove_dir_all(&folder).unwrap();
    copy(&backup, &folder);

    let refused = vote(&user, 3, B).refused(1);
    assert_eq!(refused["rule"], "old-backup");
    assert!(refused["next"].as_str().unwrap().contains("recover --last-known-height"), "{refused}");
    assert_eq!(user.run(&["provider", "show"]).ok()["marker_state"], "disagrees, at entry 3");
    let recover =
        |height, yes: &[&str]| provider(&user, &[&["recover", "--last-known-height", height], yes].concat());
    assert!(recover("3", &[]).refused(1)["next"].as_str().unwrap().contains("--yes"));
    assert_eq!(recover("2", &["--yes"]).refused(1)["rule"], "last-known-height");
    assert_eq!(recover("5", &["--yes"]).ok()["next_height"], 6);
    for (height, rule) in
        [(1, "double-vote"), (2, "height-not-above"), (3, "height-not-above"), (5, "height-not-above")]
    {
        assert_eq!(vote(&user, height, B).refused(1)["rule"], rule, "height {height}");
    }
    vote(&user, 6, B).ok();

    // Its markers lost as well, as on another machine.
    fs::remove_dir_all(user.path(".local")).unwrap();
    assert_eq!(vote(&user, 7, A).refused(1)["rule"], "marker");
    recover("6", &["--yes"]).ok();
    vote(&user, 7, A).ok();
}

#[test]
fn keys_that_are_not_fresh_need_a_word_on_their_history() {
    let user = machine();
    let seed = user.path("seed");
    fs::write(&seed, "07".repeat(32)).unwrap();
    let refused = init(&user, &["--seed-file", text(&seed)]).refused(1);
    assert_eq!(refused["rule"], "last-known-height");
    assert!(!user.data().join("provider").exists());
    assert_eq!(init(&user, &["--last-known-height", "5"]).code, 2, "fresh keys have no history");
    let made = init(&user, &["--seed-file", text(&seed), "--last-known-height", "500"]).ok();
    provider(&user, &["commit", "--start", "500", "--count", "10"]).ok();
    assert_eq!(vote(&user, 500, A).refused(1)["rule"], "height-not-above");
    vote(&user, 501, A).ok();

    // The folder is lost; a copy of its key file, its passphrase and its marker are there.
    let kept = user.path("kept.age");
    fs::rename(user.data().join("provider").join("key.age"), &kept).unwrap();
    fs::remove_dir_all(user.data().join("provider")).unwrap();
    let restore = |history: &[&str]| init(&user, &[&["--restore", text(&kept)], history].concat());
    assert_eq!(restore(&["--never-voted"]).refused(1)["rule"], "last-known-height");
    let again = restore(&["--last-known-height", "501"]).ok();
    assert_eq!(again["provider"], made["provider"]);

    fs::write(&seed, "not hex").unwrap();
    let elsewhere = user.path("elsewhere");
    let other = ["--key-file", text(&seed), "--never-voted", "--provider-dir", text(&elsewhere)];
    assert_eq!(init(&user, &other).refused(1)["rule"], "key");
    let inside = user.data().join("other");
    let own_marker = ["--provider-dir", text(&inside), "--marker-dir", text(&inside)];
    assert_eq!(init(&user, &own_marker).code, 2, "the marker would go back with the folder");
}

#[test]
fn two_machines_with_one_seed_that_deny_its_history_give_the_key_away() {
    // What the protection is for: nothing on either machine knows of the other.
    let votes: Vec<SignedVote> = [A, B]
        .iter()
        .map(|block| {
            let user = machine();
            let seed = user.path("seed");
            fs::write(&seed, "07".repeat(32)).unwrap();
            init(&user, &["--seed-file", text(&seed), "--never-voted"]).ok();
            provider(&user, &["commit", "--start", "0", "--count", "10"]).ok();
            serde_json::from_value(vote(&user, 5, block).ok()).unwrap()
        })
        .collect();
    let provider = votes[0].provider;
    let evidence = Evidence::TwoVotes(Box::new(votes.try_into().unwrap()));
    let exposed = evidence.verify(&Secp256k1::new()).unwrap();
    assert_eq!(exposed.provider(), provider);
}

#[test]
fn one_process_answers_line_by_line_and_keeps_others_out() {
    let user = machine();
    init(&user, &[]).ok();
    provider(&user, &["commit", "--start", "0", "--count", "100"]).ok();
    let mut command = Command::new(program());
    command.env_clear().env("HOME", user.path("")).args(["--network", "regtest", "--data-dir"]);
    command.arg(user.path("data")).args(["provider", "vote", "--stdin", "--passphrase-file"]);
    command.arg(user.path("passphrase")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = command.spawn().unwrap();
    let stdin = process.stdin.take().unwrap();
    let mut answers = std::io::BufRead::lines(std::io::BufReader::new(process.stdout.take().unwrap()));
    let mut ask = |line: &str| -> Value {
        writeln!(&stdin, "{line}").unwrap();
        serde_json::from_str(&answers.next().unwrap().unwrap()).unwrap()
    };
    let first = ask(&format!("5 {A}"));
    assert_eq!((&first["height"], &first["block_hash"]), (&5.into(), &A.into()));
    assert_eq!(vote(&user, 6, A).refused(1)["rule"], "provider-locked");
    assert_eq!(ask(&format!("5 {B}"))["error"]["rule"], "double-vote");
    assert_eq!(ask("five")["error"]["kind"], "usage");
    assert_eq!(ask(&format!("5 {A}")), first);
    assert_eq!(ask(&format!("6 {B}"))["height"], 6);
    drop(stdin);
    assert!(process.wait().unwrap().success());
    vote(&user, 7, A).ok();
}

#[test]
fn a_seed_that_voted_on_one_network_does_not_start_afresh_on_another() {
    let (mut here, mut there) = (machine(), Cli::new("signet"));
    fs::write(there.path("passphrase"), "correct horse\n").unwrap();
    let state = here.path("state");
    for user in [&mut here, &mut there] {
        user.set("XDG_STATE_HOME", &state);
        fs::write(user.path("seed"), "07".repeat(32)).unwrap();
    }
    let with_seed = |user: &Cli, history: &[&str]| {
        let seed = user.path("seed");
        init(user, &[&["--seed-file", text(&seed)], history].concat())
    };
    let made = with_seed(&here, &["--never-voted"]).ok();
    provider(&here, &["commit", "--start", "0", "--count", "100"]).ok();
    vote(&here, 7, A).ok();

    let refused = with_seed(&there, &["--never-voted"]).refused(1);
    assert_eq!(refused["rule"], "last-known-height", "{refused}");
    let again = with_seed(&there, &["--last-known-height", "7"]).ok();
    assert_eq!(
        (&again["provider"], &again["marker"]),
        (&made["provider"], &made["marker"]),
        "one key, one marker"
    );
    provider(&there, &["commit", "--start", "0", "--count", "100"]).ok();
    assert_eq!(vote(&there, 7, B).refused(1)["rule"], "height-not-above");
}

#[test]
fn a_copy_of_a_folder_whose_marker_moved_is_told_where_to() {
    let user = machine();
    init(&user, &[]).ok();
    provider(&user, &["commit", "--start", "0", "--count", "100"]).ok();
    vote(&user, 1, A).ok();
    let (folder, backup, place) = (user.data().join("provider"), user.path("backup"), user.path("place"));
    copy(&folder, &backup);
    let recover = ["recover", "--last-known-height", "1", "--yes"];
    provider(&user, &[&recover[..], &["--marker-dir", text(&place)]].concat()).ok();
    fs::remove_dir_all(&folder).unwrap();
    copy(&backup, &folder);
    for refused in [vote(&user, 2, A), provider(&user, &recover)] {
        let refused = refused.refused(1);
        assert_eq!(refused["rule"], "marker-moved", "{refused}");
        assert!(refused["next"].as_str().unwrap().contains(text(&place)), "{refused}");
    }
    provider(&user, &[&recover[..], &["--marker-dir", text(&place)]].concat()).ok();
    vote(&user, 2, A).ok();
}
