//! Requests to the appliance: who asks, over which of how many connections, and what the log says of it.
//!
//! Always true: files are read at the first request and not before, and at most as many requests are under way as the
//! pool allows.

use std::fmt;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::engine::general_purpose::STANDARD;
use base64::Engine as _;
use zeroize::Zeroizing;

use crate::configuration::read_secret;
use crate::connection::{Credentials, Failure, Node};
use crate::http::{Request, Response};
use crate::retry::{Nodes, Policy};
use crate::{tls, Configuration, Error, Log, Secret};

/// The connections of one user to one appliance, which may have several nodes.
pub(crate) struct Transport {
    nodes: Vec<Node>,
    policy: Policy,
    gate: Gate,
    /// Made at the first request that has working files; a failure is not kept, because the files may come yet.
    credentials: Mutex<Option<Arc<Credentials>>>,
}

impl fmt::Debug for Transport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Transport").field("nodes", &self.nodes).finish_non_exhaustive()
    }
}

impl Transport {
    pub(crate) fn new(configuration: &Configuration) -> Transport {
        let Configuration { timeout, retries, pool, .. } = *configuration;
        Transport {
            nodes: configuration.urls.iter().cloned().map(Node::new).collect(),
            policy: Policy { timeout, retries, preferred: AtomicUsize::new(0) },
            gate: Gate { free: Mutex::new(pool), freed: Condvar::new() },
            credentials: Mutex::new(None),
        }
    }

    /// Sends one request and waits for its answer.
    pub(crate) fn send(&self, request: &Request, configuration: &Configuration, log: &Log) -> Result<Response, Error> {
        let begin = Instant::now();
        let result = self.credentials(configuration).and_then(|credentials| {
            let nodes = Reachable { transport: self, credentials: &credentials, log };
            self.policy.send(&nodes, request)
        });
        let level = if result.is_ok() { 2 } else { 1 };
        if log.is_on(level) {
            let outcome = result.as_ref().map_or_else(Error::to_string, |response| response.status.to_string());
            let time = begin.elapsed().as_millis();
            log.write(level, &format!("{} {} in {time} ms: {outcome}", request.method, request.target));
        }
        result
    }

    fn credentials(&self, configuration: &Configuration) -> Result<Arc<Credentials>, Error> {
        let mut credentials = self.credentials.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ready) = &*credentials {
            return Ok(ready.clone());
        }
        let tls = Arc::new(tls::client_config(configuration)?);
        let ready = Arc::new(Credentials { tls, authorization: authorization(configuration)? });
        *credentials = Some(ready.clone());
        Ok(ready)
    }
}

/// The Authorization header: a bearer credential if there is one, else Basic (RFC 7617), else none.
fn authorization(configuration: &Configuration) -> Result<Option<Secret>, Error> {
    let read = |path| read_secret(path).map_err(|error| Error::Misconfigured(error.to_string()));
    if let Some(path) = &configuration.credential_file {
        return Ok(Some(Secret::new(format!("Bearer {}", read(path)?.expose()))));
    }
    let password = match (&configuration.password, &configuration.password_file) {
        (Some(password), _) => password.clone(),
        (None, Some(path)) => read(path)?,
        (None, None) => return Ok(None),
    };
    if configuration.user.contains(':') {
        return Err(Error::Misconfigured("a user name cannot hold a colon".to_owned()));
    }
    let pair = Zeroizing::new(format!("{}:{}", configuration.user, password.expose()));
    Ok(Some(Secret::new(format!("Basic {}", *Zeroizing::new(STANDARD.encode(pair.as_bytes()))))))
}

/// The nodes during one request.
struct Reachable<'a> {
    transport: &'a Transport,
    credentials: &'a Credentials,
    log: &'a Log,
}

impl Nodes for Reachable<'_> {
    fn count(&self) -> usize {
        self.transport.nodes.len()
    }

    fn name(&self, node: usize) -> String {
        self.transport.nodes[node].url().to_string()
    }

    fn send(&self, node: usize, request: &Request, deadline: Instant) -> Result<Response, Failure> {
        let _pass = self.transport.gate.enter(deadline).ok_or(Failure::TimedOut)?;
        self.transport.nodes[node].send(request, self.credentials, deadline, self.log)
    }

    fn pause(&self, length: Duration) {
        self.log.write(2, &format!("trying again in {} ms", length.as_millis()));
        std::thread::sleep(length);
    }
}

/// Lets a number of requests through at a time.
struct Gate {
    free: Mutex<usize>,
    freed: Condvar,
}

impl Gate {
    /// Waits for a place; None if there is none before the deadline.
    fn enter(&self, deadline: Instant) -> Option<Pass<'_>> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let remaining = deadline.saturating_duration_since(Instant::now());
        let waited = self.freed.wait_timeout_while(free, remaining, |free| *free == 0);
        let (mut free, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *free = free.checked_sub(1)?;
        Some(Pass(self))
    }
}

/// A place among the requests under way; dropping it frees the place.
struct Pass<'a>(&'a Gate);

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}
