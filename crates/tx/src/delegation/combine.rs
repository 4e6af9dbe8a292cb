use alloc::collections::BTreeMap;

use bitcoin::XOnlyPublicKey;

use super::{DelegationPackage, DelegationParts, ExpansionPart, StakingTx};

/// Why two copies are not of one delegation, or contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CombineError {
    /// The copies are of different delegations.
    #[error("the copies are of different delegations: they differ in {field}")]
    Different {
        /// The first field that differs.
        field: &'static str,
    },
    /// The copies carry different signatures of one signer.
    #[error("the copies differ in the {what}{}: check each, and leave out the wrong one", of(signer))]
    Conflict {
        /// What is signed or proven.
        what: &'static str,
        /// The covenant member who signed, if one did.
        signer: Option<XOnlyPublicKey>,
    },
}

fn of(signer: &Option<XOnlyPublicKey>) -> alloc::string::String {
    signer.map_or_else(Default::default, |key| alloc::format!(" of covenant member {key}"))
}

impl DelegationPackage {
    /// Puts the signatures of two copies of one delegation together. Which copy comes first makes no difference, nor does
    /// combining the same one twice. Nothing is verified: [`DelegationPackage::check`] does.
    ///
    /// # Errors
    ///
    /// [`CombineError`] if they are of different delegations, or carry different signatures of one signer.
    pub fn combine(self, other: Self) -> Result<Self, CombineError> {
        let same = [
            ("network", self.network == other.network),
            ("params_version", self.params_version == other.params_version),
            ("staker", self.staker == other.staker),
            ("providers", self.providers == other.providers),
            ("staking_time", self.staking_time == other.staking_time),
            ("value", self.value == other.value),
            ("vout", self.vout == other.vout),
            ("staking_tx", self.staking_tx.unsigned() == other.staking_tx.unsigned()),
            ("prevouts", self.prevouts == other.prevouts),
        ];
        refuse_different(&same)?;
        Ok(DelegationPackage {
            staking_tx: self.staking_tx.combine(&other.staking_tx)?,
            parts: self.parts.combine(other.parts)?,
            expansion: match (self.expansion, other.expansion) {
                (None, None) => None,
                (Some(one), Some(other)) => Some(one.combine(other)?),
                _ => return Err(CombineError::Different { field: "expansion" }),
            },
            ..self
        })
    }
}

impl DelegationParts {
    /// Puts the signatures of two copies together.
    ///
    /// # Errors
    ///
    /// [`CombineError`] if they are on different transactions, or if one signer signed differently.
    pub fn combine(self, other: Self) -> Result<Self, CombineError> {
        let same = [
            ("unbonding_tx", self.unbonding_tx == other.unbonding_tx),
            ("slashing_tx", self.slashing_tx == other.slashing_tx),
            ("unbonding_slashing_tx", self.unbonding_slashing_tx == other.unbonding_slashing_tx),
        ];
        refuse_different(&same)?;
        Ok(DelegationParts {
            staker: either(self.staker, other.staker, "staker's signatures")?,
            possession: either(self.possession, other.possession, "proof of possession")?,
            covenant: union(self.covenant, other.covenant, "signatures")?,
            ..self
        })
    }
}

impl ExpansionPart {
    fn combine(self, other: Self) -> Result<Self, CombineError> {
        refuse_different(&[("expansion.previous", self.previous == other.previous)])?;
        Ok(ExpansionPart {
            staker: either(self.staker, other.staker, "staker's signature on the expansion")?,
            covenant: union(self.covenant, other.covenant, "signature on the expansion")?,
            ..self
        })
    }
}

impl StakingTx {
    fn combine(mut self, other: &Self) -> Result<Self, CombineError> {
        for (own, other) in self.witnesses_mut().iter_mut().zip(other.witnesses()) {
            if own.is_empty() {
                own.clone_from(other);
            } else if !other.is_empty() && own != other {
                return Err(CombineError::Conflict {
                    what: "witnesses of the staking transaction",
                    signer: None,
                });
            }
        }
        Ok(self)
    }
}

fn refuse_different(same: &[(&'static str, bool)]) -> Result<(), CombineError> {
    match same.iter().find(|(_, same)| !same) {
        Some((field, _)) => Err(CombineError::Different { field }),
        None => Ok(()),
    }
}

fn either<T: PartialEq>(
    one: Option<T>,
    other: Option<T>,
    what: &'static str,
) -> Result<Option<T>, CombineError> {
    match (one, other) {
        (Some(one), Some(other)) if one != other => Err(CombineError::Conflict { what, signer: None }),
        (one, other) => Ok(one.or(other)),
    }
}

fn union<T: PartialEq>(
    mut one: BTreeMap<XOnlyPublicKey, T>,
    other: BTreeMap<XOnlyPublicKey, T>,
    what: &'static str,
) -> Result<BTreeMap<XOnlyPublicKey, T>, CombineError> {
    for (member, signed) in other {
        match one.get(&member) {
            Some(own) if *own != signed => {
                return Err(CombineError::Conflict { what, signer: Some(member) });
            }
            Some(_) => {}
            None => {
                one.insert(member, signed);
            }
        }
    }
    Ok(one)
}
