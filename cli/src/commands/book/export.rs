//! The books for other programs.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use tapstake_ledger::Point;

use super::show::State;
use super::{BookFile, refused};
use crate::error::{Context, Error, Result};
use crate::file;
use crate::output::{self, Show};
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// Write CSV files to this folder instead of JSON to stdout: one a table, in place of those of an earlier export
    #[arg(long, value_name = "DIR")]
    csv: Option<PathBuf>,
    #[command(flatten)]
    book: BookFile,
}

/// The books now, and what the pools were worth after each entry that changed that.
#[derive(Serialize)]
struct Document {
    #[serde(flatten)]
    state: State,
    points: Vec<Point>,
}

#[derive(Serialize)]
struct Written {
    files: Vec<PathBuf>,
}

impl Show for Written {
    fn text(&self) -> String {
        let lines: Vec<String> = self.files.iter().map(|path| path.display().to_string()).collect();
        lines.join("\n")
    }
}

pub(crate) fn run(args: &Export, session: &Session<'_>) -> Result<()> {
    let ledger = args.book.open(session)?;
    let document = Document { state: State::of(&ledger)?, points: ledger.points(None).map_err(refused)? };
    let Some(folder) = &args.csv else {
        session.out.raw(&output::json(&document));
        return Ok(());
    };
    std::fs::create_dir_all(folder).map_err(|error| {
        let refused = Error::rule("file", format!("{}: {error}", folder.display()));
        refused.next("give a folder, or the name of a new one")
    })?;
    let tables: Vec<_> =
        tables(&document).into_iter().map(|(name, table)| (folder.join(name), table)).collect();
    for (path, table) in &tables {
        refuse_foreign(path, table)?;
    }
    for (path, table) in &tables {
        file::replace(path, table.0.as_bytes())?;
    }
    session.out.show(&Written { files: tables.into_iter().map(|(path, _)| path).collect() });
    Ok(())
}

/// Only the same table of an earlier export is written over: what has the same first line.
fn refuse_foreign(path: &Path, table: &Table) -> Result<()> {
    let header = table.0.split_inclusive('\n').next().unwrap_or_default();
    let mut found = Vec::new();
    match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        file => file
            .and_then(|file| file.take(header.len() as u64).read_to_end(&mut found))
            .context(path.display())?,
    };
    if found == header.as_bytes() {
        return Ok(());
    }
    let message = format!("{} is there already, and is not this table of an earlier export", path.display());
    Err(Error::rule("file", message).next("give another folder, or move it away"))
}

/// Lines as in RFC 4180.
struct Table(String);

impl Table {
    fn new(header: &[&str]) -> Self {
        let mut table = Table(String::new());
        table.row(header.iter().map(|name| (*name).to_owned()));
        table
    }

    fn row(&mut self, fields: impl IntoIterator<Item = String>) {
        let fields: Vec<String> = fields.into_iter().map(|text| field(&text)).collect();
        self.0.push_str(&fields.join(","));
        self.0.push_str("\r\n");
    }
}

