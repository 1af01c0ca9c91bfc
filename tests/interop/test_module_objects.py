"""Objects that programs make, change, copy and destroy: keys on the appliance, the rest in a session.

Always true: the calls go through the function list of the built module, in this very process, to a real appliance,
which is asked afterwards what has become of it.
"""

import datetime as dt
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from support.appliance import PIN, Appliance
from support.function_list import (
    CKA,
    CKF_RW_SESSION,
    CKF_SERIAL_SESSION,
    CKK_EC,
    CKK_EC_EDWARDS,
    CKK_RSA,
    CKM,
    CKO_CERTIFICATE,
    CKO_DATA,
    CKO_PRIVATE_KEY,
    CKO_PUBLIC_KEY,
    CKO_SECRET_KEY,
    Cryptoki,
    Rv,
    Session,
    mechanism,
)
from support.host import Host

P256 = bytes.fromhex("06082a8648ce3d030107")
ED25519_NAME = b"\x13\x0cedwards25519"
LISTING_SECONDS = 2.1
"""How long the module keeps a listing, and a little."""
MANAGING = ["key:read", "key:sign", "key:generate", "key:manage", "key:destroy"]

Attributes = Mapping[int, bytes | int]


@pytest.fixture(scope="module")
def maker_host(appliance: Appliance, new_host: Callable[..., Host]) -> Host:
    """A host whose user makes, changes and destroys keys `made-…`, and only signs with `kept`."""
    appliance.add_user("maker")
    appliance.add_rule("maker", "made-*", operations=MANAGING)
    appliance.add_rule("maker", "kept")
    appliance.add_key("kept")
    return new_host(appliance, user="maker", timeout_ms=60_000)


@pytest.fixture
def running(cryptoki: Cryptoki, maker_host: Host, configured: Callable[[Path], None]) -> Iterator[Cryptoki]:
    """The module, initialised for that host."""
    configured(maker_host.config)
    with cryptoki.initialized():
        yield cryptoki


@pytest.fixture
def read_only(logged_in: Session) -> Session:
    """A read-only session after login."""
    return logged_in.cryptoki.open(logged_in.slot)


def make(session: Session, label: str, kind: int = CKM.EC_KEY_PAIR_GEN, **how: int) -> tuple[int, int]:
    """A key pair, of P-256 unless it is said otherwise."""
    public: dict[int, bytes | int] = {CKA.MODULUS_BITS: how["bits"]} if "bits" in how else {CKA.EC_PARAMS: P256}
    if kind == CKM.EC_EDWARDS_KEY_PAIR_GEN:
        public = {CKA.EC_PARAMS: ED25519_NAME}
    answer, *handles = session.generate_pair(kind, public, {CKA.TOKEN: True, CKA.LABEL: label.encode()})
    assert answer == Rv.CKR_OK
    return handles[0], handles[1]


# -- key pairs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "bits", "how", "key_type"),
    [
        (CKM.EC_KEY_PAIR_GEN, {}, CKM.ECDSA_SHA256, "ec:P-256"),
        (CKM.RSA_PKCS_KEY_PAIR_GEN, {"bits": 2048}, CKM.SHA256_RSA_PKCS, "rsa:2048"),
        (CKM.EC_EDWARDS_KEY_PAIR_GEN, {}, CKM.EDDSA, "ed25519"),
    ],
)
def test_a_new_key_signs_at_once(
    logged_in: Session, appliance: Appliance, kind: int, bits: dict[str, int], how: int, key_type: str
) -> None:
    """Its public half verifies, a search finds both, and the appliance has it under the label, with the PIN."""
    label = f"made-{key_type.replace(':', '-')}"
    public, private = make(logged_in, label, kind, **bits)
    signature = logged_in.sign(mechanism(how), private, b"data")
    assert logged_in.verify(mechanism(how), public, b"data", signature) == Rv.CKR_OK
    assert sorted(logged_in.find({CKA.LABEL: label.encode()})) == sorted([public, private])
    assert logged_in.attribute(private, CKA.LOCAL) == b"\1"
    record = appliance.api("GET", f"/cores/1/keys/{label}").json()
    assert (record["type"], record["pin"], record["origin"]) == (key_type, True, "generated")


