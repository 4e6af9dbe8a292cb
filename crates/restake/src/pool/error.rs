use bitcoin::{Amount, OutPoint};
use tapstake_params::Height;

use super::Backing;
use crate::queue::ExitId;
use crate::shares::ShareError;

/// Why a pool refuses. It has not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// The shares do not move.
    #[error(transparent)]
    Shares(#[from] ShareError),
    /// Every satoshi of the pool was slashed.
    #[error("the pool has lost everything and is frozen")]
    Frozen,
    /// One receipt per outpoint, for ever.
    #[error("stake {0} has been minted for before")]
    AlreadyMinted(OutPoint),
    /// The pool would owe more than it has.
    #[error(
        "after the mint the pool would owe {} sat and have {} sat: make good or write down what is missing first",
        after.issued.to_sat(), after.reserves.to_sat()
    )]
    Unbacked {
        /// What the mint would lead to.
        after: Backing,
    },
    /// The pool has what nobody is owed: whoever came now would have a part in it.
    #[error(
        "after the mint the pool would owe {} sat and have {} sat: write up or take what nobody is owed first",
        after.issued.to_sat(), after.reserves.to_sat()
    )]
    Surplus {
        /// What the mint would lead to.
        after: Backing,
    },
    /// The pool has less than it owes: whoever is paid now is paid by those who are not.
    #[error(
        "the pool owes {} sat and has {} sat: no exit is paid before what is missing is made good or written down",
        backing.issued.to_sat(), backing.reserves.to_sat()
    )]
    Missing {
        /// What the pool has against what it owes.
        backing: Backing,
    },
    /// More than all bitcoin.
    #[error("{} sat more is more than there is", amount.to_sat())]
    TooMuch {
        /// What would come in.
        amount: Amount,
    },
    /// A reward while nobody holds a share: hold it until somebody does.
    #[error("nobody holds a share that could earn a reward")]
    NoHolders,
    /// The stake is not in this pool.
    #[error("stake {0} is not in the pool")]
    UnknownStake(OutPoint),
    /// The stake has left the pool: there is nothing to slash and nothing to end.
    #[error("stake {0} has left the pool")]
    StakeEnded(OutPoint),
    /// A UTXO is slashed once.
    #[error("stake {0} is slashed already")]
    AlreadySlashed(OutPoint),
    /// More than the stake.
    #[error("{} sat are more than the {} sat of stake {outpoint}", amount.to_sat(), value.to_sat())]
    AboveStake {
        /// The stake.
        outpoint: OutPoint,
        /// What would be lost or brought back.
        amount: Amount,
        /// What the stake has.
        value: Amount,
    },
    /// More than the pool has and owes nobody.
    #[error("{} sat are more than the {} sat that nobody is owed", amount.to_sat(), surplus.to_sat())]
    NotSurplus {
        /// What would be given.
        amount: Amount,
        /// What nobody is owed.
        surplus: Amount,
    },
    /// The stake has not ended, so it cannot come back.
    #[error("stake {0} has not left the pool")]
    StakeLives(OutPoint),
    /// More than the rewards that nothing was priced or divided with yet.
    #[error(
        "{} sat are more than the {} sat of rewards since shares came or were given up, or a loss was borne",
        amount.to_sat(), rewards.to_sat()
    )]
    NotEarned {
        /// What would be taken back.
        amount: Amount,
        /// The rewards since then.
        rewards: Amount,
    },
    /// Somebody would be left with shares of nothing.
    #[error("{} sat would leave nothing to the other shares", amount.to_sat())]
    LeavesNothing {
        /// What would leave.
        amount: Amount,
    },
    /// No such exit, or it was paid.
    #[error("exit {0} does not wait")]
    UnknownExit(ExitId),
    /// The exit's unbonding has not ended.
    #[error("exit {id} is unbonding up to height {matures_at}, it is {height}")]
    Unbonding {
        /// The exit.
        id: ExitId,
        /// The first height at which it may be paid.
        matures_at: Height,
        /// The height at which it was to be paid.
        height: Height,
    },
    /// Somebody has asked before.
    #[error("exit {id} waits behind exit {first}, which is paid first")]
    NotFirst {
        /// The exit.
        id: ExitId,
        /// The first that waits.
        first: ExitId,
    },
    /// A stake has become one that is worth more, and nobody is named to get shares for that.
    #[error("stake {outpoint} is worth {} sat more than before: name a holder for their shares", more.to_sat())]
    NoReceiver {
        /// The new stake.
        outpoint: OutPoint,
        /// What it is worth more.
        more: Amount,
    },
    /// The exit cannot be paid yet.
    #[error("{} sat are due and the pool has {} sat in cash: end a stake first", due.to_sat(), cash.to_sat())]
    NotEnoughCash {
        /// What is due.
        due: Amount,
        /// What is there.
        cash: Amount,
    },
    /// More than is missing and than what was lost and has not come back.
    #[error("{} sat are more than the {most} sat that are missing, or were lost and have not come back", amount.to_sat())]
    AboveLoss {
        /// What would come in.
        amount: Amount,
        /// What is missing, or was lost and has not come back, in satoshi.
        most: u128,
    },
    /// An exit has lost, and the pool has what nobody is owed.
    #[error(
        "exit {id} has lost {} sat, and {} sat are owed to nobody: write up or take these first",
        lost.to_sat(), surplus.to_sat()
    )]
    Unsettled {
        /// The exit.
        id: ExitId,
        /// What it has lost.
        lost: Amount,
        /// What nobody is owed.
        surplus: Amount,
    },
    /// More than is missing.
    #[error("{} sat are more than the {} sat that are missing", amount.to_sat(), missing.to_sat())]
    NotMissing {
        /// What would be given up.
        amount: Amount,
        /// What is missing.
        missing: Amount,
    },
}
