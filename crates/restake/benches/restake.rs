//! What an entry costs in books of a thousand, a hundred thousand and a million stakes with a thousand providers, and what a stake
//! takes of memory (Linux tells).

use std::time::{Duration, Instant};

use bitcoin::hashes::Hash;
use bitcoin::key::{Keypair, Secp256k1};
use bitcoin::{Amount, OutPoint, Txid, XOnlyPublicKey};
use tapstake_crypto::pop::Account;
use tapstake_params::{Height, SlashingRate, Timelock};
use tapstake_restake::{
    Allocation, Book, Denomination, Entry, Event, HolderId, JournalledStake, PartsPerMillion, PoolId,
    ServiceId, ServiceTerms,
};

const PROVIDERS: u32 = 1_000;
/// Events that are made before any of them is timed.
const CHUNK: u32 = 10_000;

struct World {
    book: Book,
    height: Height,
    providers: Vec<XOnlyPublicKey>,
    services: [ServiceId; 2],
    coin: Denomination,
    rate: SlashingRate,
    unbonding_time: Timelock,
    pool: PoolId,
}

fn provider(n: u32) -> XOnlyPublicKey {
    let mut secret = [7; 32];
    secret[..4].copy_from_slice(&n.to_be_bytes());
    Keypair::from_seckey_slice(&Secp256k1::new(), &secret).expect("a secret key").x_only_public_key().0
}

fn outpoint(n: u32) -> OutPoint {
    // As spread as real ones.
    OutPoint::new(Txid::hash(&n.to_be_bytes()), 0)
}

fn holder(n: u32) -> HolderId {
    HolderId::new(&format!("holder-{n}")).expect("a short name")
}

impl World {
    /// Two services that a thousand providers serve, and a pool.
    fn new() -> Self {
        let name = |text| ServiceId::new(text).expect("a short name");
        let mut world = World {
            book: Book::new(),
            height: Height::new(1_000),
            providers: (0..PROVIDERS).map(provider).collect(),
            services: [name("oracle"), name("bridge")],
            coin: Denomination::new("coin").expect("a short name"),
            rate: SlashingRate::from_ten_thousandths(1_000).expect("10 %"),
            unbonding_time: Timelock::new(100).expect("in range"),
            pool: PoolId::new("pool").expect("a short name"),
        };
        for service in world.services.clone() {
            let (denomination, slashing_rate, unbonding_time) =
                (world.coin.clone(), world.rate, world.unbonding_time);
            let leverage_limit = PartsPerMillion::new(4_000_000);
            let terms = ServiceTerms { denomination, slashing_rate, unbonding_time, leverage_limit };
            world.enter(Event::RegisterService { service: service.clone(), terms });
            for provider in world.providers.clone() {
                let commission = PartsPerMillion::new(50_000);
                world.enter(Event::RegisterProvider { service: service.clone(), provider, commission });
            }
        }
        world.enter(Event::OpenPool { pool: world.pool.clone(), unbonding_time: world.unbonding_time });
        world
    }

    fn enter(&mut self, event: Event) {
        self.book.apply(&Entry { height: self.height, event }).expect("an entry that is taken");
    }

    /// The time of one of `count` events, of which the making is not counted.
    fn timed(&mut self, count: u32, event: impl Fn(&World, u32) -> Event) -> Duration {
        let mut total = Duration::ZERO;
        for from in (0..count).step_by(CHUNK as usize) {
            let numbers = from..count.min(from.saturating_add(CHUNK));
            let events: Vec<_> = numbers.map(|n| event(self, n)).collect();
            let entries: Vec<_> =
                events.into_iter().map(|event| Entry { height: self.height, event }).collect();
            let start = Instant::now();
            for entry in &entries {
                self.book.apply(entry).expect("an entry that is taken");
            }
            total += start.elapsed();
        }
        total / count
    }

