//! The module between `C_Initialize` and `C_Finalize`: slots, sessions and login. `objects` and `crypto` add the rest.
//!
//! Always true: one `Module` belongs to one process. After a fork the child abandons the parent's without touching it,
//! since a lock of it may be held by a thread that the child does not have.

use std::sync::{Arc, Mutex};

use privyseal_remote::{Appliance, Configuration, Error as RemoteError, Log, Secret};
use privyseal_sys::*;

use crate::error::Error;
use crate::lock::lock;
use crate::mechanism;
use crate::plain::SessionObjects;
use crate::session::{Session, Sessions};
use crate::slots::Slots;
use crate::token::{padded, version, LoginError, Token, PIN_MAXIMUM, PIN_MINIMUM};

/// Everything that one initialised module holds.
#[derive(Debug)]
pub struct Module {
    /// None without a configuration, and after `close`.
    appliance: Mutex<Option<Arc<Appliance>>>,
    log: Log,
    slots: Slots,
    pub(crate) sessions: Sessions,
    pub(crate) session_objects: SessionObjects,
    /// Whether OpenSSL's engine is in this process.
    pub(crate) engine: bool,
}

impl Module {
    /// Reads the configuration and touches no network. A configuration that is missing or wrong makes a module without
    /// slots.
    pub fn new() -> Module {
        let (configuration, log) = configured();
        Module::of(configuration, log)
    }

    /// With this configuration, or without any.
    pub(crate) fn of(configuration: Option<Configuration>, log: Log) -> Module {
        let appliance = configuration.map(|found| Arc::new(Appliance::new(found, log.clone())));
        let (slots, sessions, session_objects) = (Slots::default(), Sessions::default(), SessionObjects::default());
        Module { appliance: Mutex::new(appliance), log, slots, sessions, session_objects, engine: is_the_engine_here() }
    }

    /// Ends everything without the network. A call that is under way in another thread ends with an error of its own.
    pub fn close(&self) {
        self.sessions.close_all();
        self.session_objects.clear();
        self.slots.clear();
        drop(lock(&self.appliance).take());
    }

    /// The log.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// What `C_GetInfo` says to a program that uses this version of the interface.
    pub fn info(&self, interface: CK_VERSION) -> CK_INFO {
        CK_INFO {
            cryptokiVersion: interface,
            manufacturerID: padded("Privyseal"),
            flags: 0,
            libraryDescription: padded("Privyseal PKCS#11 module"),
            libraryVersion: version(env!("CARGO_PKG_VERSION")),
        }
    }

    /// The slots; with `refresh` the appliance is asked again. Each has a token in it.
    pub fn slot_list(&self, refresh: bool) -> Vec<CK_SLOT_ID> {
        if let Ok(appliance) = self.appliance() {
            match refresh {
                true => self.slots.refresh(&appliance, &self.log),
                false => self.slots.ensure(&appliance, &self.log),
            }
        }
        self.slots.tokens().iter().map(|token| token.slot).collect()
    }

    /// What `C_GetSlotInfo` says.
    pub fn slot_info(&self, slot: CK_SLOT_ID) -> Result<CK_SLOT_INFO, Error> {
        self.token(slot).map(|token| token.slot_info())
    }

    /// What `C_GetTokenInfo` says.
    pub fn token_info(&self, slot: CK_SLOT_ID) -> Result<CK_TOKEN_INFO, Error> {
        let token = self.token(slot)?;
        let (all, rw) = self.sessions.count(slot);
        Ok(token.info(all, rw))
    }

    /// The mechanisms of a slot; they are the same in all.
    pub fn mechanisms(&self, slot: CK_SLOT_ID) -> Result<Vec<CK_MECHANISM_TYPE>, Error> {
        self.token(slot).map(|_| mechanism::list())
    }

    /// What `C_GetMechanismInfo` says.
    pub fn mechanism_info(&self, slot: CK_SLOT_ID, kind: CK_MECHANISM_TYPE) -> Result<CK_MECHANISM_INFO, Error> {
        self.token(slot)?;
        mechanism::info(kind)
    }

    /// Tokens do not come and go while somebody watches, so there is never an event, and waiting for one is refused.
    pub fn wait_for_slot_event(&self, flags: CK_FLAGS) -> Error {
        match flags & CKF_DONT_BLOCK {
            0 => Error::FunctionNotSupported,
            _ => Error::NoEvent,
        }
    }

    /// Opens a session.
    pub fn open_session(&self, slot: CK_SLOT_ID, flags: CK_FLAGS) -> Result<CK_SESSION_HANDLE, Error> {
        if flags & CKF_SERIAL_SESSION == 0 {
            return Err(Error::SessionParallelNotSupported);
        }
        let token = self.token(slot)?;
        Ok(self.sessions.open(token, flags & CKF_RW_SESSION != 0))
    }

    /// Closes a session.
    pub fn close_session(&self, session: CK_SESSION_HANDLE) -> Result<(), Error> {
        let (slot, logged_out) = self.sessions.close(session)?;
        self.session_objects.end_session(session);
        if logged_out {
            self.session_objects.end_login(slot);
        }
        Ok(())
    }

