//! Pools of receipts: what shares are worth, what backs them, and the ways in which earlier pools were robbed.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

#[path = "support/pools.rs"]
mod support;

use support::*;
use tapstake_restake::{
    Backing, HolderId, Nav, PartsPerMillion, Pool, PoolError, PooledStatus, ShareError, VIRTUAL_SHARES,
};

#[test]
fn a_pool_opens_at_a_million_shares_a_satoshi() {
    let mut pool = pool();
    assert_eq!(pool.nav_floor(), Nav::ONE);
    assert_eq!(pool.mint(&holder("ann"), outpoint(1), sat(70_000)), Ok(70_000 * VIRTUAL_SHARES));
    assert_eq!(pool.mint(&holder("bob"), outpoint(2), sat(30_000)), Ok(30_000 * VIRTUAL_SHARES));
    assert_eq!((worth(&pool, "ann"), worth(&pool, "bob")), (70_000, 30_000));
    assert_eq!(pool.backing(), Backing { reserves: sat(100_000), issued: sat(100_000) });
    assert_eq!(pool.backing().ratio_floor(), Some(PartsPerMillion::ONE));
}

#[test]
fn rewards_and_losses_reach_every_share_alike() {
    let mut pool = pool_of("ann", 60_000);
    pool.mint(&holder("bob"), outpoint(1), sat(40_000)).unwrap();
    pool.reward(sat(50_000)).unwrap();
    assert_eq!((worth(&pool, "ann"), worth(&pool, "bob")), (89_999, 59_999));
    assert_eq!(pool.nav_floor().to_string(), "1.499995");
    let loss = pool.slash(&[(outpoint(1), sat(30_000))]).unwrap();
    assert_eq!((loss.shares, loss.queue), (sat(30_000), sat(0)));
    assert_eq!((worth(&pool, "ann"), worth(&pool, "bob")), (71_999, 47_999));
    assert_eq!(pool.stake(&outpoint(1)).unwrap().status, PooledStatus::Slashed);
    assert_eq!(pool.backing(), Backing { reserves: sat(120_000), issued: sat(120_000) });
}

#[test]
fn shares_move_between_holders_and_none_is_made() {
    let mut pool = pool_of("ann", 100);
    let all = 100 * VIRTUAL_SHARES;
    pool.transfer(&holder("ann"), &holder("bob"), all / 4).unwrap();
    assert_eq!((worth(&pool, "ann"), worth(&pool, "bob")), (75, 25));
    pool.transfer(&holder("bob"), &holder("bob"), all / 4).unwrap();
    assert_eq!((pool.balance(&holder("bob")), pool.supply()), (all / 4, all));
    let refusal = pool.transfer(&holder("bob"), &holder("ann"), all / 4 + 1).unwrap_err();
    assert_eq!(refusal.to_string(), "bob has 25000000 shares, not 25000001");
    pool.transfer(&holder("bob"), &holder("ann"), all / 4).unwrap();
    assert_eq!(pool.holders().len(), 1);
    assert_eq!(pool.transfer(&holder("ann"), &holder("bob"), 0), Err(PoolError::Shares(ShareError::Nothing)));
}

#[test]
fn one_receipt_per_outpoint_even_after_its_stake_has_left() {
    let mut pool = pool_of("ann", 1_000);
    let again = Err(PoolError::AlreadyMinted(outpoint(0)));
    assert_eq!(pool.mint(&holder("bob"), outpoint(0), sat(1_000)), again);
    pool.slash(&[(outpoint(0), sat(10))]).unwrap();
    assert_eq!(pool.mint(&holder("bob"), outpoint(0), sat(990)), again);
    pool.end_stake(outpoint(0), sat(990)).unwrap();
    assert_eq!(pool.mint(&holder("bob"), outpoint(0), sat(990)), again);
    assert_eq!(pool.end_stake(outpoint(0), sat(990)), Err(PoolError::StakeEnded(outpoint(0))));
}

