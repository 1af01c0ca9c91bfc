"""Schemathesis asks the whole REST interface, as every role, what its OpenAPI document allows and what it forbids.

Whatever is sent, no answer is a failure inside the appliance, each is of a type, status and form that the document
names, and a success is for those alone whom the table of `support.endpoints` lets in. Anonymous callers and credentials
ask as well. Who may read no key finds none named in any answer.
`PRIVYSEAL_SOAK=1` (`make soak`) tries many more cases, and other ones each time.
"""

import os
from collections.abc import Callable
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import DataObject, booleans, data
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from privyseal.model.access import RULE_OPERATIONS
from privyseal.rest import api
from support.appliance import Appliance
from support.endpoints import BEARERS, ENTITLED, KEY_READERS, ROLES, may, new_tokens

USERS = (*ROLES, ENTITLED)
CALLERS = ("nobody", *USERS, *BEARERS)
HIDDEN = "a-label-that-few-may-read"
SOAK = bool(os.environ.get("PRIVYSEAL_SOAK"))
CHECKS = [not_a_server_error, content_type_conformance, status_code_conformance, response_schema_conformance]
SCHEMA = schemathesis.openapi.from_dict(api.framework().openapi())
ELSEWHERE = {
    "POST /api/v1/lock": "everything after it would be 503",
    "POST /api/v1/restore": "its body is a file, of which Schemathesis makes none; test_merge sends broken ones",
}
OPERATIONS = {one.ok().label: one.ok() for one in SCHEMA.get_all_operations() if one.ok().label not in ELSEWHERE}


@pytest.fixture(scope="module")
def everybody(new_appliance: Callable[..., Appliance]) -> Appliance:
    """An appliance with a user of each role, named like it, and a key without a PIN."""
    appliance = new_appliance()
    for role in ROLES:
        appliance.add_user(role, role=role)
    appliance.add_user(ENTITLED)
    appliance.api("PUT", "/cores/1", {"pin_required": False})
    appliance.add_rule(ENTITLED, operations=[one.value for one in RULE_OPERATIONS])
    appliance.add_key("1", pin=None)  # Schemathesis likes short names
    appliance.add_key(HIDDEN, pin=None)
    return appliance


@pytest.fixture(scope="module")
def tokens(everybody: Appliance) -> dict[str, str]:
    """A credential of an administrator and of an operator."""
    return new_tokens(everybody)


@pytest.fixture(scope="module", params=CALLERS)
def caller(request: pytest.FixtureRequest) -> str:
    """Who asks."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def session(caller: str, everybody: Appliance, tokens: dict[str, str]) -> requests.Session:
    """An HTTP session of one caller."""
    session = requests.Session()
    session.trust_env = False
    if caller in tokens:
        session.headers["Authorization"] = f"Bearer {tokens[caller]}"
    elif caller != "nobody":
        session.auth = (caller, everybody.passwords[caller])
    return session


def look(label: str, caller: str, status: int, text: str) -> None:
    """Compare an answer with what the caller may see."""
    method, path = label.split()
    if 200 <= status < 300:
        assert may(caller, f"{method} {path.removeprefix('/api/v1')}"), text
    if BEARERS.get(caller, caller) not in KEY_READERS:
        assert HIDDEN not in text


@pytest.mark.parametrize("label", sorted(OPERATIONS))
def test_whatever_is_sent(everybody: Appliance, session: requests.Session, caller: str, label: str) -> None:
    """No 500, no answer that the document does not describe, and none that the caller may not see."""
    operation: Any = OPERATIONS[label]

    @settings(
        max_examples=200 if SOAK else 5 if caller in USERS else 2,
        derandomize=not SOAK,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(data())
    def ask(source: DataObject) -> None:
        mode = schemathesis.GenerationMode.POSITIVE
        if source.draw(booleans()) and operation.body:
            mode = schemathesis.GenerationMode.NEGATIVE
        case = source.draw(operation.as_strategy(generation_mode=mode))
        answer = case.call_and_validate(
            base_url=everybody.url, session=session, verify=str(everybody.ca_file), checks=CHECKS, timeout=60
        )
        look(label, caller, answer.status_code, answer.text)

    ask()
