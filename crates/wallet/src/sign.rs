//! Signing: the wallet's own coins, and Taproot leaves with the staker key.

use std::fmt;

use bitcoin::bip32::Xpriv;
use bitcoin::key::Keypair;
use bitcoin::key::rand::{RngCore, rngs::OsRng};
use bitcoin::psbt::{GetKey, GetKeyError, KeyRequest};
use bitcoin::secp256k1::{All, Message, Secp256k1, Signing, schnorr};
use bitcoin::sighash::{Prevouts, SighashCache};
use bitcoin::taproot::{self, TapLeafHash};
use bitcoin::{EcdsaSighashType, PrivateKey, Psbt, TapSighashType, TxOut, XOnlyPublicKey};

use crate::error::WalletError;
use crate::keys::{self, Account, ParsedDescriptors, SigningKeys};
use crate::psbt::prevout;
use crate::secret::{Passphrase, Secret, SecretFile};
use crate::staker_key::StakerKey;
use crate::wallet::{SEED, Wallet};

/// The private keys of a wallet, in memory for as long as this value lives.
pub struct Signer {
    keys: SigningKeys,
    staker: Option<Account<Xpriv>>,
    secp: Secp256k1<All>,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl Drop for Signer {
    fn drop(&mut self) {
        if let Some(account) = &mut self.staker {
            account.key.private_key.non_secure_erase();
        }
    }
}

/// The auxiliary randomness of a BIP-0340 signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AuxRandomness {
    /// Fresh from the operating system: what signatures should have.
    #[default]
    Fresh,
    /// None: the same signature each time, for test vectors.
    None,
}

/// A staker's key pair, wiped when dropped.
pub struct StakerKeypair(Keypair);

impl StakerKeypair {
    /// The public key, as it stands in scripts.
    pub fn x_only(&self) -> XOnlyPublicKey {
        self.0.x_only_public_key().0
    }

    /// The key pair, for code that signs by itself. Copies of it are not wiped.
    pub fn keypair(&self) -> &Keypair {
        &self.0
    }

    /// A BIP-0340 signature over 32 bytes.
    pub fn sign(&self, message: &Message, aux: AuxRandomness) -> schnorr::Signature {
        let secp = Secp256k1::signing_only();
        match aux {
            AuxRandomness::None => secp.sign_schnorr_no_aux_rand(message, &self.0),
            AuxRandomness::Fresh => {
                let mut bytes = [0; 32];
                OsRng.fill_bytes(&mut bytes);
                secp.sign_schnorr_with_aux_rand(message, &self.0, &bytes)
            }
        }
    }
}

impl fmt::Debug for StakerKeypair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StakerKeypair({})", self.x_only())
    }
}

impl Drop for StakerKeypair {
    fn drop(&mut self) {
        self.0.non_secure_erase();
    }
}

impl GetKey for SigningKeys {
    type Error = GetKeyError;

    fn get_key<C: Signing>(
        &self,
        request: KeyRequest,
        secp: &Secp256k1<C>,
    ) -> Result<Option<PrivateKey>, GetKeyError> {
        // A key that cannot serve this kind of request errs; another one may serve it.
        Ok(self.map.values().find_map(|key| key.get_key(request.clone(), secp).ok().flatten()))
    }
}

