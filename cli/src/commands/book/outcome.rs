//! What came of an entry, beside what it says: read off the book before it and after it.

use std::collections::BTreeMap;

use bitcoin::{Amount, OutPoint};
use serde::Serialize;
use tapstake_params::Height;
use tapstake_restake::{
    Backing, Book, Denomination, Event, ExitId, Flows, HolderId, Loss, PaidExit, PartsPerMillion, PoolId,
    Rewards, ServiceId,
};

use super::show::{self, Left};

/// Amounts of rewards are texts of base units of `denomination`.
#[derive(Debug, Default, Serialize)]
pub(super) struct Outcome {
    #[serde(skip_serializing_if = "Option::is_none")]
    paid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    denomination: Option<Denomination>,
    #[serde(skip_serializing_if = "Option::is_none")]
    paid_to: Option<String>,
    /// What the provider gets of a reward.
    #[serde(skip_serializing_if = "Option::is_none")]
    commission: Option<String>,
    /// What waits, after a reward while nothing is staked.
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    paid_sat: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shares: Option<String>,
    /// The pool whose shares these are.
    #[serde(skip)]
    shares_of: Option<PoolId>,
    /// Who gets shares and had none.
    #[serde(skip_serializing_if = "Option::is_none")]
    new_holder: Option<HolderId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quoted_sat: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    matures_at: Option<Height>,
    #[serde(skip_serializing_if = "Option::is_none")]
    losses: Option<Vec<LossRow>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lost_sat: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    borne: Option<Vec<Borne>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gained: Vec<Gained>,
    #[serde(skip_serializing_if = "Option::is_none")]
    given_back: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pool: Option<PoolId>,
    /// In that pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing_sat: Option<u64>,
    /// What that pool has and owes nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    surplus_sat: Option<u64>,
    /// Of the stake.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    leaving: Option<BTreeMap<ServiceId, Left>>,
    /// What the service counts of the stake.
    #[serde(skip_serializing_if = "Option::is_none")]
    counted_sat: Option<u64>,
    /// Of the stake, over all services, with what it has left.
    #[serde(skip_serializing_if = "Option::is_none")]
    leverage: Option<PartsPerMillion>,
}

#[derive(Debug, Serialize)]
struct LossRow {
    stake: OutPoint,
    lost_sat: u64,
}

/// What a pool has lost, and who of it.
#[derive(Debug, Serialize)]
struct Borne {
    pool: PoolId,
    from_shares_sat: u64,
    from_exits_sat: u64,
}

/// What a pool got back of what it had lost, and who of it.
#[derive(Debug, Serialize)]
struct Gained {
    pool: PoolId,
    to_shares_sat: u64,
    to_exits_sat: u64,
}

/// What a pool has and owes nobody, if there is any.
pub(super) fn surplus(backing: Backing) -> Option<u64> {
    Some(backing.surplus().to_sat()).filter(|sat| *sat > 0)
}

