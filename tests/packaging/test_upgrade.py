"""The program of today on the data of every released version: it starts, unlocks, and signs with the keys of then."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from support import schemas
from support.appliance import PIN, Appliance

OLD = base64.b64encode(b"from the first schema").decode()


@pytest.fixture(params=[(schema, kind) for schema in schemas.RELEASED for kind in ("sqlite", "postgresql")])
def upgraded(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Appliance, dict[str, str]]]:
    """An appliance on old data, and what is known of it."""
    schema, kind = request.param
    url = f"sqlite:///{tmp_path / 'data' / 'privyseal.db'}"
    if kind == "postgresql":
        url = request.getfixturevalue("postgresql").new_database()
    appliance = Appliance(tmp_path, "--workers", "1", "--database", url)
    appliance.data.mkdir(mode=0o700)
    known = schemas.load(url, schema)
    (appliance.data / "unlock.key").write_bytes(bytes.fromhex(known["key_file"]))
    appliance.passwords |= {"alice": "password of alice", "carla": "password of carla"}
    try:
        appliance.start()
        yield appliance, known
    finally:
        appliance.stop()


def test_old_keys_sign(upgraded: tuple[Appliance, dict[str, str]]) -> None:
    """By the rules, passwords and PIN of then; an old signature verifies, and the record goes on where it ended."""
    appliance, known = upgraded
    before = appliance.api("GET", "/audit/events?limit=1000", user="carla").json()["events"]
    path = "/cores/1/keys/release"
    check = {"data": OLD, "signature": known["signature"]}
    assert appliance.api("POST", f"{path}/verify", check, user="alice").json()["valid"] is True
    signed = appliance.api("POST", f"{path}/sign", {"data": OLD, "pin": PIN}, user="alice").json()
    public = load_pem_public_key(known["public"].encode())
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(base64.b64decode(signed["signature"]), base64.b64decode(OLD), ec.ECDSA(hashes.SHA256()))
    assert signed["event"] > len(before)
    assert appliance.api("POST", f"{path}/sign", {"data": OLD}, user="alice", check=False).status_code == 403
    assert appliance.api("GET", "/cores/1/keys/open-rsa", user="alice", check=False).status_code == 404
    appliance.add_rule("alice", "*", core=2)
    appliance.api("POST", "/cores/2/keys/nopin/sign", {"data": OLD}, user="alice")
