//! Encryption and decryption (PKCS #11 v2.40, sections 5.8 and 5.9), of data that come in one call.

use privyseal_sys::*;
use privyseal_token::Kind;

use crate::crypto::{begin, give, or_end};
use crate::exported;
use crate::memory::{bytes, Output};

exported! {
    /// Begins an encryption.
    fn C_EncryptInit(hSession: CK_SESSION_HANDLE, pMechanism: *mut CK_MECHANISM, hKey: CK_OBJECT_HANDLE) |module| {
        unsafe { begin(module, hSession, Kind::Encrypt, pMechanism, |kind, parameter| {
            module.encrypt_init(hSession, kind, parameter, hKey)
        }) }
    }

    /// Encrypts data.
    fn C_Encrypt(
        hSession: CK_SESSION_HANDLE,
        pData: *mut CK_BYTE,
        ulDataLen: CK_ULONG,
        pEncryptedData: *mut CK_BYTE,
        pulEncryptedDataLen: *mut CK_ULONG,
    ) |module| {
        let given = unsafe {
            bytes(pData, ulDataLen).and_then(|data| Ok((data, Output::new(pEncryptedData, pulEncryptedDataLen)?)))
        };
        let (data, output) = or_end(module, hSession, Kind::Encrypt, given)?;
        give(output, module.encrypt(hSession, data, output.room)?)
    }

    /// Begins a decryption.
    fn C_DecryptInit(hSession: CK_SESSION_HANDLE, pMechanism: *mut CK_MECHANISM, hKey: CK_OBJECT_HANDLE) |module| {
        unsafe { begin(module, hSession, Kind::Decrypt, pMechanism, |kind, parameter| {
            module.decrypt_init(hSession, kind, parameter, hKey)
        }) }
    }

    /// Decrypts data.
    fn C_Decrypt(
        hSession: CK_SESSION_HANDLE,
        pEncryptedData: *mut CK_BYTE,
        ulEncryptedDataLen: CK_ULONG,
        pData: *mut CK_BYTE,
        pulDataLen: *mut CK_ULONG,
    ) |module| {
        let given = unsafe {
            bytes(pEncryptedData, ulEncryptedDataLen).and_then(|data| Ok((data, Output::new(pData, pulDataLen)?)))
        };
        let (data, output) = or_end(module, hSession, Kind::Decrypt, given)?;
        give(output, module.decrypt(hSession, data, output.room)?)
    }
}
