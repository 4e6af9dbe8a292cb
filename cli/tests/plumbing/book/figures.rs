//! What is told of figures: units, whose shares are meant, drawings, and what pools over receipts can lose.

use serde_json::{Value, json};
use tapstake_ledger::Ledger;

use super::{Kept, outpoint};
use crate::support::{KEYS, run, stderr};

const SAT: u128 = 1_000_000;

#[test]
fn a_log_tells_rates_in_percent_amounts_with_units_and_whose_shares_are_meant() {
    let kept = Kept::new();
    kept.entry(&format!("reward 100 --service a --provider {} --height 101", KEYS[2]));
    kept.entry(&format!("provider commission {} 6% --service a", KEYS[2]));
    kept.entry(&format!("claim --commission {} --service a", KEYS[2]));
    let put_in = kept.entry(&format!("pool deposit l {} --holder =ann", 5_000 * SAT));
    let minted = put_in["shares"].as_str().unwrap().to_owned();
    kept.entry(&format!("pool redeem l {minted} --holder =ann"));
    kept.entry(&format!("exit {} --pool p --holder bob", 7 * SAT));
    kept.entry(&format!("end {} --by unbonding", outpoint(2)));
    kept.entry(&format!("return {} --amount 49000sat --height 400", outpoint(2)));
    let said = kept.text("log --last 99");
    for text in ["denomination", "leverage_limit", "commission 50000"] {
        assert!(!said.contains(text), "{text}: {said}");
    }
    for text in [
        "service a, pays in ua, slashing rate 10%, unbonding time 100 blocks, leverage limit 200%",
        ", service a, commission 5% of its rewards",
        ", service a, new commission 6% of its rewards, from the next height on",
        ", service a, reward 100 ua; commission 5 ua",
        ", service a; paid 5 ua; paid to ",
        &format!("put in {} shares of the pool beneath; shares {minted} of l", 5_000 * SAT),
        &format!("given up {minted} shares of l; shares {} of p", 5_000 * SAT),
        &format!("given up {} shares of p; exit 0; shares {} of p; worth now 7 sat", 7 * SAT, 7 * SAT),
        "came back 49000 sat",
    ] {
        assert!(said.contains(text), "{text}: {said}");
    }
    // Numbers are as the journal has them.
    assert_eq!(
        kept.json("log --kind set_commission")["entries"][0]["event"]["set_commission"]["commission"],
        60_000
    );
}

#[test]
fn a_log_that_finds_nothing_says_so() {
    let kept = Kept::new();
    for filter in ["--holder nobody", "--kind slash", "--last 0"] {
        assert_eq!(kept.text(&format!("log {filter}")).trim(), "no such entry", "{filter}");
        assert_eq!(kept.json(&format!("log {filter}"))["entries"], json!([]), "{filter}");
    }
}

/// What a plot has drawn: the values of its labels, and the pixels of each line's path, height by height.
struct Drawing {
    text: String,
}

impl Drawing {
    fn of(kept: &Kept, filter: &str) -> Self {
        let svg = kept.folder.path().join("figures.svg");
        kept.json(&format!("plot --out {} {filter}", svg.display()));
        Drawing { text: std::fs::read_to_string(svg).unwrap() }
    }

    fn between(&self, begin: &str, end: &str) -> Vec<String> {
        let parts = self.text.split(begin).skip(1);
        parts.map(|part| part.split_once(end).unwrap().0.to_owned()).collect()
    }

    fn paths(&self) -> Vec<String> {
        self.between("<path d=\"", "\"")
    }
}

#[test]
fn a_line_that_lies_on_another_is_dashed_and_so_is_its_name() {
    let kept = Kept::new();
    let drawing = Drawing::of(&kept, "");
    // The values of l and p, and the backing of p.
    let paths = drawing.paths();
    assert_eq!(paths[0], paths[1], "they coincide");
    let dashes = drawing.between("stroke-dasharray=\"", "\"");
    assert_eq!(dashes[..2], ["none", "8 8"]);
    // In the legend once more: a line for each name.
    assert_eq!(dashes[dashes.len() - 2..], ["none", "8 8"]);
}