def test_a_key_without_a_label_gets_one(logged_in: Session) -> None:
    """The appliance wants one; whose user may not make a key of that name hears so."""
    answer, *_ = logged_in.generate_pair(CKM.EC_KEY_PAIR_GEN, {CKA.EC_PARAMS: P256}, {CKA.TOKEN: True})
    assert answer == Rv.CKR_KEY_FUNCTION_NOT_PERMITTED
    assert logged_in.find({CKA.LABEL: b""}) == []


def test_the_pin_of_a_new_key_is_the_configurations_or_the_logins(
    cryptoki: Cryptoki,
    appliance: Appliance,
    maker_host: Host,
    new_host: Callable[..., Host],
    configured: Callable[[Path], None],
) -> None:
    """Without either, a core that requires PINs makes none."""
    host = new_host(appliance, user=maker_host.user, timeout_ms=60_000)
    without = {name: value for name, value in json.loads(host.config.read_text()).items() if name != "keygen_pin"}
    host.config.write_text(json.dumps(without))
    configured(host.config)
    with cryptoki.initialized():
        session = cryptoki.open(cryptoki.slots()[0], CKF_SERIAL_SESSION | CKF_RW_SESSION)
        private = {CKA.TOKEN: True, CKA.LABEL: b"made-with-login"}
        answer, *_ = session.generate_pair(CKM.EC_KEY_PAIR_GEN, {CKA.EC_PARAMS: P256}, private)
        assert answer == Rv.CKR_USER_NOT_LOGGED_IN
        answer, *_ = session.generate_pair(
            CKM.EC_KEY_PAIR_GEN, {CKA.EC_PARAMS: P256}, private | {CKA.LABEL: b"made-a/b"}
        )
        assert answer == Rv.CKR_ATTRIBUTE_VALUE_INVALID
        assert session.login(PIN) == Rv.CKR_OK
        _, key = make(session, "made-with-login")
        assert len(session.sign(mechanism(CKM.ECDSA_SHA256), key, b"data")) == 64


@pytest.mark.parametrize(
    ("public", "private", "answer"),
    [
        ({}, {CKA.TOKEN: True}, Rv.CKR_TEMPLATE_INCOMPLETE),
        ({CKA.EC_PARAMS: P256}, {}, Rv.CKR_TEMPLATE_INCONSISTENT),
        ({CKA.EC_PARAMS: P256}, {CKA.TOKEN: False}, Rv.CKR_TEMPLATE_INCONSISTENT),
        ({CKA.EC_PARAMS: P256}, {CKA.TOKEN: True, CKA.SENSITIVE: False}, Rv.CKR_TEMPLATE_INCONSISTENT),
        ({CKA.EC_PARAMS: P256, CKA.CLASS: CKO_PRIVATE_KEY}, {CKA.TOKEN: True}, Rv.CKR_TEMPLATE_INCONSISTENT),
        ({CKA.EC_PARAMS: P256, CKA.KEY_TYPE: CKK_RSA}, {CKA.TOKEN: True}, Rv.CKR_TEMPLATE_INCONSISTENT),
        ({CKA.EC_PARAMS: P256, CKA.LABEL: b"a"}, {CKA.TOKEN: True, CKA.LABEL: b"b"}, Rv.CKR_TEMPLATE_INCONSISTENT),
        ({CKA.EC_PARAMS: P256, CKA.SIGN: True}, {CKA.TOKEN: True}, Rv.CKR_ATTRIBUTE_TYPE_INVALID),
        ({CKA.EC_PARAMS: P256, CKA.VERIFY: b"\2"}, {CKA.TOKEN: True}, Rv.CKR_ATTRIBUTE_VALUE_INVALID),
        ({CKA.EC_PARAMS: P256, CKA.LOCAL: True}, {CKA.TOKEN: True}, Rv.CKR_ATTRIBUTE_READ_ONLY),
        ({CKA.EC_PARAMS: P256[:-1] + b"\1"}, {CKA.TOKEN: True}, Rv.CKR_CURVE_NOT_SUPPORTED),
        ({CKA.EC_PARAMS: P256}, {CKA.TOKEN: True, CKA.LABEL: b"kept"}, Rv.CKR_KEY_FUNCTION_NOT_PERMITTED),
    ],
)
def test_a_template_that_no_key_fits(logged_in: Session, public: Attributes, private: Attributes, answer: Rv) -> None:
    """Each mistake has its code, and no key is made."""
    before = logged_in.find({})
    assert logged_in.generate_pair(CKM.EC_KEY_PAIR_GEN, public, private) == (answer, 0, 0)
    assert logged_in.find({}) == before


