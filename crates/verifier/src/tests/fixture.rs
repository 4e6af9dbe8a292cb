//! A regtest chain with a stake in one of its blocks.

use alloc::vec::Vec;

use bitcoin::absolute::LockTime;
use bitcoin::block::{Header, Version as BlockVersion};
use bitcoin::hashes::Hash;
use bitcoin::key::{Keypair, Secp256k1};
use bitcoin::script::Builder;
use bitcoin::secp256k1::{All, SecretKey};
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, Network, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxMerkleNode, TxOut, Txid, Witness,
    XOnlyPublicKey, merkle_tree,
};
use tapstake_params::{Height, Schedule, Timelock, local};
use tapstake_script::{OpReturn, Providers, StakeTerms};

use crate::headers::testing::mine;
use crate::headers::{Anchor, HeaderChain};
use crate::{
    Claim, Depth, IncludedStake, InclusionProof, MerkleBranch, Policy, Registration, StakeProof, VerifyError,
    verify,
};

/// The height of the block with the stake.
pub(super) const HEIGHT: u32 = 20;
/// Blocks above it.
pub(super) const ABOVE: u32 = 10;
/// The value of the stake, in sat.
pub(super) const VALUE: u64 = 50_000;
/// Its timelock, in blocks.
pub(super) const TIME: u32 = 100;

pub(super) fn key(byte: u8) -> XOnlyPublicKey {
    let secret = SecretKey::from_slice(&[byte; 32]).unwrap();
    Keypair::from_secret_key(&Secp256k1::new(), &secret).x_only_public_key().0
}

pub(super) fn claim() -> Claim {
    Claim {
        staker: key(3),
        providers: Providers::one(key(5)),
        staking_time: Timelock::new(TIME).unwrap(),
        registration: Registration::None,
    }
}

pub(super) fn schedule() -> Schedule {
    local::schedule(&Secp256k1::new(), Network::Regtest, local::Slashed::Burned).unwrap()
}

pub(super) fn terms() -> StakeTerms {
    let claim = claim();
    StakeTerms::under(schedule().latest(), claim.staker, claim.providers, claim.staking_time).unwrap()
}

pub(super) fn staking_output() -> TxOut {
    let script_pubkey = terms().staking_output(&Secp256k1::new()).script_pubkey().clone();
    TxOut { value: Amount::from_sat(VALUE), script_pubkey }
}

pub(super) fn op_return() -> OpReturn {
    let claim = claim();
    OpReturn { tag: local::TAG, staker: claim.staker, provider: key(5), staking_time: 100 }
}

pub(super) fn op_return_output(data: &OpReturn) -> TxOut {
    TxOut { value: Amount::ZERO, script_pubkey: data.to_script() }
}

/// A transaction that spends some other one, told apart by `seed`.
pub(super) fn tx(seed: u32, output: Vec<TxOut>) -> Transaction {
    let previous_output = OutPoint::new(Txid::hash(&seed.to_le_bytes()), seed);
    let input = TxIn {
        previous_output,
        script_sig: ScriptBuf::new(),
        sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
        witness: Witness::from_slice(&[[7; 64]]),
    };
    Transaction { version: Version::TWO, lock_time: LockTime::ZERO, input: alloc::vec![input], output }
}

pub(super) fn filler(seed: u32) -> Transaction {
    let script_pubkey = ScriptBuf::from_bytes(alloc::vec![0x51; 22]);
    tx(seed, alloc::vec![TxOut { value: Amount::from_sat(1000), script_pubkey }])
}

/// The stake, between change and something else.
pub(super) fn staking_tx() -> Transaction {
    let mut stake = filler(1);
    stake.output.push(staking_output());
    stake.output.push(filler(2).output.remove(0));
    stake
}

