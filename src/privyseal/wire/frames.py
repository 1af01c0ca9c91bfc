"""The words between an API worker and the keeper: length-prefixed msgpack frames, batched both ways.

A frame is four bytes of length (big endian) and a msgpack list of `(number, message)`. A worker numbers its requests;
answers carry the number of their request and may come in any order. The keeper answers each frame with at least one
frame, at once for what is quick, so that the worker knows when to send what has queued up meanwhile.

`Policy` and the other fields of `SealedKey` are bound to the sealed bytes: changing one makes the record unopenable.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

MAX_FRAME = 64 * 1024 * 1024


class _Message(msgspec.Struct, frozen=True, array_like=True, tag_field="kind"):
    """Printed in a log or a traceback, a message shows its name only: some fields are secrets."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class Policy(_Message, frozen=True):
    """What a key may be used for; sealed with it and enforced by the keeper.

    Fields after the second were added later: a record that was sealed before has policy bytes without them, and means
    their defaults. Add new ones at the end, with a default that changes nothing.

    Attributes:
        mechanisms: names of `model.Mechanism`.
        pin: whether the private half has an inner layer under a PIN.
        operations: what the private or secret half may do, by the words of `model.Use`; before there were others it
            was `sign` alone.
        hashes: names of `model.Hash`; None allows every hash, and raw inputs without one.
        not_before: seconds since the epoch, by the keeper's clock; before it the key is not used.
        not_after: as `not_before`; from the second after it the key is not used.
        max_uses: how often one version of the key may be used.
        raw_digest: whether the keeper takes a digest that somebody else computed; otherwise it hashes the data itself.
        exportable: whether it may leave the appliance wrapped; never switched on after birth.
        origin: `generated` here, or `imported`; never changed.
        sign_with_old_versions: whether versions before the current one may still sign when they are addressed.
    """

    mechanisms: tuple[str, ...]
    pin: bool
    operations: tuple[str, ...] = ("sign",)
    hashes: tuple[str, ...] | None = None
    not_before: int | None = None
    not_after: int | None = None
    max_uses: int | None = None
    raw_digest: bool = True
    exportable: bool = False
    origin: str = "generated"
    sign_with_old_versions: bool = False


class SealedKey(_Message, frozen=True):
    """A key's record as the keeper opens it.

    Attributes:
        type: value of `model.KeyType`.
        policy: msgpack of `Policy`, kept as bytes because they are authenticated as they are.
        sealed: nonce, ciphertext and tag.
    """

    id: str
    core: int
    type: str
    version: int
    policy: bytes
    sealed: bytes


class PINProof(_Message, frozen=True, tag="pin"):
    """A PIN with the salt of its core. `counted` says that an attempt has been reserved for it in the store."""

    pin: str
    salt: bytes
    counted: bool


class TicketProof(_Message, frozen=True, tag="ticket"):
    """A ticket that a login gave out."""

    ticket: str


class Opener(_Message, frozen=True):
    """What a new unlock slot shall open with.

    Attributes:
        way: `key-file`, `passphrase` or `shares`.
        secret: the file's content or the passphrase (UTF-8); nothing for shares, which the keeper makes.
        needed, total: for shares, how many open the slot, and of how many.
    """

    way: str
    secret: bytes = b""
    needed: int = 0
    total: int = 0


class Provision(_Message, frozen=True, tag="provision"):
    """Make a domain key and an unlock slot for it. Answer: `Slot`."""

    opener: Opener


class Open(_Message, frozen=True, tag="open"):
    """Unlock with any of `slots`. Answer: `Opening`, or `Refused` with `secret-incorrect`.

    Attributes:
        way: kind of the secret, and of the slots to try: `key-file`, `passphrase` or `share`.
        secret: a key file's content, a passphrase or one share as text.
    """

    slots: tuple[bytes, ...]
    way: str
    secret: bytes
    ended: tuple[str, ...]


