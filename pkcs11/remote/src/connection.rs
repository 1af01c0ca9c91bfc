//! One node of the appliance: its connections, kept while they serve.
//!
//! Always true: every wait ends at the caller's deadline (the name service's excepted, which has a limit of its own
//! in resolv.conf), a connection carries one request at a time, and one whose request failed is not used again.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::{ClientConfig, ClientConnection};
use rustls_pki_types::ServerName;

use crate::http::{read_response, ReadError, Request, Response};
use crate::{tls, Error, Log, Secret, Url};

const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// An older idle connection is not tried: what stands between this host and the appliance may have forgotten it
/// without a word, and then only the time-out would tell. The appliance itself keeps it for 75 s.
const MAX_IDLE: Duration = Duration::from_secs(60);
/// A page of 1,000 RSA-8192 keys has 2 MiB.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// Why a node gave no response.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It was reached and was too slow. Asking it again would make the caller wait twice.
    TimedOut,
    /// The network failed; the text says how.
    Network(String),
    /// Asking again changes nothing.
    Final(Error),
}

/// What every connection of an appliance shares.
pub(crate) struct Credentials {
    pub tls: Arc<ClientConfig>,
    /// The value of the Authorization header.
    pub authorization: Option<Secret>,
}

/// One node and its idle connections.
#[derive(Debug)]
pub(crate) struct Node {
    url: Url,
    idle: Mutex<Vec<Connection>>,
}

impl Node {
    pub(crate) fn new(url: Url) -> Node {
        Node { url, idle: Mutex::new(Vec::new()) }
    }

    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// Sends one request and reads the response, over an idle connection if there is one. A connection that turns out
    /// to have been closed meanwhile is replaced once, silently; the request had not been answered, and a POST
    /// carries its idempotency key.
    pub(crate) fn send(
        &self,
        request: &Request,
        credentials: &Credentials,
        deadline: Instant,
        log: &Log,
    ) -> Result<Response, Failure> {
        let authorization = credentials.authorization.as_ref().map(Secret::expose);
        let bytes = request.bytes(&self.url.authority(), authorization);
        if let Some(mut connection) = self.take_idle() {
            match connection.exchange(&bytes, deadline) {
                Err(ReadError::Nothing(error)) if error.kind() != ErrorKind::TimedOut => {
                    log.write(3, &format!("{}: an idle connection had been closed", self.url));
                    // The others are as old.
                    self.lock().clear();
                }
                result => return self.finish(connection, result),
            }
        }
        let mut connection = Connection::open(&self.url, credentials.tls.clone(), deadline)?;
        log.write(3, &format!("{}: connected", self.url));
        let result = connection.exchange(&bytes, deadline);
        self.finish(connection, result)
    }

    fn finish(&self, connection: Connection, result: Result<Response, ReadError>) -> Result<Response, Failure> {
        let response = result.map_err(|error| self.explain(error))?;
        if response.keep_alive {
            self.lock().push(connection);
        }
        Ok(response)
    }

    fn explain(&self, error: ReadError) -> Failure {
        match error {
            ReadError::Invalid(what) => Failure::Final(Error::Garbage(format!("{}: {what}", self.url))),
            ReadError::Nothing(error) | ReadError::Cut(error) => failure(error, &self.url),
        }
    }

    /// The idle connection that was used last, if it is young enough; the older ones are then closed as well.
    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.lock();
        let connection = idle.pop()?;
        if connection.last_used.elapsed() > MAX_IDLE {
            idle.clear();
            return None;
        }
        Some(connection)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Connection {
    socket: TcpStream,
    tls: ClientConnection,
    last_used: Instant,
}

impl Connection {
    /// Connects to the first of the host's addresses that answers. TLS begins with the first request.
    fn open(url: &Url, config: Arc<ClientConfig>, deadline: Instant) -> Result<Connection, Failure> {
        let name = ServerName::try_from(url.host.clone())
            .map_err(|_| Failure::Final(Error::Misconfigured(format!("{url}: this is no name of a host"))))?;
        let socket = connect(url, deadline)?;
        // Requests are small and each waits for an answer; Nagle's delay would be all of a signature's time.
        socket.set_nodelay(true).map_err(|error| failure(error, url))?;
        let tls =
            ClientConnection::new(config, name).map_err(|error| Failure::Final(tls::explain(&error, &url.host)))?;
        Ok(Connection { socket, tls, last_used: Instant::now() })
    }