    /// Closes a slot's sessions. Programs call this while their process ends, so a slot that is not known is not asked for.
    pub fn close_all_sessions(&self, slot: CK_SLOT_ID) -> Result<(), Error> {
        self.slots.token(slot).ok_or(Error::SlotIdInvalid)?;
        self.sessions.close_slot(slot);
        self.session_objects.end_slot(slot);
        Ok(())
    }

    /// What `C_GetSessionInfo` says.
    pub fn session_info(&self, session: CK_SESSION_HANDLE) -> Result<CK_SESSION_INFO, Error> {
        self.session(session).map(|session| session.info())
    }

    /// Logs the user in. There is no security officer here: keys are managed on the appliance, and no PIN is that role's.
    pub fn login(&self, session: CK_SESSION_HANDLE, user: CK_USER_TYPE, pin: &[u8]) -> Result<(), Error> {
        let token = self.session(session)?.token.clone();
        match user {
            CKU_USER if token.is_logged_in() => Err(Error::UserAlreadyLoggedIn),
            CKU_USER => self.login_user(&token, pin),
            CKU_SO => Err(Error::PinIncorrect),
            // No key here wants a login for each use, so no operation waits for one.
            CKU_CONTEXT_SPECIFIC => Err(Error::OperationNotInitialized),
            _ => Err(Error::UserTypeInvalid),
        }
    }

    /// Logs in by a name too. The user is the configuration's, so no other name fits any PIN.
    pub fn login_user_named(
        &self,
        session: CK_SESSION_HANDLE,
        user: CK_USER_TYPE,
        pin: &[u8],
        name: &[u8],
    ) -> Result<(), Error> {
        self.session(session)?;
        let known = self.appliance()?.configuration().user.clone();
        match name.is_empty() || name == known.as_bytes() {
            true => self.login(session, user, pin),
            false => Err(Error::PinIncorrect),
        }
    }

    /// What `C_GetSessionValidationFlags` says: no validation of any kind has been made.
    pub fn validation_flags(
        &self,
        session: CK_SESSION_HANDLE,
        kind: CK_SESSION_VALIDATION_FLAGS_TYPE,
    ) -> Result<CK_FLAGS, Error> {
        self.session(session)?;
        match kind {
            CKS_LAST_VALIDATION_OK => Ok(0),
            _ => Err(Error::ArgumentsBad),
        }
    }

    /// Logs the user out. The appliance is told, but whether it hears makes no difference here.
    pub fn logout(&self, session: CK_SESSION_HANDLE) -> Result<(), Error> {
        let token = self.session(session)?.token.clone();
        let ticket = token.forget_login().ok_or(Error::UserNotLoggedIn)?;
        self.session_objects.end_login(token.slot);
        if let Err(error) = self.appliance()?.logout(token.core, &ticket) {
            self.log.write(1, &format!("the appliance could not be told of a logout: {error}"));
        }
        Ok(())
    }

    fn login_user(&self, token: &Token, pin: &[u8]) -> Result<(), Error> {
        let pin = std::str::from_utf8(pin).map_err(|_| Error::PinIncorrect)?;
        if !(PIN_MINIMUM..=PIN_MAXIMUM).contains(&pin.chars().count()) {
            return Err(Error::PinLenRange);
        }
        match token.login(&*self.appliance()?, Secret::from(pin)) {
            Ok(_) => Ok(()),
            Err(LoginError::AlreadyLoggedIn) => Err(Error::UserAlreadyLoggedIn),
            Err(LoginError::Remote(error)) => Err(self.refused("login", error)),
        }
    }

    pub(crate) fn session(&self, handle: CK_SESSION_HANDLE) -> Result<Arc<Session>, Error> {
        self.sessions.get(handle)
    }

    pub(crate) fn appliance(&self) -> Result<Arc<Appliance>, Error> {
        lock(&self.appliance).clone().ok_or(Error::NotInitialized)
    }

    /// Writes down why the appliance or the network refused, in its own words, and turns it into its code.
    pub(crate) fn refused(&self, doing: &str, error: RemoteError) -> Error {
        let code = Error::from(&error);
        self.log.write(1, &format!("{doing}: {error}: {}", code.name()));
        code
    }

    /// The token in a slot. A program that kept a slot from another run may ask before it has listed the slots.
    pub(crate) fn token(&self, slot: CK_SLOT_ID) -> Result<Arc<Token>, Error> {
        if let Ok(appliance) = self.appliance() {
            self.slots.ensure(&appliance, &self.log);
        }
        self.slots.token(slot).ok_or(Error::SlotIdInvalid)
    }
}

/// Whether this process has loaded OpenSSL's PKCS #11 engine, a file `engines-…/pkcs11.so`.
fn is_the_engine_here() -> bool {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    maps.lines().any(|line| line.ends_with("/pkcs11.so") && line.contains("/engines-"))
}

/// The configuration, if there is one that can be used, and the log with what is wrong with it.
fn configured() -> (Option<Configuration>, Log) {
    match Configuration::find() {
        Ok(None) => (None, Log::silent()),
        Ok(Some(found)) => {
            let log = Log::open(found.log_level, found.log_output.as_deref());
            found.warnings.iter().for_each(|warning| log.write(1, warning));
            (Some(found), log)
        }
        Err(error) => {
            let log = error.log();
            log.write(1, &format!("no slots, because of the configuration: {error}"));
            (None, log)
        }
    }
}

impl Default for Module {
    fn default() -> Module {
        Module::new()
    }
}
