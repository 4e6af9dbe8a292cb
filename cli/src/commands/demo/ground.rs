//! Where the demo takes place: the embedded chain, or a regtest node of one's own.

use std::thread::sleep;
use std::time::{Duration, Instant};

use bitcoin::{Address, Amount, BlockHash, Network, Script, ScriptBuf, Transaction, Txid};
use bitcoincore_rpc::{Client, RpcApi};
use tapstake_chain::{Bitcoind, ChainSource, Electrum, ElectrumConfig};
use tapstake_devnet::{Config, Devnet};
use tapstake_wallet::{Scan, Wallet};

use crate::error::{Error, Result};
use crate::live::{Source, SourceArgs};
use crate::session::Session;

/// Blocks that nobody needs pay to OP_TRUE in a witness script hash.
const NOBODY: &str = "00204ae81572f06e1b88fd5ced7a1a000945432e83e1551e6f721ee9c00b8cc33260";

/// A chain to mine on, and a source to see it by.
pub(crate) struct Ground {
    miner: Miner,
    source: Source,
    nobody: ScriptBuf,
}

enum Miner {
    Devnet(Devnet),
    /// A node, for mining and for what only a node broadcasts.
    Node {
        client: Client,
        node: Bitcoind,
    },
}

impl Ground {
    /// The embedded chain, seen through its Electrum server.
    pub(crate) fn embedded() -> Result<Self> {
        let devnet = Devnet::start(&Config::default())?;
        let source = Electrum::connect(&ElectrumConfig::new(devnet.electrum_url()), Network::Regtest)?;
        Self::new(Miner::Devnet(devnet), Source::Electrum(source))
    }

    /// A regtest node, seen by itself or through an Electrum server beside it.
    pub(crate) fn own(args: &SourceArgs, electrum: Option<&str>, session: &Session<'_>) -> Result<Self> {
        if session.network() != Network::Regtest {
            return Err(Error::usage("the demo mines, so it runs on regtest only"));
        }
        let Source::Bitcoind(node) = args.connect(session)? else {
            return Err(Error::usage("--source is an Electrum server, which mines no blocks").next(
                "give the regtest node as --source http://HOST:PORT, and the server as --electrum URL",
            ));
        };
        let client = node.rpc_client()?;
        let source = match electrum {
            Some(url) => Source::Electrum(Electrum::connect(&ElectrumConfig::new(url), Network::Regtest)?),
            None => match args.connect(session)? {
                Source::Bitcoind(node) => Source::Bitcoind(node),
                Source::Electrum(_) => unreachable!("the same arguments gave a node above"),
            },
        };
        Self::new(Miner::Node { client, node }, source)
    }

    fn new(miner: Miner, source: Source) -> Result<Self> {
        Ok(Ground { miner, source, nobody: ScriptBuf::from_hex(NOBODY)? })
    }

    pub(crate) fn describe(&self) -> &'static str {
        match (&self.miner, &self.source) {
            (Miner::Devnet(_), _) => "the embedded chain",
            (_, Source::Bitcoind(_)) => "a bitcoind on regtest",
            (_, Source::Electrum(_)) => "an Electrum server beside a bitcoind on regtest",
        }
    }

    pub(crate) fn source(&self) -> &dyn ChainSource {
        self.source.chain()
    }

    /// Mines blocks that pay nobody in particular.
    pub(crate) fn mine(&self, blocks: u32) -> Result<()> {
        self.mine_to(blocks, &self.nobody)
    }

    /// Mines blocks that pay `script`.
    pub(crate) fn mine_to(&self, blocks: u32, script: &Script) -> Result<()> {
        match &self.miner {
            Miner::Devnet(devnet) => devnet.mine_to(blocks, script).map(|_| ())?,
            Miner::Node { client, .. } => {
                let address = Address::from_script(script, Network::Regtest)?;
                let _: Vec<BlockHash> = client.generate_to_address(blocks.into(), &address)?;
            }
        }
        Ok(())
    }

    /// Waits until the source shows what was mined: an Electrum server follows its node a moment later.
    pub(crate) fn settle(&self) -> Result<()> {
        let Miner::Node { node, .. } = &self.miner else { return Ok(()) };
        let started = Instant::now();
        while self.source().tip()? != node.tip()? {
            if started.elapsed() > Duration::from_secs(60) {
                return Err(Error::failed("the Electrum server does not follow its node"));
            }
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Broadcasts a transaction that burns coins, as only a node does.
    pub(crate) fn broadcast_burning(&self, tx: &Transaction, burned: Amount) -> Result<Txid> {
        Ok(match &self.miner {
            Miner::Devnet(devnet) => devnet.broadcast_burning(tx, burned)?,
            Miner::Node { node, .. } => node.broadcast_presigned(tx, burned)?,
        })
    }

    pub(crate) fn sync(&self, wallet: &mut Wallet) -> Result<()> {
        match &self.source {
            Source::Electrum(server) => wallet.sync_electrum(server, Scan::Auto)?,
            Source::Bitcoind(node) => wallet.sync_bitcoind(node, |_| {})?,
        };
        Ok(())
    }
}
