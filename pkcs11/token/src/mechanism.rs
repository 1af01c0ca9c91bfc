//! The mechanisms of the module: which exist, what they do, and what their parameters may say.
//!
//! Always true: TABLE is the whole list; the slot's mechanism list, its details and every Init function read it.

use privyseal_sys::*;

use crate::error::Error;
use crate::hash::Hash;
use crate::parameter::Parameter;
use crate::public_key::{Family, PublicKey};

/// How a signature is made, as the appliance names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Pkcs1,
    Pss,
    Ecdsa,
    Eddsa,
    MlDsa,
    HashMlDsa,
}

impl Scheme {
    /// The name in docs/reference/rest.md.
    pub fn name(self) -> &'static str {
        match self {
            Scheme::Pkcs1 => "RSA-PKCS1",
            Scheme::Pss => "RSA-PSS",
            Scheme::Ecdsa => "ECDSA",
            Scheme::Eddsa => "EdDSA",
            Scheme::MlDsa => "ML-DSA",
            Scheme::HashMlDsa => "HashML-DSA",
        }
    }

    /// Whether this is a scheme of the key's type.
    pub fn suits(self, key: &PublicKey) -> bool {
        let family = match self {
            Scheme::Pkcs1 | Scheme::Pss => Family::Rsa,
            Scheme::Ecdsa => Family::Ec,
            Scheme::Eddsa => Family::Edwards,
            Scheme::MlDsa | Scheme::HashMlDsa => Family::MlDsa,
        };
        key.family() == family
    }
}

/// What a mechanism is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Digest(Hash),
    /// With a hash: the message is hashed here first. Without: the program brings what is signed.
    Sign(Scheme, Option<Hash>),
    /// Makes a key pair.
    GeneratePair(Family),
    /// Encrypts with a public key and decrypts with the private one.
    Cipher(Cipher),
    /// Agrees on a secret with somebody's public key.
    Agree,
    /// Sends and receives a secret.
    Encapsulate,
}

/// How RSA encrypts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cipher {
    Pkcs1,
    Oaep,
}

impl Cipher {
    /// The name in docs/reference/rest.md.
    pub fn name(self) -> &'static str {
        match self {
            Cipher::Pkcs1 => "RSA-PKCS1",
            Cipher::Oaep => "RSA-OAEP",
        }
    }
}

use Purpose::{Agree, Digest, Encapsulate, GeneratePair, Sign};
use Scheme::{Ecdsa, Eddsa, HashMlDsa, MlDsa, Pkcs1, Pss};

