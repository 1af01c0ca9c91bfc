//! What the appliance has and what it can be asked for, as docs/reference/rest.md names it.
//!
//! Always true: an unknown field in an answer is ignored, so that a newer appliance serves an older module.

use base64::engine::general_purpose::STANDARD;
use base64::Engine as _;
use serde::{Deserialize, Deserializer, Serialize};

use zeroize::Zeroizing;

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
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Key {
    /// 16 hexadecimal digits.
    pub id: String,
    pub label: String,
    /// For example `ec:P-256`, `rsa:3072` or `ed25519`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether signing needs a PIN or a ticket.
    pub pin: bool,
    /// DER of the SubjectPublicKeyInfo (RFC 5280); empty for a key that has none, for example AES.
    #[serde(deserialize_with = "from_base64")]
    pub public_key: Vec<u8>,
    pub mechanisms: Vec<String>,
    /// What this user may do with it, for example `key:sign` by a rule, and `decrypt` by its policy and type too.
    pub operations: Vec<String>,
    /// `active`, `disabled` or `scheduled` for destruction.
    #[serde(default)]
    pub state: String,
    /// The id that programs give it, in hexadecimal digits; None where it has none of its own.
    #[serde(default)]
    pub object_id: Option<String>,
    #[serde(default)]
    pub policy: Policy,
}

impl Key {
    /// Whether this user may do this with it: `key:manage` by a rule alone, `decrypt` by rules, policy and type.
    pub fn allows(&self, operation: &str) -> bool {
        self.operations.iter().any(|one| one == operation)
    }
}

/// What the module shows of a key's policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Policy {
    /// Whether it may leave the appliance under another key.
    #[serde(default)]
    pub exportable: bool,
}

/// How to encrypt, decrypt, derive, encapsulate or decapsulate; what is None or empty does not travel.
#[derive(Clone, Debug, Default)]
pub struct Application<'a> {
    pub core: u32,
    /// The key's id, 16 hexadecimal digits.
    pub key: &'a str,
    /// `encrypt`, `decrypt`, `derive`, `encapsulate` or `decapsulate`.
    pub verb: &'static str,
    /// For example `RSA-OAEP` or `ECDH`; None where the key has one alone.
    pub mechanism: Option<&'static str>,
    pub hash: Option<&'static str>,
    pub mgf_hash: Option<&'static str>,
    /// RSA-OAEP only.
    pub label: &'a [u8],
    /// ECDH only: the other's.
    pub public_key: &'a [u8],
    /// ECDH only: `X9.63`, or None for the shared secret itself.
    pub kdf: Option<&'static str>,
    pub shared_info: &'a [u8],
    /// Bytes to derive, with a KDF.
    pub length: Option<u32>,
    pub data: Option<&'a [u8]>,
    pub ciphertext: Option<&'a [u8]>,
}

/// What came of an application.
#[derive(Debug)]
pub struct Applied {
    /// Plaintext, ciphertext or shared secret.
    pub value: Zeroizing<Vec<u8>>,
    /// Of an encapsulation.
    pub ciphertext: Vec<u8>,
}

/// A key to be made.
#[derive(Clone, Debug, Default)]
pub struct NewKey<'a> {
    pub label: &'a str,
    /// For example `ec:P-256`.
    pub kind: &'a str,
    /// Without one only a core that requires none takes it.
    pub pin: Option<&'a Secret>,
    /// Hexadecimal digits; None: the appliance's own.
    pub object_id: Option<String>,
    pub exportable: bool,
}

/// What a program may change of a key; None stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KeyChange {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object_id: Option<String>,
}

/// Which keys to list: all, or those with exactly this label or id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyQuery {
    pub label: Option<String>,
    pub id: Option<String>,
    /// CKA_ID in hexadecimal digits; several keys may have the same.
    pub object_id: Option<String>,
    /// Where the page before ended; None begins at the oldest key.
    pub cursor: Option<u64>,
    /// Most keys in the page, 1 to 1,000.
    pub limit: u32,
}

impl Default for KeyQuery {
    fn default() -> KeyQuery {
        KeyQuery { label: None, id: None, object_id: None, cursor: None, limit: 1000 }
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
    /// `ECDSA`, `RSA-PKCS1`, `RSA-PSS`, `EdDSA`, `ML-DSA` or `HashML-DSA`.
    pub mechanism: &'static str,
    /// For example `SHA-256`: the input is that digest. None: the input is raw, or the message itself for EdDSA and ML-DSA.
    pub hash: Option<&'static str>,
    /// RSA-PSS only, bytes.
    pub salt_length: Option<u32>,
    /// RSA-PSS only.
    pub mgf_hash: Option<&'static str>,
    /// ML-DSA and HashML-DSA only.
    pub context: Option<Vec<u8>>,
}

fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
    STANDARD.decode(text).map_err(|_| serde::de::Error::custom("no base64"))
}
