//! The arguments that say who is in a stake.

use tapstake_script::{Parties, Providers};

use crate::error::Result;
use crate::input::{self, KeyArg, key_arg};

/// Everybody whose key stands in a stake's scripts. Order does not matter: keys are sorted.
#[derive(Debug, clap::Args)]
pub(crate) struct PartiesArgs {
    /// The staker's key, 32 or 33 bytes of hex
    #[arg(long, value_name = "KEY", value_parser = key_arg)]
    staker: KeyArg,
    /// A finality provider's key; give it once for each provider
    #[arg(long = "provider", value_name = "KEY", value_parser = key_arg, required = true)]
    providers: Vec<KeyArg>,
    /// A covenant member's key; give it once for each member
    #[arg(long, value_name = "KEY", value_parser = key_arg, required = true)]
    covenant: Vec<KeyArg>,
    /// How many covenant members must sign
    #[arg(long, value_name = "M")]
    quorum: usize,
}

impl PartiesArgs {
    /// The parties.
    ///
    /// # Errors
    ///
    /// If a key is off the curve or there twice, or if the quorum is 0 or above the number of members.
    pub(crate) fn to_parties(&self) -> Result<Parties> {
        let staker = self.staker.to_x_only()?;
        let providers = Providers::new(input::keys(&self.providers)?)?;
        let covenant = input::covenant(self.quorum, &self.covenant)?;
        Ok(Parties::new(staker, providers, covenant)?)
    }
}
