//! Secret keys on disk: 32 bytes in a file that a passphrase opens.
//!
//! The file is an [age](https://age-encryption.org/v1) file in its binary form with one passphrase recipient (scrypt),
//! mode 0600. `age --decrypt FILE` opens it as well, asks for the passphrase and prints two lines: what the secret is
//! for, and its 64 hex digits.
//!
//! ```text
//! tapstake provider-seed 1
//! 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
//! ```
//!
//! There is no file without a passphrase: who wants one on an unattended machine keeps the passphrase in a file that only
//! the service reads, which is no weaker than a bare key there and stronger wherever the key file is copied to alone.

mod error;
mod secret;

use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use age::{DecryptError, Decryptor, Encryptor, scrypt};
use bitcoin::hex::DisplayHex;
use tapstake_durable as durable;
use zeroize::Zeroizing;

pub use error::KeyFileError;
pub use secret::{Passphrase, SecretBytes, SecretError};

/// What a secret is for: written into the file, so that one is never taken for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyUse {
    /// The seed of a finality provider: its EOTS key and its randomness come from it.
    ProviderSeed,
    /// The EOTS secret key of a finality provider, made elsewhere.
    ProviderKey,
    /// The secret key of a covenant member.
    CovenantKey,
}

impl KeyUse {
    /// The name in the file.
    pub const fn name(self) -> &'static str {
        match self {
            KeyUse::ProviderSeed => "provider-seed",
            KeyUse::ProviderKey => "provider-key",
            KeyUse::CovenantKey => "covenant-key",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [KeyUse::ProviderSeed, KeyUse::ProviderKey, KeyUse::CovenantKey]
            .into_iter()
            .find(|key_use| key_use.name() == name)
    }
}

/// How much work a guess of the passphrase takes: scrypt's N is two to the power of this (r = 8, p = 1), and trying one
/// passphrase takes 1024 · N bytes of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WorkFactor {
    /// About a second on this machine, at least [`WorkFactor::LEAST`] and at most [`WorkFactor::MOST`].
    #[default]
    Calibrated,
    /// As given. Below [`WorkFactor::LEAST`] it suits tests only.
    Fixed(u8),
}

impl WorkFactor {
    /// The least that calibration chooses, however slow the machine: 32 MB.
    pub const LEAST: u8 = 15;
    /// The most that is written, and read: 1 GB. A file that asks for more is not tried.
    pub const MOST: u8 = 20;

    const fn check(self) -> Result<(), KeyFileError> {
        match self {
            WorkFactor::Fixed(log_n) if log_n == 0 || log_n > WorkFactor::MOST => {
                Err(KeyFileError::WorkFactor { given: log_n, most: WorkFactor::MOST })
            }
            _ => Ok(()),
        }
    }
}

/// No key file is longer: age's header with one recipient and 90 bytes of text take some 300.
const MAX_BYTES: u64 = 4096;
const FORMAT: &str = "1";

/// Writes a new key file, mode 0600: when this returns, it is on the disk. A file that is there is never replaced.
///
/// # Errors
///
/// [`KeyFileError::Exists`], [`KeyFileError::WorkFactor`], [`KeyFileError::Io`].
pub fn write(
    path: &Path,
    key_use: KeyUse,
    secret: &SecretBytes,
    passphrase: &Passphrase,
    work: WorkFactor,
) -> Result<(), KeyFileError> {
    work.check()?;
    let io = |error| KeyFileError::Io { path: path.to_owned(), error };
    if path.try_exists().map_err(io)? {
        return Err(KeyFileError::Exists(path.to_owned()));
    }
    let bytes = seal(key_use, secret, passphrase, work).map_err(io)?;
    match durable::create(path, &bytes) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(KeyFileError::Exists(path.to_owned()))
        }
        other => other.map_err(io),
    }
}

/// Opens a key file for one use.
///
/// # Errors
///
/// [`KeyFileError::WrongPassphrase`]; [`KeyFileError::Damaged`] for what is cut off, changed or no age file;
/// [`KeyFileError::NoPassphrase`] for an age file that a key opens; [`KeyFileError::TooMuchWork`],
/// [`KeyFileError::OtherUse`], [`KeyFileError::Io`].
pub fn read(path: &Path, key_use: KeyUse, passphrase: &Passphrase) -> Result<SecretBytes, KeyFileError> {
    let (found, secret) = read_any(path, passphrase)?;
    if found != key_use {
        return Err(KeyFileError::OtherUse { path: path.to_owned(), found, expected: key_use });
    }
    Ok(secret)
}

