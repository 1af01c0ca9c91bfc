//! Making keys (PKCS #11 v2.40, section 5.13).

use privyseal_sys::*;
use privyseal_token::Error;

use crate::exported;
use crate::memory::{mechanism, template, write};

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
}
