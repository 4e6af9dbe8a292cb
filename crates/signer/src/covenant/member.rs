use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use bitcoin::secp256k1::{All, Secp256k1};
use bitcoin::{OutPoint, XOnlyPublicKey};
use tapstake_durable as durable;
use tapstake_params::{Height, Schedule};
use tapstake_tx::delegation::DelegationPackage;

use super::approve::{Checked, Release};
use super::error::{CovenantError, PolicyFileError, Refusal};
use super::key::{CovenantKey, LocalKey};
use super::policy::Policy;
use super::record::Record;
use super::signed::{MemberSignatures, Signed};
use crate::keyfile::{self, KeyUse, Passphrase, SecretBytes, WorkFactor};

/// The member's secret key, encrypted; not there if the key is elsewhere.
const KEY: &str = "key.age";
/// The member's [`Policy`], to be edited by hand.
const POLICY: &str = "policy.json";
/// What was signed.
const RECORD: &str = "record.sqlite";
/// Held by the process that uses the folder.
const LOCK: &str = "lock";
/// No policy is longer: 100 versions of a committee of 64 keys take a tenth of it.
const MAX_POLICY: u64 = 4 << 20;

/// One covenant member and its folder: key file, policy, record of what was signed. One process at a time.
#[derive(Debug)]
pub struct Member {
    folder: PathBuf,
    secp: Secp256k1<All>,
    policy: Policy,
    record: Record,
    public_key: XOnlyPublicKey,
    _lock: File,
}

/// A delegation with a member's signatures in it.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The delegation, as it came and with the signatures added.
    pub package: DelegationPackage,
    /// The stake.
    pub stake: OutPoint,
    /// Whether these are signatures that had been given before, taken from the record.
    pub repeated: bool,
    /// Whether the member lets the old stake of an expansion go. While that waits, the delegation must come back with a
    /// quorum of the new stake's committee.
    pub release: Release,
    /// Other stakes signed for that spend a coin of this one's staking transaction: at most one of them can confirm.
    ///
    /// Signing several is no harm. Each staking transaction has its own txid, so signatures on top of one are worth
    /// nothing for another, and whichever confirms has its ways out. Refusing would lock out the staker whose first
    /// transaction was never sent.
    pub rivals: Vec<OutPoint>,
}

impl Member {
    /// Makes a member's folder, which must not be there yet, with its secret key in a file that `passphrase` opens.
    ///
    /// # Errors
    ///
    /// [`CovenantError::Exists`], [`CovenantError::NoSecretKey`] if `secret` is out of range,
    /// [`CovenantError::KeyFile`], [`CovenantError::Io`], [`CovenantError::Database`].
    pub fn create(
        folder: &Path,
        policy: &Policy,
        secret: &SecretBytes,
        passphrase: &Passphrase,
        work: WorkFactor,
    ) -> Result<Self, CovenantError> {
        let public_key = LocalKey::from_secret(secret)?.public_key();
        Self::make(folder, policy, public_key, |draft| {
            Ok(keyfile::write(&draft.join(KEY), KeyUse::CovenantKey, secret, passphrase, work)?)
        })
    }

    /// Makes the folder of a member whose key is elsewhere.
    ///
    /// # Errors
    ///
    /// As [`Member::create`].
    pub fn create_without_key(
        folder: &Path,
        policy: &Policy,
        public_key: XOnlyPublicKey,
    ) -> Result<Self, CovenantError> {
        Self::make(folder, policy, public_key, |_| Ok(()))
    }

