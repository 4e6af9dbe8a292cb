//! The record of votes and commitments: a SQLite database in the provider's folder.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bitcoin::secp256k1::{XOnlyPublicKey, schnorr};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, Transaction, TransactionBehavior, params};
use tapstake_crypto::eots::{Commitment, PublicRandomness, SignedCommitment, Vote};
use tapstake_durable as durable;

use super::ProviderError;
use super::entry::{Entry, Tip, is_counter};

/// The format of the database: its `user_version`.
const FORMAT: i64 = 1;
/// "tapp": which program's file it is, its `application_id`.
const APPLICATION: i64 = 0x7461_7070;

/// What was written once stays: SQLite itself refuses a second vote for a height, and any change of an entry.
const SCHEMA: &str = "
    CREATE TABLE provider (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        public_key BLOB NOT NULL CHECK (length(public_key) = 32),
        service TEXT NOT NULL,
        marker TEXT NOT NULL
    ) STRICT;
    CREATE TABLE entry (
        counter INTEGER PRIMARY KEY,
        kind TEXT NOT NULL CHECK (kind IN ('vote', 'floor')),
        height INTEGER NOT NULL CHECK (height >= 0),
        block_hash BLOB CHECK (length(block_hash) = 32),
        head BLOB NOT NULL CHECK (length(head) = 32),
        CHECK ((kind = 'vote') = (block_hash IS NOT NULL))
    ) STRICT;
    CREATE UNIQUE INDEX one_vote_a_height ON entry (height) WHERE kind = 'vote';
    CREATE TRIGGER entry_is_final BEFORE UPDATE ON entry BEGIN SELECT RAISE(ABORT, 'an entry is final'); END;
    CREATE TRIGGER entry_stays BEFORE DELETE ON entry BEGIN SELECT RAISE(ABORT, 'an entry stays'); END;
    CREATE TABLE commitment (
        start INTEGER PRIMARY KEY CHECK (start >= 0),
        count INTEGER NOT NULL CHECK (count > 0),
        root BLOB NOT NULL CHECK (length(root) = 32),
        signature BLOB NOT NULL CHECK (length(signature) = 64),
        randomness BLOB NOT NULL CHECK (length(randomness) = 32 * count)
    ) STRICT;";

/// Whose record it is, and where its marker lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) provider: XOnlyPublicKey,
    pub(super) service: String,
    pub(super) marker: PathBuf,
}

#[derive(Debug)]
pub(super) struct Record {
    connection: Connection,
    file: PathBuf,
}

impl Record {
    /// Makes an empty record.
    pub(super) fn create(file: &Path, owner: &Owner) -> Result<Self, ProviderError> {
        // SQLite gives its journals the mode of the database.
        durable::private_file(file).map_err(|error| ProviderError::Io { path: file.to_owned(), error })?;
        let connection = Connection::open(file).map_err(|error| self::error(file, error))?;
        let mut record = Record { connection, file: file.to_owned() };
        record.settings()?;
        record.change(|tx| {
            tx.execute_batch(&format!(
                "{SCHEMA} PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {FORMAT};"
            ))?;
            let row = params![owner.provider.serialize(), owner.service, owner.marker.to_string_lossy()];
            tx.execute("INSERT INTO provider VALUES (1, ?1, ?2, ?3)", row)?;
            Ok(())
        })?;
        Ok(record)
    }

