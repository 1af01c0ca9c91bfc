//! Finding objects, reading and changing their attributes, making and destroying them.
//!
//! Always true: an object of a session lives in this process alone and ends with its session; an object of the token is the
//! appliance's, and changing one wants a read-write session.

use std::sync::Arc;

use privyseal_remote::KeyChange;
use privyseal_sys::*;
use zeroize::Zeroizing;

use crate::attributes::{self, Template};
use crate::error::Error;
use crate::find::Find;
use crate::key::{split_handle, to_hex, Class, Key};
use crate::lock::lock;
use crate::module::Module;
use crate::plain::Plain;
use crate::session::Session;
use crate::template::{Attributes, Given};

/// The value of an attribute, or why it has none.
pub type Value = Result<Zeroizing<Vec<u8>>, Error>;

/// What a handle names.
#[derive(Clone, Debug)]
pub enum Object {
    /// A half of one of the appliance's keys.
    Key(Arc<Key>, Class),
    /// An object of a session.
    Plain(Arc<Plain>),
}

impl Object {
    fn value(&self, kind: CK_ATTRIBUTE_TYPE) -> Value {
        match self {
            Object::Key(key, class) => attributes::value(key, *class, kind).map(Zeroizing::new),
            Object::Plain(object) => object.value(kind),
        }
    }

    fn size(&self) -> usize {
        match self {
            Object::Key(key, class) => attributes::size(key, *class),
            Object::Plain(object) => object.size(),
        }
    }
}

impl Module {
    /// Begins a search.
    pub fn find_init(&self, session: CK_SESSION_HANDLE, template: Template) -> Result<(), Error> {
        self.begin(
            session,
            |operations| &mut operations.find,
            |session| {
                let (token, appliance) = (&session.token, self.appliance()?);
                let template = if self.engine { template.for_the_engine() } else { template };
                let (logged_in, others) = (token.is_logged_in(), self.session_objects(session, &template));
                let find =
                    Find::start(template, logged_in, others, token.keys(), |query| token.fetch(&appliance, query));
                find.map_err(|error| self.refused("find", error))
            },
        )
    }

    /// The next handles of the search, at most `most`.
    pub fn find(&self, session: CK_SESSION_HANDLE, most: usize) -> Result<Vec<CK_OBJECT_HANDLE>, Error> {
        let session = self.session(session)?;
        let mut operations = lock(&session.operations);
        let find = operations.find.as_mut().ok_or(Error::OperationNotInitialized)?;
        let (token, appliance) = (&session.token, self.appliance()?);
        let found = find.take(most, token.keys(), |query| token.fetch(&appliance, query));
        found.map_err(|error| self.refused("find", error))
    }

    /// Ends the search.
    pub fn find_final(&self, session: CK_SESSION_HANDLE) -> Result<(), Error> {
        let session = self.session(session)?;
        let ended = lock(&session.operations).find.take();
        ended.map(|_| ()).ok_or(Error::OperationNotInitialized)
    }

    /// The value of each attribute, or why it has none: `AttributeSensitive` or `AttributeTypeInvalid`.
    pub fn attributes(
        &self,
        session: CK_SESSION_HANDLE,
        object: CK_OBJECT_HANDLE,
        kinds: &[CK_ATTRIBUTE_TYPE],
    ) -> Result<Vec<Value>, Error> {
        let object = self.object(&*self.session(session)?, object)?;
        Ok(kinds.iter().map(|kind| object.value(*kind)).collect())
    }

    /// About how many bytes the object's attributes have.
    pub fn object_size(&self, session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE) -> Result<usize, Error> {
        self.object(&*self.session(session)?, object).map(|object| object.size())
    }

    /// Makes an object of a session.
    pub fn create_object(&self, handle: CK_SESSION_HANDLE, template: Attributes) -> Result<CK_OBJECT_HANDLE, Error> {
        let session = self.session(handle)?;
        let object = Plain::new(template)?;
        self.add(handle, &session, object)
    }

