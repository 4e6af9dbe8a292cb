//! A stake's transactions as PSBTs (BIP-0174), with the Taproot fields (BIP-0371) filled so that any signer
//! understands the leaf it signs for.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use bitcoin::bip32::KeySource;
use bitcoin::psbt::{self, Psbt};
use bitcoin::sighash::TapSighashType;
use bitcoin::taproot::TapLeafHash;
use bitcoin::{Transaction, TxOut, XOnlyPublicKey};
use tapstake_script::{Leaf, StakeOutput};

use crate::spend::Signatures;

/// Where keys come from: master fingerprint and derivation path (BIP-0032), as far as known.
pub type Origins = BTreeMap<XOnlyPublicKey, KeySource>;

/// One input to sign: the output it spends, and the leaf it takes.
#[derive(Debug, Clone)]
pub struct Spent<'a> {
    /// The output as it stands in its transaction.
    pub txout: TxOut,
    /// The ways out of it.
    pub output: &'a StakeOutput,
    /// The way that is taken.
    pub leaf: &'a Leaf,
}

/// Why a PSBT gives no signatures.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PsbtError {
    /// Not one leaf for each input.
    #[error("{spent} spent outputs described for {inputs} inputs")]
    Inputs {
        /// The number of inputs.
        inputs: usize,
        /// The number of outputs described.
        spent: usize,
    },
    /// The transaction is signed already.
    #[error("input {input} carries a script_sig or witness already")]
    Signed {
        /// The position of the input.
        input: usize,
    },
    /// The PSBT is of another transaction.
    #[error("the PSBT signs transaction {actual}, not {expected}")]
    OtherTransaction {
        /// The PSBT's transaction.
        actual: bitcoin::Txid,
        /// The transaction that should be signed.
        expected: bitcoin::Txid,
    },
    /// A signature of another sighash type than SIGHASH_DEFAULT.
    #[error("input {input}: key {key} signed with sighash type {actual} instead of SIGHASH_DEFAULT")]
    Sighash {
        /// The position of the input.
        input: usize,
        /// The key.
        key: XOnlyPublicKey,
        /// The sighash type.
        actual: TapSighashType,
    },
}

/// A PSBT for `tx`, each of whose inputs spends one output of a stake by one leaf.
///
/// # Errors
///
/// [`PsbtError`] if the inputs and `spent` differ in number, or if the transaction is signed already.
pub fn create(tx: Transaction, spent: &[Spent<'_>], origins: &Origins) -> Result<Psbt, PsbtError> {
    if tx.input.len() != spent.len() {
        return Err(PsbtError::Inputs { inputs: tx.input.len(), spent: spent.len() });
    }
    if let Some(input) =
        tx.input.iter().position(|txin| !txin.script_sig.is_empty() || !txin.witness.is_empty())
    {
        return Err(PsbtError::Signed { input });
    }
    let mut psbt = Psbt::from_unsigned_tx(tx).expect("no input is signed");
    for (input, spent) in psbt.inputs.iter_mut().zip(spent) {
        describe_input(input, spent, origins);
    }
    Ok(psbt)
}

/// Fills one input's fields: prevout, internal key, Merkle root, the leaf with its control block, and the origins of
/// the keys in the leaf.
pub fn describe_input(input: &mut psbt::Input, spent: &Spent<'_>, origins: &Origins) {
    let Spent { txout, output, leaf } = spent;
    input.witness_utxo = Some(txout.clone());
    input.tap_internal_key = Some(output.internal_key());
    input.tap_merkle_root = Some(output.merkle_root());
    input.tap_scripts = BTreeMap::from([(leaf.control_block.clone(), leaf.script_and_version())]);
    input.tap_key_origins = key_origins(core::slice::from_ref(*leaf), origins);
}

/// Fills the fields of an output that is a stake's: internal key, tree of leaves, and the origins of its keys.
pub fn describe_output(field: &mut psbt::Output, output: &StakeOutput, origins: &Origins) {
    field.tap_internal_key = Some(output.internal_key());
    field.tap_tree = Some(output.tap_tree());
    field.tap_key_origins = key_origins(output.leaves(), origins);
}

fn key_origins(
    leaves: &[Leaf],
    origins: &Origins,
) -> BTreeMap<XOnlyPublicKey, (Vec<TapLeafHash>, KeySource)> {
    let mut found: BTreeMap<XOnlyPublicKey, (Vec<TapLeafHash>, KeySource)> = BTreeMap::new();
    for leaf in leaves {
        for key in leaf.signers().iter().flat_map(|group| group.keys()) {
            if let Some(source) = origins.get(key) {
                found.entry(*key).or_insert_with(|| (Vec::new(), source.clone())).0.push(leaf.leaf_hash);
            }
        }
    }
    found
}

/// The signatures that a returned PSBT holds for `leaf` in one input. They are not verified here:
/// [`LeafSpend::witness`](crate::LeafSpend::witness) does.
///
/// # Errors
///
/// [`PsbtError`] if the PSBT is of another transaction than `tx`, lacks the input, or holds a signature of another
/// sighash type than SIGHASH_DEFAULT.
pub fn signatures(psbt: &Psbt, tx: &Transaction, input: usize, leaf: &Leaf) -> Result<Signatures, PsbtError> {
    let (actual, expected) = (psbt.unsigned_tx.compute_txid(), tx.compute_txid());
    if actual != expected {
        return Err(PsbtError::OtherTransaction { actual, expected });
    }
    let fields =
        psbt.inputs.get(input).ok_or(PsbtError::Inputs { inputs: psbt.inputs.len(), spent: input + 1 })?;
    let own = fields.tap_script_sigs.iter().filter(|((_, leaf_hash), _)| *leaf_hash == leaf.leaf_hash);
    own.map(|((key, _), signature)| match signature.sighash_type {
        TapSighashType::Default => Ok((*key, signature.signature)),
        actual => Err(PsbtError::Sighash { input, key: *key, actual }),
    })
    .collect()
}
