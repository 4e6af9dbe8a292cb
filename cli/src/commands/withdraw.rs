//! `tapstake withdraw`: get coins back whose timelock is over.

use std::path::PathBuf;

use bitcoin::address::NetworkUnchecked;
use bitcoin::consensus::encode::serialize_hex;
use bitcoin::{Address, Amount, OutPoint, Transaction, Txid};
use serde::Serialize;
use tapstake_tracker::{FollowUpKind, Observed, StakeRecord, Store, observe};
use tapstake_tx::psbt::{self, Origins, Spent};
use tapstake_tx::{Signatures, Withdrawable, Withdrawal};
use tapstake_wallet::{PsbtFormat, Scan, read_psbt, write_psbt};

use crate::error::{Error, Result};
use crate::live::{SourceArgs, WalletArgs, guard_mainnet};
use crate::output::{Show, facts};
use crate::session::Session;
use crate::spending::{FeeArgs, aux, destination, now};
use crate::stakes::{Failed, each, open_store, record_of, staker_key_in, staker_keypair};

/// Withdraw what lies in stakes whose timelock is over
///
/// Staking, unbonding and refund outputs alike, any number in one transaction.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The stakes, by their staking outpoints [default: all that can be withdrawn now]
    #[arg(value_name = "OUTPOINT")]
    stakes: Vec<OutPoint>,
    #[command(flatten)]
    wallet: WalletArgs,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    fee: FeeArgs,
    /// Where to [default: the wallet's next address]
    #[arg(long, value_name = "ADDRESS")]
    to: Option<Address<NetworkUnchecked>>,
    /// Show what would be sent; nothing is signed
    #[arg(long)]
    dry_run: bool,
    /// Write the withdrawal as a PSBT, to be signed elsewhere
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    export_psbt: Option<PathBuf>,
    /// Broadcast a withdrawal from its signed PSBT
    #[arg(long, value_name = "FILE", conflicts_with_all = ["dry_run", "export_psbt", "to", "stakes", "fee_rate"])]
    import_psbt: Option<PathBuf>,
}

#[derive(Serialize)]
struct Withdrawn {
    status: &'static str,
    stakes: Vec<OutPoint>,
    txid: Txid,
    value_sat: u64,
    fee_sat: u64,
    address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tx: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    psbt: Option<PathBuf>,
    /// Stakes that could not be asked about, where none was named.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed: Vec<Failed>,
}

impl Show for Withdrawn {
    fn text(&self) -> String {
        let mut rows = vec![("status", self.status.to_owned())];
        rows.extend(self.stakes.iter().map(|stake| ("stake", stake.to_string())));
        rows.extend([
            ("txid", self.txid.to_string()),
            ("value", Amount::from_sat(self.value_sat).to_string()),
            ("fee", Amount::from_sat(self.fee_sat).to_string()),
        ]);
        rows.extend(self.address.iter().map(|address| ("to", address.clone())));
        rows.extend(self.psbt.iter().map(|path| ("psbt", path.display().to_string())));
        rows.extend(self.failed.iter().map(|failed| ("failed", failed.line())));
        facts(rows)
    }
}

