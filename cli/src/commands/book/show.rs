//! The state of the books, as tables or as one document.

use std::collections::BTreeMap;

use bitcoin::{Amount, OutPoint, XOnlyPublicKey};
use serde::Serialize;
use tapstake_ledger::{Head, Ledger};
use tapstake_params::Height;
use tapstake_restake::{
    Backing, Book, BookError, Exit, Flows, LrtExposure, LrtPool, Nav, PartsPerMillion, PoolId, PooledStake,
    PooledStatus, Rewards, ServiceId, ServiceTerms, StakeExposure, StakeStatus,
};

use super::BookFile;
use super::refusal::{by_book, named};
use super::select::{Filters, Selected};
use super::words::percent;
use crate::error::Result;
use crate::network::NetworkName;
use crate::output::{Show, facts, table};
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    filters: Filters,
    #[command(flatten)]
    book: BookFile,
}

/// Everything that the books say.
#[derive(Serialize)]
pub(super) struct State {
    network: NetworkName,
    height: Height,
    entries: u64,
    head: Head,
    pub(super) services: Vec<Service>,
    pub(super) stakes: Vec<Stake>,
    slashed_providers: BTreeMap<XOnlyPublicKey, Height>,
    pub(super) pools: Vec<Pool>,
    pub(super) pools_over_receipts: Vec<Lrt>,
}

#[derive(Serialize)]
pub(super) struct Service {
    pub(super) name: String,
    #[serde(flatten)]
    pub(super) terms: ServiceTerms,
    pub(super) stakes: u64,
    pub(super) nominal_sat: String,
    pub(super) slashable_sat: u64,
    pub(super) lost_sat: u64,
    /// How many stakes have left it and still stand for it.
    pub(super) leaving: u64,
    pub(super) leaving_slashable_sat: u64,
    pub(super) providers: Vec<Provider>,
}

/// Amounts of rewards are texts of base units.
#[derive(Serialize)]
pub(super) struct Provider {
    pub(super) provider: XOnlyPublicKey,
    pub(super) commission: PartsPerMillion,
    pub(super) slashed_at: Option<Height>,
    pub(super) staked_sat: u64,
    /// What a slashing of it would take at most of the stakes that count for the service.
    pub(super) slashable_sat: u64,
    pub(super) put_in: String,
    pub(super) paid: String,
    pub(super) commission_owed: String,
    pub(super) commission_paid: String,
    pub(super) held: String,
    pub(super) given_back: String,
    /// In 1e-18 base units.
    pub(super) carry: String,
    /// What one sat has earned since the beginning, as a decimal.
    pub(super) per_sat: String,
}

#[derive(Serialize)]
pub(super) struct Stake {
    pub(super) stake: OutPoint,
    pub(super) value_sat: u64,
    /// What a slashing would take now, at most.
    pub(super) slashable_sat: u64,
    /// What a slashing has left of it, as long as its pool has not got that back.
    pub(super) rest_sat: Option<u64>,
    pub(super) owner: String,
    pub(super) status: &'static str,
    /// The first height at which a stake that unbonds or has expired can be withdrawn.
    pub(super) withdrawable_at: Option<Height>,
    pub(super) expires_at: Height,
    pub(super) pool: Option<String>,
    pub(super) nominal_sat: BTreeMap<ServiceId, String>,
    pub(super) leaving: BTreeMap<ServiceId, Left>,
    /// What is leaving counts with the rest.
    pub(super) leverage: Option<PartsPerMillion>,
    pub(super) claimable: BTreeMap<ServiceId, String>,
}

/// What a stake has counted for at a service and still stands for.
#[derive(Debug, Serialize)]
pub(super) struct Left {
    pub(super) nominal_sat: String,
    /// The first height at which the service relies on it no more.
    pub(super) until: Height,
}

impl Left {
    /// By service.
    pub(super) fn of(exposure: &StakeExposure) -> BTreeMap<ServiceId, Self> {
        let left = exposure.leaving.iter().map(|(service, left)| {
            (service.clone(), Left { nominal_sat: left.nominal.to_string(), until: left.until })
        });
        left.collect()
    }
}

#[derive(Serialize)]
pub(super) struct Pool {
    pub(super) name: String,
    pub(super) supply: String,
    pub(super) nav: Nav,
    pub(super) assets_sat: u64,
    pub(super) cash_sat: u64,
    pub(super) queued_sat: u64,
    pub(super) backing: Backing,
    pub(super) backing_ratio: Option<PartsPerMillion>,
    pub(super) missing_sat: u64,
    /// What it has and owes nobody.
    pub(super) surplus_sat: u64,
    pub(super) frozen: bool,
    pub(super) flows: Flows,
    pub(super) holders: BTreeMap<String, String>,
    pub(super) stakes: BTreeMap<OutPoint, PooledStake>,
    pub(super) exits: Vec<ExitRow>,
}

