"""The tables of offered tasks and of their slots, and the statements on them, built once.

A row of `slots` without a vote is a slot given back: it keeps its annotator's revision.
"""

from typing import Any

import sqlalchemy as sa

from concord.kit.store import METADATA
from concord.tasks.leases import GOLD_VOTE

TASKS = sa.Table(
    "tasks",
    METADATA,
    sa.Column("run_id", sa.String(36), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("task_id", sa.String(36), nullable=False, unique=True),
    sa.Column("pair_index", sa.Integer, nullable=False),
    sa.Column("quorum", sa.Integer, nullable=False),
    sa.Column("offered", sa.Boolean, nullable=False),
    sa.Column("opened_at", sa.Float, nullable=False),
    sa.Index("tasks_offered", "offered", "number"),
)
SLOTS = sa.Table(
    "slots",
    METADATA,
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
    sa.Index("slots_unsaid", "folded", "submitted"),
)
BORN = sa.Table(
    "slots_born",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("born", sa.Float, nullable=False),
)
GIVEN_BACK = {"vote": None, "submitted": False, "lease_until": 0.0, "folded": True}
KEY = ("task_id", "annotator")

# Statements with parameters, built once: building one costs more than running it.
NOW: sa.BindParameter[Any] = sa.bindparam("now")
MOST: sa.BindParameter[Any] = sa.bindparam("most")
OF_RUN: sa.BindParameter[Any] = sa.bindparam("of_run")
OF_VOTE: sa.BindParameter[Any] = sa.bindparam("of_vote")
OF_TASK, OF_ANNOTATOR = SLOTS.c.task_id == sa.bindparam("of_task"), SLOTS.c.annotator == sa.bindparam("of_annotator")
OF_TASKS = SLOTS.c.task_id.in_(sa.bindparam("of_tasks", expanding=True))
ITS_SLOTS = SLOTS.c.task_id == TASKS.c.task_id
TAKEN = sa.or_(SLOTS.c.submitted, SLOTS.c.lease_until > NOW)
# An empty run means any.
OFFERED = sa.and_(TASKS.c.offered, sa.or_(OF_RUN == "", TASKS.c.run_id == OF_RUN))
HELD = sa.select(SLOTS, TASKS.c.number, TASKS.c.pair_index).join(TASKS, ITS_SLOTS)
HELD_BY = HELD.where(OF_TASKS, OF_ANNOTATOR)
HELD_BY_ANY = HELD.where(OF_TASKS, SLOTS.c.annotator.in_(sa.bindparam("annotators", expanding=True)))
LIVE_OF_ANY = HELD.where(
    TASKS.c.offered,
    SLOTS.c.annotator.in_(sa.bindparam("annotators", expanding=True)),
    ~SLOTS.c.submitted,
    SLOTS.c.lease_until > NOW,
).order_by(TASKS.c.number)
LIVE = (
    HELD.where(OFFERED, OF_ANNOTATOR, ~SLOTS.c.submitted, SLOTS.c.lease_until > NOW)
    .order_by(TASKS.c.number)
    .limit(MOST)
)
USED = sa.select(sa.func.count()).where(ITS_SLOTS, TAKEN).scalar_subquery()
HAD = sa.exists().where(ITS_SLOTS, OF_ANNOTATOR, TAKEN)
# Whatever somebody has had.
FREE_FOR_ANY = (
    sa.select(TASKS)
    .where(OFFERED, TASKS.c.opened_at >= sa.bindparam("since"), TASKS.c.quorum > USED)
    .order_by(TASKS.c.number)
    .limit(MOST)
    # Without a wait: whoever leases at the same moment goes on to the next task. (SQLite has one writer, and no such words.)
    .with_for_update(skip_locked=True)
)
FREE = FREE_FOR_ANY.where(~HAD)
# What the annotator may still answer: offered tasks but those that it answered, and those that are full without it.
GAVE = sa.func.sum(sa.case((sa.and_(OF_ANNOTATOR, SLOTS.c.submitted), 1), else_=0))
HOLDS = sa.func.sum(sa.case((sa.and_(OF_ANNOTATOR, ~SLOTS.c.submitted), 1), else_=0))
CLOSED = (
    sa.select(TASKS.c.task_id)
    .join(SLOTS, ITS_SLOTS)
    .where(TASKS.c.run_id == OF_RUN, TASKS.c.offered, TAKEN)
    .group_by(TASKS.c.task_id, TASKS.c.quorum)
    .having(sa.or_(GAVE > 0, sa.and_(sa.func.count() >= TASKS.c.quorum, HOLDS == 0)))
    .subquery()
)
OFFERED_NOW = sa.select(sa.func.count()).where(TASKS.c.run_id == OF_RUN, TASKS.c.offered)
LEFT = sa.select(OFFERED_NOW.scalar_subquery() - sa.select(sa.func.count()).select_from(CLOSED).scalar_subquery())
# The rounds in which something is offered, with all their votes and those of offered tasks; and how many of these are taken.
OF_OFFERED = sa.case((TASKS.c.offered, TASKS.c.quorum), else_=0)
ROUNDS = (
    sa.select(TASKS.c.run_id, sa.func.sum(TASKS.c.quorum), sa.func.sum(OF_OFFERED), sa.func.max(TASKS.c.opened_at))
    .group_by(TASKS.c.run_id)
    .having(sa.func.sum(OF_OFFERED) > 0)
)
TAKEN_VOTES = (
    sa.select(TASKS.c.run_id, sa.func.count())
    .join(SLOTS, ITS_SLOTS)
    .where(TASKS.c.offered, SLOTS.c.vote.is_not(None), TAKEN)
    .group_by(TASKS.c.run_id)
)
# How far everybody is: who answered how much, and of the offered tasks who gave and who holds, full ones apart.
ANSWERED_BY = (
    sa.select(SLOTS.c.annotator, sa.func.count())
    .where(SLOTS.c.run_id == OF_RUN, SLOTS.c.submitted)
    .group_by(SLOTS.c.annotator)
)
FULL = (
    sa.select(TASKS.c.task_id, (sa.func.count() >= TASKS.c.quorum).label("full"))
    .join(SLOTS, ITS_SLOTS)
    .where(TASKS.c.run_id == OF_RUN, TASKS.c.offered, TAKEN)
    .group_by(TASKS.c.task_id, TASKS.c.quorum)
    .subquery()
)
FULL_ONES = sa.select(sa.func.count()).select_from(FULL).where(FULL.c.full)
GIVES = sa.func.sum(sa.case((sa.and_(SLOTS.c.submitted, ~FULL.c.full), 1), else_=0))
KEEPS = sa.func.sum(sa.case((sa.and_(~SLOTS.c.submitted, FULL.c.full), 1), else_=0))
STANDING = (
    sa.select(SLOTS.c.annotator, GIVES, KEEPS)
    .join(FULL, FULL.c.task_id == SLOTS.c.task_id)
    .where(TAKEN)
    .group_by(SLOTS.c.annotator)
)
# The same, of some tasks only.
OF_THESE = TASKS.c.task_id.in_(sa.bindparam("of_tasks", expanding=True))
LIVE_OF, FREE_OF = LIVE.where(OF_THESE), FREE.where(OF_THESE)
OPEN = sa.select(TASKS).where(OFFERED, TASKS.c.number > sa.bindparam("after")).order_by(TASKS.c.number).limit(MOST)
HOLDERS = sa.select(SLOTS.c.task_id, SLOTS.c.annotator, SLOTS.c.submitted).where(
    OF_TASKS, SLOTS.c.vote.is_not(None), TAKEN
)
# In one order, so that no two who lock several wait for each other.
LOCK = sa.select(TASKS.c.task_id).where(OF_THESE).order_by(TASKS.c.run_id, TASKS.c.number).with_for_update()
EXPIRE = sa.update(SLOTS).where(OF_TASK, ~SLOTS.c.submitted, SLOTS.c.lease_until <= NOW).values(vote=None)
VOTES = sa.select(
    SLOTS.c.task_id,
    SLOTS.c.vote,
    SLOTS.c.annotator,
    SLOTS.c.revision,
    SLOTS.c.submitted,
    SLOTS.c.lease_until,
    SLOTS.c.said,
).where(OF_TASKS)
SUBMIT = (
    sa.update(SLOTS)
    .where(OF_TASK, OF_ANNOTATOR, SLOTS.c.vote == OF_VOTE, SLOTS.c.revision < sa.bindparam("below"))
    .values({name: sa.bindparam(name) for name in ("revision", "submitted", "submitted_at", "folded", "said")})
    .execution_options(preserve_rowcount=True)
)
STORED = sa.select(SLOTS.c.task_id, SLOTS.c.annotator, SLOTS.c.vote, SLOTS.c.revision, SLOTS.c.said).where(
    OF_TASKS, SLOTS.c.submitted
)
OVERTAKEN = (OF_TASK, OF_ANNOTATOR, SLOTS.c.submitted, SLOTS.c.revision <= sa.bindparam("up_to"))
GIVE_BACK = sa.update(SLOTS).where(*OVERTAKEN).values(GIVEN_BACK)
OF_THE_RUN = sa.or_(OF_RUN == "", SLOTS.c.run_id == OF_RUN)
RETURN = sa.update(SLOTS).where(OF_TASKS, OF_ANNOTATOR, OF_THE_RUN, ~SLOTS.c.submitted).values(GIVEN_BACK)
IS_LIVE = (OF_TASKS, OF_ANNOTATOR, OF_THE_RUN, ~SLOTS.c.submitted, SLOTS.c.vote.is_not(None), SLOTS.c.lease_until > NOW)
EXTEND = sa.update(SLOTS).where(*IS_LIVE).values(lease_until=sa.bindparam("until"))
STILL_LIVE = sa.select(SLOTS.c.task_id).where(*IS_LIVE)
SETTLED_LIVE = HELD.where(
    TASKS.c.run_id == OF_RUN,
    OF_ANNOTATOR,
    ~SLOTS.c.submitted,
    SLOTS.c.vote >= GOLD_VOTE,
    SLOTS.c.lease_until > NOW,
)
ANSWERED = sa.select(sa.func.count()).where(SLOTS.c.run_id == OF_RUN, OF_ANNOTATOR, SLOTS.c.submitted)
FREE_VOTE = sa.update(SLOTS).where(OF_TASK, SLOTS.c.vote == OF_VOTE, ~OF_ANNOTATOR).values(GIVEN_BACK)
KNOWN = sa.select(SLOTS.c.task_id, SLOTS.c.annotator, SLOTS.c.revision, SLOTS.c.submitted).where(OF_TASKS)
FOLDED = (
    sa.update(SLOTS).where(OF_TASK, OF_ANNOTATOR, SLOTS.c.revision == sa.bindparam("of_revision")).values(folded=True)
)
UNSAID = (
    sa.select(SLOTS.c.run_id, SLOTS.c.said)
    .join(TASKS, ITS_SLOTS)
    .where(SLOTS.c.submitted, ~SLOTS.c.folded, SLOTS.c.submitted_at < sa.bindparam("before"))
)
WITHDRAW = sa.update(TASKS).where(TASKS.c.task_id == sa.bindparam("of_task")).values(offered=False)
# How many persons a task is for changes with what they say.
WIDEN = (
    sa.update(TASKS)
    .where(TASKS.c.task_id == sa.bindparam("of_task"), TASKS.c.quorum != sa.bindparam("persons"))
    .values(quorum=sa.bindparam("persons"))
)
ALL_FOLDED = sa.update(SLOTS).where(OF_TASK).values(folded=True)
