//! What a mempool takes beyond what consensus asks for: a subset of Bitcoin Core 31's policy.
//!
//! Left out are the script flags that exist for policy only (low S, minimal pushes, clean stack, no
//! unknown upgrades; tapscript has the ones that matter as consensus rules), the limit of the
//! mempool's total size with the expiry that follows from it, and full feerate diagrams: a
//! replacement must beat the fee rate of each transaction it conflicts with instead. After a block has
//! been invalidated bitcoind was once seen to drop a waiting transaction that it would have taken again
//! at once (an open relative lock on a parent that lost its block); here such a one stays.

use bitcoin::script::Instruction;
use bitcoin::{Amount, Script, Transaction, TxOut};

use crate::coins::{Coin, is_unspendable};
use crate::error::AcceptError;
use crate::sigops;

/// Smallest fee rate that is relayed, in satoshi for 1000 virtual bytes.
pub const MIN_RELAY_FEE_RATE: u64 = 100;
/// Smallest increase of the fee rate of a replacement, in satoshi for 1000 virtual bytes.
pub const INCREMENTAL_RELAY_FEE_RATE: u64 = 100;
/// Largest fee rate of a broadcast, in satoshi for 1000 virtual bytes: more is a mistake.
pub const MAX_FEE_RATE: u64 = 10_000_000;
/// Largest weight of a relayed transaction, in weight units.
pub const MAX_STANDARD_TX_WEIGHT: u64 = 400_000;
/// Smallest size of a relayed transaction without witnesses, in bytes.
pub const MIN_STANDARD_TX_NONWITNESS_SIZE: usize = 65;
/// Largest number of unconfirmed transactions that depend on each other.
pub const MAX_CLUSTER_COUNT: usize = 64;
/// Largest size of unconfirmed transactions that depend on each other, in virtual bytes.
pub const MAX_CLUSTER_VSIZE: u64 = 101_000;
/// Largest number of transactions that one may replace.
pub(crate) const MAX_REPLACEMENTS: usize = 100;
/// Largest cost of the signature operations of a relayed transaction.
const MAX_STANDARD_TX_SIGOPS_COST: usize = 16_000;
/// Largest number of signature operations outside of witnesses in a relayed transaction (BIP-0054).
const MAX_TX_LEGACY_SIGOPS: usize = 2_500;
/// Weight that one signature operation counts for at least.
const WEIGHT_PER_SIGOP: u64 = 20;
/// Most bytes of all data-carrying (`OP_RETURN`) scripts together.
const MAX_DATA_CARRIER: usize = 100_000;

/// Returns what `rate`, in satoshi for 1000 virtual bytes, asks for `vsize` virtual bytes, rounded up.
pub fn fee_at_rate(rate: u64, vsize: u64) -> Amount {
    Amount::from_sat((rate * vsize).div_ceil(1000))
}

/// Virtual size of a transaction with the given cost of signature operations, in virtual bytes.
pub(crate) fn vsize(tx: &Transaction, sigops: usize) -> u64 {
    tx.weight().to_wu().max(sigops as u64 * WEIGHT_PER_SIGOP).div_ceil(4)
}

/// Refuses outputs nobody can spend with more value than `max_burn`.
pub(crate) fn check_burn(tx: &Transaction, max_burn: Amount) -> Result<(), AcceptError> {
    /// Opcodes above `OP_CHECKSIGADD` do not exist.
    const MAX_OPCODE: u8 = 0xba;
    const MAX_PUSH: usize = 520;
    let cannot_run = |script: &Script| {
        script.instructions().any(|instruction| match instruction {
            Ok(Instruction::PushBytes(bytes)) => bytes.len() > MAX_PUSH,
            Ok(Instruction::Op(opcode)) => opcode.to_u8() > MAX_OPCODE,
            Err(_) => true,
        })
    };
    let burns = |output: &TxOut| is_unspendable(output) || cannot_run(&output.script_pubkey);
    match tx.output.iter().position(|output| output.value > max_burn && burns(output)) {
        Some(vout) => Err(AcceptError::Burn { vout, value: tx.output[vout].value, max_burn }),
        None => Ok(()),
    }
}

