//! Proofs in, stakes out: admitted, or in the place of what they expand.

use std::path::PathBuf;

use bitcoin::OutPoint;
use tapstake_restake::{Book, BookError, Entry, Event, HolderId};
use tapstake_verifier::VerifiedStake;

use super::entry::{At, Opened};
use super::name;
use super::outcome::watch;
use super::refusal::by_book;
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
    let mut stakes = Vec::new();
    for proof in &args.proofs {
        stakes.push(verify::slashable(&args.flags, proof, session).context(proof.display())?);
    }
    let opened = open(&args.at, &stakes, session)?;
    if let ([stake], [proof]) = (stakes.as_slice(), args.proofs.as_slice()) {
        let refusal = |error, _: &Book| Err(in_its_place(error, stake, proof)).context(proof.display());
        return opened.make_or(Event::admit(stake), refusal, session);
    }
    let (mut book, mut events) = (opened.book().clone(), Vec::new());
    for (stake, proof) in stakes.iter().zip(&args.proofs) {
        let entry = Entry { height: opened.height, event: Event::admit(stake) };
        let outcome = watch(&book, &entry.event);
        let tried = book.apply(&entry).map_err(|error| in_its_place(error, stake, proof));
        tried.context(proof.display()).context(format!("none of {} stakes is admitted", stakes.len()))?;
        let outcome = outcome(&book);
        events.push((entry.event, outcome));
    }
    drop(book);
    opened.make(events, session)
}

pub(crate) fn expand(args: &Expand, session: &Session<'_>) -> Result<()> {
    let stake = verify::slashable(&args.flags, &args.proof, session).context(args.proof.display())?;
    let opened = open(&args.at, std::slice::from_ref(&stake), session)?;
    let of = match args.of {
        Some(of) => of,
        None => expanded(opened.book(), &stake)?,
    };
    let new = stake.included().outpoint();
    let event = Event::expand(of, &stake, args.holder.clone());
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
fn in_its_place(error: BookError, stake: &VerifiedStake, proof: &std::path::Path) -> Error {
    let next = match &error {
        BookError::SpendsStake { spent, .. } if stake.included().spends().contains(spent) => {
            Some(format!("tapstake book expand {} --of {spent}", proof.display()))
        }
        _ => None,
    };
    let refusal = by_book(error);
    match next {
        Some(next) => refusal.next(next),
        None => refusal,
    }
}
