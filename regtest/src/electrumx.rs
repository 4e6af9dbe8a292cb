use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
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

/// A running Electrum server on a [`Bitcoind`] with indexes. Dropping it stops it.
///
/// It outlives its node only as a server without one: drop it first.
#[derive(Debug)]
pub struct ElectrumX {
    // Before the folder: dropped, that is stopped, first.
    daemon: Daemon,
    folder: Folder,
    port: u16,
}

impl ElectrumX {
    /// Starts a server on a free port, its data in a temporary folder, and waits until it has caught up with the node.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] without an ElectrumX, [`Error::Exited`] with the log's end if it does not stand,
    /// [`Error::Timeout`] if it does not catch up.
    pub fn start(node: &Bitcoind) -> Result<Self, Error> {
        Self::start_in(node, None, None)
    }

    /// The same with its data in a given folder, to be kept, and on a given port.
    ///
    /// # Errors
    ///
    /// As [`Self::start`].
    pub fn start_in(node: &Bitcoind, folder: Option<&Path>, port: Option<u16>) -> Result<Self, Error> {
        let program = electrumx_exe()?;
        let folder = Folder::new(folder, "tapstake-electrumx-")?;
        let mut attempts = if port.is_some() { 1 } else { PORT_ATTEMPTS };
        loop {
            attempts -= 1;
            let tcp = port.map_or_else(free_port, Ok)?;
            match launch(&program, node, &folder, tcp) {
                // Somebody was faster to take one of the ports.
                Err(Error::Exited { log, .. }) if attempts > 0 && log.contains("address already in use") => {}
                started => {
                    let mut server = Self { daemon: started?, folder, port: tcp };
                    server.sync(node)?;
                    return Ok(server);
                }
            }
        }
    }

    /// Where it serves, as Electrum clients write it: `tcp://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.port)
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
    pub fn sync(&mut self, node: &Bitcoind) -> Result<(), Error> {
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
    pub fn wait_for_height(&mut self, height: u32) -> Result<(), Error> {
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
    pub fn wait_for_transaction(&mut self, script_pubkey: &Script, txid: Txid) -> Result<(), Error> {
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

fn launch(program: &Path, node: &Bitcoind, folder: &Folder, port: u16) -> Result<Daemon, Error> {
    let rpc = free_port()?;
    let mut command = Command::new(program);
    command
        .env("COIN", "Bitcoin")
        .env("NET", if node.network() == Network::Signet { "signet" } else { "regtest" })
        .env("DB_ENGINE", "leveldb")
        .env("DB_DIRECTORY", folder.path())
        .env("DAEMON_URL", node.rpc_url_with_password())
        .env("SERVICES", format!("tcp://127.0.0.1:{port},rpc://127.0.0.1:{rpc}"))
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
    let mut daemon = Daemon::spawn(program, command, folder, "electrumx.log")?;
    daemon.wait_for("ElectrumX to serve", START_LIMIT, || Ok(tip(port).ok()))?;
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
