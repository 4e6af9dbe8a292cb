use std::path::Path;

use bitcoin::{Amount, OutPoint};
use tapstake_params::Height;
use tapstake_restake::{
    Backing, BookError, ExitId, HolderId, LrtError, PartsPerMillion, PoolError, PoolId, ServiceId,
    ShareError, StakeStatus,
};

use super::by_book;

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
    let rules = include_str!("rule.rs");
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
    let above_loss = |most| PoolError::AboveLoss { amount: Amount::ONE_BTC, most };
    let not_earned = |sat| PoolError::NotEarned { amount: Amount::ONE_BTC, rewards: Amount::from_sat(sat) };
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
        (in_lrt(LrtError::UnknownService(service.clone())), "unknown-service", "tapstake book show --pool p"),
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
        (BookError::SlashedProvider { provider, height: height(5) }, "slashed-provider", "book give-back"),
        (in_pool(PoolError::Missing { backing }), "backing", "pool make-good p AMOUNT"),
        (in_pool(PoolError::Unbacked { after: backing }), "backing", "pool write-down"),
        (in_pool(missing(Amount::from_sat(77))), "not-missing", "at most 77 sat"),
        (in_pool(missing(Amount::ZERO)), "not-missing", "pool take-cash p AMOUNT"),
        (in_pool(above_loss(77)), "not-missing", "at most 77 sat"),
        (in_pool(above_loss(0)), "not-missing", "tapstake book pool reward p"),
        (in_pool(not_earned(77)), "not-earned", "at most 77 sat"),
        (in_pool(not_earned(0)), "not-earned", "tapstake book pool take-cash p AMOUNT"),
        (
            in_pool(PoolError::Unsettled {
                id: ExitId(3),
                lost: Amount::ONE_BTC,
                surplus: Amount::from_sat(77),
            }),
            "surplus",
            "tapstake book pool write-up p 77sat",
        ),
        (in_pool(PoolError::NoReceiver { outpoint, more: Amount::ONE_SAT }), "no-receiver", "--holder NAME"),
    ] {
        let error = by_book(error);
        assert_eq!(error.rule_name(), Some(rule));
        assert!(error.what_next().is_some_and(|said| said.contains(next)), "{rule}: {error:?}");
    }
}

#[test]
fn an_expansion_that_is_worth_no_more_is_told_to_leave_the_holder_out() {
    let coin = |n: u32| format!("{n:064x}:0");
    let event = serde_json::from_value(
        serde_json::json!({"expand_stake": {"of": coin(1), "holder": "ann", "stake": {
            "outpoint": coin(2), "spends": [coin(1)], "unbonding": coin(3), "value": 100_000, "slashed": 10_000, "refund": 89_900,
            "unbonding_refund": 89_850, "owner": "text:ann", "expires_at": 12_000, "unbonding_time": 100, "inclusion_height": 110,
            "providers": ["79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"],
        }}}),
    );
    let pool = PoolId::new("p").expect("a name");
    let nothing = BookError::Pool { pool, error: PoolError::Shares(ShareError::Nothing) };
    let refusal = super::in_book(&tapstake_restake::Book::new(), &event.expect("an event"), nothing);
    assert!(refusal.what_next().is_some_and(|next| next.starts_with("leave --holder out")), "{refusal:?}");
}
