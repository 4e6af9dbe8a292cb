//! What could go wrong with pools, in numbers.

use serde::Serialize;
use tapstake_params::Height;
use tapstake_restake::{
    BookError, Depeg, LrtRiskReport, Nav, PoolId, RiskReport, Scenario, SlashedProviders,
};

use super::outcome::surplus;
use super::refusal::{by_book, named};
use super::{BookFile, name};
use crate::error::Result;
use crate::output::{Show, facts, table};
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub(crate) struct Risk {
    /// Only this pool, over stakes or over receipts [default: all]
    #[arg(long, value_parser = name::<PoolId>)]
    pool: Option<PoolId>,
    /// What the market pays for shares that opened at 1: a decimal such as 0.995, 99.5%, or 995000ppm
    #[arg(long, value_name = "PRICE", value_parser = price)]
    price: Option<Nav>,
    /// The height at which to look, not below the last entry [default: that of the last entry]
    #[arg(long, value_name = "HEIGHT")]
    height: Option<u32>,
    #[command(flatten)]
    book: BookFile,
}

/// A price: as a net asset value is written, in percent of one, or in millionths.
fn price(text: &str) -> Result<Nav, String> {
    let (number, of) = match (text.strip_suffix('%'), text.strip_suffix("ppm")) {
        (Some(percent), _) => (percent.trim_end(), 100),
        (_, Some(millionths)) => (millionths.trim_end(), 1_000_000),
        _ => (text, 1),
    };
    let whole = number.parse::<Nav>().ok().map(Nav::millionths).filter(|whole| whole % of == 0);
    let bad = "write a decimal such as 0.995, a percentage such as 99.5%, or 995000ppm";
    whole.map(|whole| Nav::new(whole / of)).ok_or_else(|| bad.to_owned())
}

#[derive(Serialize)]
struct Risks {
    pools: Vec<PoolRisk>,
    pools_over_receipts: Vec<LrtRisk>,
}

#[derive(Serialize)]
struct PoolRisk {
    pool: PoolId,
    #[serde(flatten)]
    report: RiskReport,
}

#[derive(Serialize)]
struct LrtRisk {
    pool: PoolId,
    over: PoolId,
    #[serde(flatten)]
    report: LrtRiskReport,
}

impl Show for Risks {
    fn text(&self) -> String {
        let over = self.pools_over_receipts.iter().map(LrtRisk::text);
        let parts: Vec<String> = self.pools.iter().map(PoolRisk::text).chain(over).collect();
        if parts.is_empty() { "no pools".to_owned() } else { parts.join("\n\n") }
    }
}

impl PoolRisk {
    fn text(&self) -> String {
        let report = &self.report;
        let (backing, queue) = (&report.backing, &report.queue);
        let mut rows = vec![
            ("pool", self.pool.to_string()),
            ("height", report.height.to_string()),
            ("net asset value", report.nav.to_string()),
        ];
        rows.extend(priced(report.market, report.depeg));
        let ratio = report.backing_ratio.map_or("nothing is issued".to_owned(), |ratio| ratio.to_string());
        rows.extend([
            ("backing", ratio),
            ("reserves", format!("{} sat", backing.reserves.to_sat())),
            ("owed", format!("{} sat", backing.issued.to_sat())),
        ]);
        rows.extend(surplus(*backing).map(|sat| ("owed to nobody", format!("{sat} sat"))));
        rows.extend([
            (
                "exit queue",
                format!("{} exits, {} sat, {} blocks", queue.exits, queue.claims.to_sat(), queue.blocks),
            ),
            ("cash", format!("{} sat", queue.cash.to_sat())),
        ]);
        if report.frozen {
            rows.push(("state", "frozen: everything was lost".to_owned()));
        }
        let scenarios = report.providers.iter().chain([&report.every_provider]).map(row);
        let header = ["if slashed", "stakes", "loss sat", "shares bear", "exits bear", "of all owed"];
        format!("{}\n{}", facts(rows), table(&header, &header[1..], scenarios))
    }
}

