//! `tapstake devnet`: the embedded chain, served to wallets over the Electrum protocol.

use std::io::BufRead;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use bitcoin::address::NetworkUnchecked;
use bitcoin::{Address, Amount, Denomination, Network, ScriptBuf};
use clap::Args;
use serde::Serialize;
use tapstake_devnet::{Config, Devnet};

use crate::error::{Context, Error, Result};
use crate::output::{Show, facts};
use crate::session::Session;

/// Run an embedded regtest chain with an Electrum server, until Ctrl-C
///
/// Blocks have real proof of work, scripts are checked by Bitcoin Core's interpreter, and nothing is kept when it
/// stops. Commands are read from stdin, one a line: `mine [BLOCKS]`, `fund ADDRESS BTC`, `tip`, `quit`.
#[derive(Debug, Args)]
pub(crate) struct DevnetArgs {
    /// Where the Electrum server listens; loopback only, port 0 for a free one
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDR:PORT")]
    listen: SocketAddr,
    /// Mine a block every so many seconds
    #[arg(long, value_name = "SECONDS")]
    mine_every: Option<f64>,
    /// Mine blocks at the start
    #[arg(long, default_value_t = 0, value_name = "BLOCKS")]
    mine: u32,
    /// Pay an address at the start, as ADDRESS:BTC, confirmed in a block of its own; repeatable
    #[arg(long, value_name = "ADDRESS:BTC")]
    fund: Vec<Payment>,
}

/// An amount of bitcoin to an address of regtest.
#[derive(Debug, Clone)]
struct Payment {
    script_pubkey: ScriptBuf,
    amount: Amount,
}

impl Payment {
    fn new(address: &str, amount: &str) -> Result<Self, String> {
        let parsed: Address<NetworkUnchecked> =
            address.parse().map_err(|e| format!("{address} is no address: {e}"))?;
        let other_network = |_| format!("{address} is an address of another network than regtest");
        let address = parsed.require_network(Network::Regtest).map_err(other_network)?;
        let amount = Amount::from_str_in(amount, Denomination::Bitcoin)
            .map_err(|e| format!("{amount} is no amount in BTC without a unit, such as 1.5: {e}"))?;
        Ok(Payment { script_pubkey: address.script_pubkey(), amount })
    }
}

impl FromStr for Payment {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let (address, amount) = s.rsplit_once(':').ok_or("not of the form ADDRESS:BTC")?;
        Payment::new(address, amount)
    }
}

/// What somebody asks for on stdin.
enum Request {
    Mine(u32),
    Fund(Payment),
    Tip,
    Quit,
}

impl FromStr for Request {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["mine"] => Ok(Request::Mine(1)),
            ["mine", blocks] => blocks.parse().map(Request::Mine).map_err(|e| format!("blocks to mine: {e}")),
            ["fund", address, amount] => Payment::new(address, amount).map(Request::Fund),
            ["tip"] => Ok(Request::Tip),
            ["quit" | "exit"] => Ok(Request::Quit),
            _ => Err(format!("{line:?} is none of: mine [BLOCKS], fund ADDRESS BTC, tip, quit")),
        }
    }
}

#[derive(Serialize)]
struct Running {
    network: &'static str,
    electrum: String,
    height: u32,
}

impl Show for Running {
    fn text(&self) -> String {
        facts([
            ("electrum server", self.electrum.clone()),
            ("network", self.network.to_owned()),
            ("height", self.height.to_string()),
        ])
    }
}

#[derive(Serialize)]
struct Answer {
    height: u32,
    hash: bitcoin::BlockHash,
    #[serde(skip_serializing_if = "Option::is_none")]
    txid: Option<bitcoin::Txid>,
}

impl Show for Answer {
    fn text(&self) -> String {
        let paid = self.txid.map(|txid| format!("paid in {txid}, confirmed; ")).unwrap_or_default();
        format!("{paid}height {}, block {}", self.height, self.hash)
    }
}

pub(crate) fn run(args: &DevnetArgs, session: &Session<'_>) -> Result<()> {
    let out = session.out;
    let devnet = Devnet::start(&Config { listen: args.listen, ..Config::default() })
        .next("give another --listen address: a free port of 127.0.0.1")?;
    devnet.mine(args.mine)?;
    for payment in &args.fund {
        pay(&devnet, payment)?;
    }
    if let Some(seconds) = args.mine_every {
        let interval = Duration::try_from_secs_f64(seconds).ok().filter(|interval| !interval.is_zero());
        let interval = interval
            .ok_or_else(|| Error::usage(format!("--mine-every {seconds} is no number of seconds above 0")))?;
        devnet.set_automine(Some(interval))?;
    }
    out.show(&Running { network: "regtest", electrum: devnet.electrum_url(), height: devnet.tip().height });
    out.note("reading commands from stdin: mine [BLOCKS], fund ADDRESS BTC, tip, quit");
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let answered = match line.parse::<Request>() {
            Ok(Request::Quit) => return Ok(()),
            Ok(request) => answer(&devnet, &request),
            Err(message) => Err(Error::failed(message)),
        };
        match answered {
            Ok(answer) => out.show(&answer),
            // One bad line does not end the chain that others are using.
            Err(error) => drop(out.fail(&error)),
        }
    }
    // Nobody types any more, but wallets are still served.
    loop {
        std::thread::park();
    }
}

fn answer(devnet: &Devnet, request: &Request) -> Result<Answer> {
    let txid = match request {
        Request::Mine(blocks) => {
            devnet.mine(*blocks)?;
            None
        }
        Request::Fund(payment) => Some(pay(devnet, payment)?),
        Request::Tip | Request::Quit => None,
    };
    let tip = devnet.tip();
    Ok(Answer { height: tip.height, hash: tip.hash, txid })
}

fn pay(devnet: &Devnet, payment: &Payment) -> Result<bitcoin::Txid> {
    let txid = devnet.fund(&payment.script_pubkey, payment.amount)?;
    devnet.mine(1)?;
    Ok(txid)
}
