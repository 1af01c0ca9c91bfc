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

/// A list of this kind with the functions of these names.
macro_rules! function_list {
    ($kind:ident, $version:ident, $info:ident, $($name:ident)*) => {
        $kind { version: $version, C_GetInfo: Some($info), $($name: Some($name),)* }
    };
}

/// A list that begins as v2.40's does.
macro_rules! of_2_40 {
    ($kind:ident, $version:ident, $info:ident, $($more:ident)*) => {
        function_list! {
            $kind, $version, $info,
            C_Initialize
            C_Finalize
            C_GetFunctionList
            C_GetSlotList
            C_GetSlotInfo
            C_GetTokenInfo
            C_GetMechanismList
            C_GetMechanismInfo
            C_InitToken
            C_InitPIN
            C_SetPIN
            C_OpenSession
            C_CloseSession
            C_CloseAllSessions
            C_GetSessionInfo
            C_GetOperationState
            C_SetOperationState
            C_Login
            C_Logout
            C_CreateObject
            C_CopyObject
            C_DestroyObject
            C_GetObjectSize
            C_GetAttributeValue
            C_SetAttributeValue
            C_FindObjectsInit
            C_FindObjects
            C_FindObjectsFinal
            C_EncryptInit
            C_Encrypt
            C_EncryptUpdate
            C_EncryptFinal
            C_DecryptInit
            C_Decrypt
            C_DecryptUpdate
            C_DecryptFinal
            C_DigestInit
            C_Digest
            C_DigestUpdate
            C_DigestKey
            C_DigestFinal
            C_SignInit
            C_Sign
            C_SignUpdate
            C_SignFinal
            C_SignRecoverInit
            C_SignRecover
            C_VerifyInit
            C_Verify
            C_VerifyUpdate
            C_VerifyFinal
            C_VerifyRecoverInit
            C_VerifyRecover
            C_DigestEncryptUpdate
            C_DecryptDigestUpdate
            C_SignEncryptUpdate
            C_DecryptVerifyUpdate
            C_GenerateKey
            C_GenerateKeyPair
            C_WrapKey
            C_UnwrapKey
            C_DeriveKey
            C_SeedRandom
            C_GenerateRandom
            C_GetFunctionStatus
            C_CancelFunction
            C_WaitForSlotEvent
            $($more)*
        }
    };
}

/// A list that begins as v3.0's does.
macro_rules! of_3_0 {
    ($kind:ident, $version:ident, $info:ident, $($more:ident)*) => {
        of_2_40! {
            $kind, $version, $info,
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
            $($more)*
        }
    };
}

pub const V2_40: CK_VERSION = CK_VERSION { major: 2, minor: 40 };
pub const V3_0: CK_VERSION = CK_VERSION { major: 3, minor: 0 };
pub const V3_2: CK_VERSION = CK_VERSION { major: 3, minor: 2 };

/// What `C_GetFunctionList` gives.
pub static FUNCTION_LIST: CK_FUNCTION_LIST = of_2_40!(CK_FUNCTION_LIST, V2_40, C_GetInfo,);

/// v3.0's, for `C_GetInterface`.
pub static FUNCTION_LIST_3_0: CK_FUNCTION_LIST_3_0 = of_3_0!(CK_FUNCTION_LIST_3_0, V3_0, get_info_of_3_0,);

/// v3.2's, for `C_GetInterface`.
pub static FUNCTION_LIST_3_2: CK_FUNCTION_LIST_3_2 = of_3_0! {
    CK_FUNCTION_LIST_3_2, V3_2, get_info_of_3_2,
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
