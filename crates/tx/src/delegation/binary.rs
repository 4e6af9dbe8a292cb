use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use bitcoin::consensus::serialize;
use bitcoin::hashes::{Hash, HashEngine, sha256, sha256t_hash_newtype};
use bitcoin::hex::DisplayHex;
use bitcoin::secp256k1::schnorr::Signature;
use bitcoin::{Amount, OutPoint, Transaction, TxOut, VarInt, XOnlyPublicKey};
use tapstake_crypto::adaptor::{AdaptorError, AdaptorSignature};
use tapstake_crypto::pop::{self, ProofOfPossession};
use tapstake_params::MAX_KEYS;
use tapstake_script::{Providers, TermsError};

use super::{
    CovenantSignatures, DelegationPackage, DelegationParts, ExpansionPart, PackageVersion, PreviousStake,
    StakerSignatures, StakingTx, VERSION,
};
use crate::reader::{ReadError, Reader};

/// The first four bytes of a delegation: "tsdl".
pub const MAGIC: [u8; 4] = *b"tsdl";

/// No delegation is longer, in bytes of its binary form. Whoever reads one from elsewhere reads no further.
pub const MAX_PACKAGE_BYTES: usize = 1_000_000;

/// No delegation in JSON is longer, in bytes: hex takes two for one. Whoever reads one from elsewhere reads no further.
pub const MAX_PACKAGE_JSON_BYTES: usize = 3 * MAX_PACKAGE_BYTES;

/// More inputs than a staking transaction of 400,000 weight units has.
pub(super) const MAX_INPUTS: usize = 2_500;

/// What the bytes are, for errors.
const DELEGATION: &str = "delegation";

sha256t_hash_newtype! {
    struct ChecksumTag = hash_str("tapstake/delegation");
    /// What tells a delegation from one with any byte changed by accident.
    struct Checksum(_);
}

/// Why bytes or fields are no delegation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackageDecodeError {
    /// The bytes do not begin like a delegation.
    #[error("no delegation: it does not begin with \"tsdl\"")]
    Magic,
    /// A delegation of another version.
    #[error("delegation of version {found}: this program reads version {known}")]
    Version {
        /// The delegation's version.
        found: u32,
        /// The version that this crate reads.
        known: u16,
    },
    /// More bytes than a delegation has.
    #[error("delegation of {actual} bytes: there are at most {most}")]
    Size {
        /// The number of bytes.
        actual: usize,
        /// The most there are.
        most: usize,
    },
    /// The bytes end too early, are too many, or do not read as their fields.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// More entries than there can be.
    #[error("{field}: {count} entries, there are at most {most}")]
    Count {
        /// The field.
        field: &'static str,
        /// The number of entries.
        count: u64,
        /// The most there are.
        most: usize,
    },
    /// The providers are no set of keys.
    #[error(transparent)]
    Providers(#[from] TermsError),
    /// A transaction comes with a witness where signatures stand beside it.
    #[error("{field} carries a witness: its signatures stand beside it")]
    Witness {
        /// The field.
        field: &'static str,
    },
    /// Bytes that are no adaptor signature.
    #[error("{field}: {error}")]
    Adaptor {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        error: AdaptorError,
    },
    /// Bytes that are no proof of possession.
    #[error(transparent)]
    Possession(#[from] pop::EncodingError),
    /// The checksum is of something else: a byte was changed.
    #[error("delegation is damaged: checksum {} instead of {}", actual.to_lower_hex_string(), expected.to_lower_hex_string())]
    Checksum {
        /// The checksum that it carries.
        actual: [u8; 32],
        /// The checksum of what it carries.
        expected: [u8; 32],
    },
    /// The same delegation has another encoding, which is the only one.
    #[error("delegation is not in its one encoding: keys out of order, or a length longer than needed")]
    NotCanonical,
}

impl DelegationPackage {
    /// The delegation in its one binary encoding (`docs/delegation-format.md`).
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.content();
        let checksum = checksum(&bytes);
        bytes.extend(checksum);
        bytes
    }

    /// Reads a delegation from all of `bytes`, of which there are at most [`MAX_PACKAGE_BYTES`].
    ///
    /// # Errors
    ///
    /// [`PackageDecodeError`] says in which field the bytes end or what is wrong with them. No length is believed before
    /// the bytes are there.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PackageDecodeError> {
        if bytes.len() > MAX_PACKAGE_BYTES {
            return Err(PackageDecodeError::Size { actual: bytes.len(), most: MAX_PACKAGE_BYTES });
        }
        let mut reader = Reader { rest: bytes, of: DELEGATION };
        if reader.array::<4>("magic")? != MAGIC {
            return Err(PackageDecodeError::Magic);
        }
        let version = reader.u16("version")?;
        PackageVersion { version: version.into() }.check()?;
        let package = reader.package()?;
        let actual: [u8; 32] = reader.array("checksum")?;
        reader.end()?;
        let content = package.content();
        let expected = checksum(&content);
        if actual != expected {
            return Err(PackageDecodeError::Checksum { actual, expected });
        }
        if bytes.strip_suffix(&actual) != Some(content.as_slice()) {
            return Err(PackageDecodeError::NotCanonical);
        }
        Ok(package)
    }

    /// The checksum that both forms carry: SHA-256 with tag `tapstake/delegation` (BIP-0340) over the binary form before it.
    pub(super) fn checksum(&self) -> [u8; 32] {
        checksum(&self.content())
    }

    fn content(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(self.network.magic().to_bytes());
        bytes.extend(self.params_version.to_le_bytes());
        bytes.extend(self.staker.serialize());
        push_keys(&mut bytes, self.providers.keys());
        bytes.extend(self.staking_time.blocks().to_le_bytes());
        bytes.extend(self.value.to_sat().to_le_bytes());
        bytes.extend(self.vout.to_le_bytes());
        bytes.extend(serialize(&self.staking_tx.to_transaction()));
        push_count(&mut bytes, self.prevouts.len());
        self.prevouts.iter().for_each(|prevout| bytes.extend(serialize(prevout)));
        self.parts.encode(&mut bytes);
        match &self.expansion {
            None => bytes.push(0),
            Some(part) => {
                bytes.push(1);
                part.encode(&mut bytes);
            }
        }
        bytes
    }
}

