//! The transactions of a stake: built, checked, signed for and satisfied.
//!
//! | transaction | spends | pays |
//! |---|---|---|
//! | staking | the wallet's coins | a staking output ([`staking_outputs`]) |
//! | [`UnbondingTx`] | the staking output, by staker and covenant | an unbonding output, less exactly the fee |
//! | [`SlashingTx`] | a staking or unbonding output, by staker, provider and covenant | the slashed part, and a refund |
//! | [`ExpansionTx`] | the old staking output, by staker and covenant, and a coin of the wallet | a new staking output |
//! | [`Withdrawal`] | staking, unbonding and refund outputs after their timelocks | the staker |
//!
//! Each is checked in both directions: what is built here keeps every rule, and what others built is taken
//! only through `check`, which names the rule it breaks. A [`LeafSpend`] is one input on its way through one
//! leaf: it gives the digest to sign (BIP-0341), puts signatures into a witness in the order of the script, and
//! checks a finished witness. A [`delegation`] is everything that is signed before coins are locked, from draft to
//! verified. [`psbt`] carries the same to signers elsewhere (BIP-0174, BIP-0371), and
//! [`inspect`](mod@inspect) says of any transaction what it is. A [`Reader`] takes the binary forms apart, of delegations and of
//! what is built on them.
//!
//! ```
//! use bitcoin::key::{Keypair, Secp256k1};
//! use bitcoin::{Amount, Network, OutPoint};
//! use tapstake_params::local::{self, Slashed};
//! use tapstake_params::Timelock;
//! use tapstake_script::{Providers, StakeTerms};
//! use tapstake_tx::{Signatures, Stake, UnbondingTx};
//!
//! let secp = Secp256k1::new();
//! let schedule = local::schedule(&secp, Network::Regtest, Slashed::Burned)?;
//! let params = schedule.latest();
//! let staker = Keypair::from_seckey_slice(&secp, &[7; 32])?;
//! let provider = local::provider_keypair(&secp, 0).x_only_public_key().0;
//! let staking_time = Timelock::new(144)?;
//! let terms = StakeTerms::under(params, staker.x_only_public_key().0, Providers::one(provider), staking_time)?;
//!
//! // A stake of 1 BTC, wherever it was locked.
//! let stake = Stake::new(&secp, terms, OutPoint::null(), Amount::ONE_BTC);
//! let unbonding = UnbondingTx::build(&secp, &stake, params.unbonding_fee)?;
//! let spend = unbonding.spend(&stake);
//!
//! // Staker and three of five covenant members sign the same digest.
//! let signatures: Signatures = local::covenant_keypairs(&secp)[..3]
//!     .iter()
//!     .chain([&staker])
//!     .map(|keypair| spend.sign(&secp, keypair, &[0; 32]))
//!     .collect();
//! let signed = unbonding.finish(&secp, &stake, &signatures)?;
//! assert_eq!(signed.output[0].value, Amount::ONE_BTC - params.unbonding_fee);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod bump;
mod coin;
pub mod delegation;
mod expansion;
mod fee;
mod fee_rates;
pub mod inspect;
pub mod psbt;
mod reader;
mod shape;
mod slashing;
mod spend;
mod staking;
mod unbonding;
mod withdrawal;

pub use bump::{CpfpError, ReplacedError, check_not_replaced, cpfp_child_fee};
pub use coin::{Coin, Slashable, Stake};
pub use expansion::{ExpansionError, ExpansionTx, Funding};
pub use fee::{FeeRateError, MAX_FEE_RATE, MIN_FEE_RATE, PerVb, check_fee_rate};
pub use fee_rates::{BelowMinimum, PresignedFee, PresignedFeeRates};
pub use inspect::{Inspection, inspect};
pub use reader::{ReadError, Reader};
pub use shape::ShapeError;
pub use slashing::{SlashingError, SlashingTx};
pub use spend::{LeafSpend, Signatures, SpendError, WitnessError};
pub use staking::{StakingError, check_txid_final, staking_outputs};
pub use unbonding::{UnbondingError, UnbondingTx};
pub use withdrawal::{Withdrawable, Withdrawal, WithdrawalError};
