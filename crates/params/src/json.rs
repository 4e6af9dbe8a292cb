//! The public JSON shapes of parameters: *global params* and *chain params*.
//!
//! One node type reads both, since they differ in names and encodings only: every field is optional while
//! reading, and what a version needs is asked for by name afterwards. Unknown fields are ignored.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bitcoin::hex::{DisplayHex, FromHex};
use bitcoin::{Amount, Network, PublicKey, ScriptBuf, XOnlyPublicKey};
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::params::{Phase1, Slashing, StakingCap};
use crate::{
    Height, Quorum, QuorumError, RateError, Schedule, ScheduleError, StakingParams, Timelock, TimelockError,
};

/// A parameters file, read but not yet bound to a Bitcoin network: neither public shape names one.
///
/// Reads global params (`{"versions": [...]}`), chain params as proto-JSON (`{"params": {...}}`, a list of
/// `{"version", "params"}`, or the same list under `"params"`), and a bare version of either.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleFile {
    versions: Vec<StakingParams>,
}

/// Why a parameters file was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// A field that every version needs is not there.
    #[error("parameters version {version}: field {field} is missing")]
    Missing {
        /// The parameters version.
        version: u32,
        /// The field's name.
        field: &'static str,
    },
    /// A field cannot be read as what it should be.
    #[error("parameters version {version}: field {field}: {reason}")]
    Malformed {
        /// The parameters version.
        version: u32,
        /// The field's name.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The slashing fields come together or not at all.
    #[error(
        "parameters version {version}: slashing_pk_script, slashing_rate and min_slashing_tx_fee_sat come together"
    )]
    PartialSlashing {
        /// The parameters version.
        version: u32,
    },
    /// Both kinds of cap at once.
    #[error("parameters version {version}: staking_cap and cap_height exclude each other")]
    TwoCaps {
        /// The parameters version.
        version: u32,
    },
    /// The covenant keys and quorum are none.
    #[error("parameters version {version}: {source}")]
    Quorum {
        /// The parameters version.
        version: u32,
        /// The rule that is broken.
        source: QuorumError,
    },
    /// A timelock is out of range.
    #[error("parameters version {version}: field {field}: {source}")]
    Timelock {
        /// The parameters version.
        version: u32,
        /// The field's name.
        field: &'static str,
        /// The rule that is broken.
        source: TimelockError,
    },
    /// The slashing rate is none.
    #[error("parameters version {version}: {source}")]
    Rate {
        /// The parameters version.
        version: u32,
        /// The rule that is broken.
        source: RateError,
    },
}

impl ScheduleFile {
    /// Binds the versions to the Bitcoin network whose stakes they govern.
    ///
    /// # Errors
    ///
    /// [`ScheduleError`], as [`Schedule::new`].
    pub fn for_network(self, network: Network) -> Result<Schedule, ScheduleError> {
        Schedule::new(network, self.versions)
    }
}

/// An integer as a JSON number or, in proto-JSON, as a string.
#[derive(Clone, Copy)]
struct Int(u64);

impl<'de> Deserialize<'de> for Int {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IntVisitor;
        impl Visitor<'_> for IntVisitor {
            type Value = Int;

            fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str("a non-negative integer, plain or as a string")
            }

            fn visit_u64<E: serde::de::Error>(self, n: u64) -> Result<Int, E> {
                Ok(Int(n))
            }

            fn visit_str<E: serde::de::Error>(self, s: &str) -> Result<Int, E> {
                let plain = !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
                let n = s.parse().ok().filter(|_| plain);
                n.map(Int).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(s), &self))
            }
        }
        deserializer.deserialize_any(IntVisitor)
    }
}

/// One node, or a list of them.
struct Nodes(Vec<Node>);

