//! The Electrum source against the embedded chain's server, which speaks protocol 1.4 to 1.6.
#![allow(clippy::unwrap_used, reason = "helpers of tests, outside #[test] functions")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use bitcoin::absolute::LockTime;
use bitcoin::opcodes::OP_TRUE;
use bitcoin::script::Builder;
use bitcoin::transaction::Version;
use bitcoin::{Amount, FeeRate, Network, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness};
use tapstake_chain::{
    BlockId, ChainError, ChainSource, Electrum, ElectrumConfig, SourceConfig, connect, inclusion_from_block,
};
use tapstake_devnet::{Config, Devnet};
use tapstake_params::Height;

fn devnet() -> (Devnet, Box<dyn ChainSource>) {
    let devnet = Devnet::start(&Config::default()).unwrap();
    let config = ElectrumConfig { timeout_secs: 5, ..ElectrumConfig::new(devnet.electrum_url()) };
    let source = connect(&SourceConfig::Electrum(config), Network::Regtest).unwrap();
    (devnet, source)
}

/// Coins of this script need no signature.
fn witness_script() -> ScriptBuf {
    Builder::new().push_opcode(OP_TRUE).into_script()
}

fn open_script() -> ScriptBuf {
    witness_script().to_p2wsh()
}

/// An output of 50,000 sat to [`open_script`], in the mempool.
fn funded(devnet: &Devnet) -> OutPoint {
    let txid = devnet.fund(&open_script(), Amount::from_sat(50_000)).unwrap();
    let tx = devnet.transaction(&txid).unwrap();
    let vout = tx.output.iter().position(|output| output.script_pubkey == open_script()).unwrap();
    OutPoint { txid, vout: u32::try_from(vout).unwrap() }
}

fn spending(outpoint: OutPoint, output: Vec<TxOut>) -> Transaction {
    let input = TxIn {
        previous_output: outpoint,
        script_sig: ScriptBuf::new(),
        sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
        witness: Witness::from_slice(&[witness_script()]),
    };
    Transaction { version: Version::TWO, lock_time: LockTime::ZERO, input: vec![input], output }
}

fn paying(value: u64) -> Vec<TxOut> {
    vec![TxOut { value: Amount::from_sat(value), script_pubkey: open_script() }]
}

fn tip(devnet: &Devnet) -> BlockId {
    let tip = devnet.tip();
    BlockId { height: Height::new(tip.height), hash: tip.hash }
}

#[test]
fn tip_and_headers_are_those_of_the_chain() {
    let (devnet, source) = devnet();
    assert_eq!(source.tip().unwrap(), tip(&devnet));
    devnet.mine(30).unwrap();
    assert_eq!(source.tip().unwrap(), tip(&devnet));
    let headers = source.headers(Height::new(20), 2_016).unwrap();
    let expected: Vec<_> =
        (20..=devnet.tip().height).map(|height| devnet.block(height).unwrap().header).collect();
    assert_eq!(headers, expected);
    assert_eq!(source.headers(Height::new(20), 3).unwrap(), expected[..3]);
    assert_eq!(source.headers(Height::new(devnet.tip().height + 1), 3).unwrap(), []);
    assert_eq!(source.headers(Height::GENESIS, 0).unwrap(), []);
}

#[test]
fn more_headers_than_one_answer_holds_come_in_several() {
    let (devnet, source) = devnet();
    devnet.mine_to_height(2_500).unwrap();
    let headers = source.headers(Height::new(100), u32::MAX).unwrap();
    assert_eq!(headers.len(), 2_401);
    assert_eq!(headers.last().unwrap().block_hash(), devnet.tip().hash);
}

#[test]
fn a_transaction_is_followed_from_the_mempool_into_its_block() {
    let (devnet, source) = devnet();
    let outpoint = funded(&devnet);
    let txid = outpoint.txid;
    let tx = devnet.transaction(&txid).unwrap();
    let info = source.transaction(&txid).unwrap().unwrap();
    assert_eq!((&info.tx, info.block), (&tx, None));
    assert_eq!(source.inclusion(&txid).unwrap(), None);

    devnet.mine(1).unwrap();
    let at = tip(&devnet);
    devnet.mine(2).unwrap();
    assert_eq!(source.transaction(&txid).unwrap().unwrap().block, Some(at));
    let block = devnet.block(at.height.to_u32()).unwrap();
    let expected = inclusion_from_block(&block, at.height, &txid).unwrap();
    assert_eq!(source.inclusion(&txid).unwrap(), expected);
    assert_eq!(source.inclusion_in(&txid, at.height).unwrap(), expected);
    assert_eq!(source.inclusion_in(&txid, Height::new(at.height.to_u32() + 1)).unwrap(), None);
    let above = source.inclusion_in(&txid, Height::new(at.height.to_u32() + 99)).unwrap_err();
    assert!(matches!(above, ChainError::NoSuchBlock { .. }), "{above}");
}

