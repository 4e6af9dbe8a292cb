//! A provider's process killed at every single system call of a vote, before and after it.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::ptrace::{self, Options};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use tapstake_crypto::eots::Vote;
use tapstake_signer::keyfile::{Passphrase, WorkFactor};
use tapstake_signer::provider::{MarkerState, NewProvider, Origin, Provider, ProviderError, Status};
use tapstake_tests::program;
use tapstake_verifier::equivocation::SignedVote;
use tempfile::TempDir;

const PASSPHRASE: &str = "correct horse";
const HEIGHT: u64 = 7;
const ASKED: [u8; 32] = [0xaa; 32];
const OTHER: [u8; 32] = [0xbb; 32];

/// A provider with one vote, and the state to go back to.
struct Rig {
    home: TempDir,
}

impl Rig {
    fn new() -> Self {
        let rig = Rig { home: tempfile::tempdir().unwrap() };
        let mut provider = Provider::init(&NewProvider {
            folder: &rig.path("now").join("provider"),
            marker_folder: &rig.path("now").join("markers"),
            service: "test-chain",
            origin: Origin::Fresh,
            passphrase: &passphrase(),
            work: WorkFactor::Fixed(1),
        })
        .unwrap();
        provider.commit(0, 20).unwrap();
        provider.vote(Vote { height: HEIGHT - 1, block_hash: ASKED }).unwrap();
        drop(provider);
        copy(&rig.path("now"), &rig.path("before"));
        rig
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn folder(&self) -> PathBuf {
        self.path("now").join("provider")
    }

    fn reset(&self) {
        fs::remove_dir_all(self.path("now")).unwrap();
        copy(&self.path("before"), &self.path("now"));
    }

    /// Starts the program, which waits for its passphrase.
    fn start(&self) -> Child {
        let mut command = Command::new(program());
        command.env_clear().env("HOME", self.home.path()).args(["--json", "provider", "vote"]);
        command.args(["--height", &HEIGHT.to_string(), "--block-hash", &"aa".repeat(32)]);
        command.args(["--passphrase-file", "-", "--provider-dir"]).arg(self.folder());
        command.stdin(Stdio::piped()).stdout(File::create(self.path("answer")).unwrap());
        let process = command.spawn().unwrap();
        let stat = format!("/proc/{}/stat", process.id());
        // Asleep: it reads stdin.
        while !fs::read_to_string(&stat).unwrap().contains(") S ") {
            thread::sleep(Duration::from_micros(200));
        }
        process
    }

    /// Lets the program vote and kills it at its `last`-th stop: each system call has one before it and one after. False if it
    /// ended before.
    fn vote_until(&self, last: u32) -> bool {
        let mut process = self.start();
        let pid = Pid::from_raw(i32::try_from(process.id()).unwrap());
        ptrace::seize(pid, Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_EXITKILL).unwrap();
        ptrace::interrupt(pid).unwrap();
        waitpid(pid, None).unwrap();
        process.stdin.take().unwrap().write_all(PASSPHRASE.as_bytes()).unwrap();
        for _ in 0..last {
            ptrace::syscall(pid, None).unwrap();
            match waitpid(pid, None).unwrap() {
                WaitStatus::PtraceSyscall(_) => {}
                WaitStatus::Exited(_, code) => {
                    assert_eq!(code, 0, "an undisturbed vote is given");
                    return false;
                }
                other => panic!("{other:?}"),
            }
        }
        process.kill().unwrap();
        process.wait().unwrap();
        true
    }

    /// The vote that left the process, if one did.
    fn answer(&self) -> Option<SignedVote> {
        serde_json::from_slice(&fs::read(self.path("answer")).unwrap()).ok()
    }

    fn vote(&self, block_hash: [u8; 32]) -> Result<SignedVote, ProviderError> {
        let mut provider = Provider::open(&self.folder(), &passphrase()).expect("no kill blocks a restart");
        provider.vote(Vote { height: HEIGHT, block_hash })
    }
}

fn passphrase() -> Passphrase {
    Passphrase::new(PASSPHRASE.to_owned()).unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn a_provider_killed_at_any_system_call_never_signs_two_blocks_and_always_restarts() {
    let rig = Rig::new();
    let (mut unbound, mut halfway, mut written, mut left) = (0, 0, 0, 0);
    let mut stop = 1;
    while rig.vote_until(stop) {
        let answer = rig.answer();
        match Status::read(&rig.folder()).unwrap() {
            Status { marker_state: MarkerState::OneAhead, .. } => halfway += 1,
            Status { next_height, .. } if next_height > HEIGHT => written += 1,
            _ => unbound += 1,
        }
        left += u32::from(answer.is_some());
        // Another block is asked for first, which is what an attacker of the service would do.
        match rig.vote(OTHER) {
            Ok(other) => {
                assert_eq!(answer, None, "stop {stop}: both blocks got a signature");
                assert_eq!(rig.vote(OTHER).unwrap(), other);
                assert!(matches!(rig.vote(ASKED), Err(ProviderError::DoubleVote { .. })));
            }
            Err(ProviderError::DoubleVote { recorded: ASKED, asked: OTHER, .. }) => {
                let again = rig.vote(ASKED).unwrap();
                assert!(answer.is_none_or(|answer| answer == again), "stop {stop}: two signatures");
            }
            Err(error) => panic!("stop {stop}: {error}"),
        }
        rig.reset();
        stop += 1;
    }
    let kills = stop - 1;
    println!(
        "{kills} kills, before and after each of {} system calls: {unbound} before the height was bound, {halfway} between \
         marker and record, {written} after the record, {left} with the signature out",
        kills / 2
    );
    assert!(unbound > 0 && halfway > 0 && written > 0 && left > 0, "every part of a vote was hit");
}
