//! `tapstake wallet`: keys, addresses, coins.

use std::io::IsTerminal;
use std::path::PathBuf;

use bitcoin::{Amount, Network, OutPoint};
use clap::{Args, Subcommand};
use serde::Serialize;
use tapstake_wallet::{
    CreateOptions, Origin, Passphrase, Scan, SeedPhrase, StakerKey, StakerKeySource, Wallet,
};

use crate::error::{Context, Error, Result};
use crate::live::{SourceArgs, WalletArgs, secret_text, wiped};
use crate::network::NetworkName;
use crate::output::{Show, facts, table};
use crate::session::Session;

/// What to do with a wallet.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a wallet, from fresh words, known words or descriptors
    Create(Create),
    /// Show an address to be paid to
    Address(Address),
    /// Show what the wallet has
    Balance(Which),
    /// List the wallet's coins
    Utxos(Which),
    /// Free coins that a stake locked and that will not come, such as one whose PSBTs were never signed
    Unlock(Unlock),
    /// Read the chain for the wallet's coins
    Sync(Sync),
    /// Show the staker key that a stake's scripts name
    StakerKey(Staker),
    /// Show the seed words, to be written down: on a terminal only, after a question
    Words(Which),
}

/// How a wallet comes to be. No secret is ever an argument.
#[derive(Debug, Args)]
pub(crate) struct Create {
    #[command(flatten)]
    wallet: WalletArgs,
    /// Words of a fresh mnemonic: 12 or 24
    #[arg(long, default_value_t = 12, value_name = "COUNT", conflicts_with_all = ["mnemonic_file", "descriptor_file"])]
    words: usize,
    /// File with a BIP-0039 mnemonic, - for stdin or a prompt
    #[arg(long, value_name = "FILE", conflicts_with = "descriptor_file")]
    mnemonic_file: Option<PathBuf>,
    /// File with descriptors, receiving and change on a line each, - for stdin; public ones make a watch-only wallet
    #[arg(long, value_name = "FILE")]
    descriptor_file: Option<PathBuf>,
    /// The BIP-0086 account
    #[arg(long, default_value_t = 0, value_name = "NUMBER")]
    account: u32,
    /// The staker key of an external signer, as 32-byte hex or [fingerprint/path]key [default: derived]
    #[arg(long, value_name = "KEY")]
    staker_key: Option<StakerKey>,
    /// The first height that can hold the wallet's coins
    #[arg(long, default_value_t = 0, value_name = "HEIGHT")]
    birthday: u32,
    /// On mainnet, accept that a seed without passphrase lies readable in a file
    #[arg(long)]
    accept_unprotected_seed: bool,
}

/// A wallet, and nothing else.
#[derive(Debug, Args)]
pub(crate) struct Which {
    #[command(flatten)]
    wallet: WalletArgs,
}

/// Which address.
#[derive(Debug, Args)]
pub(crate) struct Address {
    #[command(flatten)]
    wallet: WalletArgs,
    /// A new one, even if the last was not paid to yet
    #[arg(long)]
    new: bool,
    /// All that were shown so far
    #[arg(long, conflicts_with = "new")]
    list: bool,
}

/// From where, and how thoroughly.
#[derive(Debug, Args)]
pub(crate) struct Sync {
    #[command(flatten)]
    wallet: WalletArgs,
    #[command(flatten)]
    source: SourceArgs,
    /// Look for used addresses from the first on, as after a restore
    #[arg(long)]
    full: bool,
}

/// Which coins to free.
#[derive(Debug, Args)]
pub(crate) struct Unlock {
    #[command(flatten)]
    wallet: WalletArgs,
    /// The locked coins, as wallet utxos lists them
    #[arg(required = true, value_name = "OUTPOINT")]
    coins: Vec<OutPoint>,
}

/// Which staker key.
#[derive(Debug, Args)]
pub(crate) struct Staker {
    #[command(flatten)]
    wallet: WalletArgs,
    /// Its index on the wallet's staker chain
    #[arg(long, default_value_t = 0, value_name = "NUMBER")]
    index: u32,
}

#[derive(Serialize)]
struct Created {
    wallet: String,
    network: NetworkName,
    folder: PathBuf,
    signs: bool,
    descriptors: Vec<String>,
    staker_key: Option<String>,
}

impl Show for Created {
    fn text(&self) -> String {
        let mut rows = vec![
            ("wallet", self.wallet.clone()),
            ("network", self.network.to_string()),
            ("folder", self.folder.display().to_string()),
            ("signs", if self.signs { "yes" } else { "no, it watches: sign its PSBTs elsewhere" }.to_owned()),
        ];
        rows.extend(self.descriptors.iter().map(|descriptor| ("descriptor", descriptor.clone())));
        rows.extend(self.staker_key.iter().map(|key| ("staker key 0", key.clone())));
        facts(rows)
    }
}

#[derive(Serialize)]
struct Addresses {
    addresses: Vec<AddressRow>,
}

