//! The attributes of key objects (PKCS #11 v2.40, sections 4.4 to 4.9) and templates over them.
//!
//! Always true: the values that make up a private key are never here; asking for them is `AttributeSensitive`.

use std::ops::RangeInclusive;

use privyseal_sys::*;

use crate::der;
use crate::error::Error;
use crate::key::{to_hex, Class, Key};
use crate::mechanism;
use crate::plain::Plain;
use crate::public_key::PublicKey;

/// Bytes that CKA_ID may have (docs/reference/rest.md, `object_id`).
const ID_LENGTHS: RangeInclusive<usize> = 1..=64;

/// The value of one attribute of a key's public or private object, as its bytes in C.
pub fn value(key: &Key, class: Class, kind: CK_ATTRIBUTE_TYPE) -> Result<Vec<u8>, Error> {
    common(key, class, kind)
        .or_else(|| match class {
            Class::Public => of_public(key, kind),
            Class::Private => of_private(key, kind),
        })
        .or_else(|| of_type(&key.public, kind))
        .ok_or_else(|| missing(&key.public, class, kind))
}

/// The bytes of all attributes together, for `C_GetObjectSize`.
pub fn size(key: &Key, class: Class) -> usize {
    all(key, class).into_iter().map(|(_, value)| value.len()).sum()
}

/// Every attribute that has a value.
pub fn all(key: &Key, class: Class) -> Vec<(CK_ATTRIBUTE_TYPE, Vec<u8>)> {
    let kinds = (0..=CKA_ALWAYS_AUTHENTICATE).chain([
        CKA_ALLOWED_MECHANISMS,
        CKA_PARAMETER_SET,
        CKA_ENCAPSULATE,
        CKA_DECAPSULATE,
    ]);
    kinds.filter_map(|kind| Some((kind, value(key, class, kind).ok()?))).collect()
}

fn common(key: &Key, class: Class, kind: CK_ATTRIBUTE_TYPE) -> Option<Vec<u8>> {
    Some(match kind {
        CKA_CLASS => ulong(class.code()),
        CKA_TOKEN | CKA_LOCAL => truth(true),
        // A program has to find the private key before it logs in; the appliance asks for the PIN when it is used.
        CKA_PRIVATE => truth(false),
        CKA_COPYABLE => truth(false),
        CKA_DERIVE => truth(class == Class::Private && key.record.allows("derive")),
        CKA_MODIFIABLE => truth(key.record.allows("key:manage")),
        // The two objects are one key, which ends with its private half.
        CKA_DESTROYABLE => truth(class == Class::Private && key.record.allows("key:destroy")),
        CKA_LABEL => key.record.label.clone().into_bytes(),
        CKA_ID => key.object_id(),
        CKA_KEY_TYPE => ulong(key.public.family().key_type()),
        CKA_KEY_GEN_MECHANISM => ulong(mechanism::generating(key.public.family())),
        CKA_SUBJECT | CKA_START_DATE | CKA_END_DATE => vec![],
        CKA_PUBLIC_KEY_INFO => key.record.public_key.clone(),
        CKA_ALLOWED_MECHANISMS => mechanism::allowed(&key.public).into_iter().flat_map(CK_ULONG::to_ne_bytes).collect(),
        _ => return None,
    })
}

fn of_public(key: &Key, kind: CK_ATTRIBUTE_TYPE) -> Option<Vec<u8>> {
    match (kind, &key.public) {
        (CKA_VERIFY, public) => Some(truth(public.signature_length() > 0)),
        (CKA_ENCRYPT, PublicKey::Rsa { .. }) => Some(truth(key.record.allows("encrypt"))),
        (CKA_ENCAPSULATE, PublicKey::MlKem { .. }) => Some(truth(key.record.allows("encapsulate"))),
        (CKA_ENCRYPT | CKA_VERIFY_RECOVER | CKA_WRAP | CKA_TRUSTED, _) => Some(truth(false)),
        (CKA_MODULUS_BITS, PublicKey::Rsa { modulus, .. }) => Some(ulong(bits(modulus))),
        (CKA_VALUE, PublicKey::MlDsa { value, .. } | PublicKey::MlKem { value, .. }) => Some(value.clone()),
        _ => None,
    }
}

