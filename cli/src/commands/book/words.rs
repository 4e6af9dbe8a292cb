//! What entries say, in words: with units, and with the pool whose shares are meant.

use bitcoin::Amount;
use serde_json::Value;
use tapstake_ledger::Record;
use tapstake_params::{SlashingRate, Timelock};
use tapstake_restake::{AdmittedStake, Allocation, End, Event, Part, PartsPerMillion};

/// A fact: its name and its value.
type Row = (&'static str, String);

/// The shares that go into a pool over receipts.
const BENEATH: &str = "the pool beneath";

/// What an entry says: the names of its facts, and their values.
pub(super) fn words(record: &Record) -> Vec<(String, String)> {
    let told = told(&record.event);
    let rows = told.map(|rows| rows.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
    rows.unwrap_or_else(|| fields(record))
}

/// The fields as the journal has them, of an entry that has no words yet.
fn fields(record: &Record) -> Vec<(String, String)> {
    let event = serde_json::to_value(&record.event).unwrap_or_default();
    let fields = event[&record.kind].as_object().into_iter().flatten();
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    fields.map(|(name, value)| (name.clone(), plain(value))).collect()
}

/// In the order in which one would tell it.
fn told(event: &Event) -> Option<Vec<Row>> {
    let rows = match event {
        Event::RegisterService { service, terms } => vec![
            ("service", service.to_string()),
            ("pays in", terms.denomination.to_string()),
            ("slashing rate", percent(terms.slashing_rate).to_string()),
            ("unbonding time", blocks(terms.unbonding_time)),
            ("leverage limit", terms.leverage_limit.to_string()),
        ],
        Event::RegisterProvider { service, provider, commission } => vec![
            ("provider", provider.to_string()),
            ("service", service.to_string()),
            ("commission", format!("{commission} of its rewards")),
        ],
        Event::SetCommission { service, provider, commission } => vec![
            ("provider", provider.to_string()),
            ("service", service.to_string()),
            ("new commission", format!("{commission} of its rewards, from the next height on")),
        ],
        Event::AdmitStake { stake } => about(stake),
        Event::ExpandStake { of, stake, holder } => {
            let mut rows = about(stake);
            rows.push(("instead of", of.to_string()));
            rows.extend(holder.iter().map(|holder| ("shares to", holder.to_string())));
            rows
        }
        Event::Allocate { stake, service, allocation } => vec![
            ("stake", stake.to_string()),
            ("service", service.to_string()),
            ("counts", counts(allocation)),
        ],
        Event::Reward { service, provider, denomination, amount } => vec![
            ("provider", provider.to_string()),
            ("service", service.to_string()),
            ("reward", format!("{amount} {denomination}")),
        ],
        Event::Claim { stake, service } => {
            vec![("stake", stake.to_string()), ("service", service.to_string())]
        }
        Event::ClaimCommission { service, provider } | Event::GiveBack { service, provider } => {
            vec![("provider", provider.to_string()), ("service", service.to_string())]
        }
        Event::EndStake { stake, end } => vec![("stake", stake.to_string()), ("by", by(*end).to_owned())],
        Event::ReviveStake { stake } => vec![("stake", stake.to_string())],
        Event::Slash { provider } => vec![("provider", provider.to_string())],
        Event::OpenPool { pool, unbonding_time } => {
            vec![("pool", pool.to_string()), ("exits wait", blocks(*unbonding_time))]
        }
        Event::Mint { pool, holder, stake } => {
            vec![("stake", stake.to_string()), ("pool", pool.to_string()), ("to", holder.to_string())]
        }
        Event::Transfer { pool, from, to, shares } | Event::LrtTransfer { pool, from, to, shares } => vec![
            ("transferred", shares_of(*shares, pool)),
            ("from", from.to_string()),
            ("to", to.to_string()),
        ],
        Event::PoolReward { pool, amount } => vec![("pool", pool.to_string()), ("reward", sat(*amount))],
        Event::RequestExit { pool, holder, shares } => {
            vec![("holder", holder.to_string()), ("given up", shares_of(*shares, pool))]
        }
        Event::RequestWithdrawal { pool, holder, amount } => {
            vec![("holder", holder.to_string()), ("pool", pool.to_string()), ("to be paid", sat(*amount))]
        }
        Event::FinaliseExit { pool, .. } => vec![("pool", pool.to_string())],
        Event::ReturnStake { stake, returned } => {
            vec![("stake", stake.to_string()), ("came back", sat(*returned))]
        }
        Event::MakeGood { pool, amount } => vec![("pool", pool.to_string()), ("made good", sat(*amount))],
        Event::WriteDown { pool, amount } => {
            vec![("pool", pool.to_string()), ("written down", sat(*amount))]
        }
        Event::WriteUp { pool, amount } => vec![("pool", pool.to_string()), ("written up", sat(*amount))],
        Event::TakeReward { pool, amount } => {
            vec![("pool", pool.to_string()), ("reward taken back", sat(*amount))]
        }
        Event::TakeCash { pool, amount } => vec![("pool", pool.to_string()), ("taken out", sat(*amount))],
        Event::OpenLrt { pool, over, leverage_limit } => vec![
            ("pool", pool.to_string()),
            ("over", over.to_string()),
            ("leverage limit", leverage_limit.to_string()),
        ],
        Event::ChooseService { pool, service, part } => vec![
            ("pool", pool.to_string()),
            ("service", service.to_string()),
            ("counts", format!("{part} of the deposits")),
        ],
        Event::LeaveService { pool, service } => {
            vec![("pool", pool.to_string()), ("service", service.to_string())]
        }
        Event::LrtDeposit { pool, holder, shares } => vec![
            ("pool", pool.to_string()),
            ("holder", holder.to_string()),
            ("put in", shares_of(*shares, BENEATH)),
        ],
        Event::LrtRedeem { pool, holder, shares } => {
            vec![("holder", holder.to_string()), ("given up", shares_of(*shares, pool))]
        }
        Event::LrtReward { pool, from, shares } => vec![
            ("pool", pool.to_string()),
            ("from", from.to_string()),
            ("reward", shares_of(*shares, BENEATH)),
        ],
        _ => return None,
    };
    Some(rows)
}

fn about(stake: &AdmittedStake) -> Vec<Row> {
    let data = stake.data();
    let providers: Vec<_> = data.providers.iter().map(ToString::to_string).collect();
    vec![
        ("stake", stake.outpoint().to_string()),
        ("value", sat(stake.value())),
        ("slashable", sat(stake.slashable())),
        ("owner", data.owner.to_string()),
        ("providers", providers.join(" and ")),
        ("in a block at", format!("height {}", data.inclusion_height)),
        ("expires at", format!("height {}", data.expires_at)),
        ("unbonding time", blocks(data.unbonding_time)),
    ]
}

fn counts(allocation: &Allocation) -> String {
    match allocation {
        Allocation::Shared => "whole, for each of its providers there".to_owned(),
        Allocation::Exclusive(parts) => {
            let part = |part: &Part| format!("{} for {}", sat(part.amount), part.provider);
            parts.iter().map(part).collect::<Vec<_>>().join(" and ")
        }
        Allocation::Withdrawn => "no more".to_owned(),
    }
}

const fn by(end: End) -> &'static str {
    match end {
        End::Unbonding => "unbonding",
        End::Expired => "expiry",
        End::Spent => "spending",
    }
}

/// The part that a slashing takes, as other rates are told.
pub(super) fn percent(rate: SlashingRate) -> PartsPerMillion {
    PartsPerMillion::new(100 * u32::from(rate.ten_thousandths()))
}

fn sat(amount: Amount) -> String {
    format!("{} sat", amount.to_sat())
}

fn blocks(time: Timelock) -> String {
    format!("{} blocks", time.blocks())
}

/// Which shares: those of a pool over receipts are others than those beneath.
fn shares_of(shares: impl std::fmt::Display, pool: impl std::fmt::Display) -> String {
    format!("{shares} shares of {pool}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::super::log::kinds;
    use super::*;

    const KEY: &str = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";

    fn outpoint(n: u8) -> String {
        format!("{}:0", format!("{n:02x}").repeat(32))
    }

    fn stake() -> Value {
        json!({
            "outpoint": outpoint(1), "spends": [outpoint(2)], "unbonding": outpoint(3), "value": 100_000, "slashed": 10_000,
            "refund": 89_000, "unbonding_refund": 88_100, "owner": "text:ann", "providers": [KEY],
            "inclusion_height": 90, "expires_at": 10_000, "unbonding_time": 100,
        })
    }

    fn said(event: Value) -> String {
        let event: Event = serde_json::from_value(event).expect("an event");
        let rows = told(&event).expect("words for every kind of entry");
        rows.into_iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn every_number_of_an_entry_has_its_unit() {
        let (one, two) = (outpoint(1), outpoint(2));
        let terms = json!({
            "denomination": "ua", "slashing_rate": "0.1", "unbonding_time": 100, "leverage_limit": 2_000_000,
        });
        let part = json!({"exclusive": [{"provider": KEY, "amount": 700}]});
        let samples = [
            (
                json!({"register_service": {"service": "a", "terms": terms}}),
                "service a, pays in ua, slashing rate 10%, unbonding time 100 blocks, leverage limit 200%"
                    .to_owned(),
            ),
            (
                json!({"register_provider": {"service": "a", "provider": KEY, "commission": 50_000}}),
                format!("provider {KEY}, service a, commission 5% of its rewards"),
            ),
            (
                json!({"set_commission": {"service": "a", "provider": KEY, "commission": 60_000}}),
                format!(
                    "provider {KEY}, service a, new commission 6% of its rewards, from the next height on"
                ),
            ),
            (
                json!({"admit_stake": {"stake": stake()}}),
                format!(
                    "stake {one}, value 100000 sat, slashable 11900 sat, owner text:ann, providers {KEY}, \
                     in a block at height 90, expires at height 10000, unbonding time 100 blocks"
                ),
            ),
            (
                json!({"expand_stake": {"of": outpoint(2), "stake": stake(), "holder": "ann"}}),
                format!(
                    "stake {one}, value 100000 sat, slashable 11900 sat, owner text:ann, providers {KEY}, \
                     in a block at height 90, expires at height 10000, unbonding time 100 blocks, instead of {two}, \
                     shares to ann"
                ),
            ),
            (
                json!({"allocate": {"stake": one, "service": "a", "allocation": "shared"}}),
                format!("stake {one}, service a, counts whole, for each of its providers there"),
            ),
            (
                json!({"allocate": {"stake": one, "service": "a", "allocation": part}}),
                format!("stake {one}, service a, counts 700 sat for {KEY}"),
            ),
            (
                json!({"allocate": {"stake": one, "service": "a", "allocation": "withdrawn"}}),
                format!("stake {one}, service a, counts no more"),
            ),
            (
                json!({"reward": {"service": "a", "provider": KEY, "denomination": "ua", "amount": "5"}}),
                format!("provider {KEY}, service a, reward 5 ua"),
            ),
            (json!({"claim": {"stake": one, "service": "a"}}), format!("stake {one}, service a")),
            (
                json!({"claim_commission": {"service": "a", "provider": KEY}}),
                format!("provider {KEY}, service a"),
            ),
            (json!({"give_back": {"service": "a", "provider": KEY}}), format!("provider {KEY}, service a")),
            (json!({"end_stake": {"stake": one, "end": "expired"}}), format!("stake {one}, by expiry")),
            (json!({"revive_stake": {"stake": one}}), format!("stake {one}")),
            (json!({"slash": {"provider": KEY}}), format!("provider {KEY}")),
            (
                json!({"open_pool": {"pool": "p", "unbonding_time": 9}}),
                "pool p, exits wait 9 blocks".to_owned(),
            ),
            (
                json!({"mint": {"pool": "p", "holder": "ann", "stake": one}}),
                format!("stake {one}, pool p, to ann"),
            ),
            (
                json!({"transfer": {"pool": "p", "from": "ann", "to": "bob", "shares": "7"}}),
                "transferred 7 shares of p, from ann, to bob".to_owned(),
            ),
            (json!({"pool_reward": {"pool": "p", "amount": 5}}), "pool p, reward 5 sat".to_owned()),
            (
                json!({"take_reward": {"pool": "p", "amount": 5}}),
                "pool p, reward taken back 5 sat".to_owned(),
            ),
            (
                json!({"request_exit": {"pool": "p", "holder": "ann", "shares": "7"}}),
                "holder ann, given up 7 shares of p".to_owned(),
            ),
            (
                json!({"request_withdrawal": {"pool": "p", "holder": "ann", "amount": 7}}),
                "holder ann, pool p, to be paid 7 sat".to_owned(),
            ),
            (json!({"finalise_exit": {"pool": "p", "exit": 0}}), "pool p".to_owned()),
            (json!({"return_stake": {"stake": one, "returned": 5}}), format!("stake {one}, came back 5 sat")),
            (json!({"make_good": {"pool": "p", "amount": 5}}), "pool p, made good 5 sat".to_owned()),
            (json!({"write_down": {"pool": "p", "amount": 5}}), "pool p, written down 5 sat".to_owned()),
            (json!({"write_up": {"pool": "p", "amount": 5}}), "pool p, written up 5 sat".to_owned()),
            (json!({"take_cash": {"pool": "p", "amount": 5}}), "pool p, taken out 5 sat".to_owned()),
            (
                json!({"open_lrt": {"pool": "l", "over": "p", "leverage_limit": 1_500_000}}),
                "pool l, over p, leverage limit 150%".to_owned(),
            ),
            (
                json!({"choose_service": {"pool": "l", "service": "a", "part": 500_000}}),
                "pool l, service a, counts 50% of the deposits".to_owned(),
            ),
            (json!({"leave_service": {"pool": "l", "service": "a"}}), "pool l, service a".to_owned()),
            (
                json!({"lrt_deposit": {"pool": "l", "holder": "ann", "shares": "7"}}),
                "pool l, holder ann, put in 7 shares of the pool beneath".to_owned(),
            ),
            (
                json!({"lrt_redeem": {"pool": "l", "holder": "ann", "shares": "7"}}),
                "holder ann, given up 7 shares of l".to_owned(),
            ),
            (
                json!({"lrt_transfer": {"pool": "l", "from": "ann", "to": "bob", "shares": "7"}}),
                "transferred 7 shares of l, from ann, to bob".to_owned(),
            ),
            (
                json!({"lrt_reward": {"pool": "l", "from": "ann", "shares": "7"}}),
                "pool l, from ann, reward 7 shares of the pool beneath".to_owned(),
            ),
        ];
        let mut untold: BTreeSet<&str> = kinds().iter().copied().collect();
        for (event, text) in samples {
            untold.retain(|kind| event.get(kind).is_none());
            assert_eq!(said(event), text);
        }
        assert_eq!(untold, BTreeSet::new(), "kinds of entries without words");
    }
}
