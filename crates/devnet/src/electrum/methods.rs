//! The calls of the Electrum protocol.
//!
//! Results and error codes follow the protocol's documentation; where that is silent, ElectrumX.

use std::fmt::Write as _;

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::hashes::{Hash, sha256, sha256d};
use bitcoin::{Amount, OutPoint, TxOut, Txid};
use serde_json::{Value, json};

use super::params::Params;
use super::rpc::RpcError;
use super::session::{PROTOCOL_MAX, PROTOCOL_MIN, Session, Version};
use crate::chain::Chain;
use crate::error::PackageError;
use crate::index::ElectrumScriptHash;
use crate::merkle;
use crate::policy::{INCREMENTAL_RELAY_FEE_RATE, MIN_RELAY_FEE_RATE};
use crate::rules::genesis_block;
use crate::shared::Shared;

const SOFTWARE: &str = concat!("tapstake-devnet ", env!("CARGO_PKG_VERSION"));
/// Most headers of one answer.
const MAX_HEADERS: u64 = 2016;
/// Most scripts one client may subscribe to.
const MAX_SUBSCRIPTIONS: usize = 100_000;

type Result<T = Value> = std::result::Result<T, RpcError>;

/// Answers one call.
pub(super) fn call(shared: &Shared, session: &mut Session, method: &str, params: Value) -> Result {
    if method == "server.version" {
        return negotiate(session, params);
    }
    if let Some(call) = method.strip_prefix("blockchain.scripthash.") {
        return scripthash_call(shared, session, call, method, params);
    }
    let with = |names| Params::new(params, names);
    match method {
        "server.features" => with(&[]).map(|_| features()),
        "server.ping" => with(&[]).map(|_| Value::Null),
        "server.banner" => with(&[]).map(|_| json!("An embedded regtest chain: its coins are worth nothing")),
        "server.donation_address" => with(&[]).map(|_| json!("")),
        "server.peers.subscribe" => with(&[]).map(|_| json!([])),
        "blockchain.headers.subscribe" => {
            with(&[])?;
            shared.read(|chain| {
                session.headers = Some(chain.tip().hash);
                Ok(tip(chain))
            })
        }
        "blockchain.block.header" => {
            with(&["height", "cp_height"]).and_then(|params| shared.read(|chain| block_header(chain, params)))
        }
        "blockchain.block.headers" => with(&["start_height", "count", "cp_height"])
            .and_then(|params| shared.read(|chain| block_headers(chain, session.protocol, params))),
        "blockchain.estimatefee" => with(&["number", "mode"]).and_then(estimate_fee),
        // Gone in 1.6, where mempool.get_info says the same.
        "blockchain.relayfee" if session.protocol < [1, 6, 0] => {
            with(&[]).map(|_| btc(Amount::from_sat(MIN_RELAY_FEE_RATE)))
        }
        "mempool.get_info" if session.protocol >= [1, 6, 0] => with(&[]).map(|_| mempool_info()),
        "blockchain.transaction.broadcast" => with(&["raw_tx"]).and_then(|params| broadcast(shared, params)),
        "blockchain.transaction.broadcast_package" if session.protocol >= [1, 6, 0] => {
            with(&["raw_txs", "verbose"]).and_then(|params| broadcast_package(shared, params))
        }
        "blockchain.transaction.get" => {
            with(&["tx_hash", "verbose"]).and_then(|params| shared.read(|chain| transaction(chain, params)))
        }
        "blockchain.transaction.get_merkle" => {
            with(&["tx_hash", "height"]).and_then(|params| shared.read(|chain| merkle_branch(chain, params)))
        }
        "blockchain.transaction.id_from_pos" => with(&["height", "tx_pos", "merkle"])
            .and_then(|params| shared.read(|chain| id_from_position(chain, params))),
        _ => Err(RpcError::unknown_method(method)),
    }
}

fn scripthash_call(
    shared: &Shared,
    session: &mut Session,
    call: &str,
    method: &str,
    params: Value,
) -> Result {
    if !["subscribe", "unsubscribe", "get_history", "get_mempool", "listunspent", "get_balance"]
        .contains(&call)
    {
        return Err(RpcError::unknown_method(method));
    }
    let script = Params::new(params, &["scripthash"])?.script_hash()?;
    shared.read(|chain| match call {
        "subscribe" => {
            if session.scripts.len() >= MAX_SUBSCRIPTIONS && !session.scripts.contains_key(&script) {
                return Err(RpcError::bad_request(format!("more than {MAX_SUBSCRIPTIONS} subscriptions")));
            }
            let status = status(chain, &script);
            session.scripts.insert(script, status);
            Ok(status_json(status))
        }
        "unsubscribe" => Ok(json!(session.scripts.remove(&script).is_some())),
        "get_history" => Ok(history(chain, &script)),
        "get_mempool" => Ok(json!(waiting_history(chain, &script))),
        "listunspent" => Ok(list_unspent(chain, &script)),
        _ => Ok(balance(chain, &script)),
    })
}

