//! Random histories: every law of the books, after whatever is entered in whichever order.
#![allow(clippy::unwrap_used, reason = "a test's unwrap is its assertion")]

#[path = "support/histories.rs"]
mod histories;
mod support;

use std::collections::BTreeMap;

use bitcoin::OutPoint;
use histories::*;
use proptest::prelude::*;
use support::*;
use tapstake_params::Height;
use tapstake_restake::*;

/// Everything that a naive bookkeeper knows: for each stake at a service, its earnings in 1e-18 base units, shared out one by one.
#[derive(Default)]
struct Naive {
    earned: BTreeMap<(OutPoint, usize), u128>,
    rounding: BTreeMap<(OutPoint, usize), u128>,
    paid: BTreeMap<(OutPoint, usize), u128>,
}

/// What stakes stand for that they have left, by stake and service, kept apart from the books.
#[derive(Default)]
struct Left(BTreeMap<(OutPoint, ServiceId), Leaving>, BTreeMap<OutPoint, AdmittedStake>);

impl Left {
    fn add(&mut self, stake: OutPoint, service: &ServiceId, new: Leaving) {
        let left = self.0.entry((stake, service.clone())).or_insert(new);
        left.nominal = left.nominal.max(new.nominal);
        left.until = left.until.max(new.until);
    }

    fn forget(&mut self, stake: OutPoint) -> Vec<(ServiceId, Leaving)> {
        let of_stake = self.0.iter().filter(|((of, _), _)| *of == stake);
        let gone: Vec<_> = of_stake.map(|((_, service), left)| (service.clone(), *left)).collect();
        self.0.retain(|(of, _), _| *of != stake);
        gone
    }

    /// What an entry leaves behind, and what the services lose by it.
    fn enter(&mut self, entry: &Entry, before: &Book, after: &Book) -> BTreeMap<ServiceId, u64> {
        let height = entry.height;
        self.0.retain(|_, left| height < left.until);
        let mut lost = BTreeMap::new();
        let until = |service: &ServiceId, from: Height| {
            let time = before.service(service).unwrap().terms.unbonding_time.blocks();
            Height::new(from.to_u32() + u32::from(time))
        };
        match &entry.event {
            Event::AdmitStake { stake } => {
                self.1.insert(stake.outpoint(), AdmittedStake::clone(stake));
            }
            Event::Allocate { stake, .. } | Event::EndStake { stake, .. } => {
                let view = before.stake(stake).unwrap();
                let expired = matches!(&entry.event, Event::EndStake { end: End::Expired, .. });
                let from = if expired { view.expires_at } else { height };
                let now = after.exposure(stake).unwrap().nominal;
                for (service, nominal) in before.exposure(stake).unwrap().nominal {
                    if now.get(&service).is_none_or(|now| *now < nominal) {
                        let until = until(&service, from);
                        self.add(*stake, &service, Leaving { nominal, until });
                    }
                }
            }
            Event::ReturnStake { stake, .. } => {
                self.forget(*stake);
            }
            Event::ReviveStake { stake } => self.slashed_at_once(*stake, after, &mut lost),
            Event::ExpandStake { of, stake, .. } => {
                self.1.insert(stake.outpoint(), AdmittedStake::clone(stake));
                let stays = |provider| stake.data().providers.contains(provider);
                let stays = self.1[of].data().providers.iter().any(stays);
                for (service, nominal) in before.exposure(of).unwrap().nominal {
                    let until = until(&service, height);
                    self.add(*of, &service, Leaving { nominal, until });
                }
                // The old one stands for it again if it comes back. Where all providers change, nobody can slash the new one for it.
                for (service, left) in self.of(*of).into_iter().filter(|_| stays) {
                    self.add(stake.outpoint(), &service, left);
                }
                self.slashed_at_once(stake.outpoint(), after, &mut lost);
            }
            Event::Slash { provider } => {
                for loss in before.losses(provider) {
                    let counting = before.exposure(&loss.outpoint).unwrap().nominal.into_keys();
                    let left = self.forget(loss.outpoint).into_iter().map(|(service, _)| service);
                    for service in counting.chain(left).collect::<std::collections::BTreeSet<_>>() {
                        *lost.entry(service).or_default() += loss.amount.to_sat();
                    }
                }
            }
            _ => {}
        }
        // What is left behind at an expiry that is long past stands for nothing.
        self.0.retain(|_, left| height < left.until);
        lost
    }

