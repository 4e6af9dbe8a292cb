//! What could go wrong with a pool, in numbers: its price, its backing, its queue, and its losses if providers are slashed.
//!
//! Nothing here is a forecast. The price is the caller's; a scenario takes every satoshi that the pre-signed slashings can
//! take, at once.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cmp::Ordering;

use bitcoin::{Amount, OutPoint, XOnlyPublicKey};
use serde::Serialize;
use tapstake_params::Height;

use crate::lrt::{LrtExposure, LrtPool};
use crate::pool::{Backing, Pool, PooledStatus};
use crate::shares::{Nav, VIRTUAL_SHARES};
use crate::stake::AdmittedStake;
use crate::units::{PartsPerMillion, mul_div_ceil, mul_div_floor};

/// Why there is no report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RiskError {
    /// A live stake of the pool whose slashing is not known: a scenario without it would look better than it is.
    #[error("stake {0} of the pool is not among the stakes given")]
    MissingStake(OutPoint),
    /// A number does not fit.
    #[error("{0} does not fit")]
    Overflow(&'static str),
}

/// A stake as far as it can be slashed.
#[derive(Debug, Clone, Copy)]
pub struct StakeAtRisk<'a> {
    /// The stake.
    pub outpoint: OutPoint,
    /// Its providers: any one of them gets it slashed.
    pub providers: &'a [XOnlyPublicKey],
    /// What a slashing takes: value less refund as pre-signed, at the worse of both times.
    pub loss: Amount,
}

impl<'a> From<&'a AdmittedStake> for StakeAtRisk<'a> {
    fn from(stake: &'a AdmittedStake) -> Self {
        StakeAtRisk {
            outpoint: stake.outpoint(),
            providers: &stake.data().providers,
            loss: stake.slashable(),
        }
    }
}

/// A market price against the net asset value, as a part of the net asset value, rounded down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Depeg {
    /// No difference.
    AtPar,
    /// The market pays less.
    Discount(PartsPerMillion),
    /// The market pays more.
    Premium(PartsPerMillion),
}

/// What waits to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct QueueDepth {
    /// Its exits.
    pub exits: usize,
    /// Their claims, in satoshi.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    pub claims: Amount,
    /// Blocks from the height of the report until the last of them may be paid.
    pub blocks: u32,
    /// What could be paid today, in satoshi.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    pub cash: Amount,
}

/// Who is slashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SlashedProviders {
    /// One provider, and with it every stake that has delegated to it.
    One(XOnlyPublicKey),
    /// All of them. Each stake is lost once, whatever the number of its providers.
    Every,
}

/// A loss that the pre-signed slashings make possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Scenario {
    /// Who is slashed.
    pub slashed: SlashedProviders,
    /// The stakes of the pool that lose.
    pub stakes: usize,
    /// What they lose, in satoshi.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    pub loss: Amount,
    /// The part of that which shares bear, in satoshi.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    pub from_shares: Amount,
    /// The part of that which exits bear, in satoshi.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    pub from_queue: Amount,
    /// What shares and exits bear as a part of everything the pool owes, rounded up.
    pub part: PartsPerMillion,
}

/// The state of a pool at a height.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RiskReport {
    /// The height.
    pub height: Height,
    /// The net asset value, as [`Pool::nav_floor`] counts it.
    pub nav: Nav,
    /// The price that the caller gave, counted alike.
    pub market: Option<Nav>,
    /// The difference. None without a price, and where there is no value to compare with.
    pub depeg: Option<Depeg>,
    /// What the pool has against what it owes.
    pub backing: Backing,
    /// Reserves over receipts, rounded down. None while nothing is issued.
    pub backing_ratio: Option<PartsPerMillion>,
    /// The exit queue.
    pub queue: QueueDepth,
    /// One scenario for each provider, by key.
    pub providers: Vec<Scenario>,
    /// All of them together.
    pub every_provider: Scenario,
    /// Whether the pool is frozen.
    pub frozen: bool,
}

impl RiskReport {
    /// Looks at a pool at `height`. `market` is what the market pays for what opened at one satoshi; `stakes` are the stakes
    /// that are known, of which those that do not back the pool are left out.
    ///
    /// # Errors
    ///
    /// [`RiskError::MissingStake`], [`RiskError::Overflow`].
    pub fn new<'a>(
        pool: &Pool,
        height: Height,
        market: Option<Nav>,
        stakes: impl IntoIterator<Item = StakeAtRisk<'a>>,
    ) -> Result<Self, RiskError> {
        let nav = pool.nav_floor();
        let depeg = market.filter(|_| nav > Nav::new(0)).map(|market| depeg(nav, market));
        let (providers, every_provider) = scenarios(pool, stakes)?;
        let mature = pool.queue().all_mature_at();
        Ok(RiskReport {
            height,
            nav,
            market,
            depeg: depeg.transpose()?,
            backing: pool.backing(),
            backing_ratio: pool.backing().ratio_floor(),
            queue: QueueDepth {
                exits: pool.queue().len(),
                claims: pool.queue().total(),
                blocks: mature.and_then(|mature| mature.blocks_since(height)).unwrap_or(0),
                cash: pool.cash(),
            },
            providers,
            every_provider,
            frozen: pool.is_frozen(),
        })
    }
}

/// What a pool over receipts loses if providers are slashed: its part of what the pool beneath loses, once, whatever the number
/// of its services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LrtScenario {
    /// Who is slashed.
    pub slashed: SlashedProviders,
    /// What its deposits lose of their worth, in satoshi.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    pub loss: Amount,
    /// That as a part of their worth, rounded up.
    pub part: PartsPerMillion,
}

