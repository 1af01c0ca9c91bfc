//! The configuration of a host: which appliance, which user, which core.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::Secret;

/// Where an appliance is. The port is 443 where the URL named none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// A name or an address; an IPv6 address without its brackets.
    pub host: String,
    pub port: u16,
}

/// What a PKCS #11 slot stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slots {
    Core,
    Key,
}

/// How to reach an appliance, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// Tried in this order; never empty.
    pub urls: Vec<Url>,
    pub user: String,
    /// The user's password; None where `password_file` or `credential_file` has to be read for it.
    pub password: Option<Secret>,
    pub password_file: Option<PathBuf>,
    /// Number or name of the one core to show; None shows all that the user may see.
    pub core: Option<String>,
    /// PIN of keys that are made through PKCS #11.
    pub keygen_pin: Option<Secret>,
    pub log_level: u8,
    pub log_output: Option<PathBuf>,
    pub ca_file: Option<PathBuf>,
    /// SHA-256 of the DER of the appliance's CA certificate.
    pub fingerprint: Option<[u8; 32]>,
    pub client_cert: Option<PathBuf>,
    pub client_key: Option<PathBuf>,
    /// File with a bearer credential; it goes before a password.
    pub credential_file: Option<PathBuf>,
    /// Longest wait for one answer.
    pub timeout: Duration,
    /// How often a request is repeated after the network failed.
    pub retries: u32,
    pub slots: Slots,
    /// Most connections at a time.
    pub pool: usize,
    /// What is wrong but stops nothing, one sentence each.
    pub warnings: Vec<String>,
}

/// Why a configuration cannot be used. Its text never holds a value from the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigurationError(pub(crate) String);

impl fmt::Display for ConfigurationError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for ConfigurationError {}

impl Configuration {
    /// Finds and reads the configuration file. None where there is none, which is no error for a module that every
    /// program of a host may load.
    pub fn find() -> Result<Option<Configuration>, ConfigurationError> {
        Ok(None)
    }

    /// Reads the text of a configuration file.
    pub fn parse(_text: &str) -> Result<Configuration, ConfigurationError> {
        Err(ConfigurationError("not yet".to_owned()))
    }
}
