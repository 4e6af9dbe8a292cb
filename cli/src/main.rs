//! The `tapstake` binary: arguments in, calls to the crates, tables or JSON out.
//!
//! No rule of the protocol lives here. [`args`] says what can be typed, [`config`] adds what stands in the
//! environment and the configuration file, [`commands`] has one file a command family, [`output`] prints, and
//! [`error`] turns whatever went wrong into a message and an exit code.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;

mod args;
mod commands;
mod committee;
mod config;
mod delegation;
mod error;
mod file;
mod input;
mod live;
mod network;
mod output;
mod params;
mod passphrase;
mod possession;
mod rules;
mod session;
mod spending;
mod stakes;

fn main() -> ExitCode {
    let cli = match args::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return args::answer(&error),
    };
    let mut output = output::Output::new(&cli.global);
    let done = session::Session::open(&cli.global, &mut output)
        .and_then(|session| cli.command.run(&session).map_err(|error| session.advise(error)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => output.fail(&error),
    }
}
