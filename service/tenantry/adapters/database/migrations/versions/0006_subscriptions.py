"""A customer's life: what is booked and billed, who is logged in, switches, revoked licenses."""

from datetime import timedelta

import sqlalchemy as sa
from alembic import op

from tenantry.adapters.database.base import UtcDateTime

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
CUSTOMER_ID = sa.String(32)
STAGES = "status IN ('trialing', 'active', 'past_due', 'read_only', 'suspended', 'cancelled')"
ACTIONS = "action IN ('generated', 'renewed', 'upgraded', 'downgraded', 'reissued', 'revoked')"
EVENTS = "kind IN ('paid', 'payment_failed', 'plan', 'cancelled', 'resumed', 'linked', 'other')"
# No row says how long the grace of an earlier license is. Taken for too short, a key is forgotten
# that instances still verify with; longer than a product's few days does no harm.
LONGEST_GRACE = timedelta(days=30)
CAN_BE_TRIED = sa.text("sent_at IS NULL AND withheld_at IS NULL AND refused_at IS NULL")
IS_MOVING = sa.text("ready_at IS NULL AND outcome IS NULL")


def upgrade() -> None:
    for name in ("email_confirmed_at", "email_refused_at", "approved_at", "erased_at"):
        op.add_column("customers", sa.Column(name, UtcDateTime(), nullable=True))
    widen_subscriptions()
    create_billing_events()
    create_accounts()
    create_flags()
    widen_licenses()
    for name in ("refused_at", "claimed_until"):
        op.add_column("outbox", sa.Column(name, UtcDateTime(), nullable=True))
    op.drop_index("ix_outbox_unsent", "outbox")
    op.create_index(
        "ix_outbox_unsent",
        "outbox",
        ["retry_at"],
        sqlite_where=CAN_BE_TRIED,
        postgresql_where=CAN_BE_TRIED,
    )
    op.create_index("ix_deployments_wanted_at", "deployments", ["wanted_at"])
    op.create_index(
        "ix_deployments_moving",
        "deployments",
        ["customer_id"],
        sqlite_where=IS_MOVING,
        postgresql_where=IS_MOVING,
    )


def widen_subscriptions() -> None:
    with op.batch_alter_table("subscriptions") as table:
        table.drop_constraint("ck_subscriptions_status", type_="check")
        table.create_check_constraint("ck_subscriptions_status", STAGES)
        for name in (
            "paid_since", "paid_at", "paid_until", "past_due_since", "cancelled_at", "ends_at",
        ):  # fmt: skip
            table.add_column(sa.Column(name, UtcDateTime(), nullable=True))
        table.add_column(
            sa.Column("asked_state", sa.String(16), nullable=False, server_default="active")
        )
        for name in ("look_at", "looked_at"):
            table.add_column(sa.Column(name, UtcDateTime(), nullable=True))
        table.add_column(sa.Column("billing_customer", sa.String(255), nullable=True))
    op.execute("UPDATE subscriptions SET look_at = created_at")
    for name in ("look_at", "looked_at", "billing_customer"):
        op.create_index(f"ix_subscriptions_{name}", "subscriptions", [name])


def create_billing_events() -> None:
    op.create_table(
        "billing_events",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("external_id", sa.String(255), nullable=False),
        sa.Column("customer_id", CUSTOMER_ID, nullable=True),
        sa.Column("billing_customer", sa.String(255), nullable=True),
        sa.Column("subscription", sa.String(255), nullable=True),
        sa.Column("receipt", sa.String(255), nullable=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("type", sa.String(128), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.Column("actor", sa.String(64), nullable=False),
        sa.Column("plan", sa.String(64), nullable=True),
        sa.Column("until", UtcDateTime(), nullable=True),
        sa.Column("wrapped", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint(EVENTS, name="ck_billing_events_kind"),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.customer_id"], name="fk_billing_events_customer_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_billing_events"),
        sa.UniqueConstraint("external_id", name="uq_billing_events_external_id"),
    )
    for column in ("customer_id", "billing_customer", "subscription"):
        op.create_index(f"ix_billing_events_{column}", "billing_events", [column])


def create_accounts() -> None:
    op.create_table(
        "logins",
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("customer_id", CUSTOMER_ID, nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("seen_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("agent", sa.String(128), nullable=False),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.customer_id"], name="fk_logins_customer_id"
        ),
        sa.PrimaryKeyConstraint("token_hash", name="pk_logins"),
    )
    op.create_table(
        "account_tokens",
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("customer_id", CUSTOMER_ID, nullable=False),
        sa.Column("purpose", sa.String(16), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("used_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint("purpose IN ('confirm', 'reset')", name="ck_account_tokens_purpose"),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.customer_id"], name="fk_account_tokens_customer_id"
        ),
        sa.PrimaryKeyConstraint("token_hash", name="pk_account_tokens"),
    )
    for table in ("logins", "account_tokens"):
        for column in ("customer_id", "expires_at"):
            op.create_index(f"ix_{table}_{column}", table, [column])


def create_flags() -> None:
    op.create_table(
        "flags",
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("is_on", sa.Boolean(), nullable=False),
        sa.Column("set_at", UtcDateTime(), nullable=False),
        sa.Column("actor", sa.String(64), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "name IN ('signups_open', 'publish_paused', 'read_only_service')",
            name="ck_flags_name",
        ),
        sa.PrimaryKeyConstraint("name", name="pk_flags"),
    )


def widen_licenses() -> None:
    op.add_column("licenses", sa.Column("revoked_at", UtcDateTime(), nullable=True))
    op.add_column("licenses", sa.Column("listed_at", UtcDateTime(), nullable=True))
    op.add_column("licenses", sa.Column("grace_until", UtcDateTime(), nullable=True))
    give_grace()
    with op.batch_alter_table("licenses") as table:
        table.alter_column("grace_until", existing_type=UtcDateTime(), nullable=False)
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    with op.batch_alter_table("license_history") as table:
        table.drop_constraint("ck_license_history_action", type_="check")
        table.create_check_constraint("ck_license_history_action", ACTIONS)
    if is_sqlite:  # the table was made anew, and its triggers went with the old one
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER license_history_no_{change.lower()} BEFORE {change} "
                "ON license_history "
                "BEGIN SELECT RAISE(ABORT, 'license_history is append-only'); END"
            )


def give_grace() -> None:
    licenses = sa.table(
        "licenses",
        sa.column("license_id", sa.String()),
        sa.column("expires_at", UtcDateTime()),
        sa.column("grace_until", UtcDateTime()),
    )
    connection = op.get_bind()
    dates = connection.execute(sa.select(licenses.c.license_id, licenses.c.expires_at)).all()
    grace = [{"of": name, "until": expires_at + LONGEST_GRACE} for name, expires_at in dates]
    if grace:
        of_one = sa.update(licenses).where(licenses.c.license_id == sa.bindparam("of"))
        connection.execute(of_one.values(grace_until=sa.bindparam("until")), grace)
