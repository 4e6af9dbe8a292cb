//! A staking transaction that is stuck: never replaced, since everything signed on top of it hangs on its txid, but
//! pulled along by a child that pays for both (CPFP).

use bitcoin::{Amount, FeeRate, OutPoint, Transaction, Txid};

use crate::fee::{FeeRateError, check_fee_rate};

/// A transaction that replaces a staking transaction, on which others are signed already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "transaction {replacement} spends {outpoint} in place of staking transaction {staking}, whose unbonding and slashing transactions are signed on its txid and would be void: let a child pay for it (CPFP) instead of replacing it"
)]
pub struct ReplacedError {
    /// The staking transaction that others are signed on.
    pub staking: Txid,
    /// The transaction that would replace it.
    pub replacement: Txid,
    /// An outpoint that both spend.
    pub outpoint: OutPoint,
}

/// Refuses a transaction that takes an input from a pre-signed staking transaction: with another txid, unbonding and
/// slashing would not fit any more.
///
/// The staking transaction itself, and any transaction that spends nothing it spends, is in order.
///
/// # Errors
///
/// [`ReplacedError`] names an outpoint that both spend.
pub fn check_not_replaced(staking: &Transaction, other: &Transaction) -> Result<(), ReplacedError> {
    let (signed_on, replacement) = (staking.compute_txid(), other.compute_txid());
    if signed_on == replacement {
        return Ok(());
    }
    let mut spent = other.input.iter().map(|input| input.previous_output);
    match spent.find(|outpoint| staking.input.iter().any(|input| input.previous_output == *outpoint)) {
        Some(outpoint) => Err(ReplacedError { staking: signed_on, replacement, outpoint }),
        None => Ok(()),
    }
}

/// Why a child pays no fee for its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CpfpError {
    /// A target out of reason.
    #[error(transparent)]
    FeeRate(#[from] FeeRateError),
    /// A transaction of no size.
    #[error("parent of {parent} and child of {child} virtual bytes: no transaction is empty")]
    Empty {
        /// The parent's virtual size.
        parent: u64,
        /// The child's virtual size.
        child: u64,
    },
    /// The parent needs no help.
    #[error("the parent pays {} sat already, {} sat are due at the wanted fee rate", paid.to_sat(), due.to_sat())]
    NotNeeded {
        /// The parent's fee.
        paid: Amount,
        /// What it has to pay at the wanted rate.
        due: Amount,
    },
    /// More than all bitcoin.
    #[error("the fee for {vsize} virtual bytes is more than all bitcoin")]
    TooLarge {
        /// The virtual size of parent and child together.
        vsize: u64,
    },
}

/// The fee a child pays so that it and its stuck parent together reach `target`: what is due for both, less what the
/// parent pays. Sizes are in virtual bytes.
///
/// A parent below `target` leaves more than `target` to the child, so that the child is never the slower one.
///
/// # Errors
///
/// [`CpfpError`] if the target is out of reason, if a size is 0, or if the parent pays `target` by itself.
pub fn cpfp_child_fee(
    parent_fee: Amount,
    parent_vsize: u64,
    child_vsize: u64,
    target: FeeRate,
) -> Result<Amount, CpfpError> {
    check_fee_rate(target)?;
    if parent_vsize == 0 || child_vsize == 0 {
        return Err(CpfpError::Empty { parent: parent_vsize, child: child_vsize });
    }
    let vsize = parent_vsize.saturating_add(child_vsize);
    let due = |vsize| target.fee_vb(vsize).filter(|fee| *fee <= Amount::MAX_MONEY);
    let too_large = CpfpError::TooLarge { vsize };
    let (both, alone) = (due(vsize).ok_or(too_large)?, due(parent_vsize).ok_or(too_large)?);
    if parent_fee >= alone {
        return Err(CpfpError::NotNeeded { paid: parent_fee, due: alone });
    }
    // The parent pays less than its own share.
    Ok(both - parent_fee)
}
