//! Funding: recipients in, an unsigned PSBT out.

use bdk_wallet::coin_selection::{
    CoinSelectionAlgorithm, InsufficientFunds, LargestFirstCoinSelection, OldestFirstCoinSelection,
};
use bdk_wallet::error::CreateTxError;
use bdk_wallet::{KeychainKind, TxBuilder, TxOrdering};
use bitcoin::{Amount, FeeRate, OutPoint, Psbt, TxOut, Txid};
use tapstake_params::{check_not_dust, dust_value};
use tapstake_tx::check_fee_rate;

use crate::error::WalletError;
use crate::psbt::stable_txid;
use crate::wallet::{Coin, Wallet};

/// 0.1 bitcoin, the fee above which Bitcoin Core's wallet refuses too.
const MAX_FEE: Amount = Amount::from_sat(10_000_000);

/// Below this a fee is never refused for being a large part of a small payment.
const SMALL_FEE: Amount = Amount::from_sat(10_000);

/// How coins are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum CoinSelection {
    /// Branch and bound for a selection without change, else a random draw.
    #[default]
    BranchAndBound,
    /// The largest coins first: few inputs, low fee.
    LargestFirst,
    /// The oldest coins first.
    OldestFirst,
}

/// What to pay, and how.
///
/// ```
/// use bitcoin::{Amount, FeeRate, ScriptBuf, TxOut};
/// use tapstake_wallet::FundRequest;
///
/// let stake = TxOut { value: Amount::from_sat(500_000), script_pubkey: ScriptBuf::new() };
/// let request = FundRequest::new(vec![stake], FeeRate::from_sat_per_vb(2).unwrap())
///     .min_confirmations(6)
///     .dry_run();
/// # let _ = request;
/// ```
#[derive(Debug, Clone)]
pub struct FundRequest {
    recipients: Vec<TxOut>,
    fee_rate: FeeRate,
    everything_to: Option<usize>,
    coins: Vec<OutPoint>,
    selection: CoinSelection,
    min_confirmations: u32,
    max_fee: Option<Amount>,
    dry_run: bool,
}

impl FundRequest {
    /// Pays `recipients`, in their order, with change after them.
    ///
    /// Coins need one confirmation: a transaction spending an unconfirmed one can become void, and with it
    /// everything signed for its outputs.
    pub fn new(recipients: Vec<TxOut>, fee_rate: FeeRate) -> Self {
        FundRequest {
            recipients,
            fee_rate,
            everything_to: None,
            coins: Vec::new(),
            selection: CoinSelection::default(),
            min_confirmations: 1,
            max_fee: None,
            dry_run: false,
        }
    }

    /// Gives recipient `index` (from 0) all that is left, whatever value it says: no change.
    pub fn everything_to(mut self, index: usize) -> Self {
        self.everything_to = Some(index);
        self
    }

    /// Spends these coins, all of them and no others.
    pub fn coins(mut self, coins: Vec<OutPoint>) -> Self {
        self.coins = coins;
        self
    }

    /// Chooses coins this way.
    pub fn selection(mut self, selection: CoinSelection) -> Self {
        self.selection = selection;
        self
    }

    /// Spends only coins with this many confirmations; 0 allows unconfirmed ones.
    pub fn min_confirmations(mut self, confirmations: u32) -> Self {
        self.min_confirmations = confirmations;
        self
    }

    /// Accepts a fee up to this amount.
    ///
    /// Without a word on it: a quarter of what is paid or 10,000 sat, whichever is more, and never above 0.1
    /// bitcoin.
    pub fn max_fee(mut self, limit: Amount) -> Self {
        self.max_fee = Some(limit);
        self
    }

    /// Leaves no trace in the wallet: the change address is given out again next time.
    pub fn dry_run(mut self) -> Self {
        self.dry_run = true;
        self
    }

    /// Pays these first.
    pub(crate) fn before(mut self, mut first: Vec<TxOut>) -> Self {
        self.everything_to = self.everything_to.map(|index| index + first.len());
        first.append(&mut self.recipients);
        self.recipients = first;
        self
    }

    pub(crate) fn is_dry(&self) -> bool {
        self.dry_run
    }

