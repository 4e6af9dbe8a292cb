//! The list of stakes as one JSON document, to be kept elsewhere.

use bitcoin::consensus::encode::{deserialize_hex, serialize_hex};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tapstake_tx::delegation::DelegationPackage;

use crate::error::TrackerError;
use crate::record::StakeRecord;
use crate::store::{FollowUp, FollowUpKind, Store};

const FORMAT: u32 = 1;
const WHAT: &str = "tapstake stakes";

#[derive(Serialize, Deserialize)]
struct Document {
    what: String,
    format: u32,
    stakes: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    record: Box<RawValue>,
    follow_ups: Vec<Kept>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delegation: Option<DelegationPackage>,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    kind: FollowUpKind,
    tx: String,
}

impl Store {
    /// Everything in the list as JSON: records, kept transactions and delegations, no secret.
    ///
    /// # Errors
    ///
    /// As [`Store::get`].
    pub fn export(&self) -> Result<String, TrackerError> {
        let entry = |record: StakeRecord| {
            let kept = |FollowUp { kind, tx }| Kept { kind, tx: serialize_hex(&tx) };
            Ok(Entry {
                record: RawValue::from_string(record.to_json()).expect("a record's JSON is JSON"),
                delegation: self.delegation(&record.outpoint)?,
                follow_ups: self.follow_ups(&record.outpoint)?.into_iter().map(kept).collect(),
            })
        };
        let stakes = self.list()?.into_iter().map(entry).collect::<Result<_, TrackerError>>()?;
        let document = Document { what: WHAT.into(), format: FORMAT, stakes };
        Ok(serde_json::to_string_pretty(&document).expect("an export has string keys only"))
    }

    /// Adds everything in an export to the list, or nothing; returns how many stakes were new.
    ///
    /// # Errors
    ///
    /// [`TrackerError::Export`], [`TrackerError::NewerExport`], [`TrackerError::Record`],
    /// [`TrackerError::AlreadyKnown`] if a stake is in the list with other facts.
    pub fn import(&mut self, json: &str) -> Result<usize, TrackerError> {
        #[derive(Deserialize)]
        struct Head {
            what: String,
            format: u32,
        }
        let malformed = |error: serde_json::Error| TrackerError::Export(error.to_string());
        let head: Head = serde_json::from_str(json).map_err(malformed)?;
        if head.what != WHAT {
            return Err(TrackerError::Export(format!("it says it is a {:?}", head.what)));
        }
        if head.format > FORMAT {
            return Err(TrackerError::NewerExport { found: head.format, supported: FORMAT });
        }
        let document: Document = serde_json::from_str(json).map_err(malformed)?;
        let secp = bitcoin::secp256k1::Secp256k1::verification_only();
        let stake = |Entry { record, follow_ups, delegation }| {
            let record = StakeRecord::from_json(&secp, RawValue::get(&record))?;
            let kept = |Kept { kind, tx }| {
                let tx = deserialize_hex(&tx).map_err(|error| TrackerError::Export(error.to_string()))?;
                Ok(FollowUp { kind, tx })
            };
            let follow_ups = follow_ups.into_iter().map(kept).collect::<Result<_, TrackerError>>()?;
            Ok((record, follow_ups, delegation))
        };
        let stakes: Vec<_> = document.stakes.into_iter().map(stake).collect::<Result<_, TrackerError>>()?;
        self.insert_all(&stakes)
    }
}
