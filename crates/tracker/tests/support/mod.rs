//! What several test files share: a chain, its Electrum server, and somebody with coins on it.
#![allow(dead_code, reason = "each test file uses a part of it")]

use bitcoin::absolute::LockTime;
use bitcoin::hashes::Hash;
use bitcoin::key::{Keypair, Secp256k1, TapTweak};
use bitcoin::secp256k1::{All, Message};
use bitcoin::sighash::{Prevouts, SighashCache, TapSighashType};
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, FeeRate, Network, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness, taproot,
};
use tapstake_chain::{ElectrumConfig, SourceConfig, connect};
use tapstake_crypto::pop::{Account, ProofOfPossession};
use tapstake_devnet::{AcceptError, Config, Devnet};
use tapstake_params::local::{self, Slashed};
use tapstake_params::{Height, StakingParams, Timelock};
use tapstake_script::{Providers, StakeTerms};
use tapstake_tracker::{Observed, StakeRecord, StakeState, TrackerError, observe};
use tapstake_tx::delegation::{CheckedDelegation, Delegation, PreSigned, Verified};
use tapstake_tx::{
    Coin, LeafSpend, Signatures, Slashable, SlashingTx, Stake, UnbondingTx, Withdrawable, Withdrawal,
    staking_outputs,
};

pub(crate) const VALUE: Amount = Amount::from_sat(1_000_000);

