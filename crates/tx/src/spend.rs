use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::borrow::Borrow;

use bitcoin::key::Keypair;
use bitcoin::secp256k1::schnorr::Signature;
use bitcoin::secp256k1::{Message, Secp256k1, Signing, Verification};
use bitcoin::sighash::{Prevouts, SighashCache, TapSighash, TapSighashType};
use bitcoin::transaction::Version;
use bitcoin::{Sequence, Transaction, TxOut, Witness, XOnlyPublicKey};
use tapstake_params::{Quorum, Timelock};
use tapstake_script::Leaf;

/// BIP-0340 signatures by the keys that made them.
pub type Signatures = BTreeMap<XOnlyPublicKey, Signature>;

/// One input on its way through one leaf: what has to be signed, and by whom.
#[derive(Debug, Clone, Copy)]
pub struct LeafSpend<'a> {
    leaf: &'a Leaf,
    sighash: TapSighash,
}

/// Why an input cannot go through a leaf.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpendError {
    /// There is no such input, or not one prevout for each.
    #[error("no input {input} in a transaction of {inputs} inputs with {prevouts} prevouts given")]
    NoInput {
        /// The position asked for.
        input: usize,
        /// The number of inputs.
        inputs: usize,
        /// The number of prevouts.
        prevouts: usize,
    },
    /// Relative timelocks hold from transaction version 2 on (BIP-0068).
    #[error("transaction version {actual} is below 2, without relative timelocks")]
    Version {
        /// The version.
        actual: i32,
    },
    /// The sequence is not the timelock (BIP-0068, BIP-0112).
    #[error("input sequence {actual:#010x} is not the timelock of {expected} blocks")]
    Sequence {
        /// The sequence.
        actual: u32,
        /// The leaf's timelock.
        expected: Timelock,
    },
    /// The prevout is not an output with this leaf.
    #[error("the output spent by input {input} does not commit to the {leaf} leaf")]
    NotCommitted {
        /// The position of the input.
        input: usize,
        /// The leaf's name.
        leaf: tapstake_script::LeafName,
    },
}

/// Why signatures make no witness, or a witness does not satisfy its leaf.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WitnessError {
    /// A signature by a key that is not in the leaf.
    #[error("key {key} signed, but is no signer of the {leaf} leaf")]
    UnknownSigner {
        /// The key.
        key: XOnlyPublicKey,
        /// The leaf's name.
        leaf: tapstake_script::LeafName,
    },
    /// A signature that is not one by this key over this transaction.
    #[error("signature of key {key} does not verify over this {leaf} spend")]
    BadSignature {
        /// The key.
        key: XOnlyPublicKey,
        /// The leaf's name.
        leaf: tapstake_script::LeafName,
    },
    /// Fewer signatures than a group needs.
    #[error("{given} of {needed} signatures among {} keys", keys.len())]
    TooFew {
        /// Signatures given.
        given: usize,
        /// Signatures needed.
        needed: usize,
        /// The group's keys.
        keys: Vec<XOnlyPublicKey>,
    },
    /// More signatures in a witness than a group needs: NUMEQUAL takes exactly the threshold.
    #[error("{given} signatures instead of exactly {needed} among {} keys", keys.len())]
    TooMany {
        /// Signatures given.
        given: usize,
        /// Signatures needed.
        needed: usize,
        /// The group's keys.
        keys: Vec<XOnlyPublicKey>,
    },
    /// A witness of the wrong number of items.
    #[error("witness of {actual} items instead of {expected}")]
    Items {
        /// The number of items.
        actual: usize,
        /// The number that is right.
        expected: usize,
    },
    /// The witness shows another leaf script.
    #[error("the witness shows another script than the {0} leaf")]
    Script(tapstake_script::LeafName),
    /// The witness shows another control block.
    #[error("the witness shows another control block than that of the {0} leaf")]
    ControlBlock(tapstake_script::LeafName),
    /// A slot holds something that is neither empty nor a signature of 64 bytes.
    #[error("slot of key {key} holds {length} bytes instead of 0 or 64")]
    Slot {
        /// The slot's key.
        key: XOnlyPublicKey,
        /// The length found.
        length: usize,
    },
}