const TABLE: [(CK_MECHANISM_TYPE, Purpose); 56] = [
    (CKM_RSA_PKCS_KEY_PAIR_GEN, GeneratePair(Family::Rsa)),
    (CKM_EC_KEY_PAIR_GEN, GeneratePair(Family::Ec)),
    (CKM_EC_EDWARDS_KEY_PAIR_GEN, GeneratePair(Family::Edwards)),
    (CKM_RSA_PKCS, Sign(Pkcs1, None)),
    (CKM_SHA224_RSA_PKCS, Sign(Pkcs1, Some(Hash::Sha224))),
    (CKM_SHA256_RSA_PKCS, Sign(Pkcs1, Some(Hash::Sha256))),
    (CKM_SHA384_RSA_PKCS, Sign(Pkcs1, Some(Hash::Sha384))),
    (CKM_SHA512_RSA_PKCS, Sign(Pkcs1, Some(Hash::Sha512))),
    (CKM_SHA3_224_RSA_PKCS, Sign(Pkcs1, Some(Hash::Sha3_224))),
    (CKM_SHA3_256_RSA_PKCS, Sign(Pkcs1, Some(Hash::Sha3_256))),
    (CKM_SHA3_384_RSA_PKCS, Sign(Pkcs1, Some(Hash::Sha3_384))),
    (CKM_SHA3_512_RSA_PKCS, Sign(Pkcs1, Some(Hash::Sha3_512))),
    (CKM_RSA_PKCS_PSS, Sign(Pss, None)),
    (CKM_SHA224_RSA_PKCS_PSS, Sign(Pss, Some(Hash::Sha224))),
    (CKM_SHA256_RSA_PKCS_PSS, Sign(Pss, Some(Hash::Sha256))),
    (CKM_SHA384_RSA_PKCS_PSS, Sign(Pss, Some(Hash::Sha384))),
    (CKM_SHA512_RSA_PKCS_PSS, Sign(Pss, Some(Hash::Sha512))),
    (CKM_SHA3_224_RSA_PKCS_PSS, Sign(Pss, Some(Hash::Sha3_224))),
    (CKM_SHA3_256_RSA_PKCS_PSS, Sign(Pss, Some(Hash::Sha3_256))),
    (CKM_SHA3_384_RSA_PKCS_PSS, Sign(Pss, Some(Hash::Sha3_384))),
    (CKM_SHA3_512_RSA_PKCS_PSS, Sign(Pss, Some(Hash::Sha3_512))),
    (CKM_ECDSA, Sign(Ecdsa, None)),
    (CKM_ECDSA_SHA224, Sign(Ecdsa, Some(Hash::Sha224))),
    (CKM_ECDSA_SHA256, Sign(Ecdsa, Some(Hash::Sha256))),
    (CKM_ECDSA_SHA384, Sign(Ecdsa, Some(Hash::Sha384))),
    (CKM_ECDSA_SHA512, Sign(Ecdsa, Some(Hash::Sha512))),
    (CKM_ECDSA_SHA3_224, Sign(Ecdsa, Some(Hash::Sha3_224))),
    (CKM_ECDSA_SHA3_256, Sign(Ecdsa, Some(Hash::Sha3_256))),
    (CKM_ECDSA_SHA3_384, Sign(Ecdsa, Some(Hash::Sha3_384))),
    (CKM_ECDSA_SHA3_512, Sign(Ecdsa, Some(Hash::Sha3_512))),
    (CKM_EDDSA, Sign(Eddsa, None)),
    (CKM_RSA_PKCS_OAEP, Purpose::Cipher(Cipher::Oaep)),
    (CKM_EC_MONTGOMERY_KEY_PAIR_GEN, GeneratePair(Family::Montgomery)),
    (CKM_ECDH1_DERIVE, Agree),
    (CKM_ML_KEM_KEY_PAIR_GEN, GeneratePair(Family::MlKem)),
    (CKM_ML_KEM, Encapsulate),
    (CKM_ML_DSA_KEY_PAIR_GEN, GeneratePair(Family::MlDsa)),
    (CKM_ML_DSA, Sign(MlDsa, None)),
    (CKM_HASH_ML_DSA, Sign(HashMlDsa, None)),
    (CKM_HASH_ML_DSA_SHA224, Sign(HashMlDsa, Some(Hash::Sha224))),
    (CKM_HASH_ML_DSA_SHA256, Sign(HashMlDsa, Some(Hash::Sha256))),
    (CKM_HASH_ML_DSA_SHA384, Sign(HashMlDsa, Some(Hash::Sha384))),
    (CKM_HASH_ML_DSA_SHA512, Sign(HashMlDsa, Some(Hash::Sha512))),
    (CKM_HASH_ML_DSA_SHA3_224, Sign(HashMlDsa, Some(Hash::Sha3_224))),
    (CKM_HASH_ML_DSA_SHA3_256, Sign(HashMlDsa, Some(Hash::Sha3_256))),
    (CKM_HASH_ML_DSA_SHA3_384, Sign(HashMlDsa, Some(Hash::Sha3_384))),
    (CKM_HASH_ML_DSA_SHA3_512, Sign(HashMlDsa, Some(Hash::Sha3_512))),
    (CKM_SHA_1, Digest(Hash::Sha1)),
    (CKM_SHA224, Digest(Hash::Sha224)),
    (CKM_SHA256, Digest(Hash::Sha256)),
    (CKM_SHA384, Digest(Hash::Sha384)),
    (CKM_SHA512, Digest(Hash::Sha512)),
    (CKM_SHA3_224, Digest(Hash::Sha3_224)),
    (CKM_SHA3_256, Digest(Hash::Sha3_256)),
    (CKM_SHA3_384, Digest(Hash::Sha3_384)),
    (CKM_SHA3_512, Digest(Hash::Sha3_512)),
];

