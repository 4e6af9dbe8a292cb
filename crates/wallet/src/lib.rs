//! A BDK wallet that funds stakes and signs for them, kept in SQLite
#![forbid(unsafe_code)]
