"""Other people's tools make, use and destroy keys through the module: OpenSC's pkcs11-tool and GnuTLS's p11tool.

Always true: the PIN reaches them in the environment; what they made is judged by another library and by the appliance.
"""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding

from support.appliance import PIN, Appliance
from support.host import Host

OPERATIONS = ["key:read", "key:sign", "key:decrypt", "key:derive", "key:generate", "key:manage", "key:destroy"]


@pytest.fixture(scope="module")
def tools(appliance: Appliance, new_host: Callable[..., Host]) -> Host:
    """A host whose user does everything with the keys `tools-…`."""
    appliance.add_user("tools-user")
    appliance.add_rule("tools-user", "tools-*", operations=OPERATIONS)
    # A login needs a key that the PIN fits.
    appliance.add_key("tools-first")
    return new_host(appliance, user="tools-user", timeout_ms=60_000)


def pkcs11_tool(host: Host, *arguments: str | Path) -> str:
    """Run pkcs11-tool after login."""
    return host.run("pkcs11-tool", "--module", host.module, "--login", "--pin", "env:PIN", *arguments, PIN=PIN).stdout


def public_key(appliance: Appliance, label: str) -> Any:
    """The public key as the other library has it."""
    record = appliance.api("GET", f"/cores/1/keys/{label}").json()
    return serialization.load_der_public_key(base64.b64decode(record["public_key"]))


def test_pkcs11_tool_makes_signs_and_destroys(tools: Host, appliance: Appliance) -> None:
    """With the label and the id that it chooses, another id later, and no key in the end."""
    made = pkcs11_tool(tools, "--keypairgen", "--key-type", "EC:prime256v1", "--label", "tools-ec", "--id", "7e01")
    assert "tools-ec" in made
    assert appliance.api("GET", "/cores/1/keys/tools-ec").json()["object_id"] == "7e01"
    pkcs11_tool(tools, "--set-id", "7e02", "--id", "7e01", "--type", "privkey")
    (tools.directory / "data").write_bytes(b"data")
    signing = ("--sign", "-m", "ECDSA-SHA256", "--signature-format", "openssl", "--id", "7e02")
    pkcs11_tool(tools, *signing, "-i", "data", "-o", "signature")
    signature = (tools.directory / "signature").read_bytes()
    public_key(appliance, "tools-ec").verify(signature, b"data", ec.ECDSA(hashes.SHA256()))
    pkcs11_tool(tools, "--delete-object", "--type", "privkey", "--id", "7e02")
    assert "tools-ec" not in pkcs11_tool(tools, "-O")
    assert appliance.api("GET", "/cores/1/keys/tools-ec").json()["state"] == "scheduled"


def test_pkcs11_tool_decrypts(tools: Host, appliance: Appliance) -> None:
    """With an RSA key that it made, what another library encrypted."""
    pkcs11_tool(tools, "--keypairgen", "--key-type", "rsa:2048", "--label", "tools-rsa", "--id", "7e03")
    way = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    (tools.directory / "sent").write_bytes(public_key(appliance, "tools-rsa").encrypt(b"a secret", way))
    how = ("--decrypt", "-m", "RSA-PKCS-OAEP", "--hash-algorithm", "SHA256", "--mgf", "MGF1-SHA256")
    pkcs11_tool(tools, *how, "--id", "7e03", "-i", "sent", "-o", "received")
    assert (tools.directory / "received").read_bytes() == b"a secret"


def test_pkcs11_tool_agrees_on_a_secret(tools: Host, appliance: Appliance) -> None:
    """ECDH with somebody's public key."""
    pkcs11_tool(tools, "--keypairgen", "--key-type", "EC:secp384r1", "--label", "tools-ecdh", "--id", "7e04")
    other = ec.generate_private_key(ec.SECP384R1())
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    (tools.directory / "other.der").write_bytes(other.public_key().public_bytes(serialization.Encoding.DER, form))
    pkcs11_tool(tools, "--derive", "-m", "ECDH1-DERIVE", "--id", "7e04", "-i", "other.der", "-o", "shared")
    assert (tools.directory / "shared").read_bytes() == other.exchange(ec.ECDH(), public_key(appliance, "tools-ecdh"))


def test_p11tool_makes_a_key(tools: Host, appliance: Appliance) -> None:
    """GnuTLS makes one, lists it and proves that it signs."""
    token = appliance.api("GET", "/cores/1").json()["token"]["label"]
    making = ("--generate-privkey=ecdsa", "--curve=secp256r1", "--label=tools-gnutls", f"pkcs11:token={token}")
    tool = ("p11tool", "--provider", tools.module, "--login")
    tools.run(*tool, *making, GNUTLS_PIN=PIN)
    url = f"pkcs11:token={token};object=tools-gnutls;type=private"
    assert (
        "Verifying against public key in the token... ok" in tools.run(*tool, "--test-sign", url, GNUTLS_PIN=PIN).stderr
    )
