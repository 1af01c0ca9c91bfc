"""One and the same module on every Debian release that we name, with that release's own OpenSSL, in a chroot.

Always true: the programs that make something are the chroot's and the one that judges it is this machine's openssl,
without the module; a provider has no quirk set, and no command may end by a signal.
"""

import filecmp
import subprocess
from collections.abc import Callable, Iterator

import pytest

from support import hosts
from support.appliance import PIN
from support.hosts import Guest
from support.processes import free_port
from support.tokens import Token

pytestmark = [pytest.mark.interop, pytest.mark.program("openssl", "openssl")]
ROADS = {
    "bullseye": ["engine"],
    "trixie": ["provider", "engine"],
    "forky": ["provider"],
    "openssl4": ["provider"],
}
PAIRS = [(name, road) for name, roads in ROADS.items() for road in roads]


@pytest.fixture(scope="session")
def guests(our_token: Token) -> Iterator[Callable[[str, str], Guest]]:
    """A guest's directory for each host and road, made when first asked for."""
    made: dict[tuple[str, str], Guest] = {}

    def guest(host: str, road: str) -> Guest:
        if (host, road) not in made:
            made[host, road] = hosts.write_guest(hosts.make(host), road, our_token)
        return made[host, road]

    yield guest
    for written in made.values():
        written.remove()


@pytest.fixture(params=PAIRS, ids=["-".join(pair) for pair in PAIRS])
def pair(request: pytest.FixtureRequest) -> tuple[str, str]:
    """A host and the road that its openssl takes to the module."""
    given: tuple[str, str] = request.param
    return given


@pytest.fixture
def guest(pair: tuple[str, str], guests: Callable[[str, str], Guest]) -> Guest:
    """Where the test's commands run."""
    return guests(*pair)


@pytest.fixture
def authority(guest: Guest, key: str) -> str:
    """A self-signed certificate of the key, made on the host."""
    name = f"{key}.cert.pem"
    if not guest.path(name).exists():
        wanted = ["-x509", "-days", "30", "-config", "commands.cnf", "-extensions", "v3_ca", "-out", name]
        guest.openssl("req", "-new", *guest.with_key("-key", key), *wanted)
    return name


@pytest.fixture
def request_file(guest: Guest) -> str:
    """A certificate request of somebody else's, with a key in a file."""
    name = "leaf.csr"
    if not guest.path(name).exists():
        new = ["-newkey", "rsa:2048", "-nodes", "-keyout", "leaf.key", "-subj", "/CN=localhost"]
        judge(guest, "req", "-new", *new, "-out", name)
    return name


