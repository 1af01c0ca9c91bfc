"""The nine steps of the README's walk-through, each run with the programs that Debian has.

Always true: the host of these tests has neither the key nor anything of ours but the module and one JSON file, and
whether a signature is right is said by plain openssl, which knows nothing of either.
"""

import base64
import hashlib
import json
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.appliance import PIN, Appliance
from support.host import Host
from support.terminal import Dialogue, converse


@pytest.fixture(scope="session")
def token(appliance: Appliance) -> dict[str, str]:
    """What core 1 says of itself as a PKCS#11 token."""
    answer: dict[str, str] = appliance.api("GET", "/cores/1").json()["token"]
    return answer


@pytest.fixture(scope="session")
def uri(host: Host, token: dict[str, str]) -> str:
    """The short URI of the walk-through: serial, token and object, without the rest that p11tool prints."""
    assert (host.directory / "mydata").exists()
    return f"pkcs11:serial={token['serial']};token={token['label']};object=release"


@pytest.fixture(scope="session")
def public_key(host: Host, appliance: Appliance) -> Path:
    """The public key of `release` in a file."""
    path = host.directory / "release.pem"
    path.write_text(appliance.api("GET", "/cores/1/keys/release/public.pem", user=host.user).text)
    return path


def dgst_sign(uri: str, signature: str) -> list[str]:
    """The walk-through's command."""
    engine = ["-engine", "pkcs11", "-keyform", "engine"]
    return ["openssl", "dgst", "-sha256", *engine, "-sign", uri, "-out", signature, "mydata"]


def type_the_pin(host: Host, uri: str, signature: str, *, pin: str = PIN) -> Dialogue:
    """Sign as a user does who types the PIN."""
    return converse(
        dgst_sign(uri, signature),
        prompt=r"PIN for [^:]*:",
        answer=pin,
        environment=host.environment,
        directory=host.directory,
    )


def assert_verifies(host: Host, public_key: Path, signature: str) -> None:
    """Plain openssl accepts the signature over mydata, and refuses it over one changed byte."""
    good = host.plain_openssl("dgst", "-sha256", "-verify", public_key, "-signature", signature, "mydata")
    assert good.stdout == "Verified OK\n"
    changed = host.directory / f"{signature}.changed"
    data = (host.directory / "mydata").read_bytes()
    changed.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    bad = host.plain_openssl("dgst", "-sha256", "-verify", public_key, "-signature", signature, changed, check=False)
    assert (bad.returncode, bad.stdout) == (1, "Verification failure\n")


# -- 1: the appliance ------------------------------------------------------------------------------------------------


def test_1_an_empty_directory_becomes_an_appliance(new_appliance: Callable[..., Appliance]) -> None:
    """It provisions itself, says where it answers, and an administrator makes user, rule and key by command line."""
    appliance = new_appliance()
    assert re.fullmatch(
        rf"ready {re.escape(appliance.url)} fingerprint sha256:[0-9a-fA-F:]{{64,95}}", appliance.ready_line
    )
    assert stat.S_IMODE(appliance.data.stat().st_mode) == 0o700
    appliance.passwords["alice"] = "the password of alice"
    password = appliance.secret_file("alice.password", appliance.passwords["alice"])
    pin = appliance.secret_file("pin", PIN)
    appliance.cli("user", "create", "alice", "--role", "operator", "--password-file", password)
    operations = ["--operations", "key:read,key:sign", "--keys", "release*"]
    appliance.cli("rule", "create", "--user", "alice", "--core", "1", *operations)
    appliance.cli("key", "create", "--core", "1", "--label", "release", "--type", "ec:P-256", "--pin-file", pin)
    keys = appliance.api("GET", "/cores/1/keys", user="alice").json()["keys"]
    assert [(key["label"], key["type"], key["pin"]) for key in keys] == [("release", "ec:P-256", True)]


# -- 2: the host's configuration --------------------------------------------------------------------------------------


def test_2_the_configuration_has_the_originals_shape(host: Host) -> None:
    """The seven names of the original's file, and `ca_file` of ours because nobody has heard of this authority."""
    names = ["url", "user", "pass", "core", "keygen_pin", "log_level", "log_output", "ca_file"]
    assert list(json.loads(host.config.read_text())) == names
    assert stat.S_IMODE(host.config.stat().st_mode) == 0o600


