//! What can go wrong between this host and the appliance.
//!
//! Always true: an error's text names hosts, files and the appliance's own words, and never a secret.

use std::fmt;

/// Why a request has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The appliance answered with an RFC 9457 problem. `name` is what follows `urn:privyseal:problem:` in its type,
    /// for example `pin-incorrect`; an answer without a known type is named `http-STATUS`.
    Problem { name: String, status: u16, detail: String },
    /// No appliance answered in time. Trying again later may help.
    Unreachable(String),
    /// Something answers there that is not the configured appliance, or TLS with it failed otherwise.
    Untrusted(String),
    /// The answer makes no sense: not HTTP, not JSON, too large, or a field is missing.
    Garbage(String),
    /// This host's own files do not allow a request: a certificate or password file cannot be read.
    Misconfigured(String),
}

impl Error {
    /// The problem's name, for example `pin-incorrect`; None for every other error.
    pub fn problem(&self) -> Option<&str> {
        match self {
            Error::Problem { name, .. } => Some(name),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Problem { name, status, detail } => write!(formatter, "{name} ({status}): {detail}"),
            Error::Unreachable(text) => write!(formatter, "the appliance does not answer: {text}"),
            Error::Untrusted(text) => write!(formatter, "the appliance cannot be trusted: {text}"),
            Error::Garbage(text) => write!(formatter, "the answer makes no sense: {text}"),
            Error::Misconfigured(text) => write!(formatter, "the configuration does not work: {text}"),
        }
    }
}

impl std::error::Error for Error {}
