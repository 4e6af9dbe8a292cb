//! The names of the rules by which books refuse, and what to do next.

use bitcoin::{Amount, OutPoint};
use tapstake_ledger::{Damage, LedgerError};
use tapstake_params::Height;
use tapstake_restake::{
    Book, BookError, Event, LrtError, PoolError, PoolId, RiskError, ShareError, StakeStatus,
};

use crate::error::Error;

/// A refusal with the name of its rule. A journal that somebody has touched is a failed verification (exit code 3).
pub(super) fn refused(error: LedgerError) -> Error {
    match error {
        LedgerError::Refused(error) => by_book(*error),
        error => by_ledger(error),
    }
}

fn by_ledger(error: LedgerError) -> Error {
    let restore = "restore the journal from a copy; without one, tapstake book repair keeps the lines before, and says what is \
                   lost";
    let (rule, next, verification) = match &error {
        LedgerError::Exists { .. } => ("file", Some("give --book another name, or move it away"), false),
        LedgerError::Missing { .. } => ("file", Some("tapstake book init begins one"), false),
        LedgerError::Unfinished { .. } => {
            ("file", Some("remove the empty file; tapstake book init then begins the book again"), false)
        }
        LedgerError::LostJournal { .. } => (
            "file",
            Some("restore the journal from a copy, or move the index away, or give --book another name"),
            false,
        ),
        LedgerError::ReadOnly { .. } => {
            ("read-only", Some("have it entered by who may write the book's file and its folder"), false)
        }
        LedgerError::Moved { written: false, .. } => {
            ("file", Some("look where the book's file went, and try again"), false)
        }
        LedgerError::Moved { written: true, .. } => (
            "file",
            Some("look where the book's file went: do not enter it again if that one is the book"),
            false,
        ),
        LedgerError::Uncertain { .. } => {
            ("file", Some("see to the disk; then tapstake book log says whether the entry is made"), false)
        }
        LedgerError::Changed { .. } => ("file", Some("look at it again with tapstake book audit"), false),
        LedgerError::Unmarked { .. } => (
            "index-access",
            Some("do not enter them again; see to the disk and to the permissions of the book's folder"),
            false,
        ),
        LedgerError::NoBook { .. } => {
            ("file", Some("give --book the file of a book, or restore this one from a copy"), false)
        }
        LedgerError::Busy { .. } => ("busy", Some("wait for the other process"), false),
        LedgerError::NewerVersion { .. } => ("file-version", Some("get a newer tapstake"), false),
        LedgerError::Network { .. } => ("network", Some("give the --network of the book"), false),
        LedgerError::Damaged { line, damage, unacknowledged, .. } => {
            let rule = if *damage == Damage::Hash { "journal-hash" } else { "journal-line" };
            let next = match (line, unacknowledged) {
                (1, _) => "put line 1 of any copy of this book in its place: it never changes",
                (_, true) => {
                    "tapstake book repair cuts it off: the index tells that nobody was told of its entry"
                }
                _ => restore,
            };
            (rule, Some(next), true)
        }
        LedgerError::Shortened { .. } => ("journal-shortened", Some(restore), true),
        LedgerError::Rewritten { .. } => (
            "journal-rewritten",
            Some(
                "restore the journal from a copy; if this is the right one, move the index away: it is made anew",
            ),
            true,
        ),
        LedgerError::OtherHead { .. } => {
            ("journal-head", Some("restore the journal from a copy; nothing in it was changed here"), true)
        }
        LedgerError::Torn { .. } => (
            "journal-torn",
            Some("tapstake book repair cuts it off and saves it, if nobody was told that its entry is made"),
            false,
        ),
        LedgerError::Imbalance(_) => ("balance", None, true),
        LedgerError::IndexDiffers { .. } => {
            ("index", Some("remove the index file: the next command makes it anew from the journal"), true)
        }
        LedgerError::Index { .. } => ("index-access", None, false),
        _ => return Error::from(error),
    };
    let refusal = if verification { Error::verification(rule, error) } else { Error::rule(rule, error) };
    match next {
        Some(next) => refusal.next(next),
        None => refusal,
    }
}

