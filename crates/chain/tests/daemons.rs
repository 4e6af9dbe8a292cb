//! Both sources against a real bitcoind and a real ElectrumX: the same questions, the same answers.
#![allow(clippy::unwrap_used, reason = "helpers of tests, outside #[test] functions")]

use std::fs;

use bitcoin::absolute::LockTime;
use bitcoin::opcodes::OP_TRUE;
use bitcoin::script::Builder;
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, FeeRate, Network, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness,
};
use tapstake_chain::{
    Bitcoind, BitcoindConfig, BlockId, ChainError, ChainSource, Electrum, ElectrumConfig,
    inclusion_from_block,
};
use tapstake_params::Height;
use tapstake_regtest::{Bitcoind as Node, ElectrumX, anyone_can_spend};

fn witness_script() -> ScriptBuf {
    Builder::new().push_opcode(OP_TRUE).into_script()
}

/// A script of its own for each number, so that histories stay apart; spendable by anyone.
fn open_script(number: i64) -> (ScriptBuf, ScriptBuf) {
    let inner =
        Builder::new().push_int(number).push_opcode(bitcoin::opcodes::all::OP_DROP).push_opcode(OP_TRUE);
    let inner = inner.into_script();
    (inner.to_p2wsh(), inner)
}

fn spending(outpoint: OutPoint, witness_script: ScriptBuf, output: Vec<TxOut>) -> Transaction {
    let input = TxIn {
        previous_output: outpoint,
        script_sig: ScriptBuf::new(),
        sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
        witness: Witness::from_slice(&[witness_script]),
    };
    Transaction { version: Version::TWO, lock_time: LockTime::ZERO, input: vec![input], output }
}

fn paying(value: u64) -> TxOut {
    TxOut { value: Amount::from_sat(value), script_pubkey: witness_script().to_p2wsh() }
}

fn mine(node: &Node, blocks: u32) {
    node.mine(blocks, &anyone_can_spend(Network::Regtest)).unwrap();
}

fn by_cookie(node: &Node) -> Bitcoind {
    let config = BitcoindConfig::with_cookie(node.rpc_url(), node.cookie_file());
    Bitcoind::connect(&config, node.network()).unwrap()
}

fn tip(node: &Node) -> BlockId {
    BlockId { height: Height::new(node.height().unwrap()), hash: node.best_block_hash().unwrap() }
}

const NOWHERE: &str = "4444444444444444444444444444444444444444444444444444444444444444";

