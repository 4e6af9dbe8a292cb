use alloc::boxed::Box;
use alloc::string::String;

use bitcoin::secp256k1::{Secp256k1, Verification};
use bitcoin::{OutPoint, Txid, XOnlyPublicKey};
use serde::{Deserialize, Serialize};
use tapstake_crypto::ExposedKey;
use tapstake_crypto::eots;

use super::{EvidenceError, SelectiveSlashing, SignedVote};
use crate::version::FileVersion;

/// The version of the evidence file that this crate writes, and the only one it reads.
pub const EVIDENCE_VERSION: u16 = 1;

/// What somebody hands in to show that a provider has given its key away: plain data, nothing checked.
///
/// It is read and written as JSON through serde: `{"version": 1, "evidence": {"two_votes": [vote, vote]}}` or
/// `{"version": 1, "evidence": {"selective_slashing": …}}`, without any other field. No secret stands in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Fields", into = "Fields")]
pub enum Evidence {
    /// Two votes of one provider at one height.
    TwoVotes(Box<[SignedVote; 2]>),
    /// A slashing transaction with its witness, and the adaptor signatures that it completed.
    SelectiveSlashing(Box<SelectiveSlashing>),
}

/// A provider's key, extracted from what the provider signed: no other way leads to one of these.
#[derive(Debug, Clone)]
pub struct VerifiedEquivocation {
    key: ExposedKey,
    equivocation: Equivocation,
}

/// How a provider gave its key away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Equivocation {
    /// It voted for two blocks at one height.
    TwoVotes {
        /// The service that the votes name.
        service: String,
        /// The height.
        height: u64,
        /// The hashes of the two blocks.
        block_hashes: [[u8; 32]; 2],
    },
    /// It completed a slashing.
    Slashing {
        /// The staker that was slashed.
        staker: XOnlyPublicKey,
        /// The output that was slashed.
        spent: OutPoint,
        /// The slashing transaction.
        txid: Txid,
    },
}

impl VerifiedEquivocation {
    pub(super) const fn new(key: ExposedKey, equivocation: Equivocation) -> Self {
        VerifiedEquivocation { key, equivocation }
    }

    /// The provider.
    pub fn provider(&self) -> XOnlyPublicKey {
        self.key.public_key()
    }

    /// The provider's secret key, with which any of its stakes can be slashed.
    pub const fn exposed_key(&self) -> &ExposedKey {
        &self.key
    }

    /// How the provider gave it away.
    pub const fn equivocation(&self) -> &Equivocation {
        &self.equivocation
    }
}

impl Evidence {
    /// Extracts the provider's key.
    ///
    /// # Errors
    ///
    /// [`EvidenceError`] names what keeps it from being evidence.
    pub fn verify<C: Verification>(
        &self,
        secp: &Secp256k1<C>,
    ) -> Result<VerifiedEquivocation, EvidenceError> {
        match self {
            Evidence::TwoVotes(votes) => {
                let [first, second] = votes.as_ref();
                two_votes(secp, first, second)
            }
            Evidence::SelectiveSlashing(slashing) => slashing.verify(secp),
        }
    }
}

fn two_votes<C: Verification>(
    secp: &Secp256k1<C>,
    first: &SignedVote,
    second: &SignedVote,
) -> Result<VerifiedEquivocation, EvidenceError> {
    if first.provider != second.provider {
        return Err(EvidenceError::OtherProvider(Box::new([first.provider, second.provider])));
    }
    if first.service != second.service {
        return Err(EvidenceError::OtherService);
    }
    if first.vote.height != second.vote.height {
        let (first, second) = (first.vote.height, second.vote.height);
        return Err(EvidenceError::OtherHeight { first, second });
    }
    if first.public_randomness != second.public_randomness {
        return Err(EvidenceError::OtherRandomness);
    }
    if first.vote == second.vote {
        return Err(EvidenceError::SameBlock);
    }
    first.check(secp).map_err(|error| EvidenceError::Vote { second: false, error })?;
    second.check(secp).map_err(|error| EvidenceError::Vote { second: true, error })?;
    let key = eots::extract(
        secp,
        &first.provider,
        &first.public_randomness,
        (&first.vote.message(), &first.signature),
        (&second.vote.message(), &second.signature),
    )
    .map_err(EvidenceError::NotExtracted)?;
    let equivocation = Equivocation::TwoVotes {
        service: first.service.clone(),
        height: first.vote.height,
        block_hashes: [first.vote.block_hash, second.vote.block_hash],
    };
    Ok(VerifiedEquivocation::new(key, equivocation))
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    // First in the file, so that a newer version is what its reader is told about.
    version: FileVersion<EVIDENCE_VERSION>,
    evidence: Kind,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    TwoVotes(Box<[SignedVote; 2]>),
    SelectiveSlashing(Box<SelectiveSlashing>),
}

impl From<Fields> for Evidence {
    fn from(fields: Fields) -> Self {
        match fields.evidence {
            Kind::TwoVotes(votes) => Evidence::TwoVotes(votes),
            Kind::SelectiveSlashing(slashing) => Evidence::SelectiveSlashing(slashing),
        }
    }
}

impl From<Evidence> for Fields {
    fn from(evidence: Evidence) -> Self {
        let evidence = match evidence {
            Evidence::TwoVotes(votes) => Kind::TwoVotes(votes),
            Evidence::SelectiveSlashing(slashing) => Kind::SelectiveSlashing(slashing),
        };
        Fields { version: FileVersion, evidence }
    }
}
