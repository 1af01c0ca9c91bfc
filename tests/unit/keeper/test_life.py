"""What the keeper does with keys beside signing, and what no API worker can talk it into."""

import threading
import time
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from msgspec.structs import replace

from privyseal.keeper import life, policies, sealing, signing
from privyseal.keeper.counters import TYPE
from privyseal.keeper.keyring import Keyring
from privyseal.model.keys import KeyType
from privyseal.wire import frames, keywrap
from support.keeper import SALT, SECRET
from support.keyring import DIGEST, PIN, PROOF, code, generate, sign

ALL = frames.Policy((), pin=False)
NOW = int(time.time())


def made(ring: Keyring, policy: frames.Policy, key_type: str = "ec:P-256", pin: str | None = None) -> frames.Generated:
    """A key with a policy."""
    answer = ring.handle(frames.Generate("f90fb8e79e60a1b2", 1, key_type, pin, SALT, policy))
    assert isinstance(answer, frames.Generated), answer
    return answer


def signed(ring: Keyring, request: frames.Sign) -> frames.Signatures:
    """The answer to a request that is granted."""
    answer = ring.handle(request)
    assert isinstance(answer, frames.Signatures), answer
    return answer


def detail(answer: frames.Answer) -> str:
    """The words of a refusal."""
    assert isinstance(answer, frames.Refused)
    return answer.detail


def test_old_records_open(keyring: Keyring) -> None:
    """A policy of two fields, as the first version sealed it, is a policy that restricts nothing more."""
    old = bytes.fromhex("93a6506f6c69637991a54543445341c2")  # written by that version
    policy = frames.policy(old)
    assert policy == frames.Policy(("ECDSA",), pin=False)
    assert not policies.restricts(policy)
    blank = frames.SealedKey("ab" * 8, 1, "ec:P-256", 1, old, b"")
    private = signing.to_pkcs8(signing.generate(KeyType.P256))
    signed(keyring, sign(sealing.close(keyring.domain(), blank, private, None), None))


@pytest.mark.parametrize(
    ("policy", "change", "says"),
    [
        ({"operations": ()}, {}, "to sign"),
        ({"hashes": ("SHA-384",)}, {}, "SHA-256; use SHA-384"),
        ({"hashes": ("SHA-384",)}, {"hash": None}, "an input without a named hash"),
        ({"not_before": NOW + 3600}, {}, "before 20"),
        ({"not_after": NOW - 3600}, {}, "after 20"),
        ({"raw_digest": False}, {}, "the data itself"),
        ({"raw_digest": False}, {"data": True, "hash": None}, "the data itself"),
        ({"max_uses": 1}, {"inputs": (DIGEST, DIGEST)}, "1 uses, and 0"),
    ],
)
def test_what_a_policy_refuses(
    keyring: Keyring, policy: dict[str, object], change: dict[str, object], says: str
) -> None:
    """Each limit by itself, before the key is open and after."""
    born = made(keyring, replace(ALL, **policy))
    request = replace(sign(born.record, None), counter=born.counter, **change)
    for _ in range(2):
        answer = keyring.handle(request)
        assert code(answer) == frames.POLICY
        assert says in detail(answer)


def test_a_policy_that_is_met(keyring: Keyring) -> None:
    """Within its time and with its hash the key signs; the keeper hashes data, and EdDSA's messages are neither."""
    policy = replace(ALL, not_before=NOW - 60, not_after=NOW + 3600, hashes=("SHA-256",), raw_digest=False)
    request = replace(sign(made(keyring, policy).record, None), data=True, inputs=(b"message",))
    assert not keyring.is_quick(request)
    public = serialization.load_der_public_key(made(keyring, ALL).public_key)
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert len(signed(keyring, request).values) == 1
    eddsa = sign(made(keyring, replace(ALL, raw_digest=False), "ed25519").record, None)
    signed(keyring, replace(eddsa, mechanism="EdDSA", hash=None, inputs=(b"message",)))
    signed(keyring, replace(eddsa, mechanism="EdDSA", hash=None, inputs=(b"message",), data=True))


