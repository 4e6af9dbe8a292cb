//! Proofs in, admitted stakes out.

use std::path::PathBuf;

use tapstake_params::Height;
use tapstake_restake::Event;

use super::record::{At, Outcome, make};
use crate::commands::verify;
use crate::error::{Context, Result};
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    /// Proofs with delegations, as JSON or in the compact binary form
    #[arg(value_name = "PROOF", required = true)]
    proofs: Vec<PathBuf>,
    #[command(flatten)]
    flags: verify::Flags,
    #[command(flatten)]
    at: At,
}

pub(crate) fn run(args: &Import, session: &Session<'_>) -> Result<()> {
    // Every proof is judged before the first stake is admitted.
    let mut stakes = Vec::new();
    for proof in &args.proofs {
        stakes.push(verify::slashable(&args.flags, proof, session).context(proof.display())?);
    }
    let (mut ledger, mut height) = args.at.open(session)?;
    if !args.at.names_a_height() {
        let included = stakes.iter().map(|stake| stake.included().inclusion_height());
        height = height.max(included.max().unwrap_or(Height::GENESIS));
    }
    let events: Vec<_> = stakes.iter().map(|stake| (Event::admit(stake), Outcome::default())).collect();
    make(&mut ledger, height, events, session)
}
