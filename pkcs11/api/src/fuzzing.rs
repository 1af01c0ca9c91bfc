//! What must hold at the C boundary whatever a program passes that it is allowed to point at: templates, mechanism
//! parameters, lengths, handles and the order of calls, and whatever the appliance answers meanwhile.
//!
//! Always true: pointers are NULL or lead to memory that is there, aligned or not; lengths are those of the memory or
//! impossible ones. Nothing may panic, which would be CKR_GENERAL_ERROR, or be written beside a program's buffer, and what
//! was said to fit must have fitted. `cargo fuzz` calls this with coverage (pkcs11/fuzz), and `cargo test` for a while.

use std::ptr;
use std::sync::{Mutex, Once, PoisonError};

use base64::engine::general_purpose::STANDARD;
use base64::Engine as _;
use privyseal_sys::*;

use crate::{cipher::*, crypto::*, general::*, keys::*, message::*, objects::*, session::*};

#[cfg(test)]
#[path = "../../fuzz/drive.rs"]
mod drive;
// It serves the tests of `remote` too.
#[allow(dead_code)]
#[path = "../../remote/tests/support/mod.rs"]
mod support;

use support::{json, Authority, Reply, Seen, Server};

/// What lies behind a buffer's end.
const BESIDE: u8 = 0xa5;
const MARGIN: usize = 16;
/// No memory is so large.
const IMPOSSIBLE: CK_ULONG = CK_ULONG::MAX - 7;

const ATTRIBUTES: [CK_ATTRIBUTE_TYPE; 28] = [
    CKA_CLASS,
    CKA_TOKEN,
    CKA_PRIVATE,
    CKA_LABEL,
    CKA_APPLICATION,
    CKA_VALUE,
    CKA_OBJECT_ID,
    CKA_CERTIFICATE_TYPE,
    CKA_TRUSTED,
    CKA_KEY_TYPE,
    CKA_SUBJECT,
    CKA_ID,
    CKA_SENSITIVE,
    CKA_VERIFY,
    CKA_START_DATE,
    CKA_MODULUS,
    CKA_MODULUS_BITS,
    CKA_PUBLIC_EXPONENT,
    CKA_PUBLIC_KEY_INFO,
    CKA_VALUE_LEN,
    CKA_EXTRACTABLE,
    CKA_LOCAL,
    CKA_MODIFIABLE,
    CKA_COPYABLE,
    CKA_EC_PARAMS,
    CKA_EC_POINT,
    CKA_ALLOWED_MECHANISMS,
    CKA_PARAMETER_SET,
];

const MECHANISMS: [CK_MECHANISM_TYPE; 20] = [
    CKM_ECDSA,
    CKM_ECDSA_SHA256,
    CKM_EDDSA,
    CKM_RSA_PKCS,
    CKM_RSA_PKCS_PSS,
    CKM_SHA256_RSA_PKCS_PSS,
    CKM_RSA_PKCS_OAEP,
    CKM_ECDH1_DERIVE,
    CKM_ML_DSA,
    CKM_HASH_ML_DSA,
    CKM_HASH_ML_DSA_SHA256,
    CKM_ML_KEM,
    CKM_SHA256,
    CKM_SHA_1,
    CKM_EC_KEY_PAIR_GEN,
    CKM_RSA_PKCS_KEY_PAIR_GEN,
    CKM_EC_EDWARDS_KEY_PAIR_GEN,
    CKM_ML_DSA_KEY_PAIR_GEN,
    CKM_ML_KEM_KEY_PAIR_GEN,
    CKM_AES_CBC,
];

/// Numbers that mean something in a template, a parameter or as a length.
const NUMBERS: [CK_ULONG; 16] = [
    CKO_DATA,
    CKO_CERTIFICATE,
    CKO_PUBLIC_KEY,
    CKO_PRIVATE_KEY,
    CKO_SECRET_KEY,
    CKK_EC_EDWARDS,
    CKK_ML_DSA,
    CKM_SHA256,
    CKM_SHA512,
    CKG_MGF1_SHA256,
    CKD_SHA256_KDF,
    CKP_ML_DSA_65,
    2048,
    IMPOSSIBLE,
    CK_ULONG::MAX,
    1 << 40,
];

