//! `tapstake book`: what is typed wrong, a book that is not there, and what one says of what it has.

use std::path::PathBuf;

use bitcoin::Network;
use serde_json::{Value, json};
use tapstake_ledger::Ledger;

use crate::equivocation::{file, proof, vote};
use crate::support::{KEYS, PROVIDER, TempFile, error, json as json_of, run, stderr, stdout};

#[test]
fn what_makes_no_sense_is_a_usage_error() {
    for line in [
        "book",
        "book allocate --service a --shared",
        "book allocate 00:0 --service a --shared",
        "book reward -5 --service a --provider",
        "book transfer 1 --pool two words --from a --to b",
        "book exit --pool a --holder b",
        "book exit 5 --amount 5sat --pool a --holder b",
        "book mint --pool a --to b",
        "book risk --price 1,5",
        "book audit --known 5",
        "book audit --known 5:00",
        "book end --due",
        "book expand",
        "book expand a b",
        "book give-back --service a",
        "book claim",
        "book claim --service a",
        "book claim --owner text:ann --service a",
        "book claim --all --owner ann",
        "book pool write-down a",
        "book pool write-up a",
        "book pool take-cash a",
        "book revive",
        "book finalise 5",
        "book pool open a",
        "book import",
    ] {
        assert_eq!(run(line).status.code(), Some(2), "{line}");
    }
    let both = format!("book claim --service a --commission {PROVIDER} {}:0", "00".repeat(32));
    assert_eq!(run(&both).status.code(), Some(2));
    for one in [format!("--commission {PROVIDER} --service a"), format!("{}:0", "00".repeat(32))] {
        assert_eq!(run(&format!("book claim --all {one}")).status.code(), Some(2), "{one}");
    }
}

#[test]
fn a_book_that_is_not_there_is_said_so_and_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("none.jsonl");
    for command in ["show", "audit", "log", "risk", "export", "pool open a --unbonding-time 5"] {
        let refused = error(&format!("book {command} --book {}", file.display()), 1);
        assert_eq!(refused["rule"], "file", "{refused}");
        assert_eq!(refused["next"], "tapstake book init begins one");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// A book in a folder of its own, which goes with it.
struct Kept {
    folder: tempfile::TempDir,
}

fn outpoint(n: u8) -> String {
    format!("{}:0", format!("{n:02x}").repeat(32))
}

impl Kept {
    /// Two services with two providers each, and two stakes, the first of 100,000 sat and the second of 50,000. The first counts for
    /// both services, the second for `a`. Both are in a pool, for `=ann` and for `bob`, and there is a pool over its receipts.
    fn new() -> Self {
        let kept = Kept { folder: tempfile::tempdir().unwrap() };
        let [p, q] = [KEYS[2], KEYS[1]];
        let terms = |coin: &str| {
            json!({
                "denomination": coin, "slashing_rate": "0.1", "unbonding_time": 100, "leverage_limit": 2_000_000,
            })
        };
        let stake = |n: u8, value: u64, providers: &[&str]| {
            json!({"admit_stake": {"stake": {
                "outpoint": outpoint(n), "spends": [outpoint(n + 100)], "unbonding": outpoint(n + 200),
                "value": value, "slashed": value / 10, "refund": value - value / 10 - 100,
                "unbonding_refund": value - value / 10 - 150, "owner": "text:ann", "providers": providers,
                "inclusion_height": 90, "expires_at": 10_000, "unbonding_time": 100,
            }}})
        };
        let mut events = Vec::new();
        for (service, coin) in [("a", "ua"), ("b", "ub")] {
            events.push(json!({"register_service": {"service": service, "terms": terms(coin)}}));
            for (provider, commission) in [(p, 50_000), (q, 0)] {
                let serves = json!({"service": service, "provider": provider, "commission": commission});
                events.push(json!({"register_provider": serves}));
            }
        }
        events.extend([stake(1, 100_000, &[p]), stake(2, 50_000, &[q])]);
        for (n, service) in [(1, "a"), (1, "b"), (2, "a")] {
            let shared = json!({"stake": outpoint(n), "service": service, "allocation": "shared"});
            events.push(json!({"allocate": shared}));
        }
        events.push(json!({"open_pool": {"pool": "p", "unbonding_time": 100}}));
        for (n, holder) in [(1, "=ann"), (2, "bob")] {
            events.push(json!({"mint": {"pool": "p", "holder": holder, "stake": outpoint(n)}}));
        }
        events.push(json!({"open_lrt": {"pool": "l", "over": "p", "leverage_limit": 2_000_000}}));
        let mut ledger = Ledger::create(&kept.file(), Network::Regtest).unwrap();
        for event in events {
            ledger.append(serde_json::from_value(json!({"height": 100, "event": event})).unwrap()).unwrap();
        }
        kept
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("book.jsonl")
    }

    fn line(&self, line: &str) -> String {
        format!("book {line} --book {}", self.file().display())
    }

    fn json(&self, line: &str) -> Value {
        json_of(&self.line(line))
    }

    /// What the only entry of a line is and has brought about.
    fn entry(&self, line: &str) -> Value {
        let made = self.json(line);
        let [entry] = made["entries"].as_array().unwrap().as_slice() else { panic!("{line}: {made}") };
        entry.clone()
    }

    /// A refusal by a rule, which has left the book as it was.
    fn refused(&self, line: &str, rule: &str) -> Value {
        let before = std::fs::read(self.file()).unwrap();
        let refused = error(&self.line(line), 1);
        assert_eq!(refused["rule"], rule, "{line}: {refused}");
        assert_eq!(std::fs::read(self.file()).unwrap(), before, "{line}");
        refused
    }

    fn text(&self, line: &str) -> String {
        stdout(&run(&self.line(line)))
    }
}

fn entries_of(made: &Value, field: &str) -> Vec<Value> {
    made["entries"].as_array().unwrap().iter().map(|entry| entry[field].clone()).collect()
}

#[test]
fn a_height_two_weeks_ahead_is_taken_and_one_block_more_is_asked_about() {
    let kept = Kept::new();
    let end = |height: u32| format!("end {} --by unbonding --height {height}", outpoint(1));
    let refused = kept.refused(&end(2_117), "height-ahead");
    let message = refused["message"].as_str().unwrap();
    for said in ["height 2117", "2017 blocks", "about 14 days", "height 100"] {
        assert!(message.contains(said), "{message}");
    }
    assert!(refused["next"].as_str().unwrap().contains("--yes"), "{refused}");
    // What ends by a mistyped height would have gone on.
    kept.refused("end --due --height 100000", "height-ahead");
    assert_eq!(kept.entry(&end(2_116))["height"], 2_116);
    assert_eq!(kept.entry("pool reward p 5sat --height 9000 --yes")["height"], 9_000);
    // A height that is not given is that of the last entry.
    assert_eq!(kept.entry("pool reward p 5sat")["height"], 9_000);
    let ended = kept.json("end --due --height 10000");
    assert_eq!(entries_of(&ended, "kind"), ["end_stake"]);
}

#[test]
fn the_first_entry_of_a_book_may_be_at_any_height() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("book.jsonl");
    json_of(&format!("book init --book {}", file.display()));
    let open = format!("book pool open p --unbonding-time 9 --height 900000 --book {}", file.display());
    assert_eq!(json_of(&open)["entries"][0]["height"], 900_000);
}

#[test]
fn a_reward_at_the_height_at_which_a_stake_began_to_count_names_the_next() {
    let kept = Kept::new();
    let reward = format!("reward 1000 --service a --provider {}", KEYS[1]);
    let refused = kept.refused(&reward, "reward-after-change");
    assert_eq!(refused["next"], "give --height 101, or more");
    assert_eq!(kept.entry(&format!("{reward} --height 101"))["height"], 101);
}