/// A refusal by the book. Nothing was recorded.
pub(super) fn by_book(error: BookError) -> Error {
    let (rule, next) = (rule(&error), next(&error));
    let refusal = Error::rule(rule, error);
    match next {
        Some(next) => refusal.next(next),
        None => refusal,
    }
}

/// A refusal of an entry, with what the book knows of what it names.
pub(super) fn in_book(book: &Book, event: &Event, error: BookError) -> Error {
    match (&error, event) {
        (BookError::NothingOwed(_), Event::Claim { stake, service })
            if book.exposure(stake).is_ok_and(|exposure| !exposure.nominal.contains_key(service)) =>
        {
            let message =
                format!("stake {stake} does not count for {service}, and nothing is owed to it there");
            let refusal = Error::rule("not-allocated", message);
            match book.stake(stake).map(|stake| stake.status) {
                Ok(StakeStatus::Active) => refusal.next(format!(
                    "tapstake book allocate {stake} --service {service} --shared lets it count"
                )),
                _ => refusal,
            }
        }
        _ => named(book, error),
    }
}

/// A refusal that tells a pool of the other kind from one that is not there.
pub(super) fn named(book: &Book, error: BookError) -> Error {
    let BookError::UnknownPool(name) = &error else { return by_book(error) };
    if let Some((_, over, _)) = book.lrt_pools().find(|(lrt, ..)| *lrt == name) {
        let message = format!("pool {name} is over the receipts of {over}, not over stakes");
        return Error::rule("unknown-pool", message).next(format!(
            "what has to do with stakes, cash and exits goes by pool {over}: tapstake book pool redeem {name} takes shares of \
             {over} out, pool reward {name} --shares puts them in for all"
        ));
    }
    if book.pool(name).is_ok() {
        let message = format!("pool {name} is over stakes, not over receipts");
        return Error::rule("unknown-pool", message)
            .next(format!("tapstake book pool open NAME --over {name} opens one over its receipts"));
    }
    by_book(error)
}