#[test]
fn a_pool_over_receipts_alone_has_no_panel_of_backing_but_a_word_about_it() {
    let kept = Kept::new();
    let has = |filter: &str| {
        let text = Drawing::of(&kept, filter).text;
        (text.contains("reserves over receipts"), text.contains("No backing is drawn"))
    };
    assert_eq!(has("--pool l"), (false, true));
    assert_eq!(has("--pool p"), (true, false));
    assert_eq!(has(""), (true, false));
}

#[test]
fn a_state_that_only_lasts_for_an_entry_is_drawn_as_well() {
    let kept = Kept::new();
    kept.entry(&format!("end {} --by spent --height 110", outpoint(2)));
    kept.entry("pool make-good p 50000sat");
    // Down to two thirds and back at height 110, which is the last: the right edge.
    let paths = Drawing::of(&kept, "--pool p").paths();
    let backing = paths.last().unwrap();
    let verticals: Vec<&str> =
        backing.split('V').skip(1).map(|part| part.split('H').next().unwrap()).collect();
    let [first, least, most, ..] = verticals.as_slice() else { panic!("{backing}") };
    assert!(least != most && most == first, "{backing}");
}

#[test]
fn what_is_to_be_drawn_is_named_if_it_is_there_and_those_that_are_if_it_is_not() {
    let kept = Kept::new();
    let svg = kept.folder.path().join("book.svg");
    let refused = kept.refused(&format!("plot --out {} --pool q", svg.display()), "unknown-pool");
    let next = refused["next"].as_str().unwrap();
    assert!(next.contains("p, l") || next.contains("l, p"), "{refused}");
    assert!(!svg.exists());
}

#[test]
fn a_pool_over_receipts_loses_its_part_of_what_the_pool_beneath_loses() {
    let kept = Kept::new();
    kept.entry("pool choose l a 100%");
    kept.entry("pool choose l b 100%");
    kept.entry(&format!("pool deposit l {} --holder =ann", 30_000 * SAT));
    let risk = kept.json("risk --pool l --price 0.9");
    assert_eq!(risk["pools"], json!([]), "only this pool");
    let [over] = risk["pools_over_receipts"].as_array().unwrap().as_slice() else { panic!("{risk}") };
    assert_eq!((&over["pool"], &over["over"], &over["height"]), (&"l".into(), &"p".into(), &100.into()));
    assert_eq!((&over["nav"], &over["market"]), (&1_000_000.into(), &900_000.into()));
    assert_eq!(over["depeg"], json!({"discount": 100_000}));
    let exposure = &over["exposure"];
    assert_eq!((&exposure["value"], &exposure["nominal_sum"]), (&30_000.into(), &"60000".into()));
    // A tenth and the fees of the first stake, 10,150 of 150,000, and of the second, 5,150: a fifth of it is in l.
    let every = &over["every_provider"];
    assert_eq!((&every["loss"], &every["part"]), (&3_060.into(), &102_000.into()), "{over}");
    let p =
        over["providers"].as_array().unwrap().iter().find(|one| one["slashed"]["one"] == KEYS[2]).unwrap();
    assert_eq!(p["loss"], 2_030);
    // It comes about.
    let mut ledger = Ledger::open(&kept.file()).unwrap();
    let end = json!({"height": 101, "event": {"end_stake": {"stake": outpoint(1), "end": "unbonding"}}});
    ledger.append(serde_json::from_value(end).unwrap()).unwrap();
    let slash = json!({"height": 101, "event": {"slash": {"provider": KEYS[2]}}});
    ledger.append(serde_json::from_value(slash).unwrap()).unwrap();
    drop(ledger);
    let now = kept.json("risk --pool l")["pools_over_receipts"][0].clone();
    assert_eq!(now["exposure"]["value"], 30_000 - 2_030);
    let all = kept.json("risk");
    assert_eq!((all["pools"][0]["pool"].clone(), all["pools_over_receipts"][0].clone()), ("p".into(), now));
    let said = kept.text("risk --pool l --price 0.9");
    for text in ["l, over the receipts of p", "27970 sat for a", "those of pool p", "of its worth"] {
        assert!(said.contains(text), "{text}: {said}");
    }
    kept.refused("risk --pool q", "unknown-pool");
}