#[test]
fn node_and_electrum_server_give_the_same_answers() {
    let node = Node::start().unwrap();
    mine(&node, 101);
    let server = ElectrumX::builder().tls().start(&node).unwrap();
    let plain = Electrum::connect(&ElectrumConfig::new(server.url()), Network::Regtest).unwrap();
    let tls =
        ElectrumConfig { accept_any_certificate: true, ..ElectrumConfig::new(server.tls_url().unwrap()) };
    let tls = Electrum::connect(&tls, Network::Regtest).unwrap();
    let rpc = by_cookie(&node);
    let sources: [&dyn ChainSource; 3] = [&rpc, &plain, &tls];

    // A certificate that nobody signed is refused, unless one says that this is meant.
    let checked = ElectrumConfig { attempts: 1, ..ElectrumConfig::new(server.tls_url().unwrap()) };
    let refusal = Electrum::connect(&checked, Network::Regtest).unwrap_err();
    assert!(refusal.to_string().to_lowercase().contains("certificate"), "{refusal}");

    let (script, witness_script) = open_script(1);
    let outpoint = node.fund(&script, Amount::from_sat(100_000)).unwrap();
    server.wait_for_transaction(&script, outpoint.txid).unwrap();
    for source in sources {
        let info = source.transaction(&outpoint.txid).unwrap().unwrap();
        assert_eq!(info.block, None);
        assert_eq!(info.tx.compute_txid(), outpoint.txid);
        assert_eq!(source.inclusion(&outpoint.txid).unwrap(), None);
        assert_eq!(source.spend(&outpoint, &script, None).unwrap(), None, "in the mempool");
    }
    mine(&node, 1);
    let included_at = tip(&node);
    mine(&node, 4);
    server.sync(&node).unwrap();

    let block = rpc.block(included_at.height).unwrap();
    let inclusion = inclusion_from_block(&block, included_at.height, &outpoint.txid).unwrap();
    let nowhere = OutPoint { txid: NOWHERE.parse().unwrap(), vout: 0 };
    for source in sources {
        assert_eq!(source.network(), Network::Regtest);
        assert_eq!(source.tip().unwrap(), tip(&node));
        let headers = source.headers(Height::new(90), 2_016).unwrap();
        assert_eq!(u32::try_from(headers.len()).unwrap(), node.height().unwrap() - 89);
        assert_eq!(headers.last().unwrap().block_hash(), node.best_block_hash().unwrap());
        assert_eq!(headers, rpc.headers(Height::new(90), 2_016).unwrap());
        assert_eq!(source.headers(Height::new(100_000), 1).unwrap(), []);

        assert_eq!(source.transaction(&outpoint.txid).unwrap().unwrap().block, Some(included_at));
        assert_eq!(source.inclusion(&outpoint.txid).unwrap(), inclusion);
        assert_eq!(source.inclusion_in(&outpoint.txid, included_at.height).unwrap(), inclusion);
        assert_eq!(source.inclusion_in(&outpoint.txid, Height::new(1)).unwrap(), None);
        let above = source.inclusion_in(&outpoint.txid, Height::new(100_000)).unwrap_err();
        assert!(matches!(above, ChainError::NoSuchBlock { .. }), "{above}");

        assert_eq!(source.transaction(&nowhere.txid).unwrap(), None);
        assert_eq!(source.inclusion(&nowhere.txid).unwrap(), None);
        assert_eq!(source.spend(&outpoint, &script, Some(included_at.height)).unwrap(), None);
        for (unknown, of) in [(nowhere, &script), (OutPoint { vout: 99, ..outpoint }, &script)] {
            let answer = source.spend(&unknown, of, None);
            assert!(matches!(answer, Err(ChainError::UnknownOutpoint { .. })), "{answer:?}");
        }
        assert_eq!(source.fee_rate(6).unwrap(), None);
        let floor = source.relay_fee().unwrap();
        assert!(floor > FeeRate::ZERO && floor <= FeeRate::from_sat_per_vb(1).unwrap(), "{floor}");
    }

    let spender = spending(outpoint, witness_script, vec![paying(99_000)]);
    let txid = spender.compute_txid();
    for source in sources {
        assert_eq!(source.broadcast(&spender).unwrap(), txid, "sent, and sent again");
    }
    server.wait_for_transaction(&script, txid).unwrap();
    for source in sources {
        let spend = source.spend(&outpoint, &script, None).unwrap().unwrap();
        assert_eq!((spend.txid, spend.input_index, spend.block), (txid, 0, None));
        assert_eq!(spend.tx, spender);
    }
    mine(&node, 1);
    let spent_at = tip(&node);
    server.sync(&node).unwrap();
    for source in sources {
        assert_eq!(source.spend(&outpoint, &script, None).unwrap().unwrap().block, Some(spent_at));
        assert_eq!(source.broadcast(&spender).unwrap(), txid, "confirmed");
        let again = spending(outpoint, open_script(1).1, vec![paying(98_000)]);
        let refusal = source.broadcast(&again).unwrap_err();
        let ChainError::Rejected { reason, .. } = &refusal else { panic!("{refusal}") };
        assert!(reason.contains("bad-txns-inputs-missingorspent"), "{reason}");
    }

    node.reorganise(spent_at.hash, 2).unwrap();
    server.sync(&node).unwrap();
    server.wait_for_transaction(&script, txid).unwrap();
    for source in sources {
        assert_eq!(source.tip().unwrap(), tip(&node));
        assert_eq!(source.spend(&outpoint, &script, None).unwrap().unwrap().block, None, "undone");
    }
}

