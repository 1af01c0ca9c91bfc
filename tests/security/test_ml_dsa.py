"""ML-DSA with a real appliance: made, signed with in its three ways, and judged with the public key alone."""

import base64
import hashlib
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import mldsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from privyseal.errors import InvalidSignatureError
from privyseal.model.mechanisms import Hash, Mechanism, Scheme
from privyseal.wire import primitives
from support.appliance import PIN, Appliance

MESSAGE = b"what is to be signed"
DIGEST = hashlib.sha512(MESSAGE).digest()
TYPES = ("ml-dsa-44", "ml-dsa-65", "ml-dsa-87")


def base64_of(value: bytes) -> str:
    """Bytes as REST has them."""
    return base64.b64encode(value).decode()


@pytest.fixture(scope="module", params=TYPES)
def key(request: pytest.FixtureRequest, appliance: Appliance) -> dict[str, Any]:
    """A key of each size."""
    if "pq-signer" not in appliance.passwords:
        appliance.add_user("pq-signer")
        appliance.add_rule("pq-signer", "pq-*")
    return appliance.add_key(f"pq-{request.param}", request.param)


def sign(appliance: Appliance, key: dict[str, Any], **fields: str) -> bytes:
    """A signature by REST."""
    path = f"/cores/1/keys/{key['id']}/sign"
    answer = appliance.api("POST", path, {"pin": PIN, **fields}, user="pq-signer").json()
    return base64.b64decode(answer["signature"], validate=True)


def public(key: dict[str, Any]) -> primitives.MLDSAPublicKey:
    """The public half, as everybody gets it."""
    loaded = load_der_public_key(base64.b64decode(key["public_key"]))
    assert isinstance(loaded, primitives.MLDSAPublicKey)
    return loaded


def test_a_message_with_a_context(appliance: Appliance, key: dict[str, Any]) -> None:
    """The signature holds for message and context, and for no other context."""
    signature = sign(appliance, key, data=base64_of(MESSAGE), context=base64_of(b"tests"))
    primitives.verify(public(key), Scheme(Mechanism.ML_DSA, context=b"tests"), MESSAGE, signature)
    with pytest.raises(InvalidSignatureError):
        primitives.verify(public(key), Scheme(Mechanism.ML_DSA), MESSAGE, signature)


def test_a_digest_is_signed_as_hash_ml_dsa(appliance: Appliance, key: dict[str, Any]) -> None:
    """Made by the caller or by the appliance of the data, it is the same."""
    scheme = Scheme(Mechanism.HASH_ML_DSA, Hash.SHA_512)
    for given in ({"digest": base64_of(DIGEST)}, {"data": base64_of(MESSAGE)}):
        primitives.verify(public(key), scheme, DIGEST, sign(appliance, key, hash="SHA-512", **given))


def test_a_representative(appliance: Appliance, key: dict[str, Any]) -> None:
    """64 bytes without a hash are the message representative, so a large file need not travel."""
    hasher = mldsa.MLDSAMuHasher(public(key))
    hasher.update(MESSAGE)
    signature = sign(appliance, key, digest=base64_of(hasher.finalize()))
    primitives.verify(public(key), Scheme(Mechanism.ML_DSA), MESSAGE, signature)


def test_the_appliance_verifies(appliance: Appliance, key: dict[str, Any]) -> None:
    """It tells the right message from another one."""
    signature = base64_of(sign(appliance, key, data=base64_of(MESSAGE)))
    path = f"/cores/1/keys/{key['id']}/verify"
    for message, valid in ((MESSAGE, True), (b"another", False)):
        body = {"data": base64_of(message), "signature": signature}
        assert appliance.api("POST", path, body, user="pq-signer").json()["valid"] is valid


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"data": base64_of(MESSAGE), "context": base64_of(bytes(256))}, "body.context"),
        ({"digest": base64_of(bytes(64)), "context": base64_of(b"in it already")}, "body.context"),
        ({"digest": base64_of(bytes(32))}, "body.digest"),
        ({"digest": base64_of(bytes(32)), "mechanism": "HashML-DSA"}, "body.hash"),
        ({"digest": base64_of(bytes(32)), "hash": "SHA-512"}, "body.digest"),
        ({"data": base64_of(MESSAGE), "mechanism": "EdDSA"}, "body.mechanism"),
    ],
)
def test_what_does_not_fit(appliance: Appliance, key: dict[str, Any], fields: dict[str, str], field: str) -> None:
    """Each wrong request is refused, and its field named."""
    path = f"/cores/1/keys/{key['id']}/sign"
    answer = appliance.api("POST", path, {"pin": PIN, **fields}, user="pq-signer", check=False)
    assert answer.status_code == 422
    assert [one["field"] for one in answer.json()["errors"]] == [field]


def test_a_policy_that_wants_the_data(appliance: Appliance, key: dict[str, Any]) -> None:
    """It gets the message or what it hashes itself; a representative or a digest that somebody computed is refused."""
    label = f"pq-data-{key['type']}"
    body = {"label": label, "type": key["type"], "pin": PIN, "policy": {"raw_digest": False}}
    made = appliance.api("POST", "/cores/1/keys", body).json()
    sign(appliance, made, data=base64_of(MESSAGE))
    sign(appliance, made, data=base64_of(MESSAGE), hash="SHA-256")
    for fields in ({"digest": base64_of(bytes(64))}, {"digest": base64_of(DIGEST), "hash": "SHA-512"}):
        path = f"/cores/1/keys/{label}/sign"
        answer = appliance.api("POST", path, {"pin": PIN, **fields}, user="pq-signer", check=False)
        assert answer.status_code == 403
        assert answer.json()["event"] > 0
