//! `tapstake tx inspect`

use std::path::Path;

use bitcoin::Transaction;
use bitcoin::hex::FromHex;
use serde::Serialize;
use tapstake_tx::inspect::{InspectedInput, InspectedOutput};
use tapstake_tx::{Inspection, inspect};

use crate::error::{Error, Result};
use crate::file::kind::Kind;
use crate::network::NetworkName;
use crate::output::{Show, facts};
use crate::session::Session;
use crate::{file, input};

/// More than any transaction takes as hex.
const MAX_HEX: u64 = 8 << 20;

/// Says what the transaction is.
///
/// Parameters are compared with only where some are set: those of another network would find fault with a good stake.
pub(crate) fn run(hex: &str, session: &Session<'_>) -> Result<()> {
    let tx: Transaction = input::decode(&bytes(hex)?, "transaction")?;
    let network = session.network();
    let schedule = session.settings.params.is_some().then(|| session.schedule()).transpose()?;
    let inspection = inspect(&session.secp, &tx, network, schedule.as_ref());
    session.out.show(&Report { network: network.into(), inspection });
    Ok(())
}

fn bytes(given: &str) -> Result<Vec<u8>> {
    if given == "-" {
        let read = file::read_stdin(MAX_HEX)?;
        let text = String::from_utf8_lossy(&read);
        return Vec::<u8>::from_hex(text.trim()).map_err(|error| {
            Error::rule("file", format!("stdin: no hex: {error}")).next("give a whole transaction as hex")
        });
    }
    match Vec::<u8>::from_hex(given.trim()) {
        Ok(bytes) => Ok(bytes),
        Err(_) if Path::new(given).exists() => input::bytes_of(Path::new(given), Kind::Transaction),
        Err(error) => {
            let message = format!("neither hex ({error}) nor the name of a file");
            Err(Error::usage(message).next("give a transaction as hex, its file, or - for stdin"))
        }
    }
}

#[derive(Debug, Serialize)]
struct Report {
    network: NetworkName,
    #[serde(flatten)]
    inspection: Inspection,
}

impl Show for Report {
    fn text(&self) -> String {
        let tx = &self.inspection;
        let mut lines = vec![
            ("transaction".to_owned(), word(&tx.kind)),
            ("network".into(), self.network.to_string()),
            ("txid".into(), tx.txid.to_string()),
            ("wtxid".into(), tx.wtxid.to_string()),
            ("version".into(), format!("{}, lock time {}", tx.version, tx.lock_time)),
            ("size".into(), format!("{} vbytes ({} weight units, {} bytes)", tx.vsize, tx.weight, tx.size)),
        ];
        if let Some(fault) = &tx.fault {
            lines.insert(1, ("fault".into(), fault.clone()));
        }
        for (position, input) in tx.inputs.iter().enumerate() {
            lines.push((format!("input {position}"), describe_input(input)));
            lines.extend(leaf_lines(input));
        }
        for (position, output) in tx.outputs.iter().enumerate() {
            lines.push((format!("output {position}"), describe_output(output)));
            lines.extend(output_lines(output));
        }
        facts(lines)
    }
}

/// The name that a value has in JSON.
fn word(value: &impl Serialize) -> String {
    let json = serde_json::to_value(value).unwrap_or_default();
    json.as_str().map_or_else(|| json.to_string(), str::to_owned)
}

fn words<T: Serialize>(values: &[T]) -> String {
    values.iter().map(word).collect::<Vec<_>>().join(", ")
}

fn describe_input(input: &InspectedInput) -> String {
    let lock = match input.relative_lock_blocks {
        Some(blocks) => format!(", {blocks} blocks after it"),
        None => String::new(),
    };
    format!("{}, sequence {:#010x}{lock}", input.outpoint, input.sequence)
}

fn leaf_lines(input: &InspectedInput) -> Vec<(String, String)> {
    let Some(leaf) = &input.leaf else { return Vec::new() };
    let mut lines = vec![
        ("leaf", format!("{} of {} output", leaf.name, none_or(words(&leaf.spends), "no known"))),
        ("staker", leaf.staker.to_string()),
    ];
    if let Some(providers) = &leaf.providers {
        lines.extend(providers.keys().iter().map(|key| ("provider", key.to_string())));
    }
    if let Some(covenant) = &leaf.covenant {
        lines.push(("covenant", format!("{} of {}", covenant.threshold(), covenant.keys().len())));
        lines.push(("  of versions", none_or(words(&leaf.covenant_versions), "none compared")));
    }
    if let Some(timelock) = leaf.timelock {
        lines.push(("timelock", format!("{timelock} blocks")));
    }
    if let Some(signed) = leaf.signed {
        let (staker, providers, covenant) = (signed.staker, signed.providers, signed.covenant);
        lines.push((
            "signed",
            format!("staker {staker}, providers {providers}, covenant {covenant}: not verified"),
        ));
    }
    if !leaf.internal_key_is_nums {
        lines.push(("key path", format!("open to {}", leaf.internal_key)));
    }
    lines.push(("address", leaf.address.clone()));
    lines.into_iter().map(|(name, value)| (format!("  {name}"), value)).collect()
}

fn describe_output(output: &InspectedOutput) -> String {
    let to = output.address.clone().unwrap_or_else(|| output.script_pubkey.to_asm_string());
    format!("{} sat to {to}{}", output.value, if output.dust { ", dust" } else { "" })
}

fn output_lines(output: &InspectedOutput) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    if let Some(data) = &output.phase_1 {
        lines.push(("tag", data.tag.clone()));
        lines.push(("staker", data.staker.to_string()));
        lines.push(("provider", data.provider.to_string()));
        lines.push(("staking time", format!("{} blocks", data.staking_time)));
    }
    for (name, versions) in [
        ("stake of versions", &output.staking_versions),
        ("refund of versions", &output.refund_versions),
        ("slashed part of versions", &output.slashing_versions),
    ] {
        if !versions.is_empty() {
            lines.push((name, words(versions)));
        }
    }
    lines.into_iter().map(|(name, value)| (format!("  {name}"), value)).collect()
}

fn none_or(text: String, none: &str) -> String {
    if text.is_empty() { none.to_owned() } else { text }
}
