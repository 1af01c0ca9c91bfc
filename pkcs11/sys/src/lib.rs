//! The C types and constants of PKCS #11, under one name for the other rooms.
//!
//! Always true: nothing here does anything. The values come from the OASIS headers through `cryptoki-sys`.

#![forbid(unsafe_code)]

pub use cryptoki_sys::*;