fn negotiate(session: &mut Session, params: Value) -> Result {
    // Later versions of the protocol may have more arguments here: they are ignored.
    let params = match params {
        Value::Array(list) => list.into_iter().take(2).collect(),
        other => other,
    };
    let mut params = Params::new(params, &["client_name", "protocol_version"])?;
    if session.negotiated {
        return Err(RpcError::bad_request("server.version already sent".to_owned()));
    }
    // The name of the client is of no use here.
    params.take("client_name");
    let asked = params.take("protocol_version");
    let parse = |value: &Value| value.as_str().and_then(parse_version);
    let range = match &asked {
        None => Some((PROTOCOL_MIN, PROTOCOL_MIN)),
        Some(Value::Array(range)) if range.len() == 2 => parse(&range[0]).zip(parse(&range[1])),
        Some(version) => parse(version).map(|version| (version, version)),
    };
    let common = range.and_then(|(least, most)| {
        let version = most.min(PROTOCOL_MAX);
        (version >= least.max(PROTOCOL_MIN)).then_some(version)
    });
    let Some(version) = common else {
        let asked = asked.map_or_else(String::new, |asked| asked.to_string().chars().take(80).collect());
        return Err(RpcError::bad_request(format!("unsupported protocol version: {asked}")).fatal());
    };
    session.negotiated = true;
    session.protocol = version;
    Ok(json!([SOFTWARE, version_string(version)]))
}

/// Parses `1.4` or `1.4.2`.
fn parse_version(text: &str) -> Option<Version> {
    let mut version = Version::default();
    let mut parts = text.split('.');
    for part in &mut version {
        *part = match parts.next() {
            Some(number) => number.parse().ok()?,
            None => 0,
        };
    }
    parts.next().is_none().then_some(version)
}

fn version_string([major, minor, patch]: Version) -> String {
    if patch == 0 { format!("{major}.{minor}") } else { format!("{major}.{minor}.{patch}") }
}

fn features() -> Value {
    json!({
        "hosts": {},
        "pruning": null,
        "server_version": SOFTWARE,
        "protocol_min": version_string(PROTOCOL_MIN),
        "protocol_max": version_string(PROTOCOL_MAX),
        "genesis_hash": genesis_block().block_hash().to_string(),
        "hash_function": "sha256",
        "services": [],
    })
}

fn btc(amount: Amount) -> Value {
    json!(amount.to_btc())
}

fn mempool_info() -> Value {
    let min = btc(Amount::from_sat(MIN_RELAY_FEE_RATE));
    json!({
        "mempoolminfee": min,
        "minrelaytxfee": min,
        "incrementalrelayfee": btc(Amount::from_sat(INCREMENTAL_RELAY_FEE_RATE)),
    })
}

/// There is no fee market on this chain to estimate from, so the answer is the protocol's "unknown".
fn estimate_fee(mut params: Params) -> Result {
    params.number("number")?;
    match params.take("mode") {
        None => Ok(json!(-1)),
        Some(Value::String(mode))
            if ["CONSERVATIVE", "ECONOMICAL"].contains(&mode.to_uppercase().as_str()) =>
        {
            Ok(json!(-1))
        }
        Some(_) => Err(RpcError::bad_request("unknown estimatefee mode".to_owned())),
    }
}

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