#[derive(Serialize)]
struct AddressRow {
    address: String,
    index: u32,
    change: bool,
    used: bool,
}

impl Show for Addresses {
    fn text(&self) -> String {
        match self.addresses.as_slice() {
            [one] => one.address.clone(),
            all => table(
                &["index", "address", "kind", "used"],
                &["index"],
                all.iter().map(|row| {
                    let kind = if row.change { "change" } else { "receiving" };
                    let used = if row.used { "yes" } else { "no" };
                    vec![row.index.to_string(), row.address.clone(), kind.to_owned(), used.to_owned()]
                }),
            ),
        }
    }
}

#[derive(Serialize)]
struct BalanceJson {
    confirmed_sat: u64,
    trusted_pending_sat: u64,
    untrusted_pending_sat: u64,
    immature_sat: u64,
    locked_sat: u64,
    synced_to_height: u32,
}

impl Show for BalanceJson {
    fn text(&self) -> String {
        let btc = |sat| Amount::from_sat(sat).to_string();
        facts([
            ("confirmed", btc(self.confirmed_sat)),
            ("unconfirmed, own change", btc(self.trusted_pending_sat)),
            ("unconfirmed, from others", btc(self.untrusted_pending_sat)),
            ("immature coinbase", btc(self.immature_sat)),
            ("of all these, locked", btc(self.locked_sat)),
            ("synced to height", self.synced_to_height.to_string()),
        ])
    }
}

#[derive(Serialize)]
struct Utxos {
    utxos: Vec<Utxo>,
}

#[derive(Serialize)]
struct Utxo {
    outpoint: OutPoint,
    value_sat: u64,
    address: Option<String>,
    confirmations: u32,
    change: bool,
    immature: bool,
    locked: bool,
    lock_reason: Option<String>,
}

impl Show for Utxos {
    fn text(&self) -> String {
        if self.utxos.is_empty() {
            return "no coins; is the wallet synced? tapstake wallet sync".to_owned();
        }
        table(
            &["outpoint", "value", "confirmations", "locked"],
            &["value", "confirmations"],
            self.utxos.iter().map(|coin| {
                let immature = coin.immature.then(|| "immature coinbase".to_owned());
                vec![
                    coin.outpoint.to_string(),
                    Amount::from_sat(coin.value_sat).to_string(),
                    coin.confirmations.to_string(),
                    coin.lock_reason.clone().or(immature).unwrap_or_default(),
                ]
            }),
        )
    }
}

#[derive(Serialize)]
struct Synced {
    height: u32,
    new_transactions: usize,
    balance: BalanceJson,
}

impl Show for Synced {
    fn text(&self) -> String {
        format!("{} new transactions\n{}", self.new_transactions, self.balance.text())
    }
}

#[derive(Serialize)]
struct StakerKeyJson {
    staker: bitcoin::XOnlyPublicKey,
    key_expression: String,
}

impl Show for StakerKeyJson {
    fn text(&self) -> String {
        self.key_expression.clone()
    }
}

pub(crate) fn run(command: &Command, session: &Session<'_>) -> Result<()> {
    match command {
        Command::Create(args) => create(args, session),
        Command::Address(args) => address(args, session),
        Command::Balance(args) => {
            session.out.show(&balance(&args.wallet.open(session)?));
            Ok(())
        }
        Command::Utxos(args) => {
            session.out.show(&utxos(&args.wallet.open(session)?));
            Ok(())
        }
        Command::Unlock(args) => {
            let mut wallet = args.wallet.open(session)?;
            if let Some(coin) = args.coins.iter().find(|coin| wallet.lock_reason(**coin).is_none()) {
                let message = format!("coin {coin} is not locked in this wallet");
                return Err(Error::rule("locked-coin", message).next("tapstake wallet utxos lists the coins"));
            }
            wallet.unlock(&args.coins)?;
            session.out.show(&utxos(&wallet));
            Ok(())
        }
        Command::Sync(args) => sync(args, session),
        Command::StakerKey(args) => {
            let key = args.wallet.open(session)?.staker_key(args.index)?;
            session.out.show(&StakerKeyJson { staker: key.x_only, key_expression: key.to_string() });
            Ok(())
        }
        Command::Words(args) => words(args, session),
    }
}

