//! Where live commands get the chain, the wallet and secrets from.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use bitcoin::Network;
use clap::Args;
use tapstake_chain::{
    Bitcoind, BitcoindConfig, ChainSource, Credentials, Electrum, ElectrumConfig, Secret, SourceConfig,
};
use tapstake_wallet::{Passphrase, Scan, SecretText, Signer, SyncReport, Wallet, WalletError};
use zeroize::Zeroizing;

use crate::error::{Context, Error, Result};
use crate::file;
use crate::network::NetworkName;
use crate::session::Session;

/// A chain source, as typed or from the environment.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Chain source")]
pub(crate) struct SourceArgs {
    /// Electrum server (tcp://HOST:PORT, ssl://HOST:PORT) or bitcoind (http://HOST:PORT)
    #[arg(long, env = "TAPSTAKE_SOURCE", value_name = "URL")]
    pub(crate) source: Option<String>,
    /// The bitcoind's cookie file [default: the one in ~/.bitcoin]
    #[arg(long, env = "TAPSTAKE_COOKIE_FILE", value_name = "FILE")]
    cookie_file: Option<PathBuf>,
    /// The bitcoind's RPC user, instead of a cookie file
    #[arg(long, env = "TAPSTAKE_RPC_USER", value_name = "USER", requires = "rpc_password_file")]
    rpc_user: Option<String>,
    /// File with the RPC password, - for stdin
    #[arg(long, env = "TAPSTAKE_RPC_PASSWORD_FILE", value_name = "FILE", requires = "rpc_user")]
    rpc_password_file: Option<PathBuf>,
    /// SOCKS5 proxy for the Electrum server, such as Tor's
    #[arg(long, env = "TAPSTAKE_PROXY", value_name = "HOST:PORT")]
    proxy: Option<String>,
    /// Take any TLS certificate from the Electrum server
    #[arg(long)]
    accept_any_certificate: bool,
}

/// A connected chain source, by its kind: syncing a wallet differs.
pub(crate) enum Source {
    Bitcoind(Bitcoind),
    Electrum(Electrum),
}

impl SourceArgs {
    /// Connects to what is typed, else to what the environment or the configuration file says.
    pub(crate) fn connect(&self, session: &Session<'_>) -> Result<Source> {
        let network = session.network();
        let config = match (&self.source, &session.settings.source) {
            (Some(url), _) => self.config(url, network)?,
            (None, Some(config)) => config.clone(),
            (None, None) => {
                return Err(Error::usage("no chain source").next(
                    "give --source tcp://HOST:PORT (Electrum) or --source http://HOST:PORT (bitcoind); \
                     tapstake devnet starts an embedded chain",
                ));
            }
        };
        Ok(match &config {
            SourceConfig::Bitcoind(config) => Source::Bitcoind(Bitcoind::connect(config, network)?),
            SourceConfig::Electrum(config) => Source::Electrum(Electrum::connect(config, network)?),
        })
    }

    fn config(&self, url: &str, network: Network) -> Result<SourceConfig> {
        if url.starts_with("http://") {
            let mut config = BitcoindConfig::with_cookie(url, PathBuf::new());
            config.cookie_file = None;
            match (&self.rpc_user, &self.rpc_password_file) {
                (Some(user), Some(file)) => {
                    let password = secret_text(file, "RPC password")?;
                    config.credentials =
                        Some(Credentials { user: user.clone(), password: Secret::new(password.as_str()) });
                }
                _ => {
                    config.cookie_file =
                        Some(self.cookie_file.clone().map_or_else(|| default_cookie(network), Ok)?);
                }
            }
            return Ok(SourceConfig::Bitcoind(config));
        }
        let mut config = ElectrumConfig::new(url);
        config.proxy.clone_from(&self.proxy);
        config.accept_any_certificate = self.accept_any_certificate;
        Ok(SourceConfig::Electrum(config))
    }
}

impl Source {
    /// The source as the trait that every command works with.
    pub(crate) fn chain(&self) -> &dyn ChainSource {
        match self {
            Source::Bitcoind(node) => node,
            Source::Electrum(server) => server,
        }
    }

    /// Brings a wallet up to the tip.
    pub(crate) fn sync(&self, session: &Session<'_>, wallet: &mut Wallet, scan: Scan) -> Result<SyncReport> {
        let report = match self {
            Source::Electrum(server) => {
                let bar = session.out.progress(None, "syncing wallet");
                let report = wallet.sync_electrum(server, scan);
                bar.finish_and_clear();
                report
            }
            Source::Bitcoind(node) => {
                let bar = session.out.progress(Some(0), "reading blocks");
                let report = wallet.sync_bitcoind(node, |progress| {
                    bar.set_length(progress.tip.into());
                    bar.set_position(progress.height.into());
                });
                bar.finish_and_clear();
                report
            }
        };
        Ok(report?)
    }
}

