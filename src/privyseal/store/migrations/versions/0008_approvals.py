"""Quorums, requests for approval, and votes."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0006"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "quorums",
        sa.Column("number", _NUMBER, nullable=False),
        sa.Column("operation", sa.String(length=32), nullable=False),
        sa.Column("core", sa.BigInteger(), nullable=True),
        sa.Column("key", sa.String(length=16), nullable=True),
        sa.Column("needed", sa.Integer(), nullable=False),
        sa.Column("approvers", sa.Text(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["core"], ["cores.number"], name=op.f("fk_quorums_core"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_quorums")),
    )
    op.create_table(
        "approvals",
        sa.Column("number", _NUMBER, nullable=False),
        sa.Column("quorum", sa.BigInteger(), nullable=False),
        sa.Column("requester", sa.String(length=64), nullable=False),
        sa.Column("operation", sa.String(length=32), nullable=False),
        sa.Column("core", sa.BigInteger(), nullable=True),
        sa.Column("key", sa.String(length=128), nullable=True),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_approvals")),
    )
    op.create_index("ix_approvals_subject_requester", "approvals", ["subject", "requester"])
    op.create_table(
        "votes",
        sa.Column("approval", sa.BigInteger(), nullable=False),
        sa.Column("user", sa.String(length=64), nullable=False),
        sa.Column("agrees", sa.Boolean(), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["approval"], ["approvals.number"], name=op.f("fk_votes_approval"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("approval", "user", name=op.f("pk_votes")),
    )


def downgrade() -> None:
    """Remove the tables."""
    for table in ("votes", "approvals", "quorums"):
        op.drop_table(table)
