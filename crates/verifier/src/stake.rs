//! Rules 13 and 14: the output is a stake, under parameters that are not the proof's.

use bitcoin::Amount;
use bitcoin::secp256k1::{Secp256k1, Verification};
use tapstake_params::{Height, Phase1, Schedule, StakingCap, StakingParams, Window};
use tapstake_script::{OpReturn, StakeTerms, find_output, find_output_with_value};

use crate::{Claim, Policy, Registration, StakeProof, VerifyError};

/// What an output turned out to be.
pub(crate) struct Checked {
    pub(crate) value: Amount,
    pub(crate) terms: StakeTerms,
    pub(crate) params_version: u32,
    pub(crate) cap: Option<Window>,
}

/// Judges the proof's transaction, which is known to be in the block at the inclusion height, not as its
/// coinbase.
pub(crate) fn check<C: Verification>(
    secp: &Secp256k1<C>,
    proof: &StakeProof,
    schedule: &Schedule,
    policy: &Policy,
) -> Result<Checked, VerifyError> {
    let (claim, tx, claimed) = (&proof.claim, &proof.inclusion.tx, proof.vout);
    let params = params_for(claim.registration, proof.inclusion_height, schedule, policy)?;
    let terms = StakeTerms::under(params, claim.staker, claim.providers.clone(), claim.staking_time)?;
    let staking_output = terms.staking_output(secp);
    let output = usize::try_from(claimed).ok().and_then(|vout| tx.output.get(vout));
    let Some(output) = output else {
        return Err(VerifyError::NoSuchOutput { claimed, outputs: tx.output.len() });
    };

    let (found, cap) = match claim.registration {
        Registration::Phase1 => {
            let cap = check_phase_1(proof, schedule)?;
            (find_output(tx, staking_output.script_pubkey())?, Some(cap))
        }
        Registration::None | Registration::At(_) => {
            (find_output_with_value(tx, staking_output.script_pubkey(), output.value)?, None)
        }
    };
    if found != claimed {
        return Err(VerifyError::Vout { claimed, found });
    }
    params.check_stake(output.value, claim.staking_time)?;
    Ok(Checked { value: output.value, terms, params_version: params.version, cap })
}

fn params_for<'a>(
    registration: Registration,
    inclusion: Height,
    schedule: &'a Schedule,
    policy: &Policy,
) -> Result<&'a StakingParams, VerifyError> {
    let height = match registration {
        Registration::None | Registration::At(_) if policy.only_phase_1 => {
            return Err(VerifyError::NotPhase1 { claimed: registration });
        }
        Registration::None | Registration::Phase1 => inclusion,
        Registration::At(registration) => match inclusion.blocks_since(registration) {
            Some(gap) if gap <= policy.max_registration_gap => registration,
            _ => {
                let max_gap = policy.max_registration_gap;
                return Err(VerifyError::Registration { registration, inclusion, max_gap });
            }
        },
    };
    Ok(schedule.at(height)?)
}

/// The OP_RETURN is there once, is of this network's phase 1, and says what the claim says.
fn check_phase_1(proof: &StakeProof, schedule: &Schedule) -> Result<Window, VerifyError> {
    let height = proof.inclusion_height;
    let phase_1 = schedule.phase_1_at(height).ok_or(VerifyError::NoPhase1 { height })?;
    let data = OpReturn::find(&proof.inclusion.tx)?.ok_or(VerifyError::NoOpReturn)?;
    if let Some((field, claimed_by)) = difference(&data, &proof.claim, phase_1) {
        return Err(VerifyError::Phase1Mismatch { field, claimed_by });
    }
    match (phase_1.window(height), phase_1.cap) {
        (Window::Over, StakingCap::Height(cap)) => Err(VerifyError::Cap { height, cap }),
        (window, _) => Ok(window),
    }
}

fn difference(data: &OpReturn, claim: &Claim, phase_1: &Phase1) -> Option<(&'static str, &'static str)> {
    if data.tag != phase_1.tag {
        Some(("tag", "the parameters"))
    } else if data.staker != claim.staker {
        Some(("staker", "the claim"))
    } else if claim.providers.keys() != [data.provider] {
        Some(("provider", "the claim"))
    } else if data.staking_time != claim.staking_time.blocks() {
        Some(("staking time", "the claim"))
    } else {
        None
    }
}
