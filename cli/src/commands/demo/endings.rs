//! How stakes end, and the sum of it all.

use bitcoin::{Amount, Transaction};
use tapstake_params::{Height, local};
use tapstake_tracker::withdrawable_at;
use tapstake_tx::{Signatures, Withdrawable, Withdrawal};

use super::books::Restaking;
use super::report::Step;
use super::story::{FEE_RATE, Story, Summary, Told, step};
use crate::error::{Error, Result};
use crate::spending::aux;

impl Story<'_> {
    /// Early unbonding: the covenant signed in advance, the staker adds its signature; the fee is the parameters'.
    pub(super) fn unbond(&mut self, told: &Told) -> Result<()> {
        let (stake, unbonding) = (told.stake(), told.delegation.unbonding());
        let staker = self.signer.staker_keypair(told.staker)?;
        let (_, signature) = unbonding.spend(stake).sign(&self.secp, staker.keypair(), &aux());
        let signed = told.delegation.verified_parts().finish_unbonding(&self.secp, signature)?;

        let txid = self.ground.source().broadcast(&signed)?;
        let height = self.mine(1)?;
        let fee = stake.value() - unbonding.coin().value;
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
        self.unbonding_begins(told, height)?;
        let coin = Withdrawable::from(unbonding.coin());
        let withdrawn = self.withdraw(told, coin, height, "withdraw after unbonding")?;
        self.back_in_pool(told, withdrawn)
    }

    /// The timelock passes, and the staker needs nobody.
    pub(super) fn expire(&mut self, told: &Told) -> Result<()> {
        let height = told.proof.inclusion_height;
        self.withdraw(told, Withdrawable::from(told.stake().coin()), height, "withdraw after expiry")
            .map(drop)
    }

    /// Withdraws an output confirmed at `confirmed`: refused one block too early, taken in time. Returns what arrived.
    pub(super) fn withdraw(
        &mut self,
        told: &Told,
        coin: Withdrawable,
        confirmed: Height,
        what: &'static str,
    ) -> Result<Amount> {
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
        Ok(signed.output[0].value)
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

    /// Says what came of everything, after checking that every satoshi is accounted for.
    pub(super) fn sum_up(mut self, funded: Amount, restaking: Restaking) -> Result<Summary> {
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
            restaking,
            seconds: (self.report.elapsed().as_secs_f64() * 100.0).round() / 100.0,
        };
        self.report.line(&format!(
            "\n{funded} were put in. {back} are back in the wallet, {} burned, {} fees: nothing is missing.\n\
             {}\n\
             {} forged proofs were refused. {} blocks, {} s.",
            self.burned,
            self.fees,
            summary.restaking.line(),
            summary.refused_forgeries,
            summary.tip,
            summary.seconds
        ));
        Ok(summary)
    }
}
