//! What PKCS #11 has for tokens that a program sets up, and why this one refuses it.
//!
//! Always true: a PIN belongs to a key and is set when the key is made; cores are made by administrators. So there is no
//! security officer whose PIN could fit, and no PIN of the token.

use privyseal_sys::{CK_SESSION_HANDLE, CK_SLOT_ID};

use crate::error::Error;
use crate::lock::lock;
use crate::module::Module;

impl Module {
    /// Why `C_InitToken` is refused: whatever the PIN is, it is no security officer's.
    pub fn init_token(&self, slot: CK_SLOT_ID) -> Error {
        match self.token(slot) {
            Err(error) => error,
            Ok(_) if self.sessions.count(slot).0 > 0 => Error::SessionExists,
            Ok(_) => Error::PinIncorrect,
        }
    }

    /// Why `C_InitPIN` is refused: it is for the security officer, and nobody is logged in as that.
    pub fn init_pin(&self, session: CK_SESSION_HANDLE) -> Error {
        self.session(session).err().unwrap_or(Error::UserNotLoggedIn)
    }

    /// Why `C_SetPIN` is refused.
    pub fn set_pin(&self, session: CK_SESSION_HANDLE) -> Error {
        match self.session(session) {
            Err(error) => error,
            Ok(session) if !session.rw => Error::SessionReadOnly,
            Ok(_) => Error::FunctionNotSupported,
        }
    }

    /// Why `C_GetOperationState` is refused: a running hash stays in this process, and there may be none at all.
    pub fn operation_state(&self, session: CK_SESSION_HANDLE) -> Error {
        match self.session(session) {
            Err(error) => error,
            Ok(session) if lock(&session.operations).any() => Error::StateUnsaveable,
            Ok(_) => Error::OperationNotInitialized,
        }
    }

    /// Why `C_SetOperationState` is refused: no state is this module's.
    pub fn set_operation_state(&self, session: CK_SESSION_HANDLE) -> Error {
        self.session(session).err().unwrap_or(Error::SavedStateInvalid)
    }
}
