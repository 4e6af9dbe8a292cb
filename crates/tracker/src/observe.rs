//! Following a stake on the chain.

use bitcoin::secp256k1::{Secp256k1, Verification};
use bitcoin::{Network, OutPoint, Transaction, Txid};
use tapstake_chain::{BlockId, ChainError, ChainSource, Spend, TxInfo};
use tapstake_params::Height;
use tapstake_script::{LeafName, RefundOutput, UnbondingOutput};
use tapstake_tx::delegation::{Delegation, Verified};
use tapstake_tx::{Coin, Stake, Withdrawable};
use tapstake_verifier::expiry;

use crate::boundary::{is_withdrawable, withdrawable_at};
use crate::error::TrackerError;
use crate::record::StakeRecord;
use crate::spend::{SpendKind, classify_spend, classify_unbonding_spend, leaf_spent};
use crate::state::{Origin, StakeState};

/// How often the chain may change under one observation before it is given up.
const ATTEMPTS: u32 = 5;

/// How far below the tip of its making a stake is searched: a reorganisation may have put it lower.
const REORG_MARGIN: u32 = 100;

/// What was seen of a stake at one tip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The end of the chain when it was seen.
    pub tip: BlockId,
    /// The block of the staking transaction.
    pub included: Option<BlockId>,
    /// Where the stake is in its life.
    pub state: StakeState,
    coin: Option<Withdrawable>,
}

impl Observed {
    /// The output that the stake's coins lie in, which can be withdrawn now or later: see
    /// [`StakeState::is_withdrawable`]. `None` before the staking transaction is seen and after the end.
    pub const fn withdrawable(&self) -> Option<&Withdrawable> {
        self.coin.as_ref()
    }
}

/// Follows a stake on the chain from its staking transaction to where its coins are now.
///
/// Everything is asked anew each time, so that a reorganisation is followed in either direction. That outputs are
/// unspent, and that witnesses in blocks are valid, is the source's word.
///
/// # Errors
///
/// [`TrackerError::Network`], [`TrackerError::NotTheStake`], or [`TrackerError::Chain`]; of these
/// [`ChainError::Reorganised`] if the tip does not stand still.
pub fn observe<C: Verification>(
    source: &dyn ChainSource,
    secp: &Secp256k1<C>,
    record: &StakeRecord,
) -> Result<Observed, TrackerError> {
    check_network(source, record.outpoint, record.network)?;
    let stake = record.stake(secp);
    let mut tip = source.tip()?;
    for _ in 0..ATTEMPTS {
        let seen = Walk { source, stake: &stake, tip }.start(secp, record);
        let now = source.tip()?;
        if now == tip {
            return seen;
        }
        tip = now;
    }
    Err(ChainError::Reorganised { height: tip.height }.into())
}

/// Sends the staking transaction of a delegation that a quorum of the covenant has signed, for the first time or again:
/// whoever was stopped between writing the record and sending goes on from here.
///
/// # Errors
///
/// [`TrackerError::Delegation`] if an input is not signed yet, [`TrackerError::Network`], [`TrackerError::Chain`].
pub fn resume(source: &dyn ChainSource, delegation: &Delegation<Verified>) -> Result<Txid, TrackerError> {
    check_network(source, delegation.stake().outpoint(), delegation.network())?;
    Ok(source.broadcast(&delegation.staking_tx()?)?)
}

fn check_network(source: &dyn ChainSource, outpoint: OutPoint, stake: Network) -> Result<(), TrackerError> {
    let source_network = source.network();
    if stake != source_network {
        return Err(TrackerError::Network { outpoint, stake, source_network });
    }
    Ok(())
}

/// One way along the life of a stake, under one tip.
struct Walk<'a> {
    source: &'a dyn ChainSource,
    stake: &'a Stake,
    tip: BlockId,
}

