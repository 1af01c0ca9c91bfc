//! The function lists: PKCS #11 v2.40 with its 68 functions, v3.0 with 24 more, v3.2 with another 12; header's order.
//!
//! Always true: a list is never written to, each begins as the one before does, and they differ in what `C_GetInfo` says of
//! the version alone.

use privyseal_sys::{CK_FUNCTION_LIST, CK_FUNCTION_LIST_3_0, CK_FUNCTION_LIST_3_2, CK_VERSION};

use crate::cipher::*;
use crate::crypto::*;
use crate::general::*;
use crate::interface::*;
use crate::keys::*;
use crate::message::*;
use crate::objects::*;
use crate::session::*;
use crate::unsupported::*;

macro_rules! function_list {
    ($kind:ident, $version:expr, $info:ident, $($more:ident)*) => {
        $kind {
            version: $version,
            C_GetInfo: Some($info),
            C_Initialize: Some(C_Initialize),
            C_Finalize: Some(C_Finalize),
            C_GetFunctionList: Some(C_GetFunctionList),
            C_GetSlotList: Some(C_GetSlotList),
            C_GetSlotInfo: Some(C_GetSlotInfo),
            C_GetTokenInfo: Some(C_GetTokenInfo),
            C_GetMechanismList: Some(C_GetMechanismList),
            C_GetMechanismInfo: Some(C_GetMechanismInfo),
            C_InitToken: Some(C_InitToken),
            C_InitPIN: Some(C_InitPIN),
            C_SetPIN: Some(C_SetPIN),
            C_OpenSession: Some(C_OpenSession),
            C_CloseSession: Some(C_CloseSession),
            C_CloseAllSessions: Some(C_CloseAllSessions),
            C_GetSessionInfo: Some(C_GetSessionInfo),
            C_GetOperationState: Some(C_GetOperationState),
            C_SetOperationState: Some(C_SetOperationState),
            C_Login: Some(C_Login),
            C_Logout: Some(C_Logout),
            C_CreateObject: Some(C_CreateObject),
            C_CopyObject: Some(C_CopyObject),
            C_DestroyObject: Some(C_DestroyObject),
            C_GetObjectSize: Some(C_GetObjectSize),
            C_GetAttributeValue: Some(C_GetAttributeValue),
            C_SetAttributeValue: Some(C_SetAttributeValue),
            C_FindObjectsInit: Some(C_FindObjectsInit),
            C_FindObjects: Some(C_FindObjects),
            C_FindObjectsFinal: Some(C_FindObjectsFinal),
            C_EncryptInit: Some(C_EncryptInit),
            C_Encrypt: Some(C_Encrypt),
            C_EncryptUpdate: Some(C_EncryptUpdate),
            C_EncryptFinal: Some(C_EncryptFinal),
            C_DecryptInit: Some(C_DecryptInit),
            C_Decrypt: Some(C_Decrypt),
            C_DecryptUpdate: Some(C_DecryptUpdate),
            C_DecryptFinal: Some(C_DecryptFinal),
            C_DigestInit: Some(C_DigestInit),
            C_Digest: Some(C_Digest),
            C_DigestUpdate: Some(C_DigestUpdate),
            C_DigestKey: Some(C_DigestKey),
            C_DigestFinal: Some(C_DigestFinal),
            C_SignInit: Some(C_SignInit),
            C_Sign: Some(C_Sign),
            C_SignUpdate: Some(C_SignUpdate),
            C_SignFinal: Some(C_SignFinal),
            C_SignRecoverInit: Some(C_SignRecoverInit),
            C_SignRecover: Some(C_SignRecover),
            C_VerifyInit: Some(C_VerifyInit),
            C_Verify: Some(C_Verify),
            C_VerifyUpdate: Some(C_VerifyUpdate),
            C_VerifyFinal: Some(C_VerifyFinal),
            C_VerifyRecoverInit: Some(C_VerifyRecoverInit),
            C_VerifyRecover: Some(C_VerifyRecover),
            C_DigestEncryptUpdate: Some(C_DigestEncryptUpdate),
            C_DecryptDigestUpdate: Some(C_DecryptDigestUpdate),
            C_SignEncryptUpdate: Some(C_SignEncryptUpdate),
            C_DecryptVerifyUpdate: Some(C_DecryptVerifyUpdate),
            C_GenerateKey: Some(C_GenerateKey),
            C_GenerateKeyPair: Some(C_GenerateKeyPair),
            C_WrapKey: Some(C_WrapKey),
            C_UnwrapKey: Some(C_UnwrapKey),
            C_DeriveKey: Some(C_DeriveKey),
            C_SeedRandom: Some(C_SeedRandom),
            C_GenerateRandom: Some(C_GenerateRandom),
            C_GetFunctionStatus: Some(C_GetFunctionStatus),
            C_CancelFunction: Some(C_CancelFunction),
            C_WaitForSlotEvent: Some(C_WaitForSlotEvent),
            $($more: Some($more),)*
        }
    };
}

