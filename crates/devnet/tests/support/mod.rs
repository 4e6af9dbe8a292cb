//! What several test files share: coins that anyone can spend, and numbers that repeat.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod broken;
pub(crate) mod story;

use bitcoin::{
    Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness, absolute, script, transaction,
};
use tapstake_devnet::{Chain, Clock};

/// A clock for chains whose blocks nobody else sees.
pub(crate) const START: Clock = Clock::At(1_700_000_000);

/// The witness script of all test coins: `OP_TRUE`.
pub(crate) fn witness_script() -> ScriptBuf {
    script::Builder::new().push_opcode(bitcoin::opcodes::OP_TRUE).into_script()
}

/// An output script that anyone can spend, in a standard way: P2WSH of [`witness_script`].
pub(crate) fn anyone() -> ScriptBuf {
    ScriptBuf::new_p2wsh(&witness_script().wscript_hash())
}

pub(crate) fn input(previous_output: OutPoint, sequence: u32) -> TxIn {
    TxIn {
        previous_output,
        script_sig: ScriptBuf::new(),
        sequence: Sequence(sequence),
        witness: Witness::from_slice(&[witness_script().into_bytes()]),
    }
}

pub(crate) fn output(sat: u64) -> TxOut {
    TxOut { value: Amount::from_sat(sat), script_pubkey: anyone() }
}

/// Spends coins that anyone can spend, without locks, into outputs that anyone can spend.
pub(crate) fn spend(coins: &[OutPoint], values: &[u64]) -> Transaction {
    Transaction {
        version: transaction::Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: coins.iter().map(|coin| input(*coin, 0xffff_fffd)).collect(),
        output: values.iter().map(|value| output(*value)).collect(),
    }
}

/// Starts a chain of `height` blocks whose coinbases anyone can spend.
pub(crate) fn chain_of(height: u32, clock: Clock) -> Chain {
    let mut chain = Chain::new(clock);
    for _ in 0..height {
        chain.mine(&anyone()).unwrap();
    }
    chain
}

/// The coinbase output of the block at a height, and its value in satoshi.
pub(crate) fn reward(chain: &Chain, height: u32) -> (OutPoint, u64) {
    let coinbase = &chain.block(height).unwrap().txdata[0];
    (OutPoint { txid: coinbase.compute_txid(), vout: 0 }, coinbase.output[0].value.to_sat())
}

/// Random numbers that are the same every time (SplitMix64).
#[derive(Clone)]
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
