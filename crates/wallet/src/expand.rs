//! The wallet's part in moving a live stake into a larger or longer one.

use bdk_wallet::TxOrdering;
use bitcoin::secp256k1::{Secp256k1, Verification};
use bitcoin::{Amount, FeeRate, OutPoint, Psbt, Transaction, TxOut, psbt};
use tapstake_params::StakingParams;
use tapstake_script::StakeTerms;
use tapstake_tx::{ExpansionTx, Stake, check_fee_rate};

use crate::error::WalletError;
use crate::lock::LockReason;
use crate::psbt::prevout;
use crate::sign::Signer;
use crate::wallet::Wallet;

/// What a stake becomes.
#[derive(Debug, Clone, Copy)]
pub struct ExpansionPlan<'a> {
    /// The live stake.
    pub previous: &'a Stake,
    /// The parameters version that the new stake is made under.
    pub params: &'a StakingParams,
    /// The new stake's keys and timelocks.
    pub terms: &'a StakeTerms,
    /// The new stake's value, not below the old one's.
    pub value: Amount,
    /// The fee rate.
    pub fee_rate: FeeRate,
    /// The coin that pays for it; else the smallest that can.
    pub coin: Option<OutPoint>,
}

/// An expansion that is funded and not signed. Its funding coin is locked in the wallet.
#[derive(Debug, Clone)]
pub struct PendingExpansion {
    psbt: Psbt,
    expansion: ExpansionTx,
}

impl Wallet {
    /// Funds an expansion with one coin, as its rules have it, and locks that until it is on the chain or given up
    /// ([`Wallet::unlock_stake`]).
    ///
    /// # Errors
    ///
    /// [`WalletError::Bounds`] if the new stake does not fit the parameters, [`WalletError::NoFundingCoin`] if no
    /// single coin is enough, [`WalletError::Expansion`] for every other rule.
    pub fn fund_expansion<C: Verification>(
        &mut self,
        secp: &Secp256k1<C>,
        plan: &ExpansionPlan<'_>,
    ) -> Result<PendingExpansion, WalletError> {
        let ExpansionPlan { previous, params, terms, value, fee_rate, coin } = *plan;
        check_fee_rate(fee_rate)?;
        params.check_stake(value, terms.staking_time)?;
        let script_pubkey = terms.staking_output(secp).script_pubkey().clone();
        let mut candidates: Vec<_> = match coin {
            Some(outpoint) => vec![self.get_coin(outpoint).ok_or(WalletError::UnknownCoin(outpoint))?],
            None => self.coins(),
        };
        candidates.retain(|coin| coin.lock.is_none() && coin.confirmations > 0 && !coin.immature);
        candidates.sort_by_key(|coin| coin.value);
        let output = TxOut { value, script_pubkey };
        for coin in candidates {
            let Some(psbt) = self.build_expansion(previous, coin.outpoint, &output, fee_rate)? else {
                continue;
            };
            let tx = &psbt.unsigned_tx;
            let stake = Stake::find(secp, terms.clone(), tx, value)?;
            let prevouts = [prevout(&psbt, 0)?, prevout(&psbt, 1)?];
            let expansion = ExpansionTx::check(secp, previous, stake, tx, &prevouts)?;
            self.lock(&[coin.outpoint], &LockReason::PendingStake(expansion.stake().outpoint()))?;
            return Ok(PendingExpansion { psbt, expansion });
        }
        let missing = value.checked_sub(previous.value()).unwrap_or_default();
        Err(WalletError::NoFundingCoin { missing })
    }

    /// The expansion funded by this coin; `None` if it is not enough.
    fn build_expansion(
        &mut self,
        previous: &Stake,
        coin: OutPoint,
        output: &TxOut,
        fee_rate: FeeRate,
    ) -> Result<Option<Psbt>, WalletError> {
        let failed = |error: &dyn std::fmt::Display| WalletError::Build(error.to_string());
        let old = psbt::Input { witness_utxo: Some(previous.coin().to_txout()), ..Default::default() };
        let weight = previous.coin().output.unbonding().witness_weight();
        let mut builder = self.bdk.build_tx();
        builder
            .ordering(TxOrdering::Untouched)
            .add_foreign_utxo(previous.outpoint(), old, weight)
            .map_err(|error| failed(&error))?
            .add_utxo(coin)
            .map_err(|error| failed(&error))?
            .manually_selected_only()
            .add_recipient(output.script_pubkey.clone(), output.value)
            .fee_rate(fee_rate);
        let mut psbt = match builder.finish() {
            Ok(psbt) => psbt,
            Err(bdk_wallet::error::CreateTxError::CoinSelection(_)) => return Ok(None),
            Err(error) => return Err(failed(&error)),
        };
        if psbt.unsigned_tx.input.first().is_some_and(|input| input.previous_output == coin) {
            psbt.unsigned_tx.input.swap(0, 1);
            psbt.inputs.swap(0, 1);
        }
        self.persist(&[])?;
        Ok(Some(psbt))
    }
}

