//! Calls of C programs; what must hold stands in `api`'s module `fuzzing`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| privyseal_pkcs11::fuzzing::calls(bytes));
