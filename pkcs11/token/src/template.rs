//! Templates by which programs make and change objects (PKCS #11 v2.40, sections 4.1 and 5.7).
//!
//! Always true: what is in a `Given` is known, accepted where it was given, and has the form that its attribute wants.

use std::collections::BTreeMap;

use privyseal_sys::*;

use crate::error::Error;

/// The attributes of a template as a program gave them.
pub type Attributes = Vec<(CK_ATTRIBUTE_TYPE, Vec<u8>)>;

/// How the value of an attribute looks in C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Truth,
    Number,
    /// Eight characters, or none.
    Date,
    /// UTF-8.
    Text,
    Bytes,
    /// A list of CK_MECHANISM_TYPE.
    Numbers,
}

use Form::{Bytes, Date, Number, Numbers, Text, Truth};

/// Every attribute that a template may name.
const FORMS: [(CK_ATTRIBUTE_TYPE, Form); 62] = [
    (CKA_CLASS, Number),
    (CKA_TOKEN, Truth),
    (CKA_PRIVATE, Truth),
    (CKA_LABEL, Text),
    (CKA_UNIQUE_ID, Text),
    (CKA_APPLICATION, Text),
    (CKA_VALUE, Bytes),
    (CKA_OBJECT_ID, Bytes),
    (CKA_CERTIFICATE_TYPE, Number),
    (CKA_ISSUER, Bytes),
    (CKA_SERIAL_NUMBER, Bytes),
    (CKA_OWNER, Bytes),
    (CKA_TRUSTED, Truth),
    (CKA_CERTIFICATE_CATEGORY, Number),
    (CKA_JAVA_MIDP_SECURITY_DOMAIN, Number),
    (CKA_URL, Text),
    (CKA_HASH_OF_SUBJECT_PUBLIC_KEY, Bytes),
    (CKA_HASH_OF_ISSUER_PUBLIC_KEY, Bytes),
    (CKA_NAME_HASH_ALGORITHM, Number),
    (CKA_CHECK_VALUE, Bytes),
    (CKA_KEY_TYPE, Number),
    (CKA_SUBJECT, Bytes),
    (CKA_ID, Bytes),
    (CKA_SENSITIVE, Truth),
    (CKA_ENCRYPT, Truth),
    (CKA_DECRYPT, Truth),
    (CKA_WRAP, Truth),
    (CKA_UNWRAP, Truth),
    (CKA_SIGN, Truth),
    (CKA_SIGN_RECOVER, Truth),
    (CKA_VERIFY, Truth),
    (CKA_VERIFY_RECOVER, Truth),
    (CKA_DERIVE, Truth),
    (CKA_START_DATE, Date),
    (CKA_END_DATE, Date),
    (CKA_MODULUS, Bytes),
    (CKA_MODULUS_BITS, Number),
    (CKA_PUBLIC_EXPONENT, Bytes),
    (CKA_PRIVATE_EXPONENT, Bytes),
    (CKA_PRIME_1, Bytes),
    (CKA_PRIME_2, Bytes),
    (CKA_EXPONENT_1, Bytes),
    (CKA_EXPONENT_2, Bytes),
    (CKA_COEFFICIENT, Bytes),
    (CKA_PUBLIC_KEY_INFO, Bytes),
    (CKA_VALUE_LEN, Number),
    (CKA_EXTRACTABLE, Truth),
    (CKA_LOCAL, Truth),
    (CKA_NEVER_EXTRACTABLE, Truth),
    (CKA_ALWAYS_SENSITIVE, Truth),
    (CKA_KEY_GEN_MECHANISM, Number),
    (CKA_MODIFIABLE, Truth),
    (CKA_COPYABLE, Truth),
    (CKA_DESTROYABLE, Truth),
    (CKA_EC_PARAMS, Bytes),
    (CKA_EC_POINT, Bytes),
    (CKA_ALWAYS_AUTHENTICATE, Truth),
    (CKA_WRAP_WITH_TRUSTED, Truth),
    (CKA_ALLOWED_MECHANISMS, Numbers),
    (CKA_PARAMETER_SET, Number),
    (CKA_ENCAPSULATE, Truth),
    (CKA_DECAPSULATE, Truth),
];

/// Attributes that only the token sets (PKCS #11 v2.40, table 15, footnotes 2, 4 and 6).
const TOKENS_OWN: [CK_ATTRIBUTE_TYPE; 6] =
    [CKA_UNIQUE_ID, CKA_LOCAL, CKA_NEVER_EXTRACTABLE, CKA_ALWAYS_SENSITIVE, CKA_KEY_GEN_MECHANISM, CKA_CHECK_VALUE];

/// What every object has.
const COMMON: [CK_ATTRIBUTE_TYPE; 7] =
    [CKA_CLASS, CKA_TOKEN, CKA_PRIVATE, CKA_LABEL, CKA_MODIFIABLE, CKA_COPYABLE, CKA_DESTROYABLE];

/// A template that has been looked through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given(pub BTreeMap<CK_ATTRIBUTE_TYPE, Vec<u8>>);

impl Given {
    /// Looks through a template. Attributes that are neither COMMON nor in `accepted` are `AttributeTypeInvalid`, the
    /// token's own are `AttributeReadOnly`, values of another form are `AttributeValueInvalid`, and an attribute with two
    /// values is `TemplateInconsistent`.
    pub fn new(attributes: Attributes, accepted: &[CK_ATTRIBUTE_TYPE]) -> Result<Given, Error> {
        let mut given = BTreeMap::new();
        for (kind, value) in attributes {
            check(kind, &value, accepted)?;
            match given.insert(kind, value) {
                Some(before) if given.get(&kind) != Some(&before) => return Err(Error::TemplateInconsistent),
                _ => {}
            }
        }
        Ok(Given(given))
    }

