use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;

use bitcoin::consensus::serde::{Hex, With};
use bitcoin::secp256k1::schnorr::Signature;
use bitcoin::secp256k1::{Message, Secp256k1, Verification};
use bitcoin::sighash::{Prevouts, SighashCache};
use bitcoin::taproot::{ControlBlock, LeafVersion, TapLeafHash};
use bitcoin::{OutPoint, Script, TapSighashType, Transaction, TxOut, XOnlyPublicKey};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use tapstake_crypto::ExposedKey;
use tapstake_crypto::adaptor::{self, AdaptorSignature};
use tapstake_params::{MAX_KEYS, Quorum};
use tapstake_script::{ParsedLeaf, Parties};
use tapstake_tx::delegation::{CovenantSignatures, DelegationPackage, DelegationParts, VerifiedParts};

use super::{Equivocation, EvidenceError, SlashingEvidenceError, VerifiedEquivocation};

/// A slashing that a provider completed, and the adaptor signatures that it decrypted for that.
///
/// Plain data; [`Evidence::verify`](super::Evidence::verify) judges it. The witness is checked as a node would: who
/// takes this for a slashing on the chain has to look for it there, the key is out either way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SelectiveSlashing {
    /// The slashing transaction with its witness.
    #[serde(with = "With::<Hex>")]
    pub slashing_tx: Transaction,
    /// The staking or unbonding output that it spends.
    #[serde(with = "With::<Hex>")]
    pub prevout: TxOut,
    /// The provider whose key completed it: one of the stake's, and not always the one that signed it, for providers may share
    /// the work.
    pub provider: XOnlyPublicKey,
    /// Adaptor signatures of covenant members on the slashing transaction, encrypted to that provider's key. One that
    /// the witness completes is enough.
    #[serde(deserialize_with = "at_most_a_committee")]
    pub adaptor_signatures: BTreeMap<XOnlyPublicKey, AdaptorSignature>,
}

impl SelectiveSlashing {
    /// Puts the evidence together from the delegation file of a stake and a transaction that slashes it, or its unbonding
    /// output, with its witness. The provider is the first whose adaptor signatures were decrypted for it; where none were, the
    /// one whose signature is in there, and the evidence will not hold.
    ///
    /// # Errors
    ///
    /// [`SlashingEvidenceError`] if the transaction is no slashing of this stake.
    pub fn from_package<C: Verification>(
        secp: &Secp256k1<C>,
        package: &DelegationPackage,
        slashing_tx: Transaction,
    ) -> Result<Self, SlashingEvidenceError> {
        let outpoint = package.outpoint();
        let output = usize::try_from(outpoint.vout).ok().and_then(|vout| package.staking_tx.output.get(vout));
        let staking = output.map(|output| (outpoint, output.clone()));
        Self::from_parts(secp, &package.parts, staking, package.providers.keys(), slashing_tx)
    }

    /// The same for a stake that was verified with all that is signed in advance.
    ///
    /// # Errors
    ///
    /// [`SlashingEvidenceError`] if the transaction is no slashing of this stake.
    pub fn from_verified<C: Verification>(
        secp: &Secp256k1<C>,
        delegation: &VerifiedParts,
        slashing_tx: Transaction,
    ) -> Result<Self, SlashingEvidenceError> {
        let stake = delegation.stake();
        let staking = Some((stake.outpoint(), stake.coin().to_txout()));
        let providers = stake.terms().parties.providers().keys();
        Self::from_parts(secp, delegation.parts(), staking, providers, slashing_tx)
    }

