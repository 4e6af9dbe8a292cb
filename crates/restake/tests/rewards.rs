//! Rewards: who gets what, and that nothing is lost or paid twice.
#![allow(clippy::unwrap_used, reason = "a test's unwrap is its assertion")]

mod support;

use support::*;
use tapstake_params::Height;
use tapstake_restake::*;

/// Stakes 1 (100,000 sat) and 2 (50,000 sat) behind provider 1 at service a.
fn two_stakes() -> Story {
    let mut story = Story::new();
    story.enter(admit(1, 100_000, &[1])).enter(admit(2, 50_000, &[1]));
    story.enter(share(1, "a")).enter(share(2, "a"));
    story
}

#[test]
fn a_reward_is_shared_by_stake() {
    let mut story = two_stakes();
    story.enter(reward("a", 1, "ua", 300));
    assert_eq!((story.claimable(1, "a"), story.claimable(2, "a")), (200, 100));
    story.enter(claim(1, "a"));
    assert_eq!((story.paid(1, "ua"), story.claimable(1, "a")), (200, 0));
    assert_eq!(story.claimable(2, "a"), 100);
}

#[test]
fn two_services_pay_in_their_own_coins() {
    let mut story = two_stakes();
    story.enter(share(1, "b"));
    story.enter(reward("a", 1, "ua", 300)).enter(reward("b", 1, "ub", 7));
    story.enter(claim(1, "a")).enter(claim(1, "b"));
    assert_eq!((story.paid(1, "ua"), story.paid(1, "ub")), (200, 7));
    let error = story.refused(reward("a", 1, "ub", 1));
    assert_eq!(error.to_string(), "a pays in ua, not in ub");
}

#[test]
fn who_comes_after_a_reward_has_no_part_in_it() {
    let mut story = two_stakes();
    story.enter(reward("a", 1, "ua", 300));
    story.enter(admit(3, 1_000_000, &[1])).enter(share(3, "a"));
    assert_eq!((story.claimable(1, "a"), story.claimable(3, "a")), (200, 0));
    story.enter(reward("a", 1, "ua", 1_150_000));
    assert_eq!((story.claimable(1, "a"), story.claimable(3, "a")), (100_200, 1_000_000));
}

#[test]
fn rewards_applied_late_are_refused_for_they_would_misprice_stake_changes() {
    let mut story = two_stakes();
    story.at(300).enter(withdraw(2, "a"));
    let error = story.at(299).refused(reward("a", 1, "ua", 300));
    assert_eq!(error, BookError::Late { height: Height::new(299), last: Height::new(300) });
    story.at(300).enter(reward("a", 1, "ua", 300));
    assert_eq!((story.claimable(1, "a"), story.claimable(2, "a")), (300, 0));
}

#[test]
fn remainder_dust_is_carried_and_not_dropped() {
    let mut story = Story::new();
    for n in 1..=3 {
        story.enter(admit(n, 70_001, &[1])).enter(share(n, "a"));
    }
    // A third each, which no base unit divides into.
    for round in 1..=3 {
        story.enter(reward("a", 1, "ua", 1));
        let claimable: Vec<_> = (1..=3).map(|n| story.claimable(n, "a")).collect();
        // The third reward brings the carry along, so that at most the last 1e-18 is missing from a whole.
        let rewards = story.rewards("a", 1);
        assert!(rewards.carry < 3 * 70_001);
        assert!(claimable.iter().all(|part| *part <= 1), "{round}: {claimable:?}");
    }
    story.enter(reward("a", 1, "ua", 3));
    for n in 1..=3 {
        story.enter(claim(n, "a"));
    }
    let rewards = story.rewards("a", 1);
    assert_eq!(rewards.put_in, 6);
    assert!(rewards.paid >= 3);
}

