//! Coins set aside, and why.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use bitcoin::OutPoint;

use crate::error::WalletError;
use crate::store::Change;
use crate::wallet::Wallet;

/// Why a coin is locked: it is not chosen for a transaction until it is unlocked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LockReason {
    /// It funds the stake with this staking outpoint, which is not on the chain yet.
    PendingStake(OutPoint),
    /// Somebody locked it, with these words.
    Other(String),
}

impl LockReason {
    pub(crate) fn to_stored(&self) -> String {
        match self {
            LockReason::PendingStake(stake) => format!("stake {stake}"),
            LockReason::Other(words) => format!("other {words}"),
        }
    }

    pub(crate) fn from_stored(text: &str) -> Self {
        let stake = text.strip_prefix("stake ").and_then(|outpoint| OutPoint::from_str(outpoint).ok());
        match stake {
            Some(stake) => LockReason::PendingStake(stake),
            None => LockReason::Other(text.strip_prefix("other ").unwrap_or(text).to_owned()),
        }
    }
}

impl fmt::Display for LockReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LockReason::PendingStake(stake) => write!(f, "funds the pending stake {stake}"),
            LockReason::Other(words) => f.write_str(words),
        }
    }
}

impl Wallet {
    /// Locks coins, durably, all or none.
    ///
    /// # Errors
    ///
    /// [`WalletError::UnknownCoin`] for one that is not an unspent coin of the wallet,
    /// [`WalletError::LockedCoin`] for one that is locked for another reason.
    pub fn lock(&mut self, coins: &[OutPoint], reason: &LockReason) -> Result<(), WalletError> {
        for &outpoint in coins {
            if self.bdk.get_utxo(outpoint).is_none() {
                return Err(WalletError::UnknownCoin(outpoint));
            }
            match self.lock_reason(outpoint) {
                Some(held) if held != *reason => {
                    return Err(WalletError::LockedCoin { outpoint, reason: held.to_string() });
                }
                _ => {}
            }
        }
        let changes: Vec<Change> = coins.iter().map(|&coin| Change::Lock(coin, reason.clone())).collect();
        for &outpoint in coins {
            self.bdk.lock_outpoint(outpoint);
        }
        self.persist(&changes)?;
        self.locks.extend(coins.iter().map(|&coin| (coin, reason.clone())));
        Ok(())
    }

    /// Unlocks coins, durably. Coins that are not locked stay as they are.
    ///
    /// # Errors
    ///
    /// [`WalletError::Database`].
    pub fn unlock(&mut self, coins: &[OutPoint]) -> Result<(), WalletError> {
        let changes: Vec<Change> = coins.iter().map(|&coin| Change::Unlock(coin)).collect();
        for &outpoint in coins {
            self.bdk.unlock_outpoint(outpoint);
        }
        self.persist(&changes)?;
        for outpoint in coins {
            self.locks.remove(outpoint);
        }
        Ok(())
    }

    /// Unlocks every coin that funds this pending stake, and tells which.
    ///
    /// # Errors
    ///
    /// [`WalletError::Database`].
    pub fn unlock_stake(&mut self, stake: OutPoint) -> Result<Vec<OutPoint>, WalletError> {
        let reason = LockReason::PendingStake(stake);
        let coins: Vec<OutPoint> =
            self.locks.iter().filter(|(_, held)| **held == reason).map(|(coin, _)| *coin).collect();
        self.unlock(&coins)?;
        Ok(coins)
    }

    /// The unspent coins that are locked for stakes that are not on the chain yet, by the staking outpoint.
    pub fn pending_stakes(&self) -> BTreeMap<OutPoint, Vec<OutPoint>> {
        let mut stakes: BTreeMap<OutPoint, Vec<OutPoint>> = BTreeMap::new();
        for (&coin, reason) in &self.locks {
            if let (LockReason::PendingStake(stake), Some(_)) = (reason, self.bdk.get_utxo(coin)) {
                stakes.entry(*stake).or_default().push(coin);
            }
        }
        stakes
    }

    /// Why a coin is locked, if it is.
    pub fn lock_reason(&self, outpoint: OutPoint) -> Option<LockReason> {
        if !self.bdk.is_outpoint_locked(outpoint) {
            return None;
        }
        Some(self.locks.get(&outpoint).cloned().unwrap_or_else(|| LockReason::Other("locked".into())))
    }
}
