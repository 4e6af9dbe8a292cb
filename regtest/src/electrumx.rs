use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bitcoin::block::Header;
use bitcoin::consensus::encode::deserialize_hex;
use bitcoin::hashes::{Hash, sha256};
use bitcoin::{BlockHash, Network, Script, Txid};
use serde_json::{Value, json};

use crate::daemon::{Daemon, Folder, free_port};
use crate::{Bitcoind, Error, electrumx_exe};

const START_LIMIT: Duration = Duration::from_secs(120);
/// A thousand blocks take it seconds; a loaded machine takes several times that.
const SYNC_LIMIT: Duration = Duration::from_secs(180);
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
const PORT_ATTEMPTS: usize = 5;

/// How a server is to be started.
#[derive(Debug, Clone, Default)]
pub struct ElectrumXBuilder {
    folder: Option<PathBuf>,
    port: Option<u16>,
    tls: bool,
}

impl ElectrumXBuilder {
    /// Keeps the data in this folder (made if missing) in place of a temporary one.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Serves on this port of 127.0.0.1 in place of a free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Serves TLS besides plain TCP, with a certificate of its own making: needs the program `openssl`.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Starts the server and waits until it has caught up with the node.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] without an ElectrumX, [`Error::Exited`] with the log's end if it does not stand,
    /// [`Error::PortTaken`] if the port asked for is not free, [`Error::Timeout`] if it does not catch up.
    pub fn start(self, node: &Bitcoind) -> Result<ElectrumX, Error> {
        let program = electrumx_exe()?;
        let folder = Folder::new(self.folder.as_deref(), "tapstake-electrumx-")?;
        let certificate = if self.tls { Some(certificate(folder.path())?) } else { None };
        let mut attempts = if self.port.is_some() { 1 } else { PORT_ATTEMPTS };
        loop {
            attempts -= 1;
            let port = self.port.map_or_else(free_port, Ok)?;
            let tls_port = if self.tls { Some(free_port()?) } else { None };
            match launch(&program, node, &folder, port, tls_port.zip(certificate.as_ref())) {
                Err(Error::PortTaken { .. }) if attempts > 0 => {}
                started => {
                    let server = ElectrumX { daemon: started?, folder, port, tls_port };
                    server.sync(node)?;
                    return Ok(server);
                }
            }
        }
    }
}

/// A running Electrum server on a [`Bitcoind`] with indexes. Dropping it stops it.
///
/// Drop it before its node: a server without one only complains.
#[derive(Debug)]
pub struct ElectrumX {
    // Before the folder: dropped, that is stopped, first.
    daemon: Daemon,
    folder: Folder,
    port: u16,
    tls_port: Option<u16>,
}

impl ElectrumX {
    /// A server on a free port, its data in a temporary folder, that has caught up with the node.
    ///
    /// # Errors
    ///
    /// As [`ElectrumXBuilder::start`].
    pub fn start(node: &Bitcoind) -> Result<Self, Error> {
        Self::builder().start(node)
    }

    /// The same, with choices.
    pub fn builder() -> ElectrumXBuilder {
        ElectrumXBuilder::default()
    }

    /// Where it serves, as Electrum clients write it: `tcp://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.port)
    }

    /// Where it serves TLS, if asked to: `ssl://127.0.0.1:PORT`. Its certificate is signed by nobody.
    pub fn tls_url(&self) -> Option<String> {
        self.tls_port.map(|port| format!("ssl://127.0.0.1:{port}"))
    }

    /// The port of [`Self::url`].
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's data folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What the server says of itself.
    pub fn log_file(&self) -> &Path {
        self.daemon.log()
    }

    /// Waits until the server's tip is the node's.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`], or [`Error::Exited`] if the server has ended.
    pub fn sync(&self, node: &Bitcoind) -> Result<(), Error> {
        let port = self.port;
        let best = node.best_block_hash()?;
        self.daemon.wait_for(&format!("ElectrumX to reach block {best}"), SYNC_LIMIT, || {
            Ok(tip(port).ok().filter(|(_, hash)| *hash == best).map(drop))
        })
    }

    /// Waits until the server's tip is at least this high.
    ///
    /// # Errors
    ///
    /// As [`Self::sync`].
    pub fn wait_for_height(&self, height: u32) -> Result<(), Error> {
        let port = self.port;
        self.daemon.wait_for(&format!("ElectrumX to reach height {height}"), SYNC_LIMIT, || {
            Ok(tip(port).ok().filter(|(reached, _)| *reached >= height).map(drop))
        })
    }

    /// Waits until the server knows a transaction, confirmed or not, as one that touches a script.
    ///
    /// # Errors
    ///
    /// As [`Self::sync`].
    pub fn wait_for_transaction(&self, script_pubkey: &Script, txid: Txid) -> Result<(), Error> {
        let port = self.port;
        // The Electrum protocol's name of a script: its SHA-256, printed in reverse.
        let mut hash = sha256::Hash::hash(script_pubkey.as_bytes()).to_byte_array();
        hash.reverse();
        let script_hash = bitcoin::hex::DisplayHex::to_lower_hex_string(&hash[..]);
        self.daemon.wait_for(&format!("ElectrumX to know transaction {txid}"), SYNC_LIMIT, || {
            let Ok(history) = call(port, "blockchain.scripthash.get_history", &[json!(script_hash)]) else {
                return Ok(None);
            };
            let known = history.as_array().is_some_and(|items| {
                items.iter().any(|item| item["tx_hash"].as_str() == Some(&txid.to_string()))
            });
            Ok(known.then_some(()))
        })
    }

    /// Any call of the Electrum protocol, on a connection of its own.
    ///
    /// # Errors
    ///
    /// [`Error::UnexpectedAnswer`] with the server's error, [`Error::Io`] if it cannot be reached.
    pub fn call(&self, method: &str, params: &[Value]) -> Result<Value, Error> {
        call(self.port, method, params)
    }

    /// Stops the server in good order.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the operating system cannot tell how the process ended.
    pub fn stop(&mut self) -> Result<(), Error> {
        self.daemon.stop().map(drop)
    }
}

