//! The cost of signature operations, as BIP-0016 and BIP-0141 count it.
//!
//! Tapscript has its own budget inside of the script interpreter (BIP-0342) and costs nothing here.

use bitcoin::opcodes::all::{
    OP_CHECKMULTISIG, OP_CHECKMULTISIGVERIFY, OP_CHECKSIG, OP_CHECKSIGVERIFY, OP_PUSHNUM_1, OP_PUSHNUM_16,
};
use bitcoin::script::Instruction;
use bitcoin::{Script, Transaction, TxIn, TxOut};

use crate::rules::WITNESS_SCALE_FACTOR;

/// What a `CHECKMULTISIG` costs whose number of keys is not known.
const MAX_PUBKEYS_PER_MULTISIG: usize = 20;

/// Counts the operations in the scripts of the transaction itself.
pub(crate) fn legacy_count(tx: &Transaction) -> usize {
    let inputs = tx.input.iter().map(|input| count(&input.script_sig, false));
    let outputs = tx.output.iter().map(|output| count(&output.script_pubkey, false));
    inputs.chain(outputs).sum()
}

/// Computes the cost of a transaction that spends `spent` (one output for each input; none for a coinbase).
pub(crate) fn cost<'a>(tx: &Transaction, spent: impl Iterator<Item = &'a TxOut>) -> usize {
    let scale = usize::try_from(WITNESS_SCALE_FACTOR).expect("four is a usize");
    let of_inputs: usize = tx
        .input
        .iter()
        .zip(spent)
        .map(|(input, output)| {
            let redeem = redeem_script(input, output);
            let p2sh = redeem.map_or(0, |script| count(script, true));
            p2sh * scale + witness_count(input, redeem.unwrap_or(&output.script_pubkey))
        })
        .sum();
    legacy_count(tx) * scale + of_inputs
}

/// Counts the operations that BIP-0054 bounds: those of the scripts that run, witnesses left out.
pub(crate) fn executed_count<'a>(tx: &Transaction, spent: impl Iterator<Item = &'a TxOut>) -> usize {
    tx.input
        .iter()
        .zip(spent)
        .map(|(input, output)| {
            let locking = if output.script_pubkey.is_p2sh() {
                redeem_script(input, output).map_or(0, |script| count(script, true))
            } else {
                count(&output.script_pubkey, true)
            };
            count(&input.script_sig, true) + locking
        })
        .sum()
}

/// Returns the script that a P2SH input reveals: the last push of its script, if it only pushes.
pub(crate) fn redeem_script<'a>(input: &'a TxIn, output: &TxOut) -> Option<&'a Script> {
    if !output.script_pubkey.is_p2sh() || !input.script_sig.is_push_only() {
        return None;
    }
    match input.script_sig.instructions().last() {
        Some(Ok(Instruction::PushBytes(bytes))) => Some(Script::from_bytes(bytes.as_bytes())),
        _ => None,
    }
}

fn witness_count(input: &TxIn, program: &Script) -> usize {
    if program.is_p2wpkh() {
        1
    } else if program.is_p2wsh() {
        input.witness.last().map_or(0, |script| count(Script::from_bytes(script), true))
    } else {
        0
    }
}

/// Counts operations; `accurate` takes the number of keys of a multisig from the opcode before it.
fn count(script: &Script, accurate: bool) -> usize {
    let mut total = 0;
    let mut keys = None;
    for instruction in script.instructions() {
        let Ok(instruction) = instruction else { break };
        let opcode = instruction.opcode();
        match opcode {
            Some(OP_CHECKSIG | OP_CHECKSIGVERIFY) => total += 1,
            Some(OP_CHECKMULTISIG | OP_CHECKMULTISIGVERIFY) => {
                total += if accurate {
                    keys.unwrap_or(MAX_PUBKEYS_PER_MULTISIG)
                } else {
                    MAX_PUBKEYS_PER_MULTISIG
                };
            }
            _ => {}
        }
        keys = opcode
            .map(|opcode| opcode.to_u8())
            .filter(|byte| (OP_PUSHNUM_1.to_u8()..=OP_PUSHNUM_16.to_u8()).contains(byte))
            .map(|byte| usize::from(byte - OP_PUSHNUM_1.to_u8() + 1));
    }
    total
}

#[cfg(test)]
mod tests {
    use bitcoin::ScriptBuf;

    use super::*;

    fn script(hex: &str) -> ScriptBuf {
        ScriptBuf::from_hex(hex).unwrap()
    }

    #[test]
    fn accurate_counting_takes_the_number_of_keys_of_each_multisig() {
        // OP_2 OP_CHECKMULTISIG OP_CHECKMULTISIG: only the first has a number before it.
        let twice = script("52aeae");
        assert_eq!(count(&twice, true), 2 + 20);
        assert_eq!(count(&twice, false), 40);
    }

    #[test]
    fn counting_stops_where_a_script_cannot_be_read_on() {
        assert_eq!(count(&script("ac4c"), true), 1);
        assert_eq!(count(&script("05acacacacac"), false), 0);
    }
}