def judge(guest: Guest, *arguments: str, status: int = 0) -> str:
    """This machine's openssl, in the guest's directory."""
    done = subprocess.run(
        ["openssl", *arguments],
        cwd=guest.directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": "/usr/bin:/bin", "OPENSSL_CONF": "/etc/ssl/openssl.cnf"},
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def public_key(guest: Guest, token: Token, key: str) -> str:
    """The public half as this machine read it from the token."""
    guest.path(f"{key}.pub.pem").write_bytes(token.public_key(key).read_bytes())
    return f"{key}.pub.pem"


def test_signs_a_file(guest: Guest, our_token: Token, key: str) -> None:
    """Dgst -sign; verified by another OpenSSL."""
    assert filecmp.cmp(guest.path("privyseal-pkcs11.so"), our_token.module, shallow=False)
    guest.openssl("dgst", "-sha256", *guest.with_key("-sign", key), "-out", f"{key}.sig", "mydata")
    verify = ["-verify", public_key(guest, our_token, key), "-signature", f"{key}.sig"]
    assert "Verified OK" in judge(guest, "dgst", "-sha256", *verify, "mydata")
    assert "failure" in judge(guest, "dgst", "-sha256", *verify, "pin", status=1)
    assert "Verified OK" in guest.openssl("dgst", "-sha256", *verify, "mydata")


@pytest.mark.parametrize("pin", ["wrong-pin", "no-such-file"])
def test_refuses_and_lives(guest: Guest, pin: str) -> None:
    """Dgst -sign with a PIN that is wrong or not there: exit status 1, not that of a crash."""
    guest.openssl("dgst", "-sha256", *guest.with_key("-sign", "ec", pin=pin), "-out", "none.sig", "mydata", status=1)


def test_key_that_is_not_there(guest: Guest) -> None:
    """Dgst -sign with a key that the token has not: exit status 1."""
    guest.openssl("dgst", "-sha256", *guest.with_key("-sign", "nobody"), "-out", "none.sig", "mydata", status=1)


def test_makes_a_request(guest: Guest, key: str) -> None:
    """Req -new: a certificate request whose signature verifies."""
    guest.openssl("req", "-new", *guest.with_key("-key", key), "-config", "commands.cnf", "-out", f"{key}.csr")
    assert "verify OK" in judge(guest, "req", "-verify", "-noout", "-in", f"{key}.csr")


def test_issues_a_certificate(guest: Guest, authority: str, request_file: str, key: str) -> None:
    """x509 -req -CAkey: a leaf certificate that verifies."""
    issuer = ["-CA", authority, *guest.with_key("-CAkey", key, "-CAkeyform"), "-CAcreateserial"]
    extensions = ["-extfile", "commands.cnf", "-extensions", "v3_leaf"]
    guest.openssl("x509", "-req", "-in", request_file, *issuer, *extensions, "-out", f"{key}.leaf.pem")
    assert "OK" in judge(guest, "verify", "-CAfile", authority, f"{key}.leaf.pem")


def test_issues_a_certificate_without_extensions(guest: Guest, authority: str, request_file: str, key: str) -> None:
    """x509 -req without -extfile, which OpenSSL 4 reads from the configuration's default section."""
    issuer = ["-CA", authority, *guest.with_key("-CAkey", key, "-CAkeyform"), "-CAcreateserial"]
    guest.openssl("x509", "-req", "-in", request_file, *issuer, "-out", f"{key}.bare.pem")
    assert "OK" in judge(guest, "verify", "-CAfile", authority, f"{key}.bare.pem")


def test_runs_a_certification_authority(guest: Guest, authority: str, request_file: str, key: str) -> None:
    """ca, ca -revoke and ca -gencrl: a certificate, then a list that names it."""
    guest.path("index.txt").write_text("")
    guest.path("serial").write_text("1000\n")
    guest.path("index.txt.attr").write_text("unique_subject = no\n")
    issuer = ["-config", "commands.cnf", "-cert", authority, *guest.with_key("-keyfile", key)]
    guest.openssl("ca", "-batch", *issuer, "-in", request_file, "-out", f"{key}.ca.pem", "-notext")
    assert "OK" in judge(guest, "verify", "-CAfile", authority, f"{key}.ca.pem")
    guest.openssl("ca", *issuer, "-revoke", f"{key}.ca.pem")
    guest.openssl("ca", *issuer, "-gencrl", "-out", f"{key}.crl.pem")
    check = ["-crl_check", "-CRLfile", f"{key}.crl.pem", "-CAfile", authority]
    assert "certificate revoked" in judge(guest, "verify", *check, f"{key}.ca.pem", status=2)


def test_signs_a_message(guest: Guest, authority: str, key: str) -> None:
    """Cms -sign: a detached signature that verifies."""
    made = ["-in", "mydata", "-signer", authority, "-outform", "DER", "-out", f"{key}.p7s"]
    guest.openssl("cms", "-sign", "-binary", *guest.with_key("-inkey", key), *made)
    verify = ["cms", "-verify", "-binary", "-inform", "DER", "-in", f"{key}.p7s", "-content", "mydata"]
    assert "erification successful" in judge(
        guest, *verify, "-CAfile", authority, "-purpose", "any", "-out", "/dev/null"
    )


def test_serves_tls(guest: Guest, authority: str, key: str) -> None:
    """s_server: a handshake of TLS 1.3 and one of TLS 1.2 with the key in the appliance."""
    port = str(free_port())
    served = ["-accept", f"127.0.0.1:{port}", "-cert", authority, "-www"]
    server = guest.serve("s_server", *guest.with_key("-key", key), *served)
    try:
        server.wait_for(lambda output: "ACCEPT" in output)
        for version in ("-tls1_3", "-tls1_2"):
            connect = ["-connect", f"127.0.0.1:{port}", version, "-CAfile", authority, "-verify_return_error"]
            assert "Verify return code: 0 (ok)" in judge(guest, "s_client", *connect)
    finally:
        server.stop()


def test_stamps_time(guest: Guest, pair: tuple[str, str], authority: str, key: str) -> None:
    """Ts -reply, with the URI in a PEM file: a time stamp that verifies."""
    if pair[1] == "engine":
        pytest.skip("ts -reply opens -inkey as a file and cannot take an engine's key")
    named = ["-config", "commands.cnf", "-subj", "/CN=clock"]
    guest.openssl("req", "-new", *guest.with_key("-key", key), *named, "-out", "tsa.csr")
    issuer = ["-CA", authority, *guest.with_key("-CAkey", key), "-CAcreateserial"]
    extensions = ["-extfile", "commands.cnf", "-extensions", "v3_tsa"]
    guest.openssl("x509", "-req", "-in", "tsa.csr", *issuer, *extensions, "-out", f"{key}.tsa.pem")
    judge(guest, "ts", "-query", "-data", "mydata", "-sha256", "-cert", "-out", "query.tsq")
    signer = ["-signer", f"{key}.tsa.pem", "-inkey", guest.uri_file(key)]
    guest.openssl("ts", "-reply", "-config", "commands.cnf", "-queryfile", "query.tsq", *signer, "-out", "stamp.tsr")
    assert "Verification: OK" in judge(
        guest, "ts", "-verify", "-data", "mydata", "-in", "stamp.tsr", "-CAfile", authority
    )


@pytest.mark.program("OpenSC pkcs11-tool", "opensc")
def test_pkcs11_tool(guest: Guest, our_token: Token) -> None:
    """-T, -O and --sign, which this machine's openssl verifies."""
    tool = ["pkcs11-tool", "--module", guest.inside("privyseal-pkcs11.so"), "--token-label", guest.token_label]
    assert guest.token_label in guest.run(*tool, "-T")
    assert "Private Key Object" in guest.run(*tool, "-O")
    signed = [
        "--sign",
        "--mechanism",
        "SHA256-RSA-PKCS",
        "--id",
        our_token.ids["rsa"],
        "-i",
        "mydata",
        "-o",
        "tool.sig",
    ]
    guest.run(*tool, "--login", "--pin", PIN, *signed)
    verify = ["-verify", public_key(guest, our_token, "rsa"), "-signature", "tool.sig"]
    assert "Verified OK" in judge(guest, "dgst", "-sha256", *verify, "mydata")


@pytest.mark.program("p11tool", "gnutls-bin")
def test_p11tool(guest: Guest) -> None:
    """--list-token-urls and --list-all."""
    tool = ["p11tool", "--provider", guest.inside("privyseal-pkcs11.so")]
    assert f"token={guest.token_label}" in guest.run(*tool, "--list-token-urls")
    assert "object=ec;type=private" in guest.run(*tool, "--list-all", f"pkcs11:token={guest.token_label};object=ec")
