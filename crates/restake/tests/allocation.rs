//! How stakes come in, count, and end.
#![allow(clippy::unwrap_used, reason = "a test's unwrap is its assertion")]

mod support;

use support::*;
use tapstake_params::{Height, SlashingRate, Timelock};
use tapstake_restake::*;

fn one_stake() -> Story {
    let mut story = Story::new();
    story.enter(admit(1, 100_000, &[1, 2]));
    story
}

#[test]
fn shared_counts_the_whole_stake_for_every_provider_and_can_lose_it_once() {
    let mut story = one_stake();
    story.enter(share(1, "a")).enter(share(1, "b"));
    assert_eq!((story.rewards("a", 1).staked, story.rewards("a", 2).staked), (100_000, 100_000));
    let exposure = story.book.exposure(&outpoint(1)).unwrap();
    assert_eq!((exposure.nominal_total(), exposure.slashable), (400_000, sat(10_150)));
    assert_eq!(exposure.leverage_floor(), PartsPerMillion::percent(400));
    assert_eq!(exposure.nominal[&service("a")], 200_000);
}

#[test]
fn exclusive_counts_parts_that_sum_to_at_most_the_stake() {
    let mut story = one_stake();
    story.enter(exclusive(1, "a", &[(1, 60_000), (2, 40_000)]));
    assert_eq!((story.rewards("a", 1).staked, story.rewards("a", 2).staked), (60_000, 40_000));
    assert_eq!(story.book.exposure(&outpoint(1)).unwrap().leverage_floor(), Some(PartsPerMillion::ONE));
    let error = story.refused(exclusive(1, "b", &[(1, 60_000), (2, 40_001)]));
    assert_eq!(error.to_string(), format!("parts of 100001 sat exceed stake {} of 100000 sat", outpoint(1)));
    let most = u64::MAX;
    assert!(matches!(story.refused(exclusive(1, "b", &[(1, most), (2, most)])), BookError::Parts { .. }));
    let twice = story.refused(exclusive(1, "b", &[(1, 1), (1, 1)]));
    assert_eq!(twice, BookError::RepeatedProvider { outpoint: outpoint(1), provider: provider(1) });
    let none = BookError::NoProvider { outpoint: outpoint(1), service: service("b") };
    assert_eq!(story.refused(exclusive(1, "b", &[])), none);
}

#[test]
fn a_stake_counts_only_for_its_own_providers() {
    let mut story = Story::new();
    story.enter(admit(1, 100_000, &[1])).enter(admit(2, 100_000, &[7])).enter(share(1, "a"));
    assert_eq!(story.rewards("a", 2).staked, 0);
    let foreign = BookError::ForeignProvider { outpoint: outpoint(1), provider: provider(2) };
    assert_eq!(story.refused(exclusive(1, "b", &[(2, 1)])), foreign);
    let none = BookError::NoProvider { outpoint: outpoint(2), service: service("a") };
    assert_eq!(story.refused(share(2, "a")), none);
}

#[test]
fn a_new_allocation_replaces_the_one_before() {
    let mut story = one_stake();
    story.enter(share(1, "a")).enter(exclusive(1, "a", &[(2, 30_000)]));
    assert_eq!((story.rewards("a", 1).staked, story.rewards("a", 2).staked), (0, 30_000));
    assert_eq!(story.service_exposure("a").stakes, 1);
    story.enter(withdraw(1, "a"));
    assert_eq!((story.service_exposure("a").stakes, story.service_exposure("a").nominal), (0, 0));
    story.enter(share(1, "a"));
    assert_eq!(story.service_exposure("a").slashable, sat(10_150));
}

#[test]
fn every_services_leverage_limit_holds_over_all_services_together() {
    let mut story = Story::new();
    let limited =
        |percent| ServiceTerms { leverage_limit: PartsPerMillion::percent(percent).unwrap(), ..terms("uc") };
    story.enter(Event::RegisterService { service: service("strict"), terms: limited(150) });
    story.enter(opt_in("strict", 1, 0));
    story.enter(admit(1, 100_000, &[1])).enter(admit(2, 100_000, &[1]));
    // 100 % at a and 50 % at the strict one are as much as it allows.
    story.enter(share(1, "a")).enter(exclusive(1, "strict", &[(1, 50_000)]));
    let error = story.refused(exclusive(1, "strict", &[(1, 50_001)]));
    let expected = BookError::Leverage {
        outpoint: outpoint(1),
        service: service("strict"),
        nominal: 150_001,
        value: sat(100_000),
        limit: PartsPerMillion::percent(150).unwrap(),
    };
    assert_eq!(error, expected);
    // The limit is asked about as well when the stake goes to another service afterwards.
    assert!(matches!(story.refused(exclusive(1, "b", &[(1, 1)])), BookError::Leverage { .. }));
    // Who does not count for the strict service is not limited by it.
    story.enter(share(2, "a")).enter(share(2, "b"));
    story.enter(withdraw(1, "strict")).at(300).enter(share(1, "b"));
}

