"""Stored objects with a real appliance: what one host keeps another one finds, and rules say who may."""

import base64
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.appliance import Appliance
from support.processes import base_environment

CLASS = "data"


def text_of(value: bytes) -> str:
    """Bytes as REST has them."""
    return base64.b64encode(value).decode()


@pytest.fixture(scope="module")
def core(appliance: Appliance) -> str:
    """A core with `keeper-of-objects`, who may do everything with labels `web*`, and `looker`, who may sign there."""
    number = appliance.api("POST", "/cores", {"name": "objects", "pin_required": False}).json()["number"]
    appliance.add_user("keeper-of-objects")
    appliance.add_rule("keeper-of-objects", "web*", operations=["object:create", "object:destroy"], core=number)
    appliance.add_user("looker")
    appliance.add_rule("looker", "web*", operations=["key:sign"], core=number)
    return f"/cores/{number}/objects"


def make(appliance: Appliance, core: str, **body: Any) -> Any:
    """An object of the one who may."""
    return appliance.api("POST", core, {"class": CLASS, "value": "", **body}, user="keeper-of-objects").json()


def test_a_certificate_goes_round(appliance: Appliance, core: str, tmp_path: Path) -> None:
    """Made by openssl, kept by one user, found by another by class, label and object id; and whole."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-subj", "/CN=web", "-keyout", "key", "-outform", "DER", "-out", "der"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, env=base_environment())
    der = (tmp_path / "der").read_bytes()
    body = {"class": "certificate", "value": text_of(der), "label": "web server", "object_id": "0a"}
    made = make(appliance, core, **body)
    for query in ("", "?class=certificate", "?label=web server&object_id=0a"):
        found = appliance.api("GET", f"{core}{query}", user="looker").json()["objects"]
        assert made in found
    assert appliance.api("GET", f"{core}/{made['id']}", user="looker").json() == made
    assert base64.b64decode(made["value"]) == der
    for query in ("?class=data&label=web server", "?label=web", "?object_id=0b"):
        assert appliance.api("GET", f"{core}{query}", user="looker").json()["objects"] == []
    assert appliance.api("GET", f"{core}?label=%00", user="looker", check=False).status_code == 422
    changed = appliance.api("GET", core, user="looker").headers["ETag"]
    assert appliance.api("GET", core, user="looker", headers={"If-None-Match": changed}, check=False).status_code == 304


def test_pages(appliance: Appliance, core: str) -> None:
    """A cursor leads through all of them, each once, as far as the caller may see them."""
    ids = [make(appliance, core, label=f"web page {number}")["id"] for number in range(3)]
    hidden = appliance.api("POST", core, {"class": CLASS, "value": "", "label": "other"}).json()["id"]
    seen: list[str] = []
    cursor = 0
    while cursor is not None:
        page = appliance.api("GET", f"{core}?limit=2&cursor={cursor}", user="looker").json()
        seen += [one["id"] for one in page["objects"]]
        cursor = page["next"]
    assert [one for one in seen if one in ids] == ids
    assert hidden not in seen
    assert appliance.api("GET", f"{core}/{hidden}", user="looker", check=False).status_code == 404


def test_change_and_remove(appliance: Appliance, core: str) -> None:
    """What is left out stays; what is gone is gone, and each change is on record."""
    made = make(appliance, core, label="web data", application="app", oid="1.2.3")
    body = {"label": "web data 2", "value": text_of(b"new")}
    changed = appliance.api("PUT", f"{core}/{made['id']}", body, user="keeper-of-objects").json()
    assert (changed["label"], changed["value"], changed["application"]) == ("web data 2", text_of(b"new"), "app")
    appliance.api("DELETE", f"{core}/{made['id']}", user="keeper-of-objects")
    assert appliance.api("GET", f"{core}/{made['id']}", check=False).status_code == 404
    events: list[dict[str, Any]] = []
    after: int | None = 0
    while after is not None:
        page = appliance.api("GET", f"/audit/events?after={after}&limit=1000").json()
        events, after = events + page["events"], page["next"]
    mine = [one["operation"] for one in events if one["key"] == made["id"] and one["outcome"] == "done"]
    assert mine == ["object:create", "object:update", "object:destroy"]


@pytest.mark.parametrize(
    ("user", "body", "operation"),
    [
        ("looker", {"label": "web x"}, "object:create"),
        ("keeper-of-objects", {"label": "elsewhere"}, "object:create"),
        ("keeper-of-objects", {"label": ""}, "object:create"),
    ],
)
def test_who_may_not(appliance: Appliance, core: str, user: str, body: dict[str, str], operation: str) -> None:
    """A right for the label is needed, and the answer says which; the refusal is on record."""
    answer = appliance.api("POST", core, {"class": CLASS, "value": "", **body}, user=user, check=False)
    assert answer.status_code == 403
    assert operation in answer.json()["missing_rule"]
    assert answer.json()["event"] > 0


def test_nobody_moves_an_object_out_of_reach(appliance: Appliance, core: str) -> None:
    """Neither away from one's own labels nor from others' to one's own."""
    made = make(appliance, core, label="web moves")
    path = f"{core}/{made['id']}"
    body = {"label": "elsewhere"}
    assert appliance.api("PUT", path, body, user="keeper-of-objects", check=False).status_code == 403
    assert appliance.api("PUT", path, {"label": "web y"}, user="looker", check=False).status_code == 403
    assert appliance.api("DELETE", path, user="looker", check=False).status_code == 403


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"class": "certificate", "value": text_of(b"no certificate")}, "value"),
        ({"class": "public-key", "value": text_of(b"no key")}, "value"),
        ({"class": "secret", "value": ""}, "class"),
        ({"class": "data", "value": "", "label": "a*"}, "label"),
        ({"class": "data", "value": "", "oid": "1.x"}, "oid"),
        ({"class": "data", "value": "", "object_id": "xyz"}, "object_id"),
        ({"class": "data", "value": text_of(bytes(65537))}, "value"),
        ({"class": "public-key", "value": "", "oid": "1.2"}, "class"),
    ],
)
def test_what_is_no_object(appliance: Appliance, core: str, body: dict[str, str], field: str) -> None:
    """Each wrong field is named."""
    answer = appliance.api("POST", core, body, check=False)
    assert answer.status_code == 422
    assert f"body.{field}" in [one["field"] for one in answer.json()["errors"]]


def test_a_repeated_request_makes_one(appliance: Appliance, core: str) -> None:
    """With its idempotency key."""
    header = {"Idempotency-Key": "an-object-that-is-made-once"}
    body = {"class": CLASS, "value": "", "label": "once"}
    first, second = (appliance.api("POST", core, body, headers=header).json() for _ in range(2))
    assert first == second
    assert len(appliance.api("GET", f"{core}?label=once").json()["objects"]) == 1


def test_a_core_with_objects_is_not_empty(appliance: Appliance) -> None:
    """It is not deleted before they are."""
    number = appliance.api("POST", "/cores", {"name": "holds"}).json()["number"]
    made = appliance.api("POST", f"/cores/{number}/objects", {"class": CLASS, "value": ""}).json()
    answer = appliance.api("DELETE", f"/cores/{number}", check=False)
    assert (answer.status_code, "1 objects" in answer.json()["detail"]) == (409, True)
    appliance.api("DELETE", f"/cores/{number}/objects/{made['id']}")
    appliance.api("DELETE", f"/cores/{number}")
