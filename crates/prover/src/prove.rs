use bitcoin::secp256k1::{Secp256k1, Verification};
use bitcoin::{Block, Network, OutPoint, Transaction, Txid};
use tapstake_chain::{ChainSource, Inclusion, inclusion_from_block};
use tapstake_params::Height;
use tapstake_script::{OpReturn, Providers, StakeTerms, find_output};
use tapstake_verifier::{Claim, InclusionProof, Registration, StakeProof};

use crate::ProveError;

/// Proves the stake at `outpoint`, under the terms of `claim`.
///
/// `block` is the height of its block, if known: a bitcoind without a transaction index needs it.
///
/// # Errors
///
/// [`ProveError`] if the transaction is unknown or not in a block, or if the source fails.
pub fn prove(
    source: &dyn ChainSource,
    outpoint: OutPoint,
    block: Option<Height>,
    claim: Claim,
) -> Result<StakeProof, ProveError> {
    let txid = outpoint.txid;
    let found = match block {
        Some(height) => source.inclusion_in(&txid, height)?.ok_or(ProveError::NotInBlock { txid, height })?,
        None => match source.inclusion(&txid)? {
            Some(found) => found,
            None if source.transaction(&txid)?.is_some() => return Err(ProveError::Unconfirmed(txid)),
            None => return Err(ProveError::UnknownTransaction(txid)),
        },
    };
    assemble(source.network(), found, outpoint, claim)
}

/// Proves the stake at `outpoint` from the whole block at `height`, without any source.
///
/// # Errors
///
/// [`ProveError`] if the block is damaged or does not hold the output.
pub fn prove_in_block(
    block: &Block,
    height: Height,
    network: Network,
    outpoint: OutPoint,
    claim: Claim,
) -> Result<StakeProof, ProveError> {
    let txid = outpoint.txid;
    let found = inclusion_from_block(block, height, &txid)?.ok_or(ProveError::NotInBlock { txid, height })?;
    assemble(network, found, outpoint, claim)
}

/// The output of a transaction, in the chain or the mempool, that is a stake under these terms.
///
/// # Errors
///
/// [`ProveError::UnknownTransaction`], and [`ProveError::NoSuchStake`] if none or several of its outputs are.
pub fn find_stake<C: Verification>(
    secp: &Secp256k1<C>,
    source: &dyn ChainSource,
    txid: Txid,
    terms: &StakeTerms,
) -> Result<OutPoint, ProveError> {
    let info = source.transaction(&txid)?.ok_or(ProveError::UnknownTransaction(txid))?;
    let vout = find_output(&info.tx, terms.staking_output(secp).script_pubkey())
        .map_err(|error| ProveError::NoSuchStake { txid, error })?;
    Ok(OutPoint { txid, vout })
}

/// The claim of a phase-1 stake, which says in its OP_RETURN what it is.
///
/// # Errors
///
/// [`ProveError`] if there is no such OP_RETURN, or more than one.
pub fn claim_from_op_return(tx: &Transaction) -> Result<Claim, ProveError> {
    let data = OpReturn::find(tx)?.ok_or_else(|| ProveError::NoOpReturn(tx.compute_txid()))?;
    Ok(Claim {
        staker: data.staker,
        providers: Providers::one(data.provider),
        staking_time: data.timelock()?,
        registration: Registration::Phase1,
    })
}

fn assemble(
    network: Network,
    found: Inclusion,
    outpoint: OutPoint,
    claim: Claim,
) -> Result<StakeProof, ProveError> {
    // A coinbase is no stake, and no verifier takes a proof of one.
    if found.tx.is_coinbase() {
        return Err(ProveError::Coinbase(outpoint.txid));
    }
    let outputs = found.tx.output.len();
    if usize::try_from(outpoint.vout).map_or(true, |vout| vout >= outputs) {
        return Err(ProveError::NoSuchOutput { outpoint, outputs });
    }
    Ok(StakeProof {
        network,
        vout: outpoint.vout,
        claim,
        inclusion_height: found.block.height,
        header: found.header,
        inclusion: InclusionProof::new(found.tx, found.branch, found.coinbase, found.coinbase_branch),
        own_headers: None,
        delegation: None,
    })
}
