use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::Error;

/// How long a daemon with a folder to keep may take to write it out.
const PATIENCE: Duration = Duration::from_secs(60);

/// Stops the daemon `$1` when the process that started us is gone, however it went: the kernel closes our stdin
/// then, and `read` returns. `$2`, if not empty, is a temporary folder to remove.
const WATCHDOG: &str = r#"
read -r _
kill -TERM "$1"
tries=0
while kill -0 "$1" && [ $tries -lt 600 ]; do sleep 0.1; tries=$((tries + 1)); done
kill -KILL "$1"
[ -z "$2" ] || rm -rf -- "$2"
"#;

/// Where a daemon keeps its data.
#[derive(Debug)]
pub(crate) enum Folder {
    /// Removed with the daemon.
    Temporary(TempDir),
    /// Kept, so the daemon is stopped gently.
    Given(PathBuf),
}

impl Folder {
    /// The given folder, made if it is missing, or a temporary one.
    pub(crate) fn new(given: Option<&Path>, prefix: &str) -> Result<Self, Error> {
        match given {
            Some(path) => {
                let doing = || Error::io(format!("creating the folder {}", path.display()));
                fs::create_dir_all(path).map_err(doing())?;
                Ok(Self::Given(path.canonicalize().map_err(doing())?))
            }
            None => tempfile::Builder::new()
                .prefix(prefix)
                .tempdir()
                .map(Self::Temporary)
                .map_err(Error::io("creating a temporary folder")),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Temporary(folder) => folder.path(),
            Self::Given(path) => path,
        }
    }
}

/// A process that does not outlive us.
#[derive(Debug)]
pub(crate) struct Daemon {
    program: PathBuf,
    log: PathBuf,
    /// Locked for a glance at a time, so that several threads can wait for one daemon.
    child: Mutex<Child>,
    watchdog: Child,
    /// Whether nobody will read what the daemon has not written yet.
    disposable: bool,
}

impl Daemon {
    /// Starts `program`, its output going to `log` in `folder`.
    pub(crate) fn spawn(
        program: &Path,
        mut command: Command,
        folder: &Folder,
        log: &str,
    ) -> Result<Self, Error> {
        let log = folder.path().join(log);
        let out = File::create(&log).map_err(Error::io(format!("creating {}", log.display())))?;
        let err = out.try_clone().map_err(Error::io("sharing a log file"))?;
        // A process group of its own: Ctrl-C on a terminal is for us, and we stop the daemon in good order.
        let child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .process_group(0)
            .spawn()
            .map_err(|source| Error::Spawn { program: program.to_owned(), source })?;
        let (disposable, rubbish) = match folder {
            Folder::Temporary(path) => (true, path.path()),
            Folder::Given(_) => (false, Path::new("")),
        };
        let watchdog = Command::new("/bin/sh")
            .args(["-c", WATCHDOG, "watchdog", &child.id().to_string()])
            .arg(rubbish)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn();
        let mut child = Guarded(Some(child));
        let watchdog = watchdog.map_err(Error::io("starting a watchdog"))?;
        let child = child.0.take().expect("nobody else takes the child");
        Ok(Self { program: program.to_owned(), log, child: Mutex::new(child), watchdog, disposable })
    }

    /// Calls `attempt` until it gives something, the daemon ends, or `limit` has passed.
    pub(crate) fn wait_for<T>(
        &self,
        what: &str,
        limit: Duration,
        mut attempt: impl FnMut() -> Result<Option<T>, Error>,
    ) -> Result<T, Error> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.ended()? {
                return Err(Error::Exited { program: self.program.clone(), status, log: self.log_end() });
            }
            if let Some(found) = attempt()? {
                return Ok(found);
            }
            if start.elapsed() > limit {
                return Err(Error::Timeout { what: what.to_owned(), waited: limit, log: self.log_end() });
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// How the daemon ended, if it has.
    fn ended(&self) -> Result<Option<ExitStatus>, Error> {
        self.child().try_wait().map_err(Error::io("looking at a daemon"))
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// All that the daemon wrote.
    pub(crate) fn log_text(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The last lines the daemon wrote.
    pub(crate) fn log_end(&self) -> String {
        const LINES: usize = 25;
        let text = self.log_text();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }

    /// Asks the daemon to end and waits until it has written everything out; kills it if it takes too long.
    pub(crate) fn stop(&mut self) -> Result<ExitStatus, Error> {
        self.call_off_the_watchdog();
        if let Some(status) = self.ended()? {
            return Ok(status);
        }
        // The standard library sends no signal but KILL. The child is not reaped yet, so the number is still its own.
        let _ = Command::new("/bin/sh")
            .args(["-c", r#"kill -TERM "$1""#, "stop", &self.child().id().to_string()])
            .stderr(Stdio::null())
            .status();
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(20));
        }
        self.kill()
    }

    /// Ends the daemon as a power cut would.
    pub(crate) fn kill(&mut self) -> Result<ExitStatus, Error> {
        self.call_off_the_watchdog();
        let mut child = self.child();
        let _ = child.kill();
        child.wait().map_err(Error::io("waiting for a killed daemon"))
    }

    /// Before the child is reaped: afterwards its number may be another process's.
    fn call_off_the_watchdog(&mut self) {
        let _ = self.watchdog.kill();
        let _ = self.watchdog.wait();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = if self.disposable { self.kill() } else { self.stop() };
    }
}

/// Kills the child unless it was taken out: for the moment when it has no watchdog yet.
struct Guarded(Option<Child>);

impl Drop for Guarded {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A port of 127.0.0.1 that nobody listens on now. Somebody may a moment later: whoever starts a daemon on it tries
/// again with another.
pub(crate) fn free_port() -> Result<u16, Error> {
    TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(Error::io("looking for a free port"))
}
