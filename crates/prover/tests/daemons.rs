//! Our proofs against those of a real bitcoind, and the light client against its reorganisations.
#![allow(clippy::unwrap_used, reason = "helpers of tests, outside #[test] functions")]

mod common;

use std::time::Duration;

use bitcoin::consensus::encode::deserialize;
use bitcoin::merkle_tree::PartialMerkleTree;
use bitcoin::{Amount, MerkleBlock, Network, OutPoint, Transaction, TxMerkleNode, TxOut, Txid};
use tapstake_chain::{Bitcoind, BitcoindConfig, ChainSource, Electrum, ElectrumConfig, inclusion_from_block};
use tapstake_params::Height;
use tapstake_prover::{Wait, prove, scan_blocks, sync_headers, wait_for_confirmations};
use tapstake_regtest::{Bitcoind as Node, ElectrumX, anyone_can_spend};
use tapstake_script::Scanned;
use tapstake_verifier::headers::{Anchor, HeaderChain};
use tapstake_verifier::{Registration, VerifyError, verify};

use common::{STAKED, World, open_script, policy, spending};

fn source(node: &Node) -> Bitcoind {
    let config = BitcoindConfig::with_cookie(node.rpc_url(), node.cookie_file());
    Bitcoind::connect(&config, node.network()).unwrap()
}

/// The position and the siblings in a node's own proof of one transaction. Depth first, as it is written: at
/// each node a bit says whether the way to the transaction leads through it; where not, its hash follows.
fn read_node_proof(tree: &PartialMerkleTree) -> (u32, Vec<TxMerkleNode>) {
    struct Reader<'a> {
        bits: std::slice::Iter<'a, bool>,
        hashes: std::slice::Iter<'a, TxMerkleNode>,
        transactions: u32,
        position: Option<u32>,
        siblings: Vec<(u32, TxMerkleNode)>,
    }
    impl Reader<'_> {
        fn width(&self, height: u32) -> u32 {
            self.transactions.div_ceil(1 << height)
        }

        fn read(&mut self, height: u32, position: u32) -> TxMerkleNode {
            let on_the_way = *self.bits.next().unwrap();
            if height == 0 || !on_the_way {
                let hash = *self.hashes.next().unwrap();
                if on_the_way {
                    self.position = Some(position);
                } else {
                    self.siblings.push((height, hash));
                }
                return hash;
            }
            let left = self.read(height - 1, 2 * position);
            if 2 * position + 1 >= self.width(height - 1) {
                // The last of an odd row is its own sibling.
                self.siblings.push((height - 1, left));
                return parent(left, left);
            }
            let right = self.read(height - 1, 2 * position + 1);
            parent(left, right)
        }
    }
    let mut reader = Reader {
        bits: tree.bits().iter(),
        hashes: tree.hashes().iter(),
        transactions: tree.num_transactions(),
        position: None,
        siblings: Vec::new(),
    };
    let height = (0..).find(|height| reader.width(*height) == 1).unwrap();
    reader.read(height, 0);
    reader.siblings.sort_by_key(|(height, _)| *height);
    (reader.position.unwrap(), reader.siblings.into_iter().map(|(_, hash)| hash).collect())
}

fn parent(left: TxMerkleNode, right: TxMerkleNode) -> TxMerkleNode {
    bitcoin::merkle_tree::calculate_root([left, right].into_iter()).unwrap()
}

fn node_proof(node: &Node, txid: Txid, block: bitcoin::BlockHash) -> MerkleBlock {
    deserialize(&node.txout_proof(txid, block).unwrap()).unwrap()
}

/// Coins of 1,000 sat, in one confirmed transaction.
fn coins(node: &Node, count: usize) -> Vec<OutPoint> {
    let output = TxOut { value: Amount::from_sat(1_000), script_pubkey: open_script() };
    let tx = node.fund_outputs(vec![output; count]).unwrap();
    node.mine(1, &anyone_can_spend(Network::Regtest)).unwrap();
    let txid = tx.compute_txid();
    (0..).take(count).map(|vout| OutPoint { txid, vout }).collect()
}

