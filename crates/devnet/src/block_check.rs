//! Consensus rules about a block that need no coins: header, Merkle root, coinbase, witness commitment.

use bitcoin::block::Header;
use bitcoin::hashes::Hash;
use bitcoin::script::Builder;
use bitcoin::{Block, Target, Txid, WitnessCommitment, WitnessMerkleNode, Wtxid};

use crate::error::BlockError;
use crate::merkle;
use crate::rules::{
    MAX_BLOCK_SIGOPS_COST, MAX_BLOCK_WEIGHT, MAX_FUTURE_BLOCK_TIME, WITNESS_SCALE_FACTOR, pow_bits,
};
use crate::{sigops, tx_check};

/// Start of the output script that commits to the witnesses (BIP-0141).
pub(crate) const WITNESS_COMMITMENT_MAGIC: [u8; 6] = [0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed];

/// Checks what can be checked without knowing any other block. `txids` are those of the block.
pub(crate) fn check_block(block: &Block, txids: &[Txid]) -> Result<(), BlockError> {
    check_proof_of_work(&block.header)?;
    let (root, mutated) = merkle::root(txids.iter().map(|txid| txid.to_raw_hash()).collect());
    if block.header.merkle_root.to_raw_hash() != root {
        return Err(BlockError::BadMerkleRoot { root: block.header.merkle_root, computed: root.into() });
    }
    if mutated {
        return Err(BlockError::DuplicateTransactions);
    }
    let transactions = block.txdata.len();
    if transactions == 0 || base_size(block) as u64 * WITNESS_SCALE_FACTOR > MAX_BLOCK_WEIGHT {
        return Err(BlockError::BadLength { transactions });
    }
    if !block.txdata[0].is_coinbase() {
        return Err(BlockError::CoinbaseMissing);
    }
    if let Some(index) = block.txdata[1..].iter().position(bitcoin::Transaction::is_coinbase) {
        return Err(BlockError::CoinbaseMultiple { position: index + 1 });
    }
    for (tx, txid) in block.txdata.iter().zip(txids) {
        tx_check::check_form(tx).map_err(|source| BlockError::Transaction { txid: *txid, source })?;
    }
    let sigops: usize = block.txdata.iter().map(sigops::legacy_count).sum();
    let cost = sigops.saturating_mul(4);
    if cost > MAX_BLOCK_SIGOPS_COST {
        return Err(BlockError::Sigops { cost });
    }
    Ok(())
}

/// Size of a block without witnesses, in bytes.
fn base_size(block: &Block) -> usize {
    let count = bitcoin::VarInt::from(block.txdata.len()).size();
    80 + count + block.txdata.iter().map(bitcoin::Transaction::base_size).sum::<usize>()
}

fn check_proof_of_work(header: &Header) -> Result<(), BlockError> {
    let hash = header.block_hash();
    let limit = Target::from_compact(pow_bits());
    // An exponent above the limit's cannot be decoded into 256 bits, or is above the limit anyway.
    let decodable = header.bits.to_consensus() >> 24 <= pow_bits().to_consensus() >> 24;
    let target = header.target();
    if decodable && target != Target::ZERO && target <= limit && target.is_met_by(hash) {
        Ok(())
    } else {
        Err(BlockError::HighHash { hash })
    }
}

/// Checks a header against the median time past of its predecessor and the clock.
pub(crate) fn check_header_context(
    header: &Header,
    median_time_past: u32,
    now: u32,
) -> Result<(), BlockError> {
    if header.bits != pow_bits() {
        return Err(BlockError::BadBits {
            bits: header.bits.to_consensus(),
            expected: pow_bits().to_consensus(),
        });
    }
    if header.time <= median_time_past {
        return Err(BlockError::TimeTooOld { time: header.time, median: median_time_past });
    }
    if header.time > now.saturating_add(MAX_FUTURE_BLOCK_TIME) {
        return Err(BlockError::TimeTooNew { time: header.time, now });
    }
    // BIP-0034 asks for 2, BIP-0066 for 3, BIP-0065 for 4; on regtest all from the first block.
    let version = header.version.to_consensus();
    if version < 4 {
        return Err(BlockError::BadVersion { version });
    }
    Ok(())
}

/// Checks the transactions of a block at `height`, whose predecessor has the given median time past.
pub(crate) fn check_block_context(
    block: &Block,
    txids: &[Txid],
    height: u32,
    median_time_past: u32,
) -> Result<(), BlockError> {
    for (tx, txid) in block.txdata.iter().zip(txids) {
        if !tx_check::is_final(tx, height, median_time_past) {
            return Err(BlockError::NonFinal { txid: *txid, lock_time: tx.lock_time.to_consensus_u32() });
        }
    }
    let prefix = Builder::new().push_int(height.into()).into_script();
    if !block.txdata[0].input[0].script_sig.as_bytes().starts_with(prefix.as_bytes()) {
        return Err(BlockError::CoinbaseHeight { height });
    }
    check_witness_commitment(block, txids)?;
    let weight = block.weight().to_wu();
    if weight > MAX_BLOCK_WEIGHT {
        return Err(BlockError::BadWeight { weight });
    }
    Ok(())
}

fn check_witness_commitment(block: &Block, txids: &[Txid]) -> Result<(), BlockError> {
    let coinbase = &block.txdata[0];
    let commitment = coinbase.output.iter().rev().find_map(|output| {
        let script = output.script_pubkey.as_bytes();
        let hash = script.strip_prefix(&WITNESS_COMMITMENT_MAGIC)?.get(..32)?;
        Some(WitnessCommitment::from_slice(hash).expect("the slice has 32 bytes"))
    });
    let Some(commitment) = commitment else {
        let has_witness = |tx: &bitcoin::Transaction| tx.input.iter().any(|input| !input.witness.is_empty());
        return match block.txdata.iter().position(has_witness) {
            Some(position) => Err(BlockError::UnexpectedWitness { txid: txids[position] }),
            None => Ok(()),
        };
    };
    let witness = &coinbase.input[0].witness;
    let nonce = match (witness.len(), witness.nth(0)) {
        (1, Some(nonce)) if nonce.len() == 32 => nonce,
        _ => return Err(BlockError::WitnessNonceSize),
    };
    let computed = witness_commitment(block, nonce);
    if commitment != computed {
        return Err(BlockError::WitnessMerkleMismatch { commitment, computed });
    }
    Ok(())
}

/// Computes the commitment to the witnesses of all transactions but the coinbase.
pub(crate) fn witness_commitment(block: &Block, nonce: &[u8]) -> WitnessCommitment {
    let mut leaves = vec![Wtxid::all_zeros().to_raw_hash()];
    leaves.extend(block.txdata.iter().skip(1).map(|tx| tx.compute_wtxid().to_raw_hash()));
    let root = WitnessMerkleNode::from_raw_hash(merkle::root(leaves).0);
    Block::compute_witness_commitment(&root, nonce)
}
