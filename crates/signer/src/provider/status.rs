//! What a provider's folder holds, for people and for monitoring.

use std::fmt;
use std::path::{Path, PathBuf};

use bitcoin::secp256k1::XOnlyPublicKey;
use tapstake_crypto::eots::{SignedCommitment, Vote};

use super::entry::Tip;
use super::marker::Marker;
use super::record::{Owner, Record};
use super::{ProviderError, record_file};

/// What a provider's folder holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The provider's key.
    pub provider: XOnlyPublicKey,
    /// The service it votes for.
    pub service: String,
    /// Its folder.
    pub folder: PathBuf,
    /// Its marker.
    pub marker: PathBuf,
    /// How marker and record compare.
    pub marker_state: MarkerState,
    /// The number of the record's last entry.
    pub counter: u64,
    /// How many votes the record holds.
    pub votes: u64,
    /// The last of them.
    pub last_vote: Option<Vote>,
    /// The greatest height that a person stated as voted on.
    pub floor: Option<u64>,
    /// Only heights from here on get a new vote; 2^63 if none is left.
    pub next_height: u64,
    /// The commitments, by height.
    pub commitments: Vec<SignedCommitment>,
}

/// How the marker and the record of a provider compare.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MarkerState {
    /// They agree.
    Agrees,
    /// The marker names one entry more: a vote is being written, or a process was killed while writing one. The next command
    /// finishes it.
    OneAhead,
    /// They disagree: the folder is an old backup or a copy.
    Disagrees {
        /// The number of the entry the marker was written for.
        counter: u64,
    },
    /// The marker was moved: the folder is an old backup or a copy.
    Moved {
        /// Where to.
        to: PathBuf,
    },
    /// The marker is another provider's or service's.
    Other,
    /// The marker is damaged.
    Damaged,
    /// There is none.
    Missing,
}

impl fmt::Display for MarkerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MarkerState::Agrees => f.write_str("agrees"),
            MarkerState::OneAhead => f.write_str("one entry ahead"),
            MarkerState::Disagrees { counter } => write!(f, "disagrees, at entry {counter}"),
            MarkerState::Moved { to } => write!(f, "moved to {}", to.display()),
            MarkerState::Other => f.write_str("another provider's"),
            MarkerState::Damaged => f.write_str("damaged"),
            MarkerState::Missing => f.write_str("missing"),
        }
    }
}

impl Status {
    /// Reads a folder without its passphrase and without its lock: while a process votes, too.
    ///
    /// # Errors
    ///
    /// [`ProviderError::NoProvider`], [`ProviderError::Damaged`] and what reading the record brings.
    pub fn read(folder: &Path) -> Result<Self, ProviderError> {
        let record = Record::open(&record_file(folder)?)?;
        let owner = record.owner()?;
        let mut status = Status::of(folder, &record, &owner, &record.tip()?)?;
        // Votes that were written between reading the record and reading the marker look like a disagreement.
        for _ in 0..3 {
            if !matches!(status.marker_state, MarkerState::Disagrees { .. }) {
                break;
            }
            status = Status::of(folder, &record, &owner, &record.tip()?)?;
        }
        Ok(status)
    }

    pub(super) fn of(
        folder: &Path,
        record: &Record,
        owner: &Owner,
        tip: &Tip,
    ) -> Result<Self, ProviderError> {
        let (last_vote, votes) = record.votes()?;
        Ok(Status {
            provider: owner.provider,
            service: owner.service.clone(),
            folder: folder.to_owned(),
            marker: owner.marker.clone(),
            marker_state: compare(owner, tip)?,
            counter: tip.counter,
            votes,
            last_vote,
            floor: record.floor()?,
            next_height: tip.height().map_or(0, |height| height + 1),
            commitments: record.commitments()?,
        })
    }
}

fn compare(owner: &Owner, tip: &Tip) -> Result<MarkerState, ProviderError> {
    let marker = match Marker::read(&owner.marker) {
        Ok(Some(marker)) => marker,
        Ok(None) => return Ok(MarkerState::Missing),
        Err(ProviderError::MarkerDamaged { .. }) => return Ok(MarkerState::Damaged),
        Err(ProviderError::MarkerMoved { to, .. }) => return Ok(MarkerState::Moved { to }),
        Err(error) => return Err(error),
    };
    if super::check_marker(owner, &marker).is_err() {
        return Ok(MarkerState::Other);
    }
    let marked = marker.tip();
    Ok(match marked {
        same if same == *tip => MarkerState::Agrees,
        ahead if ahead.follows(tip) => MarkerState::OneAhead,
        other => MarkerState::Disagrees { counter: other.counter },
    })
}