    /// The bytes of an attribute.
    pub fn bytes(&self, kind: CK_ATTRIBUTE_TYPE) -> Option<&[u8]> {
        self.0.get(&kind).map(Vec::as_slice)
    }

    /// The bytes of an attribute that has to be there.
    pub fn required(&self, kind: CK_ATTRIBUTE_TYPE) -> Result<&[u8], Error> {
        self.bytes(kind).ok_or(Error::TemplateIncomplete)
    }

    /// A truth value.
    pub fn truth(&self, kind: CK_ATTRIBUTE_TYPE) -> Option<bool> {
        self.bytes(kind).map(|value| value == [CK_TRUE])
    }

    /// A number.
    pub fn number(&self, kind: CK_ATTRIBUTE_TYPE) -> Option<CK_ULONG> {
        self.bytes(kind).and_then(number)
    }

    /// A text; None where it is not there or empty.
    pub fn text(&self, kind: CK_ATTRIBUTE_TYPE) -> Option<&str> {
        self.bytes(kind).and_then(|value| std::str::from_utf8(value).ok()).filter(|text| !text.is_empty())
    }

    /// `TemplateInconsistent` where the attribute has another value than this.
    pub fn must_be(&self, kind: CK_ATTRIBUTE_TYPE, wanted: &[u8]) -> Result<(), Error> {
        match self.bytes(kind) {
            Some(value) if value != wanted => Err(Error::TemplateInconsistent),
            _ => Ok(()),
        }
    }
}

/// A number by its bytes in C.
pub fn number(value: &[u8]) -> Option<CK_ULONG> {
    value.try_into().ok().map(CK_ULONG::from_ne_bytes)
}

fn check(kind: CK_ATTRIBUTE_TYPE, value: &[u8], accepted: &[CK_ATTRIBUTE_TYPE]) -> Result<(), Error> {
    let (_, form) = FORMS.iter().find(|(known, _)| *known == kind).ok_or(Error::AttributeTypeInvalid)?;
    if TOKENS_OWN.contains(&kind) {
        return Err(Error::AttributeReadOnly);
    }
    if !COMMON.contains(&kind) && !accepted.contains(&kind) {
        return Err(Error::AttributeTypeInvalid);
    }
    let fits = match form {
        Truth => matches!(value, [CK_TRUE] | [CK_FALSE]),
        Number => value.len() == size_of::<CK_ULONG>(),
        Numbers => value.len() % size_of::<CK_MECHANISM_TYPE>() == 0,
        Date => value.is_empty() || (value.len() == 8 && value.iter().all(u8::is_ascii_digit)),
        Text => std::str::from_utf8(value).is_ok(),
        Bytes => true,
    };
    fits.then_some(()).ok_or(Error::AttributeValueInvalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(attributes: &[(CK_ATTRIBUTE_TYPE, &[u8])]) -> Result<Given, Error> {
        Given::new(attributes.iter().map(|(kind, value)| (*kind, value.to_vec())).collect(), &[CKA_ID, CKA_SIGN])
    }

    #[test]
    fn no_attribute_has_two_forms() {
        let mut kinds: Vec<_> = FORMS.iter().map(|(kind, _)| *kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        assert_eq!(kinds.len(), FORMS.len());
    }

    #[test]
    fn values_are_read_back() {
        let read = given(&[(CKA_LABEL, b"release"), (CKA_SIGN, &[1]), (CKA_CLASS, &3u64.to_ne_bytes())]).unwrap();
        assert_eq!(
            (read.text(CKA_LABEL), read.truth(CKA_SIGN), read.number(CKA_CLASS)),
            (Some("release"), Some(true), Some(3))
        );
        assert_eq!((read.truth(CKA_TOKEN), read.required(CKA_ID)), (None, Err(Error::TemplateIncomplete)));
        assert_eq!(read.must_be(CKA_SIGN, &[0]), Err(Error::TemplateInconsistent));
        assert_eq!(read.must_be(CKA_TOKEN, &[0]), Ok(()));
    }

    #[test]
    fn each_mistake_has_its_code() {
        for (attributes, error) in [
            (&[(CKA_SIGN, &[2][..])][..], Error::AttributeValueInvalid),
            (&[(CKA_SIGN, &[][..])], Error::AttributeValueInvalid),
            (&[(CKA_CLASS, &[3][..])], Error::AttributeValueInvalid),
            (&[(CKA_LABEL, &[0xff][..])], Error::AttributeValueInvalid),
            (&[(CKA_VERIFY, &[1][..])], Error::AttributeTypeInvalid),
            (&[(0x8000_0001, &[1][..])], Error::AttributeTypeInvalid),
            (&[(CKA_LOCAL, &[1][..])], Error::AttributeReadOnly),
            (&[(CKA_SIGN, &[1][..]), (CKA_SIGN, &[0][..])], Error::TemplateInconsistent),
        ] {
            assert_eq!(given(attributes), Err(error), "{attributes:?}");
        }
        assert!(given(&[(CKA_SIGN, &[1][..]), (CKA_SIGN, &[1][..])]).is_ok());
    }
}
