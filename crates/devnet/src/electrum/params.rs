//! Parameters of a call, by position or by name.

use std::str::FromStr;

use bitcoin::consensus::encode::deserialize_hex;
use bitcoin::{Transaction, Txid};
use serde_json::Value;

use super::rpc::{Result, RpcError};
use crate::index::ElectrumScriptHash;

/// The parameters of one call. Each is taken out once; what is left over is an error.
pub(super) struct Params {
    names: &'static [&'static str],
    values: Vec<Option<Value>>,
}

impl Params {
    /// Sorts parameters into the given places.
    pub(super) fn new(params: Value, names: &'static [&'static str]) -> Result<Self> {
        let mut values = vec![None; names.len()];
        match params {
            Value::Null => {}
            Value::Array(list) => {
                if list.len() > names.len() {
                    let (given, most) = (list.len(), names.len());
                    return Err(RpcError::invalid_params(format!(
                        "{given} arguments given, at most {most} expected"
                    )));
                }
                for (place, value) in values.iter_mut().zip(list) {
                    *place = Some(value);
                }
            }
            Value::Object(map) => {
                for (name, value) in map {
                    let index = names.iter().position(|known| *known == name);
                    let index =
                        index.ok_or_else(|| RpcError::invalid_params(format!("unknown argument {name}")))?;
                    values[index] = Some(value);
                }
            }
            _ => return Err(RpcError::invalid_params("arguments must be a list or an object".to_owned())),
        }
        Ok(Self { names, values })
    }

    fn index(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| *known == name)
    }

    /// Takes an optional parameter; null counts as left out.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.index(name).and_then(|index| self.values[index].take()).filter(|value| !value.is_null())
    }

    fn required(&mut self, name: &str) -> Result<Value> {
        self.take(name).ok_or_else(|| RpcError::invalid_params(format!("argument {name} is missing")))
    }

    pub(super) fn script_hash(&mut self) -> Result<ElectrumScriptHash> {
        let value = self.required("scripthash")?;
        value
            .as_str()
            .and_then(|text| ElectrumScriptHash::from_str(text).ok())
            .ok_or_else(|| RpcError::bad_request(format!("{} is not a valid script hash", short(&value))))
    }

    pub(super) fn txid(&mut self) -> Result<Txid> {
        let value = self.required("tx_hash")?;
        value
            .as_str()
            .and_then(|text| Txid::from_str(text).ok())
            .ok_or_else(|| RpcError::bad_request(format!("{} should be a transaction hash", short(&value))))
    }

    pub(super) fn number(&mut self, name: &str) -> Result<u64> {
        let value = self.required(name)?;
        number(&value)
    }

    pub(super) fn number_or_zero(&mut self, name: &str) -> Result<u64> {
        self.take(name).map_or(Ok(0), |value| number(&value))
    }

    pub(super) fn flag(&mut self, name: &str) -> Result<bool> {
        let Some(value) = self.take(name) else { return Ok(false) };
        value.as_bool().ok_or_else(|| RpcError::bad_request(format!("\"{name}\" must be a boolean")))
    }

    pub(super) fn transaction(&mut self) -> Result<Transaction> {
        let value = self.required("raw_tx")?;
        transaction(&value)
    }

    pub(super) fn transactions(&mut self) -> Result<Vec<Transaction>> {
        let value = self.required("raw_txs")?;
        let list = value
            .as_array()
            .ok_or_else(|| RpcError::bad_request(format!("{} should be a list", short(&value))))?;
        list.iter().map(transaction).collect()
    }
}

fn number(value: &Value) -> Result<u64> {
    value
        .as_u64()
        .ok_or_else(|| RpcError::bad_request(format!("{} should be a non-negative integer", short(value))))
}

fn transaction(value: &Value) -> Result<Transaction> {
    let text = value
        .as_str()
        .ok_or_else(|| RpcError::bad_request(format!("{} should be a hex string", short(value))))?;
    deserialize_hex(text).map_err(|error| {
        RpcError::bad_request(format!(
            "the transaction was rejected by network rules.\n\nTX decode failed: {error}"
        ))
    })
}

/// Quotes a value of a client, cut so that errors stay small.
fn short(value: &Value) -> String {
    const MOST: usize = 80;
    let text = value.to_string();
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
