"""Groups of users, tags of keys, and rules that name them."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables, and let a rule name a group instead of a user, and an id or tag instead of a label."""
    op.create_table(
        "groups",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_groups")),
        sa.UniqueConstraint("name", name=op.f("uq_groups_name")),
    )
    op.create_table(
        "group_members",
        sa.Column("group", sa.String(length=64), nullable=False),
        sa.Column("user", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["group"], ["groups.name"], name=op.f("fk_group_members_group"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user"], ["users.name"], name=op.f("fk_group_members_user"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("group", "user", name=op.f("pk_group_members")),
    )
    op.create_index(op.f("ix_group_members_user"), "group_members", ["user"], unique=False)
    op.add_column("keys", sa.Column("tags", sa.Text(), server_default="", nullable=False))
    op.create_table(
        "key_tags",
        sa.Column("key", sa.String(length=16), nullable=False),
        sa.Column("tag", sa.String(length=128), nullable=False),
        sa.Column("core", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["key"], ["keys.id"], name=op.f("fk_key_tags_key"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("key", "tag", name=op.f("pk_key_tags")),
    )
    op.create_index("ix_key_tags_core_tag_number", "key_tags", ["core", "tag", "number"], unique=False)
    with op.batch_alter_table("rules") as rules:  # SQLite makes the table anew; nothing refers to it
        rules.alter_column("user", existing_type=sa.String(length=64), nullable=True)
        rules.add_column(sa.Column("selector", sa.String(length=8), server_default="keys", nullable=False))
        rules.add_column(sa.Column("group", sa.String(length=64), nullable=True))
        rules.create_foreign_key(op.f("fk_rules_group"), "groups", ["group"], ["name"], ondelete="CASCADE")
        rules.create_index(op.f("ix_rules_group"), ["group"], unique=False)


def downgrade() -> None:
    """Remove what was added. Rules of groups, and rules by id or tag, are lost: none is left that allows more."""
    op.execute("DELETE FROM rules WHERE \"user\" IS NULL OR selector <> 'keys'")
    with op.batch_alter_table("rules") as rules:
        rules.drop_index(op.f("ix_rules_group"))
        rules.drop_constraint(op.f("fk_rules_group"), type_="foreignkey")
        rules.drop_column("group")
        rules.drop_column("selector")
        rules.alter_column("user", existing_type=sa.String(length=64), nullable=False)
    op.drop_table("key_tags")
    op.drop_column("keys", "tags")
    op.drop_table("group_members")
    op.drop_table("groups")