def test_a_label_that_is_taken(logged_in: Session) -> None:
    """Labels are unique in a core."""
    make(logged_in, "made-once")
    private = {CKA.TOKEN: True, CKA.LABEL: b"made-once"}
    answer, *_ = logged_in.generate_pair(CKM.EC_KEY_PAIR_GEN, {CKA.EC_PARAMS: P256}, private)
    assert answer == Rv.CKR_ATTRIBUTE_VALUE_INVALID


@pytest.mark.parametrize(
    "names",
    [{CKA.LABEL: b"made-a/b"}, {CKA.LABEL: b"made-" + bytes(1)}, {CKA.LABEL: b"made-never", CKA.ID: bytes(65)}],
)
def test_names_that_no_key_can_have(logged_in: Session, names: Attributes) -> None:
    """It is the value that is wrong, for a new key and for one that is there."""
    answer, *_ = logged_in.generate_pair(CKM.EC_KEY_PAIR_GEN, {CKA.EC_PARAMS: P256}, {CKA.TOKEN: True, **names})
    assert answer == Rv.CKR_ATTRIBUTE_VALUE_INVALID
    named = logged_in.find({CKA.LABEL: b"made-named"}) or make(logged_in, "made-named")
    assert logged_in.change(named[0], names) == Rv.CKR_ATTRIBUTE_VALUE_INVALID


def test_sizes_and_mechanisms_that_make_no_key(logged_in: Session) -> None:
    """RSA below 2048 bits, and mechanisms for something else."""
    of_token = {CKA.TOKEN: True, CKA.LABEL: b"made-never"}
    for kind, public, answer in (
        (CKM.RSA_PKCS_KEY_PAIR_GEN, {CKA.MODULUS_BITS: 1024}, Rv.CKR_KEY_SIZE_RANGE),
        (
            CKM.RSA_PKCS_KEY_PAIR_GEN,
            {CKA.MODULUS_BITS: 2048, CKA.PUBLIC_EXPONENT: b"\3"},
            Rv.CKR_ATTRIBUTE_VALUE_INVALID,
        ),
        (CKM.ECDSA, {CKA.EC_PARAMS: P256}, Rv.CKR_MECHANISM_INVALID),
    ):
        assert logged_in.generate_pair(kind, public, of_token)[0] == answer


# -- the life of a key ------------------------------------------------------------------------------------------------


def test_a_destroyed_key_is_gone_here_and_can_be_restored_there(logged_in: Session, appliance: Appliance) -> None:
    """Its private object stands for it; neither object is found or usable any more, while the appliance keeps it."""
    public, private = make(logged_in, "made-to-go")
    destroy = logged_in.cryptoki.C_DestroyObject
    assert destroy(logged_in.handle, public) == Rv.CKR_ACTION_PROHIBITED
    assert destroy(logged_in.handle, private) == Rv.CKR_OK
    assert destroy(logged_in.handle, private) == Rv.CKR_OBJECT_HANDLE_INVALID
    assert logged_in.find({CKA.LABEL: b"made-to-go"}) == []
    assert logged_in.sign_init(mechanism(CKM.ECDSA), private) == Rv.CKR_KEY_HANDLE_INVALID
    assert appliance.api("GET", "/cores/1/keys/made-to-go").json()["state"] == "scheduled"
    appliance.api("POST", "/cores/1/keys/made-to-go/restore")
    time.sleep(LISTING_SECONDS)
    assert logged_in.key("made-to-go") == private


