//! `tapstake verify`

use std::path::{Path, PathBuf};

use bitcoin::block::Header;
use bitcoin::constants::genesis_block;
use bitcoin::hex::FromHex;
use bitcoin::{BlockHash, CompactTarget, Network, Work};
use tapstake_chain::{ChainError, ChainSource};
use tapstake_params::{Height, Schedule};
use tapstake_prover::sync_headers;
use tapstake_verifier::headers::{Anchor, HeaderChain, HeaderError};
use tapstake_verifier::{
    Depth, IncludedStake, OwnHeaders, Policy, ServicePolicy, StakeProof, VerifiedStake, VerifyError, verify,
    verify_in_trusted_block, verify_slashable, verify_slashable_in_trusted_block,
    verify_slashable_with_own_headers, verify_with_own_headers,
};

use crate::commands::headers::{self, now, refusal};
use crate::commands::proof;
use crate::commands::service::ServiceArgs;
use crate::error::{Context, Error, Result};
use crate::input;
use crate::live::{Source, SourceArgs};
use crate::session::Session;

mod report;

pub(crate) use report::cap_name;
use report::{Report, Spends};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The proof, as JSON or in the compact binary form; - for stdin
    proof: PathBuf,
    #[command(flatten)]
    flags: Flags,
}

/// How proofs are judged.
#[derive(Debug, clap::Args)]
pub(crate) struct Flags {
    /// A block that you trust: it must be in the chain that the proof is judged by
    #[arg(long, value_name = "HEIGHT:HASH", value_parser = anchor_arg)]
    anchor: Option<(Height, BlockHash)>,
    /// A file with the headers of the chain, 80 bytes each, that the proof is judged by instead of its own
    #[arg(long, value_name = "FILE")]
    headers: Option<PathBuf>,
    /// The least confirmations, tip - height + 1 [default: 10 on mainnet, else 1; 1 in a block that --anchor names]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    min_confirmations: Option<u32>,
    /// The least work of the stake's block and all above it, 32 bytes of hex or fewer
    /// [default: on mainnet that of the least confirmations at half of 2025's difficulty, else none]
    #[arg(long, value_name = "HEX", value_parser = work_arg)]
    min_work: Option<Work>,
    /// Take phase-1 stakes only, which say in an OP_RETURN what they are
    #[arg(long)]
    phase_1: bool,
    /// How far below its block a stake may claim to have been registered
    #[arg(long, value_name = "BLOCKS", default_value_t = 0)]
    max_registration_gap: u32,
    /// Also refuse a stake that is past its time at the tip
    #[arg(long)]
    require_active: bool,
    /// Also refuse headers more than two hours ahead of this machine's clock
    #[arg(long)]
    clock: bool,
    /// Judge by all headers of a chain source, from the genesis block on
    #[arg(long, conflicts_with = "headers")]
    live: bool,
    #[command(flatten)]
    service: ServiceArgs,
    #[command(flatten)]
    source: SourceArgs,
}

fn anchor_arg(text: &str) -> Result<(Height, BlockHash), String> {
    let (height, hash) = text.split_once(':').ok_or("give HEIGHT:HASH")?;
    let height = height.parse().map_err(|error| format!("height: {error}"))?;
    Ok((height, hash.parse().map_err(|error| format!("hash: {error}"))?))
}

fn work_arg(text: &str) -> Result<Work, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let padded = format!("{digits:0>64}");
    <[u8; 32]>::from_hex(&padded).map(Work::from_be_bytes).map_err(|error| error.to_string())
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<()> {
    let proof = proof::read(&args.proof)?;
    let known = Known::of(&args.flags, session)?;
    let Judged { verdict, warnings } = judge(&args.flags, proof, &known, false, session)?;
    warnings.iter().for_each(|warning| session.out.warn(warning));
    let spends = look_for_spends(known.source.as_ref(), verdict.included(), session)?;
    session.out.show(&Report::new(&verdict, spends));
    Ok(())
}

/// The stakes of proofs, which must be slashable. Where nobody has looked whether they are spent, that is said.
pub(crate) fn slashable(
    args: &Flags,
    proofs: &[PathBuf],
    session: &Session<'_>,
) -> Result<Vec<VerifiedStake>> {
    stakes(args, proofs, true, session)
}

