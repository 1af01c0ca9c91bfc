"""The first start: domain key, unlock slot, core 1 and the administrator, in one transaction; and unlocking later.

The key file is written before the database knows of it, and an old one is used again rather than overwritten: it may be
the only thing that opens another database.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from privyseal.access.passwords import check_strength, hash_password
from privyseal.errors import ConfigurationError, PrivysealError
from privyseal.keeper.client import WrongSecretError, ask_once
from privyseal.model.access import Role
from privyseal.model.event import Event, Outcome
from privyseal.operations.manage_cores import blank_core
from privyseal.state import Change, require, state_of
from privyseal.store import appliance, attempts, cores, events, users
from privyseal.store.store import Store
from privyseal.store.times import now_micros
from privyseal.tls import write_private
from privyseal.wire import frames

ADMINISTRATOR = "admin"
KEY_FILE_LENGTH = 32


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

    @property
    def restoring(self) -> Path:
        """The file that is here while a backup is being restored into this place."""
        return self.data / "restoring"


def is_provisioned(store: Store) -> bool:
    """Say whether this database belongs to an appliance."""
    with store.read() as connection:
        return appliance.node(connection) is not None


def require_whole(store: Store, place: Place) -> None:
    """Refuse a place into which a restore has not come to its end: what began there must not become another appliance.

    Raises ConfigurationError.
    """
    if not place.restoring.exists():
        return
    if not is_provisioned(store):
        raise ConfigurationError(
            f"a restore into {place.data} was cut off; type `privyseal restore` again, or remove {place.restoring} to "
            "begin a new appliance there"
        )
    place.restoring.unlink()  # it was cut off behind the commit, with which everything was there


def provision(store: Store, keeper: Path, node: str, password: str, opener: frames.Opener) -> frames.Slot:
    """Make an appliance out of an empty database.

    The database's write lock makes this happen once, however many ask for it. A domain key that is in the keeper before
    belongs to an attempt that came to nothing, so it is forgotten first.

    Raises:
        InvalidRequestError: a weak password, or shares that cannot be.
        ConflictError: it is provisioned already.
    """
    check_strength(password)
    stored = hash_password(password)
    event = Event(
        time=now_micros(), node=node, user=ADMINISTRATOR, operation="appliance:provision", outcome=Outcome.DONE
    )
    with store.write() as connection:
        require(state_of(provisioned=appliance.node(connection) is not None, unlocked=False), Change.PROVISION)
        appliance.create(connection, node)
        ask_once(keeper, frames.Lock(), frames.Done)
        slot = ask_once(keeper, frames.Provision(opener), frames.Slot)
        appliance.add_slot(connection, opener.way, slot.sealed)
        cores.add(connection, blank_core("core1", pin_required=True))
        users.add(connection, ADMINISTRATOR, Role.ADMINISTRATOR, stored)
        events.append(connection, [event])
    return slot


def provision_with_key_file(store: Store, place: Place, node: str, password: str) -> None:
    """Provision for an unattended start, with a key file in the data directory."""
    check_strength(password)
    _make_key_file(place)
    provision(store, place.keeper, node, password, frames.Opener(appliance.KEY_FILE, key_file(place)))


def unlock_with_key_file(store: Store, place: Place) -> bool:
    """Unlock the keeper at an unattended start; False when no slot is for a key file, so that somebody has to come.

    Raises ConfigurationError when there is such a slot and the key file does not open it.
    """
    with store.read() as connection:
        slots = tuple(slot.sealed for slot in appliance.slots(connection) if slot.kind == appliance.KEY_FILE)
        ended = appliance.all_ended_tickets(connection)
    if not slots:
        return False
    secret = key_file(place)
    try:
        opening = ask_once(place.keeper, frames.Open(slots, appliance.KEY_FILE, secret, ended), frames.Opening)
    except WrongSecretError as error:
        raise ConfigurationError(f"the key file {place.key_file} opens no unlock slot of this appliance") from error
    if opening.renewed is not None:
        with store.write() as connection:
            appliance.replace_key_file_slot(connection, opening.renewed)
    return True


def try_key_file(store: Store, place: Place) -> str | None:
    """Unlock with the key file if that is possible; else give the reason why the appliance stays locked."""
    try:
        return None if unlock_with_key_file(store, place) else "no unlock slot is for a key file"
    except PrivysealError as error:
        return str(error)


def settle(store: Store) -> None:
    """Count what a crash interrupted; called before anybody can try anything."""
    with store.write() as connection:
        attempts.settle_crashed(connection)


def new_key_file_secret() -> bytes:
    """Make what a key file holds."""
    return os.urandom(KEY_FILE_LENGTH)


def _make_key_file(place: Place) -> None:
    if place.key_file.exists():
        return
    try:
        write_private(place.key_file, new_key_file_secret())
    except OSError as error:
        raise ConfigurationError(f"the key file {place.key_file} cannot be made: {error.strerror}") from error


def key_file(place: Place) -> bytes:
    """Read the key file. Raises ConfigurationError."""
    try:
        secret = place.key_file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"the key file {place.key_file} cannot be used: {error.strerror}") from error
    if len(secret) != KEY_FILE_LENGTH:
        raise ConfigurationError(f"the key file {place.key_file} has {len(secret)} bytes, not {KEY_FILE_LENGTH}")
    return secret
