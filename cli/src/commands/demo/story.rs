//! The story: three stakes, an expansion, restaking, and three endings.

use std::path::Path;

use bitcoin::key::Secp256k1;
use bitcoin::secp256k1::All;
use bitcoin::{Amount, FeeRate, Network, XOnlyPublicKey};
use serde::Serialize;
use tapstake_params::local::{self, Slashed};
use tapstake_params::{Height, Schedule, StakingParams};
use tapstake_prover::{carry_delegation, claim_from_delegation, prove, sync_headers};
use tapstake_tx::Stake;
use tapstake_tx::delegation::{Delegation, Verified};
use tapstake_verifier::headers::{Anchor, HeaderChain};
use tapstake_verifier::{
    Depth, Policy, ServicePolicy, StakeProof, VerifiedStake, VerifyError, verify_slashable,
};
use tapstake_wallet::{CreateOptions, Origin, SeedPhrase, Signer, Wallet};

use super::books::{Books, Restaking};
use super::ground::Ground;
use super::report::{Report, Step, mining_bar};
use crate::error::{Error, Result};

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
    pub(super) restaking: Restaking,
    pub(super) seconds: f64,
}

/// A stake that is locked, with all that was signed in advance of it.
pub(super) struct Locked {
    pub(super) name: &'static str,
    /// The index of its staker key.
    pub(super) staker: u32,
    pub(super) delegation: Delegation<Verified>,
}

/// A stake on its way through the story, proven to be there.
pub(super) struct Told {
    pub(super) name: &'static str,
    pub(super) staker: u32,
    pub(super) delegation: Delegation<Verified>,
    pub(super) proof: StakeProof,
    pub(super) verified: VerifiedStake,
}

impl Told {
    pub(super) fn stake(&self) -> &Stake {
        self.delegation.stake()
    }
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
    pub(super) books: Books,
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
        let books = Books::default();
        Ok(Story { ground, report, secp, schedule, wallet, signer, headers, fees, burned, refused: 0, books })
    }

    /// Tells it from the first block to the last.
    pub(crate) fn tell(mut self) -> Result<Summary> {
        self.report.header();
        self.report.chapter("A wallet is funded");
        let funded = self.fund()?;
        let [first, second] = [self.provider(0), self.provider(1)];

        self.report.chapter("Three stakes: the staker signs in advance, the covenant signs the ways out, then coins are locked");
        let a = self.lock("A", 0, 40, vec![first])?;
        let b = self.lock("B", 1, 1_000, vec![second])?;
        let c = self.lock("C", 2, 1_000, vec![first, second])?;

        self.report.chapter("Each is proven to be on Bitcoin and to be slashable, and the proof verified");
        let height = self.mine(CONFIRMATIONS)?;
        self.step(Step { what: "wait for confirmations", height: Some(height), ..step() });
        let (a, b, c) = (self.prove(a)?, self.prove(b)?, self.prove(c)?);

        self.report.chapter("Forged proofs are refused by the rule they break");
        self.forge(&a)?;

        self.report.chapter("B moves into D, a larger stake, without ever being free");
        let d = self.expand(&b, "D", Amount::from_sat(150_000_000))?;
        self.mine(CONFIRMATIONS)?;
        let d = self.prove(d)?;

        self.report.chapter("A expires, and its staker withdraws alone");
        self.expire(&a)?;

        self.report
            .chapter("C secures two services and D one: each counts the whole stake, which can be lost once");
        self.secure(&c, &d, [first, second])?;
        self.reward(&c, [first, second])?;

        self.report
            .chapter("A pool issues liquid receipts over C and D; some change hands and wait to leave");
        self.issue([&c, &d])?;

        self.report.chapter("C's first provider votes for two blocks at one height: a bystander slashes C, and every book follows");
        self.equivocate(&c, first, second)?;

        self.report.chapter(
            "D is unbonded early: the covenant signed long ago, the staker signs now, and the exit is paid",
        );
        self.unbond(&d)?;
        self.pay_exits()?;
        let restaking = self.balance_books()?;
        self.sum_up(funded, restaking)
    }

    /// A finality provider of the local set; each votes for a service of its own.
    fn provider(&self, number: u8) -> XOnlyPublicKey {
        local::provider_keypair(&self.secp, number).x_only_public_key().0
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

    /// Proves a stake, with all that is signed in advance, and verifies the proof as a service does.
    fn prove(&mut self, Locked { name, staker, delegation }: Locked) -> Result<Told> {
        let source = self.ground.source();
        let (stake, package) = (delegation.stake(), delegation.package());
        let outpoint = stake.outpoint();
        let info = source.transaction(&outpoint.txid)?;
        let info = info.ok_or_else(|| Error::failed("the source forgot a stake"))?;
        let claim = claim_from_delegation(&package);
        let mut proof = prove(source, outpoint, info.block.map(|block| block.height), claim)?;
        carry_delegation(&mut proof, &package)?;
        let (txid, value) = (outpoint.txid, stake.value());
        self.step(Step {
            stake: Some(name),
            what: "prove",
            txid: Some(txid),
            value: Some(value),
            height: Some(proof.inclusion_height),
            note: Some(format!("{} bytes", proof.to_bytes().len())),
            ..step()
        });
        sync_headers(self.ground.source(), &mut self.headers, |_| {})?;
        let verified = self.verify(&proof)?;
        let included = verified.included();
        self.step(Step {
            stake: Some(name),
            what: "verify",
            txid: Some(included.outpoint().txid),
            value: Some(included.value()),
            height: Some(included.inclusion_height()),
            note: Some(format!(
                "slashable for {} sat, valid until height {}",
                verified.slashable().to_sat(),
                included.expires_at()
            )),
            ..step()
        });
        Ok(Told { name, staker, delegation, proof, verified })
    }

    pub(super) fn verify(&self, proof: &StakeProof) -> Result<VerifiedStake, VerifyError> {
        let stake = Policy::new(Depth::Confirmations(CONFIRMATIONS));
        let policy = ServicePolicy::new(stake, [self.provider(0), self.provider(1)]);
        verify_slashable(&self.secp, proof, &self.headers, &self.schedule, &policy)
    }
}

pub(super) fn step() -> Step {
    Step::default()
}
