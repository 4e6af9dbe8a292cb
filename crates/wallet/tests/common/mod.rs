//! A staker with a wallet, for stories on a chain.
#![allow(dead_code, reason = "each test binary uses its own part")]

use bitcoin::secp256k1::{All, Secp256k1};
use bitcoin::{Amount, FeeRate, Network, Transaction};
use tapstake_crypto::pop::{Account, ProofOfPossession};
use tapstake_params::local::{self, Slashed};
use tapstake_params::{Height, StakingParams, Timelock};
use tapstake_script::{Providers, StakeTerms};
use tapstake_tx::delegation::CovenantProgress;
use tapstake_wallet::{
    CreateOptions, Exit, FundRequest, Origin, ReadyStake, RecoverySheet, Rehearsal, SeedPhrase, StakeFacts,
    StakePlan, StakeValue, Wallet,
};
use tempfile::TempDir;

pub(crate) struct Staker {
    pub(crate) wallet: Wallet,
    pub(crate) params: StakingParams,
    pub(crate) terms: StakeTerms,
    pub(crate) secp: Secp256k1<All>,
    folder: TempDir,
}

pub(crate) fn rate(sat_per_vb: u64) -> FeeRate {
    FeeRate::from_sat_per_vb(sat_per_vb).unwrap()
}

pub(crate) fn sat(value: u64) -> Amount {
    Amount::from_sat(value)
}

impl Staker {
    /// A staker with a fresh seed, who stakes for the shortest time there is, 20 blocks.
    pub(crate) fn new(network: Network) -> Self {
        Self::with_phrase(network, SeedPhrase::generate(12).unwrap())
    }

    pub(crate) fn with_phrase(network: Network, phrase: SeedPhrase) -> Self {
        let secp = Secp256k1::new();
        let folder = tempfile::tempdir().unwrap();
        let origin = Origin::seed(phrase);
        let wallet =
            Wallet::create(&folder.path().join("wallet"), CreateOptions::new(network, origin)).unwrap();
        let params = local::schedule(&secp, network, Slashed::Burned).unwrap().latest().clone();
        let provider = Providers::one(local::provider_keypair(&secp, 0).x_only_public_key().0);
        let key = wallet.staker_key(0).unwrap().x_only;
        let terms = StakeTerms::under(&params, key, provider, Timelock::new(20).unwrap()).unwrap();
        Staker { wallet, params, terms, secp, folder }
    }

    /// The process dies and another one opens the wallet.
    pub(crate) fn restart(self) -> Self {
        let network = self.wallet.network();
        drop(self.wallet);
        let wallet = Wallet::open(&self.folder.path().join("wallet"), network).unwrap();
        Staker { wallet, ..self }
    }

    /// Funds, locks, rehearses and signs.
    pub(crate) fn stake(&mut self, value: u64) -> ReadyStake {
        let plan = StakePlan {
            params: &self.params,
            terms: &self.terms,
            value: StakeValue::Exact(sat(value)),
            tag: Some(local::TAG),
        };
        let request = FundRequest::new(Vec::new(), rate(2));
        let pending = self.wallet.fund_stake(&self.secp, &plan, &request).unwrap();
        let home = self.wallet.next_change_address().unwrap().address.script_pubkey();
        let signer = self.wallet.signer(None).unwrap();
        let key = self.wallet.staker_key(0).unwrap();
        let exit =
            Rehearsal::new(pending.stake(), home, rate(2)).unwrap().sign(&self.secp, &signer, &key).unwrap();
        pending.sign(&self.wallet, &signer, Exit::Rehearsed(exit)).unwrap()
    }

    /// Has the public committee of the local parameters sign, as it signs for everybody; gives what may be sent.
    pub(crate) fn staking_tx(&self, ready: &ReadyStake) -> Transaction {
        let Staker { wallet, params, secp, .. } = self;
        let fee = params.slashing.as_ref().unwrap().min_fee;
        let key = wallet.signer(None).unwrap().keypair_of(&wallet.staker_key(0).unwrap()).unwrap();
        let account = Account::text("somebody").unwrap();
        let possession = ProofOfPossession::bip340(secp, key.keypair(), account, None, &[0; 32]);
        let draft = ready.draft(secp, wallet.network(), params, fee).unwrap();
        let signed = draft.sign(secp, key.keypair(), &[0; 32], possession).unwrap();
        let mut progress = None;
        for member in &local::covenant_keypairs(secp)[..local::THRESHOLD] {
            let signatures = signed.covenant_signatures(secp, member, &[0; 32]);
            let public = member.x_only_public_key().0;
            progress = Some(match progress {
                None => signed.clone().add(secp, public, signatures).unwrap(),
                Some(CovenantProgress::Partly(partly)) => partly.add(secp, public, signatures).unwrap(),
                Some(CovenantProgress::Verified(_)) => panic!("the quorum is all of these"),
            });
        }
        let Some(CovenantProgress::Verified(verified)) = progress else { panic!("a quorum signed") };
        verified.staking_tx().unwrap()
    }

    pub(crate) fn sheet(&self, ready: &ReadyStake) -> RecoverySheet {
        let facts = StakeFacts {
            network: self.wallet.network(),
            params_version: self.params.version,
            unbonding_fee: self.params.unbonding_fee,
            terms: self.terms.clone(),
            staker: self.wallet.staker_key(0).unwrap(),
            outpoint: ready.stake().outpoint(),
            value: ready.stake().value(),
            made_at: Height::new(self.wallet.height()),
            included_at: None,
        };
        RecoverySheet::new(&self.secp, facts).unwrap()
    }
}