/// The stakes of proofs, which must be slashable but for their outputs, which may be spent by now.
pub(crate) fn once_slashable(
    args: &Flags,
    proofs: &[PathBuf],
    session: &Session<'_>,
) -> Result<Vec<VerifiedStake>> {
    stakes(args, proofs, false, session)
}

/// What is to be said of several proofs is said once.
fn stakes(
    args: &Flags,
    proofs: &[PathBuf],
    unspent: bool,
    session: &Session<'_>,
) -> Result<Vec<VerifiedStake>> {
    // A file that is none is found before all headers of a chain are asked for.
    let read = proofs.iter().map(|file| Ok((file, proof::read(file)?))).collect::<Result<Vec<_>>>()?;
    let known = Known::of(args, session)?;
    let (mut stakes, mut said) = (Vec::new(), Vec::<(String, Vec<&Path>)>::new());
    for (file, proof) in read {
        let (stake, warnings) = stake(args, proof, &known, unspent, session).context(file.display())?;
        for warning in warnings {
            match said.iter_mut().find(|(message, _)| *message == warning) {
                Some((_, files)) => files.push(file),
                None => said.push((warning, vec![file])),
            }
        }
        stakes.push(stake);
    }
    for (warning, files) in said {
        let whose = match files.len() {
            several if several > 1 && several == proofs.len() => format!("all {several} proofs"),
            _ => files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", "),
        };
        session.out.warn(&format!("{whose}: {warning}"));
    }
    Ok(stakes)
}

/// The stake of a proof, which must be slashable, and what a person should know of how it was judged.
fn stake(
    args: &Flags,
    proof: StakeProof,
    known: &Known,
    unspent: bool,
    session: &Session<'_>,
) -> Result<(VerifiedStake, Vec<String>)> {
    let Judged { verdict, mut warnings } = judge(args, proof, known, true, session)?;
    let Verdict::Slashable(stake) = verdict else { return Err(refused(VerifyError::NoDelegation)) };
    if unspent {
        let spends = look_for_spends(known.source.as_ref(), stake.included(), session)?;
        if spends != Spends::NoneReported {
            warnings.push(format!("spends of the stake: {spends}"));
        }
    }
    Ok((*stake, warnings))
}

/// What a proof shows.
struct Judged {
    verdict: Verdict,
    /// What a person should know of how it was judged.
    warnings: Vec<String>,
}

/// What all proofs of a command are held against.
struct Known {
    /// Who is asked for headers and spends.
    source: Option<Source>,
    /// All headers from the genesis block on, where the source or a file has them.
    chain: Option<HeaderChain>,
    /// The headers of a file that start above it, or none.
    above: Vec<Header>,
}

impl Known {
    fn of(args: &Flags, session: &Session<'_>) -> Result<Self> {
        let network = session.schedule()?.network();
        let source = args.live.then(|| args.source.connect(session)).transpose()?;
        let (mut chain, mut above) = (None, Vec::new());
        if let Some(path) = &args.headers {
            let headers = file_headers(path)?;
            if headers[0] == genesis_block(network).header {
                chain = Some(chain_of(Anchor::genesis(network), &headers, args.now())?);
            } else {
                above = headers;
            }
        } else if let Some(source) = &source {
            chain = Some(live_chain(source.chain(), network, session)?);
        }
        Ok(Known { source, chain, above })
    }
}

