//! `tapstake scan`

use std::path::PathBuf;

use bitcoin::script::Builder;
use bitcoin::{Block, BlockHash, OutPoint, Txid, XOnlyPublicKey};
use serde::Serialize;
use tapstake_params::{Height, Timelock};
use tapstake_script::{Scanned, ScannedStake, StakeFault, scan_transaction};

use crate::commands::verify::cap_name;
use crate::error::{Context, Result};
use crate::input;
use crate::network::NetworkName;
use crate::output::{Show, facts, table};
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A file with one block, raw or as hex
    #[arg(long, value_name = "FILE")]
    block: PathBuf,
    /// The block's height, which chooses the parameters
    #[arg(long, value_name = "HEIGHT")]
    height: Height,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<()> {
    let schedule = session.schedule()?;
    let block = read_block(&args.block)?;
    warn_about(&block, args.height, session);
    let mut report = Report {
        network: schedule.network().into(),
        blocks: 1,
        height: args.height,
        block: block.block_hash(),
        transactions: block.txdata.len(),
        stakes: Vec::new(),
        refused: Vec::new(),
    };
    for tx in &block.txdata {
        match scan_transaction(&session.secp, tx, args.height, &schedule) {
            None => {}
            Some(Scanned::Stake(stake)) => report.stakes.push(Found::new(&stake)),
            Some(Scanned::Faulty { txid, fault }) => report.refused.push(Refused::new(txid, &fault)),
        }
    }
    session.out.show(&report);
    Ok(())
}

/// Reads a file with one block.
///
/// # Errors
///
/// If it cannot be read, or if it is not exactly one block.
pub(crate) fn read_block(path: &std::path::Path) -> Result<Block> {
    input::decode(&input::bytes(path)?, "block").context(path.display())
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
    blocks: u32,
    height: Height,
    block: BlockHash,
    transactions: usize,
    stakes: Vec<Found>,
    /// Transactions that carry the network's tag and are no stake.
    refused: Vec<Refused>,
}

#[derive(Debug, Serialize)]
struct Found {
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
    txid: Txid,
    reason: String,
}

impl Found {
    fn new(stake: &ScannedStake) -> Self {
        let parties = &stake.terms.parties;
        Found {
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
    fn new(txid: Txid, fault: &StakeFault) -> Self {
        Refused { txid, reason: fault.to_string() }
    }
}

impl Show for Report {
    fn text(&self) -> String {
        let mut text = facts([
            ("network", self.network.to_string()),
            ("block", format!("{} at height {}", self.block, self.height)),
            ("transactions", self.transactions.to_string()),
            ("stakes", self.stakes.len().to_string()),
        ]);
        if !self.stakes.is_empty() {
            let header = ["outpoint", "sat", "blocks", "version", "valid", "cap", "staker", "provider"];
            let rows = self.stakes.iter().map(|stake| {
                vec![
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
            text += &format!("\n\n{}", table(&header, &["sat", "blocks", "version"], rows));
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
