//! Random histories: every law of the books, after whatever is entered in whichever order.
#![allow(clippy::unwrap_used, reason = "a test's unwrap is its assertion")]

mod support;

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::Index;
use support::*;
use tapstake_params::{Height, Timelock};
use tapstake_restake::*;

const SERVICES: [(&str, &str); 3] = [("a", "ua"), ("b", "ub"), ("c", "uc")];
const PROVIDERS: u8 = 6;
const STAKES: u32 = 120;

/// Something to try; much of it is refused, as much of what people try is.
#[derive(Debug, Clone)]
enum Attempt {
    Admit { stake: u32, value: u64, providers: Vec<u8> },
    Expand { of: u32, stake: u32, more: u64, holder: Option<Index> },
    Share { stake: u32, service: Index },
    Exclusive { stake: u32, service: Index, parts: Vec<(u8, u64)> },
    Withdraw { stake: u32, service: Index },
    Reward { service: Index, provider: u8, amount: u128 },
    Claim { stake: u32, service: Index },
    ClaimCommission { service: Index, provider: u8 },
    GiveBack { service: Index, provider: u8 },
    End { stake: u32, end: End },
    Slash { provider: u8 },
    Mint { pool: Index, holder: Index, stake: u32 },
    Transfer { pool: Index, from: Index, to: Index, shares: u128 },
    Exit { pool: Index, holder: Index, shares: u128 },
    Withdrawal { pool: Index, holder: Index, amount: u64 },
    Finalise { pool: Index, behind: u64 },
    Return { stake: u32, parts: u64 },
    PoolReward { pool: Index, amount: u64 },
    MakeGood { pool: Index, parts: u64 },
    WriteDown { pool: Index, parts: u64 },
    LrtDeposit { holder: Index, shares: u128 },
    LrtRedeem { holder: Index, shares: u128 },
    LrtTransfer { from: Index, to: Index, shares: u128 },
    LrtReward { from: Index, shares: u128 },
    Wait { blocks: u32 },
    Late { stake: u32, service: Index },
}

/// A pool opens at a million shares a satoshi.
fn shares() -> impl Strategy<Value = u128> {
    prop_oneof![0..2_000_000u128, 0..1_000_000_000_000u128]
}

/// Thousandths of what there is, and mostly all of it.
fn parts() -> impl Strategy<Value = u64> {
    prop_oneof![2 => Just(1_000), 1 => 0..1_100u64]
}

