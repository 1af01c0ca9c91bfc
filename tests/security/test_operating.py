"""Running an appliance: what it logs and what it does not, how it speaks to systemd, where its key and options are."""

import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from privyseal.access.passwords import verify_password
from privyseal.store import users
from privyseal.store.store import Store
from support.appliance import Appliance
from support.processes import BIN, Process, base_environment, descendants, free_port

SECRETS = ("a-secret-password-1", "a-secret-password-2", "a-secret-pin-1", "a-secret-pin-2", "admin-of-a-throw-away")


def session(appliance: Appliance) -> list[str]:
    """Do everything that takes secrets, rightly and wrongly; gives the secrets that it saw."""
    appliance.passwords["carol"] = SECRETS[0]
    appliance.api("POST", "/users", {"name": "carol", "role": "operator", "password": SECRETS[0]})
    appliance.add_rule("carol", "*")
    appliance.add_key("logged", pin=SECRETS[2])
    sign = {"data": "eA==", "pin": SECRETS[2]}
    appliance.api("POST", "/cores/1/keys/logged/sign", sign, user="carol")
    appliance.api("POST", "/cores/1/keys/logged/sign", sign | {"pin": SECRETS[3]}, user="carol", check=False)
    ticket = appliance.api("POST", "/cores/1/login", {"pin": SECRETS[2]}, user="carol").json()["ticket"]
    appliance.api("POST", "/cores/1/keys/logged/sign", {"data": "eA==", "ticket": ticket}, user="carol")
    appliance.api("POST", "/cores/1/logout", {"ticket": ticket}, user="carol")
    appliance.api("POST", "/cores/1/login", {"pin": [SECRETS[2]]}, user="carol", check=False)
    appliance.api("POST", "/users", {"name": "x", "role": "none", "password": SECRETS[0]}, check=False)
    change = {"old": SECRETS[0], "new": SECRETS[1]}
    appliance.api("PUT", "/users/me/password", change, user="carol")
    appliance.api("GET", "/cores", user="carol", check=False)  # the old password
    return [*SECRETS, ticket]


def log_of(appliance: Appliance) -> str:
    """All that all its processes have written."""
    return (appliance.directory / "serve.log").read_text()


@pytest.mark.parametrize("form", ["json", "text"])
def test_no_secret_is_logged(new_appliance: Callable[..., Appliance], form: str) -> None:
    """A whole session with the most talkative settings, and a keeper that is killed: nothing is told."""
    appliance = new_appliance("--workers", "2", "--log-format", form, "--access-log")
    secrets = session(appliance)
    os.kill(appliance.keeper_process(), 9)
    deadline = time.monotonic() + 30
    while "starting it again" not in log_of(appliance):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    appliance.stop()
    log = log_of(appliance)
    assert "/api/v1/cores/1/keys/logged/sign" in log
    for secret in secrets:
        assert secret not in log
    lines = [line for line in log.splitlines() if not line.startswith("ready ")]
    if form == "json":
        documents = [json.loads(line) for line in lines]
        assert {"supervisor", "worker"} <= {document["process"] for document in documents}
        answered = [document for document in documents if document["logger"] == "privyseal.access"]
        assert {(one["method"], one["status"]) for one in answered} >= {("POST", 201), ("POST", 403), ("PUT", 204)}
        assert all(one["request"] and one["ms"] >= 0 for one in answered)


def test_output_that_is_no_terminal_is_json(new_appliance: Callable[..., Appliance]) -> None:
    """Nothing is said in quiet times but the line that it is ready."""
    appliance = new_appliance("--workers", "1")
    appliance.api("GET", "/cores")
    appliance.stop()
    for line in log_of(appliance).splitlines():
        assert line.startswith("ready ") or json.loads(line)


def test_requests_have_ids(appliance: Appliance) -> None:
    """Answers of both kinds of route, problem documents, and the caller's own id if it is a plain word."""
    plain = appliance.api("GET", "/cores").headers["x-request-id"]
    refused = appliance.api("POST", "/cores/1/keys/none/sign", {"data": "eA=="}, check=False)
    assert refused.json()["instance"] == f"urn:privyseal:request:{refused.headers['x-request-id']}"
    assert plain != refused.headers["x-request-id"]
    for path in ("/cores", "/nothing"):
        answer = appliance.api("GET", path, headers={"X-Request-Id": "mine-7"}, check=False)
        assert answer.headers["x-request-id"] == "mine-7"
    strange = appliance.api("GET", "/cores", headers={"X-Request-Id": "not plain"}).headers["x-request-id"]
    assert strange != "not plain"