/// Looks at the book before an entry. What is returned looks at it after the entry, and tells what has come of that.
pub(super) fn watch<'e>(book: &Book, event: &'e Event) -> Box<dyn FnOnce(&Book) -> Outcome + 'e> {
    let told = |outcome: Outcome| Box::new(move |_: &Book| outcome);
    match event {
        Event::Claim { stake, service } => told(Outcome {
            paid_to: book.stake(stake).ok().map(|stake| stake.owner.to_string()),
            ..paid(book, service, book.claimable(stake, service).unwrap_or(0))
        }),
        Event::ClaimCommission { service, provider } => {
            let owed = book.provider(service, provider).map_or(0, |view| view.rewards.commission);
            told(Outcome { paid_to: Some(provider.to_string()), ..paid(book, service, owed) })
        }
        Event::Reward { service, provider, denomination, .. } => {
            let rewards = |book: &Book| book.provider(service, provider).ok().map(|view| *view.rewards);
            let before = rewards(book).map_or(0, |rewards| rewards.commission);
            Box::new(move |book| {
                let Some(Rewards { commission, held, .. }) = rewards(book) else { return Outcome::default() };
                let text = |number: u128| Some(number.to_string()).filter(|_| number > 0);
                let denomination = Some(denomination.clone());
                Outcome {
                    commission: text(commission.saturating_sub(before)),
                    held: text(held),
                    denomination,
                    ..Outcome::default()
                }
            })
        }
        Event::GiveBack { service, provider } => {
            let given =
                |book: &Book| book.provider(service, provider).map_or(0, |view| view.rewards.given_back);
            let before = given(book);
            Box::new(move |book| Outcome {
                given_back: Some(given(book).saturating_sub(before).to_string()),
                denomination: denomination(book, service),
                ..Outcome::default()
            })
        }
        Event::Allocate { stake, service, .. } => Box::new(|book| {
            let Ok(exposure) = book.exposure(stake) else { return Outcome::default() };
            let counted = exposure.nominal.get(service).copied().unwrap_or(0);
            Outcome {
                leaving: Some(Left::of(&exposure)),
                counted_sat: u64::try_from(counted).ok(),
                leverage: exposure.leverage_floor(),
                ..Outcome::default()
            }
        }),
        Event::EndStake { stake, .. } | Event::ReturnStake { stake, .. } => {
            Box::new(|book| Outcome::of_stake(book, stake))
        }
        Event::ReviveStake { stake } => {
            let before = Before::of(book);
            Box::new(move |book| Outcome {
                status: status(book, stake),
                borne: before.hit(book),
                ..Outcome::of_stake(book, stake)
            })
        }
        Event::ExpandStake { of, stake, holder } => {
            // A stake takes its place in the pool of the one that it expands.
            let pool = book.minted_in(of).ok().flatten().cloned();
            let shares_of = pool.clone();
            let shares = move |book: &Book| pool.as_ref().map_or(0, |pool| supply(book, pool));
            let (had, before, newcomer) = (shares(book), Before::of(book), newcomer(book, holder.as_ref()));
            Box::new(move |book| {
                let minted = Some(shares(book).saturating_sub(had)).filter(|minted| *minted > 0);
                Outcome {
                    new_holder: newcomer.filter(|_| minted.is_some()),
                    shares: minted.map(|minted| minted.to_string()),
                    shares_of,
                    status: status(book, &stake.outpoint()),
                    borne: before.hit(book),
                    ..Outcome::of_stake(book, &stake.outpoint())
                }
            })
        }
        Event::Slash { provider } => {
            let (losses, before) = (book.losses(provider), Before::of(book));
            Box::new(move |book| Outcome { borne: Some(before.borne(book)), ..Outcome::of_losses(&losses) })
        }
        Event::MakeGood { pool, .. }
        | Event::WriteDown { pool, .. }
        | Event::WriteUp { pool, .. }
        | Event::TakeCash { pool, .. }
        | Event::TakeReward { pool, .. } => {
            let before = Before::of(book);
            Box::new(move |book| {
                let backing = book.pool(pool).ok().map(|pool| pool.backing());
                Outcome {
                    borne: Some(before.borne(book)),
                    gained: before.gained(book),
                    missing_sat: backing.map(|backing| backing.missing().to_sat()),
                    surplus_sat: backing.and_then(surplus),
                    ..Outcome::default()
                }
            })
        }
        Event::Mint { pool, holder, .. } => moved(book, pool, pool, supply, Some(holder)),
        Event::LrtDeposit { pool, holder, .. } => moved(
            book,
            pool,
            pool,
            |book, pool| book.lrt_pool(pool).map_or(0, |(lrt, _)| lrt.supply()),
            Some(holder),
        ),
        Event::LrtRedeem { pool, .. } => {
            let beneath = book.lrt_pools().find(|(name, ..)| *name == pool).map_or(pool, |(_, over, _)| over);
            let assets: Number = |book, pool| book.lrt_pool(pool).map_or(0, |(lrt, _)| lrt.assets());
            moved(book, pool, beneath, assets, None)
        }
        Event::Transfer { to, .. } | Event::LrtTransfer { to, .. } => {
            told(Outcome { new_holder: newcomer(book, Some(to)), ..Outcome::default() })
        }
        Event::RequestExit { pool, .. } | Event::RequestWithdrawal { pool, .. } => Box::new(move |book| {
            // The newest exit is the last.
            let newest = book.pool(pool).ok().and_then(|pool| pool.queue().iter().last());
            let Some((id, exit)) = newest else { return Outcome::default() };
            Outcome {
                exit: Some(id.0),
                shares: Some(exit.shares.to_string()),
                shares_of: Some(pool.clone()),
                quoted_sat: Some(exit.quoted.to_sat()),
                matures_at: Some(exit.matures_at),
                ..Outcome::default()
            }
        }),
        Event::FinaliseExit { pool, exit } => {
            let waits = book.pool(pool).ok().and_then(|pool| pool.queue().get(*exit));
            let to = waits.map(|exit| exit.holder.to_string());
            let flows = |book: &Book| book.pool(pool).map_or(0, |pool| pool.flows().paid);
            let before = flows(book);
            Box::new(move |book| Outcome {
                exit: Some(exit.0),
                paid_sat: u64::try_from(flows(book).saturating_sub(before)).ok(),
                paid_to: to,
                ..Outcome::default()
            })
        }
        _ => told(Outcome::default()),
    }
}