/// What to do next, where the error's values say more than its rule.
fn next(error: &BookError) -> Option<String> {
    let at = |height: Height| Some(format!("give --height {height}, or more"));
    match error {
        BookError::Late { last, .. } => at(*last),
        BookError::RewardAfterChange { height, .. } | BookError::PoolRewardAfterMint { height, .. } => {
            at(height.saturating_add(1))
        }
        BookError::ExpiryDue { height, .. } => {
            Some(format!("tapstake book end --due --height {height} ends what has expired"))
        }
        BookError::NotExpired { expires_at, .. } => at(*expires_at),
        BookError::OutsideItsTime { inclusion, expires_at, .. } => {
            Some(format!("give a --height from {inclusion} up to {}", expires_at.checked_sub(1)?))
        }
        BookError::StillLocked { status, outpoint, .. } => match status {
            StakeStatus::Unbonding { until } | StakeStatus::Expired { until } => at(*until),
            _ => Some(format!("tapstake book end {outpoint} --by unbonding, or expired, comes first")),
        },
        BookError::SpendsStake { spent, status, .. } => Some(spends(spent, *status)),
        BookError::SpentStake { by, .. } => {
            Some(format!("leave it out: stake {by} is in the book, and has its coins"))
        }
        BookError::SpentInput { by, .. } => Some(format!(
            "verify both again; if {by} is not on the chain any more, tapstake book end {by} --by spent comes first"
        )),
        BookError::StakeEnded { outpoint, status } => Some(ended(outpoint, *status)),
        BookError::StakeLives { status, .. } => Some(lives(*status).to_owned()),
        BookError::NotAnExpansion { .. } => Some(
            "give --of with a stake that its transaction spends; without one, tapstake book import PROOF"
                .to_owned(),
        ),
        BookError::UnknownService(name) => Some(format!("tapstake book service add {name} registers it")),
        BookError::UnknownProvider { service, provider } => {
            Some(format!("tapstake book provider add {provider} --service {service} registers it"))
        }
        BookError::NoProvider { service, .. } => {
            Some(format!("tapstake book provider add KEY --service {service} registers a provider of it"))
        }
        BookError::UnknownStake(_) => Some("tapstake book import PROOF admits it".to_owned()),
        BookError::UnknownPool(name) => Some(format!("tapstake book pool open {name} opens it")),
        BookError::SlashedProvider { provider, .. } => Some(format!(
            "leave it out; tapstake book give-back --provider {provider} takes back what it cannot be paid"
        )),
        BookError::Rate { rate, .. } => {
            Some(format!("let only stakes count that have pre-signed their slashing at {rate}"))
        }
        BookError::UnbondingTime { asked, .. } => {
            Some(format!("let only stakes count that unbond for at least {} blocks", asked.blocks()))
        }
        BookError::PoolUnbonding { asked, .. } => {
            Some(format!("take a pool that was opened with --unbonding-time {} or more", asked.blocks()))
        }
        BookError::NotMinted(outpoint) => Some(format!(
            "no pool has it: tapstake book end {outpoint} --by spent says that it is gone, and an expansion of it takes \
             no --holder"
        )),
        BookError::Leverage { value, limit, .. } => {
            let most = limit.of_floor(value.to_sat().into())?;
            Some(format!(
                "let all services together count at most {most} sat of it: fewer services, or smaller parts by --part; what \
                 it has left counts as well until nobody relies on it"
            ))
        }
        BookError::LrtLeverage { limit, .. } => {
            Some(format!("choose parts of at most {limit} together, for all services of the pool"))
        }
        BookError::Parts { value, .. } => {
            Some(format!("give parts of at most {} sat together", value.to_sat()))
        }
        BookError::EmptyPart { provider, .. } => {
            Some(format!("give a part above 0, or leave {provider} out"))
        }
        BookError::ReservedHolder(holder) => Some(match holder.as_str().strip_prefix("lrt:") {
            Some(pool) => format!(
                "names that begin with lrt: are accounts of pools: tapstake book pool deposit {pool} puts a holder's shares \
                 into one, pool redeem takes them out"
            ),
            None => "give another name".to_owned(),
        }),
        BookError::NothingOwed(owner) => {
            Some(format!("tapstake book show --owner {owner} says what its stakes can claim, and from whom"))
        }
        BookError::NoCommission { service, .. } => {
            Some(format!("tapstake book show --service {service} says what its providers can claim"))
        }
        BookError::NothingToGiveBack { service, .. } => Some(format!(
            "only what is held while nothing is staked, or after a slashing, goes back: tapstake book show --service {service}"
        )),
        BookError::Denomination { expected, .. } => Some(format!("give the amount in {expected}")),
        BookError::Risk { error: RiskError::Overflow(_), .. } => {
            Some("give a --price of at most 4295 times the net asset value".to_owned())
        }
        BookError::Pool { pool, error } => in_pool(pool, error),
        BookError::Lrt { pool, error } => over_receipts(pool, error),
        _ => None,
    }
}

fn spends(spent: &OutPoint, status: StakeStatus) -> String {
    match status {
        StakeStatus::Slashed | StakeStatus::Expanded => {
            format!("verify both again: {spent} cannot have gone both ways")
        }
        _ => format!(
            "tapstake book expand PROOF --of {spent} if it has become this one; if it was unbonded before, tapstake book \
             end {spent} --by spent"
        ),
    }
}

/// What can still be entered about a stake that has ended, where it ended otherwise than the book says.
fn ended(outpoint: &OutPoint, status: StakeStatus) -> String {
    match status {
        StakeStatus::Spent | StakeStatus::Expanded => format!(
            "if it is still there, tapstake book revive {outpoint}; what came of it later is tapstake book pool make-good"
        ),
        StakeStatus::Slashed => {
            format!("tapstake book return {outpoint} --amount AMOUNT records what came back of it")
        }
        StakeStatus::Returned => {
            "its coin is in: tapstake book pool make-good adds what came later, pool take-cash takes out what was too much"
                .to_owned()
        }
        StakeStatus::Unbonding { until } | StakeStatus::Expired { until } => {
            format!("from height {until} on, tapstake book return {outpoint} --amount AMOUNT records what came back of it")
        }
        StakeStatus::Active => "tapstake book show says what stands in the book".to_owned(),
    }
}