impl Wallet {
    /// Reads the private keys from the seed file, and checks that they are this wallet's.
    ///
    /// # Errors
    ///
    /// [`WalletError::WatchOnly`], [`WalletError::PassphraseNeeded`], [`WalletError::WrongPassphrase`],
    /// [`WalletError::ForeignKeys`], and what can be wrong with the file.
    pub fn signer(&self, passphrase: Option<&Passphrase>) -> Result<Signer, WalletError> {
        let network = self.network();
        let file = SecretFile::read(&self.folder.join(SEED), network)?.ok_or(WalletError::WatchOnly)?;
        let secp = Secp256k1::new();
        let parsed = match &file.secret {
            Secret::Descriptors { external, internal } => {
                keys::parse(external, internal.as_ref(), network, &secp)?
            }
            Secret::Mnemonic { words, passphrase: protected, account } => {
                let phrase = crate::SeedPhrase::parse(words.expose())?;
                if *protected && passphrase.is_none() {
                    return Err(WalletError::PassphraseNeeded);
                }
                let passphrase = passphrase.filter(|_| *protected);
                let (parsed, derived) = keys::bip86(&phrase, passphrase, network, *account, &secp)?;
                match file.fingerprint {
                    Some(expected) if expected != derived => {
                        return Err(WalletError::WrongPassphrase { derived, expected });
                    }
                    _ => parsed,
                }
            }
        };
        let ParsedDescriptors { public, keys } = parsed;
        let ours: Vec<_> = self.bdk.keychains().map(|(_, descriptor)| descriptor).collect();
        if !ours.iter().copied().eq(std::iter::once(&public.external).chain(&public.internal)) {
            return Err(WalletError::ForeignKeys(public.external.to_string()));
        }
        let staker = keys::public_account(&public.external, &secp)
            .ok()
            .and_then(|account| keys::private_account(&keys, &account, &secp));
        Ok(Signer { keys, staker, secp })
    }

    /// The words that the wallet was made from, to be written down. A passphrase is not among them.
    ///
    /// # Errors
    ///
    /// [`WalletError::NoWords`] if it was made from descriptors, and what can be wrong with the file.
    pub fn seed_phrase(&self) -> Result<crate::SeedPhrase, WalletError> {
        let file = SecretFile::read(&self.folder.join(SEED), self.network())?.ok_or(WalletError::NoWords)?;
        match &file.secret {
            Secret::Mnemonic { words, .. } => crate::SeedPhrase::parse(words.expose()),
            Secret::Descriptors { .. } => Err(WalletError::NoWords),
        }
    }

    /// Whether signing takes a passphrase (BIP-0039), which is kept nowhere.
    ///
    /// # Errors
    ///
    /// What can be wrong with the seed file.
    pub fn needs_passphrase(&self) -> Result<bool, WalletError> {
        let file = SecretFile::read(&self.folder.join(SEED), self.network())?;
        Ok(file.is_some_and(|file| matches!(file.secret, Secret::Mnemonic { passphrase: true, .. })))
    }

    /// Signs the inputs that spend coins of this wallet, and leaves all others alone. Returns the indices of
    /// the inputs that got a signature.
    ///
    /// # Errors
    ///
    /// [`WalletError::CoinMismatch`] if the PSBT states one of our coins wrongly, [`WalletError::SighashType`]
    /// if it asks for less than a signature over everything, [`WalletError::MissingPrevout`],
    /// [`WalletError::Signing`].
    pub fn sign(&self, signer: &Signer, psbt: &mut Psbt) -> Result<Vec<usize>, WalletError> {
        let prevouts = self.checked_prevouts(psbt)?;
        // Keys are found by derivation paths that the PSBT's author wrote: only inputs whose script we
        // derive ourselves may use them.
        let mut own = psbt.clone();
        for (data, prevout) in own.inputs.iter_mut().zip(&prevouts) {
            if !self.is_mine(&prevout.script_pubkey) {
                data.bip32_derivation.clear();
                data.tap_key_origins.clear();
            }
        }
        let used = match own.sign(&signer.keys, &signer.secp) {
            Ok(used) => used,
            Err((used, errors)) => {
                let ours = |input: &usize| {
                    prevouts.get(*input).is_some_and(|prevout| self.is_mine(&prevout.script_pubkey))
                };
                match errors.into_iter().find(|(input, _)| ours(input)) {
                    Some((input, error)) => {
                        return Err(WalletError::Signing { input, reason: error.to_string() });
                    }
                    None => used,
                }
            }
        };
        let mut signed = Vec::new();
        for (input, keys) in used {
            let some = match keys {
                bitcoin::psbt::SigningKeys::Ecdsa(keys) => !keys.is_empty(),
                bitcoin::psbt::SigningKeys::Schnorr(keys) => !keys.is_empty(),
            };
            if let (true, Some(to), Some(from)) =
                (some, psbt.inputs.get_mut(input), own.inputs.get_mut(input))
            {
                to.partial_sigs.append(&mut from.partial_sigs);
                to.tap_script_sigs.append(&mut from.tap_script_sigs);
                to.tap_key_sig = to.tap_key_sig.or(from.tap_key_sig);
                signed.push(input);
            }
        }
        Ok(signed)
    }