/// Every mechanism, in the order in which programs see them.
pub fn list() -> Vec<CK_MECHANISM_TYPE> {
    TABLE.iter().map(|(kind, _)| *kind).collect()
}

/// What the mechanism is for; `MechanismInvalid` for one that is not in the list.
pub fn purpose(kind: CK_MECHANISM_TYPE) -> Result<Purpose, Error> {
    TABLE.iter().find(|(listed, _)| *listed == kind).map(|(_, purpose)| *purpose).ok_or(Error::MechanismInvalid)
}

/// The mechanism that makes keys of a family.
pub fn generating(family: Family) -> CK_MECHANISM_TYPE {
    let made = TABLE.iter().find(|(_, purpose)| *purpose == GeneratePair(family));
    made.map_or(CK_UNAVAILABLE_INFORMATION, |(kind, _)| *kind)
}

/// The mechanisms of a key, for CKA_ALLOWED_MECHANISMS.
pub fn allowed(key: &PublicKey) -> Vec<CK_MECHANISM_TYPE> {
    let fits = |purpose: &Purpose| match (purpose, key) {
        (Sign(scheme, _), _) => scheme.suits(key),
        (Purpose::Cipher(_), PublicKey::Rsa { .. }) | (Encapsulate, PublicKey::MlKem { .. }) => true,
        (Agree, PublicKey::Ec { .. } | PublicKey::Montgomery { .. }) => true,
        _ => false,
    };
    TABLE.iter().filter(|(_, purpose)| fits(purpose)).map(|(kind, _)| *kind).collect()
}

/// Key sizes in bits and flags. CKF_HW is not set: the appliance is software and does not say otherwise.
pub fn info(kind: CK_MECHANISM_TYPE) -> Result<CK_MECHANISM_INFO, Error> {
    const EC: CK_FLAGS = CKF_EC_F_P | CKF_EC_NAMEDCURVE | CKF_EC_UNCOMPRESS;
    const SIGNS: CK_FLAGS = CKF_SIGN | CKF_VERIFY | CKF_MESSAGE_SIGN | CKF_MESSAGE_VERIFY | CKF_MULTI_MESSAGE;
    let (minimum, maximum, flags) = match purpose(kind)? {
        Digest(_) => (0, 0, CKF_DIGEST),
        GeneratePair(Family::Rsa) => (2048, 8192, CKF_GENERATE_KEY_PAIR),
        GeneratePair(Family::Ec) => (256, 521, CKF_GENERATE_KEY_PAIR | EC),
        GeneratePair(Family::Edwards) => (255, 448, CKF_GENERATE_KEY_PAIR),
        GeneratePair(Family::Montgomery) => (255, 448, CKF_GENERATE_KEY_PAIR),
        GeneratePair(Family::MlKem) => (1184, 1568, CKF_GENERATE_KEY_PAIR),
        Encapsulate => (1184, 1568, CKF_ENCAPSULATE | CKF_DECAPSULATE),
        Agree => (255, 521, CKF_DERIVE | EC),
        Purpose::Cipher(_) => (2048, 8192, CKF_ENCRYPT | CKF_DECRYPT),
        Sign(Pkcs1, None) => (2048, 8192, SIGNS | CKF_ENCRYPT | CKF_DECRYPT),
        Sign(Pkcs1 | Pss, _) => (2048, 8192, SIGNS),
        Sign(Ecdsa, _) => (256, 521, SIGNS | EC),
        Sign(Eddsa, _) => (255, 448, SIGNS),
        // Bytes of a public key.
        GeneratePair(Family::MlDsa) => (1312, 2592, CKF_GENERATE_KEY_PAIR),
        Sign(MlDsa | HashMlDsa, _) => (1312, 2592, SIGNS),
    };
    Ok(CK_MECHANISM_INFO { ulMinKeySize: minimum, ulMaxKeySize: maximum, flags })
}

