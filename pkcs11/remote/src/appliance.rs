//! The appliance, request by request, as docs/reference/rest.md has them.
//!
//! Always true: nothing here keeps what the appliance said, so every answer is the appliance's present one; ECDSA
//! signatures are r and s of equal length, as PKCS #11 wants them.

use std::fmt::Write as _;

use base64::engine::general_purpose::STANDARD;
use base64::Engine as _;
use rustls::crypto::ring::default_provider;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::coalesce::Coalescer;
use crate::http::{Request, Response};
use crate::transport::Transport;
use crate::{
    Application, Applied, Configuration, Core, Error, Key, KeyChange, KeyPage, KeyQuery, Log, Login, NewKey, Secret,
    SignOrder,
};

/// Most random bytes of one request (docs/reference/rest.md).
const MAX_RANDOM: usize = 4096;

/// One appliance as one user sees it. Cheap to make; it reads files and connects at the first request. Any number of
/// threads may use it.
///
/// Every request returns [`Error`] in its five kinds; which problems a request can meet stands in docs/reference/rest.md.
#[derive(Debug)]
pub struct Appliance {
    configuration: Configuration,
    log: Log,
    transport: Transport,
    coalescer: Coalescer,
}

impl Appliance {
    /// Takes the values over; nothing else happens before the first request.
    pub fn new(configuration: Configuration, log: Log) -> Appliance {
        let transport = Transport::new(&configuration);
        Appliance { configuration, log, transport, coalescer: Coalescer::default() }
    }

    /// The configuration it was made with.
    pub fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// The cores that the user may see; only the configured one where one is configured.
    pub fn cores(&self) -> Result<Vec<Core>, Error> {
        match &self.configuration.core {
            Some(core) => Ok(vec![self.get(format!("/cores/{}", percent_encoded(core)))?]),
            None => self.get("/cores".to_owned()).map(|answer: Cores| answer.cores),
        }
    }

    /// One page of the keys that the user may see in a core.
    pub fn keys(&self, core: u32, query: &KeyQuery) -> Result<KeyPage, Error> {
        let mut path = format!("/cores/{core}/keys?limit={}", query.limit);
        if let Some(cursor) = query.cursor {
            let _ = write!(path, "&cursor={cursor}");
        }
        for (name, value) in [("label", &query.label), ("id", &query.id), ("object_id", &query.object_id)] {
            if let Some(value) = value {
                let _ = write!(path, "&{name}={}", percent_encoded(value));
            }
        }
        self.get(path)
    }

    /// Makes a key.
    pub fn generate(&self, core: u32, key: &NewKey) -> Result<Key, Error> {
        let policy = key.exportable.then_some(PolicyBody { exportable: true });
        let (label, kind, object_id) = (key.label, key.kind, key.object_id.as_deref());
        let body = KeyBody { label, kind, pin: key.pin.map(Secret::expose), object_id, policy };
        self.post(format!("/cores/{core}/keys"), &body)
    }

    /// Changes what programs call a key, which is named by its id.
    pub fn change(&self, core: u32, key: &str, change: &KeyChange) -> Result<Key, Error> {
        let path = format!("/cores/{core}/keys/{}", percent_encoded(key));
        let request = Request { method: "PUT", idempotency_key: None, ..post_request(path, change)? };
        read_json(&self.send(&request)?)
    }

    /// Begins the destruction of a key, named by its id: it is of no use from now on, and can be restored for a while.
    pub fn destroy(&self, core: u32, key: &str) -> Result<(), Error> {
        let target = target(&format!("/cores/{core}/keys/{}", percent_encoded(key)));
        let request = Request { method: "DELETE", target, body: Zeroizing::default(), idempotency_key: None };
        self.send(&request).map(drop)
    }

    /// Opens the keys of a core that the PIN fits. `pin-incorrect` if it fits none.
    pub fn login(&self, core: u32, pin: &str) -> Result<Login, Error> {
        self.post(format!("/cores/{core}/login"), &PinBody { pin })
    }

    /// Ends a ticket; ending it twice is no error.
    pub fn logout(&self, core: u32, ticket: &Secret) -> Result<(), Error> {
        let request = post_request(format!("/cores/{core}/logout"), &TicketBody { ticket: ticket.expose() })?;
        self.send(&request).map(drop)
    }

    /// Signs. Callers that come at the same time with an equal order and ticket share one request.
    pub fn sign(&self, order: &SignOrder, input: &[u8], ticket: Option<&Secret>) -> Result<Vec<u8>, Error> {
        if order.context.is_some() {
            // A batch has no context.
            return self.sign_one(order, input, ticket);
        }
        self.coalescer.sign(order, ticket, input, &|inputs| match inputs {
            [input] => self.sign_one(order, input, ticket).map(|signature| vec![signature]),
            inputs => self.sign_batch(order, inputs, ticket),
        })
    }

