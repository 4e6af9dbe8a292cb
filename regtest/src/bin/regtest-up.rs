//! Starts bitcoind and ElectrumX for a person and keeps them until Ctrl-C. Run by `regtest/up.sh`.
#![forbid(unsafe_code)]

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc;

use bitcoin::constants::COINBASE_MATURITY;
use clap::{Parser, ValueEnum};
use tapstake_regtest::{Bitcoind, ElectrumX, RPC_PASSWORD, RPC_USER, anyone_can_spend};

/// Starts a bitcoind and an ElectrumX of your own, and stops both at Ctrl-C.
#[derive(Debug, Parser)]
#[command(name = "up.sh")]
struct Arguments {
    /// The chain: regtest mines at once, a signet of your own has real difficulty rules (1 to 2 s a block)
    #[arg(long, value_enum, default_value_t = Chain::Regtest)]
    chain: Chain,
    /// Keep the data in this folder; without it, they are in a temporary one and gone afterwards
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Port for bitcoind's RPC, by default a free one
    #[arg(long)]
    rpc_port: Option<u16>,
    /// Port for the Electrum protocol, by default a free one
    #[arg(long)]
    electrum_port: Option<u16>,
    /// Mine up to this height at the start; with more than 100, the first reward can be spent
    #[arg(long, default_value_t = 101)]
    blocks: u32,
    /// Start bitcoind only
    #[arg(long)]
    no_electrum: bool,
    /// Further arguments of bitcoind, after `--`
    #[arg(last = true)]
    bitcoind_arguments: Vec<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Chain {
    Regtest,
    Signet,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint!("error: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                eprint!(": {error}");
                cause = error.source();
            }
            eprintln!();
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    // Before the daemons: Ctrl-C while they start ends this process, and their watchdogs stop them.
    let (stop, stopped) = mpsc::channel();
    let mut builder = Bitcoind::builder();
    if matches!(arguments.chain, Chain::Signet) {
        builder = builder.signet();
    }
    if let Some(folder) = &arguments.folder {
        builder = builder.folder(folder.join("bitcoind"));
    }
    if let Some(port) = arguments.rpc_port {
        builder = builder.rpc_port(port);
    }
    for argument in &arguments.bitcoind_arguments {
        builder = builder.arg(argument);
    }
    eprintln!("starting bitcoind");
    let node = builder.start()?;
    let address = anyone_can_spend(node.network());
    if node.height()? == 0 && arguments.blocks > COINBASE_MATURITY {
        node.stock_faucet()?;
    }
    let height = node.height()?;
    if height < arguments.blocks {
        eprintln!("mining {} blocks", arguments.blocks - height);
        node.mine(arguments.blocks - height, &address)?;
    }
    let electrum = if arguments.no_electrum {
        None
    } else {
        eprintln!("starting ElectrumX");
        let mut builder = ElectrumX::builder();
        if let Some(folder) = &arguments.folder {
            builder = builder.folder(folder.join("electrumx"));
        }
        if let Some(port) = arguments.electrum_port {
            builder = builder.port(port);
        }
        Some(builder.start(&node)?)
    };
    ctrlc::set_handler(move || {
        // A second signal finds the receiver gone: we are stopping already.
        let _ = stop.send(());
    })?;

    println!("network   {}, height {}", node.network(), node.height()?);
    if let Some(electrum) = &electrum {
        println!("electrum  {}", electrum.url());
    }
    println!("rpc       {}", node.rpc_url());
    println!("cookie    {}", node.cookie_file().display());
    println!("or user   {RPC_USER}, password {RPC_PASSWORD}");
    println!("data      {}", node.folder().display());
    println!();
    let cli = node.program().with_file_name("bitcoin-cli");
    let cli = if cli.is_file() { cli.display().to_string() } else { "bitcoin-cli".to_owned() };
    let connection =
        format!("-{} -rpcport={} -datadir={}", node.network(), node.rpc_port(), node.folder().display());
    println!("mine a block:  {cli} {connection} generatetoaddress 1 {address}");
    println!("Ctrl-C stops everything.");

    stopped.recv()?;
    eprintln!("stopping");
    drop(electrum);
    drop(node);
    Ok(())
}
