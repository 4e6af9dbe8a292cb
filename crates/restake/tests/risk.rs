//! The risk report: price against value, backing, queue, and what slashings would take.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

#[path = "support/pools.rs"]
mod support;

use bitcoin::XOnlyPublicKey;
use bitcoin::key::{Keypair, Secp256k1};
use support::*;
use tapstake_restake::{
    Backing, Depeg, Nav, PartsPerMillion, Pool, RiskError, RiskReport, SlashedProviders, StakeAtRisk,
};

fn provider(n: u8) -> XOnlyPublicKey {
    Keypair::from_seckey_slice(&Secp256k1::new(), &[n; 32]).unwrap().x_only_public_key().0
}

fn ppm(millionths: u32) -> PartsPerMillion {
    PartsPerMillion::new(millionths)
}

fn at_risk(n: u32, providers: &[XOnlyPublicKey], loss: u64) -> StakeAtRisk<'_> {
    StakeAtRisk { outpoint: outpoint(n), providers, loss: sat(loss) }
}

/// Ann has 6,000 sat and Bob 4,000; Bob waits to leave with a half.
fn two() -> Pool {
    let mut pool = pool_of("ann", 6_000);
    pool.mint(&holder("bob"), outpoint(1), sat(4_000)).unwrap();
    let half = pool.balance(&holder("bob")) / 2;
    pool.request_exit(&holder("bob"), half, at(1_000)).unwrap();
    pool
}

#[test]
fn a_price_below_the_value_is_a_discount_and_above_it_a_premium() {
    let mut pool = pool_of("ann", 1_000_000);
    pool.reward(sat(250_000)).unwrap();
    let stake = [at_risk(0, &[], 0)];
    let look = |market: Option<u128>| RiskReport::new(&pool, at(1), market.map(Nav::new), stake).unwrap();
    assert_eq!(look(None).nav, Nav::new(1_249_999));
    assert_eq!(look(None).depeg, None);
    assert_eq!(look(Some(1_249_999)).depeg, Some(Depeg::AtPar));
    assert_eq!(look(Some(1_000_000)).depeg, Some(Depeg::Discount(ppm(199_999))));
    assert_eq!(look(Some(0)).depeg, Some(Depeg::Discount(ppm(1_000_000))));
    assert_eq!(look(Some(1_312_500)).depeg, Some(Depeg::Premium(ppm(50_000))));
}

#[test]
fn what_nobody_is_owed_is_lost_first_in_a_scenario_too() {
    let mut pool = pool_of("ann", 10_000);
    pool.mint(&holder("bob"), outpoint(1), sat(10_000)).unwrap();
    pool.slash(&[(outpoint(0), sat(1_000))]).unwrap();
    pool.end_stake(outpoint(0), sat(10_000)).unwrap();
    let keys = [provider(1)];
    let stake = [at_risk(1, &keys, 1_500)];
    let worst = RiskReport::new(&pool, at(1), None, stake).unwrap().every_provider;
    assert_eq!((worst.loss, worst.from_shares, worst.from_queue), (sat(1_500), sat(500), sat(0)));
    assert_eq!(worst.part, ppm(26_316));
}

#[test]
fn a_share_of_whatever_value_can_be_looked_at() {
    // One satoshi of shares is given a fortune.
    let mut pool = pool_of("ann", 1);
    pool.reward(sat(1_000_000_000_000)).unwrap();
    let stake = [at_risk(0, &[], 0)];
    let look = |market: &str| RiskReport::new(&pool, at(1), Some(market.parse().unwrap()), stake);
    let report = look("500000000001").unwrap();
    assert_eq!((report.nav.to_string().as_str(), report.depeg), ("500000000001", Some(Depeg::AtPar)));
    assert_eq!(look("250000000000.5").unwrap().depeg, Some(Depeg::Discount(ppm(500_000))));
    let absurd = look("5000000000000000").unwrap_err();
    assert_eq!(absurd, RiskError::Overflow("the difference of price and value"));
}

#[test]
fn a_value_reads_as_it_prints() {
    for (text, millionths) in [("1", 1_000_000), ("0.995", 995_000), ("0", 0), ("12.000001", 12_000_001)] {
        assert_eq!(text.parse(), Ok(Nav::new(millionths)));
        assert_eq!(Nav::new(millionths).to_string(), text);
    }
    let long = "9".repeat(40);
    for bad in ["", ".5", "1.", "-1", "+1", "1.0000001", "1e3", "0,9", "1.5.0", long.as_str()] {
        assert!(bad.parse::<Nav>().is_err(), "{bad}");
    }
}

#[test]
fn the_queue_is_told_in_satoshi_and_in_blocks() {
    let mut pool = two();
    let stakes = [at_risk(0, &[], 0), at_risk(1, &[], 0)];
    let queue = |pool: &Pool, height| RiskReport::new(pool, at(height), None, stakes).unwrap().queue;
    let now = queue(&pool, 1_030);
    assert_eq!((now.exits, now.claims, now.blocks, now.cash), (1, sat(2_000), 70, sat(0)));
    pool.request_withdrawal(&holder("ann"), sat(10), at(1_020)).unwrap();
    pool.end_stake(outpoint(1), sat(3_999)).unwrap();
    let now = queue(&pool, 1_030);
    assert_eq!((now.exits, now.claims, now.blocks, now.cash), (2, sat(2_010), 90, sat(3_999)));
    assert_eq!(queue(&pool, 1_120).blocks, 0);
    let report = RiskReport::new(&pool, at(1_030), None, stakes).unwrap();
    assert_eq!(report.backing, Backing { reserves: sat(9_999), issued: sat(10_000) });
    assert_eq!(report.backing_ratio, Some(ppm(999_900)));
}

