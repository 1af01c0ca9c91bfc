//! A token: one core, or one key where the configuration says `"slots": "key"`, and the login to it.
//!
//! Always true: the login is the token's, so all sessions of a process share it, and it ends with the last of them. The
//! PIN stays in memory until then, because a ticket ends after an hour and a service signs for longer than that.

use std::sync::Mutex;

use privyseal_remote::{Appliance, Core, Error as RemoteError, KeyPage, KeyQuery, Secret, SignOrder, Token as Naming};
use privyseal_sys::*;

use crate::keys::Keys;
use crate::lock::lock;

/// Characters of a PIN.
pub const PIN_MINIMUM: usize = 8;
pub const PIN_MAXIMUM: usize = 128;

/// The limit of a serial number: 16 decimal digits always fit 53 bits.
const SERIAL_MASK: u64 = (1 << 53) - 1;

/// One token.
#[derive(Debug)]
pub struct Token {
    pub slot: CK_SLOT_ID,
    pub core: u32,
    naming: Naming,
    /// The id of the one key it shows; None shows all of the core.
    only: Option<String>,
    keys: Keys,
    credentials: Mutex<Option<Credentials>>,
    /// Held while a login is under way, so that threads whose ticket has ended log in once together.
    logging_in: Mutex<()>,
}

#[derive(Clone, Debug)]
struct Credentials {
    pin: Secret,
    ticket: Secret,
}

/// What became of a login.
#[derive(Debug)]
pub enum LoginError {
    AlreadyLoggedIn,
    Remote(RemoteError),
}

impl Token {
    /// The token of a core; None where its serial is no decimal number, which no appliance of ours says.
    pub fn of_core(core: &Core) -> Option<Token> {
        let slot = core.token.serial.parse().ok()?;
        let keys = Keys::expecting(core.keys);
        Some(Token { keys, ..Token::new(slot, core.number, core.token.clone(), None) })
    }

    /// The token of one key: the key's label, and a serial number made of its id.
    pub fn of_key(core: &Core, key: &privyseal_remote::Key) -> Option<Token> {
        let serial = u64::from_str_radix(&key.id, 16).ok()? & SERIAL_MASK;
        let naming = Naming {
            label: key.label.clone(),
            description: format!("{}: {}", core.token.description, key.label),
            serial: serial.to_string(),
            ..core.token.clone()
        };
        Some(Token::new(serial as CK_SLOT_ID, core.number, naming, Some(key.id.clone())))
    }

    fn new(slot: CK_SLOT_ID, core: u32, naming: Naming, only: Option<String>) -> Token {
        let (keys, credentials, logging_in) = (Keys::default(), Mutex::default(), Mutex::default());
        Token { slot, core, naming, only, keys, credentials, logging_in }
    }

    /// The keys that this process has seen of it.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// A part of the listing, narrowed to the token's one key where it has but one.
    pub fn fetch(&self, appliance: &Appliance, query: &KeyQuery) -> Result<KeyPage, RemoteError> {
        match &self.only {
            None => appliance.keys(self.core, query),
            Some(only) if query.id.as_ref().is_none_or(|id| id == only) => {
                appliance.keys(self.core, &KeyQuery { id: Some(only.clone()), ..query.clone() })
            }
            Some(_) => Ok(KeyPage { keys: vec![], next: None }),
        }
    }

    /// Whether somebody is logged in.
    pub fn is_logged_in(&self) -> bool {
        lock(&self.credentials).is_some()
    }

    /// The ticket of the login.
    pub fn ticket(&self) -> Option<Secret> {
        lock(&self.credentials).as_ref().map(|credentials| credentials.ticket.clone())
    }

    /// The PIN of the login.
    pub fn pin(&self) -> Option<Secret> {
        lock(&self.credentials).as_ref().map(|credentials| credentials.pin.clone())
    }

    /// Logs in and keeps the ticket. The answer is how many keys the PIN opens.
    pub fn login(&self, appliance: &Appliance, pin: Secret) -> Result<u32, LoginError> {
        let _one_at_a_time = lock(&self.logging_in);
        if self.is_logged_in() {
            return Err(LoginError::AlreadyLoggedIn);
        }
        let login = appliance.login(self.core, pin.expose()).map_err(LoginError::Remote)?;
        *lock(&self.credentials) = Some(Credentials { pin, ticket: login.ticket });
        Ok(login.keys)
    }

    /// Ends the login on this side and gives the ticket back, for `C_Logout` to end it on the appliance too.
    pub fn forget_login(&self) -> Option<Secret> {
        lock(&self.credentials).take().map(|credentials| credentials.ticket)
    }

    /// Signs. With `authorised` the ticket goes along.
    pub fn sign(
        &self,
        appliance: &Appliance,
        order: &SignOrder,
        input: &[u8],
        authorised: bool,
    ) -> Result<Vec<u8>, RemoteError> {
        self.with_ticket(appliance, authorised, |ticket| appliance.sign(order, input, ticket))
    }

    /// Does what may need a ticket. With `authorised` the login's goes along; one that has ended is renewed once.
    pub fn with_ticket<T>(
        &self,
        appliance: &Appliance,
        authorised: bool,
        request: impl Fn(Option<&Secret>) -> Result<T, RemoteError>,
    ) -> Result<T, RemoteError> {
        let ticket = if authorised { self.ticket() } else { None };
        match (request(ticket.as_ref()), ticket) {
            (Err(error), Some(ended)) if error.problem() == Some("ticket-invalid") => {
                let renewed = self.renew(appliance, &ended, error)?;
                request(Some(&renewed))
            }
            (answer, _) => answer,
        }
    }

