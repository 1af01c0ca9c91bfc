"""Input that no good client sends: it is refused in words, nothing fails inside, and the record holds what happened."""

import base64
import contextlib
import shlex
import socket
import ssl
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from support.appliance import PIN, Appliance

SIGN = "/cores/1/keys/release/sign"
LOG_OF_TROUBLE = ("Traceback", "unexpected ")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def target(request: pytest.FixtureRequest, new_appliance: Callable[..., Appliance]) -> Appliance:
    """An appliance where alice may sign with `release` and bob has no rule; on both databases."""
    database = ["--database", request.getfixturevalue("postgresql").new_database()] * (request.param == "postgresql")
    appliance = new_appliance("--workers", "1", *database)
    for user in ("alice", "bob"):
        appliance.add_user(user)
    appliance.add_rule("alice", "release")
    appliance.add_key("release")
    return appliance


@pytest.fixture(autouse=True)
def _nothing_fails_inside(target: Appliance) -> Any:
    """No test here leaves a traceback in the log."""
    log = target.directory / "serve.log"
    before = len(log.read_text())
    yield
    assert not any(word in log.read_text()[before:] for word in LOG_OF_TROUBLE), log.read_text()[before:]


def problem(answer: httpx2.Response, *statuses: int) -> dict[str, Any]:
    """The problem document of a refusal with one of these statuses and a type of ours."""
    assert answer.status_code in statuses, f"{answer.status_code} {answer.text[:500]}"
    document: dict[str, Any] = answer.json()
    assert document["type"].removeprefix("urn:privyseal:problem:") in {
        "malformed-json", "invalid-body", "not-found", "key-not-found", "access-refused", "unauthenticated",
    }, document  # fmt: skip
    return document


DEEP = b'{"x": ' + b"[" * 100_000


@pytest.mark.parametrize("path", [SIGN, "/users", "/cores/1/keys", "/rules"])
@pytest.mark.parametrize("body", [DEEP, b"\xff\xfe", b'{"pin": "\xff"}', b"", b"[]", b"null", b"\x00", b'{"x": NaN}'])
def test_bodies_that_are_none(target: Appliance, path: str, body: bytes) -> None:
    """400 or 422, on both kinds of routes."""
    headers = {"Content-Type": "application/json"}
    problem(target._client("admin").post(f"/api/v1{path}", content=body, headers=headers), 400, 422)


