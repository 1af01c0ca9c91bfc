//! Digest, sign and verify operations, from Init to their end.
//!
//! Always true: a message is hashed on this host as it arrives and never kept, except EdDSA's and ML-DSA's, which have no digest, and
//! inputs that are signed as they are; both are bounded. Nothing here waits for the network.

use std::fmt;
use std::sync::Arc;

use privyseal_remote::SignOrder;
use sha2::digest::DynDigest;
use zeroize::Zeroizing;

use crate::digest_info;
use crate::error::Error;
use crate::hash::Hash;
use crate::key::Key;
use crate::mechanism::{self, MlDsaSettings, PssSettings, Purpose, Scheme, Settings};
use crate::parameter::Parameter;
use crate::public_key::PublicKey;

use privyseal_sys::CK_MECHANISM_TYPE;

/// The longest message of EdDSA and ML-DSA, as docs/reference/rest.md limits `data`.
const LONGEST_MESSAGE: usize = 1 << 20;
/// The longest raw ECDSA input that the appliance takes.
const LONGEST_ECDSA_INPUT: usize = 64;
/// What PKCS #1 padding adds at least (RFC 8017, section 7.2.1).
const PKCS1_OVERHEAD: usize = 11;

/// Which operation of a session is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Decrypt,
    Digest,
    Encrypt,
    Find,
    MessageSign,
    MessageVerify,
    Sign,
    Verify,
    VerifySignature,
}

/// The buffer that a program has for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// None: it asks for the length.
    Query,
    /// So many bytes.
    Bytes(usize),
}

/// The answer of an operation that returns bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Produced {
    /// The length; the operation goes on.
    Length(usize),
    /// The length, which the buffer is too small for; the operation goes on.
    TooSmall(usize),
    /// The bytes, which may be a plaintext; the operation has ended.
    Bytes(Zeroizing<Vec<u8>>),
}

impl Room {
    /// What to answer before anything is computed; None when there is room enough.
    pub fn refusal(self, length: usize) -> Option<Produced> {
        match self {
            Room::Query => Some(Produced::Length(length)),
            Room::Bytes(bytes) if bytes < length => Some(Produced::TooSmall(length)),
            Room::Bytes(_) => None,
        }
    }
}

/// A running hash, and whether an Update has been called.
pub struct Digesting {
    running: Box<dyn DynDigest + Send>,
    pub hash: Hash,
    pub multipart: bool,
}

impl Digesting {
    /// Begins; the mechanism takes no parameter.
    pub fn start(kind: CK_MECHANISM_TYPE, parameter: &[u8]) -> Result<Digesting, Error> {
        let Purpose::Digest(hash) = mechanism::purpose(kind)? else { return Err(Error::MechanismInvalid) };
        if !parameter.is_empty() {
            return Err(Error::MechanismParamInvalid);
        }
        Ok(Digesting::of(hash))
    }

    fn of(hash: Hash) -> Digesting {
        Digesting { running: hash.start(), hash, multipart: false }
    }

    /// Takes a part of the message.
    pub fn update(&mut self, part: &[u8]) {
        self.running.update(part);
    }

    /// The digest.
    pub fn finish(self) -> Vec<u8> {
        self.running.finalize().into_vec()
    }
}

impl fmt::Debug for Digesting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Digesting({:?})", self.hash)
    }
}

#[derive(Debug)]
enum Input {
    Hashed(Digesting),
    Kept(Vec<u8>),
}

/// A sign or verify operation: the key, how, and the input so far.
#[derive(Debug)]
pub struct Signing {
    pub key: Arc<Key>,
    scheme: Scheme,
    settings: Settings,
    input: Input,
    pub multipart: bool,
}

impl Signing {
    /// Begins. The mechanism has to be one of the key's type.
    pub fn start(key: Arc<Key>, kind: CK_MECHANISM_TYPE, parameter: &Parameter) -> Result<Signing, Error> {
        let Purpose::Sign(scheme, hash) = mechanism::purpose(kind)? else { return Err(Error::MechanismInvalid) };
        if !scheme.suits(&key.public) {
            return Err(Error::KeyTypeInconsistent);
        }
        let settings = mechanism::settings(scheme, hash, parameter)?;
        let input = hash.map_or_else(|| Input::Kept(vec![]), |hash| Input::Hashed(Digesting::of(hash)));
        Ok(Signing { key, scheme, settings, input, multipart: false })
    }

