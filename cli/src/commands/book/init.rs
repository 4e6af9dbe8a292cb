//! Beginning a book, and mending its end.

use std::path::PathBuf;

use serde::Serialize;
use tapstake_ledger::{Head, Ledger, TornLine};

use super::{BookFile, refused};
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
            Some(TornLine { line, bytes }) => format!("cut {bytes} bytes off line {line}, which had no end"),
            None => "every line has its end: nothing to cut".to_owned(),
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
    let mut ledger = args.book.open(session)?;
    if let Some(torn) = ledger.torn() {
        let line = torn.line;
        session
            .out
            .confirm(&format!("nobody was told that the entry of line {line} is made? Cut it off?"))?;
    }
    let cut = ledger.repair().map_err(refused)?;
    session.out.show(&Repaired { book: ledger.file().to_owned(), entries: ledger.book().entries(), cut });
    Ok(())
}
