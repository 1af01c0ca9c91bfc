//! Objects that are nothing but their attributes: certificates, data, public keys and secrets that came out (PKCS #11 v2.40, sections 4.5 to 4.10).
//!
//! Always true: an object has every attribute of its class, so one that a program did not give has its default; a public
//! key's attributes and its SubjectPublicKeyInfo say the same.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use privyseal_sys::*;
use zeroize::Zeroizing;

use crate::attributes::{self, truth, ulong};
use crate::error::Error;
use crate::key::{Class, Key};
use crate::lock::lock;
use crate::public_key::PublicKey;
use crate::template::{Attributes, Given};

/// One object.
#[derive(Clone, Debug)]
pub struct Plain {
    attributes: BTreeMap<CK_ATTRIBUTE_TYPE, Zeroizing<Vec<u8>>>,
}

const DATA: [CK_ATTRIBUTE_TYPE; 3] = [CKA_APPLICATION, CKA_OBJECT_ID, CKA_VALUE];
const CERTIFICATE: [CK_ATTRIBUTE_TYPE; 15] = [
    CKA_CERTIFICATE_TYPE,
    CKA_TRUSTED,
    CKA_CERTIFICATE_CATEGORY,
    CKA_START_DATE,
    CKA_END_DATE,
    CKA_PUBLIC_KEY_INFO,
    CKA_SUBJECT,
    CKA_ID,
    CKA_ISSUER,
    CKA_SERIAL_NUMBER,
    CKA_VALUE,
    CKA_URL,
    CKA_HASH_OF_SUBJECT_PUBLIC_KEY,
    CKA_HASH_OF_ISSUER_PUBLIC_KEY,
    CKA_JAVA_MIDP_SECURITY_DOMAIN,
];
const PUBLIC_KEY: [CK_ATTRIBUTE_TYPE; 20] = [
    CKA_KEY_TYPE,
    CKA_ID,
    CKA_START_DATE,
    CKA_END_DATE,
    CKA_DERIVE,
    CKA_ALLOWED_MECHANISMS,
    CKA_SUBJECT,
    CKA_ENCRYPT,
    CKA_VERIFY,
    CKA_VERIFY_RECOVER,
    CKA_WRAP,
    CKA_TRUSTED,
    CKA_PUBLIC_KEY_INFO,
    CKA_MODULUS,
    CKA_PUBLIC_EXPONENT,
    CKA_EC_PARAMS,
    CKA_EC_POINT,
    CKA_ENCAPSULATE,
    CKA_PARAMETER_SET,
    CKA_VALUE,
];

impl Plain {
    /// Makes an object of a template. Keys other than public ones come to the appliance by its import alone.
    pub fn new(template: Attributes) -> Result<Plain, Error> {
        let class = template.iter().find(|(kind, _)| *kind == CKA_CLASS).ok_or(Error::TemplateIncomplete)?;
        let class = <[u8; size_of::<CK_ULONG>()]>::try_from(&class.1[..]).map_err(|_| Error::AttributeValueInvalid)?;
        match CK_ULONG::from_ne_bytes(class) {
            CKO_DATA => data(Given::new(template, &DATA)?),
            CKO_CERTIFICATE => certificate(Given::new(template, &CERTIFICATE)?),
            CKO_PUBLIC_KEY => public_key(Given::new(template, &PUBLIC_KEY)?),
            CKO_PRIVATE_KEY | CKO_SECRET_KEY => Err(Error::TemplateInconsistent),
            _ => Err(Error::AttributeValueInvalid),
        }
    }

    /// The value of an attribute.
    pub fn value(&self, kind: CK_ATTRIBUTE_TYPE) -> Result<Zeroizing<Vec<u8>>, Error> {
        let hidden = kind == CKA_VALUE && (self.is(CKA_SENSITIVE) || !self.may_leave());
        match self.attributes.get(&kind) {
            Some(_) if hidden => Err(Error::AttributeSensitive),
            Some(value) => Ok(value.clone()),
            None => Err(Error::AttributeTypeInvalid),
        }
    }

    /// Bytes of all attributes.
    pub fn size(&self) -> usize {
        self.attributes.values().map(|value| value.len()).sum()
    }

    /// Whether nothing keeps its value in: only a secret key has CKA_EXTRACTABLE.
    fn may_leave(&self) -> bool {
        !self.attributes.contains_key(&CKA_EXTRACTABLE) || self.is(CKA_EXTRACTABLE)
    }

    /// Whether it is a public key.
    pub fn is_public_key(&self) -> bool {
        self.attributes.get(&CKA_CLASS).is_some_and(|class| **class == ulong(CKO_PUBLIC_KEY))
    }