    fn check(&self) -> Result<(), WalletError> {
        check_fee_rate(self.fee_rate)?;
        let count = self.recipients.len();
        let index = self.everything_to.unwrap_or(0);
        if index >= count {
            return Err(WalletError::NoRecipient { index, count });
        }
        let mut total = Amount::ZERO;
        for (index, output) in self.recipients.iter().enumerate() {
            if self.everything_to == Some(index) {
                continue;
            }
            if output.script_pubkey.is_op_return() && output.value > Amount::ZERO {
                return Err(WalletError::Burns { index, value: output.value });
            }
            check_not_dust(output.value, &output.script_pubkey)
                .map_err(|source| WalletError::Dust { index, source })?;
            total = total
                .checked_add(output.value)
                .filter(|total| *total <= Amount::MAX_MONEY)
                .ok_or(WalletError::ValueOutOfRange)?;
        }
        Ok(())
    }

    /// The recipients other than the one that gets the rest.
    fn fixed(&self) -> impl Iterator<Item = &TxOut> {
        self.recipients
            .iter()
            .enumerate()
            .filter(|(index, _)| self.everything_to != Some(*index))
            .map(|(_, output)| output)
    }
}

/// A funded transaction, not signed yet.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Funded {
    /// The transaction with what a signer needs to know about it (BIP-0174, BIP-0371).
    pub psbt: Psbt,
    /// Its fee.
    pub fee: Amount,
    /// Index and value of the change output, if there is one. It is the last output.
    pub change: Option<(u32, Amount)>,
}

impl Funded {
    /// The id of the transaction, final before any signature: all inputs are native segwit.
    pub fn txid(&self) -> Txid {
        self.psbt.unsigned_tx.compute_txid()
    }

    /// The coins it spends.
    pub fn coins(&self) -> Vec<OutPoint> {
        self.psbt.unsigned_tx.input.iter().map(|input| input.previous_output).collect()
    }

    /// Where recipient `index` will be.
    pub fn outpoint(&self, index: u32) -> OutPoint {
        OutPoint { txid: self.txid(), vout: index }
    }
}

impl Wallet {
    /// Funds a transaction: chooses coins, adds change, keeps to the fee rate. Signs nothing, locks nothing.
    ///
    /// # Errors
    ///
    /// [`WalletError::FeeRate`], [`WalletError::FeeTooHigh`], [`WalletError::Dust`], [`WalletError::Burns`],
    /// [`WalletError::NoRecipient`]; for chosen coins [`WalletError::UnknownCoin`],
    /// [`WalletError::LockedCoin`], [`WalletError::YoungCoin`]; [`WalletError::InsufficientFunds`] with what
    /// is missing.
    pub fn fund(&mut self, request: &FundRequest) -> Result<Funded, WalletError> {
        request.check()?;
        self.check_chosen(request)?;
        let psbt = match request.selection {
            CoinSelection::BranchAndBound => self.build(request, |builder| builder),
            CoinSelection::LargestFirst => {
                self.build(request, |builder| builder.coin_selection(LargestFirstCoinSelection))
            }
            CoinSelection::OldestFirst => {
                self.build(request, |builder| builder.coin_selection(OldestFirstCoinSelection))
            }
        }?;
        let change = psbt.unsigned_tx.output.get(request.recipients.len()).cloned();
        let funded = self.finish(request, psbt);
        if funded.is_err() || request.dry_run {
            self.forget_change(change.as_ref());
        }
        if !request.dry_run {
            self.persist(&[])?;
        }
        funded
    }

    /// Gives up a funded transaction: its coins are unlocked and its change address is free again.
    ///
    /// # Errors
    ///
    /// [`WalletError::Database`].
    pub fn abandon(&mut self, funded: &Funded) -> Result<(), WalletError> {
        let change = funded.change.and_then(|(vout, _)| funded.psbt.unsigned_tx.output.get(vout as usize));
        self.forget_change(change);
        self.unlock(&funded.coins())
    }

    /// Lets a change address be given out again; any other output is left alone.
    pub(crate) fn forget_change(&mut self, change: Option<&TxOut>) {
        let derivation = change.and_then(|output| self.bdk.derivation_of_spk(output.script_pubkey.clone()));
        if let Some((KeychainKind::Internal, index)) = derivation {
            self.bdk.unmark_used(KeychainKind::Internal, index);
        }
    }

    fn check_chosen(&self, request: &FundRequest) -> Result<(), WalletError> {
        for &outpoint in &request.coins {
            let coin = self.get_coin(outpoint).ok_or(WalletError::UnknownCoin(outpoint))?;
            if let Some(reason) = coin.lock {
                return Err(WalletError::LockedCoin { outpoint, reason: reason.to_string() });
            }
            let required =
                if coin.immature { bitcoin::constants::COINBASE_MATURITY } else { request.min_confirmations };
            if coin.confirmations < required {
                return Err(WalletError::YoungCoin { outpoint, confirmations: coin.confirmations, required });
            }
        }
        Ok(())
    }

