"""A request with an idempotency key is carried out once, however often and wherever it comes."""

import base64
import hashlib
import json
import re
import socket
import ssl
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from privyseal.rest.api import framework
from support import acts
from support.appliance import PIN, Appliance
from support.postgresql import PostgreSQL
from support.waiting import wait_until

SIGN = "/cores/1/keys/release/sign"
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def pair(request: pytest.FixtureRequest, new_appliance: Callable[..., Appliance]) -> Appliance:
    """An appliance with two workers on either database, a key `release` and alice who may sign with it."""
    more = []
    if request.param == "postgresql":
        server: PostgreSQL = request.getfixturevalue("postgresql")
        more = ["--database", server.new_database()]
    appliance = new_appliance("--workers", "2", *more)
    appliance.add_key("release")
    appliance.add_user("alice")
    appliance.add_rule("alice", "*", operations=["key:read", "key:sign", "key:generate"])
    return appliance


def sign_body(**more: object) -> dict[str, object]:
    """A body to sign that nobody else signs, so that its events are found."""
    digest = hashlib.sha256(uuid.uuid4().bytes).digest()
    return {"digest": base64.b64encode(digest).decode(), "hash": "SHA-256", "pin": PIN} | more


def new_client(appliance: Appliance, user: str = "alice") -> httpx2.Client:
    """A client with a connection of its own, so that any worker may have it."""
    context = ssl.create_default_context(cafile=appliance.ca_file)
    auth = (user, appliance.passwords[user])
    return httpx2.Client(base_url=f"{appliance.url}/api/v1", auth=auth, verify=context, trust_env=False, timeout=60)


def post(
    appliance: Appliance, path: str, body: dict[str, Any] | None, key: str, user: str = "alice"
) -> httpx2.Response:
    """Send a request on a new connection."""
    with new_client(appliance, user) as client:
        if body is None:
            return client.post(path, headers={"Idempotency-Key": key})
        return client.post(path, content=_bytes(body), headers={"Idempotency-Key": key, **JSON})


def _bytes(body: dict[str, Any]) -> bytes:
    """A body as it is sent each time: a repetition has the same bytes."""
    return json.dumps(body).encode()


def events(appliance: Appliance, fits: Callable[[dict[str, Any]], bool]) -> list[str]:
    """The outcomes of the events that fit."""
    found: list[str] = []
    after: int | None = 0
    while after is not None:
        page = appliance.api("GET", f"/audit/events?after={after}&limit=1000").json()
        found += [event["outcome"] for event in page["events"] if fits(event)]
        after = page["next"]
    return found


def signatures(appliance: Appliance, body: dict[str, object]) -> list[str]:
    """The outcomes of all attempts to sign what a body asks for."""
    mark = hashlib.sha256(base64.b64decode(str(body["digest"]))).hexdigest()
    return events(appliance, lambda event: event["input"] == mark)


def send_and_hang_up(appliance: Appliance, path: str, body: dict[str, object], key: str) -> None:
    """Send a whole request and cut the connection before its answer."""
    context = ssl.create_default_context(cafile=appliance.ca_file)
    content = _bytes(body)
    login = base64.b64encode(f"alice:{appliance.passwords['alice']}".encode()).decode()
    head = (
        f"POST /api/v1{path} HTTP/1.1\r\nHost: appliance\r\nAuthorization: Basic {login}\r\nIdempotency-Key: {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", appliance.port)) as plain:
        secure = context.wrap_socket(plain, server_hostname="127.0.0.1")
        secure.sendall(head.encode() + content)
        secure.close()


def test_the_same_answer_comes_again(pair: Appliance) -> None:
    """Six connections over two workers get one signature; all but the first are told that it is a repetition."""
    body, key = sign_body(), str(uuid.uuid4())
    answers = [post(pair, SIGN, body, key) for _ in range(6)]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert [answer.headers.get("idempotency-replayed") for answer in answers] == [None] + ["true"] * 5
    outcomes = signatures(pair, body)
    assert outcomes.count("done") == 1
    assert set(outcomes) <= {"done", "dropped"}
    assert len(outcomes) <= 2  # the other worker found out when it had signed


