"""The annotator's page and what its script asks for. Nothing here says what a model thinks, nor what anybody else answered."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from starlette.responses import JSONResponse, Response

from concord.client.run import drive
from concord.console import differences, markdown, replies, texts
from concord.console.asked import Asked, Console
from concord.kit.errors import Refused
from concord.preference.deviating import set_aside
from concord.preference.stages import HUMAN
from concord.v1 import runs_service_pb2 as pb
from concord.v1.tasks_service_pb2 import GetQueueResponse, Task

# The one on the screen, and the next; more would keep tasks from others who have nothing to do.
LEASED = 2
# Longer answers are not compared sentence by sentence.
MOST_COMPARED = 60_000
# Longer texts are laid out anew each time, so that what is kept stays small.
MOST_KEPT = 10_000


def page(console: Console, asked: Asked) -> Response:
    """The page itself; its script asks for the tasks."""
    view = console.desk.view(asked.run_id)
    said = {"run": view, "hold_s": console.hold_s, "script": dict(texts.SCRIPT)}
    return console.page("annotate.html", asked.holder, **said)


def tasks(console: Console, asked: Asked) -> Response:
    """What to answer now, ready to be shown, and how far this person is; without a task, how the run stands."""
    who, run_id, skills = asked.who, asked.run_id, asked.held.skills
    # The page still holds the lease of an answer that it has not sent, so that it can be taken back.
    unsent = asked.request.query_params.get("unsent") == "1"
    found = console.desk.next(run_id, who, LEASED + unsent, skills=skills)
    queue = None if found.HasField("progress") else console.desk.queue(run_id, who, skills)
    progress = queue or found.progress
    said: dict[str, Any] = {
        "tasks": [shown(task, who, console.clock()) for task in found.tasks],
        "answered": progress.answered,
        "left": progress.left,
    }
    if queue and not found.tasks:
        said["standing"], said["over"] = standing(console.desk.view(run_id), queue, who)
    return JSONResponse(said)


def answers(console: Console, asked: Asked) -> Response:
    """Takes answers; each is acknowledged or refused by itself, and the same one may come again."""
    who = asked.who
    given = replies.given(asked.said, who)
    if len({one.task_id for one in given}) < len(given):
        # Two revisions of one task: in their order, each by itself.
        taken = [console.desk.give(asked.run_id, who, [one])[0] for one in given]
    else:
        taken = list(console.desk.give(asked.run_id, who, given))
    said = [
        {"task_id": one.task_id, "revision": one.revision, "refused": answer.refused}
        for one, answer in zip(given, taken, strict=True)
    ]
    return JSONResponse({"taken": said})


def undo(console: Console, asked: Asked) -> Response:
    """Takes an answer back and gives its task out again; says so where it counts already, or where somebody else has it by now."""
    who, run_id, task_id = asked.who, asked.run_id, asked.text("task_id", 100)
    try:
        console.desk.withdraw(run_id, who, task_id, replies.revision_of(asked.said))
    except Refused:
        return JSONResponse({"task": None, "taken_back": False})
    found = console.desk.next(run_id, who, 1, [task_id]).tasks
    task = shown(found[0], who, console.clock()) if found else None
    return JSONResponse({"task": task, "taken_back": True})


def extend(console: Console, asked: Asked) -> Response:
    """Keeps the tasks for somebody who is still reading; those that are still held."""
    return JSONResponse({"task_ids": list(console.desk.extend(asked.run_id, asked.who, replies.named(asked.said)))})


def give_back(console: Console, asked: Asked) -> Response:
    """Whoever leaves the page gives back what is not answered."""
    console.desk.give_back(asked.run_id, asked.who, replies.named(asked.said))
    return JSONResponse({})


def shown(task: Task, annotator: str, now: float) -> dict[str, Any]:
    """A task as the script shows it: HTML that is safe, the two answers in this person's order."""
    pair, swapped = task.pair, replies.is_swapped(annotator, task.task_id)
    both = (pair.first.text, pair.second.text)
    left, right = both[::-1] if swapped else both
    return {
        "id": task.task_id,
        "revision": task.revision,
        "seconds": max(0.0, task.lease_until - now),
        "criteria": laid_out(task.criteria) if task.criteria else "",
        "harmful": pair.harmful,
        "prompt": [
            {"role": texts.ROLES.get(message.role, message.role), "html": laid_out(message.content)}
            for message in pair.prompt
        ],
        "left": laid_out(left),
        "right": laid_out(right),
        "compared": compared(left, right),
    }


def laid_out(text: str) -> str:
    """A stranger's text as HTML: a task is shown when it is next and again when it is now, and to several people."""
    return _kept(text) if len(text) <= MOST_KEPT else markdown.shown(text)


_kept = lru_cache(maxsize=512)(markdown.shown)


@lru_cache(maxsize=256)
def compared(left: str, right: str) -> tuple[list[dict[str, Any]], ...] | None:
    """Both answers sentence by sentence, with what links them; None where they are too long for that."""
    if len(left) + len(right) > MOST_COMPARED:
        return None
    both = differences.linked(markdown.visible(left), markdown.visible(right))
    return tuple([_sentence(one) for one in said] for said in both)


def _sentence(one: differences.Sentence) -> dict[str, Any]:
    said: dict[str, Any] = {"text": differences.unfenced(one.text) if one.code else one.text}
    return (
        said
        | {name: True for name in ("code", "ends_line") if getattr(one, name)}
        | ({"link": one.link} if one.link else {})
    )


def standing(view: pb.RunView, queue: GetQueueResponse, who: str) -> tuple[str, bool]:
    """How the run stands for somebody without a question, in words, and whether there will be none any more."""
    ended: dict[int, str] = {
        pb.RUN_STATUS_FINISHED: "finished",
        pb.RUN_STATUS_CANCELLED: "cancelled",
        pb.RUN_STATUS_CORRUPT: "corrupt",
    }
    if view.status in drive.ENDED:
        return texts.STANDING[ended[view.status]], True
    if view.status == pb.RUN_STATUS_PAUSED:
        return texts.STANDING["paused"], False
    if who in set_aside(view.last_round):
        return texts.STANDING["aside"], False
    if 0 < view.config.most_each <= queue.answered:
        return texts.STANDING["full"], False
    asks = bool(view.stages) and _asks(view.stages)
    return texts.STANDING["others" if asks and queue.open else "works"], False


def _asks(stages: Sequence[pb.StageView]) -> bool:
    return stages[-1].stage in HUMAN and not stages[-1].closed
