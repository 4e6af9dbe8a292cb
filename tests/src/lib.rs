//! End-to-end stories, on the embedded chain and on the real daemons.
//!
//! The tests drive the `tapstake` program as a person or a script does: arguments in, JSON and exit codes out. [`Cli`] is
//! one user of it, with a data folder and an environment that nothing else touches.
//!
//! ```
//! let outcome = tapstake_tests::Cli::new("regtest").run(&["params", "show"]);
//! assert_eq!(outcome.ok()["versions"][0]["covenant_quorum"], 3);
//! ```

#![forbid(unsafe_code)]

mod cli;

pub use cli::{Cli, Outcome, program};
