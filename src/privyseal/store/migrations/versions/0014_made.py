"""Find the events that say which public half a key got, for receipts, without reading the whole record."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_MADE = sa.text("operation IN ('key:generate', 'key:import', 'key:rotate') AND input IS NOT NULL")


def upgrade() -> None:
    """Make the index; it is partial, so that the events of signatures are not in it."""
    op.create_index("ix_events_made", "events", ["key", "number"], sqlite_where=_MADE, postgresql_where=_MADE)


def downgrade() -> None:
    """Remove it."""
    op.drop_index("ix_events_made", table_name="events")
