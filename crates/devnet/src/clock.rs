//! The time a chain lives in.

use std::time::{SystemTime, UNIX_EPOCH};

/// Where a chain takes the time from, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Clock {
    /// The clock of the system.
    #[default]
    System,
    /// A clock that stands still until it is set: the same story gives the same blocks.
    At(u32),
}

impl Clock {
    /// Reads the clock.
    pub fn now(&self) -> u32 {
        match self {
            Self::System => {
                let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                u32::try_from(since_1970.as_secs()).unwrap_or(u32::MAX)
            }
            Self::At(time) => *time,
        }
    }
}
