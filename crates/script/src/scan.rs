use bitcoin::secp256k1::{Secp256k1, Verification};
use bitcoin::{Amount, OutPoint, Transaction, Txid};
use tapstake_params::{BoundsError, Height, Schedule, ScheduleError, TimelockError, Window};

use crate::find::{FindError, find_output};
use crate::op_return::{OpReturn, OpReturnError};
use crate::terms::{Providers, StakeTerms, TermsError};

/// A transaction that says it is a phase-1 stake of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scanned {
    /// It locks what it says.
    Stake(ScannedStake),
    /// It carries the network's tag, but locks nothing under these parameters.
    Faulty {
        /// The transaction.
        txid: Txid,
        /// What is wrong with it.
        fault: StakeFault,
    },
}

/// A phase-1 stake found by its OP_RETURN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScannedStake {
    /// The staking output.
    pub outpoint: OutPoint,
    /// Its value.
    pub value: Amount,
    /// Its terms.
    pub terms: StakeTerms,
    /// The parameters version that applies at its height.
    pub params_version: u32,
    /// The bound it breaks, if it breaks one.
    pub out_of_bounds: Option<BoundsError>,
    /// Whether it is within the cap of the phase-1 version at its height.
    pub window: Window,
}

/// Why a tagged transaction is no stake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StakeFault {
    /// More than one OP_RETURN has a stake's shape.
    #[error(transparent)]
    OpReturn(#[from] OpReturnError),
    /// The timelock is 0.
    #[error(transparent)]
    Timelock(#[from] TimelockError),
    /// One key has two roles.
    #[error(transparent)]
    Terms(#[from] TermsError),
    /// The staking output is missing, or there is more than one.
    #[error(transparent)]
    Output(#[from] FindError),
    /// No parameters apply at this height.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
}

/// Says whether a transaction in the block at `height` is a phase-1 stake, and which.
///
/// `None` for a coinbase, and where no OP_RETURN carries the tag in force at that height. Several OP_RETURNs
/// of a stake's shape are a fault if one of them carries that tag.
pub fn scan_transaction<C: Verification>(
    secp: &Secp256k1<C>,
    tx: &Transaction,
    height: Height,
    schedule: &Schedule,
) -> Option<Scanned> {
    // Nearly every transaction ends here, without a hash or an allocation.
    let tag = schedule.phase_1_at(height)?.tag;
    let tagged = tx
        .output
        .iter()
        .any(|output| OpReturn::parse(&output.script_pubkey).is_some_and(|data| data.tag == tag));
    if !tagged || tx.is_coinbase() {
        return None;
    }
    let txid = tx.compute_txid();
    Some(match stake(secp, tx, txid, height, schedule) {
        Ok(stake) => Scanned::Stake(stake),
        Err(fault) => Scanned::Faulty { txid, fault },
    })
}

fn stake<C: Verification>(
    secp: &Secp256k1<C>,
    tx: &Transaction,
    txid: Txid,
    height: Height,
    schedule: &Schedule,
) -> Result<ScannedStake, StakeFault> {
    let data = OpReturn::find(tx)?.expect("the caller saw one");
    let params = schedule.at(height)?;
    let terms = StakeTerms::under(params, data.staker, Providers::one(data.provider), data.timelock()?)?;
    let vout = find_output(tx, terms.staking_output(secp).script_pubkey())?;
    let value = tx.output[vout as usize].value;
    let window = schedule.phase_1_at(height).expect("the caller read its tag").window(height);
    Ok(ScannedStake {
        outpoint: OutPoint { txid, vout },
        value,
        out_of_bounds: params.check_stake(value, terms.staking_time).err(),
        terms,
        params_version: params.version,
        window,
    })
}
