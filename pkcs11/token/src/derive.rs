//! Secrets that two parties come to share: ECDH and ML-KEM, on the appliance.
//!
//! Always true: the secret becomes a key of the session, which lives in this process alone and is overwritten when it ends.

use std::sync::Arc;

use privyseal_remote::Application;
use privyseal_sys::*;
use zeroize::Zeroizing;

use crate::crypto::authorised;
use crate::error::Error;
use crate::hash::Hash;
use crate::key::{Class, Key};
use crate::mechanism::{self, Purpose};
use crate::module::Module;
use crate::operation::{Produced, Room};
use crate::parameter::Parameter;
use crate::plain::SecretOrder;
use crate::public_key::PublicKey;
use crate::session::Session;
use crate::template::Attributes;

/// A ciphertext for somebody and the secret in it.
pub type Encapsulated = (Produced, CK_OBJECT_HANDLE);

impl Module {
    /// Derives a secret key from a private key and somebody's public key.
    pub fn derive_key(
        &self,
        handle: CK_SESSION_HANDLE,
        kind: CK_MECHANISM_TYPE,
        parameter: &Parameter,
        key: CK_OBJECT_HANDLE,
        template: Attributes,
    ) -> Result<CK_OBJECT_HANDLE, Error> {
        let session = self.session(handle)?;
        let settings = mechanism::agreement(kind, parameter)?;
        let (key, class) = self.key(&session, key)?;
        let agrees = matches!(key.public, PublicKey::Ec { .. } | PublicKey::Montgomery { .. });
        if !agrees || class != Class::Private {
            return Err(if agrees { Error::KeyFunctionNotPermitted } else { Error::KeyTypeInconsistent });
        }
        authorised(&session, &key)?;
        let order = SecretOrder::new(template)?;
        let length = settings.kdf.and(order.length).and_then(|length| u32::try_from(length).ok());
        let application = Application {
            core: session.token.core,
            key: &key.record.id,
            verb: "derive",
            mechanism: Some("ECDH"),
            public_key: &settings.public_key,
            kdf: settings.kdf.map(|_| "X9.63"),
            hash: settings.kdf.map(Hash::name),
            shared_info: &settings.shared_info,
            length,
            ..Application::default()
        };
        let applied = self.applied(&session, &key, &application, Error::MechanismParamInvalid)?;
        self.add(handle, &session, order.fulfil(&applied.value)?)
    }

    /// Makes a secret for the holder of an ML-KEM key. Nothing is asked of the appliance before there is room.
    pub fn encapsulate_key(
        &self,
        handle: CK_SESSION_HANDLE,
        kind: CK_MECHANISM_TYPE,
        parameter: &Parameter,
        key: CK_OBJECT_HANDLE,
        template: Attributes,
        room: Room,
    ) -> Result<Encapsulated, Error> {
        let session = self.session(handle)?;
        let (key, length) = self.capsule(&session, kind, parameter, key, Class::Public)?;
        let order = SecretOrder::new(template)?;
        if let Some(refusal) = room.refusal(length) {
            return Ok((refusal, CK_INVALID_HANDLE));
        }
        let how = Application {
            core: session.token.core,
            key: &key.record.id,
            verb: "encapsulate",
            ..Application::default()
        };
        let applied = self.applied(&session, &key, &how, Error::DeviceError)?;
        if applied.ciphertext.len() != length {
            return Err(Error::DeviceError);
        }
        let secret = self.add(handle, &session, order.fulfil(&applied.value)?)?;
        Ok((Produced::Bytes(applied.ciphertext.into()), secret))
    }

    /// Takes the secret out of a ciphertext for an ML-KEM key.
    pub fn decapsulate_key(
        &self,
        handle: CK_SESSION_HANDLE,
        kind: CK_MECHANISM_TYPE,
        parameter: &Parameter,
        key: CK_OBJECT_HANDLE,
        template: Attributes,
        ciphertext: &[u8],
    ) -> Result<CK_OBJECT_HANDLE, Error> {
        let session = self.session(handle)?;
        let (key, length) = self.capsule(&session, kind, parameter, key, Class::Private)?;
        authorised(&session, &key)?;
        let order = SecretOrder::new(template)?;
        if ciphertext.len() != length {
            return Err(Error::EncryptedDataLenRange);
        }
        let (core, ciphertext) = (session.token.core, Some(ciphertext));
        let how = Application { core, key: &key.record.id, verb: "decapsulate", ciphertext, ..Application::default() };
        let secret: Zeroizing<Vec<u8>> = self.applied(&session, &key, &how, Error::EncryptedDataInvalid)?.value;
        self.add(handle, &session, order.fulfil(&secret)?)
    }

    /// The half of an ML-KEM key that a handle names, and the bytes of its ciphertexts.
    fn capsule(
        &self,
        session: &Session,
        kind: CK_MECHANISM_TYPE,
        parameter: &Parameter,
        key: CK_OBJECT_HANDLE,
        wanted: Class,
    ) -> Result<(Arc<Key>, usize), Error> {
        if mechanism::purpose(kind)? != Purpose::Encapsulate {
            return Err(Error::MechanismInvalid);
        }
        if !parameter.is_empty() {
            return Err(Error::MechanismParamInvalid);
        }
        let (key, class) = self.key(session, key)?;
        match key.public {
            PublicKey::MlKem { .. } if class != wanted => Err(Error::KeyFunctionNotPermitted),
            PublicKey::MlKem { ciphertext_length, .. } => Ok((key, ciphertext_length)),
            _ => Err(Error::KeyTypeInconsistent),
        }
    }
}
