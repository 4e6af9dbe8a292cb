//! Help, completions, usage errors, and readers that go away.

use std::io::Read;
use std::process::Stdio;

use crate::support::{error, run, stderr, stdout, tapstake};

/// The commands that a help text lists.
fn listed(help: &str) -> Vec<String> {
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let lines = commands
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    lines
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

fn visit(command: &str, seen: &mut Vec<String>) {
    let output = run(&format!("{command} --help"));
    assert!(output.status.success(), "{command}");
    assert!(stderr(&output).is_empty(), "{command}");
    let help = stdout(&output);
    assert!(help.contains("Usage: tapstake"), "{command}: {help}");
    let short = stdout(&run(&format!("{command} -h")));
    assert!(short.contains("--json"), "{command} lacks the global options");
    seen.push(command.trim().to_owned());
    for name in listed(&short) {
        visit(&format!("{command} {name}"), seen);
    }
}

#[test]
fn every_command_has_help() {
    let mut seen = Vec::new();
    visit("", &mut seen);
    for command in [
        "script staking",
        "script unbonding",
        "script refund",
        "script op-return",
        "tx unbonding",
        "tx slashing",
        "tx inspect",
        "scan",
        "prove",
        "verify",
        "headers verify",
        "params show",
        "yield",
        "completions",
    ] {
        assert!(seen.iter().any(|name| name == command), "{command} is not among {seen:?}");
    }
}

#[test]
fn every_shell_has_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(&format!("completions {shell}"));
        assert!(output.status.success());
        let script = stdout(&output);
        assert!(script.contains("tapstake") && script.contains("op-return"), "{shell}");
    }
    error("completions tcsh", 2);
}

#[test]
fn usage_errors_exit_with_2_and_say_what_is_missing() {
    for line in ["", "nonsense", "script", "script staking", "verify", "headers verify x", "scan --block x"] {
        let output = run(line);
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert!(stdout(&output).is_empty(), "{line}");
        assert!(!stderr(&output).is_empty(), "{line}");
    }
    let message = error("scan --block x", 2)["message"].as_str().unwrap().to_owned();
    assert!(message.contains("--height"), "{message}");
}

#[test]
fn usage_errors_name_the_help_of_the_command_that_was_meant() {
    for (line, help) in [
        ("script staking", "see tapstake script staking --help"),
        ("params show --covenant x", "see tapstake params show --help"),
        ("nonsense", "see tapstake --help"),
    ] {
        assert_eq!(error(line, 2)["next"], help);
    }
}

#[test]
fn the_version_is_printed() {
    assert_eq!(stdout(&run("--version")), format!("tapstake {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn quiet_leaves_errors_and_takes_warnings() {
    let output = run("params show --params there-is-no-such-file --quiet");
    assert!(
        stderr(&output).starts_with("error [file]: parameters file: there-is-no-such-file: "),
        "{}",
        stderr(&output)
    );
    assert!(stderr(&output).contains("\n  next: "), "{}", stderr(&output));
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    // More than a pipe holds, so that the writer is there to see the pipe break.
    let mut child = tapstake()
        .args(["completions", "zsh"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 1];
    let mut pipe = child.stdout.take().unwrap();
    pipe.read_exact(&mut first).unwrap();
    drop(pipe);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(stderr(&output).is_empty(), "{}", stderr(&output));
}
