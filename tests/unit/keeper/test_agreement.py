"""Keys that agree on secrets do what the standards' own vectors say, and refuse points that are none.

Files of `cryptography_vectors`: RFC 7748, ANSI X9.63 (CAVS 12.0), known answers of ML-KEM; RFC 5903 stands below.
"""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, mlkem, x448, x25519

from privyseal.keeper import signing
from privyseal.keeper.agreement import MLKEMKey, XKey, derived, ecdh
from privyseal.model.keys import KeyType
from privyseal.model.mechanisms import Mechanism
from privyseal.wire import encryption
from privyseal.wire.frames import Parameters
from support.client_certificates import CURVE, NO_CURVE
from support.vectors import vectors

ECDH = Mechanism.ECDH


def test_x25519_and_x448() -> None:
    """RFC 7748, sections 5.2 and 6."""
    for curve, kind in (("X25519", x25519.X25519PrivateKey), ("X448", x448.X448PrivateKey)):
        seen = 0
        for vector in vectors(f"{curve}/rfc7748.txt", "OUTPUT_U"):
            private = kind.from_private_bytes(bytes.fromhex(vector["INPUT_SCALAR"]))
            parameters = Parameters(public_key=bytes.fromhex(vector["INPUT_U"]))
            assert XKey(private).derive(ECDH, parameters).hex() == vector["OUTPUT_U"]
            seen += 1
        assert seen >= 1


def test_ecdh_on_p256() -> None:
    """RFC 5903, section 8.1: the shared secret is the x-coordinate."""
    mine = ec.derive_private_key(0xC88F01F510D9AC3F70A292DAA2316DE544E9AAB8AFE84049C62A9C57862D1433, ec.SECP256R1())
    theirs = bytes.fromhex(
        "04D12DFB5289C8D4F81208B70270398C342296970A0BCCB74C736FC7554494BF63"
        "56FBF3CA366CC23E8157854C13C58D6AAC23F046ADA30F8353E74F33039872AB"
    )
    secret = "D6840F6B42F6EDAFD13116E0E12565202FEF8E9ECE7DCE03812464D04B9442DE"
    assert ecdh(mine, Parameters(public_key=theirs)).hex().upper() == secret


@pytest.mark.parametrize("point", [b"", b"\4", b"\4" + bytes(64), b"\x30\x00", b"\x05" + bytes(32)])
def test_points_that_are_none(point: bytes) -> None:
    """Of no curve, on another one, or at infinity."""
    with pytest.raises(ValueError):  # noqa: PT011 - the library's words; callers turn all of them into one
        ecdh(ec.generate_private_key(ec.SECP256R1()), Parameters(public_key=point))


def test_a_public_key_of_an_unknown_kind_is_none() -> None:
    """The library has an exception of its own for it."""
    spki = signing.make(KeyType.P256).public.replace(CURVE, NO_CURVE)
    for key_type in (KeyType.P256, KeyType.X25519):
        with pytest.raises(ValueError, match="not supported"):
            signing.load(key_type, signing.make(key_type).secret).derive(ECDH, Parameters(public_key=spki))


def test_kdf_of_x963() -> None:
    """ANSI X9.63's vectors for the hashes that are offered."""
    seen = 0
    for vector in vectors("ansx963_2001.txt", "key_data", "KDF"):
        bits = len(bytes.fromhex(vector["key_data"]))
        for hash_ in ("SHA-224", "SHA-256", "SHA-384", "SHA-512"):
            parameters = Parameters(
                hash=hash_, kdf="X9.63", length=bits, shared_info=bytes.fromhex(vector["SharedInfo"])
            )
            seen += derived(bytes.fromhex(vector["Z"]), parameters).hex() == vector["key_data"]
    assert seen >= 30  # each vector is right with one hash; SHA-1 is not offered
    assert len(derived(bytes(32), Parameters(hash="SHA-384", kdf="X9.63"))) == 48
    assert derived(b"itself", Parameters()) == b"itself"


@pytest.mark.parametrize(("size", "kind"), [(768, mlkem.MLKEM768PrivateKey), (1024, mlkem.MLKEM1024PrivateKey)])
def test_ml_kem(size: int, kind: type) -> None:
    """Capsules of the known answers open to their secrets, and damaged ones to the secrets of implicit rejection."""
    seen = 0
    for vector in vectors(f"MLKEM/kat_MLKEM_{size}.rsp", "ss"):
        key = MLKEMKey(kind.from_seed_bytes(bytes.fromhex(vector["d"] + vector["z"])))
        for capsule, secret in (("ct", "ss"), ("ct_n", "ss_n")):
            opened = key.decrypt(Mechanism.ML_KEM, Parameters(), bytes.fromhex(vector[capsule]))
            assert opened.hex() == vector[secret]
        seen += 1
        if seen == 25:
            break
    assert seen == 25


@pytest.mark.parametrize("key_type", [KeyType.P256, KeyType.X25519, KeyType.X448], ids=lambda one: one.value)
def test_both_sides_from_the_seal(key_type: KeyType) -> None:
    """Two keys as the seal keeps them agree by each other's SubjectPublicKeyInfo, and with no other kind of key."""
    one, two, other = signing.make(key_type), signing.make(key_type), signing.make(KeyType.ED25519)
    secrets = {
        signing.load(key_type, mine.secret).derive(ECDH, Parameters(public_key=theirs.public))
        for mine, theirs in ((one, two), (two, one))
    }
    assert len(secrets) == 1
    with pytest.raises(ValueError, match="wanted"):
        signing.load(key_type, one.secret).derive(ECDH, Parameters(public_key=other.public))


def test_public_halves_encrypt() -> None:
    """What is encrypted with a public half, the private half decrypts: RSA and ML-KEM."""
    rsa_key, kem_key = signing.make(KeyType.RSA_2048), signing.make(KeyType.ML_KEM_768)
    for mechanism, how in ((Mechanism.RSA_PKCS1, Parameters()), (Mechanism.RSA_OAEP, Parameters(hash="SHA-256"))):
        sealed = encryption.encrypt(rsa_key.public, mechanism, how, b"text")
        assert signing.load(KeyType.RSA_2048, rsa_key.secret).decrypt(mechanism, how, sealed) == b"text"
    secret, capsule = encryption.encapsulate(kem_key.public)
    opened = signing.load(KeyType.ML_KEM_768, kem_key.secret).decrypt(Mechanism.ML_KEM, Parameters(), capsule)
    assert opened == secret
