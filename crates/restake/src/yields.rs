//! What a stake earns at rates that the caller assumes: a calculation, no promise.
//!
//! Rates are held as fractions of 1e-18, in which a rate in parts per million less a commission in parts per million is exact;
//! only results are rounded, down. The yearly rate ([`YieldReport::apr`]) is what a year pays on the stake alone; the yearly
//! yield ([`YieldReport::apy`]) is what it pays if each period's earnings are staked again.
//!
//! Several services on one stake add their rates. What they can take does not add up, as it is one stake: a report has both
//! numbers side by side, always.

use alloc::vec::Vec;

use bitcoin::Amount;
use serde::{Deserialize, Serialize};

use crate::units::{Denomination, PartsPerMillion, ServiceId, mul_div_floor};

/// 1, in the fractions that rates are held in.
const ONE: u128 = 1_000_000_000_000_000_000;
/// One millionth.
const MILLIONTH: u128 = ONE / 1_000_000;
/// Satoshi per bitcoin.
const BITCOIN: u128 = 100_000_000;
/// The most periods a year: one a block, and some.
const MAX_PERIODS: u32 = 55_000;
/// The longest time: a hundred years.
const MAX_MONTHS: u32 = 1_200;

/// Why there is no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum YieldError {
    /// A reward in another coin, and no price of that coin.
    #[error("{service} pays in {denomination}: give the price of a bitcoin in {denomination}")]
    NoPrice {
        /// The service.
        service: ServiceId,
        /// Its coin.
        denomination: Denomination,
    },
    /// A price of nothing.
    #[error("a bitcoin at 0 {0} is no price")]
    ZeroPrice(Denomination),
    /// Two prices of one coin.
    #[error("two prices in {0}")]
    TwoPrices(Denomination),
    /// More than the whole.
    #[error("{service}: a commission of {commission} is above 100%")]
    Commission {
        /// The service.
        service: ServiceId,
        /// Its commission.
        commission: PartsPerMillion,
    },
    /// Too many periods.
    #[error("{0} periods a year are not among 1 to {MAX_PERIODS}")]
    Periods(u32),
    /// Too many months.
    #[error("{0} months are more than {MAX_MONTHS}")]
    Months(u32),
    /// More can be slashed than there is.
    #[error("{} sat slashable exceed the stake of {} sat", slashable.to_sat(), stake.to_sat())]
    Slashable {
        /// What can be slashed.
        slashable: Amount,
        /// The stake.
        stake: Amount,
    },
    /// A number does not fit.
    #[error("{0} does not fit")]
    Overflow(&'static str),
}

/// What one bitcoin costs in a coin: the caller's number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// The coin.
    pub denomination: Denomination,
    /// Its base units for one bitcoin: 4,200,000 cents for 42,000 dollars.
    #[serde(with = "crate::units::decimal")]
    pub per_bitcoin: u128,
}

impl Price {
    /// What `amount` is worth, in base units, rounded down. `None` if it does not fit.
    pub fn value_floor(&self, amount: Amount) -> Option<u128> {
        mul_div_floor(amount.to_sat().into(), self.per_bitcoin, BITCOIN)
    }

    /// What `units` base units are worth, rounded down. `None` if the price is nothing or it does not fit.
    pub fn bitcoin_floor(&self, units: u128) -> Option<Amount> {
        let sat = mul_div_floor(units, BITCOIN, self.per_bitcoin)?;
        u64::try_from(sat).ok().map(Amount::from_sat).filter(|amount| *amount <= Amount::MAX_MONEY)
    }
}

/// What a service pays in a year.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum RewardRate {
    /// A part of the stake, in bitcoin or valued in bitcoin already.
    OfStake(PartsPerMillion),
    /// Units of the service's own coin for each bitcoin staked. They are worth what the price of that coin says.
    PerBitcoin {
        /// The coin.
        denomination: Denomination,
        /// Its base units.
        #[serde(with = "crate::units::decimal")]
        units: u128,
    },
}

/// A service that a stake would secure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceYield {
    /// The service.
    pub service: ServiceId,
    /// What it pays in a year, before commission.
    pub rate: RewardRate,
    /// What the provider keeps of that.
    pub commission: PartsPerMillion,
}

/// How often earnings are staked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Compounding {
    /// Never.
    None,
    /// So many times a year, at equal distances.
    TimesAYear(u32),
}

