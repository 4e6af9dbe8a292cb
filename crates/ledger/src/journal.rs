//! The journal file: one writer, one line at a time, read from the first line on.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use bitcoin::Network;
use serde::Serialize;

use crate::error::{Damage, LedgerError};
use crate::line::{self, Head, Header, MAX_LINE};

/// How long another process that is at the file is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where a journal ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tip {
    /// The number of the last entry; zero if there is none.
    pub(crate) counter: u64,
    /// The hash of the last line.
    pub(crate) head: Head,
    /// The bytes of all lines.
    pub(crate) length: u64,
}

/// A last line without an end: a process was killed while it wrote it, or somebody has cut the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TornLine {
    /// Its number, from 1.
    pub line: u64,
    /// The bytes that are left of it.
    pub bytes: u64,
}

/// A journal that is locked for this process, and given back when dropped.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    path: PathBuf,
    network: Network,
    first: Tip,
}

/// The number of the line in which an entry stands.
pub(crate) const fn line_of(counter: u64) -> u64 {
    counter.saturating_add(1)
}

impl Journal {
    /// Makes an empty journal, mode 0600: under its name it is whole from the first moment, and on the disk.
    pub(crate) fn create(path: &Path, network: Network) -> Result<(), LedgerError> {
        let failed = |error| LedgerError::Io { file: path.to_owned(), error };
        let folder = folder_of(path);
        fs::create_dir_all(folder).map_err(failed)?;
        let draft = draft_of(path);
        let published = write_new(&draft, &line::header(network).0).and_then(|()| publish(&draft, path));
        // After a rename there is no draft left.
        let _ = fs::remove_file(&draft);
        match published {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                return Err(LedgerError::Exists { file: path.to_owned() });
            }
            other => other.map_err(failed)?,
        }
        sync_folder(folder).map_err(failed)
    }

    /// Takes hold of a journal and reads its first line.
    pub(crate) fn open(path: &Path) -> Result<Self, LedgerError> {
        let failed = |error: io::Error| match error.kind() {
            ErrorKind::NotFound => LedgerError::Missing { file: path.to_owned() },
            _ => LedgerError::Io { file: path.to_owned(), error },
        };
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(failed)?;
        lock(&file, path)?;
        let no_book = || LedgerError::NoBook { file: path.to_owned() };
        let mut line = Vec::new();
        let mut start = BufReader::new(&file).take(1024);
        start.read_until(b'\n', &mut line).map_err(failed)?;
        let text = line.strip_suffix(b"\n").ok_or_else(no_book)?;
        let Header { format, version, network } = serde_json::from_slice(text).map_err(|_| no_book())?;
        if format != line::FORMAT {
            return Err(no_book());
        }
        if version > line::VERSION {
            let (file, supported) = (path.to_owned(), line::VERSION);
            return Err(LedgerError::NewerVersion { file, found: version, supported });
        }
        let damaged = |damage| LedgerError::Damaged { file: path.to_owned(), line: 1, damage };
        let head = line::check(Head::NONE, text).map_err(damaged)?;
        let first = Tip { counter: 0, head, length: line.len() as u64 };
        Ok(Journal { file, path: path.to_owned(), network, first })
    }

    pub(crate) const fn network(&self) -> Network {
        self.network
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the journal would end if it had its first line only.
    pub(crate) const fn first(&self) -> Tip {
        self.first
    }

    /// The lines after the first, from the beginning.
    pub(crate) fn lines(&self) -> Result<Lines<'_>, LedgerError> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(self.first.length)).map_err(|error| self.io(error))?;
        let reader = BufReader::with_capacity(1 << 20, file);
        Ok(Lines { journal: self, reader, tip: self.first, buffer: Vec::new(), torn: None })
    }

    /// Writes a line to the end of all whole ones: when this returns, it is on the disk.
    pub(crate) fn append(&self, tip: &Tip, line: &[u8]) -> Result<(), LedgerError> {
        let write = || {
            let mut file = &self.file;
            file.seek(SeekFrom::Start(tip.length))?;
            file.write_all(line)?;
            file.sync_all()
        };
        write().map_err(|error| {
            // Nobody will be told of the line; what of it has reached the file must not look like one.
            let _ = self.file.set_len(tip.length).and_then(|()| self.file.sync_all());
            self.io(error)
        })
    }

    /// Cuts off everything after the whole lines.
    pub(crate) fn cut(&self, tip: &Tip) -> Result<(), LedgerError> {
        self.file.set_len(tip.length).and_then(|()| self.file.sync_all()).map_err(|error| self.io(error))
    }

    /// The text of the line that starts at a byte, without its newline.
    pub(crate) fn line_at(&self, offset: u64) -> Result<Vec<u8>, LedgerError> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(offset)).map_err(|error| self.io(error))?;
        let mut line = Vec::new();
        let limit = MAX_LINE as u64;
        BufReader::new(file).take(limit).read_until(b'\n', &mut line).map_err(|error| self.io(error))?;
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        Ok(line)
    }

    pub(crate) fn io(&self, error: io::Error) -> LedgerError {
        LedgerError::Io { file: self.path.clone(), error }
    }

    pub(crate) fn damaged(&self, counter: u64, damage: Damage) -> LedgerError {
        LedgerError::Damaged { file: self.path.clone(), line: line_of(counter), damage }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // Closing alone would leave the lock to a child process that another thread has just forked.
        let _ = self.file.unlock();
    }
}

