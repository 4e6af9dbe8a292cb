//! A connection to a server: TCP or TLS, straight or through a SOCKS5 proxy, with an end to all waiting.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme, StreamOwned,
};

use super::endpoint::Endpoint;

/// A stream on which every call ends by a deadline, however slowly the other side trickles its bytes.
pub(super) struct Stream {
    inner: Inner,
    deadline: Instant,
}

enum Inner {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    /// Connects within `timeout`, the TLS and proxy handshakes included.
    pub(super) fn connect(endpoint: &Endpoint, timeout: Duration) -> io::Result<Self> {
        let deadline = Instant::now() + timeout;
        let tcp = match &endpoint.proxy {
            None => dial((endpoint.host.as_str(), endpoint.port), deadline)?,
            Some((host, port)) => {
                let mut stream = Stream { inner: Inner::Plain(dial((host, *port), deadline)?), deadline };
                socks5(&mut stream, &endpoint.host, endpoint.port)?;
                stream.into_tcp()
            }
        };
        let inner = match endpoint.tls {
            None => Inner::Plain(tcp),
            Some(verify) => {
                let name = ServerName::try_from(endpoint.host.clone()).map_err(io::Error::other)?;
                let session = ClientConnection::new(tls_config(verify)?, name).map_err(io::Error::other)?;
                Inner::Tls(Box::new(StreamOwned::new(session, tcp)))
            }
        };
        Ok(Stream { inner, deadline })
    }

    /// Gives all that follows, up to the next call of this, so much time together.
    pub(super) fn set_deadline(&mut self, timeout: Duration) {
        self.deadline = Instant::now() + timeout;
    }

    fn into_tcp(self) -> TcpStream {
        match self.inner {
            Inner::Plain(tcp) => tcp,
            Inner::Tls(stream) => stream.sock,
        }
    }

    /// Whether bytes arrive within this time. May say no for bytes that TLS has taken in already.
    pub(super) fn wait_readable(&self, pause: Duration) -> io::Result<bool> {
        let tcp = self.tcp();
        tcp.set_read_timeout(Some(remaining(self.deadline)?.min(pause)))?;
        match tcp.peek(&mut [0]) {
            Ok(_) => Ok(true),
            Err(error) if is_timeout(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Lets the socket wait no longer than the deadline.
    fn arm(&self) -> io::Result<()> {
        let left = remaining(self.deadline)?;
        self.tcp().set_read_timeout(Some(left))?;
        self.tcp().set_write_timeout(Some(left))
    }

    fn tcp(&self) -> &TcpStream {
        match &self.inner {
            Inner::Plain(tcp) => tcp,
            Inner::Tls(stream) => &stream.sock,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.arm()?;
        let read = match &mut self.inner {
            Inner::Plain(tcp) => tcp.read(buffer),
            Inner::Tls(stream) => stream.read(buffer),
        };
        read.map_err(say_timeout)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.arm()?;
        let written = match &mut self.inner {
            Inner::Plain(tcp) => tcp.write(bytes),
            Inner::Tls(stream) => stream.write(bytes),
        };
        written.map_err(say_timeout)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.arm()?;
        let flushed = match &mut self.inner {
            Inner::Plain(tcp) => tcp.flush(),
            Inner::Tls(stream) => stream.flush(),
        };
        flushed.map_err(say_timeout)
    }
}

fn remaining(deadline: Instant) -> io::Result<Duration> {
    // A timeout of zero would mean none to the socket.
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(timed_out()) } else { Ok(left) }
}

fn timed_out() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no complete answer in time")
}

/// A socket's timeout reads "resource temporarily unavailable", which tells nobody anything.
fn say_timeout(error: io::Error) -> io::Error {
    if is_timeout(&error) { timed_out() } else { error }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn dial(address: (&str, u16), deadline: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, format!("{} has no address", address.0));
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, remaining(deadline)?) {
            Ok(tcp) => {
                tcp.set_nodelay(true)?;
                return Ok(tcp);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Asks a SOCKS5 proxy (RFC 1928, no authentication) for a connection by name, which the proxy resolves.
fn socks5(stream: &mut Stream, host: &str, port: u16) -> io::Result<()> {
    let refused = |what: String| io::Error::other(format!("the proxy {what}"));
    // Version 5, one method: no authentication.
    stream.write_all(&[5, 1, 0])?;
    let mut chosen = [0; 2];
    stream.read_exact(&mut chosen)?;
    if chosen != [5, 0] {
        return Err(refused("speaks no SOCKS5 or wants a password".to_owned()));
    }
    let length =
        u8::try_from(host.len()).map_err(|_| refused(format!("takes no name of {} bytes", host.len())))?;
    // Connect, reserved, a domain name.
    let mut request = vec![5, 1, 0, 3, length];
    request.extend_from_slice(host.as_bytes());
    request.extend_from_slice(&port.to_be_bytes());
    stream.write_all(&request)?;
    let mut reply = [0; 4];
    stream.read_exact(&mut reply)?;
    if reply[1] != 0 {
        return Err(refused(format!("cannot reach {host}:{port} (SOCKS5 reply {})", reply[1])));
    }
    // The address it is bound to, of no use here.
    let bound = match reply[3] {
        1 => 4,
        4 => 16,
        3 => {
            let mut length = [0];
            stream.read_exact(&mut length)?;
            length[0].into()
        }
        kind => return Err(refused(format!("answers with an address of unknown kind {kind}"))),
    };
    let mut rest = vec![0; bound + 2];
    stream.read_exact(&mut rest)
}

fn tls_config(verify: bool) -> io::Result<Arc<ClientConfig>> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let config = if verify {
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        builder.with_root_certificates(roots).with_no_client_auth()
    } else {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
            .with_no_client_auth()
    };
    Ok(Arc::new(config))
}

/// Takes every certificate, as [`ElectrumConfig::accept_any_certificate`](crate::ElectrumConfig) says.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
