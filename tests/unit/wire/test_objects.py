"""What is called a certificate is one, and what is called a public key is one."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from privyseal.errors import InvalidRequestError
from privyseal.model.objects import VALUE_MAX, ObjectClass, StoredObject
from privyseal.wire.objects import checked
from support.client_certificates import NO_VERSION, THIRD_VERSION

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = ec.generate_private_key(ec.SECP256R1())
SPKI = KEY.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def certificate() -> bytes:
    """A certificate, DER."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    builder = x509.CertificateBuilder(name, name, KEY.public_key(), 1, NOW, NOW + timedelta(1))
    return builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def made(object_class: ObjectClass, value: bytes, **more: Any) -> StoredObject:
    """An object."""
    fields = {"label": "label", "object_id": "ab"} | more
    return StoredObject("0" * 16, 1, object_class, value=value, created=NOW, **fields)


@pytest.mark.parametrize(
    ("object_class", "value", "more"),
    [
        (ObjectClass.CERTIFICATE, certificate(), {}),
        (ObjectClass.PUBLIC_KEY, SPKI, {"object_id": ""}),
        (ObjectClass.DATA, b"", {"label": "", "application": "app", "oid": "1.3.6.1.4.1"}),
    ],
    ids=range(3),
)
def test_what_is_right(object_class: ObjectClass, value: bytes, more: dict[str, str]) -> None:
    """It is given back as it is."""
    one = made(object_class, value, **more)
    assert checked(one) is one


@pytest.mark.parametrize(
    ("object_class", "value", "more", "wrong"),
    [
        (ObjectClass.CERTIFICATE, SPKI, {}, {"value"}),
        (ObjectClass.PUBLIC_KEY, certificate(), {}, {"value"}),
        (ObjectClass.DATA, bytes(VALUE_MAX + 1), {"label": "a*", "oid": "3.1"}, {"value", "label", "oid"}),
        (ObjectClass.DATA, b"", {"application": "\n", "label": "x" * 129}, {"application", "label"}),
        (ObjectClass.PUBLIC_KEY, SPKI, {"oid": "1.2"}, {"class"}),
        (ObjectClass.DATA, b"", {"object_id": "AB"}, {"object_id"}),
        (ObjectClass.CERTIFICATE, b"", {"object_id": "a", "label": "*"}, {"object_id", "label", "value"}),
    ],
    ids=range(7),
)
def test_every_wrong_field_is_named(
    object_class: ObjectClass, value: bytes, more: dict[str, str], wrong: set[str]
) -> None:
    """All at once."""
    with pytest.raises(InvalidRequestError) as error:
        checked(made(object_class, value, **more))
    assert {one.field.removeprefix("body.") for one in error.value.errors} == wrong


def test_a_certificate_of_a_version_that_there_is_not() -> None:
    """The library has an exception of its own for it."""
    value = certificate().replace(THIRD_VERSION, NO_VERSION)
    with pytest.raises(InvalidRequestError, match=r"body\.value"):
        checked(made(ObjectClass.CERTIFICATE, value))


@given(value=st.binary(max_size=200), object_class=st.sampled_from([ObjectClass.CERTIFICATE, ObjectClass.PUBLIC_KEY]))
def test_any_bytes(value: bytes, object_class: ObjectClass) -> None:
    """No bytes make the parser fail in another way."""
    with pytest.raises(InvalidRequestError):
        checked(made(object_class, value))
