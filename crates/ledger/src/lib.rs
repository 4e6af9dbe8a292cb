//! The books of a pool operator, on disk.
//!
//! The truth is the **journal**: a text file, one JSON line for each entry, only ever appended to. Each line ends in a hash
//! over itself and the line before, so that whoever knows the last hash knows that nothing before it was changed:
//!
//! ```text
//! {"format":"tapstake-book","version":1,"network":"regtest","id":"…","hash":"…"}
//! {"counter":1,"height":100,"event":{"open_pool":{"pool":"a","unbonding_time":1008}},"hash":"…"}
//! ```
//!
//! The first line has an `id`, 16 random bytes, so that no two books have a hash in common and a hash names its book
//! ([`BookId`]).
//!
//! Opening a [`Ledger`] streams the journal, checks every hash and replays every event into a
//! [`Book`](tapstake_restake::Book); what is wrong is refused with the number of its line. [`Ledger::append`] returns when the
//! line has reached the disk: only then is the entry acknowledged, and no kill of the process takes it back. It writes to the
//! file of the name it was opened by, or to none.
//!
//! Beside the journal is an **index** in SQLite: where each entry stands, what each pool was worth at each height, and how far
//! the journal went. It can be made anew from the journal at any time, and is where it is missing, older or damaged. It is no
//! truth, but a witness: a journal that has less than the index saw, or something else, is refused; so is an index of which a
//! row is not what the journal makes, or cannot be read.
//!
//! What a writer leaves that is stopped in the middle nobody was told of. The index vouches for that if it ends exactly where the
//! whole lines end: an entry is acknowledged only once the index was told of it, or, where it cannot be written, once it is marked
//! as behind (a file `….index.behind`, until it has caught up). A journal that has several names has several indexes, and none of
//! them vouches.
//!
//! | after the whole lines | the index vouches that it was never acknowledged | it does not, or there is none |
//! |---|---|---|
//! | a line that only lacks its newline: its hash is right | opening gives it one | the same |
//! | a line without an end ([`TornLine`]) | the next entry takes its place | appending is refused |
//! | a line that is damaged, or less than the index has seen | opening is refused | opening is refused |
//!
//! [`Ledger::repair`] cuts off all of it, for a caller who has seen in a [`Survey`] what goes. Whatever is cut off, by it or by the
//! next entry, is saved beside the journal before (`….cut-LINE-NUMBER`).
//!
//! A book that this process may only read, be it for the permissions of the journal or of its folder, or on a medium that is never
//! written, is read all the same: [`Ledger::is_read_only`]. Nothing is written then, every entry is refused
//! ([`LedgerError::ReadOnly`]), and an index that is missing, older, damaged or not to be read stops nobody: as far as it can be read
//! it is a witness as ever, and what is asked of a ledger it answers from rows of its own. [`audit()`] and [`Ledger::survey`] never
//! write anything.
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
mod replay;
mod rows;
mod series;
mod witness;

pub use audit::{AuditReport, audit};
pub use error::{Damage, LedgerError, Stopped};
pub use index::IndexState;
pub use journal::TornLine;
pub use ledger::{Ledger, Record, Survey};
pub use line::{BookId, Head, HeadTextError};
pub use series::Point;