    fn from_parts<C: Verification>(
        secp: &Secp256k1<C>,
        parts: &DelegationParts,
        staking: Option<(OutPoint, TxOut)>,
        providers: &[XOnlyPublicKey],
        slashing_tx: Transaction,
    ) -> Result<Self, SlashingEvidenceError> {
        let [input] = slashing_tx.input.as_slice() else {
            return Err(SlashingEvidenceError::Inputs { inputs: slashing_tx.input.len() });
        };
        let spent = input.previous_output;
        let unbonding = OutPoint { txid: parts.unbonding_tx.compute_txid(), vout: 0 };
        let (prevout, of_unbonding) = match (staking, parts.unbonding_tx.output.first()) {
            (Some((outpoint, output)), _) if outpoint == spent => (output, false),
            (_, Some(output)) if unbonding == spent => (output.clone(), true),
            _ => return Err(SlashingEvidenceError::OtherStake { spent }),
        };
        let completed = Completed::read(secp, &slashing_tx, &prevout)?;
        let given = |signatures: &CovenantSignatures, position: usize| {
            let list = if of_unbonding { &signatures.unbonding_slashing } else { &signatures.slashing };
            list.get(position).copied()
        };
        let encrypted_to = |(position, provider): (usize, &XOnlyPublicKey)| {
            let given =
                parts.covenant.iter().filter_map(|(member, it)| Some((*member, given(it, position)?)));
            (*provider, given.collect::<BTreeMap<_, _>>())
        };
        let lists = || providers.iter().enumerate().map(encrypted_to);
        let (provider, adaptor_signatures) = lists()
            .find(|(provider, list)| completed.extract(secp, provider, list).is_some())
            .or_else(|| lists().find(|(provider, _)| *provider == completed.signer))
            .unwrap_or_else(|| (completed.signer, BTreeMap::new()));
        Ok(SelectiveSlashing { slashing_tx, prevout, provider, adaptor_signatures })
    }

    pub(super) fn verify<C: Verification>(
        &self,
        secp: &Secp256k1<C>,
    ) -> Result<VerifiedEquivocation, EvidenceError> {
        let completed = Completed::read(secp, &self.slashing_tx, &self.prevout)?;
        if !completed.parties.providers().keys().contains(&self.provider) {
            return Err(SlashingEvidenceError::OtherProvider { claimed: self.provider }.into());
        }
        let (given, members) = (self.adaptor_signatures.len(), completed.parties.covenant().keys().len());
        if given > members {
            return Err(SlashingEvidenceError::TooManyAdaptors { given, members }.into());
        }
        let key = completed.extract(secp, &self.provider, &self.adaptor_signatures);
        let key = key.ok_or_else(|| SlashingEvidenceError::NotExtracted {
            given,
            txid: self.slashing_tx.compute_txid(),
            provider: self.provider,
        })?;
        let equivocation = Equivocation::Slashing {
            staker: completed.parties.staker(),
            spent: self.slashing_tx.input[0].previous_output,
            txid: self.slashing_tx.compute_txid(),
        };
        Ok(VerifiedEquivocation::new(key, equivocation))
    }
}

/// A slashing transaction whose witness has been checked.
struct Completed {
    parties: Parties,
    /// The one provider that signed.
    signer: XOnlyPublicKey,
    /// The covenant members that signed, exactly the quorum.
    covenant: Vec<(XOnlyPublicKey, Signature)>,
    /// What all of them signed.
    message: [u8; 32],
}

impl Completed {
    /// Reads a slashing transaction from its witness: no terms have to be known, the leaf shows the parties.
    fn read<C: Verification>(
        secp: &Secp256k1<C>,
        tx: &Transaction,
        prevout: &TxOut,
    ) -> Result<Self, SlashingEvidenceError> {
        let [input] = tx.input.as_slice() else {
            return Err(SlashingEvidenceError::Inputs { inputs: tx.input.len() });
        };
        let items: Vec<&[u8]> = input.witness.iter().collect();
        let [slots @ .., script, control_block] = items.as_slice() else {
            return Err(SlashingEvidenceError::Leaf);
        };
        let script = Script::from_bytes(script);
        if !commits_to(secp, prevout, script, control_block) {
            return Err(SlashingEvidenceError::Leaf);
        }
        let ParsedLeaf::Slashing(parties) = ParsedLeaf::parse(script)? else {
            return Err(SlashingEvidenceError::NotSlashing);
        };
        let (providers, committee) = (parties.providers().as_quorum(), parties.covenant());
        let expected = 1 + providers.keys().len() + committee.keys().len();
        if slots.len() != expected {
            return Err(SlashingEvidenceError::Items { actual: slots.len() + 2, expected: expected + 2 });
        }
        let leaf_hash = TapLeafHash::from_script(script, LeafVersion::TapScript);
        let message = SighashCache::new(tx)
            .taproot_script_spend_signature_hash(
                0,
                &Prevouts::All(&[prevout]),
                leaf_hash,
                TapSighashType::Default,
            )
            .expect("the transaction's one input has its prevout");
        let message: [u8; 32] = *message.as_ref();

        // From the top of the stack down: the staker, the providers, the committee.
        let mut slots = slots.iter().rev().copied();
        let staker = Quorum::new(1, alloc::vec![parties.staker()]).expect("one of one key is a quorum");
        signed(secp, "the staker", &staker, &mut slots, &message)?;
        let signer = signed(secp, "the providers", providers, &mut slots, &message)?[0].0;
        let covenant = signed(secp, "the covenant", committee, &mut slots, &message)?;
        Ok(Completed { parties, signer, covenant, message })
    }

