"""Queries for users and access rules."""

from sqlalchemy import Connection, Row, delete, insert, or_, select, update

from privyseal.model.access import AccessRule, Operation, Role, Selector, User
from privyseal.store.store import changed
from privyseal.store.tables import group_members, rules, users
from privyseal.store.times import from_micros, now, to_micros


def add(connection: Connection, name: str, role: Role, password: str) -> User:
    """Keep a user; `password` is a PHC string. Raises ConflictError when the name is taken."""
    connection.execute(insert(users).values(name=name, role=role.value, password=password, created=to_micros(now())))
    changed(connection)
    user = get(connection, name)
    assert user is not None  # noqa: S101 - it was written a line above
    return user


def get(connection: Connection, name: str) -> User | None:
    """Give a user by name."""
    row = connection.execute(select(users).where(users.c.name == name)).one_or_none()
    return None if row is None else _user(row)


def every(connection: Connection) -> list[User]:
    """Give all users by name."""
    return [_user(row) for row in connection.execute(select(users).order_by(users.c.name))]


def change(connection: Connection, name: str, values: dict[str, object]) -> None:
    """Set some columns of a user."""
    if values:
        connection.execute(update(users).where(users.c.name == name).values(**values))
    changed(connection)


def remove(connection: Connection, name: str) -> None:
    """Remove a user and the rules that name it."""
    connection.execute(delete(users).where(users.c.name == name))
    changed(connection)


def add_rule(connection: Connection, rule: AccessRule) -> AccessRule:
    """Keep a rule; it gets the next number."""
    result = connection.execute(
        insert(rules).values(
            user=rule.user,
            core=rule.core,
            operations=_operations_text(rule.operations),
            keys=rule.keys,
            created=to_micros(rule.created),
            selector=rule.selector.value,
            group=rule.group,
        )
    )
    changed(connection)
    assert result.inserted_primary_key is not None  # noqa: S101 - one row was inserted
    found = get_rule(connection, result.inserted_primary_key.number)
    assert found is not None  # noqa: S101 - it was written a line above
    return found


def get_rule(connection: Connection, number: int) -> AccessRule | None:
    """Give a rule by number."""
    row = connection.execute(select(rules).where(rules.c.number == number)).one_or_none()
    return None if row is None else _rule(row)


def every_rule(
    connection: Connection, user: str | None = None, core: int | None = None, group: str | None = None
) -> list[AccessRule]:
    """Give the rules, all or those of a user with the user's groups, a group or a core, by number."""
    query = select(rules).order_by(rules.c.number)
    if user is not None:
        theirs = select(group_members.c.group).where(group_members.c.user == user)
        query = query.where(or_(rules.c.user == user, rules.c.group.in_(theirs)))
    if group is not None:
        query = query.where(rules.c.group == group)
    if core is not None:
        query = query.where(rules.c.core == core)
    return [_rule(row) for row in connection.execute(query)]


def change_rule(connection: Connection, rule: AccessRule) -> None:
    """Set a rule's operations and which keys it is about."""
    values = {
        "operations": _operations_text(rule.operations),
        "keys": rule.keys,
        "selector": rule.selector.value,
    }
    connection.execute(update(rules).where(rules.c.number == rule.number).values(**values))
    changed(connection)


def remove_rule(connection: Connection, number: int) -> None:
    """Remove a rule."""
    connection.execute(delete(rules).where(rules.c.number == number))
    changed(connection)


def _operations_text(operations: frozenset[Operation]) -> str:
    return ",".join(sorted(operation.value for operation in operations))


def _user(row: Row[tuple[object, ...]]) -> User:
    return User(row.number, row.name, Role(row.role), row.password, from_micros(row.created))


def _rule(row: Row[tuple[object, ...]]) -> AccessRule:
    operations = frozenset(Operation(word) for word in row.operations.split(","))
    return AccessRule(
        row.number,
        row.user,
        row.core,
        operations,
        row.keys,
        from_micros(row.created),
        Selector(row.selector),
        row.group,
    )
