//! A staker, two providers, a committee of 3 of 5, and the delegations they make.

use bitcoin::absolute::LockTime;
use bitcoin::hashes::Hash;
use bitcoin::key::{Keypair, Secp256k1};
use bitcoin::secp256k1::{All, Message, SecretKey, schnorr};
use bitcoin::sighash::{Prevouts, SighashCache, TapSighashType};
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, Network, OutPoint, ScriptBuf, Sequence, TapLeafHash, Transaction, TxIn, TxOut, Txid, WPubkeyHash,
    Witness, XOnlyPublicKey,
};
use tapstake_crypto::pop::{Account, Context, ProofOfPossession};
use tapstake_params::{Height, Quorum, Schedule, Slashing, SlashingRate, StakingParams, Timelock};
use tapstake_script::{Providers, StakeTerms};
use tapstake_signer::covenant::{LocalKey, Policy};
use tapstake_tx::delegation::{Delegation, DelegationPackage, Draft, StakerSignatures};
use tapstake_tx::{Stake, UnbondingTx};

pub(crate) const STAKER: u32 = 0;
pub(crate) const PROVIDERS: u32 = 1_000;
pub(crate) const MEMBERS: u32 = 2_000;
/// The least fee of a slashing transaction is 2,000 sat.
pub(crate) const SLASHING_FEE: u64 = 3_000;

pub(crate) fn secp() -> Secp256k1<All> {
    Secp256k1::new()
}

pub(crate) fn keypair(number: u32) -> Keypair {
    let mut bytes = [1; 32];
    bytes[28..].copy_from_slice(&number.to_be_bytes());
    Keypair::from_secret_key(&secp(), &SecretKey::from_slice(&bytes).unwrap())
}

pub(crate) fn key(number: u32) -> XOnlyPublicKey {
    keypair(number).x_only_public_key().0
}

pub(crate) fn member(index: u32) -> LocalKey {
    LocalKey::new(keypair(MEMBERS + index))
}

pub(crate) fn sat(amount: u64) -> Amount {
    Amount::from_sat(amount)
}

pub(crate) fn blocks(blocks: u32) -> Timelock {
    Timelock::new(blocks).unwrap()
}

pub(crate) fn coin(number: u8) -> OutPoint {
    OutPoint { txid: Txid::from_byte_array([number; 32]), vout: u32::from(number) }
}

pub(crate) fn quorum(threshold: usize, numbers: impl IntoIterator<Item = u32>) -> Quorum {
    Quorum::new(threshold, numbers.into_iter().map(|number| key(MEMBERS + number)).collect()).unwrap()
}

pub(crate) fn params() -> StakingParams {
    StakingParams {
        version: 0,
        activation_height: Height::GENESIS,
        covenant: quorum(3, 0..5),
        min_staking_value: sat(50_000),
        max_staking_value: sat(100_000_000),
        min_staking_time: blocks(100),
        max_staking_time: blocks(64_000),
        unbonding_time: blocks(200),
        unbonding_fee: sat(1_000),
        slashing: Some(Slashing {
            rate: SlashingRate::from_ten_thousandths(1_000).unwrap(),
            pk_script: ScriptBuf::new_op_return(b"burned"),
            min_fee: sat(2_000),
        }),
        phase_1: None,
    }
}

pub(crate) fn policy(versions: Vec<StakingParams>) -> Policy {
    Policy::new(Schedule::new(Network::Regtest, versions).unwrap())
}

pub(crate) fn wallet_script() -> ScriptBuf {
    ScriptBuf::new_p2wpkh(&WPubkeyHash::from_byte_array([5; 20]))
}

/// What a staker makes.
#[derive(Clone)]
pub(crate) struct Make {
    pub(crate) params: StakingParams,
    pub(crate) value: u64,
    pub(crate) time: u32,
    /// What the staking transaction pays to the miners.
    pub(crate) fee: u64,
    pub(crate) funding: OutPoint,
    pub(crate) funding_script: ScriptBuf,
    pub(crate) providers: Vec<u32>,
    pub(crate) slashing_fee: u64,
    pub(crate) possession: ProofOfPossession,
}

pub(crate) fn account() -> Account {
    Account::text("the staker's account").unwrap()
}

pub(crate) fn possession(context: Option<Context>) -> ProofOfPossession {
    ProofOfPossession::bip340(&secp(), &keypair(STAKER), account(), context, &[0; 32])
}

impl Default for Make {
    fn default() -> Self {
        Make {
            params: params(),
            value: 1_000_000,
            time: 1_000,
            fee: 2_000,
            funding: coin(9),
            funding_script: wallet_script(),
            providers: vec![0, 1],
            slashing_fee: SLASHING_FEE,
            possession: possession(None),
        }
    }
}