#[test]
fn a_pool_over_receipts_where_one_over_stakes_is_asked_for_says_what_works() {
    let kept = Kept::new();
    // What a deposit makes impossible at its height is not told of another pool's reward.
    kept.entry(&format!("pool deposit l {} --holder =ann --height 105", 5_000 * SAT));
    for (line, works) in [
        ("pool reward l 500sat", "tapstake book pool reward l --shares SHARES --from HOLDER"),
        ("pool reward l 500sat --height 110", "tapstake book pool reward p 500sat"),
        ("exit 5 --pool l --holder =ann", "tapstake book pool redeem l 5 --holder =ann"),
        ("exit --amount 5sat --pool l --holder =ann", "tapstake book pool redeem l SHARES --holder =ann"),
        ("finalise --pool l", "p"),
        ("pool take-reward l 5sat", "tapstake book pool take-reward p 5sat"),
        ("pool make-good l 5sat", "tapstake book pool make-good p 5sat"),
        ("pool write-down l 5sat", "tapstake book pool write-down p 5sat"),
        ("pool write-up l 5sat", "tapstake book pool write-up p 5sat"),
        ("pool take-cash l 5sat", "tapstake book pool take-cash p 5sat"),
        ("pool open m --over l --leverage-limit 100%", "--over p"),
        (&format!("mint {} --pool l --to bob", outpoint(1)), "--pool p --to bob"),
    ] {
        let refused = kept.refused(line, "pool-kind");
        assert_eq!(refused["message"], "pool l is over the receipts of p, not over stakes", "{line}");
        assert!(refused["next"].as_str().unwrap().contains(works), "{line}: {refused}");
    }
}

#[test]
fn an_export_that_cannot_have_its_folder_is_refused_by_a_rule() {
    let kept = Kept::new();
    let file = kept.folder.path().join("taken");
    std::fs::write(&file, "mine").unwrap();
    let refused = kept.refused(&format!("export --csv {}", file.display()), "file");
    assert!(refused["message"].as_str().unwrap().contains("taken"), "{refused}");
    assert_ne!(refused["next"], Value::Null, "{refused}");
    assert!(stderr(&run(&kept.line("export --csv /dev/null/x"))).contains("[file]"));
}

/// The units of the manual: how a number of a field is written, and in which unit.
fn units() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(crate::support::repository().join("docs").join("cli.md")).unwrap();
    let section = text.split("### Numbers of a book in JSON").nth(1).unwrap().split("\n#").next().unwrap();
    let mut units = Vec::new();
    for row in section.lines().filter(|line| line.starts_with("| ")) {
        let [_, _, written, fields, _] = row.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
            panic!("{row}")
        };
        let written = if written.ends_with("text") { "text" } else { written };
        // What a row leaves out is in another row.
        let fields = fields.replace("every `…_sat` but `nominal_sat`", "every `…_sat`");
        let names = fields.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
        units.extend(names.into_iter().map(|name| (name, written.to_owned())));
    }
    units
}

