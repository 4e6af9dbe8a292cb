//! Stakes, services and pools together: one slashing reaches every book, once.
#![allow(clippy::unwrap_used, reason = "a test's unwrap is its assertion")]

mod support;

use bitcoin::OutPoint;
use support::*;
use tapstake_params::{Height, Timelock};
use tapstake_restake::*;

/// What the pre-signed slashing of 100,000 sat takes, and that of its unbonding.
const LOSS: u64 = 10_100;
const LOSS_IN_UNBONDING: u64 = 10_150;

fn pool(name: &str) -> PoolId {
    PoolId::new(name).unwrap()
}

fn holder(name: &str) -> HolderId {
    HolderId::new(name).unwrap()
}

fn open(name: &str, blocks: u32) -> Event {
    Event::OpenPool { pool: pool(name), unbonding_time: Timelock::new(blocks).unwrap() }
}

fn mint(name: &str, to: &str, stake: u32) -> Event {
    Event::Mint { pool: pool(name), holder: holder(to), stake: outpoint(stake) }
}

fn exit(name: &str, of: &str, shares: u128) -> Event {
    Event::RequestExit { pool: pool(name), holder: holder(of), shares }
}

fn finalise(name: &str, exit: u64) -> Event {
    Event::FinaliseExit { pool: pool(name), exit: ExitId(exit) }
}

fn give_back_stake(stake: u32, returned: u64) -> Event {
    Event::ReturnStake { stake: outpoint(stake), returned: sat(returned) }
}

/// Alice and Bob have receipts for stakes 1 (providers 1 and 2) and 2 (provider 2), which secure both services.
fn pooled() -> Story {
    let mut story = Story::new();
    story.enter(admit(1, 100_000, &[1, 2])).enter(admit(2, 100_000, &[2]));
    for n in [1, 2] {
        story.enter(share(n, "a")).enter(share(n, "b"));
    }
    story.enter(open("p", 100)).enter(mint("p", "alice", 1)).enter(mint("p", "bob", 2));
    story
}

fn view<'a>(story: &'a Story, name: &str) -> &'a Pool {
    story.book.pool(&pool(name)).unwrap()
}

#[test]
fn a_slashing_reaches_pool_queue_and_services_exactly_once() {
    let mut story = pooled();
    let half = view(&story, "p").balance(&holder("bob")) / 2;
    story.enter(exit("p", "bob", half));
    let quoted = view(&story, "p").queue().total();
    story.enter(slash(1));
    let after = view(&story, "p");
    let lost_by_shares = sat(200_000) - quoted - after.assets();
    let lost_by_queue = quoted - after.queue().total();
    assert_eq!(lost_by_shares + lost_by_queue, sat(LOSS));
    assert!(lost_by_queue >= sat(LOSS / 4) && lost_by_queue <= sat(LOSS / 4 + 1));
    assert_eq!(after.backing().missing(), sat(0));
    assert_eq!(after.stake(&outpoint(1)).unwrap().status, PooledStatus::Slashed);
    for name in ["a", "b"] {
        let exposure = story.service_exposure(name);
        assert_eq!((exposure.lost, exposure.stakes), (sat(LOSS), 1), "{name}");
    }
    // The other provider's key can slash the other stake, and nothing more of this one.
    story.enter(slash(2));
    assert_eq!(view(&story, "p").flows().lost, u128::from(2 * LOSS));
}

#[test]
fn slashings_of_one_height_leave_the_same_pools_in_any_order() {
    let story = || {
        let mut story = pooled();
        story.enter(admit(3, 77_777, &[1])).enter(open("q", 150)).enter(mint("q", "carol", 3));
        story.enter(exit("p", "bob", 33_333_333_333)).enter(exit("p", "alice", 777_777_777));
        story.enter(exit("q", "carol", 11_111_111_111)).at(250);
        story
    };
    let (mut forth, mut back) = (story(), story());
    forth.enter(slash(1)).enter(slash(2));
    back.enter(slash(2)).enter(slash(1));
    assert!(forth.book == back.book);
}

#[test]
fn an_exit_is_slashable_until_it_is_paid_and_paid_from_stakes_that_came_back() {
    let mut story = pooled();
    let shares = view(&story, "p").balance(&holder("bob"));
    story.enter(exit("p", "bob", shares)).enter(end(2, End::Unbonding));
    let still = story.at(299).refused(give_back_stake(2, 99_000));
    let status = StakeStatus::Unbonding { until: Height::new(300) };
    let expected = BookError::StillLocked { outpoint: outpoint(2), status, height: Height::new(299) };
    assert_eq!(still, expected);
    assert!(matches!(
        story.refused(finalise("p", 0)),
        BookError::Pool { error: PoolError::Unbonding { .. }, .. }
    ));
    story.enter(slash(2));
    // Slashed in its unbonding, and stake 1 with it, which had the same provider.
    let lost = u128::from(LOSS + LOSS_IN_UNBONDING);
    assert_eq!(view(&story, "p").flows().lost, lost);
    let claim = view(&story, "p").queue().total();
    assert!(claim < sat(100_000 - LOSS + 100) && claim > sat(89_000));
    let poor = story.at(300).refused(finalise("p", 0));
    assert!(matches!(poor, BookError::Pool { error: PoolError::NotEnoughCash { .. }, .. }), "{poor}");
    story.enter(give_back_stake(2, 100_000 - LOSS_IN_UNBONDING)).enter(give_back_stake(1, 100_000 - LOSS));
    // What is left of a slashed stake comes back, and it stays slashed.
    assert_eq!([1, 2].map(|n| story.status(n)), [StakeStatus::Slashed; 2]);
    story.enter(finalise("p", 0));
    assert_eq!(view(&story, "p").flows().paid, u128::from(claim.to_sat()));
    assert_eq!(view(&story, "p").backing().missing(), sat(0));
}

#[test]
fn one_receipt_per_outpoint_whichever_the_pool_and_for_ever() {
    let mut story = pooled();
    story.enter(open("q", 200));
    let minted = BookError::Minted { outpoint: outpoint(1), pool: pool("p") };
    assert_eq!(story.refused(mint("p", "alice", 1)), minted);
    assert_eq!(story.refused(mint("q", "alice", 1)), minted);
    story.enter(end(1, End::Unbonding)).at(300).enter(give_back_stake(1, 100_000));
    assert_eq!(story.refused(mint("q", "alice", 1)), minted);
    assert_eq!(story.book.minted_in(&outpoint(1)).unwrap(), Some(&pool("p")));
}

