//! The commands, one file a family.
//!
//! A family is a module with its arguments (`Args` or `Command`, with clap's derive) and a `run` that takes them and the
//! [`Session`]; its results are types that [`Show`](crate::output::Show) themselves. To add one: the module, a variant of
//! [`Command`] whose comment is its help, and a line in [`Command::run`].

use clap::Subcommand;

use crate::error::Result;
use crate::session::Session;

mod completions;
mod params;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Staking parameters
    #[command(subcommand)]
    Params(params::Command),
    /// Print a shell's completions
    Completions(completions::Args),
}

impl Command {
    pub(crate) fn run(&self, session: &Session<'_>) -> Result<()> {
        match self {
            Command::Params(command) => params::run(command, session),
            Command::Completions(args) => completions::run(args, session),
        }
    }
}
