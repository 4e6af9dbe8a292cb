//! Files that their owner alone reads, whole or not there.

use std::fs::FileType;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::file::kind::Kind;

pub(crate) mod kind;

/// Writes a file that is not there yet, with mode 0600.
///
/// # Errors
///
/// If there is one of this name: it is left as it is.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    tapstake_durable::create(path, bytes).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Error::rule("file", format!("{} is there already", path.display()))
            .next("give another name, or move it away"),
        _ => unwritten(path, &error),
    })
}

/// Writes a file in place of whatever was there, with mode 0600.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    tapstake_durable::replace(path, bytes).map_err(|error| unwritten(path, &error))
}

/// Writes a file in place of an older one of its kind, with mode 0600.
///
/// # Errors
///
/// By the rule `file`, if something else is there: it is left as it is.
pub(crate) fn replace_own(path: &Path, bytes: &[u8]) -> Result<()> {
    if path.exists() && Kind::of(&read(path, MAX_REPLACED)?) != Kind::of(bytes) {
        let what = Kind::of(bytes).map_or("such a file".to_owned(), |kind| kind.to_string());
        let message = format!("{} is there already, and is not {what}", path.display());
        return Err(Error::rule("file", message).next("give another name, or move it away"));
    }
    replace(path, bytes)
}

/// More than any file that is written here takes: a proof with all headers of a chain.
const MAX_REPLACED: u64 = 256 << 20;

/// Reads a file of at most `limit` bytes; no more than that is ever held.
///
/// # Errors
///
/// By the rule `file`: if it is not there, is longer, or is neither a file nor a pipe.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let failed = |error: io::Error| unread(&path.display().to_string(), &error);
    let metadata = std::fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() && !is_pipe(metadata.file_type()) {
        let what = if metadata.is_dir() { "a folder" } else { "a device" };
        let message = format!("{} is {what}, not a file", path.display());
        return Err(Error::rule("file", message).next("give the name of a file"));
    }
    bounded(std::fs::File::open(path).map_err(failed)?, limit, &path.display().to_string())
}

/// Reads stdin to its end, of at most `limit` bytes.
///
/// # Errors
///
/// By the rule `file`, if it is longer or is no longer there.
pub(crate) fn read_stdin(limit: u64) -> Result<Vec<u8>> {
    bounded(io::stdin().lock(), limit, "stdin")
}

/// What is reserved before anything is read, in bytes: more than any secret takes.
const MAX_ROOM: usize = (64 << 10) + 1;

fn bounded(source: impl Read, limit: u64, name: &str) -> Result<Vec<u8>> {
    // Room for a secret from the start: a vector that grows leaves copies behind.
    let mut bytes = Vec::with_capacity(usize::try_from(limit + 1).unwrap_or(MAX_ROOM).min(MAX_ROOM));
    source.take(limit + 1).read_to_end(&mut bytes).map_err(|error| unread(name, &error))?;
    if bytes.len() as u64 > limit {
        let message = format!("{name} is longer than {limit} bytes, more than such a file ever has");
        return Err(Error::rule("file", message));
    }
    Ok(bytes)
}

fn unread(name: &str, error: &io::Error) -> Error {
    let refused = Error::rule("file", format!("{name}: {error}"));
    match error.kind() {
        ErrorKind::NotFound => refused.next("look for a typing mistake: there is no file of this name"),
        ErrorKind::PermissionDenied => refused.next("run as the user whom the file belongs to"),
        _ => refused,
    }
}

#[cfg(unix)]
fn is_pipe(kind: FileType) -> bool {
    std::os::unix::fs::FileTypeExt::is_fifo(&kind)
}

#[cfg(not(unix))]
fn is_pipe(_: FileType) -> bool {
    false
}

/// Reads JSON of one kind.
///
/// # Errors
///
/// By the rule `file`, with at most a hundred characters of what was read.
pub(crate) fn json<T: DeserializeOwned>(bytes: &[u8], kind: Kind) -> Result<T> {
    of_kind(bytes, kind)?;
    serde_json::from_slice(bytes).map_err(|error| no_json(kind, &error))
}

