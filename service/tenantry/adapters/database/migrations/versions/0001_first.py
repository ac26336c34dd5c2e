"""The first tables, the specification's view, and what makes history append-only."""

import sqlalchemy as sa
from alembic import op

from tenantry.adapters.database.base import RowId, UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

APPEND_ONLY = ("audit", "license_history")
STATUS_CHECK = (
    "status IN ('pending', 'awaiting_review', 'provisioning', 'ready', 'degraded', 'failed', "
    "'read_only', 'suspended', 'deleting', 'deleted')"
)

# The specification's columns (Phase 4 there), for its queries and dashboards.
VIEW = """
CREATE VIEW customer_deployments AS
SELECT c.customer_id, c.email, c.company_name, c.created_at,
       t.status AS deployment_status, t.instance_url,
       (SELECT MIN(d.ready_at) FROM deployments d WHERE d.customer_id = c.customer_id)
           AS deployed_at,
       CASE WHEN t.status = 'failed' THEN t.detail END AS deployment_error
FROM customers c JOIN tenants t ON t.customer_id = c.customer_id
"""


def upgrade() -> None:
    create_tables()
    op.execute(VIEW)
    if op.get_bind().dialect.name == "sqlite":
        forbid_changes_on_sqlite()
    else:
        forbid_changes_on_postgresql()


def forbid_changes_on_sqlite() -> None:
    for table in APPEND_ONLY:
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{change.lower()} BEFORE {change} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )


def forbid_changes_on_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
    )
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "EXECUTE FUNCTION refuse_change()"
        )


