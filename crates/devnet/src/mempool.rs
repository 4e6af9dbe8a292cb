//! Transactions that wait for a block.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use bitcoin::{Amount, Block, OutPoint, Transaction, Txid};

/// A waiting transaction.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The transaction.
    pub tx: Arc<Transaction>,
    /// Its fee.
    pub fee: Amount,
    /// Its size in virtual bytes, larger if it has many signature operations.
    pub vsize: u64,
    /// Cost of its signature operations (BIP-0141).
    pub sigops: usize,
    /// Number of transactions taken before it.
    pub(crate) sequence: u64,
}

/// All waiting transactions. Each spends confirmed outputs or outputs of other waiting ones.
#[derive(Debug, Clone, Default)]
pub struct Mempool {
    entries: HashMap<Txid, Entry>,
    spent: HashMap<OutPoint, Txid>,
    sequence: u64,
}

impl Mempool {
    /// Returns the number of transactions.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns a waiting transaction.
    pub fn get(&self, txid: &Txid) -> Option<&Entry> {
        self.entries.get(txid)
    }

    /// Returns whether a transaction waits.
    pub fn contains(&self, txid: &Txid) -> bool {
        self.entries.contains_key(txid)
    }

    /// Returns all waiting transactions, parents before their children.
    pub fn iter(&self) -> impl Iterator<Item = (Txid, &Entry)> {
        self.in_order().into_iter()
    }

    /// Returns the waiting transaction that spends an output.
    pub fn spender(&self, outpoint: &OutPoint) -> Option<Txid> {
        self.spent.get(outpoint).copied()
    }

    /// Entries in the order they came, which is topological: a parent is always there first.
    fn in_order(&self) -> Vec<(Txid, &Entry)> {
        let mut entries: Vec<_> = self.entries.iter().map(|(txid, entry)| (*txid, entry)).collect();
        entries.sort_unstable_by_key(|(_, entry)| entry.sequence);
        entries
    }

    /// Returns the waiting transactions whose outputs a transaction spends.
    pub(crate) fn parents(&self, tx: &Transaction) -> BTreeSet<Txid> {
        tx.input
            .iter()
            .map(|input| input.previous_output.txid)
            .filter(|txid| self.entries.contains_key(txid))
            .collect()
    }

    /// Returns the waiting transactions that spend outputs of a waiting transaction.
    pub(crate) fn children(&self, txid: &Txid) -> BTreeSet<Txid> {
        let Some(entry) = self.entries.get(txid) else { return BTreeSet::new() };
        (0..)
            .zip(&entry.tx.output)
            .filter_map(|(vout, _)| self.spender(&OutPoint { txid: *txid, vout }))
            .collect()
    }

    /// Returns `start` and everything waiting that depends on it.
    pub(crate) fn with_descendants(&self, start: impl IntoIterator<Item = Txid>) -> HashSet<Txid> {
        self.closure(start, |txid| self.children(txid))
    }

    /// Returns `start` and everything waiting that it depends on.
    pub(crate) fn with_ancestors(&self, start: impl IntoIterator<Item = Txid>) -> HashSet<Txid> {
        self.closure(start, |txid| {
            self.entries.get(txid).map(|entry| self.parents(&entry.tx)).unwrap_or_default()
        })
    }

    /// Returns everything connected with `start` by spends, in either direction.
    pub(crate) fn cluster(&self, start: impl IntoIterator<Item = Txid>) -> HashSet<Txid> {
        self.closure(start, |txid| {
            let mut next = self.children(txid);
            next.extend(self.entries.get(txid).into_iter().flat_map(|entry| self.parents(&entry.tx)));
            next
        })
    }

    fn closure(
        &self,
        start: impl IntoIterator<Item = Txid>,
        next: impl Fn(&Txid) -> BTreeSet<Txid>,
    ) -> HashSet<Txid> {
        let mut todo: Vec<Txid> = start.into_iter().collect();
        let mut found = HashSet::new();
        while let Some(txid) = todo.pop() {
            if found.insert(txid) {
                todo.extend(next(&txid));
            }
        }
        found
    }

    /// Adds a transaction whose inputs are all there and not spent by another waiting one.
    pub(crate) fn insert(
        &mut self,
        txid: Txid,
        tx: Arc<Transaction>,
        fee: Amount,
        vsize: u64,
        sigops: usize,
    ) {
        for input in &tx.input {
            self.spent.insert(input.previous_output, txid);
        }
        let sequence = self.sequence;
        self.sequence += 1;
        self.entries.insert(txid, Entry { tx, fee, vsize, sigops, sequence });
    }

