//! `tapstake scan`

use std::path::{Path, PathBuf};

use bitcoin::script::Builder;
use bitcoin::{Block, BlockHash, OutPoint, Txid, XOnlyPublicKey};
use clap::ArgGroup;
use serde::Serialize;
use tapstake_params::{Height, Schedule, Timelock};
use tapstake_prover::scan_blocks;
use tapstake_script::{Scanned, ScannedStake, StakeFault, scan_transaction};

use crate::commands::verify::cap_name;
use crate::error::{Context, Error, Result};
use crate::file::kind::Kind;
use crate::input;
use crate::live::SourceArgs;
use crate::network::NetworkName;
use crate::output::{Show, facts, table};
use crate::session::Session;

#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("what").required(true).args(["block", "from"]))]
pub(crate) struct Args {
    /// A file with one block, raw or as hex
    #[arg(long, value_name = "FILE", requires = "height")]
    block: Option<PathBuf>,
    /// The block's height, which chooses the parameters
    #[arg(long, value_name = "HEIGHT", requires = "block")]
    height: Option<Height>,
    /// The first height to scan, of a bitcoind's blocks
    #[arg(long, value_name = "HEIGHT", conflicts_with = "block")]
    from: Option<Height>,
    /// The last height to scan [default: the tip]
    #[arg(long, value_name = "HEIGHT", requires = "from")]
    to: Option<Height>,
    #[command(flatten)]
    source: SourceArgs,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<()> {
    let schedule = session.schedule()?;
    let report = match (&args.block, args.height, args.from) {
        (Some(path), Some(height), _) => scan_file(path, height, &schedule, session)?,
        (_, _, Some(from)) => scan_source(args, from, &schedule, session)?,
        _ => return Err(Error::usage("give --block FILE --height HEIGHT, or --from HEIGHT")),
    };
    session.out.show(&report);
    Ok(())
}

fn scan_file(path: &Path, height: Height, schedule: &Schedule, session: &Session<'_>) -> Result<Report> {
    let block = read_block(path)?;
    warn_about(&block, height, session);
    let mut report = Report::new(schedule, height, height);
    report.block = Some(block.block_hash());
    for tx in &block.txdata {
        if let Some(scanned) = scan_transaction(&session.secp, tx, height, schedule) {
            report.add(height, &scanned);
        }
    }
    Ok(report)
}

fn scan_source(args: &Args, from: Height, schedule: &Schedule, session: &Session<'_>) -> Result<Report> {
    let source = args.source.connect(session)?;
    let tip = source.chain().tip()?.height;
    let to = args.to.unwrap_or(tip);
    if from > to || to > tip {
        let message = format!("heights {from} to {to} are no range below the tip, {tip}");
        return Err(Error::failed(message).next("give --from and --to in order, not above the tip"));
    }
    let mut report = Report::new(schedule, from, to);
    let bar = session.out.progress(Some(report.blocks.into()), "scanning");
    let found = |height: Height, scanned: Scanned| report.add(height, &scanned);
    let scanned = scan_blocks(&session.secp, source.chain(), schedule, from, to, found, |_| bar.inc(1));
    bar.finish_and_clear();
    scanned?;
    Ok(report)
}

/// Reads a file with one block.
///
/// # Errors
///
/// If it cannot be read, or if it is not exactly one block.
pub(crate) fn read_block(path: &Path) -> Result<Block> {
    input::decode(&input::bytes_of(path, Kind::Block)?, "block").context(path.display())
}

/// Says what makes a block doubtful. Scanning goes on: it takes the caller's word for block and height, and the real
/// check of both is a proof.
fn warn_about(block: &Block, height: Height, session: &Session<'_>) {
    if !block.check_merkle_root() {
        session.out.warn("the block's transactions do not lead to the merkle root in its header");
    }
    let named = Builder::new().push_int(height.to_u32().into()).into_script();
    let coinbase = block.txdata.first().and_then(|tx| tx.input.first());
    let names_it = coinbase.is_some_and(|input| input.script_sig.as_bytes().starts_with(named.as_bytes()));
    if block.header.version.to_consensus() >= 2 && !names_it {
        session.out.warn(&format!("the block's coinbase does not name height {height} (BIP-0034)"));
    }
}

#[derive(Debug, Serialize)]
struct Report {
    network: NetworkName,
    from: Height,
    to: Height,
    blocks: u32,
    /// The block's hash, where one block was scanned from a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    block: Option<BlockHash>,
    stakes: Vec<Found>,
    /// Transactions that carry the network's tag and are no stake.
    refused: Vec<Refused>,
}

impl Report {
    fn new(schedule: &Schedule, from: Height, to: Height) -> Self {
        let network = schedule.network().into();
        let blocks = to.blocks_since(from).unwrap_or(0).saturating_add(1);
        Report { network, from, to, blocks, block: None, stakes: Vec::new(), refused: Vec::new() }
    }

