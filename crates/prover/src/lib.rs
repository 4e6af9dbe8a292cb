//! From chain data to stake proofs
#![forbid(unsafe_code)]
