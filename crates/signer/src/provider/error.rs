//! What a provider refuses, and what goes wrong.

use std::path::PathBuf;

use bitcoin::hex::DisplayHex;
use bitcoin::secp256k1::XOnlyPublicKey;
use tapstake_crypto::eots::CommitmentError;
use tapstake_verifier::equivocation::{MAX_SERVICE_LENGTH, VoteError};

use crate::keyfile::KeyFileError;

/// Why a provider did not do what it was asked for. Whatever it is, no signature has left.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProviderError {
    /// Another block was voted for at this height: a second signature would give the key away.
    #[error(
        "double vote at height {height}: {} is recorded, {} was asked for", recorded.as_hex(), asked.as_hex()
    )]
    DoubleVote {
        /// The height.
        height: u64,
        /// The hash of the block in the record.
        recorded: [u8; 32],
        /// The hash that was asked for.
        asked: [u8; 32],
    },
    /// The height is not above all that were voted on, or may have been, and has no vote in the record.
    #[error("height {height} has no vote in the record, and only heights above {highest} get a new one")]
    NotAbove {
        /// The height that was asked for.
        height: u64,
        /// The greatest height in the record, or stated as voted on.
        highest: u64,
    },
    /// No commitment to randomness covers the height.
    #[error("no randomness is committed for height {height}")]
    NotCommitted {
        /// The height.
        height: u64,
    },
    /// The heights of a new commitment were committed to in part.
    #[error("heights {start}..{} overlap the commitment to {}..{}", start + count, with.0, with.0 + with.1)]
    Overlap {
        /// The first height asked for.
        start: u64,
        /// The number of heights asked for.
        count: u64,
        /// First height and number of heights of the commitment in the way.
        with: (u64, u64),
    },
    /// A commitment to no height, to too many, or to heights that the record cannot hold.
    #[error("a commitment is to 1 to {most} heights below 2^63, not to {count} from {start} on")]
    Range {
        /// The first height.
        start: u64,
        /// The number of heights.
        count: u64,
        /// The most heights of one commitment.
        most: u64,
    },
    /// Heights end below 2^63 here.
    #[error("height {height} is not below 2^63")]
    Height {
        /// The height.
        height: u64,
    },
    /// The folder's record is not the one the marker was written for: most likely an old backup was restored.
    #[error(
        "the record in {} ends with entry {folder_counter}, but its marker {} was left at entry {marker_counter}{}: \
         the folder is an old backup or a copy, and votes may be missing from it",
        folder.display(), marker.display(), height_of(*marker_height)
    )]
    OldBackup {
        /// The provider's folder.
        folder: PathBuf,
        /// The marker.
        marker: PathBuf,
        /// The number of the record's last entry.
        folder_counter: u64,
        /// The number of the entry the marker was written for.
        marker_counter: u64,
        /// The greatest height that the marker knows to be voted on.
        marker_height: Option<u64>,
    },
    /// There is no marker, so nobody knows whether the folder's record is the newest.
    #[error("the marker {} is not there: whether the record in the folder is the newest cannot be known", .0.display())]
    MarkerMissing(PathBuf),
    /// The marker cannot be read.
    #[error("the marker {} is damaged: {reason}", marker.display())]
    MarkerDamaged {
        /// The marker.
        marker: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The marker was moved to another place: a folder that does not know is an old backup or a copy.
    #[error(
        "the marker {} was moved to {} after entry {counter}: the folder is an old backup or a copy, and votes may be \
         missing from it", marker.display(), to.display()
    )]
    MarkerMoved {
        /// Where the marker was.
        marker: PathBuf,
        /// Where it is.
        to: PathBuf,
        /// The number of the record's last entry when it was moved.
        counter: u64,
    },
    /// Entries have numbers below 2^62.
    #[error("no entry can follow number {counter}: numbers end below 2^62")]
    NoNumberLeft {
        /// The number of the last entry.
        counter: u64,
    },
    /// The marker is another provider's, or the same key's for another service: a key serves one service.
    #[error("the marker {} is that of {provider} for service {service}", marker.display())]
    OtherMarker {
        /// The marker.
        marker: PathBuf,
        /// Its provider.
        provider: XOnlyPublicKey,
        /// Its service.
        service: String,
    },
    /// The height that was stated as the last one voted on is lower than one that is known.
    #[error("the last known height was stated as {}, but {recorded} is known to be voted on", stated_of(*stated))]
    LastKnownHeight {
        /// As stated; none if it was stated that there was no vote.
        stated: Option<u64>,
        /// The greatest height in the record and the marker.
        recorded: u64,
    },
    /// Another process uses the folder, or a copy of it.
    #[error("another process holds {}", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// There is a folder already.
    #[error("{} is there already", .0.display())]
    Exists(PathBuf),
    /// There is no provider in the folder.
    #[error("there is no provider in {}", .0.display())]
    NoProvider(PathBuf),
    /// The name of a service is empty, too long, or not printable ASCII without blanks: no vote file takes it.
    #[error(
        "a service's name has 1 to {MAX_SERVICE_LENGTH} printable ASCII characters without blanks, not these {length} bytes"
    )]
    Service {
        /// Its length in bytes.
        length: usize,
    },
    /// The imported bytes are no secret key.
    #[error("the imported secret is no key of secp256k1")]
    NoKey,
    /// The key file in the folder is not the one of its record.
    #[error("the folder's key file gives the provider {found}, its record is that of {expected}")]
    OtherKey {
        /// The provider of the key file.
        found: Box<XOnlyPublicKey>,
        /// The provider of the record.
        expected: XOnlyPublicKey,
    },
    /// The record is damaged, or somebody changed it.
    #[error("the record {} is damaged: {reason}", file.display())]
    Damaged {
        /// The database.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A newer program has written the record.
    #[error("the record {} has format {found}, this program knows {supported}", file.display())]
    NewerFormat {
        /// The database.
        file: PathBuf,
        /// Its format.
        found: i64,
        /// The newest format known here.
        supported: i64,
    },
    /// The key file.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// The commitment's tree.
    #[error(transparent)]
    Commitment(#[from] CommitmentError),
    /// A signature that was just made does not verify: a fault of the machine.
    #[error("the signature for height {height} came out wrong and was thrown away: {error}")]
    Signature {
        /// The height.
        height: u64,
        /// What is wrong with it.
        error: VoteError,
    },
    /// The database refused.
    #[error("{}: {error}", file.display())]
    Database {
        /// The database.
        file: PathBuf,
        /// What SQLite says.
        #[source]
        error: rusqlite::Error,
    },
    /// The disk refused.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system says.
        #[source]
        error: std::io::Error,
    },
}

fn height_of(height: Option<u64>) -> String {
    height.map(|height| format!(" (height {height})")).unwrap_or_default()
}

fn stated_of(height: Option<u64>) -> String {
    height.map_or_else(|| "none".to_owned(), |height| height.to_string())
}
