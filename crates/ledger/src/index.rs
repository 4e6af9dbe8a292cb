//! The index: what can be found fast, and can be made anew from the journal at any time.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bitcoin::Amount;
use bitcoin::hashes::{Hash, HashEngine, sha256, sha256t::Tag, sha256t_hash_newtype};
use rusqlite::{Connection, ErrorCode, OpenFlags, Row, Statement, params};
use serde::Serialize;
use tapstake_durable as durable;
use tapstake_params::Height;
use tapstake_restake::{Nav, PoolId};
use tempfile::TempDir;

use crate::error::LedgerError;
use crate::journal::{Tip, is_denied};
use crate::line::Head;
use crate::series::Point;

/// The format of the database: its `user_version`. An older one is made anew.
const FORMAT: u32 = 1;
/// How long another process that is at the index is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// What the name of an index ends in while it is made.
const DRAFT: &str = ".new";
/// What the name of the mark ends in.
const BEHIND: &str = ".behind";
/// "tapb": which program's file it is, its `application_id`.
const APPLICATION: i64 = 0x7461_7062;

const SCHEMA: &str = "
    CREATE TABLE tip (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        counter INTEGER NOT NULL,
        head BLOB NOT NULL,
        length INTEGER NOT NULL,
        seal BLOB NOT NULL
    ) STRICT;
    CREATE TABLE entry (
        counter INTEGER PRIMARY KEY,
        height INTEGER NOT NULL,
        kind TEXT NOT NULL,
        start INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE point (
        counter INTEGER NOT NULL,
        pool TEXT NOT NULL,
        height INTEGER NOT NULL,
        nav TEXT,
        assets INTEGER NOT NULL,
        queued INTEGER NOT NULL,
        reserves INTEGER NOT NULL,
        PRIMARY KEY (counter, pool)
    ) STRICT, WITHOUT ROWID;";

sha256t_hash_newtype! {
    struct SealTag = hash_str("tapstake/book/index");
    /// Tells the tip of an index from what damage makes of it.
    struct Seal(_);
}

/// How an index was found beside its journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
#[non_exhaustive]
pub enum IndexState {
    /// As far as the journal.
    Current,
    /// Older than the journal.
    Behind {
        /// The entries that it had not seen.
        entries: u64,
    },
    /// Not there.
    Missing,
    /// Not usable.
    Damaged {
        /// Why.
        reason: String,
    },
    /// Not to be read by who can only read the journal too: it tells nothing.
    Unreadable {
        /// Why.
        reason: String,
    },
}

/// A row of the index: where an entry stands, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EntryRow {
    pub(crate) counter: u64,
    pub(crate) height: Height,
    pub(crate) kind: String,
    pub(crate) start: u64,
}

#[derive(Debug)]
pub(crate) struct Index {
    connection: Connection,
    file: PathBuf,
    /// Where it is as long as it is made.
    draft: Option<PathBuf>,
    /// The folder of the copy that is read in its place.
    _copy: Option<TempDir>,
}

/// What an index knows of its journal.
///
/// An entry is acknowledged only when the index was told of it, or when the index is marked as behind ([`Index::mark_behind`]). So
/// what lies beyond a usable index without the mark was never acknowledged. An older copy of an index would say so wrongly: only one
/// that ends exactly where the whole lines end is believed, and what is cut off is saved even then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    /// Where the journal ended that it has seen.
    pub(crate) tip: Tip,
    /// Whether nothing beyond was acknowledged, if the index is no older copy.
    pub(crate) vouches: bool,
}

/// What lies beside a journal.
pub(crate) enum Found {
    /// An index, and what it knows.
    Usable(Index, Seen),
    /// None, or one that is proven to be damaged or older.
    Unusable(IndexState),
}

impl Index {
    /// The file beside a journal.
    pub(crate) fn path_of(journal: &Path) -> PathBuf {
        let mut name = journal.file_name().unwrap_or_default().to_owned();
        name.push(".index");
        journal.with_file_name(name)
    }

    /// Whether a usable index lies beside a journal.
    pub(crate) fn is_beside(journal: &Path) -> bool {
        matches!(Index::look(&Index::path_of(journal)), Ok(Found::Usable(..)))
    }

