//! The recovery sheet: what it takes, beside the seed, to get a stake back.

use std::fmt;
use std::path::Path;

use bitcoin::secp256k1::{Secp256k1, Verification};
use bitcoin::{Amount, Network, OutPoint, XOnlyPublicKey};
use miniscript::descriptor::DescriptorPublicKey;
use miniscript::{Descriptor, TranslatePk, Translator};
use serde::{Deserialize, Serialize};
use tapstake_durable as durable;
use tapstake_params::{Height, Timelock};
use tapstake_script::{StakeOutput, StakeTerms};
use tapstake_tx::{Stake, UnbondingError, UnbondingTx};

use crate::error::{AtPath, WalletError};
use crate::file::read_limited;
use crate::staker_key::StakerKey;

const FORMAT: u32 = 1;

const WHAT: &str = "tapstake recovery sheet";

/// A sheet is a few kilobytes.
const MAX_BYTES: u64 = 1024 * 1024;

/// The facts of a stake that its sheet is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StakeFacts {
    /// The network it is on.
    pub network: Network,
    /// The parameters version it was made under.
    pub params_version: u32,
    /// The fee of its unbonding transaction, as that version says.
    pub unbonding_fee: Amount,
    /// Its keys and timelocks.
    pub terms: StakeTerms,
    /// The staker's key and where it is derived.
    pub staker: StakerKey,
    /// Where it lies.
    pub outpoint: OutPoint,
    /// What it holds.
    pub value: Amount,
    /// The tip when it was made: it is in no block up to this one.
    pub made_at: Height,
    /// The block that holds it, once it is in one.
    pub included_at: Option<Height>,
}

/// What it takes to find a stake on the chain and to withdraw it: no secret, but worthless without the seed, as
/// the seed is without it.
///
/// A seed alone does not find a stake: its output commits to other people's keys. With the sheet, any wallet that
/// understands miniscript descriptors finds the coins, and with the seed it moves them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoverySheet {
    what: String,
    format: u32,
    network: Network,
    params_version: u32,
    outpoint: OutPoint,
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    value_sat: Amount,
    made_at_height: Height,
    included_at_height: Option<Height>,
    staker: StakerKey,
    terms: StakeTerms,
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    unbonding_fee_sat: Amount,
    unbonding_outpoint: OutPoint,
    staking: SheetOutput,
    unbonding: SheetOutput,
    refund: SheetOutput,
}

/// One of the three outputs a stake can lie in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SheetOutput {
    /// The output descriptor with its checksum, the staker's key with its origin.
    pub descriptor: String,
    /// The address.
    pub address: String,
    /// Blocks the output must be old, and the sequence of the input that withdraws it.
    pub timelock: Timelock,
}

/// Why a sheet is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SheetError {
    /// It is not a sheet, or damaged.
    #[error("not a recovery sheet: {0}")]
    Malformed(String),
    /// It was written by a newer version.
    #[error("recovery sheet has format {found}, this version reads up to {supported}")]
    NewerFormat {
        /// The format found.
        found: u32,
        /// The newest known here.
        supported: u32,
    },
    /// The staker's key is not the one of the terms.
    #[error("staker key {actual} is not the terms' key {expected}")]
    Staker {
        /// The key of the terms.
        expected: Box<XOnlyPublicKey>,
        /// The key given.
        actual: Box<XOnlyPublicKey>,
    },
    /// The stake could not be unbonded.
    #[error(transparent)]
    Unbonding(#[from] UnbondingError),
    /// A field contradicts the terms.
    #[error("{field} is {actual}, the terms give {expected}")]
    Contradiction {
        /// Which field.
        field: &'static str,
        /// What the terms give.
        expected: String,
        /// What the sheet says.
        actual: String,
    },
}