/// The lines of a journal, one after the other.
pub(crate) struct Lines<'a> {
    journal: &'a Journal,
    reader: BufReader<&'a File>,
    tip: Tip,
    buffer: Vec<u8>,
    torn: Option<TornLine>,
}

impl Lines<'_> {
    /// Reads the next line and checks its hash; returns where it starts, and its text. `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, &[u8])>, LedgerError> {
        let counter = self.tip.counter + 1;
        self.buffer.clear();
        let limit = MAX_LINE as u64;
        let mut bounded = (&mut self.reader).take(limit);
        let read = bounded.read_until(b'\n', &mut self.buffer).map_err(|error| self.journal.io(error))?;
        if read == 0 {
            return Ok(None);
        }
        let bytes = read as u64;
        let Some(text) = self.buffer.strip_suffix(b"\n") else {
            if bytes == limit {
                return Err(self.journal.damaged(counter, Damage::TooLong));
            }
            self.torn = Some(TornLine { line: line_of(counter), bytes });
            return Ok(None);
        };
        let head =
            line::check(self.tip.head, text).map_err(|damage| self.journal.damaged(counter, damage))?;
        let start = self.tip.length;
        self.tip = Tip { counter, head, length: start + bytes };
        Ok(Some((start, text)))
    }

    /// Where the lines that were read end.
    pub(crate) const fn tip(&self) -> Tip {
        self.tip
    }

    /// The line without an end, once all others were read.
    pub(crate) const fn torn(&self) -> Option<TornLine> {
        self.torn
    }
}

fn lock(file: &File, path: &Path) -> Result<(), LedgerError> {
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if begun.elapsed() < PATIENCE => sleep(Duration::from_millis(10)),
            Err(TryLockError::WouldBlock) => return Err(LedgerError::Busy { file: path.to_owned() }),
            Err(TryLockError::Error(error)) => return Err(LedgerError::Io { file: path.to_owned(), error }),
        }
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn draft_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    path.with_file_name(name)
}

/// Makes a file that its owner alone reads and writes.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // Left by a process of the same number that was killed in here.
    let _ = fs::remove_file(path);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn publish(draft: &Path, path: &Path) -> io::Result<()> {
    // Unlike renaming, linking never takes the place of a file that is there.
    match fs::hard_link(draft, path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists && !path.try_exists()? => {
            fs::rename(draft, path)
        }
        other => other,
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    // Folders cannot be opened as files on Windows; there the name is durable by itself.
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}