    /// Whether the signature is the key's over the input. Needs no PIN.
    pub fn verify(&self, order: &SignOrder, input: &[u8], signature: &[u8]) -> Result<bool, Error> {
        let signature = Some(STANDARD.encode(signature));
        let body = OrderBody { signature, ..single_body(order, input) };
        self.post(key_path(order, "verify"), &body).map(|answer: Verdict| answer.valid)
    }

    /// Encrypts, decrypts, derives, encapsulates or decapsulates.
    pub fn apply(&self, how: &Application, ticket: Option<&Secret>) -> Result<Applied, Error> {
        let encode = |bytes: &[u8]| Zeroizing::new(STANDARD.encode(bytes));
        let filled = |bytes: &[u8]| (!bytes.is_empty()).then(|| STANDARD.encode(bytes));
        let body = ApplicationBody {
            mechanism: how.mechanism,
            hash: how.hash,
            mgf_hash: how.mgf_hash,
            label: filled(how.label),
            public_key: filled(how.public_key),
            kdf: how.kdf,
            shared_info: filled(how.shared_info),
            length: how.length,
            data: how.data.map(encode),
            ciphertext: how.ciphertext.map(|bytes| STANDARD.encode(bytes)),
            ticket: ticket.map(Secret::expose),
        };
        let path = format!("/cores/{}/keys/{}/{}", how.core, percent_encoded(how.key), how.verb);
        let answer: ApplicationAnswer = self.post(path, &body)?;
        let missing = || Error::Garbage("the answer holds neither data nor a secret".to_owned());
        let value = answer.data.or(answer.secret).ok_or_else(missing)?;
        let value = Zeroizing::new(from_base64(value.expose())?);
        Ok(Applied { value, ciphertext: from_base64(&answer.ciphertext)? })
    }

    /// Random bytes from the appliance, any number.
    pub fn random(&self, core: u32, length: usize) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let count = MAX_RANDOM.min(length - bytes.len());
            let answer: Random = self.get(format!("/cores/{core}/random?bytes={count}"))?;
            let part = from_base64(&answer.random)?;
            if part.len() != count {
                return Err(Error::Garbage("not as many random bytes as were asked for".to_owned()));
            }
            bytes.extend_from_slice(&part);
        }
        Ok(bytes)
    }

    fn sign_one(&self, order: &SignOrder, input: &[u8], ticket: Option<&Secret>) -> Result<Vec<u8>, Error> {
        let body = OrderBody { ticket: ticket.map(Secret::expose), ..single_body(order, input) };
        let answer: Signature = self.post(key_path(order, "sign"), &body)?;
        from_base64(&answer.signature)
    }

    fn sign_batch(&self, order: &SignOrder, inputs: &[&[u8]], ticket: Option<&Secret>) -> Result<Vec<Vec<u8>>, Error> {
        self.log.write(3, &format!("{} signatures in one request", inputs.len()));
        let digests = inputs.iter().map(|input| STANDARD.encode(input)).collect();
        let body = OrderBody { digests: Some(digests), ticket: ticket.map(Secret::expose), ..empty_body(order) };
        let answer: Signatures = self.post(key_path(order, "sign-batch"), &body)?;
        answer.signatures.iter().map(|signature| from_base64(signature)).collect()
    }

    fn get<T: DeserializeOwned>(&self, path: String) -> Result<T, Error> {
        let request =
            Request { method: "GET", target: target(&path), body: Zeroizing::default(), idempotency_key: None };
        read_json(&self.send(&request)?)
    }

    fn post<T: DeserializeOwned>(&self, path: String, body: &impl Serialize) -> Result<T, Error> {
        read_json(&self.send(&post_request(path, body)?)?)
    }

    fn send(&self, request: &Request) -> Result<Response, Error> {
        self.transport.send(request, &self.configuration, &self.log)
    }
}

fn target(path: &str) -> String {
    format!("/api/v1{path}")
}

fn key_path(order: &SignOrder, verb: &str) -> String {
    format!("/cores/{}/keys/{}/{verb}", order.core, percent_encoded(&order.key))
}

fn post_request(path: String, body: &impl Serialize) -> Result<Request, Error> {
    // Room enough that the bytes of a PIN are not copied about while the text grows.
    let mut json = Zeroizing::new(Vec::with_capacity(4096));
    serde_json::to_writer(&mut *json, body).map_err(|_| Error::Garbage("the request is no JSON".to_owned()))?;
    Ok(Request { method: "POST", target: target(&path), body: json, idempotency_key: Some(random_uuid()?) })
}