    fn make(
        folder: &Path,
        policy: &Policy,
        public_key: XOnlyPublicKey,
        key: impl FnOnce(&Path) -> Result<(), CovenantError>,
    ) -> Result<Self, CovenantError> {
        let io = |error| CovenantError::Io { path: folder.to_owned(), error };
        if folder.try_exists().map_err(io)? && fs::read_dir(folder).map_err(io)?.next().is_some() {
            return Err(CovenantError::Exists(folder.to_owned()));
        }
        // Made under another name: a folder with a key but no record never stands under its own.
        let draft = draft_of(folder);
        if draft.try_exists().map_err(io)? {
            // Left by a process of the same number, killed in here.
            fs::remove_dir_all(&draft).map_err(io)?;
        }
        let fill = || {
            durable::create_folders(&draft).map_err(io)?;
            key(&draft)?;
            Record::create(&draft.join(RECORD), public_key)?;
            durable::create(&draft.join(POLICY), policy.to_json().as_bytes()).map_err(io)?;
            fs::rename(&draft, folder).map_err(|error| match error.kind() {
                ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists => {
                    CovenantError::Exists(folder.to_owned())
                }
                _ => io(error),
            })?;
            durable::sync_folder(durable::folder_of(folder)).map_err(io)
        };
        if let Err(error) = fill() {
            let _ = fs::remove_dir_all(&draft);
            return Err(error);
        }
        Self::open(folder)
    }

    /// Opens a member's folder for this process alone.
    ///
    /// # Errors
    ///
    /// [`CovenantError::NoMember`], [`CovenantError::InUse`], [`CovenantError::Policy`], and
    /// [`CovenantError::DamagedRecord`] or [`CovenantError::Io`] if the record is not whole: a member without its
    /// record must not sign, since it does not know any more what it has signed.
    pub fn open(folder: &Path) -> Result<Self, CovenantError> {
        let policy_file = folder.join(POLICY);
        let io = |path: &Path| {
            let path = path.to_owned();
            move |error| CovenantError::Io { path, error }
        };
        if !policy_file.try_exists().map_err(io(folder))? {
            return Err(CovenantError::NoMember(folder.to_owned()));
        }
        let lock_file = folder.join(LOCK);
        let lock = durable::for_owner().create(true).truncate(false).open(&lock_file);
        let lock = lock.map_err(io(&lock_file))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(CovenantError::InUse(folder.to_owned())),
            Err(TryLockError::Error(error)) => return Err(io(&lock_file)(error)),
        }
        let policy = read_policy(&policy_file)?;
        let record = Record::open(&folder.join(RECORD))?;
        let public_key = record.public_key()?;
        let (folder, secp) = (folder.to_owned(), Secp256k1::new());
        Ok(Member { folder, secp, policy, record, public_key, _lock: lock })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file with the policy, which is read when the folder is opened.
    pub fn policy_file(&self) -> PathBuf {
        self.folder.join(POLICY)
    }

    /// The policy.
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The member's key, as it stands in committees.
    pub const fn public_key(&self) -> XOnlyPublicKey {
        self.public_key
    }

    /// Whether the folder holds the member's secret key.
    pub fn has_key_file(&self) -> bool {
        self.folder.join(KEY).exists()
    }

    /// What was signed, oldest first.
    ///
    /// # Errors
    ///
    /// [`CovenantError::DamagedRecord`], [`CovenantError::Database`].
    pub fn signed(&self) -> Result<Vec<Signed>, CovenantError> {
        self.record.list()
    }

    /// The delegation of the stake at `outpoint` as this member signed it, for whoever lost it. It carries no witness of the
    /// staking transaction.
    ///
    /// # Errors
    ///
    /// [`CovenantError::DamagedRecord`], [`CovenantError::Database`].
    pub fn package(&self, outpoint: OutPoint) -> Result<Option<DelegationPackage>, CovenantError> {
        self.record.package(outpoint)
    }

    /// Opens the key file.
    ///
    /// # Errors
    ///
    /// [`CovenantError::KeyFile`], for a wrong passphrase among others; [`CovenantError::OtherKey`] if it holds
    /// another key than the one whose record this is.
    pub fn unlock(&self, passphrase: &Passphrase) -> Result<LocalKey, CovenantError> {
        let secret = keyfile::read(&self.folder.join(KEY), KeyUse::CovenantKey, passphrase)?;
        let key = LocalKey::from_secret(&secret)?;
        self.check_key(&key)?;
        Ok(key)
    }

    /// Takes other parameters into the policy, whose rules stay; the policy file is replaced.
    ///
    /// # Errors
    ///
    /// [`CovenantError::Io`]: then the old policy holds.
    pub fn adopt(&mut self, schedule: Schedule) -> Result<(), CovenantError> {
        let policy = Policy { schedule, rules: self.policy.rules.clone() };
        let path = self.policy_file();
        durable::replace(&path, policy.to_json().as_bytes())
            .map_err(|error| CovenantError::Io { path, error })?;
        self.policy = policy;
        Ok(())
    }

