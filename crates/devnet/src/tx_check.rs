//! Consensus rules about a single transaction: its form, its inputs, its locks and its scripts.

use std::collections::HashSet;

use bitcoin::consensus::encode::serialize;
use bitcoin::{Amount, OutPoint, Sequence, Transaction};
use bitcoinconsensus::{Utxo, VERIFY_ALL_PRE_TAPROOT, VERIFY_TAPROOT};

use crate::coins::Coin;
use crate::error::TxError;
use crate::rules::{COINBASE_MATURITY, MAX_BLOCK_WEIGHT, WITNESS_SCALE_FACTOR};

/// Lock times below are heights, from here on times (BIP-0113 and before).
const LOCKTIME_THRESHOLD: u32 = 500_000_000;

/// Checks what can be checked without knowing anything but the transaction.
pub(crate) fn check_form(tx: &Transaction) -> Result<(), TxError> {
    if tx.input.is_empty() {
        return Err(TxError::NoInputs);
    }
    if tx.output.is_empty() {
        return Err(TxError::NoOutputs);
    }
    let size = tx.base_size();
    if size as u64 * WITNESS_SCALE_FACTOR > MAX_BLOCK_WEIGHT {
        return Err(TxError::Oversize { size });
    }
    check_output_values(tx)?;
    let mut seen = HashSet::with_capacity(tx.input.len());
    if let Some(twice) = tx.input.iter().find(|input| !seen.insert(input.previous_output)) {
        return Err(TxError::DuplicateInput { outpoint: twice.previous_output });
    }
    if tx.is_coinbase() {
        let length = tx.input[0].script_sig.len();
        if !(2..=100).contains(&length) {
            return Err(TxError::CoinbaseScriptLength { length });
        }
    } else if let Some(input) = tx.input.iter().position(|input| input.previous_output.is_null()) {
        return Err(TxError::NullPrevout { input });
    }
    Ok(())
}

fn check_output_values(tx: &Transaction) -> Result<(), TxError> {
    let mut total = Amount::ZERO;
    for (vout, output) in tx.output.iter().enumerate() {
        // Values are signed on the wire, so the upper half of the unsigned range is negative.
        if i64::try_from(output.value.to_sat()).is_err() {
            return Err(TxError::OutputNegative { vout });
        }
        if output.value > Amount::MAX_MONEY {
            return Err(TxError::OutputTooLarge { vout, value: output.value });
        }
        total += output.value;
        if total > Amount::MAX_MONEY {
            return Err(TxError::OutputTotalTooLarge);
        }
    }
    Ok(())
}

/// Looks up the coins that a transaction spends.
pub(crate) fn find_inputs<'a, C: 'a>(
    tx: &Transaction,
    coin: impl Fn(&OutPoint) -> Option<C>,
) -> Result<Vec<C>, TxError> {
    tx.input
        .iter()
        .map(|input| {
            coin(&input.previous_output).ok_or(TxError::MissingInput { outpoint: input.previous_output })
        })
        .collect()
}

/// Checks the values and the maturity of the coins a transaction spends in a block at `height`.
/// Returns the fee.
pub(crate) fn check_inputs(tx: &Transaction, spent: &[&Coin], height: u32) -> Result<Amount, TxError> {
    let mut inputs = Amount::ZERO;
    for (input, coin) in tx.input.iter().zip(spent) {
        let depth = height.saturating_sub(coin.height);
        if coin.coinbase && depth < COINBASE_MATURITY {
            return Err(TxError::PrematureCoinbaseSpend { outpoint: input.previous_output, depth });
        }
        inputs += coin.output.value;
        if inputs > Amount::MAX_MONEY {
            return Err(TxError::InputValueOutOfRange);
        }
    }
    let outputs = output_value(tx);
    inputs.checked_sub(outputs).ok_or(TxError::InputsBelowOutputs { inputs, outputs })
}

/// Adds up the outputs of a transaction whose [form](check_form) has been checked.
pub(crate) fn output_value(tx: &Transaction) -> Amount {
    tx.output.iter().map(|output| output.value).sum()
}

/// Returns whether the lock time allows the transaction in a block at `height`, whose predecessor
/// has the given median time past (BIP-0113).
pub(crate) fn is_final(tx: &Transaction, height: u32, median_time_past: u32) -> bool {
    let lock = tx.lock_time.to_consensus_u32();
    let reached = if lock < LOCKTIME_THRESHOLD { height } else { median_time_past };
    lock == 0 || lock < reached || tx.input.iter().all(|input| input.sequence == Sequence::MAX)
}

/// What the relative lock times of a transaction ask for (BIP-0068).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SequenceLock {
    /// First height of a block that may include the transaction.
    pub(crate) min_height: i64,
    /// Smallest median time past of the block before, 0 if no lock is by time.
    pub(crate) min_time: i64,
}

