//! Connecting a block to the coins: the rules that need the outputs a block spends.

use std::collections::HashSet;

use bitcoin::{Amount, Block, OutPoint, Txid, Wtxid};

use crate::coins::{BlockUndo, Coin, CoinSet};
use crate::error::{BlockError, TxError};
use crate::rules::{MAX_BLOCK_SIGOPS_COST, subsidy};
use crate::sigops;
use crate::tx_check::{self, SequenceLock};

/// What a block is connected to.
pub(crate) struct Context<'a, M> {
    pub(crate) height: u32,
    /// Median time past of the block before.
    pub(crate) median_time_past: u32,
    /// Median time past of a block of the chain, by height.
    pub(crate) median_time_at: M,
    /// Transactions whose scripts have succeeded before. Their ids include the scripts and
    /// witnesses, and commit to the outputs they spend: they succeed again.
    pub(crate) verified: &'a HashSet<Wtxid>,
}

/// Spends and creates the coins of a block. If a rule is broken the coins are left as they were.
pub(crate) fn connect<M: Fn(u32) -> u32>(
    coins: &mut CoinSet,
    block: &Block,
    txids: &[Txid],
    context: &Context<'_, M>,
) -> Result<BlockUndo, BlockError> {
    check_no_overwrite(coins, block, txids)?;
    let mut undo = BlockUndo::with_capacity(block.txdata.len().saturating_sub(1));
    let mut totals = Totals::default();
    for (index, (tx, txid)) in block.txdata.iter().zip(txids).enumerate() {
        let checked = check_transaction(coins, tx, *txid, context, &mut totals);
        if let Err(error) = checked {
            disconnect_first(coins, block, txids, index, undo);
            return Err(error);
        }
        let spent = coins.apply(tx, *txid, context.height);
        if index > 0 {
            undo.push(spent);
        }
    }
    let limit = totals.fees + subsidy(context.height);
    let actual = tx_check::output_value(&block.txdata[0]);
    if actual > limit {
        disconnect_first(coins, block, txids, block.txdata.len(), undo);
        return Err(BlockError::CoinbaseAmount { actual, limit });
    }
    Ok(undo)
}

/// Takes a connected block back.
pub(crate) fn disconnect(coins: &mut CoinSet, block: &Block, txids: &[Txid], undo: BlockUndo) {
    disconnect_first(coins, block, txids, block.txdata.len(), undo);
}

/// Takes back the first `count` transactions of a block.
fn disconnect_first(coins: &mut CoinSet, block: &Block, txids: &[Txid], count: usize, mut undo: BlockUndo) {
    for (tx, txid) in block.txdata.iter().zip(txids).take(count).rev() {
        let spent = if tx.is_coinbase() { Vec::new() } else { undo.pop().unwrap_or_default() };
        coins.revert(tx, *txid, spent);
    }
}

/// BIP-0030: no transaction may have the id of one that still has unspent outputs.
fn check_no_overwrite(coins: &CoinSet, block: &Block, txids: &[Txid]) -> Result<(), BlockError> {
    for (tx, txid) in block.txdata.iter().zip(txids) {
        for (vout, _) in (0..).zip(&tx.output) {
            let outpoint = OutPoint { txid: *txid, vout };
            if coins.get(&outpoint).is_some() {
                return Err(BlockError::Overwrites { outpoint });
            }
        }
    }
    Ok(())
}

#[derive(Default)]
struct Totals {
    fees: Amount,
    sigops: usize,
}

fn check_transaction<M: Fn(u32) -> u32>(
    coins: &CoinSet,
    tx: &bitcoin::Transaction,
    txid: Txid,
    context: &Context<'_, M>,
    totals: &mut Totals,
) -> Result<(), BlockError> {
    let in_block = |source: TxError| BlockError::Transaction { txid, source };
    let mut spent: Vec<&Coin> = Vec::new();
    if !tx.is_coinbase() {
        spent = tx_check::find_inputs(tx, |outpoint| coins.get(outpoint)).map_err(in_block)?;
        // Fees of one block cannot exceed all money: they are paid from coins that exist.
        totals.fees += tx_check::check_inputs(tx, &spent, context.height).map_err(in_block)?;
        let lock = SequenceLock::of(tx, spent.iter().map(|coin| coin.height), &context.median_time_at);
        if !lock.is_open(context.height, context.median_time_past) {
            return Err(BlockError::SequenceLocked { txid });
        }
    }
    totals.sigops += sigops::cost(tx, spent.iter().map(|coin| &coin.output));
    if totals.sigops > MAX_BLOCK_SIGOPS_COST {
        return Err(BlockError::Sigops { cost: totals.sigops });
    }
    if !tx.is_coinbase() && !context.verified.contains(&tx.compute_wtxid()) {
        tx_check::check_scripts(tx, &spent).map_err(|input| BlockError::Script { txid, input })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bitcoin::Script;

    use super::*;
    use crate::chain::Chain;
    use crate::clock::Clock;

    fn context(verified: &HashSet<Wtxid>) -> Context<'_, impl Fn(u32) -> u32> {
        Context { height: 1, median_time_past: 0, median_time_at: |_| 0, verified }
    }

    #[test]
    fn a_transaction_cannot_overwrite_one_that_is_unspent() {
        // Coinbases begin with their height, so this takes a block at the wrong place.
        let mut chain = Chain::new(Clock::At(1_700_000_000));
        let block = chain.assemble(Script::new(), Vec::new(), Amount::ZERO);
        let txids = [block.txdata[0].compute_txid()];
        let (mut coins, verified) = (CoinSet::default(), HashSet::new());
        let undo = connect(&mut coins, &block, &txids, &context(&verified)).unwrap();
        let before = coins.clone();
        let outpoint = OutPoint { txid: txids[0], vout: 0 };
        let again = connect(&mut coins, &block, &txids, &context(&verified));
        assert_eq!(again, Err(BlockError::Overwrites { outpoint }));
        assert_eq!(coins, before);
        disconnect(&mut coins, &block, &txids, undo);
        assert_eq!(coins, CoinSet::default());
    }
}
