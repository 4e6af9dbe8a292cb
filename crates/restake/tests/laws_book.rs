//! The laws of rewards and of the ends of stakes, over random histories of a thousand operations and more.
#![allow(clippy::unwrap_used, reason = "a test's unwrap is its assertion")]

#[path = "support/histories.rs"]
mod histories;
mod support;

use std::collections::BTreeMap;

use histories::*;
use proptest::prelude::*;
use support::*;
use tapstake_params::Height;
use tapstake_restake::*;

/// What is added to the number of a stake for that of its second part.
const SECOND: u32 = 1_000_000;

fn opened_book() -> Book {
    let mut book = Book::new();
    for entry in opened() {
        book.apply(&entry).unwrap();
    }
    book
}

/// Everything that an owner has from a service, be it paid or not.
fn has(book: &Book, n: u32, at: (&str, &str)) -> u128 {
    book.paid(&account(n), &denomination(at.1)) + book.claimable(&outpoint(n), &service(at.0)).unwrap()
}

/// One third of a stake, or the other two, each with a number and a coin of its own.
fn part_of_stake(stake: &AdmittedStake, second: bool) -> Box<AdmittedStake> {
    let data = stake.data().clone();
    let (n, third) = (number(&data.outpoint), data.value.to_sat() / 3);
    let (n, value) = if second { (n + SECOND, third * 2) } else { (n, third) };
    let usual = stake_data(n, value, &[0]);
    let mild = data.slashed == mild_rate().slashed_part(data.value);
    let slashed = if mild { mild_rate().slashed_part(usual.value) } else { usual.slashed };
    let part = JournalledStake {
        slashed,
        providers: data.providers,
        inclusion_height: data.inclusion_height,
        expires_at: data.expires_at,
        unbonding_time: data.unbonding_time,
        ..usual
    };
    Box::new(part.try_into().unwrap())
}

