//! Schedules: versions by height, both public JSON shapes, and every sanity rule broken once.

use bitcoin::key::Secp256k1;
use bitcoin::{Amount, Network, ScriptBuf};
use serde_json::{Value, json};
use tapstake_params::local::{self, LocalError, Slashed};
use tapstake_params::{
    Height, ParamsError, Quorum, QuorumError, Schedule, ScheduleError, ScheduleFile, StakingCap,
    StakingParams, Timelock, Window,
};

const GLOBAL: &str = include_str!("../../../fixtures/params/global-params.json");
const CHAIN: &str = include_str!("../../../fixtures/params/chain-params.json");

fn load(json: &str) -> Result<Schedule, String> {
    let file: ScheduleFile = serde_json::from_str(json).map_err(|e| e.to_string())?;
    file.for_network(Network::Bitcoin).map_err(|e| e.to_string())
}

fn sat(sat: u64) -> Amount {
    Amount::from_sat(sat)
}

#[test]
fn each_babylon_version_applies_from_its_height_to_the_next() {
    let babylon = Schedule::bbn_1();
    let at = |height| babylon.at(Height::new(height)).map(|params| params.version);
    let refusal = ScheduleError::BeforeFirst { height: Height::new(857_909), first: Height::new(857_910) };
    assert_eq!(at(857_909), Err(refusal));
    for (height, version) in [
        (857_910, 0),
        (864_789, 0),
        (864_790, 1),
        (874_087, 1),
        (874_088, 2),
        (891_425, 3),
        (893_361, 3),
        (893_362, 4),
        (905_633, 4),
        (905_634, 5),
        (u32::MAX, 5),
    ] {
        assert_eq!(at(height), Ok(version), "height {height}");
    }
}

#[test]
fn the_phase_1_window_is_within_over_or_unknown() {
    let babylon = Schedule::bbn_1();
    let window =
        |height| babylon.phase_1_at(Height::new(height)).map(|phase_1| phase_1.window(Height::new(height)));
    assert_eq!(window(857_909), None);
    assert_eq!(window(857_910), Some(Window::Unknown));
    assert_eq!(window(864_799), Some(Window::Within));
    assert_eq!(window(864_800), Some(Window::Over));
    assert_eq!(window(875_087), Some(Window::Within));
    assert_eq!(window(875_088), Some(Window::Over));
    assert_eq!(window(910_000), Some(Window::Over));
}

#[test]
fn a_stake_out_of_bounds_is_refused_with_the_bounds() {
    let babylon = Schedule::bbn_1();
    let v0 = babylon.version(0).unwrap();
    let time = Timelock::new(64_000).unwrap();
    assert!(v0.check_stake(sat(500_000), time).is_ok());
    assert!(v0.check_stake(sat(5_000_000), time).is_ok());
    assert_eq!(
        v0.check_stake(sat(5_000_001), time).unwrap_err().to_string(),
        "staking value 5000001 sat is outside 500000..=5000000 sat (version 0)"
    );
    assert_eq!(
        v0.check_stake(sat(500_000), Timelock::new(63_999).unwrap()).unwrap_err().to_string(),
        "staking time 63999 blocks is outside 64000..=64000 blocks (version 0)"
    );
    assert_eq!(
        babylon.version(6).unwrap_err().to_string(),
        "no parameters version 6: there are versions 0 to 5"
    );
}

#[test]
fn global_params_load() {
    let schedule = load(GLOBAL).unwrap();
    let [v0, v1] = schedule.versions() else { panic!("two versions") };
    assert_eq!((v0.activation_height, v0.unbonding_fee), (Height::new(857_910), sat(64_000)));
    assert_eq!((v0.covenant.threshold(), v0.covenant.keys().len()), (2, 3));
    let phase_1 = v0.phase_1.as_ref().unwrap();
    assert_eq!((phase_1.tag, phase_1.confirmation_depth), (*b"bbn1", 10));
    assert_eq!(phase_1.cap, StakingCap::Value(sat(100_000_000_000)));
    assert_eq!(v1.phase_1.as_ref().unwrap().cap, StakingCap::Height(Height::new(864_799)));
    assert!(v0.slashing.is_none());
}

