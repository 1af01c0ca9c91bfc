//! Making keys on the appliance (PKCS #11 v2.40, sections 5.13.1 and 5.13.2).
//!
//! Always true: a key is made, kept and used on the appliance, so it is of the token and sensitive, and a template that
//! wants another is refused before the appliance is asked. Its two objects are one key with one label and one id.

use privyseal_remote::{Error as RemoteError, Key as Record, NewKey};
use privyseal_sys::*;

use crate::error::{is_about, Error};
use crate::key::{to_hex, Class};
use crate::mechanism::{self, Purpose};
use crate::module::Module;
use crate::public_key::{curve_type, set_type, Family};
use crate::session::Session;
use crate::template::{number, Attributes, Given};

/// What the template of either half may name.
const HALF: [CK_ATTRIBUTE_TYPE; 7] =
    [CKA_KEY_TYPE, CKA_ID, CKA_SUBJECT, CKA_START_DATE, CKA_END_DATE, CKA_DERIVE, CKA_ALLOWED_MECHANISMS];
const PUBLIC: [CK_ATTRIBUTE_TYPE; 10] = [
    CKA_ENCRYPT,
    CKA_VERIFY,
    CKA_VERIFY_RECOVER,
    CKA_WRAP,
    CKA_TRUSTED,
    CKA_MODULUS_BITS,
    CKA_PUBLIC_EXPONENT,
    CKA_EC_PARAMS,
    CKA_ENCAPSULATE,
    CKA_PARAMETER_SET,
];
const PRIVATE: [CK_ATTRIBUTE_TYPE; 11] = [
    CKA_SENSITIVE,
    CKA_DECRYPT,
    CKA_SIGN,
    CKA_SIGN_RECOVER,
    CKA_UNWRAP,
    CKA_EXTRACTABLE,
    CKA_ALWAYS_AUTHENTICATE,
    CKA_WRAP_WITH_TRUSTED,
    CKA_DECAPSULATE,
    // Some programs name it in both templates (v2.40 has it in the public one).
    CKA_EC_PARAMS,
    CKA_PARAMETER_SET,
];

const RSA_EXPONENT: [u8; 3] = [1, 0, 1];

/// The key that two templates describe.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Order {
    label: Option<String>,
    id: Option<Vec<u8>>,
    kind: String,
    exportable: bool,
}

impl Module {
    /// Makes a key pair; gives the handles of its public and its private object.
    pub fn generate_key_pair(
        &self,
        session: CK_SESSION_HANDLE,
        kind: CK_MECHANISM_TYPE,
        parameter: &[u8],
        public: Attributes,
        private: Attributes,
    ) -> Result<[CK_OBJECT_HANDLE; 2], Error> {
        let session = self.session(session)?;
        let Purpose::GeneratePair(family) = mechanism::purpose(kind)? else { return Err(Error::MechanismInvalid) };
        if !parameter.is_empty() {
            return Err(Error::MechanismParamInvalid);
        }
        let order = order(family, public, private)?;
        if !session.rw {
            return Err(Error::SessionReadOnly);
        }
        let record = self.make(&session, &order)?;
        let key = session.token.keys().add(record).ok_or(Error::DeviceError)?;
        Ok(key.objects().map(|(_, handle)| handle))
    }

    /// Makes a secret key. No mechanism for it is there.
    pub fn generate_key(
        &self,
        session: CK_SESSION_HANDLE,
        kind: CK_MECHANISM_TYPE,
        _template: Attributes,
    ) -> Result<CK_OBJECT_HANDLE, Error> {
        self.session(session)?;
        mechanism::purpose(kind).and(Err(Error::MechanismInvalid))
    }

    /// The PIN is the configuration's for new keys, or else that of the login; the appliance says whether the core can do
    /// without.
    fn make(&self, session: &Session, order: &Order) -> Result<Record, Error> {
        let appliance = self.appliance()?;
        let pin = appliance.configuration().keygen_pin.clone().or_else(|| session.token.pin());
        let label = match &order.label {
            Some(label) => label.clone(),
            None => privyseal_remote::random_label().map_err(|error| self.refused("generate", error))?,
        };
        let key = NewKey {
            label: &label,
            kind: &order.kind,
            pin: pin.as_ref(),
            object_id: order.id.as_deref().map(to_hex),
            exportable: order.exportable,
        };
        appliance.generate(session.token.core, &key).map_err(|error| {
            let wants_pin = pin.is_none() && wants_pin(&error);
            let code = self.refused("generate", error);
            if wants_pin {
                Error::UserNotLoggedIn
            } else {
                code
            }
        })
    }
}

