//! Entries as they were made.

use serde::Serialize;
use tapstake_ledger::Record;
use tapstake_params::Height;

use super::{BookFile, refused};
use crate::error::Result;
use crate::output::{Show, table};
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub(crate) struct Log {
    /// At most so many, the newest
    #[arg(long, value_name = "N", default_value_t = 20)]
    last: u32,
    /// Only those of one kind, such as reward or request_exit
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Only those at or above a height
    #[arg(long, value_name = "HEIGHT", default_value_t = 0)]
    from: u32,
    #[command(flatten)]
    book: BookFile,
}

#[derive(Serialize)]
struct Listed {
    entries: Vec<Record>,
}

impl Show for Listed {
    fn text(&self) -> String {
        let rows = self.entries.iter().map(|record| {
            let event = serde_json::to_value(&record.event).unwrap_or_default();
            let fields = event[&record.kind].as_object().into_iter().flatten();
            let fields: Vec<String> =
                fields.map(|(name, value)| format!("{name} {}", plain(value))).collect();
            let kind = record.kind.replace('_', " ");
            vec![record.counter.to_string(), record.height.to_string(), kind, fields.join(", ")]
        });
        table(&["entry", "height", "event", ""], &["entry", "height"], rows)
    }
}

fn plain(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

pub(crate) fn run(args: &Log, session: &Session<'_>) -> Result<()> {
    let ledger = args.book.open(session)?;
    let entries = ledger.last(args.last, args.kind.as_deref(), Height::new(args.from)).map_err(refused)?;
    session.out.show(&Listed { entries });
    Ok(())
}
