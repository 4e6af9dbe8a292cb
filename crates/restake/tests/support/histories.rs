//! Random histories of books: what people could try to enter, whenever they like.
#![allow(dead_code, reason = "every test file takes what it needs")]

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::OutPoint;
use proptest::prelude::*;
use proptest::sample::Index;
use tapstake_params::{Height, SlashingRate, Timelock};
use tapstake_restake::*;

use crate::support::*;

/// Service b asks for a longer unbonding than some stakes have, c for a lower leverage than its providers could count, d
/// slashes at a rate that few stakes have pre-signed.
pub(crate) const SERVICES: [(&str, &str); 4] = [("a", "ua"), ("b", "ub"), ("c", "uc"), ("d", "ud")];
/// The last of them serves nobody.
pub(crate) const PROVIDERS: u8 = 7;
/// Where every history begins.
pub(crate) const START: u32 = 200;
/// Who picks a stake picks among so many that came last.
const RECENT: usize = 30;
const HOLDERS: [&str; 3] = ["alice", "bob", "carol"];

/// What a transaction of a stake spends besides a coin of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Spends {
    Nothing,
    Stake(Index),
    UnbondingOf(Index),
    /// A stake that nobody has seen yet.
    Unseen(u32),
}

/// A stake to come.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    /// Thirds of its value: what is split by three has no rest.
    thirds: u64,
    providers: Vec<u8>,
    /// The blocks for which it is active, from a block before it is offered; nearly always.
    term: u32,
    outside: Option<bool>,
    slow: bool,
    mild: bool,
    /// How far its number is from the last one.
    skips: u32,
    spends: Spends,
}

/// Something to try; much of it is refused, as much of what people try is.
#[derive(Debug, Clone)]
pub(crate) enum Attempt {
    Admit {
        offer: Offer,
    },
    Expand {
        of: Index,
        offer: Offer,
        holder: Option<Index>,
    },
    Share {
        stake: Index,
        service: Index,
    },
    Exclusive {
        stake: Index,
        service: Index,
        parts: Vec<(u8, u64)>,
    },
    Withdraw {
        stake: Index,
        service: Index,
    },
    Reward {
        service: Index,
        provider: u8,
        amount: u128,
    },
    Claim {
        stake: Index,
        service: Index,
    },
    SetCommission {
        service: Index,
        provider: u8,
        commission: u32,
    },
    ClaimCommission {
        service: Index,
        provider: u8,
    },
    GiveBack {
        service: Index,
        provider: u8,
    },
    End {
        stake: Index,
        end: End,
    },
    Slash {
        provider: u8,
    },
    Mint {
        pool: Index,
        holder: Index,
        stake: Index,
    },
    Transfer {
        pool: Index,
        from: Index,
        to: Index,
        parts: u64,
    },
    Exit {
        pool: Index,
        holder: Index,
        parts: u64,
    },
    Withdrawal {
        pool: Index,
        holder: Index,
        amount: u64,
    },
    Finalise {
        pool: Index,
        behind: u64,
    },
    Return {
        stake: Index,
        parts: u64,
    },
    PoolReward {
        pool: Index,
        amount: u64,
    },
    MakeGood {
        pool: Index,
        parts: u64,
    },
    WriteDown {
        pool: Index,
        parts: u64,
    },
    WriteUp {
        pool: Index,
        parts: u64,
    },
    TakeCash {
        pool: Index,
        parts: u64,
    },
    TakeReward {
        pool: Index,
        parts: u64,
    },
    Revive {
        stake: Index,
    },
    Choose {
        service: Index,
        part: u32,
    },
    Leave {
        service: Index,
    },
    LrtDeposit {
        holder: Index,
        parts: u64,
    },
    LrtRedeem {
        holder: Index,
        parts: u64,
    },
    LrtTransfer {
        from: Index,
        to: Index,
        parts: u64,
    },
    LrtReward {
        from: Index,
        parts: u64,
    },
    /// Pool r has one stake, which its staker takes away, and is given up.
    Ruin,
    Wait {
        blocks: u32,
    },
    Late {
        stake: Index,
        service: Index,
    },
}

/// Thousandths of what there is, and mostly all of it.
fn parts() -> impl Strategy<Value = u64> {
    prop_oneof![2 => Just(1_000), 1 => 0..1_250u64]
}

/// Thousandths of what a holder has, and mostly few of it.
fn few() -> impl Strategy<Value = u64> {
    prop_oneof![3 => 0..300u64, 1 => 0..1_100u64]
}

