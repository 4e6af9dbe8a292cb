//! `tapstake book repair`, and what a book that is not whole is said to need.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::{error, json as json_of, run, stdout};

/// A book of four pools.
struct Kept {
    folder: tempfile::TempDir,
}

impl Kept {
    fn new() -> Self {
        let kept = Kept { folder: tempfile::tempdir().unwrap() };
        kept.json("init");
        for pool in ["a", "b", "c", "d"] {
            kept.json(&format!("pool open {pool} --unbonding-time 9"));
        }
        kept
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self) -> Vec<u8> {
        fs::read(self.at("book.jsonl")).unwrap()
    }

    fn write(&self, bytes: &[u8]) {
        fs::write(self.at("book.jsonl"), bytes).unwrap();
    }

    fn line(&self, line: &str) -> String {
        format!("book {line} --book {}", self.at("book.jsonl").display())
    }

    fn json(&self, line: &str) -> Value {
        json_of(&self.line(line))
    }

    /// A refusal by a rule, which has left the journal as it was; what to do next.
    fn refused(&self, line: &str, code: i32, rule: &str) -> String {
        let before = fs::read(self.at("book.jsonl")).ok();
        let refused = error(&self.line(line), code);
        assert_eq!(refused["rule"], rule, "{line}: {refused}");
        assert_eq!(fs::read(self.at("book.jsonl")).ok(), before, "{line}");
        refused["next"].as_str().unwrap().to_owned()
    }
}

#[test]
fn a_damaged_end_is_cut_off_after_a_question_and_saved() {
    let kept = Kept::new();
    let whole = kept.read();
    let nothing = kept.json("repair");
    assert_eq!((&nothing["entries"], &nothing["lost"], nothing.get("cut")), (&4.into(), &0.into(), None));
    for (index, garbage) in [(true, &b"garbage\n"[..]), (false, b"garbage\n{\"counter\":99")] {
        if !index {
            fs::remove_file(kept.at("book.jsonl.index")).unwrap();
        }
        kept.write(&[&whole[..], garbage].concat());
        let next = kept.refused("show", 3, "journal-hash");
        assert!(next.contains("tapstake book repair"), "{next}");
        let asked = error(&kept.line("repair"), 1);
        let told = if index { "nobody was told" } else { "no index tells" };
        let message = asked["message"].as_str().unwrap();
        for said in [told, "up to entry 4", "from line 6 on", &format!("{} bytes", garbage.len())] {
            assert!(message.contains(said), "{message}");
        }
        assert_eq!(kept.refused("repair", 1, "confirmation"), "give --yes");
        let cut = kept.json("repair --yes");
        assert_eq!((&cut["entries"], &cut["cut"]["line"]), (&4.into(), &6.into()), "{cut}");
        assert_eq!(cut["cut"]["bytes"], garbage.len(), "{cut}");
        assert_eq!(fs::read(cut["cut"]["saved"].as_str().unwrap()).unwrap(), garbage);
        assert_eq!(kept.read(), whole);
        assert_eq!(kept.json("audit")["head"], cut["head"]);
    }
    kept.write(&[&whole[..], b"{"].concat());
    let shown = stdout(&run(&kept.line("repair --yes")));
    assert!(shown.contains("1 bytes, from line 6 on") && shown.contains("book.jsonl.cut-6-3"), "{shown}");
}

