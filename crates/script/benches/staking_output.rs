//! What a staking output costs, beside the one tweak it cannot avoid.

use bitcoin::XOnlyPublicKey;
use bitcoin::key::{Secp256k1, TapTweak};
use divan::{Bencher, black_box};
use tapstake_params::{Schedule, Timelock};
use tapstake_script::{Providers, StakeTerms, nums_key};

fn main() {
    divan::main();
}

/// The terms of a mainnet stake: one provider, six of nine covenant keys, all parsed.
fn terms() -> StakeTerms {
    let key = |hex: &str| hex.parse::<XOnlyPublicKey>().expect("a key on the curve");
    let staker = key("79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798");
    let provider = key("c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5");
    let time = Timelock::new(64_000).expect("in range");
    let babylon = Schedule::bbn_1();
    StakeTerms::under(babylon.latest(), staker, Providers::one(provider), time).expect("distinct keys")
}

/// The floor: the internal key tweaked by a Merkle root.
#[divan::bench]
fn tap_tweak(bencher: Bencher<'_, '_>) {
    let secp = Secp256k1::new();
    let output = terms().staking_output(&secp);
    let (key, root) = (nums_key(), output.merkle_root());
    bencher.bench_local(|| black_box(key).tap_tweak(&secp, Some(black_box(root))));
}

/// The staking output with its leaves, hashes and control blocks, from parsed keys.
#[divan::bench]
fn staking_output(bencher: Bencher<'_, '_>) {
    let secp = Secp256k1::new();
    let terms = terms();
    bencher.bench_local(|| black_box(&terms).staking_output(&secp));
}
