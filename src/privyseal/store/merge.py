"""What of a backup is missing here, and putting it back. What is here stays as it is.

Somebody took away on purpose what is missing, perhaps. So with a thing comes back only what belongs to it: a rule with
its user, its group or its core; a quorum with its core or key; a stored object with its core; a member with the user
or the group. Administrators, credentials, client certificates, recipients of backups, requests for approval and unlock
slots do not come back: make them anew.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column, Connection, insert, or_, select

from privyseal.model.access import Role
from privyseal.store import cores, tables
from privyseal.store.dump import Rows
from privyseal.store.store import changed
from privyseal.store.times import now, to_micros
from privyseal.wire.frames import USE_COUNTER, SealedKey

Row = dict[str, Any]


@dataclass(slots=True)
class Missing:
    """What a backup has and this database has not.

    Attributes:
        keys: by id; versions, counters: by the id of their key.
        conflicts: what cannot come back, and why; in words for people.
        others: numbers of cores that are another core in the backup than here.
    """

    cores: dict[int, Row] = field(default_factory=dict)
    users: dict[str, Row] = field(default_factory=dict)
    groups: dict[str, Row] = field(default_factory=dict)
    members: list[Row] = field(default_factory=list)
    rules: list[Row] = field(default_factory=list)
    keys: dict[str, Row] = field(default_factory=dict)
    versions: list[Row] = field(default_factory=list)
    counters: list[Row] = field(default_factory=list)
    quorums: list[Row] = field(default_factory=list)
    objects: list[Row] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    others: set[int] = field(default_factory=set)

    def sealed(self) -> list[tuple[Row, SealedKey]]:
        """Give every row with something sealed in it, and the record that it is."""
        found = [(row, _record(row, row, row["type"], row["policy"])) for row in self.keys.values()]
        for row in self.versions:
            key = self.keys[row["key"]]
            found.append((row, _record(key, row, key["type"], row["policy"])))
        found += [(row, _record(self.keys[row["key"]], row, USE_COUNTER, b"")) for row in self.counters]
        return found

    def give_up(self, key_id: str, why: str) -> None:
        """Leave out a key."""
        key = self._drop(key_id)
        self.conflicts.append(f"key '{key['label']}' in core {key['core']} {why}")

    def give_up_core(self, number: int, why: str) -> None:
        """Leave out a core with everything in it."""
        core = self.cores.pop(number)
        for key_id in [row["id"] for row in self.keys.values() if row["core"] == number]:
            self._drop(key_id)
        self.rules = [row for row in self.rules if row["core"] != number]
        self.objects = [row for row in self.objects if row["core"] != number]
        self.conflicts.append(f"core {number} '{core['name']}' {why}")

    def has_place_of(self, quorum: Row) -> bool:
        """Say whether the key, or for a quorum of a whole core the core, that a quorum guards comes back."""
        return quorum["core"] in self.cores if quorum["key"] is None else quorum["key"] in self.keys

    def _drop(self, key_id: str) -> Row:
        self.versions = [row for row in self.versions if row["key"] != key_id]
        self.counters = [row for row in self.counters if row["key"] != key_id]
        self.quorums = [row for row in self.quorums if row["key"] != key_id]
        return self.keys.pop(key_id)


def find(connection: Connection, missing: Missing, found: Rows) -> None:
    """Look for rows of a backup here; they come in the order in which tables refer to each other."""
    look = _LOOK.get(found.table)
    if look is not None and found.rows:
        look(connection, missing, [dict(zip(found.columns, row, strict=True)) for row in found.rows])


def put_back(connection: Connection, missing: Missing) -> None:
    """Write what is missing. Raises ConflictError when it is not missing any more."""
    _insert(connection, tables.cores, missing.cores.values(), keep_number=True)
    for table, rows in (
        (tables.users, missing.users.values()),
        (tables.groups, missing.groups.values()),
        (tables.group_members, missing.members),
        (tables.rules, missing.rules),
        (tables.quorums, missing.quorums),
        (tables.keys, missing.keys.values()),
        (tables.key_versions, missing.versions),
        (tables.key_counters, missing.counters),
        (tables.objects, missing.objects),
    ):
        _insert(connection, table, rows)
    _tag(connection, missing)
    for number in {row["core"] for row in missing.keys.values()}:
        cores.touch(connection, number)
    changed(connection)


def _record(key: Row, row: Row, kind: str, policy: bytes) -> SealedKey:
    return SealedKey(key["id"], key["core"], kind, row["version"], policy, row["sealed"])


def _find_cores(connection: Connection, missing: Missing, rows: Sequence[Row]) -> None:
    table = tables.cores
    for row in rows:
        same = [table.c[name] == row[name] for name in ("number", "name", "serial")]
        here = connection.execute(select(table).where(or_(*same))).all()
        if any(_is_same_core(row, one._mapping) for one in here):  # noqa: SLF001 - SQLAlchemy's public name for it
            continue
        if here:
            missing.others.add(row["number"])
            missing.conflicts.append(
                f"core {row['number']} '{row['name']}' is another core here, so its keys and rules stay away"
            )
        else:
            missing.cores[row["number"]] = row


def _is_same_core(row: Row, here: Any) -> bool:
    return all(row[name] == here[name] for name in ("number", "serial", "pin_salt"))


def _find_users(connection: Connection, missing: Missing, rows: Sequence[Row]) -> None:
    here = _values(connection, tables.users.c.name, rows, "name")
    for row in rows:
        if row["name"] in here:
            continue
        if row["role"] == Role.ADMINISTRATOR.value:
            missing.conflicts.append(f"user '{row['name']}' was an administrator; make such an account anew")
        else:
            missing.users[row["name"]] = row


def _find_groups(connection: Connection, missing: Missing, rows: Sequence[Row]) -> None:
    here = _values(connection, tables.groups.c.name, rows, "name")
    missing.groups |= {row["name"]: row for row in rows if row["name"] not in here}


def _find_members(connection: Connection, missing: Missing, rows: Sequence[Row]) -> None:
    users = _values(connection, tables.users.c.name, rows, "user") | missing.users.keys()
    groups = _values(connection, tables.groups.c.name, rows, "group") | missing.groups.keys()
    for row in rows:
        comes = row["user"] in missing.users or row["group"] in missing.groups
        if comes and row["user"] in users and row["group"] in groups:
            missing.members.append(row)


def _find_rules(connection: Connection, missing: Missing, rows: Sequence[Row]) -> None:
    users = _values(connection, tables.users.c.name, rows, "user") | missing.users.keys()
    groups = _values(connection, tables.groups.c.name, rows, "group") | missing.groups.keys()
    cores = _values(connection, tables.cores.c.number, rows, "core") | missing.cores.keys()
    for row in rows:
        comes = row["user"] in missing.users or row["group"] in missing.groups or row["core"] in missing.cores
        there = row["user"] in users or row["group"] in groups
        if comes and there and row["core"] in cores - missing.others:
            missing.rules.append(row)


def _find_keys(connection: Connection, missing: Missing, rows: Sequence[Row]) -> None:
    table = tables.keys
    ids = _values(connection, table.c.id, rows, "id")
    labels = {
        (number, label)
        for number in {row["core"] for row in rows}  # core by core, because the index goes by core and label
        for label in _values(connection, table.c.label, [one for one in rows if one["core"] == number], "label", number)
    }
    present = to_micros(now())
    for row in rows:
        if row["id"] in ids or row["core"] in missing.others:
            continue
        where = f"key '{row['label']}' in core {row['core']}"
        if (row["core"], row["label"]) in labels:
            missing.conflicts.append(f"{where}: another key has this label now")
        elif row["destroy_at"] is not None and row["destroy_at"] <= present:
            missing.conflicts.append(f"{where}: the time for which its end was set has passed")
        else:
            missing.keys[row["id"]] = row


def _find_versions(_: Connection, missing: Missing, rows: Sequence[Row]) -> None:
    missing.versions += [row for row in rows if row["key"] in missing.keys]


def _find_counters(_: Connection, missing: Missing, rows: Sequence[Row]) -> None:
    missing.counters += [row for row in rows if row["key"] in missing.keys]


def _find_objects(_: Connection, missing: Missing, rows: Sequence[Row]) -> None:
    missing.objects += [row for row in rows if row["core"] in missing.cores]


def _find_quorums(_: Connection, missing: Missing, rows: Sequence[Row]) -> None:
    """Keep all for now: `keys` may come later than `quorums`, and `settle` looks which belong to something."""
    missing.quorums += rows


def settle(connection: Connection, missing: Missing) -> None:
    """Keep those quorums alone that guard a core or a key that comes back.

    Where an approver is not here, what the quorum guards stays away, for it would come back unguarded. That is the
    whole core for a quorum of a core: without it the next merge would find the core here, and only its keys missing.
    """
    table = tables.quorums
    here = {tuple(row) for row in connection.execute(select(table.c.operation, table.c.core, table.c.key))}
    found = [row for row in missing.quorums if (row["operation"], row["core"], row["key"]) not in here]
    for row in found:
        if missing.has_place_of(row) and (gone := _gone_approver(connection, missing, row)):
            _leave_unguarded(missing, row, gone)
    missing.quorums = [row for row in found if missing.has_place_of(row)]


def _gone_approver(connection: Connection, missing: Missing, quorum: Row) -> str | None:
    approvers = quorum["approvers"].split(",")
    here = _values(connection, tables.users.c.name, [{"name": name} for name in approvers], "name")
    return next((name for name in approvers if name not in here | missing.users.keys()), None)


def _leave_unguarded(missing: Missing, quorum: Row, gone: str) -> None:
    why = f"stays away: approver '{gone}' of its quorum for {quorum['operation']} is not here"
    if quorum["key"] is None:
        missing.give_up_core(quorum["core"], why)
    else:
        missing.give_up(quorum["key"], why)


_LOOK: dict[str, Callable[[Connection, Missing, Sequence[Row]], None]] = {
    "cores": _find_cores,
    "users": _find_users,
    "groups": _find_groups,
    "group_members": _find_members,
    "rules": _find_rules,
    "keys": _find_keys,
    "key_versions": _find_versions,
    "key_counters": _find_counters,
    "objects": _find_objects,
    "quorums": _find_quorums,
}


def _values(
    connection: Connection, column: Column[Any], rows: Iterable[Row], name: str, core: int | None = None
) -> set[Any]:
    """Give which of the rows' values are here, asked for at once: a table of a million rows is not read."""
    wanted = {row[name] for row in rows} - {None}
    query = select(column).where(column.in_(wanted))
    query = query if core is None else query.where(column.table.c.core == core)
    return set(connection.execute(query).scalars())


def _insert(connection: Connection, table: Any, rows: Iterable[Row], *, keep_number: bool = False) -> None:
    """Write rows; they get the next numbers, unless their number is what others call them by."""
    left_out = set() if keep_number else {"number"}
    values = [{name: value for name, value in row.items() if name not in left_out} for row in rows]
    if values:
        connection.execute(insert(table), values)


def _tag(connection: Connection, missing: Missing) -> None:
    """Write the tags of keys anew: they go by the key's number, which is another one now."""
    table = tables.keys
    for row in missing.keys.values():
        if row["tags"]:
            number = connection.execute(select(table.c.number).where(table.c.id == row["id"])).scalar_one()
            rows = [
                {"key": row["id"], "tag": tag, "core": row["core"], "number": number} for tag in row["tags"].split(",")
            ]
            connection.execute(insert(tables.key_tags), rows)