/// What RSA-PSS is told beside the key (CK_RSA_PKCS_PSS_PARAMS).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PssSettings {
    pub hash: Hash,
    pub mgf_hash: Hash,
    pub salt_length: u32,
}

/// What ML-DSA is told beside the key: the context, and for CKM_HASH_ML_DSA the hash whose digest the program brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MlDsaSettings {
    pub context: Vec<u8>,
    pub hash: Option<Hash>,
}

/// What a mechanism's parameter says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settings {
    Nothing,
    Pss(PssSettings),
    MlDsa(MlDsaSettings),
}

const ULONG: usize = size_of::<CK_ULONG>();
/// FIPS 204, section 5.2.
const LONGEST_CONTEXT: usize = 255;

/// Reads a mechanism's parameter. RSA-PSS has settings, and ML-DSA where it has a context; EdDSA takes none or the
/// CK_EDDSA_PARAMS that mean plain EdDSA; everything else takes no parameter.
pub fn settings(scheme: Scheme, hash: Option<Hash>, parameter: &Parameter) -> Result<Settings, Error> {
    match scheme {
        Pss => pss(parameter).filter(|found| hash.is_none_or(|hash| hash == found.hash)).map(Settings::Pss),
        Eddsa if is_plain_eddsa(parameter) => Some(Settings::Nothing),
        HashMlDsa if hash.is_none() => hash_ml_dsa(parameter).map(Settings::MlDsa),
        MlDsa | HashMlDsa if !parameter.is_empty() => ml_dsa(parameter, None).map(Settings::MlDsa),
        _ if parameter.is_empty() => Some(Settings::Nothing),
        _ => None,
    }
    .ok_or(Error::MechanismParamInvalid)
}

fn pss(parameter: &Parameter) -> Option<PssSettings> {
    if parameter.len() != size_of::<CK_RSA_PKCS_PSS_PARAMS>() {
        return None;
    }
    let Ok(Digest(hash)) = purpose(parameter.number(0)?) else { return None };
    let (mgf_hash, salt_length) = (mask_hash(parameter.number(1)?)?, u32::try_from(parameter.number(2)?).ok()?);
    (hash != Hash::Sha1).then_some(PssSettings { hash, mgf_hash, salt_length })
}

/// CK_SIGN_ADDITIONAL_CONTEXT. The appliance's signatures are hedged, so one that must not be is refused.
fn ml_dsa(parameter: &Parameter, hash: Option<Hash>) -> Option<MlDsaSettings> {
    let hedged = matches!(parameter.number(0)?, CKH_HEDGE_PREFERRED | CKH_HEDGE_REQUIRED);
    let context = parameter.behind.first()?.to_vec();
    (hedged && context.len() <= LONGEST_CONTEXT).then_some(MlDsaSettings { context, hash })
}

/// CK_HASH_SIGN_ADDITIONAL_CONTEXT, which ends with the hash.
fn hash_ml_dsa(parameter: &Parameter) -> Option<MlDsaSettings> {
    let Ok(Digest(hash)) = purpose(parameter.number(3)?) else { return None };
    ml_dsa(parameter, Some(hash)).filter(|_| hash != Hash::Sha1)
}

/// What RSA-OAEP is told beside the key (CK_RSA_PKCS_OAEP_PARAMS).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OaepSettings {
    pub hash: Hash,
    pub mgf_hash: Hash,
    pub label: Vec<u8>,
}

