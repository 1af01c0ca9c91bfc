//! The slots: which tokens this process knows.
//!
//! Always true: the appliance is first asked when a program lists the slots, never before. Nothing to ask, nobody who
//! answers or a wrong password are all the same to the program, no slot, because one module that fails or waits spoils
//! every program of the host that uses p11-kit.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use privyseal_remote::{Appliance, Core, Error as RemoteError, KeyQuery, Log, Slots as Style};
use privyseal_sys::CK_SLOT_ID;

use crate::keys::PAGE;
use crate::lock::lock;
use crate::token::Token;

/// How long the cores are not asked for again.
const FRESH: Duration = Duration::from_secs(2);

/// The tokens, by slot.
#[derive(Debug, Default)]
pub struct Slots {
    /// Held while the appliance is asked.
    asking: Mutex<()>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    asked: Option<Instant>,
    tokens: Vec<Arc<Token>>,
}

impl Slots {
    /// Asks the appliance for its cores unless it was asked just now. A failure keeps what was known.
    pub fn refresh(&self, appliance: &Appliance, log: &Log) {
        let _one_at_a_time = lock(&self.asking);
        if lock(&self.known).asked.is_some_and(|asked| asked.elapsed() < FRESH) {
            return;
        }
        match tokens(appliance, log) {
            Ok(tokens) => lock(&self.known).replace(tokens),
            Err(error) => log.write(1, &format!("no slots could be listed: {error}")),
        }
        lock(&self.known).asked = Some(Instant::now());
    }

    /// Asks only where nobody has asked yet.
    pub fn ensure(&self, appliance: &Appliance, log: &Log) {
        if lock(&self.known).asked.is_none() {
            self.refresh(appliance, log);
        }
    }

    /// The tokens as last seen.
    pub fn tokens(&self) -> Vec<Arc<Token>> {
        lock(&self.known).tokens.clone()
    }

    /// The token in a slot.
    pub fn token(&self, slot: CK_SLOT_ID) -> Option<Arc<Token>> {
        lock(&self.known).tokens.iter().find(|token| token.slot == slot).cloned()
    }

    /// Forgets everything.
    pub fn clear(&self) {
        *lock(&self.known) = Known::default();
    }
}

impl Known {
    /// Takes a new list over; a token that is still there keeps its login and its keys.
    fn replace(&mut self, tokens: Vec<Token>) {
        let old = std::mem::take(&mut self.tokens);
        let kept = |token: &Token| old.iter().find(|known| known.slot == token.slot && known.core == token.core);
        self.tokens =
            tokens.into_iter().map(|token| kept(&token).cloned().unwrap_or_else(|| Arc::new(token))).collect();
    }
}

fn tokens(appliance: &Appliance, log: &Log) -> Result<Vec<Token>, RemoteError> {
    let cores = appliance.cores()?;
    match appliance.configuration().slots {
        Style::Core => Ok(cores.iter().filter_map(Token::of_core).collect()),
        Style::Key => {
            let mut tokens = vec![];
            for core in &cores {
                tokens.extend(tokens_of_keys(appliance, core, log)?);
            }
            Ok(tokens)
        }
    }
}

/// One token for each key, up to one page of them: a program can do nothing with more slots than that.
fn tokens_of_keys(appliance: &Appliance, core: &Core, log: &Log) -> Result<Vec<Token>, RemoteError> {
    let page = appliance.keys(core.number, &KeyQuery { limit: PAGE, ..KeyQuery::default() })?;
    if page.next.is_some() {
        log.write(1, &format!("core {} has more than {PAGE} keys; the others get no slot", core.number));
    }
    // A token without an object is of no use: keys without a public half are not shown here.
    let shown = page.keys.iter().filter(|key| !key.public_key.is_empty());
    Ok(shown.filter_map(|key| Token::of_key(core, key)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::tests::core;

    #[test]
    fn a_token_that_stays_is_the_same_token() {
        let slots = Slots::default();
        lock(&slots.known).replace(vec![Token::of_core(&core()).unwrap()]);
        let before = slots.token(200_648_370).unwrap();
        lock(&slots.known).replace(vec![Token::of_core(&core()).unwrap()]);
        assert!(Arc::ptr_eq(&before, &slots.token(200_648_370).unwrap()));
        lock(&slots.known).replace(vec![]);
        assert!(slots.token(200_648_370).is_none());
    }
}
