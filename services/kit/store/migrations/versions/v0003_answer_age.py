"""When a judge's answer was written, so that old ones may go."""

import time

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """What is there counts as written now: a default is no rewriting of the table; later rows bring their own time."""
    now = sa.text(f"{time.time():.0f}")
    op.add_column("llm_answers", sa.Column("at", sa.Float, nullable=True, server_default=now))
    op.alter_column("llm_answers", "at", server_default=None)
    op.create_index("llm_answers_at", "llm_answers", ["at"])
