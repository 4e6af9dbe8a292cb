use alloc::vec::Vec;

use bitcoin::{BlockHash, Network, Work};
use tapstake_params::Height;

use crate::headers::validator::from_bytes;
use crate::headers::{Anchor, HeaderError, HeaderValidator, work};

/// What a run of headers amounts to when all of them are valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadersSummary {
    /// The number of headers, the first included.
    pub count: u32,
    /// The height of the last header.
    pub tip_height: Height,
    /// The hash of the last header.
    pub tip_hash: BlockHash,
    /// The work of these headers alone, the first included.
    pub work: Work,
    /// Whether the first header is the network's genesis block. Any other first header is checked by its own
    /// proof of work only; that its height and its `bits` are true is the caller's word.
    pub from_genesis: bool,
    /// The first height whose time was held against the median of the 11 headers before: what lies below the
    /// first header is not there to compute it earlier.
    pub median_time_from: Height,
}

/// Checks consecutive headers in their 80 bytes, in constant memory. The first one is taken as the
/// [`Anchor`], at `start`: 0 or, on networks that retarget, a multiple of 2016.
///
/// `now` is the caller's clock in seconds since 1970, if it has one.
///
/// # Errors
///
/// [`HeaderError`] names the first header that breaks a rule, by its height, and the rule.
pub fn verify_headers(
    network: Network,
    start: Height,
    headers: impl IntoIterator<Item = [u8; 80]>,
    now: Option<u32>,
) -> Result<HeadersSummary, HeaderError> {
    let mut headers = headers.into_iter();
    let first = from_bytes(&headers.next().ok_or(HeaderError::Empty)?);
    let anchor = Anchor::new(network, start, first, work::none(), Vec::new())?;
    let mut validator = HeaderValidator::new(&anchor);
    let mut count = 1u32;
    for raw in headers {
        validator.push_raw(&raw, now)?;
        count = count.saturating_add(1);
    }
    Ok(HeadersSummary {
        count,
        tip_height: validator.height(),
        tip_hash: validator.hash(),
        // The anchor counted nothing, so that the total is the work of this run but for the first header.
        work: work::add(validator.total_work(), work::of_bits(first.bits)),
        from_genesis: start == Height::GENESIS,
        median_time_from: anchor.median_time_from(),
    })
}
