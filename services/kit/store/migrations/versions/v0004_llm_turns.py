"""How far each judge's time is handed out among the replicas that ask it."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Makes the table."""
    op.create_table(
        "llm_turns",
        sa.Column("endpoint", sa.String(64), primary_key=True),
        sa.Column("taken_to", sa.Float, nullable=False),
    )
