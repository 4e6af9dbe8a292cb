use alloc::vec::Vec;

use bitcoin::{Script, XOnlyPublicKey};
use miniscript::{Miniscript, Tap, Terminal};
use tapstake_params::{MAX_KEYS, Quorum, QuorumError, Timelock, TimelockError};

use crate::leaf::{Draft, Fragment, LeafName};
use crate::terms::{Parties, Providers, TermsError};

/// Which leaf of which terms a script is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParsedLeaf {
    /// The staker alone, after the timelock.
    Timelock {
        /// The staker's key.
        staker: XOnlyPublicKey,
        /// The timelock.
        time: Timelock,
    },
    /// The staker with the covenant.
    Unbonding {
        /// The staker's key.
        staker: XOnlyPublicKey,
        /// The committee.
        covenant: Quorum,
    },
    /// The staker with any one provider and the covenant.
    Slashing(Parties),
}

/// Why a script is no leaf of a stake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseLeafError {
    /// The script is longer than the largest leaf.
    #[error("not a leaf of a stake: {length} bytes of script, the largest leaf has {MAX_LENGTH}")]
    TooLong {
        /// The script's length in bytes.
        length: usize,
    },
    /// The script is not miniscript.
    #[error("not a leaf of a stake: {0}")]
    NotMiniscript(alloc::string::String),
    /// Miniscript, but of another shape than a stake's leaves have.
    #[error("not a leaf of a stake: no timelock, unbonding or slashing leaf has this shape")]
    Shape,
    /// The timelock is not one in blocks, from 1 to 65,535.
    #[error("not a leaf of a stake: {0}")]
    Timelock(#[from] TimelockError),
    /// Keys that are no quorum.
    #[error("not a leaf of a stake: {0}")]
    Quorum(#[from] QuorumError),
    /// One key has two roles.
    #[error("not a leaf of a stake: {0}")]
    Terms(#[from] TermsError),
    /// The right parts in another encoding or order, which no other implementation would rebuild.
    #[error("not a leaf of a stake: its keys are not in ascending order or its encoding is not canonical")]
    NotCanonical,
}

/// The length of a slashing leaf with as many providers and covenant members as there can be: 34 bytes for the
/// staker and for each key, 4 for each quorum's threshold and comparison.
const MAX_LENGTH: usize = 34 + 2 * (MAX_KEYS * 34 + 4);

impl ParsedLeaf {
    /// Reads a leaf script, as it stands in a witness.
    ///
    /// What is accepted is byte for byte what this crate writes.
    ///
    /// # Errors
    ///
    /// [`ParseLeafError`] if the script is no leaf of a stake.
    pub fn parse(script: &Script) -> Result<Self, ParseLeafError> {
        // Bounds the work and the depth of what follows.
        if script.len() > MAX_LENGTH {
            return Err(ParseLeafError::TooLong { length: script.len() });
        }
        // Sanity is checked below, by comparing with what we would write.
        let parsed = Miniscript::<XOnlyPublicKey, Tap>::parse_insane(script)
            .map_err(|e| ParseLeafError::NotMiniscript(alloc::format!("{e}")))?;
        let mut terms = Vec::with_capacity(3);
        flatten(&parsed, &mut terms);
        let leaf = match terms.as_slice() {
            [staker, rest] => {
                let staker = single(staker.verified()?)?;
                match rest.as_inner() {
                    Terminal::Older(older) => {
                        ParsedLeaf::Timelock { staker, time: Timelock::new(older.to_consensus_u32())? }
                    }
                    _ => ParsedLeaf::Unbonding { staker, covenant: quorum(rest)? },
                }
            }
            [staker, providers, covenant] => {
                let staker = single(staker.verified()?)?;
                let providers = quorum(providers.verified()?)?;
                if providers.threshold() != 1 {
                    return Err(ParseLeafError::Shape);
                }
                let providers = Providers::new(providers.keys().to_vec())?;
                ParsedLeaf::Slashing(Parties::new(staker, providers, quorum(covenant)?)?)
            }
            _ => return Err(ParseLeafError::Shape),
        };
        if leaf.draft().fragment.encode().as_script() != script {
            return Err(ParseLeafError::NotCanonical);
        }
        Ok(leaf)
    }

    /// The leaf's name.
    pub const fn name(&self) -> LeafName {
        match self {
            ParsedLeaf::Timelock { .. } => LeafName::Timelock,
            ParsedLeaf::Unbonding { .. } => LeafName::Unbonding,
            ParsedLeaf::Slashing(_) => LeafName::Slashing,
        }
    }

    /// The staker's key.
    pub const fn staker(&self) -> XOnlyPublicKey {
        match self {
            ParsedLeaf::Timelock { staker, .. } | ParsedLeaf::Unbonding { staker, .. } => *staker,
            ParsedLeaf::Slashing(parties) => parties.staker(),
        }
    }

    fn draft(&self) -> Draft {
        match self {
            ParsedLeaf::Timelock { staker, time } => Draft::timelock(*staker, *time),
            ParsedLeaf::Unbonding { staker, covenant } => Draft::unbonding_of(*staker, covenant),
            ParsedLeaf::Slashing(parties) => Draft::slashing(parties),
        }
    }
}

/// The terms of nested `and_v`, whichever way they nest: both ways encode to the same script.
fn flatten<'a>(node: &'a Fragment, terms: &mut Vec<&'a Fragment>) {
    match node.as_inner() {
        Terminal::AndV(left, right) if terms.len() < 4 => {
            flatten(left, terms);
            flatten(right, terms);
        }
        _ => terms.push(node),
    }
}

trait Verified {
    /// X of `v:X`.
    fn verified(&self) -> Result<&Fragment, ParseLeafError>;
}

impl Verified for Fragment {
    fn verified(&self) -> Result<&Fragment, ParseLeafError> {
        match self.as_inner() {
            Terminal::Verify(inner) => Ok(inner),
            _ => Err(ParseLeafError::Shape),
        }
    }
}

/// K of `pk(K)`.
fn single(node: &Fragment) -> Result<XOnlyPublicKey, ParseLeafError> {
    match node.as_inner() {
        Terminal::Check(inner) => match inner.as_inner() {
            Terminal::PkK(key) => Ok(*key),
            _ => Err(ParseLeafError::Shape),
        },
        _ => Err(ParseLeafError::Shape),
    }
}

/// The quorum of `pk(K)` or `multi_a(M,…)`.
fn quorum(node: &Fragment) -> Result<Quorum, ParseLeafError> {
    match node.as_inner() {
        Terminal::MultiA(threshold) => Ok(Quorum::new(threshold.k(), threshold.data().to_vec())?),
        _ => Ok(Quorum::new(1, alloc::vec![single(node)?])?),
    }
}
