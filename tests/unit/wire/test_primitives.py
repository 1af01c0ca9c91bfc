"""Signatures are verified as the standards' own vectors say, and written down as PKCS #11 and RFC 3279 want them."""

import hashlib
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, utils
from hypothesis import given
from hypothesis import strategies as st

from privyseal.errors import InvalidSignatureError
from privyseal.model.keys import KeyType
from privyseal.model.mechanisms import Encoding, Hash, Mechanism, Scheme
from privyseal.wire import primitives
from support.vectors import lines, vectors

NIST = {"P-256": KeyType.P256, "P-384": KeyType.P384, "P-521": KeyType.P521}
SHA2 = {hash_.value.replace("SHA-", "SHA"): hash_ for hash_ in Hash if not hash_.value.startswith("SHA3")}
# Left out of every file: P-192, P-224, K-… and B-…, moduli of 1024 and 1536 bits, SHA-1; none of them is made here.


def spki(key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey) -> bytes:
    """A public key as the store has it."""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def ec_spki(key_type: KeyType, x: str, y: str) -> bytes:
    """A point as SubjectPublicKeyInfo, also one that is not on the curve."""
    curve = primitives.CURVES[key_type]
    width = (curve.key_size + 7) // 8
    point = b"".join(int(number, 16).to_bytes(width, "big") for number in (x, y))
    return spki(ec.generate_private_key(curve).public_key())[: -2 * width] + point


def verifies(der: bytes, scheme: Scheme, digest: bytes, signature: bytes) -> bool:
    """Whether key and signature are right; a key that cannot be read is not."""
    try:
        primitives.verify(primitives.load_public(der), scheme, digest, signature)
    except (InvalidSignatureError, ValueError):
        return False
    return True


def digest_of(hash_: Hash, message: str) -> bytes:
    """The digest of a message in hexadecimal."""
    return hashlib.new(hash_.python_name, bytes.fromhex(message)).digest()


def test_ecdsa_vectors() -> None:
    """FIPS 186-3 SigVer: what is right verifies; a changed message, R, S or Q does not."""
    seen = {True: 0, False: 0}
    for vector in vectors("ECDSA/FIPS_186-3/SigVer.rsp", "Result"):
        curve, hash_ = vector["section"].split(",")
        if curve not in NIST or hash_.replace("-", "") not in SHA2:
            continue
        key_type, right = NIST[curve], vector["Result"].startswith("P")
        width = (key_type.bits + 7) // 8
        raw = b"".join(int(vector[name], 16).to_bytes(width, "big") for name in "RS")
        scheme = Scheme(Mechanism.ECDSA, Hash(hash_), encoding=Encoding.RAW)
        der = ec_spki(key_type, vector["Qx"], vector["Qy"])
        assert verifies(der, scheme, digest_of(Hash(hash_), vector["Msg"]), raw) is right, vector
        seen[right] += 1
    assert min(seen.values()) >= 30


def test_secp256k1_vectors() -> None:
    """The signatures of the CAVS-like file for secp256k1 verify; with r and s exchanged they do not."""
    count = 0
    for vector in vectors("ECDSA/SECP256K1/SigGen.txt", "S"):
        hash_ = SHA2.get(vector["section"].split(",")[1].replace("-", ""))
        if hash_ is None:
            continue
        der = ec_spki(KeyType.SECP256K1, vector["Qx"], vector["Qy"])
        r, s = (int(vector[name], 16).to_bytes(32, "big") for name in "RS")
        scheme, digest = Scheme(Mechanism.ECDSA, hash_, encoding=Encoding.RAW), digest_of(hash_, vector["Msg"])
        assert verifies(der, scheme, digest, r + s)
        assert not verifies(der, scheme, digest, s + r)
        count += 1
    assert count >= 10


@pytest.mark.parametrize(
    ("file", "mechanism", "salt"),
    [("SigVer15_186-3.rsp", Mechanism.RSA_PKCS1, None), ("SigVerPSS_186-3.rsp", Mechanism.RSA_PSS, 10)],
)
def test_rsa_vectors(file: str, mechanism: Mechanism, salt: int | None) -> None:
    """FIPS 186-3 SigVer for PKCS #1 v1.5 and PSS: also wrong formats, moved hashes and changed exponents fail."""
    seen = {True: 0, False: 0}
    for vector in vectors(f"RSA/FIPS_186-2/{file}", "Result"):
        hash_ = SHA2.get(vector["SHAAlg"])
        if hash_ is None or int(vector["section"].removeprefix("mod = ")) < 2048:
            continue
        key = rsa.RSAPublicNumbers(int(vector["e"], 16), int(vector["n"], 16)).public_key()
        right = vector["Result"].startswith("P")
        scheme = Scheme(mechanism, hash_, salt_length=salt)
        digest = digest_of(hash_, vector["Msg"])
        assert verifies(spki(key), scheme, digest, bytes.fromhex(vector["S"])) is right, vector
        seen[right] += 1
    assert min(seen.values()) >= 10


def test_ed25519_vectors() -> None:
    """Bernstein's file: key, message and signature in each line; a changed message does not verify."""
    scheme = Scheme(Mechanism.EDDSA)
    found = list(lines("Ed25519/sign.input"))
    assert len(found) == 1024
    for line in found:
        _, public, message, signed = (bytes.fromhex(field) for field in line.split(":")[:4])
        der = spki(ed25519.Ed25519PublicKey.from_public_bytes(public))
        assert verifies(der, scheme, message, signed[:64])
        assert not verifies(der, scheme, message + b"x", signed[:64])