    /// The provider's key, which turns one of the adaptor signatures into the one of its member in the witness.
    fn extract<C: Verification>(
        &self,
        secp: &Secp256k1<C>,
        provider: &XOnlyPublicKey,
        adaptor_signatures: &BTreeMap<XOnlyPublicKey, AdaptorSignature>,
    ) -> Option<ExposedKey> {
        self.covenant.iter().find_map(|(member, signature)| {
            let adaptor = adaptor_signatures.get(member)?;
            adaptor::verify(secp, adaptor, member, provider, &self.message).ok()?;
            adaptor::extract(secp, adaptor, signature, provider).ok()
        })
    }
}

/// Who of a group has signed: exactly its threshold, each signature in its slot, empty slots elsewhere.
fn signed<'w, C: Verification>(
    secp: &Secp256k1<C>,
    name: &'static str,
    group: &Quorum,
    slots: &mut impl Iterator<Item = &'w [u8]>,
    message: &[u8; 32],
) -> Result<Vec<(XOnlyPublicKey, Signature)>, SlashingEvidenceError> {
    let mut signed = Vec::new();
    for (key, slot) in group.keys().iter().zip(slots) {
        if slot.is_empty() {
            continue;
        }
        let signature = Signature::from_slice(slot)
            .ok()
            .filter(|signature| secp.verify_schnorr(signature, &Message::from_digest(*message), key).is_ok());
        signed.push((*key, signature.ok_or(SlashingEvidenceError::Signature { key: *key })?));
    }
    let (given, needed) = (signed.len(), group.threshold());
    if given != needed {
        return Err(SlashingEvidenceError::Signatures { group: name, given, needed });
    }
    Ok(signed)
}

/// Whether the output commits to a tapscript leaf (BIP-0341). An annex is no control block and is refused as one.
fn commits_to<C: Verification>(
    secp: &Secp256k1<C>,
    prevout: &TxOut,
    script: &Script,
    control_block: &[u8],
) -> bool {
    let output = &prevout.script_pubkey;
    let Ok(control_block) = ControlBlock::decode(control_block) else { return false };
    output.is_p2tr()
        && control_block.leaf_version == LeafVersion::TapScript
        && XOnlyPublicKey::from_slice(&output.as_bytes()[2..])
            .is_ok_and(|key| control_block.verify_taproot_commitment(secp, key, script))
}

fn at_most_a_committee<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<XOnlyPublicKey, AdaptorSignature>, D::Error> {
    struct Signatures;

    impl<'de> Visitor<'de> for Signatures {
        type Value = BTreeMap<XOnlyPublicKey, AdaptorSignature>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "adaptor signatures of at most {MAX_KEYS} members, each named once")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut signatures = BTreeMap::new();
            while let Some((key, signature)) = map.next_entry()? {
                if signatures.len() == MAX_KEYS || signatures.insert(key, signature).is_some() {
                    return Err(serde::de::Error::invalid_length(signatures.len() + 1, &self));
                }
            }
            Ok(signatures)
        }
    }

    deserializer.deserialize_map(Signatures)
}
