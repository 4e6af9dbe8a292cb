//! `tapstake prove`

use std::path::{Path, PathBuf};
use std::time::Duration;

use bitcoin::block::Header;
use bitcoin::{Block, Network, OutPoint, Txid};
use serde::Serialize;
use tapstake_params::Height;
use tapstake_prover::{
    ChainSource, ProveError, Wait, carry_delegation, claim_from_delegation, claim_from_op_return, prove,
    prove_in_block, wait_for_confirmations,
};
use tapstake_tx::delegation::DelegationPackage;
use tapstake_verifier::{
    Depth, OwnHeaders, Policy, StakeProof, verify_in_trusted_block, verify_slashable_in_trusted_block,
};

use crate::commands::claim::{self, ClaimArgs};
use crate::commands::scan::read_block;
use crate::commands::{headers, service};
use crate::delegation;
use crate::error::{Context, Error, Result};
use crate::live::SourceArgs;
use crate::network::NetworkName;
use crate::output::{self, Show, facts};
use crate::session::Session;
use crate::{file, input};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The staking output, TXID:VOUT
    outpoint: OutPoint,
    /// A file with the stake's block, raw or as hex: the proof is made offline
    #[arg(long, value_name = "FILE", requires = "height")]
    block: Option<PathBuf>,
    /// The block's height; from a source, only a node without a transaction index needs it
    #[arg(long, value_name = "HEIGHT")]
    height: Option<Height>,
    /// With --block, a file with headers around it, 80 bytes each, that go into the proof for verifiers without a chain
    #[arg(long, value_name = "FILE", requires = "block")]
    headers: Option<PathBuf>,
    /// From a source, put the headers up to the tip into the proof for verifiers without a chain
    #[arg(long, conflicts_with = "block")]
    with_headers: bool,
    /// From a source, first wait for this many confirmations
    #[arg(long, value_name = "N", conflicts_with = "block")]
    wait: Option<u32>,
    /// The stake's delegation file: what is signed in advance goes into the proof, which shows so that the stake can be
    /// slashed [default: the one that is kept with the list of stakes]
    #[arg(long, value_name = "FILE", conflicts_with = "without_delegation")]
    delegation: Option<PathBuf>,
    /// Leave out what is signed in advance
    #[arg(long)]
    without_delegation: bool,
    /// Write the proof to a file
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write the file in the compact binary form instead of JSON
    #[arg(long, requires = "out")]
    binary: bool,
    #[command(flatten)]
    claim: ClaimArgs,
    #[command(flatten)]
    source: SourceArgs,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<()> {
    let delegation = args.delegation(session)?;
    let mut proof = match &args.block {
        Some(block) => from_block(args, &read_block(block)?, delegation.as_ref(), session)?,
        None => from_source(args, delegation.as_ref(), session)?,
    };
    if let Some(delegation) = &delegation {
        carry_delegation(&mut proof, delegation)?;
    }
    warn_of_refusal(&proof, session);
    deliver(proof, args.out.as_deref(), args.binary, session)
}

/// Says on stderr if the parameters at hand refuse the proof: its block apart, nothing in it will change.
fn warn_of_refusal(proof: &StakeProof, session: &Session<'_>) {
    let Ok(schedule) = session.schedule() else { return };
    let policy = Policy { max_registration_gap: u32::MAX, ..Policy::new(Depth::Confirmations(1)) };
    let block = (proof.inclusion_height, proof.block_hash());
    let secp = &session.secp;
    let refusal = if proof.delegation.is_some() {
        let policy = service::anyones(policy, proof);
        verify_slashable_in_trusted_block(secp, proof, block, &schedule, &policy).err()
    } else {
        verify_in_trusted_block(secp, proof, block, &schedule, &policy).err()
    };
    if let Some(refusal) = refusal {
        let (rule, message) = (refusal.rule(), Error::from(refusal).message());
        session.out.warn(&format!("under these parameters the proof is refused by {rule}: {message}"));
    }
}

fn from_block(
    args: &Args,
    block: &Block,
    delegation: Option<&DelegationPackage>,
    session: &Session<'_>,
) -> Result<StakeProof> {
    let claim = match args.claim.given()?.or_else(|| delegation.map(claim_from_delegation)) {
        Some(claim) => claim,
        None => {
            let tx = block.txdata.iter().find(|tx| tx.compute_txid() == args.outpoint.txid);
            let missing =
                || Error::failed(format!("the block does not hold transaction {}", args.outpoint.txid));
            claim_from_op_return(tx.ok_or_else(missing)?).next(GIVE_TERMS)?
        }
    };
    let height = args.height.ok_or_else(|| Error::usage("--block needs --height"))?;
    let mut proof = prove_in_block(block, height, session.network(), args.outpoint, claim)?;
    if let Some(path) = &args.headers {
        proof.own_headers = Some(own_headers(path, &proof)?);
    }
    Ok(proof)
}

