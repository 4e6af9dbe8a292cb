//! BIP-0322 *simple* signatures: the witness of a virtual transaction that spends a virtual output of an address.
//!
//! [`to_spend`] pays nothing to the address and commits to the message, [`to_sign`] spends that, and the witness of its only input
//! is the signature. Two address types of a key are taken: P2WPKH, and P2TR by its key path with the tweak of BIP-0086.

use alloc::vec::Vec;

use bitcoin::absolute::LockTime;
use bitcoin::consensus::encode;
use bitcoin::hashes::{Hash, HashEngine, sha256, sha256t_hash_newtype};
use bitcoin::key::{TapTweak, TweakedPublicKey};
use bitcoin::script::Builder;
use bitcoin::secp256k1::{
    Keypair, Message, Parity, Secp256k1, Signing, Verification, XOnlyPublicKey,
    ecdsa::Signature as EcdsaSignature, schnorr,
};
use bitcoin::sighash::{EcdsaSighashType, Prevouts, SighashCache, TapSighashType};
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, CompressedPublicKey, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness,
    ecdsa, opcodes, taproot,
};
use serde::{Deserialize, Serialize};

use super::PossessionError;

sha256t_hash_newtype! {
    struct MessageTag = hash_str("BIP0322-signed-message");
    /// The hash of a message in BIP-0322.
    struct MessageHash(_);
}

/// The hash of a message, tagged `BIP0322-signed-message`.
pub fn message_hash(message: &[u8]) -> [u8; 32] {
    use bitcoin::hashes::sha256t::Tag;
    let mut engine = MessageTag::engine();
    engine.input(message);
    sha256::Hash::from_engine(engine).to_byte_array()
}

/// The virtual transaction whose output 0 is to be spent.
pub fn to_spend(message: &[u8], script_pubkey: ScriptBuf) -> Transaction {
    let script_sig =
        Builder::new().push_opcode(opcodes::OP_0).push_slice(message_hash(message)).into_script();
    Transaction {
        version: Version(0),
        lock_time: LockTime::ZERO,
        input: alloc::vec![TxIn {
            previous_output: OutPoint { txid: Txid::all_zeros(), vout: u32::MAX },
            script_sig,
            sequence: Sequence::ZERO,
            witness: Witness::new(),
        }],
        output: alloc::vec![TxOut { value: Amount::ZERO, script_pubkey }],
    }
}

/// The virtual transaction that spends output 0 of [`to_spend`], without its witness.
pub fn to_sign(to_spend: &Transaction) -> Transaction {
    Transaction {
        version: Version(0),
        lock_time: LockTime::ZERO,
        input: alloc::vec![TxIn {
            previous_output: OutPoint { txid: to_spend.compute_txid(), vout: 0 },
            script_sig: ScriptBuf::new(),
            sequence: Sequence::ZERO,
            witness: Witness::new(),
        }],
        output: alloc::vec![TxOut {
            value: Amount::ZERO,
            script_pubkey: Builder::new().push_opcode(opcodes::all::OP_RETURN).into_script()
        }],
    }
}

/// What a signer elsewhere is given: the unsigned transaction, and the output it spends, as a PSBT needs them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningRequest {
    /// The transaction, [`to_sign`].
    pub to_sign: Transaction,
    /// The output that its input 0 spends.
    pub prevout: TxOut,
}

impl SigningRequest {
    /// The request to sign a message with an address's script.
    pub fn new(message: &[u8], script_pubkey: ScriptBuf) -> Self {
        let mut to_spend = to_spend(message, script_pubkey);
        let to_sign = to_sign(&to_spend);
        SigningRequest { to_sign, prevout: to_spend.output.remove(0) }
    }

    fn taproot_digest(&self, sighash_type: TapSighashType) -> Message {
        let digest = SighashCache::new(&self.to_sign)
            .taproot_key_spend_signature_hash(0, &Prevouts::All(&[&self.prevout]), sighash_type)
            .expect("input 0 is there with its prevout");
        Message::from_digest(digest.to_byte_array())
    }