def test_a_key_that_is_going_already_can_be_destroyed(logged_in: Session, appliance: Appliance) -> None:
    """A request whose answer was lost is repeated, and finds that its work is done."""
    _, private = make(logged_in, "made-to-go-twice")
    appliance.api("DELETE", "/cores/1/keys/made-to-go-twice")
    assert logged_in.cryptoki.C_DestroyObject(logged_in.handle, private) == Rv.CKR_OK
    assert logged_in.cryptoki.C_DestroyObject(logged_in.handle, private) == Rv.CKR_OBJECT_HANDLE_INVALID


def test_a_new_id_is_the_keys(logged_in: Session, appliance: Appliance) -> None:
    """One that a program chooses when it makes the key, or later; several keys may have it."""
    private = {CKA.TOKEN: True, CKA.LABEL: b"made-with-id", CKA.ID: b"\xab\xcd\xef"}
    answer, public, key = logged_in.generate_pair(CKM.EC_KEY_PAIR_GEN, {CKA.EC_PARAMS: P256}, private)
    assert answer == Rv.CKR_OK
    assert appliance.api("GET", "/cores/1/keys/made-with-id").json()["object_id"] == "abcdef"
    assert sorted(logged_in.find({CKA.ID: b"\xab\xcd\xef"})) == sorted([public, key])
    assert logged_in.change(public, {CKA.ID: b"\x01"}) == Rv.CKR_OK
    assert logged_in.attribute(key, CKA.ID) == b"\x01"
    assert logged_in.find({CKA.ID: b"\xab\xcd\xef"}) == []
    assert len(logged_in.sign(mechanism(CKM.ECDSA_SHA256), key, b"data")) == 64


def test_a_new_label_is_the_keys(logged_in: Session, appliance: Appliance) -> None:
    """Both objects have it, and every other program sees it."""
    public, private = make(logged_in, "made-old-name")
    assert logged_in.change(private, {CKA.LABEL: b"made-new-name"}) == Rv.CKR_OK
    assert logged_in.attribute(public, CKA.LABEL) == b"made-new-name"
    assert sorted(logged_in.find({CKA.LABEL: b"made-new-name"})) == sorted([public, private])
    record = appliance.api("GET", "/cores/1/keys/made-new-name").json()
    assert record["label"] == "made-new-name"


def test_what_cannot_be_changed_of_a_key(logged_in: Session, read_only: Session) -> None:
    """The value that is there already can always be set."""
    _, private = make(logged_in, "made-firm")
    for attributes, answer in (
        ({CKA.SENSITIVE: True}, Rv.CKR_OK),
        ({CKA.SENSITIVE: False}, Rv.CKR_ATTRIBUTE_READ_ONLY),
        ({CKA.KEY_TYPE: CKK_RSA}, Rv.CKR_ATTRIBUTE_READ_ONLY),
        ({CKA.MODULUS: b"x"}, Rv.CKR_ATTRIBUTE_TYPE_INVALID),
        ({CKA.LABEL: b"\xff"}, Rv.CKR_ATTRIBUTE_VALUE_INVALID),
        ({CKA.LABEL: b"kept"}, Rv.CKR_KEY_FUNCTION_NOT_PERMITTED),
    ):
        assert logged_in.change(private, attributes) == answer, attributes
    assert read_only.change(private, {CKA.LABEL: b"made-other"}) == Rv.CKR_SESSION_READ_ONLY
    kept = logged_in.key("kept")
    assert logged_in.change(kept, {CKA.LABEL: b"made-mine"}) == Rv.CKR_KEY_FUNCTION_NOT_PERMITTED
    assert logged_in.cryptoki.C_DestroyObject(logged_in.handle, kept) == Rv.CKR_KEY_FUNCTION_NOT_PERMITTED
    assert (logged_in.attribute(kept, CKA.MODIFIABLE), logged_in.attribute(kept, CKA.DESTROYABLE)) == (b"\0", b"\0")


