//! Bad input is answered with the name of the rule, and never with a panic.

use crate::support::{KEYS, OFF_CURVE, PROVIDER, STAKER, error, parties, refused};
use crate::tx::stake;

fn staking(parties: &str) -> String {
    format!("script staking {parties} --timelock 100")
}

#[test]
fn timelocks_out_of_range_are_refused() {
    for blocks in ["0", "65536", "4294967296", "18446744073709551615"] {
        let line = format!("script staking {} --timelock {blocks}", parties(&[1], &[2], 1));
        let message = refused(&line, 1, "timelock");
        assert_eq!(message, format!("timelock of {blocks} blocks is outside 1..=65535"));
        refused(&format!("script refund --staker {STAKER} --timelock {blocks}"), 1, "timelock");
        let line = format!("tx unbonding {} --fee 1 --staking-time {blocks}", stake(100_000));
        refused(&line, 1, "timelock");
    }
    for blocks in ["1", "65535"] {
        crate::support::json(&format!("script refund --staker {STAKER} --timelock {blocks}"));
    }
    for blocks in ["-1", "x", "1.5", "18446744073709551616"] {
        error(&format!("script refund --staker {STAKER} --timelock={blocks}"), 2);
    }
}

#[test]
fn quorums_out_of_range_are_refused() {
    for quorum in [0, 4, 1000] {
        let message = refused(&staking(&parties(&[1], &[2, 3, 4], quorum)), 1, "quorum");
        assert!(message.contains(&format!("threshold {quorum} is outside 1..=3")), "{message}");
    }
}

#[test]
fn duplicate_keys_are_refused_whatever_their_roles() {
    refused(&staking(&parties(&[1], &[2, 3, 2], 2)), 1, "duplicate-key");
    refused(&staking(&parties(&[1, 1], &[2, 3], 2)), 1, "duplicate-key");
    refused(&staking(&parties(&[0], &[2, 3], 2)), 1, "duplicate-key");
    refused(&staking(&parties(&[1], &[0, 3], 2)), 1, "duplicate-key");
    refused(&staking(&parties(&[1, 3], &[2, 3], 2)), 1, "duplicate-key");
    // Both forms of one key are one key.
    let line = staking(&format!("{} --provider 03{STAKER}", parties(&[1], &[2, 3], 2)));
    refused(&line, 1, "duplicate-key");
    let op_return =
        format!("script op-return --tag 00000000 --staker {STAKER} --provider {STAKER} --timelock 1");
    refused(&op_return, 1, "duplicate-key");
}

#[test]
fn keys_off_the_curve_are_refused_and_those_of_another_length_are_no_keys() {
    for key in [OFF_CURVE.to_owned(), format!("02{OFF_CURVE}"), format!("04{STAKER}"), format!("00{STAKER}")]
    {
        let line =
            staking(&format!("--staker {key} --provider {PROVIDER} --covenant {} --quorum 1", KEYS[2]));
        assert!(refused(&line, 1, "key").contains(&key));
    }
    for key in ["", "00", "zz", &STAKER[1..], &format!("{STAKER}0000")] {
        error(&format!("script refund --timelock 1 --staker={key}"), 2);
    }
}

#[test]
fn too_many_keys_are_refused() {
    // 65 covenant members; that some are the same is found out later.
    let members: Vec<usize> = (0..65).map(|member| 2 + member % 9).collect();
    refused(&staking(&parties(&[1], &members, 1)), 1, "key-count");
}

#[test]
fn amounts_below_dust_are_refused() {
    let message = refused(&format!("tx unbonding {} --fee 1000", stake(1_329)), 1, "dust");
    assert!(message.contains("output of 329 sat is dust: below 330 sat"), "{message}");
    crate::support::json(&format!("tx unbonding {} --fee 1000", stake(1_330)));
    refused(&format!("tx unbonding {} --fee 1000", stake(999)), 1, "too-small");
    let slashing = |value, rate: &str, fee| {
        format!(
            "tx slashing {} --spends staking --staking-time 100 --slashing-script 0014{} --slashing-rate {rate} --fee {fee}",
            stake(value),
            "11".repeat(20)
        )
    };
    refused(&slashing(2_000, "0.1", 300), 1, "dust");
    refused(&slashing(10_000, "0.1", 8_700), 1, "dust");
    refused(&slashing(10_000, "0.1", 9_001), 1, "too-small");
}

#[test]
fn amounts_above_all_bitcoin_are_refused() {
    refused(&format!("tx unbonding {} --fee 1000", stake(2_100_000_000_000_001)), 1, "amount");
    refused(&format!("tx unbonding {} --fee {}", stake(100_000), u64::MAX), 1, "amount");
    error(&format!("tx unbonding {} --fee 18446744073709551616", stake(100_000)), 2);
}

#[test]
fn slashing_rates_that_are_none_are_refused() {
    for rate in ["0", "1", "1.5", "0.00001", "x", "1e-3", ".1"] {
        let line = format!(
            "tx slashing {} --spends staking --staking-time 1 --slashing-script 6a --fee 1 --slashing-rate {rate}",
            stake(100_000)
        );
        refused(&line, 1, "slashing-rate");
    }
}

#[test]
fn a_slashed_unbonding_output_needs_the_unbonding_fee() {
    let line = format!(
        "tx slashing {} --spends unbonding --staking-time 1 --slashing-script 6a --fee 1 --slashing-rate 0.1",
        stake(100_000)
    );
    let message = error(&line, 2)["message"].as_str().unwrap().to_owned();
    assert!(message.contains("--unbonding-fee"), "{message}");
}

#[test]
fn addresses_of_another_network_are_refused() {
    let mainnet = "bc1q9vza2e8x573nczrlzms0wvx3gsqjx7vavgkx0l";
    let line = format!("params show --network regtest --params local-paying:{mainnet}");
    refused(&line, 1, "address-network");
    refused("params show --params local-paying:nonsense", 1, "address");
}

#[test]
fn parameters_of_another_network_are_refused() {
    refused("params show --params bbn-1 --network signet", 1, "network");
    refused("params show --params local --network mainnet", 1, "public-covenant");
    refused("params show --params bbn-1 --at 857909", 1, "params-version");
    error("params show --params there-is-no-such-file", 1);
}
