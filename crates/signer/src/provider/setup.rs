//! Making a provider's folder, and telling it how far it had come.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bitcoin::secp256k1::{Secp256k1, XOnlyPublicKey};
use tapstake_durable as durable;

use super::entry::{Entry, Tip, number_after};
use super::keys::Keys;
use super::lock::Lock;
use super::marker::Marker;
use super::record::{Owner, Record};
use super::{KEY_FILE, Locked, MAX_HEIGHT, Provider, ProviderError, RECORD_FILE, check_service};
use crate::keyfile::{self, KeyUse, Passphrase, SecretBytes, WorkFactor};

/// Where a new provider's keys come from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// A fresh seed from the operating system's randomness.
    Fresh,
    /// A seed that was a provider's before.
    Seed(SecretBytes, History),
    /// An EOTS secret key that was made elsewhere.
    Key(SecretBytes, History),
}

/// What a person knows about the votes of keys that are not fresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum History {
    /// These keys have signed no vote for this service, anywhere.
    NeverVoted,
    /// The greatest height these keys may have signed a vote for: nothing at or below it gets a vote here.
    LastKnownHeight(u64),
}

impl History {
    const fn height(self) -> Option<u64> {
        match self {
            History::NeverVoted => None,
            History::LastKnownHeight(height) => Some(height),
        }
    }
}

/// What a new provider is made of.
#[derive(Debug, Clone)]
pub struct NewProvider<'a> {
    /// Its folder, which must not be there yet.
    pub folder: &'a Path,
    /// The folder of its marker: elsewhere, where no backup of the provider's folder takes it back. The file in it is
    /// named after the provider's key.
    pub marker_folder: &'a Path,
    /// The service it votes for: 1 to 64 printable ASCII characters without blanks.
    pub service: &'a str,
    /// Its keys.
    pub origin: Origin,
    /// What its key file will be opened with.
    pub passphrase: &'a Passphrase,
    /// How hard its key file is to guess open.
    pub work: WorkFactor,
}

impl Provider {
    /// Makes a provider's folder and its marker. Killed at any point, it leaves no folder or a whole one.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Exists`]; [`ProviderError::LastKnownHeight`] if a marker on this machine knows of higher votes than
    /// what was stated; [`ProviderError::OtherMarker`] if the key serves another service; [`ProviderError::MarkerMoved`] if the
    /// marker of this key is elsewhere; [`ProviderError::Service`],
    /// [`ProviderError::NoKey`], [`ProviderError::KeyFile`] and what the disk brings.
    pub fn init(new: &NewProvider<'_>) -> Result<Self, ProviderError> {
        check_service(new.service)?;
        let folder = absolute(new.folder)?;
        if folder.try_exists().map_err(at(&folder))? {
            return Err(ProviderError::Exists(folder));
        }
        let (key_use, secret, history) = match new.origin.clone() {
            Origin::Fresh => (KeyUse::ProviderSeed, SecretBytes::generate(), History::NeverVoted),
            Origin::Seed(secret, history) => (KeyUse::ProviderSeed, secret, history),
            Origin::Key(secret, history) => (KeyUse::ProviderKey, secret, history),
        };
        if let Some(height) = history.height() {
            check_height(height)?;
        }
        let keys = Keys::derive(&Secp256k1::new(), key_use, &secret, new.service)?;
        let marker_folder = absolute(new.marker_folder)?;
        durable::create_folders(&marker_folder).map_err(at(&marker_folder))?;
        let marker = marker_path(&marker_folder, &keys.public());
        let marker_lock = Lock::take(Lock::of_marker(&marker))?;
        let owner = Owner { provider: keys.public(), service: new.service.to_owned(), marker };
        let before = known(&owner, history.height())?;

        let empty = Tip::empty(&owner.provider, &owner.service);
        let tip = match history {
            History::NeverVoted => empty,
            History::LastKnownHeight(height) => {
                let number = number_after(before.map_or(0, |tip| tip.counter))?;
                empty.with(number, Entry::Floor(height))
            }
        };
        // Everything is made under another name: the folder is complete from the first moment.
        let mut draft_name = folder.file_name().unwrap_or_default().to_owned();
        draft_name.push(format!(".{}.new", std::process::id()));
        let draft = folder.with_file_name(draft_name);
        let made = fill(&draft, &owner, &tip, |key_file| {
            keyfile::write(key_file, key_use, &secret, new.passphrase, new.work)
        });
        // The marker first: without it the folder would ask for a height that nobody needs to know.
        let published = made
            .and_then(|()| Marker::new(owner.provider, &owner.service, &tip).write(&owner.marker))
            .and_then(|()| publish(&draft, &folder));
        if published.is_err() {
            let _ = fs::remove_dir_all(&draft);
        }
        published?;
        drop(marker_lock);
        Provider::open(&folder, new.passphrase)
    }

