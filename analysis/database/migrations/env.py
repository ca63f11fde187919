"""Run by Alembic: migrates the connection that `analysis.database.schema` hands it, within its transaction."""

from alembic import context

from analysis.database.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
