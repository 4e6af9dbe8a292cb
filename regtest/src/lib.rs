//! Real bitcoind and ElectrumX for tests and for people: getting, starting, mining, stopping
#![forbid(unsafe_code)]
