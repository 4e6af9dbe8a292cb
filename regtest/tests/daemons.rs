//! The daemons themselves: they start, answer, follow each other, and always stop.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{panic, thread};

use bitcoin::consensus::deserialize;
use bitcoin::opcodes::all::OP_RETURN;
use bitcoin::script::Builder;
use bitcoin::{Amount, MerkleBlock, Network, ScriptBuf, TxOut};
use tapstake_regtest::{Bitcoind, ElectrumX, Error, anyone_can_spend};

const COIN: Amount = Amount::from_sat(50_000);

fn some_script() -> ScriptBuf {
    // P2WPKH of a key hash nobody has.
    ScriptBuf::new_p2wpkh(&bitcoin::WPubkeyHash::from_raw_hash(bitcoin::hashes::Hash::all_zeros()))
}

#[test]
fn a_node_funds_a_script_mines_it_and_proves_it() -> Result<(), Error> {
    let node = Bitcoind::start()?;
    let home = anyone_can_spend(node.network());
    let coin = node.fund(&some_script(), COIN)?;
    assert!(node.mempool()?.contains(&coin.txid));

    let hash = node.mine(1, &home)?[0];
    assert_eq!(hash, node.best_block_hash()?);
    assert_eq!(hash, node.block_hash(node.height()?)?);
    let block = node.block(hash)?;
    assert_eq!(block.header, node.header(hash)?);
    assert!(block.txdata.contains(&node.transaction(coin.txid)?));

    let found = node.unspent_of(&some_script())?;
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].outpoint, found[0].output.value), (coin, COIN));
    assert!(!found[0].coinbase);

    let proof: MerkleBlock = deserialize(&node.txout_proof(coin.txid, hash)?)?;
    let (mut matches, mut indexes) = (Vec::new(), Vec::new());
    proof.extract_matches(&mut matches, &mut indexes).expect("bitcoind's proof is valid");
    assert_eq!((matches, indexes), (vec![coin.txid], vec![1]));
    Ok(())
}

#[test]
fn the_faucet_goes_on_without_a_block_in_between() -> Result<(), Error> {
    let node = Bitcoind::start()?;
    for _ in 0..5 {
        node.fund(&some_script(), COIN)?;
    }
    let height = node.height()?;
    assert_eq!(node.mempool()?.len(), 5);
    node.mine(1, &anyone_can_spend(node.network()))?;
    assert_eq!(node.unspent_of(&some_script())?.len(), 5);
    assert_eq!(node.height()?, height + 1);
    Ok(())
}

#[test]
fn a_block_can_be_taken_back_and_handed_in_again() -> Result<(), Error> {
    let node = Bitcoind::start()?;
    let home = anyone_can_spend(node.network());
    let coin = node.fund(&some_script(), COIN)?;
    let transaction = node.transaction(coin.txid)?;
    let hash = node.mine_transactions(&[transaction], &home)?;
    let block = node.block(hash)?;
    node.invalidate_block(hash)?;
    assert_eq!(node.best_block_hash()?, block.header.prev_blockhash);
    assert!(node.mempool()?.contains(&coin.txid));
    node.reconsider_block(hash)?;
    assert_eq!(node.best_block_hash()?, hash);

    let other = Bitcoind::start()?;
    for height in 1..=node.height()? {
        other.submit_block(&node.block(node.block_hash(height)?)?)?;
    }
    assert_eq!(other.best_block_hash()?, hash);
    let again = other.submit_block(&block).expect_err("the node has it");
    assert_eq!(again.rpc_message(), Some("duplicate"));
    Ok(())
}

