//! Fork choice, reorganisations, freezing.

use alloc::string::ToString;
use alloc::vec::Vec;

use bitcoin::block::Header;
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, Network, TxMerkleNode};
use tapstake_params::Height;

use crate::Rule;
use crate::headers::rules::Rules;
use crate::headers::testing::{Miner, easy_rules, mine};
use crate::headers::{Anchor, HeaderChain, HeaderError, HeaderValidator, Update};

fn hashes(headers: &[Header]) -> Vec<BlockHash> {
    headers.iter().map(Header::block_hash).collect()
}

/// Two chains that share their first 21 blocks (heights 0 to 20) and have `ours` and `theirs` more.
fn fork(ours: u32, theirs: u32) -> (Miner, Miner) {
    let mut miner = Miner::new(easy_rules());
    miner.mine_blocks(20, 600);
    let mut other = miner.clone();
    miner.mine_blocks(ours, 600);
    other.mine_blocks(theirs, 601);
    (miner, other)
}

#[test]
fn a_chain_knows_its_blocks_by_height_and_by_hash() {
    let mut miner = Miner::new(easy_rules());
    miner.mine_blocks(30, 600);
    let chain = miner.chain(6);
    for (height, header) in miner.headers.iter().enumerate() {
        let height = Height::new(height.try_into().unwrap());
        assert_eq!(chain.header_at(height), Some(header));
        assert_eq!(chain.hash_at(height), Some(header.block_hash()));
        assert_eq!(chain.height_of(header.block_hash()), Some(height));
    }
    assert_eq!(chain.tip(), (Height::new(30), miner.last().block_hash()));
    assert_eq!(chain.total_work(), miner.validator.total_work());
    assert_eq!(chain.hash_at(Height::new(31)), None);
    assert_eq!(chain.header_at(Height::new(31)), None);
    assert_eq!(chain.work_from(Height::new(31)), None);
    assert_eq!(chain.work_from(Height::GENESIS), Some(chain.total_work()));
    // The anchor's parent is named by the anchor, and is no block of the chain.
    assert!(!chain.contains(BlockHash::all_zeros()));
}

#[test]
fn a_chain_from_a_later_anchor_knows_nothing_below_it() {
    let mut miner = Miner::new(easy_rules());
    miner.mine_to(2020, 600);
    let work = miner.validator.total_work();
    let anchor =
        Anchor::with_rules(easy_rules(), Height::new(2016), miner.headers[2016], work, Vec::new()).unwrap();
    let mut chain = HeaderChain::new(anchor, 6);
    chain.extend(&miner.headers[2017..]).unwrap();
    assert_eq!(chain.hash_at(Height::new(2015)), None);
    assert_eq!(chain.hash_at(Height::new(2016)), Some(miner.headers[2016].block_hash()));
    assert!(!chain.contains(miner.headers[2015].block_hash()));
    let error = chain.extend(&miner.headers[2015..2016]).unwrap_err();
    assert!(matches!(error, HeaderError::UnknownParent { .. }));
}

#[test]
fn known_headers_are_passed_over() {
    let mut miner = Miner::new(easy_rules());
    miner.mine_blocks(10, 600);
    let mut chain = miner.chain(6);
    assert_eq!(chain.extend(&miner.headers), Ok(Update::Unchanged));
    assert_eq!(chain.extend(&miner.headers[3..7]), Ok(Update::Unchanged));
    assert_eq!(chain.extend(&[]), Ok(Update::Unchanged));
    miner.mine_blocks(2, 600);
    assert_eq!(chain.extend(&miner.headers[5..]), Ok(Update::Extended { connected: 2 }));
}

#[test]
fn a_bad_header_leaves_the_chain_as_it_was() {
    let mut miner = Miner::new(easy_rules());
    miner.mine_blocks(10, 600);
    let mut chain = miner.chain(6);
    let tip = chain.tip();
    miner.mine_blocks(3, 600);
    let mut headers = miner.headers[11..].to_vec();
    headers[2].time = 0;
    headers[2] = mine(headers[2]);
    assert_eq!(chain.extend(&headers).unwrap_err().rule(), Rule::MedianTime);
    assert_eq!(chain.tip(), tip);
    assert_eq!(chain.extend(&miner.headers[11..]), Ok(Update::Extended { connected: 3 }));
}

