//! The staker's public key and where it comes from.

use std::fmt;

use bitcoin::XOnlyPublicKey;
use bitcoin::bip32::{DerivationPath, Fingerprint};
use bitcoin::secp256k1::Secp256k1;
use serde::{Deserialize, Serialize};

use crate::error::WalletError;
use crate::keys::public_account;
use crate::store::{Change, StakerKeySource};
use crate::wallet::Wallet;
use bdk_wallet::KeychainKind;

/// A staker key: what stands in scripts, and how a signer finds its private key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StakerKey {
    /// The 32-byte key of the scripts.
    pub x_only: XOnlyPublicKey,
    /// How it is derived; none if it is held outside of the wallet.
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

impl StakerKey {
    /// A key held elsewhere.
    pub fn external(x_only: XOnlyPublicKey) -> Self {
        StakerKey { x_only, origin: None }
    }
}

impl fmt::Display for StakerKey {
    /// The key expression of a descriptor (BIP-0380): `[fingerprint/path]key`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(KeyOrigin { fingerprint, path }) = &self.origin {
            write!(f, "[{fingerprint}/{path}]")?;
        }
        write!(f, "{}", self.x_only)
    }
}

impl Wallet {
    /// Whose staker key this wallet uses.
    pub fn staker_source(&self) -> StakerKeySource {
        self.meta.staker
    }

    /// Changes whose staker key is used for new stakes.
    ///
    /// # Errors
    ///
    /// [`WalletError::Database`].
    pub fn set_staker_source(&mut self, source: StakerKeySource) -> Result<(), WalletError> {
        let meta = crate::store::Meta { staker: source, ..self.meta.clone() };
        self.persist(&[Change::Meta(meta.clone())])?;
        self.meta = meta;
        Ok(())
    }

    /// Staker key `index`, derived from the account as `…/2/index`, or the external key whatever the index.
    ///
    /// # Errors
    ///
    /// [`WalletError::NoStakerKey`] if the descriptor has no account to derive from,
    /// [`WalletError::Descriptor`] for an index of 2^31 or more.
    pub fn staker_key(&self, index: u32) -> Result<StakerKey, WalletError> {
        if let StakerKeySource::External(key) = self.meta.staker {
            return Ok(StakerKey::external(key));
        }
        let secp = Secp256k1::verification_only();
        let secp_all = Secp256k1::new();
        let account = public_account(self.bdk.public_descriptor(KeychainKind::External), &secp_all)?;
        let (tail, path) = account.staker_path(index)?;
        let key = account
            .key
            .derive_pub(&secp, &tail)
            .map_err(|error| WalletError::Descriptor(error.to_string()))?;
        Ok(StakerKey {
            x_only: key.to_x_only_pub(),
            origin: Some(KeyOrigin { fingerprint: account.fingerprint, path }),
        })
    }
}
