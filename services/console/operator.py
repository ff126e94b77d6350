"""The operators' pages: which runs there are, one of them as it goes on, the people, the report; and what may be told a run."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from functools import lru_cache
from math import isfinite
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse

from concord.client.results.records import There
from concord.console import credentials, entrance, gate, markdown, overview, persons, roles, story, texts
from concord.console.asked import Asked, Console
from concord.console.desk import Desk
from concord.kit.arrays import unpack
from concord.kit.errors import ConcordError, Denied, InvalidInput, Refused
from concord.preference.deviating import words
from concord.v1.events_pb2 import Event
from concord.v1.runs_service_pb2 import RunView
from concord.v1.runs_service_pb2_grpc import RunServiceStub

# How often a page that is open looks; the longest that one connection lasts, for a browser opens it again by itself.
LOOK_S = 1.0
STREAM_S = 600.0
MOST_LINKS = 50
# Reports are drawn one at a time.
_DRAWING = threading.Lock()
# The report is one file with its style inside, and no script at all.
REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def runs(console: Console, asked: Asked) -> Response:
    """The runs, newest first; of a page of them at a time."""
    views, following = console.desk.views(asked.request.query_params.get("page", "")[:20])
    own = [overview.brief(view) for view in reversed(views)]
    return console.page("runs.html", asked.holder, runs=own, following=following)


def run(console: Console, asked: Asked) -> Response:
    """One run: where it stands, what it may be told, who is let in."""
    view = console.desk.view(asked.run_id)
    return console.page("run.html", asked.holder, **_said(console, view), links=(), said="")


def _said(console: Console, view: RunView) -> dict[str, Any]:
    return {"run": view, "now": overview.standing(view, console.desk.queue(view.run_id))}


def live(console: Console, asked: Asked) -> Response:
    """The page's changing part whenever it changed, as server-sent events."""

    async def stream() -> AsyncIterator[str]:
        last, begun, pace = "", console.clock(), overview.Pace()
        while console.clock() - begun < STREAM_S:
            try:
                view = await run_in_threadpool(console.desk.view, asked.run_id)
                gate.check(asked.held, roles.WATCH, asked.run_id, view)
                pace = pace.then(view, console.clock())
                queue = await run_in_threadpool(console.desk.queue, asked.run_id)
                now = overview.standing(view, queue, pace)
                html = console.templates.get_template("standing.html").render(run=view, now=now)
            except Denied:
                return
            except ConcordError:
                # The services are away: the page keeps what it shows, and hears of them again.
                html = last
            if html != last:
                yield f"data: {json.dumps(html)}\n\n"
                last = html
            else:
                yield ": still here\n\n"
            await asyncio.sleep(LOOK_S)

    return StreamingResponse(stream(), media_type="text/event-stream", headers={"x-accel-buffering": "no"})


def people(console: Console, asked: Asked) -> Response:
    """Who annotates, how fast, how far they agree; as a table for a spreadsheet where `?as=csv` asks for it."""
    view = console.desk.view(asked.run_id)
    events = _events(console, asked.run_id)
    found = persons.named(persons.persons(events, view.last_round.deviations, words), console.book.name_of)
    if asked.request.query_params.get("as") == "csv":
        name = f"annotators-{asked.run_id[:8]}.csv"
        return PlainTextResponse(
            persons.table(found), media_type="text/csv", headers={"content-disposition": f"attachment; filename={name}"}
        )
    said = {"run": view, "people": found, "agreement": persons.agreement(events)}
    return console.page("people.html", asked.holder, **said)


def _records(console: Console) -> There:
    return There(RunServiceStub(console.desk.channel), console.desk.address)


def _events(console: Console, run_id: str) -> list[Event]:
    return [event for event, _ in _records(console).events(run_id)]


def report(console: Console, asked: Asked) -> Response:
    """The report, as `concord report` writes it: of a run that goes on as far as it has come."""
    view = console.desk.view(asked.run_id)
    standing = (view.history_sha256, len(view.stages), bool(view.stages) and view.stages[-1].closed)
    with _DRAWING:
        made = _report(console.desk, asked.run_id, standing)
    return HTMLResponse(made, headers={"content-security-policy": REPORT_POLICY})


@lru_cache(maxsize=8)
def _report(desk: Desk, run_id: str, standing: tuple[str, int, bool]) -> str:
    """Made anew when a stage was opened or closed. The drawings are loaded by whoever wants a report."""
    from concord.report.figures import figures_of
    from concord.report.page import page

    records = There(RunServiceStub(desk.channel), desk.address)
    return page(figures_of(records.events(run_id), records.blob))


