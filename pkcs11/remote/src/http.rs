//! HTTP/1.1 (RFC 9112), as much of it as a client needs that knows its server.
//!
//! Always true: a response is taken as a whole or refused, its head has at most 32 KiB and its body at most what the
//! caller allows. Where two readers of HTTP could disagree (two lengths, a length with chunks, a coding that is not
//! `chunked`) the response is refused. Nothing of a response shows in an error.

use std::fmt;
use std::io::{self, ErrorKind, Read};

use httparse::Status;
use zeroize::Zeroizing;

const MAX_HEAD: usize = 32 * 1024;
const MAX_HEADERS: usize = 64;
/// A chunk's size in hexadecimal and the extensions that nobody uses.
const MAX_LINE: usize = 1024;
const READ_SIZE: usize = 16 * 1024;
/// Interim responses (RFC 9110, section 15.2) that are passed over before the final one must come.
const MAX_INTERIM: usize = 8;

/// One request, ready to be sent as often as it takes. Everything but the node's name is fixed.
pub(crate) struct Request {
    pub method: &'static str,
    /// Path and query, percent-encoded.
    pub target: String,
    /// JSON, or empty for none.
    pub body: Zeroizing<Vec<u8>>,
    /// The value of the Idempotency-Key header, for a POST.
    pub idempotency_key: Option<String>,
}

/// One final response.
#[derive(Debug)]
pub(crate) struct Response {
    pub status: u16,
    /// The Retry-After header in seconds (RFC 9110, section 10.2.3).
    pub retry_after: Option<u64>,
    /// Whether the connection may carry another request.
    pub keep_alive: bool,
    /// It may hold a ticket.
    pub body: Zeroizing<Vec<u8>>,
}

/// Why there is no response.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// The stream ended or failed before the first byte: an idle connection that was closed looks like this.
    Nothing(io::Error),
    /// The stream ended or failed inside the response.
    Cut(io::Error),
    /// What came is no response that this client accepts.
    Invalid(&'static str),
}

impl fmt::Display for ReadError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Nothing(error) | ReadError::Cut(error) => error.fmt(formatter),
            ReadError::Invalid(what) => formatter.write_str(what),
        }
    }
}

impl Request {
    /// The bytes to send: head and body in one piece, so that they leave in one packet where they fit.
    pub(crate) fn bytes(&self, host: &str, authorization: Option<&str>) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(1024 + self.target.len() + self.body.len()));
        let mut put = |parts: &[&str]| parts.iter().for_each(|part| bytes.extend_from_slice(part.as_bytes()));
        put(&[self.method, " ", &self.target, " HTTP/1.1\r\nHost: ", host]);
        put(&["\r\nUser-Agent: privyseal-pkcs11/", env!("CARGO_PKG_VERSION")]);
        put(&["\r\nAccept: application/json, application/problem+json\r\n"]);
        if let Some(value) = authorization {
            put(&["Authorization: ", value, "\r\n"]);
        }
        if let Some(value) = &self.idempotency_key {
            put(&["Idempotency-Key: ", value, "\r\n"]);
        }
        if !self.body.is_empty() {
            put(&["Content-Type: application/json\r\n"]);
        }
        if self.method != "GET" {
            put(&["Content-Length: ", &self.body.len().to_string(), "\r\n"]);
        }
        put(&["\r\n"]);
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// Reads one final response, whose body has at most `limit` bytes.
pub(crate) fn read_response(stream: &mut impl Read, limit: usize) -> Result<Response, ReadError> {
    let mut source = Source { stream, buffer: Zeroizing::new(Vec::new()), taken: 0, received: 0 };
    for _ in 0..MAX_INTERIM {
        let head = source.head()?;
        if head.status == 101 {
            return Err(ReadError::Invalid("an upgrade that nobody asked for"));
        }
        if head.status >= 200 {
            let body = source.body(&head, limit)?;
            // What lies behind the response answers no request of ours.
            let keep_alive = head.keep_alive && source.rest().is_empty();
            return Ok(Response { status: head.status, retry_after: head.retry_after, keep_alive, body });
        }
    }
    Err(ReadError::Invalid("too many interim responses"))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

struct Head {
    status: u16,
    keep_alive: bool,
    retry_after: Option<u64>,
    framing: Framing,
}

/// The bytes that came and were not used yet.
struct Source<'a, R> {
    stream: &'a mut R,
    buffer: Zeroizing<Vec<u8>>,
    /// How much of the buffer has been used.
    taken: usize,
    /// How much ever came.
    received: usize,
}

