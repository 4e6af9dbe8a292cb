//! An Electrum server over one chain: protocol 1.4 to 1.6, line-delimited JSON-RPC over TCP.

mod blocks;
mod methods;
mod params;
mod rpc;
mod scripts;
mod server;
mod session;
mod transactions;

pub(crate) use server::Server;
