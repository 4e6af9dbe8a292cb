//! `tapstake equivocation`: a provider's key, out of what it signed.

use std::path::{Path, PathBuf};

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::hex::{DisplayHex, FromHex};
use bitcoin::{OutPoint, Transaction, Txid, XOnlyPublicKey};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tapstake_tx::delegation::DelegationPackage;
use tapstake_verifier::equivocation::{
    EVIDENCE_VERSION, Equivocation, Evidence, EvidenceError, SelectiveSlashing, SignedVote,
    SlashingEvidenceError, VOTE_VERSION, VerifiedEquivocation,
};
use zeroize::Zeroizing;

use crate::delegation;
use crate::error::{Context, Error, Result};
use crate::file::kind::Kind as FileKind;
use crate::output::{self, Show, facts};
use crate::session::Session;
use crate::{file, input};

/// More than any vote, evidence or transaction takes, in bytes of a file.
const MAX_FILE: u64 = 4 << 20;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Two votes of one provider, or one file with evidence
    #[arg(value_name = "FILE", num_args = 1..=2, required_unless_present = "slashing_tx")]
    files: Vec<PathBuf>,
    /// A slashing transaction with its witness, as hex or in a file: with the --delegation of the stake that it slashes it
    /// shows the key of the provider that completed it
    #[arg(long, value_name = "FILE|HEX", conflicts_with = "files", requires = "delegation")]
    slashing_tx: Option<String>,
    /// The delegation file of a stake of that provider; give it once for each stake to be slashed
    #[arg(long, value_name = "FILE")]
    delegation: Vec<PathBuf>,
    /// Write the evidence to a file that is not there yet
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write the provider's secret key to a file that is not there yet, as hex
    #[arg(long, value_name = "FILE")]
    reveal_key_file: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<()> {
    let packages = args.delegation.iter().map(|path| delegation::read(path)).collect::<Result<Vec<_>>>()?;
    let evidence = match &args.slashing_tx {
        Some(tx) => of_slashing(&slashing_tx(tx)?, &packages, session)?,
        None => of_files(&args.files)?,
    };
    let equivocation = evidence.verify(&session.secp).map_err(refused)?;
    if let Some(path) = &args.out {
        write_evidence(path, &evidence)?;
    }
    if let Some(path) = &args.reveal_key_file {
        let key = equivocation.exposed_key().to_bytes();
        let text = Zeroizing::new(key.to_lower_hex_string() + "\n");
        file::write_new(path, text.as_bytes())?;
    }
    let slashings = packages.iter().map(|package| slashing_of(package, &equivocation, session));
    let slashings = slashings.collect::<Result<Vec<_>>>()?;
    session.out.show(&Report {
        provider: equivocation.provider(),
        key: "extracted",
        equivocation: Kind::from(equivocation.equivocation()),
        evidence_file: args.out.clone(),
        key_file: args.reveal_key_file.clone(),
        slashings,
    });
    Ok(())
}

/// Two votes, or what an earlier run wrote.
fn of_files(files: &[PathBuf]) -> Result<Evidence> {
    match files {
        [first, second] => {
            let votes: [SignedVote; 2] =
                [json(first, FileKind::Vote, VOTE_VERSION)?, json(second, FileKind::Vote, VOTE_VERSION)?];
            Ok(Evidence::TwoVotes(votes.into()))
        }
        [evidence] => read_evidence(evidence),
        _ => Err(Error::usage("give two votes, or one file with evidence")),
    }
}

/// Reads a file with evidence. Nothing in it is checked.
pub(crate) fn read_evidence(path: &Path) -> Result<Evidence> {
    json(path, FileKind::Evidence, EVIDENCE_VERSION)
}

/// Reads a versioned file. One that is cut off, of another kind or of another version is a failure, for nothing was verified;
/// one whose fields cannot be is a failed verification.
fn json<T: DeserializeOwned>(path: &Path, kind: FileKind, known: u16) -> Result<T> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let bytes = file::read(path, MAX_FILE)?;
    let read = |bytes: &[u8]| {
        if (kind, FileKind::of(bytes)) == (FileKind::Evidence, Some(FileKind::Vote)) {
            return Err(Error::rule("file", "this is one vote, and one vote is no evidence")
                .next("give the second vote as well: tapstake equivocation VOTE VOTE --out EVIDENCE"));
        }
        file::of_kind(bytes, kind)?;
        let value: serde_json::Value =
            serde_json::from_slice(bytes).map_err(|error| file::no_json(kind, &error))?;
        if let Ok(Version { version }) = Version::deserialize(&value)
            && version != u32::from(known)
        {
            let message = format!("{kind} of version {version}: this program reads version {known}");
            return Err(Error::rule("file-version", message));
        }
        // From the text again: a repeated field is lost in a value.
        serde_json::from_slice(bytes).map_err(|error| Error::verification("file-format", error))
    };
    read(&bytes).context(path.display())
}

fn slashing_tx(text: &str) -> Result<Transaction> {
    let bytes = match Vec::<u8>::from_hex(text) {
        Ok(bytes) if bytes.len() > 60 => bytes,
        _ => input::bytes_of(Path::new(text), FileKind::Transaction)?,
    };
    input::decode(&bytes, "transaction")
}

