//! The exit queue: what is promised, what is paid, and that nobody leaves before a loss by asking first.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

#[path = "support/pools.rs"]
mod support;

use support::*;
use tapstake_restake::{Backing, ExitId, Nav, Pool, PoolError, ShareError};

/// Ann and Bob with 1,000 sat each in stakes 0 and 1, and the cash of stake 2, whose 1,000 sat are Carol's.
fn three() -> Pool {
    let mut pool = pool_of("ann", 1_000);
    pool.mint(&holder("bob"), outpoint(1), sat(1_000)).unwrap();
    pool.mint(&holder("carol"), outpoint(2), sat(1_000)).unwrap();
    pool.end_stake(outpoint(2), sat(1_000)).unwrap();
    pool
}

#[test]
fn an_exit_is_paid_what_it_was_quoted_when_its_unbonding_has_ended() {
    let mut pool = three();
    let id = exit_all(&mut pool, "ann", 500);
    assert_eq!(pool.queue().get(id).unwrap().quoted, sat(1_000));
    assert_eq!((pool.assets(), pool.queue().total()), (sat(2_000), sat(1_000)));
    let before = pool.clone();
    assert_eq!(
        pool.finalise_exit(id, at(599)),
        Err(PoolError::Unbonding { id, matures_at: at(600), height: at(599) })
    );
    assert_eq!(pool, before);
    let paid = pool.finalise_exit(id, at(600)).unwrap();
    assert_eq!((paid.holder, paid.quoted, paid.paid), (holder("ann"), sat(1_000), sat(1_000)));
    assert_eq!(pool.finalise_exit(id, at(600)), Err(PoolError::UnknownExit(id)));
    assert_eq!((pool.cash(), pool.flows().paid), (sat(0), 1_000));
}

#[test]
fn an_exit_earns_nothing_more() {
    let mut pool = three();
    let id = exit_all(&mut pool, "ann", 1);
    pool.reward(sat(1_000)).unwrap();
    assert_eq!(worth(&pool, "bob"), 1_499);
    assert_eq!(pool.finalise_exit(id, at(101)).unwrap().paid, sat(1_000));
    assert_eq!(worth(&pool, "bob"), 1_499);
}

/// With the amount fixed at the request, Ann would leave whole and Bob and Carol bear her part.
#[test]
fn a_queue_amount_fixed_at_the_request_would_escape_the_slash_that_follows() {
    let mut pool = three();
    let id = exit_all(&mut pool, "ann", 1);
    let loss = pool.slash(&[(outpoint(0), sat(600))]).unwrap();
    assert_eq!((loss.shares, loss.queue), (sat(400), sat(200)));
    assert_eq!((worth(&pool, "bob"), worth(&pool, "carol")), (800, 800));
    let exit = pool.queue().get(id).unwrap();
    assert_eq!((exit.quoted, exit.claim), (sat(1_000), sat(800)));
    // A reward lifts what her shares would be worth above the quote: what holds her to the claim is the loss alone.
    pool.reward(sat(1_600)).unwrap();
    assert_eq!(pool.value_floor(pool.queue().get(id).unwrap().shares), Some(sat(1_599)));
    assert_eq!(pool.finalise_exit(id, at(101)).unwrap().paid, sat(800));
    assert_eq!((worth(&pool, "bob"), worth(&pool, "carol")), (1_599, 1_599));
}

#[test]
fn an_exit_that_could_have_been_paid_and_was_not_still_bears_losses() {
    let mut pool = three();
    let id = exit_all(&mut pool, "ann", 1);
    pool.slash(&[(outpoint(1), sat(300))]).unwrap();
    assert_eq!(pool.finalise_exit(id, at(5_000)).unwrap().paid, sat(900));
}

#[test]
fn an_exit_asked_for_after_the_slash_is_priced_after_it() {
    let mut pool = three();
    pool.slash(&[(outpoint(0), sat(600))]).unwrap();
    let id = exit_all(&mut pool, "ann", 1);
    assert_eq!(pool.queue().get(id).unwrap().quoted, sat(800));
    pool.reward(sat(1_600)).unwrap();
    assert_eq!(pool.finalise_exit(id, at(101)).unwrap().paid, sat(800));
}

