use alloc::vec::Vec;

use bitcoin::secp256k1::{Secp256k1, Verification};
use bitcoin::{BlockHash, Network, OutPoint, Work};
use tapstake_params::{Height, Schedule};

use crate::headers::{Anchor, HeaderChain, HeaderError, no_work};
use crate::{Depth, IncludedStake, Policy, StakeProof, VerifyError, stake};

/// Checks a proof against the service's own header chain: rules 5 to 14.
///
/// The result says on which terms the stake is on Bitcoin and until when it is active; see
/// [`IncludedStake::require_active`] for rule 18. Headers that the proof brings are not looked at.
///
/// # Errors
///
/// [`VerifyError`] names the first rule that the proof breaks.
pub fn verify<C: Verification>(
    secp: &Secp256k1<C>,
    proof: &StakeProof,
    chain: &HeaderChain,
    schedule: &Schedule,
    policy: &Policy,
) -> Result<IncludedStake, VerifyError> {
    check_network(proof, "header chain", chain.network())?;
    check_network(proof, "parameters", schedule.network())?;
    if let Some(reorganisation) = chain.frozen() {
        return Err(VerifyError::Frozen(*reorganisation));
    }
    let height = proof.inclusion_height;
    let (claimed, found) = (proof.block_hash(), chain.hash_at(height));
    if found != Some(claimed) {
        return Err(VerifyError::NotInChain { height, claimed, found });
    }
    check_depth(height, chain.tip().0, policy.depth)?;
    check_work(chain, height, policy.least_work)?;
    judge(secp, proof, chain.tip(), schedule, policy)
}

fn check_depth(height: Height, tip: Height, needed: Depth) -> Result<(), VerifyError> {
    if needed.is_reached(height, tip) {
        return Ok(());
    }
    Err(VerifyError::Depth { height, tip, confirmations: height.confirmations(tip), needed })
}

/// Confirmations are as cheap to forge as the work that they stand for.
fn check_work(chain: &HeaderChain, height: Height, least: Option<Work>) -> Result<(), VerifyError> {
    let Some(needed) = least else { return Ok(()) };
    let found = chain.work_from(height).unwrap_or_else(no_work);
    if found >= needed {
        return Ok(());
    }
    Err(VerifyError::Work { found, needed })
}

/// Checks a proof of a stake in a block that the caller trusts by height and hash, with no other header at hand:
/// rules 7 to 14.
///
/// That block is the tip of all that is known, so the stake has one confirmation, and a policy that asks for more
/// refuses it. The least work is not asked for: the caller's trust stands in its place.
///
/// # Errors
///
/// [`VerifyError`] names the first rule that the proof breaks; [`VerifyError::TrustedBlock`] if it is about another
/// block.
pub fn verify_in_trusted_block<C: Verification>(
    secp: &Secp256k1<C>,
    proof: &StakeProof,
    (height, hash): (Height, BlockHash),
    schedule: &Schedule,
    policy: &Policy,
) -> Result<IncludedStake, VerifyError> {
    check_network(proof, "parameters", schedule.network())?;
    let claimed = proof.block_hash();
    if (proof.inclusion_height, claimed) != (height, hash) {
        return Err(VerifyError::TrustedBlock { height, expected: hash, found: Some(claimed) });
    }
    check_depth(height, height, policy.depth)?;
    judge(secp, proof, (height, hash), schedule, policy)
}

pub(crate) fn check_network(
    proof: &StakeProof,
    other: &'static str,
    expected: Network,
) -> Result<(), VerifyError> {
    if proof.network == expected {
        return Ok(());
    }
    Err(VerifyError::Network { proof: proof.network, other, expected })
}

/// The rules that are the same wherever the headers come from, once the proof's block is known to be among them, deep
/// enough.
fn judge<C: Verification>(
    secp: &Secp256k1<C>,
    proof: &StakeProof,
    tip: (Height, BlockHash),
    schedule: &Schedule,
    policy: &Policy,
) -> Result<IncludedStake, VerifyError> {
    let height = proof.inclusion_height;
    let txid = proof.inclusion.verify(proof.network, &proof.header, height)?;
    let checked = stake::check(secp, proof, schedule, policy)?;
    Ok(IncludedStake {
        network: proof.network,
        outpoint: OutPoint { txid, vout: proof.vout },
        spends: proof.inclusion.tx.input.iter().map(|input| input.previous_output).collect(),
        value: checked.value,
        terms: checked.terms,
        registration: proof.claim.registration,
        params_version: checked.params_version,
        cap: checked.cap,
        inclusion_height: height,
        block_hash: proof.block_hash(),
        tip,
    })
}

/// Checks a proof by the headers that it brings itself: all the rules of [`verify`], and rules 1 to 4.
///
/// For who has no header chain. Such headers can be forged at the price of their work, so the policy must
/// name the least work ([`Policy::least_work`]). A block that the caller `trusts`, by height and hash, must
/// be among them: then everything at or below it is that block's true history, and only headers above it
/// could be forged.
///
/// # Errors
///
/// [`VerifyError`] names the first rule that the proof breaks.
pub fn verify_with_own_headers<C: Verification>(
    secp: &Secp256k1<C>,
    proof: &StakeProof,
    trusts: Option<(Height, BlockHash)>,
    schedule: &Schedule,
    policy: &Policy,
) -> Result<IncludedStake, VerifyError> {
    if policy.least_work.is_none() {
        return Err(VerifyError::OwnHeadersRefused);
    }
    let chain = own_chain(proof, policy)?;
    if let Some((height, expected)) = trusts {
        let found = chain.hash_at(height);
        if found != Some(expected) {
            return Err(VerifyError::TrustedBlock { height, expected, found });
        }
    }
    verify(secp, proof, &chain, schedule, policy)
}

fn own_chain(proof: &StakeProof, policy: &Policy) -> Result<HeaderChain, VerifyError> {
    let own = proof.own_headers.as_ref().ok_or(VerifyError::NoOwnHeaders)?;
    let [first, rest @ ..] = own.headers.as_slice() else {
        return Err(VerifyError::OwnHeaders(HeaderError::Empty));
    };
    let anchor = Anchor::new(proof.network, own.start_height, *first, no_work(), Vec::new());
    let anchor = anchor.map_err(|error| VerifyError::OwnHeaders(error.into()))?;
    let mut chain = HeaderChain::new(anchor, 0);
    match policy.now {
        Some(now) => chain.extend_at(rest, now),
        None => chain.extend(rest),
    }
    .map_err(VerifyError::OwnHeaders)?;
    Ok(chain)
}
