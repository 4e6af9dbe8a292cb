//! `tapstake headers verify`

use crate::block::CHAIN;
use crate::support::{TempFile, assert_fields, json, refused};

/// Blocks 0, 1 and 2 of mainnet.
const MAINNET: [&str; 3] = [
    "0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c",
    "010000006fe28c0ab6f1b372c1a6a246ae63f74f931e8365e15a089c68d6190000000000982051fd1e4ba744bbbe680e1fee14677ba1a3c3540bf7b1cdb606e857233e0e61bc6649ffff001d01e36299",
    "010000004860eb18bf1b1620e37e9490fc8a427514416fd75159ab86688e9a8300000000d5fdcc541e25de1c7a5addedf24858b8bb665c9f36ef744ee42c316022c90f9bb0bc6649ffff001d08d2bd61",
];

#[test]
fn the_first_headers_of_mainnet_are_valid() {
    let file = TempFile::new(MAINNET.join("\n").as_bytes());
    let report = json(&format!("headers verify {} --network mainnet --start-height 0", file.path()));
    let fields =
        ["network", "count", "start_height", "tip", "tip_height", "work", "from_genesis", "median_time_from"];
    assert_fields(&report, &fields);
    assert_eq!(report["count"], 3);
    assert_eq!(report["tip"], "000000006a625f06636b8bb6ac7b960a8d03705d1ace08b1a19da3fdcc99ddbd");
    // Three times 0x100010001.
    assert_eq!(report["work"], format!("{:064x}", 3u64 * 0x1_0001_0001));
}

#[test]
fn the_first_bad_header_is_named_with_its_rule() {
    let headers = CHAIN.headers(0);
    let line = |file: &TempFile, start| {
        format!("headers verify {} --network regtest --start-height {start}", file.path())
    };
    let good = TempFile::new(&headers);
    assert_eq!(json(&line(&good, 0))["tip_height"], 15);

    let verdict = |rule, byte: usize, value: u8| {
        let mut forged = headers.clone();
        forged[7 * 80 + byte] = value;
        let error = crate::support::error(&line(&TempFile::new(&forged), 0), 3);
        assert_eq!((error["rule"].as_str().unwrap(), error["height"].as_u64().unwrap()), rule, "{error}");
    };
    verdict(("header-link", 7), 10, headers[7 * 80 + 10] ^ 1);
    verdict(("bits", 7), 74, 0x7e);
    refused(&line(&TempFile::new(&headers[80..]), 0), 3, "anchor");
    refused(&line(&TempFile::new(&[&headers[..160], &headers[240..]].concat()), 0), 3, "header-link");
}

#[test]
fn a_header_without_work_is_refused() {
    // Some nonce fails; the first that does is as good as any.
    let headers = CHAIN.headers(0);
    let line = |file: &TempFile| format!("headers verify {} --network regtest --start-height 0", file.path());
    let found = (0..64u8).any(|nonce| {
        let mut forged = headers[..160].to_vec();
        forged[156] = nonce;
        let file = TempFile::new(&forged);
        let output = crate::support::run(&format!("{} --json", line(&file)));
        output.status.code() == Some(3)
            && String::from_utf8_lossy(&output.stdout).contains("\"proof-of-work\"")
    });
    assert!(found);
}

#[test]
fn a_start_that_is_no_retarget_boundary_is_refused_where_there_are_any() {
    let file = TempFile::new(MAINNET[1].as_bytes());
    refused(&format!("headers verify {} --network mainnet --start-height 1", file.path()), 3, "anchor");
    let file = TempFile::new(&CHAIN.headers(5));
    let report = json(&format!("headers verify {} --network regtest --start-height 5", file.path()));
    assert_eq!(report["from_genesis"], false);
}

#[test]
fn files_that_are_cut_off_are_refused() {
    let headers = CHAIN.headers(0);
    for bytes in [&headers[..headers.len() - 1], &headers[..79], b""] {
        let file = TempFile::new(bytes);
        refused(&format!("headers verify {} --network regtest --start-height 0", file.path()), 1, "file");
    }
    crate::support::error("headers verify there-is-no-such-file --start-height 0", 1);
}
