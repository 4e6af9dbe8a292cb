//! Values as they are typed, and files as they are found.
//!
//! Syntax is checked while the arguments are parsed (exit code 2). What a well-formed value may be is a rule of the
//! crates, asked for later (exit code 1).

use std::path::Path;

use bitcoin::consensus::Decodable;
use bitcoin::hex::FromHex;
use bitcoin::{Amount, PublicKey, ScriptBuf, XOnlyPublicKey};
use tapstake_params::{Quorum, RateError, SlashingRate, Timelock, TimelockError};
use tapstake_restake::{Nav, PartsPerMillion};

use crate::error::{Context, Error, Result};
use crate::file;
use crate::file::kind::Kind;

/// A public key in 32 or 33 bytes, not yet known to be on the curve.
#[derive(Debug, Clone)]
pub(crate) struct KeyArg(Vec<u8>);

/// Reads a key's hex.
pub(crate) fn key_arg(text: &str) -> Result<KeyArg, String> {
    let bytes = Vec::<u8>::from_hex(text).map_err(|error| error.to_string())?;
    match bytes.len() {
        32 | 33 => Ok(KeyArg(bytes)),
        length => Err(format!("{length} bytes: a key has 32 (x-only) or 33 (compressed)")),
    }
}

impl KeyArg {
    /// The key as scripts have it (BIP-0340): the parity of a compressed key is dropped.
    pub(crate) fn to_x_only(&self) -> Result<XOnlyPublicKey> {
        let key = match self.0.as_slice() {
            x_only if x_only.len() == 32 => XOnlyPublicKey::from_slice(x_only).ok(),
            compressed => PublicKey::from_slice(compressed).ok().map(|key| key.inner.x_only_public_key().0),
        };
        key.ok_or_else(|| {
            let hex = bitcoin::hex::DisplayHex::to_lower_hex_string(&self.0);
            Error::rule("key", format!("key {hex} is no point on the curve"))
        })
    }
}

/// The keys of a list of arguments.
pub(crate) fn keys(args: &[KeyArg]) -> Result<Vec<XOnlyPublicKey>> {
    args.iter().map(KeyArg::to_x_only).collect()
}

/// A timelock from a number of blocks.
pub(crate) fn timelock(blocks: u64) -> Result<Timelock> {
    let small = u32::try_from(blocks).map_err(|_| TimelockError { blocks })?;
    Ok(Timelock::new(small)?)
}

/// A committee of `quorum` among `keys`.
pub(crate) fn covenant(quorum: usize, keys: &[KeyArg]) -> Result<Quorum> {
    Quorum::new(quorum, self::keys(keys)?).context("covenant")
}

/// An amount that can exist.
pub(crate) fn amount(sat: u64) -> Result<Amount> {
    let amount = Amount::from_sat(sat);
    if amount > Amount::MAX_MONEY {
        return Err(Error::rule("amount", format!("{sat} sat is more than all bitcoin")));
    }
    Ok(amount)
}

/// A slashing rate from a decimal such as 0.001, or as [`percent_arg`] reads it, such as 0.1%.
pub(crate) fn rate(text: &str) -> Result<SlashingRate> {
    let Ok(millionths) = text.parse::<PartsPerMillion>().map(PartsPerMillion::to_u32) else {
        return Ok(text.parse::<SlashingRate>()?);
    };
    if millionths % 100 != 0 {
        return Err(RateError::TooPrecise(text.into()).into());
    }
    let ten_thousandths = u16::try_from(millionths / 100).ok();
    let rate = ten_thousandths.and_then(|parts| SlashingRate::from_ten_thousandths(parts).ok());
    Ok(rate.ok_or_else(|| RateError::OutOfRange(text.into()))?)
}

