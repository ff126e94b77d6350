"""The pages over real HTTP, in front of real services: who is let in where, and that no answer is lost or counted twice."""

import asyncio
import re
import threading
from dataclasses import replace
from types import SimpleNamespace

import grpc
import httpx2
import pytest

from concord.console import annotator, roles, texts
from concord.console.app import PAGES, SECURITY, application
from concord.console.credentials import Pass, form_token, sign
from concord.console.desk import Desk
from concord.console.paces import Paces
from concord.console.serving import serving
from concord.kit.settings import from_environment
from concord.v1 import pairs_pb2 as pairs
from concord.v1 import runs_service_pb2 as runs_pb
from concord.v1.tasks_service_pb2 import ListTasksRequest
from tests.console_world import Browser, world_in
from tests.waiting import until


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Everybody is asked about everything, so that nobody waits for somebody else's lease."""
    asked = {"method": "all-human", "quorum": 30, "budget": "1800", "batch": 1.0, "pilot": 0}
    with world_in(tmp_path_factory.mktemp("console"), **asked) as made:
        until(lambda: made.tasks.ListTasks(ListTasksRequest(run_id=made.job.run_id)).tasks, "a question")
        yield made


# ── who is let in ──────────────────────────────────────────────────────────────────────────────────────────────────


def cookie_of(
    world, role: str, run_id: str = "", name: str = "x", ago: float = 0.0, days: float = 1.0
) -> tuple[dict, str]:
    """Cookies for both areas, and the token of their forms."""
    now = world.console.clock() - ago
    token = sign(Pass(role, name, run_id, now, now + 86_400 * days), world.console.gate.secret)
    return {"cookie": f"concord-annotate={token}; concord-runs={token}"}, form_token(token, world.console.gate.secret)


@pytest.mark.parametrize("page", PAGES, ids=lambda one: f"{one.method} {one.path}")
@pytest.mark.parametrize("role", [*roles.MAY, "nobody", "king"])
def test_every_page_is_for_its_roles_and_no_other(world, role, page):
    """Let in means: the page's own function answers, be it that it refuses an empty request."""
    cookies, form = (
        cookie_of(world, role, world.job.run_id if "{run_id}" in page.path else "") if role != "nobody" else ({}, "")
    )
    path, said = page.path.format(run_id=world.job.run_id), {"form": form, "role": "annotator"}
    with world.anybody.stream(
        page.method, path, headers=cookies, data=said if page.method == "POST" else None
    ) as answer:
        status = answer.status_code
    if roles.may(role, page.action):
        assert status in (200, 303, 400, 409), status
    else:
        assert status == 403


@pytest.mark.parametrize(
    "page", [page for page in PAGES if "{run_id}" in page.path], ids=lambda one: f"{one.method} {one.path}"
)
def test_a_pass_for_another_run_opens_nothing_of_this_one_and_does_not_say_whether_there_is_one(world, page):
    for role in ("annotator", "admin"):
        cookies, form = cookie_of(world, role, "00000000-0000-0000-0000-000000000000")
        for run_id in (world.job.run_id, "11111111-1111-1111-1111-111111111111"):
            path = page.path.format(run_id=run_id)
            answer = world.anybody.request(page.method, path, headers=cookies, data={"form": form})
            assert answer.status_code == 403


def test_a_link_becomes_a_cookie_for_its_own_pages_that_no_script_reads(world):
    with world.browser() as client:
        came = client.get(world.link("annotator", "kim"))
        assert came.status_code == 303 and came.headers["location"] == f"/annotate/{world.job.run_id}"
        cookie = came.headers["set-cookie"].lower()
        assert "httponly" in cookie and "samesite=lax" in cookie and f"path=/annotate/{world.job.run_id}" in cookie
        assert client.get(f"/runs/{world.job.run_id}").status_code == 403


def test_a_link_whose_time_is_over_or_that_was_changed_lets_nobody_in(world):
    with world.browser() as client:
        assert client.get(world.link("annotator", "kim", days=-1)).status_code == 403
        link = world.link("annotator", "kim")
        assert client.get(link[:-2]).status_code == 403
        assert client.get(world.link("annotator", "kim", run_id="")).status_code == 403