@pytest.mark.parametrize("path", ["", "/n200/web/postv1", "/api/v1"])
def test_2_an_address_in_the_originals_form_means_the_same(
    appliance: Appliance, host: Host, new_host: Callable[..., Host], token: dict[str, str], path: str
) -> None:
    """A trailing comma and a path behind the origin, as in files that exist already, are no reason to fail."""
    assert host.config.exists()
    other = new_host(appliance, user=host.user, url=appliance.url + path)
    other.config.write_text(other.config.read_text().replace("\n}", ",\n}"))
    assert token["serial"] in other.run("pkcs11-tool", "--module", other.module, "-T").stdout


# -- 3: pkcs11-tool ---------------------------------------------------------------------------------------------------


def test_3_slots_and_token(host: Host, token: dict[str, str]) -> None:
    """`-T` shows one slot whose id is the serial number, and the token as the original shows it."""
    shown = host.run("pkcs11-tool", "--module", host.module, "-T").stdout
    assert f"Slot 0 ({int(token['serial']):#x}): {token['description']}\n" in shown
    fields = dict(re.findall(r"^  (.+?) +: (.*)$", shown, re.MULTILINE))
    assert fields == {
        "token label": token["label"],
        "token manufacturer": "Privyseal",
        "token model": "Privyseal core",
        "token flags": "login required, rng, token initialized, PIN initialized, other flags=0x20",
        "hardware version": token["hardware_version"],
        "firmware version": token["firmware_version"],
        "serial num": token["serial"],
        "pin min/max": "8/128",
    }
    assert f"{int(token['serial']):#x}" in host.run("pkcs11-tool", "--module", host.module, "-L").stdout


def test_3_objects_without_a_pin(host: Host, appliance: Appliance) -> None:
    """`-O` lists both halves of the key before any login, with the label and the id that REST tells."""
    key = appliance.api("GET", "/cores/1/keys/release", user=host.user).json()
    shown = host.run("pkcs11-tool", "--module", host.module, "-O").stdout
    for half in ("Public Key Object; EC  EC_POINT 256 bits", "Private Key Object; EC"):
        assert re.search(
            rf"^{half}.*(?:\n  .*)*\n  label: +release(?:\n  .*)*\n  ID: +{key['id']}", shown, re.MULTILINE
        )


def test_3_mechanisms(host: Host) -> None:
    """`-M` lists what the appliance signs with, by the names that OpenSC has for it."""
    shown = host.run("pkcs11-tool", "--module", host.module, "-M").stdout
    names = {line.split(",")[0].strip() for line in shown.splitlines()}
    assert {"ECDSA", "ECDSA-SHA256", "RSA-PKCS", "SHA256-RSA-PKCS", "RSA-PKCS-PSS", "EDDSA"} <= names


# -- 4 and 5: OpenSSL's engine and p11-kit ----------------------------------------------------------------------------


def test_4_the_engine_is_available(host: Host) -> None:
    """OpenSSL loads the engine that the private openssl.cnf names."""
    lines = host.run("openssl", "engine", "pkcs11", "-t").stdout.splitlines()
    assert lines == ["(pkcs11) pkcs11 engine", "     [ available ]"]


def token_url(token: dict[str, str]) -> str:
    """The token's URL as p11-kit writes it."""
    return f"pkcs11:model=Privyseal%20core;manufacturer=Privyseal;serial={token['serial']};token={token['label']}"


def test_5_p11tool_lists_the_token(host: Host, token: dict[str, str]) -> None:
    """A module file in p11-kit's directory is all that GnuTLS needs."""
    assert token_url(token) in host.run("p11tool", "--list-token-urls").stdout.splitlines()


def test_5_p11tool_lists_the_keys_before_it_asks_for_the_pin(
    host: Host, appliance: Appliance, token: dict[str, str]
) -> None:
    """The public key needs no PIN, and the private key's URL stands above the question for it."""
    identity = appliance.api("GET", "/cores/1/keys/release", user=host.user).json()["id"]
    escaped = "".join(f"%{identity[at : at + 2].upper()}" for at in range(0, len(identity), 2))
    dialogue = converse(
        ["p11tool", "--list-all", token_url(token)],
        prompt="Enter PIN:",
        answer=PIN,
        environment=host.environment,
        directory=host.directory,
    )
    before, _, after = dialogue.screen.partition("Enter PIN:")
    url = f"{token_url(token)};id={escaped};object=release"
    assert f"{url};type=public" in before
    assert "Type: Public key (EC/ECDSA-SECP256R1)" in before
    assert f"{url};type=private" in before
    assert "Type: Private key (EC/ECDSA-SECP256R1)" in after
    assert (dialogue.prompts, dialogue.status) == (1, 0)
    assert "CKA_WRAP" not in dialogue.screen