fn attempt() -> impl Strategy<Value = Attempt> {
    let (stake, provider) = (0..STAKES, 0..PROVIDERS);
    let (service, any_end) = (any::<Index>(), prop_oneof![Just(End::Unbonding), Just(End::Spent)]);
    let part = (0..PROVIDERS, 0u64..200_000);
    let amount = prop_oneof![1..10u128, 1..1_000_000u128, 1..100_000_000_000_000_000u128];
    let keys = prop::collection::btree_set(0..PROVIDERS, 1..4).prop_map(|keys| keys.into_iter().collect());
    prop_oneof![
        6 => (stake.clone(), 20_000u64..1_000_000, keys)
            .prop_map(|(stake, value, providers)| Attempt::Admit { stake, value, providers }),
        2 => (stake.clone(), stake.clone(), 0..50_000u64, any::<Option<Index>>())
            .prop_map(|(of, stake, more, holder)| Attempt::Expand { of, stake, more, holder }),
        12 => (stake.clone(), service.clone()).prop_map(|(stake, service)| Attempt::Share { stake, service }),
        6 => (stake.clone(), service.clone(), prop::collection::vec(part, 0..4))
            .prop_map(|(stake, service, parts)| Attempt::Exclusive { stake, service, parts }),
        2 => (stake.clone(), service.clone()).prop_map(|(stake, service)| Attempt::Withdraw { stake, service }),
        24 => (service.clone(), provider.clone(), amount)
            .prop_map(|(service, provider, amount)| Attempt::Reward { service, provider, amount }),
        10 => (stake.clone(), service.clone()).prop_map(|(stake, service)| Attempt::Claim { stake, service }),
        2 => (service.clone(), provider.clone())
            .prop_map(|(service, provider)| Attempt::ClaimCommission { service, provider }),
        1 => (service.clone(), provider)
            .prop_map(|(service, provider)| Attempt::GiveBack { service, provider }),
        3 => (stake.clone(), any_end).prop_map(|(stake, end)| Attempt::End { stake, end }),
        8 => (any::<Index>(), any::<Index>(), 0..STAKES)
            .prop_map(|(pool, holder, stake)| Attempt::Mint { pool, holder, stake }),
        3 => (any::<Index>(), any::<Index>(), any::<Index>(), shares())
            .prop_map(|(pool, from, to, shares)| Attempt::Transfer { pool, from, to, shares }),
        4 => (any::<Index>(), any::<Index>(), shares())
            .prop_map(|(pool, holder, shares)| Attempt::Exit { pool, holder, shares }),
        2 => (any::<Index>(), any::<Index>(), 0..1_000_000u64)
            .prop_map(|(pool, holder, amount)| Attempt::Withdrawal { pool, holder, amount }),
        6 => (any::<Index>(), prop_oneof![4 => Just(0), 1 => 1..3u64])
            .prop_map(|(pool, behind)| Attempt::Finalise { pool, behind }),
        4 => (0..STAKES, parts()).prop_map(|(stake, parts)| Attempt::Return { stake, parts }),
        2 => (any::<Index>(), 0..100_000u64).prop_map(|(pool, amount)| Attempt::PoolReward { pool, amount }),
        4 => (any::<Index>(), parts()).prop_map(|(pool, parts)| Attempt::MakeGood { pool, parts }),
        2 => (any::<Index>(), parts()).prop_map(|(pool, parts)| Attempt::WriteDown { pool, parts }),
        2 => (any::<Index>(), shares()).prop_map(|(holder, shares)| Attempt::LrtDeposit { holder, shares }),
        1 => (any::<Index>(), shares()).prop_map(|(holder, shares)| Attempt::LrtRedeem { holder, shares }),
        1 => (any::<Index>(), any::<Index>(), shares())
            .prop_map(|(from, to, shares)| Attempt::LrtTransfer { from, to, shares }),
        1 => (any::<Index>(), shares()).prop_map(|(from, shares)| Attempt::LrtReward { from, shares }),
        6 => (1u32..100).prop_map(|blocks| Attempt::Wait { blocks }),
        1 => (stake, service).prop_map(|(stake, service)| Attempt::Late { stake, service }),
    ]
}

/// Four thousand attempts or more, of which over a thousand are taken, and two slashings in their last quarter.
fn history() -> impl Strategy<Value = Vec<Attempt>> {
    let slash = (3_000usize..4_000, 0..PROVIDERS);
    (prop::collection::vec(attempt(), 4_000..4_400), slash.clone(), slash).prop_map(|(mut all, one, two)| {
        for (at, provider) in [one, two] {
            all.insert(at, Attempt::Slash { provider });
        }
        all
    })
}

/// The name of what was tried.
fn kind(attempt: &Attempt) -> String {
    let text = format!("{attempt:?}");
    text.split(' ').next().unwrap().to_owned()
}

fn pool(name: &str) -> PoolId {
    PoolId::new(name).unwrap()
}

fn pool_of(index: &Index) -> PoolId {
    pool(["p", "q"][index.index(2)])
}

fn holder_of(index: &Index) -> HolderId {
    HolderId::new(["alice", "bob", "carol"][index.index(3)]).unwrap()
}