impl Attempt {
    /// The same, with a coin of its own and no other.
    pub(crate) fn alone(&self) -> Self {
        let mut alone = self.clone();
        if let Attempt::Admit { offer } = &mut alone {
            offer.spends = Spends::Nothing;
        }
        alone
    }
}

fn offer() -> impl Strategy<Value = Offer> {
    let keys = prop::collection::btree_set(0..PROVIDERS, 1..4).prop_map(|keys| keys.into_iter().collect());
    let spends = prop_oneof![
        12 => Just(Spends::Nothing),
        2 => any::<Index>().prop_map(Spends::Stake),
        2 => any::<Index>().prop_map(Spends::UnbondingOf),
        2 => (1..7u32).prop_map(Spends::Unseen),
    ];
    let kind =
        (prop::bool::weighted(0.6), prop::bool::weighted(0.2), prop::option::weighted(0.06, any::<bool>()));
    (7_000u64..300_000, keys, 500u32..5_000, kind, prop_oneof![1 => Just(0), 30 => 1..6u32], spends).prop_map(
        |(thirds, providers, term, (slow, mild, outside), skips, spends)| Offer {
            thirds,
            providers,
            term,
            outside,
            slow,
            mild,
            skips,
            spends,
        },
    )
}

fn attempt() -> impl Strategy<Value = Attempt> {
    let (any_of, provider) = (any::<Index>, || 0..PROVIDERS);
    let end = prop_oneof![
        3 => Just(End::Unbonding),
        2 => Just(End::Spent),
        1 => Just(End::Expired)
    ];
    let part = (0..PROVIDERS, 0u64..200_000).prop_map(|(provider, thirds)| (provider, thirds * 3));
    let amount = prop_oneof![1..10u128, 1..1_000_000u128, 1..100_000_000_000_000_000u128];
    let of_stake = || (any_of(), any_of());
    let stakes = prop_oneof![
        20 => of_stake().prop_map(|(stake, service)| Attempt::Share { stake, service }),
        12 => offer().prop_map(|offer| Attempt::Admit { offer }),
        10 => (of_stake(), prop::collection::vec(part, 0..5)).prop_map(|((stake, service), parts)| Attempt::Exclusive { stake, service, parts }),
        8 => of_stake().prop_map(|(stake, service)| Attempt::Withdraw { stake, service }),
        3 => (any_of(), end).prop_map(|(stake, end)| Attempt::End { stake, end }),
        2 => (any_of(), offer(), any::<Option<Index>>()).prop_map(|(of, offer, holder)| Attempt::Expand { of, offer, holder }),
    ];
    let rewards = prop_oneof![
        24 => (any_of(), provider(), amount).prop_map(|(service, provider, amount)| Attempt::Reward { service, provider, amount }),
        14 => of_stake().prop_map(|(stake, service)| Attempt::Claim { stake, service }),
        6 => (1u32..100).prop_map(|blocks| Attempt::Wait { blocks }),
        2 => (any_of(), provider()).prop_map(|(service, provider)| Attempt::ClaimCommission { service, provider }),
        2 => (any_of(), provider(), 0..1_100_000u32)
            .prop_map(|(service, provider, commission)| Attempt::SetCommission { service, provider, commission }),
        2 => (any_of(), provider()).prop_map(|(service, provider)| Attempt::GiveBack { service, provider }),
        1 => of_stake().prop_map(|(stake, service)| Attempt::Late { stake, service }),
    ];
    let pools = prop_oneof![
        10 => (any_of(), any_of(), any_of()).prop_map(|(pool, holder, stake)| Attempt::Mint { pool, holder, stake }),
        8 => (any_of(), prop_oneof![4 => Just(0), 1 => 1..3u64]).prop_map(|(pool, behind)| Attempt::Finalise { pool, behind }),
        6 => (any_of(), parts()).prop_map(|(stake, parts)| Attempt::Return { stake, parts }),
        4 => (any_of(), any_of(), few()).prop_map(|(pool, holder, parts)| Attempt::Exit { pool, holder, parts }),
        3 => (any_of(), any_of(), any_of(), few()).prop_map(|(pool, from, to, parts)| Attempt::Transfer { pool, from, to, parts }),
        2 => (any_of(), any_of(), 0..1_000_000u64).prop_map(|(pool, holder, amount)| Attempt::Withdrawal { pool, holder, amount }),
    ];
    let cash = prop_oneof![
        5 => (any_of(), parts()).prop_map(|(pool, parts)| Attempt::MakeGood { pool, parts }),
        4 => (any_of(), parts()).prop_map(|(pool, parts)| Attempt::WriteDown { pool, parts }),
        3 => (any_of(), parts()).prop_map(|(pool, parts)| Attempt::WriteUp { pool, parts }),
        1 => (any_of(), few()).prop_map(|(pool, parts)| Attempt::TakeCash { pool, parts }),
        1 => (any_of(), few()).prop_map(|(pool, parts)| Attempt::TakeReward { pool, parts }),
        3 => any_of().prop_map(|stake| Attempt::Revive { stake }),
        2 => (any_of(), 0..100_000u64).prop_map(|(pool, amount)| Attempt::PoolReward { pool, amount }),
        2 => Just(Attempt::Ruin),
    ];
    let receipts = prop_oneof![
        3 => (any_of(), few()).prop_map(|(holder, parts)| Attempt::LrtDeposit { holder, parts }),
        2 => (any_of(), few()).prop_map(|(holder, parts)| Attempt::LrtRedeem { holder, parts }),
        1 => (any_of(), any_of(), few()).prop_map(|(from, to, parts)| Attempt::LrtTransfer { from, to, parts }),
        1 => (any_of(), few()).prop_map(|(from, parts)| Attempt::LrtReward { from, parts }),
        1 => (any_of(), 0..1_100_000u32).prop_map(|(service, part)| Attempt::Choose { service, part }),
        1 => any_of().prop_map(|service| Attempt::Leave { service }),
    ];
    prop_oneof![55 => stakes, 51 => rewards, 33 => pools, 13 => cash, 9 => receipts]
}