# -- 6 and 7: sign with the PIN typed or given, verify with plain openssl ----------------------------------------------


def test_6_the_pin_is_asked_for_exactly_once(host: Host, uri: str, token: dict[str, str], public_key: Path) -> None:
    """At a terminal the prompt names the token, comes once, and the signature is an Ecdsa-Sig-Value that verifies."""
    dialogue = type_the_pin(host, uri, "typed.sig")
    assert f"PIN for {token['label']}:" in dialogue.screen
    assert (dialogue.prompts, dialogue.status) == (1, 0), dialogue.screen
    signature = (host.directory / "typed.sig").read_bytes()
    assert signature[0] == 0x30
    assert 68 <= len(signature) <= 72
    assert_verifies(host, public_key, "typed.sig")


@pytest.mark.parametrize("source", ["pin-value", "pin-source"])
def test_6_no_prompt_when_the_uri_has_the_pin(host: Host, uri: str, public_key: Path, source: str) -> None:
    """RFC 7512's two query attributes; there is no terminal here at which one could answer."""
    query = {"pin-value": f"pin-value={PIN}", "pin-source": f"pin-source=file:{host.pin_file}"}[source]
    done = host.run(*dgst_sign(f"{uri}?{query}", f"{source}.sig"))
    assert "PIN" not in done.stdout + done.stderr
    assert_verifies(host, public_key, f"{source}.sig")


def test_6_a_wrong_pin_makes_no_signature(host: Host, uri: str) -> None:
    """The command ends with status 1, not by a crash in an exit handler, and no secret is in the module's log."""
    dialogue = type_the_pin(host, uri, "wrong.sig", pin="87654321")
    assert dialogue.status == 1, dialogue.screen
    signature = host.directory / "wrong.sig"
    assert not signature.exists() or signature.stat().st_size == 0
    secrets = [PIN, "87654321", json.loads(host.config.read_text())["pass"]]
    logged = host.log.read_text()
    assert logged
    assert not [secret for secret in secrets if secret in logged]


def test_7_the_engine_tells_the_public_key(host: Host, uri: str, public_key: Path) -> None:
    """The public key by URI is the one that REST tells."""
    exported = host.run(
        *["openssl", "pkey", "-engine", "pkcs11", "-inform", "engine", "-pubin"],
        *["-in", f"{uri};type=public", "-pubout", "-out", "exported.pem"],
    )
    assert exported.returncode == 0
    assert (host.directory / "exported.pem").read_text() == public_key.read_text()


def test_6_beside_keys_that_the_engine_does_not_know(
    appliance: Appliance, host: Host, new_host: Callable[..., Host]
) -> None:
    """Ed25519 and ML-DSA keys in the same core: libp11 0.4.12 gives up on every key when it is shown one of them."""
    core = appliance.api("POST", "/cores", {"name": "mixed"}).json()["number"]
    appliance.add_user("mixer")
    appliance.add_rule("mixer", core=core)
    for label, key_type in (("first", "ed25519"), ("mixed", "ec:P-256"), ("last", "ml-dsa-44")):
        appliance.add_key(label, key_type, core=core)
    mixed = new_host(appliance, user="mixer", core=core)
    (mixed.directory / "mydata").write_bytes((host.directory / "mydata").read_bytes())
    sign = ["openssl", "dgst", "-sha256", "-engine", "pkcs11", "-keyform", "engine", "-out", "mydata.sig", "-sign"]
    mixed.run(*sign, f"pkcs11:token=mixed;object=mixed?pin-value={PIN}", "mydata")
    public = mixed.directory / "mixed.pem"
    public.write_text(appliance.api("GET", f"/cores/{core}/keys/mixed/public.pem", user="mixer").text)
    assert_verifies(mixed, public, "mydata.sig")
    shown = mixed.run(
        "pkcs11-tool", "--module", mixed.module, "--login", "--pin", PIN, "-O", "--type", "privkey"
    ).stdout
    assert shown.count("Private Key Object") == 3  # other programs see them all


