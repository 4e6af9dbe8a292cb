//! What headers and proofs cost to check, beside the hashes they cannot avoid.
//!
//! A mainnet header is checked like a regtest one, but for one retarget in 2016.

mod common;

use bitcoin::block::Header;
use bitcoin::hashes::{Hash, sha256d};
use bitcoin::key::Secp256k1;
use bitcoin::{Amount, Network, OutPoint, ScriptBuf, TxMerkleNode, TxOut, Txid, XOnlyPublicKey};
use common::{DEPTH, header, proven, tx};
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use tapstake_params::{Schedule, Timelock, local};
use tapstake_script::{Providers, StakeTerms};
use tapstake_verifier::headers::{Anchor, HeaderChain, HeaderValidator};
use tapstake_verifier::{Claim, Depth, Policy, Registration, StakeProof, verify};

const HEADERS: usize = 2016;

fn main() {
    divan::main();
}

fn headers() -> Vec<Header> {
    let mut headers = vec![*Anchor::genesis(Network::Regtest).header()];
    while headers.len() <= HEADERS {
        headers.push(header(&headers[headers.len() - 1], TxMerkleNode::all_zeros()));
    }
    headers.split_off(1)
}

/// The floor: SHA-256d of 80 bytes, once a header.
#[divan::bench]
fn header_floor(bencher: Bencher<'_, '_>) {
    let raw = [7u8; 80];
    bencher.counter(ItemsCount::new(HEADERS)).bench_local(|| {
        for _ in 0..HEADERS {
            black_box(sha256d::Hash::hash(black_box(&raw)));
        }
    });
}

/// All rules, from the raw 80 bytes.
#[divan::bench]
fn header_all_rules_raw(bencher: Bencher<'_, '_>) {
    let serialize = |header: &Header| -> [u8; 80] {
        bitcoin::consensus::serialize(header).try_into().expect("a header has 80 bytes")
    };
    let raw: Vec<[u8; 80]> = headers().iter().map(serialize).collect();
    let start = HeaderValidator::new(&Anchor::genesis(Network::Regtest));
    bencher.counter(ItemsCount::new(HEADERS)).bench_local(|| {
        let mut validator = start.clone();
        for raw in black_box(&raw) {
            validator.push_raw(raw, None).expect("a valid header");
        }
        validator
    });
}

/// All rules and the light client's store, from decoded headers.
#[divan::bench]
fn header_all_rules_chain(bencher: Bencher<'_, '_>) {
    let headers = headers();
    let start = HeaderChain::new(Anchor::genesis(Network::Regtest), 6);
    bencher.counter(ItemsCount::new(HEADERS)).bench_local(|| {
        let mut chain = start.clone();
        chain.extend(black_box(&headers)).expect("valid headers");
        chain
    });
}

struct World {
    schedule: Schedule,
    policy: Policy,
    chain: HeaderChain,
    proof: StakeProof,
}

fn key(hex: &str) -> XOnlyPublicKey {
    hex.parse().expect("a key on the curve")
}

fn world() -> World {
    let secp = Secp256k1::new();
    let schedule =
        local::schedule(&secp, Network::Regtest, local::Slashed::Burned).expect("a local schedule");
    let claim = Claim {
        staker: key("79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"),
        providers: Providers::one(key("c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5")),
        staking_time: Timelock::new(1000).expect("in range"),
        registration: Registration::None,
    };
    let terms =
        StakeTerms::under(schedule.latest(), claim.staker, claim.providers.clone(), claim.staking_time)
            .expect("distinct keys");
    let script_pubkey = terms.staking_output(&secp).script_pubkey().clone();
    let staking_output = TxOut { value: Amount::from_sat(50_000), script_pubkey };
    let stake = tx(OutPoint::new(Txid::hash(b"coin"), 0), ScriptBuf::new(), vec![staking_output]);
    let (chain, proof) = proven(claim, stake, None);
    World { schedule, policy: Policy::new(Depth::Confirmations(1)), chain, proof }
}

/// The floor: SHA-256d of 64 bytes, once a level.
#[divan::bench]
fn branch_floor(bencher: Bencher<'_, '_>) {
    let nodes = [7u8; 64];
    bencher.bench_local(|| {
        for _ in 0..DEPTH {
            black_box(sha256d::Hash::hash(black_box(&nodes)));
        }
    });
}

/// One branch from txid to root.
#[divan::bench]
fn branch_root(bencher: Bencher<'_, '_>) {
    let world = world();
    let txid = world.proof.inclusion.tx().compute_txid();
    bencher.bench_local(|| black_box(world.proof.inclusion.branch()).root(black_box(txid)));
}

/// Rules 7 to 11: both txids, both branches, the coinbase's height.
#[divan::bench]
fn inclusion_proof(bencher: Bencher<'_, '_>) {
    let world = world();
    let StakeProof { network, header, inclusion_height, .. } = &world.proof;
    bencher.bench_local(|| {
        black_box(&world.proof.inclusion)
            .verify(*network, header, *inclusion_height)
            .expect("a valid inclusion")
    });
}

/// The whole verdict: inclusion, and the staking output rebuilt from the terms.
#[divan::bench]
fn stake_proof(bencher: Bencher<'_, '_>) {
    let (world, secp) = (world(), Secp256k1::new());
    bencher.bench_local(|| {
        verify(&secp, black_box(&world.proof), &world.chain, &world.schedule, &world.policy)
            .expect("a valid proof")
    });
}

/// The binary encoding, read.
#[divan::bench]
fn stake_proof_from_bytes(bencher: Bencher<'_, '_>) {
    let bytes = world().proof.to_bytes();
    bencher.bench_local(|| StakeProof::from_bytes(black_box(&bytes)).expect("a valid encoding"));
}