/// What is wrong with JSON that is no file of its kind.
pub(crate) fn no_json(kind: Kind, error: &serde_json::Error) -> Error {
    let refused = Error::rule("file", format!("not {kind}: {}", clipped(&error.to_string())));
    if error.is_eof() { refused.next("get the whole file: it is cut off") } else { refused }
}

/// Refuses a file that is known to be of another kind.
///
/// # Errors
///
/// By the rule `file`.
pub(crate) fn of_kind(bytes: &[u8], kind: Kind) -> Result<()> {
    match Kind::of(bytes) {
        Some(found) if found != kind => {
            Err(Error::rule("file", format!("this is {found}, not {kind}")).next(format!("give {kind}")))
        }
        _ => Ok(()),
    }
}

/// The start and the end of a text: what a file says may be long, and is not for messages.
pub(crate) fn clipped(text: &str) -> String {
    const HEAD: usize = 100;
    const TAIL: usize = 40;
    let length = text.chars().count();
    if length <= HEAD + TAIL {
        return text.to_owned();
    }
    let head: String = text.chars().take(HEAD).collect();
    let tail: String = text.chars().skip(length - TAIL).collect();
    format!("{head} … {tail}")
}

/// What is wrong when a file cannot be written.
fn unwritten(path: &Path, error: &io::Error) -> Error {
    let folder = tapstake_durable::folder_of(path);
    if error.kind() == ErrorKind::NotFound && !folder.exists() {
        return Error::rule("file", format!("{}: its folder is not there", path.display()))
            .next(format!("make it: mkdir -p {}", folder.display()));
    }
    unread(&path.display().to_string(), error)
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
        let nowhere = folder.path().join("no").join("x.json");
        for write in [write_new, replace] {
            let error = write(&nowhere, b"x").expect_err("no folder");
            assert!(error.message().ends_with("its folder is not there"), "{}", error.message());
            assert!(error.what_next().is_some_and(|next| next.starts_with("make it: mkdir -p ")));
        }
        assert_eq!(read(&path, 6).expect("read"), b"second");
        assert!(read(&path, 5).is_err(), "longer than it may be");
        for none in [folder.path(), Path::new("there-is-no-such-file")] {
            let error = read(none, 5).expect_err("no file");
            assert_eq!(error.rule_name(), Some("file"));
            assert!(error.what_next().is_some());
        }
        assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 1, "nothing else is left");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(&path).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_file_takes_the_place_of_its_own_kind_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("proof.json");
        let (first, second) =
            (br#"{"inclusion_height": 1, "branch": {}}"#, br#"{"inclusion_height": 2, "branch": {}}"#);
        replace_own(&path, first).expect("a new file");
        replace_own(&path, second).expect("of the same kind");
        for other in [&b"words of mine"[..], br#"{"evidence": {}}"#, b""] {
            std::fs::write(&path, other).expect("written");
            assert_eq!(replace_own(&path, first).expect_err("another's").rule_name(), Some("file"));
            assert_eq!(std::fs::read(&path).expect("read"), other);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_device_is_not_read_at_all() {
        let error = read(Path::new("/dev/zero"), u64::MAX - 1).expect_err("a device");
        assert_eq!(error.message(), "/dev/zero is a device, not a file");
    }

    #[test]
    fn json_of_another_kind_is_named_and_little_of_it_is_repeated() {
        let proof = br#"{"inclusion_height": 1, "branch": {}}"#;
        let error = json::<u8>(proof, Kind::Delegation).expect_err("a proof");
        assert_eq!(error.message(), "this is a proof of a stake, not a delegation file");
        let long = format!("\"{}\"", "x".repeat(100_000));
        let error = json::<u8>(long.as_bytes(), Kind::Vote).expect_err("no number");
        assert_eq!(error.rule_name(), Some("file"));
        assert!(error.message().len() < 200, "{}", error.message());
        assert!(error.message().ends_with("line 1 column 100002"), "{}", error.message());
    }
}
