"""The JSON bodies of the hot routes. msgspec reads them in a microsecond; when one is wrong, every error is sought."""

import enum
import json
from itertools import islice
from typing import Any, TypeVar, get_args, get_type_hints

import msgspec

from privyseal.errors import FieldError, InvalidRequestError, MalformedJSONError, PrivysealError
from privyseal.model.mechanisms import Encoding, Hash, Mechanism
from privyseal.wire.frames import Parameters

DATA_MAX = 1024 * 1024
BATCH_MAX = 1000
_SHOWN = 64  # characters of the name of a field that there is not


class _Body(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """Printed, a body shows its name only: some fields are secrets."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class _Signing(_Body, kw_only=True, frozen=True):
    mechanism: Mechanism | None = None
    hash: Hash | None = None
    salt_length: int | None = None
    mgf_hash: Hash | None = None
    encoding: Encoding = Encoding.DER
    context: bytes = b""
    length: int | None = None
    version: int | None = None


class SignBody(_Signing, kw_only=True, frozen=True):
    """`POST …/sign`."""

    digest: bytes | None = None
    data: bytes | None = None
    pin: str | None = None
    ticket: str | None = None


class SignBatchBody(_Signing, kw_only=True, frozen=True):
    """`POST …/sign-batch`."""

    digests: list[bytes]
    pin: str | None = None
    ticket: str | None = None


class VerifyBody(_Signing, kw_only=True, frozen=True):
    """`POST …/verify`."""

    signature: bytes
    digest: bytes | None = None
    data: bytes | None = None
    pin: str | None = None
    ticket: str | None = None


class _Using(_Body, kw_only=True, frozen=True):
    mechanism: Mechanism | None = None
    version: int | None = None
    pin: str | None = None
    ticket: str | None = None

    def parameters(self) -> dict[str, Any]:
        """Give the mechanism's parameters that the request names."""
        named = {name: getattr(self, name) for name in self.__struct_fields__ if name in _PARAMETERS}
        return {name: value for name, value in named.items() if value is not None}


class EncryptBody(_Using, kw_only=True, frozen=True):
    """`POST …/encrypt`."""

    data: bytes
    hash: Hash | None = None
    mgf_hash: Hash | None = None
    label: bytes | None = None
    iv: bytes | None = None
    aad: bytes | None = None
    tag_length: int | None = None
    counter: int | None = None


class DecryptBody(EncryptBody, kw_only=True, frozen=True):
    """`POST …/decrypt`."""


class DeriveBody(_Using, kw_only=True, frozen=True):
    """`POST …/derive`."""

    public_key: bytes | None = None
    kdf: str | None = None
    hash: Hash | None = None
    shared_info: bytes | None = None
    salt: bytes | None = None
    info: bytes | None = None
    label: bytes | None = None
    context: bytes | None = None
    length: int | None = None


class EncapsulateBody(_Body, kw_only=True, frozen=True):
    """`POST …/encapsulate`."""

    version: int | None = None


class DecapsulateBody(_Body, kw_only=True, frozen=True):
    """`POST …/decapsulate`."""

    ciphertext: bytes
    version: int | None = None
    pin: str | None = None
    ticket: str | None = None


class LoginBody(_Body, kw_only=True, frozen=True):
    """`POST …/login`."""

    pin: str


class LogoutBody(_Body, kw_only=True, frozen=True):
    """`POST …/logout`."""

    ticket: str


_PARAMETERS = frozenset(Parameters.__struct_fields__)
HOT_BODIES: tuple[type[_Body], ...] = (
    SignBody,
    SignBatchBody,
    VerifyBody,
    EncryptBody,
    DecryptBody,
    DeriveBody,
    EncapsulateBody,
    DecapsulateBody,
    LoginBody,
    LogoutBody,
)
_BodyType = TypeVar("_BodyType", bound=_Body)
_decoders: dict[type, msgspec.json.Decoder[Any]] = {kind: msgspec.json.Decoder(kind) for kind in HOT_BODIES}


def parse(body: bytes, kind: type[_BodyType]) -> _BodyType:
    """Read a body.

    Raises:
        MalformedJSONError: it is not JSON; the message has the position.
        InvalidRequestError: it is JSON, and this is every field that is wrong.
    """
    try:
        parsed: _BodyType = _decoders[kind].decode(body)
    except msgspec.ValidationError:
        raise _invalid(body, kind) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise malformed(body) from None
    return parsed


def malformed(body: bytes) -> MalformedJSONError:
    """Say where a body stops being JSON."""
    try:
        json.loads(body)
    except json.JSONDecodeError as error:
        return MalformedJSONError(f"not JSON at line {error.lineno}, column {error.colno}: {error.msg}")
    except UnicodeDecodeError as error:
        return MalformedJSONError(f"not UTF-8 at byte {error.start}")
    except ValueError:  # Python's limit, because reading them takes the square of their number
        return MalformedJSONError("not JSON that is read here: a number has too many digits")
    except RecursionError:
        return MalformedJSONError("not JSON that is read here: it is nested too deeply")
    return MalformedJSONError("not JSON as RFC 8259 has it")


def _invalid(body: bytes, kind: type[_Body]) -> PrivysealError:
    try:
        given = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):  # a field was wrong before the JSON was
        return malformed(body)
    except RecursionError:
        return InvalidRequestError(FieldError("body", "it is nested too deeply"))
    if not isinstance(given, dict):
        return InvalidRequestError(FieldError("body", "a JSON object is wanted"))
    return InvalidRequestError(*_all_errors(given, kind))


def _all_errors(given: dict[str, Any], kind: type[_Body]) -> list[FieldError]:
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    unknown = islice((name for name in given if name not in fields), InvalidRequestError.MOST)
    errors = [FieldError(f"body.{name[:_SHOWN]}", "there is no such field") for name in unknown]
    errors += [
        FieldError(f"body.{name}", "this field is missing")
        for name, field in fields.items()
        if field.required and name not in given
    ]
    return errors + [error for name in given if name in fields for error in _field_errors(name, given[name], kind)]


def _field_errors(name: str, value: object, kind: type[_Body]) -> list[FieldError]:
    wanted = get_type_hints(kind)[name]
    try:
        msgspec.convert(value, wanted)
    except msgspec.ValidationError as error:
        return [FieldError(f"body.{name}", _plain(str(error), wanted))]
    return []


def _plain(message: str, wanted: Any) -> str:
    """Say msgspec's message in our words."""
    if "base64" in message:
        return "this is not standard base64 (RFC 4648, section 4)"
    for kind in get_args(wanted) or (wanted,):
        if isinstance(kind, enum.EnumMeta):
            members: list[enum.Enum] = list(kind.__members__.values())
            return "use one of " + ", ".join(member.value for member in members)
    return message[0].lower() + message[1:]
