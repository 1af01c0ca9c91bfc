"""What a key does beside signing: encrypt, decrypt, derive, wrap other keys. `KeyClient` has these verbs.

What comes out of most of them is a secret; a record does not show it when it is printed.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from privyseal.client.errors import InvalidSignatureError
from privyseal.client.records import Key, decoded, encoded, take

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Ciphertext:
    """What was encrypted; with GCM the tag is behind it. `iv` is None for mechanisms without one."""

    data: bytes
    iv: bytes | None
    event: int


@dataclass(frozen=True, slots=True)
class Secret:
    """A plaintext or a derived secret, and the event that says who got it."""

    value: bytes = field(repr=False)
    event: int


@dataclass(frozen=True, slots=True)
class Capsule:
    """A secret and the ciphertext that gives it to who has the private half (ML-KEM)."""

    secret: bytes = field(repr=False)
    ciphertext: bytes
    event: int


class KeyOperations(ABC):
    """The verbs; parameters are those of docs/reference/rest.md by the same names, bytes as bytes."""

    @abstractmethod
    def _use(self, verb: str, body: Document, *, method: str = "POST") -> Document:
        """Send a request that uses the private half."""

    def encrypt(
        self, data: bytes, *, mechanism: str | None = None, **parameters: bytes | int | str | None
    ) -> Ciphertext:
        """Encrypt up to 1 MiB.

        Args:
            data: what to encrypt.
            mechanism: such as `AES-GCM` or `RSA-OAEP`; None means the key type's own.
            parameters: such as `iv`, `aad`, `hash`, `label`. Without `iv` the appliance makes one.
        """
        answer = self._use("encrypt", _body(data=data, mechanism=mechanism, **parameters))
        iv = answer.get("iv")
        return Ciphertext(_bytes(answer, "data"), None if iv is None else decoded(iv), take(answer, "event", int))

    def decrypt(self, data: bytes, *, mechanism: str | None = None, **parameters: bytes | int | str | None) -> Secret:
        """Decrypt what `encrypt`, or anybody with the public key, encrypted; arguments as there.

        Raises:
            InvalidBodyError: it does not decrypt.
        """
        answer = self._use("decrypt", _body(data=data, mechanism=mechanism, **parameters))
        return Secret(_bytes(answer, "data"), take(answer, "event", int))

    def derive(self, *, mechanism: str | None = None, **parameters: bytes | int | str | None) -> Secret:
        """Derive a secret, with `public_key` of somebody else (ECDH) or from this secret (HKDF, SP800-108-COUNTER)."""
        return _secret(self._use("derive", _body(mechanism=mechanism, **parameters)))

    def encapsulate(self) -> Capsule:
        """Make a secret and its ciphertext (ML-KEM)."""
        answer = self._use("encapsulate", {})
        return Capsule(_bytes(answer, "secret"), _bytes(answer, "ciphertext"), take(answer, "event", int))

    def decapsulate(self, ciphertext: bytes) -> Secret:
        """Find the secret of a ciphertext (ML-KEM)."""
        return _secret(self._use("decapsulate", _body(ciphertext=ciphertext)))

    def verify_mac(
        self, mac: bytes, data: bytes, *, mechanism: str | None = None, **parameters: bytes | int | str | None
    ) -> int:
        """Let the appliance check a MAC, which takes the key's PIN; gives the event's number.

        Raises:
            InvalidSignatureError: it does not fit. A forgotten check raises.
        """
        answer = self._use("verify", _body(signature=mac, data=data, mechanism=mechanism, **parameters))
        event = take(answer, "event", int)
        if not take(answer, "valid", bool):
            raise InvalidSignatureError("the MAC does not fit the key and the data", event=event)
        return event

    def wrap(self, key: str, *, mechanism: str | None = None, **parameters: bytes | int | str | None) -> bytes:
        """Wrap another key of this core, by id or label, which was made exportable and has the same PIN or none."""
        return _bytes(self._use("wrap", _body(key=key, mechanism=mechanism, **parameters)), "wrapped")

    def unwrap(
        self,
        wrapped: bytes,
        label: str,
        key_type: str,
        *,
        mechanism: str | None = None,
        new_pin: str | None = None,
        **parameters: Any,
    ) -> Key:
        """Take in a key that is wrapped under this one.

        Args:
            wrapped: a private key as PKCS #8 (DER), or a symmetric key's bytes, under this key.
            label: of the new key.
            key_type: of the new key.
            mechanism: such as `AES-KWP`; None means the key type's own.
            new_pin: of the new key.
            parameters: `policy`, `exportable`, `tags`, `object_id`, and those of the mechanism.
        """
        fields = {"label": label, "type": key_type, "mechanism": mechanism, "new_pin": new_pin, **parameters}
        return Key.read(self._use("unwrap", _body(wrapped=wrapped, **fields)))


def _body(**fields: Any) -> dict[str, Any]:
    """Write the fields that are there, bytes as base64."""
    there = {name: value for name, value in fields.items() if value is not None}
    return {name: encoded(one) if isinstance(one, bytes) else one for name, one in there.items()}


def _bytes(answer: Document, name: str) -> bytes:
    return decoded(take(answer, name, str))


def _secret(answer: Document) -> Secret:
    return Secret(_bytes(answer, "secret"), take(answer, "event", int))
