//! What can be checked of an answer without trusting who gave it. Failures are said in words, for
//! [`ChainError::Misbehaving`](crate::ChainError::Misbehaving).

use bitcoin::block::Header;
use bitcoin::consensus::encode;
use bitcoin::{Amount, Block, FeeRate, Network, Transaction, Txid};
use tapstake_params::Height;
use tapstake_verifier::MerkleBranch;

use crate::{BlockId, ChainError, Inclusion};

/// The most bytes one transaction can have: the weight limit of a block.
pub(crate) const MAX_TX_BYTES: usize = 4_000_000;

/// A transaction from hex whose bytes hash to `txid`.
pub(crate) fn transaction(hex: &str, txid: &Txid) -> Result<Transaction, String> {
    if hex.len() > 2 * MAX_TX_BYTES {
        return Err(format!("transaction {txid} of {} hex digits fits in no block", hex.len()));
    }
    let tx: Transaction = encode::deserialize_hex(hex)
        .map_err(|error| format!("the bytes of transaction {txid} are no transaction ({error})"))?;
    let found = tx.compute_txid();
    if found != *txid {
        return Err(format!("asked for transaction {txid} it sent {found}"));
    }
    Ok(tx)
}

/// A header from hex: exactly 80 bytes, and mined at no less than the network's lowest difficulty.
///
/// That is no proof that it is in the chain, but the price of a made-up one.
pub(crate) fn header(hex: &str, network: Network) -> Result<Header, String> {
    let header: Header = encode::deserialize_hex(hex)
        .map_err(|error| format!("a block header of {} digits ({error})", hex.len()))?;
    let target = header.target();
    if target > network.params().max_attainable_target || header.validate_pow(target).is_err() {
        return Err(format!("header {} has no proof of work of {network}", header.block_hash()));
    }
    Ok(header)
}

/// The first position at which a header does not name the one before it.
pub(crate) fn first_broken_link(headers: &[Header]) -> Option<usize> {
    headers.windows(2).position(|pair| pair[1].prev_blockhash != pair[0].block_hash()).map(|at| at + 1)
}

/// A block whose transactions hash to its header's Merkle root.
pub(crate) fn block(block: Block) -> Result<Block, String> {
    if block.check_merkle_root() {
        Ok(block)
    } else {
        Err(format!("block {} has other transactions than its header says", block.block_hash()))
    }
}

/// Whether a branch leads from a txid to the header's Merkle root.
pub(crate) fn branch(branch: &MerkleBranch, txid: &Txid, header: &Header) -> Result<(), String> {
    match branch.root(*txid) {
        Ok(root) if root == header.merkle_root => Ok(()),
        Ok(root) => Err(format!(
            "the branch of transaction {txid} leads to {root}, the header of block {} says {}",
            header.block_hash(),
            header.merkle_root
        )),
        Err(error) => Err(format!("the branch of transaction {txid}: {error}")),
    }
}

/// The proof of the transaction `txid` out of its whole block; `None` if it is not in there.
///
/// ```
/// use bitcoin::Network;
/// use bitcoin::constants::genesis_block;
/// use tapstake_chain::inclusion_from_block;
/// use tapstake_params::Height;
///
/// let block = genesis_block(Network::Regtest);
/// let txid = block.txdata[0].compute_txid();
/// let inclusion = inclusion_from_block(&block, Height::GENESIS, &txid)?.expect("it is the only one");
/// assert_eq!(inclusion.branch.root(txid), Ok(block.header.merkle_root));
/// # Ok::<(), tapstake_chain::ChainError>(())
/// ```
///
/// # Errors
///
/// [`ChainError::BadBlock`] if the transactions are not those of the header.
pub fn inclusion_from_block(
    block: &Block,
    height: Height,
    txid: &Txid,
) -> Result<Option<Inclusion>, ChainError> {
    let bad = |what: String| ChainError::BadBlock { what };
    let txids: Vec<Txid> = block.txdata.iter().map(Transaction::compute_txid).collect();
    let Some(position) = txids.iter().position(|id| id == txid) else { return Ok(None) };
    let proven = |index: usize| {
        let proof = MerkleBranch::from_txids(&txids, index).map_err(|error| bad(error.to_string()))?;
        branch(&proof, &txids[index], &block.header).map_err(bad)?;
        Ok(proof)
    };
    Ok(Some(Inclusion {
        block: BlockId { height, hash: block.block_hash() },
        header: block.header,
        tx: block.txdata[position].clone(),
        branch: proven(position)?,
        coinbase: block.txdata[0].clone(),
        coinbase_branch: proven(0)?,
    }))
}