    /// Turns signatures into witnesses where the wallet knows how. True if every input is final.
    ///
    /// # Errors
    ///
    /// [`WalletError::CoinMismatch`], [`WalletError::SighashType`], [`WalletError::NotAPsbt`].
    pub fn finalize(&self, psbt: &mut Psbt) -> Result<bool, WalletError> {
        self.checked_prevouts(psbt)?;
        #[allow(deprecated, reason = "finalize_psbt still takes it")]
        let options = bdk_wallet::SignOptions::default();
        self.bdk.finalize_psbt(psbt, options).map_err(|error| WalletError::NotAPsbt(error.to_string()))
    }

    /// What every input spends; where the wallet knows it, it must be as the PSBT says.
    fn checked_prevouts(&self, psbt: &Psbt) -> Result<Vec<TxOut>, WalletError> {
        psbt.unsigned_tx
            .input
            .iter()
            .enumerate()
            .map(|(input, txin)| {
                let outpoint = txin.previous_output;
                let stated = prevout(psbt, input)?;
                if self.known_output(outpoint).is_some_and(|known| known != stated) {
                    return Err(WalletError::CoinMismatch { input, outpoint });
                }
                check_sighash_type(psbt, input)?;
                Ok(stated)
            })
            .collect()
    }
}

impl Signer {
    /// The key pair of staker key `index`.
    ///
    /// # Errors
    ///
    /// [`WalletError::ExternalStakerKey`] if the account's private key is not here,
    /// [`WalletError::Descriptor`] for an index of 2^31 or more.
    pub fn staker_keypair(&self, index: u32) -> Result<StakerKeypair, WalletError> {
        let account = self.staker.as_ref().ok_or(WalletError::ExternalStakerKey)?;
        let (tail, _) = account.staker_path(index)?;
        let mut key = account
            .key
            .derive_priv(&self.secp, &tail)
            .map_err(|error| WalletError::Descriptor(error.to_string()))?;
        let keypair = StakerKeypair(key.to_keypair(&self.secp));
        key.private_key.non_secure_erase();
        Ok(keypair)
    }

    /// The key pair of this staker key, found by its origin.
    ///
    /// # Errors
    ///
    /// [`WalletError::ExternalStakerKey`] if the account's private key is not here,
    /// [`WalletError::ForeignStakerKey`] if it is not derived from this signer's account,
    /// [`WalletError::OtherStakerKey`] if the key derived there is another.
    pub fn keypair_of(&self, key: &StakerKey) -> Result<StakerKeypair, WalletError> {
        let account = self.staker.as_ref().ok_or(WalletError::ExternalStakerKey)?;
        let index = key
            .origin
            .as_ref()
            .and_then(|origin| account.staker_index(origin.fingerprint, &origin.path))
            .ok_or_else(|| WalletError::ForeignStakerKey {
                key: key.x_only.into(),
                wallet: account.fingerprint,
            })?;
        let keypair = self.staker_keypair(index)?;
        if keypair.x_only() != key.x_only {
            return Err(WalletError::OtherStakerKey {
                expected: key.x_only.into(),
                actual: keypair.x_only().into(),
            });
        }
        Ok(keypair)
    }