#[test]
fn a_coinbase_proves_itself() {
    let (devnet, source) = devnet();
    devnet.mine(1).unwrap();
    let txid = devnet.block(1).unwrap().txdata[0].compute_txid();
    let inclusion = source.inclusion(&txid).unwrap().unwrap();
    assert_eq!(inclusion.tx, inclusion.coinbase);
    assert_eq!((inclusion.branch.index(), inclusion.branch.depth()), (0, 0));
}

#[test]
fn unknown_transactions_and_outputs_are_told_apart_from_unspent_ones() {
    let (devnet, source) = devnet();
    let outpoint = funded(&devnet);
    let nowhere = OutPoint { txid: "44".repeat(32).parse().unwrap(), vout: 0 };
    assert_eq!(source.transaction(&nowhere.txid).unwrap(), None);
    assert_eq!(source.inclusion(&nowhere.txid).unwrap(), None);
    assert_eq!(source.spend(&outpoint, &open_script(), None).unwrap(), None);
    for (outpoint, script) in [
        (nowhere, open_script()),
        (OutPoint { vout: 9, ..outpoint }, open_script()),
        (outpoint, ScriptBuf::new_p2a()),
    ] {
        let answer = source.spend(&outpoint, &script, None);
        assert!(matches!(answer, Err(ChainError::UnknownOutpoint { .. })), "{answer:?}");
    }
}

#[test]
fn a_spend_is_found_in_the_mempool_and_in_a_block_and_undone_by_a_reorganisation() {
    let (devnet, source) = devnet();
    let outpoint = funded(&devnet);
    devnet.mine(1).unwrap();
    let funded_at = tip(&devnet).height;
    let tx = spending(outpoint, paying(49_000));
    assert_eq!(source.broadcast(&tx).unwrap(), tx.compute_txid());

    let spend = source.spend(&outpoint, &open_script(), Some(funded_at)).unwrap().unwrap();
    assert_eq!((spend.txid, &spend.tx, spend.input_index, spend.block), (tx.compute_txid(), &tx, 0, None));

    let block = devnet.mine(1).unwrap()[0];
    let spend = source.spend(&outpoint, &open_script(), None).unwrap().unwrap();
    assert_eq!(spend.block, Some(tip(&devnet)));

    devnet.invalidate_block(&block).unwrap();
    let spend = source.spend(&outpoint, &open_script(), None).unwrap().unwrap();
    assert_eq!(spend.block, None, "back in the mempool");
}

#[test]
fn a_block_that_is_reorganised_away_takes_its_inclusion_along() {
    let (devnet, source) = devnet();
    let txid = funded(&devnet).txid;
    let block = devnet.mine(1).unwrap()[0];
    let first = source.inclusion(&txid).unwrap().unwrap();
    assert_eq!(first.block.hash, block);

    devnet.invalidate_block(&block).unwrap();
    assert_eq!(source.inclusion(&txid).unwrap(), None);
    devnet.mine_to(2, &open_script()).unwrap();
    let second = source.inclusion(&txid).unwrap().unwrap();
    assert_eq!(second.block.height, first.block.height);
    assert_ne!(second.block.hash, block);
    assert_eq!(source.tip().unwrap(), tip(&devnet));
}

#[test]
fn a_broadcast_may_be_repeated_at_any_time() {
    let (devnet, source) = devnet();
    let outpoint = funded(&devnet);
    let tx = spending(outpoint, paying(49_000));
    for _ in 0..2 {
        assert_eq!(source.broadcast(&tx).unwrap(), tx.compute_txid());
    }
    devnet.mine(1).unwrap();
    assert_eq!(source.broadcast(&tx).unwrap(), tx.compute_txid(), "confirmed");
}

#[test]
fn a_refused_transaction_tells_the_reason() {
    let (devnet, source) = devnet();
    let outpoint = funded(&devnet);
    let refusal = source.broadcast(&spending(outpoint, paying(60_000))).unwrap_err();
    let ChainError::Rejected { reason, .. } = &refusal else { panic!("{refusal}") };
    assert!(reason.starts_with("bad-txns-in-belowout") && !reason.contains('\n'), "{reason}");
    let double = spending(OutPoint { vout: 9, ..outpoint }, paying(1_000));
    let refusal = source.broadcast(&double).unwrap_err();
    assert!(refusal.to_string().contains("bad-txns-inputs-missingorspent"), "{refusal}");
}