const fn lives(status: StakeStatus) -> &'static str {
    match status {
        StakeStatus::Returned => {
            "its coin is its pool's cash: tapstake book pool take-cash takes out what did not come"
        }
        StakeStatus::Slashed => {
            "it stays slashed: tapstake book pool write-up takes a loss back, once more than was left has come"
        }
        _ => "leave it: it is there",
    }
}

fn over_receipts(pool: &PoolId, error: &LrtError) -> Option<String> {
    match error {
        LrtError::Shares(error) => of_shares(error),
        LrtError::Pool(error) => in_pool(pool, error),
        LrtError::Part { .. } => Some("give a percentage above 0% and at most 100%".to_owned()),
        LrtError::Leverage { limit, .. } => {
            Some(format!("choose parts of at most {limit} together: pool {pool} was opened with that limit"))
        }
        LrtError::UnknownService(_) => {
            Some(format!("tapstake book show --pool {pool} says which services it has chosen"))
        }
        _ => None,
    }
}

fn of_shares(error: &ShareError) -> Option<String> {
    match error {
        ShareError::Balance { balance: 0, holder, .. } => {
            Some(format!("tapstake book show --holder {holder} says what it has, and in which pools"))
        }
        ShareError::Balance { balance, .. } => Some(format!("give at most {balance} shares")),
        _ => None,
    }
}

fn in_pool(pool: &PoolId, error: &PoolError) -> Option<String> {
    match error {
        PoolError::Shares(error) => of_shares(error),
        PoolError::StakeEnded(outpoint) => Some(format!(
            "what came of it later is tapstake book pool make-good {pool} AMOUNT; if it was entered as spent by mistake, \
             tapstake book revive {outpoint}"
        )),
        PoolError::Surplus { after } => Some(format!(
            "tapstake book pool write-up {pool} {sat}sat gives it to shares and exits, pool take-cash takes it out as far as it is cash",
            sat = after.surplus().to_sat()
        )),
        PoolError::NotSurplus { surplus, .. } if *surplus == Amount::ZERO => Some(format!(
            "nothing is left over in {pool}: tapstake book return, or pool make-good, records what came back first"
        )),
        PoolError::NotSurplus { surplus, .. } => Some(format!("give at most {} sat", surplus.to_sat())),
        PoolError::NotEnoughCash { .. } => Some(
            "tapstake book return OUTPOINT --amount AMOUNT records what came back of an ended stake"
                .to_owned(),
        ),
        PoolError::Unbacked { .. } | PoolError::Missing { .. } => Some(format!(
            "tapstake book pool make-good {pool} AMOUNT records cash for what is missing, pool write-down gives it up"
        )),
        PoolError::NotMissing { missing, .. } if *missing == Amount::ZERO => Some(format!(
            "nothing is missing in {pool}: tapstake book pool reward {pool} takes what came beyond"
        )),
        PoolError::NotMissing { missing, .. } => Some(format!("give at most {} sat", missing.to_sat())),
        PoolError::Unbonding { matures_at, .. } => Some(format!("give --height {matures_at}, or more")),
        PoolError::NotFirst { .. } => {
            Some(format!("tapstake book finalise --pool {pool} pays all that are due, in their order"))
        }
        PoolError::NoReceiver { .. } => Some("give --holder NAME".to_owned()),
        PoolError::AboveStake { value, .. } => Some(format!(
            "give at most {} sat; what came beyond is tapstake book pool reward {pool}",
            value.to_sat()
        )),
        _ => None,
    }
}

