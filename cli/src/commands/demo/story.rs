//! The story: three stakes and their three endings.

use std::path::Path;

use bitcoin::key::Secp256k1;
use bitcoin::secp256k1::All;
use bitcoin::{Amount, FeeRate, Network};
use serde::Serialize;
use tapstake_params::local::{self, Slashed};
use tapstake_params::{Height, Schedule, StakingParams, Timelock};
use tapstake_prover::{claim_from_op_return, prove, sync_headers};
use tapstake_script::{Providers, StakeTerms};
use tapstake_tx::Stake;
use tapstake_verifier::headers::{Anchor, HeaderChain};
use tapstake_verifier::{Depth, IncludedStake, Policy, StakeProof, VerifyError, verify};
use tapstake_wallet::{
    CreateOptions, Exit, FundRequest, Origin, Rehearsal, SeedPhrase, Signer, StakePlan, StakeValue, Wallet,
};

use super::ground::Ground;
use super::report::{Report, Step, mining_bar};
use crate::error::Result;
use crate::spending::now;

/// What the wallet pays, everywhere in the story.
pub(super) const FEE_RATE: FeeRate = FeeRate::from_sat_per_vb_u32(2);
/// Confirmations before a stake is proven.
const CONFIRMATIONS: u32 = 3;

/// What became of it all, in satoshi.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    pub(super) funded_sat: u64,
    pub(super) back_in_wallet_sat: u64,
    pub(super) burned_sat: u64,
    pub(super) fees_sat: u64,
    pub(super) tip: Height,
    pub(super) refused_forgeries: usize,
    pub(super) seconds: f64,
}

/// A stake on its way through the story.
pub(super) struct Told {
    pub(super) name: &'static str,
    pub(super) stake: Stake,
    /// The index of its staker key.
    pub(super) staker: u32,
    pub(super) proof: StakeProof,
}

pub(crate) struct Story<'g> {
    pub(super) ground: &'g Ground,
    pub(super) report: &'g mut Report,
    pub(super) secp: Secp256k1<All>,
    pub(super) schedule: Schedule,
    pub(super) wallet: Wallet,
    pub(super) signer: Signer,
    headers: HeaderChain,
    pub(super) fees: Amount,
    pub(super) burned: Amount,
    pub(super) refused: usize,
}

impl<'g> Story<'g> {
    /// A story on regtest, with a new wallet in `folder`.
    pub(crate) fn begin(ground: &'g Ground, report: &'g mut Report, folder: &Path) -> Result<Self> {
        let secp = Secp256k1::new();
        let schedule = local::schedule(&secp, Network::Regtest, Slashed::Burned)?;
        let phrase = SeedPhrase::generate(12)?;
        let mut options = CreateOptions::new(Network::Regtest, Origin::seed(phrase));
        options.birthday = ground.source().tip()?.height.to_u32();
        let wallet = Wallet::create(folder, options)?;
        let signer = wallet.signer(None)?;
        let headers = HeaderChain::new(Anchor::genesis(Network::Regtest), 6);
        let (fees, burned) = (Amount::ZERO, Amount::ZERO);
        Ok(Story { ground, report, secp, schedule, wallet, signer, headers, fees, burned, refused: 0 })
    }

    /// Tells it from the first block to the last.
    pub(crate) fn tell(mut self) -> Result<Summary> {
        self.report.header();
        self.report.chapter("A wallet is funded, and three stakes are locked");
        let funded = self.fund()?;
        let locked = [("A", 0, 40), ("B", 1, 1_000), ("C", 2, 1_000)];
        let locked = locked.map(|(name, staker, blocks)| (name, staker, self.lock(name, staker, blocks)));

        self.report.chapter("Each is proven to be on Bitcoin, and the proof verified");
        let height = self.mine(CONFIRMATIONS)?;
        self.step(Step { what: "wait for confirmations", height: Some(height), ..step() });
        let [a, b, c] = locked.map(|(name, staker, stake)| self.prove(name, staker, stake?));
        let (a, b, c) = (a?, b?, c?);

        self.report.chapter("Forged proofs are refused by the rule they break");
        self.forge(&a)?;

        self.report.chapter("B is unbonded early by staker and covenant, and withdrawn");
        self.unbond(&b)?;

        self.report.chapter("C's provider key is known: C is slashed, and the refund withdrawn");
        self.slash(&c)?;

        self.report.chapter("A expires, and its staker withdraws alone");
        self.expire(&a)?;
        self.sum_up(funded)
    }

    pub(super) fn step(&mut self, step: Step) {
        self.report.step(step);
    }

    pub(super) fn params(&self) -> StakingParams {
        self.schedule.latest().clone()
    }

    pub(super) fn tip(&self) -> Result<Height> {
        Ok(self.ground.source().tip()?.height)
    }

