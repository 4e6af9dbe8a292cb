//! Secrets as types that do not print and that are wiped when dropped, and the file they lie in.

use std::fmt;
use std::path::Path;

use bip39::Mnemonic;
use bitcoin::Network;
use bitcoin::bip32::Fingerprint;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tapstake_durable as durable;
use zeroize::Zeroizing;

use crate::error::{AtPath, WalletError};
use crate::file::read_limited;

/// A BIP-0039 mnemonic of 12 or 24 English words: the seed of a wallet.
///
/// It does not print itself; [`SeedPhrase::words`] gives the words to be written down.
#[derive(Clone, PartialEq, Eq)]
pub struct SeedPhrase(Mnemonic);

impl SeedPhrase {
    /// The phrase for 16 bytes of entropy (12 words) or 32 bytes (24 words).
    ///
    /// # Errors
    ///
    /// [`WalletError::Mnemonic`] or [`WalletError::MnemonicLength`] for any other number of bytes.
    pub fn from_entropy(entropy: &[u8]) -> Result<Self, WalletError> {
        Self::checked(Mnemonic::from_entropy(entropy)?)
    }

    /// A fresh phrase of 12 or 24 words from the operating system's randomness.
    ///
    /// # Errors
    ///
    /// [`WalletError::MnemonicLength`] for any other number of words.
    pub fn generate(words: usize) -> Result<Self, WalletError> {
        use bitcoin::key::rand::{RngCore, rngs::OsRng};
        if words != 12 && words != 24 {
            return Err(WalletError::MnemonicLength(words));
        }
        // 12 words carry 128 bits, 24 words 256.
        let mut entropy = Zeroizing::new([0u8; 32]);
        let entropy = &mut entropy[..words / 3 * 4];
        OsRng.fill_bytes(entropy);
        Self::from_entropy(entropy)
    }

    /// Reads a phrase as a person writes it, words apart by blanks or line ends, checksum included.
    ///
    /// # Errors
    ///
    /// [`WalletError::Mnemonic`] for unknown words or a wrong checksum, [`WalletError::MnemonicLength`].
    pub fn parse(words: &str) -> Result<Self, WalletError> {
        let lower = Zeroizing::new(words.to_lowercase());
        Self::checked(Mnemonic::parse(lower.as_str())?)
    }

    fn checked(mnemonic: Mnemonic) -> Result<Self, WalletError> {
        match mnemonic.word_count() {
            12 | 24 => Ok(SeedPhrase(mnemonic)),
            count => Err(WalletError::MnemonicLength(count)),
        }
    }

    /// The words, to be shown once and written down.
    pub fn words(&self) -> Zeroizing<String> {
        Zeroizing::new(self.0.to_string())
    }

    /// The 64-byte BIP-0032 seed of this phrase and its passphrase.
    pub(crate) fn seed(&self, passphrase: Option<&Passphrase>) -> Zeroizing<[u8; 64]> {
        Zeroizing::new(self.0.to_seed(passphrase.map_or("", |passphrase| passphrase.0.as_str())))
    }
}

impl fmt::Debug for SeedPhrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SeedPhrase({} words)", self.0.word_count())
    }
}

/// A BIP-0039 passphrase. It is never written to disk: whoever signs gives it.
///
/// It is a part of the seed and encrypts nothing: any other one gives another wallet. What opens the key file of a signer is
/// another secret, and so another type, that of `tapstake-signer`.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// Takes the passphrase as typed; an empty one is none.
    pub fn new(passphrase: String) -> Option<Self> {
        let passphrase = Zeroizing::new(passphrase);
        (!passphrase.is_empty()).then_some(Passphrase(passphrase))
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

/// Text that holds a private key, such as a descriptor with an extended private key.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Takes the text over.
    pub fn new(text: String) -> Self {
        SecretText(Zeroizing::new(text))
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(..)")
    }
}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(SecretText::new)
    }
}

const FORMAT: u32 = 1;

/// No seed file is longer: two descriptors are a few hundred bytes each.
const MAX_BYTES: u64 = 64 * 1024;

/// The seed file: what a wallet signs with.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SecretFile {
    format: u32,
    network: Network,
    /// Fingerprint of the master key, with the passphrase if there is one: tells a wrong passphrase.
    pub(crate) fingerprint: Option<Fingerprint>,
    pub(crate) secret: Secret,
}

/// The two kinds of secret a wallet is made from.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Secret {
    Mnemonic { words: SecretText, passphrase: bool, account: u32 },
    Descriptors { external: SecretText, internal: Option<SecretText> },
}

impl SecretFile {
    pub(crate) fn new(network: Network, fingerprint: Option<Fingerprint>, secret: Secret) -> Self {
        SecretFile { format: FORMAT, network, fingerprint, secret }
    }

    pub(crate) fn write(&self, path: &Path) -> Result<(), WalletError> {
        // Reserved ahead, so that growing leaves no copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(8 * 1024));
        serde_json::to_writer_pretty(&mut *bytes, self).map_err(std::io::Error::other).at(path)?;
        durable::replace(path, &bytes).at(path)
    }

