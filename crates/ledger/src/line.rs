//! The lines of a journal, and the hash that chains them.

use std::str::FromStr;
use std::{fmt, io};

use bitcoin::Network;
use bitcoin::hashes::{Hash, HashEngine, sha256, sha256t::Tag, sha256t_hash_newtype};
use bitcoin::hex::{DisplayHex, FromHex};
use bitcoin::key::rand::{RngCore, rngs::OsRng};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tapstake_params::Height;
use tapstake_restake::{Entry, Event};

use crate::error::Damage;

/// What the first line of every journal says that it is.
pub(crate) const FORMAT: &str = "tapstake-book";
/// The version of the format.
pub(crate) const VERSION: u32 = 1;
/// The most bytes of a line, its end included. The longest that an event makes is far below.
pub(crate) const MAX_LINE: usize = 1 << 20;

sha256t_hash_newtype! {
    struct LineTag = hash_str("tapstake/book/line");
    /// The hash over a line and the hash before it.
    struct LineHash(_);
}

/// The hash at the end of a line, 32 bytes: it covers the line and all lines before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head([u8; 32]);

/// Why a text is no hash of a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a line's hash is 64 hexadecimal digits")]
pub struct HeadTextError;

impl Head {
    /// What comes before the first line.
    pub(crate) const NONE: Head = Head([0; 32]);

    /// The 32 bytes.
    pub const fn to_bytes(self) -> [u8; 32] {
        self.0
    }

    pub(crate) const fn from_bytes(bytes: [u8; 32]) -> Self {
        Head(bytes)
    }

    /// The hash of the next line, of which `text` is everything before its hash.
    fn with(self, text: &[u8]) -> Self {
        let mut engine = LineTag::engine();
        engine.input(&self.0);
        engine.input(text);
        Head(sha256::Hash::from_engine(engine).to_byte_array())
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.as_hex(), f)
    }
}

impl FromStr for Head {
    type Err = HeadTextError;

    fn from_str(text: &str) -> Result<Self, HeadTextError> {
        <[u8; 32]>::from_hex(text).map(Head).map_err(|_| HeadTextError)
    }
}

impl Serialize for Head {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Head {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What tells a book from every other: 16 random bytes in its first line, so that no two books begin with the same hash. Shown as
/// 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BookId([u8; 16]);

impl BookId {
    /// The 16 bytes.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// A new one, from the randomness of the operating system.
    pub(crate) fn random() -> io::Result<Self> {
        let mut bytes = [0; 16];
        OsRng.try_fill_bytes(&mut bytes)?;
        Ok(BookId(bytes))
    }
}

impl fmt::Display for BookId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.as_hex(), f)
    }
}

impl Serialize for BookId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BookId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        <[u8; 16]>::from_hex(&text).map(BookId).map_err(serde::de::Error::custom)
    }
}

/// The first line, without its hash.
#[derive(Serialize)]
struct Title<'a> {
    format: &'a str,
    version: u32,
    network: Network,
    id: BookId,
}

/// What the first line of every version says.
#[derive(Deserialize)]
pub(crate) struct Version {
    pub(crate) format: String,
    pub(crate) version: u32,
}

/// The first line of this version as it is read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    #[serde(rename = "format")]
    _format: serde::de::IgnoredAny,
    #[serde(rename = "version")]
    _version: serde::de::IgnoredAny,
    pub(crate) network: Network,
    pub(crate) id: BookId,
    #[serde(rename = "hash")]
    _hash: serde::de::IgnoredAny,
}

/// A line of an entry, without its hash.
#[derive(Serialize)]
struct Body<'a> {
    counter: u64,
    height: Height,
    event: &'a Event,
}

/// A line of an entry as it is read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    counter: u64,
    height: Height,
    event: Event,
    #[serde(rename = "hash")]
    _hash: serde::de::IgnoredAny,
}

/// The first line of a journal.
pub(crate) fn header(network: Network, id: BookId) -> Vec<u8> {
    finish(Head::NONE, &Title { format: FORMAT, version: VERSION, network, id }).0
}

/// The line of an entry, to follow the line that ends in `before`.
pub(crate) fn entry(before: Head, counter: u64, entry: &Entry) -> (Vec<u8>, Head) {
    finish(before, &Body { counter, height: entry.height, event: &entry.event })
}

fn finish(before: Head, body: &impl Serialize) -> (Vec<u8>, Head) {
    let mut text = serde_json::to_vec(body).expect("an event has only text keys");
    // The hash stands in the object's last field.
    text.pop();
    let head = before.with(&text);
    text.extend_from_slice(format!("{HASH}{head}\"}}\n").as_bytes());
    (text, head)
}

const HASH: &str = ",\"hash\":\"";
/// The bytes from [`HASH`] to the end of a line, its newline not among them.
const TAIL: usize = HASH.len() + 64 + 2;

/// The hash in which a line ends, if it is the right one after the line that ends in `before`. `line` has no newline.
pub(crate) fn check(before: Head, line: &[u8]) -> Result<Head, Damage> {
    let split = line.len().checked_sub(TAIL).ok_or(Damage::Hash)?;
    let (text, tail) = line.split_at(split);
    let hash = tail.strip_prefix(HASH.as_bytes()).and_then(|tail| tail.strip_suffix(b"\"}"));
    let hash = hash.ok_or(Damage::Hash)?;
    let head = before.with(text);
    // As it is written: the hash covers every byte but its own, which are compared.
    let digit = |number: u8| b"0123456789abcdef"[usize::from(number & 15)];
    let digits = head.0.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]);
    if digits.eq(hash.iter().copied()) { Ok(head) } else { Err(Damage::Hash) }
}

/// The entry of a line, whose hash was checked.
pub(crate) fn parse(line: &[u8], expected: u64) -> Result<Entry, Damage> {
    let read: Result<Line, _> = serde_json::from_slice(line);
    let Line { counter, height, event, .. } = read.map_err(|error| Damage::Form(error.to_string()))?;
    if counter != expected {
        return Err(Damage::Counter { found: counter, expected });
    }
    Ok(Entry { height, event })
}
