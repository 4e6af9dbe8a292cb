use alloc::vec::Vec;

use bitcoin::block::Header;
use bitcoin::consensus::encode::{self, Decodable};
use bitcoin::consensus::{deserialize_partial, serialize};
use bitcoin::hashes::Hash;
use bitcoin::p2p::Magic;
use bitcoin::{Network, Transaction, TxMerkleNode, XOnlyPublicKey};
use tapstake_params::{Height, Timelock, TimelockError};
use tapstake_script::{Providers, TermsError};
use tapstake_tx::delegation::{DelegationParts, PackageDecodeError};

use super::{Claim, OwnHeaders, Registration, StakeProof, WITHOUT_DELEGATION};
use crate::{InclusionProof, MerkleBranch, MerkleError, Rule};

/// The first four bytes of a proof: "tspf".
pub const MAGIC: [u8; 4] = *b"tspf";

const REGISTRATION_NONE: u8 = 0;
const REGISTRATION_AT: u8 = 1;
const REGISTRATION_PHASE_1: u8 = 2;

/// Why bytes or fields are no proof.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes do not begin like a proof.
    #[error("no stake proof: it does not begin with \"tspf\"")]
    Magic,
    /// A proof of another version.
    #[error("stake proof of version {found}: this program reads versions 1 to {known}")]
    Version {
        /// The proof's version.
        found: u32,
        /// The newest version that this crate reads.
        known: u16,
    },
    /// A proof of version 1 with a delegation, or of version 2 without.
    #[error("stake proof of version {version}: version 2 carries a delegation, version 1 does not")]
    NotItsVersion {
        /// The proof's version.
        version: u32,
    },
    /// The bytes end too early.
    #[error("stake proof is truncated in {field}")]
    Truncated {
        /// The field they end in.
        field: &'static str,
    },
    /// Bytes are left over.
    #[error("{count} bytes after the end of the stake proof")]
    Trailing {
        /// How many.
        count: usize,
    },
    /// No known network has these message start bytes.
    #[error("no known network has magic {magic}")]
    Network {
        /// The four bytes.
        magic: Magic,
    },
    /// A tag that the format does not know.
    #[error("{field} has unknown tag {tag}")]
    Tag {
        /// The field.
        field: &'static str,
        /// The tag.
        tag: u8,
    },
    /// 32 bytes that are no x-only public key.
    #[error("{field} is no public key: {error}")]
    Key {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        error: bitcoin::secp256k1::Error,
    },
    /// The providers are no set of keys.
    #[error(transparent)]
    Providers(#[from] TermsError),
    /// The staking time is no timelock.
    #[error(transparent)]
    StakingTime(#[from] TimelockError),
    /// A Merkle branch that no block has.
    #[error("{field}: {error}")]
    Branch {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        error: MerkleError,
    },
    /// A header or transaction that does not decode.
    #[error("{field} does not decode: {error}")]
    Consensus {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        error: encode::Error,
    },
    /// A transaction comes with its witness, which nothing in a proof commits to.
    #[error("{field} carries a witness: proofs carry transactions without")]
    Witness {
        /// The field.
        field: &'static str,
    },
    /// The delegation does not decode.
    #[error("delegation: {0}")]
    Delegation(#[from] PackageDecodeError),
    /// The same proof has another encoding, which is the only one.
    #[error("stake proof is not in its one encoding: keys out of order, or a length longer than needed")]
    NotCanonical,
}

impl DecodeError {
    /// The rule that was broken, where it is one of verification and not of the format.
    pub const fn rule(&self) -> Option<Rule> {
        match self {
            DecodeError::Branch { error, .. } => Some(error.rule()),
            _ => None,
        }
    }
}

impl StakeProof {
    /// The proof in its one binary encoding (`docs/proof-format.md`).
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(MAGIC);
        bytes.extend(self.version().to_le_bytes());
        bytes.extend(self.network.magic().to_bytes());
        bytes.extend(self.vout.to_le_bytes());
        bytes.extend(self.claim.staker.serialize());
        let providers = self.claim.providers.keys();
        bytes.push(u8::try_from(providers.len()).expect("a quorum has at most 64 keys"));
        providers.iter().for_each(|key| bytes.extend(key.serialize()));
        bytes.extend(self.claim.staking_time.blocks().to_le_bytes());
        match self.claim.registration {
            Registration::None => bytes.push(REGISTRATION_NONE),
            Registration::At(height) => {
                bytes.push(REGISTRATION_AT);
                bytes.extend(height.to_u32().to_le_bytes());
            }
            Registration::Phase1 => bytes.push(REGISTRATION_PHASE_1),
        }
        bytes.extend(self.inclusion_height.to_u32().to_le_bytes());
        bytes.extend(serialize(&self.header));
        bytes.extend(serialize(&self.inclusion.tx));
        push_branch(&mut bytes, &self.inclusion.branch);
        bytes.extend(serialize(&self.inclusion.coinbase));
        push_branch(&mut bytes, &self.inclusion.coinbase_branch);
        match &self.own_headers {
            None => bytes.push(0),
            Some(own) => {
                bytes.push(1);
                bytes.extend(own.start_height.to_u32().to_le_bytes());
                let count = u32::try_from(own.headers.len()).expect("fewer headers than heights");
                bytes.extend(count.to_le_bytes());
                own.headers.iter().for_each(|header| bytes.extend(serialize(header)));
            }
        }
        if let Some(delegation) = &self.delegation {
            delegation.encode(&mut bytes);
        }
        bytes
    }

    /// Reads a proof from all of `bytes`.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] says in which field the bytes end or what is wrong with them. No length is believed
    /// before the bytes are there.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader { rest: bytes };
        let magic = reader.array::<4>("magic")?;
        if magic != MAGIC {
            return Err(DecodeError::Magic);
        }
        let version = u16::from_le_bytes(reader.array("version")?);
        super::ProofVersion { version: version.into() }.check()?;
        let magic = Magic::from_bytes(reader.array("network")?);
        let network = Network::from_magic(magic).ok_or(DecodeError::Network { magic })?;
        let vout = reader.u32("vout")?;
        let staker = reader.key("staker")?;
        let count = reader.u8("providers")?;
        let providers = (0..count).map(|_| reader.key("providers")).collect::<Result<_, _>>()?;
        let providers = Providers::new(providers)?;
        let staking_time = u16::from_le_bytes(reader.array("staking_time")?);
        let staking_time = Timelock::new(staking_time.into())?;
        let registration = match reader.u8("registration")? {
            REGISTRATION_NONE => Registration::None,
            REGISTRATION_AT => Registration::At(Height::new(reader.u32("registration")?)),
            REGISTRATION_PHASE_1 => Registration::Phase1,
            tag => return Err(DecodeError::Tag { field: "registration", tag }),
        };
        let inclusion_height = Height::new(reader.u32("inclusion_height")?);
        let header = reader.header("header")?;
        let tx = reader.transaction("transaction")?;
        let branch = reader.branch("branch")?;
        let coinbase = reader.transaction("coinbase")?;
        let coinbase_branch = reader.branch("coinbase_branch")?;
        let own_headers = match reader.u8("headers")? {
            0 => None,
            1 => {
                let start_height = Height::new(reader.u32("headers")?);
                let count = reader.u32("headers")?;
                let headers = (0..count).map(|_| reader.header("headers")).collect::<Result<_, _>>()?;
                Some(OwnHeaders { start_height, headers })
            }
            tag => return Err(DecodeError::Tag { field: "headers", tag }),
        };
        let delegation = match version {
            WITHOUT_DELEGATION => None,
            _ => Some(DelegationParts::decode(&mut reader.rest)?),
        };
        if !reader.rest.is_empty() {
            return Err(DecodeError::Trailing { count: reader.rest.len() });
        }
        let proof = StakeProof {
            network,
            vout,
            claim: Claim { staker, providers, staking_time, registration },
            inclusion_height,
            header,
            inclusion: InclusionProof::new(tx, branch, coinbase, coinbase_branch),
            own_headers,
            delegation,
        };
        if proof.to_bytes() != bytes {
            return Err(DecodeError::NotCanonical);
        }
        Ok(proof)
    }
}