    /// Opens a provider whose record and marker disagree, or whose marker is lost, on a person's word: nothing at or below
    /// `last_known_height` gets a new vote from now on. `marker_folder` moves the marker, which leaves word of where to in
    /// the old place: from there on only recovering by the new place goes on.
    ///
    /// The word must be right: it is the greatest height that the provider's key has signed a vote for, on any machine; a greater
    /// one does no harm but that votes up to it are missed.
    ///
    /// # Errors
    ///
    /// [`ProviderError::LastKnownHeight`] if the record or the marker knows of a higher vote;
    /// [`ProviderError::MarkerMoved`] unless this goes by the place where the marker is; otherwise as
    /// [`Provider::open`], but for the errors that this is the answer to.
    pub fn recover(
        folder: &Path,
        passphrase: &Passphrase,
        last_known_height: u64,
        marker_folder: Option<&Path>,
    ) -> Result<Self, ProviderError> {
        check_height(last_known_height)?;
        let mut locked = Locked::folder(folder)?;
        let marker_folder = match (marker_folder, locked.owner.marker.parent()) {
            (Some(folder), _) => absolute(folder)?,
            (None, Some(folder)) => folder.to_owned(),
            (None, None) => return Err(ProviderError::MarkerMissing(locked.owner.marker)),
        };
        durable::create_folders(&marker_folder).map_err(at(&marker_folder))?;
        let marker = marker_path(&marker_folder, &locked.owner.provider);
        let left = std::mem::replace(&mut locked.owner.marker, marker);
        let from = left.clone();
        let left = (left != locked.owner.marker).then(|| Left::take(left)).transpose()?.flatten();
        let mut provider = locked.unlock(passphrase)?;
        check_place(&from, &provider.owner.marker)?;
        let at_place = |marker: &Path| -> Result<Option<u64>, ProviderError> {
            let owner = Owner { marker: marker.to_owned(), ..provider.owner.clone() };
            match known(&owner, Some(last_known_height)) {
                // Its way was followed: it is here that it leads, or from here that it goes back.
                Err(ProviderError::MarkerMoved { counter, .. }) => Ok(Some(counter)),
                known => Ok(known?.map(|tip| tip.counter)),
            }
        };
        let marked = at_place(&provider.owner.marker)?;
        let left_counter = match &left {
            Some(left) => at_place(&left.marker)?,
            None => None,
        };
        if let Some(recorded) = provider.tip.height().filter(|height| *height > last_known_height) {
            return Err(ProviderError::LastKnownHeight { stated: Some(last_known_height), recorded });
        }
        let counters = [marked, left_counter].into_iter().flatten();
        let counter = number_after(counters.fold(provider.tip.counter, u64::max))?;
        let next = provider.tip.with(counter, Entry::Floor(last_known_height));
        let marker = Marker::new(provider.owner.provider, &provider.owner.service, &next);
        marker.write(&provider.owner.marker)?;
        if let Some(left) = left {
            marker.leave_word(&left.marker, &provider.owner.marker)?;
        }
        provider.record.append_and_move_marker(&next, &provider.owner.marker)?;
        provider.tip = next;
        Ok(provider)
    }
}