def test_keys_are_neither_copied_nor_brought(logged_in: Session, read_only: Session) -> None:
    """And a read-only session makes and destroys none."""
    assert logged_in.copy(logged_in.key("kept"), {})[0] == Rv.CKR_ACTION_PROHIBITED
    for kind in (CKO_PRIVATE_KEY, CKO_SECRET_KEY):
        assert logged_in.create({CKA.CLASS: kind, CKA.VALUE: b"x"})[0] == Rv.CKR_TEMPLATE_INCONSISTENT
    answer, *_ = read_only.generate_pair(CKM.EC_KEY_PAIR_GEN, {CKA.EC_PARAMS: P256}, {CKA.TOKEN: True})
    assert answer == Rv.CKR_SESSION_READ_ONLY
    destroyed = read_only.cryptoki.C_DestroyObject(read_only.handle, read_only.key("kept"))
    assert destroyed == Rv.CKR_SESSION_READ_ONLY


# -- objects of a session ---------------------------------------------------------------------------------------------


def data() -> dict[int, bytes | int]:
    """A data object."""
    return {CKA.CLASS: CKO_DATA, CKA.LABEL: b"note", CKA.VALUE: b"some bytes"}


def test_a_session_object_ends_with_its_session(session: Session) -> None:
    """Other sessions see it until then, and no other process ever does."""
    other = session.cryptoki.open(session.slot)
    answer, handle = other.create(data())
    assert answer == Rv.CKR_OK
    assert session.find({CKA.CLASS: CKO_DATA}) == [handle]
    assert session.find({CKA.LABEL: b"note", CKA.TOKEN: False}) == [handle]
    assert session.attribute(handle, CKA.VALUE) == b"some bytes"
    assert session.attribute(handle, CKA.APPLICATION) == b""
    session.cryptoki.must("C_CloseSession", other.handle)
    assert session.find({CKA.CLASS: CKO_DATA}) == []
    assert session.cryptoki.C_DestroyObject(session.handle, handle) == Rv.CKR_OBJECT_HANDLE_INVALID


def test_a_private_session_object_ends_with_the_login(session: Session) -> None:
    """And is neither made nor seen before it."""
    assert session.create(data() | {CKA.PRIVATE: True})[0] == Rv.CKR_USER_NOT_LOGGED_IN
    assert session.login(PIN) == Rv.CKR_OK
    answer, handle = session.create(data() | {CKA.PRIVATE: True})
    assert answer == Rv.CKR_OK
    assert session.find({CKA.CLASS: CKO_DATA}) == [handle]
    session.cryptoki.must("C_Logout", session.handle)
    assert session.login(PIN) == Rv.CKR_OK
    assert session.find({CKA.CLASS: CKO_DATA}) == []


def test_session_objects_are_changed_copied_and_destroyed(session: Session) -> None:
    """As far as they say that they may be."""
    _, handle = session.create(data())
    assert session.change(handle, {CKA.LABEL: b"other"}) == Rv.CKR_OK
    assert session.attribute(handle, CKA.LABEL) == b"other"
    assert session.change(handle, {CKA.VALUE: b"x"}) == Rv.CKR_ATTRIBUTE_READ_ONLY
    assert session.change(handle, {CKA.MODULUS: b"x"}) == Rv.CKR_ATTRIBUTE_TYPE_INVALID
    answer, copied = session.copy(handle, {CKA.LABEL: b"copy", CKA.MODIFIABLE: False})
    assert answer == Rv.CKR_OK
    assert (session.attribute(copied, CKA.VALUE), session.attribute(copied, CKA.LABEL)) == (b"some bytes", b"copy")
    assert session.change(copied, {CKA.LABEL: b"x"}) == Rv.CKR_ACTION_PROHIBITED
    firm = session.create(data() | {CKA.COPYABLE: False, CKA.DESTROYABLE: False})[1]
    assert session.copy(firm, {})[0] == Rv.CKR_ACTION_PROHIBITED
    assert session.cryptoki.C_DestroyObject(session.handle, firm) == Rv.CKR_ACTION_PROHIBITED
    assert session.cryptoki.C_DestroyObject(session.handle, handle) == Rv.CKR_OK


