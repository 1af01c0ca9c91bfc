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
const ML_KEM: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x04];
const ML_DSA: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03];

/// A curve that has a name in an EC key's parameters (SEC 2, RFC 5639).
struct NamedCurve {
    identifier: &'static [u8],
    /// Of its order.
    bits: usize,
    /// The appliance's key type.
    kind: &'static str,
}

const NAMED_CURVES: [NamedCurve; 7] = [
    named(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07], 256, "ec:P-256"),
    named(&[0x2b, 0x81, 0x04, 0x00, 0x22], 384, "ec:P-384"),
    named(&[0x2b, 0x81, 0x04, 0x00, 0x23], 521, "ec:P-521"),
    named(&[0x2b, 0x81, 0x04, 0x00, 0x0a], 256, "ec:secp256k1"),
    named(&[0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x07], 256, "ec:brainpoolP256r1"),
    named(&[0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x0b], 384, "ec:brainpoolP384r1"),
    named(&[0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x0d], 512, "ec:brainpoolP512r1"),
];

const fn named(identifier: &'static [u8], bits: usize, kind: &'static str) -> NamedCurve {
    NamedCurve { identifier, bits, kind }
}

/// A curve that is an algorithm by itself (RFC 8410).
struct OwnCurve {
    family: Family,
    identifier: &'static [u8],
    /// In a PrintableString, it may stand for the identifier (PKCS #11 v3.0, section 2.3.5 of the mechanisms).
    name: &'static str,
    /// The appliance's key type.
    kind: &'static str,
    /// Bytes of a public key.
    length: usize,
}

const OWN_CURVES: [OwnCurve; 4] = [
    own(Family::Edwards, &[0x2b, 0x65, 0x70], "edwards25519", "ed25519", 32),
    own(Family::Edwards, &[0x2b, 0x65, 0x71], "edwards448", "ed448", 57),
    own(Family::Montgomery, &[0x2b, 0x65, 0x6e], "curve25519", "x25519", 32),
    own(Family::Montgomery, &[0x2b, 0x65, 0x6f], "curve448", "x448", 56),
];

const fn own(
    family: Family,
    identifier: &'static [u8],
    name: &'static str,
    kind: &'static str,
    length: usize,
) -> OwnCurve {
    OwnCurve { family, identifier, name, kind, length }
}

/// A parameter set of ML-DSA (FIPS 204, RFC 9881) or ML-KEM (FIPS 203, RFC 9935).
struct ParameterSet {
    family: Family,
    /// The last byte of its identifier.
    last: u8,
    /// CKA_PARAMETER_SET.
    set: CK_ULONG,
    /// The appliance's key type.
    kind: &'static str,
    /// Bytes of a public key.
    length: usize,
    /// Bytes of a signature, or of a ciphertext.
    product: usize,
}

const PARAMETER_SETS: [ParameterSet; 5] = [
    set(Family::MlDsa, 17, CKP_ML_DSA_44, "ml-dsa-44", 1312, 2420),
    set(Family::MlDsa, 18, CKP_ML_DSA_65, "ml-dsa-65", 1952, 3309),
    set(Family::MlDsa, 19, CKP_ML_DSA_87, "ml-dsa-87", 2592, 4627),
    set(Family::MlKem, 2, CKP_ML_KEM_768, "ml-kem-768", 1184, 1088),
    set(Family::MlKem, 3, CKP_ML_KEM_1024, "ml-kem-1024", 1568, 1568),
];

const fn set(
    family: Family,
    last: u8,
    set: CK_ULONG,
    kind: &'static str,
    length: usize,
    product: usize,
) -> ParameterSet {
    ParameterSet { family, last, set, kind, length, product }
}

/// The key types that have a mechanism to make them in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Rsa,
    Ec,
    Edwards,
    Montgomery,
    MlDsa,
    MlKem,
}

impl Family {
    /// CKA_KEY_TYPE.
    pub fn key_type(self) -> CK_KEY_TYPE {
        match self {
            Family::Rsa => CKK_RSA,
            Family::Ec => CKK_EC,
            Family::Edwards => CKK_EC_EDWARDS,
            Family::Montgomery => CKK_EC_MONTGOMERY,
            Family::MlDsa => CKK_ML_DSA,
            Family::MlKem => CKK_ML_KEM,
        }
    }
}

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
            [prefix @ .., last] if prefix == ML_KEM => lattice(Family::MlKem, *last, key),
            [prefix @ .., last] if prefix == ML_DSA => lattice(Family::MlDsa, *last, key),
            _ => on_own_curve(&name, key),
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
        let curve = own_curve(Family::Edwards, parameters)?;
        let name = der::encode(der::OBJECT_IDENTIFIER, curve.identifier);
        let bare = der::read_only(point, der::OCTET_STRING).unwrap_or(point);
        let spki = spki(&name, bare);
        PublicKey::parse(&spki).map(|_| spki)
    }

    /// The SubjectPublicKeyInfo of an ML-DSA key with a parameter set.
    pub fn spki_of_ml_dsa(set: CK_ULONG, value: &[u8]) -> Option<Vec<u8>> {
        let found = parameter_set(Family::MlDsa, set).filter(|found| found.length == value.len())?;
        Some(spki(&der::encode(der::OBJECT_IDENTIFIER, &[ML_DSA, &[found.last]].concat()), value))
    }

    /// What its key type belongs to.
    pub fn family(&self) -> Family {
        match self {
            PublicKey::Rsa { .. } => Family::Rsa,
            PublicKey::Ec { .. } => Family::Ec,
            PublicKey::Edwards { .. } => Family::Edwards,
            PublicKey::Montgomery { .. } => Family::Montgomery,
            PublicKey::MlDsa { .. } => Family::MlDsa,
            PublicKey::MlKem { .. } => Family::MlKem,
        }
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

/// The appliance's key type for a family of curves and CKA_EC_PARAMS, for example `ec:P-256`.
pub fn curve_type(family: Family, parameters: &[u8]) -> Option<&'static str> {
    match family {
        Family::Ec => named_curve(parameters).map(|curve| curve.kind),
        _ => own_curve(family, parameters).map(|curve| curve.kind),
    }
}

