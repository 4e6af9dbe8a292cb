//! What goes wrong with key files.

use std::path::PathBuf;

use super::KeyUse;

/// Why a key file was not written or not opened. No message quotes what is inside.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// There is a file of this name, and a key file is never replaced.
    #[error("{} is there already and is not replaced", .0.display())]
    Exists(PathBuf),
    /// The passphrase does not open the file; or its 32 bytes that tell were changed, which looks the same.
    #[error("wrong passphrase for {}", .0.display())]
    WrongPassphrase(PathBuf),
    /// The file is cut off, changed, or something else.
    #[error("key file {} is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file is an age file for a key, not for a passphrase.
    #[error("key file {} is encrypted to a key, not with a passphrase", .0.display())]
    NoPassphrase(PathBuf),
    /// Opening the file would take more time and memory than is given.
    #[error("key file {} asks for scrypt work factor {required}, more than {most}", path.display())]
    TooMuchWork {
        /// The file.
        path: PathBuf,
        /// Its work factor, log2 of scrypt's N.
        required: u8,
        /// The most that is tried.
        most: u8,
    },
    /// The file holds a key for something else.
    #[error("key file {} holds a {}, not a {}", path.display(), found.name(), expected.name())]
    OtherUse {
        /// The file.
        path: PathBuf,
        /// What its key is for.
        found: KeyUse,
        /// What was asked for.
        expected: KeyUse,
    },
    /// A work factor that scrypt does not have, or that nobody waits for.
    #[error("scrypt work factor {given} is not within 1..={most}")]
    WorkFactor {
        /// As given.
        given: u8,
        /// The most that is written.
        most: u8,
    },
    /// The disk refused.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        #[source]
        error: std::io::Error,
    },
}
