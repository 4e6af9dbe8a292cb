//! Calls about scripts: their history, their coins, and what changes.

use std::fmt::Write as _;

use bitcoin::hashes::{Hash, sha256};
use bitcoin::{Amount, OutPoint, TxOut, Txid};
use serde_json::{Value, json};

use super::params::Params;
use super::rpc::{Result, RpcError};
use super::session::Session;
use crate::chain::Chain;
use crate::index::ElectrumScriptHash;
use crate::shared::Shared;

/// Most scripts one client may subscribe to.
const MAX_SUBSCRIPTIONS: usize = 100_000;

/// Answers a call whose name begins with `blockchain.scripthash.`; `call` is the rest of it.
pub(super) fn call(
    shared: &Shared,
    session: &mut Session,
    name: &str,
    method: &str,
    params: Value,
) -> Result {
    if !["subscribe", "unsubscribe", "get_history", "get_mempool", "listunspent", "get_balance"]
        .contains(&name)
    {
        return Err(RpcError::unknown_method(method));
    }
    let script = Params::new(params, &["scripthash"])?.script_hash()?;
    shared.read(|chain| match name {
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