    /// Whether a truth value is true.
    pub fn is(&self, kind: CK_ATTRIBUTE_TYPE) -> bool {
        self.attributes.get(&kind).is_some_and(|value| value[..] == [CK_TRUE])
    }

    /// The object with some attributes changed. `CKA_CLASS` and what makes up a key stay as they are.
    pub fn changed(&self, changes: Attributes) -> Result<Plain, Error> {
        let changeable = [CKA_LABEL, CKA_ID, CKA_SUBJECT, CKA_APPLICATION, CKA_START_DATE, CKA_END_DATE];
        let known: Vec<_> = self.attributes.keys().copied().collect();
        let mut object = self.clone();
        for (kind, value) in Given::new(changes, &known)?.0 {
            let stricter =
                (kind == CKA_SENSITIVE && value == [CK_TRUE]) || (kind == CKA_EXTRACTABLE && value == [CK_FALSE]);
            match object.attributes.get(&kind) {
                None => return Err(Error::AttributeTypeInvalid),
                Some(before) if **before != value && !changeable.contains(&kind) && !stricter => {
                    return Err(Error::AttributeReadOnly)
                }
                Some(_) => object.attributes.insert(kind, Zeroizing::new(value)),
            };
        }
        Ok(object)
    }

    /// A copy, in which a few more attributes may differ (PKCS #11 v2.40, section 5.7.2).
    pub fn copied(&self, changes: Attributes) -> Result<Plain, Error> {
        let (also, changes): (Vec<_>, Vec<_>) =
            changes.into_iter().partition(|(kind, _)| [CKA_TOKEN, CKA_PRIVATE, CKA_MODIFIABLE].contains(kind));
        let mut copy = self.changed(changes)?;
        copy.attributes.extend(Given::new(also, &[])?.0.into_iter().map(|(kind, value)| (kind, Zeroizing::new(value))));
        Ok(copy)
    }
}

/// What the template of a secret that comes out of an operation may name.
const SECRET_KEY: [CK_ATTRIBUTE_TYPE; 18] = [
    CKA_KEY_TYPE,
    CKA_ID,
    CKA_START_DATE,
    CKA_END_DATE,
    CKA_ALLOWED_MECHANISMS,
    CKA_SENSITIVE,
    CKA_EXTRACTABLE,
    CKA_VALUE_LEN,
    CKA_ENCRYPT,
    CKA_DECRYPT,
    CKA_SIGN,
    CKA_VERIFY,
    CKA_WRAP,
    CKA_UNWRAP,
    CKA_DERIVE,
    CKA_TRUSTED,
    CKA_WRAP_WITH_TRUSTED,
    CKA_SIGN_RECOVER,
];

/// A secret key of a session that is still to come out of an operation.
#[derive(Clone, Debug)]
pub struct SecretOrder {
    given: Given,
    /// Bytes that the program wants of it.
    pub length: Option<usize>,
}

impl SecretOrder {
    /// Reads its template. It lives in this process alone, so one of the token is `TemplateInconsistent`.
    pub fn new(template: Attributes) -> Result<SecretOrder, Error> {
        let given = Given::new(template, &SECRET_KEY)?;
        given.must_be(CKA_CLASS, &ulong(CKO_SECRET_KEY))?;
        given.must_be(CKA_TOKEN, &truth(false))?;
        given.must_be(CKA_TRUSTED, &truth(false))?;
        let length = given.number(CKA_VALUE_LEN).map(|length| length as usize);
        match given.number(CKA_KEY_TYPE).unwrap_or(CKK_GENERIC_SECRET) {
            CKK_GENERIC_SECRET if length != Some(0) => {}
            CKK_AES if matches!(length, None | Some(16 | 24 | 32)) => {}
            CKK_GENERIC_SECRET | CKK_AES => return Err(Error::AttributeValueInvalid),
            _ => return Err(Error::TemplateInconsistent),
        }
        Ok(SecretOrder { given, length })
    }

