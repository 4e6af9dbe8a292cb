use alloc::vec::Vec;

use bitcoin::secp256k1::{Secp256k1, Verification};
use bitcoin::{Amount, Script, Transaction, TxIn, TxOut};
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
    /// The txid can change, and with it everything signed on top is void.
    #[error(
        "input {input} is neither native SegWit nor has its final script_sig, the push of a witness program: the txid can still change"
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

/// Checks that nobody can change a transaction's txid any more, so that others can be signed on top of it: every input is
/// native SegWit with an empty script_sig, or P2SH whose script_sig is the push of its witness program and nothing else
/// (BIP-0141).
///
/// Signatures older than SegWit stand in the script_sig, and there whoever relays or mines the transaction can write them
/// otherwise (BIP-0062): such an input is never final.
///
/// # Errors
///
/// [`StakingError::TxidNotFinal`] names the input.
pub fn check_txid_final(tx: &Transaction, prevouts: &[TxOut]) -> Result<(), StakingError> {
    if tx.input.len() != prevouts.len() {
        return Err(StakingError::Prevouts { inputs: tx.input.len(), prevouts: prevouts.len() });
    }
    let open =
        tx.input.iter().zip(prevouts).position(|(input, prevout)| !is_final(input, &prevout.script_pubkey));
    open.map_or(Ok(()), |input| Err(StakingError::TxidNotFinal { input }))
}

fn is_final(input: &TxIn, script_pubkey: &Script) -> bool {
    match input.script_sig.as_bytes().split_first() {
        None => script_pubkey.is_witness_program(),
        // A witness program is short enough that the one byte before it is its length.
        Some((length, program)) => {
            let program = Script::from_bytes(program);
            usize::from(*length) == program.len()
                && program.is_witness_program()
                && *script_pubkey == program.to_p2sh()
        }
    }
}
