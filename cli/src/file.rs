//! Files that their owner alone reads, whole or not there.

use std::io::{ErrorKind, Read, Write};
use std::path::Path;

use tempfile::NamedTempFile;

use crate::error::{Context, Error, Result};

/// Writes a file that is not there yet, with mode 0600.
///
/// # Errors
///
/// If there is one of this name: it is left as it is.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    let written = complete(path, bytes)?.persist_noclobber(path);
    written.map_err(|error| match error.error.kind() {
        ErrorKind::AlreadyExists => Error::rule("file", format!("{} is there already", path.display()))
            .next("give another name, or move it away"),
        _ => Error::failed(format!("{}: {}", path.display(), error.error)),
    })?;
    sync_folder(path)
}

/// Writes a file in place of whatever was there, with mode 0600.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let written = complete(path, bytes)?.persist(path);
    written.map_err(|error| error.error).context(path.display())?;
    sync_folder(path)
}

/// Reads a file of at most `limit` bytes; no more than that is ever held.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let file = std::fs::File::open(path).context(path.display())?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).context(path.display())?;
    if bytes.len() as u64 > limit {
        return Err(Error::rule("file", format!("{} is longer than {limit} bytes", path.display())));
    }
    Ok(bytes)
}

/// The bytes in a temporary file beside `path`, on the disk.
fn complete(path: &Path, bytes: &[u8]) -> Result<NamedTempFile> {
    let fill = || {
        let mut file = NamedTempFile::new_in(folder_of(path))?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        Ok::<_, std::io::Error>(file)
    };
    fill().context(path.display())
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes the new name durable.
fn sync_folder(path: &Path) -> Result<()> {
    if cfg!(unix) {
        let folder = std::fs::File::open(folder_of(path));
        folder.and_then(|folder| folder.sync_all()).context(path.display())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_is_its_owners_alone_and_never_takes_anothers_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.json");
        write_new(&path, b"first").expect("written");
        assert!(write_new(&path, b"second").is_err());
        assert_eq!(read(&path, 5).expect("read"), b"first");
        replace(&path, b"second").expect("written");
        assert_eq!(read(&path, 6).expect("read"), b"second");
        assert!(read(&path, 5).is_err(), "longer than it may be");
        assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 1, "nothing else is left");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(&path).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }
}