    /// What services lose by a stake that came, or came back, after its provider was slashed.
    fn slashed_at_once(&mut self, stake: OutPoint, after: &Book, lost: &mut BTreeMap<ServiceId, u64>) {
        if after.stake(&stake).unwrap().status == StakeStatus::Slashed {
            let loss = self.1[&stake].loss().to_sat();
            for (service, _) in self.forget(stake) {
                *lost.entry(service).or_default() += loss;
            }
        }
    }

    fn of(&self, stake: OutPoint) -> BTreeMap<ServiceId, Leaving> {
        let of_stake = self.0.iter().filter(|((of, _), _)| *of == stake);
        of_stake.map(|((_, service), left)| (service.clone(), *left)).collect()
    }
}

/// Whether a stake's output may still be there.
fn lives(status: StakeStatus) -> bool {
    matches!(status, StakeStatus::Active | StakeStatus::Expired { .. } | StakeStatus::Unbonding { .. })
}

fn is_slashed(book: &Book, stake: &OutPoint) -> bool {
    book.stake(stake).unwrap().status == StakeStatus::Slashed
}

/// Whether one of two stakes spends the other, as itself or as its unbonding output.
fn one_coin(one: &JournalledStake, two: &JournalledStake) -> bool {
    let spends = |a: &JournalledStake, b: &JournalledStake| {
        a.spends.contains(&b.outpoint) || a.spends.contains(&b.unbonding)
    };
    spends(one, two) || spends(two, one)
}

fn lost(book: &Book, name: &ServiceId) -> u64 {
    book.service(name).unwrap().exposure.lost.to_sat()
}

fn all_claimable(book: &Book, index: usize, stake: &OutPoint) -> u128 {
    book.claimable(stake, &service(SERVICES[index].0)).unwrap_or(0)
}

/// What a history tells, each at least once, but for one at most.
const TAKEN: [&str; 33] = [
    "WriteUp",
    "TakeCash",
    "TakeReward",
    "ReviveStake",
    "AdmitStake",
    "ExpandStake",
    "Allocate",
    "Reward",
    "Claim",
    "SetCommission",
    "ClaimCommission",
    "GiveBack",
    "EndStake",
    "Slash",
    "Mint",
    "Transfer",
    "PoolReward",
    "RequestExit",
    "RequestWithdrawal",
    "FinaliseExit",
    "ReturnStake",
    "MakeGood",
    "WriteDown",
    "ChooseService",
    "LeaveService",
    "LrtDeposit",
    "LrtRedeem",
    "LrtTransfer",
    "LrtReward",
    // Ends and allocations, by what they are.
    "Unbonding",
    "Expired",
    "Spent",
    "Withdrawn",
];