def test_ed448_vectors() -> None:
    """RFC 8032, section 7.4; the one with a context is another scheme and does not verify here."""
    answers = []
    for vector in vectors("Ed448/rfc8032.txt", "SIGNATURE"):
        der = spki(ed448.Ed448PublicKey.from_public_bytes(bytes.fromhex(vector["PUBLIC"])))
        message, signature = bytes.fromhex(vector["MESSAGE"]), bytes.fromhex(vector["SIGNATURE"])
        answers.append(verifies(der, Scheme(Mechanism.EDDSA), message, signature))
    assert answers.count(False) == 1
    assert len(answers) >= 9


@pytest.mark.parametrize("key_type", primitives.CURVES, ids=lambda key_type: key_type.value)
def test_raw_input_is_cut_as_openssl_cuts_it(key_type: KeyType, tmp_path: Path) -> None:
    """Digests of 1 to 64 bytes without a hash: `openssl pkeyutl` verifies ours and we verify its (FIPS 186-5, 6.4)."""
    private = ec.generate_private_key(primitives.CURVES[key_type])
    (tmp_path / "key.pem").write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    for length in (1, 20, 28, 31, 33, 48, 50, 64):
        digest = bytes(range(200, 200 - length, -1))
        (tmp_path / "digest").write_bytes(digest)
        scheme = Scheme(Mechanism.ECDSA)
        pkeyutl(tmp_path, "-sign", "-out", "theirs")
        primitives.verify(private.public_key(), scheme, digest, (tmp_path / "theirs").read_bytes())
        ours = private.sign(*primitives.ecdsa_input(scheme, digest, key_type.bits))
        (tmp_path / "ours").write_bytes(ours)
        pkeyutl(tmp_path, "-verify", "-sigfile", "ours")


def pkeyutl(folder: Path, *arguments: str) -> None:
    """Sign or verify the file `digest` with `key.pem`."""
    words = ["openssl", "pkeyutl", "-inkey", "key.pem", "-in", "digest", *arguments]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@given(key_type=st.sampled_from(list(primitives.CURVES)), data=st.data())
def test_raw_and_der_say_the_same(key_type: KeyType, data: st.DataObject) -> None:
    """There and back, for every r and s that a curve can have, small ones too."""
    numbers = st.integers(1, 2 ** min(key_type.bits, data.draw(st.sampled_from([1, 8, 200, 521]))) - 1)
    r, s = data.draw(numbers), data.draw(numbers)
    der = utils.encode_dss_signature(r, s)
    raw = primitives.ecdsa_raw(der, key_type.bits)
    assert len(raw) == 2 * ((key_type.bits + 7) // 8)
    assert primitives.ecdsa_der(raw, key_type.bits) == der


@given(signature=st.binary(max_size=200), encoding=st.sampled_from(Encoding), named=st.booleans())
def test_a_signature_that_is_none(signature: bytes, encoding: Encoding, named: bool) -> None:  # noqa: FBT001
    """Whatever the bytes are, they do not verify and nothing else happens."""
    for der in KEYS.values():
        for mechanism in Mechanism:
            fits = {"E": mechanism is Mechanism.ECDSA, "R": mechanism.value.startswith("RSA")}
            if fits.get(der[0], mechanism is Mechanism.EDDSA):
                needs = named or mechanism is Mechanism.RSA_PSS
                scheme = Scheme(mechanism, Hash.SHA_256 if needs else None, encoding=encoding)
                with pytest.raises(InvalidSignatureError):
                    primitives.verify(primitives.load_public(der[1]), scheme, bytes(32), signature)


KEYS = {
    "ec": ("E", spki(ec.generate_private_key(ec.SECP256R1()).public_key())),
    "rsa": ("R", spki(rsa.generate_private_key(65537, 2048).public_key())),
    "ed": ("D", spki(ed25519.Ed25519PrivateKey.generate().public_key())),
}


def test_pem_is_what_openssl_reads(tmp_path: Path) -> None:
    """`openssl pkey -pubin` gives the same DER back."""
    for _, der in KEYS.values():
        (tmp_path / "public.pem").write_text(primitives.pem(der))
        words = ["openssl", "pkey", "-pubin", "-in", str(tmp_path / "public.pem"), "-outform", "DER"]
        assert subprocess.run(words, capture_output=True, check=True).stdout == der


def test_pss_needs_a_hash() -> None:
    """Without one there is no padding to make."""
    with pytest.raises(ValueError, match="needs a hash"):
        primitives.rsa_padding(Scheme(Mechanism.RSA_PSS))


def test_an_rsa_signature_over_a_whole_encoded_message() -> None:
    """Without a hash the signature holds exactly what was signed; with any other message it is wrong."""
    key = rsa.generate_private_key(65537, 2048)
    scheme = Scheme(Mechanism.RSA_PKCS1, None)
    signature = key.sign(b"message", *primitives.rsa_padding(scheme))
    assert verifies(spki(key.public_key()), scheme, b"message", signature)
    assert not verifies(spki(key.public_key()), scheme, b"another", signature)
