//! The books of the demo, and whether they balance.

use bitcoin::Amount;
use serde::Serialize;
use tapstake_params::Height;
use tapstake_restake::{Book, BookError, Denomination, Entry, Event, Pool, ServiceId};

use super::report::Step;
use super::restaking::{SERVICES, ensure, pool, service};
use super::story::{Story, step};
use crate::error::{Error, Result};

/// The books, and what the chain says of the same coins.
#[derive(Default)]
pub(super) struct Books {
    pub(super) book: Book,
    entries: Vec<Entry>,
    /// What came back from the chain for the pool's stakes.
    pub(super) returned: Amount,
    /// What the operator added for fees.
    pub(super) made_good: Amount,
    /// What the slashing took: from shares, from the queue.
    pub(super) losses: [Amount; 2],
}

/// What the books say in the end. Rewards are texts of decimal digits, amounts are in satoshi.
#[derive(Debug, Serialize)]
pub(crate) struct Restaking {
    entries: usize,
    services: Vec<ServiceSummary>,
    minted_sat: u64,
    lost_sat: u64,
    lost_by_shares_sat: u64,
    lost_by_queue_sat: u64,
    paid_to_exits_sat: u64,
    returned_sat: u64,
    made_good_sat: u64,
    shares_worth_sat: u64,
    cash_sat: u64,
}

/// A service in the end.
#[derive(Debug, Serialize)]
struct ServiceSummary {
    service: ServiceId,
    denomination: Denomination,
    put_in: String,
    claimed: String,
    claimable: String,
    commission: String,
    /// Carried to the next reward, and parts of units that no stake has a whole of yet.
    left: String,
    nominal_sat: String,
    slashable_sat: u64,
    lost_sat: u64,
}

impl Restaking {
    /// What came of the receipts, in a line.
    pub(super) fn line(&self) -> String {
        let btc = |sat| Amount::from_sat(sat).to_string();
        format!(
            "Of {} behind receipts {} were slashed once for both services, {} paid to exits, {} remain: the books balance.",
            btc(self.minted_sat),
            btc(self.lost_sat),
            btc(self.paid_to_exits_sat),
            btc(self.shares_worth_sat)
        )
    }
}

impl Books {
    pub(super) fn enter(&mut self, height: Height, event: Event) -> Result<(), BookError> {
        let entry = Entry { height, event };
        self.book.apply(&entry)?;
        self.entries.push(entry);
        Ok(())
    }

    pub(super) fn pool(&self) -> Result<&Pool> {
        Ok(self.book.pool(&pool()?)?)
    }
}

impl Story<'_> {
    /// Adds everything up anew, from the entries and against the chain.
    pub(super) fn balance_books(&mut self) -> Result<Restaking> {
        let Books { book, entries, returned, made_good, losses } = &self.books;
        book.check()?;
        let mut again = Book::new();
        entries.iter().try_for_each(|entry| again.apply(entry))?;
        ensure(again == *book, "the entries do not make the same book again")?;

        let (pool, sat) = (self.books.pool()?, |amount: Amount| u128::from(amount.to_sat()));
        let (flows, backing) = (*pool.flows(), pool.backing());
        ensure(
            flows.minted + flows.rewards
                == sat(pool.assets()) + sat(pool.queue().total()) + flows.lost + flows.paid,
            "the pool owes another amount than came in",
        )?;
        ensure(
            sat(*returned) + sat(*made_good) == sat(pool.cash()) + flows.paid,
            "the pool has another amount than came back from the chain",
        )?;
        ensure(backing.missing() == Amount::ZERO, "something is missing in the pool")?;
        let to_sat = |flow: u128| u64::try_from(flow).map_err(|_| Error::failed("more than all bitcoin"));
        let summary = Restaking {
            entries: entries.len(),
            services: (0..SERVICES.len())
                .map(|number| self.service_summary(number))
                .collect::<Result<_>>()?,
            minted_sat: to_sat(flows.minted)?,
            lost_sat: to_sat(flows.lost)?,
            lost_by_shares_sat: losses[0].to_sat(),
            lost_by_queue_sat: losses[1].to_sat(),
            paid_to_exits_sat: to_sat(flows.paid)?,
            returned_sat: returned.to_sat(),
            made_good_sat: made_good.to_sat(),
            shares_worth_sat: pool.assets().to_sat(),
            cash_sat: pool.cash().to_sat(),
        };
        let (assets, note) =
            (pool.assets(), format!("{} entries, made again: the same books", entries.len()));
        let height = book.height();
        self.step(Step {
            what: "the books balance",
            value: Some(assets),
            height: Some(height),
            note: Some(note),
            ..step()
        });
        Ok(summary)
    }

    fn service_summary(&self, number: usize) -> Result<ServiceSummary> {
        let (book, name) = (&self.books.book, service(number)?);
        let view = book.service(&name)?;
        let (exposure, denomination) = (view.exposure, view.terms.denomination.clone());
        let mut claimable = 0;
        for stake in book.stakes() {
            claimable += book.claimable(&stake.outpoint, &name)?;
        }
        let rewards = book.providers(&name)?.into_iter().map(|provider| *provider.rewards);
        let (mut put_in, mut claimed, mut commission) = (0, 0, 0);
        for rewards in rewards {
            put_in += rewards.put_in;
            claimed += rewards.paid;
            commission += rewards.commission + rewards.commission_paid;
        }
        let left = put_in - claimed - claimable - commission;
        Ok(ServiceSummary {
            service: name,
            denomination,
            put_in: put_in.to_string(),
            claimed: claimed.to_string(),
            claimable: claimable.to_string(),
            commission: commission.to_string(),
            left: left.to_string(),
            nominal_sat: exposure.nominal.to_string(),
            slashable_sat: exposure.slashable.to_sat(),
            lost_sat: exposure.lost.to_sat(),
        })
    }
}