impl RecoverySheet {
    /// The sheet of a stake.
    ///
    /// # Errors
    ///
    /// [`SheetError::Staker`] if the staker key is not the terms', [`SheetError::Unbonding`] if the stake does not
    /// pay for its unbonding.
    pub fn new<C: Verification>(secp: &Secp256k1<C>, facts: StakeFacts) -> Result<Self, SheetError> {
        let StakeFacts { network, terms, staker, outpoint, value, .. } = facts;
        let (expected, actual) = (terms.parties.staker(), staker.x_only);
        if expected != actual {
            return Err(SheetError::Staker { expected: expected.into(), actual: actual.into() });
        }
        let stake = Stake::new(secp, terms.clone(), outpoint, value);
        let unbonding = UnbondingTx::build(secp, &stake, facts.unbonding_fee)?;
        let describe = |output: &StakeOutput, timelock| SheetOutput {
            descriptor: descriptor(output, &staker).to_string(),
            address: output.address(network).to_string(),
            timelock,
        };
        Ok(RecoverySheet {
            what: WHAT.into(),
            format: FORMAT,
            network,
            params_version: facts.params_version,
            outpoint,
            value_sat: value,
            made_at_height: facts.made_at,
            included_at_height: facts.included_at,
            unbonding_fee_sat: facts.unbonding_fee,
            unbonding_outpoint: unbonding.coin().outpoint,
            staking: describe(&stake.coin().output, terms.staking_time),
            unbonding: describe(&unbonding.coin().output, terms.unbonding_time),
            refund: describe(stake.refund_output(), terms.unbonding_time),
            staker,
            terms,
        })
    }

    /// Reads a sheet from JSON and checks that everything in it follows from its terms.
    ///
    /// # Errors
    ///
    /// [`SheetError`] with the field that is wrong.
    pub fn from_json<C: Verification>(secp: &Secp256k1<C>, json: &[u8]) -> Result<Self, SheetError> {
        #[derive(Deserialize)]
        struct Head {
            what: String,
            format: u32,
        }
        let malformed = |error: serde_json::Error| SheetError::Malformed(error.to_string());
        let head: Head = serde_json::from_slice(json).map_err(malformed)?;
        if head.what != WHAT {
            return Err(SheetError::Malformed(format!("it says it is a {:?}", head.what)));
        }
        if head.format > FORMAT {
            return Err(SheetError::NewerFormat { found: head.format, supported: FORMAT });
        }
        let sheet: RecoverySheet = serde_json::from_slice(json).map_err(malformed)?;
        let right = RecoverySheet::new(secp, sheet.facts())?;
        let outputs = [
            ("staking", &right.staking, &sheet.staking),
            ("unbonding", &right.unbonding, &sheet.unbonding),
            ("refund", &right.refund, &sheet.refund),
        ];
        let contradiction = |field, expected: &dyn fmt::Display, actual: &dyn fmt::Display| {
            Err(SheetError::Contradiction {
                field,
                expected: expected.to_string(),
                actual: actual.to_string(),
            })
        };
        for (field, right, given) in outputs {
            if given.descriptor != right.descriptor {
                return contradiction(field, &right.descriptor, &given.descriptor);
            }
            if given.address != right.address {
                return contradiction(field, &right.address, &given.address);
            }
            if given.timelock != right.timelock {
                return contradiction(field, &right.timelock, &given.timelock);
            }
        }
        if sheet.unbonding_outpoint != right.unbonding_outpoint {
            return contradiction("unbonding_outpoint", &right.unbonding_outpoint, &sheet.unbonding_outpoint);
        }
        Ok(right)
    }