/// The evidence that a slashing transaction is, next to the delegation of the stake that it slashes.
fn of_slashing(tx: &Transaction, packages: &[DelegationPackage], session: &Session<'_>) -> Result<Evidence> {
    let mut other_stake = None;
    for package in packages {
        match SelectiveSlashing::from_package(&session.secp, package, tx.clone()) {
            Ok(slashing) => return Ok(Evidence::SelectiveSlashing(slashing.into())),
            Err(error @ SlashingEvidenceError::OtherStake { .. }) => other_stake = Some(error),
            Err(error) => return Err(refused(error.into())),
        }
    }
    let error = other_stake.ok_or_else(|| Error::usage("--slashing-tx needs --delegation"))?;
    Err(refused(error.into()).next("give the --delegation of the stake that the transaction slashes"))
}

pub(crate) fn refused(error: EvidenceError) -> Error {
    Error::verification(error.rule(), error)
}

/// Writes evidence to a new file; the same evidence may be there already.
fn write_evidence(path: &Path, evidence: &Evidence) -> Result<()> {
    let text = output::json(evidence) + "\n";
    let there = path.exists() && file::read(path, MAX_FILE)? == text.as_bytes();
    if there { Ok(()) } else { file::write_new(path, text.as_bytes()) }
}

/// The slashing transactions of a stake, ready to be sent, if the provider is one of its own.
fn slashing_of(
    package: &DelegationPackage,
    equivocation: &VerifiedEquivocation,
    session: &Session<'_>,
) -> Result<Slashing> {
    let stake = package.outpoint();
    let named = || format!("delegation of stake {stake}");
    let delegation = delegation::verified(session, package).context(named())?.verified_parts();
    let (secp, key) = (&session.secp, equivocation.exposed_key());
    let slashing = delegation.slash(secp, key).context(named())?;
    let unbonding_slashing = delegation.slash_unbonding(secp, key).context(named())?;
    let unbonding = delegation.unbonding().coin().outpoint;
    let slashed = match equivocation.equivocation() {
        Equivocation::Slashing { spent, .. } => *spent == stake || *spent == unbonding,
        Equivocation::TwoVotes { .. } => false,
    };
    Ok(Slashing {
        stake,
        staker: package.staker,
        slashed,
        burns: delegation.slashing().burns(),
        slashed_sat: delegation.slashing().slashed().to_sat(),
        slashing_txid: slashing.compute_txid(),
        slashing_tx: serialize_hex(&slashing),
        unbonding_slashed_sat: delegation.unbonding_slashing().slashed().to_sat(),
        unbonding_slashing_txid: unbonding_slashing.compute_txid(),
        unbonding_slashing_tx: serialize_hex(&unbonding_slashing),
    })
}

/// A provider whose key is out. The key itself is not printed.
#[derive(Debug, Serialize)]
struct Report {
    provider: XOnlyPublicKey,
    key: &'static str,
    equivocation: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_file: Option<PathBuf>,
    slashings: Vec<Slashing>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    TwoVotes { service: String, height: u64, block_hashes: [String; 2] },
    Slashing { staker: XOnlyPublicKey, spent: OutPoint, txid: Txid },
}

impl From<&Equivocation> for Kind {
    fn from(equivocation: &Equivocation) -> Self {
        match equivocation {
            Equivocation::TwoVotes { service, height, block_hashes } => Kind::TwoVotes {
                service: service.clone(),
                height: *height,
                block_hashes: block_hashes.map(|hash| hash.to_lower_hex_string()),
            },
            Equivocation::Slashing { staker, spent, txid } => {
                Kind::Slashing { staker: *staker, spent: *spent, txid: *txid }
            }
        }
    }
}

/// What can be sent to slash one stake: the first while its staking output is unspent, the second once it is unbonding.
#[derive(Debug, Serialize)]
struct Slashing {
    stake: OutPoint,
    staker: XOnlyPublicKey,
    /// Whether the evidence is this stake's slashing itself.
    slashed: bool,
    burns: bool,
    slashed_sat: u64,
    slashing_txid: Txid,
    slashing_tx: String,
    unbonding_slashed_sat: u64,
    unbonding_slashing_txid: Txid,
    unbonding_slashing_tx: String,
}

impl Show for Report {
    fn text(&self) -> String {
        let mut lines = vec![
            ("provider", self.provider.to_string()),
            ("secret key", "extracted, and not shown: --reveal-key-file FILE writes it".to_owned()),
        ];
        match &self.equivocation {
            Kind::TwoVotes { service, height, block_hashes: [first, second] } => lines.extend([
                ("voted twice", format!("for {service}, at height {height}")),
                ("one block", first.clone()),
                ("other block", second.clone()),
            ]),
            Kind::Slashing { staker, spent, txid } => {
                lines.extend([("slashed", format!("{spent} by {txid}")), ("staker", staker.to_string())]);
            }
        }
        let files = [("evidence", &self.evidence_file), ("key file", &self.key_file)];
        lines.extend(
            files.into_iter().filter_map(|(name, path)| Some((name, path.as_ref()?.display().to_string()))),
        );
        for slashing in &self.slashings {
            lines.push(("stake", slashing.stake.to_string()));
            if slashing.slashed {
                lines.push(("slashing", "done: it is the evidence".to_owned()));
                continue;
            }
            let takes = if slashing.burns { "burns" } else { "pays" };
            lines.extend([
                (
                    takes,
                    format!(
                        "{} sat, {} sat once unbonding",
                        slashing.slashed_sat, slashing.unbonding_slashed_sat
                    ),
                ),
                ("slashing tx", slashing.slashing_tx.clone()),
                ("once unbonding", slashing.unbonding_slashing_tx.clone()),
            ]);
        }
        facts(lines)
    }
}
