//! The devnet's Electrum server beside a real ElectrumX on a real bitcoind with the same blocks and the
//! same mempool: the same questions get the same answers.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::hashes::Hash;
use bitcoin::{Amount, OutPoint, ScriptBuf, TxOut, Txid};
use serde_json::{Value, json};
use support::{anyone, chain_of, reward, spend};
use tapstake_devnet::{Chain, Clock, Config, Devnet, ElectrumScriptHash};
use tapstake_regtest::{Bitcoind, ElectrumX};

/// One connection that speaks JSON by hand.
struct Raw {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Raw {
    fn new(address: SocketAddr, protocol: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut raw = Self { reader: BufReader::new(stream.try_clone().unwrap()), stream };
        let version = raw.call("server.version", &json!(["test", protocol]));
        assert_eq!(version["result"][1], protocol, "{version}");
        raw
    }

    fn call(&mut self, method: &str, params: &Value) -> Value {
        let request = json!({"jsonrpc": "2.0", "id": 0, "method": method, "params": params});
        self.stream.write_all(format!("{request}\n").as_bytes()).unwrap();
        self.receive()
    }

    fn receive(&mut self) -> Value {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// Asks many questions without waiting in between: ElectrumX holds small answers back for up to a
    /// second. Of errors only the code is returned: their words are each server's own.
    fn ask(&mut self, questions: &[Question]) -> Vec<Result<Value, Value>> {
        let mut answers = Vec::new();
        for portion in questions.chunks(100) {
            let mut lines = String::new();
            for (id, (method, params)) in portion.iter().enumerate() {
                lines += &json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string();
                lines += "\n";
            }
            self.stream.write_all(lines.as_bytes()).unwrap();
            let mut received: Vec<Value> = portion.iter().map(|_| self.receive()).collect();
            received.sort_by_key(|answer| answer["id"].as_u64().unwrap());
            answers.extend(received.into_iter().map(|answer| {
                if answer["error"].is_null() {
                    Ok(answer["result"].clone())
                } else {
                    Err(answer["error"]["code"].clone())
                }
            }));
        }
        answers
    }
}

type Question = (&'static str, Value);

fn own_script(n: u8) -> ScriptBuf {
    ScriptBuf::new_p2wsh(&ScriptBuf::from_bytes(vec![0x51 + n]).wscript_hash())
}

/// A chain with payments to several scripts, burns, and a mempool with parents and children.
fn story(node: &Bitcoind) -> Chain {
    let mut chain = chain_of(115, Clock::System);
    for height in 1..=115 {
        node.submit_block(&chain.block(height).unwrap()).unwrap();
    }
    for round in 0..6_u8 {
        let (coin, value) = reward(&chain, u32::from(round) + 1);
        let mut parent = spend(&[coin], &[value / 4; 3]);
        for (n, output) in (0_u8..).zip(&mut parent.output).take(2) {
            output.script_pubkey = own_script(n + round % 2);
        }
        let script_pubkey = ScriptBuf::from_hex("6a07626162796c6f6e").unwrap();
        parent.output.push(TxOut { value: Amount::from_sat(value / 4 - 5_000), script_pubkey });
        let mut child =
            spend(&[OutPoint { txid: parent.compute_txid(), vout: 2 }], &[value / 8, value / 8 - 1_000]);
        child.output[0].script_pubkey = own_script(0);
        for tx in [&parent, &child] {
            chain.accept(tx, Amount::MAX_MONEY).unwrap();
            node.broadcast_burning(tx, Amount::from_sat(value)).unwrap();
        }
        // The last two rounds stay in the mempool.
        if round < 4 {
            let hash = chain.mine(&anyone()).unwrap();
            node.submit_block(&chain.block_by_hash(&hash).unwrap()).unwrap();
        }
    }
    chain
}

/// Questions to any server that has the story.
fn questions(devnet: &Devnet) -> Vec<Question> {
    let tip = devnet.tip().height;
    let mut questions = vec![
        ("blockchain.headers.subscribe", json!([])),
        ("blockchain.estimatefee", json!([6])),
        ("server.ping", json!([])),
        ("blockchain.relayfee", json!([])),
        ("mempool.get_info", json!([])),
        ("blockchain.block.header", json!([tip + 1])),
        ("blockchain.block.header", json!([-1])),
        ("blockchain.block.header", json!(["x"])),
        ("blockchain.block.header", json!([])),
        ("blockchain.block.header", json!([5, 8])),
        ("blockchain.block.header", json!([0, tip])),
        ("blockchain.block.header", json!([8, 5])),
        ("blockchain.block.header", json!([8, tip + 1])),
        ("blockchain.block.headers", json!([0, 3])),
        ("blockchain.block.headers", json!([tip, 3000])),
        ("blockchain.block.headers", json!([tip + 1, 3])),
        ("blockchain.block.headers", json!([3, 4, 17])),
        ("blockchain.scripthash.get_balance", json!(["00"])),
        ("blockchain.transaction.get", json!(["00".repeat(32)])),
        ("blockchain.transaction.get", json!(["00"])),
        ("blockchain.transaction.get_merkle", json!(["00".repeat(32), 5])),
        ("blockchain.transaction.id_from_pos", json!([tip, 99])),
        ("blockchain.transaction.id_from_pos", json!([tip + 1, 0])),
        ("blockchain.transaction.broadcast", json!(["00"])),
        ("no.such.method", json!([])),
        ("server.ping", json!({"no": 1})),
    ];
    for method in [
        "blockchain.scripthash.get_history",
        "blockchain.scripthash.get_mempool",
        "blockchain.scripthash.get_balance",
    ] {
        questions.extend(about_scripts(method));
    }
    for height in [1, tip - 3, tip - 2, tip] {
        questions.push(("blockchain.block.header", json!([height])));
        let block = devnet.block(height).unwrap();
        for (position, tx) in block.txdata.iter().enumerate() {
            let txid = tx.compute_txid().to_string();
            questions.push(("blockchain.transaction.get", json!([txid])));
            questions.push(("blockchain.transaction.get", json!([txid, false])));
            questions.push(("blockchain.transaction.get_merkle", json!([txid, height])));
            questions.push(("blockchain.transaction.get_merkle", json!([txid, height - 1])));
            questions.push(("blockchain.transaction.id_from_pos", json!([height, position])));
            questions.push(("blockchain.transaction.id_from_pos", json!([height, position, true])));
        }
    }
    for txid in devnet.mempool() {
        questions.push(("blockchain.transaction.get", json!([txid.to_string()])));
    }
    let known = devnet.block(1).unwrap().txdata[0].compute_txid();
    let missing = spend(&[OutPoint { txid: Txid::all_zeros(), vout: 0 }], &[1_000]);
    let premature = spend(&[OutPoint { txid: known, vout: 9 }], &[1_000]);
    for tx in [missing, premature] {
        questions.push(("blockchain.transaction.broadcast", json!([serialize_hex(&tx)])));
    }
    questions
}

/// One question about each script of the story, and about one that nobody knows.
fn about_scripts(method: &'static str) -> Vec<Question> {
    let scripts = [anyone(), own_script(0), own_script(1), own_script(2), own_script(9)];
    scripts.iter().map(|script| (method, json!([ElectrumScriptHash::of(script).to_string()]))).collect()
}

/// Unspent outputs of the mempool come in no order.
fn in_order(answer: Result<Value, Value>) -> Vec<Value> {
    let mut list = answer.unwrap().as_array().unwrap().clone();
    let confirmed = list.iter().take_while(|entry| entry["height"] != 0).count();
    list[confirmed..].sort_by_key(ToString::to_string);
    list
}

#[test]
fn the_same_questions_get_the_same_answers_as_from_electrumx() {
    let node = Bitcoind::start().unwrap();
    let chain = story(&node);
    let waiting: Vec<Txid> = chain.mempool().iter().map(|(txid, _)| txid).collect();
    let devnet = Devnet::with_chain(chain, Config::default().listen).unwrap();
    let electrumx = ElectrumX::start(&node).unwrap();
    electrumx.sync(&node).unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], electrumx.port()));
    for txid in waiting {
        let script = devnet.transaction(&txid).unwrap().output[0].script_pubkey.clone();
        electrumx.wait_for_transaction(&script, txid).unwrap();
    }
    for protocol in ["1.4.2", "1.6"] {
        let mut ours = Raw::new(devnet.addr(), protocol);
        let mut theirs = Raw::new(address, protocol);
        let mut agree = |questions: Vec<Question>| {
            let answers = ours.ask(&questions).into_iter().zip(theirs.ask(&questions));
            for ((method, params), (our, their)) in questions.iter().zip(answers) {
                if *method == "blockchain.scripthash.listunspent" {
                    assert_eq!(in_order(our), in_order(their), "{method} {params}");
                } else {
                    assert_eq!(our, their, "{method} {params} with protocol {protocol}");
                }
            }
        };
        // ElectrumX takes proofs of headers from one store, which it grows in several steps: asked at once, it now and then
        // answers from the midst of one.
        let (headers, others): (Vec<_>, Vec<_>) = questions(&devnet)
            .into_iter()
            .partition(|(method, _)| method.starts_with("blockchain.block.header"));
        for question in headers {
            agree(vec![question]);
        }
        agree(others);
        // These depend on their order, so each round is answered before the next.
        for method in [
            "blockchain.scripthash.listunspent",
            "blockchain.scripthash.subscribe",
            "blockchain.scripthash.unsubscribe",
            "blockchain.scripthash.unsubscribe",
        ] {
            agree(about_scripts(method));
        }
    }
    notifications_agree(&node, &devnet, address);
}

/// A block and a payment are told to subscribers in the same words.
fn notifications_agree(node: &Bitcoind, devnet: &Devnet, address: SocketAddr) {
    let mut ours = Raw::new(devnet.addr(), "1.6");
    let mut theirs = Raw::new(address, "1.6");
    let hash = ElectrumScriptHash::of(&own_script(0)).to_string();
    let subscriptions =
        [("blockchain.headers.subscribe", json!([])), ("blockchain.scripthash.subscribe", json!([hash]))];
    for server in [&mut ours, &mut theirs] {
        assert!(server.ask(&subscriptions).iter().all(Result::is_ok));
    }
    let block = devnet.mine_to(1, &anyone()).unwrap()[0];
    node.submit_block(&devnet.block_by_hash(&block).unwrap()).unwrap();
    let news = |server: &mut Raw| {
        let mut news = vec![server.receive(), server.receive()];
        news.sort_by_key(ToString::to_string);
        news
    };
    assert_eq!(news(&mut ours), news(&mut theirs));
}