/// Every number, and every text of digits, with the names on the way to it, the nearest first.
fn numbers(value: &Value, way: &mut Vec<String>, found: &mut Vec<(Vec<String>, &'static str)>) {
    match value {
        Value::Number(_) => found.push((way.iter().rev().cloned().collect(), "number")),
        Value::String(text) => {
            let mut digits = text.bytes().filter(|byte| *byte != b'.').peekable();
            if digits.peek().is_some() && digits.all(|byte| byte.is_ascii_digit()) && text.len() < 60 {
                found.push((way.iter().rev().cloned().collect(), "text"));
            }
        }
        Value::Array(values) => values.iter().for_each(|value| numbers(value, way, found)),
        Value::Object(object) => {
            for (name, value) in object {
                way.push(name.clone());
                numbers(value, way, found);
                way.pop();
            }
        }
        _ => {}
    }
}

#[test]
fn every_number_in_the_json_of_a_book_is_in_the_manual_as_it_is_written() {
    let kept = Kept::new();
    kept.paid();
    let mut shown = vec![kept.json("claim --all --service a"), kept.json("risk --price 0.9")];
    for line in [
        "pool choose l a 50%".to_owned(),
        format!("pool deposit l {} --holder =ann", 5_000 * SAT),
        "exit --amount 500sat --pool p --holder bob".to_owned(),
        format!("reward 777 --service b --provider {}", KEYS[1]),
        format!("give-back --service b --provider {} --height 102", KEYS[1]),
        format!("allocate {} --service b --withdraw", outpoint(1)),
        format!("end {} --by unbonding --height 110", outpoint(2)),
        format!("return {} --amount 49000sat --height 300", outpoint(2)),
        "pool make-good p 5sat".to_owned(),
        "pool write-down p 995sat".to_owned(),
        "finalise --pool p".to_owned(),
        "exit --amount 50sat --pool p --holder bob".to_owned(),
    ] {
        shown.push(kept.json(&line));
    }
    let svg = kept.folder.path().join("book.svg");
    for line in [
        "show",
        "export",
        "log --last 99",
        "risk --price 1.1",
        "show --holder bob",
        "show --pool l",
        "show --pool p",
    ] {
        shown.push(kept.json(line));
    }
    shown.push(kept.json(&format!("plot --out {}", svg.display())));
    let mut found = Vec::new();
    shown.iter().for_each(|shown| numbers(shown, &mut Vec::new(), &mut found));
    let units = units();
    let told = |name: &str, written: &str| {
        units.iter().any(|(unit, how)| {
            how == written && (unit == name || (unit == "…_sat" && name.ends_with("_sat")))
        })
    };
    for (way, written) in &found {
        // Names of services, coins and holders are not in the manual, but what they are names in.
        assert!(way.iter().take(2).any(|name| told(name, written)), "{way:?} is a {written}");
    }
    assert!(found.len() > 200, "only {} numbers", found.len());
    // What the manual lists is there.
    for (name, written) in units.iter().filter(|(name, _)| !name.contains('…')) {
        let seen =
            found.iter().any(|(way, how)| how == written && way.iter().take(2).any(|step| step == name));
        let rare = ["premium", "slashed_at", "withdrawable_at", "reward", "flows", "exposure"]
            .contains(&name.as_str());
        assert!(seen || rare, "{name} as {written} is nowhere");
    }
}

#[test]
fn all_shares_of_a_holder_are_all() {
    let kept = Kept::new();
    let put_in = kept.entry("pool deposit l all --holder bob");
    assert_eq!(put_in["event"]["lrt_deposit"]["shares"], (50_000 * SAT).to_string());
    let minted = put_in["shares"].clone();
    assert_eq!(
        kept.entry("transfer all --pool l --from bob --to cid")["event"]["lrt_transfer"]["shares"],
        minted
    );
    assert_eq!(kept.entry("pool redeem l all --holder cid")["shares"], (50_000 * SAT).to_string());
    kept.entry("transfer all --pool p --from cid --to bob");
    assert_eq!(kept.entry("exit all --pool p --holder bob")["quoted_sat"], 50_000);
    // Of nothing, all is nothing.
    for line in [
        "exit all --pool p --holder bob",
        "pool redeem l all --holder cid",
        "transfer all --pool p --from cid --to ann",
    ] {
        kept.refused(line, "nothing");
    }
    for line in ["exit ALL --pool p --holder bob", "exit 1.5 --pool p --holder bob"] {
        let said = stderr(&run(&kept.line(line)));
        assert!(said.contains("a whole number, or all"), "{line}: {said}");
    }
}

#[test]
fn what_changes_nothing_or_would_be_mistaken_is_not_recorded() {
    let kept = Kept::new();
    let before = std::fs::read(kept.file()).unwrap();
    for (line, said) in [
        ("transfer 5 --pool p --from bob --to bob", "bob would give shares to itself"),
        ("pool open lrt:x --unbonding-time 9", "names that begin with lrt: are accounts of pools"),
        (
            "pool open lrt:x --over p --leverage-limit 100%",
            "names that begin with lrt: are accounts of pools",
        ),
    ] {
        let refused = run(&kept.line(line));
        assert_eq!(refused.status.code(), Some(2), "{line}");
        assert!(stderr(&refused).contains(said), "{line}: {}", stderr(&refused));
    }
    assert_eq!(std::fs::read(kept.file()).unwrap(), before);
}

#[test]
fn a_folder_is_no_book_by_a_rule() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["show", "audit", "pool open p --unbonding-time 9"] {
        let refused = crate::support::error(&format!("book {command} --book {}", folder.path().display()), 1);
        assert_eq!(
            (&refused["rule"], &refused["next"]),
            (&"file".into(), &"give the name of a file".into()),
            "{command}"
        );
    }
}
