use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{STEPS, step};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a folder above").to_path_buf()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            sources(&entry, found);
        } else if entry.extension().is_some_and(|extension| extension == "rs") && !entry.ends_with("tests.rs")
        {
            found.push(entry);
        }
    }
}

/// A literal that stands first in `text`, if it is written as a rule's name.
fn name(text: &str) -> Option<&str> {
    let (name, _) =
        text.trim_start().trim_start_matches('(').trim_start().strip_prefix('"')?.split_once('"')?;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (!name.is_empty() && name.chars().all(plain)).then_some(name)
}

/// The names that `text` gives after any of these marks.
fn named<'t>(text: &'t str, marks: &[&str]) -> BTreeSet<&'t str> {
    marks.iter().flat_map(|mark| text.split(mark).skip(1).filter_map(name)).collect()
}

/// The functions of a source that name rules: each from its head to the line that closes it.
fn naming_functions(text: &str) -> String {
    let heads = [
        "rule(",
        "_rule(",
        "fn pool(",
        "fn lrt(",
        "fn shares(",
        "fn by_ledger(",
        "fn name(self)",
        "fn wallet(",
        "fn chain(",
        "fn yields(",
        "fn quorum(",
        "fn terms(",
        "fn schedule(",
        "fn params(",
        "fn staking(",
        "fn withdrawal(",
        "fn one(",
    ];
    let mut kept = String::new();
    let mut end: Option<String> = None;
    for line in text.lines() {
        let start = line.trim_start();
        if end.is_none() && line.contains("fn ") && heads.iter().any(|head| line.contains(head)) {
            end = Some(format!("{}}}", &line[..line.len() - start.len()]));
        }
        if let Some(last) = &end {
            kept += line;
            kept.push('\n');
            if line == last {
                end = None;
            }
        }
    }
    kept
}

/// Every rule that a refusal of the program can name, out of the sources.
fn rules() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let root = repository();
    let mut files = Vec::new();
    sources(&root.join("cli/src"), &mut files);
    for path in &files {
        let text = std::fs::read_to_string(path).expect("a source");
        names.extend(named(&text, &["Error::rule(", "Error::verification("]).into_iter().map(str::to_owned));
    }
    for path in [
        "cli/src/rules.rs",
        "cli/src/commands/book/refusal.rs",
        "cli/src/commands/book/refusal/rule.rs",
        "cli/src/commands/provider/refusal.rs",
        "crates/signer/src/covenant/error.rs",
        "crates/tx/src/delegation/error.rs",
        "crates/verifier/src/equivocation/error.rs",
        "crates/verifier/src/rule.rs",
    ] {
        let text = naming_functions(&std::fs::read_to_string(root.join(path)).expect("a source"));
        let found = named(&text, &["=> ", "=> {\n", "Some(", "Ok(", "{ "]);
        assert!(found.len() > 3, "{path}: {found:?}");
        names.extend(found.into_iter().map(str::to_owned));
    }
    names
}

#[test]
fn every_rule_has_a_next_step() {
    let without: Vec<_> = rules().into_iter().filter(|rule| step(rule).is_none()).collect();
    assert!(without.is_empty(), "no step after {without:?}");
}

#[test]
fn each_rule_stands_in_one_place_of_the_table_only() {
    let mut seen = BTreeSet::new();
    for rule in STEPS.iter().flat_map(|(rules, _)| rules.iter()) {
        assert!(seen.insert(rule), "{rule} stands there twice");
    }
}

#[test]
fn the_manual_lists_every_rule_and_no_other() {
    let manual = std::fs::read_to_string(repository().join("docs/cli.md")).expect("the manual");
    let section = manual.split("\n## The rules\n").nth(1).expect("a section of the rules");
    let section = section.split("\n## ").next().expect("its text");
    let rows = section.lines().filter(|line| line.starts_with("| "));
    let listed: BTreeSet<String> = rows
        .flat_map(|row| row.split('|').nth(2).unwrap_or_default().split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect();
    let rules = rules();
    let missing: Vec<_> = rules.difference(&listed).collect();
    let unknown: Vec<_> = listed.difference(&rules).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "not listed: {missing:?}; no rules: {unknown:?}");
}
