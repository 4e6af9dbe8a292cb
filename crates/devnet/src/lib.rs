//! An embedded regtest chain with real consensus script checks that speaks the Electrum protocol
#![forbid(unsafe_code)]
