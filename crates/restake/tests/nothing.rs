//! Entries that would change nothing, or nothing that is right, are refused.
#![allow(clippy::unwrap_used, reason = "a test's unwrap is its assertion")]

mod support;

use support::*;
use tapstake_params::Timelock;
use tapstake_restake::*;

#[test]
fn a_part_of_nothing_is_refused() {
    let mut story = Story::new();
    story.enter(admit(1, 100_000, &[1, 2]));
    let refusal = BookError::EmptyPart { outpoint: outpoint(1), provider: provider(2) };
    assert_eq!(story.refused(exclusive(1, "a", &[(1, 5), (2, 0)])), refusal);
    story.enter(exclusive(1, "a", &[(1, 5), (2, 1)]));
}

#[test]
fn a_service_that_does_not_count_a_stake_cannot_lose_it() {
    let mut story = Story::new();
    story.enter(admit(1, 100_000, &[1])).enter(share(1, "a"));
    let refusal = |name| BookError::NotAllocated { outpoint: outpoint(1), service: service(name) };
    assert_eq!(story.refused(withdraw(1, "b")), refusal("b"));
    story.enter(withdraw(1, "a"));
    assert_eq!(story.refused(withdraw(1, "a")), refusal("a"), "it has left, and does not leave again");
}

#[test]
fn the_services_of_receipts_over_receipts_stay_within_the_limits_of_each() {
    let mut story = Story::new();
    let (pool, name) = (PoolId::new("l").unwrap(), PoolId::new("p").unwrap());
    let leverage_limit = PartsPerMillion::percent(150).unwrap();
    story.enter(Event::RegisterService {
        service: service("strict"),
        terms: ServiceTerms { leverage_limit, ..terms("uc") },
    });
    story.enter(Event::OpenPool { pool: name.clone(), unbonding_time: Timelock::new(100).unwrap() });
    let wide = PartsPerMillion::percent(300).unwrap();
    story.enter(Event::OpenLrt { pool: pool.clone(), over: name, leverage_limit: wide });
    let choose = |name: &str, percent| {
        let part = PartsPerMillion::percent(percent).unwrap();
        Event::ChooseService { pool: pool.clone(), service: service(name), part }
    };
    let refusal = |percent| BookError::LrtLeverage {
        pool: pool.clone(),
        service: service("strict"),
        sum: PartsPerMillion::percent(percent).unwrap(),
        limit: leverage_limit,
    };
    story.enter(choose("a", 100));
    assert_eq!(story.refused(choose("strict", 51)), refusal(151));
    story.enter(choose("strict", 50));
    // Its limit holds for whoever comes later, and for a larger part of who was there.
    assert_eq!(story.refused(choose("b", 1)), refusal(151));
    assert_eq!(story.refused(choose("strict", 60)), refusal(160));
    story.enter(choose("a", 99)).enter(choose("b", 1));
    story
        .enter(Event::LeaveService { pool: pool.clone(), service: service("strict") })
        .enter(choose("b", 100));
}

#[test]
fn no_refund_is_above_what_the_slashed_part_leaves() {
    let honest = || stake_data(1, 100_000, &[1]);
    let read = |data: JournalledStake| AdmittedStake::try_from(data).map(drop);
    let refusal = Err(StakeDataError::Slashing { outpoint: outpoint(1), value: sat(100_000) });
    for (refund, read_as) in [(90_000, Ok(())), (90_001, refusal)] {
        assert_eq!(read(JournalledStake { refund: sat(refund), ..honest() }), read_as, "{refund}");
        assert_eq!(read(JournalledStake { unbonding_refund: sat(refund), ..honest() }), read_as, "{refund}");
    }
    let spends = |spends| read(JournalledStake { spends, ..honest() });
    let wrong = Err(StakeDataError::Spends { outpoint: outpoint(1) });
    let own = |mut output: bitcoin::OutPoint| {
        output.vout = 9;
        output
    };
    for bad in [vec![], vec![coin(1), coin(1)], vec![coin(1), own(outpoint(1))], vec![own(unbonding(1))]] {
        assert_eq!(spends(bad.clone()), wrong, "{bad:?}");
    }
    assert_eq!(spends(vec![coin(1), outpoint(2), coin(2)]), Ok(()));
    assert_eq!(read(JournalledStake { unbonding: own(outpoint(1)), ..honest() }), wrong);
}