    fn build<Cs: CoinSelectionAlgorithm>(
        &mut self,
        request: &FundRequest,
        select: impl FnOnce(
            TxBuilder<'_, bdk_wallet::coin_selection::DefaultCoinSelectionAlgorithm>,
        ) -> TxBuilder<'_, Cs>,
    ) -> Result<Psbt, WalletError> {
        let mut builder = select(self.bdk.build_tx());
        builder.fee_rate(request.fee_rate).ordering(TxOrdering::Untouched).set_recipients(
            request.fixed().map(|output| (output.script_pubkey.clone(), output.value)).collect(),
        );
        if !request.coins.is_empty() {
            builder.add_utxos(&request.coins).map_err(|error| WalletError::Build(error.to_string()))?;
            builder.manually_selected_only();
        } else if request.min_confirmations > 0 {
            builder.exclude_below_confirmations(request.min_confirmations);
        }
        if let Some(rest) = request.everything_to.and_then(|index| request.recipients.get(index)) {
            builder.drain_to(rest.script_pubkey.clone());
            if request.coins.is_empty() {
                builder.drain_wallet();
            }
        }
        builder.finish().map_err(|error| match error {
            CreateTxError::CoinSelection(InsufficientFunds { needed, available }) => {
                self.insufficient(request, needed, available)
            }
            other => WalletError::Build(other.to_string()),
        })
    }

    /// Checks that the transaction is the one asked for.
    fn finish(&self, request: &FundRequest, mut psbt: Psbt) -> Result<Funded, WalletError> {
        let count = request.recipients.len();
        if let Some(index) = request.everything_to {
            // The rest was added as change is, last. Too little for an output, it was left to the fee.
            let rest = &request.recipients[index].script_pubkey;
            if psbt.unsigned_tx.output.len() < count {
                let available = input_value(&psbt)?;
                let dust = dust_value(rest);
                return Err(self.insufficient(request, available + dust, available));
            }
            psbt.unsigned_tx.output[index..count].rotate_right(1);
            psbt.outputs[index..count].rotate_right(1);
        }
        let outputs = &psbt.unsigned_tx.output;
        let faithful = outputs.len() <= count + usize::from(request.everything_to.is_none())
            && outputs.len() >= count
            && request.recipients.iter().zip(outputs).enumerate().all(|(index, (asked, built))| {
                asked.script_pubkey == built.script_pubkey
                    && (asked.value == built.value || request.everything_to == Some(index))
            })
            && outputs.iter().skip(count).all(|change| self.is_mine(&change.script_pubkey));
        if !faithful {
            return Err(WalletError::Build("outputs are not those asked for".into()));
        }
        stable_txid(&psbt)?;

        let fee = psbt.fee().map_err(|error| WalletError::Build(error.to_string()))?;
        let paid: Amount = outputs.iter().take(count).map(|output| output.value).sum();
        let limit = request.max_fee.unwrap_or_else(|| (paid / 4).max(SMALL_FEE).min(MAX_FEE));
        if fee > limit {
            return Err(WalletError::FeeTooHigh { fee, limit });
        }
        let change = u32::try_from(count).ok().zip(outputs.get(count).map(|output| output.value));
        Ok(Funded { fee, change, psbt })
    }

    /// The error that says what is missing and which coins were not counted.
    fn insufficient(&self, request: &FundRequest, needed: Amount, available: Amount) -> WalletError {
        let others: Vec<Coin> = if request.coins.is_empty() { self.coins() } else { Vec::new() };
        let young = |coin: &Coin| coin.immature || coin.confirmations < request.min_confirmations;
        WalletError::InsufficientFunds {
            missing: needed.checked_sub(available).unwrap_or(Amount::ZERO),
            needed,
            available,
            locked: others.iter().filter(|coin| coin.lock.is_some()).map(|coin| coin.value).sum(),
            immature: others
                .iter()
                .filter(|coin| coin.lock.is_none() && young(coin))
                .map(|coin| coin.value)
                .sum(),
        }
    }
}

fn input_value(psbt: &Psbt) -> Result<Amount, WalletError> {
    psbt.iter_funding_utxos()
        .map(|output| output.map(|output| output.value))
        .sum::<Result<Amount, _>>()
        .map_err(|error| WalletError::Build(error.to_string()))
}

#[cfg(test)]
mod tests;