/// The marker in the place that a record leaves behind. It gives way to word of where it is, so that no copy of the folder is
/// content with it, nor recovered beside it.
struct Left {
    marker: PathBuf,
    _lock: Lock,
}

impl Left {
    /// Locks it; none if even its folder is gone.
    fn take(marker: PathBuf) -> Result<Option<Self>, ProviderError> {
        if !marker.parent().is_some_and(Path::is_dir) {
            return Ok(None);
        }
        let lock = Lock::take(Lock::of_marker(&marker))?;
        Ok(Some(Left { marker, _lock: lock }))
    }
}

/// Refuses to recover by another place than the one where the marker is: `from` is what the record knows, `to` what is asked
/// for.
fn check_place(from: &Path, to: &Path) -> Result<(), ProviderError> {
    let moved = |marker: &Path, to: PathBuf| match Marker::read(marker) {
        Err(ProviderError::MarkerMoved { marker, counter, .. }) => {
            Err(ProviderError::MarkerMoved { marker, to, counter })
        }
        _ => Ok(()),
    };
    let (end, other_end) = (Marker::follow(from)?, Marker::follow(to)?);
    if end != from && end != to {
        return moved(from, end);
    }
    // A marker may go back to a place that it left.
    if other_end != to && other_end != from {
        return moved(to, other_end);
    }
    Ok(())
}

fn marker_path(folder: &Path, provider: &XOnlyPublicKey) -> PathBuf {
    folder.join(format!("provider-{provider}.marker"))
}

/// What the marker in its place knows, if it is not higher than what was stated.
fn known(owner: &Owner, stated: Option<u64>) -> Result<Option<Tip>, ProviderError> {
    let marker = match Marker::read(&owner.marker) {
        // Whoever states a height has said all that the marker could.
        Err(ProviderError::MarkerDamaged { .. }) if stated.is_some() => None,
        other => other?,
    };
    let Some(marker) = marker else { return Ok(None) };
    super::check_marker(owner, &marker)?;
    let tip = marker.tip();
    match tip.height() {
        Some(recorded) if stated.is_none_or(|stated| stated < recorded) => {
            Err(ProviderError::LastKnownHeight { stated, recorded })
        }
        _ => Ok(Some(tip)),
    }
}

fn fill(
    draft: &Path,
    owner: &Owner,
    tip: &Tip,
    write_key: impl FnOnce(&Path) -> Result<(), keyfile::KeyFileError>,
) -> Result<(), ProviderError> {
    // Left by a process of the same number, killed in here.
    match fs::remove_dir_all(draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(draft)(error)),
        _ => {}
    }
    durable::create_folders(draft).map_err(at(draft))?;
    write_key(&draft.join(KEY_FILE))?;
    let mut record = Record::create(&draft.join(RECORD_FILE), owner)?;
    record.append(tip)?;
    drop(record);
    durable::sync_folder(draft).map_err(at(draft))
}

fn publish(draft: &Path, folder: &Path) -> Result<(), ProviderError> {
    // Renaming a folder never takes the place of one that holds files.
    fs::rename(draft, folder).map_err(|error| match error.kind() {
        io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists => {
            ProviderError::Exists(folder.to_owned())
        }
        _ => at(folder)(error),
    })?;
    durable::sync_folder(durable::folder_of(folder)).map_err(at(folder))
}

fn check_height(height: u64) -> Result<(), ProviderError> {
    if height > MAX_HEIGHT { Err(ProviderError::Height { height }) } else { Ok(()) }
}

/// The record names the marker by a path that holds wherever a process is started.
fn absolute(path: &Path) -> Result<PathBuf, ProviderError> {
    let absolute = std::path::absolute(path).map_err(at(path))?;
    match absolute.to_str() {
        Some(_) => Ok(absolute),
        None => Err(at(path)(io::Error::new(io::ErrorKind::InvalidInput, "a path in UTF-8 is needed"))),
    }
}

fn at(path: &Path) -> impl Fn(io::Error) -> ProviderError {
    let path = path.to_owned();
    move |error| ProviderError::Io { path: path.clone(), error }
}
