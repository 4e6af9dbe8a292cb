//! Whose staker key a wallet uses.

use bdk_wallet::KeychainKind;
use bitcoin::secp256k1::Secp256k1;

use crate::error::WalletError;
use crate::keys::public_account;
use crate::staker_key::{KeyOrigin, StakerKey};
use crate::store::{Change, Meta};
use crate::wallet::Wallet;

/// Whose staker key the wallet uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StakerKeySource {
    /// Derived from the wallet's account on chain [`STAKER_CHAIN`](crate::STAKER_CHAIN).
    Derived,
    /// Held elsewhere; only its public key is known here.
    External(StakerKey),
}

impl Wallet {
    /// Whose staker key this wallet uses.
    pub fn staker_source(&self) -> &StakerKeySource {
        &self.meta.staker
    }

    /// Changes whose staker key is used for new stakes.
    ///
    /// # Errors
    ///
    /// [`WalletError::Database`].
    pub fn set_staker_source(&mut self, source: StakerKeySource) -> Result<(), WalletError> {
        let meta = Meta { staker: source, ..self.meta.clone() };
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
        if let StakerKeySource::External(key) = &self.meta.staker {
            return Ok(key.clone());
        }
        let secp = Secp256k1::new();
        let account = public_account(self.bdk.public_descriptor(KeychainKind::External), &secp)?;
        let (tail, path) = account.staker_path(index)?;
        let key = account
            .key
            .derive_pub(&secp, &tail)
            .map_err(|error| WalletError::Descriptor(error.to_string()))?;
        let origin = KeyOrigin { fingerprint: account.fingerprint, path };
        Ok(StakerKey { x_only: key.to_x_only_pub(), origin: Some(origin) })
    }
}
