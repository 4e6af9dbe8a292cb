//! Where blocks come from and transactions go.
//!
//! Everything above this crate asks one trait, [`ChainSource`]: the tip, headers, a transaction with the branches
//! that prove it, what spends an output, fees; and hands it transactions to send. Two real sources stand behind
//! it, [`Bitcoind`] by JSON-RPC and [`Electrum`] by TCP or TLS.
//!
//! Sources are other people's programs. They are given limited time and limited memory, asked again when they
//! go away, and not believed where an answer can be checked: see [`ChainSource`] for what is and what is not.
//! Every failure is a [`ChainError`] that says what to do next.
//!
//! ```no_run
//! use bitcoin::Network;
//! use tapstake_chain::{ChainSource, ElectrumConfig, SourceConfig, connect};
//!
//! let config = SourceConfig::Electrum(ElectrumConfig::new("ssl://electrum.example.org:50002"));
//! let source = connect(&config, Network::Bitcoin)?;
//! println!("the chain ends at {}", source.tip()?);
//! # Ok::<(), tapstake_chain::ChainError>(())
//! ```
//!
//! # Rooms
//!
//! - [`ChainSource`] and its answers: [`BlockId`], [`TxInfo`], [`Inclusion`], [`Spend`].
//! - [`Bitcoind`], [`Electrum`]: the sources. For BDK they give a client of the kind it syncs with.
//! - [`SourceConfig`] and [`connect`]: from a configuration file to a source.
//! - [`inclusion_from_block`]: the same proof without any source, out of a raw block.
#![forbid(unsafe_code)]

mod bitcoind;
mod check;
mod config;
mod electrum;
mod error;
mod refusal;
mod source;

pub use bitcoind::Bitcoind;
pub use check::inclusion_from_block;
pub use config::{BitcoindConfig, Credentials, ElectrumConfig, Secret, SourceConfig, connect};
pub use electrum::{Electrum, contained};
pub use error::ChainError;
pub use source::{BlockId, ChainSource, Inclusion, Spend, TxInfo};