impl<R: Read> Source<'_, R> {
    fn rest(&self) -> &[u8] {
        &self.buffer[self.taken..]
    }

    /// Waits for more bytes. The end of the stream is an error here; `until_close` asks for itself.
    fn fill(&mut self) -> Result<(), ReadError> {
        match self.read_some() {
            Ok(0) => Err(self.failed(ErrorKind::UnexpectedEof.into())),
            Ok(_) => Ok(()),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn read_some(&mut self) -> io::Result<usize> {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        let old = self.buffer.len();
        self.buffer.resize(old + READ_SIZE, 0);
        let result = self.stream.read(&mut self.buffer[old..]);
        let count = *result.as_ref().unwrap_or(&0);
        self.buffer.truncate(old + count);
        self.received += count;
        result
    }

    fn failed(&self, error: io::Error) -> ReadError {
        if self.received == 0 {
            ReadError::Nothing(error)
        } else {
            ReadError::Cut(error)
        }
    }

    fn head(&mut self) -> Result<Head, ReadError> {
        loop {
            if let Some((head, length)) = parse_head(self.rest())? {
                self.taken += length;
                return Ok(head);
            }
            if self.rest().len() > MAX_HEAD {
                return Err(ReadError::Invalid("the head is too large"));
            }
            self.fill()?;
        }
    }

    fn body(&mut self, head: &Head, limit: usize) -> Result<Zeroizing<Vec<u8>>, ReadError> {
        let mut body = Zeroizing::new(Vec::new());
        match head.framing {
            Framing::Length(length) => self.take_into(&mut body, length, limit)?,
            Framing::Chunked => self.chunks_into(&mut body, limit)?,
            Framing::UntilClose => self.everything_into(&mut body, limit)?,
        }
        Ok(body)
    }

    fn take_into(&mut self, body: &mut Vec<u8>, mut length: usize, limit: usize) -> Result<(), ReadError> {
        if length > limit - body.len() {
            return Err(ReadError::Invalid("the body is too large"));
        }
        body.reserve_exact(length);
        loop {
            let here = length.min(self.rest().len());
            body.extend_from_slice(&self.buffer[self.taken..self.taken + here]);
            self.taken += here;
            length -= here;
            if length == 0 {
                return Ok(());
            }
            self.fill()?;
        }
    }

    /// The chunked coding (RFC 9112, section 7.1).
    fn chunks_into(&mut self, body: &mut Vec<u8>, limit: usize) -> Result<(), ReadError> {
        loop {
            let size = chunk_size(&self.line()?).ok_or(ReadError::Invalid("a chunk without a size"))?;
            if size == 0 {
                return self.trailers();
            }
            self.take_into(body, size, limit)?;
            if !self.line()?.is_empty() {
                return Err(ReadError::Invalid("a chunk longer than its size"));
            }
        }
    }

    fn trailers(&mut self) -> Result<(), ReadError> {
        for _ in 0..MAX_HEADERS {
            if self.line()?.is_empty() {
                return Ok(());
            }
        }
        Err(ReadError::Invalid("too many trailers"))
    }

    /// One line without its CR LF.
    fn line(&mut self) -> Result<Vec<u8>, ReadError> {
        loop {
            let end = self.rest().windows(2).position(|pair| pair == b"\r\n");
            if end.unwrap_or(self.rest().len()) > MAX_LINE {
                return Err(ReadError::Invalid("a line without an end"));
            }
            if let Some(length) = end {
                let line = self.rest()[..length].to_vec();
                self.taken += length + 2;
                return Ok(line);
            }
            self.fill()?;
        }
    }

    /// A body that ends with the connection. TLS tells an end from a cut: the latter is an error of the stream.
    fn everything_into(&mut self, body: &mut Vec<u8>, limit: usize) -> Result<(), ReadError> {
        loop {
            let here = self.rest().len();
            self.take_into(body, here, limit)?;
            if self.read_some().map_err(ReadError::Cut)? == 0 {
                return Ok(());
            }
        }
    }
}

/// The head and its length; None as long as it is not all there.
fn parse_head(bytes: &[u8]) -> Result<Option<(Head, usize)>, ReadError> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(bytes).map_err(|_| ReadError::Invalid("no HTTP response"))?;
    let Status::Complete(length) = parsed else { return Ok(None) };
    if length > MAX_HEAD {
        return Err(ReadError::Invalid("the head is too large"));
    }
    let status = response.code.unwrap_or(0);
    if status < 100 {
        return Err(ReadError::Invalid("no HTTP status"));
    }
    let framing = framing(status, response.headers)?;
    let open = response.version == Some(1) && !has_token(response.headers, "connection", "close");
    let retry_after = values(response.headers, "retry-after").next().and_then(digits).map(|seconds| seconds as u64);
    let keep_alive = open && framing != Framing::UntilClose;
    Ok(Some((Head { status, keep_alive, retry_after, framing }, length)))
}

