//! Making the store's file whole or not at all.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::TrackerError;

/// Makes `file` by `fill`, which is given another name in the same folder: under its own name the file is complete
/// from the first moment. If another process makes it at the same time, the first one's stays.
pub(crate) fn create(
    file: &Path,
    fill: impl FnOnce(&Path) -> Result<(), rusqlite::Error>,
) -> Result<(), TrackerError> {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let failed = |error| TrackerError::File { file: file.to_owned(), error };
    private_folders(folder).map_err(failed)?;
    let draft = draft_of(file);
    // Left by a process of the same number, killed in here.
    remove(&draft).map_err(failed)?;
    let made = owners(&draft)
        .map_err(failed)
        .and_then(|()| fill(&draft).map_err(|error| TrackerError::Database { file: file.to_owned(), error }))
        .and_then(|()| publish(&draft, file, folder).map_err(failed));
    remove(&draft).map_err(failed)?;
    made
}

fn draft_of(file: &Path) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.{count}.new", std::process::id()));
    file.with_file_name(name)
}

/// A folder, and those above it that are missing, which their owner alone enters (mode 0700).
fn private_folders(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(folder)
}

/// An empty file that its owner alone reads and writes (mode 0600); SQLite gives its journals the same mode.
fn owners(draft: &Path) -> io::Result<()> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(draft).map(drop)
}

fn publish(draft: &Path, file: &Path, folder: &Path) -> io::Result<()> {
    File::open(draft)?.sync_all()?;
    // Unlike renaming, linking never takes the place of a file that is there.
    match fs::hard_link(draft, file) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(_) if !file.try_exists()? => fs::rename(draft, file)?,
        other => other?,
    }
    if cfg!(unix) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
