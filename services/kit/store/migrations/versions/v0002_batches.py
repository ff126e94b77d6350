"""The batches that were handed in to judges' endpoints."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Makes their table."""
    op.create_table(
        "llm_batches",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("run_id", sa.String(36), nullable=False),
        sa.Column("batch_id", sa.String(200), nullable=False),
        sa.Column("judge", sa.LargeBinary, nullable=False),
        sa.Column("over", sa.Boolean, nullable=False),
    )
    op.create_index("llm_batches_over", "llm_batches", ["over"])