    fn admit(&self, n: u32) -> Event {
        let value = Amount::from_sat(1_000_000 + u64::from(n));
        let slashed = self.rate.slashed_part(value);
        let refund = value - slashed - Amount::from_sat(1_000);
        let stake = JournalledStake {
            outpoint: outpoint(n),
            spends: vec![OutPoint::new(Txid::hash(&[n.to_be_bytes(); 3].concat()), 1)],
            unbonding: OutPoint::new(Txid::hash(&[n.to_be_bytes(); 2].concat()), 0),
            value,
            slashed,
            refund,
            unbonding_refund: refund - Amount::from_sat(500),
            owner: Account::from_raw(&Txid::hash(&n.to_be_bytes()).to_byte_array()[..20]).expect("20 bytes"),
            providers: vec![self.providers[(n % PROVIDERS) as usize]],
            inclusion_height: Height::new(900),
            expires_at: Height::new(60_000),
            unbonding_time: self.unbonding_time,
        };
        Event::AdmitStake { stake: Box::new(stake.try_into().expect("a stake as verified")) }
    }

    fn allocate(&self, n: u32, service: usize) -> Event {
        let (stake, service) = (outpoint(n), self.services[service].clone());
        Event::Allocate { stake, service, allocation: Allocation::Shared }
    }

    fn reward(&self, n: u32) -> Event {
        let (service, denomination) = (self.services[0].clone(), self.coin.clone());
        let provider = self.providers[(n % PROVIDERS) as usize];
        Event::Reward { service, provider, denomination, amount: 1_000_000_000_000_000_000_000 }
    }
}

/// Resident memory, in bytes.
fn memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
}

fn measure(stakes: u32, fresh: bool) {
    let mut world = World::new();
    let before = memory();
    // What is touched is far from what was touched just now, and comes once: 7,919 is prime.
    let spread = |n: u32| u32::try_from(u64::from(n) * 7_919 % u64::from(stakes)).expect("below a u32");
    let ops = stakes.min(100_000);
    println!("{stakes} stakes, {PROVIDERS} providers, 2 services");
    let line = |what: &str, time: Duration| println!("  {what:<44}{:>12.2} µs", time.as_secs_f64() * 1e6);
    line("admit a stake", world.timed(stakes, World::admit));
    line("allocate it to a first service", world.timed(stakes, |world, n| world.allocate(n, 0)));
    line("allocate it to a second", world.timed(stakes, |world, n| world.allocate(n, 1)));
    if let (true, Some(before), Some(after)) = (fresh, before, memory()) {
        println!(
            "  {:<44}{:>12} bytes",
            "memory of a stake",
            after.saturating_sub(before) / u64::from(stakes)
        );
    }
    // Rewards of a height come before the stakes that begin to count there.
    world.height = world.height.saturating_add(1);
    line("reward the stakes of a provider", world.timed(ops.max(PROVIDERS), World::reward));
    let service = world.services[0].clone();
    let claim = |_: &World, n| Event::Claim { stake: outpoint(spread(n)), service: service.clone() };
    line("claim", world.timed(ops, claim));
    let pool = world.pool.clone();
    let mint =
        |_: &World, n| Event::Mint { pool: pool.clone(), holder: holder(n), stake: outpoint(spread(n)) };
    line("mint a receipt", world.timed(ops, mint));
    let transfer = |_: &World, n| Event::Transfer {
        pool: pool.clone(),
        from: holder(n),
        to: holder((n + 1) % ops),
        shares: 1_000_000,
    };
    line("transfer", world.timed(ops, transfer));
    let exit =
        |_: &World, n| Event::RequestExit { pool: pool.clone(), holder: holder(n), shares: 500_000_000 };
    line("request an exit", world.timed(ops, exit));
    let slashed = stakes / PROVIDERS;
    let slash = |world: &World, n: u32| Event::Slash { provider: world.providers[n as usize] };
    let time = world.timed(5, slash);
    line(&format!("slash a provider of {slashed} stakes"), time);
    let start = Instant::now();
    world.book.check().expect("books that balance");
    line("add everything up anew", start.elapsed());
}

fn main() {
    // Run as a test, once and small.
    let bench = std::env::args().any(|argument| argument == "--bench");
    let sizes: &[u32] = if bench { &[1_000_000, 100_000, 1_000] } else { &[1_000] };
    for (at, stakes) in sizes.iter().enumerate() {
        // Only the first books grow into fresh memory; later ones take what those before have left.
        measure(*stakes, at == 0);
    }
}
