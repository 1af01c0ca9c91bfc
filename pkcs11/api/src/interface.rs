//! How a program of PKCS #11 v3.0 finds the function lists (v3.0, sections 5.4.5 and 5.4.6).
//!
//! Always true: the interface is named `PKCS 11` and comes in three versions, the newest first, which is what a program gets
//! that names no version; each works before `C_Initialize`. None is fork-safe in v3.0's sense, because a child has to call
//! `C_Initialize` itself.

use std::ffi::{c_void, CStr};
use std::ptr;

use privyseal_sys::*;
use privyseal_token::Error;

use crate::list::{FUNCTION_LIST, FUNCTION_LIST_3_0, FUNCTION_LIST_3_2, V2_40, V3_0, V3_2};
use crate::memory::{read, write, Output};
use crate::state::guarded;

const NAME: &CStr = c"PKCS 11";

/// CK_INTERFACE holds pointers, which are not `Sync` by themselves.
struct Interface(CK_VERSION, CK_INTERFACE);

// SAFETY: what it points at is constant, and callers only read it.
unsafe impl Sync for Interface {}

static INTERFACES: [Interface; 3] = [
    interface(V3_2, (&raw const FUNCTION_LIST_3_2).cast()),
    interface(V3_0, (&raw const FUNCTION_LIST_3_0).cast()),
    interface(V2_40, (&raw const FUNCTION_LIST).cast()),
];

const fn interface(version: CK_VERSION, list: *const c_void) -> Interface {
    let name = NAME.as_ptr() as *mut CK_UTF8CHAR;
    Interface(version, CK_INTERFACE { pInterfaceName: name, pFunctionList: list.cast_mut(), flags: 0 })
}

/// Gives all interfaces.
#[no_mangle]
pub unsafe extern "C" fn C_GetInterfaceList(pInterfacesList: *mut CK_INTERFACE, pulCount: *mut CK_ULONG) -> CK_RV {
    let interfaces = INTERFACES.each_ref().map(|one| one.1);
    // SAFETY: by the specification the pointers are NULL or point at the list's room and length.
    guarded(|| unsafe { Output::new(pInterfacesList, pulCount)? }.give(&interfaces))
}

/// Gives the interface with a name, version and flags. NULL and 0 stand for whatever there is, the newest version first.
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
            if !is_name(pInterfaceName) || flags != 0 {
                return Err(Error::FunctionFailed);
            }
            let found = with_version(pVersion)?.ok_or(Error::FunctionFailed)?;
            write(ppInterface, (&raw const found.1).cast_mut())
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
unsafe fn with_version(version: *const CK_VERSION) -> Result<Option<&'static Interface>, Error> {
    if version.is_null() {
        return Ok(INTERFACES.first());
    }
    // SAFETY: the caller vouches for the pointer.
    let wanted = unsafe { read(version)? };
    Ok(INTERFACES.iter().find(|one| (one.0.major, one.0.minor) == (wanted.major, wanted.minor)))
}
