//! The list of stakes on disk.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bitcoin::consensus::encode::{deserialize_hex, serialize_hex};
use bitcoin::secp256k1::{Secp256k1, VerifyOnly};
use bitcoin::{OutPoint, Transaction};
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior, params};
use serde::{Deserialize, Serialize};
use tapstake_chain::BlockId;
use tapstake_durable as durable;
use tapstake_tx::delegation::DelegationPackage;

use crate::error::TrackerError;
use crate::observe::Observed;
use crate::record::{RecordError, StakeRecord};
use crate::state::StakeState;

/// The format of the database: its `user_version`.
const FORMAT: i64 = 2;
/// "taps": which program's file it is, its `application_id`.
const APPLICATION: i64 = 0x7461_7073;

const SCHEMA: &str = "
    CREATE TABLE stake (
        id INTEGER PRIMARY KEY,
        outpoint TEXT NOT NULL UNIQUE,
        record TEXT NOT NULL
    ) STRICT;
    CREATE TABLE follow_up (
        id INTEGER PRIMARY KEY,
        outpoint TEXT NOT NULL REFERENCES stake (outpoint) ON DELETE CASCADE,
        kind TEXT NOT NULL,
        txid TEXT NOT NULL,
        tx TEXT NOT NULL,
        UNIQUE (outpoint, txid)
    ) STRICT;
    CREATE TABLE seen (
        outpoint TEXT NOT NULL PRIMARY KEY REFERENCES stake (outpoint) ON DELETE CASCADE,
        seen TEXT NOT NULL
    ) STRICT;";

/// What format 2 adds to format 1: delegations, in their binary form.
const DELEGATIONS: &str = "
    CREATE TABLE delegation (
        outpoint TEXT NOT NULL PRIMARY KEY REFERENCES stake (outpoint) ON DELETE CASCADE,
        package BLOB NOT NULL
    ) STRICT;";

/// The list of stakes of a holder: a SQLite database in one file.
///
/// A call that returned has reached the disk: a record is inserted before its transaction is sent, and a process
/// killed in between finds it again. Several processes may use the file at once.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    file: PathBuf,
    secp: Secp256k1<VerifyOnly>,
}

/// A stake's outpoint, and its record or why that cannot be read.
pub type Entry = (OutPoint, Result<StakeRecord, TrackerError>);

/// A later transaction of a stake, signed and kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowUp {
    /// What it does.
    pub kind: FollowUpKind,
    /// The transaction.
    pub tx: Transaction,
}

/// What a later transaction of a stake does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FollowUpKind {
    /// Unbonds it early.
    Unbonding,
    /// Slashes it, or its unbonding output.
    Slashing,
    /// Withdraws what it lies in.
    Withdrawal,
}

/// What was last seen of a stake: for display only, the chain may have moved on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastSeen {
    /// The end of the chain then.
    pub tip: BlockId,
    /// Where the stake was in its life.
    #[serde(flatten)]
    pub state: StakeState,
}

impl Store {
    /// Opens the list in `file`, or makes an empty one there if there is no such file.
    ///
    /// # Errors
    ///
    /// [`TrackerError::Damaged`] if the file is truncated, damaged or something else,
    /// [`TrackerError::NewerStore`], [`TrackerError::Busy`], [`TrackerError::File`], [`TrackerError::Database`].
    pub fn open(file: &Path) -> Result<Self, TrackerError> {
        if !file.try_exists().map_err(|error| TrackerError::File { file: file.to_owned(), error })? {
            Store::create(file)?;
        }
        let mut store = Store::connect(file).map_err(|error| self::error(file, error))?;
        store.check()?;
        store.migrate()?;
        Ok(store)
    }

    /// Makes an empty list, which is whole from the first moment. If another process makes it at the same time, the first one's
    /// stays.
    fn create(file: &Path) -> Result<(), TrackerError> {
        let failed = |error| TrackerError::File { file: file.to_owned(), error };
        let folder = durable::folder_of(file);
        durable::create_folders(folder).map_err(failed)?;
        let draft = durable::Draft::of(file).map_err(failed)?;
        let filled = Connection::open(draft.path()).and_then(|connection| {
            connection.execute_batch(&format!(
                "BEGIN; {SCHEMA} {DELEGATIONS} PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {FORMAT}; COMMIT;"
            ))
        });
        filled.map_err(|error| TrackerError::Database { file: file.to_owned(), error })?;
        match draft.create() {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => durable::sync_folder(folder),
            made => made,
        }
        .map_err(failed)
    }

