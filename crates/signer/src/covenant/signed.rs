use bitcoin::secp256k1::schnorr;
use bitcoin::{Amount, OutPoint, TapSighash, Txid, XOnlyPublicKey};
use serde::{Deserialize, Serialize};
use tapstake_params::Timelock;
use tapstake_tx::delegation::CovenantSignatures;

use super::error::Refusal;

/// One delegation that a member signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Signed {
    /// The delegation.
    #[serde(flatten)]
    pub subject: Subject,
    /// The signatures.
    pub signatures: MemberSignatures,
}

/// What a delegation is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Subject {
    /// Where the stake will lie.
    pub stake: OutPoint,
    /// The parameters version it is made under.
    pub params_version: u32,
    /// The staker's key.
    pub staker: XOnlyPublicKey,
    /// What the stake holds.
    #[serde(rename = "value_sat", with = "bitcoin::amount::serde::as_sat")]
    pub value: Amount,
    /// Its timelock, in blocks.
    pub staking_time: Timelock,
    /// Its one unbonding transaction.
    pub unbonding: Txid,
    /// The slashing transaction of its staking output.
    pub slashing: Txid,
    /// The slashing transaction of its unbonding output.
    pub unbonding_slashing: Txid,
    /// The stake that it expands, and what was signed to move that one.
    #[serde(flatten)]
    pub expansion: Option<SignedExpansion>,
}

/// The move of a stake into a larger or longer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SignedExpansion {
    /// The stake that moves.
    #[serde(rename = "expands")]
    pub previous: OutPoint,
    /// The digest of input 0, which commits to what both inputs hold (BIP-0341).
    #[serde(skip)]
    pub digest: TapSighash,
}

/// One member's signatures over one delegation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberSignatures {
    /// Over unbonding and slashing transactions, if the member sits in the stake's committee.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub covenant: Option<CovenantSignatures>,
    /// Over input 0 of an expansion, if the member sits in the expanded stake's committee.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expansion: Option<schnorr::Signature>,
}

impl Subject {
    /// Refuses to sign `asked` after this one, if it contradicts it.
    pub(super) fn check_same(&self, asked: &Subject) -> Result<(), Refusal> {
        let stake = self.stake;
        if self.unbonding != asked.unbonding {
            return Err(Refusal::SecondUnbonding { stake, signed: self.unbonding, asked: asked.unbonding });
        }
        for (signed, asked) in
            [(self.slashing, asked.slashing), (self.unbonding_slashing, asked.unbonding_slashing)]
        {
            if signed != asked {
                return Err(Refusal::SecondSlashing { stake, signed, asked });
            }
        }
        // The txid does not commit to what its inputs hold, the digest does.
        if self.expansion != asked.expansion {
            return Err(Refusal::SecondExpansion { stake });
        }
        Ok(())
    }
}
