//! Sessions and what is under way in them.
//!
//! Always true: the table's lock is held for a moment only; a session's own lock is held while its operation waits for
//! the network, and closing the session does not need it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use privyseal_sys::*;

use crate::cipher::Ciphering;
use crate::error::Error;
use crate::find::Find;
use crate::lock::lock;
use crate::messages::Messages;
use crate::operation::{Digesting, Signing};
use crate::token::Token;

/// One session.
#[derive(Debug)]
pub struct Session {
    pub token: Arc<Token>,
    pub rw: bool,
    pub operations: Mutex<Operations>,
}

/// What is under way in a session; each kind once.
#[derive(Debug, Default)]
pub struct Operations {
    pub find: Option<Find>,
    pub sign: Option<Signing>,
    pub verify: Option<Signing>,
    pub digest: Option<Digesting>,
    pub encrypt: Option<Ciphering>,
    pub decrypt: Option<Ciphering>,
    pub verify_signature: Option<(Signing, Vec<u8>)>,
    pub message_sign: Option<Messages>,
    pub message_verify: Option<Messages>,
}

impl Operations {
    /// Whether an operation is under way whose state could be asked for.
    pub fn any(&self) -> bool {
        self.sign.is_some() || self.verify.is_some() || self.digest.is_some()
    }
}

impl Session {
    /// What `C_GetSessionInfo` says.
    pub fn info(&self) -> CK_SESSION_INFO {
        let state = match (self.rw, self.token.is_logged_in()) {
            (false, false) => CKS_RO_PUBLIC_SESSION,
            (false, true) => CKS_RO_USER_FUNCTIONS,
            (true, false) => CKS_RW_PUBLIC_SESSION,
            (true, true) => CKS_RW_USER_FUNCTIONS,
        };
        let flags = CKF_SERIAL_SESSION | if self.rw { CKF_RW_SESSION } else { 0 };
        CK_SESSION_INFO { slotID: self.token.slot, state, flags, ulDeviceError: 0 }
    }
}

/// All sessions of the process.
#[derive(Debug, Default)]
pub struct Sessions(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    last: CK_SESSION_HANDLE,
    open: BTreeMap<CK_SESSION_HANDLE, Arc<Session>>,
}

impl Sessions {
    /// Opens a session. Handles are not used again, so that a closed one stays invalid.
    pub fn open(&self, token: Arc<Token>, rw: bool) -> CK_SESSION_HANDLE {
        let mut table = lock(&self.0);
        table.last += 1;
        let handle = table.last;
        table.open.insert(handle, Arc::new(Session { token, rw, operations: Mutex::default() }));
        handle
    }

    /// The session with this handle.
    pub fn get(&self, handle: CK_SESSION_HANDLE) -> Result<Arc<Session>, Error> {
        lock(&self.0).open.get(&handle).cloned().ok_or(Error::SessionHandleInvalid)
    }

    /// Closes a session. With the token's last one the login ends (PKCS #11 v2.40, section 5.6); the answer is the slot and
    /// whether this was so.
    pub fn close(&self, handle: CK_SESSION_HANDLE) -> Result<(CK_SLOT_ID, bool), Error> {
        let mut table = lock(&self.0);
        let token = table.open.remove(&handle).ok_or(Error::SessionHandleInvalid)?.token.clone();
        let last = !table.open.values().any(|other| other.token.slot == token.slot);
        if last {
            token.forget_login();
        }
        Ok((token.slot, last))
    }

    /// Closes all sessions with a slot.
    pub fn close_slot(&self, slot: CK_SLOT_ID) {
        self.close_where(|session| session.token.slot == slot);
    }

    /// Closes every session.
    pub fn close_all(&self) {
        self.close_where(|_| true);
    }

    /// How many sessions, and how many read-write ones, there are with a slot.
    pub fn count(&self, slot: CK_SLOT_ID) -> (usize, usize) {
        let table = lock(&self.0);
        let with_slot = || table.open.values().filter(|session| session.token.slot == slot);
        (with_slot().count(), with_slot().filter(|session| session.rw).count())
    }

    fn close_where(&self, wanted: impl Fn(&Session) -> bool) {
        lock(&self.0).open.retain(|_, session| {
            let closing = wanted(session);
            if closing {
                session.token.forget_login();
            }
            !closing
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::tests::core;

    #[test]
    fn states_and_counts_follow_the_sessions() {
        let token = Arc::new(Token::of_core(&core()).unwrap());
        let sessions = Sessions::default();
        let (ro, rw) = (sessions.open(token.clone(), false), sessions.open(token.clone(), true));
        assert_eq!(sessions.get(ro).unwrap().info().state, CKS_RO_PUBLIC_SESSION);
        assert_eq!(sessions.get(rw).unwrap().info().state, CKS_RW_PUBLIC_SESSION);
        assert_eq!(sessions.count(token.slot), (2, 1));
        sessions.close(ro).unwrap();
        assert_eq!(sessions.close(ro), Err(Error::SessionHandleInvalid));
        sessions.close_slot(token.slot);
        assert_eq!(sessions.count(token.slot), (0, 0));
    }
}
