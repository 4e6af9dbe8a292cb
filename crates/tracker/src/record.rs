//! What is remembered of one stake.

use std::fmt;

use bitcoin::bip32::{DerivationPath, Fingerprint};
use bitcoin::secp256k1::{Secp256k1, Verification};
use bitcoin::{Amount, Network, OutPoint, ScriptBuf, Transaction, Txid};
use serde::{Deserialize, Serialize};
use tapstake_params::{Height, Slashing, SlashingRate, StakingParams};
use tapstake_script::StakeTerms;
use tapstake_tx::Stake;

/// The format of records as JSON.
const FORMAT: u32 = 1;

/// One stake, with everything it takes to follow it, to send it again and to get its coins out.
///
/// Holds no secret. Its key is its outpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StakeRecord {
    /// The network it is on.
    pub network: Network,
    /// Where the staking output lies, or will lie.
    pub outpoint: OutPoint,
    /// What it holds.
    #[serde(rename = "value_sat", with = "bitcoin::amount::serde::as_sat")]
    pub value: Amount,
    /// Its keys and timelocks.
    pub terms: StakeTerms,
    /// The parameters it was made under.
    pub params: KeptParams,
    /// Where the staker's private key lies below a master key; `None` if that is not known here.
    pub staker: Option<KeyOrigin>,
    /// The staking transaction, signed or not: what it spends tells whether another took its place. `None` if the stake was
    /// restored from a recovery sheet. Only a verified delegation sends it.
    #[serde(with = "optional_tx")]
    pub staking_tx: Option<Transaction>,
    /// The withdrawal that was signed before the staking transaction was sent, and kept.
    #[serde(with = "optional_tx")]
    pub rehearsed_exit: Option<Transaction>,
    /// The name of the wallet that funded it.
    pub wallet: Option<String>,
    /// What its owner calls it.
    pub label: Option<String>,
    /// The chain's tip when it was made: it is in no block up to this one.
    pub made_at: Height,
    /// The block it was last seen in: where to look first, no statement.
    pub included_at: Option<Height>,
}

/// What later transactions of a stake need of the parameters version it was made under.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptParams {
    /// The version's number.
    pub version: u32,
    /// The fee of the unbonding transaction, exactly.
    #[serde(rename = "unbonding_fee_sat", with = "bitcoin::amount::serde::as_sat")]
    pub unbonding_fee: Amount,
    /// What a slashing takes and pays, if the version says.
    pub slashing: Option<KeptSlashing>,
}

/// [`Slashing`], as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptSlashing {
    /// The share of the stake that is slashed.
    pub rate: SlashingRate,
    /// Where the slashed part goes.
    pub pk_script: ScriptBuf,
    /// The least fee of a slashing transaction.
    #[serde(rename = "min_fee_sat", with = "bitcoin::amount::serde::as_sat")]
    pub min_fee: Amount,
}

/// Where a key lies below a master key (BIP-0032).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyOrigin {
    /// The fingerprint of the master key, 4 bytes.
    pub fingerprint: Fingerprint,
    /// The path from the master key, such as `86'/0'/0'/2/0`.
    pub path: DerivationPath,
}

/// Why a record is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// It is no record.
    #[error("not a stake record: {0}")]
    Malformed(String),
    /// It was written by a newer version.
    #[error("stake record has format {found}, this version reads up to {supported}")]
    NewerFormat {
        /// The format found.
        found: u32,
        /// The newest known here.
        supported: u32,
    },
    /// The staking transaction is another one.
    #[error("the staking transaction is {actual}, the stake is at {expected}")]
    OtherTransaction {
        /// The transaction given.
        actual: Txid,
        /// The stake's outpoint.
        expected: OutPoint,
    },
    /// The staking transaction's output is not the stake.
    #[error("output {0} is not the staking output of the terms with the stake's value")]
    OtherOutput(OutPoint),
    /// The rehearsed withdrawal withdraws something else.
    #[error("the rehearsed withdrawal does not spend {0}")]
    OtherWithdrawal(OutPoint),
}

