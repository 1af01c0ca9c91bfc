//! Configuration files; what must hold stands in the module's `fuzzing`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| privyseal_remote::fuzzing::configuration(bytes));
