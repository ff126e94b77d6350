"""The database's machine loses its power: what was answered is not asked again, though the store has forgotten who held it."""

import shutil
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from concord.kit.errors import Refused, Unavailable
from concord.kit.ids import event_id, run_id
from concord.kit.log import Entry
from concord.kit.log.topics import FACTS, fact_partition
from concord.kit.loop.reactor import Reactor
from concord.kit.settings import from_environment, open_blobs, open_log, open_store
from concord.preference import shards
from concord.tasks import service
from concord.tasks.slots import SqlSlots
from concord.v1.config_pb2 import RunConfig
from concord.v1.events_pb2 import Event, Stage
from concord.v1.pairs_pb2 import Choice, Pair, Response
from concord.v1.tasks_service_pb2 import NextTaskRequest, SubmitAnnotationRequest

RUN = run_id("power cut", b"")
PAIRS = [Pair(pair_id=f"row-{n}", first=Response(text=f"a{n}"), second=Response(text=f"b{n}")) for n in range(2)]


def asking(blobs) -> list[Entry]:
    """The facts of a run that asks one person about each of two pairs."""
    ref = shards.put_shard(0, PAIRS, blobs.put)
    uri = shards.put_manifest([ref], len(PAIRS), blobs.put)
    kinds = [
        {"run_created": {"config": RunConfig(quorum=1, method="random")}},
        {"run_started": {"pairs_uri": uri, "pairs": len(PAIRS), "human_budget": 2}},
        {"stage_opened": {"stage": Stage.STAGE_ANNOTATE, "round": 1, "pair_indexes": [0, 1], "units": 2}},
    ]
    events = [Event(event_id=event_id(RUN, at), run_id=RUN, **kind) for at, kind in enumerate(kinds)]
    return [Entry(FACTS, fact_partition(RUN), RUN.encode(), event.SerializeToString()) for event in events]


@contextmanager
def powered(home: Path, state: str, now: float = 100.0):
    """(desk, fold) of a process that starts on what the disk has: `fold()` takes in what the log has."""
    settings = from_environment({}, home=str(home), state_url=f"sqlite:///{home / state}")
    with closing(open_store(settings)) as store, closing(open_log(settings)) as log:
        blobs, slots = open_blobs(settings), SqlSlots(store, clock=lambda: 0.0)
        reactor = Reactor("tasks", service.fold(), log, store, blobs, lambda: 100.0, slots.project)
        desk = service.Tasks(log, store, blobs, slots, lambda: now, 60.0)
        if not log.end(FACTS, fact_partition(RUN)):
            log.append(asking(blobs))

        def fold() -> None:
            while not reactor.ready():
                reactor.step(0.05)

        yield desk, fold
        reactor.close()


def test_a_question_that_was_answered_before_a_power_cut_goes_to_nobody_else_before_the_log_is_folded_again(tmp_path):
    with powered(tmp_path, "state.db") as (desk, fold):
        fold()
    # All that the disk will have of the store.
    shutil.copy(tmp_path / "state.db", tmp_path / "after.db")
    with powered(tmp_path, "state.db") as (desk, fold):
        fold()
        task = desk.NextTask(NextTaskRequest(annotator="ann"), None).task
        said = SubmitAnnotationRequest(task_id=task.task_id, annotator="ann", choice=Choice.CHOICE_FIRST)
        assert desk.SubmitAnnotation(said, None).revision == 1
    with powered(tmp_path, "after.db") as (desk, fold):
        early = desk.NextTask(NextTaskRequest(annotator="bob"), None)
        assert (early.HasField("task"), early.more_expected) == (False, True)
        fold()
        given = desk.NextTask(NextTaskRequest(annotator="bob"), None).task
        assert given.task_id not in ("", task.task_id)
        assert not desk.NextTask(NextTaskRequest(annotator="eve"), None).HasField("task")


def test_a_lease_that_a_power_cut_brings_back_takes_no_answer_beside_the_one_that_the_log_has(tmp_path):
    """Hers had run out, and the question had gone to bob, who answered it; the store knows of neither any more."""
    with powered(tmp_path, "state.db") as (desk, fold):
        fold()
        task = desk.NextTask(NextTaskRequest(annotator="ann"), None).task
    shutil.copy(tmp_path / "state.db", tmp_path / "after.db")
    with powered(tmp_path, "state.db", now=300.0) as (desk, fold):
        fold()
        assert desk.NextTask(NextTaskRequest(annotator="bob"), None).task.task_id == task.task_id
        said = SubmitAnnotationRequest(task_id=task.task_id, annotator="bob", choice=Choice.CHOICE_FIRST)
        assert desk.SubmitAnnotation(said, None).revision == 1
    with powered(tmp_path, "after.db", now=300.0) as (desk, fold):
        late = SubmitAnnotationRequest(task_id=task.task_id, annotator="ann", choice=Choice.CHOICE_SECOND)
        with pytest.raises(Unavailable, match="say it again"):
            desk.SubmitAnnotation(late, None)
        fold()
        with pytest.raises(Refused):
            desk.SubmitAnnotation(late, None)
