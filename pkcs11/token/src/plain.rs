//! Objects that are nothing but their attributes: certificates, data and public keys (PKCS #11 v2.40, sections 4.5 to 4.8).
//!
//! Always true: an object has every attribute of its class, so one that a program did not give has its default; a public
//! key's attributes and its SubjectPublicKeyInfo say the same.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use privyseal_remote::Key as Record;
use privyseal_sys::*;

use crate::attributes::{self, truth, ulong};
use crate::error::Error;
use crate::key::{Class, Key};
use crate::lock::lock;
use crate::public_key::PublicKey;
use crate::template::{Attributes, Given};

/// One object.
#[derive(Clone, Debug)]
pub struct Plain {
    pub attributes: BTreeMap<CK_ATTRIBUTE_TYPE, Vec<u8>>,
    /// The key in a form to verify and encrypt with, for a public key.
    pub key: Option<Arc<Key>>,
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
    pub fn value(&self, kind: CK_ATTRIBUTE_TYPE) -> Result<Vec<u8>, Error> {
        self.attributes.get(&kind).cloned().ok_or(Error::AttributeTypeInvalid)
    }

    /// Whether a truth value is true.
    pub fn is(&self, kind: CK_ATTRIBUTE_TYPE) -> bool {
        self.attributes.get(&kind).is_some_and(|value| *value == [CK_TRUE])
    }

    /// The object with some attributes changed. `CKA_CLASS` and what makes up a key stay as they are.
    pub fn changed(&self, changes: Attributes) -> Result<Plain, Error> {
        let changeable = [CKA_LABEL, CKA_ID, CKA_SUBJECT, CKA_APPLICATION, CKA_START_DATE, CKA_END_DATE];
        let known: Vec<_> = self.attributes.keys().copied().collect();
        let mut object = self.clone();
        for (kind, value) in Given::new(changes, &known)?.0 {
            match object.attributes.get(&kind) {
                None => return Err(Error::AttributeTypeInvalid),
                Some(before) if *before != value && !changeable.contains(&kind) => {
                    return Err(Error::AttributeReadOnly)
                }
                Some(_) => object.attributes.insert(kind, value),
            };
        }
        Ok(object)
    }

    /// A copy, in which a few more attributes may differ (PKCS #11 v2.40, section 5.7.2).
    pub fn copied(&self, changes: Attributes) -> Result<Plain, Error> {
        let (also, changes): (Vec<_>, Vec<_>) =
            changes.into_iter().partition(|(kind, _)| [CKA_TOKEN, CKA_PRIVATE, CKA_MODIFIABLE].contains(kind));
        let mut copy = self.changed(changes)?;
        copy.attributes.extend(Given::new(also, &[])?.0);
        Ok(copy)
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
    let record =
        Record { public_key: spki, operations: vec!["verify".to_owned(), "encrypt".to_owned()], ..Record::default() };
    let key = Arc::new(Key::foreign(record).ok_or(Error::AttributeValueInvalid)?);
    let mut defaults = attributes::all(&key, Class::Public);
    // It was made elsewhere, by nobody knows what.
    defaults.extend([(CKA_LOCAL, truth(false)), (CKA_ID, vec![])]);
    defaults.push((CKA_KEY_GEN_MECHANISM, ulong(CK_UNAVAILABLE_INFORMATION)));
    Ok(Plain { key: Some(key), ..finish(given, &defaults) })
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
    let mut attributes: BTreeMap<_, _> = defaults.iter().cloned().collect();
    attributes.extend(common);
    attributes.extend(given.0);
    Plain { attributes, key: None }
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
