//! What a stake is said to be.

use bitcoin::OutPoint;
use tapstake_params::Height;
use tapstake_prover::as_phase_1;
use tapstake_script::Providers;
use tapstake_tracker::Store;
use tapstake_tx::delegation::DelegationPackage;
use tapstake_verifier::{Claim, Registration};

use crate::error::Result;
use crate::input::{self, KeyArg, key_arg};
use crate::live::network_dir;
use crate::session::Session;
use crate::stakes::open_store;

/// What the stake is said to be; a phase-1 stake says it itself, in its OP_RETURN.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Terms, unless the stake's OP_RETURN or the list of stakes says them")]
pub(crate) struct ClaimArgs {
    /// The staker's key, 32 or 33 bytes of hex
    #[arg(long, value_name = "KEY", value_parser = key_arg, requires_all = ["providers", "staking_time"])]
    staker: Option<KeyArg>,
    /// A finality provider's key; give it once for each provider
    #[arg(long = "provider", id = "providers", value_name = "KEY", value_parser = key_arg, requires = "staker")]
    providers: Vec<KeyArg>,
    /// The staking time in blocks, 1 to 65535
    #[arg(long, value_name = "BLOCKS", requires = "staker")]
    staking_time: Option<u64>,
    /// The height at which the stake was registered, if that is what chooses its parameters
    #[arg(long, value_name = "HEIGHT", requires = "staker")]
    registered_at: Option<Height>,
}

impl ClaimArgs {
    /// The claim typed, if one was.
    pub(crate) fn given(&self) -> Result<Option<Claim>> {
        let (Some(staker), Some(time)) = (&self.staker, self.staking_time) else { return Ok(None) };
        Ok(Some(Claim {
            staker: staker.to_x_only()?,
            providers: Providers::new(input::keys(&self.providers)?)?,
            staking_time: input::timelock(time)?,
            registration: self.registered_at.map_or(Registration::None, Registration::At),
        }))
    }
}

/// The claim of a stake in the list of stakes, if it is there.
pub(crate) fn listed(session: &Session<'_>, outpoint: OutPoint) -> Result<Option<Claim>> {
    let record = existing_store(session)?.map(|store| store.get(&outpoint)).transpose()?.flatten();
    Ok(record.map(|record| {
        let claim = Claim {
            staker: record.terms.parties.staker(),
            providers: record.terms.parties.providers().clone(),
            staking_time: record.terms.staking_time,
            registration: Registration::None,
        };
        match &record.staking_tx {
            Some(tx) => as_phase_1(claim, tx),
            None => claim,
        }
    }))
}

/// The delegation that is kept with a stake in the list of stakes.
pub(crate) fn kept_delegation(
    session: &Session<'_>,
    outpoint: OutPoint,
) -> Result<Option<DelegationPackage>> {
    Ok(existing_store(session)?.map(|store| store.delegation(&outpoint)).transpose()?.flatten())
}

/// The list of stakes, if there is one: nothing is made where nothing is.
fn existing_store(session: &Session<'_>) -> Result<Option<Store>> {
    if !network_dir(session).is_ok_and(|folder| folder.exists()) {
        return Ok(None);
    }
    open_store(session).map(Some)
}