class AddSlot(_Message, frozen=True, tag="add-slot"):
    """Make one more unlock slot. Answer: `Slot`."""

    opener: Opener


class Succeed(_Message, frozen=True, tag="succeed"):
    """Make the next domain key, if there is none yet, and seal both for all `slots`. Answer: `Slots`."""

    slots: tuple[bytes, ...]


class Adopt(_Message, frozen=True, tag="adopt"):
    """Seal with the next domain key of this name from now on: the store has the slots. Answer: `Done`."""

    name: str


class Reseal(_Message, frozen=True, tag="reseal"):
    """Seal the outer layer of records with the next domain key. Answer: `Resealed`."""

    records: tuple[SealedKey, ...]


class Conclude(_Message, frozen=True, tag="conclude"):
    """Seal the next domain key alone for all `slots`. Answer: `Slots`. The old one stays until `Forget`."""

    slots: tuple[bytes, ...]


class Forget(_Message, frozen=True, tag="forget"):
    """Forget the old domain key, if all `slots` are the next one's. Answer: `Done`."""

    slots: tuple[bytes, ...]


class Watch(_Message, frozen=True, tag="watch"):
    """Ask for the state now and, as messages with number 0, at every change. Answer: `Status`."""


class Lock(_Message, frozen=True, tag="lock"):
    """Forget the domain key and everything opened with it. Answer: `Done`."""


class Inspect(_Message, frozen=True, tag="inspect"):
    """Ask for state and hardening. Answer: `Status`."""


class Measure(_Message, frozen=True, tag="measure"):
    """Ask for numbers, for monitoring. Answer: `Measured`."""


class Generate(_Message, frozen=True, tag="generate"):
    """Make a key. Answer: `Generated`. The keeper sets `pin` and `origin` of the policy, and mechanisms if none."""

    id: str
    core: int
    type: str
    pin: str | None
    salt: bytes
    policy: Policy | None = None


class ChangePolicy(_Message, frozen=True, tag="change-policy"):
    """Seal a key anew with another policy; `pin` and `origin` stay. Answer: `Resealed`.

    Attributes:
        counter: the key's sealed count of uses, where there is one.
    """

    user: str
    core: int
    proof: PINProof | TicketProof | None
    record: SealedKey
    policy: Policy
    counter: bytes | None


class Rotate(_Message, frozen=True, tag="rotate"):
    """Make the next version of a key: same type and policy, same PIN unless there is a new one. Answer: `Generated`."""

    user: str
    core: int
    proof: PINProof | TicketProof | None
    record: SealedKey
    new_pin: str | None
    salt: bytes


class NewImportKey(_Message, frozen=True, tag="new-import-key"):
    """Make an RSA key that wraps one key on its way in, for this user and core. Answer: `ImportKey`."""

    user: str
    core: int


class Import(_Message, frozen=True, tag="import"):
    """Unwrap, check and seal a key. Whatever comes of it, the import key is used up. Answer: `Generated`.

    Attributes:
        import_key: the id from `ImportKey`.
        wrapped: see `wire.keywrap`.
        id: of the key to be.
    """

    user: str
    core: int
    import_key: str
    wrapped: bytes
    id: str
    pin: str | None
    salt: bytes
    policy: Policy | None = None


class Export(_Message, frozen=True, tag="export"):
    """Wrap a key that may be exported to an RSA public key (DER, 3072 bits or more). Answer: `Exported`."""

    user: str
    core: int
    proof: PINProof | TicketProof | None
    record: SealedKey
    public_key: bytes


class Login(_Message, frozen=True, tag="login"):
    """Turn a PIN into a ticket for one user and core. Answer: `LoggedIn`, or `Refused` with `uncounted`."""

    user: str
    core: int
    proof: PINProof


class Logout(_Message, frozen=True, tag="logout"):
    """End a ticket. Answer: `TicketEnded`."""

    user: str
    core: int
    ticket: str