def certificate(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """A certificate that signs itself."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "somebody")])
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + dt.timedelta(days=1))
    return builder.sign(key, hashes.SHA256())


def test_a_certificate_is_kept_as_it_is(session: Session) -> None:
    """Nothing of it is checked but that the specification's attributes are there."""
    found = certificate(ec.generate_private_key(ec.SECP256R1()))
    der = found.public_bytes(serialization.Encoding.DER)
    whole: dict[int, bytes | int] = {
        CKA.CLASS: CKO_CERTIFICATE,
        CKA.CERTIFICATE_TYPE: 0,
        CKA.SUBJECT: found.subject.public_bytes(),
        CKA.VALUE: der,
        CKA.ID: b"\7",
    }
    answer, handle = session.create(whole)
    assert answer == Rv.CKR_OK
    assert session.find({CKA.CLASS: CKO_CERTIFICATE, CKA.ID: b"\7"}) == [handle]
    assert session.attribute(handle, CKA.VALUE) == der
    for missing in (CKA.CERTIFICATE_TYPE, CKA.SUBJECT, CKA.VALUE):
        assert session.create({k: v for k, v in whole.items() if k != missing})[0] == Rv.CKR_TEMPLATE_INCOMPLETE
    assert session.create(whole | {CKA.TRUSTED: True})[0] == Rv.CKR_ATTRIBUTE_VALUE_INVALID
    assert session.create(whole | {CKA.CERTIFICATE_TYPE: 1})[0] == Rv.CKR_ATTRIBUTE_VALUE_INVALID
    assert session.create(whole | {CKA.MODULUS: b"x"})[0] == Rv.CKR_ATTRIBUTE_TYPE_INVALID


def ec_public(key: ec.EllipticCurvePublicKey) -> dict[int, bytes | int]:
    """A public key of P-256 as a template."""
    point = key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    shape = {CKA.CLASS: CKO_PUBLIC_KEY, CKA.KEY_TYPE: CKK_EC, CKA.EC_PARAMS: P256}
    return shape | {CKA.EC_POINT: b"\4" + bytes([len(point)]) + point}


def test_a_public_key_shows_what_it_is(session: Session) -> None:
    """Its SubjectPublicKeyInfo is made of its attributes; one that is no key is refused."""
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    answer, handle = session.create(ec_public(key) | {CKA.LABEL: b"theirs"})
    assert answer == Rv.CKR_OK
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert session.attribute(handle, CKA.PUBLIC_KEY_INFO) == spki
    assert session.attribute(handle, CKA.LOCAL) == b"\0"
    assert session.find({CKA.LABEL: b"theirs"}) == [handle]
    bare = ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    edwards = {CKA.CLASS: CKO_PUBLIC_KEY, CKA.KEY_TYPE: CKK_EC_EDWARDS, CKA.EC_PARAMS: ED25519_NAME}
    assert session.create(edwards | {CKA.EC_POINT: bare})[0] == Rv.CKR_OK
    assert session.create(edwards | {CKA.EC_POINT: bare[1:]})[0] == Rv.CKR_ATTRIBUTE_VALUE_INVALID
    assert session.create(edwards)[0] == Rv.CKR_TEMPLATE_INCOMPLETE
    rsa = {CKA.CLASS: CKO_PUBLIC_KEY, CKA.KEY_TYPE: CKK_RSA, CKA.MODULUS: b"\xc3" * 256}
    assert session.create(rsa)[0] == Rv.CKR_TEMPLATE_INCOMPLETE
    assert session.create(rsa | {CKA.PUBLIC_EXPONENT: b"\1\0\1"})[0] == Rv.CKR_OK
    inconsistent = ec_public(key) | {CKA.PUBLIC_KEY_INFO: spki[:-1] + b"x"}
    assert session.create(inconsistent)[0] == Rv.CKR_TEMPLATE_INCONSISTENT