/// What a transaction puts into outputs that nobody can ever spend.
pub(crate) fn burned(tx: &Transaction) -> Amount {
    let burned = tx.output.iter().filter(|output| output.script_pubkey.is_op_return());
    // Saturating, since a transaction from outside may claim more than there is.
    Amount::from_sat(burned.fold(0_u64, |sum, output| sum.saturating_add(output.value.to_sat())))
}

/// A fee rate from the unit of Core and of Electrum, bitcoin per 1,000 vbytes, rounded up to the next
/// satoshi per 1,000 weight units. `None` for what is no such rate: negative, or above 1 BTC/kvB, the limit
/// Core has for rates that people give it.
pub(crate) fn fee_rate(btc_per_kvb: f64) -> Option<FeeRate> {
    let rate = Amount::from_btc(btc_per_kvb).ok()?;
    (rate <= Amount::ONE_BTC).then(|| FeeRate::from_sat_per_kwu(rate.to_sat().div_ceil(4)))
}

#[cfg(test)]
mod tests {
    use bitcoin::constants::genesis_block;
    use bitcoin::{ScriptBuf, TxOut};

    use super::*;

    #[test]
    fn a_block_of_one_transaction_has_branches_without_siblings() {
        let genesis = genesis_block(Network::Regtest);
        let txid = genesis.txdata[0].compute_txid();
        let found = inclusion_from_block(&genesis, Height::GENESIS, &txid).unwrap().unwrap();
        assert_eq!((found.branch.depth(), found.coinbase_branch.depth()), (0, 0));
        branch(&found.branch, &txid, &genesis.header).unwrap();
        let other = "11".repeat(32).parse().unwrap();
        assert_eq!(inclusion_from_block(&genesis, Height::GENESIS, &other).unwrap(), None);
    }

    #[test]
    fn headers_without_the_work_of_the_network_are_refused() {
        for network in
            [Network::Bitcoin, Network::Testnet, Network::Testnet4, Network::Signet, Network::Regtest]
        {
            let genesis = genesis_block(network).header;
            assert_eq!(header(&encode::serialize_hex(&genesis), network), Ok(genesis));
        }
        let regtest = encode::serialize_hex(&genesis_block(Network::Regtest).header);
        assert!(header(&regtest, Network::Signet).unwrap_err().ends_with("has no proof of work of signet"));
        let mut unmined = genesis_block(Network::Bitcoin).header;
        unmined.nonce += 1;
        assert!(header(&encode::serialize_hex(&unmined), Network::Bitcoin).is_err());
        assert!(header(&regtest[..158], Network::Regtest).is_err());
        assert!(header(&format!("{regtest}00"), Network::Regtest).is_err());
    }

    #[test]
    fn fee_rates_are_rounded_up_and_bounded() {
        assert_eq!(fee_rate(0.000_01), Some(FeeRate::from_sat_per_kwu(250)));
        assert_eq!(fee_rate(0.000_000_01), Some(FeeRate::from_sat_per_kwu(1)));
        assert_eq!(fee_rate(-1.0), None);
        assert_eq!(fee_rate(1.1), None);
        assert_eq!(fee_rate(f64::NAN), None);
    }

    #[test]
    fn only_unspendable_outputs_count_as_burned() {
        let mut tx = genesis_block(Network::Regtest).txdata[0].clone();
        assert_eq!(burned(&tx), Amount::ZERO);
        for value in [7, u64::MAX] {
            let script_pubkey = ScriptBuf::new_op_return([1]);
            tx.output.push(TxOut { value: Amount::from_sat(value), script_pubkey });
        }
        assert_eq!(burned(&tx), Amount::from_sat(u64::MAX));
    }
}
