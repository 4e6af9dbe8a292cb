//! The record as a chain: each entry's hash covers all entries before it.

use bitcoin::hashes::{Hash, HashEngine, sha256, sha256t::Tag, sha256t_hash_newtype};
use bitcoin::hex::{DisplayHex, FromHex};
use bitcoin::secp256k1::XOnlyPublicKey;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tapstake_crypto::eots::Vote;

use super::ProviderError;

sha256t_hash_newtype! {
    struct RecordTag = hash_str("tapstake/provider/record");
    /// The hash of a record up to an entry.
    struct RecordHash(_);
}

/// Entries have numbers below this, 2^62: a greater one is a damaged marker's or record's, and counting on from it would
/// leave the numbers of SQLite, which have a sign.
const MAX_COUNTER: u64 = 1 << 62;

/// Whether an entry may have this number.
pub(super) const fn is_counter(counter: u64) -> bool {
    counter < MAX_COUNTER
}

/// The number after `counter`; none is left after 2^62 - 1.
pub(super) fn number_after(counter: u64) -> Result<u64, ProviderError> {
    counter.checked_add(1).filter(|next| is_counter(*next)).ok_or(ProviderError::NoNumberLeft { counter })
}

/// One entry of the record. Heights only rise from entry to entry; a floor may repeat the height before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Entry {
    /// The one block at its height that may be signed.
    Vote(Vote),
    /// What a person stated: heights up to this one may have been signed elsewhere.
    Floor(u64),
}

impl Entry {
    pub(super) const fn height(&self) -> u64 {
        match self {
            Entry::Vote(vote) => vote.height,
            Entry::Floor(height) => *height,
        }
    }

    /// Whether it goes back behind a record: a vote must be above all before it, a floor not below.
    pub(super) fn is_below(&self, tip: &Tip) -> bool {
        match self {
            Entry::Vote(vote) => tip.height().is_some_and(|height| vote.height <= height),
            Entry::Floor(floor) => tip.height().is_some_and(|height| *floor < height),
        }
    }
}

/// The hash over a record, 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head([u8; 32]);

impl Head {
    pub(super) const fn to_bytes(self) -> [u8; 32] {
        self.0
    }
}

impl Serialize for Head {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0.as_hex())
    }
}

impl<'de> Deserialize<'de> for Head {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        <[u8; 32]>::from_hex(&text).map(Head).map_err(serde::de::Error::custom)
    }
}

/// Where a record ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tip {
    /// The number of the last entry; zero if there is none.
    pub(super) counter: u64,
    /// The last entry.
    pub(super) last: Option<Entry>,
    /// The hash over all of it.
    pub(super) head: Head,
}

impl Tip {
    /// The empty record of a provider. Its hash covers whose record it is.
    pub(super) fn empty(provider: &XOnlyPublicKey, service: &str) -> Self {
        let mut engine = RecordTag::engine();
        engine.input(&provider.serialize());
        engine.input(service.as_bytes());
        Tip { counter: 0, last: None, head: Head(finish(engine)) }
    }

    /// The record with `entry` as number `counter` at its end.
    pub(super) fn with(&self, counter: u64, entry: Entry) -> Self {
        let mut engine = RecordTag::engine();
        engine.input(&self.head.0);
        engine.input(&counter.to_be_bytes());
        match &entry {
            Entry::Vote(vote) => {
                engine.input(&[0]);
                engine.input(&vote.message());
            }
            Entry::Floor(height) => {
                engine.input(&[1]);
                engine.input(&height.to_be_bytes());
            }
        }
        Tip { counter, last: Some(entry), head: Head(finish(engine)) }
    }

    /// The record with `entry` next.
    pub(super) fn next(&self, entry: Entry) -> Result<Self, ProviderError> {
        Ok(self.with(number_after(self.counter)?, entry))
    }

    /// Whether this record is `before` and one entry more. Only a floor skips numbers: it stands for what was lost.
    pub(super) fn follows(&self, before: &Tip) -> bool {
        let Some(last) = self.last else { return false };
        let number = match last {
            Entry::Vote(_) => before.counter.checked_add(1) == Some(self.counter),
            Entry::Floor(_) => before.counter < self.counter,
        };
        number && before.with(self.counter, last) == *self
    }

    /// The greatest height that was signed, or may have been.
    pub(super) fn height(&self) -> Option<u64> {
        self.last.map(|entry| entry.height())
    }
}

fn finish(engine: sha256::HashEngine) -> [u8; 32] {
    sha256::Hash::from_engine(engine).to_byte_array()
}