/// A self-signed certificate for 127.0.0.1 and its key.
struct Certificate {
    certificate: PathBuf,
    key: PathBuf,
}

fn certificate(folder: &Path) -> Result<Certificate, Error> {
    let made = Certificate { certificate: folder.join("certificate.pem"), key: folder.join("key.pem") };
    let output = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "30",
        ])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout"])
        .arg(&made.key)
        .arg("-out")
        .arg(&made.certificate)
        .output()
        .map_err(|source| Error::Spawn { program: "openssl".into(), source })?;
    if !output.status.success() {
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(Error::Exited { program: "openssl".into(), status: output.status, log });
    }
    Ok(made)
}

fn launch(
    program: &Path,
    node: &Bitcoind,
    folder: &Folder,
    port: u16,
    tls: Option<(u16, &Certificate)>,
) -> Result<Daemon, Error> {
    let mut services = format!("tcp://127.0.0.1:{port}");
    let mut command = Command::new(program);
    if let Some((port, made)) = tls {
        services.push_str(&format!(",ssl://127.0.0.1:{port}"));
        command.env("SSL_CERTFILE", &made.certificate).env("SSL_KEYFILE", &made.key);
    }
    command
        .env("COIN", "Bitcoin")
        .env("NET", if node.network() == Network::Signet { "signet" } else { "regtest" })
        .env("DB_ENGINE", "leveldb")
        .env("DB_DIRECTORY", folder.path())
        .env("DAEMON_URL", node.rpc_url_with_password())
        .env("SERVICES", &services)
        .env("PEER_DISCOVERY", "off")
        .env("PEER_ANNOUNCE", "")
        // No limits on clients: the only one is the test.
        .env("COST_SOFT_LIMIT", "0")
        .env("COST_HARD_LIMIT", "0")
        // Milliseconds between two looks at the node.
        .env("DAEMON_POLL_INTERVAL_BLOCKS", "200")
        .env("DAEMON_POLL_INTERVAL_MEMPOOL", "200")
        .env("CACHE_MB", "64")
        .env("ALLOW_ROOT", "1");
    let daemon = Daemon::spawn(program, command, folder, "electrumx.log")?;
    let ports = services.split(',').count();
    daemon.wait_for("ElectrumX to serve", START_LIMIT, || {
        // Its own log says whether the ports are its own: another server might answer on them.
        let log = daemon.log_text();
        if let Some(line) = log.lines().find(|line| line.contains("failed to listen")) {
            return Err(Error::PortTaken { program: program.to_owned(), log: line.to_owned() });
        }
        Ok((log.matches("server listening on").count() == ports).then_some(()))
    })?;
    Ok(daemon)
}

/// Height and hash of the server's best block.
fn tip(port: u16) -> Result<(u32, BlockHash), Error> {
    let method = "blockchain.headers.subscribe";
    let answer = call(port, method, &[])?;
    let height = answer["height"].as_u64().and_then(|height| u32::try_from(height).ok());
    let header = answer["hex"].as_str().and_then(|hex| deserialize_hex::<Header>(hex).ok());
    height
        .zip(header.map(|header| header.block_hash()))
        .ok_or_else(|| Error::UnexpectedAnswer { method: method.to_owned(), answer: answer.to_string() })
}

/// One call on a fresh connection: a line out, a line back. The protocol wants the versions settled first.
fn call(port: u16, method: &str, params: &[Value]) -> Result<Value, Error> {
    let doing = || Error::io(format!("asking ElectrumX for {method}"));
    let stream = TcpStream::connect(("127.0.0.1", port)).map_err(doing())?;
    stream.set_read_timeout(Some(ANSWER_LIMIT)).map_err(doing())?;
    stream.set_nodelay(true).map_err(doing())?;
    let mut reader = BufReader::new(stream.try_clone().map_err(doing())?);
    let mut writer = stream;

    let mut ask = |id: u64, method: &str, params: Value| {
        let mut line = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string();
        line.push('\n');
        writer.write_all(line.as_bytes()).map_err(doing())?;
        let unexpected = |answer: &str| Error::UnexpectedAnswer {
            method: method.to_owned(),
            answer: answer.trim().to_owned(),
        };
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).map_err(doing())? == 0 {
                return Err(unexpected("connection closed"));
            }
            let mut answer: Value = serde_json::from_str(&line).map_err(|_| unexpected(&line))?;
            // Notifications come in between; they carry no id.
            if answer["id"].as_u64() != Some(id) {
                continue;
            }
            return match answer.get_mut("result") {
                Some(result) => Ok(result.take()),
                None => Err(unexpected(&line)),
            };
        }
    };
    ask(0, "server.version", json!(["tapstake-regtest", ["1.4", "1.6"]]))?;
    ask(1, method, json!(params))
}
