"""What the keeper does with keys beside signing, whoever asks: its policy, its count, no word of what was wrong."""

import hashlib
import os

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from msgspec.structs import replace

from privyseal.keeper import policies, sealing
from privyseal.keeper.keyring import Keyring
from privyseal.model.keys import KeyType
from privyseal.model.mechanisms import Mechanism
from privyseal.wire import frames, notes
from privyseal.wire.frames import Parameters
from support.keeper import SALT
from support.keyring import code, sign

EVERYTHING = frames.Policy((), pin=False, operations=frames.EVERY_OPERATION)
IV = bytes(12)
GCM = Parameters(iv=IV)


def made(ring: Keyring, key_type: str, policy: frames.Policy = EVERYTHING) -> frames.Generated:
    """A key without a PIN."""
    answer = ring.handle(frames.Generate(os.urandom(8).hex(), 1, key_type, None, SALT, policy))
    assert isinstance(answer, frames.Generated), answer
    return answer


def apply(
    record: frames.SealedKey, verb: str, mechanism: Mechanism | str, data: bytes = b"", **more: object
) -> frames.Apply:
    """A request, with the record along."""
    name = mechanism.value if isinstance(mechanism, Mechanism) else mechanism
    blank = frames.Apply(sealing.name(record), "alice", 1, verb, name, Parameters(), data, None, record)
    return replace(blank, **more)


def done(ring: Keyring, request: frames.Apply | frames.Wrap) -> frames.Applied:
    """The answer to a request that is carried out."""
    answer = ring.handle(request)
    assert isinstance(answer, frames.Applied), answer
    return answer


def wrap(record: frames.SealedKey, target: frames.SealedKey, mechanism: Mechanism = Mechanism.AES_KWP) -> frames.Wrap:
    """A request to wrap one key with another."""
    return frames.Wrap("alice", 1, None, record, target, mechanism.value, Parameters())


def unwrap(record: frames.SealedKey, wrapped: bytes, key_type: str, new_pin: str | None = None) -> frames.Unwrap:
    """A request to unwrap a key."""
    return frames.Unwrap(
        "alice",
        1,
        None,
        record,
        wrapped,
        Mechanism.AES_KWP.value,
        Parameters(),
        "ab" * 8,
        key_type,
        new_pin,
        SALT,
        None,
    )


def test_what_was_encrypted_comes_back(keyring: Keyring) -> None:
    """Opened for the first use, remembered for the second."""
    record = made(keyring, "aes:128").record
    sealed = done(keyring, apply(record, "encrypt", Mechanism.AES_GCM, b"text", parameters=GCM)).value
    assert sealed is not None
    again = apply(record, "decrypt", Mechanism.AES_GCM, sealed, parameters=GCM)
    assert done(keyring, replace(again, record=None)).value == b"text"


def test_each_use_is_counted_in_its_own_words(keyring: Keyring) -> None:
    """Also one that came to nothing: the running hash has what was asked."""
    made_, other = made(keyring, "aes:256"), made(keyring, "aes:256")
    record = made_.record
    first = done(keyring, apply(record, "encrypt", Mechanism.AES_GCM, b"text", parameters=GCM))
    failed = done(keyring, apply(other.record, "decrypt", Mechanism.AES_GCM, bytes(20), parameters=GCM))
    assert (first.use, failed.use, failed.value) == (1, 2, None)
    counted = keyring.handle(frames.CountUses())
    assert isinstance(counted, frames.Counted)
    chain = notes.first_hash(counted.keeper)
    for use, key, mechanism, what in (
        (1, record.id, "encrypt AES-GCM", first.value or b""),
        (2, other.record.id, "decrypt AES-GCM", bytes(20)),
    ):
        entry = notes.use_entry(use, 1, key, mechanism, hashlib.sha256(what).hexdigest())
        chain = notes.use_hash(chain, entry)
    assert counted.chain == chain


