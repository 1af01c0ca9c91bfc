"""Queries for the tree over the record, and for the key that signs its checkpoints."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select

from privyseal.audit.tree import Edge, Hash, ProofError, leaf_hash
from privyseal.store import events
from privyseal.store.tables import audit_key, tree_edge, tree_nodes
from privyseal.store.times import now, to_micros


@dataclass(frozen=True, slots=True)
class AuditKey:
    """The key that signs checkpoints: its public half (32 bytes) and its sealed record."""

    id: str
    public_key: bytes
    sealed: bytes
    policy: bytes
    version: int


class StoredNodes:
    """The inside of the tree (`audit.tree.Nodes`): leaves are hashed from the events, the rest was kept."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def span(self, level: int, first: int, last: int) -> Sequence[Hash]:
        """Give a run of hashes of one level; raises ProofError when some are not there."""
        found = self._leaves(first, last) if level == 0 else self._nodes(level, first, last)
        if len(found) != last - first:
            raise ProofError(f"the record is damaged: {last - first - len(found)} of its entries are not there")
        return found

    def _leaves(self, first: int, last: int) -> list[Hash]:
        return [leaf_hash(leaf) for leaf in events.leaves(self._connection, first + 1, last)]

    def _nodes(self, level: int, first: int, last: int) -> list[Hash]:
        run = tree_nodes.c.place.between(first, last - 1)
        query = select(tree_nodes.c.hash).where(tree_nodes.c.level == level, run).order_by(tree_nodes.c.place)
        return [bytes(found) for found in self._connection.execute(query).scalars()]


def edge(connection: Connection) -> Edge:
    """Give the right edge of the tree as it is now. Raises ProofError when the database has a damaged one."""
    row = connection.execute(select(tree_edge.c.size, tree_edge.c.roots)).one()
    return Edge.read(row.size, bytes(row.roots))


def key(connection: Connection) -> AuditKey | None:
    """Give the audit key, None before it was made."""
    columns = (audit_key.c.id, audit_key.c.public_key, audit_key.c.sealed, audit_key.c.policy, audit_key.c.version)
    row = connection.execute(select(*columns).where(audit_key.c.number == 1)).one_or_none()
    return None if row is None else AuditKey(*row)


def keep_key(connection: Connection, made: AuditKey) -> None:
    """Keep the audit key. Raises ConflictError when there is one already."""
    values = {"id": made.id, "public_key": made.public_key, "sealed": made.sealed, "policy": made.policy}
    created = to_micros(now())
    connection.execute(insert(audit_key).values(number=1, version=made.version, created=created, **values))