pub(super) fn coinbase(height: u32) -> Transaction {
    let script_sig = Builder::new().push_int(height.into()).push_slice([0x2a; 8]).into_script();
    let mut coinbase = filler(0);
    coinbase.input[0].previous_output = OutPoint::null();
    coinbase.input[0].script_sig = script_sig;
    coinbase
}

/// Coinbase, three others, the stake at index 4, two more.
pub(super) fn block_of_seven() -> Vec<Transaction> {
    let mut txs = alloc::vec![coinbase(HEIGHT)];
    txs.extend((10..13).map(filler));
    txs.push(staking_tx());
    txs.extend((13..15).map(filler));
    txs
}

/// A light client that has a chain, and a proof that holds against it.
pub(super) struct World {
    pub(super) secp: Secp256k1<All>,
    pub(super) schedule: Schedule,
    pub(super) policy: Policy,
    pub(super) headers: Vec<Header>,
    pub(super) chain: HeaderChain,
    pub(super) proof: StakeProof,
}

pub(super) fn txids(txs: &[Transaction]) -> Vec<Txid> {
    txs.iter().map(Transaction::compute_txid).collect()
}

pub(super) fn merkle_root(txids: &[Txid]) -> TxMerkleNode {
    merkle_tree::calculate_root(txids.iter().copied().map(TxMerkleNode::from)).unwrap()
}

pub(super) fn next_header(last: &Header, merkle_root: TxMerkleNode) -> Header {
    mine(Header {
        version: BlockVersion::from_consensus(0x2000_0000),
        prev_blockhash: last.block_hash(),
        merkle_root,
        time: last.time + 600,
        bits: last.bits,
        nonce: 0,
    })
}

/// The proof that the transaction at `index` of a block is what `claim` says.
pub(super) fn inclusion(txs: &[Transaction], index: usize) -> InclusionProof {
    let txids = txids(txs);
    let branch = |index| MerkleBranch::from_txids(&txids, index).unwrap();
    InclusionProof::new(txs[index].clone(), branch(index), txs[0].clone(), branch(0))
}

impl World {
    pub(super) fn honest() -> Self {
        World::with_block(&block_of_seven(), 4)
    }

    /// The block at [`HEIGHT`] has these transactions, and the proof is of the one at `index`.
    pub(super) fn with_block(txs: &[Transaction], index: usize) -> Self {
        World::with_block_at(HEIGHT, txs, index)
    }

    pub(super) fn with_block_at(height: u32, txs: &[Transaction], index: usize) -> Self {
        let anchor = Anchor::genesis(Network::Regtest);
        let mut headers = alloc::vec![*anchor.header()];
        for at in 1..=height + ABOVE {
            let root = if at == height {
                merkle_root(&txids(txs))
            } else {
                merkle_root(&[coinbase(at).compute_txid()])
            };
            let header = next_header(headers.last().unwrap(), root);
            headers.push(header);
        }
        let mut chain = HeaderChain::new(anchor, 100);
        chain.extend(&headers).unwrap();
        let proof = StakeProof {
            network: Network::Regtest,
            vout: 1,
            claim: claim(),
            inclusion_height: Height::new(height),
            header: headers[height as usize],
            inclusion: inclusion(txs, index),
            own_headers: None,
            delegation: None,
        };
        World {
            secp: Secp256k1::new(),
            schedule: schedule(),
            policy: Policy::new(Depth::Confirmations(6)),
            headers,
            chain,
            proof,
        }
    }

    /// The stake's transaction is this one.
    pub(super) fn with_stake(stake: Transaction) -> Self {
        let mut txs = block_of_seven();
        txs[4] = stake;
        World::with_block(&txs, 4)
    }

    pub(super) fn verify(&self) -> Result<IncludedStake, VerifyError> {
        self.verify_proof(&self.proof)
    }

    pub(super) fn verify_proof(&self, proof: &StakeProof) -> Result<IncludedStake, VerifyError> {
        verify(&self.secp, proof, &self.chain, &self.schedule, &self.policy)
    }
}
