//! Everything recomputed.

use std::path::PathBuf;

use serde::Serialize;
use tapstake_ledger::{AuditReport, Head, IndexState, Ledger, LedgerError, audit};

use super::proven::{Proven, ProvenBy, Shown};
use super::{BookFile, refused};
use crate::error::{Error, Result};
use crate::output::{Show, facts};
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub(crate) struct Audit {
    /// The number of an entry and the hash of its line, kept elsewhere: the journal must have it still
    #[arg(long, value_name = "ENTRY:HASH", value_parser = known_arg)]
    known: Option<(u64, Head)>,
    #[command(flatten)]
    book: BookFile,
    #[command(flatten)]
    by: ProvenBy,
}

fn known_arg(text: &str) -> Result<(u64, Head), String> {
    let (counter, head) = text.split_once(':').ok_or("give ENTRY:HASH")?;
    let counter = counter.parse().map_err(|error| format!("entry: {error}"))?;
    Ok((counter, head.parse().map_err(|error: tapstake_ledger::HeadTextError| error.to_string())?))
}

#[derive(Serialize)]
struct Audited {
    verdict: &'static str,
    book: PathBuf,
    #[serde(flatten)]
    report: AuditReport,
    #[serde(flatten)]
    proven: Option<Proven>,
}

impl Show for Audited {
    fn text(&self) -> String {
        let report = &self.report;
        let index = match &report.index {
            IndexState::Current => "every row is what the journal makes".to_owned(),
            IndexState::Behind { entries } => {
                format!("{entries} entries behind, else what the journal makes")
            }
            IndexState::Missing => "not there: the next command makes it".to_owned(),
            IndexState::Damaged { reason } => format!("not usable, the next command makes it: {reason}"),
            IndexState::Unreadable { reason } => format!("may not be read, and tells nothing: {reason}"),
            _ => "unknown".to_owned(),
        };
        let mut rows = vec![
            ("verdict", self.verdict.to_owned()),
            ("book", self.book.display().to_string()),
            ("entries", report.entries.to_string()),
            ("height", report.height.to_string()),
            ("hash", report.head.to_string()),
            ("index", index),
        ];
        if let Some(torn) = report.torn {
            rows.push(("line without end", format!("line {}, {} bytes", torn.line, torn.bytes)));
        }
        rows.extend(self.proven.iter().flat_map(Proven::rows));
        facts(rows)
    }
}

pub(crate) fn run(args: &Audit, session: &Session<'_>) -> Result<()> {
    // First, for this may take long, and who makes an entry while the book is looked at is in its way.
    let shown = args.by.shown(session)?;
    let path = args.book.path(session)?;
    let report = audit(&path, args.known).map_err(refused)?;
    let (found, expected) = (report.network, session.network());
    if found != expected {
        return Err(refused(LedgerError::Network { file: path, found, expected }));
    }
    let hold = |shown: Shown<'_>| {
        let ledger = Ledger::open_to_read(&path).map_err(refused)?;
        if ledger.head() != report.head {
            return Err(Error::rule("busy", "an entry was made while the book was looked at"));
        }
        shown.hold(&ledger, session)
    };
    let proven = shown.map(hold).transpose()?;
    session.out.show(&Audited { verdict: "the books balance", book: path, report, proven });
    Ok(())
}