fn event(attempt: &Attempt, book: &Book) -> Option<Event> {
    let service = |service: &Index| *service.get(&SERVICES);
    let of = |amount: bitcoin::Amount, parts: u64| sat(amount.to_sat() * parts / 1_000);
    let missing = |pool: &Index| book.pool(&pool_of(pool)).unwrap().backing().missing();
    Some(match attempt {
        Attempt::Admit { stake, value, providers } => admit(*stake, *value, providers),
        Attempt::Expand { of, stake, more, holder } => {
            let old = book.stake(&outpoint(*of)).ok().filter(|_| of != stake)?;
            let (holder, more) = (holder.map(|holder| holder_of(&holder)), holder.map_or(0, |_| *more));
            expand(*of, *stake, old.value.to_sat() + more, &[2, 3], holder.as_ref().map(HolderId::as_str))
        }
        Attempt::Share { stake, service: at } => share(*stake, service(at).0),
        Attempt::Exclusive { stake, service: at, parts } => exclusive(*stake, service(at).0, parts),
        Attempt::Withdraw { stake, service: at } => withdraw(*stake, service(at).0),
        Attempt::Reward { service: at, provider, amount } => {
            reward(service(at).0, *provider, service(at).1, *amount)
        }
        Attempt::Claim { stake, service: at } | Attempt::Late { stake, service: at } => {
            claim(*stake, service(at).0)
        }
        Attempt::ClaimCommission { service: at, provider: key } => {
            Event::ClaimCommission { service: support::service(service(at).0), provider: provider(*key) }
        }
        Attempt::GiveBack { service: at, provider } => give_back(service(at).0, *provider),
        Attempt::End { stake, end } => support::end(*stake, *end),
        Attempt::Slash { provider } => slash(*provider),
        Attempt::Mint { pool, holder, stake } => {
            Event::Mint { pool: pool_of(pool), holder: holder_of(holder), stake: outpoint(*stake) }
        }
        Attempt::Transfer { pool, from, to, shares } => {
            let (from, to) = (holder_of(from), holder_of(to));
            Event::Transfer { pool: pool_of(pool), from, to, shares: *shares }
        }
        Attempt::Exit { pool, holder, shares } => {
            Event::RequestExit { pool: pool_of(pool), holder: holder_of(holder), shares: *shares }
        }
        Attempt::Withdrawal { pool, holder, amount } => {
            let (pool, holder) = (pool_of(pool), holder_of(holder));
            Event::RequestWithdrawal { pool, holder, amount: sat(*amount) }
        }
        Attempt::Finalise { pool, behind } => {
            let pool = pool_of(pool);
            let first = book.pool(&pool).unwrap().queue().first().map_or(0, |first| first.0);
            Event::FinaliseExit { pool, exit: ExitId(first + behind) }
        }
        Attempt::Return { stake, parts } => {
            let pools = book.pools().find_map(|(_, pool)| pool.stake(&outpoint(*stake)));
            let left = pools.map_or(sat(1_000), |pooled| pooled.value);
            Event::ReturnStake { stake: outpoint(*stake), returned: of(left, *parts) }
        }
        Attempt::PoolReward { pool, amount } => {
            Event::PoolReward { pool: pool_of(pool), amount: sat(*amount) }
        }
        Attempt::MakeGood { pool, parts } => {
            Event::MakeGood { pool: pool_of(pool), amount: of(missing(pool), *parts) }
        }
        Attempt::WriteDown { pool, parts } => {
            Event::WriteDown { pool: pool_of(pool), amount: of(missing(pool), *parts) }
        }
        Attempt::LrtDeposit { holder, shares } => {
            Event::LrtDeposit { pool: pool("l"), holder: holder_of(holder), shares: *shares }
        }
        Attempt::LrtRedeem { holder, shares } => {
            Event::LrtRedeem { pool: pool("l"), holder: holder_of(holder), shares: *shares }
        }
        Attempt::LrtTransfer { from, to, shares } => {
            let (from, to) = (holder_of(from), holder_of(to));
            Event::LrtTransfer { pool: pool("l"), from, to, shares: *shares }
        }
        Attempt::LrtReward { from, shares } => {
            Event::LrtReward { pool: pool("l"), from: holder_of(from), shares: *shares }
        }
        Attempt::Wait { .. } => return None,
    })
}