/// The classical theft: a first depositor of one unit gives the pool a fortune, so that the next deposit rounds to no share
/// or to one, and the first share takes it.
#[test]
fn first_depositor_inflation_costs_the_attacker_what_it_would_bring() {
    let mut pool = pool_of("mallory", 1);
    pool.reward(sat(100_000_000)).unwrap();
    // One share is worth 50 sat now; 99,999,999 sat would have been worth no share at all without virtual ones.
    let victim = 99_999_999;
    pool.mint(&holder("victim"), outpoint(1), sat(victim)).unwrap();
    assert!(worth(&pool, "victim") >= victim - 51, "the victim has {}", worth(&pool, "victim"));
    let mallory = worth(&pool, "mallory");
    assert!(mallory < 50_000_052, "the attacker put in 100,000,001 sat and has {mallory}");
}

#[test]
fn a_deposit_worth_less_than_a_share_is_refused_and_not_swallowed() {
    let mut pool = pool_of("mallory", 1);
    pool.reward(sat(100_000_000)).unwrap();
    let before = pool.clone();
    let refusal = pool.mint(&holder("victim"), outpoint(1), sat(49)).unwrap_err();
    assert_eq!(refusal, PoolError::Shares(ShareError::NoShares { assets: 49 }));
    assert_eq!(pool, before);
    assert_eq!(
        pool.mint(&holder("victim"), outpoint(1), sat(0)),
        Err(PoolError::Shares(ShareError::Nothing))
    );
}

/// Rounded up, the shares of a deposit would be taken from those who are in the pool already.
#[test]
fn a_deposit_never_reduces_what_others_could_withdraw() {
    let mut pool = pool_of("ann", 3);
    pool.reward(sat(4)).unwrap();
    pool.mint(&holder("bob"), outpoint(1), sat(11)).unwrap();
    pool.slash(&[(outpoint(1), sat(5))]).unwrap();
    for n in 2..400 {
        let before = (pool.clone(), worth(&pool, "ann"), worth(&pool, "bob"));
        pool.mint(&holder("carol"), outpoint(n), sat(u64::from(n) * 7 % 31 + 1)).unwrap();
        assert!(rate_has_not_fallen(&before.0, &pool), "deposit {n}");
        assert!(worth(&pool, "ann") >= before.1 && worth(&pool, "bob") >= before.2, "deposit {n}");
    }
}

/// The staker of one of the stakes took it back behind the pool's back: 100 of 1,000 sat are missing.
#[test]
fn a_reserve_check_before_the_mint_that_ignores_its_amount_would_let_an_unbacked_pool_mint() {
    let mut pool = pool_of("ann", 900);
    pool.mint(&holder("bob"), outpoint(1), sat(100)).unwrap();
    pool.end_stake(outpoint(1), sat(0)).unwrap();
    assert_eq!(pool.backing().ratio_floor(), Some(PartsPerMillion::new(900_000)));
    let (before, new) = (pool.clone(), sat(500));
    // With the new stake among the reserves, everything issued up to now looks covered.
    assert!(pool.backing().reserves + new > pool.backing().issued);
    let refusal = pool.mint(&holder("carol"), outpoint(2), new).unwrap_err();
    assert_eq!(refusal, PoolError::Unbacked { after: Backing { reserves: sat(1_400), issued: sat(1_500) } });
    assert_eq!(pool, before);

    assert_eq!(pool.make_good(sat(101)), Err(PoolError::AboveLoss { amount: sat(101), most: 100 }));
    pool.make_good(sat(99)).unwrap();
    assert!(pool.mint(&holder("carol"), outpoint(2), new).is_err(), "one satoshi is missing");
    pool.make_good(sat(1)).unwrap();
    pool.mint(&holder("carol"), outpoint(2), new).unwrap();
}

#[test]
fn a_stake_that_went_missing_shows_in_the_backing_and_not_in_the_value_of_a_share() {
    let mut pool = pool_of("ann", 1_000);
    let before = pool.nav_floor();
    pool.end_stake(outpoint(0), sat(990)).unwrap();
    assert_eq!(pool.nav_floor(), before);
    assert_eq!(pool.backing().missing(), sat(10));
    assert_eq!(pool.cash(), sat(990));
}