    /// Signs every Taproot leaf (BIP-0342) for which the PSBT names one of our staker keys by its derivation,
    /// in `tap_key_origins` (BIP-0371). Returns the indices of the inputs signed.
    ///
    /// # Errors
    ///
    /// [`WalletError::ForgedOrigin`] if the key is not the one derived there,
    /// [`WalletError::UncommittedLeaf`] if the output spent does not commit to the leaf,
    /// [`WalletError::SighashType`], [`WalletError::MissingPrevout`], [`WalletError::CoinMismatch`].
    pub fn sign_leaves(&self, psbt: &mut Psbt, aux: AuxRandomness) -> Result<Vec<usize>, WalletError> {
        let account = self.staker.as_ref().ok_or(WalletError::ExternalStakerKey)?;
        let prevouts =
            (0..psbt.inputs.len()).map(|input| prevout(psbt, input)).collect::<Result<Vec<TxOut>, _>>()?;
        let tx = psbt.unsigned_tx.clone();
        let mut cache = SighashCache::new(&tx);
        let mut signatures = Vec::new();
        for (input, data) in psbt.inputs.iter().enumerate() {
            for (key, (leaf_hashes, (fingerprint, path))) in &data.tap_key_origins {
                let Some(index) = account.staker_index(*fingerprint, path) else { continue };
                if leaf_hashes.is_empty() {
                    continue;
                }
                check_sighash_type(psbt, input)?;
                let keypair = self.staker_keypair(index)?;
                if keypair.x_only() != *key {
                    return Err(WalletError::ForgedOrigin { input, path: path.clone() });
                }
                for &leaf in leaf_hashes {
                    if !self.commits(psbt, input, &prevouts, leaf) {
                        return Err(WalletError::UncommittedLeaf { input });
                    }
                    let sighash = cache
                        .taproot_script_spend_signature_hash(
                            input,
                            &Prevouts::All(&prevouts),
                            leaf,
                            TapSighashType::Default,
                        )
                        .map_err(|error| WalletError::Signing { input, reason: error.to_string() })?;
                    let signature = keypair.sign(&Message::from(sighash), aux);
                    signatures.push((input, *key, leaf, signature));
                }
            }
        }
        let mut signed = Vec::new();
        for (input, key, leaf, signature) in signatures {
            let signature = taproot::Signature { signature, sighash_type: TapSighashType::Default };
            psbt.inputs[input].tap_script_sigs.insert((key, leaf), signature);
            if signed.last() != Some(&input) {
                signed.push(input);
            }
        }
        Ok(signed)
    }

    /// Whether the output spent by `input` commits to the leaf (BIP-0341).
    fn commits(&self, psbt: &Psbt, input: usize, prevouts: &[TxOut], leaf: TapLeafHash) -> bool {
        let script_pubkey = &prevouts[input].script_pubkey;
        if !script_pubkey.is_p2tr() {
            return false;
        }
        // A P2TR script is OP_1, a push of 32, and the output key.
        let Ok(output_key) = XOnlyPublicKey::from_slice(&script_pubkey.as_bytes()[2..]) else {
            return false;
        };
        psbt.inputs[input].tap_scripts.iter().any(|(control_block, (script, version))| {
            TapLeafHash::from_script(script, *version) == leaf
                && control_block.leaf_version == *version
                && control_block.verify_taproot_commitment(&self.secp, output_key, script)
        })
    }
}

/// Refuses hash types that leave parts of the transaction open.
fn check_sighash_type(psbt: &Psbt, input: usize) -> Result<(), WalletError> {
    let Some(sighash) = psbt.inputs.get(input).and_then(|data| data.sighash_type) else { return Ok(()) };
    let everything = [TapSighashType::Default as u32, EcdsaSighashType::All.to_u32()];
    if everything.contains(&sighash.to_u32()) {
        Ok(())
    } else {
        Err(WalletError::SighashType { input, sighash: sighash.to_u32() })
    }
}

#[cfg(test)]
mod tests;