/// A limit on how far the rate may move in one step keeps mistakes out, and keeps losses out too: who leaves first leaves whole.
#[test]
fn a_ratio_limiter_would_delay_losses_so_a_loss_of_any_size_reaches_everybody_at_once() {
    let mut pool = three();
    let queued = exit_all(&mut pool, "ann", 1);
    pool.slash(&[(outpoint(0), sat(1_000)), (outpoint(1), sat(999))]).unwrap();
    assert_eq!(pool.queue().get(queued).unwrap().claim, sat(333));
    assert_eq!(pool.nav_floor(), Nav::new(334_332));
    let first = exit_all(&mut pool, "bob", 1);
    assert_eq!(pool.queue().get(first).unwrap().quoted, sat(334));
    assert_eq!(worth(&pool, "carol"), 334);
}

#[test]
fn losses_of_exits_add_up_with_the_remainder_at_the_last() {
    let mut pool = pool();
    for n in 0..7 {
        pool.mint(&holder("ann"), outpoint(n), sat(100)).unwrap();
    }
    let hundred = pool.supply() / 7;
    for _ in 0..7 {
        pool.request_exit(&holder("ann"), hundred, at(1)).unwrap();
    }
    let claims =
        |pool: &Pool| -> Vec<_> { pool.queue().iter().map(|(_, exit)| exit.claim.to_sat()).collect() };
    let mut at_once = pool.clone();
    pool.slash(&[(outpoint(0), sat(10))]).unwrap();
    assert_eq!(claims(&pool), [99, 99, 98, 99, 98, 99, 98]);
    assert_eq!(pool.queue().total(), sat(690));
    // The second loss is divided together with the first, as one of 13.
    pool.slash(&[(outpoint(1), sat(3))]).unwrap();
    assert_eq!(claims(&pool), [99, 98, 98, 98, 98, 98, 98]);
    at_once.slash(&[(outpoint(1), sat(3)), (outpoint(0), sat(10))]).unwrap();
    assert_eq!(pool, at_once);
}

#[test]
fn what_the_rounding_of_losses_leaves_to_an_exit_is_no_more_than_its_shares_are_worth() {
    let mut pool = three();
    let sat_of_shares = pool.shares_floor(sat(1)).unwrap();
    let first = pool.request_exit(&holder("ann"), sat_of_shares, at(1)).unwrap();
    let last = pool.request_exit(&holder("ann"), sat_of_shares, at(1)).unwrap();
    // Half a satoshi each, which is one for both: the remainder of the loss is with the last.
    pool.slash(&[(outpoint(0), sat(1_000)), (outpoint(1), sat(500))]).unwrap();
    let claim = |pool: &Pool, id| pool.queue().get(id).unwrap().claim.to_sat();
    assert_eq!((claim(&pool, first), claim(&pool, last)), (1, 0));
    // What was a satoshi is worth less than one now, so the pool keeps it.
    let assets = pool.assets();
    assert_eq!(pool.finalise_exit(first, at(101)).unwrap().paid, sat(0));
    assert_eq!(pool.assets(), assets + sat(1));
    assert_eq!(pool.finalise_exit(last, at(101)).unwrap().paid, sat(0));
}

#[test]
fn slashes_give_the_same_books_in_any_order_one_by_one_or_together() {
    let mut start = pool();
    for n in 0..4 {
        start.mint(&holder("ann"), outpoint(n), sat(1_001 + u64::from(n))).unwrap();
    }
    for n in 1..9 {
        start.request_exit(&holder("ann"), start.supply() / 11 * n / 4, at(1)).unwrap();
    }
    let losses = [(outpoint(0), sat(7)), (outpoint(1), sat(13)), (outpoint(3), sat(201))];
    let mut together = start.clone();
    together.slash(&losses).unwrap();
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut one_by_one = start.clone();
        for n in order {
            one_by_one.slash(&[losses[n]]).unwrap();
        }
        assert_eq!(one_by_one, together, "{order:?}");
    }
}