fn create(args: &Create, session: &Session<'_>) -> Result<()> {
    let network = session.network();
    let passphrase = match &args.wallet.passphrase_file {
        Some(path) => {
            let typed = secret_text(path, "passphrase")?;
            let by_hand = path == std::path::Path::new("-") && std::io::stdin().is_terminal();
            if by_hand && secret_text(path, "the same passphrase once more")? != typed {
                return Err(Error::failed("the two passphrases differ, so nothing was made"));
            }
            Passphrase::new(typed.to_string())
        }
        None => None,
    };
    let mut fresh = None;
    let origin = match (&args.mnemonic_file, &args.descriptor_file) {
        (Some(path), _) => {
            let phrase = SeedPhrase::parse(&secret_text(path, "mnemonic")?)?;
            Origin::Seed { phrase, passphrase, account: args.account }
        }
        (None, Some(path)) => {
            let text = secret_text(path, "descriptors")?;
            let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            let external = lines.next().ok_or_else(|| Error::failed("the descriptor file is empty"))?;
            let internal = lines.next();
            if lines.next().is_some() {
                return Err(Error::failed("more than two descriptors: receiving and change, on a line each"));
            }
            let wiped = |line: &str| wiped(&zeroize::Zeroizing::new(line.to_owned()));
            Origin::Descriptors { external: wiped(external), internal: internal.map(wiped) }
        }
        (None, None) => {
            let phrase = SeedPhrase::generate(args.words)?;
            fresh = Some(phrase.words());
            Origin::Seed { phrase, passphrase, account: args.account }
        }
    };
    let mut options = CreateOptions::new(network, origin);
    options.birthday = args.birthday;
    options.accept_unprotected_seed = args.accept_unprotected_seed;
    if let Some(key) = &args.staker_key {
        options.staker = StakerKeySource::External(key.clone());
    }
    let folder = args.wallet.folder(session)?;
    let wallet = Wallet::create(&folder, options).context(format!("wallet {}", args.wallet.wallet))?;
    if let Some(words) = fresh {
        if std::io::stderr().is_terminal() {
            session
                .out
                .note(&format!("Write these words down. They are the wallet:\n\n  {}\n", words.as_str()));
            session.out.note("tapstake wallet words shows them again");
        } else {
            session.out.note(&format!(
                "the fresh words are in {}: back them up (tapstake wallet words shows them on a terminal)",
                folder.join("seed.json").display()
            ));
        }
    }
    if network == Network::Bitcoin {
        session.out.warn("this is a MAINNET wallet: real bitcoin");
    }
    session.out.show(&Created {
        wallet: args.wallet.wallet.clone(),
        network: network.into(),
        signs: wallet.has_private_keys(),
        descriptors: wallet.descriptors(),
        // A watch-only wallet of a single key has no chain to derive staker keys from.
        staker_key: wallet.staker_key(0).ok().map(|key| key.to_string()),
        folder,
    });
    Ok(())
}

/// Shows the seed words where a person reads them and nothing keeps them: not as JSON, not into a file or a pipe.
fn words(args: &Which, session: &Session<'_>) -> Result<()> {
    if session.out.is_json() || !std::io::stdout().is_terminal() {
        let file = args.wallet.folder(session)?.join("seed.json");
        let message = "the words are shown on a terminal only, and never as JSON";
        return Err(Error::rule("terminal", message)
            .next(format!("run it in a terminal without --json; the words lie in {}", file.display())));
    }
    let wallet = args.wallet.open(session)?;
    let phrase = wallet.seed_phrase()?;
    session.out.confirm("whoever sees the words has the coins. Show them?")?;
    session.out.raw(&phrase.words());
    if wallet.needs_passphrase()? {
        session.out.note("the wallet also takes its passphrase, which is kept nowhere");
    }
    Ok(())
}

fn address(args: &Address, session: &Session<'_>) -> Result<()> {
    let mut wallet = args.wallet.open(session)?;
    let entries = if args.list {
        wallet.addresses()
    } else if args.new {
        vec![wallet.new_address()?]
    } else {
        vec![wallet.next_unused_address()?]
    };
    let addresses = entries.into_iter().map(|entry| AddressRow {
        address: entry.address.to_string(),
        index: entry.index,
        change: entry.change,
        used: entry.used,
    });
    session.out.show(&Addresses { addresses: addresses.collect() });
    Ok(())
}

fn balance(wallet: &Wallet) -> BalanceJson {
    let balance = wallet.balance();
    BalanceJson {
        confirmed_sat: balance.confirmed.to_sat(),
        trusted_pending_sat: balance.trusted_pending.to_sat(),
        untrusted_pending_sat: balance.untrusted_pending.to_sat(),
        immature_sat: balance.immature.to_sat(),
        locked_sat: balance.locked.to_sat(),
        synced_to_height: wallet.height(),
    }
}

fn utxos(wallet: &Wallet) -> Utxos {
    let utxos = wallet.coins().into_iter().map(|coin| Utxo {
        outpoint: coin.outpoint,
        value_sat: coin.value.to_sat(),
        address: coin.address.map(|address| address.to_string()),
        confirmations: coin.confirmations,
        change: coin.change,
        immature: coin.immature,
        locked: coin.lock.is_some(),
        lock_reason: coin.lock.map(|reason| reason.to_string()),
    });
    Utxos { utxos: utxos.collect() }
}

fn sync(args: &Sync, session: &Session<'_>) -> Result<()> {
    let mut wallet = args.wallet.open(session)?;
    let source = args.source.connect(session)?;
    let scan = if args.full { Scan::Full } else { Scan::Auto };
    let report = source.sync(session, &mut wallet, scan)?;
    session.out.show(&Synced {
        height: wallet.height(),
        new_transactions: report.new_transactions,
        balance: balance(&wallet),
    });
    Ok(())
}
