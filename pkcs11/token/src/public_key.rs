//! The parts of a public key that PKCS #11 attributes show, read from its SubjectPublicKeyInfo (RFC 5280, section 4.1).

use privyseal_sys::*;

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
    /// `set` is CKA_PARAMETER_SET, `value` the public key as FIPS 204 encodes it.
    MlDsa { set: CK_ULONG, value: Vec<u8>, signature_length: usize },
    /// X25519 and X448, as Edwards keys have it.
    Montgomery { parameters: Vec<u8>, point: Vec<u8> },
    /// `set` and `value` as for ML-DSA, by FIPS 203.
    MlKem { set: CK_ULONG, value: Vec<u8>, ciphertext_length: usize },
}

// Object identifiers, content bytes only.
const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
const ED448: &[u8] = &[0x2b, 0x65, 0x71];
const X25519: &[u8] = &[0x2b, 0x65, 0x6e];
const X448: &[u8] = &[0x2b, 0x65, 0x6f];
/// ML-KEM (RFC 9935): as for ML-DSA, with the bytes of a ciphertext.
const ML_KEM: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x04];
const ML_KEM_SETS: [(u8, CK_ML_KEM_PARAMETER_SET_TYPE, usize, usize); 2] =
    [(2, CKP_ML_KEM_768, 1184, 1088), (3, CKP_ML_KEM_1024, 1568, 1568)];
/// ML-DSA (RFC 9881): the last byte of the identifier, the parameter set, bytes of a public key and of a signature.
const ML_DSA: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03];
const ML_DSA_SETS: [(u8, CK_ML_DSA_PARAMETER_SET_TYPE, usize, usize); 3] =
    [(17, CKP_ML_DSA_44, 1312, 2420), (18, CKP_ML_DSA_65, 1952, 3309), (19, CKP_ML_DSA_87, 2592, 4627)];
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

/// What the appliance calls them, in the same order.
const CURVE_TYPES: [&str; 7] = [
    "ec:P-256",
    "ec:P-384",
    "ec:P-521",
    "ec:secp256k1",
    "ec:brainpoolP256r1",
    "ec:brainpoolP384r1",
    "ec:brainpoolP512r1",
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
            X25519 => montgomery(name.encoded, key, 32),
            X448 => montgomery(name.encoded, key, 56),
            [prefix @ .., last] if prefix == ML_KEM => ml_kem(*last, key),
            [prefix @ .., last] if prefix == ML_DSA => ml_dsa(*last, key),
            _ => None,
        }
    }

    /// The SubjectPublicKeyInfo of an RSA key; None where the numbers are no key.
    pub fn spki_of_rsa(modulus: &[u8], exponent: &[u8]) -> Option<Vec<u8>> {
        let numbers = [der::integer(modulus)?, der::integer(exponent)?].concat();
        let name = [der::encode(der::OBJECT_IDENTIFIER, RSA_ENCRYPTION), der::encode(der::NULL, &[])].concat();
        Some(spki(&name, &der::encode(der::SEQUENCE, &numbers)))
    }

    /// The SubjectPublicKeyInfo of a key on a named curve; `point` is uncompressed, bare or in an OCTET STRING.
    pub fn spki_of_ec(parameters: &[u8], point: &[u8]) -> Option<Vec<u8>> {
        let name = [&der::encode(der::OBJECT_IDENTIFIER, EC_PUBLIC_KEY), parameters].concat();
        let spki = spki(&name, der::read_only(point, der::OCTET_STRING).unwrap_or(point));
        PublicKey::parse(&spki).map(|_| spki)
    }

    /// The SubjectPublicKeyInfo of an Edwards key (RFC 8410); `parameters` is the OID or the curve's name.
    pub fn spki_of_edwards(parameters: &[u8], point: &[u8]) -> Option<Vec<u8>> {
        let name = der::encode(der::OBJECT_IDENTIFIER, edwards_name(parameters)?);
        let bare = der::read_only(point, der::OCTET_STRING).unwrap_or(point);
        let spki = spki(&name, bare);
        PublicKey::parse(&spki).map(|_| spki)
    }

    /// The SubjectPublicKeyInfo of an ML-DSA key with a parameter set.
    pub fn spki_of_ml_dsa(set: CK_ULONG, value: &[u8]) -> Option<Vec<u8>> {
        let (last, ..) =
            ML_DSA_SETS.into_iter().find(|(_, known, length, _)| (*known, *length) == (set, value.len()))?;
        Some(spki(&der::encode(der::OBJECT_IDENTIFIER, &[ML_DSA, &[last]].concat()), value))
    }

    /// Bytes of a signature as `C_Sign` returns it: the modulus' length, or r and s of equal length.
    pub fn signature_length(&self) -> usize {
        match self {
            PublicKey::Rsa { modulus, .. } => modulus.len(),
            PublicKey::Ec { bits, .. } => 2 * bits.div_ceil(8),
            PublicKey::Edwards { signature_length, .. } | PublicKey::MlDsa { signature_length, .. } => {
                *signature_length
            }
            PublicKey::Montgomery { .. } | PublicKey::MlKem { .. } => 0,
        }
    }
}

