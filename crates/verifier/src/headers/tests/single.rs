//! Each rule that a single header can break, broken alone.

use alloc::string::ToString;
use alloc::vec::Vec;

use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, CompactTarget, Network, Work};
use tapstake_params::Height;

use crate::Rule;
use crate::headers::testing::{Miner, START, easy_rules, mine, mine_too_little, rules_with_limit};
use crate::headers::validator::{from_bytes, hash};
use crate::headers::{Anchor, AnchorError, HeaderError, HeaderValidator};

fn twelve_blocks() -> Miner {
    let mut miner = Miner::new(easy_rules());
    miner.mine_blocks(11, 600);
    miner
}

#[test]
fn a_header_that_follows_another_block_is_refused() {
    let mut miner = twelve_blocks();
    let mut header = miner.draft(miner.last().time + 600);
    header.prev_blockhash = miner.headers[10].block_hash();
    let error = miner.validator.push(&mine(header), None).unwrap_err();
    let (expected, found) = (miner.validator.hash(), header.prev_blockhash);
    assert_eq!(error, HeaderError::Link { height: Height::new(12), expected, found });
    assert_eq!(error.rule(), Rule::Link);
}

#[test]
fn a_header_above_its_target_is_refused() {
    let rules = rules_with_limit(CompactTarget::from_consensus(0x203f_ffff));
    let mut miner = Miner::new(rules);
    let easier = CompactTarget::from_consensus(0x207f_ffff);
    let header = mine_too_little(miner.draft(START + 600), easier);
    let error = miner.validator.push(&header, None).unwrap_err();
    let (hash, bits) = (header.block_hash(), header.bits);
    assert_eq!(error, HeaderError::ProofOfWork { height: Height::new(1), hash, bits });
    assert_eq!(error.rule(), Rule::ProofOfWork);
}

#[test]
fn bits_other_than_the_periods_are_refused_even_when_harder() {
    let mut miner = twelve_blocks();
    for bits in [0x203f_ffff, 0x2100_7fff, 0x207f_fffe] {
        let mut header = miner.draft(miner.last().time + 600);
        header.bits = CompactTarget::from_consensus(bits);
        if bits != 0x2100_7fff {
            header = mine(header);
        }
        let error = miner.validator.push(&header, None).unwrap_err();
        let (expected, found) = (CompactTarget::from_consensus(0x207f_ffff), header.bits);
        assert_eq!(error, HeaderError::Bits { height: Height::new(12), expected, found, rule: Rule::Bits });
    }
}

#[test]
fn a_time_at_the_median_is_refused_and_one_second_later_is_fine() {
    let mut miner = twelve_blocks();
    // The last 11 of 12 blocks: 1 to 11, of which the middle one is 6.
    let median = miner.headers[6].time;
    let error = miner.validator.push(&mine(miner.draft(median)), None).unwrap_err();
    assert_eq!(error, HeaderError::MedianTime { height: Height::new(12), time: median, median });
    assert_eq!(error.rule(), Rule::MedianTime);
    miner.mine_at(median + 1);
}

#[test]
fn below_height_11_the_median_is_that_of_the_blocks_there_are() {
    let mut miner = Miner::new(easy_rules());
    let error = miner.validator.push(&mine(miner.draft(START)), None).unwrap_err();
    assert_eq!(error, HeaderError::MedianTime { height: Height::new(1), time: START, median: START });
    miner.mine_at(START + 1);
}

#[test]
fn two_hours_ahead_of_the_clock_is_fine_and_a_second_more_is_refused() {
    let mut miner = twelve_blocks();
    let now = miner.last().time;
    let header = mine(miner.draft(now + 7201));
    let error = miner.validator.push(&header, Some(now)).unwrap_err();
    assert_eq!(error, HeaderError::FutureTime { height: Height::new(12), time: now + 7201, now });
    assert_eq!(error.rule(), Rule::FutureTime);
    assert!(miner.validator.clone().push(&header, None).is_ok(), "without a clock there is no such rule");
    assert!(miner.validator.push(&mine(miner.draft(now + 7200)), Some(now)).is_ok());
}