#[test]
fn acknowledged_entries_are_lost_only_by_their_number() {
    let kept = Kept::new();
    let whole = String::from_utf8(kept.read()).unwrap();
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    // An older copy of the journal alone, and a line in the middle that is damaged.
    let damaged = whole.replacen("\"pool\":\"c\"", "\"pool\":\"x\"", 1);
    let index = fs::read(kept.at("book.jsonl.index")).unwrap();
    for (content, rule, cut) in
        [(lines[..3].concat(), "journal-shortened", 0), (damaged, "journal-hash", lines[3..].concat().len())]
    {
        fs::write(kept.at("book.jsonl.index"), &index).unwrap();
        kept.write(content.as_bytes());
        let next = kept.refused("show", 3, rule);
        assert!(next.contains("restore") && next.contains("tapstake book repair"), "{next}");
        for wrong in ["repair --yes", "repair --yes --lose 1", "repair --yes --lose 3"] {
            let next = kept.refused(wrong, 1, "confirmation");
            assert!(next.contains("restore") && next.ends_with("tapstake book repair --lose 2"), "{next}");
        }
        assert_eq!(kept.refused("repair --lose 2", 1, "confirmation"), "give --yes");
        let repaired = kept.json("repair --lose 2 --yes");
        assert_eq!((&repaired["entries"], &repaired["lost"]), (&2.into(), &2.into()), "{repaired}");
        assert_eq!(repaired["cut"]["bytes"].as_u64().unwrap_or(0), cut as u64, "{repaired}");
        assert_eq!(kept.json("audit")["entries"], 2);
        kept.json("pool open e --unbonding-time 9");
    }
    assert_eq!(run(&kept.line("repair --lose 1")).status.code(), Some(2), "nothing is to be lost");
}

#[test]
fn what_is_no_whole_book_names_the_way_on() {
    let kept = Kept::new();
    let whole = kept.read();
    kept.write(&[b"x", &whole[1..]].concat());
    for command in ["show", "repair --yes"] {
        let next = kept.refused(command, 3, "journal-hash");
        assert!(next.contains("line 1 of any copy"), "{next}");
    }
    fs::remove_file(kept.at("book.jsonl.index")).unwrap();
    let next = kept.refused("show", 1, "file");
    assert!(next.contains("--book"), "{next}");
    kept.write(b"");
    for command in ["show", "init", "repair --yes"] {
        let next = kept.refused(command, 1, "file");
        assert!(next.contains("remove the empty file"), "{next}");
    }
    kept.write(&whole);
    kept.json("show");
    fs::remove_file(kept.at("book.jsonl")).unwrap();
    for command in ["show", "init", "repair --yes"] {
        let next = kept.refused(command, 1, "file");
        assert!(next.contains("restore the journal") && next.contains("move the index away"), "{next}");
    }
    kept.write(&whole);
    assert_eq!(kept.refused("repair --yes --network signet", 1, "network"), "give the --network of the book");
}

