//! Secrets as types that do not print and that are wiped when dropped.

use std::fmt;

use age::secrecy::SecretString;
use bitcoin::hex::FromHex;
use bitcoin::key::rand::RngCore;
use bitcoin::key::rand::rngs::OsRng;
use zeroize::Zeroizing;

/// 32 secret bytes: a key or a seed.
#[derive(Clone)]
pub struct SecretBytes(Zeroizing<[u8; 32]>);

impl SecretBytes {
    /// Takes the bytes over; the caller wipes its own copy.
    pub fn new(bytes: [u8; 32]) -> Self {
        SecretBytes(Zeroizing::new(bytes))
    }

    /// Fresh bytes from the operating system's randomness.
    pub fn generate() -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        OsRng.fill_bytes(&mut *bytes);
        SecretBytes(bytes)
    }

    /// Reads 64 hex digits, white space around them allowed.
    ///
    /// # Errors
    ///
    /// [`SecretError`], which does not quote the text.
    pub fn from_hex(text: &str) -> Result<Self, SecretError> {
        let text = text.trim();
        let bytes = <[u8; 32]>::from_hex(text).map_err(|_| SecretError { length: text.len() })?;
        Ok(SecretBytes::new(bytes))
    }

    /// The bytes themselves.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(..)")
    }
}

/// Text that is no secret of 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret has 64 hex digits, this text of {length} characters is something else")]
pub struct SecretError {
    length: usize,
}

/// What opens a key file: it encrypts, unlike the passphrase of a seed (BIP-0039), which is another type, that of
/// `tapstake-wallet`.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// Takes the passphrase as typed; an empty one is none.
    pub fn new(passphrase: String) -> Option<Self> {
        let passphrase = Zeroizing::new(passphrase);
        (!passphrase.is_empty()).then_some(Passphrase(passphrase))
    }

    pub(super) fn to_age(&self) -> SecretString {
        // A copy of exactly its length: boxing it moves nothing.
        SecretString::from(self.0.as_str().to_owned())
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}
