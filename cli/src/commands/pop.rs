//! `tapstake pop`: proofs of possession.

use std::path::PathBuf;

use bitcoin::XOnlyPublicKey;
use clap::Subcommand;
use serde::Serialize;
use tapstake_crypto::pop::ProofOfPossession;

use crate::error::{Context, Error, Result};
use crate::file;
use crate::file::kind::Kind;
use crate::input::{KeyArg, key_arg};
use crate::live::WalletArgs;
use crate::output::{self, Show, facts};
use crate::possession::PossessionArgs;
use crate::session::Session;

/// Much more than any proof takes.
const MAX_BYTES: u64 = 16 * 1024;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Sign an account with the wallet's staker key
    Create(Create),
    /// Check a proof against a staker's key
    Verify(Verify),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    #[command(flatten)]
    wallet: WalletArgs,
    /// Index of the staker key on the wallet's staker chain
    #[arg(long, default_value_t = 0, value_name = "NUMBER")]
    staker_index: u32,
    #[command(flatten)]
    possession: PossessionArgs,
    /// Write the proof to a new file
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// The proof, as pop create writes it
    #[arg(value_name = "FILE")]
    proof: PathBuf,
    /// The staker's key, 32 or 33 bytes of hex
    #[arg(long, value_name = "KEY", value_parser = key_arg)]
    staker: KeyArg,
    /// The service that the proof must name [default: any or none]
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
}

/// A proof; its JSON is the proof and nothing else.
#[derive(Serialize)]
struct Created {
    #[serde(flatten)]
    proof: ProofOfPossession,
    #[serde(skip)]
    staker: XOnlyPublicKey,
    #[serde(skip)]
    file: Option<PathBuf>,
}

impl Show for Created {
    fn text(&self) -> String {
        let mut rows = rows("proof of possession", &self.staker, &self.proof);
        rows.push(match &self.file {
            Some(path) => ("written to", path.display().to_string()),
            None => ("proof", "not printed: give --json or --out FILE".to_owned()),
        });
        facts(rows)
    }
}

#[derive(Serialize)]
struct Verified {
    valid: bool,
    staker: XOnlyPublicKey,
    form: String,
    #[serde(flatten)]
    proof: ProofOfPossession,
}

impl Show for Verified {
    fn text(&self) -> String {
        facts(rows("the staker has the key", &self.staker, &self.proof))
    }
}

fn rows(verdict: &str, staker: &XOnlyPublicKey, proof: &ProofOfPossession) -> Vec<(&'static str, String)> {
    let mut rows = vec![
        ("verdict", verdict.to_owned()),
        ("staker", staker.to_string()),
        ("account", proof.account.to_string()),
        ("form", proof.form().to_string()),
    ];
    rows.extend(proof.context.iter().map(|binding| ("service", binding.service().to_owned())));
    rows
}

pub(crate) fn run(command: &Command, session: &Session<'_>) -> Result<()> {
    match command {
        Command::Create(args) => create(args, session),
        Command::Verify(args) => verify(args, session),
    }
}

fn create(args: &Create, session: &Session<'_>) -> Result<()> {
    let account = args.possession.account().cloned();
    let account = account.ok_or_else(|| Error::usage("no account").next("give --account ACCOUNT"))?;
    let wallet = args.wallet.open(session)?;
    let key = wallet.staker_key(args.staker_index)?;
    let pair = args.wallet.signer(&wallet)?.keypair_of(&key)?;
    let proof = args.possession.prove(session, pair.keypair(), account)?;
    if let Some(path) = &args.out {
        file::write_new(path, (output::json(&proof) + "\n").as_bytes())?;
    }
    session.out.show(&Created { proof, staker: key.x_only, file: args.out.clone() });
    Ok(())
}

fn verify(args: &Verify, session: &Session<'_>) -> Result<()> {
    let bytes = file::read(&args.proof, MAX_BYTES)?;
    let proof: ProofOfPossession = file::json(&bytes, Kind::Possession).context(args.proof.display())?;
    let staker = args.staker.to_x_only()?;
    proof.verify(&session.secp, &staker).map_err(|error| Error::verification("possession", error))?;
    // What a proof binds is for its reader to judge, but for the network, which is known here.
    if let Some(network) = proof.context.as_ref().map(tapstake_crypto::pop::Context::network)
        && network != session.network()
    {
        let message = format!("the proof is for network {network}, not {}", session.network());
        return Err(Error::verification("network", anyhow::anyhow!(message)));
    }
    let named = proof.context.as_ref().map(tapstake_crypto::pop::Context::service);
    if let Some(service) = args.service.as_deref().filter(|service| named != Some(service)) {
        let names = named.map_or("no service".to_owned(), |named| format!("service {named}"));
        let message = format!("the proof names {names}, not {service}");
        return Err(Error::verification("possession-context", anyhow::anyhow!(message)));
    }
    session.out.show(&Verified { valid: true, staker, form: proof.form().to_string(), proof });
    Ok(())
}
