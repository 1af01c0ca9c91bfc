"""Secret keys do what the standards' own vectors say. All files are from `cryptography_vectors`, each named below."""

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap

from privyseal.keeper.symmetric import AESKey, SecretKey, verify
from privyseal.keeper.verbs import Key, WrongVerbError
from privyseal.model.mechanisms import Hash, Mechanism, Scheme
from privyseal.wire.frames import Parameters
from support.vectors import vectors

NOTHING = Parameters()


def hexed(vector: dict[str, str], *names: str) -> list[bytes]:
    """Fields of a vector as bytes."""
    return [bytes.fromhex(vector.get(name, "")) for name in names]


@pytest.mark.parametrize("size", [128, 192, 256])
def test_cmac(size: int) -> None:
    """SP 800-38B's examples."""
    seen = 0
    for vector in vectors(f"nist-800-38b-aes{size}.txt", "OUTPUT", "CMAC"):
        key, message, mac = hexed(vector, "KEY", "MESSAGE", "OUTPUT")
        scheme = Scheme(Mechanism.AES_CMAC)
        assert AESKey(key).sign(scheme, message) == mac
        assert verify(AESKey(key), scheme, message, mac)
        assert not verify(AESKey(key), scheme, message, mac[:-1])
        seen += 1
    assert seen >= 4


@pytest.mark.parametrize("hash_", [Hash.SHA_224, Hash.SHA_256, Hash.SHA_384, Hash.SHA_512])
def test_hmac(hash_: Hash) -> None:
    """RFC 4231."""
    seen = 0
    for vector in vectors(f"rfc-4231-{hash_.python_name}.txt", "MD", "HMAC"):
        key, message, mac = hexed(vector, "Key", "Msg", "MD")
        assert SecretKey(key).sign(Scheme(Mechanism.HMAC, hash_, length=len(mac)), message) == mac
        seen += 1
    assert seen >= 6


@pytest.mark.parametrize(
    ("path", "mechanism"),
    [
        ("CBC/CBCMMT256.rsp", Mechanism.AES_CBC),
        ("CBC/CBCMMT128.rsp", Mechanism.AES_CBC),
        ("ECB/ECBMMT192.rsp", Mechanism.AES_ECB),
        ("CTR/aes-256-ctr.txt", Mechanism.AES_CTR),
    ],
)
def test_modes(path: str, mechanism: Mechanism) -> None:
    """NIST's multi-block messages and RFC 3686, both ways."""
    seen = 0
    for vector in vectors(path, "CIPHERTEXT", "ciphers/AES"):
        if vector.get("section") == "DECRYPT":
            continue  # in these files the fields come in another order there; both ways are tried below
        key, iv, plain, sealed = hexed(vector, "KEY", "IV", "PLAINTEXT", "CIPHERTEXT")
        parameters = Parameters(iv=iv)
        assert AESKey(key).encrypt(mechanism, parameters, plain) == sealed
        assert AESKey(key).decrypt(mechanism, parameters, sealed) == plain
        seen += 1
    assert seen >= 3


def test_gcm() -> None:
    """NIST's CAVS vectors with tags of 96 to 128 bits: right ones open, altered ones do not."""
    opened = refused = 0
    for vector in vectors("GCM/gcmEncryptExtIV128.rsp", "Tag", "ciphers/AES"):
        key, iv, plain, aad, sealed, tag = hexed(vector, "Key", "IV", "PT", "AAD", "CT", "Tag")
        if not (12 <= len(tag) <= 16 and len(iv) >= 8):
            continue  # shorter tags and nonces are not offered
        parameters = Parameters(iv=iv, aad=aad, tag_length=len(tag))
        assert AESKey(key).encrypt(Mechanism.AES_GCM, parameters, plain) == sealed + tag
        assert AESKey(key).decrypt(Mechanism.AES_GCM, parameters, sealed + tag) == plain
        opened += 1
        if opened % 100 == 0:
            with pytest.raises(InvalidTag):
                AESKey(key).decrypt(Mechanism.AES_GCM, parameters, sealed + tag[:-1] + bytes([tag[-1] ^ 1]))
            refused += 1
    assert opened > 1000
    assert refused > 10


