//! The Electrum server, asked by the client that wallets use, and by hand.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![allow(clippy::needless_pass_by_value, reason = "parameters are written where they are used")]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::hashes::{Hash, sha256, sha256d};
use bitcoin::{Amount, OutPoint, Script, ScriptBuf, Transaction, Txid};
use electrum_client::{Batch, Client, ElectrumApi, Param};
use serde_json::{Value, json};
use support::{START, anyone, chain_of, reward, spend};
use tapstake_devnet::{Clock, Config, Devnet, ElectrumScriptHash, Error};

fn devnet(height: u32) -> Devnet {
    Devnet::with_chain(chain_of(height, START), Config::default().listen).unwrap()
}

fn client(devnet: &Devnet) -> Client {
    Client::new(&devnet.electrum_url()).unwrap()
}

/// A connection without a library, so that malformed lines can be sent.
struct Raw {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Raw {
    fn new(devnet: &Devnet) -> Self {
        let stream = TcpStream::connect(devnet.addr()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self { reader: BufReader::new(stream.try_clone().unwrap()), stream }
    }

    fn send(&mut self, line: &str) {
        self.stream.write_all(line.as_bytes()).unwrap();
        self.stream.write_all(b"\n").unwrap();
    }

    fn receive(&mut self) -> Value {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        self.send(&json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string());
        self.receive()
    }

    fn error(&mut self, method: &str, params: Value) -> i64 {
        self.call(method, params)["error"]["code"].as_i64().expect("an error")
    }
}

fn outpoint(tx: &Transaction, vout: u32) -> OutPoint {
    OutPoint { txid: tx.compute_txid(), vout }
}

/// A script that only this test pays to.
fn own_script() -> ScriptBuf {
    ScriptBuf::new_p2wsh(&ScriptBuf::from_bytes(vec![0x52]).wscript_hash())
}

fn pay_to(script: &Script, coin: OutPoint, value: u64) -> Transaction {
    let mut tx = spend(&[coin], &[value]);
    tx.output[0].script_pubkey = script.to_owned();
    tx
}

/// Folds a Merkle branch as `gettxoutproof` would.
fn fold(txid: Txid, branch: &[[u8; 32]], mut position: usize) -> sha256d::Hash {
    let mut node = txid.to_raw_hash();
    for sibling in branch {
        let mut sibling = *sibling;
        sibling.reverse();
        let pair = if position.is_multiple_of(2) {
            [node.to_byte_array(), sibling]
        } else {
            [sibling, node.to_byte_array()]
        };
        node = sha256d::Hash::hash(&pair.concat());
        position /= 2;
    }
    node
}

#[test]
fn server_calls_answer_like_a_server() {
    let devnet = devnet(1);
    let client = client(&devnet);
    assert_eq!(client.protocol_version().unwrap(), "1.6");
    let features = client.server_features().unwrap();
    assert_eq!(features.protocol_min, "1.4");
    assert_eq!(features.protocol_max, "1.6");
    assert_eq!(features.hash_function.as_deref(), Some("sha256"));
    let mut genesis = features.genesis_hash;
    genesis.reverse();
    assert_eq!(genesis, devnet.block(0).unwrap().block_hash().to_byte_array());
    client.ping().unwrap();
    let info = client.mempool_get_info().unwrap();
    assert!((info.minrelaytxfee - 0.000_001).abs() < 1e-12);
    assert!((client.estimate_fee(2, None).unwrap() + 1.0).abs() < f64::EPSILON);
    assert!(client.relay_fee().is_err(), "gone in protocol 1.6");
    let banner = client.raw_call("server.banner", Vec::<Param>::new()).unwrap();
    assert!(banner.as_str().is_some_and(|text| !text.is_empty()));
    assert_eq!(client.raw_call("server.donation_address", Vec::<Param>::new()).unwrap(), json!(""));
}

#[test]
fn headers_come_one_by_one_in_ranges_and_by_subscription() {
    let devnet = devnet(30);
    let client = client(&devnet);
    let tip = client.block_headers_subscribe().unwrap();
    assert_eq!(tip.height, 30);
    assert_eq!(tip.header.block_hash(), devnet.tip().hash);
    assert_eq!(client.block_header(7).unwrap(), devnet.block(7).unwrap().header);
    let headers = client.block_headers(20, 100).unwrap();
    assert_eq!((headers.count, headers.max, headers.headers.len()), (11, 2016, 11));
    assert_eq!(headers.headers[10].block_hash(), devnet.tip().hash);
    assert_eq!(client.block_headers(31, 5).unwrap().count, 0);
    assert!(client.block_header(31).is_err());

    let hash = devnet.mine(1).unwrap()[0];
    let news = poll(|| {
        client.ping().unwrap();
        client.block_headers_pop().unwrap()
    });
    assert_eq!((news.height, news.header.block_hash()), (31, hash));
    devnet.invalidate_block(&hash).unwrap();
    let news = poll(|| {
        client.ping().unwrap();
        client.block_headers_pop().unwrap()
    });
    assert_eq!((news.height, news.header.block_hash()), (30, tip.header.block_hash()));
}

fn poll<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "nothing came in time");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_script_is_followed_from_the_mempool_into_a_block_and_out_again() {
    let devnet = devnet(110);
    let client = client(&devnet);
    let script = own_script();
    assert_eq!(client.script_subscribe(&script).unwrap(), None);
    let (coin, value) = devnet.with(|chain| reward(chain, 1));
    let parent = spend(&[coin], &[value - 1_000]);
    let child = pay_to(&script, outpoint(&parent, 0), value - 2_000);
    assert_eq!(client.transaction_broadcast(&parent).unwrap(), parent.compute_txid());
    assert_eq!(client.transaction_broadcast(&child).unwrap(), child.compute_txid());
    assert_eq!(devnet.mempool(), [parent.compute_txid(), child.compute_txid()]);

    let history = client.script_get_history(&script).unwrap();
    assert_eq!((history.len(), history[0].height, history[0].fee), (1, -1, Some(1_000)));
    let balance = client.script_get_balance(&script).unwrap();
    assert_eq!((balance.confirmed, balance.unconfirmed), (0, i64::try_from(value).unwrap() - 2_000));
    let unspent = client.script_list_unspent(&script).unwrap();
    assert_eq!((unspent.len(), unspent[0].height, unspent[0].tx_hash), (1, 0, child.compute_txid()));
    let expected = sha256::Hash::hash(format!("{}:-1:", child.compute_txid()).as_bytes());
    let status = poll(|| {
        client.ping().unwrap();
        client.script_pop(&script).unwrap()
    });
    assert_eq!(*status, expected.to_byte_array());

    devnet.mine_to(1, &anyone()).unwrap();
    let expected = sha256::Hash::hash(format!("{}:111:", child.compute_txid()).as_bytes());
    let status = poll(|| {
        client.ping().unwrap();
        client.script_pop(&script).unwrap()
    });
    assert_eq!(*status, expected.to_byte_array());
    let history = client.script_get_history(&script).unwrap();
    assert_eq!((history[0].height, history[0].tx_hash, history[0].fee), (111, child.compute_txid(), None));
    let balance = client.script_get_balance(&script).unwrap();
    assert_eq!((balance.confirmed, balance.unconfirmed), (value - 2_000, 0));
    assert_eq!(client.script_list_unspent(&script).unwrap()[0].height, 111);
    assert!(client.script_unsubscribe(&script).unwrap());
    let again = client.raw_call(
        "blockchain.scripthash.unsubscribe",
        vec![Param::String(ElectrumScriptHash::of(&script).to_string())],
    );
    assert_eq!(again.unwrap(), json!(false));
}

#[test]
fn waiting_spends_lower_the_unconfirmed_balance() {
    let devnet = devnet(110);
    let client = client(&devnet);
    let (coin, value) = devnet.with(|chain| reward(chain, 1));
    let before = client.script_get_balance(&anyone()).unwrap();
    devnet.broadcast(&pay_to(&own_script(), coin, value - 1_000)).unwrap();
    let after = client.script_get_balance(&anyone()).unwrap();
    assert_eq!(after.confirmed, before.confirmed);
    assert_eq!(after.unconfirmed, -i64::try_from(value).unwrap());
    assert_eq!(client.script_list_unspent(&anyone()).unwrap().len(), 109);
    let mempool = Raw::new(&devnet)
        .call("blockchain.scripthash.get_mempool", json!([ElectrumScriptHash::of(&anyone()).to_string()]));
    assert_eq!(mempool["result"][0]["height"], 0);
}

#[test]
fn histories_are_in_blockchain_order() {
    let devnet = devnet(110);
    let client = client(&devnet);
    let history = client.script_get_history(&anyone()).unwrap();
    assert_eq!(history.len(), 110);
    assert!(history.iter().zip(1..).all(|(entry, height)| entry.height == height));
    let unspent = client.script_list_unspent(&anyone()).unwrap();
    assert!(unspent.iter().zip(1..).all(|(entry, height)| entry.height == height));
}

#[test]
fn transactions_and_their_branches_are_proven() {
    let devnet = devnet(115);
    let client = client(&devnet);
    let txs: Vec<Transaction> = (1..=6)
        .map(|height| {
            let (coin, value) = devnet.with(|chain| reward(chain, height));
            spend(&[coin], &[value - 1_000])
        })
        .collect();
    for tx in &txs {
        devnet.broadcast(tx).unwrap();
    }
    devnet.mine(1).unwrap();
    let root = devnet.block(116).unwrap().header.merkle_root.to_raw_hash();
    for tx in &txs {
        let txid = tx.compute_txid();
        assert_eq!(client.transaction_get(&txid).unwrap(), *tx);
        let proof = client.transaction_get_merkle(&txid, 116).unwrap();
        assert_eq!(proof.block_height, 116);
        assert_eq!(fold(txid, &proof.merkle, proof.pos), root);
        let at = client.txid_from_pos_with_merkle(116, proof.pos).unwrap();
        assert_eq!((at.tx_hash, &at.merkle), (txid, &proof.merkle));
        assert_eq!(client.txid_from_pos(116, proof.pos).unwrap(), txid);
    }
    assert!(client.transaction_get_merkle(&txs[0].compute_txid(), 115).is_err());
    assert!(client.txid_from_pos(116, 7).is_err());
    assert!(client.transaction_get(&Txid::all_zeros()).is_err());
    let verbose = Raw::new(&devnet)
        .call("blockchain.transaction.get", json!([txs[0].compute_txid().to_string(), true]));
    assert_eq!(verbose["result"]["confirmations"], 1);
    assert_eq!(verbose["result"]["blockhash"], devnet.tip().hash.to_string());
    assert_eq!(verbose["result"]["hex"], serialize_hex(&txs[0]));
}

#[test]
fn refused_broadcasts_say_why() {
    let devnet = devnet(105);
    let client = client(&devnet);
    let (coin, value) = devnet.with(|chain| reward(chain, 50));
    let error = client.transaction_broadcast(&spend(&[coin], &[value])).unwrap_err().to_string();
    assert!(error.contains("bad-txns-premature-spend-of-coinbase"), "{error}");
    let (coin, value) = devnet.with(|chain| reward(chain, 1));
    let mut burn = spend(&[coin], &[value - 1_000]);
    burn.output[0].script_pubkey = ScriptBuf::from_hex("6a07626162796c6f6e").unwrap();
    let error = client.transaction_broadcast(&burn).unwrap_err().to_string();
    assert!(error.contains("maxburnamount") && error.contains(&serialize_hex(&burn)), "{error}");
    devnet.broadcast_burning(&burn, Amount::from_sat(value)).unwrap();
}

#[test]
fn packages_are_broadcast_as_a_whole() {
    let devnet = devnet(110);
    let client = client(&devnet);
    let (coin, value) = devnet.with(|chain| reward(chain, 1));
    let parent = spend(&[coin], &[value]);
    let child = spend(&[outpoint(&parent, 0)], &[value - 2_000]);
    let poor = spend(&[outpoint(&parent, 0)], &[value - 1]);
    let refused = client.transaction_broadcast_package(&[parent.clone(), poor]).unwrap();
    assert!(!refused.success);
    assert!(refused.errors[0].error.starts_with("min relay fee not met"), "{:?}", refused.errors);
    let accepted = client.transaction_broadcast_package(&[parent, child]).unwrap();
    assert!(accepted.success && accepted.errors.is_empty());
    assert_eq!(devnet.mempool().len(), 2);
}

#[test]
fn batches_are_answered() {
    let devnet = devnet(12);
    let client = client(&devnet);
    let mut batch = Batch::default();
    batch.block_header(3);
    batch.estimate_fee(6, None);
    assert_eq!(client.batch_call(&batch).unwrap().len(), 2);
    let heights: Vec<u32> = (0..=12).collect();
    let headers = client.batch_block_header(&heights).unwrap();
    assert_eq!(headers[12].block_hash(), devnet.tip().hash);
    let mut raw = Raw::new(&devnet);
    raw.send(r#"[{"id":1,"method":"server.ping"},{"id":2,"method":"server.nothing"}]"#);
    let answers = raw.receive();
    assert_eq!(answers[0]["result"], Value::Null);
    assert_eq!(answers[1]["error"]["code"], -32601);
}

#[test]
fn checkpoints_prove_headers() {
    let devnet = devnet(12);
    let mut raw = Raw::new(&devnet);
    let proof = raw.call("blockchain.block.header", json!([5, 8]))["result"].clone();
    let branch: Vec<[u8; 32]> = proof["branch"]
        .as_array()
        .unwrap()
        .iter()
        .map(|hash| bitcoin::hex::FromHex::from_hex(hash.as_str().unwrap()).unwrap())
        .collect();
    let leaf = Txid::from_raw_hash(devnet.block(5).unwrap().block_hash().to_raw_hash());
    let root = fold(leaf, &branch, 5);
    assert_eq!(proof["root"], Txid::from_raw_hash(root).to_string());
    assert_eq!(proof["header"], serialize_hex(&devnet.block(5).unwrap().header));
    assert_eq!(raw.error("blockchain.block.header", json!([5, 4])), 1);
    assert_eq!(raw.error("blockchain.block.header", json!([5, 13])), 1);
    let headers =
        raw.call("blockchain.block.headers", json!({"start_height": 4, "count": 2, "cp_height": 8}));
    assert_eq!(headers["result"]["root"], proof["root"]);
    assert_eq!(headers["result"]["branch"], proof["branch"]);
}

#[test]
fn older_clients_get_the_older_protocol() {
    let devnet = devnet(3);
    let mut raw = Raw::new(&devnet);
    assert_eq!(raw.call("server.version", json!(["old", ["1.2", "1.4.2"]]))["result"][1], "1.4.2");
    let headers = raw.call("blockchain.block.headers", json!([0, 2]));
    assert_eq!(headers["result"]["hex"].as_str().unwrap().len(), 2 * 160);
    assert_eq!(raw.call("blockchain.relayfee", json!([]))["result"], 0.000_001);
    assert_eq!(raw.error("mempool.get_info", json!([])), -32601);
    assert_eq!(raw.error("server.version", json!(["old", "1.4"])), 1);

    for (asked, spoken) in [(json!("1.5"), "1.5"), (json!(["1.4", "9.9"]), "1.6"), (json!(null), "1.4")] {
        let answer = Raw::new(&devnet).call("server.version", json!(["test", asked, "more", {}]));
        assert_eq!(answer["result"][1], spoken);
    }
    for bad in [json!("1.3"), json!(["1.7", "2.0"]), json!(["1.6", "1.4"]), json!("x"), json!(7)] {
        let mut raw = Raw::new(&devnet);
        assert_eq!(raw.error("server.version", json!(["test", bad])), 1);
        assert_eq!(raw.reader.read(&mut [0]).unwrap(), 0, "the connection is closed");
    }
}

#[test]
fn malformed_requests_are_answered_and_the_server_lives_on() {
    let devnet = devnet(3);
    let mut raw = Raw::new(&devnet);
    raw.send("{not json");
    assert_eq!(raw.receive()["error"]["code"], -32700);
    raw.stream.write_all(b"\xff\xfe\n").unwrap();
    assert_eq!(raw.receive()["error"]["code"], -32700);
    for (method, params, code) in [
        ("no.such.method", json!([]), -32601),
        ("blockchain.scripthash.no_such", json!([]), -32601),
        ("server.ping", json!([1]), -32602),
        ("server.ping", json!("x"), -32602),
        ("blockchain.block.header", json!([]), -32602),
        ("blockchain.block.header", json!({"hight": 1}), -32602),
        ("blockchain.block.header", json!([-1]), 1),
        ("blockchain.block.header", json!([1.5]), 1),
        ("blockchain.block.header", json!([u64::MAX]), 1),
        ("blockchain.block.headers", json!([0, "x"]), 1),
        ("blockchain.scripthash.subscribe", json!(["00"]), 1),
        ("blockchain.scripthash.get_history", json!(["zz".repeat(32)]), 1),
        ("blockchain.scripthash.get_balance", json!([7]), 1),
        ("blockchain.transaction.get", json!(["00"]), 1),
        ("blockchain.transaction.get", json!(["00".repeat(32)]), 2),
        ("blockchain.transaction.get", json!(["00".repeat(32), "yes"]), 1),
        ("blockchain.transaction.get_merkle", json!(["00".repeat(32), 1]), 1),
        ("blockchain.transaction.id_from_pos", json!([u64::MAX, u64::MAX, true]), 1),
        ("blockchain.transaction.broadcast", json!(["0x00"]), 1),
        ("blockchain.transaction.broadcast", json!(["é".repeat(500)]), 1),
        ("blockchain.estimatefee", json!([1, "GUESS"]), 1),
    ] {
        assert_eq!(raw.error(method, params.clone()), code, "{method} {params}");
    }
    let far = raw.call("blockchain.block.headers", json!([u64::MAX, u64::MAX]));
    assert_eq!(far["result"]["count"], 0);
    let name = raw.call(&"é".repeat(1_000), json!([]));
    assert_eq!(name["error"]["code"], -32601);
    assert_eq!(raw.call("server.ping", json!([]))["result"], Value::Null);
}

#[test]
fn a_line_without_end_closes_the_connection() {
    let devnet = devnet(1);
    let mut raw = Raw::new(&devnet);
    let chunk = vec![b' '; 1_000_000];
    for _ in 0..5 {
        raw.stream.write_all(&chunk).unwrap();
    }
    assert_eq!(raw.receive()["error"]["code"], 1);
    assert_eq!(raw.reader.read(&mut [0]).unwrap_or(0), 0);
    client(&devnet).ping().unwrap();
}

#[test]
fn clients_beyond_the_limit_are_turned_away_until_others_leave() {
    let devnet = devnet(1);
    let mut clients: Vec<Raw> = (0..64).map(|_| Raw::new(&devnet)).collect();
    for raw in &mut clients {
        assert_eq!(raw.call("server.ping", json!([]))["result"], Value::Null);
    }
    let mut late = Raw::new(&devnet);
    // Whether the line still goes out depends on when the server hangs up.
    let _ = late.stream.write_all(b"{\"id\":1,\"method\":\"server.ping\"}\n");
    assert_eq!(late.reader.read(&mut [0]).unwrap_or(0), 0);
    clients.truncate(60);
    poll(|| {
        let mut raw = Raw::new(&devnet);
        raw.stream.write_all(b"{\"id\":1,\"method\":\"server.ping\"}\n").ok()?;
        let mut line = String::new();
        raw.reader.read_line(&mut line).ok().filter(|bytes| *bytes > 0)
    });
}

#[test]
fn the_server_is_gone_when_the_last_handle_is() {
    let devnet = devnet(2);
    let address = devnet.addr();
    let mut raw = Raw::new(&devnet);
    raw.call("blockchain.headers.subscribe", json!([]));
    let other = devnet.clone();
    drop(devnet);
    other.mine(1).unwrap();
    assert_eq!(raw.receive()["method"], "blockchain.headers.subscribe");
    other.set_automine(Some(Duration::from_secs(3_600))).unwrap();
    drop(other);
    assert_eq!(raw.reader.read(&mut [0]).unwrap_or(0), 0);
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn only_loopback_addresses_are_served() {
    let config = Config { clock: START, listen: "0.0.0.0:0".parse().unwrap() };
    assert!(matches!(Devnet::start(&config), Err(Error::NotLoopback { .. })));
    let devnet = devnet(0);
    let config = Config { clock: START, listen: devnet.addr() };
    assert!(matches!(Devnet::start(&config), Err(Error::Listen { .. })));
}

#[test]
fn blocks_come_by_themselves_on_a_timer() {
    let devnet = devnet(0);
    devnet.set_automine(Some(Duration::from_millis(5))).unwrap();
    poll(|| (devnet.tip().height >= 3).then_some(()));
    devnet.set_automine(None).unwrap();
    let height = devnet.tip().height;
    std::thread::sleep(Duration::from_millis(30));
    assert_eq!(devnet.tip().height, height);
}

#[test]
fn the_faucet_pays_from_the_first_moment_and_says_when_it_cannot() {
    let devnet = devnet(0);
    let script = own_script();
    let txid = devnet.fund(&script, Amount::from_sat(100_000)).unwrap();
    assert_eq!(devnet.tip().height, 100, "the first coinbase is mature in block 101");
    assert_eq!(devnet.transaction(&txid).unwrap().output[0].value.to_sat(), 100_000);
    // More payments than one cluster may have.
    for _ in 0..100 {
        devnet.fund(&script, Amount::from_sat(50_000)).unwrap();
    }
    devnet.mine(1).unwrap();
    let balance = client(&devnet).script_get_balance(&script).unwrap();
    assert_eq!(balance.confirmed, 100_000 + 100 * 50_000);
    devnet.fund(&script, Amount::from_sat(60 * 100_000_000)).unwrap();
    assert!(matches!(devnet.fund(&script, Amount::from_sat(1)), Err(Error::Accept(_))));
    let all = Amount::MAX_MONEY;
    assert!(matches!(devnet.fund(&script, all), Err(Error::FaucetEmpty { .. })));
    devnet.set_clock(Clock::System);
}
