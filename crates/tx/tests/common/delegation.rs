//! A delegation with everybody's keys, in any state.

use bitcoin::absolute::LockTime;
use bitcoin::hashes::Hash;
use bitcoin::key::Keypair;
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, Network, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, WPubkeyHash, Witness,
};
use tapstake_crypto::ExposedKey;
use tapstake_crypto::pop::{Account, ProofOfPossession};
use tapstake_params::{Schedule, StakingParams, Timelock};
use tapstake_script::{Providers, StakeTerms};
use tapstake_tx::delegation::{
    AwaitsCovenant, CheckedDelegation, CovenantProgress, Delegation, DelegationError, DelegationPackage,
    Draft, PreSigned, Verified,
};
use tapstake_tx::{ExpansionError, ExpansionTx, Funding};

use super::{World, key, outpoint, world};

pub(crate) const FEE: Amount = Amount::from_sat(3_000);
pub(crate) const VALUE: Amount = Amount::from_sat(1_000_000);

pub(crate) fn p2wpkh(n: u8) -> ScriptBuf {
    ScriptBuf::new_p2wpkh(&WPubkeyHash::from_byte_array([n; 20]))
}

/// A witness of the right shape: whether it is right is for nodes to say.
pub(crate) fn some_witness() -> Witness {
    Witness::from_slice(&[vec![0x30; 71], vec![2; 33]])
}

pub(crate) fn terms_under(world: &World, params: &StakingParams) -> StakeTerms {
    let providers = Providers::new(world.providers.iter().map(key).collect()).unwrap();
    StakeTerms::under(params, key(&world.staker), providers, Timelock::new(1_000).unwrap()).unwrap()
}

/// A staking transaction of one P2WPKH input, signed, with change before the stake; and its prevout.
pub(crate) fn staking_tx(terms: &StakeTerms, value: Amount) -> (Transaction, Vec<TxOut>) {
    let secp = bitcoin::key::Secp256k1::new();
    let input = TxIn {
        previous_output: outpoint(9),
        script_sig: ScriptBuf::new(),
        sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
        witness: some_witness(),
    };
    let output = vec![
        TxOut { value: Amount::from_sat(40_000), script_pubkey: p2wpkh(1) },
        TxOut { value, script_pubkey: terms.staking_output(&secp).script_pubkey().clone() },
    ];
    let tx = Transaction { version: Version::TWO, lock_time: LockTime::ZERO, input: vec![input], output };
    let prevout = TxOut { value: value + Amount::from_sat(41_000), script_pubkey: p2wpkh(2) };
    (tx, vec![prevout])
}

impl World {
    pub(crate) fn schedule(&self) -> Schedule {
        Schedule::new(Network::Regtest, vec![self.params.clone()]).unwrap()
    }

    pub(crate) fn draft(&self) -> Delegation<Draft> {
        let terms = terms_under(self, &self.params);
        let (tx, prevouts) = staking_tx(&terms, VALUE);
        let params = &self.params;
        Delegation::build(&self.secp, Network::Regtest, params, terms, tx, &prevouts, VALUE, FEE).unwrap()
    }

    pub(crate) fn possession(&self) -> ProofOfPossession {
        let account = Account::text("an account").unwrap();
        ProofOfPossession::bip340(&self.secp, &self.staker, account, None, &[0; 32])
    }

    pub(crate) fn pre_signed(&self) -> Delegation<PreSigned> {
        self.draft().sign(&self.secp, &self.staker, &[0; 32], self.possession()).unwrap()
    }

    /// Signed by the first members, as many as these.
    pub(crate) fn signed_by(&self, members: usize) -> DelegationPackage {
        let mut package = self.pre_signed().package();
        for member in &self.covenant[..members] {
            let delegation = self.pre_signed();
            let signatures = delegation.covenant_signatures(&self.secp, member, &[0; 32]);
            package.parts.covenant.insert(key(member), signatures);
        }
        package
    }

    /// Signed by exactly a quorum.
    pub(crate) fn verified(&self) -> Delegation<Verified> {
        verified(self.check(&self.signed_by(self.params.covenant.threshold())).unwrap())
    }

    pub(crate) fn check(&self, package: &DelegationPackage) -> Result<CheckedDelegation, DelegationError> {
        package.check(&self.secp, &self.schedule())
    }

    /// What a provider's equivocation gives away.
    pub(crate) fn exposed(&self, provider: &Keypair) -> ExposedKey {
        ExposedKey::from_bytes(&self.secp, &provider.secret_bytes(), &key(provider)).unwrap()
    }
}

pub(crate) fn verified(checked: CheckedDelegation) -> Delegation<Verified> {
    match checked {
        CheckedDelegation::Verified(delegation) => delegation,
        other => panic!("not verified: {other:?}"),
    }
}

/// Adds all of a member's signatures.
pub(crate) fn add_all<S: AwaitsCovenant>(
    world: &World,
    delegation: Delegation<S>,
    member: &Keypair,
) -> Result<CovenantProgress, DelegationError> {
    let signatures = delegation.covenant_signatures(&world.secp, member, &[0; 32]);
    delegation.add(&world.secp, key(member), signatures)
}

/// The stake of [`world`] moved into one of more value under the same parameters.
pub(crate) fn expansion(world: &World, value: Amount) -> Result<ExpansionTx, ExpansionError> {
    let terms = terms_under(world, &world.params);
    let change = vec![TxOut { value: Amount::from_sat(50_000), script_pubkey: p2wpkh(5) }];
    let added = value.checked_sub(world.stake.value()).unwrap_or_default();
    let prevout = TxOut { value: added + Amount::from_sat(52_000), script_pubkey: p2wpkh(4) };
    let funding = Funding { outpoint: OutPoint { vout: 1, ..outpoint(8) }, prevout, change };
    ExpansionTx::build(&world.secp, &world.stake, terms, value, funding)
}

pub(crate) fn default_world() -> World {
    world(2, (3, 5))
}