pub const V2_40: CK_VERSION = CK_VERSION { major: 2, minor: 40 };
pub const V3_0: CK_VERSION = CK_VERSION { major: 3, minor: 0 };
pub const V3_2: CK_VERSION = CK_VERSION { major: 3, minor: 2 };

/// What `C_GetFunctionList` gives.
pub static FUNCTION_LIST: CK_FUNCTION_LIST = function_list!(CK_FUNCTION_LIST, V2_40, C_GetInfo,);

/// v3.0's, for `C_GetInterface`.
pub static FUNCTION_LIST_3_0: CK_FUNCTION_LIST_3_0 = function_list! {
    CK_FUNCTION_LIST_3_0, V3_0, get_info_of_3_0,
    C_GetInterfaceList
    C_GetInterface
    C_LoginUser
    C_SessionCancel
    C_MessageEncryptInit
    C_EncryptMessage
    C_EncryptMessageBegin
    C_EncryptMessageNext
    C_MessageEncryptFinal
    C_MessageDecryptInit
    C_DecryptMessage
    C_DecryptMessageBegin
    C_DecryptMessageNext
    C_MessageDecryptFinal
    C_MessageSignInit
    C_SignMessage
    C_SignMessageBegin
    C_SignMessageNext
    C_MessageSignFinal
    C_MessageVerifyInit
    C_VerifyMessage
    C_VerifyMessageBegin
    C_VerifyMessageNext
    C_MessageVerifyFinal
};

/// v3.2's, for `C_GetInterface`.
pub static FUNCTION_LIST_3_2: CK_FUNCTION_LIST_3_2 = function_list! {
    CK_FUNCTION_LIST_3_2, V3_2, get_info_of_3_2,
    C_GetInterfaceList
    C_GetInterface
    C_LoginUser
    C_SessionCancel
    C_MessageEncryptInit
    C_EncryptMessage
    C_EncryptMessageBegin
    C_EncryptMessageNext
    C_MessageEncryptFinal
    C_MessageDecryptInit
    C_DecryptMessage
    C_DecryptMessageBegin
    C_DecryptMessageNext
    C_MessageDecryptFinal
    C_MessageSignInit
    C_SignMessage
    C_SignMessageBegin
    C_SignMessageNext
    C_MessageSignFinal
    C_MessageVerifyInit
    C_VerifyMessage
    C_VerifyMessageBegin
    C_VerifyMessageNext
    C_MessageVerifyFinal
    C_EncapsulateKey
    C_DecapsulateKey
    C_VerifySignatureInit
    C_VerifySignature
    C_VerifySignatureUpdate
    C_VerifySignatureFinal
    C_GetSessionValidationFlags
    C_AsyncComplete
    C_AsyncGetID
    C_AsyncJoin
    C_WrapKeyAuthenticated
    C_UnwrapKeyAuthenticated
};
