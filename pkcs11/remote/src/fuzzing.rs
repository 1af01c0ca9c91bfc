//! What must hold in this crate whatever comes from the network or stands in a file.
//!
//! Always true: each body here takes any bytes at all and fails by a panic alone. `cargo fuzz` calls them with coverage
//! (pkcs11/fuzz), and `cargo test` for a while on stable Rust.

use std::io::{self, Read};

use zeroize::Zeroizing;

use crate::appliance::read_any;
use crate::http::{read_response, Response};
use crate::retry::problem;
use crate::{Configuration, Error};

#[cfg(test)]
#[path = "../../fuzz/drive.rs"]
mod drive;

const LIMIT: usize = 4096;

struct Pieces<'a>(&'a [u8], usize);

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.1.min(buffer.len());
        self.0.read(&mut buffer[..length])
    }
}

/// HTTP responses: no body above the limit, and the same response however its bytes are cut, which the first one decides.
pub fn response(bytes: &[u8]) {
    let Some((size, bytes)) = bytes.split_first() else { return };
    let read = |size: usize| {
        let response = read_response(&mut Pieces(bytes, size), LIMIT).ok()?;
        Some((response.status, response.retry_after, response.body))
    };
    let whole = read(usize::MAX);
    assert!(whole.as_ref().is_none_or(|(_, _, body)| body.len() <= LIMIT));
    assert_eq!(whole, read(usize::from(*size).max(1)));
}

/// Configuration files: an accepted one names an appliance.
pub fn configuration(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(configuration) = Configuration::parse(text) {
        assert!(!configuration.urls.is_empty());
        assert!(configuration.urls.iter().all(|url| !url.host.is_empty()));
        assert!(configuration.pool > 0 && !configuration.timeout.is_zero());
    }
}

/// The JSON of answers and problem documents. The first byte chooses what was asked for. An answer that is refused is
/// not quoted, because it may hold a ticket; a problem has one of the appliance's names or that of its status.
pub fn answer(bytes: &[u8]) {
    let Some((asked, body)) = bytes.split_first() else { return };
    let body = Zeroizing::new(body.to_vec());
    let response = Response { status: 403, retry_after: None, keep_alive: true, body };
    match read_any(*asked, &response) {
        Ok(()) => {}
        Err(Error::Garbage(text)) => assert!(text.starts_with("the answer ")),
        Err(other) => panic!("{other}"),
    }
    let refusal = problem(&response);
    let name = refusal.problem().unwrap();
    assert!(name == "http-403" || String::from_utf8_lossy(&response.body).contains("urn"), "{name}");
}

#[cfg(test)]
mod tests {
    use super::drive::drive;
    use super::*;

    #[test]
    fn any_bytes_are_a_response_or_none() {
        drive(
            &[
                b"\x01HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
                b"\x03HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nA: b\r\n\r\n",
                b"\x07HTTP/1.0 503 Busy\r\nRetry-After: 7\r\n\r\nuntil the end",
            ],
            response,
        );
    }

    #[test]
    fn any_bytes_are_a_configuration_or_none() {
        drive(
            &[
                br#"{"url": "https://h:1/api/v1", "user": "alice", "pass": "p", "core": 1, "log_level": 3, "timeout_ms": 50,}"#,
                br#"{"urls": ["https://[::1]:8443", "https://b"], "credential_file": "c", "slots": "key", "pool": 2, "retries": 0}"#,
            ],
            configuration,
        );
    }

    #[test]
    fn any_bytes_are_an_answer_or_none() {
        drive(
            &[
                br#" {"type": "urn:privyseal:problem:pin-incorrect", "title": "T", "status": 403, "detail": "d", "missing_rule": "m"}"#,
                br#"!{"cores": [{"number": 1, "name": "c", "keys": 3, "token": {"label": "l", "description": "d", "manufacturer": "m", "model": "m", "serial": "1", "hardware_version": "1.0", "firmware_version": "1.0"}}]}"#,
                br#"\"{"keys": [{"id": "0123456789abcdef", "label": "l", "type": "ed25519", "pin": true, "public_key": "MCo=", "mechanisms": [], "operations": ["key:sign"], "state": "active", "object_id": null, "policy": {"exportable": false}}], "next": 7}"#,
                br#"${"ticket": "a ticket of some length", "expires": "2026-01-01T00:00:00Z", "keys": 3}"#,
                br#"({"data": "QUJD", "secret": null, "ciphertext": "QUJD", "signatures": ["QUJD"], "valid": true}"#,
            ],
            answer,
        );
    }
}
