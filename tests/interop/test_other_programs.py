"""NSS, Knot's DNSSEC signer and GnuPG's card daemon on the token."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from support.appliance import PIN
from support.interop_table import not_yet
from support.tokens import Token

pytestmark = pytest.mark.interop
CERTIFICATES = "the module has no certificates"
KNOT_CONF = """\
database:
    storage: {directory}/knot
keystore:
  - id: token
    backend: pkcs11
    config: "pkcs11:token={label};pin-value={pin} {module}"
policy:
  - id: signed
    keystore: token
    algorithm: ecdsap256sha256
    single-type-signing: on
    manual: on
zone:
  - domain: example.test
    storage: {directory}
    file: example.test.zone
    dnssec-signing: on
    dnssec-policy: signed
"""
ZONE = """\
example.test. 3600 SOA ns.example.test. admin.example.test. 1 3600 900 86400 300
example.test. 3600 NS ns.example.test.
ns.example.test. 3600 A 192.0.2.1
www.example.test. 3600 A 192.0.2.2
"""


@pytest.fixture
def database(token: Token, needs: Callable[..., None]) -> str:
    """An NSS database that knows of the module."""
    needs("modutil", "certutil")
    directory = token.directory / "nss"
    if not directory.exists():
        directory.mkdir()
        token.run("certutil", "-N", "-d", f"sql:{directory}", "--empty-password")
        add = ["-force", "-dbdir", f"sql:{directory}", "-add", "token", "-libfile", token.module]
        token.run("modutil", *add)
    token.write("nss.pin", f"{token.label}:{PIN}\n")
    return f"sql:{directory}"


@pytest.mark.program("NSS modutil", "libnss3-tools")
def test_nss_lists_the_module(token: Token, database: str) -> None:
    """-add and -list."""
    assert token.label in token.run("modutil", "-force", "-dbdir", database, "-list").stdout


@pytest.mark.program("NSS certutil", "libnss3-tools")
def test_nss_lists_the_keys(token: Token, database: str) -> None:
    """-K: both private keys."""
    shown = token.run("certutil", "-K", "-d", database, "-h", token.label, "-f", "nss.pin").stdout
    assert re.search(r"\bec\b", shown), shown
    assert re.search(r"\brsa\b", shown), shown


@pytest.mark.program("NSS certutil", "libnss3-tools")
def test_nss_makes_a_request(token: Token, database: str) -> None:
    """-R: a certificate request with the RSA key, by its id."""
    wanted = ["-k", token.ids["rsa"], "-s", "CN=nss", "-a", "-o", "nss.csr"]
    token.run("certutil", "-R", "-d", database, "-h", token.label, "-f", "nss.pin", *wanted)
    assert "verify OK" in token.plain_openssl("req", "-verify", "-noout", "-in", "nss.csr")


@pytest.fixture
def knot(token: Token, needs: Callable[..., None]) -> Path:
    """Knot's configuration for one zone whose key store is the token."""
    needs("keymgr", "kzonesign", "dnssec-verify")
    shutil.rmtree(token.directory / "knot", ignore_errors=True)
    (token.directory / "knot").mkdir()
    token.write("example.test.zone", ZONE)
    given = {"directory": token.directory, "label": token.label, "pin": PIN, "module": token.module}
    return token.write("knot.conf", KNOT_CONF.format(**given))


@pytest.mark.program("Knot DNS", "knot-dnssecutils")
def test_signs_a_zone(token: Token, knot: Path) -> None:
    """Keymgr import-pkcs11 and kzonesign with the P-256 key; verified by BIND's dnssec-verify."""
    wanted = ["algorithm=13", "size=256", "ksk=yes", "zsk=yes"]
    wanted += ["created=+0", "publish=+0", "ready=+0", "active=+0"]
    token.run("keymgr", "-c", knot, "example.test.", "import-pkcs11", token.ids["ec"], *wanted)
    signed = token.directory / "signed"
    signed.mkdir(exist_ok=True)
    token.run("kzonesign", "-c", knot, "-o", signed, "example.test")
    zone = next(signed.iterdir())
    assert "fully signed" in _output(token, "dnssec-verify", "-z", "-o", "example.test", zone)


@pytest.mark.program("Knot DNS", "knot-dnssecutils")
def test_makes_a_zone_key(token: Token, knot: Path) -> None:
    """Keymgr generate: a new key on the token."""
    token.run("keymgr", "-c", knot, "example.test.", "generate", "algorithm=13", "ksk=yes", "zsk=yes")


def _output(token: Token, *arguments: str | Path) -> str:
    done = token.run(*arguments)
    return done.stdout + done.stderr


def learn(token: Token) -> str:
    """Ask GnuPG's card daemon for its keys, as gpg-agent does."""
    settings = f"providers token\nprovider-token-library {token.module}\n"
    conf = token.write("scd.conf", settings)
    done = token.run("gnupg-pkcs11-scd", "--server", "--options", conf, input="LEARN --force\nBYE\n", status=None)
    return done.stdout + done.stderr


@pytest.mark.program("gnupg-pkcs11-scd", "gnupg-pkcs11-scd")
def test_gnupg_loads_the_module(token: Token, needs: Callable[..., None]) -> None:
    """LEARN answers OK."""
    needs("gnupg-pkcs11-scd")
    assert re.search("^OK$", learn(token), re.MULTILINE)


@not_yet(CERTIFICATES)
@pytest.mark.program("gnupg-pkcs11-scd", "gnupg-pkcs11-scd")
def test_gnupg_finds_a_key(token: Token, needs: Callable[..., None]) -> None:
    """LEARN shows the RSA key by its certificate."""
    needs("gnupg-pkcs11-scd")
    token.store_certificate("rsa")
    assert "KEYPAIRINFO" in learn(token) or "KEY-FRIEDNLY" in learn(token)
