"""Schemathesis asks the whole REST interface, as every role, what its OpenAPI document allows and what it forbids.

Whatever is sent, no answer is a failure inside the appliance, and each is of a type and status that the document names.
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
from schemathesis.specs.openapi.checks import content_type_conformance, status_code_conformance

from privyseal.rest import api
from support.appliance import Appliance

ROLES = ("administrator", "auditor", "backup", "metrics", "operator", "entitled")
SOAK = bool(os.environ.get("PRIVYSEAL_SOAK"))
CHECKS = [not_a_server_error, content_type_conformance, status_code_conformance]
SCHEMA = schemathesis.openapi.from_dict(api.framework().openapi())
LOCK = "POST /api/v1/lock"  # after which everything else would be 503
OPERATIONS = {one.ok().label: one.ok() for one in SCHEMA.get_all_operations() if one.ok().label != LOCK}


@pytest.fixture(scope="module")
def everybody(new_appliance: Callable[..., Appliance]) -> Appliance:
    """An appliance with a user of each role, named like it, and a key without a PIN."""
    appliance = new_appliance()
    for role in ROLES[:-1]:
        appliance.add_user(role, role=role)
    appliance.add_user("entitled")
    appliance.api("PUT", "/cores/1", {"pin_required": False})
    appliance.add_rule("entitled", operations=("key:read", "key:sign", "key:generate", "key:destroy"))
    appliance.add_key("1", pin=None)  # Schemathesis likes short names
    return appliance


@pytest.fixture(scope="module", params=ROLES)
def session(request: pytest.FixtureRequest, everybody: Appliance) -> requests.Session:
    """An HTTP session of one role."""
    session = requests.Session()
    session.trust_env = False
    session.auth = (request.param, everybody.passwords[request.param])
    return session


@pytest.mark.parametrize("label", sorted(OPERATIONS))
def test_whatever_is_sent(everybody: Appliance, session: requests.Session, label: str) -> None:
    """No 500, and no answer that the document does not name."""
    operation: Any = OPERATIONS[label]

    @settings(
        max_examples=200 if SOAK else 6,
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
        case.call_and_validate(
            base_url=everybody.url, session=session, verify=str(everybody.ca_file), checks=CHECKS, timeout=60
        )

    ask()