fn judge(
    args: &Flags,
    mut proof: StakeProof,
    known: &Known,
    must_be_slashable: bool,
    session: &Session<'_>,
) -> Result<Judged> {
    let mut warnings = Vec::new();
    let schedule = session.schedule()?;
    let network = schedule.network();
    // Who trusts the stake's very block, and has no other header, has settled how deep it is.
    let own_block = Some((proof.inclusion_height, proof.block_hash()));
    let in_trusted =
        args.anchor == own_block && args.headers.is_none() && !args.live && proof.own_headers.is_none();
    let least = if network == Network::Bitcoin && !in_trusted { 10 } else { 1 };
    let confirmations = args.min_confirmations.unwrap_or(least);
    let policy = Policy {
        max_registration_gap: args.max_registration_gap,
        now: args.now(),
        least_work: Some(args.least_work(network, &proof, confirmations)),
        only_phase_1: args.phase_1,
        ..Policy::new(Depth::Confirmations(confirmations))
    };
    let from_above = match known.above.as_slice() {
        [] => None,
        headers => Some(chain_of(anchor_of(network, &proof, headers)?, headers, policy.now)?),
    };
    let ground = match known.chain.as_ref().or(from_above.as_ref()) {
        Some(chain) => {
            check_trusted(chain, args.anchor)?;
            Ground::Chain(chain)
        }
        None if in_trusted => Ground::Block(proof.inclusion_height, proof.block_hash()),
        None => {
            // The least that a proof brings is the header of its block.
            let start_height = proof.inclusion_height;
            let headers = vec![proof.header];
            proof.own_headers.get_or_insert(OwnHeaders { start_height, headers });
            if args.anchor.is_none() {
                warnings.push(
                    "judged by the headers that the proof brings: forging them costs no more than their work"
                        .to_owned(),
                );
            }
            Ground::OwnHeaders(args.anchor)
        }
    };
    let verdict = if proof.delegation.is_some() || must_be_slashable || args.service.asks_for_slashable() {
        let policy = args.service.policy(policy, &proof, session)?;
        if !args.service.names_providers() {
            warnings.push("no --provider given: the stake's own count as known to the service".to_owned());
        }
        Verdict::Slashable(Box::new(ground.slashable(session, &proof, &schedule, &policy).map_err(refused)?))
    } else {
        Verdict::Included(Box::new(ground.included(session, &proof, &schedule, &policy).map_err(refused)?))
    };
    let stake = verdict.included();
    if args.require_active {
        stake.require_active().map_err(|expired| Error::verification(expired.rule().name(), expired))?;
    }
    Ok(Judged { verdict, warnings })
}

/// What the proof's block is held against.
enum Ground<'a> {
    Chain(&'a HeaderChain),
    Block(Height, BlockHash),
    OwnHeaders(Option<(Height, BlockHash)>),
}

impl Ground<'_> {
    fn included(
        &self,
        session: &Session<'_>,
        proof: &StakeProof,
        schedule: &Schedule,
        policy: &Policy,
    ) -> Result<IncludedStake, VerifyError> {
        let secp = &session.secp;
        match self {
            Ground::Chain(chain) => verify(secp, proof, chain, schedule, policy),
            Ground::Block(height, hash) => {
                verify_in_trusted_block(secp, proof, (*height, *hash), schedule, policy)
            }
            Ground::OwnHeaders(trusts) => verify_with_own_headers(secp, proof, *trusts, schedule, policy),
        }
    }

    fn slashable(
        &self,
        session: &Session<'_>,
        proof: &StakeProof,
        schedule: &Schedule,
        policy: &ServicePolicy,
    ) -> Result<VerifiedStake, VerifyError> {
        let secp = &session.secp;
        match self {
            Ground::Chain(chain) => verify_slashable(secp, proof, chain, schedule, policy),
            Ground::Block(height, hash) => {
                verify_slashable_in_trusted_block(secp, proof, (*height, *hash), schedule, policy)
            }
            Ground::OwnHeaders(trusts) => {
                verify_slashable_with_own_headers(secp, proof, *trusts, schedule, policy)
            }
        }
    }
}

/// What the stake turned out to be.
enum Verdict {
    Included(Box<IncludedStake>),
    Slashable(Box<VerifiedStake>),
}

impl Verdict {
    fn included(&self) -> &IncludedStake {
        match self {
            Verdict::Included(stake) => stake,
            Verdict::Slashable(stake) => stake.included(),
        }
    }
}

impl Flags {
    /// This machine's clock, if it is to be asked.
    fn now(&self) -> Option<u32> {
        self.clock.then(now)
    }

    /// What the headers must weigh, whether a proof, a file or one server brings them: the price of forging them.
    fn least_work(&self, network: Network, proof: &StakeProof, confirmations: u32) -> Work {
        if let Some(work) = self.min_work {
            return work;
        }
        // A trusted block that confirms the stake deep enough leaves nothing to forge.
        let trusted = self.anchor.map_or(0, |(height, _)| proof.inclusion_height.confirmations(height));
        match network {
            Network::Bitcoin if trusted < confirmations => {
                Policy::work_of_blocks(CompactTarget::from_consensus(MAINNET_FLOOR_BITS), confirmations)
            }
            _ => Work::from_be_bytes([0; 32]),
        }
    }
}

