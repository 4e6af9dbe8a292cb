//! Follows stakes on the chain through their lives
#![forbid(unsafe_code)]
