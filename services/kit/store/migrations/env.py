"""Alembic runs this: the steps happen on the connection, and in the transaction, of `bring_up`."""

from alembic import context

from concord.kit.store.migrations import VERSION_TABLE

context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)
context.run_migrations()
