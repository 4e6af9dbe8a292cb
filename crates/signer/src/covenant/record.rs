use std::path::{Path, PathBuf};
use std::str::FromStr;

use bitcoin::{Amount, OutPoint, XOnlyPublicKey};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, TransactionBehavior, params};
use tapstake_durable as durable;
use tapstake_params::Timelock;
use tapstake_tx::delegation::{DelegationPackage, MAX_PACKAGE_BYTES};

use super::error::{CovenantError, Refusal};
use super::signed::{MemberSignatures, Signed, SignedExpansion, Subject};

/// The format of the database: its `user_version`.
const FORMAT: i64 = 1;
/// "tapc": which program's file it is, its `application_id`.
const APPLICATION: i64 = 0x7461_7063;

const SCHEMA: &str = "
    CREATE TABLE member (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        public_key TEXT NOT NULL
    ) STRICT;
    CREATE TABLE signed (
        id INTEGER PRIMARY KEY,
        stake TEXT NOT NULL UNIQUE,
        params_version INTEGER NOT NULL,
        staker TEXT NOT NULL,
        value_sat INTEGER NOT NULL,
        staking_time INTEGER NOT NULL,
        unbonding TEXT NOT NULL,
        slashing TEXT NOT NULL,
        unbonding_slashing TEXT NOT NULL,
        expanded TEXT,
        expansion_digest TEXT,
        signatures TEXT NOT NULL,
        package BLOB NOT NULL
    ) STRICT;
    CREATE INDEX signed_unbonding ON signed (unbonding);
    CREATE TABLE spent (
        coin TEXT NOT NULL,
        stake TEXT NOT NULL REFERENCES signed (stake),
        PRIMARY KEY (coin, stake)
    ) STRICT, WITHOUT ROWID;";

/// What a member signed, on disk before any signature left: a SQLite database in one file.
#[derive(Debug)]
pub(super) struct Record {
    connection: Connection,
    file: PathBuf,
}

impl Record {
    /// Makes an empty record at `file`, for the member with `public_key`.
    pub(super) fn create(file: &Path, public_key: XOnlyPublicKey) -> Result<(), CovenantError> {
        // SQLite gives its journals the mode of the database.
        durable::private_file(file).map_err(|error| CovenantError::Io { path: file.to_owned(), error })?;
        let made = Connection::open(file).and_then(|connection| {
            connection.execute_batch(&format!(
                "PRAGMA synchronous = EXTRA; BEGIN; {SCHEMA}
                 PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {FORMAT};
                 INSERT INTO member (id, public_key) VALUES (1, '{public_key}'); COMMIT;"
            ))
        });
        made.map_err(|error| self::error(file, error))
    }

    /// Opens the record in `file`. One that is not there is never made here: a lost record is not an empty one.
    pub(super) fn open(file: &Path) -> Result<Self, CovenantError> {
        let length = std::fs::metadata(file)
            .map_err(|error| CovenantError::Io { path: file.to_owned(), error })?
            .len();
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connect = || {
            let connection = Connection::open_with_flags(file, flags)?;
            // EXTRA: a commit is on the disk, the removal of its journal included, when the call returns.
            connection.execute_batch("PRAGMA synchronous = EXTRA; PRAGMA foreign_keys = ON;")?;
            Ok(connection)
        };
        let connection = connect().map_err(|error| self::error(file, error))?;
        let record = Record { connection, file: file.to_owned() };
        record.check(length)?;
        Ok(record)
    }

    fn check(&self, length: u64) -> Result<(), CovenantError> {
        let number = |name: &str| {
            let read = self.connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
            read.map_err(|error| self.error(error))
        };
        if length == 0 || number("application_id")? != APPLICATION {
            return Err(self.damaged("it is no covenant member's record"));
        }
        let found = number("user_version")?;
        if found > FORMAT {
            return Err(CovenantError::NewerRecord { file: self.file.clone(), found, supported: FORMAT });
        }
        // SQLite would read zeros where the last page is cut off.
        let whole = number("page_count")? * number("page_size")?;
        if i64::try_from(length).is_ok_and(|length| length < whole) {
            return Err(self.damaged(format!("{length} bytes are left of {whole}")));
        }
        let check: String = self
            .connection
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .map_err(|error| self.error(error))?;
        if check == "ok" { Ok(()) } else { Err(self.damaged(check)) }
    }

    /// The key whose signatures these are.
    pub(super) fn public_key(&self) -> Result<XOnlyPublicKey, CovenantError> {
        let key: String = self
            .connection
            .query_row("SELECT public_key FROM member", [], |row| row.get(0))
            .map_err(|error| self.error(error))?;
        key.parse().map_err(|_| self.damaged(format!("{key:?} is no public key")))
    }

