use bitcoin::{Block, Network, OutPoint, Transaction, Txid};
use tapstake_chain::ChainSource;
use tapstake_params::Height;
use tapstake_script::{OpReturn, Providers};
use tapstake_verifier::{Claim, InclusionProof, MerkleBranch, Registration, StakeProof};

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
        Some(height) => source.inclusion_in(&txid, height)?,
        None => source.inclusion(&txid)?,
    };
    let Some(found) = found else {
        return Err(match source.transaction(&txid)? {
            Some(_) => ProveError::Unconfirmed(txid),
            None => ProveError::UnknownTransaction(txid),
        });
    };
    check_output(&found.tx, outpoint)?;
    Ok(StakeProof {
        network: source.network(),
        vout: outpoint.vout,
        claim,
        inclusion_height: found.block.height,
        header: found.header,
        inclusion: InclusionProof::new(found.tx, found.branch, found.coinbase, found.coinbase_branch),
        own_headers: None,
    })
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
    let hash = block.block_hash();
    if !block.check_merkle_root() {
        return Err(ProveError::BadBlock(hash));
    }
    let txids: Vec<Txid> = block.txdata.iter().map(Transaction::compute_txid).collect();
    let txid = outpoint.txid;
    // The first is the coinbase, which is no stake.
    let index = txids.iter().skip(1).position(|found| *found == txid).map(|index| index + 1);
    let index = index.ok_or(ProveError::NotInBlock { txid, block: hash })?;
    let tx = &block.txdata[index];
    check_output(tx, outpoint)?;
    let branch = MerkleBranch::from_txids(&txids, index)?;
    let coinbase_branch = MerkleBranch::from_txids(&txids, 0)?;
    Ok(StakeProof {
        network,
        vout: outpoint.vout,
        claim,
        inclusion_height: height,
        header: block.header,
        inclusion: InclusionProof::new(tx.clone(), branch, block.txdata[0].clone(), coinbase_branch),
        own_headers: None,
    })
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

fn check_output(tx: &Transaction, outpoint: OutPoint) -> Result<(), ProveError> {
    let outputs = tx.output.len();
    let exists = usize::try_from(outpoint.vout).is_ok_and(|vout| vout < outputs);
    if exists { Ok(()) } else { Err(ProveError::NoSuchOutput { outpoint, outputs }) }
}