#[test]
fn a_burning_transaction_goes_out_only_with_the_value_allowed() -> Result<(), Error> {
    let node = Bitcoind::start()?;
    let home = anyone_can_spend(node.network());
    let burn = Builder::new().push_opcode(OP_RETURN).push_slice(b"tapstake").into_script();
    // Not through the faucet, which burns nothing: its transaction is the template.
    let mut transaction = node.fund_outputs(vec![TxOut { value: COIN, script_pubkey: some_script() }])?;
    node.mine(1, &home)?;
    let parent = transaction.compute_txid();
    transaction.input.truncate(1);
    transaction.input[0].previous_output = bitcoin::OutPoint { txid: parent, vout: 1 };
    transaction.output[0].script_pubkey = burn;
    transaction.output[1].value -= COIN + Amount::from_sat(1_000);

    // `testmempoolaccept` knows no limit on burning, `sendrawtransaction` does.
    assert!(node.test_accept(&transaction)?.is_accepted());
    let refused = node.broadcast(&transaction).expect_err("burning must be asked for");
    assert!(refused.rpc_message().is_some_and(|text| text.contains("maxburnamount")), "{refused}");
    let txid = node.broadcast_burning(&transaction, COIN)?;
    assert_eq!(txid, transaction.compute_txid());

    transaction.output[1].value += Amount::from_sat(30_000_000);
    let refusal = node.test_accept(&transaction)?.refusal;
    assert!(refusal.is_some_and(|reason| reason.contains("in-belowout")));
    Ok(())
}

#[test]
fn an_electrum_server_follows_its_node_through_a_reorganisation() -> Result<(), Error> {
    let node = Bitcoind::start()?;
    let home = anyone_can_spend(node.network());
    let electrum = ElectrumX::start(&node)?;
    let coin = node.fund(&some_script(), COIN)?;
    electrum.wait_for_transaction(&some_script(), coin.txid)?;
    let hash = node.mine(1, &home)?[0];
    electrum.sync(&node)?;

    let branch = node.reorganise(hash, 2)?;
    assert_eq!(branch[1], node.best_block_hash()?);
    assert!(node.mempool()?.contains(&coin.txid));
    electrum.sync(&node)?;
    node.mine(3, &home)?;
    electrum.wait_for_height(node.height()?)?;
    let unknown = electrum.call("tapstake.nothing", &[]).expect_err("no such call");
    assert!(unknown.to_string().contains("unknown method"), "{unknown}");
    Ok(())
}

#[test]
fn a_taken_port_is_answered_by_name() -> Result<(), Error> {
    let node = Bitcoind::start()?;
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = taken.local_addr().expect("its address").port();
    let error = Bitcoind::builder().rpc_port(port).start().expect_err("the port is taken");
    assert!(matches!(error, Error::PortTaken { .. }), "{error}");
    // Even where another node with the same password answers.
    let error = Bitcoind::builder().rpc_port(node.rpc_port()).start().expect_err("the port is taken");
    assert!(matches!(error, Error::PortTaken { .. }), "{error}");
    let error = ElectrumX::builder().port(port).start(&node).expect_err("the port is taken");
    assert!(matches!(error, Error::PortTaken { .. }), "{error}");
    Ok(())
}

#[test]
fn an_electrum_server_speaks_tls_when_asked() -> Result<(), Error> {
    let node = Bitcoind::start()?;
    assert_eq!(ElectrumX::start(&node)?.tls_url(), None);
    let electrum = ElectrumX::builder().tls().start(&node)?;
    let url = electrum.tls_url().expect("asked for");
    let address = url.strip_prefix("ssl://").expect("an Electrum address");
    let greeting = Command::new("openssl")
        .args(["s_client", "-brief", "-connect", address])
        .stdin(Stdio::null())
        .output()
        .expect("openssl");
    let text = String::from_utf8_lossy(&greeting.stderr);
    assert!(text.contains("CONNECTION ESTABLISHED") && text.contains("localhost"), "{text}");
    Ok(())
}

#[test]
fn an_electrum_server_starts_on_an_empty_chain() -> Result<(), Error> {
    let node = Bitcoind::start()?;
    let electrum = ElectrumX::start(&node)?;
    electrum.wait_for_height(0)
}

#[test]
fn a_signet_of_our_own_is_mined_and_served() -> Result<(), Error> {
    let node = Bitcoind::builder().signet().start()?;
    assert_eq!(node.network(), Network::Signet);
    assert!(node.cookie_file().is_file());
    let coin = node.fund(&some_script(), COIN)?;
    node.mine(1, &anyone_can_spend(node.network()))?;
    assert_eq!(node.unspent_of(&some_script())?[0].outpoint, coin);
    assert_eq!(node.call("getblockchaininfo", &[])?["initialblockdownload"], false);
    let electrum = ElectrumX::start(&node)?;
    electrum.wait_for_height(node.height()?)?;
    electrum.wait_for_transaction(&some_script(), coin.txid)
}