#[test]
fn a_stake_is_slashed_once_and_for_no_more_than_it_has() {
    let mut pool = pool_of("ann", 1_000);
    pool.mint(&holder("bob"), outpoint(1), sat(500)).unwrap();
    let before = pool.clone();
    for (losses, refusal) in [
        (vec![(outpoint(9), 1)], PoolError::UnknownStake(outpoint(9))),
        (vec![(outpoint(0), 1), (outpoint(9), 1)], PoolError::UnknownStake(outpoint(9))),
        (vec![(outpoint(0), 1), (outpoint(0), 1)], PoolError::AlreadySlashed(outpoint(0))),
        (
            vec![(outpoint(1), 501)],
            PoolError::AboveStake { outpoint: outpoint(1), amount: sat(501), value: sat(500) },
        ),
    ] {
        let losses: Vec<_> = losses.into_iter().map(|(outpoint, loss)| (outpoint, sat(loss))).collect();
        assert_eq!(pool.slash(&losses), Err(refusal));
        assert_eq!(pool, before);
    }
    pool.slash(&[(outpoint(1), sat(500))]).unwrap();
    assert_eq!(pool.slash(&[(outpoint(1), sat(0))]), Err(PoolError::AlreadySlashed(outpoint(1))));
    pool.end_stake(outpoint(0), sat(1_000)).unwrap();
    assert_eq!(pool.slash(&[(outpoint(0), sat(1))]), Err(PoolError::StakeEnded(outpoint(0))));
}

#[test]
fn no_more_comes_back_of_a_stake_than_it_has() {
    let mut pool = pool_of("ann", 1_000);
    pool.mint(&holder("bob"), outpoint(1), sat(500)).unwrap();
    pool.slash(&[(outpoint(0), sat(10))]).unwrap();
    let before = pool.clone();
    // A slashing may come too late on the chain, so what it takes in the books may come back.
    for (n, value) in [(0, 1_000), (1, 500)] {
        let (outpoint, amount, value) = (outpoint(n), sat(value + 1), sat(value));
        assert_eq!(pool.end_stake(outpoint, amount), Err(PoolError::AboveStake { outpoint, amount, value }));
        assert_eq!(pool, before);
    }
    pool.end_stake(outpoint(0), sat(990)).unwrap();
    pool.end_stake(outpoint(1), sat(500)).unwrap();
    assert_eq!(pool.backing(), Backing { reserves: sat(1_490), issued: sat(1_490) });
}

#[test]
fn a_stake_becomes_another_that_nothing_was_minted_for_while_it_is_there() {
    let mut pool = pool_of("ann", 1_000);
    pool.mint(&holder("bob"), outpoint(1), sat(500)).unwrap();
    pool.slash(&[(outpoint(1), sat(100))]).unwrap();
    let (before, carol) = (pool.clone(), holder("carol"));
    let mut expand = |of: u32, into: u32, after, to: Option<&HolderId>| {
        let refusal = pool.expand_stake(outpoint(of), outpoint(into), sat(after), to);
        assert_eq!(pool, before);
        refusal
    };
    assert_eq!(expand(9, 2, 1_000, None), Err(PoolError::UnknownStake(outpoint(9))));
    assert_eq!(expand(1, 2, 500, None), Err(PoolError::AlreadySlashed(outpoint(1))));
    for into in [0, 1] {
        assert_eq!(expand(0, into, 1_000, None), Err(PoolError::AlreadyMinted(outpoint(into))));
    }
    let refusal = PoolError::NoReceiver { outpoint: outpoint(2), more: sat(1) };
    assert_eq!(expand(0, 2, 1_001, None), Err(refusal));
    for after in [1_000, 999] {
        let nothing = Err(PoolError::Shares(ShareError::Nothing));
        assert_eq!(expand(0, 2, after, Some(&carol)), nothing, "{after}");
    }
    let all = bitcoin::Amount::MAX_MONEY.to_sat();
    let amount = sat(all - 1_000);
    assert_eq!(expand(0, 2, all, Some(&carol)), Err(PoolError::TooMuch { amount }));
    // No receipts for what is worth more while something else is missing.
    pool.end_stake(outpoint(1), sat(399)).unwrap();
    let after = Backing { reserves: sat(1_599), issued: sat(1_600) };
    let unbacked = pool.expand_stake(outpoint(0), outpoint(2), sat(1_200), Some(&carol));
    assert_eq!(unbacked, Err(PoolError::Unbacked { after }));
    pool.make_good(sat(1)).unwrap();
    let rate = pool.clone();
    let shares = pool.expand_stake(outpoint(0), outpoint(2), sat(1_200), Some(&carol)).unwrap();
    assert_eq!((pool.balance(&carol), pool.flows().minted), (shares, 1_700));
    assert!(rate_has_not_fallen(&rate, &pool) && (199..=200).contains(&worth(&pool, "carol")));
}

