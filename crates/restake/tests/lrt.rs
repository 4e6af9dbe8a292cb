//! Receipts over receipts: what they hold, what services count of it, and that a loss reaches them once.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

#[path = "support/pools.rs"]
mod support;

use support::*;
use tapstake_restake::{
    Depeg, LrtError, LrtPool, LrtRiskReport, Nav, PartsPerMillion, Pool, PoolError, RiskReport, ServiceId,
    ShareError, StakeAtRisk, VIRTUAL_SHARES,
};

fn service(name: &str) -> ServiceId {
    ServiceId::new(name).unwrap()
}

fn percent(percent: u32) -> PartsPerMillion {
    PartsPerMillion::percent(percent).unwrap()
}

/// Ann has 1,000 sat in shares, all of them deposited; Bob has 1,000 sat in shares of the pool.
fn deposited() -> (Pool, LrtPool) {
    let mut pool = pool_of("ann", 1_000);
    pool.mint(&holder("bob"), outpoint(1), sat(1_000)).unwrap();
    let mut lrt = LrtPool::new(holder("lrt"), percent(250));
    let all = pool.balance(&holder("ann"));
    lrt.deposit(&mut pool, &holder("ann"), all).unwrap();
    (pool, lrt)
}

#[test]
fn a_deposit_comes_back_as_it_was() {
    let (mut pool, mut lrt) = deposited();
    let thousand = 1_000 * VIRTUAL_SHARES;
    assert_eq!((pool.balance(&holder("ann")), pool.balance(&holder("lrt"))), (0, thousand));
    assert_eq!((lrt.assets(), lrt.balance(&holder("ann"))), (thousand, thousand * VIRTUAL_SHARES));
    lrt.transfer(&holder("ann"), &holder("carol"), thousand * VIRTUAL_SHARES / 4).unwrap();
    let quarter = lrt.balance(&holder("carol"));
    assert_eq!(lrt.redeem(&mut pool, &holder("carol"), quarter), Ok(thousand / 4));
    let rest = lrt.balance(&holder("ann"));
    assert_eq!(lrt.redeem(&mut pool, &holder("ann"), rest), Ok(thousand / 4 * 3));
    assert_eq!((lrt.assets(), lrt.supply(), lrt.holders().len()), (0, 0, 0));
    assert_eq!((worth(&pool, "carol"), worth(&pool, "ann")), (250, 750));
}

#[test]
fn services_count_more_than_there_is_and_each_satoshi_is_lost_once() {
    let (mut pool, mut lrt) = deposited();
    lrt.choose(service("oracle"), percent(100)).unwrap();
    lrt.choose(service("bridge"), percent(100)).unwrap();
    lrt.choose(service("chain"), percent(50)).unwrap();
    let exposure = lrt.exposure(&pool).unwrap();
    assert_eq!(exposure.nominal.into_values().collect::<Vec<_>>(), [1_000, 500, 1_000]);
    assert_eq!((exposure.nominal_sum, exposure.value), (2_500, sat(1_000)));
    assert_eq!(exposure.leverage, percent(250));
    // Half of everything is slashed: all three services count half, the deposit has lost a half, and Bob as well.
    pool.slash(&[(outpoint(0), sat(1_000))]).unwrap();
    let exposure = lrt.exposure(&pool).unwrap();
    assert_eq!((exposure.nominal_sum, exposure.value), (1_250, sat(500)));
    assert_eq!(worth(&pool, "bob"), 500);
    let all = lrt.balance(&holder("ann"));
    lrt.redeem(&mut pool, &holder("ann"), all).unwrap();
    assert_eq!(worth(&pool, "ann"), 500);
}

#[test]
fn the_limit_on_leverage_holds() {
    let mut lrt = LrtPool::new(holder("lrt"), percent(150));
    let (oracle, bridge) = (service("oracle"), service("bridge"));
    lrt.choose(oracle.clone(), percent(100)).unwrap();
    let before = lrt.clone();
    for part in [PartsPerMillion::ZERO, PartsPerMillion::new(1_000_001)] {
        let refusal = lrt.choose(bridge.clone(), part);
        assert_eq!(refusal, Err(LrtError::Part { service: bridge.clone(), part }));
    }
    let refusal = lrt.choose(bridge.clone(), PartsPerMillion::new(500_001)).unwrap_err();
    assert_eq!(refusal.to_string(), "with bridge the services would count more than 150% of the deposits");
    assert_eq!(lrt.leave(&bridge), Err(LrtError::UnknownService(bridge.clone())));
    assert_eq!(lrt, before);
    lrt.choose(bridge.clone(), percent(50)).unwrap();
    // Chosen again, a service is counted once.
    lrt.choose(bridge, percent(40)).unwrap();
    lrt.leave(&oracle).unwrap();
    assert_eq!(lrt.services().len(), 1);
}

