use bitcoin::absolute::LockTime;
use bitcoin::transaction::Version;
use bitcoin::{OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness};

/// A rule that unbonding and slashing transactions share, broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// Another transaction version than the rules allow.
    #[error("transaction version {actual} is not {}", if *any_of_two { "1 or 2" } else { "2" })]
    Version {
        /// The version.
        actual: i32,
        /// Whether version 1 would do as well.
        any_of_two: bool,
    },
    /// A transaction lock time.
    #[error("lock time {actual} is not 0")]
    LockTime {
        /// The lock time.
        actual: u32,
    },
    /// Another number of inputs than one.
    #[error("{actual} inputs instead of 1")]
    Inputs {
        /// The number of inputs.
        actual: usize,
    },
    /// Another number of outputs than the rules ask for.
    #[error("{actual} outputs instead of {expected}")]
    Outputs {
        /// The number of outputs.
        actual: usize,
        /// The number that is right.
        expected: usize,
    },
    /// The input spends something else.
    #[error("input spends {actual} instead of {expected}")]
    Outpoint {
        /// What is spent.
        actual: OutPoint,
        /// What should be.
        expected: OutPoint,
    },
    /// The input's sequence makes the transaction replaceable or locked.
    #[error("input sequence {actual:#010x} is not 0xffffffff")]
    Sequence {
        /// The sequence.
        actual: u32,
    },
    /// The input's script_sig has content.
    #[error("script_sig of {length} bytes is not empty")]
    ScriptSig {
        /// Its length.
        length: usize,
    },
}

/// The transaction of version 2 that spends `outpoint` alone, final and without lock time.
pub(crate) fn build(outpoint: OutPoint, output: alloc::vec::Vec<TxOut>) -> Transaction {
    let input = TxIn {
        previous_output: outpoint,
        script_sig: ScriptBuf::new(),
        sequence: Sequence::MAX,
        witness: Witness::new(),
    };
    Transaction { version: Version::TWO, lock_time: LockTime::ZERO, input: alloc::vec![input], output }
}

/// Checks all but version and outputs' contents.
pub(crate) fn check(tx: &Transaction, outpoint: OutPoint, outputs: usize) -> Result<(), ShapeError> {
    if tx.lock_time != LockTime::ZERO {
        return Err(ShapeError::LockTime { actual: tx.lock_time.to_consensus_u32() });
    }
    let [input] = tx.input.as_slice() else {
        return Err(ShapeError::Inputs { actual: tx.input.len() });
    };
    if tx.output.len() != outputs {
        return Err(ShapeError::Outputs { actual: tx.output.len(), expected: outputs });
    }
    if input.previous_output != outpoint {
        return Err(ShapeError::Outpoint { actual: input.previous_output, expected: outpoint });
    }
    if input.sequence != Sequence::MAX {
        return Err(ShapeError::Sequence { actual: input.sequence.to_consensus_u32() });
    }
    if !input.script_sig.is_empty() {
        return Err(ShapeError::ScriptSig { length: input.script_sig.len() });
    }
    Ok(())
}
