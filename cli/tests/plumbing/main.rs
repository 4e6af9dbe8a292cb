//! The binary as scripts see it: exit codes, JSON on stdout, everything else on stderr.

mod block;
mod docs;
mod headers;
mod inspect;
mod refusals;
mod script;
mod settings;
mod support;
mod tx;
mod usage;
