//! `tapstake demo`: the whole life of stakes, on the embedded chain or on a regtest node of one's own.

use clap::Args;
use serde::Serialize;

use self::ground::Ground;
use self::report::{Report, Step};
use self::story::{Story, Summary};
use crate::error::Result;
use crate::live::SourceArgs;
use crate::output::{json, to_stdout};
use crate::session::Session;

mod books;
mod endings;
mod forgeries;
mod ground;
mod locking;
mod report;
mod restaking;
mod slashing;
mod story;

/// Show the whole life of stakes, on an embedded chain that needs nothing
#[derive(Debug, Args)]
#[command(
    after_help = "With --source, the same on a bitcoind on regtest of your own; its chain grows by a few hundred blocks."
)]
pub(crate) struct DemoArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// See the chain of --source through this Electrum server
    #[arg(long, value_name = "URL", requires = "source")]
    electrum: Option<String>,
}

/// Everything that happened, as one document.
#[derive(Serialize)]
struct Document<'r> {
    chain: &'static str,
    steps: &'r [Step],
    summary: Summary,
}

pub(crate) fn run(args: &DemoArgs, session: &Session<'_>) -> Result<()> {
    let own = args.source.source.as_deref().is_some_and(|url| url.starts_with("http"));
    let ground = if own {
        Ground::own(&args.source, args.electrum.as_deref(), session)?
    } else {
        if args.source.source.is_some() {
            session
                .out
                .note("the source is an Electrum server, which mines no blocks: using the embedded chain");
        }
        Ground::embedded()?
    };
    let folder = tempfile::tempdir()?;
    let is_json = session.out.is_json();
    let mut report = Report::new(is_json);
    report.line(&format!("The life of four stakes, on {}.\n", ground.describe()));
    let summary = Story::begin(&ground, &mut report, &folder.path().join("wallet"))?.tell()?;
    if is_json {
        to_stdout(&json(&Document { chain: ground.describe(), steps: report.steps(), summary }));
    }
    Ok(())
}