/// The rules that a history runs into, each at least once, but for one at most. Others take more luck.
const REFUSED: [&str; 30] = [
    "Late",
    "SlashedProvider",
    "StakeExists",
    "SpendsStake",
    "SpentStake",
    "UnknownStake",
    "OutsideItsTime",
    "StakeEnded",
    "NoProvider",
    "Rate",
    "UnbondingTime",
    "ForeignProvider",
    "Leverage",
    "NotAllocated",
    "UnknownProvider",
    "RewardAfterChange",
    "NothingToGiveBack",
    "NothingOwed",
    "NoCommission",
    "Minted",
    "NotMinted",
    "PoolUnbonding",
    "StillLocked",
    "Frozen",
    "NotFirst",
    "UnknownExit",
    "NotMissing",
    "NotEnoughCash",
    "Balance",
    "Nothing",
];

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 20, failure_persistence: None, ..ProptestConfig::with_cases(8) })]

    #[test]
    fn books_balance_after_every_history(history in history()) {
        let mut book = Book::new();
        let mut journal = opened();
        for entry in &journal {
            book.apply(entry).unwrap();
        }
        let (mut height, mut stakes, mut left) = (START, BTreeMap::<_, AdmittedStake>::new(), Left::default());
        let (mut taken, mut refused) = (Seen::default(), Seen::default());
        let (mut slashed, mut pools_lost) = (0, 0);
        for (number, attempt) in history.iter().enumerate() {
            if let Attempt::Wait { blocks } = attempt {
                height += blocks;
                let mut before = book.clone();
                for entry in expire(&mut book, height) {
                    let mut after = before.clone();
                    after.apply(&entry).unwrap();
                    left.enter(&entry, &before, &after);
                    before = after;
                    taken.add("Expired".into());
                    journal.push(entry);
                }
            }
            let Some(event) = event(attempt, &book, height) else { continue };
            let late = matches!(attempt, Attempt::Late { .. });
            let at = if late { book.height().to_u32() - 1 } else { height };
            let entry = Entry { height: Height::new(at), event };
            let before = book.clone();
            if let Err(refusal) = book.apply(&entry) {
                prop_assert!(book == before, "a refused entry changed the book: {:?}", entry);
                prop_assert_eq!(late, matches!(refusal, BookError::Late { .. }));
                refused.add(rule(&refusal));
                continue;
            }
            prop_assert!(!late, "a late entry was taken");
            taken.add(kind(&entry.event));
            journal.push(entry.clone());
            if number % 16 == 0 {
                book.check().unwrap();
            }
            match &entry.event {
                Event::EndStake { end, .. } => taken.add(format!("{end:?}")),
                Event::Allocate { allocation: Allocation::Withdrawn, .. } => taken.add("Withdrawn".into()),
                _ => {}
            }
            // No coin is counted twice: not in two stakes of which one spends the other.
            if let Event::AdmitStake { stake: new } | Event::ExpandStake { stake: new, .. } = &entry.event {
                for (outpoint, old) in &stakes {
                    let status = book.stake(outpoint).unwrap().status;
                    let gone = matches!(status, StakeStatus::Spent | StakeStatus::Returned | StakeStatus::Expanded);
                    // What a slashing has left may be back, or nobody's that the books know.
                    let backs = |(_, pool): (_, &Pool)| {
                        pool.stake(outpoint).is_some_and(|pooled| pooled.status != PooledStatus::Ended)
                    };
                    let gone = gone || (status == StakeStatus::Slashed && !book.pools().any(backs));
                    prop_assert!(gone || !one_coin(old.data(), new.data()), "{outpoint} is {status} beside its coin");
                }
                stakes.insert(new.outpoint(), AdmittedStake::clone(new));
            }
            // An expansion gives shares to whom it names, and to nobody else.
            if let Event::ExpandStake { holder: named, stake, .. } = &entry.event {
                let at_once = book.stake(&stake.outpoint()).unwrap().status == StakeStatus::Slashed;
                for (name, pool) in book.pools() {
                    let was = before.pool(name).unwrap();
                    prop_assert!(at_once || pool.queue().iter().eq(was.queue().iter()));
                    let others = |pool: &Pool| -> BTreeMap<HolderId, u128> {
                        let others = pool.holders().filter(|(holder, _)| Some(*holder) != named.as_ref());
                        others.map(|(holder, shares)| (holder.clone(), shares)).collect()
                    };
                    prop_assert!(others(pool) == others(was), "{entry:?}");
                }
            }
            // Exits are paid in their order.
            if let Event::FinaliseExit { pool, exit } = &entry.event {
                prop_assert_eq!(before.pool(pool).unwrap().queue().first(), Some(*exit));
            }
            // Nobody comes back, and nobody who was slashed is paid.
            for (provider, at) in before.slashed_providers() {
                prop_assert!(book.slashed_providers().any(|slashed| slashed == (provider, at)));
                for (name, _) in SERVICES {
                    if let (Ok(was), Ok(is)) =
                        (before.provider(&service(name), &provider), book.provider(&service(name), &provider))
                    {
                        prop_assert_eq!(was.rewards.put_in, is.rewards.put_in);
                        prop_assert_eq!(was.rewards.commission_paid, is.rewards.commission_paid);
                    }
                }
            }
            // At one height, slashings come in any order.
            if let Attempt::Slash { provider: key } = attempt {
                for other in 0..PROVIDERS {
                    let (mut forth, mut back) = (before.clone(), before.clone());
                    let [first, second] = [*key, other].map(|n| Entry { height: entry.height, event: slash(n) });
                    let taken = (forth.apply(&first).is_ok(), forth.apply(&second).is_ok());
                    if taken == (true, true) {
                        back.apply(&second).unwrap();
                        back.apply(&first).unwrap();
                        prop_assert!(forth == back, "the order of two slashings counts");
                    }
                }
            }
            // The value of shares falls by slashings, by what is written down, and with a reward that never came.
            for (name, after) in book.pools() {
                let was = before.pool(name).unwrap();
                let may_lose = match &entry.event {
                    Event::Slash { .. } | Event::WriteDown { .. } => true,
                    // What comes, or comes back, after its provider was slashed is slashed with it.
                    Event::ExpandStake { stake, .. } => is_slashed(&book, &stake.outpoint()),
                    Event::ReviveStake { stake } => is_slashed(&book, stake),
                    _ => false,
                };
                prop_assert!(may_lose || after.flows().lost == was.flows().lost, "{entry:?} is a loss");
                let shares = VIRTUAL_SHARES * VIRTUAL_SHARES;
                let (was, is) = (was.value_floor(shares).unwrap(), after.value_floor(shares).unwrap());
                let may_fall = may_lose || matches!(entry.event, Event::TakeReward { .. });
                prop_assert!(may_fall || is >= was, "{entry:?} lowers the value of shares from {was} to {is}");
            }
            // A slashing takes each UTXO once, and no more than its slashable part; from the pools as much as from their stakes.
            if let Attempt::Slash { provider: key } = attempt {
                let mut pooled = 0;
                for loss in before.losses(&provider(*key)) {
                    prop_assert!(loss.amount <= stakes[&loss.outpoint].slashable());
                    prop_assert!(lives(before.stake(&loss.outpoint).unwrap().status));
                    prop_assert_eq!(book.stake(&loss.outpoint).unwrap().status, StakeStatus::Slashed);
                    slashed += 1;
                    if before.minted_in(&loss.outpoint).unwrap().is_some() {
                        pooled += u128::from(loss.amount.to_sat());
                    }
                }
                prop_assert!(book.losses(&provider(*key)).is_empty());
                let all_lost = |book: &Book| book.pools().map(|(_, pool)| pool.flows().lost).sum::<u128>();
                // What pools have and owe nobody is lost first.
                let surplus = |book: &Book| -> u64 {
                    book.pools().map(|(_, pool)| pool.backing().surplus().to_sat()).sum()
                };
                let spared = u128::from(surplus(&before) - surplus(&book));
                prop_assert_eq!(all_lost(&book) - all_lost(&before) + spared, pooled);
                pools_lost += pooled;
            }
            // Services lose with what counts for them, or has left them for no longer than their unbonding time.
            let losses = left.enter(&entry, &before, &book);
            for (name, _) in SERVICES {
                let name = service(name);
                let due = losses.get(&name).copied().unwrap_or(0);
                prop_assert_eq!(lost(&book, &name) - lost(&before, &name), due, "{} by {:?}", name, entry);
            }
            if number % 16 == 0 || matches!(attempt, Attempt::Slash { .. }) {
                let mut gone = BTreeMap::<ServiceId, (u64, u64)>::new();
                for stake in book.stakes() {
                    let exposure = book.exposure(&stake.outpoint).unwrap();
                    // Nobody can rely on what cannot be slashed.
                    let expected = if lives(stake.status) { left.of(stake.outpoint) } else { BTreeMap::new() };
                    for service in expected.keys().filter(|service| !exposure.nominal.contains_key(*service)) {
                        let (stakes, slashable) = gone.entry(service.clone()).or_default();
                        (*stakes, *slashable) = (*stakes + 1, *slashable + stake.slashable.to_sat());
                    }
                    prop_assert_eq!(exposure.leaving, expected, "{} after {:?}", stake.outpoint, entry);
                }
                for view in book.services() {
                    let told = (view.leaving, view.leaving_slashable.to_sat());
                    prop_assert_eq!(told, gone.get(view.name).copied().unwrap_or_default(), "{}", view.name);
                }
            }
        }
        book.check().unwrap();
        let entered: u32 = journal.len().try_into().unwrap();
        prop_assert!(entered >= 1_000, "only {entered} of the attempts were taken");
        // No history is of one kind, and none leaves the rules alone.
        let lacks = (taken.lacks(&TAKEN), refused.lacks(&REFUSED));
        prop_assert!(lacks.0.len() <= 1, "never taken: {:?} of {taken:?}", lacks.0);
        prop_assert!(lacks.1.len() <= 1 && refused.0.len() >= 34, "never refused: {:?} of {refused:?}", lacks.1);
        let paid: u128 = book.pools().map(|(_, pool)| pool.flows().paid).sum();
        prop_assert!(slashed >= 10 && pools_lost > 0 && paid > 0, "{slashed} slashed, {pools_lost} lost, {paid} paid");
        // Whatever is owed can be paid, after which nothing but fractions is left.
        for outpoint in stakes.keys() {
            for (index, (name, _)) in SERVICES.iter().enumerate() {
                if all_claimable(&book, index, outpoint) > 0 {
                    let entry = Entry { height: book.height(), event: claim(histories::number(outpoint), name) };
                    book.apply(&entry).unwrap();
                    journal.push(entry);
                    prop_assert_eq!(all_claimable(&book, index, outpoint), 0);
                }
            }
        }
        book.check().unwrap();
        for (name, coin) in SERVICES {
            let rewards = book.providers(&service(name)).unwrap();
            let paid: u128 = rewards.iter().map(|provider| provider.rewards.paid).sum();
            let owners: u128 = stakes.values().map(|stake| book.paid(&stake.data().owner, &denomination(coin))).sum();
            prop_assert_eq!(paid, owners);
        }
        // The entries make the book, and nothing else does.
        let mut again = Book::new();
        for entry in &journal {
            again.apply(entry).unwrap();
        }
        prop_assert!(again == book, "a replay makes another book");
    }

    #[test]
    fn one_number_per_provider_shares_as_a_naive_bookkeeper_does(history in history()) {
        let mut book = Book::new();
        for entry in opened() {
            book.apply(&entry).unwrap();
        }
        let (mut naive, mut height, mut shared) = (Naive::default(), START, 0);
        for attempt in &history {
            // No reward comes after a stake of its height.
            match attempt {
                Attempt::Wait { blocks } => height += blocks,
                Attempt::Reward { .. } => height += 1,
                _ => {}
            }
            expire(&mut book, height);
            let Some(event) = event(attempt, &book, height).filter(|_| !matches!(attempt, Attempt::Late { .. }))
            else {
                continue;
            };
            let index_of = |name: &ServiceId| SERVICES.iter().position(|(service, _)| *service == name.as_str()).unwrap();
            let claimed = match &event {
                Event::Claim { stake, service } => {
                    Some((*stake, index_of(service), all_claimable(&book, index_of(service), stake)))
                }
                _ => None,
            };
            let spread = match &event {
                Event::Reward { service, provider, amount, .. } => book.provider(service, provider).ok().map(|view| {
                    let spread = amount + view.rewards.held;
                    let left = spread - spread * u128::from(view.commission.to_u32()) / 1_000_000;
                    (service.clone(), *provider, view.rewards.staked, left)
                }),
                _ => None,
            };
            if book.apply(&Entry { height: Height::new(height), event }).is_err() {
                continue;
            }
            if let Some((stake, index, paid)) = claimed {
                *naive.paid.entry((stake, index)).or_default() += paid;
            }
            let Some((name, provider, staked, left)) = spread.filter(|(_, _, staked, _)| *staked > 0) else { continue };
            shared += 1;
            for stake in book.stakes() {
                let nominal = u128::from(book.nominal(&stake.outpoint, &name, &provider).unwrap());
                if nominal == 0 {
                    continue;
                }
                // Whole and rest apart, so that 128 bits suffice: at most one 1e-18 is lost.
                let (staked, key) = (u128::from(staked), (stake.outpoint, index_of(&name)));
                let (whole, rest) = (left * nominal / staked, left * nominal % staked);
                let exact = whole * REWARD_SCALE + rest * REWARD_SCALE / staked;
                *naive.earned.entry(key).or_default() += exact;
                *naive.rounding.entry(key).or_default() += nominal + 1;
            }
        }
        prop_assert!(shared >= 100 && naive.earned.len() >= 50, "{shared} rewards for {} stakes", naive.earned.len());
        for (key, exact) in &naive.earned {
            let (stake, index) = key;
            let paid = naive.paid.get(key).copied().unwrap_or(0);
            let got = (paid + all_claimable(&book, *index, stake)) * REWARD_SCALE;
            // A position is below by its fractions, at most one base unit for each provider, and by the carry of each reward,
            // which is less than 1e-18 per sat; above by carries of before alone.
            let rounding = naive.rounding[key];
            prop_assert!(got <= exact + rounding, "stake {stake} got {got} instead of {exact}");
            prop_assert!(got + rounding + 3 * REWARD_SCALE >= *exact, "stake {stake} got {got} instead of {exact}");
        }
        // Who has earned nothing is paid nothing.
        for stake in book.stakes() {
            for (index, (_, coin)) in SERVICES.iter().enumerate() {
                if !naive.earned.contains_key(&(stake.outpoint, index)) {
                    let paid = book.paid(stake.owner, &denomination(coin));
                    prop_assert_eq!(paid + all_claimable(&book, index, &stake.outpoint), 0);
                }
            }
        }
    }
}
