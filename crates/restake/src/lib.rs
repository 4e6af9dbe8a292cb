//! Services, rewards, liquid receipts and their books over verified stakes.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod units;

pub use units::{
    Denomination, HolderId, NameError, PartsPerMillion, PoolId, RateTextError, ServiceId, mul_div_ceil,
    mul_div_floor,
};