#[test]
fn a_frozen_pool_gives_no_receipts_for_an_expansion_either() {
    let mut pool = pool_of("ann", 1_000);
    pool.mint(&holder("bob"), outpoint(1), sat(500)).unwrap();
    // Both stakes are thought to be spent, and given up; one of them was expanded in truth.
    for n in [0, 1] {
        pool.end_stake(outpoint(n), sat(0)).unwrap();
    }
    pool.write_down(sat(1_500)).unwrap();
    assert!(pool.is_frozen());
    let before = pool.clone();
    let expand = |pool: &mut Pool, after, to: Option<&HolderId>| {
        pool.expand_stake(outpoint(0), outpoint(2), sat(after), to)
    };
    assert_eq!(expand(&mut pool, 1_001, Some(&holder("carol"))), Err(PoolError::Frozen));
    assert_eq!(pool, before);
    assert_eq!(expand(&mut pool, 1_000, None), Ok(0));
}

#[test]
fn a_pool_that_lost_everything_is_frozen_for_ever() {
    let mut pool = pool_of("ann", 1_000);
    exit_half(&mut pool);
    pool.slash(&[(outpoint(0), sat(1_000))]).unwrap();
    assert!(pool.is_frozen());
    assert_eq!((pool.assets(), pool.queue().total()), (sat(0), sat(0)));
    let (ann, bob) = (holder("ann"), holder("bob"));
    assert_eq!(pool.mint(&bob, outpoint(1), sat(1_000)), Err(PoolError::Frozen));
    assert_eq!(pool.transfer(&ann, &bob, 1), Err(PoolError::Frozen));
    assert_eq!(pool.reward(sat(1)), Err(PoolError::Frozen));
    assert_eq!(pool.request_exit(&ann, VIRTUAL_SHARES, at(1)), Err(PoolError::Frozen));
    assert_eq!(pool.request_withdrawal(&ann, sat(1), at(1)), Err(PoolError::Frozen));
    // The exit that waited is paid, with nothing, and is gone.
    let id = pool.queue().iter().next().unwrap().0;
    assert_eq!(pool.finalise_exit(id, at(1 + UNBONDING)).unwrap().paid, sat(0));
    assert!(pool.is_frozen() && pool.queue().is_empty());
}

fn exit_half(pool: &mut tapstake_restake::Pool) {
    let half = pool.balance(&holder("ann")) / 2;
    pool.request_exit(&holder("ann"), half, at(1)).unwrap();
}

#[test]
fn a_pool_that_everybody_left_opens_again() {
    let mut pool = pool_of("ann", 1_000);
    let id = exit_all(&mut pool, "ann", 1);
    assert_eq!(pool.reward(sat(1)), Err(PoolError::NoHolders));
    pool.end_stake(outpoint(0), sat(1_000)).unwrap();
    pool.finalise_exit(id, at(1 + UNBONDING)).unwrap();
    assert!(!pool.is_frozen());
    assert_eq!(pool.mint(&holder("bob"), outpoint(1), sat(5)), Ok(5 * VIRTUAL_SHARES));
}

#[test]
fn a_pool_that_everybody_left_before_it_lost_everything_opens_again() {
    let mut pool = pool_of("ann", 1_000);
    let id = exit_all(&mut pool, "ann", 1);
    pool.slash(&[(outpoint(0), sat(1_000))]).unwrap();
    // Nobody has a share that would be worth nothing for ever.
    assert!(!pool.is_frozen());
    assert_eq!(pool.finalise_exit(id, at(1 + UNBONDING)).unwrap().paid, sat(0));
    assert_eq!(pool.mint(&holder("bob"), outpoint(1), sat(5)), Ok(5 * VIRTUAL_SHARES));
}