    /// A ticket in the place of one that has ended: another thread's, or a new login with the same PIN.
    fn renew(&self, appliance: &Appliance, ended: &Secret, error: RemoteError) -> Result<Secret, RemoteError> {
        let _one_at_a_time = lock(&self.logging_in);
        let Some(credentials) = lock(&self.credentials).clone() else { return Err(error) };
        if credentials.ticket != *ended {
            return Ok(credentials.ticket);
        }
        let login = appliance.login(self.core, credentials.pin.expose())?;
        if let Some(current) = lock(&self.credentials).as_mut() {
            current.ticket = login.ticket.clone();
        }
        Ok(login.ticket)
    }

    /// What `C_GetSlotInfo` says.
    pub fn slot_info(&self) -> CK_SLOT_INFO {
        CK_SLOT_INFO {
            slotDescription: padded(&self.naming.description),
            manufacturerID: padded(&self.naming.manufacturer),
            flags: CKF_TOKEN_PRESENT,
            hardwareVersion: version(&self.naming.hardware_version),
            firmwareVersion: version(&self.naming.firmware_version),
        }
    }

    /// What `C_GetTokenInfo` says, with this process' sessions.
    pub fn info(&self, sessions: usize, rw_sessions: usize) -> CK_TOKEN_INFO {
        CK_TOKEN_INFO {
            label: padded(&self.naming.label),
            manufacturerID: padded(&self.naming.manufacturer),
            model: padded(&self.naming.model),
            serialNumber: padded(&self.naming.serial),
            flags: CKF_LOGIN_REQUIRED
                | CKF_RNG
                | CKF_USER_PIN_INITIALIZED
                | CKF_RESTORE_KEY_NOT_NEEDED
                | CKF_TOKEN_INITIALIZED,
            ulMaxSessionCount: CK_EFFECTIVELY_INFINITE,
            ulSessionCount: sessions as CK_ULONG,
            ulMaxRwSessionCount: CK_EFFECTIVELY_INFINITE,
            ulRwSessionCount: rw_sessions as CK_ULONG,
            ulMaxPinLen: PIN_MAXIMUM as CK_ULONG,
            ulMinPinLen: PIN_MINIMUM as CK_ULONG,
            ulTotalPublicMemory: CK_UNAVAILABLE_INFORMATION,
            ulFreePublicMemory: CK_UNAVAILABLE_INFORMATION,
            ulTotalPrivateMemory: CK_UNAVAILABLE_INFORMATION,
            ulFreePrivateMemory: CK_UNAVAILABLE_INFORMATION,
            hardwareVersion: version(&self.naming.hardware_version),
            firmwareVersion: version(&self.naming.firmware_version),
            // CKF_CLOCK_ON_TOKEN is not set, so this has no meaning.
            utcTime: [b' '; 16],
        }
    }
}

/// A text in a field of fixed length, filled up with blanks; a text that is too long is cut between two characters.
pub fn padded<const LENGTH: usize>(text: &str) -> [u8; LENGTH] {
    let end = (0..=LENGTH.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    let mut field = [b' '; LENGTH];
    field[..end].copy_from_slice(&text.as_bytes()[..end]);
    field
}

/// `4.11` as major and minor; what cannot be read is 0.
pub fn version(text: &str) -> CK_VERSION {
    let mut numbers = text.split('.').map(|number| number.parse().unwrap_or(0));
    CK_VERSION { major: numbers.next().unwrap_or(0), minor: numbers.next().unwrap_or(0) }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn core() -> Core {
        let text = |text: &str| text.to_owned();
        let token = Naming {
            label: text("core1"),
            description: text("Privyseal core 1 (core1)"),
            manufacturer: text("Privyseal"),
            model: text("Privyseal core"),
            serial: text("200648370"),
            hardware_version: text("4.11"),
            firmware_version: text("4.10"),
        };
        Core { number: 1, name: text("core1"), keys: 3, token }
    }

    #[test]
    fn the_slot_is_the_serial_number() {
        let token = Token::of_core(&core()).unwrap();
        let info = token.info(2, 1);
        assert_eq!(token.slot, 0x0bf5_a6b2);
        assert_eq!(info.flags, 0x42d);
        assert_eq!((info.ulMinPinLen, info.ulMaxPinLen), (8, 128));
        assert_eq!((info.hardwareVersion.major, info.hardwareVersion.minor), (4, 11));
        assert_eq!(&info.serialNumber, b"200648370       ");
    }

    #[test]
    fn a_key_as_a_token_has_its_own_serial_number() {
        let token = Token::of_key(&core(), &crate::key::tests::ec_key().record).unwrap();
        assert_eq!(&token.info(0, 0).label[..8], b"release ");
        assert_eq!(token.slot, 0xf90f_b8e7_9e60_a1b2 & SERIAL_MASK);
        assert!(token.slot.to_string().len() <= 16);
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(padded::<4>("ab"), *b"ab  ");
        assert_eq!(padded::<4>("abcdef"), *b"abcd");
        assert_eq!(padded::<4>("abc\u{e9}"), *b"abc ");
    }
}
