"""The tree over the record, the keeper's audit key, and the number of each signature within its keeper."""

from collections.abc import Iterator

import msgspec
import sqlalchemy as sa
from alembic import op

from privyseal.audit import tree

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_PAGE = 1000


def upgrade() -> None:
    """Make tables and columns, then the tree over the events that are there already."""
    op.add_column("events", sa.Column("keeper", sa.String(length=16), nullable=True))
    op.add_column("events", sa.Column("use", sa.BigInteger(), nullable=True))
    op.create_table(
        "audit_key",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("policy", sa.LargeBinary(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_audit_key")),
    )
    edge = op.create_table(
        "tree_edge",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("roots", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tree_edge")),
    )
    nodes = op.create_table(
        "tree_nodes",
        sa.Column("level", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("place", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("level", "place", name=op.f("pk_tree_nodes")),
    )
    _build(edge, nodes)


def downgrade() -> None:
    """Remove them."""
    for table in ("tree_nodes", "tree_edge", "audit_key"):
        op.drop_table(table)
    with op.batch_alter_table("events") as events:
        events.drop_column("use")
        events.drop_column("keeper")


def _build(edge_table: sa.Table, nodes: sa.Table) -> None:
    edge = tree.Edge()
    for leaf in _leaves():
        for kept in edge.append(tree.leaf_hash(leaf)):
            row = {"level": kept.level, "place": kept.place, "hash": kept.hash}
            op.get_bind().execute(sa.insert(nodes).values(**row))
    op.bulk_insert(edge_table, [{"id": 1, "size": edge.size, "roots": edge.write()}])


def _leaves() -> Iterator[bytes]:
    """Give the leaf of every event in order: a JSON array, as docs/reference/record.md has it."""
    names = ("number", "time", "node", "user", "operation", "core", "key", "mechanism", "input", "outcome", "reason")
    events = sa.table("events", *map(sa.column, names), sa.column("keeper"), sa.column("use"))
    number = 0
    while (
        page := op.get_bind()
        .execute(sa.select(events).where(events.c.number > number).order_by(events.c.number).limit(_PAGE))
        .all()
    ):
        for row in page:
            yield msgspec.json.encode(tuple(row))
        number = page[-1].number
