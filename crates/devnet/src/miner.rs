//! Making blocks: from the mempool, or from any transactions.

use bitcoin::block::{Header, Version};
use bitcoin::consensus::encode::serialize;
use bitcoin::hashes::Hash;
use bitcoin::script::Builder;
use bitcoin::{
    Amount, Block, BlockHash, OutPoint, Script, ScriptBuf, Sequence, Target, Transaction, TxIn, TxMerkleNode,
    TxOut, Txid, Witness, absolute, transaction,
};

use crate::block_check::{WITNESS_COMMITMENT_MAGIC, witness_commitment};
use crate::chain::Chain;
use crate::error::BlockError;
use crate::merkle;
use crate::rules::{MAX_BLOCK_SIGOPS_COST, MAX_BLOCK_WEIGHT, pow_bits, subsidy};

/// Weight left for the header, the number of transactions and the coinbase, in weight units.
const RESERVED_WEIGHT: u64 = 8_000;
/// Cost left for signature operations in the coinbase.
const RESERVED_SIGOPS: usize = 400;
/// The witness of every coinbase made here (BIP-0141 leaves it free).
const WITNESS_NONCE: [u8; 32] = [0; 32];

impl Chain {
    /// Mines one block with the best paying transactions of the mempool, and connects it. Subsidy and
    /// fees go to `script_pubkey`.
    ///
    /// # Errors
    ///
    /// Returns [`BlockError::TimeTooNew`] if blocks came so fast that the next timestamp would be more
    /// than two hours ahead of the clock: six blocks take at least one second, so that takes over
    /// 43,000 blocks at once. Other errors would be mistakes of this crate.
    pub fn mine(&mut self, script_pubkey: &Script) -> Result<BlockHash, BlockError> {
        let chosen =
            self.mempool.select(MAX_BLOCK_WEIGHT - RESERVED_WEIGHT, MAX_BLOCK_SIGOPS_COST - RESERVED_SIGOPS);
        let fees = chosen.iter().map(|entry| entry.fee).sum();
        let transactions = chosen.iter().map(|entry| entry.tx.as_ref().clone()).collect();
        let block = self.assemble(script_pubkey, transactions, fees);
        let hash = block.block_hash();
        self.submit_block(block)?;
        Ok(hash)
    }

    /// Makes a block on the tip that includes the given transactions, in this order, with proof of
    /// work; it is not submitted. Subsidy and `fees`, which the caller knows, go to `script_pubkey`.
    ///
    /// No rule is checked, so this also makes invalid blocks, and blocks with transactions that no
    /// mempool takes.
    pub fn assemble(
        &mut self,
        script_pubkey: &Script,
        transactions: Vec<Transaction>,
        fees: Amount,
    ) -> Block {
        let tip = self.tip();
        self.extra_nonce += 1;
        let height = tip.height + 1;
        let reward = subsidy(height) + fees;
        let coinbase = coinbase(height, self.extra_nonce, reward, script_pubkey);
        let mut txdata = Vec::with_capacity(transactions.len() + 1);
        txdata.push(coinbase);
        txdata.extend(transactions);
        let header = Header {
            version: Version::from_consensus(0x2000_0000),
            prev_blockhash: tip.hash,
            merkle_root: TxMerkleNode::all_zeros(),
            time: self.now().max(self.tip_median_time_past() + 1),
            bits: pow_bits(),
            nonce: 0,
        };
        let mut block = Block { header, txdata };
        seal(&mut block);
        block
    }
}

/// Gives a block the witness commitment, the Merkle root and the proof of work for its transactions.
///
/// The commitment goes to the last output of the coinbase, which must be the one made by
/// [`Chain::assemble`]; a coinbase without such an output gets none.
pub fn seal(block: &mut Block) {
    let commitment = witness_commitment(block, &WITNESS_NONCE);
    let output = block.txdata.first_mut().and_then(|coinbase| coinbase.output.last_mut());
    if let Some(output) =
        output.filter(|output| output.script_pubkey.as_bytes().starts_with(&WITNESS_COMMITMENT_MAGIC))
    {
        output.script_pubkey = commitment_script(commitment.as_byte_array());
    }
    let txids: Vec<Txid> = block.txdata.iter().map(Transaction::compute_txid).collect();
    let (root, _) = merkle::root(txids.iter().map(|txid| txid.to_raw_hash()).collect());
    block.header.merkle_root = TxMerkleNode::from_raw_hash(root);
    solve(&mut block.header);
}

/// Searches the nonce that makes the header meet its target; on regtest every second one does.
pub fn solve(header: &mut Header) {
    let target = Target::from_compact(header.bits);
    while !target.is_met_by(header.block_hash()) {
        header.nonce = header.nonce.wrapping_add(1);
    }
}

fn coinbase(height: u32, extra_nonce: u64, value: Amount, script_pubkey: &Script) -> Transaction {
    let input = TxIn {
        previous_output: OutPoint::null(),
        // The first push is the height (BIP-0034); eight more bytes make every coinbase unique.
        script_sig: Builder::new()
            .push_int(height.into())
            .push_slice(extra_nonce.to_le_bytes())
            .into_script(),
        sequence: Sequence::MAX,
        witness: Witness::from_slice(&[WITNESS_NONCE]),
    };
    let reward = TxOut { value, script_pubkey: script_pubkey.to_owned() };
    let commitment = TxOut { value: Amount::ZERO, script_pubkey: commitment_script(&[0; 32]) };
    Transaction {
        version: transaction::Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: vec![input],
        output: vec![reward, commitment],
    }
}

fn commitment_script(hash: &[u8; 32]) -> ScriptBuf {
    let mut script = WITNESS_COMMITMENT_MAGIC.to_vec();
    script.extend_from_slice(hash);
    ScriptBuf::from_bytes(script)
}

/// Serializes a block as the node call `submitblock` takes it, in hexadecimal.
pub fn block_hex(block: &Block) -> String {
    use bitcoin::hex::DisplayHex;
    serialize(block).to_lower_hex_string()
}
