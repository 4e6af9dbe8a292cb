use alloc::string::ToString;
use alloc::vec::Vec;

use bitcoin::Network;
use bitcoin::p2p::Magic;
use bitcoin::secp256k1::schnorr;

use super::{
    Account, AccountError, Bip322Witness, CompactSignature, Context, ContextError, PossessionError,
    PossessionSignature, ProofOfPossession,
};

const VERSION: u8 = 1;

/// No proof in binary form is longer, in bytes: version, account, context, form and the longest signature, with lengths.
pub const MAX_SIZE: usize =
    1 + 1 + (7 + Account::MAX_TEXT) + 1 + (1 + Context::MAX_SERVICE) + 4 + 1 + 1 + Bip322Witness::MAX_SIZE;

/// Why bytes are not a proof of possession.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodingError {
    /// The bytes end too early.
    #[error("proof of possession: the bytes end too early")]
    Short,
    /// Another version of the format.
    #[error("proof of possession: format version {version}, {VERSION} is known")]
    Version {
        /// The version found.
        version: u8,
    },
    /// A byte that says which of several kinds follows is none of them.
    #[error("proof of possession: {value} is no {what}")]
    Tag {
        /// What the byte is there for.
        what: &'static str,
        /// Its value.
        value: u8,
    },
    /// The account or the service is not text.
    #[error("proof of possession: {what} is not UTF-8")]
    Utf8 {
        /// What should be text.
        what: &'static str,
    },
    /// The account.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The service.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// A signature that cannot be.
    #[error(transparent)]
    Signature(#[from] PossessionError),
    /// The same proof is written otherwise, or bytes follow it.
    #[error("proof of possession: not the canonical encoding, or bytes follow it")]
    NotCanonical,
}

impl ProofOfPossession {
    /// The binary form, at most [`MAX_SIZE`] bytes: version 01; account as it prints, with a length byte; 00, or 01, service with
    /// a length byte and the network's magic (4 bytes); form (00, 01, 02 for BIP-0340, BIP-0322, BIP-0137); signature: 64 bytes,
    /// the consensus-encoded witness with a length byte, or 65 bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = alloc::vec![VERSION];
        push_short(&mut bytes, self.account.to_string().as_bytes());
        match &self.context {
            None => bytes.push(0),
            Some(context) => {
                bytes.push(1);
                push_short(&mut bytes, context.service().as_bytes());
                bytes.extend(context.network().magic().to_bytes());
            }
        }
        match &self.signature {
            PossessionSignature::Bip340(signature) => {
                bytes.push(0);
                bytes.extend(signature.serialize());
            }
            PossessionSignature::Bip322(witness) => {
                bytes.push(1);
                push_short(&mut bytes, &witness.to_bytes());
            }
            PossessionSignature::Bip137(signature) => {
                bytes.push(2);
                bytes.extend(signature.to_bytes());
            }
        }
        bytes
    }

    /// Reads what [`ProofOfPossession::to_bytes`] wrote, and nothing else.
    ///
    /// # Errors
    ///
    /// [`EncodingError`] naming what is wrong.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, EncodingError> {
        let mut reader = Reader(bytes);
        match reader.byte()? {
            VERSION => {}
            version => return Err(EncodingError::Version { version }),
        }
        let account: Account = reader.text("the account")?.parse()?;
        let context = match reader.byte()? {
            0 => None,
            1 => {
                let service = reader.text("the service")?;
                let magic = Magic::from_bytes(reader.array()?);
                let network = Network::from_magic(magic)
                    .ok_or(EncodingError::Tag { what: "network", value: magic.to_bytes()[0] })?;
                Some(Context::new(service, network)?)
            }
            value => return Err(EncodingError::Tag { what: "mark of a context", value }),
        };
        let signature = match reader.byte()? {
            0 => PossessionSignature::Bip340(schnorr_signature(&reader.array()?)),
            1 => PossessionSignature::Bip322(Bip322Witness::from_bytes(reader.short()?)?),
            2 => PossessionSignature::Bip137(CompactSignature::from_bytes(reader.array()?)?),
            value => return Err(EncodingError::Tag { what: "form", value }),
        };
        let proof = ProofOfPossession { account, context, signature };
        // One proof, one encoding: an account could be written in several ways, and bytes could follow.
        if proof.to_bytes() != bytes {
            return Err(EncodingError::NotCanonical);
        }
        Ok(proof)
    }
}

fn schnorr_signature(bytes: &[u8; 64]) -> schnorr::Signature {
    schnorr::Signature::from_slice(bytes).expect("any 64 bytes are taken")
}

fn push_short(bytes: &mut Vec<u8>, short: &[u8]) {
    bytes.push(
        u8::try_from(short.len()).expect("accounts, services and witnesses are shorter than 256 bytes"),
    );
    bytes.extend(short);
}

/// Takes bytes off the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], EncodingError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(EncodingError::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], EncodingError> {
        self.take(N)?.try_into().map_err(|_| EncodingError::Short)
    }

    fn byte(&mut self) -> Result<u8, EncodingError> {
        self.array().map(|[byte]| byte)
    }

    fn short(&mut self) -> Result<&'a [u8], EncodingError> {
        let length = self.byte()?;
        self.take(usize::from(length))
    }

    fn text(&mut self, what: &'static str) -> Result<&'a str, EncodingError> {
        core::str::from_utf8(self.short()?).map_err(|_| EncodingError::Utf8 { what })
    }
}