def test_two_hundred_at_once_are_one_event(pair: Appliance) -> None:
    """Whoever comes while the first is under way gets its answer too."""
    body, key = sign_body(), str(uuid.uuid4())
    start = threading.Barrier(20)

    def run(_: int) -> set[bytes]:
        with new_client(pair) as client:
            client.get("/health/alive")
            start.wait()
            asked = (client.post(SIGN, json=body, headers={"Idempotency-Key": key}) for _ in range(10))
            return {answer.content for answer in asked if answer.status_code == 200}

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(run, range(20)))
    assert all(len(found) == 1 for found in answers)
    assert len(set.union(*answers)) == 1
    outcomes = signatures(pair, body)
    assert outcomes.count("done") == 1
    assert len(outcomes) <= 2


def test_another_content_is_refused(pair: Appliance) -> None:
    """Another digest, another PIN or another path with a used key: 422, and nothing leaves."""
    body, key = sign_body(), str(uuid.uuid4())
    assert post(pair, SIGN, body, key).status_code == 200
    verification = {"digest": body["digest"], "hash": "SHA-256", "signature": "AAAA"}
    others = [(SIGN, sign_body()), (f"{SIGN}?x=1", body), (SIGN.replace("sign", "verify"), verification)]
    for path, other in others:
        for _ in range(4):
            answer = post(pair, path, other, key)
            assert answer.status_code == 422
            assert answer.json()["type"] == "urn:privyseal:problem:idempotency-key-reused"
    assert set(signatures(pair, body)) <= {"done", "dropped"}


def test_a_wrong_pin_gets_no_answer(pair: Appliance) -> None:
    """The content is compared with its PIN: what another PIN was answered is not told."""
    body, key = sign_body(), str(uuid.uuid4())
    assert post(pair, SIGN, body, key).status_code == 200
    answer = post(pair, SIGN, body | {"pin": "not the PIN"}, key)
    assert answer.status_code in (403, 422)
    assert "signature" not in answer.json()
    assert post(pair, SIGN, body, str(uuid.uuid4())).status_code == 200  # the right one forgives


@pytest.mark.parametrize("_", range(5))
def test_a_cut_connection_neither_signs_twice_nor_makes_two_keys(pair: Appliance, _: int) -> None:
    """The client sends, hangs up, and asks again at once, as ours do."""
    body, key = sign_body(), str(uuid.uuid4())
    send_and_hang_up(pair, SIGN, body, key)
    assert post(pair, SIGN, body, key).status_code == 200
    assert signatures(pair, body).count("done") == 1
    label, key = f"made-{uuid.uuid4()}", str(uuid.uuid4())
    new = {"label": label, "type": "ec:P-256", "pin": PIN}
    send_and_hang_up(pair, "/cores/1/keys", new, key)
    answer = post(pair, "/cores/1/keys", new, key)
    assert (answer.status_code, answer.json()["label"]) == (201, label)
    made = events(pair, lambda event: label in str(event["reason"]) and event["operation"] == "key:generate")
    assert made.count("done") == 1


def test_every_change_is_made_once(pair: Appliance) -> None:
    """What makes something gives the same document again, with its status; what gives nothing gives nothing."""
    name = f"user-{uuid.uuid4().hex[:8]}"
    requests: list[tuple[str, dict[str, Any], int]] = [
        ("/users", {"name": name, "role": "operator", "password": "a password of it"}, 201),
        ("/rules", {"user": name, "core": 1, "operations": ["key:read"], "keys": name}, 201),
        ("/cores", {"name": name}, 201),
        ("/cores/1/keys/release/unlock", {}, 204),
        (f"/users/{name}/unlock", {}, 204),
    ]
    for path, body, status in requests:
        key = str(uuid.uuid4())
        answers = [post(pair, path, body, key, "admin") for _ in range(4)]
        assert {answer.status_code for answer in answers} == {status}, answers[-1].text
        assert len({answer.content for answer in answers}) == 1
        assert [answer.headers.get("idempotency-replayed") for answer in answers] == [None, "true", "true", "true"]
    assert len(pair.api("GET", f"/rules?user={name}").json()["rules"]) == 1