/// A stake, and what of it can be withdrawn.
struct Due {
    record: StakeRecord,
    coin: Withdrawable,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<()> {
    let source = args.source.connect(session)?;
    let mut store = open_store(session)?;
    if let Some(file) = &args.import_psbt {
        return import(args, session, &mut store, file);
    }
    let (due, failed) = due(args, session, &mut store, source.chain())?;
    let fee_rate = args.fee.rate(session, source.chain())?;
    let mut wallet = args.wallet.open(session)?;
    source.sync(session, &mut wallet, Scan::Auto)?;
    let to = destination(session, &mut wallet, args.to.as_ref())?;
    let withdrawal =
        Withdrawal::build(due.iter().map(|due| due.coin.clone()).collect(), to.clone(), fee_rate)?;
    let mut report = Withdrawn {
        status: "dry run: nothing was signed or sent",
        stakes: due.iter().map(|due| due.record.outpoint).collect(),
        txid: withdrawal.tx().compute_txid(),
        value_sat: withdrawal.tx().output[0].value.to_sat(),
        fee_sat: withdrawal.fee().to_sat(),
        address: Address::from_script(&to, session.network()).ok().map(|address| address.to_string()),
        tx: None,
        psbt: None,
        failed,
    };
    if args.dry_run {
        session.out.show(&report);
        return Ok(());
    }
    if let Some(file) = &args.export_psbt {
        let origins: Origins =
            due.iter().flat_map(|due| staker_key_in(&wallet, &due.record).origins()).collect();
        let spent: Vec<Spent<'_>> = due
            .iter()
            .map(|due| Spent { txout: due.coin.to_txout(), output: due.coin.output(), leaf: due.coin.leaf() })
            .collect();
        write_psbt(file, &psbt::create(withdrawal.tx().clone(), &spent, &origins)?, PsbtFormat::Base64)?;
        report.status = "waiting for signatures: then tapstake withdraw --import-psbt FILE";
        report.psbt = Some(file.clone());
        session.out.show(&report);
        return Ok(());
    }
    guard_mainnet(session, "withdraw")?;
    if withdrawal.fee() > withdrawal.tx().output[0].value / 4 {
        let (fee, left) = (withdrawal.fee(), withdrawal.tx().output[0].value);
        session
            .out
            .confirm(&format!("the fee of {fee} is more than a quarter of the {left} withdrawn; go on?"))?;
    }
    let signer = args.wallet.signer(&wallet)?;
    let mut signatures = Vec::with_capacity(due.len());
    for (due, spend) in due.iter().zip(withdrawal.spends()) {
        let keypair = staker_keypair(&signer, &wallet, &due.record)?;
        signatures.push(Signatures::from([spend.sign(&session.secp, keypair.keypair(), &aux())]));
    }
    let tx = withdrawal.finish(&session.secp, &signatures)?;
    send(session, &mut store, source.chain(), &report.stakes, &tx)?;
    wallet.note_broadcast(tx.clone(), now())?;
    report.status = "broadcast";
    report.tx = Some(serialize_hex(&tx));
    session.out.show(&report);
    Ok(())
}

/// Remembers the withdrawal with its stakes, then broadcasts it.
fn send(
    session: &Session<'_>,
    store: &mut Store,
    chain: &dyn tapstake_chain::ChainSource,
    stakes: &[OutPoint],
    tx: &Transaction,
) -> Result<()> {
    for stake in stakes {
        store.keep(stake, FollowUpKind::Withdrawal, tx)?;
    }
    chain.broadcast(tx)?;
    session.out.note("broadcast; tapstake stakes shows when it is in a block");
    Ok(())
}

/// The named stakes, each withdrawable, or all that are and those that cannot be asked about.
fn due(
    args: &Args,
    session: &Session<'_>,
    store: &mut Store,
    chain: &dyn tapstake_chain::ChainSource,
) -> Result<(Vec<Due>, Vec<Failed>)> {
    let look = |record: StakeRecord| -> Result<Result<Due, Error>> {
        let seen = observe(chain, &session.secp, &record)?;
        Ok(match seen.withdrawable() {
            Some(coin) if seen.state.is_withdrawable() => Ok(Due { coin: coin.clone(), record }),
            _ => Err(not_yet(&record, &seen)),
        })
    };
    let (due, failed) = if args.stakes.is_empty() {
        let (seen, failed) = each(session, store, |_, record| look(record))?;
        (seen.into_iter().flatten().collect(), failed)
    } else {
        let named = args.stakes.iter().map(|stake| look(record_of(store, *stake)?)?);
        (named.collect::<Result<Vec<Due>>>()?, Vec::new())
    };
    if due.is_empty() {
        return Err(Error::failed("no stake can be withdrawn now").next("tapstake stakes shows when"));
    }
    Ok((due, failed))
}

fn not_yet(record: &StakeRecord, seen: &Observed) -> Error {
    let message = format!("stake {} cannot be withdrawn now: {}", record.outpoint, seen.state);
    Error::rule("timelock", message).next("tapstake stakes shows when")
}

/// Takes a withdrawal back from an external signer. Each input is matched with its stake, and every signature verified.
fn import(args: &Args, session: &Session<'_>, store: &mut Store, file: &std::path::Path) -> Result<()> {
    let signed = read_psbt(file)?;
    let source = args.source.connect(session)?;
    let (known, failed) = each(session, store, |_, record| {
        let seen = observe(source.chain(), &session.secp, &record)?;
        let due = seen.withdrawable().map(|coin| Due { coin: coin.clone(), record });
        Ok(due.map(|due| (due, seen)))
    })?;
    let known: Vec<(Due, Observed)> = known.into_iter().flatten().collect();
    let mut tx = signed.unsigned_tx.clone();
    let mut spent = Vec::new();
    for input in &tx.input {
        let found = known.iter().find(|(due, _)| due.coin.outpoint() == input.previous_output);
        let outpoint = input.previous_output;
        let (due, seen) =
            found.ok_or_else(|| Error::failed(format!("input {outpoint} is no output of a listed stake")))?;
        if !seen.state.is_withdrawable() {
            return Err(not_yet(&due.record, seen));
        }
        spent.push(due);
    }
    let prevouts: Vec<_> = spent.iter().map(|due| due.coin.to_txout()).collect();
    let unsigned = tx.clone();
    let mut cache = bitcoin::sighash::SighashCache::new(&unsigned);
    for (index, due) in spent.iter().enumerate() {
        let spend =
            tapstake_tx::LeafSpend::new(&session.secp, &mut cache, index, &prevouts, due.coin.leaf())?;
        tx.input[index].witness = match &signed.inputs[index].final_script_witness {
            Some(witness) => {
                spend.check_witness(&session.secp, witness)?;
                witness.clone()
            }
            None => {
                let signatures = psbt::signatures(&signed, &unsigned, index, due.coin.leaf())?;
                spend.witness(&session.secp, &signatures)?
            }
        };
    }
    let stakes: Vec<OutPoint> = spent.iter().map(|due| due.record.outpoint).collect();
    // Made-up outputs may add up to more than any number: such a sum is out of reach of what is put in.
    let sum = |outputs: &[bitcoin::TxOut]| {
        outputs
            .iter()
            .try_fold(Amount::ZERO, |sum, output| sum.checked_add(output.value))
            .unwrap_or(Amount::MAX)
    };
    let (put_in, paid) = (sum(&prevouts), sum(&tx.output));
    let fee =
        put_in.checked_sub(paid).ok_or_else(|| Error::failed("the withdrawal pays more than it spends"))?;
    if fee > paid / 4 {
        session
            .out
            .confirm(&format!("the fee of {fee} is more than a quarter of the {paid} withdrawn; go on?"))?;
    }
    let address =
        |output: &bitcoin::TxOut| match Address::from_script(&output.script_pubkey, session.network()) {
            Ok(address) => address.to_string(),
            Err(_) => output.script_pubkey.to_string(),
        };
    for output in &tx.output {
        session.out.note(&format!("the withdrawal pays {} to {}", output.value, address(output)));
    }
    guard_mainnet(session, "withdraw")?;
    send(session, store, source.chain(), &stakes, &tx)?;
    session.out.show(&Withdrawn {
        status: "broadcast",
        stakes,
        txid: tx.compute_txid(),
        value_sat: paid.to_sat(),
        fee_sat: fee.to_sat(),
        address: Some(tx.output.iter().map(address).collect::<Vec<_>>().join(", ")),
        tx: Some(serialize_hex(&tx)),
        psbt: None,
        failed,
    });
    Ok(())
}
