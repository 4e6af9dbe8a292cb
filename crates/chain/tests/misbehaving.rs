//! Servers that lie, stall and break, on real sockets: each ends in an error that says which, and soon.
#![allow(clippy::unwrap_used, reason = "helpers of tests, outside #[test] functions")]

mod liar;

use std::time::{Duration, Instant};

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::constants::genesis_block;
use bitcoin::{Network, Txid};
use serde_json::{Value, json};
use tapstake_chain::{
    BitcoindConfig, ChainError, ChainSource, Electrum, ElectrumConfig, SourceConfig, connect, contained,
};
use tapstake_params::Height;

use liar::{Liar, Reply};

/// Two attempts, so that a test sees one retry without waiting for three.
fn patience(url: String) -> ElectrumConfig {
    ElectrumConfig { timeout_secs: 1, attempts: 2, ..ElectrumConfig::new(url) }
}

fn genesis_header() -> String {
    serialize_hex(&genesis_block(Network::Regtest).header)
}

/// An honest regtest server of one block, but for what `twist` answers.
fn server(mut twist: impl FnMut(&str, &Value) -> Option<Reply> + Send + 'static) -> Liar {
    Liar::start(move |method, params| {
        if let Some(reply) = twist(method, params) {
            return reply;
        }
        Reply::Result(match method {
            "server.version" => json!(["liar", "1.4"]),
            "blockchain.block.header" => json!(genesis_header()),
            "blockchain.headers.subscribe" => json!({ "height": 0, "hex": genesis_header() }),
            "blockchain.block.headers" => json!({ "count": 1, "hex": genesis_header(), "max": 2016 }),
            "blockchain.scripthash.get_history" => json!([]),
            _ => return Reply::Error(-32601, format!("unknown method {method}")),
        })
    })
}

fn connected(server: &Liar) -> Electrum {
    Electrum::connect(&patience(server.electrum_url()), Network::Regtest).unwrap()
}