def test_twenty_at_once_make_one_rule(pair: Appliance) -> None:
    """In both workers at the same time: one wins, the others get the winner's answer."""
    body = {"user": "alice", "core": 1, "operations": ["key:read"], "keys": f"x{uuid.uuid4()}"}
    key = str(uuid.uuid4())
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: post(pair, "/rules", body, key, "admin"), range(20)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["number"] for answer in answers}) == 1
    rules = pair.api("GET", "/rules?user=alice").json()["rules"]
    assert sum(rule["keys"] == body["keys"] for rule in rules) == 1


NOT_KEPT = {
    "/backup": "a stream is neither held back nor kept; a new one does no harm",
    "/cores/{core}/login": "a ticket is kept nowhere: test_a_login_is_done_again",
    "/cores/{core}/keys/{key}/decapsulate": "a secret is kept nowhere: test_key_operations.test_a_repeated_request",
    "/cores/{core}/keys/{key}/decrypt": "as above",
    "/cores/{core}/keys/{key}/derive": "as above",
    "/cores/{core}/keys/{key}/encapsulate": "as above",
    "/cores/{core}/keys/{key}/encrypt": "as above; who encrypts again gets another ciphertext",
    "/provision": "it works once, and its answer is shown once",
    "/restore": "a stream is not kept; what has come back is there, and does not come back twice",
    "/unlock": "nobody is logged in whose request it could be",
}
"""The POSTs to which an idempotency key means nothing, each with its reason."""
VOTES = {"approval:approve", "approval:refuse"}
AGAIN = {"key:decrypt", "key:derive", "key:encrypt"}
"""What is done again when it comes again, with the reason above."""
STATING = re.compile(
    r"(.*:(delete|destroy|policy|update|revoke|(add|remove)-member|remove-(recipient|certificate)|replace|merge))|appliance:lock"
)
"""PUT and DELETE say what shall be, however often; an appliance that is locked answers nobody."""
EVERY_POST = sorted(
    name for name in (acts.ADMINISTRATIVE | acts.KEYS | acts.MORE).keys() - AGAIN | VOTES if not STATING.fullmatch(name)
)


@pytest.fixture(scope="module")
def for_acts(pair: Appliance) -> Appliance:
    """The pair with what the table of acts needs, and carol, who approves."""
    acts.prepare(pair)
    pair.add_user("carol")
    return pair


def act(appliance: Appliance, name: str) -> acts.Asked:
    """An act of the table, or a vote on a request that waits for one."""
    if name not in VOTES:
        return (acts.ADMINISTRATIVE | acts.KEYS | acts.MORE)[name](appliance)
    guarded = acts.KEYS["key:disable"](appliance)
    label = guarded.path.split("/")[4]
    quorum = {"operation": "key:disable", "core": 1, "key": label, "needed": 1, "approvers": ["carol"]}
    appliance.api("POST", "/quorums", quorum)
    number = guarded.send(appliance).json()["approval"]
    return acts.Asked("POST", f"/approvals/{number}/{name.split(':')[1]}", None, "carol")


@pytest.mark.parametrize("name", EVERY_POST)
def test_every_post_is_carried_out_once(for_acts: Appliance, name: str) -> None:
    """Eight at once in two workers, as impatient clients send them: one answer for all, and one act in the record."""
    asked = act(for_acts, name)
    TRIED.add(asked.path)
    wait_for_rotation(for_acts)
    before = events(for_acts, lambda event: event["outcome"] == "done")
    key = str(uuid.uuid4())
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: post(for_acts, asked.path, asked.body, key, asked.user), range(8)))
    assert {answer.is_success for answer in answers} == {True}, [answer.text for answer in answers]
    assert len({without_secrets_shown_once(answer) for answer in answers}) == 1
    after = events(for_acts, lambda event: event["outcome"] == "done")
    assert len(after) - len(before) == (2 if name in ("key:sign-batch", "key:unwrap") else 1)


