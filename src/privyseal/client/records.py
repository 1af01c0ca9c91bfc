"""What the appliance says about its things, as frozen records.

Each record is read once, where the answer arrives; after that its fields have the types written here. `document` is the
JSON object as it came, with members that this version does not know; it takes no part in comparisons. Times are aware.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self, TypeVar

from privyseal.client.errors import UnexpectedAnswerError
from privyseal.model.cores import PIN_DELAY_FROM, PIN_LOCK_AT

Document = Mapping[str, Any]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    document: Document = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Info(_Record):
    """The appliance itself; `hardening` says which of the keeper's protections are in force, once it is unlocked."""

    product: str
    version: str
    state: str
    hardening: Document

    @classmethod
    def read(cls, document: Document) -> Self:
        """From the answer to `GET /info`."""
        return cls(
            product=take(document, "product", str),
            version=take(document, "version", str),
            state=take(document, "state", str),
            hardening=take(take(document, "keeper", dict), "hardening", dict) if "keeper" in document else {},
            document=document,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Core(_Record):
    """A core: an independent partition with its own keys.

    Attributes:
        keys: how many it holds.
        pin_min, pin_max: the length of a PIN, in characters.
        token_label, serial: how PKCS #11 hosts see it.
        destroy_days: least number of days before a deleted key is destroyed.
        pin_delay_from: number of wrong PINs after which the next one has to wait.
        pin_lock_at: number of wrong PINs after which an administrator has to unlock the user or the key.
    """

    number: int
    name: str
    pin_required: bool
    keys: int
    created: datetime
    pin_min: int
    pin_max: int
    token_label: str
    serial: str
    destroy_days: int = 30
    pin_delay_from: int = PIN_DELAY_FROM
    pin_lock_at: int = PIN_LOCK_AT

    @classmethod
    def read(cls, document: Document) -> Self:
        """From a Core of docs/reference/rest.md."""
        pin, token = take(document, "pin", dict), take(document, "token", dict)
        return cls(
            number=take(document, "number", int),
            name=take(document, "name", str),
            pin_required=take(document, "pin_required", bool),
            keys=take(document, "keys", int),
            created=take_time(document, "created"),
            pin_min=take(pin, "min", int),
            pin_max=take(pin, "max", int),
            token_label=take(token, "label", str),
            serial=take(token, "serial", str),
            destroy_days=take(document, "destroy_days", int) if "destroy_days" in document else 30,
            pin_delay_from=take(pin, "delay_from", int) if "delay_from" in pin else PIN_DELAY_FROM,
            pin_lock_at=take(pin, "lock_at", int) if "lock_at" in pin else PIN_LOCK_AT,
            document=document,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Key(_Record):
    """A key as everybody who may see it knows it.

    Attributes:
        id: 16 hexadecimal digits, never changed.
        type: for example `ec:P-256`.
        pin: whether a PIN is needed to use it.
        public_key: DER of the SubjectPublicKeyInfo (RFC 5280, section 4.1); empty for a symmetric key.
        mechanisms: what it can do; the first is meant when none is named.
        hashes: the hashes that may go before a signature; none for EdDSA.
        operations: what the caller may do with it.
        uri: its PKCS #11 URI (RFC 7512).
        state: `active`, `disabled`, or `scheduled` for destruction.
        version: of this record; each rotation makes the next one.
        rotate_after: days after which the appliance rotates it by itself.
        destroy_at: when it will be destroyed.
        origin: `generated` on the appliance, or `imported`.
        policy: what it may be used for, as docs/reference/rest.md has it.
        tags: words and `name=value`, by which rules and lists can go.
    """

    id: str
    core: int
    label: str
    type: str
    pin: bool
    created: datetime
    public_key: bytes
    mechanisms: tuple[str, ...]
    hashes: tuple[str, ...]
    operations: tuple[str, ...]
    uri: str
    state: str = "active"
    version: int = 1
    rotate_after: int | None = None
    destroy_at: datetime | None = None
    origin: str = "generated"
    policy: Document = field(default_factory=dict)
    tags: tuple[str, ...] = ()

    @classmethod
    def read(cls, document: Document) -> Self:
        """From a Key of docs/reference/rest.md."""
        return cls(
            id=take(document, "id", str),
            core=take(document, "core", int),
            label=take(document, "label", str),
            type=take(document, "type", str),
            pin=take(document, "pin", bool),
            created=take_time(document, "created"),
            public_key=b"" if document.get("public_key") is None else take_bytes(document, "public_key"),
            mechanisms=take_texts(document, "mechanisms"),
            hashes=take_texts(document, "hashes"),
            operations=take_texts(document, "operations"),
            uri=take(document, "uri", str),
            state=take_or_none(document, "state", str) or "active",
            version=take_or_none(document, "version", int) or 1,
            rotate_after=take_or_none(document, "rotate_after", int),
            destroy_at=None if document.get("destroy_at") is None else take_time(document, "destroy_at"),
            origin=take_or_none(document, "origin", str) or "generated",
            policy=take_or_none(document, "policy", dict) or {},
            tags=take_texts(document, "tags") if "tags" in document else (),
            document=document,
        )

    @property
    def rights(self) -> tuple[str, ...]:
        """Those of `operations` that are rights of the caller's rules and role, such as `key:sign`."""
        return tuple(one for one in self.operations if ":" in one)

    @property
    def signs_messages(self) -> bool:
        """Whether it signs whole messages and, unless asked to, no digests (RFC 8032; FIPS 204)."""
        return self.mechanisms[:1] in (("EdDSA",), ("ML-DSA",), ("HMAC",), ("AES-CMAC",))

    @property
    def wants_data(self) -> bool:
        """Whether the data itself has to travel: the key signs messages, or its policy refuses a foreign digest."""
        return self.signs_messages or self.policy.get("raw_digest") is False


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportKey(_Record):
    """What wraps one private key on its way into the appliance; `public_key` is DER, and it serves once."""

    id: str
    public_key: bytes
    expires: datetime

    @classmethod
    def read(cls, document: Document) -> Self:
        """From the answer to `import-key`."""
        return cls(
            id=take(document, "id", str),
            public_key=take_bytes(document, "public_key"),
            expires=take_time(document, "expires"),
            document=document,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WrappedKey(_Record):
    """A private key that left the appliance wrapped, and the event that says so."""

    wrapped: bytes
    event: int

    @classmethod
    def read(cls, document: Document) -> Self:
        """From the answer to `export`."""
        return cls(wrapped=take_bytes(document, "wrapped"), event=take(document, "event", int), document=document)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature(_Record):
    """A signature and the number of the event under which its making is on record."""

    signature: bytes
    event: int

    @classmethod
    def read(cls, document: Document) -> Self:
        """From the answer to `sign`."""
        return cls(signature=take_bytes(document, "signature"), event=take(document, "event", int), document=document)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureBatch(_Record):
    """Signatures in the order of their digests; their events are numbered upwards from `first_event`."""

    signatures: tuple[bytes, ...]
    first_event: int

    @classmethod
    def read(cls, document: Document) -> Self:
        """From the answer to `sign-batch`."""
        return cls(
            signatures=tuple(decoded(each) for each in take_texts(document, "signatures")),
            first_event=take(document, "first_event", int),
            document=document,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket(_Record):
    """What a login gave out; it goes in place of the PIN until it expires.

    Attributes:
        keys: how many of the keys that the PIN opens the user may see.
    """

    ticket: str = field(repr=False)
    expires: datetime
    keys: int
    event: int

    @classmethod
    def read(cls, document: Document) -> Self:
        """From the answer to `login`."""
        return cls(
            ticket=take(document, "ticket", str),
            expires=take_time(document, "expires"),
            keys=take(document, "keys", int),
            event=take(document, "event", int),
            document=document,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class User(_Record):
    """An account; `role` is administrator, operator, auditor, backup or metrics."""

    name: str
    role: str
    created: datetime
    locked: bool

    @classmethod
    def read(cls, document: Document) -> Self:
        """From a user of docs/reference/rest.md."""
        return cls(
            name=take(document, "name", str),
            role=take(document, "role", str),
            created=take_time(document, "created"),
            locked=take(document, "locked", bool),
            document=document,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCertificate(_Record):
    """A certificate with which a user logs in instead of a password (mutual TLS).

    Attributes:
        fingerprint: `sha256:` and the hexadecimal SHA-256 of its DER.
        subject: as in RFC 4514.
        state: `active`, `expired` or `not yet valid`.
    """

    fingerprint: str
    user: str
    subject: str
    not_before: datetime
    not_after: datetime
    state: str
    created: datetime

    @classmethod
    def read(cls, document: Document) -> Self:
        """From a ClientCertificate of docs/reference/rest.md."""
        return cls(
            fingerprint=take(document, "fingerprint", str),
            user=take(document, "user", str),
            subject=take(document, "subject", str),
            not_before=take_time(document, "not_before"),
            not_after=take_time(document, "not_after"),
            state=take(document, "state", str),
            created=take_time(document, "created"),
            document=document,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential(_Record):
    """A bearer token that stands for a user.

    Attributes:
        id: 16 hexadecimal digits, public.
        operations: None for all that the user may.
        core: None for every one.
        keys: label pattern of the keys.
        state: `active`, `expired` or `revoked`.
        last_used: to the hour.
    """

    id: str
    user: str
    name: str
    operations: tuple[str, ...] | None
    core: int | None
    keys: str
    state: str
    created: datetime
    expires: datetime
    last_used: datetime | None

    @classmethod
    def read(cls, document: Document) -> Self:
        """From a Credential of docs/reference/rest.md."""
        return cls(
            id=take(document, "id", str),
            user=take(document, "user", str),
            name=take(document, "name", str),
            operations=None if document.get("operations") is None else take_texts(document, "operations"),
            core=take_or_none(document, "core", int),
            keys=take(document, "keys", str),
            state=take(document, "state", str),
            created=take_time(document, "created"),
            expires=take_time(document, "expires"),
            last_used=None if document.get("last_used") is None else take_time(document, "last_used"),
            document=document,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCredential:
    """A credential that was just made, with the token that nobody can show again."""

    credential: Credential
    token: str = field(repr=False)

    @classmethod
    def read(cls, document: Document) -> Self:
        """From the answer to `POST /credentials`."""
        if document.get("token") is None:
            raise UnexpectedAnswerError(
                f"credential {document.get('id')} was made, and its token was lost on the way; revoke it, make another"
            )
        bare = {name: value for name, value in document.items() if name != "token"}
        return cls(credential=Credential.read(bare), token=take(document, "token", str))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule(_Record):
    """*user*, or everybody in *group*, may do *operations* in *core* with some keys.

    Attributes:
        keys, key_id, tag: which keys, by exactly one of a label pattern (`*` is any run of characters), an id or a tag.
        warnings: what may not have been meant, when it was made or changed just now.
    """

    number: int
    user: str | None
    core: int
    operations: tuple[str, ...]
    keys: str | None
    created: datetime
    group: str | None = None
    key_id: str | None = None
    tag: str | None = None
    warnings: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def read(cls, document: Document) -> Self:
        """From a rule of docs/reference/rest.md."""
        return cls(
            number=take(document, "number", int),
            user=take_or_none(document, "user", str),
            core=take(document, "core", int),
            operations=take_texts(document, "operations"),
            keys=take_or_none(document, "keys", str),
            created=take_time(document, "created"),
            group=take_or_none(document, "group", str),
            key_id=take_or_none(document, "key_id", str),
            tag=take_or_none(document, "tag", str),
            warnings=take_texts(document, "warnings") if "warnings" in document else (),
            document=document,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Group(_Record):
    """Users for whom the same rules hold; `members` are their names."""

    name: str
    members: tuple[str, ...]
    created: datetime

    @classmethod
    def read(cls, document: Document) -> Self:
        """From a group of docs/reference/rest.md."""
        return cls(
            name=take(document, "name", str),
            members=take_texts(document, "members"),
            created=take_time(document, "created"),
            document=document,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Quorum(_Record):
    """*operation* needs the approval of *needed* of the *approvers*; core and key are None where it is for all."""

    number: int
    operation: str
    core: int | None
    key: str | None
    needed: int
    approvers: tuple[str, ...]
    created: datetime

    @classmethod
    def read(cls, document: Document) -> Self:
        """From a quorum of docs/reference/rest.md."""
        return cls(
            number=take(document, "number", int),
            operation=take(document, "operation", str),
            core=take_or_none(document, "core", int),
            key=take_or_none(document, "key", str),
            needed=take(document, "needed", int),
            approvers=take_texts(document, "approvers"),
            created=take_time(document, "created"),
            document=document,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval(_Record):
    """A request for approval.

    Attributes:
        state: `waiting`, `approved`, `refused`, `used` or `expired`.
        what: what exactly is asked, in words, a line for each thing.
    """

    number: int
    state: str
    requester: str
    operation: str
    core: int | None
    key: str | None
    what: str
    needed: int
    approvers: tuple[str, ...]
    approved: tuple[str, ...]
    refused: tuple[str, ...]
    created: datetime
    expires: datetime

    @classmethod
    def read(cls, document: Document) -> Self:
        """From a request for approval of docs/reference/rest.md."""
        return cls(
            number=take(document, "number", int),
            state=take(document, "state", str),
            requester=take(document, "requester", str),
            operation=take(document, "operation", str),
            core=take_or_none(document, "core", int),
            key=take_or_none(document, "key", str),
            what=take(document, "what", str),
            needed=take(document, "needed", int),
            approvers=take_texts(document, "approvers"),
            approved=take_texts(document, "approved"),
            refused=take_texts(document, "refused"),
            created=take_time(document, "created"),
            expires=take_time(document, "expires"),
            document=document,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupRecipient(_Record):
    """Who can open backups: `kind` is `passphrase` or `public-key`."""

    name: str
    kind: str
    public_key: bytes
    created: datetime

    @classmethod
    def read(cls, document: Document) -> Self:
        """From a recipient of docs/reference/rest.md."""
        return cls(
            name=take(document, "name", str),
            kind=take(document, "kind", str),
            public_key=take_bytes(document, "public_key"),
            created=take_time(document, "created"),
            document=document,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged(_Record):
    """What came back from a backup, or would come back if `merged` is false.

    Attributes:
        node, created, last_event: of the backup.
        keys: core, id and label of each.
        members, rules, quorums, objects: how many.
        conflicts: what could not come back, and why.
    """

    node: str
    created: datetime
    last_event: int
    merged: bool
    cores: tuple[str, ...]
    users: tuple[str, ...]
    groups: tuple[str, ...]
    keys: tuple[Document, ...]
    members: int
    rules: int
    quorums: int
    objects: int
    conflicts: tuple[str, ...]

    @classmethod
    def read(cls, document: Document) -> Self:
        """From the answer to `POST /restore`."""
        return cls(
            node=take(document, "node", str),
            created=take_time(document, "created"),
            last_event=take(document, "last_event", int),
            merged=take(document, "merged", bool),
            cores=take_texts(document, "cores"),
            users=take_texts(document, "users"),
            groups=take_texts(document, "groups"),
            keys=tuple(take_objects(document, "keys")),
            members=take(document, "members", int),
            rules=take(document, "rules", int),
            quorums=take(document, "quorums", int),
            objects=take(document, "objects", int),
            conflicts=take_texts(document, "conflicts"),
            document=document,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerCertificate(_Record):
    """The TLS certificate that the appliance serves.

    Attributes:
        names: host names and addresses.
        own: whether the appliance's own authority issued it, so that it is renewed by itself.
        authority: subject of the topmost certificate above it.
    """

    subject: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    fingerprint: str
    own: bool
    authority: str
    authority_fingerprint: str

    @classmethod
    def read(cls, document: Document) -> Self:
        """From the answer to `GET /config/tls`."""
        authority = take(document, "authority", dict)
        return cls(
            subject=take(document, "subject", str),
            names=take_texts(document, "names"),
            not_before=take_time(document, "not_before"),
            not_after=take_time(document, "not_after"),
            fingerprint=take(document, "fingerprint", str),
            own=take(document, "own", bool),
            authority=take(authority, "subject", str),
            authority_fingerprint=take(authority, "fingerprint", str),
            document=document,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation(_Record):
    """Why something is (not) allowed: the number of the rule that decided, or the command that would allow it.

    Attributes:
        group: the group that the rule is for, None when it is for the user.
        conditions: what else has to be true where it is allowed, a sentence each.
    """

    allowed: bool
    reason: str
    rule: int | None
    missing_rule: str | None
    group: str | None = None
    conditions: tuple[str, ...] = ()

    @classmethod
    def read(cls, document: Document) -> Self:
        """From the answer to `GET /access/explain`."""
        return cls(
            allowed=take(document, "allowed", bool),
            reason=take(document, "reason", str),
            rule=take_or_none(document, "rule", int),
            missing_rule=take_or_none(document, "missing_rule", str),
            group=take_or_none(document, "group", str),
            conditions=tuple(map(str, document.get("conditions") or ())),
            document=document,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Event(_Record):
    """One entry of the record.

    Attributes:
        input: SHA-256 of what was signed, hexadecimal.
        outcome: `done`, `refused`, `failed`, or `dropped` when its request had been answered before.
    """

    number: int
    time: datetime
    node: str
    user: str
    operation: str
    outcome: str
    core: int | None
    key: str | None
    mechanism: str | None
    input: str | None
    reason: str | None

    @classmethod
    def read(cls, document: Document) -> Self:
        """From an event of docs/reference/rest.md."""
        return cls(
            number=take(document, "number", int),
            time=take_time(document, "time"),
            node=take(document, "node", str),
            user=take(document, "user", str),
            operation=take(document, "operation", str),
            outcome=take(document, "outcome", str),
            core=take_or_none(document, "core", int),
            key=take_or_none(document, "key", str),
            mechanism=take_or_none(document, "mechanism", str),
            input=take_or_none(document, "input", str),
            reason=take_or_none(document, "reason", str),
            document=document,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint(_Record):
    """How long the record is, signed.

    Attributes:
        note: the signed note (C2SP tlog-checkpoint), which is what to keep.
        key: the audit key that it verifies with.
    """

    size: int
    note: str
    key: str

    @classmethod
    def read(cls, document: Document) -> Self:
        """From the answer to `GET /audit/checkpoint`."""
        return cls(
            size=take(document, "size", int),
            note=take(document, "checkpoint", str),
            key=take(document, "key", str),
            document=document,
        )


def take(document: Document, name: str, kind: type[_T]) -> _T:
    """The member `name` of a JSON object, which must be of type `kind`.

    Raises:
        UnexpectedAnswerError: it is missing or of another type.
    """
    value = document.get(name)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise UnexpectedAnswerError(f"the answer's {name!r} is missing or of the wrong type")
    return value


def take_or_none(document: Document, name: str, kind: type[_T]) -> _T | None:
    """As `take`, but null and absent are both None."""
    return None if document.get(name) is None else take(document, name, kind)


def take_texts(document: Document, name: str) -> tuple[str, ...]:
    """As `take`, for a list of texts."""
    values = take(document, name, list)
    if not all(isinstance(value, str) for value in values):
        raise UnexpectedAnswerError(f"the answer's {name!r} holds something other than text")
    return tuple(values)


def take_objects(document: Document, name: str) -> list[Document]:
    """As `take`, for a list of JSON objects."""
    values = take(document, name, list)
    if not all(isinstance(value, dict) for value in values):
        raise UnexpectedAnswerError(f"the answer's {name!r} holds something other than objects")
    return values


def take_time(document: Document, name: str) -> datetime:
    """As `take`, for an RFC 3339 time."""
    try:
        return datetime.fromisoformat(take(document, name, str))
    except ValueError:
        raise UnexpectedAnswerError(f"the answer's {name!r} is not a time") from None


def take_bytes(document: Document, name: str) -> bytes:
    """As `take`, for standard base64 (RFC 4648, section 4)."""
    return decoded(take(document, name, str))


def encoded(content: bytes) -> str:
    """Bytes as standard base64."""
    return base64.b64encode(content).decode()


def decoded(text: str) -> bytes:
    """The bytes behind standard base64.

    Raises:
        UnexpectedAnswerError: it is no base64.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise UnexpectedAnswerError("the answer holds text that is not base64") from None