#[test]
fn a_burning_transaction_goes_out_through_a_node_that_is_told_so() {
    let node = Node::start().unwrap();
    let rpc = by_cookie(&node);
    let (script, witness_script) = open_script(2);
    let outpoint = node.fund(&script, Amount::from_sat(100_000)).unwrap();
    let burn = TxOut { value: Amount::from_sat(10_000), script_pubkey: ScriptBuf::new_op_return([1]) };
    let tx = spending(outpoint, witness_script, vec![burn, paying(89_000)]);

    let refusal = rpc.broadcast(&tx).unwrap_err();
    assert!(matches!(refusal, ChainError::BurnsTooMuch { .. }), "{refusal}");
    let refusal = rpc.broadcast_presigned(&tx, Amount::from_sat(9_999)).unwrap_err();
    assert!(matches!(refusal, ChainError::BurnsTooMuch { .. }), "{refusal}");
    assert_eq!(rpc.broadcast_presigned(&tx, Amount::from_sat(10_000)).unwrap(), tx.compute_txid());
    assert_eq!(rpc.broadcast_presigned(&tx, Amount::from_sat(10_000)).unwrap(), tx.compute_txid());
    assert!(node.mempool().unwrap().contains(&tx.compute_txid()));
}

#[test]
fn a_presigned_transaction_goes_out_whatever_it_pays_and_another_only_below_the_nodes_limit() {
    let node = Node::start().unwrap();
    let rpc = by_cookie(&node);
    for (index, burned) in [(3, 0), (4, 10_000)] {
        let (script, witness_script) = open_script(index);
        let outpoint = node.fund(&script, Amount::from_sat(10_000_000)).unwrap();
        let burn = TxOut { value: Amount::from_sat(burned), script_pubkey: ScriptBuf::new_op_return([1]) };
        // Far above 10,000 sat per virtual byte.
        let tx = spending(outpoint, witness_script, vec![burn, paying(1_000_000)]);
        if burned == 0 {
            let refusal = rpc.broadcast(&tx).unwrap_err().to_string();
            assert!(refusal.contains("Fee exceeds maximum configured by user"), "{refusal}");
        }
        assert_eq!(rpc.broadcast_presigned(&tx, Amount::from_sat(burned)).unwrap(), tx.compute_txid());
        assert!(node.mempool().unwrap().contains(&tx.compute_txid()));
    }
}

#[test]
fn a_node_without_indexes_says_what_it_needs_and_answers_what_it_can() {
    let node = Node::builder().without_indexes().start().unwrap();
    let rpc = by_cookie(&node);
    let (script, witness_script) = open_script(3);
    let outpoint = node.fund(&script, Amount::from_sat(100_000)).unwrap();
    assert_eq!(rpc.transaction(&outpoint.txid).unwrap().unwrap().block, None, "the mempool needs no index");
    mine(&node, 1);
    let at = tip(&node);

    for refusal in [
        rpc.transaction(&outpoint.txid).map(drop).unwrap_err(),
        rpc.inclusion(&outpoint.txid).map(drop).unwrap_err(),
    ] {
        assert!(matches!(refusal, ChainError::TxIndexMissing { .. }), "{refusal}");
        assert!(refusal.to_string().contains("-txindex=1"), "{refusal}");
    }
    let inclusion = rpc.inclusion_in(&outpoint.txid, at.height).unwrap().unwrap();
    assert_eq!(inclusion.block, at);

    assert_eq!(rpc.spend(&outpoint, &script, Some(at.height)).unwrap(), None, "unspent");
    let spender = spending(outpoint, witness_script, vec![paying(99_000)]);
    rpc.broadcast(&spender).unwrap();
    let spend = rpc.spend(&outpoint, &script, Some(at.height)).unwrap().unwrap();
    assert_eq!((spend.txid, spend.block), (spender.compute_txid(), None));
    mine(&node, 3);
    let spend = rpc.spend(&outpoint, &script, Some(at.height)).unwrap().unwrap();
    assert_eq!(spend.tx, spender);
    assert_eq!(spend.block.unwrap().height, Height::new(at.height.to_u32() + 1));
    // Its inputs are gone, and this node cannot say whether by a former sending of the very same.
    let again = spending(outpoint, open_script(3).1, vec![paying(98_000)]);
    let refusal = rpc.broadcast(&again).unwrap_err();
    assert!(matches!(refusal, ChainError::Server { code: -25, .. }), "{refusal}");
    let refusal = rpc.spend(&outpoint, &script, None).unwrap_err();
    assert!(matches!(refusal, ChainError::TxIndexMissing { .. }), "{refusal}");
}

