"""The first schema: appliance, unlock slots, cores, users, rules, keys, attempts, tickets and events."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "appliance",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("node", sa.String(length=64), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_appliance")),
    )
    op.create_table(
        "attempts",
        sa.Column("subject", sa.String(length=128), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("pending", sa.Integer(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_attempts")),
    )
    op.create_table(
        "cores",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("pin_required", sa.Boolean(), nullable=False),
        sa.Column("pin_salt", sa.LargeBinary(), nullable=False),
        sa.Column("serial", sa.String(length=16), nullable=False),
        sa.Column("token_label", sa.String(length=32), nullable=False),
        sa.Column("manufacturer", sa.String(length=32), nullable=False),
        sa.Column("model", sa.String(length=16), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_cores")),
        sa.UniqueConstraint("name", name=op.f("uq_cores_name")),
        sa.UniqueConstraint("serial", name=op.f("uq_cores_serial")),
    )
    op.create_table(
        "ended_tickets",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ended_tickets")),
    )
    op.create_table(
        "events",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("node", sa.String(length=64), nullable=False),
        sa.Column("user", sa.String(length=64), nullable=False),
        sa.Column("operation", sa.String(length=32), nullable=False),
        sa.Column("core", sa.BigInteger(), nullable=True),
        sa.Column("key", sa.String(length=128), nullable=True),
        sa.Column("mechanism", sa.String(length=32), nullable=True),
        sa.Column("input", sa.String(length=64), nullable=True),
        sa.Column("outcome", sa.String(length=8), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_events")),
    )
    op.create_table(
        "unlock_slots",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_unlock_slots")),
    )
    op.create_table(
        "users",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("password", sa.Text(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_users")),
        sa.UniqueConstraint("name", name=op.f("uq_users_name")),
    )
    op.create_table(
        "keys",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("core", sa.BigInteger(), nullable=False),
        sa.Column("label", sa.String(length=128), nullable=False),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("has_pin", sa.Boolean(), nullable=False),
        sa.Column("pin_tag", sa.LargeBinary(), nullable=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("policy", sa.LargeBinary(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["core"], ["cores.number"], name=op.f("fk_keys_core")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_keys")),
        sa.UniqueConstraint("core", "label", name="uq_keys_core_label"),
        sa.UniqueConstraint("id", name=op.f("uq_keys_id")),
    )
    op.create_index("ix_keys_core_number", "keys", ["core", "number"], unique=False)
    op.create_index("ix_keys_core_pin_tag", "keys", ["core", "pin_tag"], unique=False)
    op.create_table(
        "rules",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("user", sa.String(length=64), nullable=False),
        sa.Column("core", sa.BigInteger(), nullable=False),
        sa.Column("operations", sa.Text(), nullable=False),
        sa.Column("keys", sa.Text(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["core"], ["cores.number"], name=op.f("fk_rules_core"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user"], ["users.name"], name=op.f("fk_rules_user"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_rules")),
    )
    op.create_index(op.f("ix_rules_user"), "rules", ["user"], unique=False)
    # ### end Alembic commands ###


def downgrade() -> None:
    """Remove the tables."""
    for table in (
        "events",
        "ended_tickets",
        "attempts",
        "keys",
        "rules",
        "users",
        "cores",
        "unlock_slots",
        "appliance",
    ):
        op.drop_table(table)