#[test]
fn exits_are_paid_in_the_order_of_their_requests() {
    let mut pool = three();
    let [ann, bob] = ["ann", "bob"].map(|name| exit_all(&mut pool, name, 1));
    let carol = exit_all(&mut pool, "carol", 2);
    let behind = |id, first| Err(PoolError::NotFirst { id, first });
    assert_eq!(pool.queue().first(), Some(ann));
    assert_eq!(pool.finalise_exit(bob, at(101)), behind(bob, ann));
    assert_eq!(pool.finalise_exit(carol, at(102)), behind(carol, ann));
    // Who is not mature is told so first, whoever waits before.
    assert!(matches!(pool.finalise_exit(carol, at(101)), Err(PoolError::Unbonding { .. })));
    // There is cash for one of them: nobody slips past the others while it lasts, nor escapes what comes meanwhile.
    pool.finalise_exit(ann, at(101)).unwrap();
    assert_eq!(pool.finalise_exit(carol, at(102)), behind(carol, bob));
    pool.slash(&[(outpoint(0), sat(500))]).unwrap();
    pool.end_stake(outpoint(1), sat(1_000)).unwrap();
    assert_eq!(pool.finalise_exit(bob, at(102)).unwrap().paid, sat(750));
    let poor = Err(PoolError::NotEnoughCash { due: sat(750), cash: sat(250) });
    assert_eq!(pool.finalise_exit(carol, at(102)), poor);
    pool.end_stake(outpoint(0), sat(500)).unwrap();
    assert_eq!(pool.finalise_exit(carol, at(102)).unwrap().paid, sat(750));
    assert_eq!(pool.queue().first(), None);
}

#[test]
fn a_late_recovery_is_divided_by_what_all_have_and_no_exit_gets_more_than_its_quote() {
    let mut pool = three();
    let [ann, bob] = ["ann", "bob"].map(|name| exit_all(&mut pool, name, 1));
    pool.slash(&[(outpoint(0), sat(900))]).unwrap();
    // Something happens between, so that it is no longer as if the loss had been lower.
    pool.reward(sat(300)).unwrap();
    let claims = |pool: &Pool| [ann, bob].map(|id| pool.queue().get(id).unwrap().claim.to_sat());
    assert_eq!((claims(&pool), pool.assets()), ([700, 700], sat(1_000)));
    // The slashing came too late: of 900 sat that come back, exits with 1,400 of 2,400 sat get 525, to each the half.
    pool.end_stake(outpoint(0), sat(1_000)).unwrap();
    pool.write_up(sat(900)).unwrap();
    assert_eq!((claims(&pool), pool.assets()), ([962, 963], sat(1_375)));
    assert_eq!(pool.backing().surplus(), sat(0));
    // A second coin comes back above its loss: exits are at their quotes with 75 sat, and the shares have the rest.
    pool.slash(&[(outpoint(1), sat(100))]).unwrap();
    pool.reward(sat(1)).unwrap();
    pool.end_stake(outpoint(1), sat(1_000)).unwrap();
    let lost = pool.queue().iter().map(|(_, exit)| (exit.quoted - exit.claim).to_sat()).sum::<u64>();
    pool.write_up(sat(100)).unwrap();
    let now: u64 = claims(&pool).iter().sum();
    assert!(now <= 2_000 && now + lost >= 2_000, "{now} after {lost}");
    assert_eq!(pool.write_up(sat(1)), Err(PoolError::NotSurplus { amount: sat(1), surplus: sat(0) }));
    // Without shares, what exits have not lost can go to nobody.
    let mut pool = pool_of("ann", 1_000);
    let id = exit_all(&mut pool, "ann", 1);
    pool.slash(&[(outpoint(0), sat(10))]).unwrap();
    pool.end_stake(outpoint(0), sat(995)).unwrap();
    pool.write_up(sat(5)).unwrap();
    assert_eq!(pool.finalise_exit(id, at(101)).unwrap().paid, sat(995));
}

