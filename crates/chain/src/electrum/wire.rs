//! The Electrum protocol on one connection: a line of JSON out, a line of JSON back.

use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::slice::Iter;
use std::time::Duration;

use serde_json::{Value, json};

use super::endpoint::Endpoint;
use super::stream::Stream;

/// The longest line taken from a server: twice the hex of the largest transaction.
const MAX_LINE: u64 = 16 << 20;
/// The most lines of other things (notifications) taken while waiting for answers.
const MAX_STRAY_LINES: usize = 1_000;
/// The protocol versions we speak.
const VERSIONS: [&str; 2] = ["1.4", "1.6"];

/// After how long without an answer the server is nudged, each once in a call.
///
/// ElectrumX 2 holds back small answers, up to a second, until it has 1,024 bytes to send: against those who
/// count bytes on the line. Whoever asks one small question after the other would wait a second for each.
const NUDGE_AFTER: [Duration; 3] =
    [Duration::from_millis(40), Duration::from_millis(80), Duration::from_millis(160)];
/// A cheap question with more than 1,024 bytes of answer, eight headers, which nobody reads.
const NUDGE: (&str, [u32; 2]) = ("blockchain.block.headers", [0, 8]);

/// An error that the server answers with.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub(super) code: i64,
    pub(super) message: String,
}

/// Why a connection is of no use any more.
#[derive(Debug)]
pub(super) enum WireError {
    /// It broke or was too slow.
    Lost(io::Error),
    /// What came is not the protocol.
    Nonsense(String),
}

impl From<io::Error> for WireError {
    fn from(error: io::Error) -> Self {
        WireError::Lost(error)
    }
}

pub(super) struct Wire {
    stream: BufReader<Stream>,
    timeout: Duration,
    next_id: u64,
    /// Major and minor version agreed upon.
    version: (u32, u32),
}

impl Wire {
    /// Connects and agrees on a version of the protocol.
    pub(super) fn open(endpoint: &Endpoint, timeout: Duration) -> Result<Self, WireError> {
        let stream = BufReader::new(Stream::connect(endpoint, timeout)?);
        let mut wire = Wire { stream, timeout, next_id: 0, version: (1, 4) };
        let client = concat!("tapstake ", env!("CARGO_PKG_VERSION"));
        let answers = wire.ask(&[("server.version", json!([client, VERSIONS]))])?;
        let answer = match answers.into_iter().next() {
            Some(Ok(answer)) => answer,
            Some(Err(refusal)) => {
                return Err(WireError::Nonsense(format!("it refuses to speak with us: {}", refusal.message)));
            }
            None => return Err(WireError::Nonsense("it does not tell its version".to_owned())),
        };
        wire.version = answer[1]
            .as_str()
            .and_then(parse_version)
            .ok_or_else(|| WireError::Nonsense("it speaks an unknown version of the protocol".to_owned()))?;
        Ok(wire)
    }

    pub(super) fn version(&self) -> (u32, u32) {
        self.version
    }

    /// Sends all calls at once and collects the answers, in the order of the calls.
    pub(super) fn ask(&mut self, calls: &[(&str, Value)]) -> Result<Vec<Result<Value, Refusal>>, WireError> {
        self.stream.get_mut().set_deadline(self.timeout);
        let first = self.next_id;
        let mut text = Vec::new();
        for (method, params) in calls {
            self.write_call(&mut text, method, params);
        }
        self.send(&text)?;

        let mut answers: Vec<Option<Result<Value, Refusal>>> = vec![None; calls.len()];
        let mut missing = calls.len();
        let mut stray = 0;
        let mut nudges = NUDGE_AFTER.iter();
        while missing > 0 {
            self.nudge(&mut nudges)?;
            let mut message = self.read_message()?;
            // An answer to none of our calls is a notification, or a late answer.
            let slot = message["id"]
                .as_u64()
                .and_then(|id| id.checked_sub(first))
                .and_then(|at| answers.get_mut(usize::try_from(at).ok()?));
            match slot {
                Some(slot @ None) => {
                    *slot = Some(answer(&mut message)?);
                    missing -= 1;
                }
                _ if stray == MAX_STRAY_LINES => {
                    return Err(WireError::Nonsense(format!("{stray} lines that nobody asked for")));
                }
                _ => stray += 1,
            }
        }
        Ok(answers.into_iter().flatten().collect())
    }

    fn write_call(&mut self, text: &mut Vec<u8>, method: &str, params: &Value) {
        let request = json!({ "jsonrpc": "2.0", "id": self.next_id, "method": method, "params": params });
        text.extend_from_slice(request.to_string().as_bytes());
        text.push(b'\n');
        self.next_id += 1;
    }

    fn send(&mut self, text: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(text)?;
        self.stream.get_mut().flush()
    }

    /// Asks for more than is wanted while nothing comes, see [`NUDGE_AFTER`].
    fn nudge(&mut self, after: &mut Iter<'_, Duration>) -> io::Result<()> {
        while self.stream.buffer().is_empty() {
            let Some(pause) = after.next() else { return Ok(()) };
            if self.stream.get_ref().wait_readable(*pause)? {
                return Ok(());
            }
            let mut text = Vec::new();
            self.write_call(&mut text, NUDGE.0, &json!(NUDGE.1));
            self.send(&text)?;
        }
        Ok(())
    }

    fn read_message(&mut self) -> Result<Value, WireError> {
        let mut line = Vec::new();
        (&mut self.stream).take(MAX_LINE).read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            return Err(if line.len() as u64 == MAX_LINE {
                WireError::Nonsense(format!("a line of more than {MAX_LINE} bytes"))
            } else {
                WireError::Lost(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the server closed the connection",
                ))
            });
        }
        let message: Value = serde_json::from_slice(&line)
            .map_err(|error| WireError::Nonsense(format!("a line that is no JSON ({error})")))?;
        if message.is_object() {
            Ok(message)
        } else {
            Err(WireError::Nonsense("a line that is no message".into()))
        }
    }
}

fn answer(message: &mut Value) -> Result<Result<Value, Refusal>, WireError> {
    match message["error"].take() {
        Value::Null => {}
        // Some servers put the text alone here.
        Value::String(message) => return Ok(Err(Refusal { code: 0, message })),
        error => {
            let code = error["code"].as_i64().unwrap_or(0);
            let message = error["message"].as_str().map_or_else(|| error.to_string(), str::to_owned);
            return Ok(Err(Refusal { code, message }));
        }
    }
    match message.get_mut("result") {
        Some(result) => Ok(Ok(result.take())),
        None => Err(WireError::Nonsense("an answer without result".to_owned())),
    }
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split('.').map(str::parse::<u32>);
    match (parts.next()?, parts.next().unwrap_or(Ok(0))) {
        (Ok(major), Ok(minor)) => Some((major, minor)),
        _ => None,
    }
}
