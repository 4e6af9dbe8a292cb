//! The books of a pool operator by the command line: two services, a pool of two stakes, a slashing; and what becomes of a journal
//! that is touched or whose writer is killed.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

mod common;

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bitcoin::Amount;
use bitcoin::key::Secp256k1;
use common::{equivocation, text, two_coins};
use serde_json::{Value, json};
use tapstake_devnet::{Config, Devnet};
use tapstake_params::local;
use tapstake_tests::{Cli, program};

/// What `tapstake book` prints for a line of arguments.
fn book(user: &Cli, line: &str) -> Value {
    user.run(&[&["book"][..], &line.split_whitespace().collect::<Vec<_>>()].concat()).ok()
}

/// The rule by which `tapstake book` refuses.
fn refused(user: &Cli, line: &str, code: i32) -> Value {
    user.run(&[&["book"][..], &line.split_whitespace().collect::<Vec<_>>()].concat()).refused(code)
}

fn provider(index: u8) -> String {
    local::provider_keypair(&Secp256k1::new(), index).x_only_public_key().0.to_string()
}

/// An operator with the proofs of two stakes, one for each of two providers.
fn stage() -> (Devnet, Cli, [String; 2], [String; 2]) {
    let (devnet, user) = two_coins();
    let stakes = [("0.05btc", 0), ("0.03btc", 1)].map(|(amount, index)| {
        let account = "hex:d8da6bf26964af9d7eed9e03e53415d37aa96045";
        let args = ["stake", "--amount", amount, "--time", "1000", "--account", account, "--provider"];
        text(&user.run(&[&args[..], &[&provider(index)]].concat()).ok(), "outpoint")
    });
    devnet.mine(1).unwrap();
    let proofs = [0, 1].map(|at| {
        let path = user.path(&format!("proof{at}.json")).to_str().unwrap().to_owned();
        user.run(&["prove", &stakes[at], "--with-headers", "--out", &path]).ok();
        path
    });
    (devnet, user, stakes, proofs)
}

