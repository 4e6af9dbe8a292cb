//! Taking transactions into the mempool, in the order of checks of Bitcoin Core.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use bitcoin::{Amount, OutPoint, Transaction, Txid};

use crate::chain::Chain;
use crate::coins::Coin;
use crate::error::{AcceptError, PackageError, TxError};
use crate::policy::{
    self, INCREMENTAL_RELAY_FEE_RATE, MAX_CLUSTER_COUNT, MAX_CLUSTER_VSIZE, MAX_FEE_RATE, MAX_REPLACEMENTS,
    MIN_RELAY_FEE_RATE, fee_at_rate,
};
use crate::sigops;
use crate::tx_check::{self, SequenceLock};

/// A transaction the mempool takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Its id.
    pub txid: Txid,
    /// Its fee.
    pub fee: Amount,
    /// Its size, in virtual bytes.
    pub vsize: u64,
    /// The transactions it replaces (BIP-0125), in no order.
    pub replaces: Vec<Txid>,
}

/// Which rules hold for a transaction.
#[derive(Clone, Copy)]
struct Rules {
    /// Whether the transaction must pay for its relay by itself.
    min_fee: bool,
    /// Whether it may take the place of others, and how many may depend on each other.
    limits: bool,
    /// Whether it may leave dust of a parent unspent.
    ephemeral_spends: bool,
}

const ALONE: Rules = Rules { min_fee: true, limits: true, ephemeral_spends: true };
const IN_PACKAGE: Rules = Rules { min_fee: false, limits: true, ephemeral_spends: true };
const AFTER_REORG: Rules = Rules { min_fee: false, limits: false, ephemeral_spends: false };

/// A transaction that has passed.
struct Checked {
    accepted: Accepted,
    tx: Arc<Transaction>,
    sigops: usize,
    conflicts: HashSet<Txid>,
}

impl Chain {
    /// Takes a transaction into the mempool, as the node call `sendrawtransaction` does.
    ///
    /// `max_burn` is the most that an output nobody can spend may be worth; the node's default is 0.
    /// The fee rate is bounded by [`MAX_FEE_RATE`]. A transaction that waits already is accepted again.
    ///
    /// # Errors
    ///
    /// Returns the first rule the transaction breaks.
    pub fn accept(&mut self, tx: &Transaction, max_burn: Amount) -> Result<Accepted, AcceptError> {
        let known = match self.check_broadcast(tx, max_burn) {
            Err(AcceptError::AlreadyInMempool) => self.mempool.get(&tx.compute_txid()),
            Err(error) => return Err(error),
            Ok(checked) => return Ok(self.take(checked)),
        };
        let entry = known.ok_or(AcceptError::AlreadyInMempool)?;
        Ok(Accepted { txid: tx.compute_txid(), fee: entry.fee, vsize: entry.vsize, replaces: Vec::new() })
    }

    /// Says what [`accept`](Self::accept) would, and changes nothing.
    ///
    /// # Errors
    ///
    /// Returns the first rule the transaction breaks, among them that it waits already.
    pub fn test_accept(&self, tx: &Transaction, max_burn: Amount) -> Result<Accepted, AcceptError> {
        self.check_broadcast(tx, max_burn).map(|checked| checked.accepted)
    }

    /// Takes a child with its unconfirmed parents, parents first; the fee of the child may pay for them.
    ///
    /// # Errors
    ///
    /// Returns an error if it is no such package, or names each transaction that was refused.
    /// Transactions that are good alone are taken all the same, as Bitcoin Core does.
    pub fn accept_package(&mut self, package: &[Transaction]) -> Result<Vec<Accepted>, PackageError> {
        const MAX_PACKAGE: usize = 25;
        let count = package.len();
        if count == 0 || count > MAX_PACKAGE {
            return Err(PackageError::Count { count });
        }
        check_child_with_parents(package)?;
        let mut accepted = Vec::new();
        let mut waiting = Vec::new();
        let mut refused = Vec::new();
        for tx in package {
            match self.accept(tx, Amount::ZERO) {
                Ok(alone) => accepted.push(alone),
                // Only these may change when the child is seen as well.
                Err(AcceptError::MinRelayFee { .. }) => waiting.push(tx),
                Err(AcceptError::Consensus(TxError::MissingInput { .. })) if !waiting.is_empty() => {
                    waiting.push(tx);
                }
                Err(error) => refused.push((tx.compute_txid(), error)),
            }
        }
        if refused.is_empty() {
            match self.accept_together(&waiting) {
                Ok(together) => accepted.extend(together),
                Err(errors) => refused = errors,
            }
        }
        if refused.is_empty() { Ok(accepted) } else { Err(PackageError::Transactions(refused)) }
    }

