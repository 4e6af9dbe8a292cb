//! The npm package answers, and in the form that `npm/differential.mjs` describes.

use serde_json::{Value, json};
use tapstake_regtest::{Error, differential};

const STAKER: &str = "d45c70d28f169e1f0c7f4a78e2bc73497afe585b70aa897955989068f3350aaa";
const PROVIDER: &str = "4b15848e495a3a62283daaadb3f458a00859fe48e321f0121ebabbdd6698f9fa";
const COVENANT: [&str; 2] = [
    "d3c79b99ac4d265c2f97ac11e3232c07a598b020cf56c6f055472c893c0967ae",
    "23b29f89b45f4af41588dcaf0ca572ada32872a88224f311373917f1b37d08d1",
];

fn case() -> Value {
    json!({
        "network": "regtest",
        "staker": STAKER,
        "providers": [PROVIDER],
        "covenant": COVENANT,
        "quorum": 2,
        "staking_time": 1000,
        "unbonding_time": 16,
        "tag": "62626e31",
        "staking_txid": "11".repeat(32),
        "staking_vout": 1,
        "staking_value": 100_000,
        "unbonding_fee": 1_000,
        "slashing_pk_script": "6a07626162796c6f6e",
        "slashing_rate": "0.1",
        "min_slashing_fee": 500,
    })
}

#[test]
fn scripts_are_those_of_the_protocol_with_sorted_keys() -> Result<(), Error> {
    let result = &differential(&[case()])?[0];
    // protocol.md section 2; 0xad CHECKSIGVERIFY, 0xb2 CHECKSEQUENCEVERIFY, 0xac CHECKSIG, 0xba CHECKSIGADD, 0x9c NUMEQUAL.
    let [second, first] = COVENANT;
    let covenant = format!("20{first}ac20{second}ba529c");
    assert_eq!(result["timelock_script"], format!("20{STAKER}ad02e803b2"));
    assert_eq!(result["unbonding_timelock_script"], format!("20{STAKER}ad60b2"));
    assert_eq!(result["unbonding_script"], format!("20{STAKER}ad{covenant}"));
    assert_eq!(result["slashing_script"], format!("20{STAKER}ad20{PROVIDER}ad{covenant}"));
    assert_eq!(result["op_return"], format!("6a4762626e3100{STAKER}{PROVIDER}03e8"));
    for output in ["staking", "unbonding", "refund"] {
        assert!(result[output]["address"].as_str().is_some_and(|address| address.starts_with("bcrt1p")));
        assert!(result[output]["script_pubkey"].as_str().is_some_and(|script| script.starts_with("5120")));
    }
    for transaction in ["unbonding_tx", "slashing_tx", "unbonding_slashing_tx"] {
        assert_eq!(result[transaction]["txid"].as_str().map(str::len), Some(64), "{result}");
    }
    Ok(())
}

#[test]
fn a_refused_transaction_leaves_the_others_and_a_refused_case_its_neighbours() -> Result<(), Error> {
    let mut dusty = case();
    dusty["staking_value"] = json!(2_000);
    let mut without_quorum = case();
    without_quorum["quorum"] = json!(0);
    let results = differential(&[dusty, without_quorum, case()])?;
    assert!(results[0]["unbonding_tx"]["txid"].is_string());
    assert!(results[0]["unbonding_slashing_tx"]["error"].is_string(), "{}", results[0]);
    assert_eq!(results[1], json!({"error": "Missing required input values"}));
    assert!(results[2]["slashing_tx"]["txid"].is_string());
    Ok(())
}

#[test]
fn hundreds_of_cases_do_not_stop_up_the_pipes() -> Result<(), Error> {
    let cases = vec![case(); 300];
    let results = differential(&cases)?;
    assert!(results.iter().all(|result| *result == results[0]));
    Ok(())
}
