use tapstake_chain::{ChainError, ChainSource};
use tapstake_params::Height;
use tapstake_verifier::headers::{HeaderChain, HeaderError, Update};
use tapstake_verifier::{OwnHeaders, StakeProof};

use crate::ProveError;

/// Headers asked for at once: as many as Electrum servers give.
const BATCH: u32 = 2016;
/// How far back to look for a common block at first; doubled until one is found.
const FIRST_STEP_BACK: u32 = 6;
/// How often it is tried while the source's chain changes under our hands.
const ATTEMPTS: u32 = 3;

/// Brings a light client up to the source's tip, through reorganisations that its policy allows.
///
/// `progress` is called with the height reached, after each batch.
///
/// # Errors
///
/// [`ProveError::Headers`] if a header breaks a rule or the client is frozen, [`ProveError::OtherChain`] if the source
/// shares no block with it.
pub fn sync_headers(
    source: &dyn ChainSource,
    chain: &mut HeaderChain,
    mut progress: impl FnMut(Height),
) -> Result<Height, ProveError> {
    for _ in 1..ATTEMPTS {
        match sync_once(source, chain, &mut progress) {
            // What a reorganisation between two batches looks like.
            Err(
                ProveError::Headers(HeaderError::Link { .. } | HeaderError::UnknownParent { .. })
                | ProveError::Chain(ChainError::Reorganised { .. }),
            ) => {}
            outcome => return outcome,
        }
    }
    sync_once(source, chain, &mut progress)
}

fn sync_once(
    source: &dyn ChainSource,
    chain: &mut HeaderChain,
    progress: &mut impl FnMut(Height),
) -> Result<Height, ProveError> {
    let fork = common_block(source, chain)?;
    let mut next = fork.saturating_add(1);
    let ours = chain.tip().0;
    let mut pending = Vec::new();
    loop {
        let batch = source.headers(next, BATCH)?;
        let count = u32::try_from(batch.len()).unwrap_or(BATCH);
        next = next.saturating_add(count);
        pending.extend(batch);
        let done = count < BATCH;
        // A branch beside ours is judged as a whole: it is handed over once it has come past our tip.
        if !pending.is_empty() && (done || next > ours) {
            match chain.extend(&pending)? {
                // What is still to come may turn the scales.
                Update::Outweighed { .. } if !done => {}
                _ => pending.clear(),
            }
        }
        progress(next.checked_sub(1).unwrap_or_default());
        if done {
            return Ok(chain.tip().0);
        }
    }
}

/// The highest block that the client and the source both have.
fn common_block(source: &dyn ChainSource, chain: &HeaderChain) -> Result<Height, ProveError> {
    let (tip, anchor) = (chain.tip().0, chain.anchor().height());
    let mut height = tip.min(source.tip()?.height);
    let mut step = FIRST_STEP_BACK;
    loop {
        if height < anchor {
            return Err(ProveError::OtherChain(tip));
        }
        let theirs = source.headers(height, 1)?.first().map(bitcoin::block::Header::block_hash);
        if theirs.is_some() && theirs == chain.hash_at(height) {
            return Ok(height);
        }
        if height == anchor {
            return Err(ProveError::OtherChain(tip));
        }
        height = height.checked_sub(step).unwrap_or(anchor).max(anchor);
        step = step.saturating_mul(2);
    }
}

/// The headers a proof needs to be judged without a light client: from the start of its block's retarget period (or
/// the block itself on regtest) up to the tip.
///
/// # Errors
///
/// [`ProveError::Chain`] if the source fails.
pub fn own_headers(source: &dyn ChainSource, proof: &StakeProof) -> Result<OwnHeaders, ProveError> {
    let height = proof.inclusion_height.to_u32();
    let start = if proof.network == bitcoin::Network::Regtest { height } else { height - height % 2016 };
    let start_height = Height::new(start);
    let mut headers = Vec::new();
    loop {
        let from = start_height.saturating_add(u32::try_from(headers.len()).unwrap_or(u32::MAX));
        let batch = source.headers(from, BATCH)?;
        let more = u32::try_from(batch.len()).is_ok_and(|count| count == BATCH);
        headers.extend(batch);
        if !more {
            return Ok(OwnHeaders { start_height, headers });
        }
    }
}
