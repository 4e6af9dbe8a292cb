//! Processes killed without warning, and what is left of them.
//!
//! The child of a test is the same test, started again with a role in its environment.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use bitcoin::key::Secp256k1;
use bitcoin::{Network, OutPoint};
use support::{Stage, source};
use tapstake_params::local::{self, Slashed};
use tapstake_tracker::{StakeRecord, StakeState, Store, resume};
use tapstake_tx::delegation::CheckedDelegation;

const ROLE: &str = "TAPSTAKE_TEST_CHILD";
const SAYS: &str = "child: ";

/// Starts this very test again, in a role. It is killed when the handle is.
struct Killed(Child);

impl Killed {
    fn start(test: &str, role: &str, store: &Path, url: &str) -> (Self, BufReader<ChildStdout>) {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture", "--test-threads=1"])
            .env(ROLE, role)
            .env("TAPSTAKE_TEST_STORE", store)
            .env("TAPSTAKE_TEST_URL", url)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        (Killed(child), said)
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        // SIGKILL: the process has no chance to tidy up.
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn say(what: impl std::fmt::Display) {
    let mut out = std::io::stdout();
    // The test harness may have begun a line.
    writeln!(out, "\n{SAYS}{what}").unwrap();
    out.flush().unwrap();
}

fn heard(lines: impl BufRead) -> impl Iterator<Item = String> {
    lines.lines().filter_map(|line| line.ok()?.strip_prefix(SAYS).map(str::to_owned))
}

fn store_of_child() -> Store {
    Store::open(Path::new(&env::var("TAPSTAKE_TEST_STORE").unwrap())).unwrap()
}

#[test]
fn every_stake_whose_insertion_returned_survives_a_kill() {
    const TEST: &str = "every_stake_whose_insertion_returned_survives_a_kill";
    if env::var(ROLE).is_ok() {
        let mut store = store_of_child();
        let first = store.list().unwrap().pop().unwrap();
        for n in 1.. {
            let outpoint = OutPoint { vout: first.outpoint.vout + n, ..first.outpoint };
            store.insert(&StakeRecord { outpoint, ..first.clone() }).unwrap();
            say(outpoint);
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stakes.sqlite");
    let stage = Stage::new();
    let mut record = stage.prepare(20);
    record.staking_tx = None;
    Store::open(&file).unwrap().insert(&record).unwrap();
    let mut known = 1;
    for round in 0..12 {
        let (child, said) = Killed::start(TEST, "insert", &file, "");
        let mut said = heard(said);
        let mut inserted: Vec<String> = said.by_ref().take(3 + round).collect();
        // At any point of an insertion.
        std::thread::sleep(Duration::from_micros(371 * round as u64));
        drop(child);
        inserted.extend(said);

        let listed = Store::open(&file).unwrap().list().unwrap();
        // The last one may have been committed without a word.
        let new = listed.len() - known;
        assert!(new == inserted.len() || new == inserted.len() + 1, "{new} new, {} said", inserted.len());
        known = listed.len();
        for outpoint in inserted {
            let outpoint = outpoint.parse::<OutPoint>().unwrap();
            assert!(listed.iter().any(|record| record.outpoint == outpoint), "{outpoint}");
        }
    }
}

#[test]
fn a_process_killed_around_its_broadcast_finds_its_stake_again() {
    const TEST: &str = "a_process_killed_around_its_broadcast_finds_its_stake_again";
    if let Ok(role) = env::var(ROLE) {
        // The stake is handed over by the list of the parent.
        let record = store_of_child().list().unwrap().pop().unwrap();
        let mut store =
            Store::open(&Path::new(&env::var("TAPSTAKE_TEST_STORE").unwrap()).with_extension("own")).unwrap();
        store.insert(&record).unwrap();
        if role == "after broadcast" {
            let schedule = local::schedule(&Secp256k1::new(), Network::Regtest, Slashed::Burned).unwrap();
            let kept = store_of_child().delegation(&record.outpoint).unwrap().unwrap();
            let CheckedDelegation::Verified(verified) = kept.check(&Secp256k1::new(), &schedule).unwrap()
            else {
                panic!("the parent kept a verified one")
            };
            resume(source(&env::var("TAPSTAKE_TEST_URL").unwrap()).as_ref(), &verified).unwrap();
        }
        say("ready to die");
        std::thread::sleep(Duration::from_secs(60));
        return;
    }
    let stage = Stage::new();
    for (role, expected) in
        [("before broadcast", StakeState::Prepared), ("after broadcast", StakeState::InMempool)]
    {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("stakes.sqlite");
        let record = stage.prepare(20);
        let verified = stage.verified(&record);
        let mut store = Store::open(&file).unwrap();
        store.insert(&record).unwrap();
        store.keep_delegation(&verified.package()).unwrap();
        let (child, said) = Killed::start(TEST, role, &file, &stage.devnet.electrum_url());
        assert_eq!(heard(said).next().as_deref(), Some("ready to die"));
        drop(child);

        let store = Store::open(&file.with_extension("own")).unwrap();
        let [found] = <[StakeRecord; 1]>::try_from(store.list().unwrap()).unwrap();
        assert_eq!(found, record);
        assert_eq!(stage.state(&found), expected);
        if expected == StakeState::Prepared {
            resume(stage.source.as_ref(), &verified).unwrap();
        }
        stage.devnet.mine(1).unwrap();
        assert!(matches!(stage.state(&found), StakeState::Confirmed { confirmations: 1, .. }));
        stage.withdraw_as_soon_as_possible(&found);
    }
}