/// Forms of output scripts, as far as policy tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Known,
    P2sh,
    NullData,
    /// Pay to anchor: anyone can spend it, without a witness.
    Anchor,
    WitnessUnknown,
    NonStandard,
}

fn form(script: &Script) -> Form {
    const PAY_TO_ANCHOR: [u8; 4] = [0x51, 0x02, 0x4e, 0x73];
    if script.is_p2sh() {
        Form::P2sh
    } else if script.is_p2wpkh() || script.is_p2wsh() || script.is_p2tr() {
        Form::Known
    } else if script.as_bytes() == PAY_TO_ANCHOR {
        Form::Anchor
    } else if let Some(version) = script.witness_version() {
        if version.to_num() == 0 { Form::NonStandard } else { Form::WitnessUnknown }
    } else if script.is_op_return() {
        let data = Script::from_bytes(&script.as_bytes()[1..]);
        if data.is_push_only() { Form::NullData } else { Form::NonStandard }
    } else if script.is_p2pk() || script.is_p2pkh() {
        Form::Known
    } else if script.is_multisig() {
        // OP_n stands before the closing OP_CHECKMULTISIG; up to three keys are relayed.
        let keys = script.as_bytes().iter().rev().nth(1).map_or(0, |byte| byte.wrapping_sub(0x50));
        if (1..=3).contains(&keys) { Form::Known } else { Form::NonStandard }
    } else {
        Form::NonStandard
    }
}

/// Checks the form of a transaction, without its inputs.
pub(crate) fn check_standard(tx: &Transaction) -> Result<(), AcceptError> {
    const MAX_SCRIPT_SIG: usize = 1_650;
    if !(1..=3).contains(&tx.version.0) {
        return Err(AcceptError::non_standard(format!("version, {} is not 1, 2 or 3", tx.version.0)));
    }
    let weight = tx.weight().to_wu();
    if weight > MAX_STANDARD_TX_WEIGHT {
        return Err(AcceptError::non_standard(format!("tx-size, {weight} weight units of at most 400000")));
    }
    for (index, input) in tx.input.iter().enumerate() {
        if input.script_sig.len() > MAX_SCRIPT_SIG {
            return Err(AcceptError::non_standard(format!("scriptsig-size, input {index}")));
        }
        if !input.script_sig.is_push_only() {
            return Err(AcceptError::non_standard(format!("scriptsig-not-pushonly, input {index}")));
        }
    }
    let mut data = 0;
    for (vout, output) in tx.output.iter().enumerate() {
        match form(&output.script_pubkey) {
            Form::NonStandard => {
                return Err(AcceptError::non_standard(format!("scriptpubkey, output {vout}")));
            }
            Form::NullData => data += output.script_pubkey.len(),
            _ => {}
        }
        if data > MAX_DATA_CARRIER {
            return Err(AcceptError::non_standard(format!("datacarrier, {data} bytes of at most 100000")));
        }
    }
    if dust(tx).nth(1).is_some() {
        return Err(AcceptError::non_standard("dust, more than one output"));
    }
    let size = tx.base_size();
    if size < MIN_STANDARD_TX_NONWITNESS_SIZE {
        return Err(AcceptError::TooSmall { size });
    }
    Ok(())
}

/// Returns the indexes of outputs that cost more to spend, at 3 sat for each virtual byte, than they are worth.
pub(crate) fn dust(tx: &Transaction) -> impl Iterator<Item = usize> {
    tx.output.iter().enumerate().filter_map(|(vout, output)| {
        let dust = !is_unspendable(output) && output.value < output.script_pubkey.minimal_non_dust();
        dust.then_some(vout)
    })
}

/// A transaction with a dust output must pay no fee, so that nobody mines it without its spend.
pub(crate) fn check_ephemeral_dust(tx: &Transaction, fee: Amount) -> Result<(), AcceptError> {
    match dust(tx).next() {
        Some(vout) if fee > Amount::ZERO => {
            let output = &tx.output[vout];
            let (value, least) = (output.value.to_sat(), output.script_pubkey.minimal_non_dust().to_sat());
            Err(AcceptError::non_standard(format!(
                "dust, tx with dust output must be 0-fee (output {vout} has {value} sat of at least {least} sat)"
            )))
        }
        _ => Ok(()),
    }
}

