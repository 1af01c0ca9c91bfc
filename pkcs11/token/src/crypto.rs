//! Digests, signatures, verification and random bytes.
//!
//! What is always true of an operation (PKCS #11 v2.40, sections 5.10 to 5.12): Init refuses while one is active; a
//! question for the length and a buffer that is too small leave it active; every other result of the call that would
//! end it ends it.

use std::sync::Arc;

use privyseal_sys::*;

use crate::error::Error;
use crate::key::{Class, Key};
use crate::lock::lock;
use crate::module::Module;
use crate::objects::Object;
use crate::operation::{Digesting, Kind, Produced, Room, Signing};
use crate::parameter::Parameter;
use crate::session::{Operations, Session};

impl Module {
    /// Begins an operation of any kind, in its place; `OperationActive` while there is one.
    pub(crate) fn begin<T>(
        &self,
        session: CK_SESSION_HANDLE,
        place: impl FnOnce(&mut Operations) -> &mut Option<T>,
        start: impl FnOnce(&Session) -> Result<T, Error>,
    ) -> Result<(), Error> {
        let session = self.session(session)?;
        let mut operations = lock(&session.operations);
        let place = place(&mut operations);
        if place.is_some() {
            return Err(Error::OperationActive);
        }
        *place = Some(start(&session)?);
        Ok(())
    }

    /// Begins a digest.
    pub fn digest_init(
        &self,
        session: CK_SESSION_HANDLE,
        kind: CK_MECHANISM_TYPE,
        parameter: &Parameter,
    ) -> Result<(), Error> {
        self.begin(session, |operations| &mut operations.digest, |_| Digesting::start(kind, parameter))
    }

    /// Takes a part of the message to digest.
    pub fn digest_update(&self, session: CK_SESSION_HANDLE, part: &[u8]) -> Result<(), Error> {
        let session = self.session(session)?;
        let mut operations = lock(&session.operations);
        let digesting = operations.digest.as_mut().ok_or(Error::OperationNotInitialized)?;
        digesting.multipart = true;
        digesting.update(part);
        Ok(())
    }

    /// Ends a digest: `message` is all of it for `C_Digest`, None for `C_DigestFinal`.
    pub fn digest(&self, session: CK_SESSION_HANDLE, message: Option<&[u8]>, room: Room) -> Result<Produced, Error> {
        let session = self.session(session)?;
        let mut operations = lock(&session.operations);
        let mut digesting = operations.digest.take().ok_or(Error::OperationNotInitialized)?;
        one_part_or_many(message, digesting.multipart)?;
        if let Some(refusal) = room.refusal(digesting.hash.length()) {
            operations.digest = Some(digesting);
            return Ok(refusal);
        }
        digesting.update(message.unwrap_or_default());
        Ok(Produced::Bytes(digesting.finish().into()))
    }

    /// Begins a signature. A key with a PIN wants a login first.
    pub fn sign_init(
        &self,
        session: CK_SESSION_HANDLE,
        kind: CK_MECHANISM_TYPE,
        parameter: &Parameter,
        key: CK_OBJECT_HANDLE,
    ) -> Result<(), Error> {
        self.begin(
            session,
            |operations| &mut operations.sign,
            |session| self.start(session, Class::Private, kind, parameter, key),
        )
    }

    /// Takes a part of what is signed.
    pub fn sign_update(&self, session: CK_SESSION_HANDLE, part: &[u8]) -> Result<(), Error> {
        let session = self.session(session)?;
        let mut operations = lock(&session.operations);
        update(&mut operations.sign, part)
    }

    /// Ends a signature: `data` is all of it for `C_Sign`, None for `C_SignFinal`.
    pub fn sign(&self, session: CK_SESSION_HANDLE, data: Option<&[u8]>, room: Room) -> Result<Produced, Error> {
        let session = self.session(session)?;
        let mut operations = lock(&session.operations);
        let mut signing = operations.sign.take().ok_or(Error::OperationNotInitialized)?;
        one_part_or_many(data, signing.multipart)?;
        if let Some(refusal) = room.refusal(signing.length()) {
            operations.sign = Some(signing);
            return Ok(refusal);
        }
        signing.update(data.unwrap_or_default())?;
        self.conclude(&session, signing).map(|signature| Produced::Bytes(signature.into()))
    }

    /// Begins a verification.
    pub fn verify_init(
        &self,
        session: CK_SESSION_HANDLE,
        kind: CK_MECHANISM_TYPE,
        parameter: &Parameter,
        key: CK_OBJECT_HANDLE,
    ) -> Result<(), Error> {
        self.begin(
            session,
            |operations| &mut operations.verify,
            |session| self.start(session, Class::Public, kind, parameter, key),
        )
    }

