//! Objects (PKCS #11 v2.40, section 5.7).

use privyseal_sys::*;
use privyseal_token::{Error, Template};

use crate::exported;
use crate::memory::{attributes, fill, read, template, write};

exported! {
    /// Makes an object of the session.
    fn C_CreateObject(
        hSession: CK_SESSION_HANDLE,
        pTemplate: *mut CK_ATTRIBUTE,
        ulCount: CK_ULONG,
        phObject: *mut CK_OBJECT_HANDLE,
    ) |module| {
        let wanted = unsafe { template(pTemplate, ulCount)? };
        unsafe { write(phObject, CK_INVALID_HANDLE)? };
        unsafe { write(phObject, module.create_object(hSession, wanted)?) }
    }

    /// Copies an object of a session.
    fn C_CopyObject(
        hSession: CK_SESSION_HANDLE,
        hObject: CK_OBJECT_HANDLE,
        pTemplate: *mut CK_ATTRIBUTE,
        ulCount: CK_ULONG,
        phNewObject: *mut CK_OBJECT_HANDLE,
    ) |module| {
        let changes = unsafe { template(pTemplate, ulCount)? };
        unsafe { write(phNewObject, CK_INVALID_HANDLE)? };
        unsafe { write(phNewObject, module.copy_object(hSession, hObject, changes)?) }
    }

    /// Destroys an object.
    fn C_DestroyObject(hSession: CK_SESSION_HANDLE, hObject: CK_OBJECT_HANDLE) |module| {
        module.destroy_object(hSession, hObject)
    }

    /// Changes attributes.
    fn C_SetAttributeValue(
        hSession: CK_SESSION_HANDLE,
        hObject: CK_OBJECT_HANDLE,
        pTemplate: *mut CK_ATTRIBUTE,
        ulCount: CK_ULONG,
    ) |module| {
        if pTemplate.is_null() {
            return Err(Error::ArgumentsBad);
        }
        module.set_attributes(hSession, hObject, unsafe { template(pTemplate, ulCount)? })
    }

    /// About how large an object is.
    fn C_GetObjectSize(hSession: CK_SESSION_HANDLE, hObject: CK_OBJECT_HANDLE, pulSize: *mut CK_ULONG) |module| {
        unsafe { read(pulSize)? };
        unsafe { write(pulSize, module.object_size(hSession, hObject)? as CK_ULONG) }
    }

    /// Reads attributes. All are tried; one that has no value or no room makes the answer an error (section 5.7.5).
    fn C_GetAttributeValue(
        hSession: CK_SESSION_HANDLE,
        hObject: CK_OBJECT_HANDLE,
        pTemplate: *mut CK_ATTRIBUTE,
        ulCount: CK_ULONG,
    ) |module| {
        if pTemplate.is_null() {
            return Err(Error::ArgumentsBad);
        }
        let wanted = unsafe { attributes(pTemplate, ulCount)? };
        let kinds: Vec<_> = wanted.iter().map(|one| one.type_).collect();
        let values = module.attributes(hSession, hObject, &kinds)?;
        let mut result = Ok(());
        for (index, (mut one, value)) in wanted.into_iter().zip(values).enumerate() {
            let answer = unsafe { answer_attribute(&mut one, value) };
            result = result.and(answer);
            unsafe { write(pTemplate.add(index), one)? };
        }
        result
    }

    /// Begins a search.
    fn C_FindObjectsInit(hSession: CK_SESSION_HANDLE, pTemplate: *mut CK_ATTRIBUTE, ulCount: CK_ULONG) |module| {
        let wanted = unsafe { template(pTemplate, ulCount)? };
        module.find_init(hSession, Template::new(wanted))
    }

    /// The next objects.
    fn C_FindObjects(
        hSession: CK_SESSION_HANDLE,
        phObject: *mut CK_OBJECT_HANDLE,
        ulMaxObjectCount: CK_ULONG,
        pulObjectCount: *mut CK_ULONG,
    ) |module| {
        if phObject.is_null() || pulObjectCount.is_null() {
            return Err(Error::ArgumentsBad);
        }
        let found = module.find(hSession, ulMaxObjectCount as usize)?;
        unsafe { fill(phObject, &found)? };
        unsafe { write(pulObjectCount, found.len() as CK_ULONG) }
    }

    /// Ends a search.
    fn C_FindObjectsFinal(hSession: CK_SESSION_HANDLE) |module| {
        module.find_final(hSession)
    }
}

/// Puts a value where the program wants it, or says in its length that this could not be.
///
/// # Safety
/// `one.pValue` is NULL or points at `one.ulValueLen` bytes.
unsafe fn answer_attribute(one: &mut CK_ATTRIBUTE, value: Result<impl AsRef<[u8]>, Error>) -> Result<(), Error> {
    let room = one.ulValueLen as usize;
    one.ulValueLen = CK_UNAVAILABLE_INFORMATION;
    let value = value?;
    let value = value.as_ref();
    if !one.pValue.is_null() {
        if room < value.len() {
            return Err(Error::BufferTooSmall);
        }
        // SAFETY: there is room, and the caller vouches for the pointer.
        unsafe { fill(one.pValue.cast::<u8>(), value)? };
    }
    one.ulValueLen = value.len() as CK_ULONG;
    Ok(())
}