/// The state of a pool over receipts at a height. Its backing and its queue are those of the pool beneath.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LrtRiskReport {
    /// The height.
    pub height: Height,
    /// The net asset value, as [`LrtPool::nav_floor`] counts it.
    pub nav: Nav,
    /// The price that the caller gave, counted alike.
    pub market: Option<Nav>,
    /// The difference. None without a price, and where there is no value to compare with.
    pub depeg: Option<Depeg>,
    /// What the services count, and what the deposits are worth.
    pub exposure: LrtExposure,
    /// One scenario for each provider, by key.
    pub providers: Vec<LrtScenario>,
    /// All of them together.
    pub every_provider: LrtScenario,
}

impl LrtRiskReport {
    /// Looks at a pool over the receipts of `pool`, which `beneath` reports on. `market` is what the market pays for what opened
    /// at one satoshi.
    ///
    /// # Errors
    ///
    /// [`RiskError::Overflow`].
    pub fn new(
        lrt: &LrtPool,
        pool: &Pool,
        beneath: &RiskReport,
        market: Option<Nav>,
    ) -> Result<Self, RiskError> {
        let overflow = || RiskError::Overflow("the value of the deposits");
        let exposure = lrt.exposure(pool).map_err(|_| overflow())?;
        let nav = lrt.nav_floor(pool).ok_or_else(overflow)?;
        let depeg = market.filter(|_| nav > Nav::new(0)).map(|market| depeg(nav, market));
        let worth = u128::from(exposure.value.to_sat());
        let scenario = |scenario: &Scenario| {
            let assets = pool.assets().checked_sub(scenario.from_shares).unwrap_or(Amount::ZERO);
            // As the pool will count them then.
            let left = pool
                .supply()
                .checked_add(VIRTUAL_SHARES)
                .and_then(|supply| mul_div_floor(lrt.assets(), u128::from(assets.to_sat()) + 1, supply));
            let lost = worth.saturating_sub(left.ok_or_else(overflow)?);
            // Where nothing is held, nothing is lost.
            let part = mul_div_ceil(lost, PartsPerMillion::ONE.to_u32().into(), worth).unwrap_or(0);
            Ok(LrtScenario {
                slashed: scenario.slashed,
                loss: Amount::from_sat(u64::try_from(lost).map_err(|_| overflow())?),
                part: PartsPerMillion::new(u32::try_from(part).map_err(|_| overflow())?),
            })
        };
        Ok(LrtRiskReport {
            height: beneath.height,
            nav,
            market,
            depeg: depeg.transpose()?,
            providers: beneath.providers.iter().map(scenario).collect::<Result<_, _>>()?,
            every_provider: scenario(&beneath.every_provider)?,
            exposure,
        })
    }
}

fn depeg(nav: Nav, market: Nav) -> Result<Depeg, RiskError> {
    let (nav, market) = (nav.millionths(), market.millionths());
    let part = PartsPerMillion::ratio_floor(nav.abs_diff(market), nav);
    let part = part.ok_or(RiskError::Overflow("the difference of price and value"))?;
    Ok(match market.cmp(&nav) {
        Ordering::Equal => Depeg::AtPar,
        Ordering::Less => Depeg::Discount(part),
        Ordering::Greater => Depeg::Premium(part),
    })
}

/// What the slashing of some takes from a pool.
#[derive(Clone, Copy, Default)]
struct Toll {
    stakes: usize,
    sat: u64,
}

fn scenarios<'a>(
    pool: &Pool,
    stakes: impl IntoIterator<Item = StakeAtRisk<'a>>,
) -> Result<(Vec<Scenario>, Scenario), RiskError> {
    let mut known = BTreeMap::new();
    for stake in stakes {
        known.insert(stake.outpoint, stake);
    }
    let (mut by_provider, mut every) = (BTreeMap::<XOnlyPublicKey, Toll>::new(), Toll::default());
    for (outpoint, pooled) in pool.stakes().filter(|(_, pooled)| pooled.status == PooledStatus::Live) {
        let stake = known.get(outpoint).ok_or(RiskError::MissingStake(*outpoint))?;
        // The sum is at most the pool's reserves.
        let sat = stake.loss.min(pooled.value).to_sat();
        for (at, provider) in stake.providers.iter().enumerate() {
            if !stake.providers[..at].contains(provider) {
                let toll = by_provider.entry(*provider).or_default();
                *toll = Toll { stakes: toll.stakes + 1, sat: toll.sat + sat };
            }
        }
        every = Toll { stakes: every.stakes + 1, sat: every.sat + sat };
    }
    let scenario = |slashed, toll: Toll| {
        let loss = Amount::from_sat(toll.sat);
        // What the pool has and owes nobody is lost first.
        let borne = toll.sat.saturating_sub(pool.backing().surplus().to_sat());
        let (shares, queue) = pool.after_loss(Amount::from_sat(borne));
        let issued = pool.backing().issued.to_sat();
        let kept = PartsPerMillion::ratio_floor(issued.saturating_sub(borne).into(), issued.into());
        let part = kept.and_then(|kept| PartsPerMillion::ONE.checked_sub(kept));
        // Where nothing is owed, nothing is lost.
        let part = part.unwrap_or_default();
        let from_shares = pool.assets().checked_sub(shares).unwrap_or(Amount::ZERO);
        let from_queue = pool.queue().total().checked_sub(queue).unwrap_or(Amount::ZERO);
        Scenario { slashed, stakes: toll.stakes, loss, from_shares, from_queue, part }
    };
    let each =
        by_provider.into_iter().map(|(key, toll)| scenario(SlashedProviders::One(key), toll)).collect();
    Ok((each, scenario(SlashedProviders::Every, every)))
}