fn denomination(book: &Book, service: &ServiceId) -> Option<Denomination> {
    book.service(service).ok().map(|view| view.terms.denomination.clone())
}

fn paid(book: &Book, service: &ServiceId, paid: u128) -> Outcome {
    Outcome { paid: Some(paid.to_string()), denomination: denomination(book, service), ..Outcome::default() }
}

fn status(book: &Book, stake: &OutPoint) -> Option<&'static str> {
    book.stake(stake).ok().map(|stake| show::status(stake.status).0)
}

fn leaving(book: &Book, stake: &OutPoint) -> Option<BTreeMap<ServiceId, Left>> {
    book.exposure(stake).ok().map(|exposure| Left::of(&exposure))
}

fn supply(book: &Book, pool: &PoolId) -> u128 {
    book.pool(pool).map_or(0, |pool| pool.supply())
}

/// A number of a pool.
type Number = fn(&Book, &PoolId) -> u128;

/// Shares of `of` that move are as many as this number of a pool changes by.
fn moved<'e>(
    book: &Book,
    pool: &'e PoolId,
    of: &PoolId,
    number: Number,
    to: Option<&HolderId>,
) -> Box<dyn FnOnce(&Book) -> Outcome + 'e> {
    let (before, new_holder, of) = (number(book, pool), newcomer(book, to), of.clone());
    Box::new(move |book| Outcome {
        shares: Some(number(book, pool).abs_diff(before).to_string()),
        shares_of: Some(of),
        new_holder,
        ..Outcome::default()
    })
}

/// Who gets shares, if neither shares nor a waiting exit are theirs.
fn newcomer(book: &Book, holder: Option<&HolderId>) -> Option<HolderId> {
    let holder = holder?;
    let known = book.pools().any(|(_, pool)| {
        pool.balance(holder) > 0 || pool.queue().iter().any(|(_, exit)| exit.holder == *holder)
    }) || book.lrt_pools().any(|(_, _, pool)| pool.balance(holder) > 0);
    (!known).then(|| holder.clone())
}

/// What every pool has lost and got back, and what its exits waited for before an entry.
struct Before(BTreeMap<PoolId, (Flows, Amount)>);

impl Before {
    fn of(book: &Book) -> Self {
        let pools = book.pools().map(|(name, pool)| (name.clone(), (*pool.flows(), pool.queue().total())));
        Before(pools.collect())
    }

    /// How far a sum of each pool has moved since then, if it has: from or to its shares, and from or to its exits. What exits
    /// have not borne or got, shares have.
    fn moved(&self, book: &Book, sum: fn(&Flows) -> u128) -> Vec<(PoolId, u64, u64)> {
        let moved = self.0.iter().filter_map(|(name, (flows, queued))| {
            let pool = book.pool(name).ok()?;
            let moved = sum(pool.flows()).checked_sub(sum(flows)).and_then(|sat| u64::try_from(sat).ok())?;
            let exits = pool.queue().total().to_sat().abs_diff(queued.to_sat());
            (moved > 0).then(|| (name.clone(), moved.saturating_sub(exits), exits))
        });
        moved.collect()
    }

    /// Who has borne what since then.
    fn borne(&self, book: &Book) -> Vec<Borne> {
        let borne = self.moved(book, |flows| flows.lost).into_iter();
        borne
            .map(|(pool, from_shares_sat, from_exits_sat)| Borne { pool, from_shares_sat, from_exits_sat })
            .collect()
    }

    /// The same, if anybody has.
    fn hit(&self, book: &Book) -> Option<Vec<Borne>> {
        Some(self.borne(book)).filter(|borne| !borne.is_empty())
    }

    /// Who has got back what since then.
    fn gained(&self, book: &Book) -> Vec<Gained> {
        let gained = self.moved(book, |flows| flows.recovered).into_iter();
        gained
            .map(|(pool, to_shares_sat, to_exits_sat)| Gained { pool, to_shares_sat, to_exits_sat })
            .collect()
    }
}