/// Four and a half thousand attempts or more, of which over a thousand are taken, and three slashings: when a quarter of it is
/// told, when a half is, and near the end.
pub(crate) fn history() -> impl Strategy<Value = Vec<Attempt>> {
    let at = [1_000usize..1_500, 2_000..2_500, 3_500..4_000];
    let who = prop::sample::subsequence((0..PROVIDERS).collect::<Vec<_>>(), 3).prop_shuffle();
    (prop::collection::vec(attempt(), 4_600..5_000), at, who).prop_map(|(mut all, at, who)| {
        for (at, provider) in at.into_iter().zip(who) {
            all.insert(at, Attempt::Slash { provider });
        }
        all
    })
}

/// What is in the books before.
pub(crate) fn opened() -> Vec<Entry> {
    let mut entries = Vec::new();
    for (name, coin) in SERVICES {
        let usual = terms(coin);
        let terms = match name {
            "b" => ServiceTerms { unbonding_time: Timelock::new(150).unwrap(), ..usual },
            "c" => ServiceTerms { leverage_limit: PartsPerMillion::percent(250).unwrap(), ..usual },
            "d" => ServiceTerms { slashing_rate: mild_rate(), ..usual },
            _ => usual,
        };
        entries.push(Event::RegisterService { service: service(name), terms });
        entries.extend((0..PROVIDERS - 1).map(|n| opt_in(name, n, u32::from(n) * 77_777)));
    }
    for (name, blocks) in [("p", 120), ("q", 150), ("r", 150)] {
        let unbonding_time = Timelock::new(blocks).unwrap();
        entries.push(Event::OpenPool { pool: pool(name), unbonding_time });
    }
    let (over, leverage_limit) = (pool("p"), PartsPerMillion::percent(300).unwrap());
    entries.push(Event::OpenLrt { pool: pool("l"), over, leverage_limit });
    entries.into_iter().map(|event| Entry { height: Height::new(START), event }).collect()
}

pub(crate) fn mild_rate() -> SlashingRate {
    SlashingRate::from_ten_thousandths(500).unwrap()
}

pub(crate) fn pool(name: &str) -> PoolId {
    PoolId::new(name).unwrap()
}

fn pool_of(index: &Index) -> PoolId {
    pool(["p", "q"][index.index(2)])
}

fn holder_of(index: &Index) -> HolderId {
    HolderId::new(HOLDERS[index.index(HOLDERS.len())]).unwrap()
}

fn service_of(index: &Index) -> (&'static str, &'static str) {
    *index.get(&SERVICES)
}

