//! Calls about transactions: to get them, and to broadcast them.

use bitcoin::Amount;
use bitcoin::consensus::encode::serialize_hex;
use serde_json::{Value, json};

use super::params::Params;
use super::rpc::{Result, RpcError};
use crate::chain::Chain;
use crate::error::PackageError;
use crate::shared::Shared;

pub(super) fn get(chain: &Chain, mut params: Params) -> Result {
    let txid = params.txid()?;
    let verbose = params.flag("verbose")?;
    let unknown = || RpcError::daemon("daemon error: No such mempool or blockchain transaction".to_owned());
    let tx = chain.transaction(&txid).ok_or_else(unknown)?;
    let hex = serialize_hex(&tx);
    if !verbose {
        return Ok(json!(hex));
    }
    let mut result = json!({
        "txid": txid.to_string(),
        "hash": tx.compute_wtxid().to_string(),
        "version": tx.version.0,
        "size": tx.total_size(),
        "vsize": tx.vsize(),
        "weight": tx.weight().to_wu(),
        "locktime": tx.lock_time.to_consensus_u32(),
        "hex": hex,
    });
    if let Some(position) = chain.position(&txid) {
        let time = chain.header(position.height).map(|header| header.time);
        result["blockhash"] = json!(position.block.to_string());
        result["confirmations"] = json!(chain.tip().height - position.height + 1);
        result["time"] = json!(time);
        result["blocktime"] = json!(time);
    }
    Ok(result)
}

pub(super) fn broadcast(shared: &Shared, mut params: Params) -> Result {
    let tx = params.transaction()?;
    match shared.update(|chain| chain.accept(&tx, Amount::ZERO)) {
        Ok(accepted) => Ok(json!(accepted.txid.to_string())),
        Err(error) => Err(RpcError::bad_request(format!(
            "the transaction was rejected by network rules.\n\n{error}\n[{}]",
            serialize_hex(&tx)
        ))),
    }
}

pub(super) fn broadcast_package(shared: &Shared, mut params: Params) -> Result {
    let package = params.transactions()?;
    if params.flag("verbose")? {
        return Err(RpcError::bad_request(
            "verbose answers are a node's own, and there is no node".to_owned(),
        ));
    }
    match shared.update(|chain| chain.accept_package(&package)) {
        Ok(_) => Ok(json!({"success": true})),
        Err(PackageError::Transactions(refused)) => {
            let errors: Vec<Value> = refused
                .iter()
                .map(|(txid, error)| json!({"txid": txid.to_string(), "error": error.to_string()}))
                .collect();
            Ok(json!({"success": false, "errors": errors}))
        }
        Err(error) => {
            Err(RpcError::bad_request(format!("the tx package was rejected by network rules.\n\n{error}.")))
        }
    }
}