def test_a_revoked_link_and_the_session_behind_it_end_and_a_new_link_opens_again(world):
    before, operator = world.annotator("rev"), world.enter("operator", "op")
    old = world.link("annotator", "rev")
    said = operator.send("/revoke", name="rev", why="left the team")
    assert said.status_code == 303, said.text
    until(lambda: before.get("/tasks").status_code == 403, "the end of the session")
    with world.browser() as client:
        refused = client.get(old)
        assert refused.status_code == 403 and "revoked" in refused.text
    assert [(one.name, one.reason) for one in world.facts("access_revoked")] == [
        (world.alias("rev"), "left the team (op)")
    ]
    assert world.enter("annotator", "rev").get("/tasks").status_code == 200


def test_nothing_is_changed_by_a_request_that_no_page_of_ours_sent(world):
    ann = world.annotator("csrf")
    (task, *_) = ann.tasks()
    answers = {"answers": [{"task_id": task["id"], "revision": 1, "choice": "left", "view": "whole"}]}
    assert ann.post("/answers", answers, **{"x-concord-form": ""}).status_code == 403
    assert ann.post("/answers", answers, **{"x-concord-form": world.annotator("other").form}).status_code == 403
    assert ann.post("/answers", answers, origin="https://elsewhere.example").status_code == 403
    assert ann.get("/answers").status_code in (404, 405)
    assert not [one for one in world.facts("annotation_submitted") if one.annotator == world.alias("csrf")]


def test_every_answer_has_the_headers_that_keep_a_browser_safe(world):
    ann = world.annotator("safe")
    for answer in (
        ann.get(),
        ann.get("/tasks"),
        world.browser().get("/nothing"),
        world.browser().get("/static/annotate.js"),
    ):
        for name, value in SECURITY.items():
            if name != "cache-control":
                assert answer.headers[name] == value, name
        assert "unsafe" not in answer.headers["content-security-policy"]
    assert "server" not in ann.get().headers


def test_who_asks_too_often_waits(world):
    slow = application(replace(world.console, person_pace=(0.001, 3), address_pace=(0.001, 5)))
    cookies, _ = cookie_of(world, "annotator", world.job.run_id, "fast")

    async def asked(times: int, **headers: str) -> list[int]:
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=slow), base_url="http://x") as client:
            return [
                (await client.get(f"/annotate/{world.job.run_id}", headers=headers)).status_code for _ in range(times)
            ]

    assert asyncio.run(asked(5, **cookies)) == [200, 200, 200, 429, 429]
    assert asyncio.run(asked(3)) == [429] * 3


def test_a_bucket_fills_by_itself_and_each_has_its_own():
    now = [0.0]
    paces = Paces(2, 3, lambda: now[0])
    assert [paces.take("ann") for _ in range(4)] == [True, True, True, False]
    assert paces.take("bob")
    now[0] += 0.5
    assert [paces.take("ann") for _ in range(2)] == [True, False]


def test_an_operator_gives_links_to_annotators_and_viewers_and_to_nobody_above(world):
    operator = world.enter("operator", "op")
    made = operator.send("/links", names="lou\nmax", role="annotator", days="1")
    links = re.findall(r"<code>(http[^<]+)</code>", made.text)
    assert len(links) == 2
    with world.browser() as client:
        assert client.get(links[0]).status_code == 303
    assert operator.send("/links", names="lou", role="admin", days="1").status_code == 403
    assert operator.send("/links", names="", role="annotator", days="1").status_code == 400


ANNOTATING = {
    "GetRun",
    "NextTasks",
    "GetQueue",
    "SubmitAnnotations",
    "WithdrawAnnotation",
    "ExtendLeases",
    "ReturnTasks",
}
WATCHING = {"GetRun", "GetQueue", "ListRuns", "ReadFacts", "ReadBlob", "ListDeadLetters"}
STEERING = {"PauseRun", "ResumeRun", "RetryStage", "SetBudget", "CancelRun", "RevokeAccess", "RequeueDeadLetters"}
CALLS = {
    "annotator": ANNOTATING,
    "viewer": WATCHING,
    "operator": WATCHING | STEERING,
    "admin": WATCHING | STEERING,
    "nobody": set(),
}


