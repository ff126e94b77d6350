"""A run that asks people and the pages in front of it, over real HTTP on the loopback."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx2

from concord.client.run import drive
from concord.console import credentials, entrance
from concord.console.asked import Console
from concord.console.serving import serving
from concord.embedded import embedded
from concord.kit import rpc
from concord.kit.settings import from_environment
from concord.v1 import runs_service_pb2 as runs_pb
from concord.v1.runs_service_pb2_grpc import RunServiceStub
from concord.v1.tasks_service_pb2_grpc import TaskServiceStub
from tests.test_asking import facts_of, job_of
from tests.waiting import until


@dataclass
class Browser:
    """Somebody with a cookie, and with what a page gave for its forms."""

    client: httpx2.Client
    path: str
    form: str

    def get(self, path: str = "", **more: object) -> httpx2.Response:
        return self.client.get(self.path + path, **more)

    def post(self, path: str, said: object, **headers: str) -> httpx2.Response:
        return self.client.post(self.path + path, json=said, headers={"x-concord-form": self.form, **headers})

    def send(self, path: str, **fields: str) -> httpx2.Response:
        """As a form of the page does."""
        return self.client.post(self.path + path, data={"form": self.form, **fields})

    def tasks(self) -> list[dict]:
        return self.get("/tasks").json()["tasks"]

    def answer(self, task: dict, choice: str = "left", **more: object) -> dict:
        said = {"task_id": task["id"], "revision": task["revision"], "choice": choice, "view": "whole", "seconds": 2.5}
        answered = self.post("/answers", {"answers": [said | more]})
        assert answered.status_code == 200, answered.text
        return answered.json()["taken"][0]


@dataclass
class World:
    """The pages, and the services behind them."""

    console: Console
    runs: RunServiceStub
    tasks: TaskServiceStub
    job: object
    home: Path
    # Somebody without a cookie; one connection for all that is asked so.
    anybody: httpx2.Client

    def link(self, role: str, name: str, run_id: str | None = None, **more: object) -> str:
        return entrance.link(self.console, role, name, self.job.run_id if run_id is None else run_id, **more)

    def alias(self, name: str) -> str:
        """What the log calls this person."""
        return credentials.alias(name, self.console.gate.secret)

    def browser(self) -> httpx2.Client:
        return httpx2.Client(base_url=self.console.url, headers={"accept": "text/html"}, timeout=60)

    def enter(self, role: str, name: str, run_id: str | None = None) -> Browser:
        client = self.browser()
        came = client.get(self.link(role, name, run_id))
        assert came.status_code == 303, came.text
        path = came.headers["location"]
        page = client.get(path)
        form = re.search(r'name="form" content="([^"]+)"', page.text)
        return Browser(client, path, form[1] if form else "")

    def annotator(self, name: str) -> Browser:
        """Somebody who is asked something already."""
        came = self.enter("annotator", name)
        until(came.tasks, f"a question for {name}")
        return came

    def facts(self, kind: str) -> list:
        facts = facts_of(self.home, self.job.run_id)
        return [getattr(event, kind) for event in facts if event.HasField(kind)]

    def view(self) -> runs_pb.RunView:
        return self.runs.GetRun(runs_pb.GetRunRequest(run_id=self.job.run_id)).run


@contextmanager
def world_in(
    folder: Path,
    settings: dict[str, object] | None = None,
    hold_s: float = 10.0,
    needs: Callable[[int], list[str]] = lambda number: [],
    **flags: object,
) -> Iterator[World]:
    """All services in this process, a run of the sample that people answer, and the pages on a free port.

    `needs`: what the pair of this index asks of its annotator.
    """
    job = job_of(folder, annotators="web", checks=False, **flags)
    for number, row in enumerate(job.given.rows):
        row.pair.needs.extend(needs(number))
    home = folder / "home"
    given = from_environment({}, home=str(home), console_listen="127.0.0.1:0", **(settings or {}))
    with (
        embedded(replace(given, processes=0)) as running,
        rpc.channel(running.address) as channel,
        # All browsers of the tests have one address, and are quick.
        serving(given, running.address, hold_s, address_pace=(1e9, 1e9)) as console,
    ):
        runs = RunServiceStub(channel)
        drive.begin(runs, job.run_id, job.config, [row.pair for row in job.given.rows], job.given.sha256, "pairs.jsonl")
        with httpx2.Client(base_url=console.url, timeout=60) as anybody:
            yield World(console, runs, TaskServiceStub(channel), job, home, anybody)
