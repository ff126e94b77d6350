"""Whatever is asked of the pages over HTTP: no error of ours comes of it, and what is refused changes nothing."""

import asyncio
import json
import random
from collections import Counter
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from concord.console.app import PAGES, SECURITY, application
from concord.console.credentials import Pass, form_token, sign
from concord.v1.tasks_service_pb2 import ListTasksRequest, NextTasksRequest
from tests.console_world import World, world_in
from tests.fuzz_messages import TEXTS
from tests.test_asking import facts_of
from tests.waiting import until

REQUESTS = 500
# What people said; everything else follows from it, or goes on by itself.
SAID = {"annotation_submitted", "task_skipped", "annotation_withdrawn"}
METHODS = ("GET", "POST", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH")
TYPES = ("application/json", "application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x", "")
NUMBERS: tuple[object, ...] = (0, 1, 2, -1, 1.5, 2**31, 2**63, 1e308, float("nan"), float("inf"), True)
FIELDS: dict[str, tuple[object, ...]] = {
    "choice": ("left", "right", "tie", "bad", "skip"),
    "why": ("", "unclear", "a reason"),
    "view": ("whole", "differences"),
    "strength": ("", "slight", "much"),
    "left_mark": ("", "yes"),
    "revision": (1, 2),
    "seconds": (0, 2.5),
    "votes": ("30", "1800"),
    "dollars": ("0", "2.5"),
    "role": ("annotator", "viewer", "admin", "king"),
    "names": ("ann", "ann\nbob = de, code", "=x", "a,b"),
    "name": ("ann",),
    "days": ("1", "-1", "1e9"),
    "reason": ("shorter",),
    "accept_judge": ("yes",),
    # Never the run's own beginning: a run that was cancelled would refuse all that comes after.
    "sure": ("no", ""),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    asked = {"method": "all-human", "quorum": 4, "budget": "240", "batch": 1.0, "pilot": 0}
    with world_in(tmp_path_factory.mktemp("fuzz"), **asked) as made:
        until(lambda: made.tasks.ListTasks(ListTasksRequest(run_id=made.job.run_id)).tasks, "a question")
        yield made


def value(rng: random.Random, ids: list[str], depth: int = 0) -> Any:
    """Any JSON, and what looks like a task's id."""
    kind = rng.randrange(7 if depth < 3 else 5)
    if kind == 5:
        return [value(rng, ids, depth + 1) for _ in range(rng.choice((0, 1, 2, 65)))]
    if kind == 6:
        return said(rng, ids, depth + 1)
    return (rng.choice(TEXTS), rng.choice(NUMBERS), rng.choice(ids), None, "x" * rng.choice((1, 101, 5_000)))[kind]


def said(rng: random.Random, ids: list[str], depth: int = 0) -> dict[str, Any]:
    """The fields of a page, most of them as a page sends them."""
    found: dict[str, Any] = {}
    for name in rng.sample(list(FIELDS), rng.randrange(len(FIELDS))):
        found[name] = rng.choice(FIELDS[name]) if rng.random() < 0.85 else value(rng, ids, depth + 1)
    if rng.random() < 0.8:
        found["task_id"] = rng.choice(ids) if rng.random() < 0.9 else value(rng, ids, depth + 1)
    if rng.random() < 0.5 and depth < 2:
        found["answers"] = [answer(rng, ids) for _ in range(rng.choice((0, 1, 1, 2, 3)))]
    if rng.random() < 0.5:
        found["task_ids"] = rng.sample(ids, rng.randrange(1, len(ids))) if rng.random() < 0.8 else value(rng, ids, 2)
    return found


def answer(rng: random.Random, ids: list[str]) -> dict[str, Any]:
    """An answer as the page sends it, or one that it would never send."""
    good = {
        "task_id": rng.choice(ids),
        "revision": 1,
        "choice": rng.choice(FIELDS["choice"]),
        "view": "whole",
        "seconds": 1,
    }
    return good if rng.random() < 0.5 else good | said(rng, ids, 2)


def body(rng: random.Random, fields: dict[str, Any], kind: str) -> bytes:
    """The fields in this form; now and then cut, or no text at all."""
    if kind == TYPES[1]:
        raw = str(httpx2.QueryParams({name: str(one) for name, one in fields.items()})).encode()
    else:
        raw = json.dumps(fields).encode()
    how = rng.randrange(12)
    return (b"\xff\xfe" + raw, raw[: len(raw) // 2], b"[" * 100_000, b"x" * 600_000)[how] if how < 4 else raw


class Asker:
    """Somebody with a pass, or without, who asks anything."""

    def __init__(self, world: World, rng: random.Random, ids: list[str]) -> None:
        self._world, self._rng, self._ids = world, rng, ids

    def request(self) -> dict[str, Any]:
        rng, gate = self._rng, self._world.console.gate
        often = [one for one in PAGES if one.path.endswith("/answers")] * 5
        page = rng.choice([*often, *(one for one in PAGES if not one.path.endswith("/live"))])
        run_id = rng.choice((*[self._world.job.run_id] * 8, "last", "%00", "..%2f..", "x" * 300))
        path = page.path.format(run_id=run_id)
        if rng.random() < 0.1:
            path = rng.choice(
                (path + "/", "/enter/x.y", "/static/../app.py", "/static/%2e%2e/app.py", "//x", "/" + "é" * 20)
            )
        method = page.method if rng.random() < 0.85 else rng.choice(METHODS)
        now = self._world.console.clock()
        role = "annotator" if page.area == "annotate" else rng.choice(("viewer", "operator", "admin"))
        role = role if rng.random() < 0.95 else rng.choice(("king", "annotator", "viewer"))
        token = sign(Pass(role, "ann", self._world.job.run_id, now, now + 600), gate.secret)
        headers = {"accept": rng.choice(("text/html", "*/*", "application/json"))}
        if rng.random() < 0.95:
            headers["cookie"] = f"concord-annotate={token}; concord-runs={token}"
        if rng.random() < 0.95:
            headers["x-concord-form"] = form_token(token, gate.secret)
        if rng.random() < 0.1:
            headers["origin"] = rng.choice(("http://elsewhere.example", "null", "http://x", "http://[", "x" * 200))
        made: dict[str, Any] = {"method": method, "url": path, "headers": headers}
        if rng.random() < 0.3:
            name = rng.choice(("pair", "page", "as", "unsent"))
            made["params"] = {name: rng.choice((*TEXTS, "#0", "#99999999", "csv", "1", "2" * 20, "-1"))}
        if method != "GET":
            kind = rng.choice((*[TYPES[0]] * 5, *[TYPES[1]] * 4, *TYPES))
            made["content"] = body(rng, said(rng, self._ids), kind)
            headers["content-type"] = kind
        return made


def standing(world: World) -> tuple[object, ...]:
    """What people said, and what operators may change. (A command that is refused stands in the log all the same.)"""
    events, view = facts_of(world.home, world.job.run_id), world.view()
    said = Counter(kind for event in events if (kind := event.WhichOneof("kind") or "") in SAID)
    return said, view.status, view.human_budget, view.dollar_budget, [str(one) for one in view.revocations]


def test_no_request_at_all_breaks_a_page_and_a_refused_one_changes_nothing(world):
    rng = random.Random(16)
    listed = world.tasks.ListTasks(ListTasksRequest(run_id=world.job.run_id)).tasks
    ids = [one.task_id for one in listed]
    held = NextTasksRequest(annotator=world.alias("ann"), run_id=world.job.run_id, most=64, task_ids=ids)
    assert len(world.tasks.NextTasks(held).tasks) == len(ids) > 5
    app = application(replace(world.console, person_pace=(1e9, 1e9), address_pace=(1e9, 1e9)))
    asker, statuses = Asker(world, rng, ids), Counter[int]()

    async def all_of_them() -> None:
        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url=world.console.url) as client:
            before = standing(world)
            for number in range(REQUESTS):
                if number % 20 == 0:
                    # What the last ones gave back is held again, so that there is something to answer.
                    world.tasks.NextTasks(held)
                wanted = asker.request()
                answer = await client.request(**wanted)
                statuses[answer.status_code] += 1
                assert answer.status_code < 500, (wanted, answer.text[:300])
                assert all(answer.headers.get(name) for name in SECURITY), wanted
                after = standing(world)
                assert after == before or (wanted["method"] == "POST" and answer.status_code < 400), wanted
                before = after

    asyncio.run(all_of_them())
    # It came past the door often enough to have tried something.
    assert statuses[200] > REQUESTS // 10 and statuses[303] > 5 and statuses[400] > REQUESTS // 10, statuses
    (said, *_) = standing(world)
    assert said.total() > 5, said