impl<'de> Deserialize<'de> for Nodes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NodesVisitor;
        impl<'de> Visitor<'de> for NodesVisitor {
            type Value = Nodes;

            fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str("staking parameters: an object or a list of objects")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Nodes, A::Error> {
                let node = Node::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                Ok(Nodes(alloc::vec![node]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Nodes, A::Error> {
                let mut nodes = Vec::new();
                while let Some(node) = seq.next_element()? {
                    nodes.push(node);
                }
                Ok(Nodes(nodes))
            }
        }
        deserializer.deserialize_any(NodesVisitor)
    }
}

/// Any object of either shape.
#[derive(Deserialize)]
struct Node {
    versions: Option<Nodes>,
    params: Option<Nodes>,
    version: Option<Int>,
    #[serde(alias = "btc_activation_height")]
    activation_height: Option<Int>,
    covenant_pks: Option<Vec<String>>,
    covenant_quorum: Option<Int>,
    #[serde(alias = "min_staking_value_sat")]
    min_staking_amount: Option<Int>,
    #[serde(alias = "max_staking_value_sat")]
    max_staking_amount: Option<Int>,
    #[serde(alias = "min_staking_time_blocks")]
    min_staking_time: Option<Int>,
    #[serde(alias = "max_staking_time_blocks")]
    max_staking_time: Option<Int>,
    #[serde(alias = "unbonding_time_blocks")]
    unbonding_time: Option<Int>,
    #[serde(alias = "unbonding_fee_sat")]
    unbonding_fee: Option<Int>,
    slashing_pk_script: Option<String>,
    slashing_rate: Option<String>,
    min_slashing_tx_fee_sat: Option<Int>,
    tag: Option<String>,
    staking_cap: Option<Int>,
    cap_height: Option<Int>,
    confirmation_depth: Option<Int>,
}

impl<'de> Deserialize<'de> for ScheduleFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut versions = Vec::new();
        for node in Nodes::deserialize(deserializer)?.0 {
            node.collect(None, &mut versions).map_err(D::Error::custom)?;
        }
        Ok(ScheduleFile { versions })
    }
}

impl Node {
    /// Adds the versions in this node; `outer` is the number that a wrapper gave.
    fn collect(self, outer: Option<Int>, versions: &mut Vec<StakingParams>) -> Result<(), JsonError> {
        let number = self.version.or(outer);
        match (self.versions, self.params) {
            (None, None) => {
                let number = number.unwrap_or(Int(0));
                let version = u32::try_from(number.0).map_err(|_| JsonError::Malformed {
                    version: u32::MAX,
                    field: "version",
                    reason: format!("{} is above {}", number.0, u32::MAX),
                })?;
                versions.push(Node { versions: None, params: None, ..self }.into_params(version)?);
            }
            (inner, wrapped) => {
                for node in [inner, wrapped].into_iter().flatten().flat_map(|nodes| nodes.0) {
                    node.collect(number, versions)?;
                }
            }
        }
        Ok(())
    }