def test_macs_are_verified_here(keyring: Keyring) -> None:
    """Yes is a byte, no is none."""
    record = made(keyring, "secret:256").record
    request = replace(sign(record, None), mechanism="HMAC", inputs=(b"text",), data=True)
    signed = keyring.handle(request)
    assert isinstance(signed, frames.Signatures)
    how = {"parameters": Parameters(hash="SHA-256")}
    assert done(keyring, apply(record, "verify", Mechanism.HMAC, b"text", mac=signed.values[0], **how)).value == b"\1"
    assert done(keyring, apply(record, "verify", Mechanism.HMAC, b"else", mac=signed.values[0], **how)).value == b""


def test_secrets_are_derived(keyring: Keyring) -> None:
    """And differ with what they are for."""
    record = made(keyring, "secret:160").record
    secrets = {
        done(keyring, apply(record, "derive", Mechanism.HKDF, parameters=Parameters(hash="SHA-256", info=info))).value
        for info in (b"one", b"two")
    }
    assert len(secrets) == 2


@pytest.mark.parametrize(
    ("policy", "verb", "mechanism", "how"),
    [
        ({"operations": ("decrypt",)}, "encrypt", "RSA-OAEP", {}),
        ({"mechanisms": ("RSA-PSS",)}, "decrypt", "RSA-OAEP", {}),
        ({}, "decrypt", "RSA-PSS", {}),
        ({}, "derive", "ECDH", {}),
        ({"operations": ("decrypt",)}, "verify", "RSA-PSS", {}),
        ({"hashes": ("SHA-512",)}, "decrypt", "RSA-OAEP", {"hash": "SHA-256"}),
        ({"hashes": ("SHA-512",)}, "decrypt", "RSA-OAEP", {"hash": "SHA-512", "mgf_hash": "SHA-256"}),
        ({"not_after": 1}, "decrypt", "RSA-OAEP", {}),
    ],
)
def test_what_a_policy_refuses(
    keyring: Keyring, policy: dict[str, object], verb: str, mechanism: str, how: dict[str, str]
) -> None:
    """And a mechanism of another use is none of this one."""
    record = made(keyring, "rsa:2048", replace(EVERYTHING, **policy)).record
    request = apply(record, verb, mechanism, bytes(256), parameters=Parameters(**how))
    assert code(keyring.handle(request)) == frames.POLICY


def test_no_signature_by_a_mechanism_that_encrypts(keyring: Keyring) -> None:
    """It would be made with another padding than the record says."""
    request = replace(sign(made(keyring, "rsa:2048").record, None), mechanism="RSA-OAEP")
    assert code(keyring.handle(request)) == frames.POLICY


def test_a_verb_that_nobody_knows(keyring: Keyring) -> None:
    """Is carried out by nobody."""
    assert code(keyring.handle(apply(made(keyring, "aes:128").record, "explain", "AES-GCM"))) == frames.FAILED


def test_limited_uses(keyring: Keyring) -> None:
    """Each kind of use takes one; the count comes back sealed."""
    born = made(keyring, "aes:128", replace(EVERYTHING, max_uses=2, exportable=True))
    request = apply(born.record, "encrypt", Mechanism.AES_GCM, b"text", parameters=GCM, counter=born.counter)
    first = done(keyring, request)
    assert first.uses == 1
    wrapped = done(keyring, replace(wrap(born.record, born.record), counter=first.counter))
    assert wrapped.uses == 2
    assert code(keyring.handle(replace(request, counter=wrapped.counter))) == frames.POLICY


@pytest.mark.parametrize("key_type", ["aes:192", "secret:384", "ed25519", "ml-dsa-44", "ml-kem-768", "x448"])
def test_a_key_travels_under_another(keyring: Keyring, key_type: str) -> None:
    """Wrapped, unwrapped and sealed again it is the same key, marked as one from elsewhere."""
    outer = made(keyring, "aes:256").record
    born = made(keyring, key_type, replace(EVERYTHING, exportable=True))
    wrapped = done(keyring, wrap(outer, born.record)).value
    assert wrapped is not None
    answer = keyring.handle(unwrap(outer, wrapped, key_type))
    assert isinstance(answer, frames.Unwrapped)
    assert answer.made is not None
    assert answer.made.public_key == born.public_key
    assert frames.policy(answer.made.record.policy).origin == policies.IMPORTED
    again = replace(wrap(outer, answer.made.record))
    assert code(keyring.handle(again)) == frames.POLICY  # it was not made exportable