class Heard(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Notes which calls went to the services, and whose name they said."""

    def __init__(self) -> None:
        self.calls: set[str] = set()
        self.names: set[str] = set()

    def intercept_unary_unary(self, continuation, details, request):
        self.calls.add(details.method.rpartition("/")[2])
        self.names.add(getattr(request, "annotator", ""))
        return continuation(details, request)

    intercept_unary_stream = intercept_unary_unary


@pytest.mark.parametrize("role", CALLS)
def test_no_page_of_a_role_calls_what_is_not_for_that_role(world, role):
    """Every page of all, asked by this role with fields that are as they should be, and with another's name in them."""
    heard = Heard()
    desk = Desk(grpc.intercept_channel(world.console.desk.channel, heard), world.console.desk.address)
    app = application(replace(world.console, desk=desk))
    headers, form = cookie_of(world, role, world.job.run_id if role != "admin" else "", "mia")
    headers = headers if role != "nobody" else {}
    said = {
        **{
            "form": form,
            "annotator": "eve",
            "task_id": "t",
            "task_ids": ["t"],
            "revision": 1,
            "role": "viewer",
            "names": "zoe",
        },
        **{"days": "1", "why": "to see", "votes": "1800", "dollars": "0", "name": "nobody", "sure": "no"},
        "answers": [{"task_id": "t", "revision": 1, "choice": "tie", "view": "whole", "annotator": "eve"}],
    }

    async def all_pages() -> None:
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://x") as client:
            for page in sorted(PAGES, key=lambda one: one.path.endswith("/resume")):
                if not page.path.endswith("/live"):
                    path = page.path.format(run_id=world.job.run_id)
                    await client.request(
                        page.method, path, headers=headers, json=said if page.method == "POST" else None
                    )

    asyncio.run(all_pages())
    assert heard.calls <= CALLS[role]
    # How the queue stands, an annotator's page asks where there is no task.
    rare = {"ReadBlob", "RetryStage", "CancelRun", "ListRuns"} | ({"GetQueue"} if role == "annotator" else set())
    assert heard.calls >= CALLS[role] - rare
    assert heard.names <= ({"", world.alias("mia")} if role == "annotator" else {""})


# ── answers ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_page_has_no_script_inside_and_is_light(world):
    ann = world.annotator("light")
    page = ann.get()
    scripts = re.findall(r"<script([^>]*)>", page.text)
    assert all("src=" in one or "application/json" in one for one in scripts)
    assert not re.search(r"\son\w+=|style=", page.text)
    client = ann.client
    loaded = [ann.path, f"{ann.path}/tasks", *re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text)]
    weight = 0
    for path in loaded:
        with client.stream("GET", path) as answer:
            weight += sum(map(len, answer.iter_raw()))
    assert weight < 150_000, weight


def test_an_annotator_is_shown_both_answers_and_nothing_of_what_any_model_thinks(world):
    ann = world.annotator("blind")
    (task, *_) = ann.tasks()
    assert set(task) == {"id", "revision", "seconds", "criteria", "harmful", "prompt", "left", "right", "compared"}
    rows = {row.pair.first.text: row.pair for row in world.job.given.rows}
    shown = {text for text in rows for side in ("left", "right") if annotator.markdown.shown(text) == task[side]}
    assert shown
    page = ann.get().text + ann.get("/tasks").text
    assert not re.search(r"verdict|p_first|p_wrong|reference|chosen|judge", page, re.I)


