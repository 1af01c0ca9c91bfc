"""What the SDK's keys do beside signing, and the objects of a core, against a real appliance."""

from collections.abc import Iterator

import pytest

from privyseal.client import Appliance, Configuration, CoreClient, InvalidSignatureError
from privyseal.client.errors import InvalidBodyError, NotFoundError
from support.appliance import Appliance as RunningAppliance

KEYS = {
    "sdk-aes": "aes:256",
    "sdk-mac": "secret:256",
    "sdk-rsa": "rsa:2048",
    "sdk-x": "x25519",
    "sdk-y": "x25519",
    "sdk-kem": "ml-kem-768",
}


@pytest.fixture(scope="module")
def core(appliance: RunningAppliance) -> Iterator[CoreClient]:
    """A core with a key of each kind, without PINs, as a user who may do everything there."""
    number = appliance.api("POST", "/cores", {"name": "sdk-operations", "pin_required": False}).json()["number"]
    appliance.add_user("sdk-worker")
    verbs = ["encrypt", "decrypt", "derive", "sign", "wrap", "unwrap", "export", "import", "manage"]
    operations = [*(f"key:{verb}" for verb in verbs), "object:create", "object:destroy"]
    appliance.add_rule("sdk-worker", operations=operations, core=number)
    for label, key_type in KEYS.items():
        body = {"label": label, "type": key_type, "policy": {"exportable": key_type == "secret:256"}}
        appliance.api("POST", f"/cores/{number}/keys", body)
    configuration = Configuration(
        urls=(appliance.url,), ca_file=appliance.ca_file, user="sdk-worker",
        password=appliance.passwords["sdk-worker"], timeout_ms=30_000,
    )  # fmt: skip
    with Appliance(configuration) as there:
        yield there.core(number)


def test_what_is_encrypted_comes_back(core: CoreClient) -> None:
    """With a nonce of the appliance's; and what does not decrypt raises."""
    made = core.key("sdk-aes").encrypt(b"text", aad=b"about it")
    assert made.iv is not None
    assert core.key("sdk-aes").decrypt(made.data, iv=made.iv, aad=b"about it").value == b"text"
    with pytest.raises(InvalidBodyError):
        core.key("sdk-aes").decrypt(made.data, iv=made.iv)
    sealed = core.key("sdk-rsa").encrypt(b"text", mechanism="RSA-OAEP", hash="SHA-512")
    assert sealed.iv is None
    assert core.key("sdk-rsa").decrypt(sealed.data, mechanism="RSA-OAEP", hash="SHA-512").value == b"text"


def test_secrets_stay_out_of_print(core: CoreClient) -> None:
    """Neither a plaintext nor a derived secret is shown by accident."""
    made = core.key("sdk-aes").encrypt(b"the plaintext")
    found = core.key("sdk-aes").decrypt(made.data, iv=made.iv)
    assert "plaintext" not in repr(found)
    assert repr(core.key("sdk-kem").encapsulate()).startswith("Capsule(ciphertext=")


def test_both_sides_derive_the_same(core: CoreClient) -> None:
    """With each other's public key."""
    one, two = (core.key(name) for name in ("sdk-x", "sdk-y"))
    secret = one.derive(public_key=two.record().public_key)
    assert secret.value == two.derive(mechanism="ECDH", public_key=one.record().public_key).value
    derived = core.key("sdk-mac").derive(mechanism="HKDF", info=b"info", length=48)
    assert len(derived.value) == 48


def test_capsules(core: CoreClient) -> None:
    """What one makes the other finds."""
    made = core.key("sdk-kem").encapsulate()
    assert core.key("sdk-kem").decapsulate(made.ciphertext).value == made.secret


def test_macs(core: CoreClient) -> None:
    """A forgotten check raises."""
    mac = core.key("sdk-mac").sign(data=b"text", hash_name="SHA-256").signature
    assert core.key("sdk-mac").verify_mac(mac, b"text", hash="SHA-256") > 0
    with pytest.raises(InvalidSignatureError):
        core.key("sdk-mac").verify_mac(mac, b"another")


def test_wrap_and_unwrap(core: CoreClient) -> None:
    """Under another name and id it is the same key."""
    wrapped = core.key("sdk-aes").wrap("sdk-mac", mechanism="AES-KW")
    how = {"mechanism": "AES-KW", "object_id": "0a0b", "tags": ["copy"]}
    copy = core.key("sdk-aes").unwrap(wrapped, "sdk-copy", "secret:256", **how)
    assert (copy.origin, copy.tags, copy.public_key) == ("imported", ("copy",), b"")
    mac = core.key("sdk-mac").sign(data=b"text").signature
    core.key("sdk-copy").verify_mac(mac, b"text")
    assert core.key("sdk-copy").update(object_id="0c").document["object_id"] == "0c"


def test_objects(core: CoreClient) -> None:
    """Kept, found, changed and removed."""
    made = core.objects.create("data", b"content", label="note", object_id="0a", application="tests")
    assert core.objects.get(made.id) == made
    assert list(core.objects.find(label="note", object_class="data")) == [made]
    changed = core.objects.update(made.id, value=b"changed")
    assert (changed.value, changed.label) == (b"changed", "note")
    assert changed in list(core.objects)
    core.objects.delete(made.id)
    with pytest.raises(NotFoundError):
        core.objects.get(made.id)