    /// Reads the file; `None` if there is none (a watch-only wallet).
    pub(crate) fn read(path: &Path, network: Network) -> Result<Option<Self>, WalletError> {
        if !path.try_exists().at(path)? {
            return Ok(None);
        }
        refuse_other_readers(path)?;
        let bytes = Zeroizing::new(read_limited(path, MAX_BYTES)?);
        let damaged = |reason: String| WalletError::Damaged { file: path.display().to_string(), reason };

        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        // serde's message could quote the file, so only the place is told.
        let place = |error: &serde_json::Error| format!("line {}, column {}", error.line(), error.column());
        let Format { format } = serde_json::from_slice(&bytes).map_err(|error| damaged(place(&error)))?;
        if format > FORMAT {
            return Err(WalletError::NewerFormat {
                file: path.display().to_string(),
                found: format,
                supported: FORMAT,
            });
        }
        let file: SecretFile = serde_json::from_slice(&bytes).map_err(|error| damaged(place(&error)))?;
        if file.network != network {
            return Err(WalletError::WrongNetwork { wallet: file.network, expected: network });
        }
        Ok(Some(file))
    }
}

#[cfg(unix)]
fn refuse_other_readers(path: &Path) -> Result<(), WalletError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path).at(path)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(WalletError::OpenToOthers { path: path.to_owned(), mode });
    }
    Ok(())
}

#[cfg(not(unix))]
fn refuse_other_readers(_: &Path) -> Result<(), WalletError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: &str =
        "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";

    #[test]
    fn phrases_have_12_or_24_words_and_a_checksum() {
        assert_eq!(SeedPhrase::from_entropy(&[0; 16]).unwrap().words().as_str(), WORDS);
        assert_eq!(
            SeedPhrase::parse(&WORDS.to_uppercase().replace(' ', "\n ")).unwrap().words().as_str(),
            WORDS
        );
        for words in [12, 24] {
            let phrase = SeedPhrase::generate(words).unwrap();
            assert_eq!(phrase.words().split(' ').count(), words);
            assert_ne!(phrase, SeedPhrase::generate(words).unwrap());
        }
        assert!(matches!(SeedPhrase::generate(15), Err(WalletError::MnemonicLength(15))));
        assert!(matches!(SeedPhrase::from_entropy(&[0; 20]), Err(WalletError::MnemonicLength(15))));
        assert!(SeedPhrase::parse(&WORDS.replace("about", "abandon")).is_err());
    }

    #[test]
    fn secrets_are_not_in_debug() {
        let phrase = SeedPhrase::parse(WORDS).unwrap();
        let passphrase = Passphrase::new("correct horse".into()).unwrap();
        let file = SecretFile::new(
            Network::Regtest,
            None,
            Secret::Mnemonic { words: SecretText::new(WORDS.into()), passphrase: true, account: 0 },
        );
        let debug = format!("{phrase:?} {passphrase:?} {file:?}");
        assert!(!debug.contains("abandon") && !debug.contains("horse"), "{debug}");
    }

    #[test]
    fn the_seed_is_that_of_bip_0039() {
        // First vector of BIP-0039, passphrase TREZOR.
        let passphrase = Passphrase::new("TREZOR".into());
        let seed = SeedPhrase::parse(WORDS).unwrap().seed(passphrase.as_ref());
        assert_eq!(seed[..8], [0xc5, 0x52, 0x57, 0xc3, 0x60, 0xc0, 0x7c, 0x72]);
    }

    fn file() -> SecretFile {
        let secret = Secret::Mnemonic { words: SecretText::new(WORDS.into()), passphrase: false, account: 0 };
        SecretFile::new(Network::Signet, Some(Fingerprint::from([1, 2, 3, 4])), secret)
    }

    #[test]
    fn the_seed_file_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seed.json");
        assert!(SecretFile::read(&path, Network::Signet).unwrap().is_none());
        file().write(&path).unwrap();
        let back = SecretFile::read(&path, Network::Signet).unwrap().unwrap();
        assert_eq!(back.fingerprint, Some(Fingerprint::from([1, 2, 3, 4])));
        assert!(matches!(&back.secret, Secret::Mnemonic { words, .. } if words.expose() == WORDS));
        assert!(matches!(
            SecretFile::read(&path, Network::Regtest),
            Err(WalletError::WrongNetwork { wallet: Network::Signet, expected: Network::Regtest })
        ));
    }

    #[test]
    fn truncated_and_newer_seed_files_are_refused_without_quoting_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seed.json");
        file().write(&path).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let message = SecretFile::read(&path, Network::Signet).unwrap_err().to_string();
            assert!(message.contains("damaged") && !message.contains("abandon"), "{message}");
        }
        let newer = String::from_utf8(whole).unwrap().replace("\"format\": 1", "\"format\": 2");
        std::fs::write(&path, newer).unwrap();
        assert!(matches!(
            SecretFile::read(&path, Network::Signet),
            Err(WalletError::NewerFormat { found: 2, supported: 1, .. })
        ));
    }

    #[cfg(unix)]
    #[test]
    fn a_seed_file_readable_by_others_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seed.json");
        file().write(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = SecretFile::read(&path, Network::Signet).unwrap_err();
        assert!(error.to_string().contains("readable by others (mode 640)"), "{error}");
    }
}