    /// The key. Of a secret that is longer than wanted the last bytes are taken (v2.40, section 2.3.8 of the mechanisms).
    pub fn fulfil(mut self, secret: &[u8]) -> Result<Plain, Error> {
        let length = self.length.unwrap_or(secret.len());
        let value = secret.len().checked_sub(length).map(|start| &secret[start..]).ok_or(Error::KeySizeRange)?;
        self.given.0.remove(&CKA_VALUE_LEN);
        let is_aes = self.given.number(CKA_KEY_TYPE) == Some(CKK_AES);
        if is_aes && !matches!(value.len(), 16 | 24 | 32) {
            return Err(Error::KeySizeRange);
        }
        let (sensitive, extractable) =
            (self.given.truth(CKA_SENSITIVE).unwrap_or(false), self.given.truth(CKA_EXTRACTABLE).unwrap_or(true));
        let usage = [CKA_ENCRYPT, CKA_DECRYPT, CKA_SIGN, CKA_VERIFY, CKA_WRAP, CKA_UNWRAP, CKA_DERIVE];
        // Nothing here works with it: its value is what the program wants of it.
        usage.iter().for_each(|kind| _ = self.given.0.insert(*kind, truth(false)));
        let defaults = [
            (CKA_CLASS, ulong(CKO_SECRET_KEY)),
            (CKA_KEY_TYPE, ulong(CKK_GENERIC_SECRET)),
            (CKA_ID, vec![]),
            (CKA_START_DATE, vec![]),
            (CKA_END_DATE, vec![]),
            (CKA_LOCAL, truth(false)),
            (CKA_SENSITIVE, truth(sensitive)),
            (CKA_EXTRACTABLE, truth(extractable)),
            (CKA_ALWAYS_SENSITIVE, truth(false)),
            (CKA_NEVER_EXTRACTABLE, truth(false)),
            (CKA_KEY_GEN_MECHANISM, ulong(CK_UNAVAILABLE_INFORMATION)),
            (CKA_VALUE_LEN, ulong(value.len() as CK_ULONG)),
        ];
        let mut key = finish(self.given, &defaults);
        key.attributes.insert(CKA_VALUE, Zeroizing::new(value.to_vec()));
        Ok(key)
    }
}

fn data(given: Given) -> Result<Plain, Error> {
    Ok(finish(given, &[(CKA_APPLICATION, vec![]), (CKA_OBJECT_ID, vec![]), (CKA_VALUE, vec![])]))
}

/// X.509 public key certificates only; a program cannot call one trusted.
fn certificate(given: Given) -> Result<Plain, Error> {
    given.required(CKA_CERTIFICATE_TYPE)?;
    given.required(CKA_SUBJECT)?;
    given.required(CKA_VALUE)?;
    if given.number(CKA_CERTIFICATE_TYPE) != Some(CKC_X_509) || given.truth(CKA_TRUSTED) == Some(true) {
        return Err(Error::AttributeValueInvalid);
    }
    let empty = [CKA_START_DATE, CKA_END_DATE, CKA_PUBLIC_KEY_INFO, CKA_ID, CKA_ISSUER, CKA_SERIAL_NUMBER, CKA_URL];
    let mut defaults: Attributes = empty.map(|kind| (kind, vec![])).to_vec();
    defaults.push((CKA_TRUSTED, truth(false)));
    defaults.push((CKA_CERTIFICATE_CATEGORY, ulong(CK_CERTIFICATE_CATEGORY_UNSPECIFIED)));
    Ok(finish(given, &defaults))
}

fn public_key(given: Given) -> Result<Plain, Error> {
    let spki = spki(&given)?;
    given.must_be(CKA_PUBLIC_KEY_INFO, &spki)?;
    if given.truth(CKA_TRUSTED) == Some(true) {
        return Err(Error::AttributeValueInvalid);
    }
    let key = Key::foreign(spki).ok_or(Error::AttributeValueInvalid)?;
    let mut defaults = attributes::all(&key, Class::Public);
    // It was made elsewhere, by nobody knows what, and is used elsewhere.
    defaults.extend([(CKA_LOCAL, truth(false)), (CKA_VERIFY, truth(false)), (CKA_ID, vec![])]);
    defaults.push((CKA_KEY_GEN_MECHANISM, ulong(CK_UNAVAILABLE_INFORMATION)));
    Ok(finish(given, &defaults))
}

/// The SubjectPublicKeyInfo that the attributes describe.
fn spki(given: &Given) -> Result<Vec<u8>, Error> {
    given.required(CKA_KEY_TYPE)?;
    let spki = match given.number(CKA_KEY_TYPE) {
        Some(CKK_RSA) => PublicKey::spki_of_rsa(given.required(CKA_MODULUS)?, given.required(CKA_PUBLIC_EXPONENT)?),
        Some(CKK_EC) => PublicKey::spki_of_ec(given.required(CKA_EC_PARAMS)?, given.required(CKA_EC_POINT)?),
        Some(CKK_EC_EDWARDS) => {
            PublicKey::spki_of_edwards(given.required(CKA_EC_PARAMS)?, given.required(CKA_EC_POINT)?)
        }
        Some(CKK_ML_DSA) => {
            given.required(CKA_PARAMETER_SET)?;
            let set = given.number(CKA_PARAMETER_SET).unwrap_or_default();
            PublicKey::spki_of_ml_dsa(set, given.required(CKA_VALUE)?)
        }
        _ => return Err(Error::AttributeValueInvalid),
    };
    spki.ok_or(Error::AttributeValueInvalid)
}

