//! One connection: its protocol version, its subscriptions, and what it is told.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{Shutdown, TcpStream};

use bitcoin::BlockHash;
use bitcoin::hashes::sha256;
use serde_json::{Value, json};

use super::rpc::notification;
use super::{blocks, scripts};
use crate::chain::Chain;
use crate::index::ElectrumScriptHash;

/// A version of the Electrum protocol, such as 1.4.2.
pub(super) type Version = [u32; 3];

/// Oldest protocol spoken.
pub(super) const PROTOCOL_MIN: Version = [1, 4, 0];
/// Newest protocol spoken.
pub(super) const PROTOCOL_MAX: Version = [1, 6, 0];

/// What is remembered about one client.
#[derive(Debug)]
pub(super) struct Session {
    stream: TcpStream,
    /// The negotiated version; clients that never ask get the oldest one.
    pub(super) protocol: Version,
    pub(super) negotiated: bool,
    /// The tip the client knows, if it wants to hear of new ones.
    pub(super) headers: Option<BlockHash>,
    /// The status the client knows of each script it wants to hear of.
    pub(super) scripts: BTreeMap<ElectrumScriptHash, Option<sha256::Hash>>,
}

impl Session {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, protocol: PROTOCOL_MIN, negotiated: false, headers: None, scripts: BTreeMap::new() }
    }

    /// Sends one line. A client that does not take it is cut off; its reader then ends by itself.
    pub(super) fn send(&mut self, message: &Value) {
        let mut line = message.to_string();
        line.push('\n');
        if let Err(error) = self.stream.write_all(line.as_bytes()) {
            tracing::debug!(%error, "client does not listen");
            self.close();
        }
    }

    pub(super) fn close(&self) {
        // Fails if the client has gone already, which is what is wanted.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Collects what has changed for this client since it was last told.
    pub(super) fn news(&mut self, chain: &Chain) -> Vec<Value> {
        let mut news = Vec::new();
        let tip = chain.tip().hash;
        if let Some(known) = self.headers.as_mut().filter(|known| **known != tip) {
            *known = tip;
            news.push(notification("blockchain.headers.subscribe", &json!([blocks::tip(chain)])));
        }
        for (script, known) in &mut self.scripts {
            let status = scripts::status(chain, script);
            if status != *known {
                *known = status;
                let params = json!([script.to_string(), scripts::status_json(status)]);
                news.push(notification("blockchain.scripthash.subscribe", &params));
            }
        }
        news
    }
}
