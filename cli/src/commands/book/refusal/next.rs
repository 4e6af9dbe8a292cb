//! What to do next, where an error's values say more than its rule.

use bitcoin::{Amount, OutPoint};
use tapstake_params::Height;
use tapstake_restake::{BookError, LrtError, PoolError, PoolId, RiskError, ShareError, StakeStatus};

/// What to do next, where the error's values say more than its rule.
pub(super) fn next(error: &BookError) -> Option<String> {
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
            "leave it out; tapstake book give-back --service NAME --provider {provider} takes back what it cannot be paid"
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
        PoolError::Unsettled { lost, surplus, .. } => Some(format!(
            "tapstake book pool write-up {pool} {sat}sat, or more, gives it to who has lost, pool take-cash takes it out as far as it \
             is cash",
            sat = lost.min(surplus).to_sat()
        )),
        PoolError::AboveLoss { most: 0, .. } => Some(format!(
            "nothing is missing in {pool}, nor lost: tapstake book pool reward {pool} takes what came beyond"
        )),
        PoolError::AboveLoss { most, .. } => Some(format!("give at most {most} sat")),
        PoolError::NotEarned { rewards, .. } if *rewards == Amount::ZERO => Some(format!(
            "who came, left or lost since has a part in it: tapstake book pool take-cash {pool} AMOUNT takes the cash out, and pool \
             write-down has all bear what is then missing"
        )),
        PoolError::NotEarned { rewards, .. } => Some(format!("give at most {} sat", rewards.to_sat())),
        PoolError::NotMissing { missing, .. } if *missing == Amount::ZERO => Some(format!(
            "nothing is missing in {pool}, so there is nothing to bear: what is gone is entered first, a stake by tapstake book \
             end OUTPOINT --by spent, cash by tapstake book pool take-cash {pool} AMOUNT"
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
