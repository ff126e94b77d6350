"""Questions as tasks of a Label Studio project, and what is annotated there as answers. Pure.

The project shows the conversation, both answers side by side in an order drawn for each task, and the criteria. What somebody says
there is left or right, `tie`, or a skipped task.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from concord.client.elsewhere.held import Answer
from concord.client.run.answers import SKIP, Choice
from concord.preference.seeded import uniform
from concord.v1.pairs_pb2 import CHOICE_FIRST, CHOICE_SECOND, CHOICE_TIE
from concord.v1.tasks_service_pb2 import Task

TIE = "tie"
BETTER, OTHERWISE = "better", "otherwise"
CONFIG = f"""<View>
  <Header value="Which answer is better?"/>
  <Text name="criteria" value="$criteria"/>
  <Text name="prompt" value="$prompt"/>
  <Pairwise name="{BETTER}" toName="left,right"/>
  <Text name="left" value="$left"/>
  <Text name="right" value="$right"/>
  <Choices name="{OTHERWISE}" toName="prompt" choice="single" showInline="true">
    <Choice value="{TIE}" alias="{TIE}"/>
  </Choices>
</View>"""
# What a task says that needs nothing of its annotator.
NOTHING = "-"
# By which our tasks are known there.
KEY = "concord_task_id"
_SIDES: Mapping[tuple[str, bool], Choice] = {
    ("left", False): CHOICE_FIRST,
    ("right", False): CHOICE_SECOND,
    ("left", True): CHOICE_SECOND,
    ("right", True): CHOICE_FIRST,
}


def project(run_id: str, name: str, quorum: int) -> dict[str, Any]:
    """What a run's project is made of. Its title says which run it is for, and is how it is found again."""
    return {
        "title": title(run_id),
        "description": f"Questions of the run {run_id} ({name[:100]}); answers go back by `concord tasks label-studio`.",
        "label_config": CONFIG,
        "maximum_annotations": quorum,
        "show_skip_button": True,
    }


def title(run_id: str) -> str:
    """A title has room for fifty characters there."""
    return f"Concord {run_id}"


def data_of(task: Task) -> dict[str, Any]:
    """The task as Label Studio is given it: nothing of any verdict is in it."""
    pair, swapped = task.pair, is_swapped(task.task_id)
    both = (pair.first.text, pair.second.text)
    left, right = both[::-1] if swapped else both
    prompt = "\n\n".join(f"{message.role}: {message.content}" for message in pair.prompt)
    # An empty text is no text there.
    texts = {"prompt": prompt, "left": left, "right": right, "criteria": task.criteria}
    # What its annotator must bring: a column to filter by there.
    needs = ", ".join(pair.needs) or NOTHING
    return {"data": {KEY: task.task_id, **{name: text or " " for name, text in texts.items()}, "needs": needs}}


def is_swapped(task_id: str) -> bool:
    """Whether the second response stands on the left."""
    return uniform("shown", "label-studio", task_id) < 0.5


def ours(tasks: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Those tasks of a project's export that are ours, by our own ids; of one that is there twice the first."""
    found: dict[str, Mapping[str, Any]] = {}
    for task in tasks:
        name = task.get("data", {}).get(KEY)
        if isinstance(name, str) and name:
            found.setdefault(name, task)
    return found


def is_untouched(task: Mapping[str, Any]) -> bool:
    """Whether nobody has said, or begun to say, anything of it there."""
    return not task.get("annotations") and not task.get("drafts")


def answers_of(task: Mapping[str, Any]) -> list[Answer]:
    """What was annotated on one of our tasks, the first one first. One that says nothing of the answers has a choice of None."""
    name = task["data"][KEY]
    found = sorted(task.get("annotations") or (), key=lambda one: one["id"])
    return [
        Answer(
            name,
            annotator_of(one),
            SKIP if one.get("was_cancelled") else choice_of(one.get("result") or (), is_swapped(name)),
            seconds=min(max(0.0, float(one.get("lead_time") or 0.0)), 1e9),
            comment="skipped in Label Studio" if one.get("was_cancelled") else "",
            swapped=is_swapped(name),
            place=f"task {task['id']}, annotation {one['id']}",
        )
        for one in found
    ]


def annotator_of(annotation: Mapping[str, Any]) -> str:
    """Who said it: the user's number there, for an address of mail has no place in a log."""
    who = annotation.get("completed_by")
    return f"label-studio-{who.get('id') if isinstance(who, Mapping) else who}"


def choice_of(result: Iterable[Mapping[str, Any]], swapped: bool) -> Choice | None:
    """What a result says of the pair; a tie that was ticked goes before a side. None: nothing."""
    said = {one.get("from_name"): one.get("value") or {} for one in result}
    if TIE in said.get(OTHERWISE, {}).get("choices", ()):
        return CHOICE_TIE
    return _SIDES.get((said.get(BETTER, {}).get("selected", ""), swapped))
