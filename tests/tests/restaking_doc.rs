//! `docs/restaking.md`: its worked example is entered into a book, and every figure of it recomputed.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tapstake_restake::{
    Book, Denomination, Entry, ExitId, HolderId, Imbalance, Pool, PoolId, ProviderView, ServiceId,
};

/// What the example calls its providers and its stakes by.
const NAMES: [(&str, &str); 11] = [
    ("P", "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"),
    ("Q", "c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5"),
    ("S", "1111111111111111111111111111111111111111111111111111111111111111:0"),
    ("T", "2222222222222222222222222222222222222222222222222222222222222222:0"),
    ("U", "3333333333333333333333333333333333333333333333333333333333333333:0"),
    ("A", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:1"),
    ("B", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb:0"),
    ("C", "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc:1"),
    ("D", "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd:0"),
    ("E", "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee:1"),
    ("F", "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff:0"),
];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn document() -> String {
    std::fs::read_to_string(repository().join("docs").join("restaking.md")).unwrap()
}

fn entry(line: &str) -> Entry {
    let mut line = line.to_owned();
    for (name, value) in NAMES {
        line = line.replace(&format!("\"{name}\""), &format!("\"{value}\""));
    }
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

fn named<T: std::str::FromStr>(name: &str) -> T {
    let value = NAMES.iter().find(|(known, _)| *known == name).map_or(name, |(_, value)| value);
    value.parse().unwrap_or_else(|_| panic!("{name} is no name"))
}

/// The only provider of a service of the example.
fn only<'b>(book: &'b Book, service: &str) -> ProviderView<'b> {
    let providers = book.providers(&named::<ServiceId>(service)).unwrap();
    let [provider] = providers.as_slice() else { panic!("one provider serves {service}") };
    *provider
}

/// A figure, by the words with which the example names it.
fn figure(book: &Book, name: &str) -> String {
    let words: Vec<&str> = name.split_whitespace().collect();
    let stake = |name: &str| named(name);
    let service = |name: &str| named::<ServiceId>(name);
    let pool = || -> &Pool { book.pool(&named::<PoolId>("pool")).unwrap() };
    let shares = |name: &str| pool().balance(&named::<HolderId>(name));
    let exit = || pool().queue().get(ExitId(0)).unwrap();
    match words.as_slice() {
        ["nominal", "of", name] => book.exposure(&stake(name)).unwrap().nominal_total().to_string(),
        ["leverage", "of", name] => {
            book.exposure(&stake(name)).unwrap().leverage_floor().unwrap().to_string()
        }
        ["slashable", "of", name] => book.stake(&stake(name)).unwrap().slashable.to_sat().to_string(),
        ["status", "of", name] => book.stake(&stake(name)).unwrap().status.to_string(),
        ["claimable", "by", name, "from", from] => {
            book.claimable(&stake(name), &service(from)).unwrap().to_string()
        }
        ["paid", "to", owner, "in", coin] => {
            book.paid(&format!("text:{owner}").parse().unwrap(), &named::<Denomination>(coin)).to_string()
        }
        ["ever", "lost"] => pool().flows().lost.to_string(),
        ["exit", "lost"] => (exit().quoted - exit().claim).to_sat().to_string(),
        [name, "counts"] => book.service(&service(name)).unwrap().exposure.nominal.to_string(),
        [name, "relies", "on"] => {
            book.service(&service(name)).unwrap().leaving_slashable.to_sat().to_string()
        }
        [name, "lost"] => book.service(&service(name)).unwrap().exposure.lost.to_sat().to_string(),
        ["claimable", "from", from] => {
            let claimable =
                book.stakes().map(|stake| book.claimable(&stake.outpoint, &service(from)).unwrap());
            claimable.sum::<u128>().to_string()
        }
        ["left", "to", "stakes", "at", name] => {
            let rewards = only(book, name).rewards;
            (rewards.put_in - rewards.commission).to_string()
        }
        ["commission", "at", name] => only(book, name).rewards.commission.to_string(),
        ["put", "in", "at", name] => only(book, name).rewards.put_in.to_string(),
        ["paid", "at", name] => only(book, name).rewards.paid.to_string(),
        ["reward", "per", "sat", "at", name] => only(book, name).rewards.per_sat.to_string(),
        ["carry", "at", name] => only(book, name).rewards.carry.to_string(),
        ["held", "at", name] => only(book, name).rewards.held.to_string(),
        ["assets"] => pool().assets().to_sat().to_string(),
        ["supply"] => pool().supply().to_string(),
        ["net", "asset", "value"] => pool().nav_floor().to_string(),
        ["queue"] => pool().queue().total().to_sat().to_string(),
        ["cash"] => pool().cash().to_sat().to_string(),
        ["reserves"] => pool().backing().reserves.to_sat().to_string(),
        ["issued"] => pool().backing().issued.to_sat().to_string(),
        ["missing"] => pool().backing().missing().to_sat().to_string(),
        ["ever", "minted"] => pool().flows().minted.to_string(),
        ["ever", "earned"] => pool().flows().rewards.to_string(),
        ["ever", "paid"] => pool().flows().paid.to_string(),
        ["shares", "of", name] => shares(name).to_string(),
        ["worth", "of", name] => pool().value_floor(shares(name)).unwrap().to_sat().to_string(),
        ["exit", "quoted"] => exit().quoted.to_sat().to_string(),
        ["exit", "matures", "at"] => exit().matures_at.to_string(),
        _ => panic!("no figure is called {name:?}"),
    }
}

/// Applies the example's entries in their order and hands each figure on its way to `see`; returns the book and how many
/// entries it took.
fn tell(text: &str, mut see: impl FnMut(&str, &str, String)) -> Book {
    let example = text.split("## A worked example").nth(1).unwrap();
    let example = example.split("\n## ").next().unwrap();
    let (mut book, mut fence) = (Book::new(), None);
    let mut lines = example.lines();
    while let Some(line) = lines.next() {
        match (fence, line) {
            (None, "```json") => fence = Some(true),
            (None, "```text") => fence = Some(false),
            (Some(_), "```") => fence = None,
            (Some(true), line) => {
                book.apply(&entry(line)).unwrap_or_else(|error| panic!("{error}: {line}"));
                book.check().unwrap_or_else(|error: Imbalance| panic!("{error}: {line}"));
            }
            (Some(false), line) => {
                let (before, refusal) = (book.clone(), book.apply(&entry(line)).unwrap_err());
                assert!(book == before, "what is refused changes nothing: {line}");
                let mut said = refusal.to_string();
                for (name, value) in NAMES {
                    said = said.replace(value, name);
                }
                see("the refusal", lines.next().unwrap(), said);
            }
            (None, row) if row.starts_with("| ") && !row.starts_with("| figure") => {
                let mut cells = row.trim_matches('|').split('|').map(str::trim);
                let (name, value) = (cells.next().unwrap(), cells.next().unwrap());
                see(name, &value.replace(',', ""), figure(&book, name));
            }
            (None, _) => {}
        }
    }
    book
}

#[test]
fn the_worked_example_gives_the_figures_that_the_document_names() {
    let (text, mut seen) = (document(), 0);
    let book = tell(&text, |name, said, computed| {
        assert_eq!(said, computed, "figure {seen}: {name}");
        seen += 1;
    });
    assert!(seen >= 40, "only {seen} figures");

    // Made again from its entries as JSON, by whoever reads the document: the same book.
    assert!(book == tell(&text, |_, _, _| {}));
}

#[test]
fn a_wrong_figure_in_the_document_is_found() {
    for (right, wrong) in [
        ("| 425,071 |", "| 425,072 |"),
        ("| 0.038571442857142857 |", "| 0.038571442857142856 |"),
        ("\nentry at height 139", "\nentry at height 138"),
    ] {
        let (text, mut found) = (document(), 0);
        assert_eq!(text.matches(right).count(), 1, "{right}");
        tell(&text.replace(right, wrong), |_, said, computed| found += usize::from(said != computed));
        assert_eq!(found, 1, "{wrong}");
    }
}

#[test]
fn every_number_between_the_tables_is_one_of_the_tables_or_of_the_entries() {
    let text = document();
    let mut known = BTreeSet::new();
    tell(&text, |_, _, computed| known.extend([computed]));
    let example = text.split("## A worked example").nth(1).unwrap();
    let (mut fenced, mut seen) = (false, 0);
    for line in example.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            let numbers = line.split(|c: char| !c.is_ascii_digit()).filter(|number| !number.is_empty());
            known.extend(numbers.map(str::to_owned));
        }
    }
    for line in example.lines().filter(|line| !line.starts_with(['|', '{'])) {
        for word in line.split(|c: char| !c.is_ascii_digit() && c != ',') {
            let number = word.trim_matches(',');
            if number.contains(',') {
                assert!(known.contains(&number.replace(',', "")), "{number}: {line}");
                seen += 1;
            }
        }
    }
    assert!(seen >= 15, "only {seen} numbers");
}

#[test]
fn every_test_that_the_document_names_is_there() {
    let text = document();
    let laws = text.split("## Laws").nth(1).unwrap().split("\n## ").next().unwrap();
    let (mut file, mut seen) = (None, 0);
    for name in laws.split('`').skip(1).step_by(2) {
        if Path::new(name).extension().is_some_and(|extension| extension == "rs") {
            let path = repository().join("crates").join("restake").join("tests").join(name);
            file = Some(std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}")));
        } else if let Some(source) = &file {
            assert!(source.contains(&format!("fn {name}(")), "no test {name}");
            seen += 1;
        }
    }
    assert!(seen >= 20, "only {seen} tests are named");
}
