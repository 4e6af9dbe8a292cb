use alloc::vec::Vec;

use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash;
use bitcoin::{Network, TxMerkleNode};
use tapstake_params::Height;

use crate::Rule;
use crate::headers::testing::mine;
use crate::headers::{AnchorError, HeaderError, verify_headers};

fn regtest_headers(count: u32) -> Vec<Header> {
    let mut headers = alloc::vec![bitcoin::constants::genesis_block(Network::Regtest).header];
    while headers.len() < count as usize {
        let last = headers.last().unwrap();
        headers.push(mine(Header {
            version: Version::from_consensus(4),
            prev_blockhash: last.block_hash(),
            merkle_root: TxMerkleNode::from_byte_array([1; 32]),
            time: last.time + 600,
            bits: last.bits,
            nonce: 0,
        }));
    }
    headers
}

fn raw(headers: &[Header]) -> impl Iterator<Item = [u8; 80]> {
    headers.iter().map(|header| bitcoin::consensus::serialize(header).try_into().unwrap())
}

#[test]
fn a_file_from_the_genesis_block_on_is_fully_checked() {
    let headers = regtest_headers(30);
    let summary = verify_headers(Network::Regtest, Height::GENESIS, raw(&headers), None).unwrap();
    assert_eq!((summary.count, summary.tip_height), (30, Height::new(29)));
    assert_eq!(summary.tip_hash, headers[29].block_hash());
    assert_eq!(summary.work.to_be_bytes()[31], 60, "two hashes a block at this difficulty");
    assert!(summary.from_genesis);
    assert_eq!(summary.median_time_from, Height::new(1));
}

#[test]
fn a_file_from_the_middle_says_from_where_the_median_time_was_checked() {
    let headers = regtest_headers(30);
    let summary = verify_headers(Network::Regtest, Height::new(5), raw(&headers[5..]), None).unwrap();
    assert!(!summary.from_genesis);
    assert_eq!(summary.median_time_from, Height::new(16));
    assert_eq!(summary.work.to_be_bytes()[31], 50);
}

#[test]
fn the_first_bad_header_is_named_with_its_rule() {
    let mut headers = regtest_headers(30);
    headers[17].prev_blockhash = headers[15].block_hash();
    let error = verify_headers(Network::Regtest, Height::GENESIS, raw(&headers), None).unwrap_err();
    assert!(matches!(error, HeaderError::Link { height, .. } if height == Height::new(17)));
}

#[test]
fn a_start_off_the_retarget_boundaries_is_an_error_and_not_a_rule_left_out() {
    let genesis = bitcoin::constants::genesis_block(Network::Bitcoin).header;
    let error = verify_headers(Network::Bitcoin, Height::new(2000), raw(&[genesis]), None).unwrap_err();
    assert!(matches!(error, HeaderError::Anchor(AnchorError::NotABoundary { .. })));
    assert_eq!(error.rule(), Rule::Anchor);
    assert!(verify_headers(Network::Bitcoin, Height::new(2016), raw(&[genesis]), None).is_ok());
}

#[test]
fn an_empty_file_is_no_valid_chain() {
    assert_eq!(verify_headers(Network::Bitcoin, Height::GENESIS, [], None), Err(HeaderError::Empty));
}
