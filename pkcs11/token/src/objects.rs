//! Finding objects and reading their attributes.

use std::sync::Arc;

use privyseal_sys::*;

use crate::attributes::{self, Template};
use crate::error::Error;
use crate::find::Find;
use crate::key::{split_handle, Class, Key};
use crate::lock::lock;
use crate::module::Module;
use crate::session::Session;

impl Module {
    /// Begins a search.
    pub fn find_init(&self, session: CK_SESSION_HANDLE, template: Template) -> Result<(), Error> {
        let session = self.session(session)?;
        let mut operations = lock(&session.operations);
        if operations.find.is_some() {
            return Err(Error::OperationActive);
        }
        let (token, appliance) = (&session.token, self.appliance()?);
        let find = Find::start(template, token.is_logged_in(), token.keys(), |query| token.fetch(&appliance, query));
        operations.find = Some(find.map_err(|error| self.refused("find", error))?);
        Ok(())
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
    ) -> Result<Vec<Result<Vec<u8>, Error>>, Error> {
        let (key, class) = self.object(&*self.session(session)?, object)?;
        Ok(kinds.iter().map(|kind| attributes::value(&key, class, *kind)).collect())
    }

    /// About how many bytes the object's attributes have.
    pub fn object_size(&self, session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE) -> Result<usize, Error> {
        let (key, class) = self.object(&*self.session(session)?, object)?;
        Ok(attributes::size(&key, class))
    }

    /// The key and class that a handle names in the session's token.
    pub(crate) fn object(&self, session: &Session, object: CK_OBJECT_HANDLE) -> Result<(Arc<Key>, Class), Error> {
        let (short, class) = split_handle(object);
        let (token, appliance) = (&session.token, self.appliance()?);
        let found = token.keys().with_short_id(short, |query| token.fetch(&appliance, query));
        let key = found.map_err(|error| self.refused("look up", error))?.ok_or(Error::ObjectHandleInvalid)?;
        Ok((key, class))
    }
}
