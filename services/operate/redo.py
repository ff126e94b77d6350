"""Looking at a run again: what was remembered beside its results, its unit done anew, its store compared."""

import asyncio
import json
import os
from collections.abc import Mapping
from pathlib import Path

from google.protobuf.json_format import MessageToDict

from concord.client.results.records import Records
from concord.client.run.keys import allowing
from concord.client.run.people import Reused, reused_answers
from concord.client.run.progress import clean
from concord.client.run.session import Job, writable
from concord.kit.blobs import Blobs
from concord.kit.enums import word
from concord.kit.errors import InvalidInput
from concord.kit.ids import unit_name
from concord.kit.log import Log
from concord.kit.loop.events import events_of
from concord.kit.loop.fold import restore_run
from concord.kit.loop.run_records import records
from concord.kit.settings import Settings, allowed_keys, open_blobs
from concord.kit.store import Store
from concord.labeling.service import Labeling
from concord.operate import run_log
from concord.preference.methods import ASK_NOBODY
from concord.runs import service as runs
from concord.runs import work
from concord.scoring.units import Units
from concord.training.service import Training
from concord.triage.service import Triage
from concord.v1.events_pb2 import Event, Stage, Unit
from concord.v1.pairs_pb2 import Choice
from concord.v1.runs_service_pb2 import RunStatus, RunView
from concord.v1.work_pb2 import Work

TRUTH = "truth.json"


def folder(settings: Settings, run_id: str) -> Path:
    """Where a run's results lie unless `--out` names another place."""
    return Path(settings.home) / "runs" / run_id[:8]


def remember(out: Path, job: Job) -> None:
    """Keeps what people say where the caller keeps the results: a report can be made again, the services never see it."""
    truth = {index: Choice.Name(choice) for index, choice in job.truth.items()}
    with writable(out):
        (out / TRUTH).write_text(json.dumps({"run_id": job.run_id, "truth": truth}))


def remembered_truth(out: Path, run_id: str) -> Mapping[int, "Choice.ValueType"]:
    """What `remember` kept of this run; empty where nothing is."""
    try:
        kept = json.loads((out / TRUTH).read_text())
    except (OSError, ValueError):
        return {}
    return {int(i): Choice.Value(name) for i, name in kept["truth"].items()} if kept.get("run_id") == run_id else {}


def answers_of(place: Records, name: str) -> Reused:
    """What people answered in an earlier run, by the pair's hash."""
    events = events_of(place.of(place.find(name)))
    return reused_answers([event for event, _ in events], place.blob)


def store_differences(log: Log, store: Store, run_id: str, until: str = "") -> list[str]:
    """Where the live store's state differs from the log's up to where the store is, or to `--until`; none: they agree."""
    fold = runs.fold()
    stored = restore_run(fold, run_id, store.rows(runs.SERVICE, run_id))
    kept = records(log, run_id, None if until else stored.offset + 1)
    folded = run_log.fold_of(run_id, run_log.cut(kept, until))
    one, other = run_log.as_json(folded), run_log.as_json(stored)
    for counted_only_when_read in ("duplicates", "unknown"):
        one.pop(counted_only_when_read), other.pop(counted_only_when_read)
    return list(run_log.differences(one, other))


def behind(log: Log, store: Store, run_id: str) -> int:
    """So many of the run's facts stand in the log that the store does not hold yet."""
    offset = restore_run(runs.fold(), run_id, store.rows(runs.SERVICE, run_id)).offset
    return sum(record.offset > offset for record in records(log, run_id))


def unit_differences(settings: Settings, log: Log, run_id: str, unit: Unit) -> list[str]:
    """Does the unit again from its record, with the answers that were kept, and compares with its fact."""
    if unit.stage in (Stage.STAGE_PILOT_ANNOTATE, Stage.STAGE_ANNOTATE):
        raise InvalidInput(
            f"unit {unit_name(unit)} was done by people, and people cannot be asked again by a program; `--events` shows what "
            "they said"
        )
    item, said = run_log.work_of(log, run_id, unit)
    done = do(settings, open_blobs(settings), item)
    return list(run_log.differences(_plain(said), _plain(done), names=("its fact", "done again")))


def _plain(event: Event) -> Mapping[str, object]:
    """The fact without its names and what it cost."""
    kept = Event()
    kept.CopyFrom(event)
    for field in ("event_id", "run_id", "unit", "usage"):
        kept.ClearField(field)
    return MessageToDict(kept, preserving_proto_field_name=True)


def do(settings: Settings, blobs: Blobs, item: Work) -> Event:
    """The unit's fact, made here and now by the service whose unit it is."""
    topic = work.TOPIC_OF[item.unit.stage]
    if topic is work.topics.LABEL:
        return asyncio.run(_label(settings, blobs, item))
    if topic is work.topics.SCORE:
        return Units(blobs).do(item)
    return Triage(blobs).do(item) if topic is work.topics.TRIAGE else Training(blobs).do(item)


async def _label(settings: Settings, blobs: Blobs, item: Work) -> Event:
    labeling = Labeling(
        blobs, settings.state_url, settings.judge_concurrency, allowed_keys(allowing(settings, item.config), os.environ)
    )
    try:
        return await labeling.do(item)
    finally:
        await labeling.close()


def run_line(view: RunView) -> str:
    """One line of `concord runs`."""
    status, config = word(RunStatus, view.status), view.config
    judge = " ".join(part for part in (config.judge.kind, config.judge.name) if part)
    budget = f"{view.human_budget:,} votes" if view.human_budget else f"{config.human_budget_share:.3g} of the pairs"
    asked = "nobody asked" if config.method in ASK_NOBODY else f"budget {budget}"
    linked = f" · goes on from {config.parent.run_id[:8]}" if config.parent.run_id else ""
    what = f"{view.input_name} · {view.pairs:,} pairs · {config.method} · judge {judge} · {asked} · seed {config.seed}{linked}"
    return clean(f"{view.run_id}  {status:9}  {what}  {view.detail}".rstrip())
