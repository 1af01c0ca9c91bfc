"""A hot body is read, or refused with every error; nothing that comes in makes the reader fail in another way."""

import base64
import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privyseal.errors import InvalidRequestError, MalformedJSONError, PrivysealError
from privyseal.model.mechanisms import Encoding, Hash, Mechanism
from privyseal.wire.bodies import HOT_BODIES, LoginBody, SignBatchBody, SignBody, malformed, parse

FIELDS = st.sampled_from(["pin", "ticket", "digest", "digests", "data", "hash", "mechanism", "encoding", "salt_length"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | FIELDS, inner, max_size=6),
    max_leaves=12,
)


def test_a_body_is_read() -> None:
    """Names become nouns and base64 becomes bytes."""
    document = {
        "mechanism": "RSA-PSS",
        "hash": "SHA3-256",
        "digest": base64.b64encode(b"x").decode(),
        "encoding": "raw",
    }
    body = parse(json.dumps(document).encode(), SignBody)
    assert (body.mechanism, body.hash, body.encoding) == (Mechanism.RSA_PSS, Hash.SHA3_256, Encoding.RAW)
    assert (body.digest, body.pin) == (b"x", None)


def test_a_body_does_not_print_its_secrets() -> None:
    """Not in a log and not in a traceback."""
    assert repr(LoginBody(pin="12345678")) == str(LoginBody(pin="12345678")) == "LoginBody(…)"


def test_all_errors_at_once() -> None:
    """Unknown, missing and wrong fields together, in words, and never with the PIN that came in."""
    document = {"hash": "MD5", "digets": [], "pin": 87654321, "encoding": "DER", "salt_length": "x"}
    with pytest.raises(InvalidRequestError) as error:
        parse(json.dumps(document).encode(), SignBatchBody)
    messages = {one.field: one.message for one in error.value.errors}
    assert set(messages) == {f"body.{name}" for name in [*document, "digests"]}
    assert messages["body.digets"] == "there is no such field"
    assert messages["body.digests"] == "this field is missing"
    assert messages["body.encoding"] == "use one of der, raw"
    assert "SHA3-512" in messages["body.hash"]
    assert "87654321" not in str(error.value)


@pytest.mark.parametrize("digest", ["not base64!", "AAA", "AA-_", "AAAA AAAA"])
def test_base64_is_the_standard_one(digest: str) -> None:
    """No alphabet for URLs, no missing padding, no spaces."""
    with pytest.raises(InvalidRequestError, match="standard base64"):
        parse(json.dumps({"digest": digest}).encode(), SignBody)


@pytest.mark.parametrize(
    ("body", "position"),
    [
        (b"", "line 1, column 1"),
        (b'{"pin": "12345678",}', "line 1, column"),
        (b'{"pin":\n  12345678 "x"}', "line 2, column 12"),
        (b'{"pin": "\xff"}', "byte 9"),
        (b'{"pin": NaN}', "RFC 8259"),
    ],
)
def test_broken_json_says_where(body: bytes, position: str) -> None:
    """Line and column, or the byte that is not UTF-8."""
    with pytest.raises(MalformedJSONError, match=position):
        parse(body, LoginBody)


@pytest.mark.parametrize("body", [b"[]", b"null", b"1", b'"x"'])
def test_an_object_is_wanted(body: bytes) -> None:
    """Other JSON is JSON, and no request."""
    with pytest.raises(InvalidRequestError, match="object"):
        parse(body, LoginBody)


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"x":' * 100_000, b'{"x": ' + b"[" * 5_000 + b"]" * 5_000 + b"}"])
@pytest.mark.parametrize("kind", HOT_BODIES)
def test_a_deep_body_is_refused(kind: Any, body: bytes) -> None:
    """It exhausts neither the stack nor the reader."""
    with pytest.raises(PrivysealError):
        parse(body, kind)


@pytest.mark.parametrize("kind", HOT_BODIES)
@given(body=st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_other_error(kind: Any, body: bytes) -> None:
    """Bytes and documents of any kind: read, or one of our errors."""
    with contextlib.suppress(MalformedJSONError, InvalidRequestError):
        assert isinstance(parse(body, kind), kind)


def test_json_that_is_nested_without_end() -> None:
    """Python's own reader gives up; the caller hears why."""
    assert "nested too deeply" in str(malformed(b"[" * 100_000))
    assert "too many digits" in str(malformed(b"9" * 5000))


def test_of_many_mistakes_some_are_named() -> None:
    """Nobody has to know the sender for this answer to be made."""
    body = b"{%b}" % b",".join(b'"%05d%b": 1' % (number, b"x" * 100) for number in range(1000))
    with pytest.raises(InvalidRequestError) as error:
        parse(body, LoginBody)
    assert len(error.value.errors) == InvalidRequestError.MOST
    assert max(len(one.field) for one in error.value.errors) < 80
