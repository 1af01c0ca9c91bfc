"""Every key type that the appliance makes, signed with over every road, judged by the openssl command line.

Always true: the key is made by the command line, and the signatures that REST, command line and PKCS#11 make with it
are verified by plain openssl with the public key alone, over the right file and over a wrong one.
"""

import base64
import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.appliance import PIN, Appliance
from support.host import Host

KEY_TYPES = [
    "rsa:2048",
    "rsa:3072",
    "rsa:4096",
    "rsa:8192",
    "ec:P-256",
    "ec:P-384",
    "ec:P-521",
    "ec:secp256k1",
    "ec:brainpoolP256r1",
    "ec:brainpoolP384r1",
    "ec:brainpoolP512r1",
    "ed25519",
    "ed448",
]
PSS = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32", "-sigopt", "rsa_mgf1_md:sha256"]


@dataclass(frozen=True)
class Subject:
    """One key on the appliance, and the host that signs with it."""

    appliance: Appliance
    host: Host
    key: dict[str, Any]
    public_key: Path

    @property
    def label(self) -> str:
        """The key's label."""
        label: str = self.key["label"]
        return label

    @property
    def is_edwards(self) -> bool:
        """EdDSA signs messages; the others sign digests."""
        return bool(self.key["type"].startswith("ed"))

    def assert_verifies(self, signature: str, *options: str) -> None:
        """Plain openssl accepts the signature over `data` and refuses it over `other`."""
        assert self._judge(signature, "data", options) == 0, signature
        assert self._judge(signature, "other", options) == 1, signature

    def _judge(self, signature: str, data: str, options: tuple[str, ...]) -> int:
        verify = ["-verify", self.public_key, "-signature", signature]
        if self.is_edwards:
            command = ["pkeyutl", "-verify", "-pubin", "-inkey", self.public_key, "-sigfile", signature]
            command += ["-rawin", "-in", data]
        else:
            command = ["dgst", "-sha256", *verify, *options, data]
        return self.host.plain_openssl(*command, check=False).returncode


@pytest.fixture(scope="session")
def typed_host(appliance: Appliance, new_host: Callable[..., Host]) -> Host:
    """A host whose user may sign with every key of these tests."""
    appliance.add_user("types-signer")
    appliance.add_rule("types-signer", "types-*")
    host = new_host(appliance, user="types-signer")
    (host.directory / "data").write_text("The data to be signed.\n")
    (host.directory / "other").write_text("The data to be sighed.\n")
    return host


@pytest.fixture(scope="module", params=KEY_TYPES)
def subject(request: pytest.FixtureRequest, appliance: Appliance, typed_host: Host) -> Iterator[Subject]:
    """A key of each type, made by `privyseal key create` and deleted again by REST."""
    label = f"types-{request.param.replace(':', '-')}"
    create = ["key", "create", "--core", "1", "--label", label, "--type", request.param]
    appliance.cli(*create, "--pin-file", typed_host.pin_file)
    key = appliance.api("GET", f"/cores/1/keys/{label}", user="types-signer").json()
    public_key = typed_host.directory / f"{label}.pem"
    public_key.write_text(appliance.api("GET", f"/cores/1/keys/{label}/public.pem", user="types-signer").text)
    yield Subject(appliance, typed_host, key, public_key)
    appliance.api("PUT", "/cores/1", {"destroy_days": 0})
    appliance.api("DELETE", f"/cores/1/keys/{label}?now=true")


def sign_by_rest(subject: Subject, name: str, **fields: str) -> str:
    """Sign `data` by REST; return the name of the file with the signature."""
    answer = subject.appliance.api(
        "POST", f"/cores/1/keys/{subject.label}/sign", {"pin": PIN, **fields}, user="types-signer"
    ).json()
    (subject.host.directory / name).write_bytes(base64.b64decode(answer["signature"], validate=True))
    return name


def data(subject: Subject) -> bytes:
    """What is signed."""
    return (subject.host.directory / "data").read_bytes()


def test_rest_signs_data(subject: Subject) -> None:
    """The appliance hashes what it gets, or signs it as a message for EdDSA."""
    subject.assert_verifies(sign_by_rest(subject, "rest.sig", data=base64.b64encode(data(subject)).decode()))


def test_rest_signs_a_digest(subject: Subject) -> None:
    """A digest made elsewhere; EdDSA has none, and says so."""
    digest = base64.b64encode(hashlib.sha256(data(subject)).digest()).decode()
    if subject.is_edwards:
        body = {"pin": PIN, "hash": "SHA-256", "digest": digest}
        refused = subject.appliance.api(
            "POST", f"/cores/1/keys/{subject.label}/sign", body, user="types-signer", check=False
        )
        assert refused.status_code == 422
    else:
        subject.assert_verifies(sign_by_rest(subject, "digest.sig", hash="SHA-256", digest=digest))


