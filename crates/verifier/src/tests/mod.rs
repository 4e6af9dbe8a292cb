//! An honest world, and everything an attacker can do to it.

mod encoding;
mod fixture;
mod inclusion;
mod inner_nodes;
mod mutation;
mod own_headers;
mod slashable;
mod stake;
mod verdict;
