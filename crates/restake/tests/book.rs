//! Stakes, services and pools together: one slashing reaches every book, once.
#![allow(clippy::unwrap_used, reason = "a test's unwrap is its assertion")]

mod support;

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

fn give_back(stake: u32, returned: u64) -> Event {
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
    let still = story.at(299).refused(give_back(2, 99_000));
    let status = StakeStatus::Unbonding { until: Height::new(300) };
    let expected = BookError::StillSlashable { outpoint: outpoint(2), status, height: Height::new(299) };
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
    story.enter(give_back(2, 100_000 - LOSS_IN_UNBONDING)).enter(give_back(1, 100_000 - LOSS));
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
    story.enter(end(1, End::Unbonding)).at(300).enter(give_back(1, 100_000));
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
    let again = story.refused(give_back(1, 1));
    assert!(matches!(again, BookError::Pool { error: PoolError::StakeEnded(_), .. }), "{again}");
    assert_eq!(story.refused(give_back(9, 1)), BookError::UnknownStake(outpoint(9)));
}

#[test]
fn who_took_the_coin_is_not_paid_for_it_again() {
    let mut story = pooled();
    // Alice has withdrawn stake 1 herself, and gives up the receipts for it.
    story.enter(end(1, End::Spent)).enter(end(2, End::Unbonding));
    let shares = view(&story, "p").balance(&holder("alice"));
    story.enter(exit("p", "alice", shares)).at(300).enter(give_back(2, 100_000));
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
    assert_eq!(report(&story, 300).every_provider.loss, sat(LOSS_IN_UNBONDING));
    assert!(matches!(story.book.risk(&pool("z"), Height::new(300), None), Err(BookError::UnknownPool(_))));
}
