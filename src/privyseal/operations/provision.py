"""The first start: domain key, unlock slot, core 1 and the administrator, in one transaction; and unlocking later.

The key file is written before the database knows of it, and an old one is used again rather than overwritten: it may be
the only thing that opens another database.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from privyseal.access.passwords import check_strength, hash_password
from privyseal.errors import ConfigurationError
from privyseal.keeper.client import ask_once
from privyseal.model.access import Role
from privyseal.model.event import Event, Outcome
from privyseal.operations.manage_cores import blank_core
from privyseal.store import appliance, attempts, cores, events, users
from privyseal.store.store import Store
from privyseal.store.times import now_micros
from privyseal.tls import write_private
from privyseal.wire import frames

ADMINISTRATOR = "admin"
_KEY_FILE_LENGTH = 32


@dataclass(frozen=True, slots=True)
class Place:
    """Where an appliance's own files are."""

    data: Path
    keeper: Path
    given_key_file: Path | None = None

    @property
    def key_file(self) -> Path:
        """The file that unlocks at an unattended start."""
        return self.given_key_file or self.data / "unlock.key"


def is_provisioned(store: Store) -> bool:
    """Say whether this database belongs to an appliance."""
    with store.read() as connection:
        return appliance.node(connection) is not None


def provision(store: Store, place: Place, node: str, password: str) -> None:
    """Make an appliance out of an empty database. Raises InvalidRequestError for a weak password."""
    check_strength(password)
    if not place.key_file.exists():
        write_private(place.key_file, new_key_file_secret())
    slot = ask_once(place.keeper, frames.Provision(key_file(place)), frames.Slot)
    stored = hash_password(password)
    event = Event(
        time=now_micros(), node=node, user=ADMINISTRATOR, operation="appliance:provision", outcome=Outcome.DONE
    )
    with store.write() as connection:
        appliance.create(connection, node)
        appliance.add_slot(connection, appliance.KEY_FILE, slot.sealed)
        cores.add(connection, blank_core("core1", pin_required=True))
        users.add(connection, ADMINISTRATOR, Role.ADMINISTRATOR, stored)
        events.append(connection, [event])


def unlock_with_key_file(store: Store, place: Place) -> None:
    """Unlock the keeper at an unattended start. Raises ConfigurationError when the key file does not open the slot."""
    with store.read() as connection:
        slots = [slot for slot in appliance.slots(connection) if slot.kind == appliance.KEY_FILE]
        ended = appliance.all_ended_tickets(connection)
    if not slots:
        raise ConfigurationError("there is no key-file slot to unlock with")
    ask_once(place.keeper, frames.Unlock(slots[0].sealed, key_file(place), ended), frames.Done)


def settle(store: Store) -> None:
    """Count what a crash interrupted; called before anybody can try anything."""
    with store.write() as connection:
        attempts.settle_crashed(connection)


def new_key_file_secret() -> bytes:
    """Make what a key file holds."""
    return os.urandom(_KEY_FILE_LENGTH)


def key_file(place: Place) -> bytes:
    """Read the key file. Raises ConfigurationError."""
    try:
        secret = place.key_file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"the key file {place.key_file} cannot be used: {error.strerror}") from error
    if len(secret) != _KEY_FILE_LENGTH:
        raise ConfigurationError(f"the key file {place.key_file} has {len(secret)} bytes, not {_KEY_FILE_LENGTH}")
    return secret
