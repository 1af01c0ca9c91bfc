//! Why a call is refused, beside the code it becomes, and the one table from the appliance's words to these errors.
//!
//! Always true: no other room chooses a CKR code.

use privyseal_remote::Error as RemoteError;
use privyseal_sys::CK_RV;

macro_rules! errors {
    ($($(#[$doc:meta])* $name:ident = $code:ident,)*) => {
        /// A refusal of a PKCS #11 call.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Error { $($(#[$doc])* $name,)* }

        impl Error {
            /// The value a C caller gets.
            pub fn code(self) -> CK_RV {
                match self { $(Error::$name => privyseal_sys::$code,)* }
            }

            /// The code's name in PKCS #11, for the log.
            pub fn name(self) -> &'static str {
                match self { $(Error::$name => stringify!($code),)* }
            }
        }
    };
}

errors! {
    /// Whatever happens on the appliance, this object's is not to be changed, copied or destroyed here.
    ActionProhibited = CKR_ACTION_PROHIBITED,
    /// A NULL pointer where a value has to be, or a length that cannot be true.
    ArgumentsBad = CKR_ARGUMENTS_BAD,
    AttributeReadOnly = CKR_ATTRIBUTE_READ_ONLY,
    AttributeSensitive = CKR_ATTRIBUTE_SENSITIVE,
    AttributeTypeInvalid = CKR_ATTRIBUTE_TYPE_INVALID,
    AttributeValueInvalid = CKR_ATTRIBUTE_VALUE_INVALID,
    BufferTooSmall = CKR_BUFFER_TOO_SMALL,
    AlreadyInitialized = CKR_CRYPTOKI_ALREADY_INITIALIZED,
    NotInitialized = CKR_CRYPTOKI_NOT_INITIALIZED,
    CurveNotSupported = CKR_CURVE_NOT_SUPPORTED,
    /// The input does not have the length that the mechanism and key want.
    DataLenRange = CKR_DATA_LEN_RANGE,
    /// The appliance answers, but cannot do it: locked, overloaded, or not speaking our language.
    DeviceError = CKR_DEVICE_ERROR,
    /// No appliance answers.
    DeviceRemoved = CKR_DEVICE_REMOVED,
    EncryptedDataInvalid = CKR_ENCRYPTED_DATA_INVALID,
    EncryptedDataLenRange = CKR_ENCRYPTED_DATA_LEN_RANGE,
    /// No interface has the name, version and flags that were asked for; or the appliance wants us to wait.
    FunctionFailed = CKR_FUNCTION_FAILED,
    FunctionNotParallel = CKR_FUNCTION_NOT_PARALLEL,
    FunctionNotSupported = CKR_FUNCTION_NOT_SUPPORTED,
    /// The appliance does not accept this host's user and password any more.
    FunctionRejected = CKR_FUNCTION_REJECTED,
    /// A fault of this module.
    GeneralError = CKR_GENERAL_ERROR,
    /// No access rule lets this user do this with the key, or others have to agree first.
    KeyFunctionNotPermitted = CKR_KEY_FUNCTION_NOT_PERMITTED,
    KeyHandleInvalid = CKR_KEY_HANDLE_INVALID,
    /// The mechanism is not one of the key's type.
    KeyTypeInconsistent = CKR_KEY_TYPE_INCONSISTENT,
    /// No key of this size can be made.
    KeySizeRange = CKR_KEY_SIZE_RANGE,
    MechanismInvalid = CKR_MECHANISM_INVALID,
    MechanismParamInvalid = CKR_MECHANISM_PARAM_INVALID,
    NoEvent = CKR_NO_EVENT,
    ObjectHandleInvalid = CKR_OBJECT_HANDLE_INVALID,
    OperationActive = CKR_OPERATION_ACTIVE,
    OperationNotInitialized = CKR_OPERATION_NOT_INITIALIZED,
    ParameterSetNotSupported = CKR_PARAMETER_SET_NOT_SUPPORTED,
    PinIncorrect = CKR_PIN_INCORRECT,
    PinLenRange = CKR_PIN_LEN_RANGE,
    PinLocked = CKR_PIN_LOCKED,
    RandomSeedNotSupported = CKR_RANDOM_SEED_NOT_SUPPORTED,
    SavedStateInvalid = CKR_SAVED_STATE_INVALID,
    SessionAsyncNotSupported = CKR_SESSION_ASYNC_NOT_SUPPORTED,
    SessionExists = CKR_SESSION_EXISTS,
    SessionHandleInvalid = CKR_SESSION_HANDLE_INVALID,
    SessionParallelNotSupported = CKR_SESSION_PARALLEL_NOT_SUPPORTED,
    SessionReadOnly = CKR_SESSION_READ_ONLY,
    SignatureInvalid = CKR_SIGNATURE_INVALID,
    SignatureLenRange = CKR_SIGNATURE_LEN_RANGE,
    SlotIdInvalid = CKR_SLOT_ID_INVALID,
    StateUnsaveable = CKR_STATE_UNSAVEABLE,
    TemplateIncomplete = CKR_TEMPLATE_INCOMPLETE,
    TemplateInconsistent = CKR_TEMPLATE_INCONSISTENT,
    UserAlreadyLoggedIn = CKR_USER_ALREADY_LOGGED_IN,
    UserNotLoggedIn = CKR_USER_NOT_LOGGED_IN,
    UserTypeInvalid = CKR_USER_TYPE_INVALID,
}

/// The table from what the appliance or the network said. The names are those of docs/reference/rest.md.
impl From<&RemoteError> for Error {
    fn from(error: &RemoteError) -> Error {
        match error {
            RemoteError::Problem { name, detail, .. } => from_problem(name, detail),
            RemoteError::Unreachable(_) => Error::DeviceRemoved,
            RemoteError::Untrusted(_) | RemoteError::Garbage(_) | RemoteError::Misconfigured(_) => Error::DeviceError,
        }
    }
}

fn from_problem(name: &str, detail: &str) -> Error {
    match name {
        "unauthenticated" => Error::FunctionRejected,
        // Others have to agree first: the log says in which request, and the same call works once they have.
        "access-refused" | "approval-needed" => Error::KeyFunctionNotPermitted,
        "key-not-found" => Error::KeyHandleInvalid,
        // The label is another key's, or the key's end has begun.
        "conflict" => Error::AttributeValueInvalid,
        "pin-incorrect" => Error::PinIncorrect,
        "pin-locked" => Error::PinLocked,
        // The PIN or password was not tried: it may be tried again in a moment, which a locked one may not.
        "too-many-attempts" => Error::FunctionFailed,
        // The PIN of the login is another key's, or the login has ended and cannot be renewed.
        "pin-required" | "ticket-invalid" => Error::UserNotLoggedIn,
        "invalid-body" if is_about(detail, "label") || is_about(detail, "object_id") => Error::AttributeValueInvalid,
        "invalid-body" if detail.contains("digest") => Error::DataLenRange,
        "invalid-body" => Error::MechanismParamInvalid,
        "body-too-large" => Error::DataLenRange,
        _ => Error::DeviceError,
    }
}

/// Whether the detail of `invalid-body` begins with this field of the body, as in `body.label: a label has …`.
pub(crate) fn is_about(detail: &str, field: &str) -> bool {
    let named = detail.strip_prefix("body.").and_then(|rest| rest.strip_prefix(field));
    named.is_some_and(|rest| rest.starts_with(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(name: &str, detail: &str) -> Error {
        Error::from(&RemoteError::Problem { name: name.to_owned(), status: 400, detail: detail.to_owned() })
    }

    #[test]
    fn problems_become_their_codes() {
        assert_eq!(problem("pin-locked", "").name(), "CKR_PIN_LOCKED");
        assert_eq!(problem("approval-needed", ""), Error::KeyFunctionNotPermitted);
        assert_eq!(problem("too-many-attempts", ""), Error::FunctionFailed);
        assert_eq!(problem("pin-required", ""), Error::UserNotLoggedIn);
        assert_eq!(problem("invalid-body", "body.digest: too long"), Error::DataLenRange);
        assert_eq!(problem("invalid-body", "body.salt_length: too large"), Error::MechanismParamInvalid);
        assert_eq!(problem("invalid-body", "body.label: a label has no digest"), Error::AttributeValueInvalid);
        assert_eq!(problem("invalid-body", "body.object_id: too long"), Error::AttributeValueInvalid);
        assert_eq!(problem("invalid-body", "body.labels: no such field"), Error::MechanismParamInvalid);
    }

    #[test]
    fn unknown_problems_are_device_errors() {
        assert_eq!(problem("teapot", ""), Error::DeviceError);
    }

    #[test]
    fn a_silent_appliance_is_a_removed_device() {
        let error = RemoteError::Unreachable("connection refused".to_owned());
        assert_eq!(Error::from(&error).code(), privyseal_sys::CKR_DEVICE_REMOVED);
    }
}
