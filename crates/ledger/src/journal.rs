//! The journal file: one writer, one line at a time, read from the first line on.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use bitcoin::Network;
use serde::Serialize;
use tapstake_durable as durable;

use crate::error::{Damage, LedgerError};
use crate::index::Index;
use crate::line::{self, BookId, Head, Header, MAX_LINE, Version};

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
    /// Whether the index tells that nobody was told of it: then the next entry takes its place.
    pub unacknowledged: bool,
}

/// What follows the whole lines of a journal.
#[derive(Debug)]
pub(crate) struct Rest {
    /// The number of its first line.
    pub(crate) line: u64,
    /// All its bytes.
    pub(crate) bytes: u64,
    /// What is wrong with its first line; `None` if that is the last and only has no end.
    pub(crate) damage: Option<Damage>,
}

/// A journal that is locked, and given back when dropped: for this process alone if it can be written, else for all who read.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    path: PathBuf,
    read_only: bool,
    network: Network,
    id: BookId,
    first: Tip,
}

/// The number of the line in which an entry stands.
pub(crate) const fn line_of(counter: u64) -> u64 {
    counter.saturating_add(1)
}

impl Journal {
    /// Makes an empty journal, mode 0600: under its name it is whole from the first moment, and on the disk. Where the file system
    /// takes neither links nor renames without replacing, a kill may leave an empty file, which nothing opens. Whatever has the name
    /// stays.
    pub(crate) fn create(path: &Path, network: Network) -> Result<(), LedgerError> {
        let failed = |error| LedgerError::Io { file: path.to_owned(), error };
        let line = line::header(network, BookId::random().map_err(failed)?);
        durable::create_folders(durable::folder_of(path)).map_err(failed)?;
        names_fit(path).map_err(failed)?;
        Index::refuse_lone(path)?;
        match durable::create(path, &line) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                Err(match is_unfinished(path).map_err(failed)? {
                    true => LedgerError::Unfinished { file: path.to_owned() },
                    false => LedgerError::Exists { file: path.to_owned() },
                })
            }
            other => other.map_err(failed),
        }
    }

    /// Takes hold of a journal, if only to read it where it cannot be written, and reads its first line.
    pub(crate) fn open(path: &Path) -> Result<Self, LedgerError> {
        let failed = |error: io::Error| LedgerError::Io { file: path.to_owned(), error };
        // Of all names that lead to a book, one says where its index is.
        let path = &match fs::canonicalize(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Index::refuse_lone(path)?;
                return Err(LedgerError::Missing { file: path.to_owned() });
            }
            other => other.map_err(failed)?,
        };
        let (file, read_only) = match OpenOptions::new().read(true).write(true).open(path) {
            Err(error) if is_denied(&error) => (File::open(path).map_err(failed)?, true),
            other => (other.map_err(failed)?, false),
        };
        lock(&file, path, read_only)?;
        // While the lock was waited for, another file may have got the name.
        in_place(&file, path)?;
        // A killed writer may have left lines that no power cut would spare: who sees them relies on them.
        match file.sync_all() {
            // A medium that is never written has nothing to flush, and some say so.
            Err(error) if read_only && matches!(error.kind(), ErrorKind::InvalidInput) => {}
            other => other.map_err(failed)?,
        }
        if is_unfinished(path).map_err(failed)? {
            return Err(LedgerError::Unfinished { file: path.to_owned() });
        }
        match first_line(&file, path) {
            Ok((network, id, first)) => {
                Ok(Journal { file, path: path.to_owned(), read_only, network, id, first })
            }
            // With an index of this version beside it, it was a book of this version.
            Err(LedgerError::NoBook { .. } | LedgerError::NewerVersion { .. }) if Index::is_beside(path) => {
                Err(damaged(path, 1, Damage::Hash, false))
            }
            Err(error) => Err(error),
        }
    }

    pub(crate) const fn network(&self) -> Network {
        self.network
    }

    pub(crate) const fn id(&self) -> BookId {
        self.id
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file could be opened for reading only.
    pub(crate) const fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// Makes every write fail.
    #[cfg(test)]
    pub(crate) fn break_file(&mut self) {
        self.file = File::open(&self.path).expect("it is open already");
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
        Ok(Lines { journal: self, reader, tip: self.first, buffer: Vec::new(), rest: None })
    }

    /// The bytes of the file, whatever they are.
    pub(crate) fn length(&self) -> Result<u64, LedgerError> {
        Ok(self.file.metadata().map_err(|error| self.io(error))?.len())
    }

    /// What follows the whole lines, which end at `tip`, and what is wrong with its first line.
    pub(crate) fn rest(&self, tip: &Tip, damage: Option<Damage>) -> Result<Rest, LedgerError> {
        let bytes = self.length()?.saturating_sub(tip.length);
        Ok(Rest { line: line_of(tip.counter).saturating_add(1), bytes, damage })
    }

    /// Whether no other name in the file system leads to it. Who uses another has another index.
    pub(crate) fn has_one_name(&self) -> Result<bool, LedgerError> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            Ok(self.file.metadata().map_err(|error| self.io(error))?.nlink() == 1)
        }
        #[cfg(not(unix))]
        Ok(true)
    }

    /// Gives the last line, which is whole, the newline that it has lost.
    pub(crate) fn complete(&self, tip: &Tip) -> Result<(), LedgerError> {
        if self.length()? >= tip.length {
            return Ok(());
        }
        self.in_place()?;
        let mut file = &self.file;
        let write = file.seek(SeekFrom::End(0)).and_then(|_| file.write_all(b"\n"));
        write.and_then(|()| file.sync_all()).map_err(|error| self.io(error))
    }

    /// Refuses to go on with a file whose name belongs to another by now, or to none: what is written to it would be lost.
    pub(crate) fn in_place(&self) -> Result<(), LedgerError> {
        in_place(&self.file, &self.path)
    }

    /// Writes lines to the end of all whole ones: when this returns, they are on the disk.
    pub(crate) fn append(&self, tip: &Tip, lines: &[u8]) -> Result<(), LedgerError> {
        let write = || {
            let mut file = &self.file;
            file.seek(SeekFrom::Start(tip.length))?;
            file.write_all(lines)?;
            file.sync_all()
        };
        write().map_err(|error| {
            // Nobody will be told of them; what of them has reached the file must not look like lines.
            let none = self.length().is_ok_and(|length| length <= tip.length);
            let undo = || self.file.set_len(tip.length).and_then(|()| self.file.sync_all());
            match none || undo().is_ok() {
                true => self.io(error),
                false => LedgerError::Uncertain { file: self.path.clone(), error },
            }
        })
    }

    /// Cuts off everything after the whole lines, once it is saved, on the disk, in a new file beside the journal; returns that.
    pub(crate) fn cut(&self, tip: &Tip) -> Result<PathBuf, LedgerError> {
        self.in_place()?;
        let line = line_of(tip.counter).saturating_add(1);
        let (saved, mut copy) = (1..=u32::MAX)
            .map(|number| {
                let saved = cut_name(&self.path, line, number);
                durable::private_file(&saved).map(|copy| (saved, copy))
            })
            .find(|made| !matches!(made, Err(error) if error.kind() == ErrorKind::AlreadyExists))
            .unwrap_or_else(|| Err(ErrorKind::AlreadyExists.into()))
            .map_err(|error| self.io(error))?;
        let mut save = || {
            let mut file = &self.file;
            file.seek(SeekFrom::Start(tip.length))?;
            io::copy(&mut file, &mut copy)?;
            copy.sync_all()?;
            durable::sync_folder(durable::folder_of(&saved))
        };
        if let Err(error) = save() {
            let _ = fs::remove_file(&saved);
            return Err(LedgerError::Io { file: saved, error });
        }
        self.file.set_len(tip.length).and_then(|()| self.file.sync_all()).map_err(|error| self.io(error))?;
        Ok(saved)
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

    /// What is refused because of an entry's line.
    pub(crate) fn damaged(&self, counter: u64, damage: Damage) -> LedgerError {
        damaged(&self.path, line_of(counter), damage, false)
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
    rest: Option<Rest>,
}

impl Lines<'_> {
    /// Reads the next line and checks its hash; returns where it starts, and its text. `None` at the end, and before what is no
    /// whole line: that is kept for [`Lines::rest`]. The last line is whole without its newline, for its hash says so.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, &[u8])>, LedgerError> {
        self.buffer.clear();
        let limit = MAX_LINE as u64;
        let mut bounded = (&mut self.reader).take(limit);
        let read = bounded.read_until(b'\n', &mut self.buffer).map_err(|error| self.journal.io(error))?;
        if read == 0 {
            return Ok(None);
        }
        let head = self.tip.head;
        let checked = match self.buffer.strip_suffix(b"\n") {
            Some(text) => line::check(head, text).map(|head| (head, text)).map_err(Some),
            None if read as u64 == limit => Err(Some(Damage::TooLong)),
            None => line::check(head, &self.buffer).map(|head| (head, &self.buffer[..])).map_err(|_| None),
        };
        match checked {
            Ok((head, text)) => {
                let start = self.tip.length;
                let length = start + text.len() as u64 + 1;
                self.tip = Tip { counter: self.tip.counter + 1, head, length };
                Ok(Some((start, text)))
            }
            Err(damage) => {
                self.rest = Some(self.journal.rest(&self.tip, damage)?);
                Ok(None)
            }
        }
    }

    /// Where the lines that were read end.
    pub(crate) const fn tip(&self) -> Tip {
        self.tip
    }

    /// What follows the whole lines, once they were read.
    pub(crate) fn rest(self) -> Option<Rest> {
        self.rest
    }
}