impl Outcome {
    /// What an exit is paid.
    pub(super) fn of_exit(exit: ExitId, PaidExit { holder, paid, .. }: PaidExit) -> Self {
        Outcome {
            exit: Some(exit.0),
            paid_sat: Some(paid.to_sat()),
            paid_to: Some(holder.to_string()),
            ..Outcome::default()
        }
    }

    /// What a slashing takes.
    fn of_losses(losses: &[Loss]) -> Self {
        let rows = losses.iter().map(|loss| LossRow { stake: loss.outpoint, lost_sat: loss.amount.to_sat() });
        let lost = losses.iter().map(|loss| loss.amount.to_sat()).sum();
        Outcome { losses: Some(rows.collect()), lost_sat: Some(lost), ..Outcome::default() }
    }

    /// What a stake still stands for, and what its pool misses or has left over, if it has one.
    fn of_stake(book: &Book, stake: &OutPoint) -> Self {
        let pool = book.minted_in(stake).ok().flatten();
        let state = pool.and_then(|pool| book.pool(pool).ok());
        Outcome {
            pool: pool.cloned(),
            missing_sat: state.map(|state| state.backing().missing().to_sat()),
            surplus_sat: state.and_then(|state| surplus(state.backing())),
            leaving: leaving(book, stake),
            ..Outcome::default()
        }
    }

    pub(super) const fn new_holder(&self) -> Option<&HolderId> {
        self.new_holder.as_ref()
    }

    pub(super) const fn lost_sat(&self) -> Option<u64> {
        self.lost_sat
    }

    pub(super) fn rows(&self) -> Vec<(&'static str, String)> {
        let coins = |number: &String| format!("{number} {}", text(self.denomination.as_ref()));
        let sat = |sat: u64| format!("{sat} sat");
        let mut rows = Vec::new();
        rows.extend(self.exit.map(|exit| ("exit", exit.to_string())));
        rows.extend(self.paid.iter().map(|paid| ("paid", coins(paid))));
        rows.extend(self.paid_sat.map(|paid| ("paid", sat(paid))));
        rows.extend(self.paid_to.iter().map(|to| ("paid to", to.clone())));
        rows.extend(self.commission.iter().map(|part| ("commission", coins(part))));
        rows.extend(self.held.iter().map(|held| {
            ("held", format!("{}: nothing is staked; tapstake book give-back returns it", coins(held)))
        }));
        rows.extend(self.given_back.iter().map(|back| ("given back", coins(back))));
        rows.extend(self.pool.iter().map(|pool| ("pool", pool.to_string())));
        let of = self.shares_of.as_ref().map(|pool| format!(" of {pool}")).unwrap_or_default();
        rows.extend(self.shares.iter().map(|shares| ("shares", format!("{shares}{of}"))));
        rows.extend(self.new_holder.iter().map(|name| ("new holder", name.to_string())));
        rows.extend(self.quoted_sat.map(|quoted| ("worth now", sat(quoted))));
        rows.extend(self.matures_at.map(|height| ("may be paid at", format!("height {height}"))));
        for loss in self.losses.iter().flatten() {
            rows.push(("slashed", format!("{} loses {} sat", loss.stake, loss.lost_sat)));
        }
        rows.extend(self.lost_sat.map(|lost| ("lost in all", sat(lost))));
        rows.extend(self.status.map(|status| ("stake is", status.to_owned())));
        rows.extend(
            self.missing_sat
                .filter(|missing| *missing > 0)
                .map(|missing| ("pool misses in all", sat(missing))),
        );
        rows.extend(self.surplus_sat.map(|surplus| ("owed to nobody", sat(surplus))));
        rows.extend(self.counted_sat.map(|counted| ("counted now", sat(counted))));
        rows.extend(self.leverage.map(|leverage| ("leverage", leverage.to_string())));
        for (service, Left { nominal_sat, until }) in self.leaving.iter().flatten() {
            rows.push(("still stands for", format!("{service}: {nominal_sat} sat below height {until}")));
        }
        for Borne { pool, from_shares_sat, from_exits_sat } in self.borne.iter().flatten() {
            rows.push((
                "borne",
                format!("in {pool}: {from_shares_sat} sat by shares, {from_exits_sat} sat by exits"),
            ));
        }
        for Gained { pool, to_shares_sat, to_exits_sat } in &self.gained {
            rows.push((
                "given",
                format!("in {pool}: {to_shares_sat} sat to shares, {to_exits_sat} sat to exits"),
            ));
        }
        rows
    }
}

fn text(value: Option<&impl ToString>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}
