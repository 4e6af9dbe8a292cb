//! `tapstake provider`: a finality provider that never votes twice.

mod init;
mod refusal;
mod show;
mod vote;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use tapstake_signer::provider::Provider;

use crate::error::Result;
use crate::live::network_dir;
use crate::passphrase::PassphraseArgs;
use crate::session::Session;
use refusal::refused;

/// What a provider does.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a provider: its keys in an encrypted file, its record, its marker
    Init(init::Init),
    /// Commit to the randomness of heights to come
    Commit(vote::Commit),
    /// Vote for a block, at most one at each height
    ///
    /// The vote is on the disk before its signature exists. The same vote again gives the same signature; another block at
    /// that height is refused, and so is a height that is not above all others.
    Vote(vote::Vote),
    /// Show the provider's key, its last vote and its commitments, and whether its record is the newest
    Show(Which),
    /// Go on with a restored backup, on another machine, or without a marker: state the last known height
    ///
    /// Nothing at or below that height gets a new vote. It must be the greatest height that the provider's key has voted on,
    /// anywhere: ask the service's chain, and take a greater one when in doubt.
    Recover(init::Recover),
}

/// Which provider.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// The provider's folder [default: provider, in the network's folder below --data-dir]
    #[arg(long, env = "TAPSTAKE_PROVIDER_DIR", value_name = "DIR")]
    provider_dir: Option<PathBuf>,
}

/// A provider, and what opens it.
#[derive(Debug, Args)]
struct Opened {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

impl Which {
    fn folder(&self, session: &Session<'_>) -> Result<PathBuf> {
        self.provider_dir.clone().map_or_else(|| Ok(network_dir(session)?.join("provider")), Ok)
    }
}

impl Opened {
    fn open(&self, session: &Session<'_>) -> Result<Provider> {
        let folder = self.which.folder(session)?;
        let passphrase = self.passphrase.read(false)?;
        Provider::open(&folder, &passphrase).map_err(refused)
    }
}

pub(crate) fn run(command: &Command, session: &Session<'_>) -> Result<()> {
    match command {
        Command::Init(args) => init::init(args, session),
        Command::Commit(args) => vote::commit(args, session),
        Command::Vote(args) => vote::vote(args, session),
        Command::Show(which) => show::show(which, session),
        Command::Recover(args) => init::recover(args, session),
    }
}
