//! How a program of PKCS #11 v3.0 finds the function list (v3.0, sections 5.4.5 and 5.4.6).
//!
//! Always true: there is one interface, `PKCS 11` in version 2.40, and it works before `C_Initialize`. It is not fork-safe
//! in v3.0's sense, because a child has to call `C_Initialize` itself.

use std::ffi::{c_void, CStr};
use std::ptr;

use privyseal_sys::*;
use privyseal_token::Error;

use crate::list::FUNCTION_LIST;
use crate::memory::{read, write, Output};
use crate::state::guarded;

const NAME: &CStr = c"PKCS 11";

/// CK_INTERFACE holds pointers, which are not `Sync` by themselves.
struct Interface(CK_INTERFACE);

// SAFETY: what it points at is constant, and callers only read it.
unsafe impl Sync for Interface {}

static INTERFACE: Interface = Interface(CK_INTERFACE {
    pInterfaceName: NAME.as_ptr() as *mut CK_UTF8CHAR,
    pFunctionList: (&raw const FUNCTION_LIST) as *mut c_void,
    flags: 0,
});

/// Gives all interfaces: one.
#[no_mangle]
pub unsafe extern "C" fn C_GetInterfaceList(pInterfacesList: *mut CK_INTERFACE, pulCount: *mut CK_ULONG) -> CK_RV {
    // SAFETY: by the specification the pointers are NULL or point at the list's room and length.
    guarded(|| unsafe { Output::new(pInterfacesList, pulCount)? }.give(&[INTERFACE.0]))
}

/// Gives the interface with a name, version and flags. NULL and 0 stand for whatever there is.
#[no_mangle]
pub unsafe extern "C" fn C_GetInterface(
    pInterfaceName: *mut CK_UTF8CHAR,
    pVersion: *mut CK_VERSION,
    ppInterface: *mut *mut CK_INTERFACE,
    flags: CK_FLAGS,
) -> CK_RV {
    guarded(|| {
        // SAFETY: by the specification the pointers are NULL or point at a text, a version and room for a pointer.
        unsafe {
            write(ppInterface, ptr::null_mut())?;
            if !(is_name(pInterfaceName) && is_version(pVersion)? && flags == 0) {
                return Err(Error::FunctionFailed);
            }
            write(ppInterface, (&raw const INTERFACE.0).cast_mut())
        }
    })
}

/// # Safety
/// `name` is NULL or points at a text that ends with a zero.
unsafe fn is_name(name: *const CK_UTF8CHAR) -> bool {
    // SAFETY: the caller vouches for the pointer.
    name.is_null() || unsafe { CStr::from_ptr(name.cast()) } == NAME
}

/// # Safety
/// `version` is NULL or points at a version.
unsafe fn is_version(version: *const CK_VERSION) -> Result<bool, Error> {
    if version.is_null() {
        return Ok(true);
    }
    // SAFETY: the caller vouches for the pointer.
    let version = unsafe { read(version)? };
    Ok((version.major, version.minor) == (2, 40))
}