#[test]
fn a_limit_that_does_not_divide_into_satoshi_is_rounded_down() {
    let mut story = Story::new();
    let leverage_limit = PartsPerMillion::percent(150).unwrap();
    let terms = ServiceTerms { leverage_limit, ..terms("uc") };
    story.enter(Event::RegisterService { service: service("strict"), terms }).enter(opt_in("strict", 1, 0));
    story.enter(admit(1, 70_001, &[1])).enter(share(1, "a"));
    // 150 % of 70,001 sat are 105,001.5.
    let refusal = story.refused(exclusive(1, "strict", &[(1, 35_001)]));
    assert!(matches!(refusal, BookError::Leverage { nominal: 105_002, .. }), "{refusal}");
    story.enter(exclusive(1, "strict", &[(1, 35_000)]));
}

#[test]
fn what_a_stake_has_left_counts_for_leverage_until_nobody_relies_on_it() {
    let mut story = Story::new();
    let once = ServiceTerms { leverage_limit: PartsPerMillion::ONE, ..terms("uc") };
    for name in ["one", "two"] {
        story.enter(Event::RegisterService { service: service(name), terms: once.clone() });
        story.enter(opt_in(name, 1, 0));
    }
    story.enter(admit(1, 100_000, &[1])).enter(share(1, "one"));
    story.at(300).enter(withdraw(1, "one"));
    // Every satoshi of it is still what the first service relies on.
    let refusal = BookError::Leverage {
        outpoint: outpoint(1),
        service: service("one"),
        nominal: 200_000,
        value: sat(100_000),
        limit: PartsPerMillion::ONE,
    };
    assert_eq!(story.at(399).refused(share(1, "two")), refusal);
    assert!(matches!(
        story.refused(exclusive(1, "two", &[(1, 1)])),
        BookError::Leverage { nominal: 100_001, .. }
    ));
    // What it counts again is more than the little that it had left before.
    story.at(400).enter(exclusive(1, "one", &[(1, 10)])).enter(withdraw(1, "one")).enter(share(1, "one"));
    let more = story.refused(exclusive(1, "two", &[(1, 1)]));
    assert!(matches!(more, BookError::Leverage { nominal: 100_001, .. }), "{more}");
    story.enter(withdraw(1, "one")).at(499);
    // Back where it was it counts once, and less of it always may.
    story.enter(share(1, "one")).enter(exclusive(1, "one", &[(1, 50_000)]));
    assert!(matches!(story.at(598).refused(exclusive(1, "two", &[(1, 50_000)])), BookError::Leverage { .. }));
    story.at(599).enter(exclusive(1, "two", &[(1, 50_000)])).enter(withdraw(1, "one"));
}

