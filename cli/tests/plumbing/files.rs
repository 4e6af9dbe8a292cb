//! Files that are not what they should be: the same mistake has the same rule and exit code in every command.

use crate::support::{STAKER, TempFile, error, json, run, stdout};

/// Commands that read a file, and the name of what each reads.
fn readers() -> Vec<(&'static str, &'static str)> {
    vec![
        ("delegation check {}", "a delegation file"),
        ("slash --delegation {} --evidence {}", "a delegation file"),
        ("equivocation {}", "evidence"),
        ("equivocation {} {}", "a vote"),
        ("equivocation --slashing-tx {} --delegation {}", "a delegation file"),
        ("verify {}", "a proof of a stake"),
        ("verify fixtures/cli/proof.json --service-policy {}", "a service's policy"),
        ("pop verify {} --staker STAKER", "a proof of possession"),
        ("headers verify {} --start-height 0", "headers"),
        ("scan --block {} --height 2", "a block"),
        ("prove --block {} --height 2 STAKER:0", "a block"),
        ("params show --params {}", "parameters"),
        ("params show --config {}", "a configuration file"),
        ("stakes restore {} --data-dir {}.d", "a recovery sheet"),
    ]
}

fn line(reader: &str, path: &str) -> String {
    reader.replace("{}", path).replace("STAKER", STAKER)
}

#[test]
fn what_cannot_be_read_or_is_junk_breaks_the_rule_file_in_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let (text, binary) = (TempFile::new(b"{\"providers\": ["), TempFile::new(&[0xff; 300]));
    let empty = TempFile::new(b"");
    let folder = folder.path().to_str().unwrap();
    for path in ["there-is-no-such-file", folder, "/dev/zero", text.path(), binary.path(), empty.path()] {
        for (reader, _) in readers() {
            // An empty configuration sets nothing.
            if reader.contains("--config") && path == empty.path() {
                continue;
            }
            let error = error(&line(reader, path), 1);
            assert_eq!(error["rule"], "file", "{reader} {path}: {error}");
            assert!(error["next"].is_string(), "{reader} {path}: {error}");
            assert!(error["message"].as_str().unwrap().len() < 500, "{reader} {path}: {error}");
        }
    }
}

#[test]
fn a_file_of_another_kind_is_named() {
    let proof = "fixtures/cli/proof.json";
    for (reader, kind) in readers().into_iter().filter(|(_, kind)| *kind != "a proof of a stake") {
        let error = error(&line(reader, proof), 1);
        assert_eq!(error["rule"], "file", "{reader}: {error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("is a proof of a stake"), "{reader}: {message}");
        // Stakes are restored from a sheet or a delegation.
        assert!(
            reader.starts_with("stakes restore") || message.ends_with(&format!("not {kind}")),
            "{message}"
        );
    }
    let parameters = "fixtures/params/global-params.json";
    let message = error(&format!("verify {parameters}"), 1)["message"].as_str().unwrap().to_owned();
    assert!(message.ends_with("this is parameters, not a proof of a stake"), "{message}");
}

#[test]
fn what_is_no_folder_of_signed_psbts_is_named_with_the_command_that_takes_it() {
    let slashing = "--spends staking --staking-time 144 --slashing-script 6a07626162796c6f6e --slashing-rate 0.1 --fee 2000";
    let built = json(&format!("tx slashing {} {slashing}", crate::tx::stake(100_000)));
    let psbt = built["psbt"].as_str().unwrap().to_owned();
    let psbt = TempFile::new(psbt.as_bytes());
    let (delegation, evidence) = (TempFile::new(b"tsdl\x01"), TempFile::new(br#"{"evidence": {}}"#));
    let junk = TempFile::new(b"junk");
    let files = [
        (delegation.path(), "a delegation file", "tapstake stake --broadcast FILE"),
        ("fixtures/cli/proof.json", "a proof of a stake", "tapstake verify FILE"),
        (evidence.path(), "evidence", "tapstake slash --delegation FILE --evidence FILE"),
        (psbt.path(), "a PSBT", "put it, signed, into the folder"),
        ("fixtures/params/global-params.json", "parameters", "--params FILE"),
        (junk.path(), "a file", "give the folder"),
    ];
    for (path, kind, next) in files {
        for command in ["stake", "expand"] {
            let refused = error(&format!("{command} --finish {path}"), 1);
            assert_eq!(refused["rule"], "file", "{refused}");
            let message = format!("{path} is {kind}, not a folder of signed PSBTs");
            assert_eq!(refused["message"], message.as_str());
            let said = refused["next"].as_str().unwrap();
            assert!(said.contains(next) && said.contains(&format!("tapstake {command} --export")), "{said}");
        }
    }
    assert_eq!(error("stake --finish there-is-no-such-folder", 1)["rule"], "file");
}

#[test]
fn no_message_repeats_a_wallets_words() {
    let words = TempFile::new("zoo ".repeat(12).as_bytes());
    for (reader, _) in readers() {
        let output = run(&line(reader, words.path()));
        let said = format!("{}{}", stdout(&output), crate::support::stderr(&output));
        assert!(output.status.code() == Some(1) && !said.contains("zoo"), "{reader}: {said}");
    }
}

#[test]
fn a_long_file_is_cut_short_in_messages() {
    let long = format!("{{\"versions\": \"{}\"}}", "x".repeat(1 << 20));
    let file = TempFile::new(long.as_bytes());
    let message =
        error(&format!("params show --params {}", file.path()), 1)["message"].as_str().unwrap().len();
    assert!(message < 300, "{message}");
    let long = TempFile::new(&vec![b'#'; (64 << 10) + 1]);
    let message = error(&format!("params show --config {}", long.path()), 1)["message"].to_string();
    assert!(message.contains("longer than 65536 bytes"), "{message}");
}

#[test]
fn a_transaction_to_be_inspected_may_stand_in_a_file() {
    let line = |given: &str| format!("tx inspect {given}");
    let built = json(&format!("tx unbonding {} --fee 1000", crate::tx::stake(100_000)));
    let hex = built["tx"].as_str().or_else(|| built["hex"].as_str()).unwrap().to_owned();
    let file = TempFile::new(hex.as_bytes());
    assert_eq!(json(&line(file.path())), json(&line(&hex)));
    error(&line("neither-hex-nor-a-file"), 2);
}

#[test]
fn a_stake_that_is_not_found_names_the_parameters_in_use() {
    let line = "verify fixtures/cli/proof.json --headers fixtures/cli/headers.hex";
    let mut other = json("params show --params local");
    other["versions"][0]["covenant_quorum"] = 4.into();
    let file = TempFile::new(other.to_string().as_bytes());
    let error = error(&format!("{line} --params {}", file.path()), 3);
    assert_eq!(error["rule"], "staking-output");
    let next = error["next"].as_str().unwrap();
    assert!(next.contains(file.path()) && next.contains("--params that the stake was made under"), "{next}");
}
