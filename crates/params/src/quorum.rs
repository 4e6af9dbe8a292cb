use alloc::vec::Vec;
use core::fmt;

use bitcoin::XOnlyPublicKey;
use serde::{Deserialize, Serialize};

/// The most keys one quorum may hold.
///
/// Consensus allows 999 in `multi_a` (BIP-0342); real committees have about ten members, and 64 keeps every
/// witness far below the standard weight limit of 400,000.
pub const MAX_KEYS: usize = 64;

/// M of N: distinct keys in ascending order of their 32 x-only bytes, and how many of them must sign.
///
/// `1 <= M <= N` holds by construction. Networks ask for more, `N/2 < M`
/// ([`Quorum::is_majority`]); a local test set may be smaller.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "QuorumFields")]
pub struct Quorum {
    threshold: usize,
    keys: Vec<XOnlyPublicKey>,
}

#[derive(Deserialize)]
struct QuorumFields {
    threshold: usize,
    keys: Vec<XOnlyPublicKey>,
}

impl TryFrom<QuorumFields> for Quorum {
    type Error = QuorumError;

    fn try_from(fields: QuorumFields) -> Result<Self, Self::Error> {
        Quorum::new(fields.threshold, fields.keys)
    }
}

/// Why a threshold and a list of keys are no quorum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuorumError {
    /// No keys, or more than [`MAX_KEYS`].
    #[error("quorum of {keys} keys: a quorum has 1 to {MAX_KEYS} keys")]
    KeyCount {
        /// The number of keys given.
        keys: usize,
    },
    /// A threshold of zero, or above the number of keys.
    #[error("quorum threshold {threshold} is outside 1..={keys}, the number of keys")]
    Threshold {
        /// The threshold given.
        threshold: usize,
        /// The number of keys given.
        keys: usize,
    },
    /// One key stands in the list twice.
    #[error("key {key} appears twice in the quorum")]
    DuplicateKey {
        /// The repeated key.
        key: XOnlyPublicKey,
    },
}

impl Quorum {
    /// A quorum of `threshold` among `keys`, which are sorted here.
    ///
    /// # Errors
    ///
    /// [`QuorumError`] if the threshold is 0 or above the number of keys, if a key is repeated, or if there
    /// are no keys or more than [`MAX_KEYS`].
    pub fn new(threshold: usize, mut keys: Vec<XOnlyPublicKey>) -> Result<Self, QuorumError> {
        if keys.is_empty() || keys.len() > MAX_KEYS {
            return Err(QuorumError::KeyCount { keys: keys.len() });
        }
        if threshold == 0 || threshold > keys.len() {
            return Err(QuorumError::Threshold { threshold, keys: keys.len() });
        }
        keys.sort_unstable_by_key(XOnlyPublicKey::serialize);
        if let Some(pair) = keys.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(QuorumError::DuplicateKey { key: pair[0] });
        }
        Ok(Quorum { threshold, keys })
    }

    /// M, the number of members that must sign.
    pub const fn threshold(&self) -> usize {
        self.threshold
    }

    /// The N keys, ascending by their x-only bytes.
    pub fn keys(&self) -> &[XOnlyPublicKey] {
        &self.keys
    }

    /// Whether `key` belongs to a member.
    pub fn contains(&self, key: &XOnlyPublicKey) -> bool {
        self.position(key).is_some()
    }

    /// Where `key` stands in [`Quorum::keys`].
    pub fn position(&self, key: &XOnlyPublicKey) -> Option<usize> {
        let wanted = key.serialize();
        self.keys.binary_search_by(|k| k.serialize().cmp(&wanted)).ok()
    }

    /// Whether more than half of the members must sign, so that no two disjoint groups can.
    pub const fn is_majority(&self) -> bool {
        self.threshold > self.keys.len() / 2
    }
}

impl fmt::Debug for Quorum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Quorum({}-of-{}, {:?})", self.threshold, self.keys.len(), self.keys)
    }
}