    fn into_params(self, version: u32) -> Result<StakingParams, JsonError> {
        let missing = |field| JsonError::Missing { version, field };
        let malformed = |field, reason| JsonError::Malformed { version, field, reason };
        let small = |field: &'static str, n: Option<Int>| -> Result<u32, JsonError> {
            let n = n.ok_or(missing(field))?.0;
            u32::try_from(n).map_err(|_| malformed(field, format!("{n} is above {}", u32::MAX)))
        };
        let amount = |field: &'static str, n: Option<Int>| -> Result<Amount, JsonError> {
            n.map(|n| Amount::from_sat(n.0)).ok_or(missing(field))
        };
        let time = |field: &'static str, n: Option<Int>| -> Result<Timelock, JsonError> {
            Timelock::new(small(field, n)?).map_err(|source| JsonError::Timelock { version, field, source })
        };

        let keys = self.covenant_pks.ok_or(missing("covenant_pks"))?;
        let keys = keys
            .iter()
            .map(|key| {
                parse_key(key).ok_or_else(|| {
                    malformed("covenant_pks", format!("{key:?} is no public key of 32 or 33 bytes in hex"))
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let threshold = small("covenant_quorum", self.covenant_quorum)?;
        let threshold = usize::try_from(threshold).unwrap_or(usize::MAX);
        let covenant =
            Quorum::new(threshold, keys).map_err(|source| JsonError::Quorum { version, source })?;

        let slashing = match (self.slashing_pk_script, self.slashing_rate, self.min_slashing_tx_fee_sat) {
            (None, None, None) => None,
            (Some(script), Some(rate), Some(fee)) => {
                let script =
                    BASE64.decode(&script).map_err(|e| malformed("slashing_pk_script", e.to_string()))?;
                let rate = rate.parse().map_err(|source| JsonError::Rate { version, source })?;
                Some(Slashing {
                    rate,
                    pk_script: ScriptBuf::from_bytes(script),
                    min_fee: Amount::from_sat(fee.0),
                })
            }
            _ => return Err(JsonError::PartialSlashing { version }),
        };

        let phase_1 = match &self.tag {
            None => None,
            Some(tag) => {
                let tag = <[u8; 4]>::from_hex(tag).map_err(|e| malformed("tag", e.to_string()))?;
                let cap = match (self.staking_cap, self.cap_height) {
                    (Some(Int(sat)), None | Some(Int(0))) => StakingCap::Value(Amount::from_sat(sat)),
                    (None | Some(Int(0)), Some(_)) => {
                        StakingCap::Height(Height::new(small("cap_height", self.cap_height)?))
                    }
                    (Some(_), Some(_)) => return Err(JsonError::TwoCaps { version }),
                    (None, None) => return Err(missing("staking_cap or cap_height")),
                };
                let confirmation_depth = small("confirmation_depth", self.confirmation_depth)?;
                Some(Phase1 { tag, cap, confirmation_depth })
            }
        };

        Ok(StakingParams {
            version,
            activation_height: Height::new(small("activation_height", self.activation_height)?),
            covenant,
            min_staking_value: amount("min_staking_amount", self.min_staking_amount)?,
            max_staking_value: amount("max_staking_amount", self.max_staking_amount)?,
            min_staking_time: time("min_staking_time", self.min_staking_time)?,
            max_staking_time: time("max_staking_time", self.max_staking_time)?,
            unbonding_time: time("unbonding_time", self.unbonding_time)?,
            unbonding_fee: amount("unbonding_fee", self.unbonding_fee)?,
            slashing,
            phase_1,
        })
    }
}

/// An x-only key from 32 bytes, or from the 33 of a compressed key whose parity does not matter here.
fn parse_key(hex: &str) -> Option<XOnlyPublicKey> {
    match hex.len() {
        64 => hex.parse().ok(),
        66 => hex.parse::<PublicKey>().ok().map(|key| key.inner.x_only_public_key().0),
        _ => None,
    }
}

/// Writes the versions in the global params' names, with the slashing fields of the chain params added.
impl Serialize for Schedule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut schedule = serializer.serialize_struct("Schedule", 1)?;
        schedule.serialize_field("versions", self.versions())?;
        schedule.end()
    }
}

impl Serialize for StakingParams {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("StakingParams", 16)?;
        fields.serialize_field("version", &self.version)?;
        fields.serialize_field("activation_height", &self.activation_height)?;
        if let Some(phase_1) = &self.phase_1 {
            fields.serialize_field("tag", &phase_1.tag.to_lower_hex_string())?;
            match phase_1.cap {
                StakingCap::Value(cap) => fields.serialize_field("staking_cap", &cap.to_sat())?,
                StakingCap::Height(last) => fields.serialize_field("cap_height", &last)?,
            }
            fields.serialize_field("confirmation_depth", &phase_1.confirmation_depth)?;
        }
        fields.serialize_field("covenant_pks", self.covenant.keys())?;
        fields.serialize_field("covenant_quorum", &self.covenant.threshold())?;
        fields.serialize_field("min_staking_amount", &self.min_staking_value.to_sat())?;
        fields.serialize_field("max_staking_amount", &self.max_staking_value.to_sat())?;
        fields.serialize_field("min_staking_time", &self.min_staking_time)?;
        fields.serialize_field("max_staking_time", &self.max_staking_time)?;
        fields.serialize_field("unbonding_time", &self.unbonding_time)?;
        fields.serialize_field("unbonding_fee", &self.unbonding_fee.to_sat())?;
        if let Some(slashing) = &self.slashing {
            fields.serialize_field("slashing_pk_script", &BASE64.encode(&slashing.pk_script))?;
            fields.serialize_field("slashing_rate", &slashing.rate)?;
            fields.serialize_field("min_slashing_tx_fee_sat", &slashing.min_fee.to_sat())?;
        }
        fields.end()
    }
}
