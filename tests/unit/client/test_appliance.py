"""The SDK against a real appliance."""

import hashlib
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from privyseal.client import Appliance, Configuration, InvalidSignatureError, KeyClient, hash_file
from privyseal.client import errors as client_errors
from privyseal.client.http import path_part
from privyseal.client.records import NewCredential
from privyseal.wire import keywrap
from support.appliance import PIN
from support.appliance import Appliance as RunningAppliance

DIGEST = hashlib.sha256(b"data").digest()


@pytest.fixture(scope="module")
def admin(appliance: RunningAppliance) -> Iterator[Appliance]:
    """The SDK as the administrator."""
    with sdk(appliance, "admin") as there:
        yield there


@pytest.fixture(scope="module")
def user(appliance: RunningAppliance) -> Iterator[Appliance]:
    """The SDK as a user who may sign with the keys `sdk-…`."""
    appliance.add_rule(appliance.add_user("sdk-user"), "sdk-*")
    appliance.add_key("sdk-ec")
    appliance.add_key("sdk-ed", "ed25519")
    with sdk(appliance, "sdk-user") as there:
        yield there


def sdk(appliance: RunningAppliance, name: str) -> Appliance:
    """The SDK as one user."""
    password = appliance.passwords[name]
    return Appliance(
        Configuration(urls=(appliance.url,), ca_file=appliance.ca_file, user=name, password=password, timeout_ms=30_000)
    )


def key(user: Appliance, name: str = "sdk-ec") -> KeyClient:
    """A key with its PIN."""
    return user.core(1).key(name, pin=PIN)


def test_a_digest_is_signed_and_verified_by_openssl(user: Appliance, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"data")
    signed = key(user).sign(digest=hash_file(tmp_path / "data"), hash_name="SHA-256")
    (tmp_path / "signature").write_bytes(signed.signature)
    (tmp_path / "public.pem").write_bytes(key(user).public_pem())
    judge = ["openssl", "dgst", "-sha256", "-verify", "public.pem", "-signature", "signature", "data"]
    assert subprocess.run(judge, cwd=tmp_path, capture_output=True, check=True).stdout == b"Verified OK\n"
    assert signed.event > 0


def test_verify_raises_when_it_does_not_fit(user: Appliance) -> None:
    signature = key(user).sign(data=b"data").signature
    assert key(user).verify(signature, data=b"data") > 0
    with pytest.raises(InvalidSignatureError) as caught:
        key(user).verify(signature, data=b"other")
    assert caught.value.event is not None


def test_raw_encoding_has_two_equal_halves(user: Appliance) -> None:
    """PKCS #11 v3.1, section 6.3.1: r and s, each as long as the order."""
    signature = key(user).sign(digest=DIGEST, hash_name="SHA-256", encoding="raw").signature
    assert len(signature) == 64
    key(user).verify(signature, digest=DIGEST, hash_name="SHA-256", encoding="raw")


def test_a_batch_is_in_order(user: Appliance) -> None:
    digests = [hashlib.sha256(bytes([number])).digest() for number in range(5)]
    batch = key(user).sign_batch(digests, hash_name="SHA-256")
    for digest, signature in zip(digests, batch.signatures, strict=True):
        key(user).verify(signature, digest=digest, hash_name="SHA-256")


def test_a_login_goes_in_place_of_the_pin(user: Appliance) -> None:
    with user.core(1).login(PIN) as login:
        assert login.ticket.keys >= 2
        assert login.key("sdk-ec").sign(digest=DIGEST, hash_name="SHA-256").event > 0
        assert login.ticket.ticket not in repr(login.ticket)
    login.logout()


def test_an_ended_ticket_is_renewed(user: Appliance) -> None:
    """The appliance says that the ticket is invalid, and the SDK logs in again once."""
    login = user.core(1).login(PIN)
    login.logout()
    first = login.ticket
    assert login.key("sdk-ec").sign(digest=DIGEST, hash_name="SHA-256").event > 0
    assert login.ticket != first


def test_a_wrong_pin_says_how_many_attempts_are_left(user: Appliance) -> None:
    with pytest.raises(client_errors.PINIncorrectError) as caught:
        user.core(1).key("sdk-ec", pin="00000000").sign(digest=DIGEST, hash_name="SHA-256")
    assert caught.value.attempts_left is not None
    key(user).sign(digest=DIGEST, hash_name="SHA-256")


def test_no_pin_is_said(user: Appliance) -> None:
    with pytest.raises(client_errors.PINRequiredError):
        user.core(1).key("sdk-ec").sign(digest=DIGEST, hash_name="SHA-256")


def test_records_are_read(user: Appliance, admin: Appliance) -> None:
    record = key(user, "sdk-ed").record()
    assert (record.label, record.type, record.pin, record.hashes) == ("sdk-ed", "ed25519", True, ())
    assert record.signs_messages
    assert record == next(user.core(1).keys(label="sdk-ed"))
    assert record.uri == key(user, "sdk-ed").uri()
    assert user.core(record.core).key(record.id).record() == record
    assert admin.core(1).record() in admin.cores()
    assert admin.info().product == "Privyseal"
    assert admin.state() == "operational"


