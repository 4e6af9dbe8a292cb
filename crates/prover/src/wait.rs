use std::thread;
use std::time::{Duration, Instant};

use bitcoin::Txid;
use tapstake_chain::ChainSource;

use crate::ProveError;

/// How to wait for confirmations.
#[derive(Debug, Clone, Copy)]
pub struct Wait {
    /// Confirmations wanted: `tip - height + 1`.
    pub confirmations: u32,
    /// The pause between two looks.
    pub poll: Duration,
    /// After which to give up; never, if `None`.
    pub timeout: Option<Duration>,
}

/// Waits until a transaction has its confirmations.
///
/// `progress` is told how many there are, after each look, and says whether to go on: `false` stops.
///
/// # Errors
///
/// [`ProveError::UnknownTransaction`] as soon as the source does not know the transaction (a reorganisation puts it back
/// into the mempool, a double spend makes it unknown); [`ProveError::TimedOut`], [`ProveError::Stopped`]. A source that
/// is out of reach for a while is waited for.
pub fn wait_for_confirmations(
    source: &dyn ChainSource,
    txid: Txid,
    wait: Wait,
    mut progress: impl FnMut(u32) -> bool,
) -> Result<u32, ProveError> {
    let started = Instant::now();
    let mut have = 0;
    loop {
        match confirmations(source, txid) {
            Ok(seen) => have = seen,
            // The source has tried more than once already, but a long wait outlives a restart of the node.
            Err(ProveError::Chain(error)) if error.is_transient() => {
                tracing::warn!(%error, "still waiting for confirmations");
            }
            Err(error) => return Err(error),
        }
        let go_on = progress(have);
        if have >= wait.confirmations {
            return Ok(have);
        }
        if !go_on {
            return Err(ProveError::Stopped);
        }
        let waited = started.elapsed();
        if wait.timeout.is_some_and(|timeout| waited >= timeout) {
            return Err(ProveError::TimedOut { have, want: wait.confirmations, waited });
        }
        let left = wait.timeout.map_or(wait.poll, |timeout| timeout.saturating_sub(waited));
        thread::sleep(wait.poll.min(left));
    }
}

fn confirmations(source: &dyn ChainSource, txid: Txid) -> Result<u32, ProveError> {
    let info = source.transaction(&txid)?.ok_or(ProveError::UnknownTransaction(txid))?;
    Ok(match info.block {
        Some(block) => block.height.confirmations(source.tip()?.height),
        None => 0,
    })
}
