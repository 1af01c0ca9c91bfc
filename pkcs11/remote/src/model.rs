//! What the appliance has and what it can be asked for, as docs/reference/rest.md names it.
//!
//! Always true: an unknown field in an answer is ignored, so that a newer appliance serves an older module.

use base64::engine::general_purpose::STANDARD;
use base64::Engine as _;
use serde::{Deserialize, Deserializer};

use crate::Secret;

/// One core of the appliance: a set of keys, shown to programs as a token.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Core {
    pub number: u32,
    pub name: String,
    /// How many keys it has; 0 where the appliance does not say.
    #[serde(default)]
    pub keys: u64,
    pub token: Token,
}

/// What a core calls itself towards PKCS #11 programs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Token {
    pub label: String,
    pub description: String,
    pub manufacturer: String,
    pub model: String,
    pub serial: String,
    pub hardware_version: String,
    pub firmware_version: String,
}

/// One key as its user may see it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Key {
    /// 16 hexadecimal digits.
    pub id: String,
    pub label: String,
    /// For example `ec:P-256`, `rsa:3072` or `ed25519`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether signing needs a PIN or a ticket.
    pub pin: bool,
    /// DER of the SubjectPublicKeyInfo (RFC 5280).
    #[serde(deserialize_with = "from_base64")]
    pub public_key: Vec<u8>,
    pub mechanisms: Vec<String>,
    /// What this user may do with it, for example `key:sign`.
    pub operations: Vec<String>,
}

/// Which keys to list: all, or those with exactly this label or id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyQuery {
    pub label: Option<String>,
    pub id: Option<String>,
    /// Where the page before ended; None begins at the oldest key.
    pub cursor: Option<u64>,
    /// Most keys in the page, 1 to 1,000.
    pub limit: u32,
}

impl Default for KeyQuery {
    fn default() -> KeyQuery {
        KeyQuery { label: None, id: None, cursor: None, limit: 1000 }
    }
}

/// A part of a core's keys, oldest first. `next` is the cursor of the part that follows, None at the end.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct KeyPage {
    pub keys: Vec<Key>,
    pub next: Option<u64>,
}

/// What a login gives: the ticket that goes in the PIN's place for an hour.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Login {
    pub ticket: Secret,
    /// RFC 3339, UTC.
    pub expires: String,
    /// How many of the keys that this user may see the PIN opens; counted up to 1,000.
    pub keys: u32,
}

/// How to sign or verify: everything but the input. ECDSA signatures are r and s of equal length, one behind the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignOrder {
    pub core: u32,
    /// The key's id, 16 hexadecimal digits.
    pub key: String,
    /// `ECDSA`, `RSA-PKCS1`, `RSA-PSS` or `EdDSA`.
    pub mechanism: &'static str,
    /// For example `SHA-256`: the input is that digest. None: the input is raw, or the message itself for EdDSA.
    pub hash: Option<&'static str>,
    /// RSA-PSS only, bytes.
    pub salt_length: Option<u32>,
    /// RSA-PSS only.
    pub mgf_hash: Option<&'static str>,
}

fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    STANDARD.decode(text).map_err(|_| serde::de::Error::custom("no base64"))
}
