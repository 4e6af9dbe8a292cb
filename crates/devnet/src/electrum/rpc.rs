//! JSON-RPC 2.0: requests, batches, answers and errors.

use serde_json::{Value, json};

/// An error as a client sees it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(super) struct RpcError {
    code: i64,
    message: String,
    /// Whether the connection ends with this answer.
    pub(super) fatal: bool,
}

/// What a call gives.
pub(super) type Result<T = Value> = std::result::Result<T, RpcError>;

impl RpcError {
    const PARSE: i64 = -32700;
    const INVALID_REQUEST: i64 = -32600;
    const UNKNOWN_METHOD: i64 = -32601;
    const INVALID_PARAMS: i64 = -32602;
    const BAD_REQUEST: i64 = 1;
    const DAEMON: i64 = 2;

    fn new(code: i64, message: String) -> Self {
        Self { code, message, fatal: false }
    }

    pub(super) fn parse(error: &serde_json::Error) -> Self {
        Self::new(Self::PARSE, format!("invalid JSON: {error}"))
    }

    fn invalid_request(message: &str) -> Self {
        Self::new(Self::INVALID_REQUEST, message.to_owned())
    }

    pub(super) fn unknown_method(method: &str) -> Self {
        let method: String = method.chars().take(80).collect();
        Self::new(Self::UNKNOWN_METHOD, format!("unknown method \"{method}\""))
    }

    pub(super) fn invalid_params(message: String) -> Self {
        Self::new(Self::INVALID_PARAMS, message)
    }

    /// The request cannot be served, by the Electrum protocol's own code.
    pub(super) fn bad_request(message: String) -> Self {
        Self::new(Self::BAD_REQUEST, message)
    }

    /// The chain does not know what is asked for, by the Electrum protocol's own code.
    pub(super) fn daemon(message: String) -> Self {
        Self::new(Self::DAEMON, message)
    }

    pub(super) fn line_too_long(most: u64) -> Self {
        Self::bad_request(format!("a message has more than {most} bytes")).fatal()
    }

    pub(super) fn fatal(mut self) -> Self {
        self.fatal = true;
        self
    }

    /// Makes the answer to a request.
    pub(super) fn answer(&self, id: &Value) -> Value {
        json!({"jsonrpc": "2.0", "error": {"code": self.code, "message": self.message}, "id": id})
    }
}

/// What one line makes of a connection.
#[derive(Debug, Default)]
pub(super) struct Reply {
    /// The answer, if there is one: notifications get none.
    pub(super) answer: Option<Value>,
    /// Whether the connection ends.
    pub(super) close: bool,
}

/// Answers one line of a client.
pub(super) fn handle_line(line: &[u8], mut call: impl FnMut(&str, Value) -> Result) -> Reply {
    match serde_json::from_slice(line) {
        Err(error) => Reply { answer: Some(RpcError::parse(&error).answer(&Value::Null)), close: false },
        Ok(Value::Array(batch)) if batch.is_empty() => {
            let error = RpcError::invalid_request("the batch is empty");
            Reply { answer: Some(error.answer(&Value::Null)), close: false }
        }
        Ok(Value::Array(batch)) => {
            let mut answers = Vec::new();
            let mut close = false;
            for request in batch {
                let reply = handle_request(request, &mut call);
                answers.extend(reply.answer);
                close |= reply.close;
            }
            let answer = if answers.is_empty() { None } else { Some(Value::Array(answers)) };
            Reply { answer, close }
        }
        Ok(request) => handle_request(request, &mut call),
    }
}

fn handle_request(request: Value, call: &mut impl FnMut(&str, Value) -> Result) -> Reply {
    let refuse = |message: &str, id: &Value| Reply {
        answer: Some(RpcError::invalid_request(message).answer(id)),
        close: false,
    };
    let Value::Object(mut request) = request else {
        return refuse("a request must be an object", &Value::Null);
    };
    let id = request.remove("id");
    if id.as_ref().is_some_and(|id| !(id.is_string() || id.is_number() || id.is_null())) {
        return refuse("an id must be a string or a number", &Value::Null);
    }
    let answer_id = id.clone().unwrap_or(Value::Null);
    let Some(Value::String(method)) = request.remove("method") else {
        return refuse("the method must be a string", &answer_id);
    };
    let params = request.remove("params").unwrap_or(Value::Null);
    let result = call(&method, params);
    let close = result.as_ref().is_err_and(|error| error.fatal);
    // A request without an id is a notification: nobody waits for its answer.
    let answer = id.map(|id| match result {
        Ok(result) => json!({"jsonrpc": "2.0", "result": result, "id": id}),
        Err(error) => error.answer(&id),
    });
    Reply { answer, close }
}

/// Makes a notification.
pub(super) fn notification(method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "method": method, "params": params})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(line: &str) -> Reply {
        handle_line(line.as_bytes(), |method, params| match method {
            "echo" => Ok(params),
            "die" => Err(RpcError::bad_request("no".to_owned()).fatal()),
            other => Err(RpcError::unknown_method(other)),
        })
    }

    fn code(line: &str) -> i64 {
        reply(line).answer.unwrap()["error"]["code"].as_i64().unwrap()
    }

    #[test]
    fn malformed_lines_get_the_error_codes_of_json_rpc() {
        assert_eq!(code("{"), -32700);
        assert_eq!(code(""), -32700);
        assert_eq!(code("\u{0}"), -32700);
        assert_eq!(code("1"), -32600);
        assert_eq!(code("[]"), -32600);
        assert_eq!(code("{}"), -32600);
        assert_eq!(code(r#"{"method":1,"id":1}"#), -32600);
        assert_eq!(code(r#"{"method":"echo","id":[]}"#), -32600);
        assert_eq!(code(r#"{"method":"nothing","id":1}"#), -32601);
        assert_eq!(code(&"[".repeat(100_000)), -32700);
    }

    #[test]
    fn notifications_get_no_answer() {
        assert!(reply(r#"{"method":"echo"}"#).answer.is_none());
        assert!(reply(r#"[{"method":"echo"}]"#).answer.is_none());
    }

    #[test]
    fn batches_are_answered_in_order_and_one_bad_request_spoils_no_other() {
        let answer =
            reply(r#"[{"method":"echo","params":[1],"id":7}, 5, {"method":"x","id":"a"}]"#).answer.unwrap();
        assert_eq!(answer[0], json!({"jsonrpc": "2.0", "result": [1], "id": 7}));
        assert_eq!(answer[1]["error"]["code"], -32600);
        assert_eq!(answer[2]["id"], "a");
    }

    #[test]
    fn fatal_errors_close_the_connection_after_their_answer() {
        let reply = reply(r#"{"method":"die","id":1}"#);
        assert!(reply.close && reply.answer.is_some());
    }
}
