//! The exit queue: what leaves a pool, and stays slashable until it has left.
//!
//! An exit leaves the pool's shares at once, at the rate of that moment, and waits for its unbonding to end. Waiting, it
//! earns nothing and loses with everybody: a slashing takes from exits and from the pool in proportion to what each has.

use alloc::collections::BTreeMap;

use bitcoin::Amount;
use serde::{Deserialize, Serialize};
use tapstake_params::{Height, Timelock};

use crate::units::HolderId;

/// The number of an exit in its pool, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ExitId(pub u64);

impl core::fmt::Display for ExitId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

/// An exit that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Exit {
    /// Who is to be paid.
    pub holder: HolderId,
    /// The shares that were given up.
    #[serde(with = "crate::units::decimal")]
    pub shares: u128,
    /// When.
    pub requested_at: Height,
    /// The first height at which it may be paid.
    pub matures_at: Height,
    /// What the shares were worth then, in satoshi: the most that is ever paid.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    pub quoted: Amount,
    /// That, less the losses since, in satoshi.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    pub claim: Amount,
    /// The claim before the run of slashes that divides its losses anew (see [`ExitQueue::lose`]).
    #[serde(skip)]
    before: Amount,
}

/// Exits in the order of their requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExitQueue {
    unbonding: Timelock,
    next: u64,
    total: u64,
    exits: BTreeMap<ExitId, Exit>,
}

impl ExitQueue {
    pub(crate) const fn new(unbonding: Timelock) -> Self {
        ExitQueue { unbonding, next: 0, total: 0, exits: BTreeMap::new() }
    }

    /// The blocks from a request to the first height at which it may be paid.
    pub const fn unbonding(&self) -> Timelock {
        self.unbonding
    }

    /// The sum of the claims.
    pub const fn total(&self) -> Amount {
        Amount::from_sat(self.total)
    }

    /// The exits that wait, oldest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (ExitId, &Exit)> {
        self.exits.iter().map(|(id, exit)| (*id, exit))
    }

    /// The number of exits that wait.
    pub fn len(&self) -> usize {
        self.exits.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.exits.is_empty()
    }

    /// An exit that waits.
    pub fn get(&self, id: ExitId) -> Option<&Exit> {
        self.exits.get(&id)
    }

    /// The exit that is paid first, unless none waits.
    pub fn first(&self) -> Option<ExitId> {
        self.exits.keys().next().copied()
    }

    /// The first height at which every exit may be paid, unless none waits.
    pub fn all_mature_at(&self) -> Option<Height> {
        self.exits.values().map(|exit| exit.matures_at).max()
    }

    /// Puts an exit at the end. The pool sees to it that no sum of its amounts exceeds all bitcoin.
    pub(crate) fn push(
        &mut self,
        holder: HolderId,
        shares: u128,
        quoted: Amount,
        requested_at: Height,
    ) -> ExitId {
        let id = ExitId(self.next);
        let matures_at = self.unbonding.mature_at(requested_at);
        let exit = Exit { holder, shares, requested_at, matures_at, quoted, claim: quoted, before: quoted };
        self.exits.insert(id, exit);
        self.total += quoted.to_sat();
        self.next += 1;
        id
    }

    /// Takes an exit out.
    pub(crate) fn remove(&mut self, id: ExitId) -> Option<Exit> {
        let exit = self.exits.remove(&id)?;
        // The total is the sum of all claims, this one among them.
        self.total -= exit.claim.to_sat();
        Some(exit)
    }

    pub(crate) fn raise_unbonding(&mut self, blocks: Timelock) {
        self.unbonding = self.unbonding.max(blocks);
    }

    /// What the exits that wait have lost since they were quoted.
    pub(crate) fn lost(&self) -> Amount {
        let lost = self.exits.values().map(|exit| exit.quoted.to_sat() - exit.claim.to_sat());
        Amount::from_sat(lost.sum())
    }

    /// The claims of the exits that have lost since they were quoted.
    pub(crate) fn lacking(&self) -> Amount {
        let lacking = self.exits.values().filter(|exit| exit.claim < exit.quoted);
        Amount::from_sat(lacking.map(|exit| exit.claim.to_sat()).sum())
    }

    /// Gives back so much of what the exits have lost, at most all of it, to each in proportion to its loss.
    pub(crate) fn recover(&mut self, amount: u64) {
        let whole = self.lost().to_sat();
        let part_up_to = |lost: u64| {
            let part = u128::from(amount) * u128::from(lost) / u128::from(whole.max(1));
            u64::try_from(part).unwrap_or(amount)
        };
        let mut lost = 0;
        for exit in self.exits.values_mut() {
            let own = exit.quoted.to_sat() - exit.claim.to_sat();
            exit.claim += Amount::from_sat(part_up_to(lost + own) - part_up_to(lost));
            lost += own;
        }
        self.total += amount.min(whole);
    }

    /// From now on, losses are divided by the claims as they are now.
    pub(crate) fn begin_run(&mut self) {
        for exit in self.exits.values_mut() {
            exit.before = exit.claim;
        }
    }

    /// Sets every claim to what it was when the run began, less its part of `loss`, the queue's whole loss since then:
    /// in proportion, in whole satoshi, with the sum exact and the remainder with the last. No part exceeds its claim
    /// if `loss` does not exceed their sum.
    ///
    /// The whole is divided anew for each slash of a run, so that nothing depends on the order of the slashes. A claim may get
    /// one satoshi back that way, which another then bears.
    pub(crate) fn lose(&mut self, loss: u64) {
        let whole: u64 = self.exits.values().map(|exit| exit.before.to_sat()).sum();
        let part_up_to = |claims: u64| {
            let part = u128::from(loss) * u128::from(claims) / u128::from(whole.max(1));
            u64::try_from(part).unwrap_or(loss)
        };
        let mut claims = 0;
        for exit in self.exits.values_mut() {
            let before = exit.before.to_sat();
            let part = part_up_to(claims + before) - part_up_to(claims);
            claims += before;
            exit.claim = Amount::from_sat(before.saturating_sub(part));
        }
        self.total = whole.saturating_sub(loss);
    }
}

#[cfg(test)]
impl ExitQueue {
    /// Satoshi that no exit claims, for the audit to find.
    pub(crate) fn forget(&mut self) {
        for exit in self.exits.values_mut() {
            exit.claim -= Amount::ONE_SAT;
        }
    }
}