#[test]
fn headers_with_a_gap_are_refused() {
    let mut miner = Miner::new(easy_rules());
    miner.mine_blocks(10, 600);
    let mut chain = miner.chain(6);
    miner.mine_blocks(3, 600);
    let error = chain.extend(&miner.headers[12..]).unwrap_err();
    assert_eq!(error.rule(), Rule::Link);
    let parent = miner.headers[11].block_hash();
    let expected = "header follows ".to_string() + &parent.to_string();
    assert!(error.to_string().starts_with(&expected), "{error}");
}

#[test]
fn a_branch_of_equal_work_does_not_win_and_one_more_block_does() {
    let (miner, mut other) = fork(3, 3);
    let mut chain = miner.chain(6);
    assert_eq!(chain.extend(&other.headers[21..]), Ok(Update::Outweighed { fork: Height::new(20) }));
    assert_eq!(chain.tip().1, miner.last().block_hash());

    other.mine_blocks(1, 600);
    let update = chain.extend(&other.headers[21..]).unwrap();
    let disconnected = hashes(&miner.headers[21..]);
    assert_eq!(update, Update::Reorganised { fork: Height::new(20), disconnected, connected: 4 });
    assert_eq!(chain.tip(), (Height::new(24), other.last().block_hash()));
    assert_eq!(chain.total_work(), other.validator.total_work());
    assert!(!chain.contains(miner.headers[21].block_hash()));
    assert_eq!(chain.hash_at(Height::new(21)), Some(other.headers[21].block_hash()));
    other.mine_blocks(1, 600);
    assert_eq!(chain.extend(&other.headers[25..]), Ok(Update::Extended { connected: 1 }));
}

#[test]
fn a_branch_may_be_handed_in_with_blocks_below_the_fork() {
    let (miner, other) = fork(2, 3);
    let mut chain = miner.chain(6);
    let update = chain.extend(&other.headers).unwrap();
    assert!(matches!(update, Update::Reorganised { connected: 3, .. }));
}

#[test]
fn a_branch_with_a_bad_header_does_not_win_whatever_its_length() {
    let (miner, other) = fork(2, 6);
    let mut chain = miner.chain(6);
    let mut branch = other.headers[21..].to_vec();
    branch[5].time = 0;
    branch[5] = mine(branch[5]);
    assert!(chain.extend(&branch).is_err());
    assert_eq!(chain.tip().1, miner.last().block_hash());
    assert!(chain.extend(&branch[..5]).is_ok());
}

#[test]
fn work_decides_and_not_length() {
    // Both branches leave the last block of a period out; theirs ends it early and so gets the
    // harder target: two of its blocks outweigh four of ours.
    let mut miner = Miner::new(easy_rules());
    miner.mine_to(2014, 300);
    let mut other = miner.clone();
    miner.mine_at(miner.last().time + 14 * 24 * 3600);
    miner.mine_blocks(4, 600);
    other.mine_at(other.last().time + 60);
    other.mine_blocks(3, 600);
    assert!(other.headers.len() < miner.headers.len());
    let mut chain = miner.chain(6);
    let update = chain.extend(&other.headers[2015..]).unwrap();
    assert!(matches!(update, Update::Reorganised { connected: 4, .. }), "{update:?}");
    // The longer one has less work and does not win it back.
    let update = chain.extend(&miner.headers[2015..]).unwrap();
    assert_eq!(update, Update::Outweighed { fork: Height::new(2014) });
}

