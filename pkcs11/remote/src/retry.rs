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
    /// The command that makes the access rule that is missing, where one would help.
    #[serde(default)]
    missing_rule: Option<String>,
}

impl ProblemDocument {
    /// What is wrong, and what would mend it.
    fn words(self) -> String {
        let words = if self.detail.is_empty() { self.title } else { self.detail };
        match self.missing_rule {
            Some(command) if !words.contains(&command) => format!("{words}; an administrator types: {command}"),
            _ => words,
        }
    }
}

/// The refusal in a response that is none of 2xx.
pub(crate) fn problem(response: &Response) -> Error {
    let status = response.status;
    let document: Option<ProblemDocument> = serde_json::from_slice(&response.body).ok();
    let known = document.and_then(|document| Some((document.kind.strip_prefix(PROBLEM)?.to_owned(), document)));
    match known {
        Some((name, document)) => Error::Problem { name, status, detail: document.words() },
        None => Error::Problem {
            name: format!("http-{status}"),
            status,
            detail: "an answer without a problem document; is this a Privyseal appliance?".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use zeroize::Zeroizing;

    use super::*;

    type Answer = fn() -> Result<Response, Failure>;

    /// Nodes that answer from a list, node by node and try by try; the last entry repeats.
    struct Scripted {
        answers: Vec<Vec<Answer>>,
        asked: Mutex<Vec<usize>>,
        pauses: Mutex<Vec<Duration>>,
    }

    impl Nodes for Scripted {
        fn count(&self) -> usize {
            self.answers.len()
        }

        fn name(&self, node: usize) -> String {
            format!("node {node}")
        }

        fn send(&self, node: usize, _request: &Request, _deadline: Instant) -> Result<Response, Failure> {
            let mut asked = self.asked.lock().unwrap();
            let turn = asked.iter().filter(|other| **other == node).count();
            asked.push(node);
            self.answers[node][turn.min(self.answers[node].len() - 1)]()
        }

        fn pause(&self, length: Duration) {
            self.pauses.lock().unwrap().push(length);
        }
    }

    fn response(status: u16, retry_after: Option<u64>, body: &str) -> Result<Response, Failure> {
        Ok(Response { status, retry_after, keep_alive: true, body: Zeroizing::new(body.as_bytes().to_vec()) })
    }

    fn done() -> Result<Response, Failure> {
        response(200, None, "{}")
    }

    fn down() -> Result<Response, Failure> {
        Err(Failure::Network("refused".to_owned()))
    }

    fn slow() -> Result<Response, Failure> {
        Err(Failure::TimedOut)
    }

    fn busy() -> Result<Response, Failure> {
        response(503, Some(1), r#"{"type": "urn:privyseal:problem:unavailable", "detail": "the keeper"}"#)
    }

    fn locked() -> Result<Response, Failure> {
        response(503, None, r#"{"type": "urn:privyseal:problem:appliance-locked", "title": "It is locked"}"#)
    }

    fn wrong_pin() -> Result<Response, Failure> {
        response(403, None, r#"{"type": "urn:privyseal:problem:pin-incorrect", "detail": "9 attempts are left"}"#)
    }

    fn untrusted() -> Result<Response, Failure> {
        Err(Failure::Final(Error::Untrusted("another CA".to_owned())))
    }

    struct Told {
        result: Result<u16, Error>,
        asked: Vec<usize>,
        pauses: Vec<u128>,
        preferred: usize,
    }

    fn play(answers: &[&[Answer]]) -> Told {
        let answers = answers.iter().map(|node| node.to_vec()).collect();
        let nodes = Scripted { answers, asked: Mutex::default(), pauses: Mutex::default() };
        let policy = Policy { timeout: Duration::from_secs(10), retries: 2, preferred: AtomicUsize::new(0) };
        let request =
            Request { method: "GET", target: "/".to_owned(), body: Zeroizing::default(), idempotency_key: None };
        Told {
            result: policy.send(&nodes, &request).map(|response| response.status),
            asked: nodes.asked.into_inner().unwrap(),
            pauses: nodes.pauses.into_inner().unwrap().iter().map(Duration::as_millis).collect(),
            preferred: policy.preferred.into_inner(),
        }
    }

    #[test]
    fn a_node_that_is_down_is_asked_three_times() {
        let told = play(&[&[down]]);
        assert_eq!(told.result, Err(Error::Unreachable("refused".to_owned())));
        assert_eq!((told.asked, told.pauses), (vec![0; 3], vec![100, 200]));
    }

    #[test]
    fn a_retry_can_succeed() {
        assert_eq!(play(&[&[down, busy, done]]).result, Ok(200));
    }

    #[test]
    fn a_503_s_own_wait_is_kept() {
        assert_eq!(play(&[&[busy, done]]).pauses, [1000]);
    }

    #[test]
    fn refusals_are_final() {
        let told = play(&[&[wrong_pin], &[done]]);
        let (name, detail) = ("pin-incorrect".to_owned(), "9 attempts are left".to_owned());
        assert_eq!(told.result, Err(Error::Problem { name, status: 403, detail }));
        assert_eq!(told.asked, [0]);
        assert_eq!(play(&[&[untrusted], &[done]]).asked, [0]);
    }

    #[test]
    fn the_next_node_takes_over_and_is_preferred() {
        for failed in [down, slow, busy, locked] {
            let told = play(&[&[failed], &[done]]);
            assert_eq!((told.result, told.asked, told.preferred), (Ok(200), vec![0, 1], 1));
        }
    }

    #[test]
    fn who_was_too_slow_is_not_asked_again() {
        let told = play(&[&[slow]]);
        assert_eq!(told.result, Err(Error::Unreachable("node 0 did not answer within 10000 ms".to_owned())));
        assert_eq!(told.asked, [0]);
        assert_eq!(play(&[&[slow], &[down]]).asked, [0, 1, 1, 1]);
    }

    #[test]
    fn a_locked_appliance_stays_locked() {
        let told = play(&[&[locked]]);
        assert_eq!((told.result.unwrap_err().problem(), told.asked), (Some("appliance-locked"), vec![0]));
    }

    #[test]
    fn an_answer_that_is_no_problem_document_is_named_by_its_status() {
        let told = play(&[&[|| response(302, None, "<html>")]]);
        assert_eq!(told.result.unwrap_err().problem(), Some("http-302"));
        let told = play(&[&[|| response(400, None, r#"{"type": "about:blank"}"#)]]);
        assert_eq!(told.result.unwrap_err().problem(), Some("http-400"));
    }
}
