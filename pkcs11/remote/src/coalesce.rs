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