#[derive(Serialize)]
pub(super) struct ExitRow {
    pub(super) exit: u64,
    #[serde(flatten)]
    pub(super) state: Exit,
}

#[derive(Serialize)]
pub(super) struct Lrt {
    pub(super) name: String,
    pub(super) over: String,
    pub(super) supply: String,
    /// Shares of the pool beneath.
    pub(super) assets: String,
    /// The parts of them that services count.
    pub(super) services: BTreeMap<ServiceId, PartsPerMillion>,
    pub(super) exposure: Option<LrtExposure>,
    pub(super) holders: BTreeMap<String, String>,
}

impl State {
    pub(super) fn of(ledger: &Ledger) -> Result<Self> {
        Self::read(ledger).map_err(by_book)
    }

    fn read(ledger: &Ledger) -> Result<Self, BookError> {
        let book = ledger.book();
        let services = book.services().map(|service| self::service(book, service.name));
        let stakes = book.stakes().map(|stake| self::stake(book, &stake.outpoint));
        let pools_over_receipts =
            book.lrt_pools().map(|(name, over, lrt)| Ok(self::lrt(name, over, lrt, book.pool(over)?)));
        Ok(State {
            network: ledger.network().into(),
            height: book.height(),
            entries: book.entries(),
            head: ledger.head(),
            services: services.collect::<Result<_, _>>()?,
            stakes: stakes.collect::<Result<_, _>>()?,
            slashed_providers: book.slashed_providers().collect(),
            pools: book.pools().map(|(name, state)| pool(name.as_str(), state)).collect(),
            pools_over_receipts: pools_over_receipts.collect::<Result<_, BookError>>()?,
        })
    }
}

pub(super) fn service(book: &Book, name: &ServiceId) -> Result<Service, BookError> {
    let view = book.service(name)?;
    let providers = book.providers(name)?.into_iter().map(|view| {
        let Rewards { staked, put_in, commission, commission_paid, paid, held, given_back, carry, per_sat } =
            *view.rewards;
        let [put_in, owed, commission_paid, paid, held, given_back, carry] =
            [put_in, commission, commission_paid, paid, held, given_back, carry]
                .map(|number| number.to_string());
        let lost = book.losses(&view.provider).into_iter().map(|loss| loss.outpoint);
        let counts =
            |stake: &OutPoint| book.exposure(stake).is_ok_and(|exposure| exposure.nominal.contains_key(name));
        let slashable = lost.filter(counts).filter_map(|stake| Some(book.stake(&stake).ok()?.slashable));
        Provider {
            provider: view.provider,
            commission: view.commission,
            slashed_at: view.slashed,
            staked_sat: staked,
            slashable_sat: slashable.map(Amount::to_sat).sum(),
            put_in,
            paid,
            commission_owed: owed,
            commission_paid,
            held,
            given_back,
            carry,
            per_sat: per_sat.to_string(),
        }
    });
    Ok(Service {
        name: name.to_string(),
        terms: view.terms.clone(),
        stakes: view.exposure.stakes,
        nominal_sat: view.exposure.nominal.to_string(),
        slashable_sat: view.exposure.slashable.to_sat(),
        lost_sat: view.exposure.lost.to_sat(),
        leaving: view.leaving,
        leaving_slashable_sat: view.leaving_slashable.to_sat(),
        providers: providers.collect(),
    })
}

pub(super) fn stake(book: &Book, outpoint: &OutPoint) -> Result<Stake, BookError> {
    let (view, exposure) = (book.stake(outpoint)?, book.exposure(outpoint)?);
    let claims = book.claims(outpoint)?.into_iter();
    let (status, withdrawable_at) = self::status(view.status);
    let pool = book.minted_in(outpoint)?;
    let pooled = pool.and_then(|pool| book.pool(pool).ok()?.stake(outpoint).copied());
    let slashed = pooled.filter(|pooled| pooled.status == PooledStatus::Slashed);
    let lives = matches!(
        view.status,
        StakeStatus::Active | StakeStatus::Unbonding { .. } | StakeStatus::Expired { .. }
    );
    Ok(Stake {
        stake: *outpoint,
        value_sat: view.value.to_sat(),
        slashable_sat: if lives { view.slashable.to_sat() } else { 0 },
        rest_sat: slashed.map(|pooled| pooled.value.to_sat()),
        owner: view.owner.to_string(),
        status,
        withdrawable_at,
        expires_at: view.expires_at,
        pool: pool.map(ToString::to_string),
        leverage: exposure.leverage_floor(),
        leaving: Left::of(&exposure),
        nominal_sat: exposure.nominal.into_iter().map(|(name, sat)| (name, sat.to_string())).collect(),
        claimable: claims.map(|(service, owed)| (service.clone(), owed.to_string())).collect(),
    })
}

