//! Sessions and login (PKCS #11 v2.40, section 5.6; v3.0, sections 5.6.9 and 5.6.11).

use std::ffi::c_void;

use privyseal_sys::*;

use crate::exported;
use crate::memory::{bytes, read, write};

/// Of the label that `C_InitToken` takes.
const LABEL_LENGTH: CK_ULONG = 32;

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

    /// Refuses to make a token.
    fn C_InitToken(slotID: CK_SLOT_ID, pPin: *mut CK_UTF8CHAR, ulPinLen: CK_ULONG, pLabel: *mut CK_UTF8CHAR) |module| {
        unsafe { (bytes(pPin, ulPinLen)?, bytes(pLabel, LABEL_LENGTH)?) };
        Err(module.init_token(slotID))
    }

    /// Refuses to set the first PIN.
    fn C_InitPIN(hSession: CK_SESSION_HANDLE, pPin: *mut CK_UTF8CHAR, ulPinLen: CK_ULONG) |module| {
        unsafe { bytes(pPin, ulPinLen)? };
        Err(module.init_pin(hSession))
    }

    /// Refuses to change the PIN.
    fn C_SetPIN(
        hSession: CK_SESSION_HANDLE,
        pOldPin: *mut CK_UTF8CHAR,
        ulOldLen: CK_ULONG,
        pNewPin: *mut CK_UTF8CHAR,
        ulNewLen: CK_ULONG,
    ) |module| {
        unsafe { (bytes(pOldPin, ulOldLen)?, bytes(pNewPin, ulNewLen)?) };
        Err(module.set_pin(hSession))
    }

    /// Says that no operation here can be saved.
    fn C_GetOperationState(hSession: CK_SESSION_HANDLE, _pState: *mut CK_BYTE, pulStateLen: *mut CK_ULONG) |module| {
        unsafe { read(pulStateLen)? };
        Err(module.operation_state(hSession))
    }

    /// Knows no saved operation.
    fn C_SetOperationState(
        hSession: CK_SESSION_HANDLE,
        pState: *mut CK_BYTE,
        ulStateLen: CK_ULONG,
        _hEncryptionKey: CK_OBJECT_HANDLE,
        _hAuthenticationKey: CK_OBJECT_HANDLE,
    ) |module| {
        unsafe { bytes(pState, ulStateLen)? };
        Err(module.set_operation_state(hSession))
    }

    /// Logs in with a user's name, which can be that of the configuration alone.
    fn C_LoginUser(
        hSession: CK_SESSION_HANDLE,
        userType: CK_USER_TYPE,
        pPin: *mut CK_UTF8CHAR,
        ulPinLen: CK_ULONG,
        pUsername: *mut CK_UTF8CHAR,
        ulUsernameLen: CK_ULONG,
    ) |module| {
        let (pin, name) = unsafe { (bytes(pPin, ulPinLen)?, bytes(pUsername, ulUsernameLen)?) };
        module.login_user_named(hSession, userType, pin, name)
    }

    /// Ends the operations that the flags name.
    fn C_SessionCancel(hSession: CK_SESSION_HANDLE, flags: CK_FLAGS) |module| {
        module.session_cancel(hSession, flags)
    }

    /// Says that nothing of this token has been validated by anybody.
    fn C_GetSessionValidationFlags(
        hSession: CK_SESSION_HANDLE,
        kind: CK_SESSION_VALIDATION_FLAGS_TYPE,
        pFlags: *mut CK_FLAGS,
    ) |module| {
        unsafe { write(pFlags, module.validation_flags(hSession, kind)?) }
    }
}