    fn exchange(&mut self, bytes: &[u8], deadline: Instant) -> Result<Response, ReadError> {
        // TLS keeps this back until the handshake has succeeded, and then sends it along with its own last message.
        let early = self.tls.writer().write(bytes).map_err(ReadError::Nothing)?;
        let mut socket = Timed { socket: &self.socket, deadline };
        let mut stream = rustls::Stream::new(&mut self.tls, &mut socket);
        stream.write_all(&bytes[early..]).and_then(|()| stream.flush()).map_err(ReadError::Nothing)?;
        let response = read_response(&mut stream, MAX_ANSWER)?;
        self.last_used = Instant::now();
        Ok(response)
    }
}

fn connect(url: &Url, deadline: Instant) -> Result<TcpStream, Failure> {
    let addresses = (url.host.as_str(), url.port).to_socket_addrs().map_err(|error| failure(error, url))?;
    let mut last = Failure::Network(format!("{url}: the name has no address"));
    for address in addresses {
        let limit = CONNECT_LIMIT.min(deadline.saturating_duration_since(Instant::now()));
        if limit.is_zero() {
            return Err(Failure::TimedOut);
        }
        match TcpStream::connect_timeout(&address, limit) {
            Ok(socket) => return Ok(socket),
            // A host that does not even answer the connection may be starting: that is not `TimedOut`.
            Err(error) => last = Failure::Network(format!("{url}: cannot connect to {}: {error}", address.ip())),
        }
    }
    Err(last)
}

/// The network's failure, or what TLS said wrapped in it.
fn failure(error: io::Error, url: &Url) -> Failure {
    if error.kind() == ErrorKind::TimedOut {
        return Failure::TimedOut;
    }
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(reason) => match tls::explain(reason, &url.host) {
            Error::Unreachable(text) => Failure::Network(text),
            other => Failure::Final(other),
        },
        None => Failure::Network(format!("{url}: {error}")),
    }
}

/// A socket that fails at the deadline, however the bytes trickle.
///
/// Everything goes through the socket's `write`, which cannot raise SIGPIPE; the standard library's `write_vectored`
/// would end a host program that does not ignore the signal.
struct Timed<'a> {
    socket: &'a TcpStream,
    deadline: Instant,
}

impl Timed<'_> {
    fn remaining(&self) -> io::Result<Option<Duration>> {
        let remaining = self.deadline.saturating_duration_since(Instant::now());
        // Zero would mean no limit at all.
        (!remaining.is_zero()).then_some(Some(remaining)).ok_or_else(|| ErrorKind::TimedOut.into())
    }

    /// Repeats what a signal interrupted; the host program has handlers of its own.
    fn patiently(
        &mut self,
        mut step: impl FnMut(&mut &TcpStream, Option<Duration>) -> io::Result<usize>,
    ) -> io::Result<usize> {
        loop {
            let limit = self.remaining()?;
            match step(&mut self.socket, limit) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // What a socket says when its own limit is over.
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(ErrorKind::TimedOut.into()),
                result => return result,
            }
        }
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.patiently(|socket, limit| {
            socket.set_read_timeout(limit)?;
            socket.read(buffer)
        })
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.patiently(|socket, limit| {
            socket.set_write_timeout(limit)?;
            socket.write(bytes)
        })
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let joined: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        self.write(&joined)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