def create_tables() -> None:
    op.create_table(
        "audit",
        sa.Column("id", RowId, nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("customer_id", sa.String(length=32), nullable=True),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_index("ix_audit_customer_id", "audit", ["customer_id"])
    op.create_table(
        "customers",
        sa.Column("customer_id", sa.String(length=32), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("email_key", sa.Text(), nullable=False),
        sa.Column("company_name", sa.Text(), nullable=False),
        sa.Column("full_name", sa.Text(), nullable=True),
        sa.Column("time_zone", sa.String(length=64), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("status_token_hash", sa.String(length=64), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", name="pk_customers"),
        sa.UniqueConstraint("email_key", name="uq_customers_email_key"),
        sa.UniqueConstraint("status_token_hash", name="uq_customers_status_token_hash"),
    )
    op.create_table(
        "license_history",
        sa.Column("id", RowId, nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("customer_id", sa.String(length=32), nullable=False),
        sa.Column("license_id", sa.String(length=64), nullable=False),
        sa.Column("action", sa.String(length=16), nullable=False),
        sa.Column("plan", sa.String(length=64), nullable=False),
        sa.Column("max_devices", sa.Integer(), nullable=True),
        sa.Column("license_hash", sa.String(length=64), nullable=False),
        sa.Column("generated_by", sa.String(length=64), nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.CheckConstraint(
            "action IN ('generated', 'renewed', 'upgraded', 'revoked')",
            name="ck_license_history_action",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_license_history"),
    )
    op.create_index("ix_license_history_customer_id", "license_history", ["customer_id"])
    op.create_table(
        "licenses",
        sa.Column("license_id", sa.String(length=64), nullable=False),
        sa.Column("customer_id", sa.String(length=32), nullable=False),
        sa.Column("plan", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("issued_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.customer_id"], name="fk_licenses_customer_id"
        ),
        sa.PrimaryKeyConstraint("license_id", name="pk_licenses"),
        sa.UniqueConstraint("token_hash", name="uq_licenses_token_hash"),
    )
    op.create_index("ix_licenses_customer_id", "licenses", ["customer_id"])
    op.create_table(
        "outbox",
        sa.Column("id", RowId, nullable=False),
        sa.Column("customer_id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("period", sa.String(length=32), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("sent_at", UtcDateTime(), nullable=True),
        sa.Column("retry_at", UtcDateTime(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.customer_id"], name="fk_outbox_customer_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        sa.UniqueConstraint("customer_id", "kind", "period", name="uq_outbox_customer_id"),
    )
    op.create_index("ix_outbox_unsent", "outbox", ["sent_at", "retry_at"])
    op.create_table(
        "subscriptions",
        sa.Column("customer_id", sa.String(length=32), nullable=False),
        sa.Column("plan", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("trial_ends_at", UtcDateTime(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint("status IN ('trialing')", name="ck_subscriptions_status"),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.customer_id"], name="fk_subscriptions_customer_id"
        ),
        sa.PrimaryKeyConstraint("customer_id", name="pk_subscriptions"),
    )
    op.create_table(
        "tenants",
        sa.Column("customer_id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("cell", sa.String(length=64), nullable=False),
        sa.Column("instance_url", sa.Text(), nullable=False),
        sa.Column("approved", sa.JSON(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("published_generation", sa.Integer(), nullable=False),
        sa.Column("published_commit", sa.String(length=64), nullable=True),
        sa.Column("published_at", UtcDateTime(), nullable=True),
        sa.Column("accepted_tree", sa.String(length=64), nullable=True),
        sa.Column("set_aside", sa.Text(), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("reason_code", sa.String(length=64), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("status_since", UtcDateTime(), nullable=False),
        sa.CheckConstraint(STATUS_CHECK, name="ck_tenants_status"),
        sa.CheckConstraint("published_generation <= generation", name="ck_tenants_generation"),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.customer_id"], name="fk_tenants_customer_id"
        ),
        sa.PrimaryKeyConstraint("customer_id", name="pk_tenants"),
        sa.UniqueConstraint("name", name="uq_tenants_name"),
    )
    op.create_index("ix_tenants_due", "tenants", ["cell", "generation", "published_generation"])
    op.create_index("ix_tenants_status", "tenants", ["status"])
    op.create_table(
        "deployments",
        sa.Column("id", RowId, nullable=False),
        sa.Column("customer_id", sa.String(length=32), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("wanted_at", UtcDateTime(), nullable=False),
        sa.Column("published_at", UtcDateTime(), nullable=True),
        sa.Column("seen_at", UtcDateTime(), nullable=True),
        sa.Column("synced_at", UtcDateTime(), nullable=True),
        sa.Column("healthy_at", UtcDateTime(), nullable=True),
        sa.Column("ready_at", UtcDateTime(), nullable=True),
        sa.Column("outcome", sa.String(length=16), nullable=True),
        sa.CheckConstraint("outcome IN ('success', 'failed')", name="ck_deployments_outcome"),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["tenants.customer_id"], name="fk_deployments_customer_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_deployments"),
        sa.UniqueConstraint("customer_id", "generation", name="uq_deployments_customer_id"),
    )
    op.create_table(
        "events",
        sa.Column("id", RowId, nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("customer_id", sa.String(length=32), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("reason_code", sa.String(length=64), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.CheckConstraint(STATUS_CHECK, name="ck_events_status"),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["tenants.customer_id"], name="fk_events_customer_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
    )
    op.create_index("ix_events_customer_id", "events", ["customer_id"])
    op.create_table(
        "publications",
        sa.Column("id", RowId, nullable=False),
        sa.Column("customer_id", sa.String(length=32), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("tree", sa.String(length=64), nullable=False),
        sa.Column("intended_at", UtcDateTime(), nullable=False),
        sa.Column("accepted_at", UtcDateTime(), nullable=True),
        sa.Column("commit", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["tenants.customer_id"], name="fk_publications_customer_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_publications"),
        sa.UniqueConstraint(
            "customer_id", "generation", "tree", name="uq_publications_customer_id"
        ),
    )
    op.create_table(
        "sealed_values",
        sa.Column("customer_id", sa.String(length=32), nullable=False),
        sa.Column("key", sa.String(length=253), nullable=False),
        sa.Column("version", sa.String(length=128), nullable=False),
        sa.Column("certificate", sa.String(length=64), nullable=False),
        sa.Column("ciphertext", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["tenants.customer_id"], name="fk_sealed_values_customer_id"
        ),
        sa.PrimaryKeyConstraint("customer_id", "key", name="pk_sealed_values"),
    )
    op.create_table(
        "secrets",
        sa.Column("customer_id", sa.String(length=32), nullable=False),
        sa.Column("key", sa.String(length=253), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["tenants.customer_id"], name="fk_secrets_customer_id"
        ),
        sa.PrimaryKeyConstraint("customer_id", "key", name="pk_secrets"),
    )
