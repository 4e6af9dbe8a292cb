//! Servers that answer what no server should: the wallet gets an error, never a panic, and keeps what it had.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use bitcoin::Network;
use bitcoin::consensus::encode::serialize_hex;
use bitcoin::constants::genesis_block;
use common::Staker;
use tapstake_chain::{Electrum, ElectrumConfig};
use tapstake_wallet::Scan;

/// An Electrum server that is right about versions and the genesis block, and answers all else with `answer`.
fn serve(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("tcp://{}", listener.local_addr().unwrap());
    let genesis = serialize_hex(&genesis_block(Network::Regtest).header);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // The client tries again on a second connection while the first is open.
            let genesis = genesis.clone();
            thread::spawn(move || converse(stream, &genesis, answer));
        }
    });
    url
}

fn converse(mut stream: TcpStream, genesis: &str, answer: &str) {
    let reader = BufReader::new(stream.try_clone().unwrap());
    for line in reader.lines().map_while(Result::ok) {
        let field = |name: &str| {
            let start = line.find(&format!("\"{name}\":")).unwrap() + name.len() + 3;
            line[start..].split([',', '}']).next().unwrap().trim_matches('"').to_owned()
        };
        let result = match field("method").as_str() {
            "server.version" => r#"["hostile","1.4"]"#.to_owned(),
            "blockchain.block.header" => format!("\"{genesis}\""),
            "blockchain.headers.subscribe" => format!(r#"{{"height":100,"hex":"{genesis}"}}"#),
            _ => answer.to_owned(),
        };
        let reply = format!("{{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":{result}}}\n", field("id"));
        if stream.write_all(reply.as_bytes()).is_err() {
            return;
        }
    }
}

#[test]
fn bad_answers_are_errors_and_the_wallet_stays_usable() {
    let answers = [
        // Fewer bytes than the count promises.
        r#"{"count":8,"max":2016,"hex":"00"}"#,
        r#"{"count":8,"max":2016,"hex":""}"#,
        r#"{"count":18446744073709551615,"max":2016,"hex":""}"#,
        r#"{"count":2,"max":2016,"headers":["00","11"]}"#,
        r#"{"count":0,"max":0,"headers":[]}"#,
        "null",
        "[]",
        "\"\"",
        "-1",
    ];
    let mut staker = Staker::new(Network::Regtest);
    for answer in answers {
        let config = ElectrumConfig { timeout_secs: 2, attempts: 1, ..ElectrumConfig::new(serve(answer)) };
        let client = Electrum::connect(&config, Network::Regtest).unwrap();
        let result = staker.wallet.sync_electrum(&client, Scan::Auto);
        assert!(result.is_err(), "{answer}: {result:?}");
    }
    assert_eq!(staker.wallet.height(), 0);
    assert!(staker.wallet.next_unused_address().is_ok());
    assert!(staker.restart().wallet.coins().is_empty());
}
