//! Files that are on the disk when the call returns, whole or not at all.
//!
//! A file is written as a draft, under another name in the same folder, and gets its own name once its bytes are on the disk:
//! [`create`] where there must be none yet, [`replace`] in place of an older one. Whoever is killed in between leaves the old state
//! and perhaps a draft, which [`clear_drafts`] removes. What a database writes goes into a [`Draft`] by its path.
//!
//! Everything made here is its owner's alone: files have mode 0600, folders 0700. A symbolic link is never written through: it
//! counts as a file that is there.
//!
//! Errors are those of the disk and do not name the file: the caller knows what it is for.
//!
//! ```
//! use std::io::ErrorKind;
//!
//! # let home = tempfile::tempdir()?;
//! let file = home.path().join("keys").join("first");
//! tapstake_durable::create_folders(tapstake_durable::folder_of(&file))?;
//! tapstake_durable::create(&file, b"secret")?;
//! assert_eq!(tapstake_durable::create(&file, b"other").unwrap_err().kind(), ErrorKind::AlreadyExists);
//! # Ok::<(), std::io::Error>(())
//! ```
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

/// Makes a new file.
///
/// # Errors
///
/// [`ErrorKind::AlreadyExists`] if something has this name: it stays as it is, whoever makes it and when. Otherwise what the disk
/// brings.
pub fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    Draft::with(path, bytes)?.create()
}

/// Makes a file, or takes the place of the one that is there: a crash leaves the old one or the new one.
///
/// # Errors
///
/// What the disk brings.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    Draft::with(path, bytes)?.replace()
}

/// A file to be, under another name in the same folder. Dropped, it is removed.
#[derive(Debug)]
pub struct Draft {
    file: NamedTempFile,
    target: PathBuf,
}

impl Draft {
    /// An empty draft of the file at `target`.
    ///
    /// # Errors
    ///
    /// What the disk brings.
    pub fn of(target: &Path) -> io::Result<Self> {
        let file =
            Builder::new().prefix(&prefix(target)).suffix(END).make_in(folder_of(target), private_file)?;
        Ok(Draft { file, target: target.to_owned() })
    }

    fn with(target: &Path, bytes: &[u8]) -> io::Result<Self> {
        let mut draft = Draft::of(target)?;
        draft.file.as_file_mut().write_all(bytes)?;
        Ok(draft)
    }

    /// Where it lies, for a database to fill it. That must be closed before the draft gets its name.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Gives it its name, if nothing has it yet.
    ///
    /// # Errors
    ///
    /// As [`create`].
    pub fn create(self) -> io::Result<()> {
        let Draft { file, target } = self;
        file.as_file().sync_all()?;
        match file.persist_noclobber(&target) {
            Err(refused) if refused.error.kind() == ErrorKind::AlreadyExists => return Err(refused.error),
            Err(refused) => claim(refused.file, &target)?,
            Ok(_) => {}
        }
        sync_folder(folder_of(&target))
    }

    /// Gives it its name, in place of what has it.
    fn replace(self) -> io::Result<()> {
        let Draft { file, target } = self;
        file.as_file().sync_all()?;
        file.persist(&target)?;
        sync_folder(folder_of(&target))
    }
}

/// Takes a name on a file system that knows neither links nor renaming without replacing: with an empty file first, so that no
/// other is ever replaced. A crash in between leaves that one, which nobody takes for a whole one.
fn claim(draft: NamedTempFile, target: &Path) -> io::Result<()> {
    private_file(target)?;
    draft.persist(target).map(drop).map_err(|refused| {
        let _ = fs::remove_file(target);
        refused.error
    })
}

/// Removes what killed processes left of a file that they were about to make or replace. The caller sees to it that no live one
/// is at it.
///
/// # Errors
///
/// What the disk brings.
pub fn clear_drafts(path: &Path) -> io::Result<()> {
    let prefix = prefix(path);
    for entry in fs::read_dir(folder_of(path))? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        if name.starts_with(prefix.as_encoded_bytes()) && name.ends_with(END.as_bytes()) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

const END: &str = ".new";

/// What the names of a file's drafts begin with.
fn prefix(path: &Path) -> OsString {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".");
    name
}

/// Makes a folder and those above it, where there are none yet, each name on the disk.
///
/// # Errors
///
/// What the disk brings, as when a file has the name of a folder.
pub fn create_folders(folder: &Path) -> io::Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    create_folders(folder_of(folder))?;
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    match builder.create(folder) {
        // Another process was faster.
        Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => {}
        other => other?,
    }
    sync_folder(folder_of(folder))
}

/// Makes the names in a folder durable.
///
/// # Errors
///
/// What the disk brings.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    // Folders cannot be opened as files on Windows; there a new name is durable by itself.
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// The folder a file lies in: `.` for a mere name.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes an empty file under its own name, for a database to fill: SQLite gives its journals the same mode.
///
/// # Errors
///
/// [`ErrorKind::AlreadyExists`] if something has this name, and what the disk brings.
pub fn private_file(path: &Path) -> io::Result<File> {
    for_owner().create_new(true).open(path)
}

/// To write a file, which is its owner's alone if it is made.
pub fn for_owner() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options
}

#[cfg(test)]
mod tests;