def start(folder: Path, *words: str | Path, **environment: str) -> Process:
    """Start `serve` in a folder with an environment of its own."""
    password = folder / "admin.password"
    password.write_text(SECRETS[0])
    return Process(
        [BIN / "privyseal", "serve", *words],
        environment={**base_environment(), "PRIVYSEAL_ADMIN_PASSWORD_FILE": str(password), **environment},
        log=folder / "serve.log",
    )


def test_systemd_hears_when_it_is_ready_and_that_it_lives(tmp_path: Path) -> None:
    """READY when it answers, WATCHDOG while it runs, RELOADING for SIGHUP, STOPPING; children hear nothing of it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        process = start(
            tmp_path, "--data", tmp_path / "data", "--listen", f"127.0.0.1:{free_port()}", "--workers", "1",
            NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="400000",
        )  # fmt: skip
        heard = [manager.recv(1000)]
        while not any(b"READY=1" in word for word in heard):
            heard.append(manager.recv(1000))
        assert "ready https://" in process.wait_for(lambda output: "ready " in output)
        while b"WATCHDOG=1" not in heard[-1]:
            heard.append(manager.recv(1000))
        os.kill(process.pid, signal.SIGHUP)
        while b"RELOADING=1" not in heard[-1]:
            heard.append(manager.recv(1000))
        assert re.search(rb"^MONOTONIC_USEC=[0-9]+$", heard[-1], re.MULTILINE)  # Type=notify-reload wants it
        while b"READY=1" not in heard[-1]:
            heard.append(manager.recv(1000))
        for child in descendants(process.pid)[1:]:
            assert b"NOTIFY_SOCKET" not in Path(f"/proc/{child}/environ").read_bytes()
        assert process.stop() == 0
        while b"STOPPING=1" not in heard[-1]:
            heard.append(manager.recv(1000))


def test_options_come_from_a_file(tmp_path: Path) -> None:
    """With the options' names; the command line wins; the key file lies elsewhere and no child is told where."""
    port = free_port()
    config = tmp_path / "serve.toml"
    config.write_text(
        f'data = "{tmp_path}/data"\nlisten = "127.0.0.1:1"\nworkers = 1\n'
        f'key-file = "{tmp_path}/keys/unlock.key"\nlog-format = "text"\naccess-log = true\n'
    )
    (tmp_path / "keys").mkdir()
    process = start(tmp_path, "--config", config, "--listen", f"127.0.0.1:{port}")
    process.wait_for(lambda output: "ready " in output)
    assert (tmp_path / "keys" / "unlock.key").stat().st_size == 32
    assert (tmp_path / "keys" / "unlock.key").stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "data" / "unlock.key").exists()
    assert process.stop() == 0
    assert "privyseal.access: answered" in (tmp_path / "serve.log").read_text()
    process = start(tmp_path, "--config", config, "--listen", f"127.0.0.1:{port}")  # it unlocks with it again
    process.wait_for(lambda output: output.count("ready ") == 2)
    process.stop()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("wrokers = 2", "there is no option 'wrokers'; there are access-log, "),
        ("workers = [2]", "'workers' is a text, a number or true or false"),
        ("workers = 0", "'--workers'"),
        ("log-format = 'xml'", "'--log-format'"),
        ("workers =", "serve.toml: "),
        ("key-file = 'relative'", "--key-file takes an absolute path outside the data folder"),
        ("key-file = 'DATA/unlock.key'", "--key-file takes an absolute path outside the data folder"),
        ("database = 'sqlite://'\ndatabase-file = 'x'", "--database and --database-file exclude each other"),
        ("database-file = '/nowhere'", "--database-file /nowhere: No such file or directory"),
    ],
)
def test_what_a_file_must_not_say(tmp_path: Path, words: str, said: str) -> None:
    """A mistake ends it with 2 and is named."""
    config = tmp_path / "serve.toml"
    config.write_text(f"{words.replace('DATA', str(tmp_path))}\n")
    done = serve_once("--config", config, "--data", tmp_path)
    assert done.returncode == 2
    assert said in done.stderr


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Or is JSON, but no table."""
    assert "No such file" in serve_once("--config", tmp_path / "none.toml", "--data", tmp_path).stderr
    (tmp_path / "list.json").write_text("[]")
    assert "a table of options is wanted" in serve_once("--config", tmp_path / "list.json", "--data", tmp_path).stderr


def serve_once(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run `serve` where it ends by itself."""
    return subprocess.run(
        [BIN / "privyseal", "serve", *words],
        capture_output=True, text=True, env=base_environment(), timeout=60, check=False,
    )  # fmt: skip


