//! Shares of something that is counted: the arithmetic that pools have in common.

use core::fmt;
use core::str::FromStr;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use crate::units::{HolderId, mul_div_ceil, mul_div_floor};

/// The shares that nobody holds and that every series has, so that its rate exists before the first deposit and cannot
/// be moved for a small one: a series opens at this many shares for one unit of its assets.
///
/// Who gives assets away to a series of few shares gives nearly all of them to these shares and gets nothing back, which
/// is why inflating the rate before another's deposit costs more than it brings.
pub const VIRTUAL_SHARES: u128 = 1_000_000;

/// A net asset value, or a price to hold against one: what [`VIRTUAL_SHARES`] shares are worth, in millionths of a satoshi.
/// 1,000,000 when a pool opens.
///
/// Printed as a decimal, `1.05`, and read as one with at most six places; a plain number in serde. It has no upper end that a
/// pool could reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Nav(u128);

/// Why a text is no net asset value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write a decimal with at most six places, such as 0.995")]
pub struct NavTextError;

impl Nav {
    /// One satoshi: where a pool opens.
    pub const ONE: Nav = Nav(1_000_000);

    /// So many millionths of a satoshi.
    pub const fn new(millionths: u128) -> Self {
        Nav(millionths)
    }

    /// The millionths.
    pub const fn millionths(self) -> u128 {
        self.0
    }
}

impl fmt::Display for Nav {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, decimals) = (self.0 / 1_000_000, alloc::format!("{:06}", self.0 % 1_000_000));
        match decimals.trim_end_matches('0') {
            "" => write!(f, "{whole}"),
            decimals => write!(f, "{whole}.{decimals}"),
        }
    }
}

impl FromStr for Nav {
    type Err = NavTextError;

    fn from_str(text: &str) -> Result<Self, NavTextError> {
        let number = |digits: &str| {
            let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| digits.parse::<u128>().ok()).flatten().ok_or(NavTextError)
        };
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let scale =
            [1_000_000, 100_000, 10_000, 1_000, 100, 10, 1].get(decimals.len()).ok_or(NavTextError)?;
        let (whole, parts) = (number(whole)?.checked_mul(1_000_000), number(decimals)? * scale);
        whole.and_then(|whole| whole.checked_add(parts)).map(Nav).ok_or(NavTextError)
    }
}

/// Why shares do not move. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShareError {
    /// Nothing would move.
    #[error("an amount of nothing")]
    Nothing,
    /// The deposit is worth less than one share.
    #[error("{assets} units are worth less than one share")]
    NoShares {
        /// The units of the deposit.
        assets: u128,
    },
    /// The shares are worth less than one unit.
    #[error("{shares} shares are worth less than one unit")]
    NoAssets {
        /// The shares.
        shares: u128,
    },
    /// Holders have not got that many shares.
    #[error("{holder} has {balance} shares, not {asked}")]
    Balance {
        /// The holder.
        holder: HolderId,
        /// What it has.
        balance: u128,
        /// What it would give.
        asked: u128,
    },
    /// A number does not fit into 128 bits.
    #[error("{0} does not fit")]
    Overflow(&'static str),
}

/// Holders, their shares, and what the shares stand for.
///
/// With `V` = [`VIRTUAL_SHARES`], `assets` for `shares` is `shares = assets * (S + V) / (A + 1)`, which is never a
/// division by zero. A is counted here: nothing that merely arrives somewhere moves the rate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Shares {
    assets: u128,
    supply: u128,
    holders: HashMap<HolderId, u128>,
}

impl Shares {
    pub(crate) const fn assets(&self) -> u128 {
        self.assets
    }

    pub(crate) const fn supply(&self) -> u128 {
        self.supply
    }

    pub(crate) fn balance(&self, holder: &HolderId) -> u128 {
        self.holders.get(holder).copied().unwrap_or(0)
    }

