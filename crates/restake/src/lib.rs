//! Services, rewards, liquid receipts and their books over verified stakes.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod allocation;
mod error;
mod exposure;
mod ledger;
mod registry;
mod rewards;
mod stake;
mod table;
mod units;

pub use allocation::{Allocation, Part, StakeExposure};
pub use error::BookError;
pub use exposure::{Exposure, Loss};
pub use registry::ServiceTerms;
pub use rewards::{REWARD_SCALE, Rewards};
pub use stake::{AdmittedStake, End, JournalledStake, StakeDataError, StakeStatus};
pub use units::{
    Denomination, HolderId, NameError, PartsPerMillion, PoolId, RateTextError, ServiceId, mul_div_ceil,
    mul_div_floor,
};
