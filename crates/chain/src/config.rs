use core::fmt;
use std::path::PathBuf;
use std::time::Duration;

use bitcoin::Network;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{Bitcoind, ChainError, ChainSource, Electrum};

/// How to reach a chain source. Read from a configuration file, it says which kind by `kind`:
///
/// ```
/// use tapstake_chain::SourceConfig;
///
/// let node: SourceConfig = serde_json::from_str(
///     r#"{"kind": "bitcoind", "url": "http://127.0.0.1:8332", "cookie_file": "/home/me/.bitcoin/.cookie"}"#,
/// )?;
/// let server: SourceConfig =
///     serde_json::from_str(r#"{"kind": "electrum", "url": "ssl://electrum.example.org:50002"}"#)?;
/// # assert!(matches!(node, SourceConfig::Bitcoind(_)));
/// # assert!(matches!(server, SourceConfig::Electrum(_)));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum SourceConfig {
    /// A Bitcoin Core node, by JSON-RPC.
    Bitcoind(BitcoindConfig),
    /// An Electrum server, by TCP or TLS.
    Electrum(ElectrumConfig),
}

/// How to reach a bitcoind.
#[derive(Clone, Serialize, Deserialize)]
pub struct BitcoindConfig {
    /// Where RPC is served: `http://HOST:PORT`, without user and password.
    pub url: String,
    /// The `.cookie` file in the node's data folder, read anew after each restart of the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cookie_file: Option<PathBuf>,
    /// User and password, where there is no cookie file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
    /// Seconds to wait for one answer.
    #[serde(default = "default_timeout")]
    pub timeout_secs: u64,
    /// How often a question is asked before giving up, with growing pauses between. Whatever the number,
    /// no further attempt is made after two timeouts together.
    #[serde(default = "default_attempts")]
    pub attempts: u32,
}

/// How to reach an Electrum server.
#[derive(Clone, Serialize, Deserialize)]
pub struct ElectrumConfig {
    /// `tcp://HOST:PORT` or `ssl://HOST:PORT`.
    pub url: String,
    /// A SOCKS5 proxy, `HOST:PORT`; it resolves the server's name, so `.onion` works through Tor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// Take any TLS certificate. Whoever sits on the line can then lie about what is unspent and hide
    /// transactions; proofs stay proofs.
    #[serde(default)]
    pub accept_any_certificate: bool,
    /// Seconds to wait for one answer.
    #[serde(default = "default_timeout")]
    pub timeout_secs: u64,
    /// How often a question is asked before giving up, with growing pauses between. Whatever the number,
    /// no further attempt is made after two timeouts together.
    #[serde(default = "default_attempts")]
    pub attempts: u32,
}

/// A user and a password of a node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Credentials {
    /// The user's name.
    pub user: String,
    /// The password.
    pub password: Secret,
}

/// A text that is wiped from memory when dropped and that `Debug` does not show.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(#[serde(with = "secret_text")] Zeroizing<String>);

mod secret_text {
    use serde::{Deserialize, Deserializer, Serializer};
    use zeroize::Zeroizing;

    pub(super) fn serialize<S: Serializer>(text: &Zeroizing<String>, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Zeroizing<String>, D::Error> {
        String::deserialize(d).map(Zeroizing::new)
    }
}

impl Secret {
    /// Keeps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(Zeroizing::new(text.into()))
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

const fn default_timeout() -> u64 {
    30
}

const fn default_attempts() -> u32 {
    4
}

impl BitcoindConfig {
    /// A node at `url` with a cookie file, and the usual patience.
    pub fn with_cookie(url: impl Into<String>, cookie_file: impl Into<PathBuf>) -> Self {
        BitcoindConfig {
            url: url.into(),
            cookie_file: Some(cookie_file.into()),
            credentials: None,
            timeout_secs: default_timeout(),
            attempts: default_attempts(),
        }
    }

    /// A node at `url` with a user and a password, and the usual patience.
    pub fn with_password(
        url: impl Into<String>,
        user: impl Into<String>,
        password: impl Into<String>,
    ) -> Self {
        BitcoindConfig {
            url: url.into(),
            cookie_file: None,
            credentials: Some(Credentials { user: user.into(), password: Secret::new(password) }),
            timeout_secs: default_timeout(),
            attempts: default_attempts(),
        }
    }

    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_secs.max(1))
    }
}