    /// Removes transactions. The caller removes their descendants with them.
    pub(crate) fn remove(&mut self, txids: &HashSet<Txid>) {
        for txid in txids {
            if let Some(entry) = self.entries.remove(txid) {
                for input in &entry.tx.input {
                    self.spent.remove(&input.previous_output);
                }
            }
        }
    }

    /// Removes what a block confirms, and what it makes impossible.
    pub(crate) fn remove_confirmed(&mut self, block: &Block, txids: &[Txid]) {
        if self.is_empty() {
            return;
        }
        self.remove(&txids.iter().copied().collect());
        let spent = block.txdata.iter().skip(1).flat_map(|tx| &tx.input).map(|input| &input.previous_output);
        let conflicts: Vec<Txid> = spent.filter_map(|outpoint| self.spender(outpoint)).collect();
        let gone = self.with_descendants(conflicts);
        self.remove(&gone);
    }

    /// Empties the mempool and returns its transactions, parents first.
    pub(crate) fn take_all(&mut self) -> Vec<Transaction> {
        let all = self.in_order().into_iter().map(|(_, entry)| entry.tx.as_ref().clone()).collect();
        self.entries.clear();
        self.spent.clear();
        all
    }

    /// Chooses transactions for a block within `max_weight` and `max_sigops`: always the one with the
    /// best fee rate together with the ancestors it needs. Returns them parents first.
    pub(crate) fn select(&self, max_weight: u64, max_sigops: usize) -> Vec<&Entry> {
        let mut left: HashMap<Txid, Score> = self
            .entries
            .keys()
            .map(|txid| (*txid, self.score(self.with_ancestors([*txid]).iter())))
            .collect();
        let mut chosen: Vec<&Entry> = Vec::new();
        let (mut weight, mut sigops) = (0, 0);
        while let Some(best) = left.iter().max_by(|a, b| a.1.compare(b.1)).map(|(txid, _)| *txid) {
            let mut package: Vec<(Txid, &Entry)> = self
                .with_ancestors([best])
                .into_iter()
                .filter(|txid| left.contains_key(txid))
                .map(|txid| (txid, &self.entries[&txid]))
                .collect();
            package.sort_unstable_by_key(|(_, entry)| entry.sequence);
            let of_weight: u64 = package.iter().map(|(_, entry)| entry.tx.weight().to_wu()).sum();
            let of_sigops: usize = package.iter().map(|(_, entry)| entry.sigops).sum();
            if weight + of_weight > max_weight || sigops + of_sigops > max_sigops {
                // What depends on a transaction without a place has none either.
                for txid in self.with_descendants([best]) {
                    left.remove(&txid);
                }
                continue;
            }
            weight += of_weight;
            sigops += of_sigops;
            for (txid, entry) in package {
                left.remove(&txid);
                for descendant in self.with_descendants([txid]) {
                    if let Some(score) = left.get_mut(&descendant) {
                        score.fee -= entry.fee.to_sat();
                        score.vsize -= entry.vsize;
                    }
                }
                chosen.push(entry);
            }
        }
        chosen
    }

    /// Adds up a transaction and the ancestors that a block would have to include with it.
    fn score<'a>(&self, package: impl Iterator<Item = &'a Txid>) -> Score {
        let mut score = Score::default();
        for entry in package.map(|txid| &self.entries[txid]) {
            score.fee += entry.fee.to_sat();
            score.vsize += entry.vsize;
            score.sequence = score.sequence.max(entry.sequence);
        }
        score
    }
}

/// What a miner gets for a transaction with its missing ancestors.
#[derive(Default)]
struct Score {
    /// In satoshi.
    fee: u64,
    /// In virtual bytes.
    vsize: u64,
    /// When the transaction came, which is after its ancestors.
    sequence: u64,
}

impl Score {
    /// Compares fee rates; of equal ones, the earlier is greater.
    fn compare(&self, other: &Self) -> Ordering {
        let ours = u128::from(self.fee) * u128::from(other.vsize);
        let theirs = u128::from(other.fee) * u128::from(self.vsize);
        ours.cmp(&theirs).then(other.sequence.cmp(&self.sequence))
    }
}