#[test]
fn a_node_starts_again_on_its_data() -> Result<(), Error> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut node = Bitcoind::builder().folder(folder.path()).start()?;
    let hash = node.mine(3, &anyone_can_spend(node.network()))?[2];
    node.restart()?;
    assert_eq!(node.best_block_hash()?, hash);
    drop(node);

    let node = Bitcoind::builder().folder(folder.path()).start()?;
    assert_eq!(node.best_block_hash()?, hash);
    Ok(())
}

#[test]
fn a_node_without_indexes_can_prune() -> Result<(), Error> {
    let node = Bitcoind::builder().without_indexes().arg("-prune=550").start()?;
    assert_eq!(node.call("getblockchaininfo", &[])?["pruned"], true);
    let hash = node.mine(1, &anyone_can_spend(node.network()))?[0];
    let coinbase = node.block(hash)?.txdata[0].compute_txid();
    let refused = node.transaction(coinbase).expect_err("no index");
    assert!(refused.rpc_message().is_some_and(|text| text.contains("-txindex")), "{refused}");
    Ok(())
}

#[test]
fn a_wrong_argument_is_answered_with_the_log() {
    let error = Bitcoind::builder().arg("-nosuchargument=1").start().expect_err("bitcoind refuses it");
    assert!(matches!(error, Error::Exited { .. }), "{error}");
    assert!(error.to_string().contains("nosuchargument"), "{error}");
}

#[test]
fn a_panicking_test_leaves_no_daemon_behind() {
    let node = Bitcoind::start().expect("a node");
    let (folder, port) = (node.folder().to_owned(), node.rpc_port());
    let result = panic::catch_unwind(panic::AssertUnwindSafe(move || {
        let _node = node;
        panic!("on purpose");
    }));
    assert!(result.is_err());
    assert!(!folder.exists());
    assert!(!answers(port));
}

#[test]
fn a_killed_process_leaves_no_daemon_behind() {
    let (mut person, said) = up(&["--no-electrum", "--blocks", "0"]);
    let (port, folder) = (port_of(&said, "rpc"), word(&said, "data").to_owned());
    assert!(answers(port) && Path::new(&folder).exists());
    // As the out-of-memory killer does it: no destructor runs.
    person.kill().expect("our child");
    person.wait().expect("our child");
    eventually(|| (!answers(port) && !Path::new(&folder).exists()).then_some(()));
}

#[test]
fn a_person_stops_both_daemons_with_ctrl_c_and_keeps_the_folder_they_gave() {
    let kept = tempfile::tempdir().expect("a temporary folder");
    let folder = kept.path().to_str().expect("a readable path");
    let (mut person, said) = up(&["--folder", folder, "--blocks", "2"]);
    let ports = [port_of(&said, "rpc"), port_of(&said, "electrum")];
    assert!(ports.iter().all(|port| answers(*port)));
    assert!(Path::new(word(&said, "cookie")).is_file());

    let interrupted = Command::new("sh").args(["-c", &format!("kill -INT {}", person.id())]).status();
    assert!(interrupted.expect("a shell").success());
    assert!(person.wait().expect("our child").success());
    assert!(!ports.iter().any(|port| answers(*port)));
    let node =
        Bitcoind::builder().folder(kept.path().join("bitcoind")).start().expect("a node on the kept data");
    assert_eq!(node.height().expect("an answer"), 2);
}

/// Starts the program behind `up.sh` and reads what it prints until it is up.
fn up(arguments: &[&str]) -> (Child, Vec<String>) {
    let mut person = Command::new(env!("CARGO_BIN_EXE_regtest-up"))
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("our own program");
    let lines = BufReader::new(person.stdout.take().expect("the pipe was asked for")).lines();
    let said = lines.map_while(Result::ok).take_while(|line| !line.starts_with("Ctrl-C")).collect();
    (person, said)
}

/// The word after a label.
fn word<'a>(said: &'a [String], label: &str) -> &'a str {
    let line = said.iter().find_map(|line| line.strip_prefix(label));
    line.unwrap_or_else(|| panic!("no {label} in {said:?}")).trim()
}

fn port_of(said: &[String], label: &str) -> u16 {
    word(said, label).rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port")
}

fn answers(port: u16) -> bool {
    std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
}

fn eventually<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "waited a minute");
        thread::sleep(Duration::from_millis(50));
    }
}