def test_all_keys_are_listed_page_by_page(admin: Appliance, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of one key show the same as one page."""
    everything = list(admin.core(1).keys())
    request = admin._connection.request
    asked: list[object] = []

    def one_at_a_time(method: str, path: str, **options: object) -> object:
        options["query"] = {**options["query"], "limit": 1}  # type: ignore[dict-item]
        asked.append(options["query"])
        return request(method, path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(admin._connection, "request", one_at_a_time)
    assert list(admin.core(1).keys()) == everything
    assert len(asked) >= len(everything) > 1


def test_events_are_read_in_order_and_up_to_a_limit(admin: Appliance) -> None:
    first = list(admin.events(limit=3))
    assert [event.number for event in first] == [1, 2, 3]
    rest = list(admin.events(after=2))
    assert rest[0] == first[2]
    assert [event.number for event in rest] == list(range(3, 3 + len(rest)))


def test_a_user_lives_and_dies(admin: Appliance, appliance: RunningAppliance) -> None:
    made = admin.create_user("sdk-short", role="operator", password="the first password")
    assert admin.user("sdk-short") == made
    assert made in admin.users()
    assert admin.update_user("sdk-short", role="auditor").role == "auditor"
    with pytest.raises(client_errors.ConflictError):
        admin.create_user("sdk-short", role="operator", password="the first password")
    appliance.passwords["sdk-short"] = "the first password"
    with sdk(appliance, "sdk-short") as theirs:
        theirs.change_password(old="the first password", new="the second password")
        with pytest.raises(client_errors.UnauthenticatedError):
            theirs.cores()
    admin.unlock_user("sdk-short")
    admin.delete_user("sdk-short")
    with pytest.raises(client_errors.NotFoundError):
        admin.user("sdk-short")


def test_a_rule_lives_and_dies(admin: Appliance, user: Appliance) -> None:
    del user
    made = admin.create_rule(user="sdk-user", core=1, operations=["key:read"], keys="x*")
    assert admin.rule(made.number) == made
    assert made in admin.rules(user="sdk-user", core=1)
    assert admin.update_rule(made.number, keys="y*").keys == "y*"
    admin.delete_rule(made.number)
    with pytest.raises(client_errors.NotFoundError):
        admin.rule(made.number)


def test_a_core_lives_and_dies(admin: Appliance) -> None:
    made = admin.create_core("sdk-core", pin_required=False)
    core = admin.core("sdk-core")
    assert core.record() == made
    assert core.update(token_label="other").token_label == "other"
    core.create_key("free", "ed25519")
    with pytest.raises(client_errors.ConflictError):
        core.delete()
    assert core.key("free").delete().state == "scheduled"
    assert core.update(destroy_days=0).destroy_days == 0
    assert (made.pin_delay_from, made.pin_lock_at) == (5, 10)
    changed = core.update(pin_delay_from=3, pin_lock_at=6)
    assert (changed.pin_delay_from, changed.pin_lock_at) == (3, 6)
    core.key("free").destroy_now()
    core.delete()
    with pytest.raises(client_errors.NotFoundError):
        core.record()


def test_access_is_explained(admin: Appliance, user: Appliance) -> None:
    del user
    yes = admin.explain_access(user="sdk-user", core=1, operation="key:sign", key="sdk-ec")
    no = admin.explain_access(user="sdk-user", core=1, operation="key:destroy", key="sdk-ec")
    assert (yes.allowed, no.allowed) == (True, False)
    assert yes.rule is not None
    assert "privyseal rule create --user sdk-user" in (no.missing_rule or "")


def test_a_refusal_names_the_missing_rule(user: Appliance, admin: Appliance) -> None:
    del admin
    with pytest.raises(client_errors.KeyNotFoundError) as caught:
        user.core(1).key("no-such-key").sign(digest=DIGEST, hash_name="SHA-256")
    assert "key:sign" in (caught.value.missing_rule or "")
    assert caught.value.event is not None


def test_wrong_fields_are_all_named(user: Appliance) -> None:
    with pytest.raises(client_errors.InvalidBodyError) as caught:
        key(user).sign(digest=b"short", hash_name="SHA-256")
    assert caught.value.errors


def test_random_bytes(user: Appliance) -> None:
    assert len(user.core(1).random(33)) == 33
    assert user.core(1).random(32) != user.core(1).random(32)


def test_one_appliance_serves_many_threads(user: Appliance) -> None:
    digests = [hashlib.sha256(bytes([number])).digest() for number in range(32)]
    with ThreadPoolExecutor(8) as threads:
        signed = list(threads.map(lambda digest: key(user).sign(digest=digest, hash_name="SHA-256"), digests))
    assert len({each.event for each in signed}) == 32
    for digest, each in zip(digests, signed, strict=True):
        key(user).verify(each.signature, digest=digest, hash_name="SHA-256")


def test_names_of_any_kind_are_one_part_of_a_path(user: Appliance) -> None:
    """Whatever a name holds, the request is about that name and nothing else: it finds nothing."""
    assert path_part("a/b?c#d e\u00fc") == "a%2Fb%3Fc%23d%20e%C3%BC"
    assert path_part("..") == "%2E%2E"
    for name in ("..", "../../users", "a b", "\u00fc", "100%", "a?b", "a#b"):
        with pytest.raises((client_errors.KeyNotFoundError, client_errors.NotFoundError)):
            user.core(1).key(name).record()


def test_an_objects_name_is_one_part_of_a_path(admin: Appliance) -> None:
    """Whoever removes the object `../keys/LABEL` has not said that the key shall go."""
    core = admin.core(1)
    core.create_key("sdk-not-an-object", "ec:P-256", pin=PIN)
    for use in (core.objects.get, core.objects.delete, lambda id_: core.objects.update(id_, label="other")):
        with pytest.raises(client_errors.NotFoundError):
            use("../keys/sdk-not-an-object")
        with pytest.raises(client_errors.InvalidInputError):
            use("")
    assert core.key("sdk-not-an-object").record().state == "active"


def test_neither_or_both_inputs_are_refused_at_once(user: Appliance) -> None:
    with pytest.raises(client_errors.InvalidInputError):
        key(user).sign()
    with pytest.raises(client_errors.InvalidInputError):
        key(user).sign(digest=DIGEST, data=b"data")
    with pytest.raises(client_errors.InvalidInputError):
        user.core("")


def test_a_key_lives_and_ends(admin: Appliance) -> None:
    """From its policy to its end, each answer as a record."""
    made = admin.create_core("sdk-life", pin_required=False, destroy_days=7)
    core = admin.core(made.number)
    first = core.create_key("life", "ec:P-256", pin=PIN, policy={"raw_digest": False, "max_uses": 9})
    assert (first.wants_data, first.signs_messages, first.version, first.origin) == (True, False, 1, "generated")
    key = core.key("life", pin=PIN)
    assert key.change_policy({"max_uses": None}).policy["max_uses"] is None
    assert key.rotate(new_pin="another PIN").version == 2
    assert [each.version for each in key.versions()] == [1, 2]
    assert key.record(version=1).public_key == first.public_key
    assert key.public_pem(version=1) != key.public_pem()
    assert [key.disable().state, key.enable().state] == ["disabled", "active"]
    ending = key.delete(days=7)
    assert (ending.state, ending.destroy_at is None) == ("scheduled", False)
    assert key.restore().state == "active"
    with pytest.raises(client_errors.AccessRefusedError):
        key.destroy_now()
    free = core.create_key("free", "ed25519")
    assert [core.key(free.id).rotate_after(days).rotate_after for days in (30, None)] == [30, None]


def test_a_key_comes_in_and_goes_out(admin: Appliance, appliance: RunningAppliance) -> None:
    """Wrapped here, so that only the keeper reads it; and out only where that was said at its birth."""
    private = ec.generate_private_key(ec.SECP256R1())
    form = serialization.PrivateFormat.PKCS8
    pkcs8 = private.private_bytes(serialization.Encoding.DER, form, serialization.NoEncryption())
    number = admin.create_core("sdk-import", pin_required=False).number
    made = admin.core(number).import_key("moving", pkcs8, pin=PIN, policy={"exportable": True})
    assert (made.origin, made.pin) == ("imported", True)
    mine = rsa.generate_private_key(65537, 3072)
    spki = mine.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    appliance.add_user("sdk-exporter")
    appliance.add_rule("sdk-exporter", operations=["key:export"], core=number)
    with sdk(appliance, "sdk-exporter") as theirs:
        left = theirs.core(number).key("moving", pin=PIN).export(spki)
    assert left.event > 0
    assert serialization.load_der_private_key(keywrap.unwrap(mine, left.wrapped), None) is not None


def test_a_credential_from_beginning_to_end(admin: Appliance, appliance: RunningAppliance, tmp_path: Path) -> None:
    """It is made, used in a password's place, shown and revoked."""
    owner = appliance.add_user("sdk-owner")
    made = admin.create_credential("sdk", user=owner, keys="sdk-*", expires_in=3600)
    assert made.token not in repr(made)
    assert "token" not in made.credential.document
    assert (made.credential.user, made.credential.operations, made.credential.core) == (owner, None, None)
    (tmp_path / "token").write_text(made.token)
    host = Configuration(urls=(appliance.url,), ca_file=appliance.ca_file, credential_file=tmp_path / "token")
    with Appliance(host) as there:
        assert [one.id for one in there.credentials()] == [made.credential.id]
        admin.revoke_credential(made.credential.id)
        with pytest.raises(client_errors.UnauthenticatedError, match="was revoked"):
            there.cores()
    assert admin.credential(made.credential.id).state == "revoked"
    assert [one.name for one in admin.credentials(user=owner)] == ["sdk"]


def test_a_token_that_was_lost_on_the_way_is_told() -> None:
    """A repeated request is answered without it."""
    with pytest.raises(client_errors.UnexpectedAnswerError, match="0123 was made"):
        NewCredential.read({"id": "0123", "token": None})
