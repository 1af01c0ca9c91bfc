"""An appliance as seen from a host: the front door of this package.

    from privyseal.client import Appliance, hash_file

    with Appliance() as appliance:                      # the host's configuration file and environment
        key = appliance.core(1).key("release", pin="…")
        signed = key.sign(digest=hash_file(path), hash_name="SHA-256")
        path.with_suffix(".sig").write_bytes(signed.signature)

Each method is one request of docs/reference/rest.md, except those that return an iterator. Each raises a subclass of
`ClientError` when it could not be carried out. An `Appliance` may be used from several threads.
"""

import base64
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from privyseal.client import configuration as configurations
from privyseal.client.configuration import Configuration
from privyseal.client.cores import CoreClient, path_part
from privyseal.client.http import Connection
from privyseal.client.records import Core, Event, Explanation, Info, Rule, User, take, take_objects
from privyseal.client.unlocking import DomainKeyStatus, NewUnlockSlot, Unlocking, UnlockSlot, take_object


class Appliance:
    """One appliance, or several nodes that stand in for one another.

    Args:
        configuration: where it is and who is asking; None means the host's configuration (`configuration.load`).

    Raises:
        ConfigurationError: no appliance is configured, or the configuration cannot be used.
    """

    def __init__(self, configuration: Configuration | None = None) -> None:
        self.configuration = configuration or configurations.load()
        self._connection = Connection(self.configuration)

    def __enter__(self) -> Self:
        """Nothing is sent yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()

    def state(self) -> str:
        """`unprovisioned`, `locked` or `operational`."""
        return take(self._connection.request("GET", "/state").document(), "state", str)

    def unlocking(self) -> Unlocking:
        """The state, and of shares that were given how many are here."""
        return Unlocking.read(self._connection.request("GET", "/state").document())

    def provision(self, *, password: str, node: str | None = None, unlock: Mapping[str, Any]) -> NewUnlockSlot:
        """Make an appliance out of an empty one; `unlock` is the first unlock slot as for `add_unlock_slot`."""
        body = {"password": password, "node": node, "unlock": {k: v for k, v in unlock.items() if v is not None}}
        return NewUnlockSlot.read(
            take_object(self._connection.request("POST", "/provision", body=body).document(), "slot")
        )

    def unlock(
        self, *, passphrase: str | None = None, share: str | None = None, key_file: bytes | None = None
    ) -> Unlocking:
        """Unlock with a passphrase or a key file, or give one share; no user is needed."""
        encoded = None if key_file is None else base64.b64encode(key_file).decode()
        body = {"passphrase": passphrase, "share": share, "key_file": encoded}
        return Unlocking.read(self._connection.request("POST", "/unlock", body=body).document())

    def lock(self) -> None:
        """Lock the appliance: nothing can be signed until somebody unlocks it."""
        self._connection.request("POST", "/lock")

    def unlock_slots(self) -> list[UnlockSlot]:
        """What unlocks the appliance."""
        document = self._connection.request("GET", "/unlock-slots").document()
        return [UnlockSlot.read(each) for each in take_objects(document, "slots")]

    def add_unlock_slot(
        self, kind: str, *, passphrase: str | None = None, needed: int | None = None, total: int | None = None
    ) -> NewUnlockSlot:
        """Add a slot of kind `passphrase`, `key-file` or `shares`; what it opens with is given once."""
        body = {"kind": kind, "passphrase": passphrase, "needed": needed, "total": total}
        return NewUnlockSlot.read(self._connection.request("POST", "/unlock-slots", body=body).document())

    def rotate_unlock_slot(
        self,
        number: int,
        kind: str,
        *,
        passphrase: str | None = None,
        needed: int | None = None,
        total: int | None = None,
    ) -> NewUnlockSlot:
        """Replace a slot by a new one."""
        body = {"kind": kind, "passphrase": passphrase, "needed": needed, "total": total}
        path = f"/unlock-slots/{number}/rotate"
        return NewUnlockSlot.read(self._connection.request("POST", path, body=body).document())

    def remove_unlock_slot(self, number: int) -> None:
        """Remove a slot, unless it is the last one."""
        self._connection.request("DELETE", f"/unlock-slots/{number}")

    def domain_key(self) -> DomainKeyStatus:
        """Whether the domain key is being rotated, and how far that is."""
        return DomainKeyStatus.read(self._connection.request("GET", "/domain-key").document())

    def rotate_domain_key(self) -> DomainKeyStatus:
        """Begin to rotate the domain key; it goes on in the background."""
        return DomainKeyStatus.read(self._connection.request("POST", "/domain-key/rotate").document())

    def info(self) -> Info:
        """Product, version, state and the hardening in force."""
        return Info.read(self._connection.request("GET", "/info").document())

    def cores(self) -> list[Core]:
        """The cores in which the user has a rule; for administrators all."""
        document = self._connection.request("GET", "/cores").document()
        return [Core.read(each) for each in take_objects(document, "cores")]

    def core(self, name: int | str | None = None) -> CoreClient:
        """The core with this number or name; None means the configured one. Nothing is asked yet."""
        return CoreClient(self._connection, self.configuration.core if name is None else name)

    def create_core(self, name: str, *, pin_required: bool = True) -> Core:
        """Make a core; with `pin_required` every key in it must have a PIN."""
        body = {"name": name, "pin_required": pin_required}
        return Core.read(self._connection.request("POST", "/cores", body=body).document())

    def users(self) -> list[User]:
        """All accounts, for administrators."""
        document = self._connection.request("GET", "/users").document()
        return [User.read(each) for each in take_objects(document, "users")]

    def user(self, name: str) -> User:
        """One account."""
        return User.read(self._connection.request("GET", _user(name)).document())

    def create_user(self, name: str, *, role: str, password: str) -> User:
        """Make an account; `role` is administrator, operator, auditor, backup or metrics."""
        body = {"name": name, "role": role, "password": password}
        return User.read(self._connection.request("POST", "/users", body=body).document())

    def update_user(self, name: str, *, role: str | None = None, password: str | None = None) -> User:
        """Change what is given and leave the rest."""
        body = {"role": role, "password": password}
        return User.read(self._connection.request("PUT", _user(name), body=body).document())

    def unlock_user(self, name: str) -> None:
        """Let a user try again who is locked after too many wrong passwords or PINs."""
        self._connection.request("POST", f"{_user(name)}/unlock")

    def delete_user(self, name: str) -> None:
        """Delete an account."""
        self._connection.request("DELETE", _user(name))

    def change_password(self, *, old: str, new: str) -> None:
        """Change the caller's own password."""
        self._connection.request("PUT", "/users/me/password", body={"old": old, "new": new})

    def rules(self, *, user: str | None = None, core: int | str | None = None) -> list[Rule]:
        """The access rules, all or those of one user or core."""
        document = self._connection.request("GET", "/rules", query={"user": user, "core": core}).document()
        return [Rule.read(each) for each in take_objects(document, "rules")]

    def rule(self, number: int) -> Rule:
        """One access rule."""
        return Rule.read(self._connection.request("GET", f"/rules/{number}").document())

    def create_rule(self, *, user: str, core: int | str, operations: Sequence[str], keys: str) -> Rule:
        """Allow `user` the `operations` (for example `key:sign`) with the keys in `core` whose label fits `keys`."""
        body = {"user": user, "core": core, "operations": list(operations), "keys": keys}
        return Rule.read(self._connection.request("POST", "/rules", body=body).document())

    def update_rule(self, number: int, *, operations: Sequence[str] | None = None, keys: str | None = None) -> Rule:
        """Change what is given and leave the rest."""
        body = {"operations": None if operations is None else list(operations), "keys": keys}
        return Rule.read(self._connection.request("PUT", f"/rules/{number}", body=body).document())

    def delete_rule(self, number: int) -> None:
        """Take back what a rule allowed."""
        self._connection.request("DELETE", f"/rules/{number}")

    def explain_access(self, *, user: str, core: int | str, operation: str, key: str | None = None) -> Explanation:
        """Why `user` may or may not do `operation` with `key` in `core`."""
        query = {"user": user, "core": core, "operation": operation, "key": key}
        return Explanation.read(self._connection.request("GET", "/access/explain", query=query).document())

    def events(self, *, after: int = 0, limit: int | None = None) -> Iterator[Event]:
        """The record from the event behind `after` on; pages are fetched as needed.

        Args:
            after: number of the last event that is not wanted.
            limit: how many at most; None means all there are now.
        """
        left = limit
        while left is None or left > 0:
            size = 1000 if left is None else min(left, 1000)
            page = self._connection.request("GET", "/audit/events", query={"after": after, "limit": size}).document()
            events = [Event.read(each) for each in take_objects(page, "events")]
            yield from events
            if page.get("next") is None or not events:
                return
            after = events[-1].number
            left = None if left is None else left - len(events)


def _user(name: str) -> str:
    return f"/users/{path_part(name)}"