impl SequenceLock {
    /// Computes the locks of a transaction that spends coins created at `heights`;
    /// `median_time_past` is asked for the median time past of the block at a height.
    pub(crate) fn of(
        tx: &Transaction,
        heights: impl Iterator<Item = u32>,
        median_time_past: impl Fn(u32) -> u32,
    ) -> Self {
        const DISABLED: u32 = 1 << 31;
        const BY_TIME: u32 = 1 << 22;
        const VALUE: u32 = 0xffff;
        const SECONDS_SHIFT: u32 = 9;

        let mut lock = Self { min_height: 0, min_time: 0 };
        // Versions are unsigned in this rule, so negative ones are large.
        if (0..2).contains(&tx.version.0) {
            return lock;
        }
        for (input, height) in tx.input.iter().zip(heights) {
            let sequence = input.sequence.to_consensus_u32();
            if sequence & DISABLED != 0 {
                continue;
            }
            let value = sequence & VALUE;
            if sequence & BY_TIME != 0 {
                // Measured from the smallest timestamp the block of the coin could have had.
                let start = i64::from(median_time_past(height.saturating_sub(1)));
                lock.min_time = lock.min_time.max(start + i64::from(value << SECONDS_SHIFT));
            } else {
                lock.min_height = lock.min_height.max(i64::from(height) + i64::from(value));
            }
        }
        lock
    }

    /// Returns whether a block at `height` on a block with that median time past may include the transaction.
    pub(crate) fn is_open(&self, height: u32, median_time_past: u32) -> bool {
        self.min_height <= i64::from(height) && self.min_time <= i64::from(median_time_past)
    }
}

