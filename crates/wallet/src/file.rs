//! Files that are either whole or not there.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use crate::error::{AtPath, WalletError};

/// Writes a file so that a crash leaves the old one or the new one, never half of it: a temporary file in
/// the same folder, flushed to disk, then renamed over the target. Its owner alone reads it (mode 0600).
pub(crate) fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), WalletError> {
    let folder = folder_of(path);
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = folder.join(name);

    let result = write_new(&temporary, bytes)
        .and_then(|()| fs::rename(&temporary, path).at(path))
        .and_then(|()| sync_folder(&folder));
    if result.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    result
}

/// Makes a folder, and those above it that are missing, which their owner alone enters (mode 0700).
pub(crate) fn private_folders(folder: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(folder)
}

/// Makes an empty file that its owner alone reads and writes (mode 0600), where there is none yet.
pub(crate) fn private_file(path: &Path) -> Result<File, WalletError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(path).at(path)
}

/// Reads a file of at most `limit` bytes.
pub(crate) fn read_limited(path: &Path, limit: u64) -> Result<Vec<u8>, WalletError> {
    let file = File::open(path).at(path)?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).at(path)?;
    if bytes.len() as u64 > limit {
        return Err(WalletError::Damaged {
            file: path.display().to_string(),
            reason: format!("longer than {limit} bytes"),
        });
    }
    Ok(bytes)
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), WalletError> {
    // Folders cannot be opened as files on Windows; there the rename is durable by itself.
    if cfg!(unix) {
        File::open(folder).and_then(|folder| folder.sync_all()).at(folder)?;
    }
    Ok(())
}

/// The folder a file lies in.
pub(crate) fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn write_new(path: &Path, bytes: &[u8]) -> Result<(), WalletError> {
    // A file of this name is left from a process with the same id that died: it is nobody's.
    let _ = fs::remove_file(path);
    let mut file = private_file(path)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).at(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_leaves_no_temporary() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        write_atomic(&path, b"first").unwrap();
        write_atomic(&path, b"second").unwrap();
        assert_eq!(read_limited(&path, 6).unwrap(), b"second");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_longer_than_the_limit_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        write_atomic(&path, &[0; 11]).unwrap();
        assert!(read_limited(&path, 10).unwrap_err().to_string().ends_with("longer than 10 bytes"));
    }

    #[cfg(unix)]
    #[test]
    fn files_and_folders_are_their_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let above = tempfile::tempdir().unwrap();
        let folder = above.path().join("a").join("b");
        private_folders(&folder).unwrap();
        let path = folder.join("x");
        write_atomic(&path, b"secret").unwrap();
        assert_eq!((mode(&above.path().join("a")), mode(&folder), mode(&path)), (0o700, 0o700, 0o600));
    }
}
