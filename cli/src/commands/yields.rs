//! `tapstake yield`: what a stake earns at rates that somebody assumes.

use std::collections::BTreeMap;

use bitcoin::Amount;
use serde::Serialize;
use tapstake_params::StakingParams;
use tapstake_restake::{
    Compounding, Denomination, PartsPerMillion, Price, RewardRate, ServiceId, ServiceLine, ServiceYield,
    YieldError, YieldReport, YieldTerms,
};

use crate::error::{Error, Result};
use crate::input::percent_arg;
use crate::network::NetworkName;
use crate::output::{Show, facts, table};
use crate::session::Session;
use crate::spending::amount_arg;

/// Coins are told in hundredths at least.
const DECIMALS: usize = 2;

const EXAMPLES: &str = "\
Rates are yearly and assumed: a calculation, no promise. Every figure is rounded down.

Examples, and what they say:
  tapstake yield --stake 1btc --rate 6% --price 42000usd
      earns 6000000 sat in a year, which is 2520.00 usd of 42000.00 usd
  tapstake yield --stake 5000btc --rate 6% --price 42000usd
      earns 30000000000 sat, 12600000.00 usd of 210000000.00 usd
  tapstake yield --stake 5000btc --rate 4% --price 42000usd
      earns 20000000000 sat, 8400000.00 usd
  tapstake yield --stake 5000btc --rate 8% --price 42000usd
      earns 40000000000 sat, 16800000.00 usd
  tapstake yield --stake 1btc --service a=6% --service b=2% --service c=2% --slashable 0.1btc
      10% in all, and still 10000000 sat to lose, once
  tapstake yield --stake 1btc --rate 6% --commission 5% --compound monthly --months 24
      5.7% a year, which yields 5.8512% with the earnings staked again";

/// Calculate what a stake earns, and show beside it what can be lost of it
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct YieldArgs {
    /// The stake, such as 1btc or 50000sat
    #[arg(long, value_name = "AMOUNT", value_parser = amount_arg)]
    stake: Amount,
    /// What one service pays in a year
    #[arg(long, value_name = "RATE", value_parser = rate_arg, conflicts_with = "services", required_unless_present = "services")]
    rate: Option<Rate>,
    /// A service and what it pays in a year: a part of the stake (6%), or so much of its own coin for each bitcoin staked
    /// (2500token), which then needs a price; its own commission may follow (chain=6%,10%). Give it once for each service
    #[arg(long = "service", value_name = "NAME=RATE[,COMMISSION]", value_parser = service_arg)]
    services: Vec<Service>,
    /// What providers keep of the rewards
    #[arg(long, value_name = "PERCENT", default_value = "0%", value_parser = percent_arg)]
    commission: PartsPerMillion,
    /// How often earnings are staked again: none, yearly, monthly, weekly, daily, or so many times a year
    #[arg(long, value_name = "PERIOD", default_value = "none", value_parser = compounding_arg)]
    compound: Compounding,
    /// For how long
    #[arg(long, value_name = "MONTHS", default_value_t = 12)]
    months: u32,
    /// What a bitcoin costs in a coin, such as 42000usd. Give it once for each coin
    #[arg(long = "price", value_name = "PRICE", value_parser = coins_arg)]
    prices: Vec<Coins>,
    /// What a slashing takes of the stake, fees included [default: what --params take at least: without --params and
    /// --network those named local, on regtest]
    #[arg(long, value_name = "AMOUNT", value_parser = amount_arg)]
    slashable: Option<Amount>,
}

/// A service as it is typed.
#[derive(Debug, Clone)]
struct Service {
    name: ServiceId,
    rate: Rate,
    commission: Option<PartsPerMillion>,
}

#[derive(Debug, Clone)]
enum Rate {
    OfStake(PartsPerMillion),
    PerBitcoin(Coins),
}

/// A decimal number of a coin, as it is typed.
#[derive(Debug, Clone)]
struct Coins {
    /// Without its point.
    digits: String,
    /// How many of the digits stand behind it.
    decimals: usize,
    denomination: Denomination,
}

