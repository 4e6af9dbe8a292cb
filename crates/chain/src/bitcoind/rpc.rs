//! One JSON-RPC connection: calls, retries, and errors told apart.

use std::fs;
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::sleep;
use std::time::{Duration, Instant};

use bitcoincore_rpc::Client;
use bitcoincore_rpc::jsonrpc::error::RpcError;
use bitcoincore_rpc::jsonrpc::http::simple_http::{self, SimpleHttpTransport};
use bitcoincore_rpc::jsonrpc::{self, Response};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::to_raw_value;

use crate::config::{backoff, refuse_user_info};
use crate::{BitcoindConfig, ChainError};

/// Core's error numbers (src/rpc/protocol.h).
pub(super) mod code {
    pub(crate) const MISC: i64 = -1;
    pub(crate) const NOT_FOUND: i64 = -5;
    pub(crate) const INVALID_PARAMETER: i64 = -8;
    pub(crate) const VERIFY: i64 = -25;
    pub(crate) const VERIFY_REJECTED: i64 = -26;
    pub(crate) const ALREADY_IN_UTXO_SET: i64 = -27;
    pub(super) const IN_WARMUP: i64 = -28;
}

/// Why one attempt brought no result.
enum Fault {
    /// The node's own answer, with its number.
    Refused(RpcError),
    /// The credentials are not those of the running node.
    Unauthorized,
    /// Nobody there, nothing in time, or too busy: another attempt may succeed.
    Lost(String),
    /// Not the answer of a node.
    Nonsense(String),
}

/// A call's outcome as far as the caller tells apart: the result, or the node's refusal.
pub(super) type Answer<T> = Result<Result<T, RpcError>, ChainError>;

pub(super) struct Rpc {
    config: BitcoindConfig,
    client: RwLock<Arc<Client>>,
}

impl Rpc {
    pub(super) fn new(config: &BitcoindConfig) -> Result<Self, ChainError> {
        let client = client(config, config.timeout())?;
        Ok(Rpc { config: config.clone(), client: RwLock::new(Arc::new(client)) })
    }

    pub(super) fn url(&self) -> &str {
        &self.config.url
    }

    /// A connection of its own for somebody else.
    pub(super) fn another_client(&self) -> Result<Client, ChainError> {
        client(&self.config, self.config.timeout())
    }

    /// A call whose refusals have no meaning of their own to the caller.
    pub(super) fn call<T: DeserializeOwned>(&self, method: &str, params: &[Value]) -> Result<T, ChainError> {
        self.ask(method, params)?.map_err(|refusal| self.refused(method, refusal))
    }

    /// A call whose refusals the caller wants to see.
    pub(super) fn ask<T: DeserializeOwned>(&self, method: &str, params: &[Value]) -> Answer<T> {
        let mut answers = self.ask_all(method, &[params.to_vec()])?;
        Ok(match answers.pop() {
            Some(Ok(value)) => Ok(self.parse(method, value)?),
            Some(Err(refusal)) => Err(refusal),
            None => return Err(self.misbehaving(format!("{method} brought no answer"))),
        })
    }

    /// The same call with several sets of parameters in one round trip; answers in the same order.
    pub(super) fn call_all<T: DeserializeOwned>(
        &self,
        method: &str,
        calls: &[Vec<Value>],
    ) -> Result<Vec<T>, ChainError> {
        self.ask_all(method, calls)?
            .into_iter()
            .map(|answer| match answer {
                Ok(value) => self.parse(method, value),
                Err(refusal) => Err(self.refused(method, refusal)),
            })
            .collect()
    }

    fn ask_all(
        &self,
        method: &str,
        calls: &[Vec<Value>],
    ) -> Result<Vec<Result<Value, RpcError>>, ChainError> {
        let started = Instant::now();
        let mut attempt = 1;
        loop {
            let url = self.config.url.clone();
            let outcome = self.try_once(method, calls);
            // As often as configured, but no longer than two timeouts together.
            let last =
                attempt >= self.config.attempts.max(1) || started.elapsed() >= 2 * self.config.timeout();
            match outcome {
                Ok(answers) => return Ok(answers),
                Err(Fault::Refused(refusal)) if refusal.code == bitcoind_code(code::IN_WARMUP) => {
                    if last {
                        return Err(ChainError::WarmingUp { url, reason: refusal.message });
                    }
                }
                Err(Fault::Refused(refusal)) => return Err(self.refused(method, refusal)),
                Err(Fault::Unauthorized) => {
                    // A restarted node has a new cookie.
                    if last || self.config.cookie_file.is_none() {
                        return Err(ChainError::Unauthorized { url });
                    }
                    let fresh = client(&self.config, self.config.timeout())?;
                    *self.client.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
                }
                Err(Fault::Lost(reason)) => {
                    if last {
                        return Err(ChainError::Unreachable { url, attempts: attempt, reason });
                    }
                    tracing::debug!(method, attempt, reason, "bitcoind did not answer");
                }
                Err(Fault::Nonsense(what)) => return Err(self.misbehaving(what)),
            }
            sleep(backoff(attempt));
            attempt += 1;
        }
    }