#[test]
fn one_stake_secures_two_services_a_pool_issues_receipts_and_a_slashing_reaches_all_of_it_once() {
    let (devnet, user, [first, second], [proof, other_proof]) = stage();
    let height = devnet.tip().height;
    let [p0, p1] = [0, 1].map(provider);
    let params = user.run(&["params", "show"]).ok()["versions"][0].clone();
    let (rate, unbonding) = (text(&params, "slashing_rate"), params["unbonding_time"].as_u64().unwrap());

    assert_eq!(refused(&user, "show", 1)["rule"], "file");
    let begun = book(&user, "init");
    assert_eq!(begun["network"], "regtest");
    assert_eq!(refused(&user, "init", 1)["rule"], "file");
    for (name, denomination) in [("alpha", "ualpha"), ("beta", "ubeta")] {
        let terms = format!("--slashing-rate {rate} --unbonding-time {unbonding} --leverage-limit 200%");
        book(&user, &format!("service add {name} --denomination {denomination} {terms} --height {height}"));
        book(&user, &format!("provider add {p0} --service {name} --commission 5%"));
        book(&user, &format!("provider add {p1} --service {name}"));
    }
    assert_eq!(refused(&user, &format!("provider add {p0} --service gamma"), 1)["rule"], "unknown-service");

    // A proof that is no longer what was proven, and one that breaks what the operator asks for.
    let changed = user.path("changed.json");
    fs::write(&changed, fs::read_to_string(&proof).unwrap().replacen("5000000", "5000001", 1)).unwrap();
    user.run(&["book", "import", changed.to_str().unwrap()]).refused(3);
    let foreign = refused(&user, &format!("import {proof} --provider {p1}"), 3);
    assert_eq!(foreign["rule"], "known-provider", "{foreign}");
    for (live, warned) in [("", true), (" --live", false)] {
        let line = format!("book import {proof} {other_proof} --dry-run{live}");
        let tried = user.run(&line.split_whitespace().collect::<Vec<_>>());
        assert_eq!(tried.stderr.contains("not looked for: give --live"), warned, "{}", tried.stderr);
        tried.ok();
    }
    let imported = book(&user, &format!("import {proof} {other_proof}"));
    let [stake, _] = imported["entries"].as_array().unwrap().as_slice() else { panic!("{imported}") };
    let admitted = &stake["event"]["admit_stake"]["stake"];
    assert_eq!((&admitted["outpoint"], &admitted["value"]), (&first.as_str().into(), &5_000_000.into()));
    let again = refused(&user, &format!("import {proof}"), 1);
    assert_eq!(again["rule"], "admitted-before", "{again}");
    assert!(text(&again, "message").starts_with(&format!("{proof}: ")), "{again}");

    for stake in [&first, &second] {
        for service in ["alpha", "beta"] {
            book(&user, &format!("allocate {stake} --service {service} --shared"));
        }
    }
    // Nobody steps in front of a reward that is seen coming.
    let seen = refused(&user, &format!("reward 1000001 --service alpha --provider {p0}"), 1);
    assert_eq!(seen["rule"], "reward-after-change", "{seen}");
    let height = height + 1;
    assert_eq!(text(&seen, "next"), format!("give --height {height}, or more"));
    // 5 % of commission, and the rest over 5,000,000 sat: exact, with nothing lost.
    book(&user, &format!("reward 1000001 --service alpha --provider {p0} --height {height}"));
    book(&user, &format!("reward 340282365000000 --service beta --provider {p1}"));
    let wrong = refused(&user, &format!("reward 1 --service beta --provider {p1} --denomination ualpha"), 1);
    assert_eq!(wrong["rule"], "denomination", "{wrong}");
    let claimed = book(&user, &format!("claim {first} --service alpha"));
    assert_eq!(claimed["entries"][0]["paid"], "950001", "{claimed}");
    let claimed = book(&user, &format!("claim {second} --service beta"));
    assert_eq!(
        (&claimed["entries"][0]["paid"], &claimed["entries"][0]["denomination"]),
        (&"340282365000000".into(), &"ubeta".into())
    );
    assert_eq!(refused(&user, &format!("claim {second} --service beta"), 1)["rule"], "nothing-owed");
    let commission = book(&user, &format!("claim --commission {p0} --service alpha"));
    assert_eq!(commission["entries"][0]["paid"], "50000");

    book(&user, &format!("pool open pool --unbonding-time {unbonding}"));
    let minted = book(&user, &format!("mint {first} --pool pool --to alice"));
    let shares: u128 = text(&minted["entries"][0], "shares").parse().unwrap();
    assert_eq!(shares, 5_000_000_000_000, "a million shares for a satoshi");
    book(&user, &format!("mint {second} --pool pool --to bob"));
    let twice = refused(&user, &format!("mint {second} --pool pool --to bob"), 1);
    assert_eq!(twice["rule"], "minted-before", "{twice}");
    book(&user, "transfer 2000000000000 --pool pool --from alice --to carol");
    let poor = refused(&user, "transfer 9000000000000 --pool pool --from alice --to carol", 1);
    assert_eq!(poor["rule"], "balance-of-holder", "{poor}");
    let exit = book(&user, &format!("exit 2000000000000 --pool pool --holder carol --height {}", height + 1));
    let exit = &exit["entries"][0];
    assert_eq!((&exit["exit"], &exit["quoted_sat"]), (&0.into(), &2_000_000.into()), "{exit}");
    assert_eq!(exit["matures_at"], u64::from(height) + 1 + unbonding);
    let late = refused(&user, &format!("pool reward pool 5sat --height {height}"), 1);
    assert_eq!(late["rule"], "late-entry", "{late}");

    let risk = book(&user, "risk --price 0.9");
    let risk = &risk["pools"][0];
    assert_eq!((&risk["nav"], &risk["market"]), (&1_000_000.into(), &900_000.into()));
    assert_eq!((&risk["depeg"], &risk["backing_ratio"]), (&json!({"discount": 100_000}), &1_000_000.into()));
    assert_eq!(risk["queue"]["claims"], 2_000_000);
    let foreseen = risk["providers"].as_array().unwrap();
    let foreseen =
        foreseen.iter().find(|scenario| scenario["slashed"]["one"] == p0.as_str()).unwrap().clone();

    let evidence = equivocation(&user, &local::provider_keypair(&Secp256k1::new(), 0));
    let slashed = book(&user, &format!("slash --evidence {evidence}"));
    let lost = slashed["entries"][0]["lost_sat"].as_u64().unwrap();
    let worst = foreseen["loss"].as_u64().unwrap();
    assert!(lost <= worst, "the scenario is the worse of both slashings: {foreseen}");
    assert_eq!(slashed["entries"][0]["losses"].as_array().unwrap().len(), 1);
    let borne = slashed["entries"][0]["borne"][0].clone();
    assert_eq!(refused(&user, &format!("slash --evidence {evidence}"), 1)["rule"], "slashed-provider");
    let unpaid = refused(&user, &format!("reward 5 --service alpha --provider {p0}"), 1);
    assert_eq!(unpaid["rule"], "slashed-provider", "{unpaid}");

    // Once everywhere: both services, the pool, the queue.
    let shown = book(&user, "show");
    let sat = |value: &Value| value.as_u64().unwrap();
    for service in shown["services"].as_array().unwrap() {
        assert_eq!(service["lost_sat"], lost, "{service}");
        assert_eq!(service["nominal_sat"], "3000000", "the other stake goes on");
    }
    let pool = &shown["pools"][0];
    assert_eq!(sat(&pool["assets_sat"]) + sat(&pool["queued_sat"]) + lost, 8_000_000, "to the satoshi");
    assert_eq!(8_000_000 - sat(&pool["backing"]["reserves"]), lost);
    let queue_lost = 2_000_000 - sat(&pool["queued_sat"]);
    assert_eq!(foreseen["from_queue"], (worst * 2).div_ceil(8));
    assert_eq!(queue_lost, (lost * 2).div_ceil(8), "exits bear their part, rounded up");
    assert_eq!(
        borne,
        json!({"pool": "pool", "from_shares_sat": lost - queue_lost, "from_exits_sat": queue_lost})
    );

    // What the slashing has left comes back as cash, and pays the exit when its time has come.
    let early = refused(&user, "finalise 0 --pool pool", 1);
    assert_eq!(early["rule"], "unbonding", "{early}");
    let matures = u64::from(height) + 1 + unbonding;
    let empty = refused(&user, &format!("finalise 0 --pool pool --height {matures}"), 1);
    assert_eq!(empty["rule"], "cash", "{empty}");
    book(&user, &format!("return {first} --amount {}sat --height {matures}", 5_000_000 - lost));
    let paid = book(&user, "finalise --pool pool");
    assert_eq!(paid["entries"][0]["paid_sat"], 2_000_000 - queue_lost, "{paid}");
    assert_eq!(paid["entries"][0]["paid_to"], "carol");

    // An expired stake is ended before anything else.
    let past = u64::from(height) + 2_000;
    let due = refused(&user, &format!("pool reward pool 5sat --height {past}"), 1);
    assert_eq!(due["rule"], "expiry-due", "{due}");
    let ended = book(&user, &format!("end --due --height {past}"));
    assert_eq!(ended["entries"][0]["event"]["end_stake"], json!({"stake": second, "end": "expired"}));
    book(&user, "pool reward pool 5sat");

    let audited = book(&user, "audit");
    assert_eq!(
        (&audited["verdict"], &audited["index"]["state"]),
        (&"the books balance".into(), &"current".into()),
        "{audited}"
    );
    let known = format!("{}:{}", audited["entries"], text(&audited, "head"));
    book(&user, &format!("audit --known {known}"));
    let moved = refused(&user, &format!("audit --known 1:{}", text(&audited, "head")), 3);
    assert_eq!(moved["rule"], "journal-head", "{moved}");
    let log = book(&user, "log --kind reward");
    assert_eq!(log["entries"].as_array().unwrap().len(), 2);

    let folder = user.path("csv");
    book(&user, &format!("export --csv {}", folder.display()));
    let stakes = fs::read_to_string(folder.join("stakes.csv")).unwrap();
    assert!(stakes.lines().nth(1).unwrap().starts_with(&format!("{first},5000000,0,,")), "{stakes}");
    let history = fs::read_to_string(folder.join("history.csv")).unwrap();
    let document = book(&user, "export");
    assert_eq!(document["points"].as_array().unwrap().len(), history.lines().count() - 1);
    assert_eq!(document["pools"], book(&user, "show")["pools"]);
    let drawing = user.path("book.svg");
    book(&user, &format!("plot --out {}", drawing.display()));
    let svg = fs::read_to_string(&drawing).unwrap();
    assert!(
        svg.starts_with("<svg ")
            && svg.trim_end().ends_with("</svg>")
            && svg.matches("<path d=").count() == 2
    );
    assert_eq!(user.run(&["book", "plot", "--out", &proof]).refused(1)["rule"], "file");
    assert!(fs::read_to_string(&proof).unwrap().starts_with('{'), "no drawing takes another file's place");
}