impl DelegationParts {
    /// Appends the parts in their one binary encoding (`docs/delegation-format.md`).
    pub fn encode(&self, bytes: &mut Vec<u8>) {
        for (_, tx) in self.transactions() {
            bytes.extend(serialize(tx));
        }
        match &self.staker {
            None => bytes.push(0),
            Some(signatures) => {
                bytes.push(1);
                bytes.extend(signatures.slashing.as_ref());
                bytes.extend(signatures.unbonding_slashing.as_ref());
            }
        }
        match &self.possession {
            None => push_count(bytes, 0),
            Some(proof) => {
                let proof = proof.to_bytes();
                push_count(bytes, proof.len());
                bytes.extend(proof);
            }
        }
        push_count(bytes, self.covenant.len());
        for (member, signatures) in &self.covenant {
            bytes.extend(member.serialize());
            bytes.extend(signatures.unbonding.as_ref());
            for adaptors in [&signatures.slashing, &signatures.unbonding_slashing] {
                push_count(bytes, adaptors.len());
                adaptors.iter().for_each(|signature| bytes.extend(signature.to_bytes()));
            }
        }
    }

    /// Takes parts off the front of `bytes`. What encodes to other bytes than those taken is for the caller to refuse.
    ///
    /// # Errors
    ///
    /// [`PackageDecodeError`] says in which field the bytes end or what is wrong with them.
    pub fn decode(bytes: &mut &[u8]) -> Result<Self, PackageDecodeError> {
        let mut reader = Reader { rest: bytes, of: DELEGATION };
        let parts = reader.parts()?;
        *bytes = reader.rest;
        Ok(parts)
    }
}

impl ExpansionPart {
    fn encode(&self, bytes: &mut Vec<u8>) {
        let PreviousStake { outpoint, value, params_version, staking_time } = &self.previous;
        bytes.extend(serialize(outpoint));
        bytes.extend(value.to_sat().to_le_bytes());
        bytes.extend(params_version.to_le_bytes());
        bytes.extend(staking_time.blocks().to_le_bytes());
        match &self.staker {
            None => bytes.push(0),
            Some(signature) => {
                bytes.push(1);
                bytes.extend(signature.as_ref());
            }
        }
        push_count(bytes, self.covenant.len());
        for (member, signature) in &self.covenant {
            bytes.extend(member.serialize());
            bytes.extend(signature.as_ref());
        }
    }
}

fn push_keys(bytes: &mut Vec<u8>, keys: &[XOnlyPublicKey]) {
    push_count(bytes, keys.len());
    keys.iter().for_each(|key| bytes.extend(key.serialize()));
}

fn push_count(bytes: &mut Vec<u8>, count: usize) {
    bytes.extend(serialize(&VarInt::from(count)));
}

fn checksum(content: &[u8]) -> [u8; 32] {
    use bitcoin::hashes::sha256t::Tag;
    let mut engine = ChecksumTag::engine();
    engine.input(content);
    sha256::Hash::from_engine(engine).to_byte_array()
}

/// A transaction whose signatures stand beside it.
pub(super) fn refuse_witness(
    tx: Transaction,
    field: &'static str,
) -> Result<Transaction, PackageDecodeError> {
    if tx.input.iter().any(|input| !input.witness.is_empty()) {
        return Err(PackageDecodeError::Witness { field });
    }
    Ok(tx)
}