    /// Refuses an index where there is no journal: it is all that is left to tell of one that was lost.
    pub(crate) fn refuse_lone(journal: &Path) -> Result<(), LedgerError> {
        let index = Index::path_of(journal);
        // A journal is there before its index.
        if fs::symlink_metadata(&index).is_ok() && fs::symlink_metadata(journal).is_err() {
            return Err(LedgerError::LostJournal { file: journal.to_owned(), index });
        }
        Ok(())
    }

    /// Opens an index, or says why it is of no use. What may be as good as ever and cannot be read now is an error: it is the
    /// only witness against a journal that was cut.
    pub(crate) fn open(file: &Path) -> Result<Found, LedgerError> {
        Index::find(file, file, connect)
    }

    /// The same, to be read only. Nothing is written to it or beside it: where SQLite would have to, a copy is read.
    pub(crate) fn look(file: &Path) -> Result<Found, LedgerError> {
        if !is_pending(file) {
            return Index::find(file, file, connect_to_read);
        }
        let copy = || {
            let folder = tempfile::tempdir()?;
            for end in ["", "-journal", "-wal"] {
                // What may only be read may be written in the copy.
                let mut from = match File::open(with_end(file, end)) {
                    Err(error) if error.kind() == ErrorKind::NotFound => continue,
                    other => other?,
                };
                io::copy(&mut from, &mut File::create(with_end(&folder.path().join("index"), end))?)?;
            }
            Ok(folder)
        };
        let folder = copy().map_err(|error| LedgerError::Io { file: file.to_owned(), error })?;
        let mut found = Index::find(file, &folder.path().join("index"), connect)?;
        if let Found::Usable(index, _) = &mut found {
            index._copy = Some(folder);
        }
        Ok(found)
    }

    /// Why this process may not read it, or what SQLite has left beside it, if so.
    pub(crate) fn denied(file: &Path) -> Option<io::Error> {
        let files = ["", "-journal", "-wal"].map(|end| with_end(file, end));
        files.iter().find_map(|file| File::open(file).err().filter(is_denied))
    }

    /// Opens what lies at `at`: the index or a copy of it.
    fn find(
        file: &Path,
        at: &Path,
        connect: fn(&Path) -> Result<Connection, rusqlite::Error>,
    ) -> Result<Found, LedgerError> {
        let io = |error| LedgerError::Io { file: file.to_owned(), error };
        if !file.try_exists().map_err(io)? {
            return Ok(Found::Unusable(IndexState::Missing));
        }
        let damaged = |reason: String| Ok(Found::Unusable(IndexState::Damaged { reason }));
        let (connection, version) = match connect(at).and_then(|connection| {
            let version = version_of(&connection)?;
            Ok((connection, version))
        }) {
            Err(error) if is_damage(&error) => return damaged(error.to_string()),
            other => other.map_err(|error| failed(file, error))?,
        };
        match version {
            Some(FORMAT) => {}
            Some(found) if found > FORMAT => {
                let (file, supported) = (file.to_owned(), FORMAT);
                return Err(LedgerError::NewerVersion { file, found, supported });
            }
            _ => return damaged("it is of another format".to_owned()),
        }
        let read = || {
            // SQLite would read zeros where the last page is cut off.
            let whole = pragma(&connection, "page_count")? * pragma(&connection, "page_size")?;
            let check: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
            let tip = "SELECT counter, head, length, seal FROM tip WHERE id = 1";
            let tip = connection.query_row(tip, [], tip_of)?;
            let last: Option<i64> =
                connection.query_row("SELECT max(counter) FROM entry", [], |row| row.get(0))?;
            Ok::<_, rusqlite::Error>((whole, check, tip, last))
        };
        let (whole, check, (tip, seal), last) = match read() {
            Err(error) if is_damage(&error) || is_value(&error) => return damaged(error.to_string()),
            other => other.map_err(|error| failed(file, error))?,
        };
        let length = fs::metadata(at).map_err(io)?.len();
        if check != "ok" || i64::try_from(length).is_ok_and(|length| length < whole) {
            return damaged(format!("{length} of {whole} bytes, check: {check}"));
        }
        let last = last.unwrap_or(0).cast_unsigned();
        if seal != seal_of(&tip) || last != tip.counter {
            return damaged("its tip is not what it says".to_owned());
        }
        let behind = match fs::symlink_metadata(with_end(file, BEHIND)) {
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            other => other.map(|_| true).map_err(io)?,
        };
        let seen = Seen { tip, vouches: !behind };
        Ok(Found::Usable(Index::new(connection, file, None), seen))
    }