#[test]
fn receipts_are_minted_for_active_stakes_alone() {
    let mut story = pooled();
    assert_eq!(story.refused(mint("p", "alice", 9)), BookError::UnknownStake(outpoint(9)));
    story.enter(admit(3, 50_000, &[1])).enter(end(3, End::Spent));
    let ended = BookError::StakeEnded { outpoint: outpoint(3), status: StakeStatus::Spent };
    assert_eq!(story.refused(mint("p", "alice", 3)), ended);
    assert_eq!(story.refused(mint("z", "alice", 2)), BookError::UnknownPool(pool("z")));
}

#[test]
fn exits_wait_at_least_as_long_as_the_stakes_unbond() {
    let mut story = Story::new();
    story.enter(admit(1, 100_000, &[1])).enter(open("hasty", 99)).enter(open("p", 100));
    let refusal = story.refused(mint("hasty", "alice", 1));
    assert!(matches!(refusal, BookError::PoolUnbonding { .. }), "{refusal}");
    story.enter(mint("p", "alice", 1));
}

#[test]
fn a_stake_spent_elsewhere_is_missed_at_once_and_stops_minting_until_made_good() {
    let mut story = pooled();
    story.enter(end(1, End::Spent));
    assert_eq!(view(&story, "p").backing().missing(), sat(100_000));
    story.enter(admit(3, 50_000, &[2]));
    let refusal = story.refused(mint("p", "carol", 3));
    assert!(matches!(refusal, BookError::Pool { error: PoolError::Unbacked { .. }, .. }), "{refusal}");
    story.enter(Event::MakeGood { pool: pool("p"), amount: sat(100_000) }).enter(mint("p", "carol", 3));
    let again = story.refused(give_back_stake(1, 1));
    assert!(matches!(again, BookError::Pool { error: PoolError::StakeEnded(_), .. }), "{again}");
    assert_eq!(story.refused(give_back_stake(9, 1)), BookError::UnknownStake(outpoint(9)));
}

#[test]
fn who_took_the_coin_is_not_paid_for_it_again() {
    let mut story = pooled();
    // Alice has withdrawn stake 1 herself, and gives up the receipts for it.
    story.enter(end(1, End::Spent)).enter(end(2, End::Unbonding));
    let shares = view(&story, "p").balance(&holder("alice"));
    story.enter(exit("p", "alice", shares)).at(300).enter(give_back_stake(2, 100_000));
    let refusal = story.refused(finalise("p", 0));
    let backing = Backing { reserves: sat(100_000), issued: sat(200_000) };
    assert_eq!(refusal, BookError::Pool { pool: pool("p"), error: PoolError::Missing { backing } });
    story.enter(Event::MakeGood { pool: pool("p"), amount: sat(100_000) }).enter(finalise("p", 0));
    let shares = view(&story, "p").balance(&holder("bob"));
    story.enter(exit("p", "bob", shares)).at(400).enter(finalise("p", 1));
    assert_eq!(view(&story, "p").flows().paid, 200_000);
}

#[test]
fn a_pool_over_receipts_loses_with_the_pool_beneath_and_in_no_other_way() {
    let mut story = pooled();
    let limit = PartsPerMillion::percent(200).unwrap();
    story.enter(Event::OpenLrt { pool: pool("l"), over: pool("p"), leverage_limit: limit });
    let choose = |name: &str, part| Event::ChooseService {
        pool: pool("l"),
        service: service(name),
        part: PartsPerMillion::new(part),
    };
    story.enter(choose("a", 1_000_000)).enter(choose("b", 500_000));
    assert_eq!(story.refused(choose("z", 1)), BookError::UnknownService(service("z")));
    let shares = view(&story, "p").balance(&holder("alice"));
    story.enter(Event::LrtDeposit { pool: pool("l"), holder: holder("alice"), shares });
    let exposure = |story: &Story| {
        let (lrt, beneath) = story.book.lrt_pool(&pool("l")).unwrap();
        lrt.exposure(beneath).unwrap()
    };
    let before = exposure(&story);
    assert_eq!((before.value, before.nominal_sum), (sat(100_000), 150_000));
    story.enter(slash(1));
    let after = exposure(&story);
    assert_eq!(after.value, sat(100_000 - LOSS / 2));
    // Whose name is a pool's account cannot be emptied from outside.
    let account = HolderId::new("lrt:l").unwrap();
    let thief = Event::Transfer { pool: pool("p"), from: account.clone(), to: holder("eve"), shares: 1 };
    assert_eq!(story.refused(thief), BookError::ReservedHolder(account));
    let all = story.book.lrt_pool(&pool("l")).unwrap().0.balance(&holder("alice"));
    let redeem = Event::LrtRedeem { pool: pool("l"), holder: holder("alice"), shares: all };
    story.enter(redeem);
    assert_eq!(view(&story, "p").balance(&holder("alice")), shares);
}

#[test]
fn nobody_acts_in_the_name_of_a_pool_over_receipts() {
    let mut story = pooled();
    for name in ["l", "m"] {
        let leverage_limit = PartsPerMillion::ONE;
        story.enter(Event::OpenLrt { pool: pool(name), over: pool("p"), leverage_limit });
    }
    let shares = view(&story, "p").balance(&holder("alice"));
    story.enter(Event::LrtDeposit { pool: pool("l"), holder: holder("alice"), shares });
    story.enter(Event::LrtDeposit { pool: pool("m"), holder: holder("bob"), shares });
    story.enter(admit(3, 50_000, &[1]));
    let (account, gift) = (holder("lrt:l"), shares * 2);
    let (from, to) = (holder("bob"), account.clone());
    for event in [
        Event::LrtTransfer { pool: pool("m"), from, to, shares: gift },
        Event::Transfer { pool: pool("p"), from: holder("bob"), to: account.clone(), shares: 1 },
        exit("p", "lrt:l", shares),
        Event::RequestWithdrawal { pool: pool("p"), holder: account.clone(), amount: sat(50_000) },
        Event::Transfer { pool: pool("p"), from: account.clone(), to: holder("eve"), shares },
        mint("p", "lrt:l", 3),
        expand(1, 4, 120_000, &[1, 2], Some("lrt:l")),
        Event::LrtDeposit { pool: pool("m"), holder: account.clone(), shares },
        Event::LrtRedeem { pool: pool("m"), holder: account.clone(), shares: gift },
        Event::LrtReward { pool: pool("m"), from: account.clone(), shares },
    ] {
        assert_eq!(story.refused(event), BookError::ReservedHolder(account.clone()));
    }
}

