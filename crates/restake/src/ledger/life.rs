//! How stakes come in, end, come back, and become others.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use bitcoin::OutPoint;
use tapstake_params::Height;

use super::{Change, Ledger, Stake, Turn};
use crate::BookError;
use crate::allocation::Leaving;
use crate::rewards::Position;
use crate::stake::{AdmittedStake, End, StakeStatus};
use crate::table::id;

impl Ledger {
    /// Whether a stake can come in, alone or as what another one has become.
    pub(crate) fn check_admissible(
        &self,
        stake: &AdmittedStake,
        expanded: Option<u32>,
        height: Height,
    ) -> Result<(), BookError> {
        let (data, outpoint) = (stake.data(), stake.outpoint());
        if self.stake_ids.contains_key(&outpoint) {
            return Err(BookError::StakeExists(outpoint));
        }
        let (inclusion, expires_at) = (data.inclusion_height, data.expires_at);
        // What a stake of the books has become is there, be it late or of a provider that was slashed since.
        if expanded.is_none() {
            for provider in &data.providers {
                self.registry.not_slashed(provider)?;
            }
        }
        if height < inclusion || (expires_at <= height && expanded.is_none()) {
            return Err(BookError::OutsideItsTime { outpoint, inclusion, expires_at, height });
        }
        for output in [outpoint, data.unbonding] {
            // Also by a stake that is spent itself: nobody has ever seen this one unspent.
            if let Some(by) = self.spent.get(&output) {
                return Err(BookError::SpentStake { outpoint, by: self.stakes[*by].outpoint });
            }
        }
        self.check_inputs(&outpoint, &data.spends)?;
        id(self.stakes.len())?;
        id(self.owners.len())?;
        id(self.registry.providers.len().saturating_add(data.providers.len())).map(drop)
    }

    /// Refuses a stake if another one is made of what it spends.
    fn check_inputs(&self, outpoint: &OutPoint, spends: &[OutPoint]) -> Result<(), BookError> {
        for input in spends {
            if let Some(by) = self.spender(input).filter(|by| by.txid != outpoint.txid) {
                return Err(BookError::SpentInput { outpoint: *outpoint, input: *input, by });
            }
        }
        Ok(())
    }

    /// The stakes of these books that a stake's transaction spends, as themselves or as their unbonding outputs.
    pub(crate) fn spent_by(&self, stake: &AdmittedStake) -> impl Iterator<Item = u32> {
        self.known(&stake.data().spends)
    }

    fn known(&self, spends: &[OutPoint]) -> impl Iterator<Item = u32> {
        let known = |input| self.stake_ids.get(input).or_else(|| self.unbondings.get(input)).copied();
        spends.iter().filter_map(known)
    }

    /// Refuses a stake if a living one is made of this output of it.
    fn check_unspent(&self, outpoint: &OutPoint, output: &OutPoint) -> Result<(), BookError> {
        match self.spender(output) {
            Some(by) => Err(BookError::SpentStake { outpoint: *outpoint, by }),
            None => Ok(()),
        }
    }

    /// A stake whose transaction spends an output, unless all that it made are gone themselves, as in a history that is no more.
    fn spender(&self, output: &OutPoint) -> Option<OutPoint> {
        let by = &self.stakes[*self.spent.get(output)?];
        let there = |stake: &&Stake| stake.status != StakeStatus::Spent;
        // So rare that it pays to look for other stakes of the transaction instead of keeping them.
        let mut made = self.stakes.iter().filter(|stake| stake.outpoint.txid == by.outpoint.txid);
        Some(by).filter(there).or_else(|| made.find(there)).map(|stake| stake.outpoint)
    }

    /// Takes a stake in that was found admissible, which leaves nothing to fail.
    pub(crate) fn enter(&mut self, stake: &AdmittedStake, pool: Option<u32>) -> Result<(), BookError> {
        let (data, outpoint) = (stake.data(), stake.outpoint());
        let expires_at = data.expires_at;
        let index = id(self.stakes.len())?;
        let owner = self.intern(&data.owner)?;
        let mut providers = Vec::with_capacity(data.providers.len());
        for key in &data.providers {
            let provider = self.registry.intern(key)?;
            self.registry.providers[provider].stakes.push(index);
            providers.push(provider);
        }
        self.stake_ids.insert(outpoint, index);
        self.unbondings.insert(data.unbonding, index);
        self.spent.extend(data.spends.iter().map(|input| (*input, index)));
        self.expiries.insert((expires_at, index));
        self.stakes.push(Stake {
            outpoint,
            spends: data.spends.clone().into_boxed_slice(),
            value: data.value,
            slashed: data.slashed,
            loss: stake.loss(),
            loss_in_unbonding: stake.loss_in_unbonding(),
            owner,
            providers: providers.into_boxed_slice(),
            expires_at,
            unbonding_time: data.unbonding_time,
            status: StakeStatus::Active,
            pool,
            positions: Vec::new(),
        });
        Ok(())
    }