/// A word for where a stake is, and from when on it can be withdrawn.
pub(super) const fn status(status: StakeStatus) -> (&'static str, Option<Height>) {
    match status {
        StakeStatus::Active => ("active", None),
        StakeStatus::Unbonding { until } => ("unbonding", Some(until)),
        StakeStatus::Expired { until } => ("expired", Some(until)),
        StakeStatus::Returned => ("returned", None),
        StakeStatus::Spent => ("spent", None),
        StakeStatus::Expanded => ("expanded", None),
        StakeStatus::Slashed => ("slashed", None),
    }
}

pub(super) fn lrt(name: &PoolId, over: &PoolId, state: &LrtPool, beneath: &tapstake_restake::Pool) -> Lrt {
    Lrt {
        name: name.to_string(),
        over: over.to_string(),
        supply: state.supply().to_string(),
        assets: state.assets().to_string(),
        services: state.services().clone(),
        exposure: state.exposure(beneath).ok(),
        holders: state.holders().map(|(name, shares)| (name.to_string(), shares.to_string())).collect(),
    }
}

pub(super) fn pool(name: &str, state: &tapstake_restake::Pool) -> Pool {
    let exits = state.queue().iter().map(|(id, exit)| ExitRow { exit: id.0, state: exit.clone() });
    Pool {
        name: name.to_owned(),
        supply: state.supply().to_string(),
        nav: state.nav_floor(),
        assets_sat: state.assets().to_sat(),
        cash_sat: state.cash().to_sat(),
        queued_sat: state.queue().total().to_sat(),
        backing: state.backing(),
        backing_ratio: state.backing().ratio_floor(),
        missing_sat: state.backing().missing().to_sat(),
        surplus_sat: state.backing().surplus().to_sat(),
        frozen: state.is_frozen(),
        flows: *state.flows(),
        holders: state.holders().map(|(name, shares)| (name.to_string(), shares.to_string())).collect(),
        stakes: state.stakes().map(|(outpoint, pooled)| (*outpoint, *pooled)).collect(),
        exits: exits.collect(),
    }
}

impl Show for State {
    fn text(&self) -> String {
        let mut parts = vec![facts([
            ("network", self.network.to_string()),
            ("height", self.height.to_string()),
            ("entries", self.entries.to_string()),
            ("hash", self.head.to_string()),
        ])];
        parts.extend([services_text(&self.services), stakes_text(&self.stakes), pools_text(&self.pools)]);
        parts.extend(leaving_text(&self.stakes));
        let exits = self.pools.iter().flat_map(|pool| {
            let row = |ExitRow { exit, state }: &ExitRow| {
                let claim = state.claim.to_sat().to_string();
                let (holder, from) = (state.holder.to_string(), format!("height {}", state.matures_at));
                vec![pool.name.clone(), exit.to_string(), holder, claim, from]
            };
            pool.exits.iter().map(row)
        });
        parts.extend(rows(&["pool", "exit", "holder", "owed sat", "due from"], &["exit", "owed sat"], exits));
        parts.extend(over_text(&self.pools_over_receipts));
        parts.join("\n\n")
    }
}

pub(super) fn leaving_text(stakes: &[Stake]) -> Option<String> {
    let left = stakes.iter().flat_map(|stake| {
        let row = |(service, left): (&ServiceId, &Left)| {
            let (stake, sat) = (stake.stake.to_string(), left.nominal_sat.clone());
            vec![service.to_string(), stake, sat, format!("height {}", left.until)]
        };
        stake.leaving.iter().map(row)
    });
    rows(&["service", "still relies on", "counted sat", "below"], &["counted sat"], left)
}

pub(super) fn over_text(pools: &[Lrt]) -> Option<String> {
    let over = pools.iter().map(|pool| {
        let worth = pool.exposure.as_ref().map(|exposure| exposure.value.to_sat().to_string());
        let services: Vec<_> = pool.services.iter().map(|(name, part)| format!("{name} {part}")).collect();
        let (supply, assets) = (pool.supply.clone(), pool.assets.clone());
        let (worth, services) = (worth.unwrap_or_default(), services.join(", "));
        vec![pool.name.clone(), pool.over.clone(), supply, assets, worth, services]
    });
    let header = ["pool", "over", "shares", "holds shares", "worth sat", "services count"];
    rows(&header, &header[2..5], over)
}