#[test]
fn pools_have_one_name_each() {
    let mut story = pooled();
    let over = |name: &str, over: &str| Event::OpenLrt {
        pool: pool(name),
        over: pool(over),
        leverage_limit: PartsPerMillion::ONE,
    };
    story.enter(over("l", "p"));
    assert_eq!(story.refused(open("l", 1)), BookError::PoolExists(pool("l")));
    assert_eq!(story.refused(over("p", "p")), BookError::PoolExists(pool("p")));
    assert_eq!(story.refused(over("m", "l")), BookError::UnknownPool(pool("l")), "no receipts over those");
}

#[test]
fn the_risk_of_a_pool_counts_what_its_stakes_can_still_lose() {
    let mut story = pooled();
    let report = |story: &Story, height| story.book.risk(&pool("p"), Height::new(height), None).unwrap();
    let worst = report(&story, 200);
    assert_eq!(worst.every_provider.loss, sat(2 * LOSS_IN_UNBONDING));
    assert_eq!(worst.providers.len(), 2);
    story.enter(end(1, End::Unbonding));
    assert_eq!(report(&story, 299).every_provider.loss, sat(2 * LOSS_IN_UNBONDING));
    // Past its unbonding it can be slashed as long as nobody has withdrawn it.
    assert_eq!(report(&story, 300).every_provider.loss, sat(2 * LOSS_IN_UNBONDING));
    story.at(300).enter(give_back_stake(1, 100_000));
    assert_eq!(report(&story, 300).every_provider.loss, sat(LOSS_IN_UNBONDING));
    assert!(matches!(story.book.risk(&pool("z"), Height::new(300), None), Err(BookError::UnknownPool(_))));
}

#[test]
fn what_has_expired_can_lose_what_the_slashing_of_its_staking_output_takes_and_no_more() {
    let mut story = pooled();
    story.at(10_000).enter(end(1, End::Expired)).enter(end(2, End::Expired));
    let worst =
        |story: &Story| story.book.risk(&pool("p"), Height::new(0), None).unwrap().every_provider.loss;
    assert_eq!(worst(&story), sat(2 * LOSS));
    story.enter(end(2, End::Unbonding));
    assert_eq!(worst(&story), sat(LOSS + LOSS_IN_UNBONDING));
}

#[test]
fn nothing_is_looked_at_from_below_the_last_entry() {
    let mut story = pooled();
    let shares = view(&story, "p").balance(&holder("bob"));
    story.enter(exit("p", "bob", shares)).at(250).enter(register("c", "uc"));
    // An exit of height 200 is mature at 300.
    for (height, told, blocks) in [(0, 250, 50), (249, 250, 50), (250, 250, 50), (251, 251, 49)] {
        let report = story.book.risk(&pool("p"), Height::new(height), None).unwrap();
        assert_eq!((report.height, report.queue.blocks), (Height::new(told), blocks), "{height}");
    }
}

#[test]
fn a_book_tells_its_entries_and_the_slashed() {
    let mut story = pooled();
    let before = story.book.entries();
    assert_eq!(before, 6 + 2 + 4 + 3, "one for each entry that was taken");
    story.refused(mint("p", "alice", 1));
    assert_eq!(story.book.entries(), before);
    story.at(250).enter(slash(1));
    assert_eq!((story.book.entries(), story.book.height()), (before + 1, Height::new(250)));
    let views = story.book.providers(&service("a")).unwrap();
    let slashed: Vec<_> = views.iter().map(|view| (view.provider, view.slashed)).collect();
    assert_eq!(slashed, [(provider(1), Some(Height::new(250))), (provider(2), None)]);
}

#[test]
fn what_can_be_slashed_is_the_worse_of_both_times_whichever_that_is() {
    for (refund, unbonding_refund, losses) in
        [(89_900, 89_850, (10_100, 10_150)), (89_000, 89_500, (11_000, 10_500))]
    {
        let (refund, unbonding_refund) = (sat(refund), sat(unbonding_refund));
        let data = JournalledStake { refund, unbonding_refund, ..stake_data(1, 100_000, &[1]) };
        let stake = AdmittedStake::try_from(data).unwrap();
        assert_eq!((stake.loss(), stake.loss_in_unbonding()), (sat(losses.0), sat(losses.1)));
        let worse = sat(losses.0.max(losses.1));
        assert_eq!((stake.slashable(), StakeAtRisk::from(&stake).loss), (worse, worse));
        let mut story = Story::new();
        story.enter(Event::AdmitStake { stake: Box::new(stake) });
        assert_eq!(story.book.stake(&outpoint(1)).unwrap().slashable, worse);
    }
}

#[test]
fn an_expansion_takes_the_place_of_its_stake_in_the_pool() {
    let mut story = pooled();
    let before = view(&story, "p").clone();
    // Stake 3 is stake 1 and 20,000 sat more, for which Carol gets receipts.
    let lacks = story.refused(expand(1, 3, 120_000, &[1, 2], None));
    let more = PoolError::NoReceiver { outpoint: outpoint(3), more: sat(20_000) };
    assert_eq!(lacks, BookError::Pool { pool: pool("p"), error: more });
    story.at(300).enter(expand(1, 3, 120_000, &[1, 2], Some("carol")));
    let after = view(&story, "p");
    assert_eq!(after.balance(&holder("alice")), before.balance(&holder("alice")));
    assert_eq!(after.balance(&holder("carol")), 20_000 * VIRTUAL_SHARES);
    assert_eq!((after.backing().reserves, after.backing().issued), (sat(220_000), sat(220_000)));
    assert_eq!(after.stake(&outpoint(1)).unwrap().status, PooledStatus::Ended);
    assert_eq!(after.stake(&outpoint(3)).unwrap().value, sat(120_000));
    assert_eq!([1, 3].map(|n| story.status(n)), [StakeStatus::Expanded, StakeStatus::Active]);
    // One receipt per outpoint, also for the new one.
    let minted = BookError::Minted { outpoint: outpoint(3), pool: pool("p") };
    assert_eq!(story.refused(mint("p", "carol", 3)), minted);
    // The old one is gone for ever, and a slashing takes the new one, once.
    let ended = BookError::StakeEnded { outpoint: outpoint(1), status: StakeStatus::Expanded };
    for event in [share(1, "a"), end(1, End::Spent), expand(1, 4, 100_000, &[1], None)] {
        assert_eq!(story.refused(event), ended);
    }
    story.enter(slash(1));
    assert_eq!(view(&story, "p").flows().lost, 12_100);
    // Both services relied on the old one until 100 blocks later, and lose with the new one.
    assert_eq!(["a", "b"].map(|name| story.service_exposure(name).lost), [sat(12_100); 2]);
}

