//! General-purpose functions, slots and tokens (PKCS #11 v2.40, sections 5.4 and 5.5).

use std::ffi::c_void;

use privyseal_sys::*;
use privyseal_token::Error;

use crate::exported;
use crate::list::{FUNCTION_LIST, V2_40, V3_0, V3_2};
use crate::memory::{read, reserved, write, Output};
use crate::state;

/// Begins to use the module. It locks for itself with the operating system's locks, whatever the arguments say.
#[no_mangle]
pub unsafe extern "C" fn C_Initialize(pInitArgs: *mut c_void) -> CK_RV {
    state::guarded(|| {
        let arguments = pInitArgs as *const CK_C_INITIALIZE_ARGS;
        if !arguments.is_null() {
            // SAFETY: it is not NULL, so by the specification it points at the arguments.
            check_arguments(unsafe { read(arguments)? })?;
        }
        state::initialize()
    })
}

/// Some of the mutex functions without the others make no sense (section 5.4).
fn check_arguments(arguments: CK_C_INITIALIZE_ARGS) -> Result<(), Error> {
    reserved(arguments.pReserved)?;
    let given = [
        arguments.CreateMutex.is_some(),
        arguments.DestroyMutex.is_some(),
        arguments.LockMutex.is_some(),
        arguments.UnlockMutex.is_some(),
    ];
    match given.iter().all(|one| *one == given[0]) {
        true => Ok(()),
        false => Err(Error::ArgumentsBad),
    }
}

/// Ends the use of the module.
#[no_mangle]
pub unsafe extern "C" fn C_Finalize(pReserved: *mut c_void) -> CK_RV {
    state::guarded(|| reserved(pReserved).and_then(|()| state::finalize()))
}

/// Gives the function list; it works before `C_Initialize`.
#[no_mangle]
pub unsafe extern "C" fn C_GetFunctionList(ppFunctionList: *mut *mut CK_FUNCTION_LIST) -> CK_RV {
    // SAFETY: by the specification it points at room for a pointer. Callers only read the list.
    state::guarded(|| unsafe { write(ppFunctionList, (&raw const FUNCTION_LIST).cast_mut()) })
}

/// `C_GetInfo` of v3.0's list.
pub unsafe extern "C" fn get_info_of_3_0(pInfo: *mut CK_INFO) -> CK_RV {
    // SAFETY: as for every C function.
    state::answer("C_GetInfo", |module| unsafe { write(pInfo, module.info(V3_0)) })
}

/// `C_GetInfo` of v3.2's list.
pub unsafe extern "C" fn get_info_of_3_2(pInfo: *mut CK_INFO) -> CK_RV {
    // SAFETY: as for every C function.
    state::answer("C_GetInfo", |module| unsafe { write(pInfo, module.info(V3_2)) })
}

exported! {
    /// What the module is.
    fn C_GetInfo(pInfo: *mut CK_INFO) |module| {
        unsafe { write(pInfo, module.info(V2_40)) }
    }

    /// The slots. The appliance is asked when a program asks for their number.
    fn C_GetSlotList(_tokenPresent: CK_BBOOL, pSlotList: *mut CK_SLOT_ID, pulCount: *mut CK_ULONG) |module| {
        let output = unsafe { Output::new(pSlotList, pulCount)? };
        output.give(&module.slot_list(pSlotList.is_null()))
    }

    /// What a slot is.
    fn C_GetSlotInfo(slotID: CK_SLOT_ID, pInfo: *mut CK_SLOT_INFO) |module| {
        unsafe { write(pInfo, module.slot_info(slotID)?) }
    }

    /// What the token in a slot is.
    fn C_GetTokenInfo(slotID: CK_SLOT_ID, pInfo: *mut CK_TOKEN_INFO) |module| {
        unsafe { write(pInfo, module.token_info(slotID)?) }
    }

    /// The mechanisms.
    fn C_GetMechanismList(slotID: CK_SLOT_ID, pMechanismList: *mut CK_MECHANISM_TYPE, pulCount: *mut CK_ULONG) |module| {
        let output = unsafe { Output::new(pMechanismList, pulCount)? };
        output.give(&module.mechanisms(slotID)?)
    }

    /// What a mechanism can do.
    fn C_GetMechanismInfo(slotID: CK_SLOT_ID, kind: CK_MECHANISM_TYPE, pInfo: *mut CK_MECHANISM_INFO) |module| {
        unsafe { write(pInfo, module.mechanism_info(slotID, kind)?) }
    }

    /// Says that nothing has happened.
    fn C_WaitForSlotEvent(flags: CK_FLAGS, _pSlot: *mut CK_SLOT_ID, pReserved: *mut c_void) |module| {
        reserved(pReserved)?;
        Err(module.wait_for_slot_event(flags))
    }
}
