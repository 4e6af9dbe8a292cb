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

/// An entry that concerns nobody here, at a later height.
fn later() -> Event {
    register("later", "uc")
}

fn exposure(stakes: u64, nominal: u128, slashable: u64, lost: u64) -> Exposure {
    Exposure { stakes, nominal, slashable: sat(slashable), lost: sat(lost) }
}

#[test]
fn a_slashing_reaches_every_service_exactly_once() {
    let mut story = three_stakes();
    assert_eq!(story.service_exposure("a"), exposure(2, 300_000, 2 * LOSS_IN_UNBONDING, 0));
    assert_eq!(story.service_exposure("b"), exposure(2, 300_000, 2 * LOSS_IN_UNBONDING, 0));
    let losses = story.book.losses(&provider(1));
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
    assert_eq!(story.book.losses(&provider(2)), []);
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
fn an_unbonding_stake_is_slashable_until_its_output_is_spent() {
    for height in [399, 400, 5_000] {
        let mut story = three_stakes();
        story.at(300).enter(end(1, End::Unbonding));
        assert_eq!(story.status(1), StakeStatus::Unbonding { until: Height::new(400) });
        assert_eq!(story.service_exposure("b"), exposure(1, 100_000, LOSS_IN_UNBONDING, 0));
        story.at(height);
        let losses = story.book.losses(&provider(1));
        assert_eq!(losses[0], Loss { outpoint: outpoint(1), amount: sat(LOSS_IN_UNBONDING) });
        story.enter(slash(1));
        assert_eq!(story.status(1), StakeStatus::Slashed);
        // The services asked for 100 blocks, and for so long they lose with it.
        let lost = if height < 400 { LOSS_IN_UNBONDING } else { 0 };
        assert_eq!(story.service_exposure("b").lost, sat(lost), "{height}");
        assert_eq!(story.service_exposure("a").lost, sat(LOSS + lost), "{height}");
    }
}

#[test]
fn an_expired_stake_is_slashable_until_its_output_is_spent() {
    for height in [10_099, 10_100] {
        let mut story = three_stakes();
        story.at(10_020);
        for n in 1..=3 {
            story.enter(end(n, End::Expired));
        }
        // Its lock opens where its script says, whenever its end was entered.
        assert_eq!(story.status(2), StakeStatus::Expired { until: Height::new(10_100) });
        // Its staker can still choose to unbond it, before and after its timelock has opened.
        story.at(height).enter(end(1, End::Unbonding));
        assert_eq!(story.status(1), StakeStatus::Unbonding { until: Height::new(height + 100) });
        story.enter(end(3, End::Spent)).enter(slash(1)).enter(slash(2));
        assert_eq!([1, 2].map(|n| story.status(n)), [StakeStatus::Slashed; 2]);
        assert_eq!(story.status(3), StakeStatus::Spent, "nobody can slash what is gone");
        let lost = if height < 10_100 { LOSS_IN_UNBONDING } else { 0 };
        assert_eq!(story.service_exposure("b").lost, sat(lost), "stood for from its expiry on");
    }
}

#[test]
fn an_expired_stake_loses_what_the_slashing_of_its_staking_output_takes() {
    let mut story = Story::new();
    story.enter(admit(1, 100_000, &[1])).enter(share(1, "a")).at(10_000).enter(end(1, End::Expired));
    // It never unbonded, so the fee of an unbonding is no part of its loss.
    assert_eq!(story.book.losses(&provider(1)), [Loss { outpoint: outpoint(1), amount: sat(LOSS) }]);
    story.at(10_050).enter(slash(1));
    assert_eq!(story.service_exposure("a").lost, sat(LOSS));
}

#[test]
fn a_stake_that_leaves_a_service_stands_for_it_until_its_unbonding_time_is_over() {
    for (height, stands) in [(399, true), (400, false)] {
        let mut story = three_stakes();
        story.at(300).enter(withdraw(2, "a"));
        let leaving = Leaving { nominal: 100_000, until: Height::new(400) };
        let left = story.book.exposure(&outpoint(2)).unwrap();
        assert_eq!(left.leaving.get(&service("a")), Some(&leaving));
        assert_eq!((left.nominal.len(), left.nominal_total()), (0, 100_000));
        // The book knows the height of its last entry.
        story.at(height).enter(later());
        let view = story.book.service(&service("a")).unwrap();
        assert_eq!(
            (view.leaving, view.leaving_slashable),
            (stands.into(), sat(if stands { LOSS_IN_UNBONDING } else { 0 }))
        );
        assert_eq!(story.book.exposure(&outpoint(2)).unwrap().leaving.is_empty(), !stands);
        // Nobody has left the other service.
        let other = story.book.service(&service("b")).unwrap();
        assert_eq!((other.leaving, other.leaving_slashable), (0, sat(0)));
        // It earns nothing there any more.
        story.enter(reward("a", 1, "ua", 1_000));
        assert_eq!(story.claimable(2, "a"), 0);
        story.enter(slash(1));
        let lost = if stands { 2 * LOSS } else { LOSS };
        assert_eq!(story.service_exposure("a"), exposure(0, 0, 0, lost), "{height}");
        assert!(
            story.book.exposure(&outpoint(2)).unwrap().leaving.is_empty(),
            "slashed, it stands for nothing"
        );
    }
}

#[test]
fn who_leaves_a_service_in_parts_stands_for_all_of_it() {
    let mut story = Story::new();
    story.enter(admit(1, 100_000, &[1, 2])).enter(share(1, "a"));
    let leaving =
        |story: &Story| story.book.exposure(&outpoint(1)).unwrap().leaving.get(&service("a")).copied();
    let stands = |nominal, until| Some(Leaving { nominal, until: Height::new(until) });
    story.at(300).enter(exclusive(1, "a", &[(1, 60_000)]));
    assert_eq!(leaving(&story), stands(200_000, 400));
    story.at(350).enter(withdraw(1, "a"));
    assert_eq!(leaving(&story), stands(200_000, 450), "the more, for the longer time");
    // Back again it counts for less than it still stands for.
    story.at(449).enter(exclusive(1, "a", &[(2, 10)]));
    assert_eq!(story.book.exposure(&outpoint(1)).unwrap().nominal_total(), 200_000);
    assert_eq!(story.book.service(&service("a")).unwrap().leaving, 0, "it counts");
    story.at(450).enter(later());
    assert_eq!((leaving(&story), story.book.exposure(&outpoint(1)).unwrap().nominal_total()), (None, 10));
    // What is gone stands for nothing.
    story.enter(withdraw(1, "a"));
    assert_eq!(leaving(&story), stands(10, 550));
    story.enter(end(1, End::Spent));
    assert_eq!(leaving(&story), None);
}

#[test]
fn what_was_earned_before_a_slashing_stays_the_stakers() {
    let mut story = three_stakes();
    story.enter(reward("a", 1, "ua", 1_000)).enter(slash(1));
    assert_eq!((story.claimable(1, "a"), story.claimable(2, "a")), (500, 500));
    story.enter(claim(1, "a"));
    assert_eq!(story.paid(1, "ua"), 500);
}
