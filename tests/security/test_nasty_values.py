"""Each field, parameter and part of a path of every endpoint takes the values that parsers and databases trip over.

Whatever comes, the answer is a problem document that is no 500, or a success; on both databases. A sample is tried, and
every one with PRIVYSEAL_TEST_EVERY_VALUE=1 in the environment.
"""

import json
import os
import random
from collections.abc import Callable, Iterator
from typing import Any, TypeVar
from urllib.parse import quote

import httpx2
import pytest

from support.appliance import Appliance
from support.endpoints import DOCUMENT, ENTITLED, KEY_USERS, MAY, filled, resolved

HUGE = 2**64
T = TypeVar("T")
EVERY = "PRIVYSEAL_TEST_EVERY_VALUE" in os.environ  # then it takes five minutes
TRIED = 25
NASTY: dict[str, str] = {  # as JSON writes them; some are none
    "null": "null",
    "true": "true",
    "a list": "[]",
    "an object": '{"a": 1}',
    "zero": "0",
    "minus": "-1",
    "beyond 32 bits": str(2**31),
    "beyond 63 bits": str(2**63),
    "beyond 64 bits": str(HUGE),
    "5000 digits": "9" * 5000,
    "a float": "1.5",
    "an infinite float": "1e999",
    "NaN": "NaN",
    "Infinity": "-Infinity",
    "an empty text": '""',
    "a null byte": '"a\\u0000b"',
    "half a surrogate pair": '"\\ud800"',
    "a list of half a pair": '["\\udfff"]',
    "a list of null bytes": '["\\u0000"]',
    "a list of numbers": f"[{HUGE}, null, []]",
    "an object of half a pair": '{"\\ud800": "\\ud800"}',
    "bad UTF-8": '"\udcff\udcfe"',
    "a long text": f'"{"x" * 5000}"',
    "right to left": '"\\u202e\\ufffe\\ud83d\\ude00"',
    "deep": "[" * 2000 + "]" * 2000,
    "a time of year 1": '"0001-01-01T00:00:00+14:00"',
    "a time of year 9999": '"9999-12-31T23:59:59-14:00"',
}
IN_URLS = {
    "empty": "",
    "null byte": "%00",
    "bad UTF-8": "%ff%fe",
    "half a surrogate pair": "%ed%a0%80",
    "beyond 63 bits": str(2**63 - 1),
    "beyond 64 bits": str(HUGE),
    "5000 digits": "9" * 5000,
    "minus": "-1",
    "long": "x" * 5000,
    "a star": "*",
    "dots": "%2e%2e",
    "a slash": "a%2Fb",
    "a quote": "'%22%3B--",
    "right to left": quote("\u202e\ufffe\U0001f600"),
    "digits of elsewhere": quote("\u0661"),
    "an infinite float": "1e999",
}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def target(request: pytest.FixtureRequest, new_appliance: Callable[..., Appliance]) -> Appliance:
    """An appliance with the key `probe`, and somebody who may use it."""
    database = ["--database", request.getfixturevalue("postgresql").new_database()] * (request.param == "postgresql")
    appliance = new_appliance("--workers", "1", *database)
    appliance.add_user(ENTITLED)
    appliance.add_rule(ENTITLED, operations=["key:sign", "key:decrypt", "key:encrypt", "key:wrap", "key:unwrap"])
    appliance.add_key("probe")
    return appliance


def bodies(operation: dict[str, Any], body: dict[str, Any]) -> Iterator[bytes]:
    """The body with each of its fields, and those of its objects, made nasty, one at a time; and names of fields."""
    content = operation["requestBody"]["content"]["application/json"]
    for path, schema in fields(resolved(content["schema"])):
        for text in NASTY.values():
            yield with_text(body, path, text)
        if schema.get("type") == "array" or "anyOf" in schema:
            yield with_text(body, path, "[" + ", ".join(['"a"'] * 3000) + "]")
    for text in NASTY.values():
        yield text.encode("utf-8", "surrogateescape")
    for name in ("\\ud800", "\\u0000", "x" * 3000):
        yield (json.dumps(body)[:-1] + f', "{name}": 1}}').replace("{,", "{").encode()


def fields(schema: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Each field by its path."""
    for name, one in schema.get("properties", {}).items():
        yield (*above, name), one
        if not above:
            yield from fields(resolved(one), (name,))


def with_text(body: dict[str, Any], path: tuple[str, ...], text: str) -> bytes:
    """The body with this JSON text in a field."""
    changed: dict[str, Any] = json.loads(json.dumps(body))
    inside = changed
    for name in path[:-1]:
        inside = inside.setdefault(name, {})
        if not isinstance(inside, dict):
            inside = {}
    inside[path[-1]] = "@nasty@"
    return json.dumps(changed).replace('"@nasty@"', text).encode("utf-8", "surrogateescape")


def urls(endpoint: str, operation: dict[str, Any]) -> Iterator[str]:
    """The path with each of its parts, and each parameter of the query, made nasty."""
    path, query, _ = filled(endpoint, operation)
    for one in operation.get("parameters", []):
        for value in IN_URLS.values():
            if one["in"] == "path":
                yield filled(endpoint.replace(f"{{{one['name']}}}", value), without(operation, one["name"]))[0]
            elif one["in"] == "query":
                words = {**{name: quote(text) for name, text in query.items()}, one["name"]: value}
                yield f"{path}?" + "&".join(f"{name}={text}" for name, text in words.items())


def without(operation: dict[str, Any], name: str) -> dict[str, Any]:
    """An operation without one of its parameters."""
    return operation | {"parameters": [one for one in operation["parameters"] if one["name"] != name]}


def is_wrong(answer: httpx2.Response) -> bool:
    """Whether an answer is something that nobody foresaw, or no problem document."""
    if answer.is_success:
        return False
    return answer.status_code >= 500 or answer.headers.get("content-type") != "application/problem+json"


def some(endpoint: str, values: Iterator[T]) -> list[T]:
    """So many of them, always the same."""
    found = list(values)
    return found if EVERY else random.Random(endpoint).sample(found, min(TRIED, len(found)))  # noqa: S311 - no secret


LEFT_OUT = {"POST /lock", "PUT /users/me/password", "POST /backup"}  # they would end what is tried here


@pytest.mark.parametrize("endpoint", sorted(set(MAY) - LEFT_OUT))
def test_nasty_values(target: Appliance, endpoint: str) -> None:
    """One at a time, in a request that is right otherwise."""
    method, path = endpoint.split()
    operation = DOCUMENT["paths"][f"/api/v1{path}"][method.lower()]
    user = ENTITLED if MAY[endpoint] == KEY_USERS else "admin"
    good_path, query, body = filled(path, operation)
    wrong = []
    for url in some(endpoint, urls(path, operation)):
        answer = target.api(method, url, body, user=user, check=False)
        if is_wrong(answer):
            wrong.append((url[:200], answer.status_code, answer.text))
    for content in () if body is None else some(endpoint, bodies(operation, body)):
        headers = {"Content-Type": "application/json"}
        answer = target.api(method, good_path, user=user, check=False, content=content, headers=headers, params=query)
        if is_wrong(answer):
            wrong.append((content[:200], answer.status_code, answer.text))
    assert wrong == []
