//! A stake with everybody's keys, and the judgement of Bitcoin's own consensus code.
#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod delegation;

use bitcoin::consensus::serialize;
use bitcoin::hashes::Hash;
use bitcoin::key::{Keypair, Secp256k1};
use bitcoin::secp256k1::{All, SecretKey};
use bitcoin::{Amount, OutPoint, ScriptBuf, Transaction, TxOut, Txid, XOnlyPublicKey};
use tapstake_params::{Height, Quorum, Slashing, SlashingRate, StakingParams, Timelock};
use tapstake_script::{Providers, StakeTerms};
use tapstake_tx::{LeafSpend, Signatures, Stake, UnbondingTx};

/// Committees of the sizes that matter, as threshold and members.
pub(crate) const COMMITTEES: [(usize, u32); 4] = [(1, 1), (3, 5), (6, 9), (15, 20)];

pub(crate) struct World {
    pub(crate) secp: Secp256k1<All>,
    pub(crate) staker: Keypair,
    /// In the order of the script.
    pub(crate) providers: Vec<Keypair>,
    /// In the order of the script.
    pub(crate) covenant: Vec<Keypair>,
    pub(crate) params: StakingParams,
    pub(crate) stake: Stake,
}

pub(crate) fn keypair(n: u32) -> Keypair {
    let mut bytes = [1u8; 32];
    bytes[28..].copy_from_slice(&n.to_be_bytes());
    Keypair::from_secret_key(&Secp256k1::new(), &SecretKey::from_slice(&bytes).unwrap())
}

pub(crate) fn key(keypair: &Keypair) -> XOnlyPublicKey {
    keypair.x_only_public_key().0
}

fn sorted(numbers: std::ops::Range<u32>) -> Vec<Keypair> {
    let mut keypairs: Vec<_> = numbers.map(keypair).collect();
    keypairs.sort_by_key(|keypair| key(keypair).serialize());
    keypairs
}

pub(crate) fn outpoint(n: u8) -> OutPoint {
    OutPoint { txid: Txid::from_byte_array([n; 32]), vout: u32::from(n) }
}

/// A million sat staked for 1000 blocks, a tenth of it to be slashed.
pub(crate) fn world(providers: u32, (quorum, members): (usize, u32)) -> World {
    world_with(providers, (quorum, members), 1_000_000, 1_000)
}

pub(crate) fn world_with(providers: u32, (quorum, members): (usize, u32), sat: u64, fee: u64) -> World {
    let secp = Secp256k1::new();
    let staker = keypair(0);
    let (providers, covenant) = (sorted(1_000..1_000 + providers), sorted(2_000..2_000 + members));
    let params = StakingParams {
        version: 3,
        activation_height: Height::GENESIS,
        covenant: Quorum::new(quorum, covenant.iter().map(key).collect()).unwrap(),
        min_staking_value: Amount::from_sat(10_000),
        max_staking_value: Amount::from_sat(100_000_000),
        min_staking_time: Timelock::new(100).unwrap(),
        max_staking_time: Timelock::new(64_000).unwrap(),
        unbonding_time: Timelock::new(200).unwrap(),
        unbonding_fee: Amount::from_sat(fee),
        slashing: Some(Slashing {
            rate: SlashingRate::from_ten_thousandths(1_000).unwrap(),
            pk_script: ScriptBuf::new_op_return(b"burned"),
            min_fee: Amount::from_sat(2_000),
        }),
        phase_1: None,
    };
    let known = Providers::new(providers.iter().map(key).collect()).unwrap();
    let terms = StakeTerms::under(&params, key(&staker), known, Timelock::new(1_000).unwrap()).unwrap();
    let stake = Stake::new(&secp, terms, outpoint(7), Amount::from_sat(sat));
    World { secp, staker, providers, covenant, params, stake }
}

impl World {
    pub(crate) fn slashing(&self) -> &Slashing {
        self.params.slashing.as_ref().unwrap()
    }

    pub(crate) fn unbonding(&self) -> UnbondingTx {
        UnbondingTx::build(&self.secp, &self.stake, self.params.unbonding_fee).unwrap()
    }

    pub(crate) fn sign<'k>(
        &self,
        spend: &LeafSpend<'_>,
        signers: impl IntoIterator<Item = &'k Keypair>,
    ) -> Signatures {
        signers.into_iter().map(|keypair| spend.sign(&self.secp, keypair, &[0; 32])).collect()
    }

    /// The staker and the last members of the committee that make a quorum.
    pub(crate) fn unbonders(&self) -> Vec<&Keypair> {
        let quorum = self.params.covenant.threshold();
        self.covenant.iter().rev().take(quorum).chain([&self.staker]).collect()
    }

    /// The same, and the last provider.
    pub(crate) fn slashers(&self) -> Vec<&Keypair> {
        self.unbonders().into_iter().chain(self.providers.last()).collect()
    }
}

/// What Bitcoin Core's consensus code says of every input.
pub(crate) fn consensus(tx: &Transaction, prevouts: &[TxOut]) -> Result<(), bitcoinconsensus::Error> {
    let bytes = serialize(tx);
    let utxos: Vec<_> = prevouts
        .iter()
        .map(|prevout| bitcoinconsensus::Utxo {
            script_pubkey: prevout.script_pubkey.as_bytes().as_ptr(),
            script_pubkey_len: u32::try_from(prevout.script_pubkey.len()).unwrap(),
            value: i64::try_from(prevout.value.to_sat()).unwrap(),
        })
        .collect();
    let flags = bitcoinconsensus::VERIFY_ALL_PRE_TAPROOT | bitcoinconsensus::VERIFY_TAPROOT;
    prevouts.iter().enumerate().try_for_each(|(input, prevout)| {
        let (script, value) = (prevout.script_pubkey.as_bytes(), prevout.value.to_sat());
        bitcoinconsensus::verify_with_flags(script, value, &bytes, Some(&utxos), input, flags)
    })
}