#[test]
fn a_carry_becomes_whole_again() {
    let mut story = Story::new();
    story.enter(admit(1, 3 << 15, &[1])).enter(share(1, "a"));
    // 1e18 is no multiple of 3: something stays behind, and comes along the next two times.
    let mut carries = Vec::new();
    for _ in 0..3 {
        story.enter(reward("a", 1, "ua", 1));
        carries.push(story.rewards("a", 1).carry);
    }
    assert_eq!(carries, [2 << 15, 1 << 15, 0]);
    assert_eq!(story.claimable(1, "a"), 3);
}

#[test]
fn rewards_at_zero_stake_are_held_and_not_zeroed() {
    let mut story = Story::new();
    story.enter(reward("a", 1, "ua", 500)).enter(reward("a", 1, "ua", 100));
    assert_eq!(story.rewards("a", 1).held, 600);
    story.enter(admit(1, 100_000, &[1])).enter(share(1, "a"));
    assert_eq!(story.claimable(1, "a"), 0, "held rewards wait for the next one");
    story.enter(reward("a", 1, "ua", 1));
    assert_eq!((story.claimable(1, "a"), story.rewards("a", 1).held), (601, 0));
}

#[test]
fn a_slashed_provider_is_paid_no_more() {
    let mut story = Story::new();
    story.enter(opt_in("a", 3, 100_000));
    story.enter(admit(1, 100_000, &[3])).enter(share(1, "a"));
    story.enter(reward("a", 3, "ua", 1_000)).enter(slash(3));
    let claim_commission = Event::ClaimCommission { service: service("a"), provider: provider(3) };
    let refusal = BookError::SlashedProvider { provider: provider(3), height: Height::new(201) };
    assert_eq!(story.refused(reward("a", 3, "ua", 1_000)), refusal);
    assert_eq!(story.refused(claim_commission), refusal);
    assert_eq!(story.rewards("a", 3).commission, 100, "withheld, and accounted for");
    // The staker's part was earned before.
    story.enter(claim(1, "a"));
    assert_eq!(story.paid(1, "ua"), 900);
}

#[test]
fn commission_comes_first_and_is_rounded_down() {
    let mut story = Story::new();
    story.enter(opt_in("a", 3, 333_333));
    story.enter(admit(1, 100_000, &[3])).enter(share(1, "a"));
    story.enter(reward("a", 3, "ua", 2)).enter(reward("a", 3, "ua", 5));
    // floor(0.67) and floor(1.67).
    assert_eq!((story.rewards("a", 3).commission, story.claimable(1, "a")), (1, 6));
    story.enter(Event::ClaimCommission { service: service("a"), provider: provider(3) });
    assert_eq!(story.rewards("a", 3).commission_paid, 1);
    let again = story.refused(Event::ClaimCommission { service: service("a"), provider: provider(3) });
    assert_eq!(again, BookError::NoCommission { service: service("a"), provider: provider(3) });
}

#[test]
fn a_new_commission_is_for_later_heights_and_only_for_providers_in_office() {
    let mut story = Story::new();
    story.enter(opt_in("a", 3, 100_000)).enter(admit(1, 100_000, &[3])).enter(share(1, "a"));
    story.at(300).enter(reward("a", 3, "ua", 1_000)).enter(set_commission("a", 3, 500_000));
    let late = BookError::RewardAfterChange {
        service: service("a"),
        provider: provider(3),
        height: Height::new(300),
    };
    assert_eq!(
        story.refused(reward("a", 3, "ua", 1_000)),
        late,
        "nobody takes more of a reward that is seen coming"
    );
    story.at(301).enter(reward("a", 3, "ua", 1_000));
    assert_eq!((story.rewards("a", 3).commission, story.claimable(1, "a")), (100 + 500, 900 + 500));
    let above = PartsPerMillion::new(1_000_001);
    assert_eq!(story.refused(set_commission("a", 3, 1_000_001)), BookError::Commission(above));
    let unknown = BookError::UnknownProvider { service: service("b"), provider: provider(3) };
    assert_eq!(story.refused(set_commission("b", 3, 0)), unknown);
    story.enter(slash(3));
    let slashed = BookError::SlashedProvider { provider: provider(3), height: Height::new(301) };
    assert_eq!(story.refused(set_commission("a", 3, 0)), slashed);
}

