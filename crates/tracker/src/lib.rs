//! Follows stakes on the chain through their lives, and keeps the list of them on disk.
//!
//! A seed does not find a stake again, since its output commits to other people's keys. So before a staking
//! transaction is sent, its [`StakeRecord`] is in the [`Store`]: a process killed at any moment later finds its
//! stake again, and [`resume`]s it if the transaction never left. Beside the record lies the stake's
//! [`DelegationPackage`](tapstake_tx::delegation::DelegationPackage): what covenant and staker signed in advance.
//!
//! [`observe`] asks a [`ChainSource`](tapstake_chain::ChainSource) where a stake is in its life. Nothing is
//! believed from an earlier time, so that reorganisations are followed:
//!
//! ```text
//! Prepared ─ InMempool ─ Confirmed ─ Expired ──────────────────────── Withdrawn
//!     │                      ├────── Unbonding ─ Unbonded ─────────────┤
//! Conflicted                 │           │                             │
//!                            ├───────────┴────── Slashed ─ RefundWithdrawable
//!                            └────── Expanded
//! ```
//!
//! ```
//! # use bitcoin::absolute::LockTime;
//! # use bitcoin::key::{Keypair, Secp256k1};
//! # use bitcoin::transaction::Version;
//! # use bitcoin::{Amount, Network, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, Witness};
//! # use tapstake_params::local::{self, Slashed};
//! # use tapstake_params::{Height, Timelock};
//! # use tapstake_script::{Providers, StakeTerms};
//! # use tapstake_tx::{Stake, staking_outputs};
//! use tapstake_tracker::{StakeRecord, Store};
//!
//! # let secp = Secp256k1::new();
//! # let schedule = local::schedule(&secp, Network::Regtest, Slashed::Burned)?;
//! # let params = schedule.latest();
//! # let staker = Keypair::from_seckey_slice(&secp, &[7; 32])?.x_only_public_key().0;
//! # let provider = local::provider_keypair(&secp, 0).x_only_public_key().0;
//! # let terms = StakeTerms::under(params, staker, Providers::one(provider), Timelock::new(144)?)?;
//! # let output = staking_outputs(&secp, params, &terms, Amount::ONE_BTC, None)?;
//! # let witness = Witness::from_slice(&[[0; 64]]);
//! # let input = vec![TxIn { previous_output: OutPoint::null(), script_sig: ScriptBuf::new(), sequence: Sequence::MAX, witness }];
//! # let staking_tx = Transaction { version: Version::TWO, lock_time: LockTime::ZERO, input, output };
//! # let folder = tempfile::tempdir()?;
//! # let data_folder = folder.path();
//! // What a wallet funded and signed; not sent yet.
//! let stake = Stake::find(&secp, terms, &staking_tx, Amount::ONE_BTC)?;
//! let record = StakeRecord::new(Network::Regtest, &stake, params, staking_tx, Height::new(105))?;
//! let mut store = Store::open(&data_folder.join("stakes.sqlite"))?;
//! store.insert(&record)?;
//!
//! // Whatever happens now, the stake is known.
//! let store = Store::open(&data_folder.join("stakes.sqlite"))?;
//! assert_eq!(store.list()?, [record]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Rooms
//!
//! - [`StakeRecord`]: what is remembered of one stake; no secret in it.
//! - [`Store`]: the list on disk, with [`FollowUp`] transactions and what was [`LastSeen`].
//! - [`observe`], [`Observed`], [`StakeState`]: where a stake is in its life; [`resume`] sends a verified delegation again.
//! - [`classify_spend`]: by which way an output was spent, without any source.
//! - [`withdrawable_at`]: the boundary from which on an output may be withdrawn.
#![forbid(unsafe_code)]

mod boundary;
mod error;
mod export;
mod observe;
mod record;
mod spend;
mod state;
mod store;

pub use boundary::{is_withdrawable, withdrawable_at};
pub use error::TrackerError;
pub use observe::{Observed, observe, resume};
pub use record::{KeptParams, KeptSlashing, KeyOrigin, RecordError, StakeRecord};
pub use spend::{SpendKind, classify_spend, classify_unbonding_spend};
pub use state::{Origin, StakeState};
pub use store::{Entry, FollowUp, FollowUpKind, LastSeen, Store};