def test_a_key_file_of_the_wrong_length(tmp_path: Path) -> None:
    """Says so and makes nothing."""
    (tmp_path / "short.key").write_bytes(b"too short")
    done = serve_once("--data", tmp_path / "data", "--key-file", tmp_path / "short.key", "--listen", "127.0.0.1:0")
    assert done.returncode == 1
    assert "short.key has 9 bytes, not 32" in done.stderr


def serving(data: Path, log: Path, **variables: str) -> Process:
    """Start `privyseal serve` on a directory, as somebody would who sets these variables."""
    words = ["serve", "--data", data, "--listen", f"127.0.0.1:{free_port()}", "--workers", "1"]
    kept = {name: value for name, value in base_environment().items() if name != "JOURNAL_STREAM"}
    return Process([BIN / "privyseal", *words], environment={**kept, **variables}, log=log)


def ready(process: Process) -> str:
    """What it has printed when it is ready; then it is stopped."""
    output = process.wait_for(lambda output: "ready " in output)
    process.stop()
    return output


def password_fits(data: Path, password: str) -> bool:
    """Whether the database's administrator has this password."""
    store = Store.in_directory(data)
    with store.read() as connection:
        admin = next(user for user in users.every(connection) if user.name == "admin")
    store.close()
    return verify_password(password, admin.password)


def test_a_generated_password_is_shown_once(tmp_path: Path) -> None:
    """At the first start, for a person at a terminal; it is the administrator's, and no later start says it again."""
    data = tmp_path / "data"
    printed = ready(serving(data, tmp_path / "1.log"))
    shown = re.search(r"^user admin password (\S+) \(shown once\)$", printed, re.MULTILINE)
    assert shown is not None
    assert password_fits(data, shown[1])
    assert "password" not in ready(serving(data, tmp_path / "2.log"))


def test_a_generated_password_does_not_go_to_the_journal(tmp_path: Path) -> None:
    """Under systemd it is a file for the administrator."""
    data = tmp_path / "data"
    output = ready(serving(data, tmp_path / "serve.log", JOURNAL_STREAM="8:1"))
    password = (data / "admin.password").read_text()
    assert password_fits(data, password)
    assert password not in output


def test_the_administrator_s_password_from_a_variable(tmp_path: Path) -> None:
    """Taken at the first start, and not printed."""
    data, password = tmp_path / "data", "chosen by the administrator"
    output = ready(serving(data, tmp_path / "serve.log", PRIVYSEAL_ADMIN_PASSWORD=password))
    assert password_fits(data, password)
    assert password not in output


def test_a_clock_behind_the_record_is_told(new_appliance: Callable[..., Appliance]) -> None:
    """An event of the record is from the future: so the clock was set back. Event, metrics, state and log say so."""
    appliance = new_appliance("--workers", "1")
    appliance.stop()
    engine = create_engine(f"sqlite:///{appliance.data / 'privyseal.db'}")
    with engine.begin() as connection:
        connection.execute(text("UPDATE events SET time = time + 3600000000"))
    engine.dispose()
    appliance.start()
    assert appliance.api("GET", "/state").json() == {"state": "operational", "warnings": ["clock-set-back"]}
    events: list[dict[str, Any]] = appliance.api("GET", "/audit/events").json()["events"]
    (found,) = [event for event in events if event["operation"] == "clock:set-back"]
    assert (found["user"], found["outcome"]) == ("appliance", "failed")
    assert re.fullmatch(r"the clock is 3[56]\d\d\.\d s behind where it was", found["reason"])
    assert "privyseal_clock_set_back_total 1" in appliance.api("GET", "/metrics").text
    assert "the clock was set back by" in log_of(appliance)
    assert appliance.api("GET", "/health/ready").status_code == 200