/// The chain that a source follows.
fn live_chain(source: &dyn ChainSource, network: Network, session: &Session<'_>) -> Result<HeaderChain> {
    let mut chain = HeaderChain::new(Anchor::genesis(network), 0);
    let tip = source.tip()?.height.to_u32();
    let bar = session.out.progress(Some(tip.into()), "checking headers");
    let synced = sync_headers(source, &mut chain, |height| bar.set_position(height.to_u32().into()));
    bar.finish_and_clear();
    synced?;
    Ok(chain)
}

/// Asks the source, if there is one, for a spend of the stake, and refuses the stake if there is one.
fn look_for_spends(source: Option<&Source>, stake: &IncludedStake, session: &Session<'_>) -> Result<Spends> {
    let Some(source) = source else { return Ok(Spends::NotLookedFor) };
    let output = stake.terms().staking_output(&session.secp);
    match source.chain().spend(&stake.outpoint(), output.script_pubkey(), Some(stake.inclusion_height())) {
        Ok(None) => Ok(Spends::NoneReported),
        Ok(Some(spend)) => {
            let (outpoint, txid) = (stake.outpoint(), spend.txid);
            let at = match spend.block {
                Some(block) => format!("at height {}", block.height),
                None => "in the mempool".to_owned(),
            };
            Err(Error::verification("spent", anyhow::anyhow!("stake {outpoint} is spent by {txid} {at}")))
        }
        Err(
            ChainError::Pruned { .. }
            | ChainError::TxIndexMissing { .. }
            | ChainError::Unsupported { .. }
            | ChainError::UnknownOutpoint { .. },
        ) => Ok(Spends::SourceCannotTell),
        Err(error) => Err(error.into()),
    }
}

/// The headers of a file, which are not none.
fn file_headers(path: &Path) -> Result<Vec<Header>> {
    let raw = input::bytes(path)?;
    Ok(headers::split(&raw).context(path.display())?.iter().map(headers::from_raw).collect())
}

/// The chain of headers of which the first is the anchor's.
fn chain_of(anchor: Anchor, headers: &[Header], now: Option<u32>) -> Result<HeaderChain> {
    let mut chain = HeaderChain::new(anchor, 0);
    match now {
        Some(now) => chain.extend_at(&headers[1..], now),
        None => chain.extend(&headers[1..]),
    }
    .map_err(refusal)?;
    Ok(chain)
}

/// Refuses a chain that does not have the block that the caller trusts.
fn check_trusted(chain: &HeaderChain, trusted: Option<(Height, BlockHash)>) -> Result<()> {
    let Some((height, expected)) = trusted else { return Ok(()) };
    match chain.hash_at(height) {
        Some(found) if found == expected => Ok(()),
        found => Err(refused(VerifyError::TrustedBlock { height, expected, found })),
    }
}

/// Difficulty 5.6e13, that of late 2023: every block with Babylon's stakes is above it.
const MAINNET_FLOOR_BITS: u32 = 0x1705_0000;

/// Where headers begin that do not begin with the genesis block: where the proof says, of whose block one is.
fn anchor_of(network: Network, proof: &StakeProof, headers: &[Header]) -> Result<Anchor> {
    let above = headers.iter().position(|header| *header == proof.header);
    let above = above.and_then(|above| u32::try_from(above).ok());
    let start = above.and_then(|above| proof.inclusion_height.checked_sub(above)).ok_or_else(|| {
        let (height, claimed) = (proof.inclusion_height, proof.block_hash());
        refused(VerifyError::NotInChain { height, claimed, found: None })
    })?;
    Anchor::new(network, start, headers[0], Work::from_be_bytes([0; 32]), Vec::new())
        .map_err(|error| refusal(error.into()))
}

fn refused(error: VerifyError) -> Error {
    let next = match &error {
        VerifyError::OwnHeaders(HeaderError::Anchor(_)) => Some(
            "give --headers FILE, or a proof that brings the headers from the start of its retarget period on",
        ),
        VerifyError::Work { .. } => {
            Some("give the headers up to today's tip, or the --anchor of a block that you trust")
        }
        VerifyError::Network { .. } => Some("give the --network and --params that the stake is meant for"),
        VerifyError::Depth { .. } => Some("wait for more blocks, and give newer headers"),
        VerifyError::NoDelegation => Some("ask for a proof made with tapstake prove --delegation FILE"),
        _ => None,
    };
    let refusal = Error::verification(error.rule().name(), error);
    match next {
        Some(next) => refusal.next(next),
        None => refusal,
    }
}
