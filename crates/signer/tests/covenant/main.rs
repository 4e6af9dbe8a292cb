//! A covenant member: what it signs, what it refuses, and what it remembers.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

mod departures;
mod expansion;
mod member;
mod release;
mod world;
