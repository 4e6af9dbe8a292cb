use std::path::PathBuf;

use bitcoin::{Amount, FeeRate, Network, OutPoint, Txid, XOnlyPublicKey};
use tapstake_crypto::pop::PossessionForm;
use tapstake_params::{Height, ScheduleError, Timelock};
use tapstake_tx::PerVb;
use tapstake_tx::delegation::{DelegationError, MAX_PACKAGE_BYTES};

use super::key::{KeyError, NoSecretKey};
use crate::keyfile::KeyFileError;

/// Why a member signed nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CovenantError {
    /// A rule forbids it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The key could not be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// What the key answered is no signature by the member over what was asked.
    #[error("the covenant key answered with a signature that does not verify: {0}")]
    WrongAnswer(#[source] DelegationError),
    /// Another key than that of the folder's member.
    #[error("the key given is not the key {0} of this member")]
    OtherKey(XOnlyPublicKey),
    /// The key file was not written or not opened.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// The key file's bytes are out of range.
    #[error(transparent)]
    NoSecretKey(#[from] NoSecretKey),
    /// There is no member in this folder.
    #[error("no covenant member in {}", .0.display())]
    NoMember(PathBuf),
    /// There is something in this folder already.
    #[error("{} is there already and is left as it is", .0.display())]
    Exists(PathBuf),
    /// Another process has the folder.
    #[error("another process is using the covenant member in {}", .0.display())]
    InUse(PathBuf),
    /// The policy file is not to be followed.
    #[error("{}: {error}", file.display())]
    Policy {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        error: PolicyFileError,
    },
    /// The record is cut off, changed, or something else.
    #[error("record {} is damaged: {reason}", file.display())]
    DamagedRecord {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The record was written by a later version of this program.
    #[error("record {} has format {found}, this version reads {supported}", file.display())]
    NewerRecord {
        /// The file.
        file: PathBuf,
        /// Its format.
        found: i64,
        /// The newest format known here.
        supported: i64,
    },
    /// The database refused.
    #[error("record {}: {error}", file.display())]
    Database {
        /// The file.
        file: PathBuf,
        /// What SQLite says.
        #[source]
        error: rusqlite::Error,
    },
    /// The disk refused.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system says.
        #[source]
        error: std::io::Error,
    },
}

/// The rule by which a member does not sign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The delegation breaks a rule of the protocol or of the parameters.
    #[error(transparent)]
    Delegation(#[from] DelegationError),
    /// Which parameters apply depends on a height that was not given.
    #[error(
        "which of {versions} parameters versions applies depends on the height of the tip, which is not known"
    )]
    TipUnknown {
        /// The number of versions.
        versions: usize,
    },
    /// There are no parameters at this height.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// The delegation was made under parameters that do not apply.
    #[error("parameters version {given} does not apply{}: version {expected} does", at(*height))]
    Version {
        /// The delegation's version.
        given: u32,
        /// The version that applies.
        expected: u32,
        /// The height at which it does.
        height: Option<Height>,
    },
    /// The proof of possession is in a form that the policy does not name.
    #[error("a proof of possession in form {0} is not in the policy")]
    PossessionForm(PossessionForm),
    /// The proof of possession names no service, and the policy asks for one.
    #[error("the proof of possession names an account alone, the policy asks for service and network")]
    PossessionContext,
    /// The proof of possession is for another network.
    #[error("the proof of possession is for network {given}, not {expected}")]
    PossessionNetwork {
        /// The proof's network.
        given: Network,
        /// The policy's.
        expected: Network,
    },
    /// The proof of possession is for a service that the policy does not name.
    #[error("service {0:?} of the proof of possession is not in the policy")]
    Service(String),
    /// The proof of possession is for a service that has none of the stake's providers, by the policy.
    #[error("service {0:?} of the proof of possession has none of the stake's providers in the policy")]
    ServiceProvider(String),
    /// The value is outside the policy's bounds.
    #[error("staking value {} sat is outside the policy's {}..={} sat", value.to_sat(), min.to_sat(), max.to_sat())]
    Value {
        /// The stake's value.
        value: Amount,
        /// The least value.
        min: Amount,
        /// The greatest value.
        max: Amount,
    },
    /// The timelock is outside the policy's bounds.
    #[error("staking time {time} blocks is outside the policy's {min}..={max} blocks")]
    Time {
        /// The stake's timelock.
        time: Timelock,
        /// The shortest timelock.
        min: Timelock,
        /// The longest timelock.
        max: Timelock,
    },
    /// A provider that the policy does not name.
    #[error("provider {0} is not in the policy")]
    Provider(XOnlyPublicKey),
    /// The staking transaction pays too little or too much to the miners.
    #[error(
        "fee of {} sat for the staking transaction is {} sat/vB, outside the policy's {}..={} sat/vB",
        fee.to_sat(), PerVb(*rate), PerVb(*min), PerVb(*max)
    )]
    StakingFee {
        /// The fee.
        fee: Amount,
        /// The fee rate.
        rate: FeeRate,
        /// The least fee rate.
        min: FeeRate,
        /// The greatest fee rate.
        max: FeeRate,
    },
    /// A slashing transaction pays too much to the miners.
    #[error("fee of {} sat for a slashing transaction is above the policy's {} sat", fee.to_sat(), most.to_sat())]
    SlashingFee {
        /// The fee.
        fee: Amount,
        /// The greatest fee.
        most: Amount,
    },
    /// Expansions are not signed.
    #[error("the policy signs no expansions")]
    Expansion,
    /// The staking transaction is funded by an output of a stake that was signed for.
    #[error("the staking transaction spends {coin}, an output of the stake {stake} that was signed for")]
    FundingIsStake {
        /// The coin.
        coin: OutPoint,
        /// The stake it belongs to.
        stake: OutPoint,
    },
    /// The delegation is longer than its binary form may be, so that the record cannot keep it.
    #[error("a delegation of {bytes} bytes is longer than {MAX_PACKAGE_BYTES}")]
    TooLong {
        /// Its length in the binary form.
        bytes: usize,
    },
    /// The record could not give the delegation back as it is.
    #[error("the delegation has no binary form, which the record keeps it in: {0}")]
    NotKept(String),
    /// The member sits in no committee of the delegation.
    #[error("key {0} is in no committee that signs this delegation")]
    NotMember(XOnlyPublicKey),
    /// The member sits in the old stake's committee alone, and lets that stake go only to one that has its quorum.
    #[error(
        "the old stake is let go once a quorum has signed for the new one: {signed} of {needed} members have so far"
    )]
    ReleaseWaits {
        /// How many of the new stake's committee have signed.
        signed: usize,
        /// How many must.
        needed: usize,
    },
    /// Another unbonding transaction of the stake was signed before.
    #[error(
        "stake {stake} has its one unbonding transaction {signed} signed already, {asked} would be a second one"
    )]
    SecondUnbonding {
        /// The stake.
        stake: OutPoint,
        /// The one that was signed.
        signed: Txid,
        /// The one that is asked for.
        asked: Txid,
    },
    /// Another slashing transaction of the same output was signed before.
    #[error("stake {stake} has slashing transaction {signed} signed already, {asked} would be a second one")]
    SecondSlashing {
        /// The stake.
        stake: OutPoint,
        /// The one that was signed.
        signed: Txid,
        /// The one that is asked for.
        asked: Txid,
    },
    /// The delegation carries this member's signatures, which the record does not know.
    #[error(
        "the delegation of stake {stake} carries signatures of this very key, and the record does not know them: it is an \
         older copy, or the key is used elsewhere"
    )]
    UnknownOwnSignature {
        /// The stake.
        stake: OutPoint,
    },
    /// The same expansion was signed over other previous outputs.
    #[error("the expansion that makes stake {stake} was signed over other previous outputs")]
    SecondExpansion {
        /// The new stake.
        stake: OutPoint,
    },
}

