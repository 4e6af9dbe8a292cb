//! Data on stdout, everything else on stderr.

use std::io::{BufRead, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use comfy_table::{CellAlignment, ContentArrangement, Table};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use serde_json::json;
use tracing::level_filters::LevelFilter;

use crate::args::Global;
use crate::error::{Error, Result};

/// A result that can be printed either way.
pub(crate) trait Show: Serialize {
    /// The result for a person to read.
    fn text(&self) -> String;
}

/// Where results and messages go.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
    quiet: bool,
    yes: bool,
}

impl Output {
    /// As typed or in the environment; the configuration file may still ask for JSON.
    pub(crate) fn new(global: &Global) -> Self {
        let level = match (global.quiet, global.verbose) {
            (true, _) => LevelFilter::ERROR,
            (_, 0) => LevelFilter::WARN,
            (_, 1) => LevelFilter::INFO,
            (_, 2) => LevelFilter::DEBUG,
            (_, _) => LevelFilter::TRACE,
        };
        tracing_subscriber::fmt()
            .with_max_level(level)
            .with_ansi(false)
            .with_writer(std::io::stderr)
            .without_time()
            .with_target(global.verbose > 1)
            .init();
        Output { json: global.json.unwrap_or(false), quiet: global.quiet, yes: global.yes }
    }

    pub(crate) const fn set_json(&mut self, json: bool) {
        self.json = json;
    }

    /// Whether results go out as JSON.
    pub(crate) const fn is_json(&self) -> bool {
        self.json
    }

    /// Prints the result of a command.
    pub(crate) fn show(&self, result: &impl Show) {
        to_stdout(&if self.json { json(result) } else { result.text() });
    }

    /// Prints text that is the same either way, such as a shell's completions.
    pub(crate) fn raw(&self, text: &str) {
        to_stdout(text);
    }

    /// Says something on stderr that a person may want to know.
    pub(crate) fn note(&self, message: &str) {
        if !self.quiet {
            to_stderr(message);
        }
    }

    /// Says something on stderr that a person should know.
    pub(crate) fn warn(&self, message: &str) {
        self.note(&format!("warning: {message}"));
    }

    /// A progress bar over `steps`, or a spinner; hidden where stderr is no terminal.
    pub(crate) fn progress(&self, steps: Option<u64>, message: impl Into<String>) -> ProgressBar {
        let target = if self.quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(steps, target);
        let template = if steps.is_some() { "{msg} {wide_bar} {pos}/{len}" } else { "{spinner} {msg}" };
        bar.set_style(ProgressStyle::with_template(template).expect("a valid template"));
        bar.set_message(message.into());
        if steps.is_none() {
            bar.enable_steady_tick(Duration::from_millis(120));
        }
        bar
    }

    /// Asks a person before something that cannot be undone.
    ///
    /// # Errors
    ///
    /// Unless the answer is yes. Without `--yes` and without a terminal nobody can answer.
    pub(crate) fn confirm(&self, question: &str) -> Result<()> {
        if self.yes {
            return Ok(());
        }
        let stdin = std::io::stdin();
        if !stdin.is_terminal() {
            let message = format!("{question} nobody is there to answer");
            return Err(Error::rule("confirmation", message).next("give --yes"));
        }
        eprint!("{question} [y/N] ");
        let mut answer = String::new();
        stdin.lock().read_line(&mut answer)?;
        match answer.trim().to_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => Err(Error::rule("confirmation", "not confirmed, so nothing was done")),
        }
    }

    /// Reports what went wrong: text on stderr, with `--json` also an object on stdout.
    pub(crate) fn fail(&self, error: &Error) -> ExitCode {
        let rule = error.rule_name().map(|rule| format!(" [{rule}]")).unwrap_or_default();
        to_stderr(&format!("error{rule}: {}", error.message()));
        if let Some(next) = error.what_next() {
            to_stderr(&format!("  next: {next}"));
        }
        if self.json {
            to_stdout(&json(&json!({"error": error.to_json()})));
        }
        error.exit().into()
    }
}

/// A list with a line for each fact: its name and its value.
pub(crate) fn facts<N: Into<String>, V: ToString>(facts: impl IntoIterator<Item = (N, V)>) -> String {
    let mut table = plain();
    // Hashes and scripts stay in one piece, to be copied.
    table.set_content_arrangement(ContentArrangement::Disabled);
    for (name, value) in facts {
        table.add_row([name.into(), value.to_string()]);
    }
    trimmed(&table)
}

/// A table; columns named in `right` are numbers.
pub(crate) fn table(header: &[&str], right: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = plain();
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header);
    for (index, name) in header.iter().enumerate() {
        if let (true, Some(column)) = (right.contains(name), table.column_mut(index)) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.add_rows(rows);
    trimmed(&table)
}

fn plain() -> Table {
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    table
}

fn trimmed(table: &Table) -> String {
    let lines = table.to_string();
    let lines = lines.lines().map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end());
    lines.collect::<Vec<_>>().join("\n")
}

/// Pretty JSON.
pub(crate) fn json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).expect("what is printed has only text keys")
}

/// Writes text and a line end to stdout. A reader that has gone away wants no more, and no complaint either.
pub(crate) fn to_stdout(text: &str) {
    write_to(&mut std::io::stdout().lock(), text);
}

fn to_stderr(text: &str) {
    write_to(&mut std::io::stderr().lock(), text);
}

fn write_to(writer: &mut impl Write, text: &str) {
    let end = if text.ends_with('\n') { "" } else { "\n" };
    let written = write!(writer, "{text}{end}").and_then(|()| writer.flush());
    if let Err(error) = written
        && error.kind() != ErrorKind::BrokenPipe
    {
        // Results that are not written must not look like success: a full disk is found out here.
        let _ = writeln!(std::io::stderr(), "error: writing the output: {error}");
        std::process::exit(1);
    }
}
