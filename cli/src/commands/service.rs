//! What a service asks of a stake that it counts.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bitcoin::XOnlyPublicKey;
use serde::Deserialize;
use tapstake_crypto::pop::{Context as Binding, PossessionForm};
use tapstake_verifier::{AccountRule, Policy, ServicePolicy, StakeProof};

use crate::error::{Context, Error, Result};
use crate::file::{self, kind::Kind};
use crate::input::{self, KeyArg, key_arg};
use crate::session::Session;

/// A service's policy, in arguments or in a file.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Service, for a stake that must be slashable")]
pub(crate) struct ServiceArgs {
    /// Refuse a stake that is not shown to be slashable; any option of this group asks for that too
    #[arg(long)]
    slashable: bool,
    /// A provider that the service knows; give it once for each [default: any]
    #[arg(long = "provider", value_name = "KEY", value_parser = key_arg)]
    providers: Vec<KeyArg>,
    /// A provider that is slashed, for whichever service; give it once for each
    #[arg(long = "slashed-provider", value_name = "KEY", value_parser = key_arg)]
    slashed_providers: Vec<KeyArg>,
    /// A form of the proof of possession that the service takes: bip340, bip322 or bip137 [default: any]
    #[arg(long = "possession", value_name = "FORM")]
    possession_forms: Vec<PossessionForm>,
    /// The service that the proof of possession must name, with the network; without, it must name none
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// The accounts that the proof of possession may be for: any, bech32:PREFIX, hex or text. Give it where the proof names no
    /// service, for then it does not say of which kind the account is [default: any]
    #[arg(long = "possession-account", value_name = "KIND")]
    accounts: Option<AccountRule>,
    /// All this in a JSON file: providers, slashed_providers, possession_forms, possession_account, service
    #[arg(
        long, value_name = "FILE",
        conflicts_with_all = ["providers", "possession_forms", "service", "accounts"]
    )]
    service_policy: Option<PathBuf>,
}

/// A service's policy as its file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    providers: BTreeSet<XOnlyPublicKey>,
    #[serde(default)]
    slashed_providers: BTreeSet<XOnlyPublicKey>,
    #[serde(default = "all_forms")]
    possession_forms: Vec<PossessionForm>,
    #[serde(default)]
    possession_account: AccountRule,
    service: Option<String>,
}

fn all_forms() -> Vec<PossessionForm> {
    PossessionForm::ALL.to_vec()
}

/// More than any policy takes, in bytes of its file.
const MAX_POLICY: u64 = 4 << 20;

/// Takes whatever the proof says of providers and possession: what is signed in advance is judged, and no more.
pub(crate) fn anyones(stake: Policy, proof: &StakeProof) -> ServicePolicy {
    let possession = proof.delegation.as_ref().and_then(|parts| parts.possession.as_ref());
    ServicePolicy {
        possession_context: possession.and_then(|possession| possession.context.clone()),
        ..ServicePolicy::new(stake, proof.claim.providers.keys().iter().copied())
    }
}

impl ServiceArgs {
    /// Whether a stake that is not slashable is refused.
    pub(crate) fn asks_for_slashable(&self) -> bool {
        self.slashable || !self.slashed_providers.is_empty() || self.is_of_a_service()
    }

    fn is_of_a_service(&self) -> bool {
        self.names_providers()
            || !self.possession_forms.is_empty()
            || self.service.is_some()
            || self.accounts.is_some()
    }

    /// Whether the providers are held against a service's own.
    pub(crate) fn names_providers(&self) -> bool {
        self.service_policy.is_some() || !self.providers.is_empty()
    }

    /// The policy that a proof is judged by.
    pub(crate) fn policy(
        &self,
        stake: Policy,
        proof: &StakeProof,
        session: &Session<'_>,
    ) -> Result<ServicePolicy> {
        let mut policy = match &self.service_policy {
            Some(path) => read(path, stake, session).context(path.display())?,
            None => {
                let mut policy = anyones(stake, proof);
                if !self.providers.is_empty() {
                    policy.providers = input::keys(&self.providers)?.into_iter().collect();
                }
                if !self.possession_forms.is_empty() {
                    policy.possession_forms.clone_from(&self.possession_forms);
                }
                policy.accounts = self.accounts.clone().unwrap_or_default();
                // A service's policy says whether the proof of possession names it.
                if self.is_of_a_service() {
                    policy.possession_context = binding(self.service.as_deref(), session)?;
                }
                policy
            }
        };
        policy.slashed_providers.extend(input::keys(&self.slashed_providers)?);
        Ok(policy)
    }
}

fn read(path: &Path, stake: Policy, session: &Session<'_>) -> Result<ServicePolicy> {
    let bytes = file::read(path, MAX_POLICY)?;
    file::of_kind(&bytes, Kind::ServicePolicy)?;
    let fields: Fields = serde_json::from_slice(&bytes).map_err(|error| match error.is_data() {
        true => Error::rule("service-policy", file::clipped(&error.to_string())),
        false => file::no_json(Kind::ServicePolicy, &error),
    })?;
    Ok(ServicePolicy {
        slashed_providers: fields.slashed_providers,
        possession_forms: fields.possession_forms,
        accounts: fields.possession_account,
        possession_context: binding(fields.service.as_deref(), session)?,
        ..ServicePolicy::new(stake, fields.providers)
    })
}

fn binding(service: Option<&str>, session: &Session<'_>) -> Result<Option<Binding>> {
    let binding = service.map(|service| Binding::new(service, session.network()));
    binding.transpose().map_err(|error| Error::rule("possession", error))
}