fn at(height: Option<Height>) -> String {
    height.map(|height| format!(" at height {height}")).unwrap_or_default()
}

impl CovenantError {
    /// The name of the broken rule, stable for scripts, where it was a rule.
    pub const fn rule(&self) -> Option<&'static str> {
        Some(match self {
            CovenantError::Refused(refusal) => refusal.rule(),
            CovenantError::KeyFile(KeyFileError::WrongPassphrase(_)) => "passphrase",
            CovenantError::OtherKey(_) | CovenantError::NoSecretKey(_) => "key",
            CovenantError::WrongAnswer(_) => "covenant-signature",
            CovenantError::InUse(_) => "in-use",
            CovenantError::Policy { .. } => "policy",
            CovenantError::DamagedRecord { .. } => "record",
            CovenantError::NewerRecord { .. } => "file-version",
            _ => return None,
        })
    }
}

impl Refusal {
    /// The rule's name, stable for scripts.
    pub const fn rule(&self) -> &'static str {
        match self {
            Refusal::Delegation(error) => error.rule(),
            Refusal::TipUnknown { .. } => "tip-unknown",
            Refusal::Schedule(_) | Refusal::Version { .. } => "params-version",
            Refusal::PossessionForm(_) => "possession-form",
            Refusal::PossessionContext | Refusal::PossessionNetwork { .. } => "possession-context",
            Refusal::Service(_) => "unknown-service",
            Refusal::ServiceProvider(_) => "service-provider",
            Refusal::Value { .. } | Refusal::Time { .. } => "policy-bounds",
            Refusal::Provider(_) => "unknown-provider",
            Refusal::StakingFee { .. } => "fee-rate",
            Refusal::SlashingFee { .. } => "slashing-fee",
            Refusal::Expansion => "no-expansions",
            Refusal::FundingIsStake { .. } => "funding-is-stake",
            Refusal::TooLong { .. } => "too-long",
            Refusal::NotKept(_) => "not-kept",
            Refusal::ReleaseWaits { .. } => "release-waits",
            Refusal::NotMember(_) => "not-a-member",
            Refusal::UnknownOwnSignature { .. } => "unknown-own-signature",
            Refusal::SecondUnbonding { .. } => "second-unbonding",
            Refusal::SecondSlashing { .. } => "second-slashing",
            Refusal::SecondExpansion { .. } => "second-expansion",
        }
    }
}

/// Why a policy file is not to be followed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyFileError {
    /// It is no policy.
    #[error("no policy: {0}")]
    Json(#[from] serde_json::Error),
    /// It was written for another version of this program.
    #[error("policy format {found}, this version reads {supported}")]
    Format {
        /// The file's format.
        found: u32,
        /// The format known here.
        supported: u32,
    },
    /// Its parameters break a rule.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// A least value is above its greatest.
    #[error("the policy's least {0} is above its greatest")]
    Crossed(&'static str),
    /// A rule that nothing can meet.
    #[error("{0}: nothing could be signed")]
    Unsatisfiable(&'static str),
    /// The file is longer than any policy.
    #[error("longer than {0} bytes")]
    TooLong(u64),
}
