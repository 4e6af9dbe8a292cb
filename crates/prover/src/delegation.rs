use bitcoin::Transaction;
use tapstake_tx::delegation::DelegationPackage;
use tapstake_verifier::{Claim, Registration, StakeProof};

use crate::{ProveError, claim_from_op_return};

/// The claim of a stake whose delegation file is at hand.
pub fn claim_from_delegation(package: &DelegationPackage) -> Claim {
    let claim = Claim {
        staker: package.staker,
        providers: package.providers.clone(),
        staking_time: package.staking_time,
        registration: Registration::None,
    };
    as_phase_1(claim, &package.staking_tx)
}

/// The claim of a phase-1 stake, if the staking transaction says in an OP_RETURN what `claim` says; else `claim` as it
/// is.
pub fn as_phase_1(claim: Claim, staking_tx: &Transaction) -> Claim {
    match claim_from_op_return(staking_tx) {
        Ok(said) if Claim { registration: claim.registration, ..said.clone() } == claim => said,
        _ => claim,
    }
}

/// Puts what is signed in advance into the proof of the same stake, whatever has been signed so far: whether it is
/// enough, whoever receives the proof judges.
///
/// # Errors
///
/// [`ProveError::OtherDelegation`] if the delegation is of another stake.
pub fn carry_delegation(proof: &mut StakeProof, package: &DelegationPackage) -> Result<(), ProveError> {
    let proven = bitcoin::OutPoint { txid: proof.inclusion.tx().compute_txid(), vout: proof.vout };
    let claim = &proof.claim;
    let same_terms = (claim.staker, claim.staking_time) == (package.staker, package.staking_time)
        && claim.providers == package.providers;
    if package.outpoint() != proven || package.network != proof.network || !same_terms {
        return Err(ProveError::OtherDelegation { proven, delegation: package.outpoint() });
    }
    proof.delegation = Some(package.parts.clone());
    Ok(())
}