#[test]
fn a_services_rate_must_be_the_one_that_was_pre_signed() {
    let mut story = Story::new();
    let slashing_rate = SlashingRate::from_ten_thousandths(500).unwrap();
    let terms = ServiceTerms { slashing_rate, ..terms("uc") };
    story.enter(Event::RegisterService { service: service("mild"), terms });
    story.enter(opt_in("mild", 1, 0)).enter(admit(1, 100_000, &[1]));
    let error = story.refused(share(1, "mild"));
    let expected = format!(
        "mild slashes at 0.05, which is 5000 sat of stake {}: its slashing is pre-signed for 10000 sat",
        outpoint(1)
    );
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_stake_must_stay_slashable_as_long_as_the_service_asks() {
    let mut story = Story::new();
    for (name, blocks) in [("slow", 101), ("fast", 100)] {
        let terms = ServiceTerms { unbonding_time: Timelock::new(blocks).unwrap(), ..terms("uc") };
        story.enter(Event::RegisterService { service: service(name), terms }).enter(opt_in(name, 1, 0));
    }
    story.enter(admit(1, 100_000, &[1]));
    let refusal = story.refused(share(1, "slow")).to_string();
    assert_eq!(refusal, format!("slow asks for 101 blocks of unbonding, stake {} has 100", outpoint(1)));
    story.enter(share(1, "fast"));
}

#[test]
fn an_outpoint_is_admitted_once_whatever_became_of_it() {
    let mut story = one_stake();
    let again = BookError::StakeExists(outpoint(1));
    assert_eq!(story.refused(admit(1, 100_000, &[1])), again);
    story.enter(end(1, End::Spent));
    assert_eq!(story.refused(admit(1, 100_000, &[1])), again);
}

#[test]
fn a_stake_is_admitted_within_its_time_alone() {
    for (height, within) in [(99, false), (100, true), (9_999, true), (10_000, false)] {
        let mut story = Story::empty(height);
        if within {
            story.enter(admit(1, 100_000, &[1]));
        } else {
            assert!(matches!(story.refused(admit(1, 100_000, &[1])), BookError::OutsideItsTime { .. }));
        }
    }
}

#[test]
fn a_stake_ends_after_it_began_and_exactly_once() {
    let mut story = Story::new();
    assert_eq!(story.refused(end(1, End::Unbonding)), BookError::UnknownStake(outpoint(1)));
    story.enter(admit(1, 100_000, &[1])).enter(share(1, "a")).enter(end(1, End::Unbonding));
    assert_eq!(story.rewards("a", 1).staked, 0);
    let status = StakeStatus::Unbonding { until: Height::new(300) };
    let ended = |status| BookError::StakeEnded { outpoint: outpoint(1), status };
    for again in [End::Unbonding, End::Expired] {
        assert_eq!(story.refused(end(1, again)), ended(status), "power is not removed twice");
    }
    assert_eq!(story.refused(share(1, "a")), ended(status));
    // What has ended can still be spent, once.
    story.enter(end(1, End::Spent));
    for again in [End::Unbonding, End::Spent, End::Expired] {
        assert_eq!(story.refused(end(1, again)), ended(StakeStatus::Spent));
    }
    assert_eq!(story.rewards("a", 1).staked, 0);
}

#[test]
fn nothing_is_entered_beside_a_stake_that_has_expired_and_still_counts() {
    let mut story = one_stake();
    story.enter(admit(2, 50_000, &[1])).enter(share(1, "a")).enter(share(2, "a"));
    let early = BookError::NotExpired {
        outpoint: outpoint(1),
        expires_at: Height::new(10_000),
        height: Height::new(9_999),
    };
    assert_eq!(story.at(9_999).refused(end(1, End::Expired)), early);
    story.enter(reward("a", 1, "ua", 300));
    let due = BookError::ExpiryDue {
        outpoint: outpoint(1),
        expires_at: Height::new(10_000),
        height: Height::new(10_000),
    };
    assert_eq!(story.at(10_000).refused(reward("a", 1, "ua", 300)), due);
    assert_eq!(story.refused(slash(2)), due);
    assert_eq!(story.book.due(Height::new(9_999)), None);
    while let Some(expired) = story.book.due(Height::new(10_000)) {
        story.enter(Event::EndStake { stake: expired, end: End::Expired });
    }
    story.enter(reward("a", 1, "ua", 300));
    assert_eq!((story.claimable(1, "a"), story.rewards("a", 1).held), (200, 300));
    assert_eq!(story.status(1), StakeStatus::Expired { until: Height::new(10_100) });
}

#[test]
fn beside_an_expired_stake_no_other_end_is_entered_either() {
    let mut story = one_stake();
    let later = JournalledStake { expires_at: Height::new(20_000), ..stake_data(2, 50_000, &[1]) };
    story.enter(Event::AdmitStake { stake: Box::new(later.try_into().unwrap()) });
    story.at(10_000);
    let due = BookError::ExpiryDue {
        outpoint: outpoint(1),
        expires_at: Height::new(10_000),
        height: Height::new(10_000),
    };
    for (stake, how) in [(1, End::Unbonding), (1, End::Spent), (2, End::Unbonding), (2, End::Spent)] {
        assert_eq!(story.refused(end(stake, how)), due, "{how:?} of stake {stake}");
    }
    story.enter(end(1, End::Expired)).enter(end(2, End::Spent));
}

#[test]
fn services_and_providers_register_once() {
    let mut story = Story::new();
    assert_eq!(story.refused(register("a", "ux")), BookError::ServiceExists(service("a")));
    let exists = BookError::ProviderExists { service: service("a"), provider: provider(1) };
    assert_eq!(story.refused(opt_in("a", 1, 5)), exists);
    assert_eq!(story.refused(opt_in("z", 1, 5)), BookError::UnknownService(service("z")));
    assert_eq!(story.book.providers(&service("a")).unwrap().len(), 2);
    assert_eq!(story.book.services().map(|service| service.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn a_stake_that_no_verifier_could_have_made_is_not_read() {
    let honest = || stake_data(1, 100_000, &[1, 2]);
    let read = |data: JournalledStake| {
        let json = serde_json::to_string(&data).unwrap();
        serde_json::from_str::<AdmittedStake>(&json).map_err(|error| error.to_string())
    };
    assert_eq!(read(honest()).unwrap().data(), &honest());
    type Break = (fn(&mut JournalledStake), &'static str);
    let breaks: [Break; 8] = [
        (|stake| stake.value = sat(0), "is not a value"),
        (|stake| stake.value = sat(21_000_000 * 100_000_000 + 1), "is not a value"),
        (|stake| stake.slashed = sat(0), "within its"),
        (|stake| stake.refund = sat(90_001), "within its"),
        (|stake| stake.unbonding_refund = sat(100_000), "within its"),
        (|stake| stake.providers.clear(), "at least one"),
        (|stake| stake.providers.reverse(), "ascending"),
        (|stake| stake.expires_at = stake.inclusion_height, "already"),
    ];
    for (change, part) in breaks {
        let mut data = honest();
        change(&mut data);
        let error = read(data).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
    let mut repeated = honest();
    repeated.providers[1] = repeated.providers[0];
    assert!(read(repeated).unwrap_err().contains("distinct"));
    let json = serde_json::to_string(&honest()).unwrap().replacen('{', "{\"more\":1,", 1);
    assert!(serde_json::from_str::<AdmittedStake>(&json).unwrap_err().to_string().contains("unknown field"));
}
