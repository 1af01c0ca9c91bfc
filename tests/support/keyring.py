"""Requests to a keyring without a process around it, as an API worker sends them."""

import hashlib

from privyseal.keeper import sealing
from privyseal.keeper.keyring import Keyring
from privyseal.wire import frames
from support.keeper import SALT

PIN = "12345678"
PROOF = frames.PINProof(PIN, SALT, counted=True)
DIGEST = hashlib.sha256(b"message").digest()


def generate(ring: Keyring, key_type: str = "ec:P-256", pin: str | None = PIN) -> frames.SealedKey:
    """Make a key in core 1."""
    made = ring.handle(frames.Generate("f90fb8e79e60a1b2", 1, key_type, pin, SALT))
    assert isinstance(made, frames.Generated)
    return made.record


def sign(record: frames.SealedKey, proof: frames.PINProof | frames.TicketProof | None = PROOF) -> frames.Sign:
    """A request to sign one digest, with the record along."""
    return frames.Sign(
        seal=sealing.name(record),
        user="alice",
        core=1,
        mechanism="ECDSA",
        hash="SHA-256",
        salt_length=None,
        mgf_hash=None,
        encoding="der",
        inputs=(DIGEST,),
        proof=proof,
        record=record,
    )


def code(answer: frames.Answer) -> str:
    """The code of a refusal."""
    assert isinstance(answer, frames.Refused), answer
    return answer.code
