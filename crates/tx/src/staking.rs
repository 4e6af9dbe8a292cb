use alloc::vec::Vec;

use bitcoin::secp256k1::{Secp256k1, Verification};
use bitcoin::{Amount, Transaction, TxOut};
use tapstake_params::{BoundsError, StakingParams};
use tapstake_script::{OpReturn, StakeTerms};

/// Why a stake is not built, or not built upon.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StakingError {
    /// Value or timelock outside the parameters.
    #[error(transparent)]
    Bounds(#[from] BoundsError),
    /// The terms name another committee than the parameters.
    #[error("the covenant of the terms is not that of parameters version {version}")]
    Covenant {
        /// The parameters version.
        version: u32,
    },
    /// The terms name another unbonding time than the parameters.
    #[error("unbonding time {actual} blocks is not the {expected} blocks of parameters version {version}")]
    UnbondingTime {
        /// The terms' unbonding time.
        actual: tapstake_params::Timelock,
        /// The parameters' unbonding time.
        expected: tapstake_params::Timelock,
        /// The parameters version.
        version: u32,
    },
    /// A phase-1 OP_RETURN has room for one provider.
    #[error("a phase-1 stake has 1 finality provider, not {providers}")]
    SeveralProviders {
        /// The number of providers.
        providers: usize,
    },
    /// Not one prevout for each input.
    #[error("{prevouts} prevouts given for {inputs} inputs")]
    Prevouts {
        /// The number of inputs.
        inputs: usize,
        /// The number of prevouts.
        prevouts: usize,
    },
    /// Signing would change the txid, and with it everything signed on top.
    #[error(
        "input {input} is neither native SegWit nor has its final script_sig: signing it changes the txid"
    )]
    TxidNotFinal {
        /// The position of the input.
        input: usize,
    },
}

/// The outputs of a staking transaction for a wallet to fund, in this order: the staking output and, for a
/// phase-1 stake under `tag`, its OP_RETURN.
///
/// # Errors
///
/// [`StakingError`] if value, timelocks or committee do not fit the parameters, or if a phase-1 stake has several
/// providers.
pub fn staking_outputs<C: Verification>(
    secp: &Secp256k1<C>,
    params: &StakingParams,
    terms: &StakeTerms,
    value: Amount,
    tag: Option<[u8; 4]>,
) -> Result<Vec<TxOut>, StakingError> {
    params.check_stake(value, terms.staking_time)?;
    let version = params.version;
    if *terms.parties.covenant() != params.covenant {
        return Err(StakingError::Covenant { version });
    }
    if terms.unbonding_time != params.unbonding_time {
        let (actual, expected) = (terms.unbonding_time, params.unbonding_time);
        return Err(StakingError::UnbondingTime { actual, expected, version });
    }
    let script_pubkey = terms.staking_output(secp).script_pubkey().clone();
    let mut outputs = alloc::vec![TxOut { value, script_pubkey }];
    if let Some(tag) = tag {
        let [provider] = *terms.parties.providers().keys() else {
            return Err(StakingError::SeveralProviders { providers: terms.parties.providers().keys().len() });
        };
        let staker = terms.parties.staker();
        let data = OpReturn { tag, staker, provider, staking_time: terms.staking_time.blocks() };
        outputs.push(TxOut { value: Amount::ZERO, script_pubkey: data.to_script() });
    }
    Ok(outputs)
}

/// Checks that signing a transaction cannot change its txid any more, so that others can be signed on top of
/// it: every input is native SegWit or carries its final script_sig.
///
/// # Errors
///
/// [`StakingError::TxidNotFinal`] names the input.
pub fn check_txid_final(tx: &Transaction, prevouts: &[TxOut]) -> Result<(), StakingError> {
    if tx.input.len() != prevouts.len() {
        return Err(StakingError::Prevouts { inputs: tx.input.len(), prevouts: prevouts.len() });
    }
    let open = tx.input.iter().zip(prevouts).position(|(input, prevout)| {
        input.script_sig.is_empty() && !prevout.script_pubkey.is_witness_program()
    });
    open.map_or(Ok(()), |input| Err(StakingError::TxidNotFinal { input }))
}
