//! Proofs in, stakes out: admitted, or in the place of what they expand.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bitcoin::{Amount, OutPoint};
use tapstake_crypto::pop::Account;
use tapstake_params::Height;
use tapstake_restake::{AdmittedStake, Book, BookError, Entry, Event, HolderId, StakeView};
use tapstake_verifier::VerifiedStake;

use super::entry::{At, Beside, LeftOut, Opened};
use super::outcome::watch;
use super::refusal::in_book;
use super::{name, show};
use crate::commands::verify;
use crate::error::{Context, Error, Result};
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    /// Proofs with delegations, as JSON or in the compact binary form
    #[arg(value_name = "PROOF", required = true)]
    proofs: Vec<PathBuf>,
    #[command(flatten)]
    flags: verify::Flags,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Expand {
    /// The proof of what the stake has become, with its delegation
    #[arg(value_name = "PROOF")]
    proof: PathBuf,
    /// The stake of the book that it expands [default: the one that its staking transaction spends]
    #[arg(long, value_name = "OUTPOINT")]
    of: Option<OutPoint>,
    /// Who gets receipts for what it is worth more, if the old stake has receipts
    #[arg(long, value_parser = name::<HolderId>)]
    holder: Option<HolderId>,
    #[command(flatten)]
    flags: verify::Flags,
    #[command(flatten)]
    at: At,
}

pub(crate) fn run(args: &Import, session: &Session<'_>) -> Result<()> {
    // Every proof is judged, and every stake tried, before the first is admitted.
    let stakes = verify::slashable(&args.flags, &args.proofs, session)?;
    let opened = open(&args.at, &stakes, session)?;
    if let ([stake], [proof]) = (stakes.as_slice(), args.proofs.as_slice()) {
        let event = Event::admit(stake);
        let refusal = |error, book: &Book| {
            Err(in_its_place(book, &Event::admit(stake), error, proof)).context(proof.display())
        };
        return opened.make_or(event, refusal, session);
    }
    let (mut book, mut events, mut outcomes) = (opened.book().clone(), Vec::new(), Vec::new());
    let (mut with, mut beside) = (BTreeMap::new(), Beside::default());
    for (stake, proof) in stakes.iter().zip(&args.proofs) {
        let outpoint = stake.included().outpoint();
        if let Ok(there) = book.stake(&outpoint) {
            same(&there, &AdmittedStake::from(stake)).context(proof.display())?;
            let (proof, status) = (proof.clone(), show::status(there.status).0);
            beside.left_out.push(LeftOut { proof, stake: outpoint, status });
            continue;
        }
        let entry = Entry { height: opened.height, event: Event::admit(stake) };
        let outcome = watch(&book, &entry.event);
        let tried = book.apply(&entry).map_err(|error| {
            among(&with, &error, proof)
                .unwrap_or_else(|| in_its_place(opened.book(), &entry.event, error, proof))
        });
        tried.context(proof.display()).context(format!("none of {} stakes is admitted", stakes.len()))?;
        outcomes.push(outcome(&book));
        events.push(entry.event);
        with.insert(outpoint, proof);
    }
    drop(book);
    opened.make_beside(events, outcomes, beside, session)
}

/// Refuses a proof by which a stake of the book would be paid to, or lose, otherwise: a staker can sign for several accounts.
fn same(there: &StakeView<'_>, shown: &AdmittedStake) -> Result<()> {
    let data = shown.data();
    let book = (there.owner, there.value, there.slashable, there.expires_at);
    let (outpoint, proof) = (there.outpoint, (&data.owner, data.value, shown.slashable(), data.expires_at));
    if book == proof {
        return Ok(());
    }
    let told = |(owner, value, slashable, expires): (&Account, Amount, Amount, Height)| {
        let (value, slashable) = (value.to_sat(), slashable.to_sat());
        format!("{owner}, {value} sat, {slashable} sat slashable, up to height {expires}")
    };
    let message =
        format!("stake {outpoint} is in the book for {}; the proof is for {}", told(book), told(proof));
    Err(Error::rule("admitted-before", message).next(
        "leave the proof out, or find out which of the two is the stake's: tapstake book audit --proof",
    ))
}