fn opened() -> Vec<Entry> {
    let mut entries = Vec::new();
    for (name, coin) in SERVICES {
        entries.push(register(name, coin));
        // One of the providers serves nobody.
        entries.extend((0..PROVIDERS - 1).map(|n| opt_in(name, n, u32::from(n) * 77_777)));
    }
    for name in ["p", "q"] {
        entries.push(Event::OpenPool { pool: pool(name), unbonding_time: Timelock::new(120).unwrap() });
    }
    let (over, leverage_limit) = (pool("p"), PartsPerMillion::ONE);
    entries.push(Event::OpenLrt { pool: pool("l"), over, leverage_limit });
    entries.into_iter().map(|event| Entry { height: Height::new(200), event }).collect()
}

/// Everything that a naive bookkeeper knows: for each provider at a service, every stake's nominal and its earnings in 1e-18 base
/// units, shared out one by one.
#[derive(Default)]
struct Naive {
    earned: BTreeMap<(u32, usize), u128>,
    rounding: BTreeMap<(u32, usize), u128>,
    paid: BTreeMap<(u32, usize), u128>,
}

fn all_claimable(book: &Book, index: usize, stake: u32) -> u128 {
    book.claimable(&outpoint(stake), &service(SERVICES[index].0)).unwrap_or(0)
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::with_cases(6) })]

    #[test]
    fn books_balance_after_every_history(history in history()) {
        let mut book = Book::new();
        let mut journal = opened();
        for entry in &journal {
            book.apply(entry).unwrap();
        }
        let (mut height, mut slashable) = (200, BTreeMap::new());
        let (mut taken, mut kinds) = (0, BTreeMap::<_, u32>::new());
        for (number, attempt) in history.iter().enumerate() {
            if let Attempt::Wait { blocks } = attempt {
                height += blocks;
                while let Some(stake) = book.due(Height::new(height)) {
                    let entry = Entry { height: Height::new(height), event: Event::EndStake { stake, end: End::Expired } };
                    book.apply(&entry).unwrap();
                    journal.push(entry);
                }
            }
            let Some(event) = event(attempt, &book) else { continue };
            let at = if matches!(attempt, Attempt::Late { .. }) { book.height().to_u32() - 1 } else { height };
            let entry = Entry { height: Height::new(at), event };
            let before = book.clone();
            match book.apply(&entry) {
                Ok(()) => {
                    prop_assert!(!matches!(attempt, Attempt::Late { .. }), "a late entry was taken");
                    taken += 1;
                    *kinds.entry(kind(attempt)).or_default() += 1;
                    if let Event::AdmitStake { stake } | Event::ExpandStake { stake, .. } = &entry.event {
                        slashable.insert(stake.outpoint(), stake.slashable());
                    }
                    journal.push(entry.clone());
                }
                Err(_) => prop_assert!(book == before, "a refused entry changed the book: {:?}", entry),
            }
            if number % 16 == 0 {
                book.check().unwrap();
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
            // The value of shares falls by slashings and by what is written down.
            for (name, after) in book.pools() {
                let was = before.pool(name).unwrap();
                let slashed = after.flows().lost > was.flows().lost;
                let shares = VIRTUAL_SHARES * VIRTUAL_SHARES;
                let (was, is) = (was.value_floor(shares).unwrap(), after.value_floor(shares).unwrap());
                prop_assert!(slashed || is >= was, "{entry:?} lowers the value of shares from {was} to {is}");
            }
            // A slashing takes each UTXO once, and no more than its slashable part.
            if let Attempt::Slash { provider: key } = attempt {
                for loss in before.losses(&provider(*key)) {
                    prop_assert!(loss.amount <= slashable[&loss.outpoint]);
                    prop_assert_eq!(before.stake(&loss.outpoint).unwrap().status == StakeStatus::Slashed, false);
                    prop_assert_eq!(book.stake(&loss.outpoint).unwrap().status, StakeStatus::Slashed);
                }
                prop_assert!(book.losses(&provider(*key)).is_empty());
            }
        }
        book.check().unwrap();
        prop_assert!(taken >= 1_000, "only {taken} of the attempts were taken");
        // No history is of one kind: whatever can be entered was, but for what needs luck.
        prop_assert!(kinds.len() >= 22, "{kinds:?}");
        // Whatever is owed can be paid, after which nothing but fractions is left.
        for stake in 0..STAKES {
            for (index, (name, _)) in SERVICES.iter().enumerate() {
                if all_claimable(&book, index, stake) > 0 {
                    let entry = Entry { height: book.height(), event: claim(stake, name) };
                    book.apply(&entry).unwrap();
                    journal.push(entry);
                    prop_assert_eq!(all_claimable(&book, index, stake), 0);
                }
            }
        }
        book.check().unwrap();
        for (name, coin) in SERVICES {
            let rewards = book.providers(&service(name)).unwrap();
            let paid: u128 = rewards.iter().map(|provider| provider.rewards.paid).sum();
            let owners: u128 = (0..STAKES).map(|n| book.paid(&account(n), &denomination(coin))).sum();
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
        let (mut naive, mut height) = (Naive::default(), 200);
        for attempt in &history {
            // Nothing expires, and no reward comes after a stake of its height.
            if let Attempt::Reward { .. } = attempt {
                height = (height + 1).min(9_999);
            }
            let event = event(attempt, &book).filter(|_| !matches!(attempt, Attempt::Late { .. }));
            let Some(event) = event else { continue };
            let paying = matches!(attempt, Attempt::Reward { .. } | Attempt::Claim { .. });
            let before = if paying { book.clone() } else { Book::new() };
            if book.apply(&Entry { height: Height::new(height), event }).is_err() {
                continue;
            }
            let index_of = |at: &Index| SERVICES.iter().position(|service| service == at.get(&SERVICES)).unwrap();
            match attempt {
                Attempt::Reward { service: at, provider: key, amount } => {
                    let index = index_of(at);
                    let name = service(SERVICES[index].0);
                    let provider = before.provider(&name, &provider(*key)).unwrap();
                    let staked = u128::from(provider.rewards.staked);
                    if staked == 0 {
                        continue;
                    }
                    let spread = amount + provider.rewards.held;
                    let left = spread - spread * u128::from(provider.commission.to_u32()) / 1_000_000;
                    for stake in 0..STAKES {
                        let nominal = before.nominal(&outpoint(stake), &name, &provider.provider);
                        let nominal = u128::from(nominal.unwrap_or(0));
                        // Whole and rest apart, so that 128 bits suffice: at most one 1e-18 is lost.
                        let (whole, rest) = (left * nominal / staked, left * nominal % staked);
                        let exact = whole * REWARD_SCALE + rest * REWARD_SCALE / staked;
                        *naive.earned.entry((stake, index)).or_default() += exact;
                        *naive.rounding.entry((stake, index)).or_default() += nominal + 1;
                    }
                }
                Attempt::Claim { stake, service: at } => {
                    let paid = all_claimable(&before, index_of(at), *stake);
                    *naive.paid.entry((*stake, index_of(at))).or_default() += paid;
                }
                _ => {}
            }
        }
        for (&(stake, index), exact) in &naive.earned {
            let paid = naive.paid.get(&(stake, index)).copied().unwrap_or(0);
            let got = (paid + all_claimable(&book, index, stake)) * REWARD_SCALE;
            // A position is below by its fractions, at most one base unit for each provider, and by the carry of each reward,
            // which is less than 1e-18 per sat; above by carries of before alone.
            let rounding = naive.rounding[&(stake, index)];
            prop_assert!(got <= exact + rounding, "stake {stake} got {got} instead of {exact}");
            prop_assert!(got + rounding + 3 * REWARD_SCALE >= *exact, "stake {stake} got {got} instead of {exact}");
        }
    }
}