@pytest.mark.parametrize(
    ("key_type", "policy"),
    [
        ("ec:P-256", {"mechanisms": ("RSA-PSS",)}),
        ("ec:P-256", {"operations": ("decrypt",)}),
        ("ec:P-256", {"hashes": ()}),
        ("ed25519", {"hashes": ("SHA-256",)}),
    ],
)
def test_policies_that_no_key_gets(keyring: Keyring, key_type: str, policy: dict[str, object]) -> None:
    """The keeper checks them again, whatever a worker lets through."""
    wanted = replace(ALL, **policy)
    assert code(keyring.handle(frames.Generate("a" * 16, 1, key_type, None, SALT, wanted))) == frames.WANTED_POLICY
    born = made(keyring, ALL, key_type)
    answer = keyring.handle(frames.ChangePolicy("alice", 1, None, born.record, wanted, None))
    assert code(answer) == frames.WANTED_POLICY


def test_pin_and_origin_are_the_keepers_to_say(keyring: Keyring) -> None:
    """A worker that asks for others gets what is true, at birth and at every change."""
    lie = replace(ALL, mechanisms=("ECDSA",), pin=False, origin="imported")
    record = made(keyring, lie, pin=PIN).record
    assert frames.policy(record.policy) == replace(lie, pin=True, origin="generated")
    answer = keyring.handle(frames.ChangePolicy("alice", 1, PROOF, record, lie, None))
    assert isinstance(answer, frames.PolicyChanged)
    assert frames.policy(answer.record.policy) == replace(lie, pin=True, origin="generated")
    signed(keyring, sign(answer.record))


def test_a_policy_needs_the_pin_and_never_lets_a_key_out(keyring: Keyring) -> None:
    """No PIN, a wrong one, another core; exportable goes off and never on."""
    record = made(keyring, ALL, pin=PIN).record
    policy = replace(ALL, mechanisms=("ECDSA",))
    change = frames.ChangePolicy("alice", 1, PROOF, record, policy, None)
    for wrong, expected in (
        ({"proof": None}, frames.PIN_REQUIRED),
        ({"proof": frames.PINProof("87654321", SALT, counted=True)}, frames.PIN_INCORRECT),
        ({"proof": frames.PINProof("11111111", SALT, counted=False)}, frames.UNCOUNTED),
        ({"core": 2}, frames.DAMAGED),
        ({"policy": replace(policy, exportable=True)}, frames.WANTED_POLICY),
        ({"record": replace(record, policy=frames.encode_policy(replace(ALL, exportable=True)))}, frames.DAMAGED),
    ):
        assert code(keyring.handle(replace(change, **wrong))) == expected
    leaving = made(keyring, replace(ALL, exportable=True)).record
    off = keyring.handle(frames.ChangePolicy("alice", 1, None, leaving, policy, None))
    assert isinstance(off, frames.PolicyChanged)
    on = frames.ChangePolicy("alice", 1, None, off.record, replace(policy, exportable=True), None)
    assert code(keyring.handle(on)) == frames.WANTED_POLICY


def test_uses_are_counted_whatever_counter_comes_back(keyring: Keyring) -> None:
    """An old count, another key's and none at all are no way around; after a restart the newest count goes on."""
    born = made(keyring, replace(ALL, max_uses=3))
    request = replace(sign(born.record, None), counter=born.counter)
    first = signed(keyring, request)
    assert (first.uses, signed(keyring, request).uses) == (1, 2)  # the same old counter twice
    assert code(keyring.handle(replace(request, counter=None))) == frames.DAMAGED
    for stranger in (b"", born.record.sealed, bytes(40)):
        assert code(keyring.handle(replace(request, counter=stranger))) == frames.DAMAGED
    last = signed(keyring, replace(request, counter=first.counter))
    assert (last.uses, code(keyring.handle(request))) == (3, frames.POLICY)
    restarted = Keyring({})
    restarted.handle(opening(keyring))
    assert code(restarted.handle(replace(request, counter=last.counter))) == frames.POLICY


