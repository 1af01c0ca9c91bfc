"""Everything that a key does beside signing, with a real appliance, judged by programs that know nothing of it.

The last test is the record's: what the keeper counted in all of these is there, and nothing that it did is missing.
"""

import base64
import hashlib
import hmac
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography.hazmat.primitives import hashes, keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import ec, mlkem, padding, rsa, x448, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.serialization import load_der_public_key

from privyseal.audit.verify import verify_export
from privyseal.model.access import RULE_OPERATIONS
from support.appliance import PIN, Appliance
from support.processes import base_environment

USER = "worker"
KNOWN = bytes(range(32))
MAC_KEY = bytes(range(32, 64))
TEXT = b"sixteen bytes...and some more of them"
OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
DER = serialization.Encoding.DER
SPKI = serialization.PublicFormat.SubjectPublicKeyInfo
KEYS = {
    "rsa": "rsa:2048",
    "ec": "ec:P-256",
    "x25519": "x25519",
    "x448": "x448",
    "aes": "aes:256",
    "kem": "ml-kem-768",
}


def text_of(value: bytes) -> str:
    """Bytes as REST has them."""
    return base64.b64encode(value).decode()


def bytes_of(answer: Any, name: str) -> bytes:
    """A field of an answer."""
    return base64.b64decode(answer[name], validate=True)


@pytest.fixture(scope="module")
def there(new_appliance: Callable[..., Appliance]) -> Appliance:
    """An appliance whose core 1 has a key of each kind, without PINs, and two secret keys that the tests know."""
    appliance = new_appliance("--workers", "1")
    appliance.api("PUT", "/cores/1", {"pin_required": False})
    appliance.add_user(USER)
    appliance.add_rule(USER, operations=[one.value for one in RULE_OPERATIONS])
    for label, key_type in KEYS.items():
        appliance.add_key(label, key_type, pin=None)
    bring(appliance, "known", "aes:256", KNOWN)
    bring(appliance, "mac", "secret:256", MAC_KEY)
    return appliance


def wrap(appliance: Appliance, under: str, key: str, mechanism: str) -> Any:
    """Wrap a key under another one."""
    return appliance.api("POST", f"/cores/1/keys/{under}/wrap", {"key": key, "mechanism": mechanism}, user=USER).json()


def ask(appliance: Appliance, key: str, verb: str, *, user: str = USER, **body: Any) -> httpx2.Response:
    """Try something with a key; bytes travel as base64."""
    fields = {name: text_of(value) if isinstance(value, bytes) else value for name, value in body.items()}
    return appliance.api("POST", f"/cores/1/keys/{key}/{verb}", fields, user=user, check=False)


def done(appliance: Appliance, key: str, verb: str, **body: Any) -> Any:
    """Do something with a key."""
    answer = ask(appliance, key, verb, **body)
    assert answer.is_success, answer.text
    return answer.json()


def public(appliance: Appliance, key: str) -> Any:
    """A key's public half."""
    return load_der_public_key(bytes_of(appliance.api("GET", f"/cores/1/keys/{key}").json(), "public_key"))


def bring(appliance: Appliance, label: str, key_type: str, secret: bytes, **more: Any) -> Any:
    """Let the appliance unwrap a key that the test knows."""
    wrapped = public(appliance, "rsa").encrypt(secret, OAEP)
    return done(appliance, "rsa", "unwrap", wrapped=wrapped, label=label, type=key_type, **more)


def refused(answer: httpx2.Response, status: int, kind: str) -> Any:
    """The problem of an answer that says no, which is on record."""
    assert answer.status_code == status, answer.text
    problem = answer.json()
    assert problem["type"] == f"urn:privyseal:problem:{kind}"
    return problem


def event(appliance: Appliance, number: int) -> Any:
    """An event by its number."""
    return appliance.api("GET", f"/audit/events?after={number - 1}&limit=1").json()["events"][0]


def test_rsa_oaep(there: Appliance) -> None:
    """What somebody else encrypts with hash, mask hash and label, the key decrypts; and what it encrypts, too."""
    oaep = padding.OAEP(padding.MGF1(hashes.SHA512()), hashes.SHA384(), b"label")
    how = {"mechanism": "RSA-OAEP", "hash": "SHA-384", "mgf_hash": "SHA-512", "label": b"label"}
    sent = public(there, "rsa").encrypt(TEXT, oaep)
    assert bytes_of(done(there, "rsa", "decrypt", data=sent, **how), "data") == TEXT
    made = bytes_of(done(there, "rsa", "encrypt", data=TEXT, **how), "data")
    assert bytes_of(done(there, "rsa", "decrypt", data=made, **how), "data") == TEXT


