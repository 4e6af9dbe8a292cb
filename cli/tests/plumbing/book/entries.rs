//! What is shown of entries, of which number and height they are, and what to do where they are refused.

use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use tapstake_ledger::Ledger;

use super::{Kept, outpoint};
use crate::equivocation::{file, proof, vote};
use crate::support::{KEYS, PROVIDER, json as json_of, run, stderr, tapstake};

impl Kept {
    /// A book without entries.
    fn begun() -> Self {
        let kept = Kept { folder: tempfile::tempdir().unwrap() };
        kept.json("init");
        kept
    }

    fn entries(&self) -> u64 {
        self.json("show")["entries"].as_u64().unwrap()
    }

    /// Makes an entry that no command makes without evidence.
    fn slash(&self, provider: &str, height: u32) {
        let mut ledger = Ledger::open(&self.file()).unwrap();
        let slash = json!({"height": height, "event": {"slash": {"provider": provider}}});
        ledger.append(serde_json::from_value(slash).unwrap()).unwrap();
    }

    fn rows(&self, line: &str) -> Vec<String> {
        let text = self.text(line);
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    }
}

fn next(refused: &serde_json::Value) -> &str {
    refused["next"].as_str().unwrap()
}

#[test]
fn an_entry_that_is_to_have_another_number_is_not_made() {
    let kept = Kept::new();
    kept.paid();
    let first = kept.entries() + 1;
    let line = |number: u64| format!("transfer 1000000 --pool p --from bob --to cid --expect {number}");
    for wrong in [1, first - 1, first + 1, u64::MAX] {
        let refused = kept.refused(&line(wrong), "entry-number");
        assert_eq!(refused, kept.refused(&format!("{} --dry-run", line(wrong)), "entry-number"));
    }
    // Numbers begin at 1.
    assert_eq!(run(&kept.line(&line(0))).status.code(), Some(2));
    assert_eq!(kept.entry(&line(first))["counter"], first);
    let made = kept.refused(&line(first), "entry-number");
    assert!(next(&made).starts_with("tapstake book log --last 1 shows"), "{made}");
    let logged = kept.json("log --last 1");
    assert_eq!(logged["entries"][0]["event"]["transfer"]["to"], "cid", "{logged}");
    // Of several it is the number of the first.
    let claims = format!("claim --all --expect {}", first + 1);
    assert_eq!(kept.json(&claims)["entries"].as_array().unwrap().len(), 3);
    let made = kept.refused(&claims, "entry-number");
    assert!(next(&made).starts_with("tapstake book log --last 3 shows"), "{made}");
    let ends = format!("end --due --height 10000 --yes --expect {}", first + 4);
    kept.json(&ends);
    kept.refused(&ends, "entry-number");
}

#[test]
fn a_killed_command_with_a_number_is_run_again_without_harm() {
    let kept = Kept::new();
    let first = kept.entries() + 1;
    for number in first..first + 12 {
        let line = kept.line(&format!("transfer 1000000 --pool p --from bob --to cid --expect {number}"));
        let mut command = tapstake();
        command.args(line.split_whitespace()).stdout(Stdio::null());
        let mut killed = command.spawn().unwrap();
        std::thread::sleep(Duration::from_millis(5 * (number - first)));
        killed.kill().unwrap();
        killed.wait().unwrap();
        let again = run(&line);
        let refused = stderr(&again).contains("[entry-number]");
        assert!(again.status.success() || refused, "{}", stderr(&again));
        assert_eq!(kept.entries(), number, "once, and not twice");
    }
}

#[test]
fn a_first_height_that_no_chain_has_is_asked_about() {
    for (network, first) in [("mainnet", 2_000_000), ("regtest", 10_000_000)] {
        let kept = Kept { folder: tempfile::tempdir().unwrap() };
        kept.json(&format!("init --network {network}"));
        let open = |name: &str, height: u32| {
            format!("pool open {name} --unbonding-time 9 --network {network} --height {height}")
        };
        let refused = kept.refused(&open("a", first), "height-ahead");
        assert!(next(&refused).contains("--yes"), "{refused}");
        assert!(refused["message"].as_str().unwrap().contains(&first.to_string()), "{refused}");
        kept.refused(&format!("{} --dry-run", open("a", first)), "height-ahead");
        assert_eq!(kept.entry(&open("a", first - 1))["height"], first - 1);
    }
    let kept = Kept::begun();
    assert_eq!(kept.entry("pool open a --unbonding-time 9 --height 22250000 --yes")["height"], 22_250_000);
    // No height would do for a stake now.
    let proof = proof(3, None);
    let import = format!("import --provider {PROVIDER} {}", proof.path());
    for height in ["", " --height 22250000"] {
        let refused = kept.refused(&format!("{import}{height}"), "inactive");
        assert!(next(&refused).contains("below height 22250000") && next(&refused).contains("another book"));
    }
}