/// The question.
///
/// One bitcoin at 6 % and two more services at 2 % each, for a year, with a bitcoin at 42,000 dollars:
///
/// ```
/// use bitcoin::Amount;
/// use tapstake_restake::{
///     Compounding, Denomination, PartsPerMillion, Price, RewardRate, ServiceId, ServiceYield, YieldTerms,
/// };
///
/// let service = |name: &str, rate: &str| -> Result<_, Box<dyn std::error::Error>> {
///     let rate = RewardRate::OfStake(rate.parse()?);
///     Ok(ServiceYield { service: ServiceId::new(name)?, rate, commission: PartsPerMillion::ZERO })
/// };
/// let report = YieldTerms {
///     stake: Amount::ONE_BTC,
///     slashable: Amount::from_sat(100_000),
///     months: 12,
///     compounding: Compounding::None,
///     services: vec![service("chain", "6%")?, service("oracle", "2%")?, service("bridge", "2%")?],
///     prices: vec![Price { denomination: Denomination::new("cent")?, per_bitcoin: 4_200_000 }],
/// }
/// .report()?;
/// assert_eq!(report.apr.to_string(), "10%");
/// assert_eq!(report.slashable, Amount::from_sat(100_000));
/// assert_eq!(report.values[0].earned, 420_000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct YieldTerms {
    /// The stake, in satoshi.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    pub stake: Amount,
    /// What a slashing takes of it, in satoshi.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    pub slashable: Amount,
    /// How long.
    pub months: u32,
    /// How often earnings are staked again.
    pub compounding: Compounding,
    /// The services.
    pub services: Vec<ServiceYield>,
    /// Prices of a bitcoin in the services' coins, and in those in which the result is to be told.
    pub prices: Vec<Price>,
}

/// What one service pays on the stake alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceLine {
    /// The service.
    pub service: ServiceId,
    /// The yearly rate before commission, rounded down.
    pub gross_apr: PartsPerMillion,
    /// The yearly rate after commission, rounded down.
    pub apr: PartsPerMillion,
    /// What comes in over the time, in satoshi, rounded down.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    pub gross: Amount,
    /// The provider's part of that, in satoshi, rounded down.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    pub commission: Amount,
    /// The rest, in satoshi: up to one more than what the rate after commission earns.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    pub net: Amount,
}

/// An amount told in a coin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Valued {
    /// The coin.
    pub denomination: Denomination,
    /// What the stake is worth, in base units, rounded down.
    #[serde(with = "crate::units::decimal")]
    pub stake: u128,
    /// What the earnings are worth, in base units, rounded down.
    #[serde(with = "crate::units::decimal")]
    pub earned: u128,
}

/// The answer. Every number is rounded down, but for what the commission leaves of a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct YieldReport {
    /// The stake, in satoshi.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    pub stake: Amount,
    /// Each service on the stake alone, in the order given.
    pub services: Vec<ServiceLine>,
    /// The sum of the services' yearly rates before commission.
    pub gross_apr: PartsPerMillion,
    /// The sum of the services' yearly rates after commission.
    pub apr: PartsPerMillion,
    /// What a year yields with earnings staked again.
    pub apy: PartsPerMillion,
    /// What can be lost: once, whatever the number of services. In satoshi.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    pub slashable: Amount,
    /// What the time earns after commission, with earnings staked again, in satoshi.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    pub earned: Amount,
    /// Stake and earnings in every coin that has a price.
    pub values: Vec<Valued>,
}

impl YieldTerms {
    /// Calculates.
    ///
    /// # Errors
    ///
    /// Every [`YieldError`]: terms outside their bounds, a missing price, a number that does not fit.
    pub fn report(&self) -> Result<YieldReport, YieldError> {
        self.check()?;
        let (mut services, mut gross_rate, mut rate) = (Vec::new(), 0u128, 0u128);
        for service in &self.services {
            let yearly = self.yearly(service)?;
            // At most the whole by `check`, so this is below `yearly`.
            let kept = PartsPerMillion::ONE.checked_sub(service.commission).unwrap_or_default();
            let net_yearly = kept.of_floor(yearly).ok_or(YieldError::Overflow("a rate"))?;
            gross_rate = gross_rate.checked_add(yearly).ok_or(YieldError::Overflow("the sum of rates"))?;
            rate = rate.checked_add(net_yearly).ok_or(YieldError::Overflow("the sum of rates"))?;
            services.push(self.line(service, yearly, net_yearly)?);
        }
        let growth = self.growth(rate, self.months)?;
        let earned = earned_floor(self.stake, growth)?;
        let values = self.prices.iter().map(|price| self.valued(price, earned)).collect::<Result<_, _>>()?;
        Ok(YieldReport {
            stake: self.stake,
            services,
            gross_apr: millionths_floor(gross_rate)?,
            apr: millionths_floor(rate)?,
            apy: millionths_floor(self.growth(rate, 12)? - ONE)?,
            slashable: self.slashable,
            earned,
            values,
        })
    }

