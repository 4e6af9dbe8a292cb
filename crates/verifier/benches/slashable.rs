//! What a service's whole verdict costs, from a proof to a stake that can be slashed, beside the BIP-0340 verifications that
//! it contains, measured in turns in the same run.

mod common;
#[path = "../../tx/benches/common/mod.rs"]
mod signed;

use std::hint::black_box;
use std::time::Duration;

use bitcoin::Network;
use bitcoin::key::Secp256k1;
use bitcoin::secp256k1::All;
use common::proven;
use signed::{Floor, fastest, timed};
use tapstake_params::{Schedule, local};
use tapstake_verifier::headers::HeaderChain;
use tapstake_verifier::{
    Claim, Depth, Policy, Registration, ServicePolicy, StakeProof, VerifiedStake, verify_slashable,
};

struct World {
    secp: Secp256k1<All>,
    schedule: Schedule,
    policy: ServicePolicy,
    chain: HeaderChain,
    proof: StakeProof,
    signatures: usize,
}

/// A quorum of the committee has signed.
fn world(threshold: usize, members: u8, providers: u8) -> World {
    let secp = Secp256k1::new();
    let local = local::schedule(&secp, Network::Regtest, local::Slashed::Burned).expect("a local schedule");
    let (schedule, package) = signed::delegation(&secp, &local, (threshold, members), providers, threshold);
    let claim = Claim {
        staker: package.staker,
        providers: package.providers,
        staking_time: package.staking_time,
        registration: Registration::None,
    };
    // Possession, two by the staker; of each member one, and two for each provider.
    let signatures = 3 + threshold * (1 + 2 * usize::from(providers));
    let policy = ServicePolicy::new(Policy::new(Depth::Confirmations(1)), [claim.providers.keys()[0]]);
    let (chain, proof) = proven(claim, package.staking_tx.unsigned().clone(), Some(package.parts));
    World { secp, schedule, policy, chain, proof, signatures }
}

impl World {
    fn verify(&self) -> VerifiedStake {
        let World { secp, schedule, policy, chain, proof, .. } = self;
        verify_slashable(secp, black_box(proof), chain, schedule, policy).expect("a valid proof")
    }
}

fn measure(name: &str, world: &World, rounds: usize) {
    let World { secp, signatures, proof, .. } = world;
    let floor = Floor::new(secp, *signatures);
    let bytes = proof.to_bytes();
    // In turns, so that whatever else the machine does hits all alike.
    let mut times: [Vec<Duration>; 3] = Default::default();
    for _ in 0..rounds {
        times[0].push(timed(|| floor.verify()));
        times[1].push(timed(|| world.verify()));
        times[2].push(timed(|| StakeProof::from_bytes(black_box(&bytes))));
    }
    let [floor, verdict, read] = times.map(fastest);
    println!("{name}: {signatures} signatures, {} bytes, fastest of {rounds} rounds", bytes.len());
    println!("  floor, {signatures} BIP-0340 verifications   {floor:>9.1} µs");
    println!("  verdict, from proof to stake      {verdict:>9.1} µs   {:.3} x floor", verdict / floor);
    println!("  read from bytes                   {read:>9.1} µs");
}

fn main() {
    // Run as a test, once; run as a benchmark, often enough for a quiet moment.
    let rounds = if std::env::args().any(|argument| argument == "--bench") { 301 } else { 1 };
    measure("6 of 9 members, 1 provider", &world(6, 9, 1), rounds);
    measure("15 of 20 members, 5 providers", &world(15, 20, 5), rounds);
}
