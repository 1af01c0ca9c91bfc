//! Joins signatures that are wanted at the same time under the same order into one request.
//!
//! The rules are:
//!
//! - A caller whose order nobody is carrying out leads: it takes what waits, itself included, and sends it.
//! - What arrives meanwhile waits. When a leader is back it wakes those it carried and the one that waits longest,
//!   which leads next. So nobody waits for company, and no thread is needed but the callers' own.
//! - Every caller gets exactly one outcome, even if its leader panics.
//! - An order and a ticket are compared as a whole: nothing is ever signed under somebody else's ticket.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::{Error, Secret, SignOrder};

/// Most signatures in one request; the appliance's limit (docs/reference/rest.md).
const MAX_BATCH: usize = 1000;
/// Most input bytes in one request. Only EdDSA's messages come near; the appliance's limit is 4 MiB after base64.
const MAX_BYTES: usize = 2 * 1024 * 1024;

type Outcome = Result<Vec<u8>, Error>;
/// Signs several inputs under one order and returns a signature for each, in order.
type Send<'a> = dyn Fn(&[&[u8]]) -> Result<Vec<Vec<u8>>, Error> + 'a;

/// The signatures that are waiting or under way in this process.
#[derive(Debug, Default)]
pub(crate) struct Coalescer {
    queues: Mutex<Vec<Queue>>,
}

/// What waits under one order. There is at most one queue for an order, and none where nobody waits or leads.
#[derive(Debug)]
struct Queue {
    order: SignOrder,
    ticket: Option<Secret>,
    /// Whether a leader is out.
    led: bool,
    waiting: Vec<Arc<Entry>>,
}

#[derive(Debug)]
struct Entry {
    input: Vec<u8>,
    /// Set once, under the lock of the queues.
    outcome: OnceLock<Outcome>,
    /// Waits with the lock of the queues: for the outcome, or for this entry's turn to lead.
    turn: Condvar,
}