#[test]
fn a_whole_commission_leaves_nothing_to_the_stakes() {
    let mut story = Story::new();
    story.enter(opt_in("a", 3, 1_000_000));
    story.enter(admit(1, 100_000, &[3])).enter(share(1, "a")).enter(reward("a", 3, "ua", 9));
    assert_eq!((story.rewards("a", 3).commission, story.claimable(1, "a")), (9, 0));
    let error = story.refused(opt_in("b", 3, 1_000_001));
    assert_eq!(error.to_string(), "a commission of 100.0001% is above 100%");
}

#[test]
fn claiming_more_often_pays_as_much_and_never_more() {
    let (mut often, mut once) = (two_stakes(), two_stakes());
    for amount in [1, 7, 100, 3, 1, 1, 1, 50, 999_983] {
        often.enter(reward("a", 1, "ua", amount));
        once.enter(reward("a", 1, "ua", amount));
        if often.claimable(1, "a") > 0 {
            often.enter(claim(1, "a"));
        }
        assert!(matches!(often.refused(claim(1, "a")), BookError::NothingOwed(_)));
    }
    once.enter(claim(1, "a"));
    assert_eq!(often.paid(1, "ua"), once.paid(1, "ua"));
}

#[test]
fn splitting_a_stake_never_pays_more() {
    for amount in [1, 2, 3, 10, 99, 1_000_003] {
        let (mut whole, mut split) = (Story::new(), Story::new());
        whole.enter(admit(1, 90_000, &[1])).enter(share(1, "a"));
        for n in 1..=3 {
            split.enter(admit(n, 30_000, &[1])).enter(share(n, "a"));
        }
        for story in [&mut whole, &mut split] {
            story.enter(admit(9, 77_777, &[1])).enter(share(9, "a"));
            story.enter(reward("a", 1, "ua", amount)).enter(reward("a", 1, "ua", amount));
        }
        let parts: u128 = (1..=3).map(|n| split.claimable(n, "a")).sum();
        let whole = whole.claimable(1, "a");
        assert!(parts <= whole && whole <= parts + 2, "{amount}: {parts} of {whole}");
    }
}

#[test]
fn a_change_of_allocation_keeps_what_was_earned() {
    let mut story = Story::new();
    story.enter(admit(1, 100_000, &[1, 2]));
    story.enter(exclusive(1, "a", &[(1, 50_000)])).enter(reward("a", 1, "ua", 10));
    story.enter(exclusive(1, "a", &[(2, 25_000)])).enter(reward("a", 2, "ua", 5));
    story.enter(withdraw(1, "a"));
    assert_eq!(story.claimable(1, "a"), 15);
    story.enter(reward("a", 1, "ua", 4));
    assert_eq!((story.claimable(1, "a"), story.rewards("a", 1).held), (15, 4));
    story.enter(claim(1, "a"));
    assert_eq!(story.paid(1, "ua"), 15);
}

#[test]
fn rewards_of_18_decimals_fit_whatever_the_stake() {
    let mut story = two_stakes();
    // Ten million coins of 18 decimals on 150,000 sat.
    let great = 10_000_000 * REWARD_SCALE;
    story.enter(reward("a", 1, "ua", great));
    assert_eq!(story.claimable(1, "a") + story.claimable(2, "a"), great - 1);
    story.enter(claim(1, "a"));
    // All that can be counted in 128 bits, and on one sat.
    let rest = u128::MAX - great;
    let refusal = BookError::Overflow("the sum of all rewards");
    assert_eq!(story.refused(reward("a", 1, "ua", rest + 1)), refusal);
    assert_eq!(story.refused(reward("a", 1, "ua", 0)), BookError::EmptyReward);
    story.enter(withdraw(2, "a")).enter(exclusive(1, "a", &[(1, 1)])).enter(reward("a", 1, "ua", rest));
    let (paid, left) = (story.paid(1, "ua"), story.claimable(1, "a") + story.claimable(2, "a"));
    assert_eq!(paid + left, u128::MAX - 1, "the last unit lies in the fractions of both");
    assert_eq!(story.rewards("a", 1).per_sat.whole, rest + great / 150_000);
}