    /// Copies an object of a session. A key of the appliance has no copy.
    pub fn copy_object(
        &self,
        handle: CK_SESSION_HANDLE,
        object: CK_OBJECT_HANDLE,
        changes: Attributes,
    ) -> Result<CK_OBJECT_HANDLE, Error> {
        let session = self.session(handle)?;
        match self.object(&session, object)? {
            Object::Plain(object) if object.is(CKA_COPYABLE) => self.add(handle, &session, object.copied(changes)?),
            _ => Err(Error::ActionProhibited),
        }
    }

    /// Destroys an object. Of a key's two objects the private one stands for the key; the appliance can restore it for a
    /// while, but it is not shown any more.
    pub fn destroy_object(&self, session: CK_SESSION_HANDLE, handle: CK_OBJECT_HANDLE) -> Result<(), Error> {
        let session = self.session(session)?;
        match self.object(&session, handle)? {
            Object::Plain(object) if object.is(CKA_DESTROYABLE) => {
                self.session_objects.remove(handle);
                Ok(())
            }
            Object::Key(..) if !session.rw => Err(Error::SessionReadOnly),
            Object::Key(key, Class::Private) => self.destroy_key(&session, &key),
            _ => Err(Error::ActionProhibited),
        }
    }

    fn destroy_key(&self, session: &Session, key: &Key) -> Result<(), Error> {
        match self.appliance()?.destroy(session.token.core, &key.record.id) {
            // It is scheduled already. This call may have done so, where an answer was lost and the request repeated.
            Err(error) if error.problem() == Some("conflict") => {}
            answered => answered.map_err(|error| self.refused("destroy", error))?,
        }
        session.token.keys().forget(key);
        Ok(())
    }

    /// Changes attributes: of a key its label and id, which its two objects share.
    pub fn set_attributes(
        &self,
        session: CK_SESSION_HANDLE,
        handle: CK_OBJECT_HANDLE,
        changes: Attributes,
    ) -> Result<(), Error> {
        let session = self.session(session)?;
        match self.object(&session, handle)? {
            Object::Plain(object) if object.is(CKA_MODIFIABLE) => {
                self.session_objects.replace(handle, object.changed(changes)?);
                Ok(())
            }
            Object::Plain(_) => Err(Error::ActionProhibited),
            Object::Key(..) if !session.rw => Err(Error::SessionReadOnly),
            Object::Key(key, class) => match key_change(&key, class, changes)? {
                change if change == KeyChange::default() => Ok(()),
                change => self.change_key(&session, &key, &change),
            },
        }
    }

    fn change_key(&self, session: &Session, key: &Key, change: &KeyChange) -> Result<(), Error> {
        let changed = self.appliance()?.change(session.token.core, &key.record.id, change);
        let record = changed.map_err(|error| self.refused("change", error))?;
        session.token.keys().add(record).map(|_| ()).ok_or(Error::DeviceError)
    }

    /// Keeps an object of a session, which may have been closed since its call began.
    pub(crate) fn add(
        &self,
        handle: CK_SESSION_HANDLE,
        session: &Session,
        object: Plain,
    ) -> Result<CK_OBJECT_HANDLE, Error> {
        match (object.is(CKA_TOKEN), object.is(CKA_PRIVATE)) {
            (true, _) if !session.rw => Err(Error::SessionReadOnly),
            // What the appliance keeps beside keys is not to be reached from here.
            (true, _) => Err(Error::TemplateInconsistent),
            (_, true) if !session.token.is_logged_in() => Err(Error::UserNotLoggedIn),
            _ => {
                let made = self.session_objects.add(handle, session.token.slot, object);
                // Nobody would end the object of a session that has ended already.
                self.session(handle).map(|_| made).inspect_err(|_| self.session_objects.remove(made))
            }
        }
    }

    /// The session objects that fit, private ones only after login.
    fn session_objects(&self, session: &Session, template: &Template) -> Vec<CK_OBJECT_HANDLE> {
        let all = self.session_objects.of_slot(session.token.slot);
        let visible = |object: &Plain| session.token.is_logged_in() || !object.is(CKA_PRIVATE);
        let fitting = all.iter().filter(|(_, object)| visible(object) && template.matches_plain(object));
        fitting.map(|(handle, _)| *handle).collect()
    }

