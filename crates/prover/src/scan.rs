use bitcoin::secp256k1::{Secp256k1, Verification};
use tapstake_chain::ChainSource;
use tapstake_params::{Height, Schedule};
use tapstake_script::{Scanned, scan_transaction};

use crate::ProveError;

/// Reads the blocks `from..=to` of a source that serves blocks, and hands every phase-1 stake in them to `found`.
///
/// `progress` is called with each height once it is read.
///
/// # Errors
///
/// [`ProveError::Chain`] if the source fails, or serves no blocks (Electrum).
pub fn scan_blocks<C: Verification>(
    secp: &Secp256k1<C>,
    source: &dyn ChainSource,
    schedule: &Schedule,
    from: Height,
    to: Height,
    mut found: impl FnMut(Height, Scanned),
    mut progress: impl FnMut(Height),
) -> Result<(), ProveError> {
    for height in (from.to_u32()..=to.to_u32()).map(Height::new) {
        let block = source.block(height)?;
        for tx in &block.txdata {
            if let Some(scanned) = scan_transaction(secp, tx, height, schedule) {
                found(height, scanned);
            }
        }
        progress(height);
    }
    Ok(())
}
