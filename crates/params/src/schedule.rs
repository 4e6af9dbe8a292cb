use alloc::vec::Vec;

use bitcoin::Network;

use crate::params::{Phase1, StakingCap};
use crate::{Height, ParamsError, StakingParams};

/// The versions of one staking network's parameters, in order of their activation heights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    network: Network,
    versions: Vec<StakingParams>,
}

/// Whether a phase-1 stake fits into its version's intake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// Within the height up to which stakes count.
    Within,
    /// Above the height up to which stakes count.
    Over,
    /// The cap is a sum over all stakes: one stake alone cannot tell.
    Unknown,
}

/// Why versions make no schedule, or why a schedule has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// There is no version at all.
    #[error("parameters without any version")]
    Empty,
    /// Versions are numbered upwards, in the order of their activation heights.
    #[error(
        "version {version} from height {height} does not follow version {previous} from height {previous_height}: numbers and heights must both rise"
    )]
    Order {
        /// The version out of order.
        version: u32,
        /// Its activation height.
        height: Height,
        /// The version before it.
        previous: u32,
        /// That version's activation height.
        previous_height: Height,
    },
    /// A version makes no sense.
    #[error(transparent)]
    Params(#[from] ParamsError),
    /// No version applies yet at this height.
    #[error("no parameters at height {height}: the first version applies from height {first}")]
    BeforeFirst {
        /// The height asked for.
        height: Height,
        /// The activation height of the first version.
        first: Height,
    },
    /// There is no version of this number.
    #[error("no parameters version {version}: there are versions {first} to {last}")]
    NoVersion {
        /// The version asked for.
        version: u32,
        /// The number of the first version.
        first: u32,
        /// The number of the last version.
        last: u32,
    },
}

impl Schedule {
    /// A schedule for `network` of `versions`, in ascending order.
    ///
    /// # Errors
    ///
    /// [`ScheduleError`] if there are none, if numbers or activation heights do not rise, or if a version
    /// breaks a rule of [`StakingParams::check`]; on every network but regtest also
    /// [`StakingParams::check_majority`].
    pub fn new(network: Network, versions: Vec<StakingParams>) -> Result<Self, ScheduleError> {
        if versions.is_empty() {
            return Err(ScheduleError::Empty);
        }
        for pair in versions.windows(2) {
            let (previous, next) = (&pair[0], &pair[1]);
            if next.version <= previous.version || next.activation_height <= previous.activation_height {
                return Err(ScheduleError::Order {
                    version: next.version,
                    height: next.activation_height,
                    previous: previous.version,
                    previous_height: previous.activation_height,
                });
            }
        }
        for version in &versions {
            version.check()?;
            if network != Network::Regtest {
                version.check_majority()?;
            }
        }
        Ok(Schedule { network, versions })
    }

    /// The Bitcoin network the stakes are on.
    pub const fn network(&self) -> Network {
        self.network
    }

    /// Every version, in ascending order; never empty.
    pub fn versions(&self) -> &[StakingParams] {
        &self.versions
    }

    /// The newest version.
    pub fn latest(&self) -> &StakingParams {
        self.versions.last().expect("a schedule has at least one version")
    }

    /// The version that applies at `height`: the one with the greatest activation height at or below it.
    ///
    /// # Errors
    ///
    /// [`ScheduleError::BeforeFirst`] below the first activation height.
    pub fn at(&self, height: Height) -> Result<&StakingParams, ScheduleError> {
        let following = self.versions.partition_point(|version| version.activation_height <= height);
        match following.checked_sub(1) {
            Some(index) => Ok(&self.versions[index]),
            None => Err(ScheduleError::BeforeFirst { height, first: self.versions[0].activation_height }),
        }
    }

    /// The version of this number.
    ///
    /// # Errors
    ///
    /// [`ScheduleError::NoVersion`] if there is none.
    pub fn version(&self, number: u32) -> Result<&StakingParams, ScheduleError> {
        self.versions.iter().find(|version| version.version == number).ok_or_else(|| {
            ScheduleError::NoVersion {
                version: number,
                first: self.versions[0].version,
                last: self.latest().version,
            }
        })
    }

    /// The phase-1 rules in force at `height`: those of the newest version at or below it that has any.
    pub fn phase_1_at(&self, height: Height) -> Option<&Phase1> {
        self.versions
            .iter()
            .rev()
            .filter(|version| version.activation_height <= height)
            .find_map(|version| version.phase_1.as_ref())
    }
}

impl Phase1 {
    /// Whether a stake at `height` is within the cap.
    pub fn window(&self, height: Height) -> Window {
        match self.cap {
            StakingCap::Value(_) => Window::Unknown,
            StakingCap::Height(last) if height <= last => Window::Within,
            StakingCap::Height(_) => Window::Over,
        }
    }
}
