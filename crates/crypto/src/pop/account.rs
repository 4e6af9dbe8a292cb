use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use bitcoin::bech32::primitives::decode::CheckedHrpstring;
use bitcoin::bech32::{Bech32, Hrp};
use bitcoin::hex::{DisplayHex, FromHex};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How an account's text becomes its raw bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AccountKind {
    /// A bech32 address (BIP-0173), lower case, as Cosmos chains have it; the raw bytes are its payload.
    Bech32,
    /// Bytes, up to 64; the text is `0x` and lower-case hex, as Ethereum has it.
    Hex,
    /// Any text, up to 128 bytes of UTF-8 without control characters and such as are not seen; the raw bytes are those of the text.
    Text,
}

impl AccountKind {
    fn name(self) -> &'static str {
        match self {
            AccountKind::Bech32 => "bech32",
            AccountKind::Hex => "hex",
            AccountKind::Text => "text",
        }
    }
}

/// An account of a consumer chain: what a staker proves to stake for.
///
/// Printed, read and serialised as `bech32:bbn1…`, `hex:d8da…` or `text:…`. The plain form signs the raw bytes, the others the
/// text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Account {
    kind: AccountKind,
    text: String,
    raw: Vec<u8>,
}

/// Why a text is not an account.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AccountError {
    /// No kind in front, and none can be guessed.
    #[error("account: write bech32:…, hex:… or text:… in front of the account")]
    Kind,
    /// Not bech32 with its checksum in lower case.
    #[error("account: not a lower-case bech32 address with a valid checksum")]
    Bech32,
    /// BIP-0173: longer than a bech32 address can be.
    #[error("account: a bech32 address of {actual} characters, {} are allowed", Account::MAX_BECH32)]
    Bech32Length {
        /// Its characters.
        actual: usize,
    },
    /// Not hex.
    #[error("account: not hex")]
    Hex,
    /// Empty, or too long.
    #[error("account: {actual} bytes, 1 to {most} are allowed")]
    Length {
        /// The raw bytes there are.
        actual: usize,
        /// The most that are allowed.
        most: usize,
    },
    /// A line feed or another control character, or one that is not seen and changes how others are: what is read must be what is
    /// signed.
    #[error("account: there is a control character in it, or one that is not seen")]
    ControlCharacter,
}

impl Account {
    /// The most raw bytes of a bech32 or hex account.
    pub const MAX_RAW: usize = 64;
    /// The most characters of a bech32 account (BIP-0173).
    pub const MAX_BECH32: usize = 90;
    /// The most bytes of a text account.
    pub const MAX_TEXT: usize = 128;

    /// Reads a lower-case bech32 address, such as `bbn1…`, of at most 90 characters.
    ///
    /// # Errors
    ///
    /// [`AccountError::Bech32Length`], [`AccountError::Bech32`] or [`AccountError::Length`].
    pub fn bech32(address: &str) -> Result<Self, AccountError> {
        if address.len() > Self::MAX_BECH32 {
            return Err(AccountError::Bech32Length { actual: address.len() });
        }
        let checked = CheckedHrpstring::new::<Bech32>(address).map_err(|_| AccountError::Bech32)?;
        let hrp: Hrp = checked.hrp();
        // Padding that is not zero would be a second text for the same bytes.
        let raw: Vec<u8> = checked.byte_iter().collect();
        let again = bitcoin::bech32::encode::<Bech32>(hrp, &raw).map_err(|_| AccountError::Bech32)?;
        if again != address {
            return Err(AccountError::Bech32);
        }
        check_length(raw.len(), Self::MAX_RAW)?;
        Ok(Account { kind: AccountKind::Bech32, text: again, raw })
    }

    /// Takes raw bytes, such as the 20 of an Ethereum address.
    ///
    /// # Errors
    ///
    /// [`AccountError::Length`] if there are none or more than 64.
    pub fn from_raw(raw: &[u8]) -> Result<Self, AccountError> {
        check_length(raw.len(), Self::MAX_RAW)?;
        let text = alloc::format!("0x{}", raw.as_hex());
        Ok(Account { kind: AccountKind::Hex, text, raw: raw.to_vec() })
    }

    /// Takes a text.
    ///
    /// # Errors
    ///
    /// [`AccountError::Length`] or [`AccountError::ControlCharacter`].
    pub fn text(text: &str) -> Result<Self, AccountError> {
        check_length(text.len(), Self::MAX_TEXT)?;
        if text.chars().any(|c| c.is_control() || is_unseen(c)) {
            return Err(AccountError::ControlCharacter);
        }
        Ok(Account { kind: AccountKind::Text, text: text.to_string(), raw: text.as_bytes().to_vec() })
    }

    /// Which kind of account it is.
    pub fn kind(&self) -> AccountKind {
        self.kind
    }

    /// What the text forms sign.
    pub fn as_text(&self) -> &str {
        &self.text
    }

    /// What the plain form signs, 1 to 128 bytes.
    pub fn as_raw(&self) -> &[u8] {
        &self.raw
    }
}

/// Separators of lines, marks of direction, joiners, tags, and what else has no width.
const fn is_unseen(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

fn check_length(actual: usize, most: usize) -> Result<(), AccountError> {
    if actual == 0 || actual > most { Err(AccountError::Length { actual, most }) } else { Ok(()) }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            AccountKind::Hex => write!(f, "{}:{}", self.kind.name(), self.raw.as_hex()),
            kind => write!(f, "{}:{}", kind.name(), self.text),
        }
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Account({:?})", self.to_string())
    }
}

impl FromStr for Account {
    type Err = AccountError;

    /// Reads `bech32:…`, `hex:…` (with or without `0x`) or `text:…`; without a kind, a bech32 address or `0x` and hex.
    fn from_str(account: &str) -> Result<Self, AccountError> {
        let hex = |digits: &str| {
            if digits.len() > 2 * Self::MAX_RAW {
                return Err(AccountError::Length { actual: digits.len() / 2, most: Self::MAX_RAW });
            }
            Account::from_raw(&Vec::from_hex(digits).map_err(|_| AccountError::Hex)?)
        };
        match account.split_once(':') {
            Some(("bech32", address)) => Account::bech32(address),
            Some(("hex", digits)) => hex(digits.strip_prefix("0x").unwrap_or(digits)),
            Some(("text", text)) => Account::text(text),
            _ => match account.strip_prefix("0x") {
                Some(digits) => hex(digits),
                None => Account::bech32(account).map_err(|_| AccountError::Kind),
            },
        }
    }
}

impl Serialize for Account {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Account {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