#[test]
fn a_service_relies_on_an_expansion_for_what_it_left_behind() {
    for (height, lost) in [(399, 10_100), (400, 0)] {
        let mut story = pooled();
        story.at(300).enter(expand(1, 3, 100_000, &[1, 2], None));
        story.at(height).enter(slash(1));
        assert_eq!(["a", "b"].map(|name| story.service_exposure(name).lost), [sat(lost); 2], "{height}");
    }
}

#[test]
fn a_service_that_was_free_of_a_stake_is_free_of_its_expansion() {
    for (height, lost) in [(399, 10_100), (400, 0)] {
        let mut story = pooled();
        story.at(300).enter(withdraw(1, "a"));
        // Its unbonding time began when the stake left, and does not begin anew.
        story.at(height).enter(expand(1, 3, 100_000, &[1, 2], None)).enter(slash(1));
        assert_eq!(story.service_exposure("a").lost, sat(lost), "{height}");
        assert_eq!(story.service_exposure("b").lost, sat(10_100));
        let leaving = story.book.exposure(&outpoint(3)).unwrap().leaving;
        assert!(leaving.is_empty(), "{leaving:?}");
    }
}

#[test]
fn an_expansion_stands_for_the_more_and_the_longer_of_what_its_stake_counted_and_had_left() {
    for (height, lost) in [(449, 10_100), (450, 0)] {
        let mut story = pooled();
        story.at(300).enter(exclusive(1, "a", &[(1, 60_000)]));
        story.at(350).enter(expand(1, 3, 100_000, &[1, 2], None));
        let leaving = story.book.exposure(&outpoint(3)).unwrap().leaving;
        assert_eq!(leaving[&service("a")], Leaving { nominal: 200_000, until: Height::new(450) });
        assert_eq!(leaving[&service("b")], Leaving { nominal: 200_000, until: Height::new(450) });
        assert!(
            story.book.exposure(&outpoint(1)).unwrap().leaving.is_empty(),
            "the old one stands for nothing"
        );
        story.at(height).enter(slash(1));
        assert_eq!(story.service_exposure("a").lost, sat(lost), "{height}");
    }
}

#[test]
fn an_expansion_is_not_counted_beside_its_stake() {
    let mut story = pooled();
    let data = |n: u32, spends: Vec<OutPoint>| {
        let data = JournalledStake { spends, ..stake_data(n, 100_000, &[1, 2]) };
        Event::AdmitStake { stake: Box::new(data.try_into().unwrap()) }
    };
    let spends =
        |spent: u32, status| BookError::SpendsStake { outpoint: outpoint(3), spent: outpoint(spent), status };
    assert_eq!(story.refused(data(3, vec![coin(3), outpoint(1)])), spends(1, StakeStatus::Active));
    assert_eq!(story.refused(data(3, vec![unbonding(1)])), spends(1, StakeStatus::Active));
    // Nor is one that would spend two of them.
    let two = JournalledStake { spends: vec![outpoint(1), outpoint(2)], ..stake_data(3, 100_000, &[1]) };
    let two = Event::ExpandStake { of: outpoint(1), stake: Box::new(two.try_into().unwrap()), holder: None };
    assert_eq!(story.refused(two), spends(2, StakeStatus::Active));
    let unbonding_until = StakeStatus::Unbonding { until: Height::new(300) };
    story.enter(end(1, End::Unbonding));
    assert_eq!(story.refused(data(3, vec![unbonding(1)])), spends(1, unbonding_until));
    // Once it is back, its coin may be staked anew.
    story.at(300).enter(give_back_stake(1, 100_000)).enter(data(3, vec![unbonding(1)]));
    // Whoever brings them the other way round is refused too.
    let spent = |n| BookError::SpentStake { outpoint: outpoint(n), by: outpoint(4) };
    story.enter(data(4, vec![outpoint(5), unbonding(6)]));
    assert_eq!(story.refused(admit(5, 100_000, &[1])), spent(5));
    assert_eq!(story.refused(admit(6, 100_000, &[1])), spent(6));
}

#[test]
fn only_what_is_spent_or_came_back_can_be_staked_anew() {
    let story = || {
        let mut story = pooled();
        story.enter(admit(5, 100_000, &[2]));
        story
    };
    let refused = |story: &mut Story, status| {
        for output in [outpoint(1), unbonding(1)] {
            let data = JournalledStake { spends: vec![coin(3), output], ..stake_data(3, 100_000, &[2]) };
            let data = JournalledStake { expires_at: Height::new(20_000), ..data };
            let stake = Box::new(AdmittedStake::try_from(data).unwrap());
            let refusal = BookError::SpendsStake { outpoint: outpoint(3), spent: outpoint(1), status };
            assert_eq!(story.refused(Event::AdmitStake { stake: stake.clone() }), refusal);
            // Nor does it come in as what another stake has become.
            let mut data = stake.data().clone();
            data.spends.push(outpoint(5));
            let stake = Box::new(data.try_into().unwrap());
            let refused = story.refused(Event::ExpandStake { of: outpoint(5), stake, holder: None });
            assert_eq!(refused, refusal);
        }
    };
    refused(story().at(300), StakeStatus::Active);
    refused(
        story().at(300).enter(end(1, End::Unbonding)),
        StakeStatus::Unbonding { until: Height::new(400) },
    );
    refused(story().at(300).enter(slash(1)), StakeStatus::Slashed);
    // One that is spent is its pool's, as long as that misses it.
    refused(story().at(300).enter(end(1, End::Spent)), StakeStatus::Spent);
    // Two that spend the same are not both on the chain.
    let mut twice = story();
    twice.at(300).enter(expand(1, 4, 100_000, &[1, 2], None));
    let data = JournalledStake { spends: vec![outpoint(1)], ..stake_data(3, 100_000, &[2]) };
    let input = BookError::SpentInput { outpoint: outpoint(3), input: outpoint(1), by: outpoint(4) };
    let other = Event::AdmitStake { stake: Box::new(data.try_into().unwrap()) };
    assert_eq!(twice.refused(other), input);
    let mut expired = story();
    expired.at(10_000);
    for n in [1, 2, 5] {
        expired.enter(end(n, End::Expired));
    }
    refused(expired.at(10_200), StakeStatus::Expired { until: Height::new(10_100) });
    // A spent one may have gone there, and a returned one is its pool's cash.
    for output in [outpoint(1), unbonding(1)] {
        let spends = vec![output];
        let data = JournalledStake { spends, ..stake_data(3, 100_000, &[2]) };
        let anew = Event::AdmitStake { stake: Box::new(data.try_into().unwrap()) };
        let made_good = Event::MakeGood { pool: pool("p"), amount: sat(100_000) };
        let mut spent = story();
        spent.enter(end(1, End::Spent)).enter(made_good);
        // As long as a service relies on it, it comes as what it has become; what has unbonded has waited.
        if output == outpoint(1) {
            spent.at(299);
            let status = StakeStatus::Spent;
            let refusal = BookError::SpendsStake { outpoint: outpoint(3), spent: outpoint(1), status };
            assert_eq!(spent.refused(anew.clone()), refusal);
            spent.at(300);
        }
        spent.enter(anew.clone());
        story().enter(end(1, End::Unbonding)).at(300).enter(give_back_stake(1, 100_000)).enter(anew);
    }
}

