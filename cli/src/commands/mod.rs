//! The commands, one file a family.
//!
//! A family is a module with its arguments (`Args` or `Command`, with clap's derive) and a `run` that takes them and the
//! [`Session`]; its results are types that [`Show`](crate::output::Show) themselves. To add one: the module, a variant of
//! [`Command`] whose comment is its help, and a line in [`Command::run`].

use clap::Subcommand;

use crate::error::Result;
use crate::session::Session;

mod completions;
mod headers;
mod params;
mod proof;
mod prove;
mod scan;
mod script;
mod terms;
mod tx;
mod verify;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Scripts and outputs of a stake, from its terms
    #[command(subcommand)]
    Script(script::Command),
    /// Transactions of a stake: build them from terms, or say what one is
    #[command(subcommand)]
    Tx(tx::Command),
    /// Find every stake in a raw block
    Scan(scan::Args),
    /// Prove that a stake is on Bitcoin
    Prove(prove::Args),
    /// Check a proof of a stake
    Verify(verify::Args),
    /// Check block headers
    #[command(subcommand)]
    Headers(headers::Command),
    /// Staking parameters
    #[command(subcommand)]
    Params(params::Command),
    /// Print a shell's completions
    Completions(completions::Args),
}

impl Command {
    pub(crate) fn run(&self, session: &Session<'_>) -> Result<()> {
        match self {
            Command::Script(command) => script::run(command, session),
            Command::Tx(command) => tx::run(command, session),
            Command::Scan(args) => scan::run(args, session),
            Command::Prove(args) => prove::run(args, session),
            Command::Verify(args) => verify::run(args, session),
            Command::Headers(command) => headers::run(command, session),
            Command::Params(command) => params::run(command, session),
            Command::Completions(args) => completions::run(args, session),
        }
    }
}
