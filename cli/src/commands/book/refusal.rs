//! The names of the rules by which books refuse, and what to do next.

use std::io::ErrorKind;

use tapstake_ledger::{Damage, LedgerError};
use tapstake_restake::{Book, BookError, Event, PoolError, PooledStatus, ShareError, StakeStatus};

use crate::error::Error;

mod kind;
mod next;
mod rule;
#[cfg(test)]
mod tests;

use next::next;
use rule::rule;

/// A refusal with the name of its rule. A journal that somebody has touched is a failed verification (exit code 3).
pub(super) fn refused(error: LedgerError) -> Error {
    match error {
        LedgerError::Refused(error) => by_book(*error),
        error => by_ledger(error),
    }
}

fn by_ledger(error: LedgerError) -> Error {
    let restore = "restore the journal from a copy; without one, tapstake book repair keeps the lines before, and says what is \
                   lost";
    let mend = "restore the journal from a copy; without one, a line can be mended by hand, as docs/cli.md says, or tapstake \
                book repair keeps the lines before, and says what is lost";
    let (rule, next, verification) = match &error {
        LedgerError::Exists { .. } => ("file", Some("give --book another name, or move it away"), false),
        LedgerError::Io { error: cause, .. } if cause.kind() == ErrorKind::IsADirectory => {
            ("file", Some("give the name of a file"), false)
        }
        LedgerError::Io { .. } => ("file", None, false),
        LedgerError::Missing { .. } => ("file", Some("tapstake book init begins one"), false),
        LedgerError::Unfinished { .. } => {
            ("file", Some("remove the empty file; tapstake book init then begins the book again"), false)
        }
        LedgerError::LostJournal { .. } => (
            "file",
            Some("restore the journal from a copy, or move the index away, or give --book another name"),
            false,
        ),
        LedgerError::ReadOnly { .. } => {
            ("read-only", Some("have it entered by who may write the book's file and its folder"), false)
        }
        LedgerError::Moved { written: false, .. } => {
            ("file", Some("look where the book's file went, and try again"), false)
        }
        LedgerError::Moved { written: true, .. } => (
            "file",
            Some("look where the book's file went: do not enter it again if that one is the book"),
            false,
        ),
        LedgerError::Uncertain { .. } => {
            ("file", Some("see to the disk; then tapstake book log says whether the entry is made"), false)
        }
        LedgerError::Changed { .. } => ("file", Some("look at it again with tapstake book audit"), false),
        LedgerError::Unmarked { .. } => (
            "index-access",
            Some("do not enter them again; see to the disk and to the permissions of the book's folder"),
            false,
        ),
        LedgerError::NoBook { .. } => {
            ("file", Some("give --book the file of a book, or restore this one from a copy"), false)
        }
        LedgerError::Busy { .. } => ("busy", Some("wait for the other process"), false),
        LedgerError::NewerVersion { .. } => ("file-version", Some("get a newer tapstake"), false),
        LedgerError::Network { .. } => ("network", Some("give the --network of the book"), false),
        LedgerError::Damaged { line, damage, unacknowledged, .. } => {
            let rule = if *damage == Damage::Hash { "journal-hash" } else { "journal-line" };
            let next = match (line, unacknowledged) {
                (1, _) => "put line 1 of any copy of this book in its place: it never changes",
                (_, true) => {
                    "tapstake book repair cuts it off: the index tells that nobody was told of its entry"
                }
                _ => mend,
            };
            (rule, Some(next), true)
        }
        LedgerError::Shortened { .. } => ("journal-shortened", Some(restore), true),
        LedgerError::Rewritten { .. } => (
            "journal-rewritten",
            Some(
                "restore the journal from a copy; if this is the right one, move the index away: it is made anew",
            ),
            true,
        ),
        LedgerError::OtherHead { .. } => {
            ("journal-head", Some("restore the journal from a copy; nothing in it was changed here"), true)
        }
        LedgerError::Torn { .. } => (
            "journal-torn",
            Some("tapstake book repair cuts it off and saves it, if nobody was told that its entry is made"),
            false,
        ),
        LedgerError::Imbalance(_) => ("balance", None, true),
        LedgerError::IndexDiffers { .. } => {
            ("index", Some("remove the index file: the next command makes it anew from the journal"), true)
        }
        LedgerError::Index { .. } => ("index-access", None, false),
        _ => return Error::from(error),
    };
    let refusal = if verification { Error::verification(rule, error) } else { Error::rule(rule, error) };
    match next {
        Some(next) => refusal.next(next),
        None => refusal,
    }
}

/// A refusal by the book. Nothing was recorded.
pub(super) fn by_book(error: BookError) -> Error {
    let (rule, next) = (rule(&error), next(&error));
    let refusal = Error::rule(rule, error);
    match next {
        Some(next) => refusal.next(next),
        None => refusal,
    }
}

