//! Rules 15 to 17, each broken alone, on a proof that holds.

mod delegation;
mod encoding;
mod policy;
mod service;
mod verdict;
