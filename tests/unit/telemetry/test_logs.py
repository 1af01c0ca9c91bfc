"""Log lines: one an entry, in either form, and never with a secret."""

import json
import logging
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privyseal.telemetry import logs
from privyseal.telemetry.logs import JSONFormatter, TextFormatter, redacted


def entry(
    message: str, *args: object, fields: dict[str, object] | None = None, failed: bool = False
) -> logging.LogRecord:
    """One entry of a logger."""
    trace = None
    if failed:
        try:
            int("password=hunter2")
        except ValueError:
            trace = sys.exc_info()
    record = logging.LogRecord("privyseal.test", logging.WARNING, "file", 1, message, args, trace)
    if fields is not None:
        record.fields = fields
    return record


def test_json_is_one_object_a_line() -> None:
    """With its time in UTC, level, process and message; line ends stay inside."""
    line = JSONFormatter("worker").format(entry("two\nlines of %s", "words", fields={"status": 200}, failed=True))
    assert "\n" not in line
    document = json.loads(line)
    assert document["message"] == "two\nlines of words"
    assert (document["level"], document["process"], document["logger"]) == ("warning", "worker", "privyseal.test")
    assert document["status"] == 200
    assert document["time"].endswith("Z")
    assert "ValueError" in document["trace"]


def test_text_is_for_people() -> None:
    """Who forges a line with a line end gets none."""
    assert TextFormatter().format(entry("a\nprivyseal: forged", fields={"x": 1})) == (
        "privyseal.test: a\\nprivyseal: forged x=1"
    )


@pytest.mark.parametrize("formatter", [TextFormatter(), JSONFormatter("worker")])
def test_secrets_are_dropped(formatter: logging.Formatter) -> None:
    """From messages, fields and tracebacks."""
    fields: dict[str, object] = {"pin": "hunter2", "deep": {"ticket": "hunter2"}, "shares": ["hunter2"]}
    line = formatter.format(entry('{"password": "hunter2"}, Basic aHVudGVyMg==', fields=fields, failed=True))
    assert "hunter2" not in line
    assert "aHVudGVyMg" not in line


@pytest.mark.parametrize(
    "text",
    ["the PIN does not fit", "the passwords differ", "a basic idea", "ticket to ride", "process 7 ended with -9"],
)
def test_words_stay(text: str) -> None:
    """What only speaks of secrets is left as it is."""
    assert redacted(text) == text


@given(st.sampled_from(["password", "PIN", "ticket", "secret"]), st.from_regex(r"[A-Za-z0-9]{8,40}", fullmatch=True))
def test_any_assignment_is_hidden(name: str, value: str) -> None:
    """As JSON, as Python writes it, and bare."""
    for text in (f'{{"{name}": "{value}"}}', f"{{'{name}': '{value}'}}", f"{name}={value}", f"{name}: {value}"):
        assert value not in redacted(text).replace(name, "", 1)


def test_request_ids_are_taken_or_made() -> None:
    """A caller's is taken if it is a short plain word; ours are never the same twice."""
    make = logs.request_ids()
    assert make("abc-1.2_3") == "abc-1.2_3"
    made = {make(""), make(""), make("with space"), make("x" * 65), make("line\nend")}
    assert len(made) == 5
    assert all(one.isascii() and one.isprintable() and " " not in one for one in made)


def test_a_request_is_named_in_its_lines() -> None:
    """By the id that its answer has."""
    before = logs.REQUEST.set("r-1")
    try:
        assert json.loads(JSONFormatter("worker").format(entry("x")))["request"] == "r-1"
    finally:
        logs.REQUEST.reset(before)
