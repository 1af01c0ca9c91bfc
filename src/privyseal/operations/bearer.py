"""Who is calling with a credential: the token names it, its hash proves it, and the snapshot says whether it stands.

A revocation moves the generation, so no worker lets a revoked credential in after it: one that has not read the change
yet cannot record what it did.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import time

from privyseal.access.tokens import check_form, fits, id_of
from privyseal.errors import PrivysealError, UnauthenticatedError
from privyseal.model.access import User
from privyseal.model.credentials import Credential, KnownCredential
from privyseal.store import credentials
from privyseal.store.store import Store
from privyseal.store.times import now, to_micros, words

_HOUR = 3600
_log = logging.getLogger("privyseal.credentials")


@dataclass(slots=True)
class LastUses:
    """When this worker last wrote down that a credential was used: at most once an hour, beside the request."""

    _noted: dict[str, float] = field(default_factory=dict)
    _writing: set[asyncio.Task[None]] = field(default_factory=set, repr=False)

    def note(self, store: Store, credential: Credential) -> None:
        """Write the use down if that was not done within the hour."""
        moment = time()
        if moment - self._noted.get(credential.id, 0) < _HOUR:
            return
        self._noted[credential.id] = moment
        if credential.last_used is not None and moment - credential.last_used.timestamp() < _HOUR:
            return
        task = asyncio.get_running_loop().create_task(asyncio.to_thread(_write, store, credential.id))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)


def named(every: Mapping[str, KnownCredential], token: str) -> KnownCredential | None:
    """Give the credential if the token is right, whether or not it still works; takes as long if it is not known."""
    known = every.get(id_of(token))
    right = fits(token, None if known is None else known.credential.digest)
    return known if right else None


def standing(known: KnownCredential) -> User:
    """Give the user of a credential whose token was right; raises UnauthenticatedError when it has ended."""
    credential = known.credential
    if credential.revoked is not None:
        raise UnauthenticatedError(
            f"credential {credential.id} was revoked on {words(credential.revoked)}; ask for a new one"
        )
    if time() >= credential.expires.timestamp():
        raise UnauthenticatedError(
            f"credential {credential.id} expired on {words(credential.expires)}; "
            "`privyseal credential create` makes a new one"
        )
    return known.user


def refuse(token: str) -> UnauthenticatedError:
    """Give the refusal of a token that is not right; it tells nothing of what exists."""
    try:
        check_form(token)
    except UnauthenticatedError as error:
        return error
    return UnauthenticatedError("the credential is not right")


def _write(store: Store, id_: str) -> None:
    try:
        with store.write() as connection:
            credentials.used(connection, id_, to_micros(now()))
    except (PrivysealError, OSError) as error:  # nothing rests on it; the next hour has another chance
        _log.warning("the last use of a credential was not noted: %s", error)