def test_padding() -> None:
    """Each length comes back; a wrong padding raises and is no data."""
    key, parameters = AESKey(bytes(16)), Parameters(iv=bytes(16))
    for length in range(33):
        sealed = key.encrypt(Mechanism.AES_CBC_PAD, parameters, bytes(length))
        assert key.decrypt(Mechanism.AES_CBC_PAD, parameters, sealed) == bytes(length)
    with pytest.raises(ValueError, match="padding"):
        key.decrypt(Mechanism.AES_CBC_PAD, parameters, key.encrypt(Mechanism.AES_CBC, parameters, bytes(16)))


@pytest.mark.parametrize(
    ("path", "mechanism"), [("KW_AE_128.txt", Mechanism.AES_KW), ("KWP_AE_256.txt", Mechanism.AES_KWP)]
)
def test_key_wrap(path: str, mechanism: Mechanism) -> None:
    """SP 800-38F's vectors (RFC 3394 and RFC 5649), both ways; an altered one does not open."""
    seen = 0
    for vector in vectors(path, "C", "keywrap/kwtestvectors"):
        if "FAIL" in vector:
            continue
        key, plain, wrapped = hexed(vector, "K", "P", "C")
        assert AESKey(key).wrap(mechanism, NOTHING, plain) == wrapped
        assert AESKey(key).unwrap(mechanism, NOTHING, wrapped) == plain
        with pytest.raises(InvalidUnwrap):
            AESKey(key).unwrap(mechanism, NOTHING, bytes([wrapped[0] ^ 1]) + wrapped[1:])
        seen += 1
        if seen == 100:
            break
    assert seen >= 50


def test_hkdf() -> None:
    """RFC 5869, and a long output."""
    seen = 0
    for path in ("rfc-5869-HKDF-SHA256.txt", "hkdf-generated.txt"):
        for vector in vectors(path, "OKM", "KDF"):
            secret, salt, info, expected = hexed(vector, "IKM", "salt", "info", "OKM")
            parameters = Parameters(hash="SHA-256", salt=salt, info=info, length=len(expected))
            assert SecretKey(secret).derive(Mechanism.HKDF, parameters) == expected
            seen += 1
    assert seen >= 4


def test_counter_mode() -> None:
    """SP 800-108, section 4.1: the first block by hand, over counter, label, a zero byte, context and length."""
    key, expected = SecretKey(bytes(20)), SecretKey(bytes(20))
    block = expected.sign(Scheme(Mechanism.HMAC, Hash.SHA_256), b"\0\0\0\1label\0context\0\0\1\0")
    parameters = Parameters(hash="SHA-256", label=b"label", context=b"context")
    assert key.derive(Mechanism.SP800_108_COUNTER, parameters) == block


def test_a_hash_is_needed() -> None:
    """The keeper trusts nobody to have named one."""
    with pytest.raises(ValueError, match="hash"):
        SecretKey(bytes(16)).derive(Mechanism.HKDF, NOTHING)


def test_a_key_has_no_verb_that_it_was_not_given() -> None:
    """Each of them raises, whatever the policy may say."""
    key = Key()
    scheme, how = Scheme(Mechanism.HMAC), Mechanism.HKDF
    for verb in (
        lambda: key.sign(scheme, b""),
        lambda: key.encrypt(how, NOTHING, b""),
        lambda: key.decrypt(how, NOTHING, b""),
        lambda: key.derive(how, NOTHING),
        lambda: key.wrap(how, NOTHING, b""),
        lambda: key.unwrap(how, NOTHING, b""),
    ):
        with pytest.raises(WrongVerbError):
            verb()