fn rate_arg(text: &str) -> Result<Rate, String> {
    if text.ends_with('%') || text.ends_with("ppm") || !text.contains(|c: char| c.is_ascii_alphabetic()) {
        return percent_arg(text).map(Rate::OfStake);
    }
    let said = |error| format!("{error}; a rate is a percentage such as 6%, or coins for each bitcoin");
    coins_arg(text).map(Rate::PerBitcoin).map_err(said)
}

fn service_arg(text: &str) -> Result<Service, String> {
    let (name, rate) = text.split_once('=').ok_or("a service is NAME=RATE, such as chain=6%")?;
    let name = name.parse::<ServiceId>().map_err(|error| error.to_string())?;
    let (rate, commission) = match rate.split_once(',') {
        Some((rate, commission)) => (rate, Some(commission)),
        None => (rate, None),
    };
    let commission =
        commission.map(percent_arg).transpose().map_err(|error| format!("commission: {error}"))?;
    Ok(Service { name, rate: rate_arg(rate)?, commission })
}

fn compounding_arg(text: &str) -> Result<Compounding, String> {
    Ok(match text {
        "none" => Compounding::None,
        "yearly" => Compounding::TimesAYear(1),
        "monthly" => Compounding::TimesAYear(12),
        "weekly" => Compounding::TimesAYear(52),
        "daily" => Compounding::TimesAYear(365),
        number => Compounding::TimesAYear(
            number.parse().map_err(|_| "none, yearly, monthly, weekly, daily or a number of times a year")?,
        ),
    })
}

fn coins_arg(text: &str) -> Result<Coins, String> {
    let wrong = || format!("{text:?} is no decimal number with a coin behind it, such as 42000usd");
    let (number, coin) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(wrong)?);
    let number = number.trim_end();
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{decimals}");
    let pointless = number.contains('.') && decimals.is_empty();
    // `1e3usd` is meant as a number, and is no price of a coin named e3usd.
    let exponent = coin.starts_with(['e', 'E']) && coin.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
    if whole.is_empty() || pointless || exponent || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let denomination = coin.parse().map_err(|error| format!("{error}"))?;
    Ok(Coins { digits, decimals: decimals.len(), denomination })
}

impl Coins {
    /// The number in units of so many decimals, which are at least its own.
    fn units(&self, decimals: usize) -> Result<u128> {
        let digits = format!("{}{}", self.digits, "0".repeat(decimals.saturating_sub(self.decimals)));
        let number = digits.parse().map_err(|_| YieldError::Overflow("a number of coins"))?;
        Ok(number)
    }
}

/// The decimals that each coin is counted in: as many as it is typed with anywhere.
struct Scales(BTreeMap<Denomination, usize>);

impl Scales {
    fn of(args: &YieldArgs) -> Self {
        let rates = args.rate.iter().chain(args.services.iter().map(|service| &service.rate));
        let coins = rates.filter_map(|rate| match rate {
            Rate::PerBitcoin(coins) => Some(coins),
            Rate::OfStake(_) => None,
        });
        let mut scales = BTreeMap::new();
        for Coins { denomination, decimals, .. } in args.prices.iter().chain(coins) {
            let scale = scales.entry(denomination.clone()).or_insert(DECIMALS);
            *scale = (*scale).max(*decimals);
        }
        Scales(scales)
    }

    fn decimals(&self, denomination: &Denomination) -> usize {
        self.0.get(denomination).copied().unwrap_or(DECIMALS)
    }

    fn price(&self, coins: &Coins) -> Result<Price> {
        let per_bitcoin = coins.units(self.decimals(&coins.denomination))?;
        Ok(Price { denomination: coins.denomination.clone(), per_bitcoin })
    }

    fn rate(&self, rate: &Rate) -> Result<RewardRate> {
        Ok(match rate {
            Rate::OfStake(rate) => RewardRate::OfStake(*rate),
            Rate::PerBitcoin(coins) => {
                let Price { denomination, per_bitcoin } = self.price(coins)?;
                RewardRate::PerBitcoin { denomination, units: per_bitcoin }
            }
        })
    }

