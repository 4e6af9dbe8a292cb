use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bitcoin::Witness;
use bitcoin::hashes::{Hash, HashEngine, sha256, sha256t::Tag};
use bitcoin::secp256k1::{Keypair, Message, Secp256k1, Signing, Verification, XOnlyPublicKey, schnorr};
use serde::{Deserialize, Serialize};

use super::bip322::{self, Bip322Witness, SigningRequest};
use super::{Account, CompactSignature, Context, PossessionError};
use crate::hash::PossessionTag;

/// The forms of a proof of possession, as a service's policy names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PossessionForm {
    /// A BIP-0340 signature on the account's raw bytes.
    Bip340,
    /// A BIP-0322 *simple* signature on the account's text.
    Bip322,
    /// A BIP-0137 signature on the account's text.
    Bip137,
}

impl PossessionForm {
    /// All forms.
    pub const ALL: [PossessionForm; 3] =
        [PossessionForm::Bip340, PossessionForm::Bip322, PossessionForm::Bip137];

    fn name(self) -> &'static str {
        match self {
            PossessionForm::Bip340 => "bip340",
            PossessionForm::Bip322 => "bip322",
            PossessionForm::Bip137 => "bip137",
        }
    }
}

impl fmt::Display for PossessionForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Not the name of a form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a proof of possession is of the form bip340, bip322 or bip137")]
pub struct PossessionFormError;

impl FromStr for PossessionForm {
    type Err = PossessionFormError;

    fn from_str(name: &str) -> Result<Self, PossessionFormError> {
        Self::ALL.into_iter().find(|form| form.name() == name).ok_or(PossessionFormError)
    }
}

/// The signature of a proof of possession, in one of three forms.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PossessionSignature {
    /// BIP-0340, 64 bytes.
    Bip340(schnorr::Signature),
    /// BIP-0322 *simple*: one element (P2TR) or two (P2WPKH).
    Bip322(Bip322Witness),
    /// BIP-0137, 65 bytes.
    Bip137(CompactSignature),
}

/// The staker's key signing for an account of the consumer chain.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProofOfPossession {
    /// The account.
    pub account: Account,
    /// Service and network, where the message is tapstake's; without, the account alone is signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Context>,
    /// The signature.
    pub signature: PossessionSignature,
}

/// The characters of the longest witness.
const MAX_BASE64: usize = Bip322Witness::MAX_SIZE.div_ceil(3) * 4;

/// What the text forms sign: the account's text, or with a context the four lines of tapstake's message.
pub fn message(account: &Account, context: Option<&Context>) -> String {
    match context {
        None => account.as_text().to_string(),
        Some(context) => alloc::format!(
            "tapstake proof of possession\nservice: {}\nnetwork: {}\naccount: {account}",
            context.service(),
            context.network(),
        ),
    }
}

/// What the plain form signs.
fn digest(account: &Account, context: Option<&Context>) -> Message {
    let mut engine = if context.is_some() { PossessionTag::engine() } else { sha256::Hash::engine() };
    match context {
        None => engine.input(account.as_raw()),
        Some(_) => engine.input(message(account, context).as_bytes()),
    }
    Message::from_digest(sha256::Hash::from_engine(engine).to_byte_array())
}

impl ProofOfPossession {
    /// Proves possession in the plain form, with auxiliary randomness `aux`.
    pub fn bip340<C: Signing>(
        secp: &Secp256k1<C>,
        staker: &Keypair,
        account: Account,
        context: Option<Context>,
        aux: &[u8; 32],
    ) -> Self {
        let signature = secp.sign_schnorr_with_aux_rand(&digest(&account, context.as_ref()), staker, aux);
        ProofOfPossession { account, context, signature: PossessionSignature::Bip340(signature) }
    }

    /// Proves possession as a BIP-0322 message of the key's BIP-0086 address, with auxiliary randomness `aux`.
    pub fn bip322_p2tr<C: Signing + Verification>(
        secp: &Secp256k1<C>,
        staker: &Keypair,
        account: Account,
        context: Option<Context>,
        aux: &[u8; 32],
    ) -> Self {
        let message = message(&account, context.as_ref());
        let witness = bip322::sign_p2tr(secp, staker, message.as_bytes(), aux);
        ProofOfPossession { account, context, signature: PossessionSignature::Bip322(witness) }
    }

