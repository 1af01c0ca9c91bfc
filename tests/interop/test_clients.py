"""Client libraries of other languages: python-pkcs11, pyHanko, graphene-pk11, crypto11 and Java's SunPKCS11.

Always true: the libraries are those that scripts/fetch-clients locked, and plain openssl judges the signatures.
"""

import fcntl
import hashlib
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from support.appliance import PIN
from support.interop_table import not_yet
from support.processes import ROOT
from support.tokens import Token

pytestmark = pytest.mark.interop
SOURCES = Path(__file__).parent / "clients"
CERTIFICATES = "the module has no certificates, and Java shows a key only beside one"


@pytest.fixture(scope="session")
def clients() -> Path:
    """Where the libraries are."""
    (ROOT / "build").mkdir(exist_ok=True)
    with (ROOT / "build" / "clients.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run([ROOT / "scripts" / "fetch-clients"], check=True)
    return ROOT / "build" / "clients"


@pytest.mark.program("python-pkcs11", "=0.9.5")
def test_python_threads(token: Token, key: str, clients: Path) -> None:
    """Eight threads sign and verify after C_Initialize(NULL)."""
    python = clients / "python" / "bin" / "python"
    token.run(python, SOURCES / "sign.py", token.module, token.label, key, key, "mydata", "py.sig", input=PIN)
    token.assert_verifies(key, "py.sig")


@pytest.mark.program("pyHanko", "=0.38.0")
def test_pdf(token: Token, key: str, clients: Path) -> None:
    """Signs a PDF and validates it."""
    python = clients / "python" / "bin" / "python"
    given = [token.module, token.label, key, token.certificate(key), "signed.pdf"]
    token.run(python, "-W", "ignore", SOURCES / "pdf.py", *given, input=PIN)
    assert (token.directory / "signed.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.program("graphene-pk11", "=2.3.6")
def test_node(token: Token, clients: Path) -> None:
    """Finds keys, signs in parts and verifies, from Node."""
    modules = clients / "node" / "node_modules"
    if not (modules / "pkcs11js" / "build" / "Release" / "pkcs11.node").exists():
        pytest.skip("this machine has no node with its headers")
    given = [token.module, token.label, "rsa", "SHA256_RSA_PKCS", "mydata", "node.sig"]
    token.run("node", SOURCES / "node" / "sign.js", *given, input=PIN, NODE_PATH=str(modules))
    token.assert_verifies("rsa", "node.sig")


@pytest.mark.program("crypto11", "=1.6.2")
@pytest.mark.parametrize("kind", ["ec", "rsa", "pss"])
def test_go(token: Token, kind: str, clients: Path) -> None:
    """Eight goroutines sign."""
    program = clients / "crypto11"
    if not program.exists():
        pytest.skip("this machine has no go, or one that is too old for crypto11")
    key = "ec" if kind == "ec" else "rsa"
    digest = hashlib.sha256((token.directory / "mydata").read_bytes()).hexdigest()
    token.run(program, token.module, token.label, key, kind, "go.sig", input=f"{PIN}\n", DIGEST=digest)
    pss = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"] if kind == "pss" else []
    token.assert_verifies(key, "go.sig", *pss)


@pytest.fixture
def keystore(token: Token, needs: Callable[..., None]) -> list[str | Path]:
    """The options that show Java's tools the token as a keystore."""
    needs("keytool", "jarsigner")
    p11 = token.write("p11.cfg", f"name = token\nlibrary = {token.module}\nslotListIndex = 0\n")
    provider = ["-providerClass", "sun.security.pkcs11.SunPKCS11", "-providerArg", p11]
    return ["-keystore", "NONE", "-storetype", "PKCS11", *provider, "-storepass:file", token.directory / "pin"]


@pytest.mark.program("SunPKCS11 (Java)", "openjdk-17-jdk-headless")
def test_java_lists(token: Token, keystore: list[str | Path]) -> None:
    """Keytool -list logs in and lists."""
    shown = token.run("keytool", "-list", *keystore).stdout
    assert "Keystore type: PKCS11" in shown


@not_yet(CERTIFICATES)
@pytest.mark.program("SunPKCS11 (Java)", "openjdk-17-jdk-headless")
def test_java_finds_a_key(token: Token, key: str, keystore: list[str | Path]) -> None:
    """Keytool -list shows a key by its certificate."""
    token.store_certificate(key)
    assert f"{key}, PrivateKeyEntry" in token.run("keytool", "-list", *keystore).stdout


@not_yet(CERTIFICATES)
@pytest.mark.program("SunPKCS11 (Java)", "openjdk-17-jdk-headless")
def test_java_makes_a_request(token: Token, key: str, keystore: list[str | Path]) -> None:
    """Keytool -certreq."""
    token.store_certificate(key)
    token.run("keytool", "-certreq", "-alias", key, *keystore, "-file", "java.csr")
    token.plain_openssl("req", "-verify", "-noout", "-in", "java.csr")


@not_yet(CERTIFICATES)
@pytest.mark.program("SunPKCS11 (Java)", "openjdk-17-jdk-headless")
def test_java_signs_a_jar(token: Token, key: str, keystore: list[str | Path]) -> None:
    """Jarsigner signs and verifies."""
    token.store_certificate(key)
    with zipfile.ZipFile(token.directory / "app.jar", "w") as jar:
        jar.writestr("hello.txt", "hello")
    token.run("jarsigner", *keystore, "app.jar", key)
    assert "jar verified" in token.run("jarsigner", "-verify", "app.jar").stdout