    /// Takes a part of what was signed.
    pub fn verify_update(&self, session: CK_SESSION_HANDLE, part: &[u8]) -> Result<(), Error> {
        let session = self.session(session)?;
        let mut operations = lock(&session.operations);
        update(&mut operations.verify, part)
    }

    /// Ends a verification: `data` is all of it for `C_Verify`, None for `C_VerifyFinal`. A signature that is not the
    /// key's is `SignatureInvalid`.
    pub fn verify(&self, session: CK_SESSION_HANDLE, data: Option<&[u8]>, signature: &[u8]) -> Result<(), Error> {
        let session = self.session(session)?;
        let mut operations = lock(&session.operations);
        let mut verifying = operations.verify.take().ok_or(Error::OperationNotInitialized)?;
        one_part_or_many(data, verifying.multipart)?;
        verifying.update(data.unwrap_or_default())?;
        self.conclude_verification(&session, verifying, signature)
    }

    /// Begins a verification of a signature that is given first.
    pub fn verify_signature_init(
        &self,
        session: CK_SESSION_HANDLE,
        kind: CK_MECHANISM_TYPE,
        parameter: &Parameter,
        key: CK_OBJECT_HANDLE,
        signature: &[u8],
    ) -> Result<(), Error> {
        self.begin(
            session,
            |operations| &mut operations.verify_signature,
            |session| {
                let verifying = self.start(session, Class::Public, kind, parameter, key)?;
                match signature.len() == verifying.length() {
                    true => Ok((verifying, signature.to_vec())),
                    false => Err(Error::SignatureLenRange),
                }
            },
        )
    }

    /// Takes a part of what was signed; a part that fails ends the operation.
    pub fn verify_signature_update(&self, session: CK_SESSION_HANDLE, part: &[u8]) -> Result<(), Error> {
        let session = self.session(session)?;
        let mut operations = lock(&session.operations);
        let (mut verifying, signature) = operations.verify_signature.take().ok_or(Error::OperationNotInitialized)?;
        verifying.multipart = true;
        verifying.update(part)?;
        operations.verify_signature = Some((verifying, signature));
        Ok(())
    }

    /// Ends it: `data` is all of it for `C_VerifySignature`, None for `C_VerifySignatureFinal`.
    pub fn verify_signature(&self, session: CK_SESSION_HANDLE, data: Option<&[u8]>) -> Result<(), Error> {
        let session = self.session(session)?;
        let mut operations = lock(&session.operations);
        let (mut verifying, signature) = operations.verify_signature.take().ok_or(Error::OperationNotInitialized)?;
        one_part_or_many(data, verifying.multipart)?;
        verifying.update(data.unwrap_or_default())?;
        self.conclude_verification(&session, verifying, &signature)
    }

    /// Ends an operation because its Init was called without a mechanism; a mistake where none is active.
    pub fn cancel(&self, session: CK_SESSION_HANDLE, kind: Kind) -> Result<(), Error> {
        let session = self.session(session)?;
        let was_active = lock(&session.operations).end(kind);
        was_active.then_some(()).ok_or(Error::ArgumentsBad)
    }

    /// Ends the operations that the flags name, whether they are active or not.
    pub fn session_cancel(&self, session: CK_SESSION_HANDLE, flags: CK_FLAGS) -> Result<(), Error> {
        let session = self.session(session)?;
        let mut operations = lock(&session.operations);
        for (flag, kinds) in CANCELLED {
            if flags & flag != 0 {
                kinds.iter().for_each(|kind| _ = operations.end(*kind));
            }
        }
        Ok(())
    }

    /// Ends an operation whose last call had arguments that could not be read.
    pub fn end(&self, session: CK_SESSION_HANDLE, kind: Kind) {
        if let Ok(session) = self.session(session) {
            _ = lock(&session.operations).end(kind);
        }
    }

    /// Random bytes from the appliance. More than MOST_RANDOM is a length that cannot be true.
    pub fn random(&self, session: CK_SESSION_HANDLE, length: usize) -> Result<Vec<u8>, Error> {
        let session = self.session(session)?;
        if length > MOST_RANDOM {
            return Err(Error::ArgumentsBad);
        }
        let random = self.appliance()?.random(session.token.core, length);
        random.map_err(|error| self.refused("random", error))
    }

    /// The appliance's generator takes no seed from anybody.
    pub fn seed_random(&self, session: CK_SESSION_HANDLE) -> Error {
        self.session(session).err().unwrap_or(Error::RandomSeedNotSupported)
    }