/// A line that was changed, and how it was.
fn damaged(kept: &Kept) -> (String, [&'static str; 2]) {
    let whole = String::from_utf8(kept.read()).unwrap();
    let [is, was] = ["\"pool\":\"x\"", "\"pool\":\"c\""];
    kept.write(whole.replacen(was, is, 1).as_bytes());
    (whole, [is, was])
}

#[test]
fn a_changed_byte_is_mended_by_hand_and_the_hashes_tell_whether_it_is_right() {
    let kept = Kept::new();
    let head = kept.json("audit")["head"].clone();
    let (whole, [is, was]) = damaged(&kept);
    let next = kept.refused("show", 3, "journal-hash");
    assert!(next.contains("mended by hand, as docs/cli.md says"), "{next}");
    let asked = kept.refused("repair", 1, "confirmation");
    assert!(
        asked.contains("mend line 4 by hand, as docs/cli.md says, or tapstake book repair --lose 2"),
        "{asked}"
    );
    // In a copy, which has no index.
    for (letter, right) in [("d", false), ("c", true)] {
        let mended = String::from_utf8(kept.read()).unwrap().replacen(is, &was.replace('c', letter), 1);
        fs::write(kept.at("copy.jsonl"), mended).unwrap();
        let audit = format!("book audit --book {}", kept.at("copy.jsonl").display());
        match right {
            true => assert_eq!(json_of(&audit)["head"], head),
            false => assert_eq!(error(&audit, 3)["rule"], "journal-hash"),
        }
    }
    let broken = kept.read();
    fs::rename(kept.at("copy.jsonl"), kept.at("book.jsonl")).unwrap();
    assert_eq!((kept.json("audit")["head"].clone(), kept.read()), (head.clone(), whole.clone().into_bytes()));

    // After a repair, from what it has saved.
    kept.write(&broken);
    let cut = kept.json("repair --lose 2 --yes");
    let saved = fs::read_to_string(cut["cut"]["saved"].as_str().unwrap()).unwrap();
    kept.write(&[&kept.read()[..], saved.replacen(is, was, 1).as_bytes()].concat());
    assert_eq!((kept.json("audit")["head"].clone(), kept.read()), (head, whole.into_bytes()));
    assert_eq!(kept.json("pool open e --unbonding-time 9 --expect 5")["entries"][0]["counter"], 5);
}

#[test]
fn what_a_repair_has_cut_off_is_entered_again_by_its_lines() {
    let kept = Kept::new();
    let state = |kept: &Kept| {
        let shown = kept.json("show");
        ["height", "entries", "services", "stakes", "pools", "pools_over_receipts"]
            .map(|part| shown[part].clone())
    };
    let key = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
    let terms = "--denomination ua --slashing-rate 0.1 --unbonding-time 9 --leverage-limit 150%";
    for line in [
        format!("service add a {terms} --height 100"),
        format!("provider add {key} --service a --commission 5%"),
        format!("reward 700 --service a --provider {key} --height 110"),
        "pool open l --over a --leverage-limit 120% --height 120".to_owned(),
        "pool choose l a 50%".to_owned(),
    ] {
        kept.json(&line);
    }
    let before = state(&kept);
    damaged(&kept);
    let repaired = run(&kept.line("repair --lose 7 --yes"));
    assert!(
        stdout(&repaired).contains("7 acknowledged entries: enter them again from there"),
        "{}",
        stdout(&repaired)
    );
    let saved = fs::read_to_string(kept.at("book.jsonl.cut-4-1")).unwrap();
    for (n, line) in saved.lines().enumerate() {
        let line: Value = serde_json::from_str(line).unwrap();
        let text = |pointer: &str| match line.pointer(&format!("/event{pointer}")).unwrap() {
            Value::String(text) => text.clone(),
            number => number.to_string(),
        };
        let (kind, _) = line["event"].as_object().unwrap().iter().next().unwrap();
        let command = match kind.as_str() {
            // What the damaged line said is known otherwise.
            "open_pool" if n == 0 => "pool open c --unbonding-time 9".to_owned(),
            "open_pool" => {
                format!(
                    "pool open {} --unbonding-time {}",
                    text("/open_pool/pool"),
                    text("/open_pool/unbonding_time")
                )
            }
            "register_service" => format!("service add {} {terms}", text("/register_service/service")),
            "register_provider" => format!(
                "provider add {} --service {} --commission {}ppm",
                text("/register_provider/provider"),
                text("/register_provider/service"),
                text("/register_provider/commission"),
            ),
            "reward" => format!(
                "reward {} --service {} --provider {}",
                text("/reward/amount"),
                text("/reward/service"),
                text("/reward/provider")
            ),
            "open_lrt" => format!(
                "pool open {} --over {} --leverage-limit {}ppm",
                text("/open_lrt/pool"),
                text("/open_lrt/over"),
                text("/open_lrt/leverage_limit")
            ),
            "choose_service" => format!(
                "pool choose {} {} {}ppm",
                text("/choose_service/pool"),
                text("/choose_service/service"),
                text("/choose_service/part")
            ),
            other => panic!("{other}"),
        };
        kept.json(&format!("{command} --height {} --expect {}", line["height"], line["counter"]));
    }
    assert_eq!(state(&kept), before);
    assert_eq!(kept.json("audit")["entries"], 9);
}