def pair(console: Console, asked: Asked) -> Response:
    """One pair's story: `?pair=` is its id, or `#` and its number in the run from 0."""
    view, wanted = console.desk.view(asked.run_id), asked.request.query_params.get("pair", "")[:200].strip()
    records = _records(console)
    events = records.events(asked.run_id)
    found = story.found(events, wanted, records.blob) if wanted else None
    said: dict[str, Any] = {"run": view, "wanted": wanted, "found": found, "shown": markdown.shown}
    if found:
        said["story"] = story.story(events, found[0], lambda uri: unpack(records.blob(uri)), console.book.name_of)
    return console.page("pair.html", asked.holder, **said)


def letters(console: Console, asked: Asked) -> Response:
    """What workers gave up of the run."""
    view, found = console.desk.view(asked.run_id), console.desk.letters(asked.run_id)
    waiting = sum(one.goes_back for one in found.letters)
    said = {"run": view, "groups": overview.given_up(found.letters), "waiting": waiting, "left_off": found.left_off}
    return console.page("letters.html", asked.holder, **said)


def requeue(console: Console, asked: Asked) -> Response:
    """What was given up is tried anew. Raises Refused where nothing would change."""
    if not console.desk.requeue(asked.run_id, _why(asked)):
        raise Refused(texts.NOTHING_BACK)
    return RedirectResponse(f"/runs/{asked.run_id}/letters", 303)


def pause(console: Console, asked: Asked) -> Response:
    """Nothing more is issued."""
    console.desk.pause(asked.run_id, _why(asked))
    return _back(asked)


def resume(console: Console, asked: Asked) -> Response:
    """It goes on; `accept_judge`: with a judge that fell silent or follows the place of an answer."""
    console.desk.resume(asked.run_id, asked.text("accept_judge") == "yes")
    return _back(asked)


def cancel(console: Console, asked: Asked) -> Response:
    """It ends for good; the beginning of its id is typed, so that no slip of a finger does it."""
    if asked.text("sure") != asked.run_id[:8]:
        raise InvalidInput(f"to cancel the run, type the beginning of its id: {asked.run_id[:8]}")
    console.desk.cancel(asked.run_id, _why(asked))
    return _back(asked)


def budget(console: Console, asked: Asked) -> Response:
    """Its limits move."""
    votes, dollars = _number(asked, "votes"), _number(asked, "dollars")
    if votes != int(votes):
        raise InvalidInput("votes: a whole number is expected")
    console.desk.set_budget(asked.run_id, int(votes), dollars)
    return _back(asked)


def link(console: Console, asked: Asked) -> Response:
    """Links for these names, one a line, shown once."""
    role, names = (
        asked.text("role", 20),
        [one.strip() for one in asked.text("names", 5_000).splitlines() if one.strip()],
    )
    if not roles.may_admit(asked.held.role, role):
        raise Denied(f"the role {asked.held.role} lets in nobody of the role {role!r}")
    if not 0 < len(names) <= MOST_LINKS:
        raise InvalidInput(f"names: 1 to {MOST_LINKS} are expected, one a line")
    days = min(entrance.MOST_DAYS, max(0.01, _number(asked, "days")))
    made = [(name, entrance.link(console, role, name, asked.run_id, days)) for name in names]
    view = console.desk.view(asked.run_id)
    return console.page("run.html", asked.holder, **_said(console, view), links=made, said="")


def revoke(console: Console, asked: Asked) -> Response:
    """What this name was given lets nobody in any more."""
    name = credentials.alias(asked.text("name", 100), console.gate.secret)
    console.desk.revoke(asked.run_id, name, _why(asked))
    return _back(asked)


def _why(asked: Asked) -> str:
    """The reason, as the run's story will tell it, with who gave it. Raises InvalidInput."""
    why = asked.text("why", 500)
    if not why:
        raise InvalidInput("why: a reason is expected, for the run's story")
    return f"{why} ({asked.held.name})"


def _number(asked: Asked, name: str) -> float:
    try:
        value = float(asked.text(name, 30))
    except ValueError:
        value = -1.0
    if not isfinite(value) or value < 0:
        raise InvalidInput(f"{name}: a number from 0 on is expected")
    return value


def _back(asked: Asked) -> Response:
    return RedirectResponse(f"/runs/{asked.run_id}", 303)
