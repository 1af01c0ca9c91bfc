//! A text that must not be seen: a password, a PIN or a ticket.
//!
//! Always true: its memory is overwritten when the last owner lets go of it, and no formatting shows it.

use std::fmt;

use serde::Deserialize;
use zeroize::Zeroizing;

/// A password, PIN or ticket. `expose` is the one way to its content.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over; the caller's other copies are the caller's concern.
    pub fn new(text: String) -> Secret {
        Secret(Zeroizing::new(text))
    }

    /// The text itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }
}

/// Two secrets are compared only to find equal requests of one process, so the time this takes tells nobody anything.
impl PartialEq for Secret {
    fn eq(&self, other: &Secret) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Some(Secret::from("12345678"))), "Some(Secret)");
    }

    #[test]
    fn equal_texts_are_equal_secrets() {
        assert_eq!(Secret::from("12345678"), Secret::from("12345678"));
        assert_ne!(Secret::from("12345678"), Secret::from("12345679"));
    }
}
