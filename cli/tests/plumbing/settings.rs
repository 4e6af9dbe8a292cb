//! Configuration file, environment and command line, in this order of growing force.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::{STAKER, TempFile, stderr, stdout, tapstake};

/// A command whose output shows the network.
fn refund(command: &mut Command) -> Output {
    command.args(["script", "refund", "--staker", STAKER, "--timelock", "1"]).output().unwrap()
}

fn shows(output: &Output, network: &str) -> bool {
    assert!(output.status.success(), "{}", stderr(output));
    stdout(output).starts_with(&format!("network        {network}\n"))
}

fn toml(folder: &Path, text: &str) -> String {
    let path = folder.join("config.toml");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn the_file_yields_to_the_environment_and_that_to_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let config = toml(folder.path(), "network = \"signet\"\n");
    assert!(shows(&refund(&mut tapstake()), "regtest"));
    assert!(shows(&refund(tapstake().args(["--config", &config])), "signet"));
    assert!(shows(&refund(tapstake().env("TAPSTAKE_CONFIG", &config)), "signet"));
    let both = |command: &mut Command| {
        command.env("TAPSTAKE_NETWORK", "testnet4").env("TAPSTAKE_CONFIG", &config);
    };
    let mut command = tapstake();
    both(&mut command);
    assert!(shows(&refund(&mut command), "testnet4"));
    let mut command = tapstake();
    both(&mut command);
    assert!(shows(&refund(command.args(["--network", "mainnet"])), "mainnet"));
    // After the subcommand as well as before it.
    let mut command = tapstake();
    both(&mut command);
    command.args(["script", "refund", "--staker", STAKER, "--timelock", "1", "--network", "bitcoin"]);
    assert!(shows(&command.output().unwrap(), "mainnet"));
}

#[test]
fn json_can_be_asked_for_in_the_file_and_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let config = toml(folder.path(), "json = true\n");
    let is_json = |command: &mut Command| stdout(&refund(command)).starts_with('{');
    assert!(is_json(tapstake().args(["--config", &config])));
    assert!(!is_json(tapstake().args(["--config", &config]).env("TAPSTAKE_JSON", "false")));
    assert!(is_json(tapstake().arg("--json").env("TAPSTAKE_JSON", "0")));
    assert!(!is_json(tapstake().arg("--json=false").env("TAPSTAKE_JSON", "yes")));
}

#[test]
fn the_file_may_be_json_and_is_found_where_xdg_says() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("settings.json");
    std::fs::write(&json, r#"{"network": "signet"}"#).unwrap();
    assert!(shows(&refund(tapstake().args(["--config", json.to_str().unwrap()])), "signet"));

    let below = folder.path().join(".config").join("tapstake");
    std::fs::create_dir_all(&below).unwrap();
    toml(&below, "network = \"testnet\"\n");
    assert!(shows(&refund(tapstake().env("HOME", folder.path())), "testnet"));
    let config = folder.path().join(".config");
    assert!(shows(&refund(tapstake().env("XDG_CONFIG_HOME", config)), "testnet"));
}

#[test]
fn what_the_file_says_wrong_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for (text, named) in [
        ("netwrok = \"signet\"\n", "unknown field `netwrok`"),
        ("network = \"main\"\n", "unknown variant `main`"),
        ("network = 1\n", "1 | network = 1"),
        ("network\n", "config.toml"),
    ] {
        let output = refund(tapstake().args(["--config", &toml(folder.path(), text)]));
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(named), "{}", stderr(&output));
    }
    let output = refund(tapstake().args(["--config", "there-is-no-such-file"]));
    assert_eq!(output.status.code(), Some(1));
    let output = refund(tapstake().env("TAPSTAKE_NETWORK", "moon"));
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn parameters_in_the_file_are_found_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let shown = tapstake().args(["params", "show", "--params", "bbn-1", "--json"]).output().unwrap();
    std::fs::write(folder.path().join("own.json"), &shown.stdout).unwrap();
    let config = toml(folder.path(), "network = \"mainnet\"\nparams = \"own.json\"\n");
    let again = tapstake().args(["params", "show", "--json", "--config", &config]).output().unwrap();
    assert_eq!(stdout(&again), stdout(&shown));
}

#[test]
fn parameters_choose_the_network_unless_one_is_named() {
    assert!(shows(&refund(tapstake().args(["--params", "bbn-1"])), "mainnet"));
    assert!(shows(&refund(tapstake().args(["--params", "local", "--network", "signet"])), "signet"));
}

#[test]
fn the_published_parameter_files_are_read() {
    for name in ["global-params.json", "chain-params.json"] {
        let shown = tapstake()
            .args(["params", "show", "--params", &format!("fixtures/params/{name}")])
            .output()
            .unwrap();
        assert!(shown.status.success(), "{name}: {}", stderr(&shown));
    }
    let file = TempFile::new(b"{\"versions\": [");
    let output = tapstake().args(["params", "show", "--params", file.path()]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
}
