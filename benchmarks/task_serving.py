"""How fast and how exactly people are served: Concord's pages and its gRPC desk, and Label Studio beside them where it is.

    python -m benchmarks.task_serving [--quick] [--json [FILE]] [--parts NAME,…] [--state URL] [--label-studio PROGRAM]
        [--repeats N] [--tasks N]

Four parts, all of them unless --parts names some. `closed`: 20 annotators who do not think take a task and answer it, again
and again, over the pages' own HTTP and over gRPC. `paced`: over HTTP 20 who think for 10 seconds, and 50 who think for 2 (they come
one by one).
`hard`: 200 annotators and 20,000 tasks, two votes on each and a third where they disagree, two replicas of the desk and of the
pages, and everything that people and networks do: skips, clicks that come twice, requests that are sent again later, and people
who walk away with a task; then the log is audited: no task over its votes, nobody twice on one, no acknowledged answer lost.
`page`: the seconds from the command to a page with a question.
--quick: 8 annotators for 3 seconds, and 12 with 60 tasks.

The desk's second replica is a front door alone: it serves every call, and the first one's reactor folds for both. --state names
the store (default SQLite in the home; postgresql://…: others are made beside that database). --label-studio starts that program
(its own SQLite, or PostgreSQL as its environment says) and runs `peers/peer_labelstudio.py` of the folder beside the data pack,
the same loops with the same client. Client and servers share the machine. People are simulated: answers are drawn.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from random import Random
from statistics import median
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from benchmarks.measure import asked_of, circumstances, parser_of, write

ROOT = Path(__file__).resolve().parent.parent
SEED = 7
# Of the hard part, each a share of the tasks that somebody is given.
SKIPS, DOUBLE, REPLAYED, WALKS_AWAY, DISAGREE = 0.03, 0.05, 0.05, 0.01, 0.2
LEASE_S = 10.0
# Beyond a lease: rounds end and begin meanwhile.
GIVES_UP_S = 60.0
PARTS = ("closed", "paced", "hard", "page")
WANTED = {
    "http_submits_ratio": 20.0,
    "grpc_submits_ratio": 40.0,
    "next_p99_ratio": 0.05,
    "paced_p50_ratio": 0.1,
    "next_p99_ms_of_50": 100.0,
    "page_up_s": 9.0,
}
# Label Studio on PostgreSQL, 20 in a closed loop and paced, as measured before on two cores: stands in where it is not run beside.
PEER_BEFORE = {"submits_s": 8.9, "next_p99_ms": 1_500.0, "paced_p50_ms": 157.0}
THINK_S = 10.0
START_S = 120.0
# Its first start makes its tables: half a minute on a quiet machine.
PEER_START_S = 900.0


@dataclass(frozen=True)
class Part:
    """What one part asks for."""

    annotators: int
    tasks: int
    # Wall seconds at most; a closed loop ends then, the hard part when nothing is left.
    seconds: float
    quorum: int = 1
    most_votes: int = 0
    hard: bool = False
    # Seconds between a task and its answer, on average: half to one and a half of it, drawn.
    think_s: float = 0.0
    lease_s: float = LEASE_S


@dataclass
class Seen:
    """What the clients saw."""

    next_s: list[float] = field(default_factory=list)
    submit_s: list[float] = field(default_factory=list)
    # (task, annotator) of each answer or skip that was acknowledged → when.
    taken: dict[tuple[str, str], float] = field(default_factory=dict)
    refused: Counter = field(default_factory=Counter)
    errors: Counter = field(default_factory=Counter)
    # Task → annotator → when it was first offered to this one, be it as the next but one; and who walked away with what, when.
    offered: defaultdict[str, dict[str, float]] = field(default_factory=lambda: defaultdict(dict))
    left: list[tuple[str, str, float]] = field(default_factory=list)
    # People who gave up: nothing came, and nobody said that it was over.
    gave_up: int = 0
    wall_s: float = 0.0

    def figures(self) -> dict[str, Any]:
        """Latencies in milliseconds, fewer is better; submits a second, more is better."""
        return {
            "submits": len(self.submit_s),
            "submits_s": len(self.submit_s) / self.wall_s if self.wall_s else 0.0,
            "next_ms": percentiles(self.next_s),
            "submit_ms": percentiles(self.submit_s),
            "refused": dict(self.refused),
            "errors": dict(self.errors),
            "walked_away": len(self.left),
            "gave_up": self.gave_up,
            "wall_s": self.wall_s,
        }


def percentiles(seconds: list[float]) -> dict[str, float]:
    """The 50th, 95th and 99th in milliseconds; empty where there is none."""
    held = sorted(seconds)
    return {f"p{q}": 1_000 * held[min(len(held) - 1, len(held) * q // 100)] for q in (50, 95, 99)} if held else {}


# ── the servers ────────────────────────────────────────────────────────────────────────────────────────────────────


def settings_of(home: Path, state: str, lease_s: float = LEASE_S):
    """The settings that all processes of one place share."""
    from concord.kit.settings import from_environment

    given = from_environment({}, home=str(home), console_listen="127.0.0.1:0")
    return replace(given, lease_s=lease_s, processes=0, **({"state_url": state} if state else {}))


def serve(kind: str, home: Path, state: str, door: str, lease_s: float) -> None:
    """One process of the place: says its address on a line and stays until its standard input ends."""
    from concord.kit.telemetry import log_json

    settings = settings_of(home, state, lease_s)
    log_json("error", (home / f"{kind}.log").open("a"))
    # Each loads what it needs and no more, so that all are up soon.
    with ExitStack() as opened:
        if kind == "services":
            from concord.embedded import embedded

            address = opened.enter_context(embedded(settings)).address
        elif kind == "door":
            from concord.commands.door import door_alone

            address = opened.enter_context(door_alone(settings))
        else:
            from concord.console.serving import serving

            address = opened.enter_context(serving(settings, door)).url
        print(address, flush=True)
        sys.stdin.read()


@contextmanager
def process(kind: str, home: Path, state: str, lease_s: float, door: str = "") -> Iterator[str]:
    """The address of such a process, for as long as the block lasts."""
    words = [sys.executable, "-m", "benchmarks.task_serving", "--serve", kind, str(home), state, door, str(lease_s)]
    running = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        address = running.stdout.readline().strip() if running.stdout else ""
        if not address:
            raise SystemExit(f"{kind} did not start; see {home / f'{kind}.log'}")
        yield address
    finally:
        running.communicate("", timeout=START_S)


@dataclass(frozen=True)
class Place:
    """Doors and consoles, and a run that asks people about everything."""

    run_id: str
    doors: list[str]
    consoles: list[str]
    secret: bytes


@contextmanager
def place_of(part: Part, state: str, replicas: int) -> Iterator[Place]:
    """Services, a run of `part.tasks` tasks, and so many doors and consoles in front of them."""
    from concord.console.secret import secret_of

    with tempfile.TemporaryDirectory() as folder, ExitStack() as opened:
        home = Path(folder)
        doors = [opened.enter_context(process("services", home, state, part.lease_s))]
        run_id = begin(doors[0], part)
        doors += [opened.enter_context(process("door", home, state, part.lease_s)) for _ in range(replicas - 1)]
        consoles = [opened.enter_context(process("console", home, state, part.lease_s, door)) for door in doors]
        yield Place(run_id, doors, consoles, secret_of(settings_of(home, state)))


def begin(door: str, part: Part) -> str:
    """Begins the run and waits until it asks; its id."""
    from benchmarks.corpus import JUDGE, virtual
    from concord.client.intake import intake
    from concord.client.run import drive
    from concord.client.run.options import Options, run_config, semantic
    from concord.kit import rpc
    from concord.kit.ids import run_id
    from concord.v1.runs_service_pb2_grpc import RunServiceStub
    from concord.v1.tasks_service_pb2 import GetQueueRequest
    from concord.v1.tasks_service_pb2_grpc import TaskServiceStub

    given, judges = intake.judged_by(virtual(part.tasks, SEED), JUDGE)
    options = Options(judge=f"recorded:{JUDGE}", seed=SEED, method="all-human", annotators="web", checks=False)
    options = replace(options, quorum=part.quorum, most_votes=part.most_votes, pilot=0)
    config = run_config(options, judges)
    name = run_id(given.sha256, semantic(config))
    with rpc.channel(door) as channel:
        drive.begin(RunServiceStub(channel), name, config, [row.pair for row in given.rows], given.sha256, "benchmark")
        tasks, until = TaskServiceStub(channel), time.monotonic() + START_S
        while not tasks.GetQueue(GetQueueRequest(run_id=name)).open:
            if time.monotonic() > until:
                raise SystemExit("the run asks nobody")
            time.sleep(0.1)
    return name


# ── the people ─────────────────────────────────────────────────────────────────────────────────────────────────────


class Http:
    """One annotator at the page: what its script asks for, and what it sends."""

    def __init__(self, client: Any, place: Place, name: str, console: str) -> None:
        from concord.console import credentials, gate

        now = time.time()
        held = credentials.Pass("annotator", name, place.run_id, now, now + 86_400.0)
        token = credentials.sign(held, place.secret)
        self.name, self._client, self.over = credentials.alias(name, place.secret), client, False
        self._url = f"{console}/annotate/{place.run_id}"
        self._headers = {
            "cookie": f"{gate.COOKIE['annotate']}={token}",
            "x-concord-form": credentials.form_token(token, place.secret),
        }

    async def next(self) -> list[tuple[str, int]]:
        said = await self._asked("GET", "/tasks")
        self.over = bool(said.get("over"))
        return [(task["id"], task["revision"]) for task in said["tasks"]]

    async def submit(self, task: str, revision: int, choice: str) -> str:
        words = {"choice": choice} if choice != "skip" else {"choice": "skip", "why": ""}
        answer = {"task_id": task, "revision": revision, "view": "whole", "seconds": 1.0, **words}
        return str((await self._asked("POST", "/answers", {"answers": [answer]}))["taken"][0]["refused"])

    async def _asked(self, method: str, path: str, said: object = None) -> dict:
        while True:
            async with self._client.request(method, self._url + path, json=said, headers=self._headers) as answer:
                if answer.status != 429:
                    answer.raise_for_status()
                    return await answer.json()
            # The pages let nobody ask more than twenty times a second.
            await asyncio.sleep(0.05)


class Grpc:
    """One annotator at the desk itself."""

    def __init__(self, channel: Any, place: Place, name: str) -> None:
        from concord.v1.tasks_service_pb2_grpc import TaskServiceStub

        self.name, self._tasks, self._run_id, self.over = name, TaskServiceStub(channel), place.run_id, False

    async def next(self) -> list[tuple[str, int]]:
        from concord.v1.tasks_service_pb2 import NextTasksRequest

        wanted = NextTasksRequest(annotator=self.name, run_id=self._run_id, most=1)
        return [(task.task_id, task.revision) for task in (await self._tasks.NextTasks(wanted)).tasks]

    async def submit(self, task: str, revision: int, choice: str) -> str:
        from concord.v1.pairs_pb2 import CHOICE_FIRST, CHOICE_SECOND, CHOICE_UNSPECIFIED
        from concord.v1.tasks_service_pb2 import GivenAnswer, SubmitAnnotationsRequest

        meant = {"left": CHOICE_FIRST, "right": CHOICE_SECOND}.get(choice, CHOICE_UNSPECIFIED)
        said = GivenAnswer(
            task_id=task, revision=revision, choice=meant, seconds=1.0, comment="" if meant else "unclear"
        )
        wanted = SubmitAnnotationsRequest(annotator=self.name, run_id=self._run_id, answers=[said])
        return str((await self._tasks.SubmitAnnotations(wanted)).answers[0].refused)


async def annotate(who: Any, part: Part, seen: Seen, until: float, rng: Random) -> None:
    """One person until the time or the run is over, or nothing has come for so long that nothing will."""
    idle_since: float | None = None
    before: tuple[str, int, str] | None = None
    # Whoever thinks does not come in the same moment as all others.
    await asyncio.sleep(part.think_s * rng.uniform(0, 1))
    while time.perf_counter() < until:
        began = time.perf_counter()
        tasks = await who.next()
        if not tasks:
            idle_since = began if idle_since is None else idle_since
            if who.over or not part.hard:
                return
            if began - idle_since > part.lease_s + GIVES_UP_S:
                seen.gave_up += 1
                return
            await asyncio.sleep(0.5)
            continue
        idle_since, task = None, tasks[0]
        seen.next_s.append(time.perf_counter() - began)
        for name, _ in tasks:
            seen.offered[name].setdefault(who.name, time.perf_counter())
        if part.hard and rng.random() < WALKS_AWAY:
            # With all that this one holds.
            seen.left += [(name, who.name, time.perf_counter()) for name, _ in tasks]
            # Away for longer than the lease lasts, so that somebody else gets it.
            await asyncio.sleep(part.lease_s + 1)
            continue
        if part.think_s:
            await asyncio.sleep(part.think_s * rng.uniform(0.5, 1.5))
        # The task decides, and somebody disagrees now and then: so some are asked a third time.
        side = "left" if rng.random() < (1 - DISAGREE / 2 if part.hard else 1) else "right"
        choice = "skip" if part.hard and rng.random() < SKIPS else side
        await give(who, (*task, choice), seen, twice=part.hard and rng.random() < DOUBLE)
        if part.hard and before and rng.random() < REPLAYED:
            await who.submit(*before)
        before = (*task, choice)


async def give(who: Any, said: tuple[str, int, str], seen: Seen, twice: bool) -> None:
    """Hands an answer in, or the same one twice at once."""
    began = time.perf_counter()
    answers = await asyncio.gather(*(who.submit(*said) for _ in range(1 + twice)))
    seen.submit_s.append(time.perf_counter() - began)
    if answers[0]:
        seen.refused[answers[0][:60]] += 1
    else:
        seen.taken[said[0], who.name] = time.perf_counter()


async def loaded(place: Place, part: Part, door: str) -> Seen:
    """All annotators at once through the pages (`http`) or at the desk (`grpc`), spread over the replicas."""
    import aiohttp
    import grpc

    seen, began = Seen(), time.perf_counter()
    # The client that Label Studio's loop has too.
    connector, timeout = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(60)
    async with aiohttp.ClientSession(
        connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()
    ) as client:
        channels = [grpc.aio.insecure_channel(address) for address in place.doors]
        people = [
            Http(client, place, f"person {number}", place.consoles[number % len(place.consoles)])
            if door == "http"
            else Grpc(channels[number % len(channels)], place, f"person-{number}")
            for number in range(part.annotators)
        ]
        until = began + part.seconds
        alone = [annotate(one, part, seen, until, Random(f"{SEED}/{number}")) for number, one in enumerate(people)]
        for ended in await asyncio.gather(*alone, return_exceptions=True):
            if isinstance(ended, BaseException):
                seen.errors[f"{type(ended).__name__}: {ended}"[:100]] += 1
        for channel in channels:
            await channel.close()
    seen.wall_s = time.perf_counter() - began
    return seen


# ── the audit ──────────────────────────────────────────────────────────────────────────────────────────────────────


def audit(place: Place, part: Part, seen: Seen) -> dict[str, int | float]:
    """What the log says of it; every count but `settled` should be 0."""
    from concord.client.results.records import there
    from concord.kit.ids import task_id

    given: defaultdict[str, list[str]] = defaultdict(list)
    settled: dict[str, int] = {}
    with there(place.doors[0]) as records:
        for event, _ in records.events(place.run_id):
            kind = event.WhichOneof("kind")
            if kind in ("annotation_submitted", "task_skipped"):
                given[task_id(place.run_id, event.unit)].append(getattr(event, kind).annotator)
            elif kind == "task_resolved":
                settled[task_id(place.run_id, event.unit)] = len(event.task_resolved.annotation_ids)
    most = max(part.quorum, part.most_votes)
    known = {(task, name) for task, names in given.items() for name in names}
    return {
        "over_overlap": sum(count > most for count in settled.values())
        + sum(len(set(n)) > most for n in given.values()),
        "twice_by_one": sum(len(set(names)) < len(names) for names in given.values()),
        "acknowledged_but_lost": len(seen.taken.keys() - known),
        "unsettled": part.tasks - len(settled) if part.hard else 0,
        "settled": len(settled),
        "offered_again_s": offered_again(seen, part.quorum),
    }


def offered_again(seen: Seen, quorum: int) -> float:
    """The longest that a vote lay with somebody who had walked away, until another person was offered it or this one came back and
    answered; 0 where nobody walked away.

    Of a task, the first `quorum` others hold its votes, the one that was left among them; one more for each who had walked away
    from it before. A later one may be for a disagreement.
    """
    walked: defaultdict[str, list[tuple[str, float]]] = defaultdict(list)
    for task, name, at in seen.left:
        walked[task].append((name, at))
    waits = []
    for task, name, at in seen.left:
        before = sum(who != name and when < at for who, when in walked[task])
        others = sorted(when for who, when in seen.offered[task].items() if who != name)
        ends = [when for when in others[quorum - 1 + before :] if when > at][:1]
        ends += [when] if (when := seen.taken.get((task, name), 0.0)) > at else []
        waits += [min(ends) - at] if ends else []
    return max(waits, default=0.0)


# ── the page ───────────────────────────────────────────────────────────────────────────────────────────────────────


def page_up() -> dict[str, float]:
    """Seconds from `concord run … --annotators web`, as typed, to its links, to the page, and to the first question on it."""
    import httpx2

    from concord import sample

    with tempfile.TemporaryDirectory() as folder:
        rows = [json.loads(line) for line in sample.jsonl().splitlines()]
        lines = [json.dumps({key: row[key] for key in ("id", "prompt", "responses", "reference")}) for row in rows]
        (Path(folder) / "pairs.jsonl").write_text("\n".join(lines) + "\n")
        words = [
            "run",
            "pairs.jsonl",
            "--judge",
            "sample",
            "--budget",
            "20%",
            "--annotators",
            "web",
            "--annotator",
            "ann",
        ]
        given = os.environ | {"CONCORD_HOME": f"{folder}/home", "CONCORD_CONSOLE_LISTEN": "127.0.0.1:0"}
        command, pipe = [sys.executable, "-u", "-m", "concord.cli", *words], subprocess.PIPE
        began = time.perf_counter()
        running = subprocess.Popen(command, cwd=folder, env=given, stdout=pipe, stderr=subprocess.STDOUT, text=True)
        try:
            link = next(line.split()[1] for line in running.stdout or () if line.startswith("  ann "))
            said = {"links_s": time.perf_counter() - began}
            with httpx2.Client(follow_redirects=True, timeout=60) as client:
                page = client.get(link, headers={"accept": "text/html"}).raise_for_status()
                said["page_s"] = time.perf_counter() - began
                while not client.get(f"{page.url}/tasks").json()["tasks"]:
                    time.sleep(0.05)
            return said | {"question_s": time.perf_counter() - began}
        finally:
            running.kill()
            running.wait()


# ── beside Label Studio ────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def label_studio(program: str) -> Iterator[str]:
    """The address of a Label Studio of its own, for as long as the block lasts."""
    quiet = {"SENTRY_DSN": "", "FRONTEND_SENTRY_DSN": "", "COLLECT_ANALYTICS": "False", "LATEST_VERSION_CHECK": "0"}
    url = "http://127.0.0.1:8180"
    with tempfile.TemporaryDirectory() as home:
        words = [
            str(Path(program).absolute()),
            "start",
            "--no-browser",
            "--internal-host",
            "127.0.0.1",
            "--port",
            "8180",
            "--data-dir",
            home,
        ]
        words += ["--username", "admin@x.org", "--password", "benchpw123"]
        with (Path(home) / "log").open("w") as log:
            running = subprocess.Popen(words, env=os.environ | quiet, stdout=log, stderr=log, cwd=home)
        try:
            began = time.monotonic()
            while not is_up(url):
                if time.monotonic() - began > PEER_START_S:
                    raise SystemExit("Label Studio did not start")
                time.sleep(0.2)
            yield url
        finally:
            running.terminate()
            running.wait()


def beside(asked: "Asked", state: str, program: str, repeats: int, seconds: float, is_paced: bool) -> dict[str, Any]:
    """The closed loops in turn, so often: pages, Label Studio (where `program` is), desk; then its paced one."""
    doors: dict[str, list[dict[str, Any]]] = {"http": [], "grpc": []}
    theirs: dict[str, Any] = {"closed": []}
    with ExitStack() as opened:
        url = opened.enter_context(label_studio(program)) if program else ""
        for _ in range(repeats):
            for door, found in doors.items():
                found.append(measured(asked.closed, state, 1, door))
                if url and door == "http":
                    theirs["closed"].append(peer_loop(url, seconds, 0.0))
        if url and is_paced:
            theirs["paced"] = peer_loop(url, seconds, THINK_S)
    return {"closed": doors, "label_studio": theirs if url else None}


def peers_script() -> Path:
    """Where the script that drives Label Studio lies: beside the data pack."""
    data = Path(os.environ.get("CONCORD_DATA") or ROOT.parent / "shared" / "data")
    script = data.resolve().parent / "peers" / "peer_labelstudio.py"
    if not script.exists():
        raise SystemExit(f"{script.name} is not in `peers` beside the data pack")
    return script


def peer_loop(url: str, seconds: float, think_s: float) -> dict[str, Any]:
    """20 annotators there, who think so long between task and answer."""
    script = peers_script()
    words = [sys.executable, str(script), "--url", url, "--annotators", "20", "--seconds", f"{seconds:g}"]
    given = os.environ | {"PAIRS_FILE": str(script.parent.parent / "data" / "judged_pairs.jsonl.gz")}
    out = subprocess.run(
        [*words, "--think", f"{think_s:g}"], check=True, stdout=subprocess.PIPE, text=True, cwd=script.parent, env=given
    ).stdout
    line = next(line for line in out.splitlines() if line.startswith("RESULT "))
    return json.loads(line.removeprefix("RESULT "))


def is_up(url: str) -> bool:
    """Whether it answers."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def ratios(figures: dict[str, Any]) -> dict[str, Any]:
    """Ours over Label Studio's, as far as measured; its figures of before where it did not run beside."""
    told = figures.get("label_studio")
    found: dict[str, Any] = {"beside": "this run" if told else "figures of before"}
    if "closed" in figures:
        http, grpc = figures["closed"]["http"], figures["closed"]["grpc"]
        before = {"submits_s": PEER_BEFORE["submits_s"], "next_ms": {"99": PEER_BEFORE["next_p99_ms"]}}
        closed = told["closed"] if told else [before] * len(http)
        for name, own in (("http", http), ("grpc", grpc)):
            found[f"{name}_submits_ratio"] = spread(
                [one["submits_s"] / its["submits_s"] for one, its in zip(own, closed, strict=True)]
            )
        found["next_p99_ratio"] = spread(
            [one["next_ms"]["p99"] / its["next_ms"]["99"] for one, its in zip(http, closed, strict=True)]
        )
    if "paced" in figures:
        paced = told["paced"]["next_ms"]["50"] if told and "paced" in told else PEER_BEFORE["paced_p50_ms"]
        found["paced_p50_ratio"] = figures["paced"]["20"]["next_ms"]["p50"] / paced
        found["next_p99_ms_of_50"] = figures["paced"]["50"]["next_ms"]["p99"]
    if "page" in figures:
        found["page_up_s"] = max(up["page_s"] for up in figures["page"])
    return found