#[track_caller]
fn misbehaves<T: std::fmt::Debug>(answer: Result<T, ChainError>, words: &str) {
    match answer {
        Err(ChainError::Misbehaving { what, .. }) => assert!(what.contains(words), "{what}"),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn unreachable<T: std::fmt::Debug>(answer: Result<T, ChainError>, words: &str) {
    match answer {
        Err(ChainError::Unreachable { reason, .. }) => assert!(reason.contains(words), "{reason}"),
        other => panic!("{other:?}"),
    }
}

/// A source whose server answers `method` with `reply`, and otherwise honestly.
fn with_reply(method: &'static str, reply: Reply) -> (Liar, Electrum) {
    let server = server(move |called, _| (called == method).then(|| reply.clone()));
    let source = connected(&server);
    (server, source)
}

#[test]
fn an_honest_server_of_one_block_is_understood() {
    let server = server(|_, _| None);
    let source = connected(&server);
    assert_eq!(source.network(), Network::Regtest);
    assert_eq!(source.tip().unwrap().hash, genesis_block(Network::Regtest).block_hash());
    assert_eq!(source.headers(Height::GENESIS, 10).unwrap(), [genesis_block(Network::Regtest).header]);
    assert_eq!(source.headers(Height::new(1), 10).unwrap(), []);
}

#[test]
fn a_server_of_another_network_is_refused() {
    let server = server(|_, _| None);
    let refusal = Electrum::connect(&patience(server.electrum_url()), Network::Bitcoin).err().unwrap();
    assert!(matches!(refusal, ChainError::WrongNetwork { .. }), "{refusal}");
    assert!(refusal.to_string().contains("is on another network"), "{refusal}");
}

#[test]
fn short_headers_are_refused() {
    let short = json!({ "count": 2, "hex": genesis_header(), "max": 2016 });
    let (_server, source) = with_reply("blockchain.block.headers", Reply::Result(short));
    misbehaves(source.headers(Height::GENESIS, 1), "1 headers where it says 2");

    let cut = json!({ "count": 1, "hex": &genesis_header()[..158], "max": 2016 });
    let (_server, source) = with_reply("blockchain.block.headers", Reply::Result(cut));
    misbehaves(source.headers(Height::GENESIS, 1), "158 digits of headers");

    let (_server, source) =
        with_reply("blockchain.block.headers", Reply::Result(json!({ "count": 0, "hex": "" })));
    misbehaves(source.headers(Height::GENESIS, 1), "no headers at height 0");

    let many = json!({ "count": 2, "headers": [genesis_header(), genesis_header()], "max": 2016 });
    let (_server, source) = with_reply("blockchain.block.headers", Reply::Result(many));
    misbehaves(source.headers(Height::GENESIS, 1), "2 headers");
}

#[test]
fn headers_that_do_not_link_are_refused() {
    let server = server(|method, _| match method {
        "blockchain.headers.subscribe" => {
            Some(Reply::Result(json!({ "height": 1, "hex": genesis_header() })))
        }
        "blockchain.block.headers" => {
            Some(Reply::Result(json!({ "count": 2, "headers": [genesis_header(), genesis_header()] })))
        }
        _ => None,
    });
    misbehaves(connected(&server).headers(Height::GENESIS, 2), "does not link");
}

#[test]
fn answers_that_are_not_the_protocol_are_refused() {
    for (raw, words) in [
        (&b"garbage\n"[..], "no JSON"),
        (b"\xff\xfe\x00\n", "no JSON"),
        (b"[1,2]\n", "no message"),
        (b"{\"id\":{},\"resu\n", "no JSON"),
    ] {
        let (_server, source) = with_reply("blockchain.headers.subscribe", Reply::Raw(raw.to_vec()));
        misbehaves(source.tip(), words);
    }
    for wrong in [json!(null), json!({ "height": -1, "hex": "" }), json!({ "height": 1e300 }), json!(["x"])] {
        let (_server, source) = with_reply("blockchain.headers.subscribe", Reply::Result(wrong));
        misbehaves(source.tip(), "");
    }
}

#[test]
fn deeply_nested_json_is_refused() {
    let mut nested = vec![b'['; 200_000];
    nested.push(b'\n');
    let (_server, source) = with_reply("blockchain.headers.subscribe", Reply::Raw(nested));
    misbehaves(source.tip(), "no JSON");
}

#[test]
fn a_line_without_end_is_refused_at_16_mib() {
    let (_server, source) =
        with_reply("blockchain.headers.subscribe", Reply::Raw(vec![b' '; (16 << 20) + 1]));
    misbehaves(source.tip(), "a line of more than 16777216 bytes");
}

#[test]
fn a_flood_of_notifications_is_refused() {
    let line = b"{\"method\":\"blockchain.headers.subscribe\",\"params\":[]}\n".repeat(1_001);
    let (_server, source) = with_reply("blockchain.headers.subscribe", Reply::Raw(line));
    misbehaves(source.tip(), "nobody asked for");
}

#[test]
fn a_connection_closed_within_a_line_is_tried_again() {
    let mut closed = false;
    let server = server(move |method, _| {
        if method == "blockchain.headers.subscribe" && !closed {
            closed = true;
            return Some(Reply::CloseAfter(b"{\"id\":1,\"resul".to_vec()));
        }
        None
    });
    let source = connected(&server);
    assert_eq!(source.tip().unwrap().height, Height::GENESIS);
    assert_eq!(server.connections(), 2);
}

#[test]
fn a_server_that_always_hangs_up_is_given_up() {
    let (server, source) = with_reply("blockchain.headers.subscribe", Reply::CloseAfter(Vec::new()));
    unreachable(source.tip(), "closed the connection");
    assert_eq!(server.connections(), 2);
}

#[test]
fn a_server_that_never_answers_is_given_up_in_time() {
    let (_server, source) = with_reply("blockchain.headers.subscribe", Reply::Nothing);
    let start = Instant::now();
    unreachable(source.tip(), "no complete answer in time");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn a_server_that_trickles_is_given_up_in_time() {
    let (_server, source) = with_reply("blockchain.headers.subscribe", Reply::Trickle);
    let start = Instant::now();
    unreachable(source.tip(), "no complete answer in time");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn nobody_listening_is_told_at_once() {
    let url = {
        let server = server(|_, _| None);
        server.electrum_url()
    };
    unreachable(Electrum::connect(&patience(url), Network::Regtest).map(drop), "refused");
}

#[test]
fn a_transaction_that_is_another_is_refused() {
    let asked: Txid = "22".repeat(32).parse().unwrap();
    let coinbase = serialize_hex(&genesis_block(Network::Regtest).txdata[0]);
    let (_server, source) = with_reply("blockchain.transaction.get", Reply::Result(json!(coinbase)));
    misbehaves(source.transaction(&asked), "asked for transaction 2222");
    let (_server, source) = with_reply("blockchain.transaction.get", Reply::Result(json!("0200zz")));
    misbehaves(source.transaction(&asked), "no transaction");
    let (_server, source) = with_reply("blockchain.transaction.get", Reply::Result(json!({ "a": 1 })));
    misbehaves(source.transaction(&asked), "no text");
}

#[test]
fn confirmations_with_a_wrong_branch_are_refused() {
    let coinbase = genesis_block(Network::Regtest).txdata[0].clone();
    let txid = coinbase.compute_txid();
    for (merkle, pos, words) in [
        (json!([]), 1, "does not exist in a tree of depth 0"),
        (json!(["33".repeat(32)]), 0, "leads to"),
        (json!(["33".repeat(32)]), 2, "does not exist in a tree of depth 1"),
        (json!(vec!["33".repeat(32); 16]), 0, "deeper than 15"),
        (json!([txid]), 1, "branch of transaction"),
        (json!(7), 0, "another form"),
    ] {
        let raw = serialize_hex(&coinbase);
        let server = server(move |method, _| {
            Some(Reply::Result(match method {
                "blockchain.transaction.get" => json!(raw),
                "blockchain.scripthash.get_history" => json!([{ "tx_hash": txid, "height": 9 }]),
                "blockchain.transaction.get_merkle" => {
                    json!({ "merkle": merkle, "pos": pos, "block_height": 9 })
                }
                "blockchain.transaction.id_from_pos" => json!({ "tx_hash": txid, "merkle": [] }),
                _ => return None,
            }))
        });
        let source = connected(&server);
        misbehaves(source.transaction(&txid), words);
        misbehaves(source.inclusion(&txid).map(drop), words);
    }
}

#[test]
fn a_refusal_of_the_server_keeps_its_words() {
    let (_server, source) =
        with_reply("blockchain.estimatefee", Reply::Error(-101, "excessive resource usage".into()));
    let refusal = source.fee_rate(6).unwrap_err();
    assert!(
        refusal
            .to_string()
            .ends_with("answered blockchain.estimatefee with error -101: excessive resource usage")
    );
}

#[test]
fn only_a_nodes_own_words_are_a_refusal_of_a_transaction() {
    let tx = genesis_block(Network::Regtest).txdata[0].clone();
    let told = |code: i64, words: &str, lookup: Reply| {
        let words = words.to_owned();
        let server = server(move |method, _| match method {
            "blockchain.transaction.broadcast" => Some(Reply::Error(code, words.clone())),
            "blockchain.transaction.get" => Some(lookup.clone()),
            _ => None,
        });
        connected(&server).broadcast(&tx).unwrap_err()
    };
    let unknown = || Reply::Error(2, "daemon error: No such mempool or blockchain transaction".into());
    let rejected = "the transaction was rejected by network rules.\n\nmin relay fee not met, 0 < 100\n[02]";
    let refusal = told(1, rejected, unknown());
    let ChainError::Rejected { reason, .. } = &refusal else { panic!("{refusal}") };
    assert_eq!(reason, "min relay fee not met, 0 < 100");

    for busy in ["excessive resource usage", "server busy - request timed out", "daemon is warming up"] {
        let refusal = told(-101, busy, unknown());
        assert!(matches!(refusal, ChainError::Server { code: -101, .. }), "{refusal}");
    }
    let gone = "the transaction was rejected by network rules.\n\nbad-txns-inputs-missingorspent\n[02]";
    let refusal = told(1, gone, Reply::Error(-101, "excessive resource usage".into()));
    assert!(matches!(refusal, ChainError::Server { code: 1, .. }), "nobody knows what spent them: {refusal}");
}

#[test]
fn a_panic_in_a_foreign_client_becomes_an_error() {
    use electrum_client::ElectrumApi as _;
    // One header where it says two: the crate's own decoder slices past the end.
    let short = json!({ "count": 2, "hex": genesis_header(), "max": 2016 });
    let (_server, source) = with_reply("blockchain.block.headers", Reply::Result(short));
    let client = source.bdk_client().unwrap();
    misbehaves(contained(source.url(), || client.block_headers(0, 2)).map(drop), "range end index 160");
    assert_eq!(contained(source.url(), || 7).unwrap(), 7);
}

#[test]
fn a_node_that_speaks_no_http_is_refused_and_a_silent_one_given_up() {
    let node = |reply: Reply| {
        let server = Liar::start_http(reply);
        let config = BitcoindConfig {
            timeout_secs: 1,
            attempts: 2,
            ..BitcoindConfig::with_password(server.http_url(), "u", "p")
        };
        connect(&SourceConfig::Bitcoind(config), Network::Regtest).map(drop)
    };
    misbehaves(node(Reply::Raw(b"SSH-2.0-OpenSSH_9.2 hello\r\n".to_vec())), "HTTP");
    misbehaves(node(Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\ngarbage".to_vec())), "");
    let other_call = br#"{"result":"x","error":null,"id":"?"}"#;
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", other_call.len());
    misbehaves(node(Reply::Raw([answer.as_bytes(), other_call].concat())), "answer to another call");
    unreachable(node(Reply::Nothing), "");
    unreachable(node(Reply::CloseAfter(Vec::new())), "");
    unreachable(node(Reply::Raw(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n".to_vec())), "busy");
    let refused = node(Reply::Raw(b"HTTP/1.1 401 Unauthorized\r\n\r\n".to_vec())).unwrap_err();
    assert!(matches!(refused, ChainError::Unauthorized { .. }), "{refused}");
}