    /// Opens a record, and refuses what is no intact one of a format known here.
    pub(super) fn open(file: &Path) -> Result<Self, ProviderError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection =
            Connection::open_with_flags(file, flags).map_err(|error| self::error(file, error))?;
        let record = Record { connection, file: file.to_owned() };
        record.settings()?;
        record.check()?;
        Ok(record)
    }

    fn settings(&self) -> Result<(), ProviderError> {
        let set = || {
            self.connection.busy_timeout(Duration::from_secs(5))?;
            // A commit is on the disk when the call returns: EXTRA is FULL, and the removal of the rollback journal reaches
            // the disk as well, so that no power cut brings the state before the commit back. (fullfsync: macOS.)
            self.connection.execute_batch(
                "PRAGMA journal_mode = DELETE; PRAGMA synchronous = EXTRA; PRAGMA fullfsync = ON;",
            )
        };
        set().map_err(|error| self.error(error))
    }

    fn check(&self) -> Result<(), ProviderError> {
        let pragma = |name: &str| -> Result<i64, ProviderError> {
            let read = self.connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0));
            read.map_err(|error| self.error(error))
        };
        if pragma("application_id")? != APPLICATION {
            return Err(self.damaged("it is another program's database"));
        }
        let found = pragma("user_version")?;
        if found > FORMAT {
            return Err(ProviderError::NewerFormat { file: self.file.clone(), found, supported: FORMAT });
        }
        // SQLite would read zeros where the last page is cut off.
        let whole = pragma("page_count")? * pragma("page_size")?;
        let length = std::fs::metadata(&self.file)
            .map_err(|error| ProviderError::Io { path: self.file.clone(), error })?
            .len();
        if i64::try_from(length).is_ok_and(|length| length < whole) {
            return Err(self.damaged(format!("{length} bytes are left of {whole}")));
        }
        let check: String = self
            .connection
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .map_err(|error| self.error(error))?;
        if check != "ok" {
            return Err(self.damaged(check));
        }
        Ok(())
    }

    pub(super) fn owner(&self) -> Result<Owner, ProviderError> {
        let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let row = self.connection.query_row("SELECT public_key, service, marker FROM provider", [], read);
        let (key, service, marker): (Vec<u8>, String, String) = row.map_err(|error| self.error(error))?;
        let provider = XOnlyPublicKey::from_slice(&key)
            .map_err(|_| self.damaged("its provider's key is no point on the curve"))?;
        Ok(Owner { provider, service, marker: PathBuf::from(marker) })
    }

    /// Where the record ends, after following its chain from the first entry on.
    pub(super) fn tip(&self) -> Result<Tip, ProviderError> {
        let owner = self.owner()?;
        let mut tip = Tip::empty(&owner.provider, &owner.service);
        let sql = "SELECT counter, kind, height, block_hash, head FROM entry ORDER BY counter";
        let mut query = self.connection.prepare(sql).map_err(|error| self.error(error))?;
        let mut rows = query.query([]).map_err(|error| self.error(error))?;
        while let Some(row) = rows.next().map_err(|error| self.error(error))? {
            let (counter, entry, head) = entry_of(row).map_err(|error| self.error(error))?;
            let next = tip.with(counter, entry);
            let follows = next.follows(&tip) && is_counter(counter) && !entry.is_below(&tip);
            if next.head.to_bytes() != head || !follows {
                return Err(self.damaged(format!("entry {counter} does not follow entry {}", tip.counter)));
            }
            tip = next;
        }
        Ok(tip)
    }

    /// The vote at a height.
    pub(super) fn vote_at(&self, height: u64) -> Result<Option<Vote>, ProviderError> {
        let Ok(sql_height) = i64::try_from(height) else { return Ok(None) };
        let sql = "SELECT block_hash FROM entry WHERE kind = 'vote' AND height = ?1";
        let block_hash: Option<[u8; 32]> = self
            .connection
            .query_row(sql, [sql_height], |row| row.get(0))
            .optional()
            .map_err(|error| self.error(error))?;
        Ok(block_hash.map(|block_hash| Vote { height, block_hash }))
    }

    /// The last vote and the number of votes.
    pub(super) fn votes(&self) -> Result<(Option<Vote>, u64), ProviderError> {
        let sql = "SELECT max(height), count(*) FROM entry WHERE kind = 'vote'";
        let row =
            self.connection.query_row(sql, [], |row| Ok((row.get::<_, Option<i64>>(0)?, number(row, 1)?)));
        let (height, count) = row.map_err(|error| self.error(error))?;
        let last = match height.map(i64::cast_unsigned) {
            Some(height) => self.vote_at(height)?,
            None => None,
        };
        Ok((last, count))
    }

    /// The greatest height that a person stated as voted on.
    pub(super) fn floor(&self) -> Result<Option<u64>, ProviderError> {
        let sql = "SELECT max(height) FROM entry WHERE kind = 'floor'";
        let floor: Option<i64> =
            self.connection.query_row(sql, [], |row| row.get(0)).map_err(|error| self.error(error))?;
        Ok(floor.map(i64::cast_unsigned))
    }

    /// Adds the last entry of `tip`: when this returns, it is on the disk.
    pub(super) fn append(&mut self, tip: &Tip) -> Result<(), ProviderError> {
        self.change(|tx| append(tx, tip))
    }

    /// Adds the last entry of `tip`, and moves the marker to another place.
    pub(super) fn append_and_move_marker(&mut self, tip: &Tip, marker: &Path) -> Result<(), ProviderError> {
        self.change(|tx| {
            append(tx, tip)?;
            tx.execute("UPDATE provider SET marker = ?1", [marker.to_string_lossy()])?;
            Ok(())
        })
    }

    /// Every commitment, by height.
    pub(super) fn commitments(&self) -> Result<Vec<SignedCommitment>, ProviderError> {
        let sql = "SELECT start, count, root, signature FROM commitment ORDER BY start";
        let rows: Result<Vec<_>, _> =
            self.connection.prepare(sql).and_then(|mut query| query.query_map([], commitment_of)?.collect());
        rows.map_err(|error| self.error(error))
    }

    /// The first commitment that shares a height with a range.
    pub(super) fn commitment_within(
        &self,
        start: u64,
        count: u64,
    ) -> Result<Option<SignedCommitment>, ProviderError> {
        let sql = "SELECT start, count, root, signature FROM commitment
            WHERE start < ?1 + ?2 AND start + count > ?1 ORDER BY start LIMIT 1";
        let row = self.connection.query_row(sql, [start.cast_signed(), count.cast_signed()], commitment_of);
        row.optional().map_err(|error| self.error(error))
    }

    /// The randomness that a commitment is to.
    pub(super) fn randomness(&self, start: u64) -> Result<Vec<PublicRandomness>, ProviderError> {
        let sql = "SELECT randomness FROM commitment WHERE start = ?1";
        let bytes: Vec<u8> = self
            .connection
            .query_row(sql, [start.cast_signed()], |row| row.get(0))
            .map_err(|error| self.error(error))?;
        let (points, _) = bytes.as_chunks::<32>();
        let read: Result<_, _> = points.iter().map(|point| PublicRandomness::from_bytes(*point)).collect();
        read.map_err(|_| self.damaged(format!("randomness committed to from height {start} on is no point")))
    }

    /// Adds a commitment: when this returns, it is on the disk.
    pub(super) fn add_commitment(
        &mut self,
        signed: &SignedCommitment,
        randomness: &[PublicRandomness],
    ) -> Result<(), ProviderError> {
        let Commitment { start, count, root } = signed.commitment;
        let points: Vec<u8> = randomness.iter().flat_map(|point| point.to_bytes()).collect();
        self.change(|tx| {
            let row =
                params![start.cast_signed(), count.cast_signed(), root, signed.signature.serialize(), points];
            tx.execute("INSERT INTO commitment VALUES (?1, ?2, ?3, ?4, ?5)", row)?;
            Ok(())
        })
    }

    /// Writes in one transaction: all of it or nothing.
    fn change(
        &mut self,
        write: impl FnOnce(&Transaction<'_>) -> Result<(), rusqlite::Error>,
    ) -> Result<(), ProviderError> {
        let Record { connection, file } = self;
        let done = || {
            let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            write(&tx)?;
            tx.commit()
        };
        done().map_err(|error| self::error(file, error))
    }

    fn damaged(&self, reason: impl Into<String>) -> ProviderError {
        ProviderError::Damaged { file: self.file.clone(), reason: reason.into() }
    }

    fn error(&self, error: rusqlite::Error) -> ProviderError {
        self::error(&self.file, error)
    }
}