/// How a mechanism encrypts; CKM_RSA_PKCS signs and encrypts.
pub fn cipher(kind: CK_MECHANISM_TYPE, parameter: &Parameter) -> Result<(Cipher, Option<OaepSettings>), Error> {
    let cipher = match purpose(kind)? {
        Purpose::Cipher(cipher) => cipher,
        Sign(Pkcs1, None) => Cipher::Pkcs1,
        _ => return Err(Error::MechanismInvalid),
    };
    match cipher {
        Cipher::Oaep => oaep(parameter).map(|settings| (cipher, Some(settings))),
        _ => parameter.is_empty().then_some((cipher, None)),
    }
    .ok_or(Error::MechanismParamInvalid)
}

fn oaep(parameter: &Parameter) -> Option<OaepSettings> {
    if !parameter.is_like(size_of::<CK_RSA_PKCS_OAEP_PARAMS>(), 1) {
        return None;
    }
    let Ok(Digest(hash)) = purpose(parameter.number(0)?) else { return None };
    let (mgf_hash, label) = (mask_hash(parameter.number(1)?)?, parameter.behind[0].to_vec());
    // No label may come with any source or none; one comes with the source that says so.
    let specified = label.is_empty() || parameter.number(2)? == CKZ_DATA_SPECIFIED;
    (hash != Hash::Sha1 && specified).then_some(OaepSettings { hash, mgf_hash, label })
}

/// What ECDH is told beside the key (CK_ECDH1_DERIVE_PARAMS).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgreementSettings {
    /// The hash of X9.63's key derivation; None for the shared secret itself.
    pub kdf: Option<Hash>,
    pub shared_info: Vec<u8>,
    pub public_key: Vec<u8>,
}

/// Reads CK_ECDH1_DERIVE_PARAMS.
pub fn agreement(kind: CK_MECHANISM_TYPE, parameter: &Parameter) -> Result<AgreementSettings, Error> {
    if purpose(kind)? != Agree {
        return Err(Error::MechanismInvalid);
    }
    ecdh(parameter).ok_or(Error::MechanismParamInvalid)
}

fn ecdh(parameter: &Parameter) -> Option<AgreementSettings> {
    if !parameter.is_like(size_of::<CK_ECDH1_DERIVE_PARAMS>(), 2) {
        return None;
    }
    let kdf = match parameter.number(0)? {
        CKD_NULL => None,
        CKD_SHA224_KDF => Some(Hash::Sha224),
        CKD_SHA256_KDF => Some(Hash::Sha256),
        CKD_SHA384_KDF => Some(Hash::Sha384),
        CKD_SHA512_KDF => Some(Hash::Sha512),
        _ => return None,
    };
    let (shared_info, public_key) = (parameter.behind[0].to_vec(), parameter.behind[1].to_vec());
    let fits = !public_key.is_empty() && (kdf.is_some() || shared_info.is_empty());
    fits.then_some(AgreementSettings { kdf, shared_info, public_key })
}

fn mask_hash(mgf: CK_RSA_PKCS_MGF_TYPE) -> Option<Hash> {
    match mgf {
        CKG_MGF1_SHA224 => Some(Hash::Sha224),
        CKG_MGF1_SHA256 => Some(Hash::Sha256),
        CKG_MGF1_SHA384 => Some(Hash::Sha384),
        CKG_MGF1_SHA512 => Some(Hash::Sha512),
        CKG_MGF1_SHA3_224 => Some(Hash::Sha3_224),
        CKG_MGF1_SHA3_256 => Some(Hash::Sha3_256),
        CKG_MGF1_SHA3_384 => Some(Hash::Sha3_384),
        CKG_MGF1_SHA3_512 => Some(Hash::Sha3_512),
        _ => None,
    }
}