class Sign(_Message, frozen=True, tag="sign"):
    """Sign each of `inputs` with one key. Answer: `Signatures`; `Refused` with `unknown-key` asks for `record`.

    Attributes:
        seal: SHA-256 of the sealed record, the name under which the keeper remembers the opened key.
        record: sent the first time and when the keeper has forgotten it.
        data: whether `inputs` are data that the keeper hashes, rather than digests; EdDSA's messages are neither.
        counter: the sealed count of uses, for a key whose policy limits them.
        context, mu, length: see `model.mechanisms.Scheme`.
    """

    seal: bytes
    user: str
    core: int
    mechanism: str
    hash: str | None
    salt_length: int | None
    mgf_hash: str | None
    encoding: str
    inputs: tuple[bytes, ...]
    proof: PINProof | TicketProof | None
    record: SealedKey | None
    data: bool = False
    counter: bytes | None = None
    context: bytes = b""
    mu: bool = False
    length: int | None = None


class Parameters(_Message, frozen=True):
    """What goes with a mechanism beside the data; `wire.parameters` says which of them goes with which.

    Attributes:
        hash, mgf_hash: names of `model.Hash`.
        label: of RSA-OAEP and SP 800-108.
        counter: bits of the AES-CTR block that count, the last ones.
        tag_length, length: in bytes.
        public_key: the other's: a point, a coordinate, or a SubjectPublicKeyInfo.
        kdf: None or `X9.63`.
    """

    hash: str | None = None
    mgf_hash: str | None = None
    label: bytes = b""
    iv: bytes = b""
    aad: bytes = b""
    tag_length: int = 16
    counter: int = 128
    public_key: bytes = b""
    kdf: str | None = None
    shared_info: bytes = b""
    salt: bytes = b""
    info: bytes = b""
    context: bytes = b""
    length: int | None = None


class Apply(_Message, frozen=True, tag="apply"):
    """Do one thing beside signing with a key. Answer: `Applied`; `Refused` with `unknown-key` asks for `record`.

    Attributes:
        seal, record, counter: as in `Sign`.
        verb: `encrypt`, `decrypt`, `derive`, or `verify` for a MAC.
        data: what is encrypted, decrypted or was authenticated.
        mac: what is verified.
    """

    seal: bytes
    user: str
    core: int
    verb: str
    mechanism: str
    parameters: Parameters
    data: bytes
    proof: PINProof | TicketProof | None
    record: SealedKey | None
    counter: bytes | None = None
    mac: bytes = b""


class Wrap(_Message, frozen=True, tag="wrap"):
    """Wrap `target`, which must be exportable, with the key of `record`; one proof opens both. Answer: `Applied`."""

    user: str
    core: int
    proof: PINProof | TicketProof | None
    record: SealedKey
    target: SealedKey
    mechanism: str
    parameters: Parameters
    counter: bytes | None = None


class Unwrap(_Message, frozen=True, tag="unwrap"):
    """Unwrap a key with the key of `record`, check it and seal it. Answer: `Unwrapped`.

    Attributes:
        id, type: of the key to be; `new_pin`, `salt` and `policy` are its, too.
    """

    user: str
    core: int
    proof: PINProof | TicketProof | None
    record: SealedKey
    wrapped: bytes
    mechanism: str
    parameters: Parameters
    id: str
    type: str
    new_pin: str | None
    salt: bytes
    policy: Policy | None
    counter: bytes | None = None


class GenerateAuditKey(_Message, frozen=True, tag="generate-audit-key"):
    """Make the key that signs checkpoints. Answer: `Generated`, with the 32 bytes of its public half."""

    id: str


class CountUses(_Message, frozen=True, tag="count-uses"):
    """Ask how often this run of the keeper has used keys. Answer: `Counted`."""


class Recorded(_Message, frozen=True, tag="recorded"):
    """The events of these answers are durable. No answer, so it has the number 0 and travels with other requests.

    Attributes:
        keeper: the run of the keeper that gave the answers; those of another run are passed over.
        first_uses: of each answer, `Signatures.first_use`.
    """

    keeper: str
    first_uses: tuple[int, ...]