/// The appliance's key type for a family with parameter sets and CKA_PARAMETER_SET, for example `ml-dsa-65`.
pub fn set_type(family: Family, set: CK_ULONG) -> Option<&'static str> {
    parameter_set(family, set).map(|found| found.kind)
}

fn named_curve(parameters: &[u8]) -> Option<&'static NamedCurve> {
    let identifier = der::read_only(parameters, der::OBJECT_IDENTIFIER)?;
    NAMED_CURVES.iter().find(|curve| curve.identifier == identifier)
}

/// By the curve's identifier, or by its name.
fn own_curve(family: Family, parameters: &[u8]) -> Option<&'static OwnCurve> {
    let [identifier, name] = [der::OBJECT_IDENTIFIER, der::PRINTABLE_STRING].map(|tag| der::read_only(parameters, tag));
    let meant = |curve: &OwnCurve| identifier == Some(curve.identifier) || name == Some(curve.name.as_bytes());
    OWN_CURVES.iter().find(|curve| curve.family == family && meant(curve))
}

fn parameter_set(family: Family, set: CK_ULONG) -> Option<&'static ParameterSet> {
    PARAMETER_SETS.iter().find(|found| (found.family, found.set) == (family, set))
}

fn rsa(key: &[u8]) -> Option<PublicKey> {
    let numbers = der::read_only(key, der::SEQUENCE)?;
    let modulus = der::read(numbers, der::INTEGER)?;
    let exponent = der::read_only(modulus.rest, der::INTEGER)?;
    let modulus = der::unsigned(modulus.content)?.to_vec();
    Some(PublicKey::Rsa { modulus, exponent: der::unsigned(exponent)?.to_vec() })
}

fn ec(parameters: &[u8], point: &[u8]) -> Option<PublicKey> {
    let bits = named_curve(parameters)?.bits;
    let complete = point.len() == 1 + 2 * bits.div_ceil(8) && point[0] == 4;
    complete.then(|| PublicKey::Ec { parameters: parameters.to_vec(), point: point.to_vec(), bits })
}

fn on_own_curve(name: &der::Element, key: &[u8]) -> Option<PublicKey> {
    let curve = OWN_CURVES.iter().find(|curve| curve.identifier == name.content)?;
    let (parameters, point) = (name.encoded.to_vec(), key.to_vec());
    (key.len() == curve.length).then_some(match curve.family {
        Family::Edwards => PublicKey::Edwards { parameters, point, signature_length: 2 * curve.length },
        _ => PublicKey::Montgomery { parameters, point },
    })
}

fn lattice(family: Family, last: u8, key: &[u8]) -> Option<PublicKey> {
    let found = PARAMETER_SETS.iter().find(|found| (found.family, found.last) == (family, last))?;
    let (set, value) = (found.set, key.to_vec());
    (key.len() == found.length).then_some(match family {
        Family::MlDsa => PublicKey::MlDsa { set, value, signature_length: found.product },
        _ => PublicKey::MlKem { set, value, ciphertext_length: found.product },
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A P-256 SubjectPublicKeyInfo whose point is 65 bytes that begin with 4; nothing here checks that it is on the curve.
    pub(crate) fn p256() -> Vec<u8> {
        let mut spki = vec![0x30, 0x59, 0x30, 0x13, 0x06, 0x07];
        spki.extend_from_slice(EC_PUBLIC_KEY);
        spki.extend_from_slice(&[0x06, 0x08]);
        spki.extend_from_slice(NAMED_CURVES[0].identifier);
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
        assert_eq!(curve_type(Family::Ec, &[6, 5, 0x2b, 0x81, 4, 0, 0x23]), Some("ec:P-521"));
        assert_eq!(curve_type(Family::Ec, &[6, 1, 0]), None);
        assert_eq!(curve_type(Family::Edwards, &[6, 3, 0x2b, 0x65, 0x71]), Some("ed448"));
        let x448 = der::encode(der::PRINTABLE_STRING, b"curve448");
        assert_eq!(curve_type(Family::Montgomery, &x448), Some("x448"));
        assert_eq!(curve_type(Family::Edwards, &x448), None);
        assert_eq!(set_type(Family::MlKem, CKP_ML_KEM_768), Some("ml-kem-768"));
        assert_eq!(set_type(Family::MlDsa, 0), None);
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
