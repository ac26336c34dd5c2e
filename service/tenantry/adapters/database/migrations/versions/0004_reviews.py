"""Changes that wait for a review, their branches, and edits by hand that are kept."""

import sqlalchemy as sa
from alembic import op

from tenantry.adapters.database.base import UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
CUSTOMER_ID = sa.String(32)
KINDS = "'signup', 'license', 'state', 'plan', 'platform', 'delete'"
IS_OPEN_CHANGE = sa.text("outcome IS NULL")
IS_OPEN_REVIEW = sa.text("closed_at IS NULL")


def upgrade() -> None:
    create_reviews()
    create_changes()
    create_proposals()
    for table in ("tenants", "publications"):
        op.add_column(table, sa.Column("rendered_tree", sa.String(64), nullable=True))
        op.add_column(table, sa.Column("edited_files", sa.JSON(), nullable=True))
    op.add_column(
        "tenants",
        sa.Column("is_edit_adopted", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.add_column("repositories", sa.Column("hinted_at", UtcDateTime(), nullable=True))


def create_reviews() -> None:
    op.create_table(
        "reviews",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("cell", sa.String(64), nullable=False),
        sa.Column("branch", sa.String(64), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("pushed_generation", sa.Integer(), nullable=False),
        sa.Column("head", sa.String(64), nullable=True),
        sa.Column("number", sa.Integer(), nullable=True),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("told", sa.String(64), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("declined_at", UtcDateTime(), nullable=True),
        sa.Column("closed_at", UtcDateTime(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("retry_at", UtcDateTime(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.CheckConstraint("pushed_generation <= generation", name="ck_reviews_generation"),
        sa.PrimaryKeyConstraint("id", name="pk_reviews"),
    )
    op.create_index(
        "uq_reviews_open",
        "reviews",
        ["cell", "branch"],
        unique=True,
        sqlite_where=IS_OPEN_REVIEW,
        postgresql_where=IS_OPEN_REVIEW,
    )


def create_changes() -> None:
    op.create_table(
        "changes",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("customer_id", CUSTOMER_ID, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("fields", sa.JSON(), nullable=False),
        sa.Column("before", sa.JSON(), nullable=False),
        sa.Column("actor", sa.String(64), nullable=False),
        sa.Column("mode", sa.String(16), nullable=False),
        sa.Column("review_id", ROW_ID, nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=True),
        sa.Column("decided_by", sa.String(128), nullable=True),
        sa.Column("decided_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint(f"kind IN ({KINDS})", name="ck_changes_kind"),
        sa.CheckConstraint("mode IN ('direct', 'review')", name="ck_changes_mode"),
        sa.CheckConstraint(
            "outcome IN ('applied', 'declined', 'withdrawn', 'reverted')",
            name="ck_changes_outcome",
        ),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["tenants.customer_id"], name="fk_changes_customer_id"
        ),
        sa.ForeignKeyConstraint(["review_id"], ["reviews.id"], name="fk_changes_review_id"),
        sa.PrimaryKeyConstraint("id", name="pk_changes"),
    )
    op.create_index("ix_changes_customer_id", "changes", ["customer_id"])
    op.create_index("ix_changes_review_id", "changes", ["review_id"])
    op.create_index(
        "uq_changes_open",
        "changes",
        ["customer_id", "kind"],
        unique=True,
        sqlite_where=IS_OPEN_CHANGE,
        postgresql_where=IS_OPEN_CHANGE,
    )


def create_proposals() -> None:
    op.create_table(
        "proposals",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("review_id", ROW_ID, nullable=False),
        sa.Column("customer_id", CUSTOMER_ID, nullable=False),
        sa.Column("tree", sa.String(64), nullable=False),
        sa.Column("rendered_tree", sa.String(64), nullable=True),
        sa.Column("edited_files", sa.JSON(), nullable=True),
        sa.Column("author", sa.Text(), nullable=True),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("changes", sa.JSON(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["review_id"], ["reviews.id"], name="fk_proposals_review_id"),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["tenants.customer_id"], name="fk_proposals_customer_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_proposals"),
        sa.UniqueConstraint("review_id", "customer_id", "tree", name="uq_proposals_review_id"),
    )
    op.create_index("ix_proposals_customer_id", "proposals", ["customer_id"])
