//! Digests, signatures and random bytes (PKCS #11 v2.40, sections 5.10 to 5.12 and 5.15).
//!
//! Always true: a call that would end an operation ends it also when its arguments cannot be read, as section 5.11 asks.

use privyseal_sys::*;
use privyseal_token::{Error, Kind, Module, Parameter, Produced};

use crate::exported;
use crate::memory::{bytes, fill, mechanism, Output};

exported! {
    /// Begins a digest.
    fn C_DigestInit(hSession: CK_SESSION_HANDLE, pMechanism: *mut CK_MECHANISM) |module| {
        unsafe { begin(module, hSession, Kind::Digest, pMechanism, |kind, parameter| module.digest_init(hSession, kind, parameter)) }
    }

    /// Digests a message.
    fn C_Digest(
        hSession: CK_SESSION_HANDLE,
        pData: *mut CK_BYTE,
        ulDataLen: CK_ULONG,
        pDigest: *mut CK_BYTE,
        pulDigestLen: *mut CK_ULONG,
    ) |module| {
        let given = unsafe { bytes(pData, ulDataLen).and_then(|data| Ok((data, Output::new(pDigest, pulDigestLen)?))) };
        let (data, output) = or_end(module, hSession, Kind::Digest, given)?;
        give(output, module.digest(hSession, Some(data), output.room)?)
    }

    /// Digests a part.
    fn C_DigestUpdate(hSession: CK_SESSION_HANDLE, pPart: *mut CK_BYTE, ulPartLen: CK_ULONG) |module| {
        let part = or_end(module, hSession, Kind::Digest, unsafe { bytes(pPart, ulPartLen) })?;
        module.digest_update(hSession, part)
    }

    /// Ends a digest in parts.
    fn C_DigestFinal(hSession: CK_SESSION_HANDLE, pDigest: *mut CK_BYTE, pulDigestLen: *mut CK_ULONG) |module| {
        let output = or_end(module, hSession, Kind::Digest, unsafe { Output::new(pDigest, pulDigestLen) })?;
        give(output, module.digest(hSession, None, output.room)?)
    }

    /// Begins a signature.
    fn C_SignInit(hSession: CK_SESSION_HANDLE, pMechanism: *mut CK_MECHANISM, hKey: CK_OBJECT_HANDLE) |module| {
        unsafe { begin(module, hSession, Kind::Sign, pMechanism, |kind, parameter| module.sign_init(hSession, kind, parameter, hKey)) }
    }

    /// Signs data.
    fn C_Sign(
        hSession: CK_SESSION_HANDLE,
        pData: *mut CK_BYTE,
        ulDataLen: CK_ULONG,
        pSignature: *mut CK_BYTE,
        pulSignatureLen: *mut CK_ULONG,
    ) |module| {
        let given =
            unsafe { bytes(pData, ulDataLen).and_then(|data| Ok((data, Output::new(pSignature, pulSignatureLen)?))) };
        let (data, output) = or_end(module, hSession, Kind::Sign, given)?;
        give(output, module.sign(hSession, Some(data), output.room)?)
    }

    /// Signs a part.
    fn C_SignUpdate(hSession: CK_SESSION_HANDLE, pPart: *mut CK_BYTE, ulPartLen: CK_ULONG) |module| {
        let part = or_end(module, hSession, Kind::Sign, unsafe { bytes(pPart, ulPartLen) })?;
        module.sign_update(hSession, part)
    }

    /// Ends a signature in parts.
    fn C_SignFinal(hSession: CK_SESSION_HANDLE, pSignature: *mut CK_BYTE, pulSignatureLen: *mut CK_ULONG) |module| {
        let output = or_end(module, hSession, Kind::Sign, unsafe { Output::new(pSignature, pulSignatureLen) })?;
        give(output, module.sign(hSession, None, output.room)?)
    }

    /// Begins a verification.
    fn C_VerifyInit(hSession: CK_SESSION_HANDLE, pMechanism: *mut CK_MECHANISM, hKey: CK_OBJECT_HANDLE) |module| {
        unsafe { begin(module, hSession, Kind::Verify, pMechanism, |kind, parameter| module.verify_init(hSession, kind, parameter, hKey)) }
    }

    /// Verifies a signature.
    fn C_Verify(
        hSession: CK_SESSION_HANDLE,
        pData: *mut CK_BYTE,
        ulDataLen: CK_ULONG,
        pSignature: *mut CK_BYTE,
        ulSignatureLen: CK_ULONG,
    ) |module| {
        let given =
            unsafe { bytes(pData, ulDataLen).and_then(|data| Ok((data, bytes(pSignature, ulSignatureLen)?))) };
        let (data, signature) = or_end(module, hSession, Kind::Verify, given)?;
        module.verify(hSession, Some(data), signature)
    }

    /// Verifies a part.
    fn C_VerifyUpdate(hSession: CK_SESSION_HANDLE, pPart: *mut CK_BYTE, ulPartLen: CK_ULONG) |module| {
        let part = or_end(module, hSession, Kind::Verify, unsafe { bytes(pPart, ulPartLen) })?;
        module.verify_update(hSession, part)
    }

    /// Ends a verification in parts.
    fn C_VerifyFinal(hSession: CK_SESSION_HANDLE, pSignature: *mut CK_BYTE, ulSignatureLen: CK_ULONG) |module| {
        let signature = or_end(module, hSession, Kind::Verify, unsafe { bytes(pSignature, ulSignatureLen) })?;
        module.verify(hSession, None, signature)
    }

    /// Refuses a seed.
    fn C_SeedRandom(hSession: CK_SESSION_HANDLE, _pSeed: *mut CK_BYTE, _ulSeedLen: CK_ULONG) |module| {
        Err(module.seed_random(hSession))
    }

    /// Random bytes from the appliance.
    fn C_GenerateRandom(hSession: CK_SESSION_HANDLE, pRandomData: *mut CK_BYTE, ulRandomLen: CK_ULONG) |module| {
        // The bytes are not looked at: this checks the pointer and the length.
        unsafe { bytes(pRandomData, ulRandomLen)? };
        unsafe { fill(pRandomData, &module.random(hSession, ulRandomLen as usize)?) }
    }
}

/// Begins an operation. No mechanism cancels the one that is active (v3.0, section 5.2), and is a mistake where none is.
///
/// # Safety
/// `pointer` is NULL or points at a CK_MECHANISM that holds together.
pub unsafe fn begin(
    module: &Module,
    session: CK_SESSION_HANDLE,
    kind: Kind,
    pointer: *const CK_MECHANISM,
    start: impl FnOnce(CK_MECHANISM_TYPE, &Parameter) -> Result<(), Error>,
) -> Result<(), Error> {
    if pointer.is_null() {
        return module.cancel(session, kind);
    }
    // SAFETY: the caller vouches for the pointer.
    let (mechanism, parameter) = unsafe { mechanism(pointer)? };
    start(mechanism, &parameter)
}

/// Passes good arguments on; bad ones end the operation.
pub fn or_end<T>(module: &Module, session: CK_SESSION_HANDLE, kind: Kind, given: Result<T, Error>) -> Result<T, Error> {
    given.inspect_err(|_| module.end(session, kind))
}

/// Writes what an operation produced.
pub fn give(output: Output<CK_BYTE>, produced: Produced) -> Result<(), Error> {
    match produced {
        Produced::Length(length) => output.give_length(length),
        Produced::TooSmall(length) => output.give_length(length).and(Err(Error::BufferTooSmall)),
        Produced::Bytes(bytes) => output.give(&bytes),
    }
}
