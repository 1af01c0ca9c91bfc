"""Decryption, agreement, encapsulation and ML-DSA through the module, judged by another library with the public key.

Always true: the calls go through the v3.2 list of the built module, in this very process, to a real appliance.
"""

import base64
from collections.abc import Callable, Iterator, Mapping
from ctypes import byref, c_char, c_ulong
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, mldsa, padding, rsa, x25519
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF

from support.appliance import PIN, Appliance
from support.function_list import (
    CK_UNAVAILABLE,
    CKA,
    CKK_AES,
    CKK_GENERIC_SECRET,
    CKK_RSA,
    CKM,
    CKO_PUBLIC_KEY,
    CKO_SECRET_KEY,
    CkContext,
    CkEcdhParams,
    CkOaepParams,
    Cryptoki,
    Rv,
    Session,
    mechanism,
    template,
)
from support.host import Host

OPERATIONS = ["key:read", "key:sign", "key:encrypt", "key:decrypt", "key:derive", "key:generate"]
SECRET: dict[int, bytes | int] = {CKA.CLASS: CKO_SECRET_KEY, CKA.KEY_TYPE: CKK_GENERIC_SECRET}
TYPES = {"rsa": "rsa:2048", "ec": "ec:P-256", "x": "x25519", "kem": "ml-kem-768", "dsa": "ml-dsa-44"}
CKD_NULL, CKD_SHA256_KDF = 1, 6


@pytest.fixture(scope="module")
def secrets_host(appliance: Appliance, new_host: Callable[..., Host]) -> Host:
    """A host whose user does everything with the keys `secrets-…`."""
    appliance.add_user("secrets-user")
    appliance.add_rule("secrets-user", "secrets-*", operations=OPERATIONS)
    for name, key_type in TYPES.items():
        appliance.add_key(f"secrets-{name}", key_type)
    return new_host(appliance, user="secrets-user", timeout_ms=60_000)


@pytest.fixture
def running(newest: Cryptoki, secrets_host: Host, configured: Callable[[Path], None]) -> Iterator[Cryptoki]:
    """The module through its newest interface, initialised."""
    configured(secrets_host.config)
    with newest.initialized():
        yield newest


def public_key(appliance: Appliance, name: str) -> Any:
    """The public key as the other library has it."""
    record = appliance.api("GET", f"/cores/1/keys/secrets-{name}").json()
    return serialization.load_der_public_key(base64.b64decode(record["public_key"]))


def oaep(label: bytes = b"", mgf: int = 2) -> CkOaepParams:
    """RSA-OAEP with SHA-256."""
    return CkOaepParams(CKM.SHA256, mgf, 1 if label else 0, label or None, len(label))


def decrypt(session: Session, how: Any, ciphertext: bytes, room: int = 256) -> tuple[Rv, bytes]:
    """C_DecryptInit and C_Decrypt with a buffer of this size."""
    answer = session.cryptoki.C_DecryptInit(session.handle, how, session.key("secrets-rsa"))
    length, buffer = c_ulong(room), (c_char * max(room, 1))()
    if answer == Rv.CKR_OK:
        answer = session.cryptoki.C_Decrypt(session.handle, ciphertext, len(ciphertext), buffer, byref(length))
    return answer, bytes(buffer.raw[: length.value])


# -- RSA --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", [b"", b"letters"])
def test_what_others_encrypt_is_decrypted(logged_in: Session, appliance: Appliance, label: bytes) -> None:
    """RSA-OAEP with and without a label, and PKCS #1 v1.5."""
    key = public_key(appliance, "rsa")
    assert isinstance(key, rsa.RSAPublicKey)
    way = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), label or None)
    sent = key.encrypt(b"a secret", way)
    assert decrypt(logged_in, mechanism(CKM.RSA_PKCS_OAEP, oaep(label)), sent) == (Rv.CKR_OK, b"a secret")
    sent = key.encrypt(b"another", padding.PKCS1v15())
    assert decrypt(logged_in, mechanism(CKM.RSA_PKCS), sent) == (Rv.CKR_OK, b"another")


