use alloc::vec::Vec;

use bitcoin::consensus::serialize;
use bitcoin::hashes::Hash;
use bitcoin::{Transaction, TxMerkleNode};
use tapstake_params::Height;
use tapstake_script::{Providers, TermsError};
use tapstake_tx::delegation::{DelegationParts, PackageDecodeError};
use tapstake_tx::{ReadError, Reader};

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
    /// The bytes end too early, are too many, or do not read as their fields.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The providers are no set of keys.
    #[error(transparent)]
    Providers(#[from] TermsError),
    /// A Merkle branch that no block has.
    #[error("{field}: {error}")]
    Branch {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        error: MerkleError,
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
        let mut reader = Reader { rest: bytes, of: "stake proof" };
        let magic = reader.array::<4>("magic")?;
        if magic != MAGIC {
            return Err(DecodeError::Magic);
        }
        let version = reader.u16("version")?;
        super::ProofVersion { version: version.into() }.check()?;
        let network = reader.network("network")?;
        let vout = reader.u32("vout")?;
        let staker = reader.key("staker")?;
        let count = reader.u8("providers")?;
        let providers = (0..count).map(|_| reader.key("providers")).collect::<Result<_, ReadError>>()?;
        let providers = Providers::new(providers)?;
        let staking_time = reader.timelock("staking_time")?;
        let registration = match reader.u8("registration")? {
            REGISTRATION_NONE => Registration::None,
            REGISTRATION_AT => Registration::At(Height::new(reader.u32("registration")?)),
            REGISTRATION_PHASE_1 => Registration::Phase1,
            tag => return Err(ReadError::Tag { field: "registration", tag }.into()),
        };
        let inclusion_height = Height::new(reader.u32("inclusion_height")?);
        let header = reader.consensus("header")?;
        let tx = transaction(&mut reader, "transaction")?;
        let tx_branch = branch(&mut reader, "branch")?;
        let coinbase = transaction(&mut reader, "coinbase")?;
        let coinbase_branch = branch(&mut reader, "coinbase_branch")?;
        let own_headers = if reader.flag("headers")? {
            let start_height = Height::new(reader.u32("headers")?);
            let count = reader.u32("headers")?;
            let headers =
                (0..count).map(|_| reader.consensus("headers")).collect::<Result<_, ReadError>>()?;
            Some(OwnHeaders { start_height, headers })
        } else {
            None
        };
        let delegation = match version {
            WITHOUT_DELEGATION => None,
            _ => Some(DelegationParts::decode(&mut reader.rest)?),
        };
        reader.end()?;
        let proof = StakeProof {
            network,
            vout,
            claim: Claim { staker, providers, staking_time, registration },
            inclusion_height,
            header,
            inclusion: InclusionProof::new(tx, tx_branch, coinbase, coinbase_branch),
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

fn transaction(reader: &mut Reader<'_>, field: &'static str) -> Result<Transaction, DecodeError> {
    refuse_witness(reader.consensus(field)?, field)
}

fn branch(reader: &mut Reader<'_>, field: &'static str) -> Result<MerkleBranch, DecodeError> {
    let index = reader.u32(field)?;
    let depth = reader.u8(field)?;
    let siblings = (0..depth).map(|_| reader.array(field).map(TxMerkleNode::from_byte_array));
    let siblings = siblings.collect::<Result<_, ReadError>>()?;
    MerkleBranch::new(index, siblings).map_err(|error| DecodeError::Branch { field, error })
}
