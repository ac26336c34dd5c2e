"""Alembic's entry: run the migrations on the connection that `schema.upgrade` hands over."""

from alembic import context

from tenantry.adapters.database.tables import Tenant

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Tenant.metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