#[test]
fn an_expansion_takes_the_place_of_its_stake_and_comes_in_by_no_other_door() {
    let (devnet, user, [old, other], [proof, other_proof]) = stage();
    let height = devnet.tip().height;
    let params = user.run(&["params", "show"]).ok()["versions"][0].clone();
    let (rate, unbonding) = (text(&params, "slashing_rate"), params["unbonding_time"].as_u64().unwrap());
    book(&user, "init");
    let terms = format!("--slashing-rate {rate} --unbonding-time {unbonding} --leverage-limit 200%");
    book(&user, &format!("service add alpha --denomination ualpha {terms} --height {height}"));
    book(&user, &format!("provider add {} --service alpha", provider(0)));
    book(&user, &format!("import {proof}"));
    book(&user, &format!("allocate {old} --service alpha --shared"));
    book(&user, &format!("pool open pool --unbonding-time {unbonding}"));
    book(&user, &format!("mint {old} --pool pool --to alice"));

    let new = text(&user.run(&["expand", &old, "--amount", "0.06btc"]).ok(), "outpoint");
    devnet.mine(1).unwrap();
    let new_proof = user.path("new.json").to_str().unwrap().to_owned();
    user.run(&["prove", &new, "--with-headers", "--out", &new_proof]).ok();

    // Among several, the one that is refused is named, and none comes in.
    let before = book(&user, "show");
    let refusal = refused(&user, &format!("import {other_proof} {new_proof}"), 1);
    assert_eq!(refusal["rule"], "spends-stake", "{refusal}");
    let none = format!("none of 2 stakes is admitted: {new_proof}: ");
    assert!(text(&refusal, "message").starts_with(&none), "{refusal}");
    let next = text(&refusal, "next");
    assert_eq!(next, format!("tapstake book expand {new_proof} --of {old}"));
    // In a book that has neither, it is said which proof brings the other, and what is to be done next can be done.
    let empty = format!("--book {}", user.path("empty.jsonl").display());
    book(&user, &format!("init {empty}"));
    for (earlier, later, rule) in [(&proof, &new_proof, "spends-stake"), (&new_proof, &proof, "spent-stake")]
    {
        let refusal = refused(&user, &format!("import {earlier} {later} {empty}"), 1);
        assert_eq!(refusal["rule"], rule, "{refusal}");
        let (message, next) = (text(&refusal, "message"), text(&refusal, "next"));
        assert!(message.starts_with(&format!("none of 2 stakes is admitted: {later}: ")), "{refusal}");
        assert!(message.contains(&format!(", which {earlier} brings")), "{refusal}");
        assert!(!message.contains("in these books"), "{refusal}");
        assert!(next.starts_with(&format!("leave {proof} out; ")), "{refusal}");
        let both = [format!("book import {proof} alone"), format!("book expand {new_proof} --of {old}")];
        assert!(both.iter().all(|line| next.contains(line)), "{refusal}");
    }
    book(&user, &format!("import {new_proof} {empty} --dry-run"));
    book(&user, &format!("import {proof} {empty}"));
    book(&user, &format!("expand {new_proof} --of {old} {empty}"));
    let rest = book(&user, &format!("import {proof} {other_proof} {new_proof} {empty}"));
    let of = |field: &str, name: &str| {
        rest[field].as_array().unwrap().iter().map(|row| text(row, name)).collect::<Vec<_>>()
    };
    assert_eq!(of("entries", "kind"), ["admit_stake"], "{rest}");
    assert_eq!(of("left_out", "stake"), [old.as_str(), new.as_str()], "{rest}");
    assert_eq!(of("left_out", "status"), ["expanded", "active"], "{rest}");

    let changed = user.path("changed.json");
    fs::write(&changed, fs::read_to_string(&new_proof).unwrap().replacen("6000000", "6000001", 1)).unwrap();
    for (line, code, rule) in [
        (format!("expand {}", changed.display()), 3, None),
        (format!("expand {new_proof}"), 1, Some("no-receiver")),
        (format!("expand {new_proof} --of {other} --holder bob"), 1, Some("unknown-stake")),
        (format!("expand {other_proof} --holder bob"), 1, Some("not-an-expansion")),
        (format!("expand {other_proof} --of {old} --holder bob"), 1, Some("not-an-expansion")),
        (format!("expand {new_proof} --holder lrt:x"), 1, Some("reserved-holder")),
    ] {
        let refusal = refused(&user, &line, code);
        assert!(rule.is_none_or(|rule| refusal["rule"] == rule), "{line}: {refusal}");
    }
    assert_eq!(book(&user, "show"), before, "nothing was recorded");

    let expanded = user.run(&["book", "expand", &new_proof, "--holder", "bob"]);
    assert!(expanded.stderr.contains("tapstake book allocate"), "{}", expanded.stderr);
    let expanded = expanded.ok()["entries"][0].clone();
    assert_eq!(expanded["event"]["expand_stake"]["of"], old);
    assert_eq!((&expanded["pool"], &expanded["shares"]), (&"pool".into(), &"1000000000000".into()));
    let shown = book(&user, "show");
    let [gone, taken] = shown["stakes"].as_array().unwrap().as_slice() else { panic!("{shown}") };
    assert_eq!((&gone["status"], &taken["status"]), (&"expanded".into(), &"active".into()));
    assert_eq!((&taken["stake"], &taken["pool"]), (&new.as_str().into(), &"pool".into()));
    let until = expanded["height"].as_u64().unwrap() + unbonding;
    assert_eq!(taken["leaving"], json!({"alpha": {"nominal_sat": "5000000", "until": until}}));
    assert_eq!(shown["pools"][0]["backing"], json!({"reserves": 6_000_000, "issued": 6_000_000}));
    assert_eq!(shown["pools"][0]["holders"]["bob"], "1000000000000");

    // It counts again from its allocation on, and is slashed once.
    book(&user, &format!("allocate {new} --service alpha --shared"));
    let evidence = equivocation(&user, &local::provider_keypair(&Secp256k1::new(), 0));
    let slashed = book(&user, &format!("slash --evidence {evidence}"));
    assert_eq!(slashed["entries"][0]["losses"].as_array().unwrap().len(), 1, "{slashed}");
    assert_eq!(slashed["entries"][0]["losses"][0]["stake"], new);
    book(&user, &format!("import {other_proof}"));
    assert_eq!(book(&user, "audit")["verdict"], "the books balance");

    // The expanded stake is spent, and was proven nevertheless.
    user.run(&["book", "import", &proof, "--live", "--dry-run"]).refused(3);
    let audit = format!("audit --evidence {evidence} --live --proof {new_proof} {other_proof}");
    let audited = book(&user, &format!("{audit} {proof}"));
    assert_eq!(audited["stakes"], json!({"entered": 3, "proven": 3}), "{audited}");
    assert_eq!(audited["slashings"], json!({"entered": 1, "proven": 1}), "{audited}");
    let unproven = refused(&user, &audit, 3);
    assert_eq!(unproven["rule"], "journal-unproven", "{unproven}");
    assert!(text(&unproven, "message").ends_with(&format!(": no proof of stake {old}")), "{unproven}");
}

