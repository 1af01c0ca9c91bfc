//! Signing and verifying of many messages with one key (PKCS #11 v3.0, sections 5.14 and 5.16).
//!
//! Always true: each message is an operation of its own, as `operation` has them, and a message that fails ends itself and
//! not the series.

use privyseal_sys::*;

use crate::error::Error;
use crate::key::Class;
use crate::lock::lock;
use crate::module::Module;
use crate::operation::{Kind, Produced, Room, Signing};
use crate::parameter::Parameter;
use crate::session::{Operations, Session};

/// A series of messages: how each of them is signed, and the one that is under way in parts.
#[derive(Debug)]
pub struct Messages {
    pattern: Signing,
    current: Option<Signing>,
}

impl Messages {
    fn of(pattern: Signing) -> Messages {
        Messages { pattern, current: None }
    }

    /// A new message; `OperationActive` while another is under way.
    fn begin(&self) -> Result<Signing, Error> {
        match self.current {
            Some(_) => Err(Error::OperationActive),
            None => Ok(self.pattern.again()),
        }
    }
}

impl Module {
    /// Begins a series of signatures. A key with a PIN wants a login first.
    pub fn message_sign_init(
        &self,
        session: CK_SESSION_HANDLE,
        kind: CK_MECHANISM_TYPE,
        parameter: &Parameter,
        key: CK_OBJECT_HANDLE,
    ) -> Result<(), Error> {
        self.begin(
            session,
            |operations| &mut operations.message_sign,
            |session| self.start(session, Class::Private, kind, parameter, key).map(Messages::of),
        )
    }

    /// Begins a series of verifications.
    pub fn message_verify_init(
        &self,
        session: CK_SESSION_HANDLE,
        kind: CK_MECHANISM_TYPE,
        parameter: &Parameter,
        key: CK_OBJECT_HANDLE,
    ) -> Result<(), Error> {
        self.begin(
            session,
            |operations| &mut operations.message_verify,
            |session| self.start(session, Class::Public, kind, parameter, key).map(Messages::of),
        )
    }

    /// Signs a message.
    pub fn sign_message(&self, session: CK_SESSION_HANDLE, data: &[u8], room: Room) -> Result<Produced, Error> {
        let session = self.session(session)?;
        let mut operations = lock(&session.operations);
        let signing = messages(&mut operations, Kind::MessageSign)?.begin()?;
        self.finish_message(&session, signing, data, room).map(|(produced, _)| produced)
    }

    /// Verifies a message.
    pub fn verify_message(&self, session: CK_SESSION_HANDLE, data: &[u8], signature: &[u8]) -> Result<(), Error> {
        let session = self.session(session)?;
        let mut operations = lock(&session.operations);
        let mut verifying = messages(&mut operations, Kind::MessageVerify)?.begin()?;
        verifying.update(data)?;
        self.conclude_verification(&session, verifying, signature)
    }

    /// Begins a message in parts.
    pub fn message_begin(&self, session: CK_SESSION_HANDLE, direction: Kind) -> Result<(), Error> {
        let session = self.session(session)?;
        let mut operations = lock(&session.operations);
        let messages = messages(&mut operations, direction)?;
        messages.current = Some(messages.begin()?);
        Ok(())
    }

    /// Takes a part; one that fails ends the message.
    pub fn message_next(&self, session: CK_SESSION_HANDLE, direction: Kind, part: &[u8]) -> Result<(), Error> {
        let session = self.session(session)?;
        let mut operations = lock(&session.operations);
        let place = &mut messages(&mut operations, direction)?.current;
        let mut signing = place.take().ok_or(Error::OperationNotInitialized)?;
        signing.update(part)?;
        *place = Some(signing);
        Ok(())
    }

    /// Takes the last part and signs.
    pub fn sign_message_last(&self, session: CK_SESSION_HANDLE, part: &[u8], room: Room) -> Result<Produced, Error> {
        let session = self.session(session)?;
        let mut operations = lock(&session.operations);
        let place = &mut messages(&mut operations, Kind::MessageSign)?.current;
        let signing = place.take().ok_or(Error::OperationNotInitialized)?;
        let (produced, unfinished) = self.finish_message(&session, signing, part, room)?;
        *place = unfinished;
        Ok(produced)
    }

    /// Takes the last part and verifies.
    pub fn verify_message_last(&self, session: CK_SESSION_HANDLE, part: &[u8], signature: &[u8]) -> Result<(), Error> {
        let session = self.session(session)?;
        let mut operations = lock(&session.operations);
        let place = &mut messages(&mut operations, Kind::MessageVerify)?.current;
        let mut verifying = place.take().ok_or(Error::OperationNotInitialized)?;
        verifying.update(part)?;
        self.conclude_verification(&session, verifying, signature)
    }

    /// Ends a series, and a message that is under way with it.
    pub fn message_final(&self, session: CK_SESSION_HANDLE, direction: Kind) -> Result<(), Error> {
        let session = self.session(session)?;
        let mut operations = lock(&session.operations);
        messages(&mut operations, direction)?;
        *place(&mut operations, direction) = None;
        Ok(())
    }

    /// The signature; or its length and the message as it was, where there is no room for it.
    fn finish_message(
        &self,
        session: &Session,
        mut signing: Signing,
        part: &[u8],
        room: Room,
    ) -> Result<(Produced, Option<Signing>), Error> {
        if let Some(refusal) = room.refusal(signing.length()) {
            return Ok((refusal, Some(signing)));
        }
        signing.update(part)?;
        self.conclude(session, signing).map(|signature| (Produced::Bytes(signature.into()), None))
    }
}

fn messages(operations: &mut Operations, direction: Kind) -> Result<&mut Messages, Error> {
    place(operations, direction).as_mut().ok_or(Error::OperationNotInitialized)
}

fn place(operations: &mut Operations, direction: Kind) -> &mut Option<Messages> {
    match direction {
        Kind::MessageSign => &mut operations.message_sign,
        _ => &mut operations.message_verify,
    }
}
