"""What load and many workers need: leases, limits, keys of repeated requests, backoff, bulk."""

import sqlalchemy as sa
from alembic import op

from tenantry.adapters.database.base import UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

IS_UNSENT = sa.text("sent_at IS NULL AND withheld_at IS NULL")
IS_DUE = sa.text("generation > published_generation AND set_aside IS NULL")


def upgrade() -> None:
    create_tables()
    widen_tenants()
    widen_outbox()


def create_tables() -> None:
    op.create_table(
        "repositories",
        sa.Column("cell", sa.String(64), nullable=False),
        sa.Column("head", sa.String(64), nullable=True),
        sa.Column("halted", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("retry_at", UtcDateTime(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("cell", name="pk_repositories"),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("holder", sa.String(64), nullable=False),
        sa.Column("until", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_leases"),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("key_hash", sa.String(64), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("claim", sa.String(64), nullable=False),
        sa.Column("claimed_at", UtcDateTime(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("key_hash", name="pk_idempotency_keys"),
    )
    op.create_index("ix_idempotency_keys_claimed_at", "idempotency_keys", ["claimed_at"])
    op.create_table(
        "rate_limits",
        sa.Column("scope", sa.String(32), nullable=False),
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("full_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("scope", "subject", name="pk_rate_limits"),
    )
    op.create_index("ix_rate_limits_full_at", "rate_limits", ["full_at"])


def widen_tenants() -> None:
    op.add_column("tenants", sa.Column("replaces", sa.String(64), nullable=True))
    op.add_column(
        "tenants", sa.Column("is_bulk", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.add_column(
        "tenants", sa.Column("attempts", sa.Integer(), nullable=False, server_default="0")
    )
    op.add_column("tenants", sa.Column("retry_at", UtcDateTime(), nullable=True))
    op.add_column("tenants", sa.Column("last_error", sa.Text(), nullable=True))
    op.drop_index("ix_tenants_due", "tenants")
    op.create_index(
        "ix_tenants_due",
        "tenants",
        ["cell", "is_bulk", "customer_id"],
        sqlite_where=IS_DUE,
        postgresql_where=IS_DUE,
    )


def widen_outbox() -> None:
    op.add_column("outbox", sa.Column("withheld_at", UtcDateTime(), nullable=True))
    op.drop_index("ix_outbox_unsent", "outbox")
    op.create_index(
        "ix_outbox_unsent",
        "outbox",
        ["retry_at"],
        sqlite_where=IS_UNSENT,
        postgresql_where=IS_UNSENT,
    )
