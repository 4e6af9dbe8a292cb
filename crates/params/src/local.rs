//! Parameter sets for regtest and test networks, with the covenant's keys in everybody's hands.
//!
//! Their secret keys are derived from public text: worth nothing, and so refused on mainnet by having no
//! constructor for it.

use alloc::vec::Vec;

use bitcoin::hashes::{Hash, HashEngine, sha256};
use bitcoin::key::{Keypair, Secp256k1};
use bitcoin::secp256k1::{SecretKey, Signing};
use bitcoin::{Amount, Network, ScriptBuf, XOnlyPublicKey};

use crate::params::{Phase1, Slashing, StakingCap};
use crate::{Height, Quorum, Schedule, ScheduleError, SlashingRate, StakingParams, Timelock};

/// Members of the local covenant committee.
pub const MEMBERS: u8 = 5;
/// How many of them must sign.
pub const THRESHOLD: usize = 3;
/// The tag of local phase-1 stakes.
pub const TAG: [u8; 4] = *b"tap1";

/// Why there is no such local parameter set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LocalError {
    /// A local parameter set was asked for on mainnet.
    #[error("local parameters have a covenant whose keys everybody knows: refused on {0}")]
    PublicCovenant(Network),
    /// The script that slashings pay to does not fit the set's smallest stake.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
}

/// Where a local set sends the slashed part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Slashed {
    /// Burns it, in OP_RETURN "tapstake".
    Burned,
    /// Pays it to a script.
    PaidTo(ScriptBuf),
}

/// The covenant members' key pairs, in no particular order of their public keys.
pub fn covenant_keypairs<C: Signing>(secp: &Secp256k1<C>) -> Vec<Keypair> {
    (0..MEMBERS).map(|member| Keypair::from_secret_key(secp, &secret_key(b"covenant", member))).collect()
}

/// A finality provider's key pair, for tests and the demo.
pub fn provider_keypair<C: Signing>(secp: &Secp256k1<C>, index: u8) -> Keypair {
    Keypair::from_secret_key(secp, &secret_key(b"provider", index))
}

fn secret_key(role: &[u8], index: u8) -> SecretKey {
    let mut engine = sha256::Hash::engine();
    engine.input(b"tapstake/local/");
    engine.input(role);
    engine.input(&[index]);
    SecretKey::from_slice(sha256::Hash::from_engine(engine).as_byte_array())
        .expect("a hash is a valid key but for chance 2^-128")
}

/// A parameter set of one version for a test network: 3 of 5 members; stakes of 10,000 sat to 100 BTC for 20
/// blocks or more; 10 blocks of unbonding; a tenth is slashed.
///
/// # Errors
///
/// [`LocalError::PublicCovenant`] on mainnet; [`LocalError::Schedule`] if a tenth of the smallest stake is dust
/// for the script to pay.
pub fn schedule<C: Signing>(
    secp: &Secp256k1<C>,
    network: Network,
    slashed: Slashed,
) -> Result<Schedule, LocalError> {
    if network == Network::Bitcoin {
        return Err(LocalError::PublicCovenant(network));
    }
    let keys: Vec<XOnlyPublicKey> =
        covenant_keypairs(secp).iter().map(|pair| pair.x_only_public_key().0).collect();
    let pk_script = match slashed {
        Slashed::Burned => ScriptBuf::new_op_return(b"tapstake"),
        Slashed::PaidTo(script) => script,
    };
    let version = StakingParams {
        version: 0,
        activation_height: Height::GENESIS,
        covenant: Quorum::new(THRESHOLD, keys).expect("3 of 5 distinct keys"),
        min_staking_value: Amount::from_sat(10_000),
        max_staking_value: Amount::from_sat(10_000_000_000),
        min_staking_time: Timelock::new(20).expect("in range"),
        max_staking_time: Timelock::MAX,
        unbonding_time: Timelock::new(10).expect("in range"),
        unbonding_fee: Amount::from_sat(1_000),
        slashing: Some(Slashing {
            rate: SlashingRate::from_ten_thousandths(1_000).expect("0.1"),
            pk_script,
            min_fee: Amount::from_sat(1_000),
        }),
        phase_1: Some(Phase1 {
            tag: TAG,
            cap: StakingCap::Height(Height::new(u32::MAX)),
            confirmation_depth: 3,
        }),
    };
    Ok(Schedule::new(network, alloc::vec![version])?)
}