/// CK_EDDSA_PARAMS { phFlag, ulContextDataLen, pContextData } with no pre-hash and an empty context.
fn is_plain_eddsa(parameter: &[u8]) -> bool {
    parameter.len() == 3 * ULONG
        && parameter[0] == CK_FALSE
        && parameter[ULONG..2 * ULONG].iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameter(hash: CK_ULONG, mgf: CK_ULONG, salt: CK_ULONG) -> Vec<u8> {
        [hash, mgf, salt].iter().flat_map(|number| number.to_ne_bytes()).collect()
    }

    #[test]
    fn no_mechanism_is_listed_twice() {
        let mut kinds = list();
        kinds.sort_unstable();
        kinds.dedup();
        assert_eq!(kinds.len(), TABLE.len());
    }

    #[test]
    fn every_family_is_made_by_a_mechanism() {
        use Family::{Ec, Edwards, MlDsa, MlKem, Montgomery, Rsa};
        for family in [Rsa, Ec, Edwards, Montgomery, MlDsa, MlKem] {
            assert_eq!(purpose(generating(family)), Ok(GeneratePair(family)));
        }
    }

    #[test]
    fn details_tell_sizes_and_no_hardware() {
        for kind in list() {
            assert_eq!(info(kind).unwrap().flags & CKF_HW, 0);
        }
        assert_eq!(info(CKM_ECDSA).unwrap().ulMaxKeySize, 521);
        assert_eq!(info(CKM_AES_GCM).unwrap_err(), Error::MechanismInvalid);
    }

    #[test]
    fn pss_parameters_are_read() {
        let read = settings(Pss, None, &parameter(CKM_SHA256, CKG_MGF1_SHA384, 20).as_slice().into()).unwrap();
        assert_eq!(read, Settings::Pss(PssSettings { hash: Hash::Sha256, mgf_hash: Hash::Sha384, salt_length: 20 }));
    }

    #[test]
    fn pss_parameters_must_fit() {
        let fitting = parameter(CKM_SHA256, CKG_MGF1_SHA256, 32);
        let refused =
            |hash, parameter: &[u8]| settings(Pss, hash, &parameter.into()) == Err(Error::MechanismParamInvalid);
        assert!(refused(None, &[]));
        assert!(refused(None, &fitting[1..]));
        assert!(refused(Some(Hash::Sha512), &fitting));
        assert!(refused(None, &parameter(CKM_SHA_1, CKG_MGF1_SHA1, 20)));
        assert!(refused(None, &parameter(CKM_SHA256, CKG_MGF1_SHA256, CK_ULONG::MAX)));
    }

    #[test]
    fn other_mechanisms_take_no_parameter() {
        let read = |scheme, bytes: &[u8]| settings(scheme, None, &bytes.into());
        assert_eq!(read(Ecdsa, &[0; 8]), Err(Error::MechanismParamInvalid));
        assert_eq!(read(Eddsa, &parameter(0, 0, 0)), Ok(Settings::Nothing));
        assert_eq!(read(Eddsa, &parameter(1, 0, 0)), Err(Error::MechanismParamInvalid));
    }

    #[test]
    fn ml_dsa_may_have_a_context() {
        let read = |hedge: CK_ULONG, context: &[u8]| {
            let bytes = parameter(hedge, 0, 0);
            settings(MlDsa, None, &Parameter { bytes: &bytes, behind: vec![context] })
        };
        let expected = MlDsaSettings { context: b"mail".to_vec(), hash: None };
        assert_eq!(read(CKH_HEDGE_PREFERRED, b"mail"), Ok(Settings::MlDsa(expected)));
        assert_eq!(read(CKH_DETERMINISTIC_REQUIRED, b"mail"), Err(Error::MechanismParamInvalid));
        assert_eq!(read(CKH_HEDGE_REQUIRED, &[1; 256]), Err(Error::MechanismParamInvalid));
        assert_eq!(settings(MlDsa, None, &Parameter::default()), Ok(Settings::Nothing));
        assert_eq!(settings(HashMlDsa, None, &Parameter::default()), Err(Error::MechanismParamInvalid));
    }

    #[test]
    fn hash_ml_dsa_is_told_whose_digest_it_gets() {
        let mut bytes = parameter(0, 0, 0);
        bytes.extend(CKM_SHA512.to_ne_bytes());
        let read = settings(HashMlDsa, None, &Parameter { bytes: &bytes, behind: vec![b""] });
        assert_eq!(read, Ok(Settings::MlDsa(MlDsaSettings { context: vec![], hash: Some(Hash::Sha512) })));
    }
}
