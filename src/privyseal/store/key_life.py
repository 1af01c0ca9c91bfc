"""Queries for a key's life: its settings, its versions, its counted uses, and what is due."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection, case, delete, insert, select, update

from privyseal.model.keys import Key
from privyseal.store import cores
from privyseal.store.store import changed
from privyseal.store.tables import key_counters, key_versions, keys, leases
from privyseal.store.times import from_micros, to_micros


@dataclass(frozen=True, slots=True)
class Counter:
    """How often one version of a key was used: as the keeper counted and sealed it."""

    uses: int
    sealed: bytes


def change(connection: Connection, key: Key) -> Key:
    """Keep what of a key can change beside its versions (policy with seal, states, dates), and give it back."""
    connection.execute(
        update(keys)
        .where(keys.c.id == key.id)
        .values(
            sealed=key.sealed,
            policy=key.policy,
            disabled=key.disabled,
            destroy_at=None if key.destroy_at is None else to_micros(key.destroy_at),
            rotate_after=key.rotate_after,
            rotate_at=_rotate_at(key),
        )
    )
    cores.touch(connection, key.core)
    changed(connection)
    return key


def rotate(connection: Connection, old: Key, new: Key, pin_tag: bytes | None) -> Key:
    """Put a new version, which it gives back, in the place of the old one, which is kept among the versions."""
    connection.execute(
        insert(key_versions).values(
            key=old.id,
            version=old.version,
            public_key=old.public_key,
            has_pin=old.has_pin,
            sealed=old.sealed,
            policy=old.policy,
            created=to_micros(old.version_created or old.created),
        )
    )
    connection.execute(
        update(keys)
        .where(keys.c.id == new.id)
        .values(
            public_key=new.public_key,
            has_pin=new.has_pin,
            pin_tag=pin_tag,
            version=new.version,
            version_created=to_micros(new.version_created or new.created),
        )
    )
    return change(connection, new)


def version(connection: Connection, key: Key, number: int) -> Key | None:
    """Give a version of a key that is not the current one."""
    row = connection.execute(
        select(key_versions).where(key_versions.c.key == key.id, key_versions.c.version == number)
    ).one_or_none()
    if row is None:
        return None
    return replace(
        key,
        public_key=row.public_key,
        has_pin=row.has_pin,
        sealed=row.sealed,
        policy=row.policy,
        version=row.version,
        version_created=from_micros(row.created),
        current=False,
    )


def versions(connection: Connection, key: Key) -> list[Key]:
    """Give all versions of a key, the current one last."""
    query = select(key_versions.c.version).where(key_versions.c.key == key.id).order_by(key_versions.c.version)
    found = [version(connection, key, number) for number in connection.execute(query).scalars()]
    return [*(one for one in found if one is not None), key]


def destroy_due(connection: Connection, now: datetime, limit: int) -> list[tuple[str, int]]:
    """Give id and core of keys whose end has come."""
    query = select(keys.c.id, keys.c.core).where(keys.c.destroy_at <= to_micros(now)).limit(limit)
    return [(row.id, row.core) for row in connection.execute(query)]


def rotate_due(connection: Connection, now: datetime, limit: int) -> list[tuple[str, int]]:
    """Give id and core of keys whose current version has come of age and that may be used."""
    query = (
        select(keys.c.id, keys.c.core)
        .where(keys.c.rotate_at <= to_micros(now), keys.c.destroy_at.is_(None), keys.c.disabled.is_(False))
        .order_by(keys.c.rotate_at)
        .limit(limit)
    )
    return [(row.id, row.core) for row in connection.execute(query)]


def counter(connection: Connection, key: Key) -> Counter | None:
    """Give the counted uses of a version of a key."""
    row = connection.execute(
        select(key_counters.c.uses, key_counters.c.sealed).where(
            key_counters.c.key == key.id, key_counters.c.version == key.version
        )
    ).one_or_none()
    return None if row is None else Counter(row.uses, row.sealed)


def set_counter(connection: Connection, key: Key, sealed: bytes) -> None:
    """Keep the sealed count that came with a new key, version or policy; what was delivered stays as it is."""
    here = (key_counters.c.key == key.id, key_counters.c.version == key.version)
    done = connection.execute(update(key_counters).where(*here).values(sealed=sealed))
    if done.rowcount == 0:
        values = {"key": key.id, "version": key.version, "uses": 0, "delivered": 0, "sealed": sealed}
        connection.execute(insert(key_counters).values(values))


def count(connection: Connection, key: Key, counted: Counter, delivered: int, limit: int) -> bool:
    """Keep a count with the signatures that are about to leave; False when more would leave than `limit` allows.

    Two workers may come in the other order than the keeper counted; the higher count stays.
    """
    newer = key_counters.c.uses < counted.uses
    done = connection.execute(
        update(key_counters)
        .where(
            key_counters.c.key == key.id,
            key_counters.c.version == key.version,
            key_counters.c.delivered + delivered <= limit,
        )
        .values(
            delivered=key_counters.c.delivered + delivered,
            uses=case((newer, counted.uses), else_=key_counters.c.uses),
            sealed=case((newer, counted.sealed), else_=key_counters.c.sealed),
        )
    )
    return bool(done.rowcount)


def lease(connection: Connection, name: str, holder: str, now: datetime, length: timedelta) -> bool:
    """Take or renew a lease; False while somebody else holds it."""
    connection.execute(delete(leases).where(leases.c.name == name, leases.c.expires < to_micros(now)))
    held = connection.execute(select(leases.c.holder).where(leases.c.name == name)).scalar_one_or_none()
    expires = to_micros(now + length)
    if held is None:
        connection.execute(insert(leases).values(name=name, holder=holder, expires=expires))
    elif held == holder:
        connection.execute(update(leases).where(leases.c.name == name).values(expires=expires))
    return held in (None, holder)


def _rotate_at(key: Key) -> int | None:
    if key.rotate_after is None:
        return None
    return to_micros((key.version_created or key.created) + timedelta(days=key.rotate_after))