def test_rsa_by_openssl(there: Appliance, tmp_path: Path) -> None:
    """Plain openssl encrypts to the public key, with either padding."""
    (tmp_path / "key.pem").write_text(there.api("GET", "/cores/1/keys/rsa/public.pem").text)
    (tmp_path / "text").write_bytes(TEXT)
    for mechanism, mode in (("RSA-PKCS1", "pkcs1"), ("RSA-OAEP", "oaep")):
        options = ["-pkeyopt", f"rsa_padding_mode:{mode}"]
        options += ["-pkeyopt", "rsa_oaep_md:sha256"] if mode == "oaep" else []
        command = ["openssl", "pkeyutl", "-encrypt", "-pubin", "-inkey", "key.pem", "-in", "text", *options]
        sent = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True, env=base_environment()).stdout
        assert bytes_of(done(there, "rsa", "decrypt", mechanism=mechanism, data=sent), "data") == TEXT


def test_what_does_not_decrypt_is_recorded_and_says_nothing_more(there: Appliance) -> None:
    """A wrong padding, a wrong label and a wrong tag get the same answer, and an event with the keeper's number."""
    sent = public(there, "rsa").encrypt(TEXT, OAEP)
    sealed = AESGCM(KNOWN).encrypt(bytes(12), TEXT, b"")
    tries = [
        ask(there, "rsa", "decrypt", mechanism="RSA-OAEP", data=os.urandom(255).rjust(256, b"\0")),
        ask(there, "rsa", "decrypt", mechanism="RSA-OAEP", data=sent, label=b"another"),
        ask(there, "known", "decrypt", mechanism="AES-GCM", data=sealed[:-1] + b"?", iv=bytes(12)),
        ask(there, "known", "decrypt", mechanism="AES-GCM", data=sealed, iv=bytes(12), aad=b"another"),
        ask(there, "known", "decrypt", mechanism="AES-CBC-PAD", data=bytes(32), iv=bytes(16)),
    ]
    problems = [refused(answer, 422, "invalid-body") for answer in tries]
    assert len({str(problem["errors"]) for problem in problems}) == 1
    assert problems[0]["errors"][0]["field"] == "body.data"
    for problem in problems:
        found = event(there, problem["event"])
        assert (found["operation"], found["outcome"]) == ("key:decrypt", "failed")
        assert found["mechanism"].startswith("decrypt ")
        assert found["use"] > 0


def test_a_wrong_padding_of_version_1_5_is_no_error(there: Appliance) -> None:
    """Bleichenbacher's question gets no answer: random data comes back, as it would from a right padding."""
    sent = os.urandom(255).rjust(256, b"\0")
    first, second = (done(there, "rsa", "decrypt", mechanism="RSA-PKCS1", data=sent) for _ in range(2))
    assert first["data"] == second["data"]


def test_ecdh(there: Appliance) -> None:
    """Both sides come to the same secret, whether the point comes alone or as SubjectPublicKeyInfo."""
    mine = ec.generate_private_key(ec.SECP256R1())
    secret = mine.exchange(ec.ECDH(), public(there, "ec"))
    point = mine.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    for form in (point, mine.public_key().public_bytes(DER, SPKI)):
        assert bytes_of(done(there, "ec", "derive", mechanism="ECDH", public_key=form), "secret") == secret
    how = {"kdf": "X9.63", "hash": "SHA-384", "shared_info": b"info", "length": 80}
    derived = bytes_of(done(there, "ec", "derive", public_key=point, **how), "secret")
    assert derived == X963KDF(hashes.SHA384(), 80, b"info").derive(secret)


def test_montgomery_curves(there: Appliance) -> None:
    """X25519 and X448 likewise."""
    of_25519, of_448 = x25519.X25519PrivateKey.generate(), x448.X448PrivateKey.generate()
    pairs = [
        ("x25519", of_25519.public_key(), of_25519.exchange(public(there, "x25519"))),
        ("x448", of_448.public_key(), of_448.exchange(public(there, "x448"))),
    ]
    for key, other, secret in pairs:
        for form in (other.public_bytes_raw(), other.public_bytes(DER, SPKI)):
            assert bytes_of(done(there, key, "derive", public_key=form), "secret") == secret


def test_points_that_are_none(there: Appliance) -> None:
    """Off the curve, on another one, of small order, or no key at all: 422, and on record."""
    elsewhere = ec.generate_private_key(ec.SECP384R1()).public_key().public_bytes(DER, SPKI)
    other = x25519.X25519PrivateKey.generate().public_key().public_bytes(DER, SPKI)
    for key, point in (
        ("ec", b"\4" + bytes(64)),
        ("ec", elsewhere),
        ("ec", other),
        ("x25519", bytes(32)),
        ("x25519", elsewhere),
        ("x448", b"nonsense"),
    ):
        problem = refused(ask(there, key, "derive", public_key=point), 422, "invalid-body")
        assert problem["errors"][0]["field"] == "body.public_key"
        assert event(there, problem["event"])["outcome"] == "failed"