def test_sides_are_kept_and_what_is_said_of_a_side_is_said_of_the_response_that_stood_there(world):
    ann = world.annotator("sides")
    first, again = ann.tasks()[0], ann.tasks()[0]
    assert (first["left"], first["right"]) == (again["left"], again["right"])
    assert (
        ann.answer(first, "left", view="differences", strength="slight", left_mark="yes", reason="shorter")["refused"]
        == ""
    )
    (said,) = (one for one in world.facts("annotation_submitted") if one.annotator == world.alias("sides"))
    pair = world.job.given.rows[said.pair_index].pair
    meant = pair.first if said.choice == pairs.CHOICE_FIRST else pair.second
    assert annotator.markdown.shown(meant.text) == first["left"]
    mark = said.first_mark if said.choice == pairs.CHOICE_FIRST else said.second_mark
    assert (mark, said.view, said.strength, said.comment) == (
        pairs.MARK_ACCEPTABLE,
        pairs.VIEW_DIFFERENCES,
        pairs.STRENGTH_SLIGHT,
        "shorter",
    )
    assert said.seconds == 2.5


def test_an_answer_that_comes_again_is_that_answer_and_one_that_was_overtaken_changes_nothing(world):
    """A connection broke before the acknowledgement; a request was delivered late, after the answer was taken back."""
    ann = world.annotator("again")
    task = ann.tasks()[0]
    for _ in range(3):
        assert ann.answer(task, "left") == {"task_id": task["id"], "revision": 1, "refused": ""}
    # A replay that was altered on the way says what was said first.
    assert ann.answer(task, "right", reason="changed")["refused"] == ""
    said = [one for one in world.facts("annotation_submitted") if one.annotator == world.alias("again")]
    assert len(said) == 1 and said[0].comment == ""
    undone = ann.post("/undo", {"task_id": task["id"], "revision": 1}).json()["task"]
    assert undone["id"] == task["id"] and undone["revision"] == 2
    assert "newer answer" in ann.answer(task, "left")["refused"]
    assert ann.answer(undone, "tie")["refused"] == ""
    # The first withdrawal arrives once more: the new answer stands.
    assert ann.post("/undo", {"task_id": task["id"], "revision": 1}).status_code == 200
    assert "newer answer" in ann.answer(task, "left")["refused"]
    said = [one for one in world.facts("annotation_submitted") if one.annotator == world.alias("again")]
    assert [(one.revision, one.choice == pairs.CHOICE_TIE) for one in said] == [(1, False), (2, True)]
    assert len([one for one in world.facts("annotation_withdrawn") if one.annotator == world.alias("again")]) == 1


class Busy(Desk):
    """Others take the slot that a withdrawal has just freed."""

    def withdraw(self, run_id, annotator, task_id, revision):
        super().withdraw(run_id, annotator, task_id, revision)
        for who in ("bob", "cleo"):
            assert self.next(run_id, who, 1, [task_id])


def test_an_answer_taken_back_whose_question_went_to_others_is_said_to_be_taken_back(tmp_path):
    with world_in(tmp_path, quorum=2, budget="24") as world:
        ann = world.annotator("ann")
        task = ann.tasks()[0]
        assert ann.answer(task)["refused"] == ""
        busy = application(replace(world.console, desk=Busy(world.console.desk.channel, world.console.desk.address)))
        cookies, form = cookie_of(world, "annotator", world.job.run_id, "ann")

        async def undone() -> dict:
            async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=busy), base_url="http://x") as client:
                said = {"task_id": task["id"], "revision": 1}
                headers = {**cookies, "x-concord-form": form}
                return (await client.post(f"/annotate/{world.job.run_id}/undo", json=said, headers=headers)).json()

        assert asyncio.run(undone()) == {"task": None, "taken_back": True}
        assert len(world.facts("annotation_withdrawn")) == 1


def test_who_somebody_is_follows_from_the_pass_and_from_no_field(world):
    ann = world.annotator("honest")
    task = ann.tasks()[0]
    ann.answer(task, "left", annotator="somebody else")
    assert "somebody else" not in {one.annotator for one in world.facts("annotation_submitted")}
    assert world.alias("honest") in {one.annotator for one in world.facts("annotation_submitted")}


