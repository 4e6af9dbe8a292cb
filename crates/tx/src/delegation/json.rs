//! Delegations as JSON has them: hex in lower case only, numbers of entries bounded, no field unknown or repeated.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;

use bitcoin::consensus::encode::{deserialize_hex, serialize_hex};
use bitcoin::hex::{DisplayHex, FromHex};
use bitcoin::secp256k1::schnorr::Signature;
use bitcoin::{Amount, Network, OutPoint, ScriptBuf, Transaction, TxOut, Txid, XOnlyPublicKey};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tapstake_crypto::adaptor::AdaptorSignature;
use tapstake_crypto::pop::ProofOfPossession;
use tapstake_params::{MAX_KEYS, Timelock};
use tapstake_script::Providers;

use super::binary::{self, MAX_INPUTS, MAX_PACKAGE_JSON_BYTES, PackageDecodeError};
use super::{
    CovenantSignatures, DelegationPackage, DelegationParts, ExpansionPart, PreviousStake, StakerSignatures,
    StakingTx, VERSION,
};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PackageFields {
    // First in the file, so that a newer version is what its reader is told about.
    version: KnownVersion,
    network: Network,
    params_version: u32,
    staker: Hex<XOnlyPublicKey>,
    providers: Bounded<Hex<XOnlyPublicKey>, MAX_KEYS>,
    staking_time: Timelock,
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    value: Amount,
    vout: u32,
    staking_tx: Hex<Transaction>,
    prevouts: Bounded<TxOutFields, MAX_INPUTS>,
    parts: PartsFields,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expansion: Option<ExpansionFields>,
    checksum: Hex<[u8; 32]>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PartsFields {
    unbonding_tx: Hex<Transaction>,
    slashing_tx: Hex<Transaction>,
    unbonding_slashing_tx: Hex<Transaction>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    staker: Option<StakerSignatures>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    possession: Option<Hex<ProofOfPossession>>,
    #[serde(default)]
    covenant: Members<CovenantSignatures>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StakerFields {
    slashing: Hex<Signature>,
    unbonding_slashing: Hex<Signature>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CovenantFields {
    unbonding: Hex<Signature>,
    slashing: Bounded<Hex<AdaptorSignature>, MAX_KEYS>,
    unbonding_slashing: Bounded<Hex<AdaptorSignature>, MAX_KEYS>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TxOutFields {
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    value: Amount,
    script_pubkey: Hex<ScriptBuf>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpansionFields {
    previous: PreviousFields,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    staker: Option<Hex<Signature>>,
    #[serde(default)]
    covenant: Members<Hex<Signature>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PreviousFields {
    txid: Hex<Txid>,
    vout: u32,
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    value: Amount,
    params_version: u32,
    staking_time: Timelock,
}

impl From<DelegationPackage> for PackageFields {
    fn from(package: DelegationPackage) -> Self {
        let checksum = Hex(package.checksum());
        let prevouts = package.prevouts.into_iter();
        PackageFields {
            version: KnownVersion,
            network: package.network,
            params_version: package.params_version,
            staker: Hex(package.staker),
            providers: Bounded(package.providers.keys().iter().copied().map(Hex).collect()),
            staking_time: package.staking_time,
            value: package.value,
            vout: package.vout,
            staking_tx: Hex(package.staking_tx.to_transaction()),
            prevouts: Bounded(
                prevouts
                    .map(|prevout| TxOutFields {
                        value: prevout.value,
                        script_pubkey: Hex(prevout.script_pubkey),
                    })
                    .collect(),
            ),
            parts: package.parts.into(),
            expansion: package.expansion.map(|part| ExpansionFields {
                previous: PreviousFields {
                    txid: Hex(part.previous.outpoint.txid),
                    vout: part.previous.outpoint.vout,
                    value: part.previous.value,
                    params_version: part.previous.params_version,
                    staking_time: part.previous.staking_time,
                },
                staker: part.staker.map(Hex),
                covenant: Members(part.covenant.into_iter().map(|(key, given)| (key, Hex(given))).collect()),
            }),
            checksum,
        }
    }
}

impl TryFrom<PackageFields> for DelegationPackage {
    type Error = PackageDecodeError;

    fn try_from(fields: PackageFields) -> Result<Self, Self::Error> {
        let providers: Vec<XOnlyPublicKey> = fields.providers.0.into_iter().map(|key| key.0).collect();
        let prevouts = fields.prevouts.0.into_iter();
        let package = DelegationPackage {
            network: fields.network,
            params_version: fields.params_version,
            staker: fields.staker.0,
            providers: Providers::new(providers)?,
            staking_time: fields.staking_time,
            value: fields.value,
            vout: fields.vout,
            staking_tx: StakingTx::from(fields.staking_tx.0),
            prevouts: prevouts
                .map(|prevout| TxOut { value: prevout.value, script_pubkey: prevout.script_pubkey.0 })
                .collect(),
            parts: fields.parts.try_into()?,
            expansion: fields.expansion.map(|part| ExpansionPart {
                previous: PreviousStake {
                    outpoint: OutPoint { txid: part.previous.txid.0, vout: part.previous.vout },
                    value: part.previous.value,
                    params_version: part.previous.params_version,
                    staking_time: part.previous.staking_time,
                },
                staker: part.staker.map(|signature| signature.0),
                covenant: part.covenant.0.into_iter().map(|(key, given)| (key, given.0)).collect(),
            }),
        };
        let expected = package.checksum();
        if fields.checksum.0 != expected {
            return Err(PackageDecodeError::Checksum { actual: fields.checksum.0, expected });
        }
        Ok(package)
    }
}

impl From<DelegationParts> for PartsFields {
    fn from(parts: DelegationParts) -> Self {
        PartsFields {
            unbonding_tx: Hex(parts.unbonding_tx),
            slashing_tx: Hex(parts.slashing_tx),
            unbonding_slashing_tx: Hex(parts.unbonding_slashing_tx),
            staker: parts.staker,
            possession: parts.possession.map(Hex),
            covenant: Members(parts.covenant),
        }
    }
}

impl TryFrom<PartsFields> for DelegationParts {
    type Error = PackageDecodeError;

    fn try_from(fields: PartsFields) -> Result<Self, Self::Error> {
        Ok(DelegationParts {
            unbonding_tx: binary::refuse_witness(fields.unbonding_tx.0, "unbonding_tx")?,
            slashing_tx: binary::refuse_witness(fields.slashing_tx.0, "slashing_tx")?,
            unbonding_slashing_tx: binary::refuse_witness(
                fields.unbonding_slashing_tx.0,
                "unbonding_slashing_tx",
            )?,
            staker: fields.staker,
            possession: fields.possession.map(|proof| proof.0),
            covenant: fields.covenant.0,
        })
    }
}

impl From<StakerSignatures> for StakerFields {
    fn from(given: StakerSignatures) -> Self {
        StakerFields { slashing: Hex(given.slashing), unbonding_slashing: Hex(given.unbonding_slashing) }
    }
}

impl From<StakerFields> for StakerSignatures {
    fn from(fields: StakerFields) -> Self {
        StakerSignatures { slashing: fields.slashing.0, unbonding_slashing: fields.unbonding_slashing.0 }
    }
}

impl From<CovenantSignatures> for CovenantFields {
    fn from(given: CovenantSignatures) -> Self {
        let bounded = |given: Vec<AdaptorSignature>| Bounded(given.into_iter().map(Hex).collect());
        CovenantFields {
            unbonding: Hex(given.unbonding),
            slashing: bounded(given.slashing),
            unbonding_slashing: bounded(given.unbonding_slashing),
        }
    }
}

impl From<CovenantFields> for CovenantSignatures {
    fn from(fields: CovenantFields) -> Self {
        let plain = |fields: Bounded<Hex<AdaptorSignature>, MAX_KEYS>| {
            fields.0.into_iter().map(|signature| signature.0).collect()
        };
        CovenantSignatures {
            unbonding: fields.unbonding.0,
            slashing: plain(fields.slashing),
            unbonding_slashing: plain(fields.unbonding_slashing),
        }
    }
}

/// Something in hex of lower case: one text for each value.
struct Hex<T>(T);

trait HexText: Sized {
    fn to_hex(&self) -> String;
    fn from_hex(text: &str) -> Result<Self, String>;
}

impl<T: HexText> Serialize for Hex<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_hex())
    }
}

impl<'de, T: HexText> Deserialize<'de> for Hex<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text<T>(PhantomData<T>);

        impl<T: HexText> Visitor<'_> for Text<T> {
            type Value = Hex<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("hex in lower case")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Hex<T>, E> {
                if text.len() > MAX_PACKAGE_JSON_BYTES {
                    return Err(E::custom(format_args!(
                        "hex of {} digits is no part of a delegation",
                        text.len()
                    )));
                }
                if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
                    return Err(E::custom("hex in upper case"));
                }
                T::from_hex(text).map(Hex).map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text(PhantomData))
    }
}

