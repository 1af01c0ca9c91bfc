"""Who can open backups: set by administrators, so that those who make backups need no secret and can read none."""

import os

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from sqlalchemy import Connection

from privyseal.access.passwords import check_strength
from privyseal.errors import InvalidRequestError, NotFoundError
from privyseal.model.access import Operation
from privyseal.model.backups import PASSPHRASE, PUBLIC_KEY, BackupRecipient
from privyseal.operations.appliance import Appliance
from privyseal.operations.look import look
from privyseal.operations.manage import change, require_role
from privyseal.operations.perform import Act, Caller
from privyseal.store import backup_recipients
from privyseal.store.times import now
from privyseal.wire import frames, names

_SALT_LENGTH = 16


async def add_recipient(
    appliance: Appliance, caller: Caller, act: Act, name: str, *, passphrase: str | None, public_key: str | None
) -> BackupRecipient:
    """Let a passphrase, or who has the private half of an X25519 key (PEM), open all backups made from now on.

    Raises InvalidRequestError, ConflictError, AccessRefusedError.
    """
    require_role(caller, Operation.BACKUP_MANAGE)
    names.name(name)
    if (passphrase is None) == (public_key is None):
        raise InvalidRequestError.of("passphrase", "give exactly one of passphrase and public_key")
    if passphrase is not None:
        check_strength(passphrase, "passphrase")
        salt = os.urandom(_SALT_LENGTH)
        made = await appliance.keeper.ask(frames.BackupKey(passphrase, salt), frames.BackupPublic)
        recipient = BackupRecipient(0, name, PASSPHRASE, made.public_key, salt, now())
    else:
        assert public_key is not None  # noqa: S101 - exactly one is there
        recipient = BackupRecipient(0, name, PUBLIC_KEY, _x25519(public_key), b"", now())
    words = f"'{name}', {recipient.kind} {recipient.public_key.hex()}"
    asked = (
        f"'{name}', a passphrase of the requester's" if passphrase is not None else words
    )  # its salt is new each time
    return await change(appliance, caller, act, words, lambda c: backup_recipients.add(c, recipient), asked=asked)


async def list_recipients(appliance: Appliance, caller: Caller) -> list[BackupRecipient]:
    """Give who can open backups."""
    require_role(caller, Operation.BACKUP_CREATE)
    return await look(appliance, backup_recipients.every)


async def remove_recipient(appliance: Appliance, caller: Caller, act: Act, name: str) -> None:
    """Seal no further backup for somebody; what was made before can be opened as it could. Raises NotFoundError."""
    require_role(caller, Operation.BACKUP_MANAGE)

    def work(connection: Connection) -> None:
        if not backup_recipients.remove(connection, name):
            raise NotFoundError(f"there is no recipient '{name}'; see `privyseal backup recipient list`")

    await change(appliance, caller, act, f"'{name}'", work)


def _x25519(pem: str) -> bytes:
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, X25519PublicKey):
        words = "this is no X25519 public key in PEM; make one with `openssl genpkey -algorithm X25519`"
        raise InvalidRequestError.of("public_key", words)
    return key.public_bytes_raw()
