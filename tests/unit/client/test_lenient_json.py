"""The reader of configuration files: strict JSON, a trailing comma let pass, and errors that help."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privyseal.client import lenient_json
from privyseal.client.errors import ConfigurationError

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)
OBJECTS = st.dictionaries(TEXT, VALUES, max_size=4)


def with_trailing_commas(value: object, space: str) -> str:
    """Print JSON with a comma before every closing brace or bracket that has something before it."""
    if isinstance(value, dict):
        members = "".join(f"{json.dumps(k)}:{with_trailing_commas(v, space)},{space}" for k, v in value.items())
        return f"{{{members}}}"
    if isinstance(value, list):
        return f"[{''.join(f'{with_trailing_commas(v, space)},{space}' for v in value)}]"
    return json.dumps(value, ensure_ascii=False)


@given(OBJECTS, st.sampled_from([None, 2]), st.booleans())
def test_json_means_what_it_means(document: dict[str, object], indent: int | None, escape: bool) -> None:  # noqa: FBT001
    assert lenient_json.parse(json.dumps(document, indent=indent, ensure_ascii=escape), "f") == document


@given(OBJECTS, st.sampled_from(["", " ", "\n", "\r\n\t"]))
def test_trailing_commas_change_nothing(document: dict[str, object], space: str) -> None:
    assert lenient_json.parse(with_trailing_commas(document, space), "f") == document


@given(st.text() | st.text('{}[]",: \n\\\u201c\u201dab1'))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No other exception, and what is read without a trailing comma is what JSON says."""
    try:
        read = lenient_json.parse(text, "f")
    except ConfigurationError:
        return
    if not re.search(r",\s*[}\]]", text):
        assert read == json.loads(text.removeprefix("\ufeff"))


@pytest.mark.parametrize("text", ["{,}", "[,]", '{"a":1,,}', '{"a":[,]}', '{"a":,}', '{"a":1},', ",{}"])
def test_a_comma_behind_nothing_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        lenient_json.parse(text, "f")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{\u201curl\u201d: 1}", 1),
        ('{\n  "url": \u201chttps://hsm\u201d,\n}', 2),
        ('{\n  "a": 1,\n  "url\u201d: "https://hsm"\n}', 3),
        ("{\n\n  \u2018url\u2019: 1}", 3),
        ("{\u00abu\u00bb: 1}", 1),
    ],
)
def test_typographic_quotes_are_named_with_their_line(text: str, line: int) -> None:
    with pytest.raises(ConfigurationError, match=rf"^n200.conf: line {line}: typographic quotation mark"):
        lenient_json.parse(text, "n200.conf")


def test_typographic_quotes_may_stand_in_a_value() -> None:
    assert lenient_json.parse('{"pass": "\u201cx\u201d"}', "f") == {"pass": "\u201cx\u201d"}


def test_the_place_of_an_error_is_said() -> None:
    with pytest.raises(ConfigurationError, match=r"^f: line 3, column 3: this is not JSON"):
        lenient_json.parse('{\n  "a": 1\n  "b": 2\n}', "f")


def test_an_error_does_not_repeat_the_content() -> None:
    """The line with the mistake may be the one with the password."""
    with pytest.raises(ConfigurationError) as caught:
        lenient_json.parse('{"pass": "geheim" "x": 1}', "f")
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("text", ['{"a":1,"a":2}', "[]", "1", '"a"', "{", "", "NaN", '{"a":NaN}', "[" * 100_000])
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^f: "):
        lenient_json.parse(text, "f")


def test_a_byte_order_mark_is_ignored() -> None:
    assert lenient_json.parse('\ufeff{"a": 1}', "f") == {"a": 1}
