//! A TLS server on the loopback that answers as a test wants, and a small CA for it.
//!
//! Always true: the server is real TLS over real sockets; a test decides what comes back for each request and when a
//! connection ends. It lives as long as the process.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// A CA, and what it has issued to one server.
pub struct Authority {
    pub root: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority { root: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    /// A server's certificate and key; the certificate is valid until the beginning of a year.
    pub fn issue(&self, names: &[&str], until: i32) -> Identity {
        let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = rcgen::date_time_ymd(1999, 1, 1);
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &self.root).unwrap();
        Identity { chain: vec![leaf.der().clone(), self.root.der().clone()], key: key.serialize_der() }
    }

    /// The CA's certificate in a file.
    pub fn file(&self, test: &str) -> PathBuf {
        let folder = option_env!("CARGO_TARGET_TMPDIR").map_or_else(std::env::temp_dir, PathBuf::from);
        let path = folder.join(format!("{test}-{}.pem", std::process::id()));
        std::fs::write(&path, self.root.pem()).unwrap();
        path
    }
}

pub struct Identity {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: Vec<u8>,
}

/// What the server does about one request.
pub enum Reply {
    /// Sends these bytes and keeps the connection.
    Bytes(Vec<u8>),
    /// Sends these bytes and ends the connection properly.
    Last(Vec<u8>),
    /// Ends the connection without an answer.
    Hang,
    /// Says nothing and keeps the connection.
    Silence,
    /// Sends one byte, waits, and so on.
    Trickle(Vec<u8>, Duration),
}

pub fn json(status: u16, body: &str) -> Reply {
    Reply::Bytes(format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes())
}

/// A request as it came: the head, the body.
#[derive(Clone, Debug)]
pub struct Seen {
    pub head: String,
    pub body: String,
    /// Counts connections from 1.
    pub connection: usize,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

pub struct Server {
    pub port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    /// Starts a server; `answer` is given the number of the request, from 0, and the request.
    pub fn start(identity: Identity, answer: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static) -> Server {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = PrivateKeyDer::try_from(identity.key).unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(identity.chain, key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, seen) = (listener.local_addr().unwrap().port(), Arc::new(Mutex::new(Vec::new())));
        let (config, answer, log) = (Arc::new(config), Arc::new(answer), seen.clone());
        thread::spawn(move || {
            for (number, socket) in listener.incoming().enumerate() {
                let (config, answer, log) = (config.clone(), answer.clone(), log.clone());
                thread::spawn(move || serve(socket.unwrap(), number + 1, config, &*answer, &log));
            }
        });
        Server { port, seen }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

type Stream = StreamOwned<ServerConnection, TcpStream>;

fn serve(
    socket: TcpStream,
    connection: usize,
    config: Arc<ServerConfig>,
    answer: &dyn Fn(usize, &Seen) -> Reply,
    log: &Mutex<Vec<Seen>>,
) {
    // Nagle's delay would hold the answer back until the client has acknowledged the session tickets.
    socket.set_nodelay(true).unwrap();
    let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), socket);
    while let Some(seen) = request(&mut stream, connection) {
        let number = {
            let mut log = log.lock().unwrap();
            log.push(seen.clone());
            log.len() - 1
        };
        match answer(number, &seen) {
            Reply::Bytes(bytes) => stream.write_all(&bytes).unwrap(),
            Reply::Last(bytes) => {
                stream.write_all(&bytes).unwrap();
                stream.conn.send_close_notify();
                return stream.flush().unwrap();
            }
            Reply::Hang => return,
            Reply::Silence => {}
            Reply::Trickle(bytes, pause) => {
                for byte in bytes {
                    // The client has the right to leave.
                    if stream.write_all(&[byte]).is_err() {
                        return;
                    }
                    thread::sleep(pause);
                }
            }
        }
    }
}

/// Reads one request; None when the client is gone.
fn request(stream: &mut Stream, connection: usize) -> Option<Seen> {
    let mut bytes = Vec::new();
    let mut one = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut one).ok()?;
        bytes.push(one[0]);
    }
    let mut seen = Seen { head: String::from_utf8(bytes).unwrap(), body: String::new(), connection };
    let length = seen.header("Content-Length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    seen.body = String::from_utf8(body).unwrap();
    Some(seen)
}
