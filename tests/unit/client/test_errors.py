"""Problem documents become exceptions, and only the documented ones."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privyseal.client import errors

CONTRACT = Path(__file__).parents[3] / "docs" / "reference" / "rest.md"
TYPES = re.findall(r"^\| `([a-z-]+)` \| (\d{3}) \|", CONTRACT.read_text(), re.MULTILINE)


def test_the_contract_is_found() -> None:
    assert ("pin-incorrect", "403") in TYPES


@pytest.mark.parametrize(("kind", "status"), TYPES)
def test_each_documented_type_has_its_exception(kind: str, status: str) -> None:
    error = errors.from_problem({"type": f"urn:privyseal:problem:{kind}", "detail": "why"}, int(status))
    assert error.type == kind
    assert (str(error), error.detail, error.status) == ("why", "why", int(status))


def test_all_members_are_carried() -> None:
    error = errors.from_problem(
        {
            "type": "urn:privyseal:problem:invalid-body",
            "title": "T",
            "event": 7,
            "missing_rule": "privyseal rule create",
            "attempts_left": 9,
            "errors": [{"field": "body.digest", "message": "too short"}],
        },
        422,
        retry_after=3.0,
    )
    assert isinstance(error, errors.InvalidBodyError)
    assert (error.detail, error.event, error.missing_rule) == ("T", 7, "privyseal rule create")
    assert (error.attempts_left, error.retry_after) == (9, 3.0)
    assert error.errors == (errors.FieldError("body.digest", "too short"),)


def test_an_unknown_type_is_an_error_all_the_same() -> None:
    assert isinstance(errors.from_problem({"type": "about:blank", "detail": "d"}, 418), errors.OtherProblemError)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
MEMBERS = st.sampled_from(["type", "title", "status", "detail", "event", "errors", "missing_rule", "attempts_left"])


@given(st.dictionaries(MEMBERS, JSON), st.integers(400, 599))
def test_any_document_becomes_an_error(document: dict[str, object], status: int) -> None:
    error = errors.from_problem(document, status)
    assert error.detail
    assert error.status == status
    assert error.event is None or type(error.event) is int
    assert error.missing_rule is None or isinstance(error.missing_rule, str)


def test_names_end_in_error_and_the_base_is_the_base() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert all(issubclass(kind, errors.ClientError) and kind.__name__.endswith("Error") for kind in kinds)
    words = [kind.type for kind in kinds]
    assert len(set(words)) == len(words)
