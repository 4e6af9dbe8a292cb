//! The names of the rules by which books refuse.

use tapstake_restake::{BookError, LrtError, PoolError, ShareError};

pub(super) fn rule(error: &BookError) -> &'static str {
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
        PoolError::NotMissing { .. } | PoolError::AboveLoss { .. } => "not-missing",
        PoolError::NotEarned { .. } => "not-earned",
        PoolError::NotSurplus { .. } => "not-surplus",
        PoolError::Surplus { .. } | PoolError::Unsettled { .. } => "surplus",
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