    fn add(&mut self, height: Height, scanned: &Scanned) {
        match scanned {
            Scanned::Stake(stake) => self.stakes.push(Found::new(height, stake)),
            Scanned::Faulty { txid, fault } => self.refused.push(Refused::new(height, *txid, fault)),
        }
    }
}

#[derive(Debug, Serialize)]
struct Found {
    height: Height,
    outpoint: OutPoint,
    staker: XOnlyPublicKey,
    provider: XOnlyPublicKey,
    /// In sat.
    value: u64,
    timelock: Timelock,
    params_version: u32,
    /// Within the bounds of its version.
    valid: bool,
    /// The bound it breaks.
    reason: Option<String>,
    cap: &'static str,
}

#[derive(Debug, Serialize)]
struct Refused {
    height: Height,
    txid: Txid,
    reason: String,
}

impl Found {
    fn new(height: Height, stake: &ScannedStake) -> Self {
        let parties = &stake.terms.parties;
        Found {
            height,
            outpoint: stake.outpoint,
            staker: parties.staker(),
            // A phase-1 stake has exactly one.
            provider: parties.providers().keys()[0],
            value: stake.value.to_sat(),
            timelock: stake.terms.staking_time,
            params_version: stake.params_version,
            valid: stake.out_of_bounds.is_none(),
            reason: stake.out_of_bounds.map(|bound| bound.to_string()),
            cap: cap_name(stake.window),
        }
    }
}

impl Refused {
    fn new(height: Height, txid: Txid, fault: &StakeFault) -> Self {
        Refused { height, txid, reason: fault.to_string() }
    }
}

impl Show for Report {
    fn text(&self) -> String {
        let scanned = match self.block {
            Some(hash) => format!("{hash} at height {}", self.from),
            None => format!("{}, heights {} to {}", self.blocks, self.from, self.to),
        };
        let mut text = facts([
            ("network", self.network.to_string()),
            ("blocks", scanned),
            ("stakes", self.stakes.len().to_string()),
        ]);
        if !self.stakes.is_empty() {
            let header =
                ["height", "outpoint", "sat", "blocks", "version", "valid", "cap", "staker", "provider"];
            let rows = self.stakes.iter().map(|stake| {
                vec![
                    stake.height.to_string(),
                    stake.outpoint.to_string(),
                    stake.value.to_string(),
                    stake.timelock.to_string(),
                    stake.params_version.to_string(),
                    if stake.valid { "yes" } else { "no" }.into(),
                    stake.cap.into(),
                    stake.staker.to_string(),
                    stake.provider.to_string(),
                ]
            });
            text += &format!("\n\n{}", table(&header, &["height", "sat", "blocks", "version"], rows));
        }
        for stake in &self.stakes {
            if let Some(reason) = &stake.reason {
                text += &format!("\n{} is not valid: {reason}", stake.outpoint);
            }
        }
        for refused in &self.refused {
            text += &format!("\n{} carries the tag and is no stake: {}", refused.txid, refused.reason);
        }
        text
    }
}