fn of_private(key: &Key, kind: CK_ATTRIBUTE_TYPE) -> Option<Vec<u8>> {
    match kind {
        CKA_SIGN => Some(truth(key.record.allows("key:sign"))),
        CKA_SENSITIVE | CKA_ALWAYS_SENSITIVE => Some(truth(true)),
        CKA_EXTRACTABLE => Some(truth(key.record.policy.exportable)),
        CKA_NEVER_EXTRACTABLE => Some(truth(!key.record.policy.exportable)),
        CKA_ALWAYS_AUTHENTICATE | CKA_WRAP_WITH_TRUSTED => Some(truth(false)),
        CKA_DECRYPT => Some(truth(key.record.allows("decrypt"))),
        CKA_DECAPSULATE => Some(truth(key.record.allows("decapsulate"))),
        CKA_SIGN_RECOVER | CKA_UNWRAP => Some(truth(false)),
        _ => None,
    }
}

fn of_type(public: &PublicKey, kind: CK_ATTRIBUTE_TYPE) -> Option<Vec<u8>> {
    match (public, kind) {
        (PublicKey::Rsa { modulus, .. }, CKA_MODULUS) => Some(modulus.clone()),
        (PublicKey::Rsa { exponent, .. }, CKA_PUBLIC_EXPONENT) => Some(exponent.clone()),
        (
            PublicKey::Ec { parameters, .. }
            | PublicKey::Edwards { parameters, .. }
            | PublicKey::Montgomery { parameters, .. },
            CKA_EC_PARAMS,
        ) => Some(parameters.clone()),
        // The private object shows the point too: programs that hold only that half need it to know the public key.
        (
            PublicKey::Ec { point, .. } | PublicKey::Edwards { point, .. } | PublicKey::Montgomery { point, .. },
            CKA_EC_POINT,
        ) => Some(der::octet_string(point)),
        (PublicKey::MlDsa { set, .. } | PublicKey::MlKem { set, .. }, CKA_PARAMETER_SET) => Some(ulong(*set)),
        _ => None,
    }
}

fn missing(public: &PublicKey, class: Class, kind: CK_ATTRIBUTE_TYPE) -> Error {
    let secret = match public {
        PublicKey::Rsa { .. } => matches!(
            kind,
            CKA_PRIVATE_EXPONENT | CKA_PRIME_1 | CKA_PRIME_2 | CKA_EXPONENT_1 | CKA_EXPONENT_2 | CKA_COEFFICIENT
        ),
        PublicKey::MlDsa { .. } | PublicKey::MlKem { .. } => matches!(kind, CKA_VALUE | CKA_SEED),
        _ => kind == CKA_VALUE,
    };
    match class {
        Class::Private if secret => Error::AttributeSensitive,
        _ => Error::AttributeTypeInvalid,
    }
}

/// A number as its bytes in C.
pub fn ulong(value: CK_ULONG) -> Vec<u8> {
    value.to_ne_bytes().to_vec()
}

/// A truth value as its byte in C.
pub fn truth(value: bool) -> Vec<u8> {
    vec![if value { CK_TRUE } else { CK_FALSE }]
}

fn bits(modulus: &[u8]) -> CK_ULONG {
    let unused = modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
    (8 * modulus.len() - unused) as CK_ULONG
}

/// What a find wants: every attribute with exactly this value. An empty template wants all objects.
#[derive(Clone, Debug, Default)]
pub struct Template {
    wanted: Vec<(CK_ATTRIBUTE_TYPE, Vec<u8>)>,
    /// Whether keys are passed over that OpenSSL's engine cannot use.
    for_the_engine: bool,
}

