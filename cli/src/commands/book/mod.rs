//! `tapstake book`: the ledger file of a pool operator.

use std::path::PathBuf;

use clap::Subcommand;
use tapstake_ledger::{IndexState, Ledger, LedgerError};

use crate::error::Result;
use crate::live::network_dir;
use crate::session::Session;

mod audit;
mod entry;
mod export;
mod import;
mod init;
mod log;
mod outcome;
mod plot;
mod pools;
mod proven;
mod record;
mod refusal;
mod risk;
mod select;
mod show;
mod words;

use refusal::refused;

/// Which book.
#[derive(Debug, clap::Args)]
pub(crate) struct BookFile {
    /// The book's file [default: book.jsonl in the data folder of the network]
    #[arg(long, env = "TAPSTAKE_BOOK", value_name = "FILE")]
    book: Option<PathBuf>,
}

impl BookFile {
    fn path(&self, session: &Session<'_>) -> Result<PathBuf> {
        match &self.book {
            Some(path) => Ok(path.clone()),
            None => Ok(network_dir(session)?.join("book.jsonl")),
        }
    }

    /// Opens the book, with every line of its journal checked and every entry made anew.
    fn open(&self, session: &Session<'_>) -> Result<Ledger> {
        let ledger = Ledger::open(&self.path(session)?).map_err(refused)?;
        of_network(&ledger, session)?;
        let anew = if ledger.is_read_only() { "this command does without it" } else { "it is made anew" };
        match ledger.index_state() {
            IndexState::Missing => session.out.note(&format!("the index was not there; {anew}")),
            IndexState::Damaged { reason } => {
                session.out.warn(&format!("the index was damaged, {anew}: {reason}"));
            }
            IndexState::Unreadable { reason } => session.out.warn(&format!(
                "the index may not be read, so lines missing from the end would not be noticed: {reason}"
            )),
            _ => {}
        }
        if let Some(torn) = ledger.torn() {
            let cut = match torn.unacknowledged {
                true => "it was never acknowledged; the next entry takes its place, and what it has is saved",
                false => "no index tells whether it was acknowledged; see tapstake book repair",
            };
            session.out.warn(&format!("line {} has no end after {} bytes: {cut}", torn.line, torn.bytes));
        }
        Ok(ledger)
    }
}

fn of_network(ledger: &Ledger, session: &Session<'_>) -> Result<()> {
    let (found, expected) = (ledger.network(), session.network());
    if found == expected {
        return Ok(());
    }
    Err(refused(LedgerError::Network { file: ledger.file().to_owned(), found, expected }))
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Begin an empty book
    Init(init::Init),
    /// Services: who counts stakes
    #[command(subcommand)]
    Service(record::ServiceCommand),
    /// Providers of services
    #[command(subcommand)]
    Provider(record::ProviderCommand),
    /// Verify proofs as `verify --slashable` does, and admit the stakes
    Import(Box<import::Import>),
    /// Verify the proof of what a stake has become, and put that in its place
    Expand(Box<import::Expand>),
    /// Let a stake count for a service, or no longer
    Allocate(record::Allocate),
    /// Record what a service pays for the stakes behind a provider
    Reward(record::Reward),
    /// Record that what a stake has earned is paid to its owner, or its commission to a provider
    Claim(record::Claim),
    /// Record that a service takes back what it paid for a provider and can reach nobody
    GiveBack(record::GiveBack),
    /// Record how a stake ended
    End(record::EndArgs),
    /// Slash a provider, with the evidence that it equivocated
    Slash(record::Slash),
    /// Pools over stakes, and over receipts
    #[command(subcommand)]
    Pool(pools::PoolCommand),
    /// Mint receipts for a stake
    Mint(pools::Mint),
    /// Move shares to another holder
    Transfer(pools::Transfer),
    /// Give up shares and wait for what they are worth
    Exit(pools::Exit),
    /// Record that exits whose unbonding has ended are paid
    Finalise(pools::Finalise),
    /// Record what came back of a stake that has ended, as cash of its pool
    Return(pools::Return),
    /// Record that a stake entered as spent or expanded is there after all
    Revive(pools::Revive),
    /// Show services, providers, stakes and pools
    Show(show::ShowArgs),
    /// List entries, with what came of them
    Log(log::Log),
    /// Recompute everything from the journal, compare the index, and hold stakes and slashings against their proofs
    Audit(Box<audit::Audit>),
    /// Price, backing, queue and possible losses of pools
    Risk(risk::Risk),
    /// Write the books as CSV files or as one JSON document
    Export(export::Export),
    /// Draw net asset value and backing over height, as SVG
    Plot(plot::Plot),
    /// Keep the whole lines of a damaged journal: what follows is cut off, and saved beside it
    Repair(init::Repair),
}

pub(crate) fn run(command: &Command, session: &Session<'_>) -> Result<()> {
    match command {
        Command::Init(args) => init::run(args, session),
        Command::Service(command) => record::service(command, session),
        Command::Provider(command) => record::provider(command, session),
        Command::Import(args) => import::run(args, session),
        Command::Expand(args) => import::expand(args, session),
        Command::Allocate(args) => record::allocate(args, session),
        Command::Reward(args) => record::reward(args, session),
        Command::Claim(args) => record::claim(args, session),
        Command::GiveBack(args) => record::give_back(args, session),
        Command::End(args) => record::end(args, session),
        Command::Slash(args) => record::slash(args, session),
        Command::Pool(command) => pools::pool(command, session),
        Command::Mint(args) => pools::mint(args, session),
        Command::Transfer(args) => pools::transfer(args, session),
        Command::Exit(args) => pools::exit(args, session),
        Command::Finalise(args) => pools::finalise(args, session),
        Command::Return(args) => pools::take_back(args, session),
        Command::Revive(args) => pools::revive(args, session),
        Command::Show(args) => show::run(args, session),
        Command::Log(args) => log::run(args, session),
        Command::Audit(args) => audit::run(args, session),
        Command::Risk(args) => risk::run(args, session),
        Command::Export(args) => export::run(args, session),
        Command::Plot(args) => plot::run(args, session),
        Command::Repair(args) => init::repair(args, session),
    }
}

/// A name, or why it is none.
fn name<T: std::str::FromStr>(text: &str) -> Result<T, String>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without_help(command: &clap::Command, found: &mut Vec<String>) {
        let silent = command.get_arguments().filter(|arg| arg.get_help().is_none());
        found.extend(silent.map(|arg| format!("{} {}", command.get_name(), arg.get_id())));
        for inner in command.get_subcommands() {
            assert!(inner.get_about().is_some(), "{}", inner.get_name());
            without_help(inner, found);
        }
    }

    #[test]
    fn every_option_says_what_it_is() {
        let mut found = Vec::new();
        without_help(&Command::augment_subcommands(clap::Command::new("book")), &mut found);
        assert_eq!(found, Vec::<String>::new());
    }
}
