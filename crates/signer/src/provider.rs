//! A finality provider: randomness committed to in advance, votes, and the protection from voting twice.
//!
//! Two signatures of one provider for one height give its key to everybody, and with it the stakes that chose it. So a
//! [`Provider`] writes down durably what it is about to sign before it signs:
//!
//! 1. it takes the lock of its folder and the one of its marker: one process at a time, copies of the folder included;
//! 2. it compares the record with the marker: a restored backup is found out;
//! 3. it looks the height up: the same block again gets the same signature, another one is refused, and a height that is not
//!    above all others in the record gets no new vote;
//! 4. the marker is replaced by one that names the new entry, and reaches the disk;
//! 5. the record takes the entry, and reaches the disk;
//! 6. only then the signature is computed.
//!
//! A process killed before 4 has done nothing; between 4 and 5 it leaves a marker that is one entry ahead, and the next
//! one adds this entry before anything else, so that the height is bound to that block; after 5 all is written. No order of
//! kills, restarts and conflicting requests leads to a second signature. `docs/slashing-protection.md` has the whole of it.
//!
//! ```
//! # use tapstake_signer::keyfile::{Passphrase, WorkFactor};
//! # use tapstake_signer::provider::{NewProvider, Origin, Provider, ProviderError};
//! use tapstake_crypto::eots::Vote;
//!
//! # fn main() -> Result<(), ProviderError> {
//! # let home = tempfile::tempdir().expect("a folder");
//! # let passphrase = Passphrase::new("correct horse".into()).expect("not empty");
//! let mut provider = Provider::init(&NewProvider {
//!     folder: &home.path().join("provider"),
//!     marker_folder: &home.path().join("markers"),
//!     service: "my-chain",
//!     origin: Origin::Fresh,
//!     passphrase: &passphrase,
//!     work: WorkFactor::Fixed(2), // for tests; Calibrated for people
//! })?;
//! provider.commit(100, 50)?;
//! let vote = provider.vote(Vote { height: 100, block_hash: [1; 32] })?;
//! assert_eq!(provider.vote(Vote { height: 100, block_hash: [1; 32] })?, vote);
//! let conflict = provider.vote(Vote { height: 100, block_hash: [2; 32] });
//! assert!(matches!(conflict, Err(ProviderError::DoubleVote { height: 100, .. })));
//! # Ok(())
//! # }
//! ```

mod entry;
mod error;
mod keys;
mod lock;
mod marker;
mod record;
mod setup;
mod status;

use std::path::{Path, PathBuf};

use bitcoin::secp256k1::{All, Secp256k1, XOnlyPublicKey};
use tapstake_crypto::eots::{self, Commitment, CommitmentTree, PublicRandomness, SignedCommitment, Vote};
use tapstake_durable as durable;
use tapstake_verifier::equivocation::{self, CommittedRandomness, SignedVote};

use crate::keyfile::{self, KeyUse, Passphrase};
use entry::{Entry, Tip};
use keys::Keys;
use lock::Lock;
use marker::Marker;
use record::{Owner, Record};

pub use error::ProviderError;
pub use setup::{History, NewProvider, Origin};
pub use status::{MarkerState, Status};

/// The name of the key file in a provider's folder.
pub const KEY_FILE: &str = "key.age";
const RECORD_FILE: &str = "provider.db";
const LOCK_FILE: &str = "lock";

/// The most heights of one commitment: a fortnight of blocks every ten seconds, 4 MB in the record.
pub const MAX_COMMITMENT: u64 = 1 << 17;
/// The greatest height: SQLite's numbers have a sign.
const MAX_HEIGHT: u64 = u64::MAX >> 1;

/// A finality provider in its folder, locked for as long as the value lives.
#[derive(Debug)]
pub struct Provider {
    _folder_lock: Lock,
    _marker_lock: Lock,
    folder: PathBuf,
    owner: Owner,
    record: Record,
    tip: Tip,
    keys: Keys,
    committed: Option<Committed>,
    secp: Secp256k1<All>,
}

/// A commitment and its whole tree: kept from vote to vote.
#[derive(Debug)]
struct Committed {
    signed: SignedCommitment,
    tree: CommitmentTree,
}

/// A folder whose lock is taken and whose keys are still shut.
struct Locked {
    folder: PathBuf,
    lock: Lock,
    record: Record,
    owner: Owner,
}

impl Locked {
    fn folder(folder: &Path) -> Result<Self, ProviderError> {
        let file = record_file(folder)?;
        let lock = Lock::take(folder.join(LOCK_FILE))?;
        let record = Record::open(&file)?;
        let owner = record.owner()?;
        // A vote that no file takes would use its height up.
        check_service(&owner.service)?;
        Ok(Locked { folder: folder.to_owned(), lock, record, owner })
    }

