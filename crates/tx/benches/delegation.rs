//! What the full check of a delegation costs, beside the BIP-0340 verifications that it contains, measured in turns in the
//! same run.

mod common;

use std::hint::black_box;
use std::time::Duration;

use bitcoin::key::Secp256k1;
use bitcoin::secp256k1::All;
use common::{Floor, fastest, timed};
use tapstake_params::Schedule;
use tapstake_tx::delegation::{CheckedDelegation, DelegationPackage, PreparedDelegation, Proven};

/// A delegation that every member has signed, and all it takes to check it.
struct Fixture {
    secp: Secp256k1<All>,
    schedule: Schedule,
    package: DelegationPackage,
}

fn fixture(threshold: usize, members: u8, providers: u8) -> Fixture {
    let secp = Secp256k1::new();
    let (committee, all) = ((threshold, members), members.into());
    let (schedule, package) = common::delegation(&secp, &Schedule::bbn_1(), committee, providers, all);
    Fixture { secp, schedule, package }
}

impl Fixture {
    fn prepare(&self) -> PreparedDelegation<'_> {
        self.package.prepare(&self.secp, &self.schedule).expect("a delegation by the rules")
    }

    fn check(&self) -> CheckedDelegation {
        self.package.check(&self.secp, &self.schedule).expect("a delegation by the rules")
    }

    fn check_on_threads(&self, threads: usize) -> CheckedDelegation {
        let prepared = self.prepare();
        let chunk = prepared.checks().len().div_ceil(threads);
        let tokens: Vec<Proven<'_>> = std::thread::scope(|scope| {
            let parts: Vec<_> = prepared
                .checks()
                .chunks(chunk)
                .map(|part| {
                    let verified = || part.iter().map(|check| check.verify(&self.secp));
                    scope.spawn(move || verified().collect::<Result<Vec<_>, _>>())
                })
                .collect();
            let parts = parts.into_iter().map(|part| part.join().expect("no panic"));
            parts.flat_map(|part| part.expect("right signatures")).collect()
        });
        prepared.accept(tokens).expect("every token")
    }
}

fn measure(name: &str, fixture: &Fixture, rounds: usize) {
    let signatures = fixture.prepare().checks().len();
    let floor = Floor::new(&fixture.secp, signatures);
    let bytes = fixture.package.to_bytes();
    // In turns, so that whatever else the machine does hits all alike.
    let mut times: [Vec<Duration>; 6] = Default::default();
    let prepared = fixture.prepare();
    for _ in 0..rounds {
        times[0].push(timed(|| floor.verify()));
        times[1].push(timed(|| fixture.check()));
        times[2].push(timed(|| fixture.check_on_threads(2)));
        times[3].push(timed(|| fixture.prepare()));
        times[4].push(timed(|| {
            for check in prepared.checks() {
                black_box(check.verify(&fixture.secp)).expect("right signatures");
            }
        }));
        times[5].push(timed(|| DelegationPackage::from_bytes(black_box(&bytes))));
    }
    let [floor, check, threads, prepare, alone, read] = times.map(fastest);
    println!("{name}: {signatures} signatures, {} bytes, fastest of {rounds} rounds", bytes.len());
    println!("  floor, {signatures} BIP-0340 verifications   {floor:>9.1} µs");
    println!("  full check                        {check:>9.1} µs   {:.3} x floor", check / floor);
    println!("  full check on two threads         {threads:>9.1} µs   {:.3} x floor", threads / floor);
    println!("  of it, the signatures             {alone:>9.1} µs   {:.3} x floor", alone / floor);
    println!("  of it, all else                   {prepare:>9.1} µs");
    println!("  read from bytes                   {read:>9.1} µs");
}

fn main() {
    // Run as a test, once; run as a benchmark, often enough for a quiet moment.
    let rounds = if std::env::args().any(|argument| argument == "--bench") { 301 } else { 1 };
    measure("6 of 9 members, 1 provider", &fixture(6, 9, 1), rounds);
    measure("15 of 20 members, 5 providers", &fixture(15, 20, 5), rounds);
}
