//! A stake to prove, from coins that anyone can spend.
#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "helpers of several test programs, each of which uses some"
)]

use bitcoin::absolute::LockTime;
use bitcoin::key::{Keypair, Secp256k1};
use bitcoin::opcodes::OP_TRUE;
use bitcoin::script::Builder;
use bitcoin::secp256k1::{All, SecretKey};
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, Network, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness, XOnlyPublicKey,
};
use tapstake_params::local::{Slashed, provider_keypair, schedule};
use tapstake_params::{Height, Schedule, Timelock};
use tapstake_script::{OpReturn, Providers, StakeTerms};
use tapstake_verifier::{Claim, Depth, Policy, Registration};

pub(crate) struct World {
    pub(crate) secp: Secp256k1<All>,
    pub(crate) schedule: Schedule,
    pub(crate) terms: StakeTerms,
}

pub(crate) const STAKED: Amount = Amount::from_sat(50_000);

impl World {
    pub(crate) fn new() -> Self {
        let secp = Secp256k1::new();
        let schedule = schedule(&secp, Network::Regtest, Slashed::Burned).unwrap();
        let staker = Keypair::from_secret_key(&secp, &SecretKey::from_slice(&[5; 32]).unwrap());
        let terms = StakeTerms::under(
            schedule.latest(),
            staker.x_only_public_key().0,
            Providers::one(provider_keypair(&secp, 0).x_only_public_key().0),
            Timelock::new(1_000).unwrap(),
        )
        .unwrap();
        World { secp, schedule, terms }
    }

    pub(crate) fn staking_script(&self) -> ScriptBuf {
        self.terms.staking_output(&self.secp).script_pubkey().to_owned()
    }

    pub(crate) fn staker(&self) -> XOnlyPublicKey {
        self.terms.parties.staker()
    }

    pub(crate) fn claim(&self, registration: Registration) -> Claim {
        Claim {
            staker: self.staker(),
            providers: self.terms.parties.providers().clone(),
            staking_time: self.terms.staking_time,
            registration,
        }
    }

    /// The outputs of a phase-1 stake: the stake, and the OP_RETURN that says so.
    pub(crate) fn phase_1_outputs(&self) -> Vec<TxOut> {
        let tag = self.schedule.phase_1_at(Height::new(1)).unwrap().tag;
        let provider = self.terms.parties.providers().keys()[0];
        let staking_time = self.terms.staking_time.blocks();
        let data = OpReturn { tag, staker: self.staker(), provider, staking_time };
        vec![
            TxOut { value: STAKED, script_pubkey: self.staking_script() },
            TxOut { value: Amount::ZERO, script_pubkey: data.to_script() },
        ]
    }
}

pub(crate) fn policy(confirmations: u32) -> Policy {
    Policy::new(Depth::Confirmations(confirmations))
}

pub(crate) fn witness_script() -> ScriptBuf {
    Builder::new().push_opcode(OP_TRUE).into_script()
}

/// Coins of this script need no signature.
pub(crate) fn open_script() -> ScriptBuf {
    witness_script().to_p2wsh()
}

/// Spends a coin of [`open_script`].
pub(crate) fn spending(outpoint: OutPoint, output: Vec<TxOut>) -> Transaction {
    let input = TxIn {
        previous_output: outpoint,
        script_sig: ScriptBuf::new(),
        sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
        witness: Witness::from_slice(&[witness_script()]),
    };
    Transaction { version: Version::TWO, lock_time: LockTime::ZERO, input: vec![input], output }
}