#[test]
fn a_refused_header_changes_nothing() {
    let mut miner = twelve_blocks();
    let time = miner.last().time + 600;
    let mut bad = miner.draft(time);
    bad.bits = CompactTarget::from_consensus(0x203f_ffff);
    assert!(miner.validator.push(&mine(bad), None).is_err());
    let work = miner.validator.total_work();
    miner.mine_at(time);
    assert!(miner.validator.total_work() > work);
}

#[test]
fn every_changed_bit_of_a_header_breaks_the_chain() {
    let mut miner = twelve_blocks();
    let before = miner.validator.clone();
    let header = miner.mine_at(miner.last().time + 600);
    let next = miner.mine_at(miner.last().time + 600);
    let raw: [u8; 80] = bitcoin::consensus::serialize(&header).try_into().unwrap();
    for bit in 0..640 {
        let mut changed = raw;
        changed[bit / 8] ^= 1 << (bit % 8);
        let mut validator = before.clone();
        // At this difficulty every second change still meets the target; the next header tells.
        let result = validator.push_raw(&changed, None).and_then(|_| validator.push(&next, None));
        assert!(result.is_err(), "bit {bit}");
    }
}

#[test]
fn raw_headers_and_decoded_ones_hash_alike() {
    let genesis = bitcoin::constants::genesis_block(Network::Bitcoin).header;
    let raw: [u8; 80] = bitcoin::consensus::serialize(&genesis).try_into().unwrap();
    assert_eq!(from_bytes(&raw), genesis);
    assert_eq!(hash(&raw), genesis.block_hash());
    assert_eq!(crate::headers::validator::to_bytes(&genesis), raw);
}

#[test]
fn the_first_two_blocks_of_mainnet_are_taken() {
    // Block 1, as every node has it.
    let block_1 = concat!(
        "010000006fe28c0ab6f1b372c1a6a246ae63f74f931e8365e15a089c68d6190000000000",
        "982051fd1e4ba744bbbe680e1fee14677ba1a3c3540bf7b1cdb606e857233e0e",
        "61bc6649ffff001d01e36299"
    );
    let header = bitcoin::consensus::encode::deserialize_hex(block_1).unwrap();
    let mut validator = HeaderValidator::new(&Anchor::genesis(Network::Bitcoin));
    let hash = validator.push(&header, None).unwrap();
    assert_eq!(hash.to_string(), "00000000839a8e6886ab5951d76f411475428afc90947ee320161bbf18eb6048");
    let mut total = [0; 32];
    total[27..].copy_from_slice(&[2, 0, 2, 0, 2]);
    assert_eq!(validator.total_work(), Work::from_be_bytes(total));
}

#[test]
fn every_network_starts_from_its_own_genesis_block() {
    for network in [Network::Bitcoin, Network::Testnet, Network::Testnet4, Network::Signet, Network::Regtest]
    {
        let built_in = Anchor::genesis(network);
        let (header, work) = (*built_in.header(), built_in.total_work());
        let given = Anchor::new(network, Height::GENESIS, header, work, Vec::new());
        assert_eq!(given.as_ref(), Ok(&built_in), "{network}");
    }
}