/// How the body ends (RFC 9112, section 6.3).
fn framing(status: u16, headers: &[httparse::Header<'_>]) -> Result<Framing, ReadError> {
    let mut codings = values(headers, "transfer-encoding");
    let mut lengths = values(headers, "content-length");
    match (codings.next(), lengths.next()) {
        _ if status < 200 || status == 204 || status == 304 => Ok(Framing::Length(0)),
        (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") && codings.next().is_none() => {
            Ok(Framing::Chunked)
        }
        (None, Some(length)) if lengths.next().is_none() => {
            digits(length).map(Framing::Length).ok_or(ReadError::Invalid("a length that is no number"))
        }
        (None, None) => Ok(Framing::UntilClose),
        _ => Err(ReadError::Invalid("a body whose end is in doubt")),
    }
}

fn values<'a>(headers: &'a [httparse::Header<'a>], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value.trim_ascii())
}

fn has_token(headers: &[httparse::Header<'_>], name: &str, token: &str) -> bool {
    values(headers, name).any(|value| {
        value.split(|byte| *byte == b',').any(|one| one.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    })
}

/// A decimal number without sign; None for anything else.
fn digits(text: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(text).ok()?;
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// The size at the beginning of a chunk's line; an extension behind a semicolon is ignored.
fn chunk_size(line: &[u8]) -> Option<usize> {
    let size = line.split(|byte| *byte == b';').next()?.trim_ascii_end();
    let size = std::str::from_utf8(size).ok()?;
    // `from_str_radix` takes a plus sign.
    if size.is_empty() || !size.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    usize::from_str_radix(size, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1000;

    /// Delivers the text in pieces of one size, then ends.
    struct Pieces<'a>(std::slice::Chunks<'a, u8>);

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let piece = self.0.next().unwrap_or_default();
            buffer[..piece.len()].copy_from_slice(piece);
            Ok(piece.len())
        }
    }

    fn read(text: &str, size: usize) -> Result<Response, ReadError> {
        read_response(&mut Pieces(text.as_bytes().chunks(size)), LIMIT)
    }

    fn invalid(text: &str) -> &'static str {
        match read(text, READ_SIZE) {
            Err(ReadError::Invalid(what)) => what,
            other => panic!("{text:?} gave {other:?}"),
        }
    }

    const GOOD: [(&str, u16, &str, bool); 12] = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", true),
        ("HTTP/1.1 200\r\ncontent-length:5\r\n\r\nhello", 200, "hello", true),
        ("HTTP/1.1 204 No Content\r\n\r\n", 204, "", true),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, "", true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive, Close\r\n\r\n", 200, "", false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, "hi", false),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno", 403, "no", true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 200, "hello", true),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n02\r\nlo\r\n0\r\nA: b\r\n\r\n",
            200,
            "hello",
            true,
        ),
        ("HTTP/1.1 200 OK\r\n\r\nto the end", 200, "to the end", false),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi and more", 200, "hi", false),
        ("HTTP/1.1 503 Wait\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", 503, "", true),
    ];

    #[test]
    fn reads_responses_however_they_are_cut() {
        for (text, status, body, keep_alive) in GOOD {
            for size in [1, 2, 3, 7, 19, READ_SIZE] {
                let response = read(text, size).unwrap();
                assert_eq!((response.status, &response.body[..]), (status, body.as_bytes()), "{text:?} by {size}");
                // Bytes behind the body are seen only if they came along with it.
                assert!(response.keep_alive == keep_alive || text.ends_with("more"), "{text:?} by {size}");
            }
        }
    }

    #[test]
    fn every_beginning_of_a_response_is_no_response() {
        for (text, status, ..) in GOOD {
            for length in 0..text.len() {
                match read(&text[..length], READ_SIZE) {
                    Err(ReadError::Nothing(_)) => assert_eq!(length, 0),
                    Err(ReadError::Cut(_)) => assert!(length > 0),
                    Ok(response) => assert!(text.ends_with("end") || text.ends_with("more"), "{status} {response:?}"),
                    Err(ReadError::Invalid(what)) => panic!("{what}: {:?}", &text[..length]),
                }
            }
        }
    }

    #[test]
    fn refuses_bodies_whose_end_is_in_doubt() {
        for headers in [
            "Content-Length: 5\r\nContent-Length: 5",
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: identity",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Content-Length: +5",
            "Content-Length: -5",
            "Content-Length: 5, 5",
            "Content-Length: 0x5",
            "Content-Length:",
            "Content-Length: 99999999999999999999999",
        ] {
            let what = invalid(&format!("HTTP/1.1 200 OK\r\n{headers}\r\n\r\nhello"));
            assert!(what.contains("doubt") || what.contains("length"), "{headers}: {what}");
        }
    }

    #[test]
    fn refuses_what_is_not_http() {
        for text in [
            "hello\r\n\r\n",
            "HTTP/2 200 OK\r\n\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n",
            "HTTP/1.1 -20 OK\r\n\r\n",
            "HTTP/1.1 099 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA\0: b\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols\r\n\r\n",
            "\x16\x03\x01\x02",
        ] {
            invalid(text);
        }
    }

    #[test]
    fn refuses_bad_chunks() {
        for chunks in [
            "x\r\nhello\r\n",
            "\r\nhello",
            "+5\r\nhello\r\n",
            "4\r\nhello\r\n0\r\n\r\n",
            "fffffffffffffffff\r\n",
            "5 5\r\n",
        ] {
            invalid(&format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"));
        }
    }

    #[test]
    fn refuses_what_is_too_large() {
        let huge = "x".repeat(70_000);
        assert_eq!(invalid("HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n"), "the body is too large");
        assert_eq!(
            invalid("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n"),
            "the body is too large"
        );
        assert_eq!(invalid(&format!("HTTP/1.1 200 OK\r\n\r\n{huge}")), "the body is too large");
        assert_eq!(invalid(&format!("HTTP/1.1 200 OK\r\nA: {huge}\r\n\r\n")), "the head is too large");
        assert_eq!(
            invalid(&format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{huge}")),
            "a line without an end"
        );
        assert_eq!(
            invalid(&format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n{}\r\n",
                "a: b\r\n".repeat(65)
            )),
            "too many trailers"
        );
        assert_eq!(invalid(&"HTTP/1.1 100 Continue\r\n\r\n".repeat(9)), "too many interim responses");
        invalid(&format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(65)));
    }

    #[test]
    fn two_small_chunks_do_not_add_up_beyond_the_limit() {
        let chunk = format!("258\r\n{}\r\n", "x".repeat(600));
        invalid(&format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n"));
    }

    #[test]
    fn a_wait_that_is_no_number_is_none() {
        let retry_after = |value: &str| {
            let text = format!("HTTP/1.1 503 Wait\r\nRetry-After: {value}\r\nContent-Length: 0\r\n\r\n");
            read(&text, READ_SIZE).unwrap().retry_after
        };
        assert_eq!(retry_after("7"), Some(7));
        assert_eq!(retry_after("Mon, 23 Nov 2026 11:15:00 GMT"), None);
        assert_eq!(retry_after("-1"), None);
    }

    #[test]
    fn a_request_is_one_piece() {
        let request = Request {
            method: "POST",
            target: "/api/v1/x".to_owned(),
            body: Zeroizing::new(b"{}".to_vec()),
            idempotency_key: Some("k".to_owned()),
        };
        let bytes = request.bytes("hsm:8443", Some("Basic YQ=="));
        let text = std::str::from_utf8(&bytes).unwrap();
        assert!(text.starts_with("POST /api/v1/x HTTP/1.1\r\nHost: hsm:8443\r\n"));
        assert!(text.contains("\r\nAuthorization: Basic YQ==\r\n") && text.contains("\r\nIdempotency-Key: k\r\n"));
        assert!(text.ends_with("\r\nContent-Length: 2\r\n\r\n{}"));
    }
}
