use alloc::vec::Vec;

use bitcoin::{Amount, Script, Transaction};

/// Why a transaction has no single output of a kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FindError {
    /// No output matches.
    #[error("no output of the transaction is the staking output")]
    NotFound,
    /// More than one output matches, so that which one is the stake is anybody's guess.
    #[error("outputs {vouts:?} of the transaction are all the staking output: exactly one may be")]
    Several {
        /// The positions of the matching outputs.
        vouts: Vec<u32>,
    },
}

/// Finds the one output that pays to `script_pubkey` (the rule of phase 1).
///
/// # Errors
///
/// [`FindError`] if there is none, or more than one.
pub fn find_output(tx: &Transaction, script_pubkey: &Script) -> Result<u32, FindError> {
    find(tx, |output| *output.script_pubkey == *script_pubkey)
}

/// Finds the one output that pays exactly `value` to `script_pubkey` (the rule of registered stakes).
///
/// # Errors
///
/// [`FindError`] if there is none, or more than one.
pub fn find_output_with_value(
    tx: &Transaction,
    script_pubkey: &Script,
    value: Amount,
) -> Result<u32, FindError> {
    find(tx, |output| output.value == value && *output.script_pubkey == *script_pubkey)
}

fn find(tx: &Transaction, matches: impl Fn(&bitcoin::TxOut) -> bool) -> Result<u32, FindError> {
    let mut vouts = (0u32..).zip(&tx.output).filter(|(_, output)| matches(output)).map(|(vout, _)| vout);
    let Some(first) = vouts.next() else { return Err(FindError::NotFound) };
    match vouts.next() {
        None => Ok(first),
        Some(second) => Err(FindError::Several { vouts: [first, second].into_iter().chain(vouts).collect() }),
    }
}
