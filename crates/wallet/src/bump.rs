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

/// Transactions that wait one upon the other, and what they are together.
struct Waiting {
    last: Transaction,
    fee: Amount,
    vsize: u64,
}

impl Wallet {
    /// A transaction that spends this wallet's largest change of `parent` to itself, and pays so much that both together
    /// reach `fee_rate`. `parent_fee` is what the parent pays. Where an earlier child has spent the change and waits too,
    /// it is a child of that one, and lifts all of them together.
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
        let waiting = self.waiting(parent, parent_fee)?;
        let change = self.change_of(&waiting.last).ok_or(WalletError::NoChange(parent.compute_txid()))?;
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
        let fee = cpfp_child_fee(waiting.fee, waiting.vsize, weight.div_ceil(4), fee_rate)?;
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

    /// The parent, and its children of this wallet for as long as each has spent the change of the last.
    fn waiting(&self, parent: &Transaction, parent_fee: Amount) -> Result<Waiting, WalletError> {
        let size = |tx: &Transaction| u64::try_from(tx.vsize()).unwrap_or(u64::MAX);
        let mut waiting = Waiting { last: parent.clone(), fee: parent_fee, vsize: size(parent) };
        while self.change_of(&waiting.last).is_none() {
            let Some(child) = self.waiting_child(&waiting.last) else { break };
            let fee = self.bdk.calculate_fee(&child);
            let fee = fee.map_err(|error| WalletError::Build(error.to_string()))?;
            waiting = Waiting {
                fee: waiting.fee.checked_add(fee).ok_or(WalletError::ValueOutOfRange)?,
                vsize: waiting.vsize.saturating_add(size(&child)),
                last: child,
            };
        }
        Ok(waiting)
    }

    /// This wallet's largest unspent, unlocked output of a transaction.
    fn change_of(&self, tx: &Transaction) -> Option<Coin> {
        let ours = outpoints(tx).filter_map(|outpoint| self.get_coin(outpoint));
        ours.filter(|coin| coin.lock.is_none()).max_by_key(|coin| coin.value)
    }

    /// A transaction that spends an output of `tx` that is this wallet's, and waits.
    fn waiting_child(&self, tx: &Transaction) -> Option<Transaction> {
        let ours = outpoints(tx).zip(&tx.output).filter(|(_, output)| self.is_mine(&output.script_pubkey));
        let mut spenders = ours.flat_map(|(outpoint, _)| self.bdk.tx_graph().outspends(outpoint));
        spenders.find_map(|txid| {
            let spender = self.bdk.get_tx(*txid)?;
            spender.chain_position.is_unconfirmed().then(|| Transaction::clone(&spender.tx_node.tx))
        })
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

/// The outputs of a transaction.
fn outpoints(tx: &Transaction) -> impl Iterator<Item = OutPoint> {
    let txid = tx.compute_txid();
    (0..).take(tx.output.len()).map(move |vout| OutPoint { txid, vout })
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
    fn a_second_child_lifts_the_first_and_their_parent() {
        let (mut test, parent) = waiting(100_000);
        let parent_fee = sat(parent.vsize() as u64);
        let mut family = vec![parent.clone()];
        let mut paid = parent_fee;
        for rate in [10, 30, 50] {
            let funded = test.wallet.fund_child(&parent, parent_fee, sat_per_vb(rate)).unwrap();
            let signer = test.wallet.signer(None).unwrap();
            let mut signed = funded.psbt.clone();
            test.wallet.sign(&signer, &mut signed).unwrap();
            assert!(test.wallet.finalize(&mut signed).unwrap());
            let child = crate::extract_tx(signed, FeeRate::MAX).unwrap();
            assert_eq!(child.input[0].previous_output.txid, family.last().unwrap().compute_txid());
            test.wallet.note_broadcast(child.clone(), 1_700_000_000).unwrap();
            family.push(child);
            paid += funded.fee;
            let size: usize = family.iter().map(Transaction::vsize).sum();
            let due = sat(size as u64 * rate);
            assert!(paid >= due && paid <= due + sat(rate), "{paid} for {size} vB at {rate}");
        }
        // What they pay together already takes no further child.
        let error = test.wallet.fund_child(&parent, parent_fee, sat_per_vb(10)).unwrap_err();
        assert!(matches!(error, WalletError::Cpfp(_)), "{error}");
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