fn claim(pool: &Pool, id: ExitId) -> u64 {
    pool.queue().get(id).unwrap().claim.to_sat()
}

#[test]
fn what_comes_back_goes_to_who_has_lost_and_not_to_who_came_after() {
    // Ann keeps her shares and Bob waits: both lose a tenth. Then somebody comes with far more, and waits too.
    let mut pool = pool_of("ann", 1_000);
    pool.mint(&holder("bob"), outpoint(1), sat(1_000)).unwrap();
    let bob = exit_all(&mut pool, "bob", 1);
    pool.slash(&[(outpoint(0), sat(200))]).unwrap();
    pool.mint(&holder("eve"), outpoint(2), sat(98_000)).unwrap();
    let eve = exit_all(&mut pool, "eve", 2);
    pool.end_stake(outpoint(0), sat(1_000)).unwrap();
    let have = |pool: &Pool| [worth(pool, "ann"), claim(pool, bob), claim(pool, eve)];
    let before = have(&pool);
    pool.write_up(sat(100)).unwrap();
    let got: Vec<_> = have(&pool).iter().zip(before).map(|(now, before)| now - before).collect();
    // What Eve's exit was rounded down by is Ann's, and earns its satoshi.
    assert_eq!(got, [51, 49, 0]);
}

#[test]
fn nobody_mints_a_part_of_what_exits_are_owed_back() {
    let mut pool = pool_of("ann", 1_000);
    let ann = exit_all(&mut pool, "ann", 1);
    pool.slash(&[(outpoint(0), sat(100))]).unwrap();
    pool.end_stake(outpoint(0), sat(1_000)).unwrap();
    let after = Backing { reserves: sat(100_000), issued: sat(99_900) };
    let refusal = Err(PoolError::Surplus { after });
    assert_eq!(pool.mint(&holder("eve"), outpoint(1), sat(99_000)), refusal);
    // Nor is she paid less than all while that lies there.
    let refusal = PoolError::Unsettled { id: ann, lost: sat(100), surplus: sat(100) };
    assert_eq!(pool.finalise_exit(ann, at(101)), Err(refusal));
    pool.write_up(sat(100)).unwrap();
    pool.mint(&holder("eve"), outpoint(1), sat(99_000)).unwrap();
    assert_eq!(pool.finalise_exit(ann, at(101)).unwrap().paid, sat(1_000));
    // What no exit has lost keeps nobody from coming or from leaving.
    let mut pool = pool_of("ann", 1_000);
    let ann = exit_all(&mut pool, "ann", 1);
    pool.end_stake(outpoint(0), sat(0)).unwrap();
    pool.make_good(sat(1_000)).unwrap();
    pool.revive_stake(outpoint(0)).unwrap();
    assert_eq!(pool.backing().surplus(), sat(1_000));
    assert_eq!(pool.finalise_exit(ann, at(101)).unwrap().paid, sat(1_000));
    pool.mint(&holder("eve"), outpoint(1), sat(5)).unwrap();
}

#[test]
fn cash_that_comes_for_a_loss_is_owed_to_who_has_borne_it() {
    // The return was entered with what the slashing was to leave, and all of it came.
    let mut pool = pool_of("ann", 1_000);
    let ann = exit_all(&mut pool, "ann", 1);
    pool.slash(&[(outpoint(0), sat(100))]).unwrap();
    pool.end_stake(outpoint(0), sat(890)).unwrap();
    let above = |amount, most| Err(PoolError::AboveLoss { amount: sat(amount), most });
    assert_eq!(pool.make_good(sat(111)), above(111, 110));
    pool.make_good(sat(30)).unwrap();
    assert_eq!(pool.make_good(sat(81)), above(81, 80));
    pool.make_good(sat(80)).unwrap();
    assert_eq!(pool.make_good(sat(1)), above(1, 0));
    pool.write_up(sat(100)).unwrap();
    assert_eq!(pool.make_good(sat(1)), above(1, 0));
    assert_eq!(pool.finalise_exit(ann, at(101)).unwrap().paid, sat(1_000));
    assert_eq!(pool.backing(), Backing { reserves: sat(0), issued: sat(0) });
}

