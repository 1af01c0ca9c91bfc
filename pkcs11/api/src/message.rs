//! Signatures and verifications of many messages with one key (PKCS #11 v3.0, sections 5.14 and 5.16), and verification
//! with the signature given first (v3.2).
//!
//! Always true: no mechanism here has a parameter that differs from message to message, so each of them has to be empty.

use std::ffi::c_void;

use privyseal_sys::*;
use privyseal_token::{Error, Kind};

use crate::crypto::{begin, give, or_end};
use crate::exported;
use crate::memory::{bytes, Output};

exported! {
    /// Begins to sign messages.
    fn C_MessageSignInit(hSession: CK_SESSION_HANDLE, pMechanism: *mut CK_MECHANISM, hKey: CK_OBJECT_HANDLE) |module| {
        unsafe { begin(module, hSession, Kind::MessageSign, pMechanism, |kind, parameter| {
            module.message_sign_init(hSession, kind, parameter, hKey)
        }) }
    }

    /// Signs a message.
    fn C_SignMessage(
        hSession: CK_SESSION_HANDLE,
        pParameter: *mut c_void,
        ulParameterLen: CK_ULONG,
        pData: *mut CK_BYTE,
        ulDataLen: CK_ULONG,
        pSignature: *mut CK_BYTE,
        pulSignatureLen: *mut CK_ULONG,
    ) |module| {
        no_parameter(pParameter, ulParameterLen)?;
        let (data, output) = unsafe { (bytes(pData, ulDataLen)?, Output::new(pSignature, pulSignatureLen)?) };
        give(output, module.sign_message(hSession, data, output.room)?)
    }

    /// Begins to sign a message in parts.
    fn C_SignMessageBegin(hSession: CK_SESSION_HANDLE, pParameter: *mut c_void, ulParameterLen: CK_ULONG) |module| {
        no_parameter(pParameter, ulParameterLen)?;
        module.message_begin(hSession, Kind::MessageSign)
    }

    /// Takes a part of a message; with room for the signature it is the last one.
    fn C_SignMessageNext(
        hSession: CK_SESSION_HANDLE,
        pParameter: *mut c_void,
        ulParameterLen: CK_ULONG,
        pData: *mut CK_BYTE,
        ulDataLen: CK_ULONG,
        pSignature: *mut CK_BYTE,
        pulSignatureLen: *mut CK_ULONG,
    ) |module| {
        no_parameter(pParameter, ulParameterLen)?;
        let data = unsafe { bytes(pData, ulDataLen)? };
        if pulSignatureLen.is_null() {
            return module.message_next(hSession, Kind::MessageSign, data);
        }
        let output = unsafe { Output::new(pSignature, pulSignatureLen)? };
        give(output, module.sign_message_last(hSession, data, output.room)?)
    }

    /// Ends the signing of messages.
    fn C_MessageSignFinal(hSession: CK_SESSION_HANDLE) |module| {
        module.message_final(hSession, Kind::MessageSign)
    }

    /// Begins to verify messages.
    fn C_MessageVerifyInit(hSession: CK_SESSION_HANDLE, pMechanism: *mut CK_MECHANISM, hKey: CK_OBJECT_HANDLE) |module| {
        unsafe { begin(module, hSession, Kind::MessageVerify, pMechanism, |kind, parameter| {
            module.message_verify_init(hSession, kind, parameter, hKey)
        }) }
    }

    /// Verifies a message.
    fn C_VerifyMessage(
        hSession: CK_SESSION_HANDLE,
        pParameter: *mut c_void,
        ulParameterLen: CK_ULONG,
        pData: *mut CK_BYTE,
        ulDataLen: CK_ULONG,
        pSignature: *mut CK_BYTE,
        ulSignatureLen: CK_ULONG,
    ) |module| {
        no_parameter(pParameter, ulParameterLen)?;
        let (data, signature) = unsafe { (bytes(pData, ulDataLen)?, bytes(pSignature, ulSignatureLen)?) };
        module.verify_message(hSession, data, signature)
    }

    /// Begins to verify a message in parts.
    fn C_VerifyMessageBegin(hSession: CK_SESSION_HANDLE, pParameter: *mut c_void, ulParameterLen: CK_ULONG) |module| {
        no_parameter(pParameter, ulParameterLen)?;
        module.message_begin(hSession, Kind::MessageVerify)
    }

    /// Takes a part of a message; with a signature it is the last one.
    fn C_VerifyMessageNext(
        hSession: CK_SESSION_HANDLE,
        pParameter: *mut c_void,
        ulParameterLen: CK_ULONG,
        pData: *mut CK_BYTE,
        ulDataLen: CK_ULONG,
        pSignature: *mut CK_BYTE,
        ulSignatureLen: CK_ULONG,
    ) |module| {
        no_parameter(pParameter, ulParameterLen)?;
        let (data, signature) = unsafe { (bytes(pData, ulDataLen)?, bytes(pSignature, ulSignatureLen)?) };
        match pSignature.is_null() {
            true => module.message_next(hSession, Kind::MessageVerify, data),
            false => module.verify_message_last(hSession, data, signature),
        }
    }

    /// Ends the verification of messages.
    fn C_MessageVerifyFinal(hSession: CK_SESSION_HANDLE) |module| {
        module.message_final(hSession, Kind::MessageVerify)
    }

    /// Begins a verification of this signature.
    fn C_VerifySignatureInit(
        hSession: CK_SESSION_HANDLE,
        pMechanism: *mut CK_MECHANISM,
        hKey: CK_OBJECT_HANDLE,
        pSignature: *mut CK_BYTE,
        ulSignatureLen: CK_ULONG,
    ) |module| {
        let signature = unsafe { bytes(pSignature, ulSignatureLen)? };
        unsafe { begin(module, hSession, Kind::VerifySignature, pMechanism, |kind, parameter| {
            module.verify_signature_init(hSession, kind, parameter, hKey, signature)
        }) }
    }

    /// Verifies it over this data.
    fn C_VerifySignature(hSession: CK_SESSION_HANDLE, pData: *mut CK_BYTE, ulDataLen: CK_ULONG) |module| {
        let data = or_end(module, hSession, Kind::VerifySignature, unsafe { bytes(pData, ulDataLen) })?;
        module.verify_signature(hSession, Some(data))
    }

    /// Takes a part of the data.
    fn C_VerifySignatureUpdate(hSession: CK_SESSION_HANDLE, pPart: *mut CK_BYTE, ulPartLen: CK_ULONG) |module| {
        let part = or_end(module, hSession, Kind::VerifySignature, unsafe { bytes(pPart, ulPartLen) })?;
        module.verify_signature_update(hSession, part)
    }

    /// Verifies it over the parts.
    fn C_VerifySignatureFinal(hSession: CK_SESSION_HANDLE) |module| {
        module.verify_signature(hSession, None)
    }
}

fn no_parameter(pointer: *mut c_void, length: CK_ULONG) -> Result<(), Error> {
    match (pointer.is_null(), length) {
        (_, 0) => Ok(()),
        (true, _) => Err(Error::ArgumentsBad),
        (false, _) => Err(Error::MechanismParamInvalid),
    }
}
