//! A server on loopback that answers as it is told to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

/// What the server does with one request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// A well-formed answer.
    Result(Value),
    /// A well-formed error.
    Error(i64, String),
    /// These bytes, and the connection stays open.
    Raw(Vec<u8>),
    /// These bytes, and the connection closes.
    CloseAfter(Vec<u8>),
    /// One space every 100 milliseconds, and never a whole answer.
    Trickle,
    /// Silence.
    Nothing,
}

/// A running server; it stops taking connections when dropped.
pub(crate) struct Liar {
    address: std::net::SocketAddr,
    stopped: Arc<AtomicBool>,
    connections: Arc<AtomicUsize>,
}

impl Liar {
    /// Serves lines of JSON.
    pub(crate) fn start(answer: impl FnMut(&str, &Value) -> Reply + Send + 'static) -> Self {
        let answer = Arc::new(Mutex::new(answer));
        Self::listen(move |stream| {
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while let Some(Ok(line)) = lines.next() {
                let request: Value = serde_json::from_str(&line).unwrap();
                let reply = answer.lock().unwrap()(request["method"].as_str().unwrap(), &request["params"]);
                if !send(&stream, reply, &request["id"]) {
                    return;
                }
            }
        })
    }

    /// Answers every HTTP request with the same.
    pub(crate) fn start_http(reply: Reply) -> Self {
        Self::listen(move |stream| {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            loop {
                let mut length = 0;
                let mut line = String::new();
                while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                    if let Some(value) = line.strip_prefix("Content-Length: ") {
                        length = value.trim().parse().unwrap();
                    }
                    line.clear();
                }
                let mut body = vec![0; length];
                if length == 0
                    || reader.read_exact(&mut body).is_err()
                    || !send(&stream, reply.clone(), &Value::Null)
                {
                    return;
                }
            }
        })
    }

    fn listen(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (stopped, connections) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stop, count) = (Arc::clone(&stopped), Arc::clone(&connections));
        let serve = Arc::new(serve);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                count.fetch_add(1, Ordering::SeqCst);
                let serve = Arc::clone(&serve);
                thread::spawn(move || serve(stream.unwrap()));
            }
        });
        Liar { address, stopped, connections }
    }

    pub(crate) fn electrum_url(&self) -> String {
        format!("tcp://{}", self.address)
    }

    pub(crate) fn http_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many connections were made so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the listener, which then goes and frees the port.
        let _ = TcpStream::connect(self.address);
    }
}

/// Whether the connection goes on.
fn send(mut stream: &TcpStream, reply: Reply, id: &Value) -> bool {
    let bytes = match reply {
        Reply::Result(result) => line(&json!({ "jsonrpc": "2.0", "id": id, "result": result })),
        Reply::Error(code, message) => {
            line(&json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } }))
        }
        Reply::Raw(bytes) => bytes,
        Reply::CloseAfter(bytes) => {
            let _ = stream.write_all(&bytes);
            let _ = stream.shutdown(std::net::Shutdown::Both);
            return false;
        }
        Reply::Trickle => {
            while stream.write_all(b" ").is_ok() {
                thread::sleep(Duration::from_millis(100));
            }
            return false;
        }
        Reply::Nothing => return true,
    };
    stream.write_all(&bytes).is_ok()
}

fn line(message: &Value) -> Vec<u8> {
    let mut text = message.to_string().into_bytes();
    text.push(b'\n');
    text
}
