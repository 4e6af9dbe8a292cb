//! What can be typed.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::BoolishValueParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgAction, Args, CommandFactory, Parser};
use serde_json::json;

use crate::commands::Command;
use crate::error::Exit;
use crate::network::NetworkName;
use crate::output;
use crate::params::ParamsSource;

/// Bitcoin Taproot staking: scripts, transactions and proofs of stakes.
#[derive(Debug, Parser)]
#[command(name = "tapstake", version, max_term_width = 100, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER_HELP: &str = "\
Exit codes: 0 done, 1 failed, 2 usage, 3 verification failed.
Every global option can stand in the configuration file and, as TAPSTAKE_…, in the environment; an option on the
command line has the last word. Data goes to stdout, progress and messages to stderr.";

/// Options of every command.
///
/// What is typed here or stands in the environment (clap reads it) wins over the configuration file: see
/// [`Settings`](crate::config::Settings).
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Print JSON instead of tables
    #[arg(long, global = true, env = "TAPSTAKE_JSON", value_name = "BOOL", value_parser = BoolishValueParser::new(),
        num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true)]
    pub(crate) json: Option<bool>,

    /// Bitcoin network [default: that of --params, else regtest]
    #[arg(long, global = true, env = "TAPSTAKE_NETWORK", value_name = "NETWORK", value_enum)]
    pub(crate) network: Option<NetworkName>,

    /// Staking parameters: bbn-1, local, local-paying:ADDRESS, or a file in either public JSON shape
    /// [default: bbn-1 on mainnet, else local]
    #[arg(long, global = true, env = "TAPSTAKE_PARAMS", value_name = "NAME|FILE")]
    pub(crate) params: Option<ParamsSource>,

    /// Configuration file, TOML or JSON [default: ~/.config/tapstake/config.toml, if there is one]
    #[arg(long, global = true, env = "TAPSTAKE_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Folder for wallets and stakes [default: ~/.local/share/tapstake]
    #[arg(long, global = true, env = "TAPSTAKE_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,

    /// Say more on stderr: -v what is done, -vv details, -vvv everything
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    pub(crate) verbose: u8,

    /// Say nothing on stderr but errors
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,

    /// Answer every question with yes
    #[arg(short, long, global = true)]
    pub(crate) yes: bool,
}

/// The command that arguments name, as far as they name one.
fn command_in(args: impl Iterator<Item = OsString>) -> String {
    let root = Cli::command();
    let mut command = &root;
    let mut path = root.get_name().to_owned();
    for arg in args.take_while(|arg| arg != "--") {
        if let Some(inner) = arg.to_str().and_then(|name| command.find_subcommand(name)) {
            command = inner;
            path = format!("{path} {}", inner.get_name());
        }
    }
    path
}

/// A number below zero among the arguments, where that is what is wrong with them: clap takes it for an option.
fn negative(error: &clap::Error) -> Option<String> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    let found = match error.kind() {
        ErrorKind::UnknownArgument => {
            let begin = text(ContextKind::InvalidArg)?;
            std::env::args().find(|arg| arg.starts_with(&begin)).or(Some(begin))
        }
        ErrorKind::ValueValidation => text(ContextKind::InvalidValue),
        _ => None,
    };
    let is_number = |text: &str| text.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    found.filter(|text| text.strip_prefix('-').is_some_and(is_number))
}

/// Prints help, version or a usage error, and says how to exit.
///
/// The arguments could not be read, so whether JSON is wanted is looked for in them directly.
pub(crate) fn answer(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        output::to_stdout(&error.render().to_string());
        return ExitCode::SUCCESS;
    }
    let negative = negative(error).map(|number| {
        let message =
            format!("{number} is below zero, and no number here is\n\nFor more information, try '--help'.\n");
        clap::Error::raw(ErrorKind::ValueValidation, message)
    });
    let error = negative.as_ref().unwrap_or(error);
    // Nothing is left to tell anybody if stderr is gone.
    let _ = error.print();
    let json =
        std::env::args_os().take_while(|arg| arg != "--").any(|arg| arg == "--json" || arg == "--json=true");
    if json {
        let text = error.render().to_string();
        // What follows the first empty line is how to use the command.
        let lines = text.lines().take_while(|line| !line.is_empty()).map(str::trim);
        let message = lines.collect::<Vec<_>>().join(" ");
        let message = message.trim_start_matches("error: ");
        let next = format!("see {} --help", command_in(std::env::args_os().skip(1)));
        output::to_stdout(&output::json(
            &json!({"error": {"kind": "usage", "message": message, "next": next}}),
        ));
    }
    Exit::Usage.into()
}