/// Opens a key file and says what its secret is for.
///
/// # Errors
///
/// As [`read`], without [`KeyFileError::OtherUse`].
pub fn read_any(path: &Path, passphrase: &Passphrase) -> Result<(KeyUse, SecretBytes), KeyFileError> {
    let io = |error| KeyFileError::Io { path: path.to_owned(), error };
    let damaged = |reason: &str| KeyFileError::Damaged { path: path.to_owned(), reason: reason.to_owned() };
    let mut bytes = Vec::new();
    std::fs::File::open(path).map_err(io)?.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(damaged(&format!("longer than {MAX_BYTES} bytes")));
    }

    let decryptor = Decryptor::new(bytes.as_slice())
        .map_err(|_| damaged("it is no age file, or its header is cut off"))?;
    if !decryptor.is_scrypt() {
        return Err(KeyFileError::NoPassphrase(path.to_owned()));
    }
    let mut identity = scrypt::Identity::new(passphrase.to_age());
    identity.set_max_work_factor(WorkFactor::MOST);
    let mut reader =
        decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity)).map_err(|error| match error {
            // The first proof of the passphrase is the wrapped key's authentication.
            DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed => {
                KeyFileError::WrongPassphrase(path.to_owned())
            }
            DecryptError::ExcessiveWork { required, .. } => {
                KeyFileError::TooMuchWork { path: path.to_owned(), required, most: WorkFactor::MOST }
            }
            DecryptError::InvalidMac => damaged("its header was changed"),
            _ => damaged("its header does not parse"),
        })?;
    // Reserved ahead, so that growing leaves no copies behind.
    let mut text = Zeroizing::new(Vec::with_capacity(bytes.len()));
    reader.read_to_end(&mut text).map_err(|_| damaged("what it holds is cut off or was changed"))?;
    parse(&text).map_err(|reason| damaged(&reason))
}

fn seal(
    key_use: KeyUse,
    secret: &SecretBytes,
    passphrase: &Passphrase,
    work: WorkFactor,
) -> std::io::Result<Vec<u8>> {
    let log_n = match work {
        WorkFactor::Fixed(log_n) => log_n,
        WorkFactor::Calibrated => calibrated(passphrase),
    };
    let encryptor = encryptor(passphrase, log_n);
    let mut sealed = Vec::new();
    let mut writer = encryptor.wrap_output(&mut sealed)?;
    writeln!(writer, "tapstake {} {FORMAT}", key_use.name())?;
    let digits = Zeroizing::new(secret.expose().to_lower_hex_string());
    writeln!(writer, "{}", digits.as_str())?;
    writer.finish()?;
    Ok(sealed)
}

/// The work factor that takes about a second here. age's own calibration knows no least.
fn calibrated(passphrase: &Passphrase) -> u8 {
    let mut log_n = 10;
    let start = Instant::now();
    let _ = encryptor(passphrase, log_n);
    // Time grows with N.
    let mut expected = start.elapsed();
    while expected < Duration::from_secs(1) && log_n < WorkFactor::MOST {
        log_n += 1;
        expected *= 2;
    }
    log_n.max(WorkFactor::LEAST)
}

fn encryptor(passphrase: &Passphrase, log_n: u8) -> Encryptor {
    let mut recipient = scrypt::Recipient::new(passphrase.to_age());
    recipient.set_work_factor(log_n);
    Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient))
        .expect("one passphrase recipient goes with itself")
}

fn parse(text: &[u8]) -> Result<(KeyUse, SecretBytes), String> {
    let foreign = || "it holds no key of tapstake".to_owned();
    let text = std::str::from_utf8(text).map_err(|_| foreign())?;
    let (title, secret) = text.split_once('\n').ok_or_else(foreign)?;
    let words: Vec<&str> = title.split(' ').collect();
    let ["tapstake", name, version] = words[..] else { return Err(foreign()) };
    if version != FORMAT {
        return Err(format!("its format {version:.8} is newer than this program's {FORMAT}"));
    }
    let key_use = KeyUse::named(name).ok_or_else(|| format!("it holds a key of unknown use {name:.32}"))?;
    let secret = SecretBytes::from_hex(secret).map_err(|error| error.to_string())?;
    Ok((key_use, secret))
}

#[cfg(test)]
mod tests;
