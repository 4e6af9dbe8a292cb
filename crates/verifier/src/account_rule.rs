use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;

use bitcoin::bech32::Hrp;
use serde::{Deserialize, Deserializer};
use tapstake_crypto::pop::{Account, AccountKind};

/// Which accounts a service takes in proofs of possession.
///
/// Written `any`, `bech32:PREFIX`, `hex` or `text`.
///
/// A proof that names the account alone does not say of which kind it is: in the plain form the staker signs the raw
/// bytes, so that the 20 bytes of `bech32:bbn1…` are signed for `bech32:osmo1…` and `hex:…` too, and in the others the text,
/// which is signed for `text:…` too. Whoever brings the proof chooses. A service that pays or counts by account names the
/// one kind that it has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AccountRule {
    /// Every account: right where the proof has to name the service, which binds the kind too.
    #[default]
    Any,
    /// Bech32 addresses with this prefix (human-readable part), such as `bbn`.
    Bech32 {
        /// The prefix, in lower case.
        prefix: String,
    },
    /// Raw bytes, such as Ethereum's addresses.
    Hex,
    /// Texts.
    Text,
}

/// A text that names no [`AccountRule`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("accounts: write any, bech32:PREFIX with a prefix in lower case, hex or text")]
pub struct AccountRuleError;

impl AccountRule {
    /// Bech32 addresses with this prefix.
    ///
    /// # Errors
    ///
    /// [`AccountRuleError`] unless it is a prefix that BIP-0173 knows, in lower case.
    pub fn bech32(prefix: &str) -> Result<Self, AccountRuleError> {
        let lower_case = !prefix.bytes().any(|byte| byte.is_ascii_uppercase());
        match Hrp::parse(prefix) {
            Ok(_) if lower_case => Ok(AccountRule::Bech32 { prefix: prefix.to_string() }),
            _ => Err(AccountRuleError),
        }
    }

    /// Whether the service takes this account.
    pub fn accepts(&self, account: &Account) -> bool {
        match (self, account.kind()) {
            (AccountRule::Any, _)
            | (AccountRule::Hex, AccountKind::Hex)
            | (AccountRule::Text, AccountKind::Text) => true,
            // The last 1 parts prefix and data (BIP-0173).
            (AccountRule::Bech32 { prefix }, AccountKind::Bech32) => {
                account.as_text().rsplit_once('1').is_some_and(|(found, _)| found == prefix)
            }
            _ => false,
        }
    }
}

impl fmt::Display for AccountRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AccountRule::Any => f.write_str("any"),
            AccountRule::Bech32 { prefix } => write!(f, "bech32:{prefix}"),
            AccountRule::Hex => f.write_str("hex"),
            AccountRule::Text => f.write_str("text"),
        }
    }
}

impl FromStr for AccountRule {
    type Err = AccountRuleError;

    fn from_str(rule: &str) -> Result<Self, AccountRuleError> {
        match rule {
            "any" => Ok(AccountRule::Any),
            "hex" => Ok(AccountRule::Hex),
            "text" => Ok(AccountRule::Text),
            _ => AccountRule::bech32(rule.strip_prefix("bech32:").ok_or(AccountRuleError)?),
        }
    }
}

impl<'de> Deserialize<'de> for AccountRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_as_they_print_and_nothing_else_is() {
        for rule in ["any", "bech32:bbn", "bech32:a1b", "hex", "text"] {
            assert_eq!(rule.parse::<AccountRule>().unwrap().to_string(), rule);
        }
        for rule in ["", "bech32", "bech32:", "bech32:BBN", "bech32:bBn", "bech32:ä", "Hex", "any ", "hex:00"]
        {
            assert_eq!(rule.parse::<AccountRule>(), Err(AccountRuleError), "{rule}");
        }
        assert_eq!(serde_json::from_str::<AccountRule>("\"hex\"").unwrap(), AccountRule::Hex);
        assert!(serde_json::from_str::<AccountRule>("\"hexes\"").is_err());
    }
}