def opening(keyring: Keyring) -> frames.Open:
    """What opens the keyring's domain key again, or in another one."""
    slot = keyring.handle(frames.AddSlot(frames.Opener("key-file", SECRET)))
    assert isinstance(slot, frames.Slot)
    return frames.Open((slot.sealed,), "key-file", SECRET, ())


def test_a_counter_is_no_key_and_holds_none(keyring: Keyring) -> None:
    """Opened, it is eight bytes of a number; and it is sealed to its own place."""
    born = made(keyring, replace(ALL, max_uses=3))
    assert born.counter is not None
    record = frames.SealedKey(born.record.id, 1, TYPE, 1, b"", born.counter)
    assert sealing.open_outer(keyring.domain(), record) == bytes(8)
    as_key = replace(born.record, sealed=born.counter)
    assert code(keyring.handle(sign(as_key, None))) == frames.DAMAGED
    assert code(keyring.handle(sign(record, None))) == frames.FAILED


def test_two_workers_share_a_limit(keyring: Keyring) -> None:
    """At once, with the same old counter, through every way in: no use has the same number."""
    born = made(keyring, replace(ALL, max_uses=40))
    request = replace(sign(born.record, None), counter=born.counter)
    uses: list[int | None] = []

    def work() -> None:
        for _ in range(10):
            answer = keyring.handle(request)
            uses.append(answer.uses if isinstance(answer, frames.Signatures) else None)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(use for use in uses if use) == list(range(1, 41))


def test_a_limit_that_comes_goes_and_comes_back(keyring: Keyring) -> None:
    """A key without one gets a count from nought; a new limit goes on from the old count, and never without it."""
    born = made(keyring, ALL)
    limited = replace(ALL, mechanisms=("ECDSA",), max_uses=2)
    first = keyring.handle(frames.ChangePolicy("alice", 1, None, born.record, limited, None))
    assert isinstance(first, frames.PolicyChanged)
    assert first.counter is not None
    used = signed(keyring, replace(sign(first.record, None), counter=first.counter))
    more = frames.ChangePolicy("alice", 1, None, first.record, replace(limited, max_uses=9), used.counter)
    assert code(keyring.handle(replace(more, counter=None))) == frames.DAMAGED
    second = keyring.handle(more)
    assert isinstance(second, frames.PolicyChanged)
    assert signed(keyring, replace(sign(second.record, None), counter=second.counter)).uses == 2
    free = keyring.handle(replace(more, policy=replace(limited, max_uses=None)))
    assert isinstance(free, frames.PolicyChanged)
    assert free.counter is None


def test_a_rotation(keyring: Keyring) -> None:
    """Another key, the next version, the same policy; the PIN stays or there is a new one; a count from nought."""
    born = made(keyring, replace(ALL, max_uses=2, exportable=True), pin=PIN)
    rotate = frames.Rotate("alice", 1, PROOF, born.record, None, SALT)
    assert code(keyring.handle(replace(rotate, proof=None))) == frames.PIN_REQUIRED
    second = keyring.handle(rotate)
    assert isinstance(second, frames.Generated)
    assert (second.record.version, second.record.policy) == (2, born.record.policy)
    assert second.public_key != born.public_key
    assert second.pin_tag == born.pin_tag
    assert second.counter is not None
    assert signed(keyring, replace(sign(second.record), counter=second.counter)).uses == 1
    assert code(keyring.handle(replace(sign(second.record), counter=born.counter))) == frames.DAMAGED
    third = keyring.handle(replace(rotate, record=second.record, new_pin="another PIN"))
    assert isinstance(third, frames.Generated)
    assert code(keyring.handle(replace(sign(third.record), counter=third.counter))) == frames.PIN_INCORRECT
    given = keyring.handle(replace(rotate, record=generate(keyring, pin=None), new_pin=PIN))
    assert isinstance(given, frames.Generated)
    assert frames.policy(given.record.policy).pin


def pkcs8(key: signing.PrivateKey) -> bytes:
    """As it is wrapped."""
    return signing.to_pkcs8(key)


