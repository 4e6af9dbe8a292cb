//! Retargets and the exceptions of test networks, on whole mined periods.

use bitcoin::CompactTarget;
use tapstake_params::Height;

use crate::Rule;
use crate::headers::HeaderError;
use crate::headers::rules::Rules;
use crate::headers::testing::{Miner, easy_rules, mine, mine_too_little};

const LIMIT: u32 = 0x207f_ffff;
const QUARTER: u32 = 0x201f_ffff;
const WEEK: u32 = 7 * 24 * 60 * 60;

fn bits(consensus: u32) -> CompactTarget {
    CompactTarget::from_consensus(consensus)
}

fn test_network(bip94: bool) -> Rules {
    Rules { min_difficulty: true, bip94, ..easy_rules() }
}

/// A chain up to height 2015, whose last block lies exactly `seconds` after its first.
fn one_period(rules: Rules, seconds: u32) -> Miner {
    let mut miner = Miner::new(rules);
    miner.mine_to(2014, seconds / 2015);
    let end = miner.headers[0].time + seconds;
    miner.mine_at(end);
    miner
}

fn next_bits(miner: &Miner) -> u32 {
    miner.draft(miner.last().time + 60).bits.to_consensus()
}

#[test]
fn half_the_time_halves_the_target() {
    // 2015 intervals: the block after the period does not count, nor the one before it.
    assert_eq!(next_bits(&one_period(easy_rules(), WEEK)), 0x203f_ffff);
    assert_eq!(next_bits(&one_period(easy_rules(), WEEK + 600)), 0x2040_1040);
}

#[test]
fn a_period_in_no_time_quarters_the_target() {
    assert_eq!(next_bits(&one_period(easy_rules(), WEEK / 2)), QUARTER);
    assert_eq!(next_bits(&one_period(easy_rules(), 2015)), QUARTER);
}

#[test]
fn the_target_never_rises_above_the_limit() {
    assert_eq!(next_bits(&one_period(easy_rules(), 3 * WEEK)), LIMIT);
}

#[test]
fn a_slow_period_raises_the_target_four_times_at_most() {
    let mut miner = one_period(easy_rules(), 2015);
    miner.mine_to(4031, 10);
    assert_eq!(miner.last().bits.to_consensus(), QUARTER);
    assert_eq!(next_bits(&miner), 0x2007_ffff);
    miner.mine_to(6047, 6000);
    assert_eq!(miner.last().bits.to_consensus(), 0x2007_ffff);
    assert_eq!(next_bits(&miner), 0x201f_fffc, "four times, with what compact rounding lost");
}

#[test]
fn the_second_period_is_measured_from_its_own_first_block() {
    let mut miner = one_period(easy_rules(), 2015);
    // A long gap before the period's first block belongs to neither period.
    miner.mine_at(miner.last().time + 4 * WEEK);
    let first = miner.last().time;
    miner.mine_to(4030, 10);
    miner.mine_at(first + 2 * WEEK);
    assert_eq!(next_bits(&miner), QUARTER);
}

#[test]
fn a_header_that_ignores_the_retarget_is_refused() {
    let mut miner = one_period(easy_rules(), WEEK);
    let mut header = miner.draft(miner.last().time + 60);
    header.bits = bits(LIMIT);
    let error = miner.validator.push(&mine(header), None).unwrap_err();
    let refusal = HeaderError::Bits {
        height: Height::new(2016),
        expected: bits(0x203f_ffff),
        found: bits(LIMIT),
        rule: Rule::Retarget,
    };
    assert_eq!(error, refusal);
    assert_eq!(error.rule().number(), 3);
}

#[test]
fn a_header_that_meets_only_the_first_headers_target_is_refused() {
    // A known failure of an earlier system: every header held against the target of the first.
    let mut miner = one_period(easy_rules(), 2015);
    miner.mine_blocks(5, 60);
    let header = mine_too_little(miner.draft(miner.last().time + 60), bits(LIMIT));
    let error = miner.validator.push(&header, None).unwrap_err();
    assert_eq!(error.rule(), Rule::ProofOfWork);
}

