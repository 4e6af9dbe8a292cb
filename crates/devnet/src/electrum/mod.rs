//! An Electrum server over one chain: protocol 1.4 to 1.6, line-delimited JSON-RPC over TCP.

mod methods;
mod params;
mod rpc;
mod server;
mod session;

pub(crate) use server::Server;
