//! An expansion whose staker and coin are signed for elsewhere: PSBTs out, signed PSBTs in.

use std::path::Path;

use bitcoin::{FeeRate, OutPoint, Psbt, Transaction, TxOut};
use tapstake_tx::psbt::{Spent, describe_input};
use tapstake_tx::{ExpansionTx, Stake};
use tapstake_wallet::{PendingExpansion, StakerKey, Wallet};

use super::Job;
use crate::commands::stake::{Elsewhere, Signed, ToSign, check_presigned};
use crate::error::{Error, Result};

impl Job<'_> {
    /// Writes what a signer elsewhere needs, and what [`Job::finish`] needs to go on.
    pub(super) fn export(
        &self,
        wallet: &mut Wallet,
        pending: &PendingExpansion,
        staker: &StakerKey,
        fee_rate: FeeRate,
        folder: &Path,
    ) -> Result<()> {
        let Job { args, session, source, params, previous, .. } = self;
        let slashing_fee = self.slashing_fee()?;
        let draft = self.draft(pending.expansion(), slashing_fee)?;
        check_presigned(session, source.chain(), &draft, args.accept_low_presigned_fees)?;
        let mut staking = pending.psbt().clone();
        let coin = previous.stake().coin();
        let spent = Spent { txout: coin.to_txout(), output: &coin.output, leaf: coin.output.unbonding() };
        if let Some(input) = staking.inputs.first_mut() {
            describe_input(input, &spent, &staker.origins());
        }
        let possession = self.possession()?;
        let of = ToSign { staking: &staking, draft: &draft, staker, slashing_fee, fee_rate, possession };
        Elsewhere { session, params, folder, command: "expand" }.export(wallet, of)
    }

    /// Goes on with the signed PSBTs in a folder.
    pub(super) fn finish(
        &self,
        wallet: &mut Wallet,
        elsewhere: &Elsewhere<'_>,
        signed: &Signed,
    ) -> Result<()> {
        let Job { args, session, previous, .. } = self;
        let (secp, previous) = (&session.secp, previous.stake());
        let tx = &signed.staking.unsigned_tx;
        let stake = Stake::find(secp, signed.terms.clone(), tx, signed.value)?;
        // What the old stake holds is known; every other input must be a coin that the wallet locked for this.
        let coins: Vec<OutPoint> = tx.input.iter().skip(1).map(|input| input.previous_output).collect();
        elsewhere.check_coins(wallet, stake.outpoint(), coins.iter().copied())?;
        let mut prevouts = vec![previous.coin().to_txout()];
        for coin in coins {
            prevouts.push(output(wallet, coin)?);
        }
        let expansion = ExpansionTx::check(secp, previous, stake, tx, &prevouts)?;
        elsewhere.check_staking(&signed.staking)?;
        let exit = elsewhere.rehearsed(expansion.stake(), signed)?;
        let draft = self.draft(&expansion, signed.slashing_fee)?;
        let draft = draft.fund(&funded(wallet, &signed.staking)?)?;
        let old = elsewhere.expansion_signature(signed, previous, expansion.tx())?;
        let delegation = elsewhere.pre_signed(draft.sign_expansion(secp, old)?, signed)?;
        let file = args.draft.as_deref();
        self.sending().go_on(wallet, &delegation, &signed.staker, Some(&exit), file)
    }
}

/// A coin's output, as the wallet has it.
fn output(wallet: &Wallet, coin: OutPoint) -> Result<TxOut> {
    let tx = wallet.transaction(coin.txid);
    let vout = usize::try_from(coin.vout).ok();
    let found = tx.zip(vout).and_then(|(tx, vout)| tx.output.get(vout).cloned());
    found.ok_or_else(|| Error::rule("unknown-coin", format!("coin {coin} is not in this wallet")))
}

/// The expansion with the witness of the coin that pays for it; the old stake's signatures stand apart.
fn funded(wallet: &Wallet, signed: &Psbt) -> Result<Transaction> {
    let mut psbt = signed.clone();
    wallet.finalize(&mut psbt)?;
    let mut tx = psbt.unsigned_tx;
    for (number, (input, fields)) in tx.input.iter_mut().zip(psbt.inputs).enumerate().skip(1) {
        input.witness = fields.final_script_witness.ok_or_else(|| {
            let message = format!("input {number}, the coin that pays for the expansion, is not signed");
            Error::rule("signatures", message).next("sign the staking PSBT with the wallet's keys too")
        })?;
    }
    Ok(tx)
}
