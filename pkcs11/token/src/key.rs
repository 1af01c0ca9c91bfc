//! A key of the appliance as two PKCS #11 objects, and the handles that name them.
//!
//! Always true: a handle is made of the key's id alone, so the same object has the same handle in every session, find
//! and process, and no table of handles grows with the number of keys.

use privyseal_remote::Key as Record;
use privyseal_sys::{CKO_PRIVATE_KEY, CKO_PUBLIC_KEY, CK_OBJECT_CLASS, CK_OBJECT_HANDLE};

use crate::public_key::PublicKey;

/// One key: the appliance's record and what its public key says.
#[derive(Clone, Debug)]
pub struct Key {
    pub record: Record,
    pub public: PublicKey,
    pub id: u64,
}

impl Key {
    /// None where it is scheduled for destruction, the id is not 16 hexadecimal digits or the public key is of a kind this
    /// module does not know; such a key is left out, so that a newer appliance serves an older module.
    pub fn new(record: Record) -> Option<Key> {
        // Its program has destroyed it; that it could be restored for a while is the administrators' business.
        if record.state == "scheduled" {
            return None;
        }
        let id = parse_id(&record.id)?;
        let public = PublicKey::parse(&record.public_key)?;
        Some(Key { record, public, id })
    }

    /// A public key that is not the appliance's, by its SubjectPublicKeyInfo. Nobody may do anything with it here.
    pub fn foreign(public_key: Vec<u8>) -> Option<Key> {
        let public = PublicKey::parse(&public_key)?;
        Some(Key { record: Record { public_key, ..Record::default() }, public, id: 0 })
    }

    /// CKA_ID: what programs have made of it, or the key's own id.
    pub fn object_id(&self) -> Vec<u8> {
        let own = || self.id.to_be_bytes().to_vec();
        self.record.object_id.as_deref().and_then(from_hex).unwrap_or_else(own)
    }

    /// The handles of its public and its private object.
    pub fn objects(&self) -> [(Class, CK_OBJECT_HANDLE); 2] {
        [Class::Public, Class::Private].map(|class| (class, handle(self.id, class)))
    }
}

/// The two halves of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Public,
    Private,
}

impl Class {
    /// CKA_CLASS.
    pub fn code(self) -> CK_OBJECT_CLASS {
        match self {
            Class::Public => CKO_PUBLIC_KEY,
            Class::Private => CKO_PRIVATE_KEY,
        }
    }
}

/// The id as a handle: its lower 63 bits, and one bit for the class. Ids are random, so the lost bit costs nothing.
fn handle(id: u64, class: Class) -> CK_OBJECT_HANDLE {
    id << 1 | u64::from(class == Class::Private)
}

/// The lower 63 bits of the id that a handle names, and the class.
pub fn split_handle(handle: CK_OBJECT_HANDLE) -> (u64, Class) {
    (handle >> 1, if handle & 1 == 1 { Class::Private } else { Class::Public })
}

/// What of an id goes into a handle.
pub fn short_id(id: u64) -> u64 {
    id & (u64::MAX >> 1)
}

/// The two ids that share a handle.
pub fn long_ids(short: u64) -> [String; 2] {
    [short, short | 1 << 63].map(|id| format!("{id:016x}"))
}

/// Bytes as hexadecimal digits.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes behind hexadecimal digits.
pub fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?, 16).ok())
        .collect()
}

fn parse_id(id: &str) -> Option<u64> {
    let digits = id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    digits.then(|| u64::from_str_radix(id, 16).ok()).flatten()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::public_key::tests::{ed25519, p256, tiny_rsa};

    fn key(kind: &str, id: &str, public_key: Vec<u8>) -> Key {
        let (id, kind, label) = (id.to_owned(), kind.to_owned(), "release".to_owned());
        let (mechanisms, operations) = (vec![], vec!["key:read".to_owned(), "key:sign".to_owned()]);
        Key::new(Record { id, label, kind, pin: true, public_key, mechanisms, operations, ..Record::default() })
            .unwrap()
    }

    pub(crate) fn ec_key() -> Key {
        key("ec:P-256", "f90fb8e79e60a1b2", p256())
    }

    pub(crate) fn edwards_key() -> Key {
        key("ed25519", "00000000000000ed", ed25519())
    }

    pub(crate) fn rsa_key() -> Key {
        key("rsa:16", "0123456789abcdef", tiny_rsa())
    }

    #[test]
    fn handles_lead_back_to_the_key() {
        let key = ec_key();
        for (class, handle) in key.objects() {
            let (short, found) = split_handle(handle);
            assert_eq!((short, found), (short_id(key.id), class));
            assert!(long_ids(short).contains(&key.record.id));
        }
    }

    #[test]
    fn ids_have_one_form() {
        for id in ["", "f90fb8e79e60a1b", "f90fb8e79e60a1b2c", "+90fb8e79e60a1b2", "g90fb8e79e60a1b2"] {
            assert_eq!(parse_id(id), None);
        }
    }
}
