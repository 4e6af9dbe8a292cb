//! The tour in `docs/cli.md` shows what the program prints.

use crate::support::{repository, run, stderr, stdout};

/// Runs each `$ tapstake …` of a console block and compares what it prints. A line `[exit N]` names an exit code other
/// than 0; `…` stands for anything up to the line's end, and alone on a line for any number of lines.
#[test]
fn every_command_of_the_tour_prints_what_the_tour_says() {
    let text = std::fs::read_to_string(repository().join("docs").join("cli.md")).unwrap();
    let mut shown = 0;
    for block in text.split("```console\n").skip(1) {
        let block = block.split("```").next().unwrap().replace("\\\n", " ");
        for session in block.split("$ tapstake ").skip(1) {
            let (line, expected) = session.split_once('\n').unwrap_or((session, ""));
            let output = run(line);
            let mut printed = format!("{}{}", stdout(&output), stderr(&output));
            if let Some(code @ 1..) = output.status.code() {
                printed += &format!("[exit {code}]\n");
            }
            assert!(matches(expected.trim(), printed.trim()), "$ tapstake {line}\n{printed}");
            shown += 1;
        }
    }
    assert!(shown >= 10, "only {shown} commands are shown");
}

fn matches(expected: &str, printed: &str) -> bool {
    let (mut printed, mut any) = (printed.lines().peekable(), false);
    for line in expected.lines() {
        if line.trim() == "…" {
            any = true;
            continue;
        }
        let fits = |found: &str| match line.split_once('…') {
            Some((start, _)) => found.starts_with(start),
            None => found.trim_end() == line.trim_end(),
        };
        if any {
            while printed.peek().is_some_and(|found| !fits(found)) {
                printed.next();
            }
            any = false;
        }
        if !printed.next().is_some_and(fits) {
            return false;
        }
    }
    any || printed.next().is_none()
}

/// Runs the shell blocks of a section in an empty folder, with the binary as `tapstake`.
fn run_section(title: &str) -> (String, tempfile::TempDir) {
    let text = std::fs::read_to_string(repository().join("docs").join("cli.md")).unwrap();
    let section = text.split(&format!("\n## {title}\n")).nth(1).unwrap().split("\n## ").next().unwrap();
    let blocks = section.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap());
    let script = format!("set -e\n{}", blocks.collect::<Vec<_>>().join("\n"));
    let folder = tempfile::tempdir().unwrap();
    let programs = std::path::Path::new(env!("CARGO_BIN_EXE_tapstake")).parent().unwrap();
    let output = std::process::Command::new("sh")
        .args(["-c", &script])
        .env_clear()
        .env("HOME", folder.path())
        .env("PATH", format!("{}:/usr/bin:/bin", programs.display()))
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    (stdout(&output), folder)
}

#[test]
fn a_committee_of_ones_own_is_made_as_the_manual_says() {
    let (printed, folder) = run_section("A committee of one's own");
    let file: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("own.json")).unwrap()).unwrap();
    let version = &file["versions"][0];
    assert_eq!(
        (version["covenant_quorum"].as_u64(), version["covenant_pks"].as_array().unwrap().len()),
        (Some(2), 3)
    );
    for member in ["alice", "bob", "carol"] {
        let policy = std::fs::read(folder.path().join(member).join("policy.json")).unwrap();
        let policy: serde_json::Value = serde_json::from_slice(&policy).unwrap();
        assert_eq!(policy["parameters"]["versions"][0]["covenant_pks"], version["covenant_pks"], "{member}");
    }
    // Whoever makes a member of the public committee finds itself in the local parameters.
    let last = printed.rsplit("in the committee of").next().unwrap();
    assert!(last.contains("parameters version 0"), "{printed}");
}