impl<'a> LeafSpend<'a> {
    /// The spend of one input of `tx` by `leaf`. All prevouts are committed to by the digest.
    ///
    /// # Errors
    ///
    /// [`SpendError`] if there is no such input, if the prevout does not commit to the leaf, or if version or
    /// sequence do not fit the leaf's timelock.
    pub fn new<T: Borrow<TxOut>, C: Verification>(
        secp: &Secp256k1<C>,
        cache: &mut SighashCache<&Transaction>,
        input: usize,
        prevouts: &[T],
        leaf: &'a Leaf,
    ) -> Result<Self, SpendError> {
        let tx = cache.transaction();
        let inputs = tx.input.len();
        let (Some(txin), Some(prevout), true) =
            (tx.input.get(input), prevouts.get(input), inputs == prevouts.len())
        else {
            return Err(SpendError::NoInput { input, inputs, prevouts: prevouts.len() });
        };
        if !commits_to(secp, prevout.borrow(), leaf) {
            return Err(SpendError::NotCommitted { input, leaf: leaf.name });
        }
        if let Some(timelock) = leaf.timelock() {
            check_timelock(tx.version, txin.sequence, timelock)?;
        }
        Ok(Self::digest(cache, input, prevouts, leaf))
    }

    /// As [`LeafSpend::new`], for inputs this crate built and so knows to be right.
    pub(crate) fn digest<T: Borrow<TxOut>>(
        cache: &mut SighashCache<&Transaction>,
        input: usize,
        prevouts: &[T],
        leaf: &'a Leaf,
    ) -> Self {
        let prevouts = Prevouts::All(prevouts);
        let sighash = cache
            .taproot_script_spend_signature_hash(input, &prevouts, leaf.leaf_hash, TapSighashType::Default)
            .expect("the input exists and every prevout is given");
        LeafSpend { leaf, sighash }
    }

