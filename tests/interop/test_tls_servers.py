"""nginx and curl with a TLS key on the token: a server that loads, forks and reloads, and a client certificate."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.hosts import OPENSSL_CNF as COMMANDS
from support.processes import Process, free_port
from support.tokens import Token
from support.waiting import wait_until

pytestmark = pytest.mark.interop
ENGINE_CNF = """\
openssl_conf = with_engine
{commands}
[with_engine]
engines = engine_list
[engine_list]
pkcs11 = pkcs11_engine
[pkcs11_engine]
engine_id = pkcs11
MODULE_PATH = {module}
init = 1
"""
NGINX_CONF = """\
daemon off;
master_process on;
worker_processes 2;
error_log {directory}/nginx-error.log info;
pid {directory}/nginx.pid;
env PRIVYSEAL_CONFIG;
env SOFTHSM2_CONF;
env OPENSSL_CONF;
events {{}}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {certificate};
        ssl_certificate_key "engine:pkcs11:{uri}";
        ssl_session_cache off;
        ssl_session_tickets off;
        location / {{ return 200 "served\\n"; }}
    }}
}}
"""


@pytest.fixture
def engine_cnf(token: Token) -> Path:
    """A configuration that loads the engine at once, which nginx and curl need."""
    return token.write("engine.cnf", ENGINE_CNF.format(commands=COMMANDS, module=token.module))


@pytest.fixture
def nginx(token: Token, key: str, engine_cnf: Path, needs: Callable[..., None]) -> Iterator[tuple[Process, int]]:
    """An nginx with two workers whose key is on the token."""
    needs("/usr/sbin/nginx")
    port = free_port()
    certificate = token.certificate(key)
    conf = NGINX_CONF.format(directory=token.directory, port=port, certificate=certificate, uri=token.uri(key))
    own = token.write(f"nginx-{key}.conf", f"user root;\n{conf}")
    server = Process(
        ["/usr/sbin/nginx", "-c", own, "-e", token.directory / "nginx-start.log"],
        environment={**token.environment, "OPENSSL_CONF": str(engine_cnf)},
        log=token.directory / f"nginx-{key}.log",
    )
    try:
        wait_for_worker(token, server, 2)
        yield server, port
    finally:
        server.stop(signal.SIGQUIT)
        (token.directory / "nginx-error.log").unlink(missing_ok=True)


def wait_for_worker(token: Token, server: Process, count: int) -> None:
    """Wait until so many workers have started."""
    log = token.directory / "nginx-error.log"

    def started() -> bool:
        assert server.status is None, server.log.read_text()
        return log.exists() and log.read_text().count("start worker process ") >= count

    wait_until(started, seconds=30)


def fetch(port: int, times: int) -> list[str]:
    """Ask the server that often, each time over a connection of its own."""
    command = ["curl", "-sS", "--insecure", f"https://localhost:{port}/"]  # s_client checks certificates elsewhere
    done = [subprocess.run(command, capture_output=True, text=True, check=False, timeout=60) for _ in range(times)]
    return [answer.stdout or answer.stderr for answer in done]


@pytest.mark.program("nginx", "nginx")
def test_serves(nginx: tuple[Process, int]) -> None:
    """Serves TLS from its workers, which forked after the key was loaded."""
    assert fetch(nginx[1], 8) == ["served\n"] * 8


@pytest.mark.program("nginx", "nginx")
def test_reloads(token: Token, nginx: tuple[Process, int]) -> None:
    """Reloads its configuration and serves on from new workers."""
    server, port = nginx
    fetch(port, 1)
    master = int((token.directory / "nginx.pid").read_text())
    os.kill(master, signal.SIGHUP)
    wait_for_worker(token, server, 4)
    assert fetch(port, 8) == ["served\n"] * 8


@pytest.mark.program("curl", "curl")
def test_client_certificate(token: Token, key: str, engine_cnf: Path) -> None:
    """Proves who it is with a client key on the token."""
    port = str(free_port())
    token.plain_openssl(
        *["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "server.key", "-out", "server.pem"],
        *["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2"],
    )
    served = ["-accept", f"127.0.0.1:{port}", "-cert", "server.pem", "-key", "server.key", "-www"]
    asked = ["-Verify", "1", "-verify_return_error", "-CAfile", token.certificate(key)]
    server = Process(
        ["env", "-C", token.directory, "openssl", "s_server", *served, *asked],
        environment={**token.environment, "OPENSSL_CONF": "/etc/ssl/openssl.cnf"},
        log=token.directory / f"curl-server-{key}.log",
    )
    try:
        server.wait_for(lambda output: "ACCEPT" in output)
        proof = ["--engine", "pkcs11", "--key-type", "ENG", "--key", token.uri(key), "--cert", token.certificate(key)]
        url = f"https://localhost:{port}/"
        command = ["curl", "-sS", "--cacert", token.directory / "server.pem", *proof, url]
        shown = token.run(*command, OPENSSL_CONF=str(engine_cnf)).stdout
    finally:
        server.stop()
    assert f"{key} of {token.name}" in shown