#[test]
fn whatever_is_held_fits_the_first_sat_that_comes() {
    let mut story = Story::new();
    story.enter(opt_in("a", 3, 1_000_000));
    // What a service pays is counted in sum as well, so that no claim at several of its providers can be too large.
    let (most, too_much) = (u128::MAX / 2, BookError::Overflow("the sum of all rewards"));
    for provider in [1, 3] {
        story.enter(reward("a", provider, "ua", most - 1));
        assert_eq!(story.rewards("a", provider).held, most - 1);
    }
    assert_eq!(story.refused(reward("a", 2, "ua", 4)), too_much);
    story.enter(admit(1, 50_000, &[1, 3])).enter(exclusive(1, "a", &[(1, 1), (3, 1)]));
    for provider in [1, 3] {
        story.enter(reward("a", provider, "ua", 1));
        assert_eq!(story.rewards("a", provider).held, 0);
    }
    assert_eq!((story.claimable(1, "a"), story.rewards("a", 3).commission), (most, most));
}

#[test]
fn a_service_that_names_its_coin_like_another_stops_no_claim_there() {
    let mut story = two_stakes();
    story.enter(register("evil", "ua")).enter(opt_in("evil", 1, 0)).enter(share(1, "evil"));
    story.enter(reward("evil", 1, "ua", u128::MAX)).enter(claim(1, "evil"));
    story.enter(reward("a", 1, "ua", 300)).enter(claim(1, "a"));
    let paid = |name| story.book.paid_by(&service(name), &account(1)).unwrap();
    assert_eq!((paid("a"), paid("evil")), (200, u128::MAX));
    assert_eq!(story.paid(1, "ua"), u128::MAX, "the most that can be counted");
}

#[test]
fn per_sat_counts_whole_units_and_fractions_apart() {
    let mut story = Story::new();
    story.enter(admit(1, 100_000, &[1])).enter(exclusive(1, "a", &[(1, 3)]));
    for (amount, per_sat) in [(1, "0.333333333333333333"), (2, "1"), (29, "10.666666666666666666"), (1, "11")]
    {
        story.enter(reward("a", 1, "ua", amount));
        assert_eq!(story.rewards("a", 1).per_sat.to_string(), per_sat);
    }
    assert_eq!((story.claimable(1, "a"), story.rewards("a", 1).carry), (33, 0));
    // The zeros behind the point are told as well.
    story.enter(exclusive(1, "a", &[(1, 100)])).enter(reward("a", 1, "ua", 1));
    assert_eq!(story.rewards("a", 1).per_sat.to_string(), "11.01");
}

#[test]
fn what_a_sat_has_earned_since_counts_whole_units_below_a_smaller_fraction() {
    let mut story = Story::new();
    story.enter(admit(1, 100_000, &[1])).enter(exclusive(1, "a", &[(1, 3)]));
    story.enter(reward("a", 1, "ua", 2)).enter(claim(1, "a"));
    assert_eq!(
        (story.paid(1, "ua"), story.rewards("a", 1).per_sat.to_string()),
        (1, "0.666666666666666666".into())
    );
    // From 0.67 to 1.33 and to 11: the fraction is smaller than before, and the whole is not one more.
    for (amount, per_sat, claimable) in [(2, "1.333333333333333333", 2), (29, "11", 32)] {
        story.enter(reward("a", 1, "ua", amount));
        assert_eq!(story.rewards("a", 1).per_sat.to_string(), per_sat);
        assert_eq!(story.claimable(1, "a"), claimable);
    }
}

