//! What every command works with.

use bitcoin::Network;
use bitcoin::secp256k1::{All, Secp256k1};
use tapstake_params::Schedule;

use crate::args::Global;
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::output::Output;
use crate::params::ParamsSource;
use crate::rules::next;

/// One run of the program.
pub(crate) struct Session<'o> {
    pub(crate) settings: Settings,
    pub(crate) out: &'o Output,
    pub(crate) secp: Secp256k1<All>,
}

impl<'o> Session<'o> {
    /// Merges the settings.
    ///
    /// # Errors
    ///
    /// If the configuration file cannot be read.
    pub(crate) fn open(global: &Global, out: &'o mut Output) -> Result<Self> {
        let settings = Settings::load(global)?;
        if let Some(json) = settings.json {
            out.set_json(json);
        }
        Ok(Session { settings, out, secp: Secp256k1::new() })
    }

    /// Adds to an error that other parameters may mend which ones were in use.
    pub(crate) fn advise(&self, error: Error) -> Error {
        let step = match error.rule_name() {
            _ if error.has_own_next() => return error,
            Some("staking-output") => "give the --params that the stake was made under",
            Some(rule @ "params-version") => next::step(rule).unwrap_or_default(),
            _ => return error,
        };
        let (used, set) = self.params();
        let how = if set { "that is set" } else { "the default" };
        error.next(format!("the parameters are `{used}`, {how}: {step}"))
    }

    /// The Bitcoin network: as set, else that of the parameters, else regtest.
    pub(crate) fn network(&self) -> Network {
        let implied = || self.settings.params.as_ref().and_then(ParamsSource::network);
        self.settings.network.map(Network::from).or_else(implied).unwrap_or(Network::Regtest)
    }

    /// Which parameters are in use, and whether that is set: without, they are the network's own.
    pub(crate) fn params(&self) -> (ParamsSource, bool) {
        match &self.settings.params {
            Some(params) => (params.clone(), true),
            None => (ParamsSource::default_for(self.network()), false),
        }
    }

    /// The staking parameters: as set, else the network's own.
    ///
    /// # Errors
    ///
    /// If they cannot be read, break a rule, or belong to another network.
    pub(crate) fn schedule(&self) -> Result<Schedule> {
        self.params().0.load(&self.secp, self.network())
    }
}