#[test]
fn a_book_is_begun_and_kept_as_the_manual_says() {
    let devnet = Devnet::start(&Config::default()).unwrap();
    let mut user = Cli::new("regtest");
    user.set("TAPSTAKE_SOURCE", devnet.electrum_url());
    fs::write(user.path("passphrase"), "a passphrase\n").unwrap();
    let passphrase = user.path("passphrase").to_str().unwrap().to_owned();
    let manual = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cli.md");
    let manual = fs::read_to_string(manual).unwrap();
    let section = manual.split("\n### From nothing to a book\n").nth(1).unwrap();
    let block = section.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let (mut names, mut printed) =
        (vec![("proof.json", user.path("proof.json").display().to_string())], vec![]);
    for line in block.lines() {
        let (command, comment) = line.split_once('#').unwrap_or((line, ""));
        let mut args: Vec<String> = command.split_whitespace().skip(1).map(str::to_owned).collect();
        for (name, value) in &names {
            args.iter_mut().filter(|arg| arg == name).for_each(|arg| arg.clone_from(value));
        }
        if command.starts_with("tapstake provider init") {
            args.extend(["--passphrase-file", &passphrase, "--work-factor", "1"].map(str::to_owned));
        }
        let shown = user.run(&args.iter().map(String::as_str).collect::<Vec<_>>()).ok();
        match comment.trim().split(';').next().unwrap() {
            "KEY" => names.push(("KEY", text(&shown, "provider"))),
            "ADDRESS" => names.push(("ADDRESS", text(&shown["addresses"][0], "address"))),
            "OUTPOINT" => names.push(("OUTPOINT", text(&shown, "outpoint"))),
            _ => {}
        }
        for order in comment.split("devnet:").skip(1).flat_map(|orders| orders.split(';')) {
            match order.split_whitespace().collect::<Vec<_>>().as_slice() {
                ["mine", blocks] => drop(devnet.mine(blocks.parse().unwrap()).unwrap()),
                ["fund", "ADDRESS", btc] => {
                    let (_, address) = names.last().unwrap();
                    let address: bitcoin::Address<_> = address.parse().unwrap();
                    let amount = Amount::from_str_in(btc, bitcoin::Denomination::Bitcoin).unwrap();
                    devnet.fund(&address.assume_checked().script_pubkey(), amount).unwrap();
                }
                other => panic!("{other:?}"),
            }
        }
        printed.push(shown);
    }
    assert!(printed.len() > 20, "{}", printed.len());
    let of = |kind: &str, field: &str| {
        let entries = printed.iter().filter_map(|shown| shown["entries"].get(0));
        let found: Vec<_> = entries.filter(|entry| entry["kind"] == kind).collect();
        assert_eq!(found.len(), 1, "{kind}");
        found[0][field].clone()
    };
    assert!(of("admit_stake", "height").as_u64() < Some(110));
    assert_eq!((of("mint", "shares"), of("claim", "paid")), ("100000000000000".into(), "950000".into()));
    assert_eq!(
        (of("claim_commission", "paid"), of("request_withdrawal", "matures_at")),
        ("50000".into(), 120.into())
    );
    let borne = json!([{"pool": "main", "from_shares_sat": 900, "from_exits_sat": 100}]);
    assert_eq!((of("write_down", "borne"), of("finalise_exit", "paid_sat")), (borne, 9_999_900.into()));
    assert_eq!(printed.last().unwrap()["verdict"], "the books balance");
}

