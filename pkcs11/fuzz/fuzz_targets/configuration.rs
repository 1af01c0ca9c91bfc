//! Configuration files. What must hold: no panic, an accepted one names an appliance, and a trailing comma is all that
//! sets it apart from strict JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use privyseal_remote::Configuration;

fuzz_target!(|text: &str| {
    if let Ok(configuration) = Configuration::parse(text) {
        assert!(!configuration.urls.is_empty());
        assert!(configuration.urls.iter().all(|url| !url.host.is_empty()));
        assert!(configuration.pool > 0 && !configuration.timeout.is_zero());
    }
});
