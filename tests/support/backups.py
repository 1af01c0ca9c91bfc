"""Backups that are not what they seem."""

import os

from privyseal.keeper import backups as sealing
from privyseal.keeper.domain import DomainKey, Secrets
from privyseal.store.dump import End, _framed
from privyseal.wire import backups
from privyseal.wire.backups import Header, Recipient

ALTERATIONS = ("cut off", "cut off at the end", "flipped", "longer", "empty", "something else")


def altered(content: bytes, how: str) -> bytes:
    """The file after one of `ALTERATIONS` has happened to it."""
    middle = len(content) // 2
    return {
        "cut off": content[:middle],
        "cut off at the end": content[:-1],
        "flipped": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        "longer": content + b"\0",
        "empty": b"",
        "something else": os.urandom(1000),
    }[how]


def forged(schema: str, passphrase: str) -> bytes:
    """A whole and empty backup, sealed by somebody who knows for whom, with a domain key of his own."""
    salt = os.urandom(16)
    contents = sealing.Contents(sealing.new_file_key(), Secrets(DomainKey.generate()).encode())
    public = sealing.public_key(passphrase, salt)
    recipient = Recipient("passphrase", "safe", public, salt, sealing.seal(contents, public))
    header = Header("elsewhere", 0, schema, 1, (recipient,))
    return b"".join(backups.write(header, contents.file_key, [_framed(End(0))]))
