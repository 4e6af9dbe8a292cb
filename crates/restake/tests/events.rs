//! Entries as a journal writes them.
#![allow(clippy::unwrap_used, reason = "a test's unwrap is its assertion")]

mod support;

use serde_json::{Value, json};
use support::*;
use tapstake_params::{Height, Timelock};
use tapstake_restake::*;

fn pool() -> PoolId {
    PoolId::new("p").unwrap()
}

fn holder(name: &str) -> HolderId {
    HolderId::new(name).unwrap()
}

/// Every event, and how it is written.
fn events() -> Vec<(Event, Value)> {
    let (key, stake) = (provider(1).to_string(), outpoint(1).to_string());
    let (p, alice, bob, shares) = (pool(), holder("alice"), holder("bob"), 1u128 << 100);
    let digits = "1267650600228229401496703205376";
    let one = PartsPerMillion::ONE;
    vec![
        (
            register("a", "ua"),
            json!({"register_service": {"service": "a", "terms": {
                "denomination": "ua", "slashing_rate": "0.1", "unbonding_time": 100, "leverage_limit": 10_000_000}}}),
        ),
        (
            opt_in("a", 1, 50_000),
            json!({"register_provider": {"service": "a", "provider": key, "commission": 50_000}}),
        ),
        (
            set_commission("a", 1, 60_000),
            json!({"set_commission": {"service": "a", "provider": key, "commission": 60_000}}),
        ),
        (
            admit(1, 100_000, &[1]),
            json!({"admit_stake": {"stake": {
                "outpoint": stake, "spends": [coin(1)], "unbonding": unbonding(1), "value": 100_000, "slashed": 10_000, "refund": 89_900, "unbonding_refund": 89_850,
                "owner": "hex:00000001", "providers": [key], "inclusion_height": 100, "expires_at": 10_000,
                "unbonding_time": 100}}}),
        ),
        (
            expand(2, 1, 100_000, &[1], Some("alice")),
            json!({"expand_stake": {"of": outpoint(2), "holder": "alice", "stake": {
                "outpoint": stake, "spends": [outpoint(2), coin(1)], "unbonding": unbonding(1), "value": 100_000,
                "slashed": 10_000, "refund": 89_900, "unbonding_refund": 89_850, "owner": "hex:00000001",
                "providers": [key], "inclusion_height": 100, "expires_at": 10_000, "unbonding_time": 100}}}),
        ),
        (share(1, "a"), json!({"allocate": {"stake": stake, "service": "a", "allocation": "shared"}})),
        (
            exclusive(1, "a", &[(1, 7)]),
            json!({"allocate": {"stake": stake, "service": "a",
                "allocation": {"exclusive": [{"provider": key, "amount": 7}]}}}),
        ),
        (withdraw(1, "a"), json!({"allocate": {"stake": stake, "service": "a", "allocation": "withdrawn"}})),
        (
            reward("a", 1, "ua", u128::MAX),
            json!({"reward": {"service": "a", "provider": key, "denomination": "ua",
                "amount": "340282366920938463463374607431768211455"}}),
        ),
        (claim(1, "a"), json!({"claim": {"stake": stake, "service": "a"}})),
        (
            Event::ClaimCommission { service: service("a"), provider: provider(1) },
            json!({"claim_commission": {"service": "a", "provider": key}}),
        ),
        (give_back("a", 1), json!({"give_back": {"service": "a", "provider": key}})),
        (end(1, End::Unbonding), json!({"end_stake": {"stake": stake, "end": "unbonding"}})),
        (slash(1), json!({"slash": {"provider": key}})),
        (
            Event::OpenPool { pool: pool(), unbonding_time: Timelock::new(9).unwrap() },
            json!({"open_pool": {"pool": "p", "unbonding_time": 9}}),
        ),
        (
            Event::Mint { pool: pool(), holder: alice.clone(), stake: outpoint(1) },
            json!({"mint": {"pool": "p", "holder": "alice", "stake": stake}}),
        ),
        (
            Event::Transfer { pool: pool(), from: alice.clone(), to: bob.clone(), shares },
            json!({"transfer": {"pool": "p", "from": "alice", "to": "bob", "shares": digits}}),
        ),
        (
            Event::PoolReward { pool: pool(), amount: sat(5) },
            json!({"pool_reward": {"pool": "p", "amount": 5}}),
        ),
        (
            Event::RequestExit { pool: pool(), holder: alice.clone(), shares },
            json!({"request_exit": {"pool": "p", "holder": "alice", "shares": digits}}),
        ),
        (
            Event::RequestWithdrawal { pool: pool(), holder: alice.clone(), amount: sat(5) },
            json!({"request_withdrawal": {"pool": "p", "holder": "alice", "amount": 5}}),
        ),
        (
            Event::FinaliseExit { pool: pool(), exit: ExitId(3) },
            json!({"finalise_exit": {"pool": "p", "exit": 3}}),
        ),
        (
            Event::ReturnStake { stake: outpoint(1), returned: sat(5) },
            json!({"return_stake": {"stake": stake, "returned": 5}}),
        ),
        (Event::MakeGood { pool: pool(), amount: sat(5) }, json!({"make_good": {"pool": "p", "amount": 5}})),
        (Event::ReviveStake { stake: outpoint(1) }, json!({"revive_stake": {"stake": stake}})),
        (Event::WriteUp { pool: pool(), amount: sat(5) }, json!({"write_up": {"pool": "p", "amount": 5}})),
        (Event::TakeCash { pool: pool(), amount: sat(5) }, json!({"take_cash": {"pool": "p", "amount": 5}})),
        (
            Event::TakeReward { pool: pool(), amount: sat(5) },
            json!({"take_reward": {"pool": "p", "amount": 5}}),
        ),
        (
            Event::WriteDown { pool: pool(), amount: sat(5) },
            json!({"write_down": {"pool": "p", "amount": 5}}),
        ),
        (
            Event::OpenLrt { pool: PoolId::new("l").unwrap(), over: pool(), leverage_limit: one },
            json!({"open_lrt": {"pool": "l", "over": "p", "leverage_limit": 1_000_000}}),
        ),
        (
            Event::ChooseService { pool: pool(), service: service("a"), part: one },
            json!({"choose_service": {"pool": "p", "service": "a", "part": 1_000_000}}),
        ),
        (
            Event::LeaveService { pool: pool(), service: service("a") },
            json!({"leave_service": {"pool": "p", "service": "a"}}),
        ),
        (
            Event::LrtDeposit { pool: pool(), holder: alice.clone(), shares },
            json!({"lrt_deposit": {"pool": "p", "holder": "alice", "shares": digits}}),
        ),
        (
            Event::LrtRedeem { pool: pool(), holder: alice.clone(), shares },
            json!({"lrt_redeem": {"pool": "p", "holder": "alice", "shares": digits}}),
        ),
        (
            Event::LrtTransfer { pool: pool(), from: alice.clone(), to: bob, shares },
            json!({"lrt_transfer": {"pool": "p", "from": "alice", "to": "bob", "shares": digits}}),
        ),
        (
            Event::LrtReward { pool: p, from: alice, shares },
            json!({"lrt_reward": {"pool": "p", "from": "alice", "shares": digits}}),
        ),
    ]
}