def test_what_is_encrypted_here_is_decrypted_here(logged_in: Session) -> None:
    """With the public object, before anything is known of who has the private one."""
    cryptoki, public = logged_in.cryptoki, logged_in.key("secrets-rsa", CKO_PUBLIC_KEY)
    length, buffer = c_ulong(0), (c_char * 256)()
    cryptoki.must("C_EncryptInit", logged_in.handle, mechanism(CKM.RSA_PKCS_OAEP, oaep()), public)
    assert cryptoki.C_Encrypt(logged_in.handle, b"text", 4, None, byref(length)) == Rv.CKR_OK
    assert length.value == 256
    assert cryptoki.C_Encrypt(logged_in.handle, b"text", 4, buffer, byref(c_ulong(255))) == Rv.CKR_BUFFER_TOO_SMALL
    assert cryptoki.C_Encrypt(logged_in.handle, b"text", 4, buffer, byref(length)) == Rv.CKR_OK
    assert cryptoki.C_Encrypt(logged_in.handle, b"text", 4, buffer, byref(length)) == Rv.CKR_OPERATION_NOT_INITIALIZED
    assert decrypt(logged_in, mechanism(CKM.RSA_PKCS_OAEP, oaep()), bytes(buffer.raw)) == (Rv.CKR_OK, b"text")


def test_a_plaintext_waits_for_room(logged_in: Session, appliance: Appliance) -> None:
    """A short buffer is told the length, and the next call gets what was decrypted."""
    key, how = public_key(appliance, "rsa"), mechanism(CKM.RSA_PKCS_OAEP, oaep())
    sent = key.encrypt(b"0123456789", padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None))
    assert decrypt(logged_in, how, sent, room=9)[0] == Rv.CKR_BUFFER_TOO_SMALL
    length, buffer = c_ulong(10), (c_char * 10)()
    assert logged_in.cryptoki.C_Decrypt(logged_in.handle, sent, 256, buffer, byref(length)) == Rv.CKR_OK
    assert bytes(buffer.raw) == b"0123456789"
    cryptoki = logged_in.cryptoki
    assert cryptoki.C_Decrypt(logged_in.handle, sent, 256, buffer, byref(length)) == Rv.CKR_OPERATION_NOT_INITIALIZED


def test_decryptions_that_cannot_be(logged_in: Session, session: Session) -> None:
    """Whatever is wrong with a ciphertext, the code is one; other mistakes have theirs."""
    for how, sent, answer in (
        (mechanism(CKM.RSA_PKCS_OAEP, oaep()), bytes(256), Rv.CKR_ENCRYPTED_DATA_INVALID),
        (mechanism(CKM.RSA_PKCS_OAEP, oaep()), b"\1" * 256, Rv.CKR_ENCRYPTED_DATA_INVALID),
        (mechanism(CKM.RSA_PKCS_OAEP, oaep()), bytes(255), Rv.CKR_ENCRYPTED_DATA_LEN_RANGE),
        (mechanism(CKM.RSA_PKCS_OAEP), bytes(256), Rv.CKR_MECHANISM_PARAM_INVALID),
        (mechanism(CKM.RSA_PKCS_OAEP, oaep(mgf=99)), bytes(256), Rv.CKR_MECHANISM_PARAM_INVALID),
        (mechanism(CKM.RSA_PKCS, oaep()), bytes(256), Rv.CKR_MECHANISM_PARAM_INVALID),
        (mechanism(CKM.ECDSA), bytes(256), Rv.CKR_MECHANISM_INVALID),
    ):
        assert decrypt(logged_in, how, sent)[0] == answer
    cryptoki, how = logged_in.cryptoki, mechanism(CKM.RSA_PKCS)
    public, curve = logged_in.key("secrets-rsa", CKO_PUBLIC_KEY), logged_in.key("secrets-ec")
    assert cryptoki.C_DecryptInit(logged_in.handle, how, public) == Rv.CKR_KEY_FUNCTION_NOT_PERMITTED
    assert cryptoki.C_DecryptInit(logged_in.handle, how, curve) == Rv.CKR_KEY_TYPE_INCONSISTENT
    cryptoki.must("C_Logout", logged_in.handle)
    assert decrypt(session, how, bytes(256))[0] == Rv.CKR_USER_NOT_LOGGED_IN


def test_a_label_whose_length_lies(logged_in: Session) -> None:
    """The parameter's own pointers are checked as the others are."""
    for label, length in ((None, 8), (b"x", CK_UNAVAILABLE)):
        lying = CkOaepParams(CKM.SHA256, 2, 1, label, length)
        assert decrypt(logged_in, mechanism(CKM.RSA_PKCS_OAEP, lying), bytes(256))[0] == Rv.CKR_ARGUMENTS_BAD