def test_aes_gcm(there: Appliance) -> None:
    """The tag is behind the ciphertext; the appliance makes the iv where none comes."""
    made = done(there, "known", "encrypt", mechanism="AES-GCM", data=TEXT, aad=b"aad")
    iv, sealed = bytes_of(made, "iv"), bytes_of(made, "data")
    assert AESGCM(KNOWN).decrypt(iv, sealed, b"aad") == TEXT
    assert done(there, "known", "encrypt", mechanism="AES-GCM", data=TEXT, aad=b"aad")["iv"] != made["iv"]
    short = done(there, "known", "encrypt", data=TEXT, iv=iv, aad=b"aad", tag_length=12)
    assert bytes_of(short, "data") == sealed[:-4]
    how = {"data": bytes_of(short, "data"), "iv": iv, "aad": b"aad", "tag_length": 12}
    assert bytes_of(done(there, "known", "decrypt", **how), "data") == TEXT


@pytest.mark.parametrize(
    ("mechanism", "cipher"),
    [("AES-CBC", "cbc"), ("AES-CBC-PAD", "cbc"), ("AES-CTR", "ctr"), ("AES-ECB", "ecb")],
)
def test_aes_by_openssl(there: Appliance, tmp_path: Path, mechanism: str, cipher: str) -> None:
    """Plain openssl gives the same ciphertext, and what it encrypts comes back."""
    text = TEXT if mechanism in ("AES-CBC-PAD", "AES-CTR") else TEXT[:32]
    given = {} if cipher == "ecb" else {"iv": bytes(range(16))}
    sealed = bytes_of(done(there, "known", "encrypt", mechanism=mechanism, data=text, **given), "data")
    (tmp_path / "text").write_bytes(text)
    command = ["openssl", "enc", f"-aes-256-{cipher}", "-K", KNOWN.hex(), "-in", "text"]
    command += [] if cipher == "ecb" else ["-iv", bytes(range(16)).hex()]
    command += [] if mechanism == "AES-CBC-PAD" else ["-nopad"]
    theirs = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True, env=base_environment()).stdout
    assert sealed == theirs
    assert bytes_of(done(there, "known", "decrypt", mechanism=mechanism, data=theirs, **given), "data") == text


def test_macs(there: Appliance) -> None:
    """HMAC is what Python's is, whole and cut; it verifies in the keeper, and a wrong one does not."""
    mac = bytes_of(done(there, "mac", "sign", data=TEXT, hash="SHA-512"), "signature")
    assert mac == hmac.digest(MAC_KEY, TEXT, "sha512")
    cut = bytes_of(done(there, "mac", "sign", mechanism="HMAC", data=TEXT, length=8), "signature")
    assert cut == hmac.digest(MAC_KEY, TEXT, "sha256")[:8]
    cmac = bytes_of(done(there, "known", "sign", data=TEXT), "signature")
    for key, value, more in (
        ("mac", mac, {"hash": "SHA-512"}),
        ("mac", cut, {"length": 8}),
        ("known", cmac, {}),
    ):
        for data, valid in ((TEXT, True), (b"another", False)):
            answer = done(there, key, "verify", data=data, signature=value, **more)
            assert answer["valid"] is valid
            assert event(there, answer["event"])["mechanism"].startswith("verify ")


def test_whoever_may_only_see_a_mac_key_cannot_verify(there: Appliance) -> None:
    """To verify a MAC is to be able to make one, so it takes the right to sign."""
    there.add_user("reader")
    there.add_rule("reader", operations=["key:read"])
    answer = ask(there, "mac", "verify", user="reader", data=TEXT, signature=bytes(32))
    assert "key:sign" in refused(answer, 403, "access-refused")["missing_rule"]
    shown = there.api("GET", "/cores/1/keys/mac", user="reader").json()
    assert shown["operations"] == ["key:read"]


def test_derivation_from_a_secret(there: Appliance) -> None:
    """HKDF is what RFC 5869 says, and so is counter mode with its label, context and length (SP 800-108)."""
    how = {"hash": "SHA-384", "salt": b"salt", "info": b"info", "length": 100}
    expected = HKDF(hashes.SHA384(), 100, b"salt", b"info").derive(MAC_KEY)
    assert bytes_of(done(there, "mac", "derive", mechanism="HKDF", **how), "secret") == expected
    fixed = b"label\0context" + (256).to_bytes(4, "big")
    block = hmac.digest(MAC_KEY, (1).to_bytes(4, "big") + fixed, "sha256")
    how = {"mechanism": "SP800-108-COUNTER", "label": b"label", "context": b"context", "length": 32}
    assert bytes_of(done(there, "mac", "derive", **how), "secret") == block


