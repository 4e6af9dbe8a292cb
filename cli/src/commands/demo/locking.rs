//! How coins come into a stake: by a delegation, new or expanded.

use bitcoin::key::Keypair;
use bitcoin::{Amount, Network, XOnlyPublicKey};
use tapstake_crypto::pop::{Account, ProofOfPossession};
use tapstake_params::Timelock;
use tapstake_script::{Providers, StakeTerms};
use tapstake_tx::delegation::{CheckedDelegation, Delegation, DelegationPackage, Draft, Verified};
use tapstake_wallet::{Exit, ExpansionPlan, FundRequest, Rehearsal, RehearsedExit, StakePlan, StakeValue};

use super::report::Step;
use super::story::{FEE_RATE, Locked, Story, Told, step};
use crate::committee::{LocalCommittee, member_signs};
use crate::error::{Error, Result};
use crate::spending::{aux, now};

impl Story<'_> {
    /// A new stake of one bitcoin.
    pub(super) fn lock(
        &mut self,
        name: &'static str,
        index: u32,
        blocks: u32,
        providers: Vec<XOnlyPublicKey>,
    ) -> Result<Locked> {
        let params = self.params();
        let staker = self.wallet.staker_key(index)?;
        let services = providers.len();
        let time = Timelock::new(blocks)?;
        let terms = StakeTerms::under(&params, staker.x_only, Providers::new(providers)?, time)?;
        // A phase-1 OP_RETURN has room for one provider.
        let tag = params.phase_1.as_ref().map(|phase_1| phase_1.tag).filter(|_| services == 1);
        let plan =
            StakePlan { params: &params, terms: &terms, value: StakeValue::Exact(Amount::ONE_BTC), tag };
        let pending = self.wallet.fund_stake(&self.secp, &plan, &FundRequest::new(Vec::new(), FEE_RATE))?;

        let exit = self.rehearse(name, index, pending.stake())?;
        let ready = pending.sign(&self.wallet, &self.signer, Exit::Rehearsed(exit))?;
        let draft = ready.draft(&self.secp, Network::Regtest, &params, least_slashing_fee(&params)?)?;
        let delegation = self.through_the_covenant(name, index, draft)?;
        let s = if services == 1 { "" } else { "s" };
        let note = format!("for {blocks} blocks, secures {services} service{s}");
        self.send(name, "lock stake", &delegation, pending.fee(), note)?;
        Ok(Locked { name, staker: index, delegation })
    }

    /// Moves a live stake into a larger one, whose timelock starts afresh.
    pub(super) fn expand(&mut self, old: &Told, name: &'static str, value: Amount) -> Result<Locked> {
        let params = self.params();
        let index = old.staker;
        self.ground.sync(&mut self.wallet)?;
        let plan = ExpansionPlan {
            previous: old.stake(),
            params: &params,
            terms: old.stake().terms(),
            value,
            fee_rate: FEE_RATE,
            coin: None,
        };
        let pending = self.wallet.fund_expansion(&self.secp, &plan)?;
        let (fee, expansion) = (pending.expansion().fee(), pending.expansion());
        self.rehearse(name, index, expansion.stake())?;
        let draft = Delegation::expand(
            &self.secp,
            Network::Regtest,
            &params,
            old.stake(),
            &params,
            expansion,
            least_slashing_fee(&params)?,
        )?;
        let draft = draft.fund(&pending.sign_funding(&self.wallet, &self.signer)?)?;
        let delegation = self.through_the_covenant(name, index, draft)?;
        let note = format!("spends stake {} and a coin", old.name);
        self.send(name, "expand", &delegation, fee, note)?;
        Ok(Locked { name, staker: index, delegation })
    }

    fn rehearse(
        &mut self,
        name: &'static str,
        index: u32,
        stake: &tapstake_tx::Stake,
    ) -> Result<RehearsedExit> {
        let destination = self.wallet.next_unused_address()?.address.script_pubkey();
        let rehearsal = Rehearsal::new(stake, destination, FEE_RATE)?;
        let exit = rehearsal.sign(&self.secp, &self.signer, &self.wallet.staker_key(index)?)?;
        let (kept, value) = (exit.withdrawal().compute_txid(), exit.withdrawal().output[0].value);
        self.step(Step {
            stake: Some(name),
            what: "rehearse exit, signed and kept",
            txid: Some(kept),
            value: Some(value),
            ..step()
        });
        Ok(exit)
    }

    /// The staker signs both slashings and proves to have the key; then each member checks and signs. Nothing is sent.
    fn through_the_covenant(
        &mut self,
        name: &'static str,
        index: u32,
        draft: Delegation<Draft>,
    ) -> Result<Delegation<Verified>> {
        let staker = self.signer.staker_keypair(index)?;
        let account = Account::text("tapstake demo").map_err(|error| Error::rule("possession", error))?;
        let possession = ProofOfPossession::bip340(&self.secp, staker.keypair(), account, None, &aux());
        let signed = draft.sign(&self.secp, staker.keypair(), &aux(), possession)?;
        self.step(Step {
            stake: Some(name),
            what: "staker signs in advance",
            note: Some("both slashings, and for an account".to_owned()),
            ..step()
        });
        let (tip, params) = (self.tip()?, self.params());
        let committee = LocalCommittee::on(&self.secp, Network::Regtest, &params)
            .ok_or_else(|| Error::failed("the committee of the demo is not public"))?;
        let sign = |package: DelegationPackage, member: &Keypair| {
            member_signs(&self.secp, &self.schedule, &package, member, tip)
        };
        // Only from here on is there a staking transaction that may be sent.
        let package = signed.package().without_witnesses();
        let copy = committee.members().iter().try_fold(package, sign)?;
        let members = copy.parts.covenant.len();
        let signatures: usize =
            copy.parts.covenant.values().map(|own| own.slashing.len() + own.unbonding_slashing.len()).sum();
        let checked = signed.package().combine(copy)?.check(&self.secp, &self.schedule)?;
        let CheckedDelegation::Verified(verified) = checked else {
            return Err(Error::failed("the covenant did not reach its quorum"));
        };
        self.step(Step {
            stake: Some(name),
            what: "covenant signs the ways out",
            note: Some(format!("{members} members: unbonding, {signatures} adaptor signatures")),
            ..step()
        });
        Ok(verified)
    }

    fn send(
        &mut self,
        name: &'static str,
        what: &'static str,
        delegation: &Delegation<Verified>,
        fee: Amount,
        note: String,
    ) -> Result<()> {
        let tx = delegation.staking_tx()?;
        let txid = self.ground.source().broadcast(&tx)?;
        self.wallet.note_broadcast(tx, now())?;
        self.fees += fee;
        self.step(Step {
            stake: Some(name),
            what,
            txid: Some(txid),
            value: Some(delegation.stake().value()),
            fee: Some(fee),
            note: Some(note),
            ..step()
        });
        Ok(())
    }
}

fn least_slashing_fee(params: &tapstake_params::StakingParams) -> Result<Amount> {
    let rules = params.slashing.as_ref();
    Ok(rules.ok_or_else(|| Error::failed("the parameters do not say how to slash"))?.min_fee)
}
