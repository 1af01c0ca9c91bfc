"""docs/reference/rest.md leaves nothing out that the appliance answers, takes or measures."""

import re
from typing import Any

import pytest

from privyseal.rest.api import PREFIX, framework
from privyseal.telemetry.exposition import FAMILIES
from support.processes import ROOT

PAGE = (ROOT / "docs" / "reference" / "rest.md").read_text()


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    """The OpenAPI document."""
    return framework().openapi()


def test_every_path(described: dict[str, Any]) -> None:
    """Whole, or as … and its end where the page has just named what is before."""
    paths = [path.removeprefix(PREFIX) for path in described["paths"]]
    assert [path for path in paths if path not in PAGE and f"…/{path.rpartition('/')[2]}" not in PAGE] == []


def test_every_field_of_a_request(described: dict[str, Any]) -> None:
    """In code's letters; that it stands in the right place is for people to see."""
    schemas = described["components"]["schemas"]
    schemas = {name: one for name, one in schemas.items() if not name.endswith("ValidationError")}  # the framework's
    fields = {(name, field) for name, schema in schemas.items() for field in schema.get("properties", {})}
    assert len(fields) > 100
    assert sorted(one for one in fields if f"`{one[1]}`" not in PAGE and f'"{one[1]}"' not in PAGE) == []


def test_every_metric() -> None:
    """By its name behind the prefix, and no other."""
    table = PAGE.partition("| metric (`privyseal_…`) |")[2].partition("\n\n")[0]
    named = {name for row in table.splitlines()[2:] for name in re.findall(r"`([a-z_]+)[`{]", row.split("|")[1])}
    assert named == {name.removeprefix("privyseal_") for name in FAMILIES}