pub(crate) fn expand(args: &Expand, session: &Session<'_>) -> Result<()> {
    let stakes = verify::slashable(&args.flags, std::slice::from_ref(&args.proof), session)?;
    let [stake] = stakes.as_slice() else { return Err(Error::usage("give one proof")) };
    let opened = open(&args.at, &stakes, session)?;
    let of = match args.of {
        Some(of) => of,
        None => expanded(opened.book(), stake)?,
    };
    let new = stake.included().outpoint();
    let event = Event::expand(of, stake, args.holder.clone());
    opened.make_one(event, session)?;
    session.out.note(&format!(
        "{new} counts for no service yet: tapstake book allocate lets it, unless it is slashed with its provider"
    ));
    Ok(())
}

/// The book, and the height of an entry: without one, that of the newest stake or of the last entry.
fn open(at: &At, stakes: &[VerifiedStake], session: &Session<'_>) -> Result<Opened> {
    let mut opened = at.open(session)?;
    if !at.names_a_height() {
        let included = stakes.iter().map(|stake| stake.included().inclusion_height()).max();
        opened.height = included.map_or(opened.height, |included| included.max(opened.height));
    }
    Ok(opened)
}

/// The one stake of the book among what a staking transaction spends.
fn expanded(book: &Book, stake: &VerifiedStake) -> Result<OutPoint> {
    let outpoint = stake.included().outpoint();
    let known: Vec<_> =
        stake.included().spends().iter().filter(|spent| book.stake(spent).is_ok()).copied().collect();
    match known.as_slice() {
        [of] => Ok(*of),
        [] => {
            let message = format!("the transaction of stake {outpoint} spends no stake of the book");
            Err(Error::rule("not-an-expansion", message)
                .next("tapstake book import PROOF admits a stake that expands none"))
        }
        several => {
            let several: Vec<_> = several.iter().map(OutPoint::to_string).collect();
            let message = format!("the transaction of stake {outpoint} spends {}", several.join(" and "));
            Err(Error::usage(message).next("give --of with one of them"))
        }
    }
}

/// A refusal of a stake that has expanded another one says how it comes in.
fn in_its_place(book: &Book, event: &Event, error: BookError, proof: &Path) -> Error {
    let next = match (&error, event) {
        (BookError::SpendsStake { spent, .. }, Event::AdmitStake { stake })
            if stake.data().spends.contains(spent) =>
        {
            Some(format!("tapstake book expand {} --of {spent}", proof.display()))
        }
        _ => None,
    };
    let refusal = in_book(book, event, error);
    match next {
        Some(next) => refusal.next(next),
        None => refusal,
    }
}

/// A refusal for the sake of a stake that is not in the book, but was to come in with this one.
fn among(with: &BTreeMap<OutPoint, &PathBuf>, error: &BookError, proof: &Path) -> Option<Error> {
    let proof = proof.display();
    let brings = |stake: &OutPoint| with.get(stake).map(|other| other.display());
    let (rule, message, next) = match error {
        BookError::SpendsStake { outpoint, spent, .. } => {
            let other = brings(spent)?;
            (
                "spends-stake",
                format!("the transaction of stake {outpoint} spends stake {spent}, which {other} brings"),
                format!(
                    "leave {other} out; if that stake is to be in the book as well, tapstake book import {other} alone, and then \
                     tapstake book expand {proof} --of {spent}"
                ),
            )
        }
        BookError::SpentStake { outpoint, by } => {
            let other = brings(by)?;
            (
                "spent-stake",
                format!(
                    "stake {outpoint} is spent: the transaction of stake {by}, which {other} brings, spends it"
                ),
                format!(
                    "leave {proof} out; if its stake is to be in the book as well, tapstake book import {proof} alone, and then \
                     tapstake book expand {other} --of {outpoint}"
                ),
            )
        }
        BookError::SpentInput { outpoint, input, by } => {
            let other = brings(by)?;
            (
                "spent-input",
                format!(
                    "the transaction of stake {outpoint} spends {input}, as that of stake {by} does, which {other} brings"
                ),
                format!("verify {proof} and {other} again, and leave out the one that is not on the chain"),
            )
        }
        _ => return None,
    };
    Some(Error::rule(rule, message).next(next))
}