/// The number that `outpoint` makes this of.
pub(crate) fn number(outpoint: &OutPoint) -> u32 {
    let bytes: &[u8] = outpoint.txid.as_ref();
    u32::from_le_bytes(bytes[..4].try_into().unwrap())
}

/// The number of a stake, mostly of one that came lately.
fn pick(book: &Book, index: &Index) -> u32 {
    let stakes = book.stakes().count();
    let from = stakes.saturating_sub(RECENT);
    let picked = book.stakes().nth(from + index.index(RECENT.min(stakes) + 1));
    picked.map_or(u32::MAX, |stake| number(&stake.outpoint))
}

fn part_of(whole: u128, parts: u64) -> u128 {
    whole * u128::from(parts) / 1_000
}

fn amount_of(whole: bitcoin::Amount, parts: u64) -> bitcoin::Amount {
    sat(u64::try_from(part_of(whole.to_sat().into(), parts)).unwrap())
}

impl Offer {
    fn stake(&self, book: &Book, height: u32, of: Option<(u32, u64)>) -> Box<AdmittedStake> {
        let last = book.stakes().map(|stake| number(&stake.outpoint)).max().unwrap_or(0);
        // Some come again.
        let n = (last + self.skips).max(1);
        // An expansion is mostly worth more than its stake.
        let value = of.map_or(self.thirds * 3, |(_, value)| {
            if self.skips == 1 { value / 6 * 3 + 30_000 } else { value + self.thirds / 7 * 3 }
        });
        let usual = stake_data(n, value, &self.providers);
        let slashed = if self.mild { mild_rate().slashed_part(sat(value)) } else { usual.slashed };
        let mut spends = usual.spends;
        spends.extend(of.map(|(of, _)| outpoint(of)));
        spends.extend(match &self.spends {
            Spends::Nothing => None,
            Spends::Stake(index) => Some(outpoint(pick(book, index))),
            Spends::UnbondingOf(index) => Some(unbonding(pick(book, index))),
            Spends::Unseen(more) => Some(outpoint(n + more)),
        });
        let included = match self.outside {
            None => height - 1,
            Some(true) => height.saturating_sub(self.term),
            Some(false) => height + 1,
        };
        spends.retain(|spent| *spent != outpoint(n) && *spent != unbonding(n));
        let distinct: BTreeSet<_> = spends.drain(..).collect();
        let data = JournalledStake {
            spends: distinct.into_iter().collect(),
            slashed,
            refund: sat(value) - slashed - sat(100),
            unbonding_refund: sat(value) - slashed - sat(150),
            inclusion_height: Height::new(included),
            expires_at: Height::new(included + self.term),
            unbonding_time: Timelock::new(if self.slow { 150 } else { 100 }).unwrap(),
            ..usual
        };
        Box::new(data.try_into().unwrap())
    }
}