fn lock(file: &File, path: &Path, shared: bool) -> Result<(), LedgerError> {
    let begun = Instant::now();
    loop {
        match if shared { file.try_lock_shared() } else { file.try_lock() } {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if begun.elapsed() < PATIENCE => sleep(Duration::from_millis(10)),
            Err(TryLockError::WouldBlock) => return Err(LedgerError::Busy { file: path.to_owned() }),
            Err(TryLockError::Error(error)) => return Err(LedgerError::Io { file: path.to_owned(), error }),
        }
    }
}

/// Whether a file or folder is there and may not be written.
pub(crate) fn is_denied(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)
}

/// Whether an empty file is what a stopped [`Journal::create`] has left. One with an index beside it was once a book.
fn is_unfinished(path: &Path) -> io::Result<bool> {
    let found = fs::symlink_metadata(path)?;
    Ok(found.is_file() && found.len() == 0 && !Index::path_of(path).try_exists()?)
}

/// Reads the first line, which tells the network, the book and where it ends.
fn first_line(file: &File, path: &Path) -> Result<(Network, BookId, Tip), LedgerError> {
    let no_book = || LedgerError::NoBook { file: path.to_owned() };
    let mut line = Vec::new();
    let mut start = BufReader::new(file).take(1024);
    let read = start.read_until(b'\n', &mut line);
    read.map_err(|error| LedgerError::Io { file: path.to_owned(), error })?;
    let text = line.strip_suffix(b"\n").unwrap_or(&line);
    let Version { format, version } = serde_json::from_slice(text).map_err(|_| no_book())?;
    if format != line::FORMAT {
        return Err(no_book());
    }
    if version > line::VERSION {
        let (file, supported) = (path.to_owned(), line::VERSION);
        return Err(LedgerError::NewerVersion { file, found: version, supported });
    }
    let damaged = |damage| damaged(path, 1, damage, false);
    let head = line::check(Head::NONE, text).map_err(damaged)?;
    let read: Result<Header, _> = serde_json::from_slice(text);
    let Header { network, id, .. } = read.map_err(|error| damaged(Damage::Form(error.to_string())))?;
    Ok((network, id, Tip { counter: 0, head, length: text.len() as u64 + 1 }))
}