    fn connect(file: &Path) -> Result<Self, rusqlite::Error> {
        let connection = Connection::open_with_flags(
            file,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        connection.busy_timeout(Duration::from_secs(5))?;
        // EXTRA: a commit is on the disk, the removal of its journal included, when the call returns.
        connection.execute_batch("PRAGMA synchronous = EXTRA; PRAGMA foreign_keys = ON;")?;
        Ok(Store { connection, file: file.to_owned(), secp: Secp256k1::verification_only() })
    }

    /// Refuses what is no intact list of a format known here.
    fn check(&self) -> Result<(), TrackerError> {
        // A process killed while making it leaves no file; SQLite would take an empty one for a new database.
        if self.length()? == 0 {
            return Err(self.damaged("the file is empty"));
        }
        let pragma = |name: &str| self.connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0));
        let application: i64 = pragma("application_id").map_err(|error| self.error(error))?;
        if application != APPLICATION {
            return Err(self.damaged("it is another program's database"));
        }
        let found: i64 = pragma("user_version").map_err(|error| self.error(error))?;
        if found > FORMAT {
            return Err(TrackerError::NewerStore { file: self.file.clone(), found, supported: FORMAT });
        }
        // SQLite would read zeros where the last page is cut off.
        let [pages, size] = [pragma("page_count"), pragma("page_size")];
        let whole = pages.map_err(|error| self.error(error))? * size.map_err(|error| self.error(error))?;
        let length = self.length()?;
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

