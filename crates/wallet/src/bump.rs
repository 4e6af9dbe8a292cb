//! A child that pays for a parent which waits (CPFP).

use bdk_wallet::KeychainKind;
use bdk_wallet::TxOrdering;
use bitcoin::{Amount, FeeRate, OutPoint, Transaction};
use tapstake_params::dust_value;
use tapstake_tx::{check_not_replaced, cpfp_child_fee};

use crate::error::WalletError;
use crate::fund::Funded;
use crate::psbt::stable_txid;
use crate::wallet::{Coin, Wallet};

/// The weight of the marker and flag of a transaction with witnesses.
const SEGWIT_MARKER: u64 = 2;

impl Wallet {
    /// A transaction that spends this wallet's largest change of `parent` to itself, and pays so much that both together
    /// reach `fee_rate`. `parent_fee` is what the parent pays.
    ///
    /// The parent itself is left as it is: a staking transaction on which others are signed must keep its txid. It has to
    /// be in the mempool of whoever gets the child, which goes out alone.
    ///
    /// # Errors
    ///
    /// [`WalletError::NoChange`], [`WalletError::SmallChange`]; [`WalletError::Cpfp`] if the rate is out of reason or the
    /// parent pays it by itself.
    pub fn fund_child(
        &mut self,
        parent: &Transaction,
        parent_fee: Amount,
        fee_rate: FeeRate,
    ) -> Result<Funded, WalletError> {
        let txid = parent.compute_txid();
        let outputs = u32::try_from(parent.output.len()).unwrap_or(u32::MAX);
        let ours = (0..outputs).filter_map(|vout| self.get_coin(OutPoint { txid, vout }));
        let change = ours.filter(|coin| coin.lock.is_none()).max_by_key(|coin| coin.value);
        let change = change.ok_or(WalletError::NoChange(txid))?;
        let keychain = if change.change { KeychainKind::Internal } else { KeychainKind::External };
        let to = self.bdk.next_unused_address(KeychainKind::Internal).address.script_pubkey();
        // Two outputs of one wallet have one size: the fee does not change the size, only the value.
        let unpaid = self.child(&change, &to, Amount::ZERO)?;
        let satisfied = self
            .bdk
            .public_descriptor(keychain)
            .max_weight_to_satisfy()
            .map_err(|error| WalletError::Build(error.to_string()))?;
        let weight = unpaid.unsigned_tx.weight().to_wu() + SEGWIT_MARKER + satisfied.to_wu();
        let fee = cpfp_child_fee(
            parent_fee,
            u64::try_from(parent.vsize()).unwrap_or(u64::MAX),
            weight.div_ceil(4),
            fee_rate,
        )?;
        if change.value.checked_sub(fee).is_none_or(|left| left < dust_value(&to)) {
            return Err(WalletError::SmallChange { change: change.value, fee });
        }
        let psbt = self.child(&change, &to, fee)?;
        check_not_replaced(parent, &psbt.unsigned_tx)
            .map_err(|error| WalletError::Build(error.to_string()))?;
        stable_txid(&psbt)?;
        self.persist(&[])?;
        Ok(Funded { fee, change: psbt.unsigned_tx.output.first().map(|output| (0, output.value)), psbt })
    }

    fn child(
        &mut self,
        change: &Coin,
        to: &bitcoin::Script,
        fee: Amount,
    ) -> Result<bitcoin::Psbt, WalletError> {
        let failed = |error: &dyn std::fmt::Display| WalletError::Build(error.to_string());
        let mut builder = self.bdk.build_tx();
        builder
            .ordering(TxOrdering::Untouched)
            .add_utxo(change.outpoint)
            .map_err(|error| failed(&error))?
            .manually_selected_only()
            .drain_to(to.to_owned())
            .fee_absolute(fee);
        builder.finish().map_err(|error| failed(&error))
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::TxOut;

    use super::*;
    use crate::testing::{TestWallet, sat, sat_per_vb, stranger};

    /// A wallet that knows an unconfirmed transaction with this much change for it, and that transaction.
    fn waiting(change: u64) -> (TestWallet, Transaction) {
        let mut test = TestWallet::funded(&[]);
        let script_pubkey = test.wallet.next_change_address().unwrap().address.script_pubkey();
        let parent = test.payment(vec![stranger(500_000), TxOut { value: sat(change), script_pubkey }]);
        test.wallet.note_broadcast(parent.clone(), 1_700_000_000).unwrap();
        (test, parent)
    }

    #[test]
    fn a_child_lifts_its_parent_to_the_fee_rate_and_spends_only_its_change() {
        let (mut test, parent) = waiting(100_000);
        let parent_fee = sat(parent.vsize() as u64);
        let funded = test.wallet.fund_child(&parent, parent_fee, sat_per_vb(10)).unwrap();
        assert_eq!(funded.coins(), [OutPoint { txid: parent.compute_txid(), vout: 1 }]);
        assert!(test.is_change(&funded.psbt.unsigned_tx.output[0].script_pubkey));

        let signer = test.wallet.signer(None).unwrap();
        let mut signed = funded.psbt.clone();
        test.wallet.sign(&signer, &mut signed).unwrap();
        assert!(test.wallet.finalize(&mut signed).unwrap());
        let child = crate::extract_tx(signed, tapstake_tx::MAX_FEE_RATE).unwrap();
        let both = (parent.vsize() + child.vsize()) as u64;
        let paid = parent_fee + funded.fee;
        assert!(paid >= sat(both * 10) && paid <= sat(both * 10 + 10), "{paid} for {both} vB");
    }

    #[test]
    fn a_child_that_cannot_help_is_refused() {
        let (mut test, parent) = waiting(1_000);
        let fee = sat(parent.vsize() as u64);
        let error = test.wallet.fund_child(&parent, fee, sat_per_vb(10)).unwrap_err();
        assert!(matches!(error, WalletError::SmallChange { change, .. } if change == sat(1_000)), "{error}");
        let error = test.wallet.fund_child(&parent, fee * 20, sat_per_vb(10)).unwrap_err();
        assert!(matches!(error, WalletError::Cpfp(_)), "{error}");
        let other = test.payment(vec![stranger(10_000)]);
        let error = test.wallet.fund_child(&other, fee, sat_per_vb(10)).unwrap_err();
        assert!(matches!(error, WalletError::NoChange(txid) if txid == other.compute_txid()), "{error}");
    }
}