    /// The end of a stake, to be made.
    pub(crate) fn end(&self, outpoint: &OutPoint, end: End, height: Height) -> Result<Change, BookError> {
        let stake = self.stake_id(outpoint)?;
        let row = &self.stakes[stake];
        let (outpoint, status, expires_at) = (*outpoint, row.status, row.expires_at);
        let unbonding_time = u32::from(row.unbonding_time.blocks());
        let unbonding = StakeStatus::Unbonding { until: height.saturating_add(unbonding_time) };
        let (status, turn) = match (status, end) {
            (StakeStatus::Active, End::Unbonding) => (unbonding, Turn::Left { from: height }),
            (StakeStatus::Active, End::Expired) if height < expires_at => {
                return Err(BookError::NotExpired { outpoint, expires_at, height });
            }
            (StakeStatus::Active, End::Expired) => {
                let until = expires_at.saturating_add(unbonding_time);
                (StakeStatus::Expired { until }, Turn::Left { from: expires_at })
            }
            (StakeStatus::Expired { .. }, End::Unbonding) => (unbonding, Turn::Left { from: expires_at }),
            (
                StakeStatus::Active | StakeStatus::Expired { .. } | StakeStatus::Unbonding { .. },
                End::Spent,
            ) => (StakeStatus::Spent, Turn::Left { from: height }),
            _ => return Err(BookError::StakeEnded { outpoint, status }),
        };
        self.retirement(stake, status, turn, height)
    }

    /// The return of a stake to its pool, to be made.
    pub(crate) fn returned(&self, stake: u32, height: Height) -> Result<Change, BookError> {
        match self.stakes[stake].status {
            // Nothing leads out of this; what is left of it comes back nevertheless.
            StakeStatus::Slashed => Ok(Change::default()),
            _ => self.retirement(stake, StakeStatus::Returned, Turn::Gone, height),
        }
    }

    /// The end of a stake whose output has become another stake, to be made: services rely on that one from now on for what
    /// this one stood for.
    pub(crate) fn expansion(
        &self,
        old: u32,
        new: &AdmittedStake,
        height: Height,
    ) -> Result<Change, BookError> {
        let row = &self.stakes[old];
        if matches!(row.status, StakeStatus::Returned | StakeStatus::Expanded | StakeStatus::Slashed) {
            return Err(BookError::StakeEnded { outpoint: row.outpoint, status: row.status });
        }
        if row.status == StakeStatus::Spent {
            self.check_made_of(row)?;
        }
        if !new.data().spends.contains(&row.outpoint) {
            return Err(BookError::NotAnExpansion { outpoint: new.outpoint(), of: row.outpoint });
        }
        self.check_admissible(new, Some(old), height)?;
        let (index, mut change) = (
            id(self.stakes.len())?,
            self.retirement(old, StakeStatus::Expanded, Turn::Left { from: height }, height)?,
        );
        let keys = row.providers.iter().map(|provider| self.registry.providers[*provider].key);
        if !keys.into_iter().any(|key| new.data().providers.contains(&key)) {
            // Nobody who could have slashed the old one can slash the new one.
            return Ok(change);
        }
        // All that the old one stands for from now on, what it was leaving before among it.
        let mut left: BTreeMap<u32, Leaving> = self.leaving_of(old, height).collect();
        left.extend(change.leaving.iter().filter_map(|((_, service), left)| Some((*service, (*left)?))));
        change.leaving.extend(left.into_iter().map(|(service, left)| ((index, service), Some(left))));
        Ok(change)
    }

    /// Refuses the way back of a stake while what it was made of is there, or another stake is made of it.
    fn check_made_of(&self, row: &Stake) -> Result<(), BookError> {
        let outpoint = row.outpoint;
        self.check_inputs(&outpoint, &row.spends)?;
        let lives = |id: &u32| {
            let status = self.stakes[*id].status;
            !matches!(status, StakeStatus::Spent | StakeStatus::Returned | StakeStatus::Expanded)
        };
        match self.known(&row.spends).find(lives) {
            Some(id) => {
                let Stake { outpoint: spent, status, .. } = self.stakes[id];
                Err(BookError::SpendsStake { outpoint, spent, status })
            }
            None => Ok(()),
        }
    }

    /// The way back of a stake that was thought to be spent or expanded, to be made.
    pub(crate) fn revival(&self, stake: u32, height: Height) -> Result<Change, BookError> {
        let row = &self.stakes[stake];
        let Stake { outpoint, status, expires_at, .. } = *row;
        if !matches!(status, StakeStatus::Spent | StakeStatus::Expanded) {
            return Err(BookError::StakeLives { outpoint, status });
        }
        self.check_unspent(&outpoint, &outpoint)?;
        // So rare that it pays to look instead of keeping it beside every stake.
        if let Some((unbonding, _)) = self.unbondings.iter().find(|(_, id)| **id == stake) {
            self.check_unspent(&outpoint, unbonding)?;
        }
        self.check_made_of(row)?;
        let until = expires_at.saturating_add(row.unbonding_time.blocks().into());
        let expired = StakeStatus::Expired { until };
        let status = if height < expires_at { StakeStatus::Active } else { expired };
        self.retirement(stake, status, Turn::Left { from: height }, height)
    }

    fn retirement(
        &self,
        stake: u32,
        status: StakeStatus,
        turn: Turn,
        height: Height,
    ) -> Result<Change, BookError> {
        let mut change = Change::default();
        self.plan(&mut change, stake, self.retired(stake)?, status, turn, height)?;
        Ok(change)
    }

    /// The stake's positions, all settled and counting for nothing.
    pub(super) fn retired(&self, stake: u32) -> Result<Vec<Position>, BookError> {
        let positions = self.stakes[stake].positions.iter();
        positions
            .map(|position| {
                let rewards = &self.registry.accumulators[position.accumulator].rewards;
                Ok(Position { nominal: 0, ..position.settled(rewards)? })
            })
            .collect()
    }
}
