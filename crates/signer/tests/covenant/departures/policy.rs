//! What keeps every rule of the protocol, and not those of the member's policy.

use std::collections::BTreeSet;

use bitcoin::{Amount, FeeRate, Network, TxOut};
use tapstake_crypto::pop::{Context, PossessionForm};
use tapstake_params::{Height, SlashingRate};
use tapstake_signer::covenant::{Services, VersionAt};

use super::{Case, Row, rows};
use crate::world::{
    Make, PROVIDERS, blocks, coin, input, key, params, policy, possession, restake, sat, wallet_script,
};

fn known(providers: &[u32]) -> Services {
    services(&[("rollup-1", providers)])
}

fn services(services: &[(&str, &[u32])]) -> Services {
    let keys = |providers: &[u32]| providers.iter().map(|number| key(PROVIDERS + number)).collect();
    Services::Known(services.iter().map(|(name, providers)| ((*name).to_owned(), keys(providers))).collect())
}

fn two_versions(case: &mut Case) {
    let mut second = params();
    second.version = 1;
    second.activation_height = Height::new(100);
    case.policy = policy(vec![params(), second]);
}

fn in_context(case: &mut Case, service: &str, network: Network) {
    let context = Context::new(service, network).unwrap();
    case.package = Make { possession: possession(Some(context)), ..Make::default() }.package();
}

const POLICY: &[Row] = &[
    ("another network", |case| case.package.network = Network::Signet, "network", "signet"),
    (
        "a version that is not there",
        |case| case.package.params_version = 7,
        "params-version",
        "no parameters version 7",
    ),
    (
        "a version that no longer applies",
        |case| {
            two_versions(case);
            case.tip = Some(Height::new(99));
        },
        "params-version",
        "version 0 does not apply at height 100: version 1 does",
    ),
    (
        "a version that does not apply yet",
        |case| {
            two_versions(case);
            case.package.params_version = 1;
            case.tip = Some(Height::new(98));
        },
        "params-version",
        "version 1 does not apply at height 99: version 0 does",
    ),
    (
        "a version that applies at the next block only",
        |case| {
            two_versions(case);
            case.policy.rules.version_at = VersionAt::Tip;
            case.package.params_version = 1;
            case.tip = Some(Height::new(99));
        },
        "params-version",
        "version 1 does not apply at height 99",
    ),
    (
        "several versions and no tip",
        |case| {
            two_versions(case);
            case.tip = None;
        },
        "tip-unknown",
        "which of 2 parameters versions",
    ),
    (
        "parameters without slashing",
        |case| {
            let mut params = params();
            params.slashing = None;
            case.policy = policy(vec![params]);
        },
        "params-version",
        "does not say what a slashing takes",
    ),
    (
        "another slashing rate",
        |case| {
            let mut params = params();
            params.slashing.as_mut().unwrap().rate = SlashingRate::from_ten_thousandths(1_001).unwrap();
            case.policy = policy(vec![params]);
        },
        "slashing-rate",
        "100000 sat slashed, 100100 sat are due",
    ),
    (
        "an unknown provider",
        |case| case.policy.rules.services = known(&[0]),
        "unknown-provider",
        "is not in the policy",
    ),
    (
        "an unknown service",
        |case| {
            case.policy.rules.services = known(&[0, 1]);
            in_context(case, "rollup-2", Network::Regtest);
        },
        "unknown-service",
        "\"rollup-2\"",
    ),
    (
        "a service of the policy that none of the stake's providers is of",
        |case| {
            case.policy.rules.services = services(&[("rollup-1", &[7]), ("rollup-2", &[0, 1])]);
            in_context(case, "rollup-1", Network::Regtest);
        },
        "service-provider",
        "\"rollup-1\" of the proof of possession has none of the stake's providers",
    ),
    (
        "a proof of possession for another network",
        |case| in_context(case, "rollup-1", Network::Bitcoin),
        "possession-context",
        "for network bitcoin, not regtest",
    ),
    (
        "a proof of possession without a service",
        |case| case.policy.rules.possession_names_service = true,
        "possession-context",
        "names an account alone",
    ),
    (
        "a proof of possession in another form",
        |case| {
            case.policy.rules.possession_forms = BTreeSet::from([PossessionForm::Bip322]);
        },
        "possession-form",
        "form bip340",
    ),
    (
        "a value below the policy's",
        |case| case.policy.rules.min_value = Some(sat(1_000_001)),
        "policy-bounds",
        "1000000 sat is outside the policy's 1000001..=100000000 sat",
    ),
    (
        "a value above the policy's",
        |case| case.policy.rules.max_value = Some(sat(999_999)),
        "policy-bounds",
        "50000..=999999 sat",
    ),
    (
        "a time below the policy's",
        |case| case.policy.rules.min_staking_time = Some(blocks(1_001)),
        "policy-bounds",
        "1000 blocks is outside the policy's 1001..=64000 blocks",
    ),
    (
        "a time above the policy's",
        |case| case.policy.rules.max_staking_time = Some(blocks(999)),
        "policy-bounds",
        "100..=999 blocks",
    ),
    (
        "a staking fee too low",
        |case| case.package = Make { fee: 10, ..Make::default() }.package(),
        "fee-rate",
        "fee of 10 sat",
    ),
    (
        "a staking fee out of reason",
        |case| case.package = Make { fee: 400_000, ..Make::default() }.package(),
        "fee-rate",
        "fee of 400000 sat",
    ),
    (
        "coins of more than all bitcoin",
        |case| {
            let mut tx = case.package.staking_tx.unsigned().clone();
            tx.input.push(input(coin(3)));
            let script_pubkey = wallet_script();
            let prevouts = vec![TxOut { value: Amount::MAX, script_pubkey }; 2];
            restake(&mut case.package, tx, prevouts, &params());
        },
        "fee-rate",
        "fee of 2100000000000000 sat",
    ),
    (
        "a fee rate below the policy's",
        |case| case.policy.rules.min_fee_rate = FeeRate::from_sat_per_vb_u32(15),
        "fee-rate",
        "outside the policy's 15..=",
    ),
];

