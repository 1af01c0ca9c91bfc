//! Encryption with RSA public keys and decryption with the private ones, on the appliance.
//!
//! Always true: these mechanisms take all of their data in one call. A plaintext that a program has no room for waits in its
//! operation, overwritten when that ends, so that the key is used once; whatever was wrong with a ciphertext, the answer is
//! one.

use std::sync::Arc;

use privyseal_remote::Application;
use privyseal_sys::*;
use zeroize::Zeroizing;

use crate::crypto::authorised;
use crate::error::Error;
use crate::hash::Hash;
use crate::key::{Class, Key};
use crate::lock::lock;
use crate::mechanism::{self, Cipher, OaepSettings};
use crate::module::Module;
use crate::operation::{Produced, Room};
use crate::parameter::Parameter;
use crate::public_key::PublicKey;
use crate::session::Session;

/// An encryption or decryption that has begun.
#[derive(Debug)]
pub struct Ciphering {
    key: Arc<Key>,
    cipher: Cipher,
    oaep: Option<OaepSettings>,
    /// What has been decrypted and not been fetched.
    waiting: Option<Zeroizing<Vec<u8>>>,
}

impl Ciphering {
    fn start(key: Arc<Key>, kind: CK_MECHANISM_TYPE, parameter: &Parameter) -> Result<Ciphering, Error> {
        let (cipher, oaep) = mechanism::cipher(kind, parameter)?;
        match key.public {
            PublicKey::Rsa { .. } => Ok(Ciphering { key, cipher, oaep, waiting: None }),
            _ => Err(Error::KeyTypeInconsistent),
        }
    }

    /// Bytes of a ciphertext, and most bytes of a plaintext.
    fn length(&self) -> usize {
        self.key.public.signature_length()
    }

    fn application(&self, core: u32, verb: &'static str) -> Application<'_> {
        let oaep = self.oaep.as_ref();
        Application {
            core,
            key: &self.key.record.id,
            verb,
            mechanism: Some(self.cipher.name()),
            hash: oaep.map(|settings| Hash::name(settings.hash)),
            mgf_hash: oaep.map(|settings| Hash::name(settings.mgf_hash)),
            label: oaep.map_or(&[], |settings| &settings.label),
            ..Application::default()
        }
    }
}

impl Module {
    /// Begins an encryption.
    pub fn encrypt_init(
        &self,
        session: CK_SESSION_HANDLE,
        kind: CK_MECHANISM_TYPE,
        parameter: &Parameter,
        key: CK_OBJECT_HANDLE,
    ) -> Result<(), Error> {
        self.begin(
            session,
            |operations| &mut operations.encrypt,
            |session| match self.key(session, key)? {
                (key, Class::Public) => Ciphering::start(key, kind, parameter),
                _ => Err(Error::KeyFunctionNotPermitted),
            },
        )
    }

    /// Encrypts.
    pub fn encrypt(&self, session: CK_SESSION_HANDLE, data: &[u8], room: Room) -> Result<Produced, Error> {
        let session = self.session(session)?;
        let mut operations = lock(&session.operations);
        let encrypting = operations.encrypt.take().ok_or(Error::OperationNotInitialized)?;
        if let Some(refusal) = room.refusal(encrypting.length()) {
            operations.encrypt = Some(encrypting);
            return Ok(refusal);
        }
        self.apply(&session, &encrypting, "encrypt", data, Error::DataLenRange).map(Produced::Bytes)
    }

    /// Begins a decryption. A key with a PIN wants a login first.
    pub fn decrypt_init(
        &self,
        session: CK_SESSION_HANDLE,
        kind: CK_MECHANISM_TYPE,
        parameter: &Parameter,
        key: CK_OBJECT_HANDLE,
    ) -> Result<(), Error> {
        self.begin(
            session,
            |operations| &mut operations.decrypt,
            |session| match self.key(session, key)? {
                (key, Class::Private) => {
                    let decrypting = Ciphering::start(key, kind, parameter)?;
                    authorised(session, &decrypting.key)?;
                    Ok(decrypting)
                }
                _ => Err(Error::KeyFunctionNotPermitted),
            },
        )
    }

    /// Decrypts. A question for the length is answered with the most that it can be, without the appliance.
    pub fn decrypt(&self, session: CK_SESSION_HANDLE, data: &[u8], room: Room) -> Result<Produced, Error> {
        let session = self.session(session)?;
        let mut operations = lock(&session.operations);
        let mut decrypting = operations.decrypt.take().ok_or(Error::OperationNotInitialized)?;
        if room == Room::Query && decrypting.waiting.is_none() {
            let length = decrypting.length();
            operations.decrypt = Some(decrypting);
            return Ok(Produced::Length(length));
        }
        let plaintext = match decrypting.waiting.take() {
            Some(plaintext) => plaintext,
            None => {
                authorised(&session, &decrypting.key)?;
                if data.len() != decrypting.length() {
                    return Err(Error::EncryptedDataLenRange);
                }
                self.apply(&session, &decrypting, "decrypt", data, Error::EncryptedDataInvalid)?
            }
        };
        if let Some(refusal) = room.refusal(plaintext.len()) {
            operations.decrypt = Some(Ciphering { waiting: Some(plaintext), ..decrypting });
            return Ok(refusal);
        }
        Ok(Produced::Bytes(plaintext))
    }

    fn apply(
        &self,
        session: &Session,
        how: &Ciphering,
        verb: &'static str,
        data: &[u8],
        wrong_data: Error,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let application = Application { data: Some(data), ..how.application(session.token.core, verb) };
        self.applied(session, &how.key, &application, wrong_data).map(|applied| applied.value)
    }

    /// Asks the appliance; data that it does not take are `wrong_data`.
    pub(crate) fn applied(
        &self,
        session: &Session,
        key: &Key,
        how: &Application,
        wrong_data: Error,
    ) -> Result<privyseal_remote::Applied, Error> {
        let appliance = self.appliance()?;
        // Who encrypts needs no PIN, and the appliance takes none.
        let authorised = key.record.pin && !matches!(how.verb, "encrypt" | "encapsulate");
        let applied = session.token.with_ticket(&appliance, authorised, |ticket| appliance.apply(how, ticket));
        applied.map_err(|error| {
            let wrong = error.problem() == Some("invalid-body");
            let code = self.refused(how.verb, error);
            if wrong {
                wrong_data
            } else {
                code
            }
        })
    }
}