fn rule(error: &BookError) -> &'static str {
    match error {
        BookError::Late { .. } => "late-entry",
        BookError::ExpiryDue { .. } => "expiry-due",
        BookError::ServiceExists(_) | BookError::ProviderExists { .. } | BookError::PoolExists(_) => "exists",
        BookError::UnknownService(_) => "unknown-service",
        BookError::UnknownProvider { .. } => "unknown-provider",
        BookError::UnknownStake(_) => "unknown-stake",
        BookError::UnknownPool(_) => "unknown-pool",
        BookError::SlashedProvider { .. } => "slashed-provider",
        BookError::Commission(_) => "commission",
        BookError::StakeExists(_) => "admitted-before",
        BookError::SpendsStake { .. } => "spends-stake",
        BookError::SpentStake { .. } => "spent-stake",
        BookError::SpentInput { .. } => "spent-input",
        BookError::NotAnExpansion { .. } => "not-an-expansion",
        BookError::RewardAfterChange { .. } | BookError::PoolRewardAfterMint { .. } => "reward-after-change",
        BookError::NothingToGiveBack { .. } => "nothing-owed",
        BookError::OutsideItsTime { .. } | BookError::StakeEnded { .. } => "inactive",
        BookError::StakeLives { .. } => "stake-lives",
        BookError::NotExpired { .. } => "not-expired",
        BookError::NoProvider { .. } | BookError::ForeignProvider { .. } => "provider",
        BookError::Rate { .. } => "slashing-rate",
        BookError::UnbondingTime { .. } | BookError::PoolUnbonding { .. } => "unbonding-time",
        BookError::RepeatedProvider { .. } => "repeated-provider",
        BookError::Parts { .. } | BookError::EmptyPart { .. } => "parts",
        BookError::NotAllocated { .. } => "not-allocated",
        BookError::Leverage { .. } | BookError::LrtLeverage { .. } => "leverage",
        BookError::Denomination { .. } => "denomination",
        BookError::EmptyReward => "nothing",
        BookError::NothingOwed(_) | BookError::NoCommission { .. } => "nothing-owed",
        BookError::Minted { .. } => "minted-before",
        BookError::NotMinted(_) => "not-minted",
        BookError::StillLocked { .. } => "still-locked",
        BookError::ReservedHolder(_) => "reserved-holder",
        BookError::Pool { error, .. } => pool(error),
        BookError::Lrt { error, .. } => lrt(error),
        BookError::Risk { .. } => "risk",
        BookError::Overflow(_) => "overflow",
        _ => "book",
    }
}

const fn pool(error: &PoolError) -> &'static str {
    match error {
        PoolError::Shares(error) => shares(error),
        PoolError::Frozen => "frozen",
        PoolError::AlreadyMinted(_) => "minted-before",
        PoolError::Unbacked { .. } | PoolError::Missing { .. } => "backing",
        PoolError::TooMuch { .. } => "amount",
        PoolError::NoHolders => "no-holders",
        PoolError::UnknownStake(_) => "unknown-stake",
        PoolError::StakeEnded(_) | PoolError::AlreadySlashed(_) => "inactive",
        PoolError::AboveStake { .. } => "above-stake",
        PoolError::LeavesNothing { .. } => "leaves-nothing",
        PoolError::UnknownExit(_) => "unknown-exit",
        PoolError::Unbonding { .. } => "unbonding",
        PoolError::NotEnoughCash { .. } => "cash",
        PoolError::NotMissing { .. } => "not-missing",
        PoolError::NotSurplus { .. } => "not-surplus",
        PoolError::Surplus { .. } => "surplus",
        PoolError::StakeLives(_) => "stake-lives",
        PoolError::NotFirst { .. } => "not-first",
        PoolError::NoReceiver { .. } => "no-receiver",
        _ => "pool",
    }
}

const fn lrt(error: &LrtError) -> &'static str {
    match error {
        LrtError::Shares(error) => shares(error),
        LrtError::Pool(error) => pool(error),
        LrtError::Unbacked { .. } => "backing",
        LrtError::OwnAccount(_) => "own-account",
        LrtError::Part { .. } | LrtError::Leverage { .. } => "leverage",
        LrtError::UnknownService(_) => "unknown-service",
        _ => "pool",
    }
}

