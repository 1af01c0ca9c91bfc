//! The crate as its users see it, against a real TLS server: whom it trusts, what it sends, how it waits and what it
//! does when the other side lets it down.

mod support;

use std::net::TcpListener;
use std::time::{Duration, Instant};

use privyseal_remote::{Appliance, Configuration, Error, KeyQuery, Log, Secret, SignOrder};
use support::{json, Authority, Reply, Server};

/// The year that ends a certificate that is to be valid.
const VALID: i32 = 4000;
const NO_CORES: &str = r#"{"cores": []}"#;

fn appliance(entries: &str) -> Appliance {
    let text = format!(r#"{{"user": "alice", "pass": "hunter22", {entries}}}"#);
    Appliance::new(Configuration::parse(&text).unwrap(), Log::silent())
}

/// An appliance of which one server and its CA are known.
fn trusting(test: &str, server: &Server, authority: &Authority, entries: &str) -> Appliance {
    let file = authority.file(test);
    appliance(&format!(r#""url": "https://localhost:{}", "ca_file": "{}"{entries}"#, server.port, file.display()))
}

/// A server that answers as told, and an appliance that trusts it.
fn pair(test: &str, entries: &str, answer: impl Fn(usize) -> Reply + Send + Sync + 'static) -> (Server, Appliance) {
    let authority = Authority::new("CA");
    let server = Server::start(authority.issue(&["localhost"], VALID), move |number, _| answer(number));
    let appliance = trusting(test, &server, &authority, entries);
    (server, appliance)
}

fn order() -> SignOrder {
    let key = "f90fb8e79e60a1b2".to_owned();
    SignOrder {
        core: 1,
        key,
        mechanism: "ECDSA",
        hash: Some("SHA-256"),
        salt_length: None,
        mgf_hash: None,
        context: None,
    }
}

fn unreachable(result: Result<Vec<privyseal_remote::Core>, Error>) -> String {
    match result {
        Err(Error::Unreachable(text)) => text,
        other => panic!("{other:?}"),
    }
}

fn untrusted(result: Result<Vec<privyseal_remote::Core>, Error>) -> String {
    match result {
        Err(Error::Untrusted(text)) => text,
        other => panic!("{other:?}"),
    }
}

mod trust {
    use super::*;

    fn fingerprint(authority: &Authority) -> String {
        use sha2::Digest as _;
        let digest = sha2::Sha256::digest(authority.root.der());
        format!("sha256:{}", digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
    }

    fn pinned(server: &Server, host: &str, fingerprint: &str) -> Appliance {
        appliance(&format!(r#""url": "https://{host}:{}", "fingerprint": "{fingerprint}""#, server.port))
    }

    fn plain(authority: &Authority, names: &[&str], until: i32) -> Server {
        Server::start(authority.issue(names, until), |_, _| json(200, NO_CORES))
    }

    #[test]
    fn the_file_s_ca_is_trusted_and_no_other() {
        let (own, other) = (Authority::new("CA"), Authority::new("CA"));
        let server = plain(&own, &["localhost"], VALID);
        assert_eq!(trusting("own", &server, &own, "").cores(), Ok(vec![]));
        // Only the certificate itself tells these apart: another CA with the same name.
        assert!(matches!(trusting("other", &server, &other, "").cores(), Err(Error::Untrusted(_))));
    }

    #[test]
    fn the_system_does_not_trust_the_test_s_ca() {
        let server = plain(&Authority::new("CA"), &["localhost"], VALID);
        let result = appliance(&format!(r#""url": "https://localhost:{}""#, server.port)).cores();
        assert!(matches!(result, Err(Error::Untrusted(_) | Error::Misconfigured(_))), "{result:?}");
    }

    #[test]
    fn a_name_that_does_not_fit_is_told_with_those_that_would() {
        let authority = Authority::new("CA");
        let server = plain(&authority, &["hsm.example", "127.0.0.2"], VALID);
        let text = untrusted(trusting("names", &server, &authority, "").cores());
        for part in ["expected a certificate for localhost", "hsm.example", "127.0.0.2"] {
            assert!(text.contains(part), "{text}");
        }
        let text = untrusted(pinned(&server, "127.0.0.1", &fingerprint(&authority)).cores());
        assert!(text.contains("expected a certificate for 127.0.0.1"), "{text}");
    }

    #[test]
    fn a_certificate_that_has_expired_is_told() {
        let authority = Authority::new("CA");
        let server = plain(&authority, &["localhost"], 2000);
        assert!(untrusted(trusting("expired", &server, &authority, "").cores()).contains("has expired"));
        assert!(untrusted(pinned(&server, "localhost", &fingerprint(&authority)).cores()).contains("has expired"));
    }

    #[test]
    fn a_fingerprint_trusts_the_chain_below_its_certificate() {
        let authority = Authority::new("CA");
        let server = plain(&authority, &["localhost", "127.0.0.1"], VALID);
        for host in ["localhost", "127.0.0.1"] {
            assert_eq!(pinned(&server, host, &fingerprint(&authority)).cores(), Ok(vec![]));
        }
    }

    #[test]
    fn another_fingerprint_is_refused() {
        let server = plain(&Authority::new("CA"), &["localhost"], VALID);
        let text = untrusted(pinned(&server, "localhost", &fingerprint(&Authority::new("CA"))).cores());
        assert!(text.contains("no certificate that it presents has the fingerprint sha256:"), "{text}");
    }

    #[test]
    fn showing_the_pinned_certificate_is_not_enough() {
        // Everybody can send along the appliance's CA certificate; only the appliance has a chain to it.
        let (genuine, rogue) = (Authority::new("CA"), Authority::new("CA"));
        let mut identity = rogue.issue(&["localhost"], VALID);
        identity.chain.push(genuine.root.der().clone());
        let server = Server::start(identity, |_, _| json(200, NO_CORES));
        assert!(matches!(pinned(&server, "localhost", &fingerprint(&genuine)).cores(), Err(Error::Untrusted(_))));
        assert!(server.seen().is_empty());
    }

    #[test]
    fn a_file_and_a_fingerprint_must_agree() {
        let authority = Authority::new("CA");
        let server = plain(&authority, &["localhost"], VALID);
        let with = |fingerprint: String| format!(r#", "fingerprint": "{fingerprint}""#);
        let agreeing = trusting("agree", &server, &authority, &with(fingerprint(&authority)));
        assert_eq!(agreeing.cores(), Ok(vec![]));
        let disagreeing = trusting("agree", &server, &authority, &with(fingerprint(&Authority::new("CA"))));
        assert!(untrusted(disagreeing.cores()).contains("no certificate in"));
    }

    #[test]
    fn files_that_do_not_work_are_named_and_may_come_later() {
        let authority = Authority::new("CA");
        let server = plain(&authority, &["localhost"], VALID);
        let file = authority.file("later");
        std::fs::write(&file, "no certificate").unwrap();
        let entries = format!(r#""url": "https://localhost:{}", "ca_file": "{}""#, server.port, file.display());
        let appliance = appliance(&entries);
        for _ in 0..2 {
            match appliance.cores() {
                Err(Error::Misconfigured(text)) => assert!(text.contains("later"), "{text}"),
                other => panic!("{other:?}"),
            }
        }
        authority.file("later");
        assert_eq!(appliance.cores(), Ok(vec![]));
    }

    #[test]
    fn a_server_without_tls_is_no_appliance() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let _ = std::io::Write::write_all(&mut socket.unwrap(), b"HTTP/1.1 400 Bad Request\r\n\r\n");
            }
        });
        let file = Authority::new("CA").file("plain");
        let entries = format!(r#""url": "https://localhost:{port}", "ca_file": "{}", "retries": 0"#, file.display());
        assert!(appliance(&entries).cores().is_err());
    }
}

mod requests {
    use super::*;

    #[test]
    fn a_signature_is_asked_for_as_the_reference_says() {
        let (server, appliance) = pair("sign", "", |_| json(200, r#"{"signature": "AQID", "event": 1}"#));
        assert_eq!(appliance.sign(&order(), &[1, 2, 3], Some(&Secret::from("the-ticket"))), Ok(vec![1, 2, 3]));
        let seen = &server.seen()[0];
        assert!(seen.head.starts_with("POST /api/v1/cores/1/keys/f90fb8e79e60a1b2/sign HTTP/1.1\r\n"));
        assert_eq!(seen.header("Host"), Some(format!("localhost:{}", server.port).as_str()));
        assert_eq!(seen.header("Authorization"), Some("Basic YWxpY2U6aHVudGVyMjI="));
        let body = r#"{"mechanism":"ECDSA","hash":"SHA-256","digest":"AQID","ticket":"the-ticket","encoding":"raw"}"#;
        assert_eq!(seen.body, body);
    }

    #[test]
    fn messages_go_as_data_and_only_ecdsa_has_an_encoding() {
        let (server, appliance) = pair("data", "", |_| json(200, r#"{"valid": true, "event": 1}"#));
        let order = SignOrder { mechanism: "EdDSA", hash: None, ..order() };
        assert_eq!(appliance.verify(&order, b"hello", &[1]), Ok(true));
        assert_eq!(server.seen()[0].body, r#"{"mechanism":"EdDSA","data":"aGVsbG8=","signature":"AQ=="}"#);
    }

    #[test]
    fn a_large_message_goes_whole() {
        let (server, appliance) = pair("large", "", |_| json(200, r#"{"signature": "AQID", "event": 1}"#));
        let order = SignOrder { mechanism: "EdDSA", hash: None, ..order() };
        assert_eq!(appliance.sign(&order, &vec![0; 300_000], None), Ok(vec![1, 2, 3]));
        assert!(server.seen()[0].body.contains(&"A".repeat(400_000)));
    }

    #[test]
    fn labels_are_percent_encoded() {
        let (server, appliance) = pair("label", "", |_| json(200, r#"{"keys": [], "next": null}"#));
        let query = KeyQuery { label: Some("a b&c/é".to_owned()), cursor: Some(7), limit: 5, ..KeyQuery::default() };
        assert_eq!(appliance.keys(1, &query).unwrap().next, None);
        let target = "GET /api/v1/cores/1/keys?limit=5&cursor=7&label=a%20b%26c%2F%C3%A9 HTTP/1.1\r\n";
        assert!(server.seen()[0].head.starts_with(target), "{}", server.seen()[0].head);
    }

    #[test]
    fn a_key_without_a_public_half_spoils_no_listing() {
        let fields = r#""type": "aes:256", "pin": true, "mechanisms": [], "operations": []"#;
        let key = |label: &str, public: &str| {
            format!(r#"{{"id": "00000000000000aa", "label": "{label}", "public_key": {public}, {fields}}}"#)
        };
        let page = format!(r#"{{"keys": [{}, {}], "next": null}}"#, key("secret", "null"), key("pair", r#""AQID""#));
        let (_server, appliance) = pair("null", "", move |_| json(200, &page));
        let keys = appliance.keys(1, &KeyQuery::default()).unwrap().keys;
        assert_eq!(keys.iter().map(|key| key.public_key.len()).collect::<Vec<_>>(), [0, 3]);
    }

    #[test]
    fn random_bytes_come_in_as_many_requests_as_they_need() {
        let (server, appliance) = pair("random", "", |number| {
            let body = if number == 0 { "AAAA".repeat(1365) + "AA==" } else { "AAA=".to_owned() };
            json(200, &format!(r#"{{"random": "{body}"}}"#))
        });
        assert_eq!(appliance.random(1, 4098), Ok(vec![0; 4098]));
        assert!(server.seen()[1].head.contains("bytes=2 "));
    }

    #[test]
    fn an_answer_that_is_something_else_is_garbage_and_not_quoted() {
        let answers = [
            r#"{"ticket": "hunter22"}"#,
            "[]",
            "hunter22",
            r#"{"ticket": 1, "expires": "hunter22", "keys": "hunter22"}"#,
        ];
        let (_server, appliance) = pair("garbage", "", move |number| json(200, answers[number]));
        for _ in answers {
            match appliance.login(1, "12345678") {
                Err(Error::Garbage(text)) => assert!(!text.contains("hunter"), "{text}"),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn connections_are_kept() {
        let (server, appliance) = pair("kept", "", |_| json(200, NO_CORES));
        for _ in 0..3 {
            appliance.cores().unwrap();
        }
        assert!(server.seen().iter().all(|seen| seen.connection == 1));
    }

    #[test]
    fn as_many_connections_as_the_pool_allows() {
        let (server, appliance) = pair("pool", r#", "pool": 2"#, |_| {
            std::thread::sleep(Duration::from_millis(50));
            json(200, NO_CORES)
        });
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| appliance.cores().unwrap());
            }
        });
        assert_eq!(server.seen().iter().map(|seen| seen.connection).max(), Some(2));
    }
}

mod trouble {
    use super::*;

    /// Waits that the machine adds itself are allowed for; the limit is a tenth more than the configured time.
    fn within(limit: Duration, begin: Instant) {
        let took = begin.elapsed();
        assert!(took >= limit.mul_f64(0.9) && took <= limit.mul_f64(1.1), "{took:?}");
    }

    #[test]
    fn an_idle_connection_that_was_closed_is_replaced_silently() {
        let last =
            |body: &str| Reply::Last(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into());
        let (server, appliance) = pair("idle", r#", "retries": 0"#, move |_| last(NO_CORES));
        for connection in 1..4 {
            assert_eq!(appliance.cores(), Ok(vec![]));
            assert_eq!(server.seen().len(), connection);
        }
    }

    #[test]
    fn a_retry_is_the_same_request() {
        let (server, appliance) = pair("retry", "", |number| match number {
            0 => Reply::Hang,
            1 => json(503, r#"{"type": "urn:privyseal:problem:unavailable", "detail": "busy"}"#),
            2 => json(200, r#"{"signature": "AQID", "event": 1}"#),
            _ => json(200, r#"{"signature": "BAUG", "event": 2}"#),
        });
        assert_eq!(appliance.sign(&order(), &[1], None), Ok(vec![1, 2, 3]));
        assert_eq!(appliance.sign(&order(), &[1], None), Ok(vec![4, 5, 6]));
        let seen = server.seen();
        let keys: Vec<_> = seen.iter().map(|seen| seen.header("Idempotency-Key").unwrap()).collect();
        assert_eq!((keys[0], keys[1]), (keys[1], keys[2]));
        assert_ne!(keys[2], keys[3]);
        assert_eq!(keys[0].len(), 36);
    }

    #[test]
    fn the_next_node_takes_over() {
        let authority = Authority::new("CA");
        let server = Server::start(authority.issue(&["localhost"], VALID), |_, _| json(200, NO_CORES));
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (file, port) = (authority.file("failover"), server.port);
        let entries = format!(
            r#""url": "https://localhost:{closed}", "urls": ["https://localhost:{port}"], "ca_file": "{}""#,
            file.display()
        );
        assert_eq!(appliance(&entries).cores(), Ok(vec![]));
    }

    #[test]
    fn silence_ends_at_the_time_out() {
        let (server, appliance) = pair("silence", r#", "timeout_ms": 600"#, |_| Reply::Silence);
        let begin = Instant::now();
        assert!(unreachable(appliance.cores()).contains("did not answer within 600 ms"));
        within(Duration::from_millis(600), begin);
        assert_eq!(server.seen().len(), 1);
    }

    #[test]
    fn trickling_bytes_do_not_stretch_the_time_out() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n".repeat(9);
        let (_server, appliance) = pair("trickle", r#", "timeout_ms": 600"#, move |_| {
            Reply::Trickle(bytes.clone(), Duration::from_millis(20))
        });
        let begin = Instant::now();
        unreachable(appliance.cores());
        within(Duration::from_millis(600), begin);
    }

    #[test]
    fn a_peer_that_accepts_and_says_nothing_ends_at_the_time_out() {
        // The listener's backlog completes the connection; nobody ever answers the handshake.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let file = Authority::new("CA").file("backlog");
        let port = listener.local_addr().unwrap().port();
        let entries =
            format!(r#""url": "https://localhost:{port}", "ca_file": "{}", "timeout_ms": 600"#, file.display());
        let begin = Instant::now();
        unreachable(appliance(&entries).cores());
        within(Duration::from_millis(600), begin);
    }

    #[test]
    fn a_wait_for_the_pool_ends_at_the_time_out() {
        let (_server, appliance) = pair("busy", r#", "timeout_ms": 600, "pool": 1"#, |_| Reply::Silence);
        let begin = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| unreachable(appliance.cores()));
            }
        });
        within(Duration::from_millis(600), begin);
    }

    #[test]
    fn a_response_that_is_cut_is_no_answer() {
        let (_server, appliance) = pair("cut", r#", "retries": 1"#, |_| {
            Reply::Last(b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{\"cores\"".to_vec())
        });
        unreachable(appliance.cores());
    }

    #[test]
    fn no_error_and_no_log_line_holds_a_secret() {
        let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("secrets.log");
        let authority = Authority::new("CA");
        let server = Server::start(authority.issue(&["localhost"], VALID), |number, _| match number {
            0 => json(200, r#"{"ticket": "secret-ticket", "expires": "2026-11-23T11:15:00Z", "keys": 1}"#),
            1 => Reply::Bytes(b"secret-ticket".to_vec()),
            _ => json(403, r#"{"type": "urn:privyseal:problem:ticket-invalid", "detail": "log in again"}"#),
        });
        let text = format!(
            r#"{{"url": "https://localhost:{}", "user": "alice", "pass": "hunter22", "ca_file": "{}"}}"#,
            server.port,
            authority.file("secrets").display()
        );
        let log = Log::open(255, Some(&path));
        let appliance = Appliance::new(Configuration::parse(&text).unwrap(), log);
        let login = appliance.login(1, "secret-pin").unwrap();
        let errors = [
            appliance.logout(1, &login.ticket).unwrap_err().to_string(),
            appliance.sign(&order(), &[1], Some(&login.ticket)).unwrap_err().to_string(),
        ];
        let everything = format!("{} {errors:?} {appliance:?} {login:?}", std::fs::read_to_string(&path).unwrap());
        assert!(everything.contains("/logout") && everything.contains("ticket-invalid"), "{everything}");
        for secret in ["hunter22", "secret-", "aHVudGVy", "YWxpY2U6"] {
            assert!(!everything.contains(secret), "{everything}");
        }
        std::fs::remove_file(path).unwrap();
    }
}
