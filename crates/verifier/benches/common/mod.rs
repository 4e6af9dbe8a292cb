//! A stake in the middle of a block of 3,166 transactions.

use bitcoin::block::{Header, Version as BlockVersion};
use bitcoin::hashes::Hash;
use bitcoin::script::Builder;
use bitcoin::{
    Network, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxMerkleNode, TxOut, Txid, Witness, absolute,
    merkle_tree, transaction,
};
use tapstake_params::Height;
use tapstake_tx::delegation::DelegationParts;
use tapstake_verifier::headers::{Anchor, HeaderChain};
use tapstake_verifier::{Claim, InclusionProof, MerkleBranch, StakeProof};

const TRANSACTIONS: usize = 3166;
/// Levels of a tree of that many leaves.
pub(crate) const DEPTH: usize = 12;

pub(crate) fn header(last: &Header, merkle_root: TxMerkleNode) -> Header {
    let mut header = Header {
        version: BlockVersion::from_consensus(0x2000_0000),
        prev_blockhash: last.block_hash(),
        merkle_root,
        time: last.time + 600,
        bits: last.bits,
        nonce: 0,
    };
    while !header.target().is_met_by(header.block_hash()) {
        header.nonce += 1;
    }
    header
}

pub(crate) fn tx(previous_output: OutPoint, script_sig: ScriptBuf, output: Vec<TxOut>) -> Transaction {
    let sequence = Sequence::ENABLE_RBF_NO_LOCKTIME;
    let input = vec![TxIn { previous_output, script_sig, sequence, witness: Witness::new() }];
    let (version, lock_time) = (transaction::Version::TWO, absolute::LockTime::ZERO);
    Transaction { version, lock_time, input, output }
}

/// Regtest's chain up to the block that includes `stake`, whose first output is the stake, and the proof of that.
pub(crate) fn proven(
    claim: Claim,
    stake: Transaction,
    delegation: Option<DelegationParts>,
) -> (HeaderChain, StakeProof) {
    let script_sig = Builder::new().push_int(1).push_slice([0; 8]).into_script();
    let coinbase = tx(OutPoint::null(), script_sig, stake.output.clone());
    let mut txids: Vec<Txid> = (0..TRANSACTIONS).map(|i| Txid::hash(&i.to_le_bytes())).collect();
    txids[0] = coinbase.compute_txid();
    txids[1000] = stake.compute_txid();
    let root = merkle_tree::calculate_root(txids.iter().copied().map(TxMerkleNode::from));
    let branch = |index| MerkleBranch::from_txids(&txids, index).expect("a transaction of the block");
    assert_eq!(branch(1000).depth(), DEPTH);

    let network = Network::Regtest;
    let anchor = Anchor::genesis(network);
    let header = header(anchor.header(), root.expect("a block has transactions"));
    let mut chain = HeaderChain::new(anchor, 6);
    chain.extend(&[header]).expect("a valid header");
    let proof = StakeProof {
        network,
        vout: 0,
        claim,
        inclusion_height: Height::new(1),
        header,
        inclusion: InclusionProof::new(stake, branch(1000), coinbase, branch(0)),
        own_headers: None,
        delegation,
    };
    (chain, proof)
}
