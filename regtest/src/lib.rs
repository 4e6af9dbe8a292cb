//! Real bitcoind and ElectrumX, for tests and for people.
//!
//! A test starts a [`Bitcoind`], mines and sends on it, and forgets it: at the end of its scope, on a panic, and
//! even when the test's process is killed, the daemon stops and its data goes. An [`ElectrumX`] stands on a
//! `Bitcoind` and lives no longer. Every daemon listens on 127.0.0.1 only, on ports that were free when it started.
//!
//! - [`Bitcoind`], made by [`Builder`]: regtest, or a signet of one's own where anyone may mine.
//! - `rpc`: what tests ask of a node, as methods of [`Bitcoind`]; [`Bitcoind::call`] for the rest.
//! - `faucet`: coins for any script, [`Bitcoind::fund`], from blocks that anyone can spend.
//! - [`ElectrumX`]: an Electrum server, caught up to its node before it is handed out.
//! - [`differential`]: the established TypeScript implementation, to compare bytes with.
//! - [`bitcoind_exe`], [`electrumx_exe`]: where the programs are looked for.
//!
//! The programs come from `regtest/get-bitcoind.sh` and `regtest/get-electrumx.sh`, `regtest/up.sh` starts both for a
//! person, and `regtest/test.sh` runs every test of the workspace.
//!
//! # Tests that need daemons
//!
//! They are never skipped: they are not compiled unless asked for. A crate that has such tests declares
//!
//! ```toml
//! [features]
//! daemons = []
//!
//! [[test]]
//! name = "daemons"
//! required-features = ["daemons"]
//! ```
//!
//! so that `cargo test` needs nothing installed, and `regtest/test.sh` runs `cargo test --features daemons`.
//!
//! # Example
//!
//! ```no_run
//! use bitcoin::Amount;
//! use tapstake_regtest::{Bitcoind, ElectrumX};
//!
//! # fn main() -> Result<(), tapstake_regtest::Error> {
//! let node = Bitcoind::start()?;
//! let to = tapstake_regtest::anyone_can_spend(node.network());
//! let coin = node.fund(&to.script_pubkey(), Amount::from_sat(50_000))?;
//! let block = node.mine(1, &to)?[0];
//! assert_eq!(node.transaction(coin.txid)?.compute_txid(), coin.txid);
//!
//! let electrum = ElectrumX::start(&node)?;
//! println!("{} serves up to block {block}", electrum.url());
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod daemon;
mod differential;
mod electrumx;
mod error;
mod faucet;
mod locate;
mod node;
mod rpc;
mod signet;

pub use differential::differential;
pub use electrumx::{ElectrumX, ElectrumXBuilder};
pub use error::Error;
pub use faucet::anyone_can_spend;
pub use locate::{bitcoind_exe, electrumx_exe};
pub use node::{Bitcoind, Builder, RPC_PASSWORD, RPC_USER};
pub use rpc::{Acceptance, Unspent};