const P256: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

/// What the appliance says to the next request in the place of a right answer.
static NEXT_ANSWER: Mutex<Option<(u16, Vec<u8>)>> = Mutex::new(None);

/// Makes the calls that the bytes stand for.
pub fn calls(bytes: &[u8]) {
    static READY: Once = Once::new();
    READY.call_once(begin_with_an_appliance);
    let mut program =
        Program { input: bytes, memory: vec![], outputs: vec![], honest: false, session: 0, objects: vec![] };
    program.open();
    while !program.input.is_empty() {
        let answer = program.call();
        assert_ne!(answer, CKR_GENERAL_ERROR, "a panic");
        program.check_outputs(answer);
    }
    *NEXT_ANSWER.lock().unwrap_or_else(PoisonError::into_inner) = None;
    unsafe { C_CloseAllSessions(slot()) };
}

fn slot() -> CK_SLOT_ID {
    200_648_370
}

/// A program: its calls, and the memory that it lets us look at, which lives as long as it does. This is what makes every
/// `unsafe` here sound: no call gets a pointer from anywhere else.
struct Program<'a> {
    input: &'a [u8],
    memory: Vec<Vec<u8>>,
    /// Buffers and lengths that a call may write to, and the room that it was told of.
    outputs: Vec<(Vec<u8>, Box<CK_ULONG>, usize)>,
    /// Whether lengths are true for now.
    honest: bool,
    session: CK_SESSION_HANDLE,
    objects: Vec<CK_OBJECT_HANDLE>,
}

