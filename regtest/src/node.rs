use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use bitcoin::hashes::{Hash, HashEngine, Hmac, HmacEngine, sha256};
use bitcoin::{Network, OutPoint};
use bitcoincore_rpc::{Client, RpcApi, jsonrpc};
use serde_json::Value;

use crate::daemon::{Daemon, Folder, free_port};
use crate::{Error, bitcoind_exe};

/// The user every node knows besides the cookie file's.
pub const RPC_USER: &str = "tapstake";
/// That user's password: no secret, the node listens on 127.0.0.1 and its coins are worth nothing.
pub const RPC_PASSWORD: &str = "regtest";

/// A loaded machine takes its time to start a node.
const START_LIMIT: Duration = Duration::from_secs(120);
/// Generous, since the RPC client sends a call a second time when it hears nothing: blocks would be mined twice.
const CALL_LIMIT: Duration = Duration::from_secs(600);
/// For one question while the node starts.
const FIRST_ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// How often another free port is tried.
const PORT_ATTEMPTS: usize = 5;

/// How a node is to be started.
#[derive(Debug, Clone)]
pub struct Builder {
    network: Network,
    indexes: bool,
    args: Vec<String>,
    folder: Option<PathBuf>,
    rpc_port: Option<u16>,
}

impl Builder {
    /// Makes the chain a signet of one's own (challenge `OP_TRUE`: anyone may mine) in place of regtest.
    ///
    /// Real signet difficulty rules: a block takes one to two seconds to mine.
    #[must_use]
    pub fn signet(mut self) -> Self {
        self.network = Network::Signet;
        self
    }

    /// Leaves out `-txindex` and `-txospenderindex`, which ElectrumX and pruning need on and off, in this order.
    #[must_use]
    pub fn without_indexes(mut self) -> Self {
        self.indexes = false;
        self
    }

    /// Adds an argument of bitcoind, such as `-prune=550`; the last of several wins, over ours as well.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Keeps the data in this folder (made if missing) in place of a temporary one.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Serves RPC on this port of 127.0.0.1 in place of a free one.
    #[must_use]
    pub fn rpc_port(mut self, port: u16) -> Self {
        self.rpc_port = Some(port);
        self
    }

    /// Starts the node and waits until it answers.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] without a bitcoind, [`Error::Exited`] with the log's end if the node does not stand,
    /// [`Error::PortTaken`] if the port asked for is not free, [`Error::Timeout`] if it does not answer within two minutes.
    pub fn start(self) -> Result<Bitcoind, Error> {
        let program = bitcoind_exe()?;
        let folder = Folder::new(self.folder.as_deref(), "tapstake-bitcoind-")?;
        let mut attempts = if self.rpc_port.is_some() { 1 } else { PORT_ATTEMPTS };
        loop {
            attempts -= 1;
            let port = self.rpc_port.map_or_else(free_port, Ok)?;
            match self.launch(&program, &folder, port) {
                Err(Error::PortTaken { .. }) if attempts > 0 => {}
                started => {
                    let (daemon, client) = started?;
                    let change = Mutex::new(None);
                    return Ok(Bitcoind { daemon, client, program, port, builder: self, folder, change });
                }
            }
        }
    }

    fn launch(&self, program: &Path, folder: &Folder, port: u16) -> Result<(Daemon, Client), Error> {
        let mut command = Command::new(program);
        command.args(match self.network {
            Network::Signet => &["-signet", "-signetchallenge=51"][..],
            _ => &["-regtest"],
        });
        // Alone in the world: nobody to talk to, nobody to listen to.
        command.args(["-listen=0", "-dnsseed=0", "-fixedseeds=0", "-natpmp=0", "-printtoconsole=1"]);
        command.arg(format!("-datadir={}", folder.path().display()));
        command.args(["-server=1", "-rpcbind=127.0.0.1", "-rpcallowip=127.0.0.1"]);
        command.arg(format!("-rpcport={port}")).arg(rpc_auth(RPC_USER, RPC_PASSWORD));
        if self.indexes {
            command.args(["-txindex=1", "-txospenderindex=1"]);
        }
        command.args(&self.args);

        let daemon = Daemon::spawn(program, command, folder, "bitcoind.log")?;
        // Whoever has taken the port may listen and never answer.
        let impatient = client_with(port, FIRST_ANSWER_LIMIT);
        let ready = daemon.wait_for("bitcoind to answer", START_LIMIT, || {
            // Another node might have taken the port and answer there: the log file's place tells ours.
            let info = impatient.call::<Value>("getrpcinfo", &[]).unwrap_or_default();
            let ours =
                info["logpath"].as_str().is_some_and(|path| Path::new(path).starts_with(folder.path()));
            Ok(ours.then_some(()))
        });
        match ready {
            Err(Error::Exited { log, .. }) if log.contains("Unable to bind") => {
                Err(Error::PortTaken { program: program.to_owned(), log })
            }
            other => other.map(|()| (daemon, client_with(port, CALL_LIMIT))),
        }
    }
}

