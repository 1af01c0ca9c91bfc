"""Who can open backups."""

from dataclasses import dataclass
from datetime import datetime

PASSPHRASE = "passphrase"  # noqa: S105 - the name of a kind
PUBLIC_KEY = "public-key"


@dataclass(frozen=True, slots=True)
class BackupRecipient:
    """A public key (X25519, 32 bytes) that backups are sealed for; a passphrase with its salt stands for one."""

    number: int
    name: str
    kind: str
    public_key: bytes
    salt: bytes
    created: datetime