def test_nobody_answers_returns_or_keeps_what_another_person_holds(world):
    ann, bob = world.annotator("holder"), world.enter("annotator", "thief")
    task = ann.tasks()[0]
    assert "no lease" in bob.answer(task)["refused"]
    assert bob.post("/extend", {"task_ids": [task["id"]]}).json() == {"task_ids": []}
    bob.post("/return", {"task_ids": [task["id"]]})
    assert task["id"] in {one["id"] for one in ann.tasks()}
    assert ann.post("/extend", {"task_ids": [task["id"]]}).json() == {"task_ids": [task["id"]]}
    ann.post("/return", {"task_ids": [task["id"]]})


def test_a_skip_keeps_its_reason_for_the_run_s_story(world):
    ann = world.annotator("skips")
    ann.answer(ann.tasks()[0], "skip", why="knowledge", reason="medicine")
    (said,) = (one for one in world.facts("task_skipped") if one.annotator == world.alias("skips"))
    assert said.reason == "knowledge: medicine"


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b'{"answers": [[]]}', b"\xff", b'{"answers": ' + b"[" * 50_000, b"x" * 600_000],
    ids=lambda b: str(b[:12]),
)
def test_a_body_that_is_none_of_ours_is_refused_and_never_our_fault(world, body):
    ann = world.annotator("fuzz")
    for path in ("/answers", "/undo", "/extend", "/return"):
        answer = ann.client.post(ann.path + path, content=body, headers={"x-concord-form": ann.form})
        assert 400 <= answer.status_code < 500


# ── steering ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_operator_pauses_resumes_and_moves_the_budget_each_with_its_reason(world):
    operator = world.enter("operator", "op")
    assert operator.send("/pause", why="").status_code == 400
    assert operator.send("/pause", why="lunch").status_code == 303
    assert world.view().status == runs_pb.RUN_STATUS_PAUSED
    ann = world.enter("annotator", "waits")
    assert ann.get("/tasks").json()["standing"] == texts.STANDING["paused"]
    assert operator.send("/resume").status_code == 303
    assert world.view().status == runs_pb.RUN_STATUS_RUNNING
    assert operator.send("/budget", votes="30", dollars="2.5").status_code == 303
    assert (world.view().human_budget, world.view().dollar_budget) == (30, 2.5)
    assert operator.send("/budget", votes="many", dollars="0").status_code == 400
    assert operator.send("/cancel", why="x", sure="yes").status_code == 400
    assert "lunch (op)" in [one.detail for one in world.facts("run_paused")]


def test_one_run_is_told_live_and_the_people_in_numbers(world):
    operator = world.enter("operator", "op")
    with operator.client.stream("GET", f"{operator.path}/live") as stream:
        line = next(line for line in stream.iter_lines() if line.startswith("data: "))
    assert "Open questions" in line and "progress" in line
    assert "<h1>" in operator.get().text
    ann = world.annotator("=counted")
    ann.answer(ann.tasks()[0])
    page = operator.get("/people").text
    assert "=counted" in page
    table = operator.get("/people?as=csv").text
    assert table.startswith("annotator,answers,skips") and "'=counted,1,0,0" in table
    # Of a run that goes on the report says as much as there is.
    assert "Concord report" in operator.get("/report").text and "Report so far" in page


def test_whoever_has_no_pass_for_all_runs_sees_no_list(world):
    assert world.enter("operator", "op").client.get("/runs").status_code == 403
    assert world.job.run_id[:8] in world.enter("admin", "boss", run_id="").client.get("/runs").text


