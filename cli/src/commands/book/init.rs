//! Beginning a book, and mending its end.

use std::path::PathBuf;

use serde::Serialize;
use tapstake_ledger::{Head, Ledger, LedgerError, TornLine};

use super::{BookFile, of_network, refused};
use crate::error::Result;
use crate::network::NetworkName;
use crate::output::{Show, facts};
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub(crate) struct Init {
    #[command(flatten)]
    book: BookFile,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Repair {
    #[command(flatten)]
    book: BookFile,
}

#[derive(Serialize)]
struct Begun {
    book: PathBuf,
    network: NetworkName,
    head: Head,
}

impl Show for Begun {
    fn text(&self) -> String {
        facts([
            ("book", self.book.display().to_string()),
            ("network", self.network.to_string()),
            ("hash of line 1", self.head.to_string()),
        ])
    }
}

#[derive(Serialize)]
struct Repaired {
    book: PathBuf,
    entries: u64,
    cut: Option<TornLine>,
}

impl Show for Repaired {
    fn text(&self) -> String {
        match self.cut {
            Some(TornLine { line, bytes, .. }) => format!("cut off {bytes} bytes, from line {line} on"),
            None => "every line is whole: nothing to cut".to_owned(),
        }
    }
}

pub(crate) fn run(args: &Init, session: &Session<'_>) -> Result<()> {
    let path = args.book.path(session)?;
    let ledger = Ledger::create(&path, session.network()).map_err(refused)?;
    session.out.show(&Begun { book: path, network: session.network().into(), head: ledger.head() });
    Ok(())
}

pub(crate) fn repair(args: &Repair, session: &Session<'_>) -> Result<()> {
    let path = args.book.path(session)?;
    let cut_from = match Ledger::open(&path) {
        Ok(ledger) => {
            of_network(&ledger, session)?;
            ledger.torn().map(|torn| torn.line)
        }
        Err(LedgerError::Damaged { line, mendable: true, .. }) => Some(line),
        Err(error) => return Err(refused(error)),
    };
    if let Some(line) = cut_from {
        let question =
            format!("nobody was told that the entry of line {line} is made? Cut off all from there?");
        session.out.confirm(&question)?;
    }
    let (ledger, cut) = Ledger::repair(&path).map_err(refused)?;
    session.out.show(&Repaired { book: ledger.file().to_owned(), entries: ledger.book().entries(), cut });
    Ok(())
}
