//! PSBTs (BIP-0174) on their way to other signers and back.

use std::path::Path;
use std::str::FromStr;

use bitcoin::psbt::ExtractTxError;
use bitcoin::{Amount, FeeRate, Psbt, Transaction, TxOut, Txid};
use tapstake_durable as durable;
use tapstake_tx::check_txid_final;

use crate::error::{AtPath, WalletError};
use crate::file::read_limited;

/// The bytes every binary PSBT begins with.
const MAGIC: &[u8] = b"psbt\xff";

/// Much more than any PSBT of this project; a PSBT carries whole previous transactions.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// How a PSBT is written to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PsbtFormat {
    /// As BIP-0174 says: `.psbt` files.
    Binary,
    /// Base64 text, for clipboards.
    Base64,
}

/// Reads a PSBT from binary or base64, whichever it is.
///
/// # Errors
///
/// [`WalletError::NotAPsbt`].
pub fn parse_psbt(bytes: &[u8]) -> Result<Psbt, WalletError> {
    let refuse = |reason: String| WalletError::NotAPsbt(reason);
    if bytes.starts_with(MAGIC) {
        return Psbt::deserialize(bytes).map_err(|error| refuse(error.to_string()));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| refuse("neither binary nor base64".into()))?;
    // Mail and terminals break long lines.
    let text: String = text.split_whitespace().collect();
    Psbt::from_str(&text).map_err(|error| refuse(error.to_string()))
}

/// Reads a PSBT file, binary or base64.
///
/// # Errors
///
/// [`WalletError::File`], [`WalletError::NotAPsbt`].
pub fn read_psbt(path: &Path) -> Result<Psbt, WalletError> {
    parse_psbt(&read_limited(path, MAX_BYTES)?)
}

/// Writes a PSBT file, whole or not at all.
///
/// # Errors
///
/// [`WalletError::File`].
pub fn write_psbt(path: &Path, psbt: &Psbt, format: PsbtFormat) -> Result<(), WalletError> {
    let bytes = match format {
        PsbtFormat::Binary => psbt.serialize(),
        PsbtFormat::Base64 => format!("{psbt}\n").into_bytes(),
    };
    durable::replace(path, &bytes).at(path)
}

/// Puts the signatures of several copies of one PSBT together.
///
/// # Errors
///
/// [`WalletError::Combine`] if they are of different transactions or contradict each other.
pub fn combine_psbts(psbts: impl IntoIterator<Item = Psbt>) -> Result<Psbt, WalletError> {
    let mut psbts = psbts.into_iter();
    let mut first = psbts.next().ok_or_else(|| WalletError::Combine("there is none".into()))?;
    for other in psbts {
        let (ours, theirs) = (first.unsigned_tx.compute_txid(), other.unsigned_tx.compute_txid());
        if ours != theirs {
            return Err(WalletError::Combine(format!("{ours} and {theirs}")));
        }
        first.combine(other).map_err(|error| WalletError::Combine(error.to_string()))?;
    }
    Ok(first)
}

/// The finished transaction of a PSBT whose inputs are all finalized.
///
/// # Errors
///
/// [`WalletError::NotFullySigned`]; [`WalletError::FeeTooHigh`] if it pays more than `max_fee_rate`.
pub fn extract_tx(psbt: Psbt, max_fee_rate: FeeRate) -> Result<Transaction, WalletError> {
    for (input, data) in psbt.inputs.iter().enumerate() {
        if data.final_script_witness.is_none() && data.final_script_sig.is_none() {
            return Err(WalletError::NotFullySigned { input, reason: "it is not finalized".into() });
        }
    }
    let fee = psbt.fee().map_err(|error| WalletError::Build(error.to_string()))?;
    psbt.extract_tx_with_fee_rate_limit(max_fee_rate).map_err(|error| match error {
        ExtractTxError::AbsurdFeeRate { tx, .. } => {
            WalletError::FeeTooHigh { fee, limit: max_fee_rate.fee_wu(tx.weight()).unwrap_or(Amount::ZERO) }
        }
        other => WalletError::Build(other.to_string()),
    })
}

/// The id of the transaction, if no signature can change it: every input is native segwit, or has its final
/// script_sig.
///
/// # Errors
///
/// [`WalletError::Staking`] naming the input, [`WalletError::MissingPrevout`].
pub fn stable_txid(psbt: &Psbt) -> Result<Txid, WalletError> {
    let mut tx = psbt.unsigned_tx.clone();
    for (txin, data) in tx.input.iter_mut().zip(&psbt.inputs) {
        txin.script_sig = data.final_script_sig.clone().unwrap_or_default();
    }
    let prevouts =
        (0..tx.input.len()).map(|input| prevout(psbt, input)).collect::<Result<Vec<TxOut>, _>>()?;
    check_txid_final(&tx, &prevouts)?;
    Ok(tx.compute_txid())
}

/// What an input spends, from the PSBT itself. A previous transaction, where given, decides and must agree.
pub(crate) fn prevout(psbt: &Psbt, input: usize) -> Result<TxOut, WalletError> {
    let missing = || WalletError::MissingPrevout(input);
    let data = psbt.inputs.get(input).ok_or_else(missing)?;
    let outpoint = psbt.unsigned_tx.input.get(input).ok_or_else(missing)?.previous_output;
    let Some(previous) = &data.non_witness_utxo else {
        return data.witness_utxo.clone().ok_or_else(missing);
    };
    let output = usize::try_from(outpoint.vout).ok().and_then(|vout| previous.output.get(vout));
    match (output, &data.witness_utxo) {
        (Some(output), stated)
            if previous.compute_txid() == outpoint.txid
                && stated.as_ref().is_none_or(|stated| stated == output) =>
        {
            Ok(output.clone())
        }
        _ => Err(WalletError::CoinMismatch { input, outpoint }),
    }
}