#[test]
fn what_has_left_a_service_is_shown_until_the_service_relies_on_it_no_more() {
    let kept = Kept::new();
    let left = kept.entry(&format!("allocate {} --service a --withdraw --height 110", outpoint(1)));
    assert_eq!(left["leaving"], json!({"a": {"nominal_sat": "100000", "until": 210}}));
    kept.refused(&format!("allocate {} --service a --withdraw", outpoint(1)), "not-allocated");
    let shown = kept.json("show");
    let (stake, service) = (&shown["stakes"][0], &shown["services"][0]);
    assert_eq!(stake["leaving"], json!({"a": {"nominal_sat": "100000", "until": 210}}));
    assert_eq!(stake["nominal_sat"], json!({"b": "100000"}));
    assert_eq!(stake["leverage"], 2_000_000, "what is leaving counts with the rest");
    assert_eq!((&service["leaving"], &service["leaving_slashable_sat"]), (&1.into(), &10_150.into()));
    assert_eq!(shown["services"][1]["leaving"], 0);
    assert_eq!(kept.json("export")["stakes"][0]["leaving"], stake["leaving"]);
    let said = kept.text("show");
    assert!(said.contains("still relies on") && said.contains("height 210"), "{said}");
    kept.json(&format!("export --csv {}", kept.folder.path().join("csv").display()));
    let leaving = std::fs::read_to_string(kept.folder.path().join("csv/leaving.csv")).unwrap();
    assert_eq!(leaving, format!("stake,service,nominal_sat,until\r\n{},a,100000,210\r\n", outpoint(1)));

    kept.entry("pool reward p 5sat --height 209");
    assert_eq!(kept.json("show")["services"][0]["leaving"], 1);
    kept.entry("pool reward p 5sat --height 210");
    let shown = kept.json("show");
    assert_eq!((&shown["services"][0]["leaving"], &shown["stakes"][0]["leaving"]), (&0.into(), &json!({})));
    assert!(!kept.text("show").contains("still relies on"));
}

#[test]
fn a_stake_is_shown_where_it_is_in_its_life() {
    let kept = Kept::new();
    let seen = |n: usize| {
        let stake = kept.json("show")["stakes"][n].clone();
        (stake["status"].as_str().unwrap().to_owned(), stake["withdrawable_at"].clone())
    };
    assert_eq!(seen(0), ("active".to_owned(), Value::Null));
    let ended = kept.entry(&format!("end {} --by unbonding --height 110", outpoint(1)));
    assert_eq!(ended["leaving"]["b"], json!({"nominal_sat": "100000", "until": 210}), "{ended}");
    assert_eq!((&ended["pool"], &ended["missing_sat"]), (&"p".into(), &0.into()));
    assert_eq!(seen(0), ("unbonding".to_owned(), 210.into()));
    let early = kept.refused(&format!("return {} --amount 99000sat", outpoint(1)), "still-locked");
    assert_eq!(early["next"], "give --height 210, or more");
    let back = kept.entry(&format!("return {} --amount 99000sat --height 210", outpoint(1)));
    assert_eq!((&back["missing_sat"], &back["leaving"]), (&1_000.into(), &json!({})), "the fees");
    assert_eq!(seen(0), ("returned".to_owned(), Value::Null));
    // An expired stake may still be unbonded, and is gone at last.
    kept.entry("end --due --height 10000 --yes");
    assert_eq!(seen(1), ("expired".to_owned(), 10_100.into()));
    kept.entry(&format!("end {} --by unbonding --height 10020", outpoint(2)));
    assert_eq!(seen(1), ("unbonding".to_owned(), 10_120.into()));
    kept.entry(&format!("end {} --by spent", outpoint(2)));
    assert_eq!(seen(1), ("spent".to_owned(), Value::Null));
}

#[test]
fn what_reaches_nobody_goes_back_to_its_service() {
    let kept = Kept::new();
    let (give, at) = (format!("give-back --service b --provider {}", KEYS[1]), "--height 110");
    kept.refused(&give, "nothing-owed");
    // Nothing is staked behind that provider at b.
    kept.entry(&format!("reward 777 --service b --provider {} {at}", KEYS[1]));
    let provider = || kept.json("show")["services"][1]["providers"][1].clone();
    assert_eq!((&provider()["held"], &provider()["given_back"]), (&"777".into(), &"0".into()));
    let given = kept.entry(&give);
    assert_eq!((&given["given_back"], &given["denomination"]), (&"777".into(), &"ub".into()));
    assert_eq!((&provider()["held"], &provider()["given_back"]), (&"0".into(), &"777".into()));
    kept.refused(&give, "nothing-owed");
    kept.refused(&format!("give-back --service c --provider {}", KEYS[1]), "unknown-service");
    // What a sat has earned is a decimal.
    kept.entry(&format!("reward 250000 --service a --provider {} {at}", KEYS[1]));
    assert_eq!(kept.json("show")["services"][0]["providers"][1]["per_sat"], "5");
    kept.entry(&format!("reward 1 --service a --provider {} {at}", KEYS[1]));
    assert_eq!(kept.json("show")["services"][0]["providers"][1]["per_sat"], "5.00002");
    assert!(kept.text("show").contains("5.00002"));
}

#[test]
fn what_a_pool_misses_is_made_good_or_borne_by_shares_and_exits() {
    let kept = Kept::new();
    let shares = 25_000u128 * 1_000_000;
    kept.entry(&format!("exit {shares} --pool p --holder bob --height 110"));
    let nothing = kept.refused("pool write-down p 1sat", "not-missing");
    assert!(nothing["next"].as_str().unwrap().contains("nothing is missing in p"), "{nothing}");
    kept.entry(&format!("end {} --by spent", outpoint(2)));
    let pool = || kept.json("show")["pools"][0].clone();
    assert_eq!((&pool()["missing_sat"], &pool()["backing_ratio"]), (&50_000.into(), &666_666.into()));
    for (line, rule) in [
        ("pool write-down p 50001sat", "not-missing"),
        ("pool make-good p 50001sat", "not-missing"),
        ("pool write-down p 0sat", "nothing"),
        ("pool write-down q 5sat", "unknown-pool"),
        ("finalise --pool p --height 210", "backing"),
    ] {
        kept.refused(line, rule);
    }
    let good = kept.entry("pool make-good p 20000sat");
    assert_eq!((&good["missing_sat"], &good["borne"]), (&30_000.into(), &json!([])));
    // 30,000 of the 150,000 that are owed: a fifth of the shares' 125,000, and of the exit's 25,000.
    let borne = kept.entry("pool write-down p 30000sat");
    assert_eq!(
        borne["borne"],
        json!([{"pool": "p", "from_shares_sat": 25_000, "from_exits_sat": 5_000}]),
        "{borne}"
    );
    let pool = pool();
    assert_eq!((&pool["missing_sat"], &pool["assets_sat"]), (&0.into(), &100_000.into()));
    assert_eq!(pool["queued_sat"], 20_000);
}

#[test]
fn all_exits_that_are_due_are_paid_in_their_order_as_far_as_there_is_cash() {
    let kept = Kept::new();
    let none = kept.refused("finalise --pool p", "nothing");
    assert!(none["message"].as_str().unwrap().contains("no exit waits"), "{none}");
    for (height, sat) in [(110, 10_000), (110, 20_000), (111, 30_000), (300, 5_000)] {
        kept.entry(&format!("exit --amount {sat}sat --pool p --holder =ann --height {height}"));
    }
    let waits = kept.refused("finalise 3 --pool p", "unbonding");
    assert_eq!(waits["next"], "give --height 400, or more");
    let behind = kept.refused("finalise 1 --pool p", "not-first");
    assert!(behind["next"].as_str().unwrap().contains("tapstake book finalise --pool p"), "{behind}");
    kept.refused("finalise --pool p", "cash");
    kept.refused("finalise 9 --pool p", "unknown-exit");
    kept.entry(&format!("end {} --by unbonding", outpoint(2)));
    kept.entry(&format!("return {} --amount 50000sat --height 400", outpoint(2)));
    // 50,000 pay the first two, and not the third; the fourth waits behind it.
    let paid = run(&kept.line("finalise --pool p --json"));
    let said = stderr(&paid);
    assert!(said.contains("exit 2 is due and not paid") && said.contains("30000 sat are due"), "{said}");
    let paid: Value = serde_json::from_str(&stdout(&paid)).unwrap();
    assert_eq!(entries_of(&paid, "exit"), [0, 1]);
    assert_eq!(entries_of(&paid, "paid_sat"), [10_000, 20_000]);
    assert_eq!(entries_of(&paid, "paid_to"), ["=ann", "=ann"]);
    kept.refused("finalise --pool p", "cash");
    let queue = kept.text("show");
    assert!(queue.contains("height 211") && queue.contains("30000"), "{queue}");
    kept.entry("pool reward p 20000sat");
    let paid = kept.json("finalise --pool p");
    assert_eq!(entries_of(&paid, "exit"), [2, 3]);
    assert_eq!(kept.json("audit")["verdict"], "the books balance");
}