fn push_branch(bytes: &mut Vec<u8>, branch: &MerkleBranch) {
    bytes.extend(branch.index().to_le_bytes());
    bytes.push(u8::try_from(branch.depth()).expect("a branch has at most 15 siblings"));
    branch.siblings().iter().for_each(|sibling| bytes.extend(sibling.to_byte_array()));
}

/// A transaction as proofs have it.
pub(super) fn refuse_witness(tx: Transaction, field: &'static str) -> Result<Transaction, DecodeError> {
    if tx.input.iter().any(|input| !input.witness.is_empty()) {
        return Err(DecodeError::Witness { field });
    }
    Ok(tx)
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(DecodeError::Truncated { field })?;
        self.rest = rest;
        Ok(*array)
    }

    fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        self.array(field).map(u8::from_le_bytes)
    }

    fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        self.array(field).map(u32::from_le_bytes)
    }

    fn key(&mut self, field: &'static str) -> Result<XOnlyPublicKey, DecodeError> {
        let bytes: [u8; 32] = self.array(field)?;
        XOnlyPublicKey::from_slice(&bytes).map_err(|error| DecodeError::Key { field, error })
    }

    fn header(&mut self, field: &'static str) -> Result<Header, DecodeError> {
        self.consensus(field)
    }

    fn transaction(&mut self, field: &'static str) -> Result<Transaction, DecodeError> {
        refuse_witness(self.consensus(field)?, field)
    }

    fn consensus<T: Decodable>(&mut self, field: &'static str) -> Result<T, DecodeError> {
        match deserialize_partial(self.rest) {
            Ok((value, length)) => {
                self.rest = &self.rest[length..];
                Ok(value)
            }
            // Reading from a slice fails in one way only: at its end.
            Err(encode::Error::Io(_)) => Err(DecodeError::Truncated { field }),
            Err(error) => Err(DecodeError::Consensus { field, error }),
        }
    }

    fn branch(&mut self, field: &'static str) -> Result<MerkleBranch, DecodeError> {
        let index = self.u32(field)?;
        let depth = self.u8(field)?;
        let siblings = (0..depth).map(|_| self.array(field).map(TxMerkleNode::from_byte_array));
        let siblings = siblings.collect::<Result<_, _>>()?;
        MerkleBranch::new(index, siblings).map_err(|error| DecodeError::Branch { field, error })
    }
}