def fresh(state: str) -> str:
    """A database of its own beside the one that `state` names, for each place has its own log; SQLite lies in the home anyway."""
    if not state.startswith("postgresql:"):
        return state
    import psycopg

    name = f"serving_{uuid4().hex[:12]}"
    with psycopg.connect(state, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    url = urlsplit(state)
    return url._replace(path=f"/{name}").geturl()


def spread(values: list[float]) -> dict[str, float]:
    """The median, and between what the values lie."""
    return {"median": median(values), "low": min(values), "high": max(values)}


def measured(part: Part, state: str, replicas: int, door: str) -> dict[str, Any]:
    """One part through one door: what was seen, and what the log says."""
    with place_of(part, fresh(state), replicas) as place:
        seen = asyncio.run(loaded(place, part, door))
        return {**seen.figures(), "audit": audit(place, part, seen)}


@dataclass(frozen=True)
class Asked:
    """The parts, each by the name that its figures have."""

    closed: Part
    paced: dict[str, Part]
    hard: Part


FULL = Asked(
    Part(20, 8_000, 20.0),
    {"20": Part(20, 1_000, 60.0, think_s=THINK_S), "50": Part(50, 2_000, 40.0, think_s=2.0)},
    Part(200, 20_000, 3_600.0, 2, 3, True),
)
QUICK = Asked(
    Part(8, 400, 3.0),
    {"20": Part(4, 100, 2.0, think_s=0.1), "50": Part(8, 200, 2.0, think_s=0.1)},
    Part(12, 60, 300.0, 2, 3, True, lease_s=2.0),
)


def main() -> None:
    parser = parser_of(__doc__, "8 annotators for 3 seconds, and 12 with 60 tasks")
    parser.add_argument("--state", default="", metavar="URL", help="the store; default SQLite in the home")
    parser.add_argument("--label-studio", default="", metavar="PROGRAM", help="runs it beside")
    parser.add_argument("--tasks", type=int, metavar="N", help="of the hard part; default 20,000")
    parser.add_argument("--repeats", type=int, default=1, help="of the closed loops, in turn with Label Studio's")
    parser.add_argument(
        "--parts", default=",".join(PARTS), metavar="NAME,…", help=f"of {', '.join(PARTS)}; default all"
    )
    parser.add_argument("--serve", nargs=5, help=argparse.SUPPRESS)
    given = asked_of(parser)
    if given.serve:
        kind, home, state, door, lease_s = given.serve
        return serve(kind, Path(home), state, door, float(lease_s))
    asked, parts = QUICK if given.quick else FULL, given.parts.split(",")
    asked = replace(asked, hard=replace(asked.hard, tasks=given.tasks)) if given.tasks else asked
    said = {"parts": asdict(asked), "state": given.state.partition(":")[0] or "sqlite"}
    figures: dict[str, Any] = circumstances(said)
    if given.label_studio:
        peers_script()
    if "closed" in parts:
        seconds = asked.closed.seconds
        figures |= beside(asked, given.state, given.label_studio, given.repeats, seconds, "paced" in parts)
    if "paced" in parts:
        figures["paced"] = {name: measured(part, given.state, 1, "http") for name, part in asked.paced.items()}
    if "hard" in parts:
        figures["hard"] = measured(asked.hard, given.state, 2, "http")
    if "page" in parts:
        figures["page"] = [page_up() for _ in range(1 if given.quick else 5)]
    figures["ratios"], figures["wanted"] = ratios(figures), WANTED
    tell(figures)
    if given.json:
        write(given.json, figures)


def rows(figures: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Each part that was measured, by its name in words."""
    loops = {f"closed, {door}": one for door, found in figures.get("closed", {}).items() for one in found}
    several = loops | {f"paced, {name}": one for name, one in figures.get("paced", {}).items()}
    return several | ({"hard": figures["hard"]} if "hard" in figures else {})


def tell(figures: dict[str, Any]) -> None:
    """The figures in a few lines."""
    for name, one in rows(figures).items():
        milliseconds = ", ".join(f"{q} {value:.1f}" for q, value in one["next_ms"].items())
        print(f"{name:14} {one['submits_s']:8.1f} submits/s   next {milliseconds} ms   {one['audit']}")
    for up in figures.get("page", ()):
        print("page          ", ", ".join(f"{name} {value:.1f}" for name, value in up.items()))
    print(f"against Label Studio ({figures['ratios']['beside']}): {figures['ratios']}")


if __name__ == "__main__":
    main()