@pytest.mark.parametrize("key_type", ["aes:128", "ec:P-256", "ed25519"])
def test_what_does_not_unwrap(keyring: Keyring, key_type: str) -> None:
    """Another type or length, no key at all, or damaged: a use that made nothing."""
    outer = made(keyring, "aes:256").record
    inner = made(keyring, "ec:P-384", replace(EVERYTHING, exportable=True)).record
    whole = done(keyring, wrap(outer, inner)).value or b""
    for wrapped in (whole, whole[:-8], b""):
        answer = keyring.handle(unwrap(outer, wrapped, key_type))
        assert isinstance(answer, frames.Unwrapped), answer
        assert answer.made is None


def test_a_key_that_the_mechanism_does_not_take(keyring: Keyring) -> None:
    """20 bytes are no multiple of 8, which AES-KW wants."""
    outer = made(keyring, "aes:256").record
    inner = made(keyring, "secret:160", replace(EVERYTHING, exportable=True)).record
    assert code(keyring.handle(wrap(outer, inner, Mechanism.AES_KW))) == frames.INPUT


def test_wrapping_asks_both_policies(keyring: Keyring) -> None:
    """The wrapping key's and the wrapped key's, and both records have to be whole."""
    outer = made(keyring, "aes:256", replace(EVERYTHING, operations=("encrypt",))).record
    free = made(keyring, "aes:256").record
    inner = made(keyring, "aes:128", replace(EVERYTHING, exportable=True)).record
    late = made(keyring, "aes:128", replace(EVERYTHING, exportable=True, not_after=1)).record
    assert code(keyring.handle(wrap(outer, inner))) == frames.POLICY
    assert code(keyring.handle(wrap(free, late))) == frames.POLICY
    loosened = replace(free, policy=frames.encode_policy(replace(EVERYTHING, exportable=True)))
    assert code(keyring.handle(wrap(free, loosened))) == frames.DAMAGED


def test_rsa_wraps_what_fits(keyring: Keyring) -> None:
    """A secret key, and back."""
    outer = made(keyring, "rsa:2048").record
    inner = made(keyring, "aes:256", replace(EVERYTHING, exportable=True)).record
    how = Parameters(hash="SHA-256")
    wrapped = done(keyring, replace(wrap(outer, inner, Mechanism.RSA_OAEP), parameters=how)).value or b""
    request = replace(unwrap(outer, wrapped, "aes:256"), mechanism="RSA-OAEP", parameters=how)
    answer = keyring.handle(request)
    assert isinstance(answer, frames.Unwrapped)
    assert answer.made is not None


@pytest.mark.parametrize("key_type", ["ec:P-256", "x25519"])
def test_a_public_key_of_an_unknown_curve_does_not_fit(keyring: Keyring, key_type: str) -> None:
    """It comes to nothing like any other that does not fit, and is no fault of the keeper's."""
    der = (
        ec.generate_private_key(ec.SECP256R1())
        .public_key()
        .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    )
    prime256v1 = bytes.fromhex("2a8648ce3d030107")
    assert prime256v1 in der
    unknown = der.replace(prime256v1, prime256v1[:-1] + b"\x63")
    with pytest.raises(UnsupportedAlgorithm):
        load_der_public_key(unknown)
    request = apply(made(keyring, key_type).record, "derive", Mechanism.ECDH, parameters=Parameters(public_key=unknown))
    assert done(keyring, request).value is None


def test_everything_means_what_the_type_can() -> None:
    """At birth and in a changed policy; and nothing that it cannot."""
    born = policies.at_birth(KeyType.X25519, None, pin=False, origin=policies.GENERATED)
    assert (born.operations, born.mechanisms) == (("derive",), ("ECDH",))
    assert policies.changed(KeyType.X25519, born, EVERYTHING_ECDH) == born
    assert not policies.restricts(policies.at_birth(KeyType.P256, None, pin=False, origin=policies.GENERATED))


EVERYTHING_ECDH = replace(EVERYTHING, mechanisms=("ECDH",))
