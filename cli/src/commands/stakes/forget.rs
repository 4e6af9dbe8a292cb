//! Taking a stake off the list.

use std::path::PathBuf;

use bitcoin::OutPoint;
use serde::Serialize;
use tapstake_tracker::{StakeState, Store};

use crate::delegation;
use crate::error::{Error, Result};
use crate::file;
use crate::live::WalletArgs;
use crate::output::{Show, facts};
use crate::session::Session;
use crate::stakes::{forgotten_file, open_store, private_folders};

#[derive(Debug, clap::Args)]
pub(super) struct Forget {
    /// The stake
    #[arg(value_name = "OUTPOINT")]
    stake: OutPoint,
}

#[derive(Serialize)]
struct Forgotten {
    stake: OutPoint,
    status: &'static str,
    freed: Vec<OutPoint>,
    /// Where its delegation is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    delegation: Option<PathBuf>,
}

impl Show for Forgotten {
    fn text(&self) -> String {
        let mut rows = vec![("stake", self.stake.to_string()), ("status", self.status.to_owned())];
        rows.extend(self.freed.iter().map(|coin| ("freed", coin.to_string())));
        rows.extend(self.delegation.iter().map(|path| ("delegation kept in", path.display().to_string())));
        facts(rows)
    }
}

/// Takes a stake off the list, keeps its delegation as a file, and frees the coins that are locked for it.
pub(super) fn run(args: &Forget, session: &Session<'_>) -> Result<()> {
    let mut store = open_store(session)?;
    let entry = store.entries()?.into_iter().find(|(stake, _)| *stake == args.stake);
    let Some((stake, record)) = entry else {
        return Err(Error::rule("stake", format!("no stake {} in the list", args.stake))
            .next("tapstake stakes lists them"));
    };
    let seen = store.last_seen(&stake)?.map(|seen| seen.state);
    // A record that cannot be read names no wallet; its coins are the default one's to free by hand.
    let wallet = record.ok().and_then(|record| record.wallet);
    let wallet = wallet.map(|wallet| WalletArgs { wallet, passphrase_file: None });
    let wallet = wallet.filter(|wallet| wallet.folder(session).is_ok_and(|folder| folder.exists()));
    let mut wallet = wallet.map(|wallet| wallet.open(session)).transpose()?;
    let coins = wallet.as_ref().and_then(|wallet| wallet.pending_stakes().remove(&stake)).unwrap_or_default();
    if let Some(question) = question(seen, coins.len()) {
        session.out.confirm(&question)?;
    }
    let delegation = keep_delegation(session, &store, stake)?;
    if let Some(wallet) = &mut wallet {
        wallet.unlock_stake(stake)?;
    }
    store.remove(&stake)?;
    session.out.show(&Forgotten { stake, status: "forgotten", freed: coins, delegation });
    Ok(())
}

/// What is asked before a stake is forgotten that has not ended.
fn question(seen: Option<StakeState>, coins: usize) -> Option<String> {
    if seen.is_some_and(|seen| seen.has_ended()) {
        return None;
    }
    let state = seen.map_or_else(
        || "nobody has looked where it is (tapstake stakes does)".to_owned(),
        |seen| format!("it was last seen {seen}"),
    );
    let coins = match coins {
        0 => "it will be neither followed nor withdrawn from here".to_owned(),
        coins => format!("{coins} coins locked for it are freed, and if it was sent it may still confirm"),
    };
    Some(format!("the stake has not ended: {state}. Forgotten, {coins}. Forget it?"))
}

/// Writes the delegation of a stake into a file of the data folder, without what would send it: a stake is forgotten so
/// that it does not come.
fn keep_delegation(session: &Session<'_>, store: &Store, stake: OutPoint) -> Result<Option<PathBuf>> {
    let kept = match store.delegation(&stake) {
        Ok(kept) => kept,
        Err(error) => {
            session.out.warn(&format!("its delegation cannot be kept: {error}"));
            None
        }
    };
    let Some(package) = kept else { return Ok(None) };
    let path = forgotten_file(session, stake)?;
    if let Some(folder) = path.parent() {
        private_folders(folder)?;
    }
    file::replace(&path, &delegation::to_text(&package.without_witnesses()))?;
    Ok(Some(path))
}