#[test]
fn a_member_refuses_what_its_policy_does_not_sign() {
    rows(POLICY);
}

#[test]
fn known_services_and_their_providers_are_signed_for() {
    let mut case = Case::new();
    case.policy.rules.services = known(&[0, 1]);
    case.policy.rules.possession_names_service = true;
    in_context(&mut case, "rollup-1", Network::Regtest);
    case.ask().unwrap();
    // Of two services that share a stake, either may be named: one of the providers is enough.
    case.policy.rules.services = services(&[("rollup-1", &[1]), ("rollup-2", &[0])]);
    case.ask().unwrap();
}

#[test]
fn the_version_at_the_tip_and_at_the_next_block_are_those_of_the_boundary() {
    let mut case = Case::new();
    two_versions(&mut case);
    for (at, tip, version) in [
        (VersionAt::NextBlock, 98, 0),
        (VersionAt::NextBlock, 99, 1),
        (VersionAt::Tip, 99, 0),
        (VersionAt::Tip, 100, 1),
    ] {
        case.policy.rules.version_at = at;
        case.package.params_version = version;
        case.tip = Some(Height::new(tip));
        case.ask().unwrap();
    }
}

#[test]
fn bounds_and_fees_are_inclusive() {
    for (value, time) in [(50_000, 100), (100_000_000, 64_000)] {
        Case { package: Make { value, time, ..Make::default() }.package(), ..Case::new() }.ask().unwrap();
    }
    // The least fee, and the greatest the policy has: ten times that.
    for slashing_fee in [2_000, 20_000] {
        Case { package: Make { slashing_fee, ..Make::default() }.package(), ..Case::new() }.ask().unwrap();
    }
    let rules = &mut Case::new();
    rules.policy.rules.min_value = Some(sat(1_000_000));
    rules.policy.rules.max_value = Some(sat(1_000_000));
    rules.policy.rules.min_staking_time = Some(blocks(1_000));
    rules.policy.rules.max_staking_time = Some(blocks(1_000));
    rules.ask().unwrap();
}