    fn check_key(&self, key: &dyn CovenantKey) -> Result<(), CovenantError> {
        if key.public_key() == self.public_key {
            Ok(())
        } else {
            Err(CovenantError::OtherKey(self.public_key))
        }
    }

    /// Checks a delegation against parameters and policy, and adds this member's signatures. They are in the record, on
    /// disk, before this returns them.
    ///
    /// `tip` is the height of the end of the chain as the member knows it; [`Policy::in_force`] says when it is needed.
    /// A delegation that was signed before gets the same signatures again, also when its parameters version no longer
    /// applies: they left long ago, and whoever lost them asks in vain elsewhere.
    ///
    /// An expansion may need two rounds: a member that sits in the old stake's committee signs for the new stake when it
    /// is first asked, and lets the old one go once a quorum has signed for the new one ([`Release`]). That is a new
    /// signature, for which the policy is asked again.
    ///
    /// # Errors
    ///
    /// [`CovenantError::Refused`] names the rule that fails; others say that key or record are out of order. Nothing
    /// was signed then, or nothing left.
    pub fn sign(
        &mut self,
        key: &dyn CovenantKey,
        package: &DelegationPackage,
        tip: Option<Height>,
    ) -> Result<Answer, CovenantError> {
        self.check_key(key)?;
        let Member { secp, policy, record, public_key, .. } = self;
        let checked = Checked::new(secp, policy, package)?;
        let (subject, coins) = (checked.subject(), checked.coins());
        let stake = subject.stake;
        let rivals = record.rivals(stake, &coins)?;
        let known = record.get(stake)?;
        let given = known.as_ref().filter(|known| known.subject.check_same(&subject).is_ok());
        let given = given.map(|known| &known.signatures);
        let unknown = checked.has_unknown_of(public_key, given);
        let release = match given {
            Some(MemberSignatures { expansion: Some(_), .. }) => Release::Given,
            _ => checked.release(public_key),
        };
        if let Some(signatures) = given
            && !unknown
            && (signatures.expansion.is_some() || release != Release::Given)
        {
            let package = checked
                .add(secp, *public_key, signatures)
                .map_err(|error| record.damaged(error.to_string()))?;
            return Ok(Answer { package, stake, repeated: true, release, rivals });
        }

        let approved = checked.approve(secp, tip)?;
        if let Some(Signed { subject: known, .. }) = &known {
            known.check_same(&subject)?;
        }
        if unknown {
            return Err(Refusal::UnknownOwnSignature { stake }.into());
        }
        for coin in approved.checked().funding() {
            if let Some(stake) = record.stake_of(coin)? {
                return Err(Refusal::FundingIsStake { coin, stake }.into());
            }
        }
        let signatures = match given {
            Some(given) => MemberSignatures { expansion: approved.sign_release(key)?, ..given.clone() },
            None => approved.sign(key)?,
        };
        // Verified before it counts: a key that is elsewhere may answer anything.
        let package = approved.add(secp, *public_key, &signatures).map_err(CovenantError::WrongAnswer)?;
        if given.is_some() {
            record.add_release(stake, &signatures, &package)?;
        } else {
            record.insert(&Signed { subject, signatures }, &coins, &package)?;
        }
        Ok(Answer { package, stake, repeated: false, release, rivals })
    }
}

fn read_policy(file: &Path) -> Result<Policy, CovenantError> {
    let mut text = String::new();
    let opened = File::open(file).and_then(|opened| opened.take(MAX_POLICY + 1).read_to_string(&mut text));
    opened.map_err(|error| CovenantError::Io { path: file.to_owned(), error })?;
    let wrong = |error| CovenantError::Policy { file: file.to_owned(), error };
    if text.len() as u64 > MAX_POLICY {
        return Err(wrong(PolicyFileError::TooLong(MAX_POLICY)));
    }
    Policy::from_json(&text).map_err(wrong)
}

fn draft_of(folder: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(folder.file_name().unwrap_or_default());
    name.push(format!(".{}.new", std::process::id()));
    folder.with_file_name(name)
}