    fn try_once(&self, method: &str, calls: &[Vec<Value>]) -> Result<Vec<Result<Value, RpcError>>, Fault> {
        let client = Arc::clone(&self.client.read().unwrap_or_else(PoisonError::into_inner));
        let client = client.get_jsonrpc_client();
        let params = calls
            .iter()
            .map(to_raw_value)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| Fault::Nonsense(error.to_string()))?;
        let requests: Vec<_> =
            params.iter().map(|params| client.build_request(method, Some(params))).collect();
        let responses = match &requests[..] {
            // Alone, and not as a batch of one: this way HTTP errors come with the node's words.
            [request] => vec![Some(client.send_request(request.clone()).map_err(Fault::from)?)],
            [] => Vec::new(),
            _ => client.send_batch(&requests).map_err(Fault::from)?,
        };
        responses
            .into_iter()
            .zip(&requests)
            .map(|(response, request)| {
                let response = response
                    .filter(|response| response.id == request.id)
                    .ok_or_else(|| Fault::Nonsense(format!("{method} brought an answer to another call")))?;
                result(&response)
            })
            .collect()
    }

    fn parse<T: DeserializeOwned>(&self, method: &str, value: Value) -> Result<T, ChainError> {
        serde_json::from_value(value)
            .map_err(|error| self.misbehaving(format!("the answer to {method} has another form ({error})")))
    }

    pub(super) fn refused(&self, method: &str, refusal: RpcError) -> ChainError {
        ChainError::Server {
            url: self.config.url.clone(),
            method: method.to_owned(),
            code: refusal.code.into(),
            message: refusal.message,
        }
    }

    pub(super) fn misbehaving(&self, what: String) -> ChainError {
        ChainError::Misbehaving { url: self.config.url.clone(), what }
    }
}

/// Core's numbers are small: they fit both types.
fn bitcoind_code(code: i64) -> i32 {
    i32::try_from(code).unwrap_or(i32::MIN)
}

fn result(response: &Response) -> Result<Result<Value, RpcError>, Fault> {
    match response.result::<Value>() {
        Ok(value) => Ok(Ok(value)),
        // The whole node is starting, not only this call refused.
        Err(jsonrpc::Error::Rpc(refusal)) if refusal.code == bitcoind_code(code::IN_WARMUP) => {
            Err(Fault::Refused(refusal))
        }
        Err(jsonrpc::Error::Rpc(refusal)) => Ok(Err(refusal)),
        Err(other) => Err(other.into()),
    }
}

impl From<jsonrpc::Error> for Fault {
    fn from(error: jsonrpc::Error) -> Self {
        let transport = match error {
            jsonrpc::Error::Transport(transport) => transport,
            jsonrpc::Error::Rpc(refusal) => return Fault::Refused(refusal),
            other => return Fault::Nonsense(other.to_string()),
        };
        match transport.downcast_ref::<simple_http::Error>() {
            Some(simple_http::Error::HttpErrorCode(401 | 403)) => Fault::Unauthorized,
            // 503: the node's work queue is full.
            Some(simple_http::Error::HttpErrorCode(503)) => Fault::Lost("the node is too busy".to_owned()),
            Some(simple_http::Error::SocketError(error)) => Fault::Lost(error.to_string()),
            // What a connection that breaks within an answer looks like.
            Some(simple_http::Error::Json(error)) if error.is_eof() || error.is_io() => {
                Fault::Lost("the connection broke".to_owned())
            }
            Some(
                simple_http::Error::HttpResponseTooShort { .. }
                | simple_http::Error::IncompleteResponse { .. },
            ) => Fault::Lost("the connection broke".to_owned()),
            _ => Fault::Nonsense(transport.to_string()),
        }
    }
}

fn client(config: &BitcoindConfig, timeout: Duration) -> Result<Client, ChainError> {
    refuse_user_info(&config.url, "the node's address")?;
    if config.url.starts_with("https://") {
        // The transport would speak plain text to it.
        return Err(ChainError::Config(format!(
            "the node's address {} asks for TLS, which bitcoind does not speak: use http:// through a tunnel",
            config.url
        )));
    }
    let mut builder = SimpleHttpTransport::builder()
        .timeout(timeout)
        .url(&config.url)
        .map_err(|error| match error {
            simple_http::Error::SocketError(error) => {
                format!("the node's address {} cannot be resolved ({error})", config.url)
            }
            error => format!("the node's address {} is none ({error}): write http://HOST:PORT", config.url),
        })
        .map_err(ChainError::Config)?;
    if let Some(path) = &config.cookie_file {
        let cookie = fs::read_to_string(path).map_err(|error| {
            ChainError::Config(format!("cannot read {} ({error}): does the node run?", path.display()))
        })?;
        let cookie =
            cookie.lines().next().filter(|line| line.contains(':')).ok_or_else(|| {
                ChainError::Config(format!("{} is no cookie file of a node", path.display()))
            })?;
        builder = builder.cookie_auth(cookie);
    } else if let Some(credentials) = &config.credentials {
        builder = builder.auth(credentials.user.as_str(), Some(credentials.password.expose()));
    }
    Ok(Client::from_jsonrpc(jsonrpc::Client::with_transport(builder.build())))
}
