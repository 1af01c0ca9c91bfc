"""Objects beside keys, and the id by which PKCS #11 hosts know a key."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table, and let each key be known by its id until somebody gives it another."""
    op.create_table(
        "objects",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("core", sa.BigInteger(), nullable=False),
        sa.Column("class", sa.String(length=16), nullable=False),
        sa.Column("label", sa.String(length=128), nullable=False),
        sa.Column("object_id", sa.String(length=128), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.Column("application", sa.String(length=128), nullable=True),
        sa.Column("oid", sa.String(length=128), nullable=True),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["core"], ["cores.number"], name=op.f("fk_objects_core")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_objects")),
        sa.UniqueConstraint("id", name=op.f("uq_objects_id")),
    )
    op.create_index("ix_objects_core_number", "objects", ["core", "number"], unique=False)
    op.create_index("ix_objects_core_label", "objects", ["core", "label", "number"], unique=False)
    op.create_index("ix_objects_core_object_id", "objects", ["core", "object_id", "number"], unique=False)
    op.add_column("keys", sa.Column("object_id", sa.String(length=128), server_default="", nullable=False))
    op.execute("UPDATE keys SET object_id = id")
    op.create_index("ix_keys_core_object_id", "keys", ["core", "object_id", "number"], unique=False)


def downgrade() -> None:
    """Remove what was added; objects are lost."""
    op.drop_index("ix_keys_core_object_id", table_name="keys")
    op.drop_column("keys", "object_id")
    op.drop_table("objects")