#[test]
fn an_exit_that_is_not_due_is_no_part_of_those_that_are() {
    let kept = Kept::new();
    kept.entry("pool reward p 50000sat --height 101");
    for height in [110, 111] {
        kept.entry(&format!("exit --amount 10000sat --pool p --holder bob --height {height}"));
    }
    let early = kept.refused("finalise --pool p --height 209", "unbonding");
    assert_eq!(early["next"], "give --height 210, or more");
    let paid = run(&kept.line("finalise --pool p --height 210 --json"));
    assert_eq!(stderr(&paid), "", "an exit that is not due is no warning");
    let paid: Value = serde_json::from_str(&stdout(&paid)).unwrap();
    assert_eq!(entries_of(&paid, "exit"), [0]);
    assert_eq!(kept.entry("finalise 1 --pool p --height 211")["paid_sat"], 10_000);
}

#[test]
fn csv_files_have_pools_over_receipts_and_no_formula() {
    let kept = Kept::new();
    kept.entry("pool choose l a 50%");
    kept.entry("pool choose l b 100%");
    let shares = 40_000u128 * 1_000_000;
    let moved = kept.entry(&format!("pool deposit l {shares} --holder =ann"));
    let moved = moved["shares"].as_str().unwrap().to_owned();
    kept.entry("exit --amount 10000sat --pool p --holder =ann");
    let folder = kept.folder.path().join("csv");
    kept.json(&format!("export --csv {}", folder.display()));
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let rows = |name: &str| read(name).lines().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(
        rows("pools_over_receipts.csv"),
        [
            "pool,over,supply,assets_shares,value_sat,nominal_sum_sat,leverage_ppm".to_owned(),
            format!("l,p,{moved},{shares},40000,60000,1500000"),
        ]
    );
    assert_eq!(
        rows("chosen_services.csv"),
        ["pool,service,part_ppm,nominal_sat", "l,a,500000,20000", "l,b,1000000,40000"]
    );
    let holders = rows("holders.csv");
    assert!(holders.contains(&format!("l,'=ann,{moved}")), "{holders:?}");
    assert!(holders.contains(&format!("p,'=ann,{}", 50_000u128 * 1_000_000)), "{holders:?}");
    assert!(rows("exits.csv")[1].starts_with("p,0,'=ann,"), "{:?}", rows("exits.csv"));
    assert!(rows("pools.csv")[0].contains(",missing_sat,"));
    for file in std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()) {
        let text = std::fs::read_to_string(&file).unwrap();
        let begins = |field: &str| field.starts_with(['=', '+', '-', '@', '\t', '\r']);
        assert!(!text.split("\r\n").flat_map(|row| row.split(',')).any(begins), "{}", file.display());
    }
    // JSON has the names as they are.
    assert_eq!(kept.json("export")["pools_over_receipts"][0]["holders"], json!({"=ann": moved}));
    let shown = kept.text("show");
    assert!(shown.contains("a 50%, b 100%"), "{shown}");
}

#[test]
fn a_price_is_held_against_the_value_as_far_as_their_difference_fits() {
    let kept = Kept::new();
    for (price, market) in [("0.9", 900_000u64), ("90%", 900_000), ("4295", 4_295_000_000)] {
        let risk = kept.json(&format!("risk --price {price}"));
        assert_eq!(risk["pools"][0]["market"], market, "{price}");
    }
    let beyond = kept.refused("risk --price 4296", "risk");
    assert!(beyond["next"].as_str().unwrap().contains("at most 4295 times"), "{beyond}");
}

impl Kept {
    /// Tries a line, makes it, and gives what both have shown.
    fn tried_and_made(&self, line: &str) -> Value {
        let index = || std::fs::read(self.folder.path().join("book.jsonl.index")).unwrap();
        let head = self.json("show")["head"].clone();
        let (before, rows) = (std::fs::read(self.file()).unwrap(), index());
        let mut tried = self.json(&format!("{line} --dry-run"));
        let said = self.text(&format!("{line} --dry-run"));
        assert!(said.contains("dry run") && said.contains("nothing is written"), "{line}: {said}");
        assert_eq!(std::fs::read(self.file()).unwrap(), before, "{line}");
        assert_eq!(index(), rows, "{line}");
        let made = self.json(line);
        assert_ne!(std::fs::read(self.file()).unwrap(), before, "{line}");
        assert_eq!(tried["dry_run"], true, "{line}");
        assert_eq!(tried["head"], head, "{line}: the last line is the one that was");
        tried.as_object_mut().unwrap().remove("dry_run");
        tried["head"] = made["head"].clone();
        assert_eq!(tried, made, "{line}");
        made
    }
}

#[test]
fn a_dry_run_shows_what_would_be_made_and_writes_nothing() {
    let kept = Kept::new();
    let [first, second] = [outpoint(1), outpoint(2)];
    let (p, q, shares) = (KEYS[2], KEYS[1], 20_000u128 * 1_000_000);
    let set = "--denomination uc --slashing-rate 0.1 --unbonding-time 100 --leverage-limit 200%";
    for line in [
        format!("service add c {set} --height 110"),
        format!("provider add {q} --service c"),
        format!("provider commission {q} 6% --service c"),
        format!("reward 500000 --service a --provider {q} --height 111"),
        format!("reward 777 --service b --provider {q}"),
        format!("claim {second} --service a"),
        format!("give-back --service b --provider {q}"),
        format!("allocate {first} --service b --withdraw"),
        "pool reward p 6000sat".to_owned(),
        "pool choose l a 50%".to_owned(),
        "pool leave l a".to_owned(),
        format!("pool deposit l {shares} --holder =ann"),
        "pool open other --unbonding-time 9".to_owned(),
        format!("transfer {shares} --pool p --from =ann --to cid"),
        "exit --amount 5000sat --pool p --holder bob".to_owned(),
        format!("reward 1000000 --service a --provider {p}"),
        format!("claim --commission {p} --service a"),
        format!("end {second} --by unbonding"),
        "finalise --pool p --height 211".to_owned(),
        format!("return {second} --amount 49000sat"),
        "pool make-good p 400sat".to_owned(),
        "pool write-down p 600sat".to_owned(),
        format!("end {first} --by spent"),
        "pool write-down p 1000sat".to_owned(),
        format!("revive {first}"),
        "pool write-up p 1000sat".to_owned(),
        "pool take-cash p 300sat".to_owned(),
        "end --due --height 10000 --yes".to_owned(),
    ] {
        kept.tried_and_made(&line);
    }
    assert_eq!(kept.json("audit")["verdict"], "the books balance");
}

#[test]
fn proofs_and_evidence_are_tried_before_they_are_entered() {
    let kept = Kept { folder: tempfile::tempdir().unwrap() };
    kept.json("init");
    let (proof, votes) = (proof(3, None), [1, 2].map(|block| file(&vote(7, block))));
    let evidence = kept.folder.path().join("evidence.json");
    let [first, second] = votes.each_ref().map(TempFile::path);
    json_of(&format!("equivocation {first} {second} --out {}", evidence.display()));
    let import = format!("import --provider {PROVIDER} {}", proof.path());
    let twice = format!("{import} {}", proof.path());
    let tried = kept.refused(&format!("{twice} --dry-run"), "admitted-before");
    assert!(tried["message"].as_str().unwrap().starts_with("none of 2 stakes is admitted"), "{tried}");
    assert_eq!(tried, kept.refused(&twice, "admitted-before"));
    let made = kept.tried_and_made(&import);
    let stake = made["entries"][0]["event"]["admit_stake"]["stake"]["outpoint"].as_str().unwrap().to_owned();
    assert_eq!(made["entries"][0]["height"], 2);
    let again = kept.refused(&import, "admitted-before");
    assert_eq!(again, kept.refused(&format!("{import} --dry-run"), "admitted-before"));
    assert!(again["message"].as_str().unwrap().starts_with(proof.path()), "{again}");
    kept.tried_and_made("pool open p --unbonding-time 2000");
    kept.tried_and_made(&format!("mint {stake} --pool p --to ann"));
    let slash = format!("slash --evidence {}", evidence.display());
    let slashed = kept.tried_and_made(&slash);
    assert_eq!(
        slashed["entries"][0]["borne"],
        json!([{"pool": "p", "from_shares_sat": slashed["entries"][0]["lost_sat"], "from_exits_sat": 0}])
    );
    assert_eq!(
        kept.refused(&slash, "slashed-provider"),
        kept.refused(&format!("{slash} --dry-run"), "slashed-provider")
    );
    assert_eq!(kept.json("audit")["verdict"], "the books balance");
}