    /// Takes the marker's lock and opens the key file.
    fn unlock(self, passphrase: &Passphrase) -> Result<Provider, ProviderError> {
        let Locked { folder, lock, record, owner } = self;
        if !owner.marker.parent().is_some_and(Path::is_dir) {
            return Err(ProviderError::MarkerMissing(owner.marker));
        }
        let marker_lock = Lock::take(Lock::of_marker(&owner.marker))?;
        durable::clear_drafts(&owner.marker)
            .map_err(|error| ProviderError::Io { path: owner.marker.clone(), error })?;
        let path = folder.join(KEY_FILE);
        let (key_use, secret) = keyfile::read_any(&path, passphrase)?;
        if key_use == KeyUse::CovenantKey {
            let expected = KeyUse::ProviderSeed;
            return Err(keyfile::KeyFileError::OtherUse { path, found: key_use, expected }.into());
        }
        let secp = Secp256k1::new();
        let keys = Keys::derive(&secp, key_use, &secret, &owner.service)?;
        if keys.public() != owner.provider {
            return Err(ProviderError::OtherKey { found: keys.public().into(), expected: owner.provider });
        }
        let tip = record.tip()?;
        Ok(Provider {
            _folder_lock: lock,
            _marker_lock: marker_lock,
            folder,
            owner,
            record,
            tip,
            keys,
            committed: None,
            secp,
        })
    }
}

impl Provider {
    /// Opens the provider in a folder, alone, and follows its record from the first entry on.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Locked`] if another process has it; [`ProviderError::OldBackup`], [`ProviderError::MarkerMissing`],
    /// [`ProviderError::MarkerDamaged`] if the record may not be the newest ([`Provider::recover`] is the way on);
    /// [`ProviderError::Damaged`]; [`ProviderError::KeyFile`] for a wrong passphrase; [`ProviderError::NoProvider`] and what the
    /// disk brings.
    pub fn open(folder: &Path, passphrase: &Passphrase) -> Result<Self, ProviderError> {
        let mut provider = Locked::folder(folder)?.unlock(passphrase)?;
        provider.reconcile()?;
        Ok(provider)
    }

    /// The provider's key, as stakes name it.
    pub fn public_key(&self) -> XOnlyPublicKey {
        self.owner.provider
    }

    /// The service it votes for.
    pub fn service(&self) -> &str {
        &self.owner.service
    }

    /// What its folder holds.
    ///
    /// # Errors
    ///
    /// What reading the record brings.
    pub fn status(&self) -> Result<Status, ProviderError> {
        Status::of(&self.folder, &self.record, &self.owner, &self.tip)
    }

    /// Commits to the randomness of `count` heights from `start` on. It is drawn from the seed, the same whenever it is asked for, so
    /// that the same range again gets the same commitment, also in a folder that was made anew from the seed.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Overlap`] if a part of the range was committed to: services take one commitment a height;
    /// [`ProviderError::Range`] unless `count` is 1 to [`MAX_COMMITMENT`]; what writing the record brings.
    pub fn commit(&mut self, start: u64, count: u64) -> Result<SignedCommitment, ProviderError> {
        let fits = start.checked_add(count).is_some_and(|end| end <= MAX_HEIGHT);
        if count == 0 || count > MAX_COMMITMENT || !fits {
            return Err(ProviderError::Range { start, count, most: MAX_COMMITMENT });
        }
        if let Some(signed) = self.record.commitment_within(start, count)? {
            let with = (signed.commitment.start, signed.commitment.count);
            if with == (start, count) {
                return Ok(signed);
            }
            return Err(ProviderError::Overlap { start, count, with });
        }
        let randomness: Vec<PublicRandomness> =
            (start..start + count).map(|height| self.keys.randomness(&self.secp, height).public()).collect();
        let tree = CommitmentTree::new(start, randomness.iter().copied())?;
        // Without auxiliary randomness: one range has one signature.
        let signed = tree.commitment().sign(&self.secp, &self.keys.keypair, &[0; 32]);
        self.record.add_commitment(&signed, &randomness)?;
        self.committed = Some(Committed { signed, tree });
        Ok(signed)
    }