def test_6_a_large_message_is_hashed_on_the_host(appliance: Appliance, host: Host) -> None:
    """A mechanism with a hash takes a file that is longer than any request may be: only its digest travels."""
    (host.directory / "large").write_bytes(os.urandom(1024) * 5 * 1024)
    key_id = appliance.api("GET", "/cores/1/keys/release", user="alice").json()["id"]
    tool = ["pkcs11-tool", "--module", host.module, "--login", "--pin", PIN, "--sign", "--id", key_id]
    host.run(*tool, "--mechanism", "ECDSA-SHA256", "--signature-format", "openssl", "-i", "large", "-o", "large.sig")
    public = host.directory / "large.pem"
    public.write_text(appliance.api("GET", "/cores/1/keys/release/public.pem", user="alice").text)
    shown = host.plain_openssl("dgst", "-sha256", "-verify", public, "-signature", "large.sig", "large")
    assert shown.stdout == "Verified OK\n"


# -- 8: REST with curl ------------------------------------------------------------------------------------------------


def curl(host: Host, appliance: Appliance, path: str, body: Any = None) -> str:
    """One request with curl as the host's user; the password is in a file and the body comes through standard input."""
    settings = host.directory / "curl.conf"
    settings.touch(mode=0o600)
    settings.write_text(f'user = "{host.user}:{appliance.passwords[host.user]}"\ncacert = "{appliance.ca_file}"\n')
    sent = [] if body is None else ["--json", "@-"]
    url = f"{appliance.url}/api/v1/cores/1/keys/release{path}"
    return host.run("curl", "--silent", "--fail-with-body", "-K", settings, *sent, url, input=json.dumps(body)).stdout


def keep(host: Host, name: str, signature: str) -> str:
    """Write a signature in base64 to a file and return its name."""
    (host.directory / name).write_bytes(base64.b64decode(signature, validate=True))
    return name


def test_8_curl_signs_a_digest_and_data(host: Host, appliance: Appliance, public_key: Path) -> None:
    """Either a digest made here or the data themselves, hashed there."""
    data = (host.directory / "mydata").read_bytes()
    digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
    for number, body in enumerate(({"hash": "SHA-256", "digest": digest}, {"data": base64.b64encode(data).decode()})):
        answer = json.loads(curl(host, appliance, "/sign", {**body, "pin": PIN}))
        assert answer["event"] > 0
        assert_verifies(host, public_key, keep(host, f"curl{number}.sig", answer["signature"]))


def test_8_curl_verifies(host: Host, appliance: Appliance) -> None:
    """`verify` needs no PIN, and says false over other data."""
    data = base64.b64encode((host.directory / "mydata").read_bytes()).decode()
    signature = json.loads(curl(host, appliance, "/sign", {"data": data, "pin": PIN}))["signature"]
    assert json.loads(curl(host, appliance, "/verify", {"data": data, "signature": signature}))["valid"] is True
    other = base64.b64encode(b"other data").decode()
    assert json.loads(curl(host, appliance, "/verify", {"data": other, "signature": signature}))["valid"] is False


def test_8_curl_fetches_the_public_key(host: Host, appliance: Appliance) -> None:
    """A PEM file that openssl reads as it is."""
    (host.directory / "curl.pem").write_text(curl(host, appliance, "/public.pem"))
    shown = host.plain_openssl("pkey", "-pubin", "-in", "curl.pem", "-noout", "-text").stdout
    assert "NIST CURVE: P-256" in shown


def test_8_a_batch_of_a_thousand(host: Host, appliance: Appliance, public_key: Path) -> None:
    """One request signs 1,000 digests in their order; openssl judges every hundredth."""
    messages = [f"message {number}\n".encode() for number in range(1000)]
    digests = [base64.b64encode(hashlib.sha256(message).digest()).decode() for message in messages]
    answer = json.loads(curl(host, appliance, "/sign-batch", {"hash": "SHA-256", "digests": digests, "pin": PIN}))
    assert len(answer["signatures"]) == 1000
    for number in range(0, 1000, 100):
        (host.directory / "message").write_bytes(messages[number])
        name = keep(host, "batch.sig", answer["signatures"][number])
        judged = host.plain_openssl("dgst", "-sha256", "-verify", public_key, "-signature", name, "message")
        assert judged.stdout == "Verified OK\n"


# -- 9: our own command line ------------------------------------------------------------------------------------------


def test_9_privyseal_signs_and_verifies(host: Host, public_key: Path) -> None:
    """Without any OpenSSL configuration; a changed file is exit status 3."""
    host.run("privyseal", "sign", "mydata", "--key", "release", "--pin-file", host.pin_file, "-o", "cli.sig")
    assert_verifies(host, public_key, "cli.sig")
    host.run("privyseal", "verify", "mydata", "--signature", "cli.sig", "--key", "release")
    bad = host.run("privyseal", "verify", "cli.sig.changed", "--signature", "cli.sig", "--key", "release", check=False)
    assert bad.returncode == 3