#[test]
fn a_dry_run_is_refused_as_the_entry_would_be() {
    let kept = Kept::new();
    let [first, second] = [outpoint(1), outpoint(2)];
    for (line, rule) in [
        (format!("reward 5 --service a --provider {}", KEYS[1]), "reward-after-change"),
        (format!("claim {first} --service a"), "nothing-owed"),
        (format!("claim {first} --service c"), "unknown-service"),
        (format!("end {first} --by expired"), "not-expired"),
        ("pool reward p 5sat --height 99".to_owned(), "late-entry"),
        ("pool reward p 5sat --height 9000".to_owned(), "height-ahead"),
        ("pool reward p 5sat --height 10000 --yes".to_owned(), "expiry-due"),
        ("pool write-down p 1sat".to_owned(), "not-missing"),
        ("finalise --pool p".to_owned(), "nothing"),
        (format!("return {second} --amount 5sat"), "still-locked"),
        ("exit 1 --pool p --holder nobody".to_owned(), "balance-of-holder"),
    ] {
        let tried = kept.refused(&format!("{line} --dry-run"), rule);
        assert_eq!(tried, kept.refused(&line, rule), "{line}");
    }
}

#[test]
fn a_dry_run_is_refused_after_a_line_without_end_as_an_entry_is() {
    let kept = Kept::new();
    let torn = [std::fs::read(kept.file()).unwrap(), b"{\"counter\"".to_vec()].concat();
    std::fs::write(kept.file(), torn).unwrap();
    // The index tells that nobody was told of it.
    assert_eq!(kept.json("pool reward p 5sat --height 101 --dry-run")["dry_run"], true);
    std::fs::remove_file(kept.folder.path().join("book.jsonl.index")).unwrap();
    kept.refused("pool reward p 5sat --height 101 --dry-run", "journal-torn");
    kept.refused("pool reward p 5sat --height 101", "journal-torn");
}

#[test]
fn every_command_that_makes_entries_has_a_dry_run_and_no_other_has() {
    let has = |line: &str| stdout(&run(&format!("book {line} --help"))).contains("--dry-run");
    for line in [
        "service add",
        "provider add",
        "provider commission",
        "import",
        "expand",
        "allocate",
        "reward",
        "claim",
        "give-back",
        "end",
        "slash",
        "pool open",
        "pool reward",
        "pool make-good",
        "pool write-down",
        "pool write-up",
        "pool take-cash",
        "pool choose",
        "pool leave",
        "pool deposit",
        "pool redeem",
        "mint",
        "transfer",
        "exit",
        "finalise",
        "return",
        "revive",
    ] {
        assert!(has(line), "{line}");
    }
    for line in ["init", "show", "log", "audit", "risk", "export", "plot", "repair"] {
        assert!(!has(line), "{line}");
    }
}

impl Kept {
    /// Has both services pay: the first stake earns 190,000 ua and 9,500 ub, the second 50,000 ua, and the rest is commission.
    fn paid(&self) {
        for (service, provider, amount) in
            [("a", KEYS[2], 200_000), ("a", KEYS[1], 50_000), ("b", KEYS[2], 10_000)]
        {
            self.entry(&format!("reward {amount} --service {service} --provider {provider} --height 101"));
        }
    }
}