#[test]
fn what_goes_back_is_what_is_held_and_neither_a_carry_nor_the_commission_of_who_may_claim_it() {
    let mut story = Story::new();
    story.enter(opt_in("a", 3, 100_000)).enter(admit(1, 70_001, &[3])).enter(share(1, "a"));
    story.enter(reward("a", 3, "ua", 1_000)).enter(withdraw(1, "a")).enter(reward("a", 3, "ua", 70));
    let before = story.rewards("a", 3);
    assert!(before.commission == 100 && before.held == 70 && before.carry > 0);
    story.enter(give_back("a", 3));
    assert_eq!(story.rewards("a", 3), Rewards { held: 0, given_back: 70, ..before });
    story.enter(Event::ClaimCommission { service: service("a"), provider: provider(3) });
    assert_eq!(story.rewards("a", 3).commission_paid, 100);
}

#[test]
fn rewards_of_a_height_come_before_the_stakes_that_begin_to_count_there() {
    let mut story = two_stakes();
    let refusal = |height| BookError::RewardAfterChange {
        service: service("a"),
        provider: provider(1),
        height: Height::new(height),
    };
    assert_eq!(story.refused(reward("a", 1, "ua", 300)), refusal(200));
    story.at(300).enter(reward("a", 1, "ua", 300));
    // A whale that sees a reward come has no part in it, and stops only those after it, at this height and provider.
    story.enter(admit(3, 1_000_000, &[1, 2])).enter(exclusive(3, "a", &[(1, 1_000_000)]));
    assert_eq!(story.refused(reward("a", 1, "ua", 300)), refusal(300));
    story.at(300).enter(reward("a", 2, "ua", 7)).enter(reward("b", 1, "ub", 7)).enter(withdraw(2, "a"));
    story.at(301).enter(reward("a", 1, "ua", 1_100_000));
    let claimable = [1, 2, 3].map(|n| story.claimable(n, "a"));
    assert_eq!(claimable, [100_200, 100, 1_000_000]);
    // Less of a stake stops nothing.
    story.enter(exclusive(3, "a", &[(1, 1)])).enter(withdraw(1, "a")).at(301).enter(reward("a", 1, "ua", 5));
    assert_eq!(story.claimable(3, "a"), 1_000_005);
}

#[test]
fn what_can_reach_nobody_goes_back_to_the_service() {
    let mut story = Story::new();
    story.enter(opt_in("a", 3, 100_000)).enter(reward("a", 3, "ua", 70));
    let nothing = BookError::NothingToGiveBack { service: service("a"), provider: provider(3) };
    story.enter(give_back("a", 3));
    assert_eq!((story.rewards("a", 3).held, story.rewards("a", 3).given_back), (0, 70));
    assert_eq!(story.refused(give_back("a", 3)), nothing);
    // What somebody has earned stays, be it a stake or a provider in office, and so does what a stake that counts waits for.
    story.enter(reward("a", 3, "ua", 70)).enter(admit(1, 100_000, &[3])).enter(share(1, "a"));
    assert_eq!(story.refused(give_back("a", 3)), nothing);
    story
        .enter(withdraw(1, "a"))
        .enter(give_back("a", 3))
        .enter(share(1, "a"))
        .enter(reward("a", 3, "ua", 1_000));
    assert_eq!(story.refused(give_back("a", 3)), nothing);
    story.enter(slash(3)).enter(give_back("a", 3));
    let rewards = story.rewards("a", 3);
    assert_eq!((rewards.commission, rewards.given_back), (0, 240));
    assert_eq!(story.refused(give_back("a", 3)), nothing);
    story.enter(claim(1, "a"));
    assert_eq!(story.paid(1, "ua"), 900);
    let unknown = BookError::UnknownProvider { service: service("a"), provider: provider(9) };
    assert_eq!(story.refused(give_back("a", 9)), unknown);
}

#[test]
fn only_providers_of_the_service_are_rewarded() {
    let mut story = two_stakes();
    let unknown = |n| BookError::UnknownProvider { service: service("a"), provider: provider(n) };
    assert_eq!(story.refused(reward("a", 3, "ua", 1)), unknown(3));
    assert_eq!(story.refused(reward("c", 1, "ua", 1)), BookError::UnknownService(service("c")));
    assert_eq!(story.refused(claim(7, "a")), BookError::UnknownStake(outpoint(7)));
}