#[test]
fn chain_params_load_in_every_wrapping() {
    let file: Value = serde_json::from_str(CHAIN).unwrap();
    let list = &file["params"];
    let wrapped = json!({ "params": list[0]["params"], "version": 4 });
    let bare = load(&json!({ "params": list[0]["params"] }).to_string()).unwrap();
    assert_eq!(bare.latest().version, 0, "a set without a number is version 0");
    let babylon = Schedule::bbn_1();
    let v4 = babylon.version(4).unwrap();
    for shape in [&file, list, &list[0], &wrapped] {
        let schedule = load(&shape.to_string()).unwrap();
        let loaded = schedule.latest();
        assert_eq!(loaded.version, 4);
        assert_eq!(loaded.slashing, v4.slashing);
        assert_eq!(loaded.activation_height, v4.activation_height);
        assert_eq!(loaded.unbonding_fee, v4.unbonding_fee);
        assert_eq!(loaded.max_staking_value, v4.max_staking_value);
    }
}

#[test]
fn what_we_write_we_read() {
    let babylon = Schedule::bbn_1();
    assert_eq!(load(&serde_json::to_string(&babylon).unwrap()), Ok(babylon));
}

#[test]
fn each_malformed_field_is_named() {
    let cases: [(&str, Value, &str); 10] = [
        ("unbonding_fee_sat", Value::Null, "version 4: field unbonding_fee is missing"),
        (
            "unbonding_time_blocks",
            json!(0),
            "field unbonding_time: timelock of 0 blocks is outside 1..=65535",
        ),
        ("max_staking_time_blocks", json!("65536"), "field max_staking_time: timelock of 65536 blocks"),
        ("covenant_quorum", json!(4), "quorum threshold 4 is outside 1..=3"),
        ("covenant_quorum", json!(0), "quorum threshold 0 is outside 1..=3"),
        ("covenant_pks", json!(["00"]), "field covenant_pks: \"00\" is no public key"),
        ("slashing_rate", json!("1.0"), "slashing rate 1.0 is not strictly between 0 and 1"),
        (
            "slashing_rate",
            Value::Null,
            "slashing_pk_script, slashing_rate and min_slashing_tx_fee_sat come together",
        ),
        ("slashing_pk_script", json!("*"), "field slashing_pk_script: Invalid"),
        ("min_staking_value_sat", json!("-1"), "expected a non-negative integer"),
    ];
    for (field, value, message) in cases {
        let mut file: Value = serde_json::from_str(CHAIN).unwrap();
        file["params"][0]["params"][field] = value;
        let error = load(&file.to_string()).unwrap_err();
        assert!(error.contains(message), "{field}: {error}");
    }
    // A key off the curve: x = 5 has no point.
    let mut file: Value = serde_json::from_str(CHAIN).unwrap();
    let off_curve = format!("{:064x}", 5);
    file["params"][0]["params"]["covenant_pks"] = json!([off_curve]);
    assert!(load(&file.to_string()).unwrap_err().contains(&off_curve));
}