/// A refusal of an entry, with what the book knows of what it names.
pub(super) fn in_book(book: &Book, event: &Event, error: BookError) -> Error {
    if let Some(refusal) = kind::over_receipts(book, event) {
        return refusal;
    }
    match (&error, event) {
        (BookError::NothingOwed(_), Event::Claim { stake, service })
            if book.exposure(stake).is_ok_and(|exposure| !exposure.nominal.contains_key(service)) =>
        {
            let message =
                format!("stake {stake} does not count for {service}, and nothing is owed to it there");
            let refusal = Error::rule("not-allocated", message);
            match book.stake(stake).map(|stake| stake.status) {
                Ok(StakeStatus::Active) => refusal.next(format!(
                    "tapstake book allocate {stake} --service {service} --shared lets it count"
                )),
                _ => refusal,
            }
        }
        _ => match next_in(book, event, &error) {
            Some(next) => named(book, error).next(next),
            None => named(book, error),
        },
    }
}

/// What to do next, where that is another thing by what the book has, or by what was asked for.
fn next_in(book: &Book, event: &Event, error: &BookError) -> Option<String> {
    match (error, event) {
        // The stake's time is over for this book, whatever the height that is given.
        (BookError::OutsideItsTime { expires_at, .. }, _) if book.height() >= *expires_at => Some(format!(
            "no entry can be below height {}, that of the last one: leave the stake out; if that height was mistyped, begin \
             another book",
            book.height()
        )),
        (
            BookError::Pool { error: PoolError::Shares(ShareError::Nothing), .. },
            Event::ExpandStake { .. },
        ) => Some("leave --holder out: the stake is worth no more than before".to_owned()),
        // Only a pool gets a coin back, and once.
        (BookError::StakeEnded { outpoint, status }, _) => {
            let pool = book.minted_in(outpoint).ok().flatten();
            let waits = match (status, pool) {
                (StakeStatus::Slashed, Some(pool)) => book.pool(pool).is_ok_and(|pool| {
                    pool.stake(outpoint).is_some_and(|stake| stake.status == PooledStatus::Slashed)
                }),
                (
                    StakeStatus::Slashed | StakeStatus::Unbonding { .. } | StakeStatus::Expired { .. },
                    None,
                ) => false,
                _ => true,
            };
            (!waits).then(|| {
                format!("nothing more comes of it: tapstake book show --stake {outpoint} says what stands in the book")
            })
        }
        (
            BookError::Pool { pool, error: PoolError::Shares(ShareError::Balance { balance, .. }) },
            Event::RequestWithdrawal { .. },
        ) if *balance > 0 => {
            let worth = book.pool(pool).ok()?.value_floor(*balance)?;
            Some(format!("give at most --amount {}sat", worth.to_sat()))
        }
        _ => None,
    }
}

/// A refusal that tells a pool of the other kind from one that is not there, and of what is not there names what is.
pub(super) fn named(book: &Book, error: BookError) -> Error {
    let name = match &error {
        BookError::UnknownPool(name) => name,
        BookError::UnknownService(name) => {
            let names: Vec<_> = book.services().map(|service| service.name.to_string()).collect();
            let opens = format!("tapstake book service add {name} registers it");
            return by_book(error).next(instead("service", &names, &opens));
        }
        _ => return by_book(error),
    };
    if let Some((_, over, _)) = book.lrt_pools().find(|(lrt, ..)| *lrt == name) {
        return kind::refused(name, over).next(format!(
            "what has to do with stakes, cash and exits goes by pool {over}: tapstake book pool redeem {name} takes shares of \
             {over} out, pool reward {name} --shares puts them in for all"
        ));
    }
    if book.pool(name).is_ok() {
        let message = format!("pool {name} is over stakes, not over receipts");
        return Error::rule("pool-kind", message)
            .next(format!("tapstake book pool open NAME --over {name} opens one over its receipts"));
    }
    let over = book.lrt_pools().map(|(name, ..)| name);
    let names: Vec<_> = book.pools().map(|(name, _)| name).chain(over).map(ToString::to_string).collect();
    let opens = format!("tapstake book pool open {name} opens it");
    by_book(error).next(instead("pool", &names, &opens))
}

/// The names that there are, before what makes the one that there is not.
fn instead(kind: &str, names: &[String], makes: &str) -> String {
    const MOST: usize = 10;
    let more = if names.len() > MOST { " and others" } else { "" };
    match names {
        [] => makes.to_owned(),
        [one] => format!("the only {kind} of the book is {one}; {makes}"),
        several => {
            let shown = several.iter().take(MOST).cloned().collect::<Vec<_>>().join(", ");
            format!("the book has the {kind}s {shown}{more}; {makes}")
        }
    }
}