    /// Mines blocks, a bar moving, and returns the new tip.
    pub(super) fn mine(&self, blocks: u32) -> Result<Height> {
        let bar = mining_bar(blocks);
        for _ in 0..blocks {
            self.ground.mine(1)?;
            bar.inc(1);
        }
        bar.finish_and_clear();
        self.ground.settle()?;
        self.tip()
    }

    /// Mines until the tip is at `height`.
    pub(super) fn mine_to(&self, height: Height) -> Result<Height> {
        match height.blocks_since(self.tip()?) {
            Some(blocks) if blocks > 0 => self.mine(blocks),
            _ => self.tip(),
        }
    }

    /// Three coins for three stakes, and a hundred blocks to make them spendable.
    fn fund(&mut self) -> Result<Amount> {
        for _ in 0..3 {
            let script = self.wallet.new_address()?.address.script_pubkey();
            self.ground.mine_to(1, &script)?;
        }
        let height = self.mine(100)?;
        self.ground.sync(&mut self.wallet)?;
        let value = self.wallet.balance().confirmed;
        let note = "3 coins of a new BIP-0086 wallet, mature".to_owned();
        self.step(Step {
            what: "fund wallet",
            value: Some(value),
            height: Some(height),
            note: Some(note),
            ..step()
        });
        Ok(value)
    }

    fn lock(&mut self, name: &'static str, index: u32, blocks: u32) -> Result<Stake> {
        let params = self.params();
        let staker = self.wallet.staker_key(index)?;
        let provider = local::provider_keypair(&self.secp, 0).x_only_public_key().0;
        let time = Timelock::new(blocks)?;
        let terms = StakeTerms::under(&params, staker.x_only, Providers::one(provider), time)?;
        let tag = params.phase_1.as_ref().map(|phase_1| phase_1.tag);
        let plan =
            StakePlan { params: &params, terms: &terms, value: StakeValue::Exact(Amount::ONE_BTC), tag };
        let pending = self.wallet.fund_stake(&self.secp, &plan, &FundRequest::new(Vec::new(), FEE_RATE))?;
        let stake = pending.stake().clone();

        let destination = self.wallet.next_unused_address()?.address.script_pubkey();
        let rehearsal = Rehearsal::new(&stake, destination, FEE_RATE)?;
        let exit = rehearsal.sign(&self.secp, &self.signer, &staker)?;
        let (kept, value) = (exit.withdrawal().compute_txid(), exit.withdrawal().output[0].value);
        self.step(Step {
            stake: Some(name),
            what: "rehearse exit, signed and kept",
            txid: Some(kept),
            value: Some(value),
            ..step()
        });

        let ready = pending.sign(&self.wallet, &self.signer, Exit::Rehearsed(exit))?;
        let txid = self.ground.source().broadcast(ready.tx())?;
        self.wallet.note_broadcast(ready.tx().clone(), now())?;
        self.fees += pending.fee();
        self.step(Step {
            stake: Some(name),
            what: "lock stake",
            txid: Some(txid),
            value: Some(stake.value()),
            fee: Some(pending.fee()),
            note: Some(format!("for {blocks} blocks")),
            ..step()
        });
        Ok(stake)
    }

    fn prove(&mut self, name: &'static str, staker: u32, stake: Stake) -> Result<Told> {
        let source = self.ground.source();
        let outpoint = stake.outpoint();
        let info = source.transaction(&outpoint.txid)?;
        let info = info.ok_or_else(|| crate::error::Error::failed("the source forgot a stake"))?;
        let proof =
            prove(source, outpoint, info.block.map(|block| block.height), claim_from_op_return(&info.tx)?)?;
        self.step(Step {
            stake: Some(name),
            what: "prove",
            txid: Some(outpoint.txid),
            value: Some(stake.value()),
            height: Some(proof.inclusion_height),
            note: Some(format!("{} bytes", proof.to_bytes().len())),
            ..step()
        });
        sync_headers(source, &mut self.headers, |_| {})?;
        let included = self.verify(&proof)?;
        self.step(Step {
            stake: Some(name),
            what: "verify",
            txid: Some(included.outpoint().txid),
            value: Some(included.value()),
            height: Some(included.inclusion_height()),
            note: Some(format!(
                "{} confirmations, valid until height {}",
                included.confirmations(),
                included.expires_at()
            )),
            ..step()
        });
        Ok(Told { name, stake, staker, proof })
    }

    pub(super) fn verify(&self, proof: &StakeProof) -> Result<IncludedStake, VerifyError> {
        let policy = Policy::new(Depth::Confirmations(CONFIRMATIONS));
        verify(&self.secp, proof, &self.headers, &self.schedule, &policy)
    }
}

pub(super) fn step() -> Step {
    Step::default()
}
