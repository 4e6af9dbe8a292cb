//! Where blocks come from and transactions go: bitcoind and Electrum behind one trait
#![forbid(unsafe_code)]