impl StakeRecord {
    /// The record of `stake`, made by `staking_tx` under `params` when the tip was at `made_at`.
    ///
    /// What else is known (origin of the key, rehearsed withdrawal, wallet, label) goes into the fields.
    ///
    /// # Errors
    ///
    /// [`RecordError`] if the transaction does not make the stake.
    pub fn new(
        network: Network,
        stake: &Stake,
        params: &StakingParams,
        staking_tx: Transaction,
        made_at: Height,
    ) -> Result<Self, RecordError> {
        let record = StakeRecord {
            network,
            outpoint: stake.outpoint(),
            value: stake.value(),
            terms: stake.terms().clone(),
            params: params.into(),
            staker: None,
            staking_tx: Some(staking_tx),
            rehearsed_exit: None,
            wallet: None,
            label: None,
            made_at,
            included_at: None,
        };
        record.check_against(stake)?;
        Ok(record)
    }

    /// The stake.
    pub fn stake<C: Verification>(&self, secp: &Secp256k1<C>) -> Stake {
        Stake::new(secp, self.terms.clone(), self.outpoint, self.value)
    }

    /// Checks that the transactions are those of the stake.
    ///
    /// # Errors
    ///
    /// [`RecordError`] names what is wrong.
    pub fn check<C: Verification>(&self, secp: &Secp256k1<C>) -> Result<(), RecordError> {
        self.check_against(&self.stake(secp))
    }

    fn check_against(&self, stake: &Stake) -> Result<(), RecordError> {
        let outpoint = self.outpoint;
        if let Some(tx) = &self.staking_tx {
            let actual = tx.compute_txid();
            if actual != outpoint.txid {
                return Err(RecordError::OtherTransaction { actual, expected: outpoint });
            }
            if tx.output.get(outpoint.vout as usize) != Some(&stake.coin().to_txout()) {
                return Err(RecordError::OtherOutput(outpoint));
            }
        }
        match &self.rehearsed_exit {
            Some(tx) if tx.input.iter().all(|input| input.previous_output != outpoint) => {
                Err(RecordError::OtherWithdrawal(outpoint))
            }
            _ => Ok(()),
        }
    }

    /// The record as JSON, with its format's number.
    pub fn to_json(&self) -> String {
        serde_json::to_string(&Versioned { format: FORMAT, stake: self })
            .expect("a record has string keys only")
    }

    /// Reads a record from JSON and checks it.
    ///
    /// # Errors
    ///
    /// [`RecordError`] names what is wrong.
    pub fn from_json<C: Verification>(secp: &Secp256k1<C>, json: &str) -> Result<Self, RecordError> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let malformed = |error: serde_json::Error| RecordError::Malformed(error.to_string());
        let Head { format } = serde_json::from_str(json).map_err(malformed)?;
        if format > FORMAT {
            return Err(RecordError::NewerFormat { found: format, supported: FORMAT });
        }
        let Versioned { stake, .. }: Versioned<StakeRecord> =
            serde_json::from_str(json).map_err(malformed)?;
        stake.check(secp)?;
        Ok(stake)
    }
}

#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    format: u32,
    stake: T,
}

impl From<&StakingParams> for KeptParams {
    fn from(params: &StakingParams) -> Self {
        KeptParams {
            version: params.version,
            unbonding_fee: params.unbonding_fee,
            slashing: params.slashing.as_ref().map(KeptSlashing::from),
        }
    }
}

impl From<&Slashing> for KeptSlashing {
    fn from(Slashing { rate, pk_script, min_fee }: &Slashing) -> Self {
        KeptSlashing { rate: *rate, pk_script: pk_script.clone(), min_fee: *min_fee }
    }
}

impl From<&KeptSlashing> for Slashing {
    fn from(KeptSlashing { rate, pk_script, min_fee }: &KeptSlashing) -> Self {
        Slashing { rate: *rate, pk_script: pk_script.clone(), min_fee: *min_fee }
    }
}

impl fmt::Display for KeyOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}/{}]", self.fingerprint, self.path)
    }
}

/// A transaction that may be missing, as hex.
mod optional_tx {
    use bitcoin::Transaction;
    use bitcoin::consensus::encode::{deserialize_hex, serialize_hex};
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serialize as _, Serializer};

    #[allow(clippy::ref_option, reason = "serde's `with` hands over a reference to the field")]
    pub(super) fn serialize<S: Serializer>(tx: &Option<Transaction>, to: S) -> Result<S::Ok, S::Error> {
        tx.as_ref().map(serialize_hex).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Transaction>, D::Error> {
        let hex = Option::<String>::deserialize(from)?;
        hex.map(|hex| deserialize_hex(&hex).map_err(D::Error::custom)).transpose()
    }
}
