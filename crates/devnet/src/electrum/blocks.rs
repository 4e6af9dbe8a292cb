//! Calls about headers, and about places in blocks.

use bitcoin::Txid;
use bitcoin::consensus::encode::serialize_hex;
use bitcoin::hashes::sha256d;
use serde_json::{Value, json};

use super::params::Params;
use super::rpc::{Result, RpcError};
use super::session::Version;
use crate::chain::Chain;
use crate::merkle;

/// Most headers of one answer.
const MAX_HEADERS: u64 = 2016;

/// The tip, as header subscriptions tell it.
pub(super) fn tip(chain: &Chain) -> Value {
    let header = bitcoin::block::Header::from(chain);
    json!({"height": chain.tip().height, "hex": serialize_hex(&header)})
}

fn header_hex(chain: &Chain, height: u64) -> Result<String> {
    let header = u32::try_from(height).ok().and_then(|height| chain.header(height));
    let header = header.ok_or_else(|| RpcError::bad_request(format!("height {height} out of range")))?;
    Ok(serialize_hex(&header))
}

pub(super) fn block_header(chain: &Chain, mut params: Params) -> Result {
    let height = params.number("height")?;
    let checkpoint = params.number_or_zero("cp_height")?;
    let header = header_hex(chain, height)?;
    if checkpoint == 0 {
        return Ok(json!(header));
    }
    let mut result = header_proof(chain, height, checkpoint)?;
    result["header"] = json!(header);
    Ok(result)
}

pub(super) fn block_headers(chain: &Chain, protocol: Version, mut params: Params) -> Result {
    let start = params.number("start_height")?;
    let asked = params.number("count")?.min(MAX_HEADERS);
    let checkpoint = params.number_or_zero("cp_height")?;
    let available = (u64::from(chain.tip().height) + 1).saturating_sub(start);
    let count = asked.min(available);
    let headers =
        (start..start + count).map(|height| header_hex(chain, height)).collect::<Result<Vec<_>>>()?;
    let mut result = json!({"count": count, "max": MAX_HEADERS});
    if protocol >= [1, 6, 0] {
        result["headers"] = json!(headers);
    } else {
        result["hex"] = json!(headers.concat());
    }
    if count > 0 && checkpoint > 0 {
        let proof = header_proof(chain, start + count - 1, checkpoint)?;
        for key in ["root", "branch"] {
            result[key] = proof[key].clone();
        }
    }
    Ok(result)
}

/// Proves a header to the Merkle root over all headers up to a checkpoint.
fn header_proof(chain: &Chain, height: u64, checkpoint: u64) -> Result {
    let tip = u64::from(chain.tip().height);
    if height > checkpoint || checkpoint > tip {
        return Err(RpcError::bad_request(format!(
            "require header height {height} <= cp_height {checkpoint} <= chain height {tip}"
        )));
    }
    let hashes: Vec<sha256d::Hash> = (0..=checkpoint)
        .filter_map(|height| chain.block_hash(u32::try_from(height).ok()?))
        .map(|hash| hash.to_raw_hash())
        .collect();
    let position = usize::try_from(height).unwrap_or(usize::MAX);
    let branch = branch_json(&hashes, position);
    let (root, _) = merkle::root(hashes);
    Ok(json!({"branch": branch, "root": root_hex(root)}))
}

/// Hashes in a header's tree are displayed in reverse, as block hashes are.
fn root_hex(root: sha256d::Hash) -> String {
    bitcoin::BlockHash::from_raw_hash(root).to_string()
}

fn branch_json(leaves: &[sha256d::Hash], position: usize) -> Value {
    merkle::branch(leaves, position).into_iter().map(|hash| Txid::from_raw_hash(hash).to_string()).collect()
}

/// Ids of the transactions of a block.
fn txids(chain: &Chain, height: u64) -> Result<Vec<sha256d::Hash>> {
    let txids = u32::try_from(height).ok().and_then(|height| chain.txids(height));
    let txids = txids.ok_or_else(|| RpcError::bad_request(format!("height {height} out of range")))?;
    Ok(txids.iter().map(|txid| txid.to_raw_hash()).collect())
}

pub(super) fn merkle_branch(chain: &Chain, mut params: Params) -> Result {
    let txid = params.txid()?;
    let height = params.number("height")?;
    let txids = txids(chain, height)?;
    let position = txids.iter().position(|id| *id == txid.to_raw_hash());
    let position = position
        .ok_or_else(|| RpcError::bad_request(format!("tx {txid} not in block at height {height}")))?;
    Ok(json!({"block_height": height, "pos": position, "merkle": branch_json(&txids, position)}))
}

pub(super) fn id_from_position(chain: &Chain, mut params: Params) -> Result {
    let height = params.number("height")?;
    let position = params.number("tx_pos")?;
    let with_branch = params.flag("merkle")?;
    let txids = txids(chain, height)?;
    let index = usize::try_from(position).ok().filter(|index| *index < txids.len());
    let index = index.ok_or_else(|| {
        RpcError::bad_request(format!("no tx at position {position} in block at height {height}"))
    })?;
    let txid = Txid::from_raw_hash(txids[index]).to_string();
    if with_branch {
        return Ok(json!({"tx_hash": txid, "merkle": branch_json(&txids, index)}));
    }
    Ok(json!(txid))
}
