"""The audit key: it signs checkpoints that the keeper writes itself, and nothing else.

Its record has a type of its own and stands in core 0, where no key of a user can be, so no other request opens it. The
name that it signs under is made of its id, which is sealed with it.
"""

import time
from collections.abc import Callable

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from privyseal.keeper import sealing, signing
from privyseal.keeper.domain import DamagedError, DomainKey
from privyseal.wire import frames, notes
from privyseal.wire.frames import SealedKey

TYPE = frames.AUDIT_KEY
CORE = 0
_ROOT_LENGTH = 32
_POLICY = frames.encode_policy(frames.Policy(("checkpoint",), pin=False))
_LONGEST_RECORD = 10**18


def generate(domain: DomainKey, key_id: str) -> frames.Generated:
    """Make an audit key."""
    private = Ed25519PrivateKey.generate()
    blank = SealedKey(key_id, CORE, TYPE, 1, _POLICY, b"")
    record = sealing.close(domain, blank, signing.to_pkcs8(private), None)
    return frames.Generated(record, private.public_key().public_bytes_raw(), None)


def sign_checkpoint(
    open_outer: Callable[[SealedKey], bytes], request: frames.SignCheckpoint, uses: notes.Uses
) -> frames.Note:
    """Sign how long the record is and what the root of its tree is. Raises DamagedError, or ValueError for nonsense."""
    if len(request.root) != _ROOT_LENGTH or not 0 <= request.size < _LONGEST_RECORD:
        raise ValueError("a checkpoint has a size and a root of 32 bytes")
    private = _open(open_outer, request.record)
    origin = notes.ORIGIN + request.record.id
    checkpoint = notes.Checkpoint(origin, request.size, request.root, uses, int(time.time()))
    return frames.Note(notes.sign(notes.checkpoint_text(checkpoint), origin, private))


def _open(open_outer: Callable[[SealedKey], bytes], record: SealedKey) -> Ed25519PrivateKey:
    if record.type != TYPE or record.core != CORE:
        raise DamagedError("this is no audit key")
    private = serialization.load_der_private_key(open_outer(record), None)
    assert isinstance(private, Ed25519PrivateKey)  # noqa: S101 - its type is sealed with it
    return private