@pytest.mark.parametrize("text", [r"\ud800\udc00\ud800" * 4, r"\u0000" * 8, "\U0010ffff" * 200, "' OR 1=1 --", "%00"])
def test_texts_that_are_odd(target: Appliance, text: str) -> None:
    """As label, name, password, PIN, ticket, pattern: refused, or taken as it is; never an error inside."""
    client = target._client("admin")
    for path, body in (
        ("/cores/1/keys", '{"label": "%s", "type": "ec:P-256", "pin": "12345678"}'),
        ("/users", '{"name": "%s", "role": "operator", "password": "a long password"}'),
        ("/rules", '{"user": "alice", "core": 1, "operations": ["key:read"], "keys": "%s"}'),
        ("/rules", '{"user": "%s", "core": 1, "operations": ["key:read"], "keys": "odd"}'),
        ("/rules", '{"user": "alice", "core": "%s", "operations": ["key:read"], "keys": "odd"}'),
        ("/cores", '{"name": "%s"}'),
        ("/cores/1/logout", '{"ticket": "%s"}'),
        ("/cores/1/keys", '{"label": "odd", "type": "ec:P-256", "pin": "%s"}'),
        ("/users", '{"name": "odd", "role": "operator", "password": "%s"}'),
        ("/users", '{"name": "odder", "role": "%s", "password": "a long password"}'),
    ):
        content = (body % text).encode("utf-8", "surrogatepass")
        answer = client.post(f"/api/v1{path}", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code < 500, (path, answer.text)
    content = ('{"digest": "AAAA", "pin": "%s"}' % text).encode("utf-8", "surrogatepass")  # noqa: UP031 - braces
    assert target._client("alice").post(f"/api/v1{SIGN}", content=content).status_code in (400, 403, 422, 423, 429)
    for path in ("/cores/1/keys/odd", "/users/odd"):
        target.api("DELETE", path, check=False)
    target.api("POST", "/users/alice/unlock")
    target.api("POST", "/cores/1/keys/release/unlock")


@pytest.mark.parametrize(
    "name", ["a%00b", "%FF%FE", "a" * 5000, "1" * 5000, "%0A%1B[2J", "..%2F..", "%20", "%27%3B%20rm%20-rf"]
)
@pytest.mark.parametrize("user", ["alice", "bob", "admin"])
def test_names_in_paths_that_are_odd(target: Appliance, name: str, user: str) -> None:
    """404 or 403 with an event, whatever the name of core or key is; 422 for a search that no database could do."""
    for method, path in (
        ("POST", f"/cores/1/keys/{name}/sign"),
        ("GET", f"/cores/1/keys/{name}"),
        ("GET", f"/cores/1/keys?label={name}"),
        ("DELETE", f"/cores/1/keys/{name}"),
        ("POST", f"/cores/{name}/login"),
        ("GET", f"/cores/{name}"),
        ("GET", f"/users/{name}"),
    ):
        body = {"POST": {"pin": PIN} | ({"digest": "AAAA"} if path.endswith("sign") else {})}.get(method)
        answer = target.api(method, path, body, user=user, check=False)
        if "?" in path and "%00" in name:  # no text that the appliance knows has one
            problem(answer, 422)
        elif answer.status_code != 200:  # a listing by a label that is not there is empty
            problem(answer, 403, 404)
        assert "\x1b" not in answer.text


@pytest.mark.parametrize("number", ["-1", "x", "1" * 30, "9223372036854775808", "", "1.5", "\uff11"])
def test_numbers_that_are_odd(target: Appliance, number: str) -> None:
    """Limits, cursors and rule numbers out of range are named, or nothing is there."""
    for path in (
        f"/cores/1/keys?cursor={number}",
        f"/cores/1/keys?limit={number}",
        f"/audit/events?after={number}",
        f"/audit/events?limit={number}",
        f"/cores/1/random?bytes={number}",
        f"/rules?core={number}",
    ):
        answer = target.api("GET", path, check=False)
        assert answer.status_code in (200, 404, 422), (path, answer.text)
    if number:
        problem(target.api("GET", f"/rules/{number}", check=False), 404, 422)
        problem(target.api("DELETE", f"/rules/{number}", check=False), 404, 422)


@pytest.mark.parametrize("path", ["/cores/1/keys?limit=0", "/cores/1/keys?limit=1001", "/cores/1/random?bytes=4097"])
def test_a_limit_out_of_range_is_named(target: Appliance, path: str) -> None:
    """422 with the name of the parameter."""
    field = path.partition("?")[2].partition("=")[0]
    errors = problem(target.api("GET", path, check=False), 422)["errors"]
    assert [error["field"] for error in errors] == [f"query.{field}"]


@pytest.mark.parametrize(
    "header",
    [
        "Basic",
        "Basic =",
        "Basic é",
        "Basic " + base64.b64encode(b"\xff\xff:x").decode(),
        "Basic YQ==",
        "\xff",
        "",
        "Digest x",
    ],
)
def test_headers_that_log_nobody_in(target: Appliance, header: str) -> None:
    """401, on both kinds of routes."""
    client = target._client("admin")
    headers = {b"Authorization": header.encode("latin-1")}
    for method, path in (("GET", "/cores"), ("POST", SIGN)):
        body = {"digest": "AAAA"} if method == "POST" else None
        answer = client.request(method, f"/api/v1{path}", headers=headers, auth=None, json=body)
        assert problem(answer, 401)["type"].endswith("unauthenticated")


@pytest.mark.parametrize("number", [10**30, -(10**30), 2**63, 0.5, True, None, "1"])
def test_a_salt_length_that_is_odd(target: Appliance, number: object) -> None:
    """Named, or for null taken as left out."""
    body = {"digest": base64.b64encode(bytes(32)).decode(), "hash": "SHA-256", "salt_length": number, "pin": PIN}
    answer = target.api("POST", SIGN, body, user="alice", check=False)
    assert answer.status_code == (200 if number is None else 422), answer.text


@pytest.mark.parametrize("label", ["it's", "x'; touch x; '", "$(id)", "a b"])
def test_the_missing_rule_can_be_pasted(target: Appliance, label: str) -> None:
    """A shell takes the label as one word, whatever whoever asked has put into it."""
    path = f"/cores/1/keys/{label.replace('/', '%2F').replace(' ', '%20').replace(';', '%3B').replace('$', '%24')}"
    for user in ("alice", "bob"):
        document = problem(target.api("GET", path, user=user, check=False), 403, 404)
        words = shlex.split(document["missing_rule"])
        assert words[-2:] == ["--keys", label]
        assert words[:3] == ["privyseal", "rule", "create"]


@pytest.mark.parametrize(
    "request_",
    [b"\x16\x03\x01", b"GET\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"\0" * 70_000, b"x" * 300_000],
)
def test_what_is_no_http(target: Appliance, request_: bytes) -> None:
    """The connection ends, the appliance does not."""
    context = ssl.create_default_context(cafile=target.ca_file)
    with (
        socket.create_connection(("127.0.0.1", target.port), 10) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as sock,
        contextlib.suppress(OSError),
    ):
        sock.sendall(request_)
        sock.recv(65536)
    assert target.api("GET", "/health/ready").json() == {"state": "operational"}
