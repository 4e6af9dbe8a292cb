//! A pool over receipts where one over stakes is asked for.

use bitcoin::Amount;
use tapstake_restake::{Book, Event, PoolId};

use crate::error::Error;

/// The refusal of an entry that only a pool over stakes can have, with what does for this one what was asked for.
pub(super) fn over_receipts(book: &Book, event: &Event) -> Option<Error> {
    let asked = asked(event)?;
    let (pool, over, _) = book.lrt_pools().find(|(name, ..)| *name == asked)?;
    Some(refused(pool, over).next(instead(event, pool, over)))
}

/// That it is no pool over stakes.
pub(super) fn refused(pool: &PoolId, over: &PoolId) -> Error {
    Error::rule("pool-kind", format!("pool {pool} is over the receipts of {over}, not over stakes"))
}

/// The pool over stakes that an entry is about.
const fn asked(event: &Event) -> Option<&PoolId> {
    match event {
        Event::Mint { pool, .. }
        | Event::RequestExit { pool, .. }
        | Event::RequestWithdrawal { pool, .. }
        | Event::FinaliseExit { pool, .. }
        | Event::PoolReward { pool, .. }
        | Event::TakeReward { pool, .. }
        | Event::MakeGood { pool, .. }
        | Event::WriteDown { pool, .. }
        | Event::WriteUp { pool, .. }
        | Event::TakeCash { pool, .. } => Some(pool),
        Event::OpenLrt { over, .. } => Some(over),
        _ => None,
    }
}

fn instead(event: &Event, pool: &PoolId, over: &PoolId) -> String {
    let redeem = |shares: &str, holder| {
        format!(
            "tapstake book pool redeem {pool} {shares} --holder {holder} takes shares of {over} out, which tapstake book exit \
             --pool {over} gives up"
        )
    };
    let beneath = |command, amount: &Amount| {
        let sat = amount.to_sat();
        format!("what comes and goes is that of {over}: tapstake book pool {command} {over} {sat}sat")
    };
    match event {
        Event::Mint { stake, holder, .. } => format!(
            "tapstake book mint {stake} --pool {over} --to {holder} mints there, and tapstake book pool deposit {pool} SHARES \
             --holder {holder} puts those shares in"
        ),
        Event::RequestExit { holder, shares, .. } => redeem(&shares.to_string(), holder),
        Event::RequestWithdrawal { holder, .. } => redeem("SHARES", holder),
        Event::PoolReward { amount, .. } => format!(
            "tapstake book pool reward {over} {}sat is for all shares of {over}, those in {pool} among them; for {pool} alone is \
             tapstake book pool reward {pool} --shares SHARES --from HOLDER, in shares of {over}",
            amount.to_sat()
        ),
        Event::TakeReward { amount, .. } => beneath("take-reward", amount),
        Event::MakeGood { amount, .. } => beneath("make-good", amount),
        Event::WriteDown { amount, .. } => beneath("write-down", amount),
        Event::WriteUp { amount, .. } => beneath("write-up", amount),
        Event::TakeCash { amount, .. } => beneath("take-cash", amount),
        Event::OpenLrt { pool: new, leverage_limit, .. } => format!(
            "tapstake book pool open {new} --over {over} --leverage-limit {leverage_limit} opens one over the same receipts"
        ),
        _ => format!("exits wait in {over}: tapstake book finalise --pool {over}"),
    }
}
