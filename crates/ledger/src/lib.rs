//! The books of a pool operator, on disk.
//!
//! The truth is the **journal**: a text file, one JSON line for each entry, only ever appended to. Each line ends in a hash
//! over itself and the line before, so that whoever knows the last hash knows that nothing before it was changed:
//!
//! ```text
//! {"format":"tapstake-book","version":1,"network":"regtest","hash":"…"}
//! {"counter":1,"height":100,"event":{"open_pool":{"pool":"a","unbonding_time":1008}},"hash":"…"}
//! ```
//!
//! Opening a [`Ledger`] streams the journal, checks every hash and replays every event into a
//! [`Book`](tapstake_restake::Book); what is wrong is refused with the number of its line. [`Ledger::append`] returns when the
//! line has reached the disk: only then is the entry acknowledged, and no kill of the process takes it back. A process killed
//! while it writes leaves a line without an end; nobody was told of that one, and it is cut off ([`TornLine`]).
//!
//! Beside the journal is an **index** in SQLite: where each entry stands, what each pool was worth at each height, and how far
//! the journal went. It can be made anew from the journal at any time, and is where it is missing, older or damaged. It is no
//! truth, but a witness: a journal that has less than the index saw, or something else, is refused; so is an index of which a row is not what the journal makes.
//!
//! What none of this shows is a change by somebody who can write both files and computes the hashes anew. Keep a copy of
//! the last hash elsewhere, and give it to [`audit()`].
//!
//! ```
//! use tapstake_ledger::Ledger;
//! use tapstake_params::{Height, Timelock};
//! use tapstake_restake::{Entry, Event, PoolId};
//! # let folder = tempfile::tempdir()?;
//! # let file = folder.path().join("book.jsonl");
//!
//! let mut ledger = Ledger::create(&file, bitcoin::Network::Regtest)?;
//! let pool = PoolId::new("a")?;
//! let event = Event::OpenPool { pool: pool.clone(), unbonding_time: Timelock::new(1_008)? };
//! ledger.append(Entry { height: Height::new(100), event })?;
//! let head = ledger.head();
//! drop(ledger);
//!
//! let ledger = Ledger::open(&file)?;
//! assert_eq!(ledger.head(), head);
//! assert_eq!(ledger.book().pool(&pool)?.supply(), 0);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod audit;
mod error;
mod index;
mod journal;
mod ledger;
mod line;
mod rows;
mod series;

pub use audit::{AuditReport, audit};
pub use error::{Damage, LedgerError};
pub use index::IndexState;
pub use journal::TornLine;
pub use ledger::{Ledger, Record};
pub use line::{Head, HeadTextError};
pub use series::Point;
