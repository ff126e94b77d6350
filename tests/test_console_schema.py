"""The pages' HTTP interface, described as OpenAPI and tried by Schemathesis: requests as the description has them, and as it
does not. No error of ours comes of one, and what is refused changes nothing. tests/test_console_fuzz.py asks more wildly."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from starlette.responses import JSONResponse
from starlette.routing import Route

from concord.console.app import PAGES, SECURITY, Page, application
from concord.console.credentials import Pass, form_token, sign
from concord.console.texts import SKIPS
from concord.v1.tasks_service_pb2 import ListTasksRequest, NextTasksRequest
from tests.console_world import World, world_in
from tests.test_console_fuzz import FIELDS, standing
from tests.waiting import until

pytestmark = pytest.mark.slow
# Of each page, sound ones and as many that are not.
CASES = 8
# What each command takes besides the form's token, which travels in a header.
TAKES = {
    "answers": ("answers",),
    "undo": ("task_id", "revision"),
    "extend": ("task_ids",),
    "return": ("task_ids",),
    "pause": ("why",),
    "resume": ("accept_judge",),
    "cancel": ("why", "sure"),
    "budget": ("votes", "dollars"),
    "requeue": ("why",),
    "links": ("role", "names", "days"),
    "revoke": ("name", "why"),
}
FREE = {"why", "names", "name"}
# Not with a pass for one run; not unless its id is typed; not while nothing was given up.
NEVER = {"/runs", "/runs/{run_id}/cancel", "/runs/{run_id}/requeue"}
# How a command is sent: by a script, or by a form as well.
KINDS = {"annotate": ("application/json",), "runs": ("application/json", "application/x-www-form-urlencoded")}


def field(name: str, ids: list[str]) -> dict[str, Any]:
    """A field's schema: what a page sends in it."""
    if name == "answers":
        own = ("revision", "choice", "why", "view", "strength", "left_mark", "seconds", "reason")
        inner = {one: field(one, ids) for one in ("task_id", *own)} | {"why": {"type": "string", "enum": list(SKIPS)}}
        each = {"type": "object", "properties": inner, "required": ["task_id", "revision", "choice", "view"]}
        return {"type": "array", "minItems": 1, "maxItems": 3, "items": each}
    if name == "task_ids":
        return {"type": "array", "items": field("task_id", ids), "minItems": 1, "maxItems": 64}
    if name == "task_id":
        return {"type": "string", "enum": ids}
    if name == "revision":
        return {"type": "integer", "minimum": 1, "maximum": 5}
    if name == "seconds":
        return {"type": "number", "minimum": 0, "maximum": 1e6}
    if name in FREE:
        return {"type": "string", "minLength": 1, "maxLength": 60}
    return {"type": "string", "enum": [str(one) for one in FIELDS[name]]}


def described(run_id: str, ids: list[str], area: str) -> dict[str, Any]:
    """OpenAPI of the pages that one cookie opens; the stream, which does not end, is left out."""
    paths: dict[str, dict[str, Any]] = {}
    for page in PAGES:
        if page.area == area and not page.path.endswith("/live"):
            paths.setdefault(page.path, {})[page.method.lower()] = operation(page, run_id, ids)
    return {"openapi": "3.1.0", "info": {"title": "pages", "version": "1"}, "paths": paths}


def operation(page: Page, run_id: str, ids: list[str]) -> dict[str, Any]:
    said: dict[str, Any] = {"responses": {"default": {"description": "a page, or why there is none"}}}
    said["parameters"] = [
        {"name": name, "in": "query", "schema": {"type": "string", "maxLength": 30}} for name in ("pair", "page", "as")
    ]
    if "{run_id}" in page.path:
        said["parameters"].append(
            {"name": "run_id", "in": "path", "required": True, "schema": {"type": "string", "enum": [run_id]}}
        )
    if page.method == "POST":
        names = TAKES[page.path.rpartition("/")[2]]
        body = {"type": "object", "properties": {name: field(name, ids) for name in names}, "required": list(names)}
        said["requestBody"] = {
            "required": True,
            "content": {kind: {"schema": body} for kind in KINDS[page.area]},
        }
    return said


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    asked = {"method": "all-human", "quorum": 4, "budget": "240", "batch": 1.0, "pilot": 0}
    with world_in(tmp_path_factory.mktemp("schema"), **asked) as made:
        until(lambda: made.tasks.ListTasks(ListTasksRequest(run_id=made.job.run_id)).tasks, "a question")
        yield made


@pytest.mark.parametrize("role", ["annotator", "operator"])
def test_no_request_by_the_description_or_against_it_breaks_a_page_and_a_refused_one_changes_nothing(
    world: World, role: str
):
    # Not before it is needed: the quick tests, which look at this file as well, do without.
    import schemathesis

    run_id, gate = world.job.run_id, world.console.gate
    ids = [one.task_id for one in world.tasks.ListTasks(ListTasksRequest(run_id=run_id)).tasks][:8]
    held = NextTasksRequest(annotator=world.alias("ann"), run_id=run_id, most=64, task_ids=ids)
    world.tasks.NextTasks(held)
    app = application(replace(world.console, person_pace=(1e9, 1e9), address_pace=(1e9, 1e9)))
    spec = described(run_id, ids, "annotate" if role == "annotator" else "runs")
    app.router.routes.insert(0, Route("/openapi.json", lambda request: JSONResponse(spec)))
    now = world.console.clock()
    token = sign(Pass(role, "ann", run_id, now, now + 600), gate.secret)
    headers = {
        "cookie": f"concord-annotate={token}; concord-runs={token}",
        "x-concord-form": form_token(token, gate.secret),
    }
    statuses: set[tuple[str, int]] = set()
    state = [standing(world)]

    def one(case: Any) -> None:
        answer = case.call(headers=headers, allow_redirects=False)
        status, wanted = answer.status_code, (case.method, case.path, case.query, case.body, case.media_type)
        statuses.add((case.path, status))
        assert status < 500, (wanted, answer.text[:300])
        assert all(answer.headers.get(name) for name in SECURITY), wanted
        after = standing(world)
        assert after == state[0] or (case.method == "POST" and status < 400), wanted
        state[0] = after

    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    few = settings(
        max_examples=CASES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    for found in schema.get_all_operations():
        for mode in schemathesis.GenerationMode:
            few(given(case=found.ok().as_strategy(generation_mode=mode))(one))()
    # Every command came past the door, and was refused as well.
    taken = {path for path, status in statuses if status in (200, 303)}
    refused = {path for path, status in statuses if 400 <= status < 500}
    assert taken >= spec["paths"].keys() - NEVER and refused == spec["paths"].keys(), statuses
