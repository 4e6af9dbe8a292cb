//! Services, rewards, liquid receipts and their books over verified stakes.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod allocation;
mod audit;
mod book;
mod error;
mod event;
mod exposure;
mod ledger;
mod lrt;
mod pool;
mod queue;
mod receipts;
mod registry;
mod rewards;
mod risk;
mod shares;
mod stake;
mod table;
mod units;
mod yields;

pub use allocation::{Allocation, Part, StakeExposure};
pub use audit::Imbalance;
pub use book::{Book, ProviderView, ServiceView, StakeView};
pub use error::BookError;
pub use event::{Entry, Event};
pub use exposure::{Exposure, Loss};
pub use lrt::{LrtError, LrtExposure, LrtPool};
pub use pool::{Backing, Flows, PaidExit, Pool, PoolError, PoolLoss, PooledStake, PooledStatus};
pub use queue::{Exit, ExitId, ExitQueue};
pub use registry::ServiceTerms;
pub use rewards::{REWARD_SCALE, Rewards};
pub use risk::{Depeg, QueueDepth, RiskError, RiskReport, Scenario, SlashedProviders, StakeAtRisk};
pub use shares::{ShareError, VIRTUAL_SHARES};
pub use stake::{AdmittedStake, End, JournalledStake, StakeDataError, StakeStatus};
pub use units::{
    Denomination, HolderId, NameError, PartsPerMillion, PoolId, RateTextError, ServiceId, mul_div_ceil,
    mul_div_floor,
};
pub use yields::{
    Compounding, Price, RewardRate, ServiceLine, ServiceYield, Valued, YieldError, YieldReport, YieldTerms,
};