#[test]
fn an_expansion_is_made_of_the_stake_that_it_expands() {
    let mut story = pooled();
    let not = BookError::NotAnExpansion { outpoint: outpoint(3), of: outpoint(2) };
    let data = JournalledStake { spends: vec![outpoint(1)], ..stake_data(3, 100_000, &[1, 2]) };
    let wrong =
        Event::ExpandStake { of: outpoint(2), stake: Box::new(data.try_into().unwrap()), holder: None };
    assert_eq!(story.refused(wrong), not);
    assert_eq!(story.refused(expand(9, 3, 100_000, &[1], None)), BookError::UnknownStake(outpoint(9)));
    // Nobody gets receipts where there were none, nor for nothing.
    story.enter(admit(4, 50_000, &[2]));
    let none = BookError::NotMinted(outpoint(4));
    assert_eq!(story.refused(expand(4, 5, 60_000, &[2], Some("carol"))), none);
    assert!(matches!(
        story.refused(expand(1, 3, 100_000, &[1, 2], Some("carol"))),
        BookError::Pool { error: PoolError::Shares(ShareError::Nothing), .. }
    ));
    story.enter(expand(4, 5, 60_000, &[2], None));
    assert_eq!(story.book.minted_in(&outpoint(5)).unwrap(), None);
    // What is on the chain is taken, also by a pool whose exits are faster than the new stake unbonds.
    let timelock = Timelock::new(101).unwrap();
    let data = JournalledStake {
        spends: vec![outpoint(1)],
        unbonding_time: timelock,
        ..stake_data(3, 100_000, &[1])
    };
    let slow =
        Event::ExpandStake { of: outpoint(1), stake: Box::new(data.try_into().unwrap()), holder: None };
    let mut slower = story.clone();
    slower.enter(slow);
    assert_eq!(
        view(&slower, "p").queue().unbonding(),
        timelock,
        "exits to come wait as long as it takes to unbond"
    );
    story.enter(slash(1));
    let slashed = BookError::StakeEnded { outpoint: outpoint(1), status: StakeStatus::Slashed };
    assert_eq!(story.refused(expand(1, 3, 100_000, &[2], None)), slashed);
}

#[test]
fn a_spent_stake_that_turns_out_to_be_expanded_is_missed_no_more() {
    let mut story = pooled();
    story.enter(end(1, End::Spent));
    assert_eq!(view(&story, "p").backing().missing(), sat(100_000));
    story.enter(expand(1, 3, 130_000, &[1, 2], Some("carol")));
    assert_eq!(view(&story, "p").backing().missing(), sat(0));
    assert_eq!(view(&story, "p").balance(&holder("carol")), 30_000 * VIRTUAL_SHARES);
    // One that is worth less is missed for the rest; one that has come back is not made of anything.
    story.enter(end(2, End::Unbonding)).at(300).enter(give_back_stake(2, 100_000));
    let returned = BookError::StakeEnded { outpoint: outpoint(2), status: StakeStatus::Returned };
    assert_eq!(story.refused(expand(2, 4, 100_000, &[2], None)), returned);
    story.enter(expand(3, 4, 129_000, &[1, 2], None));
    assert_eq!(view(&story, "p").backing().missing(), sat(1_000));
}

#[test]
fn what_is_written_down_is_borne_like_a_slashing() {
    let write_down = |amount| Event::WriteDown { pool: pool("p"), amount: sat(amount) };
    let story = || {
        let mut story = pooled();
        let half = view(&story, "p").balance(&holder("bob")) / 2;
        story.enter(exit("p", "bob", half)).at(300);
        story
    };
    let (mut slashed, mut late) = (story(), story());
    slashed.enter(slash(1));
    // The books had lost sight of the stake when its slashing was heard of.
    late.enter(end(1, End::Spent));
    assert!(matches!(
        late.refused(write_down(100_001)),
        BookError::Pool { error: PoolError::NotMissing { .. }, .. }
    ));
    assert!(matches!(late.refused(write_down(0)), BookError::Pool { error: PoolError::Shares(_), .. }));
    late.enter(write_down(LOSS)).enter(Event::MakeGood { pool: pool("p"), amount: sat(100_000 - LOSS) });
    let (one, two) = (view(&slashed, "p"), view(&late, "p"));
    assert_eq!((one.assets(), one.queue().total()), (two.assets(), two.queue().total()));
    assert_eq!((one.flows().lost, two.backing().missing()), (two.flows().lost, sat(0)));
    // All that is missing can be given up at once, and nothing beyond it.
    let mut all = story();
    all.enter(end(1, End::Spent)).enter(write_down(100_000));
    assert_eq!((view(&all, "p").backing().missing(), view(&all, "p").flows().lost), (sat(0), 100_000));
    assert!(matches!(
        slashed.refused(write_down(1)),
        BookError::Pool { error: PoolError::NotMissing { .. }, .. }
    ));
}

