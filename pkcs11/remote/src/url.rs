//! The address of an appliance.
//!
//! Always true: it is https, and nothing of the URL but host and port is used, so a user name or a password in it
//! cannot reach a log.

use std::fmt;

const HTTPS_PORT: u16 = 443;
/// `/n200/web/postv1` is what the original appliance is called at; hosts keep their configuration when they move.
const ACCEPTED_PATHS: [&str; 3] = ["", "/api/v1", "/n200/web/postv1"];

/// Where an appliance is. The port is 443 where the URL named none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// A name or an address; an IPv6 address without its brackets.
    pub host: String,
    pub port: u16,
}

impl Url {
    /// Reads `https://HOST:PORT`, with one of the known paths behind it or none. The error says what the text must be
    /// and quotes nothing of it.
    pub fn parse(text: &str) -> Result<Url, &'static str> {
        if text.contains(|c: char| c.is_control() || c.is_whitespace()) {
            return Err("holds white space");
        }
        let rest = without_scheme(text).ok_or("must begin with https://")?;
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if authority.contains('@') || path.contains(['?', '#']) {
            return Err("must be https://HOST:PORT without user name, query or fragment");
        }
        if !ACCEPTED_PATHS.contains(&path.trim_end_matches('/')) {
            return Err("must end after the port or in /api/v1");
        }
        let (host, port) = host_and_port(authority)?;
        if host.is_empty() {
            return Err("has no host name");
        }
        Ok(Url { host: host.to_lowercase(), port })
    }

    /// The value of the Host header (RFC 9110, section 7.2).
    pub(crate) fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == HTTPS_PORT {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "https://{}", self.authority())
    }
}

fn without_scheme(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once("://")?;
    scheme.eq_ignore_ascii_case("https").then_some(rest)
}

fn host_and_port(authority: &str) -> Result<(&str, u16), &'static str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']').ok_or("has no closing bracket")?,
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    Ok((host, port_number(port)?))
}

/// What stands behind the host: nothing, a lone colon or a colon and a port.
fn port_number(text: &str) -> Result<u16, &'static str> {
    match text.strip_prefix(':') {
        None if text.is_empty() => Ok(HTTPS_PORT),
        Some("") => Ok(HTTPS_PORT),
        // `u16::parse` takes a plus sign.
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().map_err(|_| "has a port above 65535")
        }
        _ => Err("has a port that is no number"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_origins_and_the_known_paths() {
        for (text, origin) in [
            ("https://hsm.example:8443", "https://hsm.example:8443"),
            ("HTTPS://HSM.example", "https://hsm.example"),
            ("https://hsm.example:/", "https://hsm.example"),
            ("https://hsm.example:443/api/v1", "https://hsm.example"),
            ("https://hsm.example:8443/api/v1/", "https://hsm.example:8443"),
            ("https://10.0.0.1/n200/web/postv1", "https://10.0.0.1"),
            ("https://[::1]:8443", "https://[::1]:8443"),
        ] {
            assert_eq!(Url::parse(text).map(|url| url.to_string()), Ok(origin.to_owned()), "{text}");
        }
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "",
            "hsm.example",
            "http://hsm.example",
            "https://",
            "https://:8443",
            "https://user:secret@hsm.example",
            "https://hsm.example/api/v2",
            "https://hsm.example?x",
            "https://hsm.example#x",
            "https://hsm.example:+1",
            "https://hsm.example:65536",
            "https://hsm.example:x",
            "https://[::1",
            "https://[::1]8443",
            "https://::1",
            "https://hsm\r\nHost: other",
            "https://hsm example",
        ] {
            assert!(Url::parse(text).is_err(), "{text:?}");
        }
    }
}
