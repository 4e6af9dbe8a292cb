//! The binary as scripts see it: exit codes, JSON on stdout, everything else on stderr.
// Helpers are not seen as tests by the lint.
#![allow(clippy::unwrap_used)]

mod block;
mod book;
mod docs;
mod equivocation;
mod files;
mod headers;
mod inspect;
mod live;
mod notation;
mod pop;
mod refusals;
mod repair;
mod script;
mod settings;
mod support;
mod tx;
mod usage;
mod verify;
mod yields;