#[test]
fn an_entry_shows_what_it_says_before_it_is_made() {
    let kept = Kept::new();
    let (first, p) = (outpoint(1), KEYS[2]);
    let terms = "--denomination uc --slashing-rate 0.1 --unbonding-time 7 --leverage-limit 150%";
    for (line, said) in [
        (
            format!("allocate {first} --service a --part {p}=0.0007btc --height 101"),
            vec![
                format!("stake {first}"),
                "service a".to_owned(),
                "counted now 70000 sat".to_owned(),
                "leverage 200%".to_owned(),
                "still stands for a: 100000 sat below height 201".to_owned(),
            ],
        ),
        (
            "pool reward p 777sat --height 101".to_owned(),
            vec!["pool p".to_owned(), "reward 777 sat".to_owned()],
        ),
        (
            "transfer 1000000 --pool p --from bob --to cid".to_owned(),
            vec!["from bob".to_owned(), "to cid".to_owned(), "transferred 1000000 shares of p".to_owned()],
        ),
        (
            "pool choose l a 50%".to_owned(),
            vec!["pool l".to_owned(), "counts 50% of the deposits".to_owned()],
        ),
        (
            format!("service add c {terms}"),
            vec![
                "pays in uc".to_owned(),
                "leverage limit 150%".to_owned(),
                "unbonding time 7 blocks".to_owned(),
            ],
        ),
        (
            format!("provider commission {p} 6% --service a"),
            vec![format!("provider {p}"), "service a".to_owned()],
        ),
    ] {
        for line in [format!("{line} --dry-run"), line] {
            let rows = kept.rows(&line);
            for said in &said {
                assert!(rows.contains(said), "{line}: {said}: {rows:#?}");
            }
            let mut once = rows.clone();
            once.sort();
            once.dedup();
            assert_eq!(once.len(), rows.len(), "{line}: nothing is said twice: {rows:#?}");
        }
    }
    let counts = kept.entry(&format!("allocate {first} --service b --withdraw --height 110"));
    assert_eq!((&counts["counted_sat"], &counts["leverage"]), (&0.into(), &2_000_000.into()), "{counts}");
}

#[test]
fn a_slashing_names_its_provider_and_one_that_the_book_does_not_know_is_warned_of() {
    let votes = [1, 2].map(|block| file(&vote(7, block)));
    let folder = tempfile::tempdir().unwrap();
    let evidence = folder.path().join("evidence.json");
    let [first, second] = votes.each_ref().map(|vote| vote.path());
    json_of(&format!("equivocation {first} {second} --out {}", evidence.display()));
    let warned = |kept: &Kept| {
        let slash = format!("slash --evidence {} --height 110 --dry-run", evidence.display());
        assert!(kept.rows(&slash).contains(&format!("provider {PROVIDER}")));
        stderr(&run(&kept.line(&slash)))
            .contains(&format!("provider {PROVIDER} serves no service of this book"))
    };
    assert!(warned(&Kept::begun()));
    let kept = Kept::new();
    assert!(!warned(&kept));
    // It serves one, and has no stake.
    let kept = Kept::begun();
    let terms = "--denomination uc --slashing-rate 0.1 --unbonding-time 7 --leverage-limit 150%";
    kept.json(&format!("service add c {terms}"));
    kept.json(&format!("provider add {PROVIDER} --service c"));
    assert!(!warned(&kept));
}

#[test]
fn a_provider_is_shown_with_what_its_own_slashing_takes() {
    let kept = Kept::new();
    let (p, q) = (KEYS[2], KEYS[1]);
    let of = |service: usize, provider: usize| {
        kept.json("show")["services"][service]["providers"][provider]["slashable_sat"].clone()
    };
    // Both stakes count for a, the first for b as well.
    assert_eq!([of(0, 0), of(0, 1), of(1, 0), of(1, 1)], [10_150, 5_150, 10_150, 0]);
    assert_eq!(kept.json("show")["services"][0]["slashable_sat"], 15_300);
    let rows = kept.rows("show");
    for row in [
        "a ua 10% 100 200% 2 150000 15300 0 0".to_owned(),
        "b ub 10% 100 200% 1 100000 10150 0 0".to_owned(),
        format!("a {p} 5% 100000 10150 0 ua 0 0 0 0 0 0"),
        format!("a {q} 0% 50000 5150 0 ua 0 0 0 0 0 0"),
        format!("b {q} 0% 0 0 0 ub 0 0 0 0 0 0"),
    ] {
        assert!(rows.contains(&row), "{row}: {rows:#?}");
    }
    kept.paid();
    kept.entry(&format!("claim --commission {p} --service b"));
    kept.entry(&format!("claim {} --service a", outpoint(1)));
    let rows = kept.rows("show --service a");
    let row = format!("a {p} 5% 100000 10150 200000 ua 190000 0 10000 0 0 1.9");
    assert!(rows.contains(&row), "{row}: {rows:#?}");
    let header = "at service provider commission staked sat slashable sat put in paid to stakes commission paid commission owed";
    assert!(rows.iter().any(|row| row.starts_with(header)), "{rows:#?}");
    let rows = kept.rows("show --service b");
    let row = format!("b {p} 5% 100000 10150 10000 ub 0 500 0 0 0 0.095");
    assert!(rows.contains(&row), "{row}: {rows:#?}");
    kept.slash(q, 120);
    assert_eq!([of(0, 0), of(0, 1)], [10_150, 0], "slashed once");
}