impl PendingExpansion {
    /// The transaction and its new stake.
    pub const fn expansion(&self) -> &ExpansionTx {
        &self.expansion
    }

    /// The transaction, its funding input to be signed elsewhere.
    pub const fn psbt(&self) -> &Psbt {
        &self.psbt
    }

    /// The transaction with the funding input signed by the wallet; the old stake's input is the committee's.
    ///
    /// # Errors
    ///
    /// As [`Wallet::sign`]; [`WalletError::NotFullySigned`] if the wallet cannot sign for its own coin.
    pub fn sign_funding(&self, wallet: &Wallet, signer: &Signer) -> Result<Transaction, WalletError> {
        let mut psbt = self.psbt.clone();
        wallet.sign(signer, &mut psbt)?;
        wallet.finalize(&mut psbt)?;
        let mut tx = self.expansion.tx().clone();
        let witness = psbt.inputs.get(1).and_then(|input| input.final_script_witness.clone());
        let missing = || WalletError::NotFullySigned { input: 1, reason: "it is not finalized".into() };
        tx.input[1].witness = witness.ok_or_else(missing)?;
        Ok(tx)
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::Network;
    use tapstake_params::Timelock;
    use tapstake_params::local::{self, Slashed};
    use tapstake_script::Providers;

    use super::*;
    use crate::testing::{TestWallet, sat, sat_per_vb};

    #[test]
    fn an_expansion_takes_the_smallest_single_coin_that_pays_for_it_and_locks_that() {
        let secp = Secp256k1::new();
        let mut test = TestWallet::funded(&[900_000, 60_000, 30_000]);
        let params = local::schedule(&secp, Network::Regtest, Slashed::Burned).unwrap().latest().clone();
        let staker = test.wallet.staker_key(0).unwrap().x_only;
        let provider = Providers::one(local::provider_keypair(&secp, 0).x_only_public_key().0);
        let terms = |blocks| {
            let time = Timelock::new(blocks).unwrap();
            StakeTerms::under(&params, staker, provider.clone(), time).unwrap()
        };
        let previous = Stake::new(&secp, terms(100), OutPoint::null(), sat(500_000));
        let terms = terms(200);
        let plan = |value| ExpansionPlan {
            previous: &previous,
            params: &params,
            terms: &terms,
            value: sat(value),
            fee_rate: sat_per_vb(2),
            coin: None,
        };
        let pending = test.wallet.fund_expansion(&secp, &plan(550_000)).unwrap();
        let tx = pending.expansion().tx();
        assert_eq!(tx.input[0].previous_output, previous.outpoint());
        let coin = test.wallet.get_coin(tx.input[1].previous_output).unwrap();
        assert_eq!(coin.value, sat(60_000));
        assert_eq!(coin.lock, Some(LockReason::PendingStake(pending.expansion().stake().outpoint())));
        // At least the fee rate, and no more than a few satoshi above it: the old stake's witness is counted in.
        let vsize = (tx.weight() + previous.coin().output.unbonding().witness_weight()).to_wu() + 2 + 66;
        let due = vsize.div_ceil(4) * 2;
        let fee = pending.expansion().fee().to_sat();
        assert!((due..due + 12).contains(&fee), "{fee} sat where {due} are due");

        let signer = test.wallet.signer(None).unwrap();
        let signed = pending.sign_funding(&test.wallet, &signer).unwrap();
        assert!(signed.input[0].witness.is_empty() && !signed.input[1].witness.is_empty());

        let refused = test.wallet.fund_expansion(&secp, &plan(2_000_000)).unwrap_err();
        assert!(matches!(refused, WalletError::NoFundingCoin { missing } if missing == sat(1_500_000)));
        let refused = test.wallet.fund_expansion(&secp, &plan(400_000)).unwrap_err();
        assert!(matches!(refused, WalletError::Expansion(_)), "{refused}");
    }
}