    fn segwit_digest(&self) -> Message {
        let digest = SighashCache::new(&self.to_sign)
            .p2wpkh_signature_hash(0, &self.prevout.script_pubkey, Amount::ZERO, EcdsaSighashType::All)
            .expect("input 0 is there, and its script is P2WPKH by construction");
        Message::from_digest(digest.to_byte_array())
    }
}

/// The witness of a BIP-0322 *simple* signature: one element (P2TR) or two (P2WPKH), of the sizes that a signature and a key have.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Witness", into = "Witness")]
pub struct Bip322Witness(Witness);

impl Bip322Witness {
    /// The most bytes of its consensus encoding: an ECDSA signature of 73 bytes and a key of 33, with lengths.
    pub const MAX_SIZE: usize = 1 + 1 + 73 + 1 + 33;

    /// Takes a witness.
    ///
    /// # Errors
    ///
    /// [`PossessionError::WitnessElements`], or [`PossessionError::WitnessElement`] for a size that cannot be.
    pub fn new(witness: Witness) -> Result<Self, PossessionError> {
        let length = |element: usize| witness.nth(element).map_or(0, <[u8]>::len);
        let missing = match witness.len() {
            1 if matches!(length(0), 64 | 65) => None,
            1 => Some("Schnorr signature"),
            2 if !(9..=73).contains(&length(0)) => Some("ECDSA signature"),
            2 if length(1) != 33 => Some("compressed public key"),
            2 => None,
            elements => return Err(PossessionError::WitnessElements { elements }),
        };
        match missing {
            Some(what) => Err(PossessionError::WitnessElement { what }),
            None => Ok(Bip322Witness(witness)),
        }
    }

    /// Reads the consensus encoding of a witness.
    ///
    /// # Errors
    ///
    /// [`PossessionError::WitnessEncoding`], or what [`Bip322Witness::new`] refuses.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PossessionError> {
        if bytes.len() > Self::MAX_SIZE {
            return Err(PossessionError::WitnessEncoding);
        }
        let witness = encode::deserialize(bytes).map_err(|_| PossessionError::WitnessEncoding)?;
        Bip322Witness::new(witness)
    }

    /// The consensus encoding, at most [`Bip322Witness::MAX_SIZE`] bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        encode::serialize(&self.0)
    }

    /// The witness.
    pub fn as_witness(&self) -> &Witness {
        &self.0
    }
}

impl TryFrom<Witness> for Bip322Witness {
    type Error = PossessionError;

    fn try_from(witness: Witness) -> Result<Self, PossessionError> {
        Bip322Witness::new(witness)
    }
}

impl From<Bip322Witness> for Witness {
    fn from(witness: Bip322Witness) -> Self {
        witness.0
    }
}

/// The script of a key's BIP-0086 address.
pub fn p2tr_script<C: Verification>(secp: &Secp256k1<C>, key: XOnlyPublicKey) -> ScriptBuf {
    ScriptBuf::new_p2tr(secp, key, None)
}

/// Signs with the key's BIP-0086 address; `aux` is the auxiliary randomness of BIP-0340.
pub fn sign_p2tr<C: Signing + Verification>(
    secp: &Secp256k1<C>,
    signer: &Keypair,
    message: &[u8],
    aux: &[u8; 32],
) -> Bip322Witness {
    let request = SigningRequest::new(message, p2tr_script(secp, signer.x_only_public_key().0));
    let mut tweaked = signer.tap_tweak(secp, None).to_keypair();
    let digest = request.taproot_digest(TapSighashType::Default);
    let signature = secp.sign_schnorr_with_aux_rand(&digest, &tweaked, aux);
    tweaked.non_secure_erase();
    let signature = taproot::Signature { signature, sighash_type: TapSighashType::Default };
    Bip322Witness(Witness::p2tr_key_spend(&signature))
}