impl ElectrumConfig {
    /// A server at `url`, certificate checked, no proxy, and the usual patience.
    pub fn new(url: impl Into<String>) -> Self {
        ElectrumConfig {
            url: url.into(),
            proxy: None,
            accept_any_certificate: false,
            timeout_secs: default_timeout(),
            attempts: default_attempts(),
        }
    }

    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_secs.max(1))
    }
}

/// Connects to the configured source and checks that it is on `network`.
///
/// # Errors
///
/// [`ChainError::Config`] for an address or cookie file that cannot be used, [`ChainError::WrongNetwork`],
/// [`ChainError::Unauthorized`], [`ChainError::Unreachable`].
pub fn connect(config: &SourceConfig, network: Network) -> Result<Box<dyn ChainSource>, ChainError> {
    Ok(match config {
        SourceConfig::Bitcoind(config) => Box::new(Bitcoind::connect(config, network)?),
        SourceConfig::Electrum(config) => Box::new(Electrum::connect(config, network)?),
    })
}

/// An address without what stands before an `@`: people put passwords there, logs must not.
fn without_user_info(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://..@{host}"),
        (None, Some((_, host))) => format!("..@{host}"),
        _ => url.to_owned(),
    }
}

/// Refuses addresses that carry a password, which would end up in messages.
pub(crate) fn refuse_user_info(url: &str, what: &str) -> Result<(), ChainError> {
    if url.contains('@') {
        let shown = without_user_info(url);
        return Err(ChainError::Config(format!(
            "{what} {shown} carries a user or password; give them apart from the address"
        )));
    }
    Ok(())
}

impl fmt::Debug for BitcoindConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BitcoindConfig")
            .field("url", &without_user_info(&self.url))
            .field("cookie_file", &self.cookie_file)
            .field("credentials", &self.credentials)
            .field("timeout_secs", &self.timeout_secs)
            .field("attempts", &self.attempts)
            .finish()
    }
}

impl fmt::Debug for ElectrumConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ElectrumConfig")
            .field("url", &without_user_info(&self.url))
            .field("proxy", &self.proxy.as_deref().map(without_user_info))
            .field("accept_any_certificate", &self.accept_any_certificate)
            .field("timeout_secs", &self.timeout_secs)
            .field("attempts", &self.attempts)
            .finish()
    }
}

/// The pause before attempt `n + 1`: 100 ms, 400 ms, 1.6 s, then 5 s.
pub(crate) fn backoff(attempt: u32) -> Duration {
    Duration::from_millis(100_u64.saturating_mul(4_u64.saturating_pow(attempt.saturating_sub(1))).min(5_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_shows_no_password() {
        let config = BitcoindConfig::with_password("http://me:hunter2@127.0.0.1:8332", "me", "hunter2");
        assert!(!format!("{config:?}").contains("hunter2"));
        let config = ElectrumConfig {
            proxy: Some("me:hunter2@127.0.0.1:9050".into()),
            ..ElectrumConfig::new("me:hunter2@x")
        };
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn an_address_with_a_password_is_refused_without_showing_it() {
        let config = BitcoindConfig::with_cookie("http://me:hunter2@127.0.0.1:8332", "/nowhere");
        let refusal = Bitcoind::connect(&config, Network::Regtest).unwrap_err();
        assert!(matches!(refusal, ChainError::Config(_)));
        assert!(!refusal.to_string().contains("hunter2"), "{refusal}");
    }

    #[test]
    fn configurations_survive_json() {
        let text =
            r#"{"kind":"bitcoind","url":"http://127.0.0.1:8332","credentials":{"user":"u","password":"p"}}"#;
        let SourceConfig::Bitcoind(config) = serde_json::from_str(text).unwrap() else { panic!() };
        assert_eq!((config.timeout_secs, config.attempts), (30, 4));
        let again: SourceConfig =
            serde_json::from_value(serde_json::to_value(SourceConfig::Bitcoind(config)).unwrap()).unwrap();
        let SourceConfig::Bitcoind(config) = again else { panic!() };
        assert_eq!(config.credentials.unwrap().password.expose(), "p");
    }

    #[test]
    fn pauses_grow_to_five_seconds() {
        let pauses: Vec<_> = (1..=5).map(|n| backoff(n).as_millis()).collect();
        assert_eq!(pauses, [100, 400, 1_600, 5_000, 5_000]);
    }
}
