//! Beginning a book, and mending its end.

use std::path::PathBuf;

use serde::Serialize;
use tapstake_ledger::{Head, Ledger, LedgerError, Survey};

use super::{BookFile, refused};
use crate::error::{Error, Result};
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
    /// How many entries go that were acknowledged: as many as the refusal without this says
    #[arg(long, value_name = "ENTRIES", default_value_t = 0)]
    lose: u64,
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
    /// The entries that stay.
    entries: u64,
    head: Head,
    /// The entries that are gone and were acknowledged.
    lost: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cut: Option<Cut>,
}

/// What was cut off, and where it is saved.
#[derive(Serialize)]
struct Cut {
    line: u64,
    bytes: u64,
    saved: PathBuf,
}

impl Show for Repaired {
    fn text(&self) -> String {
        let mut rows = vec![("entries", self.entries.to_string()), ("hash", self.head.to_string())];
        match &self.cut {
            Some(Cut { line, bytes, saved }) => {
                rows.push(("cut off", format!("{bytes} bytes, from line {line} on")));
                rows.push(("saved in", saved.display().to_string()));
            }
            None => rows.push(("cut off", "nothing: every line is whole".to_owned())),
        }
        if self.lost > 0 {
            let again =
                if self.cut.is_some() { ": enter them again from there, as docs/cli.md says" } else { "" };
            rows.push(("lost", format!("{} acknowledged entries{again}", self.lost)));
        }
        facts(rows)
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
    let survey = Ledger::survey(&path).map_err(refused)?;
    let (found, expected) = (survey.network, session.network());
    if found != expected {
        return Err(refused(LedgerError::Network { file: path, found, expected }));
    }
    if args.lose != survey.lost {
        return Err(loses(&survey));
    }
    if survey.is_broken() {
        session.out.confirm(&question(&survey))?;
    }
    // What was asked about, and nothing else.
    let (ledger, saved) = Ledger::repair(&path, &survey).map_err(refused)?;
    let Survey { line, bytes, lost, .. } = survey;
    session.out.show(&Repaired {
        book: ledger.file().to_owned(),
        entries: ledger.book().entries(),
        head: ledger.head(),
        lost,
        cut: saved.map(|saved| Cut { line, bytes, saved }),
    });
    Ok(())
}

/// A refusal to lose another number of entries than was said.
fn loses(survey: &Survey) -> Error {
    let Survey { entries, line, bytes, lost, .. } = survey;
    if *lost == 0 {
        return Error::usage("no entry that the index has seen is lost").next("leave out --lose");
    }
    let message = format!(
        "the journal is whole up to entry {entries}, and its index has seen {lost} more, from line {line} on: they were \
         acknowledged, and would be lost"
    );
    let mend = match bytes {
        0 => String::new(),
        _ => format!("mend line {line} by hand, as docs/cli.md says, or "),
    };
    Error::rule("confirmation", message).next(format!(
        "restore the journal from a copy that has them; if there is none, {mend}tapstake book repair --lose {lost}"
    ))
}

fn question(survey: &Survey) -> String {
    let Survey { entries, line, bytes, lost, .. } = survey;
    let told = match (lost, survey.unacknowledged) {
        (0, true) => "the index tells that nobody was told of what follows".to_owned(),
        (0, false) => "no index tells whether anybody was told of what follows".to_owned(),
        _ => format!("{lost} acknowledged entries after it are lost"),
    };
    format!(
        "The journal is whole up to entry {entries}; {told}. Cut off {bytes} bytes from line {line} on, which are saved beside \
         it?"
    )
}
