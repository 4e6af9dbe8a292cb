//! Where a stake is in its life.

use std::fmt;

use bitcoin::{OutPoint, Txid};
use serde::{Deserialize, Serialize};
use tapstake_params::Height;

/// Where a stake is in its life, as seen from one tip of the chain.
///
/// Heights called `withdrawable_at` are of the first block that may hold the withdrawal
/// ([`withdrawable_at`](crate::withdrawable_at)); a height of `None` means the mempool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum StakeState {
    /// The source has not seen the staking transaction: not sent, lost on the way, or dropped by the mempool. It can
    /// be sent again with [`resume`](crate::resume).
    Prepared,
    /// Another transaction spends an input of the staking transaction. If that one is in a block, the stake will
    /// never be: its coins are the wallet's.
    Conflicted {
        /// The coin both spend.
        coin: OutPoint,
        /// The other transaction.
        txid: Txid,
        /// Its block.
        height: Option<Height>,
    },
    /// The staking transaction waits for a block.
    InMempool,
    /// Locked.
    Confirmed {
        /// The block of the staking transaction.
        height: Height,
        /// Confirmations, the block itself counted.
        confirmations: u32,
        /// The first tip at which it is not active any more: rule 18 of the verifier.
        active_until: Height,
        /// The first block that may hold its withdrawal.
        withdrawable_at: Height,
    },
    /// The timelock is over: it can be withdrawn in the next block.
    Expired {
        /// The block of the staking transaction.
        height: Height,
        /// The first block that might have held its withdrawal.
        withdrawable_at: Height,
    },
    /// Unbonded early, its unbonding output still locked.
    Unbonding {
        /// The unbonding transaction.
        txid: Txid,
        /// Its block.
        height: Option<Height>,
        /// The first block that may hold the withdrawal, known once the transaction is in a block.
        withdrawable_at: Option<Height>,
    },
    /// Unbonded early, and the unbonding output can be withdrawn in the next block.
    Unbonded {
        /// The unbonding transaction.
        txid: Txid,
        /// Its block.
        height: Height,
        /// The first block that might have held the withdrawal.
        withdrawable_at: Height,
    },
    /// Slashed, the refund still locked.
    Slashed {
        /// What was slashed.
        from: Origin,
        /// The slashing transaction.
        txid: Txid,
        /// Its block.
        height: Option<Height>,
        /// The refund; `None` if the slashing transaction has no refund output.
        refund: Option<OutPoint>,
        /// The first block that may hold the refund's withdrawal, known once the transaction is in a block.
        withdrawable_at: Option<Height>,
    },
    /// Slashed, and the refund can be withdrawn in the next block.
    RefundWithdrawable {
        /// What was slashed.
        from: Origin,
        /// The slashing transaction.
        txid: Txid,
        /// Its block.
        height: Height,
        /// The refund.
        refund: OutPoint,
        /// The first block that might have held the refund's withdrawal.
        withdrawable_at: Height,
    },
    /// Withdrawn by the staker: the end.
    Withdrawn {
        /// What was withdrawn.
        from: Origin,
        /// The withdrawal.
        txid: Txid,
        /// Its block.
        height: Option<Height>,
    },
    /// Moved into a larger or longer stake: the end of this one.
    Expanded {
        /// The staking transaction of the new stake.
        txid: Txid,
        /// Its block.
        height: Option<Height>,
    },
    /// Spent in a way that the rules of staking do not know.
    SpentUnknown {
        /// Which output was spent.
        from: Origin,
        /// The transaction that spent it.
        txid: Txid,
        /// Its block.
        height: Option<Height>,
    },
}

/// The outputs that a stake's coins lie in, one after another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The output of the staking transaction.
    Staking,
    /// The output of the unbonding transaction.
    Unbonding,
    /// The second output of a slashing transaction.
    Refund,
}

