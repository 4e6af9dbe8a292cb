//! The demo on a real bitcoind, seen by itself and through a real ElectrumX.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

mod common;

use tapstake_regtest::{Bitcoind, ElectrumX};
use tapstake_tests::Cli;

#[test]
fn the_demo_tells_the_same_story_on_bitcoind() {
    let node = Bitcoind::start().unwrap();
    let cookie = node.cookie_file();
    let demo = ["demo", "--source", &node.rpc_url(), "--cookie-file", cookie.to_str().unwrap()];
    let document = Cli::new("regtest").run(&demo).ok();
    assert_eq!(document["chain"], "a bitcoind on regtest");
    common::check_demo(&document);
    assert_eq!(document["summary"]["tip"], node.height().unwrap());
}

#[test]
fn the_demo_tells_the_same_story_through_electrumx() {
    let node = Bitcoind::start().unwrap();
    let server = ElectrumX::start(&node).unwrap();
    let (cookie, electrum) = (node.cookie_file(), server.url());
    let source = ["--source", &node.rpc_url(), "--cookie-file", cookie.to_str().unwrap()];
    let document =
        Cli::new("regtest").run(&[&["demo"], &source[..], &["--electrum", &electrum]].concat()).ok();
    assert_eq!(document["chain"], "an Electrum server beside a bitcoind on regtest");
    common::check_demo(&document);
}
