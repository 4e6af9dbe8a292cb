//! Delegations before a real bitcoind, from the draft to every end of the stake: slashed by a bystander who has nothing but
//! files, unbonded, moved into a larger stake, refunded. What we refuse, the node refuses as well where a node can judge.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

mod expansion;
mod proof;
mod quorum;
mod refused;
mod selective;
mod slashing;
mod stage;
