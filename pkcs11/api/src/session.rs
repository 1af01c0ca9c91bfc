//! Sessions and login (PKCS #11 v2.40, section 5.6).

use std::ffi::c_void;

use privyseal_sys::*;

use crate::exported;
use crate::memory::{bytes, write};

exported! {
    /// Opens a session. The token never calls back, so the notification is not kept.
    fn C_OpenSession(
        slotID: CK_SLOT_ID,
        flags: CK_FLAGS,
        _pApplication: *mut c_void,
        _Notify: CK_NOTIFY,
        phSession: *mut CK_SESSION_HANDLE,
    ) |module| {
        unsafe { write(phSession, CK_INVALID_HANDLE)? };
        unsafe { write(phSession, module.open_session(slotID, flags)?) }
    }

    /// Closes a session.
    fn C_CloseSession(hSession: CK_SESSION_HANDLE) |module| {
        module.close_session(hSession)
    }

    /// Closes a slot's sessions.
    fn C_CloseAllSessions(slotID: CK_SLOT_ID) |module| {
        module.close_all_sessions(slotID)
    }

    /// What a session is.
    fn C_GetSessionInfo(hSession: CK_SESSION_HANDLE, pInfo: *mut CK_SESSION_INFO) |module| {
        unsafe { write(pInfo, module.session_info(hSession)?) }
    }

    /// Logs in.
    fn C_Login(hSession: CK_SESSION_HANDLE, userType: CK_USER_TYPE, pPin: *mut CK_UTF8CHAR, ulPinLen: CK_ULONG) |module| {
        let pin = unsafe { bytes(pPin, ulPinLen)? };
        module.login(hSession, userType, pin)
    }

    /// Logs out.
    fn C_Logout(hSession: CK_SESSION_HANDLE) |module| {
        module.logout(hSession)
    }
}