class ListUnrecorded(_Message, frozen=True, tag="list-unrecorded"):
    """Say which signatures nobody has said to be recorded. Answer: `Unrecorded`.

    Attributes:
        count: how many of the first `count` signatures wait is what the answer tells.
    """

    count: int = 0


class SignCheckpoint(_Message, frozen=True, tag="sign-checkpoint"):
    """Sign a checkpoint of the record. Answer: `Note`.

    Attributes:
        record: the audit key's; no other record does.
        count: what `CountUses` answered within the last minute.
    """

    record: SealedKey
    size: int
    root: bytes
    count: int


class BackupKey(_Message, frozen=True, tag="backup-key"):
    """Ask which public key a backup passphrase stands for. Answer: `BackupPublic`."""

    passphrase: str
    salt: bytes


class SealBackup(_Message, frozen=True, tag="seal-backup"):
    """Make a file key, and seal it with the domain key for each public key. Answer: `SealedBackup`.

    Attributes:
        rotating: the name of the next domain key, if the backup's rows say that one is on its way.
    """

    recipients: tuple[bytes, ...]
    rotating: str | None = None


class OpenBackup(_Message, frozen=True, tag="open-backup"):
    """Take the domain key from a backup; refused when there is one. Answer: `OpenedBackup`.

    Attributes:
        secret: the passphrase, or the private key in PEM where `salt` is empty.
        slot_secret: what the domain key is sealed under from now on, for an unattended start.
    """

    sealed: bytes
    secret: str
    salt: bytes
    slot_secret: bytes


class OpenMerge(_Message, frozen=True, tag="open-merge"):
    """Open a backup of this same appliance beside the domain key that is here. Answer: `OpenedMerge`.

    Attributes:
        secret: the passphrase, or the private key in PEM where `salt` is empty.
    """

    sealed: bytes
    secret: str
    salt: bytes


class ResealMerged(_Message, frozen=True, tag="reseal-merged"):
    """Seal records of a backup with the present domain key. Answer: `Resealed`, with None where one does not open.

    Attributes:
        secrets: from `OpenedMerge`.
    """

    secrets: bytes
    records: tuple[SealedKey, ...]


class Done(_Message, frozen=True, tag="done"):
    """It is done."""


class Slot(_Message, frozen=True, tag="slot"):
    """A domain key sealed for one unlock slot, and the shares that open it if it is one for shares."""

    sealed: bytes
    shares: tuple[str, ...] = ()


class Slots(_Message, frozen=True, tag="slots"):
    """Unlock slots in the order in which they were sent, and the public name of the next domain key."""

    sealed: tuple[bytes, ...]
    name: str


class Opening(_Message, frozen=True, tag="opening"):
    """How far the unlocking is. For shares: how many are here of how many that are needed.

    Attributes:
        renewed: what to keep in the place of a slot of the first form, which had no public half; else None.
    """

    unlocked: bool
    have: int
    needed: int
    renewed: bytes | None = None


class Resealed(_Message, frozen=True, tag="resealed"):
    """For each record its new `sealed`, or None where there is nothing to do; and which do not open at all."""

    sealed: tuple[bytes | None, ...]
    damaged: tuple[int, ...]


class Status(_Message, frozen=True, tag="status"):
    """The keeper's state and which protections are in force.

    Attributes:
        change: grows with every change of the state, so that an older answer is known when it comes late.
        have, needed: shares that wait for the others.
        following: the name of the next domain key while records are being sealed with it.
    """

    unlocked: bool
    hardening: dict[str, bool]
    change: int = 0
    have: int = 0
    needed: int = 0
    following: str | None = None


class Measured(_Message, frozen=True, tag="measured"):
    """How many keys are open, how many uses found theirs open (about), and how many had to open it."""

    unlocked: bool
    keys: int
    hits: int
    misses: int