# ── a whole run ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_five_people_finish_a_run_over_the_pages_and_every_answer_is_counted_once(tmp_path):
    """Each sends every answer twice, takes some back and leaves now and then; two are asked about each pair."""
    with world_in(tmp_path, quorum=2, budget="24") as world:
        given, lock = [], threading.Lock()

        def person(number: int) -> None:
            me, count, over = world.enter("annotator", f"person-{number}"), 0, False
            while not over:
                asked = me.get("/tasks").json()
                over = asked.get("over", False)
                for task in asked["tasks"][:1]:
                    count += 1
                    taken = [me.answer(task, ("left", "right", "tie", "bad")[count % 4]) for _ in range(2)]
                    if count % 3 == 0 and not taken[0]["refused"]:
                        back = me.post("/undo", {"task_id": task["id"], "revision": task["revision"]}).json()["task"]
                        taken = [me.answer(back, "left")] if back else taken
                    with lock:
                        given.append((me.path, task["id"]))
                if not asked["tasks"]:
                    threading.Event().wait(0.05)

        people = [threading.Thread(target=person, args=(n,)) for n in range(5)]
        for one in people:
            one.start()
        for one in people:
            one.join(100)
        view = world.view()
        assert view.status == runs_pb.RUN_STATUS_FINISHED
        resolved = world.facts("task_resolved")
        assert sum(len(one.annotation_ids) for one in resolved) == view.votes == 2 * len(resolved)
        assert all(len(set(one.annotators)) == 2 for one in resolved)
        operator = world.enter("operator", "op")
        report = operator.get("/report")
        assert report.status_code == 200 and "Concord report" in report.text
        assert "script" not in report.headers["content-security-policy"]
        people_page = operator.get("/people").text
        assert "alpha" in people_page
        number = resolved[0].pair_index
        told = operator.get("/pair", params={"pair": f"#{number}"}).text
        assert told.index("the judge says") < told.index("people are asked") < told.index("settled ")
        assert "P(label wrong)" in told and all(
            f"person-{n}" in told for n in range(5) if world.alias(f"person-{n}") in resolved[0].annotators
        )
        by_id = operator.get("/pair", params={"pair": world.job.given.rows[number].pair.pair_id}).text
        assert by_id.partition("<ol")[2] == told.partition("<ol")[2] != ""
        assert "has no pair" in operator.get("/pair", params={"pair": "<b>#999999"}).text


def test_whoever_walks_away_loses_the_task_to_somebody_else_and_whoever_reads_keeps_it(tmp_path):
    with world_in(tmp_path, settings={"lease_s": 2.5}, quorum=1, budget="12", pilot=1) as world:
        gone = world.annotator("gone")
        left = [task["id"] for task in gone.tasks()]
        bob = world.enter("annotator", "bob")
        (got, *_) = until(bob.tasks, "the task of somebody who walked away")
        assert got["id"] in left
        for _ in range(10):
            threading.Event().wait(0.4)
            assert bob.post("/extend", {"task_ids": [got["id"]]}).json() == {"task_ids": [got["id"]]}
        assert gone.tasks() == []
        assert "no lease" in gone.answer({"id": got["id"], "revision": 1})["refused"]
        assert bob.answer(got)["refused"] == ""


def test_a_page_server_that_is_replaced_in_the_middle_lets_everybody_go_on(tmp_path):
    with world_in(tmp_path, quorum=2, budget="24") as world:
        ann = world.annotator("ann")
        task = ann.tasks()[0]
        cookie = {"cookie": f"concord-annotate={ann.client.cookies['concord-annotate']}"}
        given = from_environment({}, home=str(world.home), console_listen="127.0.0.1:0")
        with serving(given, world.console.desk.address) as another:
            client = httpx2.Client(base_url=another.url, headers=cookie)
            moved = Browser(client, ann.path, ann.form)
            same = moved.tasks()[0]
            assert {**same, "seconds": 0} == {**task, "seconds": 0}
            assert moved.answer(task)["refused"] == ann.answer(task)["refused"] == ""
        assert len(world.facts("annotation_submitted")) == 1


def test_services_that_are_away_are_said_to_be_and_nothing_breaks(tmp_path):
    given = from_environment({}, home=str(tmp_path), console_listen="127.0.0.1:0")
    with serving(given, "127.0.0.1:9") as console:
        cookies, _ = cookie_of(SimpleNamespace(console=console), "annotator", "r")
        answer = httpx2.get(f"{console.url}/annotate/r/tasks", headers=cookies, timeout=30)
        assert answer.status_code == 503 and answer.json()["why"] == texts.AWAY
        assert httpx2.get(f"{console.url}/health").text == "ok"