    /// Takes transactions whose fees are counted together, or none of them.
    fn accept_together(
        &mut self,
        package: &[&Transaction],
    ) -> Result<Vec<Accepted>, Vec<(Txid, AcceptError)>> {
        let before = self.mempool.clone();
        let mut accepted: Vec<Accepted> = Vec::new();
        for tx in package {
            match self.check(tx, IN_PACKAGE) {
                Ok(checked) => accepted.push(self.take(checked)),
                Err(error) => {
                    self.mempool = before;
                    return Err(vec![(tx.compute_txid(), error)]);
                }
            }
        }
        let fee = accepted.iter().map(|tx| tx.fee).sum();
        let required = fee_at_rate(MIN_RELAY_FEE_RATE, accepted.iter().map(|tx| tx.vsize).sum());
        if fee < required {
            self.mempool = before;
            let error = AcceptError::MinRelayFee { fee, required };
            return Err(accepted.into_iter().map(|tx| (tx.txid, error.clone())).collect());
        }
        Ok(accepted)
    }

    /// Takes back a transaction that had a block on another branch, or waited there.
    pub(crate) fn accept_after_reorg(&mut self, tx: &Transaction) -> Result<(), AcceptError> {
        let checked = self.check(tx, AFTER_REORG)?;
        self.take(checked);
        Ok(())
    }

    fn take(&mut self, checked: Checked) -> Accepted {
        let Checked { accepted, tx, sigops, conflicts } = checked;
        self.mempool.remove(&conflicts);
        self.remember_verified(tx.compute_wtxid());
        self.mempool.insert(accepted.txid, tx, accepted.fee, accepted.vsize, sigops);
        accepted
    }

    fn check_broadcast(&self, tx: &Transaction, max_burn: Amount) -> Result<Checked, AcceptError> {
        policy::check_burn(tx, max_burn)?;
        let txid = tx.compute_txid();
        let unspent = |vout| self.coins.get(&OutPoint { txid, vout }).is_some();
        if (0..).zip(&tx.output).any(|(vout, _)| unspent(vout)) {
            return Err(AcceptError::AlreadyConfirmed { txid });
        }
        let checked = self.check(tx, ALONE)?;
        let (fee, max) = (checked.accepted.fee, fee_at_rate(MAX_FEE_RATE, checked.accepted.vsize));
        if fee > max {
            return Err(AcceptError::FeeTooHigh { fee, max });
        }
        Ok(checked)
    }

    fn check(&self, tx: &Transaction, rules: Rules) -> Result<Checked, AcceptError> {
        let txid = tx.compute_txid();
        tx_check::check_form(tx)?;
        if tx.is_coinbase() {
            return Err(AcceptError::Coinbase);
        }
        policy::check_standard(tx)?;
        self.check_lock_time(tx)?;
        if let Some(entry) = self.mempool.get(&txid) {
            let same = entry.tx.compute_wtxid() == tx.compute_wtxid();
            return Err(if same { AcceptError::AlreadyInMempool } else { AcceptError::SameTxidInMempool });
        }
        let direct: BTreeSet<Txid> =
            tx.input.iter().filter_map(|input| self.mempool.spender(&input.previous_output)).collect();
        let spent = tx_check::find_inputs(tx, |outpoint| self.coin_for_mempool(outpoint))?;
        let spent: Vec<&Coin> = spent.iter().map(AsRef::as_ref).collect();
        self.check_sequence_locks(tx, &spent)?;
        let fee = tx_check::check_inputs(tx, &spent, self.tip().height + 1)?;
        policy::check_inputs_standard(tx, &spent)?;
        let sigops = sigops::cost(tx, spent.iter().map(|coin| &coin.output));
        let vsize = policy::vsize(tx, sigops);
        policy::check_ephemeral_dust(tx, fee)?;
        policy::check_sigops(sigops)?;
        let required = fee_at_rate(MIN_RELAY_FEE_RATE, vsize);
        if rules.min_fee && fee < required {
            return Err(AcceptError::MinRelayFee { fee, required });
        }
        let parents = self.mempool.parents(tx);
        let mut conflicts = HashSet::new();
        if rules.limits {
            self.check_truc(tx, vsize, &parents, &direct)?;
            conflicts = self.check_replacement(fee, vsize, &direct)?;
            self.check_cluster(vsize, &parents, &conflicts)?;
            self.check_no_conflict_spent(&parents, &direct)?;
        } else if !direct.is_empty() {
            return Err(AcceptError::non_standard("txn-mempool-conflict, inputs are spent in the mempool"));
        }
        if rules.ephemeral_spends {
            self.check_ephemeral_spends(tx, &parents)?;
        }
        if !self.verified.contains(&tx.compute_wtxid()) {
            tx_check::check_scripts(tx, &spent).map_err(|input| AcceptError::Script { txid, input })?;
        }
        let replaces = conflicts.iter().copied().collect();
        let accepted = Accepted { txid, fee, vsize, replaces };
        Ok(Checked { accepted, tx: Arc::new(tx.clone()), sigops, conflicts })
    }