#[test]
fn a_block_twenty_minutes_late_has_the_least_difficulty_and_the_next_has_not() {
    let mut miner = one_period(test_network(false), 2015);
    miner.mine_blocks(3, 60);
    let last = miner.last().time;
    assert_eq!(miner.draft(last + 1200).bits.to_consensus(), QUARTER);
    assert_eq!(miner.draft(last + 1201).bits.to_consensus(), LIMIT);

    // Late, yet with the real difficulty: refused, "may" is "must".
    let mut header = miner.draft(last + 1201);
    header.bits = bits(QUARTER);
    let error = miner.validator.push(&mine(header), None).unwrap_err();
    assert_eq!(error.rule(), Rule::MinDifficulty);

    miner.mine_at(last + 1201);
    miner.mine_at(last + 1201 + 1201);
    assert_eq!(next_bits(&miner), QUARTER, "the real difficulty is that before the late blocks");
    let mut header = miner.draft(miner.last().time + 60);
    header.bits = bits(LIMIT);
    let error = miner.validator.push(&mine(header), None).unwrap_err();
    let refusal = HeaderError::Bits {
        height: Height::new(2021),
        expected: bits(QUARTER),
        found: bits(LIMIT),
        rule: Rule::MinDifficulty,
    };
    assert_eq!(error, refusal);
}

#[test]
fn a_late_first_block_of_a_period_is_retargeted_like_any_other() {
    let miner = one_period(test_network(true), 2015);
    let late = miner.draft(miner.last().time + 5000);
    assert_eq!(late.bits.to_consensus(), QUARTER);
}

#[test]
fn mainnet_knows_no_late_blocks() {
    let mut miner = one_period(easy_rules(), 2015);
    miner.mine_blocks(3, 60);
    assert_eq!(miner.draft(miner.last().time + WEEK).bits.to_consensus(), QUARTER);
}

/// The second period at a quarter, all real, and its last block late.
fn period_with_late_end(bip94: bool) -> Miner {
    let mut miner = one_period(test_network(bip94), 2015);
    miner.mine_to(4030, 590);
    miner.mine_at(miner.last().time + 1201);
    assert_eq!(miner.last().bits.to_consensus(), LIMIT);
    miner
}

#[test]
fn on_testnet3_a_late_last_block_resets_the_difficulty() {
    let seconds = 2014 * 590 + 1201; // a little under two weeks
    let miner = period_with_late_end(false);
    let expected = 0x7f_ffff_u64 * seconds / (2 * u64::from(WEEK));
    assert_eq!(u64::from(next_bits(&miner)), 0x2000_0000 | expected);
}

#[test]
fn on_testnet4_the_retarget_starts_from_the_first_block_of_the_period() {
    let seconds = 2014 * 590 + 1201;
    let miner = period_with_late_end(true);
    let expected = 0x1f_ffff_u64 * seconds / (2 * u64::from(WEEK));
    assert_eq!(u64::from(next_bits(&miner)), 0x2000_0000 | expected);

    let mut miner = miner;
    let mut header = miner.draft(miner.last().time + 60);
    header.bits = next_bits(&period_with_late_end(false)).pipe(bits);
    let error = miner.validator.push(&mine(header), None).unwrap_err();
    assert_eq!(error.rule(), Rule::Retarget);
}

trait Pipe: Sized {
    fn pipe<T>(self, f: impl FnOnce(Self) -> T) -> T {
        f(self)
    }
}
impl Pipe for u32 {}

#[test]
fn on_testnet4_a_period_starts_at_most_ten_minutes_before_its_parent() {
    let mut miner = one_period(Rules { bip94: true, ..easy_rules() }, 2 * WEEK);
    let parent_time = miner.last().time;
    let height = Height::new(2016);
    let time = parent_time - 601;
    let error = miner.validator.push(&mine(miner.draft(time)), None).unwrap_err();
    assert_eq!(error, HeaderError::TimeWarp { height, time, parent_time });
    assert_eq!(error.rule(), Rule::TimeWarp);
    miner.mine_at(parent_time - 600);
    // Only the first block of a period is bound; the median alone holds the others.
    miner.mine_at(miner.last().time - 601);
}

#[test]
fn elsewhere_a_period_may_start_as_early_as_the_median_allows() {
    let mut miner = one_period(easy_rules(), 2 * WEEK);
    miner.mine_at(miner.last().time - 601);
}
