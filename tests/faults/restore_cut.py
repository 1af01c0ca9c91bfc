"""A restore that is cut off at every call that changes a file, and the next start after it; see `power_cut.py`."""

import ctypes
from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from faults.power_cut import SHIM, Ground, database
from faults.scenarios import Answer, Ask, Remains, Say, unlock
from privyseal.errors import ConfigurationError
from privyseal.keeper.client import ask_once
from privyseal.operations.provision import Place, is_provisioned, require_whole
from privyseal.store import events
from privyseal.store.store import Store
from privyseal.supervisor import restore_with
from privyseal.wire import frames


class RestoreGround(Ground):
    """An appliance whose backup is restored into an empty directory again and again."""

    def prepare(self) -> None:
        """Make the appliance and its backup, for the owner of a private key."""
        super().prepare()
        private = X25519PrivateKey.generate()
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (self.base / "private.pem").write_bytes(pem)
        public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

        async def make(ask: Ask) -> None:
            body = {"name": "offsite", "public_key": public}
            assert (await ask("admin", "POST", "/backup/recipients", body)).status_code == 201
            (self.base / "backup").write_bytes((await ask("admin", "POST", "/backup")).content)

        _, status = self.in_child(lambda _: self.with_appliance(self.prepared, self.keeper, make))
        assert status == 0, f"the backup ended with status {status}"

    def unlock_again(self, with_slots: list[bytes]) -> None:
        """Restoring wants a keeper without a domain key."""
        assert with_slots
        ask_once(self.keeper.path, frames.Lock(), frames.Done)

    def copy(self, name: str) -> Path:
        """An empty directory."""
        folder = self.base / name
        folder.mkdir()
        return folder

    async def play(self, folder: Path, cut: int, say: Say) -> None:
        """Restore."""
        SHIM.cut_arm(ctypes.c_long(cut))
        self._restore(folder)
        say("restored", 1)
        say("calls", SHIM.cut_count())

    def _restore(self, folder: Path) -> None:
        with (self.base / "backup").open("rb") as file:
            secret = (self.base / "private.pem").read_text()
            restore_with(Place(folder, self.keeper.path), None, file, secret, lambda _: None)

    def problems(self, folder: Path, said: list[Answer]) -> Iterator[str]:
        """Start there, restore again if the start refuses, and compare with the appliance of the backup."""
        place = Place(folder, self.keeper.path)
        if {"lock", "restoring.new"}.issuperset(file.name for file in folder.iterdir()):
            return  # it had not begun
        store = Store(database(folder))
        try:
            store.migrate()
            try:
                require_whole(store, place)
            except ConfigurationError:
                ask_once(self.keeper.path, frames.Lock(), frames.Done)
                self._restore(folder)
            if is_provisioned(store):
                yield from self._compared(store, place, said)
            else:
                yield "the next start makes a new appliance"
        finally:
            store.close()

    def _compared(self, store: Store, place: Place, said: list[Answer]) -> Iterator[str]:
        if place.restoring.exists():
            yield "the mark is still there"
        secret = place.key_file.read_bytes()
        unlock(self.following, Remains.slots(store), secret)
        yield from self.unverified(store)
        unlock(self.keeper, Remains.slots(store), secret)
        with store.read() as connection:
            recorded = [one.event for one in events.page(connection, 0, 100_000)]
            remains = Remains(connection, said, recorded, self.keeper)
            if len(remains.done("key:generate")) != 2 or len(remains.done("appliance:restore")) != 1:
                yield "the record is not the one of the backup"
            yield from remains.unusable()
