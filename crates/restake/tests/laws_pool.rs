//! The laws of pools, over random histories of a thousand operations and more.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

#[path = "support/pools.rs"]
mod support;

use std::collections::BTreeSet;

use bitcoin::{Amount, OutPoint};
use proptest::prelude::*;
use support::*;
use tapstake_restake::{
    ExitId, HolderId, LrtPool, PartsPerMillion, Pool, PoolError, PooledStatus, VIRTUAL_SHARES, mul_div_floor,
};

const OPERATIONS: usize = 1_000;
const HOLDERS: [&str; 5] = ["ann", "bob", "carol", "dora", "eve"];

/// An operation as random numbers; what they mean depends on what there is when its turn comes.
#[derive(Debug, Clone, Copy)]
struct Raw {
    kind: u8,
    who: usize,
    pick: usize,
    size: u64,
    part: u64,
}

/// Sizes of every order up to `bits` bits.
fn size(bits: u32) -> impl Strategy<Value = u64> {
    (0..bits, any::<u64>()).prop_map(|(bits, n)| (n & ((1 << bits) - 1)) + 1)
}

fn raw(bits: u32) -> impl Strategy<Value = Raw> {
    (0u8..100, 0usize..1_000, any::<usize>(), size(bits), 0u64..=1_000)
        .prop_map(|(kind, who, pick, size, part)| Raw { kind, who, pick, size, part })
}

