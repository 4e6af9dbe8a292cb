//! A journal that somebody has touched, a writer that was killed, an index that is gone.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

mod ends;
mod files;
mod index;
mod lines;
#[cfg(unix)]
mod reading;
mod support;
