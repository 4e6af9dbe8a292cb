//! What each pool was worth after each entry that changed it.

use std::collections::BTreeMap;

use bitcoin::Amount;
use serde::Serialize;
use tapstake_params::Height;
use tapstake_restake::{Book, Event, Nav, PartsPerMillion, Pool, PoolId};

/// What a pool was worth after an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Point {
    /// The number of the entry.
    pub counter: u64,
    /// Its height.
    pub height: Height,
    /// The pool.
    pub pool: PoolId,
    /// The net asset value, rounded down.
    pub nav: Nav,
    /// What the shares stand for, in satoshi.
    #[serde(rename = "assets_sat", with = "bitcoin::amount::serde::as_sat")]
    pub assets: Amount,
    /// What the exits that wait are owed, in satoshi.
    #[serde(rename = "queued_sat", with = "bitcoin::amount::serde::as_sat")]
    pub queued: Amount,
    /// Stakes that live, and cash, in satoshi.
    #[serde(rename = "reserves_sat", with = "bitcoin::amount::serde::as_sat")]
    pub reserves: Amount,
}

impl Point {
    fn of(pool: &PoolId, state: &Pool, height: Height, counter: u64) -> Self {
        Point {
            counter,
            height,
            pool: pool.clone(),
            nav: state.nav_floor(),
            assets: state.assets(),
            queued: state.queue().total(),
            reserves: state.backing().reserves,
        }
    }

    /// Reserves over what the pool owes, rounded down. `None` while it owes nothing.
    pub fn backing_ratio_floor(&self) -> Option<PartsPerMillion> {
        let issued = u128::from(self.assets.to_sat()) + u128::from(self.queued.to_sat());
        PartsPerMillion::ratio_floor(self.reserves.to_sat().into(), issued)
    }

    /// Whether both are worth the same.
    fn equals(&self, other: &Point) -> bool {
        let values = |point: &Point| (point.nav, point.assets, point.queued, point.reserves);
        values(self) == values(other)
    }
}

/// The last point of every pool.
#[derive(Debug, Default)]
pub(crate) struct Series {
    last: BTreeMap<PoolId, Point>,
}

/// The pools that an event may change the worth of.
enum Touched {
    None,
    One(PoolId),
    Any,
}

impl Series {
    /// The points that an entry has made, by pool. `book` is the book after it.
    pub(crate) fn after(&mut self, book: &Book, event: &Event) -> Vec<Point> {
        let (height, counter) = (book.height(), book.entries());
        let points: Vec<Point> = match touched(book, event) {
            Touched::None => return Vec::new(),
            Touched::One(name) => {
                let pool = book.pool(&name).ok();
                pool.map(|pool| Point::of(&name, pool, height, counter)).into_iter().collect()
            }
            Touched::Any => book.pools().map(|(name, pool)| Point::of(name, pool, height, counter)).collect(),
        };
        let changed = points.into_iter().filter(|point| {
            let same = self.last.get(&point.pool).is_some_and(|last| last.equals(point));
            if !same {
                self.last.insert(point.pool.clone(), point.clone());
            }
            !same
        });
        changed.collect()
    }
}

fn touched(book: &Book, event: &Event) -> Touched {
    match event {
        Event::OpenPool { pool, .. }
        | Event::Mint { pool, .. }
        | Event::PoolReward { pool, .. }
        | Event::TakeReward { pool, .. }
        | Event::RequestExit { pool, .. }
        | Event::RequestWithdrawal { pool, .. }
        | Event::FinaliseExit { pool, .. }
        | Event::MakeGood { pool, .. }
        | Event::WriteDown { pool, .. }
        | Event::WriteUp { pool, .. }
        | Event::TakeCash { pool, .. } => Touched::One(pool.clone()),
        Event::EndStake { stake, .. }
        | Event::ReturnStake { stake, .. }
        | Event::ReviveStake { stake }
        | Event::ExpandStake { of: stake, .. } => match book.minted_in(stake) {
            Ok(Some(pool)) => Touched::One(pool.clone()),
            _ => Touched::None,
        },
        Event::RegisterService { .. }
        | Event::RegisterProvider { .. }
        | Event::SetCommission { .. }
        | Event::AdmitStake { .. }
        | Event::Allocate { .. }
        | Event::Reward { .. }
        | Event::Claim { .. }
        | Event::ClaimCommission { .. }
        | Event::GiveBack { .. }
        | Event::Transfer { .. } => Touched::None,
        // A slashing, and whatever else comes to be.
        _ => Touched::Any,
    }
}
