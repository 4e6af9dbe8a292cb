//! Pools, holders and stakes to tell stories about pools with.
#![allow(dead_code, reason = "every test file takes what it needs")]

use bitcoin::hashes::Hash;
use bitcoin::{Amount, OutPoint, Txid};
use tapstake_params::{Height, Timelock};
use tapstake_restake::{ExitId, HolderId, Pool, VIRTUAL_SHARES, mul_div_floor};

/// The blocks that exits wait.
pub(crate) const UNBONDING: u32 = 100;

pub(crate) fn pool() -> Pool {
    Pool::new(Timelock::new(UNBONDING).unwrap())
}

pub(crate) fn holder(name: &str) -> HolderId {
    HolderId::new(name).unwrap()
}

pub(crate) fn outpoint(n: u32) -> OutPoint {
    OutPoint::new(Txid::hash(&n.to_le_bytes()), n)
}

pub(crate) fn sat(sat: u64) -> Amount {
    Amount::from_sat(sat)
}

pub(crate) fn at(blocks: u32) -> Height {
    Height::new(blocks)
}

/// A pool whose only holder has stake 0 of so many satoshi.
pub(crate) fn pool_of(name: &str, value: u64) -> Pool {
    let mut pool = pool();
    pool.mint(&holder(name), outpoint(0), sat(value)).unwrap();
    pool
}

/// Gives up every share.
pub(crate) fn exit_all(pool: &mut Pool, name: &str, height: u32) -> ExitId {
    let (holder, shares) = (holder(name), pool.balance(&holder(name)));
    pool.request_exit(&holder, shares, at(height)).unwrap()
}

/// What all shares of a holder would bring.
pub(crate) fn worth(pool: &Pool, name: &str) -> u64 {
    pool.value_floor(pool.balance(&holder(name))).unwrap().to_sat()
}

/// Whether a share is worth no less than before, without any rounding.
pub(crate) fn rate_has_not_fallen(before: &Pool, after: &Pool) -> bool {
    let (assets, supply) = (u128::from(after.assets().to_sat()) + 1, before.supply() + VIRTUAL_SHARES);
    let scaled = mul_div_floor(assets, supply, after.supply() + VIRTUAL_SHARES).unwrap();
    scaled > u128::from(before.assets().to_sat())
}
