//! A provider's process killed between any two of its system calls: while it votes, is made, and is recovered.
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
use tapstake_signer::keyfile::{Passphrase, SecretBytes, WorkFactor};
use tapstake_signer::provider::{History, MarkerState, NewProvider, Origin, Provider, ProviderError, Status};
use tapstake_tests::program;
use tapstake_verifier::equivocation::SignedVote;
use tempfile::TempDir;

const PASSPHRASE: &str = "correct horse";
const HEIGHT: u64 = 7;
const ASKED: [u8; 32] = [0xaa; 32];
const OTHER: [u8; 32] = [0xbb; 32];

/// A machine, and the state it goes back to before each run.
struct Rig {
    home: TempDir,
}

impl Rig {
    /// What `prepare` makes is the state to go back to.
    fn new(prepare: impl FnOnce(&Rig)) -> Self {
        let rig = Rig { home: tempfile::tempdir().unwrap() };
        fs::create_dir(rig.path("now")).unwrap();
        prepare(&rig);
        copy(&rig.path("now"), &rig.path("before"));
        rig
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn folder(&self) -> PathBuf {
        self.path("now").join("provider")
    }

    fn init(&self, origin: Origin) -> Result<Provider, ProviderError> {
        Provider::init(&NewProvider {
            folder: &self.folder(),
            marker_folder: &self.path("now").join("markers"),
            service: "test-chain",
            origin,
            passphrase: &passphrase(),
            work: WorkFactor::Fixed(1),
        })
    }

    fn open(&self) -> Result<Provider, ProviderError> {
        Provider::open(&self.folder(), &passphrase())
    }

    fn reset(&self) {
        fs::remove_dir_all(self.path("now")).unwrap();
        copy(&self.path("before"), &self.path("now"));
    }

    /// Runs a command of the provider again and again, each time from the same state, and kills it one system call later than the
    /// time before; after each kill `check` is told how many calls there were, and what was printed. How many kills it took.
    fn kill_between_system_calls(&self, args: &[&str], mut check: impl FnMut(u32, &[u8])) -> u32 {
        // A system call has a stop before and one after it, and between two calls nothing reaches the disk: every other stop.
        (0..)
            .find(|calls| {
                self.reset();
                let killed = self.run_until(args, 2 * calls + 1);
                if killed {
                    check(*calls, &fs::read(self.path("printed")).unwrap());
                }
                !killed
            })
            .unwrap()
    }

    /// Kills the program at a stop after it has read its passphrase. False if it ended before.
    fn run_until(&self, args: &[&str], last_stop: u32) -> bool {
        let mut process = self.start(args);
        let pid = Pid::from_raw(i32::try_from(process.id()).unwrap());
        ptrace::seize(pid, Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_EXITKILL).unwrap();
        ptrace::interrupt(pid).unwrap();
        waitpid(pid, None).unwrap();
        process.stdin.take().unwrap().write_all(PASSPHRASE.as_bytes()).unwrap();
        let stopped = (0..last_stop).all(|_| stops_again(pid));
        if stopped {
            process.kill().unwrap();
        }
        // Tracing has taken the end of one that ended by itself.
        assert_eq!(process.wait().is_ok(), stopped);
        stopped
    }

    /// Starts the program, which waits for its passphrase.
    fn start(&self, args: &[&str]) -> Child {
        let mut command = Command::new(program());
        command.env_clear().env("HOME", self.home.path()).args(["--json", "--yes", "--quiet", "provider"]);
        command.args(args).args(["--passphrase-file", "-", "--provider-dir"]).arg(self.folder());
        command.stdin(Stdio::piped()).stdout(File::create(self.path("printed")).unwrap());
        let process = command.spawn().unwrap();
        let stat = format!("/proc/{}/stat", process.id());
        // Asleep: it reads stdin.
        while !fs::read_to_string(&stat).unwrap().contains(") S ") {
            thread::sleep(Duration::from_micros(200));
        }
        process
    }
}

/// Lets a traced process run to its next stop. False if it ended instead.
fn stops_again(pid: Pid) -> bool {
    ptrace::syscall(pid, None).unwrap();
    match waitpid(pid, None).unwrap() {
        WaitStatus::PtraceSyscall(_) => true,
        WaitStatus::Exited(_, code) => {
            assert_eq!(code, 0, "undisturbed, the command succeeds");
            false
        }
        other => panic!("{other:?}"),
    }
}

fn passphrase() -> Passphrase {
    Passphrase::new(PASSPHRASE.to_owned()).unwrap()
}

fn block(height: u64, block_hash: [u8; 32]) -> Vote {
    Vote { height, block_hash }
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
fn a_provider_killed_while_it_votes_never_signs_two_blocks_and_always_restarts() {
    let rig = Rig::new(|rig| {
        let mut provider = rig.init(Origin::Fresh).unwrap();
        provider.commit(0, 20).unwrap();
        provider.vote(block(HEIGHT - 1, ASKED)).unwrap();
    });
    let vote = |block_hash| rig.open().expect("no kill blocks a restart").vote(block(HEIGHT, block_hash));
    let (mut free, mut halfway, mut written, mut left) = (0, 0, 0, 0);
    let [height, hash] = [HEIGHT.to_string(), "aa".repeat(32)];
    let args = ["vote", "--height", &height, "--block-hash", &hash];
    let kills = rig.kill_between_system_calls(&args, |call, printed| {
        let answer: Option<SignedVote> = serde_json::from_slice(printed).ok();
        match Status::read(&rig.folder()).unwrap() {
            Status { marker_state: MarkerState::OneAhead, .. } => halfway += 1,
            Status { next_height, .. } if next_height > HEIGHT => written += 1,
            _ => free += 1,
        }
        left += u32::from(answer.is_some());
        // Another block is asked for first, which is what an attacker of the service would do.
        match vote(OTHER) {
            Ok(other) => {
                assert_eq!(answer, None, "call {call}: both blocks got a signature");
                assert_eq!(vote(OTHER).unwrap(), other);
                assert!(matches!(vote(ASKED), Err(ProviderError::DoubleVote { .. })));
            }
            Err(ProviderError::DoubleVote { recorded: ASKED, asked: OTHER, .. }) => {
                let again = vote(ASKED).unwrap();
                assert!(answer.is_none_or(|answer| answer == again), "call {call}: two signatures");
            }
            Err(error) => panic!("call {call}: {error}"),
        }
    });
    println!(
        "{kills} kills while voting: {free} before the height was bound, {halfway} between marker and record, {written} \
         after the record, {left} with the signature out"
    );
    assert!(free > 0 && halfway > 0 && written > 0 && left > 0, "every part of a vote was hit");
}

#[test]
fn a_provider_killed_while_it_is_made_is_there_whole_or_can_be_made_again() {
    let rig = Rig::new(|rig| fs::write(rig.path("seed"), "07".repeat(32)).unwrap());
    let (seed, markers) = (rig.path("seed"), rig.path("now").join("markers"));
    let [seed, markers] = [seed.to_str().unwrap(), markers.to_str().unwrap()];
    let args = ["init", "--service", "test-chain", "--work-factor", "1", "--seed-file", seed];
    let args = [&args[..], &["--last-known-height", "500", "--marker-dir", markers]].concat();
    let mut made = 0;
    let kills = rig.kill_between_system_calls(&args, |call, _| {
        let whole = rig.folder().exists();
        made += u32::from(whole);
        let origin = Origin::Seed(SecretBytes::new([7; 32]), History::LastKnownHeight(500));
        let provider = if whole { rig.open() } else { rig.init(origin) };
        let mut provider = provider.unwrap_or_else(|error| panic!("call {call}: {error}"));
        provider.commit(500, 10).unwrap();
        assert!(matches!(
            provider.vote(block(500, ASKED)),
            Err(ProviderError::NotAbove { highest: 500, .. })
        ));
        provider.vote(block(501, ASKED)).unwrap();
    });
    println!("{kills} kills while making a provider: {made} after its folder was there");
    assert!(made > 0 && kills > made);
}

#[test]
fn a_provider_killed_while_it_is_recovered_is_recovered_or_still_refuses() {
    let rig = Rig::new(|rig| {
        let mut provider = rig.init(Origin::Fresh).unwrap();
        provider.commit(0, 20).unwrap();
        drop(provider);
        copy(&rig.folder(), &rig.path("backup"));
        let mut provider = rig.open().unwrap();
        for height in 0..HEIGHT {
            provider.vote(block(height, ASKED)).unwrap();
        }
        drop(provider);
        fs::remove_dir_all(rig.folder()).unwrap();
        copy(&rig.path("backup"), &rig.folder());
    });
    let last = HEIGHT - 1;
    let markers = rig.path("now").join("elsewhere");
    let args =
        ["recover", "--last-known-height", &last.to_string(), "--marker-dir", markers.to_str().unwrap()];
    let (mut refused, mut recovered) = (0, 0);
    let kills = rig.kill_between_system_calls(&args, |call, _| {
        let mut provider = match rig.open() {
            Ok(provider) => {
                recovered += 1;
                provider
            }
            Err(ProviderError::OldBackup { .. } | ProviderError::MarkerMoved { .. }) => {
                refused += 1;
                let again = Provider::recover(&rig.folder(), &passphrase(), last, Some(&markers));
                again.unwrap_or_else(|error| panic!("call {call}: {error}"))
            }
            Err(error) => panic!("call {call}: {error}"),
        };
        for height in 0..HEIGHT {
            assert!(matches!(provider.vote(block(height, OTHER)), Err(ProviderError::NotAbove { .. })));
        }
        provider.vote(block(HEIGHT, OTHER)).unwrap();
    });
    println!(
        "{kills} kills while recovering: {refused} times it still refused, {recovered} times it was done"
    );
    assert!(refused > 0 && recovered > 0);
}