    /// Votes for a block. The vote is in the record, and on the disk, before its signature exists; asking for the same vote
    /// again gives the same signature.
    ///
    /// # Errors
    ///
    /// [`ProviderError::DoubleVote`] if the height has a vote for another block; [`ProviderError::NotAbove`] if it has none and
    /// others above it, or stated ones, have; [`ProviderError::NotCommitted`]; [`ProviderError::OldBackup`] and its kin if the marker
    /// changed meanwhile; what writing marker and record brings.
    pub fn vote(&mut self, vote: Vote) -> Result<SignedVote, ProviderError> {
        let Vote { height, block_hash } = vote;
        if height > MAX_HEIGHT {
            return Err(ProviderError::Height { height });
        }
        self.reconcile()?;
        match self.record.vote_at(height)? {
            Some(recorded) if recorded == vote => {}
            Some(Vote { block_hash: recorded, .. }) => {
                return Err(ProviderError::DoubleVote { height, recorded, asked: block_hash });
            }
            None => {
                if let Some(highest) = self.tip.height().filter(|highest| height <= *highest) {
                    return Err(ProviderError::NotAbove { height, highest });
                }
                // A vote that cannot be proven must not use up its height.
                self.committed(height)?;
                let next = self.tip.next(Entry::Vote(vote))?;
                Marker::new(self.owner.provider, &self.owner.service, &next).write(&self.owner.marker)?;
                self.record.append(&next)?;
                self.tip = next;
            }
        }
        self.sign(vote)
    }

    /// Signs what the record holds, and nothing else.
    fn sign(&mut self, vote: Vote) -> Result<SignedVote, ProviderError> {
        let Vote { height, .. } = vote;
        let randomness = self.keys.randomness(&self.secp, height);
        let committed = self.committed(height)?;
        let (commitment, proof) = (committed.signed, committed.tree.proof(height)?);
        let signed = SignedVote {
            service: self.owner.service.clone(),
            provider: self.owner.provider,
            vote,
            public_randomness: randomness.public(),
            committed: Some(CommittedRandomness { commitment, proof }),
            signature: eots::sign(&self.keys.keypair, &randomness, &vote.message()),
        };
        // A fault of the machine must not leave the process: a wrong signature can tell about the key.
        signed.check(&self.secp).map_err(|error| ProviderError::Signature { height, error })?;
        Ok(signed)
    }

    /// The commitment that covers a height.
    fn committed(&mut self, height: u64) -> Result<&Committed, ProviderError> {
        let covers = |signed: &SignedCommitment| {
            let Commitment { start, count, .. } = signed.commitment;
            (start..start + count).contains(&height)
        };
        if !self.committed.as_ref().is_some_and(|committed| covers(&committed.signed)) {
            let found = self.record.commitment_within(height, 1)?;
            let signed = found.ok_or(ProviderError::NotCommitted { height })?;
            let start = signed.commitment.start;
            let tree = CommitmentTree::new(start, self.record.randomness(start)?)?;
            self.committed = Some(Committed { signed, tree });
        }
        Ok(self.committed.as_ref().expect("it was put there"))
    }

    /// Compares the record with the marker, and finishes what a killed process began.
    fn reconcile(&mut self) -> Result<(), ProviderError> {
        let marker = Marker::read(&self.owner.marker)?
            .ok_or_else(|| ProviderError::MarkerMissing(self.owner.marker.clone()))?;
        check_marker(&self.owner, &marker)?;
        let marked = marker.tip();
        if marked == self.tip {
            return Ok(());
        }
        if !marked.follows(&self.tip) {
            return Err(ProviderError::OldBackup {
                folder: self.folder.clone(),
                marker: self.owner.marker.clone(),
                folder_counter: self.tip.counter,
                marker_counter: marked.counter,
                marker_height: marked.height(),
            });
        }
        // Killed between marker and record: whether its signature was wanted or not, the height is that block's now.
        self.record.append(&marked)?;
        self.tip = marked;
        Ok(())
    }
}

/// Refuses what no vote file takes as the name of a service.
fn check_service(service: &str) -> Result<(), ProviderError> {
    equivocation::check_service(service).map_err(|_| ProviderError::Service { length: service.len() })
}

/// Refuses a marker that is not this provider's.
fn check_marker(owner: &Owner, marker: &Marker) -> Result<(), ProviderError> {
    if marker.provider != owner.provider || marker.service != owner.service {
        return Err(ProviderError::OtherMarker {
            marker: owner.marker.clone(),
            provider: marker.provider,
            service: marker.service.clone(),
        });
    }
    Ok(())
}

fn record_file(folder: &Path) -> Result<PathBuf, ProviderError> {
    let file = folder.join(RECORD_FILE);
    match file.try_exists() {
        Ok(true) => Ok(file),
        Ok(false) => Err(ProviderError::NoProvider(folder.to_owned())),
        Err(error) => Err(ProviderError::Io { path: file, error }),
    }
}
