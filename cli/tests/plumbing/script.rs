//! `tapstake script`, against outputs computed from the protocol's text in another language, with its own curve, hashes
//! and addresses.

use crate::support::{KEYS, PROVIDER, STAKER, assert_fields, json, parties, run, stdout};

const NUMS: &str = "50929b74c1a04954b78b4b6035e97a5e078a5a0f28ec96d547bfee9ace803ac0";

#[test]
fn outputs_of_one_provider_and_one_member_are_those_computed_elsewhere() {
    let terms = format!("--network mainnet {} --timelock 16", parties(&[1], &[2], 1));
    let staking = json(&format!("script staking {terms}"));
    assert_eq!(staking["network"], "mainnet");
    assert_eq!(staking["address"], "bc1pv5eehzvf32lmruudkq95u2ry064zkvwq24nzujl7gj5hvvdzk6ws7v3net");
    let script = "512065339b89898abfb1f38db00b4e28647eaa2b31c055662e4bfe44a97631a2b69d";
    assert_eq!(staking["script_pubkey"], script);
    assert_eq!(staking["internal_key"], NUMS);
    let root = "c41e4fd0f9a2ea8191cb456a4924edfaf9dae67f2015ff1bea0cf01cd8c0684e";
    assert_eq!(staking["merkle_root"], root);
    assert_eq!(staking["leaves"][0]["script"], format!("20{STAKER}ad60b2"));
    let unbonding = json(&format!("script unbonding {terms}"));
    assert_eq!(unbonding["address"], "bc1pq68vp458xr3njj0v6wmtdfnntqv4cnnzg8vznarlnuayp3khnq8q6zyzcf");
    let refund = json(&format!("script refund --network bitcoin --staker {STAKER} --timelock 16"));
    assert_eq!(refund["address"], "bc1p3nke5dy4s7rvgje8n38lyk3cgwj0490kjpvtxsd6f577hu605lcsr3s9fv");
}

#[test]
fn outputs_of_several_providers_are_those_computed_elsewhere() {
    for network in ["signet", "testnet", "testnet4"] {
        let terms = format!("--network {network} {} --timelock 1000", parties(&[1, 8], &[2, 3, 4], 2));
        let staking = json(&format!("script staking {terms}"));
        assert_eq!(staking["address"], "tb1pvgrc3jx00zuj5vah8lfz45jl09atlncch5je7elcenltev8227ssl4gfss");
        let slashing = &staking["leaves"][2];
        let leaf_hash = "247a92309275f9b7994722e8ccbd3bc4abcfcb6cd64f6a89a326dcf375f441d5";
        assert_eq!(slashing["leaf_hash"], leaf_hash);
        let control = format!("c0{NUMS}4414b683dc3eacd76e0d1e30867400740a4bc967c6546ab25ea61cbbff4972ec");
        assert_eq!(slashing["control_block"], control);
        let unbonding = json(&format!("script unbonding {terms}"));
        assert_eq!(unbonding["address"], "tb1puuyvds63qccdxcnj0rdcevztrs9zlmugku5dlw83lphkhqfdtw2qfs9ya4");
    }
}

#[test]
fn outputs_of_six_of_nine_members_and_a_long_timelock_are_those_computed_elsewhere() {
    let terms =
        format!("--network regtest {} --timelock 64000", parties(&[1], &[2, 3, 4, 5, 6, 7, 8, 9, 10], 6));
    let staking = json(&format!("script staking {terms}"));
    assert_eq!(staking["address"], "bcrt1pke35m3h7ahh9tarn2trgrj5ykv89h46qu7fhv0rdq9rjm7uflggsyzrrrj");
    let timelock = &staking["leaves"][0];
    assert_eq!(timelock["script"], format!("20{STAKER}ad0300fa00b2"));
    let control = format!(
        "c1{NUMS}ba568a4cb31b72884c663a433942da6c939775ffbc0e9cfb58126edb3f6cf4fa30cf5a78d8dc303b4ba98833ae2cf5f449bda27dc8cf7f8c9e1d87e9d2a455c8"
    );
    assert_eq!(timelock["control_block"], control);
    let unbonding = json(&format!("script unbonding {terms}"));
    assert_eq!(unbonding["address"], "bcrt1pv82n02gqa865u4chk2cc2u66ju5gfw225uz57kqxpqavqtarcqjqjyekjg");
    let refund = json(&format!("script refund --network regtest --staker {STAKER} --timelock 64000"));
    assert_eq!(refund["address"], "bcrt1pfjcjj9edh29aynzj90n3snfdjw8wl5qf2gutwezzz64vfzy76pnsm00s9p");
}

#[test]
fn the_json_of_outputs_has_the_fields_of_the_contract() {
    let staking = json(&format!("script staking {} --timelock 100", parties(&[1], &[2, 3], 2)));
    let unbonding = json(&format!("script unbonding {} --timelock 100", parties(&[1], &[2, 3], 2)));
    let refund = json(&format!("script refund --staker {STAKER} --timelock 100"));
    let names = [&["timelock", "unbonding", "slashing"][..], &["timelock", "slashing"], &["timelock"]];
    for (output, names) in [staking, unbonding, refund].iter().zip(names) {
        assert_fields(
            output,
            &["network", "descriptor", "address", "script_pubkey", "internal_key", "merkle_root", "leaves"],
        );
        let leaves = output["leaves"].as_array().unwrap();
        assert_eq!(leaves.iter().map(|leaf| leaf["name"].as_str().unwrap()).collect::<Vec<_>>(), names);
        for leaf in leaves {
            assert_fields(
                leaf,
                &["name", "script", "asm", "policy", "leaf_hash", "control_block", "witness_weight"],
            );
        }
        assert!(output["descriptor"].as_str().unwrap().starts_with(&format!("tr({NUMS},")));
    }
}

#[test]
fn keys_may_be_compressed_and_in_any_order() {
    let plain = json(&format!("script staking {} --timelock 100", parties(&[1, 8], &[2, 3, 4], 2)));
    let mixed = format!(
        "script staking --timelock 100 --quorum 2 --covenant 03{} --provider {} --covenant 02{} --covenant {} --provider 02{} --staker 03{STAKER}",
        KEYS[4], KEYS[8], KEYS[2], KEYS[3], KEYS[1]
    );
    assert_eq!(json(&mixed), plain);
}

#[test]
fn the_op_return_is_that_of_phase_1() {
    let line =
        format!("script op-return --tag 62626e31 --staker {STAKER} --provider {PROVIDER} --timelock 64000");
    let op_return = json(&line);
    assert_fields(&op_return, &["script_pubkey", "asm", "tag", "staker", "provider", "timelock"]);
    assert_eq!(op_return["script_pubkey"], format!("6a4762626e3100{STAKER}{PROVIDER}fa00"));
    assert_eq!(op_return["timelock"], 64_000);
}

#[test]
fn text_says_the_same_as_json() {
    let line = format!("script staking {} --timelock 100", parties(&[1], &[2, 3], 2));
    let (text, json) = (stdout(&run(&line)), json(&line));
    for field in ["network", "descriptor", "address", "script_pubkey", "internal_key", "merkle_root"] {
        assert!(text.contains(json[field].as_str().unwrap()), "{field}");
    }
    for leaf in json["leaves"].as_array().unwrap() {
        for field in ["name", "script", "asm", "policy", "leaf_hash", "control_block"] {
            assert!(text.contains(leaf[field].as_str().unwrap()), "{field}");
        }
    }
}
