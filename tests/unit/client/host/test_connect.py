"""The commands that `connect` prints fit the OpenSSL and the key."""

import datetime as dt
import json
from pathlib import Path

import pytest

from privyseal.client.host.connect import Wish, files, next_commands
from privyseal.client.host.introduction import rather_for_digests
from privyseal.client.host.openssl import OpenSSL
from privyseal.client.host.places import places
from privyseal.client.records import Key

URI = "pkcs11:token=core1;object=a%20key"


def key(kind: str) -> Key:
    """A key of some type whose label wants quoting."""
    return Key(
        id="00",
        core=2,
        label="a key",
        type=kind,
        pin=True,
        created=dt.datetime.now(dt.UTC),
        public_key=b"",
        mechanisms=(),
        hashes=(),
        operations=("key:sign",),
        uri=URI,
        document={},
    )


def here(way: str) -> OpenSSL:
    """An OpenSSL with an engine or a provider."""
    file = Path("/pkcs11.so")
    engine, provider = (file, None) if way == "engine" else (None, file)
    return OpenSSL(Path("openssl"), "3.0.19", Path("/etc/ssl/openssl.cnf"), engine, provider)


@pytest.mark.parametrize(
    ("way", "kind", "sign", "verify"),
    [
        (
            "engine",
            "ec:P-256",
            f"dgst -sha256 -engine pkcs11 -keyform engine -sign '{URI}' -out FILE.sig FILE",
            "dgst -sha256 -verify key.pem -signature FILE.sig FILE",
        ),
        (
            "provider",
            "rsa:3072",
            f"dgst -sha256 -sign '{URI};type=private' -out FILE.sig FILE",
            "dgst -sha256 -verify key.pem -signature FILE.sig FILE",
        ),
        (
            "provider",
            "ed25519",
            f"pkeyutl -sign -rawin -inkey '{URI};type=private' -out FILE.sig -in FILE",
            "pkeyutl -verify -rawin -pubin -inkey key.pem -sigfile FILE.sig -in FILE",
        ),
    ],
)
def test_next_commands(way: str, kind: str, sign: str, verify: str) -> None:
    root = places({}, uid=0)
    assert next_commands(root, here(way), key(kind), system=False) == [
        f"OPENSSL_CONF=/etc/privyseal/openssl.cnf openssl {sign}",
        "privyseal key public 'a key' --core 2 >key.pem",
        f"openssl {verify}",
    ]
    assert next_commands(root, here(way), key(kind), system=True)[0] == f"openssl {sign}"


def test_without_a_way_doctor_is_next(tmp_path: Path) -> None:
    there = places({}, prefix=tmp_path)
    assert next_commands(there, None, None, system=False) == [
        f"PRIVYSEAL_CONFIG={there.configuration} privyseal doctor"
    ]


@pytest.mark.parametrize("url", ["", '"url": "ftp://old.example", '])
def test_settings_are_kept_from_a_file_without_an_appliance(url: str, tmp_path: Path) -> None:
    """Or with one that cannot be meant: how much is logged has nothing to do with it."""
    there = places({}, prefix=tmp_path)
    there.configuration.parent.mkdir(parents=True)
    there.configuration.write_text(f'{{{url}"log_level": 2, "keygen_pin": "12345678"}}')
    (tmp_path / "module.so").touch()
    wish = Wish(
        url="https://new.example",
        user="alice",
        core=None,
        password="password",
        password_file=None,
        ca=b"",
        module=tmp_path / "module.so",
    )
    written = {file.path: file.content for file in files(wish, there, None)}[there.configuration]
    kept = json.loads(written)
    assert (kept["url"], kept["log_level"], "keygen_pin" in kept) == ("https://new.example", 2, False)


def test_a_key_that_openssl_signs_digests_with_goes_first() -> None:
    edwards, curve = key("ed25519"), key("ec:P-256")
    assert rather_for_digests([edwards, curve]) is curve
    assert rather_for_digests([edwards]) is edwards
    assert rather_for_digests([]) is None