# -- ECDH -------------------------------------------------------------------------------------------------------------


def derive(
    session: Session, name: str, parameter: CkEcdhParams, wanted: Mapping[int, bytes | int] | None = None
) -> tuple[Rv, int]:
    """C_DeriveKey's answer and the secret's handle."""
    handle, attributes = c_ulong(), {**SECRET, **(wanted or {})}
    answer = session.cryptoki.C_DeriveKey(
        session.handle,
        mechanism(CKM.ECDH1_DERIVE, parameter),
        session.key(f"secrets-{name}"),
        template(attributes),
        len(attributes),
        byref(handle),
    )
    return answer, handle.value


def ecdh(public: bytes, kdf: int = CKD_NULL, shared: bytes = b"") -> CkEcdhParams:
    """CK_ECDH1_DERIVE_PARAMS."""
    return CkEcdhParams(kdf, len(shared), shared or None, len(public), public)


def point(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The uncompressed point."""
    form = serialization.PublicFormat.UncompressedPoint
    return key.public_key().public_bytes(serialization.Encoding.X962, form)


def test_both_sides_come_to_the_same_secret(logged_in: Session, appliance: Appliance) -> None:
    """On P-256 plain, with a key derivation and cut to a length; on X25519."""
    other, ours = ec.generate_private_key(ec.SECP256R1()), public_key(appliance, "ec")
    shared = other.exchange(ec.ECDH(), ours)
    answer, handle = derive(logged_in, "ec", ecdh(point(other)))
    assert (answer, logged_in.attribute(handle, CKA.VALUE)) == (Rv.CKR_OK, shared)
    assert logged_in.attribute(handle, CKA.TOKEN) == b"\0"
    _, short = derive(logged_in, "ec", ecdh(point(other)), {CKA.KEY_TYPE: CKK_AES, CKA.VALUE_LEN: 16})
    assert logged_in.attribute(short, CKA.VALUE) == shared[16:]
    _, keyed = derive(logged_in, "ec", ecdh(point(other), CKD_SHA256_KDF, b"info"), {CKA.VALUE_LEN: 48})
    assert logged_in.attribute(keyed, CKA.VALUE) == X963KDF(hashes.SHA256(), 48, b"info").derive(shared)
    theirs, key = x25519.X25519PrivateKey.generate(), public_key(appliance, "x")
    _, exchanged = derive(logged_in, "x", ecdh(theirs.public_key().public_bytes_raw()))
    assert logged_in.attribute(exchanged, CKA.VALUE) == theirs.exchange(key)
    assert len(logged_in.find({CKA.CLASS: CKO_SECRET_KEY})) == 4


def test_a_secret_that_is_to_stay_inside(logged_in: Session) -> None:
    """A sensitive one shows nothing, and a search for its value finds nothing."""
    other = point(ec.generate_private_key(ec.SECP256R1()))
    for wanted in ({CKA.SENSITIVE: True}, {CKA.EXTRACTABLE: False}):
        answer, handle = derive(logged_in, "ec", ecdh(other), wanted)
        assert answer == Rv.CKR_OK
        asked = template({CKA.VALUE: bytes(32)})
        value = logged_in.cryptoki.C_GetAttributeValue(logged_in.handle, handle, asked, 1)
        assert value == Rv.CKR_ATTRIBUTE_SENSITIVE
    assert logged_in.change(handle, {CKA.SENSITIVE: True}) == Rv.CKR_OK
    assert logged_in.change(handle, {CKA.SENSITIVE: False}) == Rv.CKR_ATTRIBUTE_READ_ONLY


def test_agreements_that_cannot_be(logged_in: Session) -> None:
    """Each mistake has its code."""
    good = point(ec.generate_private_key(ec.SECP256R1()))
    for name, parameter, wanted, answer in (
        ("ec", ecdh(good[:-1]), {}, Rv.CKR_MECHANISM_PARAM_INVALID),
        ("ec", ecdh(b"\4" + bytes(64)), {}, Rv.CKR_MECHANISM_PARAM_INVALID),
        ("ec", ecdh(b""), {}, Rv.CKR_MECHANISM_PARAM_INVALID),
        ("ec", ecdh(good, 99), {}, Rv.CKR_MECHANISM_PARAM_INVALID),
        ("ec", ecdh(good, CKD_NULL, b"info"), {}, Rv.CKR_MECHANISM_PARAM_INVALID),
        ("ec", CkEcdhParams(CKD_NULL, 0, None, 65, None), {}, Rv.CKR_ARGUMENTS_BAD),
        ("ec", ecdh(good), {CKA.TOKEN: True}, Rv.CKR_TEMPLATE_INCONSISTENT),
        ("ec", ecdh(good), {CKA.KEY_TYPE: CKK_RSA}, Rv.CKR_TEMPLATE_INCONSISTENT),
        ("ec", ecdh(good), {CKA.CLASS: CKO_PUBLIC_KEY}, Rv.CKR_TEMPLATE_INCONSISTENT),
        ("ec", ecdh(good), {CKA.VALUE_LEN: 33}, Rv.CKR_KEY_SIZE_RANGE),
        ("ec", ecdh(good), {CKA.KEY_TYPE: CKK_AES, CKA.VALUE_LEN: 17}, Rv.CKR_ATTRIBUTE_VALUE_INVALID),
        ("rsa", ecdh(good), {}, Rv.CKR_KEY_TYPE_INCONSISTENT),
    ):
        assert derive(logged_in, name, parameter, wanted) == (answer, 0), (name, wanted)


# -- ML-KEM -----------------------------------------------------------------------------------------------------------


def test_a_secret_travels_in_a_ciphertext(logged_in: Session) -> None:
    """C_EncapsulateKey with the public object, C_DecapsulateKey with the private one."""
    cryptoki, how, wanted = logged_in.cryptoki, mechanism(CKM.ML_KEM), template(SECRET)
    public, private = logged_in.key("secrets-kem", CKO_PUBLIC_KEY), logged_in.key("secrets-kem")
    length, sent, received = c_ulong(0), c_ulong(), c_ulong()
    arguments = (logged_in.handle, how, public, wanted, len(SECRET))
    assert cryptoki.C_EncapsulateKey(*arguments, None, byref(length), byref(sent)) == Rv.CKR_OK
    assert length.value == 1088
    buffer = (c_char * 1088)()
    short = cryptoki.C_EncapsulateKey(*arguments, buffer, byref(c_ulong(1087)), byref(sent))
    assert short == Rv.CKR_BUFFER_TOO_SMALL
    assert cryptoki.C_EncapsulateKey(*arguments, buffer, byref(length), byref(sent)) == Rv.CKR_OK
    taken = (logged_in.handle, how, private, wanted, len(SECRET), buffer)
    assert cryptoki.C_DecapsulateKey(*taken, 1088, byref(received)) == Rv.CKR_OK
    secret = logged_in.attribute(sent.value, CKA.VALUE)
    assert secret == logged_in.attribute(received.value, CKA.VALUE)
    assert len(secret) == 32
    assert cryptoki.C_DecapsulateKey(*taken, 1087, byref(received)) == Rv.CKR_ENCRYPTED_DATA_LEN_RANGE
    wrong = (logged_in.handle, how, public, wanted, len(SECRET), buffer, 1088, byref(received))
    assert cryptoki.C_DecapsulateKey(*wrong) == Rv.CKR_KEY_FUNCTION_NOT_PERMITTED
    curve = (logged_in.handle, how, logged_in.key("secrets-ec"), wanted, len(SECRET), buffer, 1088, byref(received))
    assert cryptoki.C_DecapsulateKey(*curve) == Rv.CKR_KEY_TYPE_INCONSISTENT


def test_a_private_secret_wants_a_login(session: Session) -> None:
    """As every private object of a session does; without one nothing is kept."""
    attributes, buffer, handle = SECRET | {CKA.PRIVATE: True}, (c_char * 1088)(), c_ulong()
    answer = session.cryptoki.C_EncapsulateKey(
        session.handle,
        mechanism(CKM.ML_KEM),
        session.key("secrets-kem", CKO_PUBLIC_KEY),
        template(attributes),
        len(attributes),
        buffer,
        byref(c_ulong(1088)),
        byref(handle),
    )
    assert (answer, handle.value) == (Rv.CKR_USER_NOT_LOGGED_IN, 0)
    assert session.login(PIN) == Rv.CKR_OK
    assert session.find({CKA.CLASS: CKO_SECRET_KEY}) == []


# -- ML-DSA -----------------------------------------------------------------------------------------------------------


def context(words: bytes, hedge: int = 0) -> CkContext:
    """CK_SIGN_ADDITIONAL_CONTEXT."""
    return CkContext(hedge, words, len(words))


def sign_long(session: Session, how: Any, key: int, data: bytes) -> tuple[Rv, bytes]:
    """C_SignInit and C_Sign with room for any signature."""
    answer = session.sign_init(how, key)
    length, buffer = c_ulong(5000), (c_char * 5000)()
    if answer == Rv.CKR_OK:
        answer = session.cryptoki.C_Sign(session.handle, data, len(data), buffer, byref(length))
    return answer, bytes(buffer.raw[: length.value])


def test_ml_dsa_signs_messages_with_and_without_a_context(logged_in: Session, appliance: Appliance) -> None:
    """Another library verifies; HashML-DSA is verified here, and no kind of signature stands for another."""
    judge, key = public_key(appliance, "dsa"), logged_in.key("secrets-dsa")
    assert isinstance(judge, mldsa.MLDSA44PublicKey)
    public = logged_in.key("secrets-dsa", CKO_PUBLIC_KEY)
    answer, plain = sign_long(logged_in, mechanism(CKM.ML_DSA), key, b"message")
    assert (answer, len(plain)) == (Rv.CKR_OK, 2420)
    judge.verify(plain, b"message")
    answer, with_context = sign_long(logged_in, mechanism(CKM.ML_DSA, context(b"mail")), key, b"message")
    assert answer == Rv.CKR_OK
    judge.verify(with_context, b"message", b"mail")
    hashed = mechanism(CKM.HASH_ML_DSA_SHA512, context(b"mail"))
    answer, signature = sign_long(logged_in, hashed, key, b"message")
    assert answer == Rv.CKR_OK
    assert logged_in.verify(hashed, public, b"message", signature) == Rv.CKR_OK
    other = mechanism(CKM.ML_DSA, context(b"mail"))
    assert logged_in.verify(other, public, b"message", signature) == Rv.CKR_SIGNATURE_INVALID
    assert logged_in.verify(other, public, b"message", with_context) == Rv.CKR_OK
    assert logged_in.attribute(public, CKA.PARAMETER_SET) == bytes(c_ulong(1))
    for wrong in (context(b"x", hedge=2), context(bytes(256)), oaep()):
        assert logged_in.sign_init(mechanism(CKM.ML_DSA, wrong), key) == Rv.CKR_MECHANISM_PARAM_INVALID


@pytest.mark.parametrize(
    ("key_type", "how", "answer"),
    [
        ("ml-dsa-44", CKM.ML_DSA, Rv.CKR_OK),
        ("ed25519", CKM.EDDSA, Rv.CKR_OK),
        ("ml-dsa-44", CKM.HASH_ML_DSA_SHA512, Rv.CKR_KEY_FUNCTION_NOT_PERMITTED),
        ("ec:P-256", CKM.ECDSA_SHA256, Rv.CKR_KEY_FUNCTION_NOT_PERMITTED),
    ],
)
def test_a_key_that_wants_the_data_itself(
    logged_in: Session, appliance: Appliance, key_type: str, how: int, answer: Rv
) -> None:
    """The module has it for mechanisms that sign messages, and a digest for all others."""
    label = f"secrets-data-{key_type.replace(':', '-')}-{how:x}"
    body = {"label": label, "type": key_type, "pin": PIN, "policy": {"raw_digest": False}}
    appliance.api("POST", "/cores/1/keys", body)
    assert sign_long(logged_in, mechanism(how), logged_in.key(label), b"message")[0] == answer


def test_ml_dsa_keys_are_made(logged_in: Session) -> None:
    """By their parameter set; one that is none is refused."""
    private = {CKA.TOKEN: True, CKA.LABEL: b"secrets-made"}
    for number, answer in ((9, 0x209), (3, Rv.CKR_OK)):
        made, _, key = logged_in.generate_pair(CKM.ML_DSA_KEY_PAIR_GEN, {CKA.PARAMETER_SET: number}, private)
        assert made == answer
    assert len(sign_long(logged_in, mechanism(CKM.ML_DSA), key, b"message")[1]) == 4627