/// A table, if it has rows.
pub(super) fn rows(
    header: &[&str],
    right: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
) -> Option<String> {
    let rows: Vec<_> = rows.collect();
    (!rows.is_empty()).then(|| table(header, right, rows))
}

pub(super) fn services_text(services: &[Service]) -> String {
    let rows = services.iter().map(|service| {
        let terms = &service.terms;
        vec![
            service.name.clone(),
            terms.denomination.to_string(),
            percent(terms.slashing_rate).to_string(),
            terms.unbonding_time.blocks().to_string(),
            terms.leverage_limit.to_string(),
            service.stakes.to_string(),
            service.nominal_sat.to_string(),
            service.slashable_sat.to_string(),
            service.leaving_slashable_sat.to_string(),
            service.lost_sat.to_string(),
        ]
    });
    let header = [
        "service",
        "pays in",
        "slashing rate",
        "unbonding blocks",
        "leverage limit",
        "stakes",
        "counted sat",
        "slashable sat",
        "leaving sat",
        "lost sat",
    ];
    let terms = table(&header, &header[2..], rows);
    let providers = services.iter().flat_map(|service| {
        let row = |provider: &Provider| {
            vec![
                service.name.clone(),
                provider.provider.to_string(),
                provider.commission.to_string(),
                provider.staked_sat.to_string(),
                provider.slashable_sat.to_string(),
                format!("{} {}", provider.put_in, service.terms.denomination),
                provider.paid.clone(),
                provider.commission_paid.clone(),
                provider.commission_owed.clone(),
                provider.held.clone(),
                provider.given_back.clone(),
                provider.per_sat.clone(),
                provider.slashed_at.map(|height| format!("at {height}")).unwrap_or_default(),
            ]
        };
        service.providers.iter().map(row).collect::<Vec<_>>()
    });
    let header = [
        "at service",
        "provider",
        "commission",
        "staked sat",
        "slashable sat",
        "put in",
        "paid to stakes",
        "commission paid",
        "commission owed",
        "held",
        "given back",
        "per sat",
        "slashed",
    ];
    format!("{terms}\n\n{}", table(&header, &header[2..12], providers))
}

pub(super) fn stakes_text(stakes: &[Stake]) -> String {
    let rows = stakes.iter().map(|stake| {
        vec![
            stake.stake.to_string(),
            stake.value_sat.to_string(),
            stake.slashable_sat.to_string(),
            stake.leverage.map(|leverage| leverage.to_string()).unwrap_or_default(),
            match stake.rest_sat {
                Some(rest) => format!("{}, {rest} sat not back", stake.status),
                None => stake.status.to_owned(),
            },
            stake.withdrawable_at.map(|height| format!("height {height}")).unwrap_or_default(),
            stake.pool.clone().unwrap_or_default(),
        ]
    });
    let header = ["stake", "value sat", "slashable sat", "leverage", "status", "locked below", "pool"];
    table(&header, &header[1..4], rows)
}

pub(super) fn pools_text(pools: &[Pool]) -> String {
    let rows = pools.iter().map(|pool| {
        vec![
            pool.name.clone(),
            pool.supply.clone(),
            pool.nav.to_string(),
            pool.assets_sat.to_string(),
            pool.queued_sat.to_string(),
            pool.cash_sat.to_string(),
            pool.missing_sat.to_string(),
            pool.surplus_sat.to_string(),
            pool.backing_ratio.map(|ratio| ratio.to_string()).unwrap_or_default(),
            if pool.frozen { "frozen".to_owned() } else { String::new() },
        ]
    });
    let header = [
        "pool",
        "shares",
        "value",
        "assets sat",
        "queued sat",
        "cash sat",
        "missing sat",
        "surplus sat",
        "backing",
        "",
    ];
    table(&header, &header[1..9], rows)
}

pub(crate) fn run(args: &ShowArgs, session: &Session<'_>) -> Result<()> {
    let ledger = args.book.open(session)?;
    let refusal = |error| named(ledger.book(), error);
    match args.filters.any() {
        true => session.out.show(&Selected::of(&args.filters, &ledger).map_err(refusal)?),
        false => session.out.show(&State::of(&ledger)?),
    }
    Ok(())
}