/// Whether the core makes no key without a PIN.
fn wants_pin(error: &RemoteError) -> bool {
    matches!(error, RemoteError::Problem { name, detail, .. } if name == "invalid-body" && is_about(detail, "pin"))
}

/// Reads the two templates. What a program cannot have here is `TemplateInconsistent`; what decides the type and is not
/// there is `TemplateIncomplete`.
fn order(family: Family, public: Attributes, private: Attributes) -> Result<Order, Error> {
    let public = Given::new(public, &[&HALF[..], &PUBLIC].concat())?;
    let private = Given::new(private, &[&HALF[..], &PRIVATE].concat())?;
    both_halves(family, &public, &private)?;
    private_half(&private)?;
    public.must_be(CKA_TRUSTED, &[CK_FALSE])?;
    Ok(Order {
        label: one_of(&public, &private, CKA_LABEL)?.and_then(|label| String::from_utf8(label).ok()),
        id: one_of(&public, &private, CKA_ID)?,
        kind: type_of(family, &public, &private)?,
        exportable: private.truth(CKA_EXTRACTABLE) == Some(true),
    })
}

fn both_halves(family: Family, public: &Given, private: &Given) -> Result<(), Error> {
    for (half, class) in [(public, Class::Public), (private, Class::Private)] {
        half.must_be(CKA_CLASS, &class.code().to_ne_bytes())?;
        half.must_be(CKA_KEY_TYPE, &family.key_type().to_ne_bytes())?;
        half.must_be(CKA_TOKEN, &[CK_TRUE])?;
        for kind in [CKA_SUBJECT, CKA_START_DATE, CKA_END_DATE, CKA_ALLOWED_MECHANISMS] {
            half.must_be(kind, &[])?;
        }
    }
    Ok(())
}

/// A key of a session, which is what a template without CKA_TOKEN asks for, could not be kept from staying.
fn private_half(private: &Given) -> Result<(), Error> {
    if private.truth(CKA_TOKEN) != Some(true) {
        return Err(Error::TemplateInconsistent);
    }
    private.must_be(CKA_SENSITIVE, &[CK_TRUE])?;
    private.must_be(CKA_ALWAYS_AUTHENTICATE, &[CK_FALSE])?;
    private.must_be(CKA_WRAP_WITH_TRUSTED, &[CK_FALSE])
}

/// An attribute that the halves share; None where it is empty or in neither.
fn one_of(public: &Given, private: &Given, kind: CK_ATTRIBUTE_TYPE) -> Result<Option<Vec<u8>>, Error> {
    let given = [public, private].map(|half| half.bytes(kind).filter(|value| !value.is_empty()));
    match given {
        [Some(one), Some(other)] if one != other => Err(Error::TemplateInconsistent),
        [one, other] => Ok(one.or(other).map(<[u8]>::to_vec)),
    }
}

/// The type as the appliance names it.
fn type_of(family: Family, public: &Given, private: &Given) -> Result<String, Error> {
    let deciding = |kind| one_of(public, private, kind)?.ok_or(Error::TemplateIncomplete);
    match family {
        Family::Rsa => rsa_type(public),
        Family::Ec | Family::Edwards | Family::Montgomery => {
            let found = curve_type(family, &deciding(CKA_EC_PARAMS)?);
            found.map(str::to_owned).ok_or(Error::CurveNotSupported)
        }
        Family::MlKem | Family::MlDsa => {
            let found = number(&deciding(CKA_PARAMETER_SET)?).and_then(|set| set_type(family, set));
            found.map(str::to_owned).ok_or(Error::ParameterSetNotSupported)
        }
    }
}