    pub(crate) fn holders(&self) -> impl ExactSizeIterator<Item = (&HolderId, u128)> {
        self.holders.iter().map(|(holder, shares)| (holder, *shares))
    }

    pub(crate) fn shares_for_floor(&self, assets: u128) -> Option<u128> {
        mul_div_floor(assets, self.all_shares()?, self.assets.checked_add(1)?)
    }

    pub(crate) fn shares_for_ceil(&self, assets: u128) -> Option<u128> {
        mul_div_ceil(assets, self.all_shares()?, self.assets.checked_add(1)?)
    }

    pub(crate) fn assets_for_floor(&self, shares: u128) -> Option<u128> {
        mul_div_floor(shares, self.assets.checked_add(1)?, self.all_shares()?)
    }

    pub(crate) fn assets_for_ceil(&self, shares: u128) -> Option<u128> {
        mul_div_ceil(shares, self.assets.checked_add(1)?, self.all_shares()?)
    }

    fn all_shares(&self) -> Option<u128> {
        self.supply.checked_add(VIRTUAL_SHARES)
    }

    /// Takes `assets` in and gives out the shares for them, rounded down.
    pub(crate) fn deposit(&mut self, holder: &HolderId, assets: u128) -> Result<u128, ShareError> {
        if assets == 0 {
            return Err(ShareError::Nothing);
        }
        let shares = self.shares_for_floor(assets).ok_or(ShareError::Overflow("the sum of shares"))?;
        if shares == 0 {
            return Err(ShareError::NoShares { assets });
        }
        let overflow = || ShareError::Overflow("the sum of shares or of assets");
        let supply = self.supply.checked_add(shares).ok_or_else(overflow)?;
        let sum = self.assets.checked_add(assets).ok_or_else(overflow)?;
        (self.supply, self.assets) = (supply, sum);
        // A balance is at most the supply, which fits.
        *self.holders.entry(holder.clone()).or_default() += shares;
        Ok(shares)
    }

    /// Takes `shares` from their holder, and `assets` for them out of the series.
    pub(crate) fn redeem(&mut self, holder: &HolderId, shares: u128, assets: u128) -> Result<(), ShareError> {
        let left = self.assets.checked_sub(assets).ok_or(ShareError::Overflow("what the series gives"))?;
        self.take(holder, shares)?;
        self.assets = left;
        // A balance is at most the supply.
        self.supply -= shares;
        Ok(())
    }

    /// Moves shares between holders.
    pub(crate) fn transfer(
        &mut self,
        from: &HolderId,
        to: &HolderId,
        shares: u128,
    ) -> Result<(), ShareError> {
        self.take(from, shares)?;
        *self.holders.entry(to.clone()).or_default() += shares;
        Ok(())
    }

    /// Assets that come in for every share alike.
    pub(crate) fn gain(&mut self, assets: u128) -> Result<(), ShareError> {
        let sum = self.assets.checked_add(assets);
        self.assets = sum.ok_or(ShareError::Overflow("the sum of assets"))?;
        Ok(())
    }

    /// Assets after a loss that every share bears alike.
    pub(crate) const fn reduce_to(&mut self, assets: u128) {
        self.assets = assets;
    }

    /// Whether the holder has these shares, which are not none.
    pub(crate) fn check(&self, holder: &HolderId, shares: u128) -> Result<(), ShareError> {
        let balance = self.balance(holder);
        match shares {
            0 => Err(ShareError::Nothing),
            _ if shares > balance => {
                Err(ShareError::Balance { holder: holder.clone(), balance, asked: shares })
            }
            _ => Ok(()),
        }
    }

    fn take(&mut self, holder: &HolderId, shares: u128) -> Result<(), ShareError> {
        self.check(holder, shares)?;
        if let Some(balance) = self.holders.get_mut(holder) {
            *balance -= shares;
            if *balance == 0 {
                self.holders.remove(holder);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
impl Shares {
    /// A share that nobody has, for the audit to find.
    pub(crate) fn conjure(&mut self) {
        self.supply += 1;
    }
}