impl Reader<'_> {
    fn package(&mut self) -> Result<DelegationPackage, PackageDecodeError> {
        Ok(DelegationPackage {
            network: self.network("network")?,
            params_version: self.u32("params_version")?,
            staker: self.key("staker")?,
            providers: Providers::new(self.list("providers", MAX_KEYS, |it| Ok(it.key("providers")?))?)?,
            staking_time: self.timelock("staking_time")?,
            value: self.amount("value")?,
            vout: self.u32("vout")?,
            staking_tx: StakingTx::from(self.consensus::<Transaction>("staking_tx")?),
            prevouts: self.list("prevouts", MAX_INPUTS, |it| Ok(it.consensus::<TxOut>("prevouts")?))?,
            parts: self.parts()?,
            expansion: self.option("expansion", Self::expansion)?,
        })
    }

    fn parts(&mut self) -> Result<DelegationParts, PackageDecodeError> {
        Ok(DelegationParts {
            unbonding_tx: self.unsigned("unbonding_tx")?,
            slashing_tx: self.unsigned("slashing_tx")?,
            unbonding_slashing_tx: self.unsigned("unbonding_slashing_tx")?,
            staker: self.option("staker", |it| {
                Ok(StakerSignatures {
                    slashing: it.signature("staker")?,
                    unbonding_slashing: it.signature("staker")?,
                })
            })?,
            possession: match self.count("possession", pop::MAX_SIZE)? {
                0 => None,
                length => Some(ProofOfPossession::from_bytes(self.take("possession", length)?)?),
            },
            covenant: self.members("covenant", |it| {
                let unbonding = it.signature("covenant")?;
                let slashing = it.list("covenant", MAX_KEYS, |it| it.adaptor("covenant"))?;
                let unbonding_slashing = it.list("covenant", MAX_KEYS, |it| it.adaptor("covenant"))?;
                Ok(CovenantSignatures { unbonding, slashing, unbonding_slashing })
            })?,
        })
    }

    fn expansion(&mut self) -> Result<ExpansionPart, PackageDecodeError> {
        Ok(ExpansionPart {
            previous: PreviousStake {
                outpoint: self.consensus::<OutPoint>("expansion.previous")?,
                value: self.amount("expansion.previous")?,
                params_version: self.u32("expansion.previous")?,
                staking_time: self.timelock("expansion.previous")?,
            },
            staker: self.option("expansion.staker", |it| it.signature("expansion.staker"))?,
            covenant: self.members("expansion.covenant", |it| it.signature("expansion.covenant"))?,
        })
    }

    fn amount(&mut self, field: &'static str) -> Result<Amount, PackageDecodeError> {
        Ok(Amount::from_sat(u64::from_le_bytes(self.array(field)?)))
    }

    fn signature(&mut self, field: &'static str) -> Result<Signature, PackageDecodeError> {
        let bytes: [u8; 64] = self.array(field)?;
        Ok(Signature::from_slice(&bytes).expect("64 bytes are the form of a signature"))
    }

    fn adaptor(&mut self, field: &'static str) -> Result<AdaptorSignature, PackageDecodeError> {
        let bytes: [u8; AdaptorSignature::SIZE] = self.array(field)?;
        AdaptorSignature::from_bytes(&bytes).map_err(|error| PackageDecodeError::Adaptor { field, error })
    }

    fn count(&mut self, field: &'static str, most: usize) -> Result<usize, PackageDecodeError> {
        let VarInt(count) = self.consensus(field)?;
        let bounded = usize::try_from(count).ok().filter(|count| *count <= most);
        bounded.ok_or(PackageDecodeError::Count { field, count, most })
    }

    fn list<T>(
        &mut self,
        field: &'static str,
        most: usize,
        mut entry: impl FnMut(&mut Self) -> Result<T, PackageDecodeError>,
    ) -> Result<Vec<T>, PackageDecodeError> {
        let count = self.count(field, most)?;
        (0..count).map(|_| entry(self)).collect()
    }

    fn members<T>(
        &mut self,
        field: &'static str,
        mut entry: impl FnMut(&mut Self) -> Result<T, PackageDecodeError>,
    ) -> Result<BTreeMap<XOnlyPublicKey, T>, PackageDecodeError> {
        let members = self.list(field, MAX_KEYS, |it| Ok((it.key(field)?, entry(it)?)))?;
        // Ascending keys, none of them twice: the one encoding there is.
        let ascending = members.windows(2).all(|pair| pair[0].0 < pair[1].0);
        if ascending { Ok(members.into_iter().collect()) } else { Err(PackageDecodeError::NotCanonical) }
    }

    fn option<T>(
        &mut self,
        field: &'static str,
        value: impl FnOnce(&mut Self) -> Result<T, PackageDecodeError>,
    ) -> Result<Option<T>, PackageDecodeError> {
        Ok(if self.flag(field)? { Some(value(self)?) } else { None })
    }

    fn unsigned(&mut self, field: &'static str) -> Result<Transaction, PackageDecodeError> {
        refuse_witness(self.consensus(field)?, field)
    }
}