#[test]
fn a_pruned_block_is_named() {
    let node = Node::builder().without_indexes().arg("-fastprune").arg("-prune=1").start().unwrap();
    mine(&node, 1_000);
    node.call("pruneblockchain", &[700.into()]).unwrap();
    let rpc = by_cookie(&node);
    let refusal = rpc.block(Height::new(1)).unwrap_err();
    assert!(matches!(refusal, ChainError::Pruned { .. }), "{refusal}");
    let hash = node.block_hash(1).unwrap();
    assert_eq!(
        refusal.to_string(),
        format!("block {hash} is pruned on this node; use a node that keeps all blocks (-prune=0)")
    );
    let txid: Txid = NOWHERE.parse().unwrap();
    assert!(matches!(rpc.inclusion_in(&txid, Height::new(1)), Err(ChainError::Pruned { .. })));
    rpc.block(Height::new(1_000)).unwrap();
}

#[test]
fn a_wrong_password_and_a_wrong_network_are_told_apart() {
    let node = Node::start().unwrap();
    let wrong = BitcoindConfig::with_password(node.rpc_url(), "somebody", "secret-guess");
    let refusal = Bitcoind::connect(&wrong, Network::Regtest).unwrap_err();
    assert!(matches!(refusal, ChainError::Unauthorized { .. }), "{refusal}");
    assert!(!refusal.to_string().contains("secret-guess"));

    let cookie = BitcoindConfig::with_cookie(node.rpc_url(), node.cookie_file());
    let refusal = Bitcoind::connect(&cookie, Network::Bitcoin).unwrap_err();
    assert!(matches!(refusal, ChainError::WrongNetwork { .. }), "{refusal}");

    let missing = BitcoindConfig::with_cookie(node.rpc_url(), node.folder().join("nowhere"));
    let refusal = Bitcoind::connect(&missing, Network::Regtest).unwrap_err();
    assert!(matches!(refusal, ChainError::Config(_)), "{refusal}");
}

#[test]
fn a_node_that_stops_is_unreachable_and_back_with_a_new_cookie_it_is_found_again() {
    let mut node = Node::start().unwrap();
    let config =
        BitcoindConfig { attempts: 2, ..BitcoindConfig::with_cookie(node.rpc_url(), node.cookie_file()) };
    let rpc = Bitcoind::connect(&config, Network::Regtest).unwrap();
    let before = rpc.tip().unwrap();
    let cookie = fs::read_to_string(node.cookie_file()).unwrap();

    node.stop().unwrap();
    let refusal = rpc.tip().unwrap_err();
    assert!(matches!(refusal, ChainError::Unreachable { attempts: 2, .. }), "{refusal}");
    assert!(refusal.is_transient());

    node.restart().unwrap();
    assert_ne!(fs::read_to_string(node.cookie_file()).unwrap(), cookie);
    assert_eq!(rpc.tip().unwrap(), before);
}

#[test]
fn the_client_for_bdk_reaches_the_same_node() {
    use bitcoincore_rpc::RpcApi as _;
    let node = Node::start().unwrap();
    mine(&node, 2);
    let client = by_cookie(&node).rpc_client().unwrap();
    assert_eq!(client.get_block_count().unwrap(), 2);
}