    /// Removes what a process that was stopped while it made an index has left. The journal's lock keeps all others away.
    pub(crate) fn clear_draft(file: &Path) -> Result<(), LedgerError> {
        remove(&with_end(file, DRAFT), &["", "-journal", "-wal", "-shm"])
    }

    fn new(connection: Connection, file: &Path, draft: Option<PathBuf>) -> Self {
        Index { connection, file: file.to_owned(), draft, _copy: None }
    }

    /// Whether this process may make files beside a journal. A draft is cleared away.
    pub(crate) fn can_be_made(file: &Path) -> Result<bool, LedgerError> {
        match Index::clear_draft(file) {
            Err(LedgerError::Io { error, .. }) if is_denied(&error) => return Ok(false),
            other => other?,
        }
        match durable::private_file(&with_end(file, DRAFT)) {
            Err(error) if is_denied(&error) => return Ok(false),
            // Whatever else is wrong is said when the file is needed.
            _ => Index::clear_draft(file)?,
        }
        Ok(true)
    }

    /// Makes an empty index that nobody else sees and that is gone when dropped, in place of the one at `file`, and begins to fill
    /// it.
    pub(crate) fn temporary(file: &Path) -> Result<Self, LedgerError> {
        let create = || {
            let connection = Connection::open("")?;
            begin_anew(&connection)?;
            Ok(connection)
        };
        Ok(Index::new(create().map_err(|error| failed(file, error))?, file, None))
    }

    /// Makes an empty index beside whatever is there, and begins to fill it: nothing is kept before [`Index::commit`], and what
    /// was there stays until [`Index::publish`].
    pub(crate) fn create(file: &Path) -> Result<Self, LedgerError> {
        Index::clear_draft(file)?;
        let draft = with_end(file, DRAFT);
        durable::private_file(&draft).map_err(|error| LedgerError::Io { file: draft.clone(), error })?;
        let create = || {
            let connection = connect(&draft)?;
            begin_anew(&connection)?;
            Ok(connection)
        };
        let connection = create().map_err(|error| failed(&draft, error))?;
        Ok(Index::new(connection, file, Some(draft)))
    }

    /// Puts an index that was made anew and committed in the place of the old one.
    pub(crate) fn publish(&mut self) -> Result<(), LedgerError> {
        let Some(draft) = self.draft.take() else { return Ok(()) };
        // SQLite names its own journal after the file that it has opened, so a renamed file is opened again.
        self.close().map_err(|error| failed(&self.file, error))?;
        // The old one's would be played into the new one.
        remove(&self.file, &["-journal", "-wal", "-shm"])?;
        fs::rename(&draft, &self.file).map_err(|error| LedgerError::Io { file: self.file.clone(), error })?;
        self.connection = connect(&self.file).map_err(|error| failed(&self.file, error))?;
        Ok(())
    }

    /// Makes every write fail.
    #[cfg(test)]
    pub(crate) fn break_file(&mut self) {
        self.file.push("nowhere");
        self.connection.pragma_update(None, "query_only", true).expect("it is open");
    }

    /// Lets go of the file.
    fn close(&mut self) -> Result<(), rusqlite::Error> {
        let closed = Connection::open_in_memory()?;
        drop(std::mem::replace(&mut self.connection, closed));
        Ok(())
    }