    /// The sheet as JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a sheet has string keys only")
    }

    /// Reads a sheet from a JSON file, as [`RecoverySheet::from_json`] does.
    ///
    /// # Errors
    ///
    /// [`WalletError::File`], [`WalletError::Sheet`].
    pub fn read<C: Verification>(secp: &Secp256k1<C>, path: &Path) -> Result<Self, WalletError> {
        Ok(Self::from_json(secp, &read_limited(path, MAX_BYTES)?)?)
    }

    /// Writes the sheet as JSON to `path`, and as text beside it with the ending `.txt`; each whole or not at
    /// all.
    ///
    /// # Errors
    ///
    /// [`WalletError::File`].
    pub fn write(&self, path: &Path) -> Result<(), WalletError> {
        let text = path.with_extension("txt");
        durable::replace(path, self.to_json().as_bytes()).at(path)?;
        durable::replace(&text, self.to_string().as_bytes()).at(&text)
    }

    /// The facts the sheet was made from.
    pub fn facts(&self) -> StakeFacts {
        StakeFacts {
            network: self.network,
            params_version: self.params_version,
            unbonding_fee: self.unbonding_fee_sat,
            terms: self.terms.clone(),
            staker: self.staker.clone(),
            outpoint: self.outpoint,
            value: self.value_sat,
            made_at: self.made_at_height,
            included_at: self.included_at_height,
        }
    }

    /// The stake.
    pub fn stake<C: Verification>(&self, secp: &Secp256k1<C>) -> Stake {
        Stake::new(secp, self.terms.clone(), self.outpoint, self.value_sat)
    }

    /// The output that locks the stake.
    pub const fn staking(&self) -> &SheetOutput {
        &self.staking
    }

    /// The output after an early unbonding.
    pub const fn unbonding(&self) -> &SheetOutput {
        &self.unbonding
    }

    /// The output after a slashing.
    pub const fn refund(&self) -> &SheetOutput {
        &self.refund
    }

    /// Where the unbonding output is, if the stake is unbonded.
    pub const fn unbonding_outpoint(&self) -> OutPoint {
        self.unbonding_outpoint
    }
}

impl fmt::Display for RecoverySheet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RecoverySheet { network, outpoint, value_sat, staker, .. } = self;
        writeln!(f, "RECOVERY SHEET OF A BITCOIN STAKE ({network})\n")?;
        writeln!(f, "stake        {outpoint}")?;
        writeln!(f, "value        {} sat", value_sat.to_sat())?;
        writeln!(f, "made after   block {}", self.made_at_height)?;
        if let Some(height) = self.included_at_height {
            writeln!(f, "in block     {height}")?;
        }
        writeln!(f, "parameters   version {}", self.params_version)?;
        writeln!(f, "staker key   {staker}")?;
        let private = match &staker.origin {
            Some(origin) => format!("path m/{} below the master key {}", origin.path, origin.fingerprint),
            None => "held outside of the wallet that made this sheet".to_owned(),
        };
        writeln!(f, "             private key: {private}\n")?;
        writeln!(
            f,
            "The seed alone does not find these coins, and this sheet alone does not move them. It holds no\n\
             secret. With both, any wallet that understands miniscript descriptors recovers them: watch the\n\
             three descriptors below, and spend what is found by the leaf that holds older(N), with the staker\n\
             key, an input sequence of N and a transaction of version 2, once the output has N confirmations.\n\
             With Bitcoin Core: scantxoutset start '[\"DESCRIPTOR\"]' finds it; to sign, put the private key in\n\
             the place of the staker key in the descriptor.\n"
        )?;
        let unbonding = format!("after unbonding, at {}", self.unbonding_outpoint);
        let outputs = [
            (format!("while staked, at {outpoint}"), &self.staking),
            (unbonding, &self.unbonding),
            ("after a slashing, the rest".to_owned(), &self.refund),
        ];
        for (when, SheetOutput { descriptor, address, timelock }) in outputs {
            writeln!(f, "{when}\n  N            {timelock} blocks\n  address      {address}")?;
            writeln!(f, "  descriptor   {descriptor}\n")?;
        }
        Ok(())
    }
}

/// The output's descriptor with the origin of the staker's key in it.
fn descriptor(output: &StakeOutput, staker: &StakerKey) -> Descriptor<DescriptorPublicKey> {
    struct WithOrigin<'a>(&'a StakerKey);

    impl Translator<XOnlyPublicKey, DescriptorPublicKey, std::convert::Infallible> for WithOrigin<'_> {
        fn pk(&mut self, key: &XOnlyPublicKey) -> Result<DescriptorPublicKey, std::convert::Infallible> {
            let named = if *key == self.0.x_only { self.0.clone() } else { StakerKey::bare(*key) };
            Ok(named.to_descriptor_key())
        }

        miniscript::translate_hash_fail!(XOnlyPublicKey, DescriptorPublicKey, std::convert::Infallible);
    }

    output.descriptor().translate_pk(&mut WithOrigin(staker)).expect("only names of keys change")
}

#[cfg(test)]
mod tests;
