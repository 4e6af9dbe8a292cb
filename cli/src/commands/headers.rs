//! `tapstake headers`

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use bitcoin::block::Header;
use bitcoin::consensus::deserialize;
use bitcoin::hex::DisplayHex;
use bitcoin::{BlockHash, Network};
use clap::Subcommand;
use serde::Serialize;
use tapstake_params::Height;
use tapstake_verifier::headers::{HeaderError, HeadersSummary, verify_headers};

use crate::error::{Error, Result};
use crate::input;
use crate::network::NetworkName;
use crate::output::{Show, facts};
use crate::session::Session;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check consecutive headers by every rule; the first is taken on trust unless it is the genesis block
    Verify {
        /// A file with headers of 80 bytes each, raw or as hex
        file: PathBuf,
        /// The height of the first header: 0 or, on networks that retarget, a multiple of 2016
        #[arg(long, value_name = "HEIGHT")]
        start_height: Height,
        /// Also refuse headers more than two hours ahead of this machine's clock
        #[arg(long)]
        clock: bool,
    },
}

pub(crate) fn run(command: &Command, session: &Session<'_>) -> Result<()> {
    let Command::Verify { file, start_height, clock } = command;
    let raw = input::bytes(file)?;
    let headers = split(&raw)?;
    let network = session.network();
    let now = clock.then(now);
    let summary = verify_headers(network, *start_height, headers.iter().copied(), now).map_err(refusal)?;
    session.out.show(&Report::new(network, *start_height, &summary));
    Ok(())
}

/// Cuts a file into headers.
///
/// # Errors
///
/// If it is cut off in the middle of one, or empty.
pub(crate) fn split(raw: &[u8]) -> Result<&[[u8; 80]]> {
    let (headers, rest) = raw.as_chunks::<80>();
    if headers.is_empty() || !rest.is_empty() {
        let message = format!("{} bytes are no whole number of headers of 80 bytes", raw.len());
        return Err(
            Error::rule("file", message).next("give the whole file: it is cut off, or something else")
        );
    }
    Ok(headers)
}

/// A header that breaks a rule, as an error that says where.
pub(crate) fn refusal(error: HeaderError) -> Error {
    let height = match &error {
        HeaderError::Link { height, .. }
        | HeaderError::ProofOfWork { height, .. }
        | HeaderError::Bits { height, .. }
        | HeaderError::MedianTime { height, .. }
        | HeaderError::TimeWarp { height, .. }
        | HeaderError::FutureTime { height, .. } => Some(height.to_u32()),
        _ => None,
    };
    Error::verification(error.rule().name(), error).at_height(height)
}

/// A header from its 80 bytes.
pub(crate) fn from_raw(raw: &[u8; 80]) -> Header {
    deserialize(raw).expect("any 80 bytes decode as a header")
}

/// This machine's clock, in seconds since 1970.
pub(crate) fn now() -> u32 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |duration| duration.as_secs());
    u32::try_from(since_1970).unwrap_or(u32::MAX)
}

#[derive(Debug, Serialize)]
struct Report {
    network: NetworkName,
    count: u32,
    start_height: Height,
    /// The hash of the last header.
    tip: BlockHash,
    tip_height: Height,
    /// Of these headers alone: 32 bytes, big endian.
    work: String,
    from_genesis: bool,
    median_time_from: Height,
}

impl Report {
    fn new(network: Network, start_height: Height, summary: &HeadersSummary) -> Self {
        Report {
            network: network.into(),
            count: summary.count,
            start_height,
            tip: summary.tip_hash,
            tip_height: summary.tip_height,
            work: summary.work.to_be_bytes().to_lower_hex_string(),
            from_genesis: summary.from_genesis,
            median_time_from: summary.median_time_from,
        }
    }
}

impl Show for Report {
    fn text(&self) -> String {
        let from = if self.from_genesis { "the genesis block" } else { "a block taken on trust" };
        facts([
            ("network", self.network.to_string()),
            ("headers", format!("{}, all valid", self.count)),
            ("from", format!("height {}, {from}", self.start_height)),
            ("tip", format!("{} at height {}", self.tip, self.tip_height)),
            ("work", format!("0x{}", self.work)),
            ("median time", format!("checked from height {}", self.median_time_from)),
        ])
    }
}
