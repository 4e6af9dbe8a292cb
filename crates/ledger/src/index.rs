//! The index: what can be found fast, and can be made anew from the journal at any time.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bitcoin::Amount;
use bitcoin::hashes::{Hash, HashEngine, sha256, sha256t::Tag, sha256t_hash_newtype};
use rusqlite::{Connection, OpenFlags, Row, Statement, params};
use serde::Serialize;
use tapstake_params::Height;
use tapstake_restake::{PartsPerMillion, PoolId};

use crate::error::LedgerError;
use crate::journal::Tip;
use crate::line::Head;
use crate::series::Point;

/// The format of the database: its `user_version`. Another one is made anew.
const FORMAT: i64 = 1;
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
        nav INTEGER,
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
}

impl Index {
    /// The file beside a journal.
    pub(crate) fn path_of(journal: &Path) -> PathBuf {
        let mut name = journal.file_name().unwrap_or_default().to_owned();
        name.push(".index");
        journal.with_file_name(name)
    }

    /// Opens an index, or says why it is of no use.
    pub(crate) fn open(file: &Path) -> Result<(Self, Tip), IndexState> {
        if !file.exists() {
            return Err(IndexState::Missing);
        }
        let damaged = |reason: String| IndexState::Damaged { reason };
        let open = || {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(file, flags)?;
            settings(&connection)?;
            let pragma =
                |name: &str| connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
            let known = [pragma("application_id")?, pragma("user_version")?] == [APPLICATION, FORMAT];
            // SQLite would read zeros where the last page is cut off.
            let whole = pragma("page_count")? * pragma("page_size")?;
            let check: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
            let tip = connection.query_row("SELECT counter, head, length, seal FROM tip", [], tip_of)?;
            let last: Option<i64> =
                connection.query_row("SELECT max(counter) FROM entry", [], |row| row.get(0))?;
            Ok::<_, rusqlite::Error>((connection, known, whole, check, tip, last))
        };
        let (connection, known, whole, check, (tip, seal), last) =
            open().map_err(|error| damaged(error.to_string()))?;
        let length = std::fs::metadata(file).map_err(|error| damaged(error.to_string()))?.len();
        if !known {
            return Err(damaged("it is of another format".to_owned()));
        }
        if check != "ok" || i64::try_from(length).is_ok_and(|length| length < whole) {
            return Err(damaged(format!("{length} of {whole} bytes, check: {check}")));
        }
        if seal != seal_of(&tip).to_vec() || last.unwrap_or(0).cast_unsigned() != tip.counter {
            return Err(damaged("its tip is not what it says".to_owned()));
        }
        Ok((Index { connection, file: file.to_owned() }, tip))
    }

    /// Makes an empty index in place of whatever was there, and begins to fill it: nothing is kept before [`Index::commit`].
    pub(crate) fn create(file: &Path) -> Result<Self, LedgerError> {
        for end in ["", "-journal", "-wal", "-shm"] {
            let mut name = file.as_os_str().to_owned();
            name.push(end);
            match std::fs::remove_file(&name) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(LedgerError::Io { file: name.into(), error });
                }
                _ => {}
            }
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            options.mode(0o600);
        }
        options.open(file).map_err(|error| LedgerError::Io { file: file.to_owned(), error })?;
        let create = || {
            let connection = Connection::open(file)?;
            settings(&connection)?;
            connection.execute_batch(&format!(
                "BEGIN IMMEDIATE; {SCHEMA} PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {FORMAT};"
            ))?;
            Ok(connection)
        };
        let connection = create().map_err(|error| LedgerError::Index { file: file.to_owned(), error })?;
        Ok(Index { connection, file: file.to_owned() })
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
                let (height, nav) = (point.height.to_u32(), point.nav.map(PartsPerMillion::to_u32));
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
            self.connection.execute("INSERT OR REPLACE INTO tip VALUES (1, ?1, ?2, ?3, ?4)", row)?;
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
        LedgerError::Index { file: self.file.clone(), error }
    }
}

fn settings(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.busy_timeout(Duration::from_secs(5))?;
    connection
        .execute_batch("PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL; PRAGMA cache_size = -65536;")
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
    Ok(Point {
        counter: number(row, 0)?,
        height: Height::new(row.get(2)?),
        pool,
        nav: row.get::<_, Option<u32>>(3)?.map(PartsPerMillion::new),
        assets: sat(4)?,
        queued: sat(5)?,
        reserves: sat(6)?,
    })
}

fn number(row: &Row<'_>, column: usize) -> Result<u64, rusqlite::Error> {
    Ok(row.get::<_, i64>(column)?.cast_unsigned())
}