macro_rules! hex_text {
    ($($type:ty: $to:expr, $from:expr;)*) => {$(
        impl HexText for $type {
            fn to_hex(&self) -> String {
                let to: fn(&Self) -> String = $to;
                to(self)
            }

            fn from_hex(text: &str) -> Result<Self, String> {
                let from: fn(&str) -> Result<Self, String> = $from;
                from(text)
            }
        }
    )*};
}

#[expect(clippy::needless_pass_by_value, reason = "the form that map_err takes")]
fn text<E: ToString>(error: E) -> String {
    error.to_string()
}

hex_text! {
    Transaction: |tx| serialize_hex(tx), |hex| deserialize_hex(hex).map_err(text);
    XOnlyPublicKey: |key| key.to_string(), |hex| hex.parse().map_err(text);
    Signature: |signature| signature.to_string(), |hex| hex.parse().map_err(text);
    AdaptorSignature: |signature| signature.to_string(), |hex| {
        // The older form of 66 bytes is for the signatures of others, not for what this crate writes.
        let bytes = <[u8; AdaptorSignature::SIZE]>::from_hex(hex).map_err(text)?;
        AdaptorSignature::from_bytes(&bytes).map_err(text)
    };
    ScriptBuf: |script| script.to_hex_string(), |hex| ScriptBuf::from_hex(hex).map_err(text);
    Txid: |txid| txid.to_string(), |hex| hex.parse().map_err(text);
    [u8; 32]: |bytes| bytes.to_lower_hex_string(), |hex| FromHex::from_hex(hex).map_err(text);
    ProofOfPossession: |proof| proof.to_bytes().to_lower_hex_string(), |hex| {
        let bytes = Vec::<u8>::from_hex(hex).map_err(text)?;
        ProofOfPossession::from_bytes(&bytes).map_err(text)
    };
}

