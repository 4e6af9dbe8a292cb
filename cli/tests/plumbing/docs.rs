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
