"""The annotator's page while what stands behind it is killed: the services with their log, the pages, a Kafka broker.
No answer is lost."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import pytest

from concord.client.results.records import There
from concord.client.run import drive
from concord.console import entrance
from concord.console.secret import secret_of
from concord.kit import rpc
from concord.kit.settings import from_environment
from concord.v1 import runs_service_pb2 as runs_pb
from concord.v1.events_pb2 import Event
from concord.v1.runs_service_pb2_grpc import RunServiceStub
from deploy.local.broker import Broker, start_broker
from tests.chrome import PROGRAM, browser
from tests.stoppable import SERVICES, Stoppable, stoppable
from tests.test_asking import job_of
from tests.test_console_browser import KEPT, OVER, READY

pytestmark = [pytest.mark.slow, pytest.mark.skipif(PROGRAM is None, reason="no Chromium: apt-get install chromium")]
ANSWERS = 12


@dataclass
class Behind:
    """What stands behind the page, and the run that asks."""

    services: Stoppable
    console: Stoppable
    run_id: str
    link: str

    def events(self) -> tuple[runs_pb.RunView, list[Event]]:
        with rpc.channel(self.services.address) as channel:
            records = There(RunServiceStub(channel), self.services.address)
            return records.view(self.run_id), [event for event, _ in records.events(self.run_id)]


@contextmanager
def behind(folder: Path, **settings: str) -> Iterator[Behind]:
    own = {"CONCORD_HOME": str(folder / "home"), **settings}
    job = job_of(folder, annotators="web", checks=False, budget=str(ANSWERS), pilot=4)
    with (
        stoppable(["-c", SERVICES], "CONCORD_LISTEN", **own) as services,
        stoppable(
            ["-m", "concord.console"], "CONCORD_CONSOLE_LISTEN", CONCORD_CONSOLE_DOOR=services.address, **own
        ) as console,
        rpc.channel(services.address) as channel,
    ):
        rows = [row.pair for row in job.given.rows]
        drive.begin(RunServiceStub(channel), job.run_id, job.config, rows, job.given.sha256, "pairs.jsonl")
        secret = secret_of(from_environment({}, home=str(folder / "home")))
        link = entrance.link_of(f"http://{console.address}", secret, "annotator", "ann", job.run_id, time.time())
        yield Behind(services, console, job.run_id, link)


# What can be killed and started again.
Killed: TypeAlias = Stoppable | Broker


async def answered(place: Behind, killed: dict[int, Killed]) -> int:
    """Answers to the end, by keys; each is killed once, after so many answers, with an answer given while it is away."""
    async with browser() as chrome:
        tab = await chrome.tab()
        await tab.open(place.link)
        given = 0
        while True:
            await tab.until(READY)
            if await tab.value(OVER):
                assert await tab.value(KEPT) == 0
                return given
            if one := killed.pop(given, None):
                await asyncio.to_thread(one.kill)
            await tab.press("12"[given % 2])
            given += 1
            if one:
                # The answer stays in the browser until somebody takes it.
                await tab.until("!document.getElementById('offline').hidden")
                assert await tab.value(KEPT) > 0
                if isinstance(one, Broker):
                    # It dies with the thread that starts it.
                    one.restart()
                else:
                    await asyncio.to_thread(one.start)


def no_answer_is_lost_and_none_counts_twice(place: Behind, killed: dict[int, Killed]) -> None:
    given = asyncio.run(asyncio.wait_for(answered(place, killed), 240))
    view, events = place.events()
    said = [event.annotation_submitted for event in events if event.HasField("annotation_submitted")]
    resolved = [event.task_resolved for event in events if event.HasField("task_resolved")]
    assert view.status == runs_pb.RUN_STATUS_FINISHED
    assert given == len(said) == len({one.pair_index for one in said}) == view.votes == ANSWERS
    assert sum(len(one.annotation_ids) for one in resolved) == ANSWERS


def test_whatever_is_killed_behind_an_open_page_no_answer_is_lost_and_none_counts_twice(tmp_path):
    with behind(tmp_path) as place:
        no_answer_is_lost_and_none_counts_twice(place, {2: place.services, 5: place.console})


def test_a_broker_that_is_killed_under_an_open_page_loses_no_answer_and_doubles_none(tmp_path, kafka_jars):
    broker = start_broker(tmp_path / "kafka")
    try:
        with behind(tmp_path, CONCORD_LOG_URL=f"kafka://{broker.bootstrap}?prefix=page.") as place:
            no_answer_is_lost_and_none_counts_twice(place, {3: broker})
    finally:
        broker.stop()
