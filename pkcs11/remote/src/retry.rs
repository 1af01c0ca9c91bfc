//! Which node is asked, how often, and when to stop.
//!
//! Always true: a request is repeated only after the network failed or a node said 503, a refusal is final, and a node
//! that let a request time out is not asked again for it. A call lasts at most one time-out for each node, the pauses
//! included. Repeating a POST does nothing twice, because it keeps its idempotency key.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::connection::Failure;
use crate::http::{Request, Response};
use crate::Error;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const UNAVAILABLE: u16 = 503;
const PROBLEM: &str = "urn:privyseal:problem:";

/// The nodes as the policy sees them, so that it can be tried without a network.
pub(crate) trait Nodes {
    /// How many there are, at least one.
    fn count(&self) -> usize;

    /// For messages.
    fn name(&self, node: usize) -> String;

    /// One exchange with one node.
    fn send(&self, node: usize, request: &Request, deadline: Instant) -> Result<Response, Failure>;

    /// Waits before the next round.
    fn pause(&self, length: Duration);
}

/// How long and how often to try.
#[derive(Debug)]
pub(crate) struct Policy {
    pub timeout: Duration,
    pub retries: u32,
    /// The node that answered last; it is asked first.
    pub preferred: AtomicUsize,
}

/// A node's failure to carry a request out, and whether asking again in a moment may help.
struct Attempt {
    error: Error,
    again: bool,
    wait: Option<Duration>,
}

impl Policy {
    /// Sends the request until a node carries it out or refuses it, or the tries are used up. The error is the first
    /// node's: the others' mostly say that they are not the one in charge.
    pub(crate) fn send(&self, nodes: &dyn Nodes, request: &Request) -> Result<Response, Error> {
        let end = Instant::now() + self.timeout * nodes.count() as u32;
        let mut slow = vec![false; nodes.count()];
        let mut round = 0;
        loop {
            let failed = match self.ask_every_node(nodes, request, end, &mut slow) {
                Ok(response) => return Ok(response),
                Err(failed) => failed,
            };
            let pause = failed.wait.unwrap_or(FIRST_PAUSE * 2u32.saturating_pow(round.min(16))).min(LONGEST_PAUSE);
            let in_time = Instant::now() + pause < end;
            if round == self.retries || !failed.again || !in_time {
                return Err(failed.error);
            }
            nodes.pause(pause);
            round += 1;
        }
    }

    fn ask_every_node(
        &self,
        nodes: &dyn Nodes,
        request: &Request,
        end: Instant,
        slow: &mut [bool],
    ) -> Result<Response, Attempt> {
        let preferred = self.preferred.load(Ordering::Relaxed);
        let order = (0..nodes.count()).map(|place| (preferred + place) % nodes.count());
        let mut first: Option<Attempt> = None;
        for node in order {
            if slow[node] {
                continue;
            }
            let deadline = end.min(Instant::now() + self.timeout);
            match self.ask(nodes, node, request, deadline, &mut slow[node]) {
                Ok(result) => {
                    self.preferred.store(node, Ordering::Relaxed);
                    return result.map_err(|error| Attempt { error, again: false, wait: None });
                }
                Err(failed) => {
                    let again = failed.again || first.as_ref().is_some_and(|first| first.again);
                    first = Some(Attempt { again, ..first.unwrap_or(failed) });
                }
            }
        }
        let silence =
            || Attempt { error: Error::Unreachable("no node is left to ask".to_owned()), again: false, wait: None };
        Err(first.unwrap_or_else(silence))
    }

    /// Asks one node. The outer error is a failure after which the next node may do better; the inner result is final.
    fn ask(
        &self,
        nodes: &dyn Nodes,
        node: usize,
        request: &Request,
        deadline: Instant,
        slow: &mut bool,
    ) -> Result<Result<Response, Error>, Attempt> {
        match nodes.send(node, request, deadline) {
            Ok(response) if (200..300).contains(&response.status) || response.status == 304 => Ok(Ok(response)),
            Ok(response) if response.status == UNAVAILABLE => Err(unavailable(&response)),
            Ok(response) => Ok(Err(problem(&response))),
            Err(Failure::TimedOut) => {
                *slow = true;
                let text = format!("{} did not answer within {} ms", nodes.name(node), self.timeout.as_millis());
                Err(Attempt { error: Error::Unreachable(text), again: false, wait: None })
            }
            Err(Failure::Network(text)) => Err(Attempt { error: Error::Unreachable(text), again: true, wait: None }),
            Err(Failure::Final(error)) => Ok(Err(error)),
        }
    }
}

/// A locked appliance stays locked until somebody unlocks it; everything else that is a 503 passes.
fn unavailable(response: &Response) -> Attempt {
    let error = problem(response);
    let again = error.problem() != Some("appliance-locked");
    Attempt { error, again, wait: response.retry_after.map(Duration::from_secs) }
}

#[derive(Deserialize)]
struct ProblemDocument {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    detail: String,
}

/// The refusal in a response that is none of 2xx.
fn problem(response: &Response) -> Error {
    let status = response.status;
    let document: Option<ProblemDocument> = serde_json::from_slice(&response.body).ok();
    let known = document.and_then(|document| Some((document.kind.strip_prefix(PROBLEM)?.to_owned(), document)));
    match known {
        Some((name, ProblemDocument { title, detail, .. })) => {
            Error::Problem { name, status, detail: if detail.is_empty() { title } else { detail } }
        }
        None => Error::Problem {
            name: format!("http-{status}"),
            status,
            detail: "an answer without a problem document; is this a Privyseal appliance?".to_owned(),
        },
    }
}
