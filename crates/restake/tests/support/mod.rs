//! Stakes, providers and services to make entries of.
#![allow(dead_code, reason = "every test file takes what it needs")]

use std::sync::LazyLock;

use bitcoin::hashes::Hash;
use bitcoin::key::{Keypair, Secp256k1};
use bitcoin::{Amount, OutPoint, Txid, XOnlyPublicKey};
use tapstake_crypto::pop::Account;
use tapstake_params::{Height, SlashingRate, Timelock};
use tapstake_restake::*;

/// Histories name them often, so each is made once.
static PROVIDERS: LazyLock<Vec<XOnlyPublicKey>> = LazyLock::new(|| {
    let secp = Secp256k1::new();
    let key = |n| {
        let mut secret = [9; 32];
        secret[0] = n;
        Keypair::from_seckey_slice(&secp, &secret).unwrap().x_only_public_key().0
    };
    (0..10).map(key).collect()
});

pub(crate) fn provider(n: u8) -> XOnlyPublicKey {
    PROVIDERS[usize::from(n)]
}

pub(crate) fn outpoint(n: u32) -> OutPoint {
    let mut txid = [0; 32];
    txid[..4].copy_from_slice(&n.to_le_bytes());
    OutPoint::new(Txid::from_byte_array(txid), 0)
}

/// What the transaction of stake `n` spends.
pub(crate) fn coin(n: u32) -> OutPoint {
    OutPoint::new(Txid::hash(&n.to_le_bytes()), 7)
}

/// Where stake `n` goes when it unbonds.
pub(crate) fn unbonding(n: u32) -> OutPoint {
    OutPoint::new(Txid::hash(&n.to_be_bytes()[1..]), 0)
}

pub(crate) fn account(n: u32) -> Account {
    Account::from_raw(&n.to_be_bytes()).unwrap()
}

pub(crate) fn sat(sat: u64) -> Amount {
    Amount::from_sat(sat)
}

pub(crate) fn service(name: &str) -> ServiceId {
    ServiceId::new(name).unwrap()
}

pub(crate) fn denomination(name: &str) -> Denomination {
    Denomination::new(name).unwrap()
}

pub(crate) fn rate() -> SlashingRate {
    SlashingRate::from_ten_thousandths(1_000).unwrap()
}

pub(crate) fn terms(coin: &str) -> ServiceTerms {
    ServiceTerms {
        denomination: denomination(coin),
        slashing_rate: rate(),
        unbonding_time: Timelock::new(100).unwrap(),
        leverage_limit: PartsPerMillion::percent(1_000).unwrap(),
    }
}

/// Included at height 100, active below 10,000, owned by the account of its number; 10 % are slashed, with a fee of 100 sat,
/// and unbonding costs another 50.
pub(crate) fn stake_data(n: u32, value: u64, providers: &[u8]) -> JournalledStake {
    let mut providers: Vec<_> = providers.iter().map(|n| provider(*n)).collect();
    providers.sort_by_key(XOnlyPublicKey::serialize);
    let slashed = rate().slashed_part(sat(value));
    JournalledStake {
        outpoint: outpoint(n),
        spends: vec![coin(n)],
        unbonding: unbonding(n),
        value: sat(value),
        slashed,
        refund: sat(value) - slashed - sat(100),
        unbonding_refund: sat(value) - slashed - sat(150),
        owner: account(n),
        providers,
        inclusion_height: Height::new(100),
        expires_at: Height::new(10_000),
        unbonding_time: Timelock::new(100).unwrap(),
    }
}

pub(crate) fn admit(n: u32, value: u64, providers: &[u8]) -> Event {
    Event::AdmitStake { stake: Box::new(stake_data(n, value, providers).try_into().unwrap()) }
}

pub(crate) fn register(name: &str, coin: &str) -> Event {
    Event::RegisterService { service: service(name), terms: terms(coin) }
}

pub(crate) fn opt_in(name: &str, n: u8, commission: u32) -> Event {
    let commission = PartsPerMillion::new(commission);
    Event::RegisterProvider { service: service(name), provider: provider(n), commission }
}

pub(crate) fn set_commission(name: &str, n: u8, commission: u32) -> Event {
    let commission = PartsPerMillion::new(commission);
    Event::SetCommission { service: service(name), provider: provider(n), commission }
}

pub(crate) fn share(n: u32, name: &str) -> Event {
    Event::Allocate { stake: outpoint(n), service: service(name), allocation: Allocation::Shared }
}