#[test]
fn a_stake_is_back_only_when_its_lock_has_opened() {
    let mut story = pooled();
    let refusal = |status, height| BookError::StillLocked {
        outpoint: outpoint(1),
        status,
        height: Height::new(height),
    };
    assert_eq!(story.refused(give_back_stake(1, 1)), refusal(StakeStatus::Active, 200));
    story.at(10_000).enter(end(1, End::Expired)).enter(end(2, End::Expired));
    let expired = StakeStatus::Expired { until: Height::new(10_100) };
    assert_eq!(story.at(10_099).refused(give_back_stake(1, 100_000)), refusal(expired, 10_099));
    story.at(10_100).enter(give_back_stake(1, 100_000));
    assert_eq!(story.status(1), StakeStatus::Returned);
    let ended = BookError::StakeEnded { outpoint: outpoint(1), status: StakeStatus::Returned };
    assert_eq!(story.refused(end(1, End::Spent)), ended);
    // Nothing of it can be slashed any more.
    story.enter(slash(1));
    assert_eq!(view(&story, "p").flows().lost, 0);
    // The other one was withdrawn by its staker, which is missed.
    story.enter(end(2, End::Spent));
    assert_eq!(view(&story, "p").backing().missing(), sat(100_000));
}

#[test]
fn a_loss_that_was_none_comes_back_as_if_it_had_not_been() {
    let write_up = |amount| Event::WriteUp { pool: pool("p"), amount: sat(amount) };
    let mut story = pooled();
    let nine_tenths = view(&story, "p").balance(&holder("bob")) / 10 * 9;
    story.enter(exit("p", "bob", nine_tenths)).enter(end(1, End::Unbonding)).at(300);
    let before = view(&story, "p").clone();
    // The coin was withdrawn before anybody sent the slashing: all of it comes back.
    story.enter(slash(1)).enter(give_back_stake(1, 100_000));
    assert_eq!(view(&story, "p").backing().surplus(), sat(LOSS_IN_UNBONDING));
    let above = PoolError::NotSurplus { amount: sat(LOSS_IN_UNBONDING + 1), surplus: sat(LOSS_IN_UNBONDING) };
    assert_eq!(
        story.refused(write_up(LOSS_IN_UNBONDING + 1)),
        BookError::Pool { pool: pool("p"), error: above }
    );
    assert!(matches!(story.refused(write_up(0)), BookError::Pool { error: PoolError::Shares(_), .. }));
    story.enter(write_up(LOSS_IN_UNBONDING));
    let after = view(&story, "p");
    let claims = |pool: &Pool| pool.queue().iter().map(|(_, exit)| exit.claim).collect::<Vec<_>>();
    assert_eq!((after.assets(), claims(after)), (before.assets(), claims(&before)));
    assert_eq!(
        (after.flows().lost, after.flows().recovered),
        (LOSS_IN_UNBONDING.into(), LOSS_IN_UNBONDING.into())
    );
    assert_eq!(after.backing().surplus(), sat(0));
}

#[test]
fn what_nobody_is_owed_is_lost_first_and_can_be_taken_back() {
    let (good, take) = (
        |amount| Event::MakeGood { pool: pool("p"), amount: sat(amount) },
        |amount| Event::TakeCash { pool: pool("p"), amount: sat(amount) },
    );
    let mut story = pooled();
    // Made good, and then found to be expanded: the operator's own money is in.
    story.enter(end(1, End::Spent)).enter(good(100_000)).enter(expand(1, 3, 100_000, &[1, 2], None));
    assert_eq!(view(&story, "p").backing().surplus(), sat(100_000));
    let mut slashed = story.clone();
    slashed.enter(slash(1));
    assert_eq!(view(&slashed, "p").flows().lost, 0, "the surplus bears it");
    assert_eq!(view(&slashed, "p").backing().surplus(), sat(100_000 - LOSS));
    story.enter(take(100_000));
    assert_eq!(view(&story, "p").backing(), Backing { reserves: sat(200_000), issued: sat(200_000) });
    let poor = PoolError::NotEnoughCash { due: sat(1), cash: sat(0) };
    assert_eq!(story.refused(take(1)), BookError::Pool { pool: pool("p"), error: poor });
}

/// All that a pool is, but for what only its next loss would look at.
fn quotes_and_sums(story: &Story) -> (Vec<(bitcoin::Amount, bitcoin::Amount)>, Backing, Flows, u128) {
    let pool = view(story, "p");
    let quotes = pool.queue().iter().map(|(_, exit)| (exit.quoted, exit.claim)).collect();
    (quotes, pool.backing(), *pool.flows(), pool.supply())
}

#[test]
fn a_reward_that_never_came_is_taken_back_as_long_as_nothing_was_priced_with_it() {
    let mut story = pooled();
    let half = view(&story, "p").balance(&holder("alice")) / 2;
    story.enter(exit("p", "alice", half)).at(300);
    let reward = |amount| Event::PoolReward { pool: pool("p"), amount: sat(amount) };
    let take = |amount| Event::TakeReward { pool: pool("p"), amount: sat(amount) };
    let refused = |story: &mut Story, amount, error| {
        assert_eq!(story.refused(take(amount)), BookError::Pool { pool: pool("p"), error });
    };
    let not_earned = |amount, rewards| PoolError::NotEarned { amount: sat(amount), rewards: sat(rewards) };
    refused(&mut story, 1, not_earned(1, 0));
    // A digit too many, and the right one beside it; what moves, comes back and is paid changes no price.
    let (mut wrong, mut right) = (story.clone(), story);
    let moved =
        Event::Transfer { pool: pool("p"), from: holder("alice"), to: holder("bob"), shares: half / 2 };
    wrong.enter(reward(10_000)).enter(reward(1_000));
    right.enter(reward(1_000));
    for story in [&mut wrong, &mut right] {
        story.enter(moved.clone()).enter(end(1, End::Unbonding)).at(400);
        story.enter(give_back_stake(1, 100_000)).enter(finalise("p", 0));
    }
    refused(&mut wrong, 11_001, not_earned(11_001, 11_000));
    refused(&mut wrong, 0, PoolError::Shares(ShareError::Nothing));
    wrong.enter(take(4_000)).enter(take(6_000));
    assert_eq!(
        quotes_and_sums(&wrong),
        quotes_and_sums(&right),
        "it is as if there had been the right reward only"
    );
    // What has left the pool since is not there to be taken.
    let mut poor = wrong.clone();
    let cash = view(&poor, "p").cash().to_sat();
    poor.enter(Event::TakeCash { pool: pool("p"), amount: sat(cash - 500) });
    refused(&mut poor, 501, PoolError::NotEnoughCash { due: sat(501), cash: sat(500) });
    // Once somebody comes, leaves, or bears a loss with it, it is theirs as well.
    let changes: [fn(&mut Story); 6] = [
        |story| _ = story.enter(admit(3, 100_000, &[2])).enter(mint("p", "eve", 3)),
        |story| _ = story.enter(expand(2, 3, 150_000, &[2], Some("eve"))),
        |story| _ = story.enter(exit("p", "bob", 1_000_000_000)),
        |story| {
            let amount = sat(1_000);
            story.enter(Event::RequestWithdrawal { pool: pool("p"), holder: holder("bob"), amount });
        },
        |story| _ = story.enter(slash(2)),
        |story| {
            let amount = sat(10);
            story.enter(Event::TakeCash { pool: pool("p"), amount });
            story.enter(Event::WriteDown { pool: pool("p"), amount });
        },
    ];
    for change in changes {
        let mut story = wrong.clone();
        story.at(401).enter(reward(5));
        change(&mut story);
        refused(&mut story, 1, not_earned(1, 0));
        story.at(402).enter(reward(7)).enter(take(7));
        refused(&mut story, 1, not_earned(1, 0));
    }
}