/// Signs with the key's P2WPKH address; deterministic (RFC 6979).
pub fn sign_p2wpkh<C: Signing>(secp: &Secp256k1<C>, signer: &Keypair, message: &[u8]) -> Bip322Witness {
    let key = signer.public_key();
    let script = ScriptBuf::new_p2wpkh(&CompressedPublicKey(key).wpubkey_hash());
    let mut secret = signer.secret_key();
    let signature = secp.sign_ecdsa(&SigningRequest::new(message, script).segwit_digest(), &secret);
    secret.non_secure_erase();
    let signature = ecdsa::Signature { signature, sighash_type: EcdsaSighashType::All };
    Bip322Witness(Witness::p2wpkh(&signature, &key))
}

/// Checks the witness as a signature on `message` by a P2TR or P2WPKH address of `staker`, whose parity the witness of P2WPKH
/// brings along.
///
/// # Errors
///
/// [`PossessionError`] naming what is wrong.
pub fn verify<C: Verification>(
    secp: &Secp256k1<C>,
    staker: &XOnlyPublicKey,
    message: &[u8],
    witness: &Bip322Witness,
) -> Result<(), PossessionError> {
    let Bip322Witness(witness) = witness;
    match (witness.nth(0), witness.nth(1)) {
        (Some(signature), None) => verify_p2tr(secp, staker, message, signature),
        (Some(signature), Some(key)) => verify_p2wpkh(secp, staker, message, signature, key),
        (None, _) => Err(PossessionError::WitnessElements { elements: 0 }),
    }
}

fn verify_p2tr<C: Verification>(
    secp: &Secp256k1<C>,
    staker: &XOnlyPublicKey,
    message: &[u8],
    signature: &[u8],
) -> Result<(), PossessionError> {
    let (signature, sighash_type) = match *signature {
        [ref signature @ .., all] if signature.len() == 64 && all == TapSighashType::All as u8 => {
            (signature, TapSighashType::All)
        }
        // DEFAULT is never written out (BIP-0341).
        [ref signature @ .., sighash_type] if signature.len() == 64 => {
            return Err(PossessionError::SighashType { sighash_type });
        }
        ref signature => (signature, TapSighashType::Default),
    };
    let signature = schnorr::Signature::from_slice(signature)
        .map_err(|_| PossessionError::WitnessElement { what: "Schnorr signature" })?;
    let (output_key, _): (TweakedPublicKey, Parity) = staker.tap_tweak(secp, None);
    let request = SigningRequest::new(message, ScriptBuf::new_p2tr_tweaked(output_key));
    let digest = request.taproot_digest(sighash_type);
    secp.verify_schnorr(&signature, &digest, &output_key.to_x_only_public_key())
        .map_err(|_| PossessionError::Signature { staker: *staker })
}

fn verify_p2wpkh<C: Verification>(
    secp: &Secp256k1<C>,
    staker: &XOnlyPublicKey,
    message: &[u8],
    signature: &[u8],
    key: &[u8],
) -> Result<(), PossessionError> {
    let key = CompressedPublicKey::from_slice(key)
        .map_err(|_| PossessionError::WitnessElement { what: "compressed public key" })?;
    let found = key.0.x_only_public_key().0;
    if found != *staker {
        return Err(PossessionError::WrongKey { found });
    }
    let (&sighash_type, der) =
        signature.split_last().ok_or(PossessionError::WitnessElement { what: "ECDSA signature" })?;
    if u32::from(sighash_type) != EcdsaSighashType::All.to_u32() {
        return Err(PossessionError::SighashType { sighash_type });
    }
    let signature = EcdsaSignature::from_der(der)
        .map_err(|_| PossessionError::WitnessElement { what: "ECDSA signature" })?;
    let mut low = signature;
    low.normalize_s();
    if low != signature {
        return Err(PossessionError::HighS);
    }
    let request = SigningRequest::new(message, ScriptBuf::new_p2wpkh(&key.wpubkey_hash()));
    secp.verify_ecdsa(&request.segwit_digest(), &signature, &key.0)
        .map_err(|_| PossessionError::Signature { staker: *staker })
}