/// A running node. Dropping it stops it; a temporary folder goes with it.
#[derive(Debug)]
pub struct Bitcoind {
    // Before the folder: dropped, that is stopped, first.
    daemon: Daemon,
    client: Client,
    program: PathBuf,
    port: u16,
    builder: Builder,
    folder: Folder,
    /// The faucet's last change, while it is unconfirmed.
    pub(crate) change: Mutex<Option<OutPoint>>,
}

impl Bitcoind {
    /// A regtest node with all indexes on a free port, its data in a temporary folder.
    ///
    /// # Errors
    ///
    /// As [`Builder::start`].
    pub fn start() -> Result<Self, Error> {
        Self::builder().start()
    }

    /// The same, with choices.
    pub fn builder() -> Builder {
        Builder { network: Network::Regtest, indexes: true, args: Vec::new(), folder: None, rpc_port: None }
    }

    /// The RPC client, for calls this crate has no method for.
    pub fn rpc(&self) -> &Client {
        &self.client
    }

    /// Regtest or signet.
    pub fn network(&self) -> Network {
        self.builder.network
    }

    /// Where RPC is served: `http://127.0.0.1:PORT`.
    pub fn rpc_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Where RPC is served, with user and password inside, as ElectrumX takes it.
    pub fn rpc_url_with_password(&self) -> String {
        format!("http://{RPC_USER}:{RPC_PASSWORD}@127.0.0.1:{}", self.port)
    }

    /// The port of [`Self::rpc_url`].
    pub fn rpc_port(&self) -> u16 {
        self.port
    }

    /// The file with the node's own password; another one after every start.
    pub fn cookie_file(&self) -> PathBuf {
        self.folder.path().join(chain_folder(self.network())).join(".cookie")
    }

    /// The node's data folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What the node says of itself.
    pub fn log_file(&self) -> &Path {
        self.daemon.log()
    }

    /// Which bitcoind runs.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Stops the node in good order and starts it again on the same port and data, with a new cookie.
    ///
    /// # Errors
    ///
    /// As [`Builder::start`].
    pub fn restart(&mut self) -> Result<(), Error> {
        self.daemon.stop()?;
        let (daemon, client) = self.builder.launch(&self.program, &self.folder, self.port)?;
        self.daemon = daemon;
        self.client = client;
        Ok(())
    }

    /// Stops the node in good order. It answers no more, until [`Self::restart`].
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the operating system cannot tell how the process ended.
    pub fn stop(&mut self) -> Result<(), Error> {
        self.daemon.stop().map(drop)
    }
}

fn chain_folder(network: Network) -> &'static str {
    match network {
        Network::Signet => "signet",
        _ => "regtest",
    }
}

fn client_with(port: u16, timeout: Duration) -> Client {
    let transport = jsonrpc::http::simple_http::Builder::new()
        .url(&format!("127.0.0.1:{port}"))
        .expect("an address and a port are a valid URL")
        .auth(RPC_USER, Some(RPC_PASSWORD))
        .timeout(timeout)
        .build();
    Client::from_jsonrpc(jsonrpc::Client::with_transport(transport))
}

/// bitcoind's `-rpcauth`: a user besides the cookie's, whose password it knows by an HMAC-SHA256 keyed with a salt.
fn rpc_auth(user: &str, password: &str) -> String {
    const SALT: &str = "7461707374616b65";
    let mut engine = HmacEngine::<sha256::Hash>::new(SALT.as_bytes());
    engine.input(password.as_bytes());
    let hash = Hmac::<sha256::Hash>::from_engine(engine);
    format!("-rpcauth={user}:{SALT}${hash}")
}