TRIED: set[str] = set()


def without_secrets_shown_once(answer: httpx2.Response) -> str:
    """An answer's content but for what only the first one shows."""
    shown = {"key_file", "shares", "token"}
    document = answer.json() if answer.content else {}
    return json.dumps({name: value for name, value in document.items() if name not in shown}, sort_keys=True)


def wait_for_rotation(appliance: Appliance) -> None:
    """Let a rotation of the domain key end: it writes events of its own."""
    wait_until(lambda: not appliance.api("GET", "/domain-key").json()["rotating"])


def test_no_post_is_forgotten(for_acts: Appliance) -> None:
    """Each POST of the API is in the table, or has a reason why not; `lock` ends what could be asked again."""
    assert for_acts
    posts = {path.removeprefix("/api/v1") for path, verbs in framework().openapi()["paths"].items() if "post" in verbs}
    patterns = {path: re.compile(re.sub(r"\{[a-z]+\}", "[^/]+", path)) for path in posts - NOT_KEPT.keys() - {"/lock"}}
    assert [path for path, pattern in patterns.items() if not any(pattern.fullmatch(one) for one in TRIED)] == []


def test_a_repetition_uses_nothing_up(for_acts: Appliance) -> None:
    """A key with two uses signs twice, however often each request comes to whichever worker."""
    label = acts.new_name()
    body = {"label": label, "type": "ec:P-256", "pin": PIN, "policy": {"max_uses": 2}}
    for_acts.api("POST", "/cores/1/keys", body)
    for _ in range(2):
        key = str(uuid.uuid4())
        answers = [post(for_acts, f"/cores/1/keys/{label}/sign", FIXED, key) for _ in range(6)]
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.content for answer in answers}) == 1
    assert post(for_acts, f"/cores/1/keys/{label}/sign", FIXED, str(uuid.uuid4())).status_code == 403


def test_a_repeated_verification_uses_nothing_up(for_acts: Appliance) -> None:
    """To verify a MAC is a use: of three, two are left for others after one that came six times."""
    label = acts.new_name()
    body = {"label": label, "type": "aes:256", "pin": PIN, "policy": {"max_uses": 3}}
    for_acts.api("POST", "/cores/1/keys", body)
    data = {"data": base64.b64encode(b"text").decode(), "pin": PIN}
    mac = post(for_acts, f"/cores/1/keys/{label}/sign", data, str(uuid.uuid4())).json()["signature"]
    key = str(uuid.uuid4())
    answers = [post(for_acts, f"/cores/1/keys/{label}/verify", {**data, "signature": mac}, key) for _ in range(6)]
    assert {(answer.status_code, answer.content) for answer in answers} == {(200, answers[0].content)}
    assert post(for_acts, f"/cores/1/keys/{label}/sign", data, str(uuid.uuid4())).status_code == 200


FIXED = {"digest": base64.b64encode(bytes(32)).decode(), "hash": "SHA-256", "pin": PIN}


def test_two_nodes_share_their_answers(postgresql: PostgreSQL, new_appliance: Callable[..., Appliance]) -> None:
    """Two appliances on one database: what one has done, the other answers again; tickets and keys are shared too."""
    database = postgresql.new_database()
    first = new_appliance("--workers", "1", "--database", database)
    acts.prepare(first)
    first.add_user("alice")
    first.add_rule("alice")
    first.add_key("release")
    second = new_appliance("--workers", "1", "--database", database, "--key-file", str(first.data / "unlock.key"))
    second.passwords = first.passwords
    body, key = sign_body(), str(uuid.uuid4())
    answers = [post(one, SIGN, body, key) for one in (first, second, first)]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert signatures(first, body).count("done") == 1
    asked, key = acts.MORE["key:generate"](first), str(uuid.uuid4())
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda one: post(one, asked.path, asked.body, key, asked.user), [first, second] * 4))
    assert {answer.status_code for answer in made} == {201}
    assert len({answer.json()["id"] for answer in made}) == 1


