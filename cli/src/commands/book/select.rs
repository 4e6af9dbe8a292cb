//! A part of the books: what somebody asks about, or what a holder has.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{Amount, OutPoint};
use serde::Serialize;
use tapstake_crypto::pop::Account;
use tapstake_ledger::{Head, Ledger};
use tapstake_params::Height;
use tapstake_restake::{Book, BookError, Denomination, HolderId, PoolId, ServiceId, StakeView};

use super::name;
use super::show::{self, ExitRow, Lrt, Pool, Service, Stake, rows};
use crate::network::NetworkName;
use crate::output::{Show, facts};

#[derive(Debug, clap::Args)]
pub(super) struct Filters {
    /// Only this stake, with what it counts for and can claim
    #[arg(long, value_name = "OUTPOINT")]
    stake: Option<OutPoint>,
    /// Only this pool, with its holders, its exits, and the stakes behind it
    #[arg(long, value_name = "NAME", value_parser = name::<PoolId>)]
    pool: Option<PoolId>,
    /// Only this service, with the stakes that count for it, that it still relies on, or that can claim from it
    #[arg(long, value_name = "NAME", value_parser = name::<ServiceId>)]
    service: Option<ServiceId>,
    /// Only the stakes of this owner, such as text:ann, with what they count for and can claim
    #[arg(long, value_name = "ACCOUNT")]
    owner: Option<Account>,
    /// What this holder has: shares by pool with what they would bring now, and exits that wait
    #[arg(long, value_name = "NAME", value_parser = name::<HolderId>, conflicts_with_all = ["stake", "service", "owner"])]
    holder: Option<HolderId>,
}

impl Filters {
    pub(super) const fn any(&self) -> bool {
        self.stake.is_some()
            || self.pool.is_some()
            || self.service.is_some()
            || self.owner.is_some()
            || self.holder.is_some()
    }
}

/// What is asked about, and no more.
#[derive(Serialize)]
pub(super) struct Selected {
    network: NetworkName,
    height: Height,
    entries: u64,
    head: Head,
    #[serde(skip_serializing_if = "Option::is_none")]
    holder: Option<HolderId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    services: Option<Vec<Service>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stakes: Option<Vec<Stake>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pools: Option<Vec<Pool>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pools_over_receipts: Option<Vec<Lrt>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    holdings: Option<Vec<Holding>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exits: Option<Vec<Waiting>>,
    #[serde(skip)]
    coins: BTreeMap<ServiceId, Denomination>,
}

/// Shares of a holder.
#[derive(Serialize)]
struct Holding {
    pool: PoolId,
    holder: HolderId,
    shares: String,
    /// What giving them up would bring now, rounded down.
    worth_sat: Option<u64>,
}

/// An exit that waits in a pool.
#[derive(Serialize)]
struct Waiting {
    pool: PoolId,
    #[serde(flatten)]
    row: ExitRow,
}

impl Selected {
    pub(super) fn of(filters: &Filters, ledger: &Ledger) -> Result<Self, BookError> {
        let book = ledger.book();
        let mut selected = Selected {
            network: ledger.network().into(),
            height: book.height(),
            entries: book.entries(),
            head: ledger.head(),
            holder: filters.holder.clone(),
            services: None,
            stakes: None,
            pools: None,
            pools_over_receipts: None,
            holdings: None,
            exits: None,
            coins: book.services().map(|view| (view.name.clone(), view.terms.denomination.clone())).collect(),
        };
        let asked = filters.pool.as_ref();
        if let Some(name) = asked {
            // Refused if it is neither.
            book.lrt_pool(name).map(drop).or_else(|_| book.pool(name).map(drop))?;
        }
        if let Some(holder) = &filters.holder {
            selected.holdings = Some(holdings(book, asked, Some(holder))?);
            let pools = book.pools().filter(|(name, _)| asked.is_none_or(|asked| asked == *name));
            let exits = pools.flat_map(|(name, pool)| pool.queue().iter().map(move |exit| (name, exit)));
            let own = exits.filter(|(_, (_, exit))| exit.holder == *holder);
            let waiting = own.map(|(pool, (id, exit))| Waiting {
                pool: pool.clone(),
                row: ExitRow { exit: id.0, state: exit.clone() },
            });
            selected.exits = Some(waiting.collect());
            return Ok(selected);
        }
        if let Some(name) = asked {
            let over = book.lrt_pools().filter(|(pool, ..)| *pool == name);
            let over = over.map(|(name, over, lrt)| Ok(show::lrt(name, over, lrt, book.pool(over)?)));
            let pools = book.pools().filter(|(pool, _)| *pool == name);
            selected.pools = Some(pools.map(|(name, pool)| show::pool(name.as_str(), pool)).collect());
            selected.pools_over_receipts = Some(over.collect::<Result<_, BookError>>()?);
            selected.holdings = Some(holdings(book, asked, None)?);
        }
        if let Some(service) = &filters.service {
            selected.services = Some(vec![show::service(book, service)?]);
        }
        selected.stakes = Some(stakes(book, filters)?);
        Ok(selected)
    }
}

