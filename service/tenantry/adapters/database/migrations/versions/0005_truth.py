"""What is remembered of a tenant between two looks at Argo CD, and how looking fares."""

import sqlalchemy as sa
from alembic import op

from tenantry.adapters.database.base import UtcDateTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

MOMENTS = ("unknown_since", "unsettled_since", "sync_asked_at", "support_told_at")
COUNTS = ("flaps", "followed_generation", "sync_attempts")


def upgrade() -> None:
    for name in MOMENTS:
        op.add_column("tenants", sa.Column(name, UtcDateTime(), nullable=True))
    for name in COUNTS:
        op.add_column("tenants", sa.Column(name, sa.Integer(), nullable=False, server_default="0"))
    op.add_column("tenants", sa.Column("published_spec", sa.JSON(), nullable=True))
    shown = "UPDATE tenants SET published_spec = approved WHERE published_generation > 0"
    op.execute(shown)
    op.add_column("tenants", sa.Column("resource", sa.Text(), nullable=False, server_default=""))
    op.add_column(
        "tenants", sa.Column("application_uid", sa.String(64), nullable=False, server_default="")
    )
    op.add_column("deployments", sa.Column("committed_at", UtcDateTime(), nullable=True))
    op.create_table(
        "watches",
        sa.Column("cell", sa.String(64), nullable=False),
        sa.Column("seen_at", UtcDateTime(), nullable=True),
        sa.Column("failing_since", UtcDateTime(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("hinted_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("cell", name="pk_watches"),
    )