/// A chain with a holder of coins, a provider and a committee of which three sign.
pub(crate) struct Stage {
    pub(crate) secp: Secp256k1<All>,
    pub(crate) devnet: Devnet,
    pub(crate) source: Box<dyn tapstake_chain::ChainSource>,
    pub(crate) params: StakingParams,
    pub(crate) staker: Keypair,
    provider: Keypair,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let secp = Secp256k1::new();
        let devnet = Devnet::start(&Config::default()).unwrap();
        devnet.mine(101).unwrap();
        let source = source(&devnet.electrum_url());
        let params = local::schedule(&secp, Network::Regtest, Slashed::Burned).unwrap().latest().clone();
        let staker = Keypair::from_seckey_slice(&secp, &[7; 32]).unwrap();
        let provider = local::provider_keypair(&secp, 0);
        Stage { secp, devnet, source, params, staker, provider }
    }

    pub(crate) fn terms(&self, blocks: u32) -> StakeTerms {
        let (staker, provider) = (self.staker.x_only_public_key().0, self.provider.x_only_public_key().0);
        let time = Timelock::new(blocks).unwrap();
        StakeTerms::under(&self.params, staker, Providers::one(provider), time).unwrap()
    }

    pub(crate) fn tip(&self) -> Height {
        Height::new(self.devnet.tip().height)
    }

    /// The holder's own key, for the key path (BIP-0086).
    fn purse(&self) -> Keypair {
        self.staker.tap_tweak(&self.secp, None).to_keypair()
    }

    /// Where the holder is paid.
    pub(crate) fn address(&self) -> ScriptBuf {
        ScriptBuf::new_p2tr(&self.secp, self.staker.x_only_public_key().0, None)
    }

    /// A coin of the holder's, in a block.
    pub(crate) fn coin(&self, value: Amount) -> (OutPoint, TxOut) {
        let output = TxOut { value, script_pubkey: self.address() };
        let txid = self.devnet.fund(&output.script_pubkey, value).unwrap();
        self.devnet.mine(1).unwrap();
        let tx = self.devnet.transaction(&txid).unwrap();
        let vout = tx.output.iter().position(|other| *other == output).unwrap();
        (OutPoint { txid, vout: vout.try_into().unwrap() }, output)
    }

    /// Spends a coin of the holder's, replaceably.
    pub(crate) fn pay(&self, coin: &(OutPoint, TxOut), output: Vec<TxOut>) -> Transaction {
        let input = TxIn {
            previous_output: coin.0,
            script_sig: ScriptBuf::new(),
            sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
            witness: Witness::new(),
        };
        let mut tx =
            Transaction { version: Version::TWO, lock_time: LockTime::ZERO, input: vec![input], output };
        let sighash = SighashCache::new(&tx)
            .taproot_key_spend_signature_hash(0, &Prevouts::All(&[&coin.1]), TapSighashType::Default)
            .unwrap();
        let message = Message::from_digest(sighash.to_byte_array());
        let signature = self.secp.sign_schnorr_no_aux_rand(&message, &self.purse());
        let signature = taproot::Signature { signature, sighash_type: TapSighashType::Default };
        tx.input[0].witness = Witness::p2tr_key_spend(&signature);
        tx
    }

    /// A stake of [`VALUE`] whose transaction is signed and not sent, out of this coin.
    pub(crate) fn prepare_from(&self, coin: &(OutPoint, TxOut), blocks: u32) -> StakeRecord {
        let terms = self.terms(blocks);
        let outputs = staking_outputs(&self.secp, &self.params, &terms, VALUE, None).unwrap();
        let tx = self.pay(coin, outputs);
        let stake = Stake::find(&self.secp, terms, &tx, VALUE).unwrap();
        StakeRecord::new(Network::Regtest, &stake, &self.params, tx, self.tip()).unwrap()
    }

    /// The delegation of a prepared stake, as the staker signed it.
    pub(crate) fn pre_signed(&self, record: &StakeRecord) -> Delegation<PreSigned> {
        let (secp, params) = (&self.secp, &self.params);
        let tx = record.staking_tx.clone().unwrap();
        let prevout = |input: &TxIn| {
            let OutPoint { txid, vout } = input.previous_output;
            self.devnet.transaction(&txid).unwrap().output[vout as usize].clone()
        };
        let prevouts: Vec<TxOut> = tx.input.iter().map(prevout).collect();
        let fee = params.slashing.as_ref().unwrap().min_fee;
        let terms = record.terms.clone();
        let draft =
            Delegation::build(secp, Network::Regtest, params, terms, tx, &prevouts, record.value, fee);
        let account = Account::text("somebody").unwrap();
        let possession = ProofOfPossession::bip340(secp, &self.staker, account, None, &[0; 32]);
        draft.unwrap().sign(secp, &self.staker, &[0; 32], possession).unwrap()
    }

    /// The same with the signatures of three members.
    pub(crate) fn verified(&self, record: &StakeRecord) -> Delegation<Verified> {
        let secp = &self.secp;
        let signed = self.pre_signed(record);
        let mut package = signed.package();
        for member in &local::covenant_keypairs(secp)[..local::THRESHOLD] {
            let signatures = signed.covenant_signatures(secp, member, &[0; 32]);
            package.parts.covenant.insert(member.x_only_public_key().0, signatures);
        }
        let schedule = local::schedule(secp, Network::Regtest, Slashed::Burned).unwrap();
        match package.check(secp, &schedule).unwrap() {
            CheckedDelegation::Verified(verified) => verified,
            other => panic!("{other:?}"),
        }
    }

    /// As [`Stage::prepare_from`], out of a new coin.
    pub(crate) fn prepare(&self, blocks: u32) -> StakeRecord {
        self.prepare_from(&self.coin(VALUE + Amount::from_sat(500)), blocks)
    }

    /// A stake in a block.
    pub(crate) fn staked(&self, blocks: u32) -> StakeRecord {
        let record = self.prepare(blocks);
        self.devnet.broadcast(record.staking_tx.as_ref().unwrap()).unwrap();
        self.devnet.mine(1).unwrap();
        record
    }

    pub(crate) fn observe(&self, record: &StakeRecord) -> Observed {
        self.try_observe(record).unwrap()
    }

    pub(crate) fn try_observe(&self, record: &StakeRecord) -> Result<Observed, TrackerError> {
        observe(self.source.as_ref(), &self.secp, record)
    }

    pub(crate) fn state(&self, record: &StakeRecord) -> StakeState {
        self.observe(record).state
    }

    pub(crate) fn unbonding(&self, record: &StakeRecord) -> (UnbondingTx, Transaction) {
        let stake = record.stake(&self.secp);
        let unbonding = UnbondingTx::build(&self.secp, &stake, record.params.unbonding_fee).unwrap();
        let signatures = self.sign(&unbonding.spend(&stake), &[self.staker]);
        let tx = unbonding.finish(&self.secp, &stake, &signatures).unwrap();
        (unbonding, tx)
    }

    pub(crate) fn slashing<O: Slashable>(
        &self,
        record: &StakeRecord,
        coin: &Coin<O>,
    ) -> (SlashingTx, Transaction) {
        let stake = record.stake(&self.secp);
        let rules = record.params.slashing.as_ref().unwrap().into();
        let slashing =
            SlashingTx::build(coin, stake.refund_output(), &rules, Amount::from_sat(2_000)).unwrap();
        let signatures = self.sign(&slashing.spend(coin), &[self.staker, self.provider]);
        let tx = slashing.finish(&self.secp, coin, &signatures).unwrap();
        (slashing, tx)
    }

    pub(crate) fn withdrawal(&self, coin: &Withdrawable) -> Transaction {
        let rate = FeeRate::from_sat_per_vb(2).unwrap();
        let withdrawal = Withdrawal::build(vec![coin.clone()], self.address(), rate).unwrap();
        let signatures: Signatures = [withdrawal.spends()[0].sign(&self.secp, &self.staker, &[0; 32])].into();
        withdrawal.finish(&self.secp, &[signatures]).unwrap()
    }

    /// These keys' signatures and those of three covenant members.
    pub(crate) fn sign(&self, spend: &LeafSpend<'_>, keys: &[Keypair]) -> Signatures {
        let covenant = local::covenant_keypairs(&self.secp);
        let signers = covenant[..local::THRESHOLD].iter().chain(keys);
        signers.map(|key| spend.sign(&self.secp, key, &[0; 32])).collect()
    }

    pub(crate) fn send(&self, tx: &Transaction) -> Txid {
        self.devnet.broadcast_burning(tx, Amount::MAX_MONEY).unwrap()
    }

    /// Mines block by block until the stake can be withdrawn, and sees at each tip that the state says so exactly
    /// when the mempool takes the withdrawal. Then withdraws into a block.
    pub(crate) fn withdraw_as_soon_as_possible(&self, record: &StakeRecord) -> Txid {
        let expected = self.observe(record).state.withdrawable_at().unwrap();
        loop {
            let seen = self.observe(record);
            let withdrawal = self.withdrawal(seen.withdrawable().unwrap());
            assert_eq!(seen.state.withdrawable_at(), Some(expected));
            match self.devnet.test_accept(&withdrawal, Amount::ZERO) {
                Ok(_) => {
                    assert!(seen.state.is_withdrawable(), "accepted, but {}", seen.state);
                    assert_eq!(self.tip().saturating_add(1), expected);
                    self.send(&withdrawal);
                    return withdrawal.compute_txid();
                }
                Err(error) => {
                    assert!(matches!(error, AcceptError::SequenceLocked { .. }), "{error}");
                    assert!(error.to_string().contains("non-BIP68-final"));
                    assert!(!seen.state.is_withdrawable(), "refused, but {}", seen.state);
                }
            }
            self.devnet.mine(1).unwrap();
        }
    }
}

pub(crate) fn source(url: &str) -> Box<dyn tapstake_chain::ChainSource> {
    connect(&SourceConfig::Electrum(ElectrumConfig::new(url)), Network::Regtest).unwrap()
}
