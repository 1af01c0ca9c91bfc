"""How the appliance is reached: by every name and address of its machine, by TLS 1.2 and 1.3, with one CA to trust."""

import hashlib
import re
import socket
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from privyseal.tls import local_names
from support.appliance import PIN, Appliance
from support.host import Host


@pytest.fixture(scope="module")
def everywhere(new_appliance: Callable[..., Appliance]) -> Appliance:
    """An appliance that listens on all addresses, with a key of alice's."""
    appliance = new_appliance(address="0.0.0.0")  # noqa: S104 - that is what the tests are about
    appliance.add_user("alice")
    appliance.add_rule("alice")
    appliance.add_key("release")
    return appliance


def trusting(appliance: Appliance) -> ssl.SSLContext:
    """A client that trusts the appliance's CA alone, and checks names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(appliance.ca_file)
    return context


def version(appliance: Appliance, context: ssl.SSLContext, name: str = "127.0.0.1") -> str | None:
    """Connect to a name, and give the version of TLS that was agreed on."""
    with (
        socket.create_connection((name, appliance.port), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname=name) as connection,
    ):
        return connection.version()


def is_reachable(name: str) -> bool:
    """Whether a name has an IPv4 address here; the appliance of these tests listens on no other."""
    try:
        return bool(socket.getaddrinfo(name, None, socket.AF_INET))
    except OSError:
        return False


def test_every_local_name_and_address_is_in_the_certificate(everywhere: Appliance) -> None:
    """The client checks the name that it connected to, each time."""
    names = [name for name in sorted(local_names()) if is_reachable(name)]
    assert {"localhost", "127.0.0.1"} <= set(names)
    assert {version(everywhere, trusting(everywhere), name) for name in names} == {"TLSv1.3"}


def test_another_name_is_refused(everywhere: Appliance) -> None:
    """127.0.0.2 leads to the appliance, but is no address of any interface."""
    with pytest.raises(ssl.SSLCertVerificationError, match=r"not valid for '127\.0\.0\.2'"):
        version(everywhere, trusting(everywhere), "127.0.0.2")


@pytest.mark.parametrize(("only", "agreed"), [(ssl.TLSVersion.TLSv1_3, "TLSv1.3"), (ssl.TLSVersion.TLSv1_2, "TLSv1.2")])
def test_versions_that_are_spoken(everywhere: Appliance, only: ssl.TLSVersion, agreed: str) -> None:
    """1.3, and 1.2 for those who have no other."""
    context = trusting(everywhere)
    context.minimum_version = context.maximum_version = only
    assert version(everywhere, context) == agreed


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # that is what the test is about
def test_an_old_version_is_refused(everywhere: Appliance) -> None:
    """A client that offers 1.1 at most, and would take any cipher."""
    context = trusting(everywhere)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match=r"EOF|(?i:protocol.version)"):  # it hangs up, or says why
        version(everywhere, context)


def test_the_fingerprint_is_the_ca_s(everywhere: Appliance) -> None:
    """The one that `serve` prints is what openssl computes of the file that hosts trust."""
    shown = re.search(r"fingerprint (sha256:[0-9a-f]{64})$", everywhere.ready_line)
    assert shown is not None
    der = subprocess.run(
        ["openssl", "x509", "-in", everywhere.ca_file, "-outform", "DER"], capture_output=True, check=True
    ).stdout
    assert shown[1] == f"sha256:{hashlib.sha256(der).hexdigest()}"


def test_the_fingerprint_is_enough_for_a_host(everywhere: Appliance, new_host: Callable[..., Host]) -> None:
    """A host that has no CA file signs with nothing else to trust."""
    fingerprint = everywhere.ready_line.rsplit(" ", 1)[1]
    host = new_host(everywhere, user="alice", fingerprint=fingerprint, url=everywhere.url)
    text = host.config.read_text()
    host.config.write_text(re.sub(r',\s*"ca_file": "[^"]*"', "", text))
    assert "ca_file" not in host.config.read_text()
    assert signs(host).returncode == 0


def test_a_wrong_name_is_told_with_the_right_ones(everywhere: Appliance, new_host: Callable[..., Host]) -> None:
    """The module's log has the expected name and those that it found."""
    host = new_host(everywhere, user="alice", url=f"https://127.0.0.2:{everywhere.port}")
    assert signs(host).returncode != 0
    told = host.log.read_text()
    assert "127.0.0.2" in told
    assert "127.0.0.1" in told
    assert "localhost" in told


def signs(host: Host) -> subprocess.CompletedProcess[str]:
    """Sign a file with openssl on a host."""
    Path(host.directory / "file").write_text("to be signed\n")
    uri = f"pkcs11:token=core1;object=release?pin-value={PIN}"
    words = ["openssl", "dgst", "-sha256", "-engine", "pkcs11", "-keyform", "engine", "-sign", uri, "-out", "sig"]
    return host.run(*words, "file", check=False)
