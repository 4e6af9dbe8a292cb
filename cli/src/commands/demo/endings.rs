//! The three endings of a stake, and the forgeries.

use bitcoin::key::Keypair;
use bitcoin::{Amount, Transaction};
use tapstake_params::{Height, local};
use tapstake_tracker::withdrawable_at;
use tapstake_tx::{Signatures, SlashingTx, UnbondingTx, Withdrawable, Withdrawal};

use super::report::Step;
use super::story::{FEE_RATE, Story, Summary, Told, step};
use crate::error::{Error, Result};
use crate::spending::aux;

impl Story<'_> {
    /// Early unbonding: the covenant co-signs, the fee is the parameters'.
    pub(super) fn unbond(&mut self, told: &Told) -> Result<()> {
        let unbonding = UnbondingTx::build(&self.secp, &told.stake, self.params().unbonding_fee)?;
        let spend = unbonding.spend(&told.stake);
        let staker = self.signer.staker_keypair(told.staker)?;
        let aux = aux();
        let mut signatures: Signatures =
            self.quorum().iter().map(|member| spend.sign(&self.secp, member, &aux)).collect();
        signatures.extend([spend.sign(&self.secp, staker.keypair(), &aux)]);
        let signed = unbonding.finish(&self.secp, &told.stake, &signatures)?;

        let txid = self.ground.source().broadcast(&signed)?;
        let height = self.mine(1)?;
        let fee = told.stake.value() - unbonding.coin().value;
        self.fees += fee;
        self.step(Step {
            stake: Some(told.name),
            what: "unbond",
            txid: Some(txid),
            value: Some(unbonding.coin().value),
            fee: Some(fee),
            height: Some(height),
            note: Some(format!("{} covenant signatures", local::THRESHOLD)),
            ..step()
        });
        self.withdraw(told, Withdrawable::from(unbonding.coin()), height, "withdraw after unbonding")
    }

    /// Slashing with the provider's key: a tenth is burned, the rest comes back after the unbonding time.
    pub(super) fn slash(&mut self, told: &Told) -> Result<()> {
        let rules =
            self.params().slashing.ok_or_else(|| Error::failed("the parameters do not say how to slash"))?;
        let coin = told.stake.coin();
        let slashing = SlashingTx::build(coin, told.stake.refund_output(), &rules, rules.min_fee)?;
        let spend = slashing.spend(coin);
        let staker = self.signer.staker_keypair(told.staker)?;
        let provider = local::provider_keypair(&self.secp, 0);
        let aux = aux();
        let mut signatures: Signatures =
            self.quorum().iter().chain([&provider]).map(|key| spend.sign(&self.secp, key, &aux)).collect();
        signatures.extend([spend.sign(&self.secp, staker.keypair(), &aux)]);
        let signed = slashing.finish(&self.secp, coin, &signatures)?;

        let txid = self.ground.broadcast_burning(&signed, slashing.slashed())?;
        let height = self.mine(1)?;
        let refund = slashing.refund();
        let fee = coin.value - slashing.slashed() - refund.value;
        self.fees += fee;
        self.burned += slashing.slashed();
        self.step(Step {
            stake: Some(told.name),
            what: "slash: burn",
            txid: Some(txid),
            value: Some(slashing.slashed()),
            fee: Some(fee),
            height: Some(height),
            note: Some(format!("rate {}", rules.rate)),
            ..step()
        });
        self.step(Step {
            stake: Some(told.name),
            what: "slash: refund output",
            txid: Some(txid),
            value: Some(refund.value),
            height: Some(height),
            note: Some(format!("locked for {} blocks", told.stake.terms().unbonding_time)),
            ..step()
        });
        self.withdraw(told, Withdrawable::from(refund), height, "withdraw refund")
    }

    /// The timelock passes, and the staker needs nobody.
    pub(super) fn expire(&mut self, told: &Told) -> Result<()> {
        let height = told.proof.inclusion_height;
        self.withdraw(told, Withdrawable::from(told.stake.coin()), height, "withdraw after expiry")
    }

    /// Withdraws an output confirmed at `confirmed`: refused one block too early, taken in time.
    fn withdraw(
        &mut self,
        told: &Told,
        coin: Withdrawable,
        confirmed: Height,
        what: &'static str,
    ) -> Result<()> {
        let destination = self.wallet.next_unused_address()?.address.script_pubkey();
        let timelock = coin.timelock();
        let withdrawal = Withdrawal::build(vec![coin], destination, FEE_RATE)?;
        let staker = self.signer.staker_keypair(told.staker)?;
        let aux = aux();
        let signatures: Vec<Signatures> = withdrawal
            .spends()
            .iter()
            .map(|spend| Signatures::from([spend.sign(&self.secp, staker.keypair(), &aux)]))
            .collect();
        let signed = withdrawal.finish(&self.secp, &signatures)?;

        // Nodes take it once the block before the first that may hold it is there, and not one block earlier.
        let in_time = withdrawable_at(confirmed, timelock).checked_sub(1).unwrap_or_default();
        let tip = self.mine_to(in_time.checked_sub(1).unwrap_or_default())?;
        self.refused_too_early(told, &signed, tip)?;
        self.mine_to(in_time)?;
        let txid = self.ground.source().broadcast(&signed)?;
        let height = self.mine(1)?;
        self.fees += withdrawal.fee();
        self.step(Step {
            stake: Some(told.name),
            what,
            txid: Some(txid),
            value: Some(signed.output[0].value),
            fee: Some(withdrawal.fee()),
            height: Some(height),
            ..step()
        });
        Ok(())
    }

    fn refused_too_early(&mut self, told: &Told, signed: &Transaction, tip: Height) -> Result<()> {
        let Err(refusal) = self.ground.source().broadcast(signed) else {
            return Err(Error::failed("a withdrawal one block too early was taken"));
        };
        if !refusal.to_string().contains("non-BIP68-final") {
            return Err(refusal.into());
        }
        self.step(Step {
            stake: Some(told.name),
            what: "withdraw one block too early",
            height: Some(tip),
            note: Some("refused: non-BIP68-final".to_owned()),
            ..step()
        });
        Ok(())
    }

    /// As many covenant members as must sign.
    fn quorum(&self) -> Vec<Keypair> {
        local::covenant_keypairs(&self.secp).into_iter().take(local::THRESHOLD).collect()
    }

    /// Says what came of everything, after checking that every satoshi is accounted for.
    pub(super) fn sum_up(mut self, funded: Amount) -> Result<Summary> {
        self.ground.sync(&mut self.wallet)?;
        let back = self.wallet.balance().confirmed;
        let accounted = back + self.burned + self.fees;
        if accounted != funded {
            return Err(Error::failed(format!("{funded} were put in, {accounted} are accounted for")));
        }
        let summary = Summary {
            funded_sat: funded.to_sat(),
            back_in_wallet_sat: back.to_sat(),
            burned_sat: self.burned.to_sat(),
            fees_sat: self.fees.to_sat(),
            tip: self.tip()?,
            refused_forgeries: self.refused,
            seconds: (self.report.elapsed().as_secs_f64() * 100.0).round() / 100.0,
        };
        self.report.line(&format!(
            "\n{funded} were put in. {back} are back in the wallet, {} burned, {} fees: nothing is missing.\n\
             {} forged proofs were refused. {} blocks, {} s.",
            self.burned, self.fees, summary.refused_forgeries, summary.tip, summary.seconds
        ));
        Ok(summary)
    }
}