/// The same for two parts of every stake, if it concerns rewards or the lives of stakes.
fn in_parts(event: &Event) -> Option<Vec<Event>> {
    let second = |outpoint: &bitcoin::OutPoint| support::outpoint(number(outpoint).wrapping_add(SECOND));
    Some(match event {
        Event::AdmitStake { stake } => {
            [false, true].map(|second| Event::AdmitStake { stake: part_of_stake(stake, second) }).to_vec()
        }
        Event::Allocate { stake, service, allocation } => {
            let parts = [(1, *stake), (2, second(stake))].map(|(times, stake)| {
                let allocation = match allocation {
                    Allocation::Exclusive(parts) => {
                        let third = |part: &Part| Part { amount: part.amount / 3 * times, ..*part };
                        Allocation::Exclusive(parts.iter().map(third).collect())
                    }
                    other => other.clone(),
                };
                Event::Allocate { stake, service: service.clone(), allocation }
            });
            parts.to_vec()
        }
        Event::Claim { stake, service } => {
            [*stake, second(stake)].map(|stake| Event::Claim { stake, service: service.clone() }).to_vec()
        }
        Event::EndStake { stake, end } => {
            [*stake, second(stake)].map(|stake| Event::EndStake { stake, end: *end }).to_vec()
        }
        Event::Reward { .. }
        | Event::ClaimCommission { .. }
        | Event::GiveBack { .. }
        | Event::SetCommission { .. }
        | Event::Slash { .. } => {
            vec![event.clone()]
        }
        _ => return None,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 20, failure_persistence: None, ..ProptestConfig::with_cases(4) })]

    /// In whole base units nothing is won or lost by asking at every turn.
    #[test]
    fn claiming_at_every_turn_never_pays_more_in_any_history(history in history()) {
        let (mut seldom, mut often, mut height, mut claims) = (opened_book(), opened_book(), START, 0);
        for attempt in &history {
            match attempt {
                Attempt::Wait { blocks } => height += blocks,
                Attempt::Reward { .. } => height += 1,
                _ => {}
            }
            for book in [&mut seldom, &mut often] {
                expire(book, height);
            }
            let event = event(attempt, &seldom, height).filter(|_| !matches!(attempt, Attempt::Late { .. }));
            let Some(event) = event else { continue };
            let entry = Entry { height: Height::new(height), event };
            let taken = (seldom.apply(&entry).is_ok(), often.apply(&entry).is_ok());
            prop_assert!(taken.0 == taken.1 || matches!(entry.event, Event::Claim { .. }), "{:?}", entry);
            if let Event::Reward { service, .. } = &entry.event {
                let stakes: Vec<_> = often.stakes().map(|stake| stake.outpoint).collect();
                for stake in stakes {
                    let event = Event::Claim { stake, service: service.clone() };
                    claims += u32::from(often.apply(&Entry { height: entry.height, event }).is_ok());
                }
            }
        }
        prop_assert!(seldom.entries() >= 1_000 && claims >= 200, "{} entries, {} more claims", seldom.entries(), claims);
        let mut earned = 0;
        for stake in seldom.stakes() {
            for at in SERVICES {
                let n = number(&stake.outpoint);
                prop_assert_eq!(has(&seldom, n, at), has(&often, n, at), "stake {} in {}", n, at.1);
                earned += u32::from(has(&seldom, n, at) > 0);
            }
        }
        prop_assert!(earned >= 50, "only {earned} have earned anything");
    }

    /// Every stake against a third and two thirds of it, whatever happens to them.
    #[test]
    fn splitting_every_stake_never_pays_more_in_any_history(history in history()) {
        let (mut whole, mut split, mut height) = (opened_book(), opened_book(), START);
        for attempt in &history {
            match attempt {
                Attempt::Wait { blocks } => height += blocks,
                Attempt::Reward { .. } => height += 1,
                _ => {}
            }
            for book in [&mut whole, &mut split] {
                expire(book, height);
            }
            let event = event(&attempt.alone(), &whole, height).filter(|_| !matches!(attempt, Attempt::Late { .. }));
            let Some((event, parts)) = event.and_then(|event| Some((in_parts(&event)?, event))).map(|(p, e)| (e, p)) else {
                continue;
            };
            let height = Height::new(height);
            let done = whole.apply(&Entry { height, event });
            for event in parts {
                let entry = Entry { height, event };
                let also = split.apply(&entry);
                let claim = matches!(entry.event, Event::Claim { .. });
                prop_assert!(done.is_ok() == also.is_ok() || claim, "{:?}: {:?} and {:?}", entry, done, also);
            }
        }
        prop_assert!(whole.entries() >= 1_000, "only {} entries", whole.entries());
        let (mut earned, mut less) = (0, 0);
        for stake in whole.stakes() {
            for at in SERVICES {
                let n = number(&stake.outpoint);
                let (one, two) = (has(&whole, n, at), has(&split, n, at) + has(&split, n + SECOND, at));
                // Three providers at most, and at each one unit that neither part has whole.
                prop_assert!(two <= one && one <= two + 3, "stake {} at {}: {} in parts, {} whole", n, at.0, two, one);
                earned += u32::from(one > 0);
                less += u32::from(two < one);
            }
        }
        prop_assert!(earned >= 50 && less > 0, "{earned} have earned anything, {less} less in parts");
    }

    /// What a stake counts goes when it ends, once, and nothing brings it back or takes it again.
    #[test]
    fn a_stake_is_deactivated_exactly_once_in_every_history(history in history()) {
        let (mut book, mut height) = (opened_book(), START);
        let mut ends: BTreeMap<u32, (StakeStatus, u32)> = BTreeMap::new();
        let mut counted: BTreeMap<u32, BTreeMap<ServiceId, u128>> = BTreeMap::new();
        let all_count = |book: &Book| -> BTreeMap<ServiceId, u128> {
            book.services().map(|service| (service.name.clone(), service.exposure.nominal)).collect()
        };
        for attempt in &history {
            let entries = match attempt {
                // Each on its own, those of expiries among them.
                Attempt::Wait { blocks } => {
                    height += blocks;
                    expire(&mut book.clone(), height)
                }
                Attempt::Late { .. } => continue,
                attempt => {
                    let event = event(attempt, &book, height);
                    event.map(|event| Entry { height: Height::new(height), event }).into_iter().collect()
                }
            };
            for entry in entries {
                let before = all_count(&book);
                if book.apply(&entry).is_err() {
                    continue;
                }
                let mut expected = before;
                for stake in book.stakes() {
                    let n = number(&stake.outpoint);
                    let (was, times) = *ends.entry(n).or_insert((StakeStatus::Active, 0));
                    let touched = was != stake.status
                        || matches!(&entry.event, Event::Allocate { stake: of, .. } if *of == stake.outpoint);
                    if !touched {
                        continue;
                    }
                    let (active, is_active) = (was == StakeStatus::Active, stake.status == StakeStatus::Active);
                    if let Event::ReviveStake { stake: of } = &entry.event {
                        // What was entered by mistake is as if it had not been, and may end once more.
                        prop_assert!(*of == stake.outpoint && matches!(was, StakeStatus::Spent | StakeStatus::Expanded));
                        ends.insert(n, (stake.status, u32::from(!is_active)));
                        continue;
                    }
                    prop_assert!(active || !is_active, "{entry:?} revives stake {n}, which was {was}");
                    ends.insert(n, (stake.status, times + u32::from(active && !is_active)));
                    // Nothing follows the end of an output but that the books learn how it ended.
                    let follows = match was {
                        StakeStatus::Active => true,
                        StakeStatus::Expired { .. } => !is_active,
                        StakeStatus::Unbonding { .. } => !matches!(stake.status, StakeStatus::Expired { .. }),
                        StakeStatus::Spent => stake.status == StakeStatus::Expanded,
                        StakeStatus::Returned | StakeStatus::Expanded | StakeStatus::Slashed => false,
                    };
                    prop_assert!(follows, "{entry:?} makes {} of a stake that was {was}", stake.status);
                    let counts = book.exposure(&stake.outpoint).unwrap().nominal;
                    prop_assert!(is_active || counts.is_empty(), "{n} is {} and counts", stake.status);
                    let counted = counted.entry(n).or_default();
                    for (service, nominal) in std::mem::replace(counted, counts) {
                        *expected.get_mut(&service).unwrap() -= nominal;
                    }
                    for (service, nominal) in &*counted {
                        *expected.get_mut(service).unwrap() += nominal;
                    }
                }
                prop_assert_eq!(all_count(&book), expected, "after {:?}", entry);
            }
        }
        prop_assert!(book.entries() >= 1_000, "only {} entries", book.entries());
        prop_assert!(ends.values().all(|(status, times)| *times == u32::from(*status != StakeStatus::Active)));
        let ended = ends.values().filter(|(_, times)| *times == 1).count();
        prop_assert!(ended >= 50 && counted.len() >= 50, "only {ended} have ended");
    }
}