/// A label for a key that its program gave none.
pub fn random_label() -> Result<String, Error> {
    random_uuid().map(|uuid| format!("key-{uuid}"))
}

/// A version 4 UUID (RFC 9562).
fn random_uuid() -> Result<String, Error> {
    let mut bytes = [0; 16];
    let filled = default_provider().secure_random.fill(&mut bytes);
    filled.map_err(|_| Error::Misconfigured("this host has no random numbers".to_owned()))?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok([&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-"))
}

fn read_json<T: DeserializeOwned>(response: &Response) -> Result<T, Error> {
    // serde's own words could quote the answer, and answers hold tickets.
    serde_json::from_slice(&response.body).map_err(|_| {
        Error::Garbage("the answer is not the JSON that was expected; is this a Privyseal appliance?".to_owned())
    })
}

/// Reads one kind of answer after the other, for `fuzzing`.
#[cfg(any(test, fuzzing))]
pub(crate) fn read_any(asked: u8, response: &Response) -> Result<(), Error> {
    match asked % 9 {
        0 => read_json::<Cores>(response).map(drop),
        1 => read_json::<KeyPage>(response).map(drop),
        2 => read_json::<Key>(response).map(drop),
        3 => read_json::<Login>(response).map(drop),
        4 => read_json::<Verdict>(response).map(drop),
        5 => read_json::<Signature>(response).and_then(|answer| from_base64(&answer.signature)).map(drop),
        6 => read_json::<Signatures>(response).map(drop),
        7 => read_json::<Random>(response).and_then(|answer| from_base64(&answer.random)).map(drop),
        _ => read_json::<ApplicationAnswer>(response).map(drop),
    }
}

fn from_base64(text: &str) -> Result<Vec<u8>, Error> {
    STANDARD.decode(text).map_err(|_| Error::Garbage("the answer holds no base64".to_owned()))
}

/// Everything but RFC 3986's unreserved characters as `%XX`.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(byte.into());
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// The body of `sign`, `sign-batch` and `verify`: the order, and the fields that each of them adds.
#[derive(Serialize)]
struct OrderBody<'a> {
    mechanism: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digests: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    salt_length: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mgf_hash: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<String>,
}

#[derive(Serialize)]
struct ApplicationBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    mechanism: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mgf_hash: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kdf: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shared_info: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    length: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Zeroizing<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ciphertext: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket: Option<&'a str>,
}

/// The one secret field is called by what it is.
#[derive(Deserialize)]
struct ApplicationAnswer {
    #[serde(default)]
    data: Option<Secret>,
    #[serde(default)]
    secret: Option<Secret>,
    #[serde(default)]
    ciphertext: String,
}

fn empty_body(order: &SignOrder) -> OrderBody<'_> {
    OrderBody {
        mechanism: order.mechanism,
        hash: order.hash,
        digest: None,
        data: None,
        digests: None,
        signature: None,
        ticket: None,
        encoding: (order.mechanism == "ECDSA").then_some("raw"),
        salt_length: order.salt_length,
        mgf_hash: order.mgf_hash,
        context: order.context.as_ref().map(|context| STANDARD.encode(context)),
    }
}

/// EdDSA and ML-DSA take messages, everything else takes digests or raw input.
fn single_body<'a>(order: &'a SignOrder, input: &[u8]) -> OrderBody<'a> {
    let encoded = Some(STANDARD.encode(input));
    match order.mechanism {
        "EdDSA" | "ML-DSA" => OrderBody { data: encoded, ..empty_body(order) },
        _ => OrderBody { digest: encoded, ..empty_body(order) },
    }
}

#[derive(Serialize)]
struct PinBody<'a> {
    pin: &'a str,
}

#[derive(Serialize)]
struct TicketBody<'a> {
    ticket: &'a str,
}

#[derive(Serialize)]
struct KeyBody<'a> {
    label: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pin: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    object_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<PolicyBody>,
}

#[derive(Serialize)]
struct PolicyBody {
    exportable: bool,
}

#[derive(Deserialize)]
struct Cores {
    cores: Vec<Core>,
}

#[derive(Deserialize)]
struct Signature {
    signature: String,
}

#[derive(Deserialize)]
struct Signatures {
    signatures: Vec<String>,
}

#[derive(Deserialize)]
struct Verdict {
    valid: bool,
}

#[derive(Deserialize)]
struct Random {
    random: String,
}