fn append(tx: &Transaction<'_>, tip: &Tip) -> Result<(), rusqlite::Error> {
    let Some(entry) = tip.last else { return Ok(()) };
    let (kind, block_hash) = match entry {
        Entry::Vote(vote) => ("vote", Some(vote.block_hash)),
        Entry::Floor(_) => ("floor", None),
    };
    let row = params![
        tip.counter.cast_signed(),
        kind,
        entry.height().cast_signed(),
        block_hash,
        tip.head.to_bytes()
    ];
    tx.execute("INSERT INTO entry VALUES (?1, ?2, ?3, ?4, ?5)", row)?;
    Ok(())
}

fn entry_of(row: &Row<'_>) -> Result<(u64, Entry, [u8; 32]), rusqlite::Error> {
    let height = number(row, 2)?;
    let entry = match row.get::<_, Option<[u8; 32]>>(3)? {
        Some(block_hash) => Entry::Vote(Vote { height, block_hash }),
        None => Entry::Floor(height),
    };
    Ok((number(row, 0)?, entry, row.get(4)?))
}

fn commitment_of(row: &Row<'_>) -> Result<SignedCommitment, rusqlite::Error> {
    let signature: [u8; 64] = row.get(3)?;
    let signature = schnorr::Signature::from_slice(&signature).expect("any 64 bytes are taken");
    let commitment = Commitment { start: number(row, 0)?, count: number(row, 1)?, root: row.get(2)? };
    Ok(SignedCommitment { commitment, signature })
}

fn number(row: &Row<'_>, column: usize) -> Result<u64, rusqlite::Error> {
    // The schema's checks keep numbers from being negative.
    Ok(row.get::<_, i64>(column)?.cast_unsigned())
}

fn error(file: &Path, error: rusqlite::Error) -> ProviderError {
    use rusqlite::ErrorCode;
    let file = file.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            ProviderError::Damaged { file, reason: error.to_string() }
        }
        _ => ProviderError::Database { file, error },
    }
}
