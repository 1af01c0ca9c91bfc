"""Verifying without an appliance, judged by signatures of plain openssl."""

import hashlib
import subprocess
from pathlib import Path

import pytest

from privyseal.client import verification
from privyseal.client.errors import InvalidInputError, InvalidSignatureError

MESSAGE = b"The file to be signed.\n"
GENERATE = {
    "rsa": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    "p256": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "brainpool": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:brainpoolP384r1"],
    "ed25519": ["-algorithm", "ED25519"],
    "ed448": ["-algorithm", "ED448"],
}
PSS = ["-sigopt", "rsa_padding_mode:pss"]


def openssl(folder: Path, *arguments: str) -> None:
    """Run openssl."""
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a private key NAME.key and a public key NAME.pem for each entry of GENERATE."""
    folder = tmp_path_factory.mktemp("keys")
    (folder / "message").write_bytes(MESSAGE)
    for name, options in GENERATE.items():
        openssl(folder, "genpkey", *options, "-out", f"{name}.key")
        openssl(folder, "pkey", "-in", f"{name}.key", "-pubout", "-out", f"{name}.pem")
    return folder


def public_key(keys: Path, name: str) -> verification.PublicKey:
    return verification.load_public_key((keys / f"{name}.pem").read_bytes())


def signed_by_openssl(keys: Path, name: str, hash_name: str, *options: str) -> bytes:
    openssl(keys, "dgst", f"-{hash_name}", *options, "-sign", f"{name}.key", "-out", "signature", "message")
    return (keys / "signature").read_bytes()


@pytest.mark.parametrize("hash_name", ["SHA-224", "SHA-256", "SHA-512", "SHA3-256"])
@pytest.mark.parametrize("name", ["rsa", "p256", "brainpool"])
def test_signatures_of_digests(keys: Path, name: str, hash_name: str) -> None:
    python_name = hash_name.lower().replace("sha3-", "sha3_").replace("sha-", "sha")
    signature = signed_by_openssl(keys, name, python_name.replace("_", "-"))
    digest = hashlib.new(python_name, MESSAGE).digest()
    verification.verify(public_key(keys, name), signature, digest, hash_name=hash_name)
    with pytest.raises(InvalidSignatureError):
        verification.verify(public_key(keys, name), signature, bytes(len(digest)), hash_name=hash_name)


@pytest.mark.parametrize("salt", ["digest", "max", "0"])
def test_pss_with_any_salt(keys: Path, salt: str) -> None:
    signature = signed_by_openssl(
        keys, "rsa", "sha256", *PSS, "-sigopt", f"rsa_pss_saltlen:{salt}".replace("max", "-3").replace("digest", "-1")
    )
    digest = hashlib.sha256(MESSAGE).digest()
    verification.verify(public_key(keys, "rsa"), signature, digest, mechanism="RSA-PSS")
    with pytest.raises(InvalidSignatureError):
        verification.verify(public_key(keys, "rsa"), signature, digest)


@pytest.mark.parametrize("name", ["ed25519", "ed448"])
def test_signatures_of_messages(keys: Path, name: str) -> None:
    openssl(keys, "pkeyutl", "-sign", "-inkey", f"{name}.key", "-rawin", "-in", "message", "-out", "signature")
    signature = (keys / "signature").read_bytes()
    assert verification.signs_messages(public_key(keys, name))
    verification.verify(public_key(keys, name), signature, MESSAGE)
    with pytest.raises(InvalidSignatureError):
        verification.verify(public_key(keys, name), signature, MESSAGE + b"x")


@pytest.mark.parametrize(
    ("name", "digest", "options"),
    [
        ("p256", bytes(31), {}),
        ("p256", bytes(32), {"hash_name": "MD5"}),
        ("p256", bytes(32), {"mechanism": "RSA-PSS"}),
        ("rsa", bytes(32), {"mechanism": "ECDSA"}),
        ("ed25519", b"", {"mechanism": "ECDSA"}),
    ],
)
def test_what_cannot_belong_together(keys: Path, name: str, digest: bytes, options: dict[str, str]) -> None:
    """Such a call is a mistake of the caller, not a bad signature."""
    with pytest.raises(InvalidInputError):
        verification.verify(public_key(keys, name), b"signature", digest, **options)


@pytest.mark.parametrize("signature", [b"", b"x", b"\x30\x06\x02\x01\x00\x02\x01\x00", bytes(256)])
@pytest.mark.parametrize("name", ["rsa", "p256"])
def test_garbage_does_not_verify(keys: Path, name: str, signature: bytes) -> None:
    with pytest.raises(InvalidSignatureError):
        verification.verify(public_key(keys, name), signature, hashlib.sha256(MESSAGE).digest())


def test_der_keys_are_read_too(keys: Path) -> None:
    openssl(keys, "pkey", "-pubin", "-in", "p256.pem", "-outform", "DER", "-out", "p256.der")
    assert verification.load_public_key((keys / "p256.der").read_bytes()) == public_key(keys, "p256")


@pytest.mark.parametrize("content", [b"", b"no key", b"-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n"])
def test_no_public_key(content: bytes) -> None:
    with pytest.raises(InvalidInputError):
        verification.load_public_key(content)


def test_a_key_that_cannot_sign(keys: Path) -> None:
    openssl(keys, "genpkey", "-algorithm", "X25519", "-out", "x25519.key")
    openssl(keys, "pkey", "-in", "x25519.key", "-pubout", "-out", "x25519.pem")
    with pytest.raises(InvalidInputError):
        public_key(keys, "x25519")


def test_a_private_key_is_not_taken_for_a_public_one(keys: Path) -> None:
    with pytest.raises(InvalidInputError):
        verification.load_public_key((keys / "p256.key").read_bytes())
