//! What a journal cannot show by itself: that its stakes were proven, and its slashings had evidence.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bitcoin::{OutPoint, XOnlyPublicKey};
use clap::Arg;
use serde::Serialize;
use tapstake_ledger::{Ledger, Record};
use tapstake_restake::{AdmittedStake, Event};

use super::{record, refused};
use crate::commands::verify;
use crate::error::{Error, Result};
use crate::session::Session;

#[derive(Debug, clap::Args)]
#[command(mut_args(only_with_proofs))]
pub(super) struct ProvenBy {
    /// The proofs of stakes: every stake of the journal must be what one of them shows
    #[arg(long = "proof", value_name = "FILE", num_args = 1..)]
    proofs: Vec<PathBuf>,
    /// The evidence of slashings: every slashing of the journal must have its own
    #[arg(long, value_name = "FILE", num_args = 1..)]
    evidence: Vec<PathBuf>,
    #[command(flatten)]
    flags: verify::Flags,
}

/// How proofs are judged is not asked where there are none. What the environment says is no question.
fn only_with_proofs(arg: Arg) -> Arg {
    let of_audit = ["proofs", "evidence", "known", "book"].contains(&arg.get_id().as_str());
    if of_audit || arg.get_env().is_some() { arg } else { arg.requires("proofs") }
}

/// How much of a journal is shown.
#[derive(Debug, Default, Serialize)]
pub(super) struct Proven {
    stakes: Count,
    slashings: Count,
}

/// Whatever is asked for is proven as a whole, or refused.
#[derive(Debug, Default, Serialize)]
struct Count {
    entered: u64,
    proven: u64,
}

impl Count {
    fn text(&self, option: &str) -> String {
        let Count { entered, proven } = self;
        let more = if proven < entered { format!(": give {option}") } else { String::new() };
        format!("{proven} of {entered} proven{more}")
    }
}

impl Proven {
    pub(super) fn rows(&self) -> [(&'static str, String); 2] {
        [("stakes", self.stakes.text("--proof")), ("slashings", self.slashings.text("--evidence"))]
    }
}

/// What the files show.
pub(super) struct Shown<'a> {
    by: &'a ProvenBy,
    /// A staker can sign for several accounts, and so have several proofs of one stake.
    stakes: BTreeMap<OutPoint, Vec<(&'a Path, AdmittedStake)>>,
    providers: BTreeMap<XOnlyPublicKey, &'a Path>,
}

impl ProvenBy {
    /// What the files show, if any are given.
    pub(super) fn shown(&self, session: &Session<'_>) -> Result<Option<Shown<'_>>> {
        if self.proofs.is_empty() && self.evidence.is_empty() {
            return Ok(None);
        }
        let mut shown = Shown { by: self, stakes: BTreeMap::new(), providers: BTreeMap::new() };
        let stakes = verify::once_slashable(&self.flags, &self.proofs, session)?;
        for (path, stake) in self.proofs.iter().zip(&stakes) {
            let stake = AdmittedStake::from(stake);
            shown.stakes.entry(stake.outpoint()).or_default().push((path, stake));
        }
        for path in &self.evidence {
            shown.providers.insert(record::equivocation(path, session)?.provider(), path);
        }
        Ok(Some(shown))
    }
}

impl Shown<'_> {
    /// Holds a journal against all this, and this against its book.
    pub(super) fn hold(&self, ledger: &Ledger, session: &Session<'_>) -> Result<Proven> {
        let (mut proven, mut without) = (Proven::default(), Vec::new());
        for record in ledger.records().map_err(refused)? {
            let Record { counter, event, .. } = record.map_err(refused)?;
            // The first line is no entry.
            let line = counter + 1;
            let (count, files, is_shown, what) = match &event {
                Event::AdmitStake { stake } | Event::ExpandStake { stake, .. } => {
                    let is_shown = self.has(stake).map_err(|differences| {
                        Error::verification(
                            "journal-disproven",
                            anyhow::anyhow!("line {line}: {differences}"),
                        )
                    })?;
                    let what = format!("proof of stake {}", stake.outpoint());
                    (&mut proven.stakes, &self.by.proofs, is_shown, what)
                }
                Event::Slash { provider } => {
                    let is_shown = self.providers.contains_key(provider);
                    let what = format!("evidence against provider {provider}");
                    (&mut proven.slashings, &self.by.evidence, is_shown, what)
                }
                _ => continue,
            };
            count.entered += 1;
            count.proven += u64::from(is_shown);
            if !files.is_empty() && !is_shown {
                without.push(format!("line {line}: no {what}"));
            }
        }
        if !without.is_empty() {
            return Err(Error::verification("journal-unproven", anyhow::anyhow!(without.join("; "))));
        }
        self.beside(ledger, session)?;
        Ok(proven)
    }

    /// Whether a stake has a proof, or in what each of its proofs shows something else.
    fn has(&self, stake: &AdmittedStake) -> Result<bool, String> {
        let Some(proofs) = self.stakes.get(&stake.outpoint()) else { return Ok(false) };
        if proofs.iter().any(|(_, shown)| shown == stake) {
            return Ok(true);
        }
        let differences = proofs.iter().flat_map(|(path, shown)| differences(stake, shown, path));
        let differences: Vec<_> = differences.collect();
        Err(format!("stake {}: {}", stake.outpoint(), differences.join(", ")))
    }

    /// Refuses a book that lacks a slashing. What else it does not have tells nothing against it.
    fn beside(&self, ledger: &Ledger, session: &Session<'_>) -> Result<()> {
        let book = ledger.book();
        for (outpoint, proofs) in self.stakes.iter().filter(|(outpoint, _)| book.stake(outpoint).is_err()) {
            for (path, _) in proofs {
                session.out.warn(&format!("{}: stake {outpoint} is not in the book", path.display()));
            }
        }
        let slashed: BTreeMap<_, _> = book.slashed_providers().collect();
        for (provider, path) in self.providers.iter().filter(|(provider, _)| !slashed.contains_key(provider))
        {
            let (path, losses) = (path.display(), book.losses(provider));
            if !losses.is_empty() {
                let message = format!(
                    "{path}: provider {provider} has equivocated, and the book does not have it slashed with {} stakes",
                    losses.len()
                );
                return Err(Error::verification("journal-disproven", anyhow::anyhow!(message))
                    .next(format!("tapstake book slash --evidence {path} enters it")));
            }
            session.out.warn(&format!(
                "{path}: provider {provider} is not slashed in the book, and has no stake there"
            ));
        }
        Ok(())
    }
}

/// What a journal has of a stake otherwise than its proof shows it.
fn differences(journal: &AdmittedStake, shown: &AdmittedStake, proof: &Path) -> Vec<String> {
    let fields = |stake: &AdmittedStake| serde_json::to_value(stake).unwrap_or_default();
    let (journal, shown) = (fields(journal), fields(shown));
    let fields = journal.as_object().into_iter().flatten();
    let differ = fields.filter(|(name, value)| shown[name.as_str()] != **value);
    let said = differ.map(|(name, value)| {
        format!("{name} is {value} in the journal, and {} by {}", shown[name.as_str()], proof.display())
    });
    said.collect()
}
