//! Slashings: from a provider to every book, once, in whichever order.
#![allow(clippy::unwrap_used, reason = "a test's unwrap is its assertion")]

mod support;

use support::*;
use tapstake_params::Height;
use tapstake_restake::*;

/// What the pre-signed slashings of 100,000 sat take: 10 %, a fee of 100, and in unbonding another 50.
const LOSS: u64 = 10_100;
const LOSS_IN_UNBONDING: u64 = 10_150;

/// Stake 1 with both providers at both services, stake 2 with provider 1 at service a, stake 3 with provider 2 at b.
fn three_stakes() -> Story {
    let mut story = Story::new();
    story.enter(admit(1, 100_000, &[1, 2])).enter(admit(2, 100_000, &[1])).enter(admit(3, 100_000, &[2]));
    story.enter(share(1, "a")).enter(share(1, "b")).enter(share(2, "a")).enter(share(3, "b"));
    story
}

fn exposure(stakes: u64, nominal: u128, slashable: u64, lost: u64) -> Exposure {
    Exposure { stakes, nominal, slashable: sat(slashable), lost: sat(lost) }
}

#[test]
fn a_slashing_reaches_every_service_exactly_once() {
    let mut story = three_stakes();
    assert_eq!(story.service_exposure("a"), exposure(2, 300_000, 2 * LOSS_IN_UNBONDING, 0));
    assert_eq!(story.service_exposure("b"), exposure(2, 300_000, 2 * LOSS_IN_UNBONDING, 0));
    let losses = story.book.losses(&provider(1), Height::new(story.height));
    assert_eq!(losses.len(), 2);
    assert!(losses.iter().all(|loss| loss.amount == sat(LOSS)));
    story.enter(slash(1));
    assert_eq!(story.service_exposure("a"), exposure(0, 0, 0, 2 * LOSS));
    assert_eq!(story.service_exposure("b"), exposure(1, 100_000, LOSS_IN_UNBONDING, LOSS));
    // Stake 1 was behind provider 2 as well: it is gone there too.
    assert_eq!((story.rewards("a", 2).staked, story.rewards("b", 2).staked), (0, 100_000));
    assert_eq!(story.status(1), StakeStatus::Slashed);
    let slashed: Vec<_> = story.book.slashed_providers().collect();
    assert_eq!(slashed, [(provider(1), Height::new(200))]);
}

#[test]
fn slashings_of_both_providers_take_one_utxo_once() {
    let mut story = three_stakes();
    story.enter(slash(1)).enter(slash(2));
    assert_eq!(story.service_exposure("a"), exposure(0, 0, 0, 2 * LOSS));
    assert_eq!(story.service_exposure("b"), exposure(0, 0, 0, 2 * LOSS), "stake 1 and stake 3, each once");
    assert_eq!(story.book.losses(&provider(2), Height::new(story.height)), []);
}

#[test]
fn slashings_of_one_height_give_the_same_in_any_order() {
    let (mut forth, mut back) = (three_stakes(), three_stakes());
    for story in [&mut forth, &mut back] {
        story.enter(reward("a", 1, "ua", 1_001)).enter(reward("b", 2, "ub", 77));
    }
    forth.enter(slash(1)).enter(slash(2));
    back.enter(slash(2)).enter(slash(1));
    assert!(forth.book == back.book);
}

#[test]
fn slashings_of_providers_never_seen_before_give_the_same_books_in_any_order() {
    let slashed = |order: [u8; 3]| {
        let mut story = three_stakes();
        for n in order {
            story.enter(slash(n));
        }
        // Who comes after them is counted alike as well.
        story.enter(admit(4, 100_000, &[2]));
        story.book
    };
    let forth = slashed([7, 1, 8]);
    let keys = |book: &Book| book.slashed_providers().map(|(key, _)| key.serialize()).collect::<Vec<_>>();
    assert!(keys(&forth).is_sorted() && keys(&forth).len() == 3);
    for order in [[7, 8, 1], [1, 7, 8], [1, 8, 7], [8, 1, 7], [8, 7, 1]] {
        let back = slashed(order);
        assert!(forth == back, "{order:?}");
        assert_eq!(keys(&forth), keys(&back), "{order:?}");
    }
}

#[test]
fn slashed_is_absorbing() {
    let mut story = three_stakes();
    story.enter(slash(1));
    let refusal = BookError::SlashedProvider { provider: provider(1), height: Height::new(200) };
    story.at(300);
    assert_eq!(story.refused(slash(1)), refusal);
    assert_eq!(story.refused(reward("a", 1, "ua", 1)), refusal);
    story.enter(register("c", "uc"));
    assert_eq!(story.refused(opt_in("c", 1, 0)), refusal);
    assert_eq!(story.refused(admit(4, 100_000, &[1, 2])), refusal, "a pending stake revives nobody");
    let ended = BookError::StakeEnded { outpoint: outpoint(1), status: StakeStatus::Slashed };
    assert_eq!(story.refused(share(1, "b")), ended);
    assert_eq!(story.refused(end(1, End::Unbonding)), ended);
    assert_eq!(story.refused(end(1, End::Spent)), ended);
    assert_eq!(story.refused(admit(1, 100_000, &[2])), BookError::StakeExists(outpoint(1)));
}

#[test]
fn a_provider_that_serves_nobody_here_takes_its_stakes_down_all_the_same() {
    let mut story = Story::new();
    story.enter(admit(1, 100_000, &[1, 7])).enter(share(1, "a")).enter(slash(7));
    assert_eq!(story.service_exposure("a"), exposure(0, 0, 0, LOSS));
    story.enter(slash(8));
    let refusal = BookError::SlashedProvider { provider: provider(8), height: Height::new(200) };
    assert_eq!(story.refused(admit(2, 100_000, &[8])), refusal);
}

#[test]
fn an_unbonding_stake_is_slashable_until_its_unbonding_ends() {
    for (height, slashed) in [(399, true), (400, false)] {
        let mut story = three_stakes();
        story.at(300).enter(end(1, End::Unbonding));
        assert_eq!(story.status(1), StakeStatus::Unbonding { until: Height::new(400) });
        assert_eq!(story.service_exposure("b"), exposure(1, 100_000, LOSS_IN_UNBONDING, 0));
        let due = if slashed { 2 } else { 1 };
        story.at(height);
        let losses = story.book.losses(&provider(1), Height::new(story.height));
        assert_eq!(losses.len(), due);
        if slashed {
            assert_eq!(losses[0], Loss { outpoint: outpoint(1), amount: sat(LOSS_IN_UNBONDING) });
        }
        story.enter(slash(1));
        assert_eq!(story.status(1) == StakeStatus::Slashed, slashed);
        // It did not count any more, so it is no loss of the services.
        assert_eq!(story.service_exposure("b").lost, sat(0));
    }
}

#[test]
fn an_expired_stake_is_slashable_until_its_timelock_opens() {
    for (height, slashed) in [(10_099, true), (10_100, false)] {
        let mut story = three_stakes();
        story.at(10_020);
        for n in 1..=3 {
            story.enter(end(n, End::Expired));
        }
        story.at(height).enter(slash(1));
        assert_eq!(story.status(1) == StakeStatus::Slashed, slashed);
    }
}

#[test]
fn what_was_earned_before_a_slashing_stays_the_stakers() {
    let mut story = three_stakes();
    story.enter(reward("a", 1, "ua", 1_000)).enter(slash(1));
    assert_eq!((story.claimable(1, "a"), story.claimable(2, "a")), (500, 500));
    story.enter(claim(1, "a"));
    assert_eq!(story.paid(1, "ua"), 500);
}