#[test]
fn rewards_of_the_services_reach_every_share_alike() {
    let (mut pool, mut lrt) = deposited();
    let half = pool.balance(&holder("bob")) / 2;
    lrt.reward(&mut pool, &holder("bob"), half).unwrap();
    let all = lrt.balance(&holder("ann"));
    let worth = lrt.redemption_floor(all).unwrap();
    assert!(worth <= half * 3 && half * 3 - worth <= 1, "{worth}");
    let mut empty = LrtPool::new(holder("other"), percent(100));
    assert_eq!(empty.reward(&mut pool, &holder("bob"), half), Err(LrtError::Pool(PoolError::NoHolders)));
}

/// What is sent to the account is no deposit: the balance there is never read as assets.
#[test]
fn a_gift_to_the_account_moves_no_rate() {
    let mut pool = pool_of("mallory", 1_000_000);
    pool.mint(&holder("victim"), outpoint(1), sat(1_000)).unwrap();
    let mut lrt = LrtPool::new(holder("lrt"), percent(100));
    lrt.deposit(&mut pool, &holder("mallory"), 1).unwrap();
    let gift = pool.balance(&holder("mallory"));
    pool.transfer(&holder("mallory"), &holder("lrt"), gift).unwrap();
    assert_eq!(lrt.assets(), 1);
    let all = pool.balance(&holder("victim"));
    assert_eq!(lrt.deposit(&mut pool, &holder("victim"), all), Ok(all * VIRTUAL_SHARES));
    assert_eq!(lrt.redemption_floor(lrt.balance(&holder("victim"))), Some(all));
}

#[test]
fn inflation_by_the_first_depositor_costs_more_than_it_brings() {
    let mut pool = pool_of("mallory", 1_000_000);
    pool.mint(&holder("victim"), outpoint(1), sat(1_000)).unwrap();
    let mut lrt = LrtPool::new(holder("lrt"), percent(100));
    lrt.deposit(&mut pool, &holder("mallory"), 1).unwrap();
    let gift = pool.balance(&holder("mallory"));
    lrt.reward(&mut pool, &holder("mallory"), gift).unwrap();
    let all = pool.balance(&holder("victim"));
    lrt.deposit(&mut pool, &holder("victim"), all).unwrap();
    let back = lrt.redemption_floor(lrt.balance(&holder("victim"))).unwrap();
    // A share of this pool has become worth half a satoshi, which is the most that rounding takes.
    assert!(all - back <= VIRTUAL_SHARES / 2 + 1, "{} is lost", all - back);
    assert!(lrt.redemption_floor(lrt.balance(&holder("mallory"))).unwrap() < gift / 2 + VIRTUAL_SHARES);
}

#[test]
fn an_account_that_was_emptied_stops_deposits_and_nothing_has_moved() {
    let (mut pool, mut lrt) = deposited();
    pool.transfer(&holder("lrt"), &holder("thief"), 1).unwrap();
    let (pool_before, lrt_before) = (pool.clone(), lrt.clone());
    let thousand = 1_000 * VIRTUAL_SHARES;
    assert_eq!(
        lrt.deposit(&mut pool, &holder("bob"), 5),
        Err(LrtError::Unbacked { account: holder("lrt"), balance: thousand + 4, counted: thousand + 5 })
    );
    assert_eq!((pool, lrt), (pool_before, lrt_before));
}

#[test]
fn what_cannot_be_done_has_changed_neither_pool() {
    let (mut pool, mut lrt) = deposited();
    let (pool_before, lrt_before) = (pool.clone(), lrt.clone());
    let (account, bob, dora) = (holder("lrt"), holder("bob"), holder("dora"));
    assert_eq!(lrt.deposit(&mut pool, &account, 1), Err(LrtError::OwnAccount(account.clone())));
    assert_eq!(lrt.redeem(&mut pool, &account, 1), Err(LrtError::OwnAccount(account.clone())));
    assert_eq!(lrt.reward(&mut pool, &account, 1), Err(LrtError::OwnAccount(account)));
    assert!(matches!(lrt.deposit(&mut pool, &dora, 1), Err(LrtError::Pool(PoolError::Shares(_)))));
    assert!(matches!(lrt.redeem(&mut pool, &bob, 1), Err(LrtError::Shares(ShareError::Balance { .. }))));
    assert!(matches!(
        lrt.redeem(&mut pool, &holder("ann"), 1),
        Err(LrtError::Shares(ShareError::NoAssets { shares: 1 }))
    ));
    assert!(lrt.transfer(&bob, &dora, 1).is_err());
    assert!(lrt.reward(&mut pool, &dora, 1).is_err());
    assert_eq!((&pool, &lrt), (&pool_before, &lrt_before));
    // The pool beneath has lost everything: nothing comes in or goes out any more.
    pool.slash(&[(outpoint(0), sat(1_000)), (outpoint(1), sat(1_000))]).unwrap();
    let all = lrt.balance(&holder("ann"));
    assert_eq!(lrt.redeem(&mut pool, &holder("ann"), all), Err(LrtError::Pool(PoolError::Frozen)));
    assert_eq!(lrt, lrt_before);
}