impl StakeState {
    /// The state's name, in one word, as JSON has it.
    pub const fn name(&self) -> &'static str {
        match self {
            StakeState::Prepared => "prepared",
            StakeState::Conflicted { .. } => "conflicted",
            StakeState::InMempool => "in_mempool",
            StakeState::Confirmed { .. } => "confirmed",
            StakeState::Expired { .. } => "expired",
            StakeState::Unbonding { .. } => "unbonding",
            StakeState::Unbonded { .. } => "unbonded",
            StakeState::Slashed { .. } => "slashed",
            StakeState::RefundWithdrawable { .. } => "refund_withdrawable",
            StakeState::Withdrawn { .. } => "withdrawn",
            StakeState::Expanded { .. } => "expanded",
            StakeState::SpentUnknown { .. } => "spent_unknown",
        }
    }

    /// Whether an output can be withdrawn in the next block.
    pub const fn is_withdrawable(&self) -> bool {
        matches!(
            self,
            StakeState::Expired { .. } | StakeState::Unbonded { .. } | StakeState::RefundWithdrawable { .. }
        )
    }

    /// Whether it is over, by a block: nothing of the stake is left to be followed or withdrawn, or it never was one.
    pub const fn has_ended(&self) -> bool {
        match self {
            StakeState::Conflicted { height, .. }
            | StakeState::Withdrawn { height, .. }
            | StakeState::Expanded { height, .. }
            | StakeState::SpentUnknown { height, .. }
            | StakeState::Slashed { height, refund: None, .. } => height.is_some(),
            _ => false,
        }
    }

    /// The first block that may hold, or might have held, the withdrawal of what the stake lies in now.
    pub const fn withdrawable_at(&self) -> Option<Height> {
        match *self {
            StakeState::Confirmed { withdrawable_at, .. }
            | StakeState::Expired { withdrawable_at, .. }
            | StakeState::Unbonded { withdrawable_at, .. }
            | StakeState::RefundWithdrawable { withdrawable_at, .. } => Some(withdrawable_at),
            StakeState::Unbonding { withdrawable_at, .. } | StakeState::Slashed { withdrawable_at, .. } => {
                withdrawable_at
            }
            StakeState::Prepared
            | StakeState::Conflicted { .. }
            | StakeState::InMempool
            | StakeState::Withdrawn { .. }
            | StakeState::Expanded { .. }
            | StakeState::SpentUnknown { .. } => None,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Origin::Staking => "staking",
            Origin::Unbonding => "unbonding",
            Origin::Refund => "refund",
        })
    }
}

/// A height, or the mempool.
struct Place(Option<Height>);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(height) => write!(f, "in block {height}"),
            None => f.write_str("in the mempool"),
        }
    }
}

impl fmt::Display for StakeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            StakeState::Prepared => f.write_str("prepared, not seen on the chain"),
            StakeState::Conflicted { coin, txid, height } => {
                write!(f, "conflicted: {txid} {} spends {coin} too", Place(height))
            }
            StakeState::InMempool => f.write_str("waiting in the mempool"),
            StakeState::Confirmed { height, confirmations, active_until, withdrawable_at } => {
                let s = if confirmations == 1 { "" } else { "s" };
                write!(
                    f,
                    "locked in block {height}, {confirmations} confirmation{s}, active below tip {active_until}, withdrawable in block {withdrawable_at}"
                )
            }
            StakeState::Expired { height, withdrawable_at } => {
                write!(f, "expired: locked in block {height}, withdrawable since block {withdrawable_at}")
            }
            StakeState::Unbonding { txid, height, withdrawable_at } => {
                write!(f, "unbonding by {txid} {}", Place(height))?;
                withdrawable_at.map_or(Ok(()), |at| write!(f, ", withdrawable in block {at}"))
            }
            StakeState::Unbonded { txid, height, withdrawable_at } => {
                write!(f, "unbonded by {txid} in block {height}, withdrawable since block {withdrawable_at}")
            }
            StakeState::Slashed { from, txid, height, refund, withdrawable_at } => {
                write!(f, "slashed from the {from} output by {txid} {}", Place(height))?;
                if refund.is_none() {
                    f.write_str(", without a refund")?;
                }
                withdrawable_at.map_or(Ok(()), |at| write!(f, ", refund withdrawable in block {at}"))
            }
            StakeState::RefundWithdrawable { from, txid, height, withdrawable_at, .. } => write!(
                f,
                "slashed from the {from} output by {txid} in block {height}, refund withdrawable since block {withdrawable_at}"
            ),
            StakeState::Withdrawn { from, txid, height } => {
                write!(f, "withdrawn from the {from} output by {txid} {}", Place(height))
            }
            StakeState::Expanded { txid, height } => {
                write!(f, "expanded into the stake of {txid} {}", Place(height))
            }
            StakeState::SpentUnknown { from, txid, height } => {
                write!(f, "{from} output spent in an unknown way by {txid} {}", Place(height))
            }
        }
    }
}