impl Template {
    /// Takes the attributes over as the program gave them.
    pub fn new(attributes: Vec<(CK_ATTRIBUTE_TYPE, Vec<u8>)>) -> Template {
        Template { wanted: attributes, for_the_engine: false }
    }

    /// The same for OpenSSL's engine. Its libp11 0.4.12 and older (Debian 11 and 12) ask for all keys of a class, by
    /// that alone, and give up on every one of them when one is neither RSA nor EC.
    pub fn for_the_engine(self) -> Template {
        let for_the_engine = self.wanted.len() == 1 && self.wanted(CKA_CLASS).is_some();
        Template { for_the_engine, ..self }
    }

    /// Whether the object has all the wanted values.
    pub fn matches(&self, key: &Key, class: Class) -> bool {
        let usable = !self.for_the_engine || matches!(key.public, PublicKey::Rsa { .. } | PublicKey::Ec { .. });
        usable && self.wanted.iter().all(|(kind, wanted)| value(key, class, *kind).is_ok_and(|found| found == *wanted))
    }

    /// Whether an object that is nothing but its attributes has all the wanted values.
    pub fn matches_plain(&self, object: &Plain) -> bool {
        self.wanted.iter().all(|(kind, wanted)| object.value(*kind).is_ok_and(|found| *found == *wanted))
    }

    /// Whether it can match no key at all, for example because it wants certificates. The appliance refuses a search for
    /// an id that no key can have.
    pub fn is_hopeless(&self) -> bool {
        let classes = [Class::Public, Class::Private].map(|class| ulong(class.code()));
        let label = self
            .wanted(CKA_LABEL)
            .is_some_and(|label| label.is_empty() || label.contains(&0) || std::str::from_utf8(label).is_err());
        let class = self.wanted(CKA_CLASS).is_some_and(|class| !classes.iter().any(|known| known == class));
        let token = self.wanted(CKA_TOKEN).is_some_and(|token| token == [CK_FALSE]);
        let id = self.wanted(CKA_ID).is_some_and(|id| !ID_LENGTHS.contains(&id.len()));
        label || class || token || id
    }

    /// Whether it names the class of private keys.
    pub fn names_private_keys(&self) -> bool {
        self.wanted(CKA_CLASS).is_some_and(|class| class == ulong(CKO_PRIVATE_KEY))
    }

    /// The wanted label, for the appliance to search by.
    pub fn label(&self) -> Option<String> {
        self.wanted(CKA_LABEL).and_then(|label| String::from_utf8(label.to_vec()).ok())
    }

    /// The wanted CKA_ID as the appliance writes it.
    pub fn object_id(&self) -> Option<String> {
        self.wanted(CKA_ID).map(to_hex)
    }

