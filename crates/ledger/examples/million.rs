//! Writes a book of a million entries, opens it and audits it, and says how long each takes.
//!
//! `cargo run --release -p tapstake-ledger --example million [ENTRIES]`
#![allow(clippy::unwrap_used, reason = "a measurement that fails has nothing to say")]

use std::time::Instant;

use bitcoin::secp256k1::{Keypair, Secp256k1};
use bitcoin::{Network, OutPoint, Txid, hashes::Hash};
use tapstake_crypto::pop::Account;
use tapstake_ledger::{Ledger, audit};
use tapstake_params::{Height, SlashingRate, Timelock};
use tapstake_restake::{
    AdmittedStake, Allocation, Denomination, Entry, Event, HolderId, JournalledStake, PartsPerMillion,
    PoolId, ServiceId, ServiceTerms,
};

/// The entries that are acknowledged together, so that writing does not wait for a million flushes of the disk.
const BATCH: u64 = 20_000;

fn main() {
    let entries: u64 = std::env::args().nth(1).map_or(1_000_000, |n| n.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("book.jsonl");

    let begun = Instant::now();
    let mut ledger = Ledger::create(&file, Network::Regtest).unwrap();
    let history = History::new();
    let mut at = 0;
    while at < entries {
        let upto = entries.min(at + BATCH);
        let made = ledger.append_all((at..upto).map(|number| history.entry(number)));
        made.map_err(|stopped| stopped.error).unwrap();
        at = upto;
    }
    drop(ledger);
    let size = std::fs::metadata(&file).unwrap().len();
    println!("written   {entries} entries, {} MB, in {:.1?}", size / 1_000_000, begun.elapsed());

    let begun = Instant::now();
    let report = audit(&file, None).unwrap();
    println!("audited   {} entries in {:.2?}, index {:?}", report.entries, begun.elapsed(), report.index);

    let begun = Instant::now();
    let ledger = Ledger::open(&file).unwrap();
    println!("opened    {} stakes in {:.2?}", ledger.book().stakes().count(), begun.elapsed());
    drop(ledger);

    std::fs::remove_file(folder.path().join("book.jsonl.index")).unwrap();
    let begun = Instant::now();
    Ledger::open(&file).unwrap();
    println!("reindexed in {:.2?}", begun.elapsed());
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    for line in status.lines().filter(|line| line.starts_with("VmHWM")) {
        println!("memory    {line} (writing included)");
    }
}

/// What happens in this book: a tenth of the entries admit stakes, which count for one of two services and back a pool; the
/// rest are rewards, claims and transfers.
struct History {
    providers: Vec<bitcoin::XOnlyPublicKey>,
    services: [ServiceId; 2],
    pool: PoolId,
}

impl History {
    fn new() -> Self {
        let secp = Secp256k1::new();
        let key = |index: u8| Keypair::from_seckey_slice(&secp, &[index; 32]).unwrap().x_only_public_key().0;
        History {
            providers: (1..=50).map(key).collect(),
            services: ["alpha", "beta"].map(|name| ServiceId::new(name).unwrap()),
            pool: PoolId::new("pool").unwrap(),
        }
    }

    fn entry(&self, number: u64) -> Entry {
        let Some(later) = number.checked_sub(103) else {
            return Entry { height: Height::new(100), event: self.opening(number) };
        };
        // A stake begins to count at a height, and earns from the next one on.
        let height = 100 + later / 10 * 2 + u64::from(later % 10 > 2);
        Entry { height: Height::new(u32::try_from(height).unwrap()), event: self.later(later) }
    }

    fn opening(&self, number: u64) -> Event {
        let time = Timelock::new(1_000).unwrap();
        match number {
            0 | 1 => Event::RegisterService {
                service: self.services[at(number)].clone(),
                terms: ServiceTerms {
                    denomination: denomination(number),
                    slashing_rate: SlashingRate::from_ten_thousandths(1_000).unwrap(),
                    unbonding_time: time,
                    leverage_limit: PartsPerMillion::percent(200).unwrap(),
                },
            },
            2 => Event::OpenPool { pool: self.pool.clone(), unbonding_time: time },
            _ => Event::RegisterProvider {
                service: self.services[at((number - 3) % 2)].clone(),
                provider: self.providers[at((number - 3) / 2)],
                commission: PartsPerMillion::percent(5).unwrap(),
            },
        }
    }

    fn later(&self, number: u64) -> Event {
        let (turn, stake) = (number % 10, number / 10);
        let service = self.services[at(stake % 2)].clone();
        let provider = self.providers[at(stake % 50)];
        match turn {
            0 => Event::AdmitStake { stake: Box::new(self.stake(stake)) },
            1 => Event::Allocate { stake: outpoint(stake), service, allocation: Allocation::Shared },
            2 => Event::Mint { pool: self.pool.clone(), holder: holder(stake), stake: outpoint(stake) },
            3 | 5 | 6 | 8 => Event::Reward {
                service,
                provider,
                denomination: denomination(stake % 2),
                amount: 1_000_000_000_000 + u128::from(number),
            },
            7 => Event::Claim { stake: outpoint(stake), service },
            9 => Event::PoolReward { pool: self.pool.clone(), amount: bitcoin::Amount::from_sat(7) },
            _ => Event::Transfer {
                pool: self.pool.clone(),
                from: holder(stake),
                to: holder(stake / 2),
                shares: 1_000 + u128::from(turn),
            },
        }
    }

    fn stake(&self, number: u64) -> AdmittedStake {
        let sat = bitcoin::Amount::from_sat;
        AdmittedStake::try_from(JournalledStake {
            outpoint: outpoint(number),
            spends: vec![outpoint(number + (1 << 40))],
            unbonding: outpoint(number + (1 << 41)),
            value: sat(100_000),
            slashed: sat(10_000),
            refund: sat(89_000),
            unbonding_refund: sat(88_000),
            owner: Account::text("bbn1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq").unwrap(),
            providers: vec![self.providers[at(number % 50)]],
            inclusion_height: Height::new(100),
            expires_at: Height::new(10_000_000),
            unbonding_time: Timelock::new(1_000).unwrap(),
        })
        .unwrap()
    }
}

fn at(number: u64) -> usize {
    usize::try_from(number).unwrap()
}

fn denomination(service: u64) -> Denomination {
    Denomination::new(["ualpha", "ubeta"][at(service)]).unwrap()
}

fn holder(number: u64) -> HolderId {
    HolderId::new(&format!("holder-{}", number % 5_000)).unwrap()
}

fn outpoint(number: u64) -> OutPoint {
    let mut txid = [7; 32];
    txid[..8].copy_from_slice(&number.to_be_bytes());
    OutPoint { txid: Txid::from_byte_array(txid), vout: 0 }
}
