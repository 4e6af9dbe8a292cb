//! The calls of the Electrum protocol.
//!
//! Results and error codes follow the protocol's documentation; where that is silent, ElectrumX.

use bitcoin::Amount;
use serde_json::{Value, json};

use super::params::Params;
use super::rpc::{Result, RpcError};
use super::session::{PROTOCOL_MAX, PROTOCOL_MIN, Session, Version};
use super::{blocks, scripts, transactions};
use crate::policy::{INCREMENTAL_RELAY_FEE_RATE, MIN_RELAY_FEE_RATE};
use crate::rules::genesis_block;
use crate::shared::Shared;

const SOFTWARE: &str = concat!("tapstake-devnet ", env!("CARGO_PKG_VERSION"));

/// Answers one call.
pub(super) fn call(shared: &Shared, session: &mut Session, method: &str, params: Value) -> Result {
    if method == "server.version" {
        return negotiate(session, params);
    }
    if let Some(call) = method.strip_prefix("blockchain.scripthash.") {
        return scripts::call(shared, session, call, method, params);
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
                Ok(blocks::tip(chain))
            })
        }
        "blockchain.block.header" => with(&["height", "cp_height"])
            .and_then(|params| shared.read(|chain| blocks::block_header(chain, params))),
        "blockchain.block.headers" => with(&["start_height", "count", "cp_height"])
            .and_then(|params| shared.read(|chain| blocks::block_headers(chain, session.protocol, params))),
        "blockchain.estimatefee" => with(&["number", "mode"]).and_then(estimate_fee),
        // Gone in 1.6, where mempool.get_info says the same.
        "blockchain.relayfee" if session.protocol < [1, 6, 0] => {
            with(&[]).map(|_| btc(Amount::from_sat(MIN_RELAY_FEE_RATE)))
        }
        "mempool.get_info" if session.protocol >= [1, 6, 0] => with(&[]).map(|_| mempool_info()),
        "blockchain.transaction.broadcast" => {
            with(&["raw_tx"]).and_then(|params| transactions::broadcast(shared, params))
        }
        "blockchain.transaction.broadcast_package" if session.protocol >= [1, 6, 0] => {
            with(&["raw_txs", "verbose"]).and_then(|params| transactions::broadcast_package(shared, params))
        }
        "blockchain.transaction.get" => with(&["tx_hash", "verbose"])
            .and_then(|params| shared.read(|chain| transactions::get(chain, params))),
        "blockchain.transaction.get_merkle" => with(&["tx_hash", "height"])
            .and_then(|params| shared.read(|chain| blocks::merkle_branch(chain, params))),
        "blockchain.transaction.id_from_pos" => with(&["height", "tx_pos", "merkle"])
            .and_then(|params| shared.read(|chain| blocks::id_from_position(chain, params))),
        _ => Err(RpcError::unknown_method(method)),
    }
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