#[test]
fn all_that_stakes_can_claim_is_paid_together_and_summed_by_coin() {
    let kept = Kept::new();
    kept.refused("claim --all", "nothing-owed");
    kept.paid();
    let none = kept.refused("claim --all --owner text:bob", "nothing-owed");
    assert!(none["message"].as_str().unwrap().contains("no stake of text:bob"), "{none}");
    kept.refused("claim --all --service c", "unknown-service");
    kept.refused("claim --all --height 10000 --yes", "expiry-due");
    let tried = kept.json("claim --all --dry-run");
    let of_b = kept.json("claim --all --service b --owner text:ann");
    assert_eq!(entries_of(&of_b, "paid"), ["9500"]);
    assert_eq!(of_b["paid_in_all"], json!({"ub": "9500"}));
    kept.refused("claim --all --service b", "nothing-owed");
    let rest = run(&kept.line("claim --all"));
    let rest = stdout(&rest);
    assert!(rest.contains("paid in all  240000 ua") && !rest.contains("ub"), "{rest}");
    kept.refused("claim --all", "nothing-owed");

    assert_eq!(tried["paid_in_all"], json!({"ua": "240000", "ub": "9500"}));
    let kinds = entries_of(&tried, "kind");
    assert_eq!(kinds, ["claim", "claim", "claim"]);
    assert_eq!(entries_of(&tried, "paid"), ["190000", "9500", "50000"]);
    assert_eq!(entries_of(&tried, "paid_to"), ["text:ann", "text:ann", "text:ann"]);
    assert_eq!(entries_of(&tried, "denomination"), ["ua", "ub", "ua"]);
    assert_eq!(entries_of(&kept.json("log --kind claim"), "kind"), kinds);
    // Commission is not a stake's.
    let owed = kept.json("show")["services"][0]["providers"][0]["commission_owed"].clone();
    assert_eq!(owed, "10000");
    assert_eq!(kept.json("audit")["verdict"], "the books balance");
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

fn stakes_of(shown: &Value) -> Vec<String> {
    let stakes = shown["stakes"].as_array().unwrap().iter();
    stakes.map(|stake| stake["stake"].as_str().unwrap().to_owned()).collect()
}

const HEAD: [&str; 4] = ["entries", "head", "height", "network"];

#[test]
fn a_filter_leaves_the_stakes_that_it_asks_for() {
    let kept = Kept::new();
    kept.paid();
    let (first, second) = (outpoint(1), outpoint(2));
    let all = kept.json("show");
    let shown = kept.json(&format!("show --stake {second}"));
    assert_eq!(keys(&shown), [&HEAD[..], &["stakes"]].concat());
    assert_eq!(shown["stakes"], json!([all["stakes"][1]]));
    assert_eq!(shown["head"], all["head"]);
    for (filter, expected) in [
        ("--owner text:ann", vec![&first, &second]),
        ("--owner text:bob", vec![]),
        ("--service b", vec![&first]),
        ("--service a", vec![&first, &second]),
        ("--service a --owner text:bob", vec![]),
        ("--pool p", vec![&first, &second]),
        ("--pool l", vec![&first, &second]),
        (&format!("--service b --stake {second}"), vec![]),
        (&format!("--pool p --service a --owner text:ann --stake {second}"), vec![&second]),
    ] {
        let shown = stakes_of(&kept.json(&format!("show {filter}")));
        assert_eq!(shown.iter().collect::<Vec<_>>(), expected, "{filter}");
    }
    // What it has left, and still can claim, belongs to the service as well.
    kept.entry(&format!("allocate {first} --service b --withdraw --height 110"));
    assert_eq!(stakes_of(&kept.json("show --service b")), [first.as_str()]);
    kept.entry("pool reward p 5sat --height 210");
    assert_eq!(stakes_of(&kept.json("show --service b")), [first.as_str()], "9,500 ub are not paid");
    kept.json("claim --all --service b");
    let shown = kept.json("show --service b");
    assert_eq!((stakes_of(&shown).len(), &shown["services"][0]["name"]), (0, &"b".into()));
    assert_eq!(shown["services"].as_array().unwrap().len(), 1);
    for (line, rule) in [
        (format!("show --stake {}", outpoint(9)), "unknown-stake"),
        ("show --pool q".to_owned(), "unknown-pool"),
        ("show --holder bob --pool q".to_owned(), "unknown-pool"),
        ("show --service c".to_owned(), "unknown-service"),
    ] {
        kept.refused(&line, rule);
    }
    for other in ["--service a", "--owner text:ann", &format!("--stake {first}")] {
        assert_eq!(run(&kept.line(&format!("show --holder bob {other}"))).status.code(), Some(2), "{other}");
    }
}

#[test]
fn a_stake_is_shown_with_what_it_counts_for_and_can_claim() {
    let kept = Kept::new();
    kept.paid();
    let said = kept.text(&format!("show --stake {}", outpoint(1)));
    for row in ["a 100000 190000 ua text:ann", "b 100000 9500 ub text:ann"] {
        let row = format!("{} {row}", outpoint(1));
        let rows: Vec<_> =
            said.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert!(rows.contains(&row), "{row}: {rows:#?}");
    }
    assert!(!said.contains(&outpoint(2)) && !said.contains("backing"), "{said}");
}

#[test]
fn a_holder_has_a_statement_of_shares_and_exits() {
    let kept = Kept::new();
    let sat = |sat: u128| (sat * 1_000_000).to_string();
    kept.entry(&format!("pool deposit l {} --holder =ann", sat(40_000)));
    for (height, amount, holder) in [(110, 10_000, "=ann"), (111, 7_000, "bob"), (112, 5_000, "=ann")] {
        kept.entry(&format!("exit --amount {amount}sat --pool p --holder {holder} --height {height}"));
    }
    // 128,000 sat of shares become 127,999: what a share is worth is rounded down.
    kept.entry(&format!("end {} --by spent --height 120", outpoint(2)));
    kept.entry("pool make-good p 49998sat");
    kept.entry("pool write-down p 2sat");
    let shown = kept.json("show --holder =ann");
    assert_eq!(keys(&shown), ["entries", "exits", "head", "height", "holder", "holdings", "network"]);
    assert_eq!(shown["holder"], "=ann");
    let held = |shown: &Value, field: &str| -> Vec<Value> {
        shown["holdings"].as_array().unwrap().iter().map(|row| row[field].clone()).collect()
    };
    assert_eq!(held(&shown, "pool"), ["l", "p"]);
    assert_eq!(held(&shown, "shares"), [sat(40_000 * 1_000_000), sat(45_000)]);
    assert_eq!(held(&shown, "worth_sat"), [39_999, 44_999]);
    let exits = shown["exits"].as_array().unwrap();
    let of = |field: &str| exits.iter().map(|exit| exit[field].clone()).collect::<Vec<_>>();
    assert_eq!((of("pool"), of("exit")), (vec!["p".into(), "p".into()], vec![0.into(), 2.into()]));
    assert_eq!(
        (of("quoted"), of("matures_at")),
        (vec![10_000.into(), 5_000.into()], vec![210.into(), 212.into()])
    );
    let all = kept.json("show")["pools"][0]["exits"].clone();
    assert_eq!(of("claim"), [all[0]["claim"].clone(), all[2]["claim"].clone()]);
    assert!(all[2]["claim"].as_u64() < Some(5_000), "{all}");
    // An exit of what is held now is quoted what the statement says.
    let quoted = kept.entry(&format!("exit {} --pool p --holder =ann --dry-run", sat(45_000)));
    assert_eq!(quoted["quoted_sat"], 44_999);
    let said = kept.text("show --holder =ann");
    for text in ["44999", "39999", "height 212"] {
        assert!(said.contains(text), "{text}: {said}");
    }
    assert!(!said.contains("bob"), "{said}");

    let shown = kept.json("show --holder =ann --pool l");
    assert_eq!((held(&shown, "pool"), &shown["exits"]), (vec!["l".into()], &json!([])));
    let nobody = kept.json("show --holder nobody");
    assert_eq!((&nobody["holdings"], &nobody["exits"]), (&json!([]), &json!([])));
    assert!(kept.text("show --holder nobody").contains("no shares, and no exit of nobody waits"));

    let pool = kept.json("show --pool p");
    assert_eq!(
        keys(&pool),
        [&HEAD[..3], &["holdings", "network", "pools", "pools_over_receipts", "stakes"]].concat()
    );
    assert_eq!(held(&pool, "holder"), ["=ann", "bob", "lrt:l"]);
    assert_eq!(pool["pools"], kept.json("show")["pools"]);
    let over = kept.json("show --pool l");
    assert_eq!((&over["pools"], held(&over, "holder")), (&json!([]), vec!["=ann".into()]));
    assert_eq!(over["pools_over_receipts"], kept.json("show")["pools_over_receipts"]);
    assert!(kept.text("show --pool p").contains("quoted sat"));
}

#[test]
fn a_log_has_the_entries_that_are_about_all_that_it_is_asked_for() {
    let kept = Kept::new();
    let (first, second) = (outpoint(1), outpoint(2));
    let (p, q, shares) = (KEYS[2], KEYS[1], 1_000u128 * 1_000_000);
    kept.entry(&format!("pool deposit l {shares} --holder =ann --height 110"));
    for (amount, holder) in [(10_000, "=ann"), (7_000, "bob"), (5_000, "=ann")] {
        kept.entry(&format!("exit --amount {amount}sat --pool p --holder {holder}"));
    }
    kept.entry(&format!("transfer {shares} --pool p --from =ann --to cid"));
    kept.entry(&format!("end {second} --by unbonding --height 120"));
    kept.entry(&format!("return {second} --amount 50000sat --height 220"));
    kept.json("finalise --pool p");
    let mut ledger = Ledger::open(&kept.file()).unwrap();
    for provider in [p, q] {
        let slash = json!({"height": 230, "event": {"slash": {"provider": provider}}});
        ledger.append(serde_json::from_value(slash).unwrap()).unwrap();
    }
    drop(ledger);

    let logged = |filter: &str| entries_of(&kept.json(&format!("log --last 99 {filter}")), "counter");
    let all: Vec<u64> = (1..=27).collect();
    for (filter, expected) in [
        ("", all.as_slice()),
        // The second stake is back when its provider is slashed.
        (&format!("--stake {first}"), &[7, 9, 10, 13, 26]),
        (&format!("--stake {second}"), &[8, 11, 14, 21, 22]),
        ("--pool p", &[12, 13, 14, 15, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26]),
        ("--pool l", &[15, 16]),
        (&format!("--provider {p}"), &[2, 5, 7, 26]),
        (&format!("--provider {q}"), &[3, 6, 8, 27]),
        ("--service b", &[4, 5, 6, 10]),
        // An exit's payment names its number, and no holder.
        ("--holder =ann", &[13, 16, 17, 19, 20, 23, 25]),
        ("--holder bob", &[14, 18, 24]),
        ("--holder cid", &[20]),
        ("--holder nobody", &[]),
        ("--kind finalise_exit --holder =ann", &[23, 25]),
        (&format!("--service b --stake {first}"), &[10]),
        (&format!("--service a --provider {q}"), &[3]),
        ("--service b --pool p", &[]),
        ("--from 110 --to 120", &[16, 17, 18, 19, 20, 21]),
        ("--to 110 --from 110 --holder =ann", &[16, 17, 19, 20]),
        ("--from 120 --to 110", &[]),
    ] {
        assert_eq!(logged(filter), expected, "{filter}");
    }
    let newest = |line: &str| entries_of(&kept.json(line), "counter");
    assert_eq!(newest("log --last 2 --holder =ann"), [23, 25]);
    assert_eq!(newest("log --last 2 --to 119"), [19, 20]);
    assert_eq!(newest("log --last 0 --to 119"), [0u64; 0]);
    assert_eq!(newest("log --last 2"), [26, 27]);
    assert_eq!(newest("log --to 999").len(), 20);
    for (filter, rule) in [
        (format!("--stake {}", outpoint(9)), "unknown-stake"),
        ("--pool q".to_owned(), "unknown-pool"),
        ("--service c".to_owned(), "unknown-service"),
    ] {
        kept.refused(&format!("log {filter}"), rule);
    }
}

#[test]
fn a_log_of_a_stake_ends_with_what_took_it() {
    let kept = Kept::new();
    kept.entry(&format!("end {} --by spent --height 110", outpoint(1)));
    kept.entry(&format!("end {} --by unbonding", outpoint(2)));
    let mut ledger = Ledger::open(&kept.file()).unwrap();
    for provider in [KEYS[2], KEYS[1]] {
        let slash = json!({"height": 120, "event": {"slash": {"provider": provider}}});
        ledger.append(serde_json::from_value(slash).unwrap()).unwrap();
    }
    drop(ledger);
    let last = |stake: u8| {
        let logged = kept.json(&format!("log --last 1 --stake {}", outpoint(stake)));
        logged["entries"][0]["kind"].as_str().unwrap().to_owned()
    };
    assert_eq!((last(1), last(2)), ("end_stake".to_owned(), "slash".to_owned()));
}

#[test]
fn a_pool_over_receipts_is_drawn_with_its_rate_times_the_value_beneath() {
    let kept = Kept::new();
    let svg = kept.folder.path().join("book.svg");
    // The labels of the values: a tenth of the room is left below and above.
    let drawn = |filter: &str| {
        let drawn = kept.json(&format!("plot --out {} {filter}", svg.display()));
        let text = std::fs::read_to_string(&svg).unwrap();
        let labels = text.split("text-anchor=\"end\">").skip(1).map(|part| part.split('<').next().unwrap());
        let labels: Vec<_> = labels.map(str::to_owned).collect();
        let counts = (drawn["pools"].as_u64().unwrap(), drawn["points"].as_u64().unwrap());
        (counts, labels[0].clone(), labels[4].clone())
    };
    let told = |counts, least: &str, most: &str| (counts, least.to_owned(), most.to_owned());
    assert_eq!(drawn("--pool l"), told((1, 1), "0.99", "1.01"));
    let shares = |thousands: u128| thousands * 1_000 * 1_000_000;
    kept.entry(&format!("pool deposit l {} --holder =ann", shares(40)));
    assert_eq!(drawn("--pool l"), told((1, 1), "0.99", "1.01"), "a deposit moves no rate");
    let reward = format!("pool reward l --shares {} --from bob --height 101", shares(20));
    kept.entry(&reward);
    // Half as much again, rounded down.
    assert_eq!(drawn("--pool l"), told((1, 2), "0.950001", "1.549998"));
    kept.entry("pool reward p 150000sat --height 110");
    // From 1 to 1.999993 beneath, and to 1.999993 * 1.499999 here.
    assert_eq!(drawn("--pool p").0, (1, 4));
    assert_eq!(drawn("--pool l"), told((1, 3), "0.800002", "3.199985"));
    assert_eq!(drawn(""), told((2, 7), "0.800002", "3.199985"));
    let text = std::fs::read_to_string(&svg).unwrap();
    assert!(text.contains(">l</text>") && text.contains(">p</text>"), "{text}");
    kept.refused(&format!("plot --out {} --pool q", svg.display()), "unknown-pool");
}

#[test]
fn a_stake_that_was_called_spent_by_mistake_is_revived() {
    let kept = Kept::new();
    let (first, before) = (outpoint(1), kept.json("show")["pools"][0]["backing"].clone());
    let lives = kept.refused(&format!("revive {first}"), "stake-lives");
    assert!(lives["message"].as_str().unwrap().contains("active"), "{lives}");
    kept.entry(&format!("end {first} --by spent --height 110"));
    for line in [format!("return {first} --amount 5sat"), format!("end {first} --by unbonding")] {
        let refused = kept.refused(&line, "inactive");
        assert!(
            refused["next"].as_str().unwrap().contains(&format!("tapstake book revive {first}")),
            "{refused}"
        );
    }
    let revived = kept.entry(&format!("revive {first}"));
    assert_eq!((&revived["status"], &revived["missing_sat"]), (&"active".into(), &0.into()));
    assert_eq!(revived["leaving"]["a"]["nominal_sat"], "100000");
    assert_eq!(kept.json("show")["pools"][0]["backing"], before);
    // Its provider is slashed meanwhile, and it with it.
    kept.entry(&format!("end {first} --by spent"));
    let mut ledger = Ledger::open(&kept.file()).unwrap();
    let slash = json!({"height": 120, "event": {"slash": {"provider": KEYS[2]}}});
    ledger.append(serde_json::from_value(slash).unwrap()).unwrap();
    drop(ledger);
    let revived = kept.entry(&format!("revive {first}"));
    assert_eq!(revived["status"], "slashed");
    let borne = &revived["borne"][0];
    let both = ["from_shares_sat", "from_exits_sat"].map(|part| borne[part].as_u64().unwrap());
    assert_eq!(both, [10_100, 0], "{revived}");
    let stays = kept.refused(&format!("revive {first}"), "stake-lives");
    assert!(stays["next"].as_str().unwrap().contains("pool write-up"), "{stays}");
    assert_eq!(kept.json("audit")["verdict"], "the books balance");
}

#[test]
fn cash_that_was_too_much_is_taken_out_and_a_loss_that_was_none_is_taken_back() {
    let kept = Kept::new();
    let (first, second) = (outpoint(1), outpoint(2));
    kept.entry("exit --amount 15000sat --pool p --holder bob --height 105");
    kept.entry(&format!("end {first} --by spent --height 110"));
    assert_eq!(kept.entry("pool make-good p 100000sat")["missing_sat"], 0);
    let none = kept.refused("pool write-up p 1sat", "not-surplus");
    assert!(none["next"].as_str().unwrap().starts_with("nothing is left over in p"), "{none}");
    let revived = kept.entry(&format!("revive {first}"));
    assert_eq!(revived["surplus_sat"], 100_000, "{revived}");
    let shown = kept.json("show");
    assert_eq!(shown["pools"][0]["surplus_sat"], 100_000);
    assert!(kept.text("risk").contains("owed to nobody   100000 sat"), "{}", kept.text("risk"));
    let above = kept.refused("pool write-up p 100001sat", "not-surplus");
    assert_eq!(above["next"], "give at most 100000 sat");
    kept.refused("pool take-cash p 100001sat", "cash");
    let taken = kept.entry("pool take-cash p 100000sat");
    assert_eq!((&taken["missing_sat"], &taken["surplus_sat"]), (&0.into(), &Value::Null));
    assert!(!kept.text("risk").contains("owed to nobody"));

    // A stake of a third of the pool is written down, and there after all.
    kept.entry(&format!("end {second} --by spent"));
    let borne = kept.entry("pool write-down p 50000sat");
    assert_eq!(borne["borne"], json!([{"pool": "p", "from_shares_sat": 45_000, "from_exits_sat": 5_000}]));
    kept.entry(&format!("revive {second}"));
    let gained = kept.entry("pool write-up p 50000sat --dry-run");
    assert_eq!(gained["gained"], json!([{"pool": "p", "to_shares_sat": 45_000, "to_exits_sat": 5_000}]));
    let said = kept.text("pool write-up p 50000sat");
    assert!(said.contains("in p: 45000 sat to shares, 5000 sat to exits"), "{said}");
    let pool = kept.json("show")["pools"][0].clone();
    assert_eq!(
        (&pool["surplus_sat"], &pool["assets_sat"], &pool["queued_sat"]),
        (&0.into(), &135_000.into(), &15_000.into())
    );

    let folder = kept.folder.path().join("csv");
    kept.json(&format!("export --csv {}", folder.display()));
    let pools = std::fs::read_to_string(folder.join("pools.csv")).unwrap();
    let rows: Vec<Vec<&str>> = pools.lines().map(|line| line.split(',').collect()).collect();
    let of = |name: &str| rows[1][rows[0].iter().position(|column| *column == name).unwrap()];
    assert_eq!(
        ["surplus_sat", "lost_sat", "recovered_sat", "returned_sat", "made_good_sat", "taken_sat"].map(of),
        ["0", "50000", "50000", "0", "100000", "100000"]
    );
    assert_eq!(kept.json("audit")["verdict"], "the books balance");
}

#[test]
fn rewards_of_a_pool_come_at_a_later_height_than_what_it_minted() {
    let kept = Kept::new();
    let refused = kept.refused("pool reward p 5sat", "reward-after-change");
    assert_eq!(refused["next"], "give --height 101, or more");
}

#[test]
fn a_reward_says_what_the_provider_gets_and_what_waits_for_a_stake() {
    let kept = Kept::new();
    let reward = |amount: u32, service: &str, provider: &str| {
        format!("reward {amount} --service {service} --provider {provider} --height 101")
    };
    let made = kept.entry(&reward(200_001, "a", KEYS[2]));
    assert_eq!((&made["commission"], &made["held"]), (&"10000".into(), &Value::Null), "{made}");
    let made = kept.entry(&reward(777, "b", KEYS[1]));
    assert_eq!((&made["commission"], &made["held"]), (&Value::Null, &"777".into()), "{made}");
    let said = kept.text(&reward(3, "b", KEYS[1]));
    assert!(said.contains("780 ub: nothing is staked; tapstake book give-back returns it"), "{said}");
    let given = kept.entry(&format!("give-back --service b --provider {}", KEYS[1]));
    assert_eq!(given["given_back"], "780");
}

#[test]
fn a_holder_that_had_nothing_is_called_new() {
    let kept = Kept::new();
    let sat = |sat: u128| (sat * 1_000_000).to_string();
    let to = |holder: &str| format!("transfer {} --pool p --from =ann --to {holder}", sat(1_000));
    assert_eq!(kept.entry(&to("bob"))["new_holder"], Value::Null);
    assert_eq!(kept.entry(&to("bbo"))["new_holder"], "bbo");
    assert_eq!(kept.entry(&to("bbo"))["new_holder"], Value::Null);
    let deposit = |holder: &str| format!("pool deposit l {} --holder {holder}", sat(500));
    assert_eq!(kept.entry(&deposit("=ann"))["new_holder"], Value::Null);
    let over = format!("transfer {} --pool l --from =ann --to cid", sat(100));
    assert!(kept.text(&over).contains("new holder  cid"), "{}", kept.text(&over));
    // Whoever waits for an exit is known.
    kept.entry(&format!("exit {} --pool p --holder bbo", sat(2_000)));
    assert_eq!(kept.entry(&to("bbo"))["new_holder"], Value::Null);
}

#[test]
fn wrong_entries_are_set_right_as_the_manual_says() {
    let kept = Kept::new();
    let (first, second) = (outpoint(1), outpoint(2));
    let before = kept.json("show")["pools"][0].clone();
    let pool = || kept.json("show")["pools"][0].clone();
    // Entered as unbonding, and it was not.
    kept.entry(&format!("end {first} --by unbonding --height 110"));
    kept.entry(&format!("end {first} --by spent"));
    assert_eq!(kept.entry(&format!("revive {first}"))["status"], "active");
    kept.entry(&format!("allocate {first} --service a --shared"));
    assert_eq!((&pool()["backing"], &pool()["cash_sat"]), (&before["backing"], &0.into()));
    // A reward of ten times as much: what is taken out is borne by those who had earned it.
    kept.entry("pool reward p 5000sat --height 120");
    kept.entry("pool take-cash p 4500sat");
    kept.entry("pool write-down p 4500sat");
    assert_eq!((&pool()["assets_sat"], &pool()["missing_sat"]), (&150_500.into(), &0.into()));
    // Too little came back, and then too much.
    kept.entry(&format!("end {second} --by unbonding"));
    kept.entry(&format!("return {second} --amount 40000sat --height 220"));
    let twice = kept.refused(&format!("return {second} --amount 10000sat"), "inactive");
    assert!(twice["next"].as_str().unwrap().contains("pool make-good p AMOUNT"), "{twice}");
    assert_eq!(kept.entry("pool make-good p 10000sat")["missing_sat"], 0);
    kept.entry("pool take-cash p 500sat");
    kept.entry("pool make-good p 500sat");
    assert_eq!(
        (&pool()["backing"]["reserves"], &pool()["backing"]["issued"]),
        (&150_500.into(), &150_500.into())
    );
    // Cash that came and was stolen.
    kept.entry("pool take-cash p 50500sat");
    kept.refused("pool take-cash p 1sat", "cash");
    kept.entry("pool write-down p 50500sat");
    assert_eq!((&pool()["assets_sat"], &pool()["cash_sat"]), (&100_000.into(), &0.into()));
    assert_eq!(kept.json("audit")["verdict"], "the books balance");
}

#[test]
fn a_log_says_what_came_of_each_entry() {
    let kept = Kept::new();
    let sat = |sat: u128| (sat * 1_000_000).to_string();
    let mut ledger = Ledger::open(&kept.file()).unwrap();
    let reward = json!({"height": 101, "event": {"reward": {
        "service": "a", "provider": KEYS[2], "denomination": "ua", "amount": "200000",
    }}});
    ledger.append(serde_json::from_value(reward).unwrap()).unwrap();
    drop(ledger);
    let mut lines = vec![
        format!("claim {} --service a", outpoint(1)),
        format!("claim --commission {} --service a", KEYS[2]),
        format!("reward 777 --service b --provider {}", KEYS[1]),
        format!("give-back --service b --provider {}", KEYS[1]),
        format!("pool deposit l {} --holder =ann", sat(5_000)),
        format!("pool redeem l {} --holder =ann", sat(2_000)),
        format!("transfer {} --pool p --from bob --to cid", sat(20_000)),
        format!("exit {} --pool p --holder cid", sat(20_000)),
        format!("end {} --by unbonding", outpoint(2)),
        format!("return {} --amount 49000sat --height 301", outpoint(2)),
        "pool write-down p 900sat".to_owned(),
        "pool make-good p 100sat".to_owned(),
        "finalise 0 --pool p".to_owned(),
        format!("end {} --by spent", outpoint(1)),
        "pool write-down p 1sat".to_owned(),
        format!("revive {}", outpoint(1)),
        "pool write-up p 1sat".to_owned(),
    ];
    let made: Vec<Value> = lines.drain(..).map(|line| kept.entry(&line)).collect();
    let logged = kept.json(&format!("log --last {}", made.len()));
    // What each command has said when it was made, the log says again.
    assert_eq!(logged["entries"], json!(made));
    assert_eq!(kept.json("log --kind finalise_exit")["entries"], json!([made[12]]));
    assert_eq!(kept.json("log --holder cid --to 200")["entries"], json!(made[6..8]));
    for field in
        ["paid", "given_back", "shares", "quoted_sat", "paid_sat", "gained", "missing_sat", "new_holder"]
    {
        assert!(made.iter().any(|entry| !entry[field].is_null()), "{field}");
    }
    let said = kept.text("log --last 99");
    for text in [
        "; commission 10000 ua",
        "; paid 190000 ua; paid to text:ann",
        "; given back 777 ub",
        "; exit 0; paid 19880 sat; paid to cid",
    ] {
        assert!(said.contains(text), "{text}: {said}");
    }
}

#[test]
fn what_can_be_lost_no_more_is_not_called_slashable_and_what_is_left_is_said() {
    let kept = Kept::new();
    let mut ledger = Ledger::open(&kept.file()).unwrap();
    let slash = json!({"height": 120, "event": {"slash": {"provider": KEYS[2]}}});
    ledger.append(serde_json::from_value(slash).unwrap()).unwrap();
    drop(ledger);
    let stakes = || {
        let shown = kept.json("show");
        let of = |stake: &Value| (stake["slashable_sat"].clone(), stake["rest_sat"].clone());
        shown["stakes"].as_array().unwrap().iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(stakes(), [(0.into(), 89_900.into()), (5_150.into(), Value::Null)]);
    assert!(kept.text("show").contains("slashed, 89900 sat not back"), "{}", kept.text("show"));
    let csv = |name: &str| {
        kept.json(&format!("export --csv {}", kept.folder.path().join(name).display()));
        let stakes = std::fs::read_to_string(kept.folder.path().join(name).join("stakes.csv")).unwrap();
        stakes.lines().nth(1).unwrap().split(',').skip(1).take(3).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(csv("first"), ["100000", "0", "89900"]);
    kept.entry(&format!("return {} --amount 89900sat --height 121", outpoint(1)));
    kept.entry(&format!("end {} --by spent", outpoint(2)));
    assert_eq!(stakes(), [(0.into(), Value::Null), (0.into(), Value::Null)]);
    assert_eq!(csv("first"), ["100000", "0", ""], "in place of the first");
}

#[test]
fn an_export_takes_no_other_files_place() {
    let kept = Kept::new();
    let folder = kept.folder.path().join("csv");
    let export = format!("export --csv {}", folder.display());
    kept.json(&export);
    let services = std::fs::read(folder.join("services.csv")).unwrap();
    kept.entry("pool reward p 5sat --height 101");
    for foreign in ["my,own\r\n1,2\r\n", "", "stake,value_sat\r\n"] {
        std::fs::write(folder.join("stakes.csv"), foreign).unwrap();
        std::fs::write(folder.join("services.csv"), &services).unwrap();
        let refused = kept.refused(&export, "file");
        assert!(refused["message"].as_str().unwrap().contains("stakes.csv is there already"), "{refused}");
        assert_eq!(std::fs::read_to_string(folder.join("stakes.csv")).unwrap(), foreign);
    }
    std::fs::remove_file(folder.join("stakes.csv")).unwrap();
    std::fs::create_dir(folder.join("stakes.csv")).unwrap();
    assert_eq!(run(&kept.line(&export)).status.code(), Some(1));
    let history = std::fs::read_to_string(folder.join("history.csv")).unwrap();
    assert!(!history.contains(",101,"), "nothing was written: {history}");
}

#[test]
fn a_risk_report_below_the_last_entry_says_where_it_looks() {
    let kept = Kept::new();
    for (height, warned) in [(99, true), (100, false), (101, false)] {
        let output = run(&kept.line(&format!("risk --height {height}")));
        let said = stderr(&output).contains("how things stand at the last entry, at height 100");
        assert_eq!((said, output.status.code()), (warned, Some(0)), "{height}");
    }
}

#[test]
fn a_pool_of_the_other_kind_is_not_called_missing() {
    let kept = Kept::new();
    let first = outpoint(1);
    for line in [
        "exit 5 --pool l --holder bob".to_owned(),
        "finalise --pool l".to_owned(),
        "risk --pool l".to_owned(),
        format!("mint {first} --pool l --to bob"),
        "pool make-good l 5sat".to_owned(),
        "pool write-down l 5sat".to_owned(),
        "pool write-up l 5sat".to_owned(),
        "pool take-cash l 5sat".to_owned(),
        "pool reward l 5sat".to_owned(),
        "pool open m --over l --leverage-limit 100%".to_owned(),
    ] {
        let refused = kept.refused(&line, "unknown-pool");
        assert_eq!(refused["message"], "pool l is over the receipts of p, not over stakes", "{line}");
        assert!(refused["next"].as_str().unwrap().contains("tapstake book pool redeem l"), "{refused}");
    }
    for line in [
        "pool deposit p 5 --holder bob",
        "pool redeem p 5 --holder bob",
        "pool choose p a 50%",
        "pool leave p a",
    ] {
        let refused = kept.refused(line, "unknown-pool");
        assert_eq!(refused["message"], "pool p is over stakes, not over receipts", "{line}");
    }
    kept.refused("exit 5 --pool q --holder bob", "unknown-pool");
    kept.entry("pool choose l a 50%");
    kept.entry("pool leave l a");
    let twice = kept.refused("pool leave l a", "unknown-service");
    assert_eq!(twice["next"], "tapstake book show --pool l says which services it has chosen");
}

#[test]
fn a_claim_where_a_stake_does_not_count_says_so() {
    let kept = Kept::new();
    let (first, second) = (outpoint(1), outpoint(2));
    let never = kept.refused(&format!("claim {second} --service b"), "not-allocated");
    assert!(never["next"].as_str().unwrap().starts_with("tapstake book allocate"), "{never}");
    kept.refused(&format!("claim {first} --service b"), "nothing-owed");
    kept.paid();
    // What it has earned it can claim also later.
    kept.entry(&format!("allocate {first} --service b --withdraw"));
    assert_eq!(kept.entry(&format!("claim {first} --service b"))["paid"], "9500");
    kept.refused(&format!("claim {first} --service b"), "not-allocated");
}

#[test]
fn a_holder_named_like_a_pool_is_warned_of_once() {
    let kept = Kept::new();
    for (to, warned) in [("l", true), ("l", false), ("p", true), ("cid", false)] {
        let line = kept.line(&format!("transfer 1000000 --pool p --from bob --to {to}"));
        let said = stderr(&run(&line));
        assert_eq!(said.contains(&format!("is named like pool {to}")), warned, "{to}: {said}");
    }
}

#[test]
fn a_log_says_what_an_expansion_has_brought_about() {
    let expanded = |slashed: bool| {
        let kept = Kept::new();
        let mut ledger = Ledger::open(&kept.file()).unwrap();
        let (p, q) = (KEYS[2], KEYS[1]);
        let mut providers = [p, q];
        providers.sort_unstable();
        let mut events = vec![json!({"expand_stake": {"of": outpoint(1), "holder": "carol", "stake": {
            "outpoint": outpoint(3), "spends": [outpoint(1)], "unbonding": outpoint(4),
            "value": 120_000, "slashed": 12_000, "refund": 107_900, "unbonding_refund": 107_850, "owner": "text:ann",
            "providers": providers, "inclusion_height": 110, "expires_at": 12_000, "unbonding_time": 100,
        }}})];
        if slashed {
            events.insert(0, json!({"slash": {"provider": q}}));
        }
        for event in events {
            ledger.append(serde_json::from_value(json!({"height": 120, "event": event})).unwrap()).unwrap();
        }
        drop(ledger);
        kept.json("log --kind expand_stake")["entries"][0].clone()
    };
    let plain = expanded(false);
    let told = |entry: &Value| ["pool", "shares", "new_holder", "status"].map(|field| entry[field].clone());
    assert_eq!(told(&plain), ["p", "20000000000", "carol", "active"].map(Value::from));
    assert_eq!(plain["leaving"]["a"]["nominal_sat"], "100000");
    assert_eq!(plain["borne"], Value::Null);
    let slashed = expanded(true);
    assert_eq!(slashed["status"], "slashed", "{slashed}");
    let borne = &slashed["borne"][0];
    assert_eq!((&borne["pool"], &borne["from_exits_sat"]), (&"p".into(), &0.into()), "{slashed}");
    assert_eq!(borne["from_shares_sat"], 12_100, "{slashed}");
}

#[test]
fn what_is_due_is_ended_by_name() {
    let kept = Kept::new();
    assert!(kept.text("end --due --height 101").contains("entries  none"));
    kept.entry(&format!("allocate {} --service b --withdraw --height 9950 --yes", outpoint(1)));
    let said = kept.text("end --due --height 10000 --dry-run");
    for stake in [1, 2].map(outpoint) {
        assert!(said.contains(&format!("stake             {stake}\n")), "{said}");
    }
    assert!(said.contains("b: 100000 sat below height 10050"), "{said}");
    let ended = kept.json("end --due --height 10000");
    assert_eq!(ended["entries"], kept.json("log --last 2")["entries"]);
    let nothing = kept.json("end --due --height 10000");
    assert_eq!(nothing["entries"], json!([]));
    let ended = kept.refused(&format!("end {} --by expired", outpoint(1)), "inactive");
    assert!(
        ended["next"].as_str().unwrap().contains("from height 10100 on, tapstake book return"),
        "{ended}"
    );
}

#[test]
fn nobody_gets_a_part_of_what_nobody_is_owed_by_coming_late() {
    let kept = Kept::new();
    let first = outpoint(1);
    kept.entry(&format!("end {first} --by spent --height 110"));
    kept.entry("pool make-good p 100000sat");
    kept.entry(&format!("revive {first}"));
    let mut ledger = Ledger::open(&kept.file()).unwrap();
    let stake = json!({"height": 110, "event": {"admit_stake": {"stake": {
        "outpoint": outpoint(3), "spends": [outpoint(103)], "unbonding": outpoint(203), "value": 50_000,
        "slashed": 5_000, "refund": 44_900, "unbonding_refund": 44_850, "owner": "text:ann", "providers": [KEYS[1]],
        "inclusion_height": 90, "expires_at": 10_000, "unbonding_time": 100,
    }}}});
    ledger.append(serde_json::from_value(stake).unwrap()).unwrap();
    drop(ledger);
    let mint = format!("mint {} --pool p --to eve", outpoint(3));
    let refused = kept.refused(&mint, "surplus");
    let next = refused["next"].as_str().unwrap();
    assert!(next.starts_with("tapstake book pool write-up p 100000sat "), "{next}");
    kept.entry("pool take-cash p 100000sat");
    assert_eq!(kept.entry(&mint)["new_holder"], "eve");
}
