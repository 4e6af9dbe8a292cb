//! Proofs of stakes that are not there, and the rules that refuse them.

use bitcoin::Amount;
use tapstake_params::Timelock;
use tapstake_verifier::{InclusionProof, MerkleBranch, StakeProof};

use super::report::Step;
use super::story::{Story, Told, step};
use crate::error::{Error, Result};

/// What a forger changes, and the proof that comes of it.
type Forgery = (&'static str, StakeProof);

impl Story<'_> {
    /// Each forgery starts from a proof that was just accepted and changes one thing.
    pub(super) fn forge(&mut self, told: &Told) -> Result<()> {
        for (what, forged) in forgeries(&told.proof)? {
            let Err(refusal) = self.verify(&forged) else {
                return Err(Error::failed(format!("a forged proof was accepted: {what}")));
            };
            self.refused += 1;
            self.step(Step {
                stake: Some(told.name),
                what,
                note: Some(format!("refused by {}", refusal.rule())),
                reason: Some(refusal.to_string()),
                ..step()
            });
        }
        Ok(())
    }
}

fn forgeries(honest: &StakeProof) -> Result<Vec<Forgery>> {
    let with_inclusion = |inclusion| StakeProof { inclusion, ..honest.clone() };
    let parts = &honest.inclusion;
    let rebuilt = |tx: &bitcoin::Transaction, branch: &MerkleBranch| {
        InclusionProof::new(
            tx.clone(),
            branch.clone(),
            parts.coinbase().clone(),
            parts.coinbase_branch().clone(),
        )
    };

    let mut richer = parts.tx().clone();
    richer.output[0].value = Amount::from_int_btc(1_000);

    let branch = parts.branch();
    let moved = MerkleBranch::new(branch.index() ^ 1, branch.siblings().to_vec())?;

    let mut longer = honest.clone();
    longer.claim.staking_time = Timelock::MAX;

    // A quorum short of one member, and adaptor signatures that slash the unbonding output only.
    let mut unsigned = honest.clone();
    let mut misled = honest.clone();
    if let (Some(unsigned), Some(misled)) = (&mut unsigned.delegation, &mut misled.delegation) {
        unsigned.covenant.pop_last();
        for signatures in misled.covenant.values_mut() {
            signatures.slashing.clone_from(&signatures.unbonding_slashing);
        }
    }

    let mut other_block = honest.clone();
    other_block.header.nonce ^= 1;

    Ok(vec![
        ("forge: a larger value", with_inclusion(rebuilt(&richer, branch))),
        ("forge: another place in the block", with_inclusion(rebuilt(parts.tx(), &moved))),
        ("forge: a longer timelock", longer),
        ("forge: another block header", other_block),
        ("forge: a covenant member less", unsigned),
        ("forge: signatures of another tx", misled),
    ])
}