    fn wanted(&self, kind: CK_ATTRIBUTE_TYPE) -> Option<&[u8]> {
        self.wanted.iter().find(|(listed, _)| *listed == kind).map(|(_, value)| &value[..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::tests::{ec_key, edwards_key, rsa_key};

    #[test]
    fn a_private_key_is_findable_sensitive_and_stays_where_it_is() {
        let key = ec_key();
        let private = |kind| value(&key, Class::Private, kind).unwrap();
        for kind in [CKA_SENSITIVE, CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE, CKA_TOKEN, CKA_LOCAL, CKA_SIGN] {
            assert_eq!(private(kind), [CK_TRUE]);
        }
        for kind in [CKA_PRIVATE, CKA_EXTRACTABLE, CKA_ALWAYS_AUTHENTICATE, CKA_UNWRAP, CKA_DERIVE, CKA_DECRYPT] {
            assert_eq!(private(kind), [CK_FALSE]);
        }
    }

    #[test]
    fn private_values_are_sensitive() {
        let refusal = |key: &Key, class, kind| value(key, class, kind).unwrap_err();
        assert_eq!(refusal(&ec_key(), Class::Private, CKA_VALUE), Error::AttributeSensitive);
        assert_eq!(refusal(&rsa_key(), Class::Private, CKA_PRIME_1), Error::AttributeSensitive);
        assert_eq!(refusal(&rsa_key(), Class::Public, CKA_PRIME_1), Error::AttributeTypeInvalid);
        assert_eq!(refusal(&rsa_key(), Class::Private, CKA_VALUE), Error::AttributeTypeInvalid);
        assert_eq!(refusal(&ec_key(), Class::Public, CKA_MODULUS), Error::AttributeTypeInvalid);
    }

    #[test]
    fn each_type_shows_its_public_key() {
        assert_eq!(value(&ec_key(), Class::Public, CKA_EC_POINT).unwrap()[..3], [4, 65, 4]);
        assert_eq!(value(&edwards_key(), Class::Private, CKA_EC_POINT).unwrap()[..3], [4, 32, 0x11]);
        assert_eq!(value(&rsa_key(), Class::Public, CKA_MODULUS_BITS).unwrap(), ulong(16));
        assert_eq!(value(&rsa_key(), Class::Private, CKA_PUBLIC_EXPONENT).unwrap(), [1, 0, 1]);
    }

    #[test]
    fn a_key_without_the_right_to_sign_says_so() {
        let mut key = ec_key();
        key.record.operations = vec!["key:read".to_owned()];
        assert_eq!(value(&key, Class::Private, CKA_SIGN).unwrap(), [CK_FALSE]);
    }

    #[test]
    fn templates_match_every_value_or_not_at_all() {
        let key = ec_key();
        let template = |attributes: &[(CK_ATTRIBUTE_TYPE, &[u8])]| {
            Template::new(attributes.iter().map(|(kind, value)| (*kind, value.to_vec())).collect())
        };
        let private = ulong(CKO_PRIVATE_KEY);
        assert!(template(&[]).matches(&key, Class::Public));
        assert!(template(&[(CKA_LABEL, b"release"), (CKA_CLASS, &private)]).matches(&key, Class::Private));
        assert!(!template(&[(CKA_LABEL, b"release"), (CKA_CLASS, &private)]).matches(&key, Class::Public));
        assert!(!template(&[(CKA_LABEL, b"releas")]).matches(&key, Class::Public));
        assert!(!template(&[(CKA_MODULUS, b"")]).matches(&key, Class::Public));
    }

    #[test]
    fn a_search_for_certificates_asks_nobody() {
        let certificates = Template::new(vec![(CKA_CLASS, ulong(CKO_CERTIFICATE))]);
        let of_sessions = Template::new(vec![(CKA_TOKEN, truth(false))]);
        assert!(certificates.is_hopeless() && of_sessions.is_hopeless());
        assert!(!Template::default().is_hopeless());
    }

    #[test]
    fn a_search_for_a_label_that_no_key_can_have_asks_nobody() {
        let hopeless = |label: &[u8]| Template::new(vec![(CKA_LABEL, label.to_vec())]).is_hopeless();
        assert_eq!([&b""[..], b"a\0b", b"\xff", b"ab"].map(hopeless), [true, true, true, false]);
    }

    #[test]
    fn a_search_for_an_id_that_no_key_can_have_asks_nobody() {
        let hopeless = |length| Template::new(vec![(CKA_ID, vec![7; length])]).is_hopeless();
        assert_eq!([0, 1, 64, 65].map(hopeless), [true, false, false, true]);
    }

    #[test]
    fn the_engine_is_shown_keys_that_it_can_use() {
        let of_class = Template::new(vec![(CKA_CLASS, ulong(CKO_PRIVATE_KEY))]);
        let by_label = Template::new(vec![(CKA_CLASS, ulong(CKO_PRIVATE_KEY)), (CKA_LABEL, b"release".to_vec())]);
        for template in [of_class.clone(), by_label.clone(), by_label.for_the_engine()] {
            assert!(template.matches(&edwards_key(), Class::Private));
        }
        assert!(!of_class.clone().for_the_engine().matches(&edwards_key(), Class::Private));
        assert!(of_class.for_the_engine().matches(&ec_key(), Class::Private));
    }
}
