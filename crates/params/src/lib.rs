//! Network parameters of Bitcoin staking, chosen by height.
//!
//! A staking network says how much may be locked, for how long, who sits on the covenant committee and
//! what a slashing takes. It says so in *versions*: each applies from a Bitcoin height on, until the next
//! one does. This crate holds the types in which those facts are right by construction ([`Quorum`],
//! [`Timelock`], [`SlashingRate`]), one version's [`StakingParams`], and the [`Schedule`] of versions that
//! answers "which parameters apply to a stake at this height".
//!
//! ```
//! use bitcoin::Amount;
//! use tapstake_params::{Height, Schedule, Timelock};
//!
//! let babylon = Schedule::bbn_1();
//! let version = babylon.at(Height::new(870_000))?;
//! assert_eq!(version.version, 1);
//! assert_eq!(version.covenant.threshold(), 6);
//! assert_eq!(version.unbonding_fee, Amount::from_sat(32_000));
//!
//! let refusal = version.check_stake(Amount::from_sat(499_999), Timelock::new(64_000)?).unwrap_err();
//! assert_eq!(refusal.to_string(), "staking value 499999 sat is outside 500000..=50000000000 sat (version 1)");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod bbn_1;
mod dust;
mod height;
mod json;
pub mod local;
mod params;
mod quorum;
mod rate;
mod schedule;
mod timelock;

pub use dust::{DustError, check_not_dust, dust_value};
pub use height::Height;
pub use json::{JsonError, ScheduleFile};
pub use params::{BoundsError, ParamsError, Phase1, Slashing, StakingCap, StakingParams};
pub use quorum::{MAX_KEYS, Quorum, QuorumError};
pub use rate::{RateError, SlashingRate};
pub use schedule::{Schedule, ScheduleError, Window};
pub use timelock::{Timelock, TimelockError};