#[test]
fn a_written_down_pool_whose_coin_turns_up_is_frozen_no_more() {
    let mut story = Story::new();
    story.enter(admit(1, 100_000, &[1])).enter(open("p", 100)).enter(mint("p", "alice", 1));
    story.enter(end(1, End::Spent)).enter(Event::WriteDown { pool: pool("p"), amount: sat(100_000) });
    assert!(view(&story, "p").is_frozen());
    story.enter(expand(1, 3, 130_000, &[1], None));
    assert_eq!((view(&story, "p").backing().surplus(), view(&story, "p").is_frozen()), (sat(130_000), true));
    story.enter(Event::WriteUp { pool: pool("p"), amount: sat(130_000) });
    assert_eq!((view(&story, "p").assets(), view(&story, "p").is_frozen()), (sat(130_000), false));
}

#[test]
fn a_stake_that_was_entered_as_spent_by_mistake_comes_back() {
    let revive = |n| Event::ReviveStake { stake: outpoint(n) };
    let mut story = pooled();
    let before = view(&story, "p").backing();
    let lives = |status| BookError::StakeLives { outpoint: outpoint(1), status };
    assert_eq!(story.refused(revive(1)), lives(StakeStatus::Active));
    story.at(300).enter(end(1, End::Spent)).enter(revive(1));
    assert_eq!((view(&story, "p").backing(), story.status(1)), (before, StakeStatus::Active));
    // It counts for nobody before it is allocated, but stands for what it stood for.
    let exposure = story.book.exposure(&outpoint(1)).unwrap();
    assert_eq!((exposure.nominal.len(), exposure.leaving.len()), (0, 2));
    story.enter(share(1, "a"));
    // It expires when it always would have.
    assert_eq!(story.book.due(Height::new(10_000)), Some(outpoint(1)));
    // Past its expiry it is back as expired, and slashed at once if its provider has been slashed meanwhile.
    let mut late = pooled();
    late.enter(end(1, End::Spent)).at(10_000).enter(end(2, End::Expired)).enter(revive(1));
    assert_eq!(late.status(1), StakeStatus::Expired { until: Height::new(10_100) });
    let mut caught = pooled();
    caught.enter(end(1, End::Spent)).enter(slash(1)).enter(revive(1));
    assert_eq!((caught.status(1), view(&caught, "p").flows().lost), (StakeStatus::Slashed, LOSS.into()));
    assert_eq!(caught.refused(revive(1)), lives(StakeStatus::Slashed));
    // An expansion of a history that is no more: the new stake is gone, and the old one there again.
    let mut reorganised = pooled();
    reorganised.enter(expand(1, 3, 120_000, &[1, 2], Some("carol")));
    let by = BookError::SpentStake { outpoint: outpoint(1), by: outpoint(3) };
    assert_eq!(reorganised.refused(revive(1)), by);
    reorganised.enter(end(3, End::Spent)).enter(revive(1));
    assert_eq!(view(&reorganised, "p").backing().missing(), sat(20_000), "Carol's coin is not there");
    reorganised.enter(expand(1, 4, 120_000, &[1, 2], None));
    assert_eq!(view(&reorganised, "p").backing().missing(), sat(0));
}

#[test]
fn an_expansion_into_a_slashed_provider_is_slashed_with_it() {
    let mut story = pooled();
    story.enter(slash(7));
    // What is on the chain cannot be refused, and escapes nothing.
    story.enter(expand(1, 3, 120_000, &[1, 2, 7], Some("carol")));
    assert_eq!([1, 3].map(|n| story.status(n)), [StakeStatus::Expanded, StakeStatus::Slashed]);
    assert_eq!(view(&story, "p").flows().lost, 12_100);
    assert_eq!(["a", "b"].map(|name| story.service_exposure(name).lost), [sat(12_100); 2]);
    // A stake that comes alone is refused, as ever.
    assert!(matches!(story.refused(admit(4, 50_000, &[7])), BookError::SlashedProvider { .. }));
    // Others can slash nothing of it, and it is no longer there to be lost again.
    story.enter(slash(1));
    assert_eq!(view(&story, "p").flows().lost, 12_100);
}

#[test]
fn rewards_of_a_pool_come_before_receipts_that_are_minted_at_their_height() {
    let mut story = pooled();
    let reward = Event::PoolReward { pool: pool("p"), amount: sat(20_000) };
    let late =
        |name, height| BookError::PoolRewardAfterMint { pool: pool(name), height: Height::new(height) };
    assert_eq!(story.refused(reward.clone()), late("p", 200));
    story.at(300).enter(reward.clone()).enter(admit(3, 900_000, &[1])).enter(mint("p", "eve", 3));
    assert_eq!(story.refused(reward), late("p", 300), "nobody steps in front of a reward");
    // Receipts over receipts alike.
    story.enter(Event::OpenLrt { pool: pool("l"), over: pool("p"), leverage_limit: PartsPerMillion::ONE });
    let shares = view(&story, "p").balance(&holder("alice")) / 2;
    story.enter(Event::LrtDeposit { pool: pool("l"), holder: holder("alice"), shares });
    let reward = Event::LrtReward { pool: pool("l"), from: holder("bob"), shares: 1_000_000_000 };
    assert_eq!(story.refused(reward.clone()), late("l", 300));
    story.at(301).enter(reward).enter(expand(1, 4, 120_000, &[1, 2], Some("carol")));
    assert_eq!(story.refused(Event::PoolReward { pool: pool("p"), amount: sat(1) }), late("p", 301));
}

