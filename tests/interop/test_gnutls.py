"""GnuTLS: p11tool, certtool and its server, and p11-kit below them, on our token and on SoftHSM2's."""

import re
import shutil
import tempfile
from pathlib import Path

import pytest

from support.appliance import PIN
from support.processes import Process, free_port
from support.tokens import Token
from support.waiting import wait_until

pytestmark = pytest.mark.program("GnuTLS p11tool, certtool", "gnutls-bin")
TEMPLATE = 'cn = "gnutls.test"\nca\ncert_signing_key\nserial = 7\nexpiration_days = 30\n'


def p11tool(token: Token, *arguments: str) -> str:
    """Run p11tool with the PIN where it looks for one."""
    return token.run("p11tool", "--provider", token.module, *arguments, GNUTLS_PIN=PIN).stdout


def certtool(token: Token, *arguments: str | Path) -> None:
    """Run certtool with a template."""
    token.write("template", TEMPLATE)
    token.run("certtool", "--provider", token.module, "--template", "template", *arguments, GNUTLS_PIN=PIN)


def halves(token: Token, key: str) -> list[str]:
    """The options that give certtool both halves of a key."""
    private, public = token.uri(key, pin=False), token.uri(key, "public", pin=False)
    return ["--load-privkey", private, "--load-pubkey", public]


def test_token_urls(token: Token) -> None:
    """p11tool --list-token-urls."""
    assert f"token={token.label}" in p11tool(token, "--list-token-urls")


def test_lists(token: Token) -> None:
    """p11tool --login --list-all."""
    shown = p11tool(token, "--login", "--list-all", f"pkcs11:token={token.label}")
    assert [len(re.findall(f"^\\s+Label: {key}$", shown, re.MULTILINE)) for key in ("ec", "rsa")] == [2, 2]


def test_mechanisms(token: Token) -> None:
    """p11tool --list-mechanisms."""
    assert "CKM_ECDSA" in p11tool(token, "--list-mechanisms", f"pkcs11:token={token.label}")


def test_public_key(token: Token, key: str) -> None:
    """p11tool --export-pubkey."""
    shown = p11tool(token, "--login", "--export-pubkey", token.uri(key, pin=False))
    assert token.public_key(key).read_text() in shown


def test_test_sign(token: Token, key: str) -> None:
    """p11tool --test-sign: signs and verifies."""
    named = ["--login", "--test-sign", token.uri(key, pin=False)]
    said = token.run("p11tool", "--provider", token.module, *named, GNUTLS_PIN=PIN)
    assert [line.partition("... ")[2] for line in said.stderr.splitlines()] == ["ok"] * 3, said.stderr


def test_random(token: Token) -> None:
    """p11tool --generate-random."""
    p11tool(token, "--generate-random", "32", "--outfile", "gnutls.random", f"pkcs11:token={token.label}")
    assert len((token.directory / "gnutls.random").read_bytes()) == 32


def test_request(token: Token, key: str) -> None:
    """Certtool --generate-request with a pkcs11: key."""
    certtool(token, "--generate-request", *halves(token, key), "--outfile", "gnutls.csr")
    assert "verify OK" in token.plain_openssl("req", "-verify", "-noout", "-in", "gnutls.csr")


def test_self_signed(token: Token, key: str) -> None:
    """Certtool --generate-self-signed with a pkcs11: key."""
    certtool(token, "--generate-self-signed", *halves(token, key), "--outfile", "gnutls.pem")
    assert "OK" in token.plain_openssl("verify", "-CAfile", "gnutls.pem", "gnutls.pem")


def test_certificate(token: Token, key: str) -> None:
    """Certtool --generate-certificate with a pkcs11: authority."""
    new = ["-newkey", "rsa:2048", "-nodes", "-keyout", "gnutls.key", "-subj", "/CN=leaf", "-out", "leaf.csr"]
    token.plain_openssl("req", "-new", *new)
    issuer = ["--load-ca-certificate", token.certificate(key), "--load-ca-privkey", token.uri(key, pin=False)]
    certtool(token, "--generate-certificate", "--load-request", "leaf.csr", *issuer, "--outfile", "leaf.pem")
    assert "OK" in token.plain_openssl("verify", "-CAfile", token.certificate(key), "leaf.pem")


def test_crl(token: Token, key: str) -> None:
    """Certtool --generate-crl with a pkcs11: authority."""
    token.write("crl-template", "crl_next_update = 30\ncrl_number = 1\n")
    issuer = ["--load-ca-certificate", token.certificate(key), "--load-ca-privkey", token.uri(key, pin=False)]
    made = ["--generate-crl", *issuer, "--outfile", "gnutls.crl"]
    token.run(*["certtool", "--provider", token.module, "--template", "crl-template"], *made, GNUTLS_PIN=PIN)
    assert "verify OK" in token.plain_openssl("crl", "-in", "gnutls.crl", "-noout", "-CAfile", token.certificate(key))


def test_signed_message(token: Token, key: str) -> None:
    """Certtool --p7-sign with a pkcs11: key."""
    signer = ["--load-privkey", token.uri(key, pin=False), "--load-certificate", token.certificate(key)]
    certtool(token, "--p7-sign", *signer, "--infile", "mydata", "--outfile", "gnutls.p7s")
    verify = ["-inform", "PEM", "-in", "gnutls.p7s", "-CAfile", token.certificate(key), "-purpose", "any"]
    assert "successful" in token.plain_openssl("smime", "-verify", *verify, "-out", "/dev/null")


def test_server(token: Token, key: str) -> None:
    """gnutls-serv: a handshake."""
    port = str(free_port())
    files = ["--x509keyfile", token.uri(key, pin=False), "--x509certfile", token.certificate(key)]
    command = ["gnutls-serv", "--provider", token.module, "--port", port, "--http", *files]
    environment = {**token.environment, "GNUTLS_PIN": PIN}
    server = Process(command, environment=environment, log=token.directory / f"gnutls-serv-{key}.log")
    try:
        server.wait_for(lambda output: "listening on" in output)
        connect = ["-connect", f"127.0.0.1:{port}", "-CAfile", token.certificate(key)]
        assert "Verify return code: 0 (ok)" in token.plain_openssl("s_client", *connect)
    finally:
        server.stop()


@pytest.mark.program("p11-kit", "p11-kit")
def test_remoting(token: Token) -> None:
    """p11-kit server: another process's pkcs11-tool signs through its client module."""
    (client,) = Path("/usr/lib").glob("*/pkcs11/p11-kit-client.so")
    socket = Path(tempfile.mkdtemp(prefix="privyseal-p11-kit-")) / "socket"  # short: a path of a socket has 107 bytes
    command = ["p11-kit", "server", "-f", "-n", socket, "--provider", token.module, f"pkcs11:token={token.label}"]
    log = token.directory / "p11-kit.log"
    server = Process(command, environment={**token.environment, "XDG_RUNTIME_DIR": str(token.directory)}, log=log)
    try:
        wait_until(socket.exists, seconds=30)
        chosen = ["--sign", "--id", token.ids["ec"], "-m", "ECDSA", "-i", "digest", "-o", "remote.sig"]
        der = ["--signature-format", "openssl", "--login", "--pin", PIN]
        token.plain_openssl("dgst", "-sha256", "-binary", "-out", "digest", "mydata")
        token.run("pkcs11-tool", "--module", client, *chosen, *der, P11_KIT_SERVER_ADDRESS=f"unix:path={socket}")
    finally:
        server.stop()
        shutil.rmtree(socket.parent)
    token.assert_verifies("ec", "remote.sig")
