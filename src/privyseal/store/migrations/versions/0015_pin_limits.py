"""Let each core say how many wrong PINs are too many."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the limits that held everywhere."""
    op.add_column("cores", sa.Column("pin_delay_from", sa.Integer(), server_default="5", nullable=False))
    op.add_column("cores", sa.Column("pin_lock_at", sa.Integer(), server_default="10", nullable=False))


def downgrade() -> None:
    """Remove them."""
    op.drop_column("cores", "pin_lock_at")
    op.drop_column("cores", "pin_delay_from")