fn block_header(chain: &Chain, mut params: Params) -> Result {
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

fn block_headers(chain: &Chain, protocol: Version, mut params: Params) -> Result {
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

fn merkle_branch(chain: &Chain, mut params: Params) -> Result {
    let txid = params.txid()?;
    let height = params.number("height")?;
    let txids = txids(chain, height)?;
    let position = txids.iter().position(|id| *id == txid.to_raw_hash());
    let position = position
        .ok_or_else(|| RpcError::bad_request(format!("tx {txid} not in block at height {height}")))?;
    Ok(json!({"block_height": height, "pos": position, "merkle": branch_json(&txids, position)}))
}

fn id_from_position(chain: &Chain, mut params: Params) -> Result {
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

fn transaction(chain: &Chain, mut params: Params) -> Result {
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

fn broadcast(shared: &Shared, mut params: Params) -> Result {
    let tx = params.transaction()?;
    match shared.update(|chain| chain.accept(&tx, Amount::ZERO)) {
        Ok(accepted) => Ok(json!(accepted.txid.to_string())),
        Err(error) => Err(RpcError::bad_request(format!(
            "the transaction was rejected by network rules.\n\n{error}\n[{}]",
            serialize_hex(&tx)
        ))),
    }
}

fn broadcast_package(shared: &Shared, mut params: Params) -> Result {
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

/// A waiting transaction that touches a script.
struct Waiting {
    txid: Txid,
    /// 0, or -1 if an input is unconfirmed.
    height: i32,
    fee: Amount,
    /// Value it pays to the script.
    received: Amount,
    /// Value it spends from the script.
    spent: Amount,
}

/// Lists the waiting transactions that touch a script, in the protocol's order.
fn waiting(chain: &Chain, script: &ElectrumScriptHash) -> Vec<Waiting> {
    let value = |output: &TxOut| {
        if ElectrumScriptHash::of(&output.script_pubkey) == *script { Some(output.value) } else { None }
    };
    let spent_output = |outpoint: &OutPoint| {
        let confirmed = chain.coin(outpoint).map(|coin| coin.output.clone());
        let vout = usize::try_from(outpoint.vout).ok()?;
        confirmed.or_else(|| chain.mempool().get(&outpoint.txid)?.tx.output.get(vout).cloned())
    };
    let mut found = Vec::new();
    for (txid, entry) in chain.mempool().iter() {
        let received: Vec<Amount> = entry.tx.output.iter().filter_map(value).collect();
        let inputs = || entry.tx.input.iter().map(|input| &input.previous_output);
        let spent: Vec<Amount> =
            inputs().filter_map(spent_output).filter_map(|output| value(&output)).collect();
        if received.is_empty() && spent.is_empty() {
            continue;
        }
        let has_waiting_input = inputs().any(|outpoint| chain.mempool().contains(&outpoint.txid));
        found.push(Waiting {
            txid,
            height: if has_waiting_input { -1 } else { 0 },
            fee: entry.fee,
            received: received.into_iter().sum(),
            spent: spent.into_iter().sum(),
        });
    }
    found.sort_by_key(|waiting| (-waiting.height, waiting.txid.to_string()));
    found
}

fn waiting_history(chain: &Chain, script: &ElectrumScriptHash) -> Vec<Value> {
    let entry = |waiting: Waiting| json!({"tx_hash": waiting.txid.to_string(), "height": waiting.height, "fee": waiting.fee.to_sat()});
    waiting(chain, script).into_iter().map(entry).collect()
}

fn history(chain: &Chain, script: &ElectrumScriptHash) -> Value {
    let confirmed = chain
        .history(script)
        .iter()
        .map(|(height, txid)| json!({"tx_hash": txid.to_string(), "height": height}));
    confirmed.chain(waiting_history(chain, script)).collect()
}

/// The hash that sums up the history of a script, none if there is no history.
pub(super) fn status(chain: &Chain, script: &ElectrumScriptHash) -> Option<sha256::Hash> {
    let mut text = String::new();
    for (height, txid) in chain.history(script) {
        write!(text, "{txid}:{height}:").expect("writing to a string succeeds");
    }
    for waiting in waiting(chain, script) {
        write!(text, "{}:{}:", waiting.txid, waiting.height).expect("writing to a string succeeds");
    }
    (!text.is_empty()).then(|| sha256::Hash::hash(text.as_bytes()))
}

pub(super) fn status_json(status: Option<sha256::Hash>) -> Value {
    json!(status.map(|hash| hash.to_string()))
}

fn list_unspent(chain: &Chain, script: &ElectrumScriptHash) -> Value {
    let mut list = Vec::new();
    for (outpoint, coin) in chain.unspent(script) {
        list.push((outpoint, coin.height, coin.output.value));
    }
    for (txid, entry) in chain.mempool().iter() {
        for (vout, output) in (0..).zip(&entry.tx.output) {
            if ElectrumScriptHash::of(&output.script_pubkey) == *script {
                list.push((OutPoint { txid, vout }, 0, output.value));
            }
        }
    }
    list.iter()
        .filter(|(outpoint, ..)| chain.mempool().spender(outpoint).is_none())
        .map(|(outpoint, height, value)| {
            json!({
                "tx_hash": outpoint.txid.to_string(),
                "tx_pos": outpoint.vout,
                "height": height,
                "value": value.to_sat(),
            })
        })
        .collect()
}

fn balance(chain: &Chain, script: &ElectrumScriptHash) -> Value {
    let confirmed: Amount = chain.unspent(script).iter().map(|(_, coin)| coin.output.value).sum();
    // Spends of confirmed coins that wait make this negative.
    let unconfirmed: i128 = waiting(chain, script)
        .iter()
        .map(|waiting| i128::from(waiting.received.to_sat()) - i128::from(waiting.spent.to_sat()))
        .sum();
    let unconfirmed = i64::try_from(unconfirmed).unwrap_or(i64::MAX);
    json!({"confirmed": confirmed.to_sat(), "unconfirmed": unconfirmed})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_parsed_with_two_or_three_parts() {
        assert_eq!(parse_version("1.4"), Some([1, 4, 0]));
        assert_eq!(parse_version("1.4.2"), Some([1, 4, 2]));
        for bad in ["", "1.", "one", "1.4.2.1", "-1.4", "1.99999999999"] {
            assert_eq!(parse_version(bad), None, "{bad}");
        }
        assert_eq!(version_string([1, 4, 2]), "1.4.2");
        assert_eq!(version_string([1, 6, 0]), "1.6");
    }
}