impl Walk<'_> {
    fn start<C: Verification>(
        &self,
        secp: &Secp256k1<C>,
        record: &StakeRecord,
    ) -> Result<Observed, TrackerError> {
        let coin = self.stake.coin();
        let Some(TxInfo { tx, block }) = locate(self.source, record, self.tip)? else {
            let conflict = match &record.staking_tx {
                Some(tx) => self.conflict(tx)?,
                None => None,
            };
            return Ok(self.seen(None, conflict.unwrap_or(StakeState::Prepared), None));
        };
        if tx.output.get(coin.outpoint.vout as usize) != Some(&coin.to_txout()) {
            return Err(TrackerError::NotTheStake(coin.outpoint));
        }
        let since = block.map(|block| block.height);
        let (state, left) = match self.source.spend(&coin.outpoint, coin.output.script_pubkey(), since)? {
            None => (self.staked(since), Some(Withdrawable::from(coin))),
            Some(spend) => match classify_spend(secp, self.stake, &spend.tx, spend.input_index) {
                SpendKind::Unbonding(coin) => self.unbonding(&spend, &coin)?,
                SpendKind::Expansion => {
                    (StakeState::Expanded { txid: spend.txid, height: height(&spend) }, None)
                }
                SpendKind::Slashing(refund) => self.slashed(Origin::Staking, &spend, refund.as_ref())?,
                SpendKind::Withdrawal => (withdrawn(Origin::Staking, &spend), None),
                SpendKind::Unknown => (unknown(Origin::Staking, &spend), None),
            },
        };
        Ok(self.seen(block, state, left))
    }

    fn seen(&self, included: Option<BlockId>, state: StakeState, coin: Option<Withdrawable>) -> Observed {
        Observed { tip: self.tip, included, state, coin }
    }

    fn staked(&self, height: Option<Height>) -> StakeState {
        let Some(height) = height else { return StakeState::InMempool };
        let (terms, tip) = (self.stake.terms(), self.tip.height);
        let withdrawable_at = withdrawable_at(height, terms.staking_time);
        if is_withdrawable(height, terms.staking_time, tip) {
            return StakeState::Expired { height, withdrawable_at };
        }
        StakeState::Confirmed {
            height,
            confirmations: height.confirmations(tip),
            active_until: expiry(height, terms.staking_time, terms.unbonding_time),
            withdrawable_at,
        }
    }

    fn unbonding(
        &self,
        unbonding: &Spend,
        coin: &Coin<UnbondingOutput>,
    ) -> Result<(StakeState, Option<Withdrawable>), TrackerError> {
        let height = height(unbonding);
        if let Some(spend) = self.source.spend(&coin.outpoint, coin.output.script_pubkey(), height)? {
            return match classify_unbonding_spend(self.stake, &coin.output, &spend.tx, spend.input_index) {
                SpendKind::Slashing(refund) => self.slashed(Origin::Unbonding, &spend, refund.as_ref()),
                SpendKind::Withdrawal => Ok((withdrawn(Origin::Unbonding, &spend), None)),
                SpendKind::Unbonding(_) | SpendKind::Expansion | SpendKind::Unknown => {
                    Ok((unknown(Origin::Unbonding, &spend), None))
                }
            };
        }
        let (txid, time) = (unbonding.txid, self.stake.terms().unbonding_time);
        let state = match height {
            Some(height) if is_withdrawable(height, time, self.tip.height) => {
                StakeState::Unbonded { txid, height, withdrawable_at: withdrawable_at(height, time) }
            }
            _ => {
                let withdrawable_at = height.map(|height| withdrawable_at(height, time));
                StakeState::Unbonding { txid, height, withdrawable_at }
            }
        };
        Ok((state, Some(Withdrawable::from(coin))))
    }

    fn slashed(
        &self,
        from: Origin,
        slashing: &Spend,
        refund: Option<&Coin<RefundOutput>>,
    ) -> Result<(StakeState, Option<Withdrawable>), TrackerError> {
        let (txid, height) = (slashing.txid, height(slashing));
        let Some(coin) = refund else {
            let state = StakeState::Slashed { from, txid, height, refund: None, withdrawable_at: None };
            return Ok((state, None));
        };
        if let Some(spend) = self.source.spend(&coin.outpoint, coin.output.script_pubkey(), height)? {
            let state = match leaf_spent(&coin.output, &spend.tx, spend.input_index) {
                Some(LeafName::Timelock) => withdrawn(Origin::Refund, &spend),
                _ => unknown(Origin::Refund, &spend),
            };
            return Ok((state, None));
        }
        let (refund, time) = (coin.outpoint, self.stake.terms().unbonding_time);
        let state = match height {
            Some(height) if is_withdrawable(height, time, self.tip.height) => {
                let withdrawable_at = withdrawable_at(height, time);
                StakeState::RefundWithdrawable { from, txid, height, refund, withdrawable_at }
            }
            _ => {
                let withdrawable_at = height.map(|height| withdrawable_at(height, time));
                StakeState::Slashed { from, txid, height, refund: Some(refund), withdrawable_at }
            }
        };
        Ok((state, Some(Withdrawable::from(coin))))
    }

    /// What else spends an input of the staking transaction. A transaction in a block outweighs one that waits.
    fn conflict(&self, staking_tx: &Transaction) -> Result<Option<StakeState>, TrackerError> {
        let own = self.stake.outpoint().txid;
        let mut found = None;
        for input in &staking_tx.input {
            let coin = input.previous_output;
            let Some(spend) = self.spend_of_any(&coin)? else { continue };
            if spend.txid == own {
                continue;
            }
            let (txid, height) = (spend.txid, height(&spend));
            let conflict = Some(StakeState::Conflicted { coin, txid, height });
            if height.is_some() {
                return Ok(conflict);
            }
            found = found.or(conflict);
        }
        Ok(found)
    }

    /// What spends an output that is no stake's; `None` also where the source cannot tell.
    fn spend_of_any(&self, coin: &OutPoint) -> Result<Option<Spend>, TrackerError> {
        let cannot_tell = |error: &ChainError| {
            matches!(error, ChainError::TxIndexMissing { .. } | ChainError::UnknownOutpoint { .. })
        };
        let funding = match self.source.transaction(&coin.txid) {
            Ok(Some(funding)) => funding,
            Ok(None) => return Ok(None),
            Err(error) if cannot_tell(&error) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let Some(output) = funding.tx.output.get(coin.vout as usize) else { return Ok(None) };
        let since = funding.block.map(|block| block.height);
        match self.source.spend(coin, &output.script_pubkey, since) {
            Err(error) if cannot_tell(&error) => Ok(None),
            answer => Ok(answer?),
        }
    }
}

