//! Babylon mainnet, "bbn-1", as its published parameters have it.

use alloc::vec::Vec;

use bitcoin::hex::FromHex;
use bitcoin::{Amount, Network, ScriptBuf, XOnlyPublicKey};

use crate::params::{Phase1, Slashing, StakingCap};
use crate::{Height, Quorum, Schedule, SlashingRate, StakingParams, Timelock};

/// The covenant committee: the same nine keys in every version.
const COVENANT: [&str; 9] = [
    "d45c70d28f169e1f0c7f4a78e2bc73497afe585b70aa897955989068f3350aaa",
    "4b15848e495a3a62283daaadb3f458a00859fe48e321f0121ebabbdd6698f9fa",
    "23b29f89b45f4af41588dcaf0ca572ada32872a88224f311373917f1b37d08d1",
    "d3c79b99ac4d265c2f97ac11e3232c07a598b020cf56c6f055472c893c0967ae",
    "8242640732773249312c47ca7bdb50ca79f15f2ecc32b9c83ceebba44fb74df7",
    "e36200aaa8dce9453567bba108bdc51f7f1174b97a65e4dc4402fc5de779d41c",
    "cbdd028cfe32c1c1f2d84bfec71e19f92df509bba7b8ad31ca6c1a134fe09204",
    "f178fcce82f95c524b53b077e6180bd2d779a9057fdff4255a0af95af918cee0",
    "de13fc96ea6899acbdc5db3afaa683f62fe35b60ff6eb723dad28a11d2b12f8c",
];

/// OP_RETURN "babylon".
const SLASHING_PK_SCRIPT: &str = "6a07626162796c6f6e";

const fn by_value(sat: u64) -> Option<StakingCap> {
    Some(StakingCap::Value(Amount::from_sat(sat)))
}

const fn by_height(last: u32) -> Option<StakingCap> {
    Some(StakingCap::Height(Height::new(last)))
}

/// Activation height, phase-1 cap, greatest stake (sat), unbonding time (blocks), unbonding fee (sat),
/// slashing fee (sat); the version's number is its position.
const VERSIONS: [(u32, Option<StakingCap>, u64, u32, u64, u64); 6] = [
    (857_910, by_value(100_000_000_000), 5_000_000, 1_008, 64_000, 100_000),
    (864_790, by_height(864_799), 50_000_000_000, 1_008, 32_000, 100_000),
    (874_088, by_height(875_087), 500_000_000_000, 1_008, 32_000, 100_000),
    (891_425, None, 500_000_000_000, 1_008, 32_000, 100_000),
    (893_362, None, 500_000_000_000, 1_008, 9_600, 100_000),
    (905_634, None, 500_000_000_000, 301, 9_600, 150_000),
];

impl Schedule {
    /// The parameters of Babylon mainnet ("bbn-1"): versions 0 to 5, of which 0 to 2 took phase-1 stakes.
    pub fn bbn_1() -> Schedule {
        let keys: Vec<XOnlyPublicKey> =
            COVENANT.iter().map(|key| key.parse().expect("a published key")).collect();
        let covenant = Quorum::new(6, keys).expect("6 of 9 distinct keys");
        let script = Vec::<u8>::from_hex(SLASHING_PK_SCRIPT).expect("hex");
        let time = |blocks| Timelock::new(blocks).expect("a published timelock");
        let versions = (0u32..).zip(VERSIONS).map(
            |(version, (from, cap, max, unbonding_time, unbonding_fee, slashing_fee))| StakingParams {
                version,
                activation_height: Height::new(from),
                covenant: covenant.clone(),
                min_staking_value: Amount::from_sat(500_000),
                max_staking_value: Amount::from_sat(max),
                min_staking_time: time(64_000),
                max_staking_time: time(64_000),
                unbonding_time: time(unbonding_time),
                unbonding_fee: Amount::from_sat(unbonding_fee),
                slashing: Some(Slashing {
                    rate: SlashingRate::from_ten_thousandths(10).expect("0.001"),
                    pk_script: ScriptBuf::from_bytes(script.clone()),
                    min_fee: Amount::from_sat(slashing_fee),
                }),
                phase_1: cap.map(|cap| Phase1 { tag: *b"bbn1", cap, confirmation_depth: 10 }),
            },
        );
        Schedule::new(Network::Bitcoin, versions.collect()).expect("the published versions keep every rule")
    }
}