/// Names are chosen freely, and one that a spreadsheet would calculate as a formula is not to be: a `'` before it makes it text.
/// No number here has a sign.
fn field(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = &format!("{}{text}", if formula { "'" } else { "" });
    if text.contains([',', '"', '\r', '\n']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text.clone()
}

fn or_empty(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn tables(document: &Document) -> Vec<(&'static str, Table)> {
    let Document { state, points } = document;
    let mut services = Table::new(&[
        "service",
        "denomination",
        "slashing_rate",
        "unbonding_time",
        "leverage_limit_ppm",
        "stakes",
        "nominal_sat",
        "slashable_sat",
        "lost_sat",
        "leaving",
        "leaving_slashable_sat",
    ]);
    let mut providers = Table::new(&[
        "service",
        "provider",
        "commission_ppm",
        "slashed_at",
        "staked_sat",
        "put_in",
        "paid",
        "commission_owed",
        "commission_paid",
        "held",
        "given_back",
        "carry_1e18",
        "per_sat",
    ]);
    for service in &state.services {
        services.row([
            service.name.clone(),
            service.terms.denomination.to_string(),
            service.terms.slashing_rate.to_string(),
            service.terms.unbonding_time.blocks().to_string(),
            service.terms.leverage_limit.to_u32().to_string(),
            service.stakes.to_string(),
            service.nominal_sat.clone(),
            service.slashable_sat.to_string(),
            service.lost_sat.to_string(),
            service.leaving.to_string(),
            service.leaving_slashable_sat.to_string(),
        ]);
        for provider in &service.providers {
            providers.row([
                service.name.clone(),
                provider.provider.to_string(),
                provider.commission.to_u32().to_string(),
                or_empty(provider.slashed_at),
                provider.staked_sat.to_string(),
                provider.put_in.clone(),
                provider.paid.clone(),
                provider.commission_owed.clone(),
                provider.commission_paid.clone(),
                provider.held.clone(),
                provider.given_back.clone(),
                provider.carry.clone(),
                provider.per_sat.clone(),
            ]);
        }
    }
    let mut stakes = Table::new(&[
        "stake",
        "value_sat",
        "slashable_sat",
        "rest_sat",
        "owner",
        "status",
        "withdrawable_at",
        "expires_at",
        "pool",
        "leverage_ppm",
    ]);
    let mut claimable = Table::new(&["stake", "service", "nominal_sat", "claimable"]);
    let mut leaving = Table::new(&["stake", "service", "nominal_sat", "until"]);
    for stake in &state.stakes {
        stakes.row([
            stake.stake.to_string(),
            stake.value_sat.to_string(),
            stake.slashable_sat.to_string(),
            or_empty(stake.rest_sat),
            stake.owner.clone(),
            stake.status.to_owned(),
            or_empty(stake.withdrawable_at),
            stake.expires_at.to_string(),
            or_empty(stake.pool.as_ref()),
            or_empty(stake.leverage.map(|leverage| leverage.to_u32())),
        ]);
        let services = stake.nominal_sat.keys().chain(stake.claimable.keys());
        for service in services.collect::<std::collections::BTreeSet<_>>() {
            let at = |map: &std::collections::BTreeMap<_, String>| map.get(service).cloned();
            let numbers = [at(&stake.nominal_sat), at(&stake.claimable)].map(|n| n.unwrap_or("0".to_owned()));
            let [nominal, owed] = numbers;
            claimable.row([stake.stake.to_string(), service.to_string(), nominal, owed]);
        }
        for (service, left) in &stake.leaving {
            let (nominal, until) = (left.nominal_sat.clone(), left.until.to_string());
            leaving.row([stake.stake.to_string(), service.to_string(), nominal, until]);
        }
    }
    let mut pools = Table::new(&[
        "pool",
        "supply",
        "nav_ppm",
        "assets_sat",
        "cash_sat",
        "queued_sat",
        "reserves_sat",
        "issued_sat",
        "backing_ppm",
        "missing_sat",
        "surplus_sat",
        "frozen",
        "minted_sat",
        "rewards_sat",
        "lost_sat",
        "paid_sat",
        "recovered_sat",
        "returned_sat",
        "made_good_sat",
        "taken_sat",
    ]);
    let mut holders = Table::new(&["pool", "holder", "shares"]);
    let mut exits = Table::new(&[
        "pool",
        "exit",
        "holder",
        "shares",
        "requested_at",
        "matures_at",
        "quoted_sat",
        "claim_sat",
    ]);
    for pool in &state.pools {
        pools.row([
            pool.name.clone(),
            pool.supply.clone(),
            pool.nav.millionths().to_string(),
            pool.assets_sat.to_string(),
            pool.cash_sat.to_string(),
            pool.queued_sat.to_string(),
            pool.backing.reserves.to_sat().to_string(),
            pool.backing.issued.to_sat().to_string(),
            or_empty(pool.backing_ratio.map(|ratio| ratio.to_u32())),
            pool.missing_sat.to_string(),
            pool.surplus_sat.to_string(),
            pool.frozen.to_string(),
            pool.flows.minted.to_string(),
            pool.flows.rewards.to_string(),
            pool.flows.lost.to_string(),
            pool.flows.paid.to_string(),
            pool.flows.recovered.to_string(),
            pool.flows.returned.to_string(),
            pool.flows.made_good.to_string(),
            pool.flows.taken.to_string(),
        ]);
        for (holder, shares) in &pool.holders {
            holders.row([pool.name.clone(), holder.clone(), shares.clone()]);
        }
        for row in &pool.exits {
            let exit = &row.state;
            exits.row([
                pool.name.clone(),
                row.exit.to_string(),
                exit.holder.to_string(),
                exit.shares.to_string(),
                exit.requested_at.to_string(),
                exit.matures_at.to_string(),
                exit.quoted.to_sat().to_string(),
                exit.claim.to_sat().to_string(),
            ]);
        }
    }
    let mut over = Table::new(&[
        "pool",
        "over",
        "supply",
        "assets_shares",
        "value_sat",
        "nominal_sum_sat",
        "leverage_ppm",
    ]);
    let mut chosen = Table::new(&["pool", "service", "part_ppm", "nominal_sat"]);
    for pool in &state.pools_over_receipts {
        let exposure = pool.exposure.as_ref();
        over.row([
            pool.name.clone(),
            pool.over.clone(),
            pool.supply.clone(),
            pool.assets.clone(),
            or_empty(exposure.map(|exposure| exposure.value.to_sat())),
            or_empty(exposure.map(|exposure| exposure.nominal_sum)),
            or_empty(exposure.map(|exposure| exposure.leverage.to_u32())),
        ]);
        for (service, part) in &pool.services {
            let nominal = exposure.and_then(|exposure| exposure.nominal.get(service));
            let part = part.to_u32().to_string();
            chosen.row([pool.name.clone(), service.to_string(), part, or_empty(nominal)]);
        }
        for (holder, shares) in &pool.holders {
            holders.row([pool.name.clone(), holder.clone(), shares.clone()]);
        }
    }
    let mut history = Table::new(&[
        "entry",
        "height",
        "pool",
        "nav_ppm",
        "assets_sat",
        "queued_sat",
        "reserves_sat",
        "backing_ppm",
    ]);
    for point in points {
        history.row([
            point.counter.to_string(),
            point.height.to_string(),
            point.pool.to_string(),
            point.nav.millionths().to_string(),
            point.assets.to_sat().to_string(),
            point.queued.to_sat().to_string(),
            point.reserves.to_sat().to_string(),
            or_empty(point.backing_ratio_floor().map(|ratio| ratio.to_u32())),
        ]);
    }
    vec![
        ("services.csv", services),
        ("providers.csv", providers),
        ("stakes.csv", stakes),
        ("claimable.csv", claimable),
        ("leaving.csv", leaving),
        ("pools.csv", pools),
        ("holders.csv", holders),
        ("exits.csv", exits),
        ("pools_over_receipts.csv", over),
        ("chosen_services.csv", chosen),
        ("history.csv", history),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_with_a_comma_or_a_quote_is_quoted() {
        let mut table = Table::new(&["a", "b"]);
        table.row(["x,y".to_owned(), "say \"z\"".to_owned()]);
        assert_eq!(table.0, "a,b\r\n\"x,y\",\"say \"\"z\"\"\"\r\n");
    }

    #[test]
    fn a_field_that_begins_like_a_formula_is_text() {
        for text in ["=1+1", "+1", "-1", "@SUM(A1)", "\tx"] {
            assert_eq!(field(text), format!("'{text}"));
        }
        assert_eq!(field("\r1"), "\"'\r1\"");
        assert_eq!(field("=HYPERLINK(\"x\",1)"), "\"'=HYPERLINK(\"\"x\"\",1)\"");
        for text in ["", "0", "12345", "0.5", "a=b", "lrt:-1", "'x"] {
            assert_eq!(field(text), text);
        }
    }
}
