use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use bitcoin::secp256k1::schnorr::Signature;
use bitcoin::{Transaction, XOnlyPublicKey};
use serde::{Deserialize, Serialize};
use tapstake_crypto::adaptor::AdaptorSignature;
use tapstake_crypto::pop::ProofOfPossession;

use super::json;

/// Everything that is signed in advance on top of one staking output: plain data, nothing checked.
///
/// It is what a delegation file and a stake's proof have in common. [`DelegationParts::check`] is the one function that
/// judges it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "json::PartsFields", into = "json::PartsFields")]
pub struct DelegationParts {
    /// The unbonding transaction, without witness.
    pub unbonding_tx: Transaction,
    /// The slashing transaction of the staking output, without witness.
    pub slashing_tx: Transaction,
    /// The slashing transaction of the unbonding output, without witness.
    pub unbonding_slashing_tx: Transaction,
    /// The staker's signatures.
    pub staker: Option<StakerSignatures>,
    /// The proof that the staker has the staker's key.
    pub possession: Option<ProofOfPossession>,
    /// The signatures of covenant members, by their keys.
    pub covenant: BTreeMap<XOnlyPublicKey, CovenantSignatures>,
}

/// What a staker signs in advance: both slashing transactions, but never the unbonding transaction.
///
/// BIP-0340 over the slashing leaf's digest (BIP-0341, SIGHASH_DEFAULT), 64 bytes each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "json::StakerFields", into = "json::StakerFields")]
pub struct StakerSignatures {
    /// On the slashing transaction of the staking output.
    pub slashing: Signature,
    /// On the slashing transaction of the unbonding output.
    pub unbonding_slashing: Signature,
}

/// What one covenant member signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "json::CovenantFields", into = "json::CovenantFields")]
pub struct CovenantSignatures {
    /// On the unbonding transaction: 64 bytes of BIP-0340.
    pub unbonding: Signature,
    /// On the slashing transaction of the staking output: an adaptor signature of 65 bytes for each provider, in the
    /// ascending order of the providers' keys.
    pub slashing: Vec<AdaptorSignature>,
    /// On the slashing transaction of the unbonding output, likewise.
    pub unbonding_slashing: Vec<AdaptorSignature>,
}
