"""How alembic reaches the database: over a connection that it is handed."""

from alembic import context

from intent_tasks.tables import INTENT, intent_metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=intent_metadata,
    version_table_schema=INTENT,
    include_schemas=True,
)
with context.begin_transaction():
    context.run_migrations()
