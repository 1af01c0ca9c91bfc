//! The appliance, request by request.

use crate::{Configuration, Core, Error, Key, KeyPage, KeyQuery, Log, Login, Secret, SignOrder};

/// One appliance as one user sees it. Cheap to make; it connects at the first request.
#[derive(Debug)]
pub struct Appliance {
    configuration: Configuration,
    log: Log,
}

impl Appliance {
    /// Nothing happens here but taking the values over.
    pub fn new(configuration: Configuration, log: Log) -> Appliance {
        Appliance { configuration, log }
    }

    /// The configuration it was made with.
    pub fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// The cores that the user may see; only the configured one where one is configured.
    pub fn cores(&self) -> Result<Vec<Core>, Error> {
        self.pending()
    }

    /// One page of a core's keys.
    pub fn keys(&self, _core: u32, _query: &KeyQuery) -> Result<KeyPage, Error> {
        self.pending()
    }

    /// Makes a key.
    pub fn generate(&self, _core: u32, _label: &str, _kind: &str, _pin: Option<&Secret>) -> Result<Key, Error> {
        self.pending()
    }

    /// Destroys a key.
    pub fn destroy(&self, _core: u32, _key: &str) -> Result<(), Error> {
        self.pending()
    }

    /// Opens the keys that the PIN fits.
    pub fn login(&self, _core: u32, _pin: &str) -> Result<Login, Error> {
        self.pending()
    }

    /// Ends a ticket.
    pub fn logout(&self, _core: u32, _ticket: &Secret) -> Result<(), Error> {
        self.pending()
    }

    /// Signs; concurrent callers with an equal order and ticket share one request.
    pub fn sign(&self, _order: &SignOrder, _input: &[u8], _ticket: Option<&Secret>) -> Result<Vec<u8>, Error> {
        self.pending()
    }

    /// Whether the signature is the key's over the input.
    pub fn verify(&self, _order: &SignOrder, _input: &[u8], _signature: &[u8]) -> Result<bool, Error> {
        self.pending()
    }

    /// Random bytes from the appliance, any number.
    pub fn random(&self, _core: u32, _length: usize) -> Result<Vec<u8>, Error> {
        self.pending()
    }

    /// Lets go of everything without running a destructor: for a child after fork, whose sockets are the parent's, and
    /// for a process that is already ending.
    pub fn abandon(self) {
        std::mem::forget(self);
    }

    fn pending<T>(&self) -> Result<T, Error> {
        self.log.write(1, "not connected");
        Err(Error::Unreachable("not connected".to_owned()))
    }
}