/// Finds the staking transaction; without a transaction index where it was last, else block by block.
fn locate(
    source: &dyn ChainSource,
    record: &StakeRecord,
    tip: BlockId,
) -> Result<Option<TxInfo>, TrackerError> {
    let txid = record.outpoint.txid;
    match source.transaction(&txid) {
        Err(ChainError::TxIndexMissing { .. }) => {}
        answer => return Ok(answer?),
    }
    let last = record.included_at.filter(|height| *height <= tip.height);
    if let Some(found) = last.map(|height| source.inclusion_in(&txid, height)).transpose()?.flatten() {
        return Ok(Some(TxInfo { tx: found.tx, block: Some(found.block) }));
    }
    tracing::info!(%txid, from = %record.made_at, "no transaction index: looking through blocks");
    for height in record.made_at.to_u32().saturating_sub(REORG_MARGIN)..=tip.height.to_u32() {
        let height = Height::new(height);
        let block = source.block(height)?;
        let id = BlockId { height, hash: block.block_hash() };
        if let Some(tx) = block.txdata.into_iter().find(|tx| tx.compute_txid() == txid) {
            return Ok(Some(TxInfo { tx, block: Some(id) }));
        }
    }
    Ok(None)
}

fn height(spend: &Spend) -> Option<Height> {
    spend.block.map(|block| block.height)
}

fn withdrawn(from: Origin, spend: &Spend) -> StakeState {
    StakeState::Withdrawn { from, txid: spend.txid, height: height(spend) }
}

fn unknown(from: Origin, spend: &Spend) -> StakeState {
    StakeState::SpentUnknown { from, txid: spend.txid, height: height(spend) }
}