def test_capsules(there: Appliance) -> None:
    """Whoever has the public key makes a secret that the appliance finds; an altered capsule gives another secret."""
    key = public(there, "kem")
    assert isinstance(key, mlkem.MLKEM768PublicKey)
    secret, capsule = key.encapsulate()
    assert bytes_of(done(there, "kem", "decapsulate", ciphertext=capsule), "secret") == secret
    made = done(there, "kem", "encapsulate")
    found = done(there, "kem", "decapsulate", ciphertext=bytes_of(made, "ciphertext"))
    assert found["secret"] == made["secret"]
    altered = done(there, "kem", "decapsulate", ciphertext=bytes([capsule[0] ^ 1]) + capsule[1:])
    assert bytes_of(altered, "secret") != secret
    short = refused(ask(there, "kem", "decapsulate", ciphertext=b"short"), 422, "invalid-body")
    assert short["errors"][0]["field"] == "body.ciphertext"
    for verb in ("encrypt", "decrypt"):
        refused(ask(there, "kem", verb, data=capsule), 422, "invalid-body")


def test_wrapping(there: Appliance) -> None:
    """An exportable key leaves under another one, and comes back with the same public half."""
    body = {"label": "travels", "type": "ec:P-256", "policy": {"exportable": True}}
    before = there.api("POST", "/cores/1/keys", body).json()
    answer = wrap(there, "known", "travels", "AES-KWP")
    wrapped = bytes_of(answer, "wrapped")
    assert load_der_private_half(keywrap.aes_key_unwrap_with_padding(KNOWN, wrapped)) == before["public_key"]
    how = {"wrapped": wrapped, "mechanism": "AES-KWP", "type": "ec:P-256"}
    after = done(there, "known", "unwrap", label="returned", object_id="c0ffee", **how)
    assert (after["public_key"], after["origin"], after["object_id"]) == (before["public_key"], "imported", "c0ffee")
    assert after["policy"]["exportable"] is False
    found = event(there, answer["event"])
    assert before["id"] in found["reason"]
    assert found["input"] == hashlib.sha256(before["id"].encode() + b"\0" + wrapped).hexdigest()


def load_der_private_half(pkcs8: bytes) -> str:
    """The public half of a private key, as REST has it."""
    key = serialization.load_der_private_key(pkcs8, None)
    return text_of(key.public_key().public_bytes(DER, SPKI))