    /// The same operation with another message, from its beginning.
    pub fn again(&self) -> Signing {
        let input = match &self.input {
            Input::Hashed(digesting) => Input::Hashed(Digesting::of(digesting.hash)),
            Input::Kept(_) => Input::Kept(vec![]),
        };
        let (key, settings) = (self.key.clone(), self.settings.clone());
        Signing { key, scheme: self.scheme, settings, input, multipart: false }
    }

    /// Bytes of the signature.
    pub fn length(&self) -> usize {
        self.key.public.signature_length()
    }

    /// Takes a part of the input.
    pub fn update(&mut self, part: &[u8]) -> Result<(), Error> {
        let longest = self.longest_input();
        match &mut self.input {
            Input::Hashed(digesting) => digesting.update(part),
            Input::Kept(kept) if part.len() > longest - kept.len() => return Err(Error::DataLenRange),
            Input::Kept(kept) => kept.extend_from_slice(part),
        }
        Ok(())
    }

    /// The order to the appliance and the input that goes with it.
    pub fn finish(self, core: u32) -> Result<(SignOrder, Vec<u8>), Error> {
        let (hash, input) = match self.input {
            Input::Hashed(digesting) => (Some(digesting.hash), digesting.finish()),
            Input::Kept(kept) => prepare(self.scheme, &self.key.public, &self.settings, kept)?,
        };
        let (pss, context) = match self.settings {
            Settings::Pss(pss) => (Some(pss), None),
            Settings::MlDsa(settings) => (None, Some(settings.context).filter(|context| !context.is_empty())),
            Settings::Nothing => (None, None),
        };
        let order = SignOrder {
            core,
            key: self.key.record.id.clone(),
            mechanism: self.scheme.name(),
            hash: hash.map(Hash::name),
            salt_length: pss.map(|pss| pss.salt_length),
            mgf_hash: pss.map(|pss| pss.mgf_hash.name()),
            context,
        };
        Ok((order, input))
    }

    fn longest_input(&self) -> usize {
        match (self.scheme, &self.key.public) {
            (Scheme::Pkcs1, PublicKey::Rsa { modulus, .. }) => modulus.len().saturating_sub(PKCS1_OVERHEAD),
            _ => LONGEST_MESSAGE,
        }
    }
}

/// What a program brought itself, as the appliance wants it: hash and digest where the hash is known, else raw.
fn prepare(
    scheme: Scheme,
    key: &PublicKey,
    settings: &Settings,
    input: Vec<u8>,
) -> Result<(Option<Hash>, Vec<u8>), Error> {
    let digest_of = |hash: Hash, input: Vec<u8>| match input.len() == hash.length() {
        true => Ok((Some(hash), input)),
        false => Err(Error::DataLenRange),
    };
    match (scheme, settings) {
        (Scheme::Pkcs1, _) => Ok(match digest_info::parse(&input) {
            Some((hash, digest)) => (Some(hash), digest.to_vec()),
            None => (None, input),
        }),
        (Scheme::Pss, Settings::Pss(PssSettings { hash, .. })) => digest_of(*hash, input),
        (Scheme::HashMlDsa, Settings::MlDsa(MlDsaSettings { hash: Some(hash), .. })) => digest_of(*hash, input),
        (Scheme::Ecdsa, _) => ecdsa_input(key, input).map(|input| (None, input)),
        (Scheme::Eddsa | Scheme::MlDsa, _) => Ok((None, input)),
        (Scheme::Pss | Scheme::HashMlDsa, _) => Err(Error::DataLenRange),
    }
}

/// CKM_ECDSA uses the leftmost bits that the order has room for (PKCS #11 v2.40, section 2.3.6 of the mechanisms), so
/// what lies behind them need not travel.
fn ecdsa_input(key: &PublicKey, mut input: Vec<u8>) -> Result<Vec<u8>, Error> {
    input.truncate(key.signature_length() / 2);
    if input.is_empty() || input.len() > LONGEST_ECDSA_INPUT {
        return Err(Error::DataLenRange);
    }
    Ok(input)
}

