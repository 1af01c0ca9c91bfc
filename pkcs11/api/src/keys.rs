//! Making keys and coming to share them (PKCS #11 v2.40, section 5.13; v3.2, section 5.18).

use privyseal_sys::*;
use privyseal_token::Error;

use crate::crypto::give;
use crate::exported;
use crate::memory::{bytes, mechanism, template, write, Output};

exported! {
    /// Makes a secret key.
    fn C_GenerateKey(
        hSession: CK_SESSION_HANDLE,
        pMechanism: *mut CK_MECHANISM,
        pTemplate: *mut CK_ATTRIBUTE,
        ulCount: CK_ULONG,
        phKey: *mut CK_OBJECT_HANDLE,
    ) |module| {
        let ((kind, _), wanted) = unsafe { (mechanism(pMechanism)?, template(pTemplate, ulCount)?) };
        unsafe { write(phKey, CK_INVALID_HANDLE)? };
        unsafe { write(phKey, module.generate_key(hSession, kind, wanted)?) }
    }

    /// Makes a key pair.
    fn C_GenerateKeyPair(
        hSession: CK_SESSION_HANDLE,
        pMechanism: *mut CK_MECHANISM,
        pPublicKeyTemplate: *mut CK_ATTRIBUTE,
        ulPublicKeyAttributeCount: CK_ULONG,
        pPrivateKeyTemplate: *mut CK_ATTRIBUTE,
        ulPrivateKeyAttributeCount: CK_ULONG,
        phPublicKey: *mut CK_OBJECT_HANDLE,
        phPrivateKey: *mut CK_OBJECT_HANDLE,
    ) |module| {
        let (kind, parameter) = unsafe { mechanism(pMechanism)? };
        let public = unsafe { template(pPublicKeyTemplate, ulPublicKeyAttributeCount)? };
        let private = unsafe { template(pPrivateKeyTemplate, ulPrivateKeyAttributeCount)? };
        if phPublicKey.is_null() || phPrivateKey.is_null() {
            return Err(Error::ArgumentsBad);
        }
        let made = module.generate_key_pair(hSession, kind, &parameter, public, private)?;
        unsafe { write(phPublicKey, made[0]).and_then(|()| write(phPrivateKey, made[1])) }
    }

    /// Derives a secret key of the session.
    fn C_DeriveKey(
        hSession: CK_SESSION_HANDLE,
        pMechanism: *mut CK_MECHANISM,
        hBaseKey: CK_OBJECT_HANDLE,
        pTemplate: *mut CK_ATTRIBUTE,
        ulAttributeCount: CK_ULONG,
        phKey: *mut CK_OBJECT_HANDLE,
    ) |module| {
        let ((kind, parameter), wanted) = unsafe { (mechanism(pMechanism)?, template(pTemplate, ulAttributeCount)?) };
        unsafe { write(phKey, CK_INVALID_HANDLE)? };
        unsafe { write(phKey, module.derive_key(hSession, kind, &parameter, hBaseKey, wanted)?) }
    }

    /// Makes a secret key of the session and the ciphertext that takes it to the holder of a key.
    fn C_EncapsulateKey(
        hSession: CK_SESSION_HANDLE,
        pMechanism: *mut CK_MECHANISM,
        hPublicKey: CK_OBJECT_HANDLE,
        pTemplate: *mut CK_ATTRIBUTE,
        ulAttributeCount: CK_ULONG,
        pCiphertext: *mut CK_BYTE,
        pulCiphertextLen: *mut CK_ULONG,
        phKey: *mut CK_OBJECT_HANDLE,
    ) |module| {
        let ((kind, parameter), wanted) = unsafe { (mechanism(pMechanism)?, template(pTemplate, ulAttributeCount)?) };
        let output = unsafe { Output::new(pCiphertext, pulCiphertextLen)? };
        if !pCiphertext.is_null() {
            unsafe { write(phKey, CK_INVALID_HANDLE)? };
        }
        let (produced, key) = module.encapsulate_key(hSession, kind, &parameter, hPublicKey, wanted, output.room)?;
        give(output, produced)?;
        match pCiphertext.is_null() {
            true => Ok(()),
            false => unsafe { write(phKey, key) },
        }
    }

    /// Takes a secret key of the session out of a ciphertext.
    fn C_DecapsulateKey(
        hSession: CK_SESSION_HANDLE,
        pMechanism: *mut CK_MECHANISM,
        hPrivateKey: CK_OBJECT_HANDLE,
        pTemplate: *mut CK_ATTRIBUTE,
        ulAttributeCount: CK_ULONG,
        pCiphertext: *mut CK_BYTE,
        ulCiphertextLen: CK_ULONG,
        phKey: *mut CK_OBJECT_HANDLE,
    ) |module| {
        let ((kind, parameter), wanted) = unsafe { (mechanism(pMechanism)?, template(pTemplate, ulAttributeCount)?) };
        let ciphertext = unsafe { bytes(pCiphertext, ulCiphertextLen)? };
        unsafe { write(phKey, CK_INVALID_HANDLE)? };
        unsafe { write(phKey, module.decapsulate_key(hSession, kind, &parameter, hPrivateKey, wanted, ciphertext)?) }
    }
}
