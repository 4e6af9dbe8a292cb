//! A provider's process killed at random points while it is asked to vote, with conflicting requests in between.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tapstake_signer::provider::{MarkerState, Status};
use tapstake_tests::{Cli, program};
use tapstake_verifier::equivocation::SignedVote;

/// As many as end in half a minute on a slow machine, and no more.
const KILLS: u32 = 250;
const TIME: Duration = Duration::from_secs(30);

/// Not random to anybody, the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

struct Provider {
    user: Cli,
    passphrase: PathBuf,
    answers: PathBuf,
}

impl Provider {
    fn new() -> Self {
        let user = Cli::new("regtest");
        let (passphrase, answers) = (user.path("passphrase"), user.path("answers"));
        std::fs::write(&passphrase, "correct horse\n").unwrap();
        let provider = Provider { user, passphrase, answers };
        provider.run(&["init", "--service", "test-chain", "--work-factor", "1"]).ok();
        provider.run(&["commit", "--start", "0", "--count", "10000"]).ok();
        provider
    }

    fn run(&self, args: &[&str]) -> tapstake_tests::Outcome {
        let passphrase = ["--passphrase-file", self.passphrase.to_str().unwrap()];
        self.user.run(&[&["provider"], args, &passphrase].concat())
    }

    fn folder(&self) -> PathBuf {
        self.user.data().join("provider")
    }

    /// Asks a process for these votes and kills it after a while; everything it printed until then.
    fn ask_and_kill(&self, requests: &[(u64, u8)], after: Duration) -> Vec<Value> {
        let mut command = Command::new(program());
        command.env_clear().env("HOME", self.user.path(""));
        command.args(["--network", "regtest", "--data-dir"]).arg(self.user.path("data"));
        command.args(["provider", "vote", "--stdin", "--passphrase-file"]).arg(&self.passphrase);
        // Into a file: what has left the process is there, whenever it dies.
        command.stdin(Stdio::piped()).stdout(File::create(&self.answers).unwrap()).stderr(Stdio::inherit());
        let mut process = command.spawn().unwrap();
        let lines: String =
            requests.iter().map(|(height, fork)| format!("{height} {}\n", hash(*fork))).collect();
        let mut stdin = process.stdin.take().unwrap();
        stdin.write_all(lines.as_bytes()).unwrap();
        thread::sleep(after);
        process.kill().unwrap();
        process.wait().unwrap();
        let printed = std::fs::read_to_string(&self.answers).unwrap();
        printed.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

fn hash(fork: u8) -> String {
    format!("{fork:02x}").repeat(32)
}

#[test]
fn a_provider_killed_at_random_points_never_signs_two_blocks_at_one_height() {
    let provider = Provider::new();
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut left: BTreeMap<u64, SignedVote> = BTreeMap::new();
    let (mut requests, mut kills, mut signatures, mut conflicts, mut halfway) = (0, 0, 0, 0, 0);
    let mut next = 0_u64;
    // How long a process lives at the most, so that some are killed at their start and some in the midst of voting, however
    // slow the machine is.
    let mut longest = 50_000;
    let start = Instant::now();
    while kills < KILLS && start.elapsed() < TIME {
        // Around the heights that the last process was killed at: known blocks, conflicting ones, and new heights.
        let asked: Vec<_> = (0..40)
            .map(|i| {
                let height = (next + i / 4).saturating_sub(dice.below(4));
                (height, u8::try_from(dice.below(3)).unwrap())
            })
            .collect();
        let after = Duration::from_micros(dice.below(longest));
        let answers = provider.ask_and_kill(&asked, after);
        longest = if answers.len() < asked.len() / 2 { longest * 21 / 20 } else { longest * 9 / 10 };
        kills += 1;
        requests += asked.len().min(answers.len() + 1);
        for ((height, fork), answer) in asked.iter().zip(&answers) {
            next = next.max(*height);
            if answer.get("error").is_some() {
                let rule = answer["error"]["rule"].as_str().unwrap();
                assert!(matches!(rule, "double-vote" | "height-not-above"), "{answer}");
                conflicts += u32::from(rule == "double-vote");
                continue;
            }
            let signed: SignedVote = serde_json::from_value(answer.clone()).unwrap();
            assert_eq!((signed.vote.height, signed.vote.block_hash), (*height, [*fork; 32]));
            let first = left.entry(*height).or_insert_with(|| signed.clone());
            assert!(*first == signed, "two signatures left for height {height}: {first:?} and {signed:?}");
            signatures += 1;
        }
        halfway += u32::from(Status::read(&provider.folder()).unwrap().marker_state == MarkerState::OneAhead);
    }
    println!(
        "{requests} requests, {kills} kills ({halfway} between marker and record), {signatures} signatures that left for {} \
         heights, {conflicts} double votes refused, {:.1} s",
        left.len(),
        start.elapsed().as_secs_f64()
    );
    assert!(kills >= 20 && left.len() >= 20 && conflicts >= 20, "the loop got nowhere");

    // No kill keeps it from going on, and each height has kept its block.
    for (height, signed) in &left {
        let [height, block, other] = [height.to_string(), hash(signed.vote.block_hash[0]), hash(0xee)];
        if dice.below(10) == 0 {
            let again = provider.run(&["vote", "--height", &height, "--block-hash", &block]).ok();
            assert_eq!(serde_json::from_value::<SignedVote>(again).unwrap(), *signed);
            let refused = provider.run(&["vote", "--height", &height, "--block-hash", &other]).refused(1);
            assert_eq!(refused["rule"], "double-vote", "{refused}");
        }
    }
    let markers = provider.user.path(".local/state/tapstake");
    provider.run(&["vote", "--height", "9999", "--block-hash", &hash(1)]).ok();
    assert_eq!(
        std::fs::read_dir(markers).unwrap().count(),
        2,
        "a marker, its lock, and nothing left by the killed"
    );
}
