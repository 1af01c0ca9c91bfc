"""What the appliance says about unlocking. What opens a slot comes once; no `repr` shows it."""

import base64
import binascii
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from privyseal.client.errors import UnexpectedAnswerError
from privyseal.client.records import Document, take, take_time


@dataclass(frozen=True, slots=True, kw_only=True)
class UnlockSlot:
    """One thing that unlocks the appliance; `kind` is passphrase, key-file or shares."""

    number: int
    kind: str
    created: datetime
    document: Document = field(repr=False, compare=False)

    @classmethod
    def read(cls, document: Document) -> Self:
        """From a slot of `GET /unlock-slots`."""
        number, kind = take(document, "number", int), take(document, "kind", str)
        return cls(number=number, kind=kind, created=take_time(document, "created"), document=document)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUnlockSlot:
    """A new slot with what opens it, which nobody can ask for again."""

    number: int
    kind: str
    key_file: bytes | None = field(repr=False)
    shares: tuple[str, ...] = field(repr=False)
    document: Document = field(repr=False, compare=False)

    @classmethod
    def read(cls, document: Document) -> Self:
        """From the answer to `POST /unlock-slots`."""
        given = document.get("key_file")
        try:
            key_file = base64.b64decode(given, validate=True) if isinstance(given, str) else None
        except binascii.Error:
            raise UnexpectedAnswerError("the answer's key_file is not base64") from None
        shares = tuple(str(share) for share in document.get("shares", ()))
        number, kind = take(document, "number", int), take(document, "kind", str)
        return cls(number=number, kind=kind, key_file=key_file, shares=shares, document=document)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlocking:
    """How far the unlocking is: `have` of `needed` shares; both are 0 without shares."""

    state: str
    have: int
    needed: int
    document: Document = field(repr=False, compare=False)

    @classmethod
    def read(cls, document: Document) -> Self:
        """From the answer to `POST /unlock`."""
        shares = take(document, "shares", dict) if "shares" in document else {"have": 0, "needed": 0}
        have, needed = take(shares, "have", int), take(shares, "needed", int)
        return cls(state=take(document, "state", str), have=have, needed=needed, document=document)


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainKeyStatus:
    """Whether the domain key is being rotated; `damaged` names a record that does not open and holds it up."""

    rotating: bool
    done: int
    total: int
    damaged: str | None
    document: Document = field(repr=False, compare=False)

    @classmethod
    def read(cls, document: Document) -> Self:
        """From the answer to `GET /domain-key`."""
        rotating = take(document, "rotating", bool)
        done, total = (take(document, name, int) if rotating else 0 for name in ("done", "total"))
        damaged = take(document, "damaged", str) if document.get("damaged") is not None else None
        return cls(rotating=rotating, done=done, total=total, damaged=damaged, document=document)


def take_object(document: Document, name: str) -> dict[str, Any]:
    """An object within an answer."""
    return take(document, name, dict)
