"""OpenSSL's commands through the engine of this machine, on our token and on SoftHSM2's.

Always true: plain openssl, without engine and module, judges what they made.
"""

from pathlib import Path

import pytest

from support.processes import Process, free_port
from support.tokens import Token

pytestmark = pytest.mark.program("openssl with libengine-pkcs11", "openssl")
HASHES = ["sha224", "sha256", "sha384", "sha512", "sha3-256"]
PSS = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"]


@pytest.fixture(scope="session")
def leaf_request(token: Token) -> Path:
    """Somebody else's certificate request."""
    path = token.directory / "leaf.csr"
    new = ["-newkey", "rsa:2048", "-nodes", "-keyout", token.directory / "leaf.key", "-subj", "/CN=localhost"]
    token.plain_openssl("req", "-new", *new, "-out", path)
    return path


@pytest.fixture
def database(token: Token) -> None:
    """The files of `openssl ca`, empty."""
    token.write("index.txt", "")
    token.write("index.txt.attr", "unique_subject = no\n")
    token.write("serial", "1000\n")


@pytest.mark.parametrize("name", HASHES)
def test_dgst(token: Token, key: str, name: str) -> None:
    """Dgst -sign."""
    token.engine(f"dgst -{name}", key, "-sign", "-out", "dgst.sig", "mydata")
    verify = ["-verify", token.public_key(key), "-signature", "dgst.sig"]
    assert "Verified OK" in token.plain_openssl("dgst", f"-{name}", *verify, "mydata")
    assert "failure" in token.plain_openssl("dgst", f"-{name}", *verify, "other", status=1)


def test_dgst_pss(token: Token) -> None:
    """Dgst -sign with RSA-PSS."""
    token.engine("dgst -sha256", "rsa", "-sign", *PSS, "-out", "pss.sig", "mydata")
    token.assert_verifies("rsa", "pss.sig", *PSS)


@pytest.mark.parametrize("uri", ["pkcs11:object=ec", "pkcs11:object=%65%63;type=private"])
def test_short_uri(token: Token, uri: str) -> None:
    """Dgst -sign with a URI without token, and with escapes."""
    source = f"{uri};token={token.label}?pin-source=file:{token.directory / 'pin'}"
    sign = ["-engine", "pkcs11", "-keyform", "engine", "-sign", source, "-out", "short.sig", "mydata"]
    token.run("openssl", "dgst", "-sha256", *sign)
    token.assert_verifies("ec", "short.sig")


@pytest.mark.parametrize("how", ["wrong PIN", "no such key", "no such token"])
def test_refusal(token: Token, how: str) -> None:
    """Dgst -sign is refused: exit status 1."""
    label = "nobody" if how == "no such token" else token.label
    name = "nobody" if how == "no such key" else "ec"
    pin = "87654321" if how == "wrong PIN" else "12345678"
    uri = f"pkcs11:token={label};object={name};type=private?pin-value={pin}"
    sign = ["-engine", "pkcs11", "-keyform", "engine", "-sign", uri, "-out", "none.sig", "mydata"]
    token.run("openssl", "dgst", "-sha256", *sign, status=1)


def test_pkeyutl(token: Token, key: str) -> None:
    """Pkeyutl -sign over a digest."""
    token.plain_openssl("dgst", "-sha256", "-binary", "-out", "digest", "mydata")
    options = ["-pkeyopt", "digest:sha256"]
    token.engine("pkeyutl -sign", key, "-inkey", *options, "-in", "digest", "-out", "pkeyutl.sig")
    token.assert_verifies(key, "pkeyutl.sig")


def test_public_key(token: Token, key: str) -> None:
    """Pkey -pubout: the public half."""
    uri = token.uri(key, "public", pin=False)
    shown = token.run("openssl", "pkey", "-engine", "pkcs11", "-inform", "engine", "-pubin", "-in", uri, "-pubout")
    assert shown.stdout == token.public_key(key).read_text()


def test_request(token: Token, key: str) -> None:
    """Req -new."""
    token.engine("req -new", key, "-key", "-out", "own.csr")
    assert "verify OK" in token.plain_openssl("req", "-verify", "-noout", "-in", "own.csr")


def test_self_signed_certificate(token: Token, key: str) -> None:
    """Req -x509."""
    certificate = token.certificate(key)
    assert "OK" in token.plain_openssl("verify", "-CAfile", certificate, certificate)


def test_certificate(token: Token, key: str, leaf_request: Path) -> None:
    """x509 -req -CAkey."""
    issuer = ["-CA", token.certificate(key), "-CAcreateserial", "-extfile", "openssl.cnf", "-extensions", "v3_leaf"]
    token.engine("x509 -req", key, "-CAkey", "-in", leaf_request, *issuer, "-out", "x509.pem", form="-CAkeyform")
    assert "OK" in token.plain_openssl("verify", "-CAfile", token.certificate(key), "x509.pem")


@pytest.mark.usefixtures("database")
def test_authority(token: Token, key: str, leaf_request: Path) -> None:
    """ca, ca -revoke, ca -gencrl, crl."""
    own = ["-config", "openssl.cnf", "-cert", token.certificate(key)]
    token.engine("ca -batch -notext", key, "-keyfile", *own, "-in", leaf_request, "-out", "ca.pem")
    token.engine("ca", key, "-keyfile", *own, "-revoke", "ca.pem")
    token.engine("ca -gencrl", key, "-keyfile", *own, "-out", "crl.pem")
    check = ["-crl_check", "-CRLfile", "crl.pem", "-CAfile", token.certificate(key), "ca.pem"]
    assert "certificate revoked" in token.plain_openssl("verify", *check, status=2)
    assert "verify OK" in token.plain_openssl("crl", "-in", "crl.pem", "-noout", "-CAfile", token.certificate(key))


@pytest.mark.parametrize("command", ["cms", "smime"])
def test_message(token: Token, key: str, command: str) -> None:
    """A detached signature of a message."""
    signer = ["-in", "mydata", "-signer", token.certificate(key), "-outform", "DER", "-out", "mydata.p7s"]
    token.engine(f"{command} -sign -binary", key, "-inkey", *signer)
    verify = [command, "-verify", "-binary", "-inform", "DER", "-in", "mydata.p7s", "-purpose", "any"]
    trusted = ["-CAfile", token.certificate(key), "-out", "/dev/null"]
    assert "erification successful" in token.plain_openssl(*verify, "-content", "mydata", *trusted)
    assert "failure" in token.plain_openssl(*verify, "-content", "other", *trusted, status=4)


def test_server(token: Token, key: str) -> None:
    """s_server: TLS 1.3 and 1.2."""
    port = str(free_port())
    with_key = ["-engine", "pkcs11", "-keyform", "engine", "-key", token.uri(key)]
    served = ["-accept", f"127.0.0.1:{port}", "-cert", token.certificate(key), "-www"]
    log = token.directory / f"s_server-{key}.log"
    server = Process(["openssl", "s_server", *with_key, *served], environment=token.environment, log=log)
    try:
        server.wait_for(lambda output: "ACCEPT" in output)
        for version in ("-tls1_3", "-tls1_2"):
            connect = ["-connect", f"127.0.0.1:{port}", version, "-CAfile", token.certificate(key)]
            assert "Verify return code: 0 (ok)" in token.plain_openssl("s_client", *connect)
    finally:
        server.stop()


def test_time_stamp(token: Token) -> None:
    """Ts -reply."""
    pytest.skip(f"ts -reply opens -inkey as a file and cannot take an engine's key, not {token.name}'s either")
