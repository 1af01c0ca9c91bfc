//! HTTP responses. What must hold: no panic, no body above the limit, and the same response however its bytes are cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use privyseal_remote::fuzzing::read_response;

const LIMIT: usize = 4096;

fuzz_target!(|bytes: &[u8]| {
    // The first byte chooses how the rest is cut.
    let Some((size, bytes)) = bytes.split_first() else { return };
    let whole = read_response(bytes, usize::MAX, LIMIT);
    let pieces = read_response(bytes, usize::from(*size).max(1), LIMIT);
    if let Some((_, body)) = &whole {
        assert!(body.len() <= LIMIT);
    }
    assert_eq!(whole, pieces);
});