pub(crate) fn damaged(path: &Path, line: u64, damage: Damage, unacknowledged: bool) -> LedgerError {
    LedgerError::Damaged { file: path.to_owned(), line, damage, unacknowledged }
}

/// Where what is cut off from a line on is saved.
fn cut_name(path: &Path, line: u64, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".cut-{line}-{number}"));
    name.into()
}

/// Refuses a name so long that those of the files beside it could not be.
fn names_fit(path: &Path) -> io::Result<()> {
    let longest = cut_name(path, u64::MAX, u32::MAX);
    match fs::symlink_metadata(&longest) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // SQLite takes no longer path.
    let folder = fs::canonicalize(durable::folder_of(path))?;
    let length = folder.as_os_str().len() + 1 + longest.file_name().unwrap_or_default().len();
    if length > 512 {
        return Err(io::Error::new(
            ErrorKind::InvalidFilename,
            "its path is too long for an index beside it",
        ));
    }
    Ok(())
}

/// Whether the name still leads to the file that is open.
fn in_place(file: &File, path: &Path) -> Result<(), LedgerError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let failed = |error| LedgerError::Io { file: path.to_owned(), error };
        let place = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        let open = place(file.metadata().map_err(failed)?);
        let named = match fs::metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            other => Some(place(other.map_err(failed)?)),
        };
        if named != Some(open) {
            return Err(LedgerError::Moved { file: path.to_owned(), written: false });
        }
    }
    #[cfg(not(unix))]
    let _ = (file, path);
    Ok(())
}