/// Checks the forms of the inputs: what they spend, how many signature operations run, their witnesses.
pub(crate) fn check_inputs_standard(tx: &Transaction, spent: &[&Coin]) -> Result<(), AcceptError> {
    const MAX_P2SH_SIGOPS: usize = 15;
    let reason =
        |detail: String| Err(AcceptError::non_standard(format!("bad-txns-nonstandard-inputs, {detail}")));
    let executed = sigops::executed_count(tx, spent.iter().map(|coin| &coin.output));
    if executed > MAX_TX_LEGACY_SIGOPS {
        return reason("non-witness sigops exceed bip54 limit".to_owned());
    }
    for (index, (input, coin)) in tx.input.iter().zip(spent).enumerate() {
        match form(&coin.output.script_pubkey) {
            Form::NonStandard | Form::NullData => return reason(format!("input {index} script unknown")),
            Form::WitnessUnknown => return reason(format!("input {index} witness program is undefined")),
            Form::P2sh => match sigops::redeem_script(input, &coin.output) {
                None => return reason(format!("input {index} P2SH redeemscript missing")),
                Some(script) if script.count_sigops() > MAX_P2SH_SIGOPS => {
                    return reason(format!("p2sh redeemscript sigops exceed limit (input {index})"));
                }
                Some(_) => {}
            },
            Form::Known | Form::Anchor => {}
        }
    }
    match tx.input.iter().zip(spent).position(|(input, coin)| !is_witness_standard(input, &coin.output)) {
        Some(index) => Err(AcceptError::non_standard(format!("bad-witness-nonstandard, input {index}"))),
        None => Ok(()),
    }
}

fn is_witness_standard(input: &bitcoin::TxIn, spent: &TxOut) -> bool {
    const MAX_STACK_ITEM: usize = 80;
    const MAX_P2WSH_SCRIPT: usize = 3_600;
    const MAX_P2WSH_STACK_ITEMS: usize = 100;
    const ANNEX_TAG: u8 = 0x50;
    const LEAF_MASK: u8 = 0xfe;
    const TAPSCRIPT: u8 = 0xc0;

    let mut stack: Vec<&[u8]> = input.witness.iter().collect();
    if stack.is_empty() {
        return true;
    }
    if form(&spent.script_pubkey) == Form::Anchor {
        return false;
    }
    let redeem = sigops::redeem_script(input, spent);
    let program = if spent.script_pubkey.is_p2sh() { redeem } else { Some(&*spent.script_pubkey) };
    let Some(program) = program.filter(|script| script.is_witness_program()) else { return false };
    if program.is_p2wsh() {
        let script = stack.pop().unwrap_or_default();
        return script.len() <= MAX_P2WSH_SCRIPT
            && stack.len() <= MAX_P2WSH_STACK_ITEMS
            && stack.iter().all(|item| item.len() <= MAX_STACK_ITEM);
    }
    if program.is_p2tr() && redeem.is_none() && stack.len() >= 2 {
        if stack.last().and_then(|item| item.first()) == Some(&ANNEX_TAG) {
            return false;
        }
        let control_block = stack.pop().unwrap_or_default();
        stack.pop();
        return match control_block.first() {
            None => false,
            Some(byte) if byte & LEAF_MASK == TAPSCRIPT => {
                stack.iter().all(|item| item.len() <= MAX_STACK_ITEM)
            }
            Some(_) => true,
        };
    }
    true
}

/// Refuses a transaction whose signature operations cost too much.
pub(crate) fn check_sigops(sigops: usize) -> Result<(), AcceptError> {
    if sigops > MAX_STANDARD_TX_SIGOPS_COST {
        return Err(AcceptError::non_standard(format!("bad-txns-too-many-sigops, {sigops}")));
    }
    Ok(())
}
