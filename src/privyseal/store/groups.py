"""Queries for groups of users."""

from collections import defaultdict

from sqlalchemy import Connection, delete, insert, select

from privyseal.model.access import Group
from privyseal.store.store import changed
from privyseal.store.tables import group_members, groups
from privyseal.store.times import from_micros, now, to_micros


def add(connection: Connection, name: str) -> Group:
    """Make a group without members. Raises ConflictError when the name is taken."""
    connection.execute(insert(groups).values(name=name, created=to_micros(now())))
    changed(connection)
    group = get(connection, name)
    assert group is not None  # noqa: S101 - it was written a line above
    return group


def get(connection: Connection, name: str) -> Group | None:
    """Give a group by name."""
    return next((group for group in every(connection) if group.name == name), None)


def every(connection: Connection) -> list[Group]:
    """Give all groups by name."""
    members = defaultdict[str, list[str]](list)
    for row in connection.execute(select(group_members).order_by(group_members.c.user)):
        members[row.group].append(row.user)
    return [
        Group(row.number, row.name, tuple(members[row.name]), from_micros(row.created))
        for row in connection.execute(select(groups).order_by(groups.c.name))
    ]


def remove(connection: Connection, name: str) -> None:
    """Remove a group and the rules that name it."""
    connection.execute(delete(groups).where(groups.c.name == name))
    changed(connection)


def add_member(connection: Connection, name: str, user: str) -> None:
    """Put a user who is not in it yet into a group."""
    connection.execute(insert(group_members).values(group=name, user=user))
    changed(connection)


def remove_member(connection: Connection, name: str, user: str) -> None:
    """Take a user out of a group."""
    connection.execute(delete(group_members).where(group_members.c.group == name, group_members.c.user == user))
    changed(connection)