fn spki(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
    let key = der::encode(der::BIT_STRING, &[&[0], key].concat());
    der::encode(der::SEQUENCE, &[der::encode(der::SEQUENCE, algorithm), key].concat())
}

/// CKA_EC_PARAMS of an Edwards key: the OID of RFC 8410, or the curve's name in a PrintableString (PKCS #11 v3.0, section
/// 2.3.5 of the mechanisms).
pub fn edwards_name(parameters: &[u8]) -> Option<&'static [u8]> {
    let (oid, name) =
        (der::read_only(parameters, der::OBJECT_IDENTIFIER), der::read_only(parameters, der::PRINTABLE_STRING));
    match (oid, name) {
        (Some(ED25519), _) | (_, Some(b"edwards25519")) => Some(ED25519),
        (Some(ED448), _) | (_, Some(b"edwards448")) => Some(ED448),
        _ => None,
    }
}

/// The appliance's key type for CKA_EC_PARAMS of CKM_EC_KEY_PAIR_GEN, for example `ec:P-256`.
pub fn ec_type(parameters: &[u8]) -> Option<&'static str> {
    let name = der::read_only(parameters, der::OBJECT_IDENTIFIER)?;
    CURVES.iter().zip(CURVE_TYPES).find(|((curve, _), _)| *curve == name).map(|(_, kind)| kind)
}

/// The appliance's key type for CKA_EC_PARAMS of CKM_EC_MONTGOMERY_KEY_PAIR_GEN, by OID or by name.
pub fn montgomery_type(parameters: &[u8]) -> Option<&'static str> {
    let (oid, name) =
        (der::read_only(parameters, der::OBJECT_IDENTIFIER), der::read_only(parameters, der::PRINTABLE_STRING));
    match (oid, name) {
        (Some(X25519), _) | (_, Some(b"curve25519")) => Some("x25519"),
        (Some(X448), _) | (_, Some(b"curve448")) => Some("x448"),
        _ => None,
    }
}

/// The appliance's key type for CKA_EC_PARAMS of CKM_EC_EDWARDS_KEY_PAIR_GEN.
pub fn edwards_type(parameters: &[u8]) -> Option<&'static str> {
    edwards_name(parameters).map(|name| if name == ED25519 { "ed25519" } else { "ed448" })
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

fn montgomery(parameters: &[u8], point: &[u8], length: usize) -> Option<PublicKey> {
    (point.len() == length).then(|| PublicKey::Montgomery { parameters: parameters.to_vec(), point: point.to_vec() })
}

fn ml_kem(last: u8, key: &[u8]) -> Option<PublicKey> {
    let (_, set, length, ciphertext_length) = ML_KEM_SETS.into_iter().find(|(found, ..)| *found == last)?;
    (key.len() == length).then(|| PublicKey::MlKem { set, value: key.to_vec(), ciphertext_length })
}

fn ml_dsa(last: u8, key: &[u8]) -> Option<PublicKey> {
    let (_, set, length, signature_length) = ML_DSA_SETS.into_iter().find(|(found, ..)| *found == last)?;
    (key.len() == length).then(|| PublicKey::MlDsa { set, value: key.to_vec(), signature_length })
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
    fn attributes_lead_back_to_the_same_key() {
        assert_eq!(PublicKey::spki_of_rsa(&[0xc3, 0x51], &[1, 0, 1]), Some(tiny_rsa()));
        let Some(PublicKey::Ec { parameters, point, .. }) = PublicKey::parse(&p256()) else { panic!() };
        assert_eq!(PublicKey::spki_of_ec(&parameters, &point), Some(p256()));
        assert_eq!(PublicKey::spki_of_ec(&parameters, &der::encode(der::OCTET_STRING, &point)), Some(p256()));
        let name = der::encode(der::PRINTABLE_STRING, b"edwards25519");
        assert_eq!(PublicKey::spki_of_edwards(&name, &[0x11; 32]), Some(ed25519()));
        assert_eq!(PublicKey::spki_of_ec(&parameters, &point[1..]), None);
        assert_eq!(PublicKey::spki_of_rsa(&[], &[1, 0, 1]), None);
    }

    #[test]
    fn curves_have_the_names_that_the_appliance_gives_them() {
        assert_eq!(ec_type(&[6, 5, 0x2b, 0x81, 4, 0, 0x23]), Some("ec:P-521"));
        assert_eq!(ec_type(&[6, 1, 0]), None);
        assert_eq!(edwards_type(&[6, 3, 0x2b, 0x65, 0x71]), Some("ed448"));
    }

    #[test]
    fn reads_ml_dsa() {
        let spki = PublicKey::spki_of_ml_dsa(CKP_ML_DSA_65, &[7; 1952]).unwrap();
        let expected = PublicKey::MlDsa { set: CKP_ML_DSA_65, value: vec![7; 1952], signature_length: 3309 };
        assert_eq!(PublicKey::parse(&spki), Some(expected));
        assert_eq!(PublicKey::spki_of_ml_dsa(CKP_ML_DSA_44, &[7; 1952]), None);
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