/// Fills up with the class's defaults and those of every object.
fn finish(given: Given, defaults: &[(CK_ATTRIBUTE_TYPE, Vec<u8>)]) -> Plain {
    let common = [
        (CKA_TOKEN, truth(false)),
        (CKA_PRIVATE, truth(false)),
        (CKA_LABEL, vec![]),
        (CKA_MODIFIABLE, truth(true)),
        (CKA_COPYABLE, truth(true)),
        (CKA_DESTROYABLE, truth(true)),
    ];
    let all = defaults.iter().cloned().chain(common).chain(given.0);
    Plain { attributes: all.map(|(kind, value)| (kind, Zeroizing::new(value))).collect() }
}

/// An object of a session.
#[derive(Debug)]
struct Owned {
    session: CK_SESSION_HANDLE,
    slot: CK_SLOT_ID,
    object: Arc<Plain>,
}

/// The session objects of this process, by handle. Handles count upwards and are not used again.
#[derive(Debug, Default)]
pub struct SessionObjects(Mutex<(CK_OBJECT_HANDLE, BTreeMap<CK_OBJECT_HANDLE, Owned>)>);

impl SessionObjects {
    /// Keeps an object until its session closes.
    pub fn add(&self, session: CK_SESSION_HANDLE, slot: CK_SLOT_ID, object: Plain) -> CK_OBJECT_HANDLE {
        let mut table = lock(&self.0);
        table.0 += 1;
        let handle = table.0;
        table.1.insert(handle, Owned { session, slot, object: Arc::new(object) });
        handle
    }

    /// The object with this handle in a slot.
    pub fn get(&self, slot: CK_SLOT_ID, handle: CK_OBJECT_HANDLE) -> Option<Arc<Plain>> {
        lock(&self.0).1.get(&handle).filter(|owned| owned.slot == slot).map(|owned| owned.object.clone())
    }

    /// All objects of a slot with their handles.
    pub fn of_slot(&self, slot: CK_SLOT_ID) -> Vec<(CK_OBJECT_HANDLE, Arc<Plain>)> {
        let table = lock(&self.0);
        let of_slot = table.1.iter().filter(|(_, owned)| owned.slot == slot);
        of_slot.map(|(handle, owned)| (*handle, owned.object.clone())).collect()
    }

    /// Puts another object in the place of one.
    pub fn replace(&self, handle: CK_OBJECT_HANDLE, object: Plain) {
        if let Some(owned) = lock(&self.0).1.get_mut(&handle) {
            owned.object = Arc::new(object);
        }
    }

    /// Forgets one.
    pub fn remove(&self, handle: CK_OBJECT_HANDLE) {
        lock(&self.0).1.remove(&handle);
    }

    /// Forgets those of a session.
    pub fn end_session(&self, session: CK_SESSION_HANDLE) {
        lock(&self.0).1.retain(|_, owned| owned.session != session);
    }

    /// Forgets those of a slot.
    pub fn end_slot(&self, slot: CK_SLOT_ID) {
        lock(&self.0).1.retain(|_, owned| owned.slot != slot);
    }

    /// Forgets the private ones of a slot, whose login has ended.
    pub fn end_login(&self, slot: CK_SLOT_ID) {
        lock(&self.0).1.retain(|_, owned| owned.slot != slot || !owned.object.is(CKA_PRIVATE));
    }

    /// Forgets all.
    pub fn clear(&self) {
        lock(&self.0).1.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_key_from_elsewhere_is_shown_and_does_nothing() {
        let key = Plain::new(vec![
            (CKA_CLASS, ulong(CKO_PUBLIC_KEY)),
            (CKA_KEY_TYPE, ulong(CKK_RSA)),
            (CKA_MODULUS, vec![0xc3, 0x51]),
            (CKA_PUBLIC_EXPONENT, vec![1, 0, 1]),
        ])
        .unwrap();
        assert_eq!(key.value(CKA_MODULUS_BITS), Ok(ulong(16).into()));
        for kind in [CKA_VERIFY, CKA_ENCRYPT, CKA_WRAP, CKA_DERIVE, CKA_LOCAL, CKA_TOKEN] {
            assert_eq!(key.value(kind), Ok(truth(false).into()), "{kind:#x}");
        }
    }
}