/// Runs the scripts of all inputs in Bitcoin Core's interpreter, with every consensus rule up to
/// Taproot. Returns the index of the first input whose script fails.
pub(crate) fn check_scripts(tx: &Transaction, spent: &[&Coin]) -> Result<(), usize> {
    let raw = serialize(tx);
    let spent_outputs: Vec<Utxo> = spent
        .iter()
        .map(|coin| {
            let script = coin.output.script_pubkey.as_bytes();
            Utxo {
                script_pubkey: script.as_ptr(),
                script_pubkey_len: script.len().try_into().expect("a script fits into a block"),
                value: coin.output.value.to_sat().try_into().expect("values of coins are below all money"),
            }
        })
        .collect();
    for (index, coin) in spent.iter().enumerate() {
        bitcoinconsensus::verify_with_flags(
            coin.output.script_pubkey.as_bytes(),
            coin.output.value.to_sat(),
            &raw,
            Some(&spent_outputs),
            index,
            VERIFY_ALL_PRE_TAPROOT | VERIFY_TAPROOT,
        )
        .map_err(|_| index)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bitcoin::hashes::Hash;
    use bitcoin::{ScriptBuf, TxIn, TxOut, Txid, Witness, absolute, transaction};

    use super::*;

    fn outpoint(n: u8) -> OutPoint {
        OutPoint { txid: Txid::from_byte_array([n; 32]), vout: 0 }
    }

    fn input(n: u8, sequence: u32) -> TxIn {
        TxIn {
            previous_output: outpoint(n),
            script_sig: ScriptBuf::new(),
            sequence: Sequence(sequence),
            witness: Witness::new(),
        }
    }

    fn tx(input: Vec<TxIn>, values: &[u64]) -> Transaction {
        Transaction {
            version: transaction::Version::TWO,
            lock_time: absolute::LockTime::ZERO,
            input,
            output: values
                .iter()
                .map(|value| TxOut { value: Amount::from_sat(*value), script_pubkey: ScriptBuf::new() })
                .collect(),
        }
    }

    fn coin(value: u64, height: u32, coinbase: bool) -> Coin {
        Coin {
            output: TxOut { value: Amount::from_sat(value), script_pubkey: ScriptBuf::new() },
            height,
            coinbase,
        }
    }

    #[test]
    fn form_rules_are_named_one_by_one() {
        let all = Amount::MAX_MONEY.to_sat();
        let good = tx(vec![input(1, 0)], &[all]);
        assert_eq!(check_form(&good), Ok(()));
        assert_eq!(check_form(&tx(vec![], &[1])), Err(TxError::NoInputs));
        assert_eq!(check_form(&tx(vec![input(1, 0)], &[])), Err(TxError::NoOutputs));
        assert_eq!(
            check_form(&tx(vec![input(1, 0)], &[1, all + 1])),
            Err(TxError::OutputTooLarge { vout: 1, value: Amount::from_sat(all + 1) })
        );
        assert_eq!(check_form(&tx(vec![input(1, 0)], &[u64::MAX])), Err(TxError::OutputNegative { vout: 0 }));
        assert_eq!(check_form(&tx(vec![input(1, 0)], &[all, 1])), Err(TxError::OutputTotalTooLarge));
        assert_eq!(
            check_form(&tx(vec![input(1, 0), input(2, 0), input(1, 0)], &[1])),
            Err(TxError::DuplicateInput { outpoint: outpoint(1) })
        );
        let mut null = input(1, 0);
        null.previous_output = OutPoint::null();
        assert_eq!(
            check_form(&tx(vec![input(1, 0), null.clone()], &[1])),
            Err(TxError::NullPrevout { input: 1 })
        );
        for length in [0, 1, 101] {
            null.script_sig = ScriptBuf::from_bytes(vec![0; length]);
            assert_eq!(
                check_form(&tx(vec![null.clone()], &[1])),
                Err(TxError::CoinbaseScriptLength { length })
            );
        }
        null.script_sig = ScriptBuf::from_bytes(vec![0; 100]);
        assert_eq!(check_form(&tx(vec![null], &[1])), Ok(()));
        let mut large = good;
        large.output[0].script_pubkey = ScriptBuf::from_bytes(vec![0; 1_000_000]);
        assert!(matches!(check_form(&large), Err(TxError::Oversize { .. })));
    }

    #[test]
    fn a_coinbase_matures_after_a_hundred_blocks() {
        let spend = tx(vec![input(1, 0)], &[7]);
        let coin = coin(10, 5, true);
        assert_eq!(check_inputs(&spend, &[&coin], 105), Ok(Amount::from_sat(3)));
        assert_eq!(
            check_inputs(&spend, &[&coin], 104),
            Err(TxError::PrematureCoinbaseSpend { outpoint: outpoint(1), depth: 99 })
        );
    }

    #[test]
    fn outputs_above_inputs_are_refused() {
        let spend = tx(vec![input(1, 0), input(2, 0)], &[7, 4]);
        let coins = (coin(5, 1, false), coin(5, 1, false));
        assert_eq!(
            check_inputs(&spend, &[&coins.0, &coins.1], 9),
            Err(TxError::InputsBelowOutputs { inputs: Amount::from_sat(10), outputs: Amount::from_sat(11) })
        );
    }

    #[test]
    fn lock_times_open_after_their_height_or_median_time() {
        let mut spend = tx(vec![input(1, 0)], &[1]);
        spend.lock_time = absolute::LockTime::from_consensus(100);
        assert!(!is_final(&spend, 100, u32::MAX));
        assert!(is_final(&spend, 101, 0));
        spend.lock_time = absolute::LockTime::from_consensus(LOCKTIME_THRESHOLD);
        assert!(!is_final(&spend, u32::MAX, LOCKTIME_THRESHOLD));
        assert!(is_final(&spend, 0, LOCKTIME_THRESHOLD + 1));
        spend.input[0].sequence = Sequence::MAX;
        assert!(is_final(&spend, 0, 0));
    }

    #[test]
    fn sequence_locks_count_from_the_coin_and_need_version_two() {
        let mut spend = tx(vec![input(1, 10), input(2, (1 << 22) | 3)], &[1]);
        let medians = |height: u32| 1_000 * height;
        let lock = SequenceLock::of(&spend, [50, 60].into_iter(), medians);
        assert_eq!(lock, SequenceLock { min_height: 60, min_time: 59_000 + 3 * 512 });
        assert!(lock.is_open(60, 60_536));
        assert!(!lock.is_open(59, 60_536));
        assert!(!lock.is_open(60, 60_535));
        spend.input[0].sequence = Sequence((1 << 31) | 10);
        assert_eq!(SequenceLock::of(&spend, [50, 60].into_iter(), medians).min_height, 0);
        spend.version = transaction::Version::ONE;
        assert_eq!(
            SequenceLock::of(&spend, [50, 60].into_iter(), medians),
            SequenceLock { min_height: 0, min_time: 0 }
        );
        spend.version = transaction::Version(-1);
        assert_eq!(SequenceLock::of(&spend, [50, 60].into_iter(), medians).min_time, 60_536);
    }

    #[test]
    fn scripts_run_and_the_failing_input_is_named() {
        let mut spend = tx(vec![input(1, 0), input(2, 0)], &[1]);
        let mut anyone = coin(5, 1, false);
        anyone.output.script_pubkey = ScriptBuf::from_bytes(vec![0x51]);
        let mut nobody = coin(5, 1, false);
        nobody.output.script_pubkey = ScriptBuf::from_bytes(vec![0x00]);
        assert_eq!(check_scripts(&spend, &[&anyone, &anyone]), Ok(()));
        assert_eq!(check_scripts(&spend, &[&anyone, &nobody]), Err(1));
        // Taproot is on: an empty witness for a witness v1 program fails.
        nobody.output.script_pubkey = ScriptBuf::from_bytes([&[0x51, 0x20][..], &[2; 32]].concat());
        spend.input[1].witness = Witness::new();
        assert_eq!(check_scripts(&spend, &[&anyone, &nobody]), Err(1));
    }
}
