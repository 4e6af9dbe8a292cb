//! The state of the books, as tables or as one document.

use std::collections::BTreeMap;

use bitcoin::{OutPoint, XOnlyPublicKey};
use serde::Serialize;
use tapstake_ledger::{Head, Ledger};
use tapstake_params::Height;
use tapstake_restake::{
    Backing, Book, BookError, Exit, Flows, LrtExposure, PartsPerMillion, PooledStake, Rewards, ServiceId,
    ServiceTerms,
};

use super::BookFile;
use super::refusal::by_book;
use crate::error::Result;
use crate::network::NetworkName;
use crate::output::{Show, facts, table};
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
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
    pools_over_receipts: Vec<Lrt>,
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
    pub(super) providers: Vec<Provider>,
}

/// Amounts of rewards are texts of base units.
#[derive(Serialize)]
pub(super) struct Provider {
    pub(super) provider: XOnlyPublicKey,
    pub(super) commission: PartsPerMillion,
    pub(super) slashed_at: Option<Height>,
    pub(super) staked_sat: u64,
    pub(super) put_in: String,
    pub(super) paid: String,
    pub(super) commission_owed: String,
    pub(super) commission_paid: String,
    pub(super) held: String,
    /// In 1e-18 base units.
    pub(super) carry: String,
}

#[derive(Serialize)]
pub(super) struct Stake {
    pub(super) stake: OutPoint,
    pub(super) value_sat: u64,
    pub(super) slashable_sat: u64,
    pub(super) owner: String,
    pub(super) status: String,
    pub(super) expires_at: Height,
    pub(super) pool: Option<String>,
    pub(super) nominal_sat: BTreeMap<ServiceId, String>,
    pub(super) leverage: Option<PartsPerMillion>,
    pub(super) claimable: BTreeMap<ServiceId, String>,
}

#[derive(Serialize)]
pub(super) struct Pool {
    pub(super) name: String,
    pub(super) supply: String,
    pub(super) nav: tapstake_restake::Nav,
    pub(super) assets_sat: u64,
    pub(super) cash_sat: u64,
    pub(super) queued_sat: u64,
    pub(super) backing: Backing,
    pub(super) backing_ratio: Option<PartsPerMillion>,
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
struct Lrt {
    name: String,
    over: String,
    supply: String,
    assets: String,
    exposure: Option<LrtExposure>,
    holders: BTreeMap<String, String>,
}

impl State {
    pub(super) fn of(ledger: &Ledger) -> Result<Self> {
        Self::read(ledger).map_err(by_book)
    }