fn rsa_type(public: &Given) -> Result<String, Error> {
    public.required(CKA_MODULUS_BITS)?;
    let exponent = public.bytes(CKA_PUBLIC_EXPONENT).unwrap_or(&RSA_EXPONENT);
    let exponent = &exponent[exponent.iter().take_while(|byte| **byte == 0).count()..];
    match public.number(CKA_MODULUS_BITS) {
        _ if exponent != RSA_EXPONENT => Err(Error::AttributeValueInvalid),
        Some(bits @ (2048 | 3072 | 4096 | 8192)) => Ok(format!("rsa:{bits}")),
        _ => Err(Error::KeySizeRange),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    const OF_TOKEN: (CK_ATTRIBUTE_TYPE, &[u8]) = (CKA_TOKEN, &[CK_TRUE]);

    type Half<'a> = &'a [(CK_ATTRIBUTE_TYPE, &'a [u8])];

    fn read(family: Family, public: Half, private: Half) -> Result<Order, Error> {
        let owned = |half: Half| half.iter().map(|(kind, value)| (*kind, value.to_vec())).collect();
        order(family, owned(public), owned(private))
    }

    #[test]
    fn templates_describe_a_key() {
        let made = read(Family::Ec, &[(CKA_EC_PARAMS, P256), (CKA_LABEL, b"one")], &[OF_TOKEN, (CKA_ID, &[1, 2])]);
        let label = Some("one".to_owned());
        assert_eq!(made, Ok(Order { label, id: Some(vec![1, 2]), kind: "ec:P-256".to_owned(), exportable: false }));
        let bits = 3072u64.to_ne_bytes();
        let made = read(Family::Rsa, &[(CKA_MODULUS_BITS, &bits)], &[OF_TOKEN, (CKA_EXTRACTABLE, &[1])]).unwrap();
        assert_eq!((made.kind.as_str(), made.exportable, made.label), ("rsa:3072", true, None));
        let name = [0x13, 0x0a, b'e', b'd', b'w', b'a', b'r', b'd', b's', b'4', b'4', b'8'];
        assert_eq!(read(Family::Edwards, &[(CKA_EC_PARAMS, &name)], &[OF_TOKEN]).unwrap().kind, "ed448");
    }

    #[test]
    fn templates_that_describe_none_say_why() {
        let (small, rsa) = (1024u64.to_ne_bytes(), CKK_RSA.to_ne_bytes());
        let curve = (CKA_EC_PARAMS, P256);
        for (public, private, error) in [
            (&[][..], &[OF_TOKEN][..], Error::TemplateIncomplete),
            (&[curve], &[], Error::TemplateInconsistent),
            (&[curve], &[(CKA_TOKEN, &[CK_FALSE])], Error::TemplateInconsistent),
            (&[curve, (CKA_TOKEN, &[CK_FALSE])], &[OF_TOKEN], Error::TemplateInconsistent),
            (&[curve], &[OF_TOKEN, (CKA_SENSITIVE, &[CK_FALSE])], Error::TemplateInconsistent),
            (&[curve, (CKA_KEY_TYPE, &rsa)], &[OF_TOKEN], Error::TemplateInconsistent),
            (&[curve, (CKA_LABEL, b"a")], &[OF_TOKEN, (CKA_LABEL, b"b")], Error::TemplateInconsistent),
            (&[curve, (CKA_SIGN, &[CK_TRUE])], &[OF_TOKEN], Error::AttributeTypeInvalid),
            (&[curve, (CKA_LOCAL, &[CK_TRUE])], &[OF_TOKEN], Error::AttributeReadOnly),
            (&[(CKA_EC_PARAMS, &P256[..9])], &[OF_TOKEN], Error::CurveNotSupported),
        ] {
            assert_eq!(read(Family::Ec, public, private), Err(error), "{public:?} {private:?}");
        }
        assert_eq!(read(Family::Rsa, &[(CKA_MODULUS_BITS, &small)], &[OF_TOKEN]), Err(Error::KeySizeRange));
        let exponent = [(CKA_MODULUS_BITS, &small[..]), (CKA_PUBLIC_EXPONENT, &[3])];
        assert_eq!(read(Family::Rsa, &exponent, &[OF_TOKEN]), Err(Error::AttributeValueInvalid));
    }
}