    /// Brings an older file up to this format, in one transaction.
    fn migrate(&mut self) -> Result<(), TrackerError> {
        let version = |connection: &Connection| {
            connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))
        };
        if version(&self.connection).map_err(|error| self.error(error))? == FORMAT {
            return Ok(());
        }
        self.change(|tx, _| {
            // Another process may have done it while this one waited for its turn.
            if version(tx)? < FORMAT {
                tx.execute_batch(&format!("{DELEGATIONS} PRAGMA user_version = {FORMAT};"))?;
            }
            Ok(())
        })
    }

    fn length(&self) -> Result<u64, TrackerError> {
        let file = std::fs::metadata(&self.file);
        Ok(file.map_err(|error| TrackerError::File { file: self.file.clone(), error })?.len())
    }

    /// The file the list is in.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Adds a stake. Call it before the staking transaction is sent. Adding the same record again does nothing.
    ///
    /// # Errors
    ///
    /// [`TrackerError::Record`] if it contradicts itself, [`TrackerError::AlreadyKnown`] if the list has that stake
    /// with other facts.
    pub fn insert(&mut self, record: &StakeRecord) -> Result<(), TrackerError> {
        self.insert_all(&[(record.clone(), Vec::new(), None)]).map(|_| ())
    }

    /// Adds stakes with their later transactions, all or none; returns how many were new.
    pub(crate) fn insert_all(
        &mut self,
        stakes: &[(StakeRecord, Vec<FollowUp>, Option<DelegationPackage>)],
    ) -> Result<usize, TrackerError> {
        for (record, ..) in stakes {
            record.check(&self.secp)?;
        }
        self.change(|tx, secp| {
            let mut new = 0;
            for (record, follow_ups, delegation) in stakes {
                let outpoint = record.outpoint.to_string();
                let known: Option<String> = tx
                    .query_row("SELECT record FROM stake WHERE outpoint = ?1", [&outpoint], |row| row.get(0))
                    .optional()?;
                match known {
                    Some(known) => {
                        let mut known = StakeRecord::from_json(secp, &known)?;
                        // Where to look first is no fact about the stake.
                        known.included_at = record.included_at;
                        if known != *record {
                            return Err(TrackerError::AlreadyKnown(record.outpoint).into());
                        }
                    }
                    None => {
                        let row = params![outpoint, record.to_json()];
                        new += tx.execute("INSERT INTO stake (outpoint, record) VALUES (?1, ?2)", row)?;
                    }
                }
                for FollowUp { kind, tx: kept } in follow_ups {
                    keep(tx, &record.outpoint, *kind, kept)?;
                }
                if let Some(package) = delegation {
                    // One that is kept already may have more signatures.
                    let row = params![outpoint, package.to_bytes()];
                    tx.execute("INSERT OR IGNORE INTO delegation VALUES (?1, ?2)", row)?;
                }
            }
            Ok(new)
        })
    }

    /// The record of a stake, if the list has it.
    ///
    /// # Errors
    ///
    /// [`TrackerError::Record`], [`TrackerError::Database`] and what else reading the file brings.
    pub fn get(&self, outpoint: &OutPoint) -> Result<Option<StakeRecord>, TrackerError> {
        let record: Option<String> = self
            .connection
            .query_row("SELECT record FROM stake WHERE outpoint = ?1", [outpoint.to_string()], |row| {
                row.get(0)
            })
            .optional()
            .map_err(|error| self.error(error))?;
        record.map(|json| Ok(StakeRecord::from_json(&self.secp, &json)?)).transpose()
    }

    /// Every stake, in the order they were added.
    ///
    /// # Errors
    ///
    /// As [`Store::get`].
    pub fn list(&self) -> Result<Vec<StakeRecord>, TrackerError> {
        let records: Vec<String> = self
            .rows("SELECT record FROM stake ORDER BY id", [], |row| row.get(0))
            .map_err(|error| self.error(error))?;
        records.iter().map(|json| Ok(StakeRecord::from_json(&self.secp, json)?)).collect()
    }

    /// Every stake by its outpoint, in the order they were added, and the record of each or why it cannot be read: one
    /// that is damaged hides no other.
    ///
    /// # Errors
    ///
    /// [`TrackerError::Damaged`], [`TrackerError::Database`] and what else reading the file brings.
    pub fn entries(&self) -> Result<Vec<Entry>, TrackerError> {
        let rows: Vec<(String, String)> = self
            .rows("SELECT outpoint, record FROM stake ORDER BY id", [], |row| Ok((row.get(0)?, row.get(1)?)))
            .map_err(|error| self.error(error))?;
        let read = |(outpoint, json): (String, String)| {
            let outpoint = outpoint.parse().map_err(|error| self.damaged(format!("{outpoint}: {error}")))?;
            Ok((outpoint, StakeRecord::from_json(&self.secp, &json).map_err(TrackerError::from)))
        };
        rows.into_iter().map(read).collect()
    }

    /// Forgets a stake and everything kept about it; returns whether there was one. Its coins stay where they are.
    ///
    /// # Errors
    ///
    /// [`TrackerError::Busy`], [`TrackerError::Database`] and what else writing the file brings.
    pub fn remove(&mut self, outpoint: &OutPoint) -> Result<bool, TrackerError> {
        self.change(|tx, _| {
            Ok(tx.execute("DELETE FROM stake WHERE outpoint = ?1", [outpoint.to_string()])? != 0)
        })
    }

    /// Renames a stake, or takes its name away.
    ///
    /// # Errors
    ///
    /// [`TrackerError::UnknownStake`] and what writing the file brings.
    pub fn set_label(&mut self, outpoint: &OutPoint, label: Option<&str>) -> Result<(), TrackerError> {
        self.update(outpoint, |record| record.label = label.map(str::to_owned))
    }

    /// Keeps the withdrawal of a stake that was signed in rehearsal, in place of one that was kept before.
    ///
    /// # Errors
    ///
    /// [`TrackerError::UnknownStake`], [`TrackerError::Record`] if it withdraws something else, and what writing the file
    /// brings.
    pub fn keep_exit(&mut self, outpoint: &OutPoint, withdrawal: &Transaction) -> Result<(), TrackerError> {
        let record = self.get(outpoint)?.ok_or(TrackerError::UnknownStake(*outpoint))?;
        StakeRecord { rehearsed_exit: Some(withdrawal.clone()), ..record }.check(&self.secp)?;
        self.update(outpoint, |record| record.rehearsed_exit = Some(withdrawal.clone()))
    }

    /// Keeps a signed later transaction of a stake. Call it before that is sent.
    ///
    /// # Errors
    ///
    /// [`TrackerError::UnknownStake`] and what writing the file brings.
    pub fn keep(
        &mut self,
        outpoint: &OutPoint,
        kind: FollowUpKind,
        tx: &Transaction,
    ) -> Result<(), TrackerError> {
        self.change(|database, _| {
            require(database, outpoint)?;
            keep(database, outpoint, kind, tx)
        })
    }

    /// The later transactions of a stake that were kept, oldest first.
    ///
    /// # Errors
    ///
    /// As [`Store::get`].
    pub fn follow_ups(&self, outpoint: &OutPoint) -> Result<Vec<FollowUp>, TrackerError> {
        let rows: Vec<(String, String)> = self
            .rows(
                "SELECT kind, tx FROM follow_up WHERE outpoint = ?1 ORDER BY id",
                [outpoint.to_string()],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .map_err(|error| self.error(error))?;
        let read = |(kind, tx): (String, String)| {
            let kind = FollowUpKind::named(&kind)
                .ok_or_else(|| self.damaged(format!("a transaction of unknown kind {kind:?}")))?;
            let tx = deserialize_hex(&tx).map_err(|error| self.damaged(error.to_string()))?;
            Ok(FollowUp { kind, tx })
        };
        rows.into_iter().map(read).collect()
    }

    /// Remembers what was seen of a stake, for display and as where to look first.
    ///
    /// # Errors
    ///
    /// [`TrackerError::UnknownStake`] and what writing the file brings.
    pub fn note(&mut self, outpoint: &OutPoint, observed: &Observed) -> Result<(), TrackerError> {
        let seen = LastSeen { tip: observed.tip, state: observed.state };
        let seen = serde_json::to_string(&seen).expect("a state has string keys only");
        if let Some(block) = observed.included {
            self.update(outpoint, |record| record.included_at = Some(block.height))?;
        }
        self.change(|tx, _| {
            require(tx, outpoint)?;
            tx.execute("INSERT OR REPLACE INTO seen VALUES (?1, ?2)", params![outpoint.to_string(), seen])?;
            Ok(())
        })
    }

    /// What was last seen of a stake, if anything was.
    ///
    /// # Errors
    ///
    /// As [`Store::get`].
    pub fn last_seen(&self, outpoint: &OutPoint) -> Result<Option<LastSeen>, TrackerError> {
        let seen: Option<String> = self
            .connection
            .query_row("SELECT seen FROM seen WHERE outpoint = ?1", [outpoint.to_string()], |row| row.get(0))
            .optional()
            .map_err(|error| self.error(error))?;
        seen.map(|json| serde_json::from_str(&json).map_err(|error| self.damaged(error.to_string())))
            .transpose()
    }

    /// Keeps the delegation of a stake in the list: what is signed in advance of its ways out. If there is one already, the
    /// signatures of both are put together; what is kept then is returned.
    ///
    /// # Errors
    ///
    /// [`TrackerError::UnknownStake`], [`TrackerError::Combine`] if it contradicts the one that is kept, and what writing
    /// the file brings.
    pub fn keep_delegation(
        &mut self,
        package: &DelegationPackage,
    ) -> Result<DelegationPackage, TrackerError> {
        let outpoint = package.outpoint();
        let kept = match self.delegation(&outpoint)? {
            Some(kept) => kept.combine(package.clone())?,
            None => package.clone(),
        };
        self.change(|tx, _| {
            require(tx, &outpoint)?;
            let row = params![outpoint.to_string(), kept.to_bytes()];
            tx.execute("INSERT OR REPLACE INTO delegation VALUES (?1, ?2)", row)?;
            Ok(())
        })?;
        Ok(kept)
    }

    /// The delegation of a stake, if one is kept. Whether its signatures are right is its check to say.
    ///
    /// # Errors
    ///
    /// As [`Store::get`].
    pub fn delegation(&self, outpoint: &OutPoint) -> Result<Option<DelegationPackage>, TrackerError> {
        let package: Option<Vec<u8>> = self
            .connection
            .query_row("SELECT package FROM delegation WHERE outpoint = ?1", [outpoint.to_string()], |row| {
                row.get(0)
            })
            .optional()
            .map_err(|error| self.error(error))?;
        let read = |bytes: Vec<u8>| DelegationPackage::from_bytes(&bytes);
        package.map(|bytes| read(bytes).map_err(|error| self.damaged(error.to_string()))).transpose()
    }

    fn update(
        &mut self,
        outpoint: &OutPoint,
        edit: impl FnOnce(&mut StakeRecord),
    ) -> Result<(), TrackerError> {
        self.change(|tx, secp| {
            let json = require(tx, outpoint)?;
            let mut record = StakeRecord::from_json(secp, &json)?;
            let before = record.clone();
            edit(&mut record);
            if record != before {
                let row = params![outpoint.to_string(), record.to_json()];
                tx.execute("UPDATE stake SET record = ?2 WHERE outpoint = ?1", row)?;
            }
            Ok(())
        })
    }

    /// Writes in one transaction: all of it or nothing.
    fn change<T>(
        &mut self,
        write: impl FnOnce(&rusqlite::Transaction<'_>, &Secp256k1<VerifyOnly>) -> Result<T, ChangeError>,
    ) -> Result<T, TrackerError> {
        let Store { connection, file, secp } = self;
        // Immediate: who only reads at first could not wait for another writer later.
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate);
        let tx = tx.map_err(|error| self::error(file, error))?;
        let done = write(&tx, secp).map_err(|error| match error {
            ChangeError::Tracker(error) => error,
            ChangeError::Database(error) => self::error(file, error),
        })?;
        tx.commit().map_err(|error| self::error(file, error))?;
        Ok(done)
    }

    fn rows<T>(
        &self,
        query: &str,
        params: impl rusqlite::Params,
        read: impl FnMut(&rusqlite::Row<'_>) -> Result<T, rusqlite::Error>,
    ) -> Result<Vec<T>, rusqlite::Error> {
        self.connection.prepare(query)?.query_map(params, read)?.collect()
    }

    fn damaged(&self, reason: impl Into<String>) -> TrackerError {
        TrackerError::Damaged { file: self.file.clone(), reason: reason.into() }
    }

    fn error(&self, error: rusqlite::Error) -> TrackerError {
        self::error(&self.file, error)
    }
}

impl FollowUpKind {
    /// The kind's name, as JSON has it.
    pub const fn name(self) -> &'static str {
        match self {
            FollowUpKind::Unbonding => "unbonding",
            FollowUpKind::Slashing => "slashing",
            FollowUpKind::Withdrawal => "withdrawal",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [FollowUpKind::Unbonding, FollowUpKind::Slashing, FollowUpKind::Withdrawal]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// Why a change is taken back.
enum ChangeError {
    Tracker(TrackerError),
    Database(rusqlite::Error),
}

impl From<TrackerError> for ChangeError {
    fn from(error: TrackerError) -> Self {
        ChangeError::Tracker(error)
    }
}

impl From<RecordError> for ChangeError {
    fn from(error: RecordError) -> Self {
        ChangeError::Tracker(error.into())
    }
}

impl From<rusqlite::Error> for ChangeError {
    fn from(error: rusqlite::Error) -> Self {
        ChangeError::Database(error)
    }
}

fn require(tx: &rusqlite::Transaction<'_>, outpoint: &OutPoint) -> Result<String, ChangeError> {
    tx.query_row("SELECT record FROM stake WHERE outpoint = ?1", [outpoint.to_string()], |row| row.get(0))
        .optional()?
        .ok_or_else(|| TrackerError::UnknownStake(*outpoint).into())
}

fn keep(
    database: &rusqlite::Transaction<'_>,
    outpoint: &OutPoint,
    kind: FollowUpKind,
    tx: &Transaction,
) -> Result<(), ChangeError> {
    // The same transaction with other signatures takes the place of the former.
    database.execute(
        "INSERT OR REPLACE INTO follow_up (outpoint, kind, txid, tx) VALUES (?1, ?2, ?3, ?4)",
        params![outpoint.to_string(), kind.name(), tx.compute_txid().to_string(), serialize_hex(tx)],
    )?;
    Ok(())
}

fn error(file: &Path, error: rusqlite::Error) -> TrackerError {
    use rusqlite::ErrorCode;
    let file = file.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => TrackerError::Busy { file },
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            TrackerError::Damaged { file, reason: error.to_string() }
        }
        _ => TrackerError::Database { file, error },
    }
}