impl Coalescer {
    /// Signs `input`, alone or together with others. `send` works under this order and ticket and is called
    /// without any lock held.
    pub(crate) fn sign(&self, order: &SignOrder, ticket: Option<&Secret>, input: &[u8], send: &Send<'_>) -> Outcome {
        let entry = Arc::new(Entry { input: input.to_vec(), outcome: OnceLock::new(), turn: Condvar::new() });
        let mut queues = self.lock();
        queue_of(&mut queues, order, ticket).waiting.push(entry.clone());
        loop {
            if let Some(outcome) = entry.outcome.get() {
                return outcome.clone();
            }
            let queue = queue_of(&mut queues, order, ticket);
            if queue.led {
                queues = entry.turn.wait(queues).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            queue.led = true;
            let mut lead =
                Lead { coalescer: self, order, ticket, members: next_batch(&mut queue.waiting), outcomes: Vec::new() };
            drop(queues);
            lead.outcomes = sign_all(&lead.inputs(), send);
            drop(lead);
            queues = self.lock();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Queue>> {
        // The lock is never held across code that can panic half-way through a change.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A leader under way. Dropping it hands the outcomes out, whatever happened.
struct Lead<'a> {
    coalescer: &'a Coalescer,
    order: &'a SignOrder,
    ticket: Option<&'a Secret>,
    members: Vec<Arc<Entry>>,
    outcomes: Vec<Outcome>,
}

impl Lead<'_> {
    fn inputs(&self) -> Vec<&[u8]> {
        self.members.iter().map(|entry| entry.input.as_slice()).collect()
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        let mut queues = self.coalescer.lock();
        let mut outcomes = std::mem::take(&mut self.outcomes).into_iter();
        for member in &self.members {
            let lost = || Err(Error::Unreachable("the request was given up".to_owned()));
            let _ = member.outcome.set(outcomes.next().unwrap_or_else(lost));
            member.turn.notify_one();
        }
        let queue = queue_of(&mut queues, self.order, self.ticket);
        queue.led = false;
        match queue.waiting.first() {
            Some(next) => next.turn.notify_one(),
            None => queues.retain(|queue| queue.led || !queue.waiting.is_empty()),
        }
    }
}

fn queue_of<'a>(queues: &'a mut Vec<Queue>, order: &SignOrder, ticket: Option<&Secret>) -> &'a mut Queue {
    let place = queues.iter().position(|queue| queue.order == *order && queue.ticket.as_ref() == ticket);
    let place = place.unwrap_or_else(|| {
        queues.push(Queue { order: order.clone(), ticket: ticket.cloned(), led: false, waiting: Vec::new() });
        queues.len() - 1
    });
    &mut queues[place]
}

/// Takes the longest waiting, at least one, as many as fit in a request.
fn next_batch(waiting: &mut Vec<Arc<Entry>>) -> Vec<Arc<Entry>> {
    let mut bytes = 0;
    let fits = |entry: &&Arc<Entry>| {
        bytes += entry.input.len();
        bytes <= MAX_BYTES
    };
    let count = waiting.iter().take(MAX_BATCH).take_while(fits).count();
    let count = count.max(1).min(waiting.len());
    waiting.drain(..count).collect()
}

/// Signs all inputs. A batch is refused as a whole for one bad input, so such a batch is halved until the bad one
/// stands alone and hurts nobody else; every other error is everybody's.
fn sign_all(inputs: &[&[u8]], send: &Send<'_>) -> Vec<Outcome> {
    match send(inputs) {
        Ok(signatures) if signatures.len() == inputs.len() => signatures.into_iter().map(Ok).collect(),
        Ok(_) => vec![Err(Error::Garbage("not as many signatures as were asked for".to_owned())); inputs.len()],
        Err(error) if error.problem() == Some("invalid-body") && inputs.len() > 1 => {
            let (first, second) = inputs.split_at(inputs.len() / 2);
            let mut outcomes = sign_all(first, send);
            outcomes.extend(sign_all(second, send));
            outcomes
        }
        Err(error) => vec![Err(error); inputs.len()],
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{mpsc, Barrier};
    use std::thread;
    use std::time::Duration;

    use super::*;

    fn order(key: &str) -> SignOrder {
        let key = key.to_owned();
        SignOrder {
            core: 1,
            key,
            mechanism: "ECDSA",
            hash: Some("SHA-256"),
            salt_length: None,
            mgf_hash: None,
            context: None,
        }
    }

    /// What an appliance would do with these inputs: refuse the batch for a 9 in it, else turn every byte.
    fn appliance(inputs: &[&[u8]]) -> Result<Vec<Vec<u8>>, Error> {
        let detail = String::new();
        if inputs.iter().any(|input| input.contains(&9)) {
            return Err(Error::Problem { name: "invalid-body".to_owned(), status: 422, detail });
        }
        Ok(inputs.iter().map(|input| input.iter().map(|byte| !byte).collect()).collect())
    }

    /// Lets one request pass only after `others` more callers have come, so that they meet in the next one.
    fn meet(coalescer: &Coalescer, others: usize) {
        let waiting = || coalescer.lock().iter().map(|queue| queue.waiting.len()).sum::<usize>();
        while waiting() < others {
            thread::yield_now();
        }
    }

    /// One caller leads and is held up until the others wait; returns every caller's outcome and the requests' sizes.
    fn together(
        inputs: &[u8],
        send: &(impl Fn(&[&[u8]]) -> Result<Vec<Vec<u8>>, Error> + Sync),
    ) -> (Vec<Outcome>, Vec<usize>) {
        let coalescer = Coalescer::default();
        let (sizes, out) = (Mutex::new(Vec::new()), Barrier::new(2));
        let outcomes = thread::scope(|scope| {
            let lead = scope.spawn(|| {
                coalescer.sign(&order("a"), None, &[0], &|batch| {
                    out.wait();
                    meet(&coalescer, inputs.len());
                    appliance(batch)
                })
            });
            out.wait();
            let caller = |input: &u8| {
                let input = [*input];
                let (coalescer, sizes) = (&coalescer, &sizes);
                scope.spawn(move || {
                    coalescer.sign(&order("a"), None, &input, &|batch| {
                        sizes.lock().unwrap().push(batch.len());
                        send(batch)
                    })
                })
            };
            let callers: Vec<_> = inputs.iter().map(caller).collect();
            assert_eq!(lead.join().unwrap(), Ok(vec![255]));
            callers.into_iter().map(|caller| caller.join().unwrap()).collect()
        });
        assert!(coalescer.lock().is_empty());
        (outcomes, sizes.into_inner().unwrap())
    }

    #[test]
    fn a_lone_caller_sends_at_once() {
        let coalescer = Coalescer::default();
        assert_eq!(coalescer.sign(&order("a"), None, &[1, 2], &appliance), Ok(vec![254, 253]));
        assert!(coalescer.lock().is_empty());
    }

    #[test]
    fn what_arrives_during_a_request_shares_the_next() {
        let (outcomes, sizes) = together(&[1, 2, 3, 4, 5], &appliance);
        let expected: Vec<Outcome> = [1u8, 2, 3, 4, 5].iter().map(|input| Ok(vec![!input])).collect();
        assert_eq!((outcomes, sizes), (expected, vec![5]));
    }

    #[test]
    fn a_bad_input_hurts_only_its_own_caller() {
        let (outcomes, _) = together(&[1, 2, 9, 4, 5], &appliance);
        for (outcome, input) in outcomes.iter().zip([1u8, 2, 9, 4, 5]) {
            match outcome {
                Err(error) => assert_eq!((input, error.problem()), (9, Some("invalid-body"))),
                Ok(signature) => assert_eq!(*signature, [!input]),
            }
        }
    }

    #[test]
    fn any_other_error_is_everybody_s() {
        let down = Error::Unreachable("down".to_owned());
        let (outcomes, sizes) = together(&[1, 2, 3], &|_| Err(Error::Unreachable("down".to_owned())));
        assert_eq!((outcomes, sizes), (vec![Err(down); 3], vec![3]));
    }

    #[test]
    fn too_few_signatures_are_nobody_s() {
        let (outcomes, _) = together(&[1, 2, 3], &|_| Ok(vec![vec![1]]));
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Err(Error::Garbage(_)))));
    }

    #[test]
    fn other_keys_and_other_tickets_do_not_wait() {
        let (done, outcome) = mpsc::channel();
        // A thread of its own, so that a caller who waits for ever is a failure and no hang.
        thread::spawn(move || {
            let coalescer = Coalescer::default();
            let (mine, other) = (Secret::from("ticket-1"), Secret::from("ticket-2"));
            let while_out = |batch: &[&[u8]]| {
                for (key, ticket) in [("b", Some(&mine)), ("a", Some(&other)), ("a", None)] {
                    coalescer.sign(&order(key), ticket, &[2], &appliance)?;
                }
                appliance(batch)
            };
            done.send(coalescer.sign(&order("a"), Some(&mine), &[1], &while_out)).unwrap();
        });
        assert_eq!(outcome.recv_timeout(Duration::from_secs(20)), Ok(Ok(vec![254])));
    }

    #[test]
    fn a_leader_s_panic_leaves_nobody_waiting() {
        let coalescer = Coalescer::default();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _ = coalescer.sign(&order("a"), None, &[1], &|_| panic!("as the test wants it"));
        }));
        assert!(panicked.is_err());
        assert_eq!(coalescer.sign(&order("a"), None, &[1], &appliance), Ok(vec![254]));
    }

    #[test]
    fn a_request_stays_within_the_appliance_s_limits() {
        let entry = |size| Arc::new(Entry { input: vec![0; size], outcome: OnceLock::new(), turn: Condvar::new() });
        let counts = |sizes: &[usize]| {
            let mut waiting: Vec<_> = sizes.iter().map(|size| entry(*size)).collect();
            let mut counts = Vec::new();
            while !waiting.is_empty() {
                counts.push(next_batch(&mut waiting).len());
            }
            counts
        };
        assert_eq!(counts(&[32; 2001]), [1000, 1000, 1]);
        assert_eq!(counts(&[MAX_BYTES + 1, MAX_BYTES, 1, MAX_BYTES / 2, MAX_BYTES / 2]), [1, 1, 2, 1]);
    }

    #[test]
    fn many_threads_get_their_own_signatures() {
        let coalescer = Coalescer::default();
        let requests = AtomicUsize::new(0);
        let send = |batch: &[&[u8]]| {
            requests.fetch_add(1, Ordering::Relaxed);
            thread::yield_now();
            appliance(batch)
        };
        thread::scope(|scope| {
            for caller in 0..8u8 {
                let (coalescer, send) = (&coalescer, &send);
                scope.spawn(move || {
                    for round in 0..200u8 {
                        let input = [caller, round];
                        match coalescer.sign(&order("a"), None, &input, send) {
                            Ok(signature) => assert_eq!(signature, [!caller, !round]),
                            Err(_) => assert_eq!(round, 9),
                        }
                    }
                });
            }
        });
        assert!(coalescer.lock().is_empty());
        assert!(requests.into_inner() > 0);
    }
}
