//! The staker's public key and how its private key is found.

use std::fmt;
use std::str::FromStr;

use bitcoin::XOnlyPublicKey;
use bitcoin::bip32::{DerivationPath, Fingerprint};
use miniscript::descriptor::{DescriptorPublicKey, SinglePub, SinglePubKey};
use serde::{Deserialize, Serialize};

/// A staker key: what stands in scripts, and how a signer finds its private key.
///
/// As text it is a key expression of BIP-0380, `[fingerprint/path]key`, or the key alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StakerKey {
    /// The 32-byte key of the scripts.
    pub x_only: XOnlyPublicKey,
    /// How it is derived, if that is known.
    pub origin: Option<KeyOrigin>,
}

/// Where a key lies below a master key (BIP-0032).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyOrigin {
    /// The fingerprint of the master key, 4 bytes.
    pub fingerprint: Fingerprint,
    /// The path from the master key, such as `86'/0'/0'/2/0`.
    pub path: DerivationPath,
}

/// Text that is no staker key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("staker key: {0}")]
pub struct StakerKeyError(String);

impl StakerKey {
    /// A key of which nothing else is known.
    pub fn bare(x_only: XOnlyPublicKey) -> Self {
        StakerKey { x_only, origin: None }
    }

    /// The key as descriptors carry it.
    pub fn to_descriptor_key(&self) -> DescriptorPublicKey {
        DescriptorPublicKey::Single(SinglePub {
            origin: self.origin.clone().map(|origin| (origin.fingerprint, origin.path)),
            key: SinglePubKey::XOnly(self.x_only),
        })
    }

    /// The key and its origin as a PSBT carries them (BIP-0371).
    pub fn origins(&self) -> tapstake_tx::psbt::Origins {
        self.origin.iter().map(|origin| (self.x_only, (origin.fingerprint, origin.path.clone()))).collect()
    }
}

impl fmt::Display for StakerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_descriptor_key().fmt(f)
    }
}

impl FromStr for StakerKey {
    type Err = StakerKeyError;

    /// Reads a 32- or 33-byte key in hex, with or without `[fingerprint/path]` before it.
    fn from_str(text: &str) -> Result<Self, StakerKeyError> {
        match DescriptorPublicKey::from_str(text.trim()) {
            Ok(DescriptorPublicKey::Single(SinglePub { origin, key })) => Ok(StakerKey {
                x_only: match key {
                    SinglePubKey::XOnly(key) => key,
                    SinglePubKey::FullKey(key) => key.inner.x_only_public_key().0,
                },
                origin: origin.map(|(fingerprint, path)| KeyOrigin { fingerprint, path }),
            }),
            Ok(_) => Err(StakerKeyError("an extended key is not one key".into())),
            Err(error) => Err(StakerKeyError(error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";

    #[test]
    fn keys_are_read_with_and_without_their_origin() {
        let with = format!("[73c5da0a/86'/1'/0'/2/7]{KEY}");
        let key: StakerKey = with.parse().unwrap();
        assert_eq!(key.to_string(), with);
        assert_eq!(key.origins().len(), 1);
        let bare: StakerKey = format!("02{KEY}").parse().unwrap();
        assert_eq!(bare, StakerKey::bare(key.x_only));
        assert_eq!(bare.to_string(), KEY);
        for wrong in ["", &KEY[1..], &KEY.replace('7', "z"), "[73c5da0a/86'/1']", &"ff".repeat(32)] {
            assert!(wrong.parse::<StakerKey>().is_err(), "{wrong}");
        }
    }
}