/// Where bitcoind writes its cookie when it is told nothing else.
fn default_cookie(network: Network) -> Result<PathBuf> {
    let home =
        std::env::var_os("HOME").ok_or_else(|| Error::usage("HOME is not set").next("give --cookie-file"))?;
    let folder = match network {
        Network::Bitcoin => "",
        Network::Testnet => "testnet3",
        Network::Testnet4 => "testnet4",
        Network::Signet => "signet",
        _ => "regtest",
    };
    Ok(PathBuf::from(home).join(".bitcoin").join(folder).join(".cookie"))
}

/// A secret's text from a file, or from stdin for `-`, without the white space around it.
pub(crate) fn secret_text(path: &Path, what: &str) -> Result<Zeroizing<String>> {
    let (bytes, name) = if path == Path::new("-") {
        let stdin = std::io::stdin();
        if stdin.is_terminal() {
            let typed = rpassword::prompt_password(format!("{what}: ")).map(Zeroizing::new)?;
            return Ok(Zeroizing::new(typed.trim().to_owned()));
        }
        (file::read_stdin(MAX_SECRET).context(what)?, "stdin".to_owned())
    } else {
        (file::read(path, MAX_SECRET).context(what)?, path.display().to_string())
    };
    let bytes = Zeroizing::new(bytes);
    let text = std::str::from_utf8(&bytes);
    let text = text.map_err(|_| Error::rule("file", format!("{what}: {name} is no text")))?;
    Ok(Zeroizing::new(text.trim().to_owned()))
}

/// More than any mnemonic, descriptor or list of keys takes.
const MAX_SECRET: u64 = 64 * 1024;

/// The folder of everything on one network: wallets and stakes.
pub(crate) fn network_dir(session: &Session<'_>) -> Result<PathBuf> {
    Ok(session.settings.data_dir()?.join(NetworkName::from(session.network()).to_string()))
}

/// Which wallet, and what its signer needs.
#[derive(Debug, Clone, Args)]
pub(crate) struct WalletArgs {
    /// The wallet's name
    #[arg(long, default_value = "default", env = "TAPSTAKE_WALLET", value_name = "NAME", value_parser = wallet_name)]
    pub(crate) wallet: String,
    /// File with the BIP-0039 passphrase of the wallet's mnemonic, - to be asked for it
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
}

fn wallet_name(name: &str) -> Result<String, String> {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if name.is_empty() || name.len() > 64 || !plain {
        return Err("a wallet's name has 1 to 64 letters, digits, - or _".to_owned());
    }
    Ok(name.to_owned())
}

impl WalletArgs {
    /// The wallet's folder.
    pub(crate) fn folder(&self, session: &Session<'_>) -> Result<PathBuf> {
        Ok(network_dir(session)?.join("wallets").join(&self.wallet))
    }

    /// Opens the wallet.
    pub(crate) fn open(&self, session: &Session<'_>) -> Result<Wallet> {
        Wallet::open(&self.folder(session)?, session.network()).map_err(|error| match error {
            WalletError::NoWallet(ref folder) if folder.join("seed.json").exists() => Error::from(error).next(
                "its seed.json is there: move the folder away, make the wallet again from the words in that file \
                 (tapstake wallet create --mnemonic-file FILE), then tapstake wallet sync --full",
            ),
            WalletError::NoWallet(_) => {
                Error::from(error).next(format!("make it: tapstake wallet create --wallet {}", self.wallet))
            }
            other => other.into(),
        })
    }

    /// The wallet's signer, with its passphrase if it has one.
    pub(crate) fn signer(&self, wallet: &Wallet) -> Result<Signer> {
        let passphrase = match &self.passphrase_file {
            Some(path) => Passphrase::new(secret_text(path, "passphrase")?.to_string()),
            None => None,
        };
        wallet.signer(passphrase.as_ref()).map_err(|error| match error {
            WalletError::PassphraseNeeded => Error::from(error).next("give --passphrase-file, - to be asked"),
            other => other.into(),
        })
    }
}

/// A descriptor or mnemonic that is kept out of messages.
pub(crate) fn wiped(text: &Zeroizing<String>) -> SecretText {
    SecretText::new(text.to_string())
}

/// Warns, and asks, before coins of mainnet move.
pub(crate) fn guard_mainnet(session: &Session<'_>, action: &str) -> Result<()> {
    if session.network() != Network::Bitcoin {
        return Ok(());
    }
    session.out.warn("this is MAINNET: real bitcoin, and nobody can undo what is broadcast");
    session.out.confirm(&format!("{action} on mainnet?"))
}