#[test]
fn the_node_and_we_prove_the_same_in_blocks_of_all_shapes() {
    let node = Node::start().unwrap();
    let world = World::new();
    let (home, source) = (anyone_can_spend(Network::Regtest), source(&node));
    let sizes = [1_usize, 2, 3, 7, 8, 9, 1_000];
    let mut coins = coins(&node, sizes.iter().map(|size| size - 1).sum()).into_iter();
    for size in sizes {
        let fee = Amount::from_sat(500);
        let output = TxOut { value: Amount::from_sat(1_000) - fee, script_pubkey: open_script() };
        let txs: Vec<Transaction> =
            coins.by_ref().take(size - 1).map(|coin| spending(coin, vec![output.clone()])).collect();
        let hash = node.mine_transactions(&txs, &home).unwrap();
        let (block, height) = (node.block(hash).unwrap(), Height::new(node.height().unwrap()));
        assert_eq!(block.txdata.len(), size);

        for (index, tx) in block.txdata.iter().enumerate() {
            let txid = tx.compute_txid();
            let ours = inclusion_from_block(&block, height, &txid).unwrap().unwrap();
            // The edges of a large block and every place of a small one, the rest by our own means only.
            if size > 9 && index > 9 && index < size - 9 && index % 97 != 0 {
                continue;
            }
            let theirs = node_proof(&node, txid, hash);
            assert_eq!(theirs.header, ours.header);
            let (position, siblings) = read_node_proof(&theirs.txn);
            assert_eq!(
                (ours.branch.index(), ours.branch.siblings()),
                (position, &siblings[..]),
                "{size}: {index}"
            );
            let (position, siblings) =
                read_node_proof(&node_proof(&node, block.txdata[0].compute_txid(), hash).txn);
            assert_eq!(
                (ours.coinbase_branch.index(), ours.coinbase_branch.siblings()),
                (position, &siblings[..])
            );
        }
        // And by the way of a proof, from the source, of the last.
        if size > 1 {
            let txid = block.txdata[size - 1].compute_txid();
            let claim = world.claim(Registration::None);
            let proof = prove(&source, OutPoint { txid, vout: 0 }, None, claim).unwrap();
            let (position, siblings) = read_node_proof(&node_proof(&node, txid, hash).txn);
            let branch = proof.inclusion.branch();
            assert_eq!((branch.index(), branch.siblings()), (position, &siblings[..]));
            assert_eq!(proof.inclusion.verify(Network::Regtest, &proof.header, height), Ok(txid));
        }
    }
}

#[test]
fn a_reorganisation_of_the_node_is_followed_over_both_sources() {
    let node = Node::start().unwrap();
    let world = World::new();
    let outpoint = node.fund(&world.staking_script(), STAKED).unwrap();
    let block = node.mine(1, &anyone_can_spend(Network::Regtest)).unwrap()[0];
    let height = Height::new(node.height().unwrap());
    node.mine(2, &anyone_can_spend(Network::Regtest)).unwrap();
    let server = ElectrumX::start(&node).unwrap();
    let electrum = Electrum::connect(&ElectrumConfig::new(server.url()), Network::Regtest).unwrap();
    let rpc = source(&node);
    let sources: [&dyn ChainSource; 2] = [&rpc, &electrum];

    let wait =
        Wait { confirmations: 3, poll: Duration::from_millis(100), timeout: Some(Duration::from_secs(30)) };
    let mut clients = Vec::new();
    let mut proofs = Vec::new();
    for source in sources {
        assert_eq!(wait_for_confirmations(source, outpoint.txid, wait, |_| true).unwrap(), 3);
        let mut client = HeaderChain::new(Anchor::genesis(Network::Regtest), 6);
        sync_headers(source, &mut client, |_| {}).unwrap();
        let proof = prove(source, outpoint, None, world.claim(Registration::None)).unwrap();
        let stake = verify(&world.secp, &proof, &client, &world.schedule, &policy(3)).unwrap();
        assert_eq!((stake.outpoint(), stake.inclusion_height()), (outpoint, height));
        clients.push(client);
        proofs.push(proof);
    }
    assert_eq!(proofs[0], proofs[1]);

    node.reorganise(block, 4).unwrap();
    server.sync(&node).unwrap();
    server.wait_for_transaction(&world.staking_script(), outpoint.txid).unwrap();
    for (source, client) in sources.into_iter().zip(&mut clients) {
        sync_headers(source, client, |_| {}).unwrap();
        assert_eq!(client.tip().1, node.best_block_hash().unwrap());
        let refusal = verify(&world.secp, &proofs[0], client, &world.schedule, &policy(1)).unwrap_err();
        assert!(matches!(refusal, VerifyError::NotInChain { .. }), "{refusal}");
        assert!(source.inclusion(&outpoint.txid).unwrap().is_none(), "back in the mempool");
    }
    node.mine(1, &anyone_can_spend(Network::Regtest)).unwrap();
    server.sync(&node).unwrap();
    for (source, client) in sources.into_iter().zip(&mut clients) {
        sync_headers(source, client, |_| {}).unwrap();
        let proof = prove(source, outpoint, None, world.claim(Registration::None)).unwrap();
        verify(&world.secp, &proof, client, &world.schedule, &policy(1)).unwrap();
    }
}

#[test]
fn phase_1_stakes_are_found_in_the_blocks_of_a_node() {
    let node = Node::start().unwrap();
    let world = World::new();
    let from = Height::new(node.height().unwrap());
    let mut expected = Vec::new();
    for _ in 0..2 {
        let tx = node.fund_outputs(world.phase_1_outputs()).unwrap();
        expected.push(OutPoint { txid: tx.compute_txid(), vout: 0 });
        node.fund(&open_script(), Amount::from_sat(10_000)).unwrap();
        node.mine(1, &anyone_can_spend(Network::Regtest)).unwrap();
    }
    let to = Height::new(node.height().unwrap());
    let (mut found, mut reached) = (Vec::new(), Vec::new());
    scan_blocks(
        &world.secp,
        &source(&node),
        &world.schedule,
        from,
        to,
        |_, scanned| match scanned {
            Scanned::Stake(stake) => found.push((stake.outpoint, stake.value)),
            faulty @ Scanned::Faulty { .. } => panic!("{faulty:?}"),
        },
        |height| reached.push(height),
    )
    .unwrap();
    assert_eq!(found, [(expected[0], STAKED), (expected[1], STAKED)]);
    assert_eq!((reached.first(), reached.last()), (Some(&from), Some(&to)));
}
