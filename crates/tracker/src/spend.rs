//! By which way a stake's output was spent.

use bitcoin::secp256k1::{Secp256k1, Verification};
use bitcoin::{OutPoint, Transaction};
use tapstake_script::{LeafName, RefundOutput, StakeOutput, UnbondingOutput};
use tapstake_tx::{Coin, Stake};

/// How an output of a stake was spent, and what came out of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpendKind {
    /// The staking output, early, by staker and covenant; into this unbonding output.
    Unbonding(Coin<UnbondingOutput>),
    /// The staking output, by staker and covenant, together with a funding input: moved into a larger or longer stake.
    Expansion,
    /// By staker, provider and covenant; into this refund output, if the slashing transaction has one.
    Slashing(Option<Coin<RefundOutput>>),
    /// By the staker alone, after the timelock.
    Withdrawal,
    /// By no known leaf, or not into an unbonding output: nothing that the rules of staking allow.
    Unknown,
}

/// Says how input `input_index` of `tx` spends the staking output of `stake`.
///
/// Looks at the leaf in the witness and at the outputs. That the witness is valid is the business of whoever took
/// the transaction into a block or mempool.
pub fn classify_spend<C: Verification>(
    secp: &Secp256k1<C>,
    stake: &Stake,
    tx: &Transaction,
    input_index: usize,
) -> SpendKind {
    match leaf_spent(&stake.coin().output, tx, input_index) {
        Some(LeafName::Timelock) => SpendKind::Withdrawal,
        Some(LeafName::Slashing) => SpendKind::Slashing(refund_of(stake, tx)),
        Some(LeafName::Unbonding) => {
            let output = stake.terms().unbonding_output(secp);
            // Staker and covenant together can sign anything: only an unbonding output is an unbonding.
            match coin_of(tx, output, 0) {
                Some(coin) => SpendKind::Unbonding(coin),
                // Whose new stake it is, the terms of the old one do not say; nothing else has this shape.
                None if input_index == 0 && tx.input.len() == 2 => SpendKind::Expansion,
                None => SpendKind::Unknown,
            }
        }
        None => SpendKind::Unknown,
    }
}

/// Says how input `input_index` of `tx` spends the unbonding output of `stake`; see [`classify_spend`].
pub fn classify_unbonding_spend(
    stake: &Stake,
    unbonding: &UnbondingOutput,
    tx: &Transaction,
    input_index: usize,
) -> SpendKind {
    match leaf_spent(unbonding, tx, input_index) {
        Some(LeafName::Timelock) => SpendKind::Withdrawal,
        Some(LeafName::Slashing) => SpendKind::Slashing(refund_of(stake, tx)),
        Some(LeafName::Unbonding) | None => SpendKind::Unknown,
    }
}

/// Which leaf of `output` the witness of an input shows.
pub(crate) fn leaf_spent(output: &StakeOutput, tx: &Transaction, input_index: usize) -> Option<LeafName> {
    let witness = &tx.input.get(input_index)?.witness;
    let (script, control_block) = (witness.taproot_leaf_script()?, witness.taproot_control_block()?);
    // The control block's first byte holds the leaf version.
    let shown = |leaf: &&tapstake_script::Leaf| {
        *leaf.script == *script.script && leaf.control_block.serialize() == control_block
    };
    output.leaves().iter().find(shown).map(|leaf| leaf.name)
}

fn refund_of(stake: &Stake, tx: &Transaction) -> Option<Coin<RefundOutput>> {
    coin_of(tx, stake.refund_output().clone(), 1)
}

/// The output of `tx` that is `output`: the one at its usual position, else the first.
fn coin_of<O>(tx: &Transaction, output: O, usual: u32) -> Option<Coin<O>>
where
    O: std::ops::Deref<Target = StakeOutput>,
{
    let pays = |vout: u32| {
        tx.output.get(vout as usize).is_some_and(|out| out.script_pubkey == *output.script_pubkey())
    };
    let outputs = u32::try_from(tx.output.len()).ok()?;
    let vout = std::iter::once(usual).chain(0..outputs).find(|vout| pays(*vout))?;
    let value = tx.output.get(vout as usize)?.value;
    Some(Coin { outpoint: OutPoint { txid: tx.compute_txid(), vout }, value, output })
}