    /// The leaf.
    pub const fn leaf(&self) -> &'a Leaf {
        self.leaf
    }

    /// The digest that every signature is over (BIP-0341, script path, SIGHASH_DEFAULT).
    pub const fn sighash(&self) -> TapSighash {
        self.sighash
    }

    /// Signs with `keypair` (BIP-0340). `aux` is fresh randomness, or zeros for a deterministic signature.
    pub fn sign<C: Signing>(
        &self,
        secp: &Secp256k1<C>,
        keypair: &Keypair,
        aux: &[u8; 32],
    ) -> (XOnlyPublicKey, Signature) {
        let signature = secp.sign_schnorr_with_aux_rand(&self.message(), keypair, aux);
        (keypair.x_only_public_key().0, signature)
    }

    /// Checks one signature.
    ///
    /// # Errors
    ///
    /// [`WitnessError::UnknownSigner`] or [`WitnessError::BadSignature`].
    pub fn verify<C: Verification>(
        &self,
        secp: &Secp256k1<C>,
        key: &XOnlyPublicKey,
        signature: &Signature,
    ) -> Result<(), WitnessError> {
        if !self.leaf.signers().iter().any(|group| group.contains(key)) {
            return Err(WitnessError::UnknownSigner { key: *key, leaf: self.leaf.name });
        }
        secp.verify_schnorr(signature, &self.message(), key)
            .map_err(|_| WitnessError::BadSignature { key: *key, leaf: self.leaf.name })
    }

    /// Puts signatures into a witness: slots in reverse order of the script's keys, then script and control
    /// block. Of more signatures than a group needs, those of its first keys are taken, exactly as many as it
    /// needs.
    ///
    /// # Errors
    ///
    /// [`WitnessError`] if a signature is not by one of the leaf's keys, does not verify, or if a group is short.
    pub fn witness<C: Verification>(
        &self,
        secp: &Secp256k1<C>,
        signatures: &Signatures,
    ) -> Result<Witness, WitnessError> {
        for (key, signature) in signatures {
            self.verify(secp, key, signature)?;
        }
        self.assemble(signatures)
    }

    /// As [`LeafSpend::witness`], of signatures that are verified already.
    pub(crate) fn assemble(&self, signatures: &Signatures) -> Result<Witness, WitnessError> {
        let mut slots: Vec<Option<&Signature>> = Vec::new();
        for group in self.leaf.signers() {
            let mut missing = group.threshold();
            for key in group.keys() {
                let signature = signatures.get(key).filter(|_| missing > 0);
                missing -= usize::from(signature.is_some());
                slots.push(signature);
            }
            if missing > 0 {
                let needed = group.threshold();
                return Err(WitnessError::TooFew {
                    given: needed - missing,
                    needed,
                    keys: group.keys().to_vec(),
                });
            }
        }
        let mut witness = Witness::new();
        for slot in slots.into_iter().rev() {
            match slot {
                Some(signature) => witness.push(signature.as_ref()),
                None => witness.push([]),
            }
        }
        witness.push(self.leaf.script.as_bytes());
        witness.push(self.leaf.control_block.serialize());
        Ok(witness)
    }

    /// Checks a finished witness as a node would, and names what a node only refuses.
    ///
    /// # Errors
    ///
    /// [`WitnessError`] for the first departure: number of items, script, control block, slots, number of
    /// signatures in each group, and each signature in its slot.
    pub fn check_witness<C: Verification>(
        &self,
        secp: &Secp256k1<C>,
        witness: &Witness,
    ) -> Result<(), WitnessError> {
        let groups = self.leaf.signers();
        let slots: usize = groups.iter().map(|group| group.keys().len()).sum();
        if witness.len() != slots + 2 {
            return Err(WitnessError::Items { actual: witness.len(), expected: slots + 2 });
        }
        if witness.nth(slots) != Some(self.leaf.script.as_bytes()) {
            return Err(WitnessError::Script(self.leaf.name));
        }
        if witness.nth(slots + 1) != Some(&self.leaf.control_block.serialize()) {
            return Err(WitnessError::ControlBlock(self.leaf.name));
        }
        let items: Vec<&[u8]> = witness.iter().take(slots).collect();
        let mut items = items.into_iter().rev();
        for group in groups {
            self.check_group(secp, group, &mut items)?;
        }
        Ok(())
    }

    fn check_group<'w, C: Verification>(
        &self,
        secp: &Secp256k1<C>,
        group: &Quorum,
        items: &mut impl Iterator<Item = &'w [u8]>,
    ) -> Result<(), WitnessError> {
        let mut signed = Vec::new();
        for (key, item) in group.keys().iter().zip(items) {
            match item {
                [] => {}
                item => {
                    let signature = Signature::from_slice(item)
                        .map_err(|_| WitnessError::Slot { key: *key, length: item.len() })?;
                    signed.push((key, signature));
                }
            }
        }
        let (given, needed) = (signed.len(), group.threshold());
        if given < needed {
            return Err(WitnessError::TooFew { given, needed, keys: group.keys().to_vec() });
        }
        if given > needed {
            return Err(WitnessError::TooMany { given, needed, keys: group.keys().to_vec() });
        }
        signed.into_iter().try_for_each(|(key, signature)| self.verify(secp, key, &signature))
    }

    fn message(&self) -> Message {
        Message::from(self.sighash)
    }
}

fn commits_to<C: Verification>(secp: &Secp256k1<C>, prevout: &TxOut, leaf: &Leaf) -> bool {
    let script = &prevout.script_pubkey;
    script.is_p2tr()
        && XOnlyPublicKey::from_slice(&script.as_bytes()[2..]).is_ok_and(|output_key| {
            leaf.control_block.verify_taproot_commitment(secp, output_key, &leaf.script)
        })
}

pub(crate) fn check_timelock(
    version: Version,
    sequence: Sequence,
    timelock: Timelock,
) -> Result<(), SpendError> {
    // Nodes read the version as unsigned (BIP-0068): a negative one counts as large.
    if matches!(version.0, 0 | 1) {
        return Err(SpendError::Version { actual: version.0 });
    }
    if sequence != timelock.to_sequence() {
        return Err(SpendError::Sequence { actual: sequence.to_consensus_u32(), expected: timelock });
    }
    Ok(())
}