fn from_source(
    args: &Args,
    delegation: Option<&DelegationPackage>,
    session: &Session<'_>,
) -> Result<StakeProof> {
    let source = args.source.connect(session)?;
    let (chain, txid) = (source.chain(), args.outpoint.txid);
    if let Some(confirmations) = args.wait {
        wait(chain, txid, confirmations, session)?;
    }
    let claim = match args.claim.given()?.or_else(|| delegation.map(claim_from_delegation)) {
        Some(claim) => claim,
        None => match claim::listed(session, args.outpoint)? {
            Some(claim) => claim,
            None => {
                let known = chain.transaction(&txid)?.ok_or(ProveError::UnknownTransaction(txid))?;
                claim_from_op_return(&known.tx).next(GIVE_TERMS)?
            }
        },
    };
    let mut proof = prove(chain, args.outpoint, args.height, claim)?;
    if args.with_headers {
        proof.own_headers = Some(tapstake_prover::own_headers(chain, &proof)?);
    }
    Ok(proof)
}

const GIVE_TERMS: &str = "give --staker, --provider and --staking-time, or --delegation";

impl Args {
    /// The delegation that goes into the proof, if there is one.
    fn delegation(&self, session: &Session<'_>) -> Result<Option<DelegationPackage>> {
        match &self.delegation {
            Some(path) => delegation::read(path).map(Some),
            None if self.without_delegation => Ok(None),
            None => claim::kept_delegation(session, self.outpoint),
        }
    }
}

/// Waits, with a bar that grows by confirmations.
fn wait(chain: &dyn ChainSource, txid: Txid, confirmations: u32, session: &Session<'_>) -> Result<()> {
    let bar = session.out.progress(Some(confirmations.into()), "waiting for confirmations");
    let poll = Duration::from_secs(if chain.network() == Network::Regtest { 1 } else { 30 });
    let wait = Wait { confirmations, poll, timeout: None };
    let waited = wait_for_confirmations(chain, txid, wait, |have| {
        bar.set_position(have.min(confirmations).into());
        true
    });
    bar.finish_and_clear();
    waited?;
    Ok(())
}

/// Prints a proof, or writes it to a file and says so.
pub(crate) fn deliver(
    proof: StakeProof,
    out: Option<&Path>,
    binary: bool,
    session: &Session<'_>,
) -> Result<()> {
    if let Some(path) = out {
        let bytes = if binary { proof.to_bytes() } else { (output::json(&proof) + "\n").into_bytes() };
        file::replace_own(path, &bytes)?;
    }
    session.out.show(&Proof { proof, file: out.map(Path::to_path_buf) });
    Ok(())
}

/// The headers of a file that a proof needs: from the start of its block's retarget period on, where there is one.
fn own_headers(path: &Path, proof: &StakeProof) -> Result<OwnHeaders> {
    let raw = input::bytes(path)?;
    let all: Vec<Header> =
        headers::split(&raw).context(path.display())?.iter().map(headers::from_raw).collect();
    let at = all.iter().position(|header| *header == proof.header);
    let at = at.ok_or_else(|| {
        let message = format!(
            "{}: the headers do not include the stake's block {}",
            path.display(),
            proof.block_hash()
        );
        Error::failed(message)
            .next("give the headers from the start of the block's retarget period up to the tip")
    })?;
    let height = proof.inclusion_height.to_u32();
    let below = if proof.network == Network::Regtest { 0 } else { height % 2016 };
    let first = usize::try_from(below).ok().and_then(|below| at.checked_sub(below)).ok_or_else(|| {
        let message = format!("{}: the headers start above height {}", path.display(), height - below);
        Error::failed(message)
            .next(format!("give the headers from height {} on, a multiple of 2016", height - below))
    })?;
    Ok(OwnHeaders { start_height: Height::new(height - below), headers: all[first..].to_vec() })
}

/// A proof; its JSON is the proof and nothing else.
#[derive(Serialize)]
struct Proof {
    #[serde(flatten)]
    proof: StakeProof,
    #[serde(skip)]
    file: Option<PathBuf>,
}

/// How much of what is signed in advance the proof carries.
fn delegation_text(proof: &StakeProof) -> String {
    match &proof.delegation {
        Some(parts) => format!("signed by {} covenant members", parts.covenant.len()),
        None => "none: the proof does not show that the stake can be slashed".to_owned(),
    }
}

impl Show for Proof {
    fn text(&self) -> String {
        let Proof { proof, file } = self;
        let claim = &proof.claim;
        let own = proof.own_headers.as_ref().map_or(0, |own| own.headers.len());
        let mut lines = vec![
            ("network", NetworkName::from(proof.network).to_string()),
            ("output", proof.vout.to_string()),
            ("staker", claim.staker.to_string()),
        ];
        lines.extend(claim.providers.keys().iter().map(|key| ("provider", key.to_string())));
        lines.extend([
            ("staking time", format!("{} blocks", claim.staking_time)),
            ("block", format!("{} at height {}", proof.block_hash(), proof.inclusion_height)),
            ("merkle depth", proof.inclusion.branch().depth().to_string()),
            ("own headers", own.to_string()),
            ("delegation", delegation_text(proof)),
            ("size", format!("{} bytes in binary", proof.to_bytes().len())),
        ]);
        match file {
            Some(path) => lines.push(("written to", path.display().to_string())),
            None => lines.push(("proof", "not printed: give --json or --out FILE".into())),
        }
        facts(lines)
    }
}
