"""Cores and their keys, as handles: they know a name and a connection and ask the appliance anew at each call.

A handle is cheap and fetches nothing when it is made. A key's PIN can be given in two ways, and both end in the same
calls: `core.key("release", pin="…")` sends the PIN each time, `core.login(pin)` exchanges it for a ticket.
"""

from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol, Self

from privyseal.client.errors import InvalidInputError, InvalidSignatureError, TicketInvalidError
from privyseal.client.http import Connection, path_part
from privyseal.client.key_operations import KeyOperations
from privyseal.client.objects import Objects
from privyseal.client.records import (
    Core,
    ImportKey,
    Key,
    Signature,
    SignatureBatch,
    Ticket,
    WrappedKey,
    decoded,
    encoded,
    take,
    take_objects,
)
from privyseal.wire import keywrap

GENERATION_TIMEOUT = 300.0
"""Longest wait for a new key, in seconds. An RSA key of 8192 bits takes about a minute, and luck decides."""


class Unlocking(Protocol):
    """What opens a key: nothing, a PIN or a ticket."""

    def fields(self) -> Mapping[str, str]:
        """The members to add to the request."""

    def renew(self) -> bool:
        """Get a new one after the appliance called this one invalid; False when that cannot be done."""


class _PIN:
    """A PIN, or none."""

    def __init__(self, pin: str | None) -> None:
        self._fields = {} if pin is None else {"pin": pin}

    def fields(self) -> Mapping[str, str]:
        return self._fields

    def renew(self) -> bool:
        return False