    /// What was signed for the stake at `outpoint`.
    pub(super) fn get(&self, outpoint: OutPoint) -> Result<Option<Signed>, CovenantError> {
        self.query("WHERE stake = ?1", &outpoint.to_string()).map(|found| found.into_iter().next())
    }

    /// The delegation of the stake at `outpoint` as it was signed, without what makes its staking transaction one to send.
    pub(super) fn package(&self, outpoint: OutPoint) -> Result<Option<DelegationPackage>, CovenantError> {
        let bytes: Option<Vec<u8>> = self
            .connection
            .query_row("SELECT package FROM signed WHERE stake = ?1", [outpoint.to_string()], |row| {
                row.get(0)
            })
            .optional()
            .map_err(|error| self.error(error))?;
        let read = |bytes: Vec<u8>| DelegationPackage::from_bytes(&bytes);
        bytes.map(read).transpose().map_err(|error| self.damaged(error.to_string()))
    }

    /// Everything that was signed, oldest first.
    pub(super) fn list(&self) -> Result<Vec<Signed>, CovenantError> {
        // Every row has an id of 1 or more.
        self.query("WHERE id > ?1 ORDER BY id", "0")
    }

    /// The stake that `coin` is, or is an unbonding output or a slashing's refund of, among those signed for.
    pub(super) fn stake_of(&self, coin: OutPoint) -> Result<Option<OutPoint>, CovenantError> {
        let row: Option<String> = self
            .connection
            .query_row(
                "SELECT stake FROM signed
                 WHERE stake = ?1 OR unbonding = ?2 OR slashing = ?2 OR unbonding_slashing = ?2 LIMIT 1",
                params![coin.to_string(), coin.txid.to_string()],
                |row| row.get(0),
            )
            .optional()
            .map_err(|error| self.error(error))?;
        row.map(|stake| self.parse(&stake, "outpoint")).transpose()
    }

    /// The other stakes signed for whose staking transactions spend one of `coins`.
    pub(super) fn rivals(&self, stake: OutPoint, coins: &[OutPoint]) -> Result<Vec<OutPoint>, CovenantError> {
        let mut rivals = Vec::new();
        let read = || {
            let mut query =
                self.connection.prepare("SELECT stake FROM spent WHERE coin = ?1 AND stake != ?2")?;
            let mut found = Vec::new();
            for coin in coins {
                let rows =
                    query.query_map([coin.to_string(), stake.to_string()], |row| row.get::<_, String>(0))?;
                found.extend(rows.collect::<Result<Vec<_>, _>>()?);
            }
            Ok(found)
        };
        for found in read().map_err(|error| self.error(error))? {
            let rival = self.parse(&found, "outpoint")?;
            if !rivals.contains(&rival) {
                rivals.push(rival);
            }
        }
        Ok(rivals)
    }

