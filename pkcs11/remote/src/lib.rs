//! Speaks to a Privyseal appliance for the PKCS #11 module and knows nothing of PKCS #11 itself.
//!
//! What is always true in this crate:
//!
//! - It starts no thread, keeps no thread local and registers nothing to run at exit, because its caller is a library
//!   inside somebody else's process, which forks and ends as it likes.
//! - It opens no connection before the first request.
//! - Passwords, PINs and tickets are [`Secret`]s; none of them shows in an error, a log line or a debug print.

#![forbid(unsafe_code)]

mod appliance;
mod coalesce;
mod configuration;
mod connection;
mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod http;
mod lenient_json;
mod log;
mod model;
mod retry;
mod secret;
mod tls;
mod transport;
mod url;

pub use appliance::{random_label, Appliance};
pub use configuration::{Configuration, ConfigurationError, Slots};
pub use error::Error;
pub use log::Log;
pub use model::{
    Application, Applied, Core, Key, KeyChange, KeyPage, KeyQuery, Login, NewKey, Policy, SignOrder, Token,
};
pub use secret::Secret;
pub use url::Url;
