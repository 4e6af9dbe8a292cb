//! The monotonic marker: how far the record had come, kept where a backup of the folder does not take it back.
//!
//! A marker that moves leaves word of where to. Otherwise a copy of the folder, which knows the old place only, could be
//! recovered there while the provider votes by the new one.

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use bitcoin::secp256k1::XOnlyPublicKey;
use serde::{Deserialize, Serialize};
use tapstake_durable as durable;

use super::ProviderError;
use super::entry::{Entry, Head, Tip, is_counter};

const FORMAT: u32 = 1;
/// No marker is longer.
const MAX_BYTES: u64 = 16_384;
/// As often a marker is followed from place to place.
const MAX_MOVES: usize = 100;

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

/// What a marker that moved leaves in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Moved {
    format: u32,
    provider: XOnlyPublicKey,
    moved_to: PathBuf,
    counter: u64,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum File {
    Marker(Marker),
    Moved(Moved),
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

    /// Reads a marker; `None` if there is none. One that was moved is [`ProviderError::MarkerMoved`].
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
        let file = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        let (format, counter) = match &file {
            File::Marker(marker) => (marker.format, marker.counter),
            File::Moved(moved) => (moved.format, moved.counter),
        };
        if format != FORMAT {
            return Err(damaged(format!("its format is {format}, not {FORMAT}")));
        }
        if !is_counter(counter) {
            return Err(damaged(format!("entry {counter} is not below 2^62")));
        }
        match file {
            File::Marker(marker) => Ok(Some(marker)),
            File::Moved(Moved { moved_to: to, .. }) => {
                Err(ProviderError::MarkerMoved { marker: path.to_owned(), to, counter })
            }
        }
    }

    /// Where the marker is that was at `path`, by what it left behind each time that it moved: `path` itself if it did not.
    pub(super) fn follow(path: &Path) -> Result<PathBuf, ProviderError> {
        let mut place = path.to_owned();
        for _ in 0..MAX_MOVES {
            match Marker::read(&place) {
                Err(ProviderError::MarkerMoved { to, .. }) => place = to,
                // What is wrong with it is for whoever reads it there.
                _ => return Ok(place),
            }
        }
        let reason = format!("moved more than {MAX_MOVES} times, or in a circle");
        Err(ProviderError::MarkerDamaged { marker: path.to_owned(), reason })
    }

    /// Writes the marker over the one before: when this returns, it is on the disk.
    pub(super) fn write(&self, path: &Path) -> Result<(), ProviderError> {
        write(self, path)
    }

    /// Leaves word at `path` that this marker is at `to` from now on: when this returns, it is on the disk.
    pub(super) fn leave_word(&self, path: &Path, to: &Path) -> Result<(), ProviderError> {
        let Marker { provider, counter, .. } = *self;
        write(&Moved { format: FORMAT, provider, moved_to: to.to_owned(), counter }, path)
    }
}

fn write(file: &impl Serialize, path: &Path) -> Result<(), ProviderError> {
    let text = serde_json::to_vec(file).expect("a marker has text keys only, and paths in UTF-8");
    durable::replace(path, &text).map_err(|error| ProviderError::Io { path: path.to_owned(), error })
}