    /// The key and the half of it that a handle names.
    pub(crate) fn key(&self, session: &Session, handle: CK_OBJECT_HANDLE) -> Result<(Arc<Key>, Class), Error> {
        match self.object(session, handle) {
            Ok(Object::Key(key, class)) => Ok((key, class)),
            // One that is not the appliance's is kept and shown, and used elsewhere.
            Ok(Object::Plain(object)) if object.is_public_key() => Err(Error::KeyFunctionNotPermitted),
            Ok(Object::Plain(_)) => Err(Error::KeyHandleInvalid),
            Err(Error::ObjectHandleInvalid) => Err(Error::KeyHandleInvalid),
            Err(error) => Err(error),
        }
    }

    /// A verification with a public key, or a signature with a private one, which wants a login first if it has a PIN.
    pub(crate) fn start(
        &self,
        session: &Session,
        class: Class,
        kind: CK_MECHANISM_TYPE,
        parameter: &Parameter,
        key: CK_OBJECT_HANDLE,
    ) -> Result<Signing, Error> {
        let (key, found) = self.key(session, key)?;
        let signing = Signing::start(key, kind, parameter)?;
        if found != class {
            // A public key cannot sign, and a private key is not what verifies.
            return Err(Error::KeyFunctionNotPermitted);
        }
        if class == Class::Private {
            authorised(session, &signing.key)?;
        }
        Ok(signing)
    }

    pub(crate) fn conclude(&self, session: &Session, signing: Signing) -> Result<Vec<u8>, Error> {
        authorised(session, &signing.key)?;
        let (with_pin, length) = (signing.key.record.pin, signing.length());
        let (order, input) = signing.finish(session.token.core)?;
        let signature = session.token.sign(&*self.appliance()?, &order, &input, with_pin);
        let signature = signature.map_err(|error| self.refused("sign", error))?;
        if signature.len() != length {
            self.log().write(1, "sign: the signature has a length that the key's never have");
            return Err(Error::DeviceError);
        }
        Ok(signature)
    }

    /// `SignatureInvalid` where the signature is not the key's over the input.
    pub(crate) fn conclude_verification(
        &self,
        session: &Session,
        verifying: Signing,
        signature: &[u8],
    ) -> Result<(), Error> {
        if signature.len() != verifying.length() {
            return Err(Error::SignatureLenRange);
        }
        let (order, input) = verifying.finish(session.token.core)?;
        let valid = self.appliance()?.verify(&order, &input, signature);
        match valid.map_err(|error| self.refused("verify", error))? {
            true => Ok(()),
            false => Err(Error::SignatureInvalid),
        }
    }
}

/// Bytes that one call gets at most: memory is taken for them before the program's is written to.
const MOST_RANDOM: usize = 1 << 24;

/// What `C_SessionCancel` ends by which flag.
const CANCELLED: [(CK_FLAGS, &[Kind]); 8] = [
    (CKF_DECRYPT, &[Kind::Decrypt]),
    (CKF_ENCRYPT, &[Kind::Encrypt]),
    (CKF_DIGEST, &[Kind::Digest]),
    (CKF_FIND_OBJECTS, &[Kind::Find]),
    (CKF_MESSAGE_SIGN, &[Kind::MessageSign]),
    (CKF_MESSAGE_VERIFY, &[Kind::MessageVerify]),
    (CKF_SIGN, &[Kind::Sign]),
    (CKF_VERIFY, &[Kind::Verify, Kind::VerifySignature]),
];

impl Operations {
    /// Ends an operation; false where none was active.
    fn end(&mut self, kind: Kind) -> bool {
        match kind {
            Kind::Decrypt => self.decrypt.take().is_some(),
            Kind::Encrypt => self.encrypt.take().is_some(),
            Kind::Digest => self.digest.take().is_some(),
            Kind::Find => self.find.take().is_some(),
            Kind::MessageSign => self.message_sign.take().is_some(),
            Kind::MessageVerify => self.message_verify.take().is_some(),
            Kind::Sign => self.sign.take().is_some(),
            Kind::Verify => self.verify.take().is_some(),
            Kind::VerifySignature => self.verify_signature.take().is_some(),
        }
    }
}

/// An update that fails ends the operation.
fn update(place: &mut Option<Signing>, part: &[u8]) -> Result<(), Error> {
    let mut signing = place.take().ok_or(Error::OperationNotInitialized)?;
    signing.multipart = true;
    signing.update(part)?;
    *place = Some(signing);
    Ok(())
}

/// The one-part call may not end an operation that has been given parts (PKCS #11 v2.40, section 5.11).
fn one_part_or_many(data: Option<&[u8]>, multipart: bool) -> Result<(), Error> {
    match data {
        Some(_) if multipart => Err(Error::OperationNotInitialized),
        _ => Ok(()),
    }
}

pub(crate) fn authorised(session: &Session, key: &Key) -> Result<(), Error> {
    match key.record.pin && !session.token.is_logged_in() {
        true => Err(Error::UserNotLoggedIn),
        false => Ok(()),
    }
}
