//! The C edge of the module: every exported function, and the only room with `unsafe`.
//!
//! What is always true in this crate:
//!
//! - Every function's body runs inside [`state::answer`], which stops panics, finds the state of this very process and
//!   writes the log line.
//! - A pointer is read or written only by `memory`, which refuses NULL and lengths that no memory has, and assumes no
//!   alignment. A function reads all its arguments before it does anything.
//! - The module decides nothing here; `privyseal-token` does.

// The names and argument names are those of PKCS #11.
#![allow(non_snake_case)]
// What each function expects of its pointers is what PKCS #11 says of it.
#![allow(clippy::missing_safety_doc)]

mod cipher;
mod crypto;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod general;
mod interface;
mod keys;
mod list;
mod memory;
mod message;
mod objects;
mod session;
mod state;
mod unsupported;

/// Declares exported C functions: `fn C_Name(arguments) |module| { body }`. The body gives `Result<(), Error>`.
macro_rules! exported {
    ($($(#[$doc:meta])* fn $name:ident($($argument:tt: $kind:ty),* $(,)?) |$module:pat_param| $body:block)*) => {
        $(
            $(#[$doc])*
            #[no_mangle]
            pub unsafe extern "C" fn $name($($argument: $kind),*) -> privyseal_sys::CK_RV {
                $crate::state::answer(stringify!($name), |$module| $body)
            }
        )*
    };
}
pub(crate) use exported;
