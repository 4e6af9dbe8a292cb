//! What goes wrong, what to do about it, and how the program exits.

use std::fmt::Display;
use std::process::ExitCode;

use serde::Serialize;

use crate::file;
use crate::rules::{self, next};

/// The most characters of a message: one that lists a committee of the greatest size is shorter.
const MAX_MESSAGE: usize = 8_000;

/// How the program exits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It could not be done, or a rule forbids it.
    Failed,
    /// The arguments make no sense.
    Usage,
    /// What was to be verified is wrong.
    Verification,
}

impl Exit {
    /// The name in the JSON of an error.
    const fn kind(self) -> &'static str {
        match self {
            Exit::Failed => "failed",
            Exit::Usage => "usage",
            Exit::Verification => "verification",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Verification => 3,
        })
    }
}

/// Why a command did not do what it was asked for.
///
/// Every typed error becomes one by `?`, and exits with 1; [`Context`] adds where it happened and what to do
/// next.
#[derive(Debug)]
pub(crate) struct Error {
    exit: Exit,
    rule: Option<&'static str>,
    cause: anyhow::Error,
    context: Option<String>,
    next: Option<String>,
    height: Option<u32>,
}

pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// An error as JSON, below the key `error`.
#[derive(Debug, Serialize)]
pub(crate) struct ErrorJson {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'static str>,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl ErrorJson {
    /// What went wrong.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// What to do next.
    pub(crate) fn next(&self) -> Option<&str> {
        self.next.as_deref()
    }
}

impl Error {
    /// A failure in plain words.
    pub(crate) fn failed(message: impl Display) -> Self {
        Self::new(Exit::Failed, anyhow::anyhow!("{message}"))
    }

    /// Arguments that make no sense together.
    pub(crate) fn usage(message: impl Display) -> Self {
        Self::new(Exit::Usage, anyhow::anyhow!("{message}"))
    }

    /// A refusal by a rule that has no typed error of its own.
    pub(crate) fn rule(rule: &'static str, message: impl Display) -> Self {
        Error { rule: Some(rule), ..Self::failed(message) }
    }

    /// Something to be verified that breaks `rule`.
    pub(crate) fn verification(rule: &'static str, cause: impl Into<anyhow::Error>) -> Self {
        Error { rule: Some(rule), ..Self::new(Exit::Verification, cause.into()) }
    }

    fn new(exit: Exit, cause: anyhow::Error) -> Self {
        Error { exit, rule: None, cause, context: None, next: None, height: None }
    }

    /// What to do next.
    #[must_use]
    pub(crate) fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// The height of the block or header that is wrong.
    #[must_use]
    pub(crate) fn at_height(mut self, height: Option<u32>) -> Self {
        self.height = height;
        self
    }

    pub(crate) const fn exit(&self) -> Exit {
        self.exit
    }

    /// The rule that was broken, where a rule was.
    pub(crate) fn rule_name(&self) -> Option<&'static str> {
        self.rule.or_else(|| rules::name(&self.cause))
    }

    /// What went wrong, without what to do next.
    pub(crate) fn message(&self) -> String {
        // The crates' errors say what their sources say: no chain is printed.
        let mut said = self.cause.to_string();
        // What a file holds is repeated by the parser's message, however long it is.
        for json in self.cause.chain().filter_map(|source| source.downcast_ref::<serde_json::Error>()) {
            let text = json.to_string();
            said = said.replace(&text, &file::clipped(&text));
        }
        if let Some(context) = self.context.as_ref().filter(|context| !begins(&said, context)) {
            said = format!("{context}: {said}");
        }
        // No message of ours is as long: what stands in its middle came from outside.
        match said.char_indices().nth(MAX_MESSAGE) {
            Some((end, _)) => format!("{}…", &said[..end]),
            None => said,
        }
    }

    /// What to do next: as the error says, else as its rule does.
    pub(crate) fn what_next(&self) -> Option<&str> {
        self.next.as_deref().or_else(|| next::step(self.rule_name()?))
    }

    /// Whether what to do next is said by more than its rule.
    pub(crate) const fn has_own_next(&self) -> bool {
        self.next.is_some()
    }

    pub(crate) fn to_json(&self) -> ErrorJson {
        ErrorJson {
            kind: self.exit.kind(),
            rule: self.rule_name(),
            message: self.message(),
            height: self.height,
            next: self.what_next().map(str::to_owned),
        }
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        Self::new(Exit::Failed, error.into())
    }
}

/// Whether a message says already where it happened.
fn begins(said: &str, context: &str) -> bool {
    said.strip_prefix(context).is_some_and(|rest| rest.is_empty() || rest.starts_with(": "))
}

/// Adds to an error where it happened and what to do next.
pub(crate) trait Context<T> {
    /// Where it happened, such as the name of a file.
    fn context(self, context: impl Display) -> Result<T>;
    /// What to do next.
    fn next(self, next: impl Display) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for std::result::Result<T, E> {
    fn context(self, context: impl Display) -> Result<T> {
        self.map_err(|error| {
            let mut error = error.into();
            error.context = Some(match error.context {
                Some(inner) if !begins(&inner, &context.to_string()) => format!("{context}: {inner}"),
                Some(inner) => inner,
                None => context.to_string(),
            });
            error
        })
    }

    fn next(self, next: impl Display) -> Result<T> {
        self.map_err(|error| error.into().next(next.to_string()))
    }
}