/// A rate as a percentage, in millionths, or as a decimal below 1. Other plain numbers are none: 2 and 2.0 may be meant as 2%
/// and as 200%.
pub(crate) fn percent_arg(text: &str) -> Result<PartsPerMillion, String> {
    let decimal = || text.parse::<Nav>().ok().filter(|_| text.starts_with("0.")).map(Nav::millionths);
    let part = || decimal().and_then(|millionths| u32::try_from(millionths).ok()).map(PartsPerMillion::new);
    text.parse().ok().or_else(part).ok_or_else(|| {
        "write a percentage with at most 4 decimals such as 6% or 0.25%, the same as a decimal below 1 such as 0.06 or \
         0.0025, or millionths such as 2500ppm"
            .to_owned()
    })
}

/// Reads four bytes of hex.
pub(crate) fn tag_arg(text: &str) -> Result<[u8; 4], String> {
    <[u8; 4]>::from_hex(text).map_err(|error| error.to_string())
}

/// Reads a script's hex.
pub(crate) fn script_arg(text: &str) -> Result<ScriptBuf, String> {
    ScriptBuf::from_hex(text).map_err(|error| error.to_string())
}

/// The headers in a file that holds them as they are, or as hex digits and white space.
pub(crate) fn bytes(path: &Path) -> Result<Vec<u8>> {
    bytes_of(path, Kind::Headers)
}

/// The bytes of a file that holds them as they are, or as hex digits and white space.
///
/// # Errors
///
/// By the rule `file`: if it cannot be read, is longer than any of its kind, or is a file of another kind.
pub(crate) fn bytes_of(path: &Path, kind: Kind) -> Result<Vec<u8>> {
    let limit = match kind {
        // Those of a million blocks, as hex in lines.
        Kind::Headers => 256 << 20,
        // 4,000,000 bytes, as hex in lines.
        _ => 16 << 20,
    };
    let raw = file::read(path, limit)?;
    file::of_kind(&raw, kind).context(path.display())?;
    let is_hex =
        !raw.is_empty() && raw.iter().all(|byte| byte.is_ascii_hexdigit() || byte.is_ascii_whitespace());
    if !is_hex {
        return Ok(raw);
    }
    let digits: String =
        raw.iter().filter(|byte| !byte.is_ascii_whitespace()).map(|byte| char::from(*byte)).collect();
    Vec::<u8>::from_hex(&digits)
        .map_err(|error| Error::rule("file", format!("{}: odd hex: {error}", path.display())))
}

/// Decodes all of `bytes` as what Bitcoin serializes.
pub(crate) fn decode<T: Decodable>(bytes: &[u8], what: &str) -> Result<T> {
    bitcoin::consensus::deserialize(bytes).map_err(|error| {
        let refused = Error::rule("file", format!("{} bytes are no {what}: {error}", bytes.len()));
        refused.next(format!("give a whole {what}, raw or as hex"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_percentage_millionths_or_a_decimal_with_a_point() {
        for (text, millionths) in
            [("5%", 50_000), ("0.05", 50_000), ("50000ppm", 50_000), ("0.999999", 999_999), ("0.000001", 1)]
        {
            assert_eq!(percent_arg(text), Ok(PartsPerMillion::new(millionths)), "{text}");
        }
        for bad in [
            "5",
            "2",
            "1.0",
            "2.0",
            "00.5",
            "",
            ".5",
            "5.",
            "-0.05",
            "0.0000001",
            "4294.967296",
            "0,05",
            "1e-2",
            "0.05 %x",
        ] {
            assert!(percent_arg(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_slashing_rate_is_a_decimal_or_a_percentage() {
        for (text, parts) in [("0.1", 1_000), ("10%", 1_000), ("0.1%", 10), ("0.01%", 1), ("100ppm", 1)] {
            assert_eq!(rate(text).ok().map(SlashingRate::ten_thousandths), Some(parts), "{text}");
        }
        for bad in ["0%", "100%", "0.001%", "50ppm", "10", "1", "0", "x%", "429496%"] {
            assert_eq!(rate(bad).err().and_then(|error| error.rule_name()), Some("slashing-rate"), "{bad}");
        }
    }
}
