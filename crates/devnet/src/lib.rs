//! A Bitcoin chain in one process: regtest blocks with real proof of work, Bitcoin Core's own
//! interpreter for scripts, a mempool, and an Electrum server on loopback.
//!
//! Wallets, provers and tests that need a chain need nothing but this crate: no daemon is installed
//! or started, blocks come when they are asked for, and coins come from a [faucet](Devnet::fund).
//! What talks to it over the Electrum protocol runs the very code it runs against a real server.
//!
//! It is not to be trusted on its word. Every block it makes is valid on a real node, and what a real
//! node refuses it refuses, with the same reason: tests submit the same blocks to both. Mempool
//! [policy] is a documented subset. Nothing in here knows what transactions are for.
//!
//! # Example
//!
//! ```
//! use bitcoin::Amount;
//! use tapstake_devnet::{Config, Devnet};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let devnet = Devnet::start(&Config::default())?;
//! println!("electrum server at {}", devnet.electrum_url());
//!
//! // Anyone can spend from this script; a real one comes from a wallet.
//! let script = bitcoin::ScriptBuf::from_hex("00204ae81572f06e1b88fd5ced7a1a000945432e83e1551e6f721ee9c00b8cc33260")?;
//! let txid = devnet.fund(&script, Amount::from_sat(100_000))?;
//! assert_eq!(devnet.mempool(), [txid]);
//!
//! devnet.mine(1)?;
//! assert_eq!(devnet.position(&txid).map(|position| position.height), Some(devnet.tip().height));
//! # Ok(())
//! # }
//! ```
//!
//! # Rooms
//!
//! - [`Devnet`]: chain, server and faucet as one handle; [`Config`] starts it.
//! - [`Chain`]: the chain alone, without threads: [`Chain::submit_block`], [`Chain::mine`],
//!   [`Chain::accept`], [`Chain::invalidate_block`], and all lookups.
//! - [`rules`] and [`policy`]: the numbers of consensus and of the mempool.
//! - [`BlockError`], [`TxError`], [`AcceptError`]: each broken rule, in Bitcoin Core's words.
//! - [`Clock`]: the system's, or one that a test sets.

#![forbid(unsafe_code)]

mod accept;
mod block_check;
mod chain;
mod clock;
mod coins;
mod connect;
mod devnet;
mod electrum;
mod error;
mod faucet;
mod index;
mod mempool;
mod merkle;
mod miner;
pub mod policy;
pub mod rules;
mod shared;
mod sigops;
mod tree;
mod tx_check;

pub use accept::Accepted;
pub use chain::{Chain, Submitted, Tip, total_subsidy};
pub use clock::Clock;
pub use coins::Coin;
pub use devnet::{Config, Devnet};
pub use error::{AcceptError, BlockError, Error, PackageError, TxError};
pub use faucet::Faucet;
pub use index::{ElectrumScriptHash, Position};
pub use mempool::{Entry, Mempool};
pub use miner::{block_hex, seal, solve};