#[test]
fn what_a_service_counts_is_rounded_down_and_gifts_do_not_count() {
    let mut pool = pool_of("ann", 1_001);
    pool.mint(&holder("bob"), outpoint(1), sat(1_000)).unwrap();
    let mut lrt = LrtPool::new(holder("lrt"), PartsPerMillion::ONE);
    let all = pool.balance(&holder("ann"));
    lrt.deposit(&mut pool, &holder("ann"), all).unwrap();
    lrt.choose(service("oracle"), percent(50)).unwrap();
    let before = lrt.exposure(&pool).unwrap();
    assert_eq!((before.value, before.nominal_sum), (sat(1_001), 500));
    pool.transfer(&holder("bob"), &holder("lrt"), 500 * VIRTUAL_SHARES).unwrap();
    assert_eq!(lrt.exposure(&pool).unwrap(), before);
}

#[test]
fn a_scenario_is_what_the_deposits_are_worth_less_once_it_comes_about() {
    let (mut pool, mut lrt) = deposited();
    lrt.choose(service("oracle"), percent(100)).unwrap();
    lrt.choose(service("bridge"), percent(100)).unwrap();
    pool.request_exit(&holder("bob"), 300 * VIRTUAL_SHARES, at(10)).unwrap();
    for loss in [0, 1, 333, 1_000] {
        let stakes = [
            StakeAtRisk { outpoint: outpoint(0), providers: &[], loss: sat(loss) },
            StakeAtRisk { outpoint: outpoint(1), providers: &[], loss: sat(0) },
        ];
        let beneath = RiskReport::new(&pool, at(10), None, stakes).unwrap();
        let report = LrtRiskReport::new(&lrt, &pool, &beneath, None).unwrap();
        let mut slashed = pool.clone();
        if loss > 0 {
            slashed.slash(&[(outpoint(0), sat(loss))]).unwrap();
        }
        let left = lrt.exposure(&slashed).unwrap().value;
        let lost = report.every_provider;
        assert_eq!((lost.loss, report.exposure.value), (sat(1_000) - left, sat(1_000)), "{loss}");
        // Services double what is counted, and not what is lost.
        assert!(lost.loss <= sat(loss), "{loss}");
        assert_eq!(lost.part.of_ceil(1_000), Some(lost.loss.to_sat().into()), "{loss}");
    }
    let nothing = RiskReport::new(
        &pool,
        at(10),
        None,
        [0, 1].map(|n| StakeAtRisk { outpoint: outpoint(n), providers: &[], loss: sat(1_000) }),
    )
    .unwrap();
    let empty = LrtPool::new(holder("empty"), percent(100));
    let report = LrtRiskReport::new(&empty, &pool, &nothing, None).unwrap();
    assert_eq!((report.every_provider.loss, report.every_provider.part), (sat(0), PartsPerMillion::ZERO));
}

#[test]
fn a_price_is_held_against_the_rate_times_the_value_beneath() {
    let (mut pool, mut lrt) = deposited();
    // Half as much again, in shares of the pool, which itself earns a quarter.
    lrt.reward(&mut pool, &holder("bob"), 500 * VIRTUAL_SHARES).unwrap();
    pool.reward(sat(500)).unwrap();
    let stakes = [0, 1].map(|n| StakeAtRisk { outpoint: outpoint(n), providers: &[], loss: sat(0) });
    let beneath = RiskReport::new(&pool, at(10), None, stakes).unwrap();
    let look = |market| LrtRiskReport::new(&lrt, &pool, &beneath, Some(market)).unwrap();
    let nav = lrt.nav_floor(&pool).unwrap();
    assert!((1_873_000..=1_875_000).contains(&nav.millionths()), "{nav}");
    assert_eq!(look(nav).depeg, Some(Depeg::AtPar));
    assert_eq!(
        look(Nav::new(nav.millionths() / 2)).depeg,
        Some(Depeg::Discount(PartsPerMillion::new(500_000)))
    );
}
