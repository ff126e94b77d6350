"""The reactors' positions, runs and rows; the tasks and their slots; the LLM's answers."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Makes the tables of version 0.1."""
    op.create_table(
        "positions",
        sa.Column("service", sa.String(40), primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("next_offset", sa.BigInteger, nullable=False),
        sa.Column("log_id", sa.String(80), nullable=False),
        sa.Column("fold_version", sa.Integer, nullable=False),
    )
    op.create_table(
        "runs",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=True),
        sa.Column("service", sa.String(40), nullable=False),
        sa.Column("run_id", sa.String(36), nullable=False),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.UniqueConstraint("service", "run_id"),
    )
    op.create_table(
        "rows",
        sa.Column("service", sa.String(40), primary_key=True),
        sa.Column("run_id", sa.String(36), primary_key=True),
        sa.Column("name", sa.String(120), primary_key=True),
        sa.Column("value", sa.LargeBinary, nullable=False),
    )
    _make_tasks()
    op.create_table(
        "llm_answers",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("answer", sa.Text, nullable=False),
    )


def _make_tasks() -> None:
    op.create_table(
        "tasks",
        sa.Column("run_id", sa.String(36), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("task_id", sa.String(36), nullable=False, unique=True),
        sa.Column("pair_index", sa.Integer, nullable=False),
        sa.Column("quorum", sa.Integer, nullable=False),
        sa.Column("offered", sa.Boolean, nullable=False),
        sa.Column("opened_at", sa.Float, nullable=False),
    )
    op.create_index("tasks_offered", "tasks", ["offered", "number"])
    op.create_table(
        "slots",
        sa.Column("task_id", sa.String(36), primary_key=True),
        sa.Column("annotator", sa.String(200), primary_key=True),
        sa.Column("vote", sa.Integer, nullable=True),
        sa.Column("run_id", sa.String(36), nullable=False),
        sa.Column("lease_until", sa.Float, nullable=False),
        sa.Column("handed_at", sa.Float, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("submitted", sa.Boolean, nullable=False),
        sa.Column("submitted_at", sa.Float, nullable=False),
        sa.Column("folded", sa.Boolean, nullable=False),
        sa.Column("said", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("task_id", "vote"),
    )
    op.create_index("slots_unsaid", "slots", ["folded", "submitted"])
    op.create_table(
        "slots_born",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("born", sa.Float, nullable=False),
    )