impl Make {
    pub(crate) fn terms(&self) -> StakeTerms {
        let providers = self.providers.iter().map(|number| key(PROVIDERS + number)).collect();
        StakeTerms::under(&self.params, key(STAKER), Providers::new(providers).unwrap(), blocks(self.time))
            .unwrap()
    }

    /// The staking output first, then 50,000 sat of change.
    pub(crate) fn staking_tx(&self) -> Transaction {
        let script_pubkey = self.terms().staking_output(&secp()).script_pubkey().clone();
        Transaction {
            version: Version::TWO,
            lock_time: LockTime::ZERO,
            input: vec![input(self.funding)],
            output: vec![
                TxOut { value: sat(self.value), script_pubkey },
                TxOut { value: sat(50_000), script_pubkey: wallet_script() },
            ],
        }
    }

    pub(crate) fn prevout(&self) -> TxOut {
        TxOut { value: sat(self.value + 50_000 + self.fee), script_pubkey: self.funding_script.clone() }
    }

    pub(crate) fn draft(&self) -> Delegation<Draft> {
        Delegation::build(
            &secp(),
            Network::Regtest,
            &self.params,
            self.terms(),
            self.staking_tx(),
            &[self.prevout()],
            sat(self.value),
            sat(self.slashing_fee),
        )
        .unwrap()
    }

    /// The delegation with everything that the staker signs.
    pub(crate) fn package(&self) -> DelegationPackage {
        let draft = self.draft();
        draft.sign(&secp(), &keypair(STAKER), &[0; 32], self.possession.clone()).unwrap().package()
    }
}

pub(crate) fn input(previous_output: OutPoint) -> TxIn {
    TxIn { previous_output, script_sig: ScriptBuf::new(), sequence: Sequence::MAX, witness: Witness::new() }
}

/// Puts another staking transaction under everything that is signed on top: all of it hangs on the txid.
pub(crate) fn restake(
    package: &mut DelegationPackage,
    tx: Transaction,
    prevouts: Vec<TxOut>,
    params: &StakingParams,
) {
    package.staking_tx = tx.into();
    package.prevouts = prevouts;
    let stake = package.outpoint();
    package.parts.unbonding_tx.input[0].previous_output = stake;
    package.parts.slashing_tx.input[0].previous_output = stake;
    sign_again(package, params);
}

/// Follows a change of the transactions: the slashing of the unbonding output spends the unbonding transaction as it is now,
/// and the staker signs both slashings as they are now. The terms are those of `params`.
pub(crate) fn sign_again(package: &mut DelegationPackage, params: &StakingParams) {
    let outpoint = OutPoint { txid: package.parts.unbonding_tx.compute_txid(), vout: 0 };
    if let Some(input) = package.parts.unbonding_slashing_tx.input.first_mut() {
        input.previous_output = outpoint;
    }
    only_sign(package, params);
}

/// The staker signs both slashings as they are.
pub(crate) fn only_sign(package: &mut DelegationPackage, params: &StakingParams) {
    let secp = secp();
    let terms = package.terms(params).unwrap();
    let stake = Stake::new(&secp, terms, package.outpoint(), package.value);
    // Digests are over what is really spent: the value of the unbonding output as it is.
    let unbonding = UnbondingTx::build(&secp, &stake, params.unbonding_fee).unwrap();
    let mut unbonded = unbonding.coin().to_txout();
    if let Some(output) = package.parts.unbonding_tx.output.first() {
        unbonded.value = output.value;
    }
    let leaf = stake.coin().output.slashing().leaf_hash;
    let slashing = sign(&package.parts.slashing_tx, &stake.coin().to_txout(), leaf, STAKER);
    let leaf = unbonding.coin().output.slashing().leaf_hash;
    let unbonding_slashing = sign(&package.parts.unbonding_slashing_tx, &unbonded, leaf, STAKER);
    package.parts.staker = Some(StakerSignatures { slashing, unbonding_slashing });
}

fn sign(tx: &Transaction, prevout: &TxOut, leaf: TapLeafHash, signer: u32) -> schnorr::Signature {
    let prevouts = vec![prevout.clone(); tx.input.len()];
    let digest = SighashCache::new(tx)
        .taproot_script_spend_signature_hash(0, &Prevouts::All(&prevouts), leaf, TapSighashType::Default)
        .unwrap();
    secp().sign_schnorr_no_aux_rand(&Message::from(digest), &keypair(signer))
}