#[cfg(test)]
mod tests {
    use privyseal_sys::*;

    use super::*;
    use crate::key::tests::{ec_key, edwards_key, rsa_key};

    fn signing(key: Key, kind: CK_MECHANISM_TYPE) -> Signing {
        Signing::start(Arc::new(key), kind, &Parameter::default()).unwrap()
    }

    #[test]
    fn a_mechanism_must_fit_the_key() {
        let start = |key, kind| Signing::start(Arc::new(key), kind, &Parameter::default()).unwrap_err();
        assert_eq!(start(ec_key(), CKM_SHA256_RSA_PKCS), Error::KeyTypeInconsistent);
        assert_eq!(start(rsa_key(), CKM_EDDSA), Error::KeyTypeInconsistent);
        assert_eq!(start(ec_key(), CKM_SHA256), Error::MechanismInvalid);
        assert_eq!(start(ec_key(), CKM_AES_CBC), Error::MechanismInvalid);
        assert_eq!(start(rsa_key(), CKM_RSA_PKCS_PSS), Error::MechanismParamInvalid);
    }

    #[test]
    fn hashed_mechanisms_send_the_digest() {
        let mut signing = signing(ec_key(), CKM_ECDSA_SHA256);
        signing.update(b"a").unwrap();
        signing.update(b"bc").unwrap();
        let (order, input) = signing.finish(1).unwrap();
        assert_eq!((order.hash, input.len(), input[0]), (Some("SHA-256"), 32, 0xba));
    }

    #[test]
    fn another_message_begins_anew() {
        for kind in [CKM_ECDSA, CKM_ECDSA_SHA256] {
            let (mut first, mut alone) = (signing(ec_key(), kind), signing(ec_key(), kind));
            first.update(b"one message").unwrap();
            let mut second = first.again();
            second.update(b"another").unwrap();
            alone.update(b"another").unwrap();
            assert_eq!(second.finish(1).unwrap(), alone.finish(1).unwrap());
        }
    }

    #[test]
    fn plain_ecdsa_sends_the_leftmost_bytes_raw() {
        let mut signing = signing(ec_key(), CKM_ECDSA);
        signing.update(&[7; 64]).unwrap();
        let (order, input) = signing.finish(1).unwrap();
        assert_eq!((order.hash, input), (None, vec![7; 32]));
    }

    #[test]
    fn plain_ecdsa_wants_an_input() {
        assert_eq!(signing(ec_key(), CKM_ECDSA).finish(1).unwrap_err(), Error::DataLenRange);
    }

    #[test]
    fn messages_for_eddsa_are_bounded() {
        let mut signing = signing(edwards_key(), CKM_EDDSA);
        signing.update(&vec![1; LONGEST_MESSAGE]).unwrap();
        assert_eq!(signing.update(&[1]), Err(Error::DataLenRange));
    }

    #[test]
    fn raw_rsa_inputs_must_fit_the_key() {
        assert_eq!(signing(rsa_key(), CKM_RSA_PKCS).update(&[1; 3]), Err(Error::DataLenRange));
    }

    #[test]
    fn pss_digests_must_have_their_length() {
        let numbers = [CKM_SHA256, CKG_MGF1_SHA256, 32];
        let parameter: Vec<u8> = numbers.into_iter().flat_map(CK_ULONG::to_ne_bytes).collect();
        let start = || Signing::start(Arc::new(rsa_key()), CKM_RSA_PKCS_PSS, &parameter.as_slice().into()).unwrap();
        let (mut long, mut right) = (start(), start());
        long.update(&[1; 33]).unwrap();
        right.update(&[1; 32]).unwrap();
        assert_eq!(long.finish(1).unwrap_err(), Error::DataLenRange);
        let order = right.finish(1).unwrap().0;
        assert_eq!((order.hash, order.mgf_hash, order.salt_length), (Some("SHA-256"), Some("SHA-256"), Some(32)));
    }

    #[test]
    fn a_small_buffer_and_a_question_for_the_length_go_on() {
        assert_eq!(Room::Query.refusal(64), Some(Produced::Length(64)));
        assert_eq!(Room::Bytes(63).refusal(64), Some(Produced::TooSmall(64)));
        assert_eq!(Room::Bytes(64).refusal(64), None);
    }
}