#[test]
fn nothing_is_paid_that_is_not_there() {
    let mut pool = pool_of("ann", 1_000);
    let id = exit_all(&mut pool, "ann", 1);
    let refusal = Err(PoolError::NotEnoughCash { due: sat(1_000), cash: sat(0) });
    assert_eq!(pool.finalise_exit(id, at(101)), refusal);
    let text = pool.finalise_exit(id, at(101)).unwrap_err().to_string();
    assert_eq!(text, "1000 sat are due and the pool has 0 sat in cash: end a stake first");
    pool.end_stake(outpoint(0), sat(1_000)).unwrap();
    assert_eq!(pool.finalise_exit(id, at(101)).unwrap().paid, sat(1_000));
    assert_eq!((pool.cash(), pool.backing().issued), (sat(0), sat(0)));
}

/// Ann has kept her coin: paid at par she would be paid twice, from Bob's and Carol's.
#[test]
fn an_exit_is_not_paid_while_the_pool_misses_something() {
    let mut pool = three();
    let id = exit_all(&mut pool, "ann", 1);
    pool.end_stake(outpoint(0), sat(0)).unwrap();
    let before = pool.clone();
    let refusal = pool.finalise_exit(id, at(101)).unwrap_err();
    assert_eq!(refusal, PoolError::Missing { backing: pool.backing() });
    assert_eq!(
        refusal.to_string(),
        "the pool owes 3000 sat and has 2000 sat: no exit is paid before what is missing is made good or written down"
    );
    assert_eq!(pool, before);
    pool.make_good(sat(999)).unwrap();
    assert!(pool.finalise_exit(id, at(101)).is_err(), "one satoshi is missing");
    pool.make_good(sat(1)).unwrap();
    assert_eq!(pool.finalise_exit(id, at(101)).unwrap().paid, sat(1_000));
    // Whoever leaves last is paid like the first.
    let (bob, carol) = (exit_all(&mut pool, "bob", 200), exit_all(&mut pool, "carol", 200));
    pool.end_stake(outpoint(1), sat(1_000)).unwrap();
    for id in [bob, carol] {
        assert_eq!(pool.finalise_exit(id, at(300)).unwrap().paid, sat(1_000));
    }
}

#[test]
fn exits_that_nobody_could_ask_for_are_refused() {
    let mut pool = three();
    let before = pool.clone();
    let (ann, dora) = (holder("ann"), holder("dora"));
    let (all, one) = (pool.balance(&ann), pool.shares_ceil(sat(1)).unwrap());
    let lacks = |holder: &_, balance, asked| {
        Err(PoolError::Shares(ShareError::Balance { holder: Clone::clone(holder), balance, asked }))
    };
    assert_eq!(pool.request_exit(&ann, all + 1, at(1)), lacks(&ann, all, all + 1));
    assert_eq!(pool.request_exit(&ann, u128::MAX, at(1)), lacks(&ann, all, u128::MAX));
    assert_eq!(pool.request_exit(&dora, one, at(1)), lacks(&dora, 0, one));
    assert_eq!(pool.request_exit(&ann, 0, at(1)), Err(PoolError::Shares(ShareError::Nothing)));
    assert_eq!(pool.request_withdrawal(&ann, sat(0), at(1)), Err(PoolError::Shares(ShareError::Nothing)));
    assert_eq!(pool.request_withdrawal(&dora, sat(1), at(1)), lacks(&dora, 0, one));
    assert_eq!(pool.finalise_exit(ExitId(0), at(101)), Err(PoolError::UnknownExit(ExitId(0))));
    assert_eq!(pool, before);
}
