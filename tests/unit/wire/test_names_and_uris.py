"""Names are checked at the door, and a URI names a key as p11-kit would."""

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privyseal.errors import InvalidRequestError
from privyseal.model.cores import Core
from privyseal.model.keys import Key, KeyType
from privyseal.store.times import now
from privyseal.wire import names
from privyseal.wire.uri import key_uri

LABELS = st.text(min_size=1, max_size=128).filter(lambda text: text.isprintable() and not {"*", "/"} & set(text))


@pytest.mark.parametrize("label", ["release", "a", "ü" * 128, "with space", "F90FB8E79E60A1B2", "%2F", "it's"])
def test_labels(label: str) -> None:
    """1 to 128 printable characters."""
    assert names.label(label) == label


@pytest.mark.parametrize("label", ["", "a" * 129, "a\n", "\0", "a*", "a/b", "f90fb8e79e60a1b2", "\u202e", "\x1b[2J"])
def test_what_is_no_label(label: str) -> None:
    """Too long, not printable, or something that means a pattern, a path or an id."""
    with pytest.raises(InvalidRequestError, match=r"body\.label"):
        names.label(label)


@pytest.mark.parametrize("name", ["alice", "a", "a" * 64, "host-1.example@realm", "9"])
def test_user_names(name: str) -> None:
    """What may stand in an Authorization header and a path."""
    assert names.name(name) == name


@pytest.mark.parametrize("name", ["", "a" * 65, "-a", "a b", "a:b", "ä", "alice\n", ".a"])
def test_what_is_no_user_name(name: str) -> None:
    """A colon would end it in an Authorization header."""
    with pytest.raises(InvalidRequestError, match=r"body\.name"):
        names.name(name)


@pytest.mark.parametrize("tag", ["beta", "env=prod", "a" * 32 + "=" + "b" * 64, "owner=alice@example.org:1+2/3", "9=0"])
def test_tags(tag: str) -> None:
    """A word, or a name with a value."""
    assert names.tag(tag) == tag
    assert names.tag_name(tag) == tag.split("=", maxsplit=1)[0]


@pytest.mark.parametrize(
    "tag", ["", "=", "a=", "=a", "a=b=c", "a b", "a,b", "a*", "ä", "a" * 33, "a=" + "b" * 65, "a\n", "-a", "a=-"]
)
def test_what_is_no_tag(tag: str) -> None:
    """Nothing that a list, a pattern or a shell would read otherwise."""
    with pytest.raises(InvalidRequestError, match=r"body\.tag"):
        names.tag(tag)


def test_the_tags_of_a_key() -> None:
    """In order, each once, up to 16, and one of a name."""
    assert names.tags(["b", "a=1", "b"]) == ("a=1", "b")
    assert len(names.tags(f"t{number}" for number in range(16))) == 16
    for wrong in ([f"t{number}" for number in range(17)], ["a=1", "a=2"], ["a", "a=1"], ["a", "*"]):
        with pytest.raises(InvalidRequestError, match=r"body\.tags"):
            names.tags(wrong)


@given(st.text(max_size=200))
def test_a_pin_has_8_to_128_characters(pin: str) -> None:
    """Characters, not bytes; and the error does not repeat it."""
    if 8 <= len(pin) <= 128:
        assert names.pin(pin) == pin
        return
    with pytest.raises(InvalidRequestError) as error:
        names.pin(pin)
    assert str(error.value) == "body.pin: a PIN has 8 to 128 characters"


@given(label=LABELS, token=LABELS)
def test_a_uri_names_its_key(label: str, token: str) -> None:
    """RFC 7512: attributes apart by semicolons, values percent-encoded, the id byte by byte."""
    core = Core(1, "core1", True, b"", "200648370", token, "Privyseal", "Privyseal core", 0, now())  # noqa: FBT003
    key = Key("f90fb8e79e60a1b2", 1, label, KeyType.P256, b"", True, b"", b"", 1, now())  # noqa: FBT003 - as stored
    uri = key_uri(core, key)
    assert uri.isascii()
    attributes = dict(part.split("=") for part in uri.removeprefix("pkcs11:").split(";"))
    assert attributes["id"] == "%F9%0F%B8%E7%9E%60%A1%B2"
    assert (unquote(attributes["object"]), unquote(attributes["token"])) == (label, token)
    assert attributes["serial"] == "200648370"


@pytest.mark.parametrize("value", [None, "00", "c0ffee", "ab" * 64])
def test_object_ids(value: str | None) -> None:
    """Bytes in hexadecimal, or nothing said."""
    assert names.object_id(value) == value


@pytest.mark.parametrize("value", ["", "0", "AB", "xy", "ab" * 65, "ab\n"])
def test_what_is_no_object_id(value: str) -> None:
    """Half a byte, upper case, too long, or no hexadecimal."""
    with pytest.raises(InvalidRequestError):
        names.object_id(value)
