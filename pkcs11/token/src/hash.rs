//! The hash functions that run on this host, so that a long message costs the network only its digest.

use sha2::digest::DynDigest;

/// A hash function under the name that the appliance knows it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// For `C_Digest` alone; the appliance signs no SHA-1 digests by name.
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
    Sha3_224,
    Sha3_256,
    Sha3_384,
    Sha3_512,
}

impl Hash {
    /// The name in docs/reference/rest.md.
    pub fn name(self) -> &'static str {
        match self {
            Hash::Sha1 => "SHA-1",
            Hash::Sha224 => "SHA-224",
            Hash::Sha256 => "SHA-256",
            Hash::Sha384 => "SHA-384",
            Hash::Sha512 => "SHA-512",
            Hash::Sha3_224 => "SHA3-224",
            Hash::Sha3_256 => "SHA3-256",
            Hash::Sha3_384 => "SHA3-384",
            Hash::Sha3_512 => "SHA3-512",
        }
    }

    /// Bytes of a digest.
    pub fn length(self) -> usize {
        match self {
            Hash::Sha1 => 20,
            Hash::Sha224 | Hash::Sha3_224 => 28,
            Hash::Sha256 | Hash::Sha3_256 => 32,
            Hash::Sha384 | Hash::Sha3_384 => 48,
            Hash::Sha512 | Hash::Sha3_512 => 64,
        }
    }

    /// A computation that has seen nothing yet.
    pub fn start(self) -> Box<dyn DynDigest + Send> {
        match self {
            Hash::Sha1 => Box::<sha1::Sha1>::default(),
            Hash::Sha224 => Box::<sha2::Sha224>::default(),
            Hash::Sha256 => Box::<sha2::Sha256>::default(),
            Hash::Sha384 => Box::<sha2::Sha384>::default(),
            Hash::Sha512 => Box::<sha2::Sha512>::default(),
            Hash::Sha3_224 => Box::<sha3::Sha3_224>::default(),
            Hash::Sha3_256 => Box::<sha3::Sha3_256>::default(),
            Hash::Sha3_384 => Box::<sha3::Sha3_384>::default(),
            Hash::Sha3_512 => Box::<sha3::Sha3_512>::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_abc(hash: Hash) -> Vec<u8> {
        let mut running = hash.start();
        running.update(b"abc");
        running.finalize().to_vec()
    }

    #[test]
    fn digests_have_the_stated_length() {
        for hash in [Hash::Sha1, Hash::Sha224, Hash::Sha256, Hash::Sha384, Hash::Sha512] {
            assert_eq!(of_abc(hash).len(), hash.length());
        }
        for hash in [Hash::Sha3_224, Hash::Sha3_256, Hash::Sha3_384, Hash::Sha3_512] {
            assert_eq!(of_abc(hash).len(), hash.length());
        }
    }

    // First bytes of the examples in FIPS 180-4 and FIPS 202 for the message "abc".
    #[test]
    fn names_and_functions_belong_together() {
        assert_eq!(of_abc(Hash::Sha1)[..4], [0xa9, 0x99, 0x3e, 0x36]);
        assert_eq!(of_abc(Hash::Sha256)[..4], [0xba, 0x78, 0x16, 0xbf]);
        assert_eq!(of_abc(Hash::Sha3_256)[..4], [0x3a, 0x98, 0x5d, 0xa7]);
    }
}