class Generated(_Message, frozen=True, tag="generated"):
    """A new key: its record, its public half (DER), and the tag under which keys with the same PIN are found.

    Attributes:
        counter: the sealed count of its uses, when its policy limits them.
    """

    record: SealedKey
    public_key: bytes
    pin_tag: bytes | None
    counter: bytes | None = None


class OpenedMerge(_Message, frozen=True, tag="opened-merge"):
    """The key of a backup's chunks, and the domain keys in it: sealed with ours, for `ResealMerged` alone."""

    file_key: bytes
    secrets: bytes


class PolicyChanged(_Message, frozen=True, tag="policy-changed"):
    """A key's record with its new policy, and its sealed count of uses when the policy limits them."""

    record: SealedKey
    counter: bytes | None


class ImportKey(_Message, frozen=True, tag="import-key"):
    """The public half of an import key (DER), its id and its expiry in seconds since the epoch."""

    id: str
    public_key: bytes
    expires: int


class Exported(_Message, frozen=True, tag="exported"):
    """A wrapped key: see `wire.keywrap`."""

    wrapped: bytes


class LoggedIn(_Message, frozen=True, tag="logged-in"):
    """A ticket, its expiry (seconds since the epoch), and the tag of the keys that this PIN opens."""

    ticket: str
    expires: int
    pin_tag: bytes


class TicketEnded(_Message, frozen=True, tag="ticket-ended"):
    """The ticket's id and expiry, to be remembered until then."""

    id: str
    expires: int


class Signatures(_Message, frozen=True, tag="signatures"):
    """One signature for each input, in order.

    Attributes:
        keeper: the random id of this run of the keeper.
        first_use: the first signature's running number within it; the others' follow.
        uses: the number of the last of them among the key's uses, when its policy limits them.
        counter: that number sealed, to be kept and sent along with the next request.
    """

    values: tuple[bytes, ...]
    keeper: str
    first_use: int
    uses: int | None = None
    counter: bytes | None = None


class Applied(_Message, frozen=True, tag="applied"):
    """What came of an `Apply` or a `Wrap`: nothing when the data did not fit the key, which was a use all the same.

    Attributes:
        value: for `verify` empty or one byte.
        keeper, use, uses, counter: as in `Signatures`.
    """

    value: bytes | None
    keeper: str
    use: int
    uses: int | None = None
    counter: bytes | None = None


class Unwrapped(_Message, frozen=True, tag="unwrapped"):
    """The key that was unwrapped, None when it does not unwrap; the rest as in `Applied`."""

    made: Generated | None
    keeper: str
    use: int
    uses: int | None = None
    counter: bytes | None = None


class Counted(_Message, frozen=True, tag="counted"):
    """How often this run of the keeper has used keys, and the running hash over it."""

    keeper: str
    count: int
    chain: bytes


class Made(_Message, frozen=True):
    """Signatures that left in one answer, as their events have them.

    Attributes:
        first_use: the first one's number; the others follow.
        mechanism: the scheme's name.
        inputs: SHA-256 of each input, hexadecimal.
        ended: whether the worker that asked has ended; told of what is abandoned.
    """

    first_use: int
    user: str
    core: int
    key: str
    mechanism: str
    inputs: tuple[str, ...]
    ended: bool = False


class Unrecorded(_Message, frozen=True, tag="unrecorded"):
    """Signatures whose events may not be durable.

    Attributes:
        keeper: the run of the keeper.
        waiting: how many answers among those that were asked for.
        abandoned: answers whose worker has ended or has had a minute; of many the oldest. Ask again for the rest.
    """

    keeper: str
    waiting: int
    abandoned: tuple[Made, ...]


class Note(_Message, frozen=True, tag="note"):
    """A signed note (C2SP signed-note)."""

    text: str


class BackupPublic(_Message, frozen=True, tag="backup-public"):
    """A public key, 32 bytes."""

    public_key: bytes


