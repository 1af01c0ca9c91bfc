"""Many first requests at once cost one Argon2id, and none of them fails."""

import base64
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx2

from support.appliance import PIN, Appliance


def test_many_connections_at_once_are_verified_once(new_appliance: Callable[..., Appliance]) -> None:
    """32 hosts with one user's password and PIN: each gets its signature, and no attempt is left counted."""
    appliance = new_appliance("--workers", "2")
    appliance.add_user("alice")
    appliance.add_rule("alice", "*")
    appliance.add_key("release")
    context = ssl.create_default_context(cafile=appliance.ca_file)
    body = {"data": base64.b64encode(b"x").decode(), "pin": PIN}

    def sign(_: int) -> int:
        with httpx2.Client(verify=context, trust_env=False, timeout=60) as client:
            url = f"{appliance.url}/api/v1/cores/1/keys/release/sign"
            return client.post(url, json=body, auth=("alice", appliance.passwords["alice"])).status_code

    with ThreadPoolExecutor(32) as hosts:
        assert list(hosts.map(sign, range(32))) == [200] * 32
    assert appliance.api("GET", "/users/alice").json()["locked"] is False