    /// What a handle names in the session's token.
    pub(crate) fn object(&self, session: &Session, object: CK_OBJECT_HANDLE) -> Result<Object, Error> {
        if let Some(plain) = self.session_objects.get(session.token.slot, object) {
            return Ok(Object::Plain(plain));
        }
        let (short, class) = split_handle(object);
        let (token, appliance) = (&session.token, self.appliance()?);
        let found = token.keys().with_short_id(short, |query| token.fetch(&appliance, query));
        let key = found.map_err(|error| self.refused("look up", error))?.ok_or(Error::ObjectHandleInvalid)?;
        Ok(Object::Key(key, class))
    }
}

/// What a program's new values change of a key. A value that the attribute has already changes nothing.
fn key_change(key: &Key, class: Class, changes: Attributes) -> Result<KeyChange, Error> {
    let mut change = KeyChange::default();
    for (kind, value) in changes {
        if attributes::value(key, class, kind)? == value {
            continue;
        }
        // This checks the form of the value too.
        let given = Given::new(vec![(kind, value)], &[CKA_ID]);
        match kind {
            CKA_LABEL => change.label = Some(given?.text(kind).ok_or(Error::AttributeValueInvalid)?.to_owned()),
            CKA_ID => change.object_id = Some(to_hex(given?.required(kind)?)),
            _ => return Err(Error::AttributeReadOnly),
        }
    }
    Ok(change)
}

#[cfg(test)]
mod tests {
    use privyseal_remote::Log;

    use super::*;
    use crate::key::tests::ec_key;
    use crate::plain::SecretOrder;
    use crate::token::{tests::core, Token};

    fn change(kind: CK_ATTRIBUTE_TYPE, value: &[u8]) -> Result<KeyChange, Error> {
        key_change(&ec_key(), Class::Private, vec![(kind, value.to_vec())])
    }

    #[test]
    fn label_and_id_can_be_changed() {
        assert_eq!(change(CKA_LABEL, b"other").unwrap().label.as_deref(), Some("other"));
        assert_eq!(change(CKA_ID, &[0xab, 1]).unwrap().object_id.as_deref(), Some("ab01"));
    }

    #[test]
    fn the_value_that_is_there_changes_nothing() {
        assert_eq!(change(CKA_SENSITIVE, &[CK_TRUE]), Ok(KeyChange::default()));
        assert_eq!(change(CKA_LABEL, b"release"), Ok(KeyChange::default()));
    }

    #[test]
    fn a_secret_is_kept_as_every_object_of_a_session_is() {
        let module = Module::of(None, Log::silent());
        let token = Arc::new(Token::of_core(&core()).unwrap());
        let handle = module.sessions.open(token.clone(), false);
        let session = module.session(handle).unwrap();
        let secret = |template| SecretOrder::new(template).unwrap().fulfil(&[7; 32]).unwrap();
        let private = secret(vec![(CKA_PRIVATE, vec![CK_TRUE])]);
        assert_eq!(module.add(handle, &session, private), Err(Error::UserNotLoggedIn));
        assert!(module.add(handle, &session, secret(vec![])).is_ok());
        module.close_session(handle).unwrap();
        assert_eq!(module.add(handle, &session, secret(vec![])), Err(Error::SessionHandleInvalid));
        assert!(module.session_objects.of_slot(token.slot).is_empty());
    }

    #[test]
    fn everything_else_stays_as_it_is() {
        assert_eq!(change(CKA_SENSITIVE, &[CK_FALSE]), Err(Error::AttributeReadOnly));
        assert_eq!(change(CKA_LABEL, &[0xff]), Err(Error::AttributeValueInvalid));
        assert_eq!(change(CKA_LABEL, b""), Err(Error::AttributeValueInvalid));
        assert_eq!(change(CKA_MODULUS, b""), Err(Error::AttributeTypeInvalid));
        assert_eq!(change(CKA_VALUE, b""), Err(Error::AttributeSensitive));
    }
}