def test_wrapping_of_secrets(there: Appliance) -> None:
    """AES-KW and RSA-OAEP carry a symmetric key's bytes."""
    bring(there, "small", "aes:128", bytes(16), exportable=True)
    wrapped = bytes_of(wrap(there, "known", "small", "AES-KW"), "wrapped")
    assert keywrap.aes_key_unwrap(KNOWN, wrapped) == bytes(16)
    mine = rsa.generate_private_key(65537, 2048)
    sent = mine.private_bytes(DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    carried = keywrap.aes_key_wrap_with_padding(KNOWN, sent)
    done(there, "known", "unwrap", wrapped=carried, mechanism="AES-KWP", label="mine", type="rsa:2048", exportable=True)
    assert mine.decrypt(bytes_of(wrap(there, "mine", "small", "RSA-OAEP"), "wrapped"), OAEP) == bytes(16)
    bring(there, "odd", "secret:160", bytes(20), exportable=True)
    for key, wrapped_key, mechanism in (("known", "odd", "AES-KW"), ("mine", "mine", "RSA-OAEP")):
        body = {"key": wrapped_key, "mechanism": mechanism}  # no multiple of 8 bytes; longer than a modulus
        answer = there.api("POST", f"/cores/1/keys/{key}/wrap", body, user=USER, check=False)
        refused(answer, 422, "invalid-body")


def test_a_key_that_may_not_leave(there: Appliance) -> None:
    """Not under any key, whatever the rules say."""
    body = {"key": "mac", "mechanism": "AES-KW"}
    answer = there.api("POST", "/cores/1/keys/known/wrap", body, user=USER, check=False)
    assert "leave the appliance" in refused(answer, 403, "access-refused")["detail"]


def test_to_wrap_takes_two_rights(there: Appliance) -> None:
    """To wrap with the one key and to export the other; and to unwrap, to import under the new label."""
    there.add_user("wrapper")
    there.add_rule("wrapper", "known", operations=["key:wrap", "key:unwrap"])
    there.add_rule("wrapper", "small", operations=["key:read"])
    body = {"key": "small", "mechanism": "AES-KW"}
    answer = there.api("POST", "/cores/1/keys/known/wrap", body, user="wrapper", check=False)
    assert "key:export" in refused(answer, 403, "access-refused")["missing_rule"]
    body = {"wrapped": text_of(bytes(24)), "mechanism": "AES-KW", "label": "planted", "type": "aes:128"}
    answer = there.api("POST", "/cores/1/keys/known/unwrap", body, user="wrapper", check=False)
    assert "key:import" in refused(answer, 403, "access-refused")["missing_rule"]


@pytest.mark.parametrize(("key_type", "secret"), [("aes:256", bytes(16)), ("ec:P-256", b"no key"), ("rsa:2048", None)])
def test_what_does_not_unwrap(there: Appliance, key_type: str, secret: bytes | None) -> None:
    """Damaged, of another length or of another type: the same words, an event with the keeper's number, and no key."""
    mine = ec.generate_private_key(ec.SECP256R1())
    pkcs8 = mine.private_bytes(DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    whole = keywrap.aes_key_wrap_with_padding(KNOWN, pkcs8 if secret is None else secret)
    for wrapped in (whole, whole[:-1] + bytes([whole[-1] ^ 1])):
        how = {"wrapped": wrapped, "mechanism": "AES-KWP", "label": "never", "type": key_type}
        problem = refused(ask(there, "known", "unwrap", **how), 422, "invalid-body")
        assert problem["errors"][0]["field"] == "body.wrapped"
        assert event(there, problem["event"])["use"] > 0
    assert there.api("GET", "/cores/1/keys/never", check=False).status_code == 404


@pytest.mark.parametrize(
    ("key", "verb", "body", "field"),
    [
        ("rsa", "decrypt", {"data": b"short"}, "data"),
        ("rsa", "decrypt", {"data": bytes(256), "iv": bytes(16)}, "iv"),
        ("rsa", "encrypt", {"data": bytes(191)}, "data"),
        ("rsa", "decrypt", {"data": bytes(256), "mechanism": "AES-GCM"}, "mechanism"),
        ("ec", "decrypt", {"data": bytes(16)}, "mechanism"),
        ("ec", "derive", {}, "public_key"),
        ("ec", "derive", {"public_key": b"x", "length": 5}, "kdf"),
        ("ec", "derive", {"public_key": b"x", "kdf": "concat"}, "kdf"),
        ("aes", "encrypt", {"data": bytes(15), "mechanism": "AES-CBC"}, "data"),
        ("aes", "decrypt", {"data": bytes(15), "mechanism": "AES-CBC-PAD", "iv": bytes(16)}, "data"),
        ("aes", "decrypt", {"data": bytes(16), "mechanism": "AES-CBC"}, "iv"),
        ("aes", "decrypt", {"data": bytes(16), "mechanism": "AES-CBC", "iv": bytes(12)}, "iv"),
        ("aes", "decrypt", {"data": bytes(15), "iv": bytes(12)}, "data"),
        ("aes", "decrypt", {"data": bytes(16), "iv": bytes(7)}, "iv"),
        ("aes", "encrypt", {"data": b"", "tag_length": 8}, "tag_length"),
        ("aes", "encrypt", {"data": bytes(33), "mechanism": "AES-CTR", "iv": b"\xff" * 16, "counter": 8}, "data"),
        ("aes", "encrypt", {"data": b"", "mechanism": "AES-CTR", "counter": 0}, "counter"),
        ("mac", "derive", {"mechanism": "HKDF", "length": 0}, "length"),
        ("mac", "derive", {"mechanism": "HKDF", "info": bytes(4097)}, "info"),
        ("mac", "sign", {"data": b"", "length": 3}, "length"),
        ("mac", "sign", {"digest": bytes(32)}, "digest"),
        ("aes", "sign", {"data": b"", "hash": "SHA-256"}, "hash"),
        ("kem", "sign", {"data": b""}, "mechanism"),
        ("ec", "sign", {"data": b"", "length": 8}, "length"),
    ],
)
def test_what_makes_no_sense(there: Appliance, key: str, verb: str, body: dict[str, Any], field: str) -> None:
    """Refused before a key is touched, and the field named."""
    problem = refused(ask(there, key, verb, **body), 422, "invalid-body")
    assert field in [one["field"].removeprefix("body.") for one in problem["errors"]]
    assert "event" not in problem


def make(appliance: Appliance, label: str, key_type: str, **policy: Any) -> None:
    """A key with a policy."""
    appliance.api("POST", "/cores/1/keys", {"label": label, "type": key_type, "policy": policy})


@pytest.mark.parametrize(
    ("policy", "verb", "says"),
    [
        ({"operations": ["sign"]}, "decrypt", "to decrypt"),
        ({"mechanisms": ["RSA-PSS"]}, "decrypt", "RSA-OAEP"),
        ({"hashes": ["SHA-512"]}, "decrypt", "hash"),
        ({"not_after": "2020-01-01T00:00:00Z"}, "decrypt", "after"),
        ({"operations": ["decrypt"]}, "encrypt", "to encrypt"),
        ({"mechanisms": ["RSA-PSS"]}, "encrypt", "RSA-OAEP"),
        ({"hashes": ["SHA-512"]}, "encrypt", "hash"),
        ({"not_after": "2020-01-01T00:00:00Z"}, "encrypt", "after"),
        ({"operations": ["decrypt"]}, "sign", "to sign"),
        ({"operations": ["sign", "decrypt"], "mechanisms": ["RSA-OAEP"]}, "sign", "RSA-PKCS1"),
    ],
)
def test_the_keys_policy_has_the_last_word(there: Appliance, policy: dict[str, Any], verb: str, says: str) -> None:
    """Whatever the rules allow; and the refusal is on record."""
    label = f"policy-{hashlib.sha256(f'{policy} {verb}'.encode()).hexdigest()[:8]}"
    make(there, label, "rsa:2048", **policy)
    answer = ask(there, label, verb, data=bytes(256) if verb == "decrypt" else b"text")
    problem = refused(answer, 403, "access-refused")
    assert says in problem["detail"]
    assert event(there, problem["event"])["outcome"] == "refused"


def test_a_key_says_what_can_be_asked_of_it(there: Appliance) -> None:
    """By type, by policy and by rule."""
    make(there, "opens", "rsa:2048", operations=["decrypt"])
    shown = {key: there.api("GET", f"/cores/1/keys/{key}", user=USER).json()["operations"] for key in (*KEYS, "opens")}
    verbs = {key: [one for one in operations if ":" not in one] for key, operations in shown.items()}
    assert verbs == {
        "rsa": ["sign", "encrypt", "decrypt", "wrap", "unwrap", "verify"],
        "ec": ["sign", "derive", "verify"],
        "x25519": ["derive"],
        "x448": ["derive"],
        "aes": ["sign", "encrypt", "decrypt", "wrap", "unwrap", "verify"],
        "kem": ["encapsulate", "decapsulate"],
        "opens": ["decrypt", "verify"],
    }


def test_limited_uses_count_everything(there: Appliance) -> None:
    """Three uses are three, whatever they are; what does not decrypt was a use too."""
    make(there, "thrice", "aes:256", max_uses=3)
    sealed = done(there, "thrice", "encrypt", data=TEXT)
    done(there, "thrice", "sign", data=TEXT)
    refused(ask(there, "thrice", "decrypt", data=bytes(32), iv=bytes(12)), 422, "invalid-body")
    answer = ask(there, "thrice", "decrypt", data=bytes_of(sealed, "data"), iv=bytes_of(sealed, "iv"))
    assert event(there, sealed["event"])["reason"] == "use 1 of 3"
    assert "3 are used up" in refused(answer, 403, "access-refused")["detail"]


def test_a_limited_use_says_what_it_was_for(there: Appliance) -> None:
    """The count stands beside what the record says of a use, not in its place."""
    make(there, "counted", "aes:256", max_uses=5)
    make(there, "passenger", "aes:128", exportable=True)
    wrapped = wrap(there, "counted", "passenger", "AES-KW")
    reason = event(there, wrapped["event"])["reason"]
    assert "'passenger'" in reason
    assert reason.endswith("; use 1 of 5")
    mac = done(there, "counted", "sign", data=TEXT)
    verified = done(there, "counted", "verify", data=TEXT, signature=bytes_of(mac, "signature"))
    assert event(there, verified["event"])["reason"] == "valid; use 3 of 5"


def test_old_versions_decrypt(there: Appliance) -> None:
    """They encrypt no more."""
    make(there, "turns", "aes:256")
    sealed = done(there, "turns", "encrypt", data=TEXT)
    there.api("POST", "/cores/1/keys/turns/rotate", {})
    how = {"data": bytes_of(sealed, "data"), "iv": bytes_of(sealed, "iv")}
    refused(ask(there, "turns", "decrypt", **how), 422, "invalid-body")
    assert bytes_of(done(there, "turns", "decrypt", version=1, **how), "data") == TEXT
    refused(ask(there, "turns", "encrypt", data=TEXT, version=1), 403, "access-refused")
    there.api("POST", "/cores/1/keys/turns/disable")
    refused(ask(there, "turns", "decrypt", version=1, **how), 403, "access-refused")


def test_pins(there: Appliance) -> None:
    """A PIN guards decrypting as it guards signing; one PIN opens both keys of a wrapping, and a wrong one counts."""
    there.add_key("guarded", "aes:256")
    body = {"label": "inner", "type": "aes:256", "pin": PIN, "policy": {"exportable": True}}
    there.api("POST", "/cores/1/keys", body)
    refused(ask(there, "guarded", "encrypt", data=TEXT), 403, "pin-required")
    assert (
        refused(ask(there, "guarded", "encrypt", data=TEXT, pin="wrong PIN"), 403, "pin-incorrect")["attempts_left"]
        == 9
    )
    ticket = there.api("POST", "/cores/1/login", {"pin": PIN}, user=USER).json()["ticket"]
    done(there, "guarded", "encrypt", data=TEXT, ticket=ticket)
    for secret in ({"pin": PIN}, {"ticket": ticket}):
        wrap = {"key": "inner", "mechanism": "AES-KW", **secret}
        there.api("POST", "/cores/1/keys/guarded/wrap", wrap, user=USER)
    wrap = {"key": "inner", "mechanism": "AES-KW", "pin": "wrong PIN"}
    refused(there.api("POST", "/cores/1/keys/known/wrap", wrap, user=USER, check=False), 403, "pin-incorrect")


def test_nobody_does_anything_without_a_rule(there: Appliance) -> None:
    """Each verb has its own right, and whoever may see the key is told which one is missing."""
    there.add_user("onlooker")
    there.add_rule("onlooker", operations=["key:read"])
    wanted = {
        "encrypt": ({"data": TEXT}, "key:encrypt"),
        "decrypt": ({"data": TEXT}, "key:decrypt"),
        "derive": ({}, "key:derive"),
        "encapsulate": ({}, "key:encrypt"),
        "decapsulate": ({"ciphertext": TEXT}, "key:decrypt"),
        "unwrap": ({"wrapped": TEXT, "label": "x", "type": "aes:128"}, "key:unwrap"),
    }
    for verb, (body, operation) in wanted.items():
        problem = refused(ask(there, "aes", verb, user="onlooker", **body), 403, "access-refused")
        assert operation in problem["missing_rule"]
        assert event(there, problem["event"])["outcome"] == "refused"


def test_a_quorum_guards_decrypting(there: Appliance) -> None:
    """The same ciphertext once more after the approval; another one needs another approval."""
    make(there, "vault", "aes:256")
    there.add_user("approver")
    quorum = {"operation": "key:decrypt", "core": 1, "key": "vault", "needed": 1, "approvers": ["approver"]}
    number = there.api("POST", "/quorums", quorum).json()["number"]
    sealed = done(there, "vault", "encrypt", data=TEXT)
    how = {"data": bytes_of(sealed, "data"), "iv": bytes_of(sealed, "iv")}
    approval = refused(ask(there, "vault", "decrypt", **how), 403, "approval-needed")["approval"]
    there.api("POST", f"/approvals/{approval}/approve", user="approver")
    other = done(there, "vault", "encrypt", data=b"another")
    refused(
        ask(there, "vault", "decrypt", data=bytes_of(other, "data"), iv=bytes_of(other, "iv")), 403, "approval-needed"
    )
    assert bytes_of(done(there, "vault", "decrypt", **how), "data") == TEXT
    refused(ask(there, "vault", "decrypt", **how), 403, "approval-needed")
    there.api("DELETE", f"/quorums/{number}", check=False)


def test_an_approval_to_unwrap_is_for_that_new_key(there: Appliance) -> None:
    """Another label or another policy is another key; approvers read what it will be."""
    make(there, "carrier", "aes:256")
    there.add_user("doorkeeper")
    quorum = {"operation": "key:unwrap", "core": 1, "key": "carrier", "needed": 1, "approvers": ["doorkeeper"]}
    make(there, "cargo", "aes:128", exportable=True)
    wrapped = bytes_of(wrap(there, "carrier", "cargo", "AES-KW"), "wrapped")
    there.api("POST", "/quorums", quorum)
    how = {"wrapped": wrapped, "mechanism": "AES-KW", "label": "landed", "type": "aes:128"}
    approval = refused(ask(there, "carrier", "unwrap", **how), 403, "approval-needed")["approval"]
    shown = there.api("GET", f"/approvals/{approval}", user="doorkeeper").json()
    assert hashlib.sha256(wrapped).hexdigest() in str(shown)
    assert "to key 'landed', type aes:128, without PIN" in str(shown)
    there.api("POST", f"/approvals/{approval}/approve", user="doorkeeper")
    for other in ({"exportable": True}, {"label": "elsewhere"}, {"tags": ["prod"]}, {"new_pin": PIN}):
        refused(ask(there, "carrier", "unwrap", **{**how, **other}), 403, "approval-needed")
    assert done(there, "carrier", "unwrap", **how)["policy"]["exportable"] is False


def test_what_is_derived_or_wrapped_is_told_to_approvers(there: Appliance) -> None:
    """The digest is that of the other side's public key, as the record has it; a wrapped key has its name."""
    there.add_user("witness")
    make(there, "agreeing", "ec:P-256")
    make(there, "leaving", "aes:128", exportable=True)
    for operation, key in (("key:derive", "agreeing"), ("key:export", "leaving")):
        quorum = {"operation": operation, "core": 1, "key": key, "needed": 1, "approvers": ["witness"]}
        there.api("POST", "/quorums", quorum)
    peer = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(DER, SPKI)
    answers = (
        ask(there, "agreeing", "derive", public_key=peer),
        there.api("POST", "/cores/1/keys/known/wrap", {"key": "leaving"}, user=USER, check=False),
    )
    told = [
        str(there.api("GET", f"/approvals/{refused(one, 403, 'approval-needed')['approval']}", user="witness").json())
        for one in answers
    ]
    assert hashlib.sha256(peer).hexdigest() in told[0]
    assert "'leaving' under key" in told[1]


def test_a_quorum_for_export_cannot_be_walked_around(there: Appliance) -> None:
    """A key that several people must agree to let out does not leave under another key either."""
    make(there, "treasure", "aes:256", exportable=True)
    quorum = {"operation": "key:export", "core": 1, "key": "treasure", "needed": 1, "approvers": ["approver"]}
    there.api("POST", "/quorums", quorum)
    body = {"key": "treasure", "mechanism": "AES-KW"}
    answer = there.api("POST", "/cores/1/keys/known/wrap", body, user=USER, check=False)
    approval = refused(answer, 403, "approval-needed")["approval"]
    there.api("POST", f"/approvals/{approval}/approve", user="approver")
    there.api("POST", "/cores/1/keys/known/wrap", body, user=USER)
    refused(there.api("POST", "/cores/1/keys/known/wrap", body, user=USER, check=False), 403, "approval-needed")


def test_a_repeated_request(there: Appliance) -> None:
    """A plaintext is kept for nobody, so decrypting is done again; a wrapped key is answered as it was."""
    sealed = done(there, "aes", "encrypt", data=TEXT)
    body = {"data": sealed["data"], "iv": sealed["iv"]}
    header = {"Idempotency-Key": "a-random-text-of-a-test-1"}
    twice = [there.api("POST", "/cores/1/keys/aes/decrypt", body, user=USER, headers=header).json() for _ in range(2)]
    assert twice[0]["data"] == twice[1]["data"]
    assert twice[0]["event"] != twice[1]["event"]
    header = {"Idempotency-Key": "a-random-text-of-a-test-2"}
    make(there, "again", "aes:256", exportable=True)
    body = {"key": "again", "mechanism": "AES-KW"}
    twice = [there.api("POST", "/cores/1/keys/known/wrap", body, user=USER, headers=header).json() for _ in range(2)]
    assert twice[0] == twice[1]


def test_symmetric_keys_have_no_public_half(there: Appliance) -> None:
    """It is null, and there is no PEM of it."""
    assert there.api("GET", "/cores/1/keys/aes").json()["public_key"] is None
    refused(there.api("GET", "/cores/1/keys/aes/public.pem", check=False), 404, "not-found")


def test_object_ids(there: Appliance) -> None:
    """A key is found by the id that PKCS #11 hosts gave it; it is its own id until then, and in the URI."""
    key = there.api("GET", "/cores/1/keys/ec").json()
    assert key["object_id"] == key["id"]
    changed = there.api("PUT", "/cores/1/keys/ec", {"object_id": "0102ab"}).json()
    assert "id=%01%02%AB" in changed["uri"]
    found = there.api("GET", "/cores/1/keys?object_id=0102ab").json()["keys"]
    assert [one["label"] for one in found] == ["ec"]
    made = there.api("POST", "/cores/1/keys", {"label": "twin", "type": "ed25519", "object_id": "0102ab"}).json()
    assert made["object_id"] == "0102ab"
    assert len(there.api("GET", "/cores/1/keys?object_id=0102ab").json()["keys"]) == 2
    for wrong in ("", "0", "AB", "00" * 65):
        body = {"object_id": wrong}
        refused(there.api("PUT", "/cores/1/keys/ec", body, check=False), 422, "invalid-body")


def test_all_of_it_is_on_record(there: Appliance, tmp_path: Path) -> None:
    """The keeper counted each use with its own words; nothing that it did is missing, and nothing else was written."""
    export = tmp_path / "export"
    there.cli("audit", "export", "-o", export)
    report = verify_export(export.read_bytes().splitlines(), None, [])
    assert report.findings == []
    assert report.signatures > 0