/// The event that is tried, in these books at this height.
pub(crate) fn event(attempt: &Attempt, book: &Book, height: u32) -> Option<Event> {
    let missing = |pool: &PoolId| book.pool(pool).unwrap().backing().missing();
    let shares =
        |pool: &PoolId, holder: &HolderId, parts| part_of(book.pool(pool).unwrap().balance(holder), parts);
    let lrt_shares = |holder: &HolderId, parts| {
        mul_div_floor(book.lrt_pool(&pool("l")).unwrap().0.balance(holder), u128::from(parts), 1_000).unwrap()
    };
    Some(match attempt {
        Attempt::Admit { offer } => Event::AdmitStake { stake: offer.stake(book, height, None) },
        Attempt::Expand { of, offer, holder } => {
            let of = outpoint(pick(book, of));
            let value = book.stake(&of).ok()?.value.to_sat();
            let stake = offer.stake(book, height, Some((number(&of), value)));
            let minted = book.minted_in(&of).unwrap().is_some() && stake.value().to_sat() > value;
            let holder = holder.filter(|_| minted).map(|holder| holder_of(&holder));
            Event::ExpandStake { of, stake, holder }
        }
        Attempt::Share { stake, service } => share(pick(book, stake), service_of(service).0),
        Attempt::Exclusive { stake, service, parts } => {
            exclusive(pick(book, stake), service_of(service).0, parts)
        }
        Attempt::Withdraw { stake, service } => withdraw(pick(book, stake), service_of(service).0),
        Attempt::Reward { service, provider, amount } => {
            reward(service_of(service).0, *provider, service_of(service).1, *amount)
        }
        Attempt::Claim { stake, service } | Attempt::Late { stake, service } => {
            claim(pick(book, stake), service_of(service).0)
        }
        Attempt::SetCommission { service, provider, commission } => {
            set_commission(service_of(service).0, *provider, *commission)
        }
        Attempt::ClaimCommission { service: at, provider: key } => {
            Event::ClaimCommission { service: service(service_of(at).0), provider: provider(*key) }
        }
        Attempt::GiveBack { service, provider } => give_back(service_of(service).0, *provider),
        Attempt::End { stake, end: how } => end(pick(book, stake), *how),
        Attempt::Slash { provider } => slash(*provider),
        Attempt::Mint { pool, holder, stake } => {
            Event::Mint { pool: pool_of(pool), holder: holder_of(holder), stake: outpoint(pick(book, stake)) }
        }
        Attempt::Transfer { pool, from, to, parts } => {
            let (pool, from, to) = (pool_of(pool), holder_of(from), holder_of(to));
            let shares = shares(&pool, &from, *parts);
            Event::Transfer { pool, from, to, shares }
        }
        Attempt::Exit { pool, holder, parts } => {
            let (pool, holder) = (pool_of(pool), holder_of(holder));
            let shares = shares(&pool, &holder, *parts);
            Event::RequestExit { pool, holder, shares }
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
        Attempt::Return { stake: other, parts } => {
            // Mostly the first one that is free.
            let pools = book.pools().filter(|(name, _)| **name != pool("r"));
            let free = pools.flat_map(|(_, pool)| pool.stakes()).filter(|(outpoint, pooled)| {
                pooled.status != PooledStatus::Ended
                    && match book.stake(outpoint).unwrap().status {
                        StakeStatus::Expired { until } | StakeStatus::Unbonding { until } => {
                            until.to_u32() <= height
                        }
                        status => status == StakeStatus::Slashed,
                    }
            });
            let stake = free.map(|(outpoint, _)| *outpoint).min_by_key(number);
            let stake = stake.filter(|_| *parts > 300).unwrap_or_else(|| outpoint(pick(book, other)));
            let pooled = book.pools().find_map(|(_, pool)| pool.stake(&stake));
            let left = pooled.map_or(sat(1_000), |pooled| pooled.value);
            Event::ReturnStake { stake, returned: amount_of(left, *parts) + sat(parts / 1_001) }
        }
        Attempt::PoolReward { pool, amount } => {
            Event::PoolReward { pool: pool_of(pool), amount: sat(*amount) }
        }
        Attempt::MakeGood { pool, parts } => {
            let pool = pool_of(pool);
            let amount = amount_of(missing(&pool), *parts) + sat(parts / 1_001);
            Event::MakeGood { pool, amount }
        }
        Attempt::WriteDown { pool, parts } => {
            let pool = pool_of(pool);
            let amount = amount_of(missing(&pool), *parts) + sat(parts / 1_001);
            Event::WriteDown { pool, amount }
        }
        Attempt::WriteUp { pool, parts } => {
            let pool = pool_of(pool);
            let surplus = book.pool(&pool).unwrap().backing().surplus();
            Event::WriteUp { amount: amount_of(surplus, *parts) + sat(parts / 1_001), pool }
        }
        Attempt::TakeCash { pool, parts } => {
            let pool = pool_of(pool);
            let cash = book.pool(&pool).unwrap().cash();
            Event::TakeCash { amount: amount_of(cash, *parts) + sat(parts / 1_001), pool }
        }
        Attempt::TakeReward { pool, parts } => {
            let pool = pool_of(pool);
            let rewards = u64::try_from(book.pool(&pool).unwrap().flows().rewards).unwrap();
            Event::TakeReward { amount: amount_of(sat(rewards), *parts) + sat(parts / 1_001), pool }
        }
        Attempt::Revive { stake: other } => {
            // Mostly one that was spent not long ago.
            let gone = |stake: &StakeView<'_>| matches!(stake.status, StakeStatus::Spent);
            let last = book.stakes().filter(gone).map(|stake| stake.outpoint).last();
            Event::ReviveStake { stake: last.unwrap_or_else(|| outpoint(pick(book, other))) }
        }
        Attempt::Choose { service: at, part } => {
            let (service, part) = (service(service_of(at).0), PartsPerMillion::new(*part));
            Event::ChooseService { pool: pool("l"), service, part }
        }
        Attempt::Leave { service: at } => {
            Event::LeaveService { pool: pool("l"), service: service(service_of(at).0) }
        }
        Attempt::LrtDeposit { holder, parts } => {
            let holder = holder_of(holder);
            let shares = shares(&pool("p"), &holder, *parts);
            Event::LrtDeposit { pool: pool("l"), holder, shares }
        }
        Attempt::LrtRedeem { holder, parts } => {
            let holder = holder_of(holder);
            let shares = lrt_shares(&holder, *parts);
            Event::LrtRedeem { pool: pool("l"), holder, shares }
        }
        Attempt::LrtTransfer { from, to, parts } => {
            let (from, to) = (holder_of(from), holder_of(to));
            let shares = lrt_shares(&from, *parts);
            Event::LrtTransfer { pool: pool("l"), from, to, shares }
        }
        Attempt::LrtReward { from, parts } => {
            let from = holder_of(from);
            let shares = shares(&pool("p"), &from, *parts);
            Event::LrtReward { pool: pool("l"), from, shares }
        }
        Attempt::Ruin => ruin(book),
        Attempt::Wait { .. } => return None,
    })
}

/// The next step to the ruin of pool r.
fn ruin(book: &Book) -> Event {
    let (name, holder) = (pool("r"), HolderId::new("alice").unwrap());
    let pool = book.pool(&name).unwrap();
    let fresh = || {
        let active = book.stakes().filter(|stake| stake.status == StakeStatus::Active);
        let fresh = active.map(|stake| stake.outpoint).find(|stake| book.minted_in(stake).unwrap().is_none());
        fresh.unwrap_or(OutPoint::null())
    };
    let shares = pool.balance(&holder);
    match pool.stakes().find(|(_, pooled)| pooled.status != PooledStatus::Ended) {
        None if shares == 0 => Event::Mint { pool: name, holder, stake: fresh() },
        // Half of it waits to leave.
        Some(_) if pool.queue().is_empty() => Event::RequestExit { pool: name, holder, shares: shares / 2 },
        Some((outpoint, pooled)) if pooled.status == PooledStatus::Slashed => {
            Event::ReturnStake { stake: *outpoint, returned: sat(0) }
        }
        Some((outpoint, _)) => Event::EndStake { stake: *outpoint, end: End::Spent },
        None if !pool.is_frozen() => Event::WriteDown { pool: name, amount: pool.backing().missing() },
        // Nothing of this is taken any more.
        None => match book.entries() % 4 {
            0 => Event::Mint { pool: name, holder, stake: fresh() },
            1 => Event::PoolReward { pool: name, amount: sat(1) },
            2 => Event::RequestExit { pool: name, holder, shares },
            _ => Event::Transfer { pool: name, from: holder.clone(), to: holder, shares },
        },
    }
}

/// Ends what is over by this height, which comes before everything else, and returns the entries.
pub(crate) fn expire(book: &mut Book, height: u32) -> Vec<Entry> {
    let (height, mut ended) = (Height::new(height), Vec::new());
    while let Some(stake) = book.due(height) {
        let entry = Entry { height, event: Event::EndStake { stake, end: End::Expired } };
        book.apply(&entry).unwrap();
        ended.push(entry);
    }
    ended
}

/// A name as Rust prints it.
fn first_word(text: &str) -> String {
    text.split(|c: char| !c.is_alphanumeric()).next().unwrap().to_owned()
}

/// What kind of event it is.
pub(crate) fn kind(event: &Event) -> String {
    first_word(&format!("{event:?}"))
}

/// Which rule refuses.
pub(crate) fn rule(error: &BookError) -> String {
    match error {
        BookError::Pool { error: PoolError::Shares(error), .. } => first_word(&format!("{error:?}")),
        BookError::Pool { error, .. } => first_word(&format!("{error:?}")),
        BookError::Lrt { error, .. } => format!("Lrt{}", first_word(&format!("{error:?}"))),
        error => first_word(&format!("{error:?}")),
    }
}

/// How often each was seen.
#[derive(Debug, Default)]
pub(crate) struct Seen(pub(crate) BTreeMap<String, u32>);

impl Seen {
    pub(crate) fn add(&mut self, name: String) {
        *self.0.entry(name).or_default() += 1;
    }

    pub(crate) fn lacks<'n>(&self, names: &[&'n str]) -> Vec<&'n str> {
        names.iter().copied().filter(|name| !self.0.contains_key(*name)).collect()
    }
}