    /// Writes down what is about to leave: the signatures, the coins that the staking transaction spends, and the delegation
    /// for whoever loses it. When this returns, it is on the disk.
    pub(super) fn insert(
        &mut self,
        signed: &Signed,
        coins: &[OutPoint],
        package: &DelegationPackage,
    ) -> Result<(), CovenantError> {
        let Record { connection, file } = self;
        let package = kept(package)?;
        let Signed { subject, signatures } = signed;
        let stake = subject.stake.to_string();
        let value =
            i64::try_from(subject.value.to_sat()).expect("a stake's value is below 21 million bitcoin");
        let signatures = text(signatures);
        let mut write = || {
            let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            tx.execute(
                "INSERT INTO signed (stake, params_version, staker, value_sat, staking_time, unbonding, slashing,
                     unbonding_slashing, expanded, expansion_digest, signatures, package)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
                params![
                    stake,
                    subject.params_version,
                    subject.staker.to_string(),
                    value,
                    subject.staking_time.blocks(),
                    subject.unbonding.to_string(),
                    subject.slashing.to_string(),
                    subject.unbonding_slashing.to_string(),
                    subject.expansion.map(|expansion| expansion.previous.to_string()),
                    subject.expansion.map(|expansion| expansion.digest.to_string()),
                    signatures,
                    package,
                ],
            )?;
            for coin in coins {
                tx.execute(
                    "INSERT INTO spent (coin, stake) VALUES (?1, ?2)",
                    params![coin.to_string(), stake],
                )?;
            }
            tx.commit()
        };
        write().map_err(|error| self::error(file, error))
    }

    /// Writes down that a member which signed for the stake at `outpoint` is about to let the old stake go, too: all that
    /// it has signed, and the delegation as it is now. When this returns, it is on the disk.
    pub(super) fn add_release(
        &mut self,
        outpoint: OutPoint,
        signatures: &MemberSignatures,
        package: &DelegationPackage,
    ) -> Result<(), CovenantError> {
        let row = params![outpoint.to_string(), text(signatures), kept(package)?];
        let sql = "UPDATE signed SET signatures = ?2, package = ?3 WHERE stake = ?1";
        match self.connection.execute(sql, row).map_err(|error| self.error(error))? {
            1 => Ok(()),
            rows => Err(self.damaged(format!("{rows} entries for stake {outpoint}"))),
        }
    }

    fn query(&self, condition: &str, value: &str) -> Result<Vec<Signed>, CovenantError> {
        let sql = format!(
            "SELECT stake, params_version, staker, value_sat, staking_time, unbonding, slashing, unbonding_slashing,
                 expanded, expansion_digest, signatures FROM signed {condition}"
        );
        let read =
            || self.connection.prepare(&sql)?.query_map([value], Texts::read)?.collect::<Result<Vec<_>, _>>();
        let rows = read().map_err(|error| self.error(error))?;
        rows.into_iter().map(|row| self.signed(row)).collect()
    }

    fn signed(&self, row: Texts) -> Result<Signed, CovenantError> {
        let expansion = match (row.expanded, row.expansion_digest) {
            (Some(previous), Some(digest)) => Some(SignedExpansion {
                previous: self.parse(&previous, "outpoint")?,
                digest: self.parse(&digest, "digest")?,
            }),
            _ => None,
        };
        let value = u64::try_from(row.value_sat).map_err(|_| self.damaged("a negative value"))?;
        let signatures =
            serde_json::from_str(&row.signatures).map_err(|error| self.damaged(error.to_string()))?;
        let subject = Subject {
            stake: self.parse(&row.stake, "outpoint")?,
            params_version: row.params_version,
            staker: self.parse(&row.staker, "key")?,
            value: Amount::from_sat(value),
            staking_time: Timelock::new(row.staking_time).map_err(|error| self.damaged(error.to_string()))?,
            unbonding: self.parse(&row.unbonding, "txid")?,
            slashing: self.parse(&row.slashing, "txid")?,
            unbonding_slashing: self.parse(&row.unbonding_slashing, "txid")?,
            expansion,
        };
        Ok(Signed { subject, signatures })
    }

    fn parse<T: FromStr>(&self, text: &str, what: &str) -> Result<T, CovenantError> {
        text.parse().map_err(|_| self.damaged(format!("{text:?} is no {what}")))
    }

    pub(super) fn damaged(&self, reason: impl Into<String>) -> CovenantError {
        CovenantError::DamagedRecord { file: self.file.clone(), reason: reason.into() }
    }

    fn error(&self, error: rusqlite::Error) -> CovenantError {
        self::error(&self.file, error)
    }
}

fn text(signatures: &MemberSignatures) -> String {
    serde_json::to_string(signatures).expect("signatures have text keys only")
}

/// The bytes of a delegation as the record keeps it, once they give that delegation back.
fn kept(package: &DelegationPackage) -> Result<Vec<u8>, Refusal> {
    let package = package.clone().without_witnesses();
    let bytes = package.to_bytes();
    if bytes.len() > MAX_PACKAGE_BYTES {
        return Err(Refusal::TooLong { bytes: bytes.len() });
    }
    match DelegationPackage::from_bytes(&bytes) {
        Ok(read) if read == package => Ok(bytes),
        Ok(_) => Err(Refusal::NotKept("it comes back as another one".to_owned())),
        Err(error) => Err(Refusal::NotKept(error.to_string())),
    }
}

/// A row as it is stored.
struct Texts {
    stake: String,
    params_version: u32,
    staker: String,
    value_sat: i64,
    staking_time: u32,
    unbonding: String,
    slashing: String,
    unbonding_slashing: String,
    expanded: Option<String>,
    expansion_digest: Option<String>,
    signatures: String,
}

impl Texts {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Texts {
            stake: row.get(0)?,
            params_version: row.get(1)?,
            staker: row.get(2)?,
            value_sat: row.get(3)?,
            staking_time: row.get(4)?,
            unbonding: row.get(5)?,
            slashing: row.get(6)?,
            unbonding_slashing: row.get(7)?,
            expanded: row.get(8)?,
            expansion_digest: row.get(9)?,
            signatures: row.get(10)?,
        })
    }
}

fn error(file: &Path, error: rusqlite::Error) -> CovenantError {
    use rusqlite::ErrorCode;
    let file = file.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            CovenantError::DamagedRecord { file, reason: error.to_string() }
        }
        _ => CovenantError::Database { file, error },
    }
}

#[cfg(test)]
mod tests;