#[test]
fn each_sanity_rule_is_broken_once() {
    let broken = |change: fn(&mut StakingParams)| {
        let mut params = Schedule::bbn_1().version(5).unwrap().clone();
        change(&mut params);
        Schedule::new(Network::Bitcoin, vec![params]).unwrap_err()
    };
    let params = |error| match error {
        ScheduleError::Params(error) => error,
        other => panic!("{other}"),
    };
    let version = 5;
    assert_eq!(
        params(broken(|p| p.max_staking_value = Amount::from_sat(499_999))),
        ParamsError::ValueBounds { version, min: sat(500_000), max: sat(499_999) }
    );
    assert!(matches!(
        params(broken(|p| p.max_staking_value = Amount::MAX_MONEY + Amount::from_sat(1))),
        ParamsError::MoreThanAllBitcoin { .. }
    ));
    assert!(matches!(
        params(broken(|p| p.max_staking_time = Timelock::new(1).unwrap())),
        ParamsError::TimeBounds { .. }
    ));
    // 330 sat left after unbonding is refused; 331 are then too few to slash.
    assert!(matches!(
        params(broken(|p| p.unbonding_fee = Amount::from_sat(499_670))),
        ParamsError::TooSmallToUnbond { .. }
    ));
    assert!(matches!(
        params(broken(|p| p.unbonding_fee = Amount::from_sat(499_669))),
        ParamsError::TooSmallToSlash { value, .. } if value == sat(331)
    ));
    assert!(matches!(
        params(broken(|p| p.slashing.as_mut().unwrap().pk_script = ScriptBuf::from_bytes(vec![0x51; 1000]))),
        ParamsError::SlashingDust { .. }
    ));
    assert!(matches!(
        params(broken(|p| {
            // A ten-thousandth of 4,000 sat rounds to nothing.
            (p.min_staking_value, p.unbonding_fee) = (Amount::from_sat(4_000), Amount::from_sat(1_000));
            let slashing = p.slashing.as_mut().unwrap();
            (slashing.rate, slashing.min_fee) = ("0.0001".parse().unwrap(), Amount::from_sat(100));
        })),
        ParamsError::NothingSlashed { value, .. } if value == sat(4_000)
    ));
    assert!(matches!(
        params(broken(|p| p.covenant = Quorum::new(4, p.covenant.keys()[..8].to_vec()).unwrap())),
        ParamsError::NoMajority { threshold: 4, keys: 8, .. }
    ));
    assert_eq!(Schedule::new(Network::Bitcoin, vec![]), Err(ScheduleError::Empty));
    let v5 = Schedule::bbn_1().version(5).unwrap().clone();
    assert!(matches!(
        Schedule::new(Network::Bitcoin, vec![v5.clone(), v5]),
        Err(ScheduleError::Order { version: 5, previous: 5, .. })
    ));
}

#[test]
fn quorums_hold_sorted_distinct_keys() {
    let keys = Schedule::bbn_1().latest().covenant.keys().to_vec();
    assert!(keys.windows(2).all(|pair| pair[0].serialize() < pair[1].serialize()));
    let mut repeated = keys.clone();
    repeated.push(keys[3]);
    assert_eq!(Quorum::new(6, repeated), Err(QuorumError::DuplicateKey { key: keys[3] }));
    assert_eq!(Quorum::new(0, keys.clone()), Err(QuorumError::Threshold { threshold: 0, keys: 9 }));
    assert_eq!(Quorum::new(10, keys.clone()), Err(QuorumError::Threshold { threshold: 10, keys: 9 }));
    assert_eq!(Quorum::new(1, vec![]), Err(QuorumError::KeyCount { keys: 0 }));
    let quorum = Quorum::new(6, keys.clone()).unwrap();
    assert_eq!(quorum.position(&keys[7]), Some(7));
    assert!(quorum.contains(&keys[0]));
    assert_eq!(serde_json::from_str::<Quorum>(&serde_json::to_string(&quorum).unwrap()).unwrap(), quorum);
}

#[test]
fn local_sets_exist_for_test_networks_only() {
    let secp = Secp256k1::new();
    let burning = local::schedule(&secp, Network::Regtest, Slashed::Burned).unwrap();
    assert!(burning.latest().slashing.as_ref().unwrap().pk_script.is_op_return());
    let mut keys: Vec<_> =
        local::covenant_keypairs(&secp).iter().map(|pair| pair.x_only_public_key().0).collect();
    keys.sort_by_key(bitcoin::XOnlyPublicKey::serialize);
    assert_eq!(burning.latest().covenant.keys(), keys);
    assert!(
        local::schedule(&secp, Network::Signet, Slashed::PaidTo(ScriptBuf::from_bytes(vec![0x51]))).is_ok()
    );
    assert_eq!(
        local::schedule(&secp, Network::Bitcoin, Slashed::Burned),
        Err(LocalError::PublicCovenant(Network::Bitcoin))
    );
    let unpayable = Slashed::PaidTo(ScriptBuf::from_bytes(vec![0x51; 1000]));
    assert!(matches!(local::schedule(&secp, Network::Regtest, unpayable), Err(LocalError::Schedule(_))));
}