class SealedBackup(_Message, frozen=True, tag="sealed-backup"):
    """A file key, and what each recipient gets, in order.

    Attributes:
        domain: the public name of the present domain key.
    """

    file_key: bytes
    sealed: tuple[bytes, ...]
    domain: str


class OpenedBackup(_Message, frozen=True, tag="opened-backup"):
    """The file key, and the domain key sealed for the slot of this appliance."""

    file_key: bytes
    slot: bytes


class Refused(_Message, frozen=True, tag="refused"):
    """No, and why. `code` is one of the constants below; `index` names the input where one is to blame."""

    code: str
    detail: str
    index: int | None = None


EVERY_OPERATION = ("*",)
"""What a request says in a policy for everything that the type can do; the keeper writes the words."""

AUDIT_KEY = "audit:ed25519"
USE_COUNTER = "use-counter"
"""What stands for a key's type in sealed records that are no keys of users; the audit key stands in core 0."""

LOCKED = "locked"
SECRET_INCORRECT = "secret-incorrect"  # noqa: S105 - a word
NO_SUCCESSOR = "no-successor"
UNKNOWN_KEY = "unknown-key"
UNCOUNTED = "uncounted"
PIN_REQUIRED = "pin-required"
PIN_INCORRECT = "pin-incorrect"
TICKET_INVALID = "ticket-invalid"
POLICY = "policy"
WANTED_POLICY = "wanted-policy"
INPUT = "input"
IMPORT_KEY = "import-key"
WRAPPED = "wrapped"
PUBLIC_KEY = "public-key"
DAMAGED = "damaged"
FOREIGN = "foreign"
FAILED = "failed"

AuditRequest = GenerateAuditKey | CountUses | Recorded | ListUnrecorded | SignCheckpoint
BackupRequest = BackupKey | SealBackup | OpenBackup | OpenMerge | ResealMerged
CustodyRequest = Provision | Open | AddSlot | Succeed | Adopt | Reseal | Conclude | Forget | Lock
KeyLifeRequest = ChangePolicy | Rotate | NewImportKey | Import | Export
WrappingRequest = Wrap | Unwrap
Request = (
    Watch
    | Inspect
    | Measure
    | Generate
    | Login
    | Logout
    | Sign
    | Apply
    | AuditRequest
    | BackupRequest
    | CustodyRequest
    | KeyLifeRequest
    | WrappingRequest
)
Answer = (
    Done
    | Slot
    | Slots
    | Opening
    | Resealed
    | Status
    | Measured
    | Generated
    | LoggedIn
    | TicketEnded
    | Signatures
    | Applied
    | Unwrapped
    | BackupPublic
    | SealedBackup
    | OpenedBackup
    | OpenedMerge
    | PolicyChanged
    | ImportKey
    | Exported
    | Counted
    | Unrecorded
    | Note
    | Refused
)

_encoder = msgspec.msgpack.Encoder()
_requests = msgspec.msgpack.Decoder(list[tuple[int, Request]])
_answers = msgspec.msgpack.Decoder(list[tuple[int, Answer]])
_policies = msgspec.msgpack.Decoder(Policy)


def encode(messages: Sequence[tuple[int, Any]]) -> bytes:
    """Write a frame with its length in front."""
    body = _encoder.encode(messages)
    return len(body).to_bytes(4, "big") + body


def requests(body: bytes | bytearray | memoryview) -> list[tuple[int, Request]]:
    """Read a worker's frame, without its length. Raises msgspec.DecodeError."""
    return _requests.decode(body)


def answers(body: bytes | bytearray | memoryview) -> list[tuple[int, Answer]]:
    """Read a keeper's frame, without its length. Raises msgspec.DecodeError."""
    return _answers.decode(body)


def encode_policy(policy: Policy) -> bytes:
    """Write a policy as the bytes that are sealed with the key."""
    return _encoder.encode(policy)


def policy(data: bytes) -> Policy:
    """Read a policy. Raises msgspec.DecodeError."""
    return _policies.decode(data)