/// The shares of a holder, or of all, in a pool, or in every one.
fn holdings(
    book: &Book,
    asked: Option<&PoolId>,
    holder: Option<&HolderId>,
) -> Result<Vec<Holding>, BookError> {
    let mut found = Vec::new();
    let mut add = |pool: &PoolId, of: &HolderId, shares: u128, worth: Option<Amount>| {
        if asked.is_none_or(|asked| asked == pool) && holder.is_none_or(|holder| holder == of) {
            let worth_sat = worth.map(Amount::to_sat);
            found.push(Holding {
                pool: pool.clone(),
                holder: of.clone(),
                shares: shares.to_string(),
                worth_sat,
            });
        }
    };
    for (name, pool) in book.pools() {
        pool.holders().for_each(|(holder, shares)| add(name, holder, shares, pool.value_floor(shares)));
    }
    for (name, over, lrt) in book.lrt_pools() {
        let beneath = book.pool(over)?;
        let worth = |shares| lrt.redemption_floor(shares).and_then(|shares| beneath.value_floor(shares));
        lrt.holders().for_each(|(holder, shares)| add(name, holder, shares, worth(shares)));
    }
    found.sort_by(|one, other| (&one.pool, &one.holder).cmp(&(&other.pool, &other.holder)));
    Ok(found)
}

/// The stakes that all the filters leave. Behind a pool over receipts are those of the pool beneath.
fn stakes(book: &Book, filters: &Filters) -> Result<Vec<Stake>, BookError> {
    let Filters { stake, pool, service, owner, .. } = filters;
    let beneath = |pool| book.lrt_pools().find(|(name, ..)| *name == pool).map_or(pool, |(_, over, _)| over);
    let behind = pool.as_ref().map(beneath);
    let mut found = Vec::new();
    let all: Box<dyn Iterator<Item = StakeView<'_>>> = match stake {
        Some(stake) => Box::new(std::iter::once(book.stake(stake)?)),
        None => Box::new(book.stakes()),
    };
    for view in all {
        let other_owner = owner.as_ref().is_some_and(|owner| owner != view.owner);
        if other_owner || (behind.is_some() && book.minted_in(&view.outpoint)? != behind) {
            continue;
        }
        let row = show::stake(book, &view.outpoint)?;
        let concerns = |service| {
            row.nominal_sat.contains_key(service)
                || row.leaving.contains_key(service)
                || row.claimable.contains_key(service)
        };
        if service.as_ref().is_none_or(concerns) {
            found.push(row);
        }
    }
    Ok(found)
}

impl Show for Selected {
    fn text(&self) -> String {
        let mut begin = vec![
            ("network", self.network.to_string()),
            ("height", self.height.to_string()),
            ("entries", self.entries.to_string()),
            ("hash", self.head.to_string()),
        ];
        begin.extend(self.holder.iter().map(|holder| ("holder", holder.to_string())));
        let mut parts = vec![facts(begin)];
        parts.extend(self.services.as_deref().map(show::services_text));
        if let Some(stakes) = &self.stakes {
            parts.push(show::stakes_text(stakes));
            parts.extend(self.counts_text(stakes));
            parts.extend(show::leaving_text(stakes));
        }
        parts.extend(self.pools.as_deref().filter(|pools| !pools.is_empty()).map(show::pools_text));
        parts.extend(self.pools_over_receipts.as_deref().and_then(show::over_text));
        let (holdings, exits) = (self.holdings_text(), self.exits_text());
        if let (Some(holder), None, None) = (&self.holder, &holdings, &exits) {
            parts.push(format!("{holder} has no shares, and no exit of {holder} waits"));
        }
        parts.extend(holdings);
        parts.extend(exits);
        parts.join("\n\n")
    }
}

impl Selected {
    /// What stakes count for, and what they can claim.
    fn counts_text(&self, stakes: &[Stake]) -> Option<String> {
        let counts = stakes.iter().flat_map(|stake| {
            let services: BTreeSet<_> = stake.nominal_sat.keys().chain(stake.claimable.keys()).collect();
            services.into_iter().map(|service| {
                let counted = stake.nominal_sat.get(service).cloned().unwrap_or("0".to_owned());
                let owed = stake.claimable.get(service).map_or("0", String::as_str);
                let coin = self.coins.get(service).map(ToString::to_string).unwrap_or_default();
                let owed = format!("{owed} {coin}");
                vec![stake.stake.to_string(), service.to_string(), counted, owed, stake.owner.clone()]
            })
        });
        let header = ["stake", "counts for", "counted sat", "can claim", "owner"];
        rows(&header, &header[2..4], counts)
    }

    fn holdings_text(&self) -> Option<String> {
        let holdings = self.holdings.iter().flatten().map(|Holding { pool, holder, shares, worth_sat }| {
            let worth = worth_sat.map(|sat| sat.to_string()).unwrap_or_default();
            vec![pool.to_string(), holder.to_string(), shares.clone(), worth]
        });
        rows(&["pool", "holder", "shares", "worth sat"], &["shares", "worth sat"], holdings)
    }

    fn exits_text(&self) -> Option<String> {
        let own = self.exits.iter().flatten().map(|Waiting { pool, row }| (pool.as_str(), row));
        let of_pools = self.pools.iter().flatten();
        let of_pools = of_pools.flat_map(|pool| pool.exits.iter().map(|row| (pool.name.as_str(), row)));
        let exits = own.chain(of_pools).map(|(pool, ExitRow { exit, state })| {
            vec![
                pool.to_owned(),
                exit.to_string(),
                state.holder.to_string(),
                state.shares.to_string(),
                state.quoted.to_sat().to_string(),
                state.claim.to_sat().to_string(),
                format!("height {}", state.matures_at),
            ]
        });
        let header = ["pool", "exit", "holder", "shares given up", "quoted sat", "owed sat", "due from"];
        rows(&header, &["exit", "shares given up", "quoted sat", "owed sat"], exits)
    }
}
