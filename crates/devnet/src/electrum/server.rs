//! Threads and sockets: one thread accepts, one notifies, and one reads from each client.

use std::io::{self, BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::methods;
use super::rpc::{self, Reply, RpcError};
use super::session::Session;
use crate::devnet::join;
use crate::error::Error;
use crate::shared::Shared;

/// Longest line of a client, in bytes: a block full of transactions does not come as one.
const MAX_LINE: u64 = 5_000_000;
/// Most clients at once.
const MAX_CLIENTS: usize = 64;
/// How long a client may leave its answers lying.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// A running server. It stops when it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    addr: SocketAddr,
    shared: Arc<Shared>,
    clients: Arc<Clients>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Clients {
    list: Mutex<Vec<Client>>,
    stopping: AtomicBool,
}

#[derive(Debug)]
struct Client {
    session: Arc<Mutex<Session>>,
    reader: JoinHandle<()>,
}

impl Clients {
    fn list(&self) -> MutexGuard<'_, Vec<Client>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Server {
    pub(crate) fn start(shared: Arc<Shared>, address: SocketAddr) -> Result<Self, Error> {
        if !address.ip().is_loopback() {
            return Err(Error::NotLoopback { address });
        }
        let listen = |source| Error::Listen { address, source };
        let listener = TcpListener::bind(address).map_err(listen)?;
        let addr = listener.local_addr().map_err(listen)?;
        let clients = Arc::new(Clients::default());
        let mut server = Self { addr, shared, clients, threads: Vec::new() };
        let (shared, clients) = (Arc::clone(&server.shared), Arc::clone(&server.clients));
        server.spawn("devnet-accept", move || accept(&listener, &shared, &clients))?;
        let (shared, clients) = (Arc::clone(&server.shared), Arc::clone(&server.clients));
        server.spawn("devnet-notify", move || notify(&shared, &clients))?;
        Ok(server)
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), Error> {
        let thread = thread::Builder::new().name(name.to_owned()).spawn(run).map_err(Error::Thread)?;
        self.threads.push(thread);
        Ok(())
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop();
        self.clients.stopping.store(true, Ordering::SeqCst);
        // The accepting thread waits for a connection: this is it.
        let woken = TcpStream::connect(self.addr);
        // Unblocks a notification that a client does not take.
        let clients = std::mem::take(&mut *self.clients.list());
        for client in &clients {
            client.session.lock().unwrap_or_else(PoisonError::into_inner).close();
        }
        for client in clients {
            join(client.reader);
        }
        if woken.is_ok() {
            self.threads.drain(..).for_each(join);
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>, clients: &Arc<Clients>) {
    for stream in listener.incoming() {
        if clients.stopping.load(Ordering::SeqCst) {
            return;
        }
        let welcomed = stream.and_then(|stream| welcome(stream, shared, clients));
        if let Err(error) = welcomed {
            tracing::debug!(%error, "client not served");
            // Running out of file descriptors comes back at once, and must not burn a core.
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn welcome(stream: TcpStream, shared: &Arc<Shared>, clients: &Arc<Clients>) -> io::Result<()> {
    let mut list = clients.list();
    list.retain(|client| !client.reader.is_finished());
    if list.len() >= MAX_CLIENTS {
        return Err(io::Error::other("too many clients"));
    }
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
    let session = Arc::new(Mutex::new(Session::new(stream.try_clone()?)));
    let (its_session, shared) = (Arc::clone(&session), Arc::clone(shared));
    let run = move || serve(stream, &shared, &its_session);
    let reader = thread::Builder::new().name("devnet-client".to_owned()).spawn(run)?;
    list.push(Client { session, reader });
    Ok(())
}

/// Answers a client line by line until it leaves.
fn serve(stream: TcpStream, shared: &Shared, session: &Mutex<Session>) {
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        match reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        // The answer is sent under the lock, so that no notification overtakes it.
        let mut session = session.lock().unwrap_or_else(PoisonError::into_inner);
        let reply = if line.len() as u64 == MAX_LINE && line.last() != Some(&b'\n') {
            Reply {
                answer: Some(RpcError::line_too_long(MAX_LINE).answer(&serde_json::Value::Null)),
                close: true,
            }
        } else {
            rpc::handle_line(&line, |method, params| methods::call(shared, &mut session, method, params))
        };
        if let Some(answer) = &reply.answer {
            session.send(answer);
        }
        if reply.close {
            break;
        }
    }
    session.lock().unwrap_or_else(PoisonError::into_inner).close();
}

/// Tells every client what has changed for it, whenever the chain has.
fn notify(shared: &Shared, clients: &Clients) {
    let mut seen = 0;
    while let Some(version) = shared.wait_for_change(seen) {
        seen = version;
        let sessions: Vec<_> = clients.list().iter().map(|client| Arc::clone(&client.session)).collect();
        for session in sessions {
            let mut session = session.lock().unwrap_or_else(PoisonError::into_inner);
            let news = shared.read(|chain| session.news(chain));
            for message in news {
                session.send(&message);
            }
        }
    }
}