impl Program<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.input.split_first().map_or((0, self.input), |(first, rest)| (*first, rest));
        self.input = rest;
        first
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::from(self.byte()) % of.len()]
    }

    fn number(&mut self) -> CK_ULONG {
        match self.byte() % 4 {
            3 => self.byte().into(),
            _ => self.one_of(&NUMBERS),
        }
    }

    fn bytes(&mut self) -> Vec<u8> {
        let length = usize::from(self.byte()).min(self.input.len());
        let (bytes, rest) = self.input.split_at(length);
        self.input = rest;
        bytes.to_vec()
    }

    /// Bytes in memory: now and then there are none, they are not aligned, or their length is impossible.
    fn place(&mut self, mut content: Vec<u8>) -> (*mut u8, CK_ULONG) {
        let (how, length) = (self.byte() % 32, content.len() as CK_ULONG);
        if how == 30 {
            return (ptr::null_mut(), length);
        }
        let offset = usize::from(how % 2);
        content.splice(0..0, vec![0; offset]);
        self.memory.push(content);
        let start = self.memory.last_mut().map_or(ptr::null_mut(), |content| content.as_mut_ptr());
        (start.wrapping_add(offset), if how == 31 && !self.honest { IMPOSSIBLE } else { length })
    }

    fn value(&mut self) -> Vec<u8> {
        match self.byte() % 6 {
            0 => vec![CK_TRUE],
            1 => vec![CK_FALSE],
            2 | 3 => self.number().to_ne_bytes().to_vec(),
            4 => P256.to_vec(),
            _ => self.bytes(),
        }
    }

    /// A template and its count.
    fn template(&mut self) -> (*mut CK_ATTRIBUTE, CK_ULONG) {
        let mut words = vec![];
        let count = self.byte() % 7;
        for _ in 0..count {
            let kind = if self.byte() % 16 == 15 { self.number() } else { self.one_of(&ATTRIBUTES) };
            let value = self.value();
            let (pointer, length) = self.place(value);
            words.extend([kind, pointer as CK_ULONG, length].into_iter().flat_map(CK_ULONG::to_ne_bytes));
        }
        let (pointer, length) = self.place(words);
        (pointer.cast(), if length == IMPOSSIBLE { length } else { count.into() })
    }

    /// A parameter in the mechanism's form, or one of another size, where pointers are not looked for.
    fn parameter(&mut self, kind: CK_MECHANISM_TYPE) -> Vec<u8> {
        let [one, other] = [(); 2].map(|()| {
            let content = self.bytes();
            self.place(content)
        });
        let (one, other) = ([one.0 as CK_ULONG, one.1], [other.0 as CK_ULONG, other.1]);
        let [a, b, c] = [(); 3].map(|()| self.number());
        let words = match kind {
            CKM_RSA_PKCS_OAEP => vec![a, b, c, one[0], one[1]],
            CKM_ECDH1_DERIVE => vec![a, one[1], one[0], other[1], other[0]],
            CKM_HASH_ML_DSA => vec![a, one[0], one[1], b],
            CKM_ML_DSA | CKM_HASH_ML_DSA_SHA224..=CKM_HASH_ML_DSA_SHA3_512 => vec![a, one[0], one[1]],
            _ => vec![a, b, c],
        };
        let mut bytes: Vec<u8> = words.into_iter().flat_map(CK_ULONG::to_ne_bytes).collect();
        if self.byte() % 8 == 7 {
            bytes.truncate(usize::from(self.byte()) % bytes.len());
        }
        bytes
    }

    fn mechanism(&mut self) -> *mut CK_MECHANISM {
        if self.byte() % 32 == 31 {
            return ptr::null_mut();
        }
        let kind = if self.byte() % 16 == 15 { self.number() } else { self.one_of(&MECHANISMS) };
        let (pointer, length) = match self.byte() % 3 {
            0 => (ptr::null_mut(), 0),
            _ => {
                let content = self.parameter(kind);
                self.place(content)
            }
        };
        let words = [kind, pointer as CK_ULONG, length];
        self.place(words.into_iter().flat_map(CK_ULONG::to_ne_bytes).collect()).0.cast()
    }

    /// A buffer for an answer and its length; either may be NULL.
    fn output(&mut self) -> (*mut u8, *mut CK_ULONG) {
        let room = 16 * usize::from(self.byte());
        let how = self.byte() % 16;
        self.outputs.push((vec![BESIDE; room + MARGIN], Box::new(room as CK_ULONG), room));
        let Some((buffer, length, _)) = self.outputs.last_mut() else { return (ptr::null_mut(), ptr::null_mut()) };
        let buffer = if how > 12 { ptr::null_mut() } else { buffer.as_mut_ptr() };
        (buffer, if how == 15 { ptr::null_mut() } else { &mut **length })
    }

    fn check_outputs(&mut self, answer: CK_RV) {
        for (buffer, length, room) in self.outputs.drain(..) {
            assert!(buffer[room..].iter().all(|byte| *byte == BESIDE), "written beside the buffer");
            let written = buffer[..room].iter().any(|byte| *byte != BESIDE);
            assert!(!written || *length as usize <= room || answer != CKR_OK, "more than there is room for");
        }
    }

    fn object(&mut self) -> CK_OBJECT_HANDLE {
        match self.byte() {
            255 => self.number(),
            choice if self.objects.is_empty() => choice.into(),
            choice => self.objects[usize::from(choice) % self.objects.len()],
        }
    }

    fn open(&mut self) {
        let flags = CKF_SERIAL_SESSION | if self.byte() % 4 == 0 { 0 } else { CKF_RW_SESSION };
        unsafe {
            C_OpenSession(slot(), flags, ptr::null_mut(), None, &mut self.session);
            C_FindObjectsInit(self.session, ptr::null_mut(), 0);
            let (mut found, mut count) = ([0; 64], 0);
            C_FindObjects(self.session, found.as_mut_ptr(), 64, &mut count);
            C_FindObjectsFinal(self.session);
            self.objects = found[..count as usize].to_vec();
        }
    }

    /// Remembers an object that a call made.
    fn made(&mut self, answer: CK_RV, object: CK_OBJECT_HANDLE) -> CK_RV {
        assert_eq!(answer == CKR_OK, object != CK_INVALID_HANDLE);
        self.objects.extend((answer == CKR_OK).then_some(object));
        answer
    }

    fn call(&mut self) -> CK_RV {
        let session = if self.byte() % 32 == 31 { self.number() } else { self.session };
        match self.byte() % 9 {
            0 => self.of_sessions(session),
            1 | 2 => self.of_objects(session),
            3 => self.init(session),
            4 => self.of_keys(session),
            5 => self.update(session),
            6 => self.last_of_messages(session),
            _ => self.whole(session),
        }
    }

    fn of_sessions(&mut self, session: CK_SESSION_HANDLE) -> CK_RV {
        let (number, content) = (self.number(), self.bytes());
        let (pointer, length) = self.place(content);
        let output = self.output();
        match self.byte() % 9 {
            0 => {
                let answer = (self.one_of(&[200, 201, 401, 403, 404, 409, 422, 500, 503]), self.bytes());
                *NEXT_ANSWER.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
                CKR_OK
            }
            1 => unsafe { C_Login(session, number, pointer, length) },
            2 => unsafe { C_Login(session, CKU_USER, b"12345678".as_ptr().cast_mut(), 8) },
            3 => unsafe { C_Logout(session) },
            4 => unsafe { C_LoginUser(session, CKU_USER, b"12345678".as_ptr().cast_mut(), 8, pointer, length) },
            5 => unsafe { C_SessionCancel(session, number) },
            6 => unsafe { C_GetOperationState(session, output.0, output.1) },
            7 => unsafe { C_SetOperationState(session, pointer, length, number, number) },
            _ => {
                let mut info = CK_MECHANISM_INFO { ulMinKeySize: 0, ulMaxKeySize: 0, flags: 0 };
                unsafe { C_GetMechanismInfo(slot(), number, &mut info) }
            }
        }
    }

    fn of_objects(&mut self, session: CK_SESSION_HANDLE) -> CK_RV {
        let (object, what) = (self.object(), self.byte() % 8);
        // What lies behind a buffer that is to be written to nobody can check.
        self.honest = what > 5;
        let (template, count) = self.template();
        self.honest = false;
        let mut made = CK_INVALID_HANDLE;
        unsafe {
            match what {
                0 => {
                    let answer = C_CreateObject(session, template, count, &mut made);
                    self.made(answer, made)
                }
                1 => {
                    let answer = C_CopyObject(session, object, template, count, &mut made);
                    self.made(answer, made)
                }
                2 => C_SetAttributeValue(session, object, template, count),
                3 => C_FindObjectsInit(session, template, count),
                4 => {
                    let (mut found, mut count) = ([0; 16], 0);
                    C_FindObjects(session, found.as_mut_ptr(), 16, &mut count)
                }
                5 => C_FindObjectsFinal(session),
                6 if self.byte() % 8 == 0 => C_DestroyObject(session, object),
                _ => C_GetAttributeValue(session, object, template, count),
            }
        }
    }

    fn init(&mut self, session: CK_SESSION_HANDLE) -> CK_RV {
        let (how, object, content) = (self.mechanism(), self.object(), self.bytes());
        let (pointer, length) = self.place(content);
        unsafe {
            match self.byte() % 8 {
                0 => C_SignInit(session, how, object),
                1 => C_VerifyInit(session, how, object),
                2 => C_DigestInit(session, how),
                3 => C_EncryptInit(session, how, object),
                4 => C_DecryptInit(session, how, object),
                5 => C_MessageSignInit(session, how, object),
                6 => C_MessageVerifyInit(session, how, object),
                _ => C_VerifySignatureInit(session, how, object, pointer, length),
            }
        }
    }

    fn of_keys(&mut self, session: CK_SESSION_HANDLE) -> CK_RV {
        let (how, object, (one, one_count)) = (self.mechanism(), self.object(), self.template());
        let ((other, other_count), content) = (self.template(), self.bytes());
        let (pointer, length) = self.place(content);
        let output = self.output();
        let (mut made, mut also) = (CK_INVALID_HANDLE, CK_INVALID_HANDLE);
        let answer = unsafe {
            match self.byte() % 5 {
                0 => C_GenerateKeyPair(session, how, one, one_count, other, other_count, &mut made, &mut also),
                1 => C_DeriveKey(session, how, object, one, one_count, &mut made),
                2 if output.0.is_null() => return CKR_OK,
                2 => C_EncapsulateKey(session, how, object, one, one_count, output.0, output.1, &mut made),
                3 => C_DecapsulateKey(session, how, object, one, one_count, pointer, length, &mut made),
                // Of the lengths that are too large, those that can be are the program's own fault.
                _ if output.1.is_null() => return C_GenerateRandom(session, output.0, IMPOSSIBLE),
                _ => return C_GenerateRandom(session, output.0, *output.1),
            }
        };
        self.made(answer, made)
    }

    fn update(&mut self, session: CK_SESSION_HANDLE) -> CK_RV {
        let content = self.bytes();
        let (pointer, length) = self.place(content);
        unsafe {
            match self.byte() % 6 {
                0 => C_SignUpdate(session, pointer, length),
                1 => C_VerifyUpdate(session, pointer, length),
                2 => C_DigestUpdate(session, pointer, length),
                3 => C_VerifySignatureUpdate(session, pointer, length),
                4 => C_SignMessageBegin(session, ptr::null_mut(), 0),
                _ => C_VerifyMessageBegin(session, ptr::null_mut(), 0),
            }
        }
    }

    fn last_of_messages(&mut self, session: CK_SESSION_HANDLE) -> CK_RV {
        let [(data, data_length), (other, other_length)] = [(); 2].map(|()| {
            let content = self.bytes();
            self.place(content)
        });
        let (none, output) = (ptr::null_mut(), self.output());
        unsafe {
            match self.byte() % 6 {
                0 => C_SignMessage(session, none, 0, data, data_length, output.0, output.1),
                1 => C_SignMessageNext(session, none, 0, data, data_length, output.0, output.1),
                2 => C_VerifyMessage(session, none, 0, data, data_length, other, other_length),
                3 => C_VerifyMessageNext(session, none, 0, data, data_length, other, other_length),
                4 => C_MessageSignFinal(session),
                _ => C_MessageVerifyFinal(session),
            }
        }
    }

    fn whole(&mut self, session: CK_SESSION_HANDLE) -> CK_RV {
        let [(data, data_length), (other, other_length)] = [(); 2].map(|()| {
            let content = self.bytes();
            self.place(content)
        });
        let output = self.output();
        unsafe {
            match self.byte() % 10 {
                0 => C_Sign(session, data, data_length, output.0, output.1),
                1 => C_SignFinal(session, output.0, output.1),
                2 => C_Verify(session, data, data_length, other, other_length),
                3 => C_VerifyFinal(session, other, other_length),
                4 => C_Digest(session, data, data_length, output.0, output.1),
                5 => C_DigestFinal(session, output.0, output.1),
                6 => C_Encrypt(session, data, data_length, output.0, output.1),
                7 => C_Decrypt(session, data, data_length, output.0, output.1),
                8 => C_VerifySignature(session, data, data_length),
                _ => C_VerifySignatureFinal(session),
            }
        }
    }
}