def test_users_do_not_share_keys(pair: Appliance) -> None:
    """The same header of another user is another request."""
    body, key = sign_body(), str(uuid.uuid4())
    if "bob" not in pair.passwords:
        pair.add_rule(pair.add_user("bob"))
    first, second = post(pair, SIGN, body, key), post(pair, SIGN, body, key, "bob")
    assert first.json()["signature"] != second.json()["signature"]
    assert "idempotency-replayed" not in second.headers


def test_a_login_is_done_again(pair: Appliance) -> None:
    """A ticket is kept nowhere, so each login has its own; both work, and a logout may be repeated."""
    key = str(uuid.uuid4())
    tickets = {post(pair, "/cores/1/login", {"pin": PIN}, key).json()["ticket"] for _ in range(2)}
    assert len(tickets) == 2
    ticket, key = tickets.pop(), str(uuid.uuid4())
    answers = [post(pair, "/cores/1/logout", {"ticket": ticket}, key) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [204] * 3


def test_batches_and_verifications_too(pair: Appliance) -> None:
    """A batch is signed once, and a verification says again what it said."""
    body = sign_body()
    batch = {"digests": [body["digest"]] * 3, "hash": "SHA-256", "pin": PIN}
    key = str(uuid.uuid4())
    answers = [post(pair, f"{SIGN}-batch", batch, key) for _ in range(4)]
    assert len({answer.content for answer in answers}) == 1
    check = {"digest": body["digest"], "hash": "SHA-256", "signature": answers[0].json()["signatures"][0]}
    key = str(uuid.uuid4())
    verdicts = [post(pair, SIGN.replace("sign", "verify"), check, key) for _ in range(4)]
    assert len({answer.content for answer in verdicts}) == 1
    assert verdicts[0].json()["valid"] is True


@pytest.mark.parametrize("key", ["", "too short", "x" * 256, "with a space in it", 'a"quote-in-the-middle'])
@pytest.mark.parametrize("path", [SIGN, "/rules"])
def test_a_bad_key_is_told(pair: Appliance, path: str, key: str) -> None:
    """422 names the header."""
    answer = post(pair, path, {}, key)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "header.Idempotency-Key"


def test_quotes_make_no_difference(pair: Appliance) -> None:
    """The draft's form is a quoted string; many clients send it bare."""
    body, key = sign_body(), str(uuid.uuid4())
    assert post(pair, SIGN, body, key).content == post(pair, SIGN, body, f'"{key}"').content


def test_an_error_is_not_kept(pair: Appliance) -> None:
    """What was refused may be right a moment later."""
    label, key = f"later-{uuid.uuid4()}", str(uuid.uuid4())
    body = sign_body()
    path = f"/cores/1/keys/{label}/sign"
    assert post(pair, path, body, key).status_code == 404
    pair.add_key(label)
    assert post(pair, path, body, key).status_code == 200


def test_answers_outlive_a_restart_and_hold_no_secret(new_appliance: Callable[..., Appliance]) -> None:
    """After kill -9 of everything the answer comes from the database, in which neither key nor PIN nor password is."""
    appliance = new_appliance("--workers", "1")
    appliance.add_key("release")
    appliance.add_user("alice")
    appliance.add_rule("alice", "*")
    body, key = sign_body(pin="not-to-be-found-1"), str(uuid.uuid4())
    assert post(appliance, SIGN, body, key).status_code == 403
    body["pin"] = PIN
    first = post(appliance, SIGN, body, key)
    user, user_key = {"name": "carol", "role": "operator", "password": "not-to-be-found-2"}, str(uuid.uuid4())
    assert post(appliance, "/users", user, user_key, "admin").status_code == 201
    appliance.stop_hard()
    appliance.start()
    again = post(appliance, SIGN, body, key)
    assert (again.content, again.headers["idempotency-replayed"]) == (first.content, "true")
    assert signatures(appliance, body) == ["done", "dropped"]
    appliance.stop()
    stored = b"".join(file.read_bytes() for file in appliance.data.glob("privyseal.db*"))
    for secret in (key, user_key, "not-to-be-found"):
        assert secret.encode() not in stored