    /// Finds an output on the chain or in the mempool. What waits will be in the next block at the earliest.
    fn coin_for_mempool(&self, outpoint: &OutPoint) -> Option<Cow<'_, Coin>> {
        if let Some(coin) = self.coins.get(outpoint) {
            return Some(Cow::Borrowed(coin));
        }
        let entry = self.mempool.get(&outpoint.txid)?;
        let output = entry.tx.output.get(usize::try_from(outpoint.vout).ok()?)?;
        let height = self.tip().height + 1;
        Some(Cow::Owned(Coin { output: output.clone(), height, coinbase: false }))
    }

    fn check_lock_time(&self, tx: &Transaction) -> Result<(), AcceptError> {
        let (height, median_time_past) = (self.tip().height + 1, self.tip_median_time_past());
        if tx_check::is_final(tx, height, median_time_past) {
            return Ok(());
        }
        let lock_time = tx.lock_time.to_consensus_u32();
        Err(AcceptError::NonFinal { lock_time, height, median_time_past })
    }

    fn check_sequence_locks(&self, tx: &Transaction, spent: &[&Coin]) -> Result<(), AcceptError> {
        let heights = spent.iter().map(|coin| coin.height);
        let lock = SequenceLock::of(tx, heights, |height| self.median_time_past(height).unwrap_or_default());
        if lock.is_open(self.tip().height + 1, self.tip_median_time_past()) {
            return Ok(());
        }
        Err(AcceptError::SequenceLocked { min_height: lock.min_height, min_time: lock.min_time })
    }

    /// A parent's dust must be spent by whatever spends the parent.
    fn check_ephemeral_spends(&self, tx: &Transaction, parents: &BTreeSet<Txid>) -> Result<(), AcceptError> {
        for parent in parents {
            let Some(entry) = self.mempool.get(parent) else { continue };
            let is_spent = |vout: usize| {
                tx.input.iter().any(|input| {
                    input.previous_output.txid == *parent
                        && usize::try_from(input.previous_output.vout) == Ok(vout)
                })
            };
            if policy::dust(&entry.tx).any(|vout| !is_spent(vout)) {
                return Err(AcceptError::MissingEphemeralSpends { parent: *parent });
            }
        }
        Ok(())
    }

    /// The rules of version 3 transactions, which are confirmed until proven otherwise to at most one
    /// parent and one child (BIP-0431). A second child does not take the place of the first here.
    fn check_truc(
        &self,
        tx: &Transaction,
        vsize: u64,
        parents: &BTreeSet<Txid>,
        direct: &BTreeSet<Txid>,
    ) -> Result<(), AcceptError> {
        const VERSION: i32 = 3;
        const MAX_VSIZE: u64 = 10_000;
        const MAX_CHILD_VSIZE: u64 = 1_000;
        let version_of = |txid| self.mempool.get(txid).map(|entry| entry.tx.version.0);
        if tx.version.0 != VERSION {
            let mixed = parents.iter().any(|parent| version_of(parent) == Some(VERSION));
            return if mixed {
                Err(AcceptError::Truc("non-version=3 tx spends from a version=3 tx"))
            } else {
                Ok(())
            };
        }
        if vsize > MAX_VSIZE {
            return Err(AcceptError::Truc("version=3 tx is above 10000 virtual bytes"));
        }
        let Some(parent) = parents.first() else { return Ok(()) };
        if parents.iter().any(|parent| version_of(parent) != Some(VERSION)) {
            return Err(AcceptError::Truc("version=3 tx spends from a non-version=3 tx"));
        }
        if self.mempool.with_ancestors(parents.iter().copied()).len() > 1 {
            return Err(AcceptError::Truc("version=3 tx would have too many ancestors"));
        }
        if vsize > MAX_CHILD_VSIZE {
            return Err(AcceptError::Truc("version=3 child tx is above 1000 virtual bytes"));
        }
        if self.mempool.children(parent).iter().any(|child| !direct.contains(child)) {
            return Err(AcceptError::Truc("the parent would exceed its descendant count limit"));
        }
        Ok(())
    }

    /// Checks that a transaction may take the place of those in `direct` and of all that depend on
    /// them (BIP-0125 without signalling). Returns everything that would go.
    fn check_replacement(
        &self,
        fee: Amount,
        vsize: u64,
        direct: &BTreeSet<Txid>,
    ) -> Result<HashSet<Txid>, AcceptError> {
        let conflicts = self.mempool.with_descendants(direct.iter().copied());
        if conflicts.is_empty() {
            return Ok(conflicts);
        }
        if direct.len() > MAX_REPLACEMENTS {
            return Err(AcceptError::TooManyReplacements { count: direct.len() });
        }
        let replaced: Amount =
            conflicts.iter().filter_map(|txid| self.mempool.get(txid)).map(|entry| entry.fee).sum();
        let required = replaced + fee_at_rate(INCREMENTAL_RELAY_FEE_RATE, vsize);
        if fee < required {
            return Err(AcceptError::ReplacementFee { fee, required });
        }
        let has_better_rate = |txid: &&Txid| {
            self.mempool.get(txid).is_some_and(|entry| {
                u128::from(entry.fee.to_sat()) * u128::from(vsize)
                    >= u128::from(fee.to_sat()) * u128::from(entry.vsize)
            })
        };
        match direct.iter().find(has_better_rate) {
            Some(replaced) => Err(AcceptError::ReplacementFeeRate { replaced: *replaced }),
            None => Ok(conflicts),
        }
    }

    /// A transaction cannot spend outputs of what it replaces.
    fn check_no_conflict_spent(
        &self,
        parents: &BTreeSet<Txid>,
        direct: &BTreeSet<Txid>,
    ) -> Result<(), AcceptError> {
        if direct.is_empty() {
            return Ok(());
        }
        let ancestors = self.mempool.with_ancestors(parents.iter().copied());
        match direct.iter().find(|txid| ancestors.contains(*txid)) {
            Some(txid) => Err(AcceptError::SpendsConflict { txid: *txid }),
            None => Ok(()),
        }
    }

    fn check_cluster(
        &self,
        vsize: u64,
        parents: &BTreeSet<Txid>,
        conflicts: &HashSet<Txid>,
    ) -> Result<(), AcceptError> {
        let cluster = self.mempool.cluster(parents.iter().copied());
        let others = || cluster.iter().filter(|txid| !conflicts.contains(*txid));
        let count = others().count() + 1;
        let vsize =
            vsize + others().filter_map(|txid| self.mempool.get(txid)).map(|entry| entry.vsize).sum::<u64>();
        if count > MAX_CLUSTER_COUNT || vsize > MAX_CLUSTER_VSIZE {
            return Err(AcceptError::ClusterTooLarge { count, vsize });
        }
        Ok(())
    }
}

/// A package is one child and direct parents of it that do not depend on each other.
fn check_child_with_parents(package: &[Transaction]) -> Result<(), PackageError> {
    let Some((child, parents)) = package.split_last() else { return Err(PackageError::NotChildWithParents) };
    let ids: HashSet<Txid> = parents.iter().map(Transaction::compute_txid).collect();
    let spends =
        |tx: &Transaction, txid: &Txid| tx.input.iter().any(|input| input.previous_output.txid == *txid);
    let all_spent = ids.iter().all(|txid| spends(child, txid));
    let independent = parents.iter().all(|parent| !ids.iter().any(|txid| spends(parent, txid)));
    if ids.len() == parents.len() && all_spent && independent {
        Ok(())
    } else {
        Err(PackageError::NotChildWithParents)
    }
}
