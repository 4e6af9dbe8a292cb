//! `tapstake prove`

use std::path::{Path, PathBuf};

use bitcoin::block::Header;
use bitcoin::{Network, OutPoint};
use serde::Serialize;
use tapstake_params::Height;
use tapstake_prover::{claim_from_op_return, prove_in_block};
use tapstake_script::Providers;
use tapstake_verifier::{Claim, OwnHeaders, Registration, StakeProof};

use crate::commands::headers;
use crate::commands::scan::read_block;
use crate::error::{Context, Error, Result};
use crate::input::{self, KeyArg, key_arg};
use crate::network::NetworkName;
use crate::output::{self, Show, facts};
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The staking output, TXID:VOUT
    outpoint: OutPoint,
    /// A file with the stake's block, raw or as hex: the proof is made offline
    #[arg(long, value_name = "FILE")]
    block: PathBuf,
    /// The block's height
    #[arg(long, value_name = "HEIGHT")]
    height: Height,
    #[command(flatten)]
    claim: ClaimArgs,
    /// A file with headers around the block, 80 bytes each, to go into the proof for verifiers without a chain
    #[arg(long, value_name = "FILE")]
    headers: Option<PathBuf>,
    /// Write the proof to a file
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write the file in the compact binary form instead of JSON
    #[arg(long, requires = "out")]
    binary: bool,
}

/// What the stake is said to be; a phase-1 stake says it itself, in its OP_RETURN.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Terms, unless the stake's OP_RETURN says them")]
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

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<()> {
    let network = session.network();
    let block = read_block(&args.block)?;
    let claim = match args.claim.given()? {
        Some(claim) => claim,
        None => {
            let tx = block.txdata.iter().find(|tx| tx.compute_txid() == args.outpoint.txid);
            let missing =
                || Error::failed(format!("the block does not hold transaction {}", args.outpoint.txid));
            claim_from_op_return(tx.ok_or_else(missing)?)
                .next("give --staker, --provider and --staking-time")?
        }
    };
    let mut proof = prove_in_block(&block, args.height, network, args.outpoint, claim)?;
    if let Some(path) = &args.headers {
        proof.own_headers = Some(own_headers(path, &proof)?);
    }
    deliver(proof, args.out.as_deref(), args.binary, session)
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
        std::fs::write(path, bytes).context(path.display())?;
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
            ("size", format!("{} bytes in binary", proof.to_bytes().len())),
        ]);
        match file {
            Some(path) => lines.push(("written to", path.display().to_string())),
            None => lines.push(("proof", "not printed: give --json or --out FILE".into())),
        }
        facts(lines)
    }
}