    /// Marks the index, on the disk, as behind: entries are acknowledged of which it could not be told.
    pub(crate) fn mark_behind(&self) -> Result<(), LedgerError> {
        let mark = with_end(&self.file, BEHIND);
        let made = match durable::private_file(&mark) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            other => other.and_then(|file| file.sync_all()),
        };
        let made = made.and_then(|()| durable::sync_folder(durable::folder_of(&mark)));
        made.map_err(|error| LedgerError::Io { file: mark, error })
    }

    /// Takes the mark away: the index has all entries.
    pub(crate) fn unmark(&self) {
        // A mark that stays forbids more than it must, and no less.
        let _ = remove(&self.file, &[BEHIND]);
    }

    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// Begins to add: nothing is kept before [`Index::commit`].
    pub(crate) fn begin(&self) -> Result<(), LedgerError> {
        self.connection.execute_batch("BEGIN IMMEDIATE").map_err(|error| self.error(error))
    }

    /// Adds an entry and its points.
    pub(crate) fn add(
        &self,
        counter: u64,
        height: Height,
        kind: &str,
        start: u64,
        points: &[Point],
    ) -> Result<(), LedgerError> {
        let add = || {
            let row = params![counter.cast_signed(), height.to_u32(), kind, start.cast_signed()];
            self.connection.prepare_cached("INSERT INTO entry VALUES (?1, ?2, ?3, ?4)")?.execute(row)?;
            for point in points {
                let [assets, queued, reserves] =
                    [point.assets, point.queued, point.reserves].map(|amount| amount.to_sat().cast_signed());
                let (height, nav) = (point.height.to_u32(), point.nav.millionths().to_string());
                let counter = point.counter.cast_signed();
                let row = params![counter, point.pool.as_str(), height, nav, assets, queued, reserves];
                let sql = "INSERT INTO point VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
                self.connection.prepare_cached(sql)?.execute(row)?;
            }
            Ok(())
        };
        add().map_err(|error| self.error(error))
    }

    /// Keeps what was added: the index is then as far as `tip`.
    pub(crate) fn commit(&self, tip: &Tip) -> Result<(), LedgerError> {
        let commit = || {
            let (counter, length) = (tip.counter.cast_signed(), tip.length.cast_signed());
            let row = params![counter, tip.head.to_bytes(), length, seal_of(tip)];
            let sql = "INSERT OR REPLACE INTO tip VALUES (1, ?1, ?2, ?3, ?4)";
            self.connection.prepare_cached(sql)?.execute(row)?;
            self.connection.execute_batch("COMMIT")
        };
        commit().map_err(|error| self.error(error))
    }

    /// Every entry, in order, for [`entry_of`].
    pub(crate) fn entry_query(&self) -> Result<Statement<'_>, rusqlite::Error> {
        self.connection.prepare("SELECT counter, height, kind, start FROM entry ORDER BY counter")
    }

    /// The points of a pool, or of all, in order, for [`point_of`].
    pub(crate) fn point_query(&self) -> Result<Statement<'_>, rusqlite::Error> {
        self.connection.prepare(
            "SELECT counter, pool, height, nav, assets, queued, reserves FROM point
             WHERE ?1 IS NULL OR pool = ?1 ORDER BY counter, pool",
        )
    }

    /// The last entries of the kind, or of any, that are at or above a height, oldest first.
    pub(crate) fn last(
        &self,
        most: u32,
        kind: Option<&str>,
        from: Height,
    ) -> Result<Vec<EntryRow>, LedgerError> {
        let find = || {
            let sql = "SELECT counter, height, kind, start FROM entry
                WHERE (?1 IS NULL OR kind = ?1) AND height >= ?2 ORDER BY counter DESC LIMIT ?3";
            let mut query = self.connection.prepare(sql)?;
            let rows = query.query_map(params![kind, from.to_u32(), most], entry_of)?;
            rows.collect::<Result<Vec<_>, _>>()
        };
        let mut rows = find().map_err(|error| self.error(error))?;
        rows.reverse();
        Ok(rows)
    }

    /// The points of a pool, or of all, in order.
    pub(crate) fn points(&self, pool: Option<&PoolId>) -> Result<Vec<Point>, LedgerError> {
        let find = || {
            let mut query = self.point_query()?;
            let rows = query.query_map([pool.map(PoolId::as_str)], point_of)?;
            rows.collect::<Result<Vec<_>, _>>()
        };
        find().map_err(|error| self.error(error))
    }

    pub(crate) fn error(&self, error: rusqlite::Error) -> LedgerError {
        failed(&self.file, error)
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        // One that was never published is nothing; what stays of it nevertheless is removed by the next opening.
        if self.draft.take().is_some() && self.close().is_ok() {
            let _ = Index::clear_draft(&self.file);
        }
    }
}

/// What a failure of SQLite means.
pub(crate) fn failed(file: &Path, error: rusqlite::Error) -> LedgerError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            LedgerError::Busy { file: file.to_owned() }
        }
        _ => LedgerError::Index { file: file.to_owned(), error },
    }
}

