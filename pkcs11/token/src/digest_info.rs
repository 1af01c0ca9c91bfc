//! The DigestInfo of RSA-PKCS1 (RFC 8017, section 9.2, note 1).
//!
//! With CKM_RSA_PKCS the program brings a DigestInfo. Where it is one of the usual forms, the appliance gets the hash's
//! name and the digest, so that its audit log says what was signed; only an exact form qualifies, because the
//! appliance builds the same bytes again.

use crate::hash::Hash;

/// The last byte of the hash's object identifier 2.16.840.1.101.3.4.2.x.
const HASHES: [(u8, Hash); 8] = [
    (1, Hash::Sha256),
    (2, Hash::Sha384),
    (3, Hash::Sha512),
    (4, Hash::Sha224),
    (7, Hash::Sha3_224),
    (8, Hash::Sha3_256),
    (9, Hash::Sha3_384),
    (10, Hash::Sha3_512),
];

/// The hash and digest in a DigestInfo, or None for any other bytes.
pub fn parse(input: &[u8]) -> Option<(Hash, &[u8])> {
    HASHES.into_iter().find_map(|(last, hash)| {
        let digest = input.strip_prefix(&prefix(last, hash.length())[..])?;
        (digest.len() == hash.length()).then_some((hash, digest))
    })
}

/// SEQUENCE { SEQUENCE { hash, NULL }, OCTET STRING of the digest's length }, up to the digest.
fn prefix(last: u8, length: usize) -> [u8; 19] {
    let length = length as u8;
    let algorithm = [0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, last, 0x05, 0x00];
    let mut whole = [0; 19];
    whole[..2].copy_from_slice(&[0x30, 17 + length]);
    whole[2..17].copy_from_slice(&algorithm);
    whole[17..].copy_from_slice(&[0x04, length]);
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 8017, section 9.2, note 1, for SHA-256.
    const SHA256: &[u8] = b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20";

    #[test]
    fn finds_hash_and_digest() {
        let input = [SHA256, &[7; 32]].concat();
        assert_eq!(parse(&input), Some((Hash::Sha256, &[7; 32][..])));
    }

    #[test]
    fn anything_else_is_raw() {
        let short = [SHA256, &[7; 31]].concat();
        let long = [SHA256, &[7; 33]].concat();
        for input in [&[][..], SHA256, &short, &long, &[7; 51]] {
            assert_eq!(parse(input), None);
        }
    }

    #[test]
    fn every_hash_has_its_own_name() {
        for (last, hash) in HASHES {
            let input = [&prefix(last, hash.length())[..], &vec![1; hash.length()]].concat();
            assert_eq!(parse(&input).unwrap().0, hash);
        }
    }
}
