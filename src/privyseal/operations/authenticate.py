"""Who is calling: a user name and password, verified with Argon2id once and recognised by a keyed hash after that.

Or a credential, whose random secret needs no more than a plain hash: see `operations.bearer`. Or a client certificate,
whose private key TLS has asked for already: see `operations.certificate`. A header that came goes before a certificate:
who says who he is means that.

A header is recognised only from the address it was verified from. So an attacker elsewhere meets the counting and its
delays at every guess, while hosts that are known keep working.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial

from privyseal.access.attempts import PASSWORD_LIMITS, password_subject, unknown_subject
from privyseal.access.passwords import parse_basic, verify_password
from privyseal.access.tokens import bearer
from privyseal.errors import StaleDecisionError, UnauthenticatedError
from privyseal.model.access import User
from privyseal.operations.appliance import Appliance, Snapshot
from privyseal.operations.attempt import attempt
from privyseal.operations.bearer import named, refuse, standing
from privyseal.operations.certificate import unregistered, valid

_REFUSED = "the user name or the password is not right"


@dataclass(slots=True)
class Credentials:
    """What a request brought to say who it is.

    Attributes:
        header: the value of `Authorization`.
        name: for the record; known once the header was read.
        certificate: the fingerprint of the client certificate whose key the other end of the connection has.
    """

    header: str | None
    peer: str
    name: str = "anonymous"
    certificate: str | None = None

    def __repr__(self) -> str:
        """Show the name alone."""
        return f"Credentials({self.name!r})"


async def authenticate(appliance: Appliance, snapshot: Snapshot, credentials: Credentials) -> User:
    """Give the calling user; raises UnauthenticatedError or TooManyAttemptsError."""
    if credentials.header is None:
        return await _by_certificate(appliance, snapshot, credentials)
    token = bearer(credentials.header)
    if token is not None:
        return await _by_token(appliance, snapshot, credentials, token)
    mark = f"{credentials.peer} {credentials.header}".encode()
    known = appliance.recognised.lookup(mark)
    if known is not None:
        user = snapshot.users.get(known[0])
        if user is not None and user.password == known[1]:
            credentials.name = user.name
            return user
    basic = parse_basic(credentials.header)
    if basic is None:
        raise UnauthenticatedError("the Authorization header is neither HTTP Basic (RFC 7617) nor Bearer (RFC 6750)")
    if await appliance.current() is not snapshot:  # a password changed a moment ago must not count as a wrong one
        raise StaleDecisionError("rules, users or keys have changed")
    user = snapshot.users.get(basic.name)
    if user is not None:
        credentials.name = user.name
    subject = _subject(snapshot, basic.name)
    verify = partial(_verify, appliance, subject, user, basic.password, mark)
    return await _once(appliance, (snapshot.generation, mark), verify)


async def _by_certificate(appliance: Appliance, snapshot: Snapshot, credentials: Credentials) -> User:
    """Give the user for whom the connection's certificate is registered."""
    if credentials.certificate is None:
        raise UnauthenticatedError(
            "log in with a user name and password (HTTP Basic), a credential (Bearer) or a client certificate (TLS)"
        )
    known = snapshot.certificates.get(credentials.certificate)
    if known is None:
        if await appliance.current() is not snapshot:  # it may have been registered a moment ago
            raise StaleDecisionError("rules, users or keys have changed")
        raise unregistered(credentials.certificate)
    credentials.name = known.user.name
    return valid(known)


async def _by_token(appliance: Appliance, snapshot: Snapshot, credentials: Credentials, token: str) -> User:
    """Give the user whom a credential stands for, with its scope."""
    known = named(snapshot.credentials, token)
    if known is None:
        if await appliance.current() is not snapshot:  # it may have been made a moment ago
            raise StaleDecisionError("rules, users or keys have changed")
        raise refuse(token)
    credentials.name = known.user.name
    user = standing(known)
    appliance.last_uses.note(appliance.store, known.credential)
    return user


async def _once(
    appliance: Appliance, mark: tuple[int, bytes], verify: Callable[[], Coroutine[None, None, User]]
) -> User:
    """Verify a header once for all requests that bring it now: a host that connects 32 times costs one Argon2id.

    The mark has the generation in it, so that nobody gets in with what was right before a change.
    """
    running = appliance.verifying.get(mark)
    if running is None:
        running = asyncio.ensure_future(verify())
        appliance.verifying[mark] = running
        running.add_done_callback(lambda _: appliance.verifying.pop(mark))
    return await asyncio.shield(running)


async def _verify(appliance: Appliance, subject: str, user: User | None, password: str, mark: bytes) -> User:
    """Try a password. Each step is taken for a name that no user has too: neither answer nor time tells of it."""
    async with attempt(appliance, (subject,), PASSWORD_LIMITS) as trial:
        right = await asyncio.to_thread(verify_password, password, None if user is None else user.password)
        if user is None or not right:
            await trial.failed()
            raise UnauthenticatedError(_REFUSED)
    appliance.recognised.remember(mark, user.name, user.password)
    return user


def _subject(snapshot: Snapshot, name: str) -> str:
    if name in snapshot.users:
        return password_subject(name)
    salts = [snapshot.cores[number].pin_salt for number in sorted(snapshot.cores)]
    return unknown_subject(name, salts[0] if salts else b"")
