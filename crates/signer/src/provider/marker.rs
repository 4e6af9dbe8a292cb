//! The monotonic marker: how far the record had come, kept where a backup of the folder does not take it back.

use std::io::{ErrorKind, Read};
use std::path::Path;

use bitcoin::secp256k1::XOnlyPublicKey;
use serde::{Deserialize, Serialize};

use super::ProviderError;
use super::entry::{Entry, Head, Tip};
use crate::durable;

const FORMAT: u32 = 1;
/// No marker is longer.
const MAX_BYTES: u64 = 4096;

/// A marker as it lies on the disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Marker {
    format: u32,
    pub(super) provider: XOnlyPublicKey,
    pub(super) service: String,
    counter: u64,
    last: Option<Entry>,
    head: Head,
}

impl Marker {
    pub(super) fn new(provider: XOnlyPublicKey, service: &str, tip: &Tip) -> Self {
        let Tip { counter, last, head } = *tip;
        Marker { format: FORMAT, provider, service: service.to_owned(), counter, last, head }
    }

    /// Where the record ended, or was about to end, when this was written.
    pub(super) const fn tip(&self) -> Tip {
        Tip { counter: self.counter, last: self.last, head: self.head }
    }

    /// Reads a marker; `None` if there is none.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, ProviderError> {
        let io = |error| ProviderError::Io { path: path.to_owned(), error };
        let damaged = |reason: String| ProviderError::MarkerDamaged { marker: path.to_owned(), reason };
        let file = match std::fs::File::open(path) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            other => other.map_err(io)?,
        };
        let mut bytes = Vec::new();
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(io)?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(damaged(format!("longer than {MAX_BYTES} bytes")));
        }
        let marker: Marker = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        if marker.format != FORMAT {
            return Err(damaged(format!("its format is {}, not {FORMAT}", marker.format)));
        }
        Ok(Some(marker))
    }

    /// Writes the marker over the one before: when this returns, it is on the disk.
    pub(super) fn write(&self, path: &Path) -> Result<(), ProviderError> {
        let text = serde_json::to_vec(self).expect("a marker has text keys only");
        durable::replace(path, &text).map_err(|error| ProviderError::Io { path: path.to_owned(), error })
    }
}