#[test]
fn a_burning_transaction_needs_a_node_and_gets_its_hex_back() {
    let (devnet, source) = devnet();
    let outpoint = funded(&devnet);
    let burn = TxOut { value: Amount::from_sat(1_000), script_pubkey: ScriptBuf::new_op_return([7; 7]) };
    let tx = spending(outpoint, [vec![burn], paying(48_000)].concat());
    let hex = bitcoin::consensus::encode::serialize_hex(&tx);
    for refusal in [
        source.broadcast(&tx).unwrap_err(),
        source.broadcast_presigned(&tx, Amount::from_sat(1_000)).unwrap_err(),
    ] {
        assert!(
            refusal.to_string().ends_with(&format!("bitcoin-cli sendrawtransaction {hex} 0 0.00001000")),
            "{refusal}"
        );
        assert!(matches!(&refusal, ChainError::BurnNeedsNode { hex: carried, .. } if *carried == hex));
    }
    let refusal = source.broadcast_presigned(&tx, Amount::from_sat(999)).unwrap_err();
    assert!(matches!(refusal, ChainError::BurnsTooMuch { .. }), "{refusal}");
}

#[test]
fn fees_and_what_is_not_served() {
    let (_devnet, source) = devnet();
    assert!(source.relay_fee().unwrap() >= FeeRate::from_sat_per_kwu(1));
    assert!(source.relay_fee().unwrap() <= FeeRate::from_sat_per_vb(1).unwrap());
    assert_eq!(source.fee_rate(6).unwrap(), None, "a regtest has no estimate");
    let refusal = source.block(Height::GENESIS).unwrap_err();
    assert!(matches!(refusal, ChainError::Unsupported { .. }), "{refusal}");
}

#[test]
fn many_threads_share_one_source() {
    let (devnet, source) = devnet();
    devnet.mine(5).unwrap();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for height in 0..=5 {
                    let header = source.headers(Height::new(height), 1).unwrap()[0];
                    assert_eq!(header, devnet.block(height).unwrap().header);
                }
            });
        }
    });
}

#[test]
fn the_client_for_bdk_reaches_the_same_server() {
    use electrum_client::ElectrumApi as _;
    let (devnet, _) = devnet();
    devnet.mine(3).unwrap();
    let source = Electrum::connect(&ElectrumConfig::new(devnet.electrum_url()), Network::Regtest).unwrap();
    let client = source.bdk_client().unwrap();
    assert_eq!(client.block_headers_subscribe().unwrap().height, 3);
}

/// A SOCKS5 proxy that accepts, checks the name, and passes everything on.
fn socks5_proxy(upstream: std::net::SocketAddr) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let mut greeting = [0; 3];
            client.read_exact(&mut greeting).unwrap();
            assert_eq!(greeting, [5, 1, 0]);
            client.write_all(&[5, 0]).unwrap();
            let mut head = [0; 5];
            client.read_exact(&mut head).unwrap();
            assert_eq!(head[..4], [5, 1, 0, 3]);
            let mut name = vec![0; usize::from(head[4]) + 2];
            client.read_exact(&mut name).unwrap();
            let (name, _port) = name.split_at(name.len() - 2);
            if name != b"hidden.onion" {
                client.write_all(&[5, 4, 0, 1, 0, 0, 0, 0, 0, 0]).unwrap();
                continue;
            }
            client.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 80]).unwrap();
            let server = TcpStream::connect(upstream).unwrap();
            let (mut up, mut down) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut client, &mut up));
            thread::spawn(move || std::io::copy(&mut &server, &mut down));
        }
    });
    address.to_string()
}

#[test]
fn a_hidden_server_is_reached_through_a_proxy() {
    let (devnet, _) = devnet();
    devnet.mine(2).unwrap();
    let proxy = socks5_proxy(devnet.addr());
    let config = |host: &str| ElectrumConfig {
        proxy: Some(proxy.clone()),
        timeout_secs: 2,
        attempts: 1,
        ..ElectrumConfig::new(format!("tcp://{host}:50001"))
    };
    let source = Electrum::connect(&config("hidden.onion"), Network::Regtest).unwrap();
    assert_eq!(source.tip().unwrap(), tip(&devnet));
    let refusal = Electrum::connect(&config("elsewhere.onion"), Network::Regtest).unwrap_err();
    assert!(refusal.to_string().contains("the proxy cannot reach elsewhere.onion:50001"), "{refusal}");
}

#[test]
fn a_server_that_comes_back_is_found_again() {
    let (devnet, source) = devnet();
    devnet.mine(1).unwrap();
    let (address, before) = (devnet.addr(), source.tip().unwrap());
    drop(devnet);
    let again = thread::spawn(move || {
        thread::sleep(Duration::from_millis(300));
        Devnet::start(&Config { listen: address, ..Config::default() }).unwrap()
    });
    // Another chain now: what counts is that somebody answers.
    assert_ne!(source.tip().unwrap(), before);
    drop(again.join().unwrap());
}
