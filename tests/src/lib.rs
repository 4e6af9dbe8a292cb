//! End-to-end stories, on the embedded chain and on the real daemons
#![forbid(unsafe_code)]
