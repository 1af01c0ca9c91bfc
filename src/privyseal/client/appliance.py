"""An appliance as seen from a host: the front door of this package.

    from privyseal.client import Appliance, hash_file

    with Appliance() as appliance:                      # the host's configuration file and environment
        key = appliance.core(1).key("release", pin="…")
        signed = key.sign(digest=hash_file(path), hash_name="SHA-256")
        path.with_suffix(".sig").write_bytes(signed.signature)

Each method is one request of docs/reference/rest.md, except those that return an iterator. Each raises a subclass of
`ClientError` when it could not be carried out. An `Appliance` may be used from several threads.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Self

from privyseal.client import configuration as configurations
from privyseal.client.configuration import Configuration
from privyseal.client.cores import CoreClient
from privyseal.client.http import Connection, Download, path_part
from privyseal.client.records import (
    Approval,
    BackupRecipient,
    Checkpoint,
    ClientCertificate,
    Core,
    Credential,
    Document,
    Event,
    Explanation,
    Group,
    Info,
    Merged,
    NewCredential,
    Quorum,
    Rule,
    ServerCertificate,
    User,
    decoded,
    encoded,
    take,
    take_objects,
    take_or_none,
    take_texts,
)
from privyseal.client.trust import certificates_only
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
        content = None if key_file is None else encoded(key_file)
        body = {"passphrase": passphrase, "share": share, "key_file": content}
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

    def metrics(self) -> str:
        """What the appliance measures of itself, in Prometheus' text format; roles metrics and administrator."""
        return self._connection.request("GET", "/metrics").content.decode()

    def tls(self) -> ServerCertificate:
        """The TLS certificate in force, for administrators."""
        return ServerCertificate.read(self._connection.request("GET", "/config/tls").document())

    def replace_tls(self, *, certificate: str, private_key: str) -> ServerCertificate:
        """Serve another certificate; both in PEM, the certificate with those above it."""
        body = {"certificate": certificate, "private_key": private_key}
        return ServerCertificate.read(self._connection.request("PUT", "/config/tls", body=body).document())

    def renew_tls(self) -> ServerCertificate:
        """Serve a new certificate of the appliance's own authority."""
        return ServerCertificate.read(self._connection.request("POST", "/config/tls/renew").document())

    def cores(self) -> list[Core]:
        """The cores in which the user has a rule; for administrators all."""
        document = self._connection.request("GET", "/cores").document()
        return [Core.read(each) for each in take_objects(document, "cores")]

    def core(self, name: int | str | None = None) -> CoreClient:
        """The core with this number or name; None means the configured one. Nothing is asked yet."""
        return CoreClient(self._connection, self.configuration.core if name is None else name)

    def create_core(
        self,
        name: str,
        *,
        pin_required: bool = True,
        destroy_days: int | None = None,
        pin_delay_from: int | None = None,
        pin_lock_at: int | None = None,
    ) -> Core:
        """Make a core.

        Args:
            name: what it is called.
            pin_required: whether every key in it must have a PIN.
            destroy_days: least number of days before a deleted key is destroyed, 7 to 365, None means 30; 0 lets
                administrators destroy keys at once.
            pin_delay_from: number of wrong PINs after which the next one has to wait, 1 to 100, None means 5.
            pin_lock_at: number of wrong PINs after which an administrator has to unlock the user or the key, 1 to 100,
                None means 10.
        """
        body = {
            "name": name,
            "pin_required": pin_required,
            "destroy_days": destroy_days,
            "pin_delay_from": pin_delay_from,
            "pin_lock_at": pin_lock_at,
        }
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

    def certificates(self, user: str) -> list[ClientCertificate]:
        """A user's client certificates; for those who are no administrators, their own."""
        document = self._connection.request("GET", f"{_user(user)}/certificates").document()
        return [ClientCertificate.read(each) for each in take_objects(document, "certificates")]

    def add_certificate(self, user: str, pem: str) -> ClientCertificate:
        """Let a user log in with a certificate.

        Args:
            user: whose it is.
            pem: the text of a file that holds it. Only certificates in it are sent: a private key beside them is not.
        """
        body = {"certificate": certificates_only(pem)}
        return ClientCertificate.read(
            self._connection.request("POST", f"{_user(user)}/certificates", body=body).document()
        )

    def remove_certificate(self, user: str, fingerprint: str) -> None:
        """End the use of a certificate at once."""
        self._connection.request("DELETE", f"{_user(user)}/certificates/{path_part(fingerprint)}")

    def credentials(self, *, user: str | None = None) -> list[Credential]:
        """The credentials: for administrators all, or those of `user`; for others their own."""
        document = self._connection.request("GET", "/credentials", query={"user": user}).document()
        return [Credential.read(each) for each in take_objects(document, "credentials")]

    def credential(self, id_: str) -> Credential:
        """One credential."""
        return Credential.read(self._connection.request("GET", _credential(id_)).document())

    def create_credential(
        self,
        name: str,
        *,
        user: str | None = None,
        operations: Sequence[str] | None = None,
        core: int | str | None = None,
        keys: str | None = None,
        expires_in: int | None = None,
    ) -> NewCredential:
        """Make a bearer token that stands for a user.

        Args:
            name: what it is called among that user's.
            user: None means the caller.
            operations: None means all that the user may; administrators have to name them.
            core: None means every one.
            keys: label pattern; None means every key.
            expires_in: seconds, at most 366 days; None means 90 days.
        """
        body = {
            "user": user,
            "name": name,
            "operations": None if operations is None else list(operations),
            "core": core,
            "keys": keys,
            "expires_in": expires_in,
        }
        return NewCredential.read(self._connection.request("POST", "/credentials", body=body).document())

    def revoke_credential(self, id_: str) -> None:
        """End a credential at once."""
        self._connection.request("DELETE", _credential(id_))

    def groups(self) -> list[Group]:
        """All groups, for administrators; for others their own."""
        document = self._connection.request("GET", "/groups").document()
        return [Group.read(each) for each in take_objects(document, "groups")]

    def group(self, name: str) -> Group:
        """One group, for administrators."""
        return Group.read(self._connection.request("GET", _group(name)).document())

    def create_group(self, name: str, *, members: Sequence[str] = ()) -> Group:
        """Make a group; what its members may is said by rules that name it."""
        body = {"name": name, "members": list(members)}
        return Group.read(self._connection.request("POST", "/groups", body=body).document())

    def add_member(self, name: str, user: str) -> Group:
        """Put a user into a group."""
        return Group.read(self._connection.request("PUT", f"{_group(name)}/members/{path_part(user)}").document())

    def remove_member(self, name: str, user: str) -> Group:
        """Take a user out of a group."""
        return Group.read(self._connection.request("DELETE", f"{_group(name)}/members/{path_part(user)}").document())

    def delete_group(self, name: str) -> None:
        """Delete a group with the rules that name it."""
        self._connection.request("DELETE", _group(name))

    def rules(self, *, user: str | None = None, core: int | str | None = None, group: str | None = None) -> list[Rule]:
        """The access rules, all or those of one user with the user's groups, of one group or core."""
        query = {"user": user, "core": core, "group": group}
        document = self._connection.request("GET", "/rules", query=query).document()
        return [Rule.read(each) for each in take_objects(document, "rules")]

    def rule(self, number: int) -> Rule:
        """One access rule."""
        return Rule.read(self._connection.request("GET", f"/rules/{number}").document())

    def create_rule(
        self,
        *,
        core: int | str,
        operations: Sequence[str],
        user: str | None = None,
        group: str | None = None,
        keys: str | None = None,
        key_id: str | None = None,
        tag: str | None = None,
    ) -> Rule:
        """Allow a user or a group the `operations` (for example `key:sign`) with some keys in `core`.

        Args:
            core: number or name.
            operations: what is allowed; each includes `key:read`.
            user: who may; or
            group: whose members may. Give exactly one.
            keys: a pattern of labels, where `*` is any run of characters; or
            key_id: the id of one key; or
            tag: a tag that the keys have. Give exactly one.
        """
        body = {
            "user": user,
            "group": group,
            "core": core,
            "operations": list(operations),
            "keys": keys,
            "key_id": key_id,
            "tag": tag,
        }
        return Rule.read(self._connection.request("POST", "/rules", body=body).document())

    def update_rule(
        self,
        number: int,
        *,
        operations: Sequence[str] | None = None,
        keys: str | None = None,
        key_id: str | None = None,
        tag: str | None = None,
    ) -> Rule:
        """Change what is given and leave the rest; at most one of `keys`, `key_id` and `tag`."""
        listed = None if operations is None else list(operations)
        body = {"operations": listed, "keys": keys, "key_id": key_id, "tag": tag}
        return Rule.read(self._connection.request("PUT", f"/rules/{number}", body=body).document())

    def delete_rule(self, number: int) -> None:
        """Take back what a rule allowed."""
        self._connection.request("DELETE", f"/rules/{number}")

    def quorums(self) -> list[Quorum]:
        """What needs the approval of several people, for administrators and auditors."""
        document = self._connection.request("GET", "/quorums").document()
        return [Quorum.read(each) for each in take_objects(document, "quorums")]

    def create_quorum(
        self,
        *,
        operation: str,
        needed: int,
        approvers: Sequence[str],
        core: int | str | None = None,
        key: str | None = None,
    ) -> Quorum:
        """Let `operation` need the approval of `needed` of the `approvers`, for one key, one core or everywhere."""
        body = {"operation": operation, "core": core, "key": key, "needed": needed, "approvers": list(approvers)}
        return Quorum.read(self._connection.request("POST", "/quorums", body=body).document())

    def delete_quorum(self, number: int) -> None:
        """Take a quorum away, with its own approval."""
        self._connection.request("DELETE", f"/quorums/{number}")

    def approvals(self, *, open_only: bool = False) -> Iterator[Approval]:
        """The requests for approval that the caller may see, the newest first; pages are fetched as needed."""
        before: int | None = None
        while True:
            query = {"open": "true" if open_only else None, "before": before}
            page = self._connection.request("GET", "/approvals", query=query).document()
            yield from (Approval.read(each) for each in take_objects(page, "approvals"))
            before = take_or_none(page, "next", int)
            if before is None:
                return

    def approval(self, number: int) -> Approval:
        """One request for approval."""
        return Approval.read(self._connection.request("GET", f"/approvals/{number}").document())

    def approve(self, number: int) -> Approval:
        """Agree to a request."""
        return Approval.read(self._connection.request("POST", f"/approvals/{number}/approve").document())

    def refuse(self, number: int) -> Approval:
        """Refuse a request, which ends it."""
        return Approval.read(self._connection.request("POST", f"/approvals/{number}/refuse").document())

    def backup_recipients(self) -> list[BackupRecipient]:
        """Who can open backups."""
        document = self._connection.request("GET", "/backup/recipients").document()
        return [BackupRecipient.read(each) for each in take_objects(document, "recipients")]

    def add_backup_recipient(
        self, name: str, *, passphrase: str | None = None, public_key: str | None = None
    ) -> BackupRecipient:
        """Let a passphrase, or who has the private half of an X25519 key (PEM), open backups from now on."""
        body = {"name": name, "passphrase": passphrase, "public_key": public_key}
        return BackupRecipient.read(self._connection.request("POST", "/backup/recipients", body=body).document())

    def remove_backup_recipient(self, name: str) -> None:
        """Seal no further backup for somebody."""
        self._connection.request("DELETE", f"/backup/recipients/{path_part(name)}")

    def backup(self) -> AbstractContextManager[Download]:
        """A backup as a stream: `with appliance.backup() as download: for piece in download.pieces: ...`."""
        return self._connection.download("POST", "/backup")

    def merge_backup(self, pieces: Iterator[bytes], secret: str, *, dry_run: bool = False) -> Merged:
        """Put back what a backup of this appliance has and it has not.

        Args:
            pieces: the file, in order.
            secret: the backup passphrase, or an X25519 private key in PEM.
            dry_run: only say what would come back.
        """
        headers = {
            "Backup-Secret": encoded(secret.encode()),
            "Content-Type": "application/vnd.privyseal.backup",
        }
        query = {"dry_run": "true"} if dry_run else {}
        return Merged.read(self._connection.upload("/restore", pieces, headers=headers, query=query).document())

    def explain_access(
        self,
        *,
        user: str,
        operation: str,
        core: int | str | None = None,
        key: str | None = None,
        credential: str | None = None,
    ) -> Explanation:
        """Why `user` may or may not do `operation`, with `key` in `core` where it is about one.

        Args:
            credential: id of the credential that is used; None for the password.
        """
        query = {"user": user, "core": core, "operation": operation, "key": key, "credential": credential}
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

    def audit_key(self) -> str:
        """The public half of the key that signs checkpoints, as `origin+hash+base64` (C2SP signed-note)."""
        return take(self._connection.request("GET", "/audit/key").document(), "key", str)

    def checkpoint(self) -> Checkpoint:
        """A signed statement of how long the record is and what is in it, to be kept elsewhere."""
        return Checkpoint.read(self._connection.request("GET", "/audit/checkpoint").document())

    def receipt(self, event: int) -> Document:
        """The proof that an event is in the record; who has it needs only the audit key to check it."""
        return self._connection.request("GET", "/audit/proof", query={"event": event}).document()

    def consistency(self, old: int, new: int | None = None) -> list[bytes]:
        """The proof that the record of `old` events is the beginning of that of `new`; None means of today's."""
        document = self._connection.request("GET", "/audit/consistency", query={"from": old, "to": new}).document()
        return [decoded(each) for each in take_texts(document, "proof")]

    def export_record(self) -> Iterator[tuple[int, bytes]]:
        """The whole record as lines of docs/reference/record.md, each with the number of events that there will be."""
        return self._connection.lines("/audit/export", "privyseal-events")


def _group(name: str) -> str:
    return f"/groups/{path_part(name)}"


def _user(name: str) -> str:
    return f"/users/{path_part(name)}"


def _credential(id_: str) -> str:
    return f"/credentials/{path_part(id_)}"