#[test]
fn every_event_is_written_and_read_as_documented() {
    for (event, json) in events() {
        assert_eq!(json.as_object().unwrap().keys().collect::<Vec<_>>(), [event.kind()]);
        let entry = Entry { height: Height::new(840_000), event };
        let written = json!({"height": 840_000, "event": json});
        assert_eq!(serde_json::to_value(&entry).unwrap(), written);
        let text = written.to_string();
        assert_eq!(serde_json::from_str::<Entry>(&text).unwrap(), entry);
    }
}

#[test]
fn a_field_too_many_or_too_few_is_refused_in_every_event() {
    let read = |event: &Value| {
        serde_json::from_str::<Entry>(&json!({"height": 1, "event": event}).to_string())
            .map_err(|e| e.to_string())
    };
    for (_, json) in events() {
        let (name, fields) = json.as_object().unwrap().iter().next().unwrap();
        let mut more = fields.clone();
        more["surplus"] = json!(1);
        assert!(read(&json!({ name: more })).unwrap_err().contains("unknown field `surplus`"), "{name}");
        // Most expansions have nobody to give receipts to.
        for field in fields
            .as_object()
            .unwrap()
            .keys()
            .filter(|field| (*name).as_str() != "expand_stake" || *field != "holder")
        {
            let mut fewer = fields.clone();
            fewer.as_object_mut().unwrap().remove(field);
            assert!(read(&json!({ name: fewer })).unwrap_err().contains("missing field"), "{name}.{field}");
        }
    }
    assert!(read(&json!({"mine": {}})).unwrap_err().contains("unknown variant"));
    let surplus = json!({"height": 1, "event": {"slash": {"provider": provider(1)}}, "surplus": 1});
    assert!(serde_json::from_value::<Entry>(surplus).is_err());
}

#[test]
fn amounts_have_one_text_each() {
    let of = |amount: Value| {
        let fields = json!({"service": "a", "provider": provider(1), "denomination": "ua", "amount": amount});
        serde_json::from_value::<Event>(json!({ "reward": fields }))
    };
    assert_eq!(of(json!("17")).unwrap(), reward("a", 1, "ua", 17));
    for bad in [
        json!("017"),
        json!("+17"),
        json!("-1"),
        json!(""),
        json!(" 1"),
        json!("1e3"),
        json!(17),
        json!(null),
    ] {
        assert!(of(bad.clone()).is_err(), "{bad}");
    }
    assert!(of(json!("340282366920938463463374607431768211456")).is_err(), "2^128");
}