class CoreClient:
    """One core of an appliance.

    Args:
        connection: to the appliance.
        name: the core's number or name.
    """

    def __init__(self, connection: Connection, name: int | str) -> None:
        self._connection = connection
        self._path = f"/cores/{path_part(str(name))}"

    def record(self) -> Core:
        """What the appliance says about this core."""
        return Core.read(self._connection.request("GET", self._path).document())

    def update(
        self,
        *,
        name: str | None = None,
        pin_required: bool | None = None,
        manufacturer: str | None = None,
        model: str | None = None,
        token_label: str | None = None,
        destroy_days: int | None = None,
        pin_delay_from: int | None = None,
        pin_lock_at: int | None = None,
    ) -> Core:
        """Change what is given and leave the rest. Existing keys keep their PIN whatever `pin_required` becomes."""
        changes = {
            "name": name,
            "pin_required": pin_required,
            "manufacturer": manufacturer,
            "model": model,
            "token_label": token_label,
            "destroy_days": destroy_days,
            "pin_delay_from": pin_delay_from,
            "pin_lock_at": pin_lock_at,
        }
        return Core.read(self._connection.request("PUT", self._path, body=changes).document())

    def delete(self) -> None:
        """Delete this core.

        Raises:
            ConflictError: it still holds a key.
        """
        self._connection.request("DELETE", self._path)

    def keys(self, *, label: str | None = None, tag: str | None = None) -> Iterator[Key]:
        """The keys that the caller may see, in the order they were made; pages are fetched as needed.

        Args:
            label: only the key with this label.
            tag: only keys with this tag.
        """
        cursor: str | None = None
        while True:
            query = {"limit": 1000, "cursor": cursor, "label": label, "tag": tag}
            page = self._connection.request("GET", f"{self._path}/keys", query=query).document()
            yield from map(Key.read, take_objects(page, "keys"))
            cursor = page.get("next")
            if cursor is None:
                return

    def create_key(
        self,
        label: str,
        key_type: str,
        *,
        pin: str | None = None,
        policy: Mapping[str, Any] | None = None,
        tags: Sequence[str] = (),
    ) -> Key:
        """Make a key.

        Args:
            label: its name, unique in this core.
            key_type: for example `ec:P-256`, `rsa:3072` or `ed25519`.
            pin: 8 to 128 characters. **A lost PIN is a lost key.** None where the core allows keys without.
            policy: what it may be used for, as docs/reference/rest.md has it; None allows everything but to leave.
            tags: words or `name=value`, by which rules and lists can go.
        """
        body = {"label": label, "type": key_type, "pin": pin, "policy": policy, "tags": list(tags)}
        answer = self._connection.request("POST", f"{self._path}/keys", body=body, timeout=GENERATION_TIMEOUT)
        return Key.read(answer.document())

    def import_key(
        self,
        label: str,
        pkcs8: bytes,
        *,
        pin: str | None = None,
        policy: Mapping[str, Any] | None = None,
        tags: Sequence[str] = (),
    ) -> Key:
        """Take a key in that was not made there. It is wrapped here, so that only the appliance's keeper can read it.

        Args:
            label: its name, unique in this core.
            pkcs8: the private key as PKCS #8 in DER (RFC 5958), not encrypted; see `client.private_keys`.
            pin: as for `create_key`.
            policy: as for `create_key`.
            tags: as for `create_key`.

        Raises:
            InvalidBodyError: the appliance keeps no such keys, or it is inconsistent.
        """
        made = self._connection.request("POST", f"{self._path}/import-key", timeout=GENERATION_TIMEOUT)
        return self.import_wrapped(label, ImportKey.read(made.document()), pkcs8, pin=pin, policy=policy, tags=tags)

    def import_wrapped(
        self,
        label: str,
        import_key: ImportKey,
        pkcs8: bytes,
        *,
        pin: str | None = None,
        policy: Mapping[str, Any] | None = None,
        tags: Sequence[str] = (),
    ) -> Key:
        """As `import_key`, with an import key that is there already."""
        wrapping_key = keywrap.load_wrapping_key(import_key.public_key)
        body = {
            "label": label,
            "import_key": import_key.id,
            "wrapped": encoded(keywrap.wrap(wrapping_key, pkcs8)),
            "pin": pin,
            "policy": policy,
            "tags": list(tags),
        }
        return Key.read(self._connection.request("POST", f"{self._path}/import", body=body).document())

    def key(self, name: str, *, pin: str | None = None) -> "KeyClient":
        """The key with this id or label; `pin` goes with each use that needs it."""
        return KeyClient(self._connection, self._path, name, _PIN(pin))

    @property
    def objects(self) -> Objects:
        """The core's certificates, public keys and data."""
        return Objects(self._connection, self._path)

    def login(self, pin: str) -> "Login":
        """Exchange a PIN for a ticket that opens exactly the keys which the PIN fits.

        Raises:
            PINIncorrectError: it fits none of them.
        """
        return Login(self._connection, self._path, pin)

    def random(self, count: int) -> bytes:
        """Random bytes of the appliance, 1 to 4,096 at a time."""
        answer = self._connection.request("GET", f"{self._path}/random", query={"bytes": count})
        return decoded(take(answer.document(), "random", str))


class Login:
    """A login to a core, usable in a `with` statement that ends it.

    The ticket expires after a while; then the next use of a key logs in again by itself.
    """

    def __init__(self, connection: Connection, core_path: str, pin: str) -> None:
        self._connection = connection
        self._core_path = core_path
        self._pin = pin
        self.ticket = self._log_in()

    def __enter__(self) -> Self:
        """The login happened when this object was made."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Log out."""
        self.logout()

    def key(self, name: str) -> "KeyClient":
        """The key with this id or label, opened by this login."""
        return KeyClient(self._connection, self._core_path, name, self)

    def logout(self) -> None:
        """End the ticket; doing so twice is no error."""
        self._connection.request("POST", f"{self._core_path}/logout", body={"ticket": self.ticket.ticket})

    def fields(self) -> Mapping[str, str]:
        """The members to add to a request that uses a key."""
        return {"ticket": self.ticket.ticket}

    def renew(self) -> bool:
        """Log in again."""
        self.ticket = self._log_in()
        return True

    def _log_in(self) -> Ticket:
        answer = self._connection.request("POST", f"{self._core_path}/login", body={"pin": self._pin})
        return Ticket.read(answer.document())