/// From a satoshi to a thousand bitcoin; or a few satoshi only, where every rounding counts; or nothing but deposits, exits
/// and slashes of everything.
fn histories() -> impl Strategy<Value = Vec<Raw>> {
    let of = |bits| proptest::collection::vec(raw(bits), OPERATIONS..OPERATIONS + 200);
    let slashes = of(9).prop_map(|mut history| {
        for raw in history.iter_mut().filter(|raw| matches!(raw.kind, 40..52 | 85..96)) {
            (raw.kind, raw.part) = if raw.part < 50 { (85, 1_000) } else { (0, raw.part) };
        }
        history
    });
    prop_oneof![2 => of(37), 1 => of(5), 1 => slashes]
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Op {
    Mint(HolderId, OutPoint, Amount),
    Transfer(HolderId, HolderId, u128),
    Reward(Amount),
    Exit(HolderId, u128),
    Withdraw(HolderId, Amount),
    Finalise(ExitId),
    Slash(Vec<(OutPoint, Amount)>),
    End(OutPoint, Amount),
    MakeGood(Amount),
}

/// A pool, its height, and the number of stakes that were ever offered to it.
#[derive(Clone)]
struct World {
    pool: Pool,
    height: u32,
    stakes: u32,
}

fn part_of(whole: u128, part: u64) -> u128 {
    mul_div_floor(whole, part.into(), 1_000).unwrap()
}

fn amount_of(whole: Amount, part: u64) -> Amount {
    sat(u64::try_from(part_of(whole.to_sat().into(), part)).unwrap())
}

impl World {
    fn new() -> Self {
        World { pool: pool(), height: 1, stakes: 0 }
    }

    /// The operation that the numbers mean here: mostly one that can be done, sometimes one that cannot.
    fn read(&mut self, raw: Raw) -> Op {
        let who = holder(HOLDERS[raw.who % HOLDERS.len()]);
        let balance = self.pool.balance(&who);
        let live: Vec<_> =
            self.pool.stakes().filter(|(_, stake)| stake.status == PooledStatus::Live).collect();
        let any_stake = |stakes: u32| outpoint(u32::try_from(raw.pick % (stakes as usize + 1)).unwrap());
        match raw.kind {
            0..25 => {
                self.stakes += 1;
                Op::Mint(who, outpoint(self.stakes), sat(raw.size))
            }
            25..28 => Op::Mint(who, any_stake(self.stakes), sat(raw.size)),
            28..40 => {
                let to = holder(HOLDERS[raw.pick % HOLDERS.len()]);
                Op::Transfer(who, to, part_of(balance, raw.part))
            }
            40..52 => Op::Reward(amount_of(self.pool.assets(), raw.part % 50) + sat(raw.part % 3)),
            52..65 => Op::Exit(who, part_of(balance, raw.part)),
            65..70 => Op::Withdraw(who, sat(raw.size)),
            70..85 => {
                self.height += u32::try_from(raw.size % 40).unwrap();
                let waiting: Vec<_> = self.pool.queue().iter().map(|(id, _)| id).collect();
                Op::Finalise(waiting.get(raw.pick % (waiting.len() + 1)).copied().unwrap_or(ExitId(raw.size)))
            }
            85..89 if !live.is_empty() => {
                // Mostly a small part of a few stakes, at times the whole of all.
                let all = raw.part > 980;
                let (count, part) = if all { (live.len(), 1_000) } else { (1 + raw.who % 3, raw.part / 9) };
                let picks = (0..count).map(|n| live[(raw.pick % live.len() + n) % live.len()]);
                Op::Slash(picks.map(|(outpoint, stake)| (*outpoint, amount_of(stake.value, part))).collect())
            }
            85..89 => Op::Slash(vec![(any_stake(self.stakes), sat(raw.size))]),
            89..96 => {
                let outpoint = any_stake(self.stakes);
                let value = self.pool.stake(&outpoint).map_or(sat(raw.size), |stake| stake.value);
                // Mostly all of it comes back.
                Op::End(outpoint, if raw.part > 950 { amount_of(value, raw.part) } else { value })
            }
            _ => Op::MakeGood(amount_of(self.pool.backing().missing(), raw.part * 2)),
        }
    }

    fn apply(&mut self, op: &Op) -> Result<(), PoolError> {
        let (pool, height) = (&mut self.pool, at(self.height));
        match op {
            Op::Mint(who, outpoint, value) => pool.mint(who, *outpoint, *value).map(drop),
            Op::Transfer(from, to, shares) => pool.transfer(from, to, *shares),
            Op::Reward(amount) => pool.reward(*amount),
            Op::Exit(who, shares) => pool.request_exit(who, *shares, height).map(drop),
            Op::Withdraw(who, amount) => pool.request_withdrawal(who, *amount, height).map(drop),
            Op::Finalise(id) => pool.finalise_exit(*id, height).map(drop),
            Op::Slash(losses) => pool.slash(losses).map(drop),
            Op::End(outpoint, returned) => pool.end_stake(*outpoint, *returned),
            Op::MakeGood(amount) => pool.make_good(*amount),
        }
    }
}

/// Runs a history and calls `law` after each operation that was done, with the pool before it.
fn run(
    history: &[Raw],
    mut law: impl FnMut(&World, &Op, &World) -> Result<(), TestCaseError>,
) -> Result<World, TestCaseError> {
    let mut world = World::new();
    for raw in history {
        let op = world.read(*raw);
        let before = world.clone();
        match world.apply(&op) {
            Ok(()) => law(&before, &op, &world)?,
            Err(refusal) => prop_assert_eq!(&world.pool, &before.pool, "refused, and changed: {}", refusal),
        }
        // A series that lost everything is over; the next one begins.
        if world.pool.is_frozen() {
            world.pool = pool();
        }
    }
    Ok(world)
}

fn sum(amounts: impl Iterator<Item = Amount>) -> u128 {
    amounts.map(|amount| u128::from(amount.to_sat())).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_satoshi_and_every_share_is_somewhere(history in histories()) {
        run(&history, |_, _, World { pool, .. }| {
            let flows = pool.flows();
            let (backing, queue) = (pool.backing(), pool.queue());
            prop_assert_eq!(
                flows.minted + flows.rewards,
                sum([pool.assets(), queue.total()].into_iter()) + flows.lost + flows.paid
            );
            prop_assert_eq!(pool.holders().map(|(_, shares)| shares).sum::<u128>(), pool.supply());
            prop_assert_eq!(sum(queue.iter().map(|(_, exit)| exit.claim)), queue.total().to_sat().into());
            let staked = sum(pool.stakes().map(|(_, stake)| stake.value));
            prop_assert_eq!(staked + u128::from(pool.cash().to_sat()), backing.reserves.to_sat().into());
            prop_assert_eq!(pool.assets() + queue.total(), backing.issued);
            // Cash has come for a loss.
            prop_assert!(u128::from(backing.surplus().to_sat()) <= flows.lost);
            prop_assert!(pool.holders().all(|(_, shares)| shares > 0));
            prop_assert!(pool.supply() == 0 || pool.assets() > Amount::ZERO || pool.is_frozen());
            Ok(())
        })?;
    }

    #[test]
    fn the_value_of_a_share_never_falls_but_by_slashing(history in histories()) {
        run(&history, |before, op, after| {
            let (before, after) = (&before.pool, &after.pool);
            if let Op::Slash(losses) = op {
                // By no more than the loss's part of everything.
                let issued = u128::from(before.backing().issued.to_sat());
                let left = issued - sum(losses.iter().map(|(_, loss)| *loss));
                let old = u128::from(before.assets().to_sat()) + 1;
                let new = u128::from(after.assets().to_sat()) + 1;
                // One slash after another is divided with it, which may move a satoshi.
                prop_assert!((new + 1) * issued >= old * left, "{} of {}: {} -> {}", left, issued, old, new);
                prop_assert!(after.assets() <= before.assets());
            } else {
                prop_assert!(rate_has_not_fallen(before, after), "{:?}", op);
            }
            Ok(())
        })?;
    }

    #[test]
    fn a_deposit_that_is_redeemed_at_once_never_profits(history in histories()) {
        let mut turn = 0;
        run(&history, |_, _, world| {
            turn += 1;
            if turn % 4 != 0 || world.pool.is_frozen() {
                return Ok(());
            }
            for deposit in [1, 7, 999, 1_000_003, 21_000_000_000] {
                let (mut pool, guest) = (world.pool.clone(), holder("guest"));
                if let Ok(shares) = pool.mint(&guest, outpoint(u32::MAX), sat(deposit)) {
                    prop_assert!(pool.value_floor(shares).unwrap() <= sat(deposit));
                    // Nor in parts.
                    let mut back = Amount::ZERO;
                    for part in [shares / 3, shares / 5, shares - shares / 3 - shares / 5] {
                        if let Ok(id) = pool.request_exit(&guest, part, at(world.height)) {
                            back += pool.queue().get(id).unwrap().quoted;
                        }
                    }
                    prop_assert!(back <= sat(deposit), "{} came back of {}", back, deposit);
                }
            }
            Ok(())
        })?;
    }

    #[test]
    fn a_deposit_never_reduces_what_anybody_else_could_withdraw(history in histories()) {
        run(&history, |before, op, after| {
            if let Op::Mint(who, ..) = op {
                for (holder, shares) in before.pool.holders().filter(|(holder, _)| *holder != who) {
                    prop_assert_eq!(after.pool.balance(holder), shares);
                    prop_assert!(after.pool.value_floor(shares) >= before.pool.value_floor(shares));
                }
                prop_assert_eq!(
                    after.pool.queue().iter().collect::<Vec<_>>(),
                    before.pool.queue().iter().collect::<Vec<_>>()
                );
            }
            Ok(())
        })?;
    }

    #[test]
    fn the_parts_of_a_slash_are_the_slash_and_exits_bear_theirs(history in histories()) {
        run(&history, |before, op, after| {
            let Op::Slash(losses) = op else { return Ok(()) };
            let (before, after) = (&before.pool, &after.pool);
            let loss = sum(losses.iter().map(|(_, loss)| *loss));
            // What nobody is owed is lost first.
            let loss = loss.saturating_sub(before.backing().surplus().to_sat().into());
            let issued = u128::from(before.backing().issued.to_sat());
            let shares = before.assets() - after.assets();
            let queue = before.queue().total() - after.queue().total();
            prop_assert_eq!(sum([shares, queue].into_iter()), loss);
            let mut parts = 0;
            for ((_, old), (_, new)) in before.queue().iter().zip(after.queue().iter()) {
                let (claim, left) = (u128::from(old.claim.to_sat()), u128::from(new.claim.to_sat()));
                parts += i128::try_from(claim).unwrap() - i128::try_from(left).unwrap();
                // In proportion, to less than three satoshi: one by which this exit's own part is rounded, now and in the
                // slashes that this one is divided with, and before and after its part of the satoshi by which the loss of the
                // whole queue is rounded up.
                let (kept, due) = (left * issued, claim * (issued - loss));
                prop_assert!(kept.abs_diff(due) < 3 * issued, "{} -> {} for {} of {}", claim, left, loss, issued);
                prop_assert!(new.claim <= new.quoted);
            }
            prop_assert_eq!(parts, i128::from(queue.to_sat()));
            Ok(())
        })?;
    }

    #[test]
    fn an_exit_pays_the_lower_of_what_its_shares_were_and_what_they_are_worth(history in histories()) {
        run(&history, |before, op, after| {
            let Op::Finalise(id) = op else { return Ok(()) };
            let exit = before.pool.queue().get(*id).unwrap();
            let paid = sat(u64::try_from(after.pool.flows().paid - before.pool.flows().paid).unwrap());
            prop_assert!(after.height >= exit.matures_at.to_u32());
            prop_assert!(after.height - exit.requested_at.to_u32() >= UNBONDING);
            let worth = before.pool.value_floor(exit.shares);
            prop_assert!(paid <= exit.quoted && worth.is_none_or(|worth| paid <= worth));
            // It is the claim, but for the satoshi by which losses were rounded.
            prop_assert!(paid <= exit.claim);
            let slashes = before.pool.stakes().filter(|(_, stake)| stake.status != PooledStatus::Live).count();
            prop_assert!(exit.claim - paid <= sat(slashes as u64), "{} of {}", paid, exit.claim);
            prop_assert_eq!(before.pool.cash() - after.pool.cash(), paid);
            Ok(())
        })?;
    }

    #[test]
    fn one_receipt_per_outpoint_and_one_slash_per_utxo(history in histories()) {
        let (mut minted, mut slashed, mut ended) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        run(&history, |before, op, after| {
            match op {
                Op::Mint(_, outpoint, value) => {
                    prop_assert!(minted.insert(*outpoint));
                    let backing = after.pool.backing();
                    prop_assert_eq!(backing.reserves, backing.issued, "minted without backing");
                    prop_assert_eq!(after.pool.stake(outpoint).unwrap().value, *value);
                }
                Op::Slash(losses) => {
                    for (outpoint, loss) in losses {
                        prop_assert!(slashed.insert(*outpoint) && !ended.contains(outpoint));
                        let stake = before.pool.stake(outpoint).unwrap();
                        prop_assert!(*loss <= stake.value);
                        prop_assert_eq!(after.pool.stake(outpoint).unwrap().value, stake.value - *loss);
                    }
                }
                Op::End(outpoint, _) => prop_assert!(ended.insert(*outpoint)),
                _ => {}
            }
            // Another series knows nothing of this one's stakes.
            if after.pool.is_frozen() {
                (minted, slashed, ended) = Default::default();
            }
            Ok(())
        })?;
    }

    #[test]
    fn a_reward_that_is_taken_back_leaves_what_there_would_be_without_it(
        history in histories(), turn in any::<prop::sample::Index>(), came in 0u64..100_000, never in size(37),
        part in 0u64..=1_000,
    ) {
        let World { pool, .. } = run(&history[..=turn.index(history.len())], |_, _, _| Ok(()))?;
        let (mut wrong, mut right) = (pool.clone(), pool);
        if wrong.reward(sat(never)).is_err() {
            return Ok(());
        }
        // Another one may come before that is found.
        prop_assert_eq!(came > 0 && wrong.reward(sat(came)).is_ok(), came > 0 && right.reward(sat(came)).is_ok());
        let first = amount_of(sat(never), part);
        for amount in [first, sat(never) - first] {
            prop_assert_eq!(wrong.take_reward(amount).is_ok(), amount > Amount::ZERO);
        }
        prop_assert_eq!(wrong.backing(), right.backing());
        prop_assert_eq!(wrong.flows(), right.flows());
        prop_assert_eq!(wrong.queue(), right.queue());
        prop_assert_eq!(wrong.assets(), right.assets());
    }

    #[test]
    fn slashes_in_a_row_give_the_same_pool_in_any_order(
        history in histories(), losses in proptest::collection::vec((any::<usize>(), 0u64..=1_000), 2..6),
        turn in any::<prop::sample::Index>(),
    ) {
        let World { pool, .. } = run(&history[..=turn.index(history.len())], |_, _, _| Ok(()))?;
        let mut live: Vec<_> = pool.stakes().filter(|(_, stake)| stake.status == PooledStatus::Live).collect();
        let mut row = Vec::new();
        for (pick, part) in losses {
            if !live.is_empty() {
                let (outpoint, stake) = live.remove(pick % live.len());
                row.push((*outpoint, amount_of(stake.value, part)));
            }
        }
        let mut together = pool.clone();
        together.slash(&row).unwrap();
        for rotation in 0..row.len() {
            let (mut forward, mut backward) = (pool.clone(), pool.clone());
            row.rotate_left(1);
            for at in 0..row.len() {
                forward.slash(&[row[at]]).unwrap();
                backward.slash(&[row[row.len() - 1 - at]]).unwrap();
            }
            prop_assert_eq!(&forward, &together, "rotation {}", rotation);
            prop_assert_eq!(&backward, &together, "rotation {}", rotation);
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Attack {
    Deposit(u64),
    Donate(u64),
    Leave(u64),
    Victim(u64),
}

fn attacks() -> impl Strategy<Value = Vec<Attack>> {
    let size = || size(37);
    let attack = prop_oneof![
        2 => size().prop_map(Attack::Deposit),
        2 => size().prop_map(Attack::Donate),
        2 => (1u64..=1_000).prop_map(Attack::Leave),
        3 => size().prop_map(Attack::Victim),
    ];
    proptest::collection::vec(attack, OPERATIONS..OPERATIONS + 200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// One attacker, who gives to the pool what it likes and when it likes, and many who only deposit.
    #[test]
    fn an_attacker_who_donates_never_profits_from_the_deposits_of_others(attacks in attacks()) {
        let (mut pool, mallory, victim) = (pool(), holder("mallory"), holder("victim"));
        let (mut put_in, mut taken_out, mut stakes) = (0u64, 0u64, 0u32);
        for attack in attacks {
            match attack {
                Attack::Deposit(value) => {
                    stakes += 1;
                    if pool.mint(&mallory, outpoint(stakes), sat(value)).is_ok() {
                        put_in += value;
                    }
                }
                Attack::Donate(value) => {
                    if pool.reward(sat(value)).is_ok() {
                        put_in += value;
                    }
                }
                Attack::Leave(part) => {
                    let shares = part_of(pool.balance(&mallory), part);
                    if let Ok(id) = pool.request_exit(&mallory, shares, at(1)) {
                        taken_out += pool.queue().get(id).unwrap().quoted.to_sat();
                    }
                }
                Attack::Victim(value) => {
                    stakes += 1;
                    let share = pool.value_ceil(1).unwrap();
                    if let Ok(shares) = pool.mint(&victim, outpoint(stakes), sat(value)) {
                        // Rounded down twice: to whole shares, and to whole satoshi.
                        let has = pool.value_floor(shares).unwrap();
                        prop_assert!(has + share + sat(1) >= sat(value), "{} of {}", has, value);
                    } else {
                        prop_assert!(sat(value) < share);
                    }
                }
            }
            prop_assert!(taken_out + worth(&pool, "mallory") <= put_in);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn receipts_over_receipts_keep_the_same_laws(
        history in histories(), more in proptest::collection::vec(raw(37), OPERATIONS..OPERATIONS + 1),
    ) {
        let mut world = World::new();
        let account = holder("lrt");
        let mut lrt = LrtPool::new(account.clone(), PartsPerMillion::ONE);
        for (below, above) in history.iter().zip(&more) {
            let op = world.read(*below);
            let before = world.pool.clone();
            let done = world.apply(&op);
            prop_assert!(done.is_ok() || world.pool == before);
            if world.pool.is_frozen() {
                (world.pool, lrt) = (pool(), LrtPool::new(account.clone(), PartsPerMillion::ONE));
            }

            let who = holder(HOLDERS[above.who % HOLDERS.len()]);
            let (mine, beneath) = (lrt.balance(&who), world.pool.balance(&who));
            let (pool_before, lrt_before) = (world.pool.clone(), lrt.clone());
            let done = match above.kind {
                0..40 => lrt.deposit(&mut world.pool, &who, part_of(beneath, above.part)).map(drop),
                40..60 => lrt.redeem(&mut world.pool, &who, part_of(mine, above.part)).map(drop),
                60..75 => lrt.transfer(&who, &holder(HOLDERS[above.pick % HOLDERS.len()]), part_of(mine, above.part)),
                75..85 => lrt.reward(&mut world.pool, &who, part_of(beneath, above.part / 10)),
                // A gift to the account, past the pool: nobody gets anything for it.
                _ => world.pool.transfer(&who, &account, part_of(beneath, above.part / 50)).map_err(Into::into),
            };
            if done.is_err() {
                prop_assert_eq!(&world.pool, &pool_before);
                prop_assert_eq!(&lrt, &lrt_before);
            }
            if above.kind >= 85 {
                prop_assert_eq!(&lrt, &lrt_before);
            }
            prop_assert!(lrt.assets() <= world.pool.balance(&account));
            prop_assert_eq!(lrt.holders().map(|(_, shares)| shares).sum::<u128>(), lrt.supply());
            prop_assert_eq!(world.pool.supply(), pool_before.supply());
            // In shares of the pool beneath, a share never falls at all.
            let scaled = mul_div_floor(
                lrt.assets() + 1, lrt_before.supply() + VIRTUAL_SHARES, lrt.supply() + VIRTUAL_SHARES,
            );
            prop_assert!(scaled.unwrap() > lrt_before.assets());
            // And who deposits gets back no more.
            let guest = world.pool.balance(&who);
            if guest > 0 {
                let (mut pool, mut there) = (world.pool.clone(), lrt.clone());
                if let Ok(shares) = there.deposit(&mut pool, &who, guest) {
                    let back = there.redeem(&mut pool, &who, shares).unwrap_or(0);
                    prop_assert!(back <= guest);
                }
            }
        }
    }
}