/// An operator with a small book, and no chain.
fn small() -> Cli {
    let user = Cli::new("regtest");
    book(&user, "init");
    for pool in 0..6 {
        book(&user, &format!("pool open p{pool} --unbonding-time 100 --height 50"));
    }
    user
}

#[test]
fn a_touched_journal_is_refused_with_the_number_of_its_line_and_the_index_is_made_anew() {
    let user = small();
    let (journal, index) = (user.data().join("book.jsonl"), user.data().join("book.jsonl.index"));
    let whole = fs::read_to_string(&journal).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    let without = |at: usize| [&lines[..at], &lines[at + 1..]].concat().join("\n") + "\n";
    let repeated = [&lines[..4], &lines[3..]].concat().join("\n") + "\n";
    for (content, rule, line) in [
        (whole.replacen("p2", "p9", 1), "journal-hash", 4),
        (without(3), "journal-hash", 4),
        (without(6), "journal-shortened", 7),
        (repeated, "journal-hash", 5),
        (whole[..whole.len() - 40].to_owned(), "journal-shortened", 7),
    ] {
        fs::write(&journal, &content).unwrap();
        for command in ["show", "audit", "pool open q --unbonding-time 9", "plot --out x.svg"] {
            let error = refused(&user, command, 3);
            assert_eq!(error["rule"], rule, "{error}");
            assert!(text(&error, "message").contains(&format!("line {line}:")), "{error}");
        }
        assert_eq!(fs::read_to_string(&journal).unwrap(), content, "left as it is");
    }
    fs::write(&journal, &whole).unwrap();
    for damaged in [None, Some(&b"no database at all"[..])] {
        match damaged {
            None => fs::remove_file(&index).unwrap(),
            Some(bytes) => fs::write(&index, bytes).unwrap(),
        }
        assert_eq!(book(&user, "show")["entries"], 6);
        assert_eq!(book(&user, "audit")["index"]["state"], "current");
    }
    let aside = user.data().join("aside");
    fs::rename(&index, &aside).unwrap();
    fs::create_dir(&index).unwrap();
    for command in ["show", "audit"] {
        assert_eq!(refused(&user, command, 1)["rule"], "index-access");
    }
    fs::remove_dir(&index).unwrap();
    fs::rename(&aside, &index).unwrap();
    assert_eq!(fs::read_to_string(&journal).unwrap(), whole);
    let elsewhere = user.run(&["book", "show", "--network", "signet", "--book", journal.to_str().unwrap()]);
    assert_eq!(elsewhere.refused(1)["rule"], "network");
}