/// Whether a failure proves that the file is no index, or no longer: nothing that a lock, a permission or a disk may cause.
pub(crate) fn is_damage(error: &rusqlite::Error) -> bool {
    match error {
        rusqlite::Error::SqliteFailure(failure, _) => {
            matches!(failure.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
                // The statements are right for the format: a table or a column is missing.
                || failure.extended_code == rusqlite::ffi::SQLITE_ERROR
        }
        rusqlite::Error::SqlInputError { .. } | rusqlite::Error::QueryReturnedNoRows => true,
        _ => false,
    }
}

/// Whether a row was read whose value is none that this program writes.
pub(crate) fn is_value(error: &rusqlite::Error) -> bool {
    matches!(
        error,
        rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..)
    )
}

fn connect(file: &Path) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(PATIENCE)?;
    // EXTRA: a power cut must not bring back the journal of a transaction that is done.
    connection.execute_batch(
        "PRAGMA journal_mode = DELETE; PRAGMA synchronous = EXTRA; PRAGMA cache_size = -65536;",
    )?;
    Ok(connection)
}

fn connect_to_read(file: &Path) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(PATIENCE)?;
    connection.execute_batch("PRAGMA cache_size = -65536;")?;
    Ok(connection)
}

/// Whether SQLite would have to write before it can read: a killed writer has left its journal, or another program has made the
/// file one that is read beside a log.
fn is_pending(file: &Path) -> bool {
    let mut header = [0; 20];
    let read = File::open(file).and_then(|mut file| file.read_exact(&mut header));
    (read.is_ok() && header[18..] != [1, 1]) || with_end(file, "-journal").exists()
}

/// Lays out an empty index, in a transaction that stays open.
fn begin_anew(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE; {SCHEMA} PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {FORMAT};"
    ))
}

fn pragma(connection: &Connection, name: &str) -> Result<i64, rusqlite::Error> {
    connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))
}

/// The version of a database, if it is one of this program's.
fn version_of(connection: &Connection) -> Result<Option<u32>, rusqlite::Error> {
    let version = pragma(connection, "user_version")?;
    let own = pragma(connection, "application_id")? == APPLICATION;
    Ok(u32::try_from(version).ok().filter(|_| own))
}

fn with_end(file: &Path, end: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// Removes a file of SQLite, or what belongs to it, as far as it is there.
fn remove(file: &Path, ends: &[&str]) -> Result<(), LedgerError> {
    for file in ends.iter().map(|end| with_end(file, end)) {
        match fs::remove_file(&file) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(LedgerError::Io { file, error }),
            _ => {}
        }
    }
    Ok(())
}

fn seal_of(tip: &Tip) -> [u8; 32] {
    let mut engine = SealTag::engine();
    engine.input(&tip.counter.to_be_bytes());
    engine.input(&tip.head.to_bytes());
    engine.input(&tip.length.to_be_bytes());
    sha256::Hash::from_engine(engine).to_byte_array()
}

fn tip_of(row: &Row<'_>) -> Result<(Tip, Vec<u8>), rusqlite::Error> {
    let head = Head::from_bytes(row.get(1)?);
    Ok((Tip { counter: number(row, 0)?, head, length: number(row, 2)? }, row.get(3)?))
}

pub(crate) fn entry_of(row: &Row<'_>) -> Result<EntryRow, rusqlite::Error> {
    let height = Height::new(row.get(1)?);
    Ok(EntryRow { counter: number(row, 0)?, height, kind: row.get(2)?, start: number(row, 3)? })
}

pub(crate) fn point_of(row: &Row<'_>) -> Result<Point, rusqlite::Error> {
    let name: String = row.get(1)?;
    let pool = PoolId::new(&name).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(1, rusqlite::types::Type::Text, error.into())
    })?;
    let sat = |column| number(row, column).map(Amount::from_sat);
    let nav: String = row.get(3)?;
    Ok(Point {
        counter: number(row, 0)?,
        height: Height::new(row.get(2)?),
        pool,
        nav: nav.parse().map(Nav::new).map_err(|error: std::num::ParseIntError| {
            rusqlite::Error::FromSqlConversionFailure(3, rusqlite::types::Type::Text, error.into())
        })?,
        assets: sat(4)?,
        queued: sat(5)?,
        reserves: sat(6)?,
    })
}

fn number(row: &Row<'_>, column: usize) -> Result<u64, rusqlite::Error> {
    Ok(row.get::<_, i64>(column)?.cast_unsigned())
}
