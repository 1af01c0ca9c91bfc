//! The parts of a public key that PKCS #11 attributes show, read from its SubjectPublicKeyInfo (RFC 5280, section 4.1).

use crate::der;

/// A public key by the kind of its key type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// Big-endian, without leading zeros.
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    /// `parameters` is the DER of the curve's name, `point` the uncompressed point (SEC 1), `bits` the order's length.
    Ec { parameters: Vec<u8>, point: Vec<u8>, bits: usize },
    /// `parameters` is the DER of the algorithm's name (RFC 8410), `point` the public key as it is.
    Edwards { parameters: Vec<u8>, point: Vec<u8>, signature_length: usize },
}

// Object identifiers, content bytes only.
const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
const ED448: &[u8] = &[0x2b, 0x65, 0x71];
/// Named curves and the length of their order in bits (SEC 2, RFC 5639).
const CURVES: [(&[u8], usize); 7] = [
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07], 256), // P-256
    (&[0x2b, 0x81, 0x04, 0x00, 0x22], 384),                   // P-384
    (&[0x2b, 0x81, 0x04, 0x00, 0x23], 521),                   // P-521
    (&[0x2b, 0x81, 0x04, 0x00, 0x0a], 256),                   // secp256k1
    (&[0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x07], 256), // brainpoolP256r1
    (&[0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x0b], 384), // brainpoolP384r1
    (&[0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x0d], 512), // brainpoolP512r1
];

impl PublicKey {
    /// Reads the DER of a SubjectPublicKeyInfo; None where it is malformed or of a kind this module does not know.
    pub fn parse(spki: &[u8]) -> Option<PublicKey> {
        let outer = der::read_only(spki, der::SEQUENCE)?;
        let algorithm = der::read(outer, der::SEQUENCE)?;
        let [0, key @ ..] = der::read_only(algorithm.rest, der::BIT_STRING)? else { return None };
        let name = der::read(algorithm.content, der::OBJECT_IDENTIFIER)?;
        match name.content {
            RSA_ENCRYPTION => rsa(key),
            EC_PUBLIC_KEY => ec(name.rest, key),
            ED25519 => edwards(name.encoded, key, 32),
            ED448 => edwards(name.encoded, key, 57),
            _ => None,
        }
    }

    /// Bytes of a signature as `C_Sign` returns it: the modulus' length, or r and s of equal length.
    pub fn signature_length(&self) -> usize {
        match self {
            PublicKey::Rsa { modulus, .. } => modulus.len(),
            PublicKey::Ec { bits, .. } => 2 * bits.div_ceil(8),
            PublicKey::Edwards { signature_length, .. } => *signature_length,
        }
    }
}

fn rsa(key: &[u8]) -> Option<PublicKey> {
    let numbers = der::read_only(key, der::SEQUENCE)?;
    let modulus = der::read(numbers, der::INTEGER)?;
    let exponent = der::read_only(modulus.rest, der::INTEGER)?;
    let modulus = der::unsigned(modulus.content)?.to_vec();
    Some(PublicKey::Rsa { modulus, exponent: der::unsigned(exponent)?.to_vec() })
}

fn ec(parameters: &[u8], point: &[u8]) -> Option<PublicKey> {
    let name = der::read_only(parameters, der::OBJECT_IDENTIFIER)?;
    let (_, bits) = CURVES.into_iter().find(|(curve, _)| *curve == name)?;
    let complete = point.len() == 1 + 2 * bits.div_ceil(8) && point[0] == 4;
    complete.then(|| PublicKey::Ec { parameters: parameters.to_vec(), point: point.to_vec(), bits })
}

fn edwards(parameters: &[u8], point: &[u8], length: usize) -> Option<PublicKey> {
    let (parameters, signature_length) = (parameters.to_vec(), 2 * length);
    (point.len() == length).then(|| PublicKey::Edwards { parameters, point: point.to_vec(), signature_length })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A P-256 SubjectPublicKeyInfo whose point is 65 bytes that begin with 4; nothing here checks that it is on the curve.
    pub(crate) fn p256() -> Vec<u8> {
        let mut spki = vec![0x30, 0x59, 0x30, 0x13, 0x06, 0x07];
        spki.extend_from_slice(EC_PUBLIC_KEY);
        spki.extend_from_slice(&[0x06, 0x08]);
        spki.extend_from_slice(CURVES[0].0);
        spki.extend_from_slice(&[0x03, 0x42, 0x00, 0x04]);
        spki.extend_from_slice(&[0x5a; 64]);
        spki
    }

    /// An Ed25519 SubjectPublicKeyInfo.
    pub(crate) fn ed25519() -> Vec<u8> {
        let mut spki = vec![0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
        spki.extend_from_slice(&[0x11; 32]);
        spki
    }

    /// A SubjectPublicKeyInfo with a modulus of 16 bits, the smallest that shows the sign byte.
    pub(crate) fn tiny_rsa() -> Vec<u8> {
        let mut spki = vec![0x30, 0x1e, 0x30, 0x0d, 0x06, 0x09];
        spki.extend_from_slice(RSA_ENCRYPTION);
        spki.extend_from_slice(&[0x05, 0x00, 0x03, 0x0d, 0x00, 0x30, 0x0a]);
        spki.extend_from_slice(&[0x02, 0x03, 0x00, 0xc3, 0x51, 0x02, 0x03, 0x01, 0x00, 0x01]);
        spki
    }

    #[test]
    fn reads_a_named_curve() {
        let Some(PublicKey::Ec { parameters, point, bits }) = PublicKey::parse(&p256()) else { panic!() };
        assert_eq!((parameters.len(), point.len(), bits), (10, 65, 256));
    }

    #[test]
    fn reads_ed25519() {
        let key = PublicKey::parse(&ed25519()).unwrap();
        assert_eq!(key.signature_length(), 64);
        assert!(matches!(key, PublicKey::Edwards { parameters, .. } if parameters == [6, 3, 0x2b, 0x65, 0x70]));
    }

    #[test]
    fn reads_rsa_without_the_sign_byte() {
        let expected = PublicKey::Rsa { modulus: vec![0xc3, 0x51], exponent: vec![1, 0, 1] };
        assert_eq!(PublicKey::parse(&tiny_rsa()), Some(expected));
    }

    #[test]
    fn refuses_every_truncation() {
        for whole in [p256(), ed25519(), tiny_rsa()] {
            for length in 0..whole.len() {
                assert_eq!(PublicKey::parse(&whole[..length]), None);
            }
        }
    }
}