def test_command_line_signs_and_verifies(subject: Subject) -> None:
    """`privyseal sign` makes what openssl verifies, and `privyseal verify` agrees with openssl."""
    with_key = ["--key", subject.label]
    subject.host.run("privyseal", "sign", "data", *with_key, "--pin-file", subject.host.pin_file, "-o", "cli.sig")
    subject.assert_verifies("cli.sig")
    for name, status in (("data", 0), ("other", 3)):
        verify = ["privyseal", "verify", name, "--signature", "cli.sig", *with_key]
        assert subject.host.run(*verify, check=False).returncode == status


def sign_by_pkcs11(subject: Subject, mechanism: str, *options: str, signed: str = "data") -> str:
    """Sign with pkcs11-tool. By id: its 0.23 ignores the label when it signs and takes the first key."""
    tool = ["pkcs11-tool", "--module", subject.host.module, "--login", "--pin", PIN]
    sign = ["--sign", "--mechanism", mechanism, "--id", subject.key["id"], "-i", signed, "-o", "pkcs11.sig"]
    subject.host.run(*tool, *sign, *options)
    return "pkcs11.sig"


def sign_by_engine(subject: Subject, *options: str) -> str:
    """A signature by openssl and its engine: pkcs11-tool 0.23 has room for 512 bytes, RSA-8192 needs 1,024."""
    uri = f"pkcs11:token=core1;object={subject.label}?pin-value={PIN}"
    engine = ["-engine", "pkcs11", "-keyform", "engine", "-sign", uri]
    subject.host.run("openssl", "dgst", "-sha256", *engine, *options, "-out", "engine.sig", "data")
    return "engine.sig"


def test_pkcs11_signs(subject: Subject) -> None:
    """The mechanism that hashes: on the host for RSA and ECDSA, not at all for EdDSA."""
    if subject.key["type"] == "rsa:8192":
        subject.assert_verifies(sign_by_engine(subject))
    elif subject.is_edwards:
        subject.assert_verifies(sign_by_pkcs11(subject, "EDDSA"))
    elif subject.key["type"].startswith("rsa"):
        subject.assert_verifies(sign_by_pkcs11(subject, "SHA256-RSA-PKCS"))
    else:
        subject.assert_verifies(sign_by_pkcs11(subject, "ECDSA-SHA256", "--signature-format", "openssl"))


@pytest.fixture
def digest_file(subject: Subject) -> str:
    """The digest of `data` in a file, for the mechanisms that take one."""
    (subject.host.directory / "digest").write_bytes(hashlib.sha256(data(subject)).digest())
    return "digest"


def test_pkcs11_signs_a_digest(subject: Subject, digest_file: str) -> None:
    """CKM_ECDSA and CKM_RSA_PKCS_PSS over a digest that the caller made."""
    if subject.key["type"] == "rsa:8192":
        subject.assert_verifies(sign_by_engine(subject, *PSS), *PSS)
    elif subject.key["type"].startswith("ec:"):
        signature = sign_by_pkcs11(subject, "ECDSA", "--signature-format", "openssl", signed=digest_file)
        subject.assert_verifies(signature)
    elif subject.key["type"].startswith("rsa"):
        hashed = ["--hash-algorithm", "SHA256", "--mgf", "MGF1-SHA256"]
        subject.assert_verifies(sign_by_pkcs11(subject, "RSA-PKCS-PSS", *hashed, signed=digest_file), *PSS)
    else:
        refused = subject.host.run(
            *["pkcs11-tool", "--module", subject.host.module, "--login", "--pin", PIN, "--sign"],
            *["--mechanism", "ECDSA", "--id", subject.key["id"], "-i", digest_file, "-o", "refused.sig"],
            check=False,
        )
        assert refused.returncode == 1
        assert re.search("CKR_(KEY_TYPE_INCONSISTENT|MECHANISM_INVALID)", refused.stderr), refused.stderr


def test_rest_signs_with_rsa_pss(subject: Subject) -> None:
    """RSA's other padding by REST; a key that is not RSA refuses it."""
    body = {"pin": PIN, "mechanism": "RSA-PSS", "data": base64.b64encode(data(subject)).decode()}
    if subject.key["type"].startswith("rsa"):
        subject.assert_verifies(sign_by_rest(subject, "pss.sig", **body), *PSS)
    else:
        path = f"/cores/1/keys/{subject.label}/sign"
        assert subject.appliance.api("POST", path, body, user="types-signer", check=False).status_code == 422