    /// Units as a decimal text.
    fn text(&self, units: u128, denomination: &Denomination) -> String {
        let decimals = self.decimals(denomination);
        let digits = format!("{units:0>width$}", width = decimals + 1);
        let (whole, rest) = digits.split_at(digits.len() - decimals);
        format!("{whole}.{rest}")
    }
}

/// The answer. Rates are in millionths, amounts in satoshi, all rounded down.
#[derive(Serialize)]
struct Answer {
    stake_sat: u64,
    slashable_sat: u64,
    /// Whether that is what the parameters take at least, and not what was said of a stake.
    slashable_by_parameters: bool,
    /// Those parameters. Null where it was said of a stake.
    parameters: Option<Parameters>,
    months: u32,
    /// Null where nothing is staked again.
    periods_a_year: Option<u32>,
    services: Vec<Line>,
    gross_apr_ppm: PartsPerMillion,
    apr_ppm: PartsPerMillion,
    apy_ppm: PartsPerMillion,
    earned_sat: u64,
    values: Vec<Value>,
}

/// Which parameters say what a slashing takes.
#[derive(Serialize)]
struct Parameters {
    name: String,
    version: u32,
    network: NetworkName,
    /// Whether nobody has set them.
    default: bool,
}

/// What one service pays on the stake alone.
#[derive(Serialize)]
struct Line {
    service: ServiceId,
    gross_apr_ppm: PartsPerMillion,
    commission_ppm: PartsPerMillion,
    apr_ppm: PartsPerMillion,
    gross_sat: u64,
    commission_sat: u64,
    net_sat: u64,
}

/// Stake and earnings in a coin, as decimal texts.
#[derive(Serialize)]
struct Value {
    denomination: Denomination,
    stake: String,
    earned: String,
}

pub(crate) fn run(args: &YieldArgs, session: &Session<'_>) -> Result<()> {
    for (at, Service { name, .. }) in args.services.iter().enumerate() {
        if args.services[..at].iter().any(|other| other.name == *name) {
            return Err(Error::rule("service", format!("{name} is given twice")));
        }
    }
    let scales = Scales::of(args);
    let service = |name: &ServiceId, rate: &Rate, commission: Option<PartsPerMillion>| {
        let commission = commission.unwrap_or(args.commission);
        Ok::<_, Error>(ServiceYield { service: name.clone(), rate: scales.rate(rate)?, commission })
    };
    let services = match &args.rate {
        Some(rate) => vec![service(&ServiceId::new("service")?, rate, None)?],
        None => args
            .services
            .iter()
            .map(|Service { name, rate, commission }| service(name, rate, *commission))
            .collect::<Result<_>>()?,
    };
    let (slashable, parameters) = match args.slashable {
        Some(slashable) => (slashable, None),
        None => {
            let (schedule, (source, set)) = (session.schedule()?, session.params());
            let latest = schedule.latest();
            let (name, version, network) = (source.to_string(), latest.version, session.network().into());
            let parameters = Parameters { name, version, network, default: !set };
            (least_slashable(args.stake, latest)?, Some(parameters))
        }
    };
    let terms = YieldTerms {
        stake: args.stake,
        slashable,
        months: args.months,
        compounding: args.compound,
        services,
        prices: args.prices.iter().map(|price| scales.price(price)).collect::<Result<_>>()?,
    };
    let report = terms.report().map_err(|error| match &error {
        YieldError::NoPrice { denomination, .. } => {
            let next = format!("give --price NUMBER{denomination}, what a bitcoin costs");
            Error::from(error).next(next)
        }
        YieldError::ZeroPrice(coin) | YieldError::TwoPrices(coin) => {
            let next = format!("give --price NUMBER{coin} once, with a number above 0");
            Error::from(error).next(next)
        }
        _ => Error::from(error),
    })?;
    session.out.show(&answer(parameters, &terms, report, &scales));
    Ok(())
}

