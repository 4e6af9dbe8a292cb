//! The wallet's database: BDK's tables and ours beside them, changed in one transaction.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use bdk_wallet::ChangeSet;
use bitcoin::OutPoint;
use rusqlite::{Connection, ErrorCode, OptionalExtension, params};
use tapstake_durable as durable;

use crate::error::{AtPath, WalletError};
use crate::lock::LockReason;
use crate::staker::StakerKeySource;
use crate::staker_key::StakerKey;

/// The format of our tables; BDK migrates its own.
const FORMAT: u32 = 1;

/// What we keep beside BDK's data.
#[derive(Debug, Clone)]
pub(crate) struct Meta {
    /// Height from which on the wallet can have coins.
    pub(crate) birthday: u32,
    /// Whether a full scan for used addresses was done over Electrum.
    pub(crate) scanned: bool,
    pub(crate) staker: StakerKeySource,
}

/// An open database. While it is open no other process can open it: BDK holds the state in memory, and
/// two processes would spend the same coins.
#[derive(Debug)]
pub(crate) struct Store {
    connection: Connection,
}

impl Store {
    pub(crate) fn create(path: &Path) -> Result<Self, WalletError> {
        // SQLite gives its journals the mode of the database.
        drop(durable::private_file(path).at(path)?);
        let mut store = Store { connection: connect(path)? };
        let tx = store.connection.transaction()?;
        ChangeSet::init_sqlite_tables(&tx)?;
        tx.execute_batch(
            "CREATE TABLE tapstake_meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
             CREATE TABLE tapstake_lock (outpoint TEXT PRIMARY KEY, reason TEXT NOT NULL) STRICT;",
        )?;
        tx.execute("INSERT INTO tapstake_meta VALUES ('format', ?1)", [FORMAT.to_string()])?;
        tx.commit()?;
        Ok(store)
    }

    /// Opens the database and reads everything in it.
    pub(crate) fn open(path: &Path) -> Result<(Self, Opened), WalletError> {
        let mut connection = connect(path)?;
        let file = || path.display().to_string();
        let damaged = |reason: String| WalletError::Damaged { file: file(), reason };

        let tx = connection.transaction()?;
        let get = |key: &str| -> Result<Option<String>, rusqlite::Error> {
            tx.query_row("SELECT value FROM tapstake_meta WHERE key = ?1", [key], |row| row.get(0)).optional()
        };
        let format = get("format").map_err(|error| match error {
            // No such table: a database, but not ours.
            rusqlite::Error::SqliteFailure(_, Some(message)) if message.contains("no such table") => {
                damaged("not a wallet database".into())
            }
            other => other.into(),
        })?;
        let number = |name: &str, value: Option<String>| {
            value
                .as_deref()
                .unwrap_or_default()
                .parse::<u32>()
                .map_err(|error| damaged(format!("{name}: {error}")))
        };
        let found = number("format", format)?;
        if found > FORMAT {
            return Err(WalletError::NewerFormat { file: file(), found, supported: FORMAT });
        }
        let staker = match get("staker")?.as_deref() {
            None | Some("derived") => StakerKeySource::Derived,
            Some(key) => StakerKeySource::External(
                StakerKey::from_str(key).map_err(|error| damaged(error.to_string()))?,
            ),
        };
        let meta = Meta {
            birthday: number("birthday", get("birthday")?)?,
            scanned: get("scanned")?.is_some(),
            staker,
        };
        let mut locks = BTreeMap::new();
        {
            let mut statement = tx.prepare("SELECT outpoint, reason FROM tapstake_lock")?;
            let rows =
                statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
            for row in rows {
                let (outpoint, reason) = row?;
                let outpoint =
                    OutPoint::from_str(&outpoint).map_err(|error| damaged(format!("lock: {error}")))?;
                locks.insert(outpoint, LockReason::from_stored(&reason));
            }
        }
        ChangeSet::init_sqlite_tables(&tx)?;
        let changes = ChangeSet::from_sqlite(&tx)?;
        tx.commit()?;
        Ok((Store { connection }, Opened { meta, locks, changes }))
    }

    /// Writes BDK's changes and ours together: a crash leaves both or none.
    pub(crate) fn write(&mut self, changes: Option<&ChangeSet>, ours: &[Change]) -> Result<(), WalletError> {
        let tx = self.connection.transaction()?;
        if let Some(changes) = changes {
            changes.persist_to_sqlite(&tx)?;
        }
        let set = |key: &str, value: &str| {
            tx.execute("INSERT OR REPLACE INTO tapstake_meta VALUES (?1, ?2)", params![key, value])
        };
        for change in ours {
            match change {
                Change::Meta(meta) => {
                    set("birthday", &meta.birthday.to_string())?;
                    if meta.scanned {
                        set("scanned", "yes")?;
                    }
                    match &meta.staker {
                        StakerKeySource::Derived => set("staker", "derived")?,
                        StakerKeySource::External(key) => set("staker", &key.to_string())?,
                    };
                }
                Change::Lock(outpoint, reason) => {
                    tx.execute(
                        "INSERT OR REPLACE INTO tapstake_lock VALUES (?1, ?2)",
                        params![outpoint.to_string(), reason.to_stored()],
                    )?;
                }
                Change::Unlock(outpoint) => {
                    tx.execute("DELETE FROM tapstake_lock WHERE outpoint = ?1", [outpoint.to_string()])?;
                }
            }
        }
        tx.commit()?;
        Ok(())
    }
}

/// Everything read from a database.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) meta: Meta,
    pub(crate) locks: BTreeMap<OutPoint, LockReason>,
    pub(crate) changes: ChangeSet,
}

/// A change of our tables.
#[derive(Debug)]
pub(crate) enum Change {
    Meta(Meta),
    Lock(OutPoint, LockReason),
    Unlock(OutPoint),
}

fn connect(path: &Path) -> Result<Connection, WalletError> {
    let busy = |error: rusqlite::Error| match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            WalletError::Busy(durable::folder_of(path).to_owned())
        }
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            WalletError::Damaged { file: path.display().to_string(), reason: error.to_string() }
        }
        _ => error.into(),
    };
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(2))?;
    // Held from here to the end of the process, also by its death.
    connection.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT;").map_err(busy)?;
    Ok(connection)
}