impl LrtRisk {
    fn text(&self) -> String {
        let (report, over) = (&self.report, &self.over);
        let mut rows = vec![
            ("pool", format!("{}, over the receipts of {over}", self.pool)),
            ("height", report.height.to_string()),
            ("net asset value", report.nav.to_string()),
        ];
        rows.extend(priced(report.market, report.depeg));
        rows.push(("worth", format!("{} sat", report.exposure.value.to_sat())));
        let counted = report.exposure.nominal.iter().map(|(service, sat)| (service, format!("{sat} sat")));
        rows.extend(counted.map(|(service, sat)| ("counted", format!("{sat} for {service}"))));
        rows.push(("backing, exits", format!("those of pool {over}")));
        let scenarios = report.providers.iter().chain([&report.every_provider]).map(|scenario| {
            vec![who(scenario.slashed), scenario.loss.to_sat().to_string(), scenario.part.to_string()]
        });
        let header = ["if slashed", "loss sat", "of its worth"];
        format!("{}\n{}", facts(rows), table(&header, &header[1..], scenarios))
    }
}

fn priced(market: Option<Nav>, depeg: Option<Depeg>) -> Vec<(&'static str, String)> {
    let market = market.map(|market| ("market price", market.to_string()));
    let difference = depeg.map(|depeg| match depeg {
        Depeg::AtPar => "none".to_owned(),
        Depeg::Discount(part) => format!("{part} below the net asset value"),
        Depeg::Premium(part) => format!("{part} above the net asset value"),
    });
    market.into_iter().chain(difference.map(|difference| ("difference", difference))).collect()
}

fn who(slashed: SlashedProviders) -> String {
    match slashed {
        SlashedProviders::One(provider) => provider.to_string(),
        SlashedProviders::Every => "every provider".to_owned(),
    }
}

fn row(scenario: &Scenario) -> Vec<String> {
    let who = who(scenario.slashed);
    let sat = [scenario.loss, scenario.from_shares, scenario.from_queue].map(|sat| sat.to_sat().to_string());
    let [loss, shares, queue] = sat;
    vec![who, scenario.stakes.to_string(), loss, shares, queue, scenario.part.to_string()]
}

pub(crate) fn run(args: &Risk, session: &Session<'_>) -> Result<()> {
    let ledger = args.book.open(session)?;
    let book = ledger.book();
    let asked = |name: &PoolId| args.pool.as_ref().is_none_or(|pool| pool == name);
    if let Some(pool) = &args.pool {
        book.lrt_pool(pool)
            .map(drop)
            .or_else(|_| book.pool(pool).map(drop))
            .map_err(|error| named(book, error))?;
    }
    let height = args.height.map_or(book.height(), Height::new);
    if height < book.height() {
        session.out.warn(&format!("this is how things stand at the last entry, at height {}", book.height()));
    }
    let pools = book.pools().map(|(name, _)| name).filter(|name| asked(name)).map(|pool| {
        let report = book.risk(pool, height, args.price)?;
        Ok(PoolRisk { pool: pool.clone(), report })
    });
    let over_receipts = book.lrt_pools().filter(|(name, ..)| asked(name)).map(|(pool, over, lrt)| {
        let beneath = book.risk(over, height, None)?;
        let report = LrtRiskReport::new(lrt, book.pool(over)?, &beneath, args.price)
            .map_err(|error| BookError::Risk { pool: pool.clone(), error })?;
        Ok(LrtRisk { pool: pool.clone(), over: over.clone(), report })
    });
    session.out.show(&Risks {
        pools: pools.collect::<Result<_, _>>().map_err(by_book)?,
        pools_over_receipts: over_receipts.collect::<Result<_, _>>().map_err(by_book)?,
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_a_decimal_a_percentage_or_millionths() {
        for (text, millionths) in [
            ("0.995", 995_000),
            ("1", 1_000_000),
            ("99.5%", 995_000),
            ("0.0001%", 1),
            ("7ppm", 7),
            ("5000", 5_000_000_000),
            ("1000000%", 10_000_000_000),
            ("340282366920938463463374607431768.211455", u128::MAX),
        ] {
            assert_eq!(price(text).map(Nav::millionths), Ok(millionths), "{text}");
        }
        for bad in [
            "",
            ".5",
            "1.",
            "-1",
            "+1",
            "1.0000001",
            "1e3",
            "0,9",
            "%",
            "0.00001%",
            "0.5ppm",
            "340282366920938463463374607431768.211456",
        ] {
            assert!(price(bad).is_err(), "{bad}");
        }
    }
}
