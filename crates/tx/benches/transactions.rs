//! What unbonding and slashing transactions cost from terms to the staker's signature, beside the signature itself.

use bitcoin::key::{Keypair, Secp256k1};
use bitcoin::secp256k1::{All, Message};
use bitcoin::{Amount, OutPoint};
use divan::{Bencher, black_box};
use tapstake_params::{Schedule, StakingParams, Timelock};
use tapstake_script::{Providers, StakeTerms};
use tapstake_tx::{SlashingTx, Stake, UnbondingTx};

fn main() {
    divan::main();
}

struct Fixture {
    secp: Secp256k1<All>,
    staker: Keypair,
    params: StakingParams,
    stake: Stake,
}

/// A mainnet stake: one provider, six of nine covenant keys, all parsed.
fn fixture() -> Fixture {
    let secp = Secp256k1::new();
    let keypair = |n| Keypair::from_seckey_slice(&secp, &[n; 32]).expect("a valid secret key");
    let (staker, provider) = (keypair(7), keypair(8).x_only_public_key().0);
    let params = Schedule::bbn_1().latest().clone();
    let time = Timelock::new(64_000).expect("in range");
    let terms = StakeTerms::under(&params, staker.x_only_public_key().0, Providers::one(provider), time)
        .expect("distinct keys");
    let stake = Stake::new(&secp, terms, OutPoint::null(), Amount::ONE_BTC);
    Fixture { secp, staker, params, stake }
}

/// The floor of a transaction whose outputs are known: one BIP-0340 signature.
#[divan::bench]
fn bip_0340_sign(bencher: Bencher<'_, '_>) {
    let Fixture { secp, staker, .. } = fixture();
    let message = Message::from_digest([3; 32]);
    bencher.bench_local(|| secp.sign_schnorr_with_aux_rand(black_box(&message), &staker, &[0; 32]));
}

/// The unbonding transaction with its output, unsigned.
#[divan::bench]
fn unbonding_built(bencher: Bencher<'_, '_>) {
    let Fixture { secp, params, stake, .. } = fixture();
    bencher.bench_local(|| UnbondingTx::build(&secp, black_box(&stake), params.unbonding_fee));
}

/// The digest and the staker's signature of a built unbonding transaction.
#[divan::bench]
fn unbonding_signed(bencher: Bencher<'_, '_>) {
    let Fixture { secp, staker, params, stake } = fixture();
    let unbonding = UnbondingTx::build(&secp, &stake, params.unbonding_fee).expect("large enough");
    bencher.bench_local(|| black_box(&unbonding).spend(&stake).sign(&secp, &staker, &[0; 32]));
}

/// The slashing transaction of the staking output, unsigned.
#[divan::bench]
fn slashing_built(bencher: Bencher<'_, '_>) {
    let Fixture { params, stake, .. } = fixture();
    let rules = params.slashing.expect("mainnet slashes");
    bencher.bench_local(|| {
        SlashingTx::build(black_box(stake.coin()), stake.refund_output(), &rules, rules.min_fee)
    });
}

/// The slashing transaction of the staking output, with digest and the staker's signature.
#[divan::bench]
fn slashing_built_and_signed(bencher: Bencher<'_, '_>) {
    let Fixture { secp, staker, params, stake } = fixture();
    let rules = params.slashing.expect("mainnet slashes");
    bencher.bench_local(|| {
        let (coin, refund) = (black_box(stake.coin()), stake.refund_output());
        let slashing = SlashingTx::build(coin, refund, &rules, rules.min_fee).expect("large enough");
        slashing.spend(coin).sign(&secp, &staker, &[0; 32])
    });
}