def taken_in(ring: Keyring, der: bytes, **change: object) -> frames.Answer:
    """What the keeper says of a key that comes wrapped."""
    given = ring.handle(frames.NewImportKey("alice", 1))
    assert isinstance(given, frames.ImportKey)
    wrapped = keywrap.wrap(keywrap.load_wrapping_key(given.public_key), der)
    request = frames.Import("alice", 1, given.id, wrapped, "cd" * 8, None, SALT)
    return ring.handle(replace(request, **change))


@pytest.mark.parametrize(
    ("key", "key_type"),
    [
        (ec.generate_private_key(ec.SECP521R1()), "ec:P-521"),
        (ec.generate_private_key(ec.BrainpoolP256R1()), "ec:brainpoolP256r1"),
        (ed25519.Ed25519PrivateKey.generate(), "ed25519"),
        (ed448.Ed448PrivateKey.generate(), "ed448"),
        (rsa.generate_private_key(65537, 2048), "rsa:2048"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_import(keyring: Keyring, key: signing.PrivateKey, key_type: str) -> None:
    """The key is what it was, marked, under the PIN that it gets here."""
    answer = taken_in(keyring, pkcs8(key), pin=PIN)
    assert isinstance(answer, frames.Generated)
    assert (answer.record.type, frames.policy(answer.record.policy).origin) == (key_type, "imported")
    assert answer.public_key == signing.to_spki(key)
    assert answer.pin_tag is not None
    assert frames.policy(answer.record.policy).mechanisms == tuple(one.value for one in KeyType(key_type).mechanisms)


def unbalanced_rsa() -> bytes:
    """A key with a public exponent that is too small."""
    return pkcs8(rsa.generate_private_key(3, 2048))


def mismatched_ec() -> bytes:
    """A P-256 key whose public half is another one's."""
    one, other = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    form = serialization.PublicFormat.UncompressedPoint
    mine, theirs = (key.public_key().public_bytes(serialization.Encoding.X962, form) for key in (one, other))
    return pkcs8(one).replace(mine, theirs)


def off_curve() -> bytes:
    """A P-256 key whose public half is no point."""
    key = ec.generate_private_key(ec.SECP256R1())
    point = key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    return pkcs8(key).replace(point, point[:-1] + bytes([point[-1] ^ 1]))


def inconsistent_rsa() -> bytes:
    """An RSA key whose exponent belongs to another modulus."""
    der, numbers = None, rsa.generate_private_key(65537, 2048).private_numbers()
    whole = pkcs8(numbers.private_key())
    wrong = numbers.d.to_bytes((numbers.d.bit_length() + 7) // 8, "big")
    der = whole.replace(wrong, wrong[:-1] + bytes([wrong[-1] ^ 2]))
    assert der != whole
    return der


@pytest.mark.parametrize(
    ("der", "says"),
    [
        (b"nonsense", "no consistent private key"),
        (pkcs8(ec.generate_private_key(ec.SECP224R1())), "these are: rsa:2048, "),
        (pkcs8(rsa.generate_private_key(65537, 1024)), "these are: rsa:2048, "),  # noqa: S505 - refused for that
        (signing.to_pkcs8(dsa.generate_private_key(2048)), "these are: rsa:2048, "),  # type: ignore[arg-type]
        (unbalanced_rsa(), "65537 or more"),
        (mismatched_ec(), ""),
        (off_curve(), ""),
        (inconsistent_rsa(), "no consistent private key"),
    ],
    ids=["nonsense", "P-224", "RSA-1024", "DSA", "exponent", "mismatch", "off the curve", "inconsistent"],
)
def test_keys_that_are_not_taken_in(keyring: Keyring, der: bytes, says: str) -> None:
    """Each is told why, and those of other types what there is."""
    answer = taken_in(keyring, der)
    assert code(answer) == frames.WRAPPED
    assert says in detail(answer)


def test_primes_that_are_close() -> None:
    """Fermat's way to factor needs them so; a key like that is refused."""
    numbers = rsa.generate_private_key(65537, 2048).private_numbers()
    close = rsa.RSAPrivateNumbers(
        p=numbers.p, q=numbers.p - 2, d=numbers.d, dmp1=1, dmq1=1, iqmp=1, public_numbers=numbers.public_numbers
    )

    class Close:
        """An RSA key as the check sees it."""

        key_size = 2048

        def public_key(self) -> rsa.RSAPublicKey:
            return numbers.public_numbers.public_key()

        def private_numbers(self) -> rsa.RSAPrivateNumbers:
            return close

    with pytest.raises(signing.ForeignKeyError, match="close"):
        signing._check_rsa(Close())  # type: ignore[arg-type]


def test_a_public_half_of_another_key() -> None:
    """The loader finds that too; this check does not rest on it."""
    one, other = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    mixed = ec.EllipticCurvePrivateNumbers(one.private_numbers().private_value, other.public_key().public_numbers())

    class Mixed:
        """An EC key as the check sees it."""

        curve = one.curve

        def private_numbers(self) -> ec.EllipticCurvePrivateNumbers:
            return mixed

    with pytest.raises(signing.ForeignKeyError, match="public half"):
        signing._check_ec(Mixed())  # type: ignore[arg-type]


def test_an_import_key_serves_once_and_its_owner(keyring: Keyring, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not twice, for nobody else, in no other core, not after ten minutes, not over a lock; a guess costs it."""
    good = pkcs8(ec.generate_private_key(ec.SECP256R1()))
    for change in ({"user": "bob"}, {"core": 2}, {"import_key": "0" * 32}):
        assert code(taken_in(keyring, good, **change)) == frames.IMPORT_KEY
    given = keyring.handle(frames.NewImportKey("alice", 1))
    assert isinstance(given, frames.ImportKey)
    request = frames.Import("alice", 1, given.id, bytes(600), "cd" * 8, None, SALT)
    assert [code(keyring.handle(request)) for _ in range(2)] == [frames.WRAPPED, frames.IMPORT_KEY]
    monkeypatch.setattr(life, "IMPORT_KEY_SECONDS", -1)
    assert code(taken_in(keyring, good)) == frames.IMPORT_KEY
    monkeypatch.undo()
    late = keyring.handle(frames.NewImportKey("alice", 1))
    assert isinstance(late, frames.ImportKey)
    assert datetime.fromtimestamp(late.expires, UTC) > datetime.now(UTC)
    unlocking = opening(keyring)
    keyring.handle(frames.Lock())
    assert code(keyring.handle(frames.NewImportKey("alice", 1))) == frames.LOCKED
    assert code(keyring.handle(replace(request, import_key=late.id))) == frames.LOCKED
    keyring.handle(unlocking)
    assert code(keyring.handle(replace(request, import_key=late.id))) == frames.IMPORT_KEY


def test_an_export(keyring: Keyring) -> None:
    """Wrapped, with the PIN, within its time, to a key that is long enough; and of no other key."""
    mine = rsa.generate_private_key(65537, 3072)
    spki = signing.to_spki(mine)
    born = made(keyring, replace(ALL, exportable=True), pin=PIN)
    export = frames.Export("alice", 1, PROOF, born.record, spki)
    answer = keyring.handle(export)
    assert isinstance(answer, frames.Exported)
    private = serialization.load_der_private_key(keywrap.unwrap(mine, answer.wrapped), None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    assert signing.to_spki(private) == born.public_key
    for change, expected in (
        ({"proof": None}, frames.PIN_REQUIRED),
        ({"record": generate(keyring)}, frames.POLICY),
        ({"public_key": b"nonsense"}, frames.PUBLIC_KEY),
        ({"public_key": signing.to_spki(rsa.generate_private_key(65537, 2048))}, frames.PUBLIC_KEY),
        ({"public_key": born.public_key}, frames.PUBLIC_KEY),
        ({"record": made(keyring, replace(ALL, exportable=True, not_after=NOW - 9), pin=PIN).record}, frames.POLICY),
    ):
        assert code(keyring.handle(replace(export, **change))) == expected