const fn shares(error: &ShareError) -> &'static str {
    match error {
        ShareError::Nothing | ShareError::NoShares { .. } | ShareError::NoAssets { .. } => "nothing",
        ShareError::Balance { .. } => "balance-of-holder",
        ShareError::Overflow(_) => "overflow",
        _ => "shares",
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tapstake_restake::{Backing, HolderId, PartsPerMillion, ServiceId};

    use super::*;

    /// The variants of an enum of the restaking crate, read off its source.
    fn variants(file: &str, name: &str) -> Vec<String> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/restake/src").join(file);
        let text = std::fs::read_to_string(path).expect("a source");
        let (_, text) = text.split_once(&format!("pub enum {name} {{\n")).expect("the enum");
        let (text, _) = text.split_once("\n}").expect("its end");
        let names = text.lines().filter_map(|line| line.strip_prefix("    "));
        let names = names.filter(|line| line.starts_with(|first: char| first.is_ascii_uppercase()));
        let plain = |line: &str| line.chars().take_while(char::is_ascii_alphanumeric).collect();
        names.map(plain).collect()
    }

    #[test]
    fn every_refusal_of_a_book_has_a_rule() {
        let source = include_str!("refusal.rs").split("mod tests").next().expect("what is above");
        let rules = &source[source.find("\nfn rule(").expect("the rules")..];
        for (file, name, least) in [
            ("error.rs", "BookError", 40),
            ("pool/error.rs", "PoolError", 15),
            ("lrt.rs", "LrtError", 7),
            ("shares.rs", "ShareError", 5),
        ] {
            let variants = variants(file, name);
            assert!(variants.len() >= least, "{variants:?}");
            for variant in variants {
                let path = format!("{name}::{variant}");
                let mut after = rules.split(&path).skip(1);
                let whole = after.any(|rest| !rest.starts_with(|next: char| next.is_ascii_alphanumeric()));
                assert!(whole, "{path} has no rule");
            }
        }
    }

    #[test]
    fn a_refusal_says_what_to_do_by_its_values() {
        let height = Height::new;
        let (outpoint, other) = (OutPoint::null(), OutPoint { vout: 7, ..OutPoint::null() });
        let (pool, service) = (PoolId::new("p").expect("a name"), ServiceId::new("s").expect("a name"));
        let provider = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
        let provider = provider.parse().expect("a key");
        let in_pool = |error| BookError::Pool { pool: pool.clone(), error };
        let locked = |status| BookError::StillLocked { outpoint, status, height: height(5) };
        let spends = |status| BookError::SpendsStake { outpoint: other, spent: outpoint, status };
        let backing = Backing { reserves: Amount::ZERO, issued: Amount::ONE_SAT };
        let in_lrt = |error| BookError::Lrt { pool: pool.clone(), error };
        let holder = |name| HolderId::new(name).expect("a name");
        let balance = |balance| ShareError::Balance { holder: holder("ann"), balance, asked: 100 };
        let owner = "text:ann".parse().expect("an account");
        let over = |status| BookError::StakeEnded { outpoint, status };
        let alive = |status| BookError::StakeLives { outpoint, status };
        let surplus = |surplus| PoolError::NotSurplus { amount: Amount::ONE_BTC, surplus };
        let missing = |missing| PoolError::NotMissing { amount: Amount::ONE_BTC, missing };
        for (error, rule, next) in [
            (BookError::Late { height: height(4), last: height(5) }, "late-entry", "--height 5"),
            (
                BookError::RewardAfterChange { service: service.clone(), provider, height: height(5) },
                "reward-after-change",
                "--height 6",
            ),
            (
                BookError::ExpiryDue { outpoint, expires_at: height(5), height: height(9) },
                "expiry-due",
                "tapstake book end --due --height 9",
            ),
            (
                BookError::NotExpired { outpoint, expires_at: height(9), height: height(5) },
                "not-expired",
                "--height 9",
            ),
            (
                BookError::OutsideItsTime {
                    outpoint,
                    inclusion: height(3),
                    expires_at: height(9),
                    height: height(9),
                },
                "inactive",
                "from 3 up to 8",
            ),
            (
                BookError::SpentInput { outpoint: other, input: outpoint, by: outpoint },
                "spent-input",
                "--by spent comes first",
            ),
            (
                BookError::PoolRewardAfterMint { pool: pool.clone(), height: height(5) },
                "reward-after-change",
                "--height 6",
            ),
            (over(StakeStatus::Spent), "inactive", "tapstake book revive 00"),
            (over(StakeStatus::Expanded), "inactive", "tapstake book revive 00"),
            (over(StakeStatus::Slashed), "inactive", "tapstake book return 00"),
            (over(StakeStatus::Returned), "inactive", "pool take-cash"),
            (over(StakeStatus::Unbonding { until: height(9) }), "inactive", "from height 9 on"),
            (alive(StakeStatus::Returned), "stake-lives", "pool take-cash"),
            (alive(StakeStatus::Slashed), "stake-lives", "pool write-up"),
            (alive(StakeStatus::Active), "stake-lives", "it is there"),
            (
                BookError::Leverage {
                    outpoint,
                    service: service.clone(),
                    nominal: 250,
                    value: Amount::from_sat(100),
                    limit: PartsPerMillion::new(1_500_000),
                },
                "leverage",
                "at most 150 sat",
            ),
            (
                BookError::Parts { outpoint, parts: Amount::ONE_BTC, value: Amount::from_sat(77) },
                "parts",
                "at most 77 sat together",
            ),
            (BookError::EmptyPart { outpoint, provider }, "parts", "a part above 0, or leave 79be"),
            (BookError::ReservedHolder(holder("lrt:l")), "reserved-holder", "tapstake book pool deposit l "),
            (BookError::NothingOwed(owner), "nothing-owed", "tapstake book show --owner text:ann"),
            (
                BookError::NoCommission { service: service.clone(), provider },
                "nothing-owed",
                "tapstake book show --service s",
            ),
            (
                BookError::NothingToGiveBack { service: service.clone(), provider },
                "nothing-owed",
                "tapstake book show --service s",
            ),
            (
                in_lrt(LrtError::UnknownService(service.clone())),
                "unknown-service",
                "tapstake book show --pool p",
            ),
            (
                in_lrt(LrtError::Leverage { service: service.clone(), limit: PartsPerMillion::ONE }),
                "leverage",
                "at most 100% together: pool p",
            ),
            (
                in_lrt(LrtError::Part { service: service.clone(), part: PartsPerMillion::ZERO }),
                "leverage",
                "above 0% and at most 100%",
            ),
            (in_lrt(LrtError::Shares(balance(77))), "balance-of-holder", "give at most 77 shares"),
            (in_pool(PoolError::Shares(balance(77))), "balance-of-holder", "give at most 77 shares"),
            (in_pool(PoolError::Shares(balance(0))), "balance-of-holder", "tapstake book show --holder ann"),
            (in_pool(PoolError::StakeEnded(outpoint)), "inactive", "pool make-good p AMOUNT"),
            (
                in_pool(PoolError::Surplus {
                    after: Backing { reserves: Amount::from_sat(9), issued: Amount::from_sat(2) },
                }),
                "surplus",
                "tapstake book pool write-up p 7sat",
            ),
            (in_pool(surplus(Amount::ZERO)), "not-surplus", "nothing is left over in p"),
            (in_pool(surplus(Amount::from_sat(77))), "not-surplus", "at most 77 sat"),
            (locked(StakeStatus::Unbonding { until: height(9) }), "still-locked", "--height 9"),
            (locked(StakeStatus::Expired { until: height(8) }), "still-locked", "--height 8"),
            (locked(StakeStatus::Active), "still-locked", "tapstake book end 00"),
            (spends(StakeStatus::Active), "spends-stake", "tapstake book expand PROOF --of 00"),
            (spends(StakeStatus::Slashed), "spends-stake", "verify both again"),
            (BookError::UnknownService(service.clone()), "unknown-service", "tapstake book service add s"),
            (
                BookError::UnknownProvider { service, provider },
                "unknown-provider",
                "tapstake book provider add 79be",
            ),
            (
                BookError::SlashedProvider { provider, height: height(5) },
                "slashed-provider",
                "book give-back",
            ),
            (in_pool(PoolError::Missing { backing }), "backing", "pool make-good p AMOUNT"),
            (in_pool(PoolError::Unbacked { after: backing }), "backing", "pool write-down"),
            (in_pool(missing(Amount::from_sat(77))), "not-missing", "at most 77 sat"),
            (in_pool(missing(Amount::ZERO)), "not-missing", "tapstake book pool reward p"),
            (
                in_pool(PoolError::NoReceiver { outpoint, more: Amount::ONE_SAT }),
                "no-receiver",
                "--holder NAME",
            ),
        ] {
            let error = by_book(error);
            assert_eq!(error.rule_name(), Some(rule));
            assert!(error.what_next().is_some_and(|said| said.contains(next)), "{rule}: {error:?}");
        }
    }
}