#[test]
fn a_coin_comes_back_in_one_of_its_shapes_only() {
    let revive = |n| Event::ReviveStake { stake: outpoint(n) };
    let mut story = pooled();
    story.enter(expand(1, 3, 100_000, &[1, 2], None)).enter(end(3, End::Spent)).enter(revive(1));
    // What it is made of is there.
    let made_of =
        BookError::SpendsStake { outpoint: outpoint(3), spent: outpoint(1), status: StakeStatus::Active };
    assert_eq!(story.refused(revive(3)), made_of);
    assert_eq!(story.refused(expand(3, 5, 100_000, &[1, 2], None)), made_of);
    // So is another one that is made of the same.
    story.enter(expand(1, 4, 100_000, &[1, 2], None));
    let input = BookError::SpentInput { outpoint: outpoint(3), input: outpoint(1), by: outpoint(4) };
    assert_eq!(story.refused(revive(3)), input);
    // The other history once more: then what the first was made of stays where it is.
    story.enter(end(4, End::Spent)).enter(revive(3));
    assert_eq!(story.refused(revive(1)), BookError::SpentStake { outpoint: outpoint(1), by: outpoint(3) });
    assert_eq!(view(&story, "p").backing(), Backing { reserves: sat(200_000), issued: sat(200_000) });
}

#[test]
fn a_coin_stays_spent_while_one_of_the_stakes_that_its_transaction_made_is_there() {
    let mut story = Story::new();
    let second = OutPoint { vout: 1, ..outpoint(3) };
    let made_of_it = |n, outpoint| {
        let data = JournalledStake { outpoint, spends: vec![coin(1)], ..stake_data(n, 100_000, &[1]) };
        Event::AdmitStake { stake: Box::new(data.try_into().unwrap()) }
    };
    let other = || made_of_it(5, outpoint(5));
    let by = |by| BookError::SpentInput { outpoint: outpoint(5), input: coin(1), by };
    story.enter(made_of_it(3, outpoint(3))).enter(made_of_it(4, second));
    let second_ends = Event::EndStake { stake: second, end: End::Spent };
    story.enter(second_ends.clone());
    assert_eq!(story.refused(other()), by(outpoint(3)));
    story.enter(Event::ReviveStake { stake: second }).enter(end(3, End::Spent));
    assert_eq!(story.refused(other()), by(second));
    story.enter(second_ends).enter(other());
}

#[test]
fn a_stake_that_was_spent_before_anybody_saw_it_stays_out() {
    let mut story = Story::new();
    let data = JournalledStake { spends: vec![outpoint(1)], ..stake_data(2, 100_000, &[1]) };
    story.enter(Event::AdmitStake { stake: Box::new(data.try_into().unwrap()) });
    story.enter(end(2, End::Unbonding)).at(400).enter(end(2, End::Spent));
    let spent = BookError::SpentStake { outpoint: outpoint(1), by: outpoint(2) };
    assert_eq!(
        story.refused(admit(1, 100_000, &[1])),
        spent,
        "its coin has long been withdrawn as another stake"
    );
}

#[test]
fn nobody_mints_himself_a_part_of_what_others_are_owed_back() {
    let mut story = pooled();
    story.enter(admit(3, 1_000_000, &[7])).enter(slash(1)).enter(give_back_stake(1, 100_000));
    let after = Backing { reserves: sat(1_200_000), issued: sat(1_200_000 - LOSS) };
    let refusal = BookError::Pool { pool: pool("p"), error: PoolError::Surplus { after } };
    assert_eq!(story.refused(mint("p", "eve", 3)), refusal);
    assert_eq!(
        story.refused(expand(2, 4, 150_000, &[2], Some("eve"))),
        BookError::Pool {
            pool: pool("p"),
            error: PoolError::Surplus {
                after: Backing { reserves: sat(250_000), issued: sat(250_000 - LOSS) }
            },
        }
    );
    story.enter(Event::WriteUp { pool: pool("p"), amount: sat(LOSS) }).enter(mint("p", "eve", 3));
    let worth = |name| view(&story, "p").value_floor(view(&story, "p").balance(&holder(name))).unwrap();
    assert_eq!((worth("alice"), worth("eve")), (sat(100_000), sat(1_000_000)));
}

#[test]
fn what_a_run_has_lost_comes_back_first_and_exits_before_shares_where_all_was_lost() {
    let write_up = |amount| Event::WriteUp { pool: pool("p"), amount: sat(amount) };
    let half = |story: &Story| view(story, "p").balance(&holder("alice")) / 2;
    let story = || {
        let mut story = Story::new();
        story.enter(admit(1, 100_000, &[1])).enter(open("p", 100)).enter(mint("p", "alice", 1));
        let half = half(&story);
        story.enter(exit("p", "alice", half)).enter(end(1, End::Spent));
        story.enter(Event::WriteDown { pool: pool("p"), amount: sat(100_000) });
        story
    };
    let mut at_once = story();
    at_once.enter(expand(1, 3, 100_001, &[1], None));
    let mut in_two = at_once.clone();
    at_once.enter(write_up(100_001));
    in_two.enter(write_up(100_000)).enter(write_up(1));
    for story in [&at_once, &in_two] {
        let pool = view(story, "p");
        assert_eq!((pool.assets(), pool.queue().total()), (sat(50_001), sat(50_000)));
    }
    // An exit that was paid nothing is gone; those behind it are made whole before the shares, which have nothing either.
    let mut late = Story::new();
    late.enter(admit(1, 100_000, &[1])).enter(open("p", 100)).enter(mint("p", "alice", 1));
    let quarter = half(&late) / 2;
    late.enter(exit("p", "alice", quarter)).enter(exit("p", "alice", quarter)).enter(end(1, End::Spent));
    late.enter(Event::WriteDown { pool: pool("p"), amount: sat(100_000) });
    late.at(400)
        .enter(finalise("p", 0))
        .enter(Event::ReviveStake { stake: outpoint(1) })
        .enter(write_up(100_000));
    assert_eq!((view(&late, "p").assets(), view(&late, "p").queue().total()), (sat(75_000), sat(25_000)));
}

#[test]
fn a_service_relies_on_a_stake_that_was_never_expanded_after_all() {
    let mut story = Story::new();
    story.enter(admit(1, 100_000, &[1])).enter(share(1, "a")).enter(expand(1, 2, 100_000, &[1], None));
    story.enter(end(2, End::Spent)).enter(Event::ReviveStake { stake: outpoint(1) }).enter(slash(1));
    assert_eq!(story.service_exposure("a").lost, sat(LOSS));
}
