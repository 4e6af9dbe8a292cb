use alloc::string::String;
use alloc::vec::Vec;

use bitcoin::block::Header;
use bitcoin::consensus::encode::{deserialize_hex, serialize_hex};
use bitcoin::{Network, Transaction, XOnlyPublicKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tapstake_params::{Height, Timelock};
use tapstake_script::Providers;
use tapstake_tx::delegation::DelegationParts;

use super::{Claim, DecodeError, OwnHeaders, Registration, StakeProof, VERSION, WITHOUT_DELEGATION, binary};
use crate::{InclusionProof, MerkleBranch};

/// The fields of a proof as JSON has them.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fields {
    // First in the file, so that a newer version is what its reader is told about.
    version: NamedVersion,
    network: Network,
    vout: u32,
    staker: XOnlyPublicKey,
    providers: Providers,
    staking_time: Timelock,
    registration: Registration,
    inclusion_height: Height,
    header: Hex<Header>,
    transaction: Hex<Transaction>,
    branch: MerkleBranch,
    coinbase: Hex<Transaction>,
    coinbase_branch: MerkleBranch,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    headers: Option<HeaderFields>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delegation: Option<DelegationParts>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderFields {
    start_height: Height,
    headers: Vec<Hex<Header>>,
}

impl From<StakeProof> for Fields {
    fn from(proof: StakeProof) -> Self {
        let version = NamedVersion(proof.version().into());
        let StakeProof { network, vout, claim, inclusion_height, header, inclusion, own_headers, delegation } =
            proof;
        Fields {
            version,
            network,
            vout,
            staker: claim.staker,
            providers: claim.providers,
            staking_time: claim.staking_time,
            registration: claim.registration,
            inclusion_height,
            header: Hex(header),
            transaction: Hex(inclusion.tx),
            branch: inclusion.branch,
            coinbase: Hex(inclusion.coinbase),
            coinbase_branch: inclusion.coinbase_branch,
            headers: own_headers.map(|own| HeaderFields {
                start_height: own.start_height,
                headers: own.headers.into_iter().map(Hex).collect(),
            }),
            delegation,
        }
    }
}

impl TryFrom<Fields> for StakeProof {
    type Error = DecodeError;

    fn try_from(fields: Fields) -> Result<Self, Self::Error> {
        let tx = binary::refuse_witness(fields.transaction.0, "transaction")?;
        let coinbase = binary::refuse_witness(fields.coinbase.0, "coinbase")?;
        let proof = StakeProof {
            network: fields.network,
            vout: fields.vout,
            claim: Claim {
                staker: fields.staker,
                providers: fields.providers,
                staking_time: fields.staking_time,
                registration: fields.registration,
            },
            inclusion_height: fields.inclusion_height,
            header: fields.header.0,
            inclusion: InclusionProof::new(tx, fields.branch, coinbase, fields.coinbase_branch),
            own_headers: fields.headers.map(|own| OwnHeaders {
                start_height: own.start_height,
                headers: own.headers.into_iter().map(|header| header.0).collect(),
            }),
            delegation: fields.delegation,
        };
        if fields.version.0 != u32::from(proof.version()) {
            return Err(DecodeError::NotItsVersion { version: fields.version.0 });
        }
        Ok(proof)
    }
}

/// A value in its consensus encoding, as hex.
struct Hex<T>(T);

impl<T: bitcoin::consensus::Encodable> Serialize for Hex<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&serialize_hex(&self.0))
    }
}

impl<'de, T: bitcoin::consensus::Decodable> Deserialize<'de> for Hex<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let hex = String::deserialize(deserializer)?;
        deserialize_hex(&hex).map(Hex).map_err(serde::de::Error::custom)
    }
}

/// A version that this crate reads.
struct NamedVersion(u32);

impl Serialize for NamedVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.0)
    }
}

impl<'de> Deserialize<'de> for NamedVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let version = u32::deserialize(deserializer)?;
        ProofVersion { version }.check().map_err(serde::de::Error::custom)?;
        Ok(NamedVersion(version))
    }
}

/// The version of a proof in JSON, whatever else stands in it.
///
/// Reading this first tells a proof of a newer version from a broken one, with a typed error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct ProofVersion {
    /// The version.
    pub version: u32,
}

impl ProofVersion {
    /// Refuses a version that this crate does not read.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Version`] names both.
    pub const fn check(self) -> Result<(), DecodeError> {
        if WITHOUT_DELEGATION as u32 <= self.version && self.version <= VERSION as u32 {
            return Ok(());
        }
        Err(DecodeError::Version { found: self.version, known: VERSION })
    }
}