    fn check(&self) -> Result<(), YieldError> {
        if self.months > MAX_MONTHS {
            return Err(YieldError::Months(self.months));
        }
        if let Compounding::TimesAYear(periods) = self.compounding
            && !(1..=MAX_PERIODS).contains(&periods)
        {
            return Err(YieldError::Periods(periods));
        }
        let (slashable, stake) = (self.slashable, self.stake);
        if slashable > stake {
            return Err(YieldError::Slashable { slashable, stake });
        }
        for (at, price) in self.prices.iter().enumerate() {
            let denomination = price.denomination.clone();
            if price.per_bitcoin == 0 {
                return Err(YieldError::ZeroPrice(denomination));
            }
            if self.prices[..at].iter().any(|other| other.denomination == denomination) {
                return Err(YieldError::TwoPrices(denomination));
            }
        }
        for ServiceYield { service, commission, .. } in &self.services {
            if *commission > PartsPerMillion::ONE {
                let (service, commission) = (service.clone(), *commission);
                return Err(YieldError::Commission { service, commission });
            }
        }
        Ok(())
    }

    /// What a service pays in a year for one satoshi, in satoshi of 1e-18.
    fn yearly(&self, service: &ServiceYield) -> Result<u128, YieldError> {
        match &service.rate {
            RewardRate::OfStake(rate) => Ok(u128::from(rate.to_u32()) * MILLIONTH),
            RewardRate::PerBitcoin { denomination, units } => {
                let price = self.prices.iter().find(|price| price.denomination == *denomination);
                let price = price.ok_or_else(|| YieldError::NoPrice {
                    service: service.service.clone(),
                    denomination: denomination.clone(),
                })?;
                mul_div_floor(*units, ONE, price.per_bitcoin).ok_or(YieldError::Overflow("a rate"))
            }
        }
    }

    fn line(
        &self,
        service: &ServiceYield,
        yearly: u128,
        net_yearly: u128,
    ) -> Result<ServiceLine, YieldError> {
        let growth = simple(yearly, self.months, 12).ok_or(YieldError::Overflow("a rate"))?;
        let gross = earned_floor(self.stake, growth)?;
        let commission = service.commission.of_floor(gross.to_sat().into());
        let commission = commission.and_then(|sat| u64::try_from(sat).ok()).map(Amount::from_sat);
        let commission = commission.ok_or(YieldError::Overflow("a commission"))?;
        Ok(ServiceLine {
            service: service.service.clone(),
            gross_apr: millionths_floor(yearly)?,
            apr: millionths_floor(net_yearly)?,
            gross,
            commission,
            // A part of it, by `check`.
            net: gross.checked_sub(commission).unwrap_or(Amount::ZERO),
        })
    }

    /// What one satoshi has become after so many months, in satoshi of 1e-18, rounded down. A period that has not ended
    /// by then earns for the time that it had.
    fn growth(&self, rate: u128, months: u32) -> Result<u128, YieldError> {
        let overflow = || YieldError::Overflow("the growth of the stake");
        let Compounding::TimesAYear(periods) = self.compounding else {
            return simple(rate, months, 12).ok_or_else(overflow);
        };
        let (whole, rest) = (u64::from(periods) * u64::from(months) / 12, periods * (months % 12) % 12);
        let factor = simple(rate, 1, periods).ok_or_else(overflow)?;
        let grown = power_floor(factor, whole).ok_or_else(overflow)?;
        let last = simple(rate, rest, 12 * periods).ok_or_else(overflow)?;
        mul_div_floor(grown, last, ONE).ok_or_else(overflow)
    }

    fn valued(&self, price: &Price, earned: Amount) -> Result<Valued, YieldError> {
        let value = |amount| price.value_floor(amount).ok_or(YieldError::Overflow("a value"));
        Ok(Valued {
            denomination: price.denomination.clone(),
            stake: value(self.stake)?,
            earned: value(earned)?,
        })
    }
}

/// One satoshi with a yearly rate for `part` of the `whole` that make a year, nothing staked again.
fn simple(rate: u128, part: u32, whole: u32) -> Option<u128> {
    ONE.checked_add(mul_div_floor(rate, part.into(), whole.into())?)
}

/// A factor's power, rounded down at every step: below the exact one by a part of at most `exponent` times 1e-18.
fn power_floor(factor: u128, exponent: u64) -> Option<u128> {
    let (mut result, mut square, mut left) = (ONE, factor, exponent);
    while left > 0 {
        if left & 1 == 1 {
            result = mul_div_floor(result, square, ONE)?;
        }
        left >>= 1;
        if left > 0 {
            square = mul_div_floor(square, square, ONE)?;
        }
    }
    Some(result)
}

/// What a stake has earned once one satoshi has become `growth`.
fn earned_floor(stake: Amount, growth: u128) -> Result<Amount, YieldError> {
    let sat = mul_div_floor(stake.to_sat().into(), growth.saturating_sub(ONE), ONE);
    let earned = sat.and_then(|sat| u64::try_from(sat).ok()).map(Amount::from_sat);
    earned.ok_or(YieldError::Overflow("what is earned"))
}

fn millionths_floor(rate: u128) -> Result<PartsPerMillion, YieldError> {
    let millionths = u32::try_from(rate / MILLIONTH).ok().map(PartsPerMillion::new);
    millionths.ok_or(YieldError::Overflow("a rate"))
}