/// What the parameters take of a stake at least: their rate, and the fees.
fn least_slashable(stake: Amount, params: &StakingParams) -> Result<Amount> {
    let rules = params.slashing.as_ref().ok_or_else(|| {
        Error::rule("parameters", "the parameters do not say what a slashing takes")
            .next("give --slashable AMOUNT")
    })?;
    // An unbonding that was begun has paid its fee before.
    let unbonding = stake.checked_sub(params.unbonding_fee).unwrap_or(Amount::ZERO);
    let at_once = rules.rate.slashed_part(stake);
    let later = rules.rate.slashed_part(unbonding) + (stake - unbonding);
    Ok((at_once.max(later) + rules.min_fee).min(stake))
}

fn answer(
    parameters: Option<Parameters>,
    terms: &YieldTerms,
    report: YieldReport,
    scales: &Scales,
) -> Answer {
    let commissions = terms.services.iter().map(|service| service.commission);
    let line = |(line, commission_ppm): (ServiceLine, PartsPerMillion)| Line {
        service: line.service,
        gross_apr_ppm: line.gross_apr,
        commission_ppm,
        apr_ppm: line.apr,
        gross_sat: line.gross.to_sat(),
        commission_sat: line.commission.to_sat(),
        net_sat: line.net.to_sat(),
    };
    Answer {
        stake_sat: report.stake.to_sat(),
        slashable_sat: report.slashable.to_sat(),
        slashable_by_parameters: parameters.is_some(),
        parameters,
        months: terms.months,
        periods_a_year: match terms.compounding {
            Compounding::None => None,
            Compounding::TimesAYear(periods) => Some(periods),
        },
        services: report.services.into_iter().zip(commissions).map(line).collect(),
        gross_apr_ppm: report.gross_apr,
        apr_ppm: report.apr,
        apy_ppm: report.apy,
        earned_sat: report.earned.to_sat(),
        values: report
            .values
            .into_iter()
            .map(|value| Value {
                stake: scales.text(value.stake, &value.denomination),
                earned: scales.text(value.earned, &value.denomination),
                denomination: value.denomination,
            })
            .collect(),
    }
}

impl Show for Answer {
    fn text(&self) -> String {
        let slashable = self.slashable_sat.to_string();
        let line = |line: &Line| {
            let (gross, commission, net) = (line.gross_apr_ppm, line.commission_ppm, line.apr_ppm);
            let service = line.service.to_string();
            vec![
                service,
                gross.to_string(),
                commission.to_string(),
                net.to_string(),
                line.net_sat.to_string(),
                slashable.clone(),
            ]
        };
        let mut rows: Vec<_> = self.services.iter().map(line).collect();
        rows.push(vec![
            "together".to_owned(),
            self.gross_apr_ppm.to_string(),
            String::new(),
            self.apr_ppm.to_string(),
            self.earned_sat.to_string(),
            format!("{slashable}, once"),
        ]);
        let header = ["", "pays a year", "commission", "apr", "earned sat", "slashable sat"];
        let rates = table(&header, &header[1..], rows);
        let valued = |sat: u64, value: fn(&Value) -> &str| {
            let values = self.values.iter().map(|coin| format!(", {} {}", value(coin), coin.denomination));
            format!("{sat} sat{}", values.collect::<String>())
        };
        let again = match self.periods_a_year {
            None => "nothing staked again".to_owned(),
            Some(periods) => {
                let times = if periods == 1 { "time" } else { "times" };
                format!(
                    "earnings staked again {periods} {times} a year, which the lines of single services leave out"
                )
            }
        };
        let slashable_by = match &self.parameters {
            Some(Parameters { name, version, network, default }) => {
                let how = if *default { "the default on" } else { "set, on" };
                format!("at least, by version {version} of the parameters {name} ({how} {network})")
            }
            None => "as given".to_owned(),
        };
        let sums = facts([
            ("stake", valued(self.stake_sat, |value| &value.stake)),
            (
                "earned",
                format!("{} in {} months", valued(self.earned_sat, |value| &value.earned), self.months),
            ),
            ("apr", format!("{} on the stake alone, beside {slashable} sat slashable once", self.apr_ppm)),
            ("apy", format!("{}, {again}", self.apy_ppm)),
            ("slashable", format!("{slashable} sat, once: {slashable_by}")),
        ]);
        format!("{rates}\n\n{sums}")
    }
}
