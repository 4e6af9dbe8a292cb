//! The commands, one file a family.
//!
//! A family is a module with its arguments (`Args` or `Command`, with clap's derive) and a `run` that takes them and the
//! [`Session`]; its results are types that [`Show`](crate::output::Show) themselves. To add one: the module, a variant of
//! [`Command`] whose comment is its help, and a line in [`Command::run`].

use clap::Subcommand;

use crate::error::Result;
use crate::session::Session;

mod book;
mod bump;
mod claim;
mod completions;
mod covenant;
mod delegation;
mod demo;
mod devnet;
mod equivocation;
mod expand;
mod headers;
mod params;
mod pop;
mod proof;
mod prove;
mod provider;
mod scan;
mod script;
mod service;
mod slash;
mod stake;
mod stakes;
mod terms;
mod tx;
mod unbond;
mod verify;
mod wallet;
mod withdraw;
mod yields;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the whole life of stakes, on an embedded chain that needs nothing
    Demo(demo::DemoArgs),
    /// Keys, addresses and coins
    #[command(subcommand)]
    Wallet(wallet::Command),
    /// Lock coins in a stake
    Stake(Box<stake::StakeArgs>),
    /// List stakes with their states, and keep the list
    Stakes(stakes::Args),
    /// Move a live stake into a larger or longer one
    Expand(Box<expand::ExpandArgs>),
    /// Raise the fee of a stuck staking transaction, by a child that spends its change
    Bump(bump::Args),
    /// Delegation files: what covenant and staker sign in advance
    #[command(subcommand)]
    Delegation(delegation::Command),
    /// End a stake early, with what the covenant signed in advance
    Unbond(unbond::UnbondArgs),
    /// Withdraw what lies in stakes whose timelock is over
    Withdraw(withdraw::Args),
    /// Check two votes of one provider, or a slashing, and extract the provider's key
    Equivocation(equivocation::Args),
    /// Slash a stake with the evidence that its provider equivocated
    Slash(slash::SlashArgs),
    /// Run an embedded regtest chain with an Electrum server
    Devnet(devnet::DevnetArgs),
    /// Scripts and outputs of a stake, from its terms
    #[command(subcommand)]
    Script(script::Command),
    /// Transactions of a stake: build them from terms, or say what one is
    #[command(subcommand)]
    Tx(tx::Command),
    /// Find every stake in a raw block, or in the blocks of a node
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
    /// A covenant member: checks delegations, signs them, remembers what it signed
    #[command(subcommand)]
    Covenant(Box<covenant::Command>),
    /// A finality provider: randomness commitments, votes, slashing protection
    #[command(subcommand)]
    Provider(Box<provider::Command>),
    /// The books of a pool operator: services, rewards, receipts, slashings, in a journal that nobody changes unseen
    #[command(subcommand)]
    Book(Box<book::Command>),
    /// Proofs that a staker has the staker's key
    #[command(subcommand)]
    Pop(pop::Command),
    /// Calculate what a stake earns, and show beside it what can be lost of it
    Yield(yields::YieldArgs),
    /// Print a shell's completions
    Completions(completions::Args),
}

impl Command {
    pub(crate) fn run(&self, session: &Session<'_>) -> Result<()> {
        match self {
            Command::Demo(args) => demo::run(args, session),
            Command::Wallet(command) => wallet::run(command, session),
            Command::Stake(args) => stake::run(args, session),
            Command::Stakes(args) => stakes::run(args, session),
            Command::Expand(args) => expand::run(args, session),
            Command::Bump(args) => bump::run(args, session),
            Command::Delegation(command) => delegation::run(command, session),
            Command::Unbond(args) => unbond::run(args, session),
            Command::Withdraw(args) => withdraw::run(args, session),
            Command::Equivocation(args) => equivocation::run(args, session),
            Command::Slash(args) => slash::run(args, session),
            Command::Devnet(args) => devnet::run(args, session),
            Command::Script(command) => script::run(command, session),
            Command::Tx(command) => tx::run(command, session),
            Command::Scan(args) => scan::run(args, session),
            Command::Prove(args) => prove::run(args, session),
            Command::Verify(args) => verify::run(args, session),
            Command::Headers(command) => headers::run(command, session),
            Command::Params(command) => params::run(command, session),
            Command::Covenant(command) => covenant::run(command, session),
            Command::Provider(command) => provider::run(command, session),
            Command::Book(command) => book::run(command, session),
            Command::Pop(command) => pop::run(command, session),
            Command::Yield(args) => yields::run(args, session),
            Command::Completions(args) => completions::run(args, session),
        }
    }
}