#[test]
fn a_stake_with_several_providers_is_in_each_scenario_and_once_in_the_worst() {
    let pool = two();
    let mut keys = [provider(1), provider(2), provider(3)];
    keys.sort();
    let [a, b, c] = keys;
    // Provider c is behind a stake that is not in the pool.
    let (first, second, other) = ([a, b], [b], [c]);
    let stakes = [at_risk(0, &first, 600), at_risk(1, &second, 800), at_risk(7, &other, 5_000)];
    let report = RiskReport::new(&pool, at(1_000), None, stakes).unwrap();
    let told: Vec<_> =
        report.providers.iter().map(|s| (s.slashed, s.stakes, s.loss.to_sat(), s.part)).collect();
    assert_eq!(
        told,
        [(SlashedProviders::One(a), 1, 600, ppm(60_000)), (SlashedProviders::One(b), 2, 1_400, ppm(140_000)),]
    );
    let every = report.every_provider;
    assert_eq!((every.slashed, every.stakes, every.loss), (SlashedProviders::Every, 2, sat(1_400)));
    assert_eq!((every.from_shares, every.from_queue), (sat(1_120), sat(280)));
}

#[test]
fn a_provider_that_a_stake_names_twice_slashes_it_once() {
    let pool = pool_of("ann", 1_000);
    let twice = [provider(1), provider(1)];
    let report = RiskReport::new(&pool, at(1), None, [at_risk(0, &twice, 100)]).unwrap();
    let [one] = report.providers.as_slice() else { panic!("{:?}", report.providers) };
    assert_eq!((one.stakes, one.loss), (1, sat(100)));
}

#[test]
fn the_part_that_a_scenario_takes_is_rounded_up() {
    let pool = pool_of("ann", 3_000_001);
    let report = RiskReport::new(&pool, at(1), None, [at_risk(0, &[], 1)]).unwrap();
    assert_eq!(report.every_provider.part, ppm(1));
}

#[test]
fn no_scenario_takes_more_than_a_stake_has() {
    let pool = pool_of("ann", 1_000);
    let every = RiskReport::new(&pool, at(1), None, [at_risk(0, &[], 1_001)]).unwrap().every_provider;
    assert_eq!((every.loss, every.part), (sat(1_000), PartsPerMillion::ONE));
}

#[test]
fn a_scenario_is_what_the_slash_then_does() {
    let mut pool = two();
    let keys = [provider(1)];
    let stakes = [at_risk(0, &keys, 1_001), at_risk(1, &keys, 77)];
    let worst = |pool: &Pool| RiskReport::new(pool, at(1_000), None, stakes).unwrap().every_provider;

    let (told, mut together) = (worst(&pool), pool.clone());
    let loss = together.slash(&[(outpoint(0), sat(1_001)), (outpoint(1), sat(77))]).unwrap();
    assert_eq!((told.from_shares, told.from_queue), (loss.shares, loss.queue));

    // What was slashed is no longer at risk, and the rest is divided together with it.
    pool.slash(&[(outpoint(0), sat(1_001))]).unwrap();
    let told = worst(&pool);
    assert_eq!((told.stakes, told.loss), (1, sat(77)));
    let loss = pool.slash(&[(outpoint(1), sat(77))]).unwrap();
    assert_eq!((told.from_shares, told.from_queue), (loss.shares, loss.queue));
    assert_eq!(pool, together);
}

#[test]
fn no_scenario_is_told_without_every_stake_of_the_pool() {
    let pool = two();
    let refusal = RiskReport::new(&pool, at(1), None, [at_risk(0, &[], 600)]).unwrap_err();
    assert_eq!(refusal, RiskError::MissingStake(outpoint(1)));
}

#[test]
fn an_empty_pool_has_a_report() {
    let report = RiskReport::new(&pool(), at(1), Some(Nav::ONE), []).unwrap();
    assert_eq!((report.nav, report.depeg), (Nav::ONE, Some(Depeg::AtPar)));
    assert_eq!((report.backing_ratio, report.providers.len(), report.queue.blocks), (None, 0, 0));
    assert_eq!((report.every_provider.loss, report.every_provider.part), (sat(0), ppm(0)));
}

#[test]
fn a_pool_that_lost_everything_says_so() {
    let mut pool = pool_of("ann", 1_000);
    pool.slash(&[(outpoint(0), sat(1_000))]).unwrap();
    let report = RiskReport::new(&pool, at(1), Some(Nav::new(5)), []).unwrap();
    assert!(report.frozen);
    assert_eq!((report.backing.issued, report.every_provider.loss), (sat(0), sat(0)));
}

#[test]
fn the_report_is_json() {
    let pool = two();
    let keys = [provider(1)];
    let stakes = [at_risk(0, &keys, 600), at_risk(1, &[], 0)];
    let report = RiskReport::new(&pool, at(1_000), Some(Nav::new(900_000)), stakes).unwrap();
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["depeg"], serde_json::json!({ "discount": 100_000 }));
    assert_eq!(json["backing"], serde_json::json!({ "reserves": 10_000, "issued": 10_000 }));
    assert_eq!(json["providers"][0]["slashed"]["one"], provider(1).to_string());
    assert_eq!(json["every_provider"]["slashed"], "every");
    assert_eq!(json["every_provider"]["from_queue"], 120);
}
