"""Wrapped keys come out as they went in, for the right key, and of everything else nothing."""

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives import keywrap as aes_keywrap
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from privyseal.wire import keywrap
from support.client_certificates import CURVE, NO_CURVE

KEY, OTHER = (rsa.generate_private_key(65537, 3072) for _ in range(2))
OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)


@settings(deadline=None)
@given(content=st.binary(min_size=1, max_size=3000))
def test_what_was_wrapped_comes_back(content: bytes) -> None:
    """Of any length; the wrapped form does not show it."""
    wrapped = keywrap.wrap(KEY.public_key(), content)
    assert keywrap.unwrap(KEY, wrapped) == content
    assert len(content) < 8 or content not in wrapped


@settings(deadline=None)
@given(place=st.integers(0, 384 + 31), bit=st.integers(0, 7))
def test_a_changed_bit_opens_nothing(place: int, bit: int) -> None:
    """Wherever it is, the answer is the same."""
    wrapped = bytearray(keywrap.wrap(KEY.public_key(), b"a private key of 20 b"))
    wrapped[place] ^= 1 << bit
    with pytest.raises(keywrap.UnwrapError, match="does not open with this import key"):
        keywrap.unwrap(KEY, bytes(wrapped))


@given(nonsense=st.binary(max_size=500))
@settings(deadline=None, max_examples=25)
def test_nonsense_opens_nothing(nonsense: bytes) -> None:
    """Also what is too short to hold an AES key."""
    with pytest.raises(keywrap.UnwrapError):
        keywrap.unwrap(KEY, nonsense)


@pytest.mark.parametrize("length", [16, 24, 32])
def test_aes_keys_of_each_length(length: int) -> None:
    """PKCS #11 leaves it to whoever wraps; RFC 5649, section 6, has the vector of a 20-byte key."""
    secret = bytes.fromhex("5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8")[:length].ljust(length, b"\1")
    content = bytes.fromhex("c37b7e6492584340bed12207808941155068f738")
    inner = aes_keywrap.aes_key_wrap_with_padding(secret, content)
    if length == 24:
        assert inner.hex() == "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a"
    assert keywrap.unwrap(KEY, KEY.public_key().encrypt(secret, OAEP) + inner) == content


def test_it_opens_for_one_key_only() -> None:
    with pytest.raises(keywrap.UnwrapError):
        keywrap.unwrap(OTHER, keywrap.wrap(KEY.public_key(), b"key"))


@pytest.mark.parametrize(
    "key", [rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP384R1())], ids=["short", "EC"]
)
def test_what_may_not_wrap(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> None:
    der = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(ValueError, match="3072 bits or more"):
        keywrap.load_wrapping_key(der)


def test_a_key_of_an_unknown_kind_may_not_wrap() -> None:
    """The library has an exception of its own for it."""
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(ValueError, match="not supported"):
        keywrap.load_wrapping_key(spki.replace(CURVE, NO_CURVE))