#[test]
fn a_reorganisation_deeper_than_allowed_freezes_the_chain_until_a_person_decides() {
    let (mut miner, other) = fork(7, 8);
    let mut chain = miner.chain(6);
    let error = chain.extend(&other.headers[21..]).unwrap_err();
    let HeaderError::Frozen(reorganisation) = &error else { panic!("{error}") };
    assert_eq!((reorganisation.fork, reorganisation.depth), (Height::new(20), 7));
    assert_eq!(error.rule(), Rule::ReorganisationDepth);
    assert_eq!(chain.tip().1, miner.last().block_hash());

    // Nothing moves it now, not even honest growth.
    miner.mine_blocks(3, 600);
    assert_eq!(chain.extend(&miner.headers[28..]), Err(error.clone()));
    assert_eq!(chain.extend(&[]), Err(error.clone()));
    assert_eq!(chain.frozen(), Some(reorganisation));

    // A person who does not accept the branch: the chain grows on.
    let mut staying = chain.clone();
    staying.unfreeze(6);
    assert_eq!(staying.extend(&miner.headers[28..]), Ok(Update::Extended { connected: 3 }));
    // A person who does: the branch is followed.
    chain.unfreeze(7);
    assert!(matches!(chain.extend(&other.headers[21..]), Ok(Update::Reorganised { .. })));
    assert_eq!(chain.frozen(), None);
}

#[test]
fn a_deep_branch_with_less_work_freezes_nothing() {
    let (miner, other) = fork(8, 7);
    let mut chain = miner.chain(6);
    assert_eq!(chain.extend(&other.headers[21..]), Ok(Update::Outweighed { fork: Height::new(20) }));
    assert_eq!(chain.frozen(), None);
}

#[test]
fn a_chain_with_a_clock_refuses_headers_from_the_future() {
    let mut miner = Miner::new(easy_rules());
    miner.mine_blocks(10, 600);
    let mut chain = miner.chain(6);
    miner.mine_at(miner.last().time + 7201);
    let now = miner.headers[10].time;
    let error = chain.extend_at(&miner.headers[11..], now).unwrap_err();
    assert_eq!(error.rule(), Rule::FutureTime);
    assert!(chain.extend_at(&miner.headers[11..], now + 1).is_ok());
}

#[test]
fn another_networks_headers_do_not_connect() {
    let mut miner = Miner::new(easy_rules());
    miner.mine_blocks(1, 600);
    let mut chain = HeaderChain::new(Anchor::genesis(Network::Regtest), 6);
    assert!(matches!(chain.extend(&miner.headers), Err(HeaderError::UnknownParent { .. })));
}

#[test]
fn a_rewound_validator_goes_on_as_if_it_had_never_been_further() {
    let rules = Rules { min_difficulty: true, bip94: true, ..easy_rules() };
    let mut miner = Miner::new(rules);
    // Late blocks here and there, so that real and least difficulties mix.
    for height in 1..4100 {
        let late = height % 7 == 3 || (height % 2016) > 2010;
        miner.mine_at(miner.last().time + if late { 1300 } else { 100 });
    }
    let mut keeps: Vec<usize> = (1..30).chain([2015, 2016, 2017, 2018, 2030, 4031, 4032, 4033]).collect();
    keeps.extend(miner.headers.len() - 12..=miner.headers.len());
    for keep in keeps {
        let mut rewound = miner.validator.clone();
        rewound.rewind(&miner.anchor, &miner.headers, keep);
        let mut straight = HeaderValidator::new(&miner.anchor);
        for header in &miner.headers[1..keep] {
            straight.push(header, None).unwrap();
        }
        assert_eq!((rewound.height(), rewound.hash()), (straight.height(), straight.hash()));
        assert_eq!(rewound.total_work(), straight.total_work());
        for header in miner.headers[keep..].iter().take(2100) {
            assert_eq!(rewound.push(header, None), straight.push(header, None), "kept {keep}");
        }
        // Not only what is valid: both refuse a time at the median, for they have the same one.
        let probe = Miner { validator: rewound, ..miner.clone() };
        let mut draft = probe.draft(1);
        draft.merkle_root = TxMerkleNode::all_zeros();
        let refused = (probe.validator.clone().push(&mine(draft), None), straight.push(&mine(draft), None));
        assert!(refused.0.is_err());
        assert_eq!(refused.0, refused.1);
    }
}
