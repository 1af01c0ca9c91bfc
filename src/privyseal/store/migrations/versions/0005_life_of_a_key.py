"""The life of a key: states, versions, counted uses; how long a core waits before it destroys one."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add columns and tables."""
    op.add_column("cores", sa.Column("destroy_days", sa.Integer(), server_default="30", nullable=False))
    op.add_column("keys", sa.Column("disabled", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("keys", sa.Column("destroy_at", sa.BigInteger(), nullable=True))
    op.add_column("keys", sa.Column("rotate_after", sa.Integer(), nullable=True))
    op.add_column("keys", sa.Column("rotate_at", sa.BigInteger(), nullable=True))
    op.add_column("keys", sa.Column("version_created", sa.BigInteger(), nullable=True))
    op.create_index(op.f("ix_keys_destroy_at"), "keys", ["destroy_at"], unique=False)
    op.create_index(op.f("ix_keys_rotate_at"), "keys", ["rotate_at"], unique=False)
    op.create_table(
        "key_versions",
        sa.Column("key", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("has_pin", sa.Boolean(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("policy", sa.LargeBinary(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["key"], ["keys.id"], name=op.f("fk_key_versions_key"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("key", "version", name=op.f("pk_key_versions")),
    )
    op.create_table(
        "key_counters",
        sa.Column("key", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("uses", sa.BigInteger(), nullable=False),
        sa.Column("delivered", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["key"], ["keys.id"], name=op.f("fk_key_counters_key"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("key", "version", name=op.f("pk_key_counters")),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("holder", sa.String(length=64), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )


def downgrade() -> None:
    """Remove what was added. Old versions of keys are lost."""
    for table in ("leases", "key_counters", "key_versions"):
        op.drop_table(table)
    op.drop_index(op.f("ix_keys_rotate_at"), "keys")
    op.drop_index(op.f("ix_keys_destroy_at"), "keys")
    for column in ("version_created", "rotate_at", "rotate_after", "destroy_at", "disabled"):
        op.drop_column("keys", column)
    op.drop_column("cores", "destroy_days")