/// A list of at most so many entries.
struct Bounded<T, const MAX: usize>(Vec<T>);

impl<T: Serialize, const MAX: usize> Serialize for Bounded<T, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.0)
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for Bounded<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List<T, const MAX: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for List<T, MAX> {
            type Value = Bounded<T, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a list of at most {MAX} entries")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = list.next_element()? {
                    if entries.len() == MAX {
                        return Err(A::Error::custom(format_args!("more than {MAX} entries")));
                    }
                    entries.push(entry);
                }
                Ok(Bounded(entries))
            }
        }

        deserializer.deserialize_seq(List(PhantomData))
    }
}

/// What covenant members give, by their keys: no key twice, and no more than a committee has.
struct Members<T>(BTreeMap<XOnlyPublicKey, T>);

impl<T> Default for Members<T> {
    fn default() -> Self {
        Members(BTreeMap::new())
    }
}

impl<T: Serialize> Serialize for Members<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, given)| (Hex(*key), given)))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Members<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Map<T> {
            type Value = Members<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "signatures by the keys of at most {MAX_KEYS} members")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<T>, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((key, given)) = map.next_entry::<Hex<XOnlyPublicKey>, T>()? {
                    if members.len() == MAX_KEYS {
                        return Err(A::Error::custom(format_args!("more than {MAX_KEYS} members")));
                    }
                    if members.insert(key.0, given).is_some() {
                        return Err(A::Error::custom(format_args!("member {} appears twice", key.0)));
                    }
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Map(PhantomData))
    }
}

/// Reads as [`VERSION`] and nothing else.
struct KnownVersion;

impl Serialize for KnownVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(VERSION)
    }
}

impl<'de> Deserialize<'de> for KnownVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let version = u32::deserialize(deserializer)?;
        PackageVersion { version }.check().map(|()| KnownVersion).map_err(D::Error::custom)
    }
}

/// The version of a delegation in JSON, whatever else stands in it.
///
/// Reading this first tells a delegation of a newer version from a broken one, with a typed error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct PackageVersion {
    /// The version.
    pub version: u32,
}

impl PackageVersion {
    /// Refuses a version that this crate does not read.
    ///
    /// # Errors
    ///
    /// [`PackageDecodeError::Version`] names both.
    pub const fn check(self) -> Result<(), PackageDecodeError> {
        if self.version == VERSION as u32 {
            return Ok(());
        }
        Err(PackageDecodeError::Version { found: self.version, known: VERSION })
    }
}