    fn read(ledger: &Ledger) -> Result<Self, BookError> {
        let book = ledger.book();
        let services = book.services().map(|service| self::service(book, service.name));
        let stakes = book.stakes().map(|stake| self::stake(book, &stake.outpoint));
        let pools_over_receipts = book.lrt_pools().map(|(name, over, lrt)| {
            let (_, beneath) = book.lrt_pool(name)?;
            Ok(Lrt {
                name: name.to_string(),
                over: over.to_string(),
                supply: lrt.supply().to_string(),
                assets: lrt.assets().to_string(),
                exposure: lrt.exposure(beneath).ok(),
                holders: lrt.holders().map(|(name, shares)| (name.to_string(), shares.to_string())).collect(),
            })
        });
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

fn service(book: &Book, name: &ServiceId) -> Result<Service, BookError> {
    let view = book.service(name)?;
    let providers = book.providers(name)?.into_iter().map(|view| {
        let Rewards { staked, put_in, commission, commission_paid, paid, held, carry, .. } = *view.rewards;
        let [put_in, owed, commission_paid, paid, held, carry] =
            [put_in, commission, commission_paid, paid, held, carry].map(|number| number.to_string());
        Provider {
            provider: view.provider,
            commission: view.commission,
            slashed_at: view.slashed,
            staked_sat: staked,
            put_in,
            paid,
            commission_owed: owed,
            commission_paid,
            held,
            carry,
        }
    });
    Ok(Service {
        name: name.to_string(),
        terms: view.terms.clone(),
        stakes: view.exposure.stakes,
        nominal_sat: view.exposure.nominal.to_string(),
        slashable_sat: view.exposure.slashable.to_sat(),
        lost_sat: view.exposure.lost.to_sat(),
        providers: providers.collect(),
    })
}

fn stake(book: &Book, outpoint: &OutPoint) -> Result<Stake, BookError> {
    let (view, exposure) = (book.stake(outpoint)?, book.exposure(outpoint)?);
    let mut claimable = BTreeMap::new();
    for service in book.services() {
        match book.claimable(outpoint, service.name)? {
            0 => {}
            owed => drop(claimable.insert(service.name.clone(), owed.to_string())),
        }
    }
    Ok(Stake {
        stake: *outpoint,
        value_sat: view.value.to_sat(),
        slashable_sat: view.slashable.to_sat(),
        owner: view.owner.to_string(),
        status: view.status.to_string(),
        expires_at: view.expires_at,
        pool: book.minted_in(outpoint)?.map(ToString::to_string),
        leverage: exposure.leverage_floor(),
        nominal_sat: exposure.nominal.into_iter().map(|(name, sat)| (name, sat.to_string())).collect(),
        claimable,
    })
}

fn pool(name: &str, state: &tapstake_restake::Pool) -> Pool {
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
        let rows = self.services.iter().flat_map(|service| {
            let row = |provider: &Provider| {
                vec![
                    service.name.clone(),
                    provider.provider.to_string(),
                    provider.staked_sat.to_string(),
                    service.slashable_sat.to_string(),
                    format!("{} {}", provider.put_in, service.terms.denomination),
                    provider.paid.clone(),
                    provider.slashed_at.map(|height| format!("at {height}")).unwrap_or_default(),
                ]
            };
            service.providers.iter().map(row).collect::<Vec<_>>()
        });
        let header = ["service", "provider", "staked sat", "slashable sat", "put in", "paid", "slashed"];
        parts.push(table(&header, &["staked sat", "slashable sat", "put in", "paid"], rows));
        let rows = self.stakes.iter().map(|stake| {
            vec![
                stake.stake.to_string(),
                stake.value_sat.to_string(),
                stake.slashable_sat.to_string(),
                stake.leverage.map(|leverage| leverage.to_string()).unwrap_or_default(),
                stake.status.clone(),
                stake.pool.clone().unwrap_or_default(),
            ]
        });
        let header = ["stake", "value sat", "slashable sat", "leverage", "status", "pool"];
        parts.push(table(&header, &["value sat", "slashable sat", "leverage"], rows));
        let rows = self.pools.iter().map(|pool| {
            vec![
                pool.name.clone(),
                pool.supply.clone(),
                nav(pool.nav),
                pool.assets_sat.to_string(),
                pool.queued_sat.to_string(),
                pool.cash_sat.to_string(),
                pool.backing_ratio.map(|ratio| ratio.to_string()).unwrap_or_default(),
                if pool.frozen { "frozen".to_owned() } else { String::new() },
            ]
        });
        let header = ["pool", "shares", "value", "assets sat", "queued sat", "cash sat", "backing", ""];
        parts.push(table(&header, &header[1..7], rows));
        parts.join("\n\n")
    }
}

/// A net asset value as a decimal: 1 when the pool opens.
pub(super) fn nav(value: tapstake_restake::Nav) -> String {
    let ppm = value.millionths();
    format!("{}.{:06}", ppm / 1_000_000, ppm % 1_000_000)
}

pub(crate) fn run(args: &ShowArgs, session: &Session<'_>) -> Result<()> {
    let ledger = args.book.open(session)?;
    session.out.show(&State::of(&ledger)?);
    Ok(())
}