class KeyClient(KeyOperations):
    """One key of a core. The private half stays on the appliance: this has verbs and no bytes."""

    def __init__(self, connection: Connection, core_path: str, name: str, unlocking: Unlocking) -> None:
        self._connection = connection
        self._path = f"{core_path}/keys/{path_part(name)}"
        self._unlocking = unlocking

    def record(self, *, version: int | None = None) -> Key:
        """What the appliance says about this key; `version` None is the current one."""
        return Key.read(self._connection.request("GET", self._path, query={"version": version}).document())

    def versions(self) -> list[Key]:
        """All versions of this key, the current one last."""
        document = self._connection.request("GET", f"{self._path}/versions").document()
        return [Key.read(each) for each in take_objects(document, "versions")]

    def public_pem(self, *, version: int | None = None) -> bytes:
        """The public key as PEM (SubjectPublicKeyInfo), ready for `openssl dgst -verify`."""
        return self._connection.request("GET", f"{self._path}/public.pem", query={"version": version}).content

    def uri(self) -> str:
        """The key's PKCS #11 URI (RFC 7512)."""
        return take(self._connection.request("GET", f"{self._path}/uri").document(), "uri", str)

    def delete(self, *, days: int | None = None) -> Key:
        """Let this key refuse use at once and be destroyed some days later; until then `restore` undoes it.

        Args:
            days: None means 30, or what the core asks for if that is more.
        """
        return Key.read(self._connection.request("DELETE", self._path, query={"days": days}).document())

    def destroy_now(self) -> None:
        """Destroy this key at once, for administrators in a core that allows it. Nothing can bring it back."""
        self._connection.request("DELETE", self._path, query={"now": "true"})

    def restore(self) -> Key:
        """Take back that this key shall be destroyed."""
        return self._answer("POST", "restore", {})

    def update(
        self,
        *,
        label: str | None = None,
        add_tags: Sequence[str] = (),
        remove_tags: Sequence[str] = (),
        object_id: str | None = None,
    ) -> Key:
        """Change label, tags and object id; the id stays.

        Args:
            label: None means it stays.
            add_tags: each takes the place of the tag of the same name.
            remove_tags: whole tags, or names of tags whatever their value.
            object_id: what PKCS #11 hosts see as CKA_ID, in hexadecimal; None means it stays.
        """
        body = {"label": label, "add_tags": list(add_tags), "remove_tags": list(remove_tags), "object_id": object_id}
        return Key.read(self._connection.request("PUT", self._path, body=body).document())

    def disable(self) -> Key:
        """Let this key refuse use."""
        return self._answer("POST", "disable", {})

    def enable(self) -> Key:
        """Let this key be used again."""
        return self._answer("POST", "enable", {})

    def change_policy(self, policy: Mapping[str, Any]) -> Key:
        """Change some fields of its policy; the key's PIN is needed where it has one."""
        return Key.read(self._use("policy", {"policy": policy}, method="PUT"))

    def rotate(self, *, new_pin: str | None = None) -> Key:
        """Make its next version; its PIN is needed where it has one, and stays unless there is a new one."""
        return Key.read(self._use("rotate", {"new_pin": new_pin}))

    def rotate_after(self, days: int | None) -> Key:
        """Let the appliance rotate this key, which must have no PIN, by itself; None ends that."""
        return self._answer("PUT", "rotation", {"rotate_after": days})

    def export(self, public_key: bytes) -> WrappedKey:
        """Wrap this key, if it was made exportable, to an RSA public key (DER) of 3072 bits or more."""
        return WrappedKey.read(self._use("export", {"public_key": encoded(public_key)}))

    def unlock(self) -> None:
        """Forget the wrong PINs that locked this key; administrators only."""
        self._connection.request("POST", f"{self._path}/unlock")

    def sign(
        self,
        *,
        digest: bytes | None = None,
        data: bytes | None = None,
        hash_name: str | None = None,
        mechanism: str | None = None,
        encoding: str | None = None,
        salt_length: int | None = None,
        mgf_hash: str | None = None,
        context: bytes = b"",
        version: int | None = None,
    ) -> Signature:
        """Sign a digest, or data that the appliance hashes first.

        Args:
            digest: signed as it is; must have the length of `hash_name`. For ML-DSA without a hash it is the message
                representative (mu, 64 bytes).
            data: at most 1 MiB; hashed with `hash_name` on the appliance, for EdDSA signed as it is.
            hash_name: for example `SHA-256`.
            mechanism: such as `RSA-PSS` or `HashML-DSA`; None means the key type's own.
            encoding: ECDSA only, `der` or `raw`; None means `der`.
            salt_length: RSA-PSS only, in bytes; None means the length of the hash.
            mgf_hash: RSA-PSS only; None means `hash_name`.
            context: ML-DSA and HashML-DSA only, at most 255 bytes.
            version: of the key; None means the current one.

        Raises:
            ClientError: the subclass that says why not.
        """
        body = {
            **_input(digest, data),
            "mechanism": mechanism,
            "hash": hash_name,
            "encoding": encoding,
            "salt_length": salt_length,
            "mgf_hash": mgf_hash,
            **_context(context),
            "version": version,
        }
        return Signature.read(self._use("sign", body))

    def sign_batch(
        self,
        digests: Sequence[bytes],
        *,
        hash_name: str | None = None,
        mechanism: str | None = None,
        encoding: str | None = None,
        salt_length: int | None = None,
        mgf_hash: str | None = None,
        context: bytes = b"",
        version: int | None = None,
    ) -> SignatureBatch:
        """Sign 1 to 1,000 digests (for EdDSA: messages) in one request, all or none; arguments as for `sign`."""
        body = {
            "digests": [encoded(digest) for digest in digests],
            "mechanism": mechanism,
            "hash": hash_name,
            "encoding": encoding,
            "salt_length": salt_length,
            "mgf_hash": mgf_hash,
            **_context(context),
            "version": version,
        }
        return SignatureBatch.read(self._use("sign-batch", body))

    def verify(
        self,
        signature: bytes,
        *,
        digest: bytes | None = None,
        data: bytes | None = None,
        hash_name: str | None = None,
        mechanism: str | None = None,
        encoding: str | None = None,
        salt_length: int | None = None,
        mgf_hash: str | None = None,
        context: bytes = b"",
        version: int | None = None,
    ) -> int:
        """Let the appliance check a signature; arguments as for `sign`.

        Returns:
            The number of the event under which the check is on record.

        Raises:
            InvalidSignatureError: it does not fit. A forgotten check raises.
        """
        body = {
            **_input(digest, data),
            "signature": encoded(signature),
            "mechanism": mechanism,
            "hash": hash_name,
            "encoding": encoding,
            "salt_length": salt_length,
            "mgf_hash": mgf_hash,
            **_context(context),
            "version": version,
        }
        document = self._connection.request("POST", f"{self._path}/verify", body=body).document()
        event = take(document, "event", int)
        if not take(document, "valid", bool):
            raise InvalidSignatureError("the signature does not fit the key and the data", event=event)
        return event

    def _answer(self, method: str, verb: str, body: Mapping[str, Any]) -> Key:
        """A change of the key that needs no PIN."""
        return Key.read(self._connection.request(method, f"{self._path}/{verb}", body=body).document())

    def _use(self, verb: str, body: Mapping[str, Any], *, method: str = "POST") -> Mapping[str, Any]:
        """A use of the private half; an expired ticket is renewed once."""
        path = f"{self._path}/{verb}"
        timeout = GENERATION_TIMEOUT if verb == "rotate" else None
        try:
            return self._once(method, path, body, timeout)
        except TicketInvalidError:
            if not self._unlocking.renew():
                raise
        return self._once(method, path, body, timeout)

    def _once(self, method: str, path: str, body: Mapping[str, Any], timeout: float | None) -> Mapping[str, Any]:
        whole = {**body, **self._unlocking.fields()}
        return self._connection.request(method, path, body=whole, timeout=timeout).document()


def _input(digest: bytes | None, data: bytes | None) -> dict[str, str]:
    if (digest is None) == (data is None):
        raise InvalidInputError("give either a digest or data")
    return {"digest": encoded(digest)} if digest is not None else {"data": encoded(data or b"")}


def _context(context: bytes) -> dict[str, str]:
    """The context of an ML-DSA signature, for those who ask for one: most keys have none."""
    return {"context": encoded(context)} if context else {}