#[test]
fn two_processes_at_once_make_one_history() {
    let user = small();
    std::thread::scope(|scope| {
        for process in 0..4 {
            let user = &user;
            scope.spawn(move || {
                for turn in 0..5 {
                    book(user, &format!("pool open q{process}-{turn} --unbonding-time 100"));
                }
            });
        }
    });
    let audited = book(&user, "audit");
    assert_eq!((&audited["entries"], &audited["index"]["state"]), (&26.into(), &"current".into()));
}

#[test]
fn a_writer_killed_at_any_moment_loses_nothing_that_it_has_acknowledged() {
    let user = small();
    let journal = user.data().join("book.jsonl");
    let add = |name: &str| {
        let mut command = Command::new(program());
        command.env_clear().args(["--json", "--network", "regtest", "book", "pool", "open", name]);
        command.args(["--unbonding-time", "100", "--book"]).arg(&journal);
        command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
    };
    let begun = Instant::now();
    assert!(add("first").wait_with_output().unwrap().status.success());
    let span = begun.elapsed() + Duration::from_millis(2);
    let (mut acknowledged, mut killed, mut unsaid) = (7, 0, 0);
    for kill in 0..60u32 {
        let mut process = add(&format!("k{kill}"));
        std::thread::sleep(span * kill / 60);
        let _ = process.kill();
        let output = process.wait_with_output().unwrap();
        let said = serde_json::from_slice::<Value>(&output.stdout).is_ok();
        killed += u32::from(!output.status.success());
        let entries = book(&user, "audit")["entries"].as_u64().unwrap();
        assert!(entries == acknowledged || entries == acknowledged + 1, "{entries} after {acknowledged}");
        assert!(!said || entries == acknowledged + 1, "acknowledged and lost");
        unsaid += u32::from(!said && entries == acknowledged + 1);
        acknowledged = entries;
    }
    assert!(killed > 10, "{killed} of 60 were killed, {unsaid} of them after writing");
    let shown = book(&user, "show");
    assert_eq!(shown["entries"], acknowledged);
    assert_eq!(shown["pools"].as_array().unwrap().len() as u64, acknowledged);
}
