//! The `tapstake` binary.
#![forbid(unsafe_code)]
fn main() {}