#[test]
fn deposits_and_exits_round_down_mints_and_withdrawals_round_up() {
    let mut pool = pool_of("ann", 3);
    pool.reward(sat(3)).unwrap();
    // 4,000,000 shares with the virtual ones, for 7 sat: 571,428.57 shares a satoshi.
    assert_eq!(pool.shares_floor(sat(1)), Some(571_428));
    assert_eq!(pool.shares_ceil(sat(1)), Some(571_429));
    assert_eq!(pool.value_floor(571_428), Some(sat(0)));
    assert_eq!(pool.value_ceil(571_428), Some(sat(1)));
    assert_eq!(pool.value_floor(571_429), Some(sat(1)));
    assert_eq!(pool.value_ceil(571_429), Some(sat(2)));
    let ann = holder("ann");
    assert_eq!(
        pool.request_exit(&ann, 571_428, at(1)),
        Err(PoolError::Shares(ShareError::NoAssets { shares: 571_428 }))
    );
    let id = pool.request_withdrawal(&ann, sat(1), at(1)).unwrap();
    let exit = pool.queue().get(id).unwrap();
    assert_eq!((exit.shares, exit.quoted), (571_429, sat(1)));
}

#[test]
fn an_exit_that_leaves_shares_behind_leaves_them_a_satoshi() {
    // Each share has lost nine tenths, so that the virtual satoshi weighs as much as many shares.
    let mut pool = pool_of("ann", 100);
    pool.slash(&[(outpoint(0), sat(90))]).unwrap();
    let (ann, all) = (holder("ann"), pool.supply());
    assert_eq!(pool.value_floor(all), Some(sat(10)));
    let refusal = pool.request_withdrawal(&ann, sat(10), at(1)).unwrap_err();
    assert_eq!(refusal, PoolError::LeavesNothing { amount: sat(10) });
    let id = pool.request_exit(&ann, all - 1, at(1)).unwrap();
    assert_eq!(pool.queue().get(id).unwrap().quoted, sat(9));
    assert_eq!((pool.assets(), pool.supply(), pool.is_frozen()), (sat(1), 1, false));
}

#[test]
fn no_pool_is_larger_than_all_bitcoin() {
    let all = bitcoin::Amount::MAX_MONEY;
    let mut pool = pool();
    pool.mint(&holder("ann"), outpoint(0), all).unwrap();
    let before = pool.clone();
    assert_eq!(pool.mint(&holder("bob"), outpoint(1), sat(1)), Err(PoolError::TooMuch { amount: sat(1) }));
    assert_eq!(pool.reward(sat(1)), Err(PoolError::TooMuch { amount: sat(1) }));
    assert_eq!(pool.reward(sat(u64::MAX)), Err(PoolError::TooMuch { amount: sat(u64::MAX) }));
    assert_eq!(pool.reward(sat(0)), Err(PoolError::Shares(ShareError::Nothing)));
    assert_eq!(pool, before);
}

#[test]
fn reports_are_in_satoshi_and_in_decimal_texts() {
    let mut pool = pool_of("ann", 1_000);
    exit_half(&mut pool);
    assert_eq!(
        serde_json::to_value(pool.backing()).unwrap(),
        serde_json::json!({ "reserves": 1_000, "issued": 1_000 })
    );
    assert_eq!(
        serde_json::to_value(pool.flows()).unwrap(),
        serde_json::json!({
            "minted": "1000", "rewards": "0", "lost": "0", "recovered": "0", "paid": "0", "returned": "0",
            "made_good": "0", "taken": "0"
        })
    );
    assert_eq!(
        serde_json::to_value(pool.queue().iter().next().unwrap().1).unwrap(),
        serde_json::json!({
            "holder": "ann", "shares": "500000000", "requested_at": 1, "matures_at": 101,
            "quoted": 500, "claim": 500
        })
    );
}
