use std::collections::{BTreeMap, BTreeSet};

use bitcoin::amount::serde::as_sat;
use bitcoin::{Amount, FeeRate, Network, XOnlyPublicKey};
use serde::{Deserialize, Serialize};
use tapstake_crypto::pop::PossessionForm;
use tapstake_params::{Height, Schedule, ScheduleFile, StakingParams, Timelock};
use tapstake_tx::{MAX_FEE_RATE, MIN_FEE_RATE};

use super::error::{PolicyFileError, Refusal};

/// The format of a policy file.
const FORMAT: u32 = 1;

/// What a covenant member signs: its own copy of the network's parameters, and rules that are tighter than those.
///
/// A delegation file names a parameters version by its number only; what that version says is looked up here. As JSON,
/// unknown names are refused, so that a rule with a typing mistake is not a rule that is off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Every version of the parameters.
    pub schedule: Schedule,
    /// The member's own rules.
    pub rules: Rules,
}

/// A member's own rules. The default asks for nothing that the parameters do not ask for, but for sane fees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// At which height a delegation's parameters version must be the one that applies.
    pub version_at: VersionAt,
    /// The least value of a stake, where that is above the parameters' own.
    #[serde(rename = "min_value_sat", with = "as_sat::opt")]
    pub min_value: Option<Amount>,
    /// The greatest value of a stake, where that is below the parameters' own.
    #[serde(rename = "max_value_sat", with = "as_sat::opt")]
    pub max_value: Option<Amount>,
    /// The shortest timelock of a stake, in blocks.
    pub min_staking_time: Option<Timelock>,
    /// The longest timelock of a stake, in blocks.
    pub max_staking_time: Option<Timelock>,
    /// The least fee rate of a staking transaction: below it nodes may not relay, and it cannot be replaced any more.
    #[serde(rename = "min_fee_rate_sat_per_kwu")]
    pub min_fee_rate: FeeRate,
    /// The greatest fee rate of a staking transaction that is taken for no mistake.
    #[serde(rename = "max_fee_rate_sat_per_kwu")]
    pub max_fee_rate: FeeRate,
    /// The greatest fee of a slashing transaction, as a multiple of the parameters' least.
    pub max_slashing_fee_multiple: u16,
    /// Whose providers may be staked to.
    pub services: Services,
    /// The forms in which stakers may prove that they possess their keys.
    pub possession_forms: BTreeSet<PossessionForm>,
    /// Whether that proof must name the service and the network, and not an account alone.
    pub possession_names_service: bool,
    /// Whether stakes may be moved into larger or longer ones.
    pub expansions: bool,
}

/// At which height a parameters version must apply to be signed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VersionAt {
    /// In the block after the tip, the first one that can hold the stake. A stake that waits for its inclusion across
    /// the next activation is judged by the newer version then: sign it again, or register it.
    #[default]
    NextBlock,
    /// At the tip, as for stakes that are registered before they are on Bitcoin.
    Tip,
}

/// Services and their finality providers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Services {
    /// Any provider, of whatever service.
    #[default]
    Any,
    /// These services' providers only.
    Known(BTreeMap<String, BTreeSet<XOnlyPublicKey>>),
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            version_at: VersionAt::NextBlock,
            min_value: None,
            max_value: None,
            min_staking_time: None,
            max_staking_time: None,
            min_fee_rate: MIN_FEE_RATE,
            max_fee_rate: MAX_FEE_RATE,
            max_slashing_fee_multiple: 10,
            services: Services::Any,
            possession_forms: PossessionForm::ALL.into(),
            possession_names_service: false,
            expansions: true,
        }
    }
}

impl Services {
    /// Whether any of the services has this provider.
    pub fn has_provider(&self, key: &XOnlyPublicKey) -> bool {
        match self {
            Services::Any => true,
            Services::Known(services) => services.values().any(|providers| providers.contains(key)),
        }
    }

    /// Whether the service of this name is one of them.
    pub fn has_service(&self, name: &str) -> bool {
        match self {
            Services::Any => true,
            Services::Known(services) => services.contains_key(name),
        }
    }

    /// Whether this provider is one of the service of this name.
    pub fn serves(&self, name: &str, key: &XOnlyPublicKey) -> bool {
        match self {
            Services::Any => true,
            Services::Known(services) => services.get(name).is_some_and(|providers| providers.contains(key)),
        }
    }
}

/// A policy file.
#[derive(Serialize)]
struct Written<'p> {
    format: u32,
    network: Network,
    rules: &'p Rules,
    parameters: &'p Schedule,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    format: u32,
    network: Network,
    rules: Rules,
    parameters: ScheduleFile,
}

impl Policy {
    /// A policy with the default rules.
    pub fn new(schedule: Schedule) -> Self {
        Policy { schedule, rules: Rules::default() }
    }

    /// The policy as a file's text.
    pub fn to_json(&self) -> String {
        let Policy { schedule, rules } = self;
        let file = Written { format: FORMAT, network: schedule.network(), rules, parameters: schedule };
        serde_json::to_string_pretty(&file).expect("a policy has text keys only")
    }

    /// Reads a file's text.
    ///
    /// # Errors
    ///
    /// [`PolicyFileError`] for unknown names, values out of range, or rules that nothing can meet.
    pub fn from_json(text: &str) -> Result<Self, PolicyFileError> {
        let read: Read = serde_json::from_str(text)?;
        if read.format != FORMAT {
            return Err(PolicyFileError::Format { found: read.format, supported: FORMAT });
        }
        let policy = Policy { schedule: read.parameters.for_network(read.network)?, rules: read.rules };
        policy.rules.check()?;
        Ok(policy)
    }

    /// The parameters that a stake must be made under, when the end of the chain is `tip`.
    ///
    /// Without a tip only parameters of a single version, in force from the genesis block on, have an answer.
    ///
    /// # Errors
    ///
    /// [`Refusal::TipUnknown`]; [`Refusal::Schedule`] before the first version.
    pub fn in_force(&self, tip: Option<Height>) -> Result<(&StakingParams, Option<Height>), Refusal> {
        let Some(tip) = tip else {
            return match self.schedule.versions() {
                [only] if only.activation_height == Height::GENESIS => Ok((only, None)),
                versions => Err(Refusal::TipUnknown { versions: versions.len() }),
            };
        };
        let height = match self.rules.version_at {
            VersionAt::NextBlock => tip.saturating_add(1),
            VersionAt::Tip => tip,
        };
        Ok((self.schedule.at(height)?, Some(height)))
    }
}

impl Rules {
    /// Refuses rules that no stake can meet.
    fn check(&self) -> Result<(), PolicyFileError> {
        let crossed = |what, crossed| if crossed { Err(PolicyFileError::Crossed(what)) } else { Ok(()) };
        let apart =
            |min: Option<Amount>, max: Option<Amount>| min.zip(max).is_some_and(|(min, max)| min > max);
        crossed("value", apart(self.min_value, self.max_value))?;
        let times = self.min_staking_time.zip(self.max_staking_time);
        crossed("staking time", times.is_some_and(|(min, max)| min > max))?;
        crossed("fee rate", self.min_fee_rate > self.max_fee_rate)?;
        if self.max_slashing_fee_multiple == 0 {
            return Err(PolicyFileError::Unsatisfiable("max_slashing_fee_multiple is 0"));
        }
        if self.possession_forms.is_empty() {
            return Err(PolicyFileError::Unsatisfiable("possession_forms is empty"));
        }
        Ok(())
    }
}