    /// Proves possession as a BIP-0322 message of the key's P2WPKH address.
    pub fn bip322_p2wpkh<C: Signing>(
        secp: &Secp256k1<C>,
        staker: &Keypair,
        account: Account,
        context: Option<Context>,
    ) -> Self {
        let message = message(&account, context.as_ref());
        let witness = bip322::sign_p2wpkh(secp, staker, message.as_bytes());
        ProofOfPossession { account, context, signature: PossessionSignature::Bip322(witness) }
    }

    /// Proves possession as a BIP-0137 message.
    pub fn bip137<C: Signing>(
        secp: &Secp256k1<C>,
        staker: &Keypair,
        account: Account,
        context: Option<Context>,
    ) -> Self {
        let signature = CompactSignature::sign(secp, staker, &message(&account, context.as_ref()));
        ProofOfPossession { account, context, signature: PossessionSignature::Bip137(signature) }
    }

    /// What a signer elsewhere signs by PSBT to prove possession with the key's BIP-0086 address; the witness it makes goes to
    /// [`ProofOfPossession::from_bip322_witness`].
    pub fn bip322_request<C: Verification>(
        secp: &Secp256k1<C>,
        staker: &XOnlyPublicKey,
        account: &Account,
        context: Option<&Context>,
    ) -> SigningRequest {
        SigningRequest::new(message(account, context).as_bytes(), bip322::p2tr_script(secp, *staker))
    }

    /// The proof with a witness that a signer elsewhere made; whether it verifies is still to be checked.
    ///
    /// # Errors
    ///
    /// [`PossessionError::WitnessElements`] or [`PossessionError::WitnessElement`] if it cannot be one.
    pub fn from_bip322_witness(
        account: Account,
        context: Option<Context>,
        witness: Witness,
    ) -> Result<Self, PossessionError> {
        let signature = PossessionSignature::Bip322(Bip322Witness::new(witness)?);
        Ok(ProofOfPossession { account, context, signature })
    }

    /// The proof with a signature as wallets print it, base64 of a BIP-0137 signature or of a BIP-0322 *simple* one (with or
    /// without its prefix `smp`); whether it verifies is still to be checked.
    ///
    /// # Errors
    ///
    /// [`PossessionError`] if it cannot be one.
    pub fn from_wallet(
        account: Account,
        context: Option<Context>,
        signature: &str,
    ) -> Result<Self, PossessionError> {
        let signature = signature.trim();
        // The first three characters of a witness in base64 are those of a small number of elements, never `smp`.
        let signature = signature.strip_prefix("smp").unwrap_or(signature);
        if signature.len() > MAX_BASE64 {
            return Err(PossessionError::Base64);
        }
        let bytes = STANDARD.decode(signature).map_err(|_| PossessionError::Base64)?;
        // A witness of one Schnorr signature is 66 or 67 bytes, one of an ECDSA signature and a key more.
        let signature = match <[u8; 65]>::try_from(bytes.as_slice()) {
            Ok(compact) => PossessionSignature::Bip137(CompactSignature::from_bytes(compact)?),
            Err(_) => PossessionSignature::Bip322(Bip322Witness::from_bytes(&bytes)?),
        };
        Ok(ProofOfPossession { account, context, signature })
    }

    /// The form of the proof.
    pub fn form(&self) -> PossessionForm {
        match self.signature {
            PossessionSignature::Bip340(_) => PossessionForm::Bip340,
            PossessionSignature::Bip322(_) => PossessionForm::Bip322,
            PossessionSignature::Bip137(_) => PossessionForm::Bip137,
        }
    }

    /// Checks that the staker's key signed for the account, and in the context if there is one.
    ///
    /// Whether account, form and context are those that a service wants, its policy says.
    ///
    /// # Errors
    ///
    /// [`PossessionError`] naming what is wrong.
    pub fn verify<C: Verification>(
        &self,
        secp: &Secp256k1<C>,
        staker: &XOnlyPublicKey,
    ) -> Result<(), PossessionError> {
        let context = self.context.as_ref();
        match &self.signature {
            PossessionSignature::Bip340(signature) => secp
                .verify_schnorr(signature, &digest(&self.account, context), staker)
                .map_err(|_| PossessionError::Signature { staker: *staker }),
            PossessionSignature::Bip322(witness) => {
                bip322::verify(secp, staker, message(&self.account, context).as_bytes(), witness)
            }
            PossessionSignature::Bip137(signature) => {
                signature.verify(secp, staker, &message(&self.account, context))
            }
        }
    }
}
