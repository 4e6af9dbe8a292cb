//! Commitments and votes.

use std::io::BufRead;
use std::path::{Path, PathBuf};

use bitcoin::XOnlyPublicKey;
use bitcoin::hex::{DisplayHex, FromHex};
use clap::Args;
use serde::Serialize;
use serde_json::json;
use tapstake_crypto::eots::{self, SignedCommitment};
use tapstake_signer::provider::Provider;
use tapstake_verifier::equivocation::SignedVote;

use super::Opened;
use super::refusal::refused;
use crate::error::{Context, Error, Result};
use crate::file;
use crate::output::{self, Show, facts};
use crate::session::Session;

/// Which heights to commit to.
#[derive(Debug, Args)]
pub(crate) struct Commit {
    #[command(flatten)]
    opened: Opened,
    /// The first height
    #[arg(long, value_name = "HEIGHT")]
    start: u64,
    /// The number of heights, at most 131072
    #[arg(long, value_name = "COUNT")]
    count: u64,
    /// Write the signed commitment to this file, for the service
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// What to vote for.
#[derive(Debug, Args)]
pub(crate) struct Vote {
    #[command(flatten)]
    opened: Opened,
    /// The height in the service's chain
    #[arg(long, value_name = "HEIGHT", required_unless_present = "stdin")]
    height: Option<u64>,
    /// The hash of the block there, 32 bytes of hex in the service's own byte order
    #[arg(long, value_name = "HASH", value_parser = hash_arg, required_unless_present = "stdin")]
    block_hash: Option<[u8; 32]>,
    /// Write the vote to this file, for the service
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Read a height and a hash from each line of stdin, and print a vote or an error as a line of JSON for each
    #[arg(long, conflicts_with_all = ["height", "block_hash", "out"])]
    stdin: bool,
}

fn hash_arg(text: &str) -> Result<[u8; 32], String> {
    <[u8; 32]>::from_hex(text).map_err(|error| error.to_string())
}

/// A commitment; its JSON is the commitment file and nothing else.
#[derive(Serialize)]
struct Committed {
    version: u16,
    service: String,
    provider: XOnlyPublicKey,
    #[serde(flatten)]
    signed: SignedCommitment,
    #[serde(skip)]
    file: Option<PathBuf>,
}

/// The version of the commitment file.
const COMMITMENT_VERSION: u16 = 1;

impl Show for Committed {
    fn text(&self) -> String {
        let eots::Commitment { start, count, root } = self.signed.commitment;
        facts([
            ("provider", self.provider.to_string()),
            ("service", self.service.clone()),
            ("first height", start.to_string()),
            ("last height", (start + count - 1).to_string()),
            ("root", root.to_lower_hex_string()),
            ("signature", self.signed.signature.to_string()),
            ("written to", written(self.file.as_deref())),
        ])
    }
}

/// A vote; its JSON is the vote file and nothing else.
#[derive(Serialize)]
struct Voted {
    #[serde(flatten)]
    signed: SignedVote,
    #[serde(skip)]
    file: Option<PathBuf>,
}

impl Show for Voted {
    fn text(&self) -> String {
        let SignedVote { service, provider, vote, signature, .. } = &self.signed;
        facts([
            ("provider", provider.to_string()),
            ("service", service.clone()),
            ("height", vote.height.to_string()),
            ("block", vote.block_hash.to_lower_hex_string()),
            ("signature", signature.to_string()),
            ("written to", written(self.file.as_deref())),
        ])
    }
}

fn written(file: Option<&Path>) -> String {
    file.map_or_else(|| "no file: give --out FILE, or --json".to_owned(), |file| file.display().to_string())
}

pub(super) fn commit(args: &Commit, session: &Session<'_>) -> Result<()> {
    let mut provider = args.opened.open(session)?;
    let signed = provider.commit(args.start, args.count).map_err(refused)?;
    let committed = Committed {
        version: COMMITMENT_VERSION,
        service: provider.service().to_owned(),
        provider: provider.public_key(),
        signed,
        file: args.out.clone(),
    };
    // Asked again, it is the same commitment: the file may be there.
    write(args.out.as_deref(), &committed)?;
    session.out.show(&committed);
    Ok(())
}

pub(super) fn vote(args: &Vote, session: &Session<'_>) -> Result<()> {
    if args.stdin && args.opened.passphrase.is_stdin() {
        return Err(Error::usage("stdin has the votes already").next("give --passphrase-file FILE"));
    }
    let mut provider = args.opened.open(session)?;
    let (Some(height), Some(block_hash)) = (args.height, args.block_hash) else {
        return vote_by_lines(&mut provider, session);
    };
    let signed = provider.vote(eots::Vote { height, block_hash }).map_err(refused)?;
    write(args.out.as_deref(), &signed)?;
    session.out.show(&Voted { signed, file: args.out.clone() });
    Ok(())
}

/// One line in, one line out, until stdin ends: a refusal ends nothing.
fn vote_by_lines(provider: &mut Provider, session: &Session<'_>) -> Result<()> {
    for line in std::io::stdin().lock().lines() {
        let line = line.context("stdin")?;
        let answer = asked(&line).and_then(|vote| provider.vote(vote).map_err(refused));
        let answer = match &answer {
            Ok(signed) => serde_json::to_string(signed),
            Err(error) => serde_json::to_string(&json!({ "error": error.to_json() })),
        };
        session.out.raw(&answer?);
    }
    Ok(())
}

fn asked(line: &str) -> Result<eots::Vote> {
    let words = line
        .split_once(' ')
        .and_then(|(height, hash)| Some((height.parse().ok()?, hash_arg(hash.trim()).ok()?)));
    let (height, block_hash) = words.ok_or_else(|| {
        Error::usage("the line is no height and hash").next("give a height, a blank and 64 hex digits")
    })?;
    Ok(eots::Vote { height, block_hash })
}

fn write(path: Option<&Path>, value: &impl Serialize) -> Result<()> {
    match path {
        Some(path) => file::replace_own(path, (output::json(value) + "\n").as_bytes()),
        None => Ok(()),
    }
}