pub(crate) fn exclusive(n: u32, name: &str, parts: &[(u8, u64)]) -> Event {
    let parts = parts.iter().map(|(n, amount)| Part { provider: provider(*n), amount: sat(*amount) });
    let allocation = Allocation::Exclusive(parts.collect());
    Event::Allocate { stake: outpoint(n), service: service(name), allocation }
}

pub(crate) fn withdraw(n: u32, name: &str) -> Event {
    Event::Allocate { stake: outpoint(n), service: service(name), allocation: Allocation::Withdrawn }
}

pub(crate) fn reward(name: &str, n: u8, coin: &str, amount: u128) -> Event {
    Event::Reward { service: service(name), provider: provider(n), denomination: denomination(coin), amount }
}

pub(crate) fn claim(n: u32, name: &str) -> Event {
    Event::Claim { stake: outpoint(n), service: service(name) }
}

pub(crate) fn end(n: u32, end: End) -> Event {
    Event::EndStake { stake: outpoint(n), end }
}

/// Stake `of` has become stake `n`.
pub(crate) fn expand(of: u32, n: u32, value: u64, providers: &[u8], holder: Option<&str>) -> Event {
    let data = JournalledStake { spends: vec![outpoint(of), coin(n)], ..stake_data(n, value, providers) };
    let holder = holder.map(|name| HolderId::new(name).unwrap());
    Event::ExpandStake { of: outpoint(of), stake: Box::new(data.try_into().unwrap()), holder }
}

pub(crate) fn give_back(name: &str, n: u8) -> Event {
    Event::GiveBack { service: service(name), provider: provider(n) }
}

pub(crate) fn slash(n: u8) -> Event {
    Event::Slash { provider: provider(n) }
}

/// A book, and its entries made one after another.
#[derive(Clone)]
pub(crate) struct Story {
    pub(crate) book: Book,
    pub(crate) height: u32,
    /// Whether the last entry that counts let a stake begin to count at this height.
    fresh: bool,
}

impl Story {
    /// No entries, at a height.
    pub(crate) fn empty(height: u32) -> Self {
        Story { book: Book::new(), height, fresh: false }
    }

    /// At height 200: service `a` pays in `ua`, service `b` in `ub`; providers 1 and 2 serve both, without commission.
    pub(crate) fn new() -> Self {
        let mut story = Story::empty(200);
        for (name, coin) in [("a", "ua"), ("b", "ub")] {
            story.enter(register(name, coin));
            story.enter(opt_in(name, 1, 0));
            story.enter(opt_in(name, 2, 0));
        }
        story
    }

    pub(crate) fn at(&mut self, height: u32) -> &mut Self {
        (self.height, self.fresh) = (height, false);
        self
    }

    /// Makes an entry that is taken, after which the books balance. A reward that comes after a stake comes a block later.
    pub(crate) fn enter(&mut self, event: Event) -> &mut Self {
        if matches!(event, Event::Reward { .. }) && self.fresh {
            (self.height, self.fresh) = (self.height + 1, false);
        }
        self.fresh |= matches!(event, Event::Allocate { .. });
        let entry = Entry { height: Height::new(self.height), event };
        self.book.apply(&entry).unwrap();
        self.book.check().unwrap();
        self
    }

    /// Tries an entry that is refused, and sees that nothing has changed.
    pub(crate) fn refused(&mut self, event: Event) -> BookError {
        let before = self.book.clone();
        let entry = Entry { height: Height::new(self.height), event };
        let error = self.book.apply(&entry).unwrap_err();
        assert!(self.book == before, "{entry:?} was refused and changed the book");
        error
    }

    pub(crate) fn claimable(&self, n: u32, name: &str) -> u128 {
        self.book.claimable(&outpoint(n), &service(name)).unwrap()
    }

    pub(crate) fn paid(&self, n: u32, coin: &str) -> u128 {
        self.book.paid(&account(n), &denomination(coin))
    }

    pub(crate) fn rewards(&self, name: &str, n: u8) -> Rewards {
        *self.book.provider(&service(name), &provider(n)).unwrap().rewards
    }

    pub(crate) fn service_exposure(&self, name: &str) -> Exposure {
        self.book.service(&service(name)).unwrap().exposure
    }

    pub(crate) fn status(&self, n: u32) -> StakeStatus {
        self.book.stake(&outpoint(n)).unwrap().status
    }
}