#[test]
fn what_a_pool_misses_is_told_as_the_sum_of_the_pool() {
    let kept = Kept::new();
    kept.entry(&format!("end {} --by spent --height 110", outpoint(1)));
    kept.entry(&format!("end {} --by unbonding", outpoint(2)));
    let rows = kept.rows(&format!("return {} --amount 49000sat --height 210", outpoint(2)));
    assert!(rows.contains(&"pool misses in all 101000 sat".to_owned()), "{rows:#?}");
}

#[test]
fn what_to_do_next_is_what_the_book_allows() {
    let kept = Kept::new();
    let (first, second) = (outpoint(1), outpoint(2));
    // Nothing is missing: that is no reward.
    let nothing = kept.refused("pool write-down p 5sat", "not-missing");
    assert!(!next(&nothing).contains("pool reward") && next(&nothing).contains("--by spent"), "{nothing}");
    // A name that is not there.
    for line in [
        "show --pool q",
        "show --holder bob --pool q",
        "risk --pool q",
        "log --pool q",
        "pool reward q 5sat --height 101",
    ] {
        let unknown = kept.refused(line, "unknown-pool");
        assert_eq!(
            next(&unknown),
            "the book has the pools p, l; tapstake book pool open q opens it",
            "{line}"
        );
    }
    let unknown = kept.refused(&format!("allocate {first} --service c --withdraw"), "unknown-service");
    assert_eq!(next(&unknown), "the book has the services a, b; tapstake book service add c registers it");
    // What was asked for in sat is answered in sat.
    let more = kept.refused("exit --amount 5btc --pool p --holder bob", "balance-of-holder");
    assert_eq!(next(&more), "give at most --amount 50000sat");
    assert_eq!(kept.entry("exit --amount 50000sat --pool p --holder bob --dry-run")["quoted_sat"], 50_000);
    let more = kept.refused("exit 50000000001 --pool p --holder bob", "balance-of-holder");
    assert_eq!(next(&more), "give at most 50000000000 shares");

    // A slashed stake comes back once.
    kept.slash(KEYS[2], 120);
    for line in [format!("allocate {first} --service a --shared"), format!("end {first} --by unbonding")] {
        assert!(next(&kept.refused(&line, "inactive")).starts_with("tapstake book return"), "{line}");
    }
    kept.entry(&format!("return {first} --amount 89900sat"));
    for line in [format!("allocate {first} --service a --shared"), format!("end {first} --by unbonding")] {
        let refused = kept.refused(&line, "inactive");
        assert!(next(&refused).contains(&format!("tapstake book show --stake {first}")), "{refused}");
        assert!(!next(&refused).contains("return"), "{refused}");
    }
    // A stake that no pool has gives nothing back to one.
    let mut ledger = Ledger::open(&kept.file()).unwrap();
    let stake = json!({"height": 120, "event": {"admit_stake": {"stake": {
        "outpoint": outpoint(3), "spends": [outpoint(103)], "unbonding": outpoint(203), "value": 50_000,
        "slashed": 5_000, "refund": 44_900, "unbonding_refund": 44_850, "owner": "text:ann", "providers": [KEYS[1]],
        "inclusion_height": 90, "expires_at": 10_000, "unbonding_time": 100,
    }}}});
    ledger.append(serde_json::from_value(stake).unwrap()).unwrap();
    drop(ledger);
    for (stake, goes_back) in [(second, true), (outpoint(3), false)] {
        kept.entry(&format!("end {stake} --by unbonding --height 121"));
        let refused = kept.refused(&format!("allocate {stake} --service a --shared"), "inactive");
        assert_eq!(next(&refused).contains("tapstake book return"), goes_back, "{refused}");
    }
    // What is named can be done as it is said.
    let slashed = kept
        .refused(&format!("reward 5 --service a --provider {} --height 122", KEYS[2]), "slashed-provider");
    assert!(
        next(&slashed).contains(&format!("tapstake book give-back --service NAME --provider {}", KEYS[2]))
    );
    // As it is said it is no malformed command.
    kept.refused(&format!("give-back --service a --provider {}", KEYS[2]), "nothing-owed");
}
