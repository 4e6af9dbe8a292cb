//! One process at a time.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use super::ProviderError;

/// An exclusive lock on a file beside what it guards, given back when dropped.
///
/// The operating system holds it for the process, so that not even `kill -9` leaves it behind; the file itself stays and means
/// nothing.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Lock {
    pub(super) fn take(path: PathBuf) -> Result<Self, ProviderError> {
        let file = tapstake_durable::for_owner().create(true).truncate(false).open(&path);
        let file = file.map_err(|error| ProviderError::Io { path: path.clone(), error })?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { file }),
            Err(TryLockError::WouldBlock) => Err(ProviderError::Locked { path }),
            Err(TryLockError::Error(error)) => Err(ProviderError::Io { path, error }),
        }
    }

    /// The lock file of a marker: copies of a folder share the marker, and so the lock.
    pub(super) fn of_marker(marker: &Path) -> PathBuf {
        let mut name = marker.file_name().unwrap_or_default().to_owned();
        name.push(".lock");
        marker.with_file_name(name)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing alone would leave it to a child process that another thread has just forked, until that one starts its program.
        let _ = self.file.unlock();
    }
}