/// Starts an appliance in this process that answers every request rightly or as `NEXT_ANSWER` says, and the module.
fn begin_with_an_appliance() {
    let authority = Authority::new("CA");
    let server = Server::start(authority.issue(&["localhost"], 4000), |_, seen| reply(seen));
    let file = authority.file("fuzzing");
    let configuration = file.with_extension("json");
    let text = format!(
        r#"{{"url": "https://localhost:{}", "ca_file": "{}", "user": "alice", "pass": "p", "retries": 0}}"#,
        server.port,
        file.display()
    );
    std::fs::write(&configuration, text).expect("a configuration can be written");
    std::env::set_var("PRIVYSEAL_CONFIG", configuration);
    let mut count = 0;
    // A panic of the module has to be seen here, which in a program it is not.
    let hook = std::panic::take_hook();
    unsafe {
        assert_eq!(C_Initialize(ptr::null_mut()), CKR_OK);
        std::panic::set_hook(hook);
        assert_eq!(C_GetSlotList(CK_TRUE, ptr::null_mut(), &mut count), CKR_OK);
    }
    assert_eq!(count, 1);
}

fn reply(seen: &Seen) -> Reply {
    if let Some((status, body)) = NEXT_ANSWER.lock().unwrap_or_else(PoisonError::into_inner).take() {
        let mut bytes = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
        bytes.extend(body);
        return Reply::Bytes(bytes);
    }
    let path = seen.head.split(' ').nth(1).unwrap_or_default();
    let encoded = |length| STANDARD.encode(vec![7; length]);
    let body = match path.rsplit('/').next().unwrap_or_default() {
        "cores" => cores(),
        "login" => r#"{"ticket": "a ticket", "expires": "2099-01-01T00:00:00Z", "keys": 3}"#.to_owned(),
        "sign" => format!(r#"{{"signature": "{}"}}"#, encoded(64)),
        "verify" => r#"{"valid": true}"#.to_owned(),
        "encrypt" | "decrypt" => format!(r#"{{"data": "{}"}}"#, encoded(256)),
        "derive" | "decapsulate" => format!(r#"{{"secret": "{}"}}"#, encoded(32)),
        "encapsulate" => format!(r#"{{"secret": "{}", "ciphertext": "{}"}}"#, encoded(32), encoded(1088)),
        last if last.starts_with("random") => {
            let length = last.rsplit('=').next().and_then(|length| length.parse().ok());
            format!(r#"{{"random": "{}"}}"#, encoded(length.unwrap_or_default()))
        }
        last if last.starts_with("keys?") => format!(r#"{{"keys": [{}], "next": null}}"#, keys().join(", ")),
        _ => keys().swap_remove(0),
    };
    json(200, &body)
}

fn cores() -> String {
    r#"{"cores": [{"number": 1, "name": "one", "token": {"label": "one", "description": "d", "manufacturer": "m",
        "model": "m", "serial": "200648370", "hardware_version": "1.0", "firmware_version": "1.0"}}]}"#
        .to_owned()
}

/// One key of each family, without a PIN but the first.
fn keys() -> Vec<String> {
    let spki = |algorithm: &str, key: &[u8]| {
        let bits = [&[0], key].concat();
        let length = |length: usize| [vec![0x82], (length as u16).to_be_bytes().to_vec()].concat();
        let algorithm: Vec<u8> = (0..algorithm.len()).step_by(2).map(|at| hex(&algorithm[at..at + 2])).collect();
        let inner = [&algorithm[..], &[0x03], &shortest(bits.len(), length), &bits].concat();
        STANDARD.encode([&[0x30][..], &shortest(inner.len(), length), &inner].concat())
    };
    let point = [&[4][..], &[9; 64]].concat();
    let rsa = [&[0x30, 0x82, 1, 0x0a, 2, 0x82, 1, 1, 0][..], &[0xc3; 256], &[2, 3, 1, 0, 1]].concat();
    let all = [
        ("ec:P-256", spki("301306072a8648ce3d020106082a8648ce3d030107", &point)),
        ("rsa:2048", spki("300d06092a864886f70d0101010500", &rsa)),
        ("ed25519", spki("300506032b6570", &[1; 32])),
        ("x25519", spki("300506032b656e", &[1; 32])),
        ("ml-dsa-44", spki("300b0609608648016503040311", &[1; 1312])),
        ("ml-kem-768", spki("300b0609608648016503040402", &[1; 1184])),
    ];
    let record = |(number, (kind, public_key)): (usize, (&str, String))| {
        format!(
            r#"{{"id": "{:016x}", "label": "key{number}", "type": "{kind}", "pin": {}, "public_key": "{public_key}",
            "mechanisms": [], "operations": ["key:sign", "key:manage", "key:destroy", "encrypt", "decrypt", "derive"]}}"#,
            number + 1,
            number == 0
        )
    };
    all.into_iter().enumerate().map(record).collect()
}

fn hex(digits: &str) -> u8 {
    u8::from_str_radix(digits, 16).unwrap_or_default()
}

fn shortest(length: usize, long: impl Fn(usize) -> Vec<u8>) -> Vec<u8> {
    match length {
        0..0x80 => vec![length as u8],
        0x80..0x100 => vec![0x81, length as u8],
        _ => long(length),
    }
}

#[cfg(test)]
mod tests {
    use super::drive::drive;
    use super::*;

    #[test]
    fn any_calls_have_an_answer() {
        let many: Vec<Vec<u8>> =
            (1..=16u8).map(|step| (0..=255u8).map(|at| at.wrapping_mul(2 * step + 1) ^ step).collect()).collect();
        drive(&many.iter().map(Vec::as_slice).collect::<Vec<_>>(), calls);
    }
}