#[test]
fn anchors_that_rules_cannot_start_from_are_refused() {
    let rules = easy_rules();
    let miner = twelve_blocks();
    let (header, work) = (*miner.last(), miner.validator.total_work());
    let anchor = |height, header, times: usize| {
        Anchor::with_rules(rules, Height::new(height), header, work, alloc::vec![START; times])
    };
    assert!(anchor(2016, header, 0).is_ok());
    assert!(anchor(2016, header, 10).is_ok());
    assert_eq!(
        anchor(2017, header, 10),
        Err(AnchorError::NotABoundary { height: Height::new(2017), network: Network::Bitcoin })
    );
    assert_eq!(
        anchor(2016, header, 9),
        Err(AnchorError::PreviousTimes { height: Height::new(2016), expected: 10, found: 9 })
    );
    assert_eq!(
        anchor(0, header, 0),
        Err(AnchorError::NotGenesis {
            expected: rules.genesis,
            found: header.block_hash(),
            network: Network::Bitcoin
        })
    );
    assert!(matches!(anchor(2016 << 17, header, 0), Err(AnchorError::Height { .. })));

    let mut impossible = header;
    impossible.bits = CompactTarget::from_consensus(0xff7f_ffff);
    let error = anchor(2016, impossible, 0).unwrap_err();
    assert_eq!(error.to_string(), "anchor bits 0xff7fffff cannot occur on bitcoin");

    let mut harder = header;
    harder.bits = CompactTarget::from_consensus(0x1d00_ffff);
    let unmined = anchor(2016, harder, 0);
    assert!(matches!(unmined, Err(AnchorError::ProofOfWork { .. })));
    assert_eq!(HeaderError::from(unmined.unwrap_err()).rule(), Rule::Anchor);
}

#[test]
fn regtest_starts_anywhere_but_only_at_its_one_difficulty() {
    let rules = crate::headers::rules::Rules::new(Network::Regtest);
    let mut header = *twelve_blocks().last();
    header.prev_blockhash = BlockHash::all_zeros();
    let anchor = |header| {
        Anchor::with_rules(
            rules,
            Height::new(777),
            header,
            Anchor::genesis(Network::Regtest).total_work(),
            Vec::new(),
        )
    };
    assert!(anchor(mine(header)).is_ok());
    header.bits = CompactTarget::from_consensus(0x203f_ffff);
    assert!(matches!(anchor(mine(header)), Err(AnchorError::Bits { .. })));
}

#[test]
fn an_anchor_with_earlier_times_has_the_median_rule_at_once() {
    let rules = easy_rules();
    let header = *twelve_blocks().last();
    let work = Anchor::genesis(Network::Bitcoin).total_work();
    let later: Vec<u32> = (1..=10).map(|minutes| header.time + 60 * minutes).collect();
    let anchor = |times| Anchor::with_rules(rules, Height::new(2016), header, work, times).unwrap();

    let known = anchor(later.clone());
    assert_eq!(known.median_time_from(), Height::new(2017));
    let next =
        |time| mine(bitcoin::block::Header { prev_blockhash: header.block_hash(), time, nonce: 0, ..header });
    // The anchor's own time is the least of the eleven: the median is the fifth of the later ones.
    let error = HeaderValidator::new(&known).push(&next(later[4]), None).unwrap_err();
    assert_eq!(
        error,
        HeaderError::MedianTime { height: Height::new(2017), time: later[4], median: later[4] }
    );
    assert!(HeaderValidator::new(&known).push(&next(later[4] + 1), None).is_ok());
    assert!(HeaderValidator::new(&anchor(Vec::new())).push(&next(later[4]), None).is_ok());
}

#[test]
fn an_anchor_without_earlier_times_has_the_median_rule_from_the_eleventh_header_on() {
    let mut miner = twelve_blocks();
    let rules = easy_rules();
    let work = miner.validator.total_work();
    let anchor = Anchor::with_rules(rules, Height::new(2016), *miner.last(), work, Vec::new()).unwrap();
    assert_eq!(anchor.median_time_from(), Height::new(2027));
    miner.validator = HeaderValidator::new(&anchor);
    let time = miner.last().time;
    // Falling times would break the rule if it held; there is nothing yet to compute it from.
    for back in 1..=10 {
        miner.mine_at(time - back);
    }
    let error = miner.validator.push(&mine(miner.draft(time - 11)), None).unwrap_err();
    let median = time - 5;
    assert_eq!(error, HeaderError::MedianTime { height: Height::new(2027), time: time - 11, median });
}
